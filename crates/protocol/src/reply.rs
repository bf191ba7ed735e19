//! A client's output: replies in the protocol it speaks, until they may leave.
//!
//! Must not know commands or sockets: the caller writes what `io_slices` shows and calls `advance`.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::number::{F64_TEXT_MAX, HUMAN_TEXT_MAX, push_header, write_f64, write_human};
use crate::output::Output;

/// From this length on, bytes that are shared are sent from where they lie.
const SHARED_LEN: usize = crate::args::BIG_BULK_LEN;
/// A tail above this is sealed into a chunk, so that a slow client's output is freed as it goes.
const CHUNK_LEN: usize = 64 * 1024;
/// What an empty tail may keep allocated.
const KEPT_LEN: usize = 2 * CHUNK_LEN;

/// The protocol version that a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resp {
    /// RESP2, what every client speaks until HELLO.
    #[default]
    V2,
    /// RESP3.
    V3,
}

/// Replies on their way to a client. In order: what was passed on to its connection, which has it now; `chunks`;
/// then the rest of `tail` with each of `shared` at its place. All of it counts until it is sent.
///
/// It takes no more than its limit: what goes beyond is dropped together with all that waits, and
/// `is_overflowed` says so from then on. Such a client cannot be answered any more.
#[derive(Debug)]
pub struct ReplyBuf {
    /// The protocol that typed replies are written in.
    pub resp: Resp,
    chunks: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// Bytes of `tail` that were sent.
    sent: usize,
    /// Shared bytes and the position in `tail` that they precede.
    shared: VecDeque<(usize, Bytes)>,
    /// Length of all in `chunks` and `shared`.
    outside_len: usize,
    /// Aggregates whose length is not known yet; the tail is not sealed under them.
    deferred: usize,
    /// Bytes that the connection has, and that are not sent.
    passed: usize,
    /// Bytes sent since ever.
    taken: u64,
    /// With a tail as long as this, an append is looked at more closely; 0 while nothing is taken.
    look_from: usize,
    limit_bytes: usize,
    is_overflowed: bool,
}

/// A piece of what is taken out.
enum Piece<'a> {
    /// With memory of its own, or shared.
    Own(Bytes),
    OfTail(&'a [u8]),
}

/// An aggregate whose length is not known yet: finish them in reverse order.
#[derive(Debug)]
#[must_use]
pub struct DeferMark {
    at: usize,
    /// How many of `shared` come before it.
    shared: usize,
}

impl Default for ReplyBuf {
    fn default() -> Self {
        ReplyBuf {
            resp: Resp::V2,
            chunks: VecDeque::new(),
            tail: Vec::new(),
            sent: 0,
            shared: VecDeque::new(),
            outside_len: 0,
            deferred: 0,
            passed: 0,
            taken: 0,
            look_from: CHUNK_LEN,
            limit_bytes: usize::MAX,
            is_overflowed: false,
        }
    }
}

