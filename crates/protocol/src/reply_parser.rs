//! Replies as a client reads them, RESP2 and RESP3, however the stream is cut: for redis-cli and for
//! tests. The server never parses replies, so this favours plainness over speed.

use std::fmt;

use crate::number::{parse_f64, parse_i64};

/// Aggregates may lie in one another this deep.
const DEPTH_MAX: usize = 128;
/// The default of `proto-max-bulk-len`, which bounds what a server sends back.
const LEN_MAX: usize = 512 * 1024 * 1024;
/// More elements than this are taken for a broken stream.
const COUNT_MAX: i64 = u32::MAX as i64;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`
    Status(Vec<u8>),
    /// `-` or `!`, the code word first.
    Error(Vec<u8>),
    /// `:`
    Int(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `_`, `$-1` or `*-1`
    Null,
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`: not an answer to a command.
    Push(Vec<Value>),
    /// `,`, as it was spelt: servers differ in how many digits they print.
    Double(Vec<u8>),
    /// `#`
    Bool(bool),
    /// `(`
    BigNumber(Vec<u8>),
    /// `=`: text and the three letters that name its format.
    Verbatim([u8; 3], Vec<u8>),
    /// `|`: attributes and the value they belong to.
    Attributed(Vec<(Value, Value)>, Box<Value>),
}

/// A reply that breaks the protocol: where in the stream, and what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// Bytes of the stream before the value at fault.
    pub offset: u64,
    /// What was wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken reply at offset {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for ReplyError {}

/// Finds replies in a stream: `feed` what arrives, then call `next_value` until it has no more.
#[derive(Debug, Default)]
pub struct ReplyParser {
    input: Vec<u8>,
    /// The next byte to parse.
    pos: usize,
    /// Bytes behind `pos` known to hold no line end.
    scanned: usize,
    /// Bytes of the stream before `input`.
    offset: u64,
    /// Aggregates that are not complete, each within the one before.
    open: Vec<Aggregate>,
    error: Option<ReplyError>,
}

#[derive(Debug)]
struct Aggregate {
    kind: Kind,
    /// Values still to come.
    missing: usize,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    Attributes,
    /// The one value that attributes belong to.
    Attributed(Vec<(Value, Value)>),
}

/// What one element of the stream is.
enum Item {
    Incomplete,
    Value(Value),
    Open(Kind, usize),
}

