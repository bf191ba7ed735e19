//! Listening sockets: opening them as `bind`, `port`, `tls-port` and `unixsocket` say, and accepting.
//!
//! Accepting is bounded a wake-up. Who may stay (maxclients, protected mode) is decided by the
//! connection table; nothing here writes to an accepted socket.

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use log::warn;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{BindAddress, Config};
use crate::net::token::Source;
use crate::net::transport::Transport;
use crate::process::os_error::os_error;

/// What to listen on; a change of any of it means opening anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Addresses, names, `*` or `::*`; a leading `-` makes one optional.
    pub bind: Vec<String>,
    /// 0 listens on no TCP port.
    pub port: u16,
    /// The same of the port that is encrypted.
    pub tls_port: u16,
    pub backlog: u32,
    pub unixsocket: Option<PathBuf>,
    /// Permission bits of the socket file; `None` leaves what the umask gives.
    pub unixsocketperm: Option<u32>,
}

impl ListenSettings {
    pub fn of(config: &Config) -> ListenSettings {
        let network = &config.network;
        let text =
            |bind: &BindAddress| format!("{}{}", if bind.optional { "-" } else { "" }, bind.host);
        ListenSettings {
            bind: network.bind.iter().map(text).collect(),
            port: network.port,
            tls_port: config.tls.tls_port,
            backlog: network.tcp_backlog,
            unixsocket: (!network.unixsocket.is_empty()).then(|| network.unixsocket.clone().into()),
            unixsocketperm: (network.unixsocketperm != 0).then_some(network.unixsocketperm),
        }
    }
}

/// Why a server cannot listen, in the words of its log.
#[derive(Debug)]
pub enum ListenError {
    Tcp { port: u16, kind: &'static str },
    NothingToListenOn,
    Unix { path: PathBuf, error: io::Error },
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Tcp { port, kind } => {
                write!(f, "Failed listening on port {port} ({kind}), aborting.")
            }
            ListenError::NothingToListenOn => {
                f.write_str("Configured to not listen anywhere, exiting.")
            }
            ListenError::Unix { path, error } => {
                let (path, why) = (path.display(), os_error(error));
                write!(f, "Failed opening Unix socket: bind: {path}: {why}")
            }
        }
    }
}

pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
    Tls(TcpListener),
}

/// One accepted connection.
pub struct Accepted {
    pub transport: Transport,
    /// The peer's address; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
}

/// How one call of `accept` ended.
pub enum AcceptOutcome {
    One(Accepted),
    Drained,
    /// The peer gave up while it waited in the queue, or a signal came: there may be others.
    Nobody,
    /// Out of descriptors, or broken for good: trying at once would spin.
    Failed(io::Error),
}

impl Listener {
    /// `tls` is what an encrypted connection is answered with.
    pub fn accept(&self, tls: Option<&tls::Server>) -> AcceptOutcome {
        let over_tcp = |(socket, peer)| (Transport::Tcp(socket), Some(peer));
        let result = match self {
            Listener::Tcp(l) => l.accept().map(over_tcp),
            Listener::Unix(l) => l.accept().map(|(s, _)| (Transport::Unix(s), None)),
            Listener::Tls(l) => l.accept().and_then(|(socket, peer)| {
                let side = tls.ok_or(io::ErrorKind::ConnectionAborted)?;
                let session = side.accept().map_err(io::Error::other)?;
                Ok((Transport::encrypted(socket, session), Some(peer)))
            }),
        };
        let result = result.map(|(transport, peer)| Accepted { transport, peer });
        match result {
            Ok(accepted) => AcceptOutcome::One(accepted),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => AcceptOutcome::Drained,
            Err(e) if is_of_one_peer(&e) => AcceptOutcome::Nobody,
            Err(e) => AcceptOutcome::Failed(e),
        }
    }

    pub fn register(&mut self, registry: &Registry, index: u32) -> io::Result<()> {
        let token = Source::Listener(index).token();
        match self {
            Listener::Tcp(l) | Listener::Tls(l) => registry.register(l, token, Interest::READABLE),
            Listener::Unix(l) => registry.register(l, token, Interest::READABLE),
        }
    }

    pub fn deregister(&mut self, registry: &Registry) {
        // The descriptor is about to be closed, which removes it as well.
        let _ = match self {
            Listener::Tcp(l) | Listener::Tls(l) => registry.deregister(l),
            Listener::Unix(l) => registry.deregister(l),
        };
    }
}

/// Opens everything or nothing.
pub fn open(settings: &ListenSettings) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    open_port(settings.port, "tcp", Listener::Tcp, settings, &mut listeners)?;
    if let Some(path) = &settings.unixsocket {
        let listener = open_unix(path, settings)
            .map_err(|error| ListenError::Unix { path: path.clone(), error })?;
        listeners.push(listener);
    }
    open_port(settings.tls_port, "tls", Listener::Tls, settings, &mut listeners)?;
    if listeners.is_empty() {
        return Err(ListenError::NothingToListenOn);
    }
    Ok(listeners)
}

