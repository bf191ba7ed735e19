//! The connections of clients and replicas: sockets, input buffers, and how much waits to be sent.
//!
//! A connection stands in the slot that the engine gave its client, and the client's id, which is
//! used only once, is the slot's generation. Commands, replies and roles are the engine's.

use std::io::{self, IoSlice};

use engine::ClientId;
use mio::Registry;
use protocol::{ReplyBuf, RequestParser};

use crate::stream::{ReadOutcome, Stream};
use crate::token::{ConnId, Source};

/// The most slices that one `writev` gets: the kernel's UIO_FASTIOV is 8, its limit 1024.
const MAX_SLICES: usize = 64;

pub struct Conn {
    pub id: ClientId,
    pub stream: Stream,
    pub parser: RequestParser,
    /// Stands in the loop's queue of connections to be read again.
    pub queued: bool,
    /// epoll has said that the peer closed its side: a short read is not the end of the story.
    pub read_closed: bool,
    /// Nor does the peer take anything any more.
    pub peer_gone: bool,
    /// The socket is full and epoll is asked to say when it no longer is.
    pub write_blocked: bool,
    pub last_interaction_us: u64,
    /// Since when the output has been above the soft limit without a break; 0 if it is not.
    pub over_soft_limit_since_us: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// What `maxmemory-clients` counts for it.
    pub counted_bytes: usize,
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything was sent.
    All,
    /// The socket is full, or it had its share of this turn.
    Partly,
    Broken,
}

impl Conn {
    pub fn new(id: ClientId, stream: Stream, now_us: u64) -> Conn {
        Conn {
            id,
            stream,
            parser: RequestParser::new(),
            queued: false,
            read_closed: false,
            peer_gone: false,
            write_blocked: false,
            last_interaction_us: now_us,
            over_soft_limit_since_us: 0,
            bytes_in: 0,
            bytes_out: 0,
            counted_bytes: 0,
        }
    }

    pub fn source(&self) -> Source {
        source_of(self.id)
    }

    /// One read into the parser's buffer.
    pub fn read(&mut self) -> io::Result<ReadOutcome> {
        let room = self.parser.spare();
        if room.is_empty() {
            // A large argument is whole, but the client is blocked and nobody has parsed it yet.
            return Ok(ReadOutcome::Drained(0));
        }
        let outcome = self.stream.read(room)?;
        if let ReadOutcome::Drained(n) | ReadOutcome::Filled(n) = outcome {
            self.parser.filled(n);
            self.bytes_in += n as u64;
        }
        Ok(outcome)
    }

    /// Writes the first `n` bytes of `out` until they are sent, the socket is full or `budget` bytes are
    /// sent: one reader of huge replies is not to keep the others waiting.
    pub fn flush(
        &mut self,
        registry: &Registry,
        out: &mut ReplyBuf,
        budget: usize,
        n: usize,
    ) -> Flushed {
        let mut sent = 0;
        while sent < n {
            if sent >= budget {
                return self.wait_writable(registry, true);
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = match n - sent {
                all if all == out.len_bytes() => out.io_slices(&mut slices),
                part => out.io_slices_of(part, &mut slices),
            };
            match self.write(&slices[..count]) {
                Ok(Some(n)) => {
                    out.advance(n);
                    sent += n;
                }
                Ok(None) => return self.wait_writable(registry, true),
                Err(_) => return Flushed::Broken,
            }
        }
        self.wait_writable(registry, false)
    }

    /// One `writev`; `None` when the socket is full.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let written = self.stream.write(slices)?;
        self.bytes_out += written.unwrap_or(0) as u64;
        Ok(written)
    }

    /// Asks for a writable event, or no longer, and says how that leaves the flush.
    pub fn wait_writable(&mut self, registry: &Registry, wait: bool) -> Flushed {
        if wait != self.write_blocked {
            // Registering anew also reports a socket that is writable already, so that a flush that
            // ended for its budget goes on in the next turn.
            let source = self.source();
            if self.stream.watch_writable(registry, source, wait).is_err() {
                return Flushed::Broken;
            }
            self.write_blocked = wait;
        } else if wait {
            let source = self.source();
            if self.stream.watch_writable(registry, source, true).is_err() {
                return Flushed::Broken;
            }
        }
        if wait { Flushed::Partly } else { Flushed::All }
    }
}

/// All connections, by slot.
#[derive(Default)]
pub struct Conns {
    slots: Vec<Option<Box<Conn>>>,
    count: usize,
}

impl Conns {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn insert(&mut self, conn: Conn) {
        let slot = conn.id.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        debug_assert!(self.slots[slot].is_none(), "a slot is taken once at a time");
        self.slots[slot] = Some(Box::new(conn));
        self.count += 1;
    }

    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize)?.as_deref_mut().filter(|conn| conn.id == id)
    }

    pub fn get(&self, id: ClientId) -> Option<&Conn> {
        self.slots.get(id.slot as usize)?.as_deref().filter(|conn| conn.id == id)
    }

    /// The connection that an event is for; `None` if it has been closed since.
    pub fn of_event(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.slots.get_mut(id.index as usize)?.as_deref_mut()?;
        (conn.id.id as u32 == id.generation).then_some(conn)
    }

    pub fn remove(&mut self, id: ClientId) -> Option<Box<Conn>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.as_ref()?.id != id {
            return None;
        }
        self.count -= 1;
        slot.take()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.slots.iter().flatten().map(Box::as_ref)
    }

    pub fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The connection in a slot, for housekeeping that walks over all of them in turns.
    pub fn in_slot(&mut self, slot: usize) -> Option<&mut Conn> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }
}

pub fn source_of(id: ClientId) -> Source {
    Source::Client(ConnId { index: id.slot, generation: id.id as u32 })
}
