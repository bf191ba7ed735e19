//! Writing to replicas: whatever the replication core says comes next, straight out of the blocks
//! that all replicas share, and snapshot files by sendfile.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use engine::ClientId;
use log::warn;
use repl::Outgoing;

use crate::clients::over_limit;
use crate::config::os_error;
use crate::event_loop::Server;
use crate::repl_driver::{client_of, conn_id};

/// Bytes a replica and turn: one that takes in a snapshot is not to starve the clients.
const BUDGET_BYTES: u64 = 1 << 20;
const MAX_SLICES: usize = 64;

/// How one write to a replica ended.
enum Wrote {
    Some(u64),
    Full,
    Nothing,
    Broken,
}

impl Server {
    pub fn flush_replicas(&mut self) {
        let waiting: Vec<ClientId> =
            self.host.repl.core.conns_with_output().map(client_of).collect();
        for id in waiting {
            let blocked = self.conns.get(id).is_none_or(|conn| conn.write_blocked);
            // A full socket says by itself when there is room again.
            if !blocked {
                self.flush_replica(id);
            }
        }
    }

    /// Writes until the replica has all, its socket is full or its share of the turn is used.
    pub fn flush_replica(&mut self, id: ClientId) {
        // Answers to REPLCONF go first: the stream begins behind them.
        if self.engine.client(id).is_none_or(|client| !client.out.is_empty()) {
            return;
        }
        let mut sent = 0;
        loop {
            let wrote = if sent >= BUDGET_BYTES { Wrote::Full } else { self.write_to_replica(id) };
            match wrote {
                Wrote::Some(n) => {
                    sent += n;
                    let now_ms = self.host.now_ms();
                    self.host.repl.core.sent(now_ms, conn_id(id), n);
                    self.host.stats.net_repl_output_bytes += n;
                }
                Wrote::Nothing => {
                    self.watch_replica(id, false);
                    break;
                }
                Wrote::Full => {
                    self.watch_replica(id, true);
                    break;
                }
                Wrote::Broken => return self.close_client(id),
            }
        }
        self.perform_repl_actions();
        self.enforce_replica_limit(id);
    }

    fn watch_replica(&mut self, id: ClientId, wait: bool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.wait_writable(self.poll.registry(), wait) == crate::conn::Flushed::Broken {
            self.close_client(id);
        }
    }

    fn write_to_replica(&mut self, id: ClientId) -> Wrote {
        let repl = &self.host.repl;
        let Some(conn) = self.conns.get_mut(id) else { return Wrote::Nothing };
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let written = match repl.core.outgoing(conn_id(id), &mut slices) {
            Outgoing::Nothing => return Wrote::Nothing,
            Outgoing::Slices(n) => conn.write(&slices[..n]).map(|n| n.map(|n| n as u64)),
            Outgoing::File { id: snapshot, position, len } => match repl.files.get(&snapshot) {
                Some(file) => send_file(conn.stream.raw_fd(), file, position, len),
                None => Err(io::Error::other("the snapshot's file is gone")),
            },
        };
        match written {
            // Nothing at all: the file is shorter than it was.
            Ok(Some(0)) => Wrote::Broken,
            Ok(Some(n)) => Wrote::Some(n),
            Ok(None) => Wrote::Full,
            Err(error) => {
                warn!("Write error sending DB to replica: {}", os_error(&error));
                Wrote::Broken
            }
        }
    }

    /// A replica that reads too slowly is closed, as a client of its class is. A limit below the
    /// backlog's size would only make it ask for the same bytes again, so the backlog is the least.
    pub fn enforce_replica_limit(&mut self, id: ClientId) {
        let pending = self.host.repl.core.pending_bytes(conn_id(id));
        let backlog = self.host.config.replication.repl_backlog_size_bytes;
        let mut limit = self.host.config.network.client_output_buffer_limit.replica;
        if limit.hard_bytes > 0 {
            limit.hard_bytes = limit.hard_bytes.max(backlog);
        }
        if limit.soft_bytes > 0 {
            limit.soft_bytes = limit.soft_bytes.max(backlog);
        }
        let now_us = self.host.now.mono_us;
        let Some(conn) = self.conns.get_mut(id) else { return };
        if over_limit(pending, &limit, &mut conn.over_soft_limit_since_us, now_us) {
            let line = self.engine.client_info(&self.host, id);
            warn!(
                "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
            );
            self.host.stats.client_output_buffer_limit_disconnections += 1;
            self.close_client(id);
        }
    }
}

/// One sendfile; `None` when the socket is full.
fn send_file(
    socket: i32,
    file: &std::fs::File,
    position: u64,
    len: u64,
) -> io::Result<Option<u64>> {
    let count = len.min(BUDGET_BYTES) as usize;
    loop {
        let mut offset = position as i64;
        // SAFETY: both descriptors are open and ours, and `offset` is a valid place to write to.
        let n = unsafe { libc::sendfile(socket, file.as_raw_fd(), &mut offset, count) };
        if n >= 0 {
            return Ok(Some(n as u64));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(None),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}
