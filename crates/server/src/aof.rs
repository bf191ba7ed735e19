//! The append-only file while the server runs: where propagated bytes go, and when they are safe.
//!
//! Three states: off; on; and waiting for its first base (`appendonly` was turned on at run time, or
//! a replica has just taken over a new data set), in which writes go to an increment with a
//! temporary name until the rewrite that was started with it has made the base they build upon.
//!
//! With `everysec` and `no` the bytes go to the writer thread. With `always` the loop itself writes
//! and syncs, once for all commands of a turn, before any of their replies leaves.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use engine::CommandError;
use log::warn;

use crate::aof_files::AofFiles;
use crate::aof_writer::{AofWriter, WriterNews, sync_data, write_whole};
use crate::clock;
use crate::config::os_error;
use crate::config::{AppendFsync, Config};
use crate::mailbox::Mailer;

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
    /// Nothing is lost by an fsync that failed only if the data is written again.
    pub rewrite_after_recovery: bool,
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
    /// The increment; the loop writes to it with `always`.
    incr: Option<File>,
    incr_bytes: u64,
    /// What could not be written yet, with `always`: in front of everything that follows.
    unwritten: Vec<u8>,
    /// A buffer to hand to the engine for the next turn.
    spare: Vec<u8>,
    error: Option<String>,
    /// A disk that refused is asked again only then.
    retry_at_us: u64,
    /// The second that was last noted in the file (`aof-timestamp-enabled`).
    annotated_unix_s: i64,
    /// DEBUG AOF-FLUSH-SLEEP: makes the disk look slow.
    pub flush_sleep_us: u64,
    /// Where the stream stood after so many bytes were handed over, while they are not safe.
    marks: Vec<(u64, u64)>,
    handed_over: u64,
    /// Where the writer has to be before the replies that are kept back may leave.
    held_position: u64,
    /// Where the stream stood when bytes, or none, were last handed over.
    appended_stream_offset: u64,
    fsynced_stream_offset: u64,
}

