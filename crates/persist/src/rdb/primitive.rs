//! Owns reading of the RDB format's atoms: lengths, strings, doubles, times. Each says what it was
//! reading for when the bytes end; none knows where in a file it stands.

use store::limits::fits;
use store::listpack::InvalidListpack;
use store::value::{Item, ItemBuf};

use super::format::{len, string};
use crate::error::{RdbError, Reason};
use crate::lzf;
use crate::source::Source;

/// What is read where a string is the value itself, which alone may be of any length.
pub const STRING_VALUE: &str = "a string value";

/// A length, or the code of an encoded string in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Plain(u64),
    Encoded(u8),
}

#[inline]
pub fn length_or_encoding(source: &mut Source<'_>, what: &'static str) -> Result<Length, RdbError> {
    let first = source.u8(what)?;
    match first >> 6 {
        len::BITS_6 => Ok(Length::Plain(u64::from(first & 0x3f))),
        len::BITS_14 => {
            let low = source.u8(what)?;
            Ok(Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(low)))
        }
        len::ENCODED => Ok(Length::Encoded(first & 0x3f)),
        _ => match first {
            len::BITS_32 => Ok(Length::Plain(u64::from(u32::from_be_bytes(source.array(what)?)))),
            len::BITS_64 => Ok(Length::Plain(u64::from_be_bytes(source.array(what)?))),
            _ => Err(source.error(Reason::UnknownLengthEncoding(first))),
        },
    }
}

#[inline]
pub fn length(source: &mut Source<'_>, what: &'static str) -> Result<u64, RdbError> {
    match length_or_encoding(source, what)? {
        Length::Plain(n) => Ok(n),
        Length::Encoded(code) => Err(source.error(Reason::UnknownLengthEncoding(code | 0xc0))),
    }
}

/// The rest of a string whose length said `code`. `scratch` is overwritten.
pub fn encoded_string<'a>(
    source: &mut Source<'_>,
    code: u8,
    scratch: &'a mut Vec<u8>,
    what: &'static str,
) -> Result<Item<'a>, RdbError> {
    match code {
        string::INT8 => Ok(Item::Int(i64::from(i8::from_le_bytes(source.array(what)?)))),
        string::INT16 => Ok(Item::Int(i64::from(i16::from_le_bytes(source.array(what)?)))),
        string::INT32 => Ok(Item::Int(i64::from(i32::from_le_bytes(source.array(what)?)))),
        string::LZF => {
            let compressed = length(source, what)?;
            let announced = length(source, what)?;
            lzf_string(source, compressed, announced, scratch, what)?;
            Ok(Item::Bytes(scratch))
        }
        _ => Err(source.error(Reason::UnknownStringEncoding(code))),
    }
}

fn lzf_string(
    source: &mut Source<'_>,
    compressed: u64,
    announced: u64,
    out: &mut Vec<u8>,
    what: &'static str,
) -> Result<(), RdbError> {
    out.clear();
    let at = source.offset();
    let is_name = what != STRING_VALUE;
    if is_name && !fits(announced) {
        return Err(source.error(Reason::BadLength { what, length: announced }));
    }
    let Ok(announced) = usize::try_from(announced) else {
        return Err(source.error(Reason::OutOfMemory));
    };
    let unfolded = if source.fits(compressed) {
        lzf::decompress(source.take(compressed as usize, what)?, announced, out)
    } else {
        let mut packed = Vec::new();
        source.append(compressed, &mut packed, what)?;
        lzf::decompress(&packed, announced, out)
    };
    unfolded.map_err(|why| RdbError::new(at, why.into()))
}

/// A string as bytes; an integer becomes its decimal text.
#[inline]
pub fn bytes<'a>(
    source: &'a mut Source<'_>,
    scratch: &'a mut Vec<u8>,
    what: &'static str,
) -> Result<&'a [u8], RdbError> {
    match length_or_encoding(source, what)? {
        Length::Plain(n) if source.fits(n) => source.take(n as usize, what),
        Length::Plain(n) => {
            scratch.clear();
            source.append(n, scratch, what)?;
            Ok(scratch)
        }
        Length::Encoded(code) => {
            let number = match encoded_string(source, code, scratch, what)? {
                Item::Int(n) => Some(n),
                Item::Bytes(_) => None,
            };
            if let Some(n) = number {
                scratch.clear();
                scratch.extend_from_slice(ItemBuf::new().format(n).as_bytes());
            }
            Ok(scratch)
        }
    }
}

/// Replaces `out` by the bytes of a name, so that the source can be read on while they are used: a key, a
/// field, a member. One that the store cannot hold is refused when it is announced.
#[inline]
pub fn bytes_into(
    source: &mut Source<'_>,
    out: &mut Vec<u8>,
    what: &'static str,
) -> Result<(), RdbError> {
    match length_or_encoding(source, what)? {
        Length::Plain(n) if !fits(n) => {
            Err(source.error(Reason::BadLength { what, length: n }))?;
        }
        Length::Plain(n) => {
            out.clear();
            if !source.fits(n) {
                return source.append(n, out, what);
            }
            out.extend_from_slice(source.take(n as usize, what)?);
        }
        Length::Encoded(code) => {
            if let Item::Int(n) = encoded_string(source, code, out, what)? {
                out.clear();
                out.extend_from_slice(ItemBuf::new().format(n).as_bytes());
            }
        }
    }
    Ok(())
}

