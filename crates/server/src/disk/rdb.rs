//! What is known of snapshots on the disk, and how one is written: its header, its file, and what is looked at
//! after every key. Who needs one, and whether a child may be forked for it, is decided above.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use engine::{CommandError, Now};
use log::{info, warn};
use persist::aof::RewriteOptions;
use persist::rdb::{
    Access, LoadReport, ReplInfo, SaveHook, SaveOptions, SaveReport, Version, save,
};
use repl::{SnapshotEvent, SnapshotId};
use store::keyspace::Keyspace;

use crate::config::Config;
use crate::disk::child::{Exit, Report, Reporter};
use crate::disk::children::{RdbFileJob, judge};
use crate::disk::files::{self, RealDisk, SteadyWriter};
use crate::disk::key_delay::KeyDelay;
use crate::disk::worker::{DiskJob, DiskWorker, Then};
use crate::process::os_error::os_error;
use crate::process::signals::{Received, SignalSource};
use crate::process::version::REDIS_VERSION;

const MISCONF: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable \
to persist to disk. Commands that may modify the data set are disabled, because this instance is \
configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error \
option). Please check the Redis logs for details about the RDB error.";

/// A save that failed is tried again by its save point only after so long.
const RETRY_AFTER_US: u64 = 5_000_000;

/// Figures for INFO.
#[derive(Clone, Copy, Debug)]
pub struct RdbFigures {
    pub last_save_unix_s: i64,
    pub last_bgsave_ok: bool,
    /// Seconds that the last one took, -1 before the first.
    pub last_bgsave_s: i64,
    pub last_cow_bytes: u64,
    pub saves: u64,
    pub last_load_keys_loaded: u64,
    pub last_load_keys_expired: u64,
}

/// What is known of snapshots on the disk.
pub struct Rdb {
    figures: RdbFigures,
    last_try_us: u64,
    /// BGSAVE SCHEDULE: as soon as no other child runs.
    scheduled: bool,
    /// The data set holds what older versions of the format cannot say in full.
    needs_v11: bool,
    /// The RDB file is there because a replica needed it.
    made_for_replicas: bool,
    /// Snapshots that are being sent.
    sent_files: HashMap<SnapshotId, File>,
    /// Orders to the disk's thread that may take or give the RDB file's name, and are not done.
    unsettled: u32,
    worker: DiskWorker,
}

/// What is left to be done when a child's snapshot is there, or failed.
pub struct BgsaveEnded {
    /// So many changes are saved.
    pub saved_changes: Option<u64>,
    /// For replicas that wait for it.
    pub event: Option<SnapshotEvent>,
}

impl Rdb {
    pub fn new(now: Now, worker: DiskWorker) -> Rdb {
        Rdb {
            figures: RdbFigures {
                // As Redis: at start, the save points count from the start.
                last_save_unix_s: now.unix_s(),
                last_bgsave_ok: true,
                last_bgsave_s: -1,
                last_cow_bytes: 0,
                saves: 0,
                last_load_keys_loaded: 0,
                last_load_keys_expired: 0,
            },
            last_try_us: 0,
            scheduled: false,
            needs_v11: false,
            made_for_replicas: false,
            sent_files: HashMap::new(),
            unsettled: 0,
            worker,
        }
    }

    pub fn figures(&self) -> RdbFigures {
        self.figures
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.figures.saves = 0;
    }

    pub fn write_refusal(&self, config: &Config) -> Option<CommandError> {
        let persistence = &config.persistence;
        let refuse = persistence.stop_writes_on_bgsave_error
            && !persistence.save.is_empty()
            && !self.figures.last_bgsave_ok;
        refuse.then(|| CommandError::text(MISCONF.to_owned()))
    }

    // ---- the data set ----

    /// Another data set was loaded.
    pub fn data_set_replaced(&mut self, report: &LoadReport) {
        self.figures.last_load_keys_loaded = report.keys_loaded;
        self.figures.last_load_keys_expired = report.keys_expired;
        self.needs_v11 = report.needs_v11;
    }

    /// The version that a snapshot of the data set is written in, `rdb-version` being as it is.
    pub fn version(&self, rdb_version: u32) -> Version {
        version(rdb_version, self.needs_v11)
    }

    // ---- saving ----

    /// A save is to begin as soon as no other child runs.
    pub fn schedule(&mut self) {
        self.scheduled = true;
    }

    /// False if none was scheduled.
    pub fn unschedule(&mut self) -> bool {
        std::mem::take(&mut self.scheduled)
    }

    pub fn is_scheduled(&self) -> bool {
        self.scheduled
    }

    /// Whether a save point says so, or a save was scheduled.
    pub fn is_save_due(&self, now: Now, dirty: u64, config: &Config) -> bool {
        let may_try =
            self.figures.last_bgsave_ok || now.mono_us > self.last_try_us + RETRY_AFTER_US;
        let elapsed_s = now.unix_s() - self.figures.last_save_unix_s;
        let mut points = config.persistence.save.iter();
        let due = points.find(|point| dirty >= point.changes && elapsed_s > point.seconds as i64);
        if let Some(point) = due.filter(|_| may_try) {
            info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
            return true;
        }
        self.scheduled && may_try
    }

    /// The process itself has saved.
    pub fn saved(&mut self, unix_s: i64) {
        self.figures.last_save_unix_s = unix_s;
        self.figures.last_bgsave_ok = true;
        self.figures.saves += 1;
        self.made_for_replicas = false;
    }

    /// A child is about to be forked for it.
    pub fn bgsave_begins(&mut self, now_us: u64) {
        self.last_try_us = now_us;
        self.scheduled = false;
    }

    /// It could not be.
    pub fn bgsave_not_begun(&mut self) {
        self.figures.last_bgsave_ok = false;
    }

