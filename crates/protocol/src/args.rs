//! The arguments of one command: borrowed from wherever they arrived, or owned to be kept.
//! Must not know what any command means.

use std::fmt;
use std::ops::{Index, Range};

use bytes::Bytes;

/// From this length on a bulk is read straight into a buffer of its own, which can be stored.
pub const BIG_BULK_LEN: usize = 32 * 1024;

/// Where one argument lies: in the request's own bytes, or in a bulk with a buffer of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: usize,
    len: usize,
}

/// A `len` no argument can have marks a span whose `start` is an index into the bulks.
const IN_BULK: usize = usize::MAX;

impl Span {
    pub(crate) fn inline(start: usize, len: usize) -> Self {
        Self { start, len }
    }

    pub(crate) fn bulk(index: usize) -> Self {
        Self { start: index, len: IN_BULK }
    }
}

/// The arguments of one command, its name first. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    source: Source<'a>,
    raw: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Slices(&'a [&'a [u8]]),
    Spans { bytes: &'a [u8], spans: &'a [Span], bulks: &'a [Bytes] },
}

impl<'a> Args<'a> {
    /// Arguments of a command that we built ourselves.
    pub fn new(slices: &'a [&'a [u8]]) -> Self {
        Self { source: Source::Slices(slices), raw: None }
    }

    /// Spans are relative to `bytes`; bulk indexes to `bulks`.
    pub(crate) fn from_spans(
        bytes: &'a [u8],
        spans: &'a [Span],
        bulks: &'a [Bytes],
        raw: Option<&'a [u8]>,
    ) -> Self {
        Self { source: Source::Spans { bytes, spans, bulks }, raw }
    }

    /// How many arguments there are, the command's name included.
    #[inline]
    pub fn len(&self) -> usize {
        match self.source {
            Source::Slices(slices) => slices.len(),
            Source::Spans { spans, .. } => spans.len(),
        }
    }

    /// Whether there is not even a command's name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Argument `i`, if the command has that many.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        match self.source {
            Source::Slices(slices) => slices.get(i).copied(),
            Source::Spans { bytes, spans, bulks } => {
                let span = spans.get(i)?;
                if span.len == IN_BULK {
                    Some(&bulks[span.start])
                } else {
                    Some(&bytes[span.start..span.start + span.len])
                }
            }
        }
    }

    /// Argument `i`, which must exist. Unlike indexing, the slice lives as long as the bytes do,
    /// not as long as this `Args`.
    #[inline]
    #[track_caller]
    pub fn at(&self, i: usize) -> &'a [u8] {
        match self.get(i) {
            Some(arg) => arg,
            None => panic!("argument {i} of a command that has {}", self.len()),
        }
    }

    /// The arguments in order.
    #[inline]
    pub fn iter(&self) -> Iter<'a> {
        Iter { args: *self, range: 0..self.len() }
    }

    /// Some of the arguments as if they were a command of their own: `range` must lie within.
    pub fn slice(&self, range: Range<usize>) -> Args<'a> {
        let source = match self.source {
            Source::Slices(slices) => Source::Slices(&slices[range]),
            Source::Spans { bytes, spans, bulks } => {
                Source::Spans { bytes, spans: &spans[range], bulks }
            }
        };
        Args { source, raw: None }
    }

    /// The whole request exactly as it was received, when it came as a plain RESP array in one
    /// piece: what may be copied to the AOF and the replication stream as it is.
    #[inline]
    pub fn raw(&self) -> Option<&'a [u8]> {
        self.raw
    }

    /// Argument `i` if it is a big bulk that owns its buffer, so that it can be stored without
    /// a copy.
    pub fn shared(&self, i: usize) -> Option<&'a Bytes> {
        match self.source {
            Source::Slices(_) => None,
            Source::Spans { spans, bulks, .. } => {
                let span = spans.get(i)?;
                (span.len == IN_BULK).then(|| &bulks[span.start])
            }
        }
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    #[track_caller]
    fn index(&self, i: usize) -> &[u8] {
        self.at(i)
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Args<'a> {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// The arguments of a command in order.
#[derive(Clone)]
pub struct Iter<'a> {
    args: Args<'a>,
    range: Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.range.next().map(|i| self.args.at(i))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.range.next_back().map(|i| self.args.at(i))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// A command kept for later: in a MULTI queue, or for a client that blocks.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
    bulks: Vec<Bytes>,
    is_raw: bool,
}

impl OwnedArgs {
    /// The kept command, as it would have arrived: `raw` and `shared` answer as they did.
    pub fn as_args(&self) -> Args<'_> {
        let raw = self.is_raw.then_some(&self.bytes[..]);
        Args::from_spans(&self.bytes, &self.spans, &self.bulks, raw)
    }

    /// Bytes that keeping it costs, for memory limits.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.bytes.len()
            + size_of_val(&self.spans[..])
            + self.bulks.iter().map(|bulk| size_of::<Bytes>() + bulk.len()).sum::<usize>()
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        if let (Some(raw), Source::Spans { spans, .. }) = (args.raw, args.source) {
            return Self {
                bytes: raw.into(),
                spans: spans.into(),
                bulks: Vec::new(),
                is_raw: true,
            };
        }
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(args.len());
        let mut bulks = Vec::new();
        for (i, arg) in args.iter().enumerate() {
            if let Some(shared) = args.shared(i) {
                spans.push(Span::bulk(bulks.len()));
                bulks.push(shared.clone());
            } else if arg.len() >= BIG_BULK_LEN {
                spans.push(Span::bulk(bulks.len()));
                bulks.push(Bytes::copy_from_slice(arg));
            } else {
                spans.push(Span::inline(bytes.len(), arg.len()));
                bytes.extend_from_slice(arg);
            }
        }
        Self { bytes: bytes.into(), spans: spans.into(), bulks, is_raw: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_arguments_are_indexed_sliced_and_kept() {
        let big = vec![b'x'; BIG_BULK_LEN];
        let slices: [&[u8]; 3] = [b"SET", b"", &big];
        let args = Args::new(&slices);
        assert_eq!((&args[0], args.get(1), args.get(3)), (&b"SET"[..], Some(&b""[..]), None));
        assert!(args.raw().is_none() && args.shared(2).is_none());
        assert_eq!(args.slice(1..3).iter().map(<[u8]>::len).collect::<Vec<_>>(), [0, big.len()]);

        let kept = OwnedArgs::from(args);
        assert!(kept.as_args().iter().eq(args.iter()));
        assert_eq!(kept.as_args().shared(2).unwrap(), &big);
        // Keeping a kept one again shares its big bulk instead of copying it.
        let again = OwnedArgs::from(kept.as_args());
        assert_eq!(again.as_args().at(2).as_ptr(), kept.as_args().at(2).as_ptr());
    }
}
