//! Of several things that are wrong with a command one is told, and it is the one that Redis tells:
//! found by sending random commands to both.

mod common;

use common::{Database, script};
use engine::notify::Classes;

const WRONGTYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// `text` with the error for keys of another type in place of `WRONG`.
fn check(text: &str) {
    script(&text.replace("WRONG", WRONGTYPE));
}

#[test]
fn options_of_set_and_getex_are_read_before_their_expiry_is_judged() {
    check(
        "SET s v EX abc bogus => -ERR syntax error
         SET s v EX abc => -ERR value is not an integer or out of range
         SET s v PX 0 => -ERR invalid expire time in 'set' command
         SET s v KEEPTTL EX 10 => -ERR syntax error
         SET s v EX 10 PX 10 => -ERR syntax error
         SET gone v EX 10 EX 0 => -ERR invalid expire time in 'set' command
         GETEX s EX PERSIST => $-1
         GETEX s EX 0 => $-1
         GETEX s NX => -ERR syntax error
         LPUSH l a => :1
         GETEX l EX 0 => WRONG
         GETEX l PERSIST EX 10 => -ERR syntax error
         SET s v => +OK
         GETEX s EX 0 => -ERR invalid expire time in 'getex' command
         GETEX s PERSIST => v",
    );
}

#[test]
fn options_of_expire_are_read_before_its_time() {
    check(
        "EXPIRE s abc ZZ => -ERR Unsupported option ZZ
         PEXPIREAT s abc NX GT => -ERR NX and XX, GT or LT options at the same time are not compatible
         EXPIRE s abc => -ERR value is not an integer or out of range",
    );
}

#[test]
fn the_key_comes_before_the_options_of_a_scan_and_the_cursor_before_both() {
    check(
        "HSCAN h 0 BOGUS => *2 0 *0
         SET s v => +OK
         HSCAN s 0 BOGUS => WRONG
         SSCAN s x => -ERR invalid cursor
         SADD t a => :1
         SSCAN t 0 BOGUS => -ERR syntax error
         SSCAN t 0 COUNT abc => -ERR value is not an integer or out of range
         SSCAN t 0 TYPE set => -ERR syntax error
         SSCAN t -1 => *2 0 *1 a
         SCAN abc BOGUS => -ERR invalid cursor",
    );
}

#[test]
fn the_keys_of_unions_come_before_their_options() {
    check(
        "LPUSH l a => :1
         ZADD z 1 a => :1
         ZUNION 2 z l WEIGHTS x y => WRONG
         ZDIFF 1 l WEIGHTS 1 => WRONG
         ZINTERCARD 2 z l LIMIT x => WRONG
         ZINTERCARD 1 z LIMIT -1 more => -ERR LIMIT can't be negative
         SINTERCARD 1 s LIMIT 5 LIMIT 1 => :0
         ZUNIONSTORE d 1 z WEIGHTS x => -ERR weight value is not a float
         SMOVE absent l a => :0
         SADD t a => :1
         SMOVE t l b => WRONG",
    );
}

#[test]
fn the_timeout_of_blmpop_is_read_last() {
    check(
        "BLMPOP abc 1 l MID => -ERR syntax error
         BLMPOP abc 1 l LEFT COUNT 0 => -ERR count should be greater than 0
         BZMPOP abc 1 z MIN => -ERR timeout is not a float or out of range
         BZMPOP 1e400 1 z MIN => -ERR timeout is out of range
         BLPOP l -1 => -ERR timeout is negative",
    );
}

