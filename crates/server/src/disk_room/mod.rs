//! What is on the disk.

pub mod rdb;
