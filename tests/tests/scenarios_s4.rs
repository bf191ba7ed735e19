//! Scenario S4: three ways to become a replica, and what happens then. Each test is named after its
//! line of the scenarios.

use std::sync::{Arc, Mutex};

use tandem_tests::{each_server, pairings};
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Answer, Client, Direction, FakeMaster, Kind, Load, Proxy, Reply, Server, fill};

fn master(kind: Kind) -> Server {
    Server::of(kind).name("master").start()
}

fn replica_of(master: &Server, kind: Kind) -> Server {
    let replica = Server::of(kind).name("replica").replica_of(master).start();
    replica.wait_link_up();
    replica
}

fn s4_1_three_ways_to_become_a_replica_are_equal(m: Kind, r: Kind) {
    let master = master(m);
    let port = master.port().to_string();
    let builder = || Server::of(r).name("replica");
    let by_command = builder().start();
    by_command.follow(&master);
    let replicas = [
        builder().set(&format!("replicaof 127.0.0.1 {port}")).start(),
        builder().set(&format!("slaveof 127.0.0.1 {port}")).start(),
        builder().args(&["--slaveof", "127.0.0.1", &port]).start(),
        builder().args(&["--replicaof", "127.0.0.1", &port]).start(),
        by_command,
    ];
    master.good("SET k v");
    for replica in &replicas {
        replica.wait_link_up();
        wait_equal(&master, replica);
        assert_eq!(replica.config("replicaof"), format!("127.0.0.1 {port}"));
    }
    master.wait_online_replicas(replicas.len());
}

/// The words of the handshake, in order, as a master sees them.
fn s4_2_the_steps_are_ping_auth_replconf_psync(r: Kind) {
    let fake = FakeMaster::start(|command| {
        let word = command.split(' ').next().unwrap_or("").to_ascii_uppercase();
        match word.as_str() {
            "PING" => Answer::text("-NOAUTH Authentication required.\r\n"),
            "AUTH" | "REPLCONF" => Answer::text("+OK\r\n"),
            _ => Answer::Close,
        }
    });
    let replica = Server::of(r)
        .set("masteruser alice")
        .set("masterauth secret")
        .replica_of_port(fake.port())
        .start();
    wait_until(LONG, "the replica asks for a sync", || {
        fake.commands().iter().any(|c| c.starts_with("PSYNC"))
    });
    let commands = fake.commands();
    let port = replica.port();
    // Tandem's own: it understands how far its master is with a snapshot, and what a Valkey of this version writes.
    // Masters of other makes take no notice.
    let more = if r.is_tandem() { " capa tandem-progress version 9.0.0" } else { "" };
    let expected = [
        "PING".to_string(),
        "AUTH alice secret".to_string(),
        format!("REPLCONF listening-port {port}"),
        format!("REPLCONF capa eof capa psync2{more}"),
        "PSYNC ? -1".to_string(),
    ];
    assert_eq!(commands[..expected.len()], expected);
}

fn s4_2_the_announced_address_is_sent_and_shown(m: Kind, r: Kind) {
    let master = master(m);
    let replica = Server::of(r)
        .set("replica-announce-ip 10.1.2.3")
        .set("replica-announce-port 7777")
        .replica_of(&master)
        .start();
    replica.wait_link_up();
    let info = master.info("replication");
    assert_eq!(info.part("slave0", "ip"), Some("10.1.2.3"));
    assert_eq!(info.part("slave0", "port"), Some("7777"));
}

