//! Owns the rehearsal of a load: the snapshot is read as `load` would read it, every value is made
//! and dropped again, and nothing is kept. What passes here, a load does not refuse; a replica asks
//! before it parts with the data that it has.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use store::value::{Item, Value};

use super::into_keyspace::{LoadHook, LoadOptions, LoadReport, checked_db, checked_key};
use super::load::{DbSize, Frame, KeyMeta, Visitor, WalkOptions, walk};
use crate::error::{RdbError, Reason};
use crate::source::Source;

/// Reads one snapshot as for a server of `databases` databases.
pub fn rehearse(
    source: &mut Source<'_>,
    databases: usize,
    options: &LoadOptions,
    hook: &mut dyn LoadHook,
) -> Result<LoadReport, RdbError> {
    let walk_options =
        WalkOptions { limits: options.limits.clone(), verify_checksum: options.verify_checksum };
    let mut rehearsal = Rehearsal {
        databases,
        db: 0,
        hook,
        hasher: RandomState::new(),
        seen: Vec::new(),
        report: LoadReport::default(),
    };
    let Frame { version, checksum_verified, bytes } = walk(source, &walk_options, &mut rehearsal)?;
    rehearsal.check_duplicates(source.offset())?;
    Ok(LoadReport { version, checksum_verified, bytes, ..rehearsal.report })
}

struct Rehearsal<'a> {
    databases: usize,
    db: usize,
    hook: &'a mut dyn LoadHook,
    hasher: RandomState,
    /// Eight bytes a key, with its database hashed in: what is there twice is a key that is there
    /// twice. The hash is of this one rehearsal, so that a chance hit, of which there is one in a
    /// thousand among a hundred million keys, is gone with the next try.
    seen: Vec<u64>,
    report: LoadReport,
}

impl Rehearsal<'_> {
    fn key(&mut self, key: &[u8], meta: KeyMeta) -> Result<(), RdbError> {
        checked_key(key, meta)?;
        if !self.hook.loaded_key() {
            return Err(RdbError::new(meta.offset, Reason::Cancelled));
        }
        if self.seen.len() == self.seen.capacity() {
            let grown = self.seen.try_reserve(self.seen.len().max(1024));
            grown.map_err(|_| RdbError::new(meta.offset, Reason::OutOfMemory))?;
        }
        self.seen.push(self.hasher.hash_one((self.db, key)));
        self.report.keys_loaded += 1;
        Ok(())
    }

    fn check_duplicates(&mut self, at: u64) -> Result<(), RdbError> {
        self.seen.sort_unstable();
        match self.seen.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(RdbError::new(at, Reason::Invalid("a key is there twice"))),
            false => Ok(()),
        }
    }
}

impl Visitor for Rehearsal<'_> {
    fn aux(&mut self, name: &[u8], value: &[u8], at: Range<u64>) -> Result<(), RdbError> {
        self.report.aux(name, value, self.databases).map_err(|e| RdbError::new(at.start, e))
    }

    fn select_db(&mut self, db: u64, at: Range<u64>) -> Result<(), RdbError> {
        self.db = checked_db(db, self.databases, at.start)?;
        Ok(())
    }

    fn resize_db(&mut self, _announced: DbSize, _believable: DbSize) {}

    fn function(&mut self, code: Vec<u8>) -> Result<(), Reason> {
        self.report.functions.push(code);
        Ok(())
    }

    fn string(&mut self, key: &[u8], _value: Item<'_>, meta: KeyMeta) -> Result<(), RdbError> {
        self.key(key, meta)
    }

    fn value(&mut self, key: &[u8], _value: Value, meta: KeyMeta) -> Result<(), RdbError> {
        self.key(key, meta)
    }

    fn empty_value(&mut self, _key: &[u8]) {}

    fn progress(&mut self, offset: u64) -> Result<(), Reason> {
        match self.hook.progress(offset, self.report.keys_loaded) {
            true => Ok(()),
            false => Err(Reason::Cancelled),
        }
    }
}
