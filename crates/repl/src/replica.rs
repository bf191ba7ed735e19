//! Owns the link to our master: its states, its life and death, and the stream. Must not know sockets, files
//! or commands of the stream.
//!
//! Invariants
//! - Events of a link that was given up change nothing.
//! - `resumable` means: the data set is the one that `(replid, offset)` names, and a master may be asked
//!   to go on from there. It survives disconnects, another master, and a transfer that fails before the
//!   old data was dropped.
//! - Received bytes are in the backlog's chain before they are applied, and count only once applied.

use crate::progress::{Progress, Size};
use crate::retry::Pauses;
use crate::standstill::{Resyncs, Standstill};
use crate::transfer::Transfer;
use crate::wire::{Line, LineBuffer, command};
use crate::{Action, HistoryPoint, Level, LinkId, LoadTarget, MasterAddr, Repl, SnapshotProgress};
use bytes::Bytes;

/// Reconnecting at once is for links that had lived, or were up; one that keeps dying is retried after pauses.
const HAS_LIVED_MS: u64 = 1000;
const RECONNECT_PAUSES: Pauses = Pauses { first_ms: 100, cap_ms: 1000 };

/// Of a stream that may not be run for now, so much is taken in.
const HELD_MAX_BYTES: u64 = 1 << 20;

/// What follows the end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reconnect {
    /// At once, if the link had lived or was up, and this is not the next of many that brought nothing.
    Soon,
    /// After a pause: the master has said something that it will say again.
    Later,
    /// Nothing: the master is left.
    Never,
}

#[derive(Debug)]
pub(crate) enum LinkState {
    /// No connection; `retry_at_ms` tells when that changes.
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
    Verify(Arrived),
    /// The driver puts it in place of the old data.
    Commit(Arrived),
    Streaming {
        is_pre_psync: bool,
    },
}

/// A snapshot that is here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) offer: Option<HistoryPoint>,
    pub(crate) target: LoadTarget,
    pub(crate) size_bytes: u64,
}

/// The master, and the link to it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) addr: MasterAddr,
    pub(crate) state: LinkState,
    pub(crate) link: Option<LinkId>,
    line: LineBuffer,
    /// Whether the handshake under way announces an address, and so has an answer to that to come.
    pub(crate) announces_ip: bool,
    pub(crate) last_io_ms: u64,
    attempt_ms: u64,
    /// Attempts since a link was up that had lived or brought something, with the one under way.
    attempts: u32,
    /// When a link that is idle is made anew.
    pub(crate) retry_at_ms: u64,
    /// The command that the stream stops before.
    pub(crate) standstill: Option<Standstill>,
    pub(crate) resyncs: Resyncs,
    /// When the link went down; None before it was ever up.
    pub(crate) down_since_ms: Option<u64>,
    /// What has come of the stream may not be applied yet: only so much more of it is taken in.
    is_held: bool,
    /// Stream bytes that came behind the snapshot while it is being loaded.
    pub(crate) held: Vec<u8>,
    /// Why the last attempt has failed, until one has not.
    pub(crate) failure: Option<String>,
    /// Why the link closed while the snapshot was being loaded: it matters only afterwards.
    pub(crate) lost: Option<String>,
    pub(crate) progress: Progress,
    /// What a master of ours has told last of the snapshot that it makes, or is about to.
    pub(crate) told: Option<SnapshotProgress>,
}

impl Upstream {
    pub(crate) fn new(now_ms: u64, addr: MasterAddr) -> Self {
        Self {
            addr,
            state: LinkState::Idle,
            link: None,
            line: LineBuffer::default(),
            announces_ip: false,
            last_io_ms: now_ms,
            attempt_ms: now_ms,
            attempts: 0,
            retry_at_ms: now_ms,
            standstill: None,
            resyncs: Resyncs::default(),
            down_since_ms: None,
            is_held: false,
            held: Vec::new(),
            failure: None,
            lost: None,
            progress: Progress::new(now_ms),
            told: None,
        }
    }

    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.state, LinkState::Streaming { .. })
    }

    fn is_handshake(&self) -> bool {
        use LinkState::*;
        matches!(self.state, Connecting | Ping | Auth | Port | Ip | Capa | Psync)
    }
}

