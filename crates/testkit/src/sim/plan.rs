//! What a seed decides: settings, weather, topology, faults, and then a quiet time in which everything has
//! to come right. Must not look into nodes beyond what an operator sees.

use super::cluster::{Cluster, Faults, Seen, Setup};
use super::disk::{Crash, Fsync};
use super::net::{End, Weather};
use super::node::SimNode;
use super::os::{Job, Keeps};
use engine::Settings;
use engine::settings::MaxmemoryPolicy;
use fastrand::Rng;
use repl::{DisklessLoad, LinkPhase, ReplSettings};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How long the cluster may take to come right after the last fault.
const QUIET_LIMIT_MS: u64 = 600_000;

/// An operator looks again after so long whether everybody has the role that was given to it.
const SAID_AGAIN_MS: u64 = 10_000;

/// What is in flight arrives within this time, once the faults are over.
const IN_FLIGHT_MAX_MS: u64 = 2_000;

/// Runs one seed to its end. Panics with the seed, the last lines of the logs, and the line that replays it.
/// Gives what the run went through.
pub fn run_seed(seed: u64, replay_with: &str) -> Seen {
    let mut rng = Rng::with_seed(seed ^ 0x5eed_0000_0000_0000);
    let count = rng.usize(3..=4);
    let password = rng.bool().then(|| b"secret".to_vec());
    let setups = (0..count).map(|node| random_setup(&mut rng, node, &password)).collect();
    let mut cluster = Cluster::new(seed, random_weather(&mut rng), setups);
    let result = catch_unwind(AssertUnwindSafe(|| run(&mut cluster, &mut rng)));
    if let Err(panic) = result {
        eprintln!("{}", cluster.report());
        eprintln!("seed {seed} failed; to replay it: SIM_SEED={seed} {replay_with}");
        resume_unwind(panic);
    }
    cluster.world.seen
}

fn run(cluster: &mut Cluster, rng: &mut Rng) {
    let mut plan = Plan::new(cluster.nodes.len(), rng);
    for node in 0..cluster.nodes.len() {
        cluster.start(node, plan.masters[node]);
    }
    let end_ms = rng.u64(15_000..60_000);
    while cluster.world.now_ms < end_ms {
        cluster.run_for(rng.u64(1..400));
        plan.disturb(cluster, rng);
    }
    plan.heal(cluster, rng);
    let root = plan.root;
    let quiet_from_ms = cluster.world.now_ms;
    while !cluster.run_while(SAID_AGAIN_MS, |c| !plan.is_arranged(c) || !c.is_in_sync(root)) {
        let quiet_ms = cluster.world.now_ms - quiet_from_ms;
        assert!(quiet_ms < QUIET_LIMIT_MS, "not in sync after {QUIET_LIMIT_MS} ms of quiet");
        // Who was loading has refused, and a SHUTDOWN that a pause held up has taken effect: an operator
        // says it again.
        plan.start_all(cluster);
        plan.tell_roles(cluster, rng);
    }
    // What has come right stays right, and the root knows it.
    let offset = cluster.nodes[root].node.repl.offset();
    let children = plan.masters.iter().filter(|m| **m == Some(root)).count();
    let is_known = cluster.run_while(QUIET_LIMIT_MS, |c| {
        c.nodes[root].node.repl.count_acked(offset) != children || !c.is_in_sync(root)
    });
    assert!(is_known, "the root does not hear of its replicas' offsets");
}

fn random_setup(rng: &mut Rng, node: usize, password: &Option<Vec<u8>>) -> Setup {
    let repl = random_settings(rng, node, password);
    let maxmemory_bytes = if rng.u32(..4) == 0 { rng.u64(5_000..20_000) } else { 0 };
    let fsync = [Fsync::Always, Fsync::Everysec, Fsync::No][rng.usize(..3)];
    Setup {
        engine: Settings {
            databases: super::data::DBS,
            requirepass: password.clone().unwrap_or_default(),
            maxmemory_bytes,
            maxmemory_policy: MaxmemoryPolicy::VolatileRandom,
            appendonly: false,
            ..Settings::default()
        },
        repl,
        persistence: [Keeps::Nothing, Keeps::Rdb, Keeps::Aof(fsync)][rng.usize(..3)],
    }
}

