//! CLIENT: who is connected, how they are described, killed, paused, unblocked and silenced.

mod common;

use common::Database;
use engine::pause::PauseBy;
use engine::{Kind, Peer};

fn peer(addr: &str) -> Peer {
    let laddr = "127.0.0.1:6379".to_string();
    Peer { addr: addr.to_string(), laddr, fd: 9, ..Peer::default() }
}

fn body(reply: &str) -> &str {
    reply.split_once("\r\n").map_or("", |(_, body)| body.trim_end_matches("\r\n"))
}

#[test]
fn a_client_is_described_field_by_field_as_in_redis_7_2() {
    let mut db = Database::new();
    let now = db.now;
    let c = db.engine.connect(now, Kind::Normal, peer("10.0.0.1:5000"));
    db.run(c, "CLIENT SETNAME alice");
    db.run(c, "CLIENT SETINFO LIB-NAME redis-py");
    db.run(c, "CLIENT SETINFO lib-ver 5.0.1");
    db.run(c, "SELECT 3");
    db.advance_ms(7000);
    let reply = db.run(c, "CLIENT INFO");
    let line = body(&reply).trim_end();
    let names: Vec<&str> = line.split(' ').filter_map(|f| f.split('=').next()).collect();
    assert_eq!(
        names.join(" "),
        "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem \
         multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds"
    );
    assert!(line.starts_with(
        "id=1 addr=10.0.0.1:5000 laddr=127.0.0.1:6379 fd=9 name=alice age=7 idle=0 flags=N db=3 \
         sub=0 psub=0 ssub=0 multi=-1 "
    ));
    assert!(line.contains(" argv-mem=10 "), "{line}");
    assert!(line.ends_with(
        " events=r cmd=client|info user=default redir=-1 resp=2 lib-name=redis-py lib-ver=5.0.1 tot-net-in=0 tot-net-out=0 tot-cmds=4"
    ));
}

#[test]
fn flags_tell_the_state_and_types_select_by_it() {
    let mut db = Database::new();
    let now = db.now;
    let c = db.connect();
    let subscriber = db.connect();
    let blocked = db.connect();
    let in_multi = db.connect();
    let replica = db.engine.connect(now, Kind::Replica, Peer::default());
    let master = db.engine.connect(now, Kind::Master, Peer::default());
    db.run(subscriber, "SUBSCRIBE a");
    db.run(subscriber, "PSUBSCRIBE b*");
    db.run(blocked, "BLPOP k 0");
    db.run(in_multi, "WATCH k2");
    db.run(in_multi, "MULTI");
    db.run(in_multi, "SET a b");
    db.run(c, "SET k2 v");
    let list = db.run(c, "CLIENT LIST");
    let line_of = |id: u64| {
        let start = format!("id={id} ");
        body(&list).lines().find(|line| line.starts_with(&start)).unwrap_or("").to_string()
    };
    let has = |id: u64, text: &str| assert!(line_of(id).contains(text), "{text}: {}", line_of(id));
    has(subscriber.id, " flags=P db=0 sub=1 psub=1 ssub=0 ");
    has(blocked.id, " flags=b ");
    has(blocked.id, " cmd=blpop ");
    has(in_multi.id, " flags=xd ");
    has(in_multi.id, " multi=1 ");
    has(replica.id, " flags=S ");
    has(master.id, " flags=M ");
    let ids = |reply: String| -> Vec<String> {
        let lines = body(&reply).lines();
        lines.filter_map(|line| line.split(' ').next()).map(str::to_string).collect()
    };
    assert_eq!(ids(db.run(c, "CLIENT LIST TYPE pubsub")), ["id=2"]);
    assert_eq!(ids(db.run(c, "CLIENT LIST TYPE slave")), ["id=5"]);
    assert_eq!(ids(db.run(c, "CLIENT LIST TYPE master")), ["id=6"]);
    assert_eq!(ids(db.run(c, "CLIENT LIST TYPE normal")), ["id=1", "id=3", "id=4"]);
    assert_eq!(ids(db.run(c, "CLIENT LIST ID 4 99 1")), ["id=4", "id=1"]);
    assert_eq!(db.run(c, "CLIENT LIST TYPE x"), "-ERR Unknown client type 'x'\r\n");
    assert_eq!(db.run(c, "CLIENT LIST ID x"), "-ERR Invalid client ID\r\n");
    assert_eq!(db.run(c, "CLIENT LIST x"), "-ERR syntax error\r\n");
}

