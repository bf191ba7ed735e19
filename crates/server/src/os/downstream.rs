//! Writing to replicas: whatever the replication core says comes next, straight out of the blocks
//! that all replicas share, and snapshot files by sendfile.

use std::io::{self, IoSlice};

use engine::ClientId;
use log::warn;
use node::{Node, Wrote, conn_id};
use repl::SnapshotId;

use crate::os::host::Host;
use crate::process::os_error::os_error;

impl Host {
    pub fn watch_replica(&mut self, id: ClientId, wait: bool) {
        let Some(conn) = self.net.conns.get_mut(id) else { return };
        if conn.link_mut().wait_writable(&self.net.registry, wait).is_err() {
            self.net.conns.doom(id);
        }
    }

    /// One `writev` of what the core says comes next. A full socket says by itself when there is room again.
    pub fn write_to_replica(&mut self, id: ClientId, slices: &[IoSlice<'_>]) -> Wrote {
        let Some(conn) = self.net.conns.get_mut(id) else { return Wrote::Broken };
        if conn.link().is_write_blocked() {
            return Wrote::Some(0);
        }
        let written = conn.link_mut().write(slices).map(|n| n.map(|n| n as u64));
        self.wrote_to_replica(id, written)
    }

    pub fn write_file_to_replica(
        &mut self,
        id: ClientId,
        snapshot: SnapshotId,
        position: u64,
        len: u64,
    ) -> Wrote {
        let Some(conn) = self.net.conns.get_mut(id) else { return Wrote::Broken };
        if conn.link().is_write_blocked() {
            return Wrote::Some(0);
        }
        let written = match self.disk.rdb.sent_file(snapshot) {
            Some(file) => conn.link_mut().write_file(file, position, len),
            None => Err(io::Error::other("the snapshot's file is gone")),
        };
        self.wrote_to_replica(id, written)
    }

    fn wrote_to_replica(&mut self, id: ClientId, written: io::Result<Option<u64>>) -> Wrote {
        match written {
            // Nothing at all: the file is shorter than it was.
            Ok(Some(0)) => Wrote::Broken,
            Ok(Some(n)) => {
                self.turn.stats.net_repl_output_bytes += n;
                Wrote::Some(n)
            }
            Ok(None) => {
                self.watch_replica(id, true);
                Wrote::Some(0)
            }
            Err(error) => {
                warn!("Write error sending DB to replica: {}", os_error(&error));
                Wrote::Broken
            }
        }
    }

    /// A replica that reads too slowly is closed, as a client of its class is. A limit below the
    /// backlog's size would only make it ask for the same bytes again, so the backlog is the least.
    pub fn enforce_replica_limit(&mut self, node: &mut Node, id: ClientId) {
        let pending = node.repl.pending_bytes(conn_id(id));
        let backlog = self.config.replication.repl_backlog_size_bytes;
        let mut limit = self.config.network.client_output_buffer_limit.replica;
        if limit.hard_bytes > 0 {
            limit.hard_bytes = limit.hard_bytes.max(backlog);
        }
        if limit.soft_bytes > 0 {
            limit.soft_bytes = limit.soft_bytes.max(backlog);
        }
        let now_us = node.now().mono_us;
        let Some(conn) = self.net.conns.get_mut(id) else { return };
        if conn.is_over(&limit, pending, now_us) {
            let line = node.client_line(self, id);
            warn!(
                "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
            );
            self.turn.stats.client_output_buffer_limit_disconnections += 1;
            self.close_client(node, id);
        }
    }
}
