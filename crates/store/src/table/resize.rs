//! Growing and shrinking, a bucket at a time.
//!
//! Owns when a resize begins and how it proceeds: every write moves a bucket, and the owner may
//! have more moved when there is time, or none while a child shares the memory.

use std::mem::ManuallyDrop;

use super::{Generation, Table, from_word};
use crate::bucket::{self, Bucket, SLOTS, Word};
use crate::element::{Element, TAG_BITS};

/// Mean elements a bucket up to which a pause holds growth back.
pub(super) const FORCED_FILL: usize = 4 * SLOTS;
/// Empty old buckets that a step passes over before it leaves the rest to the next.
const EMPTY_VISITS: usize = 16;
/// The most that one resize shrinks by, as a power of two.
const SHRINK_BITS: u8 = 6;
/// Resizes of arrays up to this many buckets are done at once: it costs less than the bookkeeping.
const AT_ONCE_BUCKETS: usize = 4;

impl<E: Element> Table<E> {
    /// No resizing, to spare copy-on-write pages while a child runs; only extreme fill overrides.
    pub fn pause_resize(&mut self) {
        self.paused = true;
    }

    pub fn resume_resize(&mut self) {
        self.paused = false;
    }

    /// Holds growth back, short of extreme fill, where the next array would take more than
    /// `room_bytes`: what it takes would otherwise be taken from the elements.
    #[inline]
    pub fn limit_growth(&mut self, room_bytes: u64) {
        let buckets = self.main.count();
        let is_full = self.len >= buckets * SLOTS;
        self.held = is_full && (2 * buckets * size_of::<Bucket>()) as u64 > room_bytes;
    }

    #[inline]
    pub fn is_rehashing(&self) -> bool {
        self.old.allocated
    }

    /// Moves up to `buckets` buckets of a resize under way; true while there is more to move.
    pub fn rehash_for(&mut self, buckets: usize) -> bool {
        if !self.paused {
            for _ in 0..buckets {
                if !self.is_rehashing() {
                    break;
                }
                self.move_bucket();
            }
            self.shrink_if_sparse();
        }
        self.is_rehashing() && !self.paused
    }

    /// Makes room for `count` elements in all.
    pub fn reserve(&mut self, count: usize) {
        let bits = bits_for(count.div_ceil(SLOTS));
        if count > 0 && (!self.main.allocated || bits > self.main.bits) {
            self.finish_rehash();
            self.start_resize(bits);
        }
    }

    /// A write's share of a resize under way.
    #[inline]
    pub(super) fn step(&mut self) {
        if self.old.allocated {
            self.step_rehash();
        }
    }

    #[cold]
    fn step_rehash(&mut self) {
        if !self.paused || self.len > self.old.count().min(self.main.count()) * FORCED_FILL {
            self.move_bucket();
        }
    }

    #[cold]
    pub(super) fn grow(&mut self) {
        if !self.main.allocated {
            self.start_resize(0);
        }
        let buckets = self.main.count();
        let fill = if self.paused || self.held { FORCED_FILL } else { SLOTS };
        if self.len >= buckets * fill {
            // Steps keep ahead of growth; only a pause that fill overrode can leave some undone.
            self.finish_rehash();
            self.start_resize(bits_for(self.len / SLOTS + 1));
        }
    }

    /// Halves and more when fewer than one element a bucket are left.
    pub(super) fn shrink_if_sparse(&mut self) {
        if self.paused || self.is_rehashing() || self.len >= self.main.count() {
            return;
        }
        // Not further at once than the steps of the inserts that would refill it can keep up with.
        let bits = bits_for((2 * self.len).div_ceil(SLOTS));
        let bits = bits.max(self.main.bits.saturating_sub(SHRINK_BITS));
        if bits < self.main.bits {
            self.start_resize(bits);
        }
    }

    fn start_resize(&mut self, bits: u8) {
        debug_assert!(!self.is_rehashing());
        self.old = std::mem::replace(&mut self.main, Generation::allocate(bits));
        self.moved = 0;
        if self.old.count() <= AT_ONCE_BUCKETS || self.len == 0 {
            self.finish_rehash();
        }
    }

    fn finish_rehash(&mut self) {
        if self.len == 0 {
            self.old.free();
        }
        while self.is_rehashing() {
            self.move_bucket();
        }
    }

    /// Moves the next old bucket that is not empty, if one is near.
    fn move_bucket(&mut self) {
        for _ in 0..EMPTY_VISITS {
            // SAFETY: a bucket of ours; the only reference into the old generation.
            let line = unsafe { &mut *self.old.at(self.moved).as_ptr() };
            let was_empty = line.is_empty();
            if !was_empty {
                let index = self.moved;
                self.overflow_bytes -= line.take_all(|word| self.place_moved(word, index));
            }
            self.moved += 1;
            if self.moved == self.old.count() {
                self.old.free();
                self.moved = 0;
                return;
            }
            if !was_empty {
                return;
            }
        }
    }

    /// Puts a word of old bucket `index` into `main`.
    #[inline]
    fn place_moved(&mut self, word: Word, index: usize) {
        let (old_shift, new_shift) = (self.old.tag_shift(), self.main.tag_shift());
        let known_bits = old_shift + TAG_BITS;
        let hash = if new_shift <= old_shift && u32::from(self.main.bits) <= known_bits {
            index as u64 | (bucket::tag_of(word) as u64) << old_shift
        } else {
            // SAFETY: the word of a live element; it is only borrowed.
            let element = ManuallyDrop::new(unsafe { from_word::<E>(word) });
            self.seed.hash(element.key())
        };
        self.main.push(hash, word, &mut self.overflow_bytes);
    }
}

/// The exponent of the smallest power of two that is at least `buckets`.
fn bits_for(buckets: usize) -> u8 {
    buckets.max(1).next_power_of_two().trailing_zeros() as u8
}
