//! What clients' buffers take together, where `maxmemory-clients` bounds that, and who is closed when
//! it is too much: the largest first.
//!
//! A client is measured again when it has run commands or its output was flushed, which is when its
//! buffers change; without the directive nothing is measured.

use engine::{Client, ClientId};

use crate::config::Config;
use crate::net::conn::Conn;

/// A smaller limit would leave no room for anybody's first request.
const LEAST_LIMIT_BYTES: u64 = 128 * 1024;

#[derive(Debug, Default)]
pub struct ClientMemory {
    /// 0 while there is no limit.
    limit_bytes: u64,
    /// Of all who may be closed.
    total_bytes: usize,
    /// Whose buffers may have changed in this turn.
    changed: Vec<ClientId>,
}

impl ClientMemory {
    /// The directive or what it is a share of was changed. `all` is everybody, for a limit that begins.
    pub fn set_limit(&mut self, config: &Config, all: impl Iterator<Item = ClientId>) {
        let limit_bytes = limit_bytes(config);
        if limit_bytes > 0 && !self.is_on() {
            self.changed = all.collect();
        }
        self.limit_bytes = limit_bytes;
    }

    /// A client's buffers may have changed: it is measured before the loop sleeps.
    pub fn note_changed(&mut self, id: ClientId) {
        if self.is_on() {
            self.changed.push(id);
        }
    }

    pub fn take_changed(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.changed)
    }

    /// A client was measured.
    pub fn count(&mut self, conn: &mut Conn, bytes: usize) {
        let before = conn.count(bytes);
        self.total_bytes = self.total_bytes - before + bytes;
    }

    pub fn is_exceeded(&self) -> bool {
        self.total_bytes >= self.limit_bytes as usize
    }

    pub fn is_on(&self) -> bool {
        self.limit_bytes > 0
    }

    /// This client's replies alone are too much: it must not run on before some client is closed.
    pub fn is_exceeded_by(&self, client: &Client) -> bool {
        self.is_on() && client.out.len_bytes() as u64 > self.limit_bytes
    }

    pub fn forget(&mut self, conn: &Conn) {
        self.total_bytes -= conn.counted_bytes();
    }
}

/// `maxmemory-clients` in bytes, 0 for none: a negative value is a share of `maxmemory`.
fn limit_bytes(config: &Config) -> u64 {
    let limit = match config.network.maxmemory_clients {
        share @ ..0 => {
            let bytes =
                u128::from(config.memory.maxmemory_bytes) * u128::from(share.unsigned_abs());
            (bytes / 100) as u64
        }
        bytes => bytes as u64,
    };
    if limit > 0 { limit.max(LEAST_LIMIT_BYTES) } else { 0 }
}

/// The largest input and output buffers of the last seconds, for INFO clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientPeaks {
    seconds: [Peak; 8],
}

#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    second: u64,
    input_bytes: usize,
    output_bytes: usize,
}

impl ClientPeaks {
    /// A client was looked at.
    pub fn note(&mut self, second: u64, input_bytes: usize, output_bytes: usize) {
        let peak = &mut self.seconds[second as usize % 8];
        if peak.second != second {
            *peak = Peak { second, ..Peak::default() };
        }
        peak.input_bytes = peak.input_bytes.max(input_bytes);
        peak.output_bytes = peak.output_bytes.max(output_bytes);
    }

    pub fn max_input_bytes(&self) -> usize {
        self.seconds.iter().map(|peak| peak.input_bytes).max().unwrap_or(0)
    }

    pub fn max_output_bytes(&self) -> usize {
        self.seconds.iter().map(|peak| peak.output_bytes).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_bytes_or_a_share_of_maxmemory_and_never_too_small() {
        let mut config = Config::default();
        assert_eq!(limit_bytes(&config), 0);
        config.network.maxmemory_clients = 3_000_000;
        assert_eq!(limit_bytes(&config), 3_000_000);
        config.network.maxmemory_clients = -5;
        assert_eq!(limit_bytes(&config), 0, "a share of nothing is no limit");
        config.memory.maxmemory_bytes = 100 << 20;
        assert_eq!(limit_bytes(&config), 5 << 20);
        config.network.maxmemory_clients = 1;
        assert_eq!(limit_bytes(&config), LEAST_LIMIT_BYTES);
    }

    #[test]
    fn peaks_are_those_of_the_last_eight_seconds() {
        let mut peaks = ClientPeaks::default();
        peaks.note(1, 500, 7);
        peaks.note(1, 100, 9);
        assert_eq!((peaks.max_input_bytes(), peaks.max_output_bytes()), (500, 9));
        peaks.note(9, 10, 1);
        assert_eq!((peaks.max_input_bytes(), peaks.max_output_bytes()), (10, 1));
    }
}
