//! What the hash tables of sets and hashes hold: a member, or a field with its value, each in one
//! allocation. Owns their layout; must not know the types' rules.

use std::ptr::NonNull;

use crate::block;
use crate::element::{Element, Tagged};
use crate::relocate::Mover;

/// A set's member: length, bytes.
#[repr(transparent)]
pub(crate) struct Member(Tagged);

/// A hash's field: its expiry, if it has one, length, bytes, then the same of its value. Blocks are
/// aligned, so the lowest bit of the address can say whether it has: one without pays nothing.
#[repr(transparent)]
pub(crate) struct Field(Tagged);

/// What tells a field with an expiry from all others: where it is. Good until the field changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FieldAddr(NonNull<u8>);

// SAFETY: an address alone; who follows it owns the field.
unsafe impl Send for FieldAddr {}
// SAFETY: as above.
unsafe impl Sync for FieldAddr {}

/// The bit of the address, and the bytes of the block's head that it announces.
const EXPIRES: usize = 1;
const EXPIRE_BYTES: usize = size_of::<i64>();

// SAFETY: both are transparent around a `Tagged`, read it by `ptr` only, and own immutable bytes
// (a field's change only through `&mut`, and never its name).
unsafe impl Element for Member {
    #[inline]
    fn key(&self) -> &[u8] {
        self.as_bytes()
    }
}

// SAFETY: as above.
unsafe impl Element for Field {
    #[inline]
    fn key(&self) -> &[u8] {
        self.name()
    }
}

// SAFETY: a member owns its bytes alone.
unsafe impl Send for Member {}
// SAFETY: as above.
unsafe impl Sync for Member {}
// SAFETY: as above.
unsafe impl Send for Field {}
// SAFETY: as above.
unsafe impl Sync for Field {}

fn text_len(text: &[u8]) -> usize {
    block::len_len(text.len()) + text.len()
}

impl Member {
    pub fn new(text: &[u8]) -> Self {
        let block = block::allocate(text_len(text));
        // SAFETY: the block has room for just this.
        unsafe { block::write_text(block, text) };
        Member(Tagged::new(block))
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: written by `new`, borrowed with self.
        unsafe { block::read_text(self.0.ptr()) }
    }

    /// What tells this member from all others without reading it.
    pub fn address(&self) -> NonNull<u8> {
        self.0.ptr()
    }

    pub fn allocated_bytes(&self) -> usize {
        block::size_class(text_len(self.as_bytes()))
    }

    pub fn relocate(&mut self, mover: &mut Mover<'_>) {
        let len = text_len(self.as_bytes());
        // SAFETY: the block was allocated for this length.
        self.0.set_ptr(unsafe { block::relocate(self.0.ptr(), len, mover) });
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: the block was allocated for this length.
        unsafe { block::free(self.0.ptr(), text_len(self.as_bytes())) }
    }
}

impl Field {
    pub fn new(name: &[u8], value: &[u8], expire_ms: Option<i64>) -> Self {
        let head = if expire_ms.is_some() { EXPIRE_BYTES } else { 0 };
        let block = block::allocate(head + text_len(name) + text_len(value));
        // SAFETY: the block has room for just these.
        unsafe {
            if let Some(expire_ms) = expire_ms {
                block.cast::<i64>().write(expire_ms);
            }
            block::write_text(block::write_text(block.add(head), name), value);
        }
        Field(Tagged::new(with_mark(block, expire_ms.is_some())))
    }

    #[inline]
    fn expires(&self) -> bool {
        self.0.ptr::<u8>().addr().get() & EXPIRES != 0
    }

    /// The allocation.
    #[inline]
    fn block(&self) -> NonNull<u8> {
        block_at(self.0.ptr())
    }

    #[inline]
    fn head_len(&self) -> usize {
        if self.expires() { EXPIRE_BYTES } else { 0 }
    }

    #[inline]
    fn name_at(&self) -> NonNull<u8> {
        // SAFETY: the name follows the head within the block.
        unsafe { self.block().add(self.head_len()) }
    }

    #[inline]
    pub fn name(&self) -> &[u8] {
        // SAFETY: written by `new`, borrowed with self.
        unsafe { block::read_text(self.name_at()) }
    }

    #[inline]
    pub fn value(&self) -> &[u8] {
        // SAFETY: the value follows the name; written by `new` or `set_value`, borrowed with self.
        unsafe { block::read_text(self.name_at().add(text_len(self.name()))) }
    }

