//! Hash commands.

use protocol::number::LongDouble;
use protocol::{Args, ReplyBuf, Resp};
use store::SetExpire;
use store::hash::{FieldRef, Hash};
use store::value::{Item, ItemBuf};

use super::args::{add_float, int, random_query, repeat};
use super::scans::{Scan, scan_collection};
use crate::Engine;
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::data::typed::reply_item;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST);

pub(crate) static ROWS: &[CommandSpec] = &[
    hash("hset", hset, -4, WRITE, "2.0.0", "Creates or modifies the value of a field in a hash."),
    hash("hmset", hset, -4, WRITE, "2.0.0", "Sets the values of multiple fields."),
    hash(
        "hsetnx",
        hsetnx,
        4,
        WRITE,
        "2.0.0",
        "Sets the value of a field in a hash only when the field doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::ADDS)]),
    hash("hget", hget, 3, FAST_READ, "2.0.0", "Returns the value of a field in a hash."),
    hash("hmget", hmget, -3, FAST_READ, "2.0.0", "Returns the values of all fields in a hash."),
    hash(
        "hdel",
        hdel,
        -3,
        Flags::WRITE.or(Flags::FAST),
        "2.0.0",
        "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
    ).keys(&[KeySpec::at(1, Access::TAKES_FROM)]),
    hash("hlen", hlen, 2, FAST_READ, "2.0.0", "Returns the number of fields in a hash.").keys(&[KeySpec::at(1, Access::RO)]),
    hash("hstrlen", hstrlen, 3, FAST_READ, "3.2.0", "Returns the length of the value of a field.").keys(&[KeySpec::at(1, Access::RO)]),
    hash("hkeys", hkeys, 2, READ, "2.0.0", "Returns all fields in a hash.").tips(&["nondeterministic_output_order"]),
    hash("hvals", hvals, 2, READ, "2.0.0", "Returns all values in a hash.").tips(&["nondeterministic_output_order"]),
    hash("hgetall", hgetall, 2, READ, "2.0.0", "Returns all fields and values in a hash.").tips(&["nondeterministic_output_order"]),
    hash("hexists", hexists, 3, FAST_READ, "2.0.0", "Determines whether a field exists in a hash.").keys(&[KeySpec::at(1, Access::RO)]),
    hash(
        "hincrby",
        hincrby,
        4,
        WRITE,
        "2.0.0",
        "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    hash(
        "hincrbyfloat",
        hincrbyfloat,
        4,
        WRITE,
        "2.6.0",
        "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    hash("hscan", hscan, -3, READ, "2.8.0", "Iterates over fields and values of a hash.").tips(&["nondeterministic_output"]),
    hash(
        "hrandfield",
        hrandfield,
        -2,
        READ,
        "6.2.0",
        "Returns one or more random fields from a hash.",
    ).tips(&["nondeterministic_output"]),
];

pub(super) const fn hash(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(
        name,
        handler,
        arity,
        flags,
        KeySpec::one(flags.has(Flags::WRITE)),
        Acl::HASH,
        since,
        summary,
    )
}

fn hset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let name = ctx.found.spec.name;
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::arity(name));
    }
    let (db, key) = (ctx.view, args.at(1));
    let fields = (args.len() - 2) / 2;
    let (mut hash, limits) = ctx.engine.create_hash(db, key)?;
    hash.expect(fields, limits);
    let created = (2..args.len())
        .step_by(2)
        .filter(|&at| hash.set(args.at(at), args.at(at + 1), limits))
        .count();
    drop(hash);
    ctx.engine.changed(db, key, Classes::HASH, "hset");
    ctx.engine.dirty += fields as u64 - 1;
    match name {
        "hset" => ctx.client.out.int(created as i64),
        _ => ctx.client.out.ok(),
    }
    Ok(())
}

fn hsetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let horizon_ms = ctx.engine.field_horizon_ms(db);
    ctx.engine.expire_fields(db, key, args.iter().skip(2).take(1));
    let (mut hash, limits) = ctx.engine.create_hash(db, key)?;
    if hash.live(args.at(2), horizon_ms).is_some() {
        ctx.client.out.int(0);
        return Ok(());
    }
    hash.set(args.at(2), args.at(3), limits);
    drop(hash);
    ctx.engine.changed(db, key, Classes::HASH, "hset");
    ctx.client.out.int(1);
    Ok(())
}

