//! One connection, whoever is at the other end: a transport, the parser of what comes in, and what is on its
//! way out. Knows neither who is there nor what is said, and is one movable thing.

use std::fs::File;
use std::io::{self, IoSlice};

use mio::Registry;
use mio::event::Event;
use protocol::{Output, ReplyBuf, RequestParser};

use crate::net::token::Source;
use crate::net::transport::{ReadOutcome, Transport};

/// The most slices that one `writev` gets: the kernel's UIO_FASTIOV is 8, its limit 1024.
const MAX_SLICES: usize = 64;
/// An input buffer that has grown beyond this is given back as soon as it is empty.
const LARGE_INPUT_BYTES: usize = 256 * 1024;

pub struct Link {
    transport: Transport,
    source: Source,
    /// `None` while it is lent out, because what it has found runs.
    parser: Option<Box<RequestParser>>,
    /// What has left for here and was not taken by the socket. Mostly nothing: replies go straight from
    /// where they were written.
    output: Output,
    /// epoll has said that the peer closed its side: a short read is not the end of the story.
    read_closed: bool,
    /// Nor does the peer take anything any more.
    peer_gone: bool,
    /// The socket is full and epoll is asked to say when it no longer is.
    write_blocked: bool,
    bytes_in: u64,
    bytes_out: u64,
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

impl Link {
    /// Takes the transport over, and asks to hear when there is something to read.
    pub fn open(registry: &Registry, mut transport: Transport, source: Source) -> io::Result<Link> {
        transport.register(registry, source)?;
        Ok(Link {
            transport,
            source,
            parser: Some(Box::default()),
            output: Output::default(),
            read_closed: false,
            peer_gone: false,
            write_blocked: false,
            bytes_in: 0,
            bytes_out: 0,
        })
    }

    pub fn close(&mut self, registry: &Registry) {
        self.transport.say_goodbye();
        self.transport.deregister(registry);
    }

    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The peers do not know each other yet: nothing is said before.
    pub fn is_handshaking(&self) -> bool {
        self.transport.is_handshaking()
    }

    /// Goes on with making them known. True when that is done.
    pub fn shake(&mut self) -> io::Result<bool> {
        self.transport.shake()
    }

    /// What an event says of the peer.
    pub fn hear(&mut self, event: &Event) {
        if event.is_writable() {
            // Where it fails, the next call says so.
            let _ = self.transport.flush();
        }
        self.peer_gone |= event.is_write_closed() || event.is_error();
        self.read_closed |= event.is_read_closed() || self.peer_gone;
    }

    /// The peer will send nothing more.
    pub fn is_read_closed(&self) -> bool {
        self.read_closed
    }

    /// Nor does it take anything any more.
    pub fn is_peer_gone(&self) -> bool {
        self.peer_gone
    }

    /// The socket takes nothing at the moment.
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    /// Read since the link was opened, for the link's own parser.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Written since the link was opened.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// The parser is lent out while what it has found runs, which may close the link. Nothing is read meanwhile.
    pub fn lend_parser(&mut self) -> Option<Box<RequestParser>> {
        self.parser.take()
    }

    pub fn take_parser_back(&mut self, parser: Box<RequestParser>) {
        self.parser = Some(parser);
    }

    /// Unless it is lent out.
    pub fn parser(&self) -> Option<&RequestParser> {
        self.parser.as_deref()
    }

    /// Gives back what input needs only while it comes: of a peer that is idle, or what has grown large and
    /// is empty. False where requests wait in it.
    pub fn shrink_input(&mut self, is_idle: bool) -> bool {
        let Some(parser) = &mut self.parser else { return false };
        let is_large = parser.capacity() > LARGE_INPUT_BYTES && parser.buffered_len() == 0;
        let may_shrink = (is_idle || is_large) && parser.queued_len() == 0;
        if may_shrink {
            parser.shrink();
        }
        may_shrink
    }

    /// One read into the parser's buffer.
    pub fn read(&mut self) -> io::Result<ReadOutcome> {
        // While it runs what it has said there is no parser to take more: that is read another time.
        let Some(parser) = &mut self.parser else { return Ok(ReadOutcome::Filled(0)) };
        let room = parser.spare();
        if room.is_empty() {
            // A large argument is whole, but the client is blocked and nobody has parsed it yet.
            return Ok(ReadOutcome::Drained(0));
        }
        let outcome = self.transport.read(room)?;
        if let ReadOutcome::Drained(n) | ReadOutcome::Filled(n) = outcome {
            parser.filled(n);
            self.bytes_in += n as u64;
        }
        Ok(outcome)
    }

    /// Bytes received whose requests have not been run.
    pub fn buffered_len(&self) -> usize {
        self.parser.as_ref().map_or(0, |parser| parser.buffered_len())
    }

    /// One read of bytes that are another's to parse.
    pub fn read_raw(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        self.transport.read(buffer)
    }

