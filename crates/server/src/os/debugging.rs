//! Sessions of the debugger of scripts: what is said over a client's socket in the midst of its command, in this process
//! or in one that is the session's own. What is said is the engine's business.
//!
//! # A session in a fork
//!
//! The child is a copy of the loop's thread, in the midst of EVAL. It goes on with the engine, which knows no thread,
//! lock, file or socket, over a world that has none of them either (`node::Console`) but for the one connection and
//! the clock; and ends by `_exit` with the script. So it keeps the rule of all children here: no lock but the
//! allocator's, whose fork handlers make that safe. The connection's memory is a copy, too. It is the child's from then
//! on: the parent closes its descriptor without a word, which over TLS would be one amid the child's.

use std::io::IoSlice;
use std::os::fd::RawFd;

use engine::world::Heard;
use engine::{ClientId, CommandError};
use log::warn;
use nix::unistd::{ForkResult, fork, getpid};
use node::{Console, Side};

use crate::net::conn::Conn;
use crate::net::link::Link;
use crate::net::transport::ReadOutcome;
use crate::os::host::Host;
use crate::process::clock;
use crate::process::fork::enter_child;

/// Who does not read for so long is taken for gone.
const SEND_TIMEOUT_MS: i32 = 5_000;
/// How long the others wait for an answer while nothing is said here.
const PATIENCE_MS: i32 = 20;
const READ_BYTES: usize = 4096;

impl Host {
    pub fn fork_session(&mut self, client: ClientId) -> Result<Side, CommandError> {
        let failed = |why: &str| {
            CommandError::err(format_args!(
                "Fork() failed: can't run EVAL in debugging mode: {why}"
            ))
        };
        let Some(conn) = self.net.conns.get_mut(client) else {
            return Err(failed(nix::errno::Errno::ENOTCONN.desc()));
        };
        if !conn.link().transport().is_flushed() {
            return Err(failed(nix::errno::Errno::EAGAIN.desc()));
        }
        let (fd, parent) = (conn.link().transport().raw_fd(), getpid());
        // SAFETY: the process has other threads, so the child must not touch what they may have locked: see the
        // module's description.
        match unsafe { fork() } {
            Err(errno) => Err(failed(errno.desc())),
            Ok(ForkResult::Parent { child }) => {
                conn.link_mut().hand_over();
                self.net.conns.doom(client);
                self.process.sessions.note(child);
                warn!("Redis forked for debugging eval");
                Ok(Side::Parent)
            }
            Ok(ForkResult::Child) => {
                enter_child(parent, &[fd]);
                match self.net.conns.remove(client) {
                    Some(conn) => Ok(Side::Child(Box::new(ChildConsole { conn }))),
                    // It was there a moment ago.
                    // SAFETY: ends this process at once.
                    None => unsafe { libc::_exit(1) },
                }
            }
        }
    }

    pub fn say_amid_command(&mut self, client: ClientId, bytes: &[u8]) {
        if let Some(conn) = self.net.conns.get_mut(client) {
            send_all(conn.link_mut(), bytes);
            self.turn.stats.net_output_bytes += bytes.len() as u64;
        }
    }

    pub fn hear_amid_command(&mut self, client: ClientId, into: &mut Vec<u8>) -> Heard {
        match self.net.conns.get_mut(client) {
            Some(conn) => hear(conn.link_mut(), into, PATIENCE_MS),
            None => Heard::Gone,
        }
    }
}

/// The session's client, in a process of its own.
struct ChildConsole {
    conn: Box<Conn>,
}

impl Console for ChildConsole {
    fn mono_us(&self) -> u64 {
        clock::mono_us()
    }

    fn say(&mut self, bytes: &[u8]) {
        send_all(self.conn.link_mut(), bytes);
    }

    fn hear(&mut self, into: &mut Vec<u8>) -> Heard {
        hear(self.conn.link_mut(), into, -1)
    }

    fn is_gone(&mut self) -> bool {
        wait_for(self.conn.link().transport().raw_fd(), libc::POLLRDHUP, 0)
    }

    fn exit(&mut self, last_words: &[u8]) -> ! {
        send_all(self.conn.link_mut(), last_words);
        self.conn.link_mut().say_goodbye();
        // SAFETY: ends the process without running the parent's destructors and exit handlers, which would flush and
        // remove what belongs to the parent.
        unsafe { libc::_exit(0) }
    }
}

/// Sends all of it, unless the peer is gone or does not read. That it has not heard all, it will be told by the end.
fn send_all(link: &mut Link, mut bytes: &[u8]) {
    let fd = link.transport().raw_fd();
    while !bytes.is_empty() {
        match link.write(&[IoSlice::new(bytes)]) {
            Ok(Some(n @ 1..)) => bytes = &bytes[n..],
            Ok(_) if wait_for(fd, libc::POLLOUT, SEND_TIMEOUT_MS) => {
                // What is encrypted makes room by leaving.
                if link.push().is_err() {
                    return;
                }
            }
            Ok(_) | Err(_) => return,
        }
    }
    while let Ok(false) = link.push() {
        if !wait_for(fd, libc::POLLOUT, SEND_TIMEOUT_MS) {
            return;
        }
    }
}

/// One read, after a wait of at most `timeout_ms`; for ever, if that is negative.
fn hear(link: &mut Link, into: &mut Vec<u8>, timeout_ms: i32) -> Heard {
    let mut block = [0; READ_BYTES];
    loop {
        match link.read_raw(&mut block) {
            Ok(ReadOutcome::Closed) | Err(_) => return Heard::Gone,
            Ok(ReadOutcome::Drained(n @ 1..) | ReadOutcome::Filled(n @ 1..)) => {
                into.extend_from_slice(&block[..n]);
                return Heard::Bytes;
            }
            // Less than a record of TLS is nothing yet.
            Ok(_) if wait_for(link.transport().raw_fd(), libc::POLLIN, timeout_ms) => {}
            Ok(_) if timeout_ms < 0 => {}
            Ok(_) => return Heard::Nothing,
        }
    }
}

/// Whether there is such an event, an error or the end within `timeout_ms`.
fn wait_for(fd: RawFd, events: libc::c_short, timeout_ms: i32) -> bool {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry, as is told.
    unsafe { libc::poll(&mut entry, 1, timeout_ms) > 0 }
}
