//! What the node asks of this process: `node::Os` over sockets, files, threads and the configuration. Each
//! call is handed to the file that owns its subject; nothing is decided here.

use std::io::IoSlice;

use bytes::Bytes;
use engine::world::{Configuration, EngineMemory, Heard, InfoLines, Persistence, ShutdownFlags};
use engine::{Action, Client, ClientId, CommandError, Engine, Now, Outcome, Settings};
use log::{Level, info, log};
use node::{Facts, LogProgress, Need, Node, Os, Point, ReplicaTraits, Scene, Sent, Side, Wrote};
use protocol::OwnedArgs;
use repl::{Filter, LinkId, LoadTarget, MasterAddr, SnapshotId, SnapshotMode};

use crate::config;
use crate::config::{Program, PropagationErrorBehavior, ReplicaOf};
use crate::disk::aof::AppendFigures;
use crate::os::host::{Deferred, Host, Onto};
use crate::os::info;
use crate::os::stats::HostStats;
use crate::process::clock;
use crate::process::crash;
use crate::process::daemon::OomClass;
use crate::process::lazy_free;
use crate::process::logging::{self, Speaker};
use crate::process::mallctl;
use crate::process::memory;

impl Os for Host {
    fn perform(&mut self, action: Action<'_>, scene: Scene<'_>) -> Result<Outcome, CommandError> {
        let client = scene.by;
        match action {
            Action::Save => {
                if self.disk.children.is_saving_rdb() {
                    return Err(CommandError::err("Background save already in progress"));
                }
                self.defer(Deferred::Save { client })
            }
            Action::BgSave { schedule, in_exec } => self.request_bgsave(client, schedule, in_exec),
            Action::CancelBgSave => self.cancel_bgsave(),
            Action::BgRewriteAof { in_exec } => self.request_aof_rewrite(client, in_exec),
            Action::ConfigSet { pairs, in_exec } => self.config_set(scene, pairs, in_exec),
            Action::ConfigRewrite { users } => self.config_rewrite(users),
            Action::AclSave { text } => self.save_acl_file(text),
            Action::ConfigResetStat => {
                lazy_free::reset_counts();
                self.turn.stats = HostStats::default();
                self.disk.rdb.reset_stats();
                self.disk.aof.reset_stats();
                self.process.defrag.reset_stats();
                scene.repl.reset_stats();
                Ok(Outcome::Done)
            }
            Action::Shutdown(flags) => self.request_shutdown(scene, flags),
            Action::Migrate { transfer, replies } => {
                let is_encrypted = self.config.tls.tls_cluster;
                let tls = self.net.tls.as_ref().filter(|_| is_encrypted).map(|sides| &sides.client);
                let done = self.net.migrations.carry(transfer, tls, scene.now.mono_us, replies);
                done.map(|()| Outcome::Done)
            }
            Action::CloseClient { client } => {
                self.net.conns.doom(client);
                Ok(Outcome::Done)
            }
            Action::DebugSleep { us } => Ok(debug_sleep(us)),
            // What is there at that time is no data set to save, nor the place for another one.
            Action::DebugReload { .. } | Action::DebugLoadAof if self.disk.loading.is_active() => {
                Err(CommandError::Loading)
            }
            Action::DebugReload { nosave, noflush, merge } => {
                let onto = match (noflush, merge) {
                    (false, _) => Onto::Nothing,
                    (true, false) => Onto::Others,
                    (true, true) => Onto::Any,
                };
                self.defer(Deferred::DebugReload { client, nosave, onto })
            }
            Action::DebugLoadAof => self.defer(Deferred::DebugLoadAof { client }),
            Action::DebugCrash { how } => end_by(how),
            Action::DebugAofFlushSleep { us } => {
                self.disk.aof.slow_down(us);
                Ok(Outcome::Done)
            }
            Action::DebugConfigRewriteAll { users } => self.config_rewrite_all(users),
            Action::Log { message } => {
                log::warn!("{message}");
                Ok(Outcome::Done)
            }
            Action::DebugPauseCron { paused } => {
                self.process.cron_paused = paused;
                Ok(Outcome::Done)
            }
            Action::DebugLog { message } => {
                log::warn!("DEBUG LOG: {message}");
                Ok(Outcome::Done)
            }
            // The node's own.
            Action::ReplicaOf { .. }
            | Action::StrayWrite
            | Action::Psync { .. }
            | Action::Replconf { .. }
            | Action::Failover { .. }
            | Action::FailoverAbort
            | Action::ScriptLog { .. }
            | Action::DebugReplication { .. } => Ok(Outcome::Done),
            Action::AllocatorReport => Ok(Outcome::Text(memory::report())),
            Action::MemoryPurge => {
                memory::purge();
                Ok(Outcome::Done)
            }
            Action::Mallctl { name, value } => mallctl::perform(name, value),
            Action::KeyspaceFlushed => {
                self.deferred.push(Deferred::KeyspaceFlushed);
                Ok(Outcome::Done)
            }
            Action::LazyFree(garbage) => {
                lazy_free::free(garbage.0);
                Ok(Outcome::Done)
            }
        }
    }

