//! Deletions that mind what groups have pending. Owns what becomes of an entry's references when the
//! entry goes, and which entries nobody refers to any more.

use super::trim::{Keep, Trim};
use super::{Group, Stream, StreamId};

/// What becomes of groups' references to an entry that is to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// They stay: the entry is pending and not there.
    #[default]
    Keep,
    /// They go with it.
    Delete,
    /// It goes only if every group has read it, and none has it pending.
    MustBeGone,
}

/// What a deletion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    NotThere,
    Deleted,
    /// Somebody refers to it, or will: it stays.
    Referenced,
}

impl Stream {
    /// Deletes an entry, if its references allow that.
    pub fn delete_minding(&mut self, id: StreamId, references: References) -> Deletion {
        match references {
            References::MustBeGone if !self.is_acknowledged(id) => return Deletion::Referenced,
            References::Delete => self.release(id),
            _ => {}
        }
        match self.delete(id) {
            true => Deletion::Deleted,
            false => Deletion::NotThere,
        }
    }

    /// Whether every group has read so far, and none has this entry pending.
    fn is_acknowledged(&self, id: StreamId) -> bool {
        let is_done = |group: &Group| group.last_id >= id && !group.pending().contains(id);
        self.groups.values().all(is_done)
    }

    pub(super) fn release(&mut self, id: StreamId) {
        for group in self.groups.values_mut() {
            group.release(id);
        }
    }

    /// Whether the first node may go with what it has, whose references go with it if they have to.
    pub(super) fn lets_node_go(&mut self, node_id: StreamId, references: References) -> bool {
        if references == References::Keep {
            return true;
        }
        let ids = self.ids_of_node(node_id);
        match references {
            References::MustBeGone => ids.iter().all(|id| self.is_acknowledged(*id)),
            _ => {
                ids.into_iter().for_each(|id| self.release(id));
                true
            }
        }
    }

    /// Deletes one by one, from the front, what nobody refers to.
    pub(super) fn trim_acknowledged(&mut self, trim: &Trim) {
        let (end, excess) = match trim.keep {
            Keep::MaxLen(max) => (Some(StreamId::MAX), self.length.saturating_sub(max)),
            Keep::MinId(min) => (min.previous(), u64::MAX),
        };
        let Some(end) = end else { return };
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        let entries = self.range(StreamId::MIN, end).map(|entry| entry.id);
        let gone: Vec<_> = entries.filter(|id| self.is_acknowledged(*id)).take(excess).collect();
        for id in gone {
            self.remove(id);
        }
    }
}
