//! The loop: waits for readiness, hands it out, and does the work of a turn in its order.
//!
//! A turn is: poll, handle every event once, go on with connections that filled their buffer, then
//! `before_sleep`. Every source has a bounded share of a turn. What an event means is decided by
//! the file that owns its source.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use engine::{ClientId, Engine, Now};
use mio::{Events, Poll};

use crate::clock;
use crate::conn::Conns;
use crate::host::Host;
use crate::mailbox::Mailbox;
use crate::signals::SignalSource;
use crate::token::Source;

/// Everything that one process is. Its methods are spread over the files of this crate by topic.
pub struct Server {
    pub poll: Poll,
    pub signals: SignalSource,
    pub mailbox: Mailbox,
    pub conns: Conns,
    pub engine: Engine,
    pub host: Host,
    /// Connections that may have more to read or to run than their last turn allowed.
    pub ready: VecDeque<ClientId>,
    /// Listeners that may have more to accept than their last turn allowed.
    pub ready_listeners: Vec<u32>,
    /// Listeners that failed are tried again at this time.
    pub retry_accept_at_us: Option<u64>,
    pub next_cron_us: u64,
    /// Scratch of `flush_replies`.
    pub touched: Vec<ClientId>,
    /// Clients that got a reply from the server itself.
    pub answered: Vec<ClientId>,
    /// Clients that have written in this turn, or were answered because of what others wrote.
    pub turn_writers: Vec<ClientId>,
    /// Clients whose replies wait until their writes are safe, and how far the file must be for that.
    pub held: Vec<(ClientId, u64)>,
}

const EVENTS: usize = 1024;

