//! Allocations whose size their own header tells: a thin pointer, no capacity word. Owns the size
//! classes; must not know what the bytes mean.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;

use crate::relocate::Mover;
use crate::size_class;

/// Up to here the allocator has classes in slabs. A block that leaves its class leaves its slab, so that
/// `realloc` can only do what we can, over a longer way.
const SLAB_MAX_BYTES: usize = 14 << 10;

/// What an allocation of `len` bytes really takes: the allocator's classes.
///
/// A block's capacity is a pure function of its length, so it needs no field of its own, and a
/// block that grows byte by byte is moved only when it leaves its class.
pub(crate) const fn size_class(len: usize) -> usize {
    if len == 0 { 8 } else { size_class::round_up(len) }
}

pub(crate) fn layout(len: usize) -> Layout {
    // Every class is a multiple of 8, so headers and pointers in a block are aligned.
    Layout::from_size_align(size_class(len), 8).expect("a block is far smaller than isize::MAX")
}

/// A block of at least `len` bytes, uninitialized.
pub(crate) fn allocate(len: usize) -> NonNull<u8> {
    let layout = layout(len);
    // SAFETY: the smallest class is 8 bytes, so the layout is never empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
/// `block` comes from `allocate` or `resize`, was given for `len` bytes, and is not used again.
pub(crate) unsafe fn free(block: NonNull<u8>, len: usize) {
    // SAFETY: the layout is computed from the same length as at allocation.
    unsafe { dealloc(block.as_ptr(), layout(len)) }
}

/// The block moved to a class that holds `new_len`; as many bytes survive as both classes hold.
///
/// # Safety
/// As `free`; the result is the block from then on.
pub(crate) unsafe fn resize(block: NonNull<u8>, old_len: usize, new_len: usize) -> NonNull<u8> {
    let (old, new) = (layout(old_len), layout(new_len));
    if old == new {
        return block;
    }
    // SAFETY: the old layout is that of the allocation, and both are of whole classes.
    unsafe { reallocate(block, old, new) }
}

/// The block where it lies well: see [`Mover`].
///
/// # Safety
/// As `free`; the result is the block from then on.
pub(crate) unsafe fn relocate(
    block: NonNull<u8>,
    len: usize,
    mover: &mut Mover<'_>,
) -> NonNull<u8> {
    // SAFETY: the layout is that of the allocation; the rest is the caller's promise.
    unsafe { mover.block(block, layout(len)) }.unwrap_or(block)
}

/// An allocation of another class in place of an old one; as many bytes survive as both hold.
///
/// # Safety
/// The old one was allocated with the layout `old` and is not used again; `new` is of the same alignment, and
/// neither is empty.
pub(crate) unsafe fn reallocate(block: NonNull<u8>, old: Layout, new: Layout) -> NonNull<u8> {
    let kept = old.size().min(new.size());
    // SAFETY: the caller's promise; two allocations do not overlap, and each holds `kept` bytes.
    let moved = unsafe {
        if old.size().max(new.size()) <= SLAB_MAX_BYTES {
            let moved = NonNull::new(alloc(new)).unwrap_or_else(|| handle_alloc_error(new));
            moved.copy_from_nonoverlapping(block, kept);
            dealloc(block.as_ptr(), old);
            return moved;
        }
        realloc(block.as_ptr(), old, new.size())
    };
    NonNull::new(moved).unwrap_or_else(|| handle_alloc_error(new))
}

/// From here on a length takes nine bytes instead of one.
const LONG_LEN: u8 = 0xFF;

/// Bytes that `write_len` takes for `len`.
#[inline]
pub(crate) const fn len_len(len: usize) -> usize {
    if len < LONG_LEN as usize { 1 } else { 9 }
}

/// Writes `len` and `text`; returns what follows them.
///
/// # Safety
/// `at` has room for both.
#[inline]
pub(crate) unsafe fn write_text(at: NonNull<u8>, text: &[u8]) -> NonNull<u8> {
    let len_len = len_len(text.len());
    // SAFETY: there is room, says the caller, and `text` cannot be the same memory.
    unsafe {
        if len_len == 1 {
            at.write(text.len() as u8);
        } else {
            at.write(LONG_LEN);
            at.add(1).cast::<u64>().write_unaligned(text.len() as u64);
        }
        at.add(len_len).copy_from_nonoverlapping(NonNull::from(text).cast(), text.len());
        at.add(len_len + text.len())
    }
}

/// The text that `write_text` wrote at `at`.
///
/// # Safety
/// It did, and the text outlives `'a`.
#[inline]
pub(crate) unsafe fn read_text<'a>(at: NonNull<u8>) -> &'a [u8] {
    // SAFETY: `write_text` wrote the length and that many bytes.
    unsafe {
        let (start, len) = match at.read() {
            LONG_LEN => (at.add(9), at.add(1).cast::<u64>().read_unaligned() as usize),
            len => (at.add(1), len as usize),
        };
        std::slice::from_raw_parts(start.as_ptr(), len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_its_bytes_from_class_to_class() {
        let mut block = allocate(3);
        let mut len = 3;
        for new_len in [8, 9, 200, 14_000, 70_000, 90_000, 100, 1] {
            // SAFETY: the block holds `len` bytes, of which the first is written.
            unsafe {
                block.write(len as u8);
                block = resize(block, len, new_len);
                assert_eq!(block.read(), len as u8);
            }
            len = new_len;
        }
        // SAFETY: as above.
        unsafe { free(block, len) };
    }
}