fn random_settings(rng: &mut Rng, node: usize, password: &Option<Vec<u8>>) -> ReplSettings {
    ReplSettings {
        repl_backlog_size_bytes: 1 << rng.u32(9..18),
        repl_backlog_ttl_secs: rng.u64(0..30),
        repl_timeout_secs: rng.u64(5..20),
        repl_ping_replica_period_secs: rng.u64(1..4),
        repl_diskless_sync: rng.bool(),
        repl_diskless_sync_delay_secs: rng.u64(0..4),
        repl_diskless_sync_max_replicas: rng.u64(0..3),
        repl_diskless_load: [DisklessLoad::Disabled, DisklessLoad::OnEmptyDb, DisklessLoad::SwapDb]
            [rng.usize(0..3)],
        master_auth: password.clone(),
        announce_ip: rng.bool().then(|| node.to_string()),
        has_save_points: rng.bool(),
        ..ReplSettings::default()
    }
}

fn random_weather(rng: &mut Rng) -> Weather {
    Weather {
        delay_max_ms: [1, 10, 50, 300][rng.usize(0..4)],
        fragment_max_bytes: [1, 7, 100, 2000, 65_536][rng.usize(0..5)],
        window_bytes: [300, 3000, 65_536][rng.usize(0..3)],
    }
}

/// The link over which a snapshot is coming in.
fn syncing_link(node: &SimNode) -> Option<End> {
    let view = node.node.repl.view(node.node.now_ms());
    view.upstream.filter(|up| node.is_up && up.phase == LinkPhase::Sync)?;
    node.link_end()
}

struct Plan {
    root: usize,
    /// What each node's configuration says.
    masters: Vec<Option<usize>>,
    /// When a stopped node comes back.
    down_until_ms: Vec<u64>,
    write_rate: usize,
    is_rough: bool,
}

impl Plan {
    fn new(count: usize, rng: &mut Rng) -> Self {
        let mut plan = Self {
            root: 0,
            masters: vec![None; count],
            down_until_ms: vec![0; count],
            write_rate: rng.usize(1..12),
            is_rough: rng.u32(..4) > 0,
        };
        plan.arrange(rng);
        plan
    }

    /// A star, a chain, or something in between, with `root` at its head.
    fn arrange(&mut self, rng: &mut Rng) {
        let mut placed = vec![self.root];
        let mut rest: Vec<usize> = (0..self.masters.len()).filter(|n| *n != self.root).collect();
        rng.shuffle(&mut rest);
        let is_chain = rng.bool();
        self.masters[self.root] = None;
        for node in rest {
            let master =
                if is_chain { placed[placed.len() - 1] } else { placed[rng.usize(..placed.len())] };
            self.masters[node] = Some(master);
            placed.push(node);
        }
    }

