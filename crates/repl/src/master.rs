//! Owns the replicas of this server: what they told about themselves, how far they are, and the answers to
//! PSYNC and SYNC. Must not know how snapshots are shared (snapshot.rs) or what bytes are sent
//! when (outgoing.rs).

use crate::backlog::Reader;
use crate::progress::Progress;
use crate::replconf::Introduction;
use crate::sync_stats::FullSyncReason;
use crate::wire::printable;
use crate::{Action, ConnId, Level, Repl, SnapshotId};
use protocol::parse_i64;
use std::collections::{HashMap, HashSet};

/// Where a replica is on its way. See the diagram in the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplicaState {
    WaitStart,
    WaitEnd {
        id: SnapshotId,
    },
    SendFile {
        id: SnapshotId,
        size_bytes: u64,
        sent_bytes: u64,
    },
    Streaming {
        id: SnapshotId,
        position: u64,
    },
    Gated,
    Online,
    /// An error is being sent, then the connection is closed.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) conn: ConnId,
    pub(crate) peer_ip: String,
    pub(crate) intro: Introduction,
    pub(crate) state: ReplicaState,
    /// Lines that go out before anything else: answers, keepalives, the file's preamble.
    pub(crate) head: Vec<u8>,
    /// Its place in the stream, from the fork or the partial resync on.
    pub(crate) reader: Option<Reader>,
    /// It said SYNC: it knows no offsets and sends no ACK.
    pub(crate) is_pre_psync: bool,
    pub(crate) ack_offset: u64,
    pub(crate) fsync_ack_offset: u64,
    pub(crate) ack_ms: u64,
    pub(crate) since_ms: u64,
    /// When bytes of a streamed snapshot last went out.
    pub(crate) last_sent_ms: u64,
    pub(crate) progress: Progress,
}

impl Replica {
    pub(crate) fn is_waiting_for_end(&self) -> bool {
        matches!(self.state, ReplicaState::WaitEnd { .. } | ReplicaState::Streaming { .. })
    }

    pub(crate) fn is_online(&self) -> bool {
        matches!(self.state, ReplicaState::Online | ReplicaState::Gated)
    }

    pub(crate) fn lag_secs(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.ack_ms) / 1000
    }

    /// Where it listens, as far as it is known.
    pub(crate) fn ip(&self) -> &str {
        self.intro.ip_address.as_deref().unwrap_or(&self.peer_ip)
    }

    /// How Redis names a replica in its log.
    pub(crate) fn name(&self) -> String {
        self.intro.name(&self.peer_ip, self.conn)
    }
}

/// All replicas in the order of their arrival, and the connections that may become one.
#[derive(Debug)]
pub(crate) struct Downstream {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) candidates: HashMap<ConnId, Introduction>,
    pub(crate) no_replicas_since_ms: u64,
    pub(crate) field_expiries: FieldExpiries,
}

/// Whether the stream says when fields of hashes expire, and who is known to understand that. See
/// `expiring_fields.rs`.
#[derive(Debug, Default)]
pub(crate) struct FieldExpiries {
    pub(crate) are_said: bool,
    /// Where those listen that have loaded a snapshot since.
    pub(crate) have_loaded: HashSet<(String, u16)>,
    /// When one was last given to who has not.
    pub(crate) given_ms: HashMap<(String, u16), u64>,
}

impl Downstream {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            replicas: Vec::new(),
            candidates: HashMap::new(),
            no_replicas_since_ms: now_ms,
            field_expiries: FieldExpiries::default(),
        }
    }

    pub(crate) fn find(&self, conn: ConnId) -> Option<&Replica> {
        self.replicas.iter().find(|r| r.conn == conn)
    }

    pub(crate) fn find_mut(&mut self, conn: ConnId) -> Option<&mut Replica> {
        self.replicas.iter_mut().find(|r| r.conn == conn)
    }
}

/// A PSYNC as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct SyncRequest<'a> {
    pub conn: ConnId,
    /// Address of the peer, as the log and INFO show it.
    pub peer_ip: &'a str,
    pub replid: &'a [u8],
    pub offset: &'a [u8],
}

/// Why a SYNC or PSYNC is answered with an error: the text after the dash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncRefusal {
    NoMasterLink,
    /// This master is handing its role over.
    FailingOver,
    FilterNeedsEof,
    /// The offset is no number.
    WrongOffset,
    /// It was given a snapshot a moment ago, and has not loaded it.
    NotLoaded,
}

