//! The thread that writes the append-only file, so that the loop never waits for a disk.
//!
//! The loop hands over buffers; the thread writes them in order and asks the disk's thread
//! (`sync.rs`) for an fsync once a second (`everysec`) or leaves that to the kernel (`no`). With
//! `always` the loop itself writes and syncs, and this thread has nothing to do.
//!
//! The loop keeps the replies of writers back until the kernel has their bytes, so that what kills
//! the process costs nothing that was acknowledged; `News::Written` says when. An fsync, however
//! long it takes, keeps no write waiting but where the kernel does; a disk that refuses keeps the
//! replies back until it takes the bytes.
//!
//! Files are numbered in the order in which they are switched to. `forget_before` says from which one
//! on they are part of the data set: what an older one still owes, or has failed at, is of no interest
//! any more. A failed fsync of one that is makes everything unsafe until then, whatever a later fsync
//! says: the kernel may have dropped the pages that it could not write.
//!
//! What is queued is bounded by bytes: a disk that cannot keep up slows the writers of data down
//! instead of filling the memory. While the disk refuses writes altogether the bound is lifted,
//! because then the server refuses new writes (MISCONF) and only a master's stream still grows it.
//!
//! The threads never log: news travel through the mailbox.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::disk::aof::sync::SyncJob;
use crate::disk::files::Disk;
use crate::disk::worker::{DiskJob, DiskWorker};
use crate::process::clock;
use crate::process::mailbox::Mailer;
use crate::process::memory;

/// More than this is not queued while the disk is merely slow.
const QUEUE_MAX_BYTES: u64 = 64 << 20;
const FSYNC_INTERVAL_US: u64 = 1_000_000;
const RETRY_INTERVAL_US: u64 = 1_000_000;

/// A change that the loop must hear of.
#[derive(Debug)]
pub enum WriterNews {
    /// A write failed; the data is kept, and written again.
    Failed(io::Error),
    Recovered,
    /// An fsync failed. It is tried again, only to see whether the disk works.
    SyncFailed(io::Error),
    SyncRecovered,
    /// All that was queued is written.
    Written,
    /// What was written before is on the disk.
    Synced,
    /// All that was queued when `ask_drain` was called is written and synced, or the disk refuses.
    Drained,
}

/// How far the file is. Offsets count the bytes handed over since the writer was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterProgress {
    pub queued: u64,
    pub written: u64,
    /// Stands still from a failed fsync on, until the file that it was of is no part of the data set.
    pub synced: u64,
    pub is_syncing: bool,
    /// The disk refuses writes.
    pub failing: bool,
    /// An fsync of this file, or of one before it, has failed.
    pub unsafe_file: Option<u64>,
}

impl WriterProgress {
    /// An fsync is running or due.
    pub fn has_pending_fsync(&self) -> bool {
        self.synced < self.written
    }

    pub fn all_is_safe(&self) -> bool {
        self.synced == self.queued && self.unsafe_file.is_none()
    }
}

/// Where a file begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of the file.
    pub file: u64,
    /// What was handed over before it.
    pub position: u64,
}

/// What became of bytes that were appended.
pub struct Appended {
    /// Where they end; the kernel has them once so much is written.
    pub(super) position: u64,
    /// An empty buffer for the next time, with its memory.
    pub(super) spare: Vec<u8>,
    /// How long the loop had to wait for room, nearly always 0.
    pub(super) waited_us: u64,
    /// How long the slowest write since the last time took.
    pub(super) write_us: u64,
}

enum Job {
    Append(Vec<u8>),
    /// The bytes that follow go to this file; the one before it is synced and closed.
    Switch(File),
}

#[derive(Default)]
pub struct State {
    jobs: VecDeque<Job>,
    pub(super) progress: WriterProgress,
    /// Bytes of the current file that are known to be whole.
    file_len: u64,
    /// The loop waits to hear that all is written.
    tell_written: bool,
    slowest_write_us: u64,
    spare: Vec<u8>,
    everysec: bool,
    /// Sync at once, whatever the policy: somebody waits in `drain`, or to hear of it.
    sync_now: bool,
    tell_drained: bool,
    stop: bool,
    /// The thread sleeps: only then is waking it worth a system call.
    idle: bool,
    /// The number of the last file that was switched to.
    last_file: u64,
    /// Files before this one are no part of the data set any more.
    first_file: u64,
    /// Bytes were written to the current file after its last fsync was asked for.
    pub(super) dirty: bool,
    /// Fsyncs that were asked for, and are not over.
    pub(super) pending_syncs: u32,
    /// What the last fsync that went well has covered.
    pub(super) last_synced: u64,
    pub(super) sync_failing: bool,
}

