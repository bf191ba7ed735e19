//! The engine without a server: commands, transactions, expiry, blocking and propagation through
//! the public API.

mod common;

use common::Database;
use engine::Unblocked;
use engine::pause::PauseBy;
use engine::world::MasterLinkInfo;

#[test]
fn a_value_is_set_read_and_deleted() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(db.run(c, "SET k hello"), "+OK\r\n");
    assert_eq!(db.run(c, "GET k"), "$5\r\nhello\r\n");
    assert_eq!(db.run(c, "DEL k absent"), ":1\r\n");
    assert_eq!(db.run(c, "GET k"), "$-1\r\n");
}

#[test]
fn expiries_travel_absolute_and_as_they_were_said_where_they_are() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SELECT 0");
    for (command, travels) in [
        ("SET k v EX 10", "SELECT 0 SET k v PXAT 1700000010000"),
        ("set k v pxat 1900000000000 get", "set k v pxat 1900000000000 get"),
        ("SET k v EXAT 1900000000", "SET k v PXAT 1900000000000"),
        ("GETEX k EX 10", "PEXPIREAT k 1700000010000"),
        ("EXPIRE k 20 gt", "PEXPIREAT k 1700000020000 gt"),
        ("pexpireat k 1700000010000 LT", "pexpireat k 1700000010000 LT"),
        ("EXPIREAT k 1700000020", "PEXPIREAT k 1700000020000"),
    ] {
        db.run(c, command);
        assert_eq!(db.stream(), travels, "{command}");
    }
}

/// With TYPE, SCAN left what had expired where it was, unless its type was asked for.
#[test]
fn a_scan_by_type_takes_all_that_has_expired() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET a v PX 10");
    db.run(c, "SADD s m");
    db.advance_ms(20);
    db.stream();
    assert_eq!(db.run(c, "SCAN 0 TYPE nothing"), "*2\r\n$1\r\n0\r\n*0\r\n");
    assert_eq!(db.stream(), "DEL a");
    assert_eq!(db.run(c, "SCAN 0 TYPE set"), "*2\r\n$1\r\n0\r\n*1\r\n$1\r\ns\r\n");
}

/// A blocked client ran its command on a key that had expired, and so deleted it unasked.
#[test]
fn an_expired_key_that_swapdb_brings_wakes_nobody_and_goes_when_it_is_touched() {
    let mut db = Database::new();
    let (c, waits) = (db.connect(), db.connect());
    db.run(waits, "BLPOP queue 0");
    db.run(c, "SELECT 9");
    db.run(c, "RPUSH queue x");
    db.run(c, "PEXPIRE queue 10");
    db.advance_ms(20);
    db.stream();
    db.run(c, "SWAPDB 0 9");
    assert_eq!(db.stream(), "SWAPDB 0 9");
    assert!(db.engine.client(waits).is_some_and(|client| client.is_blocked()));
    db.run(c, "SELECT 0");
    db.run(c, "EXISTS queue");
    assert_eq!(db.stream(), "SELECT 0 DEL queue");
}

#[test]
fn what_travels_is_what_changed_once() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v");
    assert_eq!(db.stream(), "SELECT 0 SET k v");
    db.run(c, "GET k");
    db.run(c, "DEL absent");
    assert_eq!(db.stream(), "");
    db.run(c, "SET k v EX 10");
    assert_eq!(db.stream(), "SET k v PXAT 1700000010000");
    db.run(c, "SET k v2 GET");
    assert_eq!(db.stream(), "SET k v2");
}

#[test]
fn a_transaction_travels_whole_and_watch_fails_it() {
    let mut db = Database::new();
    let (a, b) = (db.connect(), db.connect());
    db.run(a, "MULTI");
    assert_eq!(db.run(a, "SET x 1"), "+QUEUED\r\n");
    db.run(a, "SET y 2");
    assert_eq!(db.run(a, "EXEC"), "*2\r\n+OK\r\n+OK\r\n");
    assert_eq!(db.stream(), "MULTI SELECT 0 SET x 1 SET y 2 EXEC");

    db.run(a, "WATCH x");
    db.run(b, "SET x 3");
    db.run(a, "MULTI");
    db.run(a, "SET x 4");
    assert_eq!(db.run(a, "EXEC"), "*-1\r\n");
    assert_eq!(db.run(a, "GET x"), "$1\r\n3\r\n");
}

#[test]
fn a_transaction_with_a_bad_command_is_refused() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "MULTI");
    assert_eq!(db.run(c, "GET"), "-ERR wrong number of arguments for 'get' command\r\n");
    assert_eq!(
        db.run(c, "EXEC"),
        "-EXECABORT Transaction discarded because of previous errors.\r\n"
    );
    assert_eq!(db.run(c, "EXEC"), "-ERR EXEC without MULTI\r\n");
}

