//! The world of a simulated node: `node::Os` over the seeded network and disk. Does what it is told, late,
//! and fails as the plan says; decides nothing.

use super::cluster::{Later, World};
use super::data;
use super::disk::{Crash, Disk, File, Fsync, Log};
use super::net::End;
use bytes::Bytes;
use engine::world::{Configuration, EngineMemory, InfoLines, Persistence, ShutdownFlags};
use engine::{Action, Client, ClientId, CommandError, Outcome, Settings};
use node::{Facts, LogProgress, Need, Node, Os, Point, ReplicaTraits, Scene, Sent, Wrote};
use protocol::RequestParser;
use repl::{Filter, Level, LinkId, LoadTarget, MasterAddr, OtherChild};
use repl::{SnapshotEvent, SnapshotId, SnapshotMode};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use store::Keyspace;

/// What a node keeps over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Nothing,
    Rdb,
    Aof(Fsync),
}

/// A connection that another node opened; without an end it is a client of the simulation itself.
#[derive(Default)]
pub struct Conn {
    pub end: Option<End>,
    pub parser: RequestParser,
    pub out: Vec<u8>,
}

pub struct Link {
    pub id: LinkId,
    pub end: End,
    pub out: Vec<u8>,
    /// The other side has closed; what was received before is still to be read.
    pub is_over: bool,
}

/// A snapshot on its way in.
pub struct Incoming {
    pub target: LoadTarget,
    pub bytes: Vec<u8>,
    pub load: u64,
    pub loaded: Option<(Keyspace, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Replicas(SnapshotId, SnapshotMode),
    Save,
    Rewrite,
}

/// A forked child that writes a snapshot.
pub struct Child {
    pub job: Job,
    pub data: Vec<u8>,
    pub written: usize,
    pub number: u64,
}

/// One process and its disk: everything of a node but the node.
pub struct Machine {
    pub id: usize,
    /// Counts starts: what was scheduled for an earlier life is ignored.
    pub life: u64,
    pub settings: Settings,
    pub persistence: Keeps,
    pub disk: Disk,
    pub conns: BTreeMap<ClientId, Conn>,
    pub link: Option<Link>,
    pub incoming: Option<Incoming>,
    pub child: Option<Child>,
    pub files: BTreeMap<SnapshotId, Vec<u8>>,
    pub log: Option<Log>,
    pub wants_rewrite: bool,
    pub resumed: Vec<ClientId>,
    /// Clients of the simulation that are gone.
    pub gone: BTreeSet<ClientId>,
    doomed: Vec<ClientId>,
    shutdowns: Vec<(Option<ClientId>, ShutdownFlags)>,
    pub has_ended: bool,
    pub used_bytes: Cell<u64>,
    last_number: u64,
}

impl Machine {
    pub fn new(id: usize, settings: Settings, persistence: Keeps) -> Machine {
        Machine {
            id,
            life: 0,
            settings,
            persistence,
            disk: Disk::default(),
            conns: BTreeMap::new(),
            link: None,
            incoming: None,
            child: None,
            files: BTreeMap::new(),
            log: None,
            wants_rewrite: false,
            resumed: Vec::new(),
            gone: BTreeSet::new(),
            doomed: Vec::new(),
            shutdowns: Vec::new(),
            has_ended: false,
            used_bytes: Cell::new(0),
            last_number: 0,
        }
    }

    /// The process is gone: what is left is what the disk has.
    pub fn end(&mut self, how: Crash, rng: &mut fastrand::Rng) {
        self.disk.crash(how, rng);
        let disk = std::mem::take(&mut self.disk);
        let life = self.life + 1;
        *self = Machine::new(self.id, self.settings.clone(), self.persistence);
        (self.disk, self.life) = (disk, life);
    }

    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub fn conn_at(&self, end: End) -> Option<ClientId> {
        self.conns.iter().find(|(_, conn)| conn.end == Some(end)).map(|(id, _)| *id)
    }

