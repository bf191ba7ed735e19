//! Owns one glob pattern of a user's rules, looked through once so that the common ones (`app:*`, a
//! plain name) are told by comparing bytes.

use store::glob;

/// What begins something other than itself in a glob.
const SPECIAL: &[u8] = b"*?[\\";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<[u8]>,
    /// So many bytes stand for themselves.
    literal_len: usize,
    rest: Rest,
}

/// What comes behind the bytes that stand for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// A star: whatever.
    Anything,
    Glob,
}

impl Pattern {
    pub(crate) fn new(text: &[u8]) -> Pattern {
        let literal_len = text.iter().position(|byte| SPECIAL.contains(byte)).unwrap_or(text.len());
        let rest = match &text[literal_len..] {
            [] => Rest::Nothing,
            b"*" => Rest::Anything,
            _ => Rest::Glob,
        };
        Pattern { text: text.into(), literal_len, rest }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    #[inline]
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        let literal = &self.text[..self.literal_len];
        match self.rest {
            Rest::Anything => name.starts_with(literal),
            Rest::Nothing => name == literal,
            Rest::Glob => name.starts_with(literal) && glob::matches(&self.text, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is compared without the glob's own matcher is decided as by it.
        #[test]
        fn a_pattern_matches_what_its_glob_does(pattern in r"[ab*?\[\]\\^-]{0,6}", name in "[ab*]{0,6}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern::new(pattern).matches(name), glob::matches(pattern, name));
        }
    }
}
