//! The life of a client's connection: admission, reading, running its commands, flushing, closing.
//!
//! Each step is bounded: one read, then the commands in it, then the next client's turn.

use std::io::IoSlice;
use std::net::SocketAddr;

use engine::{Client, ClientId, Engine, KeysAhead, Kind, Now, PREFETCH_BATCH, Peer};
use log::{debug, warn};
use mio::event::Event;
use node::{Node, Sent};
use protocol::{Limits, RequestParser};

use crate::net::conn::{Conn, source_of};
use crate::net::limits::{input_buffer, is_over_hard_limit, limit_of};
use crate::net::link::{Flushed, Link};
use crate::net::listener::{AcceptOutcome, Accepted};
use crate::net::peers::PeerFacts;
use crate::net::token::ConnId;
use crate::net::transport::{ReadOutcome, Transport};
use crate::os::host::Host;
use crate::process::os_error::os_error;

/// Connections accepted a turn and listener.
const ACCEPTS_PER_TURN: usize = 1000;
/// Requests that are parsed ahead; more wait for the client's next turn.
const REQUESTS_PER_BATCH: usize = 1024;
/// Reply bytes a client and turn.
const FLUSH_BUDGET: usize = 1 << 20;
/// What a client that is blocked may have waiting unread by its commands before we stop reading it.
const BLOCKED_READ_AHEAD: usize = 64 << 10;
/// After so long a connection returns what it needs only while it is in use.
const IDLE_US: u64 = 2_000_000;
/// More does not pile up for a client that has not authenticated.
const UNAUTHENTICATED_OUTPUT_BYTES: usize = 1024;
/// A handshake that is not done after so long is given up.
const HANDSHAKE_US: u64 = 10_000_000;
const MAXCLIENTS_TEXT: &[u8] = b"-ERR max number of clients reached\r\n";
const PROTECTED_MODE_TEXT: &[u8] =
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback \
interface. If you want to connect from external computers to Redis you may adopt one of the \
following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode \
no' from the loopback interface by connecting to Redis from the same host the server is running, \
however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE \
to make this change permanent. 2) Alternatively you can just disable the protected mode by editing \
the Redis configuration file, and setting the protected mode option to 'no', and then restarting \
the server. 3) If you started the server manually just for testing, restart it with the \
'--protected-mode no' option. 4) Setup a an authentication password for the default user. NOTE: \
You only need to do one of the above things in order for the server to start accepting connections \
from the outside.\r\n";

// A replica that is refused quotes the whole of it in its log.
const _: () = assert!(PROTECTED_MODE_TEXT.len() < protocol::link::LINK_LINE_MAX);

impl Host {
    pub fn handle_client(&mut self, node: &mut Node, id: ConnId, event: &Event) {
        let Some(conn) = self.net.conns.of_event(id) else { return };
        conn.link_mut().hear(event);
        let id = conn.id();
        if event.is_writable() {
            // The rest of what may leave follows at the end of the turn.
            node.engine.note_output(id);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read_client(node, id);
        }
    }

    /// Goes on where a turn was cut short. Each gets one more turn, then waits for the next round,
    /// so that others' events come in between.
    pub fn serve_ready(&mut self, node: &mut Node) {
        if self.net.listeners.has_ready() {
            for index in self.net.listeners.take_ready() {
                self.accept_clients(node, index);
            }
        }
        for _ in 0..self.net.conns.queued() {
            if let Some(id) = self.net.conns.next_queued() {
                self.continue_client(node, id);
            }
        }
    }

    /// Listeners that failed, once their pause is over.
    pub fn accept_again(&mut self, node: &mut Node) {
        for index in self.net.listeners.take_retried(node.now().mono_us) {
            self.accept_clients(node, index);
        }
    }

    pub fn accept_again_at_us(&self) -> Option<u64> {
        self.net.listeners.retry_at_us()
    }

    /// A listener's or a connection's turn was cut short.
    pub fn has_unserved(&self) -> bool {
        self.net.conns.queued() > 0 || self.net.listeners.has_ready()
    }

