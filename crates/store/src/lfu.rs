//! The arithmetic of least frequent use: a minute and a counter in an entry's 24 bits.
//!
//! Owns how the counter grows, the slower the larger it is, and how it decays. Must not know when
//! an entry is used, nor what is made of its counter.

use fastrand::Rng;

/// A new entry's counter: high enough that it is not the first to go.
pub const INITIAL: u8 = 5;

/// The 24 bits: minutes modulo 2^16 above, the counter below.
#[inline]
pub fn pack(minutes: u16, counter: u8) -> u32 {
    u32::from(minutes) << 8 | u32::from(counter)
}

/// The counter as it stands at `now_minutes`: it loses one each `decay_time_min`, none if that is 0.
pub fn decayed(clock: u32, now_minutes: u16, decay_time_min: u32) -> u8 {
    let (since, counter) = ((clock >> 8) as u16, clock as u8);
    let elapsed = u32::from(now_minutes.wrapping_sub(since));
    let periods = elapsed.checked_div(decay_time_min).unwrap_or(0);
    counter.saturating_sub(periods.min(255) as u8)
}

/// The counter after one more use: it grows with a chance of 1 in `log_factor` times what it is
/// above [`INITIAL`], plus 1.
pub fn bumped(counter: u8, log_factor: u32, rng: &mut Rng) -> u8 {
    if counter == u8::MAX {
        return counter;
    }
    let above = u64::from(counter.saturating_sub(INITIAL));
    let one_in = above * u64::from(log_factor) + 1;
    counter + u8::from(rng.u64(..one_in) == 0)
}

/// The 24 bits of an entry that is used at `now_minutes`.
pub fn used(
    clock: u32,
    now_minutes: u16,
    decay_time_min: u32,
    log_factor: u32,
    rng: &mut Rng,
) -> u32 {
    let counter = decayed(clock, now_minutes, decay_time_min);
    pack(now_minutes, bumped(counter, log_factor, rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_loses_one_a_period_and_stops_at_zero() {
        let clock = pack(100, 10);
        assert_eq!(decayed(clock, 100, 1), 10);
        assert_eq!(decayed(clock, 103, 1), 7);
        assert_eq!(decayed(clock, 103, 2), 9);
        assert_eq!(decayed(clock, 1000, 1), 0);
        assert_eq!(decayed(clock, 1000, 0), 10);
        // The minutes wrap around.
        assert_eq!(decayed(pack(u16::MAX, 10), 1, 1), 8);
    }

    #[test]
    fn up_to_the_initial_value_each_use_counts() {
        let mut rng = Rng::with_seed(1);
        for counter in 0..=INITIAL {
            assert_eq!(bumped(counter, 10, &mut rng), counter + 1);
        }
        assert_eq!(bumped(255, 0, &mut rng), 255);
        assert_eq!(bumped(200, 0, &mut rng), 201);
    }

    /// The table in Redis's documentation: with factor 10 a hundred uses come to some 10, a
    /// thousand to 18, and a million to 255.
    #[test]
    fn the_counter_grows_with_the_logarithm_of_the_uses() {
        let mut rng = Rng::with_seed(7);
        let mean = |uses: usize, rng: &mut Rng| {
            let runs = 20;
            let sum: u64 = (0..runs)
                .map(|_| u64::from((0..uses).fold(INITIAL, |counter, _| bumped(counter, 10, rng))))
                .sum();
            sum / runs
        };
        assert!((9..=11).contains(&mean(100, &mut rng)));
        assert!((17..=20).contains(&mean(1_000, &mut rng)));
        assert!((135..=150).contains(&mean(100_000, &mut rng)));
    }
}
