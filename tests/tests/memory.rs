//! What memory a server says it uses, and what it does when that is too much.

use tandem_tests::each_server;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, SHORT, wait_until};
use testkit::{Kind, Server};

fn used(server: &Server) -> i64 {
    server.info("memory").text("used_memory").parse().expect("a number")
}

/// Another thread frees a large value; and the request that made it was large too.
fn what_is_freed_elsewhere_is_not_counted_any_more(kind: Kind) {
    let server = Server::of(kind).start();
    let mut client = server.client();
    let before = used(&server);
    let members: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let words: Vec<&str> =
        ["SADD", "set"].into_iter().chain(members.iter().map(|m| &**m)).collect();
    assert_eq!(client.args(&words).int(), 100_000);
    assert!(used(&server) > before + 1_000_000);
    client.good("UNLINK set");
    wait_until(SHORT, "the memory is back", || {
        client.good("PING");
        used(&server) < before + 300_000
    });
}

/// The allocator's own figure went up and down by what its caches held: what a limit left room for
/// was a matter of luck.
fn as_many_keys_fit_a_second_time(kind: Kind) {
    let server = Server::of(kind).start();
    let mut client = server.client();
    let limit = used(&server) + 200_000;
    client.good("CONFIG SET maxmemory-policy allkeys-random");
    client.good(&format!("CONFIG SET maxmemory {limit}"));
    let mut fits = [0, 0];
    for (round, fits) in fits.iter_mut().enumerate() {
        client.good("FLUSHALL");
        let sets: Vec<Vec<String>> = (0..20_000)
            .map(|n| vec!["SET".to_string(), format!("key:{round}:{n}"), "value".to_string()])
            .collect();
        client.pipeline(&sets);
        *fits = client.good("DBSIZE").int();
        // Redis counts what it has read ahead of the pipeline until its cron makes that smaller.
        wait_until(SHORT, "no more is used than the limit says", || used(&server) < limit + 20_000);
    }
    assert!(fits[0] > 1_000 && fits[0].abs_diff(fits[1]) < fits[0] as u64 / 4, "{fits:?}");
}

/// The store counts by classes of eight bytes; an allocator that was built with others would take more than
/// is told.
#[test]
fn the_allocator_has_the_size_classes_that_the_store_counts_by() {
    let server = Server::of(Kind::Tandem).start();
    let report = server.good("MEMORY MALLOC-STATS").text().to_string();
    let quantum = report.lines().find(|line| line.starts_with("Quantum size:"));
    assert_eq!(quantum, Some("Quantum size: 8"), "{report}");
}

/// Nobody asks for memory: the setting alone evicts.
fn a_lower_limit_evicts_by_itself(kind: Kind) {
    let server = Server::of(kind).start();
    let mut client = server.client();
    client.good("SET k v");
    client.good("CONFIG SET maxmemory-policy allkeys-lru");
    client.good("CONFIG SET maxmemory 1");
    wait_until(SHORT, "the key is evicted", || server.info("stats").text("evicted_keys") == "1");
}

/// The reply was begun to be sent before anybody looked at its size.
fn a_reply_beyond_the_hard_limit_is_not_sent(kind: Kind) {
    let server = Server::of(kind).set("client-output-buffer-limit normal 100000 0 0").start();
    let mut client = server.client();
    for make in ["HSET hash f v", "SADD set m", "ZADD zset 1 m"] {
        client.good(make);
    }
    client.good(&format!("SET big {}", "x".repeat(200_000)));
    for greedy in [
        "GET big",
        "HRANDFIELD hash -999999999",
        "SRANDMEMBER set -999999999",
        "ZRANDMEMBER zset -999999999 WITHSCORES",
    ] {
        let mut greedy_client = server.client();
        let words: Vec<&str> = greedy.split(' ').collect();
        greedy_client.send(&words).expect("sent");
        assert!(greedy_client.read_reply().is_err(), "{greedy}");
    }
    client.good("PING");
}

/// Every evicted key made what waits for the clients that cache it longer than the key had been, so
/// that the next one had to go as well, until none was left.
fn what_clients_are_told_of_evicted_keys_evicts_no_more(kind: Kind) {
    const KEYS: i64 = 2_000;
    let server = Server::of(kind).start();
    let mut client = server.client();
    client.good("CONFIG SET maxmemory-policy allkeys-lru maxmemory-eviction-tenacity 100");
    let keys: Vec<String> = (0..KEYS).map(|n| format!("{n}:{}", "x".repeat(2_000))).collect();
    let sets: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, "v"]).collect();
    client.pipeline(&sets);
    let mut caching = [server.client(), server.client()];
    for caching in &mut caching {
        caching.good("HELLO 3");
        caching.good("CLIENT TRACKING on");
        for key in &keys {
            caching.args(&["GET", key]);
        }
    }
    // Buffers of clients may shrink meanwhile: then there is nothing to evict yet.
    let mut left = KEYS;
    wait_until(SHORT, "something is evicted", || {
        client.good(&format!("CONFIG SET maxmemory {}", used(&server) - 60_000));
        left = client.good("DBSIZE").int();
        left < KEYS
    });
    assert!(left > 0, "all keys are gone");
}

