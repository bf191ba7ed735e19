//! The append-only file: its manifest, its commands, and what a rewrite puts into it.
//!
//! Opens, renames and truncates nothing: it names files and offsets, and `server` acts.

pub mod manifest;
pub mod reader;
