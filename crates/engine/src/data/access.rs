//! Owns how entries remember their use: in seconds for LRU policies, in minutes and a counter for
//! LFU ones, in the same 24 bits.
//!
//! A policy that changes while the server runs leaves the bits as they are: they come right with
//! the next use of each key, as in Redis.

use fastrand::Rng;
use persist::rdb::Access;
use store::{Entry, lfu};

use crate::Engine;
use crate::settings::Settings;
use crate::world::Now;

/// The LRU clock: seconds modulo 2^24, as OBJECT IDLETIME counts.
#[inline]
pub(crate) fn seconds(now: Now) -> u32 {
    (now.unix_us / 1_000_000) as u32 & 0xFF_FFFF
}

/// The LFU clock: minutes modulo 2^16.
pub(crate) fn minutes(now: Now) -> u16 {
    (now.unix_s() / 60) as u16
}

/// Notes a use of the entry. Its parts are handed over one by one, since the entry is borrowed
/// from the engine.
#[inline]
pub(crate) fn touch(entry: &Entry, now: Now, settings: &Settings, rng: &mut Rng) {
    if settings.maxmemory_policy.is_lfu() {
        return touch_lfu(entry, now, settings, rng);
    }
    entry.touch(seconds(now));
}

#[cold]
fn touch_lfu(entry: &Entry, now: Now, settings: &Settings, rng: &mut Rng) {
    let (decay_time_min, log_factor) = (settings.lfu_decay_time_min, settings.lfu_log_factor);
    entry.touch(lfu::used(entry.clock(), minutes(now), decay_time_min, log_factor, rng));
}

/// What a new entry begins with.
#[inline]
pub(crate) fn birth_clock(now: Now, settings: &Settings) -> u32 {
    if settings.maxmemory_policy.is_lfu() {
        return lfu::pack(minutes(now), lfu::INITIAL);
    }
    seconds(now)
}

impl Engine {
    /// What a snapshot keeps of the entries' use: as much as the policy goes by.
    pub fn snapshot_access(&self) -> Option<Access> {
        let policy = self.settings.maxmemory_policy;
        if policy.is_lfu() {
            let decay_time_min = self.settings.lfu_decay_time_min;
            return Some(Access::Lfu { now_minutes: minutes(self.now), decay_time_min });
        }
        policy.is_lru().then(|| Access::Lru { now: seconds(self.now) })
    }

    /// Seconds since the entry with this clock was last used, under an LRU policy.
    pub(crate) fn idle_s(&self, clock: u32) -> u32 {
        seconds(self.now).wrapping_sub(clock) & 0xFF_FFFF
    }

    /// The use counter of the entry with this clock, under an LFU policy.
    pub(crate) fn frequency(&self, clock: u32) -> u8 {
        lfu::decayed(clock, minutes(self.now), self.settings.lfu_decay_time_min)
    }
}
