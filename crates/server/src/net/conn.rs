//! The connections of clients and replicas: whose link it is, and what is counted of it.
//!
//! A connection stands in the slot that the engine gave its client, and the client's id, which is
//! used only once, is the slot's generation. Commands, replies and roles are the engine's.

use engine::ClientId;

use crate::net::link::Link;
use crate::net::token::{ConnId, Source};

pub struct Conn {
    pub id: ClientId,
    pub link: Link,
    /// Stands in the loop's queue of connections to be read again.
    pub queued: bool,
    pub last_interaction_us: u64,
    /// Since when the output has been above the soft limit without a break; 0 if it is not.
    pub over_soft_limit_since_us: u64,
    /// What `maxmemory-clients` counts for it.
    pub counted_bytes: usize,
}

impl Conn {
    pub fn new(id: ClientId, link: Link, now_us: u64) -> Conn {
        Conn {
            id,
            link,
            queued: false,
            last_interaction_us: now_us,
            over_soft_limit_since_us: 0,
            counted_bytes: 0,
        }
    }
}

/// All connections, by slot.
#[derive(Default)]
pub struct Conns {
    slots: Vec<Option<Box<Conn>>>,
    count: usize,
}

impl Conns {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn insert(&mut self, conn: Conn) {
        let slot = conn.id.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        debug_assert!(self.slots[slot].is_none(), "a slot is taken once at a time");
        self.slots[slot] = Some(Box::new(conn));
        self.count += 1;
    }

    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize)?.as_deref_mut().filter(|conn| conn.id == id)
    }

    pub fn get(&self, id: ClientId) -> Option<&Conn> {
        self.slots.get(id.slot as usize)?.as_deref().filter(|conn| conn.id == id)
    }

    /// The connection that an event is for; `None` if it has been closed since.
    pub fn of_event(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.slots.get_mut(id.index as usize)?.as_deref_mut()?;
        (conn.id.id as u32 == id.generation).then_some(conn)
    }

    pub fn remove(&mut self, id: ClientId) -> Option<Box<Conn>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.as_ref()?.id != id {
            return None;
        }
        self.count -= 1;
        slot.take()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.slots.iter().flatten().map(Box::as_ref)
    }

    pub fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The connection in a slot, for housekeeping that walks over all of them in turns.
    pub fn in_slot(&mut self, slot: usize) -> Option<&mut Conn> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }
}

pub fn source_of(id: ClientId) -> Source {
    Source::Client(ConnId { index: id.slot, generation: id.id as u32 })
}
