//! The one background child: which job it does, its pipes, and when it is over. Knows neither engine nor
//! replication: what follows from its end is decided above.
//!
//! There is at most one at a time, whatever its job: two snapshots at once would double the cost of
//! copied pages. The jobs themselves are in `rdb.rs` and `../os/aof_rewrite.rs`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use bytes::Bytes;
use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use persist::aof::manifest::BaseFormat;
use repl::{OtherChild, SnapshotId, SnapshotProgress};

use crate::disk::child::{Child, Exit, Report};
use crate::disk::worker::DiskJob;
use crate::net::token::Source;
use crate::process::os_error::os_error;

const PIPE_READ_BYTES: usize = 64 << 10;

/// What a child was forked for.
#[derive(Clone, Debug)]
pub enum Job {
    RdbFile(RdbFileJob),
    /// Straight to replicas.
    RdbPipe {
        snapshot: SnapshotId,
    },
    AofRewrite {
        temp: PathBuf,
        format: BaseFormat,
    },
}

/// The RDB file; for replicas too where there is a snapshot's id.
#[derive(Clone, Debug)]
pub struct RdbFileJob {
    pub temp: PathBuf,
    pub target: PathBuf,
    pub snapshot: Option<SnapshotId>,
    pub dirty_at_fork: u64,
}

impl Job {
    /// The snapshot for replicas that this job makes.
    fn snapshot(&self) -> Option<SnapshotId> {
        match self {
            Job::RdbFile(file) => file.snapshot,
            Job::RdbPipe { snapshot } => Some(*snapshot),
            Job::AofRewrite { .. } => None,
        }
    }
}

struct Running {
    child: Child,
    job: Job,
    /// What comes out of a streamed snapshot, until the end of it was read.
    pipe: Option<File>,
    /// Set once it was reaped; a streamed snapshot ends only when its pipe is empty, too.
    exit: Option<Exit>,
    keys_total: u64,
    serial: u32,
}

impl Running {
    /// Ends the child, whose number has to be reaped then. Nobody's where that is done: its pipe may be
    /// read long after, and the number be another process's by now.
    fn end(&self) -> Option<i32> {
        self.exit.is_none().then(|| self.child.kill())
    }

    fn over(&self) -> Option<Exit> {
        self.exit.filter(|_| self.pipe.is_none())
    }
}

#[derive(Default)]
pub struct Children {
    running: Option<Running>,
    /// The snapshot's pipe may hold more than was read.
    pipe_paused: bool,
    serial: u32,
}

/// A child that is over, and what is left to be done of its job.
pub struct Ended {
    pub job: Job,
    pub exit: Exit,
    pub report: Report,
    pub took_us: u64,
}

/// A child whose result nobody wants any more.
pub struct Killed {
    pub job: Job,
    /// Its end, where it was not reaped before.
    pub reap: Option<DiskJob>,
}

/// One read of a snapshot's pipe.
pub enum PipeRead {
    Chunk(SnapshotId, Bytes),
    /// There is nothing at the moment; an event tells of more.
    Nothing,
    /// That was all, or no more can be read: the child may be over.
    Ended,
}

/// Figures of the running child for INFO: zeros where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChildFigures {
    pub cow_bytes: u64,
    pub keys: u64,
    pub keys_total: u64,
    pub elapsed_us: Option<u64>,
    pub makes_rdb_file: bool,
}

