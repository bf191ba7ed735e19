//! All that a process has of sockets. Who is served, and what follows from it, is decided above.

use mio::Registry;

use crate::net::client_memory::{ClientMemory, ClientPeaks};
use crate::net::conn::Conns;
use crate::net::listener::Listener;
use crate::net::listeners::Listeners;
use crate::net::master_link::MasterLink;
use crate::net::peers::Peers;
use crate::net::resolver::Resolved;
use crate::process::mailbox::Mailer;

pub struct NetState {
    pub registry: Registry,
    pub listeners: Listeners,
    pub conns: Conns,
    /// Where the clients come from, by slot.
    pub peers: Peers,
    pub client_peaks: ClientPeaks,
    pub client_memory: ClientMemory,
    /// To our master.
    pub link: Option<MasterLink>,
    /// How look-ups of names speak to the loop.
    pub resolved: Mailer<Resolved>,
}

impl NetState {
    pub fn new(
        registry: Registry,
        listeners: Vec<Listener>,
        resolved: Mailer<Resolved>,
    ) -> NetState {
        NetState {
            registry,
            listeners: Listeners::new(listeners),
            conns: Conns::default(),
            peers: Peers::default(),
            client_peaks: ClientPeaks::default(),
            client_memory: ClientMemory::default(),
            link: None,
            resolved,
        }
    }
}
