//! Owns how passwords are kept and compared: as SHA-256 alone, in a time that tells nothing of them.

use std::fmt;

use sha2::{Digest, Sha256};

/// Longer and shorter ones are no hash.
const DIGITS: usize = 64;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash([u8; DIGITS / 2]);

impl PasswordHash {
    pub(crate) fn of(password: &[u8]) -> PasswordHash {
        PasswordHash(Sha256::digest(password).into())
    }

    /// As rules and files write it: lower case alone.
    pub(crate) fn parse(digits: &[u8]) -> Option<PasswordHash> {
        let mut hash = [0; DIGITS / 2];
        let pairs = digits.chunks_exact(2);
        if digits.len() != DIGITS {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(PasswordHash(hash))
    }

    /// Every byte is looked at, whatever the first ones say.
    pub(crate) fn is_same(&self, other: &PasswordHash) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A hash can be tried against lists of passwords: it is shown where somebody asks for it, and in no log.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOO: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    #[test]
    fn a_hash_reads_back_as_it_is_written() {
        let hash = PasswordHash::of(b"foo");
        assert_eq!(hash.to_string(), FOO);
        let again = PasswordHash::parse(FOO.as_bytes()).expect("a hash");
        assert!(hash.is_same(&again) && !hash.is_same(&PasswordHash::of(b"fop")));
        assert_eq!(format!("{hash:?}"), "(redacted)");
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let upper = FOO.to_ascii_uppercase();
        let long = format!("{FOO}0");
        for digits in ["", "12", &FOO[1..], &long, &upper, &FOO.replace('2', "g")] {
            assert!(PasswordHash::parse(digits.as_bytes()).is_none(), "{digits}");
        }
    }
}
