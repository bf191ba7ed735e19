//! Owns eviction: making room when `maxmemory` is reached, and which key is to go.
//!
//! The policies that go by use or by expiry keep a small pool of the best candidates seen so far:
//! a few fair samples a time come close to the order that a list of all keys would give.

use fastrand::Rng;
use store::{Db, Entry};

use crate::Engine;
use crate::data::view::View;
use crate::engine::Role;
use crate::events::notify::Classes;
use crate::settings::{MaxmemoryPolicy, Settings};
use crate::world::World;

/// Candidates that are remembered between samples.
const POOL: usize = 16;
/// Keys evicted between two looks at the clock.
const KEYS_PER_LOOK: u32 = 16;

/// A key that may go, and how much it should: the higher the sooner.
#[derive(Debug)]
struct Candidate {
    score: u64,
    db: usize,
    key: Box<[u8]>,
}

/// What eviction remembers between its runs.
#[derive(Debug, Default)]
pub struct EvictionState {
    /// Ascending by score.
    pool: Vec<Candidate>,
    /// The policy that the scores are of.
    policy: MaxmemoryPolicy,
    /// Where the random policies look next.
    next_db: usize,
    /// There was more to evict than the time allowed.
    pub(crate) unfinished: bool,
}

impl EvictionState {
    /// Whether a key of this score would be among the candidates.
    fn wants(&self, score: u64) -> bool {
        self.pool.len() < POOL || self.pool.first().is_some_and(|worst| score > worst.score)
    }

    fn add(&mut self, candidate: Candidate) {
        let is_there = |other: &Candidate| other.db == candidate.db && other.key == candidate.key;
        if self.pool.iter().any(is_there) {
            return;
        }
        if self.pool.len() == POOL {
            self.pool.remove(0);
        }
        let at = self.pool.partition_point(|other| other.score <= candidate.score);
        self.pool.insert(at, candidate);
    }
}

impl Settings {
    /// How long a command's eviction may take: half a millisecond at the default tenacity of 10,
    /// minutes at 99, for ever at 100.
    fn eviction_time_limit_us(&self) -> u64 {
        match self.maxmemory_eviction_tenacity {
            tenacity @ 0..=10 => 50 * u64::from(tenacity),
            tenacity @ 11..=99 => (500.0 * 1.15_f64.powi(tenacity as i32 - 10)) as u64,
            _ => u64::MAX,
        }
    }
}

impl MaxmemoryPolicy {
    fn is_volatile(self) -> bool {
        use MaxmemoryPolicy as P;
        matches!(self, P::VolatileLru | P::VolatileLfu | P::VolatileRandom | P::VolatileTtl)
    }

    /// Any key that the policy may evict.
    fn sample<'d>(self, db: &'d Db, rng: &mut Rng) -> Option<&'d Entry> {
        if self.is_volatile() { db.random_volatile(rng) } else { db.random(rng) }
    }

    fn is_random(self) -> bool {
        matches!(self, MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom)
    }
}

impl Engine {
    /// Makes room for a command on database `db`; false when that cannot be done.
    pub(crate) fn make_room(&mut self, db: usize, world: &mut dyn World) -> bool {
        let enough = self.free_memory_if_needed(world);
        let room_bytes = self.settings.maxmemory_bytes.saturating_sub(world.used_memory_bytes());
        self.keyspace.db_mut(db).limit_growth(room_bytes);
        enough
    }

    /// What the cron does: evicts where no command asks for it.
    pub(crate) fn eviction_cron(&mut self, world: &mut dyn World) {
        if self.settings.maxmemory_bytes == 0 {
            self.keyspace.iter_mut().for_each(|db| db.limit_growth(u64::MAX));
        } else if !self.loading {
            self.free_memory_if_needed(world);
        }
    }

    /// Goes on evicting where the last run has ended for its time.
    pub(crate) fn continue_eviction(&mut self, world: &mut dyn World) {
        if self.eviction.unfinished {
            self.eviction_cron(world);
        }
    }

