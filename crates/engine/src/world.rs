//! Owns the border to the world: what the engine asks of `server`, as values.
//!
//! The engine knows no socket, file, thread or clock. What it needs of them it says as an
//! [`Action`]; what it must know of them it asks as a view. `server` implements [`World`], tests
//! implement a recorder. It is made of parts by what they are for. A `World` must not call back into
//! the engine: it gets the keyspace as an argument where the work needs it, and defers everything
//! else to after the command; only while a command takes long it may knock at a [`BusyDoor`].

use std::any::Any;

use protocol::Args;
use store::Keyspace;

use crate::error::CommandError;
use crate::ids::ClientId;
use crate::settings::Settings;

/// The time of one pass of the loop: wall clock for expiries, monotonic for durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub unix_us: u64,
    pub mono_us: u64,
}

impl Now {
    pub fn unix_ms(self) -> i64 {
        (self.unix_us / 1000) as i64
    }

    pub fn unix_s(self) -> i64 {
        (self.unix_us / 1_000_000) as i64
    }
}

/// The earlier of two times, either of which may be none.
#[inline]
pub fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Where a replica is told to sync from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddress {
    pub host: String,
    pub port: u16,
}

/// How SHUTDOWN was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags {
    /// `Some(true)` for SAVE, `Some(false)` for NOSAVE.
    pub save: Option<bool>,
    pub now: bool,
    pub force: bool,
    pub abort: bool,
}

/// Requests for another server.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// As the client wrote them.
    pub host: &'a [u8],
    pub port: &'a [u8],
    /// For the connection, and for each step of the conversation.
    pub timeout_ms: u64,
    /// The database there.
    pub db: i64,
    /// A request to be let in, or nothing.
    pub auth: &'a [u8],
    pub requests: &'a [u8],
    /// As many replies belong to them.
    pub expected: usize,
}

/// Work that needs the world. Performed at once, in the middle of the command that asks, so that
/// it keeps its place in a transaction; what cannot be done at once is begun and answered as Redis
/// answers it ("Background saving started").
#[derive(Debug)]
pub enum Action<'a> {
    Save,
    BgSave {
        schedule: bool,
        /// Inside EXEC the answer is due at once, and what is asked for is only scheduled.
        in_exec: bool,
    },
    /// BGSAVE CANCEL.
    CancelBgSave,
    BgRewriteAof {
        in_exec: bool,
    },
    ReplicaOf {
        /// `None` is REPLICAOF NO ONE.
        target: Option<MasterAddress>,
        /// Who asks: the client's line of CLIENT LIST, for the log.
        by: &'a str,
    },
    /// A transaction has written behind a REPLICAOF of its own: that write is in nobody's stream.
    StrayWrite,
    /// PSYNC or SYNC turned `client` into a replica's connection. `replid` is `None` for SYNC.
    Psync {
        client: ClientId,
        replid: Option<&'a [u8]>,
        /// As it was given.
        offset: &'a [u8],
        /// Our master hands its role over with this request: its line of CLIENT LIST, for the log.
        failover_by: Option<&'a str>,
    },
    /// The words after REPLCONF, from a connection that is or will be a replica, or from the master.
    Replconf {
        client: ClientId,
        words: &'a [&'a [u8]],
    },
    Failover {
        /// Address and port of a replica, as the client wrote them.
        target: Option<(&'a [u8], i64)>,
        timeout_ms: Option<u64>,
        force: bool,
    },
    FailoverAbort,
    ConfigSet {
        pairs: &'a [(&'a [u8], &'a [u8])],
        in_exec: bool,
    },
    ConfigRewrite {
        /// A line for each user.
        users: &'a [Vec<u8>],
    },
    ConfigResetStat,
    /// FLUSHALL has emptied everything: a snapshot in the making is stale, the RDB file may be rewritten.
    KeyspaceFlushed,
    Shutdown(ShutdownFlags),
    /// MIGRATE. Fails where the other server could not be spoken with; what it had answered before that
    /// is among the replies.
    Migrate {
        transfer: Transfer<'a>,
        /// The lines that were answered, as far as they came, each with its first byte and without its
        /// end. Where the server did not let us in or has no such database, that error alone.
        replies: &'a mut Vec<Vec<u8>>,
    },
    /// Closes another client's connection; its engine state is removed by the server's disconnect.
    CloseClient {
        client: ClientId,
    },
    /// Blocks the whole server, on purpose.
    DebugSleep {
        us: u64,
    },
    /// Saves to the RDB file (unless `nosave`) and loads it again.
    DebugReload {
        nosave: bool,
        /// What is there stays, unless the file has a key of the same name.
        noflush: bool,
        /// Such a key is the file's. Without this it is an error.
        merge: bool,
    },
    DebugLoadAof,
    /// DEBUG subcommands that hurt the process on purpose: SEGFAULT, PANIC, OOM, RESTART...
    DebugCrash {
        how: &'a str,
    },
    /// Makes every write to the append-only file take so long.
    DebugAofFlushSleep {
        us: u64,
    },
    /// CONFIG REWRITE with every directive, whatever its value.
    DebugConfigRewriteAll {
        users: &'a [Vec<u8>],
    },
    /// Writes the file of all users anew.
    AclSave {
        text: &'a [u8],
    },
    /// A warning for the log.
    Log {
        message: &'a str,
    },
    /// A script's line for the log: of what it is worth, from 0 for debugging to 3 for a warning.
    ScriptLog {
        level: u8,
        text: &'a str,
    },
    /// Stops, or lets go on, what is done by the clock: heartbeats, expiry, automatic saves.
    DebugPauseCron {
        paused: bool,
    },
    DebugLog {
        message: &'a str,
    },
    /// DEBUG CHANGE-REPL-ID and the like: a word to replication.
    DebugReplication {
        words: &'a [&'a [u8]],
    },
    /// DEBUG JMAP and MEMORY DOCTOR's kin: the allocator's own report.
    AllocatorReport,
    MemoryPurge,
    /// DEBUG MALLCTL and MALLCTL-STR: reads one of the allocator's values by its name, and sets it.
    Mallctl {
        name: &'a [u8],
        value: Mallctl<'a>,
    },
    /// Frees a detached database or a large value away from the loop.
    LazyFree(Garbage),
}

