//! Owns reading of an AOF's commands: which bytes are one, where the last whole one ends, and
//! whether a bad tail was cut off or is damaged. Runs nothing.
//!
//! A transaction counts as one: `valid_up_to` stays before its MULTI until its EXEC is there.

use std::fmt;
use std::ops::Range;

use protocol::parse_i64;

use crate::error::{RdbError, Reason};
use crate::rdb::format::{HEADER_BYTES, MAGIC, VALKEY_MAGIC};
use crate::source::Source;

/// No count or length line is longer; an annotation may be.
const MAX_NUMBER_LINE: usize = 32;
const MAX_ANNOTATION: usize = 1024;
/// A command of more arguments than this was never written by a server.
const MAX_ARGS: i64 = i32::MAX as i64;

const NO_COUNT: &str = "expected '*' and a count of arguments";
const BAD_COUNT: &str = "a command of no or too many arguments";
const NO_LENGTH: &str = "expected '$' and a length";
const NEGATIVE_LENGTH: &str = "a negative length";
const NO_LINE_END: &str = "expected CR LF after an argument";

/// What ended the reading of an AOF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AofError {
    /// Where the trouble was noticed.
    pub offset: u64,
    /// Everything before this offset is whole commands and whole transactions: the place to
    /// truncate at.
    pub valid_up_to: u64,
    pub kind: AofErrorKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AofErrorKind {
    /// The file ends inside a command: what a crash leaves, and `aof-load-truncated` forgives.
    Truncated,
    /// The file ends inside a transaction, at a command boundary.
    TruncatedTransaction,
    /// The bytes at `offset` are no command.
    Format(&'static str),
    Io(String),
}

impl AofError {
    /// Cut off rather than damaged.
    pub fn is_truncation(&self) -> bool {
        matches!(self.kind, AofErrorKind::Truncated | AofErrorKind::TruncatedTransaction)
    }
}

impl fmt::Display for AofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            AofErrorKind::Truncated => write!(f, "unexpected end of file")?,
            AofErrorKind::TruncatedTransaction => {
                write!(f, "unexpected end of file inside a MULTI/EXEC transaction")?
            }
            AofErrorKind::Format(why) => write!(f, "bad file format: {why}")?,
            AofErrorKind::Io(why) => write!(f, "{why}")?,
        }
        write!(f, " at offset {} (valid up to offset {})", self.offset, self.valid_up_to)
    }
}

impl std::error::Error for AofError {}

/// One step through an AOF.
#[derive(Debug)]
pub enum Record<'a> {
    Command(Command<'a>),
    /// A `#` line without its line end, such as `#TS:1700000000`.
    Annotation(&'a [u8]),
}

#[derive(Debug)]
pub struct Command<'a> {
    /// Where its first byte stands in the file.
    pub offset: u64,
    bytes: &'a [u8],
    args: &'a [Range<usize>],
    raw: Option<&'a [u8]>,
}

impl<'a> Command<'a> {
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Never: a command has at least its name.
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    pub fn arg(&self, i: usize) -> &'a [u8] {
        &self.bytes[self.args[i].clone()]
    }

    pub fn name(&self) -> &'a [u8] {
        self.arg(0)
    }

    pub fn args(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.args.iter().map(move |range| &bytes[range.clone()])
    }

    /// Exactly the command's bytes in the file, where they are at hand in one piece.
    pub fn raw(&self) -> Option<&'a [u8]> {
        self.raw
    }
}

/// The seconds since 1970 that a timestamp annotation says.
pub fn annotation_timestamp(annotation: &[u8]) -> Option<i64> {
    parse_i64(annotation.strip_prefix(b"#TS:")?.trim_ascii())
}

/// Whether an RDB preamble comes first: load it from the same source, then read on.
pub fn has_rdb_preamble(source: &mut Source<'_>) -> Result<bool, RdbError> {
    let mut seen = source.peek()?.len();
    while seen < HEADER_BYTES {
        match source.peek_more()? {
            Some(bytes) if bytes.len() > seen => seen = bytes.len(),
            _ => break,
        }
    }
    let start = source.peek()?;
    Ok(start.starts_with(MAGIC) || start.starts_with(VALKEY_MAGIC))
}

