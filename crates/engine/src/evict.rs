//! Owns eviction: making room when `maxmemory` is reached.

use crate::Engine;
use crate::notify::Classes;
use crate::settings::MaxmemoryPolicy;
use crate::world::World;

impl Engine {
    /// Evicts until the allocator is below `maxmemory`; false when that cannot be done.
    pub(crate) fn free_memory_if_needed(&mut self, world: &mut dyn World) -> bool {
        let limit_bytes = self.settings.maxmemory_bytes;
        if world.used_memory_bytes() <= limit_bytes {
            return true;
        }
        // A replica's data is its master's business.
        if self.role != crate::Role::Master {
            return true;
        }
        // Nothing may change while clients are paused, so that replicas can catch up.
        if self.is_paused() {
            return true;
        }
        let policy = self.settings.maxmemory_policy;
        if policy == MaxmemoryPolicy::Noeviction {
            return false;
        }
        let begin_us = world.mono_us();
        let mut enough = false;
        while let Some((db, key)) = self.eviction_candidate(policy) {
            self.evict(db, &key);
            enough = world.used_memory_bytes() <= limit_bytes;
            if enough {
                break;
            }
        }
        self.end_unit_of_deletions(world);
        self.record_latency("eviction-cycle", world.mono_us().saturating_sub(begin_us));
        enough
    }

    fn evict(&mut self, db: usize, key: &[u8]) {
        let Some(entry) = self.keyspace.db_mut(db).remove(key) else { return };
        let lazy = self.settings.lazyfree_lazy_eviction;
        self.drop_entry(entry, lazy);
        self.stats.evicted_keys += 1;
        let word: &[u8] = if lazy { b"UNLINK" } else { b"DEL" };
        self.propagation.command(db, [word, key]);
        self.touched(db, key, Classes::EVICTED, "evicted");
    }

    /// The best of a few fair samples from every database that has any.
    fn eviction_candidate(&mut self, policy: MaxmemoryPolicy) -> Option<(usize, Box<[u8]>)> {
        use MaxmemoryPolicy as P;
        let volatile =
            matches!(policy, P::VolatileLru | P::VolatileLfu | P::VolatileRandom | P::VolatileTtl);
        let samples = match policy {
            P::AllkeysRandom | P::VolatileRandom => 1,
            _ => self.settings.maxmemory_samples.max(1),
        };
        let clock = self.access_clock();
        let mut best: Option<(u64, usize, Box<[u8]>)> = None;
        for index in 0..self.keyspace.len() {
            for _ in 0..samples {
                let db = self.keyspace.db(index);
                let sample = if volatile {
                    db.random_volatile(&mut self.rng)
                } else {
                    db.random(&mut self.rng)
                };
                let Some(entry) = sample else { break };
                let score = match policy {
                    P::VolatileTtl => u64::MAX - entry.expire_ms().unwrap_or(i64::MAX) as u64,
                    P::AllkeysRandom | P::VolatileRandom => self.rng.u64(..),
                    _ => u64::from(clock.wrapping_sub(entry.clock()) & 0xFF_FFFF),
                };
                if best.as_ref().is_none_or(|(other, ..)| score > *other) {
                    best = Some((score, index, entry.key().into()));
                }
            }
        }
        best.map(|(_, db, key)| (db, key))
    }
}