impl SyncRefusal {
    /// The error to answer, with its code word and without the dash.
    pub fn text(&self) -> &'static str {
        match self {
            SyncRefusal::NoMasterLink => {
                "NOMASTERLINK Can't SYNC while not connected with my master"
            }
            SyncRefusal::FailingOver => "NOMASTERLINK Can't SYNC while failing over",
            SyncRefusal::FilterNeedsEof => "ERR Filtered replica requires EOF capability",
            SyncRefusal::NotLoaded => {
                "NOMASTERLINK The last snapshot was not loaded, the next one is made in a while"
            }
            SyncRefusal::WrongOffset => "ERR value is not an integer or out of range",
        }
    }
}

impl Repl {
    /// Whether this connection is a replica of ours.
    pub fn is_replica(&self, conn: ConnId) -> bool {
        self.downstream.find(conn).is_some()
    }

    /// PSYNC. The answer to an accepted request travels through `outgoing`. The caller must have refused
    /// already a connection with replies pending; one that is a replica already is ignored.
    pub fn replica_psync(
        &mut self,
        now_ms: u64,
        request: SyncRequest<'_>,
    ) -> Result<(), SyncRefusal> {
        if self.is_replica(request.conn) {
            return Ok(());
        }
        let intro = self.introduce(request.conn, request.peer_ip)?;
        let name = intro.name(request.peer_ip, request.conn);
        let Some(offset) = parse_i64(request.offset) else {
            let text = format!("Replica {name} asks for synchronization but with a wrong offset");
            self.log(Level::Warning, text);
            return Err(SyncRefusal::WrongOffset);
        };
        let knows_enough = self.knows_enough(&intro, request.peer_ip);
        if !knows_enough && !self.may_be_given_again(now_ms, &intro, request.peer_ip) {
            return Err(SyncRefusal::NotLoaded);
        }
        let reason = match self.accept_partial(&name, request.replid, offset, knows_enough) {
            Ok(reader) => {
                self.stats.partial_ok += 1;
                self.continue_replica(now_ms, request, intro, reader);
                return Ok(());
            }
            Err(reason) => reason,
        };
        if request.replid != b"?" {
            self.stats.partial_err += 1;
        }
        self.add_waiting_replica(now_ms, request.conn, request.peer_ip, intro, reason);
        Ok(())
    }

    /// SYNC, from a replica older than 2.8.
    pub fn replica_sync(
        &mut self,
        now_ms: u64,
        conn: ConnId,
        peer_ip: &str,
    ) -> Result<(), SyncRefusal> {
        if self.is_replica(conn) {
            return Ok(());
        }
        let intro = self.introduce(conn, peer_ip)?;
        self.add_waiting_replica(now_ms, conn, peer_ip, intro, FullSyncReason::OldProtocol);
        Ok(())
    }

    /// Something was read from a replica's connection, be it the empty line that it sends while it loads.
    pub fn handle_replica_alive(&mut self, now_ms: u64, conn: ConnId) {
        if let Some(replica) = self.downstream.find_mut(conn) {
            replica.ack_ms = now_ms;
        }
    }

    /// A client connection is gone. To be called for each that ever said REPLCONF, SYNC or PSYNC; harmless
    /// for others.
    pub fn handle_conn_closed(&mut self, now_ms: u64, conn: ConnId) {
        self.downstream.candidates.remove(&conn);
        if let Some(index) = self.downstream.replicas.iter().position(|r| r.conn == conn) {
            let name = self.downstream.replicas[index].name();
            self.log(Level::Notice, format!("Connection with replica {name} lost."));
            self.remove_replica(now_ms, index);
        }
    }

    /// How many replicas have acknowledged `offset`: WAIT's answer.
    pub fn count_acked(&self, offset: u64) -> usize {
        self.online().filter(|r| r.ack_offset >= offset).count()
    }

    /// How many replicas have `offset` in an AOF on disk: WAITAOF's answer.
    pub fn count_fsynced(&self, offset: u64) -> usize {
        self.online().filter(|r| r.fsync_ack_offset >= offset).count()
    }

