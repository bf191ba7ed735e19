//! What a server says to systemd: when it is ready, how it stands, that it is alive, and what its stop waits
//! for. A socket of the test stands where systemd listens.

#![allow(clippy::disallowed_methods, reason = "what operators do to files and processes")]

use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;
use testkit::server::ServerBuilder;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Server, fill};

const READY: &str = "READY=1";
const STOPPING: &str = "STOPPING=1";

/// Where systemd listens, and all that was said there.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
    lines: Vec<String>,
}

impl Manager {
    fn new() -> Manager {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(LONG)).expect("a switch");
        Manager { socket, dir, lines: Vec::new() }
    }

    fn supervises(&self, builder: ServerBuilder) -> ServerBuilder {
        builder
            .args(&["--supervised", "systemd"])
            .environment("NOTIFY_SOCKET", self.dir.path().join("notify"))
    }

    /// Listens until a line is said for which `is_it` holds; all that was said on the way, and that.
    #[track_caller]
    fn hear(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let start = self.lines.len();
        let mut buffer = [0; 4096];
        loop {
            let len = self.socket.recv(&mut buffer);
            let len = len.unwrap_or_else(|e| panic!("{what}: {e} after {:#?}", self.lines));
            let message = String::from_utf8_lossy(&buffer[..len]).into_owned();
            self.lines.extend(message.lines().map(str::to_owned));
            if self.lines[start..].iter().any(|line| is_it(line)) {
                return self.lines[start..].to_vec();
            }
        }
    }

    #[track_caller]
    fn hear_status(&mut self, parts: &[&str]) -> String {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        let is_it = |line: &str| line.starts_with("STATUS=") && has(line);
        let lines = self.hear(&parts.concat(), is_it);
        lines.into_iter().rfind(|line| is_it(line)).expect("it was heard")
    }
}

fn says(lines: &[String], word: &str) -> bool {
    lines.iter().any(|line| line == word)
}

/// READY came while the data was still being loaded: `systemctl start` was over, and clients got LOADING.
#[test]
fn systemd_hears_ready_when_the_data_is_loaded_and_not_before() {
    let mut manager = Manager::new();
    let mut server = manager
        .supervises(Server::of(Kind::Tandem))
        .set("key-load-delay 200")
        .set("rdbcompression no")
        .start();
    manager.hear("ready", |line| line == READY);
    fill::many_keys(&mut server.client(), 10_000, 500);
    server.good("SAVE");
    server.stop();
    manager.hear("stopping", |line| line == STOPPING);

    server.spawn();
    let lines = manager.hear("ready", |line| line == READY);
    let mut client = Client::connect(("127.0.0.1", server.port())).expect("the socket is open");
    assert_eq!(client.good("DBSIZE").int(), 10_000, "the data is loaded");
    let is_figure = |line: &&String| {
        line.starts_with("STATUS=Loading: ") && line.contains("%)") && line.ends_with(" left")
    };
    assert!(lines.iter().any(|line| is_figure(&line)), "{lines:#?}");
    let patience = lines.iter().filter(|line| line.starts_with("EXTEND_TIMEOUT_USEC="));
    assert!(patience.count() > 1, "a long load is not taken for a hang: {lines:#?}");
}

/// `systemctl status` said "Ready to accept connections" on a master, whatever went on.
#[test]
fn the_status_tells_role_link_and_how_far_a_sync_is_on_both_sides() {
    let (mut on_master, mut on_replica) = (Manager::new(), Manager::new());
    let master = on_master
        .supervises(Server::of(Kind::Tandem))
        .set("repl-diskless-sync yes")
        .set("rdb-key-save-delay 100")
        .start();
    on_master.hear_status(&["STATUS=Master, no replicas online"]);
    fill::many_keys(&mut master.client(), 30_000, 300);
    let mut replica = on_replica.supervises(Server::of(Kind::Tandem)).replica_of(&master).start();
    let at = format!("127.0.0.1:{}", master.port());
    let to = format!("127.0.0.1:{}", replica.port());
    let figures = ["%), ", " MB/s, ", " seconds left"];
    on_replica.hear_status(&[&[&*format!("Replica of {at}, sync: ")], &figures[..]].concat());
    on_master.hear_status(&[&[&*format!("sync to {to}: ")], &figures[..]].concat());
    on_master.hear_status(&["STATUS=Master, 1 replica online"]);
    on_replica.hear_status(&[&format!("STATUS=Replica of {at}, link up")]);
    drop(master);
    on_replica.hear_status(&["link down"]);
    replica.good("REPLICAOF NO ONE");
    on_replica.hear_status(&["STATUS=Master"]);
    replica.stop();
    let lines = on_replica.hear("stopping", |line| line == STOPPING);
    assert!(lines.iter().any(|line| line.starts_with("STATUS=Stopping: ")), "{lines:#?}");
}

