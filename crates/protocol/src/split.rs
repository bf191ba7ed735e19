//! Words on a line, with quotes: inline commands, the config file, and what redis-cli reads.

use std::ops::Range;

/// Splits a line into words as Redis does: blanks separate; `"..."` knows `\n \r \t \b \a`,
/// `\xHH` and `\` before any other byte; `'...'` knows only `\'`. `None` if a quote stays open or
/// has a word's byte right behind it.
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut decoded = line.to_vec();
    let mut words = Vec::new();
    split_in_place(&mut decoded, |word| words.push(word))?;
    Some(words.into_iter().map(|word| decoded[word].to_vec()).collect())
}

/// As [`split_args`], decoding into the line itself: a word is never longer than its source.
/// Calls `word` with the place of each. `None` leaves the line half decoded.
pub(crate) fn split_in_place(line: &mut [u8], mut word: impl FnMut(Range<usize>)) -> Option<()> {
    // Redis holds such a line in a C string.
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let line = &mut line[..end];
    let mut read = 0;
    let mut write = 0;
    loop {
        while read < line.len() && is_space(line[read]) {
            read += 1;
        }
        if read == line.len() {
            return Some(());
        }
        let begin = write;
        while read < line.len() && !ends_bare_word(line[read]) {
            match line[read] {
                quote @ (b'"' | b'\'') => {
                    read += 1;
                    decode_quoted(line, &mut read, &mut write, quote)?;
                    // The closing quote ends the word.
                    break;
                }
                byte => {
                    line[write] = byte;
                    read += 1;
                    write += 1;
                }
            }
        }
        word(begin..write);
    }
}

/// Decodes up to and over the closing quote.
fn decode_quoted(line: &mut [u8], read: &mut usize, write: &mut usize, quote: u8) -> Option<()> {
    loop {
        let byte = *line.get(*read)?;
        if byte == quote {
            *read += 1;
            return line.get(*read).is_none_or(|&next| is_space(next)).then_some(());
        }
        let (decoded, len) = match (byte, quote) {
            (b'\\', b'"') => decode_escape(&line[*read..]),
            (b'\\', _) if line.get(*read + 1) == Some(&b'\'') => (b'\'', 2),
            _ => (byte, 1),
        };
        line[*write] = decoded;
        *read += len;
        *write += 1;
    }
}

/// What a backslash inside double quotes stands for, and how many bytes it took.
fn decode_escape(rest: &[u8]) -> (u8, usize) {
    match *rest {
        [_, b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (hex_digit(high) << 4 | hex_digit(low), 4)
        }
        [_, escaped, ..] => {
            let byte = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 0x08,
                b'a' => 0x07,
                other => other,
            };
            (byte, 2)
        }
        _ => (b'\\', 1),
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Vertical tabs and form feeds stand between words, but do not end one that is not quoted.
fn ends_bare_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A word in double quotes that [`split_args`] reads back: how Redis prints arguments in logs,
/// MONITOR and CONFIG REWRITE.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len() + 2);
    out.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let hex = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&hex);
            }
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let words = split_args(line.as_bytes())?;
        Some(words.iter().map(|word| word.escape_ascii().to_string()).collect())
    }

    #[test]
    fn quotes_escapes_and_blanks_as_redis_reads_them() {
        let words = |line| split(line).unwrap();
        assert_eq!(words("  set\tfoo  bar \r"), ["set", "foo", "bar"]);
        assert_eq!(words(r#"a"b c" '' "" 'it\'s' 'a\n'"#), ["ab c", "", "", "it\\'s", "a\\\\n"]);
        assert_eq!(words(r#""\x41\xzz\n\q\"""#), ["Axzz\\nq\\\""]);
        assert_eq!(words("\x0ba\x0cb \x0c\"c\"\x0bd"), ["a\\x0cb", "c", "d"]);
        assert_eq!(words("").len(), 0);
        for open in [r#"""#, "'", r#""a"b"#, "'a'b", r#""\"#, r#"x "a\""#, "'a\\'"] {
            assert_eq!(split(open), None, "{open}");
        }
    }

    #[test]
    fn a_quoted_word_is_read_back() {
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(split_args(&quote(&every)).unwrap(), [every]);
        assert_eq!(quote(b"a\"\\\x07\x08\n\x01\xff"), br#""a\"\\\a\b\n\x01\xff""#);
    }
}