    /// The offset that at least so many replicas have acknowledged; `None` while there are not so many.
    pub fn acked_by(&self, replicas: usize) -> Option<u64> {
        nth_largest(self.online().map(|r| r.ack_offset), replicas)
    }

    /// The offset that at least so many replicas have in an AOF on disk; `None` while there are not so many.
    pub fn fsynced_by(&self, replicas: usize) -> Option<u64> {
        nth_largest(self.online().map(|r| r.fsync_ack_offset), replicas)
    }

    /// Replicas whose lag is within `min-replicas-max-lag`.
    pub fn count_good(&self, now_ms: u64) -> usize {
        let max = self.settings.min_replicas_max_lag_secs;
        self.online().filter(|r| r.lag_secs(now_ms) <= max).count()
    }

    /// Whether `min-replicas-to-write` allows writes.
    pub fn has_enough_good_replicas(&self, now_ms: u64) -> bool {
        let wanted = self.settings.min_replicas_to_write;
        wanted == 0
            || self.settings.min_replicas_max_lag_secs == 0
            || self.upstream.is_some()
            || self.count_good(now_ms) as u64 >= wanted
    }

    pub(crate) fn online(&self) -> impl Iterator<Item = &Replica> {
        self.downstream.replicas.iter().filter(|r| r.is_online())
    }

    /// Closes every replica, so that each learns of a change of history when it asks again.
    pub(crate) fn disconnect_replicas(&mut self, now_ms: u64) {
        while let Some(replica) = self.downstream.replicas.last() {
            self.close_replica(now_ms, replica.conn);
        }
    }

    /// Forgets a replica and has its connection closed.
    pub(crate) fn close_replica(&mut self, now_ms: u64, conn: ConnId) {
        if let Some(index) = self.downstream.replicas.iter().position(|r| r.conn == conn) {
            let name = self.downstream.replicas[index].name();
            self.log(Level::Notice, format!("Connection with replica {name} lost."));
            self.actions.push_back(Action::CloseReplica { conn });
            self.remove_replica(now_ms, index);
        }
    }

    fn remove_replica(&mut self, now_ms: u64, index: usize) {
        let replica = self.downstream.replicas.remove(index);
        if let (Some(reader), Some(backlog)) = (replica.reader, self.stream.backlog_mut()) {
            backlog.close_reader(reader);
        }
        if self.downstream.replicas.is_empty() {
            self.downstream.no_replicas_since_ms = now_ms;
        }
        self.forget_unwanted_snapshots(now_ms);
    }

    /// What SYNC and PSYNC have in common: may it ask at all, and what did it say of itself?
    fn introduce(&mut self, conn: ConnId, peer_ip: &str) -> Result<Introduction, SyncRefusal> {
        if self.failover.is_some() {
            return Err(SyncRefusal::FailingOver);
        }
        if self.upstream.is_some() && !self.is_link_up() {
            return Err(SyncRefusal::NoMasterLink);
        }
        let intro = self.downstream.candidates.get(&conn).cloned().unwrap_or_default();
        if intro.filter.is_active() && !intro.knows_eof {
            return Err(SyncRefusal::FilterNeedsEof);
        }
        let name = intro.name(peer_ip, conn);
        self.log(Level::Notice, format!("Replica {name} asks for synchronization"));
        Ok(intro)
    }

