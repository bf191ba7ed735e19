//! Owns reading of the zipmap, the packed hash of Redis before 2.6, with full validation.
//!
//! Layout: a count byte (254 and more: unknown), then field and value by turns, then 0xff. A length
//! is a byte below 254, or 254 and four bytes; a value has a byte of padding count before it and
//! that many unused bytes behind it.

use crate::error::Reason;

const BIG: u8 = 254;
const END: u8 = 255;

fn malformed(at: usize, why: &'static str) -> Reason {
    Reason::Malformed { what: "zipmap", at, why }
}

/// A field and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Yields (field, value), checking every byte on the way; after an error it ends.
pub struct Zipmap<'a> {
    bytes: &'a [u8],
    at: usize,
    seen: usize,
    done: bool,
}

impl<'a> Zipmap<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Zipmap<'a>, Reason> {
        if bytes.len() < 2 {
            return Err(malformed(0, "shorter than an empty one"));
        }
        Ok(Zipmap { bytes, at: 1, seen: 0, done: false })
    }

    fn step(&mut self) -> Result<Option<Pair<'a>>, Reason> {
        if self.byte()? == END {
            return self.finish().map(|()| None);
        }
        self.at -= 1;
        let len = self.length()?;
        let field = self.take(len)?;
        let len = self.length()?;
        let padding = self.byte()?;
        let value = self.take(len)?;
        self.take(usize::from(padding))?;
        self.seen += 1;
        Ok(Some((field, value)))
    }

    fn finish(&self) -> Result<(), Reason> {
        if self.at != self.bytes.len() {
            return Err(malformed(self.at, "an end mark before the end"));
        }
        if self.bytes[0] < BIG && usize::from(self.bytes[0]) != self.seen {
            return Err(malformed(0, "its entry count is wrong"));
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Reason> {
        self.take(1).map(|one| one[0])
    }

    fn length(&mut self) -> Result<usize, Reason> {
        match self.byte()? {
            BIG => {
                let at = self.at;
                let four = self.take(4)?;
                let four = four.first_chunk().ok_or(malformed(at, "a cut length"))?;
                match u32::from_le_bytes(*four) as usize {
                    // Nobody writes it, and readers have taken other bytes for the field's.
                    short if short < usize::from(BIG) => {
                        Err(malformed(at, "a length that is longer than need be"))
                    }
                    len => Ok(len),
                }
            }
            END => Err(malformed(self.at - 1, "a field without a value")),
            short => Ok(usize::from(short)),
        }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Reason> {
        let from = self.at;
        let bytes = self.bytes[from..]
            .get(..n)
            .ok_or(malformed(from, "an entry that reaches beyond the end"))?;
        self.at += n;
        Ok(bytes)
    }
}

impl<'a> Iterator for Zipmap<'a> {
    type Item = Result<Pair<'a>, Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Vec<u8>, Vec<u8>);

    fn all(bytes: &[u8]) -> Result<Vec<Owned>, Reason> {
        Zipmap::new(bytes)?.map(|pair| pair.map(|(f, v)| (f.to_vec(), v.to_vec()))).collect()
    }

    /// The documented example, with a padded value.
    const FOO_BAR: &[u8] = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world??\xff";

    #[test]
    fn the_documented_example() {
        let expected = [(b"foo".to_vec(), b"bar".to_vec()), (b"hello".to_vec(), b"world".to_vec())];
        assert_eq!(all(FOO_BAR).unwrap(), expected);
        assert_eq!(all(b"\x00\xff").unwrap(), []);
    }

    #[test]
    fn a_big_length_and_an_unknown_count() {
        let mut bytes = b"\xfe\x01k\xfe".to_vec();
        bytes.extend_from_slice(&300u32.to_le_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&[b'v'; 300]);
        bytes.push(0xff);
        assert_eq!(all(&bytes).unwrap(), [(b"k".to_vec(), vec![b'v'; 300])]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(all(b"\x01\xff").is_err());
        assert!(all(b"\x01\x03foo\xff").is_err());
        assert!(all(b"\x01\x03foo\x03\x00ba").is_err());
        assert!(all(b"\x00\xff\xff").is_err());
        assert!(all(b"").is_err());
        // As Redis since CVE-2026-25243.
        assert!(all(b"\x01\xfe\x03\0\0\0foo\x03\x00bar\xff").is_err());
        assert!(all(b"\x01\x03foo\xfe\x03\0\0\0\x00bar\xff").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..100)) {
            let _ = all(&bytes);
        }
    }
}
