//! Hashes: a listpack of fields and values while small, a hash table when large. A field may have an expiry;
//! while one has, the hash is in one of two forms of their own, which cost the others nothing. Owns the
//! conversions and the operations of the hash commands; must not know replies, number parsing, nor what
//! time it is: when a field is gone is a question that callers ask.

use std::fmt;

use fastrand::Rng;

use crate::expire::SetExpire;
use crate::limits::Limits;
use crate::list::scale;
use crate::listpack::{self, Listpack};
use crate::member::Field;
use crate::relocate::{Cursor, Mover, Relocate};
use crate::sample;
use crate::table::{self, Slot, Table, TableStats};
use crate::value::{Encoding, Item};

mod expiring;
mod packed;
#[cfg(test)]
mod tests;

use expiring::Expiring;
use packed::{PAIR, PackedIter, TRIPLE};

/// The last moment at which a field may expire, which is Redis's: 46 bits of milliseconds.
pub const MAX_EXPIRE_MS: i64 = (1 << 46) - 1;

/// A hash value. Commands delete the key of an emptied one.
pub struct Hash {
    repr: Repr,
}

enum Repr {
    Packed(Listpack),
    Table(Box<Table<Field>>),
    /// At least one field has an expiry.
    PackedExpiring(Listpack),
    /// The same.
    TableExpiring(Box<Expiring>),
}

/// The two ways to walk over a hash.
enum View<'a> {
    Packed(&'a Listpack, usize),
    Table(&'a Table<Field>),
}

/// A field as it is lent.
#[derive(Clone, Copy, Debug)]
pub struct FieldRef<'a> {
    pub name: Item<'a>,
    pub value: Item<'a>,
    /// Unix milliseconds.
    pub expire_ms: Option<i64>,
}

impl FieldRef<'_> {
    /// Whether it is gone for who takes all for gone that expires before `before_ms`.
    #[inline]
    pub fn is_due(&self, before_ms: i64) -> bool {
        self.expire_ms.is_some_and(|expire_ms| expire_ms < before_ms)
    }
}

impl<'a> From<&'a Field> for FieldRef<'a> {
    fn from(field: &'a Field) -> Self {
        let (name, value) = (Item::Bytes(field.name()), Item::Bytes(field.value()));
        FieldRef { name, value, expire_ms: field.expire_ms() }
    }
}

