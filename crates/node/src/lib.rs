//! One whole server without I/O: an [`Engine`] and a [`Repl`], and everything between them that decides
//! when: what a command wished for and when it is done, what follows a role, how a master's stream is
//! applied, which replies may leave, what a shutdown waits for.
//!
//! Holds no descriptor, file, thread or clock. What it needs of them stands behind [`Os`], which `server`
//! implements over real ones and the simulator over seeded ones, so that what the simulator runs is what
//! ships.
//!
//! # Call order for a driver
//!
//! 1. [`Node::begin_turn`] with the time, before anything else of a turn.
//! 2. What has happened: [`Node::execute`] for a client's commands, the `handle_*` calls and those of
//!    [`Node::repl`] for links and snapshots, [`Node::disconnected`] for connections that are gone.
//! 3. [`Node::settle`] before sleeping. It does everything that has become possible, until nothing is left:
//!    no caller has to remember what follows what.
//!
//! # Invariants
//!
//! 1. No command runs, and the replication core hears nothing of its links, before what it has asked for is
//!    done: the role that judges a command is the role, and what was handed over is applied and counted.
//! 2. What a command wished for happens before the next command runs.
//! 3. Every byte of a reply passes the [`Gate`], and leaves by one function.
//! 4. Replies leave after their writes were handed to the append-only file, the stream after the replies.

mod actions;
mod border;
mod debugged;
mod gate;
mod os;
mod output;
mod shutdown;
mod upstream;
mod view;

use engine::world::earlier;
use engine::{ClientId, CommandError, Engine, Kind, Now, Peer, Unblocked};
use protocol::Args;
use repl::{ConnId, HistoryPoint, MasterAddr, Repl};
use store::{Db, Key};

use border::Border;
pub use gate::{Gate, Need, Opened, Point, Watermark};
pub use os::{Console, Facts, LogProgress, Os, ReplicaTraits, Scene, Sent, Side, Wrote};
pub use shutdown::Shutdown;
use upstream::MasterStream;

/// One server. See the module's description.
pub struct Node {
    pub engine: Engine,
    pub repl: Repl,
    now: Now,
    state: State,
    /// Scratch of `send_replies` and `send_streams`.
    touched: Vec<ClientId>,
}

/// What commands may change while the engine, which runs them, is lent out.
#[derive(Default)]
struct State {
    gate: Gate,
    stream: MasterStream,
    /// Clients whose PSYNC or SYNC was accepted.
    new_replicas: Vec<ClientId>,
    /// The role that everything else has been told of.
    follows_as_replica: bool,
    /// Whose command runs.
    current: Option<ClientId>,
    /// WAIT or a shutdown wants to know how far the replicas are.
    acks_wanted: bool,
    /// How far they are has changed, or somebody new asks.
    acks_changed: bool,
    /// What was last heard of the append-only file; `None` while it is off.
    saved: Option<u64>,
    shutdown: Option<Shutdown>,
    /// Who was answered while a command took long, and has more to get or is to be closed.
    unsent: Vec<ClientId>,
}

impl Node {
    pub fn new(engine: Engine, repl: Repl) -> Node {
        Node { engine, repl, now: Now::default(), state: State::default(), touched: Vec::new() }
    }

