//! What passes between the engine and the process by way of the node, on machines of the simulation: nothing
//! may be lost or made up on the way.

mod common;

use common::{ask, cluster, cluster_in, execute, fair_weather, run};
use engine::Settings;
use protocol::Args;
use repl::Level;
use testkit::sim::Cluster;
use testkit::sim::disk::Crash;
use testkit::sim::net::Weather;
use testkit::sim::os::Keeps;

/// A field of INFO, or of a line of CLIENT LIST.
fn field(text: &str, name: &str) -> i64 {
    let found = text.split(['\r', '\n', ' ']).find_map(|word| word.strip_prefix(name));
    found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

// A monitor that saw 1 for it took every fresh master for one that had been promoted.
#[test]
fn a_master_that_was_never_a_replica_shows_no_second_offset() {
    let mut cluster = cluster(2, Settings::default());
    assert_eq!(field(&ask(&mut cluster, 0, &["INFO replication"]), "second_repl_offset:"), -1);
    let offset = cluster.nodes[1].node.repl.offset() as i64;
    let info = ask(&mut cluster, 1, &["REPLICAOF NO ONE", "INFO replication"]);
    assert_eq!(field(&info, "second_repl_offset:"), offset + 1);
}

// The output of a replica is not its client's: what waits for it stands in the backlog's chain.
#[test]
fn client_list_shows_what_waits_for_a_replica() {
    let mut cluster = cluster(2, Settings::default());
    let set = format!("SET key {}", "x".repeat(5000));
    let list = ask(&mut cluster, 0, &[&set, "CLIENT LIST TYPE replica"]);
    assert!(field(&list, "omem=") >= 5000, "{list}");
    assert!(cluster.run_while(10_000, |c| !c.is_in_sync(0)));
    let list = ask(&mut cluster, 0, &["CLIENT LIST TYPE replica"]);
    assert!(field(&list, "omem=") < 100, "{list}");
}

#[test]
fn eviction_goes_by_what_the_process_says_it_uses() {
    let mut cluster = cluster(
        1,
        Settings {
            maxmemory_bytes: 1000,
            maxmemory_policy: engine::settings::MaxmemoryPolicy::AllkeysRandom,
            ..Settings::default()
        },
    );
    let sets: Vec<String> = (0..50).map(|n| format!("SET key:{n} value")).collect();
    ask(&mut cluster, 0, &sets.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(cluster.nodes[0].node.engine.keyspace.keys(), 50, "nobody has looked yet");
    // The machine of the simulation counts a hundred bytes a key, twice a second.
    cluster.run_for(2000);
    assert_eq!(ask(&mut cluster, 0, &["SET last value"]), "+OK\r\n");
    assert!((1..=11).contains(&cluster.nodes[0].node.engine.keyspace.keys()));
}

#[test]
fn what_only_the_process_knows_is_its_word() {
    let mut cluster = cluster(1, Settings::default());
    assert_eq!(ask(&mut cluster, 0, &["LASTSAVE"]), ":1600000000\r\n");
    assert_eq!(ask(&mut cluster, 0, &["ACL GENPASS 20"]), "$5\r\n5eed5\r\n");
    let maxmemory = "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n";
    assert_eq!(ask(&mut cluster, 0, &["CONFIG GET maxmemory"]), maxmemory);
    assert_eq!(ask(&mut cluster, 0, &["CONFIG GET other"]), "*0\r\n");
    let users = "*2\r\n$7\r\ndefault\r\n$5\r\nguest\r\n";
    assert_eq!(ask(&mut cluster, 0, &["ACL LOAD", "ACL USERS"]), users);
}

#[test]
fn a_line_of_a_script_is_worth_in_the_log_what_the_script_says() {
    let mut cluster = cluster(1, Settings::default());
    for (word, level) in [
        ("DEBUG", Level::Debug),
        ("VERBOSE", Level::Verbose),
        ("NOTICE", Level::Notice),
        ("WARNING", Level::Warning),
    ] {
        ask(&mut cluster, 0, &[&format!("EVAL redis.log(redis.LOG_{word},'{word}') 0")]);
        assert_eq!(cluster.nodes[0].machine.told, Some((level, word.to_string())));
    }
}

// It was answered, and stayed connected for as long as it did not hang up itself.
#[test]
fn who_quits_while_a_command_takes_long_is_closed_after_it() {
    let mut cluster = cluster(1, Settings::default());
    let (quits, _) = run(&mut cluster, 0, &["PING"]);
    let (works, _) = run(&mut cluster, 0, &["PING"]);
    let Cluster { nodes, world, .. } = &mut cluster;
    let quit: &[&[u8]] = &[b"QUIT"];
    nodes[0].machine.interjections.push_back((quits, Args::new(quit).into()));
    nodes[0].turn(world, |node, os| {
        node.with_world(os, |engine, world| engine.serve_sockets(world));
        assert!(node.engine.client(quits).expect("it stays").out.is_empty(), "it has its answer");
        execute(node, os, works, "PING");
    });
    assert!(cluster.nodes[0].machine.gone.contains(&quits));
    assert!(cluster.nodes[0].node.engine.client(quits).is_none());
}

// A replica that comes back takes in megabytes, and the clients' replies would all wait behind them.
#[test]
fn a_replica_that_is_far_behind_gets_its_share_of_a_turn_and_no_more() {
    let wide = Weather { window_bytes: 64 << 20, ..fair_weather() };
    let mut cluster = cluster_in(wide, Keeps::Nothing, 2, Settings::default());
    ask(&mut cluster, 0, &[&format!("SET key {}", "x".repeat(32 << 20))]);
    let master = &cluster.nodes[0].node;
    let pending_bytes = master.repl.view(master.now_ms()).replicas[0].pending_bytes;
    assert!((1 << 20..32 << 20).contains(&pending_bytes), "{pending_bytes}");
    assert!(cluster.run_while(5000, |c| !c.is_in_sync(0)), "the rest follows");
}

#[test]
fn a_replica_that_never_had_its_master_says_so() {
    let mut cluster = cluster(2, Settings::default());
    cluster.crash(0, Crash::Kill);
    cluster.run_for(3000);
    let info = ask(&mut cluster, 1, &["INFO replication"]);
    assert!((1..=3).contains(&field(&info, "master_link_down_since_seconds:")), "{info}");
    cluster.crash(1, Crash::Kill);
    cluster.start(1, Some(0));
    cluster.run_for(3000);
    let info = ask(&mut cluster, 1, &["INFO replication"]);
    assert_eq!(field(&info, "master_link_down_since_seconds:"), -1);
    assert_eq!(field(&info, "master_last_io_seconds_ago:"), -1);
}

// WAIT slept until its timeout, or for ever, though the replica had said that it has everything.
#[test]
fn a_wait_ends_when_the_acknowledgement_comes() {
    let mut cluster = cluster(2, Settings::default());
    let (id, _) = run(&mut cluster, 0, &["SET key value", "WAIT 1 0"]);
    let waits = |cluster: &Cluster| {
        cluster.nodes[0].node.engine.client(id).is_some_and(|client| client.is_blocked())
    };
    assert!(waits(&cluster), "the replica has not even got the write");
    assert!(cluster.run_while(500, waits), "{}", cluster.report());
}

// The number comes from a file or a peer, and the stream's commands would run outside of every database.
#[test]
fn a_stream_goes_on_in_a_database_that_is_there() {
    let mut cluster = cluster(2, Settings::default());
    cluster.crash(0, Crash::Kill);
    cluster.run_for(1000);
    let replica = &mut cluster.nodes[1].node;
    let last = replica.engine.keyspace.len() - 1;
    for (told, expected) in [(3, 3), (last, last), (last + 1, last), (usize::MAX, last)] {
        replica.set_stream_db(told);
        assert_eq!(replica.stream_db(), expected);
    }
}

// A refusal that nobody passed on kept a replica waiting for its timeout, a minute after the master was back.
#[test]
fn a_refused_connection_is_made_anew_within_seconds() {
    let mut cluster = cluster(2, Settings::default());
    cluster.crash(0, Crash::Kill);
    cluster.run_for(5000);
    cluster.start(0, None);
    assert!(cluster.run_while(5000, |c| !c.is_in_sync(0)), "{}", cluster.report());
}

// Were every directive taken for a secret, the slow log would show no value of any CONFIG SET.
#[test]
fn the_slow_log_hides_the_values_of_secret_directives_only() {
    let settings = Settings { slowlog_log_slower_than_us: 0, ..Settings::default() };
    let mut cluster = cluster(1, settings);
    let set = "CONFIG SET requirepass sesame appendfsync always";
    let log = ask(&mut cluster, 0, &[set, "SLOWLOG GET 1"]);
    assert!(log.contains("always") && !log.contains("sesame"), "{log}");
}
