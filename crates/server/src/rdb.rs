//! Snapshots of the data set: SAVE, BGSAVE, save points, and the two kinds that replicas ask for.
//!
//! Who needs a snapshot and when is decided by the commands, the save points and the replication
//! core; here they are made, in a child wherever somebody else waits.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engine::{ClientId, CommandError, Now, Outcome};
use log::{info, warn};
use node::Node;
use persist::aof::RewriteOptions;
use persist::rdb::{Access, ReplInfo, SaveHook, SaveOptions, SaveReport, Version, save};
use repl::{Filter, SnapshotEvent, SnapshotId, SnapshotMode};
use store::keyspace::Keyspace;

use crate::child::{self, Exit, Report, Reporter};
use crate::children::{Job, RdbFileJob, judge};
use crate::config::os_error;
use crate::config::{Config, REDIS_VERSION};
use crate::disk::{self, RealDisk, SteadyWriter};
use crate::disk_worker::{DiskJob, Then};
use crate::host::{Deferred, Host};
use crate::key_delay::KeyDelay;
use crate::signals::{Received, SignalSource};

/// A save that failed is tried again by its save point only after so long.
const RETRY_AFTER_US: u64 = 5_000_000;
const PIPE_READ_BYTES: usize = 64 << 10;
const PIPE_READS_PER_TURN: usize = 16;

const MISCONF: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable \
to persist to disk. Commands that may modify the data set are disabled, because this instance is \
configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error \
option). Please check the Redis logs for details about the RDB error.";

/// What is known of snapshots on the disk.
pub struct Rdb {
    pub last_save_unix_s: i64,
    pub last_bgsave_ok: bool,
    /// Seconds that the last one took, -1 before the first.
    pub last_bgsave_s: i64,
    pub last_try_us: u64,
    pub last_cow_bytes: u64,
    pub saves: u64,
    /// BGSAVE SCHEDULE: as soon as no other child runs.
    pub scheduled: bool,
    pub last_load_keys_loaded: u64,
    pub last_load_keys_expired: u64,
    /// Function libraries of the loaded data set: kept and saved again, not run.
    pub functions: Vec<Vec<u8>>,
    /// The data set holds what older versions of the format cannot say in full.
    pub needs_v11: bool,
    /// The RDB file is there because a replica needed it.
    pub made_for_replicas: bool,
    /// Orders to the disk's thread that may take or give the RDB file's name, and are not done.
    unsettled: u32,
}

impl Rdb {
    pub fn new(now: Now) -> Rdb {
        Rdb {
            // As Redis: at start, the save points count from the start.
            last_save_unix_s: now.unix_s(),
            last_bgsave_ok: true,
            last_bgsave_s: -1,
            last_try_us: 0,
            last_cow_bytes: 0,
            saves: 0,
            scheduled: false,
            last_load_keys_loaded: 0,
            last_load_keys_expired: 0,
            functions: Vec::new(),
            needs_v11: false,
            made_for_replicas: false,
            unsettled: 0,
        }
    }

    pub fn is_unsettled(&self) -> bool {
        self.unsettled > 0
    }

    pub fn write_refusal(&self, config: &Config) -> Option<CommandError> {
        let persistence = &config.persistence;
        let refuse = persistence.stop_writes_on_bgsave_error
            && !persistence.save.is_empty()
            && !self.last_bgsave_ok;
        refuse.then(|| CommandError::text(MISCONF.to_owned()))
    }
}

/// What a snapshot's header says, gathered before the fork.
#[derive(Clone)]
pub struct SnapshotHeader {
    version: Version,
    compress: bool,
    checksum: bool,
    ctime_s: i64,
    used_memory_bytes: u64,
    repl: Option<(i64, String, i64)>,
    functions: Vec<Vec<u8>>,
    aof_base: bool,
    /// `aof-timestamp-enabled`.
    timestamp: bool,
    access: Option<Access>,
    key_delay_us: i32,
}

impl SnapshotHeader {
    /// The snapshot is the base of an AOF, which goes on behind it: its place in the replication
    /// stream is of no use.
    pub fn set_aof_base(&mut self) {
        self.aof_base = true;
        self.repl = None;
    }

    /// Writes a snapshot.
    pub fn save(
        &self,
        keyspace: &Keyspace,
        out: &mut dyn Write,
        hook: &mut dyn SaveHook,
    ) -> io::Result<SaveReport> {
        let repl = self.repl.as_ref().map(|(stream_db, replid, offset)| ReplInfo {
            stream_db: *stream_db,
            replid,
            offset: *offset,
        });
        let options = SaveOptions {
            version: self.version,
            compress: self.compress,
            checksum: self.checksum,
            redis_ver: REDIS_VERSION,
            ctime_s: self.ctime_s,
            used_memory_bytes: self.used_memory_bytes,
            repl,
            aof_base: self.aof_base,
            functions: &self.functions,
            access: self.access,
        };
        save(keyspace, out, &options, hook)
    }

