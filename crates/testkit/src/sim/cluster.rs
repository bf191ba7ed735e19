//! Many nodes, one clock: runs events in order of time and keeps the oracle of all histories. Must not
//! decide faults (plan) nor know replication's states.

use super::clients::Clients;
use super::disk::Crash;
use super::net::{End, Net, Weather};
use super::node::SimNode;
use super::os::{Keeps, Machine};
use engine::{ClientId, Now, Settings};
use fastrand::Rng;
use repl::{MasterAddr, ReplSettings};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

/// What a node has scheduled for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    Verified {
        load: u64,
    },
    Loaded {
        load: u64,
    },
    ChildStep {
        number: u64,
    },
    /// A replica that has had its share of a turn.
    Writable {
        client: ClientId,
    },
    WriteLog,
    Cron,
}

/// When, in which order, for which node, in which of its lives, what.
type Scheduled = (u64, u64, usize, u64, Later);

/// How often things that can fail do.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub fork_fails: f64,
    pub snapshot_fails: f64,
    pub load_fails: f64,
    pub write_fails: f64,
    pub fsync_fails: f64,
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

const MONO_START_MS: u64 = 1000;

/// What nodes share: time, chance, the network, and the oracles.
pub struct World {
    pub now_ms: u64,
    pub rng: Rng,
    pub net: Net,
    pub faults: Faults,
    pub ledger: Ledger,
    pub clients: Clients,
    /// How often each known line was logged: what the run has really exercised.
    pub seen: Seen,
    later: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    up: Vec<bool>,
    trace: VecDeque<String>,
    is_loud: bool,
}

impl World {
    /// Far from zero, so that nothing takes an early time for "never".
    pub fn now(&self) -> Now {
        let now_ms = self.now_ms;
        Now {
            unix_us: (1_700_000_000_000 + now_ms) * 1000,
            mono_us: (MONO_START_MS + now_ms) * 1000,
        }
    }

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
pub struct Cluster {
    pub world: World,
    pub nodes: Vec<SimNode>,
    seed: u64,
    /// How each node that is down went down.
    ends: Vec<Crash>,
}

/// What one node is configured to.
pub struct Setup {
    pub engine: Settings,
    pub repl: ReplSettings,
    pub persistence: Keeps,
}

impl Cluster {
    pub fn new(seed: u64, weather: Weather, setups: Vec<Setup>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let net = Net::new(weather, rng.fork());
        let mut world = World {
            now_ms: 0,
            rng,
            net,
            faults: Faults::default(),
            ledger: Ledger::default(),
            clients: Clients::default(),
            seen: Seen::default(),
            later: BinaryHeap::new(),
            order: 0,
            up: vec![true; setups.len()],
            trace: VecDeque::new(),
            is_loud: std::env::var_os("SIM_LOUD").is_some(),
        };
        let ends = vec![Crash::Kill; setups.len()];
        let nodes = (setups.into_iter().enumerate())
            .map(|(id, setup)| {
                let machine = Machine::new(id, setup.engine, setup.persistence);
                SimNode::create(&mut world, machine, setup.repl)
            })
            .collect();
        Self { world, nodes, seed, ends }
    }

    pub fn addr(node: usize) -> MasterAddr {
        MasterAddr { host: node.to_string(), port: 6379 }
    }

    pub fn is_up(&self, node: usize) -> bool {
        self.nodes[node].is_up
    }

    /// An operator's command, by the door that everybody uses.
    pub fn command(&mut self, node: usize, words: &str) {
        if self.nodes[node].is_up {
            self.world.trace(node, &format!("-- {words}"));
            self.nodes[node].command(&mut self.world, words);
        }
    }

    pub fn replicaof(&mut self, node: usize, master: Option<usize>) {
        if master != Some(node) {
            // A failover that has not come to its end is aborted first, as an operator has to.
            self.command(node, "FAILOVER ABORT");
            let of = master.map_or("NO ONE".to_string(), |master| format!("{master} 6379"));
            self.command(node, &format!("REPLICAOF {of}"));
        }
    }

