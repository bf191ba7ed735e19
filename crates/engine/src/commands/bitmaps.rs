//! Bitmap commands: strings seen as rows of bits, the highest bit of each byte first. BITFIELD has
//! a file of its own.

use protocol::Args;
use store::{DbSlot, NewValue, SetExpire};

use super::args::{int, is};
use super::bitfield::{self, bitfield, bitfield_ro};
use super::strings::string_bytes;
use crate::command::key_spec::{Access, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const READ: Flags = Flags::READONLY;

pub(crate) static ROWS: &[CommandSpec] = &[
    bitmap(
        "setbit",
        setbit,
        4,
        WRITE,
        &[KeySpec::at(1, Access::READS_UPDATES)],
        "2.2.0",
        "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
    ),
    bitmap(
        "getbit",
        getbit,
        3,
        READ.or(Flags::FAST),
        &[KeySpec::at(1, Access::READS)],
        "2.2.0",
        "Returns a bit value by offset.",
    ),
    bitmap(
        "bitcount",
        bitcount,
        -2,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "2.6.0",
        "Counts the number of set bits (population counting) in a string.",
    ),
    bitmap(
        "bitpos",
        bitpos,
        -3,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "2.8.7",
        "Finds the first set (1) or clear (0) bit in a string.",
    ),
    bitmap(
        "bitop",
        bitop,
        -4,
        WRITE,
        &[KeySpec::at(2, Access::OVERWRITES), KeySpec::range(3, -1, 1, Access::READS)],
        "2.6.0",
        "Performs bitwise operations on multiple strings, and stores the result.",
    ),
    bitmap(
        "bitfield",
        bitfield,
        -2,
        WRITE,
        &[KeySpec::at(1, Access::READS_UPDATES)
            .noted("This command allows both access and modification of the key")
            .judged_by(bitfield::access)],
        "3.2.0",
        "Performs arbitrary bitfield integer operations on strings.",
    ),
    bitmap(
        "bitfield_ro",
        bitfield_ro,
        -2,
        READ.or(Flags::FAST),
        &[KeySpec::at(1, Access::READS)],
        "6.0.0",
        "Performs arbitrary read-only bitfield integer operations on strings.",
    ),
];

const fn bitmap(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, keys, Acl::BITMAP, since, summary)
}

/// A bit's place, which must lie in a string that may be made; `unit` is what `#` counts in.
pub(super) fn bit_offset(
    ctx: &Ctx<'_>,
    arg: &[u8],
    unit: Option<u32>,
) -> Result<usize, CommandError> {
    let (text, unit) = match (arg, unit) {
        ([b'#', text @ ..], Some(unit)) => (text, i64::from(unit)),
        _ => (arg, 1),
    };
    let offset = protocol::parse_i64(text)
        .and_then(|n| n.checked_mul(unit))
        .filter(|offset| *offset >= 0)
        .ok_or(CommandError::BitOffset)?;
    let is_bound = !ctx.client.is_internal();
    if is_bound && offset as u64 >> 3 >= ctx.engine.settings.proto_max_bulk_len {
        return Err(CommandError::BitOffset);
    }
    Ok(offset as usize)
}

/// Lends the string of a key to `f`, empty where there is no key.
pub(super) fn with_bytes<T>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    f: impl FnOnce(&[u8]) -> T,
) -> Result<T, CommandError> {
    let mut digits = itoa::Buffer::new();
    match ctx.engine.read(ctx.view, key) {
        Some(entry) => Ok(f(string_bytes(entry.value(), &mut digits)?)),
        None => Ok(f(b"")),
    }
}

/// Lends the string of a key for writing, at least `len` bytes long; `f` is also told whether it
/// had to grow for that.
pub(super) fn with_bytes_mut<T>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    len: usize,
    f: impl FnOnce(&mut [u8], bool) -> T,
) -> Result<T, CommandError> {
    match ctx.engine.slot(ctx.view, key) {
        DbSlot::Occupied(mut entry) => {
            let had = string_bytes(entry.value(), &mut itoa::Buffer::new())?.len();
            Ok(f(entry.text_mut(len), had < len))
        }
        DbSlot::Vacant(vacant) => Ok(f(vacant.insert(b"", None).text_mut(len), true)),
    }
}

fn setbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let key = args.at(1);
    let offset = bit_offset(ctx, args.at(2), None)?;
    let on = match protocol::parse_i64(args.at(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(CommandError::BitNotInteger),
    };
    let (at, mask) = (offset >> 3, 0x80 >> (offset & 7));
    let (was, grew) = with_bytes_mut(ctx, key, at + 1, |bytes, grew| {
        let was = bytes[at] & mask != 0;
        bytes[at] = if on { bytes[at] | mask } else { bytes[at] & !mask };
        (was, grew)
    })?;
    if grew || was != on {
        ctx.engine.changed(ctx.view, key, Classes::STRING, "setbit");
    }
    ctx.client.out.int(was.into());
    Ok(())
}

