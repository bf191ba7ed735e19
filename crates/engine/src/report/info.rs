//! Owns INFO: which sections there are, which fields in which order, and what the engine itself
//! knows of them. What the process knows comes from the world by the fields' names.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::Engine;
use crate::clients::client::{Client, Kind};
use crate::clients::line::memory_of;
use crate::command;
use crate::world::{EngineMemory, ReplicationInfo, World};

/// Every section in INFO's order: its word, its heading, and whether INFO alone shows it.
const SECTIONS: [(&str, &str, bool); 14] = [
    ("server", "Server", true),
    ("clients", "Clients", true),
    ("memory", "Memory", true),
    ("persistence", "Persistence", true),
    ("stats", "Stats", true),
    ("replication", "Replication", true),
    ("cpu", "CPU", true),
    ("modules", "Modules", true),
    ("commandstats", "Commandstats", false),
    ("errorstats", "Errorstats", true),
    ("latencystats", "Latencystats", false),
    ("cluster", "Cluster", true),
    ("keyspace", "Keyspace", true),
    ("debug", "Debug", false),
];

const CLIENT_FIELDS: [&str; 13] = [
    "connected_clients",
    "cluster_connections",
    "maxclients",
    "client_recent_max_input_buffer",
    "client_recent_max_output_buffer",
    "blocked_clients",
    "tracking_clients",
    "pubsub_clients",
    "watching_clients",
    "clients_in_timeout_table",
    "total_watched_keys",
    "total_blocking_keys",
    "total_blocking_keys_on_nokey",
];

const STAT_FIELDS: [&str; 66] = [
    "total_connections_received",
    "total_commands_processed",
    "instantaneous_ops_per_sec",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "total_net_repl_input_bytes",
    "total_net_repl_output_bytes",
    "instantaneous_input_kbps",
    "instantaneous_output_kbps",
    "instantaneous_input_repl_kbps",
    "instantaneous_output_repl_kbps",
    "rejected_connections",
    "sync_full",
    "sync_partial_ok",
    "sync_partial_err",
    "expired_subkeys",
    "expired_keys",
    "expired_stale_perc",
    "expired_time_cap_reached_count",
    "expire_cycle_cpu_milliseconds",
    "evicted_keys",
    "evicted_clients",
    "evicted_scripts",
    "total_eviction_exceeded_time",
    "current_eviction_exceeded_time",
    "keyspace_hits",
    "keyspace_misses",
    "pubsub_channels",
    "pubsub_patterns",
    "pubsubshard_channels",
    "latest_fork_usec",
    "total_forks",
    "migrate_cached_sockets",
    "slave_expires_tracked_keys",
    "active_defrag_hits",
    "active_defrag_misses",
    "active_defrag_key_hits",
    "active_defrag_key_misses",
    "total_active_defrag_time",
    "current_active_defrag_time",
    "tracking_total_keys",
    "tracking_total_items",
    "tracking_total_prefixes",
    "unexpected_error_replies",
    "total_error_replies",
    "dump_payload_sanitizations",
    "total_reads_processed",
    "total_writes_processed",
    "io_threaded_reads_processed",
    "io_threaded_writes_processed",
    "io_threaded_total_prefetch_batches",
    "io_threaded_total_prefetch_entries",
    "client_query_buffer_limit_disconnections",
    "client_output_buffer_limit_disconnections",
    "reply_buffer_shrinks",
    "reply_buffer_expands",
    "eventloop_cycles",
    "eventloop_duration_sum",
    "eventloop_duration_cmd_sum",
    "instantaneous_eventloop_cycles_per_sec",
    "instantaneous_eventloop_duration_usec",
    "acl_access_denied_auth",
    "acl_access_denied_cmd",
    "acl_access_denied_key",
    "acl_access_denied_channel",
    "tls_handshake_errors",
];

