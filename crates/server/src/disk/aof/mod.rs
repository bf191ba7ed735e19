//! The append-only file while the server runs: where propagated bytes go, and when they are safe.
//!
//! States: off; on; closing, until what was handed over before it was turned off is written; and waiting for its first base (`appendonly` was turned on at run time, or
//! a replica has just taken over a new data set), in which writes go to an increment with a
//! temporary name until the rewrite that was started with it has made the base they build upon.
//!
//! With `everysec` and `no` the bytes go to the writer thread. With `always` the loop itself writes
//! and syncs, once for all commands of a turn, before any of their replies leaves.
//!
//! A rewrite begins with a new increment (`rewriting.rs`), and does not wait until the manifest names it: how
//! that is kept safe is in `naming.rs`.
//!
//! A failed fsync is not made good by the next one, as the kernel may have dropped the pages. From
//! then on nothing counts as fsynced, until a rewrite has replaced the file that it was of.

mod account;
mod files;
mod naming;
mod rewrites;
mod rewriting;
mod sync;
mod unnamed;
pub mod writer;

use std::fs::File;
use std::io;
use std::time::Duration;

use engine::CommandError;
use log::warn;
use node::{LogProgress, Need, Point, Watermark};

use crate::config::{AppendFsync, Config};
use crate::disk::aof::account::Account;
use crate::disk::aof::files::AofFiles;
use crate::disk::aof::rewrites::{RewriteFigures, Rewrites};
use crate::disk::aof::unnamed::Unnamed;
use crate::disk::aof::writer::{AofWriter, Place, WriterNews, WriterProgress, write_whole};
use crate::disk::worker::{DiskJob, DiskWorker, Then};
use crate::process::clock;
use crate::process::mailbox::Mailer;
use crate::process::os_error::os_error;

const SOLVED: &str = "AOF write error looks solved, The server can write again.";
const RETRY_INTERVAL_US: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AofState {
    #[default]
    Off,
    /// Until the first rewrite is done.
    WaitRewrite,
    On,
    /// Turned off: nothing more is handed over, and the replies that wait for the file still do.
    Closing,
}

/// Figures for INFO.
#[derive(Clone, Copy, Debug)]
pub struct AofFigures {
    pub rewrites: RewriteFigures,
    /// A rewrite is over only when the manifest has changed for the last time because of it.
    pub is_settling: bool,
    pub last_write_ok: bool,
    pub current_bytes: u64,
    pub base_bytes: u64,
    pub buffer_bytes: u64,
    pub has_pending_fsync: bool,
    pub delayed_fsync: u64,
    /// An fsync has failed, and no rewrite has replaced the file since.
    pub is_distrusted: bool,
}

/// What a turn's bytes took.
#[derive(Clone, Copy, Debug)]
pub struct AppendFigures {
    pub write_us: u64,
    /// With `always`.
    pub fsync_us: u64,
    /// The writer has the file in hands at the moment.
    pub is_syncing: bool,
}

