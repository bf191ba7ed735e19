//! Owns what the core needs beyond `protocol::link`: the commands it sends, lines that arrive in pieces,
//! and peers' bytes made fit for a log. Must not know states.

use protocol::link::LINK_LINE_MAX;

pub(crate) const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
pub(crate) const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// A command as a RESP array of bulk strings.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(protocol::encoded_command_len(words.iter().copied()));
    protocol::encode_command(&mut out, words.iter().copied());
    out
}

/// Bytes as text for a log line: nothing that could break the line or the terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
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
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + part.len() >= LINK_LINE_MAX {
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
