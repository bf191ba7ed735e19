//! What EVAL and SCRIPT LOAD have compiled, by the digest of its text. Must not know how it is run.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;
use sha1::{Digest, Sha1};

use super::flags::{self, ScriptFlags};
use super::interpreter::Interpreter;
use super::sandbox;
use crate::error::CommandError;

/// So many scripts that came with EVAL alone are kept.
const EVAL_SCRIPTS_MAX: usize = 500;
/// What is counted for a script beside its text.
const ENTRY_BYTES: usize = 150;

pub(crate) type Sha = [u8; 40];

pub(crate) struct Script {
    /// Its number in the interpreter.
    pub function: i64,
    pub flags: Option<ScriptFlags>,
    pub name: Rc<str>,
    body_len: usize,
    /// It came with EVAL, and may go when there are many: when it was used last.
    used: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Cache {
    pub interpreter: Option<Interpreter>,
    /// Hashed quickly: who wants many of them in one place has to try out texts by the million for each.
    scripts: HashMap<Sha, Script, FxBuildHasher>,
    /// Scripts of EVAL with their use at that time, the oldest first; those used since are put further back by `evict`.
    queue: VecDeque<(u64, Sha)>,
    eval_scripts: usize,
    uses: u64,
    body_bytes: usize,
    pub evicted: u64,
}

impl Cache {
    pub(crate) fn len(&self) -> usize {
        self.scripts.len()
    }

    pub(crate) fn contains(&self, sha: &Sha) -> bool {
        self.scripts.contains_key(sha)
    }

    pub(crate) fn get(&self, sha: &Sha) -> Option<&Script> {
        self.scripts.get(sha)
    }

    /// The state's memory.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.interpreter.as_ref().map_or(0, Interpreter::used_bytes)
    }

    /// What is kept beside the state.
    pub(crate) fn overhead_bytes(&self) -> u64 {
        (self.body_bytes + self.scripts.len() * ENTRY_BYTES) as u64
    }

    /// SCRIPT FLUSH: a new state begins with the next script.
    pub(crate) fn flush(&mut self) {
        *self = Cache { evicted: self.evicted, ..Cache::default() };
    }

    /// The script, which is used now.
    pub(crate) fn take_up(&mut self, sha: &Sha) -> Option<&Script> {
        let script = self.scripts.get_mut(sha)?;
        self.uses += 1;
        if let Some(used) = &mut script.used {
            *used = self.uses;
        }
        Some(script)
    }

    /// Compiles a script, unless it is known. `by_eval`: it may go when there are many.
    pub(crate) fn load(&mut self, body: &[u8], by_eval: bool) -> Result<Sha, CommandError> {
        let sha = sha1_hex(body);
        if let Some(script) = self.scripts.get_mut(&sha) {
            if !by_eval && script.used.take().is_some() {
                self.eval_scripts -= 1;
            }
            return Ok(sha);
        }
        let (flags, start) = flags::of_script(body)?;
        let interpreter = interpreter(&mut self.interpreter)?;
        let compiled = sandbox::compile(&interpreter.lua, &body[start..], "@user_script");
        let function = compiled.map_err(|why| {
            CommandError::err(format_args!("Error compiling script (new function): {why}"))
        })?;
        let function = interpreter.keep(&function).map_err(broken)?;
        self.uses += 1;
        let used = by_eval.then_some(self.uses);
        let name = String::from_utf8_lossy(&sha).into_owned().into();
        let script = Script { function, flags, name, body_len: body.len(), used };
        self.body_bytes += body.len();
        self.scripts.insert(sha, script);
        if by_eval {
            self.eval_scripts += 1;
            self.queue.push_back((self.uses, sha));
            self.evict();
        }
        Ok(sha)
    }

    /// Forgets the scripts of EVAL that were used least recently.
    fn evict(&mut self) {
        while self.eval_scripts > EVAL_SCRIPTS_MAX {
            let Some((noted, sha)) = self.queue.pop_front() else { return };
            match self.scripts.get(&sha).and_then(|script| script.used) {
                // In its place by use: at the end it would stand behind the script that is about to run.
                Some(used) if used > noted => {
                    let place = self.queue.partition_point(|(other, _)| *other < used);
                    self.queue.insert(place, (used, sha));
                }
                Some(_) => {
                    if let Some(script) = self.scripts.remove(&sha) {
                        self.body_bytes -= script.body_len;
                        if let Some(interpreter) = &mut self.interpreter {
                            interpreter.forget(script.function);
                        }
                    }
                    self.eval_scripts -= 1;
                    self.evicted += 1;
                }
                None => {}
            }
        }
    }
}

/// The state, made with the first script.
pub(crate) fn interpreter(
    slot: &mut Option<Interpreter>,
) -> Result<&mut Interpreter, CommandError> {
    if slot.is_none() {
        *slot = Some(Interpreter::new().map_err(broken)?);
    }
    slot.as_mut().ok_or_else(|| CommandError::err("no interpreter"))
}

pub(crate) fn broken(error: mlua::Error) -> CommandError {
    CommandError::err(super::raise::message(&error))
}

pub(crate) fn sha1_hex(text: &[u8]) -> Sha {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha1::digest(text);
    let mut hex = [0; 40];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.iter()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

/// A digest as it was given, in any case.
pub(crate) fn sha_of(arg: &[u8]) -> Option<Sha> {
    let mut sha: Sha = arg.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}
