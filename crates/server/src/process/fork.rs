//! What a forked child does first: a copy of one thread, in a process where the others' locks may be held for ever,
//! with descriptors that are its parent's. Must not know what the child is for.

use std::os::fd::RawFd;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::process::{logging, signals};

/// Makes of the calling process a child that logs nothing, ends with its parent, and holds the descriptors in `keep`
/// and those of standard input and output alone: one that outlives its parent holds no port and no client's connection.
pub fn enter_child(parent: Pid, keep: &[RawFd]) {
    // A lock of the logger may be held by a thread that does not exist here.
    logging::silence();
    signals::restore_in_child();
    die_with_parent(parent);
    close_all_but(keep);
}

/// A child that outlives a parent killed by force would put an old snapshot in the place of what a
/// restarted parent has saved since.
fn die_with_parent(parent: Pid) {
    // SAFETY: sets an attribute of this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, Signal::SIGKILL as libc::c_int) };
    // It may have died before the line above.
    if nix::unistd::getppid() != parent {
        // SAFETY: ends this process at once, which is all it would have done.
        unsafe { libc::_exit(1) };
    }
}

fn close_all_but(keep: &[RawFd]) {
    let mut kept: Vec<u32> = keep.iter().map(|fd| *fd as u32).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if fd > first {
            let last = if fd == u32::MAX { u32::MAX } else { fd - 1 };
            // SAFETY: closes descriptors of this process alone, of which it uses none: the parent's
            // objects that own them are never dropped here.
            unsafe { libc::close_range(first, last, 0) };
        }
        first = first.max(fd.saturating_add(1));
    }
}
