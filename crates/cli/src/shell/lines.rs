//! Lines from a person or from a pipe, whichever is there.
//!
//! Must not: know what a line does.

use super::line::{Next, Shell};
use super::{interactive, script};
use crate::Exit;
use crate::term;

/// Runs lines until there are no more, or one says what comes next.
pub(super) fn run(shell: &mut Shell) -> Result<Next, Exit> {
    let edits = term::stdin_is_terminal() && !term::is_plain_terminal();
    if edits { interactive::run(shell) } else { script::run(shell) }
}
