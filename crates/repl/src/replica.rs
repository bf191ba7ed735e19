//! Owns the link to our master: handshake, full and partial resync, the stream, and changes of role. Must
//! not know sockets, files or commands of the stream.
//!
//! Invariants
//! - Events of a link that was given up change nothing.
//! - `resumable` means: the data set is the one that `(replid, offset)` names, and a master may be asked
//!   to go on from there. It survives disconnects, another master, and a transfer that fails before the
//!   old data was dropped.
//! - Received bytes are in the backlog's chain before they are applied, and count only once applied.

use crate::timers::Progress;
use crate::transfer::Transfer;
use crate::wire::{Line, LineBuffer, command, printable};
use crate::{
    Action, DisklessLoad, HistoryPoint, Level, LinkId, LoadTarget, MasterAddr, Repl, ReplId,
};
use bytes::Bytes;
use protocol::link::{LinkError, PsyncReply, parse_psync_reply, parse_snapshot_header};

/// Reconnecting at once is for links that had lived; one that keeps dying waits for the next second.
const RECONNECT_AFTER_MS: u64 = 1000;

#[derive(Debug)]
pub(crate) enum LinkState {
    /// No connection; the next second tries again.
    Idle,
    Connecting,
    Ping,
    Auth,
    Port,
    Ip,
    Capa,
    Psync,
    /// Waiting for `$<len>` or `$EOF:`. `offer` is what +FULLRESYNC promised; None after a SYNC.
    Preamble {
        offer: Option<HistoryPoint>,
    },
    Transfer {
        offer: Option<HistoryPoint>,
        target: LoadTarget,
        transfer: Transfer,
    },
    /// All of it has been handed over; the driver verifies it.
    Verify {
        offer: Option<HistoryPoint>,
        target: LoadTarget,
    },
    /// The driver puts it in place of the old data.
    Commit {
        offer: Option<HistoryPoint>,
        target: LoadTarget,
    },
    Streaming {
        is_pre_psync: bool,
    },
}

/// The master, and the link to it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) addr: MasterAddr,
    pub(crate) state: LinkState,
    link: Option<LinkId>,
    line: LineBuffer,
    pub(crate) last_io_ms: u64,
    attempt_ms: u64,
    /// When the link went down; None before it was ever up.
    pub(crate) down_since_ms: Option<u64>,
    /// Stream bytes that came behind the snapshot while it is being loaded.
    held: Vec<u8>,
    /// Why the link closed while the snapshot was being loaded: it matters only afterwards.
    lost: Option<String>,
    pub(crate) progress: Progress,
}

/// What REPLICAOF did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaofOutcome {
    Enabled,
    /// Answer "OK Already connected to specified master".
    AlreadyConnected,
}

impl Upstream {
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.state, LinkState::Streaming { .. })
    }

    fn is_handshake(&self) -> bool {
        use LinkState::*;
        matches!(self.state, Connecting | Ping | Auth | Port | Ip | Capa | Psync)
    }
}

impl Repl {
    // ---- role ----

    /// REPLICAOF host port. `requested_by` names the client as in CLIENT LIST, for the log.
    pub fn replicaof(
        &mut self,
        now_ms: u64,
        addr: MasterAddr,
        requested_by: &str,
    ) -> ReplicaofOutcome {
        let is_same = self.upstream.as_ref().is_some_and(|up| {
            up.addr.port == addr.port && up.addr.host.eq_ignore_ascii_case(&addr.host)
        });
        if is_same {
            let text = "REPLICAOF would result into synchronization with the master we are already \
                        connected with. No operation performed.";
            self.log(Level::Notice, text);
            return ReplicaofOutcome::AlreadyConnected;
        }
        let (host, port) = (addr.host.clone(), addr.port);
        if self.upstream.is_some() {
            self.drop_upstream(now_ms);
        } else {
            self.synthesize_cached_master();
        }
        self.follow(now_ms, addr);
        let text = format!("REPLICAOF {host}:{port} enabled (user request from '{requested_by}')");
        self.log(Level::Notice, text);
        ReplicaofOutcome::Enabled
    }

    /// REPLICAOF NO ONE. False if this is a master already.
    pub fn replicaof_no_one(&mut self, now_ms: u64, requested_by: &str) -> bool {
        if self.upstream.is_none() {
            return false;
        }
        self.promote(now_ms);
        let text = format!("MASTER MODE enabled (user request from '{requested_by}')");
        self.log(Level::Notice, text);
        true
    }

