//! The thread that writes and fsyncs the append-only file, so that the loop never waits for a disk.
//!
//! The loop hands over buffers; the thread writes them in order and fsyncs once a second
//! (`everysec`) or leaves that to the kernel (`no`). With `always` the loop writes and syncs by
//! itself and this thread has nothing to do.
//!
//! The loop keeps the replies of writers back until the kernel has their bytes, so that what kills
//! the process costs nothing that was acknowledged; `News::Written` says when. An fsync may block a
//! write for as long as it takes: while one runs, nobody waits for it.
//!
//! What is queued is bounded by bytes: a disk that cannot keep up slows the writers of data down
//! instead of filling the memory. While the disk refuses writes altogether the bound is lifted,
//! because then the server refuses new writes (MISCONF) and only a master's stream still grows it.
//!
//! The thread never logs: news travel through the mailbox.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock;
use crate::mailbox::{Mail, Mailer};
use crate::memory;

/// More than this is not queued while the disk is merely slow.
const QUEUE_MAX_BYTES: u64 = 64 << 20;
const FSYNC_INTERVAL_US: u64 = 1_000_000;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A change that the loop must hear of.
#[derive(Debug)]
pub enum WriterNews {
    /// Writing or syncing failed; the data is kept and retried.
    Failed {
        what: &'static str,
        error: io::Error,
    },
    Recovered,
    /// All that was queued is written, or waits for an fsync.
    Written,
    /// What was written before is on the disk.
    Synced,
}

/// How far the file is. Offsets count the bytes handed over since the writer was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterProgress {
    pub queued: u64,
    pub written: u64,
    pub synced: u64,
    /// An fsync is running or due.
    pub pending_fsync: bool,
    pub is_syncing: bool,
    pub failing: bool,
}

impl WriterProgress {
    /// Whether there is no more reason to keep replies back whose bytes end at `position`.
    pub fn has_settled(&self, position: u64) -> bool {
        self.written >= position || self.is_syncing || self.failing
    }
}

/// What became of bytes that were appended.
pub struct Appended {
    /// Where they end; the kernel has them once so much is written.
    pub position: u64,
    /// An empty buffer for the next time, with its memory.
    pub spare: Vec<u8>,
    /// How long the loop had to wait for room, nearly always 0.
    pub waited_us: u64,
    /// How long the slowest write since the last time took.
    pub write_us: u64,
}

enum Job {
    Append(Vec<u8>),
    /// The bytes that follow go to this file; the one before it is synced and closed.
    Switch(File),
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    progress: WriterProgress,
    /// Bytes of the current file that are known to be whole.
    file_len: u64,
    /// The loop waits to hear that all is written.
    tell_written: bool,
    slowest_write_us: u64,
    spare: Vec<u8>,
    everysec: bool,
    /// Sync at once, whatever the policy: somebody waits in `drain`.
    sync_now: bool,
    stop: bool,
    /// The thread sleeps: only then is waking it worth a system call.
    idle: bool,
}

struct Shared {
    state: Mutex<State>,
    /// The thread waits here for work.
    work: Condvar,
    /// The loop waits here for room, and for a drained queue at shutdown.
    done: Condvar,
}

pub struct AofWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl AofWriter {
    pub fn start(everysec: bool, mailer: Mailer) -> io::Result<AofWriter> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { everysec, ..State::default() }),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("aof_writer".into())
            .spawn(move || Thread::new(of_thread, mailer).run())?;
        Ok(AofWriter { shared, thread: Some(thread) })
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
        state.tell_written = !state.progress.has_settled(position);
        let spare = std::mem::take(&mut state.spare);
        let write_us = std::mem::take(&mut state.slowest_write_us);
        let idle = state.idle;
        drop(state);
        if idle {
            self.shared.work.notify_one();
        }
        Appended { position, spare, waited_us, write_us }
    }

    pub fn switch(&self, file: File) {
        self.push(Job::Switch(file));
    }

    pub fn progress(&self) -> WriterProgress {
        self.lock().progress
    }

    /// Waits until all that was queued is written and synced, or until the disk refuses. For
    /// shutdown, for a change to `always`, and for DEBUG LOADAOF: the loop does block here.
    pub fn drain(&self) -> WriterProgress {
        let mut state = self.lock();
        state.sync_now = true;
        self.shared.work.notify_one();
        while state.sync_now {
            state = self.shared.done.wait(state).expect("the writer does not panic");
        }
        state.progress
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.shared.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the writer does not panic")
    }
}

