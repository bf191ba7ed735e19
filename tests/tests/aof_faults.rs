//! The append-only file on a disk that is slow, full or broken: what was acknowledged stands, what is
//! promised is kept, and the server says what is wrong.

use tandem_tests::{cast, each_server};
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Faults, Kind, Server, ServerBuilder};

/// Keys that are written while something is wrong.
const KEYS: usize = 200;

fn with_aof(kind: Kind, faults: &Faults, fsync: &str) -> ServerBuilder {
    let server = Server::of(kind).faults(faults).set("appendonly yes");
    server.set(&format!("appendfsync {fsync}")).set("auto-aof-rewrite-percentage 0")
}

/// Sets `prefix0`, `prefix1`, ... and returns those that were answered with OK.
fn acknowledged(client: &mut Client, prefix: &str) -> Vec<String> {
    let keys: Vec<String> = (0..KEYS).map(|n| format!("{prefix}{n}")).collect();
    keys.iter().for_each(|key| assert!(client.good(&format!("SET {key} v")).is_ok()));
    keys
}

/// Whether some file of the append-only file has the word.
fn is_in_the_file(server: &Server, word: &str) -> bool {
    let files = std::fs::read_dir(server.file("appendonlydir")).expect("there is one");
    files.flatten().any(|file| testkit::process::read_lossy(&file.path()).contains(word))
}

fn assert_has(server: &Server, keys: &[String], when: &str) {
    let mut client = server.client();
    let lost: Vec<_> =
        keys.iter().filter(|key| client.good(&format!("EXISTS {key}")).int() == 0).collect();
    assert!(lost.is_empty(), "{when}: acknowledged and lost: {lost:?}");
}

/// An fsync of twelve seconds let 875 of 970 acknowledged writes go with a kill -9: nothing was written
/// while it ran, and the replies left all the same.
fn an_fsync_that_takes_long_costs_no_acknowledged_write(kind: Kind) {
    let faults = Faults::new();
    let mut server = with_aof(kind, &faults, "everysec").start();
    let mut client = server.client();
    faults.wait_hit_of(&["fsync stall 1.incr.aof"], "fsync stall", || {
        client.good("SET first v");
    });
    let mut keys = acknowledged(&mut client, "k");
    // Nor does it keep a rewrite's manifest waiting, and with it the replies to what comes behind.
    assert!(client.good("BGREWRITEAOF").text().ends_with("started"));
    keys.extend(acknowledged(&mut client, "behind"));
    server.kill();
    faults.clear();
    server.start_again();
    assert_has(&server, &keys, "an fsync took long");
}

/// During BGREWRITEAOF acknowledged writes were lost on an ordinary disk, with `everysec` and `no`: the
/// old increment's fsync let replies leave, and who asked for the rewrite was not held at all.
fn a_rewrite_costs_no_acknowledged_write_whenever_the_server_dies(kind: Kind) {
    for fsync in ["everysec", "no"] {
        // Where the child and the loop stand still while the server dies. The loop goes on meanwhile where it
        // is not itself what stands still.
        for (phase, goes_on) in [
            ("rename stall appendonly.aof.manifest", false),
            ("fsync stall 1.incr.aof", true),
            ("write stall temp-rewriteaof", true),
            ("fsync stall temp-rewriteaof", true),
            ("rename stall 2.base", true),
            ("unlink stall 1.incr.aof", true),
        ] {
            let faults = Faults::new();
            let mut server = with_aof(kind, &faults, fsync).start();
            let mut client = server.client();
            let mut keys = acknowledged(&mut client, "before");
            let hit = phase.rsplit_once(' ').map_or(phase, |(call, _)| call);
            faults.wait_hit_of(&[phase], hit, || {
                // In one batch with it: its reply left before its bytes were anywhere.
                client.send_raw(b"SET with v\r\nBGREWRITEAOF\r\n").expect("the server lives");
            });
            if goes_on {
                assert!(client.read_reply().is_ok_and(|reply| reply.is_ok()));
                assert!(client.read_reply().is_ok_and(|reply| !reply.is_error()));
                keys.push("with".into());
                keys.extend(acknowledged(&mut client, "after"));
            }
            server.kill();
            faults.clear();
            server.start_again();
            assert_has(&server, &keys, &format!("{fsync}, killed at {phase:?}"));
        }
    }
}

