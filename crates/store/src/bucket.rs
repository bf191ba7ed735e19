//! One bucket: a cache line of eight words, and the overflow array its last word may link to.
//!
//! Owns the layout of a line and where in it a word goes. Knows tags, but neither hashes nor what
//! the pointers lead to, and drops no element.
//!
//! A word is
//! - null: free;
//! - bit 63 set: an element, bits 48..63 its tag, bits 0..48 its address;
//! - else, and only as the last word of a line: a link, bits 48..63 the number of words in the
//!   overflow array, bits 0..48 its address.
//!
//! An overflow array holds at least two elements (the line's eighth moves there with the ninth),
//! has no holes, and is allocated to the size class of its length, which therefore needs no
//! capacity field.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

use crate::block;
use crate::element::{ADDRESS_MASK, OCCUPIED, TAG_BITS, TAG_MASK};
use crate::relocate::Mover;
use crate::size_class;

/// A tagged pointer, a link, or null.
pub(crate) type Word = *mut u8;

/// Words in a line; also the mean fill at which a table grows.
pub(crate) const SLOTS: usize = 8;
const LINK: usize = SLOTS - 1;
const ADDRESS_BITS: u32 = 48;

#[repr(C, align(64))]
pub(crate) struct Bucket {
    words: [Word; SLOTS],
}

/// Stands in for the array of a table that has none, so that lookups need no test for it.
struct EmptyBucket(Bucket);
// SAFETY: never written: tables allocate before their first insertion.
unsafe impl Sync for EmptyBucket {}
static EMPTY: EmptyBucket = EmptyBucket(Bucket { words: [ptr::null_mut(); SLOTS] });

pub(crate) const EMPTY_BUCKET: NonNull<Bucket> = {
    // SAFETY: the address of a static.
    unsafe { NonNull::new_unchecked((&raw const EMPTY.0).cast_mut()) }
};

/// The word of an element: its address with the tag stamped on.
#[inline]
pub(crate) fn stamp(word: Word, tag: usize) -> Word {
    word.map_addr(|a| (a & ADDRESS_MASK) | OCCUPIED | (tag << ADDRESS_BITS))
}

/// The bare address of a word.
#[inline]
pub(crate) fn strip(word: Word) -> Word {
    word.map_addr(|a| a & ADDRESS_MASK)
}

#[inline]
pub(crate) fn tag_of(word: Word) -> usize {
    (word.addr() >> ADDRESS_BITS) & TAG_MASK
}

#[inline]
fn is_element(word: Word) -> bool {
    word.addr() & OCCUPIED != 0
}

/// An overflow array: where and how long.
#[derive(Clone, Copy)]
struct Overflow {
    words: NonNull<Word>,
    len: usize,
}

impl Overflow {
    fn layout(len: usize) -> Layout {
        let size = size_class::round_up(len * size_of::<Word>());
        Layout::from_size_align(size, align_of::<Word>()).expect("at most 2^15 words")
    }

    fn allocate(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: the size is not zero, as an array holds two words at least.
        let words = NonNull::new(unsafe { alloc(layout) });
        let Some(words) = words else { handle_alloc_error(layout) };
        Overflow { words: words.cast(), len }
    }

    /// Makes the allocation fit `len` words; words beyond the old length are uninitialised.
    fn resize(&mut self, len: usize) {
        let (old, new) = (Self::layout(self.len), Self::layout(len));
        if old != new {
            // SAFETY: `words` was allocated with the layout of `len`, as the file's head says.
            let words = unsafe { block::reallocate(self.words.cast(), old, new) };
            self.words = words.cast();
        }
        self.len = len;
    }

    fn free(self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.words.as_ptr().cast(), Self::layout(self.len)) }
    }

    fn bytes(self) -> usize {
        Self::layout(self.len).size()
    }

    /// # Panics
    /// Past 2^15 words, which a keyed hash and forced growth put out of reach.
    fn to_link(self) -> Word {
        assert!(self.len <= TAG_MASK, "overflow of a bucket beyond its link's count");
        let link = strip(self.words.as_ptr().cast());
        assert!(link == self.words.as_ptr().cast(), "address wider than 48 bits");
        link.map_addr(|a| a | (self.len << ADDRESS_BITS))
    }

    #[inline]
    fn from_link(word: Word) -> Option<Self> {
        let words = NonNull::new(strip(word).cast())?;
        (!is_element(word)).then_some(Overflow { words, len: tag_of(word) })
    }

    #[inline]
    fn at(self, index: usize) -> *mut Word {
        debug_assert!(index < self.len);
        // SAFETY: inside the array.
        unsafe { self.words.as_ptr().add(index) }
    }
}

