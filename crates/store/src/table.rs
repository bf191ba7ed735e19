//! The hash table of the store: keyspace, expires, hash fields, set members, zset members.
//!
//! Owns placement, resizing, scanning and sampling of one-word [`Element`]s. Must not know what an
//! element is beyond its key, nor when a resize is welcome: that the owner says.
//!
//! # Invariants
//!
//! 1. A generation is an array of 2^bits [`Bucket`]s; the bucket of an element is the low `bits`
//!    bits of its hash. There is the `main` generation, and during a resize the `old` one.
//! 2. During a resize, old buckets below `moved` are empty and stay empty; an element whose old
//!    bucket is at or above `moved` is in the old generation, any other in `main`. So a lookup
//!    reads exactly one bucket, resizing or not.
//! 3. A tag is the 15 bits of the hash from bit `bits & !7` on. Bucket index and tag together
//!    therefore tell the bits that a doubling needs, and only each eighth doubling must read keys
//!    and hash them again; halving never must.
//! 4. `len` counts the elements of both generations, `overflow_bytes` the bytes of all overflow
//!    arrays, and no bucket of a generation holds more elements than its `max_bucket`.
//! 5. A table that never held an element owns no memory: `main` is then the shared empty bucket,
//!    which is never written to.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop, transmute_copy};
use std::ptr::NonNull;

use crate::HashSeed;
use crate::bucket::{self, Bucket, SLOTS, Word};
use crate::element::{Element, TAG_MASK};
use crate::relocate::Mover;

mod iter;
mod resize;
mod sample;
mod slot;
mod stats;
#[cfg(test)]
mod tests;

pub use iter::{IntoIter, Iter};
pub use slot::{Occupied, Slot, Vacant};
pub use stats::TableStats;

/// A hash table of one-word elements. See the head of the file for its laws.
pub struct Table<E: Element> {
    seed: HashSeed,
    main: Generation,
    /// What a resize drains; of no buckets when none is under way.
    old: Generation,
    moved: usize,
    len: usize,
    overflow_bytes: usize,
    paused: bool,
    /// There is no room for a larger array.
    held: bool,
    marker: PhantomData<E>,
}

// SAFETY: the table owns its elements and hands out references by the usual rules.
unsafe impl<E: Element + Send> Send for Table<E> {}
// SAFETY: likewise; no method changes anything through `&self`.
unsafe impl<E: Element + Sync> Sync for Table<E> {}

#[derive(Clone, Copy)]
struct Generation {
    buckets: NonNull<Bucket>,
    /// No bucket has held more elements than this.
    max_bucket: u32,
    bits: u8,
    allocated: bool,
}

impl Generation {
    const fn none() -> Self {
        Generation { buckets: bucket::EMPTY_BUCKET, max_bucket: 0, bits: 0, allocated: false }
    }

    fn layout(bits: u8) -> Layout {
        Layout::array::<Bucket>(1 << bits).expect("a table below the address space")
    }

    fn allocate(bits: u8) -> Self {
        let layout = Self::layout(bits);
        // SAFETY: the size is not zero, and null words make an empty bucket.
        let buckets = unsafe { alloc_zeroed(layout) };
        let Some(buckets) = NonNull::new(buckets) else { handle_alloc_error(layout) };
        Generation { buckets: buckets.cast(), max_bucket: 0, bits, allocated: true }
    }

    fn free(&mut self) {
        if self.allocated {
            // SAFETY: allocated with this layout, and forgotten below.
            unsafe { dealloc(self.buckets.as_ptr().cast(), Self::layout(self.bits)) }
            *self = Self::none();
        }
    }

    fn relocate(&mut self, mover: &mut Mover<'_>) {
        if self.allocated {
            // SAFETY: allocated with this layout, and the table's alone.
            let moved = unsafe { mover.block(self.buckets.cast(), Self::layout(self.bits)) };
            self.buckets = moved.map_or(self.buckets, NonNull::cast);
        }
    }

    /// Buckets that own memory.
    fn count(&self) -> usize {
        if self.allocated { 1 << self.bits } else { 0 }
    }

    #[inline]
    fn mask(&self) -> usize {
        (1 << self.bits) - 1
    }

    #[inline]
    fn tag_shift(&self) -> u32 {
        u32::from(self.bits) & !7
    }

    #[inline]
    fn tag(&self, hash: u64) -> usize {
        (hash >> self.tag_shift()) as usize & TAG_MASK
    }

    #[inline]
    fn at(&self, index: usize) -> NonNull<Bucket> {
        debug_assert!(index <= self.mask());
        // SAFETY: the array has 2^bits buckets.
        unsafe { self.buckets.add(index) }
    }

