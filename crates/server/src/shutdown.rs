//! The end of the process: SHUTDOWN and the signals that mean it.
//!
//! Order: wait for replicas to catch up (unless told otherwise), end children, make the append-only
//! file durable, save, remove what the process owns, leave. An error before the point of no return
//! keeps the server running.

use std::fs;

use engine::pause::PauseBy;
use engine::{ClientId, CommandError, Outcome};
use log::{info, warn};
use repl::ReplicaView;

pub use engine::world::ShutdownFlags as Flags;

use crate::aof::AofState;
use crate::event_loop::Server;
use crate::host::{Deferred, Host};

/// A shutdown that waits for replicas.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    pub flags: Flags,
    pub deadline_us: u64,
    /// What the replicas have to reach. The requests for acknowledgements that follow it in the
    /// stream are of no interest.
    pub target_offset: u64,
}

/// One that came by SYNC never says how far it is: what was sent to it has to do.
fn is_in_sync(replica: &ReplicaView, target: u64) -> bool {
    replica.state != "online"
        || replica.offset >= target
        || replica.is_pre_psync && replica.pending_bytes == 0
}

const REFUSED: &str = "Errors trying to SHUTDOWN. Check logs.";

impl Host {
    pub fn request_shutdown(&mut self, flags: Flags) -> Result<Outcome, CommandError> {
        if flags.abort {
            if self.shutdown.is_none() && self.postponed_end.is_none() {
                return Err(CommandError::err("No shutdown in progress."));
            }
            self.deferred.push(Deferred::Shutdown { client: None, flags });
            return Ok(Outcome::Done);
        }
        let client = self.current;
        self.deferred.push(Deferred::Shutdown { client, flags });
        Ok(Outcome::Silent)
    }
}

impl Server {
    pub fn begin_shutdown(&mut self, client: Option<ClientId>, mut flags: Flags) {
        if flags.abort {
            return self.abort_shutdown();
        }
        if self.host.shutdown.is_some() {
            // Whatever becomes of it, the client that asks as well is told with the first.
            if let Some(client) = client {
                self.engine.wait_for_shutdown(client);
            }
            return;
        }
        info!("User requested shutdown...");
        if self.host.loading.active {
            // Half a data set is not to be saved over a whole one.
            flags.save = Some(false);
        }
        let timeout_s = u64::from(self.host.config.general.shutdown_timeout_s);
        let deadline_us = self.host.now.mono_us + timeout_s * 1_000_000;
        let target_offset = self.host.repl.core.offset();
        self.host.shutdown = Some(Shutdown { flags, deadline_us, target_offset });
        if !flags.now && timeout_s > 0 && !self.replicas_in_sync() {
            info!("Waiting for replicas before shutting down.");
            self.engine.pause_writes(PauseBy::Shutdown, deadline_us);
            self.host.repl.core.request_acks();
            if let Some(client) = client {
                self.engine.wait_for_shutdown(client);
            }
            return;
        }
        self.finish_shutdown(client);
    }

    /// Part of `before_sleep`: are the replicas there, or is the time up?
    pub fn continue_shutdown(&mut self) {
        let Some(shutdown) = self.host.shutdown else { return };
        if self.host.exit_code.is_some() {
            return;
        }
        if self.replicas_in_sync() || self.host.now.mono_us >= shutdown.deadline_us {
            self.finish_shutdown(None);
        }
    }

    fn abort_shutdown(&mut self) {
        if self.host.shutdown.is_none() && self.host.postponed_end.take().is_none() {
            return;
        }
        info!("Shutdown manually aborted.");
        self.cancel_shutdown();
    }

    /// The process goes on.
    fn cancel_shutdown(&mut self) {
        self.host.shutdown = None;
        self.engine.end_shutdown_waits(&mut self.host, &CommandError::err(REFUSED));
        self.engine.resume_writes(self.host.now, PauseBy::Shutdown, &mut self.host);
        self.perform_deferred();
        self.requeue_unblocked();
    }

    fn replicas_in_sync(&self) -> bool {
        let core = &self.host.repl.core;
        let target = self.host.shutdown.map_or(0, |shutdown| shutdown.target_offset);
        let view = core.view(self.host.now_ms());
        !core.is_master() || view.replicas.iter().all(|r| is_in_sync(r, target))
    }