impl Server {
    /// Runs until a shutdown is complete; the result is the process's exit code.
    pub fn run(mut self) -> io::Result<i32> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.before_sleep();
            if let Some(code) = self.host.exit_code {
                return Ok(code);
            }
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.host.now = read_clock();
            self.host.stats.loop_turns += 1;
            for event in events.iter() {
                if let Some(source) = Source::of(event.token()) {
                    self.handle(source, event);
                }
            }
            self.handle_due();
            self.serve_ready();
        }
    }

    fn handle(&mut self, source: Source, event: &mio::event::Event) {
        match source {
            Source::Client(id) => {
                let Some(conn) = self.conns.of_event(id) else { return };
                conn.peer_gone |= event.is_write_closed() || event.is_error();
                conn.read_closed |= event.is_read_closed() || conn.peer_gone;
                let id = conn.id;
                if event.is_writable() {
                    // At the end of the turn, behind the append-only file: what has been answered since
                    // the last one may tell of writes that nobody but this process knows yet.
                    self.answered.push(id);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read_client(id);
                }
            }
            Source::Listener(index) => self.accept_clients(index),
            Source::Signals => self.handle_signals(),
            Source::Mailbox => self.read_mail(),
            Source::MasterLink(attempt) => self.handle_master_link(attempt, event),
            Source::ChildReport(serial) => self.read_child_reports(serial),
            Source::SnapshotPipe(serial) => self.read_snapshot_pipe(serial),
        }
    }

    /// Work whose time has come.
    fn handle_due(&mut self) {
        let now_us = self.host.now.mono_us;
        if self.retry_accept_at_us.is_some_and(|at| at <= now_us) {
            self.retry_accept_at_us = None;
            for index in 0..self.host.listeners.len() as u32 {
                self.accept_clients(index);
            }
        }
        if now_us >= self.next_cron_us {
            self.cron();
        }
    }

    /// Goes on where a turn was cut short. Each gets one more turn, then waits for the next round,
    /// so that others' events come in between.
    fn serve_ready(&mut self) {
        for index in std::mem::take(&mut self.ready_listeners) {
            self.accept_clients(index);
        }
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { return };
            if let Some(conn) = self.conns.get_mut(id) {
                conn.queued = false;
                self.continue_client(id);
            }
        }
    }

    /// What is done between the work of a turn and the wait for the next, in this order.
    fn before_sleep(&mut self) -> Option<Duration> {
        // Timeouts and fast expiry first: what they answer and propagate leaves with this turn.
        self.engine.handle_deadlines(self.host.now, &mut self.host);
        self.host.current = None;
        self.perform_deferred();
        self.engine.before_sleep(self.host.now, &mut self.host);
        // Clients that were unblocked may have sent more meanwhile; it waits in their buffers.
        self.requeue_unblocked();
        // Replication next: it may apply a part of the master's stream, which changes keys, or take
        // a snapshot, which must see all that this turn has changed and nothing half done.
        self.drive_replication();
        // The append-only file before any reply: with `always` no client hears of a write that is
        // not on the disk, and one fsync serves all commands of the turn.
        self.flush_aof();
        self.note_fsynced();
        // Replies and the stream to replicas: one write for each socket, however many commands.
        self.flush_replies();
        self.flush_replicas();
        self.evict_clients();
        // Closing comes after the flush, so that last words get out.
        self.close_doomed();
        // What the closing means to replication: a snapshot that nobody wants, a line in the log.
        self.perform_repl_actions();
        // Shutting down may have waited for exactly this flush.
        self.continue_shutdown();
        self.poll_timeout()
    }

    /// Zero while somebody's turn was cut short, otherwise until the next deadline.
    fn poll_timeout(&mut self) -> Option<Duration> {
        let end_us = clock::mono_us();
        self.host.stats.loop_us += end_us.saturating_sub(self.host.now.mono_us);
        if !self.ready.is_empty()
            || !self.ready_listeners.is_empty()
            || !self.answered.is_empty()
            || self.engine.has_pending_output()
            || self.replication_has_more()
        {
            return Some(Duration::ZERO);
        }
        let deadline_us = [
            Some(self.next_cron_us),
            self.retry_accept_at_us,
            self.engine.next_deadline_us(),
            self.host.next_deadline_us(),
        ]
        .into_iter()
        .flatten()
        .min()?;
        Some(Duration::from_micros(deadline_us.saturating_sub(end_us)))
    }

    /// Hands the turn's bytes to the append-only file. Should that fail with `always`, the replies of
    /// this turn stay where they are until the bytes are safe.
    pub fn flush_aof(&mut self) {
        self.engine.take_aof_writers(&mut self.turn_writers);
        if !self.host.aof.is_on() {
            self.turn_writers.clear();
            return self.release_held(u64::MAX);
        }
        let spare = self.host.aof.spare_buffer();
        let mut bytes = self.engine.propagation.take_aof(spare);
        if self.host.config.persistence.aof_timestamp_enabled {
            bytes = self.host.aof.annotate(bytes, self.host.now.unix_s());
        }
        let now_us = self.host.now.mono_us;
        let had_bytes = !bytes.is_empty();
        let position = self.host.aof.append(bytes, self.host.repl.core.offset(), now_us);
        if had_bytes && self.engine.settings.latency_monitor_threshold_ms > 0 {
            self.record_aof_latency();
        }
        let settled = self.host.aof.settled_position();
        if had_bytes && settled.is_none_or(|settled| settled < position) {
            for id in self.turn_writers.drain(..) {
                if let Some(conn) = self.conns.get_mut(id) {
                    // Its earlier replies are in front of the new ones and wait with them.
                    conn.held = Some(position);
                    self.held.push((id, position));
                }
            }
        }
        self.turn_writers.clear();
        if let Some(settled) = settled {
            self.release_held(settled);
        }
    }

    fn release_held(&mut self, settled: u64) {
        self.held.retain(|&(id, position)| {
            if position > settled {
                return true;
            }
            // One that has written again meanwhile stands here once more, for that.
            if let Some(conn) = self.conns.get_mut(id)
                && conn.held == Some(position)
            {
                conn.held = None;
                self.answered.push(id);
            }
            false
        });
    }

    /// Clients whose wait is over go on with what they have sent meanwhile.
    pub fn requeue_unblocked(&mut self) {
        for id in self.engine.take_unblocked() {
            // Its reply may tell of what another's write has caused.
            self.turn_writers.push(id);
            self.requeue(id);
        }
    }

    fn record_aof_latency(&mut self) {
        let (write_us, fsync_us) = (self.host.aof.write_us, self.host.aof.fsync_us);
        let circumstances = if self.host.aof.is_syncing() {
            "aof-write-pending-fsync"
        } else if self.host.children.is_active() {
            "aof-write-active-child"
        } else {
            "aof-write-alone"
        };
        self.engine.record_latency("aof-write", write_us);
        self.engine.record_latency(circumstances, write_us);
        self.engine.record_latency("aof-fsync-always", fsync_us);
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
