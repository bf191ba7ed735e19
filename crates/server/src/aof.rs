//! The append-only file while the server runs: where propagated bytes go, and when they are safe.
//!
//! Three states: off; on; and waiting for its first base (`appendonly` was turned on at run time, or
//! a replica has just taken over a new data set), in which writes go to an increment with a
//! temporary name until the rewrite that was started with it has made the base they build upon.
//!
//! With `everysec` and `no` the bytes go to the writer thread. With `always` the loop itself writes
//! and syncs, once for all commands of a turn, before any of their replies leaves.
//!
//! A failed fsync is not made good by the next one, as the kernel may have dropped the pages. From
//! then on nothing counts as fsynced, until a rewrite has replaced the file that it was of.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::time::Duration;

use engine::CommandError;
use log::warn;
use node::{LogProgress, Need, Point, Watermark};

use crate::aof_files::AofFiles;
use crate::aof_writer::{AofWriter, Place, WriterNews, write_whole};
use crate::clock;
use crate::config::os_error;
use crate::config::{AppendFsync, Config};
use crate::disk_worker::{DiskJob, DiskWorker};
use crate::mailbox::Mailer;

const SOLVED: &str = "AOF write error looks solved, The server can write again.";
const RETRY_INTERVAL_US: u64 = 1_000_000;
/// With `appendfsync no` nothing may become safe for a long time: an even number, so that the newest mark
/// is among those that stay.
const MARKS_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AofState {
    #[default]
    Off,
    /// Until the first rewrite is done.
    WaitRewrite,
    On,
}

/// Figures for INFO.
#[derive(Clone, Copy, Debug)]
pub struct AofStats {
    pub rewrites: u64,
    pub last_rewrite_ok: bool,
    pub last_rewrite_s: i64,
    pub consecutive_failures: u32,
    pub last_cow_bytes: u64,
    pub delayed_fsync: u64,
}

pub struct Aof {
    pub state: AofState,
    pub files: AofFiles,
    pub stats: AofStats,
    /// Bytes in all files, and in the base when it was made: their ratio triggers a rewrite.
    pub current_bytes: u64,
    pub base_bytes: u64,
    pub rewrite_scheduled: bool,
    /// After repeated failures automatic rewrites pause until then.
    pub no_auto_rewrite_before_us: u64,
    /// The pause that comes next is twice as long.
    pub rewrite_pause_minutes: u64,
    /// `aof-disable-auto-gc`: replaced files stay, and the manifest calls them history.
    pub keeps_history: bool,
    /// `no-appendfsync-on-rewrite`, and a child runs.
    pub skips_fsync: bool,
    /// How long this turn's write took, and its fsync with `always`.
    pub write_us: u64,
    pub fsync_us: u64,
    fsync: AppendFsync,
    /// Taken over once the disk takes writes again.
    next_fsync: Option<AppendFsync>,
    writer: AofWriter,
    worker: DiskWorker,
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
    pub flush_sleep_us: u64,
    /// Where the stream stood after so many bytes were handed over, while they are not safe.
    marks: Vec<(u64, Point)>,
    /// The same for the door's bytes, while the kernel does not have them.
    unwritten_marks: VecDeque<(u64, u64)>,
    handed_over: u64,
    /// Where the increment begins whose base the present rewrite makes.
    rewrite_from: Place,
    /// Why an fsync failed whose file is still a part of the data set.
    fsync_error: Option<String>,
    /// Where the stream stood when bytes, or none, were last handed over.
    appended: Point,
    written_log: u64,
    fsynced: Point,
}

