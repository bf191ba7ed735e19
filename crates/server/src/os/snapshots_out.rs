//! Snapshots of the data set: SAVE, BGSAVE, save points, and the two kinds that replicas ask for.
//!
//! Who needs a snapshot and when is decided by the commands, the save points and the replication
//! core; here they are made, in a child wherever somebody else waits.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use engine::{ClientId, CommandError, Outcome};
use log::{info, warn};
use node::Node;
use persist::rdb::Version;
use repl::{Filter, SnapshotEvent, SnapshotId, SnapshotMode};
use store::keyspace::Keyspace;

use crate::disk::child::{self, Exit, Report};
use crate::disk::children::{Job, PipeRead, RdbFileJob, judge};
use crate::disk::rdb::{ChildHook, OwnSave, SnapshotHeader};
use crate::disk::worker::{DiskJob, Then};
use crate::os::host::{Deferred, Host};
use crate::os::service::SupervisedSave;
use crate::process::clock;
use crate::process::os_error::os_error;

const PIPE_READS_PER_TURN: usize = 16;

impl Host {
    pub fn request_bgsave(
        &mut self,
        client: Option<ClientId>,
        schedule: bool,
        in_exec: bool,
    ) -> Result<Outcome, CommandError> {
        if self.disk.children.is_saving_rdb() {
            return Err(CommandError::err("Background save already in progress"));
        }
        // What else the transaction has asked for may be a child as well, and there is one at a time.
        if in_exec || schedule && self.disk.children.is_active() {
            self.disk.rdb.schedule();
            return Ok(Outcome::Status("Background saving scheduled".into()));
        }
        if self.disk.children.is_active() {
            return Err(CommandError::err(
                "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE \
                 SCHEDULE in order to schedule a BGSAVE whenever possible.",
            ));
        }
        self.deferred.push(Deferred::BgSave { client });
        Ok(Outcome::Silent)
    }

    /// Of a snapshot that is being made, whoever it is for, or else of one that is scheduled.
    pub fn cancel_bgsave(&mut self) -> Result<Outcome, CommandError> {
        let status = if self.disk.children.is_saving_rdb() {
            self.deferred.push(Deferred::CancelBgSave);
            "Background saving cancelled"
        } else if self.disk.rdb.unschedule() {
            "Scheduled background saving cancelled"
        } else {
            let why = "Background saving is currently not in progress or scheduled";
            return Err(CommandError::err(why));
        };
        Ok(Outcome::Status(status.into()))
    }

    pub fn rdb_path(&self) -> PathBuf {
        self.config.persistence.dir.join(&self.config.persistence.dbfilename)
    }

    /// The same for messages: where the file is, whatever the directory is now.
    pub fn rdb_name(&self) -> String {
        let path = self.rdb_path();
        std::path::absolute(&path).unwrap_or(path).display().to_string()
    }

    /// Where the process writes a snapshot until it is whole.
    pub fn temp_rdb_path(&self, pid: u32) -> PathBuf {
        self.config.persistence.dir.join(format!("temp-{pid}.rdb"))
    }
}

impl Host {
    /// Gathers what a snapshot of this moment says of itself.
    pub fn snapshot_header(&self, node: &mut Node) -> SnapshotHeader {
        let host = self;
        let persistence = &host.config.persistence;
        let repl = node
            .repl
            .history_point()
            .map(|point| (node.stream_db() as i64, point.replid.to_string(), point.offset as i64));
        let wanted = host.disk.rdb.version(persistence.rdb_version);
        let version = wanted.max(Version::needed_for(&node.engine.keyspace));
        if version > wanted {
            info!(
                "Fields of hashes expire: the snapshot is of RDB version {} instead of {}, which Redis \
                 before 7.4 and Valkey refuse to load",
                version.number(),
                wanted.number()
            );
        }
        SnapshotHeader {
            version,
            compress: persistence.rdbcompression,
            checksum: persistence.rdbchecksum,
            ctime_s: node.now().unix_s(),
            used_memory_bytes: host.process.memory.used_bytes(),
            repl,
            functions: node.engine.library_codes(),
            aof_base: false,
            timestamp: persistence.aof_timestamp_enabled,
            access: node.engine.snapshot_access(),
            key_delay_us: persistence.rdb_key_save_delay_us,
        }
    }

    /// SAVE, and the last act of a shutdown: in this process, everybody waits.
    pub fn save_now(&mut self, node: &mut Node) -> io::Result<()> {
        // What is about to get that name, or a child that was killed a moment ago, must not come later.
        self.disk.rdb.wait_until_settled();
        let header = self.snapshot_header(node);
        let (temp, target) = (self.temp_rdb_path(self.process.identity.pid), self.rdb_path());
        let steady = self.config.persistence.rdb_save_incremental_fsync;
        let signals = node.is_shutting_down().then_some(&self.process.signals);
        let own = OwnSave::new(&header, signals);
        let keys_total = node.engine.keyspace.len() as u64;
        let mut hook = SupervisedSave::new(own, &mut self.process.supervision, keys_total);
        let saved = header.save_file(&node.engine.keyspace, &temp, &target, steady, &mut hook);
        if hook.inner.is_insisted() {
            warn!("You insist... exiting now.");
            self.process.exit_code = Some(1);
        }
        match saved {
            Ok(_) => {
                info!("DB saved on disk");
                node.engine.dirty = 0;
                self.disk.rdb.saved(clock::now().unix_s());
                Ok(())
            }
            Err(error) => {
                let name = self.rdb_name();
                warn!("Write error saving DB on disk ({name}): {}", os_error(&error));
                Err(error)
            }
        }
    }

