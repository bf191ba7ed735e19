//! Owns the settings that the engine itself reads while it runs commands.
//!
//! The directive table of `server` fills this struct; the engine never parses a directive.

use store::Limits;

/// What to evict when `maxmemory` is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxmemoryPolicy {
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    #[default]
    Noeviction,
}

impl MaxmemoryPolicy {
    /// LFU policies give the entry's 24-bit clock another meaning.
    pub fn is_lfu(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllkeysLfu)
    }

    pub fn is_lru(self) -> bool {
        matches!(self, Self::VolatileLru | Self::AllkeysLru)
    }
}

/// How much of its output a client may leave unread, by class; 0 for no limit. Who is above it will be
/// closed, and no command need go on for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal_bytes: u64,
    pub replica_bytes: u64,
    pub pubsub_bytes: u64,
}

impl OutputLimits {
    pub(crate) fn of_subscribers(&self) -> usize {
        in_bytes(self.pubsub_bytes)
    }
}

/// A limit as a count of bytes: none is more than there can be.
pub(crate) fn in_bytes(limit: u64) -> usize {
    match limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

/// Who may run the commands guarded by `enable-debug-command` and `enable-module-command`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    #[default]
    No,
    Local,
    Yes,
}

/// The engine's own settings, as Redis 7.2 names and defaults them.
#[derive(Clone, Debug)]
pub struct Settings {
    pub databases: usize,
    /// Thresholds of the compact encodings.
    pub limits: Limits,
    /// The default user's password, empty when none is set (`requirepass`).
    pub requirepass: Vec<u8>,
    /// Bytes, 0 for no limit.
    pub maxmemory_bytes: u64,
    pub maxmemory_policy: MaxmemoryPolicy,
    pub maxmemory_samples: u32,
    pub maxmemory_eviction_tenacity: u32,
    pub replica_ignore_maxmemory: bool,
    pub output_limits: OutputLimits,
    pub lfu_log_factor: u32,
    pub lfu_decay_time_min: u32,
    pub lazyfree_lazy_eviction: bool,
    pub lazyfree_lazy_expire: bool,
    pub lazyfree_lazy_server_del: bool,
    pub lazyfree_lazy_user_del: bool,
    pub lazyfree_lazy_user_flush: bool,
    pub replica_serve_stale_data: bool,
    pub replica_read_only: bool,
    pub min_replicas_to_write: u32,
    pub min_replicas_max_lag_s: u32,
    pub stop_writes_on_bgsave_error: bool,
    pub enable_debug_command: Guard,
    pub enable_module_command: Guard,
    /// The classes of `notify-keyspace-events`, parsed by [`crate::events::notify::Classes`].
    pub notify_keyspace_events: crate::events::notify::Classes,
    /// Microseconds; negative turns the slow log off.
    pub slowlog_log_slower_than_us: i64,
    pub slowlog_max_len: usize,
    /// Bytes of a command, and of what it is answered, from which on it is logged; negative turns that off.
    pub commandlog_request_larger_than_bytes: i64,
    pub commandlog_large_request_max_len: usize,
    pub commandlog_reply_larger_than_bytes: i64,
    pub commandlog_large_reply_max_len: usize,
    pub latency_monitor_threshold_ms: u64,
    /// Whether the latencies of commands are kept, and which of them INFO latencystats tells.
    pub latency_tracking: bool,
    pub latency_tracking_info_percentiles: Vec<f64>,
    pub active_expire_effort: u32,
    pub activerehashing: bool,
    pub hz: u32,
    pub proto_max_bulk_len: u64,
    pub maxclients: u32,
    pub appendonly: bool,
    pub tracking_table_max_keys: u64,
    pub acllog_max_len: usize,
    /// New users and selectors may use all channels (`acl-pubsub-default`).
    pub acl_all_channels: bool,
    pub busy_reply_threshold_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            databases: 16,
            limits: Limits::default(),
            requirepass: Vec::new(),
            maxmemory_bytes: 0,
            maxmemory_policy: MaxmemoryPolicy::Noeviction,
            maxmemory_samples: 5,
            maxmemory_eviction_tenacity: 10,
            replica_ignore_maxmemory: true,
            output_limits: OutputLimits::default(),
            lfu_log_factor: 10,
            lfu_decay_time_min: 1,
            lazyfree_lazy_eviction: false,
            lazyfree_lazy_expire: false,
            lazyfree_lazy_server_del: false,
            lazyfree_lazy_user_del: false,
            lazyfree_lazy_user_flush: false,
            replica_serve_stale_data: true,
            replica_read_only: true,
            min_replicas_to_write: 0,
            min_replicas_max_lag_s: 10,
            stop_writes_on_bgsave_error: true,
            enable_debug_command: Guard::No,
            enable_module_command: Guard::No,
            notify_keyspace_events: crate::events::notify::Classes::default(),
            slowlog_log_slower_than_us: 10_000,
            slowlog_max_len: 128,
            commandlog_request_larger_than_bytes: 1 << 20,
            commandlog_large_request_max_len: 128,
            commandlog_reply_larger_than_bytes: 1 << 20,
            commandlog_large_reply_max_len: 128,
            latency_monitor_threshold_ms: 0,
            latency_tracking: true,
            latency_tracking_info_percentiles: vec![50.0, 99.0, 99.9],
            active_expire_effort: 1,
            activerehashing: true,
            hz: 10,
            proto_max_bulk_len: 512 * 1024 * 1024,
            maxclients: 10_000,
            appendonly: false,
            tracking_table_max_keys: 1_000_000,
            acllog_max_len: 128,
            acl_all_channels: false,
            busy_reply_threshold_ms: 5_000,
        }
    }
}
