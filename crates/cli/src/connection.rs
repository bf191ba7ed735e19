//! One blocking connection of a tool: commands go out, replies of RESP2 and RESP3 come in.
//!
//! Must not: print, or decide what happens after an error. Errors speak hiredis's words, which
//! people and scripts know.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use protocol::{ReplyError, ReplyParser, Value};
use socket2::{SockRef, TcpKeepalive};

use crate::encrypted::Encrypted;
pub use crate::target::Target;
use crate::term::os_words;

/// A server that went away without a word is noticed within this time.
const KEEPALIVE: Duration = Duration::from_secs(15);
const READ_LEN: usize = 64 * 1024;

/// Why there is no reply.
#[derive(Debug)]
pub enum Error {
    /// No such host or port, in the resolver's words.
    Resolve(String),
    Io(io::Error),
    /// The server has ended the connection.
    Closed,
    Protocol(ReplyError),
    /// What the flags of TLS name cannot be used.
    Tls(String),
    /// No connection that is encrypted comes about.
    Handshake(io::Error),
    /// A signal came while we waited.
    Interrupted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(why) => f.write_str(why),
            Self::Io(e) => f.write_str(&os_words(e)),
            Self::Closed => f.write_str("Server closed the connection"),
            Self::Protocol(e) => write!(f, "Protocol error, {e}"),
            Self::Tls(why) => f.write_str(why),
            Self::Handshake(e) => f.write_str(&os_words(e)),
            Self::Interrupted => f.write_str("Interrupted system call"),
        }
    }
}

impl Error {
    /// What is said of a connection that does not come about.
    pub fn refusal(&self, target: &Target) -> String {
        match self {
            Self::Tls(_) | Self::Handshake(_) => {
                format!("Could not negotiate a TLS connection: {self}")
            }
            why => format!("Could not connect to Redis at {}: {why}", target.address(true)),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::Interrupted => Self::Interrupted,
            _ => Self::Io(e),
        }
    }
}

/// The ways to a server.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Encrypted>),
}

/// One connection, with the commands that have not left and the bytes that make no reply yet.
#[derive(Debug)]
pub struct Connection {
    stream: Socket,
    parser: ReplyParser,
    unsent: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects, and says nothing yet.
    pub fn open(target: &Target) -> Result<Self, Error> {
        let stream = match &target.socket {
            Some(path) => Socket::Unix(UnixStream::connect(path)?),
            None => {
                let stream = open_tcp(target)?;
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE)
                    .with_interval(KEEPALIVE / 3)
                    .with_retries(3);
                // Both make a good connection better, and none bad.
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                let _ = stream.set_nodelay(true);
                match target.tls.on {
                    false => Socket::Tcp(stream),
                    true => {
                        let session = target.tls.session().map_err(Error::Tls)?;
                        let mut encrypted = Encrypted::new(stream, session);
                        encrypted.shake().map_err(Error::Handshake)?;
                        Socket::Tls(Box::new(encrypted))
                    }
                }
            }
        };
        let parser = ReplyParser::new();
        Ok(Self { stream, parser, unsent: Vec::new(), buffer: vec![0; READ_LEN] })
    }

    /// Queues a command; it leaves before the next reply is waited for.
    pub fn append<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        protocol::encode_command(&mut self.unsent, args.iter().map(AsRef::as_ref));
    }

    /// Writes what is queued.
    pub fn flush(&mut self) -> Result<(), Error> {
        let unsent = std::mem::take(&mut self.unsent);
        self.stream.write_all(&unsent)?;
        Ok(())
    }

    /// The next value that the server sends, whatever it is. A Ctrl-C that is to be noted ends
    /// the wait for it.
    pub fn read(&mut self) -> Result<Value, Error> {
        self.read_while(|conn| crate::term::wait_uninterrupted(conn))
    }

    fn read_while(&mut self, wait: impl Fn(&Self) -> bool) -> Result<Value, Error> {
        if !self.unsent.is_empty() {
            self.flush()?;
        }
        loop {
            if let Some(value) = self.read_received()? {
                return Ok(value);
            }
            if !wait(self) {
                return Err(Error::Interrupted);
            }
            self.receive()?;
        }
    }

    /// The next value among the bytes that are here already.
    pub fn read_received(&mut self) -> Result<Option<Value>, Error> {
        self.parser.next_value().map_err(Error::Protocol)
    }

    /// Takes in what the socket has, once, and what has been read of it before.
    pub fn receive(&mut self) -> Result<(), Error> {
        loop {
            match self.stream.receive(&mut self.buffer)? {
                Some(0) => return Err(Error::Closed),
                Some(len) => self.parser.feed(&self.buffer[..len]),
                None => {}
            }
            // No wait for the socket tells of it.
            if !self.stream.has_more() {
                return Ok(());
            }
        }
    }

    /// What was written has not left yet.
    pub fn wants_write(&self) -> bool {
        matches!(&self.stream, Socket::Tls(stream) if stream.wants_write())
    }

    /// Sends what was written and has not left.
    pub fn send_rest(&mut self) -> io::Result<()> {
        self.stream.flush()
    }

    /// A command and its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, Error> {
        self.append(args);
        self.read_reply()
    }

    /// The next value that answers a command; what is pushed meanwhile is passed over.
    /// A signal does not end the wait.
    pub fn read_reply(&mut self) -> Result<Value, Error> {
        loop {
            match self.read_while(|_| true) {
                Ok(Value::Push(_)) | Err(Error::Interrupted) => {}
                result => return result,
            }
        }
    }

    /// Bytes that were read past the parser, given back to it.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.parser.feed(bytes);
    }

    /// Bytes as they are, past all queues: the protocol of a replica, and `--pipe`.
    pub fn write_raw(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    /// Bytes as they come, past the parser; 0 at the end.
    pub fn read_raw(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }

    /// The socket alone, for who waits for many.
    pub fn into_socket(self) -> Socket {
        self.stream
    }

    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.stream {
            Socket::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Socket::Unix(stream) => stream.set_nonblocking(nonblocking),
            Socket::Tls(stream) => stream.socket.set_nonblocking(nonblocking),
        }
    }

    /// How long a read waits before it is an error.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Socket::Tcp(stream) => stream.set_read_timeout(timeout),
            Socket::Unix(stream) => stream.set_read_timeout(timeout),
            Socket::Tls(stream) => stream.socket.set_read_timeout(timeout),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
            Socket::Tls(stream) => stream.socket.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Socket {
    /// One read: 0 at the end, `None` when what came was nobody's to see.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Tcp(stream) => stream.read(into).map(Some),
            Self::Unix(stream) => stream.read(into).map(Some),
            Self::Tls(stream) => stream.receive(into),
        }
    }

    /// There may be bytes of which no wait tells.
    fn has_more(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.has_more())
    }
}

