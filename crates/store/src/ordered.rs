//! Sets of small values in ascending order, many to a block: two words cost little more than two words, in
//! whatever order they come. Owns how blocks fill, split and join; must not know what the values stand for.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// Values in a block at most.
const CHUNK: usize = 64;

/// A block with fewer values joins one beside it, if both are not nearly full together.
const SPARSE: usize = CHUNK / 4;
const JOINED: usize = CHUNK / 4 * 3;

#[derive(Clone, Debug)]
pub(crate) struct OrderedSet<T> {
    repr: Repr<T>,
}

#[derive(Clone, Debug)]
enum Repr<T> {
    /// One block, which may be empty.
    Few(Vec<T>),
    /// Blocks, none of them empty, each by a bound: its values are not below its own, and below that of the
    /// next.
    Many { chunks: BTreeMap<T, Vec<T>>, len: usize },
}

impl<T> Default for OrderedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> OrderedSet<T> {
    pub const fn new() -> Self {
        OrderedSet { repr: Repr::Few(Vec::new()) }
    }
}

impl<T: Copy + Ord> OrderedSet<T> {
    #[inline]
    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::Few(values) => values.len(),
            Repr::Many { len, .. } => *len,
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn first(&self) -> Option<&T> {
        match &self.repr {
            Repr::Few(values) => values.first(),
            Repr::Many { chunks, .. } => chunks.first_key_value()?.1.first(),
        }
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (few, many) = match &self.repr {
            Repr::Few(values) => (Some(values), None),
            Repr::Many { chunks, .. } => (None, Some(chunks.values())),
        };
        few.into_iter().chain(many.into_iter().flatten()).flatten()
    }

    /// What the values take, about.
    pub fn memory_bytes(&self) -> usize {
        let values = match &self.repr {
            Repr::Few(values) => values.capacity(),
            // As full as blocks are on the whole, and what leads to them.
            Repr::Many { len, .. } => len / 3 * 4,
        };
        values * size_of::<T>()
    }

    /// True if it was not there.
    pub fn insert(&mut self, value: T) -> bool {
        match &mut self.repr {
            Repr::Few(values) => {
                let Err(at) = values.binary_search(&value) else { return false };
                if values.len() < CHUNK {
                    values.insert(at, value);
                    return true;
                }
                let only = std::mem::take(values);
                let (bound, len) = (only[0], only.len());
                self.repr = Repr::Many { chunks: BTreeMap::from([(bound, only)]), len };
                self.insert(value)
            }
            Repr::Many { chunks, len } => {
                let new = insert_among(chunks, value);
                *len += usize::from(new);
                new
            }
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, value: &T) -> bool {
        match &mut self.repr {
            Repr::Few(values) => remove_from(values, value),
            Repr::Many { chunks, len } => {
                let Some((bound, chunk)) = chunks.range_mut(..=*value).next_back() else {
                    return false;
                };
                if !remove_from(chunk, value) {
                    return false;
                }
                *len -= 1;
                if chunk.len() < SPARSE {
                    let bound = *bound;
                    settle(chunks, bound);
                    if *len < SPARSE {
                        self.repr = Repr::Few(self.iter().copied().collect());
                    }
                }
                true
            }
        }
    }

    pub fn pop_first(&mut self) -> Option<T> {
        let first = *self.first()?;
        self.remove(&first);
        Some(first)
    }
}

/// The block that a value not below all bounds is in, if it is there.
fn chunk_for<T: Copy + Ord>(chunks: &mut BTreeMap<T, Vec<T>>, value: T) -> &mut Vec<T> {
    chunks.range_mut(..=value).next_back().expect("one has a bound as low").1
}

fn insert_among<T: Copy + Ord>(chunks: &mut BTreeMap<T, Vec<T>>, value: T) -> bool {
    if chunks.first_key_value().is_some_and(|(bound, _)| value < *bound) {
        let (_, first) = chunks.pop_first().expect("it was seen");
        chunks.insert(value, first);
    }
    let chunk = chunk_for(chunks, value);
    let Err(at) = chunk.binary_search(&value) else { return false };
    if chunk.len() < CHUNK {
        chunk.insert(at, value);
        return true;
    }
    // One that belongs between two blocks may join the upper one: values may come in descending order, too.
    if at == CHUNK
        && let Some((&bound, next)) = chunks.range((Excluded(value), Unbounded)).next()
        && next.len() < CHUNK
        && let Some(mut next) = chunks.remove(&bound)
    {
        next.insert(0, value);
        chunks.insert(value, next);
        return true;
    }
    let chunk = chunk_for(chunks, value);
    // Values that come in ascending order leave full blocks behind them.
    let cut = if at == CHUNK { CHUNK } else { CHUNK / 2 };
    let mut upper = chunk.split_off(cut);
    if at < cut {
        chunk.insert(at, value);
    } else {
        upper.insert(at - cut, value);
    }
    chunks.insert(upper[0], upper);
    true
}

fn remove_from<T: Ord>(values: &mut Vec<T>, value: &T) -> bool {
    let Ok(at) = values.binary_search(value) else { return false };
    values.remove(at);
    if values.len() < values.capacity() / 4 {
        values.shrink_to(values.len() * 2);
    }
    true
}

/// The block of this bound has few values left.
fn settle<T: Copy + Ord>(chunks: &mut BTreeMap<T, Vec<T>>, bound: T) {
    let left = chunks[&bound].len();
    if left == 0 {
        chunks.remove(&bound);
        return;
    }
    let fits = |(_, other): &(&T, &Vec<T>)| left + other.len() <= JOINED;
    let next = chunks.range((Excluded(bound), Unbounded)).next().filter(fits);
    let (into, from) = match (next, chunks.range(..bound).next_back().filter(fits)) {
        (Some((next, _)), _) => (bound, *next),
        (None, Some((previous, _))) => (*previous, bound),
        (None, None) => return,
    };
    if let Some(values) = chunks.remove(&from) {
        chunks.get_mut(&into).expect("it is a neighbour").extend(values);
    }
}

impl<T: Copy + Ord> FromIterator<T> for OrderedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut set = OrderedSet::new();
        for value in values {
            set.insert(value);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Values that the blocks have room for.
    fn room(set: &OrderedSet<u32>) -> usize {
        match &set.repr {
            Repr::Few(values) => values.capacity(),
            Repr::Many { chunks, .. } => chunks.values().map(Vec::capacity).sum(),
        }
    }

    fn check(set: &OrderedSet<u32>) {
        let Repr::Many { chunks, len } = &set.repr else { return };
        let bounds: Vec<u32> = chunks.keys().copied().chain([u32::MAX]).collect();
        for (chunk, bounds) in chunks.values().zip(bounds.windows(2)) {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK);
            assert!(bounds[0] <= chunk[0] && chunk[chunk.len() - 1] < bounds[1]);
        }
        assert_eq!(chunks.values().map(Vec::len).sum::<usize>(), *len);
    }

