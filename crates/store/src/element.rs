//! What a [`Table`](crate::Table) holds: one word, a pointer that the table may tag.
//!
//! Owns the split of that word and must not know what it points at.

use std::ptr::NonNull;

/// The low 48 bits are the address; the rest belongs to the table while the element is in one.
const ADDRESS_BITS: u32 = 48;
pub(crate) const ADDRESS_MASK: usize = (1 << ADDRESS_BITS) - 1;
/// Set in every word that holds an element.
pub(crate) const OCCUPIED: usize = 1 << 63;
pub(crate) const TAG_BITS: u32 = 15;
pub(crate) const TAG_MASK: usize = (1 << TAG_BITS) - 1;

/// A pointer whose upper 16 bits a table uses for itself.
///
/// An element wraps this, so that the table can hand out `&E` and `&mut E` to its own slots: an
/// element that moves its allocation calls [`set_ptr`](Tagged::set_ptr) and stays in place.
#[repr(transparent)]
pub struct Tagged(NonNull<u8>);

impl Tagged {
    /// Panics if the address needs more than 48 bits: no user address of a supported system does
    /// unless the process asked for it.
    #[inline]
    pub fn new<T>(ptr: NonNull<T>) -> Self {
        assert!(ptr.addr().get() & !ADDRESS_MASK == 0, "address wider than 48 bits");
        Tagged(ptr.cast())
    }

    /// The pointer without the table's bits.
    #[inline]
    pub fn ptr<T>(&self) -> NonNull<T> {
        let bare = self.0.as_ptr().map_addr(|address| address & ADDRESS_MASK);
        // SAFETY: `new` and `set_ptr` take non-null addresses below 2^48, which masking keeps.
        unsafe { NonNull::new_unchecked(bare.cast()) }
    }

    /// Points elsewhere and keeps the table's bits.
    #[inline]
    pub fn set_ptr<T>(&mut self, ptr: NonNull<T>) {
        let tag = self.0.addr().get() & !ADDRESS_MASK;
        let Tagged(bare) = Tagged::new(ptr);
        // SAFETY: or-ing bits into a non-null address leaves it non-null.
        self.0 = unsafe { NonNull::new_unchecked(bare.as_ptr().map_addr(|a| a | tag)) };
    }
}

/// Something with a key that fits one word and that a [`Table`](crate::Table) owns.
///
/// # Safety
///
/// The type must be `#[repr(transparent)]` around a [`Tagged`], and must not be reached in any
/// way that cares for the upper 16 bits of it (compare [`Tagged::ptr`], never the words).
///
/// While an element is in a table its key must stay the same; otherwise lookups miss it, though
/// nothing worse happens.
pub unsafe trait Element: Sized {
    fn key(&self) -> &[u8];
}
