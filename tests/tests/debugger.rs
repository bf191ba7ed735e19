//! Sessions of the debugger of scripts, whole processes: those in a fork of their own and those that hold the server,
//! and redis-cli in them.

use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_tests::{each_server, pairings};
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Server};

const SCRIPT: &str =
    "local old = redis.call('get', 'k')\nredis.call('set', 'k', 'changed')\nreturn old";

/// A client with a session, stopped at its first line.
fn begin(server: &Server, mode: &str, script: &str) -> Client {
    let mut client = server.client();
    client.good(&format!("SCRIPT DEBUG {mode}"));
    let stopped = client.args(&["EVAL", script, "0"]);
    assert_eq!(stopped.texts()[0], "* Stopped at 1, stop reason = step over");
    client
}

/// Lets the script run on; what it returns.
fn go_on(client: &mut Client) -> testkit::Reply {
    let last = client.run("c");
    assert_eq!(last.texts().last().map(String::as_str), Some("<endsession>"));
    client.read_reply().unwrap()
}

fn is_closed(client: &mut Client) -> bool {
    client.read_reply().is_err_and(|error| {
        matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
    })
}

/// The processes that a server has made.
fn children(server: &Server) -> Vec<Pid> {
    let pid = server.pid();
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// What a script does in a session of its own is gone with it, and nobody has to wait for it.
fn a_forked_session_is_rolled_back_and_holds_nobody(kind: Kind) {
    let server = Server::of(kind).start();
    server.good("SET k before");
    let mut one = begin(&server, "yes", SCRIPT);
    server.good("SET k meanwhile");
    let mut two = begin(&server, "yes", SCRIPT);
    assert_eq!(children(&server).len(), 2);
    assert_eq!(go_on(&mut one).text(), "before");
    assert!(is_closed(&mut one));
    assert_eq!(two.run("r get k").texts(), ["<redis> get k", "<reply> \"meanwhile\""]);
    assert_eq!(go_on(&mut two).text(), "meanwhile");
    assert!(is_closed(&mut two));
    assert_eq!(server.good("GET k").text(), "meanwhile");
    wait_until(LONG, "the sessions' processes are gone", || children(&server).is_empty());
}

fn a_session_ends_with_its_client(kind: Kind) {
    let server = Server::of(kind).start();
    let client = begin(&server, "yes", SCRIPT);
    assert_eq!(children(&server).len(), 1);
    drop(client);
    wait_until(LONG, "the session's process is gone", || children(&server).is_empty());
    // One that is killed takes nothing with it, but for its own connection.
    let mut client = begin(&server, "yes", SCRIPT);
    kill(children(&server)[0], Signal::SIGKILL).unwrap();
    assert!(is_closed(&mut client));
    wait_until(LONG, "the session's process is gone", || children(&server).is_empty());
    server.good("PING");
}

fn a_session_ends_with_its_server(kind: Kind) {
    let mut server = Server::of(kind).start();
    let mut client = begin(&server, "yes", SCRIPT);
    // It is answered by the end of the connection.
    let _ = server.client().try_args(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_exit().success());
    assert!(is_closed(&mut client));
}

fn a_session_in_the_server_stays_done(kind: Kind) {
    let server = Server::of(kind).start();
    server.good("SET k before");
    let mut client = begin(&server, "sync", SCRIPT);
    assert_eq!(go_on(&mut client).text(), "before");
    assert!(is_closed(&mut client));
    assert_eq!(server.good("GET k").text(), "changed");
    // What has been done until then is kept.
    let mut client = begin(&server, "sync", "redis.call('set', 'k', 1)\nreturn 2");
    client.run("s");
    assert_eq!(client.run("a").texts(), ["<endsession>"]);
    let reply = client.read_reply().unwrap();
    assert!(reply.error().starts_with("ERR script aborted for user request script: "), "{reply:?}");
    assert_eq!(server.good("GET k").text(), "1");
}

fn a_session_in_the_server_ends_with_its_client(kind: Kind) {
    let server = Server::of(kind).start();
    server.good("SET k before");
    drop(begin(&server, "sync", SCRIPT));
    // The script has run to its end.
    assert_eq!(server.good("GET k").text(), "changed");
}

each_server! {
    a_forked_session_is_rolled_back_and_holds_nobody,
    a_session_ends_with_its_client,
    a_session_ends_with_its_server,
    a_session_in_the_server_stays_done,
    a_session_in_the_server_ends_with_its_client,
}

fn what_a_session_in_the_server_does_travels(m: Kind, r: Kind) {
    let master = Server::of(m).start();
    let replica = Server::of(r).replica_of(&master).start();
    wait_equal(&master, &replica);
    let mut forked = begin(&master, "yes", "redis.call('set', 'forked', 1)\nreturn 1");
    let mut client = begin(&master, "sync", "redis.call('set', 'sync', 1)\nreturn 1");
    assert_eq!(go_on(&mut client).int(), 1);
    assert_eq!(go_on(&mut forked).int(), 1);
    wait_equal(&master, &replica);
    assert_eq!(replica.good("DBSIZE").int(), 1);
    // A replica has sessions of its own, in which it changes nothing.
    let mut client = begin(&replica, "yes", "return redis.call('set', 'k', 1)");
    assert!(go_on(&mut client).error().starts_with("READONLY"));
}

pairings! { what_a_session_in_the_server_does_travels }

/// Redis answers nobody while a script is debugged in it.
#[test]
fn others_are_told_that_a_session_holds_the_server() {
    let mut server = Server::of(Kind::Tandem).start();
    let mut client = begin(&server, "sync", SCRIPT);
    let busy = server.run("GET k");
    assert!(busy.error().starts_with("BUSY Redis is busy running a script."), "{busy:?}");
    server.good("SCRIPT KILL");
    assert_eq!(client.read_reply().unwrap().texts(), ["<endsession>"]);
    assert!(client.read_reply().unwrap().error().contains("Script killed by user"));
    assert_eq!(server.good("EXISTS k").int(), 0);
    let mut client = begin(&server, "sync", "redis.call('set', 'k', 1)\nreturn 2");
    client.run("s");
    assert!(server.run("SCRIPT KILL").error().starts_with("UNKILLABLE"));
    // It is answered by the end of the connection.
    let _ = server.client().try_args(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_exit().success());
}

/// A user has no more rights in a session than outside.
#[test]
fn a_session_gives_no_rights() {
    let server = Server::of(Kind::Tandem).start();
    server.good("ACL SETUSER u on nopass ~a* +eval +get +script");
    let mut client = server.client();
    client.good("AUTH u x");
    client.good("SCRIPT DEBUG yes");
    client.args(&["EVAL", "return 1", "0"]);
    let told = client.run("r set a 1").texts();
    assert!(told[1].starts_with("<error> ACL failure in script: "), "{told:?}");
    assert!(client.run("r get b").texts()[1].starts_with("<error> ACL failure in script: "));
    assert_eq!(client.run("r get a").texts()[1], "<reply> NULL");
    // What would reach another process, or the disk, does not exist there.
    server.good("DEBUG SET-DISABLE-DENY-SCRIPTS 1");
    let mut client = begin(&server, "yes", "return 1");
    let told = client.run("r save").texts();
    assert!(told.iter().any(|line| line.contains("not allowed in a forked debugging")), "{told:?}");
    assert_eq!(client.run("r flushall async").texts()[1], "<reply> \"+OK\"");
    assert!(client.run("r info memory").texts()[1].contains("used_memory:"));
}
