//! The replication core: who syncs from whom, from where, from when. Sans-io: no socket, file, clock,
//! thread or randomness of its own; time, entropy and events come in, actions go out.
//! It must not know keys, values or files: a snapshot is opaque bytes to it.
//!
//! One [`Repl`] is both sides at once: it serves replicas, and when it has a master itself it follows that
//! one. The role is state, not a type: a promoted replica is a master.
//!
//! # Invariants
//!
//! 1. `first_offset + len == master_offset + 1`, and only `Stream::advance` moves the offset forward.
//! 2. `(replid, master_offset)` names the data set at every command boundary: it is what a partial resync
//!    asks for as a replica, what `+FULLRESYNC` offers as a master, and what goes into an RDB's header.
//! 3. A replica of ours gets the same bytes with the same offsets as we got them or made them, verbatim.
//! 4. Within one replid, an offset never goes back and a byte at an offset never changes.
//! 5. History is dropped (new replid, backlog restarted, sub-replicas closed) before the first byte of
//!    another data set takes effect, and not earlier: a failed transfer costs nothing.
//! 6. Bytes of a peer cannot make it panic, nor allocate more than what has arrived.
//!
//! # A replica of ours, as the master sees it (`master.rs`, `snapshot.rs`, `outgoing.rs`)
//!
//! ```text
//!              PSYNC, bytes still there: +CONTINUE
//!   (client) ---------------------------------------------------------------> Online
//!      | PSYNC otherwise, or SYNC                                                ^
//!      v          fork: +FULLRESYNC            file ready          file sent     |
//!   WaitStart ----------------------> WaitEnd ------------> SendFile ------------+
//!      |                                                                         |
//!      |          fork: +FULLRESYNC, $EOF        all sent          first ACK     |
//!      +----------------------------> Streaming -----------> Gated --------------+
//! ```
//!
//! Both WaitStart and WaitEnd are shown as `wait_bgsave`. A reader on the backlog is opened at the fork,
//! so that the stream from there on is kept for as long as the slowest replica needs it.
//!
//! # The link to our master (`replica.rs`, `handshake.rs`, `loading.rs`, `role.rs`)
//!
//! ```text
//!   Idle -> Connecting -> Ping -> Auth -> Port -> Ip -> Capa -> Psync --+CONTINUE-----------> Streaming
//!    ^                                                          |                                ^
//!    | any failure: closed, retried at once or after a pause    | +FULLRESYNC, or SYNC           |
//!    |                                                          v                                |
//!    +----------------------------------------------------- Preamble -> Transfer -> Verify -> Commit
//! ```
//!
//! A command of the stream that cannot be applied stops it (`standstill.rs`).
//!
//! # FAILOVER (`failover.rs`)
//!
//! A master pauses its writes, waits until a replica has all of them, and becomes a replica of it with
//! `PSYNC replid offset FAILOVER`, at which the other takes over.
//!
//! # Call order for a driver
//!
//! 1. [`Repl::new`], then [`Repl::boot`] once the data set is loaded.
//! 2. After every call, [`Repl::poll_action`] until it gives None, performing each in order; before
//!    sleeping, [`Repl::poll_timeout`]; when it is due, [`Repl::handle_timeout`]: it may change the role,
//!    so that no command may run before its actions are performed.
//! 3. What the engine propagates goes to [`Repl::handle_write`] before a fork, before a role change, and
//!    before sockets are written. It says SELECT itself, and always after [`Action::SelectAgain`].
//! 4. Commands PSYNC, SYNC, REPLCONF go to the `replica_*` calls. Before sleeping, for every
//!    connection of [`Repl::conns_with_output`]: flush the client's own replies first, then [`Repl::outgoing`],
//!    write, [`Repl::sent`].
//! 5. `Apply` bytes go through the engine; after each command outside MULTI, and after each EXEC,
//!    [`Repl::applied`] with the bytes it took in the stream; or [`Repl::handle_stream_fault`].

mod action;
mod backlog;
mod expiring_fields;
mod failover;
mod handshake;
mod info;
mod loading;
mod master;
mod outgoing;
mod progress;
mod replconf;
mod replica;
mod replid;
mod retry;
mod role;
mod settings;
mod snapshot;
mod standstill;
mod sync_stats;
mod timers;
mod transfer;
mod wire;

pub use action::*;
pub use backlog::{Backlog, Reader, Stream};
pub use failover::{FailoverRequest, FailoverState};
pub use info::*;
pub use master::{SyncRefusal, SyncRequest};
pub use protocol::link::SnapshotProgress;
pub use replconf::ReplconfReply;
pub use replid::{Ids, ReplId};
pub use role::ReplicaofOutcome;
pub use settings::{DisklessLoad, ReplSettings};
pub use standstill::{FaultKind, StreamFault};
pub use sync_stats::{FullSyncReason, SyncStats};

use std::collections::VecDeque;
use std::fmt;

/// Gives twenty unpredictable bytes: for replication ids and end marks. An end mark that a client could
/// guess would let it break every streamed sync with a value that contains the mark.
pub type Entropy = Box<dyn FnMut() -> [u8; 20] + Send>;

