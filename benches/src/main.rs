//! `make bench`: Tandem beside Debian's redis-server, in the same run on the same machine; prints a
//! table of medians, their ratios and the ratios aimed at.
//!
//! Must not: assert anything about time. A busy machine makes figures worse, never a failure.
//!
//! Arguments: `--only cpu|types|tls|memory|elements|sync|load` (repeatable), `--runs N`, `--quick` (a tenth of the work),
//! and `--self` (Debian's server on both sides: how far apart equal things come out). `TANDEM_PEER_SERVER` names a
//! server of Redis 8 or later, for the rows about what Debian's does not know.

mod cpu;
mod elements;
mod peer;
mod snapshot;
mod table;

use testkit::Kind;

use crate::table::Table;

/// What is measured, how often, and on whom.
#[derive(Debug)]
pub struct Plan {
    pub sides: [Kind; 2],
    pub runs: usize,
    /// Divides counts of requests and keys.
    pub divisor: usize,
    only: Vec<String>,
}

impl Plan {
    fn from_args(args: impl Iterator<Item = String>) -> Result<Plan, String> {
        let mut plan =
            Plan { sides: [Kind::Redis, Kind::Tandem], runs: 5, divisor: 1, only: Vec::new() };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--only" => plan.only.push(value()?),
                "--runs" => plan.runs = value()?.parse().map_err(|_| "--runs needs a number")?,
                "--quick" => plan.divisor = 10,
                "--self" => plan.sides = [Kind::Redis, Kind::Redis],
                _ => return Err(format!("unknown argument {arg}")),
            }
        }
        if plan.runs == 0 {
            return Err("--runs needs at least 1".into());
        }
        Ok(plan)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// The median of `runs` measurements of each side, taken by turns so that both meet the same noise.
    pub fn medians(&self, mut measure: impl FnMut(usize) -> f64) -> [f64; 2] {
        let mut figures = [Vec::new(), Vec::new()];
        for run in 0..self.runs {
            for turn in 0..2 {
                let side = (run + turn) % 2;
                figures[side].push(measure(side));
            }
        }
        figures.map(|mut list| {
            list.sort_by(f64::total_cmp);
            list[list.len() / 2]
        })
    }
}

fn main() {
    let plan = match Plan::from_args(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("bench: {why}");
            std::process::exit(2);
        }
    };
    let mut table = Table::new(&plan);
    println!("{}", table.heading());
    if plan.wants("cpu") {
        cpu::measure(&plan, &mut table);
    }
    if plan.wants("types") {
        cpu::measure_types(&plan, &mut table);
    }
    if plan.wants("tls") {
        cpu::measure_tls(&plan, &mut table);
        snapshot::measure_tls_sync(&plan, &mut table);
    }
    if plan.wants("memory") {
        snapshot::measure_memory(&plan, &mut table);
    }
    if plan.wants("elements") {
        elements::measure(&plan, &mut table);
    }
    if plan.wants("sync") {
        snapshot::measure_sync(&plan, &mut table);
    }
    if plan.wants("load") {
        snapshot::measure_load(&plan, &mut table);
    }
    println!("{}", table.summary());
}