impl ReplyBuf {
    /// An empty buffer in RESP2 that has allocated nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The most that may wait to be sent: looked at as the output grows by chunks of 64 KiB, so that one
    /// reply cannot take much more either. Closer than that is the caller's business.
    #[inline]
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit_bytes = bytes;
    }

    /// Something was dropped, because it would have been more than the limit.
    #[inline]
    pub fn is_overflowed(&self) -> bool {
        self.is_overflowed
    }

    /// Drops what is written from now on, until `unmute`.
    pub fn mute(&mut self) {
        self.look_from = 0;
    }

    #[inline]
    pub fn unmute(&mut self) {
        if !self.is_overflowed {
            self.look_from = CHUNK_LEN;
        }
    }

    /// Whether nothing that is written will be sent: no command need go on for it.
    #[inline]
    pub fn is_deaf(&self) -> bool {
        self.look_from == 0
    }

    /// Takes nothing from now on, for ever, and gives back what it has: the peer has let more pile up
    /// than it may.
    #[cold]
    pub fn overflow(&mut self) {
        *self = ReplyBuf {
            resp: self.resp,
            taken: self.written(),
            look_from: 0,
            is_overflowed: true,
            ..Self::default()
        };
    }

    /// `+<text>`.
    pub fn status(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// `-<text>`, the text beginning with its code word (`ERR ...`). It may quote bytes of a
    /// client's that are no characters. Line ends within it become blanks.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let mut text = text.as_ref();
        while let [rest @ .., b'\r' | b'\n'] = text {
            text = rest;
        }
        self.line(b'-', text);
        if self.is_deaf() {
            return;
        }
        let end = self.tail.len() - 2;
        for byte in &mut self.tail[end - text.len()..end] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }

    /// `:<n>`.
    #[inline]
    pub fn int(&mut self, n: i64) {
        match n {
            0 => self.raw(b":0\r\n"),
            1 => self.raw(b":1\r\n"),
            _ => self.line(b':', itoa::Buffer::new().format(n).as_bytes()),
        }
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if !self.admits(bytes.len()) {
            return;
        }
        self.tail.reserve(bytes.len() + 24);
        push_header(&mut self.tail, b'$', bytes.len());
        self.tail.extend_from_slice(bytes);
        self.tail.extend_from_slice(b"\r\n");
    }

    /// A string that is sent from where it lies when that is worth it.
    pub fn bulk_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_LEN {
            return self.bulk(&bytes);
        }
        self.header(b'$', bytes.len());
        self.raw_shared(bytes);
        self.raw(b"\r\n");
    }

    /// A decimal integer as a bulk string.
    pub fn bulk_int(&mut self, n: i64) {
        self.bulk(itoa::Buffer::new().format(n).as_bytes());
    }

    /// The null of a missing value: `$-1`, or `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.raw(match self.resp {
            Resp::V2 => b"$-1\r\n",
            Resp::V3 => b"_\r\n",
        });
    }

    /// The null of a missing array: `*-1`, or `_` in RESP3.
    pub fn null_array(&mut self) {
        self.raw(match self.resp {
            Resp::V2 => b"*-1\r\n",
            Resp::V3 => b"_\r\n",
        });
    }

    /// The head of an array of `n` elements.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n);
    }

    /// The head of a map of `n` pairs; in RESP2 an array of twice as many.
    pub fn map(&mut self, n: usize) {
        match self.resp {
            Resp::V2 => self.header(b'*', 2 * n),
            Resp::V3 => self.header(b'%', n),
        }
    }

    /// The head of a set of `n` elements; in RESP2 an array.
    pub fn set(&mut self, n: usize) {
        self.header(self.head_of(b'~'), n);
    }

    /// The head of an out-of-band push of `n` elements; in RESP2 an array.
    pub fn push(&mut self, n: usize) {
        self.header(self.head_of(b'>'), n);
    }

    /// The head of `n` pairs of attributes of the reply that follows. RESP2 has none, so there
    /// the caller must leave the pairs out too: `false`.
    pub fn attribute(&mut self, n: usize) -> bool {
        let has_attributes = self.resp == Resp::V3;
        if has_attributes {
            self.header(b'|', n);
        }
        has_attributes
    }

    /// A floating point number; in RESP2 a bulk.
    pub fn double(&mut self, value: f64) {
        let mut text = [0; F64_TEXT_MAX];
        let len = write_f64(&mut text, value);
        match self.resp {
            Resp::V2 => self.bulk(&text[..len]),
            Resp::V3 => self.line(b',', &text[..len]),
        }
    }

    /// A number in decimals, 17 of them at most, as people read it: without an exponent, and without zeros
    /// at the end.
    pub fn human_double(&mut self, value: f64) {
        let mut text = [0; HUMAN_TEXT_MAX];
        let len = write_human(&mut text, value);
        match self.resp {
            Resp::V2 => self.bulk(&text[..len]),
            Resp::V3 => self.line(b',', &text[..len]),
        }
    }

    /// A truth; in RESP2 `:1` or `:0`.
    pub fn bool(&mut self, value: bool) {
        match self.resp {
            Resp::V2 => self.int(value.into()),
            Resp::V3 => self.raw(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// Text of a format that a three-byte extension names (`txt`, `mkd`); in RESP2 a bulk.
    pub fn verbatim(&mut self, extension: &str, bytes: &[u8]) {
        match self.resp {
            Resp::V2 => self.bulk(bytes),
            Resp::V3 => {
                debug_assert_eq!(extension.len(), 3);
                self.header(b'=', bytes.len() + 4);
                self.raw(extension.as_bytes());
                self.raw(b":");
                self.raw(bytes);
                self.raw(b"\r\n");
            }
        }
    }

    /// An integer of any size, as its digits; in RESP2 a bulk.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.resp {
            Resp::V2 => self.bulk(digits),
            Resp::V3 => self.line(b'(', digits),
        }
    }

    /// Bytes that are already in the protocol.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        if !self.admits(bytes.len()) {
            return;
        }
        self.tail.extend_from_slice(bytes);
    }

    /// As `raw`, without a copy when that is worth it.
    pub fn raw_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_LEN {
            return self.raw(&bytes);
        }
        if !self.admits_large(bytes.len()) {
            return;
        }
        self.outside_len += bytes.len();
        self.shared.push_back((self.tail.len(), bytes));
    }

    /// Begins an aggregate whose length is known only after its elements are written. Nothing may
    /// be sent before it is finished.
    pub fn defer_array(&mut self) -> DeferMark {
        self.deferred += usize::from(!self.is_deaf());
        DeferMark { at: self.tail.len(), shared: self.shared.len() }
    }

    /// Ends a deferred aggregate as an array of `n` elements.
    pub fn finish_array(&mut self, mark: DeferMark, n: usize) {
        self.finish(mark, b'*', n);
    }

    /// Ends a deferred aggregate as a map of `n` pairs; in RESP2 an array of twice as many.
    pub fn finish_map(&mut self, mark: DeferMark, n: usize) {
        match self.resp {
            Resp::V2 => self.finish(mark, b'*', 2 * n),
            Resp::V3 => self.finish(mark, b'%', n),
        }
    }

    /// Ends a deferred aggregate as a set of `n` elements; in RESP2 an array.
    pub fn finish_set(&mut self, mark: DeferMark, n: usize) {
        self.finish(mark, self.head_of(b'~'), n);
    }

    /// Bytes that wait to be sent.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.passed + self.own_len()
    }

    /// Without what was passed on.
    #[inline]
    fn own_len(&self) -> usize {
        self.outside_len + self.tail.len() - self.sent
    }

    /// Bytes written since ever, sent or not.
    #[inline]
    pub fn written(&self) -> u64 {
        self.taken + self.len_bytes() as u64
    }

    /// Whether all was sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// Bytes allocated, shared ones included: what output buffer limits bound.
    pub fn memory_bytes(&self) -> usize {
        self.passed + self.tail.capacity() + self.outside_len
    }

    /// Bytes allocated for what is not sealed yet.
    pub fn buffer_bytes(&self) -> usize {
        self.tail.capacity()
    }

    /// All that was not passed on, where it lies in one piece: nearly always.
    #[inline]
    pub fn in_one_piece(&self) -> Option<&[u8]> {
        (self.outside_len == 0).then(|| &self.tail[self.sent..])
    }

    /// Fills `slices` with the first bytes to send, for a vectored write; returns how many it set. Nothing may
    /// be passed on and not sent: that goes first.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        debug_assert_eq!(self.passed, 0);
        if let Some(unsent) = self.in_one_piece() {
            return match slices.first_mut() {
                Some(slot) if !unsent.is_empty() => {
                    *slot = IoSlice::new(unsent);
                    1
                }
                _ => 0,
            };
        }
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(self.pieces()) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// The same, no further than the first `limit` bytes.
    pub fn io_slices_of<'a>(&'a self, limit: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let mut left = limit;
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(self.pieces()) {
            if left == 0 {
                break;
            }
            let part = bytes.len().min(left);
            *slot = IoSlice::new(&bytes[..part]);
            left -= part;
            count += 1;
        }
        count
    }

    /// The first `n` bytes were sent from where `io_slices` has shown them.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.own_len() && self.passed == 0);
        self.taken += n as u64;
        if self.outside_len == 0 {
            self.sent += n;
        } else {
            self.remove(n, |_| {});
        }
        self.tidy();
    }

    /// Gives the next `n` bytes, of those that were not, to the connection's `output`. They still count here, until
    /// `sent` says that they are gone.
    pub fn pass_on(&mut self, n: usize, output: &mut Output) {
        assert!(n <= self.own_len());
        if self.tail.len() >= CHUNK_LEN && self.deferred == 0 {
            self.seal();
        }
        self.passed += n;
        self.remove(n, |piece| match piece {
            Piece::Own(bytes) => output.push(bytes),
            Piece::OfTail(bytes) => output.extend_from_slice(bytes),
        });
        self.tidy();
    }

    /// So many of the bytes that were passed on were sent.
    pub fn sent(&mut self, n: usize) {
        // After an overflow they were given up already.
        let n = n.min(self.passed);
        self.taken += n as u64;
        self.passed -= n;
    }

    /// Bytes that were passed on and are not sent.
    pub fn passed_len(&self) -> usize {
        self.passed
    }

    /// Takes the first `n` bytes out.
    fn remove(&mut self, mut n: usize, mut piece: impl FnMut(Piece<'_>)) {
        while n > 0 {
            if let Some(chunk) = self.chunks.front_mut() {
                let taken = n.min(chunk.len());
                piece(Piece::Own(chunk.split_to(taken)));
                self.outside_len -= taken;
                n -= taken;
                if chunk.is_empty() {
                    self.chunks.pop_front();
                }
                continue;
            }
            match self.shared.front_mut() {
                Some((at, bytes)) if *at == self.sent => {
                    let taken = n.min(bytes.len());
                    piece(Piece::Own(bytes.split_to(taken)));
                    self.outside_len -= taken;
                    n -= taken;
                    if bytes.is_empty() {
                        self.shared.pop_front();
                    }
                }
                next => {
                    let end = next.map_or(self.tail.len(), |(at, _)| *at);
                    let taken = n.min(end - self.sent);
                    piece(Piece::OfTail(&self.tail[self.sent..self.sent + taken]));
                    self.sent += taken;
                    n -= taken;
                }
            }
        }
    }

    /// A tail of which all is gone begins anew.
    #[inline]
    fn tidy(&mut self) {
        if self.own_len() == 0 && self.deferred == 0 {
            self.tail.clear();
            self.sent = 0;
            if self.tail.capacity() > KEPT_LEN {
                self.tail = Vec::new();
            }
        }
    }

    /// Drops all that was not passed on.
    pub fn clear(&mut self) {
        self.deferred = 0;
        let n = self.own_len();
        self.taken += n as u64;
        self.remove(n, |_| {});
        self.tidy();
    }

    /// Returns memory that an idle client does not need.
    pub fn shrink(&mut self) {
        if self.own_len() == 0 && self.deferred == 0 {
            self.tail = Vec::new();
            self.sent = 0;
        }
        self.shared.shrink_to_fit();
        self.chunks.shrink_to_fit();
    }

    /// All bytes that wait to be sent, copied: for tests and small replies.
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }

    #[inline]
    fn header(&mut self, kind: u8, n: usize) {
        if !self.admits(0) {
            return;
        }
        push_header(&mut self.tail, kind, n);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        if !self.admits(text.len()) {
            return;
        }
        self.tail.reserve(text.len() + 3);
        self.tail.push(kind);
        self.tail.extend_from_slice(text);
        self.tail.extend_from_slice(b"\r\n");
    }

    /// The head of a RESP3 aggregate, or of the array that stands for it.
    fn head_of(&self, resp3: u8) -> u8 {
        match self.resp {
            Resp::V2 => b'*',
            Resp::V3 => resp3,
        }
    }

    fn finish(&mut self, mark: DeferMark, kind: u8, n: usize) {
        if self.is_deaf() {
            return;
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(n).as_bytes();
        let header_len = digits.len() + 3;
        let body = mark.at..self.tail.len();
        self.tail.resize(body.end + header_len, 0);
        self.tail.copy_within(body, mark.at + header_len);
        let header = &mut self.tail[mark.at..mark.at + header_len];
        header[0] = kind;
        header[1..=digits.len()].copy_from_slice(digits);
        header[digits.len() + 1..].copy_from_slice(b"\r\n");
        // What was shared since then moves with the elements.
        for (at, _) in self.shared.iter_mut().skip(mark.shared) {
            *at += header_len;
        }
        self.deferred -= 1;
    }

    /// Whether `more` bytes are taken. Nearly always that costs one comparison.
    #[inline]
    fn admits(&mut self, more: usize) -> bool {
        self.tail.len() + more < self.look_from || self.admits_large(more)
    }

    #[cold]
    fn admits_large(&mut self, more: usize) -> bool {
        if self.is_deaf() {
            return false;
        }
        if self.len_bytes() + more > self.limit_bytes {
            self.overflow();
            return false;
        }
        if self.tail.len() >= CHUNK_LEN && self.deferred == 0 {
            self.seal();
        }
        true
    }

    /// Turns the tail and what is shared in it into chunks.
    #[cold]
    fn seal(&mut self) {
        // Where so much was written, more is to come.
        let next = Vec::with_capacity(CHUNK_LEN);
        let tail = Bytes::from(std::mem::replace(&mut self.tail, next));
        let mut from = std::mem::take(&mut self.sent);
        for (at, bytes) in self.shared.drain(..) {
            if at > from {
                self.outside_len += at - from;
                self.chunks.push_back(tail.slice(from..at));
            }
            self.chunks.push_back(bytes);
            from = at;
        }
        if tail.len() > from {
            self.outside_len += tail.len() - from;
            self.chunks.push_back(tail.slice(from..));
        }
    }

    /// The non-empty pieces of the output in order.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.sent;
        let inline = self.shared.iter().flat_map(move |(at, bytes)| {
            let before = &self.tail[from..*at];
            from = *at;
            [before, &bytes[..]]
        });
        let last = self.shared.back().map_or(self.sent, |(at, _)| *at);
        self.chunks
            .iter()
            .map(|chunk| &chunk[..])
            .chain(inline)
            .chain([&self.tail[last..]])
            .filter(|piece| !piece.is_empty())
    }
}

#[cfg(test)]
mod tests;
