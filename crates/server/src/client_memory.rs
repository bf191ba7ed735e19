//! What clients' buffers take together, where `maxmemory-clients` bounds that, and who is closed when
//! it is too much: the largest first.
//!
//! A client is measured again when it has run commands or its output was flushed, which is when its
//! buffers change; without the directive nothing is measured.

use engine::{Client, ClientId};
use log::info;
use node::Node;

use crate::clients::{input_buffer, is_over_hard_limit};
use crate::config::Config;
use crate::conn::Conn;
use crate::host::Host;

/// A smaller limit would leave no room for anybody's first request.
const LEAST_LIMIT_BYTES: u64 = 128 * 1024;

#[derive(Debug, Default)]
pub struct ClientMemory {
    /// 0 while there is no limit.
    limit_bytes: u64,
    /// Of all who may be closed.
    total_bytes: usize,
    /// Whose buffers may have changed in this turn.
    pub changed: Vec<ClientId>,
}

impl ClientMemory {
    pub fn is_on(&self) -> bool {
        self.limit_bytes > 0
    }

    /// This client's replies alone are too much: it must not run on before some client is closed.
    pub fn is_exceeded_by(&self, client: &Client) -> bool {
        self.is_on() && client.out.len_bytes() as u64 > self.limit_bytes
    }

    pub fn forget(&mut self, conn: &Conn) {
        self.total_bytes -= conn.counted_bytes;
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

impl Host {
    /// The directive or what it is a share of was changed.
    pub fn client_limit_changed(&mut self) {
        let limit_bytes = limit_bytes(&self.config);
        let memory = &mut self.client_memory;
        if limit_bytes > 0 && !memory.is_on() {
            memory.changed = self.conns.iter().map(|conn| conn.id).collect();
        }
        memory.limit_bytes = limit_bytes;
    }

    /// A client has sent something: with it, it may be the one too many, and then its command must
    /// not run. False if it was closed.
    pub fn input_is_within_limit(&mut self, node: &mut Node, id: ClientId) -> bool {
        let (Some(conn), Some(client)) = (self.conns.get(id), node.engine.client_mut(id)) else {
            return false;
        };
        client.input = input_buffer(&conn.parser);
        self.client_memory.changed.push(id);
        self.evict_clients(node);
        self.conns.get(id).is_some()
    }

    /// Part of `before_sleep`: closes clients until the others are within the limit.
    pub fn evict_clients(&mut self, node: &mut Node) {
        if !self.client_memory.is_on() {
            return;
        }
        for id in std::mem::take(&mut self.client_memory.changed) {
            // Whose output is too much by itself goes for that, before others go for it.
            let limits = &self.config.network.client_output_buffer_limit;
            if node.engine.client(id).is_some_and(|client| is_over_hard_limit(limits, client)) {
                self.enforce_output_limit(node, id);
            }
            let bytes = node.with_world(self, |engine, world| engine.evictable_bytes(world, id));
            let bytes = bytes.unwrap_or(0);
            let Some(conn) = self.conns.get_mut(id) else { continue };
            let before = std::mem::replace(&mut conn.counted_bytes, bytes);
            let total = &mut self.client_memory.total_bytes;
            *total = *total - before + bytes;
        }
        let limit = self.client_memory.limit_bytes as usize;
        if self.client_memory.total_bytes < limit {
            return;
        }
        let protected = |id| node.engine.client(id).is_none_or(|client| client.no_evict);
        let mut largest: Vec<(usize, ClientId)> = (self.conns.iter())
            .filter(|conn| conn.counted_bytes > 0 && !protected(conn.id))
            .map(|conn| (conn.counted_bytes, conn.id))
            .collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in largest {
            if self.client_memory.total_bytes < limit {
                return;
            }
            info!("Evicting client: {}", node.client_line(self, id));
            self.stats.evicted_clients += 1;
            self.close_client(node, id);
        }
    }
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