impl Engine {
    /// INFO's text for the sections asked for; none is what INFO alone shows.
    /// `own` is the client whose command runs, if one does.
    pub fn info(&self, world: &dyn World, own: Option<&Client>, wanted: &[&[u8]]) -> String {
        let asks = |word: &str| wanted.iter().any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
        let all = asks("all") || asks("everything");
        let default = wanted.is_empty() || asks("default");
        let mut text = String::new();
        for (word, heading, by_default) in SECTIONS {
            // Nobody means it who does not name it.
            let is_hidden = word == "debug";
            if !(all && word != "modules" && !is_hidden
                || default && by_default
                || asks(word)
                || asks("everything") && !is_hidden)
            {
                continue;
            }
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let _ = write!(text, "# {heading}\r\n");
            self.section(world, own, word, &mut text);
        }
        text
    }

    fn section(&self, world: &dyn World, own: Option<&Client>, word: &str, text: &mut String) {
        match word {
            "memory" => {
                let lines = world.memory_info(self.memory(world, own));
                lines.iter().for_each(|(name, value)| line(text, name, value));
            }
            "clients" => self.mixed(world, own, word, &CLIENT_FIELDS, text),
            "stats" => self.mixed(world, own, word, &STAT_FIELDS, text),
            "replication" => {
                let wanted = self.settings.min_replicas_to_write > 0
                    && self.settings.min_replicas_max_lag_s > 0;
                replication(&world.replication(), wanted, text);
            }
            "commandstats" => self.command_stats(text),
            "errorstats" => self.error_stats(text),
            "latencystats" => self.latency_stats(text),
            "cluster" => line(text, "cluster_enabled", 0),
            "keyspace" => self.keyspace_lines(text),
            "modules" => {}
            _ => world.info(word).iter().for_each(|(name, value)| line(text, name, value)),
        }
    }

    /// The engine's part of the memory.
    pub(crate) fn memory(&self, world: &dyn World, own: Option<&Client>) -> EngineMemory {
        let clients = self.clients().chain(own).filter(|client| client.kind != Kind::Replica);
        let clients_bytes = clients.map(|client| memory_of(self, world, client) as u64).sum();
        let tables = (0..self.keyspace.len()).map(|db| {
            let (entries, expires) = self.keyspace.db(db).overhead_bytes();
            (entries + expires) as u64
        });
        let left = (0..self.keyspace.len()).map(|db| self.keyspace.db(db).rehashing().1 as u64);
        EngineMemory {
            clients_bytes,
            tables_bytes: tables.sum(),
            rehashing_bytes: left.sum(),
            scripts: self.script_memory(),
        }
    }

    /// Fields in Redis's order, from whoever knows them; what does not exist here is a true zero.
    fn mixed(
        &self,
        world: &dyn World,
        own: Option<&Client>,
        word: &str,
        fields: &[&str],
        text: &mut String,
    ) {
        let theirs = world.info(word);
        for &field in fields {
            match (self.own_field(own, field), theirs.iter().find(|(name, _)| *name == field)) {
                (Some(value), _) => line(text, field, value),
                (None, Some((_, value))) => line(text, field, value),
                (None, None) => line(text, field, 0),
            }
        }
    }

