//! A thousand small clusters, each from one seed, under a network that does its worst, with a tiny
//! key-value model in place of the engine. A failure prints its seed and the line that replays it.

use testkit::sim::Model;
use testkit::sim::plan::run_seed;

const REPLAY: &str = "cargo test -p repl --test simulation -- replay --nocapture";

fn run_range(first: u64, count: u64) {
    for seed in first..first + count {
        run_seed::<Model>(seed, REPLAY);
    }
}

// Four tests, so that they run side by side.

#[test]
fn seeds_0_to_249() {
    run_range(0, 250);
}

#[test]
fn seeds_250_to_499() {
    run_range(250, 250);
}

#[test]
fn seeds_500_to_749() {
    run_range(500, 250);
}

#[test]
fn seeds_750_to_999() {
    run_range(750, 250);
}

/// Runs the seed in `SIM_SEED`; `SIM_LOUD` prints the logs as they come. Without a seed, runs one.
#[test]
fn replay() {
    let seed = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    run_seed::<Model>(seed, REPLAY);
}
