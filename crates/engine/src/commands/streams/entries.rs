//! The entries themselves: XADD, XLEN, XRANGE, XREVRANGE, XTRIM and XSETID.

use protocol::{Args, ReplyBuf};
use store::stream::{NewId, Stream, StreamId};

use super::ids::{self, reply_entries};
use super::trim;
use crate::commands::args::{int, is};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

pub(super) fn xadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let options = trim::options(ctx, args, true)?;
    let fields_at = options.id_at + 1;
    let fields = args.len().saturating_sub(fields_at);
    if fields < 2 || !fields.is_multiple_of(2) {
        return Err(CommandError::arity(ctx.found.spec.name));
    }
    if options.id == Some(NewId::Given(StreamId::MIN)) {
        return Err(CommandError::err("The ID specified in XADD must be greater than 0-0"));
    }
    let words = args.slice(fields_at..args.len()).iter();
    let now_ms = ctx.engine.now.unix_ms() as u64;
    let (db, key) = (ctx.view, args.at(1));
    let fits = Stream::fits(words.clone().map(<[u8]>::len).sum());
    if (options.no_mkstream || !fits) && ctx.engine.write_stream(db, key)?.is_none() {
        if !options.no_mkstream {
            return Err(CommandError::StreamEntryTooLarge);
        }
        ctx.client.out.null();
        return Ok(());
    }
    // From here on nothing goes wrong with a stream that is made: none is left behind without entries.
    let (stream, limits) = ctx.engine.create_stream(db, key, |_| Stream::new())?;
    if stream.last_id() == StreamId::MAX {
        return Err(CommandError::StreamExhausted);
    }
    let wanted = options.id.unwrap_or(NewId::Auto { now_ms });
    let id = stream.next_id(wanted).ok_or(CommandError::StreamIdTooSmall)?;
    if !fits {
        return Err(CommandError::StreamEntryTooLarge);
    }
    stream.append(id, words, limits);
    let trimmed = options.trim(stream);
    let is_trimmed = trimmed.count > 0;
    let outcome = options.outcome(stream, trimmed);
    let text = id.text();
    ctx.client.out.bulk(text.as_bytes());
    ctx.engine.changed(db, key, Classes::STREAM, "xadd");
    if is_trimmed {
        ctx.engine.notify(db, key, Classes::STREAM, "xtrim");
    }
    let is_made_up = !matches!(options.id, Some(NewId::Given(_)));
    options.propagate(ctx, args, is_made_up.then_some(text.as_bytes()), &outcome);
    Ok(())
}

pub(super) fn xtrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let options = trim::options(ctx, args, false)?;
    let (db, key) = (ctx.view, args.at(1));
    let Some((stream, _)) = ctx.engine.write_stream(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let trimmed = options.trim(stream);
    let count = trimmed.count;
    if count > 0 {
        let outcome = options.outcome(stream, trimmed);
        ctx.engine.changed(db, key, Classes::STREAM, "xtrim");
        ctx.engine.dirty += count - 1;
        options.propagate(ctx, args, None, &outcome);
    }
    ctx.client.out.int(count as i64);
    Ok(())
}

pub(super) fn xlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let len = ctx.engine.read_stream(ctx.view, args.at(1))?.map_or(0, Stream::len);
    ctx.client.out.int(len as i64);
    Ok(())
}

pub(super) fn xrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let range = (ids::start(args.at(2))?, ids::end(args.at(3))?);
    reply_range(ctx, args, |stream, out, count| {
        reply_entries(out, stream.range(range.0, range.1).take(count));
    })
}

pub(super) fn xrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let range = (ids::start(args.at(3))?, ids::end(args.at(2))?);
    reply_range(ctx, args, |stream, out, count| {
        reply_entries(out, stream.rev_range(range.0, range.1).take(count));
    })
}

fn reply_range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    reply: impl FnOnce(&Stream, &mut ReplyBuf, usize),
) -> Result<(), CommandError> {
    let mut count = None;
    let mut at = 4;
    while at < args.len() {
        let (true, Some(n)) = (is(args.at(at), "count"), args.get(at + 1)) else {
            return Err(CommandError::Syntax);
        };
        // Nobody asked for less than nothing.
        count = Some(int(n)?.max(0) as usize);
        at += 2;
    }
    let stream = ctx.engine.read_stream(ctx.view, args.at(1))?;
    match (stream, count) {
        (None, _) => ctx.client.out.array(0),
        (Some(_), Some(0)) => ctx.client.out.null_array(),
        (Some(stream), count) => reply(stream, &mut ctx.client.out, count.unwrap_or(usize::MAX)),
    }
    Ok(())
}

pub(super) fn xsetid(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let last_id = ids::id(args.at(2))?;
    let (mut entries_added, mut max_deleted_id) = (None, StreamId::MIN);
    let mut at = 3;
    while at < args.len() {
        let (option, value) = (args.at(at), args.get(at + 1).ok_or(CommandError::Syntax)?);
        if is(option, "entriesadded") {
            let negative = || CommandError::err("entries_added must be positive");
            entries_added = Some(u64::try_from(int(value)?).map_err(|_| negative())?);
        } else if is(option, "maxdeletedid") {
            max_deleted_id = ids::id(value)?;
            if last_id < max_deleted_id {
                return Err(CommandError::err(
                    "The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    // Redis 7.0, which may be the master, does not mind the next one.
    let is_applied = ctx.call.is_applied();
    let Some((stream, _)) = ctx.engine.write_stream(db, key)? else {
        return Err(CommandError::NoSuchKey);
    };
    if last_id < stream.max_deleted_id && !is_applied {
        return Err(CommandError::err(
            "The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if stream.last_entry_id().is_some_and(|last| last_id < last) {
        return Err(CommandError::StreamSetIdTooSmall);
    }
    if !stream.is_empty() && entries_added.is_some_and(|added| added < stream.len()) {
        return Err(CommandError::err(
            "The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    stream.set_last_id(last_id);
    stream.entries_added = entries_added.unwrap_or(stream.entries_added);
    if max_deleted_id != StreamId::MIN {
        stream.max_deleted_id = max_deleted_id;
    }
    ctx.engine.dirty += 1;
    ctx.engine.notify(db, key, Classes::STREAM, "xsetid");
    ctx.client.out.ok();
    Ok(())
}