impl Relocate for Hash {
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        match &mut self.repr {
            Repr::Packed(entries) | Repr::PackedExpiring(entries) => {
                entries.relocate(mover);
                0
            }
            Repr::Table(fields) => {
                if cursor == 0 {
                    mover.boxed(fields);
                }
                fields.relocate_from(cursor, mover, Field::relocate)
            }
            Repr::TableExpiring(fields) => {
                if cursor == 0 {
                    mover.boxed(fields);
                }
                fields.relocate_from(cursor, mover)
            }
        }
    }
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

    /// The same with an expiry behind each value, 0 for none.
    pub fn from_expiring_listpack(
        entries: Listpack,
        limits: &Limits,
    ) -> Result<Self, &'static str> {
        let fits = entries.len() / TRIPLE <= limits.hash_max_listpack_entries;
        let in_order = packed::check_triples(&entries, fits)?;
        let mut hash = Hash { repr: Repr::PackedExpiring(entries) };
        if !fits {
            hash.convert(limits, hash.len())?;
        } else if !in_order {
            let mut sorted = Listpack::new();
            for field in hash.fields() {
                packed::insert_triple(&mut sorted, field.name, field.value, field.expire_ms);
            }
            hash.repr = Repr::PackedExpiring(sorted);
        }
        hash.settle();
        Ok(hash)
    }

    #[inline]
    fn view(&self) -> View<'_> {
        match &self.repr {
            Repr::Packed(entries) => View::Packed(entries, PAIR),
            Repr::Table(table) => View::Table(table),
            Repr::PackedExpiring(entries) => View::Packed(entries, TRIPLE),
            Repr::TableExpiring(table) => View::Table(table.fields()),
        }
    }

    /// All fields, those whose time is up among them.
    pub fn len(&self) -> usize {
        match self.view() {
            View::Packed(entries, width) => entries.len() / width,
            View::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self.view() {
            View::Packed(entries, _) => entries.is_empty(),
            View::Table(table) => table.is_empty(),
        }
    }

    pub fn encoding(&self) -> Encoding {
        match &self.repr {
            Repr::Packed(_) => Encoding::Listpack,
            Repr::PackedExpiring(_) => Encoding::ListpackEx,
            Repr::Table(_) | Repr::TableExpiring(_) => Encoding::Hashtable,
        }
    }

    /// Of its hash table, while it has one.
    pub fn table_stats(&self) -> Option<Vec<TableStats>> {
        match &self.repr {
            Repr::Table(table) => Some(table.stats()),
            Repr::TableExpiring(table) => Some(table.fields().stats()),
            _ => None,
        }
    }

    /// The listpack, while it is one of fields and values.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.repr {
            Repr::Packed(entries) => Some(entries),
            _ => None,
        }
    }

    /// The listpack, while it is one of fields, values and expiries.
    pub fn as_expiring_listpack(&self) -> Option<&Listpack> {
        match &self.repr {
            Repr::PackedExpiring(entries) => Some(entries),
            _ => None,
        }
    }

    /// When the first of the fields expires; `None` when none ever does.
    #[inline]
    pub fn soonest_expire_ms(&self) -> Option<i64> {
        match &self.repr {
            Repr::Packed(_) | Repr::Table(_) => None,
            Repr::PackedExpiring(entries) => PackedIter::new(entries, TRIPLE).next()?.expire_ms,
            Repr::TableExpiring(table) => table.soonest_ms(),
        }
    }

    /// How many fields expire before `before_ms`.
    pub fn due_len(&self, before_ms: i64) -> usize {
        match &self.repr {
            Repr::Packed(_) | Repr::Table(_) => 0,
            Repr::PackedExpiring(entries) => {
                PackedIter::new(entries, TRIPLE).take_while(|field| field.is_due(before_ms)).count()
            }
            Repr::TableExpiring(table) => table.due_len(before_ms),
        }
    }

    /// Makes ready for a command, or a file, that sets `fields` fields: Redis converts at once
    /// when they alone are too many. The caller vouches for the number: memory is taken.
    pub fn expect(&mut self, fields: usize, limits: &Limits) {
        if fields > limits.hash_max_listpack_entries && matches!(self.view(), View::Packed(..)) {
            self.convert(limits, fields).expect("our own fields are distinct");
        }
    }

    /// From a listpack to a table.
    fn convert(&mut self, limits: &Limits, capacity: usize) -> Result<(), &'static str> {
        let View::Packed(entries, width) = self.view() else { return Ok(()) };
        let mut table = Expiring::new(Table::with_capacity(limits.hash_seed, capacity));
        let mut bufs = (itoa::Buffer::new(), itoa::Buffer::new());
        for FieldRef { name, value, expire_ms } in PackedIter::new(entries, width) {
            let (name, value) = (name.as_bytes(&mut bufs.0), value.as_bytes(&mut bufs.1));
            if !table.set(name, value, expire_ms.into()) {
                return Err("a hash has a field twice");
            }
        }
        self.repr = match width {
            PAIR => Repr::Table(Box::new(table.into_fields())),
            _ => Repr::TableExpiring(Box::new(table)),
        };
        Ok(())
    }

    /// Sets a field, which has no expiry then; true if it is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> bool {
        self.set_with(name, value, SetExpire::Clear, limits)
    }

    /// Sets a field, and what is to become of its expiry; true if it is new.
    pub fn set_with(
        &mut self,
        name: &[u8],
        value: &[u8],
        expire: SetExpire,
        limits: &Limits,
    ) -> bool {
        if matches!(expire, SetExpire::At(_)) {
            self.expect_expiries();
        }
        if let View::Packed(entries, _) = self.view() {
            let longest = name.len().max(value.len());
            if longest > limits.hash_max_listpack_value
                || !entries.is_safe_to_add(name.len() + value.len())
            {
                self.convert(limits, self.len() + 1).expect("our own fields are distinct");
            }
        }
        let new = match &mut self.repr {
            Repr::Packed(entries) => packed::set_pair(entries, name, value),
            Repr::Table(table) => set_in_table(table, name, value),
            Repr::PackedExpiring(entries) => set_triple(entries, name, value, clamped(expire)),
            Repr::TableExpiring(table) => table.set(name, value, clamped(expire)),
        };
        if new
            && let View::Packed(entries, width) = self.view()
            && entries.len() / width > limits.hash_max_listpack_entries
        {
            self.convert(limits, self.len()).expect("our own fields are distinct");
        }
        self.settle();
        new
    }

    /// Sets or removes the expiry of a field; false when there is none of that name.
    pub fn set_expire_ms(&mut self, name: &[u8], expire_ms: Option<i64>) -> bool {
        if matches!(self.repr, Repr::Packed(_) | Repr::Table(_)) {
            if !self.contains(name) {
                return false;
            }
            if expire_ms.is_none() {
                return true;
            }
            self.expect_expiries();
        }
        let expire_ms = expire_ms.map(clamped_ms);
        let found = match &mut self.repr {
            Repr::PackedExpiring(entries) => packed::set_expire_ms(entries, name, expire_ms),
            Repr::TableExpiring(table) => table.set_expire_ms(name, expire_ms),
            Repr::Packed(_) | Repr::Table(_) => unreachable!("made ready for expiries above"),
        };
        self.settle();
        found
    }

    /// A field is about to get an expiry.
    fn expect_expiries(&mut self) {
        match &mut self.repr {
            Repr::Packed(entries) => {
                self.repr = Repr::PackedExpiring(packed::with_width(entries, PAIR, TRIPLE));
            }
            Repr::Table(table) => {
                let fields = table.take_table();
                self.repr = Repr::TableExpiring(Box::new(Expiring::new(fields)));
            }
            Repr::PackedExpiring(_) | Repr::TableExpiring(_) => {}
        }
    }

    /// A hash whose last expiry has gone is again one that knows none.
    #[inline]
    fn settle(&mut self) {
        if !matches!(self.repr, Repr::Packed(_) | Repr::Table(_)) {
            self.settle_expiries();
        }
    }

    fn settle_expiries(&mut self) {
        if self.soonest_expire_ms().is_some() {
            return;
        }
        let plain = Repr::Packed(Listpack::new());
        self.repr = match std::mem::replace(&mut self.repr, plain) {
            Repr::PackedExpiring(entries) => {
                Repr::Packed(packed::with_width(&entries, TRIPLE, PAIR))
            }
            Repr::TableExpiring(table) => Repr::Table(Box::new(table.into_fields())),
            plain => plain,
        };
    }

    /// The field of that name, whether its time is up or not.
    pub fn find(&self, name: &[u8]) -> Option<FieldRef<'_>> {
        match self.view() {
            View::Packed(entries, width) => {
                let pos = packed::find(entries, width, name)?;
                Some(packed::field_at(entries, width, pos))
            }
            View::Table(table) => table.find(name).map(FieldRef::from),
        }
    }

    pub fn get(&self, name: &[u8]) -> Option<Item<'_>> {
        self.live(name, i64::MIN)
    }

    /// The value of a field, unless it expires before `before_ms`.
    pub fn live(&self, name: &[u8], before_ms: i64) -> Option<Item<'_>> {
        match &self.repr {
            Repr::Packed(entries) => {
                let value = entries.next(packed::find(entries, PAIR, name)?)?;
                Some(entries.at(value))
            }
            Repr::Table(table) => table.find(name).map(|field| Item::Bytes(field.value())),
            Repr::PackedExpiring(_) | Repr::TableExpiring(_) => {
                let field = self.find(name)?;
                (!field.is_due(before_ms)).then_some(field.value)
            }
        }
    }

    pub fn contains(&self, name: &[u8]) -> bool {
        match self.view() {
            View::Packed(entries, width) => packed::find(entries, width, name).is_some(),
            View::Table(table) => table.contains(name),
        }
    }

    /// Whether the field was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let removed = match &mut self.repr {
            Repr::Packed(entries) => remove_packed(entries, PAIR, name),
            Repr::Table(table) => return table.remove(name).is_some(),
            Repr::PackedExpiring(entries) => remove_packed(entries, TRIPLE, name),
            Repr::TableExpiring(table) => table.remove(name),
        };
        self.settle();
        removed
    }

    /// Removes up to `limit` of the fields that expire before `before_ms`, soonest first, and shows
    /// their names; how many it were.
    pub fn remove_due(&mut self, before_ms: i64, limit: usize, mut f: impl FnMut(&[u8])) -> usize {
        let mut removed = 0;
        while removed < limit {
            let found = match &mut self.repr {
                Repr::Packed(_) | Repr::Table(_) => false,
                Repr::PackedExpiring(entries) => {
                    let first = PackedIter::new(entries, TRIPLE).next();
                    match first.filter(|field| field.is_due(before_ms)) {
                        Some(field) => {
                            f(field.name.as_bytes(&mut itoa::Buffer::new()));
                            entries.remove_range(0, TRIPLE);
                            true
                        }
                        None => false,
                    }
                }
                Repr::TableExpiring(table) => table.pop_due(before_ms, &mut f),
            };
            if !found {
                break;
            }
            removed += 1;
        }
        self.settle();
        removed
    }

    /// All fields with their values and expiries.
    pub fn fields(&self) -> Fields<'_> {
        match self.view() {
            View::Packed(entries, width) => {
                Fields(IterRepr::Packed(PackedIter::new(entries, width)))
            }
            View::Table(table) => Fields(IterRepr::Table(table.iter())),
        }
    }

    /// The fields that do not expire before `before_ms`.
    pub fn live_fields(&self, before_ms: i64) -> impl Iterator<Item = FieldRef<'_>> {
        self.fields().filter(move |field| !field.is_due(before_ms))
    }

    /// All fields with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
        self.fields().map(|field| (field.name, field.value))
    }

    /// One step of a walk that survives changes; starts and ends with cursor 0. A listpack is
    /// walked in one step.
    pub fn scan(&self, cursor: u64, mut f: impl FnMut(FieldRef<'_>)) -> u64 {
        match self.view() {
            View::Packed(..) => {
                self.fields().for_each(f);
                0
            }
            View::Table(table) => table.scan(cursor, |field| f(field.into())),
        }
    }

    /// One of the fields that do not expire before `before_ms`; each is equally likely.
    pub fn random(&self, before_ms: i64, rng: &mut Rng) -> Option<FieldRef<'_>> {
        let due = self.due_len(before_ms);
        if due > 0 {
            let live = self.len() - due;
            return (live > 0).then(|| self.live_fields(before_ms).nth(rng.usize(..live)))?;
        }
        match self.view() {
            View::Packed(entries, _) if entries.is_empty() => None,
            View::Packed(entries, width) => {
                let index = rng.usize(..entries.len() / width);
                PackedIter::from_index(entries, width, index)?.next()
            }
            View::Table(table) => table.random(rng).map(FieldRef::from),
        }
    }

    /// Up to `n` distinct fields of those; every choice is equally likely.
    pub fn sample(&self, n: usize, before_ms: i64, rng: &mut Rng, mut f: impl FnMut(FieldRef<'_>)) {
        let due = self.due_len(before_ms);
        match self.view() {
            View::Table(table) if due == 0 => {
                sample::choose_in_table(table, n, rng, |field| f(field.into()));
            }
            _ => sample::choose(self.live_fields(before_ms), self.len() - due, n, rng, f),
        }
    }

    pub fn free_effort(&self) -> usize {
        match self.view() {
            View::Packed(..) => 1,
            View::Table(table) => table.len(),
        }
    }

    pub fn memory_usage(&self, samples: usize) -> usize {
        let own = match &self.repr {
            Repr::Packed(entries) | Repr::PackedExpiring(entries) => entries.allocated_bytes(),
            Repr::Table(table) => table.memory_bytes(),
            Repr::TableExpiring(table) => table.memory_bytes(),
        };
        let View::Table(table) = self.view() else { return own };
        let sampled = if samples == 0 { table.len() } else { samples.min(table.len()) };
        let bytes = table.iter().take(sampled).map(Field::allocated_bytes).sum();
        own + scale(bytes, sampled, table.len())
    }
}