/// What a value of the allocator is, and what it becomes.
#[derive(Clone, Copy, Debug)]
pub enum Mallctl<'a> {
    Number(Option<i64>),
    Text(Option<&'a [u8]>),
    /// It has none: naming it does something.
    Deed,
}

/// What lazy free hands over: dropping it may take long.
pub struct Garbage(pub Box<dyn Send>);

impl std::fmt::Debug for Garbage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Garbage")
    }
}

/// What an [`Action`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The action's usual answer: +OK.
    Done,
    /// A status line of its own, `Background saving started`.
    Status(String),
    /// A text to answer as a bulk (verbatim in RESP3).
    Text(String),
    /// A text to answer as a bulk, whatever the protocol.
    Bulk(Vec<u8>),
    Int(i64),
    /// No answer now: the connection belongs to replication, or the answer was written already.
    Silent,
}

/// One row of INFO's or ROLE's list of replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaInfo {
    pub ip: String,
    pub port: u16,
    /// `wait_bgsave`, `send_bulk` or `online`, as INFO says it.
    pub state: &'static str,
    pub offset: u64,
    pub lag_s: u64,
    /// While a snapshot is being sent to it: its figures, as INFO lists them.
    pub sync: Option<String>,
}

/// What a master tells of a snapshot whose size it does not know yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncEstimateInfo {
    pub total_bytes: u64,
    pub keys_written: u64,
    pub keys_total: u64,
}

/// The link to the master, as a replica sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterLinkInfo {
    pub host: String,
    pub port: u16,
    pub up: bool,
    /// ROLE's word: `connect`, `connecting`, `handshake`, `sync`, `connected`.
    pub state: &'static str,
    /// Seconds since the master was last heard, -1 when the link is down.
    pub last_io_seconds_ago: i64,
    pub sync_in_progress: bool,
    pub read_offset: u64,
    pub offset: u64,
    /// While a sync runs. `total_bytes` is 0 when the size is not known beforehand.
    pub sync_total_bytes: u64,
    pub sync_read_bytes: u64,
    /// Hundredths of a percent, of the size or of its estimate.
    pub sync_perc_hundredths: u32,
    pub sync_estimate: Option<SyncEstimateInfo>,
    pub sync_last_io_seconds_ago: i64,
    pub sync_bytes_per_second: u64,
    pub sync_seconds_left: Option<u64>,
    /// -1 while it was never up.
    pub down_since_seconds: i64,
    /// The command of its stream that this server stops before, and why.
    pub stopped_before: Option<(String, String)>,
    /// Why the last attempt at a link has failed.
    pub failure: Option<String>,
    /// Until the next attempt; `None` while one is under way.
    pub retry_in_seconds: Option<u64>,
    pub priority: u32,
    pub read_only: bool,
    pub announced: bool,
}