fn getbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let offset = bit_offset(ctx, args.at(2), None)?;
    let bit = with_bytes(ctx, args.at(1), |bytes| {
        bytes.get(offset >> 3).is_some_and(|byte| byte & 0x80 >> (offset & 7) != 0)
    })?;
    ctx.client.out.int(bit.into());
    Ok(())
}

/// The part of a string that BITCOUNT and BITPOS look at, as their arguments say it.
struct Part {
    start: i64,
    /// `None` for to the end, however long the string is.
    end: Option<i64>,
    in_bits: bool,
}

impl Part {
    fn parse(args: Args<'_>, start_at: usize, unit_first: bool) -> Result<Part, CommandError> {
        let mut part = Part { start: 0, end: None, in_bits: false };
        if args.len() > start_at + 3 {
            return Err(CommandError::Syntax);
        }
        if args.len() > start_at {
            part.start = int(args.at(start_at))?;
        }
        let end = args.get(start_at + 1).map(int).transpose();
        let in_bits = match args.get(start_at + 2) {
            None => Ok(false),
            Some(unit) if is(unit, "bit") => Ok(true),
            Some(unit) if is(unit, "byte") => Ok(false),
            Some(_) => Err(CommandError::Syntax),
        };
        // Of two mistakes the one is told that Redis sees first.
        if unit_first {
            (part.in_bits, part.end) = (in_bits?, end?);
        } else {
            (part.end, part.in_bits) = (end?, in_bits?);
        }
        Ok(part)
    }

    /// First and last bit in a string of `len` bytes, if there are any.
    fn bits(&self, len: usize) -> Option<(usize, usize)> {
        let total = if self.in_bits { len as i64 * 8 } else { len as i64 };
        let from_end = |at: i64| if at < 0 { (total + at).max(0) } else { at };
        let end = self.end.unwrap_or(-1);
        let (start, end) = (from_end(self.start), from_end(end).min(total - 1));
        if start > end {
            return None;
        }
        let (start, end) = (start as usize, end as usize);
        Some(if self.in_bits { (start, end) } else { (start * 8, end * 8 + 7) })
    }
}

fn bitcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() == 3 {
        return Err(CommandError::Syntax);
    }
    let part = Part::parse(args, 2, false)?;
    // Before both are brought within a short string: BITPOS does not look at that.
    let is_backwards = part.end.is_some_and(|end| part.start < 0 && end < 0 && part.start > end);
    let count = with_bytes(ctx, args.at(1), |bytes| match part.bits(bytes.len()) {
        Some((first, last)) if !is_backwards => count_ones(bytes, first, last),
        _ => 0,
    })?;
    ctx.client.out.int(count as i64);
    Ok(())
}

fn count_ones(bytes: &[u8], first: usize, last: usize) -> u64 {
    let whole = &bytes[first / 8..=last / 8];
    let (words, rest) = whole.as_chunks::<8>();
    let mut count: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    count += rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
    // Bits of the outer bytes that lie before and behind what was asked for.
    let before = !(0xFF_u8 >> (first % 8)) & bytes[first / 8];
    let behind = !(0xFF_u8 << (7 - last % 8)) & bytes[last / 8];
    count - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

fn bitpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let wanted = match int(args.at(2))? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::err("The bit argument must be 1 or 0.")),
    };
    let part = Part::parse(args, 3, true)?;
    let exists = ctx.engine.peek(ctx.view, args.at(1)).is_some();
    let at = with_bytes(ctx, args.at(1), |bytes| {
        let Some((first, last)) = part.bits(bytes.len()) else {
            // No key is an endless row of zeros.
            return if exists || wanted { -1 } else { 0 };
        };
        match find_bit(bytes, wanted, first, last) {
            Some(at) => at as i64,
            // Behind a string of ones come zeros, unless an end was said.
            None if !wanted && part.end.is_none() => bytes.len() as i64 * 8,
            None => -1,
        }
    })?;
    ctx.client.out.int(at);
    Ok(())
}

fn find_bit(bytes: &[u8], wanted: bool, first: usize, last: usize) -> Option<usize> {
    let flip = if wanted { 0 } else { 0xFF };
    let mut at = first / 8;
    let mut byte = (bytes[at] ^ flip) & 0xFF >> (first % 8);
    if byte == 0 {
        at = at + 1 + bytes[at + 1..=last / 8].iter().position(|byte| byte ^ flip != 0)?;
        byte = bytes[at] ^ flip;
    }
    let found = at * 8 + byte.leading_zeros() as usize;
    (found <= last).then_some(found)
}

/// How BITOP combines strings: `step` brings each one into two rows of bits, `finish` makes the result of them.
struct BitOp {
    name: &'static str,
    /// How many source keys it takes: at least, and at most.
    sources: (usize, usize),
    step: fn(first: bool, &mut Vec<u8>, &mut Vec<u8>, &[u8]),
    finish: fn(&mut Vec<u8>, &mut Vec<u8>),
    /// Replicas of any version know it.
    is_old: bool,
}

