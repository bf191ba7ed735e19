//! Active defragmentation: when a walk over the data set begins, how much of the processor it takes, and what it is
//! told to have done. What moves, and how, is the store's; what is sparse, the allocator's.
//!
//! A walk goes on in cycles of `active-defrag-cycle-us`, with pauses between them that leave it the share it is
//! to have. So nobody waits longer for it than for one cycle, whatever the share.

use log::{debug, warn};
use store::db::Place;
use store::{Keyspace, Mover};

use crate::config::Memory;
use crate::process::clock;
use crate::process::heap::Jemalloc;
use crate::process::memory::{AllocatorFigures, allocator_figures};

/// How often it is looked whether there is something to do.
const LOOK_EVERY_US: u64 = 1_000_000;
/// While a child shares the memory, what moves would be copied, and it is looked again so often.
const HELD_PAUSE_US: u64 = 100_000;
/// A walk that has given back less than one part in so many of what was wasted was of no use.
const USELESS: u64 = 20;
/// After one, the next waits for so many times its length, within bounds,
const REST: u64 = 10;
const REST_US: std::ops::RangeInclusive<u64> = 10_000_000..=600_000_000;
/// or until there is one part in so many more to gain.
const GROWN: u64 = 4;

#[derive(Clone, Copy, Debug, Default)]
pub struct DefragStats {
    pub moved: u64,
    pub kept: u64,
    pub moved_keys: u64,
    pub kept_keys: u64,
    /// Of the walks that have ended.
    total_us: u64,
}

/// A walk under way.
struct Walk {
    /// Share of the processor.
    percent: u32,
    began_us: u64,
    wasted_bytes: u64,
    next_cycle_us: u64,
    db: usize,
    place: Place,
    moved: u64,
}

/// After a walk that was of no use.
struct Rest {
    until_us: u64,
    /// The least that was wasted since: only what has come on top of it can be worth a walk.
    wasted_bytes: u64,
}

impl Rest {
    fn is_over(&mut self, waste: Waste, now_us: u64) -> bool {
        self.wasted_bytes = self.wasted_bytes.min(waste.bytes);
        now_us >= self.until_us || waste.bytes > self.wasted_bytes + self.wasted_bytes / GROWN
    }
}

pub struct Defrag {
    heap: Option<Jemalloc>,
    walk: Option<Walk>,
    rest: Option<Rest>,
    look_us: u64,
    /// The share of the last walk, from its beginning to the first look behind its end.
    shown_percent: u32,
    stats: DefragStats,
}

/// What is allocated but not used, in bytes and in percent of what is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Waste {
    bytes: u64,
    percent: f64,
}

impl Waste {
    fn of(figures: AllocatorFigures) -> Waste {
        let bytes = figures.active.saturating_sub(figures.allocated);
        Waste { bytes, percent: bytes as f64 * 100.0 / figures.allocated.max(1) as f64 }
    }

    /// The share of the processor that is to go against it, if any.
    fn effort(self, config: &Memory) -> Option<u32> {
        let lower = f64::from(config.active_defrag_threshold_lower);
        let upper = f64::from(config.active_defrag_threshold_upper);
        if self.percent < lower || self.bytes < config.active_defrag_ignore_bytes {
            return None;
        }
        let (min, max) = (config.active_defrag_cycle_min, config.active_defrag_cycle_max);
        let above = if upper > lower { (self.percent - lower) / (upper - lower) } else { 1.0 };
        let share = f64::from(min) + above.min(1.0) * (f64::from(max) - f64::from(min));
        Some((share as u32).clamp(1, 99))
    }
}

impl Defrag {
    pub fn new() -> Defrag {
        Defrag {
            heap: Jemalloc::new(),
            walk: None,
            rest: None,
            look_us: 0,
            shown_percent: 0,
            stats: DefragStats::default(),
        }
    }

    /// The share of the processor that a walk takes; 0 while there is none. It is told until the next look, however
    /// soon the walk has ended: who asks ten times a second misses most of them otherwise.
    pub fn running_percent(&self) -> u32 {
        self.shown_percent
    }

    pub fn stats(&self) -> DefragStats {
        self.stats
    }

