//! String commands.

use protocol::number::LongDouble;
use protocol::{Args, ReplyBuf};
use store::{DbSlot, Entry, NewValue, SetExpire, Type, ValueRef};

use super::args::{add_float, int, is};
use super::conditional::Condition;
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(crate) static ROWS: &[CommandSpec] = &[
    string("get", get, 2, READ, "1.0.0", "Returns the string value of a key."),
    string(
        "set",
        set,
        -3,
        WRITE,
        "1.0.0",
        "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES).noted("RW and ACCESS due to the optional `GET` argument").judged_by(set_access)]),
    string(
        "setnx",
        setnx,
        3,
        WRITE.or(Flags::FAST),
        "1.0.0",
        "Set the string value of a key only when the key doesn't exist.",
    ).deprecated("2.6.12", "`SET` with the `NX` argument").keys(&[KeySpec::at(1, Access::CREATES)]),
    string(
        "setex",
        setex,
        4,
        WRITE,
        "2.0.0",
        "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
    ).deprecated("2.6.12", "`SET` with the `EX` argument").keys(&[KeySpec::at(1, Access::OVERWRITES)]),
    string(
        "psetex",
        psetex,
        4,
        WRITE,
        "2.6.0",
        "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
    ).deprecated("2.6.12", "`SET` with the `PX` argument").keys(&[KeySpec::at(1, Access::OVERWRITES)]),
    string(
        "getset",
        getset,
        3,
        WRITE.or(Flags::FAST),
        "1.0.0",
        "Returns the previous string value of a key after setting it to a new value.",
    ).deprecated("6.2.0", "`SET` with the `!GET` argument").keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    string(
        "getdel",
        getdel,
        2,
        Flags::WRITE.or(Flags::FAST),
        "6.2.0",
        "Returns the string value of a key after deleting the key.",
    ).keys(&[KeySpec::at(1, Access::POPS)]),
    string(
        "getex",
        getex,
        -2,
        Flags::WRITE.or(Flags::FAST),
        "6.2.0",
        "Returns the string value of a key after setting its expiration time.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES).noted("RW and UPDATE because it changes the TTL")]),
    string("strlen", strlen, 2, READ, "2.2.0", "Returns the length of a string value.").keys(&[KeySpec::at(1, Access::RO)]),
    string(
        "append",
        append,
        3,
        WRITE.or(Flags::FAST),
        "2.0.0",
        "Appends a string to the value of a key. Creates the key if it doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::ADDS)]),
    string(
        "getrange",
        getrange,
        4,
        Flags::READONLY,
        "2.4.0",
        "Returns a substring of the string stored at a key.",
    ),
    string(
        "substr",
        getrange,
        4,
        Flags::READONLY,
        "1.0.0",
        "Returns a substring from a string value.",
    ).deprecated("2.0.0", "`GETRANGE`"),
    string(
        "setrange",
        setrange,
        4,
        WRITE,
        "2.2.0",
        "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
    ),
    string(
        "incr",
        incr,
        2,
        WRITE.or(Flags::FAST),
        "1.0.0",
        "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    string(
        "decr",
        decr,
        2,
        WRITE.or(Flags::FAST),
        "1.0.0",
        "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    string(
        "incrby",
        incrby,
        3,
        WRITE.or(Flags::FAST),
        "1.0.0",
        "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    string(
        "decrby",
        decrby,
        3,
        WRITE.or(Flags::FAST),
        "1.0.0",
        "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    string(
        "incrbyfloat",
        incrbyfloat,
        3,
        WRITE.or(Flags::FAST),
        "2.6.0",
        "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
    ).keys(&[KeySpec::at(1, Access::READS_UPDATES)]),
    row(
        "mget",
        mget,
        -2,
        READ,
        &[KeySpec::range(1, -1, 1, Access::READS)],
        Acl::STRING,
        "1.0.0",
        "Atomically returns the string values of one or more keys.",
    ).tips(&["request_policy:multi_shard"]),
    row(
        "mset",
        mset,
        -3,
        WRITE,
        &[KeySpec::range(1, -1, 2, Access::OVERWRITES)],
        Acl::STRING,
        "1.0.1",
        "Atomically creates or modifies the string values of one or more keys.",
    ).tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    row(
        "msetnx",
        msetnx,
        -3,
        WRITE,
        &[KeySpec::range(1, -1, 2, Access::CREATES)],
        Acl::STRING,
        "1.0.1",
        "Atomically modifies the string values of one or more keys only when all keys don't exist.",
    ).tips(&["request_policy:multi_shard", "response_policy:agg_min"]),
];

pub(super) const fn string(
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
        Acl::STRING,
        since,
        summary,
    )
}

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let entry = ctx.engine.read(ctx.view, args.at(1));
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
    let (db, key) = (ctx.view, args.at(key_at));
    let value = match args.shared(value_at) {
        Some(bytes) => NewValue::Shared(bytes.clone()),
        None => NewValue::Bytes(args.at(value_at)),
    };
    ctx.engine.put(db, key, value, expire);
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

/// Whose options are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionsOf {
    Set,
    GetEx,
    MSetEx,
}

#[derive(Default)]
pub(super) struct Options<'a> {
    pub nx: bool,
    pub xx: bool,
    condition: Option<Condition<'a>>,
    get: bool,
    pub keep_ttl: bool,
    persist: bool,
    /// The unit and its value, not yet judged.
    expire: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Options<'a> {
    /// Reads the options of SET and its kin. All of them, before what an expiry says matters.
    pub fn parse(args: Args<'a>, first: usize, of: OptionsOf) -> Result<Options<'a>, CommandError> {
        let mut options = Options::default();
        let (sets, is_set) = (of != OptionsOf::GetEx, of == OptionsOf::Set);
        let mut at = first;
        while at < args.len() {
            let option = args.at(at);
            let is_last = at + 1 == args.len();
            // The same may be said again, and the last counts; another contradicts.
            let unit = options.expire.map(|(unit, _)| unit);
            let no_ttl = unit.is_none() && !options.keep_ttl && !options.persist;
            let no_condition = options.condition.is_none();
            if is(option, "nx") && !options.xx && no_condition && sets {
                options.nx = true;
            } else if is(option, "xx") && !options.nx && no_condition && sets {
                options.xx = true;
            } else if is(option, "get") && is_set {
                options.get = true;
            } else if is(option, "keepttl") && (no_ttl || options.keep_ttl) && sets {
                options.keep_ttl = true;
            } else if is(option, "persist") && (no_ttl || options.persist) && !sets {
                options.persist = true;
            } else if is_expire_option(option)
                && (no_ttl || unit.is_some_and(|unit| unit.eq_ignore_ascii_case(option)))
                && !is_last
            {
                options.expire = Some((option, args.at(at + 1)));
                at += 1;
            } else if is_set && !is_last && no_condition && !options.nx && !options.xx {
                let condition = Condition::parse(option, args.at(at + 1))?;
                options.condition = Some(condition.ok_or(CommandError::Syntax)?);
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The expiry in unix milliseconds, if one is asked for.
    pub fn expire_at_ms(&self, ctx: &Ctx<'_>) -> Result<Option<i64>, CommandError> {
        let now_ms = ctx.engine.now.unix_ms();
        let name = ctx.found.spec.name;
        self.expire.map(|(unit, value)| expire_option(unit, value, now_ms, name)).transpose()
    }
}

/// SET only reads where it has GET or looks at the old value.
fn set_access(args: Args<'_>) -> Access {
    let reads = args.iter().skip(3).any(|arg| is(arg, "get") || Condition::is_name(arg));
    if reads { Access::READS_UPDATES } else { Access::OVERWRITES }
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 3 {
        return set_with_options(ctx, args);
    }
    store_string(ctx, args, 1, 2, SetExpire::Clear);
    ctx.client.out.ok();
    Ok(())
}

fn set_with_options(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let options = Options::parse(args, 3, OptionsOf::Set)?;
    let expire_at_ms = options.expire_at_ms(ctx)?;
    if options.nx || options.xx || options.get || options.condition.is_some() {
        let entry = match options.get {
            true => ctx.engine.read(db, key),
            false => ctx.engine.peek(db, key),
        };
        let exists = entry.is_some();
        if options.get {
            reply_string(entry, &mut ctx.client.out)?;
        }
        let value = entry.map(|entry| entry.value());
        let holds = options.condition.map_or(Ok(true), |condition| condition.holds(value))?;
        if options.nx && exists || options.xx && !exists || !holds {
            if !options.get {
                ctx.client.out.null();
            }
            return Ok(());
        }
    }
    let expire = match expire_at_ms {
        Some(at_ms) => SetExpire::At(at_ms),
        None if options.keep_ttl => SetExpire::Keep,
        None => SetExpire::Clear,
    };
    store_string(ctx, args, 1, 2, expire);
    if let Some(at_ms) = expire_at_ms {
        ctx.engine.notify(db, key, Classes::GENERIC, "expire");
        // What is absolute already stands as it was said; a condition that holds replicas need not know.
        let is_absolute = options.expire.is_some_and(|(unit, _)| is(unit, "pxat"));
        if !is_absolute || options.condition.is_some() {
            let at = at_ms.to_string();
            ctx.propagate(&[b"SET", key, args.at(2), b"PXAT", at.as_bytes()]);
        }
    } else if options.condition.is_some() {
        // It holds, and replicas need not know it.
        let words: [&[u8]; 4] = [b"SET", key, args.at(2), b"KEEPTTL"];
        ctx.propagate(if options.keep_ttl { &words } else { &words[..3] });
    } else if options.get {
        let words: Vec<&[u8]> = args.iter().filter(|arg| !is(arg, "get")).collect();
        ctx.propagate(&words);
    }
    if !options.get {
        ctx.client.out.ok();
    }
    Ok(())
}

fn setnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if ctx.engine.peek(ctx.view, args.at(1)).is_some() {
        ctx.client.out.int(0);
        return Ok(());
    }
    store_string(ctx, args, 1, 2, SetExpire::Clear);
    ctx.client.out.int(1);
    Ok(())
}

fn setex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_with_ttl(ctx, args, b"ex")
}

fn psetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    set_with_ttl(ctx, args, b"px")
}

fn set_with_ttl(ctx: &mut Ctx<'_>, args: Args<'_>, unit: &[u8]) -> Result<(), CommandError> {
    let now_ms = ctx.engine.now.unix_ms();
    let at_ms = expire_option(unit, args.at(2), now_ms, ctx.found.spec.name)?;
    store_string(ctx, args, 1, 3, SetExpire::At(at_ms));
    ctx.engine.notify(ctx.view, args.at(1), Classes::GENERIC, "expire");
    let at = at_ms.to_string();
    ctx.propagate(&[b"SET", args.at(1), args.at(3), b"PXAT", at.as_bytes()]);
    ctx.client.out.ok();
    Ok(())
}

fn getset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_string(ctx.engine.read(ctx.view, args.at(1)), &mut ctx.client.out)?;
    store_string(ctx, args, 1, 2, SetExpire::Clear);
    ctx.propagate(&[b"SET", args.at(1), args.at(2)]);
    Ok(())
}

