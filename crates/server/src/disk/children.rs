//! The one background child: which job it does, and what is done when it ends.
//!
//! There is at most one at a time, whatever its job: two snapshots at once would double the cost of
//! copied pages. The jobs themselves are in `rdb.rs` and `../os/aof_rewrite.rs`.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use persist::aof::manifest::BaseFormat;
use repl::{OtherChild, SnapshotId};

use crate::disk::child::{Child, Exit, Report};
use crate::net::token::Source;

/// What a child was forked for.
#[derive(Debug)]
pub enum Job {
    /// The RDB file; for replicas too where there is a snapshot's id.
    RdbFile {
        temp: PathBuf,
        target: PathBuf,
        snapshot: Option<SnapshotId>,
        dirty_at_fork: u64,
    },
    /// Straight to replicas.
    RdbPipe {
        snapshot: SnapshotId,
        pipe: Option<File>,
    },
    AofRewrite {
        temp: PathBuf,
        format: BaseFormat,
    },
}

impl Job {
    /// The snapshot for replicas that this job makes.
    pub fn snapshot(&self) -> Option<SnapshotId> {
        match self {
            Job::RdbFile { snapshot, .. } => *snapshot,
            Job::RdbPipe { snapshot, .. } => Some(*snapshot),
            Job::AofRewrite { .. } => None,
        }
    }
}

pub struct Running {
    pub child: Child,
    pub job: Job,
    /// Set once it was reaped; a streamed snapshot ends only when its pipe is empty, too.
    pub exit: Option<Exit>,
    pub keys_total: u64,
    serial: u32,
}

impl Running {
    /// Ends the child, whose number has to be reaped then. Nobody's where that is done: its pipe may be
    /// read long after, and the number be another process's by now.
    pub fn end(&self) -> Option<i32> {
        self.exit.is_none().then(|| self.child.kill())
    }
}

#[derive(Default)]
pub struct Children {
    pub running: Option<Running>,
    /// The snapshot's pipe may hold more than was read.
    pub pipe_paused: bool,
    serial: u32,
}

impl Children {
    /// With an error comes the number of the child, which was ended and is to be reaped.
    pub fn start(
        &mut self,
        registry: &Registry,
        child: Child,
        job: Job,
        keys_total: u64,
    ) -> Result<(), (i32, std::io::Error)> {
        debug_assert!(self.running.is_none(), "one child at a time");
        self.serial += 1;
        let serial = self.serial;
        let watch = |fd, source: Source| {
            registry.register(&mut SourceFd(&fd), source.token(), Interest::READABLE)
        };
        let watched =
            watch(child.report_fd(), Source::ChildReport(serial)).and_then(|()| match &job {
                Job::RdbPipe { pipe: Some(pipe), .. } => {
                    watch(pipe.as_raw_fd(), Source::SnapshotPipe(serial))
                }
                _ => Ok(()),
            });
        if let Err(error) = watched {
            return Err((child.kill(), error));
        }
        self.running = Some(Running { child, job, exit: None, keys_total, serial });
        Ok(())
    }

    pub fn is_active(&self) -> bool {
        self.running.is_some()
    }

    /// A child makes an RDB, to whichever place.
    pub fn is_saving_rdb(&self) -> bool {
        matches!(&self.running, Some(r) if !matches!(r.job, Job::AofRewrite { .. }))
    }

    pub fn is_rewriting_aof(&self) -> bool {
        matches!(&self.running, Some(r) if matches!(r.job, Job::AofRewrite { .. }))
    }

    /// How the present child looks to replication, which only knows snapshots of its own.
    pub fn as_other(&self) -> OtherChild {
        match self.running.as_ref().map(|running| &running.job) {
            None => OtherChild::None,
            Some(Job::RdbFile { snapshot: None, .. }) => OtherChild::Save,
            Some(Job::AofRewrite { .. }) => OtherChild::Other,
            Some(_) => OtherChild::None,
        }
    }

    /// The running child, if `serial` is its number: events of an earlier one are stale.
    pub fn of_event(&mut self, serial: u32) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| running.serial == serial)
    }

    pub fn serial(&self) -> u32 {
        self.serial
    }
}

/// What the end of an RDB child needs to know of its job.
pub struct RdbFileJob {
    pub temp: PathBuf,
    pub target: PathBuf,
    pub snapshot: Option<SnapshotId>,
    pub dirty_at_fork: u64,
}

/// Whether a child did its work, and the log line that Redis writes about its end. `what` is
/// "Background saving" or the like.
pub fn judge(what: &str, failure: &str, exit: Exit, report: &Report) -> bool {
    match exit {
        Exit::Code(0) if report.done && report.error.is_empty() => {
            info!("{what} terminated with success");
            true
        }
        Exit::Code(_) => {
            if !report.error.is_empty() {
                warn!("{what}: {}", report.error);
            }
            warn!("{failure}");
            false
        }
        Exit::Signal(signal) => {
            warn!("{what} terminated by signal {signal}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::child;

    /// Of a streamed snapshot whose replicas are slow: the number was killed, and waited for, that belonged
    /// to nobody any more, or to somebody else.
    #[test]
    fn a_child_that_was_reaped_is_not_killed() {
        let child = child::spawn(&[], |_| Ok(Report::default())).unwrap();
        let job = Job::RdbPipe { snapshot: SnapshotId(1), pipe: None };
        let mut running = Running { child, job, exit: None, keys_total: 0, serial: 1 };
        while running.exit.is_none() {
            running.exit = running.child.reap();
        }
        assert_eq!(running.end(), None);
    }
}
