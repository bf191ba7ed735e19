//! The engine's share of the configuration, in the engine's words.

use engine::Settings;
use engine::notify::Classes;
use engine::settings::{Guard, MaxmemoryPolicy, OutputLimits};
use store::Limits;
use store::seed::HashSeed;

use super::special::BufferLimits;
use super::table::Config;
use super::values::ProtectedAction;

/// The engine's share of the configuration.
pub fn engine_settings(config: &Config, hash_seed: HashSeed) -> Settings {
    let (memory, data, replication) = (&config.memory, &config.data, &config.replication);
    Settings {
        databases: config.general.databases as usize,
        limits: limits(config, hash_seed),
        requirepass: config.security.requirepass.clone(),
        maxmemory_bytes: memory.maxmemory_bytes,
        maxmemory_policy: policy(memory.maxmemory_policy),
        maxmemory_samples: memory.maxmemory_samples,
        maxmemory_eviction_tenacity: memory.maxmemory_eviction_tenacity,
        replica_ignore_maxmemory: replication.replica_ignore_maxmemory,
        output_limits: output_limits(&config.network.client_output_buffer_limit),
        lfu_log_factor: memory.lfu_log_factor,
        lfu_decay_time_min: memory.lfu_decay_time_min,
        lazyfree_lazy_eviction: memory.lazyfree_lazy_eviction,
        lazyfree_lazy_expire: memory.lazyfree_lazy_expire,
        lazyfree_lazy_server_del: memory.lazyfree_lazy_server_del,
        lazyfree_lazy_user_del: memory.lazyfree_lazy_user_del,
        lazyfree_lazy_user_flush: memory.lazyfree_lazy_user_flush,
        replica_serve_stale_data: replication.replica_serve_stale_data,
        replica_read_only: replication.replica_read_only,
        min_replicas_to_write: replication.min_replicas_to_write,
        min_replicas_max_lag_s: replication.min_replicas_max_lag_s,
        stop_writes_on_bgsave_error: config.persistence.stop_writes_on_bgsave_error,
        enable_debug_command: guard(config.security.enable_debug_command),
        enable_module_command: guard(config.security.enable_module_command),
        notify_keyspace_events: Classes::parse(data.notify_keyspace_events.as_bytes())
            .unwrap_or_default(),
        slowlog_log_slower_than_us: data.slowlog_log_slower_than_us,
        slowlog_max_len: data.slowlog_max_len as usize,
        latency_monitor_threshold_ms: data.latency_monitor_threshold_ms,
        latency_tracking: data.latency_tracking,
        latency_tracking_info_percentiles: data.latency_tracking_info_percentiles.clone(),
        active_expire_effort: memory.active_expire_effort,
        activerehashing: memory.activerehashing,
        hz: config.general.hz,
        proto_max_bulk_len: config.network.proto_max_bulk_len_bytes,
        maxclients: config.network.maxclients,
        appendonly: config.persistence.appendonly,
        tracking_table_max_keys: memory.tracking_table_max_keys,
        acllog_max_len: config.security.acllog_max_len as usize,
        busy_reply_threshold_ms: data.busy_reply_threshold_ms,
    }
}

fn output_limits(limits: &BufferLimits) -> OutputLimits {
    OutputLimits {
        normal_bytes: limits.normal.hard_bytes,
        replica_bytes: limits.replica.hard_bytes,
        pubsub_bytes: limits.pubsub.hard_bytes,
    }
}

pub fn limits(config: &Config, hash_seed: HashSeed) -> Limits {
    let data = &config.data;
    Limits {
        hash_max_listpack_entries: data.hash_max_listpack_entries as usize,
        hash_max_listpack_value: data.hash_max_listpack_value_bytes as usize,
        list_max_listpack_size: data.list_max_listpack_size,
        list_compress_depth: data.list_compress_depth,
        set_max_intset_entries: data.set_max_intset_entries as usize,
        set_max_listpack_entries: data.set_max_listpack_entries as usize,
        set_max_listpack_value: data.set_max_listpack_value_bytes as usize,
        zset_max_listpack_entries: data.zset_max_listpack_entries as usize,
        zset_max_listpack_value: data.zset_max_listpack_value_bytes as usize,
        hll_sparse_max_bytes: data.hll_sparse_max_bytes as usize,
        hash_seed,
    }
}

fn policy(policy: super::values::MaxmemoryPolicy) -> MaxmemoryPolicy {
    use super::values::MaxmemoryPolicy as From;
    match policy {
        From::VolatileLru => MaxmemoryPolicy::VolatileLru,
        From::VolatileLfu => MaxmemoryPolicy::VolatileLfu,
        From::VolatileRandom => MaxmemoryPolicy::VolatileRandom,
        From::VolatileTtl => MaxmemoryPolicy::VolatileTtl,
        From::AllkeysLru => MaxmemoryPolicy::AllkeysLru,
        From::AllkeysLfu => MaxmemoryPolicy::AllkeysLfu,
        From::AllkeysRandom => MaxmemoryPolicy::AllkeysRandom,
        From::Noeviction => MaxmemoryPolicy::Noeviction,
    }
}

fn guard(action: ProtectedAction) -> Guard {
    match action {
        ProtectedAction::No => Guard::No,
        ProtectedAction::Local => Guard::Local,
        ProtectedAction::Yes => Guard::Yes,
    }
}
