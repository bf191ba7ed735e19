//! Sorted set commands. Ranges are in `zset_ranges.rs`; unions, intersections and differences in
//! `zset_algebra.rs`.

use protocol::{Args, ReplyBuf, Resp, format_f64, parse_i64};
use smallvec::SmallVec;
use store::Type;
use store::value::Item;
use store::zset::ZSet;

use super::args::{float, is, is_read_everywhere, positive, random_query, repeat, timeout_seconds};
use super::lists::{block_or_null, counted_keys, mpop_count};
use super::scans::{Scan, scan_collection};
use super::zset_ranges::visit;
use crate::Engine;
use crate::command::key_spec::{Access, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::data::typed::reply_item;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const GROW: Flags = Flags::WRITE.or(Flags::DENYOOM);
const BLOCK: Flags = Flags::WRITE.or(Flags::BLOCKING);

pub(crate) static ROWS: &[CommandSpec] = &[
    zset(
        "zadd",
        zadd,
        -4,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::UPDATES)],
        "1.2.0",
        "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.",
    ),
    zset(
        "zincrby",
        zincrby,
        4,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::READS_UPDATES)],
        "1.2.0",
        "Increments the score of a member in a sorted set.",
    ),
    zset(
        "zrem",
        zrem,
        -3,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "1.2.0",
        "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.",
    ),
    zset(
        "zscore",
        zscore,
        3,
        FAST_READ,
        &[KeySpec::at(1, Access::READS)],
        "1.2.0",
        "Returns the score of a member in a sorted set.",
    ),
    zset(
        "zmscore",
        zmscore,
        -3,
        FAST_READ,
        &[KeySpec::at(1, Access::READS)],
        "6.2.0",
        "Returns the score of one or more members in a sorted set.",
    ),
    zset(
        "zcard",
        zcard,
        2,
        FAST_READ,
        &[KeySpec::at(1, Access::RO)],
        "1.2.0",
        "Returns the number of members in a sorted set.",
    ),
    zset(
        "zrank",
        zrank,
        -3,
        FAST_READ,
        &[KeySpec::at(1, Access::READS)],
        "2.0.0",
        "Returns the index of a member in a sorted set ordered by ascending scores.",
    ),
    zset(
        "zrevrank",
        zrevrank,
        -3,
        FAST_READ,
        &[KeySpec::at(1, Access::READS)],
        "2.0.0",
        "Returns the index of a member in a sorted set ordered by descending scores.",
    ),
    zset(
        "zpopmin",
        zpopmin,
        -2,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::POPS)],
        "5.0.0",
        "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
    ),
    zset(
        "zpopmax",
        zpopmax,
        -2,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::POPS)],
        "5.0.0",
        "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
    ),
    zset(
        "bzpopmin",
        bzpopmin,
        -3,
        BLOCK.or(Flags::FAST),
        &[KeySpec::range(1, -2, 1, Access::POPS)],
        "5.0.0",
        "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
    ),
    zset(
        "bzpopmax",
        bzpopmax,
        -3,
        BLOCK.or(Flags::FAST),
        &[KeySpec::range(1, -2, 1, Access::POPS)],
        "5.0.0",
        "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member available otherwise.  Deletes the sorted set if the last element was popped.",
    ),
    zset(
        "zmpop",
        zmpop,
        -4,
        WRITE,
        &[KeySpec::counted(1, Access::POPS)],
        "7.0.0",
        "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped.",
    ),
    zset(
        "bzmpop",
        bzmpop,
        -5,
        BLOCK,
        &[KeySpec::counted(2, Access::POPS)],
        "7.0.0",
        "Removes and returns a member by score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
    ),
    zset(
        "zrandmember",
        zrandmember,
        -2,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "6.2.0",
        "Returns one or more random members from a sorted set.",
    )
    .tips(&["nondeterministic_output"]),
    zset(
        "zscan",
        zscan,
        -3,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "2.8.0",
        "Iterates over members and scores of a sorted set.",
    )
    .tips(&["nondeterministic_output"]),
];

pub(crate) const fn zset(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, keys, Acl::SORTEDSET, since, summary)
}

