//! Owns how progress is reckoned and told: speeds, sizes that are known or estimated, a line every few seconds.
//! Must not know who transfers what, nor a clock.

use protocol::link::SnapshotProgress;

const PERIOD_MS: u64 = 5000;

/// What is known of the size of a transfer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Size {
    Unknown,
    Exact(u64),
    /// It is still being made: what the master knows of that.
    Growing(SnapshotProgress),
}

impl Size {
    /// The size of a snapshot that is streamed while it is made.
    pub(crate) fn streamed(progress: Option<SnapshotProgress>) -> Self {
        progress.map_or(Size::Unknown, Size::Growing)
    }

    pub(crate) fn exact_bytes(self) -> Option<u64> {
        if let Size::Exact(bytes) = self { Some(bytes) } else { None }
    }

    /// The size, or what it will be if the keys to come are like those that are written.
    pub(crate) fn likely_bytes(self) -> Option<u64> {
        match self {
            Size::Unknown => None,
            Size::Exact(bytes) => Some(bytes),
            Size::Growing(progress) => estimated_bytes(&progress),
        }
    }

    /// How much of it `done` bytes are. Of an estimate they are never all: it may have been too low.
    pub(crate) fn percent(self, done: u64) -> Option<f64> {
        let percent = share(done, self.likely_bytes().filter(|&bytes| bytes > 0)?);
        Some(if let Size::Exact(_) = self { percent } else { percent.min(99.99) })
    }
}

/// How many percent of `total` are done.
pub(crate) fn share(done: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { done as f64 * 100.0 / total as f64 }
}

