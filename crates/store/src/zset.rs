//! Sorted sets: a listpack of members and scores while small, a B+ tree with a hash table over
//! its nodes when large. Owns the conversion, the order and ranges; must not know how commands
//! spell scores and bounds.

use std::fmt;
use std::ops::Range;

use fastrand::Rng;

pub use self::bounds::{LexBound, ScoreRange};
use crate::limits::Limits;
use crate::list::scale;
use crate::listpack::{self, Listpack, classify};
use crate::order_tree::{self, NodePtr, NodeRef, OrderTree};
use crate::relocate::{Cursor, Mover, Relocate};
use crate::sample;
use crate::score::{Score, parse_score};
use crate::table::{Slot, Table, TableStats};
use crate::value::{Encoding, Item, ItemBuf};

mod bounds;
mod packed;
#[cfg(test)]
mod tests;

/// A sorted set value. Scores are never NaN. Commands delete the key of an emptied one.
pub struct ZSet {
    repr: Repr,
}

enum Repr {
    Packed(Listpack),
    Sorted(Box<Sorted>),
}

struct Sorted {
    table: Table<NodePtr>,
    order: OrderTree,
}

/// Set in the cursor of a walk that is past the table, whose own cursors are no larger than its buckets are many,
/// and goes from leaf to leaf of the order.
const ORDER_PHASE: Cursor = 1 << 63;

impl Relocate for ZSet {
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        match &mut self.repr {
            Repr::Packed(entries) => {
                entries.relocate(mover);
                0
            }
            Repr::Sorted(sorted) => {
                if cursor == 0 {
                    mover.boxed(sorted);
                }
                let Sorted { table, order } = &mut **sorted;
                if cursor & ORDER_PHASE == 0 {
                    let next = table
                        .relocate_from(cursor, mover, |node, mover| order.relocate(node, mover));
                    return if next == 0 { ORDER_PHASE } else { next };
                }
                let index = (cursor & !ORDER_PHASE) as usize;
                order.relocate_leaf(index, mover).map_or(0, |next| ORDER_PHASE | next as Cursor)
            }
        }
    }
}

impl ZSet {
    pub fn new() -> Self {
        ZSet { repr: Repr::Packed(Listpack::new()) }
    }