#[derive(Default)]
pub struct Shared {
    state: Mutex<State>,
    /// The writing thread waits here for work.
    pub(super) work: Condvar,
    /// The loop waits here for room, and for a drained queue at shutdown.
    pub(super) done: Condvar,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the lock")
    }
}

pub struct AofWriter {
    shared: Arc<Shared>,
    writing: Option<JoinHandle<()>>,
}

impl AofWriter {
    pub fn start(
        everysec: bool,
        worker: DiskWorker,
        mailer: Mailer<WriterNews>,
    ) -> io::Result<AofWriter> {
        let shared = Arc::new(Shared::default());
        shared.lock().everysec = everysec;
        let in_thread = Arc::clone(&shared);
        let writing = thread::Builder::new()
            .name("aof_writer".into())
            .spawn(move || Thread::new(in_thread, worker, mailer).run())?;
        Ok(AofWriter { shared, writing: Some(writing) })
    }

    pub fn set_everysec(&self, everysec: bool) {
        self.lock().everysec = everysec;
        self.shared.work.notify_one();
    }

    /// Queues bytes.
    pub fn append(&self, bytes: Vec<u8>) -> Appended {
        let mut state = self.lock();
        let mut waited_us = 0;
        if is_full(&state) {
            let from_us = clock::mono_us();
            while is_full(&state) {
                state = self.shared.done.wait(state).expect("the writer does not panic");
            }
            waited_us = clock::mono_us() - from_us;
        }
        state.progress.queued += bytes.len() as u64;
        state.jobs.push_back(Job::Append(bytes));
        let position = state.progress.queued;
        state.tell_written = true;
        let spare = std::mem::take(&mut state.spare);
        let write_us = std::mem::take(&mut state.slowest_write_us);
        let idle = state.idle;
        drop(state);
        if idle {
            self.shared.work.notify_one();
        }
        Appended { position, spare, waited_us, write_us }
    }

    /// Says where the file begins.
    pub fn switch(&self, file: File) -> Place {
        let mut state = self.lock();
        state.jobs.push_back(Job::Switch(file));
        state.last_file += 1;
        let place = Place { file: state.last_file, position: state.progress.queued };
        drop(state);
        self.shared.work.notify_one();
        place
    }

    /// What stands before this place is on the disk, in a file that others have written.
    pub fn forget_before(&self, place: Place) {
        let mut state = self.lock();
        state.first_file = place.file;
        let progress = &mut state.progress;
        progress.unsafe_file = progress.unsafe_file.filter(|file| *file >= place.file);
        if progress.unsafe_file.is_none() {
            let last_synced = state.last_synced.max(place.position);
            state.progress.synced = state.progress.synced.max(last_synced);
        }
        drop(state);
        self.shared.work.notify_one();
    }

    /// Somebody else's fsync has made safe what was written up to `position`.
    pub fn note_synced(&self, position: u64) {
        let mut state = self.lock();
        state.last_synced = state.last_synced.max(position);
        if state.progress.unsafe_file.is_none() {
            state.progress.synced = state.progress.synced.max(position);
        }
    }

    /// Nothing that was handed over is of interest any more.
    pub fn forget_all(&self) {
        let place = {
            let state = self.lock();
            Place { file: state.last_file + 1, position: state.progress.queued }
        };
        self.forget_before(place);
    }

    /// Somebody else's fsync of the current file has failed.
    pub fn distrust(&self) {
        let mut state = self.lock();
        state.progress.unsafe_file = Some(state.last_file);
    }

    pub fn progress(&self) -> WriterProgress {
        self.lock().progress
    }

    /// Has `WriterNews::Drained` sent when all that was queued is written and synced, or the disk refuses.
    pub fn ask_drain(&self) {
        let mut state = self.lock();
        (state.sync_now, state.tell_drained) = (true, true);
        drop(state);
        self.shared.work.notify_one();
    }