impl Drop for AofWriter {
    fn drop(&mut self) {
        self.lock().stop = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so on stderr; there is nothing left to save here.
            let _ = thread.join();
        }
    }
}

impl State {
    fn written(&mut self, len: u64) {
        self.file_len += len;
        self.progress.written += len;
        self.progress.pending_fsync |= len > 0;
    }
}

fn is_full(state: &State) -> bool {
    let progress = &state.progress;
    !progress.failing && progress.queued - progress.written > QUEUE_MAX_BYTES
}

/// The thread's own side.
struct Thread {
    shared: Arc<Shared>,
    mailer: Mailer,
    file: Option<File>,
    synced_at_us: u64,
    failing: bool,
    /// An fsync went well since the loop was last told.
    synced: bool,
}

impl Thread {
    fn new(shared: Arc<Shared>, mailer: Mailer) -> Thread {
        let synced_at_us = clock::mono_us();
        Thread { shared, mailer, file: None, synced_at_us, failing: false, synced: false }
    }

    fn run(mut self) {
        memory::begin_helper_thread();
        loop {
            let Some((mut jobs, everysec, sync_now, stop)) = self.take_jobs() else { return };
            while let Some(job) = jobs.pop_front() {
                if let Err(unfinished) = self.perform(job) {
                    jobs.push_front(unfinished);
                    break;
                }
            }
            let all_written = jobs.is_empty();
            let due = clock::mono_us() >= self.synced_at_us + FSYNC_INTERVAL_US;
            let want_sync = sync_now || stop || everysec && due;
            if all_written && self.is_dirty() && want_sync {
                self.sync();
            }
            if all_written && !(self.is_dirty() && want_sync) {
                self.recovered();
            }
            if self.give_back(jobs, sync_now) && stop {
                return;
            }
        }
    }