impl Children {
    /// A child begins its job; `pipe` is where a streamed snapshot comes out.
    /// With an error comes the end of the child, which is to be reaped.
    pub fn start(
        &mut self,
        registry: &Registry,
        child: Child,
        job: Job,
        pipe: Option<File>,
        keys_total: u64,
    ) -> Result<(), (DiskJob, io::Error)> {
        debug_assert!(self.running.is_none(), "one child at a time");
        self.serial += 1;
        let serial = self.serial;
        let watch = |fd, source: Source| {
            registry.register(&mut SourceFd(&fd), source.token(), Interest::READABLE)
        };
        let watched =
            watch(child.report_fd(), Source::ChildReport(serial)).and_then(|()| match &pipe {
                Some(pipe) => watch(pipe.as_raw_fd(), Source::SnapshotPipe(serial)),
                None => Ok(()),
            });
        if let Err(error) = watched {
            return Err((DiskJob::Reap { pid: child.kill() }, error));
        }
        self.running = Some(Running { child, job, pipe, exit: None, keys_total, serial });
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

    pub fn is_making(&self, snapshot: SnapshotId) -> bool {
        self.running.as_ref().is_some_and(|running| running.job.snapshot() == Some(snapshot))
    }

    /// The running child's number, for messages.
    pub fn pid(&self) -> i32 {
        self.running.as_ref().map_or(0, |running| running.child.pid())
    }

    /// How the present child looks to replication, which only knows snapshots of its own.
    pub fn as_other(&self) -> OtherChild {
        match self.running.as_ref().map(|running| &running.job) {
            None => OtherChild::None,
            Some(Job::RdbFile(RdbFileJob { snapshot: None, .. })) => OtherChild::Save,
            Some(Job::AofRewrite { .. }) => OtherChild::Other,
            Some(_) => OtherChild::None,
        }
    }

    /// The running child, if `serial` is its number: events of an earlier one are stale.
    fn of_event(&mut self, serial: u32) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| running.serial == serial)
    }

    /// The child has said something: how far a snapshot for replicas is.
    pub fn hear(&mut self, serial: u32) -> Option<(SnapshotId, SnapshotProgress)> {
        let running = self.of_event(serial)?;
        running.child.read_reports();
        let &Report { keys, size_bytes: bytes, .. } = running.child.report();
        let progress = SnapshotProgress { keys, keys_total: running.keys_total, bytes };
        Some((running.job.snapshot()?, progress)).filter(|_| keys > 0)
    }

    /// Takes note of a child that has ended. It is over when it is reaped and its pipe, if it has one, is read.
    pub fn reap(&mut self, now_us: u64) -> Option<Ended> {
        let running = self.running.as_mut()?;
        if running.exit.is_none() {
            running.exit = running.child.reap();
        }
        if running.exit.is_some_and(|exit| exit != Exit::Code(0)) && running.pipe.is_some() {
            // What is left in the pipe is a part of nothing, and replicas may be slow to take it.
            running.pipe = None;
            self.pipe_paused = false;
        }
        let exit = running.over()?;
        let Running { child, job, .. } = self.running.take()?;
        let took_us = child.elapsed_us(now_us);
        Some(Ended { job, exit, report: child.report().clone(), took_us })
    }

    /// Ends the child.
    pub fn kill(&mut self) -> Option<Killed> {
        let running = self.running.take()?;
        self.pipe_paused = false;
        let reap = running.end().map(|pid| DiskJob::Reap { pid });
        Some(Killed { job: running.job, reap })
    }

    /// Reads from the snapshot's pipe. What is left when the turn is over waits for `pause_pipe`.
    pub fn read_pipe(&mut self, serial: u32) -> PipeRead {
        let Some(running) = self.of_event(serial) else { return PipeRead::Nothing };
        let (Job::RdbPipe { snapshot }, Some(pipe)) = (&running.job, &mut running.pipe) else {
            return PipeRead::Nothing;
        };
        let id = *snapshot;
        let mut chunk = vec![0; PIPE_READ_BYTES];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => {
                    chunk.truncate(n);
                    return PipeRead::Chunk(id, Bytes::from(chunk));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.pipe_paused = false;
                    return PipeRead::Nothing;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    warn!(
                        "Diskless rdb transfer, read error sending DB to replicas: {}",
                        os_error(&error)
                    );
                    break;
                }
            }
        }
        running.pipe = None;
        self.pipe_paused = false;
        PipeRead::Ended
    }

    /// The turn is over or the replicas are full; no edge will tell of what is left.
    pub fn pause_pipe(&mut self) {
        self.pipe_paused = true;
    }

    /// The child whose pipe may hold more than was read.
    pub fn paused_pipe(&self) -> Option<u32> {
        self.pipe_paused.then_some(self.serial)
    }

    pub fn figures(&self, now_us: u64) -> ChildFigures {
        let Some(running) = &self.running else { return ChildFigures::default() };
        let report = running.child.report();
        ChildFigures {
            cow_bytes: report.cow_bytes,
            keys: report.keys,
            keys_total: running.keys_total,
            elapsed_us: Some(running.child.elapsed_us(now_us)),
            makes_rdb_file: matches!(running.job, Job::RdbFile(_)),
        }
    }
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
        let job = Job::RdbPipe { snapshot: SnapshotId(1) };
        let mut running = Running { child, job, pipe: None, exit: None, keys_total: 0, serial: 1 };
        while running.exit.is_none() {
            running.exit = running.child.reap();
        }
        assert_eq!(running.end(), None);
    }
}