    /// A reader at the first missing byte, if the replica's history is ours and the byte is still there.
    fn accept_partial(
        &mut self,
        name: &str,
        replid: &[u8],
        offset: i64,
        knows_enough: bool,
    ) -> Result<Reader, FullSyncReason> {
        let ids = self.ids;
        let is_second = ids.second_offset.is_some() && ids.replid2.is_named_by(replid);
        let second_limit = ids.second_offset.map_or(-1, |o| o as i64);
        let is_ours = ids.replid.is_named_by(replid) || is_second && offset <= second_limit;
        if !is_ours {
            let (reason, text) = if replid.first() == Some(&b'?') {
                (FullSyncReason::First, format!("Full resync requested by replica {name}"))
            } else if is_second {
                let text = format!(
                    "Partial resynchronization not accepted: Requested offset for second ID was \
                     {offset}, but I can reply up to {second_limit}"
                );
                (FullSyncReason::PastPromotion, text)
            } else {
                let text = format!(
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica asked \
                     for '{}', my replication IDs are '{}' and '{}')",
                    printable(replid),
                    ids.replid,
                    ids.replid2
                );
                (FullSyncReason::OtherHistory, text)
            };
            self.log(Level::Notice, text);
            return Err(reason);
        }
        if !knows_enough {
            let text = format!(
                "Partial resynchronization not accepted: fields of hashes expire, and replica {name} has not \
                 loaded a snapshot that says so"
            );
            self.log(Level::Notice, text);
            return Err(FullSyncReason::FieldExpiries);
        }
        let wanted = u64::try_from(offset).ok();
        let reader = match (wanted, self.stream.backlog_mut()) {
            (Some(wanted), Some(backlog)) => backlog.open_reader(wanted),
            _ => None,
        };
        let is_ahead = wanted.is_some_and(|w| w > self.stream.offset());
        if reader.is_none() {
            let text = format!(
                "Unable to partial resync with replica {name} for lack of backlog (Replica request \
                 was: {offset})."
            );
            self.log(Level::Notice, text);
            if is_ahead {
                let text = format!(
                    "Warning: replica {name} tried to PSYNC with an offset that is greater than the \
                     master replication offset."
                );
                self.log(Level::Warning, text);
            }
        }
        reader.ok_or(if is_ahead { FullSyncReason::Ahead } else { FullSyncReason::OutOfBacklog })
    }

    fn continue_replica(
        &mut self,
        now_ms: u64,
        request: SyncRequest<'_>,
        intro: Introduction,
        reader: Reader,
    ) {
        let head = if intro.knows_psync2 {
            format!("+CONTINUE {}\r\n", self.ids.replid)
        } else {
            "+CONTINUE\r\n".to_string()
        };
        let backlog = self.stream.backlog().expect("the reader stands in it");
        let (offset, missing) = (backlog.reader_offset(&reader), backlog.distance(&reader));
        let mut replica = new_replica(now_ms, request.conn, request.peer_ip, intro);
        replica.state = ReplicaState::Online;
        replica.head = head.into_bytes();
        replica.reader = Some(reader);
        let text = format!(
            "Partial resynchronization request from {} accepted. Sending {missing} bytes of backlog \
             starting from offset {offset}.",
            replica.name()
        );
        self.downstream.candidates.remove(&request.conn);
        self.downstream.replicas.push(replica);
        self.log(Level::Notice, text);
    }

    fn add_waiting_replica(
        &mut self,
        now_ms: u64,
        conn: ConnId,
        peer_ip: &str,
        intro: Introduction,
        reason: FullSyncReason,
    ) {
        self.stats.count_full(reason);
        self.downstream.candidates.remove(&conn);
        let mut replica = new_replica(now_ms, conn, peer_ip, intro);
        replica.is_pre_psync = reason == FullSyncReason::OldProtocol;
        self.downstream.replicas.push(replica);
        if self.stream.backlog().is_none() {
            self.create_backlog_with_new_history();
        }
        self.place_in_snapshot(now_ms, conn);
    }

    /// Nobody could have followed while there was no backlog: the bytes of that time are not counted.
    fn create_backlog_with_new_history(&mut self) {
        let replid = self.new_replid();
        self.ids.restart(replid);
        self.stream.create_backlog(self.settings.repl_backlog_size_bytes);
        let text = format!(
            "Replication backlog created, my new replication IDs are '{}' and '{}'",
            self.ids.replid, self.ids.replid2
        );
        self.log(Level::Notice, text);
    }
}

fn new_replica(now_ms: u64, conn: ConnId, peer_ip: &str, intro: Introduction) -> Replica {
    Replica {
        conn,
        peer_ip: peer_ip.to_string(),
        intro,
        state: ReplicaState::WaitStart,
        head: Vec::new(),
        reader: None,
        is_pre_psync: false,
        ack_offset: 0,
        fsync_ack_offset: 0,
        ack_ms: now_ms,
        since_ms: now_ms,
        last_sent_ms: now_ms,
        progress: Progress::new(now_ms),
    }
}

/// The `n`th of the offsets from above, if there are so many.
fn nth_largest(offsets: impl Iterator<Item = u64>, n: usize) -> Option<u64> {
    let mut offsets: Vec<u64> = offsets.collect();
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    n.checked_sub(1).and_then(|at| offsets.get(at)).copied()
}
