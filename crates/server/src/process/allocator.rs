//! The allocator of every binary: jemalloc with size classes eight bytes apart. Owns what that
//! asks of alignment; must not know what the memory is for.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_int;
use std::ptr::NonNull;

use tikv_jemalloc_sys::{MALLOCX_ALIGN, MALLOCX_TCACHE_NONE, mallocx, sdallocx};
use tikv_jemallocator::Jemalloc;

/// What every size class is aligned to: the quantum of `.cargo/config.toml`.
const QUANTUM: usize = 8;
/// Up to here jemalloc's crate believes that a size class is aligned by itself.
const TRUSTED_ALIGN: usize = 16;

/// jemalloc, whose crate takes it that `malloc` aligns to 16 bytes. With a quantum of eight it does not.
///
/// A region is aligned to the largest power of two that divides its class. So a size made a multiple of the
/// alignment is in a class that is aligned well enough, at no cost for all that aligns to eight bytes or less.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

#[inline]
const fn widened(size: usize, align: usize) -> usize {
    if align <= QUANTUM || align > TRUSTED_ALIGN { size } else { size.next_multiple_of(align) }
}

/// The same for an allocation and its release, which tells jemalloc the class.
#[inline]
const fn aligned(layout: Layout) -> Layout {
    // SAFETY: a layout's size is at most isize::MAX when rounded up to its alignment.
    unsafe {
        Layout::from_size_align_unchecked(widened(layout.size(), layout.align()), layout.align())
    }
}

/// An allocation as [`Allocator`] makes it, from the class's current slab instead of the thread's cache.
pub fn allocate_uncached(layout: Layout) -> Option<NonNull<u8>> {
    let layout = aligned(layout);
    debug_assert!(layout.size() > 0);
    // SAFETY: not empty, as callers see to.
    NonNull::new(unsafe { mallocx(layout.size(), uncached(layout)) }.cast())
}

/// Frees an allocation of [`Allocator`] past the thread's cache.
///
/// # Safety
/// It was allocated with this layout, and is not used again.
pub unsafe fn free_uncached(block: NonNull<u8>, layout: Layout) {
    let layout = aligned(layout);
    // SAFETY: the size of its class, and the alignment, are those of the allocation.
    unsafe { sdallocx(block.as_ptr().cast(), layout.size(), uncached(layout)) }
}

fn uncached(layout: Layout) -> c_int {
    let align = if layout.align() <= TRUSTED_ALIGN { 0 } else { MALLOCX_ALIGN(layout.align()) };
    align | MALLOCX_TCACHE_NONE
}

// SAFETY: jemalloc's own promises, for sizes that are no smaller than asked and computed alike at
// allocation, resizing and release.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { Jemalloc.alloc(aligned(layout)) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { Jemalloc.alloc_zeroed(aligned(layout)) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; allocated with the same layout.
        unsafe { Jemalloc.dealloc(ptr, aligned(layout)) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; allocated with the same layout.
        unsafe { Jemalloc.realloc(ptr, aligned(layout), widened(new_size, layout.align())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_aligned(ptr: *mut u8, align: usize) -> bool {
        !ptr.is_null() && ptr.addr().is_multiple_of(align)
    }

    proptest! {
        /// Several of a class, as one slab has regions at all its multiples: with the crate's own trust in
        /// 16 bytes, every second one of 24, 40 or 56 bytes fails here.
        #[test]
        fn every_alignment_holds_through_allocation_and_resizing(
            size in 1usize..5000,
            new_size in 1usize..5000,
            align_log2 in 0u32..8,
        ) {
            let align = 1 << align_log2;
            let layout = Layout::from_size_align(size, align).unwrap();
            let resized = Layout::from_size_align(new_size, align).unwrap();
            let mut held = Vec::new();
            for round in 0..8 {
                // SAFETY: the layouts are not empty; each allocation is freed once, with its layout.
                unsafe {
                    let ptr = match round % 2 {
                        0 => Allocator.alloc(layout),
                        _ => Allocator.alloc_zeroed(layout),
                    };
                    prop_assert!(is_aligned(ptr, align), "{size} bytes to {align}");
                    ptr.write_bytes(0xA5, size);
                    let ptr = Allocator.realloc(ptr, layout, new_size);
                    prop_assert!(is_aligned(ptr, align), "{size} to {new_size} bytes to {align}");
                    let kept = std::slice::from_raw_parts(ptr, size.min(new_size));
                    prop_assert!(kept.iter().all(|byte| *byte == 0xA5));
                    held.push(ptr);
                }
            }
            for ptr in held {
                // SAFETY: as above.
                unsafe { Allocator.dealloc(ptr, resized) };
            }
        }
    }
}
