//! Two thousand small clusters of whole nodes, the ones that ship, under a network and disks that do their
//! worst. A failure prints its seed and the line that replays it.

use testkit::sim::plan::run_seed;
use testkit::sim::{EVENTS, Seen};

const REPLAY: &str = "cargo test -p tandem-tests --test simulation -- replay --nocapture";

/// Runs the seeds, and checks that they went through everything that they are there for.
fn run_range(first: u64, count: u64) {
    let mut seen = Seen::default();
    for seed in first..first + count {
        seen.add(&run_seed(seed, REPLAY));
    }
    eprintln!("seeds {first}..{}: {:#?}", first + count, seen.0);
    for event in EVENTS {
        let times = seen.0.get(event).copied().unwrap_or(0);
        assert!(times > 0, "no seed of {first}..{} came to: {event}", first + count);
    }
}

// Two tests, so that they run side by side.

#[test]
fn seeds_0_to_999() {
    run_range(0, 1000);
}

#[test]
fn seeds_1000_to_1999() {
    run_range(1000, 1000);
}

/// Runs the seed in `SIM_SEED`, or `SIM_SEEDS` of them from there on; `SIM_LOUD` prints the logs as they
/// come. Without a seed, runs one.
#[test]
fn replay() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("SIM_SEED").unwrap_or(0);
    let mut seen = Seen::default();
    for seed in first..first + number("SIM_SEEDS").unwrap_or(1) {
        seen.add(&run_seed(seed, REPLAY));
    }
    eprintln!("{:#?}", seen.0);
}
