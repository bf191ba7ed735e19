//! The process around the node: `Host` holds its sockets, files and threads, and is the world that the
//! node asks (`node_os.rs`).
//!
//! A wish of a command is fulfilled at once where that needs nothing but the host. Where it needs the
//! node it is noted in `deferred`, and fulfilled as soon as the command has returned: by then
//! everything that was propagated has left by its door, so that a fork and the stream agree on what
//! the data set is.

use std::collections::BTreeSet;

use engine::world::ShutdownFlags;
use engine::{ClientId, CommandError, Outcome};
use mio::Registry;
use store::seed::HashSeed;

use crate::config::{Config, Directive, StartRole};
use crate::disk::aof::Aof;
use crate::disk::children::Children;
use crate::disk::chunk_pipe::HasRoom;
use crate::disk::loader::LoadEnded;
use crate::disk::loading::Loading;
use crate::disk::rdb::Rdb;
use crate::disk::snapshot_in::Incoming;
use crate::disk::worker::DiskWorker;
use crate::monitor::figures::TurnTimes;
use crate::monitor::service::Metrics;
use crate::net::client_memory::{ClientMemory, ClientPeaks};
use crate::net::conn::Conns;
use crate::net::listener::{AcceptOutcome, Listener};
use crate::net::listeners::Listeners;
use crate::net::master_link::MasterLink;
use crate::net::migration::Migrations;
use crate::net::peers::Peers;
use crate::net::resolver::Resolved;
use crate::net::tls::Sides;
use crate::os::defrag::Defrag;
use crate::os::stats::{HostStats, Rates};
use crate::process::daemon::{OomScore, PidFile};
use crate::process::mailbox::Mailer;
use crate::process::memory::MemoryMeter;
use crate::process::sessions::Sessions;
use crate::process::signals::SignalSource;
use crate::process::supervisor::Supervision;
use crate::process::watchdog::Watchdog;

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
    CancelBgSave,
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
        onto: Onto,
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

/// What a data set that DEBUG RELOAD has loaded may come upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// What was there has gone.
    Nothing,
    /// Keys of other names stay.
    Others,
    /// Keys of the same names give way.
    Any,
}

/// A CONFIG SET that is not answered yet.
#[derive(Debug)]
pub struct ConfigSetWaits {
    pub client: Option<ClientId>,
    pub before: Box<Config>,
    pub changed: Vec<&'static Directive>,
}

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// 40 hexadecimal digits, new with every start.
    pub run_id: String,
    pub started_unix_s: u64,
    pub pid: u32,
}

/// The process's own: who it is, and what has been decided of its end.
pub struct ProcessState {
    pub signals: SignalSource,
    pub identity: Identity,
    pub memory: MemoryMeter,
    pub defrag: Defrag,
    pub supervision: Supervision,
    pub pidfile: Option<PidFile>,
    pub oom: OomScore,
    /// The role that the configuration asked for.
    pub start_role: StartRole,
    /// Directives of which the log has said that they have no effect.
    pub told_idle: BTreeSet<&'static str>,
    /// DEBUG PAUSE-CRON.
    pub cron_paused: bool,
    /// A signal to end that came meanwhile, or during the first rewrite of the AOF; whether it was SIGINT.
    pub postponed_end: Option<bool>,
    /// The same of an end that has begun.
    pub asked_to_end: Option<bool>,
    pub exit_code: Option<i32>,
    /// Of the debugger of scripts.
    pub sessions: Sessions,
    pub metrics: Metrics,
    pub watchdog: Watchdog,
}

/// The turns of the loop, and what they are counted by.
#[derive(Default)]
pub struct TurnState {
    pub stats: HostStats,
    pub rates: Rates,
    pub times: TurnTimes,
    pub next_cron_us: u64,
    /// The engine's count of changes, as of the last turn: INFO asks the host for it.
    pub dirty: u64,
    /// The engine's count of commands, as of the last turn.
    pub commands: u64,
}

impl TurnState {
    /// A turn has ended that took `turn_us`, and after which so many `commands` have run.
    pub fn note_end(&mut self, turn_us: u64, commands: u64) {
        let ran = commands.saturating_sub(std::mem::replace(&mut self.commands, commands));
        let stats = &mut self.stats;
        stats.loop_us += turn_us;
        stats.loop_max_us = stats.loop_max_us.max(turn_us);
        stats.turn_commands_max = stats.turn_commands_max.max(ran);
        self.times.note(turn_us);
    }
}

/// What the process has of sockets: each keeps its state to itself, and `os/` is where they meet. Who is served,
/// and what follows from it, is decided there and above.
pub struct NetState {
    pub(super) registry: Registry,
    pub(super) listeners: Listeners,
    pub(super) conns: Conns,
    /// Where the clients come from, by slot.
    pub(super) peers: Peers,
    pub(super) client_peaks: ClientPeaks,
    pub(super) client_memory: ClientMemory,
    /// To our master.
    pub(super) link: Option<MasterLink>,
    /// Of MIGRATE.
    pub(super) migrations: Migrations,
    /// How look-ups of names speak to the loop.
    pub(super) resolved: Mailer<Resolved>,
    /// What encrypted connections begin with, once anything is to be encrypted.
    pub(super) tls: Option<Sides>,
    pub(super) certificates_told_us: u64,
}

impl NetState {
    pub fn new(
        registry: Registry,
        listeners: Vec<Listener>,
        resolved: Mailer<Resolved>,
        tls: Option<Sides>,
    ) -> NetState {
        NetState {
            registry,
            listeners: Listeners::new(listeners),
            conns: Conns::default(),
            peers: Peers::default(),
            client_peaks: ClientPeaks::default(),
            client_memory: ClientMemory::default(),
            link: None,
            migrations: Migrations::default(),
            resolved,
            tls,
            certificates_told_us: 0,
        }
    }

    /// `None` for a listener that is gone.
    pub(super) fn accept(&mut self, index: u32, now_us: u64) -> Option<AcceptOutcome> {
        let tls = self.tls.as_ref().map(|sides| &sides.server);
        self.listeners.accept(index, tls, now_us)
    }
}

/// The same of files, and of what writes and reads them.
pub struct DiskState {
    /// What keeps the order in which files change.
    pub(super) worker: DiskWorker,
    pub(super) aof: Aof,
    pub(super) rdb: Rdb,
    pub(super) children: Children,
    pub(super) incoming: Incoming,
    pub(super) loading: Loading,
}

impl DiskState {
    pub fn new(
        aof: Aof,
        rdb: Rdb,
        worker: DiskWorker,
        load_ended: Mailer<LoadEnded>,
        has_room: Mailer<HasRoom>,
    ) -> DiskState {
        DiskState {
            aof,
            rdb,
            children: Children::default(),
            incoming: Incoming::new(worker.clone(), has_room),
            loading: Loading::new(load_ended),
            worker,
        }
    }
}

pub struct Host {
    pub config: Config,
    pub hash_seed: HashSeed,
    pub process: ProcessState,
    pub net: NetState,
    pub disk: DiskState,
    pub turn: TurnState,
    pub deferred: Vec<Deferred>,
}

impl Host {
    pub fn defer(&mut self, work: Deferred) -> Result<Outcome, CommandError> {
        self.deferred.push(work);
        Ok(Outcome::Silent)
    }
}
