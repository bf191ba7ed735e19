//! The socket to our master: connecting without blocking, reading in bounded turns, writing the
//! little that a replica says. What is said, and what it means, is the replication core's.

use std::io;

use mio::event::Event;
use node::Node;
use repl::LinkId;

use crate::net::master_link::{Connecting, LinkEvent, MasterLink, MasterRead, attempt_of};
use crate::net::resolver::{self, Resolved};
use crate::os::host::Host;
use crate::process::os_error::os_error;

/// Bytes read from the master a turn: it is our most important peer, but not the only one.
const READS_PER_TURN: usize = 16;

impl Host {
    /// `Action::Connect`: looks the name up first.
    pub fn connect_to_master(&mut self, id: LinkId, host: String, port: u16) {
        self.close_master_link();
        let is_encrypted = self.config.tls.tls_replication;
        let tls = self.net.tls.as_ref().filter(|_| is_encrypted).map(|sides| sides.client.clone());
        self.net.link = Some(MasterLink::new(id, tls));
        resolver::resolve(host, port, attempt_of(id), self.net.resolved.clone());
    }

    pub fn close_master_link(&mut self) {
        if let Some(mut link) = self.net.link.take() {
            link.close(&self.net.registry);
        }
    }

    pub fn master_resolved(&mut self, node: &mut Node, found: Resolved) {
        let Resolved { attempt, result } = found;
        let Some(link) = self.net.link.as_mut().filter(|l| attempt_of(l.id()) == attempt) else {
            return;
        };
        let bind = &self.config.network.bind_source_addr;
        let begun = result.and_then(|addresses| link.connect(&self.net.registry, addresses, bind));
        if let Err(error) = begun {
            self.master_connect_failed(node, &error);
        }
    }

    fn master_connect_failed(&mut self, node: &mut Node, error: &io::Error) {
        if let Some(id) = self.net.link.as_ref().map(MasterLink::id) {
            node.handle_connect_failed(self, id, &os_error(error));
        }
    }

    /// CLIENT KILL of the master: the link closes as if the master had closed it, and is made anew.
    pub fn kill_master_link(&mut self, node: &mut Node) {
        let Some(id) = self.net.link.as_ref().map(MasterLink::id) else { return };
        node.handle_link_closed(self, id, "Connection closed by CLIENT KILL");
    }

    pub fn handle_master_link(&mut self, node: &mut Node, attempt: u32, event: &Event) {
        let Some(link) = self.net.link.as_mut().filter(|l| attempt_of(l.id()) == attempt) else {
            return;
        };
        match link.hear(event) {
            LinkEvent::Nothing => {}
            LinkEvent::ConnectEnded => self.master_connect_ended(node),
            LinkEvent::Open { writable } => {
                if writable {
                    self.send_to_master(node, &[]);
                }
                self.read_master_link(node);
            }
        }
    }

    fn master_connect_ended(&mut self, node: &mut Node) {
        let keepalive_s = self.config.replication.repl_timeout_s;
        let bind = &self.config.network.bind_source_addr;
        let Some(link) = &mut self.net.link else { return };
        let id = link.id();
        match link.connect_ended(&self.net.registry, bind, keepalive_s.into()) {
            Connecting::Pending => {}
            Connecting::Done => node.handle_connected(self, id),
            Connecting::Failed(error) => self.master_connect_failed(node, &error),
        }
    }

    /// What a replica says to its master, behind what the socket has not taken yet.
    pub fn send_to_master(&mut self, node: &mut Node, bytes: &[u8]) {
        let now_ms = node.now_ms();
        let Some(link) = &mut self.net.link else { return };
        let id = link.id();
        let Some(open) = link.open_link() else { return };
        if let Err(error) = open.send(&self.net.registry, bytes) {
            // It is heard of by whoever sends, or when the turn settles.
            node.repl.handle_link_closed(now_ms, id, &os_error(&error));
        }
    }

    /// Reads a bounded amount, as long as the core and the loader have room for it.
    pub fn read_master_link(&mut self, node: &mut Node) {
        for _ in 0..READS_PER_TURN {
            if !node.wants_master_bytes(self) {
                // The bytes stay in the socket; reading goes on when there is room again.
                if let Some(link) = &mut self.net.link {
                    link.read_later();
                }
                return;
            }
            let Some(link) = &mut self.net.link else { return };
            let id = link.id();
            let (buffer, len, drained) = match link.read() {
                None => return,
                Some(MasterRead::Bytes { buffer, len, drained }) => (buffer, len, drained),
                Some(MasterRead::Closed) => {
                    return node.handle_link_closed(self, id, "Connection closed by the master");
                }
                Some(MasterRead::Failed(error)) => {
                    return node.handle_link_closed(self, id, &os_error(&error));
                }
            };
            self.turn.stats.net_repl_input_bytes += len as u64;
            self.turn.stats.net_input_bytes += len as u64;
            node.handle_master_bytes(self, id, &buffer[..len]);
            let Some(link) = self.net.link.as_mut().filter(|link| link.id() == id) else {
                return;
            };
            link.take_buffer_back(buffer, drained);
            if drained {
                return;
            }
        }
        if let Some(link) = &mut self.net.link {
            link.read_later();
        }
    }

    /// The last turn ended before the socket was empty.
    pub fn link_has_more(&self) -> bool {
        self.net.link.as_ref().is_some_and(MasterLink::has_more)
    }
}