    /// `PSYNC replid offset FAILOVER`: our master hands its role over to us. To be called before
    /// `replica_psync`, which then finds a master. Err is the error to answer.
    pub fn handle_failover_request(
        &mut self,
        now_ms: u64,
        replid: &[u8],
        requested_by: &str,
    ) -> Result<(), &'static str> {
        let text = format!("Failover request received for replid {}.", printable(replid));
        self.log(Level::Warning, text);
        if self.upstream.is_none() {
            return Err("ERR PSYNC FAILOVER can't be sent to a master.");
        }
        if !self.ids.replid.is_named_by(replid) {
            return Err("ERR PSYNC FAILOVER replid must match my replid.");
        }
        self.promote(now_ms);
        let text = format!("MASTER MODE enabled (failover request from '{requested_by}')");
        self.log(Level::Notice, text);
        Ok(())
    }

    fn promote(&mut self, now_ms: u64) {
        self.drop_upstream(now_ms);
        self.discard_cached_master();
        let new = self.new_replid();
        let (old, offset) = (self.ids.replid, self.stream.offset());
        self.ids.shift(new, offset);
        let text = format!(
            "Setting secondary replication ID to {old}, valid up to offset: {}. New replication ID \
             is {new}",
            offset + 1
        );
        self.log(Level::Notice, text);
        // Replicas must hear of the new id; they ask again and go on where they are.
        self.disconnect_replicas(now_ms);
        self.selected_db = None;
        self.downstream.no_replicas_since_ms = now_ms;
    }

    /// What a master has, it may offer to its new master: if that one is its promoted replica, a partial
    /// resync is enough.
    pub(crate) fn synthesize_cached_master(&mut self) {
        let text = "Before turning into a replica, using my own master parameters to synthesize a \
                    cached master: I may be able to synchronize with the new master with just a \
                    partial transfer.";
        self.log(Level::Notice, text);
        self.stream.create_backlog(self.settings.repl_backlog_size_bytes);
        self.resumable = true;
    }

    pub(crate) fn follow(&mut self, now_ms: u64, addr: MasterAddr) {
        let (host, port) = (addr.host.clone(), addr.port);
        self.upstream = Some(Upstream {
            addr,
            state: LinkState::Idle,
            link: None,
            line: LineBuffer::default(),
            last_io_ms: now_ms,
            attempt_ms: now_ms,
            down_since_ms: None,
            held: Vec::new(),
            lost: None,
            progress: Progress::new(now_ms),
        });
        self.log(Level::Notice, format!("Connecting to MASTER {host}:{port}"));
        self.connect(now_ms);
    }

    /// Leaves the master without looking for it again.
    fn drop_upstream(&mut self, now_ms: u64) {
        self.lose_link(now_ms, None);
        self.upstream = None;
    }

    // ---- events of the link ----

    pub fn handle_connected(&mut self, now_ms: u64, link: LinkId) {
        let Some(up) = self.current(link) else { return };
        if !matches!(up.state, LinkState::Connecting) {
            return;
        }
        up.last_io_ms = now_ms;
        up.state = LinkState::Ping;
        self.log(Level::Notice, "Non blocking connect for SYNC fired the event.");
        self.send(&command(&[b"PING"]));
    }

    pub fn handle_connect_failed(&mut self, now_ms: u64, link: LinkId, why: &str) {
        if self.current(link).is_some_and(|up| matches!(up.state, LinkState::Connecting)) {
            self.log(Level::Warning, format!("Error condition on socket for SYNC: {why}"));
            self.lose_link(now_ms, None);
        }
    }

    /// The connection to the master is gone. Hand over everything that was read from it first.
    pub fn handle_link_closed(&mut self, now_ms: u64, link: LinkId, why: &str) {
        if self.current(link).is_none() {
            return;
        }
        let Some(up) = &mut self.upstream else { return };
        let text = match up.state {
            LinkState::Idle | LinkState::Streaming { .. } => None,
            LinkState::Connecting => Some(format!("Error condition on socket for SYNC: {why}")),
            LinkState::Psync => Some("Master did not reply to PSYNC, will try later".to_string()),
            LinkState::Preamble { .. } => {
                Some(format!("I/O error reading bulk count from MASTER: {why}"))
            }
            LinkState::Transfer { .. } => {
                Some(format!("I/O error trying to sync with MASTER: {why}"))
            }
            // The snapshot is here: whether the link still lives is the stream's business.
            LinkState::Verify { .. } | LinkState::Commit { .. } => {
                up.lost = Some(why.to_string());
                return;
            }
            _ => Some("Master did not respond to command during SYNC handshake".to_string()),
        };
        if let Some(text) = text {
            self.log(Level::Warning, text);
        }
        self.lose_link(now_ms, Some(now_ms));
    }

    /// Bytes that were read from the master.
    pub fn handle_bytes(&mut self, now_ms: u64, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(up) = self.current(link) else { return };
            up.last_io_ms = now_ms;
            let taken = match &mut up.state {
                LinkState::Idle | LinkState::Connecting => return,
                LinkState::Transfer { .. } => self.take_payload(now_ms, bytes),
                LinkState::Verify { .. } | LinkState::Commit { .. } => {
                    up.held.extend_from_slice(bytes);
                    bytes.len()
                }
                LinkState::Streaming { .. } => {
                    self.take_stream(bytes);
                    bytes.len()
                }
                _ => match up.line.push(bytes) {
                    Line::Incomplete => return,
                    Line::Complete(taken, line) => {
                        self.handle_line(now_ms, &line);
                        taken
                    }
                    Line::TooLong => {
                        let text = "Bad protocol from MASTER: a line is longer than 1024 bytes";
                        self.log(Level::Warning, text);
                        self.lose_link(now_ms, None);
                        return;
                    }
                },
            };
            bytes = &bytes[taken..];
        }
    }

    /// Whether the link should be read. While a snapshot is loaded, what follows it can wait in the socket.
    pub fn wants_master_bytes(&self) -> bool {
        self.upstream.as_ref().is_some_and(|up| {
            !matches!(up.state, LinkState::Verify { .. } | LinkState::Commit { .. })
        })
    }

    /// The stream was run up to a boundary that lies `n` bytes after the last one.
    pub fn applied(&mut self, _now_ms: u64, n: u64) {
        if self.upstream.as_ref().is_some_and(Upstream::is_streaming) && n > 0 {
            self.stream.advance(n);
        }
    }

    /// Sends `REPLCONF ACK`: for a GETACK in the stream, before that command itself is reported applied.
    pub fn send_ack(&mut self, _now_ms: u64) {
        let Some(up) = &self.upstream else { return };
        if !matches!(up.state, LinkState::Streaming { is_pre_psync: false }) {
            return;
        }
        let offset = self.stream.offset().to_string();
        let ack = match self.fsynced_offset.map(|o| o.to_string()) {
            None => command(&[b"REPLCONF", b"ACK", offset.as_bytes()]),
            Some(fsynced) => {
                let words: &[&[u8]] =
                    &[b"REPLCONF", b"ACK", offset.as_bytes(), b"FACK", fsynced.as_bytes()];
                command(words)
            }
        };
        self.send(&ack);
    }

    /// The stream cannot be parsed, or a command of it cannot be run: what we have is not to be trusted to
    /// be a prefix of the master's, so the next sync is a full one.
    pub fn handle_stream_broken(&mut self, now_ms: u64, link: LinkId) {
        if self.current(link).is_some_and(|up| up.is_streaming()) {
            self.log(Level::Notice, "Connection with master lost.");
            self.discard_cached_master();
            self.lose_link(now_ms, None);
        }
    }

    // ---- loading ----

    /// The received snapshot is sound. Answers `LoadEnd`; the next action is `LoadCommit`.
    pub fn load_verified(&mut self, now_ms: u64) {
        let Some(up) = &mut self.upstream else { return };
        let LinkState::Verify { offer, target } = up.state else { return };
        up.state = LinkState::Commit { offer, target };
        match target {
            LoadTarget::File => {
                self.attach_to_new_master(now_ms);
                self.log(Level::Notice, "MASTER <-> REPLICA sync: Flushing old data");
                self.log(Level::Notice, "MASTER <-> REPLICA sync: Loading DB in memory");
            }
            LoadTarget::Parser => {}
            LoadTarget::ParserSwap { .. } => {
                self.attach_to_new_master(now_ms);
                let text = "MASTER <-> REPLICA sync: Swapping active DB with loaded DB";
                self.log(Level::Notice, text);
            }
        }
        self.actions.push_back(Action::LoadCommit);
    }

    /// The data set is the master's. The stream begins.
    pub fn load_done(&mut self, now_ms: u64) {
        let Some(up) = &mut self.upstream else { return };
        let LinkState::Commit { offer, target } = up.state else { return };
        up.state = LinkState::Streaming { is_pre_psync: offer.is_none() };
        up.last_io_ms = now_ms;
        up.down_since_ms = None;
        let held = std::mem::take(&mut up.held);
        let lost = up.lost.take();
        let link = up.link;
        if let LoadTarget::ParserSwap { .. } = target {
            let text = "MASTER <-> REPLICA sync: Discarding old DB in background";
            self.log(Level::Notice, text);
        }
        // A master older than PSYNC tells no offset: the history is ours then, and cannot be resumed.
        let point = match offer {
            Some(point) => point,
            None => HistoryPoint { replid: self.new_replid(), offset: self.stream.offset() },
        };
        self.ids.restart(point.replid);
        self.stream.restart(point.offset, self.settings.repl_backlog_size_bytes);
        self.resumable = offer.is_some();
        self.log(Level::Notice, "MASTER <-> REPLICA sync: Finished with success");
        self.actions.push_back(Action::StreamStart { resumed: false });
        self.send_ack(now_ms);
        if !held.is_empty() {
            self.take_stream(&held);
        }
        if let (Some(why), Some(link)) = (lost, link) {
            self.handle_link_closed(now_ms, link, &why);
        }
    }

    /// The snapshot is not sound, or could not be loaded. Before `LoadCommit` the old data stays as it is.
    pub fn load_failed(&mut self, now_ms: u64, why: &str) {
        let Some(up) = &self.upstream else { return };
        let from = match up.state {
            LinkState::Transfer { target, .. }
            | LinkState::Verify { target, .. }
            | LinkState::Commit { target, .. } => target,
            _ => return,
        };
        let from = if from == LoadTarget::File { "disk" } else { "socket" };
        let text =
            format!("Failed trying to load the MASTER synchronization DB from {from}: {why}");
        self.log(Level::Warning, text);
        self.lose_link(now_ms, Some(now_ms));
    }

    // ---- second by second ----

    pub(crate) fn upstream_tick(&mut self, now_ms: u64) {
        let timeout_ms = self.settings.repl_timeout_secs * 1000;
        let Some(up) = &mut self.upstream else { return };
        let is_late = now_ms.saturating_sub(up.last_io_ms) > timeout_ms;
        match &up.state {
            LinkState::Idle => {
                let MasterAddr { host, port } = up.addr.clone();
                self.log(Level::Notice, format!("Connecting to MASTER {host}:{port}"));
                self.connect(now_ms);
            }
            LinkState::Verify { .. } | LinkState::Commit { .. } => self.send(b"\n"),
            LinkState::Streaming { .. } if is_late => {
                self.log(Level::Warning, "MASTER timeout: no data nor PING received...");
                self.lose_link(now_ms, Some(now_ms));
            }
            LinkState::Streaming { .. } => self.send_ack(now_ms),
            LinkState::Preamble { .. } | LinkState::Transfer { .. } if is_late => {
                let text = "Timeout receiving bulk data from MASTER... If the problem persists try \
                            to set the 'repl-timeout' parameter in redis.conf to a larger value.";
                self.log(Level::Warning, text);
                self.lose_link(now_ms, Some(now_ms));
            }
            LinkState::Transfer { transfer, .. } => {
                let (read, size) = (transfer.read_bytes(), transfer.size_bytes());
                if let Some(told) = up.progress.tell(now_ms, read, size) {
                    let text = format!("MASTER <-> REPLICA sync: received {told}");
                    self.log(Level::Notice, text);
                }
            }
            _ if up.is_handshake() && is_late => {
                self.log(Level::Warning, "Timeout connecting to the MASTER...");
                self.lose_link(now_ms, Some(now_ms));
            }
            _ => {}
        }
    }

    // ---- below: one step each ----

    fn current(&mut self, link: LinkId) -> Option<&mut Upstream> {
        self.upstream.as_mut().filter(|up| up.link == Some(link))
    }

    fn send(&mut self, bytes: &[u8]) {
        if let Some(link) = self.upstream.as_ref().and_then(|up| up.link) {
            let bytes = Bytes::copy_from_slice(bytes);
            self.actions.push_back(Action::SendMaster { link, bytes });
        }
    }

    fn connect(&mut self, now_ms: u64) {
        let link = LinkId(self.next_id());
        let Some(up) = &mut self.upstream else { return };
        up.link = Some(link);
        up.state = LinkState::Connecting;
        up.last_io_ms = now_ms;
        up.attempt_ms = now_ms;
        up.line = LineBuffer::default();
        let MasterAddr { host, port } = up.addr.clone();
        self.actions.push_back(Action::Connect { link, host, port });
        self.log(Level::Notice, "MASTER <-> REPLICA sync started");
    }

    /// Gives the link up, with all that hung on it. With `reconnect_ms`, tries again at once if the link
    /// had lived for a while; otherwise the next second does.
    fn lose_link(&mut self, now_ms: u64, reconnect_ms: Option<u64>) {
        let Some(up) = &mut self.upstream else { return };
        let Some(link) = up.link.take() else { return };
        let state = std::mem::replace(&mut up.state, LinkState::Idle);
        up.held = Vec::new();
        up.lost = None;
        let has_lived = now_ms.saturating_sub(up.attempt_ms) >= RECONNECT_AFTER_MS;
        let MasterAddr { host, port } = up.addr.clone();
        let mut failed = "";
        self.actions.push_back(Action::CloseLink { link });
        match state {
            LinkState::Streaming { .. } => {
                up.down_since_ms = Some(now_ms);
                if let Some(backlog) = self.stream.backlog_mut() {
                    backlog.forget_unapplied();
                }
                self.actions.push_back(Action::StreamEnd);
                if self.resumable {
                    self.log(Level::Notice, "Connection with master lost.");
                    self.log(Level::Notice, "Caching the disconnected master state.");
                }
            }
            LinkState::Transfer { .. } | LinkState::Verify { .. } | LinkState::Commit { .. } => {
                self.actions.push_back(Action::LoadAbort);
                failed = " after failure";
            }
            _ => failed = " after failure",
        }
        if reconnect_ms.is_some() && has_lived {
            let text = format!("Reconnecting to MASTER {host}:{port}{failed}");
            self.log(Level::Notice, text);
            self.connect(now_ms);
        }
    }

    fn handle_line(&mut self, now_ms: u64, line: &[u8]) {
        let Some(up) = &mut self.upstream else { return };
        let is_error = line.first() == Some(&b'-');
        let shown = || printable(line);
        match up.state {
            LinkState::Ping => self.handle_pong(now_ms, line),
            LinkState::Auth if is_error => {
                self.log(Level::Warning, format!("Unable to AUTH to MASTER: {}", shown()));
                self.lose_link(now_ms, None);
            }
            LinkState::Auth => up.state = LinkState::Port,
            LinkState::Port => {
                let has_ip = self.settings.announce_ip.is_some();
                up.state = if has_ip { LinkState::Ip } else { LinkState::Capa };
                self.note_unknown_replconf("listening-port", line);
            }
            LinkState::Ip => {
                up.state = LinkState::Capa;
                self.note_unknown_replconf("ip-address", line);
            }
            LinkState::Capa => {
                up.state = LinkState::Psync;
                self.note_unknown_replconf("capa", line);
                self.send_psync();
            }
            LinkState::Psync => self.handle_psync_reply(now_ms, line),
            LinkState::Preamble { offer } => self.handle_preamble(now_ms, offer, line),
            _ => {}
        }
    }

    fn note_unknown_replconf(&mut self, option: &str, line: &[u8]) {
        if line.first() == Some(&b'-') {
            let text = format!(
                "(Non critical) Master does not understand REPLCONF {option}: {}",
                printable(line)
            );
            self.log(Level::Notice, text);
        }
    }

    /// Any answer to PING shows that there is a Redis; those that ask for a password are no refusal yet.
    fn handle_pong(&mut self, now_ms: u64, line: &[u8]) {
        let prefixes: [&[u8]; 4] = [b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"];
        if !prefixes.iter().any(|p| line.starts_with(p)) {
            let text = format!("Error reply to PING from master: '{}'", printable(line));
            self.log(Level::Warning, text);
            self.lose_link(now_ms, None);
            return;
        }
        self.log(Level::Notice, "Master replied to PING, replication can continue...");
        let settings = &self.settings;
        let port = settings.announce_port.to_string();
        let mut out = Vec::new();
        let state = match &settings.master_auth {
            None => LinkState::Port,
            Some(password) => {
                let mut words: Vec<&[u8]> = vec![b"AUTH"];
                words.extend(settings.master_user.as_ref().map(|u| u.as_bytes()));
                words.push(password);
                out.extend(command(&words));
                LinkState::Auth
            }
        };
        out.extend(command(&[b"REPLCONF", b"listening-port", port.as_bytes()]));
        if let Some(ip) = &settings.announce_ip {
            out.extend(command(&[b"REPLCONF", b"ip-address", ip.as_bytes()]));
        }
        out.extend(command(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]));
        self.send(&out);
        if let Some(up) = &mut self.upstream {
            up.state = state;
        }
    }

    fn send_psync(&mut self) {
        let (replid, offset) = if self.resumable {
            let (replid, offset) = (self.ids.replid, (self.stream.offset() + 1).to_string());
            let text = format!("Trying a partial resynchronization (request {replid}:{offset}).");
            self.log(Level::Notice, text);
            (replid.to_string(), offset)
        } else {
            let text = "Partial resynchronization not possible (no cached master)";
            self.log(Level::Notice, text);
            ("?".to_string(), "-1".to_string())
        };
        self.send(&command(&[b"PSYNC", replid.as_bytes(), offset.as_bytes()]));
    }

    fn handle_psync_reply(&mut self, now_ms: u64, line: &[u8]) {
        if line.is_empty() {
            return; // The master keeps the link alive while it prepares its answer.
        }
        let text = match parse_psync_reply(line) {
            Ok(PsyncReply::FullResync { replid, offset }) => {
                let replid = ReplId::parse(&replid).expect("protocol has checked it");
                self.log(Level::Notice, format!("Full resync from master: {replid}:{offset}"));
                let offset = offset.unsigned_abs();
                return self.expect_snapshot(Some(HistoryPoint { replid, offset }));
            }
            Ok(PsyncReply::Continue { replid }) if self.resumable => {
                return self.continue_stream(now_ms, replid.and_then(|id| ReplId::parse(&id)));
            }
            Ok(PsyncReply::NotNow(_)) => {
                let text = format!(
                    "Master is currently unable to PSYNC but should be in the future: {}",
                    printable(line)
                );
                self.log(Level::Notice, text);
                return self.lose_link(now_ms, None);
            }
            // A master that speaks of a full resync sends one, even if we cannot name its history.
            Err(LinkError::BadFullResync(_)) => {
                self.log(Level::Warning, "Master replied with wrong +FULLRESYNC syntax.");
                return self.expect_snapshot(None);
            }
            Ok(PsyncReply::Unsupported(_)) => {
                let why = printable(line);
                format!("Master does not support PSYNC or is in error state (reply: {why})")
            }
            _ => format!("Unexpected reply to PSYNC from master: {}", printable(line)),
        };
        let is_error = line.starts_with(b"-ERR");
        self.log(if is_error { Level::Notice } else { Level::Warning }, text);
        self.log(Level::Notice, "Retrying with SYNC...");
        self.send(b"SYNC\r\n");
        self.expect_snapshot(None);
    }

    fn expect_snapshot(&mut self, offer: Option<HistoryPoint>) {
        if let Some(up) = &mut self.upstream {
            up.state = LinkState::Preamble { offer };
        }
    }

    fn continue_stream(&mut self, now_ms: u64, replid: Option<ReplId>) {
        self.log(Level::Notice, "Successful partial resynchronization with master.");
        if let Some(new) = replid
            && new != self.ids.replid
        {
            self.ids.shift(new, self.stream.offset());
            self.log(Level::Notice, format!("Master replication ID changed to {new}"));
            // Sub-replicas learn the new id when they ask again; replid2 lets them go on.
            self.disconnect_replicas(now_ms);
        }
        self.stream.create_backlog(self.settings.repl_backlog_size_bytes);
        if let Some(up) = &mut self.upstream {
            up.state = LinkState::Streaming { is_pre_psync: false };
            up.down_since_ms = None;
        }
        let text = "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.";
        self.log(Level::Notice, text);
        self.actions.push_back(Action::StreamStart { resumed: true });
    }

    fn handle_preamble(&mut self, now_ms: u64, offer: Option<HistoryPoint>, line: &[u8]) {
        if line.is_empty() {
            return; // Still making the snapshot.
        }
        if let Some(why) = line.strip_prefix(b"-") {
            let text = format!("MASTER aborted replication with an error: {}", printable(why));
            self.log(Level::Warning, text);
            return self.lose_link(now_ms, None);
        }
        let Ok(header) = parse_snapshot_header(line) else {
            let text = format!(
                "Bad protocol from MASTER, the first byte is not '$' (we received '{}'), are you \
                 sure the host and port are right?",
                printable(line)
            );
            self.log(Level::Warning, text);
            return self.lose_link(now_ms, None);
        };
        let target = self.load_target(offer);
        let to = if target == LoadTarget::File { "to disk" } else { "to parser" };
        let transfer = Transfer::new(&header);
        let size_bytes = transfer.size_bytes();
        let text = match size_bytes {
            Some(size) => {
                format!("MASTER <-> REPLICA sync: receiving {size} bytes from master {to}")
            }
            None => {
                format!("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {to}")
            }
        };
        self.log(Level::Notice, text);
        if target == LoadTarget::Parser {
            self.attach_to_new_master(now_ms);
            self.log(Level::Notice, "MASTER <-> REPLICA sync: Flushing old data");
        }
        if target != LoadTarget::File {
            self.log(Level::Notice, "MASTER <-> REPLICA sync: Loading DB in memory");
        }
        self.actions.push_back(Action::LoadStart { target, size_bytes });
        if let Some(up) = &mut self.upstream {
            up.progress = Progress::new(now_ms);
            up.state = LinkState::Transfer { offer, target, transfer };
            if size_bytes == Some(0) {
                self.end_transfer();
            }
        }
    }

    fn load_target(&self, offer: Option<HistoryPoint>) -> LoadTarget {
        match self.settings.repl_diskless_load {
            DisklessLoad::OnEmptyDb if self.dataset_is_empty => LoadTarget::Parser,
            DisklessLoad::SwapDb => LoadTarget::ParserSwap {
                same_history: offer.is_some_and(|o| o.replid == self.ids.replid),
            },
            _ => LoadTarget::File,
        }
    }

    fn take_payload(&mut self, _now_ms: u64, bytes: &[u8]) -> usize {
        let Some(Upstream { state: LinkState::Transfer { transfer, .. }, .. }) = &mut self.upstream
        else {
            return bytes.len();
        };
        let step = transfer.push(bytes);
        for part in [&step.released[..], step.payload] {
            if !part.is_empty() {
                self.actions.push_back(Action::LoadChunk(Bytes::copy_from_slice(part)));
            }
        }
        if step.done {
            self.end_transfer();
        }
        step.taken
    }

    fn end_transfer(&mut self) {
        let Some(up) = &mut self.upstream else { return };
        if let LinkState::Transfer { offer, target, transfer } = &up.state {
            let size_bytes = transfer.read_bytes();
            up.state = LinkState::Verify { offer: *offer, target: *target };
            self.actions.push_back(Action::LoadEnd { size_bytes });
        }
    }

    fn take_stream(&mut self, bytes: &[u8]) {
        if let Some(backlog) = self.stream.backlog_mut() {
            backlog.receive(bytes);
            self.actions.push_back(Action::Apply(Bytes::copy_from_slice(bytes)));
        }
    }

    /// The old data set goes: nobody may partially resync with it any more, neither we nor from us.
    fn attach_to_new_master(&mut self, now_ms: u64) {
        self.discard_cached_master();
        self.disconnect_replicas(now_ms);
        self.detach_snapshot_from_history();
        self.stream.free_backlog();
        let replid = self.new_replid();
        self.ids.restart(replid);
    }

    fn discard_cached_master(&mut self) {
        if std::mem::take(&mut self.resumable) {
            self.log(Level::Notice, "Discarding previously cached master state.");
        }
    }
}