fn s4_3_the_logs_of_both_sides(m: Kind, r: Kind) {
    let master = master(m);
    fill::many_keys(&mut master.client(), 100, 10);
    let replica = replica_of(&master, r);
    let port = master.port();
    let log = replica.log();
    let replid = master.replid();
    let mut rest = log.as_str();
    for text in [
        format!("Connecting to MASTER 127.0.0.1:{port}"),
        "MASTER <-> REPLICA sync started".into(),
        "Non blocking connect for SYNC fired the event.".into(),
        "Master replied to PING, replication can continue...".into(),
        "Partial resynchronization not possible (no cached master)".into(),
        format!("Full resync from master: {replid}:"),
        "MASTER <-> REPLICA sync: receiving ".into(),
        " bytes from master".into(),
        "MASTER <-> REPLICA sync: Flushing old data".into(),
        "MASTER <-> REPLICA sync: Loading DB in memory".into(),
        "MASTER <-> REPLICA sync: Finished with success".into(),
    ] {
        let at = rest.find(&text);
        assert!(at.is_some(), "the replica's log lacks {text:?}, at its place:\n{log}");
        rest = &rest[at.unwrap_or(0)..];
    }
    let log = master.log();
    let name = format!("127.0.0.1:{}", replica.port());
    let mut rest = log.as_str();
    for text in [
        format!("Replica {name} asks for synchronization"),
        format!("Full resync requested by replica {name}"),
        "Replication backlog created, my new replication IDs are '".into(),
        "Starting BGSAVE for SYNC with target: disk".into(),
        "Background saving started by pid ".into(),
        "DB saved on disk".into(),
        "Background saving terminated with success".into(),
        format!("Synchronization with replica {name} succeeded"),
    ] {
        let at = rest.find(&text);
        assert!(at.is_some(), "the master's log lacks {text:?}, at its place:\n{log}");
        rest = &rest[at.unwrap_or(0)..];
    }
}

/// A raw replica: reads what a master answers to PSYNC, byte for byte.
struct RawReplica {
    client: Client,
    replid: String,
    offset: i64,
}

impl RawReplica {
    fn full_sync(master: &Server) -> RawReplica {
        let mut client = master.client();
        client.good("REPLCONF listening-port 1 capa eof capa psync2");
        client.send(&["PSYNC", "?", "-1"]).expect("the master takes the command");
        let line = loop {
            let line = client.read_line().expect("an answer to PSYNC");
            // Empty lines keep the link alive while a snapshot is made.
            if !line.is_empty() {
                break line;
            }
        };
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], "+FULLRESYNC", "{line}");
        assert_eq!(words[1].len(), 40, "{line}");
        let (replid, offset) = (words[1].to_string(), words[2].parse().expect("an offset"));
        let header = loop {
            let line = client.read_line().expect("the header of the payload");
            if !line.is_empty() {
                break line;
            }
        };
        let len: usize = header.strip_prefix('$').and_then(|l| l.parse().ok()).expect("a length");
        let mut payload = vec![0; len];
        client.read_exact(&mut payload).expect("the payload");
        assert!(payload.starts_with(b"REDIS00"));
        RawReplica { client, replid, offset }
    }
}

/// The next command of a stream. A heartbeat may come at any time, with Redis in its first second too.
fn next_command(client: &mut Client) -> Vec<String> {
    loop {
        let words = client.read_reply().expect("a command").texts();
        if !words[0].eq_ignore_ascii_case("ping") {
            return words;
        }
    }
}

fn s4_4_psync_answers_fullresync_then_continue(kind: Kind) {
    let master = master(kind);
    master.good("SET k v");
    let mut replica = RawReplica::full_sync(&master);
    assert_eq!(replica.replid, master.replid());
    master.good("SET after 1");
    // The stream opens with the database, then the command in its final form.
    assert_eq!(next_command(&mut replica.client), ["SELECT", "0"]);
    assert_eq!(next_command(&mut replica.client), ["SET", "after", "1"]);
    drop(replica.client);

    // From the middle of the stream: what comes is what came, to the byte.
    let mut client = master.client();
    let next = (replica.offset + 1).to_string();
    client.send(&["PSYNC", &replica.replid, &next]).expect("the master takes the command");
    assert_eq!(client.read_line().expect("an answer"), "+CONTINUE");
    assert_eq!(next_command(&mut client), ["SELECT", "0"]);
    assert_eq!(next_command(&mut client), ["SET", "after", "1"]);

    // With capa psync2 the answer names the replication id.
    let mut client = master.client();
    client.good("REPLCONF capa psync2");
    client.send(&["PSYNC", &replica.replid, &next]).expect("the master takes the command");
    assert_eq!(client.read_line().expect("an answer"), format!("+CONTINUE {}", replica.replid));

    // Another history, or an offset that is not there, is a full resync.
    for (replid, offset) in [("f".repeat(40), "1".to_string()), (replica.replid, "999999".into())] {
        let mut client = master.client();
        client.send(&["PSYNC", &replid, &offset]).expect("the master takes the command");
        let line = client.read_line().expect("an answer");
        assert!(line.starts_with("+FULLRESYNC "), "{line}");
    }
    let counts = master.sync_counts();
    assert_eq!((counts.full, counts.partial_ok, counts.partial_err), (3, 2, 2));
}

