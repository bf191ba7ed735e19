//! The way of an arriving snapshot from the loop to the loader's thread: chunks without copies,
//! bounded by asking the loop to stop reading, never by blocking it. Knows nothing of their meaning.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;

use crate::process::mailbox::Mailer;

/// What is buffered between the loop and a loader that reads a snapshot as it arrives.
#[derive(Default)]
struct Chunks {
    state: Mutex<ChunkState>,
    arrived: Condvar,
}

#[derive(Default)]
struct ChunkState {
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// No more will come: at its end, or because the transfer broke off.
    end: Option<Ended>,
    /// The reader is gone.
    abandoned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Whole,
    Broken,
}

/// The loader has taken most of what had arrived: the master can be read on.
#[derive(Clone, Copy, Debug)]
pub struct HasRoom;

/// The loop's end: give it chunks, close it when all is there; dropping it means that the transfer
/// broke off.
pub struct ChunkFeed {
    chunks: Arc<Chunks>,
}

/// The loader's end.
pub struct ChunkReader {
    chunks: Arc<Chunks>,
    current: Bytes,
    mailer: Mailer<HasRoom>,
}

/// The master is not read while more than this waits for the loader.
const FEED_MAX_BYTES: usize = 8 << 20;

/// A pipe of chunks without copies.
pub fn chunk_pipe(mailer: Mailer<HasRoom>) -> (ChunkFeed, ChunkReader) {
    let chunks = Arc::new(Chunks::default());
    let reader = ChunkReader { chunks: Arc::clone(&chunks), current: Bytes::new(), mailer };
    (ChunkFeed { chunks }, reader)
}

impl ChunkFeed {
    pub fn push(&self, bytes: Bytes) {
        let mut state = self.chunks.state.lock().expect("the loader does not panic with the lock");
        if !state.abandoned {
            state.queued_bytes += bytes.len();
            state.queue.push_back(bytes);
            self.chunks.arrived.notify_one();
        }
    }

    pub fn has_room(&self) -> bool {
        let state = self.chunks.state.lock().expect("the loader does not panic with the lock");
        state.abandoned || state.queued_bytes < FEED_MAX_BYTES
    }

    /// That was all of it.
    pub fn finish(self) {
        self.end(Ended::Whole);
    }

    fn end(&self, how: Ended) {
        let mut state = self.chunks.state.lock().expect("the loader does not panic with the lock");
        state.end.get_or_insert(how);
        self.chunks.arrived.notify_one();
    }
}

impl Drop for ChunkFeed {
    fn drop(&mut self) {
        self.end(Ended::Broken);
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            let mut state =
                self.chunks.state.lock().expect("the loop does not panic with the lock");
            loop {
                if let Some(next) = state.queue.pop_front() {
                    let was_full = state.queued_bytes >= FEED_MAX_BYTES;
                    state.queued_bytes -= next.len();
                    if was_full && state.queued_bytes < FEED_MAX_BYTES {
                        self.mailer.send(HasRoom);
                    }
                    self.current = next;
                    break;
                }
                match state.end {
                    Some(Ended::Whole) => return Ok(0),
                    Some(Ended::Broken) => {
                        return Err(io::Error::other("the transfer broke off"));
                    }
                    None => {}
                }
                state =
                    self.chunks.arrived.wait(state).expect("the loop does not panic with the lock");
            }
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

impl Drop for ChunkReader {
    fn drop(&mut self) {
        if let Ok(mut state) = self.chunks.state.lock() {
            state.abandoned = true;
            state.queue.clear();
            state.queued_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;
    use crate::process::mailbox::Mailbox;

    #[test]
    fn a_full_feed_asks_for_a_pause_and_says_when_there_is_room() {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(0)).unwrap();
        let (feed, mut reader) = chunk_pipe(mailbox.mailer());
        feed.push(Bytes::from(vec![0; FEED_MAX_BYTES]));
        assert!(!feed.has_room());
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 10);
        assert!(feed.has_room());
        assert!(mailbox.next().is_some());
        drop(reader);
        feed.push(Bytes::from(vec![0; FEED_MAX_BYTES]));
        assert!(feed.has_room(), "a loader that is gone holds nobody up");
    }
}
