//! What the hash tables of sets and hashes hold: a member, or a field with its value, each in one
//! allocation. Owns their layout; must not know the types' rules.

use std::ptr::NonNull;

use crate::block;
use crate::element::{Element, Tagged};

/// A set's member: length, bytes.
#[repr(transparent)]
pub(crate) struct Member(Tagged);

/// A hash's field: length, bytes, then the same of its value.
#[repr(transparent)]
pub(crate) struct Field(Tagged);

// SAFETY: both are transparent around a `Tagged`, read it by `ptr` only, and own immutable bytes
// (a field's change only through `&mut`).
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
}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: the block was allocated for this length.
        unsafe { block::free(self.0.ptr(), text_len(self.as_bytes())) }
    }
}

impl Field {
    pub fn new(name: &[u8], value: &[u8]) -> Self {
        let block = block::allocate(text_len(name) + text_len(value));
        // SAFETY: the block has room for just these.
        unsafe { block::write_text(block::write_text(block, name), value) };
        Field(Tagged::new(block))
    }

    #[inline]
    pub fn name(&self) -> &[u8] {
        // SAFETY: written by `new`, borrowed with self.
        unsafe { block::read_text(self.0.ptr()) }
    }

    #[inline]
    fn value_at(&self) -> NonNull<u8> {
        // SAFETY: the value follows the name within the block.
        unsafe { self.0.ptr::<u8>().add(text_len(self.name())) }
    }

    #[inline]
    pub fn value(&self) -> &[u8] {
        // SAFETY: written by `new` or `set_value`, borrowed with self.
        unsafe { block::read_text(self.value_at()) }
    }

    fn block_len(&self) -> usize {
        text_len(self.name()) + text_len(self.value())
    }

    /// Replaces the value, in place unless the block's class changes.
    pub fn set_value(&mut self, value: &[u8]) {
        let name_len = text_len(self.name());
        let old_len = self.block_len();
        // SAFETY: the name survives the resize, since both lengths hold it; the value is written
        // over right after. `value` is not borrowed from this field: self is borrowed mutably.
        unsafe {
            let block = block::resize(self.0.ptr(), old_len, name_len + text_len(value));
            block::write_text(block.add(name_len), value);
            self.0.set_ptr(block);
        }
    }

    pub fn allocated_bytes(&self) -> usize {
        block::size_class(self.block_len())
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        // SAFETY: the block was allocated, or last resized, for this length.
        unsafe { block::free(self.0.ptr(), self.block_len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_keeps_its_name_through_values_of_any_length() {
        for name_len in [0, 1, 254, 255, 300] {
            let name = vec![b'n'; name_len];
            let mut field = Field::new(&name, b"v");
            for value_len in [0, 7, 254, 255, 70_000, 3] {
                let value = vec![b'v'; value_len];
                field.set_value(&value);
                assert_eq!((field.name(), field.value()), (&name[..], &value[..]));
            }
            assert_eq!(Member::new(&name).as_bytes(), name);
        }
    }

    #[test]
    fn short_members_cost_one_small_class() {
        assert_eq!(Member::new(b"1234567").allocated_bytes(), 8);
        assert_eq!(Field::new(b"1234567", b"1234567").allocated_bytes(), 16);
    }
}
