//! Owns the examination of an RDB file that redis-check-rdb reports: every key is read and every
//! value checked as a load would, and nothing is kept.

use store::value::{Item, Type, Value};

use super::load::{Frame, KeyMeta, Visitor, WalkOptions, walk};
use crate::error::{RdbError, Reason};
use crate::source::Source;

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RdbCheck {
    pub version: u32,
    pub bytes: u64,
    /// There was a checksum, and it is right.
    pub checksum_verified: bool,
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
    /// The databases in the file's order, each with its keys.
    pub dbs: Vec<(u64, u64)>,
    pub keys: u64,
    pub expires: u64,
    /// Of those, the ones before `now_ms`.
    pub already_expired: u64,
    pub empty_keys: u64,
    pub functions: u64,
    /// Keys by type: strings, lists, sets, sorted sets, hashes, streams.
    pub by_type: [u64; 6],
}

/// Reads one snapshot from start to checksum.
pub fn check_rdb(source: &mut Source<'_>) -> Result<RdbCheck, RdbError> {
    check_rdb_at(source, 0)
}

/// As `check_rdb`, counting what has expired at `now_ms`.
pub fn check_rdb_at(source: &mut Source<'_>, now_ms: i64) -> Result<RdbCheck, RdbError> {
    let mut checker = Checker { now_ms, check: RdbCheck::default() };
    let options = WalkOptions { verify_checksum: true, ..WalkOptions::default() };
    let Frame { version, checksum_verified, bytes } = walk(source, &options, &mut checker)?;
    Ok(RdbCheck { version, checksum_verified, bytes, ..checker.check })
}

struct Checker {
    now_ms: i64,
    check: RdbCheck,
}

impl Checker {
    fn count(&mut self, value_type: Type, meta: KeyMeta) {
        let check = &mut self.check;
        check.keys += 1;
        if check.dbs.is_empty() {
            check.dbs.push((0, 0));
        }
        if let Some((_, keys)) = check.dbs.last_mut() {
            *keys += 1;
        }
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

impl Visitor for Checker {
    fn aux(&mut self, name: &[u8], value: &[u8]) -> Result<(), Reason> {
        // A file may have any number of them; a report need not.
        if self.check.aux.len() < 64 {
            self.check.aux.push((name.to_vec(), value.to_vec()));
        }
        Ok(())
    }

    fn select_db(&mut self, db: u64, _at: u64) -> Result<(), RdbError> {
        self.check.dbs.push((db, 0));
        Ok(())
    }

    fn resize_db(&mut self, _keys: usize, _expires: usize) {}

    fn function(&mut self, _code: Vec<u8>) -> Result<(), Reason> {
        self.check.functions += 1;
        Ok(())
    }

    fn string(&mut self, _key: &[u8], _value: Item<'_>, meta: KeyMeta) -> Result<(), RdbError> {
        self.count(Type::String, meta);
        Ok(())
    }

    fn value(&mut self, _key: &[u8], value: Value, meta: KeyMeta) -> Result<(), RdbError> {
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
