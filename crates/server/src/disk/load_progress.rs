//! Owns what the log is told of a load that takes long: a line every few seconds. Must not read a clock or
//! know what is loaded.

const PERIOD_US: u64 = 5_000_000;

/// When a load began, and when it was last spoken of.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadProgress {
    started_us: u64,
    told_us: u64,
}

impl LoadProgress {
    pub fn new(now_us: u64) -> LoadProgress {
        LoadProgress { started_us: now_us, told_us: now_us }
    }

    /// A line when it is time for one. `total_bytes` is 0 for a snapshot that is still arriving.
    pub fn tell(&mut self, now_us: u64, loaded_bytes: u64, total_bytes: u64) -> Option<String> {
        if now_us.saturating_sub(self.told_us) < PERIOD_US {
            return None;
        }
        self.told_us = now_us;
        let loaded_mb = loaded_bytes as f64 / 1e6;
        if total_bytes == 0 {
            return Some(format!("Loading: {loaded_mb:.1} MB so far"));
        }
        let total_mb = total_bytes as f64 / 1e6;
        let percent = loaded_bytes as f64 * 100.0 / total_bytes as f64;
        let mut text = format!("Loading: {loaded_mb:.1} of {total_mb:.1} MB ({percent:.1}%)");
        let elapsed_s = now_us.saturating_sub(self.started_us) as f64 / 1e6;
        if loaded_bytes > 0 {
            let left_bytes = total_bytes.saturating_sub(loaded_bytes);
            let left_s = left_bytes as f64 * elapsed_s / loaded_bytes as f64;
            text.push_str(&format!(", {left_s:.0} seconds left"));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_load_tells_every_few_seconds_how_far_it_is() {
        let mut progress = LoadProgress::new(1_000_000);
        assert_eq!(progress.tell(5_999_999, 1, 2), None);
        let told = progress.tell(6_000_000, 25_000_000, 100_000_000);
        let text = "Loading: 25.0 of 100.0 MB (25.0%), 15 seconds left";
        assert_eq!(told.as_deref(), Some(text));
        assert_eq!(progress.tell(10_000_000, 30_000_000, 100_000_000), None);
        let told = progress.tell(11_000_000, 0, 100_000_000);
        assert_eq!(told.as_deref(), Some("Loading: 0.0 of 100.0 MB (0.0%)"));
        let told = progress.tell(16_000_000, 7_000_000, 0);
        assert_eq!(told.as_deref(), Some("Loading: 7.0 MB so far"));
    }
}
