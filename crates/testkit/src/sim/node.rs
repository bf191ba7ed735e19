//! One simulated server: the shipped `Node` on a machine of the simulation. Hands events in, and decides
//! nothing. Must not know of faults, other nodes or the plan.

use super::cluster::{Later, World};
use super::input::{accept, closed, link_at, read, read_link, run_requests};
use super::net::{End, NetEvent};
use super::os::{Machine, SimOs};
use super::{clients, data, life};
use node::Node;
use repl::ReplSettings;
use std::collections::BTreeSet;

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

    pub fn next_deadline_us(&mut self, world: &mut World) -> Option<u64> {
        let os = SimOs { world, me: &mut self.machine };
        self.node.next_deadline_us(&os).filter(|_| self.is_up)
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
            // What is kept for a replica that is behind, or for who may join a snapshot, serves others, too. Nothing
            // else keeps anything: a place in the stream that nobody has given back would show here.
            let held = self.node.repl.held_bytes();
            assert!(
                backlog.len_bytes <= backlog.size_bytes.max(held),
                "node {}: a backlog of {} bytes keeps {}, of which {held} are for somebody",
                self.id,
                backlog.size_bytes,
                backlog.len_bytes,
            );
        }
        for replica in &view.replicas {
            assert!(replica.offset <= view.offset, "a replica acknowledged the future");
        }
    }

    pub fn digest(&self) -> String {
        data::digest(&self.node.engine)
    }

    pub fn listing(&self) -> BTreeSet<String> {
        data::listing(&self.node.engine)
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