    /// Writes the first `n` bytes of `replies` until they are sent, the socket is full or `budget` bytes are
    /// sent: one reader of huge replies is not to keep the others waiting. What is left of them is the link's.
    pub fn flush(
        &mut self,
        registry: &Registry,
        replies: &mut ReplyBuf,
        budget: usize,
        n: usize,
    ) -> Flushed {
        if self.is_handshaking() {
            // Its end is what is waited for, not the socket.
            return Flushed::Partly;
        }
        // What is here already had its gate open.
        let n = n.max(self.output.len_bytes());
        let mut left = n;
        while left > 0 {
            let written = match n - left {
                sent if sent >= budget => Ok(None),
                _ if self.output.is_empty() => self.write_replies(replies, left),
                _ => self.write_output(),
            };
            match written {
                Ok(Some(written)) => left -= written,
                Ok(None) => {
                    replies.pass_on(left - self.output.len_bytes(), &mut self.output);
                    return self.flushed(registry, Flushed::Partly);
                }
                Err(_) => return Flushed::Broken,
            }
            replies.sent(replies.passed_len().saturating_sub(self.output.len_bytes()));
        }
        match self.transport.flush() {
            Ok(true) => self.flushed(registry, Flushed::All),
            Ok(false) => self.flushed(registry, Flushed::Partly),
            Err(_) => Flushed::Broken,
        }
    }

    fn write_replies(&mut self, replies: &mut ReplyBuf, n: usize) -> io::Result<Option<usize>> {
        // Nearly always; an array of many slices costs more than all else here.
        let written = match replies.in_one_piece() {
            Some(all) => self.write(&[IoSlice::new(&all[..n])]),
            None => self.write_pieces(replies, n),
        }?;
        replies.advance(written.unwrap_or(0));
        Ok(written)
    }

    #[inline(never)]
    fn write_pieces(&mut self, replies: &ReplyBuf, n: usize) -> io::Result<Option<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = replies.io_slices_of(n, &mut slices);
        self.write(&slices[..count])
    }

    #[cold]
    fn write_output(&mut self) -> io::Result<Option<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = self.output.io_slices(&mut slices);
        let written = self.transport.write(&slices[..count])?;
        self.output.advance(written.unwrap_or(0));
        self.bytes_out += written.unwrap_or(0) as u64;
        Ok(written)
    }

    fn flushed(&mut self, registry: &Registry, how: Flushed) -> Flushed {
        match self.wait_writable(registry, how == Flushed::Partly) {
            Ok(()) => how,
            Err(_) => Flushed::Broken,
        }
    }

    /// Says something, as soon as the socket takes it.
    pub fn send(&mut self, registry: &Registry, bytes: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(bytes);
        self.send_rest(registry)
    }

    /// What is left of what was said.
    pub fn send_rest(&mut self, registry: &Registry) -> io::Result<()> {
        while !self.output.is_empty() {
            if self.write_output()?.is_none() {
                return self.wait_writable(registry, true);
            }
        }
        self.wait_writable(registry, !self.transport.is_flushed())
    }

    /// One `writev`; `None` when the socket is full.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let written = self.transport.write(slices)?;
        self.bytes_out += written.unwrap_or(0) as u64;
        Ok(written)
    }

    /// At most `len` bytes of a file, in one call; `None` when the socket is full.
    pub fn write_file(&mut self, file: &File, position: u64, len: u64) -> io::Result<Option<u64>> {
        self.transport.write_file(file, position, len)
    }

    /// Asks for a writable event, or no longer.
    pub fn wait_writable(&mut self, registry: &Registry, wait: bool) -> io::Result<()> {
        if wait || self.write_blocked {
            // Registering anew also reports a socket that is writable already, so that a flush that
            // ended for its budget goes on in the next turn.
            self.transport.watch_writable(registry, self.source, wait)?;
            self.write_blocked = wait;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use mio::Poll;
    use mio::net::UnixStream;

    use super::*;
    use crate::net::token::ConnId;

    /// Replies that the socket did not take stayed with the client, so that a link could not be moved alone.
    #[test]
    fn what_the_socket_does_not_take_is_the_link_s_and_leaves_in_order() {
        let poll = Poll::new().unwrap();
        let (one, mut other) = UnixStream::pair().unwrap();
        let source = Source::Client(ConnId { index: 0, generation: 1 });
        let mut link = Link::open(poll.registry(), Transport::Unix(one), source).unwrap();
        let mut replies = ReplyBuf::new();
        let mut expected = Vec::new();
        let mut say = |replies: &mut ReplyBuf, n: usize| {
            let text = format!("{n}:{}", "x".repeat(n));
            replies.bulk(text.as_bytes());
            expected.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
        };
        let mut flush = |replies: &mut ReplyBuf, n: usize, budget: usize| {
            link.flush(poll.registry(), replies, budget, n)
        };
        // One whose gate is not open stays where it was written.
        say(&mut replies, 2_000_000);
        let open = replies.len_bytes();
        say(&mut replies, 10);
        assert_eq!(flush(&mut replies, open, usize::MAX), Flushed::Partly);
        let held = replies.len_bytes() - replies.passed_len();
        assert_eq!(held, "$13\r\n10:\r\n".len() + 10);
        let (mut got, mut block) = (Vec::new(), vec![0; 100_000]);
        let mut round = 0;
        while (got.len() as u64) < replies.written() {
            if let Ok(n) = other.read(&mut block) {
                got.extend_from_slice(&block[..n]);
            }
            round += 1;
            if round < 20 {
                say(&mut replies, round * 100);
            }
            let all = replies.len_bytes();
            flush(&mut replies, all, 50_000);
            assert_eq!(replies.passed_len(), replies.len_bytes(), "all may leave");
        }
        assert!(got == expected);
    }
}
