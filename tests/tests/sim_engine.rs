//! A thousand small clusters with the real engine in each node: `repl`, commands, expiry, snapshots
//! and propagation together, under a network that does its worst. A failure prints its seed and the
//! line that replays it.

use engine::world::{Configuration, Machine, Persistence, Replication};
use engine::{
    Action, ClientId, CommandError, Engine, Kind, Now, Outcome, Peer, Role, Settings, World,
};
use fastrand::Rng;
use persist::rdb::{self, LoadOptions, SaveOptions, SnapshotVerifier};
use persist::source::Source;
use protocol::{Args, Limits, RequestParser};
use repl::{HistoryPoint, ReplId};
use store::digest::{self, Spelling};
use store::{HashSeed, Keyspace};
use testkit::sim::plan::run_seed;
use testkit::sim::{EVENTS, Seen, SnapshotHeader, Step, Store};

const REPLAY: &str = "cargo test -p tandem-tests --test sim_engine -- replay --nocapture";
const DBS: usize = 4;
const KEYS: u64 = 60;

/// The engine's view of a world that has a clock and a stream, and nothing else.
#[derive(Default)]
struct SimWorld {
    stream: Vec<u8>,
    now: Now,
}

impl World for SimWorld {
    fn perform(&mut self, _: Action<'_>, _: &mut Keyspace) -> Result<Outcome, CommandError> {
        Ok(Outcome::Done)
    }
}

impl Machine for SimWorld {
    fn mono_us(&self) -> u64 {
        self.now.mono_us
    }

    fn used_memory_bytes(&self) -> u64 {
        0
    }
}

impl Replication for SimWorld {
    fn replicate(&mut self, bytes: &[u8]) {
        self.stream.extend_from_slice(bytes);
    }
}

impl Persistence for SimWorld {}

impl Configuration for SimWorld {}

/// A node's data set: an engine, a client that writes, and one that applies a master's stream.
struct EngineStore {
    engine: Engine,
    world: SimWorld,
    writer: ClientId,
    master: ClientId,
    parser: RequestParser,
    /// Bytes of the stream since the last boundary.
    unreported: u64,
}

fn now(now_ms: u64) -> Now {
    // Far from zero, so that nothing takes an early time for "never".
    Now { unix_us: (1_700_000_000_000 + now_ms) * 1000, mono_us: (1_000 + now_ms) * 1000 }
}

impl EngineStore {
    fn run(&mut self, client: ClientId, words: &[&[u8]]) {
        self.engine.execute(self.world.now, &mut self.world, client, Args::new(words));
        if let Some(client) = self.engine.client_mut(client) {
            client.out.clear();
        }
    }

    fn words(&mut self, client: ClientId, command: &str) {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.run(client, &words);
    }
}

/// A command of any type; many are relative, so that a lost, doubled or swapped one shows.
fn random_command(rng: &mut Rng) -> String {
    let n = rng.u64(..KEYS);
    let v = rng.u32(..1000);
    match rng.u32(..34) {
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
        _ => format!("COPY zset:{n} zset:{} REPLACE", rng.u64(..KEYS)),
    }
}

impl Store for EngineStore {
    fn new(hash_seed: u64) -> Self {
        let settings = Settings { databases: DBS, ..Settings::default() };
        let mut engine = Engine::new(settings, hash_seed);
        let writer = engine.connect(now(0), Kind::Normal, Peer::default());
        let master = engine.connect(now(0), Kind::Master, Peer::default());
        let world = SimWorld { stream: Vec::new(), now: now(0) };
        EngineStore { engine, world, writer, master, parser: RequestParser::new(), unreported: 0 }
    }

    fn set_role(&mut self, is_master: bool, has_stream: bool) {
        self.engine.role = if is_master { Role::Master } else { Role::Replica { link_up: true } };
        self.engine.propagation.set_stream(has_stream);
    }

    fn select_again(&mut self) {
        self.engine.propagation.reselect_stream();
    }

    fn write(&mut self, now_ms: u64, rng: &mut Rng) -> Vec<u8> {
        self.world.now = now(now_ms);
        let db = rng.usize(..DBS);
        self.words(self.writer, &format!("SELECT {db}"));
        if rng.u32(..5) == 0 {
            self.words(self.writer, "MULTI");
            for _ in 0..rng.u32(1..5) {
                self.words(self.writer, &random_command(rng));
            }
            self.words(self.writer, "EXEC");
        } else {
            self.words(self.writer, &random_command(rng));
        }
        std::mem::take(&mut self.world.stream)
    }

    fn cron(&mut self, now_ms: u64) -> Vec<u8> {
        self.world.now = now(now_ms);
        self.engine.cron(self.world.now, &mut self.world);
        std::mem::take(&mut self.world.stream)
    }