    /// Waits for jobs, an fsync that falls due, or the time to retry.
    fn take_jobs(&mut self) -> Option<(VecDeque<Job>, bool, bool, bool)> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock().expect("the loop does not panic");
        let mut retry_waited = false;
        loop {
            let asked = state.sync_now || state.stop;
            let ready = !state.jobs.is_empty() || asked;
            if ready && (!self.failing || retry_waited || asked) {
                break;
            }
            let wait = if self.failing {
                Some(RETRY_INTERVAL)
            } else if state.everysec && state.progress.pending_fsync {
                let due_us = self.synced_at_us + FSYNC_INTERVAL_US;
                Some(Duration::from_micros(due_us.saturating_sub(clock::mono_us())))
            } else {
                None
            };
            match wait {
                Some(Duration::ZERO) => break,
                Some(wait) => {
                    state.idle = true;
                    let (guard, timeout) =
                        shared.work.wait_timeout(state, wait).expect("the loop does not panic");
                    state = guard;
                    state.idle = false;
                    if timeout.timed_out() {
                        retry_waited = true;
                        if self.failing || state.progress.pending_fsync {
                            break;
                        }
                    }
                }
                None => {
                    state.idle = true;
                    state = shared.work.wait(state).expect("the loop does not panic");
                    state.idle = false;
                }
            }
        }
        let mut jobs = std::mem::take(&mut state.jobs);
        if self.failing
            && let Some(at) = jobs.iter().position(|j| matches!(j, Job::Switch(_)))
        {
            // What the old file refuses goes to the new one, whose place is right behind it.
            if let Some(switch) = jobs.remove(at) {
                jobs.push_front(switch);
            }
        }
        Some((jobs, state.everysec, state.sync_now, state.stop))
    }

    /// Puts unfinished jobs back in front of newer ones; true when nothing is left to do.
    fn give_back(&mut self, unfinished: VecDeque<Job>, sync_was_asked: bool) -> bool {
        memory::settle_thread();
        let mut state = self.lock();
        for job in unfinished.into_iter().rev() {
            state.jobs.push_front(job);
        }
        let idle = state.jobs.is_empty() || self.failing;
        if sync_was_asked && idle {
            state.sync_now = false;
        }
        state.progress.failing = self.failing;
        if !state.progress.pending_fsync {
            state.progress.synced = state.progress.written;
        }
        self.shared.done.notify_all();
        drop(state);
        if std::mem::take(&mut self.synced) {
            self.mailer.send(Mail::AofWriter(WriterNews::Synced));
        }
        idle
    }

    /// Does a job, or gives back what is left of it.
    fn perform(&mut self, job: Job) -> Result<(), Job> {
        match job {
            Job::Append(bytes) => self.append(bytes),
            Job::Switch(file) => {
                if let Some(old) = self.file.take() {
                    // The old increment must be whole before a manifest forgets that it was last.
                    self.begin_sync();
                    let synced = sync_data(&old);
                    self.end_sync();
                    if let Err(error) = synced
                        && !self.failing
                    {
                        self.file = Some(old);
                        self.failed("fsync", error);
                        return Err(Job::Switch(file));
                    }
                }
                let mut state = self.lock();
                state.file_len = file.metadata().map(|m| m.len()).unwrap_or(0);
                let was_dirty = std::mem::take(&mut state.progress.pending_fsync);
                drop(state);
                self.file = Some(file);
                self.synced |= was_dirty;
                Ok(())
            }
        }
    }

    fn append(&mut self, mut bytes: Vec<u8>) -> Result<(), Job> {
        // The loop opens a file before it appends; without one there is nowhere to write to.
        let file_len = self.lock().file_len;
        let Some(file) = &mut self.file else { return Err(Job::Append(bytes)) };
        let from_us = clock::mono_us();
        let result = write_whole(file, &bytes, file_len);
        let took_us = clock::mono_us() - from_us;
        match result {
            Ok(()) => {
                self.written(bytes.len() as u64, took_us);
                bytes.clear();
                self.lock().spare = bytes;
                Ok(())
            }
            Err((kept, error)) => {
                bytes.drain(..kept);
                self.written(kept as u64, took_us);
                self.failed("write", error);
                Err(Job::Append(bytes))
            }
        }
    }

    fn written(&mut self, len: u64, took_us: u64) {
        let mut state = self.lock();
        state.written(len);
        state.slowest_write_us = state.slowest_write_us.max(took_us);
        let all = state.progress.written >= state.progress.queued;
        let tell = all && std::mem::take(&mut state.tell_written);
        drop(state);
        self.shared.done.notify_all();
        if tell {
            self.mailer.send(Mail::AofWriter(WriterNews::Written));
        }
    }

    /// What is queued from here on has to wait, but its replies have not.
    fn begin_sync(&self) {
        let mut state = self.lock();
        state.progress.is_syncing = true;
        let tell = std::mem::take(&mut state.tell_written);
        drop(state);
        if tell {
            self.mailer.send(Mail::AofWriter(WriterNews::Written));
        }
    }

    fn end_sync(&self) {
        self.lock().progress.is_syncing = false;
    }

    /// Bytes were written that were not synced.
    fn is_dirty(&self) -> bool {
        self.lock().progress.pending_fsync
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the loop does not panic")
    }

    fn sync(&mut self) {
        self.synced_at_us = clock::mono_us();
        let Some(file) = &self.file else { return };
        self.begin_sync();
        let result = sync_data(file);
        self.end_sync();
        match result {
            Ok(()) => {
                self.lock().progress.pending_fsync = false;
                self.synced = true;
            }
            Err(error) => self.failed("fsync", error),
        }
    }

    fn failed(&mut self, what: &'static str, error: io::Error) {
        // Once per spell of trouble: the log is not to fill the disk that is full.
        if !self.failing {
            self.failing = true;
            let mut state = self.lock();
            state.progress.failing = true;
            // These news end the wait as well.
            state.tell_written = false;
            drop(state);
            self.mailer.send(Mail::AofWriter(WriterNews::Failed { what, error }));
        }
    }

    fn recovered(&mut self) {
        if self.failing {
            self.failing = false;
            self.mailer.send(Mail::AofWriter(WriterNews::Recovered));
        }
    }
}

