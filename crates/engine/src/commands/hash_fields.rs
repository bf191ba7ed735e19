//! The expiries of hash fields: HEXPIRE, HTTL, HPERSIST and their kin, and what `hash_values` shares with
//! them. Behaviour and texts are those of Redis 8.2.
//!
//! What travels names a moment, and only the fields that it came to; a moment that has passed travels as
//! HDEL.

use std::collections::BTreeMap;

use protocol::Args;
use store::HashMut;
use store::hash::MAX_EXPIRE_MS;

use super::args::{int, is};
use super::hashes::hash;
use crate::command::{CommandSpec, Flags};
use crate::door::ctx::Ctx;
use crate::engine::Role;
use crate::error::CommandError;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::FAST);

pub(crate) static ROWS: &[CommandSpec] = &[
    hash(
        "hexpire",
        hexpire,
        -6,
        WRITE,
        "7.4.0",
        "Set expiry for hash field using relative time to expire (seconds)",
    ),
    hash(
        "hpexpire",
        hpexpire,
        -6,
        WRITE,
        "7.4.0",
        "Set expiry for hash field using relative time to expire (milliseconds)",
    ),
    hash(
        "hexpireat",
        hexpireat,
        -6,
        WRITE,
        "7.4.0",
        "Set expiry for hash field using an absolute Unix timestamp (seconds)",
    ),
    hash(
        "hpexpireat",
        hpexpireat,
        -6,
        WRITE,
        "7.4.0",
        "Set expiry for hash field using an absolute Unix timestamp (milliseconds)",
    ),
    hash("httl", httl, -5, READ, "7.4.0", "Returns the TTL in seconds of a hash field.")
        .tips(&["nondeterministic_output"]),
    hash("hpttl", hpttl, -5, READ, "7.4.0", "Returns the TTL in milliseconds of a hash field.")
        .tips(&["nondeterministic_output"]),
    hash(
        "hexpiretime",
        hexpiretime,
        -5,
        READ,
        "7.4.0",
        "Returns the expiration time of a hash field as a Unix timestamp, in seconds.",
    ),
    hash(
        "hpexpiretime",
        hpexpiretime,
        -5,
        READ,
        "7.4.0",
        "Returns the expiration time of a hash field as a Unix timestamp, in msec.",
    ),
    hash(
        "hpersist",
        hpersist,
        -5,
        WRITE,
        "7.4.0",
        "Removes the expiration time for each specified field",
    ),
];

/// What HEXPIRE and its kin, HTTL and its, answer for a field.
const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;
const NOT_MET: i64 = 0;
const SET: i64 = 1;
const DELETED: i64 = 2;

pub(super) const MUST_BE_POSITIVE: &str = "Number of fields must be a positive integer";

// ---- arguments ----

/// How a time is given.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub unit_ms: i64,
    pub is_relative: bool,
}

const EX: Clock = Clock { unit_ms: 1000, is_relative: true };
const PX: Clock = Clock { unit_ms: 1, is_relative: true };
const EXAT: Clock = Clock { unit_ms: 1000, is_relative: false };
const PXAT: Clock = Clock { unit_ms: 1, is_relative: false };

impl Clock {
    /// The option of that name.
    pub fn of(word: &[u8]) -> Option<Clock> {
        let clocks = [("ex", EX), ("px", PX), ("exat", EXAT), ("pxat", PXAT)];
        clocks.into_iter().find_map(|(name, clock)| is(word, name).then_some(clock))
    }

    /// The moment that an argument means.
    pub fn moment_ms(self, ctx: &Ctx<'_>, arg: &[u8]) -> Result<i64, CommandError> {
        let number = int(arg)?;
        if number < 0 {
            return Err(CommandError::err("invalid expire time, must be >= 0"));
        }
        let base_ms = if self.is_relative { ctx.engine.now.unix_ms() } else { 0 };
        let at_ms = number.saturating_mul(self.unit_ms).saturating_add(base_ms);
        // A master whose times reach further is obeyed as far as ours do.
        if at_ms > MAX_EXPIRE_MS && !ctx.call.is_applied() {
            let name = ctx.found.spec.name;
            return Err(CommandError::err(format_args!("invalid expire time in '{name}' command")));
        }
        Ok(at_ms.min(MAX_EXPIRE_MS))
    }
}