/// The replication state of one server.
pub struct Repl {
    settings: ReplSettings,
    entropy: Entropy,
    actions: VecDeque<Action>,
    ids: Ids,
    stream: Stream,
    /// Whether `(replid, offset)` may be offered to a master for a partial resync.
    resumable: bool,
    /// The data set is known not to be the one that `(replid, offset)` names.
    data_differ: bool,
    upstream: Option<replica::Upstream>,
    downstream: master::Downstream,
    failover: Option<failover::Failover>,
    snapshot: Option<snapshot::Snapshot>,
    files: Vec<snapshot::SnapshotFile>,
    other_child: OtherChild,
    dataset_is_empty: bool,
    /// The offset up to which our AOF is on disk, for `REPLCONF ACK ... FACK ...`.
    fsynced_offset: Option<u64>,
    /// What was applied when a GETACK came that `fsynced_offset` could not answer in full.
    owed_fsync: Option<u64>,
    stats: SyncStats,
    cron: timers::Cron,
    last_id: u64,
}

impl Repl {
    /// A master without replicas. `now_ms` counts on a monotonic clock, here and everywhere.
    pub fn new(now_ms: u64, settings: ReplSettings, mut entropy: Entropy) -> Self {
        let ids = Ids::new(ReplId::from_random(entropy()));
        Self {
            settings,
            entropy,
            actions: VecDeque::new(),
            ids,
            stream: Stream::new(0),
            resumable: false,
            data_differ: false,
            upstream: None,
            downstream: master::Downstream::new(now_ms),
            failover: None,
            snapshot: None,
            files: Vec::new(),
            other_child: OtherChild::None,
            dataset_is_empty: true,
            fsynced_offset: None,
            owed_fsync: None,
            stats: SyncStats::default(),
            cron: timers::Cron::new(now_ms),
            last_id: 0,
        }
    }

    /// Next thing to do, or None when all is said.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    pub fn settings(&self) -> &ReplSettings {
        &self.settings
    }

    /// Takes over changed settings.
    pub fn apply_settings(&mut self, _now_ms: u64, settings: ReplSettings) {
        if let Some(backlog) = self.stream.backlog_mut() {
            backlog.resize(settings.repl_backlog_size_bytes);
        }
        self.settings = settings;
    }

    /// Appends what the engine propagated to the stream: whole commands in their final form, with SELECT
    /// wherever the database differs from the stream's, and first of all after `Action::SelectAgain`.
    /// A replica's own writes stay local.
    pub fn handle_write(&mut self, bytes: &[u8]) {
        self.feed_own(bytes);
    }

    /// A unit of our own writes went to the append-only file only, because there is no backlog.
    pub fn handle_unfollowed_write(&mut self) {
        if self.upstream.is_none() {
            self.stream.count_unfollowed();
        }
    }

    /// Whether there is a stream at all: without a backlog nobody can follow, and nothing is kept.
    pub fn has_backlog(&self) -> bool {
        self.stream.backlog().is_some()
    }

    /// Whether anybody follows, in whatever state.
    pub fn has_replicas(&self) -> bool {
        !self.downstream.replicas.is_empty()
    }

    /// The bytes of the stream from `from` on, as far as the backlog still has them, and the offset of
    /// the first: for whoever compares histories.
    pub fn stream_bytes(&mut self, from: u64) -> (u64, Vec<u8>) {
        let Some(backlog) = self.stream.backlog_mut() else { return (from, Vec::new()) };
        let from = from.max(backlog.first_offset());
        let Some(mut reader) = backlog.open_reader(from) else { return (from, Vec::new()) };
        let mut bytes = Vec::new();
        loop {
            let mut slices = [std::io::IoSlice::new(&[]); 16];
            let count = backlog.slices(&reader, &mut slices);
            let before = bytes.len();
            slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
            let n = (bytes.len() - before) as u64;
            if n == 0 {
                break;
            }
            backlog.skip(&mut reader, n);
        }
        backlog.close_reader(reader);
        (from, bytes)
    }

    /// Asks all replicas for an ACK through the stream (`REPLCONF GETACK *`), for WAIT and shutdown.
    pub fn request_acks(&mut self) {
        self.feed_own(wire::GETACK);
    }

    /// Tells whether a child of another kind runs, which keeps a snapshot from starting.
    pub fn handle_other_child(&mut self, now_ms: u64, child: OtherChild) {
        self.other_child = child;
        if matches!(child, OtherChild::None | OtherChild::RdbName) {
            self.start_pending_snapshot(now_ms);
        }
    }

    /// Tells whether the data set has no keys, for `repl-diskless-load on-empty-db`.
    pub fn set_dataset_is_empty(&mut self, is_empty: bool) {
        self.dataset_is_empty = is_empty;
    }

    /// Tells the stream offset up to which the AOF is on disk; None while there is no AOF. Somebody up
    /// there may wait for it: an ACK that said too little is followed by one that says enough.
    pub fn set_fsynced_offset(&mut self, now_ms: u64, offset: Option<u64>) {
        self.fsynced_offset = offset;
        if let (Some(owed), Some(offset)) = (self.owed_fsync, offset)
            && offset >= owed
        {
            self.owed_fsync = None;
            self.send_ack(now_ms);
        }
    }

    /// Only the head of a tree makes stream of its own: a replica passes its master's on.
    fn feed_own(&mut self, bytes: &[u8]) {
        if self.upstream.is_none() {
            self.stream.feed(bytes);
        }
    }

    fn log(&mut self, level: Level, text: impl Into<String>) {
        self.actions.push_back(Action::Log { level, text: text.into() });
    }

    fn new_replid(&mut self) -> ReplId {
        ReplId::from_random((self.entropy)())
    }

    fn random(&mut self) -> u64 {
        let bytes = (self.entropy)();
        u64::from_be_bytes(*bytes.last_chunk().expect("there are twenty"))
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

impl fmt::Debug for Repl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repl")
            .field("ids", &self.ids)
            .field("offset", &self.stream.offset())
            .field("upstream", &self.upstream)
            .field("downstream", &self.downstream)
            .finish_non_exhaustive()
    }
}
