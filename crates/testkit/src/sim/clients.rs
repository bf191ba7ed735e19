//! Clients of the simulated servers: what they ask, what they are told, and whether that was true. Must not
//! look at what a node keeps for itself.
//!
//! Oracles:
//! - No reply leaves before its gate: what it tells of is where `appendfsync` promises.
//! - WAIT counts only replicas that have the write.
//! - What was acknowledged is there after a restart, if the setting promised that.

use super::disk::{Crash, Fsync, Log};
use super::os::SimOs;
use engine::{Client, ClientId, Engine, Kind, Peer};
use fastrand::Rng;
use node::Node;
use protocol::Args;
use protocol::{ReplyParser, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The database of keys that only grow, so that an acknowledged write can be told from a lost one.
const KEEPERS_DB: usize = 5;
const KEEPERS: u64 = 8;
const KEYS: u64 = 60;

#[derive(Clone, Debug)]
enum Asked {
    /// SET of a keeper's key to this version.
    Keep {
        key: u64,
        version: u64,
    },
    Wait {
        offset: u64,
        local: bool,
    },
    Other,
}

#[derive(Debug)]
struct Request {
    asked: Asked,
    /// Where its write ends in the append-only file, and its reply in the output; none while it is blocked.
    ends: Option<(u64, u64)>,
}

#[derive(Default)]
struct SimClient {
    requests: VecDeque<Request>,
    parser: ReplyParser,
    /// Keepers' versions that were acknowledged to it: WAITAOF speaks of a connection's own writes.
    acknowledged: BTreeMap<u64, u64>,
}

/// The roles that the simulation's clients of one node have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Writes at random.
    Writer,
    /// Writes keepers' keys, and waits for them now and then.
    Keeper,
    /// Waits for elements of lists.
    Blocker,
    /// Says what an operator says; comes anew when it is kept waiting.
    Operator,
}

/// All clients, and what they were told.
#[derive(Default)]
pub struct Clients {
    clients: BTreeMap<(usize, ClientId), SimClient>,
    parts: BTreeMap<(usize, Part), ClientId>,
    last_version: u64,
    /// By node and key: the version that was acknowledged, and the one that WAITAOF said is on the disk.
    kept: BTreeMap<usize, BTreeMap<u64, (u64, u64)>>,
    /// How far each node has ever been, in whichever history.
    reached: BTreeMap<usize, u64>,
    pub replies: u64,
}

impl Clients {
    pub fn note_offset(&mut self, node: usize, offset: u64) {
        let most = self.reached.entry(node).or_default();
        *most = offset.max(*most);
    }

    /// The node takes over another's data set, or starts without its own: it owes nobody anything.
    pub fn forget_kept(&mut self, node: usize) {
        self.kept.remove(&node);
        for (_, client) in self.clients.iter_mut().filter(|((of, _), _)| *of == node) {
            client.acknowledged.clear();
        }
    }

    /// The process is gone, and its connections with it.
    pub fn node_down(&mut self, node: usize) {
        self.clients.retain(|(of, _), _| *of != node);
        self.parts.retain(|(of, _), _| *of != node);
    }

    /// `n` bytes are about to leave for a client.
    pub fn check_gate(&mut self, node: usize, log: Option<&Log>, n: usize, client: &Client) {
        let Some(sim) = self.clients.get_mut(&(node, client.id)) else { return };
        let written = client.out.written();
        let sent = written - client.out.len_bytes() as u64 + n as u64;
        for request in &mut sim.requests {
            // One that was blocked has been answered meanwhile, and nothing came behind it.
            let (log_end, end) = *request.ends.get_or_insert((client.write_log_end, written));
            let Some(log) = log.filter(|_| end <= sent) else { continue };
            let (progress, what) = (log.progress(), &request.asked);
            let safe = match log.fsync {
                Fsync::Always => progress.fsynced,
                _ => progress.written,
            };
            assert!(safe >= log_end, "node {node}: the reply to {what:?} overtakes its write");
        }
    }

    pub fn receive(&mut self, node: usize, id: ClientId, bytes: &[u8]) {
        let Some(sim) = self.clients.get_mut(&(node, id)) else { return };
        sim.parser.feed(bytes);
        while let Some(value) = sim.parser.next_value().expect("replies keep to the protocol") {
            self.replies += 1;
            let request = sim.requests.pop_front().expect("a reply belongs to a request");
            match (request.asked, value) {
                (Asked::Keep { key, version }, Value::Status(_)) => {
                    let kept = self.kept.entry(node).or_default().entry(key).or_default();
                    kept.0 = kept.0.max(version);
                    sim.acknowledged.insert(key, version);
                }
                (Asked::Wait { offset, local: false }, Value::Int(count)) => {
                    let others =
                        self.reached.iter().filter(|(of, at)| **of != node && **at >= offset);
                    // A replica whose old connection is not known to be dead counts twice, as in Redis.
                    assert!(
                        count == 0 || others.count() > 0,
                        "node {node}: WAIT counts who has nothing"
                    );
                }
                (Asked::Wait { local: true, .. }, Value::Array(counts))
                    if counts.first() == Some(&Value::Int(1)) =>
                {
                    for (key, version) in &sim.acknowledged {
                        let kept = self.kept.entry(node).or_default().entry(*key).or_default();
                        kept.1 = kept.1.max(*version);
                    }
                }
                _ => {}
            }
        }
    }

