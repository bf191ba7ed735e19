//! An ordered set of those who wait for, watch or hear one thing. Joining and leaving cost about the same
//! however many there are; one alone, which is the common case, costs no allocation.

use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Debug)]
pub(crate) struct Roster<K, V = ()> {
    /// Somebody who is alone; `None` while there are several or none.
    one: Option<(K, V)>,
    many: BTreeMap<K, V>,
}

impl<K, V> Default for Roster<K, V> {
    fn default() -> Self {
        Roster { one: None, many: BTreeMap::new() }
    }
}

impl<K: Ord + Copy, V> Roster<K, V> {
    /// False if it was there already; then nothing changes.
    pub(crate) fn insert(&mut self, key: K, value: V) -> bool {
        if self.one.as_ref().is_some_and(|(one, _)| *one == key) || self.many.contains_key(&key) {
            return false;
        }
        if self.one.is_none() && self.many.is_empty() {
            self.one = Some((key, value));
            return true;
        }
        self.many.extend(self.one.take());
        self.many.insert(key, value);
        true
    }

    pub(crate) fn remove(&mut self, key: K) -> bool {
        self.one.take_if(|(one, _)| *one == key).is_some() || self.many.remove(&key).is_some()
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        match &self.one {
            Some((one, value)) => (*one == key).then_some(value),
            None => self.many.get(&key),
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.one.is_some()) + self.many.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.one.is_none() && self.many.is_empty()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.one.iter().map(|(key, _)| *key).chain(self.many.keys().copied())
    }

    pub(crate) fn last_key(&self) -> Option<K> {
        let one = self.one.as_ref().map(|(key, _)| *key);
        one.or_else(|| self.many.last_key_value().map(|(key, _)| *key))
    }

    /// The first after `key`, or the first of all.
    pub(crate) fn first_after(&self, key: Option<K>) -> Option<(K, &V)> {
        if let Some((one, value)) = &self.one {
            return key.is_none_or(|key| key < *one).then_some((*one, value));
        }
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.many.range((from, Bound::Unbounded)).next().map(|(key, value)| (*key, value))
    }

    /// Keeps those of whom `keep` says so, and may change what is known of them.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(K, &mut V) -> bool) {
        self.one.take_if(|(key, value)| !keep(*key, value));
        self.many.retain(|key, value| keep(*key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_is_an_ordered_map_whatever_joins_and_leaves() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut roster, mut model) = (Roster::default(), BTreeMap::new());
        for step in 0..20_000 {
            let most = if step / 1000 % 2 == 0 { 3 } else { 40 };
            let key = random.u32(..most);
            if random.bool() {
                let is_new = !model.contains_key(&key);
                assert_eq!(roster.insert(key, step), is_new);
                model.entry(key).or_insert(step);
            } else {
                assert_eq!(roster.remove(key), model.remove(&key).is_some());
            }
            assert_eq!(roster.len(), model.len());
            assert_eq!(roster.is_empty(), model.is_empty());
            assert_eq!(roster.get(key), model.get(&key));
            assert_eq!(roster.last_key(), model.keys().last().copied());
            assert!(roster.keys().eq(model.keys().copied()));
            let next = model.range((Bound::Excluded(key), Bound::Unbounded)).next();
            assert_eq!(roster.first_after(Some(key)), next.map(|(key, step)| (*key, step)));
            assert_eq!(roster.first_after(None).map(|(key, _)| key), model.keys().next().copied());
        }
        roster.retain(|key, _| key == 2);
        assert!(roster.len() <= 1);
    }
}
