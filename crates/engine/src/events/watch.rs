//! Owns WATCH: who watches which key, and whose transaction has thereby failed.

use std::collections::{HashMap, HashSet};

use crate::ids::ClientId;

type WatchedKey = (usize, Box<[u8]>);

#[derive(Debug)]
struct Watcher {
    client: ClientId,
    /// The key's time was up at WATCH already: that it is deleted for that, or was replaced by
    /// another key whose time is up, is no change.
    stale: bool,
}

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
    watchers: HashMap<WatchedKey, Vec<Watcher>>,
    /// Clients one of whose keys was touched since WATCH.
    dirty: HashSet<ClientId>,
}

impl Watches {
    pub fn watch(&mut self, client: ClientId, db: usize, key: &[u8], stale: bool) {
        let watchers = self.watchers.entry((db, key.into())).or_default();
        if !watchers.iter().any(|watcher| watcher.client == client) {
            watchers.push(Watcher { client, stale });
        }
    }

    pub fn unwatch_all(&mut self, client: ClientId, watched: &mut Vec<WatchedKey>) {
        for watched_key in watched.drain(..) {
            if let Some(watchers) = self.watchers.get_mut(&watched_key) {
                watchers.retain(|watcher| watcher.client != client);
                if watchers.is_empty() {
                    self.watchers.remove(&watched_key);
                }
            }
        }
        self.dirty.remove(&client);
    }

    /// A key has changed; `exists` says whether there still is one.
    pub fn touch(&mut self, db: usize, key: &[u8], exists: impl FnOnce() -> bool) {
        // The common case first: nobody watches anything, and no key is boxed to find that out.
        if self.watchers.is_empty() {
            return;
        }
        let Some(watchers) = self.watchers.get_mut(&(db, key.into()) as &WatchedKey) else {
            return;
        };
        let exists = exists();
        for watcher in watchers {
            if watcher.stale && !exists {
                watcher.stale = false;
            } else {
                self.dirty.insert(watcher.client);
            }
        }
    }

    /// A database (`None`: every one) is emptied or replaced, and `change` says what stands under
    /// a key before and after.
    pub fn touch_db(
        &mut self,
        db: Option<usize>,
        change: impl Fn(usize, &[u8]) -> (Presence, Presence),
    ) {
        for ((key_db, key), watchers) in &mut self.watchers {
            if db.is_some_and(|db| db != *key_db) {
                continue;
            }
            let (before, after) = change(*key_db, key);
            if before == Presence::Absent && after == Presence::Absent {
                continue;
            }
            for watcher in watchers {
                let was_gone = watcher.stale || before == Presence::Absent;
                if was_gone && after != Presence::Live {
                    watcher.stale = after == Presence::Stale;
                } else {
                    self.dirty.insert(watcher.client);
                }
            }
        }
    }

    pub fn is_dirty(&self, client: ClientId) -> bool {
        self.dirty.contains(&client)
    }

    /// Whether the key's time was up when the client began to watch it.
    pub fn was_stale(&self, client: ClientId, watched: &WatchedKey) -> bool {
        let watchers = self.watchers.get(watched).map_or(&[][..], Vec::as_slice);
        watchers.iter().any(|watcher| watcher.client == client && watcher.stale)
    }
}
