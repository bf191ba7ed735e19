//! Where the allocator has put a block, and whether it had better be elsewhere: what defragmentation asks. Owns the
//! questions to jemalloc; must not know what the blocks are.
//!
//! A block of a small class lies in a slab with others of its class. It should move when its slab is not the one
//! that is being filled, is no fuller than the class is on average, with an eighth to spare, and when something
//! can be gained: there is room for it in the other slabs of the class, and its slab is not nearly full.

use std::alloc::Layout;
use std::ffi::{CStr, c_void};
use std::ptr::{NonNull, from_mut};

use store::Heap;
use tikv_jemalloc_sys::{mallctlbymib, mallctlnametomib};

use super::allocator;

const QUERY: &CStr = c"experimental.utilization.query";
/// Parts of its name.
const QUERY_PARTS: usize = 3;

/// What jemalloc answers about a block, in its order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Utilization {
    /// Where the slab begins that new blocks of the class are taken from.
    current_slab: usize,
    /// Of the block's slab: places that are free, all places, bytes.
    free: usize,
    places: usize,
    bytes: usize,
    /// Of all slabs of the class.
    class_free: usize,
    class_places: usize,
}

/// jemalloc, asked by a name that was looked up once.
pub struct Jemalloc {
    query: [usize; QUERY_PARTS],
}

impl Jemalloc {
    /// None where this allocator does not answer.
    pub fn new() -> Option<Jemalloc> {
        let (mut query, mut parts) = ([0; QUERY_PARTS], QUERY_PARTS);
        // SAFETY: there is room for as many parts as are announced.
        let ended = unsafe { mallctlnametomib(QUERY.as_ptr(), query.as_mut_ptr(), &mut parts) };
        (ended == 0 && parts == QUERY_PARTS).then_some(Jemalloc { query })
    }

    fn utilization(&self, block: NonNull<u8>) -> Utilization {
        let (mut answer, mut bytes) = (Utilization::default(), size_of::<Utilization>());
        let mut asked: *mut c_void = block.as_ptr().cast();
        // SAFETY: the name wants a pointer, which it does not follow, and answers with the six words announced.
        let ended = unsafe {
            let out = from_mut(&mut answer).cast();
            let asked_bytes = size_of::<*mut c_void>();
            let name = self.query.as_ptr();
            mallctlbymib(
                name,
                QUERY_PARTS,
                out,
                &mut bytes,
                from_mut(&mut asked).cast(),
                asked_bytes,
            )
        };
        if ended == 0 { answer } else { Utilization::default() }
    }
}

impl Utilization {
    fn is_sparse(&self, block: usize) -> bool {
        let is_current = (self.current_slab..self.current_slab + self.bytes).contains(&block);
        // What is alone in its slab, or unknown, has no places; a class with less room than a slab gains nothing.
        if is_current || self.places <= 1 || self.class_free < self.places + self.free {
            return false;
        }
        let (used, class_used) = (self.places - self.free, self.class_places - self.class_free);
        let is_below_average = used * self.class_places * 8 <= class_used * self.places * 9;
        is_below_average && used * 16 <= self.places * 15
    }
}

impl Heap for Jemalloc {
    fn is_sparse(&mut self, block: NonNull<u8>) -> bool {
        self.utilization(block).is_sparse(block.addr().get())
    }

    // Not from the thread's cache, whose blocks lie wherever something was freed last.
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        allocator::allocate_uncached(layout)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { allocator::free_uncached(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(free: usize, class_free: usize) -> Utilization {
        let (places, class_places) = (32, 3200);
        Utilization { current_slab: 4096, free, places, bytes: 4096, class_free, class_places }
    }

    #[test]
    fn what_lies_in_a_sparse_slab_moves_unless_it_is_filled_just_now() {
        let elsewhere = 100_000;
        assert!(class_of(16, 1600).is_sparse(elsewhere));
        assert!(!class_of(16, 1600).is_sparse(4096 + 8));
        // A little fuller than the average, and much.
        assert!(class_of(15, 1600).is_sparse(elsewhere));
        assert!(!class_of(10, 1600).is_sparse(elsewhere));
        // Nothing can be gained.
        assert!(!class_of(16, 40).is_sparse(elsewhere));
        assert!(!class_of(1, 100).is_sparse(elsewhere));
        // Large, or not the allocator's.
        assert!(!Utilization { places: 1, ..Utilization::default() }.is_sparse(elsewhere));
        assert!(!Utilization::default().is_sparse(elsewhere));
    }

    #[test]
    fn blocks_of_whole_pages_share_their_slabs() {
        let mut heap = Jemalloc::new().expect("jemalloc answers");
        for bytes in [4096, 8192, 12288] {
            let layout = Layout::from_size_align(bytes, 8).unwrap();
            let block = heap.allocate(layout).expect("memory");
            let places = heap.utilization(block).places;
            // SAFETY: allocated above, with this layout.
            unsafe { heap.free(block, layout) };
            assert!(places > 1, "{places} of {bytes} bytes");
        }
    }
}
