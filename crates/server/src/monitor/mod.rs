//! What monitoring systems ask over HTTP: metrics, health, the page. A thread of its own answers from
//! figures that the loop hands over once a second, so that no scrape ever touches the loop.
//!
//! Knows figures as values only, no subsystem that they come from.

mod board;
mod exposition;
pub mod figures;
mod history;
mod http;
mod series;
pub mod service;
mod tree;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::{io, thread};

use mio::{Poll, Token, Waker};

use crate::monitor::board::Board;
use crate::monitor::figures::Figures;

/// Where to listen, and what counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub bind: Vec<String>,
    pub port: u16,
}

/// The loop's end: it ends the thread when it is dropped.
#[derive(Debug)]
pub struct Monitor {
    board: Arc<Board>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    settings: Settings,
}

impl Monitor {
    /// Listens, and starts the thread. The error says which address was refused.
    pub fn start(settings: Settings) -> Result<Monitor, String> {
        let mut listeners = Vec::new();
        for host in &settings.bind {
            let listener = listen(host, settings.port).map_err(|e| {
                format!("metrics-port: cannot listen on {host}:{}: {e}", settings.port)
            })?;
            listeners.push(listener);
        }
        let text = |e: io::Error| format!("metrics-port: {e}");
        let poll = Poll::new().map_err(text)?;
        let waker = Waker::new(poll.registry(), Token(http::WAKER)).map_err(text)?;
        let board = Arc::new(Board::default());
        let seen = Arc::clone(&board);
        let server = http::HttpServer::new(poll, listeners, seen).map_err(text)?;
        let thread = thread::Builder::new().name("metrics".into()).spawn(move || server.run());
        Ok(Monitor { board, waker, thread: Some(thread.map_err(text)?), settings })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Hands the figures of this second over.
    pub fn publish(&self, figures: Figures) {
        self.board.put(figures);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.board.end();
        // The thread looks up by itself within a second, should it not be woken.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of it was logged; the server goes on without metrics.
            let _ = thread.join();
        }
    }
}

fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    use std::net::ToSocketAddrs;
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let listener = TcpListener::bind(&addresses[..])?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
