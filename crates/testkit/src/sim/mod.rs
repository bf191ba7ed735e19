//! A cluster in one process: nodes, a TCP-shaped network and a clock, all from one u64 seed.
//! Must not touch a real socket, clock, file or thread: a seed replays to the byte.
//!
//! - `net`: connections that fragment, delay, stall, lose what is in flight, and die without telling.
//! - `store`: what a node keeps; a tiny key-value model stands in where a test needs no real engine.
//! - `node`: one server: it performs `repl`'s actions against the network and its store, decides nothing.
//! - `cluster`: many nodes, time, client writes and the oracles that watch them.
//! - `plan`: what a seed decides: settings, topology, faults, and the quiet time at the end.

pub mod cluster;
pub mod net;
pub mod node;
pub mod plan;
pub mod store;

pub use cluster::{Cluster, EVENTS, Seen};
pub use store::{Model, SnapshotHeader, Step, Store};
