//! SIGALRM leaves the loop's stack in the log: from an operator who asks where the server stands, and from the
//! software watchdog (`watchdog-period`), when a turn of the loop takes too long. It is the loop's own thread
//! that is interrupted, wherever it is, so nothing here may take a lock, allocate or go by the log's buffers.
//! The frames are told as addresses: `addr2line` knows their names.

use std::ffi::{c_int, c_void};
use std::fmt::Write;
use std::io;
use std::ptr::null_mut;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::process::crash::{RawLog, instruction};

const FRAMES_MAX: usize = 100;

/// The period in use: none is 0.
#[derive(Debug, Default)]
pub struct Watchdog {
    period_ms: u32,
}

impl Watchdog {
    /// From now on a turn of `period_ms` or more is told of; of 0 none is. `rewind` has to be called more often
    /// than that.
    pub fn set_period(&mut self, period_ms: u32) {
        self.period_ms = period_ms;
        arm(period_ms);
    }

    /// The loop is alive.
    pub fn rewind(&self) {
        if self.period_ms != 0 {
            arm(self.period_ms);
        }
    }
}

/// To be called by the process's first thread, which Linux hands a process's signals as long as it takes them:
/// so it is the loop that is interrupted, whatever other threads there are.
pub fn listen() -> io::Result<()> {
    // What the first call loads, no later one has to: the handler may be in the midst of anything.
    frames(&mut [null_mut(); 1]);
    let handler = SigHandler::SigAction(on_alarm);
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESTART;
    // SAFETY: the handler keeps to async-signal-safe functions, and to `backtrace`, which is one once it has
    // been called.
    unsafe { sigaction(Signal::SIGALRM, &SigAction::new(handler, flags, SigSet::empty())) }?;
    Ok(())
}

fn arm(period_ms: u32) {
    let at = libc::timeval {
        tv_sec: (period_ms / 1000).into(),
        tv_usec: (period_ms % 1000 * 1000).into(),
    };
    let once =
        libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: at };
    // SAFETY: the pointer is to a value that outlives the call, which cannot fail with such a one.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const once, null_mut()) };
}

extern "C" fn on_alarm(_: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let mut log = RawLog::open();
    // SAFETY: it is the description that the kernel has passed. What no process has sent is the timer's.
    let why = match unsafe { (*info).si_code } {
        ..=0 => "Received SIGALRM",
        1.. => "--- WATCHDOG TIMER EXPIRED ---",
    };
    // SAFETY: it is the context that the kernel has passed; both other calls always succeed.
    let (at, pid, now_s) =
        unsafe { (instruction(context), libc::getpid(), libc::time(null_mut())) };
    let mut stack = [null_mut(); FRAMES_MAX];
    let depth = frames(&mut stack);
    // Nothing that is written can fail: it goes as far as it can.
    let head = format_args!("{pid}:signal-handler ({now_s})");
    let _ = writeln!(log, "{head} \n{why}");
    let _ = writeln!(log, "Interrupted the instruction at: {at:#x}\n\n------ STACK TRACE ------");
    log.write_frames(&stack[..depth]);
    let _ = writeln!(log, "{head} --------\n");
    log.close();
}

#[cfg(target_env = "gnu")]
fn frames(stack: &mut [*mut c_void]) -> usize {
    // SAFETY: the pointer is to as many places as are told.
    let found = unsafe { libc::backtrace(stack.as_mut_ptr(), stack.len() as c_int) };
    usize::try_from(found).unwrap_or(0)
}

/// Other libraries of C have no such function.
#[cfg(not(target_env = "gnu"))]
fn frames(_: &mut [*mut c_void]) -> usize {
    0
}
