//! EXPIRE, TTL and their kin.

use protocol::Args;

use super::args::{int, is};
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::engine::Role;
use crate::error::CommandError;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::FAST);

pub(crate) static ROWS: &[CommandSpec] = &[
    key("expire", expire, -3, WRITE, "1.0.0", "Sets the expiration time of a key in seconds."),
    key(
        "pexpire",
        pexpire,
        -3,
        WRITE,
        "2.6.0",
        "Sets the expiration time of a key in milliseconds.",
    ),
    key(
        "expireat",
        expireat,
        -3,
        WRITE,
        "1.2.0",
        "Sets the expiration time of a key to a Unix timestamp.",
    ),
    key(
        "pexpireat",
        pexpireat,
        -3,
        WRITE,
        "2.6.0",
        "Sets the expiration time of a key to a Unix milliseconds timestamp.",
    ),
    key("ttl", ttl, 2, READ, "1.0.0", "Returns the expiration time in seconds of a key.")
        .tips(&["nondeterministic_output"]),
    key("pttl", pttl, 2, READ, "2.6.0", "Returns the expiration time in milliseconds of a key.")
        .tips(&["nondeterministic_output"]),
    key(
        "expiretime",
        expiretime,
        2,
        READ,
        "7.0.0",
        "Returns the expiration time of a key as a Unix timestamp.",
    ),
    key(
        "pexpiretime",
        pexpiretime,
        2,
        READ,
        "7.0.0",
        "Returns the expiration time of a key as a Unix milliseconds timestamp.",
    ),
    key("persist", persist, 2, WRITE, "2.2.0", "Removes the expiration time of a key."),
];

const fn key(
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
        Acl::KEYSPACE,
        since,
        summary,
    )
}

fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    set_expiry(ctx, args, 1000, now_ms)
}

fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    set_expiry(ctx, args, 1, now_ms)
}

fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_expiry(ctx, args, 1000, 0)
}

fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_expiry(ctx, args, 1, 0)
}

/// NX, XX, GT, LT: when the expiry is to be set.
#[derive(Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse(args: Args<'_>) -> Result<Condition, CommandError> {
        let mut condition = Condition::default();
        for option in args.iter().skip(3) {
            let flag = match option {
                _ if is(option, "nx") => &mut condition.nx,
                _ if is(option, "xx") => &mut condition.xx,
                _ if is(option, "gt") => &mut condition.gt,
                _ if is(option, "lt") => &mut condition.lt,
                _ => {
                    let option = super::args::text(option);
                    return Err(CommandError::err(format_args!("Unsupported option {option}")));
                }
            };
            *flag = true;
        }
        let Condition { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            return Err(CommandError::err(
                "NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if gt && lt {
            return Err(CommandError::err("GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// No expiry counts as one in the infinite future.
    fn holds(&self, old_ms: Option<i64>, new_ms: i64) -> bool {
        !(self.nx && old_ms.is_some()
            || self.xx && old_ms.is_none()
            || self.gt && old_ms.is_none_or(|old_ms| new_ms <= old_ms)
            || self.lt && old_ms.is_some_and(|old_ms| new_ms >= old_ms))
    }
}

fn set_expiry(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    unit_ms: i64,
    base_ms: i64,
) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let invalid = || {
        let name = ctx.found.spec.name;
        CommandError::err(format_args!("invalid expire time in '{name}' command"))
    };
    let condition = Condition::parse(args)?;
    let at_ms = int(args.at(2))?
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or_else(invalid)?;
    let holds = match ctx.engine.peek(db, key) {
        Some(entry) => condition.holds(entry.expire_ms(), at_ms),
        None => false,
    };
    if !holds {
        ctx.client.out.int(0);
        return Ok(());
    }
    ctx.client.out.int(1);
    // A time in the past deletes at once; but a replica or a loading file waits to be told so.
    let past = at_ms <= ctx.engine.now.unix_ms();
    if past && ctx.engine.role == Role::Master && !ctx.engine.loading && !ctx.call.is_applied() {
        let lazy = ctx.engine.settings.lazyfree_lazy_expire;
        ctx.engine.delete(db, key, lazy);
        ctx.propagate(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
        return Ok(());
    }
    if let Some(mut entry) = ctx.engine.write(db, key) {
        entry.set_expire_ms(Some(at_ms));
    }
    ctx.engine.changed(db, key, Classes::GENERIC, "expire");
    // What is absolute already stands as it was said, and so do conditions.
    if unit_ms != 1 || base_ms != 0 {
        let at = at_ms.to_string();
        let mut words: Vec<&[u8]> = args.iter().collect();
        (words[0], words[2]) = (b"PEXPIREAT", at.as_bytes());
        ctx.propagate(&words);
    }
    Ok(())
}

/// Answers -2 for no key, -1 for no expiry, else what `shape` makes of it.
fn reply_expiry(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    shape: impl Fn(i64, i64) -> i64,
) -> Result<(), CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    let answer = match ctx.engine.ask(ctx.view, args.at(1)) {
        None => -2,
        Some(entry) => entry.expire_ms().map_or(-1, |at_ms| shape(at_ms, now_ms)),
    };
    ctx.client.out.int(answer);
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_expiry(ctx, args, |at_ms, now_ms| {
        at_ms.saturating_sub(now_ms).max(0).saturating_add(500) / 1000
    })
}

fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_expiry(ctx, args, |at_ms, now_ms| at_ms.saturating_sub(now_ms).max(0))
}

fn expiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_expiry(ctx, args, |at_ms, _| at_ms.saturating_add(500) / 1000)
}

fn pexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_expiry(ctx, args, |at_ms, _| at_ms)
}

fn persist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let had = match ctx.engine.write(db, key) {
        Some(mut entry) => entry.set_expire_ms(None).is_some(),
        None => false,
    };
    if had {
        ctx.engine.changed(db, key, Classes::GENERIC, "persist");
    }
    ctx.client.out.int(had.into());
    Ok(())
}
