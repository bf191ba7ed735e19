//! Masters and replicas of both makes under load, over links that break in every way: at the end the
//! data is equal, and a full copy was made only where one was due.

use tandem_tests::pairings;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Direction, Kind, Load, Proxy, Server, ServerBuilder, fill};

fn master(kind: Kind) -> ServerBuilder {
    Server::of(kind).name("master")
}

/// A replica that notices a broken link soon.
fn replica(kind: Kind) -> ServerBuilder {
    Server::of(kind).name("replica").set("repl-timeout 10")
}

fn full_sync_under_load(master: ServerBuilder, replica: ServerBuilder) -> (Server, Server) {
    let master = master.start();
    fill::every_encoding(&mut master.client());
    fill::many_keys(&mut master.client(), 20_000, 100);
    let load = Load::start(&master);
    load.wait_progress(500);
    let replica = replica.replica_of(&master).start();
    replica.wait_link_up();
    load.wait_progress(2_000);
    load.stop();
    wait_equal(&master, &replica);
    assert_eq!(master.sync_counts().full, 1);
    (master, replica)
}

fn full_sync_by_way_of_a_disk_file(m: Kind, r: Kind) {
    let (master, _replica) = full_sync_under_load(master(m), replica(r));
    assert!(master.log().contains("Starting BGSAVE for SYNC with target: disk"));
}

fn full_sync_without_a_disk_file(m: Kind, r: Kind) {
    let (master, _replica) =
        full_sync_under_load(master(m).set("repl-diskless-sync yes"), replica(r));
    assert!(master.log().contains("Starting BGSAVE for SYNC with target: replicas sockets"));
}

fn full_sync_loaded_straight_from_the_socket(m: Kind, r: Kind) {
    let replica = replica(r).set("repl-diskless-load swapdb");
    full_sync_under_load(master(m).set("repl-diskless-sync yes"), replica);
}

fn full_sync_into_an_empty_replica_straight_from_the_socket(m: Kind, r: Kind) {
    let replica = replica(r).set("repl-diskless-load on-empty-db");
    full_sync_under_load(master(m).set("repl-diskless-sync yes"), replica);
}

/// What a replica received went to its append-only file as well: it comes back with it, on its own.
fn full_sync_with_an_append_only_file_on_both_sides(m: Kind, r: Kind) {
    let (master, mut replica) =
        full_sync_under_load(master(m).set("appendonly yes"), replica(r).set("appendonly yes"));
    replica.wait_no_child();
    replica.stop();
    replica.drop_directive("replicaof");
    replica.start_again();
    // Short-lived keys expire on both sides, each in its own time.
    wait_until(LONG, "the data of the file equals the master's", || {
        replica.digest() == master.digest()
    });
}

/// A link that is cut over and over costs what was missed, never another full copy.
fn a_cut_link_continues_without_a_full_copy(m: Kind, r: Kind) {
    let master = master(m).set("repl-backlog-size 64mb").start();
    fill::every_encoding(&mut master.client());
    fill::many_keys(&mut master.client(), 10_000, 100);
    let proxy = Proxy::before(&master);
    let replica = replica(r).replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    let load = Load::start(&master);
    for round in 1..=4 {
        load.wait_progress(300);
        let before = proxy.bytes(Direction::ToReplica);
        proxy.cut();
        wait_until(LONG, "the master has continued", || master.sync_counts().partial_ok == round);
        load.wait_progress(300);
        replica.wait_link_up();
        let passed = proxy.bytes(Direction::ToReplica) - before;
        assert!(passed < 900_000, "a cut cost {passed} bytes, about as much as a full copy");
    }
    load.stop();
    wait_equal(&master, &replica);
    assert_eq!(master.sync_counts().full, 1);
    assert!(replica.log().contains("Successful partial resynchronization with master."));
}

/// The master closed a connection and the replica was never told: silence alone must bring it back.
fn a_half_open_link_is_noticed_by_its_silence(m: Kind, r: Kind) {
    let master = master(m).set("repl-ping-replica-period 1").start();
    let proxy = Proxy::before(&master);
    let replica = replica(r).set("repl-timeout 3").replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    master.good("SET before 1");
    wait_equal(&master, &replica);
    proxy.half_open();
    master.good("SET after 2");
    wait_until(LONG, "the master has continued", || master.sync_counts().partial_ok == 1);
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(master.sync_counts().full, 1);
}

