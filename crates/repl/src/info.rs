//! Owns the views of the replication state: INFO replication and stats, ROLE, what a snapshot's header says.
//! Must not change anything.

use crate::master::{Replica, ReplicaState};
use crate::progress::{Progress, Size, share, snapshot_text, transfer_text};
use crate::replica::{Arrived, LinkState};
use crate::{
    Backlog, ConnId, FailoverState, HistoryPoint, Ids, MasterAddr, Repl, SnapshotMode,
    SnapshotProgress, StreamFault, SyncStats,
};

/// The states that INFO and ROLE show of the link to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPhase {
    Connect,
    Connecting,
    Handshake,
    Sync,
    Connected,
}

impl LinkPhase {
    /// ROLE's word.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkPhase::Connect => "connect",
            LinkPhase::Connecting => "connecting",
            LinkPhase::Handshake => "handshake",
            LinkPhase::Sync => "sync",
            LinkPhase::Connected => "connected",
        }
    }
}

/// A running transfer of a snapshot, from the master or to a replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransferView {
    size: Size,
    pub read_bytes: u64,
    pub bytes_per_sec: f64,
    /// Since the last byte.
    pub last_io_secs: u64,
}

impl TransferView {
    fn new(progress: &Progress, now_ms: u64, read_bytes: u64, size: Size) -> Self {
        let bytes_per_sec = progress.rate(now_ms, read_bytes);
        Self { size, read_bytes, bytes_per_sec, last_io_secs: 0 }
    }

    /// None while a snapshot of unknown length is streamed.
    pub fn total_bytes(&self) -> Option<u64> {
        self.size.exact_bytes()
    }

    /// Where nobody knows the length, what can be said of it. None before the master has written anything of
    /// which one could judge.
    pub fn estimate(&self) -> Option<SyncEstimate> {
        let Size::Growing(progress) = self.size else { return None };
        let total_bytes = self.size.likely_bytes()?;
        Some(SyncEstimate { progress, total_bytes })
    }

    /// 0 while there is not even an estimate of the length.
    pub fn percent(&self) -> f64 {
        self.size.percent(self.read_bytes).unwrap_or(0.0)
    }

    /// None while there is not even an estimate of the length, or no speed.
    pub fn secs_left(&self) -> Option<u64> {
        let left = self.size.likely_bytes()?.saturating_sub(self.read_bytes) as f64;
        (self.bytes_per_sec > 0.0).then(|| (left / self.bytes_per_sec) as u64)
    }

    /// The figures for people, as in the log.
    pub fn as_text(&self) -> String {
        transfer_text(self.read_bytes, self.size, self.bytes_per_sec)
    }

    /// The figures in the form of INFO's lists; an estimate says so.
    pub fn as_pairs(&self) -> String {
        let (done, rate) = (self.read_bytes, self.bytes_per_sec);
        let total = self.size.likely_bytes().unwrap_or(0);
        let estimated = u8::from(self.total_bytes().is_none());
        let left = self.secs_left().map_or(-1, |s| s as i64);
        let percent = self.percent();
        format!(
            "sent_bytes={done},total_bytes={total},estimated={estimated},perc={percent:.2},\
             bytes_per_second={rate:.0},seconds_left={left}"
        )
    }
}

/// How a size that nobody knows yet is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncEstimate {
    pub progress: SnapshotProgress,
    pub total_bytes: u64,
}

/// A snapshot that is being made for replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SnapshotView {
    pub mode: SnapshotMode,
    pub progress: SnapshotProgress,
    pub bytes_per_sec: f64,
    pub secs_left: Option<u64>,
}

impl SnapshotView {
    /// The figures for people, as in the log.
    pub fn as_text(&self) -> String {
        snapshot_text(&self.progress, self.bytes_per_sec, self.secs_left.unwrap_or(0))
    }

    /// The figures in the form of INFO's lists.
    pub fn as_pairs(&self) -> String {
        let target = if self.mode == SnapshotMode::Disk { "disk" } else { "sockets" };
        let SnapshotProgress { keys, keys_total, bytes } = self.progress;
        let (percent, rate) = (share(keys, keys_total), self.bytes_per_sec);
        let left = self.secs_left.map_or(-1, |s| s as i64);
        format!(
            "target={target},keys_written={keys},keys_total={keys_total},perc={percent:.2},\
             bytes_written={bytes},bytes_per_second={rate:.0},seconds_left={left}"
        )
    }
}

