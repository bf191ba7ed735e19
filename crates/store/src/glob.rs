//! Glob patterns of KEYS, SCAN, PSUBSCRIBE and CONFIG GET: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
//!
//! A `*` that fails is taken up again only at the last star, so the time is bounded by the product
//! of the lengths whatever the pattern.

/// Whether the whole of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, |byte| byte)
}

/// The same, with ASCII letters of either case alike.
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, |byte| byte.to_ascii_lowercase())
}

fn matches_by(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star ends, and the text from which it is to swallow one byte more.
    let mut last_star = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            last_star = Some((p, t));
            continue;
        }
        let step = match (p < pattern.len(), text.get(t)) {
            (false, None) => return true,
            (true, Some(&byte)) => match_one(&pattern[p..], byte, fold),
            _ => None,
        };
        match (step, last_star) {
            (Some(used), _) => {
                p += used;
                t += 1;
            }
            (None, Some((after_star, from))) if from < text.len() => {
                last_star = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte against the head of the pattern, which is not a star: how much of the pattern
/// that used, or `None` when the byte is another.
fn match_one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (used, matched) = match_class(class, fold(byte), fold);
            matched.then_some(1 + used)
        }
        [b'\\', escaped, ..] => (fold(*escaped) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
        [] => None,
    }
}

/// What stands behind a `[`: how long it is, and whether the byte is in it. A class that is never
/// closed ends with the pattern.
fn match_class(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (usize, bool) {
    let negated = class.first() == Some(&b'^');
    let mut at = negated as usize;
    let mut found = false;
    while at < class.len() {
        match &class[at..] {
            [b'\\', escaped, ..] => {
                found |= fold(*escaped) == byte;
                at += 2;
            }
            [b']', ..] => return (at + 1, found != negated),
            [low, b'-', high, ..] => {
                let (low, high) = (fold(*low).min(fold(*high)), fold(*low).max(fold(*high)));
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            [single, ..] => {
                found |= fold(*single) == byte;
                at += 1;
            }
            [] => break,
        }
    }
    (class.len(), found != negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_redis_says() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("a*", "a", true),
            ("[ab", "a", true),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(matches_ignore_case(b"MAX*[A-C]", b"maxmemoryb"));
    }

    /// A pattern of many stars once took for ever on a text that nearly matches.
    #[test]
    fn many_stars_end_soon() {
        let pattern = [b"*a".repeat(50), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(50_000)));
    }
}