/// Tries every address of the host, as long as none answers.
fn open_tcp(target: &Target) -> Result<TcpStream, Error> {
    let mut last = Error::Resolve("Name or service not known".into());
    for address in resolve(target)? {
        let opened = match target.connect_timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match opened {
            Ok(stream) => return Ok(stream),
            Err(e) if e.kind() == io::ErrorKind::TimedOut && target.connect_timeout.is_some() => {
                last = Error::Resolve("Connection timed out".into());
            }
            Err(e) => last = e.into(),
        }
    }
    Err(last)
}

fn resolve(target: &Target) -> Result<Vec<SocketAddr>, Error> {
    let port = u16::try_from(target.port)
        .map_err(|_| Error::Resolve("Servname not supported for ai_socktype".into()))?;
    let host = String::from_utf8_lossy(&target.host);
    let addresses = (host.as_ref(), port).to_socket_addrs().map_err(|e| {
        let words = os_words(&e);
        let prefix = "failed to lookup address information: ";
        Error::Resolve(words.strip_prefix(prefix).unwrap_or(&words).to_owned())
    })?;
    Ok(preferred_first(target, addresses.collect()))
}

fn preferred_first(target: &Target, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(|address| {
        target.prefers_ipv4 && address.is_ipv6() || target.prefers_ipv6 && address.is_ipv4()
    });
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_family_is_tried_first_and_nobody_is_left_out() {
        let addresses = |words: [&str; 3]| words.map(|word| word.parse().unwrap()).to_vec();
        let found = addresses(["[::1]:1", "127.0.0.1:1", "[::2]:1"]);
        let order = |prefers_ipv4, prefers_ipv6| {
            let target = Target { prefers_ipv4, prefers_ipv6, ..Target::default() };
            preferred_first(&target, found.clone())
        };
        assert_eq!(order(false, false), found);
        assert_eq!(order(true, false), addresses(["127.0.0.1:1", "[::1]:1", "[::2]:1"]));
        assert_eq!(order(false, true), addresses(["[::1]:1", "[::2]:1", "127.0.0.1:1"]));
    }
}
