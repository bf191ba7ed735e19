//! Owns full syncs: which replicas share which snapshot, when one is started, fed, finished or given up.
//! Must not know how a snapshot is made, nor write to a connection.
//!
//! Invariants: at most one snapshot is being made; a replica in `WaitEnd` or `Streaming` belongs to
//! it; every replica that shares it has the stream from the fork on.

use crate::backlog::Reader;
use crate::master::{Replica, ReplicaState};
use crate::progress::Progress;
use crate::{
    Action, ConnId, Filter, Level, OtherChild, Repl, ReplId, SnapshotEvent, SnapshotId,
    SnapshotMode, SnapshotProgress,
};
use bytes::Bytes;
use protocol::link::EOF_MARK_LEN;
use std::collections::VecDeque;

/// How much of a streamed snapshot may wait for the slowest replica before the pipe is left unread.
const QUEUE_MAX_BYTES: u64 = 1024 * 1024;

/// `$EOF:`, the mark, and the line's end.
const PREAMBLE_LEN: u64 = 5 + EOF_MARK_LEN as u64 + 2;

#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: SnapshotId,
    pub(crate) mode: SnapshotMode,
    filter: Filter,
    needs_eof: bool,
    phase: Phase,
    pub(crate) queue: ChunkQueue,
    /// What the child has told last.
    pub(crate) progress: Option<SnapshotProgress>,
    pub(crate) teller: Progress,
}

impl Snapshot {
    /// Whether its child still works.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// A line for the log, when it is time for one.
    pub(crate) fn tell(&mut self, now_ms: u64) -> Option<String> {
        self.teller.tell_snapshot(now_ms, &self.progress?)
    }
}

#[derive(Debug)]
enum Phase {
    /// The driver was asked to fork.
    Requested,
    /// The child works. `start` is the place in the stream where it was forked, for latecomers.
    Running { offset: u64, start: Option<Reader> },
    /// The child of a streamed snapshot is done; what it wrote is still being sent.
    Draining,
}

/// A finished file that is being sent.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    id: SnapshotId,
}

/// The framed bytes of a streamed snapshot, kept from the slowest replica's position on.
#[derive(Debug, Default)]
pub(crate) struct ChunkQueue {
    chunks: VecDeque<Bytes>,
    first_position: u64,
    end_position: u64,
    /// What ends it; None once that is in the queue.
    mark: Option<ReplId>,
}

impl ChunkQueue {
    fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.end_position += bytes.len() as u64;
            self.chunks.push_back(bytes);
        }
    }

    fn len(&self) -> u64 {
        self.end_position - self.first_position
    }

    /// The chunks from `position` on.
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = &[u8]> {
        let mut skip = position - self.first_position;
        self.chunks.iter().filter_map(move |chunk| {
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let rest = &chunk[skipped as usize..];
            (!rest.is_empty()).then_some(rest)
        })
    }

    fn drop_before(&mut self, position: u64) {
        while let Some(chunk) = self.chunks.front() {
            if self.first_position + chunk.len() as u64 > position {
                break;
            }
            self.first_position += chunk.len() as u64;
            self.chunks.pop_front();
        }
    }
}

impl Repl {
    /// Reports what happened to a snapshot. Events of one that was cancelled are ignored.
    pub fn handle_snapshot(&mut self, now_ms: u64, event: SnapshotEvent) {
        let id = match &event {
            SnapshotEvent::Started { id }
            | SnapshotEvent::Chunk { id, .. }
            | SnapshotEvent::Progress { id, .. }
            | SnapshotEvent::Ready { id, .. }
            | SnapshotEvent::Failed { id, .. } => *id,
        };
        // One Started, then chunks, then one end: whatever comes out of order is about nothing.
        let is_start = matches!(event, SnapshotEvent::Started { .. });
        let is_expected = self.snapshot.as_ref().is_some_and(|s| {
            s.id == id
                && match s.phase {
                    Phase::Requested => is_start || matches!(event, SnapshotEvent::Failed { .. }),
                    Phase::Running { .. } => !is_start,
                    Phase::Draining => false,
                }
        });
        if !is_expected {
            return;
        }
        match event {
            SnapshotEvent::Started { .. } => self.snapshot_started(now_ms),
            SnapshotEvent::Chunk { bytes, .. } => self.snapshot_chunk(bytes),
            SnapshotEvent::Progress { progress, .. } => self.snapshot_progress(progress),
            SnapshotEvent::Ready { size_bytes, .. } => self.snapshot_ready(now_ms, size_bytes),
            SnapshotEvent::Failed { .. } => self.snapshot_failed(now_ms),
        }
    }

