//! Conditional strings, of which Debian's Redis knows none: with a newer peer.

use super::{Pair, words};

#[test]
fn conditional_strings_are_set_and_deleted_alike() {
    let mut pair = Pair::start(2, 1);
    let mut forms = Vec::new();
    for (probe, form) in [("SET k v IFEQ x", 0), ("DELIFEQ k x", 1), ("MSETEX 1 k v XX", 2)] {
        if !pair.theirs.run(probe).is_error() {
            forms.push(form);
        }
    }
    pair.compare(3_000, |rng| {
        let key = |rng: &mut fastrand::Rng| format!("k{}", rng.u8(..4));
        let value = |rng: &mut fastrand::Rng| ["", "1", "a", "bb"][rng.usize(..4)].to_string();
        let expiry = ["", "", " EX 100", " PX 100000", " KEEPTTL", " PXAT 1"][rng.usize(..6)];
        let (a, b) = (key(rng), key(rng));
        let (v, w) = (value(rng), value(rng));
        match rng.u8(..8) {
            0 => words(&format!("GET {a}")),
            1 => words(&format!("TTL {a}")),
            2 => words(&format!("SET {a} {v}{expiry}")),
            3 => words(&format!("RPUSH l {v}")),
            4 => words(&format!("DEL {a} {b}")),
            _ => match forms.get(rng.usize(..3)) {
                Some(0) => {
                    let get = ["", " GET"][rng.usize(..2)];
                    let a = if rng.u8(..9) == 0 { "l".to_string() } else { a };
                    words(&format!("SET {a} {v} IFEQ {w}{get}{expiry}"))
                }
                Some(1) => words(&format!("DELIFEQ {a} {v}")),
                Some(2) => {
                    let condition = ["", " NX", " XX"][rng.usize(..3)];
                    words(&format!("MSETEX 2 {a} {v} {b} {w}{condition}{expiry}"))
                }
                _ => words(&format!("EXISTS {a}")),
            },
        }
    });
}
