//! Commands that look at a string before they change or delete it: DELEX, DELIFEQ, DIGEST, MSETEX, and the
//! conditions that SET has of them. They come from Redis 8.4 and Valkey 8 and 9: what they do travels in words
//! that older replicas know.

use protocol::Args;
use store::{SetExpire, ValueRef};
use xxhash_rust::xxh3::xxh3_64;

use super::args::{int_between, is};
use super::strings::{Options, OptionsOf, store_string, string, string_bytes};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{CommandSpec, Flags};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

pub(crate) static ROWS: &[CommandSpec] = &[
    string(
        "digest",
        digest,
        2,
        Flags::READONLY.or(Flags::FAST),
        "8.4.0",
        "Returns the XXH3 hash of a string value.",
    ),
    string(
        "delex",
        delex,
        -2,
        Flags::WRITE.or(Flags::FAST),
        "8.4.0",
        "Conditionally removes the specified key based on value or digest comparison.",
    )
    .keys(&[KeySpec::at(1, Access::TAKES_FROM).judged_by(delex_access)]),
    string(
        "delifeq",
        delifeq,
        3,
        Flags::WRITE.or(Flags::FAST),
        "9.0.0",
        "Delete key if value matches string.",
    )
    .keys(&[KeySpec::at(1, Access::REMOVES)]),
    string(
        "msetex",
        msetex,
        -4,
        Flags::WRITE.or(Flags::DENYOOM),
        "8.4.0",
        "Atomically sets multiple string keys with a shared expiration in a single operation. Supports flexible argument parsing where condition and expiration flags can appear in any order.",
    )
    .keys(&[KeySpec::counted_pairs(1, Access::OVERWRITES)])
    .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
];

/// What must hold of a key's string.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'a> {
    Equals(&'a [u8]),
    Differs(&'a [u8]),
    DigestEquals(u64),
    DigestDiffers(u64),
}

impl<'a> Condition<'a> {
    /// The condition that a word is the name of, with the argument behind it.
    pub fn parse(word: &[u8], arg: &'a [u8]) -> Result<Option<Condition<'a>>, CommandError> {
        Ok(Some(match () {
            () if is(word, "ifeq") => Condition::Equals(arg),
            () if is(word, "ifne") => Condition::Differs(arg),
            () if is(word, "ifdeq") => Condition::DigestEquals(parse_digest(arg)?),
            () if is(word, "ifdne") => Condition::DigestDiffers(parse_digest(arg)?),
            () => return Ok(None),
        }))
    }

    pub fn is_name(word: &[u8]) -> bool {
        ["ifeq", "ifne", "ifdeq", "ifdne"].iter().any(|name| is(word, name))
    }

    /// Whether it holds of a value; where there is none, whatever is to be different is.
    pub fn holds(self, value: Option<ValueRef<'_>>) -> Result<bool, CommandError> {
        let Some(value) = value else {
            return Ok(matches!(self, Condition::Differs(_) | Condition::DigestDiffers(_)));
        };
        let mut digits = itoa::Buffer::new();
        let bytes = string_bytes(value, &mut digits)?;
        Ok(match self {
            Condition::Equals(other) => bytes == other,
            Condition::Differs(other) => bytes != other,
            Condition::DigestEquals(digest) => xxh3_64(bytes) == digest,
            Condition::DigestDiffers(digest) => xxh3_64(bytes) != digest,
        })
    }
}

/// 16 hexadecimal digits, as DIGEST tells them.
fn parse_digest(arg: &[u8]) -> Result<u64, CommandError> {
    let digits = std::str::from_utf8(arg).ok().filter(|digits| {
        digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(CommandError::err("digest must be exactly 16 hexadecimal characters"))
}

fn digest(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(entry) = ctx.engine.read(ctx.view, args.at(1)) else {
        ctx.client.out.null();
        return Ok(());
    };
    let mut digits = itoa::Buffer::new();
    let digest = xxh3_64(string_bytes(entry.value(), &mut digits)?);
    ctx.client.out.bulk(format!("{digest:016x}").as_bytes());
    Ok(())
}

/// DELEX only reads where it has a condition.
fn delex_access(args: Args<'_>) -> Access {
    if args.len() > 2 { Access::POPS } else { Access::REMOVES }
}

fn delex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let condition = match args.len() {
        2 => None,
        4 => Some(Condition::parse(args.at(2), args.at(3))?.ok_or(CommandError::Syntax)?),
        _ => return Err(CommandError::arity("delex")),
    };
    delete_if(ctx, args.at(1), condition)
}

fn delifeq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    delete_if(ctx, args.at(1), Some(Condition::Equals(args.at(2))))
}

fn delete_if(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    condition: Option<Condition<'_>>,
) -> Result<(), CommandError> {
    let value = ctx.engine.peek(ctx.view, key).map(|entry| entry.value());
    let holds = match (value, condition) {
        (None, _) => false,
        (Some(_), None) => true,
        (value, Some(condition)) => condition.holds(value)?,
    };
    if holds {
        let lazy = ctx.engine.settings.lazyfree_lazy_user_del;
        ctx.engine.delete(ctx.view, key, lazy);
        ctx.propagate(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
    }
    ctx.client.out.int(holds.into());
    Ok(())
}

fn msetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let invalid = || CommandError::err("invalid numkeys value or out of range");
    let count = int_between(args.at(1), 1, i32::MAX.into()).map_err(|_| invalid())? as usize;
    let first_option = 2 + 2 * count;
    if first_option > args.len() {
        return Err(CommandError::Syntax);
    }
    let options = Options::parse(args, first_option, OptionsOf::MSetEx)?;
    let expire_at_ms = options.expire_at_ms(ctx)?;
    let keys = (2..first_option).step_by(2);
    let db = ctx.view;
    let mut exists = keys.clone().map(|at| ctx.engine.peek(db, args.at(at)).is_some());
    if options.nx && exists.any(|exists| exists) || options.xx && exists.any(|exists| !exists) {
        ctx.client.out.int(0);
        return Ok(());
    }
    let expire = match expire_at_ms {
        Some(at_ms) => SetExpire::At(at_ms),
        None if options.keep_ttl => SetExpire::Keep,
        None => SetExpire::Clear,
    };
    for at in keys {
        store_string(ctx, args, at, at + 1, expire);
        let (key, value) = (args.at(at), args.at(at + 1));
        match expire {
            SetExpire::At(at_ms) => {
                ctx.engine.notify(db, key, Classes::GENERIC, "expire");
                ctx.propagate(&[b"SET", key, value, b"PXAT", at_ms.to_string().as_bytes()]);
            }
            SetExpire::Keep => ctx.propagate(&[b"SET", key, value, b"KEEPTTL"]),
            SetExpire::Clear => ctx.propagate(&[b"SET", key, value]),
        }
    }
    ctx.client.out.int(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one that Redis's documentation of DIGEST tells.
    #[test]
    fn a_digest_is_that_of_redis() {
        assert_eq!(format!("{:016x}", xxh3_64(b"Hello world")), "b6acb9d84a38ff74");
    }

    #[test]
    fn digests_have_sixteen_digits_of_any_case() {
        assert_eq!(parse_digest(b"00FFab0000000001"), Ok(0x00ff_ab00_0000_0001));
        for bad in ["", "1", "00ffab000000000g", "+0ffab0000000001", "00ffab00000000011"] {
            assert!(parse_digest(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