    fn slow_save(&self) -> SlowSave {
        SlowSave { delay_us: self.key_delay_us, delay: KeyDelay::default() }
    }

    /// What a base of commands instead of a snapshot needs to know.
    pub fn rewrite_options(&self) -> RewriteOptions<'_> {
        RewriteOptions {
            timestamp_s: self.timestamp.then_some(self.ctime_s),
            functions: &self.functions,
            version: self.version,
        }
    }

    /// Writes a snapshot to `temp`, whole and synced, and gives it its name.
    pub fn save_file(
        &self,
        keyspace: &Keyspace,
        temp: &Path,
        target: &Path,
        steady: bool,
        hook: &mut dyn SaveHook,
    ) -> io::Result<SaveReport> {
        let written = (|| {
            let mut out = SteadyWriter::create(temp, steady)?;
            let report = self.save(keyspace, &mut out, hook)?;
            out.finish()?;
            disk::put_in_place(&RealDisk, temp, target)?;
            Ok(report)
        })();
        if written.is_err() {
            // Best effort: under its temporary name it is only clutter.
            let _ = fs::remove_file(temp);
        }
        written
    }
}

/// `rdb-key-save-delay`, and nothing else.
pub struct SlowSave {
    delay_us: i32,
    delay: KeyDelay,
}

impl SlowSave {
    fn after_key(&mut self) {
        self.delay.after_key(self.delay_us);
    }
}

/// A save of this process itself, during which the loop stands still: a second SIGINT, after the one that
/// the save is a consequence of, ends it all the same.
struct OwnSave<'a> {
    delay: SlowSave,
    /// `None` where no shutdown is under way: signals wait for the loop then.
    signals: Option<&'a SignalSource>,
    insisted: bool,
}

impl OwnSave<'_> {
    fn look(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.and_then(SignalSource::next) {
            self.insisted |= signal == Received::Terminate { interrupt: true };
        }
        if self.insisted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

impl SaveHook for OwnSave<'_> {
    fn saved_key(&mut self) -> io::Result<()> {
        self.delay.after_key();
        if self.delay.delay_us > 0 { self.look() } else { Ok(()) }
    }

    fn progress(&mut self, _: u64, _: u64) -> io::Result<()> {
        self.look()
    }
}

/// The child's side: tells the parent how far it is, and gives pages back that it has written out.
pub struct ChildHook<'a> {
    reporter: &'a mut Reporter,
    delay: SlowSave,
}

impl<'a> ChildHook<'a> {
    pub fn new(header: &SnapshotHeader, reporter: &'a mut Reporter) -> ChildHook<'a> {
        ChildHook { reporter, delay: header.slow_save() }
    }
}

impl SaveHook for ChildHook<'_> {
    fn saved_key(&mut self) -> io::Result<()> {
        self.delay.after_key();
        Ok(())
    }

    fn progress(&mut self, keys: u64, bytes: u64) -> io::Result<()> {
        self.reporter.progress(keys, bytes)
    }

    fn release(&mut self, block: &[u8]) {
        const PAGE: usize = 4096;
        let start = block.as_ptr() as usize;
        let first = start.next_multiple_of(PAGE);
        let end = (start + block.len()) & !(PAGE - 1);
        if first < end {
            // SAFETY: these are whole pages inside a block that this process, which is about to
            // exit, never reads again; the parent has its own mapping of them.
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_DONTNEED) };
        }
    }
}

