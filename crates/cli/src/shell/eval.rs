//! `--eval`: a script from a file, with keys and arguments from the command line.
//!
//! Must not: debug a script; there is no Lua debugger.

use std::path::Path;

use super::session::Session;
use crate::Exit;
use crate::term::{fail, os_words};

/// EVALs the file; of `words`, those before a lone comma are keys, the others arguments.
pub(super) fn run(session: &mut Session, file: &Path, words: Vec<Vec<u8>>) -> Result<(), Exit> {
    let script = std::fs::read(file)
        .map_err(|e| fail(format!("Can't open file '{}': {}", file.display(), os_words(&e))))?;
    let keys = words.iter().position(|word| word == b",").unwrap_or(words.len());
    let mut command = vec![b"EVAL".to_vec(), script, keys.to_string().into_bytes()];
    let comma = (keys < words.len()).then_some(keys);
    command
        .extend(words.into_iter().enumerate().filter(|(i, _)| Some(*i) != comma).map(|(_, w)| w));
    let done = session.issue(&command, session.options.repeat)?;
    if done { Ok(()) } else { Err(Exit(1)) }
}
