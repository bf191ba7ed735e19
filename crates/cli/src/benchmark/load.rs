//! Clients that send requests and wait for replies: one loop over their sockets, or one in each thread.
//!
//! Must not: print.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Registry, Token};

use super::histogram::Histogram;
use super::options::Options;
use super::replies::{Replies, Trouble};
use crate::connection::{Connection, Error, Socket};
use crate::encrypted::Encrypted;

/// How often the one who watches is told how it goes.
pub(super) const TICK: Duration = Duration::from_millis(250);
const READ_LEN: usize = 64 * 1024;
const EVENTS: usize = 1024;
const PLACEHOLDER: &[u8] = b"__rand_int__";

/// What is sent.
pub(super) struct Load<'a> {
    pub options: &'a Options,
    /// The commands with which each connection begins.
    prefix: Vec<u8>,
    prefix_replies: u64,
    /// All requests of one pipeline.
    batch: Vec<u8>,
    /// Where random numbers stand in it.
    randoms: Vec<usize>,
}

/// What all threads count together.
#[derive(Default)]
pub(super) struct Progress {
    pub issued: AtomicU64,
    pub finished: AtomicU64,
    pub live: AtomicU64,
    stop: AtomicBool,
}

/// Why a run ends early, as it is to be said.
pub(super) type Failure = String;

impl<'a> Load<'a> {
    pub(super) fn new(options: &'a Options, request: &[u8]) -> Self {
        let (prefix, prefix_replies) = prefix(options);
        let batch = request.repeat(usize::try_from(options.pipeline).unwrap_or(1));
        let mut randoms = Vec::new();
        if options.keyspace.is_some() {
            let mut at = 0;
            while let Some(found) =
                batch[at..].windows(PLACEHOLDER.len()).position(|window| window == PLACEHOLDER)
            {
                randoms.push(at + found);
                at += found + PLACEHOLDER.len();
            }
        }
        Self { options, prefix, prefix_replies, batch, randoms }
    }

    /// Sends all requests; `watch` is called now and then, in this thread.
    pub(super) fn run(
        &self,
        progress: &Progress,
        watch: &mut dyn FnMut(&Histogram),
    ) -> Result<Histogram, Failure> {
        let threads = self.options.threads.max(1);
        let clients = usize::try_from(self.options.clients).unwrap_or(1);
        let mine = |thread: usize| clients / threads + usize::from(thread < clients % threads);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .map(|thread| scope.spawn(move || self.work(progress, mine(thread), &mut |_| {})))
                .collect();
            let mut sum = self.work(progress, mine(0), watch);
            for other in others {
                let counted = other.join().unwrap_or_else(|_| Err("a thread panicked".into()));
                match (&mut sum, counted) {
                    (Ok(sum), Ok(more)) => sum.add(&more),
                    (Ok(_), Err(e)) => sum = Err(e),
                    (Err(_), _) => {}
                }
            }
            sum
        })
    }

    /// A thread's part. Where one fails, the others end, too.
    fn work(
        &self,
        progress: &Progress,
        clients: usize,
        watch: &mut dyn FnMut(&Histogram),
    ) -> Result<Histogram, Failure> {
        let counted = Worker::new(self, progress, clients).and_then(|worker| worker.run(watch));
        counted.inspect_err(|_| progress.stop.store(true, Ordering::Relaxed))
    }
}

/// AUTH, CLIENT TRACKING, SELECT and HELLO, and how many replies they bring.
fn prefix(options: &Options) -> (Vec<u8>, u64) {
    let (mut bytes, mut count) = (Vec::new(), 0);
    let mut add = |words: &[&[u8]]| {
        protocol::encode_command(&mut bytes, words.iter().copied());
        count += 1;
    };
    let target = &options.target;
    match (&target.user, &target.password) {
        (Some(user), Some(password)) => add(&[b"AUTH", user, password]),
        (None, Some(password)) => add(&[b"AUTH", password]),
        _ => {}
    }
    if options.tracking {
        add(&[b"CLIENT", b"TRACKING", b"on"]);
    }
    if target.db != 0 {
        add(&[b"SELECT", target.db.to_string().as_bytes()]);
    }
    if options.resp3 {
        add(&[b"HELLO", b"3"]);
    }
    (bytes, count)
}

/// A connection that is never waited for.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Encrypted<TcpStream>>),
}

struct Client {
    stream: Stream,
    replies: Replies,
    /// What is sent next, or in part was.
    request: Vec<u8>,
    sent: usize,
    /// Replies that are missing of the beginning, and of the batch.
    prefix_pending: u64,
    pending: u64,
    /// Bytes before the batch in `request`.
    prefix_len: usize,
    begun: Instant,
    latency_us: Option<u64>,
}

