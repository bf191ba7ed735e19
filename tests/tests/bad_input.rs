//! What hosts do to a server: folders without rights, taken ports, missing files, disks that fill. Each is said
//! clearly, to whoever started the server and in its log, ends in a status that is not zero, and loses nothing.

#![allow(clippy::disallowed_methods, reason = "what operators do to files and processes")]

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::Uid;
use tandem_tests::each_server;
use tempfile::TempDir;
use testkit::ports::{self, Port};
use testkit::process::{Finished, copy_program, read_lossy, run_command};
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Server};

/// Root may do everything: servers under test are somebody else then.
const NOBODY: u32 = 65534;

/// A folder that belongs to whoever runs the servers here, with a server: the build's may be out of their reach.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    mode(dir.path(), 0o755);
    copy_program(&Kind::Tandem.program(), &dir.path().join(SERVER));
    if Uid::effective().is_root() {
        std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("it is given away");
    }
    dir
}

const SERVER: &str = "redis-server";

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(dir.join(SERVER));
    command.args(args).current_dir(dir);
    if Uid::effective().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// How a server ends that cannot start, with its log in a file or on its output.
fn refused(dir: &Path, args: &[&str], log: Option<&Path>) -> Finished {
    let port = Port::reserve();
    let number = port.number().to_string();
    let log = log.map(|log| log.to_string_lossy().into_owned());
    let mut all = vec!["--port", &number, "--bind", "127.0.0.1"];
    let home = dir.to_string_lossy();
    all.extend(["--dir", &home]);
    all.extend(log.iter().flat_map(|log| ["--logfile", log]));
    all.extend(args);
    let finished = run_command(command(dir, &all), LONG);
    assert_eq!(finished.status.code(), Some(1), "{args:?}: {}", finished.output());
    finished
}

/// What is wrong, and what the server says of it.
struct Fault<'a> {
    args: &'a [&'a str],
    says: &'a str,
}

/// With its log in a file, a server that could not start said nothing to whoever had started it.
#[test]
fn a_start_that_fails_is_told_in_a_log_file_alone() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (taken, _listener) = Port::listen();
    let taken = taken.number().to_string();
    std::fs::write(path("closed.rdb"), "not for everybody").expect("written");
    mode(&dir.path().join("closed.rdb"), 0o000);
    std::fs::write(path("broken.rdb"), "REDIS0011 and then nothing that makes sense")
        .expect("written");
    std::fs::create_dir(path("closed")).expect("made");
    mode(&dir.path().join("closed"), 0o000);
    let socket = path("closed/socket");
    let users = path("no-such.acl");
    let faults = [
        Fault { args: &["--port", &taken], says: "Failed listening on port" },
        Fault { args: &["--bind", "203.0.113.7"], says: "Failed listening on port" },
        Fault { args: &["--dbfilename", "closed.rdb"], says: "Permission denied" },
        Fault { args: &["--dbfilename", "broken.rdb"], says: "Fatal error loading the DB" },
        Fault { args: &["--unixsocket", &socket], says: "Failed opening Unix socket" },
        Fault { args: &["--aclfile", &users], says: "no-such.acl" },
        Fault {
            args: &["--appendonly", "yes", "--appenddirname", "closed"],
            says: "Permission denied",
        },
    ];
    for Fault { args, says } in faults {
        let log = dir.path().join("log");
        let finished = refused(dir.path(), args, Some(&log));
        assert!(finished.stderr.contains(says), "{args:?}: {}", finished.output());
        assert!(read_lossy(&log).contains(says), "{args:?}: {}", read_lossy(&log));
        std::fs::remove_file(&log).expect("there was a log");
        // On a terminal, the log is what one sees.
        let finished = refused(dir.path(), args, None);
        assert!(finished.output().contains(says), "{args:?}: {}", finished.output());
    }
    assert_eq!(read_lossy(&dir.path().join("broken.rdb")).len(), 43, "what was there stays");
}

/// These are wrong before there is a log.
#[test]
fn what_cannot_be_opened_is_named() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(path("closed")).expect("made");
    std::fs::write(path("closed.conf"), "port 1\n").expect("written");
    for name in ["closed", "closed.conf"] {
        mode(&dir.path().join(name), 0o000);
    }
    let (closed, log) = (path("closed"), path("closed/log"));
    let denied = |name: &str| format!("'{name}': Permission denied");
    let cases: [(&[&str], String); 5] = [
        (&["--dir", &closed], denied(&closed)),
        (&["--logfile", &log], denied(&log)),
        (&["--dir", "/no/such/folder"], "No such file or directory".into()),
        (&["--include", "/no/such.conf"], "'/no/such.conf': No such file or directory".into()),
        (&["--logfile", "/no/such/log"], "'/no/such/log': No such file or directory".into()),
    ];
    for (args, says) in cases {
        let finished = refused(dir.path(), args, None);
        assert!(finished.output().contains(&says), "{args:?}: {}", finished.output());
    }
    for (name, why) in [
        (path("closed.conf"), "Permission denied"),
        (path("no.conf"), "No such file or directory"),
        (dir.path().to_string_lossy().into_owned(), "Is a directory"),
    ] {
        let finished = run_command(command(dir.path(), &[&name]), LONG);
        assert_eq!(finished.status.code(), Some(1), "{}", finished.output());
        let says = format!("can't open config file '{name}': {why}");
        assert!(finished.output().contains(&says), "{}", finished.output());
    }
}

