//! Listpacks: a sequence of strings and integers in one block, byte for byte as RDB files carry
//! it. Owns the format, its edits and its validation; must not know which type uses it.
//!
//! Layout: total bytes (u32 LE), count (u16 LE, 65535 = too many to say), entries, 0xFF.

use std::fmt;
use std::ptr::NonNull;

use self::check::validate;
use self::entry::*;
use crate::block;
use crate::relocate::Mover;
use crate::value::Item;

mod check;
mod entry;
#[cfg(test)]
mod tests;

pub(crate) use self::check::has_duplicates;
pub use self::entry::classify;

pub(crate) const HEADER_BYTES: usize = 6;
const EMPTY_BYTES: usize = HEADER_BYTES + 1;
const END: u8 = 0xFF;
const COUNT_UNKNOWN: u16 = u16::MAX;

/// No listpack is made to grow beyond this, though its header could say more.
const SAFETY_LIMIT_BYTES: usize = 1 << 30;

/// A listpack; one word, since the block's header says how long it is.
pub struct Listpack {
    /// Always a complete, valid listpack.
    block: NonNull<u8>,
}

// SAFETY: a listpack owns its block alone and has no interior mutability.
unsafe impl Send for Listpack {}
// SAFETY: as above.
unsafe impl Sync for Listpack {}

/// The place of an element. Good until the next edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(u32);

/// Why bytes are not a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidListpack {
    pub offset: usize,
    pub reason: &'static str,
}

impl fmt::Display for InvalidListpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid listpack at byte {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for InvalidListpack {}

impl Listpack {
    pub fn new() -> Self {
        let block = block::allocate(EMPTY_BYTES);
        let mut listpack = Listpack { block };
        // SAFETY: the block holds EMPTY_BYTES; they are initialized here before anyone reads them.
        unsafe { block.write_bytes(0, EMPTY_BYTES) };
        listpack.set_byte_len(EMPTY_BYTES);
        listpack.as_bytes_mut()[HEADER_BYTES] = END;
        listpack
    }

    /// A copy of `bytes`, if they are a listpack in every detail. Elements that others encoded
    /// otherwise than we would (no Redis does) are encoded anew.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidListpack> {
        let is_canonical = validate(bytes)?;
        let foreign = Self::copy_of(bytes);
        if is_canonical {
            return Ok(foreign);
        }
        let mut listpack = Listpack::new();
        for item in &foreign {
            listpack.push_back_items(&[item]);
        }
        Ok(listpack)
    }