    /// Puts an element's word where its hash says; returns where that is.
    #[inline]
    fn push(&mut self, hash: u64, word: Word, overflow_bytes: &mut usize) -> Place {
        debug_assert!(self.allocated);
        let bucket = self.at(hash as usize & self.mask());
        // SAFETY: a bucket of ours, to which no other reference lives.
        let line = unsafe { &mut *bucket.as_ptr() };
        let index = line.push(bucket::stamp(word, self.tag(hash)), overflow_bytes);
        // Words fill the lowest gap, so a bucket that grows past its record does so at its end.
        if index >= self.max_bucket as usize {
            self.max_bucket = self.max_bucket.max(line.len() as u32);
        }
        Place { bucket, index }
    }
}

/// Where an element is: its bucket, and its index as [`Bucket::find`] gives it.
#[derive(Clone, Copy)]
struct Place {
    bucket: NonNull<Bucket>,
    index: usize,
}

impl Place {
    #[inline]
    fn word(self) -> *mut Word {
        Bucket::word(self.bucket, self.index)
    }
}

#[inline]
fn into_word<E: Element>(element: E) -> Word {
    const { assert!(size_of::<E>() == size_of::<Word>()) }
    // SAFETY: an element is a transparent wrapper of a pointer.
    unsafe { transmute_copy(&ManuallyDrop::new(element)) }
}

/// # Safety
/// `word` must be that of an element the caller owns.
#[inline]
unsafe fn from_word<E: Element>(word: Word) -> E {
    let word = bucket::strip(word);
    // SAFETY: the caller's promise, and the layout of elements.
    unsafe { transmute_copy(&word) }
}

impl<E: Element> Table<E> {
    pub const fn new(seed: HashSeed) -> Self {
        Table {
            seed,
            main: Generation::none(),
            old: Generation::none(),
            moved: 0,
            len: 0,
            overflow_bytes: 0,
            paused: false,
            held: false,
            marker: PhantomData,
        }
    }

    /// Room for `count` elements without a resize. The caller vouches for `count`: memory is
    /// taken at once.
    pub fn with_capacity(seed: HashSeed, count: usize) -> Self {
        let mut table = Table::new(seed);
        table.reserve(count);
        table
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn seed(&self) -> HashSeed {
        self.seed
    }

    /// The hash that the `_hashed` methods want.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.seed.hash(key)
    }

    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<&E> {
        self.find_hashed(self.hash(key), key)
    }

    #[inline]
    pub fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<&E> {
        self.find_with(hash, |e| e.key() == key)
    }

    /// The first element with this hash that `is_match` accepts; for those who know more than the
    /// key, such as the pointer.
    #[inline]
    pub fn find_with(&self, hash: u64, is_match: impl FnMut(&E) -> bool) -> Option<&E> {
        let place = self.locate(hash, is_match)?;
        // SAFETY: the word of an element, borrowed with the table.
        Some(unsafe { &*place.word().cast::<E>() })
    }

    #[inline]
    pub fn find_mut(&mut self, key: &[u8]) -> Option<&mut E> {
        self.find_mut_hashed(self.hash(key), key)
    }

