//! A cluster in one process: the shipped node, a TCP-shaped network, disks that forget, and a clock, all
//! from one u64 seed. Must not touch a real socket, clock, file or thread: a seed replays to the byte.
//!
//! - `net`: connections that fragment, delay, stall, lose what is in flight, and die without telling.
//! - `disk`: what the kernel has and what the disk has, and the thread that writes.
//! - `os`: `node::Os` over both; `life`: a process's start and what it does late.
//! - `data`: snapshots, append-only files, and what has to be equal.
//! - `input`: what arrives at a server.
//! - `clients`: what they ask and were promised.
//! - `node`: one server: the shipped node, handed its events.
//! - `cluster`: many nodes, time, and the oracle of all histories.
//! - `plan`: what a seed decides: settings, topology, faults, and the quiet time at the end.

pub mod clients;
pub mod cluster;
mod data;
pub mod disk;
mod input;
mod life;
pub mod net;
pub mod node;
pub mod os;
pub mod plan;

pub use cluster::{Cluster, EVENTS, Seen};
