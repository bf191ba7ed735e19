//! Ranges of sorted sets: ZRANGE and its kin, counts, and removal by range.

use std::ops::Range;

use protocol::Args;
use store::value::{Item, ItemBuf, Value};
use store::zset::{LexBound, ScoreRange, ZSet};

use super::args::{c_float, int, is, is_read_everywhere};
use super::zsets::{reply_member, reply_members_head, zset};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{CommandSpec, Flags};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

/// Members that one command names at most that was not a client's.
const MEMBERS_PER_COMMAND: usize = 1024;

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const GROW: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(crate) static ROWS: &[CommandSpec] = &[
    zset(
        "zcount",
        zcount,
        4,
        FAST_READ,
        &[KeySpec::at(1, Access::READS)],
        "2.0.0",
        "Returns the count of members in a sorted set that have scores within a range.",
    ),
    zset(
        "zlexcount",
        zlexcount,
        4,
        FAST_READ,
        &[KeySpec::at(1, Access::READS)],
        "2.8.9",
        "Returns the number of members in a sorted set within a lexicographical range.",
    ),
    zset(
        "zrange",
        zrange,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "1.2.0",
        "Returns members in a sorted set within a range of indexes.",
    ),
    zset(
        "zrevrange",
        zrevrange,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "1.2.0",
        "Returns members in a sorted set within a range of indexes in reverse order.",
    )
    .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
    zset(
        "zrangebyscore",
        zrangebyscore,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "1.0.5",
        "Returns members in a sorted set within a range of scores.",
    )
    .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    zset(
        "zrevrangebyscore",
        zrevrangebyscore,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "2.2.0",
        "Returns members in a sorted set within a range of scores in reverse order.",
    )
    .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
    zset(
        "zrangebylex",
        zrangebylex,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "2.8.9",
        "Returns members in a sorted set within a lexicographical range.",
    )
    .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    zset(
        "zrevrangebylex",
        zrevrangebylex,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "2.8.9",
        "Returns members in a sorted set within a lexicographical range in reverse order.",
    )
    .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    zset(
        "zrangestore",
        zrangestore,
        -5,
        GROW,
        &[KeySpec::at(1, Access::OVERWRITES), KeySpec::at(2, Access::READS)],
        "6.2.0",
        "Stores a range of members from sorted set in a key.",
    ),
    zset(
        "zremrangebyrank",
        zremrangebyrank,
        4,
        WRITE,
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "2.0.0",
        "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.",
    ),
    zset(
        "zremrangebyscore",
        zremrangebyscore,
        4,
        WRITE,
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "1.2.0",
        "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.",
    ),
    zset(
        "zremrangebylex",
        zremrangebylex,
        4,
        WRITE,
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "2.8.9",
        "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed.",
    ),
];

/// By what a range is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range command, read: which members, in which order, and how they are shown.
struct RangeQuery<'a> {
    by: By,
    reverse: bool,
    with_scores: bool,
    /// Offset and count of LIMIT; a negative count is for all.
    limit: Option<(i64, i64)>,
    start: &'a [u8],
    stop: &'a [u8],
}