/// None before anything was written of which one could judge.
fn estimated_bytes(progress: &SnapshotProgress) -> Option<u64> {
    let SnapshotProgress { keys, keys_total, bytes } = *progress;
    let bytes = (u128::from(bytes) * u128::from(keys_total.max(keys))).checked_div(keys.into())?;
    Some(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// Tells how far something is, every few seconds.
#[derive(Debug)]
pub(crate) struct Progress {
    start_ms: u64,
    told_ms: u64,
}

impl Progress {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { start_ms: now_ms, told_ms: now_ms }
    }

    /// How many of what is counted, a second, since the start.
    pub(crate) fn rate(&self, now_ms: u64, done: u64) -> f64 {
        let elapsed_ms = now_ms.saturating_sub(self.start_ms).max(1);
        done as f64 * 1000.0 / elapsed_ms as f64
    }

    /// How long the rest takes at the speed so far; None while there is none.
    pub(crate) fn secs_left(&self, now_ms: u64, done: u64, total: u64) -> Option<u64> {
        let rate = self.rate(now_ms, done);
        (done > 0).then(|| (total.saturating_sub(done) as f64 / rate) as u64)
    }

    /// A text on a transfer, when it is time for one.
    pub(crate) fn tell(&mut self, now_ms: u64, done: u64, size: Size) -> Option<String> {
        if !self.is_due(now_ms) {
            return None;
        }
        Some(transfer_text(done, size, self.rate(now_ms, done)))
    }

    /// A text on the making of a snapshot, when it is time for one.
    pub(crate) fn tell_snapshot(
        &mut self,
        now_ms: u64,
        progress: &SnapshotProgress,
    ) -> Option<String> {
        let SnapshotProgress { keys, keys_total, bytes } = *progress;
        if !(1..keys_total).contains(&keys) || !self.is_due(now_ms) {
            return None;
        }
        let left = self.secs_left(now_ms, keys, keys_total).unwrap_or(0);
        Some(snapshot_text(progress, self.rate(now_ms, bytes), left))
    }

    fn is_due(&mut self, now_ms: u64) -> bool {
        let is_due = now_ms.saturating_sub(self.told_ms) >= PERIOD_MS;
        if is_due {
            self.told_ms = now_ms;
        }
        is_due
    }
}

/// How far a transfer is, for people.
pub(crate) fn transfer_text(done: u64, size: Size, rate: f64) -> String {
    let (Some(total), Some(percent)) = (size.likely_bytes(), size.percent(done)) else {
        return format!("{:.1} MB, {:.1} MB/s", megabytes(done), rate / 1e6);
    };
    let about = if let Size::Exact(_) = size { "" } else { "about " };
    let left = total.saturating_sub(done) as f64 / rate.max(1.0);
    format!(
        "{:.1} of {about}{:.1} MB ({percent:.1}%), {:.1} MB/s, {left:.0} seconds left",
        megabytes(done),
        megabytes(total),
        rate / 1e6
    )
}

/// The same of a snapshot that is being made.
pub(crate) fn snapshot_text(progress: &SnapshotProgress, rate: f64, secs_left: u64) -> String {
    let SnapshotProgress { keys, keys_total, bytes } = *progress;
    format!(
        "{keys} of {keys_total} keys ({:.1}%), {:.1} MB, {:.1} MB/s, {secs_left} seconds left",
        share(keys, keys_total),
        megabytes(bytes),
        rate / 1e6,
    )
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growing(keys: u64, keys_total: u64, bytes: u64) -> Size {
        Size::Growing(SnapshotProgress { keys, keys_total, bytes })
    }

    #[test]
    fn the_size_of_what_is_being_made_is_estimated_from_its_keys() {
        assert_eq!(growing(250, 1000, 5_000_000).likely_bytes(), Some(20_000_000));
        assert_eq!(growing(250, 1000, 5_000_000).percent(2_000_000), Some(10.0));
        assert_eq!(growing(250, 1000, 5_000_000).exact_bytes(), None, "it is not known");
        assert_eq!(growing(0, 1000, 90).likely_bytes(), None, "nothing to judge from");
        assert_eq!(growing(0, 0, 0).percent(90), None);
    }

    // Large values last: more has come than was thought to be the whole, and the sync is not over.
    #[test]
    fn an_estimate_that_was_too_low_is_never_the_whole() {
        assert_eq!(growing(1, 2, 100).percent(5000), Some(99.99));
        assert_eq!(Size::Exact(5000).percent(5000), Some(100.0));
    }

    #[test]
    fn figures_of_a_peer_can_be_anything() {
        assert_eq!(growing(1, u64::MAX, u64::MAX).likely_bytes(), Some(u64::MAX));
        assert_eq!(growing(u64::MAX, 1, 7).likely_bytes(), Some(7));
        assert_eq!(growing(9, 3, 0).percent(1), None);
    }

    #[test]
    fn a_line_every_few_seconds_tells_percent_speed_and_time_left() {
        let mut progress = Progress::new(1000);
        assert_eq!(progress.tell(5999, 1, Size::Exact(2)), None);
        let told = progress.tell(6000, 25_000_000, growing(50, 200, 25_000_000));
        let text = "25.0 of about 100.0 MB (25.0%), 5.0 MB/s, 15 seconds left";
        assert_eq!(told.as_deref(), Some(text));
        let told = progress.tell(11_000, 50_000_000, Size::Exact(100_000_000));
        let text = "50.0 of 100.0 MB (50.0%), 5.0 MB/s, 10 seconds left";
        assert_eq!(told.as_deref(), Some(text));
        let told = progress.tell(16_000, 60_000_000, Size::Unknown);
        assert_eq!(told.as_deref(), Some("60.0 MB, 4.0 MB/s"));
        let made = SnapshotProgress { keys: 500, keys_total: 2000, bytes: 80_000_000 };
        assert_eq!(progress.tell_snapshot(20_999, &made), None);
        let told = progress.tell_snapshot(21_000, &made);
        let text = "500 of 2000 keys (25.0%), 80.0 MB, 4.0 MB/s, 60 seconds left";
        assert_eq!(told.as_deref(), Some(text));
    }
}