/// The manifest's second change, which makes the new base the one that is loaded.
fn a_rewrite_that_dies_before_its_last_step_costs_nothing(kind: Kind) {
    let faults = Faults::new();
    let mut server = with_aof(kind, &faults, "everysec").start();
    let mut client = server.client();
    let mut keys = acknowledged(&mut client, "before");
    faults.wait_hit_of(&["write stall temp-rewriteaof"], "write stall", || {
        client.good("BGREWRITEAOF");
    });
    keys.extend(acknowledged(&mut client, "meanwhile"));
    faults.wait_hit_of(&["rename stall appendonly.aof.manifest"], "rename stall", || {});
    server.kill();
    faults.clear();
    server.start_again();
    assert_has(&server, &keys, "killed before the manifest's rename");
}

/// The start of a rewrite kept everybody waiting for its manifest. Where that cannot be stored the rewrite
/// fails, and nothing else.
fn a_manifest_that_takes_long_or_fails_keeps_only_writers_waiting(kind: Kind) {
    for fsync in ["everysec", "always"] {
        let faults = Faults::new();
        let mut server = with_aof(kind, &faults, fsync).start();
        let mut keys = acknowledged(&mut server.client(), "before");
        let stall = ["rename stall appendonly.aof.manifest", "write stall temp-rewriteaof"];
        faults.wait_hit_of(&stall, "rename stall", || {
            server.client().send(&["BGREWRITEAOF"]).expect("the server lives");
        });
        let mut writer = server.client();
        writer.send(&["SET", "meanwhile", "v"]).expect("the server lives");
        wait_until(LONG, "the write is seen", || server.run("EXISTS meanwhile").int() == 1);
        faults.set(&["rename EIO appendonly.aof.manifest", "write stall temp-rewriteaof"]);
        assert!(writer.read_reply().is_ok_and(|reply| reply.is_ok()));
        keys.push("meanwhile".into());
        faults.clear();
        keys.extend(acknowledged(&mut writer, "after"));
        let info = server.info("persistence");
        assert_eq!(info.text("aof_last_bgrewrite_status"), "err");
        assert_eq!(info.text("aof_rewrite_in_progress"), "0");
        server.kill();
        server.start_again();
        assert_has(&server, &keys, fsync);
    }
}

/// Who was told to follow a master stood still while the first base of the new data set, or the file that
/// was received, got its name. Whenever it dies meanwhile, a whole data set is found: the old one, or the new
/// one with all that has come behind it.
fn a_new_data_set_s_file_keeps_nobody_waiting_and_is_whole_whenever_the_server_dies(kind: Kind) {
    let master = Server::of(kind).start();
    let new = acknowledged(&mut master.client(), "new");
    for (phase, is_begun) in [
        ("fsync stall .rdb", false),
        ("rename stall dump.rdb", false),
        ("fsync stall temp-appendonly.aof.incr", false),
        ("rename stall 2.base", false),
        ("rename stall 2.incr", false),
        ("fsync stall temp-appendonly.aof.manifest", false),
        ("rename stall appendonly.aof.manifest", false),
        ("unlink stall 1.incr.aof", true),
    ] {
        let faults = Faults::new();
        let mut server = with_aof(kind, &faults, "everysec").set("save 3600 1").start();
        let old = acknowledged(&mut server.client(), "old");
        let hit = phase.rsplit_once(' ').map_or(phase, |(call, _)| call);
        faults.wait_hit_of(&[phase], hit, || {
            assert!(server.run(&format!("REPLICAOF 127.0.0.1 {}", master.port())).is_ok());
        });
        let later = format!("later-{}", phase.replace(' ', "-"));
        if phase != "fsync stall .rdb" {
            // What has come is served, and what comes is applied.
            server.wait_link_up();
            assert!(master.run(&format!("SET {later} v")).is_ok());
            wait_until(LONG, "the stream is applied", || {
                server.run(&format!("EXISTS {later}")).int() == 1
            });
        }
        assert_eq!(server.run("PING").text(), "PONG", "{phase}");
        if is_begun {
            // What is applied need not be written yet: nobody was told that it is.
            wait_until(LONG, "the stream is in the file", || is_in_the_file(&server, &later));
        }
        server.kill();
        faults.clear();
        server.start_again();
        match is_begun {
            true => {
                assert_has(&server, &new, phase);
                assert_has(&server, &[later], phase);
            }
            false => assert_has(&server, &old, phase),
        }
        assert!(server.run("BGREWRITEAOF").text().starts_with("Background append only"), "{phase}");
    }
}

