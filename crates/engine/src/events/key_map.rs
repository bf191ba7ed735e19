//! What is known of single keys by database: who waits for them, who watches them. Every write asks, and
//! nearly always the answer is nobody: then asking costs a comparison or two, and no hash.

use std::collections::HashMap;

/// Places of the filter.
const PLACES: usize = 256;

#[derive(Debug)]
pub(crate) struct KeyMap<V> {
    dbs: Vec<DbKeys<V>>,
    len: usize,
}

#[derive(Debug)]
struct DbKeys<V> {
    map: HashMap<Box<[u8]>, V>,
    /// How many keys of `map` belong to each place: at a place with none there is nothing to find.
    filter: Box<[u32]>,
}

impl<V> Default for KeyMap<V> {
    fn default() -> Self {
        KeyMap { dbs: Vec::new(), len: 0 }
    }
}

impl<V> KeyMap<V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn get(&self, db: usize, key: &[u8]) -> Option<&V> {
        self.dbs.get(db).filter(|keys| keys.may_have(key))?.map.get(key)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, db: usize, key: &[u8]) -> Option<&mut V> {
        self.dbs.get_mut(db).filter(|keys| keys.may_have(key))?.map.get_mut(key)
    }

    /// What is known of each, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.dbs.iter().flat_map(|keys| keys.map.values())
    }

    pub(crate) fn remove(&mut self, db: usize, key: &[u8]) -> Option<V> {
        let keys = self.dbs.get_mut(db).filter(|keys| keys.may_have(key))?;
        let removed = keys.map.remove(key)?;
        keys.filter[place(key)] -= 1;
        self.len -= 1;
        Some(removed)
    }

    /// Every key of one database, or of all: `keep` says which of them stay.
    pub(crate) fn retain(
        &mut self,
        only_db: Option<usize>,
        mut keep: impl FnMut(usize, &[u8], &mut V) -> bool,
    ) {
        for (db, keys) in self.dbs.iter_mut().enumerate() {
            if only_db.is_some_and(|only| only != db) {
                continue;
            }
            let DbKeys { map, filter } = keys;
            let before = map.len();
            map.retain(|key, value| {
                let stays = keep(db, key, value);
                filter[place(key)] -= u32::from(!stays);
                stays
            });
            self.len -= before - map.len();
        }
    }
}

impl<V: Default> KeyMap<V> {
    pub(crate) fn entry(&mut self, db: usize, key: &[u8]) -> &mut V {
        if self.dbs.len() <= db {
            let empty = || DbKeys { map: HashMap::new(), filter: Box::default() };
            self.dbs.resize_with(db + 1, empty);
        }
        let keys = &mut self.dbs[db];
        if keys.filter.is_empty() {
            keys.filter = vec![0; PLACES].into();
        }
        keys.map.entry(key.into()).or_insert_with(|| {
            keys.filter[place(key)] += 1;
            self.len += 1;
            V::default()
        })
    }
}

impl<V> DbKeys<V> {
    #[inline]
    fn may_have(&self, key: &[u8]) -> bool {
        !self.map.is_empty() && self.filter[place(key)] != 0
    }
}

/// Length and last bytes tell most keys apart: names begin alike and end in what differs.
#[inline]
fn place(key: &[u8]) -> usize {
    let last = match key.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let mixed = (last ^ (key.len() as u64) << 56).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_their_database_and_nowhere_else() {
        let mut random = fastrand::Rng::with_seed(5);
        let (mut map, mut model) = (KeyMap::default(), HashMap::new());
        for step in 0..20_000 {
            let (db, key) = (random.usize(..3), format!("key:{}", random.u32(..500)));
            if random.u8(..3) > 0 {
                *map.entry(db, key.as_bytes()) = step;
                model.insert((db, key.clone()), step);
            } else {
                assert_eq!(map.remove(db, key.as_bytes()), model.remove(&(db, key.clone())));
            }
            assert_eq!(map.get(db, key.as_bytes()), model.get(&(db, key)));
            assert_eq!(map.len(), model.len());
        }
        map.retain(Some(1), |_, _, step| *step % 2 == 0);
        model.retain(|(db, _), step| *db != 1 || *step % 2 == 0);
        assert_eq!(map.len(), model.len());
        for ((db, key), step) in &model {
            assert_eq!(map.get(*db, key.as_bytes()), Some(step));
        }
        map.retain(None, |_, _, _| false);
        assert!(map.is_empty() && map.dbs.iter().all(|keys| keys.filter.iter().all(|n| *n == 0)));
    }

    #[test]
    fn other_keys_are_mostly_told_apart_without_a_hash() {
        let mut map = KeyMap::<()>::default();
        map.entry(0, b"queue:jobs");
        let keys = &map.dbs[0];
        let mistaken = (0..10_000).filter(|n| keys.may_have(format!("key:{n:08}").as_bytes()));
        assert!(mistaken.count() < 200);
        assert!(keys.may_have(b"queue:jobs") && !map.dbs[0].may_have(b"queue:done"));
    }
}