    /// `bytes` are a valid listpack.
    fn copy_of(bytes: &[u8]) -> Self {
        let block = block::allocate(bytes.len());
        // SAFETY: the block is new, so it does not overlap, and holds `bytes.len()`.
        unsafe { block.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Listpack { block }
    }

    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the block is a valid listpack of `byte_len` initialized bytes.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.byte_len()) }
    }

    fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_bytes`, and `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr(), self.byte_len()) }
    }

    /// Bytes of the whole listpack, header and end included.
    pub fn byte_len(&self) -> usize {
        // SAFETY: every block begins with its length, aligned to 8.
        u32::from_le(unsafe { self.block.cast::<u32>().read() }) as usize
    }

    fn set_byte_len(&mut self, len: usize) {
        let len = u32::try_from(len).expect("edits stay within the safety limit");
        // SAFETY: every block has room for its header.
        unsafe { self.block.cast::<u32>().write(len.to_le()) };
    }

    fn header_count(&self) -> u16 {
        let bytes = self.as_bytes();
        u16::from_le_bytes([bytes[4], bytes[5]])
    }

    fn set_header_count(&mut self, count: u16) {
        self.as_bytes_mut()[4..6].copy_from_slice(&count.to_le_bytes());
    }

    /// Adds to the count; once too large to say it stays unknown.
    fn adjust_count(&mut self, added: isize) {
        let count = self.header_count();
        if count != COUNT_UNKNOWN {
            let count = count as isize + added;
            self.set_header_count(count.min(COUNT_UNKNOWN as isize) as u16);
        }
    }

    /// Number of elements; a walk over them when there are more than the header can say.
    pub fn len(&self) -> usize {
        match self.header_count() {
            COUNT_UNKNOWN => self.iter().count(),
            count => count as usize,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.byte_len() == EMPTY_BYTES
    }

    /// What this takes on the heap.
    pub fn allocated_bytes(&self) -> usize {
        block::size_class(self.byte_len())
    }

    pub(crate) fn relocate(&mut self, mover: &mut Mover<'_>) {
        // SAFETY: the block was allocated, or last resized, for its byte length.
        self.block = unsafe { block::relocate(self.block, self.byte_len(), mover) };
    }

    /// Whether `more` bytes can be added without outgrowing what a listpack may be.
    pub fn is_safe_to_add(&self, more: usize) -> bool {
        self.byte_len().saturating_add(more) <= SAFETY_LIMIT_BYTES
    }

    pub fn iter(&self) -> Iter<'_> {
        let bytes = self.as_bytes();
        Iter { bytes, front: HEADER_BYTES, back: bytes.len() - 1 }
    }

    /// The elements from `pos` to the end.
    pub fn iter_from(&self, pos: Pos) -> Iter<'_> {
        Iter { front: pos.0 as usize, ..self.iter() }
    }

    /// The elements before `pos`.
    pub fn iter_before(&self, pos: Pos) -> Iter<'_> {
        Iter { back: pos.0 as usize, ..self.iter() }
    }

    /// The `n` elements from the one at `index` on.
    pub fn iter_range(&self, index: usize, n: usize) -> Iter<'_> {
        let place = |index| self.seek(index).unwrap_or(self.end()).0 as usize;
        Iter { bytes: self.as_bytes(), front: place(index), back: place(index.saturating_add(n)) }
    }

    pub fn at(&self, pos: Pos) -> Item<'_> {
        decode(self.as_bytes(), pos.0 as usize).0
    }

    fn end(&self) -> Pos {
        Pos(self.byte_len() as u32 - 1)
    }

    fn some_unless_end(&self, pos: Pos) -> Option<Pos> {
        (pos < self.end()).then_some(pos)
    }

    pub fn first(&self) -> Option<Pos> {
        self.some_unless_end(Pos(HEADER_BYTES as u32))
    }

    pub fn last(&self) -> Option<Pos> {
        self.prev(self.end())
    }

    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.some_unless_end(self.after(pos))
    }

    fn after(&self, pos: Pos) -> Pos {
        let at = pos.0 as usize;
        Pos((at + whole_entry_len(self.as_bytes(), at)) as u32)
    }

    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        let at = pos.0 as usize;
        (at > HEADER_BYTES).then(|| Pos(entry_before(self.as_bytes(), at) as u32))
    }

    /// The place of element `index`, walked to from the nearer end.
    pub fn seek(&self, index: usize) -> Option<Pos> {
        let count = self.header_count();
        if count == COUNT_UNKNOWN || index < count as usize / 2 {
            let mut pos = self.first()?;
            for _ in 0..index {
                pos = self.next(pos)?;
            }
            Some(pos)
        } else {
            let from_end = (count as usize).checked_sub(index + 1)?;
            let mut pos = self.last()?;
            for _ in 0..from_end {
                pos = self.prev(pos)?;
            }
            Some(pos)
        }
    }

    /// The first element that begins at the byte `from` or behind it, and its index.
    pub fn seek_byte(&self, from: usize) -> Option<(Pos, usize)> {
        let bytes = self.as_bytes();
        let (mut at, mut index) = (HEADER_BYTES, 0);
        while at < from && at < bytes.len() - 1 {
            at += whole_entry_len(bytes, at);
            index += 1;
        }
        Some((self.some_unless_end(Pos(at as u32))?, index))
    }

    /// How many elements come before `pos`.
    pub fn index_of(&self, pos: Pos) -> usize {
        let bytes = self.as_bytes();
        let (mut at, mut index) = (HEADER_BYTES, 0);
        while at < pos.0 as usize {
            at += whole_entry_len(bytes, at);
            index += 1;
        }
        index
    }

    /// The first element equal to `needle` at or after `from`, looking only at every
    /// `skip + 1`th.
    pub fn find(&self, from: Pos, needle: &[u8], skip: usize) -> Option<Pos> {
        let bytes = self.as_bytes();
        let end = bytes.len() - 1;
        let needle = Needle::new(needle);
        let mut at = from.0 as usize;
        while at < end {
            if needle.is_at(bytes, at) {
                return Some(Pos(at as u32));
            }
            at += whole_entry_len(bytes, at);
            for _ in 0..skip {
                if at >= end {
                    return None;
                }
                at += whole_entry_len(bytes, at);
            }
        }
        None
    }

    pub fn push_back(&mut self, text: &[u8]) {
        self.insert_at(self.end(), &[classify(text)]);
    }

    pub fn push_front(&mut self, text: &[u8]) {
        self.insert_at(Pos(HEADER_BYTES as u32), &[classify(text)]);
    }

    /// Appends several elements in one move.
    pub fn push_back_items(&mut self, items: &[Item<'_>]) {
        self.insert_at(self.end(), items);
    }

    pub fn insert_before(&mut self, pos: Pos, text: &[u8]) {
        self.insert_at(pos, &[classify(text)]);
    }

    pub fn insert_items_before(&mut self, pos: Pos, items: &[Item<'_>]) {
        self.insert_at(pos, items);
    }

    pub fn insert_after(&mut self, pos: Pos, text: &[u8]) {
        self.insert_at(self.after(pos), &[classify(text)]);
    }

    /// Puts `text` in the place of the element at `pos`; `pos` stays good.
    pub fn replace(&mut self, pos: Pos, text: &[u8]) {
        self.replace_item(pos, classify(text));
    }

    pub fn replace_item(&mut self, pos: Pos, item: Item<'_>) {
        let item = canonical(item);
        let at = pos.0 as usize;
        let old_len = whole_entry_len(self.as_bytes(), at);
        let data_len = data_len(&item);
        let gap = self.splice(at, old_len, data_len + backlen_len(data_len));
        write_entry(gap, &item, data_len);
    }

    /// Removes the element at `pos`; what followed it is at `pos` then, if anything did.
    pub fn remove(&mut self, pos: Pos) -> Option<Pos> {
        self.remove_n(pos, 1)
    }

    /// Removes up to `n` elements from `pos` on.
    pub fn remove_n(&mut self, pos: Pos, n: usize) -> Option<Pos> {
        let at = pos.0 as usize;
        let bytes = self.as_bytes();
        let end = bytes.len() - 1;
        let (mut stop, mut removed) = (at, 0);
        while removed < n && stop < end {
            stop += whole_entry_len(bytes, stop);
            removed += 1;
        }
        self.splice(at, stop - at, 0);
        self.adjust_count(-(removed as isize));
        self.some_unless_end(pos)
    }

    /// Removes up to `n` elements from the one at `index` on.
    pub fn remove_range(&mut self, index: usize, n: usize) {
        if let Some(pos) = self.seek(index) {
            self.remove_n(pos, n);
        }
    }

    /// Keeps the elements before `pos` and returns the others. `kept` is how many are kept.
    pub fn split_off(&mut self, pos: Pos, kept: usize) -> Listpack {
        let at = pos.0 as usize;
        let moved = self.len() - kept;
        let mut tail = Listpack::new();
        let entries = &self.as_bytes()[at..self.byte_len() - 1];
        tail.splice(HEADER_BYTES, 0, entries.len()).copy_from_slice(entries);
        tail.adjust_count(moved as isize);
        self.splice(at, self.byte_len() - 1 - at, 0);
        self.set_header_count(kept.min(COUNT_UNKNOWN as usize) as u16);
        tail
    }

    /// Appends all elements of `other`.
    pub fn append(&mut self, other: &Listpack) {
        let entries = &other.as_bytes()[HEADER_BYTES..other.byte_len() - 1];
        let at = self.byte_len() - 1;
        self.splice(at, 0, entries.len()).copy_from_slice(entries);
        self.adjust_count(other.len() as isize);
    }

    fn insert_at(&mut self, pos: Pos, items: &[Item<'_>]) {
        let total: usize = items.iter().map(|item| with_backlen(data_len(&canonical(*item)))).sum();
        let mut gap = self.splice(pos.0 as usize, 0, total);
        for item in items {
            let item = canonical(*item);
            let data_len = data_len(&item);
            let (entry, rest) = gap.split_at_mut(with_backlen(data_len));
            write_entry(entry, &item, data_len);
            gap = rest;
        }
        self.adjust_count(items.len() as isize);
    }

    /// Makes room: `removed` bytes at `at` become `inserted` ones, which the caller must fill.
    fn splice(&mut self, at: usize, removed: usize, inserted: usize) -> &mut [u8] {
        let old_len = self.byte_len();
        let new_len = old_len - removed + inserted;
        assert!(at >= HEADER_BYTES && at + removed < old_len);
        assert!(u32::try_from(new_len).is_ok(), "a listpack is at most 4 GiB");
        let tail_len = old_len - at - removed;
        // SAFETY: the tail lies within the old length, as asserted. A growing block is moved
        // before its tail, a shrinking one after, so both copies stay inside the allocation.
        unsafe {
            if new_len > old_len {
                self.block = block::resize(self.block, old_len, new_len);
            }
            if inserted != removed {
                let gap = self.block.add(at);
                gap.add(inserted).copy_from(gap.add(removed), tail_len);
            }
            if new_len < old_len {
                self.block = block::resize(self.block, old_len, new_len);
            }
            // The gap may be fresh memory: it is never lent uninitialized.
            self.block.add(at).write_bytes(0, inserted);
        }
        self.set_byte_len(new_len);
        &mut self.as_bytes_mut()[at..at + inserted]
    }
}

impl Drop for Listpack {
    fn drop(&mut self) {
        // SAFETY: the block was allocated, or last resized, for its byte length.
        unsafe { block::free(self.block, self.byte_len()) }
    }
}

impl Clone for Listpack {
    fn clone(&self) -> Self {
        Self::copy_of(self.as_bytes())
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Listpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Item<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The elements in order, from both ends.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    /// Where the next element is, and where the last one not yet yielded ends.
    front: usize,
    back: usize,
}

impl Iter<'_> {
    pub(crate) fn empty() -> Self {
        Iter { bytes: &[], front: 0, back: 0 }
    }

    /// The place of the element that `next` yields.
    pub fn pos(&self) -> Option<Pos> {
        (self.front < self.back).then_some(Pos(self.front as u32))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (item, len) = decode(self.bytes, self.front);
        self.front += len;
        Some(item)
    }

    /// What is passed over is not decoded.
    fn nth(&mut self, n: usize) -> Option<Item<'a>> {
        for _ in 0..n {
            if self.front >= self.back {
                return None;
            }
            self.front += whole_entry_len(self.bytes, self.front);
        }
        self.next()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = entry_before(self.bytes, self.back);
        Some(decode(self.bytes, self.back).0)
    }
}
