//! Expiries of hash fields: what is answered, told and sent, as by Redis 8.2.3 beside which these were
//! written down; and who may say that a field is gone.

mod common;

use common::{Database, script, words};
use engine::notify::Classes;
use engine::{ClientId, Kind, Peer, Role};

const MANDATORY: &str = "-ERR Mandatory argument FIELDS is missing or not at the right position";
const MATCH: &str = "-ERR The `numfields` parameter must match the number of arguments";
const POSITIVE: &str = "-ERR Number of fields must be a positive integer";

#[test]
fn expiries_are_set_by_condition_told_and_removed() {
    script(
        "HSET h a 1 b 2 c 3 => :3
         HEXPIRE h 10 NX FIELDS 3 a b no => *3 :1 :1 :-2
         HEXPIRE h 20 nx FIELDS 2 a c => *2 :0 :1
         HEXPIRE h 5 GT FIELDS 1 a => *1 :0
         HPEXPIRE h 30000 gt FIELDS 1 a => *1 :1
         HEXPIRE h 5 LT FIELDS 2 a a => *2 :1 :0
         HPERSIST h FIELDS 3 b b no => *3 :1 :-1 :-2
         HEXPIRE h 5 XX FIELDS 2 a b => *2 :1 :0
         HEXPIRE h 5 GT FIELDS 1 b => *1 :0
         HEXPIRE h 5 LT FIELDS 1 b => *1 :1
         HTTL h FIELDS 3 a c no => *3 :5 :20 :-2
         HPTTL h FIELDS 2 a c => *2 :5000 :20000
         HEXPIRETIME h FIELDS 1 c => *1 :1700000020
         HPEXPIRETIME h FIELDS 1 c => *1 :1700000020000
         HPEXPIREAT h 1700000000001 FIELDS 1 c => *1 :1
         HTTL h FIELDS 1 c => *1 :1
         HEXPIRETIME h FIELDS 1 c => *1 :1700000001
         HEXPIRE h 0 FIELDS 2 a no => *2 :2 :-2
         HEXPIREAT h 1 FIELDS 2 b b => *2 :2 :-2
         HGETALL h => *2 c 3
         HPEXPIREAT h 1 FIELDS 1 c => *1 :2
         EXISTS h => :0
         HTTL h FIELDS 1 a => *1 :-2
         HPERSIST h FIELDS 1 a => *1 :-2
         HEXPIRE h 5 FIELDS 1 a => *1 :-2",
    );
}

#[test]
fn what_is_wrong_is_said_in_redis_order() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET s x");
    db.run(c, "HSET h a 1");
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let not_int = "-ERR value is not an integer or out of range";
    let negative = "-ERR invalid expire time, must be >= 0";
    let num_fields = "-ERR Parameter `numFields` should be greater than 0";
    let too_late = |name: &str| format!("-ERR invalid expire time in '{name}' command");
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command");
    for (command, answer) in [
        ("HEXPIRE s abc FOO 1 a", wrong_type),
        ("HEXPIRE h abc FOO 1 a", not_int),
        ("HEXPIRE h -1 FOO 1 a", negative),
        ("HPEXPIREAT h 70368744177664 FOO 1 a", &too_late("hpexpireat")),
        ("HEXPIRE h 9223372036854775807 FIELDS 1 a", &too_late("hexpire")),
        ("HEXPIRE h 5 NX GT FIELDS 1 a", MANDATORY),
        ("HEXPIRE h 5 FIELDS 0 a", num_fields),
        ("HEXPIRE h 5 FIELDS x a", num_fields),
        ("HEXPIRE h 5 FIELDS 1 a NX", MATCH),
        ("HEXPIRE h 5 NX FIELDS 1", MATCH),
        ("HTTL s FIELDS 0 a", wrong_type),
        ("HTTL h FOO 1 a", MANDATORY),
        ("HTTL h FIELDS 0 a", POSITIVE),
        ("HPERSIST h FIELDS 9223372036854775807 a", MATCH),
        ("HGETEX s EX abc FIELDS 1 a", wrong_type),
        ("HGETEX h EX abc FIELDS 1 a", not_int),
        ("HGETEX h EX 10 PX 5 FIELDS 1 a", MANDATORY),
        ("HGETEX h PERSIST FIELDS 0 a", POSITIVE),
        ("HGETEX h EX 10 FOO", &arity("hgetex")),
        ("HGETEX h EX 10 FIELDS 1", MATCH),
        ("HGETDEL s FIELDS 1 a", wrong_type),
        ("HGETDEL h FIELDS 2 a", MATCH),
        ("HSETEX s FIELDS 0 a 1", "-ERR invalid number of fields"),
        ("HSETEX s FIELDS 1 a 1", wrong_type),
        ("HSETEX h FNX FXX FIELDS 1 a 1", "-ERR Only one of FXX or FNX arguments can be specified"),
        (
            "HSETEX h KEEPTTL EX 1 FIELDS 1 a 1",
            "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
        ),
        ("HSETEX h PERSIST FIELDS 1 a 1", "-ERR unknown argument: PERSIST"),
        ("HSETEX h EX -1 FIELDS 1 a 1", negative),
        ("HSETEX h PX 70368744177663 FIELDS 1 a 1", &too_late("hsetex")),
        ("HSETEX h FIELDS 1 a 1 b", &arity("hsetex")),
        ("HSETEX h FNX EX 10 FIELDS", &arity("hsetex")),
    ] {
        assert_eq!(db.run(c, command), format!("{answer}\r\n"), "{command}");
    }
    assert_eq!(db.stream(), "SELECT 0 SET s x HSET h a 1", "nothing of that travels");
}

