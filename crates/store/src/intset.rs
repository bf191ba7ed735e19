//! Intsets: a sorted array of integers of one width, byte for byte as RDB files carry it. Owns the
//! format; must not know the settings that decide when a set stops being one.
//!
//! Layout: bytes per integer (u32 LE: 2, 4 or 8), count (u32 LE), the integers (LE, ascending).

use std::fmt;
use std::ptr::NonNull;

use crate::block;
use crate::relocate::Mover;

const HEADER_BYTES: usize = 8;

/// An intset; one word, since the block's header says how long it is.
pub struct Intset {
    /// Always a complete, valid intset.
    block: NonNull<u8>,
}

// SAFETY: an intset owns its block alone and has no interior mutability.
unsafe impl Send for Intset {}
// SAFETY: as above.
unsafe impl Sync for Intset {}

/// Why bytes are not an intset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidIntset {
    pub offset: usize,
    pub reason: &'static str,
}

impl fmt::Display for InvalidIntset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid intset at byte {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for InvalidIntset {}

impl Intset {
    pub fn new() -> Self {
        Self::with_header(2, 0, HEADER_BYTES)
    }

    fn with_header(width: usize, count: usize, byte_len: usize) -> Self {
        let block = block::allocate(byte_len);
        // SAFETY: the block is new and holds `byte_len`; it is initialized before anyone reads it.
        unsafe { block.write_bytes(0, byte_len) };
        let mut intset = Intset { block };
        intset.set_header(width, count);
        intset
    }

