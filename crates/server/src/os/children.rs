//! What follows from the end of a child: the job's own end, and what engine and replication are told.

use node::Node;
use repl::{OtherChild, SnapshotEvent, SnapshotProgress};

use crate::disk::child::{Exit, Report};
use crate::disk::children::{Job, RdbFileJob, Running};
use crate::disk::worker::{DiskDone, DiskJob, Then};
use crate::os::host::Host;
use crate::os::snapshots_out::snapshot_failed;

impl Host {
    pub fn read_child_reports(&mut self, node: &mut Node, serial: u32) {
        if let Some(running) = self.disk.children.of_event(serial) {
            running.child.read_reports();
            let Report { keys, size_bytes: bytes, .. } = running.child.last;
            if let (Some(id), 1..) = (running.job.snapshot(), keys) {
                let progress = SnapshotProgress { keys, keys_total: running.keys_total, bytes };
                let now_ms = node.now_ms();
                node.repl.handle_snapshot(now_ms, SnapshotEvent::Progress { id, progress });
            }
        }
        self.reap_children(node);
    }

    /// Takes note of a child that has ended. SIGCHLD and the end of the report pipe both lead here,
    /// in either order.
    pub fn reap_children(&mut self, node: &mut Node) {
        let Some(running) = &mut self.disk.children.running else { return };
        if running.exit.is_none() {
            running.exit = running.child.reap();
        }
        self.finish_child(node);
    }

    /// Ends the job of a child that is reaped and whose pipe, if it has one, is read.
    pub fn finish_child(&mut self, node: &mut Node) {
        if let Some(running) = &mut self.disk.children.running
            && running.exit.is_some_and(|exit| exit != Exit::Code(0))
            && let Job::RdbPipe { pipe, .. } = &mut running.job
        {
            // What is left in the pipe is a part of nothing, and replicas may be slow to take it.
            *pipe = None;
            self.disk.children.pipe_paused = false;
        }
        let ready = self.disk.children.running.as_ref().is_some_and(|running| {
            running.exit.is_some() && !matches!(running.job, Job::RdbPipe { pipe: Some(_), .. })
        });
        if !ready {
            return;
        }
        let Running { child, job, exit, .. } =
            self.disk.children.running.take().expect("checked just above");
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
        let Some(running) = self.disk.children.running.take() else { return };
        self.disk.children.pipe_paused = false;
        let mut jobs: Vec<DiskJob> =
            running.end().map(|pid| DiskJob::Reap { pid }).into_iter().collect();
        node.engine.keyspace.resume_resize();
        node.engine.spare_pages = false;
        match running.job {
            Job::RdbFile { temp, snapshot, .. } => {
                // It may be just about to give its file the name.
                self.order_for_rdb(node, jobs, Then::RdbSettled);
                self.remove_temp_rdb(temp);
                if let Some(id) = snapshot {
                    snapshot_failed(node, id, "killed");
                }
            }
            Job::RdbPipe { snapshot, .. } => {
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
            Then::AofInstalled(base) => self.aof_installed(node, *base, result, took_us),
            Then::AofHistoryForgotten => self.disk.aof.history_forgotten(result),
            Then::TempRdbUnlinked => node.engine.record_latency("rdb-unlink-temp-file", took_us),
            Then::RdbSettled => self.rdb_settled(node),
        }
    }
}
