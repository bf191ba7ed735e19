//! A socket that blocks, plain or encrypted, for what the loop itself has to wait for. Every read and write ends by a
//! deadline, however little at a time the other end gives or takes. Knows nothing of what is said.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tls::{Received, Session};

pub struct Wire {
    socket: TcpStream,
    session: Option<Box<Session>>,
    deadline: Instant,
}

/// The socket itself, by the deadline of the step.
struct Until<'a> {
    socket: &'a TcpStream,
    deadline: Instant,
}

impl Wire {
    /// Connects, and makes the ends known to each other where a `session` is given.
    pub fn connect(
        addr: &SocketAddr,
        session: Option<Session>,
        deadline: Instant,
    ) -> io::Result<Wire> {
        let socket = TcpStream::connect_timeout(addr, left_until(deadline)?)?;
        socket.set_nodelay(true)?;
        let mut wire = Wire { socket, session: session.map(Box::new), deadline };
        let mut until = Until { socket: &wire.socket, deadline };
        let is_known = match &mut wire.session {
            Some(session) => session.shake(&mut until)?,
            None => true,
        };
        if is_known { Ok(wire) } else { Err(late()) }
    }

    /// By when what is read and written from now on has to be done.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut until = Until { socket: &self.socket, deadline: self.deadline };
        let Some(session) = &mut self.session else { return until.read(into) };
        loop {
            match session.read(&mut until, into)? {
                // A part of a record, or a ticket.
                Received::Bytes { len: 0, .. } => {}
                Received::Bytes { len, .. } => return Ok(len),
                Received::Closed => return Ok(0),
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut until = Until { socket: &self.socket, deadline: self.deadline };
        match &mut self.session {
            Some(session) => session.write(&mut until, &[IoSlice::new(bytes)])?.ok_or_else(late),
            None => until.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut until = Until { socket: &self.socket, deadline: self.deadline };
        let is_gone = match &mut self.session {
            Some(session) => session.flush(&mut until)?,
            None => true,
        };
        if is_gone { Ok(()) } else { Err(late()) }
    }
}

impl Drop for Wire {
    /// Takes leave of the peer, if that costs no wait.
    fn drop(&mut self) {
        if let Some(session) = &mut self.session
            && self.socket.set_nonblocking(true).is_ok()
        {
            session.close(&mut self.socket);
        }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left_until(self.deadline)?))?;
        self.socket.read(into)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left_until(self.deadline)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn left_until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}
