//! Owns the directives of Redis Cluster. They are kept and reported; Tandem runs no cluster.

use super::super::directive::section;
use super::super::values::EndpointType;
use super::{I32_MAX, I64_MAX, U64_MAX, announced_hostname, no_cluster};

section! {
    /// Redis Cluster, which Tandem does not run: the directives are kept and reported.
    Cluster in cluster {
        /// Be a node of a cluster. Not supported: yes is refused.
        cluster_enabled: bool = bool(no_cluster), "cluster-enabled", "no", IMMUTABLE, NO_EFFECT("there is no cluster");

        /// The file where a node keeps what it knows of the cluster.
        cluster_config_file: String = text(), "cluster-config-file", "nodes.conf", IMMUTABLE, NO_EFFECT("there is no cluster");

        /// Milliseconds after which a silent node counts as failing.
        cluster_node_timeout_ms: u64 = int(0, I64_MAX), "cluster-node-timeout", "15000", NO_EFFECT("there is no cluster");

        /// The port of the cluster bus; 0 is the port plus 10000.
        cluster_port: u16 = int(0, u16::MAX), "cluster-port", "0", IMMUTABLE, NO_EFFECT("there is no cluster");

        /// How old a replica's data may be, in node timeouts, for it to stand for election.
        cluster_replica_validity_factor: u32 = int(0, I32_MAX),
            "cluster-replica-validity-factor" | "cluster-slave-validity-factor", "10", NO_EFFECT("there is no cluster");

        /// How many replicas a master must keep when one of them moves to an orphaned master.
        cluster_migration_barrier: u32 = int(0, I32_MAX), "cluster-migration-barrier", "1", NO_EFFECT("there is no cluster");

        /// Whether replicas move to orphaned masters at all.
        cluster_allow_replica_migration: bool = bool(), "cluster-allow-replica-migration", "yes", NO_EFFECT("there is no cluster");

        /// Stop serving when any hash slot has no node.
        cluster_require_full_coverage: bool = bool(), "cluster-require-full-coverage", "yes", NO_EFFECT("there is no cluster");

        /// Keep a replica from standing for election.
        cluster_replica_no_failover: bool = bool(), "cluster-replica-no-failover" | "cluster-slave-no-failover", "no", NO_EFFECT("there is no cluster");

        /// Answer reads while the cluster is down.
        cluster_allow_reads_when_down: bool = bool(), "cluster-allow-reads-when-down", "no", NO_EFFECT("there is no cluster");

        /// Serve sharded pub/sub while the cluster is down.
        cluster_allow_pubsubshard_when_down: bool = bool(), "cluster-allow-pubsubshard-when-down", "yes", NO_EFFECT("there is no cluster");

        /// What the send buffer of a link between nodes may take; 0 is no limit.
        cluster_link_sendbuf_limit_bytes: u64 = memory(0, U64_MAX), "cluster-link-sendbuf-limit", "0", NO_EFFECT("there is no cluster");

        /// The address that other nodes and clients are told, when NAT hides the real one.
        cluster_announce_ip: String = text(), "cluster-announce-ip", "", NO_EFFECT("there is no cluster") => "10.1.1.5";

        /// The TLS port that other nodes and clients are told; 0 is the real one.
        cluster_announce_tls_port: u16 = int(0, u16::MAX), "cluster-announce-tls-port", "0", NO_EFFECT("there is no cluster");

        /// The port that other nodes and clients are told; 0 is the real one.
        cluster_announce_port: u16 = int(0, u16::MAX), "cluster-announce-port", "0", NO_EFFECT("there is no cluster");

        /// The port of the cluster bus that other nodes are told; 0 is the real one.
        cluster_announce_bus_port: u16 = int(0, u16::MAX), "cluster-announce-bus-port", "0", NO_EFFECT("there is no cluster");

        /// The host name that clients are told.
        cluster_announce_hostname: String = text(announced_hostname), "cluster-announce-hostname", "", NO_EFFECT("there is no cluster") => "redis-1.example.org";

        /// A name of the node for people, in logs.
        cluster_announce_human_nodename: String = text(), "cluster-announce-human-nodename", "", NO_EFFECT("there is no cluster") => "blue-1";

        /// What clients are told to connect to: ip, hostname, or unknown-endpoint.
        cluster_preferred_endpoint_type: EndpointType = choice(), "cluster-preferred-endpoint-type", "ip", NO_EFFECT("there is no cluster");
    }
}
