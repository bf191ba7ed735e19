//! What the engine sees of the process: `Host` holds everything but the engine and the connections,
//! and answers the engine's questions and wishes (`World`).
//!
//! A wish is fulfilled at once where that needs nothing but the host and the keyspace. Where it
//! needs the engine or a connection it is noted in `deferred`, and `Server` performs it as soon as
//! the command has returned: by then everything that was propagated has left by its door, so that a
//! fork and the stream agree on what the data set is.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use engine::world::{EngineMemory, InfoLines, ReplicationInfo, ShutdownFlags};
use engine::{Action, ClientId, CommandError, Now, Outcome, Settings, World};
use log::info;
use mio::Registry;
use store::keyspace::Keyspace;
use store::seed::HashSeed;

use crate::aof::Aof;
use crate::boot::LoadPurpose;
use crate::children::Children;
use crate::client_memory::{ClientMemory, ClientPeaks};
use crate::clock;
use crate::config::{Config, Directive, StartRole};
use crate::cron::Rates;
use crate::daemon::{OomScore, PidFile, Supervisor};
use crate::listener::Listener;
use crate::load_progress::LoadProgress;
use crate::loader::{Loaded, Loader};
use crate::mailbox::Mailer;
use crate::memory::{self, MemoryMeter};
use crate::rdb::Rdb;
use crate::repl_driver::{ReplDriver, conn_id};
use crate::shutdown::Shutdown;
use crate::{info, settings};

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
    /// REPLICAOF: sockets, files and clients follow the role.
    RoleChanged,
    BecameReplica(ClientId),
    /// FAILOVER: what the replication core wants done before the next command.
    Failover,
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
    pub now: Now,
    pub registry: Registry,
    pub mailer: Mailer,
    pub listeners: Vec<Listener>,
    pub identity: Identity,
    pub stats: HostStats,
    pub memory: MemoryMeter,
    pub children: Children,
    pub rdb: Rdb,
    pub aof: Aof,
    pub repl: ReplDriver,
    pub loading: LoadingInfo,
    pub shutdown: Option<Shutdown>,
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
    /// Whose command runs.
    pub current: Option<ClientId>,
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
    pub fn now_ms(&self) -> u64 {
        self.now.mono_us / 1000
    }

    /// The earliest time at which something here is due.
    pub fn next_deadline_us(&self) -> Option<u64> {
        let repl = self.repl.core.poll_timeout().filter(|_| !self.cron_paused);
        let repl = repl.map(|ms| ms.saturating_mul(1000));
        let shutdown = self.shutdown.as_ref().map(|shutdown| shutdown.deadline_us);
        [repl, shutdown].into_iter().flatten().min()
    }

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

    pub fn peer_ip(&self, client: ClientId) -> String {
        let addr = self.peer(client).and_then(|facts| facts.addr);
        addr.map_or_else(String::new, |addr| addr.ip().to_string())
    }

    fn defer(&mut self, work: Deferred) -> Result<Outcome, CommandError> {
        self.deferred.push(work);
        Ok(Outcome::Silent)
    }

    fn debug_sleep(&mut self, us: u64) -> Outcome {
        std::thread::sleep(std::time::Duration::from_micros(us));
        Outcome::Done
    }
}