impl ReplyParser {
    /// A parser that has allocated nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.drain(..self.pos);
        self.offset += self.pos as u64;
        self.pos = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The next complete reply. `None`: more bytes are needed. An error stays for ever.
    pub fn next_value(&mut self) -> Result<Option<Value>, ReplyError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.advance().map_err(|reason| {
            let error = ReplyError { offset: self.offset + self.pos as u64, reason };
            self.error = Some(error);
            error
        })
    }

    fn advance(&mut self) -> Result<Option<Value>, &'static str> {
        loop {
            let mut value = match self.item()? {
                Item::Incomplete => return Ok(None),
                Item::Open(kind, count) if count > 0 => {
                    if self.open.len() == DEPTH_MAX {
                        return Err("aggregates too deep in one another");
                    }
                    self.open.push(Aggregate { kind, missing: count, values: Vec::new() });
                    continue;
                }
                Item::Open(Kind::Attributes, _) => continue,
                Item::Open(kind, _) => kind.complete(Vec::new()),
                Item::Value(value) => value,
            };
            // Close every aggregate that this value completes.
            loop {
                let Some(mut aggregate) = self.open.pop() else { return Ok(Some(value)) };
                aggregate.values.push(value);
                aggregate.missing -= 1;
                if aggregate.missing > 0 {
                    self.open.push(aggregate);
                    break;
                }
                if let Kind::Attributes = aggregate.kind {
                    let kind = Kind::Attributed(pairs(aggregate.values));
                    self.open.push(Aggregate { kind, missing: 1, values: Vec::new() });
                    break;
                }
                value = aggregate.kind.complete(aggregate.values);
            }
        }
    }

    /// Parses one element: a whole scalar, or the head of an aggregate.
    fn item(&mut self) -> Result<Item, &'static str> {
        let rest = &self.input[self.pos..];
        let Some(end) = memchr::memchr(b'\n', &rest[self.scanned..]) else {
            self.scanned = rest.len();
            return if rest.len() > LEN_MAX { Err("line too long") } else { Ok(Item::Incomplete) };
        };
        // Kept for the case that the line's bulk is not whole yet.
        self.scanned += end;
        let end = self.scanned;
        let Some((&kind, line)) = rest[..end].split_first() else { return Err("empty line") };
        let line = line.strip_suffix(b"\r").ok_or("line feed without carriage return")?;
        let item = match kind {
            b'+' => Item::Value(Value::Status(line.to_vec())),
            b'-' => Item::Value(Value::Error(line.to_vec())),
            b':' => Item::Value(Value::Int(parse_i64(line).ok_or("bad integer")?)),
            b'_' if line.is_empty() => Item::Value(Value::Null),
            b'#' if line == b"t" || line == b"f" => Item::Value(Value::Bool(line == b"t")),
            b',' if line != b"nan" && parse_f64(line).is_none() => return Err("bad double"),
            b',' => Item::Value(Value::Double(line.to_vec())),
            b'(' => {
                let digits = line.strip_prefix(b"-").unwrap_or(line);
                if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                    return Err("bad big number");
                }
                Item::Value(Value::BigNumber(line.to_vec()))
            }
            b'$' | b'!' | b'=' => return self.bulk(kind, end),
            b'*' | b'%' | b'~' | b'>' | b'|' => aggregate(kind, line)?,
            _ => return Err("unknown type"),
        };
        self.pos += end + 1;
        self.scanned = 0;
        Ok(item)
    }

    /// A string of announced length, its header ending at `line_end` behind `pos`.
    fn bulk(&mut self, kind: u8, line_end: usize) -> Result<Item, &'static str> {
        let rest = &self.input[self.pos..];
        let len = parse_i64(&rest[1..line_end - 1]).ok_or("bad length")?;
        let begin = line_end + 1;
        let value = if len == -1 && kind == b'$' {
            self.pos += begin;
            Value::Null
        } else {
            let len = usize::try_from(len).map_err(|_| "negative length")?;
            if len > LEN_MAX {
                return Err("length too big");
            }
            let Some(bytes) = rest.get(begin..begin + len + 2) else { return Ok(Item::Incomplete) };
            let bytes = bytes.strip_suffix(b"\r\n").ok_or("no line end behind a string")?;
            let value = match (kind, bytes) {
                (b'$', _) => Value::Bulk(bytes.to_vec()),
                (b'!', _) => Value::Error(bytes.to_vec()),
                (_, [a, b, c, b':', text @ ..]) => Value::Verbatim([*a, *b, *c], text.to_vec()),
                _ => return Err("verbatim text without a format"),
            };
            self.pos += begin + len + 2;
            value
        };
        self.scanned = 0;
        Ok(Item::Value(value))
    }
}

impl Kind {
    fn complete(self, mut values: Vec<Value>) -> Value {
        match self {
            Self::Array => Value::Array(values),
            Self::Set => Value::Set(values),
            Self::Push => Value::Push(values),
            Self::Map | Self::Attributes => Value::Map(pairs(values)),
            Self::Attributed(attributes) => {
                let value = values.pop().unwrap_or(Value::Null);
                Value::Attributed(attributes, Box::new(value))
            }
        }
    }
}

