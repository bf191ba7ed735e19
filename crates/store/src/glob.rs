//! Glob patterns as KEYS, SCAN, PSUBSCRIBE and CONFIG GET take them. Owns the matching and
//! nothing else.

/// Whether `text` matches `pattern`.
///
/// `*` is any run, `?` any byte, `[a-c]`, `[^x]` a byte in or not in a class, `\` takes the next
/// byte literally. The corner cases are those of Redis: an empty text matches an empty pattern
/// only (and a bare `*`, before which its commands do not ask), an open class ends with the
/// pattern, and an escape in a class heeds case even when nothing else does.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |byte| byte)
}

/// As `matches` where nobody looks for a lone `*` first: among channels it does not take an empty one.
pub fn matches_channel(pattern: &[u8], channel: &[u8]) -> bool {
    match channel {
        [] => pattern.is_empty(),
        _ => matches(pattern, channel),
    }
}

/// As `matches`, but upper and lower case (of ASCII) are the same.
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Every element but `*` takes one byte, so only the last `*` passed ever needs to be tried
/// anew: time is bounded by the product of the lengths, whatever the pattern.
fn run(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    if text.is_empty() {
        return pattern.is_empty() || pattern == b"*";
    }
    let (mut p, mut t) = (0, 0);
    // The element after the last star, and where in the text it was tried.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
            continue;
        }
        if let Some(next) = element(&pattern[p..], text[t], fold) {
            p += next;
            t += 1;
            continue;
        }
        let Some((after_star, tried)) = retry else { return false };
        p = after_star;
        t = tried + 1;
        retry = Some((p, t));
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Length of the pattern's first element, if it takes `byte`.
fn element(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> Option<usize> {
    let takes = |wanted: u8| fold(wanted) == fold(byte);
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let (found, len) = class(&pattern[1..], byte, fold);
            found.then_some(1 + len)
        }
        b'\\' if pattern.len() >= 2 => takes(pattern[1]).then_some(2),
        literal => takes(literal).then_some(1),
    }
}

/// Whether a class, given from behind its bracket, takes `byte`, and its length up to and with
/// the closing bracket.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match pattern[at..] {
            [] => return (found != negated, at),
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => return (found != negated, at + 1),
            [from, b'-', to, ..] => {
                let (low, high) = (from.min(to), from.max(to));
                found |= (fold(low)..=fold(high)).contains(&fold(byte));
                at += 3;
            }
            [single, ..] => {
                found |= fold(single) == fold(byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_everyday_patterns() {
        let yes = [
            ("h?llo", "hello"),
            ("h*llo", "hllo"),
            ("h*llo", "heeeello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            ("h\\?llo", "h?llo"),
            ("*a*b*", "xxaxxbxx"),
            ("a***", "a"),
            ("", ""),
            ("*", ""),
            ("__keyspace@*__:*", "__keyspace@0__:foo"),
            ("[\\]]", "]"),
            ("[a-", "-"),
            ("[a", "a"),
            ("[^", "x"),
            ("\\", "\\"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        let no = [
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("a", "A"),
            ("**", ""),
            ("", "a"),
            ("a*b", "ac"),
            ("[", "["),
            ("[]", "]"),
            ("a?", "a"),
        ];
        for (pattern, text) in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn case_can_be_ignored_but_in_an_escape_of_a_class() {
        assert!(matches_ignore_case(b"MaxMem*[A-C]", b"maxmemory-b"));
        assert!(matches_ignore_case(b"\\A", b"a"));
        assert!(!matches_ignore_case(b"[\\A]", b"a"));
    }

    /// The pattern that took other matchers minutes: each star doubled the work.
    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = b"a*".repeat(2000);
        let pattern = [&pattern[..], b"b"].concat();
        assert!(!matches(&pattern, &b"a".repeat(20_000)));
    }
}
