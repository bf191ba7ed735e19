//! SORT and SORT_RO: the elements of a list, set or sorted set in order, looked up through patterns
//! where that is asked for.

use std::cmp::Ordering;

use protocol::{Args, parse_f64};
use store::{End, List, Value, ValueRef};

use super::args::{int, is};
use crate::command::key_spec::{Access, Find, KeySpec};
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::call::Inside;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const PATTERNS: KeySpec = KeySpec::found(Find::Unknown, Access::READS).noted(
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort",
);
const STORE_NOTES: &str = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array";
const ACL: Acl = Acl::SET.or(Acl::SORTEDSET).or(Acl::LIST).or(Acl::DANGEROUS);

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "sort",
        sort,
        -2,
        Flags::WRITE.or(Flags::DENYOOM),
        &[
            KeySpec::at(1, Access::READS),
            PATTERNS,
            KeySpec::found(Find::Parsed(destination), Access::OVERWRITES).noted(STORE_NOTES),
        ],
        ACL,
        "1.0.0",
        "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
    )
    .group("generic"),
    row(
        "sort_ro",
        sort_ro,
        -2,
        Flags::READONLY,
        &[KeySpec::at(1, Access::READS), PATTERNS],
        ACL,
        "7.0.0",
        "Returns the sorted elements of a list, a set, or a sorted set.",
    )
    .group("generic"),
];

/// Where the last STORE says the destination: that one counts.
fn destination(args: Args<'_>) -> Option<usize> {
    let mut dest = None;
    let mut at = 2;
    while at < args.len() {
        let word = args.at(at);
        if is(word, "store") && at + 1 < args.len() {
            dest = Some(at + 1);
        }
        at += match () {
            () if is(word, "limit") => 3,
            () if is(word, "get") || is(word, "by") || is(word, "store") => 2,
            () => 1,
        };
    }
    dest
}

#[derive(Default)]
struct Options<'a> {
    descending: bool,
    alpha: bool,
    /// Offset and count; a negative count is all.
    limit: Option<(i64, i64)>,
    store: Option<&'a [u8]>,
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// `reads_all` is whether the client may read keys that only the elements name.
    fn parse(args: Args<'a>, may_store: bool, reads_all: bool) -> Result<Self, CommandError> {
        let mut options = Options::default();
        let mut at = 2;
        while at < args.len() {
            let (word, left) = (args.at(at), args.len() - at - 1);
            if is(word, "asc") {
                options.descending = false;
            } else if is(word, "desc") {
                options.descending = true;
            } else if is(word, "alpha") {
                options.alpha = true;
            } else if is(word, "limit") && left >= 2 {
                options.limit = Some((int(args.at(at + 1))?, int(args.at(at + 2))?));
                at += 2;
            } else if is(word, "store") && left >= 1 && may_store {
                options.store = Some(args.at(at + 1));
                at += 1;
            } else if is(word, "by") && left >= 1 {
                if args.at(at + 1).contains(&b'*') && !reads_all {
                    return Err(denied("BY"));
                }
                options.by = Some(args.at(at + 1));
                at += 1;
            } else if is(word, "get") && left >= 1 {
                if !reads_all {
                    return Err(denied("GET"));
                }
                options.get.push(args.at(at + 1));
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// BY with a pattern that names one key for all: the order is left as it is.
    fn keeps_order(&self) -> bool {
        self.by.is_some_and(|pattern| !pattern.contains(&b'*'))
    }

    /// How many elements to leave out, and how many to answer.
    fn window(&self, len: usize) -> (usize, usize) {
        let (offset, count) = self.limit.unwrap_or((0, -1));
        let offset = (offset.max(0) as usize).min(len);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        (offset, count.min(len - offset))
    }
}

fn denied(option: &str) -> CommandError {
    CommandError::err(format_args!(
        "{option} option of SORT denied due to insufficient ACL permissions."
    ))
}

fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, true)
}

fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, false)
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, may_store: bool) -> Result<(), CommandError> {
    let user = ctx.engine.users.of(ctx.client.user);
    let reads_all =
        ctx.client.is_internal() || user.may_on_all_keys(&ctx.found, args, Access::ACCESS);
    let mut options = Options::parse(args, may_store, reads_all)?;
    let source = match ctx.engine.read(ctx.view, args.at(1)).map(|entry| entry.value()) {
        None => None,
        Some(value @ (ValueRef::List(_) | ValueRef::Set(_) | ValueRef::ZSet(_))) => Some(value),
        Some(_) => return Err(CommandError::WrongType),
    };
    let mut keeps_order = options.keeps_order();
    let is_seen_elsewhere = options.store.is_some() || ctx.call.inside == Inside::Script;
    if keeps_order && is_seen_elsewhere && matches!(source, Some(ValueRef::Set(_))) {
        // A set has no order that replicas would share: what is stored, or what a script makes of it, must not
        // depend on it.
        keeps_order = false;
        options.alpha = true;
        options.by = None;
    }
    let elements = source.map_or_else(Vec::new, |source| elements(source, &options, keeps_order));
    let elements = if keeps_order { elements } else { sorted(ctx, elements, &options)? };
    match options.store {
        Some(dest) => store(ctx, dest, &elements, &options),
        None => reply(ctx, &elements, &options),
    }
    Ok(())
}

