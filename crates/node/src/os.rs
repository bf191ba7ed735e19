//! What a node needs of the world: the one trait between it and sockets, disk, clock and process.
//!
//! `server` stands behind it with the real ones, the simulator with seeded ones. An `Os` decides nothing
//! about replication, roles or when a reply may leave: it does what it is told, and reports by calling
//! the node. Where a method gets the node, it may read and change the data set, and must not keep
//! anything of it.

use std::io::IoSlice;

use bytes::Bytes;
use engine::world::{Configuration, EngineMemory, Heard, InfoLines, Persistence, ShutdownFlags};
use engine::{Action, Client, ClientId, CommandError, Engine, Now, Outcome};
use protocol::OwnedArgs;
use repl::{Filter, Level, LinkId, LoadTarget, MasterAddr, Repl, SnapshotId, SnapshotMode};
use store::Keyspace;

use crate::gate::{Need, Point};
use crate::{Node, Shutdown};

/// How a write to a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// So many bytes; 0 when the socket is full, and will be told of by [`Node::client_is_writable`].
    Some(u64),
    /// The connection is of no more use.
    Broken,
}

/// What became of replies that may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    All,
    /// The rest follows when the socket has room, which [`Node::client_is_writable`] tells.
    Partly,
    /// The connection is to be closed.
    Broken,
}

/// How far the append-only file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogProgress {
    /// Bytes of the door's output that the kernel has.
    pub written: u64,
    /// How many of them are on the disk, whether the file is whole or waits for its base.
    pub fsynced: u64,
}

/// What INFO and ROLE say of this server's configuration as a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaTraits {
    pub priority: u32,
    pub read_only: bool,
    pub announced: bool,
}

/// The part of the node that an action of a command may see while the command runs.
pub struct Scene<'a> {
    pub now: Now,
    pub repl: &'a mut Repl,
    pub keyspace: &'a mut Keyspace,
    /// Whose command it is.
    pub by: Option<ClientId>,
    pub shutdown: Option<&'a Shutdown>,
}

/// The same, for what only asks.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub now: Now,
    pub repl: &'a Repl,
    pub shutdown: Option<&'a Shutdown>,
}

/// The client of a debugging session, in a process that is the session's alone. It takes no lock and starts no thread.
pub trait Console {
    fn mono_us(&self) -> u64;

    fn say(&mut self, bytes: &[u8]);

    /// Waits for what the client says next.
    fn hear(&mut self, into: &mut Vec<u8>) -> Heard;

    /// Whether it has closed its side.
    fn is_gone(&mut self) -> bool;

    /// Ends the process, and nothing but the process.
    fn exit(&mut self, last_words: &[u8]) -> !;
}

/// The two sides of a fork.
pub enum Side {
    Parent,
    Child(Box<dyn Console>),
}

/// See the module's description.
pub trait Os: Configuration + Persistence + Sized {
    // ---- what commands ask of the process ----

    /// Work of a command that is none of the node's. What needs the node itself is noted, said by
    /// `has_wishes`, and done in `fulfil` as soon as the command has returned.
    fn perform(&mut self, action: Action<'_>, scene: Scene<'_>) -> Result<Outcome, CommandError>;

    fn has_wishes(&self) -> bool;

    fn fulfil(&mut self, node: &mut Node);

    fn mono_us(&self) -> u64;

