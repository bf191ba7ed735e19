//! ZUNION, ZINTER, ZDIFF, their storing forms and ZINTERCARD: sorted sets and sets, combined.

use std::collections::HashMap;

use protocol::{Args, parse_f64};
use store::ValueRef;
use store::value::{Item, ItemBuf, Value};
use store::zset::ZSet;

use super::args::{is, is_read_everywhere};
use super::sets::intersection_limit;
use super::zsets::{numkeys, reply_member, reply_members_head, zset};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{CommandSpec, Flags};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY.or(Flags::MOVABLE_KEYS);
const STORE: Flags = Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS);

pub(crate) static ROWS: &[CommandSpec] = &[
    zset(
        "zunion",
        zunion,
        -3,
        READ,
        &[KeySpec::counted(1, Access::READS)],
        "6.2.0",
        "Returns the union of multiple sorted sets.",
    ),
    zset(
        "zinter",
        zinter,
        -3,
        READ,
        &[KeySpec::counted(1, Access::READS)],
        "6.2.0",
        "Returns the intersect of multiple sorted sets.",
    ),
    zset(
        "zdiff",
        zdiff,
        -3,
        READ,
        &[KeySpec::counted(1, Access::READS)],
        "6.2.0",
        "Returns the difference between multiple sorted sets.",
    ),
    zset(
        "zunionstore",
        zunionstore,
        -4,
        STORE,
        &[KeySpec::at(1, Access::OVERWRITES), KeySpec::counted(2, Access::READS)],
        "2.0.0",
        "Stores the union of multiple sorted sets in a key.",
    ),
    zset(
        "zinterstore",
        zinterstore,
        -4,
        STORE,
        &[KeySpec::at(1, Access::OVERWRITES), KeySpec::counted(2, Access::READS)],
        "2.0.0",
        "Stores the intersect of multiple sorted sets in a key.",
    ),
    zset(
        "zdiffstore",
        zdiffstore,
        -4,
        STORE,
        &[KeySpec::at(1, Access::OVERWRITES), KeySpec::counted(2, Access::READS)],
        "6.2.0",
        "Stores the difference of multiple sorted sets in a key.",
    ),
    zset(
        "zintercard",
        zintercard,
        -3,
        READ,
        &[KeySpec::counted(1, Access::READS)],
        "7.0.0",
        "Returns the number of members of the intersect of multiple sorted sets.",
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            // inf + -inf is 0 here, not NaN, as in Redis.
            Aggregate::Sum if (a + b).is_nan() => 0.0,
            Aggregate::Sum => a + b,
            // Of equals the first stays: 0 and -0 are told apart when they are shown.
            Aggregate::Min if b < a => b,
            Aggregate::Max if b > a => b,
            Aggregate::Min | Aggregate::Max => a,
        }
    }
}

struct Query<'a> {
    keys: Args<'a>,
    /// Which of the keys are not there.
    absent: Vec<bool>,
    weights: Vec<f64>,
    /// Every server reads the weights alike.
    reads_alike: bool,
    aggregate: Aggregate,
    with_scores: bool,
}

