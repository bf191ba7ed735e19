//! Scenarios S1 and S2: hosts with configs of their own, two configs on one host, and roles changed at
//! run time. Each test is named after its line of the scenarios.

use tandem_tests::{each_server, pairings};
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Daemon, Info, Kind, Proxy, Reply, Server, ServerBuilder, fill};

/// The config of S1.3, as a daemon with a log file.
fn host_config(kind: Kind, name: &str) -> ServerBuilder {
    Server::of(kind).name(name).without_base_config().set("bind 0.0.0.0").set("appendonly yes")
}

struct Hosts {
    replicas: [Daemon; 2],
    master: Daemon,
}

fn start_hosts(m: Kind, r: Kind) -> Hosts {
    let master = Daemon::start(host_config(m, "master").set("repl-diskless-sync-delay 0"));
    master.server().good("SET hello ahri");
    let port = master.server().port();
    let replica = |name| Daemon::start(host_config(r, name).replica_of_port(port));
    let replicas = [replica("replica 1"), replica("replica 2")];
    replicas.iter().for_each(|replica| replica.server().wait_link_up());
    master.server().wait_online_replicas(2);
    Hosts { replicas, master }
}

fn s1_3_a_master_and_two_replicas_as_daemons_that_are_restarted(m: Kind, r: Kind) {
    let mut hosts = start_hosts(m, r);
    hosts.master.server().good("SET durable yes");
    for replica in &hosts.replicas {
        wait_until(LONG, "the write is there", || {
            replica.server().run("GET durable") == Reply::Bulk(b"yes".to_vec())
        });
    }
    for replica in &mut hosts.replicas {
        replica.server().wait_no_child();
        replica.stop();
        replica.start_again();
    }
    hosts.master.server().wait_no_child();
    hosts.master.stop();
    hosts.master.start_again();
    hosts.master.server().wait_online_replicas(2);
    for replica in &hosts.replicas {
        replica.server().wait_link_up();
        assert_eq!(replica.server().good("GET durable").text(), "yes");
        assert_eq!(replica.server().good("GET hello").text(), "ahri");
    }
}

fn s1_4_the_log_on_either_side_tells_the_story_of_the_sync(m: Kind, r: Kind) {
    let hosts = start_hosts(m, r);
    let replica_log = hosts.replicas[0].log();
    for text in
        ["MASTER <-> REPLICA sync started", "MASTER <-> REPLICA sync: Finished with success"]
    {
        assert!(replica_log.contains(text), "the replica's log lacks {text:?}:\n{replica_log}");
    }
    let port = hosts.replicas[0].server().port();
    let master_log = hosts.master.log();
    for text in [
        format!("Replica 127.0.0.1:{port} asks for synchronization"),
        format!("Full resync requested by replica 127.0.0.1:{port}"),
        format!("Synchronization with replica 127.0.0.1:{port} succeeded"),
    ] {
        assert!(master_log.contains(&text), "the master's log lacks {text:?}:\n{master_log}");
    }
}

fn s1_5_info_replication_on_the_master_lists_both_replicas(m: Kind, r: Kind) {
    let hosts = start_hosts(m, r);
    let master = hosts.master.server();
    wait_until(LONG, "both replicas have acknowledged all", || {
        let info = master.info("replication");
        let offset = info.text("master_repl_offset").to_string();
        (0..2).all(|i| info.part(&format!("slave{i}"), "offset") == Some(&offset))
    });
    let text = master.good("INFO replication").text();
    let info = Info::parse(&text);
    assert!(text.starts_with("# Replication\r\nrole:master\r\nconnected_slaves:2\r\nslave0:ip="));
    let mut ports: Vec<u16> = Vec::new();
    for line in ["slave0", "slave1"] {
        let value = info.text(line);
        let names: Vec<&str> =
            value.split(',').map(|part| part.split('=').next().unwrap_or("")).collect();
        assert_eq!(names, ["ip", "port", "state", "offset", "lag"], "{value}");
        assert_eq!(info.part(line, "ip"), Some("127.0.0.1"));
        assert_eq!(info.part(line, "state"), Some("online"));
        let lag: u64 = info.part(line, "lag").and_then(|l| l.parse().ok()).expect("lag in seconds");
        assert!(lag <= 1, "{value}");
        ports.extend(info.part(line, "port").and_then(|p| p.parse::<u16>().ok()));
    }
    ports.sort();
    let mut expected: Vec<u16> = hosts.replicas.iter().map(|r| r.server().port()).collect();
    expected.sort();
    assert_eq!(ports, expected);
}