/// Turning the file off, and changes from and to `always`, waited for an fsync with everybody else.
fn a_change_of_the_file_s_ways_keeps_nobody_waiting(kind: Kind) {
    let faults = Faults::new();
    let mut server = with_aof(kind, &faults, "everysec").start();
    let mut client = server.client();
    faults.wait_hit_of(&["fsync stall appendonlydir"], "fsync stall", || {
        client.good("SET first v");
    });
    let mut keys = acknowledged(&mut client, "everysec");
    assert!(server.run("CONFIG SET appendfsync always").is_ok());
    client.send(&["SET", "always", "v"]).expect("the server lives");
    wait_until(LONG, "the write is seen", || server.run("EXISTS always").int() == 1);
    // Its reply waits for the disk, and nobody else does.
    assert_eq!(server.run("PING").text(), "PONG");
    faults.clear();
    assert!(client.read_reply().is_ok_and(|reply| reply.is_ok()));
    keys.push("always".into());
    keys.extend(acknowledged(&mut client, "then"));
    assert!(server.run("CONFIG SET appendfsync everysec").is_ok());
    keys.extend(acknowledged(&mut client, "again"));
    faults.wait_hit_of(&["fsync stall appendonlydir"], "fsync stall", || {
        client.good("SET second v");
    });
    assert!(server.run("CONFIG SET appendonly no").is_ok());
    assert_eq!(server.info("persistence").text("aof_enabled"), "0");
    assert!(server.run("SET off v").is_ok());
    server.kill();
    faults.clear();
    server.start_again();
    assert_has(&server, &keys, "turned off while an fsync took long");
    assert_eq!(server.run("EXISTS off").int(), 0);
}

/// While the disk refused, `everysec` and `no` answered OK to what was nowhere but in this process.
fn a_write_that_the_disk_refuses_is_answered_when_the_disk_has_taken_it(kind: Kind) {
    let faults = Faults::new();
    let mut server = with_aof(kind, &faults, "everysec").start();
    let mut client = server.client();
    faults.wait_hit_of(&["write ENOSPC appendonlydir"], "write ENOSPC", || {
        client.send(&["SET", "refused", "v"]).expect("the server lives");
    });
    wait_until(LONG, "the refusal is known", || {
        server.info("persistence").text("aof_last_write_status") == "err"
    });
    assert!(server.run("SET other v").error().starts_with("MISCONF Errors writing to the AOF"));
    server.wait_log("Error writing to the AOF file (/");
    server.wait_log("/appendonlydir/appendonly.aof.1.incr.aof): No space left on device");
    let mut reader = server.client();
    assert_eq!(reader.good("GET refused").text(), "v", "only the writer waits");
    faults.clear();
    assert!(client.read_reply().is_ok_and(|reply| reply.is_ok()));
    server.kill();
    server.start_again();
    assert_has(&server, &["refused".into()], "the disk was full for a while");
}

/// Every command of the stream put off the next attempt to write: the file of a busy replica whose disk had been
/// full for a moment was never written again, and what it owed filled the memory.
fn a_disk_that_takes_writes_again_is_written_to_whatever_the_stream_brings(kind: Kind) {
    let master = Server::of(kind).start();
    let faults = Faults::new();
    let replica = with_aof(kind, &faults, "everysec").replica_of(&master).start();
    replica.wait_link_up();
    replica.wait_no_child();
    let status = || replica.info("persistence").text("aof_last_write_status").to_string();
    wait_until(LONG, "the first base is there", || status() == "ok");
    faults.wait_hit_of(&["write ENOSPC incr"], "write ENOSPC", || {
        master.good("INCR n");
    });
    wait_until(LONG, "the refusal is known", || status() == "err");
    faults.clear();
    wait_until(LONG, "the file is written", || {
        master.good("INCR n");
        status() == "ok"
    });
}

/// FAILOVER that times out ran the writes that had waited, and their replies left at once: whoever
/// looked for writers looked only where a client's own input is run.
fn a_write_that_a_failover_has_held_up_is_not_answered_before_it_is_written(kind: Kind) {
    let faults = Faults::new();
    let mut master = with_aof(kind, &faults, "everysec").start();
    let replica = Server::of(kind).replica_of(&master).start();
    wait_until(LONG, "the replica is online", || {
        let info = master.info("replication");
        info.find("slave0").is_some_and(|line| line.contains("state=online"))
    });
    replica.signal(nix::sys::signal::Signal::SIGSTOP);
    master.good("SET ahead v");
    master.good("FAILOVER TIMEOUT 300");
    let mut writer = master.client();
    faults.wait_hit_of(&["write stall incr.aof"], "write stall", || {
        writer.send(&["SET", "resumed", "v"]).expect("the master lives");
    });
    let mut reader = master.client();
    assert_eq!(reader.good("GET resumed").text(), "v");
    master.kill();
    let reply = writer.read_reply();
    assert!(reply.is_err(), "answered and not written: {reply:?}");
}

