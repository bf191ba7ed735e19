//! `rdb-key-save-delay` and `key-load-delay`: waiting after each key, so that tests can look at a snapshot
//! while it is made or loaded. Owns how long; must not be used for anything else.

use std::thread;
use std::time::Duration;

/// Waits after keys, by the directive's number: microseconds a key, or, below zero, so many keys a
/// microsecond, because no sleep is that short.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyDelay {
    keys: u32,
}

impl KeyDelay {
    pub fn after_key(&mut self, delay_us: i32) {
        if delay_us > 0 {
            thread::sleep(Duration::from_micros(delay_us as u64));
        } else if delay_us < 0 {
            self.keys += 1;
            if self.keys >= delay_us.unsigned_abs() {
                self.keys = 0;
                thread::sleep(Duration::from_micros(1));
            }
        }
    }
}
