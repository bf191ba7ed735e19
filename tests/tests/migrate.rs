//! MIGRATE between Tandem and Redis, in either direction.

use tandem_tests::pairings;
use testkit::{Kind, Server};

/// Small values of each type; large ones are made besides.
const SMALL: [&str; 9] = [
    "SET int 1",
    "SET text hello",
    "RPUSH list a b 1 2",
    "SADD ints 1 2 70000",
    "HSET hash f v g 12",
    "ZADD zset 1 a 2.5 b",
    "XADD stream 1-1 f v",
    "XGROUP CREATE stream g 0",
    "XREADGROUP GROUP g c STREAMS stream >",
];
const LARGE: &str = "for i = 1, 3000 do redis.call(ARGV[1], KEYS[1], i, 'item' .. i) end";

fn every_type_goes_over_and_is_the_same_there(from: Kind, to: Kind) {
    let (from, to) = (Server::of(from).start(), Server::of(to).start());
    let mut client = from.client();
    SMALL.iter().for_each(|line| drop(client.good(line)));
    for command in ["rpush", "sadd", "hset", "zadd"] {
        client.args(&["EVAL", LARGE, "1", &format!("large-{command}"), command]);
    }
    client.args(&["SET", "long", &"x".repeat(100_000)]);
    from.good("PEXPIRE text 100000");
    let keys: Vec<String> = from.good("KEYS *").texts();
    let digests = |server: &Server| -> Vec<_> {
        keys.iter().map(|key| server.good(&format!("DEBUG DIGEST-VALUE {key}"))).collect()
    };
    let before = digests(&from);
    let port = to.port().to_string();
    let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "60000", "KEYS", "absent"];
    words.extend(keys.iter().map(String::as_str));
    assert!(client.args(&words).is_ok());
    assert_eq!(digests(&to), before);
    assert_eq!((keys.len(), from.good("DBSIZE").int()), (12, 0));
    let left_ms = to.good("PTTL text").int();
    assert!((1..=100_000).contains(&left_ms), "{left_ms}");
    // Back again, into a database of its own, over connections of its own.
    let back = format!("MIGRATE 127.0.0.1 {} text 3 60000 COPY", from.port());
    to.good(&back);
    assert!(to.run(&back).error().ends_with("BUSYKEY Target key name already exists."));
    to.good(&format!("{back} REPLACE"));
    assert_eq!(to.info("stats").text("migrate_cached_sockets"), "1");
}

/// With a password that is wrong, or a database that is not there, nothing may land anywhere.
fn who_is_refused_keeps_the_key(from: Kind, to: Kind) {
    let (from, to) = (Server::of(from).start(), Server::of(to).start());
    from.good("SET k v");
    let migrate = |db: &str, auth: &str| {
        from.run(format!("MIGRATE 127.0.0.1 {} k {db} 60000 {auth}", to.port()).trim())
    };
    to.good("ACL SETUSER bob on >secret ~* +@all");
    let refused = migrate("0", "AUTH2 bob wrong");
    assert!(refused.error().contains("replied with error: WRONGPASS"), "{refused:?}");
    let refused = migrate("16", "");
    assert!(refused.error().contains("replied with error: ERR DB index is out"), "{refused:?}");
    assert_eq!(from.good("EXISTS k").int(), 1);
    to.good("FLUSHALL");
    assert!(migrate("2", "AUTH2 bob secret").is_ok());
    assert_eq!((from.good("EXISTS k").int(), to.good("DBSIZE").int()), (0, 0));
    assert_eq!(to.info("keyspace").text("db2").split(',').next(), Some("keys=1"));
}

pairings! { every_type_goes_over_and_is_the_same_there, who_is_refused_keeps_the_key }
