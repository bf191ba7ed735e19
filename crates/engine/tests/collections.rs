//! Hashes, lists, sets and sorted sets through the engine's public API: replies, events of emptiness,
//! blocking, and what travels.

mod common;

use common::{Database, script};
use engine::Unblocked;

#[test]
fn hashes_answer_as_redis_does() {
    script(
        "HSET h a 1 b 2 => :2
         HSET h a 3 => :0
         HGET h a => 3
         HMGET h a x b => *3 3 $-1 2
         HINCRBY h a 4 => :7
         HINCRBYFLOAT h b 0.5 => 2.5
         HINCRBY h b 1 => -ERR hash value is not an integer
         HSTRLEN h b => :3
         HGETALL h => *4 a 7 b 2.5
         HSETNX h a 1 => :0
         HEXISTS h x => :0
         HDEL h a b => :2
         EXISTS h => :0
         HSET h a => -ERR wrong number of arguments for 'hset' command
         SET s v => +OK
         HGET s a => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn lists_answer_as_redis_does() {
    script(
        "RPUSH l a b c => :3
         LPUSH l z => :4
         LRANGE l 0 -1 => *4 z a b c
         LINDEX l -1 => c
         LINSERT l BEFORE b x => :5
         LSET l 0 y => +OK
         LREM l 0 x => :1
         LPOS l c => :3
         LPOS l c RANK -1 COUNT 0 => *1 :3
         LTRIM l 1 2 => +OK
         LRANGE l 0 -1 => *2 a b
         LMOVE l m LEFT RIGHT => a
         RPOPLPUSH l m => b
         EXISTS l => :0
         LRANGE m 0 -1 => *2 b a
         LMPOP 2 l m RIGHT COUNT 5 => *2 m *2 a b
         LPOP m => $-1
         LPOP m 2 => *-1
         LPUSHX m 1 => :0",
    );
}

#[test]
fn sets_answer_as_redis_does() {
    script(
        "SADD s 1 2 3 => :3
         SADD s 3 4 => :1
         OBJECT ENCODING s => intset
         SADD s a => :1
         OBJECT ENCODING s => listpack
         SISMEMBER s a => :1
         SMISMEMBER s a b => *2 :1 :0
         SREM s a => :1
         SADD t 3 4 5 => :3
         SINTERCARD 2 s t => :2
         SINTERSTORE u s t => :2
         OBJECT ENCODING u => intset
         SDIFF s t => *2 1 2
         SUNIONSTORE u s t => :5
         SMOVE s t 1 => :1
         SCARD t => :4
         SPOP none => $-1
         SREM u 1 2 3 4 5 => :5
         EXISTS u => :0",
    );
}

#[test]
fn sorted_sets_answer_as_redis_does() {
    script(
        "ZADD z 1 a 2 b 3 c => :3
         ZADD z XX CH 5 a => :1
         ZADD z GT 4 a => :0
         ZSCORE z a => 5
         ZINCRBY z 1.5 b => 3.5
         ZRANGE z 0 -1 WITHSCORES => *6 c 3 b 3.5 a 5
         ZRANGE z (3 +inf BYSCORE LIMIT 0 1 => *1 b
         ZREVRANGEBYSCORE z +inf (3 => *2 a b
         ZRANGE z 0 0 REV => *1 a
         ZRANK z a => :2
         ZREVRANK z a => :0
         ZCOUNT z -inf 4 => :2
         ZRANGESTORE y z 0 1 => :2
         ZUNIONSTORE x 2 y z WEIGHTS 1 2 => :3
         ZRANGE x 0 -1 WITHSCORES => *6 c 9 a 10 b 10.5
         ZDIFF 2 z y => *1 a
         ZINTERCARD 2 z y LIMIT 1 => :1
         ZPOPMIN z => *2 c 3
         ZMPOP 1 z MAX COUNT 9 => *2 z *2 *2 a 5 *2 b 3.5
         EXISTS z => :0
         ZADD l 0 a 0 b 0 c => :3
         ZRANGEBYLEX l [b + => *2 b c
         ZREMRANGEBYLEX l - (b => :1
         ZADD l nan d => -ERR value is not a valid float
         ZADD l LT INCR 1 a => 1
         ZADD l LT INCR 1 a => $-1
         ZADD l GT INCR 1 a => 2
         ZADD l INCR +inf b => inf
         ZADD l INCR -inf b => -ERR resulting score is not a number (NaN)",
    );
}

#[test]
fn a_blocked_pop_is_served_by_the_push_and_travels_as_a_pop() {
    let mut db = Database::new();
    let (waits, pushes) = (db.connect(), db.connect());
    assert_eq!(db.run(waits, "BLPOP a b 0"), "");
    db.stream();
    assert_eq!(db.run(pushes, "RPUSH b x y"), ":2\r\n");
    assert_eq!(db.replies(waits), "*2\r\n$1\r\nb\r\n$1\r\nx\r\n");
    assert_eq!(db.stream(), "SELECT 0 RPUSH b x y LPOP b");
    assert_eq!(db.engine.take_unblocked(), [Unblocked { id: waits, by_write: true }]);
}

#[test]
fn blocked_clients_are_served_in_the_order_in_which_they_came() {
    let mut db = Database::new();
    let (first, second, pushes) = (db.connect(), db.connect(), db.connect());
    db.run(first, "BLPOP l 0");
    db.run(second, "BLMOVE l m LEFT LEFT 0");
    db.run(pushes, "MULTI");
    db.run(pushes, "RPUSH l 1");
    db.run(pushes, "RPUSH l 2");
    db.run(pushes, "EXEC");
    assert_eq!(db.replies(first), "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    assert_eq!(db.replies(second), "$1\r\n2\r\n");
    let stream = "MULTI SELECT 0 RPUSH l 1 RPUSH l 2 EXEC LPOP l LMOVE l m left left";
    assert_eq!(db.stream(), stream, "Redis's words");
}

#[test]
fn a_blocked_pop_times_out_and_a_wrong_type_does_not_wake_it() {
    let mut db = Database::new();
    let (waits, other) = (db.connect(), db.connect());
    db.run(waits, "BZPOPMIN z 0.5");
    db.run(other, "RPUSH z x");
    assert_eq!(db.replies(waits), "");
    db.run(other, "DEL z");
    db.advance_ms(500);
    assert_eq!(db.replies(waits), "*-1\r\n");
    assert_eq!(db.run(other, "ZADD z 1 a"), ":1\r\n");
    assert_eq!(db.replies(waits), "");
}

#[test]
fn a_random_choice_travels_as_what_was_chosen() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SADD s a b c");
    db.stream();
    let popped = db.run(c, "SPOP s");
    let member = popped.split("\r\n").nth(1).unwrap();
    assert_eq!(db.stream(), format!("SREM s {member}"));
}

/// The last member was told of as a DEL, which Redis does only for a count.
#[test]
fn the_last_member_that_is_popped_travels_by_its_name_and_a_whole_set_as_its_deletion() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SADD s a");
    db.run(c, "SADD t a b");
    db.stream();
    db.run(c, "SPOP s");
    assert_eq!(db.stream(), "SREM s a");
    db.run(c, "SPOP t 2");
    assert_eq!(db.stream(), "DEL t");
}

#[test]
fn hscan_leaves_the_values_out_on_request_and_nothing_else_has_any() {
    let mut db = Database::new();
    let c = db.connect();
    for limit in
        ["a 1", "a 1 b 2 a-value-that-makes-it-a-table-because-it-is-longer-than-64-bytes-are 3"]
    {
        db.run(c, "DEL h");
        db.run(c, &format!("HSET h {limit}"));
        let names = limit.split(' ').count() / 2;
        let reply = db.run(c, "HSCAN h 0 NOVALUES COUNT 1000");
        assert!(reply.starts_with(&format!("*2\r\n$1\r\n0\r\n*{names}\r\n$")), "{reply}");
        assert!(!reply.contains("\r\n1\r\n"), "{reply}");
    }
    db.run(c, "SADD s a");
    db.run(c, "ZADD z 1 a");
    for command in ["SCAN 0", "SSCAN s 0", "ZSCAN z 0"] {
        let why = "-ERR NOVALUES option can only be used in HSCAN\r\n";
        assert_eq!(db.run(c, &format!("{command} NOVALUES")), why);
    }
}