    /// The node is up again with what its append-only file had, whose setting was this.
    pub fn check_kept(&mut self, node: usize, engine: &Engine, fsync: Fsync, how: Crash) {
        for (key, kept) in self.kept.get_mut(&node).into_iter().flatten() {
            let (acknowledged, on_disk) = &*kept;
            let promised = match (how, fsync) {
                (Crash::Kill, _) | (Crash::PowerCut, Fsync::Always) => *acknowledged,
                (Crash::PowerCut, _) => *on_disk,
            };
            let name = format!("keep:{key}");
            let entry = engine.keyspace.db(KEEPERS_DB).get(name.as_bytes());
            let found = entry.map_or(0, version_of);
            assert!(
                found >= promised,
                "node {node} with {fsync:?}: {name} was {promised} before {how:?}, is {found}"
            );
            // What was lost as agreed is not asked for again; what a kill has left need not be on the disk.
            let on_disk = if how == Crash::PowerCut { found } else { (*on_disk).min(found) };
            *kept = (found, on_disk);
        }
    }

    fn id_of(
        &mut self,
        node: usize,
        part: Part,
        gone: &mut BTreeSet<ClientId>,
    ) -> Option<ClientId> {
        let id = *self.parts.get(&(node, part))?;
        if gone.remove(&id) {
            self.clients.remove(&(node, id));
            self.parts.remove(&(node, part));
            return None;
        }
        Some(id)
    }
}

fn version_of(entry: &store::Entry) -> u64 {
    match entry.value() {
        store::ValueRef::Int(version) => version as u64,
        other => panic!("a keeper's key has {other:?}"),
    }
}

/// Has the clients of a node ask for so many things.
pub fn ask(node: &mut Node, os: &mut SimOs<'_>, count: usize) {
    for _ in 0..count {
        match os.world.rng.u32(..10) {
            0..=5 => write_something(node, os),
            6..=8 => keep_something(node, os),
            _ => wait_for_element(node, os),
        }
    }
}

/// Has an operator's client ask for one thing.
pub fn command(node: &mut Node, os: &mut SimOs<'_>, words: &str) {
    let present = os.world.clients.parts.get(&(os.me.id, Part::Operator)).copied();
    if let Some(id) = present
        && node.engine.client(id).is_some_and(|client| client.is_blocked())
    {
        node::Os::close(os, node, id);
    }
    run(node, os, Part::Operator, words, Asked::Other);
}

fn write_something(node: &mut Node, os: &mut SimOs<'_>) {
    let db = os.world.rng.usize(..4);
    run(node, os, Part::Writer, &format!("SELECT {db}"), Asked::Other);
    let is_transaction = os.world.rng.u32(..5) == 0;
    if is_transaction {
        run(node, os, Part::Writer, "MULTI", Asked::Other);
    }
    let commands = if is_transaction { os.world.rng.u32(1..5) } else { 1 };
    for _ in 0..commands {
        let words = random_command(&mut os.world.rng);
        run(node, os, Part::Writer, &words, Asked::Other);
    }
    if is_transaction {
        run(node, os, Part::Writer, "EXEC", Asked::Other);
    }
}

fn keep_something(node: &mut Node, os: &mut SimOs<'_>) {
    let Some(id) = client_of(node, os, Part::Keeper) else { return };
    if node.engine.client(id).is_some_and(|client| client.db != KEEPERS_DB) {
        // Also after a pause that the first one did not get through.
        return run(node, os, Part::Keeper, &format!("SELECT {KEEPERS_DB}"), Asked::Other);
    }
    let choice = os.world.rng.u32(..10);
    if choice < 7 {
        os.world.clients.last_version += 1;
        let (key, version) = (os.world.rng.u64(..KEEPERS), os.world.clients.last_version);
        let words = format!("SET keep:{key} {version}");
        return run(node, os, Part::Keeper, &words, Asked::Keep { key, version });
    }
    let offset = node.engine.client(id).map_or(0, |client| client.write_offset);
    let (replicas, ms) = (os.world.rng.u32(..3), os.world.rng.u32(1..3000));
    let local = choice == 9;
    let words = match local {
        true => format!("WAITAOF 1 {replicas} {ms}"),
        false => format!("WAIT {replicas} {ms}"),
    };
    run(node, os, Part::Keeper, &words, Asked::Wait { offset, local });
}

