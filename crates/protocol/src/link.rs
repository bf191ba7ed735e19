//! The words of a replication link that are no commands: a master's answers to PSYNC, the line that
//! announces a snapshot, and reports of its progress, which only servers of ours give and take. Every
//! line has a bounded length.

use std::fmt;

use crate::number::parse_i64;

/// Length of a replication id, in hexadecimal digits.
pub const REPLID_LEN: usize = 40;
/// Length of the mark that ends a snapshot of unknown length.
pub const EOF_MARK_LEN: usize = 40;
/// A line of a replication link is no longer than this, its end included. The longest that a master says is why
/// it refuses strangers (`-DENIED`, over 1 KB), which a replica is to quote in its log.
pub const LINK_LINE_MAX: usize = 2048;

/// What a master answers to PSYNC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsyncReply<'a> {
    /// `+FULLRESYNC <replid> <offset>`: a snapshot of the state at that offset follows.
    FullResync { replid: [u8; REPLID_LEN], offset: i64 },
    /// `+CONTINUE [<replid>]`: the stream goes on, under a new id if one is given.
    Continue { replid: Option<[u8; REPLID_LEN]> },
    /// `-NOMASTERLINK ...` or `-LOADING ...`: ask again later. Holds the line.
    NotNow(&'a [u8]),
    /// `-ERR ...`: a master without PSYNC. Holds the line.
    Unsupported(&'a [u8]),
    /// Anything else. Holds the line.
    Unexpected(&'a [u8]),
}

/// The line that stands before a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotHeader {
    /// `$<length>`: so many bytes.
    Length(u64),
    /// `$EOF:<mark>`: up to these 40 bytes.
    EofMark([u8; EOF_MARK_LEN]),
}

/// The capability (`REPLCONF capa`) of a replica that takes reports of progress.
pub const PROGRESS_CAPA: &[u8] = b"tandem-progress";
/// The version of Valkey (`REPLCONF version`) whose snapshots a replica reads. A master that is a Valkey writes
/// for Redis 7.2 to whoever names none, and cannot where fields of hashes expire.
pub const READS_VALKEY: &[u8] = b"9.0.0";
/// Length of a report amidst a snapshot.
pub const PROGRESS_LEN: usize = EOF_MARK_LEN + 3 * 8;
/// What stands in the place of the mark's last digit, and is none.
const PROGRESS_SIGN: u8 = b'+';

/// How far the making of a snapshot is. A master tells it before the snapshot in a line, `+PROGRESS <keys>
/// <of all keys> <bytes>`, the first of which says that more may follow; and amidst a snapshot of unknown length,
/// at any byte, as the end mark with a sign instead of its last digit and the three figures in 8 bytes each, lowest
/// first. Data cannot look like that by accident or by intent, for the same reason that they cannot look like the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    pub keys: u64,
    pub keys_total: u64,
    /// What these `keys` have taken.
    pub bytes: u64,
}

impl SnapshotProgress {
    /// The line, with its end.
    pub fn line(&self) -> String {
        format!("+PROGRESS {} {} {}\r\n", self.keys, self.keys_total, self.bytes)
    }

    /// Reads the line, without its end.
    pub fn parse_line(line: &[u8]) -> Option<Self> {
        let mut words = line.strip_prefix(b"+PROGRESS ")?.split(|&byte| byte == b' ');
        let mut figure = || u64::try_from(parse_i64(words.next()?)?).ok();
        let progress = Self { keys: figure()?, keys_total: figure()?, bytes: figure()? };
        words.next().is_none().then_some(progress)
    }

    /// How a report begins amidst a snapshot that ends with `mark`.
    pub fn sign(mark: &[u8; EOF_MARK_LEN]) -> [u8; EOF_MARK_LEN] {
        let mut sign = *mark;
        sign[EOF_MARK_LEN - 1] = PROGRESS_SIGN;
        sign
    }

    /// The report amidst a snapshot.
    pub fn amidst(&self, mark: &[u8; EOF_MARK_LEN]) -> [u8; PROGRESS_LEN] {
        let mut report = [0; PROGRESS_LEN];
        report[..EOF_MARK_LEN].copy_from_slice(&Self::sign(mark));
        let figures = [self.keys, self.keys_total, self.bytes];
        for (at, figure) in report[EOF_MARK_LEN..].chunks_exact_mut(8).zip(figures) {
            at.copy_from_slice(&figure.to_le_bytes());
        }
        report
    }