impl Aof {
    pub fn new(config: &Config, mailer: Mailer) -> io::Result<Aof> {
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
            rewrite_after_recovery: false,
            keeps_history: persistence.aof_disable_auto_gc,
            skips_fsync: false,
            write_us: 0,
            fsync_us: 0,
            fsync,
            next_fsync: None,
            writer: AofWriter::start(fsync == AppendFsync::Everysec, mailer)?,
            incr: None,
            incr_bytes: 0,
            unwritten: Vec::new(),
            spare: Vec::new(),
            error: None,
            retry_at_us: 0,
            annotated_unix_s: 0,
            flush_sleep_us: 0,
            marks: Vec::new(),
            handed_over: 0,
            held_position: 0,
            appended_stream_offset: 0,
            fsynced_stream_offset: 0,
        })
    }

    pub fn is_on(&self) -> bool {
        self.state != AofState::Off
    }

    /// MISCONF, while the disk refuses.
    pub fn write_refusal(&self) -> Option<CommandError> {
        let error = self.error.as_ref().filter(|_| self.is_on())?;
        Some(CommandError::text(format!("MISCONF Errors writing to the AOF file: {error}")))
    }

    pub fn last_write_ok(&self) -> bool {
        self.error.is_none()
    }

    /// Bytes follow that go to `file`.
    pub fn switch_to(&mut self, file: File) -> io::Result<()> {
        let for_writer = file.try_clone()?;
        self.incr_bytes = file.metadata()?.len();
        self.incr = Some(file);
        self.writer.switch(for_writer);
        Ok(())
    }

    /// Takes `appendfsync` over. Nothing is in flight when the loop and the thread change places.
    pub fn set_fsync(&mut self, fsync: AppendFsync) {
        self.next_fsync = None;
        if fsync == self.fsync {
            return;
        }
        let changes_places = fsync == AppendFsync::Always || self.fsync == AppendFsync::Always;
        if changes_places && self.error.is_some() {
            // What one of them could not write yet must not be overtaken by the other.
            self.next_fsync = Some(fsync);
            return;
        }
        self.writer.set_everysec(fsync == AppendFsync::Everysec && !self.skips_fsync);
        if changes_places {
            self.writer.drain();
            if let Some(incr) = &self.incr {
                self.incr_bytes = incr.metadata().map_or(self.incr_bytes, |m| m.len());
                if let Ok(file) = incr.try_clone() {
                    self.writer.switch(file);
                }
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
                // What was written meanwhile; a failure shows with the next write.
                let _ = self.incr.as_ref().map(sync_data);
            }
        }
    }

    pub fn spare_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
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

    /// Hands over what was propagated in this turn, up to `stream_offset`. False means that replies
    /// must wait until `has_settled`: with `always` their commands have to be on the disk before,
    /// otherwise the kernel has to have them.
    pub fn append(&mut self, mut bytes: Vec<u8>, stream_offset: u64, now_us: u64) -> bool {
        self.appended_stream_offset = stream_offset;
        if bytes.is_empty() && self.unwritten.is_empty() {
            self.spare = bytes;
            return true;
        }
        if self.incr.is_none() {
            // Turned on, and the first rewrite is yet to start: it will see what these bytes did.
            bytes.clear();
            self.spare = bytes;
            return true;
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
            self.spare = bytes;
            if !written && now_us >= self.retry_at_us {
                self.retry_at_us = now_us + RETRY_INTERVAL_US;
            }
            return written;
        }
        self.handed_over += bytes.len() as u64;
        self.mark(stream_offset);
        let appended = self.writer.append(bytes);
        self.write_us = appended.write_us;
        self.spare = appended.spare;
        self.held_position = appended.position;
        if appended.waited_us > 0 {
            self.stats.delayed_fsync += 1;
        }
        self.has_settled()
    }

    /// Whether replies that `append` kept back may leave: what they tell of is where it has to be.
    pub fn has_settled(&self) -> bool {
        match self.fsync {
            AppendFsync::Always => self.unwritten.is_empty(),
            _ => self.writer.progress().has_settled(self.held_position),
        }
    }

    fn append_now(&mut self) -> bool {
        let from_us = clock::mono_us();
        let Some(incr) = &mut self.incr else { return false };
        let written = write_whole(incr, &self.unwritten, self.incr_bytes);
        let written_us = clock::mono_us();
        let result = match written {
            Ok(()) if self.skips_fsync => Ok(()),
            Ok(()) => sync_data(incr).map_err(|error| ("fsync", 0, error)),
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
                    // What the kernel could not write it may forget: the bytes go again, behind
                    // the last ones that are known to be safe.
                    if incr.set_len(self.incr_bytes).is_err() {
                        self.rewrite_after_recovery = true;
                    }
                } else {
                    self.unwritten.drain(..kept);
                    self.incr_bytes += kept as u64;
                }
                self.failed(what, &error);
                false
            }
        }
    }

    pub fn hear_writer(&mut self, news: WriterNews) {
        match news {
            WriterNews::Failed { what, error } => {
                self.rewrite_after_recovery |= what == "fsync";
                self.failed(what, &error);
            }
            WriterNews::Recovered => self.recovered(),
            // Being awake is all that was needed: the turn's end looks how far the file is.
            WriterNews::Written | WriterNews::Synced => {}
        }
    }

    fn failed(&mut self, what: &str, error: &io::Error) {
        if self.error.is_none() {
            match what {
                "fsync" => warn!("Fail to fsync the AOF file: {}", os_error(error)),
                _ => warn!("Error writing to the AOF file: {}", os_error(error)),
            }
        }
        self.error = Some(os_error(error));
    }

    fn recovered(&mut self) {
        if self.error.take().is_some() {
            warn!("AOF write error looks solved, The server can write again.");
            if std::mem::take(&mut self.rewrite_after_recovery) {
                self.rewrite_scheduled = true;
            }
            if let Some(fsync) = self.next_fsync.take() {
                self.set_fsync(fsync);
            }
        }
    }

    /// Offset of the replication stream up to which the file is on the disk: `None` when off, and 0
    /// until there is a whole file.
    pub fn fsynced_stream_offset(&self) -> Option<u64> {
        match self.state {
            AofState::Off => None,
            AofState::WaitRewrite => Some(0),
            AofState::On => Some(self.fsynced_stream_offset),
        }
    }

    /// Notes how far the file is. What is not in the file, such as a heartbeat of the master, is as safe
    /// as what stands before it.
    pub fn update_fsynced(&mut self) {
        if !self.is_on() {
            return;
        }
        if self.fsync == AppendFsync::Always {
            if self.unwritten.is_empty() && !self.skips_fsync {
                self.all_is_safe();
            }
            return;
        }
        if !self.marks.is_empty() {
            let synced = self.writer.progress().synced;
            let safe = self.marks.iter().take_while(|(bytes, _)| *bytes <= synced).count();
            if let Some((_, offset)) = self.marks.drain(..safe).next_back() {
                self.fsynced_stream_offset = offset;
            }
        }
        if self.marks.is_empty() {
            self.fsynced_stream_offset = self.appended_stream_offset;
        }
    }

    /// Everything that was handed over is on the disk.
    pub fn all_is_safe(&mut self) {
        self.marks.clear();
        self.fsynced_stream_offset = self.appended_stream_offset;
    }

    fn mark(&mut self, stream_offset: u64) {
        if self.marks.len() >= MARKS_MAX {
            // Every second one tells enough, and the last one must stay.
            let mut keep = true;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.push((self.handed_over, stream_offset));
    }

    /// Everything is on the disk when this returns true. The loop waits for it.
    pub fn drain(&mut self) -> bool {
        if self.fsync == AppendFsync::Always {
            return self.unwritten.is_empty() || self.append_now();
        }
        !self.writer.drain().failing
    }

    /// Stops writing, for good or until a new base is begun.
    pub fn stop(&mut self) {
        self.drain();
        self.state = AofState::Off;
        self.incr = None;
        self.unwritten.clear();
        self.marks.clear();
        (self.appended_stream_offset, self.fsynced_stream_offset) = (0, 0);
        self.error = None;
        self.rewrite_scheduled = false;
    }

    /// The base that the temporary increment was to build upon will not come: the next one sees what
    /// the increment has.
    pub fn drop_temp_incr(&mut self) {
        if self.incr.take().is_some() {
            self.unwritten.clear();
            let path = self.files.temp_incr_path();
            let name = path.file_name().unwrap_or_default().display();
            log::info!("Removing the temp incr aof file {name} in the background");
            remove_in_background(path.clone());
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
        self.writer.progress().pending_fsync
    }

    /// Removes replaced files away from the loop: unlinking a large file takes its time.
    pub fn remove_history(&mut self) {
        if self.keeps_history {
            return;
        }
        for path in self.files.forget_history() {
            log::info!("Removing the history file {} in the background", path.display());
            remove_in_background(path);
        }
    }
}

fn remove_in_background(path: PathBuf) {
    crate::lazy_free::run(move || {
        // A file that stays is named by no manifest, and only costs its space.
        let _ = std::fs::remove_file(path);
    });
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use mio::Poll;

    use super::*;
    use crate::mailbox::Mailbox;

    fn aof(fsync: AppendFsync) -> (Aof, Mailbox, Poll) {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let mut config = Config::default();
        config.persistence.appendfsync = fsync;
        let mut aof = Aof::new(&config, mailbox.mailer()).unwrap();
        aof.state = AofState::On;
        (aof, mailbox, poll)
    }

    fn appendable(path: &std::path::Path) -> File {
        OpenOptions::new().append(true).create(true).open(path).unwrap()
    }

    #[test]
    fn with_always_a_refusing_disk_holds_replies_until_it_takes_the_bytes() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Always);
        aof.switch_to(OpenOptions::new().append(true).open("/dev/full").unwrap()).unwrap();
        assert!(!aof.append(b"one".to_vec(), 3, 0));
        assert!(aof.write_refusal().is_some());
        assert!(!aof.append(b"two".to_vec(), 6, 1), "not asked again within a second");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incr");
        aof.switch_to(appendable(&path)).unwrap();
        assert!(aof.append(Vec::new(), 6, 2 * RETRY_INTERVAL_US));
        assert!(aof.write_refusal().is_none());
        assert_eq!(std::fs::read(path).unwrap(), b"onetwo");
        aof.update_fsynced();
        assert_eq!(aof.fsynced_stream_offset(), Some(6));
    }

    #[test]
    fn changing_to_always_and_back_keeps_the_order_of_the_bytes() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Everysec);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incr");
        aof.switch_to(appendable(&path)).unwrap();
        aof.append(b"a".to_vec(), 1, 0);
        aof.set_fsync(AppendFsync::Always);
        assert!(aof.append(b"b".to_vec(), 2, 0));
        aof.set_fsync(AppendFsync::No);
        aof.append(b"c".to_vec(), 3, 0);
        assert!(aof.drain());
        assert_eq!(std::fs::read(path).unwrap(), b"abc");
    }

    #[test]
    fn a_change_from_always_waits_for_what_the_disk_has_refused() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Always);
        aof.switch_to(OpenOptions::new().append(true).open("/dev/full").unwrap()).unwrap();
        assert!(!aof.append(b"one".to_vec(), 3, 0));
        aof.set_fsync(AppendFsync::No);
        assert!(!aof.has_settled(), "its reply is still kept back");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incr");
        aof.switch_to(appendable(&path)).unwrap();
        assert!(aof.append(b"two".to_vec(), 6, 2 * RETRY_INTERVAL_US));
        assert_eq!(aof.fsync, AppendFsync::No);
        aof.append(b"three".to_vec(), 11, 0);
        assert!(aof.drain());
        assert_eq!(std::fs::read(path).unwrap(), b"onetwothree");
    }

    #[test]
    fn the_fsynced_offset_follows_the_writer() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::Everysec);
        let dir = tempfile::tempdir().unwrap();
        aof.switch_to(appendable(&dir.path().join("incr"))).unwrap();
        aof.append(b"abc".to_vec(), 103, 0);
        assert!(aof.drain());
        aof.update_fsynced();
        assert_eq!(aof.fsynced_stream_offset(), Some(103));
        // A heartbeat moves the stream and not the file.
        aof.append(Vec::new(), 117, 0);
        aof.update_fsynced();
        assert_eq!(aof.fsynced_stream_offset(), Some(117));
        aof.stop();
        assert_eq!(aof.fsynced_stream_offset(), None);
    }

    #[test]
    fn unsafe_bytes_hold_the_offset_back_however_many_there_are() {
        let (mut aof, _mailbox, _poll) = aof(AppendFsync::No);
        let dir = tempfile::tempdir().unwrap();
        aof.switch_to(appendable(&dir.path().join("incr"))).unwrap();
        for i in 1..=10_000 {
            aof.append(b"x".to_vec(), 100 + i, 0);
        }
        assert!(aof.marks.len() <= MARKS_MAX);
        aof.update_fsynced();
        assert_eq!(aof.fsynced_stream_offset(), Some(0));
        assert!(aof.drain());
        aof.update_fsynced();
        assert_eq!(aof.fsynced_stream_offset(), Some(10_100));
    }
}