    /// Evicts until the allocator is below `maxmemory`, or for as long as it may take: then true,
    /// and it goes on before the loop sleeps. False when it cannot be done.
    fn free_memory_if_needed(&mut self, world: &mut dyn World) -> bool {
        let limit_bytes = self.settings.maxmemory_bytes;
        self.eviction.unfinished = false;
        if world.used_memory_bytes() <= limit_bytes {
            return true;
        }
        // A replica's data is its master's business.
        if self.role != Role::Master && self.settings.replica_ignore_maxmemory {
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
        let until_us = world.mono_us().saturating_add(self.settings.eviction_time_limit_us());
        let mut enough = false;
        // What is told of evicted keys, to clients that cache them above all, is gone when it has been sent. Were it
        // counted here, long names that many clients cache would cost more memory with every key, until none is left.
        let mut told_bytes = 0;
        for evicted in 1_u32.. {
            let Some((db, key)) = self.eviction_candidate(policy) else { break };
            told_bytes += self.evict(world, db, &key);
            enough = world.used_memory_bytes().saturating_sub(told_bytes) <= limit_bytes;
            if enough {
                break;
            }
            if evicted % KEYS_PER_LOOK == 0 && world.mono_us() > until_us {
                self.eviction.unfinished = true;
                enough = true;
                break;
            }
        }
        self.end_unit_of_deletions(world);
        enough
    }

    /// The bytes that it took to tell everybody.
    fn evict(&mut self, world: &dyn World, db: usize, key: &[u8]) -> u64 {
        let Some(entry) = self.keyspace.db_mut(db).remove(key) else { return 0 };
        let lazy = self.settings.lazyfree_lazy_eviction;
        self.drop_entry(entry, lazy);
        self.stats.evicted_keys += 1;
        let before = world.allocated_bytes();
        let word: &[u8] = if lazy { b"UNLINK" } else { b"DEL" };
        self.propagation.command(db, [word, key]);
        self.touched(View::of_server(db), key, Classes::EVICTED, "evicted");
        world.allocated_bytes().saturating_sub(before)
    }

    fn eviction_candidate(&mut self, policy: MaxmemoryPolicy) -> Option<(usize, Box<[u8]>)> {
        if policy.is_random() { self.random_candidate(policy) } else { self.best_candidate(policy) }
    }

    /// Any key, from each database in turn.
    fn random_candidate(&mut self, policy: MaxmemoryPolicy) -> Option<(usize, Box<[u8]>)> {
        for _ in 0..self.keyspace.len() {
            let db = self.eviction.next_db % self.keyspace.len();
            self.eviction.next_db = db + 1;
            if let Some(entry) = policy.sample(self.keyspace.db(db), &mut self.rng) {
                let key = entry.key().into();
                return Some((db, key));
            }
        }
        None
    }

    /// The best of the pool, after some samples of every database.
    fn best_candidate(&mut self, policy: MaxmemoryPolicy) -> Option<(usize, Box<[u8]>)> {
        if self.eviction.policy != policy {
            // Scores of different policies do not compare.
            self.eviction = EvictionState { policy, ..EvictionState::default() };
        }
        loop {
            let mut is_empty = true;
            for db in 0..self.keyspace.len() {
                for _ in 0..self.settings.maxmemory_samples.max(1) {
                    let Some(entry) = policy.sample(self.keyspace.db(db), &mut self.rng) else {
                        break;
                    };
                    is_empty = false;
                    let score = self.eviction_score(policy, entry);
                    if self.eviction.wants(score) {
                        let key = entry.key().into();
                        self.eviction.add(Candidate { score, db, key });
                    }
                }
            }
            if is_empty {
                self.eviction.pool.clear();
                return None;
            }
            while let Some(best) = self.eviction.pool.pop() {
                let entry = self.keyspace.db(best.db).get(&*best.key);
                // Since it was sampled it may have gone, or been used.
                let still = entry.is_some_and(|entry| {
                    (!policy.is_volatile() || entry.expire_ms().is_some())
                        && self.eviction_score(policy, entry) >= best.score
                });
                if still {
                    return Some((best.db, best.key));
                }
            }
        }
    }

    /// How much the entry should go.
    fn eviction_score(&self, policy: MaxmemoryPolicy, entry: &Entry) -> u64 {
        match policy {
            MaxmemoryPolicy::VolatileTtl => {
                // The sooner it would go by itself; before 1970 sorts as before everything.
                let at_ms = entry.expire_ms().unwrap_or(i64::MAX);
                i64::MAX.abs_diff(at_ms)
            }
            _ if policy.is_lfu() => u64::from(u8::MAX - self.frequency(entry.clock())),
            _ => u64::from(self.idle_s(entry.clock())),
        }
    }
}