    /// A copy of `bytes`, if they are an intset in every detail.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidIntset> {
        validate(bytes)?;
        let mut intset = Self::with_header(2, 0, bytes.len());
        // SAFETY: the block is new, so it does not overlap, and holds `bytes.len()`.
        unsafe { intset.block.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        debug_assert_eq!(intset.as_bytes_mut().len(), bytes.len());
        Ok(intset)
    }

    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the block is a valid intset of `byte_len` initialized bytes.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.byte_len()) }
    }

    fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_bytes`, and `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr(), self.byte_len()) }
    }

    fn header(&self) -> (usize, usize) {
        // SAFETY: every block begins with two words, aligned to 8.
        let [width, count] = unsafe { self.block.cast::<[u32; 2]>().read() };
        (u32::from_le(width) as usize, u32::from_le(count) as usize)
    }

    fn set_header(&mut self, width: usize, count: usize) {
        let count = u32::try_from(count).expect("intsets are limited far below u32");
        // SAFETY: every block has room for its header.
        unsafe { self.block.cast::<[u32; 2]>().write([(width as u32).to_le(), count.to_le()]) };
    }

    pub fn len(&self) -> usize {
        self.header().1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the whole intset, header included.
    pub fn byte_len(&self) -> usize {
        let (width, count) = self.header();
        HEADER_BYTES + width * count
    }

    /// What this takes on the heap.
    pub fn allocated_bytes(&self) -> usize {
        block::size_class(self.byte_len())
    }

    pub(crate) fn relocate(&mut self, mover: &mut Mover<'_>) {
        // SAFETY: the block was allocated, or last resized, for its byte length.
        self.block = unsafe { block::relocate(self.block, self.byte_len(), mover) };
    }

    /// The integer at `index` in ascending order.
    pub fn at(&self, index: usize) -> Option<i64> {
        let (width, count) = self.header();
        (index < count).then(|| read(self.as_bytes(), width, index))
    }

    pub fn min(&self) -> Option<i64> {
        self.at(0)
    }

    pub fn max(&self) -> Option<i64> {
        self.at(self.len().wrapping_sub(1))
    }

    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Where `value` is, or where it belongs.
    fn search(&self, value: i64) -> Result<usize, usize> {
        let (width, count) = self.header();
        let bytes = self.as_bytes();
        let (mut low, mut high) = (0, count);
        // Values often come in order: then the place is the end.
        if count > 0 && value > read(bytes, width, count - 1) {
            return Err(count);
        }
        while low < high {
            let middle = (low + high) / 2;
            match read(bytes, width, middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Whether `value` is new.
    pub fn insert(&mut self, value: i64) -> bool {
        let Err(index) = self.search(value) else { return false };
        let (mut width, count) = self.header();
        if width_of(value) > width {
            self.widen(width_of(value));
            width = width_of(value);
        }
        let (old_len, new_len) = (self.byte_len(), self.byte_len() + width);
        // SAFETY: the block has `old_len` bytes, and the new integer is written before the count
        // makes it part of the intset.
        unsafe {
            self.block = block::resize(self.block, old_len, new_len);
            let place = self.block.add(HEADER_BYTES + width * index);
            place.add(width).copy_from(place, (count - index) * width);
            place.write_bytes(0, width);
        }
        self.set_header(width, count + 1);
        write(self.as_bytes_mut(), width, index, value);
        true
    }

    /// Whether `value` was there. The width stays, as in Redis.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.search(value) else { return false };
        let (width, count) = self.header();
        let old_len = self.byte_len();
        let place = HEADER_BYTES + width * index;
        self.as_bytes_mut().copy_within(place + width.., place);
        self.set_header(width, count - 1);
        // SAFETY: the block was allocated for `old_len`.
        self.block = unsafe { block::resize(self.block, old_len, old_len - width) };
        true
    }

    fn widen(&mut self, width: usize) {
        let (old_width, count) = self.header();
        let mut wide = Self::with_header(width, count, HEADER_BYTES + width * count);
        for index in 0..count {
            let value = read(self.as_bytes(), old_width, index);
            write(wide.as_bytes_mut(), width, index, value);
        }
        *self = wide;
    }

    pub fn iter(&self) -> Iter<'_> {
        let (width, count) = self.header();
        Iter { bytes: self.as_bytes(), width, indexes: 0..count }
    }
}

impl Drop for Intset {
    fn drop(&mut self) {
        // SAFETY: the block was allocated, or last resized, for its byte length.
        unsafe { block::free(self.block, self.byte_len()) }
    }
}

impl Clone for Intset {
    fn clone(&self) -> Self {
        let (width, count) = self.header();
        let mut copy = Self::with_header(width, count, self.byte_len());
        copy.as_bytes_mut().copy_from_slice(self.as_bytes());
        copy
    }
}

impl Default for Intset {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Intset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The integers, ascending.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    width: usize,
    indexes: std::ops::Range<usize>,
}

impl Iterator for Iter<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        self.indexes.next().map(|index| read(self.bytes, self.width, index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indexes.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

#[inline]
fn read(bytes: &[u8], width: usize, index: usize) -> i64 {
    let at = HEADER_BYTES + width * index;
    let field = &bytes[at..at + width];
    match *field {
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => i64::from_le_bytes(field.try_into().expect("validated: 2, 4 or 8 bytes")),
    }
}

fn write(bytes: &mut [u8], width: usize, index: usize, value: i64) {
    let at = HEADER_BYTES + width * index;
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

fn validate(bytes: &[u8]) -> Result<(), InvalidIntset> {
    let invalid = |offset, reason| Err(InvalidIntset { offset, reason });
    let Some((header, integers)) = bytes.split_at_checked(HEADER_BYTES) else {
        return invalid(bytes.len(), "shorter than a header");
    };
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let (width, count) = (word(0) as usize, word(4) as usize);
    if !matches!(width, 2 | 4 | 8) {
        return invalid(0, "width is not 2, 4 or 8");
    }
    if integers.len() != width * count {
        return invalid(4, "count does not tell the length");
    }
    for index in 1..count {
        if read(bytes, width, index - 1) >= read(bytes, width, index) {
            return invalid(HEADER_BYTES + width * index, "not ascending");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut intset = Intset::new();
        assert_eq!(intset.as_bytes(), b"\x02\0\0\0\0\0\0\0");
        assert!(intset.insert(5) && intset.insert(-1) && !intset.insert(5));
        assert_eq!(intset.as_bytes(), b"\x02\0\0\0\x02\0\0\0\xff\xff\x05\0");
        assert!(intset.insert(65535));
        assert_eq!(
            intset.as_bytes(),
            b"\x04\0\0\0\x03\0\0\0\xff\xff\xff\xff\x05\0\0\0\xff\xff\0\0"
        );
        assert!(intset.remove(65535) && !intset.remove(65535));
        assert_eq!(intset.as_bytes()[..8], *b"\x04\0\0\0\x02\0\0\0");
    }

    fn integer() -> impl Strategy<Value = i64> {
        prop_oneof![
            -20i64..20,
            any::<i16>().prop_map(i64::from),
            any::<i32>().prop_map(i64::from),
            any::<i64>()
        ]
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_tree(edits in prop::collection::vec((any::<bool>(), integer()), 0..200)) {
            let (mut intset, mut model) = (Intset::new(), BTreeSet::new());
            for (insert, value) in edits {
                if insert {
                    prop_assert_eq!(intset.insert(value), model.insert(value));
                } else {
                    prop_assert_eq!(intset.remove(value), model.remove(&value));
                }
                prop_assert_eq!(intset.contains(value), model.contains(&value));
            }
            prop_assert_eq!(validate(intset.as_bytes()), Ok(()));
            prop_assert!(intset.iter().eq(model.iter().copied()));
            prop_assert_eq!((intset.min(), intset.max()), (model.first().copied(), model.last().copied()));
            let copy = Intset::from_bytes(intset.as_bytes()).unwrap();
            prop_assert!(copy.iter().eq(intset.iter()));
        }

        /// Files and peers send anything: bytes are refused, or they are safe to use.
        #[test]
        fn any_bytes_are_refused_or_safe(mut bytes in prop::collection::vec(any::<u8>(), 0..60), width in 0u8..9) {
            if bytes.len() >= 8 {
                let count = (bytes.len() - 8) / width.max(1) as usize;
                bytes[..8].copy_from_slice(&[width, 0, 0, 0, count as u8, 0, 0, 0]);
            }
            if let Ok(intset) = Intset::from_bytes(&bytes) {
                prop_assert_eq!(intset.iter().count(), intset.len());
            }
        }
    }
}