    fn info(&self, section: &str, facts: Facts<'_>) -> InfoLines;

    fn memory_info(&self, memory: EngineMemory, facts: Facts<'_>) -> InfoLines;

    /// Bytes in use, and how many of them stand in buffers of the append-only file.
    fn memory_bytes(&self) -> (u64, u64);

    /// Bytes that are allocated, for differences: see [`Machine::allocated_bytes`](engine::world::Machine).
    fn allocated_bytes(&self) -> u64 {
        0
    }

    fn maxmemory_bytes(&self) -> u64;

    /// Bytes that have come from a client, and gone to it.
    fn traffic(&self, client: ClientId) -> [u64; 2];

    fn secret_hex(&self, digits: usize) -> Option<String>;

    fn replica_traits(&self) -> ReplicaTraits;

    fn log(&mut self, level: Level, text: &str);

    /// Nothing is done by the clock for now (DEBUG PAUSE-CRON).
    fn holds_timers(&self) -> bool {
        false
    }

    // ---- roles ----

    /// Whom this server follows has changed: the configuration says so from here on.
    fn note_master(&mut self, master: Option<&MasterAddr>);

    /// The process's own ways go by the role.
    fn follow_role(&mut self, is_master: bool);

    // ---- clients and replicas ----

    fn peer_ip(&self, client: ClientId) -> String;

    /// The client goes on with what it has sent: it was blocked, and is no longer.
    fn resume(&mut self, client: ClientId);

    /// Reads what has come while a command takes long, and takes in who has connected: who may have said
    /// something.
    fn hear_while_busy(&mut self, _: &mut Engine, _: Now) -> Vec<ClientId> {
        Vec::new()
    }

    /// The replicas whose other end has closed meanwhile: a script may wait for just that.
    fn replicas_gone_while_busy(&mut self, _: &Engine) -> Vec<ClientId> {
        Vec::new()
    }

    /// The next whole request of one that was heard.
    fn next_request(&mut self, _: &Engine, _: ClientId) -> Option<OwnedArgs> {
        None
    }

    /// Makes a process for a client's debugging session, whose connection is that process's from here on.
    fn fork_session(&mut self, _: ClientId) -> Result<Side, CommandError> {
        Err(CommandError::err("Fork() failed: can't run EVAL in debugging mode"))
    }

    /// Sends something in the midst of a client's command, before anything that `send` is given.
    fn say(&mut self, _: ClientId, _: &[u8]) {}

    /// Waits a little for what a client says in the midst of its command.
    fn hear(&mut self, _: ClientId, _: &mut Vec<u8>) -> Heard {
        Heard::Gone
    }

    /// Takes the first `n` bytes of `client.out` and sends them; what it cannot take stays where it is.
    fn send(&mut self, client: &mut Client, n: usize) -> Sent;

    /// Whether nothing that `send` has taken is left: a replica's stream goes behind it.
    fn is_drained(&self, client: ClientId) -> bool;

    /// One write of the stream, or of a streamed snapshot, to a replica.
    fn write(&mut self, client: ClientId, slices: &[IoSlice<'_>]) -> Wrote;

    /// One write from a snapshot's file.
    fn write_file(&mut self, client: ClientId, id: SnapshotId, position: u64, len: u64) -> Wrote;

    /// Has [`Node::client_is_writable`] called soon: a replica has had its share of this turn.
    fn write_later(&mut self, client: ClientId);

    /// The connection carries the stream from here on.
    fn became_replica(&mut self, client: ClientId);

    /// A replica has so much waiting, with so large a backlog: is that too much?
    fn judge_replica(&mut self, node: &mut Node, client: ClientId);

    /// Closes the connection, and calls [`Node::disconnected`].
    fn close(&mut self, node: &mut Node, client: ClientId);

    // ---- the link to the master ----

    /// Opens a connection; answered by [`Node::handle_connected`] or a failure.
    fn connect(&mut self, link: LinkId, host: &str, port: u16);

    fn close_link(&mut self, link: LinkId);

    fn send_master(&mut self, node: &mut Node, link: LinkId, bytes: &[u8]);

    /// Whether the master's stream stops before a command that failed (`propagation-error-behavior`).
    fn stops_at(&self, fault: &engine::StreamFault) -> bool;

    // ---- snapshots in ----

    fn load_start(&mut self, node: &mut Node, target: LoadTarget, size_bytes: Option<u64>);

    fn load_chunk(&mut self, bytes: Bytes);

    /// Answered by `load_verified` or `load_failed` of `node.repl`, now or later; so are the next.
    fn load_end(&mut self, node: &mut Node);

    fn load_commit(&mut self, node: &mut Node);

    fn load_abort(&mut self, node: &mut Node);

    /// Whether more of a snapshot can be taken in.
    fn has_room_for_snapshot(&self) -> bool;

    // ---- snapshots out ----

    fn start_snapshot(
        &mut self,
        node: &mut Node,
        id: SnapshotId,
        mode: SnapshotMode,
        filter: Filter,
    );

    fn cancel_snapshot(&mut self, node: &mut Node, id: SnapshotId);

    fn release_snapshot(&mut self, id: SnapshotId);

    // ---- the append-only file ----

    /// What replies to writes wait for, as the file is set up now.
    fn replies_need(&self) -> Need;

    /// Takes over what left by the door since the last time, up to `point`. The buffer comes back empty
    /// or another one does.
    fn append(&mut self, node: &mut Node, bytes: Vec<u8>, point: Point) -> Vec<u8>;

    /// `None` while it is off.
    fn log_progress(&mut self) -> Option<LogProgress>;

    // ---- the end ----

    /// What is asked for is to be done now. An error keeps the server running, and says why.
    fn end(
        &mut self,
        node: &mut Node,
        flags: ShutdownFlags,
        target: u64,
    ) -> Result<(), CommandError>;
}
