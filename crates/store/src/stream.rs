//! Streams: entries with ascending ids in nodes of many, and the groups that read them. Owns what
//! Redis tells and saves of a stream, in nodes that are Redis's byte for byte; must not know
//! replies, clocks or files.
//!
//! Invariants:
//! - Ids ascend strictly, within a node and across nodes, and none is above `last_id`. A node's id is
//!   not above those of its entries. (Of entries deleted in place nobody asks the id, but for a trim
//!   that asks where a node ends: after an XSETID it may be given once more.)
//! - `length` is the number of entries that are not deleted. A node may have none left: where its
//!   last entries were deleted and the others trimmed.
//! - `first_id` is the id of the first entry, and zero without entries.
//! - A group's pending ids need not be in the stream any more; see `group` for the rest.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use self::id_map::IdMap;
use self::node::{MAX_NODE_BYTES, Node};
use crate::limits::Limits;
use crate::list::scale;
use crate::listpack::Listpack;
use crate::relocate::{Cursor, Mover, Relocate};

mod build;
mod group;
mod id;
mod id_map;
mod node;
mod range;
mod references;
#[cfg(test)]
mod tests;
mod trim;

pub use self::build::StreamBuilder;
pub use self::group::{Consumer, ConsumerKey, Group, GroupBuilder, Pending};
pub use self::id::{ID_BYTES, IdText, StreamId};
pub use self::id_map::Iter as IdIter;
pub use self::node::Entry;
pub use self::range::{Range, RevRange};
pub use self::references::{Deletion, References, Released};
pub use self::trim::{Keep, Trim, Trimmed};

/// Consumer groups by name, in the order in which everybody sees them.
pub type Groups = BTreeMap<Box<[u8]>, Group>;

/// A stream value. Unlike other collections it may be empty.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    nodes: IdMap<Listpack>,
    length: u64,
    first_id: StreamId,
    /// The highest id that was given, or set.
    last_id: StreamId,
    /// The highest id that was deleted on its own; trimming does not count.
    pub max_deleted_id: StreamId,
    /// Since ever.
    pub entries_added: u64,
    pub groups: Groups,
}

/// A walk passes over all groups before those that it looks at, and looks at one for so many of them at least: with
/// one a step, it took a hundred times as long for ten times as many.
const GROUPS_PASSED: usize = 64;

/// How the id of a new entry comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// From the clock, and above the last one whatever the clock says.
    Auto {
        now_ms: u64,
    },
    /// The next one of this millisecond.
    InMs(u64),
    Given(StreamId),
}

impl Relocate for Stream {
    /// The cursor is the number of a leaf of nodes, and goes on with that of a group.
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        let number = cursor as usize;
        let leaves = self.nodes.leaves();
        let next = if self.nodes.relocate_leaf(number, mover, Listpack::relocate) {
            number + 1
        } else {
            let passed = number - leaves;
            let count = 1 + passed / GROUPS_PASSED;
            let groups = self.groups.values_mut().skip(passed).take(count);
            groups.for_each(|group| group.relocate(mover));
            number + count
        };
        if next < leaves + self.groups.len() { next as Cursor } else { 0 }
    }
}

impl Stream {
    pub fn new() -> Stream {
        Stream::default()
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The highest id that was given, or set.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The next id will be above this one, which is not below that of any entry.
    ///
    /// # Panics
    /// If it is.
    pub fn set_last_id(&mut self, id: StreamId) {
        assert!(self.last_entry_id().is_none_or(|last| last <= id), "ids ascend");
        self.last_id = id;
        // What is left above it are nodes that have no entries any more.
        while let Some((node_id, _)) = self.nodes.last().filter(|(node_id, _)| *node_id > id) {
            self.nodes.remove(node_id);
        }
    }

    /// Where the entries that are kept begin, deleted ones included; the end where there are none.
    pub fn first_kept_id(&self) -> StreamId {
        let first = self.nodes.first().and_then(|(id, node)| Node::open(id, node));
        let placed = first.and_then(|node| node.forward().next());
        placed.map_or(StreamId::MAX, |placed| placed.entry.id)
    }

    /// The nodes with their ids.
    pub fn nodes(&self) -> impl Iterator<Item = (StreamId, &Listpack)> {
        self.nodes.iter()
    }

    pub fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// Of the tree that the nodes are in: they hang on branches, of which there is one at least.
    pub fn tree_nodes(&self) -> usize {
        self.nodes.len() + self.nodes.leaves().max(1)
    }

    /// The id of the next entry; none if it would not be above all ids before it.
    pub fn next_id(&self, wanted: NewId) -> Option<StreamId> {
        let id = match wanted {
            NewId::Auto { now_ms } if now_ms > self.last_id.ms => StreamId::new(now_ms, 0),
            NewId::Auto { .. } => self.last_id.next()?,
            NewId::InMs(ms) if ms == self.last_id.ms => {
                StreamId::new(ms, self.last_id.seq.checked_add(1)?)
            }
            NewId::InMs(ms) => StreamId::new(ms, 0),
            NewId::Given(id) => id,
        };
        (id > self.last_id).then_some(id)
    }

    /// Whether an entry of so many bytes of fields and values can be kept.
    pub fn fits(bytes: usize) -> bool {
        bytes <= MAX_NODE_BYTES
    }

    /// Appends an entry. `words` are its fields and values in turn, of which there is one each at
    /// least, and which [`Self::fits`].
    ///
    /// # Panics
    /// If `id` does not come from [`Self::next_id`].
    pub fn append<'t>(
        &mut self,
        id: StreamId,
        words: impl Iterator<Item = &'t [u8]> + Clone,
        limits: &Limits,
    ) {
        assert!(id > self.last_id, "ids ascend");
        let bytes: usize = words.clone().map(<[u8]>::len).sum();
        match self.nodes.last_mut().filter(|(_, node)| has_room(node, bytes, limits)) {
            Some((node_id, node)) => node::push_entry(node, node_id, id, words),
            None => self.nodes.insert(id, node::new_node(words)),
        }
        self.length += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.length == 1 {
            self.first_id = id;
        }
    }

