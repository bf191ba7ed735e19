//! Scripts that take long, and functions on their way to replicas and through files: whole processes.

use nix::sys::signal::Signal;
use tandem_tests::{each_server, pairings};
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Server};

const ENDLESS: &str = "while true do end";
const LIBRARY: &str = "#!lua name=lib\nredis.register_function('put', function(keys, args) \
                       redis.call('set', keys[1], args[1]) return redis.call('incr', 'count') end)\n\
                       redis.register_function{function_name='spin', callback=function() while true do \
                       end end, flags={'no-writes'}}";

fn busy_server(kind: Kind) -> Server {
    Server::of(kind).set("busy-reply-threshold 10").start()
}

/// Begins a script that does not come back by itself.
fn begin(server: &Server, args: &[&str]) -> Client {
    let mut client = server.client();
    client.send(args).unwrap();
    wait_until(LONG, "the server says that it is busy", || {
        server.run("PING").is_error() && server.run("PING").error().starts_with("BUSY")
    });
    client
}

/// A server that is busy with a script was deaf, and could only be killed with what it had in memory.
fn an_endless_script_can_be_killed(kind: Kind) {
    let server = busy_server(kind);
    let mut client = begin(&server, &["EVAL", ENDLESS, "0"]);
    let busy = server.run("GET k");
    assert!(busy.error().starts_with("BUSY Redis is busy running a script."), "{busy:?}");
    assert!(server.run("FUNCTION KILL").error().starts_with("BUSY"));
    server.good("SCRIPT KILL");
    let reply = client.read_reply().unwrap();
    assert!(reply.error().contains("Script killed by user with SCRIPT KILL"), "{reply:?}");
    wait_until(LONG, "the server serves", || server.run("PING").text() == "PONG");
    assert!(server.run("SCRIPT KILL").error().starts_with("NOTBUSY"));
}

/// What such a client was answered before its script was lost when others were answered meanwhile.
fn a_pipeline_around_a_script_is_answered_whole(kind: Kind) {
    let server = busy_server(kind);
    let mut client = server.client();
    let mut pipeline = Vec::new();
    for command in [&["ECHO", "before"][..], &["EVAL", ENDLESS, "0"], &["ECHO", "behind"]] {
        testkit::client::encode(&mut pipeline, command);
    }
    client.send_raw(&pipeline).unwrap();
    wait_until(LONG, "the server says that it is busy", || server.run("PING").is_error());
    server.good("SCRIPT KILL");
    assert_eq!(client.read_reply().unwrap().text(), "before");
    assert!(client.read_reply().unwrap().is_error());
    assert_eq!(client.read_reply().unwrap().text(), "behind");
}

/// One that catches its own end goes on, if only one error is raised.
fn a_script_cannot_catch_its_end(kind: Kind) {
    let server = busy_server(kind);
    let script = "local function f() while true do end end while true do pcall(f) end";
    let mut client = begin(&server, &["EVAL", script, "0"]);
    server.good("SCRIPT KILL");
    assert!(client.read_reply().unwrap().is_error());
    assert_eq!(server.client().args(&["EVAL", "return 1", "0"]).int(), 1);
}

fn what_has_written_is_not_killed(kind: Kind) {
    let mut server = busy_server(kind);
    let script = "redis.call('set', 'k', 'v') while true do end";
    let _client = begin(&server, &["EVAL", script, "0"]);
    assert!(server.run("SCRIPT KILL").error().starts_with("UNKILLABLE"));
    assert!(server.run("SHUTDOWN").error().starts_with("BUSY"));
    // It is answered by the end of the connection.
    let _ = server.client().try_args(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_exit().success());
}

/// SIGTERM amidst a script: the end comes when the script does, and not in the midst of what it does. Until
/// then the server is as busy as before.
fn sigterm_waits_for_the_script(kind: Kind) {
    let mut server = busy_server(kind);
    let mut client = begin(&server, &["EVAL", ENDLESS, "0"]);
    server.signal(Signal::SIGTERM);
    for _ in 0..20 {
        assert!(server.run("PING").error().starts_with("BUSY"));
    }
    server.good("SCRIPT KILL");
    // Redis ends without having sent it.
    let _ = client.read_reply();
    assert!(server.wait_exit().success());
    assert!(server.log().contains("Received SIGTERM scheduling shutdown..."));
}

fn an_endless_function_can_be_killed(kind: Kind) {
    let server = busy_server(kind);
    server.client().args(&["FUNCTION", "LOAD", LIBRARY]);
    let mut client = begin(&server, &["FCALL", "spin", "0"]);
    let busy = server.run("GET k");
    assert!(
        busy.error().ends_with("You can only call FUNCTION KILL or SHUTDOWN NOSAVE."),
        "{busy:?}"
    );
    let stats = server.good("FUNCTION STATS");
    assert_eq!(stats.items()[1].items()[1].text(), "spin");
    assert_eq!(stats.items()[1].items()[3].texts(), ["FCALL", "spin", "0"]);
    server.good("FUNCTION KILL");
    assert!(client.read_reply().unwrap().is_error());
}

