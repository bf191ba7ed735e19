//! Requests that are as large, as many or as crooked as a client can make them: each ends in an answer.

mod common;

use common::{Database, words};

const MANY: usize = 1_000_000;

fn with_many<'a>(head: &[&'a [u8]], word: &'a [u8]) -> Vec<&'a [u8]> {
    head.iter().copied().chain(std::iter::repeat_n(word, MANY)).collect()
}

#[test]
fn a_million_arguments_are_a_command_like_others() {
    let mut db = Database::new();
    let c = db.connect();
    for (head, word, answer) in [
        (&[b"DEL".as_slice()][..], b"k".as_slice(), ":0\r\n"),
        (&[b"EXISTS"], b"k", ":0\r\n"),
        (&[b"SADD", b"s"], b"m", ":1\r\n"),
        (&[b"PFADD", b"h"], b"m", ":1\r\n"),
        (&[b"RPUSH", b"l"], b"m", ":1000000\r\n"),
        (&[b"ZADD", b"z"], b"1", ":1\r\n"),
        (&[b"HSET", b"a"], b"f", ":1\r\n"),
        (&[b"MSET"], b"k", "+OK\r\n"),
        (&[b"UNLINK"], b"k", ":1\r\n"),
        (&[b"LPUSHX", b"absent"], b"m", ":0\r\n"),
        (&[b"WATCH"], b"k", "+OK\r\n"),
        (&[b"SUNIONSTORE", b"d"], b"absent", ":0\r\n"),
        (&[b"GEOADD", b"g"], b"x", "-ERR syntax error"),
        (&[b"BITFIELD", b"b"], b"x", "-ERR syntax error\r\n"),
        (&[b"nosuch"], b"k", "-ERR unknown command 'nosuch', with args beginning with: "),
    ] {
        let reply = db.run_args(c, &with_many(head, word));
        assert!(reply.starts_with(answer), "{head:?}: {}", &reply[..reply.len().min(200)]);
        assert!(reply.len() < 1000, "{head:?}");
    }
    let reply = db.run_args(c, &with_many(&[b"EVAL", b"return #ARGV", b"0"], b"x"));
    assert_eq!(reply, ":1000000\r\n");
    let reply = db.run_args(c, &with_many(&[b"EVAL", b"return {unpack(ARGV)}", b"0"], b"x"));
    assert!(reply.contains("too many results to unpack"));
}

#[test]
fn a_transaction_may_be_long_but_not_deep() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "MULTI");
    for _ in 0..1000 {
        assert_eq!(db.run(c, "MULTI"), "-ERR MULTI calls can not be nested\r\n");
    }
    assert_eq!(db.run(c, "EXEC"), "*0\r\n");
    db.run(c, "MULTI");
    for _ in 0..100_000 {
        assert_eq!(db.run(c, "INCR n"), "+QUEUED\r\n");
    }
    assert!(db.run(c, "EXEC").ends_with(":100000\r\n"));
    assert_eq!(db.run(c, "EXEC"), "-ERR EXEC without MULTI\r\n");
    assert!(db.run(c, "EVAL return|redis.call('multi') 0").starts_with("-ERR"));
}

/// A string ends at 512 MB, before anything is allocated for what is beyond.
#[test]
fn what_would_be_too_long_is_refused_before_it_is_made() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v");
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    let bad_offset = "-ERR bit offset is not an integer or out of range\r\n";
    for (command, answer) in [
        ("SETRANGE k 536870912 x", too_long),
        ("SETRANGE absent 536870912 x", too_long),
        ("SETRANGE k 9223372036854775807 x", too_long),
        ("SETRANGE k -1 x", "-ERR offset is out of range\r\n"),
        ("SETBIT k 4294967296 1", bad_offset),
        ("SETBIT k 18446744073709551616 1", bad_offset),
        ("BITFIELD k SET u8 4294967296 1", bad_offset),
        ("BITFIELD k SET u8 #536870912 1", bad_offset),
        ("GETRANGE k -9223372036854775808 9223372036854775807", "$1\r\nv\r\n"),
        ("LRANGE absent -9223372036854775808 9223372036854775807", "*0\r\n"),
        (
            "SRANDMEMBER absent -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n",
        ),
        ("LMPOP 9223372036854775807 l LEFT", "-ERR syntax error\r\n"),
        (
            "EVAL return 9223372036854775807",
            "-ERR Number of keys can't be greater than number of args\r\n",
        ),
        (
            "SINTERCARD 9223372036854775807 a",
            "-ERR Number of keys can't be greater than number of args\r\n",
        ),
        ("SCAN 18446744073709551616", "-ERR invalid cursor\r\n"),
        (
            "XADD s 18446744073709551616-0 f v",
            "-ERR Invalid stream ID specified as stream command argument\r\n",
        ),
        (
            "XADD s 1-18446744073709551616 f v",
            "-ERR Invalid stream ID specified as stream command argument\r\n",
        ),
        ("XRANGE s - + COUNT 9223372036854775807", "*0\r\n"),
    ] {
        assert_eq!(db.run(c, command), answer, "{command}");
    }
    assert_eq!(db.run(c, "DBSIZE"), ":1\r\n");
}

/// A pattern of stars took time beyond all measure, or a stack (CVE-2022-36021, CVE-2024-31228).
#[test]
fn a_pattern_of_stars_is_a_pattern() {
    let mut db = Database::new();
    let (c, subscriber) = (db.connect(), db.connect());
    let key = vec![b'a'; 20_000];
    db.run_args(c, &[b"SET", &key, b"v"]);
    for pattern in ["a*".repeat(10_000) + "b", "*".repeat(100_000) + "b", "[".repeat(100_000)] {
        assert_eq!(db.run_args(c, &[b"KEYS", pattern.as_bytes()]), "*0\r\n");
        let scan = db.run_args(c, &[b"SCAN", b"0", b"MATCH", pattern.as_bytes()]);
        assert_eq!(words(&scan), "*2 0 *0");
        assert!(
            db.run_args(subscriber, &[b"PSUBSCRIBE", pattern.as_bytes()]).contains("psubscribe")
        );
        assert_eq!(db.run(c, "PUBSUB NUMPAT"), ":1\r\n");
        db.run(subscriber, "PUNSUBSCRIBE");
    }
}
