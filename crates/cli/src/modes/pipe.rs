//! `--pipe`: raw protocol from the standard input, as fast as the server takes it.
//!
//! Must not: parse what it sends.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::Value;

use crate::Exit;
use crate::connection::Connection;
use crate::shell::session::Session;
use crate::term::{self, fail, os_words, out};

const READ_LEN: usize = 16 * 1024;
/// So much is written before replies are looked at again.
const WRITE_ROUND: usize = 128 * 1024;
/// How often the clock is looked at when nothing happens.
const WAIT_MS: u16 = 1000;
const MAGIC_LEN: usize = 20;

pub(super) fn run(session: Session) -> Result<(), Exit> {
    let timeout_s = session.options.pipe_timeout_s;
    let conn = session.into_connection()?;
    conn.set_nonblocking(true).map_err(|e| {
        fail(format!("Can't set the socket in non blocking mode: {}", os_words(&e)))
    })?;
    let mut pipe = Pipe {
        conn,
        unsent: Vec::new(),
        sent: 0,
        magic: None,
        done: false,
        errors: 0,
        replies: 0,
        last_reply: Instant::now(),
    };
    while !pipe.done {
        let (readable, writable) = pipe.wait();
        if readable {
            pipe.read()?;
        }
        if writable {
            pipe.write()?;
        }
        let silent = pipe.last_reply.elapsed();
        let patience = Duration::from_secs(timeout_s.max(0) as u64 + 1);
        if pipe.magic.is_some() && timeout_s > 0 && silent >= patience && !pipe.done {
            term::err(format!("No replies for {timeout_s} seconds: exiting.\n"));
            pipe.errors += 1;
            break;
        }
    }
    out(format!("errors: {}, replies: {}\n", pipe.errors, pipe.replies));
    if pipe.errors > 0 { Err(Exit(1)) } else { Ok(()) }
}

struct Pipe {
    conn: Connection,
    unsent: Vec<u8>,
    /// Bytes of `unsent` that have left.
    sent: usize,
    /// After the end of input: what the server is asked to say last.
    magic: Option<[u8; MAGIC_LEN]>,
    done: bool,
    errors: u64,
    replies: u64,
    last_reply: Instant,
}

impl Pipe {
    /// Until the socket can be read or, when there is something to send, written.
    fn wait(&self) -> (bool, bool) {
        let mut interest = PollFlags::POLLIN;
        let is_waiting = self.sent < self.unsent.len() || self.conn.wants_write();
        if self.magic.is_none() || is_waiting {
            interest |= PollFlags::POLLOUT;
        }
        let mut fds = [PollFd::new(self.conn.as_fd(), interest)];
        let ready = poll(&mut fds, PollTimeout::from(WAIT_MS)).unwrap_or(0);
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        let broken = events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        let readable = events.contains(PollFlags::POLLIN) || broken;
        (ready > 0 && readable, ready > 0 && events.contains(PollFlags::POLLOUT))
    }

    fn read(&mut self) -> Result<(), Exit> {
        let received = self.conn.receive();
        loop {
            let reply = self.conn.read_received();
            let Some(reply) = reply.map_err(|_| fail("Error reading replies from server"))? else {
                break;
            };
            self.last_reply = Instant::now();
            match (&reply, &self.magic) {
                (Value::Error(text), _) => {
                    term::err([&text[..], b"\n"].concat());
                    self.errors += 1;
                }
                (Value::Bulk(text), Some(magic)) if text == magic => {
                    out("Last reply received from server.\n");
                    self.done = true;
                    return Ok(());
                }
                (Value::Push(_), _) => continue,
                _ => {}
            }
            self.replies += 1;
        }
        match received {
            Err(crate::connection::Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            // What came before the end has been counted and shown.
            Err(_) => Err(Exit(1)),
            Ok(()) => Ok(()),
        }
    }

    fn write(&mut self) -> Result<(), Exit> {
        let mut round = 0;
        while round < WRITE_ROUND {
            if self.sent < self.unsent.len() {
                match self.conn.write_raw(&self.unsent[self.sent..]) {
                    Ok(len) => (self.sent, round) = (self.sent + len, round + len),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => {
                        let why = os_words(&e);
                        return Err(fail(format!("Error writing to the server: {why}")));
                    }
                }
            } else if self.magic.is_some() {
                // What the session has taken and the socket has not.
                let _ = self.conn.send_rest();
                return Ok(());
            } else {
                self.load()?;
            }
        }
        Ok(())
    }

    /// The next of the input; behind it an ECHO, whose reply is the last one.
    fn load(&mut self) -> Result<(), Exit> {
        self.sent = 0;
        self.unsent.resize(READ_LEN, 0);
        let read = nix::unistd::read(io::stdin(), &mut self.unsent)
            .map_err(|e| fail(format!("Error reading from stdin: {}", e.desc())))?;
        self.unsent.truncate(read);
        if read == 0 {
            let mut magic = [0; MAGIC_LEN];
            fastrand::fill(&mut magic);
            self.magic = Some(magic);
            // Should the input end amidst a line, the line end makes what follows a command all the same.
            self.unsent.extend_from_slice(b"\r\n");
            protocol::encode_command(&mut self.unsent, [&b"ECHO"[..], &magic]);
            out("All data transferred. Waiting for the last reply...\n");
            term::flush();
        }
        Ok(())
    }
}