#[test]
fn an_expired_key_is_gone_and_its_deletion_travels() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v PX 100");
    db.stream();
    db.advance_ms(101);
    assert_eq!(db.run(c, "GET k"), "$-1\r\n");
    assert_eq!(db.stream(), "DEL k");
}

#[test]
fn a_replica_hides_an_expired_key_but_keeps_it() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v PX 100");
    db.engine.role = engine::Role::Replica { link_up: true };
    db.advance_ms(101);
    assert_eq!(db.run(c, "GET k"), "$-1\r\n");
    assert_eq!(db.run(c, "DBSIZE"), ":1\r\n");
    assert_eq!(db.run(c, "SET k v"), "-READONLY You can't write against a read only replica.\r\n");
}

#[test]
fn a_replica_sends_those_who_follow_to_its_master() {
    let mut db = Database::new();
    let [c, other] = [db.connect(), db.connect()];
    assert_eq!(db.run(c, "CLIENT CAPA redirect"), "+OK\r\n");
    assert_eq!(db.run(c, "MULTI"), "+OK\r\n");
    assert_eq!(db.run(c, "SET k v"), "+QUEUED\r\n");
    db.engine.role = engine::Role::Replica { link_up: true };
    let master = MasterLinkInfo { host: "10.0.0.1".into(), port: 6379, ..Default::default() };
    db.world.replication.master = Some(master);
    let elsewhere = "-REDIRECT 10.0.0.1:6379\r\n";
    assert_eq!(db.run(c, "EXEC"), elsewhere);
    assert_eq!(db.run(c, "EXEC"), "-ERR EXEC without MULTI\r\n");
    db.run(c, "MULTI");
    assert_eq!(db.run(c, "SET k v"), elsewhere);
    assert!(db.run(c, "EXEC").starts_with("-EXECABORT "));
    assert_eq!(db.run(c, "GET k"), elsewhere);
    assert_eq!(db.run(c, "PING"), "+PONG\r\n");
    assert!(db.run(c, "CLIENT INFO").contains(" flags=N capa=r db=0 "));
    assert_eq!(db.run(c, "READONLY"), "+OK\r\n");
    assert_eq!(db.run(c, "GET k"), "$-1\r\n");
    assert_eq!(db.run(c, "SET k v"), elsewhere);
    assert!(db.run(c, "CLIENT INFO").contains(" flags=r capa=r db=0 "));
    assert_eq!(db.run(c, "READWRITE"), "+OK\r\n");
    assert_eq!(db.run(c, "GET k"), elsewhere);
    assert_eq!(db.run(other, "GET k"), "$-1\r\n", "who has not said so is not sent anywhere");
    assert!(db.run(other, "SET k v").starts_with("-READONLY "));
    // Who will be the master is being settled: it waits.
    db.engine.pause_writes(PauseBy::Failover, u64::MAX);
    assert_eq!(db.run(c, "SET k v"), "");
    assert_eq!(db.run(other, "GET k"), "$-1\r\n");
    db.engine.role = engine::Role::Master;
    db.engine.resume_writes(db.now, PauseBy::Failover, &mut db.world);
    assert_eq!(db.replies(c), "+OK\r\n");
    db.run(c, "RESET");
    assert!(db.run(c, "READONLY").starts_with("-ERR This instance has cluster support disabled"));
}

#[test]
fn the_active_cycle_deletes_what_nobody_asks_for() {
    let mut db = Database::new();
    let c = db.connect();
    for i in 0..500 {
        db.run(c, &format!("SET k{i} v PX 10"));
    }
    db.run(c, "SET stays v");
    db.advance_ms(20);
    for _ in 0..50 {
        db.engine.cron(db.now, &mut db.world);
    }
    assert_eq!(db.run(c, "DBSIZE"), ":1\r\n");
}

#[test]
fn an_unknown_command_is_named_with_its_arguments() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(
        db.run(c, "FOO a b"),
        "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"
    );
    assert_eq!(db.run(c, "CONFIG FOO"), "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n");
    assert_eq!(
        db.run(c, "CONFIG GET"),
        "-ERR wrong number of arguments for 'config|get' command\r\n"
    );
}

