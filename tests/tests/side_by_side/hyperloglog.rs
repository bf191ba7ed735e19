//! HyperLogLogs: counts, and the strings themselves.

use fastrand::Rng;

use super::{Command, Pair, words};

#[test]
fn hyperloglogs_are_equal_to_the_byte() {
    for seed in [1, 2] {
        let mut pair = Pair::start(1 + seed as u8, seed);
        pair.compare(4_000, |rng| match rng.u8(..20) {
            0 => words(&format!("OBJECT ENCODING {}", key(rng))),
            _ => sound(rng),
        });
    }
}

/// Strings that have the head of a HyperLogLog and hold something else.
#[test]
fn spoilt_hyperloglogs_are_refused_alike() {
    let mut pair = Pair::start(2, 3);
    pair.compare(3_000, |rng| match rng.u8(..8) {
        0 => {
            let mut string = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
            for _ in 0..rng.usize(..4) {
                string.extend([0x40 | rng.u8(..0x40), rng.u8(..)]);
                (0..rng.usize(..4)).for_each(|_| string.push(0x80 | rng.u8(..0x80)));
            }
            if rng.u8(..4) == 0 {
                string[4] = rng.u8(..4);
            }
            vec![b"SET".to_vec(), key(rng).into_bytes(), string]
        }
        _ => sound(rng),
    });
}

fn key(rng: &mut Rng) -> String {
    format!("h{}", rng.u8(..4))
}

fn sound(rng: &mut Rng) -> Command {
    let key = key(rng);
    let other = self::key(rng);
    match rng.u8(..23) {
        0..=7 => {
            let mut command = words(&format!("PFADD {key}"));
            let most = if rng.u8(..4) == 0 { 300 } else { 10 };
            for _ in 0..rng.usize(..most) {
                let len = if rng.bool() { rng.usize(..4) } else { rng.usize(..40) };
                command.push((0..len).map(|_| rng.u8(..)).collect());
            }
            command
        }
        8..=10 => words(&format!("PFCOUNT {key}")),
        11 => words(&format!("PFCOUNT {key} {other}")),
        12..=13 => words(&format!("PFMERGE {key} {other} h0")),
        14..=18 => words(&format!("GET {key}")),
        19 => words(&format!("PFDEBUG ENCODING {key}")),
        20 => words(&format!("PFDEBUG DECODE {key}")),
        21 => words(&format!("CONFIG SET hll-sparse-max-bytes {}", rng.u32(..4000))),
        _ if rng.u8(..3) == 0 => words(&format!("PFDEBUG TODENSE {key}")),
        _ => words(&format!("DEL {key}")),
    }
}
