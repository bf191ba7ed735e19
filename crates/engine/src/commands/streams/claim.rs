//! XCLAIM and XAUTOCLAIM: what is pending for one consumer becomes another's. Owns the form in which
//! deliveries travel, which is that of XCLAIM, whichever command delivered.

use protocol::Args;
use store::stream::{ConsumerKey, Group, Pending, Stream, StreamId};

use super::groups::{created, find_or_create};
use super::ids::{self, reply_entry, reply_id};
use crate::commands::args::{int, is, text};
use crate::door::ctx::Ctx;
use crate::error::CommandError;

/// Pending entries that XAUTOCLAIM looks at for each that it is to claim.
const LOOKS_PER_CLAIM: i64 = 10;
/// As many as Redis has room to count.
const MAX_COUNT: i64 = i64::MAX / 16;

/// A delivery, or the end of one, as replicas have to hear of it.
pub(super) struct Delivery {
    pub id: StreamId,
    /// The consumer, where that is not the command's own.
    pub owner: Option<Box<[u8]>>,
    pub pending: Pending,
    /// How far the group had read then.
    pub last_id: StreamId,
}

/// Says that these entries are pending. Where one is not in the stream any more, that ends it.
pub(super) fn propagate_deliveries(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    deliveries: &[Delivery],
) {
    if !ctx.engine.propagation.is_on() {
        return;
    }
    for delivery in deliveries {
        ctx.propagate(&[
            b"XCLAIM",
            key,
            group,
            delivery.owner.as_deref().unwrap_or(consumer),
            b"0",
            delivery.id.text().as_bytes(),
            b"TIME",
            itoa::Buffer::new().format(delivery.pending.delivery_ms).as_bytes(),
            b"RETRYCOUNT",
            itoa::Buffer::new().format(delivery.pending.deliveries).as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            delivery.last_id.text().as_bytes(),
        ]);
    }
}

/// Says how far the group has read.
pub(super) fn propagate_group(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    name: &[u8],
) -> Result<(), CommandError> {
    if !ctx.engine.propagation.is_on() {
        return Ok(());
    }
    let stream = ctx.engine.peek_stream(ctx.view, key)?;
    let Some(group) = stream.and_then(|stream| stream.groups.get(name)) else { return Ok(()) };
    let (last_id, read) = (group.last_id.text(), group.entries_read.unwrap_or(-1));
    ctx.propagate(&[
        b"XGROUP",
        b"SETID",
        key,
        name,
        last_id.as_bytes(),
        b"ENTRIESREAD",
        itoa::Buffer::new().format(read).as_bytes(),
    ]);
    Ok(())
}

