//! Commands of a master's stream that a replica cannot run. They were logged and skipped, with the link up:
//! from then on the data differed, and nobody was told.

use std::sync::{Arc, Mutex};

use testkit::client::encode;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_for, wait_until};
use testkit::{Answer, FakeMaster, Kind, Reply, Server};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn tandem(name: &str) -> testkit::ServerBuilder {
    Server::of(Kind::Tandem).name(name)
}

fn commands(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        encode(&mut bytes, &line.split(' ').collect::<Vec<_>>());
    }
    bytes
}

/// A master with an empty snapshot and a stream that the test may exchange for one of the same length.
fn master_with(stream: &Arc<Mutex<Vec<u8>>>) -> FakeMaster {
    let source = tandem("source").start();
    source.good("SAVE");
    let rdb = source.read_file("dump.rdb");
    let stream = stream.clone();
    FakeMaster::start(move |command| {
        let words: Vec<&str> = command.split(' ').collect();
        match words[0].to_ascii_uppercase().as_str() {
            "PING" => Answer::text("+PONG\r\n"),
            "REPLCONF" if command.contains("ACK") => Answer::Nothing,
            "REPLCONF" => Answer::text("+OK\r\n"),
            "PSYNC" => {
                let stream = stream.lock().expect("no one panics with it");
                let bytes = match words[2].parse::<usize>() {
                    Ok(first) => [b"+CONTINUE\r\n", &stream[first - 1..]].concat(),
                    Err(_) => {
                        let offer = format!("+FULLRESYNC {ID} 0\r\n${}\r\n", rdb.len());
                        [offer.as_bytes(), &rdb, &stream].concat()
                    }
                };
                Answer::Bytes(bytes)
            }
            _ => Answer::Close,
        }
    })
}

fn wait_stopped_before(replica: &Server, command: &str) {
    wait_for(LONG, &format!("the stream stops before {command}"), || {
        let info = replica.info("replication");
        match info.find("master_link_stopped_before") {
            Some(stopped) if stopped == command => Ok(()),
            _ => Err(info.to_string()),
        }
    });
}

/// The replica stops before what it does not know, applies and passes on nothing of what follows, says so
/// everywhere, and goes on from that very offset when it can.
fn stops_before_and_goes_on(before: &[&str], unknown: &[&str], known: &[&str], name: &str) {
    let after = ["SET after 1"];
    let stream = Arc::new(Mutex::new(commands(&[before, unknown, &after].concat())));
    let fake = master_with(&stream);
    let replica =
        tandem("replica").set("replica-serve-stale-data no").replica_of_port(fake.port()).start();
    wait_stopped_before(&replica, name);
    let info = replica.info("replication");
    assert_eq!(info.text("master_link_status"), "down");
    assert!(!info.text("master_link_error").is_empty());
    assert_eq!(info.number::<usize>("slave_repl_offset"), commands(before).len());
    assert!(replica.run("GET after").error().starts_with("MASTERDOWN"), "stale data is marked");
    let role = replica.good("ROLE");
    assert_eq!(role.items()[3].text(), format!("stopped before '{name}'"));
    assert_eq!(role.items().len(), 5);
    replica.wait_log(&format!("The replication stream stops before '{name}'"));
    replica.good("CONFIG SET replica-serve-stale-data yes");
    for key in ["after", "inside"] {
        assert_eq!(replica.good(&format!("EXISTS {key}")).int(), 0, "{key}");
    }
    let again = format!("PSYNC {ID} {}", commands(before).len() + 1);
    wait_until(LONG, "it asks again from there", || {
        fake.commands().iter().filter(|command| **command == again).count() >= 2
    });
    *stream.lock().expect("no one panics with it") = commands(&[before, known, &after].concat());
    wait_until(LONG, "it goes on", || replica.good("EXISTS after").int() == 1);
    let info = replica.info("replication");
    assert_eq!(info.text("master_link_status"), "up");
    assert_eq!(info.find("master_link_stopped_before"), None);
    let asked_in_full = fake.commands().iter().filter(|c| c.starts_with("PSYNC ?")).count();
    assert_eq!(asked_in_full, 1, "a full sync was not needed");
}