/// `14635:C 30 Dec 2019 01:05:41.223 # text`: pid, role, date, level.
fn is_log_line(line: &str) -> bool {
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    let [process, day, month, year, time, level, _text] = words[..] else { return false };
    let Some((pid, role)) = process.split_once(':') else { return false };
    let number =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    let Some((clock, ms)) = time.split_once('.') else { return false };
    let clock: Vec<&str> = clock.split(':').collect();
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    number(pid, pid.len())
        && ["C", "S", "M", "X"].contains(&role)
        && number(day, 2)
        && MONTHS.split(' ').any(|m| m == month)
        && number(year, 4)
        && clock.len() == 3
        && clock.iter().all(|part| number(part, 2))
        && number(ms, 3)
        && [".", "-", "*", "#"].contains(&level)
}

fn s2_1_two_configs_on_one_host_and_the_lines_of_the_start(m: Kind, r: Kind) {
    let config =
        |kind, name| Server::of(kind).name(name).without_base_config().set("protected-mode no");
    let master = Daemon::start(config(m, "master").set("repl-diskless-sync-delay 0"));
    let replica = Daemon::start(config(r, "replica").replica_of_port(master.server().port()));
    replica.server().wait_link_up();
    for daemon in [&master, &replica] {
        let log = daemon.log();
        let start = format!("{}{log}", daemon.server().log());
        for text in [
            "oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo",
            "Configuration loaded",
            "just started",
        ] {
            assert!(start.contains(text), "the log lacks {text:?}:\n{start}");
        }
        let pid = daemon.pid().expect("a pid file");
        assert!(log.contains(&format!("{pid}:")), "lines carry the daemon's pid {pid}:\n{log}");
        let lines = log.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit()));
        let mut count = 0;
        for line in lines {
            assert!(is_log_line(line), "not in the form of a log line: {line:?}");
            count += 1;
        }
        assert!(count > 3, "{log}");
        let role = if std::ptr::eq(daemon, &master) { "M" } else { "S" };
        assert!(log.contains(&format!("{pid}:{role} ")), "no line of role {role}:\n{log}");
    }
}

const COMMON_TAIL: [&str; 8] = [
    "master_failover_state",
    "master_replid",
    "master_replid2",
    "master_repl_offset",
    "second_repl_offset",
    "repl_backlog_active",
    "repl_backlog_size",
    "repl_backlog_first_byte_offset",
];