/// The options of XCLAIM behind its ids.
#[derive(Default)]
struct Options {
    /// When it was delivered, as far as that is believable.
    delivery_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

fn number(arg: &[u8], what: &str) -> Result<i64, CommandError> {
    let invalid = || CommandError::err(format_args!("Invalid {what} argument for XCLAIM"));
    protocol::parse_i64(arg).ok_or_else(invalid)
}

fn options(args: Args<'_>, now_ms: i64) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 0;
    while at < args.len() {
        let (option, value) = (args.at(at), args.get(at + 1));
        at += match value {
            _ if is(option, "force") => {
                options.force = true;
                1
            }
            _ if is(option, "justid") => {
                options.just_id = true;
                1
            }
            Some(value) if is(option, "idle") => {
                let idle_ms = number(value, "IDLE option")?;
                options.delivery_ms = Some(now_ms.wrapping_sub(idle_ms));
                2
            }
            Some(value) if is(option, "time") => {
                options.delivery_ms = Some(number(value, "TIME option")?);
                2
            }
            Some(value) if is(option, "retrycount") => {
                // A negative count is none.
                let count = number(value, "RETRYCOUNT option")?;
                options.deliveries = u64::try_from(count).ok();
                2
            }
            Some(value) if is(option, "lastid") => {
                options.last_id = ids::id(value)?;
                2
            }
            _ => {
                let option = text(option);
                return Err(CommandError::err(format_args!(
                    "Unrecognized XCLAIM option '{option}'"
                )));
            }
        };
    }
    Ok(options)
}

/// What a claim came to.
#[derive(Default)]
pub(super) struct Claimed {
    claimed: Vec<StreamId>,
    /// Pending before, and not in the stream any more.
    gone: Vec<StreamId>,
    pub deliveries: Vec<Delivery>,
}

/// An entry that was claimed, and what was known of it before.
pub(super) struct Idle {
    pub id: StreamId,
    pub idle_ms: i64,
    pub deliveries: u64,
}

/// XREADGROUP ... CLAIM: what has been pending for long enough becomes this consumer's, the longest
/// first, `count` at most.
pub(super) fn claim_idle(
    stream: &mut Stream,
    group_name: &[u8],
    consumer: ConsumerKey,
    (min_idle_ms, count): (i64, usize),
    now_ms: i64,
) -> (Vec<Idle>, Claimed) {
    let (mut idle, mut claimed) = (Vec::new(), Claimed::default());
    let Some(group) = stream.groups.get_mut(group_name) else { return (idle, claimed) };
    group.order_by_time();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    let Some(group) = stream.groups.get(group_name) else { return (idle, claimed) };
    for (delivery_ms, id) in group.pending_by_time() {
        if now_ms.saturating_sub(delivery_ms) < min_idle_ms || there.len() == count {
            break;
        }
        if stream.contains(id) { &mut there } else { &mut gone }.push(id);
    }
    let Some(group) = stream.groups.get_mut(group_name) else { return (idle, claimed) };
    gone.into_iter().for_each(|id| claimed.release(group, id));
    for id in there {
        let Some(before) = group.pending().get(id).copied() else { continue };
        let idle_ms = now_ms.saturating_sub(before.delivery_ms).max(0);
        idle.push(Idle { id, idle_ms, deliveries: before.deliveries });
        let deliveries = before.deliveries.wrapping_add(1);
        claimed.assign(group, id, Pending { delivery_ms: now_ms, deliveries, consumer }, now_ms);
    }
    (idle, claimed)
}

impl Claimed {
    /// An entry that is pending and not there is pending no more.
    fn release(&mut self, group: &mut Group, id: StreamId) {
        let Some(pending) = group.release(id) else { return };
        let owner = Some(group.consumer(pending.consumer).name().into());
        self.gone.push(id);
        self.deliveries.push(Delivery { id, owner, pending, last_id: group.last_id });
    }

    fn assign(&mut self, group: &mut Group, id: StreamId, pending: Pending, now_ms: i64) {
        group.assign(id, pending);
        group.consumer_mut(pending.consumer).active_ms = Some(now_ms);
        self.claimed.push(id);
        self.deliveries.push(Delivery { id, owner: None, pending, last_id: group.last_id });
    }

    fn reply(&self, out: &mut protocol::ReplyBuf, stream: &Stream, just_id: bool) {
        out.array(self.claimed.len());
        for id in &self.claimed {
            match stream.entry(*id) {
                Some(entry) if !just_id => reply_entry(out, &entry),
                _ => reply_id(out, *id),
            }
        }
    }
}

fn group_there<'a>(
    ctx: &'a mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
) -> Result<&'a Group, CommandError> {
    let stream = ctx.engine.read_stream(ctx.view, key)?;
    let found = stream.and_then(|stream| stream.groups.get(group));
    found.ok_or_else(|| ids::no_group(key, group, ""))
}

pub(super) fn xclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, group_name, consumer_name) = (args.at(1), args.at(2), args.at(3));
    group_there(ctx, key, group_name)?;
    let min_idle_ms = number(args.at(4), "min-idle-time")?.max(0);
    let rest = args.slice(5..args.len());
    let wanted: Vec<StreamId> = rest.iter().map_while(|arg| ids::id(arg).ok()).collect();
    let now_ms = ctx.engine.now.unix_ms();
    let options = options(rest.slice(wanted.len()..rest.len()), now_ms)?;
    let delivery_ms = options.delivery_ms.filter(|at| (0..=now_ms).contains(at)).unwrap_or(now_ms);
    ctx.propagate_nothing();

    let Some((stream, _)) = ctx.engine.write_stream(ctx.view, key)? else { return Ok(()) };
    let there: Vec<bool> = wanted.iter().map(|id| stream.contains(*id)).collect();
    let Some(group) = stream.groups.get_mut(group_name) else { return Ok(()) };
    let reads_on = options.last_id > group.last_id;
    group.last_id = group.last_id.max(options.last_id);
    let (consumer, is_new) = find_or_create(group, consumer_name, now_ms);
    let mut claimed = Claimed::default();
    for (id, is_there) in wanted.into_iter().zip(there) {
        let before = group.pending().get(id).copied();
        if !is_there {
            claimed.release(group, id);
            continue;
        }
        let idle_ms = |before: Pending| now_ms.saturating_sub(before.delivery_ms);
        let deliveries = match before {
            None if !options.force => continue,
            Some(before) if min_idle_ms > 0 && idle_ms(before) < min_idle_ms => continue,
            before => before.map_or(1, |before| before.deliveries),
        };
        let deliveries = match options.deliveries {
            Some(deliveries) => deliveries,
            None => deliveries.wrapping_add(u64::from(!options.just_id)),
        };
        claimed.assign(group, id, Pending { delivery_ms, deliveries, consumer }, now_ms);
    }
    claimed.reply(&mut ctx.client.out, stream, options.just_id);
    settle(ctx, args, &claimed, is_new);
    if reads_on && claimed.deliveries.is_empty() {
        ctx.engine.dirty += 1;
        propagate_group(ctx, key, group_name)?;
    }
    Ok(())
}

