//! Conversations with other servers that MIGRATE has: connections that are kept for a while, and what is
//! said over them. They block, and therefore every step of them ends by the command's own timeout.
//! Knows nothing of keys: requests come as bytes, replies go as lines.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use engine::CommandError;
use engine::world::Transfer;
use protocol::encode_command;

use crate::net::wire::Wire;

/// As many connections are kept, and as long: the next MIGRATE to the same place is likely to come soon.
const KEPT_MAX: usize = 64;
const KEPT_US: u64 = 10_000_000;
/// A step of sending is one of so many bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// A reply to RESTORE is a short line; more than this is none.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The connections that are kept.
#[derive(Default)]
pub struct Migrations {
    kept: HashMap<Place, Peer>,
}

/// Host and port as clients wrote them. What was begun without encryption is not gone on with once it is asked for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    host: Vec<u8>,
    port: Vec<u8>,
    is_encrypted: bool,
}

struct Peer {
    wire: BufReader<Wire>,
    /// The database that the last SELECT has chosen there.
    db: Option<i64>,
    used_us: u64,
}

/// Where a conversation broke.
enum Broken {
    Writing(io::Error),
    Reading(io::Error),
}

impl Migrations {
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Closes what has not been used for a while.
    pub fn cron(&mut self, now_us: u64) {
        self.kept.retain(|_, peer| now_us.saturating_sub(peer.used_us) <= KEPT_US);
    }

    /// Says `transfer`, encrypted where there is a `tls`, and hears what is answered.
    pub fn carry(
        &mut self,
        transfer: Transfer<'_>,
        tls: Option<&tls::Client>,
        now_us: u64,
        replies: &mut Vec<Vec<u8>>,
    ) -> Result<(), CommandError> {
        let (host, port) = (transfer.host.to_vec(), transfer.port.to_vec());
        let place = Place { host, port, is_encrypted: tls.is_some() };
        let timeout = Duration::from_millis(transfer.timeout_ms);
        let mut may_retry = true;
        loop {
            let kept = self.kept.remove(&place);
            let mut peer = match kept.map_or_else(|| Peer::connect(transfer, tls, timeout), Ok) {
                Ok(peer) => peer,
                Err(_) => {
                    let text = "IOERR error or timeout connecting to the client";
                    return Err(CommandError::text(text));
                }
            };
            peer.used_us = now_us;
            let (step, why) = match peer.carry(transfer, timeout, replies) {
                Ok(()) => {
                    self.keep(place, peer);
                    return Ok(());
                }
                Err(Broken::Writing(why)) => ("writing", why),
                Err(Broken::Reading(why)) => ("reading", why),
            };
            // A connection that was kept may have been closed there meanwhile. Nothing was answered, so
            // nothing of it is believed to have happened.
            let is_late = matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            if is_late || !replies.is_empty() || !std::mem::take(&mut may_retry) {
                let text = format!("IOERR error or timeout {step} to target instance");
                return Err(CommandError::text(text));
            }
        }
    }

    fn keep(&mut self, place: Place, peer: Peer) {
        if self.kept.len() >= KEPT_MAX {
            let oldest = self.kept.iter().min_by_key(|(_, peer)| peer.used_us);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                self.kept.remove(&oldest);
            }
        }
        self.kept.insert(place, peer);
    }
}

impl Peer {
    fn connect(
        transfer: Transfer<'_>,
        tls: Option<&tls::Client>,
        timeout: Duration,
    ) -> io::Result<Peer> {
        let deadline = Instant::now() + timeout;
        let mut failure = io::ErrorKind::NotFound.into();
        for addr in resolve(transfer, timeout)? {
            let session = tls.map(|tls| tls.connect(None)).transpose().map_err(io::Error::other)?;
            match Wire::connect(&addr, session, deadline) {
                Ok(wire) => return Ok(Peer { wire: BufReader::new(wire), db: None, used_us: 0 }),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    fn carry(
        &mut self,
        transfer: Transfer<'_>,
        timeout: Duration,
        replies: &mut Vec<Vec<u8>>,
    ) -> Result<(), Broken> {
        // Its answers are waited for: were the database refused, what follows would land in another one.
        let mut preamble = transfer.auth.to_vec();
        let mut expected = usize::from(!transfer.auth.is_empty());
        if self.db != Some(transfer.db) {
            let db = transfer.db.to_string();
            encode_command(&mut preamble, [b"SELECT".as_slice(), db.as_bytes()]);
            expected += 1;
        }
        self.db = None;
        self.send(&preamble, timeout).map_err(Broken::Writing)?;
        let mut refusal = None;
        for _ in 0..expected {
            let line = self.line(timeout).map_err(Broken::Reading)?;
            if line.starts_with(b"-") && refusal.is_none() {
                refusal = Some(line);
            }
        }
        if let Some(refusal) = refusal {
            replies.push(refusal);
            return Ok(());
        }
        self.send(transfer.requests, timeout).map_err(Broken::Writing)?;
        let mut is_sure_of_db = true;
        for _ in 0..transfer.expected {
            let line = self.line(timeout).map_err(Broken::Reading)?;
            is_sure_of_db &= !line.starts_with(b"-");
            replies.push(line);
        }
        self.db = is_sure_of_db.then_some(transfer.db);
        Ok(())
    }

    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<()> {
        let wire = self.wire.get_mut();
        for chunk in bytes.chunks(CHUNK_BYTES) {
            wire.set_deadline(Instant::now() + timeout);
            wire.write_all(chunk)?;
            wire.flush()?;
        }
        Ok(())
    }

    /// The next line, without its end.
    fn line(&mut self, timeout: Duration) -> io::Result<Vec<u8>> {
        self.wire.get_mut().set_deadline(Instant::now() + timeout);
        let mut line = Vec::new();
        loop {
            match self.wire.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(why),
            }
            let there = self.wire.buffer().len();
            let mut arrived = self.wire.by_ref().take(there as u64);
            arrived.read_until(b'\n', &mut line)?;
            if line.ends_with(b"\n") {
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
                return Ok(line);
            }
            if line.len() > LINE_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// A name's addresses. The system takes its own time for a look-up, so that a thread has to wait for it.
fn resolve(transfer: Transfer<'_>, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidInput);
    let host = std::str::from_utf8(transfer.host).map_err(|_| bad())?.to_owned();
    let port = std::str::from_utf8(transfer.port).ok().and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(bad)?;
    if let Ok(ip) = host.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let (found, results) = mpsc::channel();
    thread::Builder::new().name("resolver".into()).spawn(move || {
        let addrs = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody waits any more once the time is up.
        let _ = found.send(addrs);
    })?;
    results.recv_timeout(timeout).map_err(|_| io::ErrorKind::TimedOut)?
}

#[cfg(test)]
mod tests;