    /// Reads the figures behind the sign; None while they are not all there.
    pub fn parse_figures(bytes: &[u8]) -> Option<Self> {
        let figure = |i: usize| {
            let eight = bytes.get(8 * i..8 * i + 8)?;
            Some(u64::from_le_bytes(eight.try_into().ok()?))
        };
        Some(Self { keys: figure(0)?, keys_total: figure(1)?, bytes: figure(2)? })
    }
}

/// A line that breaks the rules of a replication link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// No line end within [`LINK_LINE_MAX`] bytes.
    LineTooLong,
    /// `+FULLRESYNC` without an id of 40 digits and an offset.
    BadFullResync(Vec<u8>),
    /// No `$<length>` nor `$EOF:<mark>` where a snapshot had to begin.
    BadSnapshotHeader(Vec<u8>),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "no line end within {LINK_LINE_MAX} bytes"),
            Self::BadFullResync(line) => {
                write!(f, "wrong +FULLRESYNC syntax: '{}'", line.escape_ascii())
            }
            Self::BadSnapshotHeader(line) => write!(
                f,
                "the first byte of a snapshot is not '$', or no length follows: '{}'",
                line.escape_ascii()
            ),
        }
    }
}

impl std::error::Error for LinkError {}

/// Takes the first line off `bytes`: the line without its end (`\n` or `\r\n`), and how many bytes
/// it took. `None`: its end has not arrived. An empty line is a master's sign of life.
pub fn take_line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, LinkError> {
    let within = &bytes[..bytes.len().min(LINK_LINE_MAX)];
    match memchr::memchr(b'\n', within) {
        Some(end) => {
            let line = &within[..end];
            Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1)))
        }
        None if within.len() == LINK_LINE_MAX => Err(LinkError::LineTooLong),
        None => Ok(None),
    }
}

/// Reads a master's answer to PSYNC, a line without its end.
pub fn parse_psync_reply(line: &[u8]) -> Result<PsyncReply<'_>, LinkError> {
    if let Some(rest) = line.strip_prefix(b"+FULLRESYNC") {
        return parse_full_resync(rest).ok_or_else(|| LinkError::BadFullResync(line.to_vec()));
    }
    if let Some(rest) = line.strip_prefix(b"+CONTINUE") {
        // Redis takes whatever is not an id for none, so that a later word can be added.
        let replid = rest.trim_ascii().try_into().ok().filter(is_replid);
        return Ok(PsyncReply::Continue { replid });
    }
    if line.starts_with(b"-NOMASTERLINK") || line.starts_with(b"-LOADING") {
        return Ok(PsyncReply::NotNow(line));
    }
    if line.starts_with(b"-ERR") {
        return Ok(PsyncReply::Unsupported(line));
    }
    Ok(PsyncReply::Unexpected(line))
}

fn parse_full_resync(rest: &[u8]) -> Option<PsyncReply<'static>> {
    let mut words = rest.strip_prefix(b" ")?.split(|&byte| byte == b' ');
    let replid = words.next()?.try_into().ok().filter(is_replid)?;
    let offset = parse_i64(words.next()?).filter(|&offset| offset >= 0)?;
    words.next().is_none().then_some(PsyncReply::FullResync { replid, offset })
}

/// Reads the line before a snapshot, without its end.
pub fn parse_snapshot_header(line: &[u8]) -> Result<SnapshotHeader, LinkError> {
    let header = match line.strip_prefix(b"$") {
        Some([b'E', b'O', b'F', b':', mark @ ..]) => {
            mark.try_into().ok().map(SnapshotHeader::EofMark)
        }
        Some(length) => {
            let length = parse_i64(length).and_then(|length| u64::try_from(length).ok());
            length.map(SnapshotHeader::Length)
        }
        None => None,
    };
    header.ok_or_else(|| LinkError::BadSnapshotHeader(line.to_vec()))
}

