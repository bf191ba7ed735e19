//! Owns the configuration file: its lines, `include`, and the errors that stop a start.
//! Lines of the file, of standard input and of the command line pass here alike.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directive::Origin;
use super::foreign;
use super::hint;
use super::table::{Config, directive};
use crate::process::os_error::os_error;
use crate::process::version::REDIS_VERSION;

/// Includes nested deeper than this are taken for a circle.
const MAX_INCLUDE_DEPTH: usize = 16;

/// Why the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// Displayed as the log message that it is.
    Open {
        path: PathBuf,
        why: String,
    },
    Line(Box<BadLine>),
    /// Lines that do not fit together.
    Whole(String),
}

/// A line that cannot be understood. Displayed as the page on standard error, Redis's part first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The file, or what else the line stands in.
    pub source: String,
    pub line: usize,
    pub text: String,
    pub why: String,
    pub expected: Option<String>,
    pub hint: Option<String>,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Open { path, why } => {
                write!(f, "Fatal error, can't open config file '{}': {why}", path.display())?;
                match hint::for_missing_file(path) {
                    Some(hint) => write!(f, ". Hint: {hint}"),
                    None => Ok(()),
                }
            }
            FileError::Line(line) => line.fmt(f),
            FileError::Whole(why) => {
                writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\n{why}")
            }
        }
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***")?;
        writeln!(f, "Reading the configuration file, at line {}", self.line)?;
        writeln!(f, ">>> '{}'", self.text)?;
        writeln!(f, "{}", self.why)?;
        writeln!(f, "Where: {}", self.source)?;
        if let Some(expected) = &self.expected {
            writeln!(f, "Expected: {expected}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "Hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FileError {}

/// What is wrong with a line, before its place is known.
struct Refusal {
    why: String,
    expected: Option<String>,
    hint: Option<String>,
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Refusal { why: why.into(), expected: None, hint: None }
    }
}

enum LineError {
    Refused(Refusal),
    /// An included file has an error of its own.
    Included(FileError),
}

impl<T: Into<Refusal>> From<T> for LineError {
    fn from(refusal: T) -> Self {
        LineError::Refused(refusal.into())
    }
}

/// Reads lines into a configuration.
pub(super) struct Loader {
    config: Config,
    seen: HashSet<&'static str>,
    depth: usize,
}

impl Loader {
    pub fn new(config: Config) -> Self {
        Loader { config, seen: HashSet::new(), depth: 0 }
    }

    /// The configuration, once everything is read.
    pub fn finish(mut self) -> Result<Config, FileError> {
        if !self.config.security.aclfile.is_empty() && !self.config.users.is_empty() {
            return Err(FileError::Whole(
                "Configuring Redis with users defined in redis.conf and at the same setting an ACL \
                 file path is invalid. This setup is very likely to lead to configuration errors \
                 and security holes, please define either an ACL file or declare users directly in \
                 your redis.conf, but not both."
                    .into(),
            ));
        }
        self.config.settle();
        Ok(self.config)
    }

    fn file(&mut self, path: &Path) -> Result<(), FileError> {
        let text = read(path)?;
        self.text(&text, |_| path.display().to_string())
    }

    /// `source` names the place of a line by its number.
    pub fn text(&mut self, text: &[u8], source: impl Fn(usize) -> String) -> Result<(), FileError> {
        for (index, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            let number = index + 1;
            self.line(line).map_err(|error| match error {
                LineError::Included(error) => error,
                LineError::Refused(Refusal { why, expected, hint }) => {
                    FileError::Line(Box::new(BadLine {
                        source: source(number),
                        line: number,
                        text: String::from_utf8_lossy(line).into_owned(),
                        why,
                        expected,
                        hint: hint.or_else(|| hint::for_line(line)),
                    }))
                }
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), LineError> {
        if line.is_empty() || line[0] == b'#' {
            return Ok(());
        }
        let words = protocol::split_args(line).ok_or("Unbalanced quotes in configuration line")?;
        let Some((name, arguments)) = words.split_first() else { return Ok(()) };
        let name = name.to_ascii_lowercase();
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let Some(row) = directive(&name) else { return self.other(&name, &arguments) };
        let origin =
            if self.seen.insert(row.name) { Origin::FirstLine } else { Origin::FurtherLine };
        row.set(&mut self.config, &arguments, origin)
            .map_err(|why| Refusal { why, expected: Some(row.usage()), hint: None }.into())
    }

    /// What stands in a file without being a value that CONFIG GET knows.
    fn other(&mut self, name: &[u8], arguments: &[&[u8]]) -> Result<(), LineError> {
        match (name, arguments) {
            (b"include", [pattern]) => self.include(pattern),
            (b"rename-command", [from, to]) => self.rename(from, to),
            (b"user", [_, ..]) => self.user(arguments),
            (b"loadmodule", [_, ..]) => Err("Modules are not supported by Tandem".into()),
            (b"sentinel", _) => Err("sentinel directive while not in sentinel mode".into()),
            (name, [_, ..]) if foreign::idle(name).is_some() => {
                if let Some(why) = foreign::refusal(name, arguments) {
                    return Err(why.into());
                }
                self.config.foreign.extend(foreign::idle(name));
                Ok(())
            }
            _ => Err(Refusal {
                why: "Bad directive or wrong number of arguments".into(),
                expected: usage_of_other(name),
                hint: hint::for_name(name),
            }
            .into()),
        }
    }

    /// Each line goes by the names that the lines before it have left.
    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), LineError> {
        use engine::command::is_in_table;
        let renames = &mut self.config.renames;
        let is = |name: &[u8], other: &[u8]| name.eq_ignore_ascii_case(other);
        let again = renames.iter().position(|(_, new)| !new.is_empty() && is(new, from));
        let is_gone = |name: &[u8]| renames.iter().any(|(old, _)| is(old, name));
        if again.is_none() && (!is_in_table(from) || is_gone(from)) {
            return Err("No such command in rename-command".into());
        }
        let is_taken =
            is_in_table(to) && !is_gone(to) || renames.iter().any(|(_, new)| is(new, to));
        if !to.is_empty() && is_taken {
            return Err("Target command name already exists".into());
        }
        match again {
            Some(at) => renames[at].1 = to.to_vec(),
            None => renames.push((from.to_vec(), to.to_vec())),
        }
        Ok(())
    }

    fn user(&mut self, words: &[&[u8]]) -> Result<(), LineError> {
        self.config.users.add(words).map_err(|error| {
            let why = format!("Error in user declaration '{}': {}", error.word, error.why);
            LineError::from(why.as_str())
        })
    }

    fn include(&mut self, pattern: &[u8]) -> Result<(), LineError> {
        if self.depth >= MAX_INCLUDE_DEPTH {
            return Err("include is nested too deeply".into());
        }
        let paths = if pattern.iter().any(|b| b"*?[".contains(b)) {
            expand(pattern).ok_or("bad pattern for include")?
        } else {
            vec![PathBuf::from(OsStr::from_bytes(pattern))]
        };
        self.depth += 1;
        for path in paths {
            self.file(&path).map_err(LineError::Included)?;
        }
        self.depth -= 1;
        Ok(())
    }
}

fn usage_of_other(name: &[u8]) -> Option<String> {
    let usage = match name {
        b"include" => "include <file or pattern>",
        b"rename-command" => "rename-command <command> <new name or \"\">",
        b"user" => "user <name> <rule> ..., as in user ann on >password ~app:* +@read",
        name if foreign::idle(name).is_some() => "a value, which is ignored",
        _ => return None,
    };
    Some(usage.into())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path)
        .map_err(|error| FileError::Open { path: path.to_owned(), why: os_error(&error) })
}

/// The files that a pattern names, in order; none is fine.
fn expand(pattern: &[u8]) -> Option<Vec<PathBuf>> {
    let pattern = CString::new(pattern).ok()?;
    // SAFETY: glob_t is plain data for which all zeros is the documented start.
    let mut found: libc::glob_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pattern is a C string, `found` lives through the call, no callback is given.
    let status = unsafe { libc::glob(pattern.as_ptr(), 0, None, &raw mut found) };
    let mut paths = Vec::new();
    if status == 0 {
        for i in 0..found.gl_pathc {
            // SAFETY: glob filled in gl_pathc pointers to C strings, valid until globfree.
            let path = unsafe { CStr::from_ptr(*found.gl_pathv.add(i)) };
            paths.push(PathBuf::from(OsStr::from_bytes(path.to_bytes())));
        }
    }
    // SAFETY: initialized by glob above, freed once.
    unsafe { libc::globfree(&raw mut found) };
    (status == 0 || status == libc::GLOB_NOMATCH).then_some(paths)
}
