//! BITFIELD and BITFIELD_RO: integers of any width in a string. Their rows stand with the bitmaps'.

use protocol::Args;

use super::args::{int, is};
use super::bitmaps::{bit_offset, with_bytes, with_bytes_mut};
use crate::command::key_spec::Access;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

/// `u8`, `i16` and so on.
#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    bits: u32,
}

#[derive(Clone, Copy, Default)]
enum Overflow {
    #[default]
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy)]
enum Op {
    Get,
    Set(i64),
    IncrBy(i64),
}

struct Step {
    op: Op,
    field: Field,
    offset: usize,
    overflow: Overflow,
}

impl Field {
    fn parse(text: &[u8]) -> Result<Field, CommandError> {
        let field = match text {
            [b'i', bits @ ..] => (true, protocol::parse_i64(bits)),
            [b'u', bits @ ..] => (false, protocol::parse_i64(bits)),
            _ => (false, None),
        };
        match field {
            (signed, Some(bits)) if bits >= 1 && bits <= if signed { 64 } else { 63 } => {
                Ok(Field { signed, bits: bits as u32 })
            }
            _ => Err(CommandError::err(
                "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
            )),
        }
    }

    /// The bits of `raw` as the number they stand for.
    fn value(self, raw: u64) -> i64 {
        if self.signed {
            // The field's highest bit is the sign.
            let unused = 64 - self.bits;
            (raw << unused) as i64 >> unused
        } else {
            raw as i64
        }
    }

    fn bounds(self) -> (i128, i128) {
        let half = 1_i128 << (self.bits - 1);
        if self.signed { (-half, half - 1) } else { (0, 2 * half - 1) }
    }

    /// Whether the way from a number to the largest does not fit into 64 bits. It is far too small; Redis takes
    /// it for too large.
    fn is_out_of_reach(self, value: i64) -> bool {
        let way = self.bounds().1 - i128::from(value);
        self.signed && self.bits < 64 && way > i64::MAX.into()
    }

