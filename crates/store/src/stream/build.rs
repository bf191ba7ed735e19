//! Puts a stream together from what a file tells of it. Owns that nothing gets in that breaks the
//! stream's invariants, whoever wrote the file.

use super::id_map::IdMap;
use super::node::check_node;
use super::{Group, Stream, StreamId};
use crate::listpack::Listpack;

/// Call order: `node` for each node in ascending order, `finish`; then the stream's other figures
/// can be set, and groups added.
#[derive(Debug, Default)]
pub struct StreamBuilder {
    nodes: IdMap<Listpack>,
    length: u64,
    /// Of the last entry, or of the last node where that has none.
    last_id: Option<StreamId>,
}

impl StreamBuilder {
    pub fn new() -> StreamBuilder {
        StreamBuilder::default()
    }

    /// Adds a node behind the others.
    pub fn node(&mut self, id: StreamId, node: Listpack) -> Result<(), &'static str> {
        if node.is_empty() {
            return Err("an empty stream node");
        }
        if self.last_id >= Some(id) {
            return Err("stream nodes that are not in order");
        }
        let checked = check_node(id, &node)?;
        self.length = self.length.saturating_add(checked.live);
        self.last_id = Some(checked.last_id.unwrap_or(id));
        self.nodes.insert(id, node);
        Ok(())
    }

    /// The stream without groups, as if nothing had ever been deleted from it.
    pub fn finish(self, length: u64, last_id: StreamId) -> Result<Stream, &'static str> {
        if length != self.length {
            return Err("a stream of another length than its nodes");
        }
        if self.last_id > Some(last_id) {
            return Err("a stream with entries above its last id");
        }
        let mut stream = Stream {
            nodes: self.nodes,
            length,
            last_id,
            entries_added: length,
            ..Stream::default()
        };
        stream.find_first();
        Ok(stream)
    }
}

impl Stream {
    /// Adds a group of a file.
    pub fn add_group(&mut self, name: Box<[u8]>, group: Group) -> Result<(), &'static str> {
        match self.groups.insert(name, group) {
            None => Ok(()),
            Some(_) => Err("a consumer group that is there twice"),
        }
    }
}