    pub fn current_ms(&self, now_us: u64) -> u64 {
        self.walk.as_ref().map_or(0, |walk| now_us.saturating_sub(walk.began_us) / 1000)
    }

    /// Of all walks.
    pub fn total_ms(&self, now_us: u64) -> u64 {
        self.stats.total_us / 1000 + self.current_ms(now_us)
    }

    pub fn reset_stats(&mut self) {
        self.stats = DefragStats::default();
    }

    /// When the next cycle is due, if a walk is under way.
    pub fn due_us(&self) -> Option<u64> {
        self.walk.as_ref().map(|walk| walk.next_cycle_us)
    }

    /// Looks, now and then, whether a walk is to begin. `child`: one shares the memory.
    pub fn cron(&mut self, config: &Memory, child: bool, now_us: u64) {
        if !config.activedefrag {
            if self.end(now_us).is_some() {
                debug!("Active defrag was turned off");
            }
            (self.look_us, self.rest, self.shown_percent) = (0, None, 0);
            return;
        }
        if now_us < self.look_us {
            return;
        }
        self.shown_percent = self.walk.as_ref().map_or(0, |walk| walk.percent);
        if child {
            return;
        }
        if self.heap.is_none() {
            warn!("activedefrag has no effect: this allocator does not tell what is sparse");
            self.look_us = u64::MAX;
            return;
        }
        self.look_us = now_us + LOOK_EVERY_US;
        let waste = Waste::of(allocator_figures());
        if self.rest.as_mut().is_some_and(|rest| !rest.is_over(waste, now_us)) {
            return;
        }
        self.rest = None;
        let Some(percent) = waste.effort(config) else { return };
        match &mut self.walk {
            // It becomes less while the walk goes on; what was begun is not slowed down for that.
            Some(walk) => walk.percent = walk.percent.max(percent),
            None => self.begin(percent, waste, now_us),
        }
    }

    /// One cycle of the walk under way; how long it took. `held`: nothing is to move now.
    pub fn cycle(&mut self, config: &Memory, keyspace: &mut Keyspace, held: bool) -> u64 {
        let began_us = clock::mono_us();
        let (Some(walk), Some(heap)) = (&mut self.walk, &mut self.heap) else { return 0 };
        if held {
            walk.next_cycle_us = began_us + HELD_PAUSE_US;
            return 0;
        }
        let cycle_us = u64::from(config.active_defrag_cycle_us);
        let max_elements =
            usize::try_from(config.active_defrag_max_scan_fields).unwrap_or(usize::MAX);
        let mut mover = Mover::new(heap);
        let mut is_at_end = false;
        // The clock is looked at after every step: a step looks at some tens of blocks.
        while !is_at_end && clock::mono_us() < began_us + cycle_us {
            let db = keyspace.db_mut(walk.db);
            let walked = db.relocate_from(&mut walk.place, max_elements, &mut mover);
            self.stats.moved_keys += walked.moved_keys;
            self.stats.kept_keys += walked.kept_keys;
            if walked.is_at_end {
                (walk.db, walk.place) = (walk.db + 1, Place::default());
                is_at_end = walk.db == keyspace.len();
            }
        }
        self.stats.moved += mover.moved;
        self.stats.kept += mover.kept;
        walk.moved += mover.moved;
        let now_us = clock::mono_us();
        let took_us = now_us.saturating_sub(began_us);
        let percent = u64::from(walk.percent);
        walk.next_cycle_us = now_us + took_us * (100 - percent) / percent;
        if is_at_end {
            self.walk_ended(config, now_us);
        }
        took_us
    }

    fn walk_ended(&mut self, config: &Memory, now_us: u64) {
        let Some(walk) = self.end(now_us) else { return };
        let waste = Waste::of(allocator_figures());
        let took_us = now_us.saturating_sub(walk.began_us);
        debug!(
            "Active defrag done in {}ms, reallocated={}, frag={:.0}%, frag_bytes={}",
            took_us / 1000,
            walk.moved,
            waste.percent,
            waste.bytes
        );
        let Some(percent) = waste.effort(config) else { return };
        if waste.bytes + walk.wasted_bytes / USELESS < walk.wasted_bytes {
            return self.begin(percent, waste, now_us);
        }
        // What is wasted is where nothing of the data set lies: another walk would do no better.
        let rest_us = (took_us * REST).clamp(*REST_US.start(), *REST_US.end());
        self.rest = Some(Rest { until_us: now_us + rest_us, wasted_bytes: waste.bytes });
        debug!("Active defrag gained too little, and rests for {} seconds", rest_us / 1_000_000);
    }

