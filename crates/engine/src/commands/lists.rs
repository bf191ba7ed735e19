//! List commands, the blocking ones among them.

use protocol::{Args, parse_i64};
use store::Type;
use store::list::{End, List};

use super::args::{int, int_between, is, positive, timeout_seconds};
use crate::command::key_spec::{Access, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::data::typed::reply_item;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::blocking::OnTimeout;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const GROW: Flags = Flags::WRITE.or(Flags::DENYOOM);
const BLOCK: Flags = Flags::WRITE.or(Flags::BLOCKING);

pub(crate) static ROWS: &[CommandSpec] = &[
    list(
        "lpush",
        lpush,
        -3,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::ADDS)],
        "1.0.0",
        "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
    ),
    list(
        "rpush",
        rpush,
        -3,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::ADDS)],
        "1.0.0",
        "Appends one or more elements to a list. Creates the key if it doesn't exist.",
    ),
    list(
        "lpushx",
        lpushx,
        -3,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::ADDS)],
        "2.2.0",
        "Prepends one or more elements to a list only when the list exists.",
    ),
    list(
        "rpushx",
        rpushx,
        -3,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::ADDS)],
        "2.2.0",
        "Appends an element to a list only when the list exists.",
    ),
    list(
        "lpop",
        lpop,
        -2,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::POPS)],
        "1.0.0",
        "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.",
    ),
    list(
        "rpop",
        rpop,
        -2,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::POPS)],
        "1.0.0",
        "Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
    ),
    list(
        "llen",
        llen,
        2,
        READ.or(Flags::FAST),
        &[KeySpec::at(1, Access::RO)],
        "1.0.0",
        "Returns the length of a list.",
    ),
    list(
        "lindex",
        lindex,
        3,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "1.0.0",
        "Returns an element from a list by its index.",
    ),
    list(
        "lrange",
        lrange,
        4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "1.0.0",
        "Returns a range of elements from a list.",
    ),
    list(
        "linsert",
        linsert,
        5,
        GROW,
        &[KeySpec::at(1, Access::ADDS)],
        "2.2.0",
        "Inserts an element before or after another element in a list.",
    ),
    list(
        "lset",
        lset,
        4,
        GROW,
        &[KeySpec::at(1, Access::UPDATES)],
        "1.0.0",
        "Sets the value of an element in a list by its index.",
    ),
    list(
        "lrem",
        lrem,
        4,
        WRITE,
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "1.0.0",
        "Removes elements from a list. Deletes the list if the last element was removed.",
    ),
    list(
        "ltrim",
        ltrim,
        4,
        WRITE,
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "1.0.0",
        "Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
    ),
    list(
        "lpos",
        lpos,
        -3,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "6.0.6",
        "Returns the index of matching elements in a list.",
    ),
    list(
        "lmove",
        lmove,
        5,
        GROW,
        &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::ADDS)],
        "6.2.0",
        "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.",
    ),
    list(
        "rpoplpush",
        rpoplpush,
        3,
        GROW,
        &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::ADDS)],
        "1.2.0",
        "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.",
    ),
    list(
        "blpop",
        blpop,
        -3,
        BLOCK,
        &[KeySpec::range(1, -2, 1, Access::POPS)],
        "2.0.0",
        "Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
    ),
    list(
        "brpop",
        brpop,
        -3,
        BLOCK,
        &[KeySpec::range(1, -2, 1, Access::POPS)],
        "2.0.0",
        "Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
    ),
    list(
        "blmove",
        blmove,
        6,
        BLOCK.or(Flags::DENYOOM),
        &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::ADDS)],
        "6.2.0",
        "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. Deletes the list if the last element was moved.",
    ),
    list(
        "brpoplpush",
        brpoplpush,
        4,
        BLOCK.or(Flags::DENYOOM),
        &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::ADDS)],
        "2.2.0",
        "Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. Deletes the list if the last element was popped.",
    ),
    list(
        "lmpop",
        lmpop,
        -4,
        WRITE,
        &[KeySpec::counted(1, Access::POPS)],
        "7.0.0",
        "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.",
    ),
    list(
        "blmpop",
        blmpop,
        -5,
        BLOCK,
        &[KeySpec::counted(2, Access::POPS)],
        "7.0.0",
        "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
    ),
];

const fn list(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, keys, Acl::LIST, since, summary)
}

fn push_event(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

fn lpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    push(ctx, args, End::Head, false)
}

fn rpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    push(ctx, args, End::Tail, false)
}

fn lpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    push(ctx, args, End::Head, true)
}

fn rpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    push(ctx, args, End::Tail, true)
}