    /// Forks a child that writes the RDB file.
    pub fn start_bgsave(
        &mut self,
        node: &mut Node,
        snapshot: Option<SnapshotId>,
    ) -> io::Result<()> {
        self.disk.rdb.bgsave_begins(node.now().mono_us);
        let header = self.snapshot_header(node);
        let target = self.rdb_path();
        let steady = self.config.persistence.rdb_save_incremental_fsync;
        let keyspace = &node.engine.keyspace;
        let host = &*self;
        let forked = child::spawn(&[], |reporter| {
            let temp = host.temp_rdb_path(std::process::id());
            let mut hook = ChildHook::new(&header, reporter);
            let report = header.save_file(keyspace, &temp, &target, steady, &mut hook)?;
            Ok(Report { keys: report.keys, size_bytes: report.bytes, ..Report::default() })
        });
        let child = self.forked(node, forked).inspect_err(|error| {
            warn!("Can't save in background: fork: {}", os_error(error));
            self.disk.rdb.bgsave_not_begun();
        })?;
        info!("Background saving started by pid {}", child.pid());
        let temp = self.temp_rdb_path(child.pid() as u32);
        let dirty_at_fork = node.engine.dirty;
        let job = Job::RdbFile(RdbFileJob { temp, target, snapshot, dirty_at_fork });
        self.begin_job(node, child, job, None)
    }

    /// Forks a child that writes a snapshot to a pipe; what comes out goes to replicas.
    fn start_streamed_snapshot(
        &mut self,
        node: &mut Node,
        snapshot: SnapshotId,
        filter: Filter,
    ) -> io::Result<()> {
        let (reader, writer) = child::snapshot_pipe()?;
        let mut header = self.snapshot_header(node);
        if filter.without_functions {
            header.functions.clear();
        }
        let without_data = Keyspace::new(1, self.hash_seed);
        let keyspace = if filter.without_data { &without_data } else { &node.engine.keyspace };
        let fd = writer.as_raw_fd();
        let forked = child::spawn(&[fd], |reporter| {
            // SAFETY: the child inherited the pipe's end and nothing else in it uses that.
            let mut out = unsafe { child::file_in_child(fd) };
            let report = header.save(keyspace, &mut out, &mut ChildHook::new(&header, reporter))?;
            Ok(Report { keys: report.keys, size_bytes: report.bytes, ..Report::default() })
        });
        drop(writer);
        let child = self
            .forked(node, forked)
            .inspect_err(|error| warn!("Can't save in background: fork: {}", os_error(error)))?;
        info!("Background RDB transfer started by pid {}", child.pid());
        self.begin_job(node, child, Job::RdbPipe { snapshot }, Some(reader))
    }

    /// `Action::StartSnapshot`: everything propagated so far is in the stream already.
    pub fn start_replication_snapshot(
        &mut self,
        node: &mut Node,
        id: SnapshotId,
        mode: SnapshotMode,
        filter: Filter,
    ) {
        debug_assert!(
            mode == SnapshotMode::Socket || !filter.is_active(),
            "what lacks something must not become the RDB file"
        );
        let started = match mode {
            _ if self.disk.children.is_active() => Err(io::Error::other("another child runs")),
            SnapshotMode::Disk if self.disk.rdb.is_unsettled() => {
                Err(io::Error::other("the RDB file is about to get or lose its name"))
            }
            SnapshotMode::Disk => self.start_bgsave(node, Some(id)),
            SnapshotMode::Socket => self.start_streamed_snapshot(node, id, filter),
        };
        let now_ms = node.now_ms();
        match started {
            Ok(()) => node.repl.handle_snapshot(now_ms, SnapshotEvent::Started { id }),
            Err(error) => snapshot_failed(node, id, &os_error(&error)),
        }
    }

    /// Moves what the child has written from its pipe to the replicas, as far as they have room.
    pub fn read_snapshot_pipe(&mut self, node: &mut Node, serial: u32) {
        for _ in 0..PIPE_READS_PER_TURN {
            if !node.repl.snapshot_wants_data() {
                break;
            }
            match self.disk.children.read_pipe(serial) {
                PipeRead::Chunk(id, bytes) => {
                    let now_ms = node.now_ms();
                    node.repl.handle_snapshot(now_ms, SnapshotEvent::Chunk { id, bytes });
                }
                PipeRead::Nothing => return,
                PipeRead::Ended => return self.reap_children(node),
            }
        }
        self.disk.children.pause_pipe();
    }