/// Tells the others of what was claimed; the consumer, where nothing else makes it there.
fn settle(ctx: &mut Ctx<'_>, args: Args<'_>, claimed: &Claimed, is_new: bool) {
    let (key, group, consumer) = (args.at(1), args.at(2), args.at(3));
    if is_new {
        created(ctx, key);
        if claimed.claimed.is_empty() {
            ctx.propagate(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        }
    }
    ctx.engine.dirty += claimed.deliveries.len() as u64;
    propagate_deliveries(ctx, key, group, consumer, &claimed.deliveries);
}

pub(super) fn xautoclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, group_name, consumer_name) = (args.at(1), args.at(2), args.at(3));
    let invalid = || CommandError::err("Invalid min-idle-time argument for XAUTOCLAIM");
    let min_idle_ms = protocol::parse_i64(args.at(4)).ok_or_else(invalid)?.max(0);
    let start = ids::start(args.at(5))?;
    let (mut count, mut just_id) = (100, false);
    let mut at = 6;
    while at < args.len() {
        if is(args.at(at), "count") && at + 1 < args.len() {
            let n = int(args.at(at + 1)).ok().filter(|n| (1..=MAX_COUNT).contains(n));
            count = n.ok_or_else(|| CommandError::err("COUNT must be > 0"))?;
            at += 2;
        } else if is(args.at(at), "justid") {
            just_id = true;
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    group_there(ctx, key, group_name)?;
    let now_ms = ctx.engine.now.unix_ms();
    ctx.propagate_nothing();
    let Some((stream, _)) = ctx.engine.write_stream(ctx.view, key)? else { return Ok(()) };
    let Some(group) = stream.groups.get_mut(group_name) else { return Ok(()) };
    let (consumer, is_new) = find_or_create(group, consumer_name, now_ms);
    let mut claimed = Claimed::default();
    let mut cursor = Some(start);
    let mut looks = count * LOOKS_PER_CLAIM;
    while let Some((id, before)) = next_pending(stream, group_name, cursor)
        && looks > 0
        && ((claimed.claimed.len() + claimed.gone.len()) as i64) < count
    {
        looks -= 1;
        cursor = id.next();
        let is_there = stream.contains(id);
        let Some(group) = stream.groups.get_mut(group_name) else { break };
        if !is_there {
            claimed.release(group, id);
        } else if min_idle_ms == 0 || now_ms.saturating_sub(before.delivery_ms) >= min_idle_ms {
            let deliveries = before.deliveries.wrapping_add(u64::from(!just_id));
            let pending = Pending { delivery_ms: now_ms, deliveries, consumer };
            claimed.assign(group, id, pending, now_ms);
        }
    }
    let next = next_pending(stream, group_name, cursor).map_or(StreamId::MIN, |(id, _)| id);
    let out = &mut ctx.client.out;
    out.array(3);
    reply_id(out, next);
    claimed.reply(out, stream, just_id);
    out.array(claimed.gone.len());
    claimed.gone.iter().for_each(|id| reply_id(out, *id));
    settle(ctx, args, &claimed, is_new);
    Ok(())
}

/// What is pending at or after `cursor`; nothing is behind the last id.
fn next_pending(
    stream: &Stream,
    group: &[u8],
    cursor: Option<StreamId>,
) -> Option<(StreamId, Pending)> {
    let group = stream.groups.get(group)?;
    group.pending().iter_from(cursor?).next().map(|(id, pending)| (id, *pending))
}