    /// What is stored for `wanted`; `None` when it does not fit and that must fail.
    fn fit(self, wanted: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = self.bounds();
        if (min..=max).contains(&wanted) {
            return Some(wanted as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.value(wanted as u64 & max_raw(self.bits))),
            Overflow::Saturate => Some(wanted.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }
}

fn max_raw(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

/// The `bits` from bit `offset` on; behind the end of the string there are zeros.
fn load(bytes: &[u8], offset: usize, bits: u32) -> u64 {
    let mut wide: u128 = 0;
    for at in 0..9 {
        let byte = bytes.get(offset / 8 + at).copied().unwrap_or(0);
        wide = wide << 8 | u128::from(byte);
    }
    (wide >> (72 - (offset % 8) as u32 - bits)) as u64 & max_raw(bits)
}

fn store(bytes: &mut [u8], offset: usize, bits: u32, raw: u64) {
    for at in 0..bits as usize {
        let place = offset + at;
        let mask = 0x80_u8 >> (place % 8);
        if raw >> (bits as usize - 1 - at) & 1 == 1 {
            bytes[place / 8] |= mask;
        } else {
            bytes[place / 8] &= !mask;
        }
    }
}

/// BITFIELD without SET and INCRBY only reads.
pub(super) fn access(args: Args<'_>) -> Access {
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let left = args.len() - at - 1;
        at += match () {
            () if is(word, "get") && left >= 2 => 3,
            () if is(word, "overflow") && left >= 1 => 2,
            // What is not understood may be meant to write.
            () => return Access::READS_UPDATES,
        };
    }
    Access::READS
}

fn parse(ctx: &Ctx<'_>, args: Args<'_>) -> Result<Vec<Step>, CommandError> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::default();
    let mut at = 2;
    while at < args.len() {
        let (word, left) = (args.at(at), args.len() - at - 1);
        if is(word, "overflow") && left >= 1 {
            let how = args.at(at + 1);
            overflow = match () {
                () if is(how, "wrap") => Overflow::Wrap,
                () if is(how, "sat") => Overflow::Saturate,
                () if is(how, "fail") => Overflow::Fail,
                () => return Err(CommandError::err("Invalid OVERFLOW type specified")),
            };
            at += 2;
            continue;
        }
        let needed = match () {
            () if is(word, "get") && left >= 2 => 2,
            () if (is(word, "set") || is(word, "incrby")) && left >= 3 => 3,
            () => return Err(CommandError::Syntax),
        };
        let field = Field::parse(args.at(at + 1))?;
        let offset = bit_offset(ctx, args.at(at + 2), Some(field.bits))?;
        let op = match needed {
            2 => Op::Get,
            _ if is(word, "set") => Op::Set(int(args.at(at + 3))?),
            _ => Op::IncrBy(int(args.at(at + 3))?),
        };
        steps.push(Step { op, field, offset, overflow });
        at += needed + 1;
    }
    Ok(steps)
}

/// Runs a step on a string that is long enough if the step writes; the reply (null for a step that
/// was refused), and whether a bit has changed.
fn run(step: &Step, bytes: &[u8]) -> (Option<i64>, Option<u64>) {
    let field = step.field;
    let raw = load(bytes, step.offset, field.bits);
    let old = field.value(raw);
    let wanted = match step.op {
        Op::Get => return (Some(old), None),
        // An unsigned field takes a negative number for the large one with the same bits.
        Op::Set(value) if !field.signed => i128::from(value as u64),
        Op::Set(value)
            if matches!(step.overflow, Overflow::Saturate) && field.is_out_of_reach(value) =>
        {
            field.bounds().1
        }
        Op::Set(value) => i128::from(value),
        Op::IncrBy(by) => i128::from(old) + i128::from(by),
    };
    let new = field.fit(wanted, step.overflow);
    let reply = match step.op {
        Op::Set(_) => new.map(|_| old),
        _ => new,
    };
    (reply, new.map(|new| new as u64 & max_raw(field.bits)))
}

pub(super) fn bitfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let steps = parse(ctx, args)?;
    let writes = steps.iter().filter(|step| !matches!(step.op, Op::Get));
    let Some(end) = writes.map(|step| step.offset + step.field.bits as usize).max() else {
        return read_only(ctx, args.at(1), &steps);
    };
    let mut changes = 0;
    let replies = with_bytes_mut(ctx, args.at(1), end.div_ceil(8), |bytes, grew| {
        let mut replies = Vec::with_capacity(steps.len());
        for step in &steps {
            let (reply, new) = run(step, bytes);
            if let Some(raw) = new {
                let old = load(bytes, step.offset, step.field.bits);
                // An increment counts even when it comes back to where it was.
                let counts = grew || old != raw || matches!(step.op, Op::IncrBy(_));
                changes += u64::from(counts);
                store(bytes, step.offset, step.field.bits, raw);
            }
            replies.push(reply);
        }
        // Steps that all fail leave a longer string behind, which replicas must have too.
        changes = changes.max(grew.into());
        replies
    })?;
    if changes > 0 {
        ctx.engine.changed(ctx.view, args.at(1), Classes::STRING, "setbit");
        ctx.engine.dirty += changes - 1;
    }
    reply(ctx, &replies);
    Ok(())
}

pub(super) fn bitfield_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let steps = parse(ctx, args)?;
    if steps.iter().any(|step| !matches!(step.op, Op::Get)) {
        return Err(CommandError::err("BITFIELD_RO only supports the GET subcommand"));
    }
    read_only(ctx, args.at(1), &steps)
}

fn read_only(ctx: &mut Ctx<'_>, key: &[u8], steps: &[Step]) -> Result<(), CommandError> {
    let replies = with_bytes(ctx, key, |bytes| {
        steps.iter().map(|step| run(step, bytes).0).collect::<Vec<_>>()
    })?;
    reply(ctx, &replies);
    Ok(())
}

fn reply(ctx: &mut Ctx<'_>, replies: &[Option<i64>]) {
    ctx.client.out.array(replies.len());
    for reply in replies {
        match reply {
            Some(value) => ctx.client.out.int(*value),
            None => ctx.client.out.null(),
        }
    }
}
