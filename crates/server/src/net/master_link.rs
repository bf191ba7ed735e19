//! The socket to our master: connecting without blocking, one address after the other. What is said, and
//! what it means, is the replication core's.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use mio::Registry;
use mio::event::Event;
use mio::net::TcpStream;
use repl::LinkId;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::link::Link;
use crate::net::token::Source;
use crate::net::transport::{ReadOutcome, Transport};

pub struct MasterLink {
    id: LinkId,
    /// `None` while the name is looked up.
    link: Option<Link>,
    /// Addresses of the master's name that were not tried yet.
    addresses: Vec<SocketAddr>,
    connected: bool,
    /// What the connection begins with, if it is to be encrypted.
    tls: Option<tls::Client>,
    /// What is read goes to the replication core, which parses it.
    buffer: BytesMut,
    /// The last turn ended before the socket was empty.
    more: bool,
}

/// What an event is about.
pub enum LinkEvent {
    /// Nothing that matters yet.
    Nothing,
    /// The connect has ended, one way or the other, or the handshake behind it goes on.
    ConnectEnded,
    /// The link is open: what could not be sent may go, and there may be something to read.
    Open { writable: bool },
}

/// One read.
pub enum MasterRead {
    /// The first `len` bytes; the buffer is to be given back. With `drained` an event tells of more.
    Bytes {
        buffer: BytesMut,
        len: usize,
        drained: bool,
    },
    Closed,
    Failed(io::Error),
}

/// How a connect stands after an event.
pub enum Connecting {
    Pending,
    Done,
    /// No address is left; what the last one said.
    Failed(io::Error),
}

const READ_BYTES: usize = 64 << 10;

/// The token's number for an attempt: enough bits to tell it from the last ones.
pub fn attempt_of(id: LinkId) -> u32 {
    id.0 as u32
}

impl MasterLink {
    pub fn new(id: LinkId, tls: Option<tls::Client>) -> MasterLink {
        MasterLink {
            id,
            link: None,
            addresses: Vec::new(),
            connected: false,
            tls,
            buffer: BytesMut::new(),
            more: false,
        }
    }

    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The name was looked up.
    pub fn connect(
        &mut self,
        registry: &Registry,
        addresses: Vec<SocketAddr>,
        bind: &str,
    ) -> io::Result<()> {
        self.addresses = addresses;
        self.connect_next(registry, bind)
    }

    fn connect_next(&mut self, registry: &Registry, bind: &str) -> io::Result<()> {
        let source = Source::MasterLink(attempt_of(self.id));
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        while !self.addresses.is_empty() {
            let address = self.addresses.remove(0);
            match begin_connect(address, bind) {
                Ok(stream) => {
                    let transport = match &self.tls {
                        None => Transport::Tcp(stream),
                        Some(tls) => {
                            let session = tls.connect(None).map_err(io::Error::other)?;
                            Transport::encrypted(stream, session)
                        }
                    };
                    let mut link = Link::open(registry, transport, source)?;
                    link.wait_writable(registry, true)?;
                    self.link = Some(link);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// An event has come while a connect was under way.
    pub fn connect_ended(
        &mut self,
        registry: &Registry,
        bind: &str,
        keepalive_s: u64,
    ) -> Connecting {
        let Some(link) = &mut self.link else { return Connecting::Pending };
        let transport = link.transport();
        let failure = transport.take_error().unwrap_or_else(Some);
        // Writable without an error and without a peer: the connect is still under way.
        if failure.is_none() && transport.peer_addr().is_none() {
            return Connecting::Pending;
        }
        if let Some(error) = failure {
            link.close(registry);
            self.link = None;
            return match self.connect_next(registry, bind) {
                Ok(()) => Connecting::Pending,
                Err(_) => Connecting::Failed(error),
            };
        }
        // Neither option is needed for the link to work.
        let _ = transport.set_nodelay(true);
        let _ = transport.set_keepalive(keepalive_s);
        match link.shake() {
            Ok(true) => self.connected = true,
            Ok(false) => return Connecting::Pending,
            Err(error) => return Connecting::Failed(error),
        }
        match link.wait_writable(registry, false) {
            Ok(()) => Connecting::Done,
            Err(error) => Connecting::Failed(error),
        }
    }

    /// An event has come.
    pub fn hear(&mut self, event: &Event) -> LinkEvent {
        let Some(link) = &mut self.link else { return LinkEvent::Nothing };
        if self.connected {
            link.hear(event);
            return LinkEvent::Open { writable: event.is_writable() };
        }
        // Where the connect was refused, a write would be told so instead of `connect_ended`, which sends what has
        // to be sent.
        link.hear_end(event);
        match event.is_writable() || event.is_readable() || event.is_error() {
            true => LinkEvent::ConnectEnded,
            false => LinkEvent::Nothing,
        }
    }

    /// Reads once; `None` while it is not connected. The buffer is lent out, as what is made of it may close the
    /// link.
    pub fn read(&mut self) -> Option<MasterRead> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let open = self.open_link()?;
        buffer.resize(READ_BYTES, 0);
        Some(match open.read_raw(&mut buffer) {
            Ok(ReadOutcome::Filled(len)) => MasterRead::Bytes { buffer, len, drained: false },
            Ok(ReadOutcome::Drained(len)) => {
                let drained = !open.is_read_closed();
                MasterRead::Bytes { buffer, len, drained }
            }
            Ok(ReadOutcome::Closed) => MasterRead::Closed,
            Err(error) => MasterRead::Failed(error),
        })
    }

    /// What was read is used. With `drained` no more is there.
    pub fn take_buffer_back(&mut self, buffer: BytesMut, drained: bool) {
        self.buffer = buffer;
        self.more &= !drained;
    }

    /// There may be more to read, of which no event tells.
    pub fn read_later(&mut self) {
        self.more = true;
    }

    pub fn has_more(&self) -> bool {
        self.more
    }

    /// The link once it is connected.
    pub fn open_link(&mut self) -> Option<&mut Link> {
        self.link.as_mut().filter(|_| self.connected)
    }

    pub fn close(&mut self, registry: &Registry) {
        if let Some(link) = &mut self.link {
            link.close(registry);
        }
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