#[test]
fn an_unknown_command_of_the_stream_stops_the_replica_before_it() {
    stops_before_and_goes_on(&["SELECT 0", "SET a 1"], &["XPPEND a 2"], &["APPEND a 2"], "xppend");
}

#[test]
fn an_unknown_command_in_a_transaction_of_the_stream_stops_the_replica_before_multi() {
    let inside = |unknown| ["MULTI", "SET inside 1", unknown, "EXEC"];
    stops_before_and_goes_on(
        &["SELECT 0", "SET a 1"],
        &inside("XPPEND a 2"),
        &inside("APPEND a 2"),
        "xppend",
    );
}

#[test]
fn a_command_of_the_stream_with_arguments_of_tomorrow_stops_the_replica_before_it() {
    stops_before_and_goes_on(&["SELECT 0"], &["INCR a b"], &["INCRBY a 1"], "incr");
    stops_before_and_goes_on(&["SELECT 0"], &["SET a b TOMORROW"], &["APPEND a b"], "set");
}

/// What a command of the stream says of settings, roles and the end of the process was obeyed.
#[test]
fn shutdown_in_a_masters_stream_is_executed() {
    let stream = Arc::new(Mutex::new(commands(&["SHUTDOWN NOSAVE", "SET after 1"])));
    let fake = master_with(&stream);
    let mut replica = tandem("replica").replica_of_port(fake.port()).start_without_waiting();
    replica.wait_log("stops before 'shutdown' at offset 0");
    assert_eq!(replica.exited(), None, "it still runs");
    assert_eq!(replica.good("EXISTS after").int(), 0);

    // Redis's way skips them as well.
    let lines = [
        "SHUTDOWN NOSAVE",
        "REPLICAOF NO ONE",
        "SLAVEOF NO ONE",
        "FAILOVER",
        "CONFIG SET maxmemory 1",
        "DEBUG SEGFAULT",
        "DEBUG PANIC",
        "ACL SETUSER default off",
        "CLIENT PAUSE 1000000",
        "SUBSCRIBE c",
        "MONITOR",
        "RESET",
        "QUIT",
        "MULTI",
        "SHUTDOWN NOSAVE",
        "EXEC",
        "SET after 1",
    ];
    let stream = Arc::new(Mutex::new(commands(&lines)));
    let fake = master_with(&stream);
    let replica = tandem("replica")
        .set("propagation-error-behavior ignore")
        .replica_of_port(fake.port())
        .start();
    let after = || replica.run("EXISTS after");
    wait_until(LONG, "the stream is through", || after() == Reply::Int(1));
    assert_eq!(replica.info("replication").text("role"), "slave");
    assert_eq!(replica.config("maxmemory"), "0");
}

/// The whole of it against a Redis whose commands we do not all have; and Redis's way, in which the bytes go
/// on to sub-replicas that may know them.
#[test]
fn a_redis_that_knows_more_stops_the_replica_or_is_passed_on_verbatim() {
    let master = Server::of(Kind::Redis).name("master").start();
    let replica = tandem("replica").set("rename-command XADD \"\"").replica_of(&master).start();
    replica.wait_link_up();
    let sub = Server::of(Kind::Redis).name("sub").replica_of(&replica).start();
    sub.wait_link_up();
    master.good("SET before 1");
    master.good("XADD s 1-1 f v");
    master.good("SET after 1");
    wait_stopped_before(&replica, "xadd");
    wait_until(LONG, "what was applied is passed on", || sub.good("EXISTS before").int() == 1);
    assert_eq!(replica.good("EXISTS after").int(), 0);
    assert_eq!(sub.good("EXISTS after").int(), 0);
    assert!(sub.link_is_up(), "the sub-replica keeps its link");
    let errors = |server: &Server| server.info("stats").number::<u64>("unexpected_error_replies");
    let before = errors(&replica);

    replica.good("CONFIG SET propagation-error-behavior ignore");
    wait_until(LONG, "it goes on", || replica.good("EXISTS after").int() == 1);
    assert!(replica.link_is_up());
    assert!(errors(&replica) > before, "it counts what it skips");
    wait_equal(&master, &sub);
    assert_eq!(sub.good("XLEN s").int(), 1);
    assert_eq!(master.sync_counts().full, 1);
}

