//! Signals as readable events: blocked for the whole process and received through a signalfd. Those of a crash
//! and SIGALRM cannot wait for the loop, and are handled where they come (`crash`, `watchdog`).
//!
//! `SignalSource::install` must run before the first helper thread starts, because threads inherit
//! the mask. What a signal leads to is decided by the loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::process::{crash, watchdog};

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
}

pub struct SignalSource {
    fd: SignalFd,
}

impl SignalSource {
    /// `token` is what the loop is told when a signal has come.
    pub fn install(registry: &Registry, token: Token) -> io::Result<SignalSource> {
        ignore(Signal::SIGPIPE)?;
        crash::handle_signals()?;
        watchdog::listen()?;
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
    for signal in
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGHUP]
    {
        set.add(signal);
    }
    set
}

fn ignore(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring a signal installs no handler that could break async-signal-safety.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}
