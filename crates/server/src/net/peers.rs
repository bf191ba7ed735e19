//! Where the clients come from, by slot.

use std::net::SocketAddr;

use engine::ClientId;

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    pub id: ClientId,
    /// `None` over a Unix socket.
    pub addr: Option<SocketAddr>,
    pub local: bool,
}

#[derive(Debug, Default)]
pub struct Peers {
    slots: Vec<PeerFacts>,
}

impl Peers {
    pub fn note(&mut self, facts: PeerFacts) {
        let slot = facts.id.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, facts);
        }
        self.slots[slot] = facts;
    }

    pub fn of(&self, client: ClientId) -> Option<&PeerFacts> {
        self.slots.get(client.slot as usize).filter(|facts| facts.id == client)
    }
}
