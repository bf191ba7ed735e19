//! Looks a master's name up without stopping the loop.
//!
//! `getaddrinfo` may block for seconds, so each look-up has a short-lived thread of its own; an
//! address written as digits needs none. The answer comes back through the mailbox.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

use crate::mailbox::{Mail, Mailer};

/// Resolves `host`, answering with `Mail::Resolved` that carries `attempt`.
pub fn resolve(host: String, port: u16, attempt: u32, mailer: Mailer) {
    if let Ok(ip) = host.parse::<IpAddr>() {
        let result = Ok(vec![SocketAddr::new(ip, port)]);
        mailer.send(Mail::Resolved { attempt, result });
        return;
    }
    let for_failure = mailer.clone();
    let spawned = thread::Builder::new().name("resolver".into()).spawn(move || {
        let result = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        mailer.send(Mail::Resolved { attempt, result });
    });
    if let Err(error) = spawned {
        for_failure.send(Mail::Resolved { attempt, result: Err(io::Error::other(error)) });
    }
}
