//! What a shutdown waits for: replicas that are still behind, while writes are paused. What is done at the
//! end is the driver's.

use engine::pause::PauseBy;
use engine::world::ShutdownFlags;
use engine::{ClientId, CommandError};
use repl::{Level, ReplicaView};

use crate::{Node, Os};

/// A shutdown that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    pub flags: ShutdownFlags,
    pub deadline_us: u64,
    /// What the replicas have to reach. The requests for acknowledgements that follow it in the
    /// stream are of no interest.
    pub target_offset: u64,
}

/// One that came by SYNC never says how far it is: what was sent to it has to do.
pub(crate) fn is_in_sync(replica: &ReplicaView, target: u64) -> bool {
    replica.state != "online"
        || replica.offset >= target
        || replica.is_pre_psync && replica.pending_bytes == 0
}

const REFUSED: &str = "Errors trying to SHUTDOWN. Check logs.";

impl Node {
    pub fn is_shutting_down(&self) -> bool {
        self.state.shutdown.is_some()
    }

    pub fn shutdown_deadline_us(&self) -> Option<u64> {
        self.state.shutdown.as_ref().map(|shutdown| shutdown.deadline_us)
    }

    /// Begins the end: at once, or when replicas have caught up or `wait_us` is over. `client` hears of it
    /// only if nothing comes of it.
    pub fn begin_shutdown<O: Os>(
        &mut self,
        os: &mut O,
        client: Option<ClientId>,
        flags: ShutdownFlags,
        wait_us: u64,
    ) {
        if self.state.shutdown.is_some() {
            // Whatever becomes of it, the client that asks as well is told with the first.
            if let Some(client) = client {
                self.engine.wait_for_shutdown(client);
            }
            return;
        }
        os.log(Level::Warning, "User requested shutdown...");
        let deadline_us = self.now.mono_us + wait_us;
        let target_offset = self.repl.offset();
        self.state.shutdown = Some(Shutdown { flags, deadline_us, target_offset });
        if let Some(client) = client {
            self.engine.wait_for_shutdown(client);
        }
        if !flags.now && wait_us > 0 && !self.replicas_are_in_sync() {
            os.log(Level::Notice, "Waiting for replicas before shutting down.");
            self.engine.pause_writes(PauseBy::Shutdown, deadline_us);
            self.repl.request_acks();
            return;
        }
        self.finish_shutdown(os);
    }

    /// SHUTDOWN ABORT; false if there is nothing to abort.
    pub fn abort_shutdown<O: Os>(&mut self, os: &mut O) -> bool {
        if self.state.shutdown.is_none() {
            return false;
        }
        self.cancel_shutdown(os, &CommandError::err(REFUSED));
        true
    }

    /// How many replicas a shutdown is still waiting for.
    pub fn replicas_awaited(&self) -> usize {
        let Some(Shutdown { target_offset, .. }) = self.state.shutdown else { return 0 };
        if !self.repl.is_master() {
            return 0;
        }
        let view = self.repl.view(self.now_ms());
        view.replicas.iter().filter(|r| !is_in_sync(r, target_offset)).count()
    }

    pub(crate) fn continue_shutdown<O: Os>(&mut self, os: &mut O) {
        let Some(shutdown) = self.state.shutdown else { return };
        if self.replicas_are_in_sync() || self.now.mono_us >= shutdown.deadline_us {
            self.finish_shutdown(os);
        }
    }

    fn finish_shutdown<O: Os>(&mut self, os: &mut O) {
        let Some(Shutdown { flags, target_offset, .. }) = self.state.shutdown else { return };
        self.log_lagging_replicas(os, target_offset);
        match os.end(self, flags, target_offset) {
            // The driver looks at its own word for the end; nothing more is done here.
            Ok(()) => {
                self.state.shutdown = None;
                self.send_streams(os);
            }
            Err(why) => self.cancel_shutdown(os, &why),
        }
    }

    /// The process goes on.
    fn cancel_shutdown<O: Os>(&mut self, os: &mut O, why: &CommandError) {
        self.state.shutdown = None;
        self.with_world(os, |engine, world| engine.end_shutdown_waits(world, why));
        self.resume_writes(os, PauseBy::Shutdown);
    }

    fn replicas_are_in_sync(&self) -> bool {
        self.replicas_awaited() == 0
    }

    fn log_lagging_replicas<O: Os>(&self, os: &mut O, target: u64) {
        let view = self.repl.view(self.now_ms());
        let online: Vec<_> = view.replicas.iter().filter(|r| r.state == "online").collect();
        let mut in_sync = 0;
        for replica in &online {
            if is_in_sync(replica, target) {
                in_sync += 1;
                continue;
            }
            let text = format!(
                "Lagging replica {}:{} reported offset {} behind master, lag={}, state={}.",
                replica.ip,
                replica.port,
                target.saturating_sub(replica.offset),
                replica.lag_secs,
                replica.state
            );
            os.log(Level::Warning, &text);
        }
        if !online.is_empty() {
            let count = online.len();
            let text = format!("{in_sync} of {count} replicas are in sync when shutting down.");
            os.log(Level::Notice, &text);
        }
    }
}
