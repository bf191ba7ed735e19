//! Owns expiry: which keys are gone by time, the deletion on access, and the cycle that finds
//! those which nobody asks for.
//!
//! Only a master expires. A replica never deletes on its own, so that it stays equal to its master,
//! but a reader never sees a key whose time is up. A writable replica deletes what its master told it
//! to expire only when the master says so; keys of its own are `replica_expiry`'s.

use store::{OwnedEntry, Value};

use crate::Engine;
use crate::data::view::View;
use crate::engine::Role;
use crate::events::notify::Classes;
use crate::world::{Action, Garbage, Now, World};

/// Keys looked at between two looks at the clock.
const KEYS_PER_STEP: usize = 20;
/// A fast cycle before the loop sleeps takes at most this, and not more often than twice this.
const FAST_CYCLE_US: u64 = 1000;
/// Share of a cron period that a slow cycle may take, in percent, at effort 1.
const SLOW_CYCLE_PERCENT: u64 = 25;
/// A cycle goes on while more than this share of the looked-at keys was stale, in percent.
const ACCEPTABLE_STALE_PERCENT: usize = 10;
/// Without a clock that moves (tests, simulation) a cycle still ends.
const MAX_STEPS: usize = 10_000;

/// Values of fewer allocations are freed at once even where lazy freeing is asked for.
const FREE_NOW: usize = 64;

/// Where the cycle stands between its runs.
#[derive(Debug, Default)]
pub struct ExpireState {
    db: usize,
    cursors: Vec<u64>,
    /// A running estimate of each database's mean time to live.
    avg_ttl_ms: Vec<i64>,
    last_fast_us: u64,
    time_cap_reached: bool,
    due: Vec<Box<[u8]>>,
}

impl ExpireState {
    /// A few samples a time, weighed 2 % each: what INFO keyspace shows as avg_ttl.
    fn record_ttl(&mut self, db: usize, sample_ms: i64) {
        if self.avg_ttl_ms.len() <= db {
            self.avg_ttl_ms.resize(db + 1, 0);
        }
        let avg = &mut self.avg_ttl_ms[db];
        *avg = if *avg == 0 { sample_ms } else { (*avg / 50) * 49 + sample_ms / 50 };
    }

    pub(crate) fn avg_ttl_ms(&self, db: usize) -> i64 {
        self.avg_ttl_ms.get(db).copied().unwrap_or(0)
    }
}

impl Engine {
    /// Deletes the key if its time is up, unless it was found by a command that may not say so.
    pub(crate) fn expire_if_needed(&mut self, db: View, key: &[u8]) {
        let now_ms = self.now.unix_ms();
        let entry = self.keyspace.db(db.index()).get(key);
        if !db.sees_expired && entry.is_some_and(|entry| entry.is_expired(now_ms)) {
            self.expire_found(db, key);
        }
    }

    /// A command has come across a key whose time is up: on a master it is deleted for that.
    #[cold]
    pub(crate) fn expire_found(&mut self, db: View, key: &[u8]) {
        if self.role == Role::Master && !self.loading && !self.is_paused() {
            self.delete_expired(db.index(), key);
        }
    }

    pub(crate) fn delete_expired(&mut self, db: usize, key: &[u8]) {
        let Some(entry) = self.keyspace.db_mut(db).remove(key) else { return };
        self.drop_entry(entry, self.settings.lazyfree_lazy_expire);
        self.stats.expired_keys += 1;
        self.propagate_expired(db, key);
        self.touched(View::of_server(db), key, Classes::EXPIRED, "expired");
    }

    fn propagate_expired(&mut self, db: usize, key: &[u8]) {
        let word: &[u8] = if self.settings.lazyfree_lazy_expire { b"UNLINK" } else { b"DEL" };
        self.propagation.command(db, [word, key]);
    }

    /// Deletes from the replicas what a loaded snapshot had and was dropped for its time.
    pub fn propagate_dropped(&mut self, expired: &[(usize, Box<[u8]>)], world: &mut dyn World) {
        for (db, key) in expired {
            self.propagate_expired(*db, key);
        }
        self.end_unit_of_deletions(world);
    }

    /// Frees what a command has removed; large values away from the loop when `lazy`.
    pub(crate) fn drop_entry(&mut self, entry: OwnedEntry, lazy: bool) {
        if lazy && entry.free_effort() > FREE_NOW {
            self.garbage.push(Garbage(Box::new(entry)));
        }
    }

    /// Frees a value that was overwritten, away from the loop if it is large and the setting says so.
    pub(crate) fn drop_value(&mut self, value: Value) {
        if self.settings.lazyfree_lazy_server_del && value.free_effort() > FREE_NOW {
            self.garbage.push(Garbage(Box::new(value)));
        }
    }

    /// Hands what lazy free has collected to the world's helper thread.
    pub(crate) fn flush_garbage(&mut self, world: &mut dyn World) {
        for garbage in self.garbage.drain(..) {
            self.stats.lazyfreed_objects += 1;
            // Nothing to tell anybody: a world that cannot take it drops it here and now.
            let _ = world.perform(Action::LazyFree(garbage), &mut self.keyspace);
        }
    }

