//! What is kept of a rewrite's increment while no manifest on the disk names it (`naming.rs`).

use std::fs::File;

use persist::aof::manifest::Manifest;

pub struct Unnamed {
    /// The file before it.
    pub file: File,
    /// What was handed over since.
    pub bytes: Vec<u8>,
    /// The manifest on the disk, when the first attempt to replace it has failed.
    pub before: Option<Manifest>,
}