/// Yields the commands of an AOF, from wherever its source stands.
pub struct AofReader<'r> {
    source: Source<'r>,
    args: Vec<Range<usize>>,
    /// The arguments of a command too large for the source's buffer.
    arena: Vec<u8>,
    valid_up_to: u64,
    in_multi: bool,
    /// Bytes of the source's buffer that the last record lent out.
    lent: usize,
}

/// How far a look at the buffer got.
enum Look {
    /// A record of this many bytes; a command's arguments are in `args`.
    Command(usize),
    Annotation(usize),
    Incomplete,
    Bad(usize, &'static str),
}

impl<'r> AofReader<'r> {
    /// The source's buffer must hold an annotation, which any but a toy's does.
    pub fn new(source: Source<'r>) -> AofReader<'r> {
        let valid_up_to = source.offset();
        AofReader {
            source,
            args: Vec::new(),
            arena: Vec::new(),
            valid_up_to,
            in_multi: false,
            lent: 0,
        }
    }

    /// The end of the last whole command or transaction that `next` has returned.
    pub fn valid_up_to(&self) -> u64 {
        self.valid_up_to
    }

    /// Whether a transaction is open after the last command.
    pub fn in_multi(&self) -> bool {
        self.in_multi
    }

    /// Bytes read as records so far, for progress.
    pub fn offset(&self) -> u64 {
        self.source.offset() + self.lent as u64
    }

    /// The next record, or `None` at a clean end.
    #[allow(clippy::should_implement_trait)] // Lends from the reader, which `Iterator` cannot say.
    pub fn next(&mut self) -> Result<Option<Record<'_>>, AofError> {
        self.source.consume(std::mem::take(&mut self.lent));
        let offset = self.source.offset();
        match self.look()? {
            None if self.in_multi => Err(self.error(offset, AofErrorKind::TruncatedTransaction)),
            None => Ok(None),
            Some(Look::Command(len)) => {
                self.lent = len;
                self.settle(offset + len as u64, false);
                let bytes = &self.source.buffered()[..len];
                Ok(Some(Record::Command(Command {
                    offset,
                    bytes,
                    args: &self.args,
                    raw: Some(bytes),
                })))
            }
            Some(Look::Annotation(len)) => {
                self.lent = len;
                if !self.in_multi {
                    self.valid_up_to = offset + len as u64;
                }
                let line = &self.source.buffered()[..len];
                Ok(Some(Record::Annotation(line.trim_ascii_end())))
            }
            Some(Look::Bad(at, why)) => {
                Err(self.error(offset + at as u64, AofErrorKind::Format(why)))
            }
            Some(Look::Incomplete) => {
                self.read_large()?;
                self.settle(self.source.offset(), true);
                let (bytes, args) = (&self.arena[..], &self.args[..]);
                Ok(Some(Record::Command(Command { offset, bytes, args, raw: None })))
            }
        }
    }

    /// Looks at the buffer, and reads more into it, until a record is whole. `Incomplete` means
    /// that the buffer is full; `None`, that the file is at its end.
    fn look(&mut self) -> Result<Option<Look>, AofError> {
        let mut seen = self.source.peek().map_err(|e| io_error(e, self.valid_up_to))?.len();
        if seen == 0 {
            return Ok(None);
        }
        loop {
            match look_at(self.source.buffered(), &mut self.args) {
                Look::Incomplete => {}
                done => return Ok(Some(done)),
            }
            match self.source.peek_more().map_err(|e| io_error(e, self.valid_up_to))? {
                None => return Ok(Some(Look::Incomplete)),
                Some(bytes) if bytes.len() == seen => {
                    let end = self.source.offset() + seen as u64;
                    return Err(self.error(end, AofErrorKind::Truncated));
                }
                Some(bytes) => seen = bytes.len(),
            }
        }
    }