pub(super) fn reply_field(out: &mut ReplyBuf, value: Option<Item<'_>>) {
    match value {
        Some(value) => reply_item(out, value),
        None => out.null(),
    }
}

/// The hash for a reader of the fields from this argument on, and before when fields are gone for it.
pub(super) fn hash_for_fields<'e>(
    ctx: &'e mut Ctx<'_>,
    args: Args<'_>,
    first_field: usize,
) -> Result<(Option<&'e Hash>, i64, &'e mut ReplyBuf), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let horizon_ms = ctx.engine.field_horizon_ms(db);
    ctx.engine.expire_fields(db, key, args.iter().skip(first_field));
    Ok((ctx.engine.read_hash(db, key)?, horizon_ms, &mut ctx.client.out))
}

fn hget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (hash, horizon_ms, out) = hash_for_fields(ctx, args, 2)?;
    reply_field(out, hash.and_then(|hash| hash.live(args.at(2), horizon_ms)));
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (hash, horizon_ms, out) = hash_for_fields(ctx, args, 2)?;
    out.array(args.len() - 2);
    for field in args.iter().skip(2) {
        reply_field(out, hash.and_then(|hash| hash.live(field, horizon_ms)));
    }
    Ok(())
}

fn hdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let Some((mut hash, _)) = ctx.engine.write_hash(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let removed = args.iter().skip(2).filter(|field| hash.remove(field)).count();
    let empty = hash.is_empty();
    drop(hash);
    ctx.removed_elements(key, removed, empty, Classes::HASH, "hdel");
    ctx.client.out.int(removed as i64);
    Ok(())
}

fn hlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let len = ctx.engine.read_hash(ctx.view, args.at(1))?.map_or(0, Hash::len);
    ctx.client.out.int(len as i64);
    Ok(())
}

fn hstrlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (hash, horizon_ms, out) = hash_for_fields(ctx, args, 2)?;
    let len = hash
        .and_then(|hash| hash.live(args.at(2), horizon_ms))
        .map_or(0, |value| value.as_bytes(&mut ItemBuf::new()).len());
    out.int(len as i64);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Fields,
    Values,
    Both,
}

fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_all(ctx, args, Part::Fields)
}

fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_all(ctx, args, Part::Values)
}

fn hgetall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_all(ctx, args, Part::Both)
}

fn reply_all(ctx: &mut Ctx<'_>, args: Args<'_>, part: Part) -> Result<(), CommandError> {
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    let hash = ctx.engine.read_hash(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    let len = hash.map_or(0, |hash| hash.len() - hash.due_len(horizon_ms));
    match part {
        Part::Both => out.map(len),
        _ => out.array(len),
    }
    for field in hash.into_iter().flat_map(|hash| hash.live_fields(horizon_ms)) {
        if part != Part::Values {
            reply_item(out, field.name);
        }
        if part != Part::Fields {
            reply_item(out, field.value);
        }
    }
    Ok(())
}

fn hexists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (hash, horizon_ms, out) = hash_for_fields(ctx, args, 2)?;
    let exists = hash.is_some_and(|hash| hash.live(args.at(2), horizon_ms).is_some());
    out.int(exists.into());
    Ok(())
}

/// A field is counted on: what is gone for its time is made anew, what is there keeps its expiry.
fn expiry_of_counter(old: Option<Item<'_>>) -> SetExpire {
    if old.is_some() { SetExpire::Keep } else { SetExpire::Clear }
}

