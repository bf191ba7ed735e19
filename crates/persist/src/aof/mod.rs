//! The append-only file: its manifest, its commands, and what a rewrite puts into it.
//!
//! Opens, renames and truncates nothing: it names files and offsets, and `server` acts.

mod check;
pub mod manifest;
mod reader;
mod rewrite;

pub use check::{AofCheck, check_aof};
pub use reader::{
    AofError, AofErrorKind, AofReader, Command, Record, annotation_timestamp, has_rdb_preamble,
};
pub use rewrite::{RewriteOptions, commands_of, rewrite, timestamp_annotation};