    /// Reads a command that is larger than the buffer, argument by argument.
    fn read_large(&mut self) -> Result<(), AofError> {
        self.arena.clear();
        self.args.clear();
        let start = self.source.offset();
        let count = self.number_line(b'*', NO_COUNT)?;
        if !(1..=MAX_ARGS).contains(&count) {
            return Err(self.error(start, AofErrorKind::Format(BAD_COUNT)));
        }
        for _ in 0..count {
            let at = self.source.offset();
            let len = self.number_line(b'$', NO_LENGTH)?;
            let Ok(len) = u64::try_from(len) else {
                return Err(self.error(at, AofErrorKind::Format(NEGATIVE_LENGTH)));
            };
            let (from, valid_up_to) = (self.arena.len(), self.valid_up_to);
            self.source
                .append(len, &mut self.arena, "an argument")
                .map_err(|e| source_error(e, valid_up_to))?;
            let at = self.source.offset();
            let end: [u8; 2] = self
                .source
                .array("the end of an argument")
                .map_err(|e| source_error(e, valid_up_to))?;
            if end != *b"\r\n" {
                return Err(self.error(at, AofErrorKind::Format(NO_LINE_END)));
            }
            if self.args.try_reserve(1).is_err() {
                return Err(self.error(at, AofErrorKind::Io("out of memory".into())));
            }
            self.args.push(from..self.arena.len());
        }
        Ok(())
    }

    fn number_line(&mut self, mark: u8, why: &'static str) -> Result<i64, AofError> {
        let at = self.source.offset();
        let mut line = [0u8; MAX_NUMBER_LINE];
        for len in 0..line.len() {
            let byte = self.source.u8("a count or length");
            line[len] = byte.map_err(|e| source_error(e, self.valid_up_to))?;
            let number = match line[..=len] {
                [first, ..] if first != mark => None,
                [_, ref digits @ .., b'\r', b'\n'] => parse_number(digits),
                [.., b'\n'] => None,
                _ => continue,
            };
            return number.ok_or_else(|| self.error(at, AofErrorKind::Format(why)));
        }
        Err(self.error(at, AofErrorKind::Format(why)))
    }

    /// A command was read whole, up to `end`: does a transaction begin or end with it?
    fn settle(&mut self, end: u64, in_arena: bool) {
        let Some(first) = self.args.first() else { return };
        let name = match in_arena {
            true => &self.arena[first.clone()],
            false => &self.source.buffered()[first.clone()],
        };
        if name.eq_ignore_ascii_case(b"multi") {
            self.in_multi = true;
        } else if name.eq_ignore_ascii_case(b"exec") || name.eq_ignore_ascii_case(b"discard") {
            self.in_multi = false;
        }
        if !self.in_multi {
            self.valid_up_to = end;
        }
        // A huge command's memory is not kept for the small ones after it.
        if !in_arena && self.arena.capacity() > 0 {
            self.arena = Vec::new();
        }
    }