/// Everything INFO replication and ROLE say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicationInfo {
    pub master: Option<MasterLinkInfo>,
    pub replicas: Vec<ReplicaInfo>,
    /// While a snapshot is being made for replicas: its figures, as INFO lists them.
    pub snapshot: Option<String>,
    pub good_replicas: u32,
    pub failover_state: &'static str,
    pub replid: String,
    pub replid2: String,
    pub offset: u64,
    /// -1 when there is no second id.
    pub second_offset: i64,
    pub backlog_active: bool,
    pub backlog_size_bytes: u64,
    pub backlog_first_byte_offset: u64,
    pub backlog_histlen: u64,
}

/// A section of INFO that the world fills: lines of `name:value` in their order.
pub type InfoLines = Vec<(&'static str, String)>;

/// What the engine knows of where memory goes, for INFO memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineMemory {
    /// Clients that are no replicas: their buffers and what is known of them.
    pub clients_bytes: u64,
    /// The tables of all databases, without the entries in them.
    pub tables_bytes: u64,
    /// Of these, what goes when the resizes under way have ended.
    pub rehashing_bytes: u64,
    pub scripts: ScriptMemory,
}

/// What scripts and functions take, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptMemory {
    /// The Lua state of EVAL, and what is kept of its scripts beside it.
    pub eval_state_bytes: u64,
    pub eval_scripts_bytes: u64,
    pub eval_scripts: u64,
    /// The same of functions.
    pub function_state_bytes: u64,
    pub libraries_bytes: u64,
    pub functions: u64,
    pub libraries: u64,
}

/// What WAIT and WAITAOF wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckWait {
    /// Everything that the client has written.
    pub offset: u64,
    pub replicas: u32,
    /// `None` is WAIT. With WAITAOF replicas count that have it on disk, and so do as many files of
    /// our own: 0 or 1.
    pub local: Option<u32>,
}

/// The clock, the memory and the sockets, and what nobody can foresee.
pub trait Machine {
    /// The monotonic clock of [`Now`], read now: for command durations.
    fn mono_us(&self) -> u64;

    /// Bytes that the allocator has handed out, without buffers for replicas and the append-only
    /// file; asked only where `maxmemory` is set.
    fn used_memory_bytes(&self) -> u64;

    /// Bytes that the allocator has handed out, all of them: for differences. 0 where nobody counts.
    fn allocated_bytes(&self) -> u64 {
        0
    }

    /// Bytes that have come from a client, and gone to it.
    fn traffic(&self, _: ClientId) -> [u64; 2] {
        [0, 0]
    }

    /// Hexadecimal digits that nobody can guess, for passwords; `None` where there is no such source.
    fn secret_hex(&self, _digits: usize) -> Option<String> {
        None
    }
}

/// The stream and who follows it. Unless said otherwise nobody does.
pub trait Replication {
    /// The one door to replication: the bytes of the stream, in order, once.
    /// Called only where this server is a master.
    fn replicate(&mut self, _bytes: &[u8]) {}

    /// A unit of writes that no stream carries: the offset still has to tell it from those before
    /// it, because WAITAOF goes by the offset.
    fn note_unfollowed_write(&mut self) {}

    fn replication(&self) -> ReplicationInfo {
        ReplicationInfo::default()
    }

    /// The stream's offset after everything that was replicated so far.
    fn stream_offset(&self) -> u64 {
        0
    }

    /// Replicas that acknowledged `offset`, and of them those that have it fsynced.
    fn acked_replicas(&self, _offset: u64) -> (u32, u32) {
        (0, 0)
    }

    /// Replicas whose lag is within `min-replicas-max-lag`.
    fn good_replicas(&self) -> u32 {
        self.replication().good_replicas
    }

    /// A client's command has written: its reply waits until that is as safe as was promised.
    /// `log_end` and `output_end` are where the append-only file's bytes and its output end now.
    fn note_write(&mut self, _client: ClientId, _log_end: u64, _output_end: u64) {}

    /// The client is blocked until [`Engine::end_ack_wait`](crate::Engine::end_ack_wait) is called for it,
    /// once there is what it waits for. The replicas are asked how far they are before the loop sleeps.
    fn wait_for(&mut self, _client: ClientId, _wait: AckWait) {}