/// At every address; 0 is no port.
fn open_port(
    port: u16,
    kind: &'static str,
    wrap: fn(TcpListener) -> Listener,
    settings: &ListenSettings,
    listeners: &mut Vec<Listener>,
) -> Result<(), ListenError> {
    if port == 0 {
        return Ok(());
    }
    let mut opened = 0;
    for bind in &settings.bind {
        if let Some(listener) = open_bind(bind, port, kind, settings.backlog)? {
            listeners.push(wrap(listener));
            opened += 1;
        }
    }
    match opened == 0 && !settings.bind.is_empty() {
        true => Err(ListenError::Tcp { port, kind }),
        false => Ok(()),
    }
}

/// `None` for an address that may be missing, and is.
fn open_bind(
    bind: &str,
    port: u16,
    kind: &'static str,
    backlog: u32,
) -> Result<Option<TcpListener>, ListenError> {
    let (name, optional) = match bind.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (bind, false),
    };
    let opened = addresses(name, port).and_then(|addresses| {
        let mut last = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
        for address in addresses {
            last = open_tcp(address, backlog);
            if last.is_ok() {
                break;
            }
        }
        last
    });
    match opened {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => {
            warn!(
                "Warning: Could not create server TCP listening socket {name}:{port}: bind: {}",
                os_error(&error)
            );
            let absent = error.kind() == io::ErrorKind::AddrNotAvailable;
            if !(optional && absent || family_unsupported(&error)) {
                return Err(ListenError::Tcp { port, kind });
            }
            Ok(None)
        }
    }
}

fn addresses(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match name {
        "*" => Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)]),
        "::*" => Ok(vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)]),
        name => Ok((name, port).to_socket_addrs()?.collect()),
    }
}

fn open_tcp(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // Otherwise `::*` would take the IPv4 port as well, and the bind of `*` fail.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.min(i32::MAX as u32) as i32)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn open_unix(path: &Path, settings: &ListenSettings) -> io::Result<Listener> {
    // What an earlier process left behind; bind says so if it cannot be replaced.
    let _ = fs::remove_file(path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(settings.backlog.min(i32::MAX as u32) as i32)?;
    if let Some(mode) = settings.unixsocketperm {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(Listener::Unix(UnixListener::from_std(socket.into())))
}

/// An error that goes with the connection that was to be accepted: accept(2) lists those that Linux passes
/// on from the network.
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM
        )
    )
}

/// A host without IPv6 still serves IPv4.
fn family_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EAFNOSUPPORT
                | libc::EPFNOSUPPORT
                | libc::EPROTONOSUPPORT
                | libc::ESOCKTNOSUPPORT
                | libc::ENOPROTOOPT
        )
    )
}

#[cfg(test)]
mod tests {
    use testkit::ports::Port;

    use super::*;

    fn settings(bind: &[&str], port: u16) -> ListenSettings {
        ListenSettings {
            bind: bind.iter().map(|s| s.to_string()).collect(),
            port,
            tls_port: 0,
            backlog: 16,
            unixsocket: None,
            unixsocketperm: None,
        }
    }

    #[test]
    fn both_families_share_a_port() {
        let port = Port::reserve();
        let listeners = open(&settings(&["*", "-::*"], port.number())).unwrap();
        assert!(!listeners.is_empty());
    }

    #[test]
    fn an_optional_address_that_the_host_lacks_is_skipped() {
        // 203.0.113.0/24 is for documentation: no host has it.
        let port = Port::reserve();
        let listeners = open(&settings(&["127.0.0.1", "-203.0.113.7"], port.number())).unwrap();
        assert_eq!(listeners.len(), 1);
    }

    #[test]
    fn a_required_address_that_the_host_lacks_stops_the_start() {
        let port = Port::reserve();
        let error = open(&settings(&["127.0.0.1", "203.0.113.7"], port.number())).err().unwrap();
        assert!(error.to_string().starts_with("Failed listening on port"));
    }

    #[test]
    fn no_port_and_no_socket_is_nowhere() {
        let error = open(&settings(&["*"], 0)).err().unwrap();
        assert_eq!(error.to_string(), "Configured to not listen anywhere, exiting.");
    }

    /// `accept` was called again at once whatever it failed with: a listener that fails for good held the
    /// loop for ever.
    #[test]
    fn a_listener_that_fails_for_good_is_left_alone_for_a_while() {
        let port = Port::reserve();
        let listeners = open(&settings(&["127.0.0.1"], port.number())).unwrap();
        let Listener::Tcp(listener) = &listeners[0] else { panic!("a TCP listener was asked for") };
        assert!(matches!(listeners[0].accept(None), AcceptOutcome::Drained));
        socket2::SockRef::from(listener).shutdown(std::net::Shutdown::Both).unwrap();
        assert!(matches!(listeners[0].accept(None), AcceptOutcome::Failed(_)));
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_gets_its_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let mut settings = settings(&[], 0);
        settings.unixsocket = Some(path.clone());
        settings.unixsocketperm = Some(0o700);
        drop(open(&settings).unwrap());
        let _again = open(&settings).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
