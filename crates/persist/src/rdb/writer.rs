//! Owns writing of the RDB format's atoms: lengths, and strings in their shortest form. Allocates its
//! buffers once, since it runs in a forked child; knows nothing of keys and values.

use std::io;

use super::format::{len, string};
use crate::lzf::Compressor;
use crate::sink::Sink;

/// Shorter strings cannot gain enough to be worth the try.
const COMPRESS_ABOVE: usize = 20;
/// A compressed form must save more than this.
const MIN_GAIN: usize = 4;
/// A buffer of compressed bytes beyond this is given back: a child's memory is not its own.
const KEPT_BYTES: usize = 1 << 20;
/// The longest text of an integer that is tried as one.
const MAX_INT_CHARS: usize = 11;

pub struct Writer<'w> {
    sink: Sink<'w>,
    compressor: Option<Compressor>,
    compressed: Vec<u8>,
}

impl<'w> Writer<'w> {
    pub fn new(sink: Sink<'w>, compress: bool) -> Writer<'w> {
        Writer { sink, compressor: compress.then(Compressor::new), compressed: Vec::new() }
    }

    /// Bytes written so far.
    pub fn offset(&self) -> u64 {
        self.sink.offset()
    }

    /// The checksum of all that was written; 0 when none is kept.
    pub fn crc(&self) -> u64 {
        self.sink.crc()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.raw(bytes)
    }

    #[inline]
    pub fn u8(&mut self, byte: u8) -> io::Result<()> {
        self.raw(&[byte])
    }

    #[inline]
    pub fn length(&mut self, n: u64) -> io::Result<()> {
        match n {
            0..0x40 => self.u8(n as u8),
            0x40..0x4000 => self.raw(&[len::BITS_14 << 6 | (n >> 8) as u8, n as u8]),
            _ => self.long_length(n),
        }
    }

    fn long_length(&mut self, n: u64) -> io::Result<()> {
        match u32::try_from(n) {
            Ok(n) => {
                self.u8(len::BITS_32)?;
                self.raw(&n.to_be_bytes())
            }
            Err(_) => {
                self.u8(len::BITS_64)?;
                self.raw(&n.to_be_bytes())
            }
        }
    }

    /// A string in its shortest form: a number, compressed, or as it is.
    #[inline]
    pub fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= MAX_INT_CHARS {
            if let Some(n) = store::str::parse_int(bytes)
                && let Ok(n) = i32::try_from(n)
            {
                return self.small_int(n);
            }
        } else if bytes.len() > COMPRESS_ABOVE && self.compressor.is_some() {
            return self.long_string(bytes);
        }
        self.plain_string(bytes)
    }

    #[inline]
    pub fn plain_string(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length(bytes.len() as u64)?;
        self.raw(bytes)
    }

    /// An integer as a string: encoded when 32 bits do, else its text.
    pub fn int(&mut self, n: i64) -> io::Result<()> {
        match i32::try_from(n) {
            Ok(n) => self.small_int(n),
            Err(_) => self.plain_string(itoa::Buffer::new().format(n).as_bytes()),
        }
    }

    fn small_int(&mut self, n: i32) -> io::Result<()> {
        let le = n.to_le_bytes();
        let (code, size) = match n {
            -0x80..0x80 => (string::INT8, 1),
            -0x8000..0x8000 => (string::INT16, 2),
            _ => (string::INT32, 4),
        };
        self.u8(len::ENCODED << 6 | code)?;
        self.raw(&le[..size])
    }

    fn long_string(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = bytes.len() - MIN_GAIN;
        // Without the memory for a try the string goes out as it is: a snapshot must not fail on it.
        if self.compressed.len() < room
            && self.compressed.try_reserve(room - self.compressed.len()).is_ok()
        {
            self.compressed.resize(room, 0);
        }
        let packed = match (&mut self.compressor, self.compressed.get_mut(..room)) {
            (Some(compressor), Some(out)) => compressor.compress(bytes, out),
            _ => None,
        };
        let Some(packed) = packed else { return self.plain_string(bytes) };
        self.u8(len::ENCODED << 6 | string::LZF)?;
        self.length(packed as u64)?;
        self.length(bytes.len() as u64)?;
        let written = self.sink.raw(&self.compressed[..packed]);
        if self.compressed.len() > KEPT_BYTES {
            self.compressed = Vec::new();
        }
        written
    }

    pub fn binary_double(&mut self, score: f64) -> io::Result<()> {
        self.raw(&score.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::primitive;
    use super::*;
    use crate::crc::crc64;
    use crate::source::Source;

    fn bytes_owned(source: &mut Source<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        primitive::bytes_into(source, &mut out, "a string").unwrap();
        out
    }

    fn written(compress: bool, f: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(Sink::with_buffer(&mut out, true, 64), compress);
        f(&mut writer);
        let crc = writer.crc();
        let offset = writer.offset();
        writer.flush().unwrap();
        assert_eq!(crc, crc64(0, &out));
        assert_eq!(offset, out.len() as u64);
        out
    }

    #[test]
    fn forms_are_the_shortest() {
        let string = |bytes: &[u8]| written(true, |w| w.string(bytes).unwrap());
        assert_eq!(string(b"7"), [0xc0, 7]);
        assert_eq!(string(b"-129"), [0xc1, 0x7f, 0xff]);
        assert_eq!(string(b"2147483647"), [0xc2, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(string(b"2147483648"), b"\x0a2147483648");
        assert_eq!(string(b"007"), b"\x03007");
        assert_eq!(string(&[b'x'; 20]).len(), 21);
        assert!(string(&[b'x'; 21]).len() < 12);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            strings in prop::collection::vec(prop::collection::vec(0u8..5, 0..300), 0..20),
            numbers in prop::collection::vec(any::<u64>().prop_map(|n| n >> (n & 63)), 0..20),
            compress in any::<bool>(),
        ) {
            let bytes = written(compress, |w| {
                strings.iter().for_each(|s| w.string(s).unwrap());
                numbers.iter().for_each(|n| w.length(*n).unwrap());
                numbers.iter().for_each(|n| w.int(*n as i64).unwrap());
            });
            let mut rest = &bytes[..];
            let mut source = Source::new(&mut rest, Some(bytes.len() as u64));
            for s in &strings {
                prop_assert_eq!(&bytes_owned(&mut source), s);
            }
            for n in &numbers {
                prop_assert_eq!(primitive::length(&mut source, "a length").unwrap(), *n);
            }
            for n in &numbers {
                let text = (*n as i64).to_string().into_bytes();
                prop_assert_eq!(bytes_owned(&mut source), text);
            }
        }
    }
}
