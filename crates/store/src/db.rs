//! One database: its entries, the index of those that expire, and that of hashes whose fields do.
//!
//! Owns the agreement of these. Must not decide when a key is gone: `is_expired` is a question
//! that callers ask, and what follows from the answer is theirs.
//!
//! # Invariants
//!
//! 1. A key is in `expires` exactly when its entry has an expiry, and its word there points at the
//!    very allocation that `entries` owns. So an entry that moves or goes is followed in both.
//! 2. Both tables have the same seed: one hash serves both.
//! 3. An entry is in `field_expires` exactly when it holds a hash with an expiring field, by the soonest of
//!    these and its address. Hashes are lent for changing by what keeps that.

use std::ptr::NonNull;

use fastrand::Rng;

use crate::element::{Element, Tagged};
use crate::entry::{Entry, NewValue};
use crate::expire::SetExpire;
use crate::key::{IntoKey, Key};
use crate::seed::HashSeed;
use crate::table::{self, Slot, Table, TableStats};
use crate::value::Value;

mod field_expires;
mod relocate;
mod slot;
#[cfg(test)]
mod tests;

use field_expires::FieldExpires;
pub use field_expires::HashMut;
pub use relocate::{Place, Walked};
pub use slot::{DbSlot, EntryMut, VacantEntry};

/// A database.
pub struct Db {
    entries: Table<Entry>,
    expires: Table<ExpireRef>,
    field_expires: FieldExpires,
}

/// An entry as the index of expiries sees it: the pointer, not owned.
#[repr(transparent)]
struct ExpireRef(Tagged);

// SAFETY: it is only ever used by the database that owns the entry.
unsafe impl Send for ExpireRef {}

// SAFETY: transparent around the word, and an entry's key does not change.
unsafe impl Element for ExpireRef {
    #[inline]
    fn key(&self) -> &[u8] {
        self.entry().key()
    }
}

impl ExpireRef {
    fn new(entry: &Entry) -> Self {
        ExpireRef(Tagged::new(entry.base()))
    }

    #[inline]
    fn entry(&self) -> &Entry {
        // SAFETY: both are transparent around a pointer to the same allocation, whose tag neither
        // looks at, and the first invariant keeps it alive.
        unsafe { NonNull::from_ref(self).cast::<Entry>().as_ref() }
    }

    #[inline]
    fn points_at(&self, base: NonNull<u8>) -> bool {
        self.0.ptr::<u8>() == base
    }
}

impl Db {
    pub const fn new(seed: HashSeed) -> Self {
        Db {
            entries: Table::new(seed),
            expires: Table::new(seed),
            field_expires: FieldExpires::new(),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys that have an expiry.
    #[inline]
    pub fn expires_len(&self) -> usize {
        self.expires.len()
    }

    /// Hashes that have fields with an expiry.
    #[inline]
    pub fn field_expires_len(&self) -> usize {
        self.field_expires.len()
    }

    /// Whether a field ever had an expiry.
    #[inline]
    pub fn had_field_expires(&self) -> bool {
        self.field_expires.was_any()
    }

    /// When the first field of any hash expires.
    #[inline]
    pub fn soonest_field_expire_ms(&self) -> Option<i64> {
        self.field_expires.soonest_ms()
    }

    /// The key of the hash whose field expires first.
    pub fn first_to_lose_a_field(&self) -> Option<&[u8]> {
        self.field_expires.first_key()
    }

    /// Hashes a key, for several calls with it.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        bytes.into_key(self.entries.seed())
    }

    #[inline]
    pub fn get<'k>(&self, key: impl IntoKey<'k>) -> Option<&Entry> {
        let key = key.into_key(self.entries.seed());
        self.entries.find_hashed(key.hash, key.bytes)
    }

