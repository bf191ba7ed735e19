//! The loop: waits for readiness, hands it out, and does the work of a turn in its order.
//!
//! A turn is: poll, handle every event once, go on with connections that filled their buffer, then
//! `before_sleep`. Every source has a bounded share of a turn. What an event means is decided by
//! the file that owns its source.

use std::io;
use std::time::Duration;

use engine::{ClientId, Now};
use mio::{Events, Poll};
use node::Node;

use crate::clock;
use crate::host::Host;
use crate::token::Source;

/// One process: the node, and the world that it runs in.
pub struct Server {
    pub poll: Poll,
    pub node: Node,
    pub host: Host,
}

const EVENTS: usize = 1024;

impl Server {
    /// Runs until a shutdown is complete; the result is the process's exit code.
    pub fn run(mut self) -> io::Result<i32> {
        let Server { poll, node, host } = &mut self;
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = host.end_turn(node);
            if let Some(code) = host.exit_code {
                return Ok(code);
            }
            match poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            node.begin_turn(read_clock());
            host.stats.loop_turns += 1;
            for event in events.iter() {
                if let Some(source) = Source::of(event.token()) {
                    host.handle(node, source, event);
                }
            }
            host.handle_due(node);
            host.serve_ready(node);
        }
    }
}

impl Host {
    fn handle(&mut self, node: &mut Node, source: Source, event: &mio::event::Event) {
        match source {
            Source::Client(id) => {
                let Some(conn) = self.conns.of_event(id) else { return };
                conn.peer_gone |= event.is_write_closed() || event.is_error();
                conn.read_closed |= event.is_read_closed() || conn.peer_gone;
                let id = conn.id;
                if event.is_writable() {
                    // The rest of what may leave follows at the end of the turn.
                    node.engine.note_output(id);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read_client(node, id);
                }
            }
            Source::Listener(index) => self.accept_clients(node, index),
            Source::Signals => self.handle_signals(node),
            Source::Mailbox => self.read_mail(node),
            Source::MasterLink(attempt) => self.handle_master_link(node, attempt, event),
            Source::ChildReport(serial) => self.read_child_reports(node, serial),
            Source::SnapshotPipe(serial) => self.read_snapshot_pipe(node, serial),
        }
    }

    /// Work whose time has come.
    fn handle_due(&mut self, node: &mut Node) {
        let now_us = node.now().mono_us;
        if self.retry_accept_at_us.is_some_and(|at| at <= now_us) {
            self.retry_accept_at_us = None;
            for index in 0..self.listeners.len() as u32 {
                self.accept_clients(node, index);
            }
        }
        if now_us >= self.next_cron_us {
            self.cron(node);
        }
    }

    /// Goes on where a turn was cut short. Each gets one more turn, then waits for the next round,
    /// so that others' events come in between.
    fn serve_ready(&mut self, node: &mut Node) {
        for index in std::mem::take(&mut self.ready_listeners) {
            self.accept_clients(node, index);
        }
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { return };
            if let Some(conn) = self.conns.get_mut(id) {
                conn.queued = false;
                self.continue_client(node, id);
            }
        }
    }

    /// What is done between the work of a turn and the wait for the next.
    fn end_turn(&mut self, node: &mut Node) -> Option<Duration> {
        // Inputs that no event tells of: what was left for want of room or of time.
        if self.link_has_more() && node.wants_master_bytes(self) {
            self.read_master_link(node);
        }
        self.continue_snapshot_pipe(node);
        node.settle(self);
        self.evict_clients(node);
        self.poll_timeout(node)
    }

    /// Zero while somebody's turn was cut short, otherwise until the next deadline.
    fn poll_timeout(&mut self, node: &Node) -> Option<Duration> {
        let end_us = clock::mono_us();
        self.stats.loop_us += end_us.saturating_sub(node.now().mono_us);
        if !self.ready.is_empty()
            || !self.ready_listeners.is_empty()
            || node.engine.has_pending_output()
            || self.link_has_more() && node.wants_master_bytes(self)
            || self.children.pipe_paused && node.repl.snapshot_wants_data()
        {
            return Some(Duration::ZERO);
        }
        let deadline_us =
            [Some(self.next_cron_us), self.retry_accept_at_us, node.next_deadline_us(self)]
                .into_iter()
                .flatten()
                .min()?;
        Some(Duration::from_micros(deadline_us.saturating_sub(end_us)))
    }

    pub fn record_aof_latency(&mut self, node: &mut Node) {
        let (write_us, fsync_us) = (self.aof.write_us, self.aof.fsync_us);
        let circumstances = if self.aof.is_syncing() {
            "aof-write-pending-fsync"
        } else if self.children.is_active() {
            "aof-write-active-child"
        } else {
            "aof-write-alone"
        };
        node.engine.record_latency("aof-write", write_us);
        node.engine.record_latency(circumstances, write_us);
        node.engine.record_latency("aof-fsync-always", fsync_us);
    }

    /// Gives a connection another turn soon, without waiting for an event.
    pub fn requeue(&mut self, id: ClientId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.queued
        {
            conn.queued = true;
            self.ready.push_back(id);
        }
    }
}

pub fn read_clock() -> Now {
    Now { unix_us: clock::unix_us(), mono_us: clock::mono_us() }
}