    /// Its wait has ended in another way.
    fn forget_wait(&mut self, _client: ClientId) {}

    /// Bytes that wait to be sent to a replica's connection.
    fn replica_pending_bytes(&self, _: ClientId) -> u64 {
        0
    }
}

/// Our own files. Unless said otherwise there are none.
pub trait Persistence {
    /// The offset up to which our own append-only file is fsynced: `None` when it is off, 0 before its
    /// first rewrite is done.
    fn fsynced_offset(&self) -> Option<u64> {
        None
    }

    /// Why writes are refused at the moment: a failing snapshot or append-only file.
    fn write_refusal(&self) -> Option<CommandError> {
        None
    }

    /// Unix seconds of the last successful save.
    fn last_save_unix_s(&self) -> i64 {
        0
    }
}

/// The directives. Unless said otherwise there are none, and the settings are as built in.
pub trait Configuration {
    /// The settings as they stand, after an [`Action::ConfigSet`].
    fn settings(&self) -> Settings {
        Settings::default()
    }

    /// Directive names and values whose name matches one of the patterns.
    fn config_get(&self, _patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }

    /// The file that users are kept in (`aclfile`), if that is how they are kept.
    fn acl_file(&self) -> Option<String> {
        None
    }

    /// What stands in it, or why it cannot be read.
    fn read_acl_file(&self) -> Result<Vec<u8>, String> {
        Err("No such file or directory".into())
    }

    /// Whether a directive's value is a password or the like, which nobody gets to see.
    fn is_secret_directive(&self, _name: &[u8]) -> bool {
        false
    }
}

/// The engine's view of `server`: all of it. What needs only a part takes that part.
pub trait World: Machine + Replication + Persistence + Configuration {
    fn perform(
        &mut self,
        action: Action<'_>,
        keyspace: &mut Keyspace,
    ) -> Result<Outcome, CommandError>;

    /// A command of this client runs out of turn: its answer, should it come later, is for it.
    fn speaks_for(&mut self, _client: ClientId) {}

    /// The sections that speak of the process: `server`, `persistence`, `cpu`, and the
    /// world's part of `clients` and `stats`.
    fn info(&self, _section: &str) -> InfoLines {
        InfoLines::new()
    }

    /// The section `memory`, which needs to know what the engine's part is.
    fn memory_info(&self, _: EngineMemory) -> InfoLines {
        self.info("memory")
    }

    /// A command takes long: who has sent something meanwhile is answered by `door`, which refuses
    /// what cannot be done now. Called again and again, in the middle of that command; it returns
    /// when there is nothing to read, and neither waits nor does anything else of a turn.
    fn serve_sockets(&mut self, _door: &mut dyn BusyDoor) {}

    /// Makes a process for the session of a client, whose connection is that process's from here on.
    fn fork_session(&mut self, _client: ClientId) -> Result<Forked, CommandError> {
        Err(CommandError::err("Fork() failed: can't run EVAL in debugging mode"))
    }

    /// Sends something to a client in the midst of its command. That it is gone `hear` tells.
    fn say(&mut self, _client: ClientId, _bytes: &[u8]) {}

    /// Waits a little for what a client says in the midst of its command, and appends that.
    fn hear(&mut self, _client: ClientId, _into: &mut Vec<u8>) -> Heard {
        Heard::Gone
    }
}

/// What has come from a client whose script is debugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Bytes,
    /// It may say something yet: others may be answered meanwhile.
    Nothing,
    Gone,
}

/// The two sides of a fork.
pub enum Forked {
    Parent,
    Child(Box<dyn DebugWorld>),
}

/// The world of a process that was made for the session of one client. There is nobody else in it: what others would
/// have to do is refused or left, and what there was to know is as it was at the fork.
pub trait DebugWorld: World {
    /// Ends the process.
    fn exit(&mut self, last_words: &[u8]) -> !;
}

/// What a world may ask of the engine in the middle of a command: the one exception to the rule that it
/// does not call back.
pub trait BusyDoor {
    /// The engine, for a world that knows what that is: who connects meanwhile, and what they are answered.
    fn engine(&mut self) -> &mut dyn Any;

    /// Runs what may run now (SCRIPT KILL, SHUTDOWN NOSAVE), and refuses all else with -BUSY.
    fn answer(&mut self, now: Now, world: &mut dyn World, client: ClientId, args: Args<'_>);
}
