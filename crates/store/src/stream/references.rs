//! Deletions that mind what groups have pending. Owns what becomes of an entry's references when the
//! entry goes, and which entries nobody refers to any more.

use std::collections::BTreeMap;

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

/// References that went with their entries: what a group had pending and has no more, by its name.
pub type Released = BTreeMap<Box<[u8]>, Vec<StreamId>>;

impl Stream {
    /// Deletes an entry, if its references allow that.
    pub fn delete_minding(
        &mut self,
        id: StreamId,
        references: References,
        released: &mut Released,
    ) -> Deletion {
        match references {
            References::MustBeGone if !self.is_acknowledged(id) => return Deletion::Referenced,
            References::Delete => self.release(id, released),
            _ => {}
        }
        match self.delete(id) {
            true => Deletion::Deleted,
            false => Deletion::NotThere,
        }
    }

    /// Whether every group has read so far, and none has this entry pending.
    pub(super) fn is_acknowledged(&self, id: StreamId) -> bool {
        let is_done = |group: &Group| group.last_id >= id && !group.pending().contains(id);
        self.groups.values().all(is_done)
    }

    pub(super) fn release(&mut self, id: StreamId, released: &mut Released) {
        for (name, group) in &mut self.groups {
            if group.release(id).is_some() {
                match released.get_mut(name) {
                    Some(ids) => ids.push(id),
                    None => drop(released.insert(name.clone(), vec![id])),
                }
            }
        }
    }
}
