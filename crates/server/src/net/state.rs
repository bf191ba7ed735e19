//! All that a process has of sockets. Who is served, and what follows from it, is decided above.

use std::collections::VecDeque;

use engine::ClientId;
use mio::Registry;

use crate::net::client_memory::{ClientMemory, ClientPeaks};
use crate::net::conn::Conns;
use crate::net::listener::Listener;
use crate::net::master_link::MasterLink;
use crate::net::peers::Peers;
use crate::net::resolver::Resolved;
use crate::process::mailbox::Mailer;

pub struct NetState {
    pub registry: Registry,
    pub listeners: Vec<Listener>,
    /// Listeners that may have more to accept than their last turn allowed.
    pub ready_listeners: Vec<u32>,
    /// Listeners that failed are tried again at this time.
    pub retry_accept_at_us: Option<u64>,
    pub conns: Conns,
    /// Connections that may have more to read or to run than their last turn allowed.
    pub ready: VecDeque<ClientId>,
    /// Connections whose sockets did not take all, to be judged by their limits.
    pub over_limit: Vec<ClientId>,
    /// Connections to be closed before the loop sleeps.
    pub doomed: Vec<ClientId>,
    /// Where the clients come from, by slot.
    pub peers: Peers,
    pub connected_clients: usize,
    pub client_peaks: ClientPeaks,
    pub client_memory: ClientMemory,
    pub clients_cron_slot: usize,
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
            listeners,
            ready_listeners: Vec::new(),
            retry_accept_at_us: None,
            conns: Conns::default(),
            ready: VecDeque::new(),
            over_limit: Vec::new(),
            doomed: Vec::new(),
            peers: Peers::default(),
            connected_clients: 0,
            client_peaks: ClientPeaks::default(),
            client_memory: ClientMemory::default(),
            clients_cron_slot: 0,
            link: None,
            resolved,
        }
    }
}