impl Host {
    pub fn request_bgsave(
        &mut self,
        client: Option<ClientId>,
        schedule: bool,
        in_exec: bool,
    ) -> Result<Outcome, CommandError> {
        if self.children.is_saving_rdb() {
            return Err(CommandError::err("Background save already in progress"));
        }
        if self.children.is_active() {
            if schedule || in_exec {
                self.rdb.scheduled = true;
                return Ok(Outcome::Status("Background saving scheduled".into()));
            }
            return Err(CommandError::err(
                "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE \
                 SCHEDULE in order to schedule a BGSAVE whenever possible.",
            ));
        }
        if in_exec {
            self.deferred.push(Deferred::BgSave { client: None });
            return Ok(Outcome::Status("Background saving scheduled".into()));
        }
        self.deferred.push(Deferred::BgSave { client });
        Ok(Outcome::Silent)
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
        let version = match persistence.rdb_version {
            9 => Version::V9,
            _ if host.rdb.needs_v11 => Version::V11,
            number => Version::readable_by(number).unwrap_or_default(),
        };
        let repl = node
            .repl
            .history_point()
            .map(|point| (node.stream_db() as i64, point.replid.to_string(), point.offset as i64));
        SnapshotHeader {
            version,
            compress: persistence.rdbcompression,
            checksum: persistence.rdbchecksum,
            ctime_s: node.now().unix_s(),
            used_memory_bytes: host.memory.used_bytes(),
            repl,
            functions: host.rdb.functions.clone(),
            aof_base: false,
            timestamp: persistence.aof_timestamp_enabled,
            access: node.engine.snapshot_access(),
            key_delay_us: persistence.rdb_key_save_delay_us,
        }
    }

    /// SAVE, and the last act of a shutdown: in this process, everybody waits.
    pub fn save_now(&mut self, node: &mut Node) -> io::Result<()> {
        if self.rdb.is_unsettled() {
            // What is about to get that name, or a child that was killed a moment ago, must not come later.
            self.disk.wait();
        }
        let header = self.snapshot_header(node);
        let (temp, target) = (self.temp_rdb_path(self.identity.pid), self.rdb_path());
        let steady = self.config.persistence.rdb_save_incremental_fsync;
        let signals = node.is_shutting_down().then_some(&self.signals);
        let mut hook = OwnSave { delay: header.slow_save(), signals, insisted: false };
        let saved = header.save_file(&node.engine.keyspace, &temp, &target, steady, &mut hook);
        if hook.insisted {
            warn!("You insist... exiting now.");
            self.exit_code = Some(1);
        }
        match saved {
            Ok(_) => {
                info!("DB saved on disk");
                node.engine.dirty = 0;
                self.rdb.last_save_unix_s = crate::event_loop::read_clock().unix_s();
                self.rdb.last_bgsave_ok = true;
                self.rdb.saves += 1;
                self.rdb.made_for_replicas = false;
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
        self.rdb.last_try_us = node.now().mono_us;
        self.rdb.scheduled = false;
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
            self.rdb.last_bgsave_ok = false;
        })?;
        info!("Background saving started by pid {}", child.pid);
        let temp = self.temp_rdb_path(child.pid as u32);
        let job = Job::RdbFile { temp, target, snapshot, dirty_at_fork: node.engine.dirty };
        self.begin_job(node, child, job)
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
        info!("Background RDB transfer started by pid {}", child.pid);
        self.begin_job(node, child, Job::RdbPipe { snapshot, pipe: Some(reader) })
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
            _ if self.children.is_active() || self.rdb.is_unsettled() => {
                Err(io::Error::other("another child runs"))
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
            let Some(running) = self.children.of_event(serial) else { return };
            let Job::RdbPipe { snapshot, pipe: Some(pipe) } = &mut running.job else { return };
            let id = *snapshot;
            let mut chunk = vec![0; PIPE_READ_BYTES];
            match pipe.read(&mut chunk) {
                Ok(0) => return self.snapshot_pipe_ended(node),
                Ok(n) => {
                    chunk.truncate(n);
                    let event = SnapshotEvent::Chunk { id, bytes: Bytes::from(chunk) };
                    let now_ms = node.now_ms();
                    node.repl.handle_snapshot(now_ms, event);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.children.pipe_paused = false;
                    return;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    warn!(
                        "Diskless rdb transfer, read error sending DB to replicas: {}",
                        os_error(&error)
                    );
                    return self.snapshot_pipe_ended(node);
                }
            }
        }
        // The turn is over or the replicas are full; no edge will tell of what is left.
        self.children.pipe_paused = true;
    }

    fn snapshot_pipe_ended(&mut self, node: &mut Node) {
        self.children.pipe_paused = false;
        if let Some(running) = &mut self.children.running
            && let Job::RdbPipe { pipe, .. } = &mut running.job
        {
            *pipe = None;
        }
        self.reap_children(node);
    }