    /// Clients ask for so many things.
    pub fn ask(&mut self, node: usize, count: usize) {
        if self.nodes[node].is_up {
            self.nodes[node].ask(&mut self.world, count);
        }
    }

    /// Ends a node's process without asking it; with its host, nobody is told of its connections.
    pub fn crash(&mut self, node: usize, how: Crash) {
        self.world.trace(node, &format!("-- {how:?}"));
        self.ends[node] = how;
        self.nodes[node].end(&mut self.world, how);
        self.world.up[node] = false;
        self.world.net.node_down(self.world.now_ms, node, how == Crash::PowerCut);
    }

    /// Starts a stopped node with what is on its disk.
    pub fn start(&mut self, node: usize, master: Option<usize>) {
        self.world.trace(node, &format!("-- start with master {master:?}"));
        self.world.up[node] = true;
        self.nodes[node].start(&mut self.world, master.map(Self::addr), self.ends[node]);
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
        let (offset, replid) = (top.node.repl.offset(), top.node.repl.ids().replid);
        let is_level = |n: &&SimNode| {
            let repl = &n.node.repl;
            repl.is_link_up() && repl.offset() == offset && repl.ids().replid == replid
        };
        let mut others = self.nodes.iter().filter(|n| n.is_up && n.id != root);
        others.all(|n| is_level(&n) && n.digest() == top.digest())
    }

    /// The last lines of all nodes' logs, and the state of each: what a failure prints.
    pub fn report(&self) -> String {
        let mut out = format!("seed {}\n", self.seed);
        for line in &self.world.trace {
            out.push_str(line);
            out.push('\n');
        }
        for node in &self.nodes {
            out.push_str(&format!("node {} up={} {:?}\n", node.id, node.is_up, node.node.repl));
            let (own, first) = (node.listing(), self.nodes[0].listing());
            for line in own.symmetric_difference(&first).take(20) {
                let side = if own.contains(line) { "+" } else { "-" };
                out.push_str(&format!("    {side} {line}\n"));
            }
        }
        out
    }

    fn next_ms(&mut self) -> u64 {
        let later = self.world.later.peek().map(|Reverse((ms, ..))| *ms);
        let net = self.world.net.next_ms();
        let timers = (0..self.nodes.len()).filter_map(|node| self.next_timer_ms(node));
        timers.chain(later).chain(net).min().unwrap_or(u64::MAX)
    }

    /// As the server's loop does, goes by the node's own word, or a deadline that it forgets would be met here.
    fn next_timer_ms(&mut self, node: usize) -> Option<u64> {
        let next_us = self.nodes[node].next_deadline_us(&mut self.world)?;
        Some(next_us.div_ceil(1000).saturating_sub(MONO_START_MS))
    }

    fn run_due(&mut self) {
        let now_ms = self.world.now_ms;
        while let Some((node, event)) = self.world.net.poll(now_ms) {
            if self.nodes[node].is_up {
                self.nodes[node].handle_net(&mut self.world, event);
                self.end_if_asked(node);
            }
        }
        while let Some(Reverse((ms, ..))) = self.world.later.peek()
            && *ms <= now_ms
        {
            let Reverse((_, _, node, life, what)) =
                self.world.later.pop().expect("it was just seen");
            if self.nodes[node].is_up && self.nodes[node].machine.life == life {
                self.nodes[node].handle_later(&mut self.world, &what);
                self.end_if_asked(node);
            }
        }
        for node in 0..self.nodes.len() {
            if self.next_timer_ms(node).is_some_and(|ms| ms <= now_ms) {
                self.nodes[node].turn(&mut self.world, |_, _| {});
                self.end_if_asked(node);
            }
        }
    }

    /// SHUTDOWN: the process has done what it wanted to do before its end.
    fn end_if_asked(&mut self, node: usize) {
        if self.nodes[node].machine.has_ended {
            self.crash(node, Crash::Kill);
        }
    }
}