impl<'a> Query<'a> {
    fn parse(
        ctx: &mut Ctx<'_>,
        args: Args<'a>,
        count_at: usize,
        operation: Operation,
    ) -> Result<Query<'a>, CommandError> {
        let count = numkeys(args.at(count_at), ctx.found.spec.name)?;
        let first = count_at + 1;
        if count > args.len() - first {
            return Err(CommandError::Syntax);
        }
        let keys = args.slice(first..first + count);
        let mut query = Query {
            keys,
            // A key of another type is told of before an option that is wrong.
            absent: check_sources(ctx, keys)?,
            weights: vec![1.0; count],
            reads_alike: true,
            aggregate: Aggregate::Sum,
            with_scores: false,
        };
        let weighs = operation != Operation::Difference;
        let mut at = first + count;
        while at < args.len() {
            let (option, left) = (args.at(at), args.len() - at - 1);
            if is(option, "weights") && left >= count && weighs {
                for (place, weight) in query.weights.iter_mut().enumerate() {
                    let text = args.at(at + 1 + place);
                    *weight = parse_f64(text).ok_or(CommandError::WeightNotFloat)?;
                    query.reads_alike &= is_read_everywhere(text);
                }
                at += count;
            } else if is(option, "aggregate") && left >= 1 && weighs {
                query.aggregate = match args.at(at + 1) {
                    word if is(word, "sum") => Aggregate::Sum,
                    word if is(word, "min") => Aggregate::Min,
                    word if is(word, "max") => Aggregate::Max,
                    _ => return Err(CommandError::Syntax),
                };
                at += 1;
            } else if is(option, "withscores") && count_at == 1 {
                query.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(query)
    }

    /// Whether other servers come to the same scores. Sums of more than two are rounded by their order, which
    /// is everybody's own, unless all are whole numbers of a size at which nothing is rounded.
    fn comes_to_the_same_everywhere(&self, sources: &[Source<'_>], operation: Operation) -> bool {
        let addends = sources.iter().filter(|source| source.len() > 0).count();
        let sums = operation != Operation::Difference && self.aggregate == Aggregate::Sum;
        if !sums || addends <= 2 {
            return self.reads_alike;
        }
        let largest = (1_u64 << f64::MANTISSA_DIGITS) as f64 / addends as f64;
        let mut are_exact = true;
        for (source, weight) in sources.iter().zip(&self.weights) {
            source.for_each(|_, score| {
                let score = weighted(score, *weight);
                are_exact &= score.fract() == 0.0 && score.abs() <= largest;
            });
        }
        self.reads_alike && are_exact
    }
}

/// A set or sorted set as a source; a set's members have score 1.
#[derive(Clone, Copy)]
enum Source<'a> {
    Absent,
    Set(&'a store::set::Set),
    ZSet(&'a ZSet),
}

impl Source<'_> {
    fn len(self) -> usize {
        match self {
            Source::Absent => 0,
            Source::Set(set) => set.len(),
            Source::ZSet(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Absent => None,
            Source::Set(set) => set.contains(member).then_some(1.0),
            Source::ZSet(zset) => zset.score(member),
        }
    }

    fn for_each(self, mut f: impl FnMut(Item<'_>, f64)) {
        match self {
            Source::Absent => {}
            Source::Set(set) => set.iter().for_each(|member| f(member, 1.0)),
            Source::ZSet(zset) => zset.iter().for_each(|(member, score)| f(member, score)),
        }
    }
}

/// Lets the keys' time run out and checks their types; which of them are not there.
fn check_sources(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<Vec<bool>, CommandError> {
    let db = ctx.view;
    keys.iter()
        .map(|key| match ctx.engine.read(db, key).map(|entry| entry.value()) {
            None => Ok(true),
            Some(ValueRef::Set(_) | ValueRef::ZSet(_)) => Ok(false),
            Some(_) => Err(CommandError::WrongType),
        })
        .collect()
}

/// The sources that [`check_sources`] has seen.
fn sources<'e>(ctx: &'e Ctx<'_>, keys: Args<'_>, absent: &[bool]) -> Vec<Source<'e>> {
    let db = ctx.view;
    let entries = keys.iter().zip(absent).map(|(key, absent)| {
        if *absent {
            return Source::Absent;
        }
        match ctx.engine.keyspace.db(db.index()).get(key).map(|entry| entry.value()) {
            Some(ValueRef::Set(set)) => Source::Set(set),
            Some(ValueRef::ZSet(zset)) => Source::ZSet(zset),
            _ => Source::Absent,
        }
    });
    entries.collect()
}

fn weighted(score: f64, weight: f64) -> f64 {
    // inf * 0 counts as 0.
    let product = score * weight;
    if product.is_nan() { 0.0 } else { product }
}

fn combine(ctx: &Ctx<'_>, query: &Query<'_>, operation: Operation) -> ZSet {
    let limits = &ctx.engine.settings.limits;
    let sources = sources(ctx, query.keys, &query.absent);
    // Sums of more than two depend on their order; it is Redis's, so that its results are ours.
    let mut by_len: Vec<usize> = (0..sources.len()).collect();
    by_len.sort_by_key(|at| sources[*at].len());
    let mut result = ZSet::new();
    let mut buf = ItemBuf::new();
    match operation {
        Operation::Union => {
            let mut scores: HashMap<Vec<u8>, f64> = HashMap::new();
            for &at in &by_len {
                sources[at].for_each(|member, score| {
                    let score = weighted(score, query.weights[at]);
                    scores
                        .entry(member.to_vec())
                        .and_modify(|sum| *sum = query.aggregate.join(*sum, score))
                        .or_insert(score);
                });
            }
            result.expect(scores.len(), limits);
            for (member, score) in scores {
                result.insert(&member, score, limits);
            }
        }
        Operation::Intersection => {
            // Walking the smallest asks the fewest questions of the others.
            let (smallest, others) = (by_len[0], &by_len[1..]);
            sources[smallest].for_each(|member, score| {
                let member = member.as_bytes(&mut buf);
                let mut sum = weighted(score, query.weights[smallest]);
                for &at in others {
                    let Some(score) = sources[at].score(member) else { return };
                    // Not a number here makes the sum 0, as in Redis, not this addend.
                    sum = query.aggregate.join(sum, score * query.weights[at]);
                }
                result.insert(member, sum, limits);
            });
        }
        Operation::Difference => {
            sources[0].for_each(|member, score| {
                let member = member.as_bytes(&mut buf);
                if sources[1..].iter().all(|source| source.score(member).is_none()) {
                    result.insert(member, score, limits);
                }
            });
        }
    }
    result.pack(limits);
    result
}

fn reply_combined(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let query = Query::parse(ctx, args, 1, operation)?;
    let result = combine(ctx, &query, operation);
    let out = &mut ctx.client.out;
    reply_members_head(out, result.len(), query.with_scores);
    for (member, score) in result.iter() {
        reply_member(out, member, score, query.with_scores);
    }
    Ok(())
}

fn store_combined(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &str,
) -> Result<(), CommandError> {
    let query = Query::parse(ctx, args, 2, operation)?;
    let result = combine(ctx, &query, operation);
    let comes_to_the_same = !ctx.engine.propagation.is_on() || {
        let sources = sources(ctx, query.keys, &query.absent);
        query.comes_to_the_same_everywhere(&sources, operation)
    };
    let len = result.len();
    let value = (len > 0).then_some(Value::ZSet(result));
    let is_changed = ctx.replace_with_result(args.at(1), value, Classes::ZSET, event);
    if is_changed && !comes_to_the_same {
        ctx.propagate_value(args.at(1));
    }
    ctx.client.out.int(len as i64);
    Ok(())
}

fn zunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_combined(ctx, args, Operation::Union)
}

fn zinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_combined(ctx, args, Operation::Intersection)
}

fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_combined(ctx, args, Operation::Difference)
}

fn zunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    store_combined(ctx, args, Operation::Union, "zunionstore")
}

fn zinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    store_combined(ctx, args, Operation::Intersection, "zinterstore")
}

fn zdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    store_combined(ctx, args, Operation::Difference, "zdiffstore")
}

fn zintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = numkeys(args.at(1), "zintercard")?;
    if count > args.len() - 2 {
        return Err(CommandError::Syntax);
    }
    let (keys, rest) = (args.slice(2..2 + count), args.slice(2 + count..args.len()));
    let absent = check_sources(ctx, keys)?;
    let limit = intersection_limit(rest)?;
    let sources = sources(ctx, keys, &absent);
    let smallest = (0..sources.len()).min_by_key(|at| sources[*at].len()).unwrap_or(0);
    let mut members = 0;
    let mut buf = ItemBuf::new();
    sources[smallest].for_each(|member, _| {
        let member = member.as_bytes(&mut buf);
        if (limit == 0 || members < limit)
            && sources.iter().all(|source| source.score(member).is_some())
        {
            members += 1;
        }
    });
    ctx.client.out.int(members as i64);
    Ok(())
}
