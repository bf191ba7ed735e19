//! The RDB format: the snapshot file, the full resync payload, and the body of DUMP.
//!
//! Code map: `format` has the constants, `primitive` reads and `writer` writes lengths and strings;
//! `ziplist`, `zipmap` and `stream` walk packed forms; `load`/`value` and `save` do whole files;
//! `dump` serves DUMP and RESTORE; `verify` checks without a keyspace.

pub mod format;
mod load;
pub mod primitive;
pub mod stream;
mod verify;
pub mod writer;
pub mod ziplist;
pub mod zipmap;

pub use verify::SnapshotVerifier;
