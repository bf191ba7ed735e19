//! The RDB format: the snapshot file, the full resync payload, and the body of DUMP.
//!
//! Code map: `format` has the constants, `primitive` reads and `writer` writes lengths and strings;
//! `ziplist` and `zipmap` walk packed forms; `value` reads and `encode` writes one value, `stream` does both for streams;
//! `load` walks a file, `into_keyspace` fills a keyspace from it, `rehearsal` finds out whether that would
//! go well, `check` only looks; `save` writes a file; `dump` serves DUMP and RESTORE; `verify` checks a snapshot that arrives in pieces.

mod check;
mod dump;
mod encode;
pub mod format;
mod into_keyspace;
mod load;
mod primitive;
mod rehearsal;
mod save;
mod stream;
mod value;
mod verify;
mod writer;
mod ziplist;
mod zipmap;

pub use check::{CheckEvent, RdbCheck, check_rdb, check_rdb_with, type_name};
pub use dump::{
    check_footer, dump_functions, dump_value, is_read_everywhere, restore_functions, restore_value,
    with_own_checksum,
};
pub use into_keyspace::{AccessClock, LoadHook, LoadOptions, LoadReport, load};
pub use load::{DbSize, Frame, KeyMeta, Visitor, WalkOptions, walk};
pub use rehearsal::rehearse;
pub use save::{
    Access, ReplInfo, SaveHook, SaveOptions, SaveReport, Version, lowest_version, offer_release,
    save,
};
pub use verify::SnapshotVerifier;