fn hincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key, field) = (ctx.view, args.at(1), args.at(2));
    let by = int(args.at(3))?;
    let horizon_ms = ctx.engine.field_horizon_ms(db);
    ctx.engine.expire_fields(db, key, args.iter().skip(2).take(1));
    // Looked at before it is made: an error must not leave an empty hash behind.
    let old = ctx.engine.peek_hash(db, key)?.and_then(|hash| hash.live(field, horizon_ms));
    let expire = expiry_of_counter(old);
    let old = match old {
        None => 0,
        Some(Item::Int(n)) => n,
        Some(Item::Bytes(text)) => int(text).map_err(|_| CommandError::HashNotAnInteger)?,
    };
    let sum = old.checked_add(by).ok_or(CommandError::Overflow)?;
    let (mut hash, limits) = ctx.engine.create_hash(db, key)?;
    hash.set_with(field, itoa::Buffer::new().format(sum).as_bytes(), expire, limits);
    drop(hash);
    ctx.engine.changed(db, key, Classes::HASH, "hincrby");
    ctx.client.out.int(sum);
    Ok(())
}

fn hincrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key, field) = (ctx.view, args.at(1), args.at(2));
    let by = LongDouble::parse(args.at(3)).ok_or(CommandError::NotAFloat)?;
    if !by.is_finite() {
        return Err(CommandError::err("value is NaN or Infinity"));
    }
    let horizon_ms = ctx.engine.field_horizon_ms(db);
    ctx.engine.expire_fields(db, key, args.iter().skip(2).take(1));
    let mut buf = ItemBuf::new();
    let old = ctx.engine.peek_hash(db, key)?.and_then(|hash| hash.live(field, horizon_ms));
    let expire = expiry_of_counter(old);
    let old = old.as_ref().map_or(b"0".as_slice(), |value| value.as_bytes(&mut buf));
    let sum = add_float(old, by, CommandError::HashNotAFloat)?;
    let (mut hash, limits) = ctx.engine.create_hash(db, key)?;
    hash.set_with(field, sum.as_bytes(), expire, limits);
    let expires = hash.find(field).is_some_and(|field| field.expire_ms.is_some());
    drop(hash);
    ctx.engine.changed(db, key, Classes::HASH, "hincrbyfloat");
    // As the result, so that replicas need not compute it with the same precision. A replica that does not
    // know of expiring fields has none.
    match expires {
        false => ctx.propagate(&[b"HSET", key, field, sum.as_bytes()]),
        true => {
            ctx.propagate(&[b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, sum.as_bytes()])
        }
    }
    ctx.client.out.bulk(sum.as_bytes());
    Ok(())
}

fn hscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    scan_collection(ctx, args, Scan::Fields, Engine::read_hash, |hash, cursor, found| {
        hash.scan(cursor, |field| {
            if !field.is_due(horizon_ms) {
                found.meet(field.name, || [field.name.to_vec(), field.value.to_vec()]);
            }
        })
    })
}

fn hrandfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (Some(count), with_values) = random_query(args, "withvalues")? else {
        return one_random_field(ctx, args);
    };
    let mut rng = ctx.engine.rng.fork();
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    ctx.engine.expire_all_fields(ctx.view, args.at(1));
    let hash = ctx.engine.read_hash(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    let live = hash.map_or(0, |hash| hash.len() - hash.due_len(horizon_ms));
    let Some(hash) = hash.filter(|_| live > 0) else {
        out.array(0);
        return Ok(());
    };
    let shown = if count < 0 { count.unsigned_abs() as usize } else { live.min(count as usize) };
    // RESP3 answers pairs, RESP2 a flat list.
    let nested = with_values && out.resp == Resp::V3;
    out.array(if with_values && !nested { shown * 2 } else { shown });
    let reply = |out: &mut ReplyBuf, field: FieldRef<'_>| {
        if nested {
            out.array(2);
        }
        reply_item(out, field.name);
        if with_values {
            reply_item(out, field.value);
        }
    };
    if count >= 0 {
        hash.sample(shown, horizon_ms, &mut rng, |field| reply(out, field));
    } else {
        repeat(shown, out, |out| {
            if let Some(field) = hash.random(horizon_ms, &mut rng) {
                reply(out, field);
            }
        });
    }
    Ok(())
}

fn one_random_field(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut rng = ctx.engine.rng.fork();
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    ctx.engine.expire_all_fields(ctx.view, args.at(1));
    let hash = ctx.engine.read_hash(ctx.view, args.at(1))?;
    let field = hash.and_then(|hash| hash.random(horizon_ms, &mut rng)).map(|field| field.name);
    reply_field(&mut ctx.client.out, field);
    Ok(())
}
