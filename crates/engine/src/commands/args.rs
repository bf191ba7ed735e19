//! How handlers read their arguments: numbers, timeouts, options. Owns the errors for bad ones.

use protocol::number::LongDouble;
use protocol::{parse_f64, parse_i64};

use crate::error::CommandError;

pub(crate) fn int(arg: &[u8]) -> Result<i64, CommandError> {
    parse_i64(arg).ok_or(CommandError::NotAnInteger)
}

pub(crate) fn float(arg: &[u8]) -> Result<f64, CommandError> {
    parse_f64(arg).ok_or(CommandError::NotAFloat)
}

/// A count that must not be negative, with the error's usual text.
pub(crate) fn positive(arg: &[u8]) -> Result<usize, CommandError> {
    match parse_i64(arg) {
        Some(n) if n >= 0 => Ok(n as usize),
        _ => Err(CommandError::MustBePositive),
    }
}

/// Seconds with a fraction, as microseconds; 0 is for ever.
pub(crate) fn timeout_seconds(arg: &[u8]) -> Result<u64, CommandError> {
    let seconds = parse_f64(arg).ok_or(CommandError::TimeoutNotFloat)?;
    if seconds < 0.0 {
        return Err(CommandError::TimeoutNegative);
    }
    // What Redis can hold: milliseconds in 63 bits.
    if !seconds.is_finite() || seconds > i64::MAX as f64 / 1000.0 / 1000.0 {
        return Err(CommandError::TimeoutOutOfRange);
    }
    Ok((seconds * 1_000_000.0).ceil() as u64)
}

pub(crate) fn timeout_ms(arg: &[u8]) -> Result<u64, CommandError> {
    let ms = parse_i64(arg).ok_or(CommandError::TimeoutNotInteger)?;
    if ms < 0 {
        return Err(CommandError::TimeoutNegative);
    }
    (ms as u64).checked_mul(1000).ok_or(CommandError::TimeoutOutOfRange)
}

/// Whether an option's word is `name`, in any case.
pub(crate) fn is(arg: &[u8], name: &str) -> bool {
    arg.eq_ignore_ascii_case(name.as_bytes())
}

/// An argument as it may stand in an error's text or a log line.
pub(crate) fn text(arg: &[u8]) -> String {
    String::from_utf8_lossy(arg).into_owned()
}

/// The sum of two decimal texts, as INCRBYFLOAT and HINCRBYFLOAT compute and print it.
/// `bad_old` is the error for an old value that is no number.
pub(crate) fn add_float(
    old: &[u8],
    by: &[u8],
    bad_old: CommandError,
) -> Result<String, CommandError> {
    let by = LongDouble::parse(by).ok_or(CommandError::NotAFloat)?;
    let old = LongDouble::parse(old).ok_or(bad_old)?;
    let sum = old.checked_add(by).ok_or(CommandError::NanOrInfinity)?;
    if sum.is_finite() { Ok(sum.to_human()) } else { Err(CommandError::NanOrInfinity) }
}

/// The count of SRANDMEMBER and its kin: negative allows repetitions. Bounded, so that what is
/// answered can be counted.
pub(crate) fn random_count(arg: &[u8], pairs: bool) -> Result<i64, CommandError> {
    let count = int(arg)?;
    let max = if pairs { i64::MAX / 2 } else { i64::MAX };
    if count < -max || count > max {
        return Err(CommandError::OutOfRange);
    }
    Ok(count)
}