    fn has_wishes(&self) -> bool {
        !self.deferred.is_empty() || self.net.conns.has_suspects()
    }

    fn fulfil(&mut self, node: &mut Node) {
        self.perform_deferred(node);
        self.close_doomed(node);
    }

    fn mono_us(&self) -> u64 {
        clock::mono_us()
    }

    fn info(&self, section: &str, facts: Facts<'_>) -> InfoLines {
        info::section(self, section, facts)
    }

    fn memory_info(&self, memory: EngineMemory, facts: Facts<'_>) -> InfoLines {
        info::memory_section(self, memory, facts)
    }

    fn memory_bytes(&self) -> (u64, u64) {
        (self.process.memory.used_bytes(), self.disk.aof.buffer_bytes())
    }

    fn allocated_bytes(&self) -> u64 {
        self.process.memory.used_bytes()
    }

    fn maxmemory_bytes(&self) -> u64 {
        self.config.memory.maxmemory_bytes
    }

    fn traffic(&self, client: ClientId) -> [u64; 2] {
        let link = self.net.conns.get(client).map(|conn| conn.link());
        link.map_or([0, 0], |link| [link.bytes_in(), link.bytes_out()])
    }

    fn secret_hex(&self, digits: usize) -> Option<String> {
        let mut hex = String::new();
        while hex.len() < digits {
            hex.push_str(&crate::process::entropy::forty_hex_digits());
        }
        hex.truncate(digits);
        Some(hex)
    }

    fn replica_traits(&self) -> ReplicaTraits {
        let replication = &self.config.replication;
        ReplicaTraits {
            priority: replication.replica_priority,
            read_only: replication.replica_read_only,
            announced: replication.replica_announced,
        }
    }

    fn log(&mut self, level: repl::Level, text: &str) {
        log!(log_level(level), "{text}");
    }

    fn holds_timers(&self) -> bool {
        self.process.cron_paused
    }

    fn note_master(&mut self, master: Option<&MasterAddr>) {
        self.config.replication.replicaof = match master {
            Some(MasterAddr { host, port }) => {
                ReplicaOf::Master { host: host.clone(), port: *port }
            }
            None if self.config.program == Program::Replica => ReplicaOf::NoOne,
            None => ReplicaOf::Unset,
        };
    }

    fn follow_role(&mut self, is_master: bool) {
        logging::set_speaker(if is_master { Speaker::Master } else { Speaker::Replica });
        // What goes wrong is in the log, and no reason to stay in the old role.
        let _ = self.process.oom.apply(self.config.oom_rule(), OomClass::of_master(is_master));
    }

    fn peer_ip(&self, client: ClientId) -> String {
        let addr = self.net.peers.of(client).and_then(|facts| facts.addr);
        addr.map_or_else(String::new, |addr| addr.ip().to_string())
    }

