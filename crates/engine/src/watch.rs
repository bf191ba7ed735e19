//! Owns WATCH: who watches which key, and whose transaction has thereby failed.

use std::collections::{HashMap, HashSet};

use crate::client::ClientId;

type WatchedKey = (usize, Box<[u8]>);

#[derive(Debug, Default)]
pub struct Watches {
    watchers: HashMap<WatchedKey, Vec<ClientId>>,
    /// Clients one of whose keys was touched since WATCH.
    dirty: HashSet<ClientId>,
}

impl Watches {
    pub fn watch(&mut self, client: ClientId, db: usize, key: &[u8]) {
        let watchers = self.watchers.entry((db, key.into())).or_default();
        if !watchers.contains(&client) {
            watchers.push(client);
        }
    }

    pub fn unwatch_all(&mut self, client: ClientId, watched: &mut Vec<WatchedKey>) {
        for watched_key in watched.drain(..) {
            if let Some(watchers) = self.watchers.get_mut(&watched_key) {
                watchers.retain(|other| *other != client);
                if watchers.is_empty() {
                    self.watchers.remove(&watched_key);
                }
            }
        }
        self.dirty.remove(&client);
    }

    pub fn touch(&mut self, db: usize, key: &[u8]) {
        // The common case first: nobody watches anything, and no key is boxed to find that out.
        if self.watchers.is_empty() {
            return;
        }
        if let Some(watchers) = self.watchers.get(&(db, key.into()) as &WatchedKey) {
            self.dirty.extend(watchers);
        }
    }

    /// FLUSHDB, FLUSHALL (`None`) and SWAPDB touch the keys for which `touched` says so: a key
    /// that exists neither before nor after is not changed.
    pub fn touch_db(&mut self, db: Option<usize>, touched: impl Fn(usize, &[u8]) -> bool) {
        for ((key_db, key), watchers) in &self.watchers {
            if db.is_none_or(|db| db == *key_db) && touched(*key_db, key) {
                self.dirty.extend(watchers);
            }
        }
    }

    pub fn is_dirty(&self, client: ClientId) -> bool {
        self.dirty.contains(&client)
    }
}
