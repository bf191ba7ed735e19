//! Owns the examination of an AOF that redis-check-aof reports: how much of it is good, and where
//! it was at a given time. Changes nothing and prints nothing.

use super::reader::{AofError, AofErrorKind, AofReader, Record, annotation_timestamp};
use crate::error::RdbError;
use crate::rdb::check_rdb;
use crate::source::Source;

/// What an AOF is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AofCheck {
    /// Bytes of an RDB preamble, or of the whole file when it is one.
    pub preamble_bytes: u64,
    /// Everything before this is whole commands and whole transactions.
    pub ok_up_to: u64,
    /// The line that `ok_up_to` begins, counted from 1 as an editor shows them.
    pub ok_up_to_line: u64,
    pub commands: u64,
    /// Of the last timestamp annotation, in seconds since 1970.
    pub last_timestamp: Option<i64>,
    /// Where the first annotation later than the time asked for begins.
    pub later_from: Option<u64>,
    pub error: Option<AofError>,
}

impl AofCheck {
    pub fn is_valid(&self) -> bool {
        self.error.is_none()
    }
}

/// Reads an AOF to its end or to the first trouble. With `until`, also finds where the file was at
/// that time (seconds since 1970). A broken RDB preamble cannot be cut anywhere, hence its own error.
pub fn check_aof(mut source: Source<'_>, until: Option<i64>) -> Result<AofCheck, RdbError> {
    let mut check = AofCheck { ok_up_to_line: 1, ..AofCheck::default() };
    if super::reader::has_rdb_preamble(&mut source)? {
        check_rdb(&mut source)?;
        check.preamble_bytes = source.offset();
    }
    let mut reader = AofReader::new(source);
    let (mut line, mut multi) = (1, None);
    check.error = loop {
        let in_multi = reader.in_multi();
        match reader.next() {
            Ok(None) => break None,
            Err(e) => break Some(e),
            Ok(Some(Record::Annotation(text))) => {
                line += 1;
                if let Some(timestamp) = annotation_timestamp(text) {
                    check.last_timestamp = Some(timestamp);
                    if until.is_some_and(|until| timestamp > until) && check.later_from.is_none() {
                        check.later_from = Some(check.ok_up_to.max(check.preamble_bytes));
                    }
                }
            }
            Ok(Some(Record::Command(command))) => {
                line += lines_of(&command);
                check.commands += 1;
                let why = match command.name() {
                    name if name.eq_ignore_ascii_case(b"multi") && in_multi => "unexpected MULTI",
                    name if name.eq_ignore_ascii_case(b"exec") && !in_multi => "unexpected EXEC",
                    _ => "",
                };
                if !why.is_empty() {
                    let offset = command.offset;
                    let valid_up_to = multi.unwrap_or(check.ok_up_to);
                    let kind = AofErrorKind::Format(why);
                    break Some(AofError { offset, valid_up_to, kind });
                }
            }
        }
        if reader.in_multi() {
            multi.get_or_insert(check.ok_up_to);
        } else {
            multi = None;
            check.ok_up_to = reader.valid_up_to();
            check.ok_up_to_line = line;
        }
    };
    if let Some(e) = &check.error {
        check.ok_up_to = check.ok_up_to.min(e.valid_up_to);
    }
    Ok(check)
}

/// A command's lines: its own, two for each argument, and those inside of arguments.
fn lines_of(command: &super::reader::Command<'_>) -> u64 {
    let inside: usize = command.args().map(|arg| memchr::memchr_iter(b'\n', arg).count()).sum();
    (1 + 2 * command.len() + inside) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], until: Option<i64>) -> AofCheck {
        let mut rest = bytes;
        check_aof(Source::new(&mut rest, None), until).unwrap()
    }

    fn encode(commands: &[&[&[u8]]]) -> Vec<u8> {
        let mut out = Vec::new();
        for command in commands {
            protocol::encode_command(&mut out, command.iter().copied());
        }
        out
    }

    #[test]
    fn a_good_file_is_good_to_its_end() {
        let bytes = encode(&[&[b"MULTI"], &[b"SET", b"k", b"two\nlines"], &[b"EXEC"]]);
        let report = check(&bytes, None);
        assert!(report.is_valid());
        assert_eq!((report.ok_up_to, report.commands), (bytes.len() as u64, 3));
        let lines = bytes.iter().filter(|b| **b == b'\n').count() as u64;
        assert_eq!(report.ok_up_to_line, lines + 1);
    }

    #[test]
    fn transactions_that_do_not_nest_are_trouble() {
        let good = encode(&[&[b"SET", b"k", b"v"]]);
        for bad in [&[&[&b"EXEC"[..]][..]][..], &[&[b"MULTI"], &[b"SET", b"a", b"b"], &[b"multi"]]]
        {
            let bytes = [&good[..], &encode(bad)].concat();
            let report = check(&bytes, None);
            assert!(!report.is_valid());
            assert_eq!(report.ok_up_to, good.len() as u64);
        }
    }

    #[test]
    fn a_time_is_found_by_its_annotations() {
        let mut bytes = b"#TS:100\r\n".to_vec();
        bytes.extend(encode(&[&[b"SET", b"k", b"1"]]));
        let later = bytes.len() as u64;
        bytes.extend(b"#TS:200\r\n");
        bytes.extend(encode(&[&[b"SET", b"k", b"2"]]));
        assert_eq!(check(&bytes, Some(150)).later_from, Some(later));
        assert_eq!(check(&bytes, Some(50)).later_from, Some(0));
        assert_eq!(check(&bytes, Some(200)).later_from, None);
        assert_eq!(check(&bytes, None).last_timestamp, Some(200));
    }
}
