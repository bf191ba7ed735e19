//! `--test_hint` and `--test_hint_file`: what a hint would be, without a person at a terminal.
//!
//! Must not: make hints in any other way than for people.

use std::path::Path;

use super::docs::Docs;
use super::hints;
use crate::Exit;
use crate::term::{self, fail};

/// Prints the hint behind a line.
pub(super) fn print(docs: &Docs, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    term::out(hints::missing(docs, &line).unwrap_or_default() + "\n");
}

/// Compares hints with those that a file expects: a line has what is typed and the hint, each in quotes.
pub(super) fn check(docs: &Docs, path: &Path, verbose: bool) -> Result<(), Exit> {
    let text = std::fs::read(path).map_err(|e| {
        let _ = fail(format!("Can't open file '{}': {}", path.display(), term::os_words(&e)));
        Exit(u8::MAX)
    })?;
    let (mut passed, mut failed) = (0u32, 0u32);
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")) {
        let words = protocol::split_args(line).unwrap_or_default();
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let (input, expected) = match words.as_slice() {
            [] => continue,
            [input] => {
                let _ = fail(format!("Missing expected hint for input '{input}'"));
                return Err(Exit(u8::MAX));
            }
            [input, expected, ..] => (input, expected),
        };
        let hint = hints::missing(docs, input);
        let shown = hint.as_deref().unwrap_or("(null)");
        if verbose {
            term::out(format!("Input: '{input}', Expected: '{expected}', Hint: '{shown}'\n"));
        }
        if hint.as_deref() == Some(expected) {
            passed += 1;
        } else {
            failed += 1;
            term::err(format!(
                "Test case '{input}' FAILED: expected '{expected}', got '{shown}'\n"
            ));
        }
    }
    let verdict = if failed == 0 { "SUCCESS" } else { "FAILURE" };
    term::out(format!("{verdict}: {passed}/{} passed\n", passed + failed));
    // More than a status can tell are still not none.
    let status = u8::try_from(failed).unwrap_or(u8::MAX);
    if failed == 0 { Ok(()) } else { Err(Exit(status)) }
}
