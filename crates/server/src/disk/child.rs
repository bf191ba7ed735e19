//! Forked children: starting one, hearing its reports, reaping and killing it.
//!
//! A child has a copy of the whole keyspace at one instant for the price of a page table. It only
//! writes its file or pipe, reports through another pipe and `_exit`s: it runs no destructor, logs
//! nothing and takes no lock but the allocator's (whose fork handlers make that safe), because any
//! other lock may be held for ever by a thread that does not exist in the child.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use persist::contained::contained;

use crate::process::clock;
use crate::process::fork::enter_child;
use crate::process::os_error::os_error;

/// What a child says. `done` reports come once, as the last words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub done: bool,
    pub keys: u64,
    /// Bytes written so far.
    pub size_bytes: u64,
    /// Pages that the fork has cost so far.
    pub cow_bytes: u64,
    /// Why it failed; empty when all is well.
    pub error: String,
}

/// A running child, in its parent.
pub struct Child {
    pid: i32,
    started_us: u64,
    fork_us: u64,
    report: File,
    partial: Vec<u8>,
    last: Report,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// The child's way to speak to its parent.
pub struct Reporter {
    pipe: File,
    next_us: u64,
}

/// Error texts are cut to fit, so that a report is one atomic write to the pipe.
const ERROR_MAX: usize = 200;
const REPORT_LEN: usize = 1 + 3 * 8 + 1 + ERROR_MAX;
const PROGRESS_INTERVAL_US: u64 = 1_000_000;

/// Forks. The child runs `work`, which may write to the descriptors in `keep` and whatever it opens
/// itself; every other descriptor is closed in it first, so that a child which outlives its parent
/// holds no port and no client's connection.
pub fn spawn(
    keep: &[RawFd],
    work: impl FnOnce(&mut Reporter) -> io::Result<Report>,
) -> io::Result<Child> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let before_us = clock::mono_us();
    let parent = nix::unistd::getpid();
    // SAFETY: the process has other threads, so the child must not touch what they may have locked.
    // It only runs `work`, which by this module's rule takes no lock but the allocator's.
    match unsafe { fork() }? {
        ForkResult::Child => run_child(parent, writer, keep, work),
        ForkResult::Parent { child } => Ok(Child {
            pid: child.as_raw(),
            started_us: before_us,
            fork_us: clock::mono_us() - before_us,
            report: File::from(reader),
            partial: Vec::new(),
            last: Report::default(),
        }),
    }
}

impl Child {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// How long the fork took.
    pub fn fork_us(&self) -> u64 {
        self.fork_us
    }

    pub fn elapsed_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.started_us)
    }

    /// The latest that it has said; its last words once it is reaped.
    pub fn report(&self) -> &Report {
        &self.last
    }

    pub fn report_fd(&self) -> RawFd {
        self.report.as_raw_fd()
    }

    /// Takes in what the child has said so far.
    pub fn read_reports(&mut self) {
        let mut buffer = [0; 4 * REPORT_LEN];
        while let Ok(n) = self.report.read(&mut buffer) {
            if n == 0 {
                break;
            }
            self.partial.extend_from_slice(&buffer[..n]);
        }
        while self.partial.len() >= REPORT_LEN {
            let rest = self.partial.split_off(REPORT_LEN);
            self.last = decode(&self.partial);
            self.partial = rest;
        }
    }

    /// How the child ended, if it has.
    pub fn reap(&mut self) -> Option<Exit> {
        let exit = match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Exit::Code(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => Exit::Signal(signal as i32),
            _ => return None,
        };
        self.read_reports();
        Some(exit)
    }

    /// Ends the child. It is gone once it is reaped, which the caller has to see to: a call that it is in
    /// may still be finished, and its pages have to be freed. So is what it has written.
    pub fn kill(&self) -> i32 {
        // It may have ended by itself a moment ago; then there is nothing to kill.
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        self.pid
    }
}

impl Reporter {
    /// Tells the parent how far the work is, at most once a second: cheap to call often.
    pub fn progress(&mut self, keys: u64, size_bytes: u64) -> io::Result<()> {
        let now_us = clock::mono_us();
        if now_us < self.next_us {
            return Ok(());
        }
        self.next_us = now_us + PROGRESS_INTERVAL_US;
        let cow_bytes = private_dirty_bytes();
        let report = Report { keys, size_bytes, cow_bytes, ..Report::default() };
        // Nobody to read it means that the parent is gone: there is no one left to work for.
        self.pipe.write_all(&encode(&report))
    }
}

