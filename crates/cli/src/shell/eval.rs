//! `--eval`: a script from a file, with keys and arguments from the command line; and `--ldb`, which debugs it.

use std::path::Path;

use super::line::{Next, Shell};
use super::lines;
use super::session::Announce;
use crate::Exit;
use crate::term::{self, fail, os_words};

const GREETING: &str = "Lua debugging session started, please use:\n\
                        quit    -- End the session.\n\
                        restart -- Restart the script in debug mode again.\n\
                        help    -- Show Lua script debugging commands.\n\n";

/// EVALs the file; of `words`, those before a lone comma are keys, the others arguments.
pub(super) fn run(shell: &mut Shell, file: &Path, words: &[Vec<u8>]) -> Result<(), Exit> {
    let repeat = shell.session.options.repeat;
    while shell.session.options.debugger.is_some() {
        term::out(GREETING);
        let command = command(file, words)?;
        shell.session.arm_debugger();
        let done = shell.session.issue(&command, repeat)?;
        if !shell.session.debugger.is_active {
            if shell.session.debugger.has_ended {
                // There was no script to stop: what is wrong with it follows.
                term::out("Eval debugging session can't start:\n");
                shell.session.print_last_words()?;
            }
            return if done { Ok(()) } else { Err(Exit(1)) };
        }
        if lines::run(shell)? != Next::Restart {
            return Ok(());
        }
        shell.session.connect(Announce::Errors).map_err(|_| Exit(1))?;
        term::out("\n");
    }
    let done = shell.session.issue(&command(file, words)?, repeat)?;
    if done { Ok(()) } else { Err(Exit(1)) }
}

fn command(file: &Path, words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Exit> {
    let script = std::fs::read(file)
        .map_err(|e| fail(format!("Can't open file '{}': {}", file.display(), os_words(&e))))?;
    let keys = words.iter().position(|word| word == b",").unwrap_or(words.len());
    let mut command = vec![b"EVAL".to_vec(), script, keys.to_string().into_bytes()];
    command.extend_from_slice(&words[..keys]);
    command.extend(words.iter().skip(keys + 1).cloned());
    Ok(command)
}