/// A master with a replica that acknowledges nothing, which its stop waits for.
fn stop_that_waits(manager: &mut Manager) -> (Server, Server) {
    let master = manager.supervises(Server::of(Kind::Tandem)).set("shutdown-timeout 600").start();
    let replica = Server::of(Kind::Tandem).replica_of(&master).start();
    replica.wait_link_up();
    manager.hear_status(&["1 replica online"]);
    replica.signal(Signal::SIGSTOP);
    master.good("SET k v");
    master.signal(Signal::SIGTERM);
    let status = manager.hear_status(&["Stopping: waiting for 1 replica to catch up, at most "]);
    assert!(status.ends_with(" more seconds"), "{status}");
    let lines = manager.hear("patience", |line| line.starts_with("EXTEND_TIMEOUT_USEC="));
    assert!(!says(&lines, STOPPING), "{lines:#?}");
    (master, replica)
}

/// With a `shutdown-timeout` above TimeoutStopSec, systemd killed a master amidst its stop.
#[test]
fn a_stop_says_what_it_waits_for_and_asks_for_the_time() {
    let mut manager = Manager::new();
    let (mut master, replica) = stop_that_waits(&mut manager);
    replica.signal(Signal::SIGCONT);
    manager.hear("stopping", |line| line == STOPPING);
    assert!(master.wait_exit().success());
}

/// STOPPING cannot be taken back: systemd would kill a server that serves again.
#[test]
fn a_stop_that_is_called_off_was_not_announced() {
    let mut manager = Manager::new();
    let (master, replica) = stop_that_waits(&mut manager);
    master.good("SHUTDOWN ABORT");
    let lines = manager.hear("serving", |line| line.starts_with("STATUS=Master, "));
    assert!(!says(&lines, STOPPING), "{lines:#?}");
    replica.signal(Signal::SIGCONT);
}

/// systemd killed a replica that was stopped right after a full sync: SIGTERM was refused while its first append-only
/// file was written, and then forgotten.
#[test]
fn a_stop_amidst_the_first_rewrite_ends_the_server_after_it() {
    let mut manager = Manager::new();
    let mut server = manager.supervises(Server::of(Kind::Tandem)).start();
    server.good("SET k v");
    // The child is at its first key until somebody ends it.
    server.good("CONFIG SET rdb-key-save-delay 1000000000");
    server.good("CONFIG SET appendonly yes");
    wait_until(LONG, "the first rewrite is under way", || {
        server.info("persistence").text("aof_rewrite_in_progress") == "1"
    });
    server.good("CONFIG SET rdb-key-save-delay 0");
    server.signal(Signal::SIGTERM);
    manager.hear_status(&["Stopping: the first append-only file is written"]);
    manager.hear("patience", |line| line.starts_with("EXTEND_TIMEOUT_USEC="));
    server.wait_log("Writing initial AOF, can't exit.");
    server.good("SET k w");
    server.good("SHUTDOWN ABORT");
    manager.hear_status(&["Master, no replicas online"]);

    server.signal(Signal::SIGTERM);
    let lines = manager.hear("asked again", |line| line.starts_with("STATUS=Stopping: the first"));
    assert!(!says(&lines, STOPPING), "{lines:#?}");
    let log = server.log();
    let (_, child) = log.rsplit_once("file rewriting started by pid ").expect("a child");
    let child = child.lines().next().and_then(|pid| pid.trim().parse().ok()).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), Signal::SIGKILL).expect("it runs");
    manager.hear("stopping", |line| line == STOPPING);
    assert!(server.wait_exit().success());
}

/// A SAVE of minutes is no reason for the watchdog to kill a server.
#[test]
fn the_watchdog_is_fed_by_the_loop_and_amidst_a_long_save() {
    let mut manager = Manager::new();
    let builder = manager.supervises(Server::of(Kind::Tandem)).set("rdb-key-save-delay 100");
    let master = builder.environment("WATCHDOG_USEC", "200000").start();
    fill::many_keys(&mut master.client(), 30_000, 100);
    manager.hear_status(&["Master"]);
    for _ in 0..3 {
        manager.hear("a sign of life", |line| line == "WATCHDOG=1");
    }
    let mut client = master.client();
    let save = std::thread::spawn(move || client.good("SAVE"));
    manager.hear_status(&["Saving the RDB snapshot: "]);
    for _ in 0..3 {
        manager.hear("a sign of life", |line| line == "WATCHDOG=1");
        assert!(!save.is_finished(), "the save is what says it");
    }
    save.join().expect("saved");
}

/// SIGHUP was ignored: `systemctl reload` was said to have worked, and nothing happened.
#[test]
fn a_reload_reopens_the_log_and_is_told_from_start_to_end() {
    let mut manager = Manager::new();
    let dir = tempfile::tempdir().expect("a folder");
    let (log, old) = (dir.path().join("redis.log"), dir.path().join("redis.log.1"));
    let builder = Server::of(Kind::Tandem).set(&format!("logfile {}", log.display()));
    let server = manager.supervises(builder).start();
    manager.hear("ready", |line| line == READY);
    std::fs::rename(&log, &old).expect("rotated");
    server.signal(Signal::SIGHUP);
    let lines = manager.hear("ready again", |line| line == READY);
    let at = |word: &str| lines.iter().position(|line| line.starts_with(word));
    assert!(at("RELOADING=1") < at("MONOTONIC_USEC=") && at("RELOADING=1").is_some(), "{lines:#?}");
    assert!(at("MONOTONIC_USEC=") < at(READY), "{lines:#?}");
    wait_until(LONG, "the new file has the line", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Received SIGHUP"))
    });
    server.good("PING");
}
