//! What a connection's bytes travel over, TCP, Unix or TLS over TCP: the same few calls for all.
//!
//! It says by itself whether more can be read and whether the kernel can send a file, so that nobody above asks
//! which one it is. Knows nothing of clients, buffers or protocols.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry};
use socket2::{SockRef, TcpKeepalive};
use tls::{Received, Session};

use crate::net::token::Source;

pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Encrypted>),
}

pub struct Encrypted {
    socket: TcpStream,
    session: Session,
}

/// Bytes of a file in one call: one that takes in a snapshot is not to starve the clients.
const FILE_BUDGET_BYTES: u64 = 1 << 20;
/// The same where they have to pass through our memory.
const COPY_BYTES: u64 = 64 << 10;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Fewer bytes than there was room for: the socket is drained, the next edge will tell of more.
    Drained(usize),
    /// The room was filled, or a part of it by what was there: there may be more, and no edge will say so.
    Filled(usize),
    Closed,
}

impl Transport {
    pub fn encrypted(socket: TcpStream, session: Session) -> Transport {
        Transport::Tls(Box::new(Encrypted { socket, session }))
    }

    pub fn register(&mut self, registry: &Registry, source: Source) -> io::Result<()> {
        let interest = self.interest(false);
        match self {
            Transport::Tcp(s) => registry.register(s, source.token(), interest),
            Transport::Unix(s) => registry.register(s, source.token(), interest),
            Transport::Tls(s) => registry.register(&mut s.socket, source.token(), interest),
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
        let interest = self.interest(on);
        match self {
            Transport::Tcp(s) => registry.reregister(s, source.token(), interest),
            Transport::Unix(s) => registry.reregister(s, source.token(), interest),
            Transport::Tls(s) => registry.reregister(&mut s.socket, source.token(), interest),
        }
    }

    fn interest(&self, writable: bool) -> Interest {
        match self {
            // What it has taken and the socket has not goes on by itself.
            Transport::Tls(_) => Interest::READABLE | Interest::WRITABLE,
            _ if writable => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        }
    }

    pub fn deregister(&mut self, registry: &Registry) {
        // Closing the descriptor would do as well; a failure here leaves nothing behind.
        let _ = match self {
            Transport::Tcp(s) => registry.deregister(s),
            Transport::Unix(s) => registry.deregister(s),
            Transport::Tls(s) => registry.deregister(&mut s.socket),
        };
    }

    /// One `read`. An empty buffer is a caller's mistake, as 0 would look like the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        debug_assert!(!buffer.is_empty());
        loop {
            let result = match self {
                Transport::Tcp(s) => s.read(buffer),
                Transport::Unix(s) => s.read(buffer),
                Transport::Tls(s) => return s.read(buffer),
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
                ([one], Transport::Tcp(s)) => s.write(one),
                ([one], Transport::Unix(s)) => s.write(one),
                (_, Transport::Tls(s)) => return s.session.write(&mut s.socket, slices),
                (many, Transport::Tcp(s)) => s.write_vectored(many),
                (many, Transport::Unix(s)) => s.write_vectored(many),
            };
            return match result {
                Ok(n) => Ok(Some(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
        }
    }

    /// Goes on with what comes before any byte of ours. True when it is done.
    pub fn shake(&mut self) -> io::Result<bool> {
        match self {
            Transport::Tls(s) => s.session.shake(&mut s.socket),
            _ => Ok(true),
        }
    }

    /// What comes before any byte of ours is not done.
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Tls(s) if s.session.is_handshaking())
    }

    /// Sends what was taken by `write` and not by the socket. True when all of it is gone.
    pub fn flush(&mut self) -> io::Result<bool> {
        match self {
            Transport::Tls(s) => s.session.flush(&mut s.socket),
            _ => Ok(true),
        }
    }

    /// Nothing that `write` has taken waits for the socket.
    pub fn is_flushed(&self) -> bool {
        match self {
            Transport::Tls(s) => s.session.is_flushed(),
            _ => true,
        }
    }

    /// Takes leave of the peer, where that is the custom.
    pub fn say_goodbye(&mut self) {
        if let Transport::Tls(s) = self {
            s.session.close(&mut s.socket);
        }
    }

    /// Version and cipher of an encrypted connection.
    pub fn agreed(&self) -> Option<String> {
        match self {
            Transport::Tls(s) => s.session.agreed(),
            _ => None,
        }
    }

    /// At most `len` bytes of a file, in one call; `None` when the socket is full, 0 at the file's end.
    pub fn write_file(&mut self, file: &File, position: u64, len: u64) -> io::Result<Option<u64>> {
        match self.sendfile_door() {
            Some(socket) => send_file(socket, file, position, len),
            None => self.copy_file(file, position, len),
        }
    }

    /// Where the kernel can put the bytes of a file by itself; a transport that changes what it sends has none.
    fn sendfile_door(&self) -> Option<RawFd> {
        match self {
            Transport::Tls(_) => None,
            _ => Some(self.raw_fd()),
        }
    }

    fn copy_file(&mut self, file: &File, position: u64, len: u64) -> io::Result<Option<u64>> {
        let mut block = vec![0; len.min(COPY_BYTES) as usize];
        let n = file.read_at(&mut block, position)?;
        if n == 0 {
            return Ok(Some(0));
        }
        Ok(self.write(&[IoSlice::new(&block[..n])])?.map(|n| n as u64))
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Transport::Tcp(s) => Some(s),
            Transport::Unix(_) => None,
            Transport::Tls(s) => Some(&s.socket),
        }
    }

    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.tcp().map_or(Ok(()), |s| s.set_nodelay(on))
    }

    /// Probes start after `idle_s` seconds of silence and come three to that time, so that a dead
    /// peer is noticed after about twice of it. 0 leaves keepalive off.
    pub fn set_keepalive(&self, idle_s: u64) -> io::Result<()> {
        let Some(s) = self.tcp() else { return Ok(()) };
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
        self.tcp()?.peer_addr().ok()
    }

    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp()?.local_addr().ok()
    }

    /// What a non-blocking connect ended with.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Transport::Tcp(s) => s.take_error(),
            Transport::Unix(s) => s.take_error(),
            Transport::Tls(s) => s.socket.take_error(),
        }
    }

    pub fn raw_fd(&self) -> RawFd {
        match self {
            Transport::Tcp(s) => s.as_raw_fd(),
            Transport::Unix(s) => s.as_raw_fd(),
            Transport::Tls(s) => s.socket.as_raw_fd(),
        }
    }
}

