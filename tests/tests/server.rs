//! The process around the commands: connections and their limits, listeners, the end of a server,
//! and what it does when its disk refuses.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tandem_tests::each_server;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, SHORT, wait_until};
use testkit::{Client, Faults, Kind, Reply, Server};

fn connect(server: &Server) -> Client {
    Client::connect(("127.0.0.1", server.port())).expect("the server accepts")
}

/// The server has closed the connection.
fn is_closed(client: &mut Client) -> bool {
    match client.read_reply() {
        Ok(reply) => panic!("a reply instead of the end: {reply:?}"),
        Err(e) => matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
    }
}

fn status(server: &Server, field: &str) -> String {
    server.info("persistence").text(field).to_string()
}

// ---- connections ----

fn an_idle_client_is_closed_after_its_timeout(kind: Kind) {
    let server = Server::of(kind).set("timeout 1").start();
    let mut idle = connect(&server);
    assert_eq!(idle.good("PING").text(), "PONG");
    assert!(is_closed(&mut idle));
}

fn more_clients_than_maxclients_are_told_why(kind: Kind) {
    let server = Server::of(kind).set("maxclients 10").start();
    let held: Vec<Client> = (0..10)
        .filter_map(|_| {
            let mut client = connect(&server);
            client.try_args(&["PING"]).is_ok_and(|reply| !reply.is_error()).then_some(client)
        })
        .collect();
    let mut refused = connect(&server);
    assert_eq!(refused.read_reply().unwrap().error(), "ERR max number of clients reached");
    assert!(is_closed(&mut refused));
    drop(held);
    wait_until(SHORT, "there is room again", || {
        connect(&server).try_args(&["PING"]).is_ok_and(|reply| !reply.is_error())
    });
}

fn a_client_that_does_not_read_is_closed(kind: Kind) {
    let server = Server::of(kind).set("client-output-buffer-limit normal 1mb 0 0").start();
    let value = "x".repeat(100_000);
    let mut client = connect(&server);
    assert!(client.args(&["SET", "k", &value]).is_ok());
    // Far more than the sockets of both sides hold.
    client.send_raw(&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(400)).unwrap();
    let replies = (0..400).take_while(|_| client.read_reply().is_ok()).count();
    assert!(replies < 400, "all was sent, whatever the limit says");
    assert_eq!(server.good("PING").text(), "PONG");
}

/// The commands behind a BLPOP wait in the client's buffer; a large argument among them is complete
/// before anybody looks at it.
fn what_a_blocked_client_has_pipelined_is_run_afterwards(kind: Kind) {
    let server = Server::of(kind).start();
    let mut blocked = connect(&server);
    let large = "x".repeat(1_000_000);
    for command in [vec!["BLPOP", "q", "0"], vec!["SET", "k", &large], vec!["STRLEN", "k"]] {
        blocked.send(&command).unwrap();
    }
    wait_until(SHORT, "the client is blocked", || {
        server.info("clients").number::<u32>("blocked_clients") == 1
    });
    server.good("RPUSH q v");
    assert_eq!(blocked.read_reply().unwrap().texts(), ["q", "v"]);
    assert!(blocked.read_reply().unwrap().is_ok());
    assert_eq!(blocked.read_reply().unwrap().int(), 1_000_000);
}

fn a_protocol_error_is_answered_and_ends_the_connection(kind: Kind) {
    let server = Server::of(kind).start();
    let mut client = connect(&server);
    client.send_raw(b"*1\r\n$4\r\nPING\r\n*1\r\n!4\r\n").unwrap();
    assert_eq!(client.read_reply().unwrap().text(), "PONG");
    let error = client.read_reply().unwrap();
    assert_eq!(error.error(), "ERR Protocol error: expected '$', got '!'");
    assert!(is_closed(&mut client));
}

fn a_unix_socket_serves_with_its_permissions(kind: Kind) {
    let server = Server::of(kind).prepare();
    let path = server.file("s.sock");
    server.edit_config(|text| format!("{text}unixsocket {}\nunixsocketperm 700\n", path.display()));
    let mut server = server;
    server.start_again();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(Client::connect_unix(&path).unwrap().good("PING").text(), "PONG");
    server.stop();
    assert!(!path.exists(), "the socket file is removed at the end");
}