    fn resume(&mut self, client: ClientId) {
        self.net.conns.queue(client);
    }

    fn replicas_gone_while_busy(&mut self, engine: &Engine) -> Vec<ClientId> {
        Host::replicas_gone_while_busy(self, engine)
    }

    fn hear_while_busy(&mut self, engine: &mut Engine, now: Now) -> Vec<ClientId> {
        Host::hear_while_busy(self, engine, now)
    }

    fn next_request(&mut self, engine: &Engine, client: ClientId) -> Option<OwnedArgs> {
        Host::next_request(self, engine, client)
    }

    fn fork_session(&mut self, client: ClientId) -> Result<Side, CommandError> {
        Host::fork_session(self, client)
    }

    fn say(&mut self, client: ClientId, bytes: &[u8]) {
        self.say_amid_command(client, bytes);
    }

    fn hear(&mut self, client: ClientId, into: &mut Vec<u8>) -> Heard {
        self.hear_amid_command(client, into)
    }

    fn send(&mut self, client: &mut Client, n: usize) -> Sent {
        self.send_replies(client, n)
    }

    fn is_drained(&self, client: ClientId) -> bool {
        self.net.conns.get(client).is_some()
    }

    fn write(&mut self, client: ClientId, slices: &[IoSlice<'_>]) -> Wrote {
        self.write_to_replica(client, slices)
    }

    fn write_file(&mut self, client: ClientId, id: SnapshotId, position: u64, len: u64) -> Wrote {
        self.write_file_to_replica(client, id, position, len)
    }

    fn write_later(&mut self, client: ClientId) {
        self.watch_replica(client, true);
    }

    fn became_replica(&mut self, client: ClientId) {
        if let Some(conn) = self.net.conns.get_mut(client) {
            // The stream flows either way.
            let nodelay = !self.config.replication.repl_disable_tcp_nodelay;
            let _ = conn.link().transport().set_nodelay(nodelay);
        }
    }

    fn judge_replica(&mut self, node: &mut Node, client: ClientId) {
        self.enforce_replica_limit(node, client);
    }

    fn close(&mut self, node: &mut Node, client: ClientId) {
        self.close_client(node, client);
    }

    fn connect(&mut self, link: LinkId, host: &str, port: u16) {
        self.connect_to_master(link, host.to_owned(), port);
    }

    fn close_link(&mut self, link: LinkId) {
        if self.net.link.as_ref().is_some_and(|present| present.id() == link) {
            self.close_master_link();
        }
    }

    fn send_master(&mut self, node: &mut Node, link: LinkId, bytes: &[u8]) {
        if self.net.link.as_ref().is_some_and(|present| present.id() == link) {
            self.send_to_master(node, bytes);
        }
    }

    fn stops_at(&self, fault: &engine::StreamFault) -> bool {
        match self.config.replication.propagation_error_behavior {
            PropagationErrorBehavior::Ignore => false,
            PropagationErrorBehavior::Stop => true,
            // Who writes to a replica has made its data differ: that is no reason to end it.
            PropagationErrorBehavior::Panic | PropagationErrorBehavior::PanicOnReplicas
                if !self.config.replication.replica_read_only =>
            {
                false
            }
            PropagationErrorBehavior::Panic | PropagationErrorBehavior::PanicOnReplicas => {
                let engine::StreamFault { command, error, .. } = fault;
                panic!("propagation-error-behavior: '{command}' of the master's stream: {error}")
            }
        }
    }

    fn load_start(&mut self, node: &mut Node, target: LoadTarget, _: Option<u64>) {
        self.snapshot_begins(node, target);
    }

    fn load_chunk(&mut self, bytes: Bytes) {
        self.disk.incoming.chunk(bytes);
    }

    fn load_end(&mut self, node: &mut Node) {
        self.snapshot_is_here(node);
    }

    fn load_commit(&mut self, node: &mut Node) {
        self.take_snapshot_over(node);
    }

    fn load_abort(&mut self, node: &mut Node) {
        self.give_snapshot_up(node);
    }

    fn has_room_for_snapshot(&self) -> bool {
        self.disk.incoming.has_room()
    }

    fn start_snapshot(
        &mut self,
        node: &mut Node,
        id: SnapshotId,
        mode: SnapshotMode,
        filter: Filter,
    ) {
        self.start_replication_snapshot(node, id, mode, filter);
    }

    fn cancel_snapshot(&mut self, node: &mut Node, id: SnapshotId) {
        if self.disk.children.is_making(id) {
            self.kill_child(node);
        }
    }

    fn release_snapshot(&mut self, id: SnapshotId) {
        self.disk.rdb.release(id);
    }

    fn replies_need(&self) -> Need {
        self.disk.aof.replies_need()
    }

    fn append(&mut self, node: &mut Node, bytes: Vec<u8>, point: Point) -> Vec<u8> {
        if !self.disk.aof.is_on() {
            return bytes;
        }
        let bytes = match self.config.persistence.aof_timestamp_enabled {
            true => self.disk.aof.annotate(bytes, node.now().unix_s()),
            false => bytes,
        };
        let had_bytes = !bytes.is_empty();
        let spare = self.disk.aof.append(bytes, point, node.now().mono_us);
        if had_bytes && node.engine.settings.latency_monitor_threshold_ms > 0 {
            self.record_aof_latency(node);
        }
        spare
    }

    fn log_progress(&mut self) -> Option<LogProgress> {
        self.disk.aof.progress()
    }

    fn end(&mut self, node: &mut Node, flags: ShutdownFlags, _: u64) -> Result<(), CommandError> {
        self.finish_shutdown(node, flags)
    }
}

impl Host {
    fn record_aof_latency(&self, node: &mut Node) {
        let AppendFigures { write_us, fsync_us, is_syncing } = self.disk.aof.append_figures();
        let circumstances = if is_syncing {
            "aof-write-pending-fsync"
        } else if self.disk.children.is_active() {
            "aof-write-active-child"
        } else {
            "aof-write-alone"
        };
        node.engine.record_latency("aof-write", write_us);
        node.engine.record_latency(circumstances, write_us);
        node.engine.record_latency("aof-fsync-always", fsync_us);
    }
}

impl Persistence for Host {
    fn fsynced_offset(&self) -> Option<u64> {
        self.disk.aof.fsynced_stream_offset()
    }