fn wait_for_element(node: &mut Node, os: &mut SimOs<'_>) {
    let (a, b) = (os.world.rng.u64(..KEYS), os.world.rng.u64(..KEYS));
    let words = format!("BLPOP list:{a} list:{b} {}", 1 + os.world.rng.u32(..5));
    run(node, os, Part::Blocker, &words, Asked::Other);
}

fn client_of(node: &mut Node, os: &mut SimOs<'_>, part: Part) -> Option<ClientId> {
    let (at, me) = (os.me.id, &mut *os.me);
    if let Some(id) = os.world.clients.id_of(at, part, &mut me.gone) {
        return node.engine.client(id).filter(|client| !client.is_blocked()).map(|_| id);
    }
    let id = node.connect(Kind::Normal, Peer { local: true, ..Peer::default() });
    me.conns.insert(id, super::os::Conn::default());
    os.world.clients.parts.insert((at, part), id);
    os.world.clients.clients.insert((at, id), SimClient::default());
    if !me.settings.requirepass.is_empty() {
        let password = String::from_utf8_lossy(&me.settings.requirepass).into_owned();
        run(node, os, part, &format!("AUTH {password}"), Asked::Other);
    }
    Some(id)
}

fn run(node: &mut Node, os: &mut SimOs<'_>, part: Part, words: &str, asked: Asked) {
    let Some(id) = client_of(node, os, part) else { return };
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    let at = os.me.id;
    if let Some(sim) = os.world.clients.clients.get_mut(&(at, id)) {
        sim.requests.push_back(Request { asked, ends: None });
    }
    node.execute(os, id, Args::new(&words));
    let Some(client) = node.engine.client(id) else { return };
    let ends = (!client.is_blocked()).then(|| (client.write_log_end, client.out.written()));
    let sim = os.world.clients.clients.get_mut(&(at, id));
    if let Some(request) = sim.and_then(|sim| sim.requests.back_mut()) {
        request.ends = ends;
    }
}

/// A command of any type; many are relative, so that a lost, doubled or swapped one shows.
fn random_command(rng: &mut Rng) -> String {
    let n = rng.u64(..KEYS);
    let v = rng.u32(..1000);
    match rng.u32(..43) {
        0 => "FLUSHDB".to_string(),
        1 => format!("DEL str:{n} list:{n}"),
        2 | 3 => format!("SET str:{n} {v}"),
        4 => format!("SET str:{n} {v} PX {}", 1 + rng.u32(..5000)),
        5..=7 => format!("INCRBY num:{n} {v}"),
        8 => format!("INCRBYFLOAT num:{n} 0.{v}"),
        9 | 10 => format!("APPEND str:{n} {v}"),
        11 | 12 => format!("RPUSH list:{n} {v} {n}"),
        13 => format!("LPUSH list:{n} {}", "x".repeat(rng.usize(..300))),
        14 => format!("LPOP list:{n}"),
        15 => format!("RPOPLPUSH list:{n} list:{}", rng.u64(..KEYS)),
        16 => format!("LTRIM list:{n} 0 20"),
        17 | 18 => format!("SADD set:{n} {v} m{v}"),
        19 | 20 => format!("SPOP set:{n} {}", 1 + rng.u32(..3)),
        21 => format!("SUNIONSTORE set:{n} set:{} set:{n}", rng.u64(..KEYS)),
        22 | 23 => format!("HSET hash:{n} f{v} {v} g {v}"),
        24 => format!("HINCRBY hash:{n} count {v}"),
        25 => format!("HDEL hash:{n} f{v} g"),
        26 | 27 => format!("ZADD zset:{n} {v} m{v} 1.5 n"),
        28 => format!("ZINCRBY zset:{n} 2.25 m{v}"),
        29 => format!("ZPOPMIN zset:{n}"),
        30 => format!("EXPIRE hash:{n} {}", rng.u32(..20)),
        31 => format!("PERSIST hash:{n}"),
        32 => format!("RENAME str:{n} str:{}", rng.u64(..KEYS)),
        33 => format!("PEXPIRE zset:{n} {} {}", rng.u32(..9000), ["NX", "GT"][rng.usize(..2)]),
        34 => format!("GETEX str:{n} EX {}", 1 + rng.u32(..20)),
        35 => "PUBLISH news x".to_string(),
        // The order of the last writes of each database.
        36 | 37 => format!("LPUSH trail {v}"),
        38 => "LTRIM trail 0 50".to_string(),
        39 => format!("COPY zset:{n} zset:{} REPLACE", rng.u64(..KEYS)),
        40 => format!("HSETEX hash:{n} PX {} FIELDS 2 f{v} {v} count {v}", 1 + rng.u32(..5000)),
        41 => format!("HPEXPIRE hash:{n} {} FIELDS 2 g count", rng.u32(..5000)),
        _ => format!("HPERSIST hash:{n} FIELDS 2 g count"),
    }
}
