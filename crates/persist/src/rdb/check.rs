//! Owns the examination of an RDB file that redis-check-rdb reports: every key is read and every
//! value checked as a load would, and nothing is kept. Prints nothing.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use store::HashSeed;
use store::limits::Limits;
use store::value::{Item, Type, Value};

use super::load::{DbSize, Frame, KeyMeta, Visitor, WalkOptions, walk};
use crate::error::{RdbError, Reason};
use crate::source::Source;

/// What a file holds; after an error, what it held until there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RdbCheck {
    pub version: u32,
    /// Bytes of the snapshot, checksum included.
    pub bytes: u64,
    /// There was a checksum, and it is right.
    pub checksum_verified: bool,
    pub keys: u64,
    pub expires: u64,
    /// Of those, the ones before `now_ms`.
    pub already_expired: u64,
    /// Hashes with a field that expires.
    pub subexpires: u64,
    pub empty_keys: u64,
    pub functions: u64,
    /// Keys by type: strings, lists, sets, sorted sets, hashes, streams.
    pub by_type: [u64; 6],
}

/// What a check comes past that a report has a line for; `offset` is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckEvent<'a> {
    Aux { name: &'a [u8], value: &'a [u8], offset: u64 },
    SelectDb { db: u64, offset: u64 },
}

/// Reads one snapshot from start to checksum.
pub fn check_rdb(source: &mut Source<'_>) -> Result<RdbCheck, RdbError> {
    let mut check = RdbCheck::default();
    check_rdb_with(source, 0, &mut check, &mut |_| {}).map(|()| check)
}

/// As `check_rdb`, counting into `check` up to an error, and what has expired at `now_ms`.
pub fn check_rdb_with(
    source: &mut Source<'_>,
    now_ms: i64,
    check: &mut RdbCheck,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> Result<(), RdbError> {
    // A file could be made to collide under a seed that is known.
    let random = |n: u8| RandomState::new().hash_one(n);
    let limits = Limits { hash_seed: HashSeed::new(random(0), random(1)), ..Limits::default() };
    let options = WalkOptions { limits, verify_checksum: true };
    let frame = walk(source, &options, &mut Checker { now_ms, check, on_event })?;
    let Frame { version, checksum_verified, bytes } = frame;
    (check.version, check.checksum_verified, check.bytes) = (version, checksum_verified, bytes);
    Ok(())
}

/// What redis-check-rdb calls a value's type.
pub fn type_name(type_byte: u8) -> &'static str {
    const NAMES: [&str; 26] = [
        "string",
        "list-linked",
        "set-hashtable",
        "zset-v1",
        "hash-hashtable",
        "zset-v2",
        "module-pre-release",
        "module-value",
        "",
        "hash-zipmap",
        "list-ziplist",
        "set-intset",
        "zset-ziplist",
        "hash-ziplist",
        "quicklist",
        "stream",
        "hash-listpack",
        "zset-listpack",
        "quicklist-v2",
        "stream-v2",
        "set-listpack",
        "stream-v3",
        "hash-hashtable-md-pre-release",
        "hash-listpack-md-pre-release",
        "hash-hashtable-md",
        "hash-listpack-md",
    ];
    match NAMES.get(usize::from(type_byte)) {
        None | Some(&"") => "unknown",
        Some(name) => name,
    }
}

struct Checker<'a> {
    now_ms: i64,
    check: &'a mut RdbCheck,
    on_event: &'a mut dyn FnMut(CheckEvent<'_>),
}

impl Checker<'_> {
    fn count(&mut self, value_type: Type, meta: KeyMeta) {
        let check = &mut *self.check;
        check.keys += 1;
        if let Some(expire_ms) = meta.expire_ms {
            check.expires += 1;
            check.already_expired += u64::from(expire_ms < self.now_ms);
        }
        let slot = match value_type {
            Type::String => 0,
            Type::List => 1,
            Type::Set => 2,
            Type::ZSet => 3,
            Type::Hash => 4,
            Type::Stream => 5,
        };
        check.by_type[slot] += 1;
    }
}

impl Visitor for Checker<'_> {
    fn aux(&mut self, name: &[u8], value: &[u8], at: Range<u64>) -> Result<(), RdbError> {
        (self.on_event)(CheckEvent::Aux { name, value, offset: at.end });
        Ok(())
    }

    fn select_db(&mut self, db: u64, at: Range<u64>) -> Result<(), RdbError> {
        (self.on_event)(CheckEvent::SelectDb { db, offset: at.end });
        Ok(())
    }

    fn resize_db(&mut self, _announced: DbSize, _believable: DbSize) {}

    fn function(&mut self, _code: Vec<u8>) -> Result<(), Reason> {
        self.check.functions += 1;
        Ok(())
    }

    fn string(&mut self, _key: &[u8], _value: Item<'_>, meta: KeyMeta) -> Result<(), RdbError> {
        self.count(Type::String, meta);
        Ok(())
    }

    fn value(&mut self, _key: &[u8], value: Value, meta: KeyMeta) -> Result<(), RdbError> {
        if let Value::Hash(hash) = &value {
            self.check.subexpires += u64::from(hash.soonest_expire_ms().is_some());
        }
        self.count(value.value_type(), meta);
        Ok(())
    }

    fn empty_value(&mut self, _key: &[u8]) {
        self.check.empty_keys += 1;
    }

    fn progress(&mut self, _offset: u64) -> Result<(), Reason> {
        Ok(())
    }
}
