//! The keyspace: hash table, entries, databases, value types and their encodings.
//!
//! Owns what changes a key and nothing else: no sockets, files, threads or clocks (time and
//! randomness come in as arguments), no wire or disk formats beyond the blobs that are also the
//! memory form.

mod block;
mod bucket;
pub mod element;
pub mod hash;
pub mod intset;
pub mod limits;
pub mod list;
pub mod listpack;
mod member;
pub mod quicklist;
mod sample;
pub mod seed;
pub mod set;
pub mod size_class;
pub mod str;
pub mod table;
pub mod value;
pub mod zset;

pub use element::{Element, Tagged};
pub use seed::HashSeed;
pub use table::Table;