each_server! {
    an_endless_script_can_be_killed,
    a_pipeline_around_a_script_is_answered_whole,
    a_script_cannot_catch_its_end,
    sigterm_waits_for_the_script,
    what_has_written_is_not_killed,
    an_endless_function_can_be_killed,
}

/// Lua runs the error handler of what a hook raises amid the hook, where it cannot be interrupted: a script whose
/// handler did not end took the whole server with it when it was killed. Redis is deaf for ever here.
#[test]
fn a_script_does_not_outlive_its_end_in_an_error_handler() {
    let server = busy_server(Kind::Tandem);
    let direct = "local function f() while true do end end xpcall(f, f)";
    let raised = "local function f() while true do end end xpcall(function() error('x') end, f)";
    let in_coroutine = format!("return coroutine.wrap(function() {direct} end)()");
    for script in [direct, raised, &in_coroutine] {
        let mut client = begin(&server, &["EVAL", script, "0"]);
        server.good("SCRIPT KILL");
        let reply = client.read_reply().unwrap();
        assert!(reply.error().contains("Script killed by user"), "{script}: {reply:?}");
        assert_eq!(server.client().args(&["EVAL", "return 1", "0"]).int(), 1);
    }
}

/// SHUTDOWN NOSAVE amid a script left half of it in the append-only file.
#[test]
fn half_a_script_is_not_in_the_file() {
    let mut server = Server::of(Kind::Tandem)
        .set("busy-reply-threshold 10")
        .set("appendonly yes\nappendfsync always")
        .start();
    server.good("SET before 1");
    let script = "redis.call('set', 'a', 1) redis.call('set', 'b', 2) while true do end";
    let _client = begin(&server, &["EVAL", script, "0"]);
    let _ = server.client().try_args(&["SHUTDOWN", "NOSAVE"]);
    server.wait_exit();
    server.start_again();
    assert_eq!(server.good("DBSIZE").int(), 1);
}

/// Functions came over as bytes that nobody could call.
fn functions_reach_a_replica(m: Kind, r: Kind) {
    let master = Server::of(m).start();
    master.client().args(&["FUNCTION", "LOAD", LIBRARY]);
    master.good("FCALL put 1 k v");
    let replica = Server::of(r).replica_of(&master).start();
    wait_equal(&master, &replica);
    let listed = |server: &Server| format!("{:?}", server.good("FUNCTION LIST WITHCODE")).len();
    assert_eq!(listed(&replica), listed(&master), "after a full sync");
    for n in 0..10 {
        master.good(&format!("FCALL put 1 k{n} v"));
        master.client().args(&[
            "EVAL",
            "redis.call('rpush', KEYS[1], 'a', 'b') return redis.call('lpop', KEYS[1])",
            "1",
            &format!("l{n}"),
        ]);
    }
    wait_equal(&master, &replica);
    master.good("FUNCTION DELETE lib");
    wait_until(LONG, "the replica has no functions", || {
        replica.good("FUNCTION LIST").items().is_empty()
    });
    master.client().args(&["FUNCTION", "LOAD", LIBRARY]);
    wait_until(LONG, "the replica has them again", || {
        replica.good("FUNCTION LIST").items().len() == 1
    });
}

pairings! { functions_reach_a_replica }

/// Functions lived in snapshots alone; with the append-only file a kill lost them.
#[test]
fn functions_outlive_a_kill_and_a_rewrite() {
    for preamble in ["yes", "no"] {
        let mut server = Server::of(Kind::Tandem)
            .set("appendonly yes\nappendfsync always")
            .set(&format!("aof-use-rdb-preamble {preamble}"))
            .start();
        server.client().args(&["FUNCTION", "LOAD", LIBRARY]);
        assert_eq!(server.good("FCALL put 1 k v").int(), 1);
        server.kill();
        server.start_again();
        assert_eq!(server.good("FCALL put 1 k v").int(), 2);
        server.good("BGREWRITEAOF");
        wait_until(LONG, "the rewrite is done", || {
            let info = server.info("persistence");
            info.text("aof_rewrite_in_progress") == "0"
                && info.text("aof_last_rewrite_time_sec") != "-1"
        });
        server.kill();
        server.start_again();
        assert_eq!(server.good("FCALL put 1 k v").int(), 3, "preamble {preamble}");
        server.good("DEBUG RELOAD");
        assert_eq!(server.good("FCALL put 1 k v").int(), 4);
    }
}
