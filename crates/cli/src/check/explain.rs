//! Why the bytes of an append-only file are no commands, in the words of redis-check-aof.
//!
//! Must not: decide how much of a file is good; `persist` does.

use std::io::{BufRead, Read};

/// Longer lines than this are cut, as in Redis.
const LINE_MAX: usize = 127;

/// Reads on from a good place, and says what is wrong behind it. `path` is the file's, for messages.
pub(super) fn explain(from: u64, reader: impl Read, path: &str, name: &str) -> String {
    let reader = std::io::BufReader::new(reader);
    let mut scan = Scan { reader, offset: from, began: from, multi: false, path, name };
    let mut text = String::new();
    while let Some(byte) = scan.peek() {
        let step = match byte {
            b'#' => scan.line().map(|_| ()).ok_or(None),
            b'*' => scan.command(),
            _ => {
                text = format!("AOF {} format error\n", scan.name);
                Err(None)
            }
        };
        if let Err(why) = step {
            if let Some(why) = why {
                text = format!("0x{:16x}: {why}\n", scan.began);
            }
            return text;
        }
    }
    if scan.multi {
        text = format!("0x{:16x}: Reached EOF before reading EXEC for MULTI\n", scan.began);
    }
    text
}

struct Scan<'a, R> {
    reader: R,
    offset: u64,
    /// Where what is being read begins.
    began: u64,
    multi: bool,
    path: &'a str,
    name: &'a str,
}

/// `None`: the file ends where a line would begin, which Redis does not comment on.
type Step<T> = Result<T, Option<String>>;

impl<R: BufRead> Scan<'_, R> {
    fn peek(&mut self) -> Option<u8> {
        self.reader.fill_buf().ok()?.first().copied()
    }

    /// Up to and with the line's end.
    fn line(&mut self) -> Option<Vec<u8>> {
        self.began = self.offset;
        let mut line = Vec::new();
        let len = (&mut self.reader).take(LINE_MAX as u64).read_until(b'\n', &mut line).ok()?;
        self.offset += len as u64;
        (len > 0).then_some(line)
    }

    fn number(&mut self, sign: u8) -> Step<i64> {
        let line = self.line().ok_or(None)?;
        if line[0] != sign {
            let (sign, got) = (char::from(sign), line[0].escape_ascii());
            return Err(Some(format!("Expected prefix '{sign}', got: '{got}'")));
        }
        let number = crate::target::leading_int(&line[1..]);
        let digits = line[1..].iter().take_while(|b| b.is_ascii_digit() || **b == b'-').count();
        expect_line_end(&line[1 + digits..])?;
        Ok(number)
    }

    fn command(&mut self) -> Step<()> {
        let count = self.number(b'*')?;
        for i in 0..count {
            let len = self.number(b'$')?;
            let Some(len) = u64::try_from(len).ok().filter(|len| *len < i64::MAX as u64 - 2) else {
                return Err(Some(format!(
                    "Expected to read string of {len} bytes, which is not in the suitable range"
                )));
            };
            let begin = self.bytes(len + 2)?;
            if i == 0 {
                self.transaction(&begin)?;
            }
        }
        Ok(())
    }

    /// Passes over bytes that must be there; the first few are returned.
    fn bytes(&mut self, len: u64) -> Step<Vec<u8>> {
        self.began = self.offset;
        let (mut begin, mut end, mut got) = (Vec::new(), Vec::new(), 0u64);
        while got < len {
            let Ok(buffer) = self.reader.fill_buf() else { break };
            let part = buffer.len().min(usize::try_from(len - got).unwrap_or(usize::MAX));
            if part == 0 {
                break;
            }
            if begin.len() < LINE_MAX {
                begin.extend_from_slice(&buffer[..part.min(LINE_MAX)]);
            }
            end.extend_from_slice(&buffer[part.saturating_sub(2)..part]);
            end.drain(..end.len().saturating_sub(2));
            self.reader.consume(part);
            got += part as u64;
        }
        self.offset += got;
        if got < len {
            return Err(Some(format!("Expected to read {len} bytes, got {got} bytes")));
        }
        expect_line_end(&end)?;
        Ok(begin)
    }

    fn transaction(&mut self, name: &[u8]) -> Step<()> {
        let opens = name.eq_ignore_ascii_case(b"multi\r\n");
        let closes = name.eq_ignore_ascii_case(b"exec\r\n");
        if opens && self.multi {
            return Err(Some(format!("Unexpected MULTI in AOF {}", self.path)));
        }
        if closes && !self.multi {
            return Err(Some(format!("Unexpected EXEC in AOF {}", self.path)));
        }
        self.multi = opens || (self.multi && !closes);
        Ok(())
    }
}

fn expect_line_end(bytes: &[u8]) -> Step<()> {
    if bytes.starts_with(b"\r\n") {
        return Ok(());
    }
    let byte = |i: usize| bytes.get(i).copied().unwrap_or(0);
    Err(Some(format!("Expected \\r\\n, got: {:02x}{:02x}", byte(0), byte(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> String {
        explain(0, bytes, "dir/a.aof", "a.aof")
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (bytes, expected) in [
            (&b"*1\r\n$4\r\nPI"[..], "0x               8: Expected to read 6 bytes, got 2 bytes\n"),
            (b"*1\r\n+4\r\nPING\r\n", "0x               4: Expected prefix '$', got: '+'\n"),
            (b"*1\r\n$4\r\nPINGxx", "0x               8: Expected \\r\\n, got: 7878\n"),
            (b"*1\n$4", "0x               0: Expected \\r\\n, got: 0a00\n"),
            (b"*1\r\n$4\r\nEXEC\r\n", "0x               8: Unexpected EXEC in AOF dir/a.aof\n"),
            (b"#TS:1\r\n!!!", "AOF a.aof format error\n"),
            (b"*1\r\n", ""),
            (b"", ""),
            (
                b"*1\r\n$5\r\nMULTI\r\n",
                "0x               8: Reached EOF before reading EXEC for MULTI\n",
            ),
            (
                b"*1\r\n$99999999999999999999\r\n",
                "0x               4: Expected to read string of 9223372036854775807 bytes, which is \
                 not in the suitable range\n",
            ),
        ] {
            assert_eq!(of(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
