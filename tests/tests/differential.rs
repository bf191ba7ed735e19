//! Random commands of every row of the table, sent to Tandem and to Redis: equal replies, equal data every thousand
//! commands, after a reload, after the append-only file is loaded, at a replica, after a sync.
//!
//! `make differential` sends five million, with `PEER=.../valkey-server` to that program instead of Debian's
//! redis-server: commands and options that a peer lacks are left out. A difference is shrunk to the shortest
//! sequence, which belongs into `differential/sequences.txt` with what was wrong.

#[path = "differential/grammar.rs"]
mod grammar;
#[path = "differential/judge.rs"]
mod judge;
#[path = "differential/maker.rs"]
mod maker;
#[path = "differential/pair.rs"]
mod pair;
#[path = "differential/shrink.rs"]
mod shrink;
#[path = "differential/side.rs"]
mod side;
#[path = "differential/text.rs"]
mod text;
#[path = "differential/values.rs"]
mod values;

use std::collections::BTreeSet;

use maker::Maker;
use pair::{ALL_CHECKS, Check, Difference, Pair};
use text::Step;
use values::Values;

/// Commands on the same data. A run has a seed of its own.
const RUN: usize = 4000;
const COUNT: usize = 20_000;
/// In a long test files and replicas are looked at once in so many runs.
const RUNS_A_CHECK: u64 = 10;
/// In a long test it is told how far it has come once in so many runs.
const RUNS_A_WORD: u64 = 25;
/// Then the rest may be the same defect.
const MOST_DIFFERENCES: usize = 25;

const SEQUENCES: &str = include_str!("differential/sequences.txt");

/// `DIFFERENTIAL_COUNT` commands from seed `DIFFERENTIAL_SEED` on.
#[test]
fn random_commands_are_answered_as_by_redis() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let count = number("DIFFERENTIAL_COUNT").unwrap_or(COUNT);
    let first = number("DIFFERENTIAL_SEED").unwrap_or(1) as u64;
    let mut pair = Pair::start();
    let values = Values::new(pair.payloads());
    let mut maker = Maker::new(pair.rows(), values, pair.peer);
    let mut told = BTreeSet::new();
    let runs = count.div_ceil(RUN) as u64;
    for seed in first..first + runs {
        maker.begin(seed);
        let mut steps: Vec<Step> = (0..RUN.min(count)).map(|_| maker.step()).collect();
        let all = count <= COUNT || seed % RUNS_A_CHECK == 0;
        let checks = if all { &ALL_CHECKS[..] } else { &ALL_CHECKS[..1] };
        while let Some(found) = pair.run(&steps, checks) {
            let (at, is_reply) = (found.steps - 1, found.check.is_none());
            if told.insert(found.what.clone()) {
                tell(&mut pair, seed, &steps, found);
            }
            assert!(told.len() < MOST_DIFFERENCES, "so many differences up to seed {seed}");
            if !is_reply {
                break;
            }
            // Without that one, the others may be equal.
            steps.remove(at);
        }
        let ended = seed - first + 1;
        if ended.is_multiple_of(RUNS_A_WORD) {
            eprintln!("{} of {count} commands, {} differences", ended as usize * RUN, told.len());
        }
    }
    let names = maker.names().count();
    eprintln!("{} commands of {names} rows, from seed {first} on", runs as usize * RUN.min(count));
    assert!(told.is_empty(), "differences, as told above: {told:?}");
}

/// Prints the shortest sequence that ends in the same difference.
fn tell(pair: &mut Pair, seed: u64, steps: &[Step], found: Difference) {
    let checks: Vec<Check> = found.check.into_iter().collect();
    let mut last = found;
    let steps = &steps[..last.steps];
    let what = last.what.clone();
    // To make it shorter may take minutes, and is in vain where it does not come again.
    let end = steps[steps.len() - 1].shown();
    eprintln!("\n# seed {seed}, {what}\n# {}", commented(&last.text));
    eprintln!("# {} steps, to the end of {end}", steps.len());
    if pair.run(steps, &checks).is_none_or(|found| found.what != what) {
        return eprintln!("# did not come again");
    }
    let short = shrink::shrink(steps, |steps| match pair.run(steps, &checks) {
        Some(found) if found.what == what => {
            last = found;
            true
        }
        _ => false,
    });
    eprintln!("# in short: {}", commented(&last.text));
    short.iter().for_each(|step| eprintln!("{}", step.shown()));
}

fn commented(text: &str) -> String {
    text.replace('\n', "\n# ")
}

/// What was once answered otherwise. Sequences stand between empty lines, with the reason before them.
#[test]
fn what_once_differed_is_answered_alike() {
    let mut pair = Pair::start();
    let mut wrong = Vec::new();
    for sequence in SEQUENCES.split("\n\n") {
        let lines = sequence.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let steps: Vec<Step> = lines.map(Step::parse).collect();
        if let Some(found) = pair.run(&steps, &ALL_CHECKS) {
            wrong.push(format!("{}\n{}", sequence.trim(), found.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
