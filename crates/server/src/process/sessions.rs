//! The processes of debugging sessions that have not ended. Must not know what is debugged.

use log::warn;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

#[derive(Debug, Default)]
pub struct Sessions(Vec<Pid>);

impl Sessions {
    pub fn note(&mut self, child: Pid) {
        self.0.push(child);
    }

    /// Those that have ended are gone for good.
    pub fn reap(&mut self) {
        self.0.retain(|pid| {
            let is_running =
                matches!(waitpid(*pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive));
            if !is_running {
                warn!("Lua debugging session child exiting");
            }
            is_running
        });
    }

    /// The server ends, and nobody is to be debugged any more.
    pub fn kill(&mut self) {
        for pid in std::mem::take(&mut self.0) {
            warn!("Killing debugging session {pid}");
            // It may have ended by itself a moment ago.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}