    fn disturb(&mut self, cluster: &mut Cluster, rng: &mut Rng) {
        for node in 0..self.masters.len() {
            // Everyone who is a master takes writes, also one that should not be one any more.
            let count = rng.usize(..=self.write_rate);
            cluster.ask(node, count);
            let is_back = cluster.world.now_ms >= self.down_until_ms[node];
            if !cluster.nodes[node].is_up && is_back {
                cluster.start(node, self.masters[node]);
            }
        }
        if !self.is_rough && rng.u32(..4) > 0 {
            return;
        }
        let now_ms = cluster.world.now_ms;
        // A transfer is short: to stall one, it takes aim.
        let syncing: Vec<End> = cluster.nodes.iter().filter_map(syncing_link).collect();
        if !syncing.is_empty() && rng.u32(..15) == 0 {
            let until_ms = now_ms + rng.u64(100..40_000);
            cluster.world.net.stall(until_ms, syncing[rng.usize(..syncing.len())]);
        }
        match rng.u32(..100) {
            choice @ 0..=10 => disturb_network(cluster, rng, choice),
            11..=13 => self.restart_one(cluster, rng),
            14..=15 => {
                self.root = rng.usize(..self.masters.len());
                self.promote_and_arrange(cluster, rng);
            }
            16 => {
                let node = rng.usize(..self.masters.len());
                let master = rng.usize(..self.masters.len());
                cluster.replicaof(node, (node != master).then_some(master));
            }
            17 => {
                let node = rng.usize(..self.masters.len());
                let old = &cluster.nodes[node].repl_settings;
                let mut settings = random_settings(rng, node, &old.master_auth);
                settings.repl_timeout_secs = old.repl_timeout_secs;
                let node = &mut cluster.nodes[node].node;
                node.repl.apply_settings(node.now_ms(), settings);
            }
            18..=19 => cluster.world.net.set_weather(random_weather(rng)),
            20 => {
                cluster.world.faults = Faults {
                    fork_fails: [0.0, 0.3][rng.usize(..2)],
                    snapshot_fails: [0.0, 0.05][rng.usize(..2)],
                    load_fails: [0.0, 0.2][rng.usize(..2)],
                    write_fails: [0.0, 0.1][rng.usize(..2)],
                    fsync_fails: [0.0, 0.02][rng.usize(..2)],
                };
            }
            21..=22 => {
                // A burst that no small backlog holds.
                let root = self.root;
                cluster.ask(root, rng.usize(..400));
            }
            23..=24 => {
                // A BGSAVE or an AOF rewrite of the operator's keeps replicas waiting.
                let node = rng.usize(..self.masters.len());
                let job = match cluster.nodes[node].machine.persistence {
                    Keeps::Aof(_) => Job::Rewrite,
                    _ => Job::Save,
                };
                if cluster.is_up(node) {
                    cluster.nodes[node].turn(&mut cluster.world, |node, os| match job {
                        Job::Rewrite => os.start_rewrite(node),
                        job if os.me.child.is_none() => os.start_child(node, job),
                        _ => {}
                    });
                }
            }
            25 => self.clean_failover(cluster, rng),
            26..=27 => {
                let node = rng.usize(..self.masters.len());
                let kind = ["WRITE", "ALL"][rng.usize(..2)];
                cluster.command(node, &format!("CLIENT PAUSE {} {kind}", rng.u64(1..3000)));
            }
            28 => {
                let node = rng.usize(..self.masters.len());
                cluster.command(node, "CLIENT UNPAUSE");
            }
            29..=31 => self.failover(cluster, rng),
            32 => {
                let node = rng.usize(..self.masters.len());
                cluster.command(node, "FAILOVER ABORT");
            }
            _ => {}
        }
    }

    /// FAILOVER on some master, to whom it may concern.
    fn failover(&mut self, cluster: &mut Cluster, rng: &mut Rng) {
        let masters: Vec<usize> = cluster
            .nodes
            .iter()
            .filter(|n| n.is_up && n.node.repl.is_master())
            .map(|n| n.id)
            .collect();
        let Some(node) = (!masters.is_empty()).then(|| masters[rng.usize(..masters.len())]) else {
            return;
        };
        let heir = rng.usize(..self.masters.len());
        let target = rng.bool().then(|| format!(" TO {heir} 6379"));
        let force = if target.is_some() && rng.bool() { " FORCE" } else { "" };
        let timeout =
            (rng.bool() || !force.is_empty()).then(|| format!(" TIMEOUT {}", rng.u64(1..5000)));
        let (target, timeout) = (target.unwrap_or_default(), timeout.unwrap_or_default());
        cluster.command(node, &format!("FAILOVER{target}{force}{timeout}"));
    }

    fn restart_one(&mut self, cluster: &mut Cluster, rng: &mut Rng) {
        let node = rng.usize(..self.masters.len());
        if !cluster.nodes[node].is_up {
            return;
        }
        match rng.u32(..3) {
            0 => cluster.command(node, "SHUTDOWN"),
            1 => cluster.crash(node, Crash::Kill),
            _ => cluster.crash(node, Crash::PowerCut),
        }
        self.down_until_ms[node] = cluster.world.now_ms + rng.u64(1..8000);
    }

