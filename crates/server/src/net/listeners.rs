//! All listeners of the process: which of them may have more to accept, and when those that failed are tried
//! again. Whom to admit is decided above.

use log::warn;
use mio::Registry;

use crate::net::listener::{self, AcceptOutcome, ListenError, ListenSettings, Listener};
use crate::process::os_error::os_error;

/// Lack of descriptors and the like are not cured by trying at once.
const ACCEPT_RETRY_US: u64 = 100_000;

pub struct Listeners {
    listeners: Vec<Listener>,
    /// They may have more to accept than their last turn allowed.
    ready: Vec<u32>,
    /// After a failure all are tried again at this time.
    retry_at_us: Option<u64>,
}

impl Listeners {
    pub fn new(listeners: Vec<Listener>) -> Listeners {
        Listeners { listeners, ready: Vec::new(), retry_at_us: None }
    }

    /// `None` for one that is gone. One that has failed is tried again later.
    pub fn accept(
        &mut self,
        index: u32,
        tls: Option<&tls::Server>,
        now_us: u64,
    ) -> Option<AcceptOutcome> {
        let outcome = self.listeners.get(index as usize)?.accept(tls);
        if let AcceptOutcome::Failed(error) = &outcome {
            warn!("Accepting client connection: accept: {}", os_error(error));
            self.retry_at_us = Some(now_us + ACCEPT_RETRY_US);
        }
        Some(outcome)
    }

    pub fn count(&self) -> u32 {
        self.listeners.len() as u32
    }

    /// Its turn is over before it was empty.
    pub fn accept_later(&mut self, index: u32) {
        self.ready.push(index);
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn take_ready(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.ready)
    }

    pub fn retry_at_us(&self) -> Option<u64> {
        self.retry_at_us
    }

    /// Those to be tried again, once the pause is over.
    pub fn take_retried(&mut self, now_us: u64) -> std::ops::Range<u32> {
        match self.retry_at_us.take_if(|at| *at <= now_us) {
            Some(_) => 0..self.count(),
            None => 0..0,
        }
    }

    pub fn has_unix(&self) -> bool {
        self.listeners.iter().any(|listener| matches!(listener, Listener::Unix(..)))
    }

    /// Nobody may connect any more.
    pub fn close(&mut self, registry: &Registry) {
        for mut listener in self.listeners.drain(..) {
            listener.deregister(registry);
        }
    }

    /// Opens the TCP listeners that are wanted now. The old ones are closed first, as most of them have the
    /// same port; when the new ones cannot be opened, the caller calls again with what was there before.
    pub fn open_anew(
        &mut self,
        registry: &Registry,
        mut wanted: ListenSettings,
    ) -> Result<(), String> {
        let (mut kept, old): (Vec<_>, Vec<_>) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(|listener| matches!(listener, Listener::Unix(_)));
        for mut listener in old {
            listener.deregister(registry);
        }
        // The socket file is served by the listener that has it open.
        wanted.unixsocket = None;
        let opened = match listener::open(&wanted) {
            Ok(listeners) => Ok(listeners),
            Err(ListenError::NothingToListenOn) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let failure = opened.as_ref().err().map(|error| error.to_string());
        self.listeners = opened.unwrap_or_default();
        self.listeners.append(&mut kept);
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            // A listener that is kept may have another number now.
            listener.deregister(registry);
            listener.register(registry, index as u32).map_err(|e| os_error(&e))?;
        }
        match failure {
            Some(why) => {
                warn!("{why}");
                Err("Unable to listen on this port. Check server logs.".into())
            }
            None => Ok(()),
        }
    }
}