fn aggregate(kind: u8, line: &[u8]) -> Result<Item, &'static str> {
    let count = parse_i64(line).ok_or("bad count")?;
    if count == -1 && kind == b'*' {
        return Ok(Item::Value(Value::Null));
    }
    if !(0..=COUNT_MAX).contains(&count) {
        return Err("bad count");
    }
    let count = count as usize;
    Ok(match kind {
        b'*' => Item::Open(Kind::Array, count),
        b'~' => Item::Open(Kind::Set, count),
        b'>' => Item::Open(Kind::Push, count),
        b'%' => Item::Open(Kind::Map, 2 * count),
        _ => Item::Open(Kind::Attributes, 2 * count),
    })
}

fn pairs(values: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(key), Some(value)) = (values.next(), values.next()) {
        pairs.push((key, value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{ReplyBuf, Resp};

    fn parse(stream: &[u8], piece_len: usize) -> Result<Vec<Value>, ReplyError> {
        let mut parser = ReplyParser::new();
        let mut values = Vec::new();
        for piece in stream.chunks(piece_len) {
            parser.feed(piece);
            while let Some(value) = parser.next_value()? {
                values.push(value);
            }
        }
        Ok(values)
    }

    #[test]
    fn what_reply_buf_writes_is_read_back_however_it_is_cut() {
        let bulk = |text: &[u8]| Value::Bulk(text.to_vec());
        for resp in [Resp::V2, Resp::V3] {
            let mut out = ReplyBuf::new();
            out.resp = resp;
            out.ok();
            out.error("ERR no");
            out.array(2);
            out.int(-5);
            out.map(1);
            out.bulk(b"k\r\n");
            out.array(0);
            out.null();
            if out.attribute(1) {
                out.status("ttl");
                out.int(3);
            }
            out.double(1.5);
            out.bool(true);
            out.verbatim("txt", b"hi");
            out.push(1);
            out.big_number(b"-123");
            let v3 = resp == Resp::V3;
            let pair = (bulk(b"k\r\n"), Value::Array(vec![]));
            let expected = vec![
                Value::Status(b"OK".to_vec()),
                Value::Error(b"ERR no".to_vec()),
                Value::Array(vec![
                    Value::Int(-5),
                    if v3 { Value::Map(vec![pair]) } else { Value::Array(vec![pair.0, pair.1]) },
                ]),
                Value::Null,
                if v3 {
                    let attributes = vec![(Value::Status(b"ttl".to_vec()), Value::Int(3))];
                    Value::Attributed(attributes, Box::new(Value::Double(b"1.5".to_vec())))
                } else {
                    bulk(b"1.5")
                },
                if v3 { Value::Bool(true) } else { Value::Int(1) },
                if v3 { Value::Verbatim(*b"txt", b"hi".to_vec()) } else { bulk(b"hi") },
                if v3 {
                    Value::Push(vec![Value::BigNumber(b"-123".to_vec())])
                } else {
                    Value::Array(vec![bulk(b"-123")])
                },
            ];
            for piece_len in [1, 2, 7, 1000] {
                assert_eq!(parse(&out.to_vec(), piece_len), Ok(expected.clone()));
            }
        }
    }

    #[test]
    fn a_broken_reply_is_an_error_at_its_offset() {
        for (stream, offset) in [
            (&b"+OK\r\nx\r\n"[..], 5),
            (b"\r\n", 0),
            (b"+OK\n", 0),
            (b":1x\r\n", 0),
            (b"*1\r\n$-2\r\n", 4),
            (b"$1\r\nabcd", 0),
            (b"$999999999999\r\n", 0),
            (b"*-2\r\n", 0),
            (b"=2\r\nab\r\n", 0),
            (b"#x\r\n", 0),
            (b"(1a\r\n", 0),
            (b",1e\r\n", 0),
        ] {
            for piece_len in [1, 1000] {
                let error = parse(stream, piece_len).unwrap_err();
                assert_eq!(error.offset, offset, "{}", stream.escape_ascii());
            }
        }
        assert!(parse(&b"*1\r\n".repeat(DEPTH_MAX + 1), 1000).is_err());
        // Announced, not arrived: costs nothing.
        assert_eq!(parse(b"*4294967295\r\n%2147483647\r\n", 3), Ok(vec![]));
    }
}
