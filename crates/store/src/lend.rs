//! Lending a part of something, or giving the whole back: what lets a caller look a key up once and go
//! on by what was found.
//!
//! The borrow checker takes a loan that is returned from one branch to be alive in all the others. So a
//! method that returns what it has found may not use its own `self` where it has found nothing useful.

use std::marker::PhantomData;

use crate::{DbSlot, Entry};

/// What is lent, for as long as its owner is borrowed.
pub trait Lent {
    type For<'a>;
}

/// An entry to be read.
pub struct EntryRef;

impl Lent for EntryRef {
    type For<'a> = &'a Entry;
}

/// The place of a key, beside something of the same owner's.
pub struct SlotAnd<'k, T: ?Sized>(PhantomData<(&'k [u8], *const T)>);

impl<'k, T: ?Sized + 'static> Lent for SlotAnd<'k, T> {
    type For<'a> = (DbSlot<'a, 'k>, &'a T);
}

/// What `look` finds in `owner`, or `owner` itself when that is nothing.
#[inline]
pub fn lend_or_back<'o, L: Lent, O>(
    owner: &'o mut O,
    look: impl for<'a> FnOnce(&'a mut O) -> Option<L::For<'a>>,
) -> Result<L::For<'o>, &'o mut O> {
    let lent: *mut O = owner;
    // SAFETY: `owner` is borrowed for all of `'o`, and not used while this loan of it lives.
    match look(unsafe { &mut *lent }) {
        Some(found) => Ok(found),
        // SAFETY: nothing was returned, and `look`, which must do for any lifetime, cannot have kept a
        // loan anywhere else: this is the only one.
        None => Err(unsafe { &mut *lent }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Db, HashSeed};

    /// To be run by Miri too: the owner is used again after a look that found nothing.
    #[test]
    fn the_owner_comes_back_when_nothing_is_lent() {
        let mut db = Db::new(HashSeed::new(1, 2));
        db.set(b"k", b"v", Some(7));
        let mut look = |now_ms: i64| {
            let live = |db: &mut Db| db.get(b"k").map(|entry| !entry.is_expired(now_ms));
            let found = lend_or_back::<EntryRef, _>(&mut db, |db| {
                db.get(b"k").filter(|entry| !entry.is_expired(now_ms))
            });
            match found {
                Ok(entry) => entry.expire_ms(),
                Err(db) => {
                    let was = live(db);
                    db.remove(b"k");
                    assert!(db.is_empty());
                    was.map(i64::from)
                }
            }
        };
        assert_eq!(look(7), Some(7), "lent");
        assert_eq!(look(8), Some(0), "there, but not lent");
        assert_eq!(look(8), None, "gone");
    }
}
