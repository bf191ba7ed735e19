//! A key's place in a database, for changing what is there with one lookup.
//!
//! Owns the duty to keep the indexes in step with an entry that changes or moves.

use std::ops::Deref;

use super::{ExpireRef, HashMut, Indexes, remove_ref};
use crate::entry::{Entry, NewValue};
use crate::expire::SetExpire;
use crate::key::Key;
use crate::table::{Occupied, Vacant};
use crate::value::{Value, ValueMut};

/// The place of a key.
pub enum DbSlot<'a, 'k> {
    Occupied(EntryMut<'a>),
    Vacant(VacantEntry<'a, 'k>),
}

/// An entry in its database. Reads go through to [`Entry`].
pub struct EntryMut<'a> {
    slot: Occupied<'a, Entry>,
    indexes: Indexes<'a>,
    hash: u64,
}

/// The place of a key that is absent.
pub struct VacantEntry<'a, 'k> {
    slot: Vacant<'a, Entry>,
    indexes: Indexes<'a>,
    key: Key<'k>,
    clock: u32,
}

impl Deref for EntryMut<'_> {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        self.slot.element()
    }
}

impl<'a> EntryMut<'a> {
    #[inline]
    pub(super) fn new(slot: Occupied<'a, Entry>, indexes: Indexes<'a>, hash: u64) -> Self {
        EntryMut { slot, indexes, hash }
    }

    /// The entry for as long as the database is borrowed.
    #[inline]
    pub fn into_ref(self) -> &'a Entry {
        self.slot.into_mut()
    }

    /// The value for changing it in place. A string that lives in its entry is lent as
    /// [`ValueMut::EmbeddedStr`] and changed by the methods below.
    #[inline]
    pub fn value_mut(&mut self) -> ValueMut<'_> {
        self.slot.element_mut().value_mut()
    }

    /// [`value_mut`](EntryMut::value_mut) for as long as the database is borrowed.
    #[inline]
    pub fn into_value_mut(self) -> ValueMut<'a> {
        self.slot.into_mut().value_mut()
    }

    /// The hash for changing it, if the value is one.
    #[inline]
    pub fn into_hash(self) -> Option<HashMut<'a>> {
        self.indexes.fields.lend(self.slot.into_mut())
    }

    /// Another value, and what is to become of the expiry. Returns the value that was, when it had
    /// allocations of its own.
    #[inline]
    pub fn set<'v>(
        &mut self,
        value: impl Into<NewValue<'v>>,
        expire: impl Into<SetExpire>,
    ) -> Option<Value> {
        let expire_ms = expire.into().resolve(self.expire_ms());
        self.follow(expire_ms, |entry| entry.replace(value.into(), expire_ms))
    }

    /// Sets or removes the expiry; returns the one that was.
    pub fn set_expire_ms(&mut self, expire_ms: Option<i64>) -> Option<i64> {
        let old_ms = self.expire_ms();
        if old_ms != expire_ms {
            self.follow(expire_ms, |entry| entry.set_expire_ms(expire_ms));
        }
        old_ms
    }

    /// Appends to a string and returns its new length.
    ///
    /// # Panics
    /// When the value is not a string.
    pub fn append(&mut self, tail: &[u8]) -> usize {
        self.follow(self.expire_ms(), |entry| entry.append(tail))
    }

    /// The bytes of a string for changing them, made longer with zeros if it is shorter than
    /// `min_len`: what SETRANGE and SETBIT write into.
    ///
    /// # Panics
    /// When the value is not a string.
    pub fn text_mut(&mut self, min_len: usize) -> &mut [u8] {
        // First to its length, which may move the entry; then for the caller, which does not.
        self.follow(self.expire_ms(), |entry| {
            entry.text_mut(min_len);
        });
        self.slot.element_mut().text_mut(min_len)
    }

    /// The bytes of a string for making them longer or shorter too: they get an allocation of their own.
    ///
    /// # Panics
    /// When the value is not a string.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        self.follow(self.expire_ms(), |entry| {
            entry.bytes_mut();
        });
        self.slot.element_mut().bytes_mut()
    }

    /// Takes the entry out of the database.
    pub fn remove(self) -> Entry {
        let entry = self.slot.remove();
        if entry.expire_ms().is_some() {
            remove_ref(self.indexes.expires, self.hash, &entry);
        }
        self.indexes.fields.take_out(&entry);
        entry
    }

    /// Lets `change` have the entry, after which it has the expiry `expire_ms`, and brings the
    /// indexes in step.
    #[inline]
    fn follow<R>(&mut self, expire_ms: Option<i64>, change: impl FnOnce(&mut Entry) -> R) -> R {
        let entry = self.slot.element_mut();
        let was_volatile = entry.expire_ms().is_some();
        if was_volatile && expire_ms.is_none() {
            // While the key can still be read: a step of a resize may hash any key it meets.
            remove_ref(self.indexes.expires, self.hash, entry);
        }
        self.indexes.fields.take_out(entry);
        let old_base = entry.base();
        let result = change(entry);
        debug_assert_eq!(entry.expire_ms(), expire_ms);
        self.indexes.fields.add(entry);
        if expire_ms.is_some() {
            if !was_volatile {
                self.indexes.expires.insert_new_hashed(self.hash, ExpireRef::new(entry));
            } else if entry.base() != old_base {
                // This lookup compares addresses alone: the old one leads nowhere by now.
                self.indexes
                    .expires
                    .find_mut_with(self.hash, |expire| expire.points_at(old_base))
                    .expect("an entry with an expiry is in the index")
                    .0
                    .set_ptr(entry.base());
            }
        }
        result
    }
}

impl<'a, 'k> VacantEntry<'a, 'k> {
    #[inline]
    pub(super) fn new(
        slot: Vacant<'a, Entry>,
        indexes: Indexes<'a>,
        key: Key<'k>,
    ) -> VacantEntry<'a, 'k> {
        VacantEntry { slot, indexes, key, clock: 0 }
    }

    /// The access clock that the entry is to begin with.
    #[inline]
    pub fn with_clock(self, clock: u32) -> Self {
        VacantEntry { clock, ..self }
    }

    /// Adds the key.
    pub fn insert<'v>(
        self,
        value: impl Into<NewValue<'v>>,
        expire_ms: Option<i64>,
    ) -> EntryMut<'a> {
        let entry = Entry::new(self.key.bytes, value, expire_ms);
        entry.touch(self.clock);
        let slot = self.slot.insert_occupied(entry);
        if expire_ms.is_some() {
            let expire = ExpireRef::new(slot.element());
            self.indexes.expires.insert_new_hashed(self.key.hash, expire);
        }
        self.indexes.fields.add(slot.element());
        EntryMut::new(slot, self.indexes, self.key.hash)
    }
}
