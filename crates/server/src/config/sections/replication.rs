//! Owns the directives of a replica and of its master.

use super::super::directive::section;
use super::super::special::ReplicaOf;
use super::super::values::{DisklessLoad, PropagationErrorBehavior};
use super::{I32_MAX, I64_MAX};

section! {
    /// Being a replica, and serving replicas.
    Replication in replication {
        /// Be a replica of this master; `replicaof no one` says explicitly that this is a master.
        /// REPLICAOF changes it at run time, CONFIG REWRITE keeps the change.
        replicaof: ReplicaOf = special(replicaof), "replicaof" | "slaveof", "", IMMUTABLE, MULTI_ARG, ROLE
            => "<masterip> <masterport>";

        /// The password that the master asks for.
        masterauth: Vec<u8> = secret(), "masterauth", "", SENSITIVE => "<master-password>";

        /// The user to log in to the master as; empty is the default user.
        masteruser: Vec<u8> = secret(), "masteruser", "", SENSITIVE => "<username>";

        /// Answer reads while the link to the master is down or the first sync runs. With no,
        /// clients get a MASTERDOWN error instead of old data.
        replica_serve_stale_data: bool = bool(), "replica-serve-stale-data" | "slave-serve-stale-data", "yes";

        /// Refuse writes of clients on a replica.
        replica_read_only: bool = bool(), "replica-read-only" | "slave-read-only", "yes", DEBUG;

        /// Stream a snapshot from the child to the replicas' sockets, without a file on the master's disk.
        repl_diskless_sync: bool = bool(), "repl-diskless-sync", "yes", DEBUG;

        /// Seconds to wait for more replicas before such a stream starts, since late ones have to
        /// wait for the next.
        repl_diskless_sync_delay_s: u32 = int(0, I32_MAX), "repl-diskless-sync-delay", "5";

        /// Start a diskless sync earlier once so many replicas wait; 0 waits out the delay.
        repl_diskless_sync_max_replicas: u32 = int(0, I32_MAX), "repl-diskless-sync-max-replicas", "0";

        /// How a replica takes a snapshot in: disabled keeps it in a file first, on-empty-db loads
        /// straight from the socket when there is nothing to lose, swapdb loads beside the old data and
        /// swaps when whole.
        repl_diskless_load: DisklessLoad = choice(), "repl-diskless-load", "disabled", DENY_LOADING, DEBUG;

        /// Seconds between the pings that a master sends to its replicas.
        repl_ping_replica_period_s: u32 = int(1, I32_MAX), "repl-ping-replica-period" | "repl-ping-slave-period", "10";

        /// Seconds of silence after which either side gives the link up. Keep it well above the ping period.
        repl_timeout_s: u32 = int(1, I32_MAX), "repl-timeout", "60";

        /// Send the replication stream in full packets, with up to 40 ms of delay.
        repl_disable_tcp_nodelay: bool = bool(), "repl-disable-tcp-nodelay", "no";

        /// How many bytes of the replication stream are kept, so that a replica that was away can
        /// go on without a full sync.
        repl_backlog_size_bytes: u64 = memory(1, I64_MAX), "repl-backlog-size", "1mb";

        /// Seconds without any replica after which the backlog is freed; 0 keeps it.
        repl_backlog_ttl_s: u64 = int(0, I64_MAX), "repl-backlog-ttl", "3600";

        /// Sentinel promotes the replica with the lowest number; 0 is never promoted.
        replica_priority: u32 = int(0, I32_MAX), "replica-priority" | "slave-priority", "100";

        /// Whether Sentinel lists this replica at all.
        replica_announced: bool = bool(), "replica-announced", "yes";

        /// The address under which the master knows this replica, when NAT hides the real one.
        replica_announce_ip: String = text(), "replica-announce-ip" | "slave-announce-ip", "" => "5.5.5.5";

        /// The port under which the master knows this replica; 0 announces the real one.
        replica_announce_port: u16 = int(0, u16::MAX), "replica-announce-port" | "slave-announce-port", "0" => "1234";

        /// Refuse writes unless so many replicas are connected and not lagging; 0 never refuses.
        min_replicas_to_write: u32 = int(0, I32_MAX), "min-replicas-to-write" | "min-slaves-to-write", "0";

        /// The lag in seconds up to which a replica counts for min-replicas-to-write.
        min_replicas_max_lag_s: u32 = int(0, I32_MAX), "min-replicas-max-lag" | "min-slaves-max-lag", "10";

        /// Let a replica leave eviction to its master.
        replica_ignore_maxmemory: bool = bool(), "replica-ignore-maxmemory" | "slave-ignore-maxmemory", "yes";

        /// Go on as a replica when the own disk fails, instead of stopping.
        replica_ignore_disk_write_errors: bool = bool(), "replica-ignore-disk-write-errors", "no", NO_EFFECT("a replica goes on without the command that its disk fails");

        /// Flush the old data in the background when a full sync arrives.
        replica_lazy_flush: bool = bool(), "replica-lazy-flush" | "slave-lazy-flush", "no", NO_EFFECT("old data are always freed in the background");

        /// What a replica does about a command of its master that it does not know, or that fails here.
        /// stop: stop before it, close the link, serve stale data or refuse (replica-serve-stale-data),
        /// and try again after growing pauses: from there when the command is not understood, by a full
        /// sync when the data differ. INFO (master_link_error), ROLE and the log tell the command.
        /// ignore: log it, count it (unexpected_error_replies), and go on with data that may differ, as
        /// Redis does. panic, panic-on-replicas: log it, and end the process, unless it may be written to
        /// (replica-read-only). A command of the append-only file that fails while that is loaded ends the
        /// load with panic, and is logged, counted and gone past with all others.
        propagation_error_behavior: PropagationErrorBehavior = choice(), "propagation-error-behavior", "stop";

        /// Delete snapshots that only served a sync, when neither save points nor the append-only
        /// file are configured.
        rdb_del_sync_files: bool = bool(), "rdb-del-sync-files", "no";
    }
}