/// The master of a replica.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamView {
    pub addr: MasterAddr,
    pub phase: LinkPhase,
    /// None while the link is down.
    pub last_io_secs: Option<u64>,
    /// A full sync is under way.
    pub transfer: Option<TransferView>,
    /// None before the link was ever up.
    pub down_since_secs: Option<u64>,
    /// The command of the stream that cannot be applied here.
    pub fault: Option<StreamFault>,
    /// Why the last attempt at a link has failed.
    pub failure: Option<String>,
    /// None while an attempt is under way.
    pub retry_in_secs: Option<u64>,
    pub read_offset: u64,
}

/// One `slaveN:` line.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaView {
    pub conn: ConnId,
    pub ip: String,
    pub port: u16,
    pub state: &'static str,
    pub offset: u64,
    pub lag_secs: u64,
    pub pending_bytes: u64,
    /// It said SYNC and sends no ACK: `offset` stays 0.
    pub is_pre_psync: bool,
    /// The snapshot that is being sent to it.
    pub transfer: Option<TransferView>,
}

/// The backlog's four figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacklogView {
    pub is_active: bool,
    pub size_bytes: u64,
    pub first_byte_offset: u64,
    pub len_bytes: u64,
    pub memory_bytes: u64,
}

/// Everything that INFO replication and ROLE show.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicationView {
    pub upstream: Option<UpstreamView>,
    pub replicas: Vec<ReplicaView>,
    /// What is being made for them; None before its child has told anything.
    pub snapshot: Option<SnapshotView>,
    pub ids: Ids,
    pub offset: u64,
    pub failover: FailoverState,
    pub backlog: BacklogView,
    pub stats: SyncStats,
    /// Some if `min-replicas-to-write` is in force: how many are good.
    pub good_replicas: Option<usize>,
}

impl Repl {
    pub fn is_master(&self) -> bool {
        self.upstream.is_none()
    }

    pub fn master_addr(&self) -> Option<&MasterAddr> {
        self.upstream.as_ref().map(|up| &up.addr)
    }

    /// Whether this is a replica whose stream is up, and gets on.
    pub fn is_link_up(&self) -> bool {
        self.upstream.as_ref().is_some_and(|up| up.is_streaming() && !up.is_stopped())
    }

    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Redis's `master_repl_offset`.
    pub fn offset(&self) -> u64 {
        self.stream.offset()
    }

    pub fn stats(&self) -> SyncStats {
        self.stats
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.stats = SyncStats::default();
    }

    /// What an RDB's header says (`repl-id`, `repl-offset`); None if nobody could resume from it.
    pub fn history_point(&self) -> Option<HistoryPoint> {
        self.stream.backlog().filter(|_| !self.data_differ)?;
        Some(HistoryPoint { replid: self.ids.replid, offset: self.stream.offset() })
    }

    pub fn view(&self, now_ms: u64) -> ReplicationView {
        let wanted =
            self.settings.min_replicas_to_write > 0 && self.settings.min_replicas_max_lag_secs > 0;
        ReplicationView {
            upstream: self.upstream_view(now_ms),
            replicas: self
                .downstream
                .replicas
                .iter()
                .filter_map(|r| self.replica_view(now_ms, r))
                .collect(),
            snapshot: self.snapshot_view(now_ms),
            ids: self.ids,
            offset: self.stream.offset(),
            failover: self.failover_state(),
            backlog: self.backlog_view(),
            stats: self.stats,
            good_replicas: wanted.then(|| self.count_good(now_ms)),
        }
    }

