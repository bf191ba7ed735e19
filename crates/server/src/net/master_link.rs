//! The socket to our master: connecting without blocking, one address after the other. What is said, and
//! what it means, is the replication core's.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use mio::Registry;
use mio::net::TcpStream;
use repl::LinkId;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::token::Source;
use crate::net::transport::Stream;

pub struct MasterLink {
    pub id: LinkId,
    pub stream: Option<Stream>,
    /// Addresses of the master's name that were not tried yet.
    pub addresses: Vec<SocketAddr>,
    pub connected: bool,
    pub out: Vec<u8>,
    write_blocked: bool,
    pub buffer: BytesMut,
    /// The last turn ended before the socket was empty.
    pub more: bool,
    pub read_closed: bool,
}

/// The token's number for an attempt: enough bits to tell it from the last ones.
pub fn attempt_of(id: LinkId) -> u32 {
    id.0 as u32
}

impl MasterLink {
    pub fn new(id: LinkId) -> MasterLink {
        MasterLink {
            id,
            stream: None,
            addresses: Vec::new(),
            connected: false,
            out: Vec::new(),
            write_blocked: false,
            buffer: BytesMut::new(),
            more: false,
            read_closed: false,
        }
    }

    fn source(&self) -> Source {
        Source::MasterLink(attempt_of(self.id))
    }

    pub fn connect_next(&mut self, registry: &Registry, bind: &str) -> io::Result<()> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        while !self.addresses.is_empty() {
            let address = self.addresses.remove(0);
            match begin_connect(address, bind) {
                Ok(stream) => {
                    let mut stream = Stream::Tcp(stream);
                    stream.register(registry, self.source())?;
                    stream.watch_writable(registry, self.source(), true)?;
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub fn flush(&mut self, registry: &Registry) -> io::Result<()> {
        let source = self.source();
        let Some(stream) = self.stream.as_mut().filter(|_| self.connected) else { return Ok(()) };
        while !self.out.is_empty() {
            match stream.write(&[IoSlice::new(&self.out)])? {
                Some(n) => drop(self.out.drain(..n)),
                None => {
                    self.write_blocked = true;
                    return stream.watch_writable(registry, source, true);
                }
            }
        }
        if self.write_blocked {
            self.write_blocked = false;
            stream.watch_writable(registry, source, false)?;
        }
        Ok(())
    }
}

fn begin_connect(address: SocketAddr, bind: &str) -> io::Result<TcpStream> {
    let Ok(from) = bind.parse::<IpAddr>() else { return TcpStream::connect(address) };
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        result => result?,
    }
    Ok(TcpStream::from_std(socket.into()))
}
