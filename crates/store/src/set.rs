//! Sets: an intset while all members are integers and few, a listpack while small, a hash table
//! otherwise. Owns the conversions and the operations on one set; unions and the like are for the
//! commands that need them.

use std::fmt;

use fastrand::Rng;

use crate::intset::{self, Intset};
use crate::limits::Limits;
use crate::list::scale;
use crate::listpack::{self, Listpack, classify};
use crate::member::Member;
use crate::relocate::{Cursor, Mover, Relocate};
use crate::sample;
use crate::str::parse_int;
use crate::table::{self, Slot, Table, TableStats};
use crate::value::{Encoding, Item, ItemBuf};

/// However the settings are, an intset stays below this.
const INTSET_MAX_ENTRIES: usize = 1 << 30;

/// A set value. Commands delete the key of an emptied one.
pub struct Set {
    repr: Repr,
}

enum Repr {
    Ints(Intset),
    Packed(Listpack),
    Table(Box<Table<Member>>),
}

impl Limits {
    fn intset_max_entries(&self) -> usize {
        self.set_max_intset_entries.min(INTSET_MAX_ENTRIES)
    }
}

impl Relocate for Set {
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        match &mut self.repr {
            Repr::Ints(ints) => ints.relocate(mover),
            Repr::Packed(entries) => entries.relocate(mover),
            Repr::Table(table) => {
                if cursor == 0 {
                    mover.boxed(table);
                }
                return table.relocate_from(cursor, mover, Member::relocate);
            }
        }
        0
    }
}

impl Set {
    /// An empty set that a first integer would make an intset.
    pub fn new() -> Self {
        Set { repr: Repr::Ints(Intset::new()) }
    }

    /// An empty set in the encoding that suits `first` and the number of members that a command
    /// announces. The caller vouches for the number: memory is taken.
    pub fn for_members(first: &[u8], count: usize, limits: &Limits) -> Self {
        let repr = if count <= limits.set_max_intset_entries && parse_int(first).is_some() {
            Repr::Ints(Intset::new())
        } else if count <= limits.set_max_listpack_entries {
            Repr::Packed(Listpack::new())
        } else {
            Repr::Table(Box::new(Table::with_capacity(limits.hash_seed, count)))
        };
        Set { repr }
    }