#[test]
fn killed_clients_are_closed_once_and_no_longer_served() {
    let mut db = Database::new();
    let now = db.now;
    let c = db.engine.connect(now, Kind::Normal, peer("10.0.0.1:1"));
    let waiting = db.engine.connect(now, Kind::Normal, peer("10.0.0.1:2"));
    let _other = db.engine.connect(now, Kind::Normal, peer("10.0.0.1:3"));
    db.run(waiting, "BLPOP queue 0");
    // What is pushed after the kill, in one transaction, must not be lost to a dead client.
    db.run(c, "MULTI");
    db.run(c, "CLIENT KILL ID 2");
    db.run(c, "CLIENT KILL ID 2");
    db.run(c, "RPUSH queue job");
    assert_eq!(db.run(c, "EXEC"), "*3\r\n:1\r\n:0\r\n:1\r\n");
    assert_eq!(db.run(c, "LLEN queue"), ":1\r\n");
    assert!(db.world.actions.iter().any(|a| a.contains("CloseClient") && a.contains("id: 2")));

    assert_eq!(db.run(c, "CLIENT KILL 10.0.0.1:3"), "+OK\r\n");
    assert_eq!(db.run(c, "CLIENT KILL 10.0.0.1:9"), "-ERR No such client\r\n");
    assert_eq!(db.run(c, "CLIENT KILL TYPE normal LADDR 127.0.0.1:6379"), ":0\r\n");
    assert_eq!(db.run(c, "CLIENT KILL USER default SKIPME no"), ":1\r\n");
    assert!(db.engine.client(c).is_some_and(|client| client.close_after_reply));
}

#[test]
fn clients_are_listed_by_all_that_is_said_of_them() {
    let mut db = Database::new();
    let now = db.now;
    let a = db.engine.connect(now, Kind::Normal, peer("10.0.0.1:1"));
    let b = db.engine.connect(now, Kind::Normal, peer("10.0.0.2:2"));
    db.run(a, "CLIENT SETNAME asks");
    db.run(b, "CLIENT SETNAME waits");
    db.run(b, "CLIENT SETINFO LIB-NAME lib");
    db.run(b, "CLIENT CAPA unheard-of redirect");
    db.run(b, "SELECT 3");
    db.run(b, "BLPOP queue 0");
    db.advance_ms(5000);
    let c = db.engine.connect(db.now, Kind::Normal, peer("10.0.0.3:3"));
    for (filter, expected) in [
        ("NAME waits", "2"),
        ("NOT-NAME waits", "1 3"),
        ("FLAGS b", "2"),
        ("NOT-FLAGS b", "1 3"),
        ("FLAGS bN", ""),
        ("DB 3", "2"),
        ("NOT-DB 3 SKIPME yes", "3"),
        ("CAPA r", "2"),
        ("NOT-CAPA r", "1 3"),
        ("IP 10.0.0.3", "3"),
        ("NOT-IP 10.0.0.3", "1 2"),
        ("LIB-NAME lib", "2"),
        ("NOT-LIB-VER x", "1 2 3"),
        ("IDLE 5", "2"),
        ("MAXAGE 5", "1 2"),
        ("MAXAGE 6", ""),
        ("NOT-ID 1 2", "3"),
        ("ID 3 1 2 NAME asks", "1"),
        ("ID 3 1", "3 1"),
        ("TYPE normal NOT-ADDR 10.0.0.1:1", "2 3"),
        ("NAME asks NAME waits", "2"),
    ] {
        let reply = db.run(a, &format!("CLIENT LIST {filter}"));
        let ids: Vec<&str> = body(&reply)
            .lines()
            .filter_map(|line| line.split(' ').next()?.strip_prefix("id="))
            .collect();
        assert_eq!(ids.join(" "), expected, "{filter}");
    }
    for (filter, error) in [
        ("FLAGS Z", "Unknown flags found in the provided filter: Z"),
        ("CAPA x", "Unknown capa found in the provided filter: x"),
        ("DB 16", "DB number should be between 0 and 15"),
        ("DB x", "DB is not an integer or out of range"),
        ("IDLE 0", "idle should be greater than 0"),
        ("MAXAGE x", "maxage is not an integer or out of range"),
        ("NOT-IDLE 1", "syntax error"),
        ("ID 1 x", "Invalid client ID"),
        ("NAME", "syntax error"),
    ] {
        assert_eq!(db.run(a, &format!("CLIENT LIST {filter}")), format!("-ERR {error}\r\n"));
    }
    assert_eq!(db.run(a, "CLIENT KILL ID 1 2 NOT-NAME asks"), ":1\r\n");
    assert!(db.engine.client(b).is_some_and(|client| client.is_killed));
    assert!(db.engine.client(c).is_some_and(|client| !client.is_killed));
}