    /// What a failover does: promote the root, point the others.
    fn promote_and_arrange(&mut self, cluster: &mut Cluster, rng: &mut Rng) {
        self.arrange(rng);
        self.tell_roles(cluster, rng);
    }

    /// Whether everybody follows whom it was told to follow.
    fn is_arranged(&self, cluster: &Cluster) -> bool {
        cluster.nodes.iter().zip(&self.masters).all(|(node, master)| {
            let follows = node.node.repl.master_addr().map(|addr| addr.host.clone());
            node.is_up && follows == master.map(|master| master.to_string())
        })
    }

    fn start_all(&self, cluster: &mut Cluster) {
        for node in 0..self.masters.len() {
            if !cluster.is_up(node) {
                cluster.start(node, self.masters[node]);
            }
        }
    }

    fn tell_roles(&self, cluster: &mut Cluster, rng: &mut Rng) {
        let mut order: Vec<usize> = (0..self.masters.len()).collect();
        if rng.bool() {
            rng.shuffle(&mut order);
        }
        for node in order {
            cluster.replicaof(node, self.masters[node]);
        }
    }

    /// What a careful operator does: stops writes, waits until a replica has everything, promotes it, and
    /// points the others and the old master to it. With luck, nobody needs a full copy.
    fn clean_failover(&mut self, cluster: &mut Cluster, rng: &mut Rng) {
        let root = self.root;
        for _ in 0..100 {
            cluster.run_for(100);
            let top = &cluster.nodes[root];
            let heir = cluster.nodes.iter().find(|n| {
                n.is_up
                    && n.id != root
                    && n.node.repl.is_link_up()
                    && n.node.repl.ids().replid == top.node.repl.ids().replid
                    && n.node.repl.offset() == top.node.repl.offset()
            });
            if let (true, Some(heir)) = (top.is_up && top.node.repl.is_master(), heir) {
                self.root = heir.id;
                cluster.world.trace(self.root, "-- clean failover");
                self.promote_and_arrange(cluster, rng);
                return;
            }
        }
    }

    /// No more faults: everything is up, and everybody is told the final arrangement.
    fn heal(&mut self, cluster: &mut Cluster, rng: &mut Rng) {
        cluster.world.trace(99, "-- heal");
        cluster.world.faults = Faults::default();
        cluster.world.net.set_weather(Weather {
            delay_max_ms: 5,
            fragment_max_bytes: 4096,
            window_bytes: 65_536,
        });
        for node in 0..self.masters.len() {
            for words in ["CLIENT UNPAUSE", "SHUTDOWN ABORT", "FAILOVER ABORT"] {
                cluster.command(node, words);
            }
        }
        self.start_all(cluster);
        // A request to take over may be on its way while its sender is told to abort. Whoever arranges
        // roles for good does so when it has arrived.
        cluster.run_for(IN_FLIGHT_MAX_MS);
        if rng.bool() {
            self.root = rng.usize(..self.masters.len());
        }
        self.promote_and_arrange(cluster, rng);
        for _ in 0..20 {
            cluster.run_for(rng.u64(1..300));
            let root = self.root;
            cluster.ask(root, rng.usize(..20));
        }
    }
}

fn disturb_network(cluster: &mut Cluster, rng: &mut Rng, choice: u32) {
    let now_ms = cluster.world.now_ms;
    let ends = cluster.world.net.open_ends();
    match choice {
        0..=5 if !ends.is_empty() => {
            let end = ends[rng.usize(..ends.len())];
            cluster.world.trace(99, &format!("-- cut {end:?}"));
            cluster.world.net.cut(now_ms, end, rng.u32(..3) == 0);
        }
        6..=8 if !ends.is_empty() => {
            let until_ms = now_ms + rng.u64(100..15_000);
            cluster.world.net.stall(until_ms, ends[rng.usize(..ends.len())]);
        }
        9..=10 => {
            let count = cluster.nodes.len();
            let (a, b) = (rng.usize(..count), rng.usize(..count));
            cluster.world.net.partition(now_ms + rng.u64(100..20_000), a, b);
        }
        _ => {}
    }
}