pub struct Aof {
    state: AofState,
    files: AofFiles,
    rewrites: Rewrites,
    /// Turns that had to wait for room, as an fsync took long.
    delayed_fsync: u64,
    /// Bytes in all files, and in the base when it was made: their ratio triggers a rewrite.
    current_bytes: u64,
    base_bytes: u64,
    /// `aof-disable-auto-gc`: replaced files stay, and the manifest calls them history.
    keeps_history: bool,
    /// `no-appendfsync-on-rewrite`, and a child runs.
    skips_fsync: bool,
    /// How long this turn's write took, and its fsync with `always`.
    write_us: u64,
    fsync_us: u64,
    fsync: AppendFsync,
    /// Taken over once the disk takes writes again.
    next_fsync: Option<AppendFsync>,
    writer: AofWriter,
    worker: DiskWorker,
    /// `appendfsync always` has begun, and the writer is still busy with what it was given before: what
    /// came since waits in `unwritten`.
    taking_over: bool,
    /// The increment is not named by the manifest on the disk yet.
    unnamed: Option<Unnamed>,
    /// The base of a rewrite is being put in place.
    is_installing: bool,
    /// Changes of the manifest that were ordered, and are not done.
    manifest_orders: u32,
    /// What was written when the base, and the fsync of the increment, were ordered.
    written_at_install: u64,
    /// Tells the present file from those that were turned off or replaced before.
    generation: u32,
    /// The increment; the loop writes to it with `always`.
    incr: Option<File>,
    incr_bytes: u64,
    /// What could not be written yet, with `always`: in front of everything that follows.
    unwritten: Vec<u8>,
    error: Option<String>,
    /// A disk that refused is asked again only then.
    retry_at_us: u64,
    /// The second that was last noted in the file (`aof-timestamp-enabled`).
    annotated_unix_s: i64,
    /// DEBUG AOF-FLUSH-SLEEP: makes the disk look slow.
    flush_sleep_us: u64,
    /// Where the increment begins whose base the present rewrite makes.
    rewrite_from: Place,
    /// Why an fsync failed whose file is still a part of the data set.
    fsync_error: Option<String>,
    account: Account,
}

impl Aof {
    pub fn new(config: &Config, worker: DiskWorker, mailer: Mailer<WriterNews>) -> io::Result<Aof> {
        let persistence = &config.persistence;
        let fsync = persistence.appendfsync;
        Ok(Aof {
            state: AofState::Off,
            files: AofFiles::new(
                &persistence.dir,
                &persistence.appenddirname,
                &persistence.appendfilename,
            ),
            rewrites: Rewrites::new(),
            delayed_fsync: 0,
            current_bytes: 0,
            base_bytes: 0,
            keeps_history: persistence.aof_disable_auto_gc,
            skips_fsync: false,
            write_us: 0,
            fsync_us: 0,
            fsync,
            next_fsync: None,
            writer: AofWriter::start(
                fsync == AppendFsync::Everysec,
                worker.lane("aof_sync")?,
                mailer,
            )?,
            worker,
            taking_over: false,
            unnamed: None,
            is_installing: false,
            manifest_orders: 0,
            written_at_install: 0,
            generation: 0,
            incr: None,
            incr_bytes: 0,
            unwritten: Vec::new(),
            error: None,
            retry_at_us: 0,
            annotated_unix_s: 0,
            flush_sleep_us: 0,
            rewrite_from: Place::default(),
            fsync_error: None,
            account: Account::default(),
        })
    }

    pub fn is_on(&self) -> bool {
        matches!(self.state, AofState::On | AofState::WaitRewrite)
    }

    pub fn is_installing(&self) -> bool {
        self.is_installing
    }

    /// A rewrite is over only when the manifest has changed for the last time because of it.
    pub fn is_settling(&self) -> bool {
        self.is_installing || self.manifest_orders > 0
    }

    /// The manifest is about to change, or appended bytes wait for the writer: a rewrite cannot begin.
    pub fn is_busy(&self) -> bool {
        self.is_settling() || self.taking_over
    }

    pub fn is_off(&self) -> bool {
        self.state == AofState::Off
    }

    /// Turned on, and no file without the base that is being made.
    pub fn waits_for_base(&self) -> bool {
        self.state == AofState::WaitRewrite
    }

    /// Turned on, or for another data set: the file becomes valid with its first rewrite.
    pub fn begin_waiting(&mut self) {
        if self.state == AofState::Closing {
            self.forget();
        }
        self.state = AofState::WaitRewrite;
    }

    pub fn figures(&self) -> AofFigures {
        AofFigures {
            rewrites: self.rewrites.figures(),
            is_settling: self.is_settling(),
            last_write_ok: self.last_write_ok(),
            current_bytes: self.current_bytes,
            base_bytes: self.base_bytes,
            buffer_bytes: self.buffer_bytes(),
            has_pending_fsync: self.writer.progress().has_pending_fsync(),
            delayed_fsync: self.delayed_fsync,
            is_distrusted: self.is_distrusted(),
        }
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.rewrites.reset_stats();
    }