/// After a failed fsync the next one's success was taken for both, though Linux may have dropped the
/// pages: WAITAOF counted the write, and the server took the next ones.
fn after_a_failed_fsync_nothing_counts_until_a_rewrite_has_replaced_the_file(kind: Kind) {
    let faults = Faults::new();
    let server = with_aof(kind, &faults, "everysec").start();
    let info = |field: &str| server.info("persistence").text(field).to_string();
    let mut client = server.client();
    client.good("SET before v");
    assert_eq!(client.good("WAITAOF 1 0 0").items()[0].int(), 1);
    faults.set(&["fsync EIO appendonlydir", "fork EAGAIN"]);
    client.good("SET lost? v");
    wait_until(LONG, "the failure is known", || info("aof_fsync_failed") == "1");
    server.wait_log("Fail to fsync the AOF file (/");
    server.wait_log("/appendonlydir/appendonly.aof.1.incr.aof): Input/output error");
    faults.set(&["fork EAGAIN"]);
    // Syncs once more, which goes well, before it would change places.
    server.good("CONFIG SET appendfsync always");
    assert_eq!(client.good("WAITAOF 1 0 10").items()[0].int(), 0, "it may be lost");
    assert_eq!(info("aof_last_write_status"), "err");
    assert!(server.run("SET more v").error().starts_with("MISCONF Errors writing to the AOF"));
    faults.clear();
    // It may have begun by itself just now.
    server.run("BGREWRITEAOF");
    wait_until(LONG, "a rewrite has made it good", || info("aof_fsync_failed") == "0");
    assert_eq!(client.good("WAITAOF 1 0 0").items()[0].int(), 1);
    assert_eq!(info("aof_last_write_status"), "ok");
    assert!(server.run("SET more v").is_ok());
}

/// The same, as a master hears of it: a replica said FACK for what may be lost.
fn a_replica_whose_fsync_failed_does_not_count_for_its_master(kind: Kind) {
    let faults = Faults::new();
    let master = Server::of(kind).start();
    let replica = with_aof(kind, &faults, "everysec").replica_of(&master).start();
    let info = |field: &str| replica.info("persistence").text(field).to_string();
    wait_until(LONG, "the replica's file has its first base", || {
        replica.info("replication").text("master_link_status") == "up"
            && info("aof_rewrite_in_progress") == "0"
    });
    let mut client = master.client();
    client.good("SET before v");
    assert_eq!(client.good("WAITAOF 0 1 0").items()[1].int(), 1);
    faults.set(&["fsync EIO appendonlydir", "fork EAGAIN"]);
    client.good("SET lost? v");
    wait_until(LONG, "the failure is known", || info("aof_fsync_failed") == "1");
    faults.set(&["fork EAGAIN"]);
    replica.good("CONFIG SET appendfsync always");
    assert_eq!(client.good("WAITAOF 0 1 10").items()[1].int(), 0, "it may be lost");
    faults.clear();
    // It may have begun by itself just now.
    replica.run("BGREWRITEAOF");
    assert_eq!(client.good("WAITAOF 0 1 0").items()[1].int(), 1);
}

/// With `always` an OK was a promise that an fsync had kept; a second try is no fsync of the first.
fn with_always_a_failed_fsync_holds_the_reply_until_a_rewrite_is_done(kind: Kind) {
    let faults = Faults::new();
    let mut server = with_aof(kind, &faults, "always").start();
    let mut client = server.client();
    faults.wait_hit_of(&["fsync EIO incr.aof", "fork EAGAIN"], "fsync EIO", || {
        client.send(&["SET", "k", "v"]).expect("the server lives");
    });
    wait_until(LONG, "the failure is known", || {
        server.info("persistence").text("aof_fsync_failed") == "1"
    });
    faults.clear();
    // By itself, as soon as the disk takes what is owed.
    assert!(client.read_reply().is_ok_and(|reply| reply.is_ok()));
    let rewrites: u64 = server.info("persistence").number("aof_rewrites");
    assert!(rewrites >= 1);
    server.kill();
    server.start_again();
    assert_has(&server, &["k".into()], "the fsync failed once");
}