/// `daemonize yes` ended with status 0 and without a word, whatever became of the server.
#[test]
fn a_daemon_that_cannot_start_ends_with_status_0() {
    let dir = folder();
    let log = dir.path().join("log");
    let (taken, listener) = Port::listen();
    let taken = taken.number().to_string();
    let finished = refused(dir.path(), &["--port", &taken, "--daemonize", "yes"], Some(&log));
    assert!(finished.stderr.contains("Failed listening on port"), "{}", finished.output());
    assert!(read_lossy(&log).contains("Failed listening on port"), "{}", read_lossy(&log));
    drop(listener);

    // One that starts is there when the command has ended.
    let port = Port::reserve();
    let number = port.number().to_string();
    let (home, pidfile) = (dir.path().to_string_lossy(), dir.path().join("pid"));
    let pidfile_name = pidfile.to_string_lossy();
    let args = ["--port", &number, "--bind", "127.0.0.1", "--dir", &home, "--daemonize", "yes"];
    let args = [&args[..], &["--pidfile", &pidfile_name, "--logfile", "log"]].concat();
    run_command(command(dir.path(), &args), LONG).expect_success("a daemon");
    let mut client = Client::connect(("127.0.0.1", port.number())).expect("it listens already");
    client.good("SET k v");
    assert!(pidfile.is_file(), "its pid is known");
    let _ = client.try_args(&["SHUTDOWN"]);
    wait_until(LONG, "it has ended", || !pidfile.exists() && !ports::is_listened_on(port.number()));
    assert!(dir.path().join("dump.rdb").is_file(), "and saved");
}

/// A second server on the port of the first touches nothing of it: neither data nor pid file.
fn a_second_server_on_the_same_port_leaves_the_first_alone(kind: Kind) {
    let server = Server::of(kind).set("appendonly yes").set("pidfile pid").start();
    server.good("SET k v");
    let pid = server.read_file("pid");
    let config = server.config_path().to_string_lossy().into_owned();
    let finished = testkit::process::run(&kind.program(), &[&config], LONG);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.output());
    assert!(finished.output().contains("Address already in use"), "{}", finished.output());
    assert_eq!(server.read_file("pid"), pid);
    assert_eq!(server.good("GET k").text(), "v");
    assert!(server.good("SET k w").is_ok(), "its append-only file is its own");
    assert!(TcpListener::bind(("127.0.0.1", server.port())).is_err());
}

/// A file system of a few megabytes of its own, where root runs the tests.
struct SmallDisk {
    path: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().to_owned();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m,mode=777", "tmpfs"]).arg(&path);
        let mounted =
            Uid::effective().is_root() && mount.output().is_ok_and(|o| o.status.success());
        mounted.then_some(SmallDisk { path, _dir: dir })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server that is being ended may hold it a moment longer.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}

/// What came of a write to a disk that has no room for it.
enum Outcome {
    Acknowledged,
    /// Nobody is told that it is safe, and others are told that they cannot write.
    Held,
    /// Redis ends itself where an fsync was promised.
    Ended,
}

fn outcome(server: &Server, client: &mut Client) -> Outcome {
    loop {
        match client.read_reply() {
            Ok(reply) if reply.is_ok() => return Outcome::Acknowledged,
            Ok(reply) => panic!("{reply:?}"),
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Outcome::Ended;
            }
            Err(_) => {}
        }
        let other = server.run("SET another v");
        if other.is_error() {
            assert!(other.error().starts_with("MISCONF"), "{other:?}");
            return Outcome::Held;
        }
    }
}

/// A disk that fills: what was acknowledged is there after a restart, what cannot be kept is not acknowledged, and
/// with room again everything goes on. (Who is not root cannot mount one; disks that fail call by call are in
/// aof_faults.rs.)
fn a_disk_that_fills_costs_no_acknowledged_write(kind: Kind) {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut server = Server::of(kind)
        .set(&format!("dir \"{}\"", disk.path.display()))
        .set("appendonly yes\nappendfsync always\nauto-aof-rewrite-percentage 0")
        .start();
    let mut client = server.client();
    // Whoever waits longer asks how it stands, and goes on waiting.
    client.set_read_timeout(Duration::from_secs(1)).expect("a socket's option");
    let value = testkit::fill::noise(100_000, 3);
    let mut acknowledged = 0;
    let refusal = loop {
        assert!(acknowledged < 100, "ten megabytes are on four");
        let key = format!("key:{acknowledged}");
        client.send(&[b"SET".as_slice(), key.as_bytes(), &value]).expect("the server lives");
        match outcome(&server, &mut client) {
            Outcome::Acknowledged => acknowledged += 1,
            other => break other,
        }
    };
    assert!(acknowledged > 10, "{acknowledged}");
    let remount = || {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=40m"]).arg(&disk.path);
        run_command(mount, LONG).expect_success("mount");
    };
    match refusal {
        Outcome::Ended => {
            assert_eq!(server.wait_exit().code(), Some(1));
            remount();
        }
        _ => {
            server.wait_log("No space left on device");
            assert!(server.run("SAVE").is_error(), "no snapshot either");
            remount();
            wait_until(LONG, "what was held is acknowledged", || {
                client.read_reply().is_ok_and(|reply| reply.is_ok())
            });
            acknowledged += 1;
            server.kill();
        }
    }
    server.start_again();
    for n in 0..acknowledged {
        assert_eq!(server.good(&format!("STRLEN key:{n}")).int(), 100_000);
    }
    server.good("SET room again");
}

each_server! {
    a_second_server_on_the_same_port_leaves_the_first_alone,
    a_disk_that_fills_costs_no_acknowledged_write,
}
