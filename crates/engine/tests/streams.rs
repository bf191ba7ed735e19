//! Streams through the engine's public API: replies, waiting, and what travels.

mod common;

use common::{Database, script, words};

#[test]
fn entries_are_answered_as_redis_does() {
    script(
        "XADD s 0-0 a b => -ERR The ID specified in XADD must be greater than 0-0
         XADD s 5 => -ERR wrong number of arguments for 'xadd' command
         XADD s 5 a b c => -ERR wrong number of arguments for 'xadd' command
         EXISTS s => :0
         XADD s NOMKSTREAM 5 a b => $-1
         XADD s 5-1 a 1 b x => 5-1
         XADD s 5-* a 2 b y => 5-2
         XADD s 4-* a 2 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
         XADD s 7 c z => 7-0
         XADD s nan c z => -ERR Invalid stream ID specified as stream command argument
         XLEN s => :3
         XRANGE s - + COUNT 1 => *1 *2 5-1 *4 a 1 b x
         XRANGE s (5-1 (7-0 => *1 *2 5-2 *4 a 2 b y
         XREVRANGE s + 5-2 => *2 *2 7-0 *2 c z *2 5-2 *4 a 2 b y
         XRANGE s - + COUNT 0 => *-1
         XRANGE t - + => *0
         XDEL s 5-2 9-9 => :1
         XREAD COUNT 5 STREAMS s t 5-1 0 => *1 *2 s *1 *2 7-0 *2 c z
         XREAD STREAMS s $ => *-1
         XREAD STREAMS s + => *1 *2 s *1 *2 7-0 *2 c z
         XTRIM s MAXLEN 1 => :1
         XTRIM s => -ERR wrong number of arguments for 'xtrim' command
         XTRIM s LIMIT 3 => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy
         XTRIM s LIMIT 0 => -ERR syntax error, XTRIM must be called with a trimming strategy
         XADD s LIMIT 3 * a b => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy
         XADD s LIMIT 0 * a b => -ERR syntax error, LIMIT cannot be used without the special ~ option
         XSETID s 6 => -ERR The ID specified in XSETID is smaller than the target stream top item
         XSETID s 9 => +OK
         XADD s 9-0 a b => -ERR The ID specified in XADD is equal or smaller than the target stream top item
         XADD s 18446744073709551615-18446744073709551615 a b => 18446744073709551615-18446744073709551615
         XADD s * a b => -ERR The stream has exhausted the last possible ID, unable to add more items
         SET k v => +OK
         XADD k * a b => -WRONGTYPE Operation against a key holding the wrong kind of value
         XREAD STREAMS k 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
         TYPE s => +stream
         OBJECT ENCODING s => stream",
    );
}

#[test]
fn groups_are_answered_as_redis_does() {
    script(
        "XGROUP CREATE s g $ => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
         XGROUP CREATE s g $ MKSTREAM => +OK
         XGROUP CREATE s g 0 => -BUSYGROUP Consumer Group name already exists
         XADD s 1 a 1 => 1-0
         XADD s 2 a 2 => 2-0
         XADD s 3 a 3 => 3-0
         XREADGROUP GROUP h ann STREAMS s > => -NOGROUP No such key 's' or consumer group 'h' in XREADGROUP with GROUP option
         XREADGROUP GROUP g ann COUNT 2 STREAMS s > => *1 *2 s *2 *2 1-0 *2 a 1 *2 2-0 *2 a 2
         XREADGROUP GROUP g bob NOACK STREAMS s > => *1 *2 s *1 *2 3-0 *2 a 3
         XREADGROUP GROUP g bob STREAMS s > => *-1
         XPENDING s g => *4 :2 1-0 2-0 *1 *2 ann 2
         XPENDING s g - + 5 ann => *2 *4 1-0 ann :0 :1 *4 2-0 ann :0 :1
         XDEL s 1-0 => :1
         XREADGROUP GROUP g ann STREAMS s 0 => *1 *2 s *2 *2 1-0 *-1 *2 2-0 *2 a 2
         XPENDING s g IDLE 1 - + 5 => *0
         XCLAIM s g bob 0 2-0 3-0 FORCE RETRYCOUNT 9 => *2 *2 2-0 *2 a 2 *2 3-0 *2 a 3
         XAUTOCLAIM s g bob 0 - COUNT 1 => *3 2-0 *0 *1 1-0
         XPENDING s g - + 5 => *2 *4 2-0 bob :0 :9 *4 3-0 bob :0 :9
         XACK s g 1-0 2-0 => :1
         XGROUP DELCONSUMER s g bob => :1
         XINFO GROUPS s => *1 *12 name g consumers :1 pending :0 last-delivered-id 3-0 entries-read :3 lag :0
         XINFO CONSUMERS s g => *1 *8 name ann pending :0 idle :0 inactive :0
         XGROUP SETID s g 2 ENTRIESREAD 2 => +OK
         XINFO GROUPS s => *1 *12 name g consumers :1 pending :0 last-delivered-id 2-0 entries-read :2 lag :1
         XGROUP DESTROY s g => :1
         XGROUP DESTROY s g => :0
         XINFO STREAM s => *20 length :2 radix-tree-keys :1 radix-tree-nodes :2 last-generated-id 3-0 max-deleted-entry-id 1-0 entries-added :3 recorded-first-entry-id 2-0 groups :0 first-entry *2 2-0 *2 a 2 last-entry *2 3-0 *2 a 3
         XINFO STREAM s FULL COUNT => -ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.
         XPENDING s g => -NOGROUP No such key 's' or consumer group 'g'
         COMMAND GETKEYS XREADGROUP GROUP streams c COUNT 1 STREAMS a b 0 0 => *2 a b
         COMMAND GETKEYS XREAD STREAMS a b 0 => *1 a",
    );
}

/// What Redis 8.2 answers. What travels is what it came to, in words of Redis 5.
#[test]
fn deletions_mind_what_groups_have_pending() {
    script(
        "XADD s 1 a b => 1-0
         XADD s 2 a b => 2-0
         XADD s 3 a b => 3-0
         XADD s 4 a b => 4-0
         XGROUP CREATE s g 0 => +OK
         XGROUP CREATE s h 0 => +OK
         XREADGROUP GROUP g ann STREAMS s > => *1 *2 s *4 *2 1-0 *2 a b *2 2-0 *2 a b *2 3-0 *2 a b *2 4-0 *2 a b
         XREADGROUP GROUP h bob COUNT 2 STREAMS s > => *1 *2 s *2 *2 1-0 *2 a b *2 2-0 *2 a b
         XDELEX s IDS 2 1 9 => *2 :1 :-1
         XDELEX s DELREF IDS 1 1 => *1 :-1
         XPENDING s g => *4 :3 2-0 4-0 *1 *2 ann 3
         XDELEX s ACKED IDS 2 3 9 => *2 :2 :2
         XACKDEL s g ACKED IDS 2 2 7 => *2 :2 :-1
         XACKDEL s h ACKED IDS 1 2 => *1 :1
         XACKDEL s g DELREF IDS 1 3 => *1 :1
         XPENDING s g => *4 :1 4-0 4-0 *1 *2 ann 1
         XACKDEL s none IDS 1 4 => *1 :-1
         XDELEX none IDS 2 4 5 => *2 :-1 :-1
         XTRIM s MAXLEN 0 ACKED => :0
         XTRIM s DELREF MAXLEN 0 => :1
         XPENDING s g => *4 :0 $-1 $-1 *-1
         XADD s DELREF 9 a b => 9-0
         XADD s ACKED KEEPREF 10 a b => -ERR Invalid stream ID specified as stream command argument
         XTRIM s MAXLEN 0 ACKED ACKED => -ERR syntax error
         XDELEX s IDS 2 4 => -ERR The `numids` parameter must match the number of arguments
         XDELEX s IDS 0 4 => -ERR Number of IDs must be a positive integer
         XDELEX s KEEPREF ACKED IDS 1 4 => -ERR syntax error
         XDELEX s ACKED a b => -ERR syntax error",
    );
}

/// Runs commands on a stream of nine entries, of which a group has the 2nd, 3rd and 5th pending and another
/// the 3rd; what each travels as.
fn travels(commands: &[(&str, &str)]) {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "PING");
    db.stream();
    for (command, stream) in commands {
        db.run(c, "DEL s");
        for id in 1..10 {
            db.run(c, &format!("XADD s {id} a b"));
        }
        for command in [
            "XGROUP CREATE s g 0",
            "XGROUP CREATE s h 0",
            "XREADGROUP GROUP g ann STREAMS s >",
            "XREADGROUP GROUP h bob STREAMS s >",
            "XACK s g 1 4 6 7 8 9",
            "XACK s h 1 2 4 5 6 7 8 9",
            "SET mark x",
        ] {
            db.run(c, command);
        }
        db.stream();
        let reply = db.run(c, command);
        assert!(!reply.starts_with('-'), "{command}: {reply}");
        assert_eq!(db.stream(), *stream, "{command}");
    }
}

#[test]
fn deletions_that_mind_references_travel_as_what_they_came_to() {
    travels(&[
        ("XDELEX s IDS 2 1 99", "XDEL s 1-0"),
        ("XDELEX s KEEPREF IDS 1 3", "XDEL s 3-0"),
        ("XDELEX s DELREF IDS 2 3 5", "MULTI XDEL s 3-0 5-0 XACK s g 3-0 5-0 XACK s h 3-0 EXEC"),
        ("XDELEX s ACKED IDS 3 2 3 4", "XDEL s 4-0"),
        ("XDELEX s ACKED IDS 1 2", ""),
        ("XACKDEL s g IDS 2 1 2", "MULTI XACK s g 2-0 XDEL s 2-0 EXEC"),
        ("XACKDEL s g ACKED IDS 1 3", "XACK s g 3-0"),
        ("XACKDEL s g DELREF IDS 1 3", "MULTI XACK s g 3-0 XDEL s 3-0 XACK s h 3-0 EXEC"),
        ("XACKDEL s h ACKED IDS 1 2", ""),
    ]);
}

#[test]
fn trims_that_mind_references_travel_as_what_they_came_to() {
    travels(&[
        ("XTRIM s MAXLEN 7 KEEPREF", "XTRIM s MAXLEN 7"),
        ("XTRIM s KEEPREF MAXLEN = 20", ""),
        ("XTRIM s DELREF MAXLEN = 7", "MULTI XTRIM s MAXLEN = 7 XACK s g 2-0 EXEC"),
        ("XTRIM s MINID 4 DELREF", "MULTI XTRIM s MINID 4 XACK s g 2-0 3-0 XACK s h 3-0 EXEC"),
        (
            "XTRIM s MAXLEN ~ 0 DELREF",
            "MULTI XTRIM s MAXLEN = 0 XACK s g 2-0 3-0 5-0 XACK s h 3-0 EXEC",
        ),
        ("XTRIM s MAXLEN 8 ACKED", "XTRIM s MAXLEN 8"),
        ("XTRIM s MINID = 2 ACKED", "XTRIM s MAXLEN = 8"),
        ("XTRIM s MAXLEN = 0 ACKED", "MULTI XTRIM s MAXLEN = 8 XDEL s 4-0 6-0 7-0 8-0 9-0 EXEC"),
        ("XTRIM s ACKED MINID 5", "MULTI XTRIM s MAXLEN 8 XDEL s 4-0 EXEC"),
        ("XADD s KEEPREF 10 a b", "XADD s 10 a b"),
        ("XADD s DELREF MAXLEN 8 10-* a b", "MULTI XADD s MAXLEN 8 10-0 a b XACK s g 2-0 EXEC"),
        ("XADD s NOMKSTREAM MINID ~ 4 ACKED 10 a b", "XADD s NOMKSTREAM MAXLEN = 10 10 a b"),
        ("XADD s MAXLEN 9 ACKED 10 a b", "XADD s MAXLEN 9 10 a b"),
        ("XADD s MAXLEN 7 ACKED 10 a b", "MULTI XADD s MAXLEN 9 10 a b XDEL s 4-0 6-0 EXEC"),
    ]);
}

/// A replica has other nodes and another clock: what it hears must not depend on either.
#[test]
fn what_travels_is_what_happened() {
    let mut db = Database::new();
    let c = db.connect();
    db.stream();
    assert_eq!(words(&db.run(c, "XADD s * a b")), "1700000000000-0");
    assert_eq!(db.stream(), "SELECT 0 XADD s 1700000000000-0 a b");
    db.run(c, "DEL s");
    db.stream();
    db.run(c, "XADD s 5-* a b");
    assert_eq!(db.stream(), "XADD s 5-0 a b");
    db.run(c, "XADD s MAXLEN ~ 1 6 a b");
    assert_eq!(db.stream(), "XADD s MAXLEN = 2 6 a b");
    db.run(c, "XADD s MINID ~ 6 LIMIT 9 7-* a b");
    assert_eq!(db.stream(), "XADD s MINID = 5-0 LIMIT 9 7-0 a b");
    db.run(c, "XTRIM s MAXLEN ~ 1");
    assert_eq!(db.stream(), "");
    db.run(c, "XTRIM s MAXLEN ~ 0");
    assert_eq!(db.stream(), "XTRIM s MAXLEN = 0");
    db.run(c, "XDEL s 7");
    assert_eq!(db.stream(), "");
}

#[test]
fn a_read_of_a_group_travels_as_claims() {
    let mut db = Database::new();
    let c = db.connect();
    for command in ["XADD s 1 a b", "XADD s 2 a b", "XGROUP CREATE s g 0"] {
        db.run(c, command);
    }
    db.stream();
    db.run(c, "XREADGROUP GROUP g ann COUNT 1 STREAMS s >");
    assert_eq!(
        db.stream(),
        "MULTI XCLAIM s g ann 0 1-0 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-0 \
         XGROUP SETID s g 1-0 ENTRIESREAD 1 EXEC"
    );
    db.run(c, "XREADGROUP GROUP g bob NOACK STREAMS s >");
    assert_eq!(
        db.stream(),
        "MULTI XGROUP CREATECONSUMER s g bob XGROUP SETID s g 2-0 ENTRIESREAD 2 EXEC"
    );
    // Nothing is read, and yet there is a consumer more.
    db.run(c, "XREADGROUP GROUP g cleo STREAMS s >");
    assert_eq!(db.stream(), "XGROUP CREATECONSUMER s g cleo");
    db.run(c, "XREADGROUP GROUP g ann STREAMS s 0");
    assert_eq!(db.stream(), "");
    db.run(c, "XDEL s 1");
    db.stream();
    db.run(c, "XAUTOCLAIM s g bob 0 0");
    assert_eq!(
        db.stream(),
        "XCLAIM s g ann 0 1-0 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID LASTID 2-0"
    );
    db.run(c, "XCLAIM s g bob 0 9-9 LASTID 7");
    assert_eq!(db.stream(), "XGROUP SETID s g 7-0 ENTRIESREAD 2");
}

#[test]
fn a_blocked_read_is_served_by_what_comes_after_it() {
    let mut db = Database::new();
    let (waits, adds) = (db.connect(), db.connect());
    db.run(adds, "XADD s 1 a b");
    assert_eq!(db.run(waits, "XREAD BLOCK 0 STREAMS s t $ $"), "");
    db.run(adds, "XDEL s 1");
    db.run(adds, "DEL s");
    assert_eq!(db.replies(waits), "");
    db.run(adds, "XADD s 1 a b");
    assert_eq!(db.replies(waits), "", "it waits for what is above what it has seen");
    // All that a transaction adds is there when the reader gets its turn.
    for command in ["MULTI", "XADD s 2 c d", "XADD s 3 e f", "EXEC"] {
        db.run(adds, command);
    }
    assert_eq!(words(&db.replies(waits)), "*1 *2 s *2 *2 2-0 *2 c d *2 3-0 *2 e f");
    assert_eq!(db.run(waits, "XREAD BLOCK 5 STREAMS s $"), "");
    db.advance_ms(5);
    assert_eq!(db.replies(waits), "*-1\r\n");
}

#[test]
fn a_blocked_reader_of_a_group_hears_of_its_end() {
    for (end, told) in [
        ("DEL s", "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"),
        (
            "FLUSHALL",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        ),
        (
            "SWAPDB 0 1",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        ),
        (
            "RENAME s t",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        ),
        (
            "MOVE s 1",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        ),
        ("SET s v", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        (
            "XGROUP DESTROY s g",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        ),
        ("XADD s 9 a b", "*1 *2 s *1 *2 9-0 *2 a b"),
    ] {
        let mut db = Database::new();
        let (waits, plain, other) = (db.connect(), db.connect(), db.connect());
        db.run(other, "XGROUP CREATE s g $ MKSTREAM");
        db.run(plain, "BLPOP s 0");
        assert_eq!(db.run(waits, "XREADGROUP GROUP g ann BLOCK 0 STREAMS s >"), "", "{end}");
        db.run(other, end);
        assert_eq!(words(&db.replies(waits)), told, "{end}");
        assert_eq!(db.replies(plain), "", "who waits for a list hears nothing of {end}");
    }
}

/// The key goes by its time alone: nobody's command is behind it.
#[test]
fn a_blocked_reader_of_a_group_hears_of_an_expiry() {
    let mut db = Database::new();
    let (waits, other) = (db.connect(), db.connect());
    db.run(other, "XGROUP CREATE s g $ MKSTREAM");
    db.run(waits, "XREADGROUP GROUP g ann BLOCK 0 STREAMS s >");
    db.run(other, "PEXPIRE s 5");
    db.advance_ms(6);
    assert_eq!(db.run(other, "EXISTS s"), ":0\r\n");
    assert!(db.replies(waits).starts_with("-NOGROUP"));
}

/// Two consumers wait; one entry is one's alone.
#[test]
fn readers_of_a_group_are_served_in_turn() {
    let mut db = Database::new();
    let (first, second, adds) = (db.connect(), db.connect(), db.connect());
    db.run(adds, "XGROUP CREATE s g $ MKSTREAM");
    db.run(first, "XREADGROUP GROUP g ann BLOCK 0 STREAMS s >");
    db.run(second, "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >");
    db.run(adds, "XADD s 1 a b");
    assert_eq!(words(&db.replies(first)), "*1 *2 s *1 *2 1-0 *2 a b");
    assert_eq!(db.replies(second), "");
    db.run(adds, "XADD s 2 a b");
    assert_eq!(words(&db.replies(second)), "*1 *2 s *1 *2 2-0 *2 a b");
}

/// An answer in RESP3 is a map of keys, and a list of pairs in RESP2.
#[test]
fn several_streams_are_a_map() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "XADD s 1 a b");
    db.run(c, "XADD t 2 c d");
    let both = "*2 *2 s *1 *2 1-0 *2 a b *2 t *1 *2 2-0 *2 c d";
    assert_eq!(words(&db.run(c, "XREAD STREAMS s t 0 0")), both);
    db.run(c, "HELLO 3");
    let both = "%2 s *1 *2 1-0 *2 a b t *1 *2 2-0 *2 c d";
    assert_eq!(words(&db.run(c, "XREAD STREAMS s t 0 0")), both);
}

