//! Owns replication ids and the pair of histories a server can answer for.
//! Must not know connections; randomness comes from the caller.
//!
//! Invariants: `replid` names the history that the bytes up to the master offset belong to; `replid2`
//! names the history before the last change of role, and is good for offsets up to `second_offset`.

use std::fmt;

/// Forty characters that name a replication history. Hexadecimal digits; case is kept and not compared.
#[derive(Clone, Copy)]
pub struct ReplId([u8; 40]);

impl ReplId {
    pub const ZERO: ReplId = ReplId([b'0'; 40]);

    /// Turns twenty random bytes into an id.
    pub fn from_random(bytes: [u8; 20]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut id = [0; 40];
        for (i, byte) in bytes.iter().enumerate() {
            id[2 * i] = HEX[usize::from(byte >> 4)];
            id[2 * i + 1] = HEX[usize::from(byte & 15)];
        }
        Self(id)
    }

    /// None unless these are forty hexadecimal digits.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let id: [u8; 40] = bytes.try_into().ok()?;
        protocol::link::is_replid(&id).then_some(Self(id))
    }

    pub fn as_bytes(&self) -> &[u8; 40] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("both constructors make ASCII only")
    }

    /// Whether a peer's word names this history (Redis compares without regard to case).
    pub fn is_named_by(&self, word: &[u8]) -> bool {
        self.0.eq_ignore_ascii_case(word)
    }
}

impl PartialEq for ReplId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ReplId {}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The current history and the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub replid: ReplId,
    pub replid2: ReplId,
    /// First offset that `replid2` no longer covers; a replica may ask for it, since it asks for the
    /// first byte that it has not. None while there is no previous history.
    pub second_offset: Option<u64>,
}

impl Ids {
    pub fn new(replid: ReplId) -> Self {
        Self { replid, replid2: ReplId::ZERO, second_offset: None }
    }

    /// Starts a history that has nothing to do with the past.
    pub fn restart(&mut self, replid: ReplId) {
        *self = Self::new(replid);
    }

    /// Starts a new history that continues the current one after `offset`.
    pub fn shift(&mut self, new: ReplId, offset: u64) {
        self.replid2 = self.replid;
        self.second_offset = Some(offset + 1);
        self.replid = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_is_forty_hex_digits() {
        let id = ReplId::from_random([0xa7; 20]);
        assert_eq!(id.as_str(), "a7".repeat(20));
        assert_eq!(ReplId::parse(id.as_bytes()), Some(id));
    }

    #[test]
    fn only_forty_hex_digits_are_an_id() {
        assert_eq!(ReplId::parse(b"abc"), None);
        assert_eq!(ReplId::parse(&[b'\n'; 40]), None);
        assert_eq!(ReplId::parse(&[b'g'; 40]), None);
        assert!(ReplId::parse(&[b'A'; 40]).unwrap().is_named_by(&[b'a'; 40]));
    }

    #[test]
    fn a_shift_keeps_the_old_history_up_to_the_first_missing_byte() {
        let old = ReplId::from_random([1; 20]);
        let new = ReplId::from_random([2; 20]);
        let mut ids = Ids::new(old);
        ids.shift(new, 100);
        assert_eq!(ids, Ids { replid: new, replid2: old, second_offset: Some(101) });
    }
}
