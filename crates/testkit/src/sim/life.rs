//! The life of a simulated process: its start with what the disk has, and what is done late: snapshots in
//! and out, rewrites, the writer's thread, the cron.

use super::clients::Clients;
use super::cluster::{Later, World};
use super::data;
use super::disk::{Crash, File, Log};
use super::node::SimNode;
use super::os::{Child, Job, Keeps, Machine, SimOs};
use engine::{Engine, Settings};
use node::{Node, Point};
use repl::{
    Entropy, LoadTarget, MasterAddr, Repl, ReplSettings, SnapshotEvent, SnapshotMode,
    SnapshotProgress,
};

fn new_node(settings: &Settings, repl: &ReplSettings, world: &mut World) -> Node {
    let mut rng = world.rng.fork();
    let engine = Engine::new(settings.clone(), rng.u64(..));
    let entropy: Entropy = Box::new(move || std::array::from_fn(|_| rng.u8(..)));
    let mut node = Node::new(engine, Repl::new(world.now().mono_us / 1000, repl.clone(), entropy));
    node.begin_turn(world.now());
    node
}

impl SimNode {
    pub fn create(world: &mut World, machine: Machine, repl: ReplSettings) -> SimNode {
        let node = new_node(&machine.settings, &repl, world);
        SimNode::new(machine, node, repl)
    }

    /// The process is gone.
    pub fn end(&mut self, world: &mut World, how: Crash) {
        self.is_up = false;
        let had_file = self.machine.log.as_ref().is_some_and(|log| !log.is_waiting);
        if !had_file {
            world.clients.forget_kept(self.id);
        }
        world.clients.node_down(self.id);
        self.machine.end(how, &mut world.rng);
    }

    /// Another life with what is on the disk.
    pub fn start(&mut self, world: &mut World, master: Option<MasterAddr>, how: Crash) {
        let mut next = new_node(&self.machine.settings, &self.repl_settings, world);
        std::mem::swap(&mut self.node, &mut next);
        self.is_up = true;
        self.seen = Default::default();
        self.turn(world, |node, os| {
            let history = load_own(node, os, how);
            node.boot(os, master, history);
            os.later(500, Later::Cron);
        });
    }
}

/// The append-only file wins over the snapshot when it is on.
fn load_own(node: &mut Node, os: &mut SimOs<'_>, how: Crash) -> Option<repl::HistoryPoint> {
    let seed = node.engine.keyspace.seed();
    match os.me.persistence {
        Keeps::Nothing => None,
        Keeps::Rdb => {
            let dump = os.me.disk.dump.clone()?;
            let (keyspace, report) = data::load(&dump, seed).expect("our own dump is sound");
            node.engine.keyspace = keyspace;
            node.set_stream_db(report.repl_stream_db.unwrap_or(0).max(0) as usize);
            data::history(&report)
        }
        Keeps::Aof(fsync) => {
            let (base, mut incrs) = match os.me.disk.aof.take() {
                Some(files) => files,
                None => (data::snapshot(node), vec![File::default()]),
            };
            node.engine.keyspace = data::load(&base, seed).expect("our own base is sound").0;
            for file in &mut incrs {
                data::replay(node, os, file);
            }
            os.world.clients.check_kept(os.me.id, &node.engine, fsync, how);
            os.me.disk.aof = Some((base, incrs));
            node.engine.propagation.set_aof(true);
            let log = node.engine.propagation.log_end();
            os.me.log = Some(Log::new(fsync, false, Point { log, offset: 0 }));
            None
        }
    }
}

pub fn handle_later(node: &mut Node, os: &mut SimOs<'_>, later: &Later) {
    match *later {
        Later::Verified { load } => verify(node, os, load),
        Later::Loaded { load } => swap_in(node, os, load),
        Later::ChildStep { number } => child_step(node, os, number),
        Later::Writable { client } => node.client_is_writable(os, client),
        Later::WriteLog => {
            os.write_log();
            if os.me.log.as_ref().is_some_and(Log::has_queued) {
                os.later(500, Later::WriteLog);
            }
        }
        Later::Cron => cron(node, os),
    }
}