    #[inline]
    pub fn find_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        self.find_mut_with(hash, |e| e.key() == key)
    }

    #[inline]
    pub fn find_mut_with(&mut self, hash: u64, is_match: impl FnMut(&E) -> bool) -> Option<&mut E> {
        let place = self.locate(hash, is_match)?;
        // SAFETY: the word of an element, borrowed mutably with the table.
        Some(unsafe { &mut *place.word().cast::<E>() })
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// The place of `key`, filled or not, for one-lookup updates.
    #[inline]
    pub fn slot(&mut self, key: &[u8]) -> Slot<'_, E> {
        self.slot_hashed(self.hash(key), key)
    }

    #[inline]
    pub fn slot_hashed(&mut self, hash: u64, key: &[u8]) -> Slot<'_, E> {
        self.step();
        match self.locate(hash, |e| e.key() == key) {
            Some(place) => Slot::Occupied(Occupied::new(self, place)),
            None => Slot::Vacant(Vacant::new(self, hash)),
        }
    }

    /// Adds `element`, or puts it in the place of the one with the same key, which is returned.
    pub fn insert(&mut self, element: E) -> Option<E> {
        let hash = self.hash(element.key());
        self.step();
        match self.locate(hash, |e| e.key() == element.key()) {
            Some(place) => Some(Occupied::new(self, place).replace(element)),
            None => {
                self.insert_new_hashed(hash, element);
                None
            }
        }
    }

    /// Adds an element whose key the caller knows to be absent.
    #[inline]
    pub fn insert_new_hashed(&mut self, hash: u64, element: E) -> &mut E {
        let place = self.insert_place(hash, element);
        // SAFETY: the word just written, borrowed mutably with the table.
        unsafe { &mut *place.word().cast::<E>() }
    }

    #[inline]
    fn insert_place(&mut self, hash: u64, element: E) -> Place {
        debug_assert!(self.locate(hash, |e| e.key() == element.key()).is_none());
        self.step();
        if self.len >= self.main.count() * SLOTS {
            self.grow();
        }
        let generation = if self.is_in_old(hash) { &mut self.old } else { &mut self.main };
        let place = generation.push(hash, into_word(element), &mut self.overflow_bytes);
        self.len += 1;
        place
    }

    #[inline]
    pub fn remove(&mut self, key: &[u8]) -> Option<E> {
        self.remove_hashed(self.hash(key), key)
    }

    #[inline]
    pub fn remove_hashed(&mut self, hash: u64, key: &[u8]) -> Option<E> {
        self.remove_with(hash, |e| e.key() == key)
    }

    #[inline]
    pub fn remove_with(&mut self, hash: u64, is_match: impl FnMut(&E) -> bool) -> Option<E> {
        self.step();
        let place = self.locate(hash, is_match)?;
        Some(self.take(place))
    }

    /// Removes every element that `keep` declines.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut E) -> bool) {
        for generation in [self.old, self.main] {
            for i in 0..generation.count() {
                let bucket = generation.at(i);
                let mut from = 0;
                // SAFETY: a bucket of ours; the reference ends before `remove` takes its own.
                while let Some(index) = unsafe { bucket.as_ref() }.next_from(from) {
                    // SAFETY: the word of an element, and the table is borrowed mutably.
                    if keep(unsafe { &mut *Bucket::word(bucket, index).cast::<E>() }) {
                        from = index + 1;
                        continue;
                    }
                    // SAFETY: as above. What fills the hole is looked at again at this index.
                    let word =
                        unsafe { (*bucket.as_ptr()).remove(index, &mut self.overflow_bytes) };
                    self.len -= 1;
                    // SAFETY: the word left the table, so it is ours.
                    drop(unsafe { from_word::<E>(word) });
                }
            }
        }
        self.shrink_if_sparse();
    }

    /// Drops every element and gives all memory back.
    pub fn clear(&mut self) {
        drop(self.take_table());
    }

    /// Leaves an empty table and returns the full one, for a lazy free or an [`IntoIter`].
    pub fn take_table(&mut self) -> Self {
        let mut empty = Table::new(self.seed);
        empty.paused = self.paused;
        empty.held = self.held;
        std::mem::replace(self, empty)
    }

    /// Bytes of the table itself, without its elements.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + (self.main.count() + self.old.count()) * size_of::<Bucket>()
            + self.overflow_bytes
    }

    /// Of these, what goes when the resize under way has ended.
    pub fn rehashing_bytes(&self) -> usize {
        self.old.count() * size_of::<Bucket>()
    }

    /// Asks the CPU for the line of the bucket that a lookup of `hash` will read.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        let (bucket, _) = self.bucket_of(hash);
        prefetch(bucket.as_ptr().cast());
    }

    /// Asks for what the bucket leads to: call it when [`prefetch_bucket`](Self::prefetch_bucket)
    /// had time to work.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        let (bucket, tag) = self.bucket_of(hash);
        // SAFETY: a bucket of ours.
        unsafe { bucket.as_ref() }.for_each_candidate(tag, prefetch);
    }

    /// Whether an element of this hash belongs to the old generation still.
    #[inline]
    fn is_in_old(&self, hash: u64) -> bool {
        self.old.allocated && hash as usize & self.old.mask() >= self.moved
    }

    /// The one bucket where an element of this hash is or would go, and the tag it has there.
    #[inline]
    fn bucket_of(&self, hash: u64) -> (NonNull<Bucket>, usize) {
        let generation = if self.is_in_old(hash) { &self.old } else { &self.main };
        (generation.at(hash as usize & generation.mask()), generation.tag(hash))
    }

    #[inline]
    fn locate(&self, hash: u64, mut is_match: impl FnMut(&E) -> bool) -> Option<Place> {
        let (bucket, tag) = self.bucket_of(hash);
        // SAFETY: a bucket of ours, and words with a tag are elements.
        let index =
            unsafe { bucket.as_ref() }.find(tag, |word| is_match(unsafe { &*word.cast::<E>() }))?;
        Some(Place { bucket, index })
    }

    /// Removes what `locate` found. Callers have made their step before.
    #[inline]
    fn take(&mut self, place: Place) -> E {
        // SAFETY: a bucket of ours, and no reference into it lives.
        let word =
            unsafe { (*place.bucket.as_ptr()).remove(place.index, &mut self.overflow_bytes) };
        self.len -= 1;
        if self.len < self.main.count() {
            self.shrink_if_sparse();
        }
        // SAFETY: the word left the table, so it is ours.
        unsafe { from_word(word) }
    }
}

impl<E: Element> Drop for Table<E> {
    fn drop(&mut self) {
        for mut generation in [self.old, self.main] {
            if needs_drop::<E>() || self.overflow_bytes > 0 {
                for i in 0..generation.count() {
                    // SAFETY: a bucket of ours; each word leaves the table and is dropped once.
                    unsafe {
                        let line = &mut *generation.at(i).as_ptr();
                        line.take_all(|word| drop(from_word::<E>(word)));
                    }
                }
            }
            generation.free();
        }
    }
}

#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86_64, and a prefetch of any address is harmless.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