    /// A sorted set out of the bytes of a file: members and scores in turn, no member twice. One
    /// that is out of order is put in order.
    pub fn from_listpack(entries: Listpack, limits: &Limits) -> Result<Self, &'static str> {
        let len = entries.len();
        if !len.is_multiple_of(2) {
            return Err("a sorted set has a member without a score");
        }
        if entries.iter().skip(1).step_by(2).any(|score| parse_score(score).is_none()) {
            return Err("a sorted set has a score that is not a number");
        }
        let too_many = len / 2 > limits.zset_max_listpack_entries;
        if !too_many && listpack::has_duplicates(&entries, 1) {
            return Err("a sorted set has a member twice");
        }
        let mut zset = ZSet { repr: Repr::Packed(entries) };
        if too_many || !zset.is_in_order() {
            let mut rebuilt = ZSet::new();
            rebuilt.expect(len / 2, limits);
            let mut buf = ItemBuf::new();
            for (member, score) in zset.iter() {
                if rebuilt.insert(member.as_bytes(&mut buf), score, limits).is_some() {
                    return Err("a sorted set has a member twice");
                }
            }
            zset = rebuilt;
        }
        Ok(zset)
    }

    fn is_in_order(&self) -> bool {
        let mut previous: Option<(Item<'_>, f64)> = None;
        self.iter().all(|(member, score)| {
            let ordered = previous.is_none_or(|(before, before_score)| {
                // Equal scores are rare enough to spell integers out only then.
                before_score < score
                    || before_score == score
                        && before.as_bytes(&mut ItemBuf::new())
                            < member.as_bytes(&mut ItemBuf::new())
            });
            previous = Some((member, score));
            ordered
        })
    }

    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::Packed(entries) => entries.len() / 2,
            Repr::Sorted(sorted) => sorted.order.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.repr {
            Repr::Packed(entries) => entries.is_empty(),
            Repr::Sorted(sorted) => sorted.order.len() == 0,
        }
    }

    pub fn encoding(&self) -> Encoding {
        match &self.repr {
            Repr::Packed(_) => Encoding::Listpack,
            Repr::Sorted(_) => Encoding::Skiplist,
        }
    }

    /// Of its hash table, while it has one.
    pub fn table_stats(&self) -> Option<Vec<TableStats>> {
        match &self.repr {
            Repr::Packed(_) => None,
            Repr::Sorted(sorted) => Some(sorted.table.stats()),
        }
    }

    /// The listpack, while it is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.repr {
            Repr::Packed(entries) => Some(entries),
            Repr::Sorted(_) => None,
        }
    }

    /// Makes ready for a command, or a file, that adds `count` members: Redis converts at once
    /// when they alone are too many. The caller vouches for the number: memory is taken.
    pub fn expect(&mut self, count: usize, limits: &Limits) {
        if count > limits.zset_max_listpack_entries {
            self.convert_to_sorted(count, limits);
        }
    }

    fn convert_to_sorted(&mut self, more: usize, limits: &Limits) {
        let Repr::Packed(entries) = &self.repr else { return };
        let mut sorted = Box::new(Sorted {
            table: Table::with_capacity(limits.hash_seed, entries.len() / 2 + more),
            order: OrderTree::new(),
        });
        let mut buf = ItemBuf::new();
        for (member, score) in self.iter() {
            sorted.insert_new(member.as_bytes(&mut buf), score);
        }
        self.repr = Repr::Sorted(sorted);
    }

    /// A tree becomes a listpack where the settings allow it: what Redis does with results of
    /// unions and the like.
    pub fn pack(&mut self, limits: &Limits) {
        let Repr::Sorted(sorted) = &self.repr else { return };
        let longest = sorted.order.iter().map(|node| node.member().len()).max().unwrap_or(0);
        if sorted.order.len() > limits.zset_max_listpack_entries
            || longest > limits.zset_max_listpack_value
        {
            return;
        }
        let mut entries = Listpack::new();
        for node in sorted.order.iter() {
            entries.push_back_items(&[classify(node.member()), Score::new(node.score()).as_item()]);
        }
        self.repr = Repr::Packed(entries);
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.repr {
            Repr::Packed(entries) => {
                let score = entries.next(packed::find(entries, member)?)?;
                Some(packed::score_at(entries, score))
            }
            Repr::Sorted(sorted) => sorted.table.find(member).map(|node| node.node().score()),
        }
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.repr {
            Repr::Packed(entries) => packed::find(entries, member).is_some(),
            Repr::Sorted(sorted) => sorted.table.contains(member),
        }
    }

    /// Adds a member or changes its score. Returns the score it had.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<f64> {
        self.upsert(member, limits, |_| Some(score)).0
    }

    /// Looks a member up and gives it the score that `decide` says, which sees the one it has, if
    /// any; `None` leaves all as it is. Returns the score before and the one after.
    pub fn upsert(
        &mut self,
        member: &[u8],
        limits: &Limits,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        if let Repr::Packed(entries) = &mut self.repr {
            let found = packed::find(entries, member);
            let old = found
                .and_then(|pos| entries.next(pos))
                .map(|score_pos| packed::score_at(entries, score_pos));
            let Some(new) = decide(old) else { return (old, old) };
            debug_assert!(!new.is_nan());
            match found {
                Some(_) if old == Some(new) => return (old, old),
                Some(pos) => {
                    entries.remove_n(pos, 2);
                }
                None if entries.len() / 2 >= limits.zset_max_listpack_entries
                    || member.len() > limits.zset_max_listpack_value
                    || !entries.is_safe_to_add(member.len()) =>
                {
                    self.convert_to_sorted(1, limits);
                    let Repr::Sorted(sorted) = &mut self.repr else {
                        unreachable!("converted above")
                    };
                    sorted.insert_new(member, new);
                    return (None, Some(new));
                }
                None => {}
            }
            packed::insert(entries, member, new);
            return (old, Some(new));
        }
        let Repr::Sorted(sorted) = &mut self.repr else { unreachable!("packed is above") };
        let Sorted { table, order } = &mut **sorted;
        match table.slot(member) {
            Slot::Occupied(slot) => {
                let old = slot.element().node().score();
                match decide(Some(old)) {
                    Some(new) if new != old => {
                        debug_assert!(!new.is_nan());
                        order.set_score(slot.element(), new);
                        (Some(old), Some(new))
                    }
                    _ => (Some(old), Some(old)),
                }
            }
            Slot::Vacant(slot) => {
                let Some(new) = decide(None) else { return (None, None) };
                debug_assert!(!new.is_nan());
                slot.insert(order.insert(new, member).to_ptr());
                (None, Some(new))
            }
        }
    }

    /// The score of the member that is no more.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.repr {
            Repr::Packed(entries) => {
                let pos = packed::find(entries, member)?;
                let score = packed::score_at(entries, entries.next(pos)?);
                entries.remove_n(pos, 2);
                Some(score)
            }
            Repr::Sorted(sorted) => {
                let node = sorted.table.remove(member)?;
                let score = node.node().score();
                sorted.order.remove(node);
                Some(score)
            }
        }
    }

    /// How many members come before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.repr {
            Repr::Packed(entries) => {
                let pos = packed::find(entries, member)?;
                Some((entries.index_of(pos) / 2, packed::score_at(entries, entries.next(pos)?)))
            }
            Repr::Sorted(sorted) => {
                let score = sorted.table.find(member)?.node().score();
                Some((sorted.order.rank(score, member), score))
            }
        }
    }

    /// The ranks of the members with scores in `range`.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        let len = self.len();
        match &self.repr {
            Repr::Packed(entries) => {
                let count = |passes: &dyn Fn(f64) -> bool| {
                    packed::partition_point(entries, |_, score| passes(score)).0
                };
                ranks_between(range, len, count)
            }
            Repr::Sorted(sorted) => {
                let count = |passes: &dyn Fn(f64) -> bool| {
                    sorted.order.partition_point(|node| passes(node.score()))
                };
                ranks_between(range, len, count)
            }
        }
    }

    /// Whether there is no more than one score, so that the order is the members' alone.
    pub fn has_one_score(&self) -> bool {
        let mut ends = [self.iter().next(), self.iter().next_back()].into_iter().flatten();
        let first = ends.next().map(|(_, score)| score);
        ends.all(|(_, score)| Some(score) == first)
    }

    /// The ranks of the members between two bounds; sensible where all scores are equal. Where they are not,
    /// a small set says what Redis's would, and a large one says anything, as Redis's does.
    pub fn ranks_by_lex(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        match &self.repr {
            Repr::Packed(_) => {
                let mut buf = ItemBuf::new();
                let mut is_out = |member: Option<(Item<'_>, f64)>, ends: bool| {
                    member.is_none_or(|(member, _)| {
                        let member = member.as_bytes(&mut buf);
                        if ends { max.ends_before(member) } else { min.starts_after(member) }
                    })
                };
                if is_out(self.iter().next_back(), false) || is_out(self.iter().next(), true) {
                    return 0..0;
                }
                let (mut start, mut count) = (0, 0);
                for (member, _) in self.iter() {
                    let member = member.as_bytes(&mut buf);
                    if count == 0 && min.starts_after(member) {
                        start += 1;
                    } else if max.ends_before(member) {
                        break;
                    } else {
                        count += 1;
                    }
                }
                start..start + count
            }
            Repr::Sorted(sorted) => {
                let order = &sorted.order;
                let start = order.partition_point(|node| min.starts_after(node.member()));
                let end = order.partition_point(|node| !max.ends_before(node.member()));
                start..end.max(start)
            }
        }
    }

    /// All members with their scores, from the lowest, or with `rev()` from the highest.
    pub fn iter(&self) -> Iter<'_> {
        Iter(match &self.repr {
            Repr::Packed(entries) => IterRepr::Packed(entries.iter()),
            Repr::Sorted(sorted) => IterRepr::Sorted(sorted.order.iter()),
        })
    }

    /// The members from the first on whose score is no lower than `min`.
    pub fn iter_from_score(&self, min: f64) -> Iter<'_> {
        Iter(match &self.repr {
            Repr::Packed(entries) => {
                let (below, _) = packed::partition_point(entries, |_, score| score < min);
                IterRepr::Packed(entries.iter_range(2 * below, entries.len() - 2 * below))
            }
            Repr::Sorted(sorted) => {
                IterRepr::Sorted(sorted.order.iter_from(|node| node.score() < min))
            }
        })
    }

    /// The members of these ranks, from either end.
    pub fn range(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter(match &self.repr {
            Repr::Packed(entries) => IterRepr::Packed(
                entries.iter_range(ranks.start.saturating_mul(2), ranks.len().saturating_mul(2)),
            ),
            Repr::Sorted(sorted) => IterRepr::Sorted(sorted.order.range(ranks)),
        })
    }

    /// Removes the members of these ranks, from the lowest, each after `f` has seen it. Returns
    /// how many.
    pub fn remove_range(&mut self, ranks: Range<usize>, mut f: impl FnMut(Item<'_>, f64)) -> usize {
        let ranks = ranks.start..ranks.end.min(self.len());
        if ranks.is_empty() {
            return 0;
        }
        let count = ranks.len();
        if let Repr::Packed(_) = &self.repr {
            self.range(ranks.clone()).for_each(|(member, score)| f(member, score));
        }
        match &mut self.repr {
            Repr::Packed(entries) => entries.remove_range(2 * ranks.start, 2 * count),
            Repr::Sorted(sorted) => {
                let Sorted { table, order } = &mut **sorted;
                order.remove_range(ranks, |node| {
                    f(Item::Bytes(node.member()), node.score());
                    table.remove(node.member());
                });
            }
        }
        count
    }

    /// One step of a walk that survives changes; starts and ends with cursor 0. A listpack is
    /// walked in one step.
    pub fn scan(&self, cursor: u64, mut f: impl FnMut(Item<'_>, f64)) -> u64 {
        match &self.repr {
            Repr::Packed(_) => {
                self.iter().for_each(|(member, score)| f(member, score));
                0
            }
            Repr::Sorted(sorted) => sorted.table.scan(cursor, |node| {
                let (member, score) = pair(node.node());
                f(member, score);
            }),
        }
    }

    /// A member with its score; each is equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<(Item<'_>, f64)> {
        if self.is_empty() {
            return None;
        }
        match &self.repr {
            Repr::Packed(_) => self.range(rng.usize(..self.len())..usize::MAX / 2).next(),
            Repr::Sorted(sorted) => sorted.table.random(rng).map(|node| pair(node.node())),
        }
    }

    /// Up to `n` distinct members; every choice is equally likely.
    pub fn sample(&self, n: usize, rng: &mut Rng, mut f: impl FnMut(Item<'_>, f64)) {
        match &self.repr {
            Repr::Packed(_) => {
                sample::choose(self.iter(), self.len(), n, rng, |(member, score)| f(member, score));
            }
            Repr::Sorted(sorted) => sample::choose_in_table(&sorted.table, n, rng, |node| {
                let (member, score) = pair(node.node());
                f(member, score);
            }),
        }
    }

    pub fn free_effort(&self) -> usize {
        match &self.repr {
            Repr::Packed(_) => 1,
            Repr::Sorted(sorted) => sorted.order.len(),
        }
    }

    pub fn memory_usage(&self, samples: usize) -> usize {
        match &self.repr {
            Repr::Packed(entries) => entries.allocated_bytes(),
            Repr::Sorted(sorted) => {
                let len = sorted.order.len();
                let sampled = if samples == 0 { len } else { samples.min(len) };
                let nodes = sorted.order.iter().take(sampled);
                let bytes = nodes.map(NodeRef::allocated_bytes).sum();
                size_of::<OrderTree>()
                    + sorted.order.allocated_bytes()
                    + sorted.table.memory_bytes()
                    + scale(bytes, sampled, len)
            }
        }
    }
}

impl Sorted {
    fn insert_new(&mut self, member: &[u8], score: f64) {
        let node = self.order.insert(score, member).to_ptr();
        self.table.insert(node);
    }
}

/// `count` tells how many members have scores that pass; those come first.
fn ranks_between(
    range: &ScoreRange,
    len: usize,
    count: impl Fn(&dyn Fn(f64) -> bool) -> usize,
) -> Range<usize> {
    let start = if range.has_no_min() { 0 } else { count(&|score| range.is_below(score)) };
    let end = if range.has_no_max() { len } else { count(&|score| !range.is_above(score)) };
    start..end.max(start)
}

fn pair(node: NodeRef<'_>) -> (Item<'_>, f64) {
    (Item::Bytes(node.member()), node.score())
}

impl Default for ZSet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ZSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Members and scores in order, from both ends.
pub struct Iter<'a>(IterRepr<'a>);

enum IterRepr<'a> {
    Packed(listpack::Iter<'a>),
    Sorted(order_tree::Iter<'a>),
}

fn with_score<'a>(member: Item<'a>, score: Item<'a>) -> (Item<'a>, f64) {
    (member, parse_score(score).expect("checked when the listpack was taken in"))
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            IterRepr::Packed(iter) => Some(with_score(iter.next()?, iter.next()?)),
            IterRepr::Sorted(iter) => iter.next().map(pair),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            IterRepr::Packed(iter) => {
                let score = iter.next_back()?;
                Some(with_score(iter.next_back()?, score))
            }
            IterRepr::Sorted(iter) => iter.next_back().map(pair),
        }
    }
}