    pub fn contains(&self, id: StreamId) -> bool {
        self.entry(id).is_some()
    }

    pub fn entry(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// Deletes an entry, if there is one of this id.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let was_there = self.remove(id);
        if was_there {
            self.max_deleted_id = self.max_deleted_id.max(id);
        }
        was_there
    }

    /// The same without a trace in the stream's figures.
    fn remove(&mut self, id: StreamId) -> bool {
        let Some(node_id) = self.nodes.floor(id) else { return false };
        let Some(node) = self.nodes.get_mut(node_id) else { return false };
        let mut entries = Node::open(node_id, node).into_iter().flat_map(Node::forward);
        let found = entries.find(|placed| placed.entry.id >= id && !placed.is_deleted());
        let Some(at) = found.filter(|placed| placed.entry.id == id).map(|placed| placed.at) else {
            return false;
        };
        match node::counts(node) {
            (..=1, _) => drop(self.nodes.remove(node_id)),
            _ => node::mark_deleted(node, &[at]),
        }
        self.length -= 1;
        if id == self.first_id || self.length == 0 {
            self.find_first();
        }
        true
    }

    fn ids_of_node(&self, node_id: StreamId) -> Vec<StreamId> {
        let node = self.nodes.get(node_id).and_then(|node| Node::open(node_id, node));
        let placed = node.into_iter().flat_map(Node::forward);
        placed.filter(|placed| !placed.is_deleted()).map(|placed| placed.entry.id).collect()
    }

    /// The id of the last entry that is there.
    pub fn last_entry_id(&self) -> Option<StreamId> {
        self.rev_range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id)
    }

    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next();
        self.first_id = first.map_or(StreamId::MIN, |entry| entry.id);
    }

    /// Whether an entry was deleted, so far as one knows, from `from` on: then counting from there
    /// would be wrong.
    fn has_deleted_from(&self, from: StreamId) -> bool {
        self.length > 0
            && self.max_deleted_id != StreamId::MIN
            && self.first_id <= self.max_deleted_id
            && from <= self.max_deleted_id
    }

    /// How many entries were ever added up to `id`, where that can be told without counting.
    pub fn reads_up_to(&self, id: StreamId) -> Option<i64> {
        let added = self.entries_added as i64;
        if self.entries_added == 0 {
            return Some(0);
        }
        if id == self.last_id || (self.length == 0 && id < self.last_id) {
            return Some(added);
        }
        if id > self.last_id {
            return None;
        }
        if self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id {
            let before = added.wrapping_sub(self.length as i64);
            if id < self.first_id {
                return Some(before);
            } else if id == self.first_id {
                return Some(before.wrapping_add(1));
            }
        }
        None
    }

    /// What a group has not read yet, where that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.length == 0 {
            return Some(0);
        }
        if group.last_id < self.first_id && self.max_deleted_id < self.first_id {
            return Some(self.length as i64);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_deleted_from(group.last_id) => read,
            _ => self.reads_up_to(group.last_id)?,
        };
        Some((self.entries_added as i64).wrapping_sub(read))
    }

    /// How many entries a group has read that now reads `id`, having read so many up to `last_id`.
    pub fn entries_read_at(
        &self,
        id: StreamId,
        last_id: StreamId,
        before: Option<i64>,
    ) -> Option<i64> {
        match before {
            Some(read) if last_id >= self.first_id && !self.has_deleted_from(last_id) => {
                Some(read.wrapping_add(1))
            }
            _ => self.reads_up_to(id),
        }
    }

    /// Whether the forms of a stream before Redis 7.2 would leave something out.
    pub fn tells_active_times(&self) -> bool {
        self.groups.values().any(Group::tells_active_times)
    }

    /// As Redis estimates it: a node is an allocation, and so is what a group has pending, of which
    /// the first group's stands for all.
    pub fn free_effort(&self) -> usize {
        let pending = self.groups.values().next().map_or(0, |group| group.pending().leaves());
        self.nodes.len() + self.groups.len() * (1 + pending)
    }

    pub fn memory_usage(&self, samples: usize) -> usize {
        let all = self.nodes.len();
        let sampled = if samples == 0 { all } else { samples.min(all) };
        let bytes = self.nodes.iter().take(sampled).map(|(_, node)| node.allocated_bytes()).sum();
        let groups: usize = self
            .groups
            .iter()
            .map(|(name, group)| name.len() + size_of::<Group>() + group.memory_usage())
            .sum();
        size_of::<Stream>() + self.nodes.allocated_bytes() + scale(bytes, sampled, all) + groups
    }
}

/// Whether an entry of so many bytes goes into the node, or begins the next.
fn has_room(node: &Listpack, bytes: usize, limits: &Limits) -> bool {
    let max_bytes = match limits.stream_node_max_bytes {
        0 => MAX_NODE_BYTES,
        bytes => bytes.min(MAX_NODE_BYTES),
    };
    let max_entries = limits.stream_node_max_entries;
    let (live, deleted) = node::counts(node);
    node.byte_len().saturating_add(bytes) < max_bytes
        && (max_entries == 0 || live + deleted < max_entries as u64)
}

/// Places in a node, of entries that go.
type Places = SmallVec<[crate::listpack::Pos; 16]>;
