//! How helper threads speak to the loop: a channel and the descriptor that wakes epoll.
//!
//! Helpers neither log nor touch the keyspace; they send a `Mail` and the loop does both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{fmt, io};

use mio::{Registry, Waker};

use crate::aof_writer::WriterNews;
use crate::disk_worker::DiskDone;
use crate::loader::{LoadFailure, Loaded};
use crate::token::Source;

/// What a helper thread has to say.
pub enum Mail {
    /// A name was looked up, for the link attempt with this number.
    Resolved { attempt: u32, result: io::Result<Vec<SocketAddr>> },
    /// The AOF writer's state changed.
    AofWriter(WriterNews),
    /// The disk's thread has done an order, or failed at it.
    Disk(DiskDone),
    /// A load ended.
    Loaded { serial: u32, result: Result<Box<Loaded>, LoadFailure> },
    /// The loader has taken most of what had arrived: the master can be read on.
    LoaderHasRoom,
}

/// A helper's end.
#[derive(Clone)]
pub struct Mailer {
    tx: Sender<Mail>,
    waker: Arc<Waker>,
}

/// The loop's end.
pub struct Mailbox {
    rx: Receiver<Mail>,
    mailer: Mailer,
}

impl Mailer {
    /// Never blocks. A loop that is gone no longer cares, so that failing is not an error.
    pub fn send(&self, mail: Mail) {
        if self.tx.send(mail).is_ok() {
            // The only possible failure is a full eventfd counter, and then the loop is awake anyway.
            let _ = self.waker.wake();
        }
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailer")
    }
}

impl Mailbox {
    pub fn new(registry: &Registry) -> io::Result<Mailbox> {
        let (tx, rx) = channel();
        let waker = Arc::new(Waker::new(registry, Source::Mailbox.token())?);
        Ok(Mailbox { rx, mailer: Mailer { tx, waker } })
    }

    pub fn mailer(&self) -> Mailer {
        self.mailer.clone()
    }

    pub fn next(&self) -> Option<Mail> {
        // Nothing is there; the other error cannot happen, as we hold a sender ourselves.
        self.rx.try_recv().ok()
    }
}
