//! A connection's input: the bytes received and the requests found in them.
//!
//! The order of calls is `spare`, `filled` (or `feed`), `parse`, `request` for each, `consume`.
//! All requests of one read are known before the first runs, so that keys can be prefetched. Must
//! not know what a request means.

mod big_bulk;
mod header;

use bytes::Bytes;

use self::big_bulk::BigBulk;
use self::header::{Header, LINE_MAX, header_number, plain_header};
use crate::args::{Args, BIG_BULK_LEN, Span};
use crate::error::ProtocolError;
use crate::split::split_in_place;

const MULTIBULK_MAX: i64 = i32::MAX as i64;
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16384;

/// Room for one read at first, and for a peer that always has more to say.
const READ_LEN: usize = 16 * 1024;
const READ_LEN_MAX: usize = 64 * 1024;
/// With less room than this, make more before reading.
const READ_LEN_MIN: usize = READ_LEN / 4;
/// Bookkeeping above this many entries is returned after use.
const KEPT_SPANS: usize = 4096;

/// How a client of TLS begins: a record of a handshake, of any version.
const TLS_GREETING: [u8; 2] = [0x16, 0x03];

/// What a master may always send: eight times what its own clients may by default.
const MASTER_BULK_MAX: i64 = u32::MAX as i64;

/// What a peer may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, or what is put up with from our master.
    pub max_bulk_len: i64,
    /// A client that has yet to authenticate gets small requests only, and one at a time: the
    /// first may be the AUTH that lifts the limit.
    pub unauthenticated: bool,
    /// The peer is our master: no inline command.
    pub from_master: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bulk_len: 512 * 1024 * 1024, unauthenticated: false, from_master: false }
    }
}

impl Limits {
    /// For the stream of our master, whose own limit may be a higher one than ours is.
    pub fn master(max_bulk_len: i64) -> Self {
        Self {
            max_bulk_len: max_bulk_len.max(MASTER_BULK_MAX),
            unauthenticated: false,
            from_master: true,
        }
    }
}

/// A connection's input buffer and the requests in it.
///
/// Requests are queued as spans into the buffer. Bytes move only when the buffer has no room
/// left, and a big bulk never passes through it. `start <= pos <= end <= input.len()`.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Wholly initialised; `start..end` holds what was received.
    input: Vec<u8>,
    /// The last read filled all the room there was.
    is_flooded: bool,
    /// First byte of the first request that is not consumed.
    start: usize,
    /// The next byte to parse.
    pos: usize,
    end: usize,
    /// Arguments of the queued requests and then of the current one.
    spans: Vec<Span>,
    bulks: Vec<Bytes>,
    bulks_len: usize,
    queued: Vec<Queued>,
    /// Queued requests before this one are consumed.
    first: usize,
    current: Current,
    error: Option<ProtocolError>,
}

/// A complete request.
#[derive(Debug)]
struct Queued {
    start: usize,
    /// Bytes of it that lie in `input`.
    input_len: usize,
    /// Bytes of the stream it stands for.
    raw_len: usize,
    spans_start: usize,
    spans_end: usize,
    bulks_start: usize,
    bulks_end: usize,
    is_raw: bool,
}

/// The request that is being parsed.
#[derive(Debug, Default)]
struct Current {
    state: State,
    /// Where its bytes begin in `input`.
    start: usize,
    spans_start: usize,
    bulks_start: usize,
    /// Arguments still to come.
    missing: usize,
    /// Bytes of the stream that belong to it but do not lie in `start..pos`.
    elsewhere: usize,
    /// Differs from what `encode_command` makes, though it was accepted.
    is_odd: bool,
    big: BigBulk,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the first byte of a request.
    #[default]
    Begin,
    /// Before the `$` of an argument.
    BulkHeader,
    /// Before the bytes of an argument of this length.
    Bulk(usize),
    /// A big bulk fills its own buffer, and is not whole.
    BigBulk,
    /// Before the line end that closes a big bulk.
    BigBulkEnd,
}

