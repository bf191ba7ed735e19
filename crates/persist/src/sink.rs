//! Owns the way out: a buffered byte sink that knows its offset and checksums what passes, in one
//! pass and with one allocation. It writes to any `io::Write` and knows no format.

use std::io::{self, Write};

use crate::crc::crc64;

/// A write call a quarter megabyte: large enough to cost little, small enough to stay in cache.
const BUFFER_BYTES: usize = 1 << 18;

pub struct Sink<'w> {
    inner: &'w mut dyn Write,
    buf: Vec<u8>,
    /// Bytes that left `buf`.
    flushed: u64,
    /// Of the bytes that left `buf`, where one is kept.
    crc: Option<u64>,
}

impl<'w> Sink<'w> {
    pub fn new(inner: &'w mut dyn Write) -> Sink<'w> {
        Sink::with_buffer(inner, false, BUFFER_BYTES)
    }

    pub fn checksummed(inner: &'w mut dyn Write) -> Sink<'w> {
        Sink::with_buffer(inner, true, BUFFER_BYTES)
    }

    pub fn with_buffer(inner: &'w mut dyn Write, checksum: bool, buffer_bytes: usize) -> Sink<'w> {
        let buf = Vec::with_capacity(buffer_bytes);
        Sink { inner, buf, flushed: 0, crc: checksum.then_some(0) }
    }

    /// Bytes written so far, those still buffered included.
    pub fn offset(&self) -> u64 {
        self.flushed + self.buf.len() as u64
    }

    /// The checksum of all that was written; 0 when none is kept.
    pub fn crc(&self) -> u64 {
        self.crc.map_or(0, |crc| crc64(crc, &self.buf))
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.inner.flush()
    }

    #[cold]
    fn drain(&mut self) -> io::Result<()> {
        if let Some(crc) = &mut self.crc {
            *crc = crc64(*crc, &self.buf);
        }
        self.inner.write_all(&self.buf)?;
        self.flushed += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.buf.capacity() - self.buf.len() {
            return self.raw_slow(bytes);
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    #[cold]
    fn raw_slow(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.drain()?;
        if bytes.len() < self.buf.capacity() {
            self.buf.extend_from_slice(bytes);
            return Ok(());
        }
        if let Some(crc) = &mut self.crc {
            *crc = crc64(*crc, bytes);
        }
        self.inner.write_all(bytes)?;
        self.flushed += bytes.len() as u64;
        Ok(())
    }
}