    fn upstream_view(&self, now_ms: u64) -> Option<UpstreamView> {
        let up = self.upstream.as_ref()?;
        let last_io_secs = now_ms.saturating_sub(up.last_io_ms) / 1000;
        let (phase, transfer) = match &up.state {
            LinkState::Idle => (LinkPhase::Connect, None),
            LinkState::Connecting => (LinkPhase::Connecting, None),
            // It is up when it has led past the command before which it stopped.
            LinkState::Streaming { .. } if up.is_stopped() => (LinkPhase::Handshake, None),
            LinkState::Streaming { .. } => (LinkPhase::Connected, None),
            LinkState::Transfer { transfer, .. } => {
                let read = transfer.read_bytes();
                let size = transfer.size_bytes().map_or(Size::streamed(up.told), Size::Exact);
                (LinkPhase::Sync, Some(TransferView::new(&up.progress, now_ms, read, size)))
            }
            LinkState::Preamble { .. } => {
                let size = Size::streamed(up.told);
                (LinkPhase::Sync, Some(TransferView::new(&up.progress, now_ms, 0, size)))
            }
            LinkState::Verify(Arrived { size_bytes: size, .. })
            | LinkState::Commit(Arrived { size_bytes: size, .. }) => {
                let view = TransferView::new(&up.progress, now_ms, *size, Size::Exact(*size));
                (LinkPhase::Sync, Some(view))
            }
            _ => (LinkPhase::Handshake, None),
        };
        let unapplied = self.stream.backlog().map_or(0, |b| b.unapplied_len());
        Some(UpstreamView {
            addr: up.addr.clone(),
            phase,
            last_io_secs: up.is_streaming().then_some(last_io_secs),
            fault: up.standstill.as_ref().map(|stopped| stopped.fault.clone()),
            failure: up.failure.clone(),
            retry_in_secs: self
                .reconnect_at_ms()
                .map(|at_ms| at_ms.saturating_sub(now_ms).div_ceil(1000)),
            transfer: transfer.map(|t| TransferView { last_io_secs, ..t }),
            down_since_secs: up.down_since_ms.map(|ms| now_ms.saturating_sub(ms) / 1000),
            read_offset: self.stream.offset() + unapplied,
        })
    }

    fn replica_view(&self, now_ms: u64, replica: &Replica) -> Option<ReplicaView> {
        let (state, transfer) = match replica.state {
            ReplicaState::WaitStart | ReplicaState::WaitEnd { .. } => ("wait_bgsave", None),
            ReplicaState::Streaming { position, .. } => {
                let told = self.snapshot.as_ref().and_then(|snapshot| snapshot.progress);
                ("wait_bgsave", Some((position, Size::streamed(told))))
            }
            ReplicaState::SendFile { size_bytes, sent_bytes, .. } => {
                ("send_bulk", Some((sent_bytes, Size::Exact(size_bytes))))
            }
            ReplicaState::Gated | ReplicaState::Online => ("online", None),
            ReplicaState::Refused => return None,
        };
        let transfer = transfer.map(|(sent, size)| TransferView {
            last_io_secs: now_ms.saturating_sub(replica.last_sent_ms) / 1000,
            ..TransferView::new(&replica.progress, now_ms, sent, size)
        });
        let ip = replica.ip().to_string();
        Some(ReplicaView {
            conn: replica.conn,
            ip,
            port: replica.intro.listening_port,
            state,
            offset: replica.ack_offset,
            lag_secs: if replica.is_online() { replica.lag_secs(now_ms) } else { 0 },
            pending_bytes: self.pending_bytes(replica.conn),
            is_pre_psync: replica.is_pre_psync,
            transfer,
        })
    }

    fn snapshot_view(&self, now_ms: u64) -> Option<SnapshotView> {
        let snapshot = self.snapshot.as_ref()?;
        let progress = snapshot.progress.filter(|_| snapshot.is_running())?;
        let SnapshotProgress { keys, keys_total, bytes } = progress;
        Some(SnapshotView {
            mode: snapshot.mode,
            progress,
            bytes_per_sec: snapshot.teller.rate(now_ms, bytes),
            secs_left: snapshot.teller.secs_left(now_ms, keys, keys_total),
        })
    }

    /// Bytes kept for slow replicas alone, beyond the backlog.
    pub fn bytes_for_replicas(&self) -> u64 {
        self.stream.backlog().map_or(0, Backlog::bytes_beyond_window)
    }

    fn backlog_view(&self) -> BacklogView {
        let size_bytes = self.settings.repl_backlog_size_bytes;
        match self.stream.backlog() {
            None => BacklogView { size_bytes, ..BacklogView::default() },
            Some(backlog) => BacklogView {
                is_active: true,
                size_bytes,
                first_byte_offset: backlog.first_offset(),
                len_bytes: backlog.len(),
                memory_bytes: backlog.memory_bytes(),
            },
        }
    }
}
