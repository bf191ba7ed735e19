//! How helper threads speak to the loop: a channel and the descriptor that wakes epoll. What they say is
//! each helper's own type, of which this file knows none.
//!
//! Helpers neither log nor touch the keyspace; they send word and the loop does both.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{fmt, io};

use mio::{Registry, Token, Waker};

/// A helper's end, for messages of type `M`.
pub struct Mailer<M> {
    send: Arc<dyn Fn(M) + Send + Sync>,
}

/// The loop's end.
pub struct Mailbox<M> {
    rx: Receiver<M>,
    tx: Sender<M>,
    waker: Arc<Waker>,
}

impl<M: 'static> Mailer<M> {
    /// Nobody hears what it sends.
    #[cfg(test)]
    pub fn unheard() -> Mailer<M> {
        Mailer { send: Arc::new(drop) }
    }

    /// Never blocks. A loop that is gone no longer cares, so that failing is not an error.
    pub fn send(&self, message: M) {
        (self.send)(message);
    }

    /// The same mailbox for a helper that says only `N`, which the loop hears as `wrap` has it.
    pub fn wrapping<N: 'static>(&self, wrap: fn(N) -> M) -> Mailer<N> {
        let outer = self.clone();
        Mailer { send: Arc::new(move |message| outer.send(wrap(message))) }
    }
}

impl<M> Clone for Mailer<M> {
    fn clone(&self) -> Mailer<M> {
        Mailer { send: Arc::clone(&self.send) }
    }
}

impl<M> fmt::Debug for Mailer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailer")
    }
}

impl<M: Send + 'static> Mailbox<M> {
    /// `token` is what the loop is told when there is mail.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Mailbox<M>> {
        let (tx, rx) = channel();
        let waker = Arc::new(Waker::new(registry, token)?);
        Ok(Mailbox { rx, tx, waker })
    }

    pub fn mailer(&self) -> Mailer<M> {
        let (tx, waker) = (self.tx.clone(), Arc::clone(&self.waker));
        Mailer {
            send: Arc::new(move |message| {
                if tx.send(message).is_ok() {
                    // The only possible failure is a full eventfd counter: then the loop is awake anyway.
                    let _ = waker.wake();
                }
            }),
        }
    }

    pub fn next(&self) -> Option<M> {
        // Nothing is there; the other error cannot happen, as we hold a sender ourselves.
        self.rx.try_recv().ok()
    }
}
