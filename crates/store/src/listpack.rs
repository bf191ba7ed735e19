//! Listpacks: a sequence of strings and integers in one block, byte for byte as RDB files carry
//! it. Owns the format, its edits and its validation; must not know which type uses it.
//!
//! Layout: total bytes (u32 LE), count (u16 LE, 65535 = too many to say), entries, 0xFF.
//! Entry: encoding and data, then the length of both, written so that it can be read backwards.

use std::collections::HashSet;
use std::fmt;
use std::ptr::NonNull;

use crate::block;
use crate::str::parse_int;
use crate::value::Item;

const HEADER_BYTES: usize = 6;
const EMPTY_BYTES: usize = HEADER_BYTES + 1;
const END: u8 = 0xFF;
const COUNT_UNKNOWN: u16 = u16::MAX;

const INT16: u8 = 0xF1;
const INT24: u8 = 0xF2;
const INT32: u8 = 0xF3;
const INT64: u8 = 0xF4;
const STR32: u8 = 0xF0;

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
            listpack.push_back_items(&[canonical(item)]);
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

    /// Appends elements that are known to be integers or not, in one move.
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
        let total: usize = items.iter().map(|item| data_len(item)).map(with_backlen).sum();
        let mut gap = self.splice(pos.0 as usize, 0, total);
        for item in items {
            let data_len = data_len(item);
            let (entry, rest) = gap.split_at_mut(with_backlen(data_len));
            write_entry(entry, item, data_len);
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
            let gap = self.block.add(at);
            gap.add(inserted).copy_from(gap.add(removed), tail_len);
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

/// The form an element is kept in: an integer where the text is one.
pub fn classify(text: &[u8]) -> Item<'_> {
    match parse_int(text) {
        Some(n) => Item::Int(n),
        None => Item::Bytes(text),
    }
}

/// Up to this many elements are told apart by fingerprints on the stack.
const FINGERPRINT_MAX: usize = 512;

/// Whether two elements are equal, looking only at every `skip + 1`th.
pub(crate) fn has_duplicates(listpack: &Listpack, skip: usize) -> bool {
    let count = listpack.len() / (skip + 1);
    match count {
        0..=1 => return false,
        ..=16 if !may_have_duplicates::<32>(listpack, skip) => return false,
        17..=64 if !may_have_duplicates::<128>(listpack, skip) => return false,
        65..=FINGERPRINT_MAX if !may_have_duplicates::<1024>(listpack, skip) => return false,
        _ => {}
    }
    let mut seen = HashSet::with_capacity(count);
    !listpack.iter().step_by(skip + 1).map(key_of).all(|key| seen.insert(key))
}

/// Whether two elements have the same fingerprint: equal ones have, and next to no others. `SLOTS`
/// is a power of two of at least twice as many as there are elements.
fn may_have_duplicates<const SLOTS: usize>(listpack: &Listpack, skip: usize) -> bool {
    let mut seen = [0u32; SLOTS];
    for item in listpack.iter().step_by(skip + 1) {
        // Never zero, which marks a free slot.
        let fingerprint = fingerprint(key_of(item)) | 1;
        let mut at = fingerprint as usize >> 1 & (SLOTS - 1);
        while seen[at] != 0 {
            if seen[at] == fingerprint {
                return true;
            }
            at = (at + 1) & (SLOTS - 1);
        }
        seen[at] = fingerprint;
    }
    false
}

