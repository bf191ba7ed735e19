//! The lines that announce how many arguments a request has and how long each is.

use crate::number::parse_i64;

/// A header or an inline command has to end within this many bytes.
pub(super) const LINE_MAX: usize = 64 * 1024;

/// What a header line says.
pub(super) enum Header {
    Incomplete,
    TooLong,
    /// `len` counts the kind byte and the line end. `number` is `None` if the line holds none.
    Line {
        number: Option<i64>,
        len: usize,
        is_odd: bool,
    },
}

/// Reads a header line just as `encode_command` writes it: the number and the line's length.
/// `None` if it is of another kind, incomplete, or in any way unusual.
#[inline(always)]
pub(super) fn plain_header(bytes: &[u8], kind: u8) -> Option<(i64, usize)> {
    match *bytes {
        [first, ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            (first == kind).then_some((i64::from(ones - b'0'), 4))
        }
        [first, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            (first == kind).then_some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), 5))
        }
        [first, b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', ..] if first == kind => {
            longer_plain_header(bytes)
        }
        _ => None,
    }
}

/// A plain header line of three digits or more.
fn longer_plain_header(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut number = 0;
    // Nine digits cannot overflow, and a header with more is rare.
    for (i, &byte) in bytes.iter().enumerate().take(11).skip(1) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let is_plain = byte == b'\r' && bytes.get(i + 1) == Some(&b'\n');
            return is_plain.then_some((number, i + 2));
        }
        number = number * 10 + i64::from(digit);
    }
    None
}

/// Any header line, as Redis takes it: up to `\r` and one byte more, whatever that is.
pub(super) fn header_number(bytes: &[u8]) -> Header {
    // Redis searches a C string: a line with a NUL byte before its end never ends.
    let within = &bytes[..bytes.len().min(LINE_MAX + 1)];
    let end = memchr::memchr2(b'\r', 0, within).filter(|&at| within[at] == b'\r');
    match end {
        None if bytes.len() > LINE_MAX => Header::TooLong,
        None => Header::Incomplete,
        Some(end) if end + 1 == bytes.len() => Header::Incomplete,
        Some(end) => Header::Line {
            number: parse_i64(bytes.get(1..end).unwrap_or_default()),
            len: end + 2,
            is_odd: bytes[end + 1] != b'\n',
        },
    }
}
