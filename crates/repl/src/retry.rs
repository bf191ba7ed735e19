//! Owns the pauses between attempts that fail: how they grow, where they end, and that not everybody tries at
//! the same time. Must not know what is tried.

/// Pauses that double from the first one up to a cap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    pub(crate) first_ms: u64,
    pub(crate) cap_ms: u64,
}

impl Pauses {
    /// The pause after so many failures in a row (0 is the first), shortened by up to a half: replicas
    /// that lost the same master come back one by one.
    pub(crate) fn after(self, failures: u32, random: u64) -> u64 {
        let whole_ms = self.first_ms.saturating_mul(1 << failures.min(31)).min(self.cap_ms);
        whole_ms - random % (whole_ms / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_cap_and_differ() {
        let pauses = Pauses { first_ms: 100, cap_ms: 1000 };
        let longest: Vec<u64> = (0..6).map(|failures| pauses.after(failures, 0)).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1000, 1000]);
        for (failures, longest) in longest.into_iter().enumerate() {
            for random in 0..2000 {
                let ms = pauses.after(failures as u32, random);
                assert!(ms >= longest / 2 && ms <= longest, "{ms} of {longest}");
            }
        }
        assert_ne!(pauses.after(3, 1), pauses.after(3, 77));
        let shortest = (0..2000).map(|random| pauses.after(3, random)).min();
        assert_eq!(shortest, Some(400), "a half is taken off as well");
        assert_eq!(pauses.after(u32::MAX, u64::MAX - 1) / 1001, 0);
    }

    #[test]
    fn pauses_may_be_as_short_as_nothing() {
        for first_ms in 0..3 {
            let pauses = Pauses { first_ms, cap_ms: 1000 };
            assert!((0..10).all(|random| pauses.after(0, random) <= first_ms));
        }
    }
}
