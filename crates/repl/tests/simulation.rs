//! A thousand small clusters, each from one seed, under a network that does its worst, with a tiny
//! key-value model in place of the engine. A failure prints its seed and the line that replays it.

use testkit::sim::plan::run_seed;
use testkit::sim::{EVENTS, Model, Seen};

const REPLAY: &str = "cargo test -p repl --test simulation -- replay --nocapture";

/// Runs the seeds, and checks that they went through everything that they are there for.
fn run_range(first: u64, count: u64) {
    let mut seen = Seen::default();
    for seed in first..first + count {
        seen.add(&run_seed::<Model>(seed, REPLAY));
    }
    eprintln!("seeds {first}..{}: {:#?}", first + count, seen.0);
    for event in EVENTS {
        let times = seen.0.get(event).copied().unwrap_or(0);
        assert!(times > 0, "no seed of {first}..{} came to: {event}", first + count);
    }
}

// Two tests, so that they run side by side.

#[test]
fn seeds_0_to_499() {
    run_range(0, 500);
}

#[test]
fn seeds_500_to_999() {
    run_range(500, 500);
}

/// Runs the seed in `SIM_SEED`; `SIM_LOUD` prints the logs as they come. Without a seed, runs one.
#[test]
fn replay() {
    let seed = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    run_seed::<Model>(seed, REPLAY);
}