/// A master older than 2.8 knows neither REPLCONF nor PSYNC: the replica falls back to SYNC.
fn s4_4_an_error_to_psync_makes_the_replica_use_sync(r: Kind) {
    let source = master(Kind::Redis);
    source.good("SET from-an-old-master 1");
    source.good("SAVE");
    let rdb = source.read_file("dump.rdb");
    let fake = FakeMaster::start(move |command| {
        let word = command.split(' ').next().unwrap_or("").to_ascii_uppercase();
        match word.as_str() {
            "PING" => Answer::text("+PONG\r\n"),
            "SYNC" => {
                let mut bytes = format!("${}\r\n", rdb.len()).into_bytes();
                bytes.extend_from_slice(&rdb);
                bytes.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$6\r\nstream\r\n$1\r\n1\r\n");
                Answer::Bytes(bytes)
            }
            _ => Answer::text(&format!("-ERR unknown command '{word}'\r\n")),
        }
    });
    let replica = Server::of(r).replica_of_port(fake.port()).start();
    replica.wait_link_up();
    wait_until(LONG, "the stream is applied", || replica.run("GET stream") == bulk("1"));
    assert_eq!(replica.run("GET from-an-old-master"), bulk("1"));
    assert!(
        fake.commands().iter().any(|c| c.starts_with("PSYNC")),
        "a partial resync is tried first"
    );
}

fn s4_5_partial_inside_the_backlog_and_full_outside(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("repl-backlog-size 64kb").start();
    let proxy = Proxy::before(&master);
    let replica = Server::of(r).name("replica").replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    let mut client = master.client();
    let mut write = |bytes: usize| {
        let value = "x".repeat(1_000);
        (0..bytes / 1_000).for_each(|i| {
            client.good(&format!("SET key:{i} {value}"));
        });
    };
    proxy.partition();
    replica.wait_link_down();
    write(40_000);
    proxy.heal();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    let counts = master.sync_counts();
    assert_eq!((counts.full, counts.partial_ok), (1, 1), "40 kB of 64 are missed");

    proxy.partition();
    replica.wait_link_down();
    wait_until(LONG, "the master has lost its replica", || {
        master.info("replication").text("connected_slaves") == "0"
    });
    write(200_000);
    proxy.heal();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    let counts = master.sync_counts();
    assert_eq!((counts.full, counts.partial_ok), (2, 1), "200 kB of 64 are missed");
    let info = master.info("replication");
    assert_eq!(info.text("repl_backlog_size"), "65536");
    let held: i64 = info.number("repl_backlog_histlen");
    let first: i64 = info.number("repl_backlog_first_byte_offset");
    assert!(held >= 60_000, "{info}");
    assert_eq!(first + held, info.number::<i64>("master_repl_offset") + 1, "{info}");
}

fn s4_5_the_backlog_is_freed_after_its_time_to_live(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("repl-backlog-ttl 1").start();
    let mut replica = replica_of(&master, r);
    assert_eq!(master.info("replication").text("repl_backlog_active"), "1");
    let replid = master.replid();
    replica.stop();
    wait_until(LONG, "the backlog is freed", || {
        master.info("replication").text("repl_backlog_active") == "0"
    });
    // Nobody can continue a history without its backlog.
    assert_ne!(master.replid(), replid);
    replica.start_again();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(master.sync_counts().full, 2);
}

fn several_share_one_snapshot(m: Kind, r: Kind, diskless: &str) {
    let master = Server::of(m)
        .name("master")
        .set(&format!("repl-diskless-sync {diskless}"))
        .set("repl-diskless-sync-delay 2")
        .start();
    // A snapshot that lasts longer than it takes three replicas to ask for one.
    fill::many_keys(&mut master.client(), 100_000, 100);
    let replicas: Vec<Server> = (0..3).map(|_| Server::of(r).name("replica").start()).collect();
    let mut clients: Vec<Client> = replicas.iter().map(Server::client).collect();
    let port = master.port().to_string();
    for client in &mut clients {
        client.send(&["REPLICAOF", "127.0.0.1", &port]).expect("the replica takes the command");
    }
    let load = Load::start(&master);
    replicas.iter().for_each(Server::wait_link_up);
    load.stop();
    replicas.iter().for_each(|replica| wait_equal(&master, replica));
    assert_eq!(master.sync_counts().full, 3);
    assert_eq!(master.log().matches("Starting BGSAVE for SYNC").count(), 1, "one fork for all");
}

