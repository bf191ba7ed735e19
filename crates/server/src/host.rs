//! The process around the node: `Host` holds its sockets, files and threads, and is the world that the
//! node asks (`node_os.rs`).
//!
//! A wish of a command is fulfilled at once where that needs nothing but the host. Where it needs the
//! node it is noted in `deferred`, and fulfilled as soon as the command has returned: by then
//! everything that was propagated has left by its door, so that a fork and the stream agree on what
//! the data set is.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::net::SocketAddr;

use engine::world::ShutdownFlags;
use engine::{ClientId, CommandError, Outcome};
use mio::Registry;
use repl::SnapshotId;
use store::seed::HashSeed;

use crate::aof::Aof;
use crate::boot::LoadPurpose;
use crate::children::Children;
use crate::client_memory::{ClientMemory, ClientPeaks};
use crate::config::{Config, Directive, StartRole};
use crate::conn::Conns;
use crate::cron::Rates;
use crate::daemon::{OomScore, PidFile, Supervisor};
use crate::disk_worker::DiskWorker;
use crate::listener::Listener;
use crate::load_progress::LoadProgress;
use crate::loader::{Loaded, Loader};
use crate::mailbox::{Mailbox, Mailer};
use crate::master_link::MasterLink;
use crate::memory::MemoryMeter;
use crate::rdb::Rdb;
use crate::signals::SignalSource;
use crate::snapshot_in::IncomingSnapshot;

/// Work that waits for the command to end.
#[derive(Debug)]
pub enum Deferred {
    Save {
        client: Option<ClientId>,
    },
    /// Who waits for the answer, unless it was given inside EXEC.
    BgSave {
        client: Option<ClientId>,
    },
    BgRewriteAof {
        client: Option<ClientId>,
    },
    /// FLUSHALL: what a child is saving is of the past.
    KeyspaceFlushed,
    Shutdown {
        client: Option<ClientId>,
        flags: ShutdownFlags,
    },
    DebugReload {
        client: Option<ClientId>,
        nosave: bool,
    },
    DebugLoadAof {
        client: Option<ClientId>,
    },
    /// `maxmemory-clients`, or `maxmemory` of which it may be a share, was changed.
    ClientLimit,
    /// `appendonly` was changed at run time. Where its CONFIG SET waits for what comes of it, all that it
    /// has set is taken back should the file not begin.
    AppendOnly {
        on: bool,
        asked: Option<ConfigSetWaits>,
    },
}

/// A CONFIG SET that is not answered yet.
#[derive(Debug)]
pub struct ConfigSetWaits {
    pub client: Option<ClientId>,
    pub before: Box<Config>,
    pub changed: Vec<&'static Directive>,
}

/// Counters of INFO that belong to sockets and forks.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostStats {
    pub connections_received: u64,
    pub rejected_connections: u64,
    pub net_input_bytes: u64,
    pub net_output_bytes: u64,
    pub net_repl_input_bytes: u64,
    pub net_repl_output_bytes: u64,
    pub reads: u64,
    pub writes: u64,
    pub client_output_buffer_limit_disconnections: u64,
    pub client_query_buffer_limit_disconnections: u64,
    pub forks: u64,
    pub last_fork_us: u64,
    pub loop_turns: u64,
    /// Microseconds that the turns took, without the waits between them.
    pub loop_us: u64,
    pub evicted_clients: u64,
}

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// 40 hexadecimal digits, new with every start.
    pub run_id: String,
    pub started_unix_s: u64,
    pub pid: u32,
}

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    pub id: ClientId,
    /// `None` over a Unix socket.
    pub addr: Option<SocketAddr>,
    pub local: bool,
}

/// A data set is being loaded by a helper thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadingInfo {
    pub active: bool,
    pub asynchronous: bool,
    pub started_unix_s: u64,
    pub total_bytes: u64,
    pub loaded_bytes: u64,
    pub progress: LoadProgress,
}

pub struct Host {
    pub config: Config,
    pub signals: SignalSource,
    pub mailbox: Mailbox,
    pub conns: Conns,
    /// Connections that may have more to read or to run than their last turn allowed.
    pub ready: VecDeque<ClientId>,
    /// Listeners that may have more to accept than their last turn allowed.
    pub ready_listeners: Vec<u32>,
    /// Listeners that failed are tried again at this time.
    pub retry_accept_at_us: Option<u64>,
    pub next_cron_us: u64,
    /// Connections whose sockets did not take all, to be judged by their limits.
    pub over_limit: Vec<ClientId>,
    pub link: Option<MasterLink>,
    pub incoming: Option<IncomingSnapshot>,
    /// Snapshot files that are being sent.
    pub snapshot_files: HashMap<SnapshotId, File>,
    pub registry: Registry,
    pub mailer: Mailer,
    pub listeners: Vec<Listener>,
    pub identity: Identity,
    pub stats: HostStats,
    pub memory: MemoryMeter,
    pub children: Children,
    pub rdb: Rdb,
    pub aof: Aof,
    pub disk: DiskWorker,
    pub loading: LoadingInfo,
    pub exit_code: Option<i32>,
    pub rates: Rates,
    pub loader: Option<Loader>,
    pub load_purpose: LoadPurpose,
    /// A data set that was streamed by the master and waits for its turn.
    pub loaded: Option<Box<Loaded>>,
    pub load_serial: u32,
    /// Directives of which the log has said that they have no effect.
    pub told_idle: BTreeSet<&'static str>,
    /// The role that the configuration asked for.
    pub start_role: StartRole,
    pub supervisor: Supervisor,
    pub pidfile: Option<PidFile>,
    pub oom: OomScore,
    pub hash_seed: HashSeed,
    /// Where the clients come from, by slot.
    pub peers: Vec<PeerFacts>,
    pub deferred: Vec<Deferred>,
    /// DEBUG PAUSE-CRON.
    pub cron_paused: bool,
    /// A signal to end that came meanwhile; whether it was SIGINT.
    pub postponed_end: Option<bool>,
    /// Connections to be closed before the loop sleeps.
    pub doomed: Vec<ClientId>,
    pub connected_clients: usize,
    pub client_peaks: ClientPeaks,
    pub client_memory: ClientMemory,
    pub clients_cron_slot: usize,
    /// The engine's count of changes, as of the last turn: INFO asks the host for it.
    pub dirty: u64,
}

impl Host {
    pub fn note_peer(&mut self, facts: PeerFacts) {
        let slot = facts.id.slot as usize;
        if self.peers.len() <= slot {
            self.peers.resize(slot + 1, facts);
        }
        self.peers[slot] = facts;
    }

    pub fn peer(&self, client: ClientId) -> Option<&PeerFacts> {
        self.peers.get(client.slot as usize).filter(|facts| facts.id == client)
    }

    pub fn defer(&mut self, work: Deferred) -> Result<Outcome, CommandError> {
        self.deferred.push(work);
        Ok(Outcome::Silent)
    }
}