/// The reply of a command that had to wait was given, though it was to be skipped.
#[test]
fn a_skipped_reply_is_skipped_however_late_it_comes() {
    let mut db = Database::new();
    let (c, other) = (db.connect(), db.connect());
    db.run(c, "CLIENT REPLY SKIP");
    db.run(c, "BLPOP queue 0");
    db.run(other, "RPUSH queue job");
    assert_eq!(db.replies(c), "");
    assert_eq!(db.run(c, "LLEN queue"), ":0\r\n");
    db.run(c, "CLIENT REPLY SKIP");
    db.run(c, "BLPOP queue 0.01");
    db.advance_ms(20);
    assert_eq!(db.replies(c), "");
    db.run(c, "CLIENT REPLY SKIP");
    db.run(other, "CLIENT PAUSE 10");
    db.run(c, "PING");
    db.advance_ms(20);
    assert_eq!(db.replies(c), "");
    assert_eq!(db.run(c, "PING"), "+PONG\r\n");
}

#[test]
fn kill_refuses_what_it_does_not_understand() {
    let mut db = Database::new();
    let c = db.connect();
    for (command, answer) in [
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"),
        ("CLIENT KILL TYPE x", "-ERR Unknown client type 'x'\r\n"),
        ("CLIENT KILL USER x", "-ERR No such user 'x'\r\n"),
        ("CLIENT KILL SKIPME x", "-ERR syntax error\r\n"),
        ("CLIENT KILL a b c", "-ERR syntax error\r\n"),
        ("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command\r\n"),
    ] {
        assert_eq!(db.run(c, command), answer, "{command}");
    }
}

