//! Hashes: a listpack of fields and values while small, a hash table when large. Owns the
//! conversion and the operations of the hash commands; must not know replies or number parsing.

use std::fmt;

use fastrand::Rng;

use crate::limits::Limits;
use crate::list::scale;
use crate::listpack::{self, Listpack, Pos, classify};
use crate::member::Field;
use crate::sample;
use crate::table::{self, Slot, Table};
use crate::value::{Encoding, Item};

/// A hash value. Commands delete the key of an emptied one.
pub struct Hash {
    repr: Repr,
}

enum Repr {
    Packed(Listpack),
    Table(Box<Table<Field>>),
}

impl Hash {
    pub fn new() -> Self {
        Hash { repr: Repr::Packed(Listpack::new()) }
    }

    /// A hash out of the bytes of a file: fields and values in turn, no field twice.
    pub fn from_listpack(entries: Listpack, limits: &Limits) -> Result<Self, &'static str> {
        let len = entries.len();
        if !len.is_multiple_of(2) {
            return Err("a hash has a field without a value");
        }
        if len / 2 > limits.hash_max_listpack_entries {
            let mut hash = Hash { repr: Repr::Packed(entries) };
            hash.convert(limits, len / 2)?;
            return Ok(hash);
        }
        if listpack::has_duplicates(&entries, 1) {
            return Err("a hash has a field twice");
        }
        Ok(Hash { repr: Repr::Packed(entries) })
    }

    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::Packed(entries) => entries.len() / 2,
            Repr::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.repr {
            Repr::Packed(entries) => entries.is_empty(),
            Repr::Table(table) => table.is_empty(),
        }
    }

    pub fn encoding(&self) -> Encoding {
        match &self.repr {
            Repr::Packed(_) => Encoding::Listpack,
            Repr::Table(_) => Encoding::Hashtable,
        }
    }

    /// The listpack, while it is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.repr {
            Repr::Packed(entries) => Some(entries),
            Repr::Table(_) => None,
        }
    }

    /// Makes ready for a command, or a file, that sets `fields` fields: Redis converts at once
    /// when they alone are too many. The caller vouches for the number: memory is taken.
    pub fn expect(&mut self, fields: usize, limits: &Limits) {
        if fields > limits.hash_max_listpack_entries && matches!(self.repr, Repr::Packed(_)) {
            self.convert(limits, fields).expect("our own fields are distinct");
        }
    }

    fn convert(&mut self, limits: &Limits, capacity: usize) -> Result<(), &'static str> {
        let Repr::Packed(entries) = &self.repr else { return Ok(()) };
        let mut table = Box::new(Table::with_capacity(limits.hash_seed, capacity));
        let mut bufs = (itoa::Buffer::new(), itoa::Buffer::new());
        for (name, value) in PackedIter(entries.iter()) {
            let name = name.as_bytes(&mut bufs.0);
            match table.slot(name) {
                Slot::Vacant(slot) => slot.insert(Field::new(name, value.as_bytes(&mut bufs.1))),
                Slot::Occupied(_) => return Err("a hash has a field twice"),
            };
        }
        self.repr = Repr::Table(table);
        Ok(())
    }

    /// Sets a field; true if it is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Repr::Packed(entries) = &mut self.repr {
            let longest = name.len().max(value.len());
            if longest <= limits.hash_max_listpack_value
                && entries.is_safe_to_add(name.len() + value.len())
            {
                let new = set_packed(entries, name, value);
                if new && entries.len() / 2 > limits.hash_max_listpack_entries {
                    self.convert(limits, self.len()).expect("our own fields are distinct");
                }
                return new;
            }
            self.convert(limits, self.len() + 1).expect("our own fields are distinct");
        }
        let Repr::Table(table) = &mut self.repr else { unreachable!("converted above") };
        match table.slot(name) {
            Slot::Occupied(mut slot) => {
                slot.element_mut().set_value(value);
                false
            }
            Slot::Vacant(slot) => {
                slot.insert(Field::new(name, value));
                true
            }
        }
    }

    pub fn get(&self, name: &[u8]) -> Option<Item<'_>> {
        match &self.repr {
            Repr::Packed(entries) => {
                let value = entries.next(find_packed(entries, name)?)?;
                Some(entries.at(value))
            }
            Repr::Table(table) => table.find(name).map(|field| Item::Bytes(field.value())),
        }
    }

    pub fn contains(&self, name: &[u8]) -> bool {
        match &self.repr {
            Repr::Packed(entries) => find_packed(entries, name).is_some(),
            Repr::Table(table) => table.contains(name),
        }
    }

    /// Whether the field was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match &mut self.repr {
            Repr::Packed(entries) => {
                let Some(pos) = find_packed(entries, name) else { return false };
                entries.remove_n(pos, 2);
                true
            }
            Repr::Table(table) => table.remove(name).is_some(),
        }
    }

    /// All fields with their values.
    pub fn iter(&self) -> Iter<'_> {
        match &self.repr {
            Repr::Packed(entries) => Iter(IterRepr::Packed(PackedIter(entries.iter()))),
            Repr::Table(table) => Iter(IterRepr::Table(table.iter())),
        }
    }

    /// One step of a walk that survives changes; starts and ends with cursor 0. A listpack is
    /// walked in one step.
    pub fn scan(&self, cursor: u64, mut f: impl FnMut(Item<'_>, Item<'_>)) -> u64 {
        match &self.repr {
            Repr::Packed(_) => {
                self.iter().for_each(|(name, value)| f(name, value));
                0
            }
            Repr::Table(table) => {
                table.scan(cursor, |field| f(Item::Bytes(field.name()), Item::Bytes(field.value())))
            }
        }
    }

    /// A field with its value; each is equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<(Item<'_>, Item<'_>)> {
        match &self.repr {
            Repr::Packed(entries) if entries.is_empty() => None,
            Repr::Packed(entries) => {
                let pos = entries.seek(2 * rng.usize(..entries.len() / 2))?;
                PackedIter(entries.iter_from(pos)).next()
            }
            Repr::Table(table) => table.random(rng).map(pair),
        }
    }

    /// Up to `n` distinct fields; every choice is equally likely.
    pub fn sample(&self, n: usize, rng: &mut Rng, mut f: impl FnMut(Item<'_>, Item<'_>)) {
        match &self.repr {
            Repr::Packed(_) => {
                sample::choose(self.iter(), self.len(), n, rng, |(name, value)| f(name, value));
            }
            Repr::Table(table) => sample::choose_in_table(table, n, rng, |field| {
                f(Item::Bytes(field.name()), Item::Bytes(field.value()));
            }),
        }
    }

    pub fn free_effort(&self) -> usize {
        match &self.repr {
            Repr::Packed(_) => 1,
            Repr::Table(table) => table.len(),
        }
    }

    pub fn memory_usage(&self, samples: usize) -> usize {
        match &self.repr {
            Repr::Packed(entries) => entries.allocated_bytes(),
            Repr::Table(table) => {
                let sampled = if samples == 0 { table.len() } else { samples.min(table.len()) };
                let bytes = table.iter().take(sampled).map(Field::allocated_bytes).sum();
                table.memory_bytes() + scale(bytes, sampled, table.len())
            }
        }
    }
}

