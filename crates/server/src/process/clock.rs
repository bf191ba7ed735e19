//! The one place where the process reads the time.
//!
//! Every layer below takes the time as an argument; this is where that argument comes from.

use engine::Now;

/// Both clocks at this moment.
pub fn now() -> Now {
    Now { unix_us: unix_us(), mono_us: mono_us() }
}

/// Microseconds since the Unix epoch; 0 if the clock stands before it.
pub fn unix_us() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// Microseconds of a clock that only goes forward, from an arbitrary start.
pub fn mono_us() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to, and both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec.max(0) as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}
