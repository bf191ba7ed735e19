//! Numbers as text, by Redis's rules: what it accepts from clients and what it prints.

mod double;
mod hex;
mod long_double;

use double::write_f64_digits;
pub(crate) use double::{F64_TEXT_MAX, HUMAN_TEXT_MAX, write_f64, write_human};
pub use long_double::LongDouble;

/// Reads a decimal integer as strictly as Redis does: no blanks, no `+`, no leading zero, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // Nineteen digits always fit a u64, so overflow can wait until the end.
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Reads a floating point number as Redis does for scores and ranges: decimal, hexadecimal, or
/// `inf`; no blanks, not NaN, not beyond a double's range in either direction.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (sign, magnitude) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    };
    let value = match magnitude {
        [b'0', b'x' | b'X', digits @ ..] => {
            let scaled = hex::parse_hex(digits)?;
            let value = scaled.to_f64();
            (value != 0.0 || scaled.mantissa == 0).then_some(value)?
        }
        [b'0'..=b'9' | b'.', ..] => {
            let value: f64 = std::str::from_utf8(magnitude).ok()?.parse().ok()?;
            (value != 0.0 || is_decimal_zero(magnitude)).then_some(value)?
        }
        _ => {
            let is_infinity = magnitude.eq_ignore_ascii_case(b"inf")
                || magnitude.eq_ignore_ascii_case(b"infinity");
            return is_infinity.then_some(sign * f64::INFINITY);
        }
    };
    value.is_finite().then_some(sign * value)
}

/// Whether the digits before the exponent are all zero.
fn is_decimal_zero(text: &[u8]) -> bool {
    let mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    mantissa.into_iter().all(|byte| !matches!(byte, b'1'..=b'9'))
}

/// Prints a double as Redis 7.2 does: whole numbers as integers, else few enough digits that read
/// back the same, `inf` and `-inf`.
pub fn format_f64(value: f64) -> String {
    let mut text = [0; F64_TEXT_MAX];
    let len = write_f64(&mut text, value);
    text[..len].iter().map(|&byte| char::from(byte)).collect()
}

/// Prints a score as DEBUG DIGEST of Redis 7.2 spells it: `1e+16` for what [`format_f64`] prints as an integer.
pub fn format_f64_digits(value: f64) -> String {
    let mut text = [0; F64_TEXT_MAX];
    let len = write_f64_digits(&mut text, value);
    text[..len].iter().map(|&byte| char::from(byte)).collect()
}

/// Appends `<kind><n>\r\n`: the head of a bulk or an aggregate.
#[inline]
pub(crate) fn push_header(out: &mut Vec<u8>, kind: u8, n: usize) {
    // Most elements are short, and what has a known length is not copied by a call.
    let digit = |n: usize| b'0' + (n % 10) as u8;
    match n {
        0..10 => out.extend_from_slice(&[kind, digit(n), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[kind, digit(n / 10), digit(n), b'\r', b'\n']),
        100..1000 => {
            let (hundreds, tens) = (digit(n / 100), digit(n / 10));
            out.extend_from_slice(&[kind, hundreds, tens, digit(n), b'\r', b'\n']);
        }
        _ => push_long_header(out, kind, n),
    }
}

fn push_long_header(out: &mut Vec<u8>, kind: u8, n: usize) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n);
    out.reserve(digits.len() + 3);
    out.push(kind);
    out.extend_from_slice(digits.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// How many decimal digits `n` has.
pub(crate) fn decimal_len(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_every_length() {
        for n in (0..1_100).chain([9_999, 10_000, usize::MAX]) {
            let mut head = b"+OK\r\n".to_vec();
            push_header(&mut head, b'*', n);
            assert_eq!(head, format!("+OK\r\n*{n}\r\n").as_bytes());
        }
    }

    #[test]
    fn integers_are_read_strictly() {
        for (text, value) in [
            ("0", 0),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), Some(value));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "00",
            " 1",
            "1 ",
            "1a",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_read_as_redis_reads_them() {
        for (text, value) in [
            ("0x10", 16.0),
            ("-0X1A", -26.0),
            ("0x1p3", 8.0),
            ("0x.8p1", 1.0),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffff7p0", 1.9999999999999998),
            ("0x1p-1074", 5e-324),
            ("0x1.8p-1074", 1e-323),
            ("0x123456789abcdef0123456789abcdef0123p0", 9.911442310458055e+40),
            ("0x0p99999999999999999999", 0.0),
            ("+inf", f64::INFINITY),
            ("-InFinity", f64::NEG_INFINITY),
            ("4.9e-324", 5e-324),
            (".5", 0.5),
            ("5.", 5.0),
            ("+5", 5.0),
            ("0e99999", 0.0),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
        assert!(parse_f64(b"-0").unwrap().is_sign_negative());
        for text in [
            "nan",
            "nan(1)",
            "infx",
            " 1",
            "1 ",
            "",
            "1e400",
            "-1e400",
            "1e-400",
            "1e",
            "1e+",
            "+",
            "-",
            "--5",
            "+-5",
            "1_0",
            "1f",
            "0x",
            "0xp",
            "0x1.fp",
            "0x1..",
            "0x1p1024",
            "0x1p-1075",
            "1e99999999999",
            "1\0",
            "\u{663}",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }
}
