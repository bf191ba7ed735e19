//! A TCP proxy between two servers that breaks their link in every way a network can.
//!
//! Must not: change a byte that it passes on. It may delay, cut, lose or count them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::ports::Port;
use crate::server::Server;
use crate::wait::{LONG, wait_until};

/// How soon a pump notices that it is stalled, released or closed.
const TICK: Duration = Duration::from_millis(5);
const CHUNK: usize = 16 << 10;

/// Which way bytes go; named for the usual place of a proxy, before a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToMaster,
    ToReplica,
}

/// The proxy listens from [`Proxy::before`] until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target_port: AtomicU16,
    refusing: AtomicBool,
    stalled: AtomicBool,
    stopping: AtomicBool,
    /// Bytes each direction may carry per second; 0 is without limit.
    bytes_per_second: AtomicU64,
    /// Most bytes passed on at once; 0 is as they come.
    fragment: AtomicUsize,
    to_master: AtomicU64,
    to_replica: AtomicU64,
    accepted: AtomicU64,
    trip: Mutex<Option<Trip>>,
    tripped: AtomicBool,
    links: Mutex<Vec<Weak<Link>>>,
}

/// One connection through the proxy.
#[derive(Debug)]
struct Link {
    replica: TcpStream,
    master: TcpStream,
    /// The master's side is gone, the replica's side has not been told.
    half_open: AtomicBool,
    closed: AtomicBool,
}

/// Cuts the link when `pattern` has passed, and `extra` bytes after it.
#[derive(Debug)]
struct Trip {
    direction: Direction,
    pattern: Vec<u8>,
    extra: usize,
    /// The end of what has passed, since a pattern may come in two pieces.
    seen: Vec<u8>,
    found: bool,
}

impl Proxy {
    pub fn before(server: &Server) -> Proxy {
        Proxy::before_port(server.port())
    }

    pub fn before_port(target_port: u16) -> Proxy {
        let (port, listener) = Port::listen();
        let shared = Arc::new(Shared::default());
        shared.target_port.store(target_port, Ordering::Relaxed);
        let accepting = shared.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Proxy { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// New connections go to this port from now on.
    pub fn retarget(&self, server: &Server) {
        self.shared.target_port.store(server.port(), Ordering::Relaxed);
    }

    /// Closes every connection on both sides; bytes in flight are lost. New ones are let in.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Whether new connections are closed as soon as they are made.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Cuts, and lets nobody in until [`Proxy::heal`].
    pub fn partition(&self) {
        self.refuse(true);
        self.cut();
    }

    /// Lets bytes and connections through again, and forgets a trip wire.
    pub fn heal(&self) {
        lock(&self.shared.trip).take();
        self.shared.tripped.store(false, Ordering::Relaxed);
        self.shared.stalled.store(false, Ordering::Relaxed);
        self.shared.bytes_per_second.store(0, Ordering::Relaxed);
        self.refuse(false);
    }

    /// Keeps the connections but passes nothing on, in either direction.
    pub fn stall(&self) {
        self.shared.stalled.store(true, Ordering::Relaxed);
    }

    /// The master sees its connections closed; the replica sees silence.
    pub fn half_open(&self) {
        for link in self.shared.links() {
            link.half_open.store(true, Ordering::Relaxed);
            let _ = link.master.shutdown(Shutdown::Both);
        }
    }

    /// Passes on `bytes` at a time, each piece in a packet of its own.
    pub fn fragment(&self, bytes: usize) {
        self.shared.fragment.store(bytes, Ordering::Relaxed);
    }

    pub fn throttle(&self, bytes_per_second: u64) {
        self.shared.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Cuts and refuses as soon as `pattern` and `extra` bytes more have passed in `direction`.
    pub fn trip_on(&self, direction: Direction, pattern: &[u8], extra: usize) {
        let trip =
            Trip { direction, pattern: pattern.to_vec(), extra, seen: Vec::new(), found: false };
        *lock(&self.shared.trip) = Some(trip);
    }

    #[track_caller]
    pub fn wait_tripped(&self) {
        wait_until(LONG, "the trip wire is touched", || {
            self.shared.tripped.load(Ordering::Relaxed)
        });
    }

    /// Bytes passed on so far.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.counter(direction).load(Ordering::Relaxed)
    }

    /// Connections made so far, refused ones included.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.cut();
        // Wakes the accepting thread, which then sees that it is to stop.
        let _ = TcpStream::connect(("127.0.0.1", self.port()));
    }
}

impl Shared {
    fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).iter().filter_map(Weak::upgrade).collect()
    }

    fn cut(&self) {
        self.links().iter().for_each(|link| link.close());
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToMaster => &self.to_master,
            Direction::ToReplica => &self.to_replica,
        }
    }

    /// How many bytes of `chunk` may pass; fewer than all means that the trip wire was touched.
    fn passable(&self, direction: Direction, chunk: &[u8]) -> (usize, bool) {
        let mut slot = lock(&self.trip);
        let Some(trip) = slot.as_mut().filter(|t| t.direction == direction) else {
            return (chunk.len(), false);
        };
        let outcome = trip.passable(chunk);
        if outcome.1 {
            self.refusing.store(true, Ordering::Relaxed);
            *slot = None;
        }
        outcome
    }
}