#[test]
fn values_are_read_set_and_taken_along_with_expiries() {
    script(
        "HSETEX h FXX FIELDS 1 a 1 => :0
         EXISTS h => :0
         HSETEX h FNX EX 100 FIELDS 2 a 1 b 2 => :1
         HSETEX h FNX FIELDS 2 c 1 b 2 => :0
         HSETEX h FXX KEEPTTL FIELDS 1 a 5 => :1
         HTTL h FIELDS 2 a b => *2 :100 :100
         HSETEX h FIELDS 1 a 6 => :1
         HTTL h FIELDS 1 a => *1 :-1
         HGETEX h FIELDS 2 a no => *2 6 $-1
         HGETEX h PX 5000 FIELDS 3 a b no => *3 6 2 $-1
         HPTTL h FIELDS 2 a b => *2 :5000 :5000
         HGETEX h PERSIST FIELDS 2 a no => *2 6 $-1
         HTTL h FIELDS 2 a b => *2 :-1 :5
         HGETEX h EXAT 1 FIELDS 2 a a => *2 6 $-1
         HSETEX h PXAT 1 FIELDS 1 x 1 => :1
         HGETALL h => *2 b 2
         HGETDEL h FIELDS 3 b b no => *3 2 $-1 $-1
         EXISTS h => :0
         HGETDEL h FIELDS 1 b => *1 $-1
         HGETEX h EX 5 FIELDS 1 b => *1 $-1
         HSETEX new PXAT 1 FIELDS 1 x 1 => :1
         EXISTS new => :0",
    );
}

#[test]
fn writing_a_field_ends_its_expiry_and_counting_on_keeps_it() {
    for max_entries in [0, 512] {
        let mut db = Database::new();
        db.engine.settings.limits.hash_max_listpack_entries = max_entries;
        let c = db.connect();
        db.run(c, "HSETEX h EX 100 FIELDS 4 a 1 b 2 c 3 d 4");
        let form = if max_entries == 0 { "hashtable" } else { "listpackex" };
        assert_eq!(words(&db.run(c, "OBJECT ENCODING h")), form);
        assert_eq!(words(&db.run(c, "HSET h a 5")), ":0");
        assert_eq!(words(&db.run(c, "HINCRBY h b 5")), ":7");
        assert_eq!(words(&db.run(c, "HINCRBYFLOAT h c 0.5")), "3.5");
        assert_eq!(words(&db.run(c, "HTTL h FIELDS 4 a b c d")), "*4 :-1 :100 :100 :100");
        assert_eq!(words(&db.run(c, "COPY h h2")), ":1");
        assert_eq!(words(&db.run(c, "RENAME h h3")), "+OK");
        assert_eq!(words(&db.run(c, "MOVE h3 5")), ":1");
        let info = db.run(c, "INFO keyspace");
        assert!(info.contains("db0:keys=1,expires=0,avg_ttl=0,subexpiry=1\r\n"), "{info}");
        db.run(c, "SWAPDB 0 5");
        for (number, key) in [(5, "h2"), (0, "h3")] {
            db.run(c, &format!("SELECT {number}"));
            let ttl = db.run(c, &format!("HTTL {key} FIELDS 4 a b c d"));
            assert_eq!(words(&ttl), "*4 :-1 :100 :100 :100", "{key}");
        }
        db.run(c, "HPERSIST h3 FIELDS 3 b c d");
        let info = db.run(c, "INFO keyspace");
        assert!(
            info.contains("db0:keys=1,expires=0,avg_ttl=0\r\n"),
            "as Redis 7.2 says it: {info}"
        );
    }
}

