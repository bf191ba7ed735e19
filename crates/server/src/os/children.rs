//! What follows from the end of a child: the job's own end, and what engine and replication are told.

use node::Node;
use repl::{OtherChild, SnapshotEvent};

use crate::disk::children::{Ended, Job, Killed};
use crate::disk::worker::{DiskDone, DiskJob, Then};
use crate::os::host::Host;
use crate::os::snapshots_out::snapshot_failed;

impl Host {
    pub fn read_child_reports(&mut self, node: &mut Node, serial: u32) {
        if let Some((id, progress)) = self.disk.children.hear(serial) {
            let now_ms = node.now_ms();
            node.repl.handle_snapshot(now_ms, SnapshotEvent::Progress { id, progress });
        }
        self.reap_children(node);
    }

    /// Takes note of a child that has ended. SIGCHLD, the end of the report pipe and that of a snapshot's
    /// pipe all lead here, in any order.
    pub fn reap_children(&mut self, node: &mut Node) {
        self.process.sessions.reap();
        let Some(ended) = self.disk.children.reap(node.now().mono_us) else { return };
        let Ended { job, exit, report, took_us } = ended;
        node.engine.keyspace.resume_resize();
        node.engine.spare_pages = false;
        match job {
            Job::RdbFile(file) => self.finish_rdb_file(node, file, exit, &report, took_us),
            Job::RdbPipe { snapshot } => self.finish_rdb_pipe(node, snapshot, exit, &report),
            Job::AofRewrite { temp, format } => {
                self.disk.aof.rewrite_ended(temp, format, exit, &report, took_us);
            }
        }
        self.tell_replication_of_children(node);
    }

    /// Ends the child whose result nobody wants any more, and removes what it has written.
    pub fn kill_child(&mut self, node: &mut Node) {
        let Some(Killed { job, reap }) = self.disk.children.kill() else { return };
        let mut jobs: Vec<DiskJob> = reap.into_iter().collect();
        node.engine.keyspace.resume_resize();
        node.engine.spare_pages = false;
        match job {
            Job::RdbFile(file) => {
                // It may be just about to give its file the name.
                self.order_for_rdb(node, jobs, Then::RdbSettled);
                self.disk.rdb.remove_temp(file.temp);
                if let Some(id) = file.snapshot {
                    snapshot_failed(node, id, "killed");
                }
            }
            Job::RdbPipe { snapshot } => {
                self.disk.worker.order(jobs);
                snapshot_failed(node, snapshot, "killed");
            }
            Job::AofRewrite { temp, .. } => {
                jobs.push(DiskJob::Unlink(temp));
                self.disk.worker.order(jobs);
                self.disk.aof.rewrite_killed();
            }
        }
        self.tell_replication_of_children(node);
    }

    /// To be called whenever a child begins or ends.
    pub fn tell_replication_of_children(&mut self, node: &mut Node) {
        let skips = self.config.persistence.no_appendfsync_on_rewrite;
        self.disk.aof.skip_fsync(skips && self.disk.children.is_active());
        let child = match self.disk.children.as_other() {
            OtherChild::None if self.disk.rdb.is_unsettled() => OtherChild::RdbName,
            child => child,
        };
        let now_ms = node.now_ms();
        node.repl.handle_other_child(now_ms, child);
    }

    /// Goes on with what an order to the disk was for.
    pub fn disk_done(&mut self, node: &mut Node, done: DiskDone) {
        let DiskDone { then, result, took_us } = done;
        match then {
            Then::SnapshotSynced { serial } => self.snapshot_synced(node, serial, result),
            Then::SnapshotNamed { target } => self.snapshot_named(node, &target, result),
            Then::IncrNamed(named) => self.incr_named(node, *named, result),
            Then::AofInstalled(base) => {
                node.engine.record_latency("aof-rename", took_us);
                self.disk.aof.installed(*base, result);
            }
            Then::AofHistoryForgotten => self.disk.aof.history_forgotten(result),
            Then::TempRdbUnlinked => node.engine.record_latency("rdb-unlink-temp-file", took_us),
            Then::RdbSettled => self.rdb_settled(node),
        }
        // A rewrite may have waited for just this: nobody shall see that it has not begun.
        if self.disk.aof.figures().rewrites.is_scheduled {
            self.aof_cron(node);
        }
    }
}
