//! The connections of clients and replicas: whose link it is, and what is counted of it.
//!
//! A connection stands in the slot that the engine gave its client, and the client's id, which is
//! used only once, is the slot's generation. Commands, replies and roles are the engine's.

use std::collections::VecDeque;

use engine::ClientId;

use crate::config::BufferLimit;
use crate::net::limits::over_limit;
use crate::net::link::Link;
use crate::net::token::{ConnId, Source};

/// The least that a turn of housekeeping looks at.
const CRON_SLOTS_MIN: usize = 5;

pub struct Conn {
    id: ClientId,
    link: Link,
    /// Stands in the queue of connections to be read again.
    queued: bool,
    last_interaction_us: u64,
    /// Since when the output has been above the soft limit without a break; 0 if it is not.
    over_soft_limit_since_us: u64,
    /// What `maxmemory-clients` counts for it.
    counted_bytes: usize,
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

    pub fn id(&self) -> ClientId {
        self.id
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    pub fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    pub fn is_queued(&self) -> bool {
        self.queued
    }

    /// The client has said something.
    pub fn heard(&mut self, now_us: u64) {
        self.last_interaction_us = now_us;
    }

    pub fn idle_us(&self, now_us: u64) -> u64 {
        now_us - self.last_interaction_us
    }

    /// Whether so much that waits is too much, minding since when the soft limit has been exceeded.
    pub fn is_over(&mut self, limit: &BufferLimit, waiting_bytes: u64, now_us: u64) -> bool {
        over_limit(waiting_bytes, limit, &mut self.over_soft_limit_since_us, now_us)
    }

    /// Nothing waits.
    pub fn all_was_sent(&mut self) {
        self.over_soft_limit_since_us = 0;
    }

    /// It was measured for `maxmemory-clients`. What it was before.
    pub fn count(&mut self, bytes: usize) -> usize {
        std::mem::replace(&mut self.counted_bytes, bytes)
    }

    pub fn counted_bytes(&self) -> usize {
        self.counted_bytes
    }
}

/// All connections, by slot, and those of them to which something is to be done later.
#[derive(Default)]
pub struct Conns {
    slots: Vec<Option<Box<Conn>>>,
    count: usize,
    /// They may have more to read or to run than their last turn allowed.
    ready: VecDeque<ClientId>,
    /// Their sockets did not take all: to be judged by their limits.
    backed_up: Vec<ClientId>,
    /// To be closed before the loop sleeps.
    doomed: Vec<ClientId>,
    cron_slot: usize,
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

    // ---- another turn ----

    /// Gives a connection another turn soon, without waiting for an event.
    pub fn queue(&mut self, id: ClientId) {
        let Some(conn) = self.get_mut(id) else { return };
        if !std::mem::replace(&mut conn.queued, true) {
            self.ready.push_back(id);
        }
    }

    /// How many have been given another turn.
    pub fn queued(&self) -> usize {
        self.ready.len()
    }

    /// Takes the first of them; `None` where it was closed meanwhile.
    pub fn next_queued(&mut self) -> Option<ClientId> {
        let id = self.ready.pop_front()?;
        self.get_mut(id)?.queued = false;
        Some(id)
    }

    // ---- to be closed, perhaps ----

    /// A client is to be closed before the loop sleeps.
    pub fn doom(&mut self, id: ClientId) {
        self.doomed.push(id);
    }

    pub fn take_doomed(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.doomed)
    }

    /// A socket did not take all.
    pub fn note_backed_up(&mut self, id: ClientId) {
        self.backed_up.push(id);
    }

    pub fn take_backed_up(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.backed_up)
    }

    /// Somebody is to be closed, or to be judged.
    pub fn has_suspects(&self) -> bool {
        !self.doomed.is_empty() || !self.backed_up.is_empty()
    }

    // ---- housekeeping ----

    /// How many slots are looked at in one of `hz` turns a second.
    pub fn slots_per_turn(&self, hz: usize) -> usize {
        self.slots.len().div_ceil(hz).max(CRON_SLOTS_MIN).min(self.slots.len())
    }

    /// The connection in the slot whose turn it is, if it has one.
    pub fn next_slot(&mut self) -> Option<&mut Conn> {
        let slot = self.cron_slot % self.slots.len();
        self.cron_slot = slot + 1;
        self.slots[slot].as_deref_mut()
    }
}

pub fn source_of(id: ClientId) -> Source {
    Source::Client(ConnId { index: id.slot, generation: id.id as u32 })
}