    fn error(&self, offset: u64, kind: AofErrorKind) -> AofError {
        AofError { offset, valid_up_to: self.valid_up_to, kind }
    }
}

fn io_error(e: RdbError, valid_up_to: u64) -> AofError {
    AofError { offset: e.offset, valid_up_to, kind: AofErrorKind::Io(e.reason.to_string()) }
}

fn source_error(e: RdbError, valid_up_to: u64) -> AofError {
    match e.reason {
        Reason::UnexpectedEnd(_) => {
            AofError { offset: e.offset, valid_up_to, kind: AofErrorKind::Truncated }
        }
        _ => io_error(e, valid_up_to),
    }
}

fn look_at(bytes: &[u8], args: &mut Vec<Range<usize>>) -> Look {
    args.clear();
    if bytes.first() == Some(&b'#') {
        return match memchr::memchr(b'\n', &bytes[..bytes.len().min(MAX_ANNOTATION)]) {
            Some(end) => Look::Annotation(end + 1),
            None if bytes.len() >= MAX_ANNOTATION => Look::Bad(0, "an annotation without an end"),
            None => Look::Incomplete,
        };
    }
    let (count, mut at) = match line_at(bytes, 0, b'*') {
        Line::Number(count, next) => (count, next),
        Line::Incomplete => return Look::Incomplete,
        Line::Bad => return Look::Bad(0, NO_COUNT),
    };
    if !(1..=MAX_ARGS).contains(&count) {
        return Look::Bad(0, BAD_COUNT);
    }
    for _ in 0..count {
        let (len, from) = match line_at(bytes, at, b'$') {
            Line::Number(len, next) => (len, next),
            Line::Incomplete => return Look::Incomplete,
            Line::Bad => return Look::Bad(at, NO_LENGTH),
        };
        let Ok(len) = usize::try_from(len) else { return Look::Bad(at, NEGATIVE_LENGTH) };
        let rest = &bytes[from..];
        // Compared this way round, since a hostile length may be close to the largest there is.
        if rest.len() < 2 || len > rest.len() - 2 {
            return Look::Incomplete;
        }
        if rest[len..len + 2] != *b"\r\n" {
            return Look::Bad(from + len, NO_LINE_END);
        }
        args.push(from..from + len);
        at = from + len + 2;
    }
    Look::Command(at)
}

enum Line {
    Number(i64, usize),
    Incomplete,
    Bad,
}

/// The line `<mark><digits>\r\n` at `at`, and where the next begins.
fn line_at(bytes: &[u8], at: usize, mark: u8) -> Line {
    let rest = &bytes[at..bytes.len().min(at + MAX_NUMBER_LINE)];
    match rest.first() {
        None => return Line::Incomplete,
        Some(first) if *first != mark => return Line::Bad,
        Some(_) => {}
    }
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return if rest.len() == MAX_NUMBER_LINE { Line::Bad } else { Line::Incomplete };
    };
    match rest[1..end].strip_suffix(b"\r").and_then(parse_number) {
        Some(number) => Line::Number(number, at + end + 1),
        None => Line::Bad,
    }
}

