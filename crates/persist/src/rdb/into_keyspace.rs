//! Owns what becomes of a snapshot's contents in a keyspace: which keys are kept, with which
//! clocks, and what is reported of the rest.

use std::ops::Range;

use store::entry::{Entry, NewValue};
use store::keyspace::Keyspace;
use store::limits::{Limits, fits};
use store::value::{Item, Value};

use super::load::{DbSize, Frame, KeyMeta, Visitor, WalkOptions, walk};
use crate::error::{RdbError, Reason};
use crate::source::Source;

/// Digits of a replication id.
const REPLID_CHARS: usize = 40;

/// Empty keys that a report names.
const EMPTY_KEYS_NAMED: usize = 10;

/// What the 24 bits of an entry's clock mean under the server's eviction policy, and what they say
/// for a key of which the file says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessClock {
    /// Seconds modulo 2^24, now.
    Lru { now: u32 },
    /// Minutes modulo 2^16, now; and the counter of a new key.
    Lfu { now_minutes: u16, initial: u8 },
}

impl AccessClock {
    fn of(self, meta: KeyMeta) -> u32 {
        match self {
            AccessClock::Lru { now } => {
                let idle = meta.idle_s.unwrap_or(0).min(0xff_ffff) as u32;
                now.wrapping_sub(idle) & 0xff_ffff
            }
            AccessClock::Lfu { now_minutes, initial } => {
                u32::from(now_minutes) << 8 | u32::from(meta.freq.unwrap_or(initial))
            }
        }
    }
}

/// How a snapshot is loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    pub limits: Limits,
    /// Unix time.
    pub now_ms: i64,
    /// Leave out keys that have expired: a master does, a replica waits for its master's word, and
    /// the preamble of an AOF must keep what its commands go on with.
    pub drop_expired: bool,
    /// `rdbchecksum`.
    pub verify_checksum: bool,
    /// A key that is there already is replaced, not an error: DEBUG RELOAD NOFLUSH.
    pub allow_duplicates: bool,
    pub clock: AccessClock,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            limits: Limits::default(),
            now_ms: 0,
            drop_expired: false,
            verify_checksum: true,
            allow_duplicates: false,
            clock: AccessClock::Lru { now: 0 },
        }
    }
}

/// What a snapshot said of itself, and how much of it was kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    pub version: u32,
    pub bytes: u64,
    pub checksum_verified: bool,
    pub redis_ver: Option<String>,
    pub ctime_s: Option<i64>,
    pub used_memory_bytes: Option<u64>,
    pub repl_stream_db: Option<i64>,
    pub repl_id: Option<String>,
    pub repl_offset: Option<i64>,
    /// It was the base, or the preamble, of an AOF.
    pub aof_base: bool,
    pub keys_loaded: u64,
    pub keys_expired: u64,
    /// The expired keys by database and name, if the snapshot names a point in a replication history:
    /// replicas at that point have them still.
    pub expired: Vec<(usize, Box<[u8]>)>,
    pub empty_keys_skipped: u64,
    /// The names of the first of them.
    pub empty_keys: Vec<Box<[u8]>>,
    /// Function libraries' code, in the file's order.
    pub functions: Vec<Vec<u8>>,
    /// Lua scripts that Redis before 7.0 kept in its snapshots.
    pub lua_scripts: Vec<Vec<u8>>,
    /// Something is there that versions before 11 cannot say in full.
    pub needs_v11: bool,
}

