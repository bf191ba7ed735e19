//! A network of connections shaped like TCP: bytes arrive in order or not at all, in any fragmentation,
//! late, and sometimes never. Must not know what the bytes mean.
//!
//! Invariants: within one direction of one connection, what is read is a prefix of what was written; a
//! cut loses the rest; an end learns of a cut or a close late, each on its own, or by its own timeouts only.

use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// One end of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End {
    conn: usize,
    side: usize,
}

impl End {
    fn peer(self) -> End {
        End { side: 1 - self.side, ..self }
    }
}

/// What the network tells a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// A connection that this node opened is there.
    Connected(End),
    /// It could not be opened.
    Refused(End),
    /// Another node opened a connection to this one.
    Accepted(End),
    Readable(End),
    Writable(End),
    /// The other end closed, or the connection broke. Received bytes may still be read.
    Closed(End),
}

/// How kind the network is.
#[derive(Clone, Debug)]
pub struct Weather {
    pub delay_max_ms: u64,
    /// Longest piece that one read gives: 1 splits everything to bytes.
    pub fragment_max_bytes: usize,
    /// Bytes that may be under way or unread in one direction.
    pub window_bytes: usize,
}

#[derive(Debug, Default)]
struct Pipe {
    in_flight: VecDeque<(u64, Vec<u8>)>,
    in_flight_bytes: usize,
    received: VecDeque<u8>,
    last_arrival_ms: u64,
    stalled_until_ms: u64,
    writer_waits: bool,
    /// The writer has closed: the reader is told after the last byte.
    is_finished: bool,
}

#[derive(Debug)]
struct Conn {
    nodes: [usize; 2],
    is_open: bool,
    /// Cut: nothing arrives any more.
    is_dead: bool,
    /// Which ends know that it is over.
    is_closed: [bool; 2],
    /// `pipes[side]` carries what that side writes.
    pipes: [Pipe; 2],
    fragment_max_bytes: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Open(usize),
    Refuse(usize),
    Arrive(End),
    Tell(End),
}

/// The network. Time is in milliseconds.
#[derive(Debug)]
pub struct Net {
    weather: Weather,
    rng: Rng,
    conns: Vec<Conn>,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    ready: VecDeque<(usize, NetEvent)>,
    /// Until when two nodes cannot reach each other.
    partitions: Vec<(usize, usize, u64)>,
    order: u64,
}

impl Net {
    pub fn new(weather: Weather, rng: Rng) -> Self {
        Self {
            weather,
            rng,
            conns: Vec::new(),
            due: BinaryHeap::new(),
            ready: VecDeque::new(),
            partitions: Vec::new(),
            order: 0,
        }
    }

    /// When something happens next.
    pub fn next_ms(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        self.due.peek().map(|Reverse((ms, ..))| *ms)
    }