impl World for Host {
    fn perform(
        &mut self,
        action: Action<'_>,
        _keyspace: &mut Keyspace,
    ) -> Result<Outcome, CommandError> {
        let client = self.current;
        match action {
            Action::Save => {
                if self.children.is_saving_rdb() {
                    return Err(CommandError::err("Background save already in progress"));
                }
                self.defer(Deferred::Save { client })
            }
            Action::BgSave { schedule, in_exec } => self.request_bgsave(schedule, in_exec),
            Action::BgRewriteAof { in_exec } => self.request_aof_rewrite(in_exec),
            Action::ReplicaOf { target, by } => self.request_replicaof(target, by),
            Action::StrayWrite => {
                self.repl.core.handle_stray_write();
                Ok(Outcome::Done)
            }
            Action::Psync { client, replid, offset, failover_by } => {
                self.request_psync(client, replid, offset, failover_by)
            }
            Action::Replconf { client, words } => self.request_replconf(client, words),
            Action::Failover { target, timeout_ms, force } => {
                self.request_failover(target, timeout_ms, force)
            }
            Action::FailoverAbort => self.request_failover_abort(),
            Action::ConfigSet { pairs, in_exec } => self.config_set(pairs, in_exec),
            Action::ConfigRewrite => self.config_rewrite(),
            Action::ConfigResetStat => {
                self.stats = HostStats::default();
                self.rdb.saves = 0;
                self.aof.stats.rewrites = 0;
                self.repl.core.reset_stats();
                Ok(Outcome::Done)
            }
            Action::Shutdown(flags) => self.request_shutdown(flags),
            Action::CloseClient { client } => {
                self.doomed.push(client);
                Ok(Outcome::Done)
            }
            Action::DebugSleep { us } => Ok(self.debug_sleep(us)),
            Action::DebugReload { nosave, noflush: _ } => {
                self.defer(Deferred::DebugReload { client, nosave })
            }
            Action::DebugLoadAof => self.defer(Deferred::DebugLoadAof { client }),
            Action::DebugCrash { how } => crash(how),
            Action::DebugAofFlushSleep { us } => {
                self.aof.flush_sleep_us = us;
                Ok(Outcome::Done)
            }
            Action::DebugConfigRewriteAll => self.config_rewrite_all(),
            Action::Log { message } => {
                log::warn!("{message}");
                Ok(Outcome::Done)
            }
            Action::DebugPauseCron { paused } => {
                self.cron_paused = paused;
                Ok(Outcome::Done)
            }
            Action::DebugLog { message } => {
                log::warn!("DEBUG LOG: {message}");
                Ok(Outcome::Done)
            }
            Action::DebugReplication { .. } => Ok(Outcome::Done),
            Action::AllocatorReport => Ok(Outcome::Text(memory::report())),
            Action::MemoryPurge => {
                memory::purge();
                Ok(Outcome::Done)
            }
            Action::KeyspaceFlushed => {
                self.deferred.push(Deferred::KeyspaceFlushed);
                Ok(Outcome::Done)
            }
            Action::LazyFree(garbage) => {
                crate::lazy_free::free(garbage.0);
                Ok(Outcome::Done)
            }
        }
    }

    fn replicate(&mut self, bytes: &[u8]) {
        self.repl.core.handle_write(bytes);
    }

    fn speaks_for(&mut self, client: ClientId) {
        self.current = Some(client);
    }

    fn note_unfollowed_write(&mut self) {
        self.repl.core.handle_unfollowed_write();
    }

    fn settings(&self) -> Settings {
        settings::engine_settings(&self.config, self.hash_seed)
    }

    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        self.config.matching(patterns)
    }

    fn replication(&self) -> ReplicationInfo {
        self.repl.info(&self.config, self.now_ms())
    }

    fn info(&self, section: &str) -> InfoLines {
        info::section(self, section)
    }

    fn memory_info(&self, engine: EngineMemory) -> InfoLines {
        info::memory_section(self, engine)
    }

    fn stream_offset(&self) -> u64 {
        self.repl.core.offset()
    }

    fn fsynced_offset(&self) -> Option<u64> {
        self.aof.fsynced_stream_offset()
    }

    fn acked_replicas(&self, offset: u64) -> (u32, u32) {
        let core = &self.repl.core;
        (core.count_acked(offset) as u32, core.count_fsynced(offset) as u32)
    }

    fn request_acks(&mut self) {
        self.repl.acks_wanted = true;
    }

    fn replica_pending_bytes(&self, client: ClientId) -> u64 {
        self.repl.core.pending_bytes(conn_id(client))
    }

    fn secret_hex(&self, digits: usize) -> Option<String> {
        let mut hex = String::new();
        while hex.len() < digits {
            hex.push_str(&crate::entropy::forty_hex_digits());
        }
        hex.truncate(digits);
        Some(hex)
    }

    fn used_memory_bytes(&self) -> u64 {
        let used = self.memory.used_bytes();
        if used <= self.config.memory.maxmemory_bytes {
            return used;
        }
        // What evicting a key would make longer is not counted, or it would never end.
        used.saturating_sub(self.aof.buffer_bytes() + self.repl.core.bytes_for_replicas())
    }

    fn mono_us(&self) -> u64 {
        clock::mono_us()
    }

    fn is_secret_directive(&self, name: &[u8]) -> bool {
        crate::config::is_secret(name)
    }

    fn write_refusal(&self) -> Option<CommandError> {
        self.rdb.write_refusal(&self.config).or_else(|| self.aof.write_refusal())
    }

    fn last_save_unix_s(&self) -> i64 {
        self.rdb.last_save_unix_s
    }
}

fn crash(how: &str) -> Result<Outcome, CommandError> {
    info!("DEBUG {how} asked for the end of this process");
    match how {
        "oom" => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 1 << 40]>()),
        "panic" => panic!("DEBUG PANIC"),
        _ => std::process::abort(),
    }
}
