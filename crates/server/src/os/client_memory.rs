//! Who is closed when the clients' buffers take more than `maxmemory-clients`: the largest first.

use engine::ClientId;
use log::info;
use node::Node;

use crate::net::conn::Conn;
use crate::net::limits::{input_buffer, is_over_hard_limit};
use crate::os::host::Host;

impl Host {
    /// The directive or what it is a share of was changed.
    pub fn client_limit_changed(&mut self) {
        self.net.client_memory.set_limit(&self.config, self.net.conns.iter().map(Conn::id));
    }

    /// A client has sent something: with it, it may be the one too many, and then its command must
    /// not run. False if it was closed.
    pub fn input_is_within_limit(&mut self, node: &mut Node, id: ClientId) -> bool {
        let (Some(conn), Some(client)) = (self.net.conns.get(id), node.engine.client_mut(id))
        else {
            return false;
        };
        if let Some(parser) = conn.link().parser() {
            client.input = input_buffer(parser);
        }
        self.net.client_memory.note_changed(id);
        self.evict_clients(node);
        self.net.conns.get(id).is_some()
    }

    /// Part of `before_sleep`: closes clients until the others are within the limit.
    #[inline]
    pub fn evict_clients(&mut self, node: &mut Node) {
        if self.net.client_memory.is_on() {
            self.evict_largest(node);
        }
    }

    #[inline(never)]
    fn evict_largest(&mut self, node: &mut Node) {
        for id in self.net.client_memory.take_changed() {
            // Whose output is too much by itself goes for that, before others go for it.
            let limits = &self.config.network.client_output_buffer_limit;
            if node.engine.client(id).is_some_and(|client| is_over_hard_limit(limits, client)) {
                self.enforce_output_limit(node, id);
            }
            let bytes = node.with_world(self, |engine, world| engine.evictable_bytes(world, id));
            let bytes = bytes.unwrap_or(0);
            let Some(conn) = self.net.conns.get_mut(id) else { continue };
            self.net.client_memory.count(conn, bytes);
        }
        if !self.net.client_memory.is_exceeded() {
            return;
        }
        let protected = |id| node.engine.client(id).is_none_or(|client| client.no_evict);
        let mut largest: Vec<(usize, ClientId)> = (self.net.conns.iter())
            .filter(|conn| conn.counted_bytes() > 0 && !protected(conn.id()))
            .map(|conn| (conn.counted_bytes(), conn.id()))
            .collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in largest {
            if !self.net.client_memory.is_exceeded() {
                return;
            }
            info!("Evicting client: {}", node.client_line(self, id));
            self.turn.stats.evicted_clients += 1;
            self.close_client(node, id);
        }
    }
}