/// The names behind `FIELDS numfields`, which stands at `at` and ends the command.
pub(super) fn field_names<'a>(
    args: Args<'a>,
    at: usize,
    not_positive: &str,
) -> Result<impl Iterator<Item = &'a [u8]> + Clone + use<'a>, CommandError> {
    if !args.get(at).is_some_and(|word| is(word, "fields")) {
        return Err(CommandError::err(
            "Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let count = int(args.at(at + 1)).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| CommandError::err(not_positive))?;
    if count as u64 != (args.len() - at - 2) as u64 {
        return Err(CommandError::err(
            "The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(args.iter().skip(at + 2))
}

/// The key may be read as a hash: that is looked at before any argument.
pub(super) fn check_type(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.peek_hash(ctx.view, args.at(1)).map(|_| ())
}

// ---- what a change comes to ----

/// A moment that has passed deletes at once; but a replica or a loading file waits to be told so.
pub(super) fn deletes_at_once(ctx: &Ctx<'_>, at_ms: i64) -> bool {
    at_ms <= ctx.engine.now.unix_ms()
        && ctx.engine.role == Role::Master
        && !ctx.engine.loading
        && !ctx.call.is_applied()
}

/// Sends a command about fields, as `HDEL key` or `HPERSIST key FIELDS n`, to those who follow.
fn propagate_for(ctx: &mut Ctx<'_>, words: &[&[u8]], fields: &[&[u8]], counted: bool) {
    let mut count = itoa::Buffer::new();
    let mut all = words.to_vec();
    if counted {
        all.extend([b"FIELDS", count.format(fields.len()).as_bytes()]);
    }
    all.extend(fields);
    ctx.propagate(&all);
}

/// Signals that these fields are deleted, and with the last one the key.
pub(super) fn fields_deleted(ctx: &mut Ctx<'_>, key: &[u8], deleted: &[&[u8]], empty: bool) {
    if !deleted.is_empty() {
        ctx.removed_elements(key, deleted.len(), empty, Classes::HASH, "hdel");
        propagate_for(ctx, &[b"HDEL", key], deleted, false);
    }
}

/// The same where they go because the moment has passed at which they were to expire.
pub(super) fn fields_expired(ctx: &mut Ctx<'_>, key: &[u8], expired: &[&[u8]], empty: bool) {
    ctx.engine.stats.expired_fields += expired.len() as u64;
    fields_deleted(ctx, key, expired, empty);
}

/// Signals that these fields have this expiry now.
pub(super) fn fields_expire(ctx: &mut Ctx<'_>, key: &[u8], fields: &[&[u8]], at_ms: i64) {
    if fields.is_empty() {
        return;
    }
    ctx.engine.changed(ctx.view, key, Classes::HASH, "hexpire");
    ctx.engine.dirty += fields.len() as u64 - 1;
    let at = itoa::Buffer::new().format(at_ms).to_owned();
    propagate_for(ctx, &[b"HPEXPIREAT", key, at.as_bytes()], fields, true);
}

/// Fields that were set travel, names and values in turn, with the expiries that they have now: HSET takes those
/// away, so they are said once more.
pub(super) fn propagate_fields(ctx: &mut Ctx<'_>, key: &[u8], fields: Args<'_>) {
    if !ctx.engine.propagation.is_on() {
        return;
    }
    let mut words: Vec<&[u8]> = vec![b"HSET", key];
    words.extend(fields.iter());
    ctx.propagate(&words);
    let mut by_moment: BTreeMap<i64, Vec<&[u8]>> = BTreeMap::new();
    let hash = ctx.engine.peek_hash(ctx.view, key).ok().flatten();
    for name in fields.iter().step_by(2) {
        let field = hash.and_then(|hash| hash.find(name));
        if let Some(at_ms) = field.and_then(|field| field.expire_ms) {
            by_moment.entry(at_ms).or_default().push(name);
        }
    }
    for (at_ms, names) in by_moment {
        let at = itoa::Buffer::new().format(at_ms).to_owned();
        propagate_for(ctx, &[b"HPEXPIREAT", key, at.as_bytes()], &names, true);
    }
}

/// Signals that these fields have no expiry any more.
pub(super) fn fields_persist(ctx: &mut Ctx<'_>, key: &[u8], fields: &[&[u8]]) {
    if fields.is_empty() {
        return;
    }
    ctx.engine.changed(ctx.view, key, Classes::HASH, "hpersist");
    ctx.engine.dirty += fields.len() as u64 - 1;
    propagate_for(ctx, &[b"HPERSIST", key], fields, true);
}

// ---- HEXPIRE and its kin ----

fn hexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_expiries(ctx, args, EX)
}

fn hpexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_expiries(ctx, args, PX)
}

fn hexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_expiries(ctx, args, EXAT)
}

fn hpexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_expiries(ctx, args, PXAT)
}

/// When an expiry is to be set. None counts as one in the infinite future.
#[derive(Clone, Copy)]
enum Condition {
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    fn of(word: &[u8]) -> Option<Condition> {
        let named = [
            ("nx", Condition::Nx),
            ("xx", Condition::Xx),
            ("gt", Condition::Gt),
            ("lt", Condition::Lt),
        ];
        named.into_iter().find_map(|(name, condition)| is(word, name).then_some(condition))
    }

    fn holds(self, old_ms: Option<i64>, new_ms: i64) -> bool {
        match self {
            Condition::Nx => old_ms.is_none(),
            Condition::Xx => old_ms.is_some(),
            Condition::Gt => old_ms.is_some_and(|old_ms| new_ms > old_ms),
            Condition::Lt => old_ms.is_none_or(|old_ms| new_ms < old_ms),
        }
    }
}

/// What HEXPIRE and its kin ask for.
struct Wish<'a, F: Iterator<Item = &'a [u8]> + Clone> {
    at_ms: i64,
    condition: Option<Condition>,
    fields: F,
}

fn wish<'a>(
    ctx: &Ctx<'_>,
    args: Args<'a>,
    clock: Clock,
) -> Result<Wish<'a, impl Iterator<Item = &'a [u8]> + Clone + use<'a>>, CommandError> {
    let at_ms = clock.moment_ms(ctx, args.at(2))?;
    let condition = Condition::of(args.at(3));
    let at = if condition.is_some() { 4 } else { 3 };
    let fields = field_names(args, at, "Parameter `numFields` should be greater than 0")?;
    Ok(Wish { at_ms, condition, fields })
}