    /// A set out of the bytes of a file: no member twice.
    pub fn from_listpack(entries: Listpack, limits: &Limits) -> Result<Self, &'static str> {
        let len = entries.len();
        if len > limits.set_max_listpack_entries {
            let mut table = Box::new(Table::with_capacity(limits.hash_seed, len));
            if !entries.iter().all(|item| insert_in_table(&mut table, item)) {
                return Err("a set has a member twice");
            }
            return Ok(Set { repr: Repr::Table(table) });
        }
        if listpack::has_duplicates(&entries, 0) {
            return Err("a set has a member twice");
        }
        Ok(Set { repr: Repr::Packed(entries) })
    }

    /// A set out of the bytes of a file.
    pub fn from_intset(ints: Intset, limits: &Limits) -> Self {
        let mut set = Set { repr: Repr::Ints(ints) };
        if set.len() > limits.intset_max_entries() {
            set.convert_to_table(0, limits);
        }
        set
    }

    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::Ints(ints) => ints.len(),
            Repr::Packed(entries) => entries.len(),
            Repr::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.repr {
            Repr::Ints(ints) => ints.is_empty(),
            Repr::Packed(entries) => entries.is_empty(),
            Repr::Table(table) => table.is_empty(),
        }
    }

    pub fn encoding(&self) -> Encoding {
        match &self.repr {
            Repr::Ints(_) => Encoding::Intset,
            Repr::Packed(_) => Encoding::Listpack,
            Repr::Table(_) => Encoding::Hashtable,
        }
    }

    /// Of its hash table, while it has one.
    pub fn table_stats(&self) -> Option<Vec<TableStats>> {
        match &self.repr {
            Repr::Table(table) => Some(table.stats()),
            _ => None,
        }
    }

    /// The intset, while it is one.
    pub fn as_intset(&self) -> Option<&Intset> {
        match &self.repr {
            Repr::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    /// The listpack, while it is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.repr {
            Repr::Packed(entries) => Some(entries),
            _ => None,
        }
    }

    /// Makes ready for a command that adds `count` members: Redis converts at once when they
    /// alone are too many.
    pub fn expect(&mut self, count: usize, limits: &Limits) {
        let too_many = match &self.repr {
            Repr::Ints(_) => count > limits.set_max_intset_entries,
            Repr::Packed(_) => count > limits.set_max_listpack_entries,
            Repr::Table(_) => false,
        };
        if too_many {
            self.convert_to_table(count, limits);
        }
    }

    fn convert_to_table(&mut self, more: usize, limits: &Limits) {
        if matches!(self.repr, Repr::Table(_)) {
            return;
        }
        let mut table = Box::new(Table::with_capacity(limits.hash_seed, self.len() + more));
        for item in self.iter() {
            insert_in_table(&mut table, item);
        }
        self.repr = Repr::Table(table);
    }

    /// An intset becomes a listpack.
    fn convert_to_listpack(&mut self) {
        if let Repr::Ints(ints) = &self.repr {
            let mut entries = Listpack::new();
            for n in ints.iter() {
                entries.push_back_items(&[Item::Int(n)]);
            }
            self.repr = Repr::Packed(entries);
        }
    }

    /// Whether the member is new.
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        self.add_item(Item::Bytes(member), limits)
    }

    /// As `add`, for a member of another set.
    pub fn add_item(&mut self, member: Item<'_>, limits: &Limits) -> bool {
        let member = match (&self.repr, member) {
            (Repr::Ints(_), Item::Bytes(text)) => classify(text),
            _ => member,
        };
        if let (Repr::Ints(ints), Item::Int(n)) = (&mut self.repr, member) {
            let new = ints.insert(n);
            if new && ints.len() > limits.intset_max_entries() {
                self.convert_to_table(0, limits);
            }
            return new;
        }
        let mut buf = ItemBuf::new();
        let text = member.as_bytes(&mut buf);
        if let Repr::Packed(entries) = &self.repr
            && entries.first().is_some_and(|first| entries.find(first, text, 0).is_some())
        {
            return false;
        }
        if !self.has_packed_room_for(text, limits) {
            self.convert_to_table(1, limits);
        }
        self.convert_to_listpack();
        match &mut self.repr {
            Repr::Packed(entries) => {
                entries.push_back_items(&[classify(text)]);
                true
            }
            Repr::Table(table) => insert_in_table(table, Item::Bytes(text)),
            Repr::Ints(_) => unreachable!("converted above"),
        }
    }

    /// Whether this and one new member fit a listpack.
    fn has_packed_room_for(&self, text: &[u8], limits: &Limits) -> bool {
        let fits = self.len() < limits.set_max_listpack_entries
            && text.len() <= limits.set_max_listpack_value;
        fits && match &self.repr {
            Repr::Packed(entries) => entries.is_safe_to_add(text.len()),
            Repr::Ints(ints) => {
                // The extremes have the longest texts.
                let chars = |n: Option<i64>| n.map_or(0, |n| ItemBuf::new().format(n).len());
                chars(ints.min()).max(chars(ints.max())) <= limits.set_max_listpack_value
            }
            Repr::Table(_) => false,
        }
    }

    /// Whether the member was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.repr {
            Repr::Ints(ints) => parse_int(member).is_some_and(|n| ints.remove(n)),
            Repr::Packed(entries) => {
                let found = entries.first().and_then(|first| entries.find(first, member, 0));
                found.map(|pos| entries.remove(pos)).is_some()
            }
            Repr::Table(table) => table.remove(member).is_some(),
        }
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.repr {
            Repr::Ints(ints) => parse_int(member).is_some_and(|n| ints.contains(n)),
            Repr::Packed(entries) => {
                entries.first().is_some_and(|first| entries.find(first, member, 0).is_some())
            }
            Repr::Table(table) => table.contains(member),
        }
    }

    /// As `contains`, for a member of another set.
    pub fn contains_item(&self, member: Item<'_>) -> bool {
        match (&self.repr, member) {
            (Repr::Ints(ints), Item::Int(n)) => ints.contains(n),
            _ => self.contains(member.as_bytes(&mut ItemBuf::new())),
        }
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter(match &self.repr {
            Repr::Ints(ints) => IterRepr::Ints(ints.iter()),
            Repr::Packed(entries) => IterRepr::Packed(entries.iter()),
            Repr::Table(table) => IterRepr::Table(table.iter()),
        })
    }

    /// One step of a walk that survives changes; starts and ends with cursor 0. The packed
    /// encodings are walked in one step.
    pub fn scan(&self, cursor: u64, mut f: impl FnMut(Item<'_>)) -> u64 {
        match &self.repr {
            Repr::Table(table) => table.scan(cursor, |member| f(Item::Bytes(member.as_bytes()))),
            _ => {
                self.iter().for_each(f);
                0
            }
        }
    }

    /// A member; each is equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<Item<'_>> {
        if self.is_empty() {
            return None;
        }
        match &self.repr {
            Repr::Ints(ints) => ints.at(rng.usize(..ints.len())).map(Item::Int),
            Repr::Packed(entries) => {
                entries.seek(rng.usize(..entries.len())).map(|pos| entries.at(pos))
            }
            Repr::Table(table) => table.random(rng).map(|member| Item::Bytes(member.as_bytes())),
        }
    }

    /// Up to `n` distinct members; every choice is equally likely.
    pub fn sample(&self, n: usize, rng: &mut Rng, mut f: impl FnMut(Item<'_>)) {
        match &self.repr {
            Repr::Table(table) => sample::choose_in_table(table, n, rng, |member| {
                f(Item::Bytes(member.as_bytes()));
            }),
            _ => sample::choose(self.iter(), self.len(), n, rng, f),
        }
    }

    /// Removes a random member, after `f` has seen it.
    pub fn pop_random<R>(&mut self, rng: &mut Rng, f: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        match &mut self.repr {
            Repr::Ints(ints) => {
                let n = (!ints.is_empty()).then(|| ints.at(rng.usize(..ints.len())))??;
                ints.remove(n);
                Some(f(Item::Int(n)))
            }
            Repr::Packed(entries) => {
                let index = (!entries.is_empty()).then(|| rng.usize(..entries.len()))?;
                let pos = entries.seek(index)?;
                let result = f(entries.at(pos));
                entries.remove(pos);
                Some(result)
            }
            Repr::Table(table) => {
                let chosen = table.random(rng)?;
                let (hash, address) = (table.hash(chosen.as_bytes()), chosen.address());
                let member = table.remove_with(hash, |member| member.address() == address)?;
                Some(f(Item::Bytes(member.as_bytes())))
            }
        }
    }

    /// A set of integers only becomes an intset, if it may: what Redis does with intersections
    /// that it stores.
    pub fn pack_ints(&mut self, limits: &Limits) {
        if matches!(self.repr, Repr::Ints(_)) || self.len() > limits.intset_max_entries() {
            return;
        }
        let mut ints = Intset::new();
        for member in self.iter() {
            let n = match member {
                Item::Int(n) => Some(n),
                Item::Bytes(text) => parse_int(text),
            };
            let Some(n) = n else { return };
            ints.insert(n);
        }
        self.repr = Repr::Ints(ints);
    }

    pub fn free_effort(&self) -> usize {
        match &self.repr {
            Repr::Table(table) => table.len(),
            _ => 1,
        }
    }

    pub fn memory_usage(&self, samples: usize) -> usize {
        match &self.repr {
            Repr::Ints(ints) => ints.allocated_bytes(),
            Repr::Packed(entries) => entries.allocated_bytes(),
            Repr::Table(table) => {
                let sampled = if samples == 0 { table.len() } else { samples.min(table.len()) };
                let bytes = table.iter().take(sampled).map(Member::allocated_bytes).sum();
                table.memory_bytes() + scale(bytes, sampled, table.len())
            }
        }
    }
}

