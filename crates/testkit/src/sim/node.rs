//! One simulated server: the shipped `Node` on a machine of the simulation. Hands events in, and decides
//! nothing. Must not know of faults, other nodes or the plan.

use super::cluster::{Later, World};
use super::net::{End, NetEvent};
use super::os::{Conn, Machine, SimOs};
use super::{clients, data, life};
use engine::{ClientId, Kind, Peer};
use node::Node;
use protocol::Limits;
use repl::{LinkId, ReplSettings};

pub struct SimNode {
    pub id: usize,
    pub is_up: bool,
    pub node: Node,
    pub machine: Machine,
    pub repl_settings: ReplSettings,
    pub(super) seen: (String, u64),
}

impl SimNode {
    pub fn new(machine: Machine, node: Node, repl_settings: ReplSettings) -> SimNode {
        SimNode {
            id: machine.id,
            is_up: true,
            node,
            machine,
            repl_settings,
            seen: Default::default(),
        }
    }

    /// Something happens; then everything that follows from it, and the oracles that hold at every moment.
    pub fn turn(&mut self, world: &mut World, happens: impl FnOnce(&mut Node, &mut SimOs<'_>)) {
        let mut os = SimOs { world, me: &mut self.machine };
        self.node.begin_turn(os.world.now());
        happens(&mut self.node, &mut os);
        self.node.settle(&mut os);
        for id in std::mem::take(&mut os.me.resumed) {
            run_requests(&mut self.node, &mut os, id);
        }
        self.node.settle(&mut os);
        self.watch(world);
    }

    pub fn handle_net(&mut self, world: &mut World, event: NetEvent) {
        self.turn(world, |node, os| match event {
            NetEvent::Accepted(end) => accept(node, os, end),
            NetEvent::Connected(end) => {
                if let Some(id) = link_at(os, end) {
                    node.handle_connected(os, id);
                }
            }
            NetEvent::Refused(end) => {
                if let Some(id) = link_at(os, end) {
                    os.me.link = None;
                    node.handle_connect_failed(os, id, "Connection refused");
                }
            }
            NetEvent::Readable(end) => read(node, os, end),
            NetEvent::Writable(end) => {
                if let Some(id) = os.me.conn_at(end) {
                    node.client_is_writable(os, id);
                }
            }
            NetEvent::Closed(end) => {
                read(node, os, end);
                closed(node, os, end);
            }
        });
    }

    pub fn handle_later(&mut self, world: &mut World, later: &Later) {
        self.turn(world, |node, os| {
            life::handle_later(node, os, later);
            read_link(node, os);
        });
    }

    fn watch(&mut self, world: &mut World) {
        let (replid, offset) = (self.node.repl.ids().replid.to_string(), self.node.repl.offset());
        let from = if self.seen.0 == replid { self.seen.1 + 1 } else { 0 };
        assert!(offset + 1 >= from, "node {}: the offset went back", self.id);
        let (first, bytes) = self.node.repl.stream_bytes(from);
        world.ledger.check(&replid, first, &bytes);
        world.clients.note_offset(self.id, offset);
        self.seen = (replid, offset);
        let view = self.node.repl.view(self.node.now_ms());
        let backlog = view.backlog;
        if backlog.is_active {
            assert_eq!(backlog.first_byte_offset + backlog.len_bytes, view.offset + 1);
            assert!(backlog.len_bytes <= backlog.size_bytes);
        }
        for replica in &view.replicas {
            assert!(replica.offset <= view.offset, "a replica acknowledged the future");
        }
    }

    pub fn digest(&self) -> String {
        data::digest(&self.node.engine)
    }

    pub fn link_end(&self) -> Option<End> {
        self.machine.link.as_ref().map(|link| link.end)
    }

    pub fn ask(&mut self, world: &mut World, count: usize) {
        self.turn(world, |node, os| clients::ask(node, os, count));
    }

    pub fn command(&mut self, world: &mut World, words: &str) {
        self.turn(world, |node, os| clients::command(node, os, words));
    }
}

fn link_at(os: &SimOs<'_>, end: End) -> Option<LinkId> {
    os.me.link.as_ref().filter(|link| link.end == end).map(|link| link.id)
}

fn accept(node: &mut Node, os: &mut SimOs<'_>, end: End) {
    let id = node.connect(Kind::Normal, Peer::default());
    os.me.conns.insert(id, Conn { end: Some(end), ..Conn::default() });
}

fn read(node: &mut Node, os: &mut SimOs<'_>, end: End) {
    if link_at(os, end).is_some() {
        return read_link(node, os);
    }
    while let Some(id) = os.me.conn_at(end) {
        let bytes = os.world.net.read(end);
        let Some(conn) = os.me.conns.get_mut(&id).filter(|_| !bytes.is_empty()) else { return };
        conn.parser.feed(&bytes);
        node.handle_client_alive(id);
        run_requests(node, os, id);
    }
}

fn run_requests(node: &mut Node, os: &mut SimOs<'_>, id: ClientId) {
    let Some(conn) = os.me.conns.get_mut(&id) else { return };
    // Lent out while its commands run, which may close the connection.
    let mut parser = std::mem::take(&mut conn.parser);
    let is_blocked = |node: &Node| node.engine.client(id).is_none_or(|client| client.is_blocked());
    while !is_blocked(node) && parser.parse(&Limits::default(), 1).expect("peers make sense") > 0 {
        node.execute(os, id, parser.request(0).args());
        parser.consume(1);
    }
    if let Some(conn) = os.me.conns.get_mut(&id) {
        conn.parser = parser;
    }
}

fn read_link(node: &mut Node, os: &mut SimOs<'_>) {
    while let Some(link) = os.me.link.as_ref().filter(|_| node.wants_master_bytes(os)) {
        let (id, end, is_over) = (link.id, link.end, link.is_over);
        let bytes = os.world.net.read(end);
        if !bytes.is_empty() {
            node.handle_master_bytes(os, id, &bytes);
        } else if is_over {
            os.me.link = None;
            return node.handle_link_closed(os, id, "connection lost");
        } else {
            return;
        }
    }
}

fn closed(node: &mut Node, os: &mut SimOs<'_>, end: End) {
    if let Some(link) = os.me.link.as_mut().filter(|link| link.end == end) {
        link.is_over = true;
        read_link(node, os);
    } else if let Some(id) = os.me.conn_at(end) {
        os.me.conns.remove(&id);
        node.disconnected(id);
    }
}