impl Aof {
    pub fn new(config: &Config, worker: DiskWorker, mailer: Mailer) -> io::Result<Aof> {
        let persistence = &config.persistence;
        let fsync = persistence.appendfsync;
        Ok(Aof {
            state: AofState::Off,
            files: AofFiles::new(
                &persistence.dir,
                &persistence.appenddirname,
                &persistence.appendfilename,
            ),
            stats: AofStats {
                rewrites: 0,
                last_rewrite_ok: true,
                last_rewrite_s: -1,
                consecutive_failures: 0,
                last_cow_bytes: 0,
                delayed_fsync: 0,
            },
            current_bytes: 0,
            base_bytes: 0,
            rewrite_scheduled: false,
            no_auto_rewrite_before_us: 0,
            rewrite_pause_minutes: 0,
            keeps_history: persistence.aof_disable_auto_gc,
            skips_fsync: false,
            write_us: 0,
            fsync_us: 0,
            fsync,
            next_fsync: None,
            writer: AofWriter::start(fsync == AppendFsync::Everysec, worker.clone(), mailer)?,
            worker,
            incr: None,
            incr_bytes: 0,
            unwritten: Vec::new(),
            error: None,
            retry_at_us: 0,
            annotated_unix_s: 0,
            flush_sleep_us: 0,
            marks: Vec::new(),
            unwritten_marks: VecDeque::new(),
            handed_over: 0,
            rewrite_from: Place::default(),
            fsync_error: None,
            appended: Point::default(),
            written_log: 0,
            fsynced: Point::default(),
        })
    }

    pub fn is_on(&self) -> bool {
        self.state != AofState::Off
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

    pub fn last_write_ok(&self) -> bool {
        self.error.is_none() && self.fsync_error.is_none()
    }

    /// An fsync has failed, and no rewrite has replaced the file since.
    pub fn is_distrusted(&self) -> bool {
        self.fsync_error.is_some()
    }

    /// Bytes follow that go to `file`. Says where it begins.
    pub fn switch_to(&mut self, file: File) -> io::Result<Place> {
        let for_writer = file.try_clone()?;
        self.incr_bytes = file.metadata()?.len();
        self.incr = Some(file);
        Ok(self.writer.switch(for_writer))
    }

    /// Like `switch_to`, for the increment that goes on behind the base of a rewrite that begins.
    pub fn begin_rewrite(&mut self, file: File) -> io::Result<()> {
        self.rewrite_from = self.switch_to(file)?;
        Ok(())
    }

    /// The rewrite's base is in place: what was failed at before it does not matter any more.
    pub fn rewritten(&mut self) {
        self.writer.forget_before(self.rewrite_from);
        self.trust_again();
    }

    fn trust_again(&mut self) {
        if self.writer.progress().unsafe_file.is_none()
            && self.fsync_error.take().is_some()
            && self.error.is_none()
        {
            warn!("{SOLVED}");
        }
        self.take_over_fsync();
    }

    /// Takes `appendfsync` over. Nothing is in flight when the loop and the thread change places.
    pub fn set_fsync(&mut self, fsync: AppendFsync) {
        self.next_fsync = None;
        if fsync == self.fsync {
            return;
        }
        let changes_places = fsync == AppendFsync::Always || self.fsync == AppendFsync::Always;
        // What one of them could not write yet must not be overtaken by the other, and `always` promises
        // what a file is not good for whose fsync has failed.
        if changes_places && (!self.last_write_ok() || !self.drain()) {
            self.next_fsync = Some(fsync);
            return;
        }
        self.writer.set_everysec(fsync == AppendFsync::Everysec && !self.skips_fsync);
        if changes_places && let Some(incr) = &self.incr {
            self.incr_bytes = incr.metadata().map_or(self.incr_bytes, |m| m.len());
            if let Ok(file) = incr.try_clone() {
                self.writer.switch(file);
            }
        }
        self.fsync = fsync;
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
        self.appended = point;
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
        (self.write_us, self.fsync_us) = (0, 0);
        if self.fsync == AppendFsync::Always {
            self.unwritten.extend_from_slice(&bytes);
            let written = now_us >= self.retry_at_us && self.append_now();
            bytes.clear();
            if !written && now_us >= self.retry_at_us {
                self.retry_at_us = now_us + RETRY_INTERVAL_US;
            }
            return bytes;
        }
        self.handed_over += bytes.len() as u64;
        self.mark(point);
        let appended = self.writer.append(bytes);
        self.write_us = appended.write_us;
        if appended.waited_us > 0 {
            self.stats.delayed_fsync += 1;
        }
        debug_assert_eq!(appended.position, self.handed_over);
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
        if !self.is_on() {
            return None;
        }
        self.update_fsynced();
        Some(LogProgress { written: self.written_log, fsynced: self.fsynced.log })
    }

    /// With `always`: what the present file has not taken goes to `file`. False if that does not either.
    pub fn rescue(&mut self, file: File) -> io::Result<bool> {
        self.switch_to(file)?;
        Ok(self.append_now())
    }

    pub fn has_unwritten(&self) -> bool {
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
            WriterNews::SyncRecovered => self.no_auto_rewrite_before_us = 1,
            // Being awake is all that was needed: the turn's end looks how far the file is.
            WriterNews::Written | WriterNews::Synced => {}
        }
    }

