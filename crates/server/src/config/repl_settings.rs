//! The settings of replication, out of the configuration.

use repl::ReplSettings;

use crate::config::table::Config;

/// The settings of replication, out of the configuration.
pub fn repl_settings(config: &Config) -> ReplSettings {
    let replication = &config.replication;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ReplSettings {
        repl_backlog_size_bytes: replication.repl_backlog_size_bytes,
        repl_backlog_ttl_secs: replication.repl_backlog_ttl_s,
        repl_timeout_secs: replication.repl_timeout_s.into(),
        repl_ping_replica_period_secs: replication.repl_ping_replica_period_s.into(),
        repl_diskless_sync: replication.repl_diskless_sync,
        repl_diskless_sync_delay_secs: replication.repl_diskless_sync_delay_s.into(),
        repl_diskless_sync_max_replicas: replication.repl_diskless_sync_max_replicas.into(),
        repl_diskless_load: match replication.repl_diskless_load {
            crate::config::values::DisklessLoad::Disabled => repl::DisklessLoad::Disabled,
            crate::config::values::DisklessLoad::OnEmptyDb => repl::DisklessLoad::OnEmptyDb,
            crate::config::values::DisklessLoad::Swapdb => repl::DisklessLoad::SwapDb,
        },
        master_user: (!replication.masteruser.is_empty()).then(|| text(&replication.masteruser)),
        master_auth: (!replication.masterauth.is_empty()).then(|| replication.masterauth.clone()),
        is_encrypted: config.tls.tls_replication,
        announce_port: match replication.replica_announce_port {
            0 if config.tls.tls_replication && config.tls.tls_port != 0 => config.tls.tls_port,
            0 => config.network.port,
            port => port,
        },
        announce_ip: (!replication.replica_announce_ip.is_empty())
            .then(|| replication.replica_announce_ip.clone()),
        min_replicas_to_write: replication.min_replicas_to_write.into(),
        min_replicas_max_lag_secs: replication.min_replicas_max_lag_s.into(),
        has_save_points: !config.persistence.save.is_empty(),
    }
}
