//! Owns the directives about values, commands and what is measured of them.

use super::super::directive::section;
use super::super::values::SanitizeDumpPayload;
use super::{I32_MAX, I32_MIN, I64_MAX};

section! {
    /// Values and their encodings, commands, and what is measured of them.
    Data in data {
        /// A hash is a compact listpack up to so many fields, if hash-max-listpack-value allows it, too.
        hash_max_listpack_entries: u64 = int(0, I64_MAX), "hash-max-listpack-entries" | "hash-max-ziplist-entries", "512";

        /// A hash with a field or value longer than this is no listpack.
        hash_max_listpack_value_bytes: u64 = memory(0, I64_MAX), "hash-max-listpack-value" | "hash-max-ziplist-value", "64";

        /// The size of one node of a list: -1 to -5 for 4, 8, 16, 32 or 64 kb, a positive number for
        /// so many elements.
        list_max_listpack_size: i32 = int(I32_MIN, I32_MAX), "list-max-listpack-size" | "list-max-ziplist-size", "-2";

        /// How many nodes at either end of a list stay uncompressed; 0 compresses none.
        list_compress_depth: u32 = int(0, I32_MAX), "list-compress-depth", "0", DEBUG, NO_EFFECT("nodes of lists are never compressed");

        /// A set of integers is a compact array up to so many elements.
        set_max_intset_entries: u64 = int(0, I64_MAX), "set-max-intset-entries", "512";

        /// A set of other elements is a compact listpack up to so many of them, if
        /// set-max-listpack-value allows it, too.
        set_max_listpack_entries: u64 = int(0, I64_MAX), "set-max-listpack-entries", "128";

        /// A set with an element longer than this is no listpack.
        set_max_listpack_value_bytes: u64 = memory(0, I64_MAX), "set-max-listpack-value", "64";

        /// A sorted set is a compact listpack up to so many elements, if zset-max-listpack-value
        /// allows it, too.
        zset_max_listpack_entries: u64 = int(0, I64_MAX), "zset-max-listpack-entries" | "zset-max-ziplist-entries", "128";

        /// A sorted set with an element longer than this is no listpack.
        zset_max_listpack_value_bytes: u64 = memory(0, I64_MAX), "zset-max-listpack-value" | "zset-max-ziplist-value", "64";

        /// A HyperLogLog is stored sparsely up to this size.
        hll_sparse_max_bytes: u64 = memory(0, I64_MAX), "hll-sparse-max-bytes", "3000";

        /// The largest node of a stream in bytes; 0 is no limit.
        stream_node_max_bytes: u64 = memory(0, I64_MAX), "stream-node-max-bytes", "4096";

        /// The most entries of such a node; 0 is no limit.
        stream_node_max_entries: u64 = int(0, I64_MAX), "stream-node-max-entries", "100";

        /// Which events of keys are published to subscribers: K keyspace and E keyevent channels,
        /// g generic, $ string, l list, s set, h hash, z sorted set, x expired, e evicted, t stream,
        /// d module, m missed and n new keys; A is all of g$lshzxetd.
        notify_keyspace_events: String = special(keyspace_events), "notify-keyspace-events", "";

        /// Log commands that run longer than so many microseconds; 0 logs all, -1 none.
        slowlog_log_slower_than_us: i64 = int(-1, I64_MAX), "slowlog-log-slower-than" | "commandlog-execution-slower-than", "10000";

        /// How many entries the slow log keeps.
        slowlog_max_len: u64 = int(0, I64_MAX), "slowlog-max-len" | "commandlog-slow-execution-max-len", "128";

        /// Log commands of at least so many bytes (COMMANDLOG); 0 logs all, -1 none.
        commandlog_request_larger_than_bytes: i64 = int(-1, I64_MAX), "commandlog-request-larger-than", "1048576";

        /// How many entries that log keeps.
        commandlog_large_request_max_len: u64 = int(0, I64_MAX), "commandlog-large-request-max-len", "128";

        /// Log commands that are answered by at least so many bytes (COMMANDLOG); 0 logs all, -1 none.
        commandlog_reply_larger_than_bytes: i64 = int(-1, I64_MAX), "commandlog-reply-larger-than", "1048576";

        /// How many entries that log keeps.
        commandlog_large_reply_max_len: u64 = int(0, I64_MAX), "commandlog-large-reply-max-len", "128";

        /// Record events that take at least so many milliseconds for LATENCY; 0 records none.
        latency_monitor_threshold_ms: u64 = int(0, I64_MAX), "latency-monitor-threshold", "0";

        /// Keep a histogram of each command's run time.
        latency_tracking: bool = bool(), "latency-tracking", "yes";

        /// The percentiles of those histograms that INFO latencystats shows.
        latency_tracking_info_percentiles: Vec<f64> = special(percentiles),
            "latency-tracking-info-percentiles", "50 99 99.9", MULTI_ARG;

        /// Milliseconds that a script may run before other clients are told BUSY; 0 is no limit.
        busy_reply_threshold_ms: u64 = int(0, I64_MAX), "busy-reply-threshold" | "lua-time-limit", "5000";

        /// Check the inner structure of values given to RESTORE or found in a snapshot: no, yes, or
        /// clients (not for the master and local files).
        sanitize_dump_payload: SanitizeDumpPayload = choice(), "sanitize-dump-payload", "no", DEBUG, NO_EFFECT("payloads are always checked");
    }
}