#[test]
fn a_message_reaches_channel_and_pattern_subscribers() {
    let mut db = Database::new();
    let (a, b, p) = (db.connect(), db.connect(), db.connect());
    assert_eq!(db.run(a, "SUBSCRIBE news"), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    db.run(b, "PSUBSCRIBE n*");
    assert_eq!(db.run(p, "PUBLISH news hi"), ":2\r\n");
    assert_eq!(db.replies(a), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    assert!(db.replies(b).starts_with("*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n"));
    assert!(db.run(a, "GET k").starts_with("-ERR Can't execute 'get': only"));
    db.engine.disconnect(a);
    db.engine.disconnect(b);
    assert_eq!(db.run(p, "PUBLISH news hi"), ":0\r\n");
}

#[test]
fn a_password_is_asked_for() {
    let settings =
        engine::Settings { requirepass: b"secret".to_vec(), ..engine::Settings::default() };
    let mut db = Database::with(settings);
    let c = db.connect();
    assert_eq!(db.run(c, "GET k"), "-NOAUTH Authentication required.\r\n");
    assert!(db.run(c, "AUTH wrong").starts_with("-WRONGPASS"));
    assert_eq!(db.run(c, "AUTH secret"), "+OK\r\n");
    assert_eq!(db.run(c, "GET k"), "$-1\r\n");
}

#[test]
fn wait_answers_when_enough_replicas_have_it() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v");
    assert_eq!(db.run(c, "WAIT 1 0"), "");
    db.world.acked = 1;
    db.acks_changed();
    assert_eq!(db.replies(c), ":1\r\n");
    assert_eq!(db.engine.take_unblocked(), [Unblocked { id: c, by_write: false }]);
    assert_eq!(db.run(c, "WAIT 2 100"), "");
    db.advance_ms(100);
    assert_eq!(db.replies(c), ":1\r\n");
}

#[test]
fn strings_count_append_and_slice() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(db.run(c, "INCRBY n 5"), ":5\r\n");
    assert_eq!(db.run(c, "APPEND n 7"), ":2\r\n");
    assert_eq!(db.run(c, "INCR n"), ":58\r\n");
    assert_eq!(db.run(c, "INCRBYFLOAT n 0.5"), "$4\r\n58.5\r\n");
    db.stream();
    assert_eq!(db.run(c, "SETRANGE s 3 abc"), ":6\r\n");
    assert_eq!(db.run(c, "GETRANGE s -3 -1"), "$3\r\nabc\r\n");
    assert_eq!(db.run(c, "STRLEN s"), ":6\r\n");
    assert_eq!(db.run(c, "GETEX s PX 100"), "$6\r\n\0\0\0abc\r\n");
    assert!(db.stream().ends_with("PEXPIREAT s 1700000000100"));
    assert_eq!(db.run(c, "SET x 9223372036854775807"), "+OK\r\n");
    assert_eq!(db.run(c, "INCR x"), "-ERR increment or decrement would overflow\r\n");
}

#[test]
fn keys_are_renamed_copied_dumped_and_restored() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET a hello PX 5000");
    assert_eq!(db.run(c, "RENAME a b"), "+OK\r\n");
    assert_eq!(db.run(c, "PTTL b"), ":5000\r\n");
    assert_eq!(db.run(c, "COPY b c"), ":1\r\n");
    assert_eq!(db.run(c, "MOVE b 1"), ":1\r\n");
    assert_eq!(db.run(c, "EXISTS a b c"), ":1\r\n");
    db.engine.execute(db.now, &mut db.world, c, protocol::Args::new(&[b"DUMP", b"c"]));
    let reply = db.engine.client_mut(c).unwrap().out.to_vec();
    db.replies(c);
    let payload = &reply[reply.iter().position(|b| *b == b'\n').unwrap() + 1..reply.len() - 2];
    assert_eq!(db.run_args(c, &[b"RESTORE", b"d", b"0", payload]), "+OK\r\n");
    assert_eq!(db.run(c, "GET d"), "$5\r\nhello\r\n");
    assert!(db.run_args(c, &[b"RESTORE", b"d", b"0", payload]).starts_with("-BUSYKEY"));
    assert_eq!(db.run(c, "RENAME none b"), "-ERR no such key\r\n");
}

#[test]
fn scan_sees_every_key() {
    let mut db = Database::new();
    let c = db.connect();
    for i in 0..300 {
        db.run(c, &format!("SET key:{i} v"));
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = "0".to_string();
    loop {
        let reply = db.run(c, &format!("SCAN {cursor} MATCH key:* COUNT 20"));
        let words: Vec<&str> =
            reply.split("\r\n").filter(|w| !w.starts_with(['*', '$']) && !w.is_empty()).collect();
        cursor = words[0].to_string();
        seen.extend(words[1..].iter().map(|w| w.to_string()));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 300);
}

#[test]
fn an_expiry_obeys_its_condition() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v");
    assert_eq!(db.run(c, "EXPIRE k 100 XX"), ":0\r\n");
    assert_eq!(db.run(c, "EXPIRE k 100 NX"), ":1\r\n");
    assert_eq!(db.run(c, "EXPIRE k 50 GT"), ":0\r\n");
    assert_eq!(db.run(c, "EXPIRE k 50 LT"), ":1\r\n");
    assert_eq!(db.run(c, "TTL k"), ":50\r\n");
    assert_eq!(db.run(c, "PERSIST k"), ":1\r\n");
    db.stream();
    assert_eq!(db.run(c, "EXPIRE k -1"), ":1\r\n");
    assert_eq!(db.stream(), "DEL k");
}
