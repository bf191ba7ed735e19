//! Commands that come in lines, from a pipe or from a person whose terminal cannot edit.
//!
//! Must not: know how a command is run.

use super::line::{Next, Shell};
use super::session::Announce;
use crate::Exit;
use crate::term;

/// Runs lines until there are no more.
pub(super) fn run(shell: &mut Shell) -> Result<Next, Exit> {
    shell.session.become_interactive();
    if !shell.session.debugger.is_active {
        let _ = shell.session.connect(Announce::Errors);
    }
    if term::stdin_is_terminal() {
        shell.preferences.load();
    }
    let mut lines = std::mem::take(&mut shell.lines);
    loop {
        shell.session.print_messages_until_input(&lines)?;
        if term::stdin_wants_prompt() {
            term::out(shell.session.prompt());
            term::flush();
        }
        let Some(line) = lines.next_line() else { return Ok(Next::Quit) };
        match shell.session.debugger.split(&line) {
            None => term::out("Invalid argument(s)\n"),
            Some(words) if words.is_empty() => {}
            Some(words) => match shell.run_line(&words)? {
                Next::Line => {}
                end => {
                    shell.lines = lines;
                    return Ok(end);
                }
            },
        }
        term::flush();
    }
}
