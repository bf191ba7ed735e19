//! What is known of snapshots on the disk, and how one is written: its header, its file, and what is looked at
//! after every key. Who needs one, and when, is decided above.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use engine::{CommandError, Now};
use persist::aof::RewriteOptions;
use persist::rdb::{Access, ReplInfo, SaveHook, SaveOptions, SaveReport, Version, save};
use store::keyspace::Keyspace;

use crate::config::Config;
use crate::disk::child::Reporter;
use crate::disk::files::{self, RealDisk, SteadyWriter};
use crate::disk::key_delay::KeyDelay;
use crate::process::signals::{Received, SignalSource};
use crate::process::version::REDIS_VERSION;

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
    /// The data set holds what older versions of the format cannot say in full.
    pub needs_v11: bool,
    /// The RDB file is there because a replica needed it.
    pub made_for_replicas: bool,
    /// Orders to the disk's thread that may take or give the RDB file's name, and are not done.
    pub unsettled: u32,
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

    pub fn slow_save(&self) -> SlowSave {
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
pub struct OwnSave<'a> {
    pub delay: SlowSave,
    /// `None` where no shutdown is under way: signals wait for the loop then.
    pub signals: Option<&'a SignalSource>,
    pub insisted: bool,
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
