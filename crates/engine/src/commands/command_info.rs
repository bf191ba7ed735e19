//! COMMAND and its subcommands: the table of commands, told to clients. Everything derives from
//! the rows.

use protocol::{Args, ReplyBuf};
use smallvec::SmallVec;
use store::glob;

use super::args::is;
use super::help;
use crate::command::arguments::{self, Argument};
use crate::command::key_spec::{self, Access, Find, KeySpec, Keys};
use crate::command::{self, Acl, CommandSpec, Flags, Found, Handler, every_row, row, top_rows};
use crate::door::ctx::Ctx;
use crate::error::CommandError;

const INTROSPECTION: Flags = Flags::LOADING.or(Flags::STALE);

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "command",
    command,
    -1,
    INTROSPECTION,
    KeySpec::NONE,
    Acl::CONNECTION,
    "2.8.13",
    "Returns detailed information about all commands.",
)
.tips(&["nondeterministic_output_order"])
.group("server")
.with(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, INTROSPECTION, KeySpec::NONE, Acl::CONNECTION, since, summary)
}

static SUBCOMMANDS: &[CommandSpec] = &[
    sub("count", count, 2, "2.8.13", "Returns a count of commands."),
    sub("docs", docs, -2, "7.0.0", "Returns documentary information about a command.")
        .tips(&["nondeterministic_output_order"]),
    sub("getkeys", getkeys, -3, "2.8.13", "Extracts the key names from an arbitrary command."),
    sub(
        "getkeysandflags",
        getkeysandflags,
        -3,
        "7.0.0",
        "Extracts the key names and access flags for an arbitrary command.",
    ),
    help::row_of("5.0.0", Acl::CONNECTION),
    sub("info", info, -2, "2.8.13", "Returns information about one, multiple or all commands.")
        .tips(&["nondeterministic_output_order"]),
    sub("list", list, -2, "7.0.0", "Returns a list of command names.")
        .tips(&["nondeterministic_output_order"]),
];

/// `get` or `config|get`, in any case, by the names that hold here.
fn find(name: &[u8]) -> Option<Found> {
    let words: SmallVec<[&[u8]; 2]> = name.splitn(2, |byte| *byte == b'|').collect();
    let found = command::find(Args::new(&words)).ok();
    found.filter(|row| words.len() == 1 || row.container.is_some())
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
        match find(name) {
            Some(named) => reply_info(out, named),
            None => out.null(),
        }
    }
    Ok(())
}

fn reply_info(out: &mut ReplyBuf, named: Found) {
    let spec = named.spec;
    let name = named.full_name();
    let (first, last, step) = key_spec::legacy_range(spec.keys);
    out.array(10);
    out.bulk(name.as_bytes());
    out.int(spec.arity.into());
    let flags = spec.all_flags();
    out.set(flags.names().count());
    flags.names().for_each(|word| out.status(word));
    out.int(first);
    out.int(last);
    out.int(step);
    reply_statuses(out, &spec.categories().names().collect::<Vec<_>>());
    out.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(spec.keys.len());
    spec.keys.iter().for_each(|spec| reply_key_spec(out, spec));
    out.set(spec.subcommands.len());
    named.subcommands().for_each(|sub| reply_info(out, sub));
}

fn reply_statuses(out: &mut ReplyBuf, words: &[&str]) {
    out.set(words.len());
    words.iter().for_each(|word| out.status(word));
}

fn reply_key_spec(out: &mut ReplyBuf, spec: &KeySpec) {
    out.map(3 + spec.notes.iter().len());
    if let Some(notes) = spec.notes {
        out.bulk(b"notes");
        out.bulk(notes.as_bytes());
    }
    out.bulk(b"flags");
    reply_access(out, spec.access);
    out.bulk(b"begin_search");
    match spec.find {
        Find::Range { first: index, .. }
        | Find::Counted { count_at: index, .. }
        | Find::Unless { at: index, .. } => {
            reply_search(out, "index", &[("index", index.into())]);
        }
        Find::Keyword { word, from, .. } | Find::Halved { word, from, .. } => {
            reply_keyword(out, word, from.into());
        }
        Find::Rest { word, from, .. } => reply_keyword(out, word, from.into()),
        Find::Parsed(_) | Find::Unknown => reply_search(out, "unknown", &[]),
    }
    out.bulk(b"find_keys");
    match spec.find {
        Find::Range { first, last, step } => {
            // Counted from the first one, where it is not from the end.
            let last = i64::from(last) - if last < 0 { 0 } else { i64::from(first) };
            let fields = [("lastkey", last), ("keystep", step.into()), ("limit", 0)];
            reply_search(out, "range", &fields);
        }
        Find::Counted { step, .. } => {
            let fields = [("keynumidx", 0), ("firstkey", 1), ("keystep", step.into())];
            reply_search(out, "keynum", &fields);
        }
        Find::Halved { .. } => {
            let fields = [("lastkey", -1), ("keystep", 1), ("limit", 2)];
            reply_search(out, "range", &fields);
        }
        Find::Rest { .. } => {
            let fields = [("lastkey", -1), ("keystep", 1), ("limit", 0)];
            reply_search(out, "range", &fields);
        }
        Find::Keyword { .. } | Find::Unless { .. } => {
            let fields = [("lastkey", 0), ("keystep", 1), ("limit", 0)];
            reply_search(out, "range", &fields);
        }
        Find::Parsed(_) | Find::Unknown => reply_search(out, "unknown", &[]),
    }
}