fn s4_6_several_replicas_at_once_share_one_bgsave_with_a_disk_file(m: Kind, r: Kind) {
    several_share_one_snapshot(m, r, "no");
}

fn s4_6_several_replicas_at_once_share_one_bgsave_without_a_disk_file(m: Kind, r: Kind) {
    several_share_one_snapshot(m, r, "yes");
}

fn s4_6_a_diskless_sync_leaves_no_file(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("repl-diskless-sync yes").start();
    fill::every_encoding(&mut master.client());
    let replica = replica_of(&master, r);
    wait_equal(&master, &replica);
    let mut names = master.files("");
    names.retain(|name| name.ends_with(".rdb"));
    assert!(names.is_empty(), "{names:?}");
}

fn s4_7_sub_replicas_follow_through_a_promotion(m: Kind, r: Kind) {
    let top = master(m);
    let middle = replica_of(&top, r);
    let leaves = [replica_of(&middle, m), replica_of(&middle, r)];
    top.good("SET before 1");
    leaves.iter().for_each(|leaf| wait_equal(&top, leaf));
    middle.good("REPLICAOF NO ONE");
    middle.good("SET after 1");
    leaves.iter().for_each(|leaf| {
        leaf.wait_link_up();
        wait_equal(&middle, leaf);
    });
    let counts = middle.sync_counts();
    assert_eq!(
        (counts.full, counts.partial_ok),
        (2, 2),
        "one full copy each, before the promotion"
    );
}

fn s4_8_a_replica_is_read_only(m: Kind, r: Kind) {
    let master = master(m);
    let replica = replica_of(&master, r);
    assert_eq!(
        replica.run("SET k v").error(),
        "READONLY You can't write against a read only replica."
    );
    assert_eq!(replica.config("replica-read-only"), "yes");
    assert!(replica.good("CONFIG SET slave-read-only no").is_ok());
    assert!(replica.good("SET local v").is_ok());
    assert_eq!(replica.good("GET local").text(), "v");
    assert_eq!(replica.info("replication").text("slave_read_only"), "0");
    assert_eq!(master.good("EXISTS local").int(), 0);
}

fn s4_9_stale_data_is_served_or_refused(m: Kind, r: Kind) {
    let mut master = master(m);
    master.good("SET k v");
    let replica = replica_of(&master, r);
    wait_equal(&master, &replica);
    master.stop();
    replica.wait_link_down();
    assert_eq!(replica.good("GET k").text(), "v");
    replica.good("CONFIG SET replica-serve-stale-data no");
    const REFUSAL: &str =
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    assert_eq!(replica.run("GET k").error(), REFUSAL);
    assert!(replica.run("SET k v").error().starts_with("READONLY "));
    // What an operator needs is answered all the same.
    assert_eq!(replica.info("replication").text("master_link_status"), "down");
    assert_eq!(replica.config("slave-serve-stale-data"), "no");
    replica.good("REPLICAOF NO ONE");
    assert_eq!(replica.good("GET k").text(), "v");
}

fn s4_10_heartbeats_go_both_ways(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("repl-ping-replica-period 1").start();
    let proxy = Proxy::before(&master);
    let _replica = Server::of(r).name("replica").replica_of_port(proxy.port()).start();
    master.wait_online_replicas(1);
    // Nobody writes: the offset moves by the pings, and the replica acknowledges them.
    wait_until(LONG, "three pings have been acknowledged", || {
        let info = master.info("replication");
        let acknowledged =
            info.part("slave0", "offset").and_then(|o| o.parse::<i64>().ok()).unwrap_or(0);
        acknowledged >= 3 * PING.len() as i64 && acknowledged % PING.len() as i64 == 0
    });
    // Redis spells it in small letters here: the command's frame is enough.
    proxy.trip_on(Direction::ToReplica, b"*1\r\n$4\r\n", 0);
    proxy.wait_tripped();
    proxy.heal();
    master.wait_online_replicas(1);
    proxy.trip_on(Direction::ToMaster, b"REPLCONF\r\n$3\r\nACK\r\n", 0);
    proxy.wait_tripped();
}