    fn own_field(&self, own: Option<&Client>, field: &str) -> Option<String> {
        let stats = &self.stats;
        let count = |has: fn(&Client) -> bool| self.clients().chain(own).filter(|c| has(c)).count();
        let value = match field {
            "maxclients" => self.settings.maxclients.to_string(),
            "blocked_clients" => self.blocked.count().to_string(),
            "tracking_clients" => self.tracking.clients().to_string(),
            "tracking_total_keys" => self.tracking.keys().to_string(),
            "tracking_total_items" => self.tracking.items().to_string(),
            "tracking_total_prefixes" => self.tracking.prefixes().to_string(),
            "pubsub_clients" => count(|client| !client.subscriptions.is_empty()).to_string(),
            "watching_clients" => count(|client| !client.watched.is_empty()).to_string(),
            "total_watched_keys" => self.watched_keys(own).to_string(),
            "clients_in_timeout_table" => self.blocked.timeouts().to_string(),
            "total_blocking_keys" => self.blocked.keys().to_string(),
            "total_blocking_keys_on_nokey" => self.blocked.keys_or_gone().to_string(),
            "total_commands_processed" => stats.total_commands.to_string(),
            "instantaneous_ops_per_sec" => stats.ops_per_sec.per_second().to_string(),
            "expired_subkeys" => stats.expired_fields.to_string(),
            "expired_keys" => stats.expired_keys.to_string(),
            "expired_stale_perc" => format!("{:.2}", stats.expired_stale_perc),
            "expired_time_cap_reached_count" => stats.expired_time_cap_reached.to_string(),
            "expire_cycle_cpu_milliseconds" => (stats.expire_cycle_cpu_us / 1000).to_string(),
            "evicted_keys" => stats.evicted_keys.to_string(),
            "evicted_scripts" => self.scripts.cache.evicted.to_string(),
            "slave_expires_tracked_keys" => self.local_expires.len().to_string(),
            "keyspace_hits" => stats.keyspace_hits.to_string(),
            "keyspace_misses" => stats.keyspace_misses.to_string(),
            "pubsub_channels" => self.pubsub.channels.len().to_string(),
            "pubsub_patterns" => self.pubsub.patterns.len().to_string(),
            "pubsubshard_channels" => self.pubsub.shard_channels.len().to_string(),
            "dump_payload_sanitizations" => stats.dump_payload_sanitizations.to_string(),
            "eventloop_duration_cmd_sum" => stats.total_command_us.to_string(),
            "acl_access_denied_auth" => stats.access_denied_auth.to_string(),
            "acl_access_denied_cmd" => stats.access_denied_cmd.to_string(),
            "acl_access_denied_key" => stats.access_denied_key.to_string(),
            "acl_access_denied_channel" => stats.access_denied_channel.to_string(),
            "unexpected_error_replies" => stats.unexpected_error_replies.to_string(),
            "total_error_replies" => stats.total_error_replies.to_string(),
            _ => return None,
        };
        Some(value)
    }

    /// Keys that somebody watches, each once.
    fn watched_keys(&self, own: Option<&Client>) -> usize {
        let keys = self.clients().chain(own).flat_map(|client| &client.watched);
        keys.collect::<BTreeSet<_>>().len()
    }

    fn command_stats(&self, text: &mut String) {
        for (row, name) in self.stats.commands.iter().zip(command::stat_names()) {
            if row.calls + row.rejected_calls + row.failed_calls == 0 {
                continue;
            }
            let per_call = if row.calls == 0 { 0.0 } else { row.usec as f64 / row.calls as f64 };
            let _ = write!(
                text,
                "cmdstat_{name}:calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}\r\n",
                row.calls, row.usec, row.rejected_calls, row.failed_calls
            );
        }
    }

    fn error_stats(&self, text: &mut String) {
        for (code, count) in &self.stats.errors {
            let _ = write!(text, "errorstat_{code}:count={count}\r\n");
        }
    }

    fn latency_stats(&self, text: &mut String) {
        if !self.settings.latency_tracking {
            return;
        }
        let percentiles = &self.settings.latency_tracking_info_percentiles;
        for (histogram, name) in self.stats.histograms.iter().zip(command::stat_names()) {
            let Some(histogram) = histogram else { continue };
            let fields: Vec<String> = percentiles
                .iter()
                .map(|percent| format!("p{percent}={:.3}", histogram.percentile(*percent) as f64))
                .collect();
            let _ = write!(text, "latency_percentiles_usec_{name}:{}\r\n", fields.join(","));
        }
    }

    fn keyspace_lines(&self, text: &mut String) {
        for index in 0..self.keyspace.len() {
            let db = self.keyspace.db(index);
            if db.is_empty() {
                continue;
            }
            let _ = write!(
                text,
                "db{index}:keys={},expires={},avg_ttl={}",
                db.len(),
                db.expires_len(),
                self.expire.avg_ttl_ms(index)
            );
            // Redis 8 always says it; what reads INFO of 7.2 may count the figures.
            if db.field_expires_len() > 0 {
                let _ = write!(text, ",subexpiry={}", db.field_expires_len());
            }
            text.push_str("\r\n");
        }
    }
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = write!(text, "{name}:{value}\r\n");
}