#[test]
fn a_pause_holds_writes_and_unpause_lets_them_go() {
    let mut db = Database::new();
    let (c, writer) = (db.connect(), db.connect());
    db.run(c, "SET gone v PX 50");
    assert_eq!(db.run(c, "CLIENT PAUSE 10000 WRITE"), "+OK\r\n");
    assert_eq!(db.run(writer, "SET k v"), "");
    assert_eq!(db.run(c, "GET k"), "$-1\r\n");
    // Nothing is expired meanwhile either: the stream to replicas stands still.
    db.stream();
    db.advance_ms(100);
    assert_eq!(db.run(c, "GET gone"), "$-1\r\n");
    assert_eq!(db.stream(), "");
    assert_eq!(db.run(c, "CLIENT UNBLOCK 2"), ":0\r\n");
    assert_eq!(db.run(c, "CLIENT UNPAUSE"), "+OK\r\n");
    db.advance_ms(0);
    assert_eq!(db.replies(writer), "+OK\r\n");
    assert_eq!(db.run(c, "GET k"), "$1\r\nv\r\n");
    for (command, answer) in [
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative\r\n"),
        ("CLIENT PAUSE 1 x", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"),
    ] {
        assert_eq!(db.run(c, command), answer, "{command}");
    }
}

/// It made an exception for all of CLIENT, so that a second pause changed the first, and a reader did not wait.
#[test]
fn a_pause_of_everything_holds_another_pause_but_not_its_own_end() {
    let mut db = Database::new();
    let (c, other) = (db.connect(), db.connect());
    assert_eq!(db.run(c, "CLIENT PAUSE 200 ALL"), "+OK\r\n");
    assert_eq!(db.run(c, "CLIENT PAUSE 20 WRITE"), "");
    assert_eq!(db.run(other, "CLIENT ID"), "");
    db.advance_ms(201);
    assert_eq!(db.replies(c), "+OK\r\n");
    assert_eq!(db.replies(other), ":2\r\n");
    db.advance_ms(20);
    assert_eq!(db.run(c, "CLIENT PAUSE 200 ALL"), "+OK\r\n");
    assert_eq!(db.run(c, "PING"), "");
    assert_eq!(db.run(other, "CLIENT UNPAUSE"), "+OK\r\n");
    db.advance_ms(0);
    assert_eq!(db.replies(c), "+PONG\r\n");
}

#[test]
fn unpause_does_not_end_the_pause_before_a_shutdown() {
    let mut db = Database::new();
    let (c, writer) = (db.connect(), db.connect());
    let until_us = db.now.mono_us + 1_000_000;
    db.engine.pause_writes(PauseBy::Shutdown, until_us);
    assert_eq!(db.run(c, "CLIENT UNPAUSE"), "+OK\r\n");
    assert_eq!(db.run(writer, "SET k v"), "");
}

#[test]
fn a_blocked_client_is_unblocked_by_another() {
    let mut db = Database::new();
    let (c, waiting) = (db.connect(), db.connect());
    db.run(waiting, "BLPOP k 0");
    assert_eq!(db.run(c, "CLIENT UNBLOCK 2"), ":1\r\n");
    assert_eq!(db.replies(waiting), "*-1\r\n");
    db.run(waiting, "BLPOP k 0");
    assert_eq!(db.run(c, "CLIENT UNBLOCK 2 ERROR"), ":1\r\n");
    assert_eq!(db.replies(waiting), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_eq!(db.run(c, "CLIENT UNBLOCK 2"), ":0\r\n");
    assert_eq!(
        db.run(c, "CLIENT UNBLOCK 2 X"),
        "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"
    );
}

#[test]
fn replies_are_silenced_for_one_command_or_all() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(db.run(c, "CLIENT REPLY SKIP"), "");
    assert_eq!(db.run(c, "PING"), "");
    assert_eq!(db.run(c, "PING"), "+PONG\r\n");
    assert_eq!(db.run(c, "CLIENT REPLY OFF"), "");
    assert_eq!(db.run(c, "PING"), "");
    assert_eq!(db.run(c, "CLIENT REPLY SKIP"), "");
    assert_eq!(db.run(c, "NO SUCH COMMAND"), "");
    assert_eq!(db.run(c, "CLIENT REPLY ON"), "+OK\r\n");
    assert_eq!(db.run(c, "PING"), "+PONG\r\n");
}

#[test]
fn names_and_library_names_are_checked() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(db.run(c, "CLIENT GETNAME"), "$-1\r\n");
    assert_eq!(
        db.run_args(c, &[b"CLIENT", b"SETNAME", b"a b"]),
        "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    );
    assert_eq!(
        db.run_args(c, &[b"CLIENT", b"SETINFO", b"lib-name", b"a b"]),
        "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
    );
    assert_eq!(db.run(c, "CLIENT SETINFO x y"), "-ERR Unrecognized option 'x'\r\n");
    let help = db.run(c, "CLIENT HELP");
    assert!(help.contains("+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"));
    assert!(help.ends_with("+HELP\r\n+    Print this help.\r\n"));
}

#[test]
fn waitaof_counts_our_own_file_and_those_of_replicas() {
    let mut db = Database::new();
    let (c, other) = (db.connect(), db.connect());
    for (command, answer) in [
        ("2 0 0", "-ERR value is out of range, value must between 0 and 1\r\n"),
        ("x 0 0", "-ERR value is not an integer or out of range\r\n"),
        ("0 -1 0", "-ERR value is out of range, must be positive\r\n"),
        ("0 x 0", "-ERR value is out of range, must be positive\r\n"),
        ("0 0 -1", "-ERR timeout is negative\r\n"),
        ("1 0 x", "-ERR timeout is not an integer or out of range\r\n"),
        ("0 0 0", "*2\r\n:0\r\n:0\r\n"),
    ] {
        assert_eq!(db.run(c, &format!("WAITAOF {command}")), answer, "{command}");
    }
    let without =
        "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n";
    assert_eq!(db.run(c, "WAITAOF 1 0 0"), without);

    // Who has written nothing waits for nothing.
    db.world.fsynced = Some(0);
    assert_eq!(db.run(c, "WAITAOF 1 0 0"), "*2\r\n:1\r\n:0\r\n");
    db.run(c, "SET k v");
    assert_eq!(db.run(c, "WAITAOF 1 1 0"), "");
    db.world.acked = 5;
    db.acks_changed();
    assert_eq!(db.replies(c), "", "what is not on disk does not count");
    db.world.acked_on_disk = 1;
    db.acks_changed();
    assert_eq!(db.replies(c), "");
    db.world.fsynced = Some(db.world.stream.len() as u64);
    db.acks_changed();
    assert_eq!(db.replies(c), "*2\r\n:1\r\n:1\r\n");

    // In a transaction nobody waits; a time-out tells how far it came.
    db.run(c, "SET k w");
    db.run(c, "MULTI");
    db.run(c, "WAITAOF 1 3 0");
    assert_eq!(db.run(c, "EXEC"), "*1\r\n*2\r\n:0\r\n:1\r\n");
    assert_eq!(db.run(c, "WAITAOF 0 3 50"), "");
    db.advance_ms(50);
    assert_eq!(db.replies(c), "*2\r\n:0\r\n:1\r\n");

    // A file that is turned off meanwhile will never have it.
    assert_eq!(db.run(c, "WAITAOF 1 0 0"), "");
    db.run(other, "SET k x");
    assert_eq!(db.run(other, "WAITAOF 0 3 0"), "");
    db.world.fsynced = None;
    db.acks_changed();
    assert_eq!(db.replies(c), without);
    assert_eq!(db.replies(other), "");
}

#[test]
fn a_master_that_becomes_a_replica_lets_nobody_wait() {
    let mut db = Database::new();
    let (a, b, paused) = (db.connect(), db.connect(), db.connect());
    db.run(a, "BLPOP k 0");
    db.run(b, "WAIT 1 0");
    db.engine.pause_writes(PauseBy::Shutdown, db.now.mono_us + 1_000_000);
    db.run(paused, "SET k v");
    db.engine.unblock_for_demotion(&mut db.world);
    let told = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> \
                replica?)\r\n";
    for client in [a, b] {
        assert_eq!(db.replies(client), told);
        assert!(db.engine.client(client).unwrap().close_after_reply);
    }
    assert_eq!(
        db.replies(paused),
        "",
        "who waits for the end of a pause runs into the new role then"
    );
}

#[test]
fn an_error_on_a_replication_link_is_logged_because_nobody_reads_it() {
    let mut db = Database::new();
    let master = db.engine.connect(db.now, Kind::Master, peer("10.0.0.1:6379"));
    let replica = db.engine.connect(db.now, Kind::Replica, peer("10.0.0.2:6380"));
    db.run(master, "SET k v");
    assert!(db.world.actions.is_empty());
    assert_eq!(db.run(master, "LPUSH k v"), "");
    assert_eq!(db.run(replica, "SET k v"), "");
    let logged = db.world.actions.join("\n");
    for line in [
        "== CRITICAL == This replica is sending an error to its master: '-WRONGTYPE Operation against \
         a key holding the wrong kind of value' after processing the command 'lpush'",
        "== CRITICAL == This master is sending an error to its replica: 'Replica can't interact with \
         the keyspace' after processing the command 'set'",
        "Replica generated a reply to command 'set', disconnecting it: id=",
    ] {
        assert!(logged.contains(line), "{logged}");
    }
    assert!(db.world.actions.last().unwrap().starts_with("CloseClient"));
    let c = db.connect();
    assert!(db.run(c, "INFO stats").contains("unexpected_error_replies:2\r\n"));
}