    /// Goes on reading the pipe once replicas have room again.
    pub fn continue_snapshot_pipe(&mut self, node: &mut Node) {
        if let Some(serial) = self.disk.children.paused_pipe()
            && node.repl.snapshot_wants_data()
        {
            self.read_snapshot_pipe(node, serial);
        }
    }

    /// There is more to be moved at once.
    pub fn snapshot_pipe_has_more(&self, node: &Node) -> bool {
        self.disk.children.paused_pipe().is_some() && node.repl.snapshot_wants_data()
    }

    pub fn finish_rdb_pipe(
        &mut self,
        node: &mut Node,
        id: SnapshotId,
        exit: Exit,
        report: &Report,
    ) {
        let now_ms = node.now_ms();
        let ok = judge("Background RDB transfer", "Background transfer error", exit, report);
        let event = if ok {
            SnapshotEvent::Ready { id, size_bytes: report.size_bytes }
        } else {
            SnapshotEvent::Failed { id, why: report.error.clone() }
        };
        node.repl.handle_snapshot(now_ms, event);
    }

    pub fn finish_rdb_file(
        &mut self,
        node: &mut Node,
        job: RdbFileJob,
        exit: Exit,
        report: &Report,
        took_us: u64,
    ) {
        let ended = self.disk.rdb.bgsave_ended(job, exit, report, took_us, node.now());
        if let Some(changes) = ended.saved_changes {
            node.engine.dirty = node.engine.dirty.saturating_sub(changes);
        }
        if let Some(event) = ended.event {
            let now_ms = node.now_ms();
            node.repl.handle_snapshot(now_ms, event);
        }
    }

    /// `rdb-del-sync-files`: where nothing is to be kept on disk, a snapshot that was only made for a sync
    /// is not to stay there either.
    pub fn must_delete_sync_files(&self) -> bool {
        let config = &self.config;
        config.replication.rdb_del_sync_files
            && config.persistence.save.is_empty()
            && !config.persistence.appendonly
    }

    pub fn delete_rdb_file(&mut self, node: &mut Node) {
        let path = self.rdb_path();
        self.order_for_rdb(node, vec![DiskJob::Unlink(path)], Then::RdbSettled);
    }

    /// Orders what may take or give the name of the RDB file. No other may begin to until it is over.
    pub fn order_for_rdb(&mut self, node: &mut Node, jobs: Vec<DiskJob>, then: Then) {
        self.disk.rdb.order(jobs, then);
        self.tell_replication_of_children(node);
    }

    /// Such an order is done.
    pub fn rdb_settled(&mut self, node: &mut Node) {
        self.disk.rdb.settled();
        self.tell_replication_of_children(node);
        if self.disk.rdb.is_scheduled() && !self.process.cron_paused {
            self.rdb_cron(node);
        }
    }

    fn delete_sync_file(&mut self, node: &mut Node) {
        if self.disk.rdb.gives_up_sync_file() && self.must_delete_sync_files() {
            info!("Removing the RDB file used to feed replicas in a persistence-less instance");
            self.delete_rdb_file(node);
        }
    }

    /// Save points, and saves that waited for another child to end.
    pub fn rdb_cron(&mut self, node: &mut Node) {
        if self.disk.children.is_active()
            || self.disk.loading.is_active()
            || self.disk.rdb.is_unsettled()
        {
            return;
        }
        self.delete_sync_file(node);
        let dirty = node.engine.dirty;
        if !self.disk.rdb.is_unsettled()
            && self.disk.rdb.is_save_due(node.now(), dirty, &self.config)
        {
            // A failure is logged and tried again later.
            let _ = self.start_bgsave(node, None);
        }
    }

    /// Notes the cost of a fork, and spares the pages that parent and child share.
    pub fn forked(
        &mut self,
        node: &mut Node,
        forked: io::Result<child::Child>,
    ) -> io::Result<child::Child> {
        let child = forked?;
        self.turn.stats.forks += 1;
        self.turn.stats.last_fork_us = child.fork_us();
        node.engine.record_latency("fork", child.fork_us());
        node.engine.keyspace.pause_resize();
        node.engine.spare_pages = true;
        self.process.oom.apply_to_child(self.config.oom_rule(), child.pid());
        Ok(child)
    }

    pub fn begin_job(
        &mut self,
        node: &mut Node,
        child: child::Child,
        job: Job,
        pipe: Option<File>,
    ) -> io::Result<()> {
        let keys_total = node.engine.keyspace.keys() as u64;
        let started = self.disk.children.start(&self.net.registry, child, job, pipe, keys_total);
        if let Err((reap, error)) = started {
            self.disk.worker.order(vec![reap]);
            return Err(error);
        }
        self.tell_replication_of_children(node);
        Ok(())
    }
}

pub fn snapshot_failed(node: &mut Node, id: SnapshotId, why: &str) {
    let event = SnapshotEvent::Failed { id, why: why.to_owned() };
    let now_ms = node.now_ms();
    node.repl.handle_snapshot(now_ms, event);
}