#[test]
fn what_travels_names_a_moment_and_the_fields_it_came_to() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "HSET h a 1 b 2 c 3");
    db.stream();
    for (command, travels) in [
        ("HEXPIRE h 10 FIELDS 2 a no", "HPEXPIREAT h 1700000010000 FIELDS 1 a"),
        ("HEXPIRE h 10 NX FIELDS 2 a b", "HPEXPIREAT h 1700000010000 FIELDS 1 b"),
        ("HEXPIRE h 10 NX FIELDS 2 a b", ""),
        ("HPERSIST h FIELDS 2 a c", "HPERSIST h FIELDS 1 a"),
        ("HINCRBYFLOAT h a 1", "HSET h a 2"),
        ("HINCRBYFLOAT h b 1", "MULTI HSET h b 3 HPEXPIREAT h 1700000010000 FIELDS 1 b EXEC"),
        ("HGETEX h PX 10 FIELDS 2 a no", "HPEXPIREAT h 1700000000010 FIELDS 1 a"),
        ("HGETEX h PERSIST FIELDS 2 a c", "HPERSIST h FIELDS 1 a"),
        ("HGETEX h FIELDS 1 a", ""),
        (
            "HSETEX h FXX EX 20 FIELDS 1 a 7",
            "MULTI HSET h a 7 HPEXPIREAT h 1700000020000 FIELDS 1 a EXEC",
        ),
        (
            "HSETEX h KEEPTTL FIELDS 4 a 8 b 4 c 3 d 1",
            "MULTI HSET h a 8 b 4 c 3 d 1 HPEXPIREAT h 1700000010000 FIELDS 1 b \
             HPEXPIREAT h 1700000020000 FIELDS 1 a EXEC",
        ),
        ("HSETEX h FXX FIELDS 1 d 1", "HSET h d 1"),
        ("HSETEX h PXAT 1 FIELDS 1 a 8", "HDEL h a"),
        ("HEXPIRE h 0 FIELDS 2 b no", "HDEL h b"),
        ("HGETDEL h FIELDS 2 c no", "HDEL h c"),
    ] {
        db.run(c, command);
        assert_eq!(db.stream(), travels, "{command}");
    }
}

/// Fields `a` and `b` of `h` are due, `c` is not.
fn with_due_fields(max_entries: usize) -> (Database, ClientId) {
    let mut db = Database::new();
    db.engine.settings.limits.hash_max_listpack_entries = max_entries;
    let c = db.connect();
    db.run(c, "HSET h a 1 b 2 c 3");
    db.run(c, "HPEXPIRE h 10 FIELDS 2 a b");
    db.advance_ms(11);
    db.stream();
    (db, c)
}

