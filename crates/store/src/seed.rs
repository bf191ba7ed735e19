//! The key of the keyed hash. Given by whoever builds the tables, so that a simulation or a test
//! is deterministic and a server is not predictable.

use siphasher::sip::SipHasher13;

/// The two words of a SipHash-1-3 key. Tables that share a seed share hashes, so that one
/// computation serves a database's entries and its expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSeed {
    k0: u64,
    k1: u64,
}

impl HashSeed {
    pub const fn new(k0: u64, k1: u64) -> Self {
        HashSeed { k0, k1 }
    }

    /// SipHash-1-3 of `key`: peers choose keys, so an unkeyed hash would let them choose buckets.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.k0, self.k1).hash(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_hash_other_seed_other_hash() {
        let a = HashSeed::new(1, 2);
        assert_eq!(a.hash(b"key"), HashSeed::new(1, 2).hash(b"key"));
        assert_ne!(a.hash(b"key"), HashSeed::new(2, 1).hash(b"key"));
        assert_ne!(a.hash(b""), a.hash(b"\0"));
    }
}