/// A server that is out of descriptors waits for one; it does not ask again and again.
fn without_descriptors_the_loop_does_not_spin(kind: Kind) {
    let server = Server::of(kind).set("maxclients 200").start();
    let pid = server.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let limit = format!("--nofile={0}:{0}", open + 10);
    let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(set.expect("prlimit is part of every Linux").success());
    let clients: Vec<Client> = (0..30).map(|_| connect(&server)).collect();
    wait_until(SHORT, "the lack is logged", || {
        server.log().contains("Accepting client connection")
    });
    drop(clients);
    wait_until(SHORT, "clients are served again", || {
        connect(&server).try_args(&["PING"]).is_ok_and(|reply| !reply.is_error())
    });
}

// ---- listeners ----

fn port_and_bind_change_at_run_time(kind: Kind) {
    let server = Server::of(kind).start();
    let other = testkit::ports::Port::reserve();
    let port = other.number();
    let mut old = connect(&server);
    assert!(old.run(&format!("CONFIG SET port {port}")).is_ok());
    assert_eq!(old.good("PING").text(), "PONG", "connections that are there stay");
    assert!(Client::connect(("127.0.0.1", server.port())).is_err());
    let mut new = Client::connect(("127.0.0.1", port)).unwrap();
    // An address for documentation, which no host has.
    let refused = new.args(&["CONFIG", "SET", "bind", "127.0.0.1 203.0.113.7"]);
    assert!(refused.error().contains("Failed to bind to specified addresses"), "{refused:?}");
    assert!(Client::connect(("127.0.0.1", port)).is_ok(), "the old listeners are back");
    assert!(new.args(&["CONFIG", "SET", "bind", "127.0.0.1"]).is_ok());
    assert_eq!(Client::connect(("127.0.0.1", port)).unwrap().good("PING").text(), "PONG");
}

// ---- the end ----

/// Not for Redis 7.0.15, which crashes when a client that was paused by the first SHUTDOWN goes on.
#[test]
fn shutdown_waits_for_replicas_and_can_be_called_off() {
    let mut master = Server::of(Kind::Tandem).name("master").start();
    let replica = Server::of(Kind::Tandem).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.wait_online_replicas(1);
    // Stopped before the write is made: it can never be quick enough to acknowledge it.
    replica.signal(Signal::SIGSTOP);
    let mut client = connect(&master);
    client.good("SET k 1");
    client.send(&["SHUTDOWN"]).unwrap();
    wait_until(SHORT, "the shutdown waits", || {
        master.log().contains("Waiting for replicas before shutting down.")
    });
    let mut writer = connect(&master);
    writer.send(&["SET", "late", "1"]).unwrap();
    assert!(master.run("SHUTDOWN ABORT").is_ok());
    assert_eq!(client.read_reply().unwrap().error(), "ERR Errors trying to SHUTDOWN. Check logs.");
    assert!(writer.read_reply().unwrap().is_ok(), "the write waited for the shutdown's end");
    client.send(&["SHUTDOWN"]).unwrap();
    replica.signal(Signal::SIGCONT);
    assert!(master.wait_exit().success());
    assert_eq!(replica.good("GET late").text(), "1");
}

fn shutdown_saves_when_there_are_save_points_or_it_is_told_to(kind: Kind) {
    for (save, command, expected) in [
        ("3600 1", "SHUTDOWN", true),
        ("3600 1", "SHUTDOWN NOSAVE", false),
        ("\"\"", "SHUTDOWN", false),
        ("\"\"", "SHUTDOWN SAVE", true),
    ] {
        let mut server = Server::of(kind).set(&format!("save {save}")).start();
        server.good("SET k v");
        let mut client = connect(&server);
        client.send(&command.split(' ').collect::<Vec<_>>()).unwrap();
        assert!(is_closed(&mut client));
        assert!(server.wait_exit().success(), "{command}");
        assert_eq!(server.file("dump.rdb").exists(), expected, "save {save}, {command}");
    }
}

