//! What a client says to the debugger: requests of Redis's protocol with narrow bounds. Must not know what they mean.

/// More words, or a longer one, are none of the debugger's commands.
const WORDS_MAX: usize = 1024;
const WORD_LEN_MAX: usize = 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A request, and how many bytes it took.
    Whole(Vec<Vec<u8>>, usize),
    /// There is more to come.
    Partial,
    Broken,
}

pub(super) fn parse(input: &[u8]) -> Parsed {
    let mut reader = Reader { input, at: 0 };
    match reader.words() {
        Ok(words) => Parsed::Whole(words, reader.at),
        Err(Stop::Partial) => Parsed::Partial,
        Err(Stop::Broken) => Parsed::Broken,
    }
}

enum Stop {
    Partial,
    Broken,
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn words(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        if self.input.is_empty() {
            return Err(Stop::Partial);
        }
        // As Redis does: what stands before a request is passed over.
        self.at = memchr::memchr(b'*', self.input).ok_or(Stop::Broken)?;
        let count = self.number(b'*', WORDS_MAX)?;
        let mut words = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            let len = self.number(b'$', WORD_LEN_MAX)?;
            let rest = &self.input[self.at..];
            let word = rest.get(..len).ok_or(Stop::Partial)?;
            match rest.get(len..len + 2) {
                None => return Err(Stop::Partial),
                Some(b"\r\n") => words.push(word.to_vec()),
                Some(_) => return Err(Stop::Broken),
            }
            self.at += len + 2;
        }
        Ok(words)
    }

    /// A line with a number from 1 to `max` behind its sign.
    fn number(&mut self, sign: u8, max: usize) -> Result<usize, Stop> {
        let rest = &self.input[self.at..];
        match rest.first() {
            None => return Err(Stop::Partial),
            Some(first) if *first != sign => return Err(Stop::Broken),
            Some(_) => {}
        }
        let end = memchr::memmem::find(rest, b"\r\n").ok_or(Stop::Partial)?;
        self.at += end + 2;
        let number = leading_number(&rest[1..end]);
        usize::try_from(number).ok().filter(|n| (1..=max).contains(n)).ok_or(Stop::Broken)
    }
}

/// An integer at the beginning of a text, as C's `atoi` reads it; what does not fit is the nearest that does.
pub(super) fn leading_number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text.split_first() {
        Some((b'-', rest)) => (-1, rest),
        Some((b'+', rest)) => (1, rest),
        _ => (1, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number =
        digits.fold(0_i64, |n, digit| n.saturating_mul(10).saturating_add((digit - b'0').into()));
    sign * number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_only_with_its_last_byte() {
        let whole = b"*2\r\n$1\r\nb\r\n$2\r\n\0\n\r\nrest";
        let len = whole.len() - 4;
        for end in 0..len {
            assert_eq!(parse(&whole[..end]), Parsed::Partial, "{end}");
        }
        let words = vec![b"b".to_vec(), b"\0\n".to_vec()];
        assert_eq!(parse(whole), Parsed::Whole(words, len));
    }

    #[test]
    fn what_announces_too_much_or_nothing_is_broken() {
        for broken in [
            &b"PING\r\n"[..],
            b"*0\r\n",
            b"*-1\r\n",
            b"*1025\r\n",
            b"*99999999999999999999\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$0\r\n\r\n",
            b"*1\r\n$1025\r\n",
            b"*1\r\n$1\r\nabc",
        ] {
            assert_eq!(parse(broken), Parsed::Broken, "{}", broken.escape_ascii());
        }
    }
}
