//! Owns the estimate: how many distinct elements leave such registers. After Otmar Ertl, "New cardinality
//! estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284), with the constants and in the order of
//! additions in which Redis computes it: counts are equal to the last digit.

use super::{Histogram, MAX_RUN, REGISTERS};

/// 0.5 / ln 2
const ALPHA_INFINITE: f64 = 0.721_347_520_444_481_7;

pub(super) fn count(histogram: &Histogram) -> u64 {
    let registers = REGISTERS as f64;
    let of = |run: usize| f64::from(histogram[run]);
    let mut sum = registers * tau((registers - of(MAX_RUN)) / registers);
    for run in (1..MAX_RUN).rev() {
        sum = 0.5 * (sum + of(run));
    }
    sum += registers * sigma(of(0) / registers);
    let count = (ALPHA_INFINITE * registers * registers / sum).round();
    // As C converts what it cannot hold: nobody has added so much, but anybody can SET such registers.
    if count < i64::MAX as f64 { count as u64 } else { 1 << 63 }
}

fn sigma(share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (share, 1.0, share);
    loop {
        power *= power;
        let before = sum;
        sum += power * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

fn tau(share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (share, 1.0, 1.0 - share);
    loop {
        root = root.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - root) * (1.0 - root) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}