    /// The short cycle before the loop sleeps, when the last one ran out of time.
    pub(crate) fn fast_expire_cycle(&mut self, now: Now, world: &mut dyn World) {
        let rested = now.mono_us.saturating_sub(self.expire.last_fast_us) >= 2 * FAST_CYCLE_US;
        if self.expire.time_cap_reached && rested {
            self.expire.last_fast_us = now.mono_us;
            self.expire_cycle(now, world, FAST_CYCLE_US);
        }
    }

    /// The cycle of the cron.
    pub(crate) fn slow_expire_cycle(&mut self, now: Now, world: &mut dyn World) {
        let period_us = 1_000_000 / u64::from(self.settings.hz.max(1));
        let effort = u64::from(self.settings.active_expire_effort.clamp(1, 10) - 1);
        self.expire_cycle(now, world, period_us * (SLOW_CYCLE_PERCENT + 2 * effort) / 100);
    }

    fn expire_cycle(&mut self, now: Now, world: &mut dyn World, budget_us: u64) {
        if !self.active_expire || self.role != Role::Master || self.loading || self.is_paused() {
            return;
        }
        self.now = now;
        let begin_us = world.mono_us();
        let dbs = self.keyspace.len();
        self.expire.cursors.resize(dbs, 0);
        self.expire.time_cap_reached = false;
        let (mut looked, mut stale, mut steps) = (0, 0, 0);
        for _ in 0..dbs {
            let db = self.expire.db % dbs;
            // Half of the time is the keys'.
            let fields_end_us = begin_us + budget_us / 2;
            self.expire_fields_of(db, world, |world| world.mono_us() > fields_end_us);
            loop {
                let (seen, due) = self.expire_step(db, now.unix_ms());
                looked += seen;
                stale += due;
                steps += 1;
                if world.mono_us().saturating_sub(begin_us) > budget_us || steps >= MAX_STEPS {
                    self.expire.time_cap_reached = true;
                    self.stats.expired_time_cap_reached += 1;
                    break;
                }
                if due * 100 <= seen * ACCEPTABLE_STALE_PERCENT {
                    break;
                }
            }
            if self.expire.time_cap_reached {
                break;
            }
            self.expire.db = (self.expire.db + 1) % dbs;
        }
        self.end_unit_of_deletions(world);
        self.serve_ready_keys(world);
        let took_us = world.mono_us().saturating_sub(begin_us);
        self.stats.expire_cycle_cpu_us += took_us;
        self.record_latency("expire-cycle", took_us);
        if looked > 0 {
            let now_perc = stale as f64 * 100.0 / looked as f64;
            self.stats.expired_stale_perc = now_perc * 0.05 + self.stats.expired_stale_perc * 0.95;
        }
    }

    /// Looks at a few keys with an expiry; how many, and how many of them were due.
    fn expire_step(&mut self, db: usize, now_ms: i64) -> (usize, usize) {
        let mut due = std::mem::take(&mut self.expire.due);
        let mut seen = 0;
        let cursor = self.expire.cursors[db];
        // Expiries may lie at the end of time: their sum does not fit what each of them does.
        let mut ttl_sum_ms: i128 = 0;
        let next = self.keyspace.db(db).expire_scan(cursor, KEYS_PER_STEP, |entry| {
            seen += 1;
            if entry.is_expired(now_ms) {
                due.push(entry.key().into());
            } else {
                ttl_sum_ms +=
                    entry.expire_ms().map_or(0, |at_ms| i128::from(at_ms) - i128::from(now_ms));
            }
        });
        if seen > due.len() {
            self.expire.record_ttl(db, (ttl_sum_ms / (seen - due.len()) as i128) as i64);
        }
        self.expire.cursors[db] = next;
        let count = due.len();
        for key in due.drain(..) {
            self.delete_expired(db, &key);
        }
        self.expire.due = due;
        (seen, count)
    }

    /// Deletions by expiry or eviction mean the same each on its own: no transaction around them.
    pub(crate) fn end_unit_of_deletions(&mut self, world: &mut dyn World) {
        self.propagation.set_no_multi();
        self.end_unit(world);
        self.flush_garbage(world);
    }

    /// Clients' writes wait, and nothing else may change either.
    pub fn is_paused(&self) -> bool {
        self.pauses.in_force(self.now.mono_us).is_some()
    }

    /// What the loop calls before it sleeps, after it has run what was readable.
    pub fn before_sleep(&mut self, now: Now, world: &mut dyn World) {
        self.fast_expire_cycle(now, world);
        self.continue_eviction(world);
        self.flush_garbage(world);
    }

    /// What the loop calls `hz` times a second.
    pub fn cron(&mut self, now: Now, world: &mut dyn World) {
        self.now = now;
        self.slow_expire_cycle(now, world);
        self.expire_local_keys(world);
        self.eviction_cron(world);
        self.limit_tracking_table();
        self.stats.ops_per_sec.sample(self.stats.total_commands, now.mono_us);
        if self.settings.activerehashing {
            self.rehash_some(world);
        }
    }

    /// About a millisecond of moving buckets, database by database.
    fn rehash_some(&mut self, world: &mut dyn World) {
        let begin_us = world.mono_us();
        for db in 0..self.keyspace.len() {
            for _ in 0..100 {
                if !self.keyspace.db_mut(db).rehash_for(100) {
                    break;
                }
                if world.mono_us().saturating_sub(begin_us) > 1000 {
                    return;
                }
            }
        }
    }
}