/// TCP keeps no boundaries: every reply, preamble and command may come a byte at a time.
fn a_link_in_pieces_of_one_byte(m: Kind, r: Kind) {
    for diskless in ["no", "yes"] {
        let master = master(m).set(&format!("repl-diskless-sync {diskless}")).start();
        fill::many_keys(&mut master.client(), 500, 10);
        let proxy = Proxy::before(&master);
        proxy.fragment(1);
        let replica = replica(r).replica_of_port(proxy.port()).start();
        replica.wait_link_up();
        let load = Load::start(&master);
        load.wait_progress(500);
        load.stop();
        wait_equal(&master, &replica);
    }
}

/// A value of many megabytes crosses a snapshot, and then the stream, in one piece.
fn huge_values_cross_the_link(m: Kind, r: Kind) {
    let master = master(m).start();
    let noise = fill::noise(8 << 20, 7);
    master.client().args(&[b"SET".as_slice(), b"huge:before", &noise]);
    let replica = replica(r).replica_of(&master).start();
    replica.wait_link_up();
    let mut client = master.client();
    client.args(&[b"SET".as_slice(), b"huge:after", &noise]);
    client.args(&[b"APPEND".as_slice(), b"huge:before", &noise]);
    client.args(&[b"RPUSH".as_slice(), b"huge:list", &noise, b"small", &noise]);
    wait_equal(&master, &replica);
    assert_eq!(replica.good("STRLEN huge:before").int(), 16 << 20);
}

/// A replica never expires a key on its own, but it never serves one that is past its time either.
fn expiries_end_at_the_same_time_on_both_sides(m: Kind, r: Kind) {
    let master = master(m).start();
    let replica = replica(r).replica_of(&master).start();
    replica.wait_link_up();
    let mut client = master.client();
    for i in 0..500 {
        client.good(&format!("SET short:{i} v PX {}", 200 + i));
    }
    client.good("SET long v EX 1000");
    wait_until(LONG, "the replica serves none of the expired keys", || {
        replica.good("EXISTS short:0 short:250 short:499").int() == 0
    });
    wait_until(LONG, "the expired keys are gone on both sides", || {
        master.good("DBSIZE").int() == 1 && replica.good("DBSIZE").int() == 1
    });
    wait_equal(&master, &replica);
}

/// The reason stands in the log, the link stays down, and the right password mends it.
fn a_wrong_password_keeps_the_link_down_and_says_why(m: Kind, r: Kind) {
    let master = master(m).set("requirepass secret").start();
    let replica = replica(r).set("masterauth wrong").replica_of(&master).start();
    replica.wait_log("WRONGPASS");
    assert!(replica.log().contains("Unable to AUTH to MASTER"));
    replica.wait_link_down();
    let tries = |log: &str| log.matches("WRONGPASS").count();
    let before = tries(&replica.log());
    wait_until(LONG, "another try was made", || tries(&replica.log()) > before);
    replica.good("CONFIG SET masterauth secret");
    replica.wait_link_up();
}

fn a_missing_password_keeps_the_link_down_and_says_why(m: Kind, r: Kind) {
    let master = master(m).set("requirepass secret").start();
    let replica = replica(r).replica_of(&master).start();
    replica.wait_log("NOAUTH");
    replica.wait_link_down();
    replica.good("CONFIG SET masterauth secret");
    replica.wait_link_up();
}

/// Where a link is cut: when this text has passed, and so many bytes after it.
const STEPS: &[(Direction, &str, usize)] = &[
    (Direction::ToMaster, "PING", 0),
    (Direction::ToReplica, "+PONG", 0),
    (Direction::ToMaster, "listening-port", 0),
    (Direction::ToMaster, "capa", 0),
    (Direction::ToReplica, "+OK", 2),
    (Direction::ToMaster, "PSYNC", 0),
    (Direction::ToReplica, "+FULLRESYNC", 10),
    (Direction::ToReplica, "\r\n$", 1),
    (Direction::ToReplica, "REDIS00", 0),
    (Direction::ToReplica, "REDIS00", 1_000),
    (Direction::ToReplica, "REDIS00", 20_000),
];

/// A master is killed at each step of a sync in turn; each time it comes back as a new life of itself,
/// and each time the replica ends up with its data.
fn a_master_that_dies_in_the_middle_of_each_step(mut master: Server, r: Kind) {
    fill::many_keys(&mut master.client(), 3_000, 50);
    let proxy = Proxy::before(&master);
    let replica = replica(r).replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    for (direction, pattern, extra) in STEPS {
        proxy.trip_on(*direction, pattern.as_bytes(), *extra);
        // A master that starts anew has a new replication id: the replica needs a full copy.
        master.kill();
        master.start_again();
        master.good("INCR lives");
        proxy.wait_tripped();
        master.kill();
        master.start_again();
        proxy.heal();
        replica.wait_link_up();
        wait_equal(&master, &replica);
    }
}