    fn write_refusal(&self) -> Option<CommandError> {
        self.disk.rdb.write_refusal(&self.config).or_else(|| self.disk.aof.write_refusal())
    }

    fn last_save_unix_s(&self) -> i64 {
        self.disk.rdb.figures().last_save_unix_s
    }
}

impl Configuration for Host {
    fn settings(&self) -> Settings {
        config::engine_settings(&self.config, self.hash_seed)
    }

    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        self.config.matching(patterns)
    }

    fn acl_file(&self) -> Option<String> {
        self.config.acl_file().map(str::to_owned)
    }

    fn read_acl_file(&self) -> Result<Vec<u8>, String> {
        self.config.read_acl_file()
    }

    fn is_secret_directive(&self, name: &[u8]) -> bool {
        config::is_secret(name)
    }
}

fn log_level(level: repl::Level) -> Level {
    match level {
        repl::Level::Debug => Level::Trace,
        repl::Level::Verbose => Level::Debug,
        repl::Level::Notice => Level::Info,
        repl::Level::Warning => Level::Warn,
    }
}

fn debug_sleep(us: u64) -> Outcome {
    std::thread::sleep(std::time::Duration::from_micros(us));
    Outcome::Done
}

fn end_by(how: &str) -> Result<Outcome, CommandError> {
    info!("DEBUG {how} asked for the end of this process");
    match how {
        "oom" => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 1 << 40]>()),
        "panic" => panic!("DEBUG PANIC"),
        "segfault" => crash::fault(),
        _ => std::process::abort(),
    }
}
