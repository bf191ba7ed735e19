//! A consumer group: how far it has read, who reads for it, and what is delivered but not
//! acknowledged. Owns that a pending entry is in the group and in one consumer, or in neither; must not
//! know the entries themselves.
//!
//! Invariants: every id pending in the group is pending in exactly the consumer that it names, and
//! the other way round; a consumer's number leads to it for as long as it is there; the order by time, where
//! there is one, has exactly the pending ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::id::StreamId;
use super::id_map::{self, IdMap};
use crate::ordered::OrderedSet;
use crate::relocate::Mover;

/// A consumer's number within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerKey(u32);

/// A delivery that is not acknowledged. Redis calls it a NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub delivery_ms: i64,
    pub deliveries: u64,
    pub consumer: ConsumerKey,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last asked for something.
    pub seen_ms: i64,
    /// When it last got something; `None` before.
    pub active_ms: Option<i64>,
    pending: IdMap<()>,
}

impl Consumer {
    fn new(name: Arc<[u8]>, now_ms: i64) -> Consumer {
        Consumer { name, seen_ms: now_ms, active_ms: None, pending: IdMap::new() }
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Of the last entry delivered.
    pub last_id: StreamId,
    /// How many entries were read, counted since the stream's first ever; `None` where nobody knows.
    pub entries_read: Option<i64>,
    pending: IdMap<Pending>,
    /// What is pending by the time of its delivery, from the first time on that somebody asks for it: most
    /// groups never pay for it.
    by_time: Option<OrderedSet<(i64, StreamId)>>,
    consumers: Vec<Option<Consumer>>,
    /// Numbers of consumers that were deleted.
    free: Vec<ConsumerKey>,
    by_name: BTreeMap<Arc<[u8]>, ConsumerKey>,
}

impl Group {
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    pub fn find(&self, name: &[u8]) -> Option<ConsumerKey> {
        self.by_name.get(name).copied()
    }

    /// A new consumer; none if there is one of this name.
    pub fn create(&mut self, name: &[u8], now_ms: i64) -> Option<ConsumerKey> {
        if self.by_name.contains_key(name) {
            return None;
        }
        let name: Arc<[u8]> = name.into();
        let consumer = Some(Consumer::new(name.clone(), now_ms));
        let key = match self.free.pop() {
            Some(key) => {
                self.consumers[key.0 as usize] = consumer;
                key
            }
            None => {
                self.consumers.push(consumer);
                ConsumerKey(self.consumers.len() as u32 - 1)
            }
        };
        self.by_name.insert(name, key);
        Some(key)
    }

    /// Deletes a consumer with all that it has pending; how much that was, if there was one.
    pub fn delete(&mut self, name: &[u8]) -> Option<usize> {
        let key = self.by_name.remove(name)?;
        let consumer = self.consumers[key.0 as usize].take()?;
        self.free.push(key);
        for (id, ()) in consumer.pending.iter() {
            let pending = self.pending.remove(id);
            if let (Some(by_time), Some(pending)) = (&mut self.by_time, pending) {
                by_time.remove(&(pending.delivery_ms, id));
            }
        }
        Some(consumer.pending.len())
    }

    /// # Panics
    /// With a number that is not this group's.
    pub fn consumer(&self, key: ConsumerKey) -> &Consumer {
        self.consumers[key.0 as usize].as_ref().expect("its number was given out by this group")
    }

    /// # Panics
    /// As [`Self::consumer`].
    pub fn consumer_mut(&mut self, key: ConsumerKey) -> &mut Consumer {
        self.consumers[key.0 as usize].as_mut().expect("its number was given out by this group")
    }

    pub fn consumers_len(&self) -> usize {
        self.by_name.len()
    }

    /// By name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (ConsumerKey, &Consumer)> {
        self.by_name.values().map(|key| (*key, self.consumer(*key)))
    }

    pub fn pending(&self) -> &IdMap<Pending> {
        &self.pending
    }

