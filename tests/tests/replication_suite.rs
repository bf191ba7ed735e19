//! What Redis's own replication units ask of a master and of a replica beyond the scenarios: pauses,
//! shutdowns, and the files of a sync.

use nix::sys::signal::Signal;
use tandem_tests::{each_server, pairings};
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Server, fill};

fn rdb_files(server: &Server) -> Vec<String> {
    let mut names = server.files("");
    names.retain(|name| name.ends_with(".rdb"));
    names
}

/// Where nothing is to be kept on disk, the file of a sync does not stay either.
fn a_sync_leaves_no_file_where_nothing_is_kept(m: Kind, r: Kind) {
    let builder = |kind| {
        Server::of(kind).set("save \"\"").set("repl-diskless-sync no").set("rdb-del-sync-files yes")
    };
    let master = builder(m).name("master").start();
    fill::every_encoding(&mut master.client());
    let replica = builder(r).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    for server in [&master, &replica] {
        wait_until(LONG, "the file is gone", || rdb_files(server).is_empty());
    }
    master.wait_log("Removing the RDB file used to feed replicas in a persistence-less instance");
    replica.wait_log("Removing the RDB file obtained from the master.");
    // Once somebody wants to keep something, files stay.
    master.good("CONFIG SET rdb-del-sync-files no");
    replica.good("CONFIG SET rdb-del-sync-files no");
    replica.good("REPLICAOF NO ONE");
    replica.good("SET history 2");
    replica.follow(&master);
    replica.wait_link_up();
    assert_eq!((rdb_files(&master).len(), rdb_files(&replica).len()), (1, 1));
}

/// CLIENT PAUSE holds the master's writes as well, so that somebody who watches a replica sees it rest.
fn a_paused_replica_takes_the_stream_in_and_applies_none_of_it(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("repl-ping-replica-period 3600").start();
    let replica = Server::of(r).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.good("SET before 1");
    wait_equal(&master, &replica);
    let offset = |server: &Server, field| server.info("replication").number::<u64>(field);
    let old = offset(&master, "master_repl_offset");
    replica.good("CLIENT PAUSE 1000000 WRITE");
    master.good("SET after 1");
    let mut client = master.client();
    for command in ["MULTI", "INCR n", "INCR n", "EXEC"] {
        client.good(command);
    }
    let new = offset(&master, "master_repl_offset");
    wait_until(LONG, "the replica has read it all", || {
        offset(&replica, "slave_read_repl_offset") == new
    });
    assert_eq!(offset(&replica, "slave_repl_offset"), old);
    assert_eq!(replica.good("EXISTS after").int(), 0);
    replica.good("CLIENT UNPAUSE");
    wait_equal(&master, &replica);
    assert_eq!(replica.good("GET n").text(), "2");
}

fn waiting(server: &Server) -> u64 {
    server.info("clients").number("blocked_clients")
}

/// Everybody who has asked for the end is told when nothing comes of it.
fn a_shutdown_that_waits_can_be_aborted(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("shutdown-timeout 1000").start();
    let replica = Server::of(r).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.wait_online_replicas(1);
    replica.signal(Signal::SIGSTOP);
    master.good("SET k v");
    let mut clients: Vec<Client> = (0..2).map(|_| master.client()).collect();
    for client in &mut clients {
        client.send(&["SHUTDOWN"]).expect("the master takes the command");
    }
    wait_until(LONG, "both wait for the end", || waiting(&master) == 2);
    assert!(master.info("server").number::<u64>("shutdown_in_milliseconds") > 0);
    assert!(master.good("SHUTDOWN ABORT").is_ok());
    for client in &mut clients {
        let reply = client.read_reply().expect("a reply");
        assert_eq!(reply.error(), "ERR Errors trying to SHUTDOWN. Check logs.");
    }
    master.wait_log("Shutdown manually aborted.");
    assert!(master.good("SET k w").is_ok());
    replica.signal(Signal::SIGCONT);
    wait_equal(&master, &replica);
}

