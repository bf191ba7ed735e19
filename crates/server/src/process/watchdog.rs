//! The software watchdog (`watchdog-period`): a turn of the loop that takes too long leaves its stack in the
//! log. It is the loop's own thread that is interrupted, wherever it is, so nothing here may take a lock,
//! allocate or go by the log's buffers. The frames are told as addresses: `addr2line` knows their names.

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
    pub fn set_period(&mut self, period_ms: u32) -> io::Result<()> {
        let was_on = std::mem::replace(&mut self.period_ms, period_ms) != 0;
        if period_ms == 0 {
            arm(0);
            return if was_on { listen(false) } else { Ok(()) };
        }
        if !was_on {
            // What the first call loads, no later one has to: the handler may be in the midst of anything.
            frames(&mut [null_mut(); 1]);
            listen(true)?;
        }
        self.rewind();
        Ok(())
    }

    /// The loop is alive.
    pub fn rewind(&self) {
        if self.period_ms != 0 {
            arm(self.period_ms);
        }
    }
}

/// SIGALRM otherwise waits, like the others, until the loop reads it. To be called by the loop's thread.
fn listen(on: bool) -> io::Result<()> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGALRM);
    if on {
        let handler = SigHandler::SigAction(on_expiry);
        let action =
            SigAction::new(handler, SaFlags::SA_SIGINFO | SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler keeps to async-signal-safe functions, and to `backtrace`, which is one once it
        // has been called.
        unsafe { sigaction(Signal::SIGALRM, &action) }?;
        return Ok(set.thread_unblock()?);
    }
    set.thread_block()?;
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
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

extern "C" fn on_expiry(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let mut log = RawLog::open();
    // SAFETY: it is the context that the kernel has passed; both other calls always succeed.
    let (at, pid, now_s) =
        unsafe { (instruction(context), libc::getpid(), libc::time(null_mut())) };
    let mut stack = [null_mut(); FRAMES_MAX];
    let depth = frames(&mut stack);
    // Nothing that is written can fail: it goes as far as it can.
    let head = format_args!("{pid}:signal-handler ({now_s})");
    let _ = writeln!(log, "{head} \n--- WATCHDOG TIMER EXPIRED ---");
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