impl Bucket {
    #[inline]
    fn overflow(&self) -> Option<Overflow> {
        Overflow::from_link(self.words[LINK])
    }

    /// Moves the overflow array if it should.
    pub(crate) fn relocate_overflow(&mut self, mover: &mut Mover<'_>) {
        let Some(mut overflow) = self.overflow() else { return };
        // SAFETY: allocated with this layout, and reached by this link alone.
        let moved = unsafe { mover.block(overflow.words.cast(), Overflow::layout(overflow.len)) };
        if let Some(moved) = moved {
            overflow.words = moved.cast();
            self.words[LINK] = overflow.to_link();
        }
    }

    /// Elements in the line and its overflow; reads the line only.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let (_, occupied) = self.masks(0);
        occupied.count_ones() as usize + self.overflow().map_or(0, |o| o.len)
    }

    pub(crate) fn overflow_len(&self) -> usize {
        self.overflow().map_or(0, |o| o.len)
    }

    #[cfg(test)]
    pub(crate) fn overflow_bytes(&self) -> usize {
        self.overflow().map_or(0, Overflow::bytes)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // A line with an overflow is full, so the words alone tell.
        let (_, occupied) = self.masks(0);
        occupied == 0
    }

    /// Bit i of the first: word i is an element with `tag`; of the second: word i is an element.
    #[inline]
    fn masks(&self, tag: usize) -> (u32, u32) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            self.masks_sse2(tag)
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        {
            let wanted = (OCCUPIED >> ADDRESS_BITS) | tag;
            let (mut matches, mut occupied) = (0, 0);
            for (i, word) in self.words.iter().enumerate() {
                matches |= u32::from(word.addr() >> ADDRESS_BITS == wanted) << i;
                occupied |= u32::from(is_element(*word)) << i;
            }
            (matches, occupied)
        }
    }

    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline]
    fn masks_sse2(&self, tag: usize) -> (u32, u32) {
        use std::arch::x86_64::*;
        const UPPER_HALVES: i32 = 0b11_01_11_01;
        let wanted = ((OCCUPIED >> ADDRESS_BITS) | tag) as u16 as i16;
        let line = self.words.as_ptr().cast::<__m128i>();
        // SAFETY: SSE2 is part of x86_64; the line is 64 bytes, 64-aligned.
        unsafe {
            let load = |i| _mm_castsi128_ps(_mm_load_si128(line.add(i)));
            let upper = |a, b| {
                let halves = _mm_shuffle_ps::<UPPER_HALVES>(a, b);
                _mm_srai_epi32::<16>(_mm_castps_si128(halves))
            };
            // The eight upper 16 bits, in order, in one register.
            let tops = _mm_packs_epi32(upper(load(0), load(1)), upper(load(2), load(3)));
            let equal = _mm_cmpeq_epi16(tops, _mm_set1_epi16(wanted));
            let both = _mm_movemask_epi8(_mm_packs_epi16(equal, tops)) as u32;
            // Bit 63 of a word is the sign of its upper 16 bits, which packing keeps.
            (both & 0xff, both >> 8)
        }
    }

    /// The index of the first element with `tag` that `is_match` accepts.
    #[inline]
    pub(crate) fn find(
        &self,
        tag: usize,
        mut is_match: impl FnMut(*const Word) -> bool,
    ) -> Option<usize> {
        let (mut matches, _) = self.masks(tag);
        while matches != 0 {
            let index = matches.trailing_zeros() as usize;
            if is_match(&raw const self.words[index]) {
                return Some(index);
            }
            matches &= matches - 1;
        }
        let overflow = self.overflow()?;
        for i in 0..overflow.len {
            let word = overflow.at(i);
            // SAFETY: `at` is inside the array, whose words are all initialised.
            if tag_of(unsafe { *word }) == tag && is_match(word) {
                return Some(SLOTS + i);
            }
        }
        None
    }

    /// Calls `f` with the address of each element's pointer whose tag is `tag`, in the line only.
    #[inline]
    pub(crate) fn for_each_candidate(&self, tag: usize, mut f: impl FnMut(*const u8)) {
        let (mut matches, _) = self.masks(tag);
        while matches != 0 {
            f(strip(self.words[matches.trailing_zeros() as usize]));
            matches &= matches - 1;
        }
        if let Some(overflow) = self.overflow() {
            f(overflow.words.as_ptr().cast());
        }
    }

    /// Where the word that [`find`](Bucket::find) or [`nth`](Bucket::nth) named lies.
    #[inline]
    pub(crate) fn word(this: NonNull<Bucket>, index: usize) -> *mut Word {
        if index < SLOTS {
            // SAFETY: `this` is a live line and the index inside it.
            return unsafe { (&raw mut (*this.as_ptr()).words).cast::<Word>().add(index) };
        }
        // SAFETY: a live line; shared access to its link only.
        let link = unsafe { (*this.as_ptr()).words[LINK] };
        Overflow::from_link(link).expect("index into an overflow").at(index - SLOTS)
    }

    /// The index of the `n`th element, `n` below [`len`](Bucket::len).
    pub(crate) fn nth(&self, n: usize) -> usize {
        let (_, mut occupied) = self.masks(0);
        let inline = occupied.count_ones() as usize;
        if n >= inline {
            return SLOTS + n - inline;
        }
        for _ in 0..n {
            occupied &= occupied - 1;
        }
        occupied.trailing_zeros() as usize
    }

    /// The first element's index at or after `from`.
    #[inline]
    pub(crate) fn next_from(&self, from: usize) -> Option<usize> {
        if from < SLOTS {
            let (_, occupied) = self.masks(0);
            let left = occupied >> from << from;
            if left != 0 {
                return Some(left.trailing_zeros() as usize);
            }
        }
        let next = from.max(SLOTS);
        (next - SLOTS < self.overflow_len()).then_some(next)
    }

    /// Adds an element's word and returns its index. `overflow_bytes` follows the allocations.
    #[inline]
    pub(crate) fn push(&mut self, word: Word, overflow_bytes: &mut usize) -> usize {
        debug_assert!(is_element(word));
        let (_, occupied) = self.masks(0);
        let free = (!occupied).trailing_zeros() as usize;
        if free < LINK || (free == LINK && self.words[LINK].is_null()) {
            self.words[free] = word;
            return free;
        }
        self.push_overflow(word, overflow_bytes)
    }

    #[cold]
    fn push_overflow(&mut self, word: Word, overflow_bytes: &mut usize) -> usize {
        let overflow = match self.overflow() {
            Some(mut overflow) => {
                *overflow_bytes -= overflow.bytes();
                overflow.resize(overflow.len + 1);
                overflow
            }
            None => {
                let overflow = Overflow::allocate(2);
                // SAFETY: within the fresh array.
                unsafe { overflow.at(0).write(self.words[LINK]) };
                overflow
            }
        };
        // SAFETY: within the array, which has just been made long enough.
        unsafe { overflow.at(overflow.len - 1).write(word) };
        *overflow_bytes += overflow.bytes();
        self.words[LINK] = overflow.to_link();
        SLOTS + overflow.len - 1
    }

    /// Takes the element's word at `index` out; others of this bucket may change their index.
    #[inline]
    pub(crate) fn remove(&mut self, index: usize, overflow_bytes: &mut usize) -> Word {
        let Some(overflow) = self.overflow() else {
            return std::mem::replace(&mut self.words[index], ptr::null_mut());
        };
        // The overflow's last word fills the hole: lines with an overflow stay full.
        let filler = self.pop_overflow(overflow, overflow_bytes);
        if index == SLOTS + overflow.len - 1 {
            return filler;
        }
        let hole = if index >= SLOTS && self.overflow().is_none() {
            // The array dissolved: the one word left in it now lies in the line.
            &raw mut self.words[LINK]
        } else {
            Bucket::word(NonNull::from_mut(self), index)
        };
        // SAFETY: `hole` is a word of this line or of its overflow.
        unsafe { ptr::replace(hole, filler) }
    }

    /// Takes the last word of the overflow; dissolves it when one word would be left.
    #[cold]
    fn pop_overflow(&mut self, mut overflow: Overflow, overflow_bytes: &mut usize) -> Word {
        *overflow_bytes -= overflow.bytes();
        // SAFETY: the array's last word.
        let last = unsafe { *overflow.at(overflow.len - 1) };
        if overflow.len == 2 {
            // SAFETY: the array's first word.
            self.words[LINK] = unsafe { *overflow.at(0) };
            overflow.free();
        } else {
            overflow.resize(overflow.len - 1);
            *overflow_bytes += overflow.bytes();
            self.words[LINK] = overflow.to_link();
        }
        last
    }

    /// Empties the bucket, calling `f` with each element's word. Returns the overflow bytes freed.
    #[inline]
    pub(crate) fn take_all(&mut self, mut f: impl FnMut(Word)) -> usize {
        let overflow = self.overflow();
        let words = std::mem::replace(&mut self.words, [ptr::null_mut(); SLOTS]);
        for word in words {
            if is_element(word) {
                f(word);
            }
        }
        let Some(overflow) = overflow else { return 0 };
        for i in 0..overflow.len {
            // SAFETY: inside the array.
            f(unsafe { *overflow.at(i) });
        }
        overflow.free();
        overflow.bytes()
    }
}

const _: () = assert!(size_of::<Bucket>() == 64 && TAG_BITS == 15);
