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
    use std::cell::Cell;
    use std::cmp::Ordering;

    use super::*;

    thread_local! {
        static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    /// Counts how often it is compared.
    #[derive(Clone, Copy, Debug)]
    struct Counted(u32);

    impl Ord for Counted {
        fn cmp(&self, other: &Counted) -> Ordering {
            COMPARED.set(COMPARED.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Counted) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted {
        fn eq(&self, other: &Counted) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }

    impl Eq for Counted {}

    /// Subscribers of one channel, and who waits for one key, stood in a list that was searched for each
    /// who left: ten thousand that were closed compared fifty million times.
    #[test]
    fn who_joins_or_leaves_is_compared_with_few_however_many_there_are() {
        const MANY: u32 = 10_000;
        let mut roster = Roster::default();
        let compared_most = |work: &mut dyn FnMut(Counted)| {
            let one = |n| {
                let before = COMPARED.get();
                work(Counted(n));
                COMPARED.get() - before
            };
            // Neither in the order of coming nor against it.
            (0..MANY).map(|n| n * 7 % MANY).map(one).max()
        };
        let joining = compared_most(&mut |key| assert!(roster.insert(key, ())));
        let leaving = compared_most(&mut |key| assert!(roster.remove(key)));
        assert!(roster.is_empty());
        // A node of the tree has eleven keys at most, and five levels hold these many.
        assert!(
            joining <= Some(2 * 5 * 11) && leaving <= Some(5 * 11 + 1),
            "{joining:?} {leaving:?}"
        );
    }

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
