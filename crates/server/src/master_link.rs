//! The socket to our master: connecting without blocking, reading in bounded turns, writing the
//! little that a replica says. What is said, and what it means, is the replication core's.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use mio::Registry;
use mio::net::TcpStream;
use node::Node;
use repl::LinkId;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::os_error;
use crate::host::Host;
use crate::resolver;
use crate::stream::{ReadOutcome, Stream};
use crate::token::Source;

/// Bytes read from the master a turn: it is our most important peer, but not the only one.
const READS_PER_TURN: usize = 16;
const READ_BYTES: usize = 64 << 10;

pub struct MasterLink {
    pub id: LinkId,
    stream: Option<Stream>,
    /// Addresses of the master's name that were not tried yet.
    addresses: Vec<SocketAddr>,
    connected: bool,
    out: Vec<u8>,
    write_blocked: bool,
    buffer: BytesMut,
    /// The last turn ended before the socket was empty.
    pub more: bool,
    read_closed: bool,
}

/// The token's number for an attempt: enough bits to tell it from the last ones.
fn attempt_of(id: LinkId) -> u32 {
    id.0 as u32
}

impl MasterLink {
    fn new(id: LinkId) -> MasterLink {
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

    fn connect_next(&mut self, registry: &Registry, bind: &str) -> io::Result<()> {
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

    fn flush(&mut self, registry: &Registry) -> io::Result<()> {
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

impl Host {
    /// `Action::Connect`: looks the name up first.
    pub fn connect_to_master(&mut self, id: LinkId, host: String, port: u16) {
        self.close_master_link();
        self.link = Some(MasterLink::new(id));
        resolver::resolve(host, port, attempt_of(id), self.mailer.clone());
    }

    pub fn close_master_link(&mut self) {
        if let Some(mut link) = self.link.take()
            && let Some(stream) = &mut link.stream
        {
            stream.deregister(&self.registry);
        }
    }

    pub fn master_resolved(
        &mut self,
        node: &mut Node,
        attempt: u32,
        result: io::Result<Vec<SocketAddr>>,
    ) {
        let Some(link) = self.link.as_mut().filter(|l| attempt_of(l.id) == attempt) else {
            return;
        };
        let bind = &self.config.network.bind_source_addr;
        let begun = result.and_then(|addresses| {
            link.addresses = addresses;
            link.connect_next(&self.registry, bind)
        });
        if let Err(error) = begun {
            self.master_connect_failed(node, &error);
        }
    }

    fn master_connect_failed(&mut self, node: &mut Node, error: &io::Error) {
        if let Some(id) = self.link.as_ref().map(|link| link.id) {
            node.handle_connect_failed(self, id, &os_error(error));
        }
    }

    /// CLIENT KILL of the master: the link closes as if the master had closed it, and is made anew.
    pub fn kill_master_link(&mut self, node: &mut Node) {
        let Some(id) = self.link.as_ref().map(|link| link.id) else { return };
        node.handle_link_closed(self, id, "Connection closed by CLIENT KILL");
    }

    pub fn handle_master_link(&mut self, node: &mut Node, attempt: u32, event: &mio::event::Event) {
        let Some(link) = self.link.as_mut().filter(|l| attempt_of(l.id) == attempt) else {
            return;
        };
        link.read_closed |= event.is_read_closed() || event.is_error();
        if !link.connected {
            if event.is_writable() || event.is_error() {
                self.master_connect_ended(node);
            }
            return;
        }
        if event.is_writable() {
            self.flush_master_link(node);
        }
        self.read_master_link(node);
    }

    fn master_connect_ended(&mut self, node: &mut Node) {
        let keepalive_s = self.config.replication.repl_timeout_s;
        let Some(link) = &mut self.link else { return };
        let Some(stream) = &mut link.stream else { return };
        let failure = stream.take_error().unwrap_or_else(Some);
        // Writable without an error and without a peer: the connect is still under way.
        if failure.is_none() && stream.peer_addr().is_none() {
            return;
        }
        if let Some(error) = failure {
            stream.deregister(&self.registry);
            link.stream = None;
            let bind = &self.config.network.bind_source_addr;
            if link.connect_next(&self.registry, bind).is_err() {
                self.master_connect_failed(node, &error);
            }
            return;
        }
        link.connected = true;
        // Neither option is needed for the link to work.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_keepalive(keepalive_s.into());
        let source = Source::MasterLink(attempt_of(link.id));
        let id = link.id;
        if let Err(error) = stream.watch_writable(&self.registry, source, false) {
            return self.master_connect_failed(node, &error);
        }
        node.handle_connected(self, id);
    }

    /// `Action::SendMaster`.
    pub fn send_to_master(&mut self, node: &mut Node, id: LinkId, bytes: &[u8]) {
        if let Some(link) = self.link.as_mut().filter(|link| link.id == id) {
            link.out.extend_from_slice(bytes);
            self.flush_master_link(node);
        }
    }

    fn flush_master_link(&mut self, node: &mut Node) {
        let now_ms = node.now_ms();
        let Some(link) = &mut self.link else { return };
        let id = link.id;
        if let Err(error) = link.flush(&self.registry) {
            // It is heard of by whoever sends, or when the turn settles.
            node.repl.handle_link_closed(now_ms, id, &os_error(&error));
        }
    }

    /// Reads a bounded amount, as long as the core and the loader have room for it.
    pub fn read_master_link(&mut self, node: &mut Node) {
        for _ in 0..READS_PER_TURN {
            if !node.wants_master_bytes(self) {
                // The bytes stay in the socket; reading goes on when there is room again.
                if let Some(link) = &mut self.link {
                    link.more = true;
                }
                return;
            }
            let Some(link) = &mut self.link else { return };
            let Some(stream) = link.stream.as_mut().filter(|_| link.connected) else { return };
            link.buffer.resize(READ_BYTES, 0);
            let outcome = stream.read(&mut link.buffer);
            let (id, read_closed) = (link.id, link.read_closed);
            let (len, drained) = match outcome {
                Ok(ReadOutcome::Filled(n)) => (n, false),
                Ok(ReadOutcome::Drained(n)) => (n, !read_closed),
                Ok(ReadOutcome::Closed) => {
                    return node.handle_link_closed(self, id, "Connection closed by the master");
                }
                Err(error) => return node.handle_link_closed(self, id, &os_error(&error)),
            };
            self.stats.net_repl_input_bytes += len as u64;
            self.stats.net_input_bytes += len as u64;
            // The buffer is lent to the core, which may make the loop close the link meanwhile.
            let buffer = std::mem::take(&mut link.buffer);
            node.handle_master_bytes(self, id, &buffer[..len]);
            let Some(link) = self.link.as_mut().filter(|link| link.id == id) else {
                return;
            };
            link.buffer = buffer;
            if drained {
                link.more = false;
                return;
            }
        }
        if let Some(link) = &mut self.link {
            link.more = true;
        }
    }

    /// The last turn ended before the socket was empty.
    pub fn link_has_more(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.more)
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
