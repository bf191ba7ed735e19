//! How stream commands read ids and intervals of them, and write ids and entries. Owns the forms that
//! an id may have; must not know which command asks.

use protocol::ReplyBuf;
use store::stream::{Entry, NewId, StreamId};

use crate::commands::args::text;
use crate::data::typed::reply_item;
use crate::error::CommandError;

/// An id is never longer, with all the zeros that somebody may put before it.
const MAX_ID_CHARS: usize = 127;

/// The second half of an id as it is given.
enum Seq {
    Given(u64),
    /// Left out, with the dash before it.
    Missing,
    /// `*`: the next one.
    Next,
}

/// A whole id; what is missing of it is zero.
pub(super) fn id(arg: &[u8]) -> Result<StreamId, CommandError> {
    id_or(arg, 0)
}

fn id_or(arg: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    match halves(arg) {
        Some((ms, Seq::Given(seq))) => Ok(StreamId::new(ms, seq)),
        Some((ms, Seq::Missing)) => Ok(StreamId::new(ms, missing)),
        Some((_, Seq::Next)) | None => Err(CommandError::InvalidStreamId),
    }
}

/// The same, or `-` and `+` for the first and the last that there can be.
pub(super) fn id_or_end(arg: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    match c_text(arg) {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => id_or(arg, missing),
    }
}

/// The id that XADD is given, which is not `*`.
pub(super) fn new_id(arg: &[u8]) -> Result<NewId, CommandError> {
    match halves(arg) {
        Some((ms, Seq::Next)) => Ok(NewId::InMs(ms)),
        _ => id(arg).map(NewId::Given),
    }
}

/// Where an interval begins; `(` before the id leaves that out.
pub(super) fn start(arg: &[u8]) -> Result<StreamId, CommandError> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => {
            let invalid = || CommandError::err("invalid start ID for the interval");
            id_or(rest, 0)?.next().ok_or_else(invalid)
        }
        _ => id_or_end(arg, 0),
    }
}

/// Where an interval ends.
pub(super) fn end(arg: &[u8]) -> Result<StreamId, CommandError> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => {
            let invalid = || CommandError::err("invalid end ID for the interval");
            id_or(rest, u64::MAX)?.previous().ok_or_else(invalid)
        }
        _ => id_or_end(arg, u64::MAX),
    }
}

fn halves(arg: &[u8]) -> Option<(u64, Seq)> {
    if arg.len() > MAX_ID_CHARS {
        return None;
    }
    let text = c_text(arg);
    let Some(dash) = text.iter().position(|byte| *byte == b'-') else {
        return Some((c_u64(text)?, Seq::Missing));
    };
    let seq = match &text[dash + 1..] {
        b"*" => Seq::Next,
        seq => Seq::Given(c_u64(seq)?),
    };
    Some((c_u64(&text[..dash])?, seq))
}

fn c_text(arg: &[u8]) -> &[u8] {
    &arg[..arg.iter().position(|byte| *byte == 0).unwrap_or(arg.len())]
}

/// A number as C's strtoull reads a whole text, but for plain negative ones: blanks, a sign and
/// zeros may come first.
fn c_u64(text: &[u8]) -> Option<u64> {
    if let Some(n) = protocol::parse_i64(text) {
        return u64::try_from(n).ok();
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let (negative, digits) = match &text[blanks..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let n = digits.iter().try_fold(0u64, |n, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { n.wrapping_neg() } else { n })
}

pub(super) fn reply_id(out: &mut ReplyBuf, id: StreamId) {
    out.bulk(id.text().as_bytes());
}

/// An entry: its id, and its fields and values in turn.
pub(super) fn reply_entry(out: &mut ReplyBuf, entry: &Entry<'_>) {
    out.array(2);
    reply_id(out, entry.id);
    reply_fields(out, entry);
}

/// Its fields and values in turn.
pub(super) fn reply_fields(out: &mut ReplyBuf, entry: &Entry<'_>) {
    out.array(2 * entry.fields_len());
    for (name, value) in entry.fields() {
        reply_item(out, name);
        reply_item(out, value);
    }
}

/// Entries whose number is not known before; how many there were.
pub(super) fn reply_entries<'a>(
    out: &mut ReplyBuf,
    entries: impl Iterator<Item = Entry<'a>>,
) -> usize {
    let mark = out.defer_array();
    let count = entries.inspect(|entry| reply_entry(out, entry)).count();
    out.finish_array(mark, count);
    count
}

/// There is no such group, where the command names a key and a group.
pub(super) fn no_group(key: &[u8], group: &[u8], option: &str) -> CommandError {
    let (key, group) = (text(key), text(group));
    CommandError::text(format!("NOGROUP No such key '{key}' or consumer group '{group}'{option}"))
}

/// The key is there, and the group is not.
pub(super) fn no_group_of_key(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (text(key), text(group));
    CommandError::text(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        for (text, read) in [
            ("5-6", Some((5, 6))),
            ("5", Some((5, 9))),
            ("18446744073709551615-18446744073709551615", Some((u64::MAX, u64::MAX))),
            ("18446744073709551616", None),
            ("007-01", Some((7, 1))),
            (" 7", Some((7, 9))),
            ("+7", Some((7, 9))),
            ("5-\0junk", None),
            ("5\0junk", Some((5, 9))),
            ("1--05", Some((1, u64::MAX - 4))),
            ("1--5", None),
            ("-5", None),
            ("", None),
            ("-", None),
            ("+", None),
            ("*", None),
            ("5-*", None),
            ("5-", None),
            ("5.6", None),
            ("a-1", None),
            ("1-a", None),
        ] {
            let expected = read.map(|(ms, seq)| StreamId::new(ms, seq));
            assert_eq!(id_or(text.as_bytes(), 9).ok(), expected, "{text:?}");
        }
        let long = "0".repeat(127) + "1";
        assert!(id(long.as_bytes()).is_err());
        assert_eq!(id(&long.as_bytes()[1..]).ok(), Some(StreamId::new(1, 0)));
    }

    #[test]
    fn intervals_are_open_behind_a_parenthesis() {
        let id = |ms, seq| Some(StreamId::new(ms, seq));
        assert_eq!(start(b"5").ok(), id(5, 0));
        assert_eq!(start(b"(5").ok(), id(5, 1));
        assert_eq!(end(b"5").ok(), id(5, u64::MAX));
        assert_eq!(end(b"(5").ok(), id(5, u64::MAX - 1));
        assert_eq!(end(b"(5-0").ok(), id(4, u64::MAX));
        assert_eq!((start(b"-").ok(), end(b"+").ok()), (id(0, 0), id(u64::MAX, u64::MAX)));
        for bad in [&b"("[..], b"(-", b"(+", b"(", b"(x"] {
            assert!(start(bad).is_err() && end(bad).is_err());
        }
        assert!(start(b"(18446744073709551615-18446744073709551615").is_err());
        assert!(end(b"(0-0").is_err());
        assert_eq!(new_id(b"5-*").ok(), Some(NewId::InMs(5)));
        assert_eq!(new_id(b"5").ok(), Some(NewId::Given(StreamId::new(5, 0))));
    }
}
