//! Owns the matching of CONFIG GET patterns: `*`, `?`, `[a-z]`, `[^a]`, `\x`, whatever the case.

/// Whether the whole of `text` matches. Linear backtracking: only the last `*` is ever retried.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, t));
            p += 1;
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        let step = if t < text.len() { one(&pattern[p..], text[t]) } else { None };
        match (step, retry) {
            (Some(len), _) => {
                p += len;
                t += 1;
            }
            (None, Some((star, from))) if from < text.len() => {
                retry = Some((star, from + 1));
                p = star + 1;
                t = from + 1;
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte against the head of `pattern`; the length of that head when it matches.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    let byte = byte.to_ascii_lowercase();
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => class(rest, byte).map(|len| len + 1),
        [b'\\', escaped, ..] => (escaped.to_ascii_lowercase() == byte).then_some(2),
        [plain, ..] => (plain.to_ascii_lowercase() == byte).then_some(1),
    }
}

fn class(rest: &[u8], byte: u8) -> Option<usize> {
    let negated = rest.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    while at < rest.len() && rest[at] != b']' {
        match &rest[at..] {
            [b'\\', escaped, ..] => {
                found |= escaped.to_ascii_lowercase() == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [plain, ..] => {
                found |= plain.to_ascii_lowercase() == byte;
                at += 1;
            }
            [] => break,
        }
    }
    (found != negated).then_some((at + 1).min(rest.len()))
}