/// One complete request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    args: Args<'a>,
    raw_len: usize,
}

impl<'a> Request<'a> {
    /// Its arguments: at least one.
    #[inline]
    pub fn args(&self) -> Args<'a> {
        self.args
    }

    /// Bytes that it took in the stream, skipped empty requests before it included.
    pub fn raw_len(&self) -> usize {
        self.raw_len
    }
}

impl RequestParser {
    /// A parser that has allocated nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room to read the socket into, never empty: the big bulk's own buffer while one arrives.
    pub fn spare(&mut self) -> &mut [u8] {
        if matches!(self.current.state, State::BigBulk) {
            return self.current.big.spare();
        }
        if self.input.len() - self.end < READ_LEN_MIN || self.is_flooded {
            self.make_room();
        }
        &mut self.input[self.end..]
    }

    /// The first `n` bytes of `spare` now hold what the peer sent.
    pub fn filled(&mut self, n: usize) {
        if matches!(self.current.state, State::BigBulk) {
            let big = &mut self.current.big;
            big.filled(n);
            self.current.elsewhere += n;
            if big.is_whole() {
                self.finish_big_bulk();
            }
        } else {
            assert!(n <= self.input.len() - self.end);
            self.end += n;
            self.is_flooded = self.end == self.input.len() && self.end < READ_LEN_MAX;
        }
    }