    /// The data set is loaded: takes up the role, and with `history` the place in it.
    pub fn boot<O: Os>(
        &mut self,
        os: &mut O,
        master: Option<MasterAddr>,
        history: Option<HistoryPoint>,
    ) {
        self.repl.set_dataset_is_empty(self.engine.keyspace.keys() == 0);
        self.repl.boot(self.now_ms(), master, history);
        self.act(os);
    }

    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
    }

    pub fn now(&self) -> Now {
        self.now
    }

    pub fn now_ms(&self) -> u64 {
        self.now.mono_us / 1000
    }

    // ---- clients ----

    pub fn connect(&mut self, kind: Kind, peer: Peer) -> ClientId {
        self.engine.connect(self.now, kind, peer)
    }

    /// Runs one command of a client. What it wished for is done when this returns.
    pub fn execute<O: Os>(&mut self, os: &mut O, id: ClientId, args: Args<'_>) {
        self.execute_hashed(os, id, args, None);
    }

    /// The same for a command of a batch, with what [`Engine::prefetch`] has found out.
    pub fn execute_hashed<O: Os>(
        &mut self,
        os: &mut O,
        id: ClientId,
        args: Args<'_>,
        key: Option<Key<'_>>,
    ) {
        if self.repl.has_actions() {
            self.act(os);
        }
        self.state.current = Some(id);
        let now = self.now;
        let (engine, mut border) = self.border(os);
        engine.execute_hashed(now, &mut border, id, args, key);
        self.state.current = None;
        while let Some(id) = self.state.unsent.pop() {
            self.engine.note_output(id);
        }
        self.fulfil(os);
    }

    /// The connection is closed: forgets the client, and the replica that it may have been.
    pub fn disconnected(&mut self, id: ClientId) {
        self.repl.handle_conn_closed(self.now_ms(), conn_id(id));
        self.state.gate.forget(id);
        self.engine.disconnect(id);
    }

    /// A connection is heard of.
    pub fn handle_client_alive(&mut self, id: ClientId) {
        if self.engine.client(id).is_some_and(|client| client.kind == Kind::Replica) {
            self.repl.handle_replica_alive(self.now_ms(), conn_id(id));
        }
    }

    // ---- settling ----

    /// Does everything that has become possible, until nothing is left. To be called before sleeping.
    pub fn settle<O: Os>(&mut self, os: &mut O) {
        self.fulfil(os);
        self.pass_deadlines(os);
        self.fulfil(os);
        self.follow_role(os);
        let now = self.now;
        let (engine, mut border) = self.border(os);
        engine.before_sleep(now, &mut border);
        loop {
            while self.follow_up(os) {}
            self.look_at_field_expiries(os);
            // The append-only file before any reply: what is told is as safe as was promised.
            self.append(os);
            self.send_replies(os);
            self.send_streams(os);
            // Closing comes after the flush, so that last words get out.
            self.fulfil(os);
            self.continue_shutdown(os);
            if !self.has_follow_ups(os) {
                return;
            }
        }
    }

    /// What the first field to expire means for replicas is settled before it travels.
    #[inline]
    fn look_at_field_expiries<O: Os>(&mut self, os: &mut O) {
        if !self.repl.says_field_expiries()
            && self.engine.keyspace.iter().any(Db::had_field_expires)
        {
            self.repl.say_field_expiries(self.now_ms());
            self.fulfil(os);
        }
    }

    /// When something is due that no event will tell of.
    pub fn next_deadline_us<O: Os>(&self, os: &O) -> Option<u64> {
        let repl = self.repl.poll_timeout().filter(|_| !os.holds_timers());
        let repl = repl.map(|ms| ms.saturating_mul(1000));
        let shutdown = self.state.shutdown.as_ref().map(|shutdown| shutdown.deadline_us);
        earlier(earlier(repl, shutdown), self.engine.next_deadline_us())
    }

    /// Timed-out waits, the end of pauses, and what replication does by the clock.
    fn pass_deadlines<O: Os>(&mut self, os: &mut O) {
        let now = self.now;
        let (engine, mut border) = self.border(os);
        engine.handle_deadlines(now, &mut border);
        let now_ms = self.now_ms();
        if self.repl.poll_timeout().is_some_and(|at| at <= now_ms) && !os.holds_timers() {
            self.repl.set_dataset_is_empty(self.engine.keyspace.keys() == 0);
            self.repl.handle_timeout(now_ms);
        }
    }

    /// One round of what follows from what has happened; true if clients go on, which may lead to more.
    fn follow_up<O: Os>(&mut self, os: &mut O) -> bool {
        self.fulfil(os);
        self.ask_for_acks();
        self.go_on_with_stream(os);
        self.hear_acks(os);
        self.let_go_on(os)
    }

    fn has_follow_ups<O: Os>(&self, os: &O) -> bool {
        self.has_wishes(os) || self.state.acks_changed || self.engine.has_unblocked()
    }

    /// Replicas have acknowledged more, the file has got further, or somebody has begun to wait for them.
    fn hear_acks<O: Os>(&mut self, os: &mut O) {
        let asked = self.state.gate.asks();
        if !std::mem::take(&mut self.state.acks_changed) && !asked {
            return;
        }
        let repl = &self.repl;
        let saved = os.fsynced_offset();
        self.state.gate.tell(|watermark| match watermark {
            Watermark::Acked(k) => repl.acked_by(k as usize),
            Watermark::AckedFsynced(k) => repl.fsynced_by(k as usize),
            Watermark::Saved => saved,
            Watermark::Written | Watermark::Fsynced => None,
        });
        self.open(os);
    }

    /// A request for acknowledgements moves the offset, which stands still while writes are paused.
    fn ask_for_acks(&mut self) {
        if self.state.acks_wanted && !self.engine.is_paused() {
            self.state.acks_wanted = false;
            self.repl.request_acks();
        }
    }

    /// Clients whose wait is over go on with what they have sent meanwhile.
    fn let_go_on<O: Os>(&mut self, os: &mut O) -> bool {
        if !self.engine.has_unblocked() {
            return false;
        }
        for Unblocked { id, by_write } in self.engine.take_unblocked() {
            let point = self.point();
            if let Some(client) = self.engine.client(id).filter(|_| by_write) {
                self.state.gate.wrote(id, point, client.out.written());
            }
            os.resume(id);
        }
        true
    }

    /// What commands wished for: nothing, nearly always.
    #[inline]
    fn fulfil<O: Os>(&mut self, os: &mut O) {
        if self.has_wishes(os) {
            self.fulfil_all(os);
        }
    }

    #[inline(never)]
    fn fulfil_all<O: Os>(&mut self, os: &mut O) {
        while self.has_wishes(os) {
            for id in std::mem::take(&mut self.state.new_replicas) {
                self.become_replica(os, id);
            }
            self.act(os);
            os.fulfil(self);
        }
    }

    #[inline]
    fn has_wishes<O: Os>(&self, os: &O) -> bool {
        !self.state.new_replicas.is_empty() || self.repl.has_actions() || os.has_wishes()
    }

    // ---- the border ----

    /// The engine, and the world as it sees it.
    fn border<'a, O: Os>(&'a mut self, os: &'a mut O) -> (&'a mut Engine, Border<'a, O>) {
        let Node { engine, repl, now, state, .. } = self;
        (engine, Border { now: *now, repl, state, os })
    }

    /// For work on the engine that asks the world: INFO's lines of clients, expiry, evictions.
    pub fn with_world<O: Os, T>(
        &mut self,
        os: &mut O,
        work: impl FnOnce(&mut Engine, &mut dyn engine::World) -> T,
    ) -> T {
        let (engine, mut border) = self.border(os);
        work(engine, &mut border)
    }

    /// The client's line of CLIENT LIST, for the log.
    pub fn client_line<O: Os>(&mut self, os: &mut O, id: ClientId) -> String {
        self.with_world(os, |engine, world| engine.client_info(world, id))
    }

    /// Where the data set stands now.
    fn point(&self) -> Point {
        Point { log: self.engine.propagation.log_end(), offset: self.repl.offset() }
    }

    pub fn facts(&self) -> Facts<'_> {
        Facts { now: self.now, repl: &self.repl, shutdown: self.state.shutdown.as_ref() }
    }

    /// Answers a command whose outcome was not known when it returned.
    pub fn answer(&mut self, client: Option<ClientId>, result: Result<(), CommandError>) {
        let Some(client) = client.and_then(|id| self.engine.client_mut(id)) else { return };
        match &result {
            Ok(()) => client.out.ok(),
            Err(error) => client.out.error(error.as_str()),
        }
        let id = client.id;
        self.engine.note_output(id);
    }
}

/// Bits of a slot number within a [`ConnId`]; the client's number has the others.
const SLOT_BITS: u32 = 24;

/// A client as replication knows it.
pub fn conn_id(client: ClientId) -> ConnId {
    ConnId(client.id << SLOT_BITS | u64::from(client.slot))
}

pub fn client_of(conn: ConnId) -> ClientId {
    ClientId { id: conn.0 >> SLOT_BITS, slot: (conn.0 & ((1 << SLOT_BITS) - 1)) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_survives_the_trip_through_replication() {
        let client = ClientId { id: 123_456_789, slot: 9_999 };
        assert_eq!(client_of(conn_id(client)), client);
    }
}
