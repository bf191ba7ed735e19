//! The keyspace: hash table, entries, databases, value types and their encodings.
//!
//! Owns what changes a key and nothing else: no sockets, files, threads or clocks (time and
//! randomness come in as arguments), no wire or disk formats beyond the blobs that are also the
//! memory form.

mod block;
mod bucket;
pub mod db;
pub mod digest;
pub mod element;
pub mod entry;
pub mod expire;
pub mod glob;
pub mod hash;
pub mod hll;
pub mod intset;
pub mod key;
pub mod keyspace;
pub mod lend;
pub mod lfu;
pub mod limits;
pub mod list;
pub mod listpack;
mod member;
mod order_tree;
mod ordered;
pub mod quicklist;
pub mod relocate;
mod sample;
mod score;
pub mod seed;
pub mod set;
pub mod size_class;
pub mod str;
pub mod stream;
pub mod table;
pub mod value;
pub mod zset;

pub use db::{Db, DbSlot, EntryMut, HashMut, VacantEntry};
pub use element::{Element, Tagged};
pub use entry::{Entry, NewValue, OwnedEntry};
pub use expire::SetExpire;
pub use hash::Hash;
pub use key::{IntoKey, Key};
pub use keyspace::Keyspace;
pub use limits::Limits;
pub use list::{End, List};
pub use relocate::{Heap, Mover};
pub use seed::HashSeed;
pub use set::Set;
pub use stream::{Stream, StreamId};
pub use table::{Table, TableStats};
pub use value::{Encoding, Item, ItemBuf, Type, Value, ValueMut, ValueRef};
pub use zset::{LexBound, ScoreRange, ZSet};