/// CLAIM is Redis 8.4's: what others have left lying comes first, with how long it lay and how often it had
/// been delivered; then what is new.
#[test]
fn a_reader_claims_what_has_been_pending_for_long_enough() {
    let mut db = Database::new();
    let c = db.connect();
    for command in ["XGROUP CREATE s g 0 MKSTREAM", "XADD s 1 a 1", "XADD s 2 a 2", "XADD s 3 a 3"]
    {
        db.run(c, command);
    }
    db.run(c, "XREADGROUP GROUP g ann COUNT 2 STREAMS s >");
    db.advance_ms(100);
    db.stream();
    let claim =
        |db: &mut Database, rest: &str| words(&db.run(c, &format!("XREADGROUP GROUP g {rest}")));
    assert_eq!(
        claim(&mut db, "bob COUNT 1 CLAIM 101 STREAMS s >"),
        "*1 *2 s *1 *4 3-0 *2 a 3 :0 :0"
    );
    assert_eq!(db.stream().matches("XCLAIM").count(), 1);
    assert_eq!(
        claim(&mut db, "bob CLAIM 7 COUNT 1 CLAIM 100 STREAMS s >"),
        "*1 *2 s *1 *4 1-0 *2 a 1 :100 :1"
    );
    let at = db.now.unix_ms();
    assert_eq!(
        db.stream(),
        format!("XCLAIM s g bob 0 1-0 TIME {at} RETRYCOUNT 2 FORCE JUSTID LASTID 3-0")
    );
    // By the time of delivery, not by the id; NOACK leaves alone what is pending.
    db.advance_ms(50);
    db.run(c, "XADD s 4 a 4");
    assert_eq!(
        claim(&mut db, "eve NOACK CLAIM 50 STREAMS s >"),
        "*1 *2 s *4 *4 2-0 *2 a 2 :150 :1 *4 1-0 *2 a 1 :50 :2 *4 3-0 *2 a 3 :50 :1 *4 4-0 *2 a 4 :0 :0"
    );
    assert_eq!(words(&db.run(c, "XPENDING s g")), "*4 :3 1-0 3-0 *1 *2 eve 3");
    assert_eq!(claim(&mut db, "eve CLAIM 1 STREAMS s >"), "*-1");
    // What has been deleted is told no more, and pending no more.
    db.run(c, "XDEL s 1");
    db.stream();
    assert_eq!(claim(&mut db, "bob COUNT 1 CLAIM 0 STREAMS s >"), "*1 *2 s *1 *4 2-0 *2 a 2 :0 :2");
    assert_eq!(words(&db.run(c, "XPENDING s g")), "*4 :2 2-0 3-0 *2 *2 bob 1 *2 eve 1");
    assert!(db.stream().contains("XCLAIM s g eve 0 1-0 TIME"));
    // A history is one's own.
    assert_eq!(claim(&mut db, "bob CLAIM 0 STREAMS s 0"), "*1 *2 s *1 *2 2-0 *2 a 2");
    for (wrong, why) in [
        (
            "XREADGROUP GROUP g a CLAIM x STREAMS s >",
            "min-idle-time is not an integer or out of range",
        ),
        (
            "XREADGROUP GROUP g a CLAIM STREAMS s >",
            "min-idle-time is not an integer or out of range",
        ),
        ("XREADGROUP GROUP g a CLAIM -1 STREAMS s >", "min-idle-time must be a positive integer"),
        (
            "XREAD CLAIM 1 STREAMS s 0",
            "The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
        ),
    ] {
        assert_eq!(db.run(c, wrong), format!("-ERR {why}\r\n"), "{wrong}");
    }
}

