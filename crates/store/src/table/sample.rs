//! Fair random elements: each with the same chance, whatever the fill of its bucket.

use fastrand::Rng;

use super::Table;
use crate::bucket::Bucket;
use crate::element::Element;

/// Draws before a sparse table is counted through instead.
const MAX_DRAWS: usize = 256;

impl<E: Element> Table<E> {
    /// A random element; every element is equally likely.
    ///
    /// Draws a bucket and a rank below the largest bucket's length, and draws anew when the
    /// bucket is shorter than that: so each pair, and with it each element, has the same chance.
    pub fn random(&self, rng: &mut Rng) -> Option<&E> {
        if self.is_empty() {
            return None;
        }
        // Buckets that a resize has emptied are left out.
        let old = self.old.count() - self.moved;
        let longest = self.old.max_bucket.max(self.main.max_bucket) as usize;
        for _ in 0..MAX_DRAWS {
            let drawn = rng.usize(..old + self.main.count());
            let bucket = match drawn.checked_sub(old) {
                Some(index) => self.main.at(index),
                None => self.old.at(self.moved + drawn),
            };
            // SAFETY: a bucket of ours.
            let line = unsafe { bucket.as_ref() };
            let rank = rng.usize(..longest);
            if rank < line.len() {
                // SAFETY: the word of an element, borrowed with the table.
                return Some(unsafe { &*Bucket::word(bucket, line.nth(rank)).cast::<E>() });
            }
        }
        // That many failures say nothing of which element is due: the choice is still fair.
        self.iter().nth(rng.usize(..self.len))
    }
}