fn push(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    end: End,
    only_if_exists: bool,
) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let (list, limits) = if only_if_exists {
        match ctx.engine.write_list(db, key)? {
            Some(found) => found,
            None => {
                ctx.client.out.int(0);
                return Ok(());
            }
        }
    } else {
        ctx.engine.create_list(db, key, |_| List::new())?
    };
    list.extend(end, args.iter().skip(2), limits);
    let len = list.len();
    ctx.engine.changed(db, key, Classes::LIST, push_event(end));
    ctx.engine.dirty += args.len() as u64 - 3;
    ctx.client.out.int(len as i64);
    Ok(())
}

fn lpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    pop(ctx, args, End::Head)
}

fn rpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::arity(ctx.found.spec.name));
    }
    let (db, key) = (ctx.view, args.at(1));
    let count = args.get(2).map(positive).transpose()?;
    let Some((list, _)) = ctx.engine.write_list(db, key)? else {
        match count {
            Some(_) => ctx.client.out.null_array(),
            None => ctx.client.out.null(),
        }
        return Ok(());
    };
    let n = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        ctx.client.out.array(n);
    }
    pop_reply(ctx, key, end, n)
}

/// Pops `n` elements, which are there, into the reply, and signals it.
fn pop_reply(ctx: &mut Ctx<'_>, key: &[u8], end: End, n: usize) -> Result<(), CommandError> {
    let db = ctx.view;
    let Some((list, limits)) = ctx.engine.write_list(db, key)? else { return Ok(()) };
    for _ in 0..n {
        list.pop(end, limits, |item| reply_item(&mut ctx.client.out, item));
    }
    let empty = list.is_empty();
    ctx.removed_elements(key, n, empty, Classes::LIST, pop_event(end));
    Ok(())
}

fn llen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let len = ctx.engine.read_list(ctx.view, args.at(1))?.map_or(0, List::len);
    ctx.client.out.int(len as i64);
    Ok(())
}

/// An index from either end, as a place in the list.
fn index_in(len: usize, index: i64) -> Option<usize> {
    let at = if index < 0 { index + len as i64 } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// A closed range of indexes from either end, as the first place and how many.
fn range_in(len: usize, start: i64, stop: i64) -> (usize, usize) {
    let len = len as i64;
    let start = if start < 0 { (start + len).max(0) } else { start };
    let stop = if stop < 0 { stop + len } else { stop }.min(len - 1);
    if start > stop || start >= len {
        (0, 0)
    } else {
        (start as usize, (stop - start + 1) as usize)
    }
}

fn lindex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let list = ctx.engine.read_list(ctx.view, args.at(1))?;
    let Some(list) = list else {
        ctx.client.out.null();
        return Ok(());
    };
    let index = int(args.at(2))?;
    match index_in(list.len(), index).and_then(|at| list.at(at)) {
        Some(item) => reply_item(&mut ctx.client.out, item),
        None => ctx.client.out.null(),
    }
    Ok(())
}

fn lrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (start, stop) = (int(args.at(2))?, int(args.at(3))?);
    let list = ctx.engine.read_list(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    let Some(list) = list else {
        out.array(0);
        return Ok(());
    };
    let (from, n) = range_in(list.len(), start, stop);
    out.array(n);
    list.iter_from(from).take(n).for_each(|item| reply_item(out, item));
    Ok(())
}

fn linsert(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let after = match args.at(2) {
        word if is(word, "after") => true,
        word if is(word, "before") => false,
        _ => return Err(CommandError::Syntax),
    };
    let Some((list, limits)) = ctx.engine.write_list(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    if !list.insert_beside(args.at(3), after, args.at(4), limits) {
        ctx.client.out.int(-1);
        return Ok(());
    }
    let len = list.len();
    ctx.engine.changed(db, key, Classes::LIST, "linsert");
    ctx.client.out.int(len as i64);
    Ok(())
}

fn lset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let Some((list, limits)) = ctx.engine.write_list(db, key)? else {
        return Err(CommandError::NoSuchKey);
    };
    let index = int(args.at(2))?;
    let at = index_in(list.len(), index).ok_or(CommandError::IndexOutOfRange)?;
    list.set(at, args.at(3), limits);
    ctx.engine.changed(db, key, Classes::LIST, "lset");
    ctx.client.out.ok();
    Ok(())
}

fn lrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let count = int(args.at(2))?;
    let Some((list, limits)) = ctx.engine.write_list(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let end = if count < 0 { End::Tail } else { End::Head };
    let max = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let removed = list.remove_equal(end, max, args.at(3), limits);
    let empty = list.is_empty();
    ctx.removed_elements(key, removed, empty, Classes::LIST, "lrem");
    ctx.client.out.int(removed as i64);
    Ok(())
}

