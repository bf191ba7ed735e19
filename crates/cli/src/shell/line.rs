//! What one typed line does: a command of the server's, or one of redis-cli's own.
//!
//! Must not: read lines.

use std::time::{Duration, Instant};

use super::session::{Announce, Session};
use crate::Exit;
use crate::format::Output;
use crate::target::leading_int;
use crate::term;

/// A command that took longer than this says how long it took.
const SLOW: Duration = Duration::from_millis(500);

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Line,
    Quit,
}

/// What a person can set, here or in ~/.redisclirc.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preferences {
    pub hints: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { hints: true }
    }
}

impl Preferences {
    /// `:set hints` and `:set nohints`; `place` names the file that says so.
    pub(super) fn apply(&mut self, words: &[Vec<u8>], place: &str) {
        let word = |i: usize| String::from_utf8_lossy(words.get(i).map_or(b"", Vec::as_slice));
        match (word(0).to_ascii_lowercase().as_str(), word(1).to_ascii_lowercase().as_str()) {
            (":set", "hints") => self.hints = true,
            (":set", "nohints") => self.hints = false,
            (":set", _) if words.len() > 1 => {
                term::out(format!("{place}unknown redis-cli preference '{}'\n", word(1)));
            }
            _ => term::out(format!("{place}unknown redis-cli internal command '{}'\n", word(0))),
        }
    }
}

/// Runs the words of a line, of which there is at least one.
pub(super) fn run(
    session: &mut Session,
    preferences: &mut Preferences,
    words: &[Vec<u8>],
) -> Result<Next, Exit> {
    let (repeat, command) = match repeat(words) {
        Some(repeat) if repeat <= 0 => {
            term::out("Invalid redis-cli repeat command option value.\n");
            return Ok(Next::Line);
        }
        Some(repeat) => (repeat, &words[1..]),
        None => (1, words),
    };
    let first = words[0].to_ascii_lowercase();
    match first.as_slice() {
        b"quit" | b"exit" => return Ok(Next::Quit),
        [b':', ..] => preferences.apply(words, ""),
        b"restart" => term::out("Use 'restart' only in Lua debugging mode.\n"),
        b"connect" if words.len() == 3 => {
            session.options.target.host.clone_from(&words[1]);
            session.options.target.port = leading_int(&words[2]);
            let _ = session.connect(Announce::Errors);
        }
        b"clear" if words.len() == 1 => term::out("\x1b[H\x1b[2J"),
        _ => {
            let begun = Instant::now();
            session.issue(command, repeat)?;
            let elapsed = begun.elapsed();
            if elapsed >= SLOW && session.options.output == Output::Typed {
                term::out(format!("({:.2}s)\n", elapsed.as_secs_f64()));
            }
        }
    }
    Ok(Next::Line)
}

/// `3 ping` runs PING three times.
pub(super) fn repeat(words: &[Vec<u8>]) -> Option<i64> {
    let [first, _, ..] = words else { return None };
    let digits = first.strip_prefix(b"-").or(first.strip_prefix(b"+")).unwrap_or(first);
    (digits.iter().all(u8::is_ascii_digit)).then(|| leading_int(first))
}