/// An expiry as a hash can keep it: 0 stands for none, and there is a last moment.
fn clamped_ms(expire_ms: i64) -> i64 {
    expire_ms.clamp(1, MAX_EXPIRE_MS)
}

fn clamped(expire: SetExpire) -> SetExpire {
    match expire {
        SetExpire::At(expire_ms) => SetExpire::At(clamped_ms(expire_ms)),
        other => other,
    }
}

fn set_in_table(table: &mut Table<Field>, name: &[u8], value: &[u8]) -> bool {
    match table.slot(name) {
        Slot::Occupied(mut slot) => {
            slot.element_mut().set_value(value);
            false
        }
        Slot::Vacant(slot) => {
            slot.insert(Field::new(name, value, None));
            true
        }
    }
}

/// True if the field is new.
fn set_triple(entries: &mut Listpack, name: &[u8], value: &[u8], expire: SetExpire) -> bool {
    let pos = packed::find(entries, TRIPLE, name);
    let old_ms = pos.and_then(|pos| packed::field_at(entries, TRIPLE, pos).expire_ms);
    let expire_ms = expire.resolve(old_ms);
    if let Some(pos) = pos {
        if expire_ms == old_ms {
            packed::replace_value(entries, pos, value);
            return false;
        }
        entries.remove_n(pos, TRIPLE);
    }
    packed::insert_triple(entries, listpack::classify(name), listpack::classify(value), expire_ms);
    pos.is_none()
}

fn remove_packed(entries: &mut Listpack, width: usize, name: &[u8]) -> bool {
    let Some(pos) = packed::find(entries, width, name) else { return false };
    entries.remove_n(pos, width);
    true
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

/// The fields of a hash.
pub struct Fields<'a>(IterRepr<'a>);

enum IterRepr<'a> {
    Packed(PackedIter<'a>),
    Table(table::Iter<'a, Field>),
}

impl<'a> Iterator for Fields<'a> {
    type Item = FieldRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            IterRepr::Packed(iter) => iter.next(),
            IterRepr::Table(iter) => iter.next().map(FieldRef::from),
        }
    }
}
