//! The one place where the process reads the time.
//!
//! Every layer below takes the time as an argument; this is where that argument comes from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::Now;

/// Both clocks at this moment.
pub fn now() -> Now {
    Now { unix_us: unix_us(), mono_us: mono_us() }
}

/// Microseconds since the Unix epoch; 0 if the clock stands before it.
pub fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() as u64
}

/// Microseconds of a clock that only goes forward, from an arbitrary start.
pub fn mono_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to, and CLOCK_MONOTONIC exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}