    /// The next event that is due, and the node it concerns.
    pub fn poll(&mut self, now_ms: u64) -> Option<(usize, NetEvent)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.due.peek() {
                Some(Reverse((ms, ..))) if *ms <= now_ms => {}
                _ => return None,
            }
            let Reverse((_, _, due)) = self.due.pop().expect("it was just seen");
            self.happen(now_ms, due);
        }
    }

    pub fn connect(&mut self, now_ms: u64, from: usize, to: usize, is_up: bool) -> End {
        let conn = self.conns.len();
        let longest = self.weather.fragment_max_bytes;
        self.conns.push(Conn {
            nodes: [from, to],
            is_open: false,
            is_dead: false,
            is_closed: [false; 2],
            pipes: [Pipe::default(), Pipe::default()],
            fragment_max_bytes: self.rng.usize(1..=longest),
        });
        let at_ms = now_ms + self.delay();
        if self.partition_end(now_ms, from, to).is_some() {
            // No answer at all: only a timeout of the caller helps.
        } else if is_up {
            self.at(at_ms, Due::Open(conn));
        } else {
            self.at(at_ms, Due::Refuse(conn));
        }
        End { conn, side: 0 }
    }

    /// Takes as many bytes as the window has room for.
    pub fn write(&mut self, now_ms: u64, end: End, bytes: &[u8]) -> usize {
        let conn = &mut self.conns[end.conn];
        if conn.is_closed[end.side] {
            return 0;
        }
        let [from, to] = conn.nodes;
        let pipe = &mut conn.pipes[end.side];
        let used = pipe.in_flight_bytes + pipe.received.len();
        let n = self.weather.window_bytes.saturating_sub(used).min(bytes.len());
        if n < bytes.len() {
            pipe.writer_waits = true;
        }
        if n == 0 {
            return 0;
        }
        if conn.is_dead {
            // Written into the void; some time later the kernel gives up.
            pipe.in_flight_bytes += n;
            let at_ms = now_ms + self.rng.u64(100..20_000);
            self.at(at_ms, Due::Tell(end));
            return n;
        }
        let mut at_ms = now_ms + self.rng.u64(0..=self.weather.delay_max_ms);
        if let Some(until_ms) = self.partition_end(now_ms, from, to) {
            at_ms = at_ms.max(until_ms);
        }
        let pipe = &mut self.conns[end.conn].pipes[end.side];
        at_ms = at_ms.max(pipe.stalled_until_ms).max(pipe.last_arrival_ms);
        pipe.last_arrival_ms = at_ms;
        pipe.in_flight_bytes += n;
        pipe.in_flight.push_back((at_ms, bytes[..n].to_vec()));
        self.at(at_ms, Due::Arrive(end));
        n
    }

    /// Reads a piece of what has arrived; empty if there is nothing.
    pub fn read(&mut self, end: End) -> Vec<u8> {
        let conn = &mut self.conns[end.conn];
        let longest = conn.fragment_max_bytes;
        let pipe = &mut conn.pipes[1 - end.side];
        let n = pipe.received.len().min(self.rng.usize(1..=longest));
        let piece: Vec<u8> = pipe.received.drain(..n).collect();
        if n > 0 && pipe.writer_waits && !conn.is_closed[1 - end.side] {
            pipe.writer_waits = false;
            let writer = end.peer();
            let node = conn.nodes[writer.side];
            self.ready.push_back((node, NetEvent::Writable(writer)));
        }
        piece
    }

    /// Closes this end. What it wrote still arrives, then the other end is told.
    pub fn close(&mut self, now_ms: u64, end: End) {
        let conn = &mut self.conns[end.conn];
        if std::mem::replace(&mut conn.is_closed[end.side], true) || conn.is_dead {
            return;
        }
        if !conn.is_open {
            conn.is_dead = true;
            return;
        }
        let pipe = &mut conn.pipes[end.side];
        pipe.is_finished = true;
        let at_ms = pipe.last_arrival_ms.max(now_ms);
        self.at(at_ms, Due::Arrive(end));
    }

    /// Breaks the connection: what is under way is lost. Each end is told late; with `half_open`, one end
    /// only if it writes.
    pub fn cut(&mut self, now_ms: u64, end: End, half_open: bool) {
        let conn = &mut self.conns[end.conn];
        if std::mem::replace(&mut conn.is_dead, true) {
            return;
        }
        for pipe in &mut conn.pipes {
            pipe.in_flight.clear();
            pipe.in_flight_bytes = 0;
        }
        let delays = [self.rng.u64(0..500), self.rng.u64(0..3000)];
        self.at(now_ms + delays[0], Due::Tell(end));
        if !half_open {
            self.at(now_ms + delays[1], Due::Tell(end.peer()));
        }
    }

    /// Holds back everything in both directions for a while.
    pub fn stall(&mut self, until_ms: u64, end: End) {
        for pipe in &mut self.conns[end.conn].pipes {
            pipe.stalled_until_ms = pipe.stalled_until_ms.max(until_ms);
        }
    }

    /// The node at the other end.
    pub fn peer_node(&self, end: End) -> usize {
        self.conns[end.conn].nodes[1 - end.side]
    }

    /// Two nodes cannot reach each other for a while: what they write is delayed, not lost.
    pub fn partition(&mut self, until_ms: u64, a: usize, b: usize) {
        self.partitions.push((a, b, until_ms));
        for conn in 0..self.conns.len() {
            let nodes = self.conns[conn].nodes;
            if nodes == [a, b] || nodes == [b, a] {
                self.stall(until_ms, End { conn, side: 0 });
            }
        }
    }

    /// Ends of connections that both sides believe in.
    pub fn open_ends(&self) -> Vec<End> {
        let is_live = |c: &Conn| c.is_open && !c.is_dead && c.is_closed == [false; 2];
        let live = self.conns.iter().enumerate().filter(|(_, c)| is_live(c));
        live.map(|(conn, _)| End { conn, side: 0 }).collect()
    }

    /// The node is gone. With `crash` nobody is told; otherwise its kernel closes its connections.
    pub fn node_down(&mut self, now_ms: u64, node: usize, crash: bool) {
        for conn in 0..self.conns.len() {
            for side in 0..2 {
                if self.conns[conn].nodes[side] == node && !self.conns[conn].is_closed[side] {
                    let end = End { conn, side };
                    if !crash {
                        self.close(now_ms, end);
                    }
                    self.conns[conn].is_closed[side] = true;
                    self.conns[conn].is_dead |= crash;
                }
            }
        }
        self.ready.retain(|(other, _)| *other != node);
    }

    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
        for conn in &mut self.conns {
            conn.fragment_max_bytes = self.weather.fragment_max_bytes;
        }
    }

    fn happen(&mut self, now_ms: u64, due: Due) {
        match due {
            Due::Open(conn) => {
                let both = self.conns[conn].nodes;
                if self.conns[conn].is_dead || self.conns[conn].is_closed[0] {
                    return;
                }
                self.conns[conn].is_open = true;
                self.ready.push_back((both[1], NetEvent::Accepted(End { conn, side: 1 })));
                self.ready.push_back((both[0], NetEvent::Connected(End { conn, side: 0 })));
            }
            Due::Refuse(conn) => {
                let end = End { conn, side: 0 };
                if !std::mem::replace(&mut self.conns[conn].is_closed[0], true) {
                    self.ready.push_back((self.conns[conn].nodes[0], NetEvent::Refused(end)));
                }
            }
            Due::Arrive(end) => self.arrive(now_ms, end),
            Due::Tell(end) => self.tell(end),
        }
    }

    fn arrive(&mut self, now_ms: u64, from: End) {
        let conn = &mut self.conns[from.conn];
        if conn.is_dead {
            return;
        }
        let pipe = &mut conn.pipes[from.side];
        if now_ms < pipe.stalled_until_ms {
            let at_ms = pipe.stalled_until_ms;
            return self.at(at_ms, Due::Arrive(from));
        }
        let mut has_news = false;
        while let Some((at_ms, _)) = pipe.in_flight.front() {
            if *at_ms > now_ms {
                break;
            }
            let (_, bytes) = pipe.in_flight.pop_front().expect("it was just seen");
            pipe.in_flight_bytes -= bytes.len();
            pipe.received.extend(bytes);
            has_news = true;
        }
        let is_over = pipe.is_finished && pipe.in_flight.is_empty();
        let reader = from.peer();
        if conn.is_closed[reader.side] {
            pipe.received.clear();
            return;
        }
        if has_news {
            self.ready.push_back((conn.nodes[reader.side], NetEvent::Readable(reader)));
        }
        if is_over {
            self.tell(reader);
        }
    }

    fn tell(&mut self, end: End) {
        let conn = &mut self.conns[end.conn];
        if !std::mem::replace(&mut conn.is_closed[end.side], true) {
            self.ready.push_back((conn.nodes[end.side], NetEvent::Closed(end)));
        }
    }

    fn partition_end(&self, now_ms: u64, a: usize, b: usize) -> Option<u64> {
        let hits = self
            .partitions
            .iter()
            .filter(|(x, y, until)| now_ms < *until && ((*x, *y) == (a, b) || (*x, *y) == (b, a)));
        hits.map(|(.., until)| *until).max()
    }

    fn delay(&mut self) -> u64 {
        self.rng.u64(0..=self.weather.delay_max_ms)
    }

    fn at(&mut self, at_ms: u64, due: Due) {
        self.order += 1;
        self.due.push(Reverse((at_ms, self.order, due)));
    }
}
