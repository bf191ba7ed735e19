//! A map sorted by stream ids: the nodes of a stream, what a group has pending, and which of that is
//! a consumer's. Owns the order; must not know what the values are.
//!
//! Ids nearly always come in order and go from the front, so a leaf is filled before the next one
//! begins: beside key and value an element costs next to nothing.
//!
//! Invariants: keys ascend strictly within and across leaves; no leaf is empty or has more than
//! `LEAF` elements; `len` is the sum of them.

use std::collections::VecDeque;

use super::id::StreamId;
use crate::relocate::Mover;

/// Elements of a leaf at most: what an insertion or a removal moves.
const LEAF: usize = 64;

#[derive(Clone, Debug)]
pub struct IdMap<V> {
    leaves: VecDeque<Vec<(StreamId, V)>>,
    len: usize,
}

/// The place of an element, or, one behind the last leaf, the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    leaf: usize,
    at: usize,
}

impl<V> IdMap<V> {
    pub const fn new() -> Self {
        IdMap { leaves: VecDeque::new(), len: 0 }
    }

    /// Of pairs in strictly ascending order.
    pub fn from_sorted(pairs: impl Iterator<Item = (StreamId, V)>) -> Self {
        let mut map = IdMap::new();
        pairs.for_each(|(id, value)| map.push(id, value));
        map
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, id: StreamId) -> Option<&V> {
        let place = self.seek(id);
        let (key, value) = self.at(place)?;
        (*key == id).then_some(value)
    }

    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut V> {
        let place = self.seek(id);
        let (key, value) = self.leaves.get_mut(place.leaf)?.get_mut(place.at)?;
        (*key == id).then_some(value)
    }

    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    pub fn first(&self) -> Option<(StreamId, &V)> {
        self.leaves.front()?.first().map(|(id, value)| (*id, value))
    }

    pub fn last(&self) -> Option<(StreamId, &V)> {
        self.leaves.back()?.last().map(|(id, value)| (*id, value))
    }

    pub fn last_mut(&mut self) -> Option<(StreamId, &mut V)> {
        self.leaves.back_mut()?.last_mut().map(|(id, value)| (*id, value))
    }

    /// The greatest key up to `id`.
    pub fn floor(&self, id: StreamId) -> Option<StreamId> {
        let place = self.seek(id);
        match self.at(place) {
            Some((key, _)) if *key == id => Some(id),
            _ => self.before(place).and_then(|place| self.at(place)).map(|(key, _)| *key),
        }
    }

    /// Puts a value at `id`, where there is none.
    pub fn insert(&mut self, id: StreamId, value: V) {
        if self.last().is_none_or(|(last, _)| last < id) {
            return self.push(id, value);
        }
        let Place { leaf, at } = self.seek(id);
        debug_assert!(self.at(Place { leaf, at }).is_some_and(|(key, _)| *key != id));
        self.len += 1;
        if self.leaves[leaf].len() < LEAF {
            return self.leaves[leaf].insert(at, (id, value));
        }
        let mut upper = self.leaves[leaf].split_off(LEAF / 2);
        match at.checked_sub(LEAF / 2) {
            Some(at) => upper.insert(at, (id, value)),
            None => self.leaves[leaf].insert(at, (id, value)),
        }
        self.leaves.insert(leaf + 1, upper);
    }

    /// Behind all others.
    fn push(&mut self, id: StreamId, value: V) {
        debug_assert!(self.last().is_none_or(|(last, _)| last < id));
        self.len += 1;
        match self.leaves.back_mut() {
            Some(leaf) if leaf.len() < LEAF => leaf.push((id, value)),
            last => {
                // A map of one element, as most short streams have, takes no more than that needs.
                let room = if last.is_some() { LEAF } else { 1 };
                let mut leaf = Vec::with_capacity(room);
                leaf.push((id, value));
                self.leaves.push_back(leaf);
            }
        }
    }

    pub fn remove(&mut self, id: StreamId) -> Option<V> {
        let place = self.seek(id);
        self.at(place).filter(|(key, _)| *key == id)?;
        let Place { leaf, at } = place;
        let (_, value) = self.leaves[leaf].remove(at);
        self.len -= 1;
        self.settle(leaf);
        Some(value)
    }