impl<'a> RangeQuery<'a> {
    /// Reads start, stop and the options behind them. `by` is given where the command's name says it;
    /// ZRANGE and ZRANGESTORE say it by options.
    fn parse(
        args: Args<'a>,
        start_at: usize,
        by: Option<By>,
        reverse: bool,
        stores: bool,
    ) -> Result<RangeQuery<'a>, CommandError> {
        // What the name says cannot be said again, nor what an option has said.
        let (mut says_by, mut says_order) = (by.is_none(), by.is_none());
        let mut query = RangeQuery {
            by: by.unwrap_or(By::Rank),
            reverse,
            with_scores: false,
            limit: None,
            start: args.at(start_at),
            stop: args.at(start_at + 1),
        };
        let mut at = start_at + 2;
        while at < args.len() {
            let option = args.at(at);
            if is(option, "withscores") && !stores {
                query.with_scores = true;
            } else if is(option, "limit") && at + 2 < args.len() {
                query.limit = Some((int(args.at(at + 1))?, int(args.at(at + 2))?));
                at += 2;
            } else if is(option, "rev") && says_order {
                (query.reverse, says_order) = (true, false);
            } else if is(option, "bylex") && says_by {
                (query.by, says_by) = (By::Lex, false);
            } else if is(option, "byscore") && says_by {
                (query.by, says_by) = (By::Score, false);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        // A count of -1 is for all, which is no limit.
        if query.limit.is_some_and(|(_, count)| count != -1) && query.by == By::Rank {
            return Err(CommandError::err(
                "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if query.with_scores && query.by == By::Lex {
            return Err(CommandError::err(
                "syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // Reversed, the higher end is said first.
        if query.reverse && query.by != By::Rank {
            (query.start, query.stop) = (query.stop, query.start);
        }
        Ok(query)
    }

    /// What can be wrong about start and stop, before the key is looked at.
    fn bounds(&self) -> Result<Bounds<'a>, CommandError> {
        match self.by {
            By::Rank => Ok(Bounds::Rank(int(self.start)?, int(self.stop)?)),
            By::Score => Ok(Bounds::Score(score_range(self.start, self.stop)?)),
            By::Lex => Ok(Bounds::Lex(lex_bound(self.start)?, lex_bound(self.stop)?)),
        }
    }

    /// Whether other servers find the same members, by the same words.
    fn comes_to_the_same_everywhere(&self, zset: &ZSet) -> bool {
        match self.by {
            By::Rank => true,
            By::Score => is_read_everywhere(self.start) && is_read_everywhere(self.stop),
            By::Lex => zset.has_one_score(),
        }
    }

    /// The ranks of the members asked for, LIMIT applied.
    fn ranks(&self, zset: &ZSet, bounds: &Bounds<'_>) -> Range<usize> {
        let ranks = match *bounds {
            Bounds::Rank(start, stop) => rank_range(zset.len(), start, stop, self.reverse),
            Bounds::Score(ref range) => zset.ranks_by_score(range),
            Bounds::Lex(min, max) => zset.ranks_by_lex(min, max),
        };
        let Some((offset, count)) = self.limit.filter(|_| self.by != By::Rank) else {
            return ranks;
        };
        if offset < 0 || offset as usize >= ranks.len() {
            return 0..0;
        }
        let left = ranks.len() - offset as usize;
        let n = if count < 0 { left } else { left.min(count as usize) };
        if self.reverse {
            let end = ranks.end - offset as usize;
            end - n..end
        } else {
            let start = ranks.start + offset as usize;
            start..start + n
        }
    }
}

enum Bounds<'a> {
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexBound<'a>, LexBound<'a>),
}

/// A closed range of ranks from either end, seen from the side that `reverse` says, as ranks from
/// the lowest.
fn rank_range(len: usize, start: i64, stop: i64, reverse: bool) -> Range<usize> {
    let len = len as i64;
    let start = if start < 0 { (start + len).max(0) } else { start };
    let stop = if stop < 0 { stop + len } else { stop }.min(len - 1);
    if start > stop || start >= len {
        return 0..0;
    }
    let (start, end) = (start as usize, stop as usize + 1);
    if reverse { len as usize - end..len as usize - start } else { start..end }
}

/// Visits members from the side that the query says.
pub(super) fn visit(
    zset: &ZSet,
    ranks: Range<usize>,
    reverse: bool,
    mut f: impl FnMut(Item<'_>, f64),
) {
    let members = zset.range(ranks);
    if reverse {
        members.rev().for_each(|(member, score)| f(member, score));
    } else {
        members.for_each(|(member, score)| f(member, score));
    }
}

fn range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    by: Option<By>,
    reverse: bool,
) -> Result<(), CommandError> {
    let query = RangeQuery::parse(args, 2, by, reverse, false)?;
    let bounds = query.bounds()?;
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    let Some(zset) = zset else {
        out.array(0);
        return Ok(());
    };
    let ranks = query.ranks(zset, &bounds);
    reply_members_head(out, ranks.len(), query.with_scores);
    visit(zset, ranks, query.reverse, |member, score| {
        reply_member(out, member, score, query.with_scores);
    });
    Ok(())
}

fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    range(ctx, args, None, false)
}

fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    range(ctx, args, Some(By::Rank), true)
}

fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    range(ctx, args, Some(By::Score), false)
}

fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    range(ctx, args, Some(By::Score), true)
}

fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    range(ctx, args, Some(By::Lex), false)
}

fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    range(ctx, args, Some(By::Lex), true)
}