impl Repl {
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
            self.note_failure(format!("Error condition on socket for SYNC: {why}"));
            self.lose_link(now_ms, Reconnect::Later);
        }
    }

    /// Says in the log, and keeps for INFO, why there is no link to the master.
    pub(crate) fn note_failure(&mut self, text: String) {
        self.log(Level::Warning, text.clone());
        if let Some(up) = &mut self.upstream {
            up.failure = Some(text);
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
            LinkState::Verify(_) | LinkState::Commit(_) => {
                up.lost = Some(why.to_string());
                return;
            }
            _ => Some("Master did not respond to command during SYNC handshake".to_string()),
        };
        let has_heard_nothing = matches!(up.state, LinkState::Ping);
        if let Some(text) = text {
            self.note_failure(text);
        }
        if has_heard_nothing && !self.settings.is_encrypted {
            let text = "The master has closed the connection without a word. If its port speaks TLS alone, this \
                        replica needs 'tls-replication yes'.";
            self.note_failure(text.to_string());
        }
        self.lose_link(now_ms, Reconnect::Soon);
    }

    /// Bytes that were read from the master.
    pub fn handle_bytes(&mut self, now_ms: u64, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(up) = self.current(link) else { return };
            up.last_io_ms = now_ms;
            let taken = match &mut up.state {
                LinkState::Idle | LinkState::Connecting => return,
                LinkState::Transfer { .. } => self.take_payload(now_ms, bytes),
                LinkState::Verify(_) | LinkState::Commit(_) => {
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
                        self.log(
                            Level::Warning,
                            format!(
                                "Bad protocol from MASTER: {}",
                                protocol::link::LinkError::LineTooLong
                            ),
                        );
                        self.lose_link(now_ms, Reconnect::Later);
                        return;
                    }
                },
            };
            bytes = &bytes[taken..];
        }
    }

    /// Whether the link should be read. While a snapshot is loaded, or enough of a held stream is here,
    /// what follows can wait in the socket, and at last at the master, who knows a limit.
    pub fn wants_master_bytes(&self) -> bool {
        let is_loaded =
            |up: &Upstream| matches!(up.state, LinkState::Verify(_) | LinkState::Commit(_));
        self.upstream.as_ref().is_some_and(|up| !is_loaded(up)) && !self.has_enough_held()
    }

    /// What was taken in may not be run, and is enough to go on with when it may.
    fn has_enough_held(&self) -> bool {
        let unapplied = self.stream.backlog().map_or(0, |backlog| backlog.unapplied_len());
        self.is_stream_held() && unapplied >= HELD_MAX_BYTES
    }

    /// The driver may not run the stream for now (a pause of clients), or may again.
    pub fn hold_stream(&mut self, is_held: bool) {
        if let Some(up) = self.upstream.as_mut().filter(|up| up.is_streaming()) {
            up.is_held = is_held;
        }
    }

    pub fn is_stream_held(&self) -> bool {
        self.upstream.as_ref().is_some_and(|up| up.is_held)
    }

    /// The stream was run up to a boundary that lies `n` bytes after the last one.
    pub fn applied(&mut self, _now_ms: u64, n: u64) {
        let streaming = self.upstream.as_mut().filter(|up| up.is_streaming() && n > 0);
        if let Some(up) = streaming {
            // However soon the link breaks, it was no attempt that failed.
            up.attempts = 0;
            self.leave_standstill();
            self.stream.advance(n);
        }
    }

    /// Answers a GETACK in the stream, before that command itself is reported applied.
    pub fn handle_getack(&mut self, now_ms: u64) {
        self.send_ack(now_ms);
        let offset = self.stream.offset();
        self.owed_fsync = self.fsynced_offset.is_some_and(|at| at < offset).then_some(offset);
    }

    /// Sends `REPLCONF ACK`, with `FACK` if there is an append-only file.
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

    pub(crate) fn upstream_tick(&mut self, now_ms: u64) {
        let timeout_ms = self.settings.repl_timeout_secs * 1000;
        let is_deaf = self.has_enough_held();
        let Some(up) = &mut self.upstream else { return };
        if is_deaf {
            // The silence is ours.
            up.last_io_ms = now_ms;
        }
        let is_late = now_ms.saturating_sub(up.last_io_ms) > timeout_ms;
        match &up.state {
            LinkState::Verify(_) | LinkState::Commit(_) => self.send(b"\n"),
            LinkState::Streaming { .. } if is_late => {
                self.log(Level::Warning, "MASTER timeout: no data nor PING received...");
                self.lose_link(now_ms, Reconnect::Soon);
            }
            LinkState::Streaming { .. } => self.send_ack(now_ms),
            LinkState::Preamble { .. } | LinkState::Transfer { .. } if is_late => {
                let text = "Timeout receiving bulk data from MASTER... If the problem persists try \
                            to set the 'repl-timeout' parameter in redis.conf to a larger value.";
                self.log(Level::Warning, text);
                self.lose_link(now_ms, Reconnect::Soon);
            }
            LinkState::Transfer { transfer, .. } => {
                let read = transfer.read_bytes();
                let size = transfer.size_bytes().map_or(Size::streamed(up.told), Size::Exact);
                if let Some(told) = up.progress.tell(now_ms, read, size) {
                    let text = format!("MASTER <-> REPLICA sync: received {told}");
                    self.log(Level::Notice, text);
                }
            }
            LinkState::Preamble { .. } => {
                let told = up.told.and_then(|told| up.progress.tell_snapshot(now_ms, &told));
                if let Some(told) = told {
                    let text = format!(
                        "MASTER <-> REPLICA sync: the master prepares the snapshot: {told}"
                    );
                    self.log(Level::Notice, text);
                }
            }
            _ if up.is_handshake() && is_late => {
                let is_greeting = matches!(up.state, LinkState::Connecting);
                self.note_failure("Timeout connecting to the MASTER...".to_string());
                if is_greeting && self.settings.is_encrypted {
                    let text = "The master has not answered TLS, which 'tls-replication yes' asks for: is this the \
                                port of its 'tls-port'?";
                    self.note_failure(text.to_string());
                }
                self.lose_link(now_ms, Reconnect::Soon);
            }
            _ => {}
        }
    }

    /// Tries again when the pause is over.
    pub(crate) fn retry_master(&mut self, now_ms: u64) {
        if self.reconnect_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
            && let Some(up) = &self.upstream
        {
            let MasterAddr { host, port } = up.addr.clone();
            self.log(Level::Notice, format!("Connecting to MASTER {host}:{port}"));
            self.connect(now_ms);
        }
    }

    /// When a link that is down will be made anew.
    pub fn reconnect_at_ms(&self) -> Option<u64> {
        let up = self.upstream.as_ref()?;
        matches!(up.state, LinkState::Idle).then_some(up.retry_at_ms)
    }

    fn current(&mut self, link: LinkId) -> Option<&mut Upstream> {
        self.upstream.as_mut().filter(|up| up.link == Some(link))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Some(link) = self.upstream.as_ref().and_then(|up| up.link) {
            let bytes = Bytes::copy_from_slice(bytes);
            self.actions.push_back(Action::SendMaster { link, bytes });
        }
    }

    pub(crate) fn connect(&mut self, now_ms: u64) {
        let link = LinkId(self.next_id());
        let Some(up) = &mut self.upstream else { return };
        up.link = Some(link);
        up.state = LinkState::Connecting;
        up.last_io_ms = now_ms;
        up.attempt_ms = now_ms;
        up.attempts = up.attempts.saturating_add(1);
        up.line = LineBuffer::default();
        let MasterAddr { host, port } = up.addr.clone();
        self.actions.push_back(Action::Connect { link, host, port });
        self.log(Level::Notice, "MASTER <-> REPLICA sync started");
    }

    /// Gives the link up, with all that hung on it.
    pub(crate) fn lose_link(&mut self, now_ms: u64, reconnect: Reconnect) {
        let random = self.random();
        let Some(up) = &mut self.upstream else { return };
        let Some(link) = up.link.take() else { return };
        let state = std::mem::replace(&mut up.state, LinkState::Idle);
        up.is_held = false;
        up.held = Vec::new();
        up.lost = None;
        self.owed_fsync = None;
        let was_asked = matches!(state, LinkState::Psync);
        let has_lived = now_ms.saturating_sub(up.attempt_ms) >= HAS_LIVED_MS;
        let was_up = matches!(state, LinkState::Streaming { .. });
        if has_lived && was_up {
            up.attempts = 0;
        }
        let at_once = reconnect == Reconnect::Soon && (has_lived || was_up) && up.attempts <= 1;
        let failures = up.attempts.saturating_sub(1);
        up.retry_at_ms = now_ms + RECONNECT_PAUSES.after(failures, random);
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
                self.log(Level::Notice, "Connection with master lost.");
                if self.resumable {
                    self.log(Level::Notice, "Caching the disconnected master state.");
                }
            }
            LinkState::Transfer { .. } | LinkState::Verify(_) | LinkState::Commit(_) => {
                self.actions.push_back(Action::LoadAbort);
                failed = " after failure";
            }
            _ => failed = " after failure",
        }
        self.note_lost_heir(was_asked);
        if at_once {
            let text = format!("Reconnecting to MASTER {host}:{port}{failed}");
            self.log(Level::Notice, text);
            self.connect(now_ms);
        }
    }

    pub(crate) fn take_stream(&mut self, bytes: &[u8]) {
        if let Some(backlog) = self.stream.backlog_mut() {
            backlog.receive(bytes);
            self.actions.push_back(Action::Apply(Bytes::copy_from_slice(bytes)));
        }
    }

    pub(crate) fn discard_cached_master(&mut self) {
        if std::mem::take(&mut self.resumable) {
            self.log(Level::Notice, "Discarding previously cached master state.");
        }
    }
}
