//! When the thread that serves metrics begins and ends, and what is followed for it from second to second.

use log::{info, warn};

use crate::monitor::figures::Figures;
use crate::monitor::{Monitor, Settings};

const PUBLISH_EVERY_MS: u64 = 1000;

/// The thread that serves metrics, if one does, and what is followed for it from second to second.
#[derive(Debug, Default)]
pub struct Metrics {
    monitor: Option<Monitor>,
    published_ms: u64,
    /// Where the stream stood when the file's oldest unsafe byte came, and when that was.
    unsynced: Option<(u64, u64)>,
}

impl Metrics {
    /// As the configuration says. What was served before is served on where the new cannot be.
    pub fn configure(&mut self, wanted: Settings) -> Result<(), String> {
        if self.monitor.as_ref().is_some_and(|monitor| *monitor.settings() == wanted) {
            return Ok(());
        }
        if wanted.port == 0 {
            self.monitor = None;
            return Ok(());
        }
        // The port may be the same at another address, so the old ones are given up first.
        let before = self.monitor.take().map(|monitor| monitor.settings().clone());
        match Monitor::start(wanted) {
            Ok(monitor) => {
                let Settings { bind, port } = monitor.settings();
                info!("Serving metrics on {} port {port}", bind.join(" "));
                self.published_ms = 0;
                self.monitor = Some(monitor);
                Ok(())
            }
            Err(why) => {
                warn!("{why}");
                self.monitor = before.and_then(|settings| Monitor::start(settings).ok());
                Err("Unable to listen on this port. Check server logs.".into())
            }
        }
    }

    /// Whether figures of this moment are wanted.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.monitor.is_some() && now_ms >= self.published_ms + PUBLISH_EVERY_MS
    }

    pub fn publish(&mut self, now_ms: u64, figures: Figures) {
        self.published_ms = now_ms;
        if let Some(monitor) = &self.monitor {
            monitor.publish(figures);
        }
    }

    /// How long the oldest write may have waited for the disk, seen once a second.
    pub fn unsynced_ms(&mut self, now_ms: u64, appended: u64, fsynced: Option<u64>) -> Option<u64> {
        let fsynced = fsynced?;
        let since = match self.unsynced {
            Some((mark, since)) if fsynced < mark => since,
            _ => now_ms,
        };
        let is_behind = fsynced < appended;
        let mark = match self.unsynced {
            Some((mark, _)) if fsynced < mark => mark,
            _ => appended,
        };
        self.unsynced = is_behind.then_some((mark, since));
        Some(if is_behind { now_ms - since } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The age is that of the oldest write that is not safe, not of the newest.
    #[test]
    fn a_write_ages_until_the_disk_has_it() {
        let mut metrics = Metrics::default();
        assert_eq!(metrics.unsynced_ms(0, 10, None), None, "no file");
        assert_eq!(metrics.unsynced_ms(1000, 10, Some(10)), Some(0));
        assert_eq!(metrics.unsynced_ms(2000, 20, Some(10)), Some(0));
        assert_eq!(metrics.unsynced_ms(3000, 30, Some(10)), Some(1000));
        assert_eq!(metrics.unsynced_ms(5000, 30, Some(15)), Some(3000));
        assert_eq!(metrics.unsynced_ms(6000, 40, Some(20)), Some(0), "the first is safe");
        assert_eq!(metrics.unsynced_ms(7000, 40, Some(20)), Some(1000));
        assert_eq!(metrics.unsynced_ms(8000, 40, Some(40)), Some(0));
    }
}
