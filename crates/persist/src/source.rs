//! Owns the way in: a buffered byte source that knows its offset, checksums what is consumed in
//! one pass, and never allocates more than has arrived or is known to be there. It reads from any
//! `io::Read` and knows no format.

use std::io::{self, Read};

use crate::crc::crc64;
use crate::error::{RdbError, Reason};

/// Large enough that a read costs nothing beside the parsing of what it brings.
pub const BUFFER_BYTES: usize = 1 << 20;

/// Without a known size, no more than this is reserved ahead of what has arrived.
const TRUSTED_STEP: usize = 1 << 20;

/// A slice of what a `Read` yields; offsets count from where it was handed over.
pub struct Source<'r> {
    inner: &'r mut dyn Read,
    buf: Box<[u8]>,
    pos: usize,
    end: usize,
    /// Offset of `buf[0]` in the stream.
    base: u64,
    /// Bytes in the whole stream, where the caller knows.
    total: Option<u64>,
    crc: u64,
    /// Consumed bytes from here on are not in `crc` yet; `None` while nothing is summed.
    crc_from: Option<usize>,
}

impl<'r> Source<'r> {
    /// `total`: how many bytes are known to be there, as in a file; memory is made ready for them.
    /// What a peer merely announces is not known: leave it out.
    pub fn new(inner: &'r mut dyn Read, total: Option<u64>) -> Source<'r> {
        const LARGE: u64 = BUFFER_BYTES as u64;
        // A byte more than there are, so that the end is seen without the buffer being full.
        let wanted = total.map_or(LARGE, |total| (total.saturating_add(1)).clamp(2048, LARGE));
        Source::with_buffer(inner, total, wanted as usize)
    }

    /// As `new`, with a buffer of another size: for what is known to be short, and for tests.
    pub fn with_buffer(
        inner: &'r mut dyn Read,
        total: Option<u64>,
        buffer_bytes: usize,
    ) -> Source<'r> {
        Source {
            inner,
            buf: vec![0; buffer_bytes.max(16)].into_boxed_slice(),
            pos: 0,
            end: 0,
            base: 0,
            total,
            crc: 0,
            crc_from: None,
        }
    }

    /// Bytes consumed so far.
    pub fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// How many bytes can still come, if that is known.
    pub fn remaining(&self) -> Option<u64> {
        self.total.map(|total| total.saturating_sub(self.offset()))
    }

    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// How many of `announced` elements to make room for: no more table than there are bytes to
    /// come, and little where nobody knows how many come. Real elements are larger than that; for
    /// smaller ones the table grows once more.
    pub fn plausible_count(&self, announced: u64) -> usize {
        const BYTES_PER_ELEMENT: u64 = 8;
        let room = self.remaining().unwrap_or(TRUSTED_STEP as u64) / BYTES_PER_ELEMENT;
        usize::try_from(announced.min(room)).unwrap_or(usize::MAX)
    }

    pub fn error(&self, reason: Reason) -> RdbError {
        RdbError::new(self.offset(), reason)
    }

    /// From here on, consumed bytes are checksummed.
    pub fn begin_crc(&mut self) {
        self.crc = 0;
        self.crc_from = Some(self.pos);
    }

    /// The checksum of what was consumed since `begin_crc`.
    pub fn crc(&mut self) -> u64 {
        self.settle_crc();
        self.crc
    }

    pub fn end_crc(&mut self) {
        self.crc_from = None;
    }

    fn settle_crc(&mut self) {
        if let Some(from) = self.crc_from {
            self.crc = crc64(self.crc, &self.buf[from..self.pos]);
            self.crc_from = Some(self.pos);
        }
    }

    /// Makes `n` bytes (no more than the buffer holds) available at `pos`.
    #[inline]
    fn ensure(&mut self, n: usize, what: &'static str) -> Result<(), RdbError> {
        if self.end - self.pos >= n { Ok(()) } else { self.refill(n, what) }
    }