fn a_master_that_dies_in_the_middle_of_each_step_with_a_disk_file(m: Kind, r: Kind) {
    a_master_that_dies_in_the_middle_of_each_step(master(m).set("appendonly yes").start(), r);
}

fn a_master_that_dies_in_the_middle_of_each_step_without_a_disk_file(m: Kind, r: Kind) {
    let master = master(m).set("appendonly yes").set("repl-diskless-sync yes");
    a_master_that_dies_in_the_middle_of_each_step(master.start(), r);
}

/// The last step: the copy is whole, and the master dies in the middle of a command of the stream.
fn a_master_that_dies_in_the_middle_of_a_command(m: Kind, r: Kind) {
    let mut master = master(m).set("appendonly yes").start();
    let proxy = Proxy::before(&master);
    let replica = replica(r).replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    for cut_after in [0, 3, 12, 40] {
        proxy.trip_on(Direction::ToReplica, b"mid-command", cut_after);
        master.good(&format!("SET mid-command {}", "x".repeat(100)));
        proxy.wait_tripped();
        master.kill();
        master.start_again();
        proxy.heal();
        replica.wait_link_up();
        wait_equal(&master, &replica);
    }
}

/// A connection cut in the middle of a command, the master alive: the rest comes with +CONTINUE.
fn a_cut_in_the_middle_of_a_command_loses_nothing(m: Kind, r: Kind) {
    let master = master(m).start();
    let proxy = Proxy::before(&master);
    let replica = replica(r).replica_of_port(proxy.port()).start();
    replica.wait_link_up();
    for (i, cut_after) in [0, 1, 5, 30, 90].into_iter().enumerate() {
        proxy.trip_on(Direction::ToReplica, b"mid-command", cut_after);
        master.good(&format!("APPEND mid-command {}", "x".repeat(100)));
        proxy.wait_tripped();
        master.good("INCR counter");
        proxy.heal();
        wait_until(LONG, "the master has continued", || {
            master.sync_counts().partial_ok == i as u64 + 1
        });
        wait_equal(&master, &replica);
    }
    assert_eq!(master.sync_counts().full, 1);
}

/// A replica that was stopped and started goes on from where it was.
fn a_restarted_replica_continues_without_a_full_copy(m: Kind, r: Kind) {
    let master = master(m).start();
    fill::every_encoding(&mut master.client());
    let mut replica = replica(r).set("save 3600 1000000").replica_of(&master).start();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert!(replica.stop().success());
    master.good("SET while-away 1");
    replica.start_again();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    let counts = master.sync_counts();
    assert_eq!((counts.full, counts.partial_ok), (1, 1));
}

/// Keys whose time was up while the master was down are not loaded any more; its replica, which goes on
/// without a full copy, must hear of their end all the same.
fn a_restarted_master_deletes_what_expired_meanwhile(m: Kind, r: Kind) {
    let mut master = master(m).set("save 3600 1000000").start();
    let replica = replica(r).replica_of(&master).start();
    replica.wait_link_up();
    master.good("DEBUG SET-ACTIVE-EXPIRE 0");
    master.good("SET stays 1");
    for i in 0..50 {
        master.good(&format!("SET short-lived-{i} 1 PX 1000"));
    }
    wait_equal(&master, &replica);
    assert_eq!(replica.good("DBSIZE").int(), 51);
    assert!(master.stop().success());
    wait_until(LONG, "the keys have expired", || {
        replica.run("EXISTS short-lived-0 short-lived-49").int() == 0
    });
    master.start_again();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(replica.good("DBSIZE").int(), 1);
    let counts = master.sync_counts();
    assert_eq!((counts.full, counts.partial_ok), (0, 1));
}

pairings! {
    full_sync_by_way_of_a_disk_file,
    full_sync_without_a_disk_file,
    full_sync_loaded_straight_from_the_socket,
    full_sync_into_an_empty_replica_straight_from_the_socket,
    full_sync_with_an_append_only_file_on_both_sides,
    a_cut_link_continues_without_a_full_copy,
    a_half_open_link_is_noticed_by_its_silence,
    a_link_in_pieces_of_one_byte,
    huge_values_cross_the_link,
    expiries_end_at_the_same_time_on_both_sides,
    a_wrong_password_keeps_the_link_down_and_says_why,
    a_missing_password_keeps_the_link_down_and_says_why,
    a_master_that_dies_in_the_middle_of_each_step_with_a_disk_file,
    a_master_that_dies_in_the_middle_of_each_step_without_a_disk_file,
    a_master_that_dies_in_the_middle_of_a_command,
    a_cut_in_the_middle_of_a_command_loses_nothing,
    a_restarted_replica_continues_without_a_full_copy,
    a_restarted_master_deletes_what_expired_meanwhile,
}