    /// What a consumer has pending, from `id` on.
    pub fn pending_of(&self, key: ConsumerKey, from: StreamId) -> id_map::Iter<'_, ()> {
        self.consumer(key).pending.iter_from(from)
    }

    /// When and what was delivered, the longest ago first. To be ordered once before: see
    /// [`Self::order_by_time`].
    pub fn pending_by_time(&self) -> impl Iterator<Item = (i64, StreamId)> {
        self.by_time.iter().flat_map(|by_time| by_time.iter().copied())
    }

    /// Orders what is pending by time, from now on.
    pub fn order_by_time(&mut self) {
        let pending = &self.pending;
        self.by_time.get_or_insert_with(|| {
            pending.iter().map(|(id, pending)| (pending.delivery_ms, id)).collect()
        });
    }

    fn reorder(&mut self, id: StreamId, before: Option<Pending>, after: Option<Pending>) {
        let Some(by_time) = &mut self.by_time else { return };
        if let Some(before) = before {
            by_time.remove(&(before.delivery_ms, id));
        }
        if let Some(after) = after {
            by_time.insert((after.delivery_ms, id));
        }
    }

    /// An entry is pending for this consumer from now on, whoever had it before.
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        if self.by_time.is_some() {
            self.reorder(id, self.pending.get(id).copied(), Some(pending));
        }
        match self.pending.get_mut(id) {
            Some(before) => {
                let owner = std::mem::replace(before, pending).consumer;
                if owner == pending.consumer {
                    return;
                }
                self.consumer_mut(owner).pending.remove(id);
            }
            None => self.pending.insert(id, pending),
        }
        self.consumer_mut(pending.consumer).pending.insert(id, ());
    }

    /// A pending entry is delivered once more, to the consumer that has it.
    pub fn deliver_again(&mut self, id: StreamId, now_ms: i64) {
        if let Some(pending) = self.pending.get_mut(id) {
            let before = *pending;
            pending.delivery_ms = now_ms;
            pending.deliveries = pending.deliveries.wrapping_add(1);
            let after = *pending;
            self.reorder(id, Some(before), Some(after));
        }
    }

    /// The entry is acknowledged, or gone; what was known of its delivery.
    pub fn release(&mut self, id: StreamId) -> Option<Pending> {
        let pending = self.pending.remove(id)?;
        self.reorder(id, Some(pending), None);
        self.consumer_mut(pending.consumer).pending.remove(id);
        Some(pending)
    }

    /// Whether some consumer's active time is told by its seen time no more: what the older forms of
    /// a stream leave out.
    pub fn tells_active_times(&self) -> bool {
        self.consumers().any(|(_, consumer)| consumer.active_ms != Some(consumer.seen_ms))
    }

    /// Moves what is pending; names and trees stay where they are.
    pub(super) fn relocate(&mut self, mover: &mut Mover<'_>) {
        self.pending.relocate(mover);
        mover.vec(&mut self.consumers);
        for consumer in self.consumers.iter_mut().flatten() {
            consumer.pending.relocate(mover);
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        let consumers: usize = self
            .consumers()
            .map(|(_, consumer)| consumer.name.len() + consumer.pending.allocated_bytes())
            .sum();
        // A name stands behind two counters, and beside its number in the tree.
        let named = size_of::<(Arc<[u8]>, ConsumerKey)>() + 2 * size_of::<usize>();
        let ordered = self.by_time.as_ref().map_or(0, OrderedSet::memory_bytes);
        self.pending.allocated_bytes()
            + ordered
            + self.consumers.capacity() * size_of::<Option<Consumer>>()
            + self.by_name.len() * named
            + consumers
    }
}

/// A group as a file tells it: consumers and pending entries in any order, which need not fit.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    group: Group,
    pending: Vec<(StreamId, Pending)>,
    is_sorted: bool,
}

/// Of pending entries whose consumer was not told yet.
const NOBODY: ConsumerKey = ConsumerKey(u32::MAX);

impl GroupBuilder {
    /// Call order: all of `pending`, then for each consumer `consumer` and all of its `owned`, then
    /// `finish`.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> GroupBuilder {
        GroupBuilder { group: Group::new(last_id, entries_read), ..GroupBuilder::default() }
    }

    pub fn pending(&mut self, id: StreamId, delivery_ms: i64, deliveries: u64) {
        self.pending.push((id, Pending { delivery_ms, deliveries, consumer: NOBODY }));
    }

    /// `Err` if there is one of this name.
    pub fn consumer(
        &mut self,
        name: &[u8],
        seen_ms: i64,
        active_ms: Option<i64>,
    ) -> Result<ConsumerKey, &'static str> {
        let key = self.group.create(name, seen_ms).ok_or("a consumer that is there twice")?;
        self.group.consumer_mut(key).active_ms = active_ms;
        Ok(key)
    }

    /// An entry that is pending for this consumer.
    pub fn owned(&mut self, key: ConsumerKey, id: StreamId) -> Result<(), &'static str> {
        self.sort();
        let Ok(at) = self.pending.binary_search_by_key(&id, |(id, _)| *id) else {
            return Err("a consumer's pending entry that its group does not have");
        };
        match std::mem::replace(&mut self.pending[at].1.consumer, key) {
            NOBODY => Ok(()),
            _ => Err("a pending entry that consumers have twice"),
        }
    }

    fn sort(&mut self) {
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.pending.sort_unstable_by_key(|(id, _)| *id);
        }
    }

    pub fn finish(mut self) -> Result<Group, &'static str> {
        self.sort();
        let pairs = self.pending.windows(2);
        if pairs.into_iter().any(|pair| pair[0].0 == pair[1].0) {
            return Err("a pending entry that is there twice");
        }
        if self.pending.iter().any(|(_, pending)| pending.consumer == NOBODY) {
            return Err("a pending entry that no consumer has");
        }
        for (id, pending) in &self.pending {
            self.group.consumer_mut(pending.consumer).pending.insert(*id, ());
        }
        self.group.pending = IdMap::from_sorted(self.pending.into_iter());
        Ok(self.group)
    }
}