const PING: &str = "*1\r\n$4\r\nPING\r\n";

fn s4_10_silence_ends_the_link_on_both_sides(m: Kind, r: Kind) {
    let master = Server::of(m)
        .name("master")
        .set("repl-ping-replica-period 1")
        .set("repl-timeout 3")
        .start();
    let proxy = Proxy::before(&master);
    let replica =
        Server::of(r).name("replica").set("repl-timeout 3").replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    proxy.stall();
    replica.wait_link_down();
    wait_until(LONG, "the master has dropped the replica", || {
        master.info("replication").text("connected_slaves") == "0"
    });
    assert!(master.log().contains("Disconnecting timedout replica"));
    assert!(replica.log().contains("MASTER timeout: no data nor PING received..."));
    proxy.heal();
    replica.wait_link_up();
}

fn s4_11_writes_need_enough_replicas_with_little_lag(m: Kind, r: Kind) {
    let master = Server::of(m)
        .name("master")
        .set("min-slaves-to-write 1")
        .set("min-slaves-max-lag 2")
        .start();
    const REFUSAL: &str = "NOREPLICAS Not enough good replicas to write.";
    assert_eq!(master.run("SET k v").error(), REFUSAL);
    assert_eq!(master.run("GET k"), Reply::Null, "reads go on");
    let proxy = Proxy::before(&master);
    let replica = Server::of(r).name("replica").replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    wait_until(LONG, "writes are accepted", || master.run("SET k v").is_ok());
    assert_eq!(master.info("replication").text("min_slaves_good_slaves"), "1");
    // A link that hangs counts as soon as the lag is too long, before any timeout.
    proxy.stall();
    wait_until(LONG, "writes are refused", || {
        master.run("SET k v") == Reply::Error(REFUSAL.into())
    });
    assert_eq!(master.info("replication").text("connected_slaves"), "1");
    master.good("CONFIG SET min-replicas-to-write 0");
    assert!(master.good("SET k v").is_ok());
}

fn s4_12_wait_counts_the_replicas_that_have_the_write(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("repl-disable-tcp-nodelay yes").start();
    let proxy = Proxy::before(&master);
    let replicas = [
        Server::of(r).name("replica").replica_of_port(proxy.port()).start(),
        Server::of(r).name("replica").replica_of(&master).start(),
    ];
    replicas.iter().for_each(Server::wait_link_up);
    master.wait_online_replicas(2);
    let mut client = master.client();
    client.good("SET k 1");
    assert_eq!(client.good("WAIT 2 30000").int(), 2);
    proxy.stall();
    client.good("SET k 2");
    assert_eq!(client.good("WAIT 2 300").int(), 1, "one link hangs: one replica has it");
    assert_eq!(client.good("WAIT 1 0").int(), 1);
    proxy.heal();
    assert_eq!(client.good("WAIT 2 30000").int(), 2);
    assert_eq!(
        replicas[0].run("WAIT 1 0").error(),
        "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 \
         if a replica is configured to be writable (which is not the default) writes to replicas \
         are just local and are not propagated."
    );
}

fn s4_13_manual_failover_by_hand(m: Kind, r: Kind) {
    let mut old = master(m);
    fill::every_encoding(&mut old.client());
    let new = replica_of(&old, r);
    let other = replica_of(&old, m);
    let load = Load::start(&old);
    load.wait_progress(500);
    load.stop();
    wait_equal(&old, &new);
    old.kill();
    assert!(new.good("REPLICAOF NO ONE").is_ok());
    assert!(new.good("SET promoted yes").is_ok());
    other.follow(&new);
    other.wait_link_up();
    let load = Load::start(&new);
    load.wait_progress(500);
    old.edit_config(|config| format!("{config}replicaof 127.0.0.1 {}\n", new.port()));
    old.start_again();
    old.wait_link_up();
    load.wait_progress(500);
    load.stop();
    wait_equal(&new, &other);
    wait_equal(&new, &old);
    assert_eq!(old.good("GET promoted").text(), "yes");
}

