//! `--intrinsic-latency`: how long the machine keeps a process that only computes from running.
//!
//! Must not: make system calls while it measures, other than for the time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Exit;
use crate::term::{self, out};

pub(super) fn run(seconds: i64) -> Result<(), Exit> {
    let run_time = Duration::from_secs(seconds.max(0) as u64);
    let begun = Instant::now();
    term::note_interrupts();
    let (mut worst_us, mut runs) = (0, 0u64);
    loop {
        let start = Instant::now();
        compute();
        let us = start.elapsed().as_micros();
        runs += 1;
        if us > worst_us {
            worst_us = us;
            out(format!("Max latency so far: {worst_us} microseconds.\n"));
        }
        let elapsed = begun.elapsed();
        if elapsed > run_time || term::was_interrupted() {
            let average_us = elapsed.as_micros() as f64 / runs as f64;
            out(format!(
                "\n{runs} total runs (avg latency: {average_us:.4} microseconds / {:.2} \
                 nanoseconds per run).\n",
                average_us * 1e3
            ));
            let times = worst_us as f64 / average_us;
            out(format!("Worst run took {times:.0}x longer than the average latency.\n"));
            return Ok(());
        }
    }
}

/// Some microseconds of work that the compiler cannot know.
fn compute() {
    let mut state: [u8; 256] = std::array::from_fn(|i| i as u8);
    let (mut i, mut j, mut sum) = (0u8, 0u8, 0u64);
    for _ in 0..1000 {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(usize::from(i), usize::from(j));
        let at = state[usize::from(i)].wrapping_add(state[usize::from(j)]);
        sum += u64::from(state[usize::from(at)]);
    }
    black_box(sum);
}