    fn begin(&mut self, percent: u32, waste: Waste, now_us: u64) {
        debug!(
            "Starting active defrag, frag={:.0}%, frag_bytes={}, cpu={percent}%",
            waste.percent, waste.bytes
        );
        self.shown_percent = percent;
        self.walk = Some(Walk {
            percent,
            began_us: now_us,
            wasted_bytes: waste.bytes,
            next_cycle_us: now_us,
            db: 0,
            place: Place::default(),
            moved: 0,
        });
    }

    /// The walk is at its end, or is given up.
    fn end(&mut self, now_us: u64) -> Option<Walk> {
        let walk = self.walk.take()?;
        self.stats.total_us += now_us.saturating_sub(walk.began_us);
        Some(walk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effort(active: u64, allocated: u64, change: impl FnOnce(&mut Memory)) -> Option<u32> {
        let mut config = crate::config::Config::default().memory;
        change(&mut config);
        Waste::of(AllocatorFigures { allocated, active, resident: active, muzzy: 0 })
            .effort(&config)
    }

    #[test]
    fn a_rest_ends_in_time_or_when_there_is_more_to_gain() {
        let waste = |bytes| Waste { bytes, percent: 50.0 };
        let mut rest = Rest { until_us: 1000, wasted_bytes: 400 };
        assert!(!rest.is_over(waste(400), 0));
        assert!(!rest.is_over(waste(500), 999));
        assert!(rest.is_over(waste(400), 1000));
        assert!(rest.is_over(waste(501), 0));
        // What had gone has come back: it is not where nothing of the data set lies.
        assert!(!rest.is_over(waste(200), 0));
        assert!(rest.is_over(waste(251), 0));
    }

    #[test]
    fn a_short_walk_is_told_of_until_the_next_look() {
        let config = Memory { activedefrag: true, ..crate::config::Config::default().memory };
        let mut defrag = Defrag::new();
        defrag.cron(&config, false, 0);
        defrag.look_us = LOOK_EVERY_US;
        defrag.begin(30, Waste { bytes: 1, percent: 50.0 }, 10);
        defrag.end(20);
        defrag.cron(&config, false, LOOK_EVERY_US - 1);
        assert_eq!(defrag.running_percent(), 30);
        // While a child is there no walk begins, but none is told of either.
        defrag.cron(&config, true, LOOK_EVERY_US);
        assert_eq!(defrag.running_percent(), 0);
        defrag.begin(40, Waste { bytes: 1, percent: 50.0 }, 10);
        defrag.cron(&Memory { activedefrag: false, ..config }, false, 20);
        assert_eq!(defrag.running_percent(), 0);
    }

    #[test]
    fn the_effort_grows_from_one_threshold_to_the_other() {
        let mb = 1 << 20;
        assert_eq!(effort(1090 * mb, 1000 * mb, |_| {}), None);
        assert_eq!(effort(1100 * mb, 1000 * mb, |_| {}), Some(1));
        assert_eq!(effort(1550 * mb, 1000 * mb, |_| {}), Some(13));
        assert_eq!(effort(2000 * mb, 1000 * mb, |_| {}), Some(25));
        assert_eq!(effort(9000 * mb, 1000 * mb, |_| {}), Some(25));
        // Much of little.
        assert_eq!(effort(150 * mb, 60 * mb, |_| {}), None);
        assert!(effort(150 * mb, 60 * mb, |c| c.active_defrag_ignore_bytes = 50 * mb).is_some());
        // Bounds the wrong way around, and nothing allocated at all.
        assert_eq!(effort(2000 * mb, 1000 * mb, |c| c.active_defrag_threshold_upper = 5), Some(25));
        assert_eq!(effort(2000 * mb, 1000 * mb, |c| c.active_defrag_cycle_min = 90), Some(25));
        assert!(effort(2000 * mb, 0, |_| {}).is_some());
    }
}