fn getdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let entry = ctx.engine.read(db, key);
    let exists = entry.is_some();
    reply_string(entry, &mut ctx.client.out)?;
    if exists {
        let lazy = ctx.engine.settings.lazyfree_lazy_user_del;
        ctx.engine.delete(db, key, lazy);
        ctx.propagate(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
    }
    Ok(())
}

fn getex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let now_ms = ctx.engine.now.unix_ms();
    let options = Options::parse(args, 2, OptionsOf::GetEx)?;
    // What the expiry says matters only for a string that is there.
    let expire_at_ms = options.expire_at_ms(ctx);
    let Some(entry) = ctx.engine.read(db, key) else {
        ctx.client.out.null();
        return Ok(());
    };
    if entry.value_type() != Type::String {
        return Err(CommandError::WrongType);
    }
    let expire = match expire_at_ms? {
        Some(at_ms) => SetExpire::At(at_ms),
        None if options.persist => SetExpire::Clear,
        None => SetExpire::Keep,
    };
    reply_string(Some(entry), &mut ctx.client.out)?;
    match expire {
        SetExpire::Keep => {}
        SetExpire::At(at_ms) if at_ms <= now_ms => {
            let lazy = ctx.engine.settings.lazyfree_lazy_expire;
            ctx.engine.delete(db, key, lazy);
            ctx.propagate(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
        }
        SetExpire::At(at_ms) => {
            ctx.engine.keyspace.db_mut(db.index()).set_expire(key, Some(at_ms));
            ctx.engine.changed(db, key, Classes::GENERIC, "expire");
            ctx.propagate(&[b"PEXPIREAT", key, at_ms.to_string().as_bytes()]);
        }
        SetExpire::Clear => {
            if ctx.engine.keyspace.db_mut(db.index()).set_expire(key, None) == Some(true) {
                ctx.engine.changed(db, key, Classes::GENERIC, "persist");
                ctx.propagate(&[b"PERSIST", key]);
            }
        }
    }
    Ok(())
}