    fn log_lagging_replicas(&self, target: u64) {
        let core = &self.host.repl.core;
        let view = core.view(self.host.now_ms());
        let online: Vec<_> = view.replicas.iter().filter(|r| r.state == "online").collect();
        let mut in_sync = 0;
        for replica in &online {
            if is_in_sync(replica, target) {
                in_sync += 1;
                continue;
            }
            warn!(
                "Lagging replica {}:{} reported offset {} behind master, lag={}, state={}.",
                replica.ip,
                replica.port,
                target.saturating_sub(replica.offset),
                replica.lag_secs,
                replica.state
            );
        }
        if !online.is_empty() {
            info!("{in_sync} of {} replicas are in sync when shutting down.", online.len());
        }
    }

    /// `client` waits for an answer, should there be one.
    fn finish_shutdown(&mut self, client: Option<ClientId>) {
        let Some(Shutdown { flags, target_offset, .. }) = self.host.shutdown else { return };
        self.log_lagging_replicas(target_offset);
        if let Err(why) = self.make_durable(flags) {
            warn!("{why}");
            warn!("Errors trying to shut down the server. Check the logs for more information.");
            self.cancel_shutdown();
            return self.answer(client, Err(CommandError::err(REFUSED)));
        }
        if self.host.exit_code.is_some() {
            return;
        }
        // Replicas get what is left for them, as far as their sockets take it.
        self.flush_replicas();
        self.remove_own_files();
        // Nobody is to connect to a process that is gone before it answers.
        for mut listener in self.host.listeners.drain(..) {
            listener.deregister(&self.host.registry);
        }
        warn!("Redis is now ready to exit, bye bye...");
        self.host.exit_code = Some(0);
    }

    fn make_durable(&mut self, flags: Flags) -> Result<(), &'static str> {
        if self.host.children.is_saving_rdb() {
            warn!("There is a child saving an .rdb. Killing it!");
            self.kill_child();
        }
        if self.host.aof.is_on() {
            if self.host.children.is_rewriting_aof() {
                if self.host.aof.state == AofState::WaitRewrite && !flags.force {
                    warn!(
                        "Try again when the first rewrite has ended (aof_rewrite_in_progress in \
                         INFO), or say SHUTDOWN FORCE to leave without the AOF."
                    );
                    return Err("Writing initial AOF, can't exit.");
                }
                warn!("There is a child rewriting the AOF. Killing it!");
                self.kill_child();
            }
            info!("Calling fsync() on the AOF file.");
            self.flush_aof();
            if !self.host.aof.drain() {
                // Whoever asks for the end gets it, as a disk that is full would never let it come. What
                // was not written was not answered either.
                let why = self.host.aof.error().unwrap_or_default();
                let name = self.host.aof.file_name();
                warn!("Fail to fsync the AOF file ({name}): {why}. Exit anyway.");
            }
        } else if self.host.children.is_active() {
            self.kill_child();
        }
        let save = flags.save.unwrap_or(!self.host.config.persistence.save.is_empty());
        if save {
            info!("Saving the final RDB snapshot before exiting.");
            self.host.supervisor.status("Saving the final RDB snapshot");
            let saved = self.save_now();
            // Who insists has got his way in the middle of it.
            if saved.is_err() && self.host.exit_code.is_none() {
                if !flags.force {
                    self.host.supervisor.status("Error trying to save the DB, can't exit");
                    warn!(
                        "Make room for the snapshot and try again, or say SHUTDOWN NOSAVE to leave \
                         without it, which loses what was not saved before."
                    );
                    return Err("Error trying to save the DB, can't exit.");
                }
                warn!("Error trying to save the DB. Exit anyway.");
            }
        }
        Ok(())
    }

    fn remove_own_files(&mut self) {
        if self.host.pidfile.take().is_some() {
            info!("Removing the pid file.");
        }
        let socket = &self.host.config.network.unixsocket;
        if !socket.is_empty() {
            info!("Removing the unix socket file.");
            // The next start replaces what is left.
            let _ = fs::remove_file(socket);
        }
    }
}
