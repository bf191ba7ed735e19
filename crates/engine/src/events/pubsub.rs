//! Owns who is subscribed to what. Delivery goes through the engine's push, one client at a time.

use std::collections::{BTreeMap, HashMap};

use store::glob;

use crate::events::roster::Roster;
use crate::ids::ClientId;

pub type Channels = HashMap<Box<[u8]>, Roster<ClientId>>;

#[derive(Debug, Default)]
pub struct PubSub {
    pub channels: Channels,
    pub shard_channels: Channels,
    pub patterns: Patterns,
}

impl PubSub {
    pub fn subscribe(&mut self, channel: &[u8], client: ClientId) {
        self.channels.entry(channel.into()).or_default().insert(client, ());
    }

    pub fn unsubscribe(&mut self, channel: &[u8], client: ClientId) {
        remove(&mut self.channels, channel, client);
    }

    pub fn ssubscribe(&mut self, channel: &[u8], client: ClientId) {
        self.shard_channels.entry(channel.into()).or_default().insert(client, ());
    }

    pub fn sunsubscribe(&mut self, channel: &[u8], client: ClientId) {
        remove(&mut self.shard_channels, channel, client);
    }

    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.by_age.is_empty()
    }
}

fn remove(map: &mut Channels, channel: &[u8], client: ClientId) {
    if let Some(clients) = map.get_mut(channel) {
        clients.remove(client);
        if clients.is_empty() {
            map.remove(channel);
        }
    }
}

/// In order of subscription, so that two patterns that match deliver in that order.
#[derive(Debug, Default)]
pub struct Patterns {
    ages: HashMap<Box<[u8]>, u64>,
    by_age: BTreeMap<u64, (Box<[u8]>, Roster<ClientId>)>,
    last_age: u64,
}

impl Patterns {
    pub fn subscribe(&mut self, pattern: &[u8], client: ClientId) {
        let age = *self.ages.entry(pattern.into()).or_insert_with(|| {
            self.last_age += 1;
            self.last_age
        });
        let (_, clients) =
            self.by_age.entry(age).or_insert_with(|| (pattern.into(), Roster::default()));
        clients.insert(client, ());
    }

    pub fn unsubscribe(&mut self, pattern: &[u8], client: ClientId) {
        let Some(&age) = self.ages.get(pattern) else { return };
        let Some((_, clients)) = self.by_age.get_mut(&age) else { return };
        clients.remove(client);
        if clients.is_empty() {
            self.by_age.remove(&age);
            self.ages.remove(pattern);
        }
    }

    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// The patterns that match `channel`, with their subscribers.
    pub fn matching<'a>(
        &'a self,
        channel: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a Roster<ClientId>)> {
        let matches = move |(pattern, _): &&(Box<[u8]>, _)| glob::matches_channel(pattern, channel);
        self.by_age.values().filter(matches).map(|(pattern, clients)| (&**pattern, clients))
    }
}
