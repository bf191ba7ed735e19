//! HyperLogLog commands: estimates of how many distinct elements were added. What the strings hold is
//! the business of `store::hll`.

use protocol::Args;
use store::hll::{self, Corrupted, Op, Registers};
use store::{DbSlot, EntryMut, ValueRef};

use super::args::{is, text};
use super::strings::string_bytes;
use crate::command::key_spec::{Access, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(crate) static ROWS: &[CommandSpec] = &[
    hyperloglog(
        "pfadd",
        pfadd,
        -2,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::ADDS)],
        "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.",
    ),
    hyperloglog(
        "pfcount",
        pfcount,
        -2,
        Flags::READONLY.or(Flags::MAY_REPLICATE),
        &[KeySpec::range(1, -1, 1, Access::RW.or(Access::ACCESS)).noted(
            "RW because it may change the internal representation of the key, and propagate to replicas",
        )],
        "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).",
    ),
    hyperloglog(
        "pfmerge",
        pfmerge,
        -2,
        WRITE,
        &[
            KeySpec::at(1, Access::RW.or(Access::ACCESS).or(Access::INSERT)),
            KeySpec::range(2, -1, 1, Access::READS),
        ],
        "Merges one or more HyperLogLog values into a single key.",
    ),
    hyperloglog(
        "pfdebug",
        pfdebug,
        3,
        WRITE.or(Flags::ADMIN),
        &[KeySpec::at(2, Access::RW.or(Access::ACCESS))],
        "Internal commands for debugging HyperLogLog values.",
    ).internal(),
    hyperloglog(
        "pfselftest",
        pfselftest,
        1,
        Flags::ADMIN,
        KeySpec::NONE,
        "An internal command for testing HyperLogLog values.",
    ).internal(),
];

const fn hyperloglog(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, keys, Acl::HYPERLOGLOG, "2.8.9", summary)
}

impl From<Corrupted> for CommandError {
    fn from(_: Corrupted) -> CommandError {
        CommandError::HllCorrupted
    }
}

/// The bytes of a value that is a HyperLogLog, as far as its head tells.
fn hll_bytes<'a>(
    value: ValueRef<'a>,
    digits: &'a mut itoa::Buffer,
) -> Result<&'a [u8], CommandError> {
    let bytes = string_bytes(value, digits)?;
    if hll::is_hll(bytes) { Ok(bytes) } else { Err(CommandError::NotHll) }
}

/// The HyperLogLog of a key for changing it.
fn hll_mut<'e>(ctx: &'e mut Ctx<'_>, key: &[u8]) -> Result<Option<EntryMut<'e>>, CommandError> {
    let Some(entry) = ctx.engine.write(ctx.view, key) else { return Ok(None) };
    hll_bytes(entry.value(), &mut itoa::Buffer::new())?;
    Ok(Some(entry))
}

fn pfadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let (slot, settings) = ctx.engine.place(db, key, true);
    let sparse_max_bytes = settings.limits.hll_sparse_max_bytes;
    let (mut entry, mut changes) = match slot {
        DbSlot::Occupied(entry) => {
            hll_bytes(entry.value(), &mut itoa::Buffer::new())?;
            (entry, 0)
        }
        DbSlot::Vacant(vacant) => (vacant.insert(hll::empty(), None), 1),
    };
    let bytes = entry.bytes_mut();
    let mut failed_at = None;
    for (at, element) in args.iter().enumerate().skip(2) {
        match hll::add(bytes, element, sparse_max_bytes) {
            Ok(changed) => changes += u64::from(changed),
            Err(Corrupted) => {
                failed_at = Some(at);
                break;
            }
        }
    }
    if changes > 0 {
        hll::outdate(bytes);
        ctx.engine.changed(db, key, Classes::STRING, "pfadd");
        ctx.engine.dirty += changes - 1;
    }
    if let Some(at) = failed_at {
        if changes > 0 {
            // The elements before it stay added: replicas add those alone, and do not fail.
            let added: Vec<&[u8]> = args.iter().take(at).collect();
            ctx.propagate(&added);
        }
        return Err(Corrupted.into());
    }
    ctx.client.out.int((changes > 0).into());
    Ok(())
}

