//! XGROUP and XACK, and XPENDING, which looks at what is not acknowledged.

use protocol::{Args, ReplyBuf};
use store::stream::{ConsumerKey, Group, Pending, Stream, StreamId};

use super::delete::id_list;
use super::ids::{self, reply_id};
use crate::commands::args::{int, is};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

/// The consumer of this name, which is seen now; and whether it had to be made.
pub(super) fn find_or_create(group: &mut Group, name: &[u8], now_ms: i64) -> (ConsumerKey, bool) {
    if let Some(key) = group.find(name) {
        group.consumer_mut(key).seen_ms = now_ms;
        return (key, false);
    }
    let key = group.create(name, now_ms).expect("there is none of this name");
    (key, true)
}

/// A consumer was made, by whichever command.
pub(super) fn created(ctx: &mut Ctx<'_>, key: &[u8]) {
    group_changed(ctx, key, "xgroup-createconsumer");
}

/// A group is none of a stream's entries: who watches the key has not seen it, and who waits for
/// entries does not wait for it.
fn group_changed(ctx: &mut Ctx<'_>, key: &[u8], event: &str) {
    ctx.engine.dirty += 1;
    ctx.engine.notify(ctx.view, key, Classes::STREAM, event);
}

/// MKSTREAM and ENTRIESREAD of XGROUP CREATE and SETID.
fn group_options(args: Args<'_>, may_make: bool) -> Result<(bool, Option<i64>), CommandError> {
    let (mut makes, mut read) = (false, None);
    let mut at = 5;
    while at < args.len() {
        if may_make && is(args.at(at), "mkstream") {
            makes = true;
            at += 1;
        } else if is(args.at(at), "entriesread") && at + 1 < args.len() {
            let n = int(args.at(at + 1))?;
            if n < -1 {
                return Err(CommandError::err("value for ENTRIESREAD must be positive or -1"));
            }
            read = (n != -1).then_some(n);
            at += 2;
        } else {
            return Err(CommandError::subcommand_syntax(args.at(1), "xgroup"));
        }
    }
    Ok((makes, read))
}

/// The stream of an XGROUP subcommand, which must be there.
fn stream_of<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<&'a mut Stream, CommandError> {
    let found = ctx.engine.write_stream(ctx.view, key)?;
    found.map(|(stream, _)| stream).ok_or(CommandError::GroupWithoutKey)
}

fn group_of<'a>(
    ctx: &'a mut Ctx<'_>,
    key: &[u8],
    name: &[u8],
) -> Result<&'a mut Group, CommandError> {
    let group = stream_of(ctx, key)?.groups.get_mut(name);
    group.ok_or_else(|| ids::no_group_of_key(key, name))
}

pub(super) fn create(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key, name) = (ctx.view, args.at(2), args.at(3));
    let (makes, entries_read) = group_options(args, true)?;
    let found = ctx.engine.write_stream(db, key)?.map(|(stream, _)| stream);
    let last_id = match (args.at(4), &found) {
        (_, None) if !makes => return Err(CommandError::GroupWithoutKey),
        // Options may be said again, up to this many words.
        _ if args.len() > 8 => return Err(CommandError::subcommand_syntax(args.at(1), "xgroup")),
        (b"$", found) => found.as_ref().map_or(StreamId::MIN, |stream| stream.last_id()),
        (id, _) => ids::id(id)?,
    };
    let group = Group::new(last_id, entries_read);
    match found {
        Some(stream) if stream.groups.contains_key(name) => return Err(CommandError::GroupExists),
        Some(stream) => drop(stream.groups.insert(name.into(), group)),
        None => {
            let (stream, _) = ctx.engine.create_stream(db, key, |_| Stream::new())?;
            stream.groups.insert(name.into(), group);
            ctx.engine.touched(db, key, Classes::default(), "");
        }
    }
    group_changed(ctx, key, "xgroup-create");
    ctx.client.out.ok();
    Ok(())
}

pub(super) fn setid(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, name) = (args.at(2), args.at(3));
    let (_, entries_read) = group_options(args, false)?;
    let last_entry = stream_of(ctx, key)?.last_id();
    let group = group_of(ctx, key, name)?;
    if args.len() > 7 {
        return Err(CommandError::subcommand_syntax(args.at(1), "xgroup"));
    }
    group.last_id = match args.at(4) {
        b"$" => last_entry,
        id => ids::id_or_end(id, 0)?,
    };
    group.entries_read = entries_read;
    group_changed(ctx, key, "xgroup-setid");
    ctx.client.out.ok();
    Ok(())
}

pub(super) fn destroy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key, name) = (ctx.view, args.at(2), args.at(3));
    let destroyed = stream_of(ctx, key)?.groups.remove(name).is_some();
    if destroyed {
        group_changed(ctx, key, "xgroup-destroy");
        // Who waits for entries of the group waits in vain, and is told.
        ctx.engine.blocked.key_written(db.index(), key);
    }
    ctx.client.out.int(destroyed.into());
    Ok(())
}