/// A list here, a string there: the two differed before, and went on differing.
#[test]
fn a_wrong_type_in_the_stream_asks_for_one_full_sync_and_not_again_at_once() {
    let master = Server::of(Kind::Redis).name("master").start();
    let replica = tandem("replica").set("replica-read-only no").replica_of(&master).start();
    replica.wait_link_up();
    replica.good("SET list local");
    master.good("RPUSH list a");
    wait_until(LONG, "the data is whole again", || replica.run("LLEN list") == Reply::Int(1));
    wait_equal(&master, &replica);
    assert_eq!(master.sync_counts().full, 2);
    // The same again, so soon, is no reason for another fork of the master.
    replica.good("SET other local");
    master.good("RPUSH other a");
    wait_stopped_before(&replica, "rpush");
    assert!(replica.info("replication").number::<u64>("master_link_retry_in_seconds") > 0);
    assert_eq!(master.sync_counts().full, 2);
}

/// What a writable replica was given made it abort with `panic`: Redis goes on, as the difference is its own.
#[test]
fn a_writable_replica_outlives_what_differs_by_its_own_writes() {
    let master = tandem("master").start();
    let replica = tandem("replica")
        .set("replica-read-only no")
        .set("propagation-error-behavior panic")
        .replica_of(&master)
        .start();
    replica.wait_link_up();
    replica.good("SET list local");
    master.good("RPUSH list a");
    master.good("SET after 1");
    wait_until(LONG, "it goes on", || replica.run("EXISTS after") == Reply::Int(1));
    assert_eq!(replica.good("GET list").text(), "local");
}

/// DEBUG REPLICATE took a database in front of the command, and wrote the command to the append-only file.
#[test]
fn debug_replicate_sends_the_command_to_replicas_only() {
    let master = tandem("master").set("appendonly yes").start();
    let replica = Server::of(Kind::Redis).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.good("DEBUG REPLICATE SET other 1");
    wait_until(LONG, "the replica has run it", || replica.run("EXISTS other") == Reply::Int(1));
    master.good("DEBUG LOADAOF");
    assert_eq!(master.good("EXISTS other").int(), 0);
}

/// A replica whose clients are paused may not run its master's stream, and went on reading it: its buffers
/// grew without bound. What it cannot run stays with the master now.
#[test]
fn a_paused_replica_does_not_take_in_what_it_may_not_run() {
    const MIB: usize = 1 << 20;
    let master = tandem("master").start();
    let replica = tandem("replica").replica_of(&master).start();
    replica.wait_link_up();
    replica.good("CLIENT PAUSE 1000000 WRITE");
    let mut client = master.client();
    let value = "v".repeat(MIB);
    for i in 0..64 {
        let reply = client.args(&["SET", &format!("k{i}"), &value]);
        assert!(reply.is_ok(), "{reply:?}");
    }
    let unapplied = |replica: &Server| {
        let info = replica.info("replication");
        info.number::<usize>("slave_read_repl_offset") - info.number::<usize>("slave_repl_offset")
    };
    // Every PING takes a turn of the loop, and every turn has its share of reading.
    let mut pinger = replica.client();
    let mut last = 0;
    wait_until(LONG, "it reads no more", || {
        (0..1000).for_each(|_| drop(pinger.good("PING")));
        let before = std::mem::replace(&mut last, unapplied(&replica));
        last > 0 && before == last
    });
    assert!(last < 8 * MIB, "{last} bytes of 64 MiB were taken in");
    replica.good("CLIENT UNPAUSE");
    wait_equal(&master, &replica);
    assert_eq!(master.sync_counts().full, 1);
}