    #[inline]
    pub fn expire_ms(&self) -> Option<i64> {
        // SAFETY: the mark says that the block begins with it.
        self.expires().then(|| unsafe { self.block().cast::<i64>().read() })
    }

    /// The address of a field that has an expiry.
    pub fn address(&self) -> Option<FieldAddr> {
        self.expires().then(|| FieldAddr(self.0.ptr()))
    }

    fn block_len(&self) -> usize {
        self.head_len() + text_len(self.name()) + text_len(self.value())
    }

    /// Replaces the value, in place unless the block's class changes.
    pub fn set_value(&mut self, value: &[u8]) {
        let value_at = self.head_len() + text_len(self.name());
        let old_len = self.block_len();
        let expires = self.expires();
        // SAFETY: head and name survive the resize, since both lengths hold them; the value is
        // written over right after. `value` is not borrowed from this field: self is borrowed mutably.
        unsafe {
            let block = block::resize(self.block(), old_len, value_at + text_len(value));
            block::write_text(block.add(value_at), value);
            self.0.set_ptr(with_mark(block, expires));
        }
    }

    /// Sets or removes the expiry. The field moves when it gets its first, or loses it.
    pub fn set_expire_ms(&mut self, expire_ms: Option<i64>) {
        match expire_ms {
            // SAFETY: the mark says that the block begins with it.
            Some(expire_ms) if self.expires() => unsafe {
                self.block().cast::<i64>().write(expire_ms);
            },
            None if !self.expires() => {}
            _ => {
                let moved = Field::new(self.name(), self.value(), expire_ms);
                // SAFETY: the block of this field, which the one of `moved` takes the place of.
                unsafe { block::free(self.block(), self.block_len()) };
                self.0.set_ptr(moved.0.ptr::<u8>());
                std::mem::forget(moved);
            }
        }
    }

    pub fn allocated_bytes(&self) -> usize {
        block::size_class(self.block_len())
    }

    /// Who knows the address of one with an expiry has to follow.
    pub fn relocate(&mut self, mover: &mut Mover<'_>) {
        let expires = self.expires();
        // SAFETY: the block was allocated, or last resized, for this length.
        let block = unsafe { block::relocate(self.block(), self.block_len(), mover) };
        self.0.set_ptr(with_mark(block, expires));
    }
}

impl FieldAddr {
    /// The name of the field there.
    ///
    /// # Safety
    /// The field has not changed since it gave this address, and does not while the name is borrowed.
    pub unsafe fn name<'a>(self) -> &'a [u8] {
        // SAFETY: a field with an expiry, says the caller.
        unsafe { block::read_text(block_at(self.0).add(EXPIRE_BYTES)) }
    }
}

fn with_mark(block: NonNull<u8>, expires: bool) -> NonNull<u8> {
    block.map_addr(|address| address | if expires { EXPIRES } else { 0 })
}

#[inline]
fn block_at(marked: NonNull<u8>) -> NonNull<u8> {
    let bare = marked.as_ptr().map_addr(|address| address & !EXPIRES);
    // SAFETY: blocks are aligned to more than the mark, and none is at address 0.
    unsafe { NonNull::new_unchecked(bare) }
}

impl Drop for Field {
    fn drop(&mut self) {
        // SAFETY: the block was allocated, or last resized, for this length.
        unsafe { block::free(self.block(), self.block_len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_keeps_its_name_through_values_of_any_length() {
        for name_len in [0, 1, 254, 255, 300] {
            let name = vec![b'n'; name_len];
            let mut field = Field::new(&name, b"v", None);
            for value_len in [0, 7, 254, 255, 70_000, 3] {
                let value = vec![b'v'; value_len];
                for expire_ms in [None, Some(7), Some(i64::MAX), None, Some(8)] {
                    field.set_expire_ms(expire_ms);
                    field.set_value(&value);
                    assert_eq!((field.name(), field.value()), (&name[..], &value[..]));
                    assert_eq!(field.expire_ms(), expire_ms);
                    let address = field.address();
                    assert_eq!(address.is_some(), expire_ms.is_some());
                    // SAFETY: the field is as it was a line ago.
                    assert!(address.is_none_or(|address| unsafe { address.name() } == name));
                }
            }
            assert_eq!(Member::new(&name).as_bytes(), name);
        }
    }

    #[test]
    fn short_members_cost_one_small_class() {
        assert_eq!(Member::new(b"1234567").allocated_bytes(), 8);
        assert_eq!(Field::new(b"1234567", b"1234567", None).allocated_bytes(), 16);
        assert_eq!(Field::new(b"1234567", b"1234567", Some(1)).allocated_bytes(), 24);
    }
}
