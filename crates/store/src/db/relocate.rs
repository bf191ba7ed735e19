//! The walk over a database that moves what lies in sparse memory. Owns that the indexes follow an entry that
//! moves; must not know when it is time for a walk, nor for how long.

use super::{Db, ExpireRef};
use crate::element::Tagged;
use crate::entry::Entry;
use crate::relocate::{Cursor, Mover, Relocate};

/// Where a walk over a database goes on.
#[derive(Debug, Default)]
pub struct Place {
    part: Part,
    cursor: Cursor,
    /// Keys of this step whose values are too large for one: each is next, and is walked over by itself.
    pub(super) large: Vec<Box<[u8]>>,
    /// In the value of the last of these.
    inside: Cursor,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Entries,
    Expires,
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    pub is_at_end: bool,
    /// Keys of which something has moved.
    pub moved_keys: u64,
    /// Keys that lie well.
    pub kept_keys: u64,
}

impl Db {
    /// One step of a walk: the entries of a bucket, or a part of a value that has more than `max_elements`. Begin
    /// with a fresh place. What the database becomes between two steps is all the same; some of it may be missed.
    pub fn relocate_from(
        &mut self,
        place: &mut Place,
        max_elements: usize,
        mover: &mut Mover<'_>,
    ) -> Walked {
        let mut walked = Walked::default();
        if let Some(key) = place.large.last() {
            let before = mover.moved;
            place.inside = match self.entries.find_mut(key) {
                Some(entry) => relocate_inside(entry, place.inside, mover),
                None => 0,
            };
            walked.moved_keys = u64::from(mover.moved > before);
            if place.inside == 0 {
                place.large.pop();
            }
            return walked;
        }
        match place.part {
            Part::Entries => {
                place.cursor = self.relocate_bucket(place, max_elements, mover, &mut walked);
                if place.cursor == 0 {
                    place.part = Part::Expires;
                }
            }
            Part::Expires => {
                place.cursor = self.expires.relocate_from(place.cursor, mover, |_, _| {});
                walked.is_at_end = place.cursor == 0;
            }
        }
        walked
    }

    fn relocate_bucket(
        &mut self,
        place: &mut Place,
        max_elements: usize,
        mover: &mut Mover<'_>,
        walked: &mut Walked,
    ) -> Cursor {
        let (seed, large) = (self.entries.seed(), &mut place.large);
        let (expires, field_expires) = (&mut self.expires, &mut self.field_expires);
        self.entries.relocate_from(place.cursor, mover, |entry, mover| {
            let before = mover.moved;
            let old = entry.base();
            field_expires.take_out(entry);
            entry.relocate(mover);
            field_expires.add(entry);
            if entry.base() != old && entry.expire_ms().is_some() {
                let hash = seed.hash(entry.key());
                // The old place is compared with, not looked at.
                let found = expires.find_mut_with(hash, |expire| expire.points_at(old));
                let ExpireRef(word) = found.expect("an entry with an expiry is in the index");
                Tagged::set_ptr(word, entry.base());
            }
            if entry.free_effort() > max_elements {
                large.push(entry.key().into());
            } else if let Some(value) = entry.value_to_relocate() {
                value.relocate(mover);
            }
            match mover.moved > before {
                true => walked.moved_keys += 1,
                false => walked.kept_keys += 1,
            }
        })
    }
}

/// A hash may be walked over without its index: it keeps the expiries of its fields.
fn relocate_inside(entry: &mut Entry, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
    entry.value_to_relocate().map_or(0, |value| value.relocate_from(cursor, mover))
}
