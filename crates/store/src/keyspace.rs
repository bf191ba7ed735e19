//! The numbered databases of a server, under one hash seed.
//!
//! Owns their number and order. A keyspace can be built by another thread and swapped in whole.

use crate::db::Db;
use crate::key::{IntoKey, Key};
use crate::seed::HashSeed;

/// All databases. `Send`, and whole keyspaces are cheap to swap.
pub struct Keyspace {
    dbs: Vec<Db>,
    seed: HashSeed,
}

impl Keyspace {
    pub fn new(count: usize, seed: HashSeed) -> Self {
        Keyspace { dbs: (0..count).map(|_| Db::new(seed)).collect(), seed }
    }

    /// How many databases there are.
    #[allow(clippy::len_without_is_empty)] // There is always a database.
    pub fn len(&self) -> usize {
        self.dbs.len()
    }

    pub fn seed(&self) -> HashSeed {
        self.seed
    }

    /// Hashes a key for use in any of the databases.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        bytes.into_key(self.seed)
    }

    /// # Panics
    /// When there is no such database: SELECT checks, and all others come from it.
    #[inline]
    pub fn db(&self, index: usize) -> &Db {
        &self.dbs[index]
    }

    /// # Panics
    /// As [`db`](Keyspace::db).
    #[inline]
    pub fn db_mut(&mut self, index: usize) -> &mut Db {
        &mut self.dbs[index]
    }

    /// Two databases at once, for MOVE and COPY; `None` when they are the same one.
    pub fn two_mut(&mut self, a: usize, b: usize) -> Option<(&mut Db, &mut Db)> {
        let [a, b] = self.dbs.get_disjoint_mut([a, b]).ok()?;
        Some((a, b))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Db> {
        self.dbs.iter()
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Db> {
        self.dbs.iter_mut()
    }

    /// SWAPDB.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.dbs.swap(a, b);
    }

    /// Leaves as many empty databases and returns the full ones, to be dropped wherever it suits.
    pub fn take(&mut self) -> Keyspace {
        Keyspace { dbs: self.dbs.iter_mut().map(Db::take).collect(), seed: self.seed }
    }

    /// Keys of all databases.
    pub fn keys(&self) -> usize {
        self.dbs.iter().map(Db::len).sum()
    }

    /// While a child runs, tables must not be resized under it; see [`Db::pause_resize`].
    pub fn pause_resize(&mut self) {
        self.dbs.iter_mut().for_each(Db::pause_resize);
    }

    pub fn resume_resize(&mut self) {
        self.dbs.iter_mut().for_each(Db::resume_resize);
    }
}

impl<'a> IntoIterator for &'a Keyspace {
    type Item = &'a Db;
    type IntoIter = std::slice::Iter<'a, Db>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
