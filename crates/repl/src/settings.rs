//! Owns the settings of replication, with Redis's names and defaults. Must not parse configuration.

/// `repl-diskless-load`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisklessLoad {
    #[default]
    Disabled,
    OnEmptyDb,
    SwapDb,
}

/// What the configuration says about replication. Defaults are Redis 7.2's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplSettings {
    pub repl_backlog_size_bytes: u64,
    /// 0 keeps the backlog for ever.
    pub repl_backlog_ttl_secs: u64,
    pub repl_timeout_secs: u64,
    pub repl_ping_replica_period_secs: u64,
    pub repl_diskless_sync: bool,
    pub repl_diskless_sync_delay_secs: u64,
    /// 0 means no limit: wait the whole delay.
    pub repl_diskless_sync_max_replicas: u64,
    pub repl_diskless_load: DisklessLoad,
    pub master_user: Option<String>,
    pub master_auth: Option<Vec<u8>>,
    /// `tls-replication`.
    pub is_encrypted: bool,
    /// What `REPLCONF listening-port` announces: `replica-announce-port`, or the listening port.
    pub announce_port: u16,
    /// `replica-announce-ip`.
    pub announce_ip: Option<String>,
    pub min_replicas_to_write: u64,
    pub min_replicas_max_lag_secs: u64,
    /// Whether `save` points are configured: then a disk snapshot is worth finishing without a replica.
    pub has_save_points: bool,
}

impl Default for ReplSettings {
    fn default() -> Self {
        Self {
            repl_backlog_size_bytes: 1024 * 1024,
            repl_backlog_ttl_secs: 3600,
            repl_timeout_secs: 60,
            repl_ping_replica_period_secs: 10,
            repl_diskless_sync: true,
            repl_diskless_sync_delay_secs: 5,
            repl_diskless_sync_max_replicas: 0,
            repl_diskless_load: DisklessLoad::Disabled,
            master_user: None,
            master_auth: None,
            is_encrypted: false,
            announce_port: 6379,
            announce_ip: None,
            min_replicas_to_write: 0,
            min_replicas_max_lag_secs: 10,
            has_save_points: true,
        }
    }
}