    /// Waits until all that was queued is written and synced, or until the disk refuses: false. For
    /// shutdown and for DEBUG LOADAOF: the loop does block here.
    pub fn drain(&self) -> bool {
        let mut state = self.lock();
        state.sync_now = true;
        self.shared.work.notify_one();
        while state.sync_now || state.is_syncing() {
            state = self.shared.done.wait(state).expect("the writer does not panic");
        }
        state.progress.all_is_safe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for AofWriter {
    fn drop(&mut self) {
        self.lock().stop = true;
        self.shared.work.notify_one();
        // A thread that panicked has said so on stderr; there is nothing left to save here.
        let _ = self.writing.take().map(JoinHandle::join);
    }
}

impl State {
    /// Notes bytes of the current file, which the kernel has.
    fn written(&mut self, len: u64) {
        self.file_len += len;
        self.progress.written += len;
        self.dirty |= len > 0;
    }

    fn is_syncing(&self) -> bool {
        self.pending_syncs > 0
    }

    /// The news that somebody waits for, once there is nothing left to do.
    pub fn take_drained(&mut self) -> Option<WriterNews> {
        let is_drained = self.tell_drained && !self.sync_now && !self.is_syncing();
        if !is_drained {
            return None;
        }
        self.tell_drained = false;
        Some(WriterNews::Drained)
    }

    /// An fsync of the file of that number failed.
    pub fn distrust(&mut self, number: u64) {
        if number >= self.first_file {
            let worst = self.progress.unsafe_file.unwrap_or(number);
            self.progress.unsafe_file = Some(worst.max(number));
        }
        // To see whether the disk has recovered.
        self.dirty |= number == self.last_file;
    }
}

fn is_full(state: &State) -> bool {
    let progress = &state.progress;
    !progress.failing && progress.queued - progress.written > QUEUE_MAX_BYTES
}

/// The thread's own side.
struct Thread {
    shared: Arc<Shared>,
    worker: DiskWorker,
    mailer: Mailer<WriterNews>,
    file: Option<Arc<File>>,
    /// The file's number.
    number: u64,
    synced_at_us: u64,
    failing: bool,
    /// A disk that refused is asked again only then.
    retry_at_us: u64,
}

impl Thread {
    fn new(shared: Arc<Shared>, worker: DiskWorker, mailer: Mailer<WriterNews>) -> Thread {
        let synced_at_us = clock::mono_us();
        let (failing, retry_at_us) = (false, 0);
        Thread { shared, worker, mailer, file: None, number: 0, synced_at_us, failing, retry_at_us }
    }

    /// Asks for an fsync of what was written to the current file.
    fn sync(&self, state: &mut State) {
        let Some(file) = &self.file else { return };
        state.dirty = false;
        state.pending_syncs += 1;
        let job = SyncJob {
            account: Arc::clone(&self.shared),
            file: Arc::clone(file),
            number: self.number,
            position: state.progress.written,
            mailer: self.mailer.clone(),
        };
        self.worker.order(vec![DiskJob::Run(Box::new(move |disk| job.run(disk)))]);
    }

    fn run(mut self) {
        memory::begin_helper_thread();
        loop {
            let (mut jobs, asked, stop) = self.take_jobs();
            while let Some(job) = jobs.pop_front() {
                if let Err(unfinished) = self.perform(job) {
                    jobs.push_front(unfinished);
                    break;
                }
            }
            if jobs.is_empty() {
                self.recovered();
            }
            if self.give_back(jobs, asked) && stop {
                return;
            }
        }
    }

    /// Waits for jobs, an fsync that falls due, or the time to retry.
    fn take_jobs(&mut self) -> (VecDeque<Job>, bool, bool) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            let asked = state.sync_now || state.stop;
            let ready = !state.jobs.is_empty() || asked;
            let now_us = clock::mono_us();
            if ready && (!self.failing || now_us >= self.retry_at_us || asked) {
                break;
            }
            let due_us = if self.failing {
                Some(self.retry_at_us)
            } else if state.everysec && state.dirty && !state.is_syncing() {
                Some(self.synced_at_us + FSYNC_INTERVAL_US)
            } else {
                None
            };
            state.idle = true;
            // Whoever wakes the thread does not put off what is due.
            state = match due_us.map(|due_us| due_us.saturating_sub(now_us)) {
                Some(0) => break,
                Some(us) => {
                    let waited = shared.work.wait_timeout(state, Duration::from_micros(us));
                    waited.expect("the loop does not panic").0
                }
                None => shared.work.wait(state).expect("the loop does not panic"),
            };
        }
        state.idle = false;
        (std::mem::take(&mut state.jobs), state.sync_now, state.stop)
    }