/// fdatasync. What cannot be synced at all (a pipe, a device) has no cache that could lose anything.
pub fn sync_data(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result,
    }
}

/// Appends `bytes` whole. After a failure part way the file is cut back to its old length, so that
/// a command is not left in halves; where even that fails, says how many bytes stand.
pub fn write_whole(
    file: &mut File,
    bytes: &[u8],
    len_before: u64,
) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
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

    use mio::Poll;

    use super::*;
    use crate::mailbox::Mailbox;

    fn appendable(path: &std::path::Path) -> File {
        OpenOptions::new().append(true).create(true).open(path).unwrap()
    }

    #[test]
    fn bytes_reach_the_file_in_order_across_a_switch() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let writer = AofWriter::start(true, mailbox.mailer()).unwrap();
        writer.switch(appendable(&one));
        writer.append(b"a".to_vec());
        writer.append(b"b".to_vec());
        writer.switch(appendable(&two));
        writer.append(b"c".to_vec());
        let progress = writer.drain();
        assert_eq!((progress.queued, progress.written, progress.synced), (3, 3, 3));
        assert_eq!(std::fs::read(one).unwrap(), b"ab");
        assert_eq!(std::fs::read(two).unwrap(), b"c");
    }

    #[test]
    fn the_loop_hears_when_the_kernel_has_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aof");
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let writer = AofWriter::start(false, mailbox.mailer()).unwrap();
        writer.switch(appendable(&path));
        writer.drain();
        for n in 1..=100 {
            let position = writer.append(vec![b'x'; 10]).position;
            assert_eq!(position, 10 * n);
            let written = std::iter::repeat_with(|| mailbox.next()).flatten().next();
            assert!(matches!(written, Some(Mail::AofWriter(WriterNews::Written))));
            assert!(writer.progress().has_settled(position));
            assert_eq!(std::fs::metadata(&path).unwrap().len(), position);
        }
    }

    #[test]
    fn replies_wait_for_no_fsync_and_no_broken_disk() {
        let behind = WriterProgress { queued: 9, written: 5, ..WriterProgress::default() };
        assert!(behind.has_settled(5));
        assert!(!behind.has_settled(6));
        assert!(WriterProgress { is_syncing: true, ..behind }.has_settled(6));
        assert!(WriterProgress { failing: true, ..behind }.has_settled(6));
    }

    #[test]
    fn a_disk_that_refuses_is_reported_and_the_bytes_are_kept() {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let writer = AofWriter::start(false, mailbox.mailer()).unwrap();
        let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
        writer.switch(full());
        writer.append(b"lost?".to_vec());
        let progress = writer.drain();
        assert!(progress.failing);
        assert_eq!(progress.written, 0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rescue");
        // The file that follows takes the bytes: what was acknowledged is not dropped.
        writer.lock().jobs.push_front(Job::Switch(appendable(&path)));
        assert!(!writer.drain().failing);
        assert_eq!(std::fs::read(path).unwrap(), b"lost?");
        assert!(matches!(
            mailbox.next(),
            Some(Mail::AofWriter(WriterNews::Failed { what: "write", .. }))
        ));
        assert!(matches!(mailbox.next(), Some(Mail::AofWriter(WriterNews::Recovered))));
    }

    #[test]
    fn stopping_writes_what_is_queued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aof");
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let writer = AofWriter::start(false, mailbox.mailer()).unwrap();
        writer.switch(appendable(&path));
        writer.append(vec![b'x'; 100_000]);
        drop(writer);
        assert_eq!(std::fs::metadata(path).unwrap().len(), 100_000);
    }
}