fn set_expiries(ctx: &mut Ctx<'_>, args: Args<'_>, clock: Clock) -> Result<(), CommandError> {
    let key = args.at(1);
    let wish = wish(ctx, args, clock);
    if wish.is_err() {
        // That the key is of another type is said before what is wrong with the arguments.
        check_type(ctx, args)?;
    }
    let Wish { at_ms, condition, fields } = wish?;
    let deletes = deletes_at_once(ctx, at_ms);
    let out = &mut ctx.client.out;
    let found = ctx.engine.write_hash(ctx.view, key);
    if found.is_ok() {
        out.array(fields.clone().count());
    }
    let Some((mut hash, _)) = found? else {
        fields.for_each(|_| out.int(NO_FIELD));
        return Ok(());
    };
    let mut done = Vec::new();
    for name in fields {
        // Even one whose time is up, as long as it is there: as Redis has it.
        let is_refused = condition.is_some_and(|condition| {
            hash.find(name).is_some_and(|field| !condition.holds(field.expire_ms, at_ms))
        });
        let answer = match is_refused {
            true => NOT_MET,
            false => expire_or_delete(&mut hash, name, at_ms, deletes),
        };
        if matches!(answer, SET | DELETED) {
            done.push(name);
        }
        out.int(answer);
    }
    let empty = hash.is_empty();
    drop(hash);
    match deletes {
        true => fields_expired(ctx, key, &done, empty),
        false => fields_expire(ctx, key, &done, at_ms),
    }
    Ok(())
}

/// Says what became of the field.
pub(super) fn expire_or_delete(
    hash: &mut HashMut<'_>,
    name: &[u8],
    at_ms: i64,
    deletes: bool,
) -> i64 {
    let (is_there, done) = match deletes {
        true => (hash.remove(name), DELETED),
        false => (hash.set_expire_ms(name, Some(at_ms)), SET),
    };
    if is_there { done } else { NO_FIELD }
}

// ---- HTTL and its kin ----

fn httl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    reply_expiries(ctx, args, |at_ms| (at_ms - now_ms).max(0).saturating_add(999) / 1000)
}

fn hpttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    reply_expiries(ctx, args, |at_ms| (at_ms - now_ms).max(0))
}

fn hexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_expiries(ctx, args, |at_ms| at_ms.saturating_add(999) / 1000)
}

fn hpexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_expiries(ctx, args, |at_ms| at_ms)
}

fn reply_expiries(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    shape: impl Fn(i64) -> i64,
) -> Result<(), CommandError> {
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    let hash = ctx.engine.read_hash(ctx.view, args.at(1))?;
    let fields = field_names(args, 2, MUST_BE_POSITIVE)?;
    let out = &mut ctx.client.out;
    out.array(fields.clone().count());
    for name in fields {
        let field = hash.and_then(|hash| hash.find(name));
        out.int(match field.filter(|field| !field.is_due(horizon_ms)) {
            None => NO_FIELD,
            Some(field) => field.expire_ms.map_or(NO_EXPIRY, &shape),
        });
    }
    Ok(())
}

fn hpersist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    check_type(ctx, args)?;
    let fields = field_names(args, 2, MUST_BE_POSITIVE)?;
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    let out = &mut ctx.client.out;
    out.array(fields.clone().count());
    let Some((mut hash, _)) = ctx.engine.write_hash(ctx.view, args.at(1))? else {
        fields.for_each(|_| out.int(NO_FIELD));
        return Ok(());
    };
    let mut done = Vec::new();
    for name in fields {
        let answer = match hash.find(name).filter(|field| !field.is_due(horizon_ms)) {
            None => NO_FIELD,
            Some(field) if field.expire_ms.is_none() => NO_EXPIRY,
            Some(_) => {
                hash.set_expire_ms(name, None);
                done.push(name);
                SET
            }
        };
        out.int(answer);
    }
    drop(hash);
    fields_persist(ctx, args.at(1), &done);
    Ok(())
}
