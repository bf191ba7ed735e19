//! HyperLogLogs: strings that say about how many distinct elements were added to them. Owns their bytes,
//! which are Redis's to the last one: files, replicas and clients with GET see them.
//!
//! # Layout
//!
//! | bytes | what                                                                              |
//! |-------|-----------------------------------------------------------------------------------|
//! | 4     | `HYLL`                                                                            |
//! | 1     | 0 for dense, 1 for sparse                                                         |
//! | 3     | nothing                                                                           |
//! | 8     | the count as it was last computed, little endian; the highest bit: it is outdated |
//! | ..    | the registers                                                                     |
//!
//! Anybody can SET such a string: beyond the head nothing of it is believed. [`is_hll`] judges the head, and
//! the other functions are for strings that have passed it.

use std::fmt;

use crate::str::Str;
use crate::value::Value;

mod dense;
mod estimate;
mod registers;
mod self_test;
mod sparse;
#[cfg(test)]
mod tests;

pub use registers::Registers;
pub use self_test::self_test;
pub use sparse::Op;

/// Of an element's hash so many bits choose its register.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// The longest run of zeros that the other bits can begin with, counted with the one behind it.
const MAX_RUN: usize = 64 - INDEX_BITS as usize + 1;
const HEAD: usize = 16;
const DENSE_BYTES: usize = HEAD + dense::BYTES;
const MAGIC: &[u8; 4] = b"HYLL";
const OUTDATED: u64 = 1 << 63;

/// The registers of a string contradict its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

impl fmt::Display for Corrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the registers of a HyperLogLog are not as many as they must be")
    }
}

impl std::error::Error for Corrupted {}

/// Whether a string has the head, and the length, of a HyperLogLog.
pub fn is_hll(bytes: &[u8]) -> bool {
    bytes.len() >= HEAD
        && bytes.starts_with(MAGIC)
        && (is_sparse(bytes) || is_dense(bytes) && bytes.len() == DENSE_BYTES)
}

pub fn is_sparse(bytes: &[u8]) -> bool {
    bytes[MAGIC.len()] == 1
}

fn is_dense(bytes: &[u8]) -> bool {
    bytes[MAGIC.len()] == 0
}

/// A HyperLogLog without elements.
pub fn empty() -> Value {
    Value::Str(Str::Owned(empty_bytes()))
}

fn empty_bytes() -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[MAGIC.len()] = 1;
    sparse::push_zeros(&mut bytes, REGISTERS);
    bytes
}

/// Adds an element. True if a register changed; the count is outdated then. One that is sparse becomes
/// dense where it would be longer than `sparse_max_bytes`.
pub fn add(
    bytes: &mut Vec<u8>,
    element: &[u8],
    sparse_max_bytes: usize,
) -> Result<bool, Corrupted> {
    let (index, run) = place_of(element);
    let changed = match is_sparse(bytes) {
        true => sparse::raise(bytes, index, run, sparse_max_bytes)?,
        false => dense::raise(&mut bytes[HEAD..], index, run),
    };
    if changed {
        outdate(bytes);
    }
    Ok(changed)
}

/// The count, where it was computed since the last change.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let count = u64::from_le_bytes(*bytes[8..].first_chunk().expect("the head is longer"));
    (count & OUTDATED == 0).then_some(count)
}

/// Computes the count.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupted> {
    let histogram = match is_sparse(bytes) {
        true => sparse::histogram(&bytes[HEAD..])?,
        false => dense::histogram(&bytes[HEAD..]),
    };
    Ok(estimate::count(&histogram))
}

/// Keeps a computed count.
pub fn set_count(bytes: &mut [u8], count: u64) {
    bytes[8..HEAD].copy_from_slice(&count.to_le_bytes());
}

/// Says that the count must be computed anew.
pub fn outdate(bytes: &mut [u8]) {
    bytes[HEAD - 1] |= 0x80;
}

/// Makes a sparse one dense. False if it was dense.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<bool, Corrupted> {
    if !is_sparse(bytes) {
        return Ok(false);
    }
    let mut dense = vec![0; DENSE_BYTES];
    dense[..HEAD].copy_from_slice(&bytes[..HEAD]);
    dense[MAGIC.len()] = 0;
    sparse::for_each_run(&bytes[HEAD..], |first, len, run| {
        if run > 0 {
            (first..first + len).for_each(|index| dense::set(&mut dense[HEAD..], index, run));
        }
    })?;
    *bytes = dense;
    Ok(true)
}

/// The opcodes of a sparse one, as far as there are whole ones.
pub fn ops(bytes: &[u8]) -> impl Iterator<Item = Op> {
    sparse::ops(&bytes[HEAD..])
}

/// How often each value of a register occurs. Values that no run can have are counted as well, and mean nothing.
type Histogram = [u32; 64];

/// The register of an element, and the length of its run of zeros with the one behind it.
fn place_of(element: &[u8]) -> (usize, u8) {
    let hash = hash(element);
    // The bit behind the last ends the run of a hash that has no other.
    let rest = hash >> INDEX_BITS | 1 << (64 - INDEX_BITS);
    (hash as usize & (REGISTERS - 1), rest.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A with the seed that makes HyperLogLogs of different servers one.
fn hash(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mix = |word: u64| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ word >> SHIFT).wrapping_mul(MULTIPLIER)
    };
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ mix(u64::from_le_bytes(*word))).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}