/// The section in the order in which operators' scripts read it.
fn replication(info: &ReplicationInfo, replicas_are_wanted: bool, text: &mut String) {
    line(text, "role", if info.master.is_some() { "slave" } else { "master" });
    if let Some(master) = &info.master {
        line(text, "master_host", &master.host);
        line(text, "master_port", master.port);
        line(text, "master_link_status", if master.up { "up" } else { "down" });
        line(text, "master_last_io_seconds_ago", master.last_io_seconds_ago);
        line(text, "master_sync_in_progress", master.sync_in_progress as u8);
        line(text, "slave_read_repl_offset", master.read_offset);
        line(text, "slave_repl_offset", master.offset);
        if master.sync_in_progress {
            sync_progress(master, text);
        }
        if !master.up {
            line(text, "master_link_down_since_seconds", master.down_since_seconds);
            if let Some((command, why)) = &master.stopped_before {
                line(text, "master_link_stopped_before", command);
                line(text, "master_link_error", why);
                if let Some(seconds) = master.retry_in_seconds {
                    line(text, "master_link_retry_in_seconds", seconds);
                }
            } else if let Some(why) = &master.failure {
                line(text, "master_link_error", why);
            }
        }
        line(text, "slave_priority", master.priority);
        line(text, "slave_read_only", master.read_only as u8);
        line(text, "replica_announced", master.announced as u8);
    }
    line(text, "connected_slaves", info.replicas.len());
    if replicas_are_wanted {
        line(text, "min_slaves_good_slaves", info.good_replicas);
    }
    for (at, replica) in info.replicas.iter().enumerate() {
        let _ = write!(
            text,
            "slave{at}:ip={},port={},state={},offset={},lag={}\r\n",
            replica.ip, replica.port, replica.state, replica.offset, replica.lag_s
        );
    }
    // Figures of running syncs have lines of their own: clients parse those of Redis strictly.
    for (at, replica) in info.replicas.iter().enumerate() {
        if let Some(figures) = &replica.sync {
            line(text, &format!("sync_to_slave{at}"), figures);
        }
    }
    if let Some(figures) = &info.snapshot {
        line(text, "snapshot_for_slaves", figures);
    }
    line(text, "master_failover_state", info.failover_state);
    line(text, "master_replid", &info.replid);
    line(text, "master_replid2", &info.replid2);
    line(text, "master_repl_offset", info.offset);
    line(text, "second_repl_offset", info.second_offset);
    line(text, "repl_backlog_active", info.backlog_active as u8);
    line(text, "repl_backlog_size", info.backlog_size_bytes);
    line(text, "repl_backlog_first_byte_offset", info.backlog_first_byte_offset);
    line(text, "repl_backlog_histlen", info.backlog_histlen);
}

fn sync_progress(master: &crate::world::MasterLinkInfo, text: &mut String) {
    let (total, read) = (master.sync_total_bytes, master.sync_read_bytes);
    line(text, "master_sync_total_bytes", total);
    line(text, "master_sync_read_bytes", read);
    // With a stream of unknown length nothing is known to be left.
    let left = total as i64 - read as i64;
    line(text, "master_sync_left_bytes", if total == 0 { 0 } else { left });
    let hundredths = master.sync_perc_hundredths;
    let percent = format_args!("{}.{:02}", hundredths / 100, hundredths % 100);
    line(text, "master_sync_perc", percent);
    line(text, "master_sync_last_io_seconds_ago", master.sync_last_io_seconds_ago);
    line(text, "master_sync_bytes_per_second", master.sync_bytes_per_second);
    if let Some(seconds) = master.sync_seconds_left {
        line(text, "master_sync_seconds_left", seconds);
    }
    // The percentage and the time left above are of this estimate then.
    if let Some(estimate) = master.sync_estimate {
        line(text, "master_sync_estimated_total_bytes", estimate.total_bytes);
        line(text, "master_sync_keys_written", estimate.keys_written);
        line(text, "master_sync_keys_total", estimate.keys_total);
    }
}
