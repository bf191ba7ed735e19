//! Files and what writes and reads them: the append-only file, snapshots, the child, the loader's thread.
//! Decides nothing: when any of it happens is said by the node, through the room above.

pub mod aof;
pub mod aof_batch;
pub mod child;
pub mod children;
pub mod chunk_pipe;
pub mod files;
pub mod key_delay;
pub mod load_progress;
pub mod loader;
pub mod loading;
pub mod null_world;
pub mod rdb;
pub mod snapshot_in;
pub mod worker;

#[cfg(test)]
mod order_tests;