/// The length of a string in bytes; an integer's is that of its text.
pub(crate) fn string_len(value: ValueRef<'_>) -> Result<usize, CommandError> {
    match value {
        ValueRef::Str(bytes) => Ok(bytes.len()),
        ValueRef::SharedStr(bytes) => Ok(bytes.len()),
        ValueRef::Int(n) => Ok(itoa::Buffer::new().format(n).len()),
        _ => Err(CommandError::WrongType),
    }
}

/// A string's bytes for the length of a call; an integer's are written to `buf`.
pub(crate) fn string_bytes<'a>(
    value: ValueRef<'a>,
    buf: &'a mut itoa::Buffer,
) -> Result<&'a [u8], CommandError> {
    match value {
        ValueRef::Str(bytes) => Ok(bytes),
        ValueRef::SharedStr(bytes) => Ok(bytes),
        ValueRef::Int(n) => Ok(buf.format(n).as_bytes()),
        _ => Err(CommandError::WrongType),
    }
}

fn strlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let len = match ctx.engine.read(ctx.view, args.at(1)) {
        Some(entry) => string_len(entry.value())?,
        None => 0,
    };
    ctx.client.out.int(len as i64);
    Ok(())
}

fn check_len(ctx: &Ctx<'_>, len: usize) -> Result<(), CommandError> {
    if len as u64 > ctx.engine.settings.proto_max_bulk_len && !ctx.client.is_internal() {
        return Err(CommandError::StringTooLong);
    }
    Ok(())
}