fn ltrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let (start, stop) = (int(args.at(2))?, int(args.at(3))?);
    if let Some((list, limits)) = ctx.engine.write_list(db, key)? {
        let before = list.len();
        let (from, n) = range_in(before, start, stop);
        list.trim(from, n, limits);
        let (removed, empty) = (before - list.len(), list.is_empty());
        if removed == 0 {
            // An event all the same, and no transaction that watches the key may succeed.
            ctx.engine.touched(db, key, Classes::LIST, "ltrim");
        }
        ctx.removed_elements(key, removed, empty, Classes::LIST, "ltrim");
    }
    ctx.client.out.ok();
    Ok(())
}

struct PosOptions {
    rank: i64,
    count: Option<usize>,
    max_len: usize,
}

fn pos_options(args: Args<'_>) -> Result<PosOptions, CommandError> {
    let mut options = PosOptions { rank: 1, count: None, max_len: 0 };
    let mut at = 3;
    while at < args.len() {
        let option = args.at(at);
        let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
        let not_negative = |what: &str| match parse_i64(value) {
            Some(n) if n >= 0 => Ok(n as usize),
            _ => Err(CommandError::err(format_args!("{what} can't be negative"))),
        };
        if is(option, "rank") {
            // Counted from the end it has a positive counterpart.
            options.rank = int_between(value, -i64::MAX, i64::MAX)?;
            if options.rank == 0 {
                return Err(CommandError::err(
                    "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ));
            }
        } else if is(option, "count") {
            options.count = Some(not_negative("COUNT")?);
        } else if is(option, "maxlen") {
            options.max_len = not_negative("MAXLEN")?;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    Ok(options)
}

fn lpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let options = pos_options(args)?;
    let list = ctx.engine.read_list(ctx.view, args.at(1))?;
    let mut places = Vec::new();
    if let Some(list) = list {
        let wanted = match options.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let max_len = if options.max_len == 0 { usize::MAX } else { options.max_len };
        let skip = options.rank.unsigned_abs() as usize - 1;
        let element = args.at(2);
        let len = list.len();
        let mut matches = 0;
        let mut visit = |at: usize, equal: bool| {
            matches += equal as usize;
            if equal && matches > skip {
                places.push(at);
            }
            places.len() < wanted
        };
        if options.rank > 0 {
            let mut items = list.iter().enumerate().take(max_len);
            while let Some((at, item)) = items.next()
                && visit(at, item.eq_bytes(element))
            {}
        } else {
            let mut items = list.iter().rev().enumerate().take(max_len);
            while let Some((at, item)) = items.next()
                && visit(len - 1 - at, item.eq_bytes(element))
            {}
        }
    }
    let out = &mut ctx.client.out;
    match (options.count, places.first()) {
        (Some(_), _) => {
            out.array(places.len());
            places.iter().for_each(|at| out.int(*at as i64));
        }
        (None, Some(at)) => out.int(*at as i64),
        (None, None) => out.null(),
    }
    Ok(())
}

fn end_of(word: &[u8]) -> Result<End, CommandError> {
    match word {
        _ if is(word, "left") => Ok(End::Head),
        _ if is(word, "right") => Ok(End::Tail),
        _ => Err(CommandError::Syntax),
    }
}

fn lmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (from, to) = (end_of(args.at(3))?, end_of(args.at(4))?);
    move_or_block(ctx, args, from, to, None)?;
    Ok(())
}

fn rpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    move_or_block(ctx, args, End::Tail, End::Head, None)?;
    Ok(())
}

fn blmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (from, to) = (end_of(args.at(3))?, end_of(args.at(4))?);
    let timeout_us = timeout_seconds(args.at(5))?;
    if move_or_block(ctx, args, from, to, Some(timeout_us))? {
        let word = |end| if end == End::Head { b"left".as_slice() } else { b"right" };
        ctx.propagate(&[b"LMOVE", args.at(1), args.at(2), word(from), word(to)]);
    }
    Ok(())
}

fn brpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let timeout_us = timeout_seconds(args.at(3))?;
    if move_or_block(ctx, args, End::Tail, End::Head, Some(timeout_us))? {
        ctx.propagate(&[b"RPOPLPUSH", args.at(1), args.at(2)]);
    }
    Ok(())
}

