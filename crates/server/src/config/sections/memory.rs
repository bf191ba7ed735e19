//! Owns the directives about memory: its limit, eviction, expiry, lazy freeing and defragmentation.

use super::super::directive::section;
use super::super::values::MaxmemoryPolicy;
use super::{I32_MAX, I64_MAX, U64_MAX};

section! {
    /// Memory: its limit, eviction, expiry, lazy freeing, defragmentation.
    Memory in memory {
        /// What the data may take; 0 is no limit. Leave room for the buffers of replicas.
        maxmemory_bytes: u64 = memory(0, U64_MAX), "maxmemory", "0" -> MaxMemory => "<bytes>";

        /// What goes when the limit is reached: keys with an expiry (volatile-*) or any keys
        /// (allkeys-*), by last use (lru), frequency (lfu), at random, or by nearest expiry (ttl);
        /// noeviction refuses writes instead.
        maxmemory_policy: MaxmemoryPolicy = choice(), "maxmemory-policy", "noeviction";

        /// How many keys are compared to find one to evict; more is nearer to the truth and slower.
        maxmemory_samples: u32 = int(1, I32_MAX), "maxmemory-samples", "5";

        /// How much time eviction may take: 0 little latency, 100 as long as it needs.
        maxmemory_eviction_tenacity: u32 = int(0, 100), "maxmemory-eviction-tenacity", "10";

        /// How slowly the frequency counter of LFU saturates.
        lfu_log_factor: u32 = int(0, I32_MAX), "lfu-log-factor", "10";

        /// Minutes after which the frequency counter of LFU loses one; 0 never ages it.
        lfu_decay_time_min: u32 = int(0, I32_MAX), "lfu-decay-time", "1";

        /// How much time goes into finding expired keys: 1 to 10.
        active_expire_effort: u32 = int(1, 10), "active-expire-effort", "1";

        /// Free evicted values in the background.
        lazyfree_lazy_eviction: bool = bool(), "lazyfree-lazy-eviction", "no", DEBUG;

        /// Free expired values in the background.
        lazyfree_lazy_expire: bool = bool(), "lazyfree-lazy-expire", "no", DEBUG;

        /// Free overwritten values (by RENAME, SET, ...) in the background.
        lazyfree_lazy_server_del: bool = bool(), "lazyfree-lazy-server-del", "no", DEBUG;

        /// Let DEL behave as UNLINK.
        lazyfree_lazy_user_del: bool = bool(), "lazyfree-lazy-user-del", "no", DEBUG;

        /// Let FLUSHALL, FLUSHDB and their like without ASYNC or SYNC behave as ASYNC.
        lazyfree_lazy_user_flush: bool = bool(), "lazyfree-lazy-user-flush", "no", DEBUG;

        /// Go on resizing the tables a little in every housekeeping round.
        activerehashing: bool = bool(), "activerehashing", "yes";

        /// How many keys are remembered for client-side caching; 0 is no limit.
        tracking_table_max_keys: u64 = int(0, I64_MAX), "tracking-table-max-keys", "1000000";

        /// Move what is left in sparse memory together while running, so that the rest can be given back.
        activedefrag: bool = bool(), "activedefrag", "no", DEBUG;

        /// Waste in bytes below which defragmentation does not start.
        active_defrag_ignore_bytes: u64 = memory(1, I64_MAX), "active-defrag-ignore-bytes", "100mb";

        /// Percentage of waste at which defragmentation starts.
        active_defrag_threshold_lower: u32 = int(0, 1000), "active-defrag-threshold-lower", "10";

        /// Percentage of waste at which defragmentation does its utmost.
        active_defrag_threshold_upper: u32 = int(0, 1000), "active-defrag-threshold-upper", "100";

        /// The least percentage of CPU that defragmentation takes.
        active_defrag_cycle_min: u32 = int(1, 99), "active-defrag-cycle-min", "1";

        /// The most percentage of CPU that defragmentation takes.
        active_defrag_cycle_max: u32 = int(1, 99), "active-defrag-cycle-max", "25";

        /// Microseconds that defragmentation takes at a time, at most about this many.
        active_defrag_cycle_us: u32 = int(1, 100_000), "active-defrag-cycle-us", "500";

        /// Collections with more elements than this are defragmented in steps.
        active_defrag_max_scan_fields: u64 = int(1, I64_MAX), "active-defrag-max-scan-fields", "1000";
    }
}
