//! What a simulated node keeps: the trait that a real engine can stand behind, and a tiny key-value model
//! that stands in for one. Must not know the network or replication's states.

use fastrand::Rng;
use protocol::{Args, Limits, RequestParser, encode_command};
use repl::{HistoryPoint, ReplId};
use std::collections::BTreeMap;

/// What a snapshot's header says, as an RDB's AUX fields do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    pub history: Option<HistoryPoint>,
    /// The database that the stream had selected (`repl-stream-db`).
    pub stream_db: u32,
}

/// What running a part of the stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A boundary, so many bytes after the last one.
    Applied(u64),
    /// A REPLCONF GETACK that takes so many bytes: to be answered before it counts.
    Getack(u64),
}

/// A data set and the client that applies a master's stream to it.
pub trait Store {
    fn new(hash_seed: u64) -> Self;

    /// The role, and whether there is a stream that what is propagated goes to.
    fn set_role(&mut self, is_master: bool, has_stream: bool);

    /// What is propagated next begins with SELECT.
    fn select_again(&mut self);

    /// A write of a client: changes the data set, and gives what is to be propagated, with SELECT where
    /// the database differs from the stream's. Only ever called on a master.
    fn write(&mut self, now_ms: u64, rng: &mut Rng) -> Vec<u8>;

    /// What the data set does by itself once a second, such as expiry on a master.
    fn cron(&mut self, now_ms: u64) -> Vec<u8>;

    fn snapshot(&self, header: &SnapshotHeader) -> Vec<u8>;

    /// Checks a whole snapshot without touching the data set.
    fn verify(bytes: &[u8]) -> Result<SnapshotHeader, String>;

    /// Replaces the data set. Only ever called with verified bytes.
    fn load(&mut self, bytes: &[u8]);

    fn clear(&mut self);

    fn is_empty(&self) -> bool;

    /// The stream begins anew at a boundary; Some names the database it is in.
    fn reset_stream(&mut self, db: Option<u32>);

    /// The database that the stream has selected: a master's own, or the one that is applied.
    fn stream_db(&self) -> u32;

    /// More bytes of the stream.
    fn feed(&mut self, bytes: &[u8]);

    /// Runs the stream up to the next boundary. Err if the stream is broken.
    fn step(&mut self, now_ms: u64) -> Result<Option<Step>, String>;

    /// Equal for equal data sets.
    fn digest(&self) -> String;
}

const DBS: u32 = 4;
const KEYS: u64 = 40;

/// Numbers under keys in a few databases. Its commands do not commute and cannot be repeated unnoticed, so
/// that a lost, doubled or swapped one shows in the digest.
pub struct Model {
    data: BTreeMap<(u32, Vec<u8>), u64>,
    /// A hash over all commands that ever ran in each database. What FLUSHALL or SET would hide stays here.
    trails: [u64; DBS as usize],
    parser: RequestParser,
    db: u32,
    is_master: bool,
    has_stream: bool,
    /// The database that our own stream has selected.
    selected_db: Option<u32>,
    transaction: Option<Vec<Vec<Vec<u8>>>>,
    /// Bytes of the stream since the last boundary.
    unreported: u64,
}