    /// Appends bytes that came some other way than by `spare`. Parses nothing.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            self.filled(n);
            bytes = &bytes[n..];
        }
    }

    /// Finds complete requests until `max_requests` are queued, and returns how many are. The
    /// protocol error that ends the stream shows only once all before it are consumed; then for
    /// ever.
    pub fn parse(&mut self, limits: &Limits, max_requests: usize) -> Result<usize, ProtocolError> {
        let most = if limits.unauthenticated { 1 } else { max_requests };
        while self.queued.len() - self.first < most && self.error.is_none() {
            match self.parse_one(limits) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.error = Some(error),
            }
        }
        match (self.queued.len() - self.first, self.error) {
            (0, Some(error)) => Err(error),
            (queued, _) => Ok(queued),
        }
    }

    /// How many complete requests wait to be consumed.
    pub fn queued_len(&self) -> usize {
        self.queued.len() - self.first
    }

    /// Queued request `i`, counted from the first that is not consumed.
    #[inline]
    pub fn request(&self, i: usize) -> Request<'_> {
        let request = &self.queued[self.first + i];
        let bytes = &self.input[request.start..request.start + request.input_len];
        let args = Args::from_spans(
            bytes,
            &self.spans[request.spans_start..request.spans_end],
            &self.bulks[request.bulks_start..request.bulks_end],
            request.is_raw.then_some(bytes),
        );
        Request { args, raw_len: request.raw_len }
    }

    /// Bytes that queued request `i` took in the stream. Over all requests, every byte of the
    /// stream counts once.
    pub fn raw_len(&self, i: usize) -> usize {
        self.queued[self.first + i].raw_len
    }

    /// Forgets the first `n` queued requests.
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.queued.len() - self.first);
        self.first += n;
        if self.first < self.queued.len() {
            self.start = self.queued[self.first].start;
            return;
        }
        self.queued.clear();
        self.first = 0;
        self.start = self.current.start;
        if self.current.spans_start == self.spans.len() {
            self.spans.clear();
        } else {
            self.spans.drain(..self.current.spans_start);
        }
        self.current.spans_start = 0;
        if self.current.bulks_start > 0 {
            let gone = self.bulks.drain(..self.current.bulks_start);
            self.bulks_len -= gone.map(|bulk| bulk.len()).sum::<usize>();
            self.current.bulks_start = 0;
        }
        if self.start == self.end {
            self.rewind();
        }
    }

    /// Whether `parse` would find nothing more, nor an error.
    #[inline]
    pub fn is_exhausted(&self) -> bool {
        self.start == self.end && self.queued.is_empty() && self.error.is_none()
    }

    /// Bytes received and not yet consumed: what `client-query-buffer-limit` bounds.
    pub fn buffered_len(&self) -> usize {
        self.end - self.start + self.bulks_len + self.current.big.arrived_len()
    }

    /// The part of it that CLIENT LIST calls the query buffer: once a big bulk has begun, not what
    /// came before it.
    pub fn unparsed_len(&self) -> usize {
        match self.current.state {
            State::BigBulk | State::BigBulkEnd => {
                self.end - self.pos + self.bulks_len + self.current.big.arrived_len()
            }
            _ => self.buffered_len(),
        }
    }

    /// Bytes allocated for input.
    pub fn capacity(&self) -> usize {
        self.input.capacity()
            + self.current.big.capacity()
            + self.bulks_len
            + self.spans.capacity() * size_of::<Span>()
            + self.queued.capacity() * size_of::<Queued>()
    }

    /// Returns memory that an idle or a quiet connection does not need.
    pub fn shrink(&mut self) {
        let used = self.end - self.start;
        self.is_flooded = false;
        if used == 0 {
            self.rewind();
            self.input = Vec::new();
        } else if self.input.len() > 2 * used + READ_LEN {
            self.compact();
            self.input.truncate(used + READ_LEN_MIN);
            self.input.shrink_to_fit();
        }
        self.spans.shrink_to_fit();
        self.bulks.shrink_to_fit();
        self.queued.shrink_to_fit();
    }

    /// Makes at least `READ_LEN_MIN` of room behind `end`, and more for a peer that filled it all.
    fn make_room(&mut self) {
        self.compact();
        let len = self.input.len();
        let mut wanted = READ_LEN.max(len);
        // After a compaction that freed little, doubling keeps the moving linear.
        if len - self.end < len / 2 {
            wanted = wanted.max(2 * self.end);
        }
        if std::mem::take(&mut self.is_flooded) {
            wanted = wanted.max((2 * len).min(READ_LEN_MAX));
        }
        self.input.reserve_exact(wanted - len);
        self.input.resize(wanted, 0);
    }

    /// Moves what is not consumed to the front.
    fn compact(&mut self) {
        let by = self.start;
        if by == 0 {
            return;
        }
        self.input.copy_within(by..self.end, 0);
        self.start = 0;
        self.pos -= by;
        self.end -= by;
        self.current.start -= by;
        for request in &mut self.queued[self.first..] {
            request.start -= by;
        }
    }

    /// Starts over at the front: nothing is left to parse or to consume.
    fn rewind(&mut self) {
        // A big bulk may be under way with nothing of its request left in the input.
        debug_assert!(self.start == self.end && self.pos == self.end);
        self.start = 0;
        self.pos = 0;
        self.end = 0;
        self.current.start = 0;
        if self.spans.capacity() > KEPT_SPANS {
            self.spans.shrink_to(KEPT_SPANS);
        }
    }

    /// Parses up to the end of the next request. `false`: more bytes are needed.
    fn parse_one(&mut self, limits: &Limits) -> Result<bool, ProtocolError> {
        loop {
            match self.current.state {
                State::Begin => match self.input[..self.end].get(self.pos) {
                    None => return Ok(false),
                    Some(b'*') => {
                        if !self.parse_multibulk_header(limits)? {
                            return Ok(false);
                        }
                    }
                    Some(_) => match self.parse_inline(limits)? {
                        Inline::Complete => return Ok(true),
                        Inline::Incomplete => return Ok(false),
                        Inline::Empty => {}
                    },
                },
                State::BulkHeader => {
                    self.take_plain_args(limits);
                    if self.current.missing == 0 {
                        self.queue(!self.current.is_odd);
                        return Ok(true);
                    }
                    if !self.parse_bulk_header(limits)? {
                        return Ok(false);
                    }
                }
                State::Bulk(len) => {
                    if self.end - self.pos < len + 2 {
                        return Ok(false);
                    }
                    let line_end = self.pos + len;
                    self.current.is_odd |= self.input[line_end..line_end + 2] != *b"\r\n";
                    self.spans.push(Span::inline(self.pos - self.current.start, len));
                    self.pos = line_end + 2;
                    self.current.missing -= 1;
                    self.current.state = State::BulkHeader;
                }
                State::BigBulk => return Ok(false),
                State::BigBulkEnd => {
                    if self.end - self.pos < 2 {
                        return Ok(false);
                    }
                    self.pos += 2;
                    self.current.missing -= 1;
                    self.current.state = State::BulkHeader;
                }
            }
        }
    }

    /// `*<count>\r\n`. `false`: more bytes are needed.
    fn parse_multibulk_header(&mut self, limits: &Limits) -> Result<bool, ProtocolError> {
        let received = &self.input[self.pos..self.end];
        let (count, len) = match plain_header(received, b'*') {
            Some(plain) => plain,
            None => match header_number(received) {
                Header::Incomplete => return Ok(false),
                Header::TooLong => return Err(ProtocolError::MultibulkCountTooLong),
                Header::Line { number, len, is_odd } => {
                    self.current.is_odd |= is_odd;
                    (number.ok_or(ProtocolError::InvalidMultibulkLength)?, len)
                }
            },
        };
        if count > MULTIBULK_MAX {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if count > UNAUTHENTICATED_ARGS_MAX && limits.unauthenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        self.pos += len;
        if count <= 0 {
            self.skip_empty();
        } else {
            self.current.missing = count as usize;
            self.current.state = State::BulkHeader;
        }
        Ok(true)
    }

    /// Takes as many arguments as lie whole in the input and have nothing odd about them: nearly
    /// all arguments that ever arrive. The first other one is left to the general way.
    #[inline]
    fn take_plain_args(&mut self, limits: &Limits) {
        let max =
            if limits.unauthenticated { UNAUTHENTICATED_BULK_MAX } else { limits.max_bulk_len };
        let max = max.min(BIG_BULK_LEN as i64 - 1);
        let bytes = &self.input[..self.end];
        let start = self.current.start;
        let mut pos = self.pos;
        let mut missing = self.current.missing;
        while missing > 0 {
            let Some((len, header_len)) = plain_header(&bytes[pos..], b'$') else { break };
            let begin = pos + header_len;
            if len > max
                || bytes.get(begin + len as usize..begin + len as usize + 2) != Some(b"\r\n")
            {
                break;
            }
            self.spans.push(Span::inline(begin - start, len as usize));
            pos = begin + len as usize + 2;
            missing -= 1;
        }
        self.pos = pos;
        self.current.missing = missing;
    }

    /// `$<length>\r\n`, and the start of a big bulk. `false`: more bytes are needed.
    fn parse_bulk_header(&mut self, limits: &Limits) -> Result<bool, ProtocolError> {
        let received = &self.input[self.pos..self.end];
        // Redis looks at what kind of line it is only once the line is whole.
        let (number, len, is_odd) = match header_number(received) {
            Header::Incomplete => return Ok(false),
            Header::TooLong => return Err(ProtocolError::BulkCountTooLong),
            Header::Line { number, len, is_odd } => (number, len, is_odd),
        };
        if received[0] != b'$' {
            return Err(ProtocolError::ExpectedDollar(received[0]));
        }
        // The end of the line behind it must still be countable.
        let max = limits.max_bulk_len.min(i64::MAX - 2);
        let number = match number {
            Some(number) if (0..=max).contains(&number) => number,
            _ => return Err(ProtocolError::InvalidBulkLength),
        };
        if number > UNAUTHENTICATED_BULK_MAX && limits.unauthenticated {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        self.current.is_odd |= is_odd;
        self.pos += len;
        let bulk_len = number as usize;
        if bulk_len >= BIG_BULK_LEN {
            self.begin_big_bulk(bulk_len);
        } else {
            self.current.state = State::Bulk(bulk_len);
        }
        Ok(true)
    }

    /// Gives a big bulk its buffer, with what is here of it already.
    fn begin_big_bulk(&mut self, announced: usize) {
        let here = announced.min(self.end - self.pos);
        self.current.big = BigBulk::new(announced, &self.input[self.pos..self.pos + here]);
        if self.pos + here == self.end {
            self.end = self.pos;
            self.current.elsewhere += here;
        } else {
            self.pos += here;
        }
        self.current.state = State::BigBulk;
        if self.current.big.is_whole() {
            self.finish_big_bulk();
        }
    }

    fn finish_big_bulk(&mut self) {
        let bulk = std::mem::take(&mut self.current.big).into_bytes();
        self.bulks_len += bulk.len();
        self.spans.push(Span::bulk(self.bulks.len() - self.current.bulks_start));
        self.bulks.push(bulk);
        self.current.state = State::BigBulkEnd;
    }

    fn parse_inline(&mut self, limits: &Limits) -> Result<Inline, ProtocolError> {
        let received = &self.input[self.pos..self.end];
        // It would wait for an answer for as long as we do for the end of the line.
        if received.starts_with(&TLS_GREETING) {
            return Err(ProtocolError::EncryptedGreeting);
        }
        // Redis searches a C string: a line with a NUL byte before its end never ends.
        let within = &received[..received.len().min(LINE_MAX + 1)];
        let newline = memchr::memchr2(b'\n', 0, within).filter(|&at| within[at] == b'\n');
        let Some(newline) = newline else {
            return match received.len() > LINE_MAX {
                true => Err(ProtocolError::InlineTooLong),
                false => Ok(Inline::Incomplete),
            };
        };
        let line_start = self.pos;
        let line = &mut self.input[line_start..line_start + newline];
        let base = line_start - self.current.start;
        let spans = &mut self.spans;
        let split = split_in_place(line, |word| {
            spans.push(Span::inline(base + word.start, word.len()));
        });
        if split.is_none() {
            return Err(ProtocolError::UnbalancedQuotes);
        }
        self.pos += newline + 1;
        if self.spans.len() == self.current.spans_start {
            self.skip_empty();
            return Ok(Inline::Empty);
        }
        if limits.from_master {
            return Err(ProtocolError::InlineFromMaster);
        }
        self.queue(false);
        Ok(Inline::Complete)
    }

    /// The current request turned out empty: its bytes count with the next one.
    fn skip_empty(&mut self) {
        self.current.elsewhere += self.pos - self.current.start;
        self.current.start = self.pos;
        self.current.is_odd = false;
        if self.queued.len() == self.first {
            self.start = self.pos;
            if self.start == self.end {
                self.rewind();
            }
        }
    }

    /// The current request is complete.
    fn queue(&mut self, is_raw: bool) {
        let current = &mut self.current;
        let input_len = self.pos - current.start;
        self.queued.push(Queued {
            start: current.start,
            input_len,
            raw_len: input_len + current.elsewhere,
            spans_start: current.spans_start,
            spans_end: self.spans.len(),
            bulks_start: current.bulks_start,
            bulks_end: self.bulks.len(),
            is_raw: is_raw && self.bulks.len() == current.bulks_start,
        });
        current.state = State::Begin;
        current.start = self.pos;
        current.spans_start = self.spans.len();
        current.bulks_start = self.bulks.len();
        current.elsewhere = 0;
        current.is_odd = false;
    }
}

enum Inline {
    Complete,
    Incomplete,
    Empty,
}

#[cfg(test)]
mod tests;
