//! Trimming: entries go from the front, whole nodes where possible. Owns how much goes; which must be
//! what Redis takes away, since a replica is told only the outcome.

use super::node::{self, Node};
use super::references::{References, Released};
use super::{Places, Stream, StreamId};
use crate::listpack::Listpack;

/// What a stream is trimmed down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many entries.
    MaxLen(u64),
    /// Those from this id on.
    MinId(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub keep: Keep,
    /// Whole nodes alone go: less than was asked for, at little cost.
    pub approximate: bool,
    /// No more entries than this go; 0 for no limit.
    pub limit: u64,
    pub references: References,
}

/// What a trim has taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    pub count: u64,
    /// Those of them that stood behind an entry that stays. They are no trim but deletions, in the stream's
    /// figures as well: who counts entries by their ids must know of the gaps.
    pub picked: Vec<StreamId>,
    pub released: Released,
}

impl Stream {
    /// Trims from the front.
    pub fn trim(&mut self, trim: &Trim) -> Trimmed {
        let before = self.length;
        let (mut picked, mut released) = (Vec::new(), Released::new());
        while let Some((node_id, node)) = self.nodes.first() {
            if matches!(trim.keep, Keep::MaxLen(max) if self.length <= max) {
                break;
            }
            let (live, _) = node::counts(node);
            if trim.limit != 0 && before - self.length + live > trim.limit {
                break;
            }
            let goes_whole = match trim.keep {
                Keep::MaxLen(max) => self.length.saturating_sub(live) >= max,
                Keep::MinId(min) => last_id(node_id, node).is_none_or(|last| last < min),
            };
            if goes_whole && self.lets_node_go(node_id, trim.references, &mut released) {
                self.nodes.remove(node_id);
                self.length -= live;
                continue;
            }
            if !trim.approximate {
                match trim.references {
                    References::MustBeGone => picked = self.trim_acknowledged(trim),
                    references => self.trim_node(node_id, trim.keep, references, &mut released),
                }
            }
            break;
        }
        if self.length != before {
            self.find_first();
        }
        picked.retain(|id| self.length > 0 && *id > self.first_id);
        if let Some(last) = picked.last() {
            self.max_deleted_id = self.max_deleted_id.max(*last);
        }
        Trimmed { count: before - self.length, picked, released }
    }

    /// Deletes entries in place from the front of a node that does not go as a whole.
    fn trim_node(
        &mut self,
        node_id: StreamId,
        keep: Keep,
        references: References,
        released: &mut Released,
    ) {
        let Some(node) = self.nodes.get_mut(node_id) else { return };
        let excess = match keep {
            Keep::MaxLen(max) => self.length.saturating_sub(max) as usize,
            Keep::MinId(_) => usize::MAX,
        };
        let entries = Node::open(node_id, node).into_iter().flat_map(Node::forward);
        let placed: Vec<_> = entries
            .filter(|placed| !placed.is_deleted())
            .take_while(|placed| !matches!(keep, Keep::MinId(min) if placed.entry.id >= min))
            .take(excess)
            .map(|placed| (placed.entry.id, placed.at))
            .collect();
        let places: Places = placed.iter().map(|(_, at)| *at).collect();
        node::mark_deleted(node, &places);
        self.length -= places.len() as u64;
        if references == References::Delete {
            placed.iter().for_each(|(id, _)| self.release(*id, released));
        }
    }

    /// Whether the first node may go with what it has, whose references go with it if they have to.
    fn lets_node_go(
        &mut self,
        node_id: StreamId,
        references: References,
        released: &mut Released,
    ) -> bool {
        if references == References::Keep {
            return true;
        }
        let ids = self.ids_of_node(node_id);
        match references {
            References::MustBeGone => ids.iter().all(|id| self.is_acknowledged(*id)),
            _ => {
                ids.into_iter().for_each(|id| self.release(id, released));
                true
            }
        }
    }

    /// Deletes one by one, from the front, what nobody refers to; which these are.
    fn trim_acknowledged(&mut self, trim: &Trim) -> Vec<StreamId> {
        let (end, excess) = match trim.keep {
            Keep::MaxLen(max) => (Some(StreamId::MAX), self.length.saturating_sub(max)),
            Keep::MinId(min) => (min.previous(), u64::MAX),
        };
        let Some(end) = end else { return Vec::new() };
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        let entries = self.range(StreamId::MIN, end).map(|entry| entry.id);
        let gone: Vec<_> = entries.filter(|id| self.is_acknowledged(*id)).take(excess).collect();
        for id in &gone {
            self.remove(*id);
        }
        gone
    }
}

/// Of the last entry of a node, be it a deleted one.
fn last_id(node_id: StreamId, node: &Listpack) -> Option<StreamId> {
    Node::open(node_id, node)?.backward().next().map(|placed| placed.entry.id)
}
