//! XREAD and XREADGROUP: what came after an id, what a group has not been given yet, or what a
//! consumer has pending; of several streams, and waiting for it.

use protocol::{Args, OwnedArgs, ReplyBuf, Resp};
use smallvec::SmallVec;
use store::Type;
use store::stream::{ConsumerKey, Entry, Group, Pending, Stream, StreamId};

use super::claim::{Delivery, Idle, claim_idle, propagate_deliveries, propagate_group};
use super::groups::{created, find_or_create};
use super::ids::{self, reply_entries, reply_entry, reply_fields, reply_id};
use crate::commands::args::{int, is, timeout_ms};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::blocking::{OnTimeout, Waiting};

/// The words of either command.
struct Query<'a> {
    /// `None` where it does not wait.
    block_us: Option<u64>,
    count: usize,
    /// Of XREADGROUP: the group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    noack: bool,
    /// How long an entry has to have been pending, for others too, to be given to this consumer.
    claim_ms: Option<i64>,
    keys_at: usize,
    keys: Args<'a>,
    ids: Args<'a>,
}

/// How often, at most, somebody looks for entries to claim where there are none yet.
const CLAIM_LOOKS_MS: i64 = 100;

/// What of a stream is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    After(StreamId),
    /// The last entry alone.
    Last,
    /// What no consumer of the group was given yet.
    New,
}

/// Where STREAMS stands, for those who look for the keys.
pub(super) fn streams_at(args: Args<'_>) -> Option<usize> {
    let mut at = 1;
    loop {
        let word = args.get(at)?;
        at += match word {
            _ if is(word, "streams") => return Some(at),
            _ if is(word, "block") || is(word, "count") || is(word, "claim") => 2,
            _ if is(word, "group") => 3,
            _ if is(word, "noack") => 1,
            _ => return None,
        };
    }
}

fn query<'a>(args: Args<'a>, is_group_read: bool) -> Result<Query<'a>, CommandError> {
    let (mut block_us, mut count, mut group, mut noack) = (None, 0, None, false);
    let mut claim_ms = None;
    let only_for_groups = |option: &str| {
        CommandError::err(format_args!(
            "The {option} option is only supported by XREADGROUP. You called XREAD instead."
        ))
    };
    let mut at = 1;
    let keys_at = loop {
        let option = args.get(at).ok_or(CommandError::Syntax)?;
        let more = args.len() - 1 - at;
        at += if more >= 1 && is(option, "block") {
            block_us = Some(timeout_ms(args.at(at + 1))?);
            2
        } else if more >= 1 && is(option, "count") {
            count = int(args.at(at + 1))?.max(0) as usize;
            2
        } else if more >= 1 && is(option, "streams") {
            break at + 1;
        } else if more >= 2 && is(option, "group") {
            if !is_group_read {
                return Err(only_for_groups("GROUP"));
            }
            group = Some((args.at(at + 1), args.at(at + 2)));
            3
        } else if more >= 1 && is(option, "claim") {
            if !is_group_read {
                return Err(only_for_groups("CLAIM"));
            }
            claim_ms = Some(min_idle_ms(args.at(at + 1))?);
            2
        } else if is(option, "noack") {
            if !is_group_read {
                return Err(only_for_groups("NOACK"));
            }
            noack = true;
            1
        } else {
            return Err(CommandError::Syntax);
        };
    };
    let streams = args.len() - keys_at;
    if !streams.is_multiple_of(2) {
        let (name, special) = if is_group_read { ("xreadgroup", ">") } else { ("xread", "$") };
        return Err(CommandError::err(format_args!(
            "Unbalanced '{name}' list of streams: for each stream key an ID or '{special}' must be specified."
        )));
    }
    if is_group_read && group.is_none() {
        return Err(CommandError::err("Missing GROUP option for XREADGROUP"));
    }
    let ids_at = keys_at + streams / 2;
    // No count is for all there is.
    let count = if count == 0 { usize::MAX } else { count };
    let (keys, ids) = (args.slice(keys_at..ids_at), args.slice(ids_at..args.len()));
    Ok(Query { block_us, count, group, noack, claim_ms, keys_at, keys, ids })
}

fn min_idle_ms(arg: &[u8]) -> Result<i64, CommandError> {
    match protocol::parse_i64(arg) {
        None => Err(CommandError::err("min-idle-time is not an integer or out of range")),
        Some(..0) => Err(CommandError::err("min-idle-time must be a positive integer")),
        Some(ms) => Ok(ms),
    }
}