fn insert_in_table(table: &mut Table<Member>, item: Item<'_>) -> bool {
    let mut buf = ItemBuf::new();
    let text = item.as_bytes(&mut buf);
    match table.slot(text) {
        Slot::Occupied(_) => false,
        Slot::Vacant(slot) => {
            slot.insert(Member::new(text));
            true
        }
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The members of a set.
pub struct Iter<'a>(IterRepr<'a>);

enum IterRepr<'a> {
    Ints(intset::Iter<'a>),
    Packed(listpack::Iter<'a>),
    Table(table::Iter<'a, Member>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match &mut self.0 {
            IterRepr::Ints(iter) => iter.next().map(Item::Int),
            IterRepr::Packed(iter) => iter.next(),
            IterRepr::Table(iter) => iter.next().map(|member| Item::Bytes(member.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn contents(set: &Set) -> HashSet<Vec<u8>> {
        let members: Vec<_> = set.iter().map(|item| item.to_vec()).collect();
        let distinct: HashSet<_> = members.iter().cloned().collect();
        assert_eq!(distinct.len(), members.len(), "no member twice");
        distinct
    }

    fn scanned(set: &Set) -> HashSet<Vec<u8>> {
        let (mut members, mut cursor) = (HashSet::new(), 0);
        loop {
            cursor = set.scan(cursor, |item| members.extend([item.to_vec()]));
            if cursor == 0 {
                return members;
            }
        }
    }

    fn set_of(texts: &[&str], limits: &Limits) -> Set {
        let mut set = Set::for_members(texts[0].as_bytes(), 1, limits);
        for text in texts {
            set.add(text.as_bytes(), limits);
        }
        set
    }

    #[test]
    fn a_set_converts_as_redis_does() {
        let limits = Limits {
            set_max_intset_entries: 3,
            set_max_listpack_entries: 4,
            set_max_listpack_value: 5,
            ..Limits::default()
        };
        let encoding = |texts: &[&str]| set_of(texts, &limits).encoding();
        assert_eq!(encoding(&["1", "2", "3"]), Encoding::Intset);
        assert_eq!(encoding(&["1", "2", "3", "4"]), Encoding::Hashtable);
        assert_eq!(encoding(&["1", "2", "3", "a"]), Encoding::Listpack);
        assert_eq!(encoding(&["a", "1", "2", "3"]), Encoding::Listpack);
        assert_eq!(encoding(&["a", "1", "2", "3", "4"]), Encoding::Hashtable);
        assert_eq!(encoding(&["123456", "a"]), Encoding::Hashtable);
        assert_eq!(encoding(&["a", "abcdef"]), Encoding::Hashtable);
        let mut set = set_of(&["a", "2", "3"], &limits);
        set.remove(b"a");
        assert_eq!(set.encoding(), Encoding::Listpack);
        set.pack_ints(&limits);
        assert_eq!(set.encoding(), Encoding::Intset);
        set.expect(4, &limits);
        assert_eq!(set.encoding(), Encoding::Hashtable);
        set.pack_ints(&limits);
        assert_eq!(set.encoding(), Encoding::Intset);
        assert_eq!(Set::for_members(b"a", 5, &limits).encoding(), Encoding::Hashtable);
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            20 => (-30i64..30).prop_map(|n| n.to_string().into_bytes()),
            2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            2 => prop::collection::vec(b'a'..b'd', 0..4),
        ]
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_set(
            max_ints in 0usize..40,
            max_entries in 0usize..40,
            edits in prop::collection::vec((0u8..10, text()), 0..150),
            seed in any::<u64>(),
        ) {
            let limits = Limits {
                set_max_intset_entries: max_ints,
                set_max_listpack_entries: max_entries,
                ..Limits::default()
            };
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut set, mut model) = (Set::new(), HashSet::new());
            for (kind, text) in edits {
                match kind {
                    0..7 => prop_assert_eq!(set.add(&text, &limits), model.insert(text.clone())),
                    7..9 => prop_assert_eq!(set.remove(&text), model.remove(&text)),
                    _ => match set.pop_random(&mut rng, |item| item.to_vec()) {
                        Some(popped) => prop_assert!(model.remove(&popped)),
                        None => prop_assert!(model.is_empty()),
                    },
                }
                prop_assert_eq!(set.contains(&text), model.contains(&text));
                prop_assert_eq!(set.contains_item(classify(&text)), model.contains(&text));
                prop_assert_eq!(set.len(), model.len());
            }
            prop_assert_eq!(&contents(&set), &model);
            prop_assert_eq!(&scanned(&set), &model);
            for n in [1, model.len() / 4, model.len() + 1] {
                let mut sample = HashSet::new();
                set.sample(n, &mut rng, |item| assert!(sample.insert(item.to_vec())));
                prop_assert_eq!(sample.len(), n.min(model.len()));
                prop_assert!(sample.is_subset(&model));
            }
            if let Some(entries) = set.as_listpack() {
                let copy = Set::from_listpack(entries.clone(), &limits).unwrap();
                prop_assert_eq!(&contents(&copy), &model);
            }
        }
    }
}
