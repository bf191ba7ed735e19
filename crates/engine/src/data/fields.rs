//! Owns the expiry of fields of hashes: which are gone by time for whom, the deletion on access, and the
//! part of the cycle that finds those which nobody asks for.
//!
//! As with keys, only a master expires, and says so with HDEL; a replica hides what is due until it is told.
//! A database knows which of its hashes loses a field first, and when, so the question whether there is
//! anything to do is answered without a look-up.

use store::{DbSlot, Hash, HashMut, Limits, Value};

use crate::Engine;
use crate::data::view::View;
use crate::engine::Role;
use crate::error::CommandError;
use crate::events::notify::Classes;
use crate::world::World;

/// Fields that the cycle takes from one hash between two looks at the clock.
const FIELDS_PER_STEP: usize = 64;

impl Engine {
    /// Fields that expire before this are gone for who sees the database in this way.
    #[inline]
    pub(crate) fn field_horizon_ms(&self, db: View) -> i64 {
        if db.sees_expired { i64::MIN } else { self.now.unix_ms() }
    }

    /// The hash for a writer, with the thresholds of its encodings.
    pub(crate) fn write_hash(
        &mut self,
        db: View,
        key: &[u8],
    ) -> Result<Option<(HashMut<'_>, &Limits)>, CommandError> {
        let (slot, settings) = self.place(db, key, false);
        let DbSlot::Occupied(entry) = slot else { return Ok(None) };
        let hash = entry.into_hash().ok_or(CommandError::WrongType)?;
        Ok(Some((hash, &settings.limits)))
    }

    /// The hash for a writer, an empty one where there is no key.
    pub(crate) fn create_hash(
        &mut self,
        db: View,
        key: &[u8],
    ) -> Result<(HashMut<'_>, &Limits), CommandError> {
        let (slot, settings) = self.place(db, key, true);
        let entry = match slot {
            DbSlot::Occupied(entry) => entry,
            DbSlot::Vacant(vacant) => vacant.insert(Value::Hash(Hash::new()), None),
        };
        let hash = entry.into_hash().ok_or(CommandError::WrongType)?;
        Ok((hash, &settings.limits))
    }

    /// A command is about to use these fields: those whose time is up are deleted, if it is for us to say so.
    #[inline]
    pub(crate) fn expire_fields<'f>(
        &mut self,
        db: View,
        key: &[u8],
        fields: impl Iterator<Item = &'f [u8]>,
    ) {
        if self.may_delete_due_fields(db) {
            self.delete_due_among(db, key, fields);
        }
    }

    /// A command is about to choose among all fields of the hash.
    pub(crate) fn expire_all_fields(&mut self, db: View, key: &[u8]) {
        if self.may_delete_due_fields(db) {
            self.delete_due_fields(db, key, usize::MAX);
        }
    }

    #[inline]
    fn may_delete_due_fields(&self, db: View) -> bool {
        let soonest_ms = self.keyspace.db(db.index()).soonest_field_expire_ms();
        soonest_ms.is_some_and(|soonest_ms| soonest_ms < self.field_horizon_ms(db))
            && self.role == Role::Master
            && !self.loading
            && !self.is_paused()
    }

    #[cold]
    fn delete_due_among<'f>(
        &mut self,
        db: View,
        key: &[u8],
        fields: impl Iterator<Item = &'f [u8]>,
    ) {
        let horizon_ms = self.field_horizon_ms(db);
        let Some(mut hash) = self.hash_as_it_is(db, key) else { return };
        let is_due = |hash: &HashMut<'_>, name: &[u8]| {
            hash.find(name).is_some_and(|field| field.is_due(horizon_ms))
        };
        let mut gone = Vec::new();
        for name in fields {
            if is_due(&hash, name) && hash.remove(name) {
                gone.push(Box::from(name));
            }
        }
        let empty = hash.is_empty();
        drop(hash);
        self.fields_expired(db, key, &gone, empty);
    }

    /// Deletes up to `limit` fields whose time is up; how many it were.
    fn delete_due_fields(&mut self, db: View, key: &[u8], limit: usize) -> usize {
        let horizon_ms = self.field_horizon_ms(db);
        let Some(mut hash) = self.hash_as_it_is(db, key) else { return 0 };
        let mut gone = Vec::new();
        hash.remove_due(horizon_ms, limit, |name| gone.push(Box::from(name)));
        let empty = hash.is_empty();
        drop(hash);
        self.fields_expired(db, key, &gone, empty);
        gone.len()
    }

    /// The hash without a trace in statistics and clocks, unless its key is gone itself.
    fn hash_as_it_is(&mut self, db: View, key: &[u8]) -> Option<HashMut<'_>> {
        let now_ms = self.now.unix_ms();
        let entry = self.keyspace.db_mut(db.index()).get_mut(key)?;
        if entry.is_expired(now_ms) { None } else { entry.into_hash() }
    }

    /// What follows from fields that went for their time.
    fn fields_expired(&mut self, db: View, key: &[u8], gone: &[Box<[u8]>], empty: bool) {
        if gone.is_empty() {
            return;
        }
        self.stats.expired_fields += gone.len() as u64;
        let mut words: Vec<&[u8]> = vec![b"HDEL", key];
        words.extend(gone.iter().map(|name| &**name));
        self.propagation.command(db.index(), words);
        self.touched(db, key, Classes::HASH, "hexpired");
        if empty {
            self.keyspace.db_mut(db.index()).remove(key);
            self.notify(db, key, Classes::GENERIC, "del");
        }
    }

    /// The part of the cycle that is about fields: the database knows which go first. It ends when nothing
    /// is due any more, or when `is_over` says so.
    pub(crate) fn expire_fields_of(
        &mut self,
        db: usize,
        world: &mut dyn World,
        is_over: impl Fn(&dyn World) -> bool,
    ) {
        let view = View::of_server(db);
        while self.may_delete_due_fields(view) {
            let Some(key) = self.keyspace.db(db).first_to_lose_a_field() else { break };
            let key: Box<[u8]> = key.into();
            if self.delete_due_fields(view, &key, FIELDS_PER_STEP) == 0 {
                // No field is taken from a key whose own time is up.
                self.delete_expired(db, &key);
            }
            if is_over(world) {
                break;
            }
        }
    }
}
