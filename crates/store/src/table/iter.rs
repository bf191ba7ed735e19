//! Walking a table: iterators that see it at rest, and the cursor of SCAN that outlives changes.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::{Generation, Table, from_word};
use crate::bucket::Bucket;
use crate::element::Element;
use crate::relocate::{Cursor, Mover};

/// Walks the elements in no order of meaning. Allocates nothing.
pub struct Iter<'a, E: Element> {
    generations: [Generation; 2],
    /// The bucket to look at: an index into the old generation, then into the main one.
    generation: usize,
    bucket: usize,
    /// The word in it to look at.
    from: usize,
    left: usize,
    marker: PhantomData<&'a E>,
}

impl<E: Element> Iter<'_, E> {
    fn new(table: &Table<E>) -> Self {
        Iter {
            generations: [table.old, table.main],
            generation: 0,
            bucket: table.moved,
            from: 0,
            left: table.len,
            marker: PhantomData,
        }
    }

    fn next_place(&mut self) -> Option<(NonNull<Bucket>, usize)> {
        while self.generation < 2 {
            let generation = &self.generations[self.generation];
            if self.bucket >= generation.count() {
                (self.generation, self.bucket) = (self.generation + 1, 0);
                continue;
            }
            let bucket = generation.at(self.bucket);
            // SAFETY: a bucket of the table, which is borrowed or owned.
            if let Some(index) = unsafe { bucket.as_ref() }.next_from(self.from) {
                self.from = index + 1;
                return Some((bucket, index));
            }
            (self.bucket, self.from) = (self.bucket + 1, 0);
        }
        None
    }
}

impl<'a, E: Element> Iterator for Iter<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        let (bucket, index) = self.next_place()?;
        self.left -= 1;
        // SAFETY: the word of an element of the table that is borrowed for 'a.
        Some(unsafe { &*Bucket::word(bucket, index).cast::<E>() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<E: Element> ExactSizeIterator for Iter<'_, E> {}

/// Takes a table apart, element by element; what is not taken is dropped with it.
pub struct IntoIter<E: Element> {
    table: Table<E>,
    /// The bucket to look at: an index into the old generation, then into the main one.
    generation: usize,
    bucket: usize,
}

impl<E: Element> Iterator for IntoIter<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        while self.generation < 2 {
            let generation = [self.table.old, self.table.main][self.generation];
            if self.bucket >= generation.count() {
                (self.generation, self.bucket) = (self.generation + 1, 0);
                continue;
            }
            let bucket = generation.at(self.bucket).as_ptr();
            // SAFETY: a bucket of the table, which is owned. From the end, so that nothing moves.
            unsafe {
                if let Some(last) = (*bucket).len().checked_sub(1) {
                    let index = (*bucket).nth(last);
                    let word = (*bucket).remove(index, &mut self.table.overflow_bytes);
                    self.table.len -= 1;
                    return Some(from_word(word));
                }
            }
            self.bucket += 1;
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.table.len, Some(self.table.len))
    }
}

impl<E: Element> ExactSizeIterator for IntoIter<E> {}

impl<E: Element> IntoIterator for Table<E> {
    type Item = E;
    type IntoIter = IntoIter<E>;

    fn into_iter(self) -> IntoIter<E> {
        let bucket = self.moved;
        IntoIter { table: self, generation: 0, bucket }
    }
}

impl<'a, E: Element> IntoIterator for &'a Table<E> {
    type Item = &'a E;
    type IntoIter = Iter<'a, E>;

    fn into_iter(self) -> Iter<'a, E> {
        self.iter()
    }
}

impl<E: Element> Table<E> {
    pub fn iter(&self) -> Iter<'_, E> {
        Iter::new(self)
    }

    /// Calls `f` with the elements of one bucket and returns the cursor of the next; start with 0,
    /// and 0 comes back at the end. An element that is there from the first call to the last is
    /// seen at least once, whatever resizing happens between; some may be seen more often.
    ///
    /// The cursor counts with its bits reversed: the buckets that one bucket splits into, or that
    /// are merged into one, are then neighbours in the order, on the same side of the cursor.
    pub fn scan(&self, cursor: Cursor, mut f: impl FnMut(&E)) -> Cursor {
        self.scan_buckets(cursor, |bucket| {
            let mut from = 0;
            // SAFETY: a bucket of the table, which is borrowed.
            while let Some(index) = unsafe { bucket.as_ref() }.next_from(from) {
                // SAFETY: what `next_from` names is an element.
                f(unsafe { &*Bucket::word(bucket, index).cast::<E>() });
                from = index + 1;
            }
        })
    }

    /// A step of the same walk that moves the table's own blocks where they should, and has `element` do
    /// so with those of elements.
    pub(crate) fn relocate_from(
        &mut self,
        cursor: Cursor,
        mover: &mut Mover<'_>,
        mut element: impl FnMut(&mut E, &mut Mover<'_>),
    ) -> Cursor {
        // What stands for the array of a table that has none must not be written to.
        if self.is_empty() {
            return 0;
        }
        if cursor == 0 {
            self.main.relocate(mover);
            self.old.relocate(mover);
        }
        self.scan_buckets(cursor, |bucket| {
            // SAFETY: a bucket of the table, which is borrowed mutably, and the references end one by one.
            unsafe { (*bucket.as_ptr()).relocate_overflow(mover) };
            let mut from = 0;
            // SAFETY: as above.
            while let Some(index) = unsafe { bucket.as_ref() }.next_from(from) {
                // SAFETY: what `next_from` names is an element.
                element(unsafe { &mut *Bucket::word(bucket, index).cast::<E>() }, mover);
                from = index + 1;
            }
        })
    }

    /// Calls `f` with the bucket of a cursor, and with those of a larger generation that it splits into.
    fn scan_buckets(&self, cursor: Cursor, mut f: impl FnMut(NonNull<Bucket>)) -> Cursor {
        if !self.is_rehashing() {
            let mask = self.main.mask() as u64;
            f(self.main.at((cursor & mask) as usize));
            return next_cursor(cursor, mask);
        }
        let (small, large) = if self.old.bits < self.main.bits {
            (&self.old, &self.main)
        } else {
            (&self.main, &self.old)
        };
        let (small_mask, large_mask) = (small.mask() as u64, large.mask() as u64);
        f(small.at((cursor & small_mask) as usize));
        // And all of the larger that the smaller's bucket splits into.
        let mut cursor = cursor;
        loop {
            f(large.at((cursor & large_mask) as usize));
            cursor = next_cursor(cursor, large_mask);
            if cursor & (small_mask ^ large_mask) == 0 {
                return cursor;
            }
        }
    }
}

/// Adds one to the bits under `mask`, the highest of them counting least.
fn next_cursor(cursor: u64, mask: u64) -> u64 {
    (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits()
}
