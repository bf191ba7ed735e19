//! XINFO: a stream, its groups and their consumers, as figures and in full.

use protocol::{Args, ReplyBuf};
use store::stream::{ConsumerKey, Group, Pending, Stream, StreamId};

use super::ids::{self, reply_entries, reply_entry, reply_id};
use crate::commands::args::{int, is};
use crate::door::ctx::Ctx;
use crate::error::CommandError;

/// Entries that FULL shows of each kind, unless it is told how many.
const DEFAULT_COUNT: usize = 10;

pub(super) fn stream(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let found = ctx.engine.read_stream(ctx.view, args.at(2))?;
    let stream = found.ok_or(CommandError::NoSuchKey)?;
    let count = full_count(args)?;
    let out = &mut ctx.client.out;
    out.map(if count.is_some() { 9 } else { 10 });
    let mut field = |name: &str, value: i64| {
        out.bulk(name.as_bytes());
        out.int(value);
    };
    field("length", stream.len() as i64);
    field("radix-tree-keys", stream.nodes_len() as i64);
    field("radix-tree-nodes", stream.tree_nodes() as i64);
    reply_id_field(out, "last-generated-id", stream.last_id());
    reply_id_field(out, "max-deleted-entry-id", stream.max_deleted_id);
    out.bulk(b"entries-added");
    out.int(stream.entries_added as i64);
    reply_id_field(out, "recorded-first-entry-id", stream.first_id());
    match count {
        Some(count) => reply_full(out, stream, count),
        None => reply_edges(out, stream),
    }
    Ok(())
}

/// The count of `FULL [COUNT n]`, where it is asked for.
fn full_count(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    let wrong = || CommandError::subcommand_syntax(args.at(1), "xinfo");
    match args.len() {
        3 => Ok(None),
        4 if is(args.at(3), "full") => Ok(Some(DEFAULT_COUNT)),
        6 if is(args.at(3), "full") && is(args.at(4), "count") => match int(args.at(5))? {
            // All there is.
            0 => Ok(Some(usize::MAX)),
            n => Ok(Some(usize::try_from(n).unwrap_or(DEFAULT_COUNT))),
        },
        _ => Err(wrong()),
    }
}

fn reply_id_field(out: &mut ReplyBuf, name: &str, id: StreamId) {
    out.bulk(name.as_bytes());
    reply_id(out, id);
}

fn reply_edges(out: &mut ReplyBuf, stream: &Stream) {
    out.bulk(b"groups");
    out.int(stream.groups.len() as i64);
    let first = stream.range(StreamId::MIN, StreamId::MAX).next();
    let last = stream.rev_range(StreamId::MIN, StreamId::MAX).next();
    for (name, entry) in [("first-entry", first), ("last-entry", last)] {
        out.bulk(name.as_bytes());
        match entry {
            Some(entry) => reply_entry(out, &entry),
            None => out.null(),
        }
    }
}

fn reply_full(out: &mut ReplyBuf, stream: &Stream, count: usize) {
    out.bulk(b"entries");
    reply_entries(out, stream.range(StreamId::MIN, StreamId::MAX).take(count));
    out.bulk(b"groups");
    out.array(stream.groups.len());
    for (name, group) in &stream.groups {
        out.map(7);
        out.bulk(b"name");
        out.bulk(name);
        reply_progress(out, stream, group);
        out.bulk(b"pel-count");
        out.int(group.pending().len() as i64);
        out.bulk(b"pending");
        out.array(group.pending().len().min(count));
        for (id, pending) in group.pending().iter().take(count) {
            out.array(4);
            reply_id(out, id);
            out.bulk(group.consumer(pending.consumer).name());
            reply_delivery(out, pending);
        }
        out.bulk(b"consumers");
        out.array(group.consumers_len());
        for (key, _) in group.consumers() {
            reply_consumer(out, group, key, count);
        }
    }
}

fn reply_delivery(out: &mut ReplyBuf, pending: &Pending) {
    out.int(pending.delivery_ms);
    out.int(pending.deliveries as i64);
}

fn reply_consumer(out: &mut ReplyBuf, group: &Group, key: ConsumerKey, count: usize) {
    let consumer = group.consumer(key);
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    out.bulk(b"seen-time");
    out.int(consumer.seen_ms);
    out.bulk(b"active-time");
    out.int(consumer.active_ms.unwrap_or(-1));
    out.bulk(b"pel-count");
    out.int(consumer.pending_len() as i64);
    out.bulk(b"pending");
    out.array(consumer.pending_len().min(count));
    for (id, ()) in group.pending_of(key, StreamId::MIN).take(count) {
        out.array(3);
        reply_id(out, id);
        match group.pending().get(id) {
            Some(pending) => reply_delivery(out, pending),
            None => (0..2).for_each(|_| out.null()),
        }
    }
}

/// How far a group has read, and how far it lags behind.
fn reply_progress(out: &mut ReplyBuf, stream: &Stream, group: &Group) {
    reply_id_field(out, "last-delivered-id", group.last_id);
    for (name, count) in [("entries-read", group.entries_read), ("lag", stream.lag(group))] {
        out.bulk(name.as_bytes());
        match count {
            Some(count) => out.int(count),
            None => out.null(),
        }
    }
}

pub(super) fn groups(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let found = ctx.engine.read_stream(ctx.view, args.at(2))?;
    let stream = found.ok_or(CommandError::NoSuchKey)?;
    let out = &mut ctx.client.out;
    out.array(stream.groups.len());
    for (name, group) in &stream.groups {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"consumers");
        out.int(group.consumers_len() as i64);
        out.bulk(b"pending");
        out.int(group.pending().len() as i64);
        reply_progress(out, stream, group);
    }
    Ok(())
}

pub(super) fn consumers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, name) = (args.at(2), args.at(3));
    let now_ms = ctx.engine.now.unix_ms();
    let found = ctx.engine.read_stream(ctx.view, key)?;
    let stream = found.ok_or(CommandError::NoSuchKey)?;
    let group = stream.groups.get(name).ok_or_else(|| ids::no_group_of_key(key, name))?;
    let out = &mut ctx.client.out;
    out.array(group.consumers_len());
    for (_, consumer) in group.consumers() {
        let since = |at_ms: i64| now_ms.saturating_sub(at_ms).max(0);
        out.map(4);
        out.bulk(b"name");
        out.bulk(consumer.name());
        for (name, n) in [
            ("pending", consumer.pending_len() as i64),
            ("idle", since(consumer.seen_ms)),
            ("inactive", consumer.active_ms.map_or(-1, since)),
        ] {
            out.bulk(name.as_bytes());
            out.int(n);
        }
    }
    Ok(())
}