impl Encrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        match self.session.read(&mut self.socket, buffer) {
            Ok(Received::Bytes { len, more: true }) => Ok(ReadOutcome::Filled(len)),
            Ok(Received::Bytes { len, more: false }) => Ok(ReadOutcome::Drained(len)),
            Ok(Received::Closed) => Ok(ReadOutcome::Closed),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(ReadOutcome::Drained(0)),
            Err(e) => Err(e),
        }
    }
}

/// One sendfile; `None` when the socket is full.
fn send_file(socket: RawFd, file: &File, position: u64, len: u64) -> io::Result<Option<u64>> {
    let count = len.min(FILE_BUDGET_BYTES) as usize;
    loop {
        let mut offset = position as i64;
        // SAFETY: both descriptors are open and ours, and `offset` is a valid place to write to.
        let n = unsafe { libc::sendfile(socket, file.as_raw_fd(), &mut offset, count) };
        if n >= 0 {
            return Ok(Some(n as u64));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(None),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_arrives_alike_by_the_kernel_and_through_memory() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut transport = Transport::Unix(one);
        assert_eq!(transport.write_file(&file, 2, 5).unwrap(), Some(5));
        assert_eq!(transport.copy_file(&file, 2, 5).unwrap(), Some(5));
        let mut got = [0; 10];
        other.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"2345623456");
        assert_eq!(transport.write_file(&file, 10, 5).unwrap(), Some(0));
        assert_eq!(transport.copy_file(&file, 10, 5).unwrap(), Some(0));
    }
}