    /// Puts unfinished jobs back in front of newer ones, and asks for the fsync that is due; true
    /// when nothing is left to do.
    fn give_back(&mut self, unfinished: VecDeque<Job>, asked: bool) -> bool {
        memory::settle_thread();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        for job in unfinished.into_iter().rev() {
            state.jobs.push_front(job);
        }
        let idle = state.jobs.is_empty() || self.failing;
        let now_us = clock::mono_us();
        let is_due = state.everysec && now_us >= self.synced_at_us + FSYNC_INTERVAL_US;
        // One at a time: what is written while one takes long is for the next.
        let is_due = is_due && !state.is_syncing();
        if state.dirty && (is_due || state.sync_now || state.stop) {
            self.synced_at_us = now_us;
            self.sync(&mut state);
        }
        if asked && idle {
            state.sync_now = false;
        }
        let drained = state.take_drained();
        drop(state);
        shared.done.notify_all();
        if let Some(news) = drained {
            self.mailer.send(news);
        }
        idle
    }

    /// Does a job, or gives back what is left of it.
    fn perform(&mut self, job: Job) -> Result<(), Job> {
        match job {
            Job::Append(bytes) => self.append(bytes),
            Job::Switch(file) => {
                let mut state = self.shared.lock();
                if state.dirty {
                    // The old increment must be whole before a manifest forgets that it was last.
                    self.sync(&mut state);
                }
                state.file_len = file.metadata().map(|m| m.len()).unwrap_or(0);
                drop(state);
                self.file = Some(Arc::new(file));
                self.number += 1;
                Ok(())
            }
        }
    }

    fn append(&mut self, mut bytes: Vec<u8>) -> Result<(), Job> {
        let state = self.shared.lock();
        let (file_len, is_forgotten) = (state.file_len, self.number < state.first_file);
        drop(state);
        if is_forgotten {
            self.written(bytes.len() as u64, 0, false);
            return Ok(());
        }
        // The loop opens a file before it appends; without one there is nowhere to write to.
        let Some(file) = &self.file else { return Err(Job::Append(bytes)) };
        let from_us = clock::mono_us();
        let result = write_whole(self.worker.disk(), file, &bytes, file_len);
        let took_us = clock::mono_us() - from_us;
        match result {
            Ok(()) => {
                self.written(bytes.len() as u64, took_us, true);
                bytes.clear();
                self.shared.lock().spare = bytes;
                Ok(())
            }
            Err((kept, error)) => {
                bytes.drain(..kept);
                self.written(kept as u64, took_us, true);
                self.failed(error);
                Err(Job::Append(bytes))
            }
        }
    }

    fn written(&mut self, len: u64, took_us: u64, in_file: bool) {
        let mut state = self.shared.lock();
        match in_file {
            true => state.written(len),
            false => state.progress.written += len,
        }
        state.slowest_write_us = state.slowest_write_us.max(took_us);
        let all = state.progress.written >= state.progress.queued;
        let tell = all && std::mem::take(&mut state.tell_written);
        drop(state);
        self.shared.done.notify_all();
        if tell {
            self.mailer.send(WriterNews::Written);
        }
    }

    fn failed(&mut self, error: io::Error) {
        self.retry_at_us = clock::mono_us() + RETRY_INTERVAL_US;
        // Once per spell of trouble: the log is not to fill the disk that is full.
        if !self.failing {
            self.failing = true;
            self.shared.lock().progress.failing = true;
            self.mailer.send(WriterNews::Failed(error));
        }
    }

    fn recovered(&mut self) {
        if self.failing {
            self.failing = false;
            self.shared.lock().progress.failing = false;
            self.mailer.send(WriterNews::Recovered);
        }
    }
}

/// Appends `bytes` whole. After a failure part way the file is cut back to its old length, so that
/// a command is not left in halves; where even that fails, says how many bytes stand.
pub fn write_whole(
    disk: &dyn Disk,
    file: &File,
    bytes: &[u8],
    len_before: u64,
) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        match disk.write(file, &bytes[done..]) {
            Ok(0) => return Err(cut_back(file, done, len_before, io::ErrorKind::WriteZero.into())),
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(cut_back(file, done, len_before, e)),
        }
    }
    Ok(())
}

