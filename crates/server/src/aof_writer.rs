//! The thread that fsyncs the append-only file, so that the loop never waits for a disk.
//!
//! The loop writes by itself while the thread rests, so that the kernel has the bytes before their
//! replies leave: what kills the process costs nothing that was acknowledged. While an fsync runs,
//! which may block a write for as long as it takes, the loop hands its buffers over, and the thread
//! writes them in order. It fsyncs once a second (`everysec`) or leaves that to the kernel (`no`).
//! With `always` the loop writes and syncs and this thread has nothing to do.
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
    pub failing: bool,
}

/// What became of bytes that were appended.
pub struct Appended {
    /// Empty; with its memory, if the bytes are written already.
    pub buffer: Vec<u8>,
    /// How long it had to wait for room, nearly always 0.
    pub waited_us: u64,
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
    /// The thread has the file in hands: it writes or syncs.
    busy: bool,
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

    /// Writes bytes to `file`, the one that was switched to last, or queues them while the thread
    /// is at work. Gives a buffer back that was written.
    pub fn append(&self, mut bytes: Vec<u8>, file: &mut File) -> Appended {
        let mut state = self.lock();
        if !state.busy && state.jobs.is_empty() && !state.progress.failing {
            let written = write_whole(file, &bytes, state.file_len);
            let kept = written.as_ref().map_or_else(|(kept, _)| *kept, |()| bytes.len());
            let was_clean = !state.progress.pending_fsync;
            state.progress.queued += kept as u64;
            state.written(kept as u64);
            // The thread sleeps until it is told that there is something to sync, once a second.
            let wake = was_clean && state.everysec;
            if written.is_ok() {
                drop(state);
                if wake {
                    self.shared.work.notify_one();
                }
                bytes.clear();
                return Appended { buffer: bytes, waited_us: 0 };
            }
            // It fails for the thread, too, which says so and tries again.
            bytes.drain(..kept);
        }
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
        let idle = state.idle;
        drop(state);
        if idle {
            self.shared.work.notify_one();
        }
        Appended { buffer: Vec::new(), waited_us }
    }

    pub fn switch(&self, file: File) {
        self.push(Job::Switch(file));
    }

    pub fn is_busy(&self) -> bool {
        self.lock().busy
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
        state.busy = true;
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
        state.busy = false;
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
                    if let Err(error) = sync_data(&old)
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
        match write_whole(file, &bytes, file_len) {
            Ok(()) => {
                self.written(bytes.len() as u64);
                Ok(())
            }
            Err((kept, error)) => {
                bytes.drain(..kept);
                self.written(kept as u64);
                self.failed("write", error);
                Err(Job::Append(bytes))
            }
        }
    }

    fn written(&mut self, len: u64) {
        self.lock().written(len);
        self.shared.done.notify_all();
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
        match sync_data(file) {
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
            self.lock().progress.failing = true;
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
        writer.append(b"a".to_vec(), &mut appendable(&one));
        writer.append(b"b".to_vec(), &mut appendable(&one));
        writer.switch(appendable(&two));
        writer.append(b"c".to_vec(), &mut appendable(&two));
        let progress = writer.drain();
        assert_eq!((progress.queued, progress.written, progress.synced), (3, 3, 3));
        assert_eq!(std::fs::read(one).unwrap(), b"ab");
        assert_eq!(std::fs::read(two).unwrap(), b"c");
    }

    #[test]
    fn what_was_appended_while_nobody_syncs_is_in_the_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aof");
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let writer = AofWriter::start(true, mailbox.mailer()).unwrap();
        writer.switch(appendable(&path));
        writer.drain();
        // The first append may wake the thread for its fsync; one of these finds it at rest.
        let mut at_once = 0;
        for n in 1..=100 {
            let buffer = writer.append(vec![b'x'; 10], &mut appendable(&path)).buffer;
            if buffer.capacity() > 0 {
                assert!(buffer.is_empty());
                at_once += 1;
                assert_eq!(std::fs::metadata(&path).unwrap().len(), 10 * n);
            }
        }
        assert!(at_once > 0);
        let progress = writer.drain();
        assert_eq!((progress.queued, progress.written, progress.synced), (1000, 1000, 1000));
    }

    #[test]
    fn a_disk_that_refuses_is_reported_and_the_bytes_are_kept() {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry()).unwrap();
        let writer = AofWriter::start(false, mailbox.mailer()).unwrap();
        let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
        writer.switch(full());
        writer.append(b"lost?".to_vec(), &mut full());
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
        writer.append(vec![b'x'; 100_000], &mut appendable(&path));
        drop(writer);
        assert_eq!(std::fs::metadata(path).unwrap().len(), 100_000);
    }
}
