//! Tandem's process: descriptors, clock, fork, signals and threads.
//!
//! Everything that blocks, waits or reads the time happens in this crate; what a command does, what
//! a file means and who syncs from where is decided in the crates below it.

mod aof;
mod aof_files;
mod aof_rewrite;
mod aof_sync;
mod aof_writer;
mod boot;
mod child;
mod children;
mod chunk_pipe;
mod client_memory;
mod clients;
mod clock;
mod conn;
mod cron;
mod deferred;
mod disk;
#[cfg(test)]
mod disk_order;
mod disk_worker;
mod entropy;
mod event_loop;
mod host;
mod info;
mod key_delay;
mod launch;
mod lazy_free;
mod listener;
mod load_progress;
mod loader;
mod mailbox;
mod master_link;
mod memory;
mod node_os;
mod null_world;
mod rdb;
mod repl_settings;
mod replica_load;
mod replica_out;
mod resolver;
mod settings;
mod shutdown;
mod signals;
mod snapshot_in;
mod stream;
mod token;

pub mod config;
pub mod daemon;
pub mod logging;
pub mod start;

pub use launch::{InstallLogger, launch};