impl Model {
    fn run(&mut self, db: u32, words: &[&[u8]]) -> Result<(), String> {
        if words != [b"PING"] {
            let trail = self.trails.get_mut(db as usize).ok_or("no such database")?;
            for byte in words.iter().flat_map(|word| word.iter()) {
                *trail = (*trail ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        let number = |word: &[u8]| -> Result<u64, String> {
            let text = std::str::from_utf8(word).map_err(|e| e.to_string())?;
            text.parse().map_err(|_| format!("not a number: {text:?}"))
        };
        match words {
            [b"PING"] => {}
            [b"FLUSHALL"] => self.data.clear(),
            [b"SET", key, value, _padding @ ..] => {
                self.data.insert((db, key.to_vec()), number(value)?);
            }
            [b"MIX", key, value] => {
                let value = number(value)?;
                let old = self.data.entry((db, key.to_vec())).or_default();
                *old = old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(value);
            }
            [b"DEL", key] => drop(self.data.remove(&(db, key.to_vec()))),
            _ => return Err(format!("unknown command in the stream: {words:?}")),
        }
        Ok(())
    }

    fn random_command(rng: &mut Rng) -> Vec<Vec<u8>> {
        let key = format!("key:{}", rng.u64(..KEYS)).into_bytes();
        let value = rng.u64(..).to_string().into_bytes();
        match rng.u32(..100) {
            0 => vec![b"FLUSHALL".to_vec()],
            1..=9 => vec![b"DEL".to_vec(), key],
            10..=24 => {
                let padding = vec![b'x'; rng.usize(..600)];
                vec![b"SET".to_vec(), key, value, padding]
            }
            _ => vec![b"MIX".to_vec(), key, value],
        }
    }

    fn apply(&mut self, args: Args<'_>) -> Result<Option<Step>, String> {
        let words: Vec<&[u8]> = args.iter().collect();
        match words[..] {
            [b"SELECT", db] => {
                let db = String::from_utf8_lossy(db).parse().map_err(|_| "bad SELECT")?;
                self.db = db;
            }
            [b"MULTI"] => {
                self.transaction = Some(Vec::new());
                return Ok(None);
            }
            [b"EXEC"] => {
                for command in self.transaction.take().ok_or("EXEC without MULTI")? {
                    let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                    self.run(self.db, &words)?;
                }
            }
            [b"REPLCONF", b"GETACK", b"*"] => {
                return Ok(Some(Step::Getack(std::mem::take(&mut self.unreported))));
            }
            _ => {
                if let Some(queue) = &mut self.transaction {
                    queue.push(words.iter().map(|w| w.to_vec()).collect());
                    return Ok(None);
                }
                self.run(self.db, &words)?;
            }
        }
        Ok(Some(Step::Applied(std::mem::take(&mut self.unreported))))
    }
}

impl Store for Model {
    fn new(_hash_seed: u64) -> Self {
        Self {
            data: BTreeMap::new(),
            trails: [0; DBS as usize],
            parser: RequestParser::new(),
            db: 0,
            is_master: true,
            has_stream: false,
            selected_db: None,
            transaction: None,
            unreported: 0,
        }
    }

    fn set_role(&mut self, is_master: bool, has_stream: bool) {
        if !has_stream {
            self.selected_db = None;
        }
        self.is_master = is_master;
        self.has_stream = has_stream;
    }

    fn select_again(&mut self) {
        self.selected_db = None;
    }

    fn write(&mut self, _now_ms: u64, rng: &mut Rng) -> Vec<u8> {
        let db = rng.u32(..DBS);
        let is_transaction = rng.u32(..5) == 0;
        let count = if is_transaction { rng.usize(1..5) } else { 1 };
        let mut out = Vec::new();
        if self.selected_db != Some(db) {
            encode_command(&mut out, [b"SELECT".as_slice(), db.to_string().as_bytes()]);
        }
        if is_transaction {
            encode_command(&mut out, [b"MULTI".as_slice()]);
        }
        for _ in 0..count {
            let command = Self::random_command(rng);
            let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            self.run(db, &words).expect("the model knows its own commands");
            encode_command(&mut out, words.iter().copied());
        }
        if is_transaction {
            encode_command(&mut out, [b"EXEC".as_slice()]);
        }
        if !self.has_stream {
            return Vec::new();
        }
        self.selected_db = Some(db);
        out
    }

    fn cron(&mut self, _now_ms: u64) -> Vec<u8> {
        Vec::new()
    }

    fn snapshot(&self, header: &SnapshotHeader) -> Vec<u8> {
        let history = header
            .history
            .map_or("none 0".to_string(), |point| format!("{} {}", point.replid, point.offset));
        let trails = self.trails.map(|t| t.to_string()).join(" ");
        let mut out = format!("{history} {}\n{trails}\n", header.stream_db).into_bytes();
        for ((db, key), value) in &self.data {
            let key = String::from_utf8_lossy(key);
            out.extend_from_slice(format!("{db} {key} {value}\n").as_bytes());
        }
        out.extend_from_slice(b"end\n");
        out
    }

    fn verify(bytes: &[u8]) -> Result<SnapshotHeader, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        if !text.ends_with("end\n") {
            return Err("the end is missing".into());
        }
        let words: Vec<&str> = text.lines().next().unwrap_or("").split(' ').collect();
        let [replid, offset, db] = words[..] else { return Err("bad header".into()) };
        let offset = offset.parse().map_err(|_| "bad offset")?;
        let history =
            ReplId::parse(replid.as_bytes()).map(|replid| HistoryPoint { replid, offset });
        Ok(SnapshotHeader { history, stream_db: db.parse().map_err(|_| "bad db")? })
    }

    fn load(&mut self, bytes: &[u8]) {
        self.data.clear();
        let text = std::str::from_utf8(bytes).expect("verified");
        let trails = text.lines().nth(1).expect("verified").split(' ');
        for (trail, word) in self.trails.iter_mut().zip(trails) {
            *trail = word.parse().expect("verified");
        }
        for line in text.lines().skip(2).filter(|line| *line != "end") {
            let words: Vec<&str> = line.split(' ').collect();
            let db = words[0].parse().expect("verified");
            let value = words[2].parse().expect("verified");
            self.data.insert((db, words[1].as_bytes().to_vec()), value);
        }
    }

    fn clear(&mut self) {
        self.data.clear();
        self.trails = [0; DBS as usize];
    }

    fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    fn reset_stream(&mut self, db: Option<u32>) {
        self.parser = RequestParser::new();
        self.transaction = None;
        self.unreported = 0;
        self.db = db.unwrap_or(self.db);
    }

    fn stream_db(&self) -> u32 {
        if self.is_master { self.selected_db.unwrap_or(0) } else { self.db }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.parser.feed(bytes);
    }

    fn step(&mut self, _now_ms: u64) -> Result<Option<Step>, String> {
        loop {
            if self.parser.parse(&Limits::master(0), 1).map_err(|e| e.to_string())? == 0 {
                return Ok(None);
            }
            let mut parser = std::mem::take(&mut self.parser);
            self.unreported += parser.raw_len(0) as u64;
            let step = self.apply(parser.request(0).args());
            parser.consume(1);
            self.parser = parser;
            if let Some(step) = step? {
                return Ok(Some(step));
            }
        }
    }

    fn digest(&self) -> String {
        format!("{:?} {:?}", self.trails, self.data)
    }
}
