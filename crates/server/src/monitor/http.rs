//! A small HTTP/1.1 server on a thread of its own: GET and HEAD of a few paths. Whoever is slow, silent or
//! never reads costs a bounded buffer for a bounded time.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::monitor::board::{Board, State};
use crate::monitor::{exposition, tree};
use crate::process::clock;

pub const WAKER: usize = usize::MAX;
/// Tokens from here on are listeners.
const LISTENERS: usize = usize::MAX / 2;
const CONNECTIONS_MAX: usize = 64;
const HEAD_MAX_BYTES: usize = 8 << 10;
/// For a whole request, and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// How old figures may be before the loop counts as stuck. It hands over new ones every second.
const STALE_AFTER_MS: u64 = 10_000;
const PAGE: &str = include_str!("page.html");

pub struct HttpServer {
    poll: Poll,
    listeners: Vec<TcpListener>,
    connections: Slab<Connection>,
    board: Arc<Board>,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: VecDeque<u8>,
    deadline: Instant,
    closes: bool,
}

impl HttpServer {
    pub fn new(
        poll: Poll,
        listeners: Vec<StdListener>,
        board: Arc<Board>,
    ) -> io::Result<HttpServer> {
        let mut listeners: Vec<TcpListener> =
            listeners.into_iter().map(TcpListener::from_std).collect();
        for (at, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(LISTENERS + at), Interest::READABLE)?;
        }
        Ok(HttpServer { poll, listeners, connections: Slab::new(), board })
    }

    pub fn run(mut self) {
        let mut events = Events::with_capacity(CONNECTIONS_MAX);
        while !self.board.state().is_ending {
            if let Err(e) = self.poll.poll(&mut events, Some(Duration::from_secs(1)))
                && e.kind() != ErrorKind::Interrupted
            {
                return;
            }
            for event in events.iter() {
                match event.token() {
                    Token(WAKER) => {}
                    Token(at) if at >= LISTENERS => self.accept(at - LISTENERS),
                    Token(at) => self.serve(at),
                }
            }
            let now = Instant::now();
            self.connections.retain(|_, connection| connection.deadline > now);
        }
    }

    fn accept(&mut self, at: usize) {
        // Everything that waits is taken: where there is no room for it, it is closed at once.
        while let Ok((mut stream, _)) = self.listeners[at].accept() {
            if self.connections.len() == CONNECTIONS_MAX {
                continue;
            }
            let entry = self.connections.vacant_entry();
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(entry.key()), both).is_ok() {
                entry.insert(Connection {
                    stream,
                    input: Vec::new(),
                    output: VecDeque::new(),
                    deadline: Instant::now() + PATIENCE,
                    closes: false,
                });
            }
        }
    }

    fn serve(&mut self, at: usize) {
        let Some(connection) = self.connections.get_mut(at) else { return };
        if !connection.go_on(&self.board) {
            self.connections.remove(at);
        }
    }
}

impl Connection {
    /// Reads, answers and writes as far as that goes. False when the connection is at its end.
    fn go_on(&mut self, board: &Board) -> bool {
        loop {
            if !self.flush() {
                return false;
            }
            if !self.output.is_empty() {
                return true;
            }
            if self.closes {
                return self.linger();
            }
            // What came with the request before may be a whole one already.
            if self.answer(board) {
                continue;
            }
            let mut chunk = [0; 2048];
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
        }
    }

    /// All is said. A close with input unread would be a reset, which may cost the peer the answer.
    fn linger(&mut self) -> bool {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return false;
        }
        let mut chunk = [0; 2048];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// False when the peer is gone.
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.stream.write(self.output.as_slices().0) {
                Ok(0) => return false,
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Answers one whole request, if there is one; others behind it wait until the answer is taken, which
    /// bounds what is held for somebody who does not read.
    fn answer(&mut self, board: &Board) -> bool {
        if self.input.is_empty() {
            return false;
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let reply = match request.parse(&self.input) {
            Ok(httparse::Status::Complete(len)) => {
                let asks_to_close = request.headers.iter().any(|header| {
                    header.name.eq_ignore_ascii_case("connection")
                        && header.value.eq_ignore_ascii_case(b"close")
                });
                // A body would be taken for the next request.
                let has_body = request.headers.iter().any(|header| {
                    header.name.eq_ignore_ascii_case("transfer-encoding")
                        || header.name.eq_ignore_ascii_case("content-length")
                            && header.value != b"0"
                });
                self.closes = asks_to_close || has_body || request.version == Some(0);
                let method = request.method.unwrap_or_default();
                let path = request.path.unwrap_or_default();
                let reply = match method {
                    "GET" | "HEAD" => Reply::of(path, &board.state()),
                    _ => Reply::plain("405 Method Not Allowed", "Only GET and HEAD.\n"),
                };
                let head_only = method == "HEAD";
                self.input.drain(..len);
                (reply, head_only)
            }
            Ok(httparse::Status::Partial) if self.input.len() < HEAD_MAX_BYTES => return false,
            Ok(httparse::Status::Partial) => {
                self.closes = true;
                let status = "431 Request Header Fields Too Large";
                (Reply::plain(status, "The request's head is too large.\n"), false)
            }
            Err(_) => {
                self.closes = true;
                (Reply::plain("400 Bad Request", "This is no HTTP request.\n"), false)
            }
        };
        self.deadline = Instant::now() + PATIENCE;
        let (reply, head_only) = reply;
        let connection = if self.closes { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: {connection}\r\n\r\n",
            reply.status,
            reply.content_type,
            reply.body.len()
        );
        self.output.extend(head.as_bytes());
        if !head_only {
            self.output.extend(reply.body.as_bytes());
        }
        true
    }
}

struct Reply {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Reply {
    fn plain(status: &'static str, text: &str) -> Reply {
        Reply { status, content_type: "text/plain; charset=utf-8", body: text.to_owned() }
    }

    fn of(path: &str, state: &State) -> Reply {
        let path = path.split('?').next().unwrap_or_default();
        match path {
            "/" => Reply {
                status: "200 OK",
                content_type: "text/html; charset=utf-8",
                body: PAGE.to_owned(),
            },
            "/metrics" | "/tree.json" | "/healthz" | "/readyz" => Reply::of_figures(path, state),
            _ => Reply::plain("404 Not Found", "/metrics /healthz /readyz / \n"),
        }
    }

    fn of_figures(path: &str, state: &State) -> Reply {
        const UNAVAILABLE: &str = "503 Service Unavailable";
        let Some(figures) = &state.figures else {
            return Reply::plain(UNAVAILABLE, "starting\n");
        };
        let age_ms = (clock::mono_us() / 1000).saturating_sub(figures.mono_ms);
        let stuck = age_ms > STALE_AFTER_MS;
        match path {
            "/metrics" => Reply {
                status: "200 OK",
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: exposition::text(figures, &state.history, !stuck),
            },
            "/tree.json" => Reply {
                status: "200 OK",
                content_type: "application/json",
                body: tree::json(figures, &state.history),
            },
            _ if stuck => {
                let text = format!("the loop has not been heard for {} s\n", age_ms / 1000);
                Reply::plain(UNAVAILABLE, &text)
            }
            "/readyz" => match figures.unready() {
                Some(why) => Reply::plain(UNAVAILABLE, &format!("{why}\n")),
                None => Reply::plain("200 OK", "ready\n"),
            },
            _ => Reply::plain("200 OK", "ok\n"),
        }
    }
}
