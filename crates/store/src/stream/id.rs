//! The id of an entry: milliseconds and a sequence within one. Owns its order, its text and its
//! neighbours; must not know which ids a stream has given.

use std::fmt;

/// Bytes of an id where it is written whole: big-endian, so that they sort as ids do.
pub const ID_BYTES: usize = 16;

/// The id of an entry.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

impl StreamId {
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The next larger id; none is larger than the last.
    pub fn next(self) -> Option<StreamId> {
        u128::from(self).checked_add(1).map(StreamId::from)
    }

    pub fn previous(self) -> Option<StreamId> {
        u128::from(self).checked_sub(1).map(StreamId::from)
    }

    pub fn to_bytes(self) -> [u8; ID_BYTES] {
        u128::from(self).to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; ID_BYTES]) -> StreamId {
        StreamId::from(u128::from_be_bytes(bytes))
    }

    /// `<ms>-<seq>`, as clients read and write it.
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; IdText::MAX_LEN], len: 0 };
        text.push(itoa::Buffer::new().format(self.ms).as_bytes());
        text.push(b"-");
        text.push(itoa::Buffer::new().format(self.seq).as_bytes());
        text
    }
}

impl From<u128> for StreamId {
    fn from(n: u128) -> StreamId {
        StreamId { ms: (n >> 64) as u64, seq: n as u64 }
    }
}

impl From<StreamId> for u128 {
    fn from(id: StreamId) -> u128 {
        u128::from(id.ms) << 64 | u128::from(id.seq)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The text of an id, without an allocation.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; IdText::MAX_LEN],
    len: u8,
}

impl IdText {
    /// Two numbers of twenty digits, and what stands between them.
    const MAX_LEN: usize = 41;

    fn push(&mut self, part: &[u8]) {
        let from = usize::from(self.len);
        self.bytes[from..from + part.len()].copy_from_slice(part);
        self.len += part.len() as u8;
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_carry_over_and_end_at_both_ends() {
        let id = StreamId::new;
        assert_eq!(id(5, 6).next(), Some(id(5, 7)));
        assert_eq!(id(5, u64::MAX).next(), Some(id(6, 0)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(id(5, 6).previous(), Some(id(5, 5)));
        assert_eq!(id(5, 0).previous(), Some(id(4, u64::MAX)));
        assert_eq!(StreamId::MIN.previous(), None);
    }

    #[test]
    fn texts_and_bytes_are_those_of_redis() {
        assert_eq!(StreamId::MIN.text().as_bytes(), b"0-0");
        let longest = "18446744073709551615-18446744073709551615";
        assert_eq!(StreamId::MAX.text().as_bytes(), longest.as_bytes());
        let id = StreamId::new(1, 2);
        assert_eq!(id.to_bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
    }
}
