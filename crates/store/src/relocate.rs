//! Moving what is left in sparse memory: the blocks of a database are looked at one by one, and those that
//! lie among few others are moved to where many are, so that whole pages become free.
//!
//! Owns how a block moves and the count of it. Must not know the allocator: a [`Heap`] says what is
//! sparse and gives memory that is not; nor who points at a block: its owner asks for the move, and follows it.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// Where a walk in steps goes on; 0 where it begins and when it has ended.
pub type Cursor = u64;

/// The allocator behind a walk.
pub trait Heap {
    /// Whether the block should move: what lies near it is mostly free.
    fn is_sparse(&mut self, block: NonNull<u8>) -> bool;

    /// Memory for a block that moves. The global allocator's, of which it may be asked for the best place.
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: blocks are never empty.
        NonNull::new(unsafe { alloc(layout) })
    }

    /// Frees where a block was.
    ///
    /// # Safety
    /// Allocated with this layout by the global allocator or by `allocate`, and not used again.
    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(block.as_ptr(), layout) }
    }
}

/// Moves blocks, and counts.
pub struct Mover<'a> {
    heap: &'a mut dyn Heap,
    /// Blocks that have moved.
    pub moved: u64,
    /// Blocks that were looked at and lie well.
    pub kept: u64,
}

impl<'a> Mover<'a> {
    pub fn new(heap: &'a mut dyn Heap) -> Self {
        Mover { heap, moved: 0, kept: 0 }
    }

    /// Whether a block should move; one that should not is counted as kept.
    pub(crate) fn is_sparse(&mut self, block: NonNull<u8>) -> bool {
        let is_sparse = self.heap.is_sparse(block);
        self.kept += u64::from(!is_sparse);
        is_sparse
    }

    /// Moves a block if it should: its bytes are at the address returned, and nothing is where it was.
    ///
    /// # Safety
    /// The block was allocated with this layout, which is not empty, and is the caller's alone.
    pub(crate) unsafe fn block(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        if !self.is_sparse(block) {
            return None;
        }
        // SAFETY: the caller's promise.
        unsafe { self.move_sparse(block, layout) }
    }

    /// Moves a block of which [`is_sparse`](Self::is_sparse) says that it should.
    ///
    /// # Safety
    /// As [`block`](Self::block).
    pub(crate) unsafe fn move_sparse(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        // Where there is no memory it stays.
        let moved = self.heap.allocate(layout)?;
        // SAFETY: two blocks of that many bytes; the old one is the caller's, who forgets it.
        unsafe {
            moved.copy_from_nonoverlapping(block, layout.size());
            self.heap.free(block, layout);
        }
        self.moved += 1;
        Some(moved)
    }

    pub(crate) fn boxed<T>(&mut self, value: &mut Box<T>) {
        const { assert!(size_of::<T>() > 0) }
        // SAFETY: the value leaves its box, which is taken apart without dropping it, and is in the next one
        // before anybody looks. Both blocks have the layout of T.
        unsafe {
            let taken: Box<ManuallyDrop<T>> = Box::from_raw(ptr::from_mut(&mut **value).cast());
            let block = NonNull::new_unchecked(Box::into_raw(taken)).cast();
            let at = self.block(block, Layout::new::<T>()).unwrap_or(block);
            ptr::write(value, Box::from_raw(at.cast().as_ptr()));
        }
    }

    pub(crate) fn vec<T>(&mut self, vec: &mut Vec<T>) {
        let Ok(layout) = Layout::array::<T>(vec.capacity()) else { return };
        if layout.size() == 0 {
            return;
        }
        let mut taken = ManuallyDrop::new(std::mem::take(vec));
        let (len, capacity) = (taken.len(), taken.capacity());
        // SAFETY: a vector's allocation has this layout; it is made again of the parts that it had, wherever
        // its elements lie by now.
        unsafe {
            let block = NonNull::new_unchecked(taken.as_mut_ptr());
            let at = self.block(block.cast(), layout).map_or(block, NonNull::cast);
            *vec = Vec::from_raw_parts(at.as_ptr(), len, capacity);
        }
    }

    pub(crate) fn deque<T>(&mut self, deque: &mut VecDeque<T>) {
        // To be a vector its elements may have to be put in order: only where it is worth it.
        let Some(first) = deque.front() else { return };
        if !self.is_sparse(NonNull::from_ref(first).cast()) {
            return;
        }
        let mut vec = Vec::from(std::mem::take(deque));
        self.vec(&mut vec);
        *deque = VecDeque::from(vec);
    }
}

/// What consists of so many blocks that they are looked at in steps.
pub(crate) trait Relocate {
    /// Looks at some of its blocks; returns where to go on, 0 when all have been looked at. What changes between
    /// two steps may be missed.
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor;

    /// Looks at all of its blocks.
    fn relocate(&mut self, mover: &mut Mover<'_>) {
        let mut cursor = 0;
        loop {
            cursor = self.relocate_from(cursor, mover);
            if cursor == 0 {
                break;
            }
        }
    }
}

/// Half of all blocks are sparse, whichever they are.
#[cfg(test)]
pub(crate) struct Shaky(pub fastrand::Rng);

#[cfg(test)]
impl Shaky {
    pub fn new() -> Self {
        Shaky(fastrand::Rng::with_seed(9))
    }

    /// Moves about half of what a value consists of; tells of how many blocks it thinks it consists.
    pub fn shake(&mut self, value: &mut impl Relocate) -> u64 {
        let mut mover = Mover::new(self);
        value.relocate(&mut mover);
        mover.moved + mover.kept
    }
}

#[cfg(test)]
impl Heap for Shaky {
    fn is_sparse(&mut self, _: NonNull<u8>) -> bool {
        self.0.bool()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl Heap for Full {
        fn is_sparse(&mut self, _: NonNull<u8>) -> bool {
            true
        }

        fn allocate(&mut self, _: Layout) -> Option<NonNull<u8>> {
            None
        }
    }

    /// What holds others, and what is empty, moves whole; what cannot move stays what it is.
    #[test]
    fn containers_move_with_what_is_in_them() {
        let (mut shaky, mut full) = (Shaky::new(), Full);
        for round in 0..40 {
            let heap: &mut dyn Heap = if round % 4 == 0 { &mut full } else { &mut shaky };
            let mut mover = Mover::new(heap);
            let mut boxed = Box::new(String::from("it"));
            let mut vec = Vec::with_capacity(round);
            vec.extend((0..round / 2).map(|n| n.to_string()));
            let mut deque: VecDeque<_> = vec.iter().cloned().collect();
            deque.rotate_left(round / 4);
            deque.push_front(String::from("first"));
            let expected = (vec.clone(), deque.clone());
            mover.boxed(&mut boxed);
            mover.vec(&mut vec);
            mover.vec(&mut Vec::<u64>::new());
            mover.deque(&mut deque);
            mover.deque(&mut VecDeque::<u64>::new());
            assert_eq!(*boxed, "it");
            assert!(vec.capacity() >= round);
            vec.reserve(round);
            deque.reserve(round);
            assert_eq!((vec, deque), expected);
        }
    }
}