/// The elements in their own order; only those of the window when that order is kept.
fn elements(source: ValueRef<'_>, options: &Options<'_>, keeps_order: bool) -> Vec<Vec<u8>> {
    let window = |len| if keeps_order { options.window(len) } else { (0, len) };
    match source {
        ValueRef::List(list) => {
            let (offset, count) = window(list.len());
            let backwards = keeps_order && options.descending;
            let start = if backwards { list.len() - offset - count } else { offset };
            let items = list.iter().skip(start).take(count).map(|item| item.to_vec());
            let mut items: Vec<_> = items.collect();
            if backwards {
                items.reverse();
            }
            items
        }
        ValueRef::Set(set) => {
            let (offset, count) = window(set.len());
            set.iter().skip(offset).take(count).map(|item| item.to_vec()).collect()
        }
        ValueRef::ZSet(zset) => {
            let (offset, count) = window(zset.len());
            if keeps_order && options.descending {
                let end = zset.len() - offset;
                let range = zset.range(end - count..end);
                return range.rev().map(|(member, _)| member.to_vec()).collect();
            }
            zset.range(offset..offset + count).map(|(member, _)| member.to_vec()).collect()
        }
        _ => Vec::new(),
    }
}

/// What an element is ordered by.
enum Weight {
    Number(f64),
    /// `None` for a pattern that finds nothing: before everything.
    Text(Option<Vec<u8>>),
    /// The element itself.
    Own,
}

fn sorted(
    ctx: &mut Ctx<'_>,
    elements: Vec<Vec<u8>>,
    options: &Options<'_>,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let mut weighed: Vec<(Weight, Vec<u8>)> = Vec::with_capacity(elements.len());
    for element in elements {
        let weight = match (options.by, options.alpha) {
            (None, true) => Weight::Own,
            (None, false) => Weight::Number(number(&element)?),
            (Some(pattern), true) => Weight::Text(look_up(ctx, pattern, &element)),
            (Some(pattern), false) => match look_up(ctx, pattern, &element) {
                Some(text) => Weight::Number(number(&text)?),
                None => Weight::Number(0.0),
            },
        };
        weighed.push((weight, element));
    }
    weighed.sort_by(|a, b| {
        let order = compare(a, b);
        if options.descending { order.reverse() } else { order }
    });
    let (offset, count) = options.window(weighed.len());
    Ok(weighed.into_iter().skip(offset).take(count).map(|(_, element)| element).collect())
}

fn compare((a, own_a): &(Weight, Vec<u8>), (b, own_b): &(Weight, Vec<u8>)) -> Ordering {
    match (a, b) {
        // Equal numbers go by the elements, so that the outcome is the same everywhere.
        (Weight::Number(a), Weight::Number(b)) => {
            a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| own_a.cmp(own_b))
        }
        (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
        _ => own_a.cmp(own_b),
    }
}

/// As strtod reads a C string: nothing is zero, and spaces before a number do not matter; what a
/// double holds with less than its precision, or not at all, is none.
fn number(text: &[u8]) -> Result<f64, CommandError> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return Ok(0.0);
    }
    parse_f64(text.trim_ascii_start())
        .filter(|number| !number.is_subnormal())
        .ok_or_else(|| CommandError::err("One or more scores can't be converted into double"))
}

/// The string that a pattern of BY or GET finds for an element: `#` is the element itself, `*`
/// stands for it in a key's name, and `->` before a field looks into a hash.
fn look_up(ctx: &mut Ctx<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (before, after) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = after.windows(2).position(|two| two == b"->").filter(|at| at + 2 < after.len());
    let (after, field) = match arrow {
        Some(at) => (&after[..at], Some(&after[at + 2..])),
        None => (after, None),
    };
    let key = [before, element, after].concat();
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    ctx.engine.expire_fields(ctx.view, &key, field.into_iter());
    let value = ctx.engine.read(ctx.view, &key)?.value();
    match (value, field) {
        (ValueRef::Hash(hash), Some(field)) => {
            hash.live(field, horizon_ms).map(|item| item.to_vec())
        }
        (ValueRef::Int(n), None) => Some(itoa::Buffer::new().format(n).as_bytes().to_vec()),
        (ValueRef::Str(bytes), None) => Some(bytes.to_vec()),
        (ValueRef::SharedStr(bytes), None) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn reply(ctx: &mut Ctx<'_>, elements: &[Vec<u8>], options: &Options<'_>) {
    ctx.client.out.array(elements.len() * options.get.len().max(1));
    for element in elements {
        if options.get.is_empty() {
            ctx.client.out.bulk(element);
        }
        for pattern in &options.get {
            match look_up(ctx, pattern, element) {
                Some(text) => ctx.client.out.bulk(&text),
                None => ctx.client.out.null(),
            }
        }
    }
}

fn store(ctx: &mut Ctx<'_>, dest: &[u8], elements: &[Vec<u8>], options: &Options<'_>) {
    let mut list = List::new();
    for element in elements {
        if options.get.is_empty() {
            list.push(End::Tail, element, &ctx.engine.settings.limits);
        }
        for pattern in &options.get {
            // A list has no place for what was not found.
            let text = look_up(ctx, pattern, element).unwrap_or_default();
            list.push(End::Tail, &text, &ctx.engine.settings.limits);
        }
    }
    let len = list.len();
    let value = (len > 0).then_some(Value::List(list));
    // Of equal weights, and of what is a number, not everybody thinks alike: the list itself travels.
    if ctx.replace_with_result(dest, value, Classes::LIST, "sortstore") {
        ctx.propagate_value(dest);
    }
    ctx.engine.dirty += len.saturating_sub(1) as u64;
    ctx.client.out.int(len as i64);
}
