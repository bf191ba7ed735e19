//! Disk bytes: RDB and AOF, read and written through `io::Read` and `io::Write`.
//!
//! Opens no file, asks no clock, logs nothing: `server` does that around it. Bytes of a file or a
//! peer never panic here and never make it allocate what they merely announce.

pub mod aof;
pub mod contained;
pub mod crc;
pub mod error;
mod lookahead;
pub mod lzf;
pub mod rdb;
mod sink;
pub mod source;
