//! COMMAND and its subcommands: the table of commands, told to clients. Everything derives from
//! the rows and from `command_facts`.

use protocol::{Args, ReplyBuf};
use store::glob;

use super::args::is;
use super::help;
use crate::command::{self, Acl, CommandSpec, Flags, Handler, Keys, row};
use crate::command_arguments::{self, Argument};
use crate::command_facts::{group, key_access, note, tips};
use crate::ctx::Ctx;
use crate::error::CommandError;
use crate::table::COMMANDS;

const INTROSPECTION: Flags = Flags::LOADING.or(Flags::STALE);

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "command",
    command,
    -1,
    INTROSPECTION,
    Keys::None,
    Acl::CONNECTION,
    "2.8.13",
    "Returns detailed information about all commands.",
)
.with(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, INTROSPECTION, Keys::None, Acl::CONNECTION, since, summary)
}

static SUBCOMMANDS: &[CommandSpec] = &[
    sub("count", count, 2, "2.8.13", "Returns a count of commands."),
    sub("docs", docs, -2, "7.0.0", "Returns documentary information about a command."),
    sub("getkeys", getkeys, -3, "2.8.13", "Extracts the key names from an arbitrary command."),
    sub(
        "getkeysandflags",
        getkeysandflags,
        -3,
        "7.0.0",
        "Extracts the key names and access flags for an arbitrary command.",
    ),
    help::row_of("5.0.0", Acl::CONNECTION),
    sub("info", info, -2, "2.8.13", "Returns information about one, multiple or all commands."),
    sub("list", list, -2, "7.0.0", "Returns a list of command names."),
];

/// The words of COMMAND's flags, in Redis's order.
const FLAG_WORDS: [(Flags, &str); 18] = [
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::ASKING, "asking"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    (Flags::NO_MULTI_QUEUE, "no_multi"),
    (Flags::MOVABLE_KEYS, "movablekeys"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

/// A row with the name under which clients know it.
#[derive(Clone, Copy)]
struct Named {
    spec: &'static CommandSpec,
    container: Option<&'static CommandSpec>,
}

impl Named {
    fn full_name(self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.spec.name),
            None => self.spec.name.to_string(),
        }
    }

    fn subcommands(self) -> impl Iterator<Item = Named> {
        let container = Some(self.spec);
        self.spec.subcommands.iter().map(move |spec| Named { spec, container })
    }

    /// `get` or `config|get`, in any case.
    fn find(name: &[u8]) -> Option<Named> {
        let Some(bar) = name.iter().position(|byte| *byte == b'|') else {
            return command::find_name(name).map(|spec| Named { spec, container: None });
        };
        let container = command::find_name(&name[..bar])?;
        let word = &name[bar + 1..];
        let named = |sub: &&CommandSpec| sub.name.as_bytes().eq_ignore_ascii_case(word);
        let spec = container.subcommands.iter().find(named)?;
        Some(Named { spec, container: Some(container) })
    }
}

fn top_rows() -> impl Iterator<Item = Named> {
    COMMANDS.iter().flat_map(|family| family.iter()).map(|spec| Named { spec, container: None })
}

fn every_row() -> impl Iterator<Item = Named> {
    top_rows().flat_map(|top| std::iter::once(top).chain(top.subcommands()))
}

fn command(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let out = &mut ctx.client.out;
    out.array(top_rows().count());
    top_rows().for_each(|named| reply_info(out, named));
    Ok(())
}

fn count(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.int(top_rows().count() as i64);
    Ok(())
}

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() == 2 {
        return command(ctx, args);
    }
    let out = &mut ctx.client.out;
    out.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match Named::find(name) {
            Some(named) => reply_info(out, named),
            None => out.null(),
        }
    }
    Ok(())
}

fn reply_info(out: &mut ReplyBuf, named: Named) {
    let spec = named.spec;
    let name = named.full_name();
    let (first, last, step) = spec.keys.legacy_range();
    out.array(10);
    out.bulk(name.as_bytes());
    out.int(spec.arity.into());
    let movable = match spec.keys {
        Keys::None | Keys::Range(..) => Flags::NONE,
        Keys::Counted { .. } | Keys::DestCounted { .. } | Keys::Custom(_) => Flags::MOVABLE_KEYS,
    };
    let flags = spec.flags.or(movable);
    let words: Vec<_> = FLAG_WORDS.iter().filter(|(flag, _)| flags.has(*flag)).collect();
    out.set(words.len());
    words.iter().for_each(|(_, word)| out.status(word));
    out.int(first);
    out.int(last);
    out.int(step);
    reply_statuses(out, &spec.categories().names().collect::<Vec<_>>());
    let tips = tips(&name);
    out.set(tips.len());
    tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    reply_key_specs(out, &name, spec);
    out.set(spec.subcommands.len());
    named.subcommands().for_each(|sub| reply_info(out, sub));
}

fn reply_statuses(out: &mut ReplyBuf, words: &[&str]) {
    out.set(words.len());
    words.iter().for_each(|word| out.status(word));
}