fn fingerprint(key: Result<i64, &[u8]>) -> u32 {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |state: u64, word: u64| (state.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    let state = match key {
        Ok(n) => mix(1, n as u64),
        Err(text) => {
            let mut words = text.chunks_exact(8);
            let mut state = mix(2, text.len() as u64);
            for word in &mut words {
                state = mix(state, u64::from_le_bytes(word.try_into().expect("eight bytes")));
            }
            let tail = words.remainder().iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
            mix(state, tail)
        }
    };
    (state >> 32) as u32
}

fn key_of(item: Item<'_>) -> Result<i64, &[u8]> {
    match item {
        Item::Int(n) => Ok(n),
        Item::Bytes(text) => Err(text),
    }
}

/// An element as we encode it: an integer that was written as text is one all the same.
fn canonical(item: Item<'_>) -> Item<'_> {
    match item {
        Item::Bytes(text) => classify(text),
        int => int,
    }
}

fn is_canonical_entry(item: Item<'_>, found_data_len: usize) -> bool {
    data_len(&item) == found_data_len
        && match item {
            Item::Int(_) => true,
            Item::Bytes(text) => {
                !matches!(text.first(), Some(b'-' | b'0'..=b'9')) || parse_int(text).is_none()
            }
        }
}

/// Encoding and data of an element that is to be written, without the trailing length.
fn data_len(item: &Item<'_>) -> usize {
    match *item {
        Item::Int(0..=127) => 1,
        Item::Int(-4096..=4095) => 2,
        Item::Int(-0x8000..=0x7FFF) => 3,
        Item::Int(-0x80_0000..=0x7F_FFFF) => 4,
        Item::Int(-0x8000_0000..=0x7FFF_FFFF) => 5,
        Item::Int(_) => 9,
        Item::Bytes(text) => match text.len() {
            len @ 0..64 => 1 + len,
            len @ 64..4096 => 2 + len,
            len => 5 + len,
        },
    }
}

/// Bytes of the trailing length. The steps are Redis's, one short of what the bits would hold.
fn backlen_len(data_len: usize) -> usize {
    match data_len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

fn with_backlen(data_len: usize) -> usize {
    data_len + backlen_len(data_len)
}

fn write_entry(out: &mut [u8], item: &Item<'_>, data_len: usize) {
    let head_len = write_head(out, item, data_len);
    if let Item::Bytes(text) = item {
        out[head_len..data_len].copy_from_slice(text);
    }
    write_backlen(&mut out[data_len..], data_len);
}

/// Writes an integer, or the encoding and length of a text. Returns the bytes written.
fn write_head(out: &mut [u8], item: &Item<'_>, data_len: usize) -> usize {
    match *item {
        Item::Int(n) => {
            match data_len {
                1 => out[0] = n as u8,
                2 => out[..2].copy_from_slice(&(0xC000 | (n as u16 & 0x1FFF)).to_be_bytes()),
                _ => {
                    out[0] = match data_len {
                        3 => INT16,
                        4 => INT24,
                        5 => INT32,
                        _ => INT64,
                    };
                    out[1..data_len].copy_from_slice(&n.to_le_bytes()[..data_len - 1]);
                }
            }
            data_len
        }
        Item::Bytes(text) => match text.len() {
            len @ 0..64 => {
                out[0] = 0x80 | len as u8;
                1
            }
            len @ 64..4096 => {
                out[..2].copy_from_slice(&(0xE000 | len as u16).to_be_bytes());
                2
            }
            len => {
                out[0] = STR32;
                out[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                5
            }
        },
    }
}

/// An element looked for. Each has only one encoding, so the bytes are compared as they lie.
struct Needle<'a> {
    head: [u8; 9],
    head_len: usize,
    text: &'a [u8],
}

impl<'a> Needle<'a> {
    fn new(text: &'a [u8]) -> Self {
        let item = classify(text);
        let mut head = [0; 9];
        let head_len = write_head(&mut head, &item, data_len(&item));
        let text = if let Item::Bytes(text) = item { text } else { &[] };
        Needle { head, head_len, text }
    }

    #[inline]
    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        bytes[at] == self.head[0] && {
            let rest = &bytes[at..];
            rest.starts_with(&self.head[..self.head_len])
                && rest[self.head_len..].starts_with(self.text)
        }
    }
}

/// Seven bits a byte, most significant first; all but the first byte have the top bit set, so
/// that a reader coming from behind knows when to stop.
fn write_backlen(out: &mut [u8], data_len: usize) {
    let mut rest = data_len;
    for (index, byte) in out.iter_mut().enumerate().rev() {
        *byte = (rest & 0x7F) as u8 | if index == 0 { 0 } else { 0x80 };
        rest >>= 7;
    }
}

/// Start of the entry that ends at `end`.
fn entry_before(bytes: &[u8], end: usize) -> usize {
    let (mut data_len, mut shift, mut at) = (0usize, 0, end - 1);
    loop {
        let byte = bytes[at];
        data_len |= ((byte & 0x7F) as usize) << shift;
        if byte & 0x80 == 0 {
            return at - data_len;
        }
        shift += 7;
        at -= 1;
    }
}

/// Bytes of the entry at `at`, trailing length included. What walks spend their time in.
#[inline]
fn whole_entry_len(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        0x00..=0x7F => 2,
        tag @ 0x80..=0xBF => 2 + (tag & 0x3F) as usize,
        0xC0..=0xDF => 3,
        _ => with_backlen(entry_data_len(bytes, at)),
    }
}

fn entry_data_len(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        0x00..=0x7F => 1,
        tag @ 0x80..=0xBF => 1 + (tag & 0x3F) as usize,
        0xC0..=0xDF => 2,
        tag @ 0xE0..=0xEF => 2 + (((tag & 0x0F) as usize) << 8 | bytes[at + 1] as usize),
        INT16 => 3,
        INT24 => 4,
        INT32 => 5,
        INT64 => 9,
        _ => 5 + str32_len(bytes, at),
    }
}

