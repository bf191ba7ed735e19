//! The process's own ends: its outputs, its terminal, the signals that reach it.
//!
//! Must not: know what is printed, or why.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::pipe2;

use crate::Exit;

const LINES_READ_LEN: usize = 16 * 1024;

/// Writes to the standard output, where it waits for [`flush`] or a line end.
pub fn out(bytes: impl AsRef<[u8]>) {
    if std::io::stdout().lock().write_all(bytes.as_ref()).is_err() {
        // Nobody reads us any more.
        std::process::exit(1);
    }
}

pub fn flush() {
    let _ = std::io::stdout().lock().flush();
}

/// Writes to the standard error; what was printed before appears before it.
pub fn err(bytes: impl AsRef<[u8]>) {
    flush();
    let _ = std::io::stderr().write_all(bytes.as_ref());
}

/// Says why, and ends with status 1.
pub fn fail(text: impl AsRef<[u8]>) -> Exit {
    err(text);
    err("\n");
    Exit(1)
}

/// What the operating system says, without Rust's "(os error 2)".
pub fn os_words(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Tests of terminal programs set this to be taken for a terminal, as redis-cli does.
fn is_faked() -> bool {
    std::env::var_os("FAKETTY").is_some()
}

pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal() || is_faked()
}

pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether lines are asked for with a prompt.
pub fn stdin_wants_prompt() -> bool {
    stdin_is_terminal() || std::env::var_os("FAKETTY_WITH_PROMPT").is_some()
}

/// Terminals in which lines cannot be edited.
pub fn is_plain_terminal() -> bool {
    std::env::var("TERM")
        .is_ok_and(|name| ["dumb", "cons25", "emacs"].iter().any(|n| n.eq_ignore_ascii_case(&name)))
}

pub fn has_colours() -> bool {
    std::env::var("TERM").is_ok_and(|name| name.contains("xterm"))
}

/// All of the standard input.
pub fn read_stdin() -> Result<Vec<u8>, Exit> {
    let mut bytes = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => Err(fail(format!("Reading from standard input: {}", os_words(&e)))),
    }
}

/// The lines of the standard input, and what was read of the next ones.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    pos: usize,
}

impl Lines {
    /// Whether a line can be had without waiting.
    pub fn is_ready(&self) -> bool {
        self.buffer[self.pos..].contains(&b'\n')
    }

    /// The next line, without its end; `None` at the end of input.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(len) = self.buffer[self.pos..].iter().position(|&b| b == b'\n') {
                let line = self.buffer[self.pos..self.pos + len].to_vec();
                self.pos += len + 1;
                return Some(line);
            }
            self.buffer.drain(..self.pos);
            self.pos = 0;
            let begin = self.buffer.len();
            self.buffer.resize(begin + LINES_READ_LEN, 0);
            if !wait_uninterrupted(&std::io::stdin()) {
                self.buffer.truncate(begin);
                return None;
            }
            let read = nix::unistd::read(std::io::stdin(), &mut self.buffer[begin..]);
            self.buffer.truncate(begin + read.unwrap_or(0));
            match read {
                Ok(0) if begin == 0 => return None,
                Ok(0) => return Some(std::mem::take(&mut self.buffer)),
                Ok(_) => {}
                Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }
}

/// A password, typed without being shown.
pub fn ask_password(prompt: &str) -> Option<Vec<u8>> {
    if stdin_is_terminal() {
        out(prompt);
        flush();
    }
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin).ok();
    if let Some(mut hidden) = shown.clone() {
        hidden.local_flags.remove(LocalFlags::ECHO);
        let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden);
    }
    // Byte by byte: what follows is for others to read.
    let mut password = Some(Vec::new());
    let mut byte = [0];
    loop {
        match nix::unistd::read(std::io::stdin(), &mut byte) {
            Ok(1) if byte != *b"\n" => password.get_or_insert_default().push(byte[0]),
            Ok(1) => break,
            _ => {
                password = password.filter(|typed| !typed.is_empty());
                break;
            }
        }
    }
    if let Some(shown) = shown {
        let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &shown);
        out("\n");
    }
    password
}

/// While this lives, a key is noticed when it is pressed, and not shown.
#[derive(Debug)]
pub struct Keys {
    before: Option<Termios>,
}

impl Keys {
    pub fn each() -> Self {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(mut each) = before.clone() {
            each.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            let _ = tcsetattr(&stdin, SetArg::TCSANOW, &each);
        }
        Self { before }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// Waits until one of these can be read: which can. A Ctrl-C that is noted ends it, too.
pub fn wait_readable<const N: usize>(fds: [&dyn AsFd; N], timeout: Duration) -> [bool; N] {
    let polled = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut all: Vec<_> = fds.iter().map(|fd| polled(fd.as_fd())).collect();
    all.extend(INTERRUPTS.get().map(|(reader, _)| polled(reader.as_fd())));
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    let _ = nix::poll::poll(&mut all, timeout);
    std::array::from_fn(|i| all[i].any().unwrap_or(false))
}

/// Ctrl-C as a byte in a pipe: a wait that begins after the signal sees it all the same.
/// (A flag alone is looked at too early, and the wait behind it never ends.)
static INTERRUPTS: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

extern "C" fn note_interrupt(_signal: i32) {
    let errno = Errno::last_raw();
    if let Some((_, writer)) = INTERRUPTS.get() {
        // A full pipe tells enough.
        let _ = nix::unistd::write(writer, &[1]);
    }
    // Whoever was interrupted between a call and the look at its error sees its own.
    Errno::set_raw(errno);
}

/// From now on Ctrl-C is noted, and ends a wait for the network, but not the process.
pub fn note_interrupts() {
    if INTERRUPTS.get().is_none() {
        // Without a pipe Ctrl-C keeps its usual meaning.
        let Ok(pipe) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC) else { return };
        let _ = INTERRUPTS.set(pipe);
    }
    let handler = SigHandler::Handler(note_interrupt);
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler calls nothing but `write`, which is allowed at any time, and keeps errno.
    let _ = unsafe { sigaction(Signal::SIGINT, &action) };
}

/// Whether there was a Ctrl-C since the last time that this was asked.
pub fn was_interrupted() -> bool {
    let Some((reader, _)) = INTERRUPTS.get() else { return false };
    let mut noted = [0; 64];
    let mut any = false;
    while let Ok(1..) = nix::unistd::read(reader, &mut noted) {
        any = true;
    }
    any
}

/// Waits until this can be read, or has ended; false when a Ctrl-C ends the wait.
pub fn wait_uninterrupted(fd: &dyn AsFd) -> bool {
    let Some((reader, _)) = INTERRUPTS.get() else { return true };
    loop {
        let mut polled = [reader.as_fd(), fd.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match nix::poll::poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            // Where there is nothing to wait by, the read itself says why.
            Err(_) => return true,
            Ok(_) => return !polled[0].any().unwrap_or(false),
        }
    }
}

/// As ever in a pipeline: who writes to nobody ends. (Sockets do not raise this signal.)
pub fn die_on_broken_pipes() {
    // SAFETY: the default action runs no code of ours.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn an_interrupt_before_a_wait_ends_it() {
        let (silent, _peer) = UnixStream::pair().expect("descriptors are left");
        note_interrupts();
        raise(Signal::SIGINT).expect("a process may signal itself");
        assert!(!wait_uninterrupted(&silent));
        assert!(was_interrupted());
        assert!(!was_interrupted());
    }
}