/// How the keys of one key spec are found.
enum Find {
    Range { first: i64, last: i64, step: i64 },
    Counted { count_at: i64 },
    Unknown,
}

/// The command's key specs: one for each kind of access.
fn key_specs(name: &str, spec: &CommandSpec) -> Vec<(&'static str, Find)> {
    let access = key_access(name, spec);
    let one = |first: i64| Find::Range { first, last: 0, step: 1 };
    let rest = *access.last().unwrap_or(&"");
    match spec.keys {
        Keys::None => Vec::new(),
        Keys::Custom(_) => access.into_iter().map(|access| (access, Find::Unknown)).collect(),
        Keys::Counted { count_at } => vec![(rest, Find::Counted { count_at: count_at.into() })],
        Keys::DestCounted { dest, count_at } => {
            let count_at = count_at.into();
            vec![(access[0], one(dest.into())), (rest, Find::Counted { count_at })]
        }
        Keys::Range(first, last, step) => {
            // Accesses differ from key to key: the last is that of all that remain.
            let singles = access.len() - 1;
            let mut specs: Vec<_> =
                (0..singles).map(|at| (access[at], one(i64::from(first) + at as i64))).collect();
            let first = i64::from(first) + singles as i64;
            let last = if last < 0 { i64::from(last) } else { i64::from(last) - first };
            specs.push((rest, Find::Range { first, last, step: step.into() }));
            specs
        }
    }
}

fn reply_key_specs(out: &mut ReplyBuf, name: &str, spec: &CommandSpec) {
    let specs = key_specs(name, spec);
    out.set(specs.len());
    for (access, find) in specs {
        let notes = note(name);
        out.map(3 + notes.iter().len());
        if let Some(note) = notes {
            out.bulk(b"notes");
            out.bulk(note.as_bytes());
        }
        out.bulk(b"flags");
        reply_statuses(out, &access.split(' ').collect::<Vec<_>>());
        out.bulk(b"begin_search");
        match find {
            Find::Range { first: index, .. } | Find::Counted { count_at: index } => {
                reply_search(out, "index", &[("index", index)]);
            }
            Find::Unknown => reply_search(out, "unknown", &[]),
        }
        out.bulk(b"find_keys");
        match find {
            Find::Range { last, step, .. } => {
                let fields = [("lastkey", last), ("keystep", step), ("limit", 0)];
                reply_search(out, "range", &fields);
            }
            Find::Counted { .. } => {
                let fields = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
                reply_search(out, "keynum", &fields);
            }
            Find::Unknown => reply_search(out, "unknown", &[]),
        }
    }
}

fn reply_search(out: &mut ReplyBuf, kind: &str, fields: &[(&str, i64)]) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(fields.len());
    for (name, value) in fields {
        out.bulk(name.as_bytes());
        out.int(*value);
    }
}

fn docs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let wanted: Vec<Named> = match args.len() {
        2 => top_rows().collect(),
        _ => args.iter().skip(2).filter_map(Named::find).collect(),
    };
    let out = &mut ctx.client.out;
    out.map(wanted.len());
    wanted.into_iter().for_each(|named| reply_docs(out, named));
    Ok(())
}

fn reply_docs(out: &mut ReplyBuf, named: Named) {
    let spec = named.spec;
    let group = group(named.container.unwrap_or(spec));
    out.bulk(named.full_name().as_bytes());
    let arguments = command_arguments::of(&named.full_name());
    let more = [!arguments.is_empty(), !spec.subcommands.is_empty()];
    out.map(3 + more.into_iter().filter(|there| *there).count());
    for (field, value) in [("summary", spec.summary), ("since", spec.since), ("group", group)] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    if !arguments.is_empty() {
        out.bulk(b"arguments");
        reply_arguments(out, &arguments);
    }
    if !spec.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(spec.subcommands.len());
        named.subcommands().for_each(|sub| reply_docs(out, sub));
    }
}