    #[inline]
    pub fn contains<'k>(&self, key: impl IntoKey<'k>) -> bool {
        self.get(key).is_some()
    }

    /// The entry for changing it: value, expiry, or its removal, with no further lookup.
    #[inline]
    pub fn get_mut<'k>(&mut self, key: impl IntoKey<'k>) -> Option<EntryMut<'_>> {
        match self.slot(key) {
            DbSlot::Occupied(entry) => Some(entry),
            DbSlot::Vacant(_) => None,
        }
    }

    /// The place of a key, filled or not.
    #[inline]
    pub fn slot<'k>(&mut self, key: impl IntoKey<'k>) -> DbSlot<'_, 'k> {
        let key = key.into_key(self.entries.seed());
        let indexes = Indexes { expires: &mut self.expires, fields: &mut self.field_expires };
        match self.entries.slot_hashed(key.hash, key.bytes) {
            Slot::Occupied(slot) => DbSlot::Occupied(EntryMut::new(slot, indexes, key.hash)),
            Slot::Vacant(slot) => DbSlot::Vacant(VacantEntry::new(slot, indexes, key)),
        }
    }

    /// The entry of `key`, made with the value of `create` when there is none. The caller looks at
    /// the type: an entry that was there may be of another.
    #[inline]
    pub fn get_or_insert_with<'k>(
        &mut self,
        key: impl IntoKey<'k>,
        create: impl FnOnce() -> Value,
    ) -> EntryMut<'_> {
        match self.slot(key) {
            DbSlot::Occupied(entry) => entry,
            DbSlot::Vacant(vacant) => vacant.insert(create(), None),
        }
    }

    /// Gives `key` a value, in place where there is room. Returns the value that was, when it had
    /// allocations of its own: it may be large enough to be dropped elsewhere.
    #[inline]
    pub fn set<'k, 'v>(
        &mut self,
        key: impl IntoKey<'k>,
        value: impl Into<NewValue<'v>>,
        expire: impl Into<SetExpire>,
    ) -> Option<Value> {
        let expire = expire.into();
        match self.slot(key) {
            DbSlot::Occupied(mut entry) => entry.set(value, expire),
            DbSlot::Vacant(vacant) => {
                vacant.insert(value, expire.resolve(None));
                None
            }
        }
    }

    /// Adds an entry that has been removed elsewhere, as RENAME and MOVE do; returns the one that
    /// had its key.
    pub fn insert_entry(&mut self, entry: Entry) -> Option<Entry> {
        let hash = self.entries.hash(entry.key());
        let expires = entry.expire_ms().is_some();
        // The old entry must be out of the index before it may move or go.
        let old = self.remove_hashed(hash, entry.key());
        let entry = self.entries.insert_new_hashed(hash, entry);
        if expires {
            self.expires.insert_new_hashed(hash, ExpireRef::new(entry));
        }
        self.field_expires.add(entry);
        old
    }

    /// Adds an entry whose key has this hash and should be absent; gives it back when it is not.
    /// A load makes many entries, asks for their buckets, and then adds them.
    #[inline]
    pub fn insert_new_entry(&mut self, hash: u64, entry: Entry) -> Result<&Entry, Entry> {
        if self.entries.find_hashed(hash, entry.key()).is_some() {
            return Err(entry);
        }
        let entry = self.entries.insert_new_hashed(hash, entry);
        if entry.expire_ms().is_some() {
            self.expires.insert_new_hashed(hash, ExpireRef::new(entry));
        }
        self.field_expires.add(entry);
        Ok(entry)
    }

    /// Takes an entry out, to be dropped, or given to [`insert_entry`](Db::insert_entry).
    #[inline]
    pub fn remove<'k>(&mut self, key: impl IntoKey<'k>) -> Option<Entry> {
        let key = key.into_key(self.entries.seed());
        self.remove_hashed(key.hash, key.bytes)
    }

    fn remove_hashed(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let entry = self.entries.remove_hashed(hash, key)?;
        if entry.expire_ms().is_some() {
            remove_ref(&mut self.expires, hash, &entry);
        }
        self.field_expires.take_out(&entry);
        Some(entry)
    }

    /// Sets or removes the expiry of a key; `None` when there is no such key, else whether it had
    /// an expiry before.
    pub fn set_expire<'k>(
        &mut self,
        key: impl IntoKey<'k>,
        expire_ms: Option<i64>,
    ) -> Option<bool> {
        self.get_mut(key).map(|mut entry| entry.set_expire_ms(expire_ms).is_some())
    }

    /// Every entry, in no order of meaning; allocates nothing, so a forked child may use it.
    pub fn iter(&self) -> table::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// One step of SCAN: see [`Table::scan`].
    #[inline]
    pub fn scan(&self, cursor: u64, f: impl FnMut(&Entry)) -> u64 {
        self.entries.scan(cursor, f)
    }

    /// Steps of a walk over the entries that expire, until `limit` were seen or the walk is at its
    /// end (0), or has met so many empty places that the caller should look at its clock.
    pub fn expire_scan(&self, cursor: u64, limit: usize, mut f: impl FnMut(&Entry)) -> u64 {
        let (mut cursor, mut seen) = (cursor, 0);
        // A sparse table must not hold the walk up: as many buckets as keys, with some to spare.
        for _ in 0..limit.saturating_mul(4).max(1) {
            cursor = self.expires.scan(cursor, |expire| {
                seen += 1;
                f(expire.entry());
            });
            if seen >= limit || cursor == 0 {
                break;
            }
        }
        cursor
    }

    /// A random entry; all are equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<&Entry> {
        self.entries.random(rng)
    }

    /// A random entry among those that expire.
    pub fn random_volatile(&self, rng: &mut Rng) -> Option<&Entry> {
        self.expires.random(rng).map(ExpireRef::entry)
    }

    /// Of the table of entries, and of that of expiries.
    pub fn table_stats(&self) -> [Vec<TableStats>; 2] {
        [self.entries.stats(), self.expires.stats()]
    }

    /// Leaves an empty database and returns the full one, to be dropped wherever it suits.
    pub fn take(&mut self) -> Db {
        Db {
            entries: self.entries.take_table(),
            expires: self.expires.take_table(),
            field_expires: std::mem::take(&mut self.field_expires),
        }
    }

    /// Makes room ahead of a load. Memory is taken at once: `keys` must be believable.
    pub fn reserve(&mut self, keys: usize, expires: usize) {
        self.entries.reserve(keys);
        self.expires.reserve(expires.min(keys));
    }

    /// Bytes of the two tables, without the entries.
    pub fn table_bytes(&self) -> usize {
        self.entries.memory_bytes() + self.expires.memory_bytes()
    }

    /// Bytes of the table of entries, and of the one of expiries, as MEMORY STATS tells them.
    pub fn overhead_bytes(&self) -> (usize, usize) {
        (self.entries.memory_bytes(), self.expires.memory_bytes())
    }

    /// Of the tables that are being resized: how many, and the bytes of what they leave.
    pub fn rehashing(&self) -> (usize, usize) {
        let tables =
            usize::from(self.entries.is_rehashing()) + usize::from(self.expires.is_rehashing());
        (tables, self.entries.rehashing_bytes() + self.expires.rehashing_bytes())
    }

    #[inline]
    pub fn is_rehashing(&self) -> bool {
        self.entries.is_rehashing() || self.expires.is_rehashing()
    }

    /// Moves up to so many buckets of resizes under way; true while there is more to move.
    pub fn rehash_for(&mut self, buckets: usize) -> bool {
        // Both, always: a table's turn is also when it notices that it is sparse.
        let entries = self.entries.rehash_for(buckets);
        self.expires.rehash_for(buckets) || entries
    }

    /// No resizing until [`resume_resize`](Db::resume_resize), short of extreme fill.
    pub fn pause_resize(&mut self) {
        self.entries.pause_resize();
        self.expires.pause_resize();
    }

    pub fn resume_resize(&mut self) {
        self.entries.resume_resize();
        self.expires.resume_resize();
    }

    /// See [`Table::limit_growth`].
    #[inline]
    pub fn limit_growth(&mut self, room_bytes: u64) {
        self.entries.limit_growth(room_bytes);
        self.expires.limit_growth(room_bytes);
    }

    /// First of two hints for a batch of keys that are about to be looked up: ask for all their
    /// buckets, then for all their entries.
    #[inline]
    pub fn prefetch_bucket(&self, key: Key<'_>) {
        self.entries.prefetch_bucket(key.hash);
    }

    #[inline]
    pub fn prefetch_entry(&self, key: Key<'_>) {
        self.entries.prefetch_entry(key.hash);
    }
}

/// What has to follow an entry that changes, moves or goes.
struct Indexes<'a> {
    expires: &'a mut Table<ExpireRef>,
    fields: &'a mut FieldExpires,
}

fn remove_ref(expires: &mut Table<ExpireRef>, hash: u64, entry: &Entry) {
    let base = entry.base();
    let removed = expires.remove_with(hash, |expire| expire.points_at(base));
    assert!(removed.is_some(), "an entry with an expiry is in the index");
}
