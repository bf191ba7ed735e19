//! A small hash in a listpack: a field and its value in turn, or, once a field has an expiry, a field, its
//! value and its expiry: those that go first are first, those without an expiry last and with 0. Owns that
//! order, which is Redis's in memory and in files.

use crate::listpack::{self, Listpack, Pos, classify};
use crate::value::Item;

use super::FieldRef;

/// Elements a field, without and with its expiry.
pub(super) const PAIR: usize = 2;
pub(super) const TRIPLE: usize = 3;

/// What stands for no expiry.
const NEVER: i64 = 0;

/// The fields of a listpack of either kind.
pub(super) struct PackedIter<'a> {
    elements: listpack::Iter<'a>,
    width: usize,
}

impl<'a> PackedIter<'a> {
    pub fn new(entries: &'a Listpack, width: usize) -> Self {
        PackedIter { elements: entries.iter(), width }
    }

    /// From the field of this number on.
    pub fn from_index(entries: &'a Listpack, width: usize, index: usize) -> Option<Self> {
        let pos = entries.seek(width * index)?;
        Some(PackedIter { elements: entries.iter_from(pos), width })
    }
}

impl<'a> Iterator for PackedIter<'a> {
    type Item = FieldRef<'a>;

    fn next(&mut self) -> Option<FieldRef<'a>> {
        let (name, value) = (self.elements.next()?, self.elements.next()?);
        let expire_ms = if self.width == TRIPLE { expiry_of(self.elements.next()?) } else { None };
        Some(FieldRef { name, value, expire_ms })
    }
}

fn expiry_of(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Int(expire_ms) => Some(expire_ms).filter(|ms| *ms != NEVER),
        Item::Bytes(_) => unreachable!("expiries are checked when they come in, and are numbers"),
    }
}

pub(super) fn find(entries: &Listpack, width: usize, name: &[u8]) -> Option<Pos> {
    entries.find(entries.first()?, name, width - 1)
}

/// The field at `pos`.
pub(super) fn field_at(entries: &Listpack, width: usize, pos: Pos) -> FieldRef<'_> {
    let mut fields = PackedIter { elements: entries.iter_from(pos), width };
    fields.next().expect("a field was found here")
}

/// Sets a field of a listpack of pairs; true if it is new.
pub(super) fn set_pair(entries: &mut Listpack, name: &[u8], value: &[u8]) -> bool {
    match find(entries, PAIR, name) {
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

/// Puts a field where its expiry belongs. It is not there yet.
pub(super) fn insert_triple(
    entries: &mut Listpack,
    name: Item<'_>,
    value: Item<'_>,
    expire_ms: Option<i64>,
) {
    let triple = [name, value, Item::Int(expire_ms.unwrap_or(NEVER))];
    let mut at = entries.first().filter(|_| expire_ms.is_some());
    while let Some(pos) = at {
        // Names and values on the way are passed over, not read.
        let value_pos = entries.next(pos).expect("every field has a value");
        let expiry_pos = entries.next(value_pos).expect("every value has an expiry");
        let other_ms = expiry_of(entries.at(expiry_pos));
        if other_ms.is_none_or(|other_ms| Some(other_ms) >= expire_ms) {
            return entries.insert_items_before(pos, &triple);
        }
        at = entries.next(expiry_pos);
    }
    entries.push_back_items(&triple);
}

/// Gives a field this expiry, and the place that goes with it; false when there is none of that name.
pub(super) fn set_expire_ms(entries: &mut Listpack, name: &[u8], expire_ms: Option<i64>) -> bool {
    let Some(pos) = find(entries, TRIPLE, name) else { return false };
    let value = field_at(entries, TRIPLE, pos).value.to_vec();
    entries.remove_n(pos, TRIPLE);
    insert_triple(entries, classify(name), classify(&value), expire_ms);
    true
}

/// Replaces the value of the field at `pos`, which keeps its expiry and so its place.
pub(super) fn replace_value(entries: &mut Listpack, pos: Pos, value: &[u8]) {
    let value_pos = entries.next(pos).expect("every field has a value");
    entries.replace(value_pos, value);
}

/// The listpack in the other width. From triples the expiries go.
pub(super) fn with_width(entries: &Listpack, from: usize, to: usize) -> Listpack {
    let mut items = Vec::with_capacity(entries.len() / from * to);
    for FieldRef { name, value, expire_ms } in PackedIter::new(entries, from) {
        items.extend([name, value]);
        if to == TRIPLE {
            items.push(Item::Int(expire_ms.unwrap_or(NEVER)));
        }
    }
    let mut other = Listpack::new();
    other.push_back_items(&items);
    other
}

/// Checks a listpack of triples from a file: field, value, expiry in turn, no field twice. Says whether
/// they stand in the order that this file keeps.
pub(super) fn check_triples(entries: &Listpack, check_twice: bool) -> Result<bool, &'static str> {
    if !entries.len().is_multiple_of(TRIPLE) {
        return Err("a hash has a field without a value or an expiry");
    }
    let (mut in_order, mut last) = (true, 1);
    for item in entries.iter().skip(TRIPLE - 1).step_by(TRIPLE) {
        let Item::Int(expire_ms @ 0..) = item else {
            return Err("a hash has a field whose expiry is none");
        };
        let rank = if expire_ms == NEVER { i64::MAX } else { expire_ms };
        in_order &= rank >= last;
        last = rank;
    }
    match check_twice && listpack::has_duplicates(entries, TRIPLE - 1) {
        true => Err("a hash has a field twice"),
        false => Ok(in_order),
    }
}
