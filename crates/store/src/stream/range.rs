//! Walks over the entries of a stream in either direction. Owns where a walk begins and ends, and that
//! it passes over what was deleted.

use super::id_map;
use super::node::{Backward, Entry, Forward, Node};
use super::{Stream, StreamId};
use crate::listpack::Listpack;

impl Stream {
    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        // The node that `start` would be in begins at or before it.
        let from = self.nodes.floor(start).unwrap_or(start);
        Range { nodes: self.nodes.iter_from(from), entries: None, start, end }
    }

    /// The same, last first.
    pub fn rev_range(&self, start: StreamId, end: StreamId) -> RevRange<'_> {
        RevRange { nodes: self.nodes.iter_to(end), entries: None, start, end }
    }
}

/// Entries in order.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    nodes: id_map::Iter<'a, Listpack>,
    entries: Option<Forward<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(placed) = self.entries.as_mut().and_then(Iterator::next) else {
                let (id, node) = self.nodes.next()?;
                if id > self.end {
                    return None;
                }
                self.entries = Node::open(id, node).map(Node::forward);
                continue;
            };
            if placed.is_deleted() {
                continue;
            }
            if placed.entry.id > self.end {
                return None;
            }
            if placed.entry.id >= self.start {
                return Some(placed.entry);
            }
        }
    }
}

/// Entries, last first.
#[derive(Clone, Debug)]
pub struct RevRange<'a> {
    nodes: id_map::Iter<'a, Listpack>,
    entries: Option<Backward<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Iterator for RevRange<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(placed) = self.entries.as_mut().and_then(Iterator::next) else {
                let (id, node) = self.nodes.next_back()?;
                self.entries = Node::open(id, node).map(Node::backward);
                continue;
            };
            if placed.is_deleted() {
                continue;
            }
            if placed.entry.id < self.start {
                return None;
            }
            if placed.entry.id <= self.end {
                return Some(placed.entry);
            }
        }
    }
}
