//! The hashes of a database some of whose fields have an expiry, by when the first of these goes. Owns that
//! order, and lends hashes for changing, so that none can change unseen by it.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::entry::Entry;
use crate::hash::Hash;
use crate::ordered::OrderedSet;
use crate::value::Value;

/// An entry as the index sees it: where it is, not owned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EntryAddr(NonNull<u8>);

// SAFETY: it is only ever followed by the database that owns the entry.
unsafe impl Send for EntryAddr {}

/// The third invariant of a database is about this: an entry is in it exactly if it holds a hash with an
/// expiring field, by the soonest expiry.
#[derive(Default)]
pub(super) struct FieldExpires {
    order: OrderedSet<(i64, EntryAddr)>,
    /// There was one, whatever has become of it.
    was_any: bool,
}

/// A hash lent for changing.
pub struct HashMut<'a> {
    hash: &'a mut Hash,
    base: NonNull<u8>,
    soonest_ms: Option<i64>,
    index: &'a mut FieldExpires,
}

impl FieldExpires {
    pub const fn new() -> Self {
        FieldExpires { order: OrderedSet::new(), was_any: false }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn was_any(&self) -> bool {
        self.was_any
    }

    fn insert(&mut self, soonest_ms: i64, at: EntryAddr) {
        self.was_any = true;
        self.order.insert((soonest_ms, at));
    }

    /// The entry has come, or is back from a change.
    #[inline]
    pub fn add(&mut self, entry: &Entry) {
        if let Some(soonest_ms) = soonest_ms(entry) {
            self.insert(soonest_ms, EntryAddr(entry.base()));
        }
    }

    /// The entry is about to go, or to change. It may have gone from its table, but not from memory.
    #[inline]
    pub fn take_out(&mut self, entry: &Entry) {
        if !self.order.is_empty()
            && let Some(soonest_ms) = soonest_ms(entry)
        {
            let was = self.order.remove(&(soonest_ms, EntryAddr(entry.base())));
            debug_assert!(was, "a hash with an expiring field is in the index");
        }
    }

    /// When the first field of all goes.
    #[inline]
    pub fn soonest_ms(&self) -> Option<i64> {
        self.order.first().map(|(soonest_ms, _)| *soonest_ms)
    }

    /// The key of the hash whose field goes first of all.
    pub fn first_key(&self) -> Option<&[u8]> {
        let (_, EntryAddr(base)) = self.order.first()?;
        // SAFETY: the invariant: an entry of the database is there, and the database is borrowed.
        Some(unsafe { Entry::key_at(*base) })
    }

    pub fn lend<'a>(&'a mut self, entry: &'a mut Entry) -> Option<HashMut<'a>> {
        let base = entry.base();
        let hash = entry.hash_mut()?;
        Some(HashMut { soonest_ms: hash.soonest_expire_ms(), hash, base, index: self })
    }
}

#[inline]
fn soonest_ms(entry: &Entry) -> Option<i64> {
    match entry.value_if_apart()? {
        Value::Hash(hash) => hash.soonest_expire_ms(),
        _ => None,
    }
}

impl Deref for HashMut<'_> {
    type Target = Hash;

    #[inline]
    fn deref(&self) -> &Hash {
        self.hash
    }
}

impl DerefMut for HashMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Hash {
        self.hash
    }
}

impl Drop for HashMut<'_> {
    #[inline]
    fn drop(&mut self) {
        let soonest_ms = self.hash.soonest_expire_ms();
        if soonest_ms != self.soonest_ms {
            let at = EntryAddr(self.base);
            if let Some(old_ms) = self.soonest_ms {
                self.index.order.remove(&(old_ms, at));
            }
            if let Some(new_ms) = soonest_ms {
                self.index.insert(new_ms, at);
            }
        }
    }
}