fn zrangestore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let query = RangeQuery::parse(args, 3, None, false, true)?;
    let bounds = query.bounds()?;
    let (db, dest, source) = (ctx.view, args.at(1), args.at(2));
    let limits = ctx.engine.settings.limits.clone();
    let mut result = ZSet::new();
    let mut comes_to_the_same = true;
    if let Some(zset) = ctx.engine.read_zset(db, source)? {
        comes_to_the_same = query.comes_to_the_same_everywhere(zset);
        let ranks = query.ranks(zset, &bounds);
        result.expect(ranks.len(), &limits);
        let mut buf = ItemBuf::new();
        visit(zset, ranks, query.reverse, |member, score| {
            result.insert(member.as_bytes(&mut buf), score, &limits);
        });
    }
    let len = result.len();
    let value = (len > 0).then_some(Value::ZSet(result));
    let is_changed = ctx.replace_with_result(dest, value, Classes::ZSET, "zrangestore");
    if is_changed && !comes_to_the_same {
        ctx.propagate_value(dest);
    }
    ctx.client.out.int(len as i64);
    Ok(())
}

fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (start, stop) = (int(args.at(2))?, int(args.at(3))?);
    remove_range(ctx, args, "zremrangebyrank", |zset| {
        (rank_range(zset.len(), start, stop, false), true)
    })
}

fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let range = score_range(args.at(2), args.at(3))?;
    let is_exact = is_read_everywhere(args.at(2)) && is_read_everywhere(args.at(3));
    remove_range(ctx, args, "zremrangebyscore", |zset| (zset.ranks_by_score(&range), is_exact))
}

fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (min, max) = (lex_bound(args.at(2))?, lex_bound(args.at(3))?);
    remove_range(ctx, args, "zremrangebylex", |zset| {
        (zset.ranks_by_lex(min, max), zset.has_one_score())
    })
}

/// `ranks` also says whether other servers come to the same members by the same words. Where they might not,
/// the members travel.
fn remove_range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    event: &str,
    ranks: impl FnOnce(&ZSet) -> (Range<usize>, bool),
) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let Some((zset, _)) = ctx.engine.write_zset(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let (ranks, comes_to_the_same) = ranks(zset);
    let mut members = Vec::new();
    let removed = zset.remove_range(ranks, |member, _| {
        if !comes_to_the_same {
            members.push(member.to_vec());
        }
    });
    let empty = zset.is_empty();
    ctx.removed_elements(key, removed, empty, Classes::ZSET, event);
    for members in members.chunks(MEMBERS_PER_COMMAND) {
        let mut words: Vec<&[u8]> = vec![b"ZREM", key];
        words.extend(members.iter().map(Vec::as_slice));
        ctx.propagate(&words);
    }
    ctx.client.out.int(removed as i64);
    Ok(())
}

/// An interval of scores as `min` and `max` say it, with `(` for exclusive ends.
pub(crate) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, CommandError> {
    let end = |arg: &[u8]| {
        let (exclusive, number) = match arg {
            [b'(', rest @ ..] => (true, rest),
            _ => (false, arg),
        };
        c_float(number).map(|number| (number, exclusive)).ok_or(CommandError::MinMaxNotFloat)
    };
    let ((min, min_exclusive), (max, max_exclusive)) = (end(min)?, end(max)?);
    Ok(ScoreRange { min, min_exclusive, max, max_exclusive })
}

/// An end of an interval of members: `-`, `+`, `[m` or `(m`.
pub(crate) fn lex_bound(arg: &[u8]) -> Result<LexBound<'_>, CommandError> {
    match arg {
        b"-" => Ok(LexBound::First),
        b"+" => Ok(LexBound::Last),
        [b'[', member @ ..] => Ok(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Ok(LexBound::Exclusive(member)),
        _ => Err(CommandError::MinMaxNotLex),
    }
}

fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let range = score_range(args.at(2), args.at(3))?;
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    let count = zset.map_or(0, |zset| zset.ranks_by_score(&range).len());
    ctx.client.out.int(count as i64);
    Ok(())
}

fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (min, max) = (lex_bound(args.at(2))?, lex_bound(args.at(3))?);
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    let count = zset.map_or(0, |zset| zset.ranks_by_lex(min, max).len());
    ctx.client.out.int(count as i64);
    Ok(())
}