/// Moves an element; without one it blocks, when that was asked for and is allowed. Whether it has moved one.
fn move_or_block(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    from: End,
    to: End,
    timeout_us: Option<u64>,
) -> Result<bool, CommandError> {
    let (db, source, dest) = (ctx.view, args.at(1), args.at(2));
    if ctx.engine.peek_list(db, source)?.is_none() {
        match timeout_us {
            Some(timeout_us) if ctx.may_block() => {
                ctx.block_on_keys([source], Type::List, timeout_us, OnTimeout::NullArray);
            }
            _ => ctx.client.out.null(),
        }
        return Ok(false);
    }
    // The destination is looked at before the source is touched: an error moves nothing.
    ctx.engine.peek_list(db, dest)?;
    let Some((list, limits)) = ctx.engine.write_list(db, source)? else { return Ok(false) };
    let element = list.pop(from, limits, |item| item.to_vec()).unwrap_or_default();
    let empty = list.is_empty();
    let (list, limits) = ctx.engine.create_list(db, dest, |_| List::new())?;
    list.push(to, &element, limits);
    // The event of the push comes first, as in Redis.
    ctx.engine.changed(db, dest, Classes::LIST, push_event(to));
    ctx.engine.notify(db, source, Classes::LIST, pop_event(from));
    if source != dest {
        ctx.engine.touched(db, source, Classes::default(), "");
        if empty {
            ctx.engine.keyspace.db_mut(db.index()).remove(source);
            ctx.engine.notify(db, source, Classes::GENERIC, "del");
        }
    }
    ctx.client.out.bulk(&element);
    Ok(true)
}

fn blpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    blocking_pop(ctx, args, End::Head)
}

fn brpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    blocking_pop(ctx, args, End::Tail)
}

fn blocking_pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Result<(), CommandError> {
    let timeout_us = timeout_seconds(args.at(args.len() - 1))?;
    let keys = args.slice(1..args.len() - 1);
    for key in keys.iter() {
        if ctx.engine.peek_list(ctx.view, key)?.is_some() {
            ctx.client.out.array(2);
            ctx.client.out.bulk(key);
            pop_reply(ctx, key, end, 1)?;
            ctx.propagate(&[if end == End::Head { b"LPOP" } else { b"RPOP" }, key]);
            return Ok(());
        }
    }
    block_or_null(ctx, keys, Type::List, Some(timeout_us));
    Ok(())
}

/// The words behind a key count: the keys, and what follows them.
pub(crate) fn counted_keys<'a>(
    args: Args<'a>,
    count_at: usize,
) -> Result<(Args<'a>, Args<'a>), CommandError> {
    let count = parse_i64(args.at(count_at)).filter(|n| *n > 0);
    let count = count.ok_or_else(|| CommandError::err("numkeys should be greater than 0"))?;
    let first = count_at + 1;
    if count as u64 > (args.len() - first) as u64 {
        return Err(CommandError::Syntax);
    }
    let last = first + count as usize;
    Ok((args.slice(first..last), args.slice(last..args.len())))
}

/// The COUNT at the end of LMPOP, ZMPOP and their blocking forms; 1 without one.
pub(crate) fn mpop_count(rest: Args<'_>) -> Result<usize, CommandError> {
    let count = match rest.len() {
        0 => return Ok(1),
        2.. if is(rest.at(0), "count") => parse_i64(rest.at(1)).filter(|n| *n > 0),
        _ => return Err(CommandError::Syntax),
    };
    let count = count.ok_or_else(|| CommandError::err("count should be greater than 0"))?;
    if rest.len() > 2 {
        return Err(CommandError::Syntax);
    }
    Ok(count as usize)
}

fn lmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    multi_pop(ctx, args, 1, None)
}

fn blmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    multi_pop(ctx, args, 2, Some(args.at(1)))
}

fn multi_pop(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    count_at: usize,
    timeout: Option<&[u8]>,
) -> Result<(), CommandError> {
    let (keys, rest) = counted_keys(args, count_at)?;
    let end = end_of(rest.get(0).ok_or(CommandError::Syntax)?)?;
    let count = mpop_count(rest.slice(1..rest.len()))?;
    // Read last: what is wrong with the other words is told first.
    let timeout_us = timeout.map(timeout_seconds).transpose()?;
    for key in keys.iter() {
        let Some(list) = ctx.engine.peek_list(ctx.view, key)? else { continue };
        let n = count.min(list.len());
        ctx.client.out.array(2);
        ctx.client.out.bulk(key);
        ctx.client.out.array(n);
        pop_reply(ctx, key, end, n)?;
        let word: &[u8] = if end == End::Head { b"LPOP" } else { b"RPOP" };
        ctx.propagate(&[word, key, n.to_string().as_bytes()]);
        return Ok(());
    }
    block_or_null(ctx, keys, Type::List, timeout_us);
    Ok(())
}

/// Blocks for any of the keys where the command may, else answers that there is nothing.
pub(crate) fn block_or_null(ctx: &mut Ctx<'_>, keys: Args<'_>, of: Type, timeout_us: Option<u64>) {
    match timeout_us {
        Some(timeout_us) if ctx.may_block() => {
            ctx.block_on_keys(keys.iter(), of, timeout_us, OnTimeout::NullArray);
        }
        _ => ctx.client.out.null_array(),
    }
}