/// BGREWRITEAOF while something else ran was noted down, and then waited out the pause that holds automatic
/// rewrites back after failures, for up to an hour, though the log had said that it begins one at once.
fn a_rewrite_that_was_asked_for_does_not_wait_out_the_pause_after_failures(kind: Kind) {
    let faults = Faults::new();
    let server = with_aof(kind, &faults, "everysec").set("enable-debug-command yes").start();
    // By itself it would try again as soon as forks succeed, and come before the snapshot.
    server.good("DEBUG PAUSE-CRON 1");
    faults.set(&["fork EAGAIN"]);
    wait_until(LONG, "three have failed", || {
        server.run("BGREWRITEAOF");
        server.log().matches("Can't rewrite append only file in background").count() >= 3
    });
    faults.wait_hit_of(&["fsync stall temp-"], "fsync stall", || {
        server.good("BGSAVE");
    });
    assert!(server.good("BGREWRITEAOF").text().ends_with("scheduled"));
    server.good("DEBUG PAUSE-CRON 0");
    faults.clear();
    let is_paused = || server.log().contains("will retry in");
    wait_until(LONG, "it begins or is put off", || {
        is_paused() || server.info("persistence").text("aof_rewrites") != "0"
    });
    assert!(!is_paused(), "{}", server.log());
}

/// They said OK when the fork had failed, and CONFIG SET went on as if there were a file.
fn what_cannot_be_begun_is_an_error_and_changes_nothing(kind: Kind) {
    let faults = Faults::new();
    let server = Server::of(kind).faults(&faults).start();
    let refused = "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to \
                   turn on AOF. Check server logs.";
    let assert_off = || {
        assert_eq!(server.run("CONFIG SET maxmemory 100mb appendonly yes").error(), refused);
        assert_eq!([server.config("appendonly"), server.config("maxmemory")], ["no", "0"]);
        assert_eq!(server.info("persistence").text("aof_enabled"), "0");
        assert_eq!(server.info("persistence").text("aof_rewrite_scheduled"), "0");
        assert!(server.run("SET k v").is_ok());
    };
    faults.set(&["fork EAGAIN"]);
    assert_eq!(server.run("BGSAVE").error(), "ERR");
    assert_eq!(
        server.run("BGREWRITEAOF").error(),
        "ERR Can't execute an AOF background rewriting. Please check the server logs for more \
         information."
    );
    assert_off();
    faults.clear();
    // A folder that cannot be made, as in one that is read-only.
    let _ = std::fs::remove_dir_all(server.file("appendonlydir"));
    server.write_file("appendonlydir", b"");
    assert_off();
    std::fs::remove_file(server.file("appendonlydir")).expect("it is there");
    assert!(server.run("CONFIG SET appendonly yes maxmemory 100mb").is_ok());
    assert_eq!(server.config("maxmemory"), (100 << 20).to_string());
    wait_until(LONG, "the first rewrite is done", || {
        let info = server.info("persistence");
        info.text("aof_enabled") == "1" && info.text("aof_rewrite_in_progress") == "0"
    });
    assert!(server.run("SET k v").is_ok());
}

/// An answer that comes after the command is the command's: once, in its place, and not where the client
/// wants none.
fn what_is_answered_late_keeps_its_place(kind: Kind) {
    let server = Server::of(kind).start();
    let mut client = server.client();
    client.send_raw(b"ECHO 1\r\nBGSAVE\r\nECHO 2\r\n").expect("the server lives");
    let mut texts = || client.read_reply().expect("a reply").text();
    assert_eq!([texts(), texts(), texts()], ["1", "Background saving started", "2"]);
    wait_until(LONG, "the child is gone", || {
        server.info("persistence").text("rdb_bgsave_in_progress") == "0"
    });
    client.send_raw(b"CLIENT REPLY SKIP\r\nBGREWRITEAOF\r\nECHO 3\r\n").expect("it lives");
    assert_eq!(client.read_reply().expect("a reply").text(), "3");
    wait_until(LONG, "the child is gone", || {
        server.info("persistence").text("aof_rewrite_in_progress") == "0"
    });
    client.good("MULTI");
    client.good("BGSAVE");
    client.good("CONFIG SET appendonly yes");
    assert_eq!(client.good("EXEC").texts(), ["Background saving scheduled", "OK"]);
    assert_eq!(client.good("ECHO 4").text(), "4");
}