struct Worker<'a> {
    load: &'a Load<'a>,
    progress: &'a Progress,
    poll: Poll,
    clients: Vec<Client>,
    /// Clients that have requests under way.
    active: usize,
    rng: fastrand::Rng,
    histogram: Histogram,
    buffer: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(load: &'a Load<'a>, progress: &'a Progress, count: usize) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(|e| e.to_string())?;
        let histogram = Histogram::new(load.options.digits);
        let mut clients = Vec::with_capacity(count);
        for token in 0..count {
            clients.push(connect(load, poll.registry(), Token(token))?);
            progress.live.fetch_add(1, Ordering::Relaxed);
        }
        let (rng, buffer) = (fastrand::Rng::new(), vec![0; READ_LEN]);
        Ok(Self { load, progress, poll, clients, active: 0, rng, histogram, buffer })
    }

    fn run(mut self, watch: &mut dyn FnMut(&Histogram)) -> Result<Histogram, Failure> {
        let idle = self.load.options.idle;
        for token in 0..self.clients.len() {
            if !idle {
                self.begin(token)?;
            }
        }
        let mut events = Events::with_capacity(EVENTS);
        let mut next_tick = Instant::now() + TICK;
        while (idle || self.active > 0) && !self.progress.stop.load(Ordering::Relaxed) {
            let wait = next_tick.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e.to_string()),
                _ => {}
            }
            for event in &events {
                let token = event.token().0;
                if event.is_writable() && self.clients[token].pending > 0 {
                    self.write(token)?;
                }
                if event.is_readable() {
                    self.read(token)?;
                }
            }
            if Instant::now() >= next_tick {
                watch(&self.histogram);
                next_tick = Instant::now() + TICK;
            }
        }
        Ok(self.histogram)
    }

    /// Sends the next batch, if one is left.
    fn begin(&mut self, token: usize) -> Result<(), Failure> {
        let options = self.load.options;
        let issued = self.progress.issued.fetch_add(options.pipeline, Ordering::Relaxed);
        if issued >= u64::try_from(options.requests).unwrap_or(0) {
            return Ok(());
        }
        self.active += 1;
        let client = &mut self.clients[token];
        for &at in &self.load.randoms {
            let below = options.keyspace.unwrap_or(0);
            let mut number = if below == 0 { 0 } else { self.rng.u64(0..below) };
            let from = client.prefix_len + at;
            for digit in client.request[from..from + PLACEHOLDER.len()].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        client.sent = 0;
        client.pending = options.pipeline;
        client.latency_us = None;
        client.begun = Instant::now();
        self.write(token)
    }

    fn write(&mut self, token: usize) -> Result<(), Failure> {
        let client = &mut self.clients[token];
        loop {
            let rest = &client.request[client.sent..];
            let written = match rest.is_empty() {
                true => client.stream.flush().map(|()| 0),
                false => client.stream.write(rest),
            };
            match written {
                Ok(0) if rest.is_empty() => return Ok(()),
                Ok(len) => client.sent += len,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    let why = crate::term::os_words(&e);
                    return Err(format!("Error writing to the server: {why}"));
                }
            }
        }
    }

    fn read(&mut self, token: usize) -> Result<(), Failure> {
        loop {
            let client = &mut self.clients[token];
            let len = match client.stream.read(&mut self.buffer) {
                Ok(0) => return Err("Error: Server closed the connection".into()),
                Ok(len) => len,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(format!("Error: {}", crate::term::os_words(&e))),
            };
            // How long we take to read on is not the server's doing.
            let begun = client.begun;
            client.latency_us.get_or_insert_with(|| begun.elapsed().as_micros() as u64);
            let counted = client.replies.count(&self.buffer[..len]).map_err(|e| match e {
                Trouble::Error(text) => {
                    format!("Error from server: {}", String::from_utf8_lossy(&text))
                }
                Trouble::Protocol => "Error: Protocol error".into(),
            })?;
            self.take(token, counted)?;
            // A short read took all that there was.
            if len < self.buffer.len() && !self.clients[token].stream.has_more() {
                return Ok(());
            }
        }
    }

    /// Replies came.
    fn take(&mut self, token: usize, counted: u64) -> Result<(), Failure> {
        let client = &mut self.clients[token];
        let of_prefix = counted.min(client.prefix_pending);
        client.prefix_pending -= of_prefix;
        let of_batch = (counted - of_prefix).min(client.pending);
        if of_batch == 0 {
            return Ok(());
        }
        client.pending -= of_batch;
        let finished = self.progress.finished.fetch_add(of_batch, Ordering::Relaxed);
        let wanted = u64::try_from(self.load.options.requests).unwrap_or(0);
        let latency_us = client.latency_us.unwrap_or(0);
        for _ in 0..of_batch.min(wanted.saturating_sub(finished)) {
            self.histogram.record(latency_us);
        }
        if client.pending > 0 {
            return Ok(());
        }
        self.active -= 1;
        if client.prefix_len > 0 {
            client.request.drain(..client.prefix_len);
            client.prefix_len = 0;
        }
        if !self.load.options.keepalive {
            self.clients[token] = connect(self.load, self.poll.registry(), Token(token))?;
        }
        self.begin(token)
    }
}

fn connect(load: &Load<'_>, registry: &Registry, token: Token) -> Result<Client, Failure> {
    let target = &load.options.target;
    // redis-benchmark does not wait for the handshake: what breaks it there is an error of the connection.
    let refused = |e: Error| match e {
        Error::Handshake(_) => format!("Error: {e}"),
        e => e.refusal(target),
    };
    let conn = Connection::open(target).map_err(refused)?;
    conn.set_nonblocking(true).map_err(|e| e.to_string())?;
    let mut stream = match conn.into_socket() {
        Socket::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)),
        Socket::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)),
        Socket::Tls(stream) => Stream::Tls(Box::new(stream.map(TcpStream::from_std))),
    };
    let interest = Interest::READABLE | Interest::WRITABLE;
    match &mut stream {
        Stream::Tcp(stream) => registry.register(stream, token, interest),
        Stream::Unix(stream) => registry.register(stream, token, interest),
        Stream::Tls(stream) => registry.register(&mut stream.socket, token, interest),
    }
    .map_err(|e| e.to_string())?;
    Ok(Client {
        stream,
        replies: Replies::default(),
        request: [&load.prefix[..], &load.batch].concat(),
        sent: 0,
        prefix_pending: load.prefix_replies,
        pending: 0,
        prefix_len: load.prefix.len(),
        begun: Instant::now(),
        latency_us: None,
    })
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Stream {
    /// There may be bytes of which no event tells.
    fn has_more(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.has_more())
    }
}
