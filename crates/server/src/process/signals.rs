//! Signals as readable events: blocked for the whole process and received through a signalfd.
//!
//! A crash signal that somebody sends ends the process like one that a fault raises; the standard library,
//! which handles those to tell of stack overflows, takes the first one for nothing.
//!
//! `SignalSource::install` must run before the first helper thread starts, because threads inherit
//! the mask. What a signal leads to is decided by the loop.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A signal that means something to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// SIGTERM or SIGINT, for the log line; a second SIGINT means now.
    Terminate { interrupt: bool },
    /// A child may have ended.
    ChildEnded,
    /// SIGUSR1: the log file was rotated.
    ReopenLog,
    /// SIGHUP: what can be reread is to be reread.
    Reload,
    /// SIGALRM, with which operators of Redis ask for a sign of life.
    Alarm,
}

pub struct SignalSource {
    fd: SignalFd,
}

impl SignalSource {
    /// `token` is what the loop is told when a signal has come.
    pub fn install(registry: &Registry, token: Token) -> io::Result<SignalSource> {
        ignore(Signal::SIGPIPE)?;
        end_by_sent(&CRASH_SIGNALS)?;
        let mask = handled();
        mask.thread_block()?;
        let fd = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let raw = fd.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&raw), token, Interest::READABLE)?;
        Ok(SignalSource { fd })
    }

    /// The next pending signal; `None` once drained, as edge-triggered polling asks for.
    pub fn next(&self) -> Option<Received> {
        loop {
            let info = self.fd.read_signal().ok().flatten()?;
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGTERM) => return Some(Received::Terminate { interrupt: false }),
                Ok(Signal::SIGINT) => return Some(Received::Terminate { interrupt: true }),
                Ok(Signal::SIGCHLD) => return Some(Received::ChildEnded),
                Ok(Signal::SIGUSR1) => return Some(Received::ReopenLog),
                Ok(Signal::SIGHUP) => return Some(Received::Reload),
                Ok(Signal::SIGALRM) => return Some(Received::Alarm),
                _ => {}
            }
        }
    }
}

/// Gives a forked child the default behaviour back, so that an operator's SIGTERM ends it.
pub fn restore_in_child() {
    // No call can fail with a valid set, and a child could not tell anyone.
    let _ = ignore(Signal::SIGPIPE);
    // The end of a terminal, or a reload that goes to the whole group, is no reason to give a snapshot up.
    let _ = ignore(Signal::SIGHUP);
    let _ = handled().thread_unblock();
}

fn handled() -> SigSet {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGCHLD,
        Signal::SIGUSR1,
        Signal::SIGHUP,
        Signal::SIGALRM,
    ] {
        set.add(signal);
    }
    set
}

/// What the standard library handles.
const CRASH_SIGNALS: [Signal; 2] = [Signal::SIGSEGV, Signal::SIGBUS];

/// The handlers that were there before ours, in the order of `CRASH_SIGNALS`.
static FAULT_HANDLERS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

fn end_by_sent(signals: &[Signal]) -> io::Result<()> {
    for (signal, before) in signals.iter().zip(&FAULT_HANDLERS) {
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::SigAction(on_crash), flags, SigSet::empty());
        // SAFETY: the handler calls only what is async-signal-safe.
        let old = unsafe { sigaction(*signal, &action) }?;
        if let SigHandler::SigAction(handler) = old.handler() {
            before.store(handler as usize, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Runs on whatever thread a fault or a `kill` interrupts: atomics, `signal` and `raise` only.
extern "C" fn on_crash(number: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let was_sent = unsafe { (*info).si_code } <= 0;
    let at = CRASH_SIGNALS.iter().position(|signal| *signal as c_int == number);
    let before = at.map_or(0, |at| FAULT_HANDLERS[at].load(Ordering::Relaxed));
    if was_sent || before == 0 {
        // SAFETY: both are async-signal-safe. The signal is blocked until we return, then it ends us.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
        return;
    }
    // SAFETY: `before` is what `sigaction` gave for a handler of this signature.
    let before: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
        unsafe { std::mem::transmute(before) };
    before(number, info, context);
}

fn ignore(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring a signal installs no handler that could break async-signal-safety.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}