/// With the AOF's disk full, SIGTERM, SHUTDOWN and SHUTDOWN NOSAVE were refused for good.
fn a_disk_that_fails_the_aof_does_not_keep_the_server_from_ending(kind: Kind) {
    for fault in ["write ENOSPC appendonlydir", "fsync EIO appendonlydir"] {
        for end in ["SIGTERM", "SHUTDOWN", "SHUTDOWN NOSAVE"] {
            let faults = Faults::new();
            let mut server = with_aof(kind, &faults, "everysec").start();
            faults.set(&[fault]);
            server.client().send(&["SET", "k", "v"]).expect("the server lives");
            wait_until(LONG, "the disk's failure is known", || {
                server.info("persistence").text("aof_last_write_status") == "err"
            });
            if end == "SIGTERM" {
                server.signal(nix::sys::signal::Signal::SIGTERM);
            } else {
                let words: Vec<&str> = end.split(' ').collect();
                let _ = server.client().try_args(&words);
            }
            assert!(server.wait_exit().success(), "{end} with {fault}");
        }
    }
}

/// What is refused says why and what to do.
fn a_shutdown_that_cannot_save_says_what_to_do(kind: Kind) {
    let faults = Faults::new();
    let mut server = Server::of(kind).faults(&faults).set("save 3600 1").start();
    server.good("SET k v");
    faults.set(&["rename EROFS dump.rdb"]);
    assert_eq!(server.run("SHUTDOWN").error(), "ERR Errors trying to SHUTDOWN. Check logs.");
    server.wait_log("Error trying to save the DB, can't exit.");
    if kind.is_tandem() {
        server.wait_log("Write error saving DB on disk (/");
        server.wait_log("/dump.rdb): Read-only file system");
        server.wait_log("say SHUTDOWN NOSAVE to leave without it");
    }
    let _ = server.client().try_args(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_exit().success());
}

/// The refusal waited, as if it told of a write, for the disk that refuses: the client that asked for the end heard
/// nothing.
fn a_shutdown_that_is_refused_says_so_whatever_the_aof_s_disk_does(kind: Kind) {
    let faults = Faults::new();
    let mut server = with_aof(kind, &faults, "always").set("save 3600 1").start();
    let mut writer = server.client();
    assert!(writer.good("SET safe v").is_ok());
    faults.set(&["write ENOSPC appendonlydir", "rename EROFS dump.rdb"]);
    writer.send(&["SET", "held", "v"]).expect("the server lives");
    wait_until(LONG, "the disk's failure is known", || {
        server.info("persistence").text("aof_last_write_status") == "err"
    });
    assert_eq!(server.run("SHUTDOWN").error(), "ERR Errors trying to SHUTDOWN. Check logs.");
    server.wait_log("Error trying to save the DB, can't exit.");
    // It serves on, and ends once it can save.
    assert_eq!(server.good("GET safe").text(), "v");
    faults.clear();
    assert!(writer.read_reply().is_ok_and(|reply| reply.is_ok()));
    let _ = server.client().try_args(&["SHUTDOWN"]);
    assert!(server.wait_exit().success());
    assert!(server.file("dump.rdb").exists());
}

each_server! {
    a_rewrite_that_was_asked_for_does_not_wait_out_the_pause_after_failures,
    what_cannot_be_begun_is_an_error_and_changes_nothing,
    what_is_answered_late_keeps_its_place,
    a_disk_that_fails_the_aof_does_not_keep_the_server_from_ending,
    a_shutdown_that_cannot_save_says_what_to_do,
}

cast! {
    of_ours: (testkit::Kind::Tandem):
    an_fsync_that_takes_long_costs_no_acknowledged_write,
    a_rewrite_costs_no_acknowledged_write_whenever_the_server_dies,
    a_rewrite_that_dies_before_its_last_step_costs_nothing,
    a_write_that_the_disk_refuses_is_answered_when_the_disk_has_taken_it,
    a_write_that_a_failover_has_held_up_is_not_answered_before_it_is_written,
    a_disk_that_takes_writes_again_is_written_to_whatever_the_stream_brings,
    after_a_failed_fsync_nothing_counts_until_a_rewrite_has_replaced_the_file,
    a_replica_whose_fsync_failed_does_not_count_for_its_master,
    with_always_a_failed_fsync_holds_the_reply_until_a_rewrite_is_done,
    a_new_data_set_s_file_keeps_nobody_waiting_and_is_whole_whenever_the_server_dies,
    a_change_of_the_file_s_ways_keeps_nobody_waiting,
    a_manifest_that_takes_long_or_fails_keeps_only_writers_waiting,
    a_shutdown_that_is_refused_says_so_whatever_the_aof_s_disk_does
}
