//! Owns the numbers of the RDB format; no logic.
//!
//! Sources: the format descriptions of Redis and of the community's RDB file format page.

/// The newest version this crate reads, that of Redis 7.4 to 8.2.
pub const MAX_VERSION: u32 = 12;
/// Files since this version end in a checksum.
pub const CHECKSUM_VERSION: u32 = 5;
pub const MAGIC: &[u8; 5] = b"REDIS";
/// Valkey 9 and later sign their own format, whose versions begin where Redis's may never come.
pub const VALKEY_MAGIC: &[u8; 6] = b"VALKEY";
/// The version of Valkey 9: that of Redis 7.2, a hash type and an opcode of its own.
pub const VALKEY_VERSION: u32 = 80;

/// Whose numbers a file's type bytes are: 22 and above mean one thing to Redis and another to Valkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Redis,
    Valkey,
}

impl Dialect {
    /// Of a version, which says it by itself: Redis's end far below Valkey's.
    pub fn of_version(version: u32) -> Dialect {
        if version >= VALKEY_VERSION { Dialect::Valkey } else { Dialect::Redis }
    }
}
/// `REDIS` and four digits, or `VALKEY` and three.
pub const HEADER_BYTES: usize = 9;
pub const CHECKSUM_BYTES: usize = 8;

/// What may stand where a key-value pair's type byte would.
pub mod opcode {
    /// Written by servers in cluster mode: a hint about the keys of one slot.
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    pub const FUNCTION_PRE_RELEASE: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZEDB: u8 = 251;
    pub const EXPIRETIME_MS: u8 = 252;
    pub const EXPIRETIME: u8 = 253;
    pub const SELECTDB: u8 = 254;
    pub const EOF: u8 = 255;
    /// Opcodes begin here; below are value types.
    pub const FIRST: u8 = SLOT_INFO;
}

/// Type bytes of values.
pub mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    /// Scores as text.
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores as binary doubles.
    pub const ZSET_2: u8 = 5;
    pub const MODULE: u8 = 6;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    /// Nodes are ziplists.
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    /// Nodes are plain or listpacks.
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    /// Of release candidates of Redis 7.4: each field's expiry is absolute.
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    /// Fields have expiries, relative to the soonest.
    pub const HASH_METADATA: u8 = 24;
    /// The soonest expiry, then a listpack of fields, values and expiries.
    pub const HASH_LISTPACK_EX: u8 = 25;
    /// Of Valkey 9: each field with its value and its expiry.
    pub const VALKEY_HASH_2: u8 = 22;
}

/// The first byte of a length: two bits of form, or a whole code.
pub mod len {
    pub const BITS_6: u8 = 0;
    pub const BITS_14: u8 = 1;
    pub const ENCODED: u8 = 3;
    pub const BITS_32: u8 = 0x80;
    pub const BITS_64: u8 = 0x81;
}

/// How an encoded string is kept.
pub mod string {
    pub const INT8: u8 = 0;
    pub const INT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const LZF: u8 = 3;
}

/// Containers of a quicklist 2 node.
pub mod container {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// Pieces of a MODULE_2 value or a MODULE_AUX field.
pub mod module {
    pub const EOF: u64 = 0;
    pub const SINT: u64 = 1;
    pub const UINT: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

/// The name and encoding version packed into a module type's id: nine characters of six bits, then
/// ten bits of version.
pub fn module_type(id: u64) -> (String, u16) {
    const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let name = (0..9).map(|i| CHARS[(id >> (58 - 6 * i) & 63) as usize] as char).collect();
    (name, (id & 1023) as u16)
}