    pub fn accept_clients(&mut self, node: &mut Node, index: u32) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.net.accept(index, node.now().mono_us) {
                Some(AcceptOutcome::One(accepted)) => {
                    let now = node.now();
                    self.admit(&mut node.engine, now, accepted);
                }
                Some(AcceptOutcome::Nobody) => {}
                Some(AcceptOutcome::Drained | AcceptOutcome::Failed(_)) | None => return,
            }
        }
        self.net.listeners.accept_later(index);
    }

    pub(super) fn admit(&mut self, engine: &mut Engine, now: Now, accepted: Accepted) {
        let network = &self.config.network;
        if self.net.conns.len() >= network.maxclients as usize {
            self.turn.stats.rejected_connections += 1;
            return refuse(accepted.transport, MAXCLIENTS_TEXT);
        }
        let local = accepted.peer.is_none_or(|peer| is_loopback(&peer));
        let is_denied = network.protected_mode && !local && engine.is_open();
        // Over TLS nothing can be said before the handshake.
        let is_plain = !accepted.transport.is_handshaking();
        if is_denied {
            self.turn.stats.rejected_connections += 1;
        }
        if is_denied && is_plain {
            return refuse(accepted.transport, PROTECTED_MODE_TEXT);
        }
        // A socket that refuses these options still works; Redis goes on as well.
        let _ = accepted.transport.set_nodelay(true);
        let _ = accepted.transport.set_keepalive(network.tcp_keepalive_s.into());
        let peer = self.peer_of(&accepted, local);
        let id = engine.connect(now, Kind::Normal, peer);
        let accepted_peer = accepted.peer;
        let link = match Link::open(&self.net.registry, accepted.transport, source_of(id)) {
            Ok(link) => link,
            Err(error) => {
                warn!("Error registering fd event for the new client: {}", os_error(&error));
                engine.disconnect(id);
                return;
            }
        };
        debug!("Accepted {}", engine.client(id).map_or("", |c| &c.peer.addr));
        self.turn.stats.connections_received += 1;
        self.net.peers.note(PeerFacts { id, addr: accepted_peer, local });
        self.net.conns.insert(Conn::new(id, link, now.mono_us));
        if is_denied && let Some(client) = engine.client_mut(id) {
            client.out.raw(PROTECTED_MODE_TEXT);
            client.close_after_reply = true;
        }
    }

    fn peer_of(&self, accepted: &Accepted, local: bool) -> Peer {
        let path = || format!("{}:0", self.config.network.unixsocket);
        Peer {
            addr: accepted.peer.map_or_else(path, |addr| addr.to_string()),
            laddr: accepted.transport.local_addr().map_or_else(path, |addr| addr.to_string()),
            fd: accepted.transport.raw_fd(),
            unix_socket: accepted.peer.is_none(),
            local,
        }
    }

    /// One read, then the commands that it completed.
    pub fn read_client(&mut self, node: &mut Node, id: ClientId) {
        let Some(client) = node.engine.client(id) else { return };
        let (blocked, leaving) = (client.is_blocked(), client.close_after_reply);
        let is_stranger = node.engine.needs_login(client);
        let Some(conn) = self.net.conns.get_mut(id) else { return };
        if is_stranger && conn.is_queued() {
            // What it has sent comes first: the end of its input must not overtake that.
            return;
        }
        if conn.link().is_handshaking() && !self.shake_hands(node, id) {
            return;
        }
        let Some(conn) = self.net.conns.get_mut(id) else { return };
        if leaving {
            // Nothing that it says counts any more, but its replies are still on their way.
            if conn.link().is_peer_gone() {
                self.close_client(node, id);
            }
            return;
        }
        if blocked && conn.link().buffered_len() > BLOCKED_READ_AHEAD {
            // It is read again once it is unblocked; a peer that has gone is noticed all the same.
            if conn.link().is_read_closed() {
                self.end_input(node, id);
            }
            return;
        }
        self.turn.stats.reads += 1;
        let more = match conn.link_mut().read() {
            Ok(ReadOutcome::Closed) => return self.end_input(node, id),
            Err(error) => {
                debug!("Reading from client: {}", os_error(&error));
                return self.close_client(node, id);
            }
            Ok(ReadOutcome::Drained(n)) => {
                self.turn.stats.net_input_bytes += n as u64;
                conn.link().is_read_closed()
            }
            Ok(ReadOutcome::Filled(n)) => {
                self.turn.stats.net_input_bytes += n as u64;
                true
            }
        };
        conn.heard(node.now().mono_us);
        if more {
            self.net.conns.queue(id);
        }
        node.handle_client_alive(id);
        if self.net.client_memory.is_on() && !self.input_is_within_limit(node, id) {
            return;
        }
        self.run_commands(node, id);
        self.enforce_query_buffer_limit(node, id);
    }

    /// Goes on with making client and server known to each other. True once they are.
    fn shake_hands(&mut self, node: &mut Node, id: ClientId) -> bool {
        let Some(conn) = self.net.conns.get_mut(id) else { return false };
        match conn.link_mut().shake() {
            Ok(true) => {
                debug!("Encrypted: {}", conn.link().transport().agreed().unwrap_or_default());
                // What could not be said before.
                node.engine.note_output(id);
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.handshake_failed(node, id, &os_error(&error));
                false
            }
        }
    }

    fn handshake_failed(&mut self, node: &mut Node, id: ClientId, why: &str) {
        self.turn.stats.tls_handshake_errors += 1;
        if let Some(client) = node.engine.client(id) {
            let Peer { addr, laddr, .. } = &client.peer;
            warn!("Error accepting a client connection: {why} (addr={addr} laddr={laddr})");
        }
        self.close_client(node, id);
    }

    /// The peer will send nothing more. It may have closed its sending half only, and wait for the
    /// replies to what it has sent: they leave first, however long they have to wait.
    fn end_input(&mut self, node: &mut Node, id: ClientId) {
        let gone = self.net.conns.get(id).is_none_or(|conn| conn.link().is_peer_gone());
        if gone || node.engine.client(id).is_none_or(|client| client.kind != Kind::Normal) {
            return self.close_client(node, id);
        }
        node.engine.say_goodbye(id);
        node.engine.note_output(id);
    }

    /// Another turn for a connection that had more: first what it has sent already, and when that
    /// is done, another read.
    pub fn continue_client(&mut self, node: &mut Node, id: ClientId) {
        self.run_commands(node, id);
        if self.net.conns.get(id).is_some_and(|conn| !conn.is_queued()) {
            self.read_client(node, id);
        }
    }

    /// Runs what is complete in the input buffer, until the client blocks or is to be closed. The
    /// buffer is what one read has brought, which bounds the turn.
    fn run_commands(&mut self, node: &mut Node, id: ClientId) {
        while self.run_batch(node, id) {}
    }

    /// Runs a batch of complete requests; true if the client may have more.
    fn run_batch(&mut self, node: &mut Node, id: ClientId) -> bool {
        let Some(client) = node.engine.client(id) else { return false };
        if client.is_blocked() || client.close_after_reply {
            return false;
        }
        let is_stranger = node.engine.needs_login(client);
        if is_stranger && client.out.len_bytes() > UNAUTHENTICATED_OUTPUT_BYTES {
            self.defer_stranger(node, id);
            return false;
        }
        let limits = Limits {
            max_bulk_len: node.engine.settings.proto_max_bulk_len as i64,
            unauthenticated: is_stranger,
            from_master: false,
        };
        let Some(conn) = self.net.conns.get_mut(id) else { return false };
        // Lent out while its requests run, which may close the connection.
        let Some(mut parser) = conn.link_mut().lend_parser() else { return false };
        let parsed = parser.parse(&limits, REQUESTS_PER_BATCH);
        let ran = parsed.map(|count| self.run_requests(node, id, &parser, count));
        let (ran, ended) = match ran {
            Ok((ran, ended)) => (ran, ended),
            Err(error) => {
                if let Some(conn) = self.net.conns.get_mut(id) {
                    conn.link_mut().take_parser_back(parser);
                }
                self.protocol_error(node, id, &error.to_string());
                return false;
            }
        };
        parser.consume(ran);
        let is_exhausted = parser.is_exhausted();
        if let Some(client) = node.engine.client_mut(id) {
            client.input = input_buffer(&parser);
        }
        if let Some(conn) = self.net.conns.get_mut(id) {
            conn.link_mut().take_parser_back(parser);
        }
        self.net.client_memory.note_changed(id);
        if ended {
            self.enforce_output_limit(node, id);
        }
        if ran == 0 || ended {
            return false;
        }
        // Before keys are evicted for what clients hold.
        self.evict_clients(node);
        !is_exhausted
    }

    /// Runs parsed requests until one of them keeps the client from being heard further. How many ran, and
    /// whether its output is too much by now.
    fn run_requests(
        &mut self,
        node: &mut Node,
        id: ClientId,
        parser: &RequestParser,
        count: usize,
    ) -> (usize, bool) {
        let mut ahead = KeysAhead::default();
        let mut ran = 0;
        while ran < count {
            if ran % PREFETCH_BATCH == 0 && count - ran > 1 {
                let batch = (ran..count).map(|at| parser.request(at).args());
                ahead = node.engine.prefetch(id, batch);
            }
            self.turn.dirty = node.engine.dirty;
            node.execute_hashed(self, id, parser.request(ran).args(), ahead.next_key());
            ran += 1;
            match node.engine.client(id) {
                Some(client) if client.is_blocked() || client.close_after_reply => break,
                Some(client) if self.net.client_memory.is_exceeded_by(client) => break,
                Some(client) if self.has_too_much(client) => return (ran, true),
                Some(_) => {}
                None => break,
            }
        }
        (ran, false)
    }

    fn has_too_much(&self, client: &Client) -> bool {
        is_over_hard_limit(&self.config.network.client_output_buffer_limit, client)
    }

    /// Who has not said its password yet gets its replies before it is heard further, and is closed if
    /// it does not read them: the memory of a server is not a stranger's to fill.
    fn defer_stranger(&mut self, node: &mut Node, id: ClientId) {
        if self.net.conns.get(id).is_some_and(|conn| conn.link().is_write_blocked()) {
            let line = node.client_line(self, id);
            warn!(
                "Unauthenticated client {line} scheduled to be closed ASAP for not reading its replies."
            );
            self.turn.stats.client_output_buffer_limit_disconnections += 1;
            return self.close_client(node, id);
        }
        self.net.conns.queue(id);
    }

    fn protocol_error(&mut self, node: &mut Node, id: ClientId, text: &str) {
        debug!("Protocol error ({text}) from client: {}", node.client_line(self, id));
        if let Some(client) = node.engine.client_mut(id) {
            client.out.error(format!("ERR {text}"));
            client.close_after_reply = true;
        }
        node.engine.note_output(id);
    }

    fn enforce_query_buffer_limit(&mut self, node: &mut Node, id: ClientId) {
        let limit = self.config.network.client_query_buffer_limit_bytes;
        let Some(conn) = self.net.conns.get(id) else { return };
        if conn.link().buffered_len() as u64 > limit {
            let line = node.client_line(self, id);
            warn!("Closing client that reached max query buffer length: {line}");
            self.turn.stats.client_query_buffer_limit_disconnections += 1;
            self.close_client(node, id);
        }
    }

    /// Sends the first `n` bytes of what the client was answered, as far as its socket takes them.
    pub fn send_replies(&mut self, client: &mut Client, n: usize) -> Sent {
        let id = client.id;
        let Some(conn) = self.net.conns.get_mut(id) else { return Sent::Broken };
        // Too much to be sent is not begun to be sent.
        if is_over_hard_limit(&self.config.network.client_output_buffer_limit, client) {
            self.net.conns.note_backed_up(id);
            return Sent::Partly;
        }
        let link = conn.link_mut();
        let before = link.bytes_out();
        let flushed = link.flush(&self.net.registry, &mut client.out, FLUSH_BUDGET, n);
        self.turn.stats.net_output_bytes += link.bytes_out() - before;
        self.turn.stats.writes += 1;
        self.net.client_memory.note_changed(id);
        match flushed {
            Flushed::Broken => Sent::Broken,
            Flushed::All => {
                conn.all_was_sent();
                Sent::All
            }
            Flushed::Partly => {
                self.net.conns.note_backed_up(id);
                Sent::Partly
            }
        }
    }

    /// Closes a client whose unread replies are above its class's limit, at once for the hard one,
    /// after some seconds without a break for the soft one.
    pub fn enforce_output_limit(&mut self, node: &mut Node, id: ClientId) {
        let Some(client) = node.engine.client(id) else { return };
        let Some(conn) = self.net.conns.get_mut(id) else { return };
        let limits = &self.config.network.client_output_buffer_limit;
        let waiting = client.out.len_bytes() as u64;
        let now_us = node.now().mono_us;
        let limit = limit_of(limits, client);
        if client.out.is_overflowed()
            || limit.is_some_and(|limit| conn.is_over(limit, waiting, now_us))
        {
            let line = node.client_line(self, id);
            warn!(
                "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
            );
            self.turn.stats.client_output_buffer_limit_disconnections += 1;
            self.close_client(node, id);
        }
    }

    /// Closes connections that others asked to be closed (CLIENT KILL), and looks at those whose output was
    /// more than their sockets took.
    pub fn close_doomed(&mut self, node: &mut Node) {
        for id in self.net.conns.take_doomed() {
            if node.master_client() == Some(id) {
                self.kill_master_link(node);
            }
            self.close_client(node, id);
        }
        for id in self.net.conns.take_backed_up() {
            self.enforce_output_limit(node, id);
        }
    }

    pub fn close_client(&mut self, node: &mut Node, id: ClientId) {
        let Some(mut conn) = self.net.conns.remove(id) else { return };
        self.net.client_memory.forget(&conn);
        conn.link_mut().close(&self.net.registry);
        node.disconnected(id);
    }

    /// A part of the connections each time, so that all are looked at about once a second.
    pub fn clients_cron(&mut self, node: &mut Node) {
        let hz = self.config.general.hz.max(1) as usize;
        let now_s = node.now().mono_us / 1_000_000;
        let now_us = node.now().mono_us;
        self.net.migrations.cron(now_us);
        for _ in 0..self.net.conns.slots_per_turn(hz) {
            if let Some(conn) = self.net.conns.next_slot() {
                let (id, idle_us) = (conn.id(), conn.idle_us(now_us));
                if let Some(client) = node.engine.client_mut(id)
                    && let Some(parser) = conn.link().parser()
                {
                    let peaks = &mut self.net.client_peaks;
                    peaks.note(now_s, parser.capacity(), client.out.memory_bytes());
                    if conn.link_mut().shrink_input(idle_us > IDLE_US) {
                        client.out.shrink();
                        client.input = conn.link().parser().map_or(client.input, input_buffer);
                    }
                }
                self.close_if_idle(node, id, idle_us);
                self.close_if_unknown(node, id, idle_us);
                match node.engine.client(id).map(|client| client.kind) {
                    Some(Kind::Replica) => self.enforce_replica_limit(node, id),
                    Some(_) => self.enforce_output_limit(node, id),
                    None => {}
                }
            }
        }
    }

    fn close_if_idle(&mut self, node: &mut Node, id: ClientId, idle_us: u64) {
        let timeout_s = u64::from(self.config.network.timeout_s);
        let Some(client) = node.engine.client(id) else { return };
        let exempt =
            client.kind != Kind::Normal || client.is_blocked() || !client.subscriptions.is_empty();
        if timeout_s > 0 && !exempt && idle_us > timeout_s * 1_000_000 {
            debug!("Closing idle client");
            self.close_client(node, id);
        }
    }
}

impl Host {
    /// Who does not finish its handshake holds a connection and some memory, without having said who it is.
    fn close_if_unknown(&mut self, node: &mut Node, id: ClientId, idle_us: u64) {
        let is_unknown = self.net.conns.get(id).is_some_and(|conn| conn.link().is_handshaking());
        if is_unknown && idle_us > HANDSHAKE_US {
            self.handshake_failed(node, id, "the handshake took too long");
        }
    }
}

fn refuse(mut transport: Transport, text: &[u8]) {
    // A fresh socket has room for a line; if not, closing it says enough.
    let _ = transport.write(&[IoSlice::new(text)]);
}

fn is_loopback(peer: &SocketAddr) -> bool {
    match peer.ip() {
        std::net::IpAddr::V4(ip) => ip.is_loopback(),
        std::net::IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    }
}