fn find_packed(entries: &Listpack, name: &[u8]) -> Option<Pos> {
    entries.find(entries.first()?, name, 1)
}

fn set_packed(entries: &mut Listpack, name: &[u8], value: &[u8]) -> bool {
    match find_packed(entries, name) {
        Some(pos) => {
            let value_pos = entries.next(pos).expect("every field has a value");
            entries.replace(value_pos, value);
            false
        }
        None => {
            entries.push_back_items(&[classify(name), classify(value)]);
            true
        }
    }
}

fn pair(field: &Field) -> (Item<'_>, Item<'_>) {
    (Item::Bytes(field.name()), Item::Bytes(field.value()))
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The fields of a hash, with their values.
pub struct Iter<'a>(IterRepr<'a>);

enum IterRepr<'a> {
    Packed(PackedIter<'a>),
    Table(table::Iter<'a, Field>),
}

/// Fields and values in turn.
struct PackedIter<'a>(listpack::Iter<'a>);

impl<'a> Iterator for PackedIter<'a> {
    type Item = (Item<'a>, Item<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, Item<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            IterRepr::Packed(iter) => iter.next(),
            IterRepr::Table(iter) => iter.next().map(pair),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn contents(hash: &Hash) -> HashMap<Vec<u8>, Vec<u8>> {
        let pairs: Vec<_> = hash.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        let map: HashMap<_, _> = pairs.iter().cloned().collect();
        assert_eq!(map.len(), pairs.len(), "no field twice");
        map
    }

    fn scanned(hash: &Hash) -> HashMap<Vec<u8>, Vec<u8>> {
        let (mut map, mut cursor) = (HashMap::new(), 0);
        loop {
            cursor = hash.scan(cursor, |n, v| drop(map.insert(n.to_vec(), v.to_vec())));
            if cursor == 0 {
                return map;
            }
        }
    }

    #[test]
    fn a_hash_converts_by_count_by_length_and_by_announcement() {
        let limits = Limits { hash_max_listpack_entries: 2, ..Limits::default() };
        let mut hash = Hash::new();
        hash.set(b"a", b"1", &limits);
        hash.set(b"b", &[b'x'; 64], &limits);
        hash.set(b"a", b"2", &limits);
        assert_eq!(hash.encoding(), Encoding::Listpack);
        hash.set(b"c", b"", &limits);
        assert_eq!(hash.encoding(), Encoding::Hashtable);
        let mut hash = Hash::new();
        hash.set(b"a", &[b'x'; 65], &limits);
        assert_eq!(hash.encoding(), Encoding::Hashtable);
        let mut hash = Hash::new();
        hash.expect(3, &limits);
        assert_eq!(hash.encoding(), Encoding::Hashtable);
    }

    #[test]
    fn a_listpack_from_a_file_must_be_a_hash() {
        let limits = Limits::default();
        let listpack = |texts: &[&str]| {
            let mut entries = Listpack::new();
            texts.iter().for_each(|text| entries.push_back(text.as_bytes()));
            entries
        };
        assert!(Hash::from_listpack(listpack(&["a", "1", "b"]), &limits).is_err());
        assert!(Hash::from_listpack(listpack(&["a", "1", "a", "2"]), &limits).is_err());
        let tight = Limits { hash_max_listpack_entries: 1, ..Limits::default() };
        assert!(Hash::from_listpack(listpack(&["a", "1", "a", "2"]), &tight).is_err());
        let hash = Hash::from_listpack(listpack(&["a", "1", "b", "2"]), &tight).unwrap();
        assert_eq!((hash.encoding(), hash.len()), (Encoding::Hashtable, 2));
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => (0i64..40).prop_map(|n| n.to_string().into_bytes()),
            4 => prop::collection::vec(b'a'..b'd', 0..4),
            1 => prop::collection::vec(any::<u8>(), 60..70),
            1 => prop::collection::vec(any::<u8>(), 250..260),
        ]
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_map(
            max_entries in 0usize..40,
            edits in prop::collection::vec((0u8..10, text(), text()), 0..150),
            seed in any::<u64>(),
        ) {
            let limits = Limits { hash_max_listpack_entries: max_entries, ..Limits::default() };
            let (mut hash, mut model) = (Hash::new(), HashMap::new());
            for (kind, name, value) in edits {
                if kind < 7 {
                    let new = model.insert(name.clone(), value.clone()).is_none();
                    prop_assert_eq!(hash.set(&name, &value, &limits), new);
                } else {
                    prop_assert_eq!(hash.remove(&name), model.remove(&name).is_some());
                }
                prop_assert_eq!(hash.get(&name).map(|v| v.to_vec()), model.get(&name).cloned());
                prop_assert_eq!(hash.len(), model.len());
            }
            prop_assert_eq!(&contents(&hash), &model);
            prop_assert_eq!(&scanned(&hash), &model);
            let mut rng = fastrand::Rng::with_seed(seed);
            match hash.random(&mut rng) {
                Some((name, value)) => prop_assert_eq!(model.get(&name.to_vec()), Some(&value.to_vec())),
                None => prop_assert!(model.is_empty()),
            }
            for n in [1, model.len() / 4, model.len() + 1] {
                let mut sample = HashMap::new();
                hash.sample(n, &mut rng, |name, value| {
                    assert!(sample.insert(name.to_vec(), value.to_vec()).is_none());
                });
                prop_assert_eq!(sample.len(), n.min(model.len()));
                prop_assert!(sample.iter().all(|(name, value)| model.get(name) == Some(value)));
            }
        }
    }
}
