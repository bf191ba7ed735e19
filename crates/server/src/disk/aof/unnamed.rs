//! What is kept of a rewrite's increment while no manifest on the disk names it (`naming.rs`).

use std::fs::File;

use crate::disk::worker::NamedIncr;

pub struct Unnamed {
    /// The file before it.
    pub(super) file: File,
    /// What was handed over since.
    pub(super) bytes: Vec<u8>,
    /// The first attempt to store the manifest has failed.
    pub(super) failed: Option<NamedIncr>,
}