    #[test]
    fn what_comes_in_order_fills_its_blocks() {
        let set: OrderedSet<u32> = (0..10_000).collect();
        assert!(room(&set) <= 10_000 + CHUNK);
        let few: OrderedSet<u32> = (0..3).collect();
        assert!(room(&few) <= 4);
    }

    #[test]
    fn what_comes_in_descending_order_shares_blocks() {
        let mut set: OrderedSet<u32> = (0..64).collect();
        (100..10_100).rev().for_each(|n| assert!(set.insert(n)));
        assert!(room(&set) <= 21_000, "{}", room(&set));
    }

    #[test]
    fn what_was_large_gives_its_room_back() {
        let mut set: OrderedSet<u32> = (0..10_000).collect();
        (0..10_000).filter(|n| n % 100 > 0).for_each(|n| assert!(set.remove(&n)));
        let Repr::Many { chunks, .. } = &set.repr else { panic!("a hundred values are many") };
        assert!(chunks.len() <= 8, "{} blocks for {} values", chunks.len(), set.len());
        assert!(room(&set) <= 800, "{}", room(&set));
        while set.len() > 2 {
            set.pop_first();
        }
        assert!(matches!(set.repr, Repr::Few(_)));
        assert!(room(&set) <= 8);
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Insert(u32),
        Ascending(u32, u32),
        Remove(u32),
        RemoveRange(u32, u32),
        Pop(usize),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            4 => (0u32..900).prop_map(Edit::Insert),
            3 => (0u32..900, 1u32..200).prop_map(|(from, n)| Edit::Ascending(from, n)),
            2 => (0u32..1000).prop_map(Edit::Remove),
            2 => (0u32..900, 1u32..200).prop_map(|(from, n)| Edit::RemoveRange(from, n)),
            1 => (1usize..100).prop_map(Edit::Pop),
        ]
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_tree(edits in prop::collection::vec(edit(), 0..60)) {
            let (mut set, mut model) = (OrderedSet::new(), BTreeSet::new());
            for edit in edits {
                match edit {
                    Edit::Insert(n) => prop_assert_eq!(set.insert(n), model.insert(n)),
                    Edit::Ascending(from, n) => {
                        for n in from..from + n {
                            prop_assert_eq!(set.insert(n), model.insert(n));
                        }
                    }
                    Edit::Remove(n) => prop_assert_eq!(set.remove(&n), model.remove(&n)),
                    Edit::RemoveRange(from, n) => {
                        for n in from..from + n {
                            prop_assert_eq!(set.remove(&n), model.remove(&n));
                        }
                    }
                    Edit::Pop(n) => {
                        for _ in 0..n {
                            prop_assert_eq!(set.pop_first(), model.pop_first());
                        }
                    }
                }
                check(&set);
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.first(), model.first());
                prop_assert!(set.iter().eq(model.iter()));
            }
        }
    }
}