fn cron(node: &mut Node, os: &mut SimOs<'_>) {
    os.me.used_bytes.set(node.engine.keyspace.keys() as u64 * 100);
    let now = node.now();
    node.with_world(os, |engine, world| engine.cron(now, world));
    os.sync_log();
    let wants = os.me.wants_rewrite || os.me.log.as_ref().is_some_and(Log::needs_rewrite);
    if wants && os.me.child.is_none() {
        os.start_rewrite(node);
    }
    os.later(500, Later::Cron);
}

/// All of a snapshot is here: is it sound?
fn verify(node: &mut Node, os: &mut SimOs<'_>, load: u64) {
    let seed = node.engine.keyspace.seed();
    let is_bad = os.world.rng.f64() < os.world.faults.load_fails;
    let Some(incoming) = os.me.incoming.as_mut().filter(|i| i.load == load) else { return };
    let now_ms = node.now_ms();
    match data::load(&incoming.bytes, seed) {
        Ok((keyspace, report)) if !is_bad => {
            let db = report.repl_stream_db.unwrap_or(0).max(0) as usize;
            incoming.loaded = Some((keyspace, db));
            node.repl.load_verified(now_ms);
        }
        other => {
            let why = other.err().unwrap_or("disk is full".into());
            node.repl.load_failed(now_ms, &why);
        }
    }
}

fn swap_in(node: &mut Node, os: &mut SimOs<'_>, load: u64) {
    let is_bad = os.world.rng.f64() < os.world.faults.load_fails;
    if os.me.incoming.as_ref().is_none_or(|incoming| incoming.load != load) {
        return;
    }
    let now_ms = node.now_ms();
    if is_bad {
        return node.repl.load_failed(now_ms, "out of luck");
    }
    let incoming = os.me.incoming.take().expect("it was just seen");
    let (keyspace, db) = incoming.loaded.expect("it was verified");
    node.engine.keyspace = keyspace;
    node.engine.dataset_replaced();
    node.engine.loading = false;
    node.engine.async_loading = false;
    node.set_stream_db(db);
    if incoming.target == LoadTarget::File && os.me.persistence == Keeps::Rdb {
        os.me.disk.dump = Some(incoming.bytes);
    }
    Clients::forget_kept(&mut os.world.clients, os.me.id);
    node.repl.load_done(now_ms);
    os.restart_log(node);
}

fn child_step(node: &mut Node, os: &mut SimOs<'_>, number: u64) {
    let is_bad = os.world.rng.f64() < os.world.faults.snapshot_fails;
    let Some(child) = os.me.child.as_mut().filter(|c| c.number == number) else { return };
    let now_ms = node.now_ms();
    if is_bad {
        if let Job::Replicas(id, _) = child.job {
            let why = "signal 9".to_string();
            node.repl.handle_snapshot(now_ms, SnapshotEvent::Failed { id, why });
        }
        os.me.child = None;
        return os.tell_of_child(node);
    }
    if let Job::Replicas(id, SnapshotMode::Socket) = child.job
        && child.written < child.data.len()
    {
        if node.repl.snapshot_wants_data() {
            let n = os.world.rng.usize(1..=1000).min(child.data.len() - child.written);
            let bytes = bytes::Bytes::copy_from_slice(&child.data[child.written..][..n]);
            child.written += n;
            let (keys, keys_total) = (child.written as u64, child.data.len() as u64);
            let progress = SnapshotProgress { keys, keys_total, bytes: keys };
            node.repl.handle_snapshot(now_ms, SnapshotEvent::Progress { id, progress });
            node.repl.handle_snapshot(now_ms, SnapshotEvent::Chunk { id, bytes });
        }
        return os.later(50, Later::ChildStep { number });
    }
    let Child { job, data, .. } = os.me.child.take().expect("it was just seen");
    match job {
        Job::Save => os.me.disk.dump = Some(data),
        Job::Rewrite => os.rewrite_is_done(data),
        Job::Replicas(id, mode) => {
            let size_bytes = data.len() as u64;
            if mode == SnapshotMode::Disk {
                os.me.files.insert(id, data);
            }
            node.repl.handle_snapshot(now_ms, SnapshotEvent::Ready { id, size_bytes });
        }
    }
    os.tell_of_child(node);
}