fn append(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key, tail) = (ctx.view, args.at(1), args.at(2));
    let len = match ctx.engine.peek(db, key) {
        Some(entry) => string_len(entry.value())?,
        None => 0,
    };
    check_len(ctx, len.saturating_add(tail.len()))?;
    let len = match ctx.engine.slot(db, key) {
        DbSlot::Occupied(mut entry) => entry.append(tail),
        DbSlot::Vacant(vacant) => {
            vacant.insert(tail, None);
            tail.len()
        }
    };
    ctx.engine.changed(db, key, Classes::STRING, "append");
    ctx.client.out.int(len as i64);
    Ok(())
}

fn getrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (start, end) = (int(args.at(2))?, int(args.at(3))?);
    let mut buf = itoa::Buffer::new();
    let bytes = match ctx.engine.read(ctx.view, args.at(1)) {
        Some(entry) => string_bytes(entry.value(), &mut buf)?,
        None => b"",
    };
    let len = bytes.len() as i64;
    if start < 0 && end < 0 && start > end {
        ctx.client.out.bulk(b"");
        return Ok(());
    }
    let from = if start < 0 { (len + start).max(0) } else { start };
    let to = if end < 0 { (len + end).max(0) } else { end }.min(len - 1);
    let part = if from > to { b"".as_slice() } else { &bytes[from as usize..=to as usize] };
    ctx.client.out.bulk(part);
    Ok(())
}

