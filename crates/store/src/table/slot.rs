//! The result of a lookup for update: a place that is filled or one that may be.

use std::marker::PhantomData;

use super::{Place, Table, from_word, into_word};
use crate::bucket;
use crate::element::Element;

/// The place of a key in a table.
pub enum Slot<'a, E: Element> {
    Occupied(Occupied<'a, E>),
    Vacant(Vacant<'a, E>),
}

/// A place with an element.
pub struct Occupied<'a, E: Element> {
    table: &'a mut Table<E>,
    place: Place,
    marker: PhantomData<&'a mut E>,
}

/// The absence of a key whose hash is known.
pub struct Vacant<'a, E: Element> {
    table: &'a mut Table<E>,
    hash: u64,
}

impl<'a, E: Element> Occupied<'a, E> {
    #[inline]
    pub(super) fn new(table: &'a mut Table<E>, place: Place) -> Self {
        Occupied { table, place, marker: PhantomData }
    }

    #[inline]
    pub fn element(&self) -> &E {
        // SAFETY: `locate` found an element here and the table has been borrowed since.
        unsafe { &*self.place.word().cast::<E>() }
    }

    #[inline]
    pub fn element_mut(&mut self) -> &mut E {
        // SAFETY: as above, borrowed mutably.
        unsafe { &mut *self.place.word().cast::<E>() }
    }

    #[inline]
    pub fn into_mut(self) -> &'a mut E {
        // SAFETY: as above, for as long as the table's borrow.
        unsafe { &mut *self.place.word().cast::<E>() }
    }

    /// Puts an element of the same key here and returns the one that was.
    pub fn replace(self, element: E) -> E {
        debug_assert!(element.key() == self.element().key());
        let word = self.place.word();
        // SAFETY: a word of an element; the old one leaves as the new one, with its tag, comes.
        unsafe {
            let old = word.read();
            word.write(bucket::stamp(into_word(element), bucket::tag_of(old)));
            from_word(old)
        }
    }

    #[inline]
    pub fn remove(self) -> E {
        self.table.take(self.place)
    }
}

impl<'a, E: Element> Vacant<'a, E> {
    #[inline]
    pub(super) fn new(table: &'a mut Table<E>, hash: u64) -> Self {
        Vacant { table, hash }
    }

    /// Adds an element that has the key that was looked up.
    #[inline]
    pub fn insert(self, element: E) -> &'a mut E {
        self.table.insert_new_hashed(self.hash, element)
    }

    /// [`insert`](Vacant::insert), returning the place.
    #[inline]
    pub fn insert_occupied(self, element: E) -> Occupied<'a, E> {
        let place = self.table.insert_place(self.hash, element);
        Occupied::new(self.table, place)
    }

    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