    #[cold]
    fn refill(&mut self, n: usize, what: &'static str) -> Result<(), RdbError> {
        assert!(n <= BUFFER_BYTES, "only what a buffer may hold is ensured");
        self.shift();
        if n > self.buf.len() {
            // The buffer was made for a short stream, and this one claims to be longer.
            let mut larger = vec![0; n];
            larger[..self.end].copy_from_slice(&self.buf[..self.end]);
            self.buf = larger.into_boxed_slice();
        }
        while self.end < n {
            if self.read_more()? == 0 {
                let at = self.base + self.end as u64;
                return Err(RdbError::new(at, Reason::UnexpectedEnd(what)));
            }
        }
        Ok(())
    }

    /// Moves the unread bytes to the front of the buffer, checksumming what goes.
    fn shift(&mut self) {
        self.settle_crc();
        self.buf.copy_within(self.pos..self.end, 0);
        self.base += self.pos as u64;
        self.end -= self.pos;
        self.pos = 0;
        self.crc_from = self.crc_from.map(|_| 0);
    }

    fn read_more(&mut self) -> Result<usize, RdbError> {
        loop {
            match self.inner.read(&mut self.buf[self.end..]) {
                // A `Read` that claims more than it was given room for is broken; stay in bounds.
                Ok(n) => {
                    let n = n.min(self.buf.len() - self.end);
                    self.end += n;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let at = self.base + self.end as u64;
                    return Err(RdbError::new(at, Reason::Io(e.to_string())));
                }
            }
        }
    }

    /// What is buffered and unread; empty only at the end of the stream.
    pub fn peek(&mut self) -> Result<&[u8], RdbError> {
        if self.pos == self.end {
            self.shift();
            self.read_more()?;
        }
        Ok(&self.buf[self.pos..self.end])
    }

    /// Like `peek`, but with at least one byte more than the last time, unless the end is there
    /// (then the same). `None` when the buffer is full already.
    pub fn peek_more(&mut self) -> Result<Option<&[u8]>, RdbError> {
        if self.end == self.buf.len() {
            if self.pos == 0 {
                return Ok(None);
            }
            self.shift();
        }
        self.read_more()?;
        Ok(Some(&self.buf[self.pos..self.end]))
    }

    /// What `peek` or `peek_more` last showed, as far as it is not consumed.
    pub fn buffered(&self) -> &[u8] {
        &self.buf[self.pos..self.end]
    }

