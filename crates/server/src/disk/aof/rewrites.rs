//! When a rewrite of the append-only file is due, and how the last ones went. Knows no file: what a rewrite does
//! is in `rewriting.rs`.

use log::warn;

/// From this many failures in a row on, automatic rewrites pause: 1 minute, then 2, 4, ...
const FAILURES_BEFORE_PAUSE: u32 = 3;
const PAUSE_MAX_MINUTES: u64 = 60;

/// How the last ones went, for INFO.
#[derive(Clone, Copy, Debug)]
pub struct RewriteFigures {
    pub rewrites: u64,
    pub last_ok: bool,
    /// Seconds that the last one took, -1 before the first.
    pub last_s: i64,
    pub last_cow_bytes: u64,
    pub consecutive_failures: u32,
    pub is_scheduled: bool,
}

#[derive(Debug)]
pub struct Rewrites {
    figures: RewriteFigures,
    /// After repeated failures automatic rewrites pause until then.
    paused_until_us: u64,
    /// The pause that comes next is twice as long.
    pause_minutes: u64,
}

impl Rewrites {
    pub fn new() -> Rewrites {
        Rewrites {
            figures: RewriteFigures {
                rewrites: 0,
                last_ok: true,
                last_s: -1,
                last_cow_bytes: 0,
                consecutive_failures: 0,
                is_scheduled: false,
            },
            paused_until_us: 0,
            pause_minutes: 0,
        }
    }

    pub fn figures(&self) -> RewriteFigures {
        self.figures
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.figures.rewrites = 0;
    }

    pub fn schedule(&mut self) {
        self.figures.is_scheduled = true;
    }

    /// Who asks for one is not to wait because the last ones failed.
    pub fn schedule_asked_for(&mut self) {
        self.schedule();
        self.figures.consecutive_failures = 0;
    }

    pub fn unschedule(&mut self) {
        self.figures.is_scheduled = false;
    }

    /// What the next one is needed for need not be put off any longer.
    pub fn end_pause(&mut self) {
        self.paused_until_us = 1;
    }

    /// A child is done, well or not.
    pub fn ended(&mut self, took_us: u64, cow_bytes: u64) {
        self.figures.last_s = (took_us / 1_000_000) as i64;
        self.figures.last_cow_bytes = cow_bytes;
    }

    pub fn succeeded(&mut self) {
        self.figures.rewrites += 1;
        self.figures.last_ok = true;
        self.figures.consecutive_failures = 0;
    }

    pub fn failed(&mut self) {
        self.figures.last_ok = false;
        self.figures.consecutive_failures += 1;
    }

    /// Whether one that is due has to wait, because the last ones have failed one after another.
    pub fn must_pause(&mut self, now_us: u64) -> bool {
        if self.figures.consecutive_failures < FAILURES_BEFORE_PAUSE {
            (self.paused_until_us, self.pause_minutes) = (0, 0);
            return false;
        }
        if self.paused_until_us != 0 {
            let is_over = now_us >= self.paused_until_us;
            if is_over {
                self.paused_until_us = 0;
            }
            return !is_over;
        }
        let minutes = (2 * self.pause_minutes).clamp(1, PAUSE_MAX_MINUTES);
        self.pause_minutes = minutes;
        self.paused_until_us = now_us + minutes * 60_000_000;
        warn!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in \
             {minutes} minutes"
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: u64 = 60_000_000;

    #[test]
    fn after_failures_in_a_row_the_next_ones_wait_twice_as_long_each_time() {
        let mut rewrites = Rewrites::new();
        for _ in 0..2 {
            rewrites.failed();
            assert!(!rewrites.must_pause(0));
        }
        rewrites.failed();
        let mut now_us = 0;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(rewrites.must_pause(now_us), "before the attempt after {minutes} minutes");
            now_us += minutes * MINUTE_US;
            assert!(rewrites.must_pause(now_us - 1));
            assert!(!rewrites.must_pause(now_us));
            rewrites.failed();
        }
        assert!(rewrites.must_pause(now_us));
        rewrites.end_pause();
        assert!(!rewrites.must_pause(now_us), "it is needed at once");
        assert!(rewrites.must_pause(now_us));
        rewrites.schedule_asked_for();
        assert!(!rewrites.must_pause(now_us), "somebody asks for it");
    }
}
