//! The settings that decide which encoding a value has. Owns their defaults and their meaning as
//! sizes; must not parse configuration text.

use crate::seed::HashSeed;

/// Thresholds between the packed and the full encodings, named as the directives of redis.conf,
/// and the key of the hash tables that the full ones have.
///
/// Every operation that may convert a value takes them by reference, so that a `CONFIG SET` takes
/// effect with the next write, and existing values keep the encoding they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub hash_max_listpack_entries: usize,
    pub hash_max_listpack_value: usize,
    /// Positive: elements in a list node. Negative: size class of a node, -1 (4 KiB) to -5 (64 KiB).
    pub list_max_listpack_size: i32,
    /// Accepted and kept; nodes are never compressed in memory.
    pub list_compress_depth: u32,
    pub set_max_intset_entries: usize,
    pub set_max_listpack_entries: usize,
    pub set_max_listpack_value: usize,
    pub zset_max_listpack_entries: usize,
    pub zset_max_listpack_value: usize,
    /// Of a stream's node; 0 is no limit.
    pub stream_node_max_bytes: usize,
    /// Of a stream's node, deleted entries included; 0 is no limit.
    pub stream_node_max_entries: usize,
    /// A HyperLogLog that would be longer becomes dense.
    pub hll_sparse_max_bytes: usize,
    /// Must be the process's own secret wherever clients choose the keys.
    pub hash_seed: HashSeed,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            list_max_listpack_size: -2,
            list_compress_depth: 0,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            hll_sparse_max_bytes: 3000,
            hash_seed: HashSeed::new(0, 0),
        }
    }
}

/// The longest key, and the longest member of a sorted set: their lengths are kept in 32 bits. Whoever
/// takes names from outside asks [`fits`] first; the types themselves assert.
pub const MAX_NAME_BYTES: u64 = u32::MAX as u64;

/// Whether a key or a member may have so many bytes.
#[inline]
pub fn fits(name_bytes: u64) -> bool {
    name_bytes <= MAX_NAME_BYTES
}

/// No list node grows beyond this by element count alone.
pub const LIST_NODE_SAFETY_BYTES: usize = 8192;

/// What one list node may hold; `usize::MAX` where that side does not limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimit {
    pub bytes: usize,
    pub count: usize,
}

impl NodeLimit {
    /// Whether a node of `bytes` and `count` elements would be too much.
    pub fn exceeded_by(self, bytes: usize, count: usize) -> bool {
        if self.is_by_size() {
            bytes > self.bytes
        } else {
            bytes > LIST_NODE_SAFETY_BYTES || count > self.count
        }
    }

    /// Whether it is bytes that count, and not elements.
    pub fn is_by_size(self) -> bool {
        self.bytes != usize::MAX
    }

    /// Elements of more than this many bytes get a node of their own.
    pub fn large_element_bytes(self) -> usize {
        if self.is_by_size() { self.bytes } else { LIST_NODE_SAFETY_BYTES }
    }
}

impl Limits {
    pub fn list_node(&self) -> NodeLimit {
        match self.list_max_listpack_size {
            0 => NodeLimit { bytes: usize::MAX, count: 1 },
            fill @ 1.. => NodeLimit { bytes: usize::MAX, count: fill as usize },
            fill => {
                // Classes beyond the last one mean the last one, as in Redis.
                let class = fill.unsigned_abs().min(5);
                NodeLimit { bytes: 2048 << class, count: usize::MAX }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_size_classes_are_4_to_64_kib() {
        let bytes =
            |fill| Limits { list_max_listpack_size: fill, ..Limits::default() }.list_node().bytes;
        assert_eq!([-1, -2, -3, -4, -5, -9].map(bytes), [4096, 8192, 16384, 32768, 65536, 65536]);
        assert_eq!(bytes(128), usize::MAX);
    }
}
