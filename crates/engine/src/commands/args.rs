//! How handlers read their arguments: numbers, timeouts, options. Owns the errors for bad ones.

use protocol::number::LongDouble;
use protocol::{Args, ReplyBuf, parse_f64, parse_i64};

use crate::error::{CommandError, c_string};

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

/// An integer that must lie in a range, with the error's usual text.
pub(crate) fn int_between(arg: &[u8], min: i64, max: i64) -> Result<i64, CommandError> {
    match int(arg)? {
        n if (min..=max).contains(&n) => Ok(n),
        _ => Err(CommandError::err(format_args!(
            "value is out of range, value must between {min} and {max}"
        ))),
    }
}

/// One of so many databases.
pub(crate) fn db_index(arg: &[u8], databases: usize) -> Result<usize, CommandError> {
    let index = int_between(arg, i32::MIN.into(), i32::MAX.into())?;
    match usize::try_from(index) {
        Ok(index) if index < databases => Ok(index),
        _ => Err(CommandError::DbIndexOutOfRange),
    }
}

/// A double as C's strtod reads a whole text, where Redis asks no more than that: nothing is zero,
/// leading blanks do not matter, and beyond a double's range lie infinity and zero. Not NaN.
pub(crate) fn c_float(arg: &[u8]) -> Option<f64> {
    let end = arg.iter().position(|byte| *byte == 0).unwrap_or(arg.len());
    let arg = &arg[..end];
    if arg.is_empty() {
        return Some(0.0);
    }
    let blanks = arg.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let text = &arg[blanks..];
    let beyond_range = || {
        let is_decimal = text.iter().any(u8::is_ascii_digit);
        std::str::from_utf8(text).ok().filter(|_| is_decimal)?.parse().ok()
    };
    parse_f64(text).or_else(beyond_range)
}

/// Whether every server reads this number alike that reads it at all: hexadecimal ones and blanks before them
/// are read by some.
pub(crate) fn is_read_everywhere(number: &[u8]) -> bool {
    !number.iter().any(|byte| matches!(byte, b'x' | b'X' | b' ' | b'\t'..=b'\r'))
}

/// Seconds with a fraction, as microseconds; 0 is for ever.
pub(crate) fn timeout_seconds(arg: &[u8]) -> Result<u64, CommandError> {
    let seconds = match parse_f64(arg) {
        Some(seconds) => seconds,
        // More than a double holds, but a number still.
        None if LongDouble::parse(arg).is_some() => c_float(arg).unwrap_or(f64::INFINITY),
        None => return Err(CommandError::TimeoutNotFloat),
    };
    // What Redis can hold: milliseconds in 63 bits. It counts in whole ones, rounded up.
    if seconds * 1000.0 > i64::MAX as f64 {
        return Err(CommandError::TimeoutOutOfRange);
    }
    if (seconds * 1000.0).ceil() < 0.0 {
        return Err(CommandError::TimeoutNegative);
    }
    Ok((seconds.max(0.0) * 1_000_000.0).ceil() as u64)
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

/// An argument as it may stand in an error's text or a log line: as a C string.
pub(crate) fn text(arg: &[u8]) -> String {
    c_string(arg).into_owned()
}

/// The sum of a decimal text and a number, as INCRBYFLOAT and HINCRBYFLOAT compute and print it.
/// `bad_old` is the error for an old value that is no number.
pub(crate) fn add_float(
    old: &[u8],
    by: LongDouble,
    bad_old: CommandError,
) -> Result<String, CommandError> {
    let old = LongDouble::parse(old).ok_or(bad_old)?;
    let sum = old.checked_add(by).ok_or(CommandError::NanOrInfinity)?;
    if sum.is_finite() { Ok(sum.to_human()) } else { Err(CommandError::NanOrInfinity) }
}

/// The count of SRANDMEMBER and its kin: negative allows repetitions, and has a positive
/// counterpart.
pub(crate) fn random_count(arg: &[u8]) -> Result<i64, CommandError> {
    int_between(arg, -i64::MAX, i64::MAX)
}

/// The count and the option of HRANDFIELD and ZRANDMEMBER: without a count one element is asked
/// for; with values there are twice as many words to answer, which must be countable too.
pub(crate) fn random_query(
    args: Args<'_>,
    with_values: &str,
) -> Result<(Option<i64>, bool), CommandError> {
    let Some(count) = args.get(2) else { return Ok((None, false)) };
    let count = random_count(count)?;
    match args.len() {
        3 => Ok((Some(count), false)),
        4 if is(args.at(3), with_values) => match count.unsigned_abs() > i64::MAX as u64 / 2 {
            true => Err(CommandError::OutOfRange),
            false => Ok((Some(count), true)),
        },
        _ => Err(CommandError::Syntax),
    }
}

/// Calls `one` so many times, for elements with repetitions. Ends early once the reply is beyond
/// what the client may have: it will be closed, and the count may be in the billions.
pub(crate) fn repeat(count: usize, out: &mut ReplyBuf, mut one: impl FnMut(&mut ReplyBuf)) {
    for _ in 0..count {
        if out.is_deaf() {
            break;
        }
        one(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_by_strtod() {
        for (text, read) in [
            ("", Some(0.0)),
            ("\0abc", Some(0.0)),
            (" 1", Some(1.0)),
            ("\t-2.5", Some(-2.5)),
            ("1e400", Some(f64::INFINITY)),
            ("-1e400", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("0x1p3", Some(8.0)),
            ("1 ", None),
            (" ", None),
            ("nan", None),
            ("-nan", None),
            ("1e", None),
            ("abc", None),
            ("+-1", None),
        ] {
            assert_eq!(c_float(text.as_bytes()), read, "{text:?}");
        }
    }

    #[test]
    fn a_timeout_counts_in_milliseconds_and_fits_them() {
        for (text, us) in [("0", 0), ("0.0001", 100), ("-0.0005", 0), ("1.5", 1_500_000)] {
            assert_eq!(timeout_seconds(text.as_bytes()).ok(), Some(us), "{text}");
        }
        for (text, error) in [
            ("-1", CommandError::TimeoutNegative),
            ("-inf", CommandError::TimeoutNegative),
            ("inf", CommandError::TimeoutOutOfRange),
            ("1e400", CommandError::TimeoutOutOfRange),
            ("9223372036854775807", CommandError::TimeoutOutOfRange),
            ("nan", CommandError::TimeoutNotFloat),
            ("abc", CommandError::TimeoutNotFloat),
        ] {
            assert_eq!(timeout_seconds(text.as_bytes()), Err(error), "{text}");
        }
    }
}
