//! The one background child: which job it does, and what is done when it ends.
//!
//! There is at most one at a time, whatever its job: two snapshots at once would double the cost of
//! copied pages. The jobs themselves are in `rdb.rs` and `aof_rewrite.rs`.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use node::Node;
use persist::aof::manifest::BaseFormat;
use repl::{OtherChild, SnapshotId};

use crate::child::{Child, Exit, Report};
use crate::disk_worker::{DiskJob, Then};
use crate::host::Host;
use crate::rdb::snapshot_failed;
use crate::token::Source;

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

impl Host {
    pub fn read_child_reports(&mut self, node: &mut Node, serial: u32) {
        if let Some(running) = self.children.of_event(serial) {
            running.child.read_reports();
        }
        self.reap_children(node);
    }

    /// Takes note of a child that has ended. SIGCHLD and the end of the report pipe both lead here,
    /// in either order.
    pub fn reap_children(&mut self, node: &mut Node) {
        let Some(running) = &mut self.children.running else { return };
        if running.exit.is_none() {
            running.exit = running.child.reap();
        }
        self.finish_child(node);
    }

    /// Ends the job of a child that is reaped and whose pipe, if it has one, is read.
    pub fn finish_child(&mut self, node: &mut Node) {
        if let Some(running) = &mut self.children.running
            && running.exit.is_some_and(|exit| exit != Exit::Code(0))
            && let Job::RdbPipe { pipe, .. } = &mut running.job
        {
            // What is left in the pipe is a part of nothing, and replicas may be slow to take it.
            *pipe = None;
            self.children.pipe_paused = false;
        }
        let ready = self.children.running.as_ref().is_some_and(|running| {
            running.exit.is_some() && !matches!(running.job, Job::RdbPipe { pipe: Some(_), .. })
        });
        if !ready {
            return;
        }
        let Running { child, job, exit, .. } =
            self.children.running.take().expect("checked just above");
        let Some(exit) = exit else { return };
        let took_us = node.now().mono_us.saturating_sub(child.started_us);
        let report = child.last;
        node.engine.keyspace.resume_resize();
        node.engine.spare_pages = false;
        match job {
            Job::RdbFile { temp, target, snapshot, dirty_at_fork } => {
                let file = RdbFileJob { temp, target, snapshot, dirty_at_fork };
                self.finish_rdb_file(node, file, exit, &report, took_us);
            }
            Job::RdbPipe { snapshot, .. } => self.finish_rdb_pipe(node, snapshot, exit, &report),
            Job::AofRewrite { temp, format } => {
                self.finish_aof_rewrite(temp, format, exit, &report, took_us);
            }
        }
        self.tell_replication_of_children(node);
    }

    /// Ends the child whose result nobody wants any more, and removes what it has written.
    pub fn kill_child(&mut self, node: &mut Node) {
        let Some(running) = self.children.running.take() else { return };
        self.children.pipe_paused = false;
        let pid = running.child.kill();
        node.engine.keyspace.resume_resize();
        node.engine.spare_pages = false;
        match running.job {
            Job::RdbFile { temp, snapshot, .. } => {
                // It may be just about to give its file the name.
                self.order_for_rdb(node, vec![DiskJob::Reap { pid }], Then::RdbSettled);
                self.remove_temp_rdb(temp);
                if let Some(id) = snapshot {
                    snapshot_failed(node, id, "killed");
                }
            }
            Job::RdbPipe { snapshot, .. } => {
                self.disk.order(vec![DiskJob::Reap { pid }]);
                snapshot_failed(node, snapshot, "killed");
            }
            Job::AofRewrite { temp, .. } => {
                self.disk.order(vec![DiskJob::Reap { pid }, DiskJob::Unlink(temp)]);
                self.aof.rewrite_killed();
            }
        }
        self.tell_replication_of_children(node);
    }

    /// To be called whenever a child begins or ends.
    pub fn tell_replication_of_children(&mut self, node: &mut Node) {
        let skips = self.config.persistence.no_appendfsync_on_rewrite;
        self.aof.skip_fsync(skips && self.children.is_active());
        let child = match self.children.as_other() {
            OtherChild::None if self.rdb.is_unsettled() => OtherChild::Other,
            child => child,
        };
        let now_ms = node.now_ms();
        node.repl.handle_other_child(now_ms, child);
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