// ---- a disk that refuses ----

fn a_failed_snapshot_refuses_writes_until_one_succeeds(kind: Kind) {
    let server = Server::of(kind).set("save 3600 1").start();
    server.good("SET k 1");
    let obstacle = server.file("dump.rdb");
    std::fs::create_dir(&obstacle).unwrap();
    server.good("BGSAVE");
    wait_until(SHORT, "the save has failed", || status(&server, "rdb_last_bgsave_status") == "err");
    assert!(server.run("SET k 2").error().starts_with("MISCONF "));
    assert_eq!(server.good("GET k").text(), "1", "reads go on");
    std::fs::remove_dir(&obstacle).unwrap();
    server.good("BGSAVE");
    wait_until(SHORT, "a save has succeeded", || status(&server, "rdb_last_bgsave_status") == "ok");
    assert!(server.run("SET k 2").is_ok());
}

#[test]
fn a_snapshot_that_nobody_wants_any_more_is_cancelled() {
    let server = Server::of(Kind::Tandem).set("rdb-key-save-delay 10000000").start();
    let nothing = "ERR Background saving is currently not in progress or scheduled";
    assert_eq!(server.run("BGSAVE CANCEL").error(), nothing);
    for i in 0..10 {
        server.good(&format!("SET k{i} v"));
    }
    server.good("BGSAVE");
    assert_eq!(server.good("BGSAVE CANCEL").text(), "Background saving cancelled");
    wait_until(SHORT, "the child is gone", || status(&server, "rdb_bgsave_in_progress") == "0");
    wait_until(SHORT, "what it wrote is gone", || {
        let names =
            std::fs::read_dir(server.dir()).unwrap().map(|entry| entry.unwrap().file_name());
        !names.into_iter().any(|name| name.to_string_lossy().ends_with(".rdb"))
    });
    assert_eq!(status(&server, "rdb_last_bgsave_status"), "ok", "it did not fail");
    assert_eq!(server.run("BGSAVE CANCEL").error(), nothing);
    server.good("BGREWRITEAOF");
    assert_eq!(server.good("BGSAVE SCHEDULE").text(), "Background saving scheduled");
    let cancelled = "Scheduled background saving cancelled";
    assert_eq!(server.good("BGSAVE CANCEL").text(), cancelled);
    assert_eq!(server.run("BGSAVE CANCEL").error(), nothing);
}

/// Who waits for the end of a save must not take for it that it has not begun yet: the child before it is on its way out.
#[test]
fn a_save_behind_a_cancelled_one_is_under_way_until_it_is_done() {
    let server = Server::of(Kind::Tandem).set("rdb-key-save-delay 10000000").start();
    server.good("SET k v");
    server.good("BGSAVE");
    let at_once =
        ["BGSAVE CANCEL", "CONFIG SET rdb-key-save-delay 0", "BGSAVE", "INFO persistence"];
    let words = |line: &&str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let replies = server.client().pipeline(&at_once.iter().map(words).collect::<Vec<_>>());
    assert_eq!(replies[2].text(), "Background saving scheduled");
    assert!(replies[3].text().contains("rdb_bgsave_in_progress:1\r\n"), "{}", replies[3].text());
    wait_until(SHORT, "the save is done", || status(&server, "rdb_bgsave_in_progress") == "0");
    assert_eq!(status(&server, "rdb_changes_since_last_save"), "0");
    assert!(server.file("dump.rdb").exists());
}

