//! Owns the directives of other servers and other times that stand in files one brings along: Redis up to 8,
//! Valkey up to 9. What they ask for is not done here, which the log says once; a start is not stopped by them.
//!
//! Must not: read over what somebody relies on for safety (`aclfile`, `loadmodule`, `tls-port`): these
//! stop the start, because a server that comes up without them looks as if all were well. (`UNSAFE` has those of
//! others, which may say that nothing is wanted.)

/// Other spellings of what is known here. They are understood wherever a name is, and not listed.
const SPELLINGS: [(&str, &str); 6] = [
    // Valkey
    ("primaryauth", "masterauth"),
    ("primaryuser", "masteruser"),
    // Redis 8 and Valkey
    ("aof-rewrite-cpulist", "aof_rewrite_cpulist"),
    ("bgsave-cpulist", "bgsave_cpulist"),
    ("bio-cpulist", "bio_cpulist"),
    ("server-cpulist", "server_cpulist"),
];

/// Directives that decide who may do what: the value that asks for nothing, and why no other is taken.
const UNSAFE: [(&str, &str, &str); 1] = [(
    "tls-auth-clients-user",
    "off",
    "a certificate names no user here: whoever shows one would have the rights of 'default'",
)];

/// Why nothing comes of the names behind it.
type Reason = (&'static str, &'static [&'static str]);

const IDLE: [Reason; 10] = [
    (
        "it has lost its meaning",
        &[
            "gopher-enabled",
            "list-max-ziplist-entries",
            "list-max-ziplist-value",
            "lua-replicate-commands",
        ],
    ),
    (
        "there is no cluster",
        &[
            "cluster-announce-client-ipv4",
            "cluster-announce-client-ipv6",
            "cluster-announce-client-port",
            "cluster-announce-client-tls-port",
            "cluster-blacklist-ttl",
            "cluster-compatibility-sample-ratio",
            "cluster-config-save-behavior",
            "cluster-databases",
            "cluster-manual-failover-timeout",
            "cluster-message-gossip-perc",
            "cluster-ping-interval",
            "cluster-slot-migration-handoff-max-lag-bytes",
            "cluster-slot-migration-log-max-len",
            "cluster-slot-migration-sync-buffer-drain-timeout",
            "cluster-slot-migration-write-pause-timeout",
            "cluster-slot-stats-enabled",
            "slot-migration-max-failover-repl-bytes",
        ],
    ),
    (
        "a snapshot and the stream share one connection",
        &["dual-channel-replication-enabled", "repl-rdb-channel", "replica-full-sync-buffer-limit"],
    ),
    (
        "the event loop does all socket work",
        &[
            "events-per-io-thread",
            "io-threads-always-active",
            "lookahead",
            "min-io-threads-avoid-copy-reply",
            "min-string-size-avoid-copy-reply",
            "min-string-size-avoid-copy-reply-threaded",
            "prefetch-batch-max-size",
        ],
    ),
    (
        "every connection that waits is accepted",
        &["max-new-connections-per-cycle", "max-new-tls-connections-per-cycle"],
    ),
    (
        "only TCP and Unix sockets are spoken",
        &[
            "mptcp",
            "rdma-bind",
            "rdma-completion-vector",
            "rdma-port",
            "rdma-rx-size",
            "repl-mptcp",
        ],
    ),
    ("log-format decides how times are written", &["log-timestamp-format"]),
    ("what the log tells of cannot be chosen", &["hide-user-data-from-log"]),
    (
        "a certificate names no user, and is read again at SIGHUP",
        &["tls-auth-clients-user", "tls-auto-reload-interval"],
    ),
    (
        "nothing here corresponds to it",
        &[
            "availability-zone",
            "debug-context",
            "enable-debug-assert",
            "extended-redis-compatibility",
            "hash-seed",
            "import-mode",
            "key-memory-histograms",
            "lazyexpire-nested-arbitrary-keys",
            "lua-enable-deprecated-api",
            "lua-enable-insecure-api",
            "rdb-version-check",
            "stream-idmp-duration",
            "stream-idmp-maxsize",
            "tcp-keepalive-probes",
            "unixsocketgroup",
            "vset-force-single-threaded-execution",
        ],
    ),
];

/// The name under which a directive is known here.
pub fn own_name(name: &str) -> &str {
    SPELLINGS.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours)
}

/// A directive that is read over, by its name in lower case.
pub fn idle(name: &[u8]) -> Option<&'static str> {
    let names = IDLE.iter().flat_map(|(_, names)| *names);
    names.copied().find(|known| known.as_bytes() == name)
}

/// Why a value must not be read over.
pub fn refusal(name: &[u8], words: &[&[u8]]) -> Option<&'static str> {
    let (_, harmless, why) = UNSAFE.iter().find(|(known, ..)| known.as_bytes() == name)?;
    (!words.iter().all(|word| word.eq_ignore_ascii_case(harmless.as_bytes()))).then_some(*why)
}

/// What the log says of it.
pub fn notice(name: &str) -> Option<String> {
    let (reason, _) = IDLE.iter().find(|(_, names)| names.contains(&name))?;
    Some(format!("WARNING: {name} has no effect: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::super::table::{directive, directives};
    use super::*;

    #[test]
    fn what_is_known_here_is_not_read_over() {
        let all: Vec<&str> = IDLE.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for name in &all {
            assert!(directive(name.as_bytes()).is_none(), "{name} has a row of its own");
            assert_eq!(all.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        for (theirs, ours) in SPELLINGS {
            assert!(directives().all(|row| !row.is(theirs)), "{theirs} has a row of its own");
            let row = directive(theirs.as_bytes()).expect("it is understood");
            assert_eq!(row.name, ours);
        }
    }

    #[test]
    fn what_keeps_strangers_out_is_never_read_over() {
        for name in ["aclfile", "user", "loadmodule", "requirepass", "tls-port", "rename-command"] {
            assert_eq!(idle(name.as_bytes()), None, "{name}");
        }
    }
}
