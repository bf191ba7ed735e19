//! Tandem's process: descriptors, clock, fork, signals and threads.
//!
//! Everything that blocks, waits or reads the time happens in this crate; what a command does, what
//! a file means and who syncs from where is decided in the crates below it.

mod aof_writer;
mod child;
mod clock;
mod listener;
mod mailbox;
mod resolver;
mod signals;
mod stream;
mod token;

pub mod config;
pub mod daemon;
pub mod logging;
pub mod start;
