//! Work that is begun while other work is under way: a second child, another load, an order to the disk whose
//! end comes late. Nothing is lost by it, and no state lasts for ever.

use tandem_tests::{cast, each_server};
use testkit::wait::{LONG, wait_until};
use testkit::{Faults, Info, Kind, Reply, Server};

fn number(info: &Info, field: &str) -> i64 {
    info.text(field).parse().expect("a number")
}

/// Each of two children that one transaction asked for was begun: the server ended itself, or lost sight of
/// the first.
fn children_of_one_transaction_run_one_after_another(kind: Kind) {
    for (commands, runs) in [
        (["BGSAVE", "BGREWRITEAOF"], (1, 1)),
        (["BGREWRITEAOF", "BGSAVE"], (1, 1)),
        (["BGSAVE", "BGSAVE"], (1, 0)),
        (["BGREWRITEAOF", "BGREWRITEAOF"], (0, 1)),
        (["CONFIG SET appendonly yes", "BGSAVE"], (1, 1)),
    ] {
        let server = Server::of(kind).start();
        let mut client = server.client();
        client.good("SET k v");
        client.good("MULTI");
        commands.iter().for_each(|command| assert_eq!(client.good(command).text(), "QUEUED"));
        assert_eq!(client.good("EXEC").texts().len(), 2, "{commands:?}");
        wait_until(LONG, &format!("{commands:?} are done"), || {
            let info = server.info("persistence");
            let idle =
                ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"];
            let done = ["rdb_saves", "aof_rewrites"].map(|name| number(&info, name));
            idle.iter().all(|name| number(&info, name) == 0) && done == [runs.0, runs.1]
        });
        assert_eq!(server.info("persistence").text("rdb_last_bgsave_status"), "ok");
        assert_eq!(server.info("persistence").text("aof_last_bgrewrite_status"), "ok");
    }
}

/// The fsync of the folder failed when the manifest had its name already: the increment that it names was
/// removed, and the server did not start again.
fn an_increment_that_the_manifest_names_is_not_removed(kind: Kind) {
    for with_base in [false, true] {
        let faults = Faults::new();
        let mut server = Server::of(kind).faults(&faults).set("appendonly yes").start();
        let mut client = server.client();
        client.good("INCR n");
        let manifest = ["rename stall .manifest"];
        if with_base {
            faults.wait_hit_of(&["write stall temp-rewriteaof"], "write stall", || {
                client.good("BGREWRITEAOF");
            });
            faults.wait_hit_of(&manifest, "rename stall", || {});
        } else {
            faults.wait_hit_of(&manifest, "rename stall", || {
                client.good("BGREWRITEAOF");
            });
        }
        faults.wait_hit_of(&["fsync EIO appendonlydir$"], "fsync EIO", || {});
        // What follows a failed fsync counts again when a rewrite has replaced the file.
        wait_until(LONG, "the failure is known", || client.run("INCR n").is_error());
        faults.clear();
        client.run("BGREWRITEAOF");
        let mut value = 0;
        wait_until(LONG, "writes are taken", || match client.run("INCR n") {
            Reply::Int(n) => {
                value = n;
                true
            }
            _ => false,
        });
        server.kill();
        server.start_again();
        assert_eq!(server.run("GET n").text(), value.to_string(), "with a base: {with_base}");
    }
}

/// The server is killed in the moment in which the damage was done, before any other rewrite.
fn an_increment_that_the_manifest_names_is_found_at_once(kind: Kind) {
    let faults = Faults::new();
    let mut server = Server::of(kind).faults(&faults).set("appendonly yes").start();
    let mut client = server.client();
    client.good("INCR n");
    faults.wait_hit_of(&["fsync EIO appendonlydir$", "fork EAGAIN"], "fsync EIO", || {
        client.send(&["BGREWRITEAOF"]).expect("the server lives");
    });
    server.wait_log("Can't rewrite append only file in background: Input/output error");
    server.kill();
    faults.clear();
    server.start_again();
    assert_eq!(server.run("GET n").text(), "1");
}

/// DEBUG RELOAD took the load of the master's snapshot for its own, whose end nobody heard of then: the link
/// stayed down for as long as the master lived.
fn debug_reload_leaves_a_master_s_snapshot_alone(kind: Kind) {
    let master = Server::of(kind).start();
    let keys = 200;
    (0..keys).for_each(|n| assert!(master.run(&format!("SET new{n} v")).is_ok()));
    for command in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
        for (load, answer) in [("disabled", "OK"), ("swapdb", "LOADING")] {
            let replica = Server::of(kind).set(&format!("repl-diskless-load {load}")).start();
            replica.good("SET old v");
            replica.good("CONFIG SET key-load-delay 100000");
            replica.follow(&master);
            wait_until(LONG, "the snapshot is rehearsed or loaded", || {
                ["Rehearsing", "Loading"].iter().any(|word| replica.log().contains(word))
            });
            let reply = replica.run(command);
            let told = if reply.is_error() { reply.error().to_string() } else { reply.text() };
            assert!(told.starts_with(answer), "{command} with {load}: {told}");
            replica.good("CONFIG SET key-load-delay 0");
            replica.wait_link_up();
            assert_eq!(replica.run("DBSIZE").int(), keys);
        }
    }
}