    fn fsync(&self) -> Option<Fsync> {
        match self.persistence {
            Keeps::Aof(fsync) => Some(fsync),
            _ => None,
        }
    }
}

/// A machine in its world.
pub struct SimOs<'a> {
    pub world: &'a mut World,
    pub me: &'a mut Machine,
}

impl SimOs<'_> {
    pub fn later(&mut self, within_ms: u64, what: Later) {
        self.world.later(self.me.id, self.me.life, within_ms, what);
    }

    fn fails(&mut self, chance: f64) -> bool {
        self.world.rng.f64() < chance
    }

    fn flush(&mut self, id: ClientId) -> Sent {
        let Some(conn) = self.me.conns.get_mut(&id) else { return Sent::Broken };
        let Some(end) = conn.end else {
            let bytes = std::mem::take(&mut conn.out);
            self.world.clients.receive(self.me.id, id, &bytes);
            return Sent::All;
        };
        let n = self.world.net.write(self.world.now_ms, end, &conn.out);
        conn.out.drain(..n);
        if conn.out.is_empty() { Sent::All } else { Sent::Partly }
    }

    // ---- the append-only file ----

    /// The first file of a data set begins: writes go to an increment whose base is yet to be made.
    pub fn restart_log(&mut self, node: &mut Node) {
        let Some(fsync) = self.me.fsync() else { return };
        if self.me.child.as_ref().is_some_and(|child| child.job == Job::Rewrite) {
            self.me.child = None;
        }
        node.append(self);
        node.engine.propagation.set_aof(true);
        let point = Point { log: node.engine.propagation.log_end(), offset: node.repl.offset() };
        self.me.log = Some(Log::new(fsync, true, point));
        self.me.temp_incr();
        self.start_rewrite(node);
    }

    pub fn start_rewrite(&mut self, node: &mut Node) {
        self.me.wants_rewrite = self.me.child.is_some() || self.me.log.is_none();
        if self.me.wants_rewrite {
            return;
        }
        node.append(self);
        node.engine.propagation.reselect_aof();
        // What is queued still belongs to the increment that ends here.
        self.write_log();
        if self.me.log.as_ref().is_some_and(Log::has_queued)
            || self.fails(self.world.faults.fork_fails)
        {
            self.me.wants_rewrite = true;
            return;
        }
        let waits = self.me.log.as_ref().is_some_and(|log| log.is_waiting);
        if waits {
            self.me.temp_incr();
        } else {
            // The one before is synced when the next begins, or what follows would stand on nothing.
            self.sync_log_now();
            if let Some((_, incrs)) = &mut self.me.disk.aof {
                incrs.push(File::default());
            }
        }
        self.start_child(node, Job::Rewrite);
    }

    pub fn start_child(&mut self, node: &mut Node, job: Job) {
        let number = self.me.number();
        let data = data::snapshot(node);
        self.me.child = Some(Child { job, data, written: 0, number });
        self.tell_of_child(node);
        self.later(300, Later::ChildStep { number });
    }

    pub fn tell_of_child(&mut self, node: &mut Node) {
        let child = match self.me.child.as_ref().map(|child| child.job) {
            None | Some(Job::Replicas(..)) => OtherChild::None,
            Some(Job::Save) => OtherChild::Save,
            Some(Job::Rewrite) => OtherChild::Other,
        };
        node.repl.handle_other_child(node.now_ms(), child);
    }

    pub fn rewrite_is_done(&mut self, data: Vec<u8>) {
        let Some(log) = &mut self.me.log else { return };
        let incr = match (log.is_waiting, &mut self.me.disk.aof) {
            (true, _) => std::mem::take(&mut self.me.disk.temp_incr),
            (false, Some((_, incrs))) => incrs.pop().unwrap_or_default(),
            (false, None) => return,
        };
        let mut incr = incr;
        log.rewritten(&mut incr);
        self.me.disk.aof = Some((data, vec![incr]));
        self.world.trace(self.me.id, "-- AOF rewritten");
    }

    /// What the writer's thread does, now and then.
    pub fn write_log(&mut self) {
        let (refuses, fails) =
            (self.fails(self.world.faults.write_fails), self.fails(self.world.faults.fsync_fails));
        let Some(log) = &mut self.me.log else { return };
        let file = match (log.is_waiting, &mut self.me.disk.aof) {
            (true, _) => &mut self.me.disk.temp_incr,
            (false, Some((_, incrs))) => incrs.last_mut().expect("an increment is always there"),
            (false, None) => return,
        };
        log.write(file, refuses);
        if log.fsync == Fsync::Always && !log.has_queued() {
            log.sync(file, fails);
        }
    }

    /// What `everysec` does once a second.
    pub fn sync_log(&mut self) {
        if self.me.log.as_ref().is_some_and(|log| log.fsync == Fsync::Everysec) {
            self.sync_log_now();
        }
    }

    fn sync_log_now(&mut self) {
        let fails = self.fails(self.world.faults.fsync_fails);
        let Some(log) = &mut self.me.log else { return };
        match (log.is_waiting, &mut self.me.disk.aof) {
            (true, _) => log.sync(&mut self.me.disk.temp_incr, fails),
            (false, Some((_, incrs))) => {
                log.sync(incrs.last_mut().expect("an increment is always there"), fails);
            }
            (false, None) => {}
        }
    }
}