    /// A leaf has become shorter: a small one joins its neighbour, and no room is kept for elements
    /// that have long gone.
    fn settle(&mut self, leaf: usize) {
        let len = self.leaves[leaf].len();
        if len == 0 {
            self.leaves.remove(leaf);
            if self.leaves.len() <= self.leaves.capacity() / 4 {
                self.leaves.shrink_to(self.leaves.len() * 2);
            }
            return;
        }
        let next = self.leaves.get(leaf + 1).map(Vec::len);
        if next.is_some_and(|next| len + next <= LEAF / 2)
            && let Some(mut next) = self.leaves.remove(leaf + 1)
        {
            self.leaves[leaf].append(&mut next);
        }
        let leaf = &mut self.leaves[leaf];
        if leaf.len() <= leaf.capacity() / 4 {
            leaf.shrink_to(leaf.len() * 2);
        }
    }

    /// All elements, from both ends.
    pub fn iter(&self) -> Iter<'_, V> {
        self.between(Place { leaf: 0, at: 0 }, self.end())
    }

    /// The elements from `id` on.
    pub fn iter_from(&self, id: StreamId) -> Iter<'_, V> {
        self.between(self.seek(id), self.end())
    }

    /// The elements up to `id`, itself included.
    pub fn iter_to(&self, id: StreamId) -> Iter<'_, V> {
        let end = id.next().map_or(self.end(), |id| self.seek(id));
        self.between(Place { leaf: 0, at: 0 }, end)
    }

    fn between(&self, front: Place, back: Place) -> Iter<'_, V> {
        Iter { map: self, front, back }
    }

    /// What the map takes on the heap, the values' own allocations aside.
    pub fn allocated_bytes(&self) -> usize {
        let elements: usize = self.leaves.iter().map(Vec::capacity).sum();
        elements * size_of::<(StreamId, V)>()
            + self.leaves.capacity() * size_of::<Vec<(StreamId, V)>>()
    }

    /// Moves the blocks of a leaf, and has `value` move those of its values; false if there is none of this
    /// number. With the first goes what they all hang on.
    pub(crate) fn relocate_leaf(
        &mut self,
        number: usize,
        mover: &mut Mover<'_>,
        mut value: impl FnMut(&mut V, &mut Mover<'_>),
    ) -> bool {
        if number == 0 {
            mover.deque(&mut self.leaves);
        }
        let Some(leaf) = self.leaves.get_mut(number) else { return false };
        mover.vec(leaf);
        leaf.iter_mut().for_each(|(_, it)| value(it, mover));
        true
    }

    /// Moves the blocks of a map whose values have none.
    pub(crate) fn relocate(&mut self, mover: &mut Mover<'_>) {
        let mut number = 0;
        while self.relocate_leaf(number, mover, |_, _| {}) {
            number += 1;
        }
    }

    /// How many allocations the map is made of.
    pub fn leaves(&self) -> usize {
        self.leaves.len()
    }

    /// Where `id` is, or would be inserted.
    fn seek(&self, id: StreamId) -> Place {
        let is_below = |leaf: &Vec<(StreamId, V)>| leaf.last().is_some_and(|(last, _)| *last < id);
        let leaf = self.leaves.partition_point(is_below);
        let at = self.leaves.get(leaf).map_or(0, |leaf| leaf.partition_point(|(key, _)| *key < id));
        Place { leaf, at }
    }

    fn end(&self) -> Place {
        Place { leaf: self.leaves.len(), at: 0 }
    }

    fn at(&self, place: Place) -> Option<&(StreamId, V)> {
        self.leaves.get(place.leaf)?.get(place.at)
    }

    fn after(&self, Place { leaf, at }: Place) -> Place {
        if at + 1 < self.leaves[leaf].len() {
            Place { leaf, at: at + 1 }
        } else {
            Place { leaf: leaf + 1, at: 0 }
        }
    }

    fn before(&self, Place { leaf, at }: Place) -> Option<Place> {
        match at.checked_sub(1) {
            Some(at) => Some(Place { leaf, at }),
            None => {
                let leaf = leaf.checked_sub(1)?;
                Some(Place { leaf, at: self.leaves[leaf].len() - 1 })
            }
        }
    }
}

