//! Bit operations over strings of any lengths.

use super::{Pair, words};

#[test]
fn bit_operations_have_equal_results() {
    for seed in [1, 2] {
        let mut pair = Pair::start(2, seed);
        let all = ["AND", "OR", "XOR", "NOT", "DIFF", "DIFF1", "ANDOR", "ONE"];
        let knows_all = !pair.theirs.run("BITOP ONE d none").is_error();
        let ops = if knows_all { &all[..] } else { &all[..4] };
        pair.compare(3_000, |rng| {
            let key = format!("k{}", rng.u8(..6));
            match rng.u8(..8) {
                0..=1 => {
                    let len = if rng.bool() { rng.usize(..6) } else { rng.usize(..200) };
                    let value = (0..len).map(|_| rng.u8(..)).collect();
                    vec![b"SET".to_vec(), key.into_bytes(), value]
                }
                2..=4 => {
                    let sources = (0..rng.usize(1..5)).map(|_| format!(" k{}", rng.u8(..7)));
                    let sources: String = sources.collect();
                    words(&format!("BITOP {} {key}{sources}", ops[rng.usize(..ops.len())]))
                }
                5 => words(&format!("GET {key}")),
                6 => {
                    let unit = ["", " BIT", " BYTE"][rng.usize(..3)];
                    let (start, end) = (rng.i16(-40..40), rng.i16(-40..300));
                    words(&format!("BITCOUNT {key} {start} {end}{unit}"))
                }
                _ => {
                    let unit = ["", " BIT", " BYTE"][rng.usize(..3)];
                    let (start, end) = (rng.i16(-40..40), rng.i16(-40..300));
                    words(&format!("BITPOS {key} {} {start} {end}{unit}", rng.u8(..2)))
                }
            }
        });
    }
}