impl Machine {
    fn temp_incr(&mut self) {
        self.disk.temp_incr = File::default();
    }
}

impl Configuration for SimOs<'_> {
    fn settings(&self) -> Settings {
        self.me.settings.clone()
    }

    fn is_secret_directive(&self, name: &[u8]) -> bool {
        name == b"requirepass"
    }
}

impl Persistence for SimOs<'_> {
    fn fsynced_offset(&self) -> Option<u64> {
        self.me.log.as_ref().map(Log::saved_offset)
    }

    fn write_refusal(&self) -> Option<CommandError> {
        let error = self.me.log.as_ref()?.error?;
        Some(CommandError::text(format!("MISCONF Errors writing to the AOF file: {error}")))
    }

    fn last_save_unix_s(&self) -> i64 {
        1_600_000_000
    }
}

impl Os for SimOs<'_> {
    fn perform(&mut self, action: Action<'_>, scene: Scene<'_>) -> Result<Outcome, CommandError> {
        match action {
            Action::Shutdown(flags) if flags.abort && scene.shutdown.is_none() => {
                Err(CommandError::err("No shutdown in progress."))
            }
            Action::Shutdown(flags) => {
                self.me.shutdowns.push((scene.by, flags));
                Ok(if flags.abort { Outcome::Done } else { Outcome::Silent })
            }
            Action::CloseClient { client } => {
                self.me.doomed.push(client);
                Ok(Outcome::Done)
            }
            Action::Log { message } => {
                self.world.trace(self.me.id, message);
                // Nobody sends what another cannot take.
                assert!(!message.contains("== CRITICAL =="), "node {}: {message}", self.me.id);
                Ok(Outcome::Done)
            }
            _ => Ok(Outcome::Done),
        }
    }

    fn has_wishes(&self) -> bool {
        !self.me.shutdowns.is_empty() || !self.me.doomed.is_empty()
    }

    fn fulfil(&mut self, node: &mut Node) {
        for client in std::mem::take(&mut self.me.doomed) {
            self.close(node, client);
        }
        for (client, flags) in std::mem::take(&mut self.me.shutdowns) {
            match flags.abort {
                true => drop(node.abort_shutdown(self)),
                false => node.begin_shutdown(self, client, flags, 10_000_000),
            }
        }
    }

    fn mono_us(&self) -> u64 {
        self.world.now().mono_us
    }

    fn info(&self, _: &str, _: Facts<'_>) -> InfoLines {
        Vec::new()
    }

    fn memory_info(&self, _: EngineMemory, _: Facts<'_>) -> InfoLines {
        Vec::new()
    }

    /// A hundred bytes a key, as of the last look; whoever evicts because of it finds less next time.
    fn memory_bytes(&self) -> (u64, u64) {
        let used = self.me.used_bytes.get();
        if used > self.me.settings.maxmemory_bytes {
            self.me.used_bytes.set(used.saturating_sub(100));
        }
        (used, 0)
    }

    fn maxmemory_bytes(&self) -> u64 {
        self.me.settings.maxmemory_bytes
    }

    fn traffic(&self, _: ClientId) -> [u64; 2] {
        [0, 0]
    }

    fn secret_hex(&self, _: usize) -> Option<String> {
        None
    }

    fn replica_traits(&self) -> ReplicaTraits {
        ReplicaTraits { priority: 100, read_only: true, announced: true }
    }

    fn log(&mut self, _: Level, text: &str) {
        self.world.trace(self.me.id, text);
    }

    fn note_master(&mut self, _: Option<&MasterAddr>) {}

    fn follow_role(&mut self, _: bool) {}

    fn peer_ip(&self, client: ClientId) -> String {
        let end = self.me.conns.get(&client).and_then(|conn| conn.end);
        end.map_or_else(String::new, |end| self.world.net.peer_node(end).to_string())
    }

    fn resume(&mut self, client: ClientId) {
        self.me.resumed.push(client);
    }

    fn send(&mut self, client: &mut Client, mut n: usize) -> Sent {
        let id = client.id;
        let Some(conn) = self.me.conns.get_mut(&id) else { return Sent::Broken };
        if conn.end.is_none() && n > 0 {
            let log = self.me.log.as_ref();
            self.world.clients.check_gate(self.me.id, log, n, client);
        }
        while n > 0 {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = client.out.io_slices(&mut slices);
            let mut taken = 0;
            for slice in &slices[..count] {
                let part = slice.len().min(n - taken);
                conn.out.extend_from_slice(&slice[..part]);
                taken += part;
            }
            client.out.advance(taken);
            n -= taken;
        }
        self.flush(id)
    }

    fn is_drained(&self, client: ClientId) -> bool {
        self.me.conns.get(&client).is_some_and(|conn| conn.out.is_empty())
    }

    fn write(&mut self, client: ClientId, slices: &[IoSlice<'_>]) -> Wrote {
        let Some(end) = self.me.conns.get(&client).and_then(|conn| conn.end) else {
            return Wrote::Broken;
        };
        let mut sent = 0;
        for slice in slices {
            let n = self.world.net.write(self.world.now_ms, end, slice);
            sent += n as u64;
            if n < slice.len() {
                break;
            }
        }
        Wrote::Some(sent)
    }

    fn write_file(&mut self, client: ClientId, id: SnapshotId, position: u64, len: u64) -> Wrote {
        let Some(file) = self.me.files.get(&id) else { return Wrote::Broken };
        let rest = file[position as usize..].to_vec();
        assert_eq!(rest.len() as u64, len);
        self.write(client, &[IoSlice::new(&rest)])
    }

    fn write_later(&mut self, client: ClientId) {
        self.later(1, Later::Writable { client });
    }

    fn became_replica(&mut self, _: ClientId) {}

    fn judge_replica(&mut self, _: &mut Node, _: ClientId) {}

    fn close(&mut self, node: &mut Node, client: ClientId) {
        if node.master_client() == Some(client) {
            return;
        }
        if let Some(conn) = self.me.conns.remove(&client) {
            match conn.end {
                Some(end) => self.world.net.close(self.world.now_ms, end),
                None => drop(self.me.gone.insert(client)),
            }
        }
        node.disconnected(client);
    }

    fn connect(&mut self, link: LinkId, host: &str, _: u16) {
        let to: usize = host.parse().expect("hosts are numbers here");
        let end = self.world.connect(self.me.id, to);
        self.me.link = Some(Link { id: link, end, out: Vec::new(), is_over: false });
    }

    fn close_link(&mut self, link: LinkId) {
        if let Some(link) = self.me.link.take_if(|l| l.id == link) {
            self.world.net.close(self.world.now_ms, link.end);
        }
    }

    fn send_master(&mut self, _: &mut Node, link: LinkId, bytes: &[u8]) {
        if let Some(link) = self.me.link.as_mut().filter(|l| l.id == link) {
            link.out.extend_from_slice(bytes);
            let n = self.world.net.write(self.world.now_ms, link.end, &link.out);
            link.out.drain(..n);
        }
    }

    fn stops_at(&self, _: &engine::StreamFault) -> bool {
        true
    }

    fn load_start(&mut self, node: &mut Node, target: LoadTarget, _: Option<u64>) {
        if target != LoadTarget::File {
            node.engine.loading = true;
            node.engine.async_loading = target != LoadTarget::Parser;
        }
        let load = self.me.number();
        self.me.incoming = Some(Incoming { target, bytes: Vec::new(), load, loaded: None });
    }

    fn load_chunk(&mut self, bytes: Bytes) {
        let incoming = self.me.incoming.as_mut().expect("a load has started");
        incoming.bytes.extend_from_slice(&bytes);
    }

    fn load_end(&mut self, _: &mut Node) {
        let load = self.me.incoming.as_ref().expect("a load has started").load;
        self.later(500, Later::Verified { load });
    }

    fn load_commit(&mut self, node: &mut Node) {
        let incoming = self.me.incoming.as_ref().expect("a load has started");
        let load = incoming.load;
        if incoming.target == LoadTarget::File {
            node.engine.loading = true;
        }
        self.later(500, Later::Loaded { load });
    }

    fn load_abort(&mut self, node: &mut Node) {
        node.engine.loading = false;
        node.engine.async_loading = false;
        self.me.incoming = None;
    }

    fn has_room_for_snapshot(&self) -> bool {
        true
    }

    fn start_snapshot(&mut self, node: &mut Node, id: SnapshotId, mode: SnapshotMode, _: Filter) {
        let event = if self.me.child.is_some() || self.fails(self.world.faults.fork_fails) {
            SnapshotEvent::Failed { id, why: "Cannot allocate memory".to_string() }
        } else {
            self.start_child(node, Job::Replicas(id, mode));
            SnapshotEvent::Started { id }
        };
        node.repl.handle_snapshot(node.now_ms(), event);
    }

    fn cancel_snapshot(&mut self, node: &mut Node, id: SnapshotId) {
        let is_its = |child: &mut Child| matches!(child.job, Job::Replicas(of, _) if of == id);
        if self.me.child.take_if(is_its).is_some() {
            self.tell_of_child(node);
        }
    }

    fn release_snapshot(&mut self, id: SnapshotId) {
        self.me.files.remove(&id);
    }

    fn replies_need(&self) -> Need {
        self.me.log.as_ref().map_or(Need::NOTHING, Log::need)
    }

    fn append(&mut self, _: &mut Node, bytes: Vec<u8>, point: Point) -> Vec<u8> {
        let Some(log) = &mut self.me.log else { return bytes };
        log.push(bytes, point);
        let (is_always, has_queued) = (log.fsync == Fsync::Always, log.has_queued());
        if is_always && has_queued {
            self.write_log();
        }
        if self.me.log.as_ref().is_some_and(Log::has_queued) {
            self.later(20, Later::WriteLog);
        }
        Vec::new()
    }

    fn log_progress(&mut self) -> Option<LogProgress> {
        self.me.log.as_ref().map(Log::progress)
    }

    fn end(&mut self, node: &mut Node, flags: ShutdownFlags, _: u64) -> Result<(), CommandError> {
        node.append(self);
        self.write_log();
        let is_behind =
            self.me.log.as_ref().is_some_and(|log| log.has_queued() || log.error.is_some());
        if is_behind && !flags.force {
            return Err(CommandError::err("Errors trying to SHUTDOWN. Check logs."));
        }
        if let Some(log) = &mut self.me.log
            && let Some((_, incrs)) = &mut self.me.disk.aof
        {
            log.sync(incrs.last_mut().expect("an increment is always there"), false);
        }
        if self.me.persistence == Keeps::Rdb {
            self.me.disk.dump = Some(data::snapshot(node));
        }
        self.me.has_ended = true;
        Ok(())
    }
}