impl LoadReport {
    /// Takes note of an AUX field. One that a load acts on must be what it says it is: a snapshot
    /// that names a database which is not there would send the stream behind it to a wrong one.
    pub(super) fn aux(
        &mut self,
        name: &[u8],
        value: &[u8],
        databases: usize,
    ) -> Result<(), Reason> {
        let bad = |name| Reason::BadAux { name, value: value.escape_ascii().to_string() };
        let text = || String::from_utf8_lossy(value).into_owned();
        let int = |name| protocol::parse_i64(value).ok_or_else(|| bad(name));
        match name {
            b"redis-ver" => self.redis_ver = Some(text()),
            b"ctime" => self.ctime_s = Some(int("ctime")?),
            b"used-mem" => {
                let bytes = u64::try_from(int("used-mem")?);
                self.used_memory_bytes = Some(bytes.map_err(|_| bad("used-mem"))?);
            }
            b"repl-stream-db" => {
                let db = int("repl-stream-db")?;
                // -1 is Redis's word for none.
                if db != -1 && usize::try_from(db).map_or(true, |db| db >= databases) {
                    return Err(bad("repl-stream-db"));
                }
                self.repl_stream_db = Some(db).filter(|db| *db != -1);
            }
            b"repl-id" if value.len() == REPLID_CHARS => self.repl_id = Some(text()),
            b"repl-id" => return Err(bad("repl-id")),
            b"repl-offset" => self.repl_offset = Some(int("repl-offset")?),
            b"aof-base" => self.aof_base |= int("aof-base")? == 1,
            b"aof-preamble" => self.aof_base |= int("aof-preamble")? == 1,
            b"lua" => self.lua_scripts.push(value.to_vec()),
            // Unknown ones are for others, by the format's own rule.
            _ => {}
        }
        Ok(())
    }
}

/// The index of database `db`, named `at` this offset, among `databases`.
pub(super) fn checked_db(db: u64, databases: usize, at: u64) -> Result<usize, RdbError> {
    match usize::try_from(db) {
        Ok(index) if index < databases => Ok(index),
        _ => Err(RdbError::new(at, Reason::DbOutOfRange { db, databases })),
    }
}

/// A key that the store can have.
#[inline]
pub(super) fn checked_key(key: &[u8], meta: KeyMeta) -> Result<(), RdbError> {
    match fits(key.len() as u64) {
        true => Ok(()),
        false => {
            let reason = Reason::BadLength { what: "a key", length: key.len() as u64 };
            Err(RdbError::new(meta.offset, reason))
        }
    }
}

/// Is told how far a load has come; may stop it.
pub trait LoadHook {
    /// Called every few megabytes. `false` ends the load.
    fn progress(&mut self, _offset: u64, _keys: u64) -> bool {
        true
    }

    /// Called for every key. `false` ends the load.
    fn loaded_key(&mut self) -> bool {
        true
    }
}

/// No hook.
impl LoadHook for () {}

impl<F: FnMut(u64, u64) -> bool> LoadHook for F {
    fn progress(&mut self, offset: u64, keys: u64) -> bool {
        self(offset, keys)
    }
}

/// Loads one snapshot into `keyspace`, which after an error holds a part of it.
pub fn load(
    source: &mut Source<'_>,
    keyspace: &mut Keyspace,
    options: &LoadOptions,
    hook: &mut dyn LoadHook,
) -> Result<LoadReport, RdbError> {
    let walk_options =
        WalkOptions { limits: options.limits.clone(), verify_checksum: options.verify_checksum };
    let queue = Vec::with_capacity(QUEUE);
    let report = LoadReport::default();
    let announced = DbSize::default();
    let mut filler =
        Filler { keyspace, db: 0, announced, reserved_keys: 0, queue, options, hook, report };
    let Frame { version, checksum_verified, bytes } = walk(source, &walk_options, &mut filler)?;
    filler.settle()?;
    Ok(LoadReport { version, checksum_verified, bytes, ..filler.report })
}

/// Entries that are made before the first of them is put into its table: while the later ones are
/// made, the processor fetches the earlier ones' buckets, which are anywhere in memory.
const QUEUE: usize = 32;

/// How many times the keys that came there is made room for.
const GROWTH: usize = 8;

struct Queued {
    hash: u64,
    entry: Entry,
    /// Of its key in the file.
    offset: u64,
}

struct Filler<'a> {
    keyspace: &'a mut Keyspace,
    db: usize,
    /// Of the selected database.
    announced: DbSize,
    reserved_keys: usize,
    /// For the selected database, in the file's order.
    queue: Vec<Queued>,
    options: &'a LoadOptions,
    hook: &'a mut dyn LoadHook,
    report: LoadReport,
}