impl Trip {
    fn passable(&mut self, chunk: &[u8]) -> (usize, bool) {
        let mut after = 0;
        if !self.found {
            let carried = self.seen.len();
            self.seen.extend_from_slice(chunk);
            let Some(at) = find(&self.seen, &self.pattern) else {
                let keep = self.seen.len().min(self.pattern.len().saturating_sub(1));
                self.seen.drain(..self.seen.len() - keep);
                return (chunk.len(), false);
            };
            self.found = true;
            after = (at + self.pattern.len()).saturating_sub(carried);
        }
        let rest = chunk.len() - after;
        if rest < self.extra {
            self.extra -= rest;
            return (chunk.len(), false);
        }
        (after + self.extra, true)
    }
}

impl Link {
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = self.replica.shutdown(Shutdown::Both);
        let _ = self.master.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for replica in listener.incoming() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(replica) = replica else { continue };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        if shared.refusing.load(Ordering::Relaxed) {
            continue;
        }
        let target = ("127.0.0.1", shared.target_port.load(Ordering::Relaxed));
        let Ok(master) = TcpStream::connect(target) else { continue };
        let link = Arc::new(Link {
            replica,
            master,
            half_open: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        {
            let mut links = lock(&shared.links);
            links.retain(|l| l.strong_count() > 0);
            links.push(Arc::downgrade(&link));
        }
        for direction in [Direction::ToMaster, Direction::ToReplica] {
            let (link, shared) = (link.clone(), shared.clone());
            thread::spawn(move || pump(&link, &shared, direction));
        }
    }
}

fn pump(link: &Link, shared: &Shared, direction: Direction) {
    let (mut from, mut to) = match direction {
        Direction::ToMaster => (&link.replica, &link.master),
        Direction::ToReplica => (&link.master, &link.replica),
    };
    let _ = from.set_read_timeout(Some(TICK));
    let _ = to.set_nodelay(true);
    let mut buf = [0; CHUNK];
    while !link.closed.load(Ordering::Relaxed) {
        if shared.stalled.load(Ordering::Relaxed) {
            thread::sleep(TICK);
            continue;
        }
        let rate = shared.bytes_per_second.load(Ordering::Relaxed);
        let most = if rate == 0 { CHUNK } else { (rate as usize / 100).clamp(1, CHUNK) };
        let piece = match shared.fragment.load(Ordering::Relaxed) {
            0 => CHUNK,
            n => n,
        };
        let n = match from.read(&mut buf[..most]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        let half_open = link.half_open.load(Ordering::Relaxed);
        // A stall that began while we waited for these bytes holds them back too.
        while shared.stalled.load(Ordering::Relaxed) && !link.closed.load(Ordering::Relaxed) {
            thread::sleep(TICK);
        }
        let (pass, tripped) = shared.passable(direction, &buf[..n]);
        let gone = !half_open && buf[..pass].chunks(piece).any(|part| to.write_all(part).is_err());
        // Nobody else is let in once the wire is touched: whoever waits for it hears of it whatever the write did.
        if tripped {
            shared.cut();
            shared.tripped.store(true, Ordering::Relaxed);
        }
        if gone {
            break;
        }
        shared.counter(direction).fetch_add(pass as u64, Ordering::Relaxed);
        if rate > 0 {
            thread::sleep(Duration::from_secs_f64(n as f64 / rate as f64));
        }
    }
    // The end of the master's side of a half-open link is what the replica must not see.
    if !(direction == Direction::ToReplica && link.half_open.load(Ordering::Relaxed)) {
        link.close();
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::server::Kind;
    use crate::wait::SHORT;

    #[test]
    fn bytes_pass_both_ways_and_are_counted() {
        let server = Server::of(Kind::Redis).start();
        let proxy = Proxy::before(&server);
        let mut client = Client::connect(("127.0.0.1", proxy.port())).expect("a connection");
        assert_eq!(client.run("ECHO hello").text(), "hello");
        wait_until(SHORT, "the reply is counted", || {
            proxy.bytes(Direction::ToMaster) == 25 && proxy.bytes(Direction::ToReplica) == 11
        });
    }

    #[test]
    fn a_cut_closes_and_a_partition_lets_nobody_in_until_healed() {
        let server = Server::of(Kind::Redis).start();
        let proxy = Proxy::before(&server);
        let connect = || Client::connect(("127.0.0.1", proxy.port())).expect("a connection");
        let mut client = connect();
        client.good("PING");
        proxy.partition();
        assert!(client.try_args(&["PING"]).is_err());
        assert!(connect().try_args(&["PING"]).is_err());
        proxy.heal();
        connect().good("PING");
        assert_eq!(proxy.accepted(), 3);
    }

    #[test]
    fn a_stall_holds_bytes_back_and_loses_none() {
        let server = Server::of(Kind::Redis).start();
        let proxy = Proxy::before(&server);
        let mut client = Client::connect(("127.0.0.1", proxy.port())).expect("a connection");
        client.good("PING");
        proxy.stall();
        client.send(&["ECHO", "late"]).expect("the proxy's socket takes it");
        client.set_read_timeout(Duration::from_millis(50)).expect("a timeout");
        assert!(client.read_reply().is_err());
        proxy.heal();
        client.set_read_timeout(SHORT).expect("a timeout");
        assert_eq!(client.read_reply().expect("the reply").text(), "late");
    }

    #[test]
    fn a_half_open_link_is_closed_on_the_masters_side_only() {
        let server = Server::of(Kind::Redis).start();
        let proxy = Proxy::before(&server);
        let mut client = Client::connect(("127.0.0.1", proxy.port())).expect("a connection");
        client.good("PING");
        proxy.half_open();
        wait_until(SHORT, "the server has lost the client", || {
            server.info("clients").number::<u32>("connected_clients") == 1
        });
        client.set_read_timeout(Duration::from_millis(50)).expect("a timeout");
        client.send(&["PING"]).expect("the silent side still takes bytes");
        let error = client.read_reply().expect_err("no answer comes");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }

    #[test]
    fn a_trip_wire_cuts_at_the_byte() {
        let mut trip = Trip {
            direction: Direction::ToReplica,
            pattern: b"abc".to_vec(),
            extra: 2,
            seen: Vec::new(),
            found: false,
        };
        assert_eq!(trip.passable(b"xxa"), (3, false));
        assert_eq!(trip.passable(b"bc1"), (3, false));
        assert_eq!(trip.passable(b"234"), (1, true));
    }
}
