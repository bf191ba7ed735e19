//! Owns how commands reach keys: lazy expiry, hits and misses, access clocks; and the one signal
//! that every change of a key passes.

use store::{DbSlot, Entry, EntryMut, Key, NewValue, SetExpire};

use crate::Engine;
use crate::data::access;
use crate::data::view::View;
use crate::engine::Role;
use crate::events::notify::Classes;

impl Engine {
    /// Hashes a key, for several look-ups in one command.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.keyspace.key(bytes)
    }

    /// The key as a reader sees it: gone when its time is up. Counts a hit or a miss.
    #[inline]
    pub fn read(&mut self, db: View, key: &[u8]) -> Option<&Entry> {
        self.find(db, key, db.touches)
    }

    /// The same for who asks about a key without using it (EXISTS, TYPE, TTL).
    pub(crate) fn ask(&mut self, db: View, key: &[u8]) -> Option<&Entry> {
        self.find(db, key, false)
    }

    #[inline]
    fn find(&mut self, db: View, key: &[u8], touches: bool) -> Option<&Entry> {
        let key = self.key(key);
        let expired = self.expire_if_needed(db, key);
        let tells_misses = self.settings.notify_keyspace_events.intersects(Classes::KEYMISS);
        if tells_misses && (expired || !self.keyspace.db(db.index()).contains(key)) {
            self.notify(db, key.bytes, Classes::KEYMISS, "keymiss");
        }
        let found = if expired { None } else { self.keyspace.db(db.index()).get(key) };
        let Some(entry) = found else {
            self.stats.keyspace_misses += 1;
            return None;
        };
        self.stats.keyspace_hits += 1;
        if touches {
            access::touch(entry, self.now, &self.settings, &mut self.rng);
        }
        Some(entry)
    }

    /// The key as a reader sees it, leaving no trace: no hit, no access. For writers that look
    /// first, and DEBUG.
    pub fn peek(&mut self, db: View, key: &[u8]) -> Option<&Entry> {
        let key = self.key(key);
        if self.expire_if_needed(db, key) {
            return None;
        }
        self.keyspace.db(db.index()).get(key)
    }

    /// The key as a writer finds it: an expired one is gone.
    #[inline]
    pub fn write(&mut self, db: View, key: &[u8]) -> Option<EntryMut<'_>> {
        match self.slot(db, key) {
            DbSlot::Occupied(entry) => Some(entry),
            DbSlot::Vacant(_) => None,
        }
    }

    /// The place of a key as a writer finds it, filled or not.
    #[inline]
    pub fn slot<'k>(&mut self, db: View, key: &'k [u8]) -> DbSlot<'_, 'k> {
        let key = self.key(key);
        self.make_way(db, key.bytes);
        match self.keyspace.db_mut(db.index()).slot(key) {
            DbSlot::Occupied(entry) => {
                access::touch(&entry, self.now, &self.settings, &mut self.rng);
                DbSlot::Occupied(entry)
            }
            DbSlot::Vacant(vacant) => {
                if self.settings.notify_keyspace_events.intersects(Classes::NEW) {
                    self.born = Some((db.index(), key.bytes.into()));
                }
                let clock = access::birth_clock(self.now, &self.settings);
                DbSlot::Vacant(vacant.with_clock(clock))
            }
        }
    }

    /// Gives a key a value, whatever it had before.
    #[inline]
    pub(crate) fn put<'v>(
        &mut self,
        db: View,
        key: &[u8],
        value: impl Into<NewValue<'v>>,
        expire: impl Into<SetExpire>,
    ) {
        let expire = expire.into();
        let old = match self.slot(db, key) {
            DbSlot::Occupied(mut entry) => entry.set(value, expire),
            DbSlot::Vacant(vacant) => {
                vacant.insert(value, expire.resolve(None));
                None
            }
        };
        if let Some(old) = old {
            self.drop_value(old);
        }
    }

    /// A key whose time is up is out of a writer's way.
    #[inline]
    pub(crate) fn make_way(&mut self, db: View, key: &[u8]) {
        if self.keyspace.db(db.index()).expires_len() == 0 {
            return;
        }
        let key = self.key(key);
        if self.expire_if_needed(db, key) && self.role != Role::Master {
            // On a writable replica it is still there but counts as absent: the write makes it anew.
            self.keyspace.db_mut(db.index()).remove(key);
        }
    }

    /// The one signal of a change: counts it, fails transactions that watch the key, wakes who waits
    /// for it, tells subscribers. Every handler that changed a key calls it, once an event.
    #[inline]
    pub fn changed(&mut self, db: View, key: &[u8], class: Classes, event: &str) {
        self.dirty += 1;
        self.touched(db, key, class, event);
    }

    /// The same for what no command did: expiry and eviction travel as deletions of their own, and
    /// the command that came across them has not changed anything by that.
    #[inline]
    pub(crate) fn touched(&mut self, db: View, key: &[u8], class: Classes, event: &str) {
        self.watches.touch(db.index(), key, || self.keyspace.db(db.index()).contains(key));
        self.blocked.key_written(db.index(), key);
        self.notify(db, key, class, event);
    }

    /// Publishes a keyspace notification, if its class is asked for.
    #[inline]
    pub fn notify(&mut self, db: View, key: &[u8], class: Classes, event: &str) {
        let wanted = self.settings.notify_keyspace_events;
        if wanted.intersects(class.union(Classes::NEW)) {
            self.publish_events(db.index(), key, class, event);
        }
    }

    /// The command has made this key, whatever stood there before: what RENAME, MOVE, COPY and
    /// RESTORE do.
    pub(crate) fn key_made(&mut self, db: View, key: &[u8]) {
        self.born = None;
        let wanted = self.settings.notify_keyspace_events;
        if wanted.intersects(Classes::NEW) {
            self.publish_event(db.index(), key, wanted, "new");
        }
    }

    /// That a key is new is said before what made it.
    #[cold]
    fn publish_events(&mut self, db: usize, key: &[u8], class: Classes, event: &str) {
        let wanted = self.settings.notify_keyspace_events;
        if self.born.as_ref().is_some_and(|(born_in, born)| *born_in == db && **born == *key) {
            self.born = None;
            if wanted.intersects(Classes::NEW) {
                self.publish_event(db, key, wanted, "new");
            }
        }
        if wanted.intersects(class) {
            self.publish_event(db, key, wanted, event);
        }
    }

    fn publish_event(&mut self, db: usize, key: &[u8], wanted: Classes, event: &str) {
        if wanted.intersects(Classes::KEYSPACE) {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            self.publish(&channel, event.as_bytes());
        }
        if wanted.intersects(Classes::KEYEVENT) {
            let channel = format!("__keyevent@{db}__:{event}");
            self.publish(channel.as_bytes(), key);
        }
    }
}