impl Filler<'_> {
    #[inline]
    fn insert(&mut self, key: &[u8], value: NewValue<'_>, meta: KeyMeta) -> Result<(), RdbError> {
        checked_key(key, meta)?;
        if self.options.drop_expired && meta.expire_ms.is_some_and(|ms| ms < self.options.now_ms) {
            self.report.keys_expired += 1;
            if self.report.repl_id.is_some() {
                self.report.expired.push((self.db, key.into()));
            }
            return Ok(());
        }
        if !self.hook.loaded_key() {
            return Err(RdbError::new(meta.offset, Reason::Cancelled));
        }
        let entry = Entry::new(key, value, meta.expire_ms);
        entry.touch(self.options.clock.of(meta));
        let db = self.keyspace.db(self.db);
        let hashed = db.key(key);
        db.prefetch_bucket(hashed);
        self.queue.push(Queued { hash: hashed.hash, entry, offset: meta.offset });
        if self.queue.len() == QUEUE { self.settle() } else { Ok(()) }
    }

    fn reserve(&mut self, keys: usize) {
        self.reserved_keys = keys.min(self.announced.keys);
        let expires = self.announced.expires.min(self.reserved_keys);
        self.keyspace.db_mut(self.db).reserve(self.reserved_keys, expires);
    }

    /// Puts the queued entries into their database.
    fn settle(&mut self) -> Result<(), RdbError> {
        if self.keyspace.db(self.db).len() >= self.reserved_keys
            && self.reserved_keys < self.announced.keys
        {
            // The more keys came, the more of the announced ones are believed.
            self.reserve(self.reserved_keys.saturating_mul(GROWTH).max(QUEUE));
        }
        let db = self.keyspace.db_mut(self.db);
        self.report.keys_loaded += self.queue.len() as u64;
        for Queued { hash, entry, offset } in self.queue.drain(..) {
            let Err(entry) = db.insert_new_entry(hash, entry) else { continue };
            if !self.options.allow_duplicates {
                let reason = Reason::DuplicateKey { db: self.db as u64 };
                return Err(RdbError::new(offset, reason).of_key(entry.key()));
            }
            db.insert_entry(entry);
        }
        Ok(())
    }
}

impl Visitor for Filler<'_> {
    fn aux(&mut self, name: &[u8], value: &[u8], at: Range<u64>) -> Result<(), RdbError> {
        self.report.aux(name, value, self.keyspace.len()).map_err(|e| RdbError::new(at.start, e))
    }

    fn select_db(&mut self, db: u64, at: Range<u64>) -> Result<(), RdbError> {
        self.settle()?;
        self.db = checked_db(db, self.keyspace.len(), at.start)?;
        self.announced = DbSize::default();
        Ok(())
    }

    fn resize_db(&mut self, announced: DbSize, believable: DbSize) {
        self.announced = announced;
        self.reserve(believable.keys);
    }

    fn function(&mut self, code: Vec<u8>) -> Result<(), Reason> {
        self.report.functions.push(code);
        Ok(())
    }

    #[inline]
    fn string(&mut self, key: &[u8], value: Item<'_>, meta: KeyMeta) -> Result<(), RdbError> {
        let value = match value {
            Item::Int(n) => NewValue::Int(n),
            Item::Bytes(text) => NewValue::Bytes(text),
        };
        self.insert(key, value, meta)
    }

    fn value(&mut self, key: &[u8], value: Value, meta: KeyMeta) -> Result<(), RdbError> {
        if let Value::Stream(stream) = &value {
            self.report.needs_v11 |= stream.tells_active_times();
        }
        self.insert(key, NewValue::Value(value), meta)
    }

    fn empty_value(&mut self, key: &[u8]) {
        self.report.empty_keys_skipped += 1;
        if self.report.empty_keys.len() < EMPTY_KEYS_NAMED {
            self.report.empty_keys.push(key.into());
        }
    }

    fn progress(&mut self, offset: u64) -> Result<(), Reason> {
        match self.hook.progress(offset, self.report.keys_loaded) {
            true => Ok(()),
            false => Err(Reason::Cancelled),
        }
    }
}
