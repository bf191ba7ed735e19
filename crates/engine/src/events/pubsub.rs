//! Owns who is subscribed to what. Delivery goes through the engine's push, one client at a time.

use std::collections::HashMap;

use store::glob;

use crate::ids::ClientId;

#[derive(Debug, Default)]
pub struct PubSub {
    pub channels: HashMap<Box<[u8]>, Vec<ClientId>>,
    pub shard_channels: HashMap<Box<[u8]>, Vec<ClientId>>,
    /// In order of subscription, so that two patterns that match deliver in that order.
    pub patterns: Vec<(Box<[u8]>, Vec<ClientId>)>,
}

impl PubSub {
    pub fn subscribe(&mut self, channel: &[u8], client: ClientId) {
        self.channels.entry(channel.into()).or_default().push(client);
    }

    pub fn unsubscribe(&mut self, channel: &[u8], client: ClientId) {
        remove(&mut self.channels, channel, client);
    }

    pub fn ssubscribe(&mut self, channel: &[u8], client: ClientId) {
        self.shard_channels.entry(channel.into()).or_default().push(client);
    }

    pub fn sunsubscribe(&mut self, channel: &[u8], client: ClientId) {
        remove(&mut self.shard_channels, channel, client);
    }

    pub fn psubscribe(&mut self, pattern: &[u8], client: ClientId) {
        match self.patterns.iter_mut().find(|(p, _)| **p == *pattern) {
            Some((_, clients)) => clients.push(client),
            None => self.patterns.push((pattern.into(), vec![client])),
        }
    }

    pub fn punsubscribe(&mut self, pattern: &[u8], client: ClientId) {
        if let Some(at) = self.patterns.iter().position(|(p, _)| **p == *pattern) {
            self.patterns[at].1.retain(|other| *other != client);
            if self.patterns[at].1.is_empty() {
                self.patterns.remove(at);
            }
        }
    }

    /// The patterns that match `channel`, with their subscribers.
    pub fn matching<'a>(
        &'a self,
        channel: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [ClientId])> {
        self.patterns
            .iter()
            .filter(move |(pattern, _)| glob::matches(pattern, channel))
            .map(|(pattern, clients)| (&**pattern, &**clients))
    }

    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }
}

fn remove(map: &mut HashMap<Box<[u8]>, Vec<ClientId>>, channel: &[u8], client: ClientId) {
    if let Some(clients) = map.get_mut(channel) {
        clients.retain(|other| *other != client);
        if clients.is_empty() {
            map.remove(channel);
        }
    }
}