const BIT_OPS: [BitOp; 8] = [
    BitOp {
        step: |first, a, _, next| {
            if first { a.extend_from_slice(next) } else { combine(a, next, |a, b| a & b) }
        },
        ..BitOp::new("AND", 1)
    },
    BitOp { step: |_, a, _, next| combine(a, next, |a, b| a | b), ..BitOp::new("OR", 1) },
    BitOp { step: |_, a, _, next| combine(a, next, |a, b| a ^ b), ..BitOp::new("XOR", 1) },
    BitOp {
        sources: (1, 1),
        finish: |a, _| a.iter_mut().for_each(|byte| *byte = !*byte),
        ..BitOp::new("NOT", 1)
    },
    BitOp { finish: |a, b| combine(a, b, |a, b| a & !b), ..BitOp::of_first_and_rest("DIFF") },
    BitOp { finish: |a, b| combine(a, b, |a, b| !a & b), ..BitOp::of_first_and_rest("DIFF1") },
    BitOp { finish: |a, b| combine(a, b, |a, b| a & b), ..BitOp::of_first_and_rest("ANDOR") },
    BitOp {
        // In `a` what any has, in `b` what more than one has.
        step: |_, a, b, next| {
            let mut again = a.clone();
            combine(&mut again, next, |a, b| a & b);
            combine(b, &again, |a, b| a | b);
            combine(a, next, |a, b| a | b);
        },
        finish: |a, b| combine(a, b, |a, b| a & !b),
        is_old: false,
        ..BitOp::new("ONE", 1)
    },
];

impl BitOp {
    const fn new(name: &'static str, at_least: usize) -> BitOp {
        BitOp {
            name,
            sources: (at_least, usize::MAX),
            step: |_, a, _, next| a.extend_from_slice(next),
            finish: |_, _| {},
            is_old: true,
        }
    }

    /// In `a` the first string, in `b` what any of the others has.
    const fn of_first_and_rest(name: &'static str) -> BitOp {
        BitOp {
            step: |first, a, b, next| combine(if first { a } else { b }, next, |a, b| a | b),
            is_old: false,
            ..BitOp::new(name, 2)
        }
    }
}

/// Combines a row of bits with another. The shorter one goes on with zeros.
fn combine(row: &mut Vec<u8>, other: &[u8], op: impl Fn(u8, u8) -> u8) {
    row.resize(row.len().max(other.len()), 0);
    let (both, beyond) = row.split_at_mut(other.len());
    both.iter_mut().zip(other).for_each(|(a, b)| *a = op(*a, *b));
    beyond.iter_mut().for_each(|a| *a = op(*a, 0));
}

fn bitop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, word, dest) = (ctx.view, args.at(1), args.at(2));
    let op = BIT_OPS.iter().find(|op| is(word, op.name)).ok_or(CommandError::Syntax)?;
    let (least, most) = op.sources;
    let sources = args.len() - 3;
    if sources < least || sources > most {
        let count = if most == 1 { "a single source key" } else { "at least two source keys" };
        let name = op.name;
        return Err(CommandError::err(format_args!("BITOP {name} must be called with {count}.")));
    }
    let (mut result, mut aside) = (Vec::new(), Vec::new());
    for (at, key) in args.iter().skip(3).enumerate() {
        with_bytes(ctx, key, |bytes| (op.step)(at == 0, &mut result, &mut aside, bytes))?;
    }
    (op.finish)(&mut result, &mut aside);
    let len = result.len();
    if len == 0 {
        if ctx.engine.delete_silently(db, dest) {
            ctx.engine.changed(db, dest, Classes::GENERIC, "del");
            if !op.is_old {
                ctx.propagate(&[b"DEL", dest]);
            }
        }
    } else {
        if !op.is_old {
            ctx.propagate(&[b"SET", dest, &result]);
        }
        ctx.engine.put(db, dest, NewValue::OwnText(result), SetExpire::Clear);
        ctx.engine.make_raw(db, dest);
        ctx.engine.changed(db, dest, Classes::STRING, "set");
    }
    ctx.client.out.int(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(bytes: &[u8], at: usize) -> bool {
        bytes[at / 8] & 0x80 >> (at % 8) != 0
    }

    #[test]
    fn counts_and_finds_bits_as_one_by_one() {
        let bytes: Vec<u8> =
            (0..27_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for first in 0..bytes.len() * 8 {
            for last in first..bytes.len() * 8 {
                let ones = (first..=last).filter(|at| bit(&bytes, *at)).count() as u64;
                assert_eq!(count_ones(&bytes, first, last), ones, "{first}..={last}");
                for wanted in [false, true] {
                    let found = (first..=last).find(|at| bit(&bytes, *at) == wanted);
                    assert_eq!(find_bit(&bytes, wanted, first, last), found, "{first}..={last}");
                }
            }
        }
    }
}
