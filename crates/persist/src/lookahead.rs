//! Owns the order in which a snapshot's writer touches memory: entries lie anywhere, so each is
//! asked for some steps before it is read.

use store::entry::Entry;

/// Steps between asking for an entry and reading it: enough for memory to answer.
const DISTANCE: usize = 16;

/// An iterator of entries that runs ahead of itself. Allocates nothing.
pub struct Lookahead<'a, I> {
    inner: I,
    /// The entries asked for, oldest at `at`.
    ring: [Option<&'a Entry>; DISTANCE],
    at: usize,
}

impl<'a, I: Iterator<Item = &'a Entry>> Lookahead<'a, I> {
    pub fn new(inner: I) -> Lookahead<'a, I> {
        let mut ahead = Lookahead { inner, ring: [None; DISTANCE], at: 0 };
        for slot in 0..DISTANCE {
            ahead.ring[slot] = ahead.ask();
        }
        ahead
    }

    fn ask(&mut self) -> Option<&'a Entry> {
        self.inner.next().inspect(|entry| entry.prefetch())
    }
}

impl<'a, I: Iterator<Item = &'a Entry>> Iterator for Lookahead<'a, I> {
    type Item = &'a Entry;

    #[inline]
    fn next(&mut self) -> Option<&'a Entry> {
        let fresh = self.ask();
        let entry = std::mem::replace(&mut self.ring[self.at], fresh);
        self.at = (self.at + 1) % DISTANCE;
        entry
    }
}

#[cfg(test)]
mod tests {
    use store::HashSeed;
    use store::db::Db;

    use super::*;

    #[test]
    fn every_entry_comes_once_and_in_order() {
        for count in [0, 1, DISTANCE - 1, DISTANCE, DISTANCE + 1, 1000] {
            let mut db = Db::new(HashSeed::new(1, 2));
            for i in 0..count {
                db.set(format!("{i}").as_bytes(), i as i64, None);
            }
            let expected: Vec<_> = db.iter().map(|entry| entry.key().to_vec()).collect();
            let seen: Vec<_> = Lookahead::new(db.iter()).map(|e| e.key().to_vec()).collect();
            assert_eq!(seen, expected);
        }
    }
}
