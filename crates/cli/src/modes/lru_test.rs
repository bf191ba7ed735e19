//! `--lru-test`: a cache under load, 80% of whose requests go to 20% of the keys.
//!
//! Must not: measure time; hits and misses are what it is about.

use std::time::{Duration, Instant};

use protocol::Value;

use crate::Exit;
use crate::shell::session::Session;
use crate::term::{self, out};

const LINE_INTERVAL: Duration = Duration::from_secs(1);
const BATCH: usize = 250;
/// Makes a power law follow the rule of 80 and 20.
const ALPHA: f64 = 6.2;

pub(super) fn run(session: &mut Session) -> Result<(), Exit> {
    let mut rng = fastrand::Rng::new();
    let keys = session.options.lru_keys;
    loop {
        let begun = Instant::now();
        let (mut hits, mut misses) = (0u64, 0u64);
        while begun.elapsed() < LINE_INTERVAL {
            let set = |rng: &mut fastrand::Rng| {
                let value: Vec<u8> = (0..5).map(|_| rng.u8(b'A'..b'z')).collect();
                vec![b"SET".to_vec(), key(rng, keys), value]
            };
            session.pipeline((0..BATCH).map(|_| set(&mut rng)).collect())?;
            let get = |rng: &mut fastrand::Rng| vec![b"GET".to_vec(), key(rng, keys)];
            for reply in session.pipeline((0..BATCH).map(|_| get(&mut rng)).collect())? {
                match reply {
                    Value::Error(text) => term::err([&text[..], b"\n"].concat()),
                    Value::Null => misses += 1,
                    _ => hits += 1,
                }
            }
        }
        let all = hits + misses;
        let share = |part: u64| part as f64 / all.max(1) as f64 * 100.0;
        out(format!(
            "{all} Gets/sec | Hits: {hits} ({:.2}%) | Misses: {misses} ({:.2}%)\n",
            share(hits),
            share(misses)
        ));
        term::flush();
    }
}

fn key(rng: &mut fastrand::Rng, keys: i64) -> Vec<u8> {
    format!("lru:{}", power_law(rng.f64(), 1, keys)).into_bytes()
}

/// A number from `min` to `max`, low ones far more often; `random` is from 0 to 1.
fn power_law(random: f64, min: i64, max: i64) -> i64 {
    let (low, high) = (min as f64, max as f64 + 1.0);
    let (low, high) = (low.powf(ALPHA + 1.0), high.powf(ALPHA + 1.0));
    let drawn = ((high - low) * random + low).powf(1.0 / (ALPHA + 1.0));
    (max - drawn as i64 + min).clamp(min, max.max(min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_keys_gets_four_fifths_of_the_requests() {
        let drawn: Vec<i64> =
            (0..100_000).map(|i| power_law(f64::from(i) / 100_000.0, 1, 1000)).collect();
        assert!(drawn.iter().all(|n| (1..=1000).contains(n)));
        let low = drawn.iter().filter(|n| **n <= 200).count();
        assert!((78_000..82_000).contains(&low), "{low}");
    }
}
