//! TCP ports for servers, none handed out twice while in use, across all processes of the machine.
//!
//! Must not: hand out ports of the kernel's ephemeral range, which any outgoing connection may take
//! between the choice of a port and the start of its server.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use socket2::{Domain, Socket, Type};

const FIRST: u16 = 12_000;
const LAST: u16 = 31_999;

/// A port that is ours until this is dropped; a server may be stopped and started on it again.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Bound and never listening. The kernel lets servers, which set SO_REUSEADDR, listen beside it, and
    /// refuses the port to whoever binds it alone, as [`hold`] does: the choice of a port and its
    /// holding are one act, whatever folder or root the other process lives in.
    _held: Socket,
}

impl Port {
    /// Takes a port that nothing is bound to. Panics when 20,000 ports are in use.
    pub fn reserve() -> Port {
        first_that(|number| Ok(Port { number, _held: hold(number)? }))
    }

    /// Takes a port and the next one.
    pub fn reserve_pair() -> (Port, Port) {
        first_that(|number| {
            let second = number + 1;
            let first = Port { number, _held: hold(number)? };
            Ok((first, Port { number: second, _held: hold(second)? }))
        })
    }

    /// Takes a port and listens on it, which a stranger with SO_REUSEADDR could be quicker to do.
    pub fn listen() -> (Port, TcpListener) {
        first_that(|number| {
            let port = Port { number, _held: hold(number)? };
            Ok((port, TcpListener::bind((Ipv4Addr::LOCALHOST, number))?))
        })
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Whether any socket listens on the port, whoever holds it.
pub fn is_listened_on(number: u16) -> bool {
    const LISTEN: &str = "0A";
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().and_then(|address| address.rsplit_once(':'));
            let is_ours =
                local.is_some_and(|(_, port)| u16::from_str_radix(port, 16) == Ok(number));
            is_ours && fields.nth(1) == Some(LISTEN)
        })
    })
}

/// The first success over all ports, from a random one on.
fn first_that<T>(take: impl Fn(u16) -> io::Result<T>) -> T {
    let start = fastrand::u16(FIRST..=LAST);
    let mut ports = (start..=LAST).chain(FIRST..start);
    ports.find_map(|number| take(number).ok()).expect("a free port between 12000 and 31999")
}

/// Binds the port for itself alone, then lets servers listen beside it.
fn hold(number: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, number).into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_differ_while_both_are_held() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }

    /// "a reserved port is free: Address already in use": the choice listened for a moment to find out
    /// whether a port was free, and held no more of it than a file in its own /tmp. A process with
    /// another /tmp took the port before the test had listened on it itself.
    #[test]
    fn a_reserved_port_cannot_be_taken_before_its_server_listens() {
        let port = Port::reserve();
        assert!(hold(port.number()).is_err(), "another process takes the port for its own");
        for life in 1..=2 {
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()));
            assert!(server.is_ok(), "life {life} of the server: {server:?}");
            assert!(hold(port.number()).is_err(), "held beside its server, too");
        }
        let (first, second) = Port::reserve_pair();
        assert_eq!(first.number() + 1, second.number());
        assert!(hold(second.number()).is_err(), "both of a pair are held");
        let (port, listener) = Port::listen();
        assert_eq!(listener.local_addr().map(|at| at.port()).ok(), Some(port.number()));
    }
}