fn cut_back(file: &File, done: usize, len_before: u64, error: io::Error) -> (usize, io::Error) {
    // SAFETY: truncates a file that we own to a length that it had.
    let cut = done > 0 && unsafe { libc::ftruncate(file.as_raw_fd(), len_before as i64) } == 0;
    (if cut { 0 } else { done }, error)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    use mio::{Poll, Token};

    use super::*;
    use crate::disk::files::RealDisk;
    use crate::process::mailbox::Mailbox;

    /// A writer, whoever listens to it, and a folder for its files.
    struct Rig {
        writer: AofWriter,
        mailbox: Mailbox<WriterNews>,
        dir: tempfile::TempDir,
        _poll: Poll,
    }

    impl Rig {
        fn new(everysec: bool) -> Rig {
            let poll = Poll::new().unwrap();
            let mailbox = Mailbox::new(poll.registry(), Token(0)).unwrap();
            let worker = DiskWorker::start(Arc::new(RealDisk), Mailer::unheard()).unwrap();
            let writer = AofWriter::start(everysec, worker, mailbox.mailer()).unwrap();
            Rig { writer, mailbox, dir: tempfile::tempdir().unwrap(), _poll: poll }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn switch(&self, name: &str) -> Place {
            let file = OpenOptions::new().append(true).create(true).open(self.path(name));
            self.writer.switch(file.unwrap())
        }
    }

    #[test]
    fn bytes_reach_the_file_in_order_across_a_switch() {
        let rig = Rig::new(true);
        let writer = &rig.writer;
        rig.switch("one");
        writer.append(b"a".to_vec());
        writer.append(b"b".to_vec());
        rig.switch("two");
        writer.append(b"c".to_vec());
        assert!(writer.drain());
        let progress = writer.progress();
        assert_eq!((progress.queued, progress.written, progress.synced), (3, 3, 3));
        assert_eq!(std::fs::read(rig.path("one")).unwrap(), b"ab");
        assert_eq!(std::fs::read(rig.path("two")).unwrap(), b"c");
    }

    #[test]
    fn the_loop_hears_when_the_kernel_has_the_bytes() {
        let rig = Rig::new(false);
        let writer = &rig.writer;
        rig.switch("aof");
        writer.drain();
        for n in 1..=100 {
            let position = writer.append(vec![b'x'; 10]).position;
            assert_eq!(position, 10 * n);
            let written = std::iter::repeat_with(|| rig.mailbox.next()).flatten().next();
            assert!(matches!(written, Some(WriterNews::Written)));
            assert_eq!(writer.progress().written, position);
            assert_eq!(std::fs::metadata(rig.path("aof")).unwrap().len(), position);
        }
    }

    #[test]
    fn a_disk_that_refuses_is_reported_and_the_bytes_are_kept() {
        let rig = Rig::new(false);
        let writer = &rig.writer;
        writer.switch(OpenOptions::new().write(true).open("/dev/full").unwrap());
        writer.append(b"lost?".to_vec());
        assert!(!writer.drain());
        assert_eq!(writer.progress().written, 0);
        assert!(matches!(rig.mailbox.next(), Some(WriterNews::Failed(_))));
        // What the old file owes does not go to the next one: a rewrite's base has it.
        let next = rig.switch("next");
        writer.append(b"kept".to_vec());
        assert!(!writer.drain());
        assert_eq!(std::fs::read(rig.path("next")).unwrap(), b"");
        writer.forget_before(next);
        assert!(writer.drain());
        assert_eq!(std::fs::read(rig.path("next")).unwrap(), b"kept");
        let news = std::iter::repeat_with(|| rig.mailbox.next()).flatten();
        let mut news = news.skip_while(|n| !matches!(n, WriterNews::Recovered));
        assert!(news.next().is_some());
    }

    /// Linux reports a failed write-back once and may drop the pages: the success of the next fsync
    /// was taken for both.
    #[test]
    fn a_failed_fsync_is_not_made_good_by_the_next_one() {
        let rig = Rig::new(false);
        let writer = &rig.writer;
        let first = rig.switch("one");
        writer.append(b"a".to_vec());
        assert!(writer.drain());
        writer.append(b"b".to_vec());
        writer.shared.lock().distrust(first.file);
        assert!(!writer.drain());
        assert_eq!(writer.progress().synced, 1);
        // Nor by a file that follows, until the first one is not needed any more.
        let second = rig.switch("two");
        writer.append(b"c".to_vec());
        assert!(!writer.drain());
        assert_eq!(writer.progress().synced, 1);
        writer.forget_before(second);
        assert_eq!(writer.progress().synced, 3);
        assert!(writer.drain());
        // What a forgotten file fails at is nobody's concern.
        writer.shared.lock().distrust(first.file);
        assert_eq!(writer.progress().unsafe_file, None);
    }

    #[test]
    fn stopping_writes_what_is_queued() {
        let rig = Rig::new(false);
        rig.switch("aof");
        rig.writer.append(vec![b'x'; 100_000]);
        drop(rig.writer);
        assert_eq!(std::fs::metadata(rig.dir.path().join("aof")).unwrap().len(), 100_000);
    }
}
