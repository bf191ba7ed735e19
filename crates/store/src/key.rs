//! A key with its hash, so that one command hashes each of its keys once.

use crate::HashSeed;

/// Key bytes and their hash under the seed of the keyspace they are meant for.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    pub bytes: &'k [u8],
    pub hash: u64,
}

impl<'k> Key<'k> {
    #[inline]
    pub fn new(bytes: &'k [u8], seed: HashSeed) -> Self {
        Key { bytes, hash: seed.hash(bytes) }
    }
}

/// What a database takes for a key: bytes, which it hashes, or a [`Key`] hashed before.
pub trait IntoKey<'k> {
    fn into_key(self, seed: HashSeed) -> Key<'k>;
}

impl<'k> IntoKey<'k> for Key<'k> {
    #[inline]
    fn into_key(self, seed: HashSeed) -> Key<'k> {
        debug_assert_eq!(self.hash, seed.hash(self.bytes), "a key of another keyspace");
        self
    }
}

impl<'k> IntoKey<'k> for &'k [u8] {
    #[inline]
    fn into_key(self, seed: HashSeed) -> Key<'k> {
        Key::new(self, seed)
    }
}

impl<'k, const N: usize> IntoKey<'k> for &'k [u8; N] {
    #[inline]
    fn into_key(self, seed: HashSeed) -> Key<'k> {
        Key::new(self, seed)
    }
}

impl<'k> IntoKey<'k> for &'k Vec<u8> {
    #[inline]
    fn into_key(self, seed: HashSeed) -> Key<'k> {
        Key::new(self, seed)
    }
}