/// Who sees the server go looks at its folder next: what it removes is removed by then.
#[test]
fn a_server_that_ends_is_there_until_the_file_of_its_child_is_gone() {
    let faults = Faults::new();
    let mut server =
        Server::of(Kind::Tandem).faults(&faults).set("rdb-key-save-delay 10000000").start();
    let mut client = server.client();
    client.good("SET k v");
    client.good("BGSAVE");
    let temp_files = |server: &Server| {
        let names = std::fs::read_dir(server.dir()).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("temp-")).count()
    };
    wait_until(SHORT, "the child writes", || temp_files(&server) == 1);
    faults.wait_hit_of(&["unlink stall temp-"], "unlink stall", || {
        client.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    });
    client.set_read_timeout(Duration::from_millis(500)).unwrap();
    let waiting = client.read_reply().unwrap_err().kind();
    assert!(matches!(waiting, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waiting:?}");
    assert!(testkit::ports::is_listened_on(server.port()));
    faults.clear();
    client.set_read_timeout(SHORT).unwrap();
    assert!(is_closed(&mut client));
    assert_eq!(temp_files(&server), 0);
    server.wait_exit();
}

/// The increment is a device that is always full; a rewrite begins another, and the writes that could
/// not be written go there.
fn a_full_disk_refuses_writes_until_there_is_room(fsync: &str) {
    let mut server = Server::of(Kind::Tandem)
        .set("appendonly yes")
        .set(&format!("appendfsync {fsync}"))
        .prepare();
    server.write_file("appendonlydir/appendonly.aof.manifest", b"file a.incr.aof seq 1 type i\n");
    std::os::unix::fs::symlink("/dev/full", server.file("appendonlydir/a.incr.aof")).unwrap();
    server.start_again();
    let mut first = connect(&server);
    first.send(&["SET", "k", "1"]).unwrap();
    wait_until(SHORT, "the write has failed", || status(&server, "aof_last_write_status") == "err");
    assert!(server.run("SET k 2").error().starts_with("MISCONF Errors writing to the AOF file"));
    server.good("BGREWRITEAOF");
    // With `always` this is the moment at which the first client hears of its write.
    assert!(first.read_reply().unwrap().is_ok());
    wait_until(SHORT, "writes are taken again", || server.run("SET k 3").is_ok());
    server.wait_no_child();
    wait_until(SHORT, "the file has all", || status(&server, "aof_buffer_length") == "0");
    server.kill();
    server.start_again();
    assert_eq!(server.good("GET k").text(), "3");
}

#[test]
fn a_full_disk_refuses_writes_with_everysec() {
    a_full_disk_refuses_writes_until_there_is_room("everysec");
}

#[test]
fn a_full_disk_holds_the_replies_back_with_always() {
    a_full_disk_refuses_writes_until_there_is_room("always");
}

fn append_only_is_turned_on_and_off_under_load(kind: Kind) {
    let mut server = Server::of(kind).start();
    let stop = Arc::new(AtomicBool::new(false));
    let (mut writer, stopped) = (connect(&server), Arc::clone(&stop));
    let load = testkit::load::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            writer.pipeline(&[vec!["INCR", "count"], vec!["RPUSH", "list", "x"]]);
        }
    });
    let count = |server: &Server| server.good("GET count").text().parse::<u64>().unwrap_or(0);
    for _ in 0..3 {
        server.good("CONFIG SET appendonly yes");
        wait_until(LONG, "the first base is there", || {
            status(&server, "aof_rewrite_in_progress") == "0"
                && server.files("appendonlydir").iter().any(|name| name.contains(".base."))
        });
        let goal = count(&server) + 200;
        wait_until(LONG, "the load goes on", || count(&server) > goal);
        server.good("CONFIG SET appendonly no");
    }
    server.good("CONFIG SET appendonly yes");
    server.wait_no_child();
    stop.store(true, Ordering::Relaxed);
    load.join().expect("no write was refused");
    let written = count(&server);
    wait_until(LONG, "the file has all", || status(&server, "aof_buffer_length") == "0");
    server.edit_config(|text| format!("{text}appendonly yes\n"));
    server.kill();
    server.start_again();
    assert_eq!(count(&server), written);
    assert_eq!(server.good("LLEN list").int() as u64, written);
}