    /// Of the last `append`.
    pub fn append_figures(&self) -> AppendFigures {
        AppendFigures {
            write_us: self.write_us,
            fsync_us: self.fsync_us,
            is_syncing: self.writer.progress().is_syncing,
        }
    }

    /// DEBUG AOF-FLUSH-SLEEP.
    pub fn slow_down(&mut self, flush_sleep_us: u64) {
        self.flush_sleep_us = flush_sleep_us;
    }

    /// Goes on in a file of the test's.
    #[cfg(test)]
    pub fn begin_in(&mut self, file: File) {
        self.switch_to(file).expect("a file that was opened can be written to");
        self.state = AofState::On;
    }

    #[cfg(test)]
    pub fn worker(&self) -> &DiskWorker {
        &self.worker
    }

    /// MISCONF, while the disk refuses.
    pub fn write_refusal(&self) -> Option<CommandError> {
        let error = self.error().filter(|_| self.is_on())?;
        Some(CommandError::text(format!("MISCONF Errors writing to the AOF file: {error}")))
    }

    /// Why the disk is not to be trusted at the moment.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref().or(self.fsync_error.as_deref())
    }

    fn last_write_ok(&self) -> bool {
        self.error.is_none() && self.fsync_error.is_none()
    }

    fn is_distrusted(&self) -> bool {
        self.fsync_error.is_some()
    }

    /// Bytes follow that go to `file`. Says where it begins.
    fn switch_to(&mut self, file: File) -> io::Result<Place> {
        let for_writer = file.try_clone()?;
        self.incr_bytes = file.metadata()?.len();
        self.incr = Some(file);
        Ok(self.writer.switch(for_writer))
    }

    /// Takes `appendfsync` over. Nothing is in flight when the loop and the thread change places.
    pub fn set_fsync(&mut self, fsync: AppendFsync) {
        self.next_fsync = None;
        if fsync == self.fsync {
            return;
        }
        let was_always = self.fsync == AppendFsync::Always;
        let changes_places = fsync == AppendFsync::Always || was_always;
        // `always` promises what a file is not good for whose fsync has failed, and what the loop could not
        // write must not be overtaken.
        if changes_places && !self.last_write_ok() {
            self.next_fsync = Some(fsync);
            return;
        }
        if self.taking_over {
            // The writer has the file still, and gets what has come meanwhile.
            self.taking_over = false;
            let bytes = std::mem::take(&mut self.unwritten);
            self.hand_over(bytes, self.account.appended());
        } else if was_always {
            if !self.drain() {
                self.next_fsync = Some(fsync);
                return;
            }
            self.give_file_to_writer();
        } else if changes_places && self.incr.is_some() {
            self.taking_over = true;
            self.writer.ask_drain();
        }
        self.writer.set_everysec(fsync == AppendFsync::Everysec && !self.skips_fsync);
        self.fsync = fsync;
    }

    /// The writer learns how long the file is by now.
    fn give_file_to_writer(&mut self) {
        if let Some(Ok(file)) = self.incr.as_ref().map(File::try_clone) {
            self.writer.switch(file);
        }
    }

    /// The writer has done all that it was given before `always`: the loop goes on behind it.
    fn take_file_over(&mut self) {
        self.taking_over = false;
        if let Some(incr) = &self.incr {
            self.incr_bytes = incr.metadata().map_or(self.incr_bytes, |m| m.len());
        }
        self.retry_at_us = 0;
    }

    /// The writer is done with what it had, or cannot go on.
    fn drained(&mut self) {
        let progress = self.writer.progress();
        if self.state == AofState::Closing {
            // A disk that refuses does not keep the file from being turned off.
            if self.unnamed.is_none() {
                self.forget();
            }
        } else if self.taking_over && progress.queued == progress.written {
            self.take_file_over();
        }
    }

    /// Leaves fsync to the kernel while a child writes, or no longer.
    pub fn skip_fsync(&mut self, skip: bool) {
        if skip != self.skips_fsync {
            self.skips_fsync = skip;
            self.writer.set_everysec(self.fsync == AppendFsync::Everysec && !skip);
            if !skip && self.fsync == AppendFsync::Always {
                // What was written meanwhile.
                if let Some(Err(error)) =
                    self.incr.as_ref().map(|incr| self.worker.disk().sync_data(incr))
                {
                    self.fsync_failed(&error);
                }
            }
        }
    }

    /// Puts the time in front of a turn's bytes, where it is another second than the last one noted.
    pub fn annotate(&mut self, bytes: Vec<u8>, unix_s: i64) -> Vec<u8> {
        if bytes.is_empty() || unix_s <= self.annotated_unix_s {
            return bytes;
        }
        self.annotated_unix_s = unix_s;
        let mut annotated = persist::aof::timestamp_annotation(unix_s);
        annotated.extend_from_slice(&bytes);
        annotated
    }

    /// Hands over what left by the door in this turn, up to `point`. How far it has got is said by
    /// `progress`. Gives an empty buffer back.
    pub fn append(&mut self, mut bytes: Vec<u8>, point: Point, now_us: u64) -> Vec<u8> {
        self.account.arrived(point);
        if bytes.is_empty() && self.unwritten.is_empty() {
            return bytes;
        }
        if self.incr.is_none() {
            // Turned on, and the first rewrite is yet to start: it will see what these bytes did.
            bytes.clear();
            return bytes;
        }
        if self.flush_sleep_us > 0 {
            std::thread::sleep(Duration::from_micros(self.flush_sleep_us));
        }
        self.current_bytes += bytes.len() as u64;
        if let Some(unnamed) = &mut self.unnamed {
            unnamed.bytes.extend_from_slice(&bytes);
        }
        (self.write_us, self.fsync_us) = (0, 0);
        if self.fsync == AppendFsync::Always {
            self.unwritten.extend_from_slice(&bytes);
            if self.taking_over {
                bytes.clear();
                return bytes;
            }
            let written = now_us >= self.retry_at_us && self.append_now();
            bytes.clear();
            if !written && now_us >= self.retry_at_us {
                self.retry_at_us = now_us + RETRY_INTERVAL_US;
            }
            return bytes;
        }
        self.hand_over(bytes, point)
    }

    fn hand_over(&mut self, bytes: Vec<u8>, point: Point) -> Vec<u8> {
        let position = self.account.handed_over(bytes.len(), point);
        let appended = self.writer.append(bytes);
        self.write_us = appended.write_us;
        if appended.waited_us > 0 {
            self.delayed_fsync += 1;
        }
        debug_assert_eq!(appended.position, position);
        appended.spare
    }

    /// What replies to writes wait for.
    pub fn replies_need(&self) -> Need {
        match self.fsync {
            _ if !self.is_on() => Need::NOTHING,
            AppendFsync::Always if !self.skips_fsync => Need::one(Watermark::Fsynced),
            _ => Need::one(Watermark::Written),
        }
    }

    /// How far the file is, in the door's bytes; `None` while it is off.
    pub fn progress(&mut self) -> Option<LogProgress> {
        if self.state == AofState::Off {
            return None;
        }
        self.update_account();
        let fsynced = self.account.fsynced().log;
        Some(LogProgress { written: self.account.written_log(), fsynced })
    }

    /// With `always`: what the present file has not taken goes to `file`. False if that does not either.
    fn rescue(&mut self, file: File) -> io::Result<bool> {
        self.switch_to(file)?;
        Ok(self.append_now())
    }

    fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    fn append_now(&mut self) -> bool {
        let from_us = clock::mono_us();
        let Some(incr) = &self.incr else { return false };
        let disk = self.worker.disk();
        let written = write_whole(disk, incr, &self.unwritten, self.incr_bytes);
        let written_us = clock::mono_us();
        let result = match written {
            Ok(()) if self.skips_fsync => Ok(()),
            Ok(()) => disk.sync_data(incr).map_err(|error| ("fsync", 0, error)),
            Err((kept, error)) => Err(("write", kept, error)),
        };
        self.write_us = written_us - from_us;
        self.fsync_us = clock::mono_us() - written_us;
        match result {
            Ok(()) => {
                self.incr_bytes += self.unwritten.len() as u64;
                self.unwritten.clear();
                self.recovered();
                let took_us = clock::mono_us() - from_us;
                if took_us > 2_000_000 {
                    warn!("The AOF fsync took {} ms: the disk is busy", took_us / 1000);
                }
                true
            }
            Err((what, kept, error)) => {
                if what == "fsync" {
                    // The bytes go again, behind the last ones that are known to be safe. Where the file
                    // cannot be cut back, they stand, and the rewrite that follows has them.
                    if incr.set_len(self.incr_bytes).is_err() {
                        self.incr_bytes += self.unwritten.len() as u64;
                        self.unwritten.clear();
                    }
                    self.fsync_failed(&error);
                } else {
                    self.unwritten.drain(..kept);
                    self.incr_bytes += kept as u64;
                    self.write_failed(&error);
                }
                false
            }
        }
    }

    pub fn hear_writer(&mut self, news: WriterNews) {
        match news {
            WriterNews::Failed(error) => self.write_failed(&error),
            WriterNews::Recovered => self.recovered(),
            WriterNews::SyncFailed(error) if self.writer.progress().unsafe_file.is_some() => {
                self.note_fsync_failure(&error);
            }
            // Of a file that was replaced meanwhile.
            WriterNews::SyncFailed(_) => {}
            // As in `recovered`.
            WriterNews::SyncRecovered => self.rewrites.end_pause(),
            WriterNews::Drained => self.drained(),
            // Being awake is all that was needed: the turn's end looks how far the file is.
            WriterNews::Written | WriterNews::Synced => {}
        }
    }

    /// The increment that is written to, for messages.
    pub fn file_name(&self) -> String {
        let path = match (self.state, self.files.manifest.last_incr()) {
            (AofState::WaitRewrite, _) | (_, None) => self.files.temp_incr_path(),
            (_, Some(incr)) => self.files.path(&incr.name),
        };
        std::path::absolute(&path).unwrap_or(path).display().to_string()
    }

    fn write_failed(&mut self, error: &io::Error) {
        if self.error.is_none() {
            warn!("Error writing to the AOF file ({}): {}", self.file_name(), os_error(error));
        }
        self.error = Some(os_error(error));
    }

    fn fsync_failed(&mut self, error: &io::Error) {
        self.writer.distrust();
        self.note_fsync_failure(error);
    }

    fn note_fsync_failure(&mut self, error: &io::Error) {
        if self.fsync_error.is_none() {
            warn!("Fail to fsync the AOF file ({}): {}", self.file_name(), os_error(error));
            warn!(
                "What was written to the AOF file may be lost: writes are refused until a rewrite \
                 has replaced it, which is tried by itself; BGREWRITEAOF begins it at once"
            );
        }
        self.fsync_error = Some(os_error(error));
    }

    fn recovered(&mut self) {
        if self.fsync_error.is_some() {
            // The rewrite that is needed need not be put off any longer.
            self.rewrites.end_pause();
        } else if self.error.is_some() {
            warn!("{SOLVED}");
        }
        self.error = None;
        if self.taking_over {
            self.writer.ask_drain();
        }
        self.take_over_fsync();
    }

    /// Does what `set_fsync` had to put off.
    fn take_over_fsync(&mut self) {
        if self.last_write_ok()
            && let Some(fsync) = self.next_fsync.take()
        {
            self.set_fsync(fsync);
        }
    }

    /// Offset of the replication stream up to which the file is on the disk: `None` when it was turned
    /// off, whatever is still on its way, and 0 until there is a whole file.
    pub fn fsynced_stream_offset(&self) -> Option<u64> {
        match self.state {
            AofState::Off | AofState::Closing => None,
            AofState::WaitRewrite => Some(0),
            AofState::On => Some(self.account.fsynced().offset),
        }
    }

    /// Notes how far the file is.
    fn update_account(&mut self) {
        if self.fsync == AppendFsync::Always && !self.taking_over || self.incr.is_none() {
            if self.unwritten.is_empty() {
                self.account.all_is_written();
                if !self.skips_fsync && !self.is_distrusted() {
                    self.account.all_is_safe();
                }
            }
            return;
        }
        let WriterProgress { written, synced, unsafe_file, .. } = self.writer.progress();
        let all_was_handed_over = self.unwritten.is_empty();
        self.account.follow(written, synced, unsafe_file.is_none(), all_was_handed_over);
    }

    /// Everything is on the disk when this returns true. The loop waits for it.
    pub fn drain(&mut self) -> bool {
        if self.fsync == AppendFsync::Always {
            if self.taking_over {
                if !self.writer.drain() {
                    return false;
                }
                self.take_file_over();
            }
            return (self.unwritten.is_empty() || self.append_now()) && !self.is_distrusted();
        }
        self.writer.drain()
    }

    /// Turns the file off as soon as it has what was handed over, which the loop does not wait for.
    pub fn close(&mut self) {
        if self.fsync == AppendFsync::Always && !self.taking_over {
            // What the disk refuses even now was not answered either.
            self.drain();
            return self.forget();
        }
        if self.taking_over {
            self.taking_over = false;
            let bytes = std::mem::take(&mut self.unwritten);
            self.hand_over(bytes, self.account.appended());
            self.give_file_to_writer();
        }
        self.state = AofState::Closing;
        self.rewrites.unschedule();
        self.writer.ask_drain();
    }

    /// Turns the file off at once: what was handed over and is not written is of no use to anybody.
    pub fn forget(&mut self) {
        self.state = AofState::Off;
        self.forget_incr();
        self.account.forget_stream();
        self.rewrites.unschedule();
    }

    /// Nothing of what was handed over is a part of the data set any more.
    fn forget_incr(&mut self) {
        self.generation += 1;
        if self.incr.take().is_some() {
            // Where it has its place, or gets it at this moment, there is none under that name.
            self.worker.order(vec![DiskJob::Unlink(self.files.temp_incr_path())]);
        }
        self.unnamed = None;
        self.taking_over = false;
        self.unwritten.clear();
        self.account.forget();
        self.writer.forget_all();
        (self.error, self.fsync_error) = (None, None);
        self.take_over_fsync();
    }

    pub fn buffer_bytes(&self) -> u64 {
        let progress = self.writer.progress();
        let copied = self.unnamed.as_ref().map_or(0, |unnamed| unnamed.bytes.len());
        progress.queued - progress.written + (self.unwritten.len() + copied) as u64
    }

    /// `aof-disable-auto-gc` was changed.
    pub fn keep_history(&mut self, keeps_history: bool) {
        self.keeps_history = keeps_history;
        self.remove_history();
    }

    /// Removes replaced files away from the loop: unlinking a large file takes its time.
    fn remove_history(&mut self) {
        // A manifest on its way would bring them back, or could be taken back itself.
        if self.keeps_history || self.is_settling() {
            return;
        }
        let Some((store, paths)) = self.files.forget_history() else { return };
        self.manifest_orders += 1;
        self.worker.order_then(vec![store], Then::AofHistoryForgotten);
        for path in paths {
            log::info!("Removing the history file {} in the background", path.display());
            self.worker.order(vec![DiskJob::Unlink(path)]);
        }
    }

    pub fn history_forgotten(&mut self, result: io::Result<()>) {
        self.manifest_orders -= 1;
        if let Err(error) = result {
            // The files go all the same: the manifest that still names them as history is valid.
            warn!("Error storing the AOF manifest: {}", os_error(&error));
        }
    }
}

#[cfg(test)]
mod tests;