#[inline]
fn parse_number(digits: &[u8]) -> Option<i64> {
    match digits {
        [digit @ b'0'..=b'9'] => Some(i64::from(digit - b'0')),
        _ => parse_i64(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(
        bytes: &[u8],
        buffer: Option<u64>,
    ) -> (Vec<(u64, String)>, Result<(), AofError>, u64) {
        let mut rest = bytes;
        let mut reader = AofReader::new(Source::new(&mut rest, buffer));
        let mut seen = Vec::new();
        let end = loop {
            match reader.next() {
                Ok(Some(Record::Command(command))) => {
                    let words: Vec<_> =
                        command.args().map(|arg| arg.escape_ascii().to_string()).collect();
                    if let Some(raw) = command.raw() {
                        let from = command.offset as usize;
                        assert_eq!(raw, &bytes[from..from + raw.len()]);
                    }
                    seen.push((command.offset, words.join(" ")));
                }
                Ok(Some(Record::Annotation(line))) => {
                    seen.push((0, line.escape_ascii().to_string()));
                }
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        (seen, end, reader.valid_up_to())
    }

    fn encode(commands: &[&[&[u8]]]) -> Vec<u8> {
        let mut out = Vec::new();
        for command in commands {
            protocol::encode_command(&mut out, command.iter().copied());
        }
        out
    }

    #[test]
    fn commands_and_annotations_come_in_order() {
        let mut bytes = b"#TS:1700000000\r\n".to_vec();
        bytes.extend(encode(&[&[b"SELECT", b"0"], &[b"SET", b"k", b"a\r\nb"]]));
        let (seen, end, valid) = read_all(&bytes, None);
        let seen: Vec<_> = seen.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(seen, ["#TS:1700000000", "SELECT 0", "SET k a\\r\\nb"]);
        assert_eq!((end, valid), (Ok(()), bytes.len() as u64));
        assert_eq!(annotation_timestamp(b"#TS:1700000000"), Some(1_700_000_000));
        assert_eq!(annotation_timestamp(b"#hello"), None);
    }

    #[test]
    fn every_cut_is_a_truncation_at_the_last_whole_command_or_transaction() {
        let first = encode(&[&[b"SET", b"k", b"v"]]);
        let transaction = encode(&[&[b"MULTI"], &[b"INCR", b"n"], &[b"EXEC"]]);
        let last = encode(&[&[b"DEL", b"k"]]);
        let bytes = [&first[..], &transaction, &last].concat();
        let boundaries =
            [0, first.len(), first.len() + transaction.len(), bytes.len()].map(|n| n as u64);
        for cut in 0..=bytes.len() {
            let (_, end, valid) = read_all(&bytes[..cut], None);
            let expected = *boundaries.iter().rfind(|b| **b <= cut as u64).unwrap();
            assert_eq!(valid, expected, "cut at {cut}");
            assert_eq!(end.is_ok(), expected == cut as u64, "cut at {cut}: {end:?}");
            if let Err(e) = end {
                assert!(e.is_truncation(), "cut at {cut}: {e}");
                assert_eq!((e.valid_up_to, e.offset), (expected, cut as u64));
            }
        }
    }

    #[test]
    fn damage_is_not_taken_for_a_cut() {
        let good = encode(&[&[b"SET", b"k", b"v"]]);
        for (bad, at) in [
            (&b"hello\r\n"[..], 0),
            (b"*0\r\n", 0),
            (b"*-1\r\n", 0),
            (b"*x\r\n", 0),
            (b"*1\n$1\r\na\r\n", 0),
            (b"*1\r\n:1\r\n", 4),
            (b"*1\r\n$-1\r\n", 4),
            (b"*1\r\n$1\r\nabc", 9),
            (b"*1111111111111111111111111111111111", 0),
        ] {
            let bytes = [&good[..], bad].concat();
            let (_, end, valid) = read_all(&bytes, None);
            let e = end.unwrap_err();
            assert!(matches!(e.kind, AofErrorKind::Format(_)), "{}: {e}", bad.escape_ascii());
            assert_eq!((valid, e.offset), (good.len() as u64, (good.len() + at) as u64));
        }
    }

    #[test]
    fn a_command_larger_than_the_buffer_comes_whole() {
        let large = vec![b'x'; 3 << 20];
        let bytes = encode(&[&[b"SET", b"k", &large], &[b"GET", b"k"]]);
        let (seen, end, valid) = read_all(&bytes, None);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].1.len(), "SET k ".len() + large.len());
        assert_eq!((end, valid), (Ok(()), bytes.len() as u64));
        let cut = bytes.len() - 40;
        let e = read_all(&bytes[..cut], None).1.unwrap_err();
        assert_eq!((e.kind, e.offset, e.valid_up_to), (AofErrorKind::Truncated, cut as u64, 0));
    }

    #[test]
    fn an_announced_argument_is_not_allocated() {
        let (_, end, _) = read_all(b"*2\r\n$3\r\nGET\r\n$9223372036854775807\r\nabc", None);
        assert_eq!(end.unwrap_err().kind, AofErrorKind::Truncated);
        let (_, end, _) = read_all(b"*2147483647\r\n$3\r\nGET\r\n", None);
        assert_eq!(end.unwrap_err().kind, AofErrorKind::Truncated);
    }

    #[test]
    fn a_preamble_is_recognised_by_its_magic() {
        for (bytes, expected) in [
            (&b"REDIS0010"[..], true),
            (b"VALKEY080", true),
            (b"*1\r\n", false),
            (b"", false),
            (b"RED", false),
        ] {
            let mut rest = bytes;
            assert_eq!(has_rdb_preamble(&mut Source::new(&mut rest, None)), Ok(expected));
        }
    }
}