    /// The child is done.
    pub fn bgsave_ended(
        &mut self,
        job: RdbFileJob,
        exit: Exit,
        report: &Report,
        took_us: u64,
        now: Now,
    ) -> BgsaveEnded {
        if exit == Exit::Code(0) && report.done {
            // The child's lines in Redis, which it writes before it ends; ours does not log.
            info!("DB saved on disk");
            info!("Fork CoW for RDB: {} MB", report.cow_bytes >> 20);
        }
        let ok = judge("Background saving", "Background saving error", exit, report);
        self.figures.last_bgsave_s = (took_us / 1_000_000) as i64;
        self.figures.last_cow_bytes = report.cow_bytes;
        if ok {
            self.figures.last_save_unix_s = now.unix_s();
            self.figures.saves += 1;
        } else {
            warn!("{} is left as it was", job.target.display());
            self.remove_temp(job.temp);
        }
        // SIGUSR1 is how an operator ends a child without calling it a failure.
        if ok || exit != Exit::Signal(libc::SIGUSR1) {
            self.figures.last_bgsave_ok = ok;
        }
        let event = match job.snapshot {
            Some(id) => Some(self.begin_sending(id, &job.target, ok)),
            None => {
                // The operator's own.
                self.made_for_replicas &= !ok;
                None
            }
        };
        BgsaveEnded { saved_changes: ok.then_some(job.dirty_at_fork), event }
    }

    /// Removes what a child that failed or was ended has left.
    pub fn remove_temp(&self, temp: PathBuf) {
        self.worker.order_then(vec![DiskJob::Unlink(temp)], Then::TempRdbUnlinked);
    }

    // ---- for replicas ----

    fn begin_sending(&mut self, id: SnapshotId, path: &Path, ok: bool) -> SnapshotEvent {
        let file = if ok { File::open(path) } else { Err(io::Error::other("BGSAVE failed")) };
        let file = file.and_then(|file| Ok((file.metadata()?.len(), file)));
        self.made_for_replicas = file.is_ok();
        match file {
            Ok((size_bytes, file)) => {
                self.sent_files.insert(id, file);
                SnapshotEvent::Ready { id, size_bytes }
            }
            Err(error) => SnapshotEvent::Failed { id, why: os_error(&error) },
        }
    }

    /// A snapshot that is being sent.
    pub fn sent_file(&self, id: SnapshotId) -> Option<&File> {
        self.sent_files.get(&id)
    }

    /// Nobody needs it any more.
    pub fn release(&mut self, id: SnapshotId) {
        if let Some(file) = self.sent_files.remove(&id) {
            // Closing the last handle of a large, replaced file frees its blocks.
            self.worker.order(vec![DiskJob::Close(file)]);
        }
    }

    /// The RDB file is there only because replicas needed it, and they have it: said once.
    pub fn gives_up_sync_file(&mut self) -> bool {
        self.sent_files.is_empty() && std::mem::take(&mut self.made_for_replicas)
    }

    // ---- the file's name ----

    /// What is about to get or lose the name is not done.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled > 0
    }

    /// Orders what may take or give the name of the RDB file. No other may begin to until it is over.
    pub fn order(&mut self, jobs: Vec<DiskJob>, then: Then) {
        self.unsettled += 1;
        self.worker.order_then(jobs, then);
    }

    /// Such an order is done.
    pub fn settled(&mut self) {
        self.unsettled -= 1;
    }

    /// Nothing that was ordered comes later than what the caller does now with the name.
    pub fn wait_until_settled(&self) {
        if self.is_unsettled() {
            self.worker.wait();
        }
    }
}

/// What a snapshot's header says, gathered before the fork.
#[derive(Clone)]
pub struct SnapshotHeader {
    pub version: Version,
    pub compress: bool,
    pub checksum: bool,
    pub ctime_s: i64,
    pub used_memory_bytes: u64,
    pub repl: Option<(i64, String, i64)>,
    pub functions: Vec<Vec<u8>>,
    pub aof_base: bool,
    /// `aof-timestamp-enabled`.
    pub timestamp: bool,
    pub access: Option<Access>,
    pub key_delay_us: i32,
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
            files::put_in_place(&RealDisk, temp, target)?;
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
struct SlowSave {
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
pub struct OwnSave<'a> {
    delay: SlowSave,
    signals: Option<&'a SignalSource>,
    insisted: bool,
}

impl<'a> OwnSave<'a> {
    /// `signals` are for a save that a shutdown is waiting for; otherwise they wait for the loop.
    pub fn new(header: &SnapshotHeader, signals: Option<&'a SignalSource>) -> OwnSave<'a> {
        OwnSave { delay: header.slow_save(), signals, insisted: false }
    }

    /// The second SIGINT has come.
    pub fn is_insisted(&self) -> bool {
        self.insisted
    }
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

fn version(rdb_version: u32, needs_v11: bool) -> Version {
    let version = Version::readable_by(rdb_version).unwrap_or_default();
    // Who asks for 9 has servers that read nothing newer.
    if needs_v11 && version != Version::V9 { version.max(Version::V11) } else { version }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// After a snapshot of Redis 7.2 had been loaded, `rdb-version 80` was of no effect: what should have gone
    /// to Valkey was written in version 11, and with fields that expire in 12, which it refuses.
    #[test]
    fn what_was_loaded_makes_no_snapshot_older_than_was_asked_for() {
        let versions =
            [9, 10, 11, 12, 80].map(|number| [false, true].map(|v11| version(number, v11)));
        assert_eq!(
            versions,
            [
                [Version::V9, Version::V9],
                [Version::V10, Version::V11],
                [Version::V11, Version::V11],
                [Version::V12, Version::V12],
                [Version::Valkey80, Version::Valkey80],
            ]
        );
    }
}