fn setrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key, patch) = (ctx.view, args.at(1), args.at(3));
    let offset = int(args.at(2))?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let len = match ctx.engine.peek(db, key) {
        Some(entry) => string_len(entry.value())?,
        None => 0,
    };
    if patch.is_empty() {
        ctx.client.out.int(len as i64);
        return Ok(());
    }
    let end = offset.checked_add(patch.len()).ok_or(CommandError::StringTooLong)?;
    check_len(ctx, end)?;
    let mut entry = match ctx.engine.slot(db, key) {
        DbSlot::Occupied(entry) => entry,
        DbSlot::Vacant(vacant) => vacant.insert(b"", None),
    };
    let text = entry.text_mut(end);
    text[offset..end].copy_from_slice(patch);
    let len = text.len();
    ctx.engine.changed(db, key, Classes::STRING, "setrange");
    ctx.client.out.int(len as i64);
    Ok(())
}

fn incr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    add(ctx, args, 1)
}

fn decr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    add(ctx, args, -1)
}

fn incrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let by = int(args.at(2))?;
    add(ctx, args, by)
}

fn decrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let by = int(args.at(2))?
        .checked_neg()
        .ok_or_else(|| CommandError::err("decrement would overflow"))?;
    add(ctx, args, by)
}

fn add(ctx: &mut Ctx<'_>, args: Args<'_>, by: i64) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let sum = match ctx.engine.slot(db, key) {
        DbSlot::Occupied(mut entry) => {
            let old = match entry.value() {
                ValueRef::Int(n) => n,
                ValueRef::Str(bytes) => int(bytes)?,
                ValueRef::SharedStr(bytes) => int(bytes)?,
                _ => return Err(CommandError::WrongType),
            };
            let sum = old.checked_add(by).ok_or(CommandError::Overflow)?;
            entry.set(sum, SetExpire::Keep);
            sum
        }
        DbSlot::Vacant(vacant) => {
            vacant.insert(by, None);
            by
        }
    };
    ctx.engine.changed(db, key, Classes::STRING, "incrby");
    ctx.client.out.int(sum);
    Ok(())
}

fn incrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let mut buf = itoa::Buffer::new();
    let old = match ctx.engine.peek(db, key) {
        Some(entry) => string_bytes(entry.value(), &mut buf)?,
        None => b"0",
    };
    let by = LongDouble::parse(args.at(2)).ok_or(CommandError::NotAFloat)?;
    let sum = add_float(old, by, CommandError::NotAFloat)?;
    ctx.engine.put(db, key, NewValue::Text(sum.as_bytes()), SetExpire::Keep);
    ctx.engine.changed(db, key, Classes::STRING, "incrbyfloat");
    // As the result, so that replicas need not compute it with the same precision.
    ctx.propagate(&[b"SET", key, sum.as_bytes(), b"KEEPTTL"]);
    ctx.client.out.bulk(sum.as_bytes());
    Ok(())
}

fn mget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.array(args.len() - 1);
    for key in args.iter().skip(1) {
        let entry = ctx.engine.read(ctx.view, key);
        if reply_string(entry, &mut ctx.client.out).is_err() {
            ctx.client.out.null();
        }
    }
    Ok(())
}

fn mset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::arity("mset"));
    }
    for at in (1..args.len()).step_by(2) {
        store_string(ctx, args, at, at + 1, SetExpire::Clear);
    }
    ctx.client.out.ok();
    Ok(())
}

fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::arity("msetnx"));
    }
    let db = ctx.view;
    if (1..args.len()).step_by(2).any(|at| ctx.engine.peek(db, args.at(at)).is_some()) {
        ctx.client.out.int(0);
        return Ok(());
    }
    for at in (1..args.len()).step_by(2) {
        store_string(ctx, args, at, at + 1, SetExpire::Clear);
    }
    ctx.client.out.int(1);
    Ok(())
}