#[test]
fn a_due_field_is_deleted_by_who_asks_for_it_and_hidden_from_who_asks_for_all() {
    for (command, answer, travels) in [
        ("HGET h a", "$-1", "HDEL h a"),
        ("HMGET h a b c", "*3 $-1 $-1 3", "HDEL h a b"),
        ("HEXISTS h a", ":0", "HDEL h a"),
        ("HSTRLEN h a", ":0", "HDEL h a"),
        ("HGETEX h EX 5 FIELDS 1 a", "*1 $-1", "HDEL h a"),
        ("HGETDEL h FIELDS 1 a", "*1 $-1", "HDEL h a"),
        ("HSETNX h a 9", ":1", "MULTI HDEL h a HSETNX h a 9 EXEC"),
        ("HINCRBY h b 5", ":5", "MULTI HDEL h b HINCRBY h b 5 EXEC"),
        ("HSETEX h FXX FIELDS 1 a 1", ":0", "HDEL h a"),
        ("HSETEX h FNX FIELDS 1 a 1", ":1", "MULTI HDEL h a HSET h a 1 EXEC"),
        ("HRANDFIELD h 5", "*1 c", "HDEL h a b"),
        ("HRANDFIELD h", "c", "HDEL h a b"),
        ("HLEN h", ":3", ""),
        ("HGETALL h", "*2 c 3", ""),
        ("HKEYS h", "*1 c", ""),
        ("HVALS h", "*1 3", ""),
        ("HSCAN h 0", "*2 0 *2 c 3", ""),
        ("HTTL h FIELDS 2 a c", "*2 :-2 :-1", ""),
        ("HPERSIST h FIELDS 1 a", "*1 :-2", ""),
        // What is there still may be written, deleted, and given another time.
        ("HSET h a 9", ":0", "HSET h a 9"),
        ("HDEL h a", ":1", "HDEL h a"),
        ("HEXPIRE h 5 FIELDS 1 a", "*1 :1", "HPEXPIREAT h 1700000005011 FIELDS 1 a"),
    ] {
        for max_entries in [0, 512] {
            let (mut db, c) = with_due_fields(max_entries);
            assert_eq!(words(&db.run(c, command)), answer, "{command}");
            let sent = db.stream();
            let mut sorted: Vec<&str> = sent.split(' ').collect();
            let mut wanted: Vec<&str> = travels.split(' ').collect();
            if command.starts_with("HRAND") {
                sorted.sort_unstable();
                wanted.sort_unstable();
            }
            assert_eq!(sorted, wanted, "{command}");
        }
    }
}

#[test]
fn the_key_goes_with_its_last_field_and_listeners_hear_it() {
    let mut db = Database::new();
    let (c, listener) = (db.connect(), db.connect());
    db.run(c, "HSETEX h PX 10 FIELDS 2 a 1 b 2");
    db.run(c, "WATCH h");
    db.engine.settings.notify_keyspace_events = Classes::parse(b"Ehg").unwrap();
    db.run(listener, "PSUBSCRIBE __keyevent*");
    db.advance_ms(11);
    let heard = |db: &mut Database| {
        let replies = words(&db.replies(listener));
        let events = replies.split("pmessage __keyevent* __keyevent@0__:").skip(1);
        events.map(|event| event.trim().trim_end_matches(" *4").to_string()).collect::<Vec<_>>()
    };
    db.run(c, "HGET h a");
    assert_eq!(heard(&mut db), ["hexpired h"]);
    db.run(c, "HGET h b");
    assert_eq!(heard(&mut db), ["hexpired h", "del h"]);
    assert_eq!(words(&db.run(c, "EXISTS h")), ":0");
    db.run(c, "MULTI");
    db.run(c, "PING");
    assert_eq!(words(&db.run(c, "EXEC")), "*-1", "the watched key has changed");
    for (command, events) in [
        ("HSETEX h EX 10 FIELDS 1 a 1", &["hset h", "hexpire h"][..]),
        ("HPERSIST h FIELDS 1 a", &["hpersist h"]),
        ("HGETEX h EX 10 FIELDS 1 a", &["hexpire h"]),
        ("HSETEX h PXAT 1 FIELDS 1 b 1", &["hset h", "hdel h"]),
        ("HEXPIRE h 0 FIELDS 1 a", &["hdel h", "del h"]),
    ] {
        db.run(c, command);
        assert_eq!(heard(&mut db), events, "{command}");
    }
}

#[test]
fn the_cycle_finds_what_nobody_asks_for() {
    for max_entries in [0, 512] {
        let mut db = Database::new();
        db.engine.settings.limits.hash_max_listpack_entries = max_entries;
        let c = db.connect();
        for n in 0..300 {
            db.run(c, &format!("HSETEX h PX {} FIELDS 1 f{n} v", 1 + n % 2 * 1000));
        }
        db.run(c, "HSETEX gone PX 1 FIELDS 1 a 1");
        // A key whose own time is up goes as a whole.
        db.run(c, "HSETEX key PX 1 FIELDS 1 a 1");
        db.run(c, "PEXPIRE key 1");
        db.run(c, "SELECT 3");
        db.run(c, "HSETEX other PX 1 FIELDS 1 a 1");
        db.advance_ms(50);
        db.stream();
        db.engine.cron(db.now, &mut db.world);
        let stream = db.stream();
        assert!(!stream.contains("MULTI"), "each means the same on its own");
        assert!(stream.contains("HDEL gone a") && stream.contains("HDEL other a"), "{stream}");
        assert!(stream.contains("DEL key") && !stream.contains("HDEL key"), "{stream}");
        assert_eq!(stream.split(' ').filter(|word| word.starts_with('f')).count(), 150);
        let info = db.run(c, "INFO");
        assert!(info.contains("\r\nexpired_subkeys:152\r\n"), "{info}");
        assert!(info.contains("\r\ndb0:keys=1,expires=0,avg_ttl=0,subexpiry=1\r\n"), "{info}");
        assert!(!info.contains("\r\ndb3:"));
    }
}