/// A score as a binary double.
#[inline]
pub fn binary_double(source: &mut Source<'_>, what: &'static str) -> Result<f64, RdbError> {
    Ok(f64::from_le_bytes(source.array(what)?))
}

/// A score as text behind a length byte, the form of the oldest sorted sets.
pub fn text_double(source: &mut Source<'_>, what: &'static str) -> Result<f64, RdbError> {
    match source.u8(what)? {
        255 => Ok(f64::NEG_INFINITY),
        254 => Ok(f64::INFINITY),
        253 => Ok(f64::NAN),
        n => {
            let text = source.take(usize::from(n), what)?;
            match std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()) {
                Some(score) => Ok(score),
                None => Err(source.error(Reason::Invalid("a score that is not a number"))),
            }
        }
    }
}

/// What the store has to say against a listpack, in this crate's words.
pub fn listpack_reason(e: InvalidListpack) -> Reason {
    Reason::Malformed { what: "listpack", at: e.offset, why: e.reason }
}

pub fn time_ms(source: &mut Source<'_>, what: &'static str) -> Result<i64, RdbError> {
    Ok(i64::from_le_bytes(source.array(what)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_owned(source: &mut Source<'_>, what: &'static str) -> Result<Vec<u8>, RdbError> {
        let mut out = Vec::new();
        bytes_into(source, &mut out, what).map(|()| out)
    }

    fn read<T>(
        bytes: &[u8],
        f: impl FnOnce(&mut Source<'_>) -> Result<T, RdbError>,
    ) -> Result<T, RdbError> {
        let total = bytes.len() as u64;
        let mut bytes = bytes;
        f(&mut Source::new(&mut bytes, Some(total)))
    }

    #[test]
    fn lengths_of_every_form() {
        let n = |bytes: &[u8]| read(bytes, |source| length(source, "a length"));
        assert_eq!(n(&[0x3f]), Ok(63));
        assert_eq!(n(&[0x40, 0x40]), Ok(64));
        assert_eq!(n(&[0x7f, 0xff]), Ok(16383));
        assert_eq!(n(&[0x80, 0, 0, 0x40, 0]), Ok(16384));
        assert_eq!(n(&[0x81, 1, 0, 0, 0, 0, 0, 0, 0]), Ok(1 << 56));
        assert_eq!(n(&[0x82]), Err(RdbError::new(1, Reason::UnknownLengthEncoding(0x82))));
        assert_eq!(n(&[0xc1]), Err(RdbError::new(1, Reason::UnknownLengthEncoding(0xc1))));
        assert_eq!(n(&[0x80, 0]), Err(RdbError::new(2, Reason::UnexpectedEnd("a length"))));
    }

    #[test]
    fn strings_of_every_form() {
        let s = |bytes: &[u8]| read(bytes, |source| bytes_owned(source, "a string"));
        assert_eq!(s(&[3, b'a', b'b', b'c']).unwrap(), b"abc");
        assert_eq!(s(&[0xc0, 0xff]).unwrap(), b"-1");
        assert_eq!(s(&[0xc1, 0, 0x80]).unwrap(), b"-32768");
        assert_eq!(s(&[0xc2, 0, 0, 0, 0x80]).unwrap(), b"-2147483648");
        assert_eq!(s(&[0xc3, 4, 9, 0, b'x', 0xc0, 0]).unwrap(), b"xxxxxxxxx");
        assert_eq!(s(&[0xc4]), Err(RdbError::new(1, Reason::UnknownStringEncoding(4))));
        let huge = s(&[0xc3, 4, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'x', 0xe0, 0]).unwrap_err();
        assert_eq!(huge.reason, Reason::BadLength { what: "a string", length: 1 << 56 });
        // A key of 4 GiB was an assertion in the store.
        let long = s(&[0x81, 0, 0, 0, 1, 0, 0, 0, 0, b'k']).unwrap_err();
        assert_eq!(long.reason, Reason::BadLength { what: "a string", length: 1 << 32 });
        let longest = s(&[0x81, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'k']).unwrap_err();
        assert_eq!(longest.reason, Reason::UnexpectedEnd("a string"));
    }

    #[test]
    fn scores_as_text() {
        let d = |bytes: &[u8]| read(bytes, |source| text_double(source, "a score"));
        assert_eq!(d(b"\x041.25"), Ok(1.25));
        assert_eq!(d(&[254]), Ok(f64::INFINITY));
        assert_eq!(d(&[255]), Ok(f64::NEG_INFINITY));
        assert!(d(&[253]).unwrap().is_nan());
        assert!(d(b"\x021x").is_err());
    }
}
