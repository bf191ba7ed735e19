//! Many nodes, one clock: runs events in order of time and keeps the oracle of all histories. Must not
//! decide faults (plan) nor know replication's states.

use super::net::{End, Net, Weather};
use super::node::Node;
use super::store::Store;
use fastrand::Rng;
use repl::{FailoverRequest, MasterAddr, ReplSettings};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

/// What a node has scheduled for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    Verified { load: u64 },
    Loaded { load: u64 },
    ChildStep { id: repl::SnapshotId },
}

/// When, in which order, for which node, in which of its lives, what.
type Scheduled = (u64, u64, usize, u64, Later);

/// How often things that can fail do.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub fork_fails: f64,
    pub snapshot_fails: f64,
    pub load_fails: f64,
}

/// Every byte that was ever part of a history: the same replid and offset must mean the same byte
/// everywhere, or a partial resync would not give what a full one would.
#[derive(Debug, Default)]
pub struct Ledger {
    histories: HashMap<String, Vec<u16>>,
}

impl Ledger {
    const UNKNOWN: u16 = u16::MAX;

    pub fn check(&mut self, replid: &str, first_offset: u64, bytes: &[u8]) {
        if !self.histories.contains_key(replid) {
            self.histories.insert(replid.to_string(), Vec::new());
        }
        let history = self.histories.get_mut(replid).expect("it was just made");
        let first = first_offset as usize;
        if history.len() < first + bytes.len() {
            history.resize(first + bytes.len(), Self::UNKNOWN);
        }
        for (i, (known, byte)) in history[first..].iter_mut().zip(bytes).enumerate() {
            if *known == Self::UNKNOWN {
                *known = u16::from(*byte);
            }
            let at = first + i;
            assert_eq!(*known, u16::from(*byte), "another byte at offset {at} of {replid}");
        }
    }
}