each_server! {
    what_is_freed_elsewhere_is_not_counted_any_more,
    a_lower_limit_evicts_by_itself,
    what_clients_are_told_of_evicted_keys_evicts_no_more,
    a_reply_beyond_the_hard_limit_is_not_sent,
    as_many_keys_fit_a_second_time,
}

/// Every second element of all types goes, and the pages that they were on stay: nothing is lost when the rest is
/// moved together, while clients write and a replica follows, and the memory is given back.
#[test]
fn active_defragmentation_gives_memory_back_and_changes_nothing() {
    let server = Server::of(Kind::Tandem).start();
    let mut client = server.client();
    let mut run = |commands: Vec<String>| {
        let words = |line: &String| line.split(' ').map(str::to_string).collect::<Vec<_>>();
        let replies = client.pipeline(&commands.iter().map(words).collect::<Vec<_>>());
        assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    };
    let text = "x".repeat(150);
    for begin in (0..200_000).step_by(10_000) {
        let numbers = begin..begin + 10_000;
        run(numbers.clone().map(|n| format!("SET key:{n} {text}{n} PX 100000000")).collect());
        run(numbers.clone().map(|n| format!("HSET hash field:{n} {text}{n}")).collect());
        run(numbers.clone().map(|n| format!("ZADD zset {n} member:{text}{n}")).collect());
        run(numbers.clone().map(|n| format!("SADD set member:{text}{n}")).collect());
        run(numbers.clone().map(|n| format!("RPUSH list:{} {text}{n}", n % 2)).collect());
        run(numbers
            .map(|n| format!("XADD stream:{} {}-1 field {text}{n}", n % 2, n + 1))
            .collect());
    }
    run((0..200_000)
        .step_by(100)
        .map(|n| format!("HPEXPIRE hash 100000000 FIELDS 1 field:{n}"))
        .collect());
    for begin in (0..200_000).step_by(10_000) {
        let numbers = (begin..begin + 10_000).step_by(2);
        run(numbers.clone().map(|n| format!("DEL key:{}", n + 1)).collect());
        run(numbers.clone().map(|n| format!("HDEL hash field:{}", n + 1)).collect());
        run(numbers.clone().map(|n| format!("ZREM zset member:{text}{}", n + 1)).collect());
        run(numbers.map(|n| format!("SREM set member:{text}{}", n + 1)).collect());
    }
    run(vec!["DEL list:1".into(), "DEL stream:1".into()]);
    let ratio =
        || server.info("memory").text("allocator_frag_ratio").parse::<f64>().expect("a ratio");
    let before = ratio();
    assert!(before > 1.4, "{before}");
    let replica = Server::of(Kind::Tandem).replica_of(&server).start();
    replica.wait_link_up();
    let mut client = server.client();
    client.good("CONFIG SET active-defrag-ignore-bytes 1mb active-defrag-threshold-lower 5 active-defrag-cycle-min 60 active-defrag-cycle-max 75 activedefrag yes");
    wait_until(SHORT, "it has begun", || {
        server.info("stats").text("active_defrag_hits").parse::<u64>().expect("a number") > 1000
    });
    for n in 0..2_000 {
        client.good(&format!("SET key:{n} new"));
        client.good(&format!("HSET hash field:{n} new"));
        client.good(&format!("ZADD zset {} member:{text}{n}", n + 7));
        client.good("LPOP list:0");
    }
    wait_until(LONG, "it is done", || {
        server.info("memory").text("active_defrag_running") == "0" && ratio() < 1.15
    });
    wait_equal(&server, &replica);
    assert_eq!(server.good("DBSIZE"), replica.good("DBSIZE"));
    // What is looked up by its place is found, and so is what is found by its expiry.
    client.good("CONFIG SET activedefrag no");
    for n in (2_000..200_000).step_by(2) {
        assert_eq!(client.good(&format!("PEXPIRE key:{n} 1 XX")).int(), 1);
    }
    wait_until(LONG, "they expire", || server.good("DBSIZE").int() < 3_000);
    assert_eq!(client.good("HPERSIST hash FIELDS 1 field:100000").items()[0].int(), 1);
}
