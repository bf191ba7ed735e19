//! Strings that do not fit in their entry, and the rule of what counts as an integer. Owns the
//! growth policy of APPEND and SETRANGE; must not know how entries embed short strings.

use bytes::Bytes;

use crate::relocate::Mover;
use crate::value::Encoding;

/// The longest string that OBJECT ENCODING calls `embstr`.
pub const EMBSTR_MAX_BYTES: usize = 44;

/// Longer strings are never integers: i64::MIN takes 20 characters.
const INT_MAX_CHARS: usize = 20;

/// Growing strings double up to this, then grow by it.
const MAX_SPARE_BYTES: usize = 1 << 20;

/// A string value.
#[derive(Debug)]
pub enum Str {
    Int(i64),
    Owned(Vec<u8>),
    /// A large bulk just as the socket read it. Boxed because `Bytes` alone is 32 bytes.
    Shared(Box<Bytes>),
}

pub(crate) fn encoding_of_len(len: usize) -> Encoding {
    if len <= EMBSTR_MAX_BYTES { Encoding::Embstr } else { Encoding::Raw }
}

/// The integer that `text` is the one and only spelling of: no sign but a leading minus, no
/// leading zeros, no spaces, within i64.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > INT_MAX_CHARS {
        return None;
    }
    let (negative, digits) = match text {
        b"0" => return Some(0),
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if !matches!(digits.first()?, b'1'..=b'9') {
        return None;
    }
    let mut magnitude = 0u64;
    for &c in digits {
        let digit = c.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

impl Str {
    /// As SET keeps a value: as an integer where the bytes are one.
    pub fn new(bytes: &[u8]) -> Self {
        match parse_int(bytes) {
            Some(n) => Str::Int(n),
            None => Str::Owned(bytes.to_vec()),
        }
    }

    pub fn shared(bytes: Bytes) -> Self {
        Str::Shared(Box::new(bytes))
    }

    /// A buffer that others share stays where it is: it is large, and theirs as well.
    pub(crate) fn relocate(&mut self, mover: &mut Mover<'_>) {
        match self {
            Str::Int(_) => {}
            Str::Owned(text) => mover.vec(text),
            Str::Shared(text) => mover.boxed(text),
        }
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        match self {
            Str::Int(n) => itoa::Buffer::new().format(*n).len(),
            Str::Owned(bytes) => bytes.len(),
            Str::Shared(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text; `buf` holds it when this is an integer.
    pub fn as_bytes<'a>(&'a self, buf: &'a mut itoa::Buffer) -> &'a [u8] {
        match self {
            Str::Int(n) => buf.format(*n).as_bytes(),
            Str::Owned(bytes) => bytes,
            Str::Shared(bytes) => bytes,
        }
    }

    /// The bytes for changing them; an integer becomes its text and a shared bulk its own copy.
    pub fn make_owned(&mut self) -> &mut Vec<u8> {
        if !matches!(self, Str::Owned(_)) {
            let owned = self.as_bytes(&mut itoa::Buffer::new()).to_vec();
            *self = Str::Owned(owned);
        }
        let Str::Owned(bytes) = self else { unreachable!("made owned above") };
        bytes
    }

    /// Returns the new length.
    pub fn append(&mut self, tail: &[u8]) -> usize {
        let bytes = self.make_owned();
        reserve_greedily(bytes, bytes.len() + tail.len());
        bytes.extend_from_slice(tail);
        bytes.len()
    }

    /// Writes `patch` at `offset`, zero-filling a gap. Returns the new length.
    pub fn set_range(&mut self, offset: usize, patch: &[u8]) -> usize {
        let bytes = self.make_owned();
        let end = offset + patch.len();
        if end > bytes.len() {
            reserve_greedily(bytes, end);
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(patch);
        bytes.len()
    }
}

/// A string that grows once will grow again: room for as much again, within bounds.
fn reserve_greedily(bytes: &mut Vec<u8>, needed: usize) {
    if needed > bytes.capacity() {
        let target = needed.saturating_add(needed.min(MAX_SPARE_BYTES));
        bytes.reserve_exact(target - bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_an_integer() {
        for n in [0, 1, -1, 9, 10, -10, 4095, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(parse_int(n.to_string().as_bytes()), Some(n));
        }
        let refused = [
            "",
            "-",
            "-0",
            "00",
            "01",
            "-01",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
            "123456789012345678901",
        ];
        for text in refused {
            assert_eq!(parse_int(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_shared_bulk_is_copied_before_it_changes() {
        let bulk = Bytes::from_static(b"hello");
        let mut str = Str::shared(bulk.clone());
        assert_eq!(str.set_range(7, b"you"), 10);
        assert_eq!(str.as_bytes(&mut itoa::Buffer::new()), b"hello\0\0you");
        assert_eq!(&bulk[..], b"hello");
        let mut int = Str::new(b"12");
        assert_eq!(int.append(b"3"), 3);
        assert_eq!(int.as_bytes(&mut itoa::Buffer::new()), b"123");
    }
}