/// A base that is not written yet keeps a server from ending: the file would be none.
fn a_shutdown_that_fails_tells_everybody_why(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").set("shutdown-timeout 1000").start();
    let replica = Server::of(r).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.wait_online_replicas(1);
    replica.signal(Signal::SIGSTOP);
    master.good("SET k v");
    let mut clients: Vec<Client> = (0..2).map(|_| master.client()).collect();
    for client in &mut clients {
        client.send(&["SHUTDOWN"]).expect("the master takes the command");
    }
    wait_until(LONG, "both wait for the end", || waiting(&master) == 2);
    master.good("CONFIG SET rdb-key-save-delay 1000000000");
    master.good("CONFIG SET appendonly yes");
    replica.signal(Signal::SIGCONT);
    for client in &mut clients {
        let reply = client.read_reply().expect("a reply");
        assert_eq!(reply.error(), "ERR Errors trying to SHUTDOWN. Check logs.");
    }
    master.wait_log("Writing initial AOF, can't exit.");
    master.wait_log("1 of 1 replicas are in sync");
    assert!(master.good("SET k w").is_ok());
    wait_equal(&master, &replica);
}

/// What a flush has made worthless is not saved to its end, nor sent: the replica gets what there is now.
fn a_flush_ends_the_snapshot_for_a_replica(m: Kind, r: Kind) {
    for diskless in ["yes", "no"] {
        let master = Server::of(m)
            .name("master")
            .set(&format!("repl-diskless-sync {diskless}"))
            .set("repl-diskless-sync-delay 0")
            .start();
        fill::many_keys(&mut master.client(), 100, 10);
        master.good("CONFIG SET rdb-key-save-delay 1000000000");
        let replica = Server::of(r).name("replica").replica_of(&master).start();
        wait_until(LONG, "the snapshot is being made", || {
            master.info("persistence").text("rdb_bgsave_in_progress") == "1"
        });
        master.good("CONFIG SET rdb-key-save-delay 0");
        master.good("FLUSHALL");
        master.good("SET after-the-flush 1");
        replica.wait_link_up();
        wait_equal(&master, &replica);
    }
}

/// Whoever has become a replica gets the stream and no answers any more.
fn a_replica_that_makes_the_master_answer_is_disconnected(kind: Kind) {
    let master = Server::of(kind).start();
    for sync in [vec!["SYNC"], vec!["PSYNC", "?", "-1"]] {
        for command in [vec!["PING"], vec!["SLOWLOG", "GET"], vec!["NO", "SUCH"]] {
            let mut replica = master.client();
            replica.send(&sync).expect("the master takes the command");
            let len = loop {
                let line = replica.read_line().expect("the header of the payload");
                if let Some(len) = line.strip_prefix('$') {
                    break len.parse().expect("a length");
                }
            };
            replica.read_exact(&mut vec![0; len]).expect("the payload");
            replica.send(&command).expect("the master takes the command");
            // Heartbeats may come before the end, answers do not.
            while let Ok(reply) = replica.read_reply() {
                assert_eq!(reply.texts().len(), 1, "{reply:?}");
            }
        }
    }
    master.wait_log("Replica generated a reply to command 'ping', disconnecting it: id=");
    master.wait_log("Replica generated a reply to command 'slowlog|get', disconnecting it: id=");
}

fn a_wrong_offset_is_an_error_and_nothing_else(kind: Kind) {
    let master = Server::of(kind).start();
    let mut client = master.client();
    let why = "ERR value is not an integer or out of range";
    assert_eq!(client.run("PSYNC replicationid offset").error(), why);
    master.wait_log("asks for synchronization but with a wrong offset");
    assert_eq!(client.good("PING").text(), "PONG");
}

fn a_transaction_sees_its_own_replicaof(kind: Kind) {
    let server = Server::of(kind).start();
    let mut client = server.client();
    for command in ["MULTI", "REPLICAOF 127.0.0.1 1", "INFO replication", "ROLE"] {
        client.good(command);
    }
    let replies = client.good("EXEC");
    let info = replies.items()[1].text();
    assert!(info.contains("role:slave") && info.contains("master_link_status:down"), "{info}");
    assert_eq!(replies.items()[2].items()[0].text(), "slave");
}

