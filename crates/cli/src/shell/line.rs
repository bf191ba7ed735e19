//! What one typed line does: a command of the server's, or one of redis-cli's own.
//!
//! Must not: read lines.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::built_in;
use super::docs::{Docs, Version};
use super::help;
use super::history::dotfile;
use super::options::DebugMode;
use super::session::{Announce, Session};
use crate::format::Output;
use crate::target::leading_int;
use crate::term::{self, Lines};
use crate::{Exit, VERSION};

/// A command that took longer than this says how long it took.
const SLOW: Duration = Duration::from_millis(500);

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Line,
    Quit,
    /// The script that is debugged begins anew.
    Restart,
}

/// A session with what people have beside it.
pub(super) struct Shell {
    pub session: Session,
    pub preferences: Preferences,
    /// Empty until they are asked for.
    pub docs: Rc<Docs>,
    /// From a pipe, where more was read than run.
    pub lines: Lines,
}

/// What a person can set, here or in ~/.redisclirc.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preferences {
    pub hints: bool,
}

impl Preferences {
    /// Reads ~/.redisclirc, if there is one.
    pub(super) fn load(&mut self) {
        let Some(path) = dotfile("REDISCLI_RCFILE", ".redisclirc") else { return };
        for line in std::fs::read(path).unwrap_or_default().split(|byte| *byte == b'\n') {
            if let Some(words) = protocol::split_args(line).filter(|words| !words.is_empty()) {
                self.apply(&words, ".redisclirc: ");
            }
        }
    }

    /// `:set hints` and `:set nohints`; `place` names the file that says so.
    fn apply(&mut self, words: &[Vec<u8>], place: &str) {
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

impl Shell {
    pub(super) fn new(session: Session) -> Self {
        let preferences = Preferences { hints: true };
        Self { session, preferences, docs: Rc::default(), lines: Lines::default() }
    }

    /// Runs the words of a line, of which there is at least one.
    pub(super) fn run_line(&mut self, words: &[Vec<u8>]) -> Result<Next, Exit> {
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
            [b':', ..] => self.preferences.apply(words, ""),
            b"restart" if self.session.options.eval.is_some() => return Ok(Next::Restart),
            b"restart" => term::out("Use 'restart' only in Lua debugging mode.\n"),
            b"connect" if words.len() == 3 => {
                self.session.options.target.host.clone_from(&words[1]);
                self.session.options.target.port = leading_int(&words[2]);
                let _ = self.session.connect(Announce::Errors);
            }
            b"clear" if words.len() == 1 => term::out("\x1b[H\x1b[2J"),
            _ => {
                let begun = Instant::now();
                self.run_command(command, repeat)?;
                if self.session.debugger.has_ended {
                    self.end_debugging()?;
                }
                let elapsed = begun.elapsed();
                if elapsed >= SLOW && self.session.options.output == Output::Typed {
                    term::out(format!("({:.2}s)\n", elapsed.as_secs_f64()));
                }
            }
        }
        Ok(Next::Line)
    }

    /// The script is over: what it has returned is shown, and lines are commands again.
    fn end_debugging(&mut self) -> Result<(), Exit> {
        self.session.print_last_words()?;
        let rolled_back = match self.session.options.debugger {
            Some(DebugMode::Sync) => "",
            _ => " -- dataset changes rolled back",
        };
        term::out(format!("\n(Lua debugging session ended{rolled_back})\n\n"));
        // The server has closed the connection with the session.
        if self.session.connect(Announce::Errors).is_ok() {
            self.load_docs();
        }
        Ok(())
    }

    /// Runs a command, or helps with one. `false`: it could not be run.
    pub(super) fn run_command(&mut self, words: &[Vec<u8>], repeat: i64) -> Result<bool, Exit> {
        let name = words[0].to_ascii_lowercase();
        if (name == b"help" || name == b"?") && !self.session.debugger.is_active {
            if self.docs.commands.is_empty() && words.len() > 1 {
                self.load_docs();
            }
            help::print(&self.docs, &words[1..]);
            return Ok(true);
        }
        self.session.issue(words, repeat)
    }

    /// Asks the server what commands it has; what it cannot say is taken from the table that is built in.
    pub(super) fn load_docs(&mut self) {
        let info = self.session.ask(&["INFO", "server"]);
        let version = info.as_ref().and_then(Version::of_info);
        let told = self.session.ask(&["COMMAND", "DOCS"]);
        let mut docs = told.as_ref().and_then(Docs::from_reply).unwrap_or_else(|| {
            let list = self.session.ask(&["COMMAND"]);
            built_in::docs(version, list.as_ref())
        });
        docs.mark_newer_than(version.unwrap_or_else(|| Version::of(VERSION)));
        self.docs = Rc::new(docs);
    }
}

/// `3 ping` runs PING three times.
pub(super) fn repeat(words: &[Vec<u8>]) -> Option<i64> {
    let [first, _, ..] = words else { return None };
    let digits = first.strip_prefix(b"-").or(first.strip_prefix(b"+")).unwrap_or(first);
    (digits.iter().all(u8::is_ascii_digit)).then(|| leading_int(first))
}