#[test]
fn a_range_of_zrange_is_said_once() {
    check(
        "ZRANGE z 0 -1 REV REV => -ERR syntax error
         ZRANGE z 0 -1 BYLEX BYSCORE => -ERR syntax error
         ZADD z 1 a 2 b => :2
         ZRANGEBYSCORE z 1e400 5 => *0
         ZRANGEBYSCORE z -1e400 1e400 => *2 a b
         ZCOUNT z ( 0x1p1 => :2
         ZRANK z a WITHSCORE more => -ERR wrong number of arguments for 'zrank' command
         ZRANK z a bogus => -ERR syntax error",
    );
}

#[test]
fn zincrby_reads_the_options_of_zadd_and_misses_a_member_then() {
    check(
        "ZINCRBY z NX a => -ERR syntax error
         ZINCRBY z incr ch => -ERR syntax error
         ZINCRBY z nxx a => -ERR value is not a valid float
         SET s v => +OK
         ZINCRBY s GT a => -ERR syntax error
         ZINCRBY z 1 nx => 1",
    );
}

#[test]
fn counts_of_random_elements_are_read_before_what_follows_them() {
    check(
        "HRANDFIELD h abc bogus => -ERR value is not an integer or out of range
         ZRANDMEMBER z -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
         HRANDFIELD h -9223372036854775807 WITHVALUES => -ERR value is out of range
         HRANDFIELD h 1 bogus => -ERR syntax error
         LPOS l a RANK -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
         COPY a b DB 4294967296 => -ERR value is out of range, value must between -2147483648 and 2147483647",
    );
}

#[test]
fn increments_that_are_no_number_are_told_before_the_hash_is_looked_at() {
    check(
        "SET s v => +OK
         HINCRBYFLOAT s f inf => -ERR value is NaN or Infinity
         HINCRBYFLOAT s f abc => -ERR value is not a valid float
         HINCRBYFLOAT s f 1 => WRONG
         OBJECT FREQ absent => $-1",
    );
}

/// BRPOPLPUSH into a string waited on for ever, with the element there.
#[test]
fn a_blocked_move_is_told_that_its_destination_is_of_another_type() {
    let mut db = Database::new();
    let (blocked, c) = (db.connect(), db.connect());
    db.run(c, "SET target v");
    assert_eq!(db.run(blocked, "BRPOPLPUSH list target 0"), "");
    db.run(c, "RPUSH list foo");
    assert_eq!(db.replies(blocked), format!("{WRONGTYPE}\r\n"));
    assert_eq!(db.run(c, "LLEN list"), ":1\r\n");
}

/// A key of another type is none that the client waits for.
#[test]
fn a_blocked_pop_waits_on_past_a_value_of_another_type() {
    let mut db = Database::new();
    let (blocked, c) = (db.connect(), db.connect());
    assert_eq!(db.run(blocked, "BZPOPMIN k 0"), "");
    db.run(c, "RPUSH k foo");
    assert_eq!(db.replies(blocked), "");
    db.run(c, "DEL k");
    db.run(c, "ZADD k 1 a");
    assert_eq!(db.replies(blocked), "*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n");
}

/// The mean time to live was summed in what a single one fills.
#[test]
fn keys_that_expire_at_the_end_of_time_did_not_fit_the_mean() {
    let mut db = Database::new();
    let c = db.connect();
    for key in ["a", "b", "c"] {
        db.run(c, &format!("SET {key} v PXAT 9223372036854775807"));
    }
    db.advance_ms(100);
    db.engine.cron(db.now, &mut db.world);
    assert_eq!(db.run(c, "EXPIRETIME a"), ":9223372036854775\r\n");
    assert_eq!(db.run(c, "DBSIZE"), ":3\r\n");
}

#[test]
fn bitfield_counts_its_changes_as_redis_does() {
    let mut db = Database::new();
    let c = db.connect();
    for (command, changes) in [
        ("BITFIELD k SET i5 0 0", 1),
        ("BITFIELD k SET i5 0 0", 0),
        ("BITFIELD k INCRBY i5 0 1", 1),
        ("BITFIELD k INCRBY i5 0 0", 1),
        ("BITFIELD k SET i5 90 0", 1),
        ("BITFIELD new INCRBY i5 0 1", 1),
    ] {
        let before = db.engine.dirty;
        db.run(c, command);
        assert_eq!(db.engine.dirty - before, changes, "{command}");
    }
}

/// With CLIENT REPLY OFF a subscriber waited for its confirmation for ever.
#[test]
fn a_muted_client_was_not_told_of_its_subscriptions() {
    let mut db = Database::new();
    let (muted, c) = (db.connect(), db.connect());
    assert_eq!(db.run(muted, "CLIENT REPLY OFF"), "");
    assert_eq!(db.run(muted, "PING"), "");
    assert_eq!(db.run(muted, "SUBSCRIBE a"), "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    db.run(c, "PUBLISH a hello");
    assert_eq!(db.replies(muted), "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n");
    assert_eq!(db.run(muted, "UNSUBSCRIBE"), "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
}

/// A pop was served with what had expired while the transaction ran that pushed it.
#[test]
fn a_blocked_pop_got_what_had_expired_meanwhile() {
    let mut db = Database::new();
    let (blocked, c) = (db.connect(), db.connect());
    assert_eq!(db.run(blocked, "BRPOP k 0"), "");
    db.run(c, "MULTI");
    db.run(c, "RPUSH k hello");
    db.run(c, "PEXPIRE k 100");
    db.run(c, "DEBUG SLEEP 0.2");
    db.world.now.mono_us += 200_000;
    db.run(c, "EXEC");
    assert_eq!(db.replies(blocked), "");
    assert_eq!(db.run(c, "EXISTS k"), ":0\r\n");
}

#[test]
fn exec_with_arguments_discards_what_was_queued() {
    let mut db = Database::new();
    let c = db.connect();
    for _ in 0..2 {
        assert_eq!(
            db.run(c, "EXEC now"),
            "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
        );
    }
}

/// A move that times out answers a null array; in a transaction, where it does not wait, a null.
#[test]
fn a_blocked_move_times_out_with_a_null_array() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(db.run(c, "BLMOVE a b LEFT LEFT 0.1"), "");
    db.advance_ms(200);
    assert_eq!(db.replies(c), "*-1\r\n");
    db.run(c, "MULTI");
    db.run(c, "BRPOPLPUSH a b 0");
    assert_eq!(db.run(c, "EXEC"), "*1\r\n$-1\r\n");
}

/// What clients see of a change besides its reply: hits and misses, and the events in their order.
#[test]
fn traces_of_commands_are_those_of_redis() {
    let mut db = Database::new();
    let (c, subscriber) = (db.connect(), db.connect());
    db.engine.settings.notify_keyspace_events = Classes::parse(b"EAn").expect("classes");
    db.run(subscriber, "PSUBSCRIBE *");
    let mut traces = |command: &str| {
        let (hits, misses) = (db.engine.stats.keyspace_hits, db.engine.stats.keyspace_misses);
        let dirty = db.engine.dirty;
        db.run(c, command);
        let pushed = db.replies(subscriber);
        let events: Vec<&str> = pushed
            .split("__keyevent@0__:")
            .skip(1)
            .filter_map(|push| push.lines().next())
            .collect();
        let stats = &db.engine.stats;
        let counts = (stats.keyspace_hits - hits, stats.keyspace_misses - misses);
        (counts, db.engine.dirty - dirty, events.join(" "))
    };
    for (command, counts, dirty, events) in [
        ("RPUSH l a b", (0, 0), 2, "new rpush"),
        ("RPUSH l c", (0, 0), 1, "rpush"),
        ("LTRIM l 0 -1", (0, 0), 0, "ltrim"),
        ("LMOVE l m LEFT RIGHT", (0, 0), 1, "new rpush lpop"),
        ("LMOVE m m LEFT RIGHT", (0, 0), 1, "rpush lpop"),
        ("RPOPLPUSH m l", (0, 0), 1, "lpush rpop del"),
        ("LMPOP 2 m l LEFT", (0, 0), 1, "lpop"),
        ("ZADD z 1 a", (0, 0), 1, "new zadd"),
        ("ZPOPMIN z 0", (0, 0), 0, ""),
        ("TYPE z", (1, 0), 0, ""),
        ("TTL absent", (0, 1), 0, ""),
        ("OBJECT ENCODING z", (1, 0), 0, ""),
        ("SET k v", (0, 0), 1, "new set"),
        ("SET k v", (0, 0), 1, "set"),
        ("MSET k v a 1 a 2", (0, 0), 3, "set new set set"),
        ("RENAME k n", (0, 0), 1, "new rename_from rename_to"),
        ("COPY n a REPLACE", (1, 0), 1, "new copy_to"),
    ] {
        assert_eq!(traces(command), (counts, dirty, events.to_string()), "{command}");
    }
}
