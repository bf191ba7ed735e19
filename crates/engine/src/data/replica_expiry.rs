//! Owns the expiry of keys that clients have made on a writable replica: the master knows nothing
//! of them, so nobody else will ever delete them.

use std::collections::BTreeSet;
use std::ops::Bound;

use protocol::Args;

use crate::Engine;
use crate::command::Found;
use crate::command::key_spec;
use crate::engine::Role;
use crate::world::World;

/// Keys looked at in one run of the cron.
const KEYS_PER_CYCLE: usize = 200;

/// Database and name of keys that a local client gave an expiry.
#[derive(Debug, Default)]
pub struct LocalExpires {
    keys: BTreeSet<(usize, Box<[u8]>)>,
    /// Where the walk over them goes on.
    last: Option<(usize, Box<[u8]>)>,
}

impl LocalExpires {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn clear(&mut self) {
        *self = LocalExpires::default();
    }
}

impl Engine {
    /// A local client's command has changed something here: its keys that expire are remembered.
    pub(crate) fn remember_local_expires(&mut self, db: usize, found: &Found, args: Args<'_>) {
        for (at, _) in key_spec::positions(found.spec.keys, args) {
            let key = args.at(at);
            let entry = self.keyspace.db(db).get(key);
            if entry.is_some_and(|entry| entry.expire_ms().is_some()) {
                self.local_expires.keys.insert((db, key.into()));
            }
        }
    }

    /// Deletes those of the remembered keys whose time is up, some at a time.
    pub(crate) fn expire_local_keys(&mut self, world: &mut dyn World) {
        if self.local_expires.keys.is_empty() {
            return;
        }
        if self.role == Role::Master {
            // All expiries are its own now.
            return self.local_expires.clear();
        }
        let now_ms = self.now.unix_ms();
        for _ in 0..KEYS_PER_CYCLE.min(self.local_expires.keys.len()) {
            let from = self.local_expires.last.take().map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.local_expires.keys.range((from, Bound::Unbounded)).next();
            let Some((db, key)) = next.cloned() else { break };
            let expire_ms = self.keyspace.db(db).get(&*key).map(|entry| entry.expire_ms());
            let expired = expire_ms.flatten().is_some_and(|at_ms| now_ms > at_ms);
            if expired {
                self.delete_expired(db, &key);
            }
            if expired || expire_ms.flatten().is_none() {
                // Gone, or here to stay.
                self.local_expires.keys.remove(&(db, key.clone()));
            }
            self.local_expires.last = Some((db, key));
        }
        self.end_unit_of_deletions(world);
    }
}
