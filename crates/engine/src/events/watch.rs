//! Owns WATCH: who watches which key, and whose transaction has thereby failed.

use std::collections::HashSet;

use crate::events::key_map::KeyMap;
use crate::events::roster::Roster;
use crate::ids::ClientId;

type WatchedKey = (usize, Box<[u8]>);

/// The key's time was up at WATCH already: that it is deleted for that, or was replaced by another key
/// whose time is up, is no change.
type Stale = bool;

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Absent,
    /// There still, though its time is up.
    Stale,
    Live,
}

#[derive(Debug, Default)]
pub struct Watches {
    /// Only of clients whose transaction can still succeed: a change is told to each of them once.
    watchers: KeyMap<Roster<ClientId, Stale>>,
    /// Clients one of whose keys was touched since WATCH.
    dirty: HashSet<ClientId>,
    /// How often a watcher was looked at: what the tests of its cost count.
    pub looks: u64,
}

impl Watches {
    /// False if the client watches the key already, or its transaction has failed anyhow.
    pub fn watch(&mut self, client: ClientId, db: usize, key: &[u8], stale: bool) -> bool {
        !self.is_dirty(client) && self.watchers.entry(db, key).insert(client, stale)
    }

    pub fn unwatch_all(&mut self, client: ClientId, watched: &mut Vec<WatchedKey>) {
        for (db, key) in watched.drain(..) {
            let Some(watchers) = self.watchers.get_mut(db, &key) else { continue };
            watchers.remove(client);
            if watchers.is_empty() {
                self.watchers.remove(db, &key);
            }
        }
        if !self.dirty.is_empty() {
            self.dirty.remove(&client);
        }
    }

    /// A key has changed; `exists` says whether there still is one.
    #[inline]
    pub fn touch(&mut self, db: usize, key: &[u8], exists: impl FnOnce() -> bool) {
        // The common case first: nobody watches anything.
        if self.watchers.is_empty() {
            return;
        }
        let Some(watchers) = self.watchers.get_mut(db, key) else { return };
        let exists = exists();
        watchers.retain(|client, stale| {
            self.looks += 1;
            if *stale && !exists {
                *stale = false;
                return true;
            }
            self.dirty.insert(client);
            false
        });
        if watchers.is_empty() {
            self.watchers.remove(db, key);
        }
    }

    /// A database (`None`: every one) is emptied or replaced, and `change` says what stands under
    /// a key before and after.
    pub fn touch_db(
        &mut self,
        db: Option<usize>,
        change: impl Fn(usize, &[u8]) -> (Presence, Presence),
    ) {
        self.watchers.retain(db, |db, key, watchers| {
            let (before, after) = change(db, key);
            if before == Presence::Absent && after == Presence::Absent {
                return true;
            }
            watchers.retain(|client, stale| {
                let was_gone = *stale || before == Presence::Absent;
                if was_gone && after != Presence::Live {
                    *stale = after == Presence::Stale;
                    return true;
                }
                self.dirty.insert(client);
                false
            });
            !watchers.is_empty()
        });
    }

    pub fn is_dirty(&self, client: ClientId) -> bool {
        !self.dirty.is_empty() && self.dirty.contains(&client)
    }

    /// Whether the key's time was up when the client began to watch it.
    pub fn was_stale(&self, client: ClientId, (db, key): &WatchedKey) -> bool {
        self.watchers.get(*db, key).and_then(|watchers| watchers.get(client)) == Some(&true)
    }
}