/// `save`, `appendonly`: what is on disk comes back, on the master and on the replica.
fn s4_14_each_kind_of_persistence_survives_a_restart(m: Kind, r: Kind) {
    for (save, append) in
        [("save 3600 1000000", "no"), ("save \"\"", "yes"), ("save 3600 1000000", "yes")]
    {
        let with = |kind, name: &str| {
            Server::of(kind).name(name).set(save).set(&format!("appendonly {append}"))
        };
        let mut master = with(m, "master").start();
        fill::every_encoding(&mut master.client());
        let mut replica = with(r, "replica").replica_of(&master).start();
        replica.wait_link_up();
        master.good("SET after-the-sync 1");
        wait_equal(&master, &replica);
        let digest = master.digest();
        replica.wait_no_child();
        assert!(replica.stop().success());
        replica.drop_directive("replicaof");
        replica.start_again();
        assert_eq!(replica.digest(), digest, "the replica, {save}, appendonly {append}");
        assert!(master.stop().success());
        master.start_again();
        assert_eq!(master.digest(), digest, "the master, {save}, appendonly {append}");
    }
}

fn s4_14_the_append_only_file_wins_when_it_is_on(kind: Kind) {
    let mut server = Server::of(kind).set("appendonly yes").start();
    server.good("SET in-the-file old");
    server.good("SAVE");
    server.good("SET in-the-file new");
    server.stop();
    server.start_again();
    assert_eq!(server.good("GET in-the-file").text(), "new");
    server.stop();
    server.edit_config(|config| config.replace("appendonly yes", "appendonly no"));
    server.start_again();
    assert_eq!(server.good("GET in-the-file").text(), "old");
}

fn s4_15_a_replica_flushes_its_own_data_on_full_sync(m: Kind, r: Kind) {
    let master = master(m);
    master.good("SET of-the-master 1");
    let replica = Server::of(r).name("replica").start();
    replica.good("SET of-its-own 1");
    replica.follow(&master);
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(replica.good("KEYS *").texts(), ["of-the-master"]);
}

/// A transfer that breaks off, at any point before its end, leaves the old data in service.
fn s4_15_a_failed_transfer_does_not_cost_the_old_data(m: Kind, r: Kind) {
    let master = master(m);
    fill::many_keys(&mut master.client(), 5_000, 100);
    for load in ["disabled", "swapdb"] {
        let replica =
            Server::of(r).name("replica").set(&format!("repl-diskless-load {load}")).start();
        fill::every_encoding(&mut replica.client());
        let digest = replica.digest();
        let proxy = Proxy::before(&master);
        for extra in [0, 10, 5_000, 50_000] {
            proxy.trip_on(Direction::ToReplica, b"REDIS00", extra);
            proxy.refuse(false);
            replica.good(&format!("REPLICAOF 127.0.0.1 {}", proxy.port()));
            proxy.wait_tripped();
            wait_until(LONG, "the replica has noticed", || {
                replica.info("replication").text("master_sync_in_progress") == "0"
            });
            replica.good("REPLICAOF NO ONE");
            assert_eq!(replica.digest(), digest, "cut after {extra} bytes, load {load}");
            proxy.heal();
        }
        replica.follow(&master);
        replica.wait_link_up();
        wait_equal(&master, &replica);
    }
}

