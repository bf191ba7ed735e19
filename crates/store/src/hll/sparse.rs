//! Owns the sparse form: opcodes for runs of equal registers.
//!
//! | opcode              | so many registers | with the value |
//! |---------------------|-------------------|----------------|
//! | `00nnnnnn`          | n + 1             | 0              |
//! | `01nnnnnn nnnnnnnn` | n + 1             | 0              |
//! | `1vvvvvnn`          | n + 1             | v + 1          |
//!
//! Where an opcode is split and which ones are joined is Redis's way, for the bytes to be the same.

use super::{Corrupted, HEAD, Histogram, REGISTERS, dense, make_dense};

const ZERO_MAX_LEN: usize = 64;
const VALUE_MAX_LEN: usize = 4;
/// A higher value makes it dense.
const VALUE_MAX: u8 = 32;
/// How many opcodes are looked at for neighbours to join.
const JOIN_WINDOW: usize = 5;

/// A run of registers of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Zero { len: usize },
    XZero { len: usize },
    Value { value: u8, len: usize },
}

impl Op {
    fn read(bytes: &[u8]) -> Option<Op> {
        let first = *bytes.first()?;
        let low = usize::from(first & 0x3f);
        Some(match first >> 6 {
            0 => Op::Zero { len: low + 1 },
            1 => Op::XZero { len: (low << 8 | usize::from(*bytes.get(1)?)) + 1 },
            _ => Op::Value { value: (first >> 2 & 0x1f) + 1, len: usize::from(first & 3) + 1 },
        })
    }

    fn bytes(self) -> usize {
        if matches!(self, Op::XZero { .. }) { 2 } else { 1 }
    }

    fn len(self) -> usize {
        match self {
            Op::Zero { len } | Op::XZero { len } | Op::Value { len, .. } => len,
        }
    }

    fn value(self) -> u8 {
        if let Op::Value { value, .. } = self { value } else { 0 }
    }
}

pub(super) fn ops(bytes: &[u8]) -> impl Iterator<Item = Op> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let op = Op::read(rest)?;
        rest = &rest[op.bytes()..];
        Some(op)
    })
}

/// Calls `f` with the first register, the number and the value of each run.
pub(super) fn for_each_run(
    bytes: &[u8],
    mut f: impl FnMut(usize, usize, u8),
) -> Result<(), Corrupted> {
    let (mut rest, mut first) = (bytes, 0);
    while !rest.is_empty() {
        let op = Op::read(rest).ok_or(Corrupted)?;
        if op.len() > REGISTERS - first {
            return Err(Corrupted);
        }
        f(first, op.len(), op.value());
        first += op.len();
        rest = &rest[op.bytes()..];
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupted) }
}

pub(super) fn histogram(bytes: &[u8]) -> Result<Histogram, Corrupted> {
    let mut histogram = [0; 64];
    for_each_run(bytes, |_, len, value| histogram[usize::from(value)] += len as u32)?;
    Ok(histogram)
}

/// Appends the opcode for so many zeros, `REGISTERS` at most.
pub(super) fn push_zeros(bytes: &mut Vec<u8>, len: usize) {
    let mut ops = Ops::default();
    ops.zeros(len);
    bytes.extend_from_slice(ops.as_bytes());
}

/// The opcodes that take the place of one.
#[derive(Default)]
struct Ops {
    bytes: [u8; 5],
    len: usize,
}

impl Ops {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn zeros(&mut self, len: usize) {
        match len {
            0 => {}
            1..=ZERO_MAX_LEN => self.push(len as u8 - 1),
            _ => {
                self.push(0x40 | ((len - 1) >> 8) as u8);
                self.push((len - 1) as u8);
            }
        }
    }

    fn values(&mut self, value: u8, len: usize) {
        if len > 0 {
            self.push(value_byte(value, len));
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn value_byte(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// How many registers an opcode of one byte stands for; 0 for those of two.
static SPANS: [u8; 256] = {
    let mut spans = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        spans[byte] = match byte >> 6 {
            0 => byte as u8 + 1,
            1 => 0,
            _ => byte as u8 % 4 + 1,
        };
        byte += 1;
    }
    spans
};

/// The opcode of a register.
struct Found {
    at: usize,
    /// The one before it, if there is one.
    before: Option<usize>,
    /// The first register of its run.
    first: usize,
    op: Op,
}

fn find(bytes: &[u8], index: usize) -> Option<Found> {
    let (mut at, mut before, mut first) = (HEAD, None, 0);
    loop {
        let byte = *bytes.get(at)?;
        // The walk is what adding costs: one look-up an opcode, and no guess what kind it is.
        let (mut span, mut width) = (usize::from(SPANS[usize::from(byte)]), 1);
        if span == 0 {
            span = (usize::from(byte & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?)) + 1;
            width = 2;
        }
        if index < first + span {
            return Some(Found { at, before, first, op: Op::read(&bytes[at..])? });
        }
        before = Some(at);
        at += width;
        first += span;
    }
}

/// Raises a register to a run. False if it is there, or higher. Makes all dense where the value or the
/// length is beyond what is sparse.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    run: u8,
    sparse_max_bytes: usize,
) -> Result<bool, Corrupted> {
    if run > VALUE_MAX {
        return raise_dense(bytes, index, run);
    }
    let found = find(bytes, index).ok_or(Corrupted)?;
    if found.op.value() >= run {
        return Ok(false);
    }
    let (old, behind) = (found.op, found.first + found.op.len() - 1 - index);
    let mut ops = Ops::default();
    match old.value() {
        0 => {
            ops.zeros(index - found.first);
            ops.values(run, 1);
            ops.zeros(behind);
        }
        value => {
            ops.values(value, index - found.first);
            ops.values(run, 1);
            ops.values(value, behind);
        }
    }
    let len = bytes.len() + ops.len - old.bytes();
    if ops.len > old.bytes() && len > sparse_max_bytes {
        return raise_dense(bytes, index, run);
    }
    if len > bytes.capacity() {
        // More elements are likely to come, up to a length that is known.
        let greedy = (len + len.min(300)).min(sparse_max_bytes);
        bytes.reserve_exact(greedy.max(len) - bytes.len());
    }
    bytes.splice(found.at..found.at + old.bytes(), ops.as_bytes().iter().copied());
    join_values(bytes, found.before.unwrap_or(HEAD));
    Ok(true)
}

fn raise_dense(bytes: &mut Vec<u8>, index: usize, run: u8) -> Result<bool, Corrupted> {
    make_dense(bytes)?;
    Ok(dense::raise(&mut bytes[HEAD..], index, run))
}

/// Joins neighbours with one value, from an opcode on and not far beyond.
fn join_values(bytes: &mut Vec<u8>, from: usize) {
    let mut at = from;
    for _ in 0..JOIN_WINDOW {
        let Some(op) = bytes.get(at..).and_then(Op::read) else { break };
        if let Op::Value { value, len } = op
            && let Some(Op::Value { value: next, len: next_len }) = Op::read(&bytes[at + 1..])
            && value == next
            && len + next_len <= VALUE_MAX_LEN
        {
            bytes[at] = value_byte(value, len + next_len);
            bytes.remove(at + 1);
            // The joined one may be joined once more.
            continue;
        }
        at += op.bytes();
    }
}