/// It saved what there was of the first load, nothing, over the file that was being loaded.
fn debug_reload_during_the_first_load_is_refused(kind: Kind) {
    let mut server = Server::of(kind).start();
    let keys = 200;
    (0..keys).for_each(|n| assert!(server.run(&format!("SET k{n} v")).is_ok()));
    server.good("SAVE");
    server.kill();
    server.edit_config(|text| text + "\nkey-load-delay 100000\n");
    server.spawn();
    wait_until(LONG, "it loads", || server.log().contains("Loading an RDB file"));
    let mut client = server.client();
    for command in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
        assert!(client.run(command).error().starts_with("LOADING"), "{command}");
    }
    client.good("CONFIG SET key-load-delay 0");
    wait_until(LONG, "it is loaded", || server.run("DBSIZE") == Reply::Int(keys));
}

/// The file of a snapshot that was given up was removed late, by its name, which the next one had by then.
fn a_snapshot_begun_within_the_second_has_a_file_of_its_own(kind: Kind) {
    let master = Server::of(kind).start();
    master.good("SET new v");
    let faults = Faults::new();
    let replica = Server::of(kind).faults(&faults).start();
    replica.good("SET old v");
    faults.wait_hit_of(&["fsync stall temp-"], "fsync stall", || replica.follow(&master));
    let files = || replica.files("").into_iter().filter(|name| name.starts_with("temp-"));
    let first: Vec<String> = files().collect();
    // Two of them, so that in one of them the second is the same one.
    for _ in 0..2 {
        replica.good("REPLICAOF NO ONE");
        let before = files().count();
        replica.follow(&master);
        wait_until(LONG, "another one is received", || files().count() > before);
    }
    assert!(first.iter().all(|name| files().any(|other| other == *name)));
    faults.clear();
    replica.wait_link_up();
    assert_eq!(replica.run("GET new").text(), "v");
    assert!(!replica.log().contains("No such file"), "{}", replica.log());
}

/// The disk's thread hung in an fsync, and the process never ended after it had said good bye.
fn a_disk_that_does_not_answer_does_not_keep_the_server_from_ending(kind: Kind) {
    let master = Server::of(kind).start();
    let faults = Faults::new();
    let mut replica = Server::of(kind).faults(&faults).start();
    faults.wait_hit_of(&["fsync stall temp-"], "fsync stall", || replica.follow(&master));
    replica.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(replica.wait_exit().success());
}

/// While the disk hung in the rename of a replica's snapshot, nobody could sync with that replica, also not those
/// who need no file.
fn a_rename_that_takes_long_keeps_no_streamed_snapshot_waiting(kind: Kind) {
    let master = Server::of(kind).start();
    master.good("SET k v");
    let faults = Faults::new();
    let replica = Server::of(kind).faults(&faults).set("repl-diskless-sync yes").start();
    faults.wait_hit_of(&["rename stall dump.rdb"], "rename stall", || replica.follow(&master));
    let below = Server::of(kind).start();
    below.follow(&replica);
    below.wait_link_up();
    assert_eq!(below.run("GET k").text(), "v");
    faults.clear();
}

/// It was removed in the belief that it was the master's, which had been in its place a moment before.
fn what_save_has_written_is_not_removed_as_a_master_s_file(kind: Kind) {
    let master = Server::of(kind).start();
    let faults = Faults::new();
    let replica = Server::of(kind).faults(&faults).set("rdb-del-sync-files yes").start();
    faults.wait_hit_of(&["rename stall dump.rdb"], "rename stall", || replica.follow(&master));
    let mut client = replica.client();
    client.send(&["SAVE"]).expect("the server lives");
    faults.clear();
    assert!(client.read_reply().is_ok_and(|reply| reply.is_ok()));
    replica.wait_link_up();
    // The mail of that moment is read, and what was ordered then is done.
    assert_eq!(replica.good("PING").text(), "PONG");
    replica.good("DEBUG RELOAD NOSAVE");
    assert!(replica.file("dump.rdb").exists());
}

cast! { alone: (testkit::Kind::Tandem):
    an_increment_that_the_manifest_names_is_not_removed, an_increment_that_the_manifest_names_is_found_at_once,
    debug_reload_leaves_a_master_s_snapshot_alone, debug_reload_during_the_first_load_is_refused,
    a_snapshot_begun_within_the_second_has_a_file_of_its_own,
    a_disk_that_does_not_answer_does_not_keep_the_server_from_ending,
    a_rename_that_takes_long_keeps_no_streamed_snapshot_waiting,
    what_save_has_written_is_not_removed_as_a_master_s_file
}

each_server! { children_of_one_transaction_run_one_after_another }