/// ZADD's options.
#[derive(Clone, Copy, Default)]
pub(super) struct Conditions {
    pub nx: bool,
    pub xx: bool,
    pub gt: bool,
    pub lt: bool,
    pub changed: bool,
    pub incr: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<(Conditions, usize), CommandError> {
        let mut found = Conditions::default();
        let mut at = 2;
        while let Some(option) = args.get(at) {
            let flag = match option {
                _ if is(option, "nx") => &mut found.nx,
                _ if is(option, "xx") => &mut found.xx,
                _ if is(option, "gt") => &mut found.gt,
                _ if is(option, "lt") => &mut found.lt,
                _ if is(option, "ch") => &mut found.changed,
                _ if is(option, "incr") => &mut found.incr,
                _ => break,
            };
            *flag = true;
            at += 1;
        }
        let pairs = args.len() - at;
        if pairs == 0 || !pairs.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if found.nx && found.xx {
            return Err(CommandError::err("XX and NX options at the same time are not compatible"));
        }
        if found.nx && (found.gt || found.lt) || found.gt && found.lt {
            return Err(CommandError::err(
                "GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if found.incr && pairs > 2 {
            return Err(CommandError::err("INCR option supports a single increment-element pair"));
        }
        Ok((found, at))
    }
}

fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (conditions, first) = Conditions::parse(args)?;
    add(ctx, args, conditions, first)
}

fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    // Redis reads ZADD's options here as well: behind one there is no room for an increment with its member.
    let (conditions, first) = Conditions::parse(args)?;
    add(ctx, args, Conditions { incr: true, ..conditions }, first)
}

fn add(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    conditions: Conditions,
    first: usize,
) -> Result<(), CommandError> {
    // All scores are read before the first is used: a bad one changes nothing.
    let mut pairs: SmallVec<[(f64, &[u8]); 4]> = SmallVec::new();
    let mut reads_alike = true;
    for at in (first..args.len()).step_by(2) {
        reads_alike &= is_read_everywhere(args.at(at));
        pairs.push((float(args.at(at))?, args.at(at + 1)));
    }
    if reads_alike {
        return add_pairs(ctx, args.at(1), conditions, &pairs);
    }
    let dirty_before = ctx.engine.dirty;
    add_pairs(ctx, args.at(1), conditions, &pairs)?;
    if ctx.engine.dirty != dirty_before {
        propagate_scores(ctx, args.slice(0..first).iter(), &pairs);
    }
    Ok(())
}

/// A command of scores and members behind `head` travels with the scores as everybody reads them.
#[inline(never)]
pub(super) fn propagate_scores<'a>(
    ctx: &mut Ctx<'_>,
    head: impl Iterator<Item = &'a [u8]>,
    pairs: &[(f64, &'a [u8])],
) {
    let scores: Vec<String> = pairs.iter().map(|(score, _)| format_f64(*score)).collect();
    let mut words: Vec<&[u8]> = head.collect();
    for (score, (_, member)) in scores.iter().zip(pairs) {
        words.extend([score.as_bytes(), member]);
    }
    ctx.propagate(&words);
}

/// Adds members with their scores, which are numbers, under ZADD's conditions, and replies as it does.
pub(super) fn add_pairs(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    conditions: Conditions,
    pairs: &[(f64, &[u8])],
) -> Result<(), CommandError> {
    let db = ctx.view;
    // XX alone makes no key: the others need not ask before they do.
    if conditions.xx && ctx.engine.peek_zset(db, key)?.is_none() {
        match conditions.incr {
            true => ctx.client.out.null(),
            false => ctx.client.out.int(0),
        }
        return Ok(());
    }
    let (mut added, mut updated, mut last) = (0, 0, None);
    let mut failed = None;
    let (zset, limits) = ctx.engine.create_zset(db, key, |_| ZSet::new())?;
    zset.expect(pairs.len(), limits);
    for &(score, member) in pairs {
        let (mut nan, mut refused) = (false, false);
        let (old, new) = zset.upsert(member, limits, |old| {
            let score = match old {
                Some(old) if conditions.incr => old + score,
                _ => score,
            };
            nan = score.is_nan();
            let wanted = match old {
                None => !conditions.xx,
                Some(_) if conditions.nx => false,
                Some(old) => !(conditions.gt && score <= old || conditions.lt && score >= old),
            };
            refused = !wanted;
            (wanted && !nan).then_some(score)
        });
        if nan {
            failed = Some(CommandError::ScoreNan);
            break;
        }
        // What a condition has refused answers nil to INCR, whatever the score is.
        last = new.filter(|_| !refused);
        match (old, new) {
            (None, Some(_)) => added += 1,
            (Some(old), Some(new)) if old != new => updated += 1,
            _ => {}
        }
    }
    let empty = zset.is_empty();
    if empty {
        ctx.engine.keyspace.db_mut(db.index()).remove(key);
    }
    if added + updated > 0 {
        let event = if conditions.incr { "zincr" } else { "zadd" };
        ctx.engine.changed(db, key, Classes::ZSET, event);
        ctx.engine.dirty += (added + updated) as u64 - 1;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let out = &mut ctx.client.out;
    match (conditions.incr, last) {
        (true, Some(score)) => out.double(score),
        (true, None) => out.null(),
        (false, _) => out.int(added + if conditions.changed { updated } else { 0 }),
    }
    Ok(())
}

fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let Some((zset, _)) = ctx.engine.write_zset(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let removed = args.iter().skip(2).filter(|member| zset.remove(member).is_some()).count();
    let empty = zset.is_empty();
    ctx.removed_elements(key, removed, empty, Classes::ZSET, "zrem");
    ctx.client.out.int(removed as i64);
    Ok(())
}

fn reply_score(out: &mut ReplyBuf, score: Option<f64>) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

fn zscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    reply_score(&mut ctx.client.out, zset.and_then(|zset| zset.score(args.at(2))));
    Ok(())
}

fn zmscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    ctx.client.out.array(args.len() - 2);
    for member in args.iter().skip(2) {
        reply_score(&mut ctx.client.out, zset.and_then(|zset| zset.score(member)));
    }
    Ok(())
}

