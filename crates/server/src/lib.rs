//! Tandem's process: descriptors, clock, fork, signals and threads.
//!
//! Everything that blocks, waits or reads the time happens in this crate; what a command does, what
//! a file means and who syncs from where is decided in the crates below it.
//!
//! Folders are rooms, and arrows between them go one way (`tests/tests/rooms.rs`): the files here stand uppermost, then
//! `os`, `disk`, `net`, `config`, and `process` lowest.

mod boot;
mod cron;
mod disk;
mod launch;
mod net;
mod os;
mod process;
mod server;

pub mod config;

pub use launch::{InstallLogger, launch};
pub use process::allocator::Allocator;
pub use process::logging;