    /// Bytes of the stream that are kept for the slowest who was promised them: a replica, or whoever may still
    /// join the snapshot that is being made.
    pub fn held_bytes(&self) -> u64 {
        let Some(backlog) = self.stream.backlog() else { return 0 };
        let joining = match &self.snapshot {
            Some(Snapshot { phase: Phase::Running { start, .. }, .. }) => start.as_ref(),
            _ => None,
        };
        let replicas = self.downstream.replicas.iter().filter_map(|r| r.reader.as_ref());
        replicas.chain(joining).map(|reader| backlog.held_by(reader)).max().unwrap_or(0)
    }

    /// Whether the child's pipe should be read: the slowest replica has taken most of what came so far.
    pub fn snapshot_wants_data(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|s| {
            s.mode == SnapshotMode::Socket
                && matches!(s.phase, Phase::Running { .. })
                && s.queue.len() < QUEUE_MAX_BYTES
        })
    }

    /// Finds a snapshot for a replica that has just asked for a full sync.
    pub(crate) fn place_in_snapshot(&mut self, now_ms: u64, conn: ConnId) {
        let Some(replica) = self.downstream.find(conn) else { return };
        let knows_eof = replica.intro.knows_eof;
        let filter = replica.intro.filter;
        if let Some(snapshot) = &self.snapshot {
            match (snapshot.mode, &snapshot.phase) {
                (_, Phase::Requested) => {}
                (SnapshotMode::Disk, Phase::Running { offset, start: Some(_) })
                    if snapshot.filter == filter && (knows_eof || !snapshot.needs_eof) =>
                {
                    let offset = *offset;
                    self.share_snapshot(now_ms, conn, offset);
                    self.log(Level::Notice, "Waiting for end of BGSAVE for SYNC");
                }
                (SnapshotMode::Disk, _) => self.log_cannot_attach(),
                (SnapshotMode::Socket, _) => self.log(
                    Level::Notice,
                    "Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC",
                ),
            }
            return;
        }
        match self.other_child {
            OtherChild::Save => return self.log_cannot_attach(),
            OtherChild::RdbName if self.mode_for(filter, knows_eof) == SnapshotMode::Socket => {}
            OtherChild::Other | OtherChild::RdbName => {
                let text = "No BGSAVE in progress, but another BG operation is active. BGSAVE for \
                            replication delayed";
                return self.log(Level::Notice, text);
            }
            OtherChild::None => {}
        }
        let delay = self.settings.repl_diskless_sync_delay_secs;
        if self.settings.repl_diskless_sync && knows_eof && delay > 0 {
            self.log(Level::Notice, "Delay next BGSAVE for diskless SYNC");
            self.start_pending_snapshot(now_ms);
        } else {
            self.start_snapshot(filter, knows_eof);
        }
    }

    /// Starts a snapshot if replicas have waited long enough for one, or enough of them wait.
    pub(crate) fn start_pending_snapshot(&mut self, now_ms: u64) {
        if self.snapshot.is_some()
            || matches!(self.other_child, OtherChild::Save | OtherChild::Other)
        {
            return;
        }
        let waiting = || self.downstream.replicas.iter().filter(|r| is_waiting_for_start(r));
        let Some(filter) = waiting().next().map(|r| r.intro.filter) else { return };
        let alike = || waiting().filter(|r| r.intro.filter == filter);
        let count = alike().count() as u64;
        let longest_ms = alike().map(|r| now_ms.saturating_sub(r.since_ms)).max().unwrap_or(0);
        let all_know_eof = alike().all(|r| r.intro.knows_eof);
        if self.other_child == OtherChild::RdbName
            && self.mode_for(filter, all_know_eof) == SnapshotMode::Disk
        {
            return;
        }
        let enough = self.settings.repl_diskless_sync_max_replicas;
        if !self.settings.repl_diskless_sync
            || enough > 0 && count >= enough
            || longest_ms >= self.settings.repl_diskless_sync_delay_secs * 1000
        {
            self.start_snapshot(filter, all_know_eof);
        }
    }

    /// Gives up what no replica wants any more.
    pub(crate) fn forget_unwanted_snapshots(&mut self, now_ms: u64) {
        let replicas = &self.downstream.replicas;
        let in_use = |id| {
            replicas
                .iter()
                .any(|r| matches!(r.state, ReplicaState::SendFile { id: other, .. } if other == id))
        };
        let (keep, done): (Vec<_>, Vec<_>) = self.files.drain(..).partition(|f| in_use(f.id));
        self.files = keep;
        self.actions.extend(done.iter().map(|f| Action::ReleaseSnapshot { id: f.id }));

        let Some(snapshot) = &mut self.snapshot else { return };
        let slowest = replicas.iter().filter_map(|r| match r.state {
            ReplicaState::Streaming { id, position } if id == snapshot.id => Some(position),
            _ => None,
        });
        if let Some(position) = slowest.min() {
            snapshot.queue.drop_before(position);
        }
        if matches!(snapshot.phase, Phase::Requested)
            || replicas.iter().any(Replica::is_waiting_for_end)
        {
            return;
        }
        if matches!(snapshot.phase, Phase::Draining) {
            self.end_snapshot();
            self.start_pending_snapshot(now_ms);
        } else if snapshot.mode == SnapshotMode::Socket {
            let text = "Diskless rdb transfer, last replica dropped, killing fork child.";
            self.log(Level::Notice, text);
            self.cancel_snapshot();
        } else if !self.settings.has_save_points {
            self.cancel_snapshot();
        }
    }

    /// The history ends here: a running snapshot belongs to the old one, and nobody may attach to it.
    pub(crate) fn detach_snapshot_from_history(&mut self) {
        let start = match &mut self.snapshot {
            Some(Snapshot { phase: Phase::Running { start, .. }, .. }) => start.take(),
            _ => None,
        };
        if let (Some(start), Some(backlog)) = (start, self.stream.backlog_mut()) {
            backlog.close_reader(start);
        }
    }

    /// A replica has got the whole snapshot: it is a replica in earnest, or was there for the RDB only.
    pub(crate) fn finish_transfer(&mut self, now_ms: u64, conn: ConnId, is_streamed: bool) {
        let Some(replica) = self.downstream.find_mut(conn) else { return };
        replica.ack_ms = now_ms;
        let name = replica.name();
        let rdb_only = replica.intro.rdb_only;
        replica.state = if is_streamed { ReplicaState::Gated } else { ReplicaState::Online };
        if is_streamed {
            let text = format!(
                "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for REPLCONF \
                 ACK from replica to enable streaming"
            );
            self.log(Level::Notice, text);
        }
        if rdb_only {
            let text = format!(
                "RDB transfer completed, rdb only replica ({name}) should be disconnected asap"
            );
            self.log(Level::Notice, text);
            self.close_replica(now_ms, conn);
            return;
        }
        self.log(Level::Notice, format!("Synchronization with replica {name} succeeded"));
        self.forget_unwanted_snapshots(now_ms);
    }

    /// Whether the child of the streamed snapshot is done and all its bytes before `position` are sent.
    pub(crate) fn is_stream_complete(&self, position: u64) -> bool {
        self.snapshot
            .as_ref()
            .is_some_and(|s| matches!(s.phase, Phase::Draining) && position == s.queue.end_position)
    }

    fn mode_for(&self, filter: Filter, all_know_eof: bool) -> SnapshotMode {
        let wants_socket = self.settings.repl_diskless_sync || filter.is_active();
        if wants_socket && all_know_eof { SnapshotMode::Socket } else { SnapshotMode::Disk }
    }

    fn start_snapshot(&mut self, filter: Filter, all_know_eof: bool) {
        let mode = self.mode_for(filter, all_know_eof);
        let target = match mode {
            SnapshotMode::Socket => "replicas sockets",
            SnapshotMode::Disk => "disk",
        };
        self.log(Level::Notice, format!("Starting BGSAVE for SYNC with target: {target}"));
        let id = SnapshotId(self.next_id());
        self.snapshot = Some(Snapshot {
            id,
            mode,
            filter,
            needs_eof: all_know_eof,
            phase: Phase::Requested,
            queue: ChunkQueue::default(),
            progress: None,
            teller: Progress::new(0),
        });
        self.actions.push_back(Action::StartSnapshot { id, mode, filter });
    }

    fn snapshot_started(&mut self, now_ms: u64) {
        let mark = ReplId::from_random((self.entropy)());
        let offset = self.stream.offset();
        let Some(backlog) = self.stream.backlog_mut() else { return };
        let Some(snapshot) = &mut self.snapshot else { return };
        snapshot.phase = Phase::Running { offset, start: Some(backlog.open_reader_at_end()) };
        snapshot.teller = Progress::new(now_ms);
        if snapshot.mode == SnapshotMode::Socket {
            snapshot.queue.mark = Some(mark);
            let preamble = [b"$EOF:".as_slice(), mark.as_bytes().as_slice(), b"\r\n"].concat();
            snapshot.queue.push(preamble.into());
        }
        // Not every replica takes the stream's database from the snapshot: the stream must say it itself.
        self.actions.push_back(Action::SelectAgain);
        let filter = snapshot.filter;
        let waiting: Vec<ConnId> = (self.downstream.replicas.iter())
            .filter(|r| is_waiting_for_start(r) && r.intro.filter == filter)
            .map(|r| r.conn)
            .collect();
        for conn in waiting {
            self.share_snapshot(now_ms, conn, offset);
        }
        self.forget_unwanted_snapshots(now_ms);
    }

    /// Lets a replica wait for the running snapshot, with the stream from the fork on.
    fn share_snapshot(&mut self, now_ms: u64, conn: ConnId, offset: u64) {
        let Some(snapshot) = &self.snapshot else { return };
        let Some(replica) = self.downstream.replicas.iter_mut().find(|r| r.conn == conn) else {
            return;
        };
        replica.state = match snapshot.mode {
            SnapshotMode::Disk => ReplicaState::WaitEnd { id: snapshot.id },
            SnapshotMode::Socket => ReplicaState::Streaming { id: snapshot.id, position: 0 },
        };
        replica.last_sent_ms = now_ms;
        replica.progress = Progress::new(now_ms);
        if let (Phase::Running { start: Some(start), .. }, Some(backlog), false) =
            (&snapshot.phase, self.stream.backlog_mut(), replica.intro.rdb_only)
        {
            replica.reader = Some(backlog.clone_reader(start));
        }
        if !replica.is_pre_psync {
            let line = format!("+FULLRESYNC {} {offset}\r\n", self.ids.replid);
            replica.head.extend_from_slice(line.as_bytes());
        }
        if replica.intro.knows_progress {
            let line = snapshot.progress.unwrap_or_default().line();
            replica.head.extend_from_slice(line.as_bytes());
        }
    }

    /// Passes on what the child has told, to those who understand it. A replica that has not taken the last
    /// report yet gets none: there will be a newer one.
    fn snapshot_progress(&mut self, progress: SnapshotProgress) {
        let Some(snapshot) = &mut self.snapshot else { return };
        snapshot.progress = Some(progress);
        let of = snapshot.id;
        let understands = |r: &&mut Replica| r.intro.knows_progress && r.head.is_empty();
        for replica in self.downstream.replicas.iter_mut().filter(understands) {
            match (replica.state, snapshot.queue.mark) {
                (ReplicaState::WaitEnd { id }, _) if id == of => {
                    replica.head.extend_from_slice(progress.line().as_bytes());
                }
                // Within the preamble there is no place for it, nor within the mark at the end.
                (ReplicaState::Streaming { id, position }, Some(mark))
                    if id == of && position >= PREAMBLE_LEN =>
                {
                    replica.head.extend_from_slice(&progress.amidst(mark.as_bytes()));
                }
                _ => {}
            }
        }
    }

    fn snapshot_chunk(&mut self, bytes: Bytes) {
        if let Some(snapshot) = &mut self.snapshot
            && matches!(snapshot.phase, Phase::Running { .. })
        {
            snapshot.queue.push(bytes);
        }
    }

    fn snapshot_ready(&mut self, now_ms: u64, size_bytes: u64) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let id = snapshot.id;
        if snapshot.mode == SnapshotMode::Socket {
            if let Some(mark) = snapshot.queue.mark.take() {
                snapshot.queue.push(Bytes::copy_from_slice(mark.as_bytes()));
            }
            let up = self.downstream.replicas.iter().filter(|r| r.is_waiting_for_end()).count();
            let text =
                format!("Diskless rdb transfer, done reading from pipe, {up} replicas still up.");
            self.log(Level::Notice, text);
            self.close_snapshot_start();
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.phase = Phase::Draining;
            }
            return;
        }
        self.end_snapshot();
        for replica in &mut self.downstream.replicas {
            if replica.state == (ReplicaState::WaitEnd { id }) {
                replica.head.extend_from_slice(format!("${size_bytes}\r\n").as_bytes());
                replica.state = ReplicaState::SendFile { id, size_bytes, sent_bytes: 0 };
                replica.last_sent_ms = now_ms;
                replica.progress = Progress::new(now_ms);
            }
        }
        self.files.push(SnapshotFile { id });
        self.forget_unwanted_snapshots(now_ms);
        self.start_pending_snapshot(now_ms);
    }

    fn snapshot_failed(&mut self, now_ms: u64) {
        let Some(snapshot) = &self.snapshot else { return };
        let was_requested = matches!(snapshot.phase, Phase::Requested);
        let filter = snapshot.filter;
        self.end_snapshot();
        if was_requested {
            self.log(Level::Warning, "BGSAVE for replication failed");
            for replica in &mut self.downstream.replicas {
                if is_waiting_for_start(replica) && replica.intro.filter == filter {
                    replica.state = ReplicaState::Refused;
                    let line = b"-ERR BGSAVE failed, replication can't continue\r\n";
                    replica.head.extend_from_slice(line);
                }
            }
            return;
        }
        let sharing: Vec<ConnId> = (self.downstream.replicas.iter())
            .filter(|r| r.is_waiting_for_end())
            .map(|r| r.conn)
            .collect();
        for conn in sharing {
            self.log(Level::Warning, "SYNC failed. BGSAVE child returned an error");
            self.close_replica(now_ms, conn);
        }
        self.start_pending_snapshot(now_ms);
    }

    fn cancel_snapshot(&mut self) {
        if let Some(snapshot) = &self.snapshot {
            self.actions.push_back(Action::CancelSnapshot { id: snapshot.id });
            self.end_snapshot();
        }
    }

    fn end_snapshot(&mut self) {
        self.close_snapshot_start();
        self.snapshot = None;
    }

    fn close_snapshot_start(&mut self) {
        self.detach_snapshot_from_history();
    }

    fn log_cannot_attach(&mut self) {
        let text =
            "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC";
        self.log(Level::Notice, text);
    }
}

fn is_waiting_for_start(replica: &Replica) -> bool {
    replica.state == ReplicaState::WaitStart
}