    fn write_failed(&mut self, error: &io::Error) {
        if self.error.is_none() {
            warn!("Error writing to the AOF file: {}", os_error(error));
        }
        self.error = Some(os_error(error));
    }

    fn fsync_failed(&mut self, error: &io::Error) {
        self.writer.distrust();
        self.note_fsync_failure(error);
    }

    fn note_fsync_failure(&mut self, error: &io::Error) {
        if self.fsync_error.is_none() {
            warn!("Fail to fsync the AOF file: {}", os_error(error));
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
            self.no_auto_rewrite_before_us = 1;
        } else if self.error.is_some() {
            warn!("{SOLVED}");
        }
        self.error = None;
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

    /// Offset of the replication stream up to which the file is on the disk: `None` when off, and 0
    /// until there is a whole file.
    pub fn fsynced_stream_offset(&self) -> Option<u64> {
        match self.state {
            AofState::Off => None,
            AofState::WaitRewrite => Some(0),
            AofState::On => Some(self.fsynced.offset),
        }
    }

    /// Notes how far the file is. What is not in the file, such as a heartbeat of the master, is as safe
    /// as what stands before it.
    fn update_fsynced(&mut self) {
        if self.fsync == AppendFsync::Always || self.incr.is_none() {
            if self.unwritten.is_empty() {
                self.written_log = self.appended.log;
                if !self.skips_fsync && !self.is_distrusted() {
                    self.all_is_safe();
                }
            }
            return;
        }
        let progress = self.writer.progress();
        while let Some(&(bytes, log)) = self.unwritten_marks.front()
            && bytes <= progress.written
        {
            self.unwritten_marks.pop_front();
            self.written_log = log;
        }
        if self.unwritten_marks.is_empty() {
            self.written_log = self.appended.log;
        }
        let safe = self.marks.iter().take_while(|(bytes, _)| *bytes <= progress.synced).count();
        if let Some((_, point)) = self.marks.drain(..safe).next_back() {
            self.fsynced = point;
        }
        if self.marks.is_empty() && progress.unsafe_file.is_none() {
            self.fsynced = self.appended;
        }
    }

    /// Everything that was handed over is on the disk.
    pub fn all_is_safe(&mut self) {
        self.marks.clear();
        self.unwritten_marks.clear();
        self.written_log = self.appended.log;
        self.fsynced = self.appended;
    }

    fn mark(&mut self, point: Point) {
        self.unwritten_marks.push_back((self.handed_over, point.log));
        if self.marks.len() >= MARKS_MAX {
            // Every second one tells enough, and the last one must stay.
            let mut keep = true;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.push((self.handed_over, point));
    }

    /// Everything is on the disk when this returns true. The loop waits for it.
    pub fn drain(&mut self) -> bool {
        if self.fsync == AppendFsync::Always {
            return (self.unwritten.is_empty() || self.append_now()) && !self.is_distrusted();
        }
        self.writer.drain()
    }

    /// Stops writing, for good or until a new base is begun.
    pub fn stop(&mut self) {
        self.drain();
        self.state = AofState::Off;
        self.forget_incr();
        self.appended.offset = 0;
        self.fsynced.offset = 0;
        self.rewrite_scheduled = false;
    }

    /// Nothing of what was handed over is a part of the data set any more.
    fn forget_incr(&mut self) {
        self.incr = None;
        self.unwritten.clear();
        self.marks.clear();
        self.writer.forget_all();
        (self.error, self.fsync_error) = (None, None);
        self.take_over_fsync();
    }

    /// The base that the temporary increment was to build upon will not come: the next one sees what
    /// the increment has.
    pub fn drop_temp_incr(&mut self) {
        if self.incr.is_some() {
            self.forget_incr();
            let path = self.files.temp_incr_path();
            let name = path.file_name().unwrap_or_default().display();
            log::info!("Removing the temp incr aof file {name} in the background");
            self.worker.order(vec![DiskJob::Unlink(path.clone())]);
        }
    }

    /// A rewrite was ended on purpose: that is no failure of it.
    pub fn rewrite_killed(&mut self) {
        self.rewrite_scheduled |= self.state == AofState::WaitRewrite;
    }

    pub fn buffer_bytes(&self) -> u64 {
        let progress = self.writer.progress();
        progress.queued - progress.written + self.unwritten.len() as u64
    }

    /// The writer has the file in hands at the moment.
    pub fn is_syncing(&self) -> bool {
        self.writer.progress().is_syncing
    }

    pub fn has_pending_fsync(&self) -> bool {
        self.writer.progress().has_pending_fsync()
    }

    /// Removes replaced files away from the loop: unlinking a large file takes its time.
    pub fn remove_history(&mut self) {
        if self.keeps_history {
            return;
        }
        for path in self.files.forget_history() {
            log::info!("Removing the history file {} in the background", path.display());
            self.worker.order(vec![DiskJob::Unlink(path)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use mio::Poll;

    use std::sync::Arc;

    use super::*;
    use crate::disk::RealDisk;
    use crate::mailbox::Mailbox;

    fn aof(fsync: AppendFsync) -> (Aof, Mailbox, Poll) {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let mut config = Config::default();
        config.persistence.appendfsync = fsync;
        let worker = DiskWorker::start(Arc::new(RealDisk), mailbox.mailer()).unwrap();
        let mut aof = Aof::new(&config, worker, mailbox.mailer()).unwrap();
        aof.state = AofState::On;
        (aof, mailbox, poll)
    }

    fn appendable(path: &std::path::Path) -> File {
        OpenOptions::new().append(true).create(true).open(path).unwrap()
    }

    fn at(n: u64) -> Point {
        Point { log: n, offset: n }
    }

    /// Whether the replies to all that was appended may leave.
    fn is_settled(aof: &mut Aof) -> bool {
        let needs_disk = aof.replies_need() == Need::one(Watermark::Fsynced);
        let progress = aof.progress().expect("it is on");
        let mark = if needs_disk { progress.fsynced } else { progress.written };
        mark >= aof.appended.log
    }

    #[test]
    fn with_always_a_refusing_disk_holds_replies_until_it_takes_the_bytes() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Always);
        aof.switch_to(OpenOptions::new().append(true).open("/dev/full").unwrap()).unwrap();
        aof.append(b"one".to_vec(), at(3), 0);
        assert!(!is_settled(&mut aof));
        assert!(aof.write_refusal().is_some());
        aof.append(b"two".to_vec(), at(6), 1);
        assert!(!is_settled(&mut aof), "not asked again within a second");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incr");
        aof.switch_to(appendable(&path)).unwrap();
        aof.append(Vec::new(), at(6), 2 * RETRY_INTERVAL_US);
        assert!(is_settled(&mut aof));
        assert!(aof.write_refusal().is_none());
        assert_eq!(std::fs::read(path).unwrap(), b"onetwo");
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(6));
    }

    #[test]
    fn changing_to_always_and_back_keeps_the_order_of_the_bytes() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Everysec);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incr");
        aof.switch_to(appendable(&path)).unwrap();
        aof.append(b"a".to_vec(), at(1), 0);
        aof.set_fsync(AppendFsync::Always);
        aof.append(b"b".to_vec(), at(2), 0);
        assert!(is_settled(&mut aof));
        aof.set_fsync(AppendFsync::No);
        aof.append(b"c".to_vec(), at(3), 0);
        assert!(aof.drain());
        assert_eq!(std::fs::read(path).unwrap(), b"abc");
    }

    #[test]
    fn a_change_from_always_waits_for_what_the_disk_has_refused() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Always);
        aof.switch_to(OpenOptions::new().append(true).open("/dev/full").unwrap()).unwrap();
        aof.append(b"one".to_vec(), at(3), 0);
        assert!(!is_settled(&mut aof));
        aof.set_fsync(AppendFsync::No);
        assert!(!is_settled(&mut aof), "its reply is still kept back");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incr");
        aof.switch_to(appendable(&path)).unwrap();
        aof.append(b"two".to_vec(), at(6), 2 * RETRY_INTERVAL_US);
        assert!(is_settled(&mut aof));
        assert_eq!(aof.fsync, AppendFsync::No);
        aof.append(b"three".to_vec(), at(11), 0);
        assert!(aof.drain());
        assert_eq!(std::fs::read(path).unwrap(), b"onetwothree");
    }

    #[test]
    fn the_fsynced_offset_follows_the_writer() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Everysec);
        let dir = tempfile::tempdir().unwrap();
        aof.switch_to(appendable(&dir.path().join("incr"))).unwrap();
        aof.append(b"abc".to_vec(), at(103), 0);
        assert!(aof.drain());
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(103));
        // A heartbeat moves the stream and not the file.
        aof.append(Vec::new(), at(117), 0);
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(117));
        aof.stop();
        assert_eq!(aof.fsynced_stream_offset(), None);
    }

    /// After a failed fsync the next one's success was taken for both, and a change to `always` did not
    /// mind.
    #[test]
    fn after_a_failed_fsync_nothing_is_safe_until_a_rewrite_has_replaced_the_file() {
        for fsync in [AppendFsync::Everysec, AppendFsync::Always] {
            let (mut aof, _mailbox, _poll) = aof(fsync);
            let dir = tempfile::tempdir().unwrap();
            aof.switch_to(appendable(&dir.path().join("one"))).unwrap();
            aof.append(b"abc".to_vec(), at(103), 0);
            assert!(aof.drain());
            aof.progress();
            aof.fsync_failed(&io::Error::from_raw_os_error(libc::EIO));
            aof.append(b"def".to_vec(), at(106), 0);
            assert!(!aof.drain(), "{fsync:?}");
            aof.progress();
            assert_eq!(aof.fsynced_stream_offset(), Some(103));
            assert!(aof.write_refusal().is_some() && !aof.last_write_ok());
            let other = match fsync {
                AppendFsync::Always => AppendFsync::No,
                _ => AppendFsync::Always,
            };
            aof.set_fsync(other);
            assert_eq!(aof.fsync, fsync, "what is promised does not change in the midst of it");
            aof.begin_rewrite(appendable(&dir.path().join("two"))).unwrap();
            aof.append(b"ghi".to_vec(), at(109), 0);
            assert!(!aof.drain());
            aof.progress();
            assert_eq!(aof.fsynced_stream_offset(), Some(103));
            assert_eq!(is_settled(&mut aof), fsync != AppendFsync::Always);
            aof.rewritten();
            assert_eq!(aof.fsync, other);
            aof.progress();
            assert_eq!(aof.fsynced_stream_offset(), Some(109));
            assert!(aof.write_refusal().is_none());
            assert!(is_settled(&mut aof));
        }
    }

    #[test]
    fn unsafe_bytes_hold_the_offset_back_however_many_there_are() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::No);
        let dir = tempfile::tempdir().unwrap();
        aof.switch_to(appendable(&dir.path().join("incr"))).unwrap();
        for i in 1..=10_000 {
            aof.append(b"x".to_vec(), at(100 + i), 0);
        }
        assert!(aof.marks.len() <= MARKS_MAX);
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(0));
        assert!(aof.drain());
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(10_100));
    }
}
