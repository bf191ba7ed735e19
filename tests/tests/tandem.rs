//! What only Tandem has or promises: its identity, its two named roles, what it does better than the
//! server it is compatible with, and the data that it carries for others without serving it.

use testkit::replication::wait_equal;
use testkit::wait::{LONG, SHORT, wait_until};
use testkit::{Daemon, Direction, Kind, Proxy, Reply, Server, fill};

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

/// Clients gate features on the version; dashboards want to know who really answers.
#[test]
fn info_and_hello_tell_both_versions() {
    let server = Server::of(Kind::Tandem).start();
    let info = server.info("server");
    assert_eq!(info.text("redis_version"), "7.2.4");
    assert_eq!(info.text("server_name"), "tandem");
    assert_eq!(info.text("tandem_version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(info.number::<u32>("process_id"), server.pid());
    assert_eq!(info.number::<u16>("tcp_port"), server.port());
    assert_eq!(info.text("config_file"), server.config_path().display().to_string());
    let hello = server.good("HELLO");
    let after = |name: &str| {
        let at = hello.items().iter().position(|item| *item == bulk(name));
        at.and_then(|at| hello.items().get(at + 1).cloned())
    };
    assert_eq!(after("version"), Some(bulk("7.2.4")));
    assert_eq!(after("role"), Some(bulk("master")));
    let log = server.log();
    assert!(log.contains("Redis version=7.2.4") && log.contains("Tandem version="), "{log}");
}

/// Exporters and scripts read INFO by name, some by line: every field of Redis 7.0 is there, in its
/// order, and what stands between is 7.2's or our own.
#[test]
fn info_has_every_field_of_redis_in_its_order() {
    const NEWER: &[&str] = &[
        "server_name",
        "tandem_version",
        "listener0",
        "pubsub_clients",
        "watching_clients",
        "total_watched_keys",
        "client_query_buffer_limit_disconnections",
        "client_output_buffer_limit_disconnections",
        "total_blocking_keys",
        "total_blocking_keys_on_nokey",
        "eventloop_cycles",
        "eventloop_duration_sum",
        "eventloop_duration_cmd_sum",
        "instantaneous_eventloop_cycles_per_sec",
        "instantaneous_eventloop_duration_usec",
        "acl_access_denied_auth",
        "acl_access_denied_cmd",
        "acl_access_denied_key",
        "acl_access_denied_channel",
        "aof_fsync_failed",
        "evicted_scripts",
        "expired_subkeys",
        "tls_handshake_errors",
        "allocator_muzzy",
        "mem_overhead_db_hashtable_rehashing",
        "io_threaded_total_prefetch_batches",
        "io_threaded_total_prefetch_entries",
    ];
    let (ours, theirs) = (Server::of(Kind::Tandem).start(), Server::of(Kind::Redis).start());
    for server in [&ours, &theirs] {
        server.good("SET k v");
        assert!(server.run("GET").is_error());
    }
    let compare = |section| {
        let (mine, wanted) = (ours.info(section), theirs.info(section));
        let mut names = mine.names();
        names.retain(|name| !NEWER.contains(name));
        assert_eq!(names, wanted.names(), "INFO {section}");
    };
    for section in [
        "server",
        "clients",
        "memory",
        "persistence",
        "stats",
        "replication",
        "cpu",
        "modules",
        "errorstats",
        "cluster",
        "keyspace",
    ] {
        compare(section);
    }
    let text = |server: &Server| {
        let all = server.good("INFO").text();
        all.lines().filter(|l| l.starts_with('#')).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(text(&ours), text(&theirs), "the sections of a plain INFO");
    for server in [&ours, &theirs] {
        server.good("CONFIG SET appendonly yes");
        wait_until(LONG, "the append-only file is there", || {
            let info = server.info("persistence");
            info.number::<u8>("aof_rewrite_in_progress") == 0
                && info.number::<u8>("aof_rewrite_scheduled") == 0
        });
    }
    compare("persistence");
}

/// A replica that starts without a master would be an empty master, which nobody who typed
/// `redis-replica` can have meant.
/// What Redis 8 and Valkey 8 count besides.
#[test]
fn clients_are_counted_by_what_they_do_and_lose() {
    let server = Server::of(Kind::Tandem).start();
    let mut watcher = server.client();
    watcher.good("WATCH a b");
    let mut other = server.client();
    other.good("WATCH b");
    let mut subscriber = server.client();
    subscriber.good("SSUBSCRIBE c");
    let field = |section: &str, name: &str| server.info(section).text(name).to_owned();
    for (name, count) in
        [("watching_clients", "2"), ("total_watched_keys", "2"), ("pubsub_clients", "1")]
    {
        assert_eq!(field("clients", name), count, "{name}");
    }
    let figures = |line: String, name: &str| {
        let value = line.split_whitespace().find_map(|part| part.strip_prefix(name));
        value.and_then(|value| value.parse::<u64>().ok()).expect("a figure")
    };
    let mut tells = || {
        let line = watcher.good("CLIENT INFO").text().to_owned();
        ["tot-net-in=", "tot-net-out=", "tot-cmds="].map(|name| figures(line.clone(), name))
    };
    let [first, second] = [tells(), tells()];
    let request = b"*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n".len() as u64;
    assert_eq!((second[0] - first[0], second[2] - first[2]), (request, 1));
    assert!(second[1] - first[1] > 300, "a line of CLIENT INFO");
    assert!(server.info("debug").text("eventloop_cmd_per_cycle_max").parse::<u64>().unwrap() > 0);
    assert!(!server.good("INFO everything").text().contains("eventloop_duration_max"));
    server.good("CONFIG SET client-query-buffer-limit 1mb");
    let (query, output) =
        ("client_query_buffer_limit_disconnections", "client_output_buffer_limit_disconnections");
    let mut talker = server.client();
    talker
        .send_raw(&[b"*2\r\n$4\r\nECHO\r\n$3000000\r\n".as_slice(), &[b'a'; 2 << 20]].concat())
        .ok();
    wait_until(SHORT, "who says too much is cut off", || field("stats", query) == "1");
    assert_eq!(field("stats", output), "0");
}

#[test]
fn redis_replica_needs_a_master_or_an_explicit_none() {
    let failed = Server::of(Kind::TandemReplica).start_and_fail();
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.output().contains("replicaof"), "{}", failed.output());
    // What CONFIG REWRITE leaves behind after a promotion.
    let promoted = Server::of(Kind::TandemReplica).set("replicaof no one").start();
    assert_eq!(promoted.info("replication").text("role"), "master");
}

#[test]
fn redis_replica_survives_promotion_rewrite_and_restart() {
    let master = Server::of(Kind::TandemMaster).name("master").start();
    let mut replica = Server::of(Kind::TandemReplica).replica_of(&master).start();
    replica.wait_link_up();
    replica.good("REPLICAOF NO ONE");
    replica.good("CONFIG REWRITE");
    replica.stop();
    replica.start_again();
    assert_eq!(replica.info("replication").text("role"), "master");
}

/// A failover has written `replicaof` into the config of what was the master: it joins as a replica.
#[test]
fn redis_master_honours_a_replicaof_with_a_notice() {
    let new = Server::of(Kind::TandemReplica).name("new").set("replicaof no one").start();
    let old = Server::of(Kind::TandemMaster).name("old").replica_of(&new).start();
    old.wait_link_up();
    assert_eq!(old.info("replication").text("role"), "slave");
    assert!(old.log().to_lowercase().contains("replicaof"), "{}", old.log());
}

#[test]
fn a_dump_in_an_older_version_is_written_on_request() {
    let server = Server::of(Kind::Tandem).set("rdb-version 9").start();
    fill::every_encoding(&mut server.client());
    server.good("SAVE");
    assert!(server.read_file("dump.rdb").starts_with(b"REDIS0009"));
    let mut reader = Server::of(Kind::Redis).name("reader").prepare();
    reader.write_file("dump.rdb", &server.read_file("dump.rdb"));
    reader.start_again();
    assert_eq!(reader.digest(), server.digest());
    // A replica is sent the same version.
    let replica = Server::of(Kind::Redis).name("replica").replica_of(&server).start();
    replica.wait_link_up();
    wait_equal(&server, &replica);
}

/// Left alone, the lowest version is chosen that represents the data: what Redis 7.0 loads.
#[test]
fn a_dump_is_written_in_the_lowest_version_that_fits() {
    let server = Server::of(Kind::Tandem).start();
    fill::every_encoding(&mut server.client());
    server.good("SAVE");
    assert!(server.read_file("dump.rdb").starts_with(b"REDIS0010"));
}

/// Functions are not served yet, but what a master sends of them is not lost: they pass through a full
/// sync, a file, and on to a replica that does serve them, and so do streams with their groups.
#[test]
fn streams_and_functions_pass_through() {
    let head = Server::of(Kind::Redis).name("head").start();
    fill::every_encoding(&mut head.client());
    let library = "#!lua name=lib\nredis.register_function('answer', function() return 42 end)";
    head.client().args(&["FUNCTION", "LOAD", library]);
    let mut middle =
        Server::of(Kind::Tandem).name("middle").set("save 3600 1000000").replica_of(&head).start();
    middle.wait_link_up();
    let tail = Server::of(Kind::Redis).name("tail").replica_of(&middle).start();
    tail.wait_link_up();
    wait_equal(&head, &tail);
    assert_eq!(tail.good("FUNCTION LIST"), head.good("FUNCTION LIST"));
    assert_eq!(tail.good("XLEN stream:long").int(), head.good("XLEN stream:long").int());

    // By way of a file as well.
    middle.good("REPLICAOF NO ONE");
    middle.drop_directive("replicaof");
    middle.stop();
    middle.start_again();
    let again = Server::of(Kind::Redis).name("again").replica_of(&middle).start();
    again.wait_link_up();
    wait_until(LONG, "the streams are those of the head", || again.digest() == head.digest());
    assert_eq!(again.good("XINFO GROUPS stream:long"), head.good("XINFO GROUPS stream:long"));
}

/// Whoever tails the log of a long sync sees how far it is, on both sides.
#[test]
fn a_long_sync_reports_its_progress() {
    let master = Server::of(Kind::Tandem).name("master").start();
    master.client().args(&[b"SET".as_slice(), b"noise", &fill::noise(40 << 20, 9)]);
    let proxy = Proxy::before(&master);
    // More than the sockets on the way can hold, for long enough to be reported.
    proxy.throttle(3_000_000);
    let replica = Server::of(Kind::Tandem).name("replica").replica_of_port(proxy.port()).start();
    wait_until(LONG, "the replica tells a percentage and a speed", || {
        replica.log().lines().any(|line| line.contains('%') && line.contains("MB/s"))
    });
    let info = replica.info("replication");
    assert!(info.number::<u64>("master_sync_bytes_per_second") > 0, "{info}");
    wait_until(LONG, "the master tells a percentage and a speed", || {
        master.log().lines().any(|line| line.contains('%') && line.contains("MB/s"))
    });
    proxy.heal();
    replica.wait_link_up();
    wait_equal(&master, &replica);
}

/// A hyphen that a web page made typographic looks right and is not: the error says so.
#[test]
fn a_typographic_hyphen_gets_a_hint() {
    let failed =
        Server::of(Kind::Tandem).set("replica\u{2010}read\u{2010}only yes").start_and_fail();
    assert_eq!(failed.status.code(), Some(1));
    let output = failed.output();
    assert!(output.contains("redis.conf"), "the file is named: {output}");
    assert!(output.contains("replica-read-only"), "what was meant is told: {output}");
}

/// `io-threads 4` and the like were accepted and did nothing, and no line of the log said so. Once is enough.
#[test]
fn directives_without_effect_are_accepted_in_silence() {
    let server = Server::of(Kind::Tandem).set("io-threads 4").set("lua-replicate-commands no");
    let server = server.args(&["--tls-dh-params-file", "redis.dh"]).start();
    for value in ["yes", "no", "yes"] {
        server.good(&format!("CONFIG SET replica-lazy-flush {value}"));
    }
    server.good("CONFIG SET stream-node-max-bytes 4096");
    assert_eq!(server.config("io-threads"), "4", "it is kept and reported all the same");
    let log = server.log();
    for name in ["io-threads", "tls-dh-params-file", "lua-replicate-commands", "replica-lazy-flush"]
    {
        assert_eq!(log.matches(&format!("WARNING: {name} has no effect: ")).count(), 1, "{log}");
    }
    assert_eq!(log.matches(" has no effect: ").count(), 4, "no other does: {log}");
}

/// A message that did not say which file it was about, or which directive was missing.
#[test]
fn messages_about_files_and_passwords_do_not_say_which() {
    let missing = Server::of(Kind::Tandem).set("logfile /nonexistent/tandem.log").start_and_fail();
    assert!(missing.output().contains("'/nonexistent/tandem.log'"), "{}", missing.output());

    let mut server = Server::of(Kind::Tandem).prepare();
    server.write_file("dump.rdb", b"REDIS0011 and no more of it");
    server.spawn();
    assert!(!server.wait_exit().success());
    let name = server.file("dump.rdb").display().to_string();
    assert!(server.log().contains(&name), "{}", server.log());

    let master = Server::of(Kind::Tandem).set("requirepass secret").start();
    let replica = Server::of(Kind::Tandem).replica_of_port(master.port()).start();
    replica.wait_log("set masterauth");
    replica.good("CONFIG SET masterauth secret");
    replica.wait_link_up();
}

/// S2.1 with the file that is shipped: two copies, ports changed, `bind` commented out.
#[test]
fn two_copies_of_the_shipped_config_make_a_pair() {
    let shipped =
        testkit::process::read_lossy(&testkit::binaries::workspace_root().join("conf/redis.conf"));
    let copy = |server: Server, master_port: Option<u16>| {
        let own = server.port();
        let dir = server.dir().display().to_string();
        server.edit_config(|_| {
            let kept = shipped.lines().filter(|line| {
                let name = line.split(' ').next().unwrap_or("");
                !["bind", "port", "protected-mode", "daemonize", "dir", "logfile", "pidfile"]
                    .contains(&name)
            });
            let mut text: String = kept.map(|line| format!("{line}\n")).collect();
            text += &format!("# bind 127.0.0.1 -::1\nport {own}\nprotected-mode no\ndir {dir}\n");
            text += "daemonize yes\nlogfile daemon.log\npidfile daemon.pid\n";
            if let Some(port) = master_port {
                text += &format!("replicaof 127.0.0.1 {port}\n");
            }
            text
        });
        Daemon::start_prepared(server)
    };
    let prepared = || Server::of(Kind::Tandem).without_base_config().prepare();
    let master = copy(prepared(), None);
    let replica = copy(prepared(), Some(master.server().port()));
    replica.server().wait_link_up();
    master.server().good("set hello ahri");
    wait_until(LONG, "the write is there", || replica.server().good("keys *").texts() == ["hello"]);
    assert_eq!(replica.server().good("get hello").text(), "ahri");
}

/// A log file that was moved away is opened anew, as logrotate expects.
#[test]
fn a_rotated_log_file_is_picked_up_again() {
    let server = Server::of(Kind::Tandem).set("logfile own.log").start();
    let log = || String::from_utf8_lossy(&server.read_file("own.log")).into_owned();
    assert!(log().contains("Ready to accept connections"));
    #[allow(clippy::disallowed_methods)] // what logrotate does
    std::fs::rename(server.file("own.log"), server.file("own.log.1")).expect("the file is moved");
    wait_until(SHORT, "a new file is written", || {
        server.good("BGSAVE");
        server.wait_no_child();
        server.files("").contains(&"own.log".to_string()) && log().contains("Background saving")
    });
}

/// The old data set stays in service until the new one is wholly there, however slow it comes.
#[test]
fn a_replica_serves_its_old_data_while_the_new_is_on_its_way() {
    let master = Server::of(Kind::Tandem).name("master").start();
    master.client().args(&[b"SET".as_slice(), b"noise", &fill::noise(1 << 20, 9)]);
    let proxy = Proxy::before(&master);
    proxy.throttle(500_000);
    let replica = Server::of(Kind::Tandem).name("replica").start();
    replica.good("SET old data");
    replica.good(&format!("REPLICAOF 127.0.0.1 {}", proxy.port()));
    wait_until(LONG, "half of the transfer has come", || {
        proxy.bytes(Direction::ToReplica) > 500_000
    });
    assert_eq!(replica.info("replication").text("master_link_status"), "down");
    assert_eq!(replica.good("GET old").text(), "data");
    proxy.heal();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(replica.good("EXISTS old").int(), 0);
}

/// A reload loads no key whose time is up; replicas had such keys for ever.
#[test]
fn a_reload_deletes_from_the_replicas_what_had_expired() {
    let master = Server::of(Kind::Tandem).name("master").start();
    let replica = Server::of(Kind::Tandem).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.good("DEBUG SET-ACTIVE-EXPIRE 0");
    master.good("SET stays 1");
    master.good("SET short-lived 1 PX 1");
    wait_equal(&master, &replica);
    wait_until(LONG, "the key has expired", || replica.good("EXISTS short-lived").int() == 0);
    assert_eq!(replica.good("DBSIZE").int(), 2);
    master.good("DEBUG RELOAD");
    wait_equal(&master, &replica);
    assert_eq!(replica.good("DBSIZE").int(), 1);
}