fn reply_arguments(out: &mut ReplyBuf, arguments: &[Argument<'_>]) {
    out.array(arguments.len());
    for argument in arguments {
        let within = command_arguments::parse(argument.within);
        let flags = argument.flags();
        let texts = [
            ("name", Some(argument.name)),
            ("type", Some(argument.kind)),
            ("display_text", argument.display_text()),
        ];
        let facts = [
            ("token", argument.token),
            ("since", argument.since),
            ("deprecated_since", argument.deprecated_since),
        ];
        let said = texts.iter().chain(&facts).filter(|(_, value)| value.is_some()).count();
        let others =
            [argument.key_spec_index.is_some(), flags.clone().next().is_some(), !within.is_empty()];
        out.map(said + others.into_iter().filter(|there| *there).count());
        let text = |out: &mut ReplyBuf, (name, value): (&str, Option<&str>)| {
            if let Some(value) = value {
                out.bulk(name.as_bytes());
                out.bulk(value.as_bytes());
            }
        };
        texts.into_iter().for_each(|row| text(out, row));
        if let Some(index) = argument.key_spec_index {
            out.bulk(b"key_spec_index");
            out.int(index);
        }
        facts.into_iter().for_each(|row| text(out, row));
        if flags.clone().next().is_some() {
            out.bulk(b"flags");
            out.set(flags.clone().count());
            flags.for_each(|flag| out.status(flag));
        }
        if !within.is_empty() {
            out.bulk(b"arguments");
            reply_arguments(out, &within);
        }
    }
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let names: Vec<String> = match (args.len(), args.get(3)) {
        (2, _) => every_row().map(Named::full_name).collect(),
        (5, Some(filter)) if is(args.at(2), "filterby") => filtered(filter, args.at(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let out = &mut ctx.client.out;
    match args.len() {
        2 => out.set(names.len()),
        _ => out.array(names.len()),
    }
    names.iter().for_each(|name| out.bulk(name.as_bytes()));
    Ok(())
}

fn filtered(filter: &[u8], value: &[u8]) -> Result<Vec<String>, CommandError> {
    if is(filter, "module") {
        // There are no modules that could have brought commands.
        return Ok(Vec::new());
    }
    if is(filter, "aclcat") {
        return Ok(commands_in_category(value).unwrap_or_default());
    }
    if is(filter, "pattern") {
        let names = every_row().map(Named::full_name);
        return Ok(names
            .filter(|name| glob::matches_ignore_case(value, name.as_bytes()))
            .collect());
    }
    Err(CommandError::Syntax)
}

/// The ACL categories, without their `@`.
pub(crate) fn categories() -> impl Iterator<Item = &'static str> {
    Acl(u32::MAX).names().map(|name| name.trim_start_matches('@'))
}

/// The full names of the commands in an ACL category (without its `@`); `None` if there is no such
/// category.
pub(crate) fn commands_in_category(category: &[u8]) -> Option<Vec<String>> {
    let word = categories().find(|name| name.as_bytes().eq_ignore_ascii_case(category))?;
    // A container is run through its subcommands.
    let rows = every_row().filter(|named| named.spec.subcommands.is_empty());
    let with = rows.filter(|named| named.spec.categories().names().any(|name| name[1..] == *word));
    Some(with.map(Named::full_name).collect())
}

/// The positions of the keys in the command that the arguments after `COMMAND GETKEYS` are.
fn key_positions(args: Args<'_>) -> Result<(command::Found, Args<'_>, Vec<usize>), CommandError> {
    let inner = args.slice(2..args.len());
    let found = command::find(inner).map_err(|_| CommandError::err("Invalid command specified"))?;
    if matches!(found.spec.keys, Keys::None) {
        return Err(CommandError::err("The command has no key arguments"));
    }
    if !found.spec.arity_fits(inner.len()) {
        return Err(CommandError::err("Invalid number of arguments specified for command"));
    }
    let mut positions = Vec::new();
    found.spec.keys.positions(inner, &mut positions);
    let counted = match found.spec.keys {
        Keys::Counted { count_at } | Keys::DestCounted { count_at, .. } => Some(count_at),
        _ => None,
    };
    // A count that the arguments do not bear out finds nothing.
    let count = counted.map(|at| protocol::parse_i64(inner.at(at.into())).unwrap_or(-1));
    let dests = matches!(found.spec.keys, Keys::DestCounted { .. }) as i64;
    if positions.is_empty() || count.is_some_and(|n| n < 1 || positions.len() as i64 != n + dests) {
        return Err(CommandError::err("Invalid arguments specified for command"));
    }
    Ok((found, inner, positions))
}

fn getkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (_, inner, positions) = key_positions(args)?;
    let out = &mut ctx.client.out;
    out.array(positions.len());
    positions.iter().for_each(|at| out.bulk(inner.at(*at)));
    Ok(())
}

fn getkeysandflags(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (found, inner, positions) = key_positions(args)?;
    let access = key_access(&found.full_name(), found.spec);
    let out = &mut ctx.client.out;
    out.array(positions.len());
    for (at, position) in positions.iter().enumerate() {
        // The keys that SORT's patterns make are not known; the second one is where it stores.
        let at = if at > 0 && found.spec.name == "sort" { access.len() - 1 } else { at };
        let access = match access[at.min(access.len() - 1)] {
            "RW access update variable_flags" => variable_access(inner),
            access => access,
        };
        out.array(2);
        out.bulk(inner.at(*position));
        reply_statuses(out, &access.split(' ').collect::<Vec<_>>());
    }
    Ok(())
}

/// What SET and BITFIELD do with their key depends on their arguments.
fn variable_access(args: Args<'_>) -> &'static str {
    let has = |word: &str| args.iter().skip(2).any(|arg| is(arg, word));
    match args.at(0) {
        name if is(name, "set") && !has("get") => "OW update",
        name if is(name, "bitfield") && !has("set") && !has("incrby") => "RO access",
        _ => "RW access update",
    }
}