fn with_tail(head: &[&'static str]) -> Vec<&'static str> {
    [head, &COMMON_TAIL, &["repl_backlog_histlen"]].concat()
}

fn s2_2_info_replication_prints_its_fields_in_order(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").start();
    assert_eq!(
        master.info("replication").names(),
        with_tail(&["role", "connected_slaves"]),
        "a master alone"
    );
    master.client().args(&[b"SET".as_slice(), b"noise", &fill::noise(1_000_000, 5)]);
    let proxy = Proxy::before(&master);
    // Slow enough that the transfer is seen while it lasts.
    proxy.throttle(200_000);
    let replica = Server::of(r).name("replica").replica_of_port(proxy.port()).start();
    let head = [
        "role",
        "master_host",
        "master_port",
        "master_link_status",
        "master_last_io_seconds_ago",
        "master_sync_in_progress",
        "slave_read_repl_offset",
        "slave_repl_offset",
    ];
    let sync = [
        "master_sync_total_bytes",
        "master_sync_read_bytes",
        "master_sync_left_bytes",
        "master_sync_perc",
        "master_sync_last_io_seconds_ago",
    ];
    let down = ["master_link_down_since_seconds"];
    let rest = ["slave_priority", "slave_read_only", "replica_announced", "connected_slaves"];
    wait_until(LONG, "the transfer is under way", || {
        let info = replica.info("replication");
        info.text("master_sync_in_progress") == "1"
            && info.number::<i64>("master_sync_read_bytes") > 0
    });
    let info = replica.info("replication");
    let mut names = info.names();
    // Tandem's own: the speed of the transfer and what is left of it, beside the figures of Redis.
    names.retain(|n| !["master_sync_bytes_per_second", "master_sync_seconds_left"].contains(n));
    assert_eq!(names, with_tail(&[&head[..], &sync, &down, &rest].concat()), "syncing");
    let total: i64 = info.number("master_sync_total_bytes");
    assert!(total > 500_000, "{info}");
    let (read, left): (i64, i64) =
        (info.number("master_sync_read_bytes"), info.number("master_sync_left_bytes"));
    assert_eq!(read + left, total, "{info}");
    proxy.heal();
    replica.wait_link_up();
    assert_eq!(
        replica.info("replication").names(),
        with_tail(&[&head[..], &rest].concat()),
        "in sync"
    );
    master.wait_online_replicas(1);
    assert_eq!(
        master.info("replication").names(),
        with_tail(&["role", "connected_slaves", "slave0"]),
        "a master with a replica"
    );
    proxy.partition();
    replica.wait_link_down();
    let info = replica.info("replication");
    let mut names = info.names();
    // Tandem's own: why.
    names.retain(|name| *name != "master_link_error");
    assert_eq!(names, with_tail(&[&head[..], &down, &rest].concat()), "link down");
}

fn s2_3_slaveof_and_replicaof_on_a_running_server(m: Kind, r: Kind) {
    for word in ["SLAVEOF", "REPLICAOF"] {
        let master = Server::of(m).name("master").start();
        let replica = Server::of(r).name("replica").start();
        let reply = replica.good(&format!("{word} 127.0.0.1 {}", master.port()));
        assert!(reply.is_ok());
        replica.wait_link_up();
        assert!(master.good("set hello ahri").is_ok());
        wait_equal(&master, &replica);
        assert_eq!(replica.good("keys *").texts(), ["hello"]);
        assert_eq!(replica.good("get hello").text(), "ahri");
        // Asked again for the same master, it stays where it is.
        let again = replica.good(&format!("{word} 127.0.0.1 {}", master.port()));
        assert_eq!(again.text(), "OK Already connected to specified master");
        assert!(replica.good(&format!("{word} NO ONE")).is_ok());
        assert_eq!(replica.info("replication").text("role"), "master");
        assert!(replica.good("SET own 1").is_ok());
    }
}

fn s2_3_replicaof_refuses_what_is_no_port(kind: Kind) {
    let server = Server::of(kind).start();
    assert_eq!(server.run("REPLICAOF 127.0.0.1 http").error(), "ERR Invalid master port");
    assert_eq!(server.run("REPLICAOF 127.0.0.1 70000").error(), "ERR Invalid master port");
    assert_eq!(
        server.run("REPLICAOF 127.0.0.1").error(),
        "ERR wrong number of arguments for 'replicaof' command"
    );
}

pairings! {
    s1_3_a_master_and_two_replicas_as_daemons_that_are_restarted,
    s1_4_the_log_on_either_side_tells_the_story_of_the_sync,
    s1_5_info_replication_on_the_master_lists_both_replicas,
    s2_1_two_configs_on_one_host_and_the_lines_of_the_start,
    s2_2_info_replication_prints_its_fields_in_order,
    s2_3_slaveof_and_replicaof_on_a_running_server,
}

each_server! {
    s2_3_replicaof_refuses_what_is_no_port,
}