    /// Goes on reading the pipe once replicas have room again. True if there is more to do at once.
    pub fn continue_snapshot_pipe(&mut self, node: &mut Node) -> bool {
        if !self.children.pipe_paused || !node.repl.snapshot_wants_data() {
            return false;
        }
        let serial = self.children.serial();
        self.read_snapshot_pipe(node, serial);
        self.children.pipe_paused && node.repl.snapshot_wants_data()
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
        let now_ms = node.now_ms();
        if exit == Exit::Code(0) && report.done {
            // The child's lines in Redis, which it writes before it ends; ours does not log.
            info!("DB saved on disk");
            info!("Fork CoW for RDB: {} MB", report.cow_bytes >> 20);
        }
        let ok = judge("Background saving", "Background saving error", exit, report);
        let rdb = &mut self.rdb;
        rdb.last_bgsave_s = (took_us / 1_000_000) as i64;
        rdb.last_cow_bytes = report.cow_bytes;
        if ok {
            rdb.last_save_unix_s = node.now().unix_s();
            rdb.saves += 1;
            node.engine.dirty = node.engine.dirty.saturating_sub(job.dirty_at_fork);
        } else {
            warn!("{} is left as it was", job.target.display());
            self.remove_temp_rdb(job.temp);
        }
        let rdb = &mut self.rdb;
        // SIGUSR1 is how an operator ends a child without calling it a failure.
        if ok || exit != Exit::Signal(libc::SIGUSR1) {
            rdb.last_bgsave_ok = ok;
        }
        let Some(id) = job.snapshot else {
            // The operator's own.
            self.rdb.made_for_replicas &= !ok;
            return;
        };
        let file =
            if ok { File::open(&job.target) } else { Err(io::Error::other("BGSAVE failed")) };
        let event = match file.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((size_bytes, file)) => {
                self.snapshot_files.insert(id, file);
                SnapshotEvent::Ready { id, size_bytes }
            }
            Err(error) => SnapshotEvent::Failed { id, why: os_error(&error) },
        };
        self.rdb.made_for_replicas = matches!(event, SnapshotEvent::Ready { .. });
        node.repl.handle_snapshot(now_ms, event);
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
        self.rdb.unsettled += 1;
        self.disk.order_then(jobs, then);
        self.tell_replication_of_children(node);
    }

    /// Such an order is done.
    pub fn rdb_settled(&mut self, node: &mut Node) {
        self.rdb.unsettled -= 1;
        self.tell_replication_of_children(node);
        if self.rdb.scheduled && !self.cron_paused {
            self.rdb_cron(node);
        }
    }

    fn delete_sync_file(&mut self, node: &mut Node) {
        if self.rdb.made_for_replicas && self.snapshot_files.is_empty() {
            self.rdb.made_for_replicas = false;
            if self.must_delete_sync_files() {
                info!("Removing the RDB file used to feed replicas in a persistence-less instance");
                self.delete_rdb_file(node);
            }
        }
    }

    /// Removes what a child that failed or was ended has left.
    pub fn remove_temp_rdb(&mut self, temp: PathBuf) {
        self.disk.order_then(vec![DiskJob::Unlink(temp)], Then::TempRdbUnlinked);
    }

    /// Save points, and saves that waited for another child to end.
    pub fn rdb_cron(&mut self, node: &mut Node) {
        if self.children.is_active() || self.loading.active || self.rdb.is_unsettled() {
            return;
        }
        self.delete_sync_file(node);
        if self.rdb.is_unsettled() {
            return;
        }
        let now = node.now();
        let rdb = &self.rdb;
        let may_try = rdb.last_bgsave_ok || now.mono_us > rdb.last_try_us + RETRY_AFTER_US;
        let elapsed_s = now.unix_s() - rdb.last_save_unix_s;
        let dirty = node.engine.dirty;
        let due = self
            .config
            .persistence
            .save
            .iter()
            .find(|point| dirty >= point.changes && elapsed_s > point.seconds as i64);
        if let Some(point) = due.filter(|_| may_try) {
            info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
        } else if !(rdb.scheduled && may_try) {
            return;
        }
        // A failure is logged and tried again later.
        let _ = self.start_bgsave(node, None);
    }

    /// Notes the cost of a fork, and spares the pages that parent and child share.
    pub fn forked(
        &mut self,
        node: &mut Node,
        forked: io::Result<child::Child>,
    ) -> io::Result<child::Child> {
        let child = forked?;
        self.stats.forks += 1;
        self.stats.last_fork_us = child.fork_us;
        node.engine.record_latency("fork", child.fork_us);
        node.engine.keyspace.pause_resize();
        node.engine.spare_pages = true;
        self.oom.apply_to_child(&self.config, child.pid);
        Ok(child)
    }

    pub fn begin_job(&mut self, node: &mut Node, child: child::Child, job: Job) -> io::Result<()> {
        let keys_total = node.engine.keyspace.keys() as u64;
        if let Err((pid, error)) = self.children.start(&self.registry, child, job, keys_total) {
            self.disk.order(vec![DiskJob::Reap { pid }]);
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