fn zcard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let len = ctx.engine.read_zset(ctx.view, args.at(1))?.map_or(0, ZSet::len);
    ctx.client.out.int(len as i64);
    Ok(())
}

fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    rank(ctx, args, false)
}

fn zrevrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    rank(ctx, args, true)
}

fn rank(ctx: &mut Ctx<'_>, args: Args<'_>, reverse: bool) -> Result<(), CommandError> {
    let with_score = match args.len() {
        3 => false,
        4 if is(args.at(3), "withscore") => true,
        4 => return Err(CommandError::Syntax),
        _ => return Err(CommandError::arity(ctx.found.spec.name)),
    };
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    let found = zset.and_then(|zset| zset.rank(args.at(2)).map(|found| (zset.len(), found)));
    let out = &mut ctx.client.out;
    let Some((len, (rank, score))) = found else {
        match with_score {
            true => out.null_array(),
            false => out.null(),
        }
        return Ok(());
    };
    let rank = if reverse { len - 1 - rank } else { rank };
    if with_score {
        out.array(2);
    }
    out.int(rank as i64);
    if with_score {
        out.double(score);
    }
    Ok(())
}

/// Members with their scores: pairs in RESP3, a flat list in RESP2.
pub(crate) fn reply_member(out: &mut ReplyBuf, member: Item<'_>, score: f64, with_scores: bool) {
    if with_scores && out.resp == Resp::V3 {
        out.array(2);
    }
    reply_item(out, member);
    if with_scores {
        out.double(score);
    }
}

pub(crate) fn reply_members_head(out: &mut ReplyBuf, members: usize, with_scores: bool) {
    let flat = with_scores && out.resp == Resp::V2;
    out.array(if flat { members * 2 } else { members });
}

/// Which end is popped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extreme {
    Min,
    Max,
}

impl Extreme {
    fn event(self) -> &'static str {
        match self {
            Extreme::Min => "zpopmin",
            Extreme::Max => "zpopmax",
        }
    }

    fn word(self) -> &'static [u8] {
        match self {
            Extreme::Min => b"ZPOPMIN",
            Extreme::Max => b"ZPOPMAX",
        }
    }
}

/// Pops up to `n` members into the reply, one after the other from the end.
fn pop_reply(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    extreme: Extreme,
    n: usize,
    mut reply: impl FnMut(&mut ReplyBuf, Item<'_>, f64),
) -> Result<(), CommandError> {
    let db = ctx.view;
    let Some((zset, _)) = ctx.engine.write_zset(db, key)? else { return Ok(()) };
    let len = zset.len();
    let ranks = match extreme {
        Extreme::Min => 0..n,
        Extreme::Max => len - n..len,
    };
    let out = &mut ctx.client.out;
    visit(zset, ranks.clone(), extreme == Extreme::Max, |member, score| reply(out, member, score));
    zset.remove_range(ranks, |_, _| {});
    let empty = zset.is_empty();
    ctx.removed_elements(key, n, empty, Classes::ZSET, extreme.event());
    Ok(())
}

fn zpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    pop(ctx, args, Extreme::Min)
}