fn wanted(
    arg: &[u8],
    stream: Option<&Stream>,
    is_group_read: bool,
) -> Result<Wanted, CommandError> {
    let meaningless = |sign: &str| {
        CommandError::err(format_args!(
            "The {sign} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The {sign} ID would just return an empty result set."
        ))
    };
    match arg {
        b"$" if is_group_read => Err(meaningless("$")),
        b"$" => Ok(Wanted::After(stream.map_or(StreamId::MIN, Stream::last_id))),
        b"+" if is_group_read => Err(meaningless("+")),
        b"+" => Ok(Wanted::Last),
        b">" if !is_group_read => Err(CommandError::err(
            "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        b">" => Ok(Wanted::New),
        // Behind the last id that there can be is nothing but what is new.
        _ => Ok(match ids::id(arg)? {
            StreamId::MAX if is_group_read => Wanted::New,
            id => Wanted::After(id),
        }),
    }
}

/// The reply, which has no beginning before there is something to put in.
struct Reply {
    mark: Option<protocol::DeferMark>,
    streams: usize,
}

impl Reply {
    fn new() -> Reply {
        Reply { mark: None, streams: 0 }
    }

    /// The entries of a stream come next.
    fn stream(&mut self, out: &mut ReplyBuf, key: &[u8]) {
        self.mark.get_or_insert_with(|| out.defer_array());
        self.streams += 1;
        if out.resp == Resp::V2 {
            out.array(2);
        }
        out.bulk(key);
    }

    /// Whether there was anything.
    fn finish(self, out: &mut ReplyBuf) -> bool {
        let Some(mark) = self.mark else { return false };
        match out.resp {
            Resp::V2 => out.finish_array(mark, self.streams),
            Resp::V3 => out.finish_map(mark, self.streams),
        }
        true
    }
}

pub(super) fn xread(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let query = query(args, false)?;
    let mut wanteds: SmallVec<[Wanted; 4]> = SmallVec::new();
    for (key, id) in query.keys.iter().zip(query.ids.iter()) {
        let stream = ctx.engine.read_stream(ctx.view, key)?;
        wanteds.push(wanted(id, stream, false)?);
    }
    let mut reply = Reply::new();
    for (key, wanted) in query.keys.iter().zip(&wanteds) {
        let Some(stream) = ctx.engine.read_stream(ctx.view, key)? else { continue };
        let (first, count) = match wanted {
            Wanted::After(id) => (id.next(), query.count),
            _ => (stream.last_entry_id(), 1),
        };
        let Some(first) = first else { continue };
        let entries = stream.range(first, StreamId::MAX);
        if entries.clone().next().is_some() {
            reply.stream(&mut ctx.client.out, key);
            reply_entries(&mut ctx.client.out, entries.take(count));
        }
    }
    if !reply.finish(&mut ctx.client.out) {
        wait_or_null(ctx, args, &query, &wanteds);
    }
    Ok(())
}

/// Nothing is there. Who waits remembers what `$` is now: when the command runs again, that will have
/// come already which it waits for.
fn wait_or_null(ctx: &mut Ctx<'_>, args: Args<'_>, query: &Query<'_>, wanteds: &[Wanted]) {
    let Some(timeout_us) = query.block_us.filter(|_| ctx.may_block()) else {
        ctx.client.out.null_array();
        return;
    };
    let keys = query.keys.iter().map(Box::from).collect();
    let or_gone = query.group.is_some();
    let found = ctx.found;
    ctx.block(Waiting::Keys { keys, of: Type::Stream, or_gone }, timeout_us, OnTimeout::NullArray);
    if let (Some(retry_us), Some(blocked)) = (next_claim_us(ctx, query), &mut ctx.client.blocked) {
        blocked.retry_us = retry_us;
    }
    let moves = query.ids.iter().any(|id| matches!(id, b"$" | b"+"));
    if let (true, Some(blocked)) = (moves, &mut ctx.client.blocked) {
        let fixed: Vec<_> = wanteds
            .iter()
            .map(|wanted| match wanted {
                Wanted::After(id) => id.text(),
                _ => StreamId::MIN.text(),
            })
            .collect();
        let mut words: Vec<&[u8]> = args.iter().collect();
        let ids_at = query.keys_at + query.keys.len();
        for (word, fixed) in words[ids_at..].iter_mut().zip(&fixed) {
            *word = fixed.as_bytes();
        }
        blocked.again = Some((found, OwnedArgs::from(Args::new(&words))));
    }
}

/// Who waits for entries that others have is not told of them by a write: when the first of them, or what
/// is delivered from now on, can be claimed.
fn next_claim_us(ctx: &mut Ctx<'_>, query: &Query<'_>) -> Option<u64> {
    let ((group, _), min_idle_ms) = (query.group?, query.claim_ms?);
    let (db, now) = (ctx.view, ctx.engine.now);
    let mut left_ms = min_idle_ms.max(CLAIM_LOOKS_MS);
    for key in query.keys.iter() {
        let Ok(Some(stream)) = ctx.engine.peek_stream(db, key) else { continue };
        let first = stream.groups.get(group).and_then(|group| group.pending_by_time().next());
        let Some((delivery_ms, _)) = first else { continue };
        let due_ms = delivery_ms.saturating_add(min_idle_ms);
        left_ms = left_ms.min(due_ms.saturating_sub(now.unix_ms()).max(1));
    }
    Some(now.mono_us.saturating_add((left_ms as u64).saturating_mul(1000)))
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let query = query(args, true)?;
    // What travels is said below, whatever becomes of the command.
    ctx.propagate_nothing();
    let (group, consumer) = query.group.unwrap_or_default();
    let mut wanteds: SmallVec<[Wanted; 4]> = SmallVec::new();
    for (key, id) in query.keys.iter().zip(query.ids.iter()) {
        let stream = ctx.engine.read_stream(ctx.view, key)?;
        if stream.is_none_or(|stream| !stream.groups.contains_key(group)) {
            return Err(ids::no_group(key, group, " in XREADGROUP with GROUP option"));
        }
        wanteds.push(wanted(id, stream, true)?);
    }
    let mut reply = Reply::new();
    for (key, wanted) in query.keys.iter().zip(&wanteds) {
        let Some((_, is_new)) = consumer_of(ctx, key, group, consumer)? else { continue };
        let (deliveries, read) = serve(ctx, &query, key, *wanted, &mut reply)?;
        // Claims make the consumer where they come to; without one it has to be made.
        if is_new && deliveries.iter().all(|delivery| delivery.owner.is_some()) {
            ctx.propagate(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        }
        propagate_deliveries(ctx, key, group, consumer, &deliveries);
        if read {
            propagate_group(ctx, key, group)?;
        }
    }
    if !reply.finish(&mut ctx.client.out) {
        wait_or_null(ctx, args, &query, &wanteds);
    }
    Ok(())
}

/// The consumer, made where there is none, which is seen now; and whether it was made.
fn consumer_of(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
) -> Result<Option<(ConsumerKey, bool)>, CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    let Some((stream, _)) = ctx.engine.write_stream(ctx.view, key)? else { return Ok(None) };
    let Some(group) = stream.groups.get_mut(group) else { return Ok(None) };
    let (consumer, is_new) = find_or_create(group, consumer, now_ms);
    if is_new {
        created(ctx, key);
    }
    Ok(Some((consumer, is_new)))
}

/// Answers what is wanted of one stream, if there is anything: what it delivers, and whether the group
/// has read on.
fn serve(
    ctx: &mut Ctx<'_>,
    query: &Query<'_>,
    key: &[u8],
    wanted: Wanted,
    reply: &mut Reply,
) -> Result<(Vec<Delivery>, bool), CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    let (group, consumer) = query.group.unwrap_or_default();
    let out = &mut ctx.client.out;
    let nothing = Ok((Vec::new(), false));
    let Some((stream, _)) = ctx.engine.write_stream(ctx.view, key)? else { return nothing };
    let Some(consumer) = stream.groups.get(group).and_then(|group| group.find(consumer)) else {
        return nothing;
    };
    let served = match wanted {
        Wanted::After(id) => {
            reply.stream(out, key);
            reply_history(out, stream, group, consumer, id, query.count, now_ms);
            nothing
        }
        _ => {
            let (idle, claimed) = match query.claim_ms {
                Some(min_idle_ms) => {
                    let bounds = (min_idle_ms, query.count);
                    claim_idle(stream, group, consumer, bounds, now_ms)
                }
                None => Default::default(),
            };
            let mut deliveries = claimed.deliveries;
            let read = read_new(out, reply, stream, key, query, &idle);
            if read.is_none() && deliveries.is_empty() {
                return nothing;
            }
            let has_read = read.as_ref().is_some_and(|read| !read.ids.is_empty());
            if let (Some(read), Some(group)) = (read, stream.groups.get_mut(group)) {
                deliveries.extend(deliver(group, consumer, &read, query.noack, now_ms));
            }
            Ok((deliveries, has_read))
        }
    };
    ctx.engine.dirty += 1;
    served
}

/// Entries that a group is given for the first time.
struct Read {
    ids: SmallVec<[StreamId; 16]>,
    entries_read: Option<i64>,
}

/// Answers what was claimed, and new entries behind it, as far as there are any.
fn read_new(
    out: &mut ReplyBuf,
    reply: &mut Reply,
    stream: &Stream,
    key: &[u8],
    query: &Query<'_>,
    idle: &[Idle],
) -> Option<Read> {
    let (name, _) = query.group?;
    let group = stream.groups.get(name)?;
    let from = group.last_id.next().filter(|_| idle.len() < query.count);
    let mut entries = from.map(|from| stream.range(from, StreamId::MAX)).into_iter().flatten();
    let first = entries.next();
    if first.is_none() && idle.is_empty() {
        return None;
    }
    reply.stream(out, key);
    let mut read = Read { ids: SmallVec::new(), entries_read: group.entries_read };
    let mark = out.defer_array();
    for idle in idle {
        if let Some(entry) = stream.entry(idle.id) {
            reply_delivery(out, &entry, Some((idle.idle_ms, idle.deliveries)));
        }
    }
    let facts = query.claim_ms.map(|_| (0, 0));
    let mut last_id = group.last_id;
    for entry in first.into_iter().chain(entries).take(query.count - idle.len()) {
        read.entries_read = stream.entries_read_at(entry.id, last_id, read.entries_read);
        last_id = entry.id;
        read.ids.push(entry.id);
        reply_delivery(out, &entry, facts);
    }
    out.finish_array(mark, idle.len() + read.ids.len());
    Some(read)
}

/// An entry; with CLAIM also how long it was idle, and how often it had been delivered.
fn reply_delivery(out: &mut ReplyBuf, entry: &Entry<'_>, facts: Option<(i64, u64)>) {
    let Some((idle_ms, deliveries)) = facts else { return reply_entry(out, entry) };
    out.array(4);
    reply_id(out, entry.id);
    reply_fields(out, entry);
    out.int(idle_ms);
    out.int(deliveries as i64);
}

/// The group has read on; unless nobody wants to acknowledge, the entries are pending from now on.
fn deliver(
    group: &mut Group,
    consumer: ConsumerKey,
    read: &Read,
    noack: bool,
    now_ms: i64,
) -> Vec<Delivery> {
    group.entries_read = read.entries_read;
    group.last_id = read.ids.last().copied().unwrap_or(group.last_id);
    if noack {
        return Vec::new();
    }
    group.consumer_mut(consumer).active_ms = Some(now_ms);
    let pending = Pending { delivery_ms: now_ms, deliveries: 1, consumer };
    let deliver = |id: &StreamId| {
        // Somebody may have it already, where the group was set back.
        group.assign(*id, pending);
        Delivery { id: *id, owner: None, pending, last_id: *id }
    };
    read.ids.iter().map(deliver).collect()
}

/// What the consumer has pending after `id`, delivered once more. Of what is not in the stream any more
/// only the id is told.
fn reply_history(
    out: &mut ReplyBuf,
    stream: &mut Stream,
    group: &[u8],
    consumer: ConsumerKey,
    id: StreamId,
    count: usize,
    now_ms: i64,
) {
    let from = id.next().unwrap_or_default();
    let pending: SmallVec<[StreamId; 16]> = match stream.groups.get(group) {
        Some(group) => group.pending_of(consumer, from).take(count).map(|(id, ())| id).collect(),
        None => SmallVec::new(),
    };
    out.array(pending.len());
    for id in pending {
        let Some(entry) = stream.entry(id) else {
            out.array(2);
            reply_id(out, id);
            out.null_array();
            continue;
        };
        reply_entry(out, &entry);
        if let Some(group) = stream.groups.get_mut(group) {
            group.deliver_again(id, now_ms);
        }
    }
}
