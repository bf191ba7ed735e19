//! String commands.

use protocol::{Args, ReplyBuf};
use store::{DbSlot, Entry, NewValue, SetExpire, ValueRef};

use super::args::{int, is};
use crate::command::{Acl, CommandSpec, Flags, Keys, row};
use crate::ctx::Ctx;
use crate::error::CommandError;
use crate::notify::Classes;

const READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(crate) static ROWS: &[CommandSpec] = &[
    row("get", get, 2, READ, Keys::ONE, Acl::STRING, "1.0.0", "Returns the string value of a key."),
    row(
        "set",
        set,
        -3,
        WRITE,
        Keys::ONE,
        Acl::STRING,
        "1.0.0",
        "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
    ),
];

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let entry = ctx.engine.read(ctx.client.db, args.at(1));
    reply_string(entry, &mut ctx.client.out)
}

/// A string's value, null for none; a large one is not copied.
pub(crate) fn reply_string(entry: Option<&Entry>, out: &mut ReplyBuf) -> Result<(), CommandError> {
    match entry.map(|entry| entry.value()) {
        None => out.null(),
        Some(ValueRef::Str(bytes)) => out.bulk(bytes),
        Some(ValueRef::Int(n)) => out.bulk_int(n),
        Some(ValueRef::SharedStr(bytes)) => out.bulk_shared(bytes.clone()),
        Some(_) => return Err(CommandError::WrongType),
    }
    Ok(())
}

/// Stores an argument as a key's string value; a large bulk keeps the buffer it came in.
pub(crate) fn store_string(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    key_at: usize,
    value_at: usize,
    expire: SetExpire,
) {
    let (db, key) = (ctx.client.db, args.at(key_at));
    let value = match args.shared(value_at) {
        Some(bytes) => NewValue::Shared(bytes.clone()),
        None => NewValue::Bytes(args.at(value_at)),
    };
    let old = match ctx.engine.slot(db, key) {
        DbSlot::Occupied(mut entry) => entry.set(value, expire),
        DbSlot::Vacant(vacant) => {
            let at_ms = match expire {
                SetExpire::At(at_ms) => Some(at_ms),
                SetExpire::Clear | SetExpire::Keep => None,
            };
            vacant.insert(value, at_ms);
            None
        }
    };
    if let Some(old) = old {
        ctx.engine.drop_value(old);
    }
    ctx.engine.changed(db, key, Classes::STRING, "set");
}

/// EX, PX, EXAT, PXAT with its argument, as unix milliseconds.
pub(crate) fn expire_option(
    option: &[u8],
    value: &[u8],
    now_ms: i64,
    command: &str,
) -> Result<i64, CommandError> {
    let invalid = || CommandError::err(format_args!("invalid expire time in '{command}' command"));
    let n = int(value)?;
    let in_seconds = is(option, "ex") || is(option, "exat");
    let absolute = is(option, "exat") || is(option, "pxat");
    if n <= 0 {
        return Err(invalid());
    }
    let ms = if in_seconds { n.checked_mul(1000).ok_or_else(invalid)? } else { n };
    if absolute { Ok(ms) } else { ms.checked_add(now_ms).ok_or_else(invalid) }
}

pub(crate) fn is_expire_option(option: &[u8]) -> bool {
    is(option, "ex") || is(option, "px") || is(option, "exat") || is(option, "pxat")
}

#[derive(Default)]
struct SetOptions {
    nx: bool,
    xx: bool,
    get: bool,
    keep_ttl: bool,
    expire_at_ms: Option<i64>,
    /// The expiry was said as PXAT already.
    is_pxat: bool,
}

fn set_options(ctx: &Ctx<'_>, args: Args<'_>) -> Result<SetOptions, CommandError> {
    let mut options = SetOptions::default();
    let mut at = 3;
    while at < args.len() {
        let option = args.at(at);
        if is(option, "nx") && !options.xx {
            options.nx = true;
        } else if is(option, "xx") && !options.nx {
            options.xx = true;
        } else if is(option, "get") {
            options.get = true;
        } else if is(option, "keepttl") && options.expire_at_ms.is_none() {
            options.keep_ttl = true;
        } else if is_expire_option(option)
            && !options.keep_ttl
            && options.expire_at_ms.is_none()
            && at + 1 < args.len()
        {
            let now_ms = ctx.engine.now.unix_ms();
            options.is_pxat = is(option, "pxat");
            options.expire_at_ms = Some(expire_option(option, args.at(at + 1), now_ms, "set")?);
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.client.db, args.at(1));
    let options = if args.len() > 3 { set_options(ctx, args)? } else { SetOptions::default() };
    if options.nx || options.xx || options.get {
        let entry = match options.get {
            true => ctx.engine.read(db, key),
            false => ctx.engine.peek(db, key),
        };
        let exists = entry.is_some();
        if options.get {
            reply_string(entry, &mut ctx.client.out)?;
        }
        if options.nx && exists || options.xx && !exists {
            if !options.get {
                ctx.client.out.null();
            }
            return Ok(());
        }
    }
    let expire = match options.expire_at_ms {
        Some(at_ms) => SetExpire::At(at_ms),
        None if options.keep_ttl => SetExpire::Keep,
        None => SetExpire::Clear,
    };
    store_string(ctx, args, 1, 2, expire);
    if let Some(at_ms) = options.expire_at_ms {
        ctx.engine.notify(db, key, Classes::GENERIC, "expire");
        if !options.is_pxat || options.get {
            let at = at_ms.to_string();
            ctx.propagate(&[b"SET", key, args.at(2), b"PXAT", at.as_bytes()]);
        }
    } else if options.get {
        let words: Vec<&[u8]> = args.iter().filter(|arg| !is(arg, "get")).collect();
        ctx.propagate(&words);
    }
    if !options.get {
        ctx.client.out.ok();
    }
    Ok(())
}
