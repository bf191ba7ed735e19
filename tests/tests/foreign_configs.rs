//! The configuration files that other servers ship start ours: the lines of them that are not comments, by
//! version. (What a running Redis 7.0 tells of all its directives, and Debian's own file, are in config.rs.)

use testkit::{Kind, Server};

/// What stands in every file from Redis 5.0 on.
const ALWAYS: &str = "
    protected-mode yes
    tcp-backlog 511
    timeout 0
    tcp-keepalive 300
    daemonize no
    loglevel notice
    logfile \"\"
    databases 16
    stop-writes-on-bgsave-error yes
    rdbcompression yes
    rdbchecksum yes
    dbfilename dump.rdb
    replica-serve-stale-data yes
    replica-read-only yes
    repl-diskless-sync-delay 5
    repl-disable-tcp-nodelay no
    replica-priority 100
    appendonly no
    appendfilename \"appendonly.aof\"
    appendfsync everysec
    no-appendfsync-on-rewrite no
    auto-aof-rewrite-percentage 100
    auto-aof-rewrite-min-size 64mb
    aof-load-truncated yes
    aof-use-rdb-preamble yes
    slowlog-log-slower-than 10000
    slowlog-max-len 128
    latency-monitor-threshold 0
    notify-keyspace-events \"\"
    list-compress-depth 0
    set-max-intset-entries 512
    hll-sparse-max-bytes 3000
    stream-node-max-bytes 4096
    stream-node-max-entries 100
    activerehashing yes
    client-output-buffer-limit normal 0 0 0
    client-output-buffer-limit replica 256mb 64mb 60
    client-output-buffer-limit pubsub 32mb 8mb 60
    hz 10
    dynamic-hz yes
    aof-rewrite-incremental-fsync yes
    rdb-save-incremental-fsync yes";

const LAZY: &str = "
    lazyfree-lazy-eviction no
    lazyfree-lazy-expire no
    lazyfree-lazy-server-del no
    replica-lazy-flush no";

const ZIPLISTS: &str = "
    hash-max-ziplist-entries 512
    hash-max-ziplist-value 64
    list-max-ziplist-size -2
    zset-max-ziplist-entries 128
    zset-max-ziplist-value 64";

const LISTPACKS: &str = "
    hash-max-listpack-entries 512
    hash-max-listpack-value 64
    list-max-listpack-size -2
    zset-max-listpack-entries 128
    zset-max-listpack-value 64";

const SINCE_6_0: &str = "
    rdb-del-sync-files no
    repl-diskless-load disabled
    lazyfree-lazy-user-del no
    acllog-max-len 128
    oom-score-adj no
    oom-score-adj-values 0 200 800
    jemalloc-bg-thread yes";

const SINCE_7_0: &str = "
    always-show-logo no
    set-proc-title yes
    proc-title-template \"{title} {listen-addr} {server-mode}\"
    locale-collate \"\"
    repl-diskless-sync yes
    repl-diskless-sync-max-replicas 0
    lazyfree-lazy-user-flush no
    disable-thp yes
    appenddirname \"appendonlydir\"
    aof-timestamp-enabled no";

const SINCE_7_2: &str = "
    set-max-listpack-entries 128
    set-max-listpack-value 64";

const VALKEY: &str = "
    commandlog-execution-slower-than 10000
    commandlog-slow-execution-max-len 128
    commandlog-request-larger-than 1048576
    commandlog-large-request-max-len 128
    commandlog-reply-larger-than 1048576
    commandlog-large-reply-max-len 128
    dual-channel-replication-enabled no
    import-mode no
    availability-zone \"\"";

#[test]
fn a_file_of_another_version_stops_the_start() {
    let old = "save 900 1\nsave 300 10\nsave 60 10000\nsupervised no\nlua-time-limit 5000\nalways-show-logo yes";
    let files: [(&str, &[&str]); 7] = [
        ("Redis 5.0", &[ALWAYS, LAZY, ZIPLISTS, old, "repl-diskless-sync no"]),
        ("Redis 6.0", &[ALWAYS, LAZY, ZIPLISTS, old, SINCE_6_0, "gopher-enabled no"]),
        ("Redis 7.0", &[ALWAYS, LAZY, LISTPACKS, SINCE_6_0, SINCE_7_0]),
        ("Redis 7.2", &[ALWAYS, LAZY, LISTPACKS, SINCE_6_0, SINCE_7_0, SINCE_7_2]),
        ("Redis 8.4", &[ALWAYS, LAZY, LISTPACKS, SINCE_6_0, SINCE_7_0, SINCE_7_2, "lookahead 16"]),
        ("Valkey 8", &[ALWAYS, LISTPACKS, SINCE_6_0, SINCE_7_0, SINCE_7_2]),
        ("Valkey 9", &[ALWAYS, LISTPACKS, SINCE_6_0, SINCE_7_0, SINCE_7_2, VALKEY]),
    ];
    for (name, parts) in files {
        let lines = parts.iter().flat_map(|part| part.lines()).map(str::trim);
        let builder =
            lines.filter(|line| !line.is_empty()).fold(Server::of(Kind::Tandem), |b, l| b.set(l));
        let server = builder.name(name).start();
        assert_eq!(server.config("slowlog-max-len"), "128", "{name}");
        assert_eq!(server.config("hash-max-listpack-entries"), "512", "{name}");
        server.good("SET k v");
        assert!(server.good("CONFIG REWRITE").is_ok(), "{name}");
    }
}