/// A payload whose bytes are damaged is a failed transfer as well.
fn s4_15_a_damaged_payload_is_refused(r: Kind) {
    let source = master(Kind::Redis);
    fill::every_encoding(&mut source.client());
    source.good("SAVE");
    let rdb = source.read_file("dump.rdb");
    let damaged = Arc::new(Mutex::new(true));
    let (served, rule) = (rdb.clone(), damaged.clone());
    let fake = FakeMaster::start(move |command| {
        let word = command.split(' ').next().unwrap_or("").to_ascii_uppercase();
        match word.as_str() {
            "PING" => Answer::text("+PONG\r\n"),
            "REPLCONF" if command.contains("ACK") => Answer::Nothing,
            "REPLCONF" => Answer::text("+OK\r\n"),
            "PSYNC" => {
                let mut rdb = served.clone();
                if *rule.lock().expect("no one panics with it") {
                    // Redis dies of damage behind the magic: it verifies while it loads.
                    let at = if r.is_tandem() { rdb.len() / 2 } else { 0 };
                    rdb[at] ^= 0x10;
                }
                let mut bytes = format!("+FULLRESYNC {} 1\r\n", "a".repeat(40)).into_bytes();
                bytes.extend_from_slice(format!("${}\r\n", rdb.len()).as_bytes());
                bytes.extend_from_slice(&rdb);
                Answer::Bytes(bytes)
            }
            _ => Answer::Close,
        }
    });
    let replica = Server::of(r).name("replica").start();
    replica.good("SET old data");
    replica.good(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    wait_until(LONG, "the sync was tried twice", || {
        fake.commands().iter().filter(|c| c.starts_with("PSYNC")).count() >= 2
    });
    assert_eq!(replica.info("replication").text("master_link_status"), "down");
    if r.is_tandem() {
        assert_eq!(replica.good("GET old").text(), "data");
    }
    *damaged.lock().expect("no one panics with it") = false;
    replica.wait_link_up();
    assert_eq!(replica.digest(), source.digest());
}

/// A snapshot without a file says its end by a mark behind it, which may come long after the loader has
/// seen the snapshot's own end: the replica takes the data over when both are there, and not before.
fn s4_6_the_mark_of_a_streamed_snapshot_may_come_late(r: Kind) {
    const MARK: &str = "0123456789abcdef0123456789abcdef01234567";
    let source = master(Kind::Redis);
    fill::every_encoding(&mut source.client());
    source.good("SAVE");
    let rdb = source.read_file("dump.rdb");
    for load in ["swapdb", "on-empty-db", "disabled"] {
        let rdb = rdb.clone();
        let fake = FakeMaster::start(move |command| {
            let word = command.split(' ').next().unwrap_or("").to_ascii_uppercase();
            match word.as_str() {
                "PING" => Answer::text("+PONG\r\n"),
                "REPLCONF" if command.contains("ACK") => Answer::Nothing,
                "REPLCONF" => Answer::text("+OK\r\n"),
                _ => {
                    let offer = format!("+FULLRESYNC {} 1\r\n$EOF:{MARK}\r\n", "a".repeat(40));
                    Answer::Bytes([offer.as_bytes(), &rdb].concat())
                }
            }
        });
        let replica = Server::of(r)
            .set(&format!("repl-diskless-load {load}"))
            .replica_of_port(fake.port())
            .start_without_waiting();
        if load == "disabled" {
            replica.wait_log("receiving streamed RDB from master with EOF to disk");
        } else {
            replica.wait_log("Done loading RDB, keys loaded: ");
            assert!(!replica.log().contains("Finished with success"));
        }
        fake.send(MARK.as_bytes());
        replica.wait_link_up();
        assert_eq!(replica.digest(), source.digest(), "load {load}");
    }
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

pairings! {
    s4_1_three_ways_to_become_a_replica_are_equal,
    s4_2_the_announced_address_is_sent_and_shown,
    s4_3_the_logs_of_both_sides,
    s4_5_partial_inside_the_backlog_and_full_outside,
    s4_5_the_backlog_is_freed_after_its_time_to_live,
    s4_6_several_replicas_at_once_share_one_bgsave_with_a_disk_file,
    s4_6_several_replicas_at_once_share_one_bgsave_without_a_disk_file,
    s4_6_a_diskless_sync_leaves_no_file,
    s4_7_sub_replicas_follow_through_a_promotion,
    s4_8_a_replica_is_read_only,
    s4_9_stale_data_is_served_or_refused,
    s4_10_heartbeats_go_both_ways,
    s4_10_silence_ends_the_link_on_both_sides,
    s4_11_writes_need_enough_replicas_with_little_lag,
    s4_12_wait_counts_the_replicas_that_have_the_write,
    s4_13_manual_failover_by_hand,
    s4_14_each_kind_of_persistence_survives_a_restart,
    s4_15_a_replica_flushes_its_own_data_on_full_sync,
    s4_15_a_failed_transfer_does_not_cost_the_old_data,
}

each_server! {
    s4_2_the_steps_are_ping_auth_replconf_psync,
    s4_4_psync_answers_fullresync_then_continue,
    s4_6_the_mark_of_a_streamed_snapshot_may_come_late,
    s4_4_an_error_to_psync_makes_the_replica_use_sync,
    s4_14_the_append_only_file_wins_when_it_is_on,
    s4_15_a_damaged_payload_is_refused,
}