fn pfcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 2 {
        let (union, _) = union_of(ctx, args)?;
        ctx.client.out.int(union.count() as i64);
        return Ok(());
    }
    let (db, key) = (ctx.view, args.at(1));
    let mut digits = itoa::Buffer::new();
    let Some(entry) = ctx.engine.read(db, key) else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let bytes = hll_bytes(entry.value(), &mut digits)?;
    if let Some(count) = hll::cached_count(bytes) {
        ctx.client.out.int(count as i64);
        return Ok(());
    }
    let count = hll::count(bytes)?;
    let mut entry = ctx.engine.write(db, key).expect("read above, in the same view");
    hll::set_count(entry.bytes_mut(), count);
    // A string has changed, which replicas and watchers hear; no event tells of it.
    ctx.engine.changed(db, key, Classes::default(), "");
    ctx.client.out.int(count as i64);
    Ok(())
}

/// The union of what the keys from the first argument on hold, and whether any of it is dense.
fn union_of(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(Registers, bool), CommandError> {
    let (mut union, mut is_dense) = (Registers::new(), false);
    for key in args.iter().skip(1) {
        let mut digits = itoa::Buffer::new();
        let Some(entry) = ctx.engine.read(ctx.view, key) else { continue };
        let bytes = hll_bytes(entry.value(), &mut digits)?;
        is_dense |= !hll::is_sparse(bytes);
        union.merge(bytes)?;
    }
    Ok((union, is_dense))
}

fn pfmerge(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let (union, is_dense) = union_of(ctx, args)?;
    let (slot, settings) = ctx.engine.place(db, key, true);
    let sparse_max_bytes = settings.limits.hll_sparse_max_bytes;
    let mut entry = match slot {
        // One of those that the union is of: it has passed.
        DbSlot::Occupied(entry) => entry,
        DbSlot::Vacant(vacant) => vacant.insert(hll::empty(), None),
    };
    let bytes = entry.bytes_mut();
    if is_dense {
        hll::make_dense(bytes)?;
    }
    union.store_in(bytes, sparse_max_bytes)?;
    hll::outdate(bytes);
    ctx.engine.changed(db, key, Classes::STRING, "pfadd");
    ctx.client.out.ok();
    Ok(())
}

fn pfdebug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (word, key) = (args.at(1), args.at(2));
    let no_key = || CommandError::err("The specified key does not exist");
    let mut entry = hll_mut(ctx, key)?.ok_or_else(no_key)?;
    let bytes = entry.bytes_mut();
    match () {
        () if is(word, "getreg") => {
            let made_dense = hll::make_dense(bytes)?;
            let registers = Registers::of(bytes)?;
            ctx.engine.dirty += u64::from(made_dense);
            let out = &mut ctx.client.out;
            out.array(registers.values().len());
            registers.values().iter().for_each(|value| out.int((*value).into()));
        }
        () if is(word, "decode") => {
            if !hll::is_sparse(bytes) {
                return Err(CommandError::err("HLL encoding is not sparse"));
            }
            let ops: Vec<String> = hll::ops(bytes).map(decoded).collect();
            ctx.client.out.bulk(ops.join(" ").as_bytes());
        }
        () if is(word, "encoding") => {
            let encoding = if hll::is_sparse(bytes) { "sparse" } else { "dense" };
            ctx.client.out.status(encoding);
        }
        () if is(word, "todense") => {
            let made_dense = hll::make_dense(bytes)?;
            ctx.engine.dirty += u64::from(made_dense);
            ctx.client.out.int(made_dense.into());
        }
        () => {
            let word = text(word);
            return Err(CommandError::err(format_args!("Unknown PFDEBUG subcommand '{word}'")));
        }
    }
    Ok(())
}

fn decoded(op: Op) -> String {
    match op {
        Op::Zero { len } => format!("z:{len}"),
        Op::XZero { len } => format!("Z:{len}"),
        Op::Value { value, len } => format!("v:{value},{len}"),
    }
}

fn pfselftest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let sparse_max_bytes = ctx.engine.settings.limits.hll_sparse_max_bytes;
    hll::self_test(&mut ctx.engine.rng, sparse_max_bytes)
        .map_err(|what| CommandError::err(format_args!("TESTFAILED {what}")))?;
    ctx.client.out.ok();
    Ok(())
}
