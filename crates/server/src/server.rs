//! The loop: waits for readiness, hands it out, and does the work of a turn in its order.
//!
//! A turn is: poll, handle every event once, go on with connections that filled their buffer, then
//! `before_sleep`. Every source has a bounded share of a turn. What an event means is decided by
//! the file that owns its source.

use std::io;
use std::time::Duration;

use engine::world::earlier;
use mio::event::Event;
use mio::{Events, Poll};
use node::Node;

use crate::disk::aof::writer::WriterNews;
use crate::disk::chunk_pipe::HasRoom;
use crate::disk::loader::LoadEnded;
use crate::disk::worker::DiskDone;
use crate::net::resolver::Resolved;
use crate::net::token::Source;
use crate::os::host::Host;
use crate::process::clock;
use crate::process::mailbox::Mailbox;

/// One process: the node, and the world that it runs in.
pub struct Server {
    pub poll: Poll,
    pub mailbox: Mailbox<Mail>,
    pub node: Node,
    pub host: Host,
}

/// What helper threads have to say.
pub enum Mail {
    Resolved(Resolved),
    AofWriter(WriterNews),
    Disk(DiskDone),
    Loaded(LoadEnded),
    LoaderHasRoom(HasRoom),
}

const EVENTS: usize = 1024;

impl Server {
    /// Runs until a shutdown is complete; the result is the process's exit code.
    pub fn run(mut self) -> io::Result<i32> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.end_turn();
            if let Some(code) = self.host.process.exit_code {
                return Ok(code);
            }
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.node.begin_turn(clock::now());
            self.host.turn.stats.loop_turns += 1;
            for event in events.iter() {
                if let Some(source) = Source::of(event.token()) {
                    self.handle(source, event);
                }
            }
            self.handle_due();
            self.host.serve_ready(&mut self.node);
        }
    }

    fn handle(&mut self, source: Source, event: &Event) {
        let Server { node, host, .. } = self;
        match source {
            Source::Client(id) => host.handle_client(node, id, event),
            Source::Listener(index) => host.accept_clients(node, index),
            Source::Signals => self.handle_signals(),
            Source::Mailbox => self.read_mail(),
            Source::MasterLink(attempt) => host.handle_master_link(node, attempt, event),
            Source::ChildReport(serial) => host.read_child_reports(node, serial),
            Source::SnapshotPipe(serial) => host.read_snapshot_pipe(node, serial),
        }
    }

    /// Work whose time has come.
    fn handle_due(&mut self) {
        let now_us = self.node.now().mono_us;
        self.host.accept_again(&mut self.node);
        if now_us >= self.host.turn.next_cron_us {
            let began_us = clock::mono_us();
            self.cron();
            self.host.turn.stats.cron_us += clock::mono_us().saturating_sub(began_us);
        }
        if self.host.defrag_due_us().is_some_and(|due_us| now_us >= due_us) {
            self.host.defrag_cycle(&mut self.node);
        }
    }

    /// What is done between the work of a turn and the wait for the next.
    fn end_turn(&mut self) -> Option<Duration> {
        let Server { node, host, .. } = self;
        // Inputs that no event tells of: what was left for want of room or of time.
        if host.link_has_more() && node.wants_master_bytes(host) {
            host.read_master_link(node);
        }
        host.continue_snapshot_pipe(node);
        node.settle(host);
        host.evict_clients(node);
        self.poll_timeout()
    }

    /// Zero while somebody's turn was cut short, otherwise until the next deadline.
    fn poll_timeout(&mut self) -> Option<Duration> {
        let Server { node, host, .. } = self;
        let end_us = clock::mono_us();
        let turn_us = end_us.saturating_sub(node.now().mono_us);
        host.turn.note_end(turn_us, node.engine.stats.total_commands);
        if host.has_unserved()
            || node.engine.has_pending_output()
            || host.link_has_more() && node.wants_master_bytes(host)
            || host.snapshot_pipe_has_more(node)
        {
            return Some(Duration::ZERO);
        }
        let deadline_us = earlier(host.accept_again_at_us(), node.next_deadline_us(host));
        let deadline_us = earlier(deadline_us, host.defrag_due_us());
        let deadline_us = deadline_us.unwrap_or(u64::MAX).min(host.turn.next_cron_us);
        Some(Duration::from_micros(deadline_us.saturating_sub(end_us)))
    }
}
