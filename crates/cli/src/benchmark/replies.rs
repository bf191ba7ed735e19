//! Counts replies in a stream without building them: what a load generator needs of RESP.
//!
//! Must not: allocate for what it passes over, other than the text of an error.

/// Longer lines are no protocol.
const LINE_MAX: usize = 64 * 1024;

/// Where in the stream of one connection we are.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Bytes of a string that are passed over, with its line end.
    skip: u64,
    /// Values that complete the reply; 0 between replies.
    open: u64,
    /// The reply is a push, which answers nothing.
    is_push: bool,
    /// A line that is not whole.
    line: Vec<u8>,
}

/// What is wrong with a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A reply is an error.
    Error(Vec<u8>),
    Protocol,
}

impl Replies {
    /// Takes bytes; how many replies they complete.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> Result<u64, Trouble> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let len = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                bytes = &bytes[len..];
                self.skip -= len as u64;
                if self.skip == 0 {
                    complete += self.close();
                }
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                return if self.line.len() > LINE_MAX {
                    Err(Trouble::Protocol)
                } else {
                    Ok(complete)
                };
            };
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            complete += if self.line.is_empty() {
                self.value(line)?
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.value(&whole)?
            };
        }
        Ok(complete)
    }

    /// One line, without its feed.
    fn value(&mut self, line: &[u8]) -> Result<u64, Trouble> {
        let line = line.strip_suffix(b"\r").ok_or(Trouble::Protocol)?;
        let (kind, rest) = line.split_first().ok_or(Trouble::Protocol)?;
        if self.open == 0 {
            self.open = 1;
            self.is_push = *kind == b'>';
        }
        let length = || protocol::parse_i64(rest).ok_or(Trouble::Protocol);
        match kind {
            b'-' => return Err(Trouble::Error(rest.to_vec())),
            b'+' | b':' | b'_' | b',' | b'#' | b'(' => {}
            b'$' | b'=' | b'!' => {
                if let Ok(len) = u64::try_from(length()?) {
                    self.skip = len.checked_add(2).ok_or(Trouble::Protocol)?;
                    return Ok(0);
                }
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let mut count = u64::try_from(length()?).unwrap_or(0);
                if matches!(kind, b'%' | b'|') {
                    count = count.checked_mul(2).ok_or(Trouble::Protocol)?;
                }
                // Attributes are followed by the value that they belong to.
                let more = count.saturating_add(u64::from(*kind == b'|'));
                self.open = self.open.checked_add(more).ok_or(Trouble::Protocol)?;
            }
            _ => return Err(Trouble::Protocol),
        }
        Ok(self.close())
    }

    /// A value is complete; 1 if the reply is with it.
    fn close(&mut self) -> u64 {
        self.open = self.open.saturating_sub(1);
        u64::from(self.open == 0 && !self.is_push)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"+OK\r\n:1\r\n$3\r\na\nb\r\n$-1\r\n*-1\r\n*2\r\n$1\r\nx\r\n*1\r\n:1\r\n*0\r\n\
        >2\r\n+invalidate\r\n*0\r\n%1\r\n+k\r\n,1.5\r\n|1\r\n+a\r\n:1\r\n_\r\n$0\r\n\r\n";

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        for piece in [1, 2, 3, 7, 1000] {
            let mut replies = Replies::default();
            let counted: u64 = STREAM.chunks(piece).map(|part| replies.count(part).unwrap()).sum();
            assert_eq!(counted, 10, "in pieces of {piece}");
        }
    }

    #[test]
    fn errors_and_nonsense_are_told() {
        let of = |bytes: &[u8]| Replies::default().count(bytes);
        assert_eq!(of(b"+OK\r\n-ERR no\r\n"), Err(Trouble::Error(b"ERR no".to_vec())));
        for bytes in [
            &b"x\r\n"[..],
            b"\r\n",
            b"+OK\n",
            b"$x\r\n",
            b"%9223372036854775807\r\n%9223372036854775807\r\n",
        ] {
            assert_eq!(of(bytes), Err(Trouble::Protocol), "{}", bytes.escape_ascii());
        }
        assert_eq!(of(&vec![b'a'; LINE_MAX + 1]), Err(Trouble::Protocol));
    }
}
