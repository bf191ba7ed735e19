//! Owns the vocabulary between the replication core and its driver: identifiers, the actions that the
//! core asks for, the events it is told. Must not decide anything and must not hold state.

use crate::{ReplId, SnapshotProgress};
use bytes::Bytes;

/// A client connection of this server, named by the server: the connection that a replica asks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// One attempt to reach the master, named by the core and never reused: events of an attempt that
/// was given up are recognised as stale and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// One snapshot made for replicas, named by the core and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(pub u64);

/// Redis's log levels, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// Where the master of a replica listens. The host may be a name: resolving it is the driver's task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddr {
    pub host: String,
    pub port: u16,
}

/// How a snapshot reaches the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMode {
    /// The child writes the RDB file; when it is whole, every replica gets the file.
    Disk,
    /// The child writes to a pipe; what comes out of it goes to every replica as it comes.
    Socket,
}

/// What a replica wants in its snapshot (`REPLCONF rdb-filter-only`): everything by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub without_data: bool,
    pub without_functions: bool,
}

impl Filter {
    pub fn is_active(self) -> bool {
        self.without_data || self.without_functions
    }
}

/// Where the received snapshot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadTarget {
    /// To a temporary file; the old data set stays in service until the file is whole and verified, which
    /// means that a load of it would not fail.
    File,
    /// Straight to the loader, for want of an old data set: the new one is in place at `LoadCommit`.
    Parser,
    /// Into a second keyspace that replaces the live one at `LoadCommit`. `same_history` says that the
    /// old data is an earlier state of the new one, so that reads may go on being served from it.
    ParserSwap { same_history: bool },
}

/// What the driver has to do, in the order in which `poll_action` gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write a line to the server's log.
    Log { level: Level, text: String },

    /// Open a connection to the master; answer `handle_connected` or `handle_connect_failed`.
    Connect { link: LinkId, host: String, port: u16 },
    /// Close the connection of this attempt, or give the attempt up. No answer.
    CloseLink { link: LinkId },
    /// Write these bytes to the master.
    SendMaster { link: LinkId, bytes: Bytes },

    /// A snapshot begins to arrive. `size_bytes` is None when the master streams it.
    LoadStart { target: LoadTarget, size_bytes: Option<u64> },
    /// The next bytes of the snapshot.
    LoadChunk(Bytes),
    /// That was all of it: verify it, then answer `load_verified` or `load_failed`.
    LoadEnd { size_bytes: u64 },
    /// Verified and wanted: put it in the place of the old data, then answer `load_done` or `load_failed`.
    LoadCommit,
    /// The transfer died: remove the temporary file, or empty the half-loaded keyspace.
    LoadAbort,

    /// A command stream begins at a command boundary: forget any unparsed bytes of an earlier one.
    /// After a full sync the stream's database is the snapshot's `repl-stream-db`; a resumed stream goes
    /// on in the database that the stream had selected when it broke.
    StreamStart { resumed: bool },
    /// Bytes of the stream: run the commands in them and report each boundary with `applied`.
    Apply(Bytes),
    /// This link broke off while the snapshot was loaded. What it had brought is applied by now: report it
    /// with `handle_link_closed`.
    LinkWasLost { link: LinkId, why: String },
    /// The stream broke off: forget the unparsed bytes and any transaction that was being queued.
    StreamEnd,

    /// Close this replica's connection. The core has forgotten it already; no answer is needed.
    CloseReplica { conn: ConnId },
    /// Fork a snapshot. Hand over all propagated writes first, fork, and in the same breath report
    /// `SnapshotEvent::Started`, or `Failed`.
    StartSnapshot { id: SnapshotId, mode: SnapshotMode, filter: Filter },
    /// The next write must begin with SELECT, whatever was selected before: somebody will read the stream
    /// from here on who has nothing selected, or something else.
    SelectAgain,
    /// Keep clients' writes waiting, and make no writes of our own (expiry, eviction), until `ResumeWrites`.
    PauseWrites,
    /// Let the clients that wait go on, in the role that this server has now.
    ResumeWrites,
    /// Nobody wants this snapshot any more: kill the child. No answer.
    CancelSnapshot { id: SnapshotId },
    /// The last replica has this file: close it.
    ReleaseSnapshot { id: SnapshotId },
}

/// What the driver reports of a snapshot that `StartSnapshot` asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum SnapshotEvent {
    /// The child exists. Its memory is the data set at the present master offset.
    Started { id: SnapshotId },
    /// Bytes of the RDB from the child's pipe (`Socket` only). Read on only while
    /// `Repl::snapshot_wants_data` says so.
    Chunk { id: SnapshotId, bytes: Bytes },
    /// The child has told how far it is.
    Progress { id: SnapshotId, progress: SnapshotProgress },
    /// The child ended well. `Disk`: the file is in place and has this length.
    Ready { id: SnapshotId, size_bytes: u64 },
    /// It could not be started, or ended badly, or its file cannot be opened.
    Failed { id: SnapshotId, why: String },
}

/// A child that is not ours, and that keeps us from forking: an RDB save, or an AOF rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherChild {
    None,
    Save,
    Other,
    /// None, but the disk has yet to give or take the name of the RDB file, however long that takes: only a
    /// snapshot that is streamed can begin.
    RdbName,
}

/// What a replica's connection has to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    Nothing,
    /// The first so many of the slices were filled.
    Slices(usize),
    /// Bytes of a snapshot's file, from this position, so many (sendfile).
    File {
        id: SnapshotId,
        position: u64,
        len: u64,
    },
}

/// A point in a replication history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPoint {
    pub replid: ReplId,
    /// Offset of the last byte of the stream that the data set contains.
    pub offset: u64,
}