fn str32_len(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]]) as usize
}

/// The element at `at` and the bytes of its entry.
#[inline]
fn decode(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let tag = bytes[at];
    let text = |skip: usize, len: usize| {
        (Item::Bytes(&bytes[at + skip..at + skip + len]), with_backlen(skip + len))
    };
    let int = |width: usize| {
        let mut word = [0; 8];
        word[8 - width..].copy_from_slice(&bytes[at + 1..at + 1 + width]);
        let n = i64::from_le_bytes(word) >> (64 - 8 * width);
        (Item::Int(n), with_backlen(1 + width))
    };
    match tag {
        0x00..=0x7F => (Item::Int(i64::from(tag)), 2),
        0x80..=0xBF => text(1, (tag & 0x3F) as usize),
        0xC0..=0xDF => {
            let word = u16::from_be_bytes([tag, bytes[at + 1]]);
            // Thirteen bits, sign-extended by way of the word's own top bit.
            (Item::Int(i64::from((word << 3) as i16 >> 3)), 3)
        }
        0xE0..=0xEF => text(2, ((tag & 0x0F) as usize) << 8 | bytes[at + 1] as usize),
        INT16 => int(2),
        INT24 => int(3),
        INT32 => int(4),
        INT64 => int(8),
        _ => text(5, str32_len(bytes, at)),
    }
}