/// Counts log lines that tell what happened, by a part of their text.
#[derive(Clone, Debug, Default)]
pub struct Seen(pub BTreeMap<&'static str, u64>);

/// Everything of both sides that a thousand seeds are meant to go through.
pub const EVENTS: [&str; 37] = [
    "-- clean failover",
    "BGSAVE for replication failed",
    "BGSAVE child returned an error",
    "Can't attach the replica",
    "Connection with master lost",
    "Current BGSAVE has socket target",
    "Delay next BGSAVE for diskless SYNC",
    "Discarding previously cached master state",
    "Disconnecting timedout replica (full sync)",
    "Disconnecting timedout replica (streaming sync)",
    "Error condition on socket for SYNC",
    "Failover target rejected psync request",
    "Failover manually aborted",
    "Replica never caught up before timeout",
    "is synced, failing over",
    "time out exceeded, failing over",
    "MASTER MODE enabled (failover request",
    "PSYNC FAILOVER replid must match",
    "Failed trying to load the MASTER synchronization DB from disk",
    "Failed trying to load the MASTER synchronization DB from socket",
    "Finished with success",
    "I/O error trying to sync with MASTER",
    "MASTER timeout: no data nor PING received",
    "Master did not reply to PSYNC",
    "Master is currently unable to PSYNC",
    "Master replication ID changed",
    "Requested offset for second ID",
    "Replication ID mismatch",
    "Replication backlog freed",
    "Setting secondary replication ID",
    "Successful partial resynchronization",
    "Swapping active DB",
    "Timeout connecting to the MASTER",
    "Timeout receiving bulk data",
    "Unable to partial resync with replica",
    "Waiting for end of BGSAVE for SYNC",
    "last replica dropped, killing fork child",
];

impl Seen {
    fn note(&mut self, text: &str) {
        if let Some(event) = EVENTS.iter().find(|event| text.contains(**event)) {
            *self.0.entry(event).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (event, count) in &other.0 {
            *self.0.entry(event).or_default() += count;
        }
    }
}

/// What nodes share: time, chance, the network, and the oracles.
pub struct World {
    pub now_ms: u64,
    pub rng: Rng,
    pub net: Net,
    pub faults: Faults,
    pub ledger: Ledger,
    pub watches: u64,
    /// How often each known line was logged: what the run has really exercised.
    pub seen: Seen,
    later: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    up: Vec<bool>,
    trace: VecDeque<String>,
    is_loud: bool,
}

impl World {
    /// Remembers a line, for the report of a failure.
    pub fn trace(&mut self, node: usize, text: &str) {
        self.seen.note(text);
        let line = format!("{:>8} ms  node {node}  {text}", self.now_ms);
        if self.is_loud {
            eprintln!("{line}");
        }
        if self.trace.len() == 400 {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    /// Schedules something for a node within so many milliseconds from now.
    pub fn later(&mut self, node: usize, life: u64, within_ms: u64, what: Later) {
        self.order += 1;
        let at_ms = self.now_ms + self.rng.u64(1..=within_ms);
        self.later.push(Reverse((at_ms, self.order, node, life, what)));
    }

    pub fn connect(&mut self, from: usize, to: usize) -> End {
        let is_up = self.up.get(to).copied().unwrap_or(false);
        self.net.connect(self.now_ms, from, to, is_up)
    }
}

/// A cluster of simulated servers.
pub struct Cluster<S> {
    pub world: World,
    pub nodes: Vec<Node<S>>,
    seed: u64,
}

impl<S: Store> Cluster<S> {
    pub fn new(seed: u64, weather: Weather, settings: Vec<ReplSettings>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let net = Net::new(weather, rng.fork());
        let nodes: Vec<Node<S>> = (settings.into_iter().enumerate())
            .map(|(id, settings)| Node::new(id, 0, settings, rng.u64(..)))
            .collect();
        let world = World {
            now_ms: 0,
            rng,
            net,
            faults: Faults::default(),
            ledger: Ledger::default(),
            watches: 0,
            seen: Seen::default(),
            later: BinaryHeap::new(),
            order: 0,
            up: vec![true; nodes.len()],
            trace: VecDeque::new(),
            is_loud: std::env::var_os("SIM_LOUD").is_some(),
        };
        Self { world, nodes, seed }
    }

    pub fn addr(node: usize) -> MasterAddr {
        MasterAddr { host: node.to_string(), port: 6379 }
    }

    pub fn boot(&mut self, node: usize, master: Option<usize>) {
        self.nodes[node].boot(&mut self.world, master.map(Self::addr));
    }

    pub fn replicaof(&mut self, node: usize, master: Option<usize>) {
        if self.nodes[node].is_up && master != Some(node) {
            self.world.trace(node, &format!("-- REPLICAOF {master:?}"));
            self.nodes[node].replicaof(&mut self.world, master.map(Self::addr));
        }
    }

    pub fn failover(&mut self, node: usize, request: FailoverRequest) {
        if self.nodes[node].is_up {
            self.world.trace(node, &format!("-- FAILOVER {request:?}"));
            self.nodes[node].failover(&mut self.world, request);
        }
    }

    pub fn abort_failover(&mut self, node: usize) {
        if self.nodes[node].is_up {
            self.nodes[node].abort_failover(&mut self.world);
        }
    }

    pub fn client_write(&mut self, node: usize, count: usize) {
        if self.nodes[node].is_up {
            self.nodes[node].client_write(&mut self.world, count);
        }
    }

    /// Stops a node, with or without its kernel closing its connections.
    pub fn stop(&mut self, node: usize, crash: bool) {
        self.world.trace(node, if crash { "-- crash" } else { "-- stop" });
        self.nodes[node].is_up = false;
        self.world.up[node] = false;
        self.world.net.node_down(self.world.now_ms, node, crash);
    }

    /// Starts a stopped node with what is on its disk.
    pub fn start(&mut self, node: usize, master: Option<usize>) {
        self.world.trace(node, &format!("-- start with master {master:?}"));
        self.world.up[node] = true;
        let seed = self.world.rng.u64(..);
        self.nodes[node].restart(&mut self.world, master.map(Self::addr), seed);
    }

    /// Runs everything that happens until then.
    pub fn run_until(&mut self, end_ms: u64) {
        loop {
            let next = self.next_ms();
            if next > end_ms {
                self.world.now_ms = end_ms;
                return;
            }
            self.world.now_ms = self.world.now_ms.max(next);
            self.run_due();
        }
    }

    pub fn run_for(&mut self, ms: u64) {
        self.run_until(self.world.now_ms + ms);
    }

    /// Runs until `done`, looking every so often; false if that never came to be.
    pub fn run_while(&mut self, limit_ms: u64, mut goes_on: impl FnMut(&Self) -> bool) -> bool {
        let end_ms = self.world.now_ms + limit_ms;
        while goes_on(self) {
            if self.world.now_ms >= end_ms {
                return false;
            }
            self.run_for(100);
        }
        true
    }

    /// Whether every node that is up has the data, id and offset of the root, with its link up.
    pub fn is_in_sync(&self, root: usize) -> bool {
        let top = &self.nodes[root];
        self.nodes.iter().filter(|n| n.is_up && n.id != root).all(|n| {
            n.repl.is_link_up()
                && n.repl.offset() == top.repl.offset()
                && n.repl.ids().replid == top.repl.ids().replid
                && n.store.digest() == top.store.digest()
        })
    }

    /// The last lines of all nodes' logs, and the state of each: what a failure prints.
    pub fn report(&self) -> String {
        let mut out = format!("seed {}\n", self.seed);
        for line in &self.world.trace {
            out.push_str(line);
            out.push('\n');
        }
        for node in &self.nodes {
            let digest: String = node.store.digest().chars().take(200).collect();
            out.push_str(&format!("node {} up={} {:?}\n", node.id, node.is_up, node.repl));
            out.push_str(&format!("    {digest}\n"));
        }
        out
    }

    fn next_ms(&self) -> u64 {
        let timers = self.nodes.iter().filter(|n| n.is_up).filter_map(|n| n.repl.poll_timeout());
        let later = self.world.later.peek().map(|Reverse((ms, ..))| *ms);
        let all = timers.chain(later).chain(self.world.net.next_ms());
        all.min().unwrap_or(u64::MAX)
    }

    fn run_due(&mut self) {
        let now_ms = self.world.now_ms;
        while let Some((node, event)) = self.world.net.poll(now_ms) {
            if self.nodes[node].is_up {
                self.nodes[node].handle_net(&mut self.world, event);
            }
        }
        while let Some(Reverse((ms, ..))) = self.world.later.peek()
            && *ms <= now_ms
        {
            let Reverse((_, _, node, life, what)) =
                self.world.later.pop().expect("it was just seen");
            if self.nodes[node].is_up && self.nodes[node].life == life {
                self.nodes[node].handle_later(&mut self.world, &what);
            }
        }
        for node in 0..self.nodes.len() {
            let due = self.nodes[node].repl.poll_timeout().is_some_and(|ms| ms <= now_ms);
            if self.nodes[node].is_up && due {
                self.nodes[node].tick(&mut self.world);
            }
        }
    }
}
