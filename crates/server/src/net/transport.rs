//! A connected socket, TCP or Unix: the same few calls for both.
//!
//! Knows nothing of clients, buffers or protocols.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry};
use socket2::{SockRef, TcpKeepalive};

use crate::net::token::Source;

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Fewer bytes than there was room for: the socket is drained, the next edge will tell of more.
    Drained(usize),
    /// The room was filled: there may be more, and no edge will say so.
    Filled(usize),
    Closed,
}

impl Stream {
    pub fn register(&mut self, registry: &Registry, source: Source) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => registry.register(s, source.token(), Interest::READABLE),
            Stream::Unix(s) => registry.register(s, source.token(), Interest::READABLE),
        }
    }

    /// Asks to hear of writability too, or no longer. Called only when a socket is full, and when
    /// it no longer is: most sockets never are.
    pub fn watch_writable(
        &mut self,
        registry: &Registry,
        source: Source,
        on: bool,
    ) -> io::Result<()> {
        let interest =
            if on { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        match self {
            Stream::Tcp(s) => registry.reregister(s, source.token(), interest),
            Stream::Unix(s) => registry.reregister(s, source.token(), interest),
        }
    }

    pub fn deregister(&mut self, registry: &Registry) {
        // Closing the descriptor would do as well; a failure here leaves nothing behind.
        let _ = match self {
            Stream::Tcp(s) => registry.deregister(s),
            Stream::Unix(s) => registry.deregister(s),
        };
    }

    /// One `read`. An empty buffer is a caller's mistake, as 0 would look like the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        debug_assert!(!buffer.is_empty());
        loop {
            let result = match self {
                Stream::Tcp(s) => s.read(buffer),
                Stream::Unix(s) => s.read(buffer),
            };
            return match result {
                Ok(0) => Ok(ReadOutcome::Closed),
                Ok(n) if n < buffer.len() => Ok(ReadOutcome::Drained(n)),
                Ok(n) => Ok(ReadOutcome::Filled(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(ReadOutcome::Drained(0)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
        }
    }

    /// One `writev`; `None` when the socket is full.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        loop {
            // A plain write is the cheaper call, and most replies are one slice.
            let result = match (slices, &mut *self) {
                ([one], Stream::Tcp(s)) => s.write(one),
                ([one], Stream::Unix(s)) => s.write(one),
                (many, Stream::Tcp(s)) => s.write_vectored(many),
                (many, Stream::Unix(s)) => s.write_vectored(many),
            };
            return match result {
                Ok(n) => Ok(Some(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
        }
    }

    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => s.set_nodelay(on),
            Stream::Unix(_) => Ok(()),
        }
    }

    /// Probes start after `idle_s` seconds of silence and come three to that time, so that a dead
    /// peer is noticed after about twice of it. 0 leaves keepalive off.
    pub fn set_keepalive(&self, idle_s: u64) -> io::Result<()> {
        let Stream::Tcp(s) = self else { return Ok(()) };
        if idle_s == 0 {
            return Ok(());
        }
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(idle_s))
            .with_interval(Duration::from_secs((idle_s / 3).max(1)))
            .with_retries(3);
        SockRef::from(s).set_tcp_keepalive(&keepalive)
    }

    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(s) => s.peer_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(s) => s.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// What a non-blocking connect ended with.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Stream::Tcp(s) => s.take_error(),
            Stream::Unix(s) => s.take_error(),
        }
    }

    pub fn raw_fd(&self) -> RawFd {
        match self {
            Stream::Tcp(s) => s.as_raw_fd(),
            Stream::Unix(s) => s.as_raw_fd(),
        }
    }
}
