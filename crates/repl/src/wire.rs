//! Owns the few bytes of a replication link that the core writes and reads itself: commands it sends and
//! lines it receives. Must not know states.

/// Longest line of a peer that is read: Redis reads the same.
pub(crate) const LINE_MAX_BYTES: usize = 1024;

pub(crate) const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
pub(crate) const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// A command as a RESP array of bulk strings.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + words.iter().map(|w| w.len() + 16).sum::<usize>());
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Bytes as text for a log line: nothing that could break the line or the terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A whole decimal number as Redis's `string2ll` accepts it: no plus sign, no leading zeros, no blanks.
pub(crate) fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" && digits.len() == text.len()
        || digits.starts_with(|c: char| ('1'..='9').contains(&c));
    if canonical { text.parse().ok() } else { None }
}

/// Collects one line that may arrive a byte at a time.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    line: Vec<u8>,
}

pub(crate) enum Line {
    /// Bytes taken and the line without its end, when it is complete.
    Complete(usize, Vec<u8>),
    Incomplete,
    TooLong,
}

impl LineBuffer {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Line {
        let end = bytes.iter().position(|&b| b == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + part.len() > LINE_MAX_BYTES {
            return Line::TooLong;
        }
        self.line.extend_from_slice(part);
        let Some(end) = end else { return Line::Incomplete };
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Line::Complete(end + 1, line)
    }
}
