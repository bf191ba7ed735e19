//! INCREX of Redis 8.8: an increment within bounds, with an expiry. It travels as SET.

use protocol::number::LongDouble;
use protocol::{Args, Resp};
use store::SetExpire;

use super::args::{int, is};
use super::strings::{expire_option, is_expire_option, string, string_bytes};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{CommandSpec, Flags};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

pub(crate) static ROWS: &[CommandSpec] = &[string(
    "increx",
    increx,
    -2,
    Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    "8.8.0",
    "Increments the numeric value of a key by a number and sets its expiration time. Uses 0 as initial value if the key doesn't exist.",
)
.keys(&[KeySpec::at(1, Access::READS_UPDATES)])];

/// What is counted in: integers, or numbers with a point.
trait Number: Copy + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    const MIN: Self;
    const MAX: Self;
    const IS_INT: bool;
    const EVENT: &'static str;

    fn parse(text: &[u8]) -> Result<Self, CommandError>;
    /// `None` beyond what can be counted.
    fn add(self, other: Self) -> Option<Self>;
    /// As near as can be counted.
    fn subtract(self, other: Self) -> Self;
    fn text(self) -> String;
}

impl Number for i64 {
    const ZERO: i64 = 0;
    const ONE: i64 = 1;
    const MIN: i64 = i64::MIN;
    const MAX: i64 = i64::MAX;
    const IS_INT: bool = true;
    const EVENT: &'static str = "incrby";

    fn parse(text: &[u8]) -> Result<i64, CommandError> {
        int(text)
    }

    fn add(self, other: i64) -> Option<i64> {
        self.checked_add(other)
    }

    fn subtract(self, other: i64) -> i64 {
        self.saturating_sub(other)
    }

    fn text(self) -> String {
        self.to_string()
    }
}

impl Number for LongDouble {
    const ZERO: LongDouble = LongDouble::ZERO;
    const ONE: LongDouble = LongDouble::ONE;
    const MIN: LongDouble = LongDouble::MIN;
    const MAX: LongDouble = LongDouble::MAX;
    const IS_INT: bool = false;
    const EVENT: &'static str = "incrbyfloat";

    fn parse(text: &[u8]) -> Result<LongDouble, CommandError> {
        LongDouble::parse(text).ok_or(CommandError::NotAFloat)
    }

    fn add(self, other: LongDouble) -> Option<LongDouble> {
        self.checked_add(other)
    }

    fn subtract(self, other: LongDouble) -> LongDouble {
        let beyond = if self < other { LongDouble::MIN } else { LongDouble::MAX };
        self.checked_add(-other).unwrap_or(beyond)
    }

    fn text(self) -> String {
        self.to_human()
    }
}

/// The words of a call; the numbers are read once it is known of which kind they are.
#[derive(Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    by_float: bool,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturates: bool,
    expire: Option<(&'a [u8], &'a [u8])>,
    persist: bool,
    only_without_ttl: bool,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options::default();
        let mut at = 2;
        while at < args.len() {
            let word = args.at(at);
            let unit = options.expire.map(|(unit, _)| unit);
            let value = args.get(at + 1).ok_or(CommandError::Syntax);
            at += 1;
            match () {
                () if is(word, "saturate") => options.saturates = true,
                () if is(word, "enx") && !options.persist => options.only_without_ttl = true,
                () if is(word, "persist") && unit.is_none() && !options.only_without_ttl => {
                    options.persist = true;
                }
                () => {
                    let value = value?;
                    at += 1;
                    match () {
                        () if is(word, "byint") && !options.by_float => options.by = Some(value),
                        () if is(word, "byfloat") && (options.by.is_none() || options.by_float) => {
                            (options.by, options.by_float) = (Some(value), true);
                        }
                        () if is(word, "lbound") => options.lower = Some(value),
                        () if is(word, "ubound") => options.upper = Some(value),
                        () if is_expire_option(word)
                            && !options.persist
                            && unit.is_none_or(|unit| unit.eq_ignore_ascii_case(word)) =>
                        {
                            options.expire = Some((word, value));
                        }
                        () => return Err(CommandError::Syntax),
                    }
                }
            }
        }
        if options.only_without_ttl && options.expire.is_none() {
            return Err(CommandError::err("ENX flag requires an expiration"));
        }
        Ok(options)
    }
}

fn increx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let options = Options::parse(args)?;
    match options.by_float {
        true => increment::<LongDouble>(ctx, args.at(1), &options),
        false => increment::<i64>(ctx, args.at(1), &options),
    }
}

fn increment<N: Number>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    options: &Options<'_>,
) -> Result<(), CommandError> {
    let read = |text: Option<&[u8]>, default| text.map_or(Ok(default), N::parse);
    let by = read(options.by, N::ONE)?;
    let (lower, upper) = (read(options.lower, N::MIN)?, read(options.upper, N::MAX)?);
    if lower > upper {
        return Err(CommandError::err("LBOUND can't be greater than UBOUND"));
    }
    let now_ms = ctx.engine.now.unix_ms();
    let expire_at_ms = options
        .expire
        .map(|(unit, value)| expire_option(unit, value, now_ms, "increx"))
        .transpose()?;
    let entry = ctx.engine.peek(ctx.view, key);
    let old = match entry {
        Some(entry) => N::parse(string_bytes(entry.value(), &mut itoa::Buffer::new())?)?,
        None => N::ZERO,
    };
    let old_expire_ms = entry.and_then(|entry| entry.expire_ms());
    let beyond = if by < N::ZERO { lower } else { upper };
    let within = old.add(by).map(|sum| match sum {
        _ if sum < lower => (lower, false),
        _ if sum > upper => (upper, false),
        _ => (sum, true),
    });
    let (new, is_within) = within.unwrap_or((beyond, false));
    if !is_within && !options.saturates {
        reply::<N>(ctx, old, old);
        return Ok(());
    }
    let expire = match expire_at_ms {
        Some(_) if options.only_without_ttl && old_expire_ms.is_some() => SetExpire::Keep,
        Some(at_ms) => SetExpire::At(at_ms),
        None if options.persist => SetExpire::Clear,
        None => SetExpire::Keep,
    };
    let text = new.text();
    let db = ctx.view;
    ctx.engine.put(db, key, text.as_bytes(), expire);
    ctx.engine.changed(db, key, Classes::STRING, N::EVENT);
    match expire {
        SetExpire::At(at_ms) => {
            ctx.engine.notify(db, key, Classes::GENERIC, "expire");
            ctx.propagate(&[b"SET", key, text.as_bytes(), b"PXAT", at_ms.to_string().as_bytes()]);
        }
        SetExpire::Keep => ctx.propagate(&[b"SET", key, text.as_bytes(), b"KEEPTTL"]),
        SetExpire::Clear => {
            if old_expire_ms.is_some() {
                ctx.engine.notify(db, key, Classes::GENERIC, "persist");
            }
            ctx.propagate(&[b"SET", key, text.as_bytes()]);
        }
    }
    reply::<N>(ctx, new, old);
    Ok(())
}

/// The new value, and by how much it is more than the old one.
fn reply<N: Number>(ctx: &mut Ctx<'_>, new: N, old: N) {
    let out = &mut ctx.client.out;
    out.array(2);
    for number in [new, new.subtract(old)] {
        let text = number.text();
        match out.resp {
            _ if N::IS_INT => out.raw(format!(":{text}\r\n").as_bytes()),
            Resp::V2 => out.bulk(text.as_bytes()),
            Resp::V3 => out.raw(format!(",{text}\r\n").as_bytes()),
        }
    }
}
