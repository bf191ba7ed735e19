//! The command families: one file each, rows and handlers together.

pub(crate) mod absent;
pub(crate) mod acl;
pub(crate) mod args;
pub(crate) mod bitfield;
pub(crate) mod bitmaps;
pub(crate) mod client;
pub(crate) mod client_line;
pub(crate) mod command_info;
pub(crate) mod connection;
pub(crate) mod debug;
pub(crate) mod expiry;
pub(crate) mod hashes;
pub(crate) mod help;
pub(crate) mod keyspace;
pub(crate) mod latency;
pub(crate) mod lcs;
pub(crate) mod lists;
pub(crate) mod memory;
pub(crate) mod persistence;
pub(crate) mod pubsub;
pub(crate) mod replication;
pub(crate) mod scans;
pub(crate) mod server;
pub(crate) mod sets;
pub(crate) mod sort;
pub(crate) mod strings;
pub(crate) mod transactions;
pub(crate) mod zset_algebra;
pub(crate) mod zset_ranges;
pub(crate) mod zsets;

pub(crate) use client_line::memory_of;