fn a_replica_with_an_append_only_file_begins_it_anew_after_a_full_sync(kind: Kind) {
    let master = Server::of(kind).name("master").start();
    master.good("SET from master");
    let mut replica = Server::of(kind).name("replica").set("appendonly yes").start();
    replica.good("SET from replica");
    replica.good("SET own data");
    replica.follow(&master);
    wait_equal(&master, &replica);
    master.good("SET later 1");
    wait_equal(&master, &replica);
    let aof_is_on = || status(&replica, "aof_rewrite_in_progress") == "0";
    wait_until(LONG, "the new base is there", aof_is_on);
    replica.wait_no_child();
    wait_until(LONG, "the file has all", || status(&replica, "aof_buffer_length") == "0");
    replica.kill();
    replica.start_again();
    assert_eq!(replica.good("GET from").text(), "master");
    assert_eq!(replica.good("GET later").text(), "1");
    assert_eq!(replica.good("GET own"), Reply::Null);
}

each_server!(
    an_idle_client_is_closed_after_its_timeout,
    more_clients_than_maxclients_are_told_why,
    a_client_that_does_not_read_is_closed,
    what_a_blocked_client_has_pipelined_is_run_afterwards,
    a_protocol_error_is_answered_and_ends_the_connection,
    a_unix_socket_serves_with_its_permissions,
    without_descriptors_the_loop_does_not_spin,
    port_and_bind_change_at_run_time,
    shutdown_saves_when_there_are_save_points_or_it_is_told_to,
    a_failed_snapshot_refuses_writes_until_one_succeeds,
    append_only_is_turned_on_and_off_under_load,
    a_replica_with_an_append_only_file_begins_it_anew_after_a_full_sync,
    a_turn_that_takes_too_long_leaves_its_stack,
    crash_reports_are_turned_on_and_off_while_the_server_runs,
);

/// The first SIGSEGV from outside did nothing: the standard library's handler took it for a fault that
/// would come again.
#[test]
fn a_crash_signal_from_outside_ends_the_process() {
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        let mut server = Server::of(Kind::Tandem).start();
        server.signal(signal);
        let status = server.wait_exit();
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
    }
}

/// A loop that hangs says where, and the server is none the worse for it.
fn a_turn_that_takes_too_long_leaves_its_stack(kind: Kind) {
    let server = Server::of(kind).set("enable-debug-command yes").start();
    let told = || server.log().matches("--- WATCHDOG TIMER EXPIRED ---").count();
    server.good("DEBUG SLEEP 0.5");
    assert_eq!(told(), 0, "nobody wanted to know");
    server.good("CONFIG SET watchdog-period 200");
    server.good("DEBUG SLEEP 0.5");
    server.wait_log("--- WATCHDOG TIMER EXPIRED ---");
    server.good("CONFIG SET watchdog-period 0");
    // A busy machine may have told more than once.
    let before = told();
    server.good("DEBUG SLEEP 0.5");
    assert_eq!(told(), before);
}

/// Only the value at the start counted.
fn crash_reports_are_turned_on_and_off_while_the_server_runs(kind: Kind) {
    for (first, last, reports) in [("yes", "no", 0), ("no", "yes", 1)] {
        let mut server = Server::of(kind)
            .set(&format!("crash-log-enabled {first}"))
            .set("crash-memcheck-enabled no")
            .start();
        server.good(&format!("CONFIG SET crash-log-enabled {last}"));
        server.signal(Signal::SIGSEGV);
        server.wait_exit();
        assert_eq!(server.log().matches("BUG REPORT START").count(), reports, "{first} to {last}");
    }
}

/// SIGALRM ended the process, which Redis takes for a wish to see where it stands. A server that hangs, above
/// all, has to say so.
#[test]
fn an_alarm_leaves_the_stack_in_the_log_at_once_and_nothing_else() {
    let server = Server::of(Kind::Tandem).set("enable-debug-command yes").start();
    let mut asleep = server.client();
    // What comes in one batch is executed without a look at anything else.
    asleep.send_raw(b"SAVE\r\nDEBUG SLEEP 3600\r\n").unwrap();
    server.wait_log("DB saved on disk");
    server.signal(Signal::SIGALRM);
    server.wait_log("Received SIGALRM");
    server.wait_log("------ STACK TRACE ------");
}