impl<V> Default for IdMap<V> {
    fn default() -> Self {
        IdMap::new()
    }
}

/// Elements in order, from both ends.
#[derive(Debug)]
pub struct Iter<'a, V> {
    map: &'a IdMap<V>,
    front: Place,
    back: Place,
}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Iter { ..*self }
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (StreamId, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let (id, value) = self.map.at(self.front)?;
        self.front = self.map.after(self.front);
        Some((*id, value))
    }
}

impl<V> DoubleEndedIterator for Iter<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = self.map.before(self.back)?;
        self.map.at(self.back).map(|(id, value)| (*id, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(map: &IdMap<u32>, model: &BTreeMap<StreamId, u32>) {
        assert!(map.leaves.iter().all(|leaf| (1..=LEAF).contains(&leaf.len())));
        assert_eq!(map.len(), model.len());
        let copied = |(id, value): (StreamId, &u32)| (id, *value);
        let pairs: Vec<_> = model.iter().map(|(id, value)| (*id, *value)).collect();
        assert_eq!(map.iter().map(copied).collect::<Vec<_>>(), pairs);
        let backwards: Vec<_> = map.iter().rev().map(copied).collect();
        assert!(backwards.iter().eq(pairs.iter().rev()));
        assert_eq!(map.first().map(copied), pairs.first().copied());
        assert_eq!(map.last().map(copied), pairs.last().copied());
    }

    /// Mostly behind and from the front, as in life, and anywhere as well.
    #[test]
    fn a_map_equals_a_plain_one_after_any_operations() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..40 {
            let (mut map, mut model) = (IdMap::new(), BTreeMap::new());
            let space = [20, 300, 5000][round % 3];
            for step in 0..4000u32 {
                let id = StreamId::new(rng.u64(..space), rng.u64(..2));
                let (inserts, ahead) = (rng.u8(..10) < 3 + (step / 1000) as u8, rng.bool());
                let last = model.last_key_value().map_or(id, |(last, _): (&StreamId, _)| *last);
                let id = if ahead && inserts { last.next().unwrap_or(id) } else { id };
                let id = match model.first_key_value() {
                    Some((first, _)) if ahead && !inserts => *first,
                    _ => id,
                };
                if !inserts {
                    assert_eq!(map.remove(id), model.remove(&id));
                } else if let Some(value) = map.get_mut(id) {
                    *value = step;
                    model.insert(id, step);
                } else {
                    map.insert(id, step);
                    assert_eq!(model.insert(id, step), None);
                }
                assert_eq!(map.get(id), model.get(&id));
                assert_eq!(map.floor(id), model.range(..=id).next_back().map(|(id, _)| *id));
            }
            check(&map, &model);
            let id = StreamId::new(rng.u64(..space), 0);
            let keys = |iter: Iter<'_, u32>| iter.map(|(id, _)| id).collect::<Vec<_>>();
            assert!(keys(map.iter_from(id)).iter().eq(model.range(id..).map(|(id, _)| id)));
            assert!(keys(map.iter_to(id)).iter().eq(model.range(..=id).map(|(id, _)| id)));
            let sorted = model.iter().map(|(id, value)| (*id, *value));
            check(&IdMap::from_sorted(sorted), &model);
        }
    }

    /// Filled in order, as groups deliver, a map takes little more than its elements.
    #[test]
    fn room_is_not_wasted() {
        let mut map = IdMap::new();
        (0..10_000).for_each(|n| map.insert(StreamId::new(n, 0), n));
        let needed = 10_000 * size_of::<(StreamId, u64)>();
        assert!(map.allocated_bytes() < needed + needed / 10);
        (0..9_990).for_each(|n| assert_eq!(map.remove(StreamId::new(n, 0)), Some(n)));
        assert!(map.allocated_bytes() < needed / 50);
    }
}