fn zpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    pop(ctx, args, Extreme::Max)
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, extreme: Extreme) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = args.get(2).map(positive).transpose()?;
    let key = args.at(1);
    let len = ctx.engine.peek_zset(ctx.view, key)?.map_or(0, ZSet::len);
    let n = count.unwrap_or(1).min(len);
    // With a count RESP3 nests the pairs; alone it is one flat pair.
    if count.is_none() {
        ctx.client.out.array(n * 2);
    } else {
        reply_members_head(&mut ctx.client.out, n, true);
    }
    if n == 0 {
        return Ok(());
    }
    pop_reply(ctx, key, extreme, n, |out, member, score| {
        if count.is_some() {
            reply_member(out, member, score, true);
        } else {
            reply_item(out, member);
            out.double(score);
        }
    })
}

fn bzpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    blocking_pop(ctx, args, Extreme::Min)
}

fn bzpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    blocking_pop(ctx, args, Extreme::Max)
}

fn blocking_pop(ctx: &mut Ctx<'_>, args: Args<'_>, extreme: Extreme) -> Result<(), CommandError> {
    let timeout_us = timeout_seconds(args.at(args.len() - 1))?;
    let keys = args.slice(1..args.len() - 1);
    for key in keys.iter() {
        if ctx.engine.peek_zset(ctx.view, key)?.is_some() {
            ctx.client.out.array(3);
            ctx.client.out.bulk(key);
            pop_reply(ctx, key, extreme, 1, |out, member, score| {
                reply_item(out, member);
                out.double(score);
            })?;
            ctx.propagate(&[extreme.word(), key]);
            return Ok(());
        }
    }
    block_or_null(ctx, keys, Type::ZSet, Some(timeout_us));
    Ok(())
}

fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    multi_pop(ctx, args, 1, None)
}

fn bzmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    multi_pop(ctx, args, 2, Some(args.at(1)))
}

fn multi_pop(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    count_at: usize,
    timeout: Option<&[u8]>,
) -> Result<(), CommandError> {
    let (keys, rest) = counted_keys(args, count_at)?;
    let extreme = match rest.get(0) {
        Some(word) if is(word, "min") => Extreme::Min,
        Some(word) if is(word, "max") => Extreme::Max,
        _ => return Err(CommandError::Syntax),
    };
    let count = mpop_count(rest.slice(1..rest.len()))?;
    let timeout_us = timeout.map(timeout_seconds).transpose()?;
    for key in keys.iter() {
        let Some(zset) = ctx.engine.peek_zset(ctx.view, key)? else { continue };
        let n = count.min(zset.len());
        ctx.client.out.array(2);
        ctx.client.out.bulk(key);
        ctx.client.out.array(n);
        pop_reply(ctx, key, extreme, n, |out, member, score| {
            out.array(2);
            reply_item(out, member);
            out.double(score);
        })?;
        ctx.propagate(&[extreme.word(), key, n.to_string().as_bytes()]);
        return Ok(());
    }
    block_or_null(ctx, keys, Type::ZSet, timeout_us);
    Ok(())
}

fn zrandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (count, with_scores) = random_query(args, "withscores")?;
    let mut rng = ctx.engine.rng.fork();
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    match (zset, count) {
        (None, None) => out.null(),
        (None, Some(_)) => out.array(0),
        (Some(zset), None) => match zset.random(&mut rng) {
            Some((member, _)) => reply_item(out, member),
            None => out.null(),
        },
        (Some(zset), Some(count)) if count >= 0 => {
            let n = zset.len().min(count as usize);
            reply_members_head(out, n, with_scores);
            zset.sample(n, &mut rng, |member, score| {
                reply_member(out, member, score, with_scores);
            });
        }
        (Some(zset), Some(count)) => {
            let n = count.unsigned_abs() as usize;
            reply_members_head(out, n, with_scores);
            repeat(n, out, |out| {
                if let Some((member, score)) = zset.random(&mut rng) {
                    reply_member(out, member, score, with_scores);
                }
            });
        }
    }
    Ok(())
}

fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    scan_collection(ctx, args, Scan::ScoredMembers, Engine::read_zset, |zset, cursor, found| {
        zset.scan(cursor, |member, score| {
            found.meet(member, || [member.to_vec(), format_f64(score).into_bytes()]);
        })
    })
}

/// A count that must be at least one, for the heads of the multi-key commands.
pub(crate) fn numkeys(arg: &[u8], command: &str) -> Result<usize, CommandError> {
    let count = parse_i64(arg).ok_or(CommandError::NotAnInteger)?;
    usize::try_from(count).ok().filter(|n| *n > 0).ok_or_else(|| {
        CommandError::err(format_args!("at least 1 input key is needed for '{command}' command"))
    })
}
