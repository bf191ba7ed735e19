//! Commands that come in lines, from a pipe or from a person whose terminal cannot edit.
//!
//! Must not: know how a command is run.

use protocol::split_args;

use super::line::{self, Next, Preferences};
use super::session::{Announce, Session};
use crate::Exit;
use crate::term::{self, Lines};

/// Runs lines until there are no more.
pub(super) fn run(session: &mut Session) -> Result<(), Exit> {
    session.become_interactive();
    let _ = session.connect(Announce::Errors);
    let mut preferences = Preferences::default();
    let mut lines = Lines::default();
    loop {
        session.print_messages_until_input(&lines)?;
        if term::stdin_wants_prompt() {
            term::out(session.prompt());
            term::flush();
        }
        let Some(line) = lines.next_line() else { return Ok(()) };
        match split_args(&line) {
            None => term::out("Invalid argument(s)\n"),
            Some(words) if words.is_empty() => {}
            Some(words) => {
                if line::run(session, &mut preferences, &words)? == Next::Quit {
                    return Ok(());
                }
            }
        }
        term::flush();
    }
}