/// Both delays are there for tests: a snapshot takes as long as they want it to.
fn a_slow_save_can_be_looked_at_and_ended(kind: Kind) {
    let server = Server::of(kind).start();
    fill::many_keys(&mut server.client(), 10, 10);
    server.good("CONFIG SET rdb-key-save-delay 1000000000");
    server.good("BGSAVE");
    assert_eq!(server.info("persistence").text("rdb_bgsave_in_progress"), "1");
    server.good("CONFIG SET rdb-key-save-delay 0");
    server.good("FLUSHALL");
    server.wait_no_child();
}

pairings! {
    a_sync_leaves_no_file_where_nothing_is_kept,
    a_paused_replica_takes_the_stream_in_and_applies_none_of_it,
    a_shutdown_that_waits_can_be_aborted,
    a_shutdown_that_fails_tells_everybody_why,
    a_flush_ends_the_snapshot_for_a_replica,
}

each_server! {
    a_transaction_sees_its_own_replicaof,
    a_slow_save_can_be_looked_at_and_ended,
    a_replica_that_makes_the_master_answer_is_disconnected,
    a_wrong_offset_is_an_error_and_nothing_else,
}

/// The load takes as long as a test wants it to, and ends soon when it wants no more.
#[test]
fn a_slow_load_can_be_looked_at_and_hurried_up() {
    let master = Server::of(Kind::Tandem).name("master").start();
    fill::many_keys(&mut master.client(), 1_000, 10);
    let replica = Server::of(Kind::Tandem)
        .name("replica")
        .set("key-load-delay 100000")
        .replica_of(&master)
        // It may load before anybody has asked it anything: whoever waits for an answer waits for the load's end.
        .start_without_waiting();
    wait_until(LONG, "the replica loads", || {
        replica.try_info("persistence").is_ok_and(|info| info.text("loading") == "1")
    });
    assert!(replica.run("GET k").error().starts_with("LOADING "));
    replica.good("CONFIG SET key-load-delay 0");
    replica.wait_link_up();
    wait_equal(&master, &replica);
}

/// A replica of before PSYNC never says how far it is: a shutdown must not wait until it does.
#[test]
fn a_replica_without_offsets_does_not_hold_a_shutdown_up() {
    let mut master = Server::of(Kind::Tandem).set("shutdown-timeout 1000").start();
    let mut old = master.client();
    old.send(&["SYNC"]).expect("the master takes the command");
    let len = loop {
        let line = old.read_line().expect("the header of the payload");
        if let Some(len) = line.strip_prefix('$') {
            break len.parse().expect("a length");
        }
    };
    old.read_exact(&mut vec![0; len]).expect("the payload");
    master.wait_online_replicas(1);
    master.good("SET k v");
    assert!(master.stop().success());
    assert!(master.log().contains("1 of 1 replicas are in sync when shutting down."));
}

/// CONFIG RESETSTAT is about the counts of syncs as well.
#[test]
fn resetstat_forgets_syncs() {
    let master = Server::of(Kind::Tandem).name("master").start();
    let replica = Server::of(Kind::Tandem).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    assert_eq!(master.sync_counts().full, 1);
    master.good("CONFIG RESETSTAT");
    assert_eq!(master.sync_counts().full, 0);
}

/// With the clock stopped nothing happens by itself; what clients ask for does.
#[test]
fn a_paused_cron_does_nothing_by_itself() {
    let master = Server::of(Kind::Tandem).name("master").start();
    let replica = Server::of(Kind::Tandem).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.good("DEBUG PAUSE-CRON 1");
    master.good("SET k v PX 1");
    wait_until(LONG, "the replica has the key, and its time is up", || {
        replica.good("DBSIZE").int() == 1 && replica.good("EXISTS k").int() == 0
    });
    assert_eq!(master.good("DBSIZE").int(), 1, "nobody has looked for it");
    master.good("DEBUG PAUSE-CRON 0");
    wait_until(LONG, "it expires", || master.good("DBSIZE").int() == 0);
    wait_equal(&master, &replica);
}
