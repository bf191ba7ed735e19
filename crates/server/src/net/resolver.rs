//! Looks a master's name up without stopping the loop.
//!
//! `getaddrinfo` may block for seconds, so each look-up has a short-lived thread of its own; an
//! address written as digits needs none. The answer comes back through the mailbox.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

use crate::process::mailbox::Mailer;

/// A name was looked up, for the link attempt with this number.
#[derive(Debug)]
pub struct Resolved {
    pub attempt: u32,
    pub result: io::Result<Vec<SocketAddr>>,
}

/// Resolves `host`, answering with a `Resolved` that carries `attempt`.
pub fn resolve(host: String, port: u16, attempt: u32, mailer: Mailer<Resolved>) {
    if let Ok(ip) = host.parse::<IpAddr>() {
        let result = Ok(vec![SocketAddr::new(ip, port)]);
        mailer.send(Resolved { attempt, result });
        return;
    }
    let for_failure = mailer.clone();
    let spawned = thread::Builder::new().name("resolver".into()).spawn(move || {
        let result = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        mailer.send(Resolved { attempt, result });
    });
    if let Err(error) = spawned {
        for_failure.send(Resolved { attempt, result: Err(io::Error::other(error)) });
    }
}