#[test]
fn a_replica_hides_due_fields_and_lets_its_master_say_what_is_gone() {
    for max_entries in [0, 512] {
        let (mut db, c) = with_due_fields(max_entries);
        db.engine.role = Role::Replica { link_up: true };
        for (command, answer) in [
            ("HGET h a", "$-1"),
            ("HMGET h a b c", "*3 $-1 $-1 3"),
            ("HGETALL h", "*2 c 3"),
            ("HSCAN h 0", "*2 0 *2 c 3"),
            ("HRANDFIELD h", "c"),
            ("HRANDFIELD h 9", "*1 c"),
            ("HRANDFIELD h -2 WITHVALUES", "*4 c 3 c 3"),
            ("HTTL h FIELDS 1 a", "*1 :-2"),
            ("HLEN h", ":3"),
        ] {
            assert_eq!(words(&db.run(c, command)), answer, "{command}");
        }
        db.engine.cron(db.now, &mut db.world);
        assert_eq!(db.stream(), "", "it says nothing, and deletes nothing");
        let master = db.engine.connect(db.now, Kind::Master, Peer::default());
        // For the master's own commands it is there: the master counted on before it was due.
        db.run(master, "HINCRBY h a 1");
        db.run(master, "HPEXPIREAT h 1 FIELDS 1 b");
        db.run(master, "HPERSIST h FIELDS 1 a");
        assert_eq!(words(&db.run(c, "HGET h a")), "2");
        assert_eq!(
            words(&db.run(c, "HLEN h")),
            ":3",
            "a moment that has passed deletes nothing here"
        );
        db.run(master, "HDEL h b");
        assert_eq!(words(&db.run(c, "HLEN h")), ":2");
        // Valkey's times reach further than ours, and the stream must go on.
        db.run(master, "HPEXPIREAT h 9223372036854775807 FIELDS 1 a");
        assert_eq!(words(&db.run(c, "HPEXPIRETIME h FIELDS 1 a")), "*1 :70368744177663");
    }
}

#[test]
fn what_expires_at_once_counts_as_expired_and_what_is_taken_does_not() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "HSET h a 1 b 2 c 3 d 4");
    for command in [
        "HEXPIRE h 0 FIELDS 1 a",
        "HGETEX h EX 0 FIELDS 1 b",
        "HSETEX h PXAT 1 FIELDS 1 c 1",
        "HGETDEL h FIELDS 1 d",
    ] {
        db.run(c, command);
    }
    let info = db.run(c, "INFO stats");
    assert!(info.contains("\r\nexpired_subkeys:3\r\nexpired_keys:0\r\n"), "{info}");
}

#[test]
fn sort_finds_no_field_that_is_due() {
    let (mut db, c) = with_due_fields(512);
    db.run(c, "RPUSH l h");
    db.stream();
    assert_eq!(words(&db.run(c, "SORT l BY nosort GET *->a GET *->c")), "*2 $-1 3");
    assert_eq!(db.stream(), "HDEL h a");
}

#[test]
fn a_dumped_hash_is_restored_with_its_expiries() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "HSET h a 1 b 2");
    db.run(c, "HEXPIRE h 100 FIELDS 1 a");
    let entry = db.engine.keyspace.db(0).get(&b"h"[..]).unwrap();
    let payload = persist::rdb::dump_value(entry.value(), persist::rdb::Version::V10);
    assert_eq!(db.run_args(c, &[b"RESTORE", b"h2", b"0", &payload]), "+OK\r\n");
    assert_eq!(words(&db.run(c, "HTTL h2 FIELDS 2 a b")), "*2 :100 :-1");
    let digests = words(&db.run(c, "DEBUG DIGEST-VALUE h h2"));
    assert!(
        digests.starts_with('-')
            || digests.split(' ').collect::<Vec<_>>()[1..].windows(2).all(|two| two[0] == two[1])
    );
}