/// Checks every byte that the code above trusts. Whether all elements are encoded as we would.
fn validate(bytes: &[u8]) -> Result<bool, InvalidListpack> {
    let invalid = |offset, reason| Err(InvalidListpack { offset, reason });
    if bytes.len() < EMPTY_BYTES {
        return invalid(bytes.len(), "shorter than a header");
    }
    let total = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if total != bytes.len() {
        return invalid(0, "header does not tell the length");
    }
    let end = bytes.len() - 1;
    if bytes[end] != END {
        return invalid(end, "no end mark");
    }
    let (mut at, mut count, mut is_canonical) = (HEADER_BYTES, 0usize, true);
    while at < end {
        let room = end - at;
        let tag = bytes[at];
        let tag_len = match tag {
            0x00..=0xBF | INT16 | INT24 | INT32 | INT64 => 1,
            0xC0..=0xEF => 2,
            STR32 => 5,
            _ => return invalid(at, "unknown encoding"),
        };
        if tag_len > room {
            return invalid(at, "entry runs over the end");
        }
        let data_len = entry_data_len(bytes, at);
        let backlen_len = backlen_len(data_len);
        if data_len + backlen_len > room {
            return invalid(at, "entry runs over the end");
        }
        is_canonical &= is_canonical_entry(decode(bytes, at).0, data_len);
        at += data_len;
        let agrees = if backlen_len == 1 {
            usize::from(bytes[at]) == data_len
        } else {
            let mut backlen = [0; 5];
            write_backlen(&mut backlen[..backlen_len], data_len);
            bytes[at..at + backlen_len] == backlen[..backlen_len]
        };
        if !agrees {
            return invalid(at, "trailing length differs");
        }
        at += backlen_len;
        count += 1;
    }
    let header_count = u16::from_le_bytes([bytes[4], bytes[5]]);
    if header_count != COUNT_UNKNOWN && header_count as usize != count {
        return invalid(4, "header does not tell the count");
    }
    Ok(is_canonical)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(texts: &[&[u8]]) -> Listpack {
        let mut listpack = Listpack::new();
        for text in texts {
            listpack.push_back(text);
        }
        listpack
    }

    fn texts(listpack: &Listpack) -> Vec<Vec<u8>> {
        listpack.iter().map(|item| item.to_vec()).collect()
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        assert_eq!(Listpack::new().as_bytes(), b"\x07\0\0\0\0\0\xff");
        let long = [b'x'; 70];
        let listpack = of(&[b"1", b"-1", b"a", b"1000000", &long]);
        let mut expected =
            b"\x5f\0\0\0\x05\0\x01\x01\xdf\xff\x02\x81a\x02\xf2\x40\x42\x0f\x04".to_vec();
        expected.extend(b"\xe0\x46");
        expected.extend(long);
        expected.extend(b"\x48\xff");
        expected[0] = expected.len() as u8;
        assert_eq!(listpack.as_bytes(), expected);
    }

    #[test]
    fn every_width_survives() {
        let mut model: Vec<Vec<u8>> = Vec::new();
        for bits in 0..64 {
            let power = 1i64.wrapping_shl(bits);
            for n in [
                power,
                power.wrapping_sub(1),
                power.wrapping_neg(),
                power.wrapping_neg().wrapping_sub(1),
            ] {
                model.push(n.to_string().into_bytes());
            }
        }
        for len in [
            0, 1, 62, 63, 64, 65, 124, 125, 126, 127, 128, 4094, 4095, 4096, 16377, 16378, 16379,
            70_000, 2_097_146,
        ] {
            model.push(vec![b'x'; len]);
        }
        let mut listpack = Listpack::new();
        model.iter().for_each(|text| listpack.push_back(text));
        assert_eq!(texts(&listpack), model);
        let mut backwards: Vec<_> = listpack.iter().rev().map(|item| item.to_vec()).collect();
        backwards.reverse();
        assert_eq!(backwards, model);
        assert_eq!(
            Listpack::from_bytes(listpack.as_bytes()).unwrap().as_bytes(),
            listpack.as_bytes()
        );
    }

    #[test]
    fn the_count_is_walked_when_the_header_cannot_say_it() {
        let mut listpack = Listpack::new();
        for _ in 0..70_000 {
            listpack.push_back(b"1");
        }
        assert_eq!(listpack.len(), 70_000);
        let tail = listpack.split_off(listpack.seek(66_000).unwrap(), 66_000);
        assert_eq!((listpack.len(), tail.len()), (66_000, 4_000));
        assert_eq!(tail.header_count(), 4_000);
        assert_eq!(listpack.seek(65_999).map(|pos| listpack.at(pos)), Some(Item::Int(1)));
        assert_eq!(listpack.seek(66_000), None);
    }

    #[test]
    fn index_of_undoes_seek() {
        let listpack = of(&[b"f", b"1000", &[b'x'; 300], b"", b"v"]);
        for index in 0..5 {
            assert_eq!(listpack.index_of(listpack.seek(index).unwrap()), index);
        }
    }

    #[test]
    fn find_compares_integers_as_integers() {
        let listpack = of(&[b"f", b"10", b"10", b"v"]);
        let first = listpack.first().unwrap();
        assert_eq!(listpack.find(first, b"10", 0), listpack.seek(1));
        assert_eq!(listpack.find(first, b"10", 1), listpack.seek(2));
        assert_eq!(listpack.find(first, b"010", 0), None);
        assert_eq!(listpack.find(first, b"v", 1), None);
    }

    #[test]
    fn elements_of_foreign_encoding_are_found() {
        // 5 as a 64-bit integer, "7" as text, "a" with a 32-bit length.
        let bytes = b"\x1d\0\0\0\x03\0\xf4\x05\0\0\0\0\0\0\0\x09\x817\x02\xf0\x01\0\0\0a\x06\xff";
        let mut bytes = bytes.to_vec();
        bytes[0] = bytes.len() as u8;
        let listpack = Listpack::from_bytes(&bytes).unwrap();
        for (index, text) in [b"5", b"7", b"a"].into_iter().enumerate() {
            let found = listpack.find(listpack.first().unwrap(), text, 0);
            assert_eq!(found, listpack.seek(index));
        }
        assert_eq!(listpack.as_bytes(), of(&[b"5", b"7", b"a"]).as_bytes());
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            3 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            3 => (-5000i64..5000).prop_map(|n| n.to_string().into_bytes()),
            4 => prop::collection::vec(any::<u8>(), 0..80),
            1 => prop::collection::vec(any::<u8>(), 4000..5000),
        ]
    }

    #[derive(Clone, Debug)]
    enum Edit {
        PushFront(Vec<u8>),
        PushBack(Vec<u8>),
        Insert(prop::sample::Index, Vec<u8>),
        Replace(prop::sample::Index, Vec<u8>),
        Remove(prop::sample::Index, usize),
        Split(prop::sample::Index),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            text().prop_map(Edit::PushFront),
            text().prop_map(Edit::PushBack),
            (any::<prop::sample::Index>(), text()).prop_map(|(at, text)| Edit::Insert(at, text)),
            (any::<prop::sample::Index>(), text()).prop_map(|(at, text)| Edit::Replace(at, text)),
            (any::<prop::sample::Index>(), 1usize..4).prop_map(|(at, n)| Edit::Remove(at, n)),
            any::<prop::sample::Index>().prop_map(Edit::Split),
        ]
    }

    fn apply(listpack: &mut Listpack, model: &mut Vec<Vec<u8>>, edit: Edit) {
        let place = |at: prop::sample::Index, listpack: &Listpack| {
            let index = at.index(listpack.len());
            (index, listpack.seek(index).unwrap())
        };
        match edit {
            Edit::PushFront(text) => {
                listpack.push_front(&text);
                model.insert(0, text);
            }
            Edit::PushBack(text) => {
                listpack.push_back(&text);
                model.push(text);
            }
            _ if model.is_empty() => {}
            Edit::Insert(at, text) => {
                let (index, pos) = place(at, listpack);
                listpack.insert_before(pos, &text);
                model.insert(index, text);
            }
            Edit::Replace(at, text) => {
                let (index, pos) = place(at, listpack);
                listpack.replace(pos, &text);
                model[index] = text;
            }
            Edit::Remove(at, n) => {
                let (index, pos) = place(at, listpack);
                listpack.remove_n(pos, n);
                model.drain(index..(index + n).min(model.len()));
            }
            Edit::Split(at) => {
                let (index, pos) = place(at, listpack);
                let tail = listpack.split_off(pos, index);
                let mut rotated = tail;
                rotated.append(listpack);
                *listpack = rotated;
                model.rotate_left(index);
            }
        }
    }

    #[test]
    fn a_duplicate_is_found_at_every_size_and_distance() {
        for len in [2usize, 3, 16, 17, 33, 64, 65, 512, 513, 700] {
            for (a, b) in [(0, len - 1), (len / 2 - 1, len / 2), (len - 2, len - 1)] {
                let mut texts: Vec<String> = (0..len).map(|i| format!("member {i}")).collect();
                let distinct = of(&texts.iter().map(|t| t.as_bytes()).collect::<Vec<_>>());
                assert!(!has_duplicates(&distinct, 0), "{len}");
                texts[a] = texts[b].clone();
                let doubled = of(&texts.iter().map(|t| t.as_bytes()).collect::<Vec<_>>());
                assert!(has_duplicates(&doubled, 0), "{len} {a} {b}");
            }
        }
        let same_number = [Item::Int(12), Item::Bytes(b"12")];
        let mut listpack = Listpack::new();
        listpack.push_back_items(&same_number);
        assert!(has_duplicates(&listpack, 0), "an integer kept as text is the same member");
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_vec(edits in prop::collection::vec(edit(), 0..60)) {
            let (mut listpack, mut model) = (Listpack::new(), Vec::new());
            for edit in edits {
                apply(&mut listpack, &mut model, edit);
                prop_assert_eq!(validate(listpack.as_bytes()), Ok(true));
                prop_assert_eq!(listpack.len(), model.len());
            }
            prop_assert_eq!(texts(&listpack), model);
        }

        /// Files and peers send anything: bytes are refused, or they are safe to use.
        #[test]
        fn mutated_bytes_are_refused_or_safe(
            elements in prop::collection::vec(text(), 0..12),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut listpack = Listpack::new();
            elements.iter().for_each(|text| listpack.push_back(text));
            let mut bytes = listpack.as_bytes().to_vec();
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let kept = bytes.len() - cut.index(bytes.len()) / 8;
            for bytes in [&bytes[..], &bytes[..kept]] {
                if let Ok(listpack) = Listpack::from_bytes(bytes) {
                    let forward = listpack.iter().count();
                    prop_assert_eq!(forward, listpack.iter().rev().count());
                }
            }
        }

        #[test]
        fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if bytes.len() >= EMPTY_BYTES {
                let (len, end) = (bytes.len(), bytes.len() - 1);
                bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
                bytes[4..6].fill(0xFF);
                bytes[end] = END;
            }
            if let Ok(listpack) = Listpack::from_bytes(&bytes) {
                prop_assert_eq!(listpack.iter().count(), listpack.iter().rev().count());
            }
        }
    }
}
