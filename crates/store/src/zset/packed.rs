//! A sorted set in a listpack: members and scores in turn, in order. Owns the search for places;
//! must not know when a set is packed.

use crate::listpack::{Listpack, Pos, classify};
use crate::score::{Score, parse_score};
use crate::value::ItemBuf;

/// Members of a packed sorted set that a search passes over at a time.
const STRIDE: usize = 8;

pub(super) fn find(entries: &Listpack, member: &[u8]) -> Option<Pos> {
    entries.find(entries.first()?, member, 1)
}

pub(super) fn score_at(entries: &Listpack, pos: Pos) -> f64 {
    parse_score(entries.at(pos)).expect("checked when the listpack was taken in")
}

/// Puts a member that is not there into its place.
pub(super) fn insert(entries: &mut Listpack, member: &[u8], score: f64) {
    let mut buf = ItemBuf::new();
    let (_, place) = partition_point(entries, |pos, here| {
        here < score || here == score && entries.at(pos).as_bytes(&mut buf) < member
    });
    let score_text = Score::new(score);
    let new = [classify(member), score_text.as_item()];
    match place {
        Some(pos) => entries.insert_items_before(pos, &new),
        None => entries.push_back_items(&new),
    }
}

/// How many members come before the first that `passes` declines, and where that is. Those it
/// accepts must come before those it declines; it sees a member's place and its score.
pub(super) fn partition_point(
    entries: &Listpack,
    mut passes: impl FnMut(Pos, f64) -> bool,
) -> (usize, Option<Pos>) {
    let after = |member: Pos| entries.next(member).and_then(|score| entries.next(score));
    let mut passes = |member: Pos| {
        let score = entries.next(member).expect("every member has a score");
        passes(member, score_at(entries, score))
    };
    let (mut passed, mut next) = (0, entries.first());
    // Reading a score costs as much as stepping over ten elements, so first only every eighth is
    // read, then each of the last eight.
    loop {
        let mut ahead = next;
        for _ in 1..STRIDE {
            ahead = ahead.and_then(after);
        }
        match ahead {
            Some(member) if passes(member) => (passed, next) = (passed + STRIDE, after(member)),
            _ => break,
        }
    }
    while let Some(member) = next
        && passes(member)
    {
        (passed, next) = (passed + 1, after(member));
    }
    (passed, next)
}
