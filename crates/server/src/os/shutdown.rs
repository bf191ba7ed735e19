//! The end of the process: SHUTDOWN and the signals that mean it.
//!
//! Order: wait for replicas to catch up (unless told otherwise), end children, make the append-only
//! file durable, save, wait for the disk, remove what the process owns, leave. An error before the point of no return
//! keeps the server running.

use std::fs;

pub use engine::world::ShutdownFlags as Flags;
use engine::{ClientId, CommandError, Outcome};
use log::{info, warn};
use node::{Node, Scene};

use crate::os::host::{Deferred, Host};

const REFUSED: &str = "Errors trying to SHUTDOWN. Check logs.";
const WRITING_BASE: &str = "Writing initial AOF, can't exit.";

impl Host {
    pub fn request_shutdown(
        &mut self,
        scene: Scene<'_>,
        flags: Flags,
    ) -> Result<Outcome, CommandError> {
        if flags.abort {
            if scene.shutdown.is_none() && self.process.postponed_end.is_none() {
                return Err(CommandError::err("No shutdown in progress."));
            }
            self.deferred.push(Deferred::Shutdown { client: None, flags });
            return Ok(Outcome::Done);
        }
        self.deferred.push(Deferred::Shutdown { client: scene.by, flags });
        Ok(Outcome::Silent)
    }

    pub fn begin_shutdown(&mut self, node: &mut Node, client: Option<ClientId>, mut flags: Flags) {
        if flags.abort {
            return self.abort_shutdown(node);
        }
        if self.disk.loading.is_active() {
            // Half a data set is not to be saved over a whole one.
            flags.save = Some(false);
        }
        let wait_us = u64::from(self.config.general.shutdown_timeout_s) * 1_000_000;
        node.begin_shutdown(self, client, flags, wait_us);
    }

    fn abort_shutdown(&mut self, node: &mut Node) {
        self.process.asked_to_end = None;
        if self.process.postponed_end.take().is_some() || node.is_shutting_down() {
            info!("Shutdown manually aborted.");
        }
        node.abort_shutdown(self);
    }

    /// The replicas have what they can be given: saves, and leaves.
    pub fn finish_shutdown(&mut self, node: &mut Node, flags: Flags) -> Result<(), CommandError> {
        if self.process.exit_code.is_some() {
            return Ok(());
        }
        self.tell_supervisor(node);
        let asked = self.process.asked_to_end.take();
        if let Err(why) = self.make_durable(node, flags) {
            warn!("{why}");
            // A signal is not sent again: whoever has sent it waits, and kills in the end.
            if let (WRITING_BASE, Some(_)) = (why, asked) {
                warn!(
                    "The server ends when the first rewrite has ended, or at once by SHUTDOWN FORCE."
                );
                self.process.postponed_end = asked;
                return Err(CommandError::err(REFUSED));
            }
            warn!("Errors trying to shut down the server. Check the logs for more information.");
            return Err(CommandError::err(REFUSED));
        }
        if self.process.exit_code.is_some() {
            return Ok(());
        }
        self.process.sessions.kill();
        // Whoever sees us gone finds the files as they will be, none of an unfinished snapshot among them.
        if !self.disk.worker.wait_for_end() {
            warn!("The disk has not done yet what it was asked for. Exit anyway.");
        }
        self.remove_own_files();
        // Nobody is to connect to a process that is gone before it answers.
        self.net.listeners.close(&self.net.registry);
        warn!("Redis is now ready to exit, bye bye...");
        self.process.exit_code = Some(0);
        self.tell_supervisor(node);
        Ok(())
    }

    /// Without it the append-only file is none.
    pub fn is_writing_first_base(&self) -> bool {
        self.disk.aof.is_on()
            && self.disk.aof.waits_for_base()
            && self.disk.children.is_rewriting_aof()
    }

    fn make_durable(&mut self, node: &mut Node, flags: Flags) -> Result<(), &'static str> {
        if self.disk.children.is_saving_rdb() {
            warn!("There is a child saving an .rdb. Killing it!");
            self.kill_child(node);
        }
        if self.disk.aof.is_on() {
            if self.disk.children.is_rewriting_aof() {
                if self.is_writing_first_base() && !flags.force {
                    warn!(
                        "Try again when the first rewrite has ended (aof_rewrite_in_progress in \
                         INFO), or say SHUTDOWN FORCE to leave without the AOF."
                    );
                    return Err(WRITING_BASE);
                }
                warn!("There is a child rewriting the AOF. Killing it!");
                self.kill_child(node);
            }
            info!("Calling fsync() on the AOF file.");
            node.append(self);
            if !self.disk.aof.drain() {
                // Whoever asks for the end gets it, as a disk that is full would never let it come. What
                // was not written was not answered either.
                let why = self.disk.aof.error().unwrap_or_default();
                let name = self.disk.aof.file_name();
                warn!("Fail to fsync the AOF file ({name}): {why}. Exit anyway.");
            }
        } else if self.disk.children.is_active() {
            self.kill_child(node);
        }
        let save = flags.save.unwrap_or(!self.config.persistence.save.is_empty());
        if save {
            info!("Saving the final RDB snapshot before exiting.");
            let saved = self.save_now(node);
            // Who insists has got his way in the middle of it.
            if saved.is_err() && self.process.exit_code.is_none() {
                if !flags.force {
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
        if self.process.pidfile.take().is_some() {
            info!("Removing the pid file.");
        }
        let socket = &self.config.network.unixsocket;
        if !socket.is_empty() {
            info!("Removing the unix socket file.");
            // The next start replaces what is left.
            let _ = fs::remove_file(socket);
        }
    }
}