/// Whether these are forty hexadecimal digits.
pub fn is_replid(replid: &[u8; REPLID_LEN]) -> bool {
    replid.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[u8; 40] = b"0123456789abcdef0123456789abcdef01234567";

    fn line(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn lines_end_with_either_line_end_and_are_bounded() {
        assert_eq!(take_line(b"+OK\r\nrest"), Ok(Some((&b"+OK"[..], 5))));
        assert_eq!(take_line(b"\n$5\r\n"), Ok(Some((&b""[..], 1))));
        assert_eq!(take_line(b"+OK\r"), Ok(None));
        assert_eq!(take_line(&[b'x'; LINK_LINE_MAX - 1]), Ok(None));
        assert_eq!(take_line(&[b'x'; LINK_LINE_MAX]), Err(LinkError::LineTooLong));
    }

    #[test]
    fn answers_to_psync() {
        let full = line(&[b"+FULLRESYNC ", ID, b" 17"]);
        let expected = PsyncReply::FullResync { replid: *ID, offset: 17 };
        assert_eq!(parse_psync_reply(&full), Ok(expected));
        for bad in [
            &b"+FULLRESYNC"[..],
            b"+FULLRESYNC ? -1",
            &line(&[b"+FULLRESYNC ", ID]),
            &line(&[b"+FULLRESYNC ", ID, b" x"]),
            &line(&[b"+FULLRESYNC ", ID, b" -5"]),
            &line(&[b"+FULLRESYNC ", &ID[1..], b" 5"]),
        ] {
            assert_eq!(parse_psync_reply(bad), Err(LinkError::BadFullResync(bad.to_vec())));
        }
        let renamed = line(&[b"+CONTINUE ", ID]);
        let expected = PsyncReply::Continue { replid: Some(*ID) };
        assert_eq!(parse_psync_reply(&renamed), Ok(expected));
        for same in [&b"+CONTINUE"[..], b"+CONTINUE short"] {
            assert_eq!(parse_psync_reply(same), Ok(PsyncReply::Continue { replid: None }));
        }
        let later = b"-NOMASTERLINK Can't SYNC while not connected with my master";
        assert_eq!(parse_psync_reply(later), Ok(PsyncReply::NotNow(later)));
        assert_eq!(parse_psync_reply(b"-ERR x"), Ok(PsyncReply::Unsupported(b"-ERR x")));
        assert_eq!(parse_psync_reply(b"+PONG"), Ok(PsyncReply::Unexpected(b"+PONG")));
    }

    #[test]
    fn progress_is_told_before_and_amidst_a_snapshot() {
        let progress = SnapshotProgress { keys: 7, keys_total: 300, bytes: u64::MAX >> 1 };
        let told = progress.line();
        assert_eq!(told, "+PROGRESS 7 300 9223372036854775807\r\n");
        let parse = SnapshotProgress::parse_line;
        assert_eq!(parse(told.trim_end().as_bytes()), Some(progress));
        for bad in [&b"+PROGRESS"[..], b"+PROGRESS 1 2", b"+PROGRESS 1 2 3 4", b"+PROGRESS 1 -2 3"]
        {
            assert_eq!(parse(bad), None);
        }
        let amidst = progress.amidst(ID);
        assert_eq!(amidst[..39], ID[..39]);
        assert_eq!(amidst[39], b'+');
        assert_eq!(SnapshotProgress::parse_figures(&amidst[40..]), Some(progress));
        assert_eq!(SnapshotProgress::parse_figures(&amidst[40..63]), None);
    }

    #[test]
    fn a_snapshot_has_a_length_or_a_mark() {
        assert_eq!(parse_snapshot_header(b"$0"), Ok(SnapshotHeader::Length(0)));
        let huge = parse_snapshot_header(b"$9223372036854775807");
        assert_eq!(huge, Ok(SnapshotHeader::Length(i64::MAX as u64)));
        let marked = parse_snapshot_header(&line(&[b"$EOF:", ID]));
        assert_eq!(marked, Ok(SnapshotHeader::EofMark(*ID)));
        for bad in [&b""[..], b"5", b"$", b"$-1", b"$EOF:", b"$EOF:short", b"*1"] {
            assert_eq!(parse_snapshot_header(bad), Err(LinkError::BadSnapshotHeader(bad.to_vec())));
        }
    }
}