pub(super) fn createconsumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, name) = (args.at(2), args.at(3));
    let now_ms = ctx.engine.now.unix_ms();
    let is_new = group_of(ctx, key, name)?.create(args.at(4), now_ms).is_some();
    if is_new {
        created(ctx, key);
    }
    ctx.client.out.int(is_new.into());
    Ok(())
}

pub(super) fn delconsumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, name) = (args.at(2), args.at(3));
    let deleted = group_of(ctx, key, name)?.delete(args.at(4));
    if deleted.is_some() {
        group_changed(ctx, key, "xgroup-delconsumer");
    }
    ctx.client.out.int(deleted.unwrap_or(0) as i64);
    Ok(())
}

pub(super) fn xack(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key, name) = (ctx.view, args.at(1), args.at(2));
    let stream = ctx.engine.read_stream(db, key)?;
    if stream.is_none_or(|stream| !stream.groups.contains_key(name)) {
        ctx.client.out.int(0);
        return Ok(());
    }
    let ids = id_list(args.slice(3..args.len()))?;
    let stream = ctx.engine.write_stream(db, key)?.map(|(stream, _)| stream);
    let acknowledged = match stream.and_then(|stream| stream.groups.get_mut(name)) {
        Some(group) => ids.iter().filter(|id| group.release(**id).is_some()).count(),
        None => 0,
    };
    ctx.engine.dirty += acknowledged as u64;
    ctx.client.out.int(acknowledged as i64);
    Ok(())
}

/// What XPENDING is asked for, beyond the summary.
struct Filter<'a> {
    start: StreamId,
    end: StreamId,
    count: usize,
    min_idle_ms: i64,
    consumer: Option<&'a [u8]>,
}

fn pending_filter(args: Args<'_>) -> Result<Option<Filter<'_>>, CommandError> {
    match args.len() {
        3 => return Ok(None),
        6..=9 => {}
        _ => return Err(CommandError::Syntax),
    }
    let (mut at, mut min_idle_ms) = (3, 0);
    if is(args.at(3), "idle") {
        min_idle_ms = int(args.at(4))?;
        if args.len() < 8 {
            return Err(CommandError::Syntax);
        }
        at = 5;
    }
    let count = int(args.at(at + 2))?.max(0) as usize;
    let (start, end) = (ids::start(args.at(at))?, ids::end(args.at(at + 1))?);
    Ok(Some(Filter { start, end, count, min_idle_ms, consumer: args.get(at + 3) }))
}

pub(super) fn xpending(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, name) = (args.at(1), args.at(2));
    let filter = pending_filter(args)?;
    let now_ms = ctx.engine.now.unix_ms();
    let stream = ctx.engine.read_stream(ctx.view, key)?;
    let group = stream.and_then(|stream| stream.groups.get(name));
    let group = group.ok_or_else(|| ids::no_group(key, name, ""))?;
    let out = &mut ctx.client.out;
    match filter {
        None => reply_summary(out, group),
        Some(filter) => reply_pending(out, group, &filter, now_ms),
    }
    Ok(())
}

fn reply_summary(out: &mut ReplyBuf, group: &Group) {
    out.array(4);
    out.int(group.pending().len() as i64);
    let (Some((first, _)), Some((last, _))) = (group.pending().first(), group.pending().last())
    else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    reply_id(out, first);
    reply_id(out, last);
    let busy = || group.consumers().filter(|(_, consumer)| consumer.pending_len() > 0);
    out.array(busy().count());
    for (_, consumer) in busy() {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_int(consumer.pending_len() as i64);
    }
}

fn reply_pending(out: &mut ReplyBuf, group: &Group, filter: &Filter<'_>, now_ms: i64) {
    let idle_ms = |pending: &Pending| now_ms.saturating_sub(pending.delivery_ms);
    let is_asked_for = |id: &StreamId, pending: &Pending| {
        *id <= filter.end && (filter.min_idle_ms == 0 || idle_ms(pending) >= filter.min_idle_ms)
    };
    let mark = out.defer_array();
    let mut count = 0;
    let mut reply = |id: StreamId, pending: &Pending| {
        if is_asked_for(&id, pending) && count < filter.count {
            count += 1;
            out.array(4);
            reply_id(out, id);
            out.bulk(group.consumer(pending.consumer).name());
            out.int(idle_ms(pending).max(0));
            out.int(pending.deliveries as i64);
        }
        id < filter.end && count < filter.count
    };
    match filter.consumer {
        None => {
            let mut pending = group.pending().iter_from(filter.start);
            pending.all(|(id, pending)| reply(id, pending));
        }
        Some(name) => {
            let own = group.find(name).map(|key| group.pending_of(key, filter.start));
            let own = own.into_iter().flatten();
            let mut pending = own.filter_map(|(id, ())| Some((id, group.pending().get(id)?)));
            pending.all(|(id, pending)| reply(id, pending));
        }
    }
    out.finish_array(mark, count);
}