fn run_child(
    parent: Pid,
    writer: OwnedFd,
    keep: &[RawFd],
    work: impl FnOnce(&mut Reporter) -> io::Result<Report>,
) -> ! {
    enter_child(parent, &[keep, &[writer.as_raw_fd()]].concat());
    let next_us = clock::mono_us() + PROGRESS_INTERVAL_US;
    let mut reporter = Reporter { pipe: File::from(writer), next_us };
    let mut report = match contained(|| work(&mut reporter)) {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => Report { error: os_error(&error), ..Report::default() },
        Err(why) => Report { error: format!("panicked: {why}"), ..Report::default() },
    };
    report.done = true;
    report.cow_bytes = private_dirty_bytes();
    let sent = reporter.pipe.write_all(&encode(&report)).is_ok();
    let code = if sent && report.error.is_empty() { 0 } else { 1 };
    // SAFETY: ends the process without running the parent's destructors and exit handlers, which
    // would flush and remove what belongs to the parent.
    unsafe { libc::_exit(code) }
}

/// What this process has written to since the fork: pages that are its own and dirty.
fn private_dirty_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kb.unwrap_or(0) * 1024
}

fn encode(report: &Report) -> [u8; REPORT_LEN] {
    let mut out = [0; REPORT_LEN];
    let error = &report.error.as_bytes()[..report.error.len().min(ERROR_MAX)];
    out[0] = u8::from(report.done);
    out[1..9].copy_from_slice(&report.keys.to_le_bytes());
    out[9..17].copy_from_slice(&report.size_bytes.to_le_bytes());
    out[17..25].copy_from_slice(&report.cow_bytes.to_le_bytes());
    out[25] = error.len() as u8;
    out[26..26 + error.len()].copy_from_slice(error);
    out
}

fn decode(bytes: &[u8]) -> Report {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let error = &bytes[26..26 + (bytes[25] as usize).min(ERROR_MAX)];
    Report {
        done: bytes[0] != 0,
        keys: word(1),
        size_bytes: word(9),
        cow_bytes: word(17),
        error: String::from_utf8_lossy(error).into_owned(),
    }
}

/// A pipe whose reading end does not block: the parent's side of a diskless snapshot.
pub fn snapshot_pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((File::from(reader), writer))
}

/// A second handle for a descriptor that a child inherited, without owning it twice.
///
/// # Safety
/// `fd` must be open in this process and must not be closed by anyone else.
pub unsafe fn file_in_child(fd: RawFd) -> File {
    // SAFETY: the caller's promise.
    unsafe { File::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_for(child: &mut Child) -> Exit {
        loop {
            // SAFETY: a siginfo_t is a plain C struct, for which zeros are a value.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            // SAFETY: `info` is a valid siginfo_t to write to. The wait leaves the child to `reap`.
            unsafe {
                libc::waitid(
                    libc::P_PID,
                    child.pid as u32,
                    &mut info,
                    libc::WEXITED | libc::WNOWAIT,
                )
            };
            if let Some(exit) = child.reap() {
                return exit;
            }
        }
    }

    #[test]
    fn a_child_reports_its_result_and_ends_with_zero() {
        let work = |_: &mut Reporter| Ok(Report { keys: 7, size_bytes: 99, ..Report::default() });
        let mut child = spawn(&[], work).unwrap();
        assert_eq!(wait_for(&mut child), Exit::Code(0));
        assert!(child.last.done);
        assert_eq!((child.last.keys, child.last.size_bytes), (7, 99));
        assert!(child.last.cow_bytes > 0);
    }

    #[test]
    fn a_child_that_fails_says_why() {
        let mut child = spawn(&[], |_| Err(io::Error::other("disk on fire"))).unwrap();
        assert_eq!(wait_for(&mut child), Exit::Code(1));
        assert_eq!(child.last.error, "disk on fire");
    }

    #[test]
    fn a_long_error_is_cut_not_lost() {
        let report = Report { error: "x".repeat(1000), done: true, ..Report::default() };
        assert_eq!(decode(&encode(&report)).error.len(), ERROR_MAX);
    }

    #[test]
    fn a_child_holds_only_what_it_was_given() {
        let (mut reader, writer) = snapshot_pipe().unwrap();
        let other = File::open("/dev/null").unwrap();
        let (kept, unwanted) = (writer.as_raw_fd(), other.as_raw_fd());
        let mut child = spawn(&[kept], move |_| {
            // SAFETY: asks whether a descriptor is open, nothing else.
            let open = unsafe { libc::fcntl(unwanted, libc::F_GETFD) } != -1;
            // SAFETY: the pipe's writing end is open and only used here in this process.
            let mut pipe = unsafe { file_in_child(kept) };
            pipe.write_all(if open { b"open" } else { b"closed" })?;
            Ok(Report::default())
        })
        .unwrap();
        drop(writer);
        assert_eq!(wait_for(&mut child), Exit::Code(0));
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "closed");
    }
}