    fn snapshot(&self, header: &SnapshotHeader) -> Vec<u8> {
        let replid = header.history.map(|point| point.replid.to_string());
        let options = SaveOptions {
            compress: true,
            checksum: true,
            redis_ver: "7.2.4",
            repl: header.history.zip(replid.as_deref()).map(|(point, replid)| rdb::ReplInfo {
                stream_db: i64::from(header.stream_db),
                replid,
                offset: point.offset as i64,
            }),
            ..SaveOptions::default()
        };
        let mut bytes = Vec::new();
        rdb::save(&self.engine.keyspace, &mut bytes, &options, &mut ()).expect("memory has room");
        bytes
    }

    fn verify(bytes: &[u8]) -> Result<SnapshotHeader, String> {
        let mut verifier = SnapshotVerifier::new();
        verifier.feed(bytes).map_err(|e| e.to_string())?;
        verifier.finish().map_err(|e| e.to_string())?;
        let mut keyspace = Keyspace::new(DBS, HashSeed::new(1, 2));
        let mut reader = bytes;
        let mut source = Source::new(&mut reader, Some(bytes.len() as u64));
        let report = rdb::load(&mut source, &mut keyspace, &LoadOptions::default(), &mut ())
            .map_err(|e| e.to_string())?;
        let replid = report.repl_id.as_ref().and_then(|id| ReplId::parse(id.as_bytes()));
        let history = replid
            .zip(report.repl_offset)
            .map(|(replid, offset)| HistoryPoint { replid, offset: offset as u64 });
        let stream_db = report.repl_stream_db.filter(|db| *db >= 0).unwrap_or(0) as u32;
        Ok(SnapshotHeader { history, stream_db })
    }

    fn load(&mut self, bytes: &[u8]) {
        let mut keyspace = Keyspace::new(DBS, self.engine.keyspace.seed());
        let mut reader = bytes;
        let mut source = Source::new(&mut reader, Some(bytes.len() as u64));
        rdb::load(&mut source, &mut keyspace, &LoadOptions::default(), &mut ()).expect("verified");
        self.engine.keyspace = keyspace;
        self.engine.dataset_replaced();
    }

    fn clear(&mut self) {
        self.engine.keyspace.take();
    }

    fn is_empty(&self) -> bool {
        self.engine.keyspace.keys() == 0
    }

    fn reset_stream(&mut self, db: Option<u32>) {
        self.parser = RequestParser::new();
        self.unreported = 0;
        let applied = self.engine.client(self.master).map_or(0, |client| client.db as u32);
        let db = db.unwrap_or(applied);
        self.engine.disconnect(self.master);
        self.master = self.engine.connect(self.world.now, Kind::Master, Peer::default());
        self.words(self.master, &format!("SELECT {db}"));
    }

    fn stream_db(&self) -> u32 {
        let applied = self.engine.client(self.master).map_or(0, |client| client.db);
        let db = match self.engine.role {
            Role::Master => self.engine.propagation.stream_db().unwrap_or(0),
            Role::Replica { .. } => applied,
        };
        db as u32
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.parser.feed(bytes);
    }

    fn step(&mut self, now_ms: u64) -> Result<Option<Step>, String> {
        self.world.now = now(now_ms);
        while self.parser.parse(&Limits::master(), 1).map_err(|e| e.to_string())? > 0 {
            self.unreported += self.parser.raw_len(0) as u64;
            let args = self.parser.request(0).args();
            let is_getack = args.len() > 1 && args.at(1) == b"GETACK";
            if !is_getack {
                self.engine.execute(self.world.now, &mut self.world, self.master, args);
            }
            self.parser.consume(1);
            let in_multi =
                self.engine.client(self.master).is_some_and(|client| client.multi.is_some());
            if in_multi {
                continue;
            }
            let bytes = std::mem::take(&mut self.unreported);
            return Ok(Some(if is_getack { Step::Getack(bytes) } else { Step::Applied(bytes) }));
        }
        Ok(None)
    }

    fn digest(&self) -> String {
        let digest = digest::of_keyspace(&self.engine.keyspace, Spelling::Shortest);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} keys, {hex}", self.engine.keyspace.keys())
    }
}

/// Runs the seeds, and checks that they went through everything that they are there for.
fn run_range(first: u64, count: u64) {
    let mut seen = Seen::default();
    for seed in first..first + count {
        seen.add(&run_seed::<EngineStore>(seed, REPLAY));
    }
    eprintln!("seeds {first}..{}: {:#?}", first + count, seen.0);
    for event in EVENTS {
        let times = seen.0.get(event).copied().unwrap_or(0);
        assert!(times > 0, "no seed of {first}..{} came to: {event}", first + count);
    }
}

// Two tests, so that they run side by side.

#[test]
fn seeds_0_to_499_with_the_engine() {
    run_range(0, 500);
}

#[test]
fn seeds_500_to_999_with_the_engine() {
    run_range(500, 500);
}

/// Runs the seed in `SIM_SEED`; `SIM_LOUD` prints the logs as they come. Without a seed, runs one.
#[test]
fn replay() {
    let seed = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    run_seed::<EngineStore>(seed, REPLAY);
}
