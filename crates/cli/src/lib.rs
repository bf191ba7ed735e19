//! The tools that people type at: redis-cli, redis-check-rdb, redis-check-aof, redis-benchmark.
//!
//! Each has a folder, and `run` there is its whole program; below them stand the table of flags
//! (`flags`), one blocking connection (`connection`), what a reply looks like (`format`), and the
//! terminal (`term`). Must not know the server: what is said of it here came over a socket or from a file.

pub mod benchmark;
pub mod check;
pub mod connection;
mod encrypted;
pub mod flags;
pub mod format;
mod modes;
pub mod shell;
mod target;
mod term;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

/// The release of Redis whose tools these stand in for.
pub const VERSION: &str = "7.2.4";

/// Why a program ends before its end; whatever there is to say has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

/// Runs a tool on the words of the command line, its own name first.
pub fn run(tool: impl FnOnce(Vec<Vec<u8>>) -> Result<(), Exit>) -> ExitCode {
    term::die_on_broken_pipes();
    let words = std::env::args_os().map(OsString::into_vec).collect();
    let status = tool(words).map_or_else(|Exit(status)| status, |()| 0);
    term::flush();
    ExitCode::from(status)
}
