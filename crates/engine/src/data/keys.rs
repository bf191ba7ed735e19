//! Owns how commands reach keys: lazy expiry, hits and misses, access clocks; and the one signal
//! that every change of a key passes.

use store::lend::{EntryRef, SlotAnd, lend_or_back};
use store::{DbSlot, Encoding, Entry, EntryMut, Key, NewValue, SetExpire};

use crate::Engine;
use crate::data::access;
use crate::data::view::View;
use crate::engine::Role;
use crate::events::notify::Classes;
use crate::settings::Settings;
use crate::world::Now;

impl Engine {
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
        let mut expired = false;
        let found = lend_or_back::<EntryRef, _>(self, |engine| {
            let entry = engine.keyspace.db(db.index()).get(key)?;
            expired = is_gone(entry, db, engine.now);
            if expired {
                return None;
            }
            engine.stats.keyspace_hits += 1;
            if touches {
                access::touch(entry, engine.now, &engine.settings, &mut engine.rng);
            }
            Some(entry)
        });
        match found {
            Ok(entry) => Some(entry),
            Err(engine) => {
                engine.miss(db, key.bytes, expired);
                None
            }
        }
    }

    fn miss(&mut self, db: View, key: &[u8], expired: bool) {
        if expired {
            self.expire_found(db, key);
        }
        if self.settings.notify_keyspace_events.intersects(Classes::KEYMISS) {
            self.notify(db, key, Classes::KEYMISS, "keymiss");
        }
        self.stats.keyspace_misses += 1;
    }

    /// The key as a reader sees it, leaving no trace: no hit, no access. For writers that look
    /// first, and DEBUG.
    pub fn peek(&mut self, db: View, key: &[u8]) -> Option<&Entry> {
        let key = self.key(key);
        let mut expired = false;
        let found = lend_or_back::<EntryRef, _>(self, |engine| {
            let entry = engine.keyspace.db(db.index()).get(key)?;
            expired = is_gone(entry, db, engine.now);
            if expired { None } else { Some(entry) }
        });
        match found {
            Ok(entry) => Some(entry),
            Err(engine) => {
                if expired {
                    engine.expire_found(db, key.bytes);
                }
                None
            }
        }
    }

    /// The key as a writer finds it: an expired one is gone.
    #[inline]
    pub fn write(&mut self, db: View, key: &[u8]) -> Option<EntryMut<'_>> {
        match self.place(db, key, false).0 {
            DbSlot::Occupied(entry) => Some(entry),
            DbSlot::Vacant(_) => None,
        }
    }

    /// The place of a key as a writer finds it, filled or not: who finds it empty fills it.
    #[inline]
    pub fn slot<'k>(&mut self, db: View, key: &'k [u8]) -> DbSlot<'_, 'k> {
        self.place(db, key, true).0
    }

    /// The place of a key, which takes one look-up unless an expired one stands there; `fills` says that
    /// an empty one will not stay so.
    #[inline]
    pub(crate) fn place<'k>(
        &mut self,
        db: View,
        key: &'k [u8],
        fills: bool,
    ) -> (DbSlot<'_, 'k>, &Settings) {
        let key = self.key(key);
        let live = lend_or_back::<SlotAnd<'k, Settings>, _>(self, |engine| {
            let now = engine.now;
            let (slot, settings) = engine.place_as_it_is(db, key, fills);
            match &slot {
                DbSlot::Occupied(entry) if is_gone(entry, db, now) => None,
                _ => Some((slot, settings)),
            }
        });
        match live {
            Ok(live) => live,
            Err(engine) => engine.place_cleared(db, key, fills),
        }
    }

    /// The place of a key whose time is up.
    #[cold]
    fn place_cleared<'k>(
        &mut self,
        db: View,
        key: Key<'k>,
        fills: bool,
    ) -> (DbSlot<'_, 'k>, &Settings) {
        self.expire_found(db, key.bytes);
        if self.role != Role::Master {
            // On a writable replica it is still there but counts as absent: the write makes it anew.
            self.keyspace.db_mut(db.index()).remove(key);
        }
        self.place_as_it_is(db, key, fills)
    }

    #[inline(always)] // Its result is large, and is taken apart at once.
    fn place_as_it_is<'k>(
        &mut self,
        db: View,
        key: Key<'k>,
        fills: bool,
    ) -> (DbSlot<'_, 'k>, &Settings) {
        let slot = match self.keyspace.db_mut(db.index()).slot(key) {
            DbSlot::Occupied(entry) => {
                access::touch(&entry, self.now, &self.settings, &mut self.rng);
                DbSlot::Occupied(entry)
            }
            DbSlot::Vacant(vacant) => {
                if fills && self.settings.notify_keyspace_events.intersects(Classes::NEW) {
                    self.born = Some((db.index(), key.bytes.into()));
                }
                let clock = access::birth_clock(self.now, &self.settings);
                DbSlot::Vacant(vacant.with_clock(clock))
            }
        };
        (slot, &self.settings)
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

    /// Makes a text `raw` to OBJECT ENCODING, however short it is, as one that was edited.
    pub(crate) fn make_raw(&mut self, db: View, key: &[u8]) {
        if let DbSlot::Occupied(mut entry) = self.slot(db, key)
            && entry.encoding() == Encoding::Embstr
        {
            entry.text_mut(0);
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
        self.invalidate(key);
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

/// Whether who looks at the entry in this way must take it for absent.
#[inline]
fn is_gone(entry: &Entry, db: View, now: Now) -> bool {
    // For a master's own commands it is there still: the master has not said DEL yet.
    !db.sees_expired && entry.is_expired(now.unix_ms())
}