    /// Consumes bytes that `peek` showed.
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.end - self.pos, "only what was peeked is consumed");
        self.pos += n;
    }

    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, RdbError> {
        self.ensure(1, what)?;
        let byte = self.buf[self.pos];
        self.pos += 1;
        Ok(byte)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], RdbError> {
        self.ensure(N, what)?;
        let bytes = self.buf[self.pos..].first_chunk::<N>().expect("ensured above");
        self.pos += N;
        Ok(*bytes)
    }

    /// Whether `n` bytes can be lent by `take`.
    #[inline]
    pub fn fits(&self, n: u64) -> bool {
        n <= self.buf.len() as u64
    }

    /// Consumes `n` bytes that fit the buffer, and lends them until the next call.
    #[inline]
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&[u8], RdbError> {
        self.ensure(n, what)?;
        let from = self.pos;
        self.pos += n;
        Ok(&self.buf[from..self.pos])
    }

    /// Appends `n` bytes to `out`: however large `n` claims to be, memory follows what arrives.
    pub fn append(
        &mut self,
        n: u64,
        out: &mut Vec<u8>,
        what: &'static str,
    ) -> Result<(), RdbError> {
        let start = self.offset();
        if let Some(remaining) = self.remaining().filter(|remaining| n > *remaining) {
            return Err(RdbError::new(start + remaining, Reason::UnexpectedEnd(what)));
        }
        let Ok(mut left) = usize::try_from(n) else { return Err(self.error(Reason::OutOfMemory)) };
        if self.total.is_some() && out.try_reserve_exact(left).is_err() {
            return Err(self.error(Reason::OutOfMemory));
        }
        let buffered = left.min(self.end - self.pos);
        self.reserve(out, buffered)?;
        out.extend_from_slice(&self.buf[self.pos..self.pos + buffered]);
        self.pos += buffered;
        left -= buffered;
        while left > 0 {
            // The first step is small, each later one as large as all before: no announced size
            // costs more than twice what came.
            let step = left.min(out.len().max(TRUSTED_STEP));
            self.append_unbuffered(step, out, what)?;
            left -= step;
        }
        Ok(())
    }

    /// Reads `n` bytes past the (empty) buffer straight into `out`.
    fn append_unbuffered(
        &mut self,
        n: usize,
        out: &mut Vec<u8>,
        what: &'static str,
    ) -> Result<(), RdbError> {
        self.shift();
        debug_assert_eq!(self.end, 0, "the buffer was drained first");
        self.reserve(out, n)?;
        let from = out.len();
        let read = self.inner.take(n as u64).read_to_end(out);
        let got = out.len() - from;
        if self.crc_from.is_some() {
            self.crc = crc64(self.crc, &out[from..]);
        }
        self.base += got as u64;
        match read {
            Err(e) => Err(self.error(Reason::Io(e.to_string()))),
            Ok(_) if got < n => Err(self.error(Reason::UnexpectedEnd(what))),
            Ok(_) => Ok(()),
        }
    }

    fn reserve(&self, out: &mut Vec<u8>, n: usize) -> Result<(), RdbError> {
        out.try_reserve(n).map_err(|_| self.error(Reason::OutOfMemory))
    }

    /// Consumes `n` bytes of no interest.
    pub fn skip(&mut self, n: u64, what: &'static str) -> Result<(), RdbError> {
        let mut left = n;
        while left > 0 {
            let step = left.min(self.buf.len() as u64) as usize;
            self.take(step, what)?;
            left -= step as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Yields its bytes a few at a time, as a socket does.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 31 + i / 251) as u8).collect()
    }

    #[test]
    fn offsets_and_checksum_survive_every_way_of_reading() {
        let all = bytes(3_000_000);
        let mut read = Trickle(&all, 70_001);
        let mut source = Source::new(&mut read, None);
        source.begin_crc();
        assert_eq!(source.u8("a byte").unwrap(), all[0]);
        assert_eq!(source.take(1000, "a thousand").unwrap(), &all[1..1001]);
        let mut out = Vec::new();
        source.append(2_500_000, &mut out, "a lot").unwrap();
        assert_eq!(out, &all[1001..2_501_001]);
        assert_eq!(source.take(7, "seven").unwrap(), &all[2_501_001..2_501_008]);
        assert_eq!(source.offset(), 2_501_008);
        assert_eq!(source.crc(), crc64(0, &all[..2_501_008]));
        source.end_crc();
        let e = source.skip(600_000, "the rest").unwrap_err();
        assert_eq!(e, RdbError::new(3_000_000, Reason::UnexpectedEnd("the rest")));
    }

    #[test]
    fn a_stream_longer_than_it_was_said_to_be_is_read_all_the_same() {
        let all = bytes(1000);
        let mut read = Trickle(&all, 30);
        let mut source = Source::with_buffer(&mut read, Some(10), 11);
        assert_eq!(source.take(64, "some").unwrap(), &all[..64]);
        assert_eq!(source.take(200, "more").unwrap(), &all[64..264]);
        assert_eq!(source.remaining(), Some(0));
    }

    #[test]
    fn an_announced_size_is_not_allocated_before_it_arrives() {
        let few = bytes(100);
        let mut read = &few[..];
        let mut source = Source::new(&mut read, None);
        let mut out = Vec::new();
        let e = source.append(1 << 40, &mut out, "a terabyte").unwrap_err();
        assert_eq!(e.offset, 100);
        assert!(out.capacity() <= 4 << 20, "{}", out.capacity());

        let mut read = &few[..];
        let mut source = Source::new(&mut read, Some(100));
        let mut out = Vec::new();
        let e = source.append(1 << 40, &mut out, "a terabyte").unwrap_err();
        assert_eq!((e.offset, out.capacity()), (100, 0));
    }
}
