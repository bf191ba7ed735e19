//! What a readiness event belongs to, packed into mio's `Token`.
//!
//! A token carries the generation of the slot it was made for, so that an event which epoll reported
//! for a connection that has since been closed (and whose slot is taken again) is recognised and
//! dropped. Nothing here touches a descriptor.

use mio::Token;

/// A connection's slot and the number of times that slot had been used before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub index: u32,
    pub generation: u32,
}

/// Everything that the loop can be woken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A helper thread has put something into the mailbox.
    Mailbox,
    /// The signalfd.
    Signals,
    /// The n-th listening socket.
    Listener(u32),
    /// The link to our master; the number tells one attempt from the next.
    MasterLink(u32),
    /// Reports of the running child.
    ChildReport(u32),
    /// The stream of a diskless snapshot.
    SnapshotPipe(u32),
    Client(ConnId),
}

const KIND_BITS: u32 = 3;
/// 29 bits of slots are more than a process can have descriptors.
const MAX_INDEX: u32 = 1 << (32 - KIND_BITS);

impl Source {
    pub fn token(self) -> Token {
        let (kind, index, generation) = match self {
            Source::Mailbox => (0, 0, 0),
            Source::Signals => (1, 0, 0),
            Source::Listener(n) => (2, n, 0),
            Source::MasterLink(generation) => (3, 0, generation),
            Source::ChildReport(generation) => (4, 0, generation),
            Source::SnapshotPipe(generation) => (5, 0, generation),
            Source::Client(id) => (6, id.index, id.generation),
        };
        debug_assert!(index < MAX_INDEX);
        Token((generation as usize) << 32 | (index as usize) << KIND_BITS | kind)
    }

    /// `None` for a token that none of us made.
    pub fn of(token: Token) -> Option<Source> {
        let generation = (token.0 >> 32) as u32;
        let index = (token.0 as u32) >> KIND_BITS;
        Some(match token.0 & ((1 << KIND_BITS) - 1) {
            0 => Source::Mailbox,
            1 => Source::Signals,
            2 => Source::Listener(index),
            3 => Source::MasterLink(generation),
            4 => Source::ChildReport(generation),
            5 => Source::SnapshotPipe(generation),
            6 => Source::Client(ConnId { index, generation }),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_the_trip_through_a_token() {
        let client = |index, generation| Source::Client(ConnId { index, generation });
        for source in [
            Source::Mailbox,
            Source::Signals,
            Source::Listener(17),
            Source::MasterLink(u32::MAX),
            Source::ChildReport(3),
            Source::SnapshotPipe(0),
            client(0, 0),
            client(MAX_INDEX - 1, u32::MAX),
        ] {
            assert_eq!(Source::of(source.token()), Some(source));
        }
    }

    #[test]
    fn a_reused_slot_has_another_token() {
        let first = Source::Client(ConnId { index: 5, generation: 0 });
        let second = Source::Client(ConnId { index: 5, generation: 1 });
        assert_ne!(first.token(), second.token());
    }
}
