//! In which words writes travel: such as every server since Redis 7.0 understands and comes to the same by,
//! whatever the client said. What conditions, expiries, blocked commands and streams travel as stands with
//! their families.

mod common;

use common::Database;

/// Runs the first commands, and then one whose words in the stream are compared.
fn travels(before: &[&str], commands: &[(&str, &str)]) {
    for (command, stream) in commands {
        let mut db = Database::new();
        let c = db.connect();
        db.run(c, "SET mark x");
        for command in before {
            let reply = db.run(c, command);
            assert!(!reply.starts_with('-'), "{command}: {reply}");
        }
        db.stream();
        let reply = db.run(c, command);
        assert!(!reply.starts_with('-'), "{command}: {reply}");
        assert_eq!(db.stream(), *stream, "{command}");
    }
}

/// Valkey 9 reads no hexadecimal numbers, and Redis 8 some of them.
#[test]
fn numbers_travel_as_everybody_reads_them() {
    travels(
        &["ZADD z 1 a 5 b"],
        &[
            ("ZADD z 0x1p3 c 1e0 a", "ZADD z 8 c 1 a"),
            ("ZADD z NX CH 0X10 c", "ZADD z NX CH 16 c"),
            ("ZADD z 0x1 a", ""),
            ("ZADD z -.5e1 c", "ZADD z -.5e1 c"),
            ("ZADD z INCR 0x.8p0 a", "ZADD z INCR 0.5 a"),
            ("ZINCRBY z 0x2 a", "ZINCRBY z 2 a"),
            ("ZREMRANGEBYSCORE z (0x1 +inf", "ZREM z b"),
            ("ZREMRANGEBYSCORE z -inf (5", "ZREMRANGEBYSCORE z -inf (5"),
            ("ZRANGESTORE d z 0x2 9 BYSCORE", "MULTI DEL d ZADD d 5 b EXEC"),
            ("ZRANGESTORE d z 2 9 BYSCORE", "ZRANGESTORE d z 2 9 BYSCORE"),
            ("ZRANGESTORE d z 0x20 99 BYSCORE", ""),
            ("ZUNIONSTORE d 1 z WEIGHTS 0x2", "MULTI DEL d ZADD d 2 a 10 b EXEC"),
            ("ZUNIONSTORE d 1 z WEIGHTS 2", "ZUNIONSTORE d 1 z WEIGHTS 2"),
        ],
    );
}

/// In a large sorted set it depends on random levels which members lie between two others, where the scores
/// are not all the same.
#[test]
fn members_between_two_travel_by_name_where_scores_differ() {
    travels(
        &["ZADD z 1 a 2 b 3 c 4 d", "ZADD one 1 a 1 b 1 c 1 d"],
        &[
            ("ZREMRANGEBYLEX z [b [c", "ZREM z b c"),
            ("ZREMRANGEBYLEX one [b [c", "ZREMRANGEBYLEX one [b [c"),
            ("ZRANGESTORE d z [b [c BYLEX", "MULTI DEL d ZADD d 2 b 3 c EXEC"),
            ("ZRANGESTORE d one [b [c BYLEX", "ZRANGESTORE d one [b [c BYLEX"),
        ],
    );
}

/// Sources of one size are added up in any order.
#[test]
fn sums_that_are_rounded_travel_as_what_they_came_to() {
    let before = ["ZADD a 0.1 m", "ZADD b 0.2 m", "ZADD c 0.3 m", "ZADD n 1 m", "SADD s m"];
    travels(
        &before,
        &[
            ("ZUNIONSTORE d 3 a b c", "MULTI DEL d ZADD d 0.6000000000000001 m EXEC"),
            ("ZINTERSTORE d 3 a b c", "MULTI DEL d ZADD d 0.6000000000000001 m EXEC"),
            ("ZUNIONSTORE d 3 a b none", "ZUNIONSTORE d 3 a b none"),
            ("ZUNIONSTORE d 3 a b c AGGREGATE MAX", "ZUNIONSTORE d 3 a b c AGGREGATE MAX"),
            ("ZUNIONSTORE d 3 n n s", "ZUNIONSTORE d 3 n n s"),
            ("ZDIFFSTORE d 3 a s c", ""),
        ],
    );
}

/// Of equal weights everybody has an order of his own, and the last digit of a distance is the library's.
#[test]
fn results_that_others_might_not_come_to_travel_themselves() {
    travels(
        &[
            "RPUSH l 3 1 2",
            "SET old x",
            "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        ],
        &[
            ("SORT l STORE old", "MULTI DEL old RPUSH old 1 2 3 EXEC"),
            ("SORT l BY w_* ALPHA DESC LIMIT 0 2 STORE d", "MULTI DEL d RPUSH d 3 1 EXEC"),
            ("SORT none STORE old", "DEL old"),
            ("SORT none STORE none", ""),
            (
                "GEORADIUS g 15 37 100 km STORE d",
                "MULTI DEL d ZADD d 3479447370796909 Catania EXEC",
            ),
            ("GEORADIUS g 15 37 1 km STORE old", "DEL old"),
            (
                "GEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 1 km STOREDIST",
                "MULTI DEL d ZADD d 0 Palermo EXEC",
            ),
        ],
    );
}

/// A payload says which version it is of, and older servers refuse all of newer ones.
#[test]
fn payloads_of_newer_versions_travel_as_older_ones_or_as_commands() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET mark x");
    db.run(c, "HSET h a 1 b 2");
    db.run(c, "HPEXPIREAT h 1800000000000 FIELDS 1 a");
    db.run(c, "RPUSH l x");
    let dumped = |db: &Database, key: &[u8], version| {
        let entry = db.engine.keyspace.db(0).get(key).unwrap();
        persist::rdb::dump_value(entry.value(), version)
    };
    use persist::rdb::Version;
    let old = dumped(&db, b"l", Version::V10);
    let (new, expiring) = (dumped(&db, b"l", Version::V11), dumped(&db, b"h", Version::V12));
    assert_ne!(old, new);
    db.stream();
    let words =
        |ttl: &'static [u8], payload| vec![b"RESTORE".as_slice(), b"k", ttl, payload, b"REPLACE"];
    assert_eq!(db.run_args(c, &words(b"0", &new)), "+OK\r\n");
    let as_old = [words(b"0", &old), vec![b"ABSTTL"]].concat();
    assert!(contains(&db.world.stream, &encoded(&as_old)), "{}", db.stream());
    db.stream();
    assert_eq!(db.run_args(c, &words(b"5000", &expiring)), "+OK\r\n");
    assert_eq!(
        db.stream(),
        "MULTI DEL k HMSET k a 1 b 2 HPEXPIREAT k 1800000000000 FIELDS 1 a \
         PEXPIREAT k 1700000005000 EXEC"
    );
    db.run_args(c, &words(b"0", &old));
    assert_eq!(db.world.stream, encoded(&words(b"0", &old)));
}

fn encoded(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    protocol::encode_command(&mut bytes, words.iter().copied());
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