fn reply_keyword(out: &mut ReplyBuf, word: &str, from: i64) {
    reply_search_head(out, "keyword", 2);
    out.bulk(b"keyword");
    out.bulk(word.as_bytes());
    out.bulk(b"startfrom");
    out.int(from);
}

fn reply_access(out: &mut ReplyBuf, access: Access) {
    out.set(access.names().count());
    access.names().for_each(|word| out.status(word));
}

fn reply_search_head(out: &mut ReplyBuf, kind: &str, fields: usize) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(fields);
}

fn reply_search(out: &mut ReplyBuf, kind: &str, fields: &[(&str, i64)]) {
    reply_search_head(out, kind, fields.len());
    for (name, value) in fields {
        out.bulk(name.as_bytes());
        out.int(*value);
    }
}

fn docs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let wanted: Vec<Found> = match args.len() {
        2 => top_rows().collect(),
        _ => args.iter().skip(2).filter_map(find).collect(),
    };
    let out = &mut ctx.client.out;
    out.map(wanted.len());
    wanted.into_iter().for_each(|named| reply_docs(out, named));
    Ok(())
}

fn reply_docs(out: &mut ReplyBuf, named: Found) {
    let spec = named.spec;
    let group = named.container.unwrap_or(spec).doc_group();
    out.bulk(named.full_name().as_bytes());
    let arguments = arguments::of(&named.full_name());
    let flags = doc_flags(spec);
    let deprecated = spec.deprecated.as_ref();
    let texts = [
        ("summary", Some(spec.summary)),
        ("since", Some(spec.since)),
        ("group", Some(group)),
        ("deprecated_since", deprecated.map(|deprecated| deprecated.since)),
        ("replaced_by", deprecated.map(|deprecated| deprecated.replaced_by)),
    ];
    let said = texts.iter().filter(|(_, value)| value.is_some()).count();
    let more = [!flags.is_empty(), !arguments.is_empty(), !spec.subcommands.is_empty()];
    out.map(said + more.into_iter().filter(|there| *there).count());
    texts[..3].iter().for_each(|row| reply_text(out, *row));
    if !flags.is_empty() {
        out.bulk(b"doc_flags");
        reply_statuses(out, flags);
    }
    texts[3..].iter().for_each(|row| reply_text(out, *row));
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

fn doc_flags(spec: &CommandSpec) -> &'static [&'static str] {
    match (spec.deprecated, spec.is_internal) {
        (Some(_), _) => &["deprecated"],
        (None, true) => &["syscmd"],
        (None, false) => &[],
    }
}

fn reply_text(out: &mut ReplyBuf, (name, value): (&str, Option<&str>)) {
    if let Some(value) = value {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
}

fn reply_arguments(out: &mut ReplyBuf, arguments: &[Argument<'_>]) {
    out.array(arguments.len());
    for argument in arguments {
        let within = arguments::parse(argument.within);
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
        texts.into_iter().for_each(|row| reply_text(out, row));
        if let Some(index) = argument.key_spec_index {
            out.bulk(b"key_spec_index");
            out.int(index);
        }
        facts.into_iter().for_each(|row| reply_text(out, row));
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
        (2, _) => every_row().map(|row| row.full_name()).collect(),
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
        let names = every_row().map(|row| row.full_name());
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
    let category = Acl::named(&[b"@", category].concat())?;
    let with = every_row().filter(|row| row.spec.categories().has(category));
    Some(with.map(|row| row.full_name()).collect())
}

/// The command that the arguments after `COMMAND GETKEYS` are, and where its keys are.
fn command_with_keys(args: Args<'_>) -> Result<(Keys, Args<'_>), CommandError> {
    let inner = args.slice(2..args.len());
    let found = command::find(inner).map_err(|_| CommandError::err("Invalid command specified"))?;
    let keys = found.spec.keys;
    if keys.iter().all(|spec| spec.access.has(Access::NOT_KEY)) {
        return Err(CommandError::err("The command has no key arguments"));
    }
    if !found.spec.arity_fits(inner.len()) {
        return Err(CommandError::err("Invalid number of arguments specified for command"));
    }
    let has_any = key_spec::positions(keys, inner).next().is_some();
    if has_any && keys.iter().all(|spec| spec.is_borne_out(inner) && !spec.is_empty_range(inner)) {
        return Ok((keys, inner));
    }
    // Of these no count is wrong: where it says nothing, there are none.
    match found.spec.flags.has(Flags::NO_MANDATORY_KEYS) {
        true => Ok((KeySpec::NONE, inner)),
        false => Err(CommandError::err("Invalid arguments specified for command")),
    }
}

fn getkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (keys, inner) = command_with_keys(args)?;
    let out = &mut ctx.client.out;
    out.array(key_spec::positions(keys, inner).count());
    key_spec::positions(keys, inner).for_each(|(at, _)| out.bulk(inner.at(at)));
    Ok(())
}

fn getkeysandflags(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (keys, inner) = command_with_keys(args)?;
    let out = &mut ctx.client.out;
    out.array(key_spec::positions(keys, inner).count());
    for (at, access) in key_spec::positions(keys, inner) {
        out.array(2);
        out.bulk(inner.at(at));
        reply_access(out, access);
    }
    Ok(())
}