/// Nothing is written when an entry has been pending for long enough: the clock has to wake who waits.
#[test]
fn a_reader_that_waits_claims_as_soon_as_it_may() {
    let mut db = Database::new();
    let (c, waits) = (db.connect(), db.connect());
    db.run(c, "XGROUP CREATE s g 0 MKSTREAM");
    db.run(c, "XADD s 1 a 1");
    db.run(c, "XREADGROUP GROUP g ann STREAMS s >");
    db.advance_ms(40);
    let claim = "XREADGROUP GROUP g bob BLOCK 0 CLAIM 1000 STREAMS s >";
    assert_eq!(db.run(waits, claim), "");
    let due_us = db.now.mono_us + 960_000;
    assert_eq!(db.engine.next_deadline_us(), Some(due_us));
    db.advance_ms(959);
    assert_eq!(db.replies(waits), "");
    db.advance_ms(1);
    assert_eq!(words(&db.replies(waits)), "*1 *2 s *1 *4 1-0 *2 a 1 :1000 :1");
    assert_eq!(db.engine.next_deadline_us(), None);
    // What is delivered after it has begun to wait is claimed in its time, too.
    db.run(c, "XACK s g 1-0");
    assert_eq!(db.run(waits, claim), "");
    db.advance_ms(500);
    db.run(c, "XADD s 2 a 2");
    assert_eq!(words(&db.replies(waits)), "*1 *2 s *1 *4 2-0 *2 a 2 :0 :0");
    db.run(c, "XACK s g 2-0");
    assert_eq!(db.run(waits, claim), "");
    db.run_args(c, &[b"MULTI"]);
    db.run(c, "XADD s 3 a 3");
    db.run(c, "XREADGROUP GROUP g ann STREAMS s >");
    db.run(c, "EXEC");
    db.advance_ms(999);
    assert_eq!(db.replies(waits), "");
    db.advance_ms(1);
    assert_eq!(words(&db.replies(waits)), "*1 *2 s *1 *4 3-0 *2 a 3 :1000 :1");
    // Its own deadline stays what it was.
    assert_eq!(db.run(waits, "XREADGROUP GROUP g bob BLOCK 50 CLAIM 1000 STREAMS s >"), "");
    db.advance_ms(50);
    assert_eq!(db.replies(waits), "*-1\r\n");
    assert_eq!(db.engine.next_deadline_us(), None);
}

#[test]
fn keys_of_whose_end_somebody_waits_are_counted() {
    let mut db = Database::new();
    let [c, pops, reads] = [db.connect(), db.connect(), db.connect()];
    let counts = |db: &mut Database| {
        let info = db.run(c, "INFO clients");
        ["total_blocking_keys:", "total_blocking_keys_on_nokey:"].map(|name| {
            info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
        })
    };
    db.run(pops, "BLPOP s 0");
    assert_eq!(counts(&mut db), ["1", "0"]);
    db.run(c, "XGROUP CREATE s g $ MKSTREAM");
    db.run(reads, "XREADGROUP GROUP g me BLOCK 0 STREAMS s >");
    assert_eq!(counts(&mut db), ["1", "1"]);
    db.run(c, "DEL s");
    assert!(db.replies(reads).starts_with("-NOGROUP "));
    assert_eq!(counts(&mut db), ["1", "0"]);
}
