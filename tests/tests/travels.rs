//! What travels to a replica that knows less than its master, or reads and computes differently: everything that
//! the master has done is there all the same.
//!
//! The peer is Debian's Redis 7.0, or the program that `TANDEM_PEER_SERVER` names.

use tandem_tests::each_server;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Reply, Server};

const PEER: &str = "TANDEM_PEER_SERVER";

/// A master of ours and a replica of this kind, whose link is up.
fn linked(kind: Kind) -> (Server, Server) {
    let master = Server::of(Kind::Tandem).name("master").start();
    let replica = match std::env::var(PEER) {
        Ok(program) if kind == Kind::Redis => Server::of(kind).program(program),
        _ => Server::of(kind),
    };
    let replica = replica.name("replica").replica_of(&master).start();
    replica.wait_link_up();
    (master, replica)
}

fn run_all(client: &mut Client, commands: &[&str]) {
    for command in commands {
        client.good(command);
    }
}

fn pending(client: &mut Client) -> Vec<Reply> {
    let summaries = ["XPENDING s g", "XPENDING s h", "XINFO GROUPS s"];
    summaries.iter().map(|command| client.good(command)).collect()
}

/// Redis 7.0 knows neither the commands nor the options.
fn deletions_that_mind_references_reach_who_does_not_know_them(r: Kind) {
    let (master, replica) = linked(r);
    let mut client = master.client();
    run_all(&mut client, &["XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE s h 0"]);
    for id in 1..=60 {
        client.good(&format!("XADD s {id} a b"));
    }
    run_all(
        &mut client,
        &[
            "XREADGROUP GROUP g ann STREAMS s >",
            "XREADGROUP GROUP h bob STREAMS s >",
            "XACK s g 1 4 6 7 8 20 21 22 40 41",
            "XACK s h 1 2 4 5 6 7 8 21 23 40",
            "XDELEX s IDS 2 1 99",
            "XDELEX s DELREF IDS 2 3 5",
            "XDELEX s ACKED IDS 4 2 4 6 9",
            "XACKDEL s g IDS 2 10 11",
            "XACKDEL s g DELREF IDS 2 12 13",
            "XACKDEL s h ACKED IDS 3 14 20 21",
            "XTRIM s MAXLEN 40 KEEPREF",
            "XTRIM s MINID = 30 DELREF",
            "XTRIM s MAXLEN 10 ACKED",
            "XADD s DELREF MAXLEN = 25 61 a b",
            "XADD s ACKED MINID ~ 60 62-* a b",
            "XADD s KEEPREF 63 a b",
            "XREADGROUP GROUP g cleo CLAIM 0 COUNT 5 STREAMS s >",
        ],
    );
    wait_equal(&master, &replica);
    let ours = pending(&mut client);
    wait_until(LONG, "groups are the same", || pending(&mut replica.client()) == ours);
}

fn conditions_and_counters_reach_who_does_not_know_them(r: Kind) {
    let (master, replica) = linked(r);
    run_all(
        &mut master.client(),
        &[
            "SET a 1",
            "SET a 2 IFEQ 1 EX 1000",
            "SET b x IFNE y",
            "MSETEX 2 c 1 d 2 EX 1000",
            "SET e v",
            "DELIFEQ e v",
            "DELEX b IFEQ x",
            "INCREX n BYINT 5 UBOUND 8 EX 100",
            "INCREX n BYINT 5 UBOUND 8 SATURATE",
            "SET x abc",
            "SET y abd",
            "BITOP DIFF z x y",
            "BITOP ANDOR w x y x",
            "BITOP ONE v x y",
        ],
    );
    wait_equal(&master, &replica);
}

/// What is written as a number, and what is computed with one, is not alike everywhere.
fn odd_numbers_and_results_reach_who_comes_to_others(r: Kind) {
    let (master, replica) = linked(r);
    let mut client = master.client();
    for n in 0..300 {
        client.good(&format!("ZADD large {} m{n:03}", n * 7 % 11));
        client.good(&format!("ZADD small {} m{:03}", n % 5, n % 100));
    }
    run_all(
        &mut client,
        &[
            "ZADD z 0x1p3 a 0X10 b 5. c 1e2 d",
            "ZADD z INCR 0x1 a",
            "ZINCRBY z 0x2 b",
            "INCRBYFLOAT f 0.1",
            "INCRBYFLOAT f 0.2",
            "HINCRBYFLOAT h f 1e2",
            "HINCRBYFLOAT h f 0.1",
            "ZREMRANGEBYSCORE large (0x9 +inf",
            "ZREMRANGEBYLEX large [m050 [m070",
            "ZREMRANGEBYLEX small [m010 [m070",
            "ZRANGESTORE lex large [m100 [m200 BYLEX",
            "ZRANGESTORE score large 0x1 0x2 BYSCORE",
            "ZUNIONSTORE weighed 2 z large WEIGHTS 0x2 1",
            "ZADD r1 0.1 m",
            "ZADD r2 0.2 m",
            "ZADD r3 0.3 m",
            "ZUNIONSTORE sum 3 r1 r2 r3",
            "ZINTERSTORE sum2 3 r3 r2 r1",
            "RPUSH l 3 1 2 11",
            "SORT l BY none_* ALPHA STORE sorted",
            "SORT l STORE sorted2",
            "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
            "GEORADIUS g 15 37 200 km STOREDIST far",
            "GEOSEARCHSTORE near g FROMLONLAT 15 37 BYBOX 400 400 km",
            "SADD set a b c d e f g",
            "SPOP set 3",
            "SPOP set",
        ],
    );
    // Digests of scores with a fraction differ between versions of Redis, for these print them differently.
    let fractions = ["r1", "r2", "r3", "sum", "sum2", "far"];
    let scores = |client: &mut Client| {
        let read = |text: String| text.parse::<f64>().unwrap_or(f64::NAN);
        let members = |key: &&str| client.good(&format!("ZRANGE {key} 0 -1 WITHSCORES")).texts();
        let all: Vec<String> = fractions.iter().flat_map(members).collect();
        all.into_iter().skip(1).step_by(2).map(read).collect::<Vec<f64>>()
    };
    let ours = scores(&mut client);
    assert_eq!(ours.len(), 7);
    wait_until(LONG, "scores are the same", || scores(&mut replica.client()) == ours);
    client.good(&format!("DEL {}", fractions.join(" ")));
    wait_equal(&master, &replica);
}

/// Who knows no expiries of fields skipped them, with the transactions that they stood in, and nobody was told. Now
/// it is disconnected, refuses the snapshot, and keeps what it has; others load it, and go on from then on.
fn expiring_fields_reach_who_knows_them_and_nobody_else(r: Kind) {
    let (master, replica) = linked(r);
    let mut client = master.client();
    run_all(
        &mut client,
        &[
            "SET before 1",
            "HSETEX h EX 1000 FIELDS 2 a 1 b 2",
            "HSETEX h KEEPTTL FIELDS 1 a 5",
            "HINCRBYFLOAT h a 0.5",
            "HSETEX h FNX PX 1 FIELDS 1 gone 1",
            "HGETEX h EX 2000 FIELDS 1 b",
            "HSETEX h EX 1000 FIELDS 1 c 3",
            "HGETDEL h FIELDS 1 c",
            "HSETEX h FXX FIELDS 1 b 7",
        ],
    );
    if replica.run("HPTTL h FIELDS 1 a").is_error() {
        replica.wait_log("Can't handle RDB format version 12");
        master.wait_log("Fields of hashes expire from now on");
        assert!(!replica.link_is_up());
        assert_eq!(replica.good("EXISTS h").int(), 0, "it has nothing rather than a part");
        return;
    }
    wait_until(LONG, "the field expires", || client.good("HLEN h").int() == 2);
    replica.wait_link_up();
    wait_until(LONG, "all of it is there", || {
        replica.replication_offset() >= master.replication_offset()
    });
    let fields = |client: &mut Client| {
        let mut words = client.good("HGETALL h").texts();
        words.sort();
        (words, client.good("HPEXPIRETIME h FIELDS 2 a b"))
    };
    let ours = fields(&mut client);
    wait_until(LONG, "the fields are the same", || fields(&mut replica.client()) == ours);
    // Once is enough, when the master has heard that it was loaded.
    wait_until(LONG, "it acknowledges", || {
        let info = master.info("replication");
        let acked = info.part("slave0", "offset").and_then(|offset| offset.parse::<i64>().ok());
        acked.is_some_and(|acked| acked >= master.replication_offset())
    });
    let full = master.sync_counts().full;
    client.good("CLIENT KILL TYPE replica");
    client.good("HSETEX h EX 10000 FIELDS 1 z 1");
    wait_until(LONG, "it goes on", || replica.good("HEXISTS h z").int() == 1);
    assert_eq!(master.sync_counts().full, full);
    assert!(full <= 2);
}

/// A payload of a newer version is refused by older servers.
fn restored_payloads_reach_who_refuses_them(r: Kind) {
    let (master, replica) = linked(r);
    let mut client = master.client();
    client.good("SADD s a b c");
    let code = "#!lua name=l\nredis.register_function('f', function() return 1 end)";
    assert!(!client.args(&["FUNCTION", "LOAD", code]).is_error());
    let as_newer = |payload: Reply| {
        let Reply::Bulk(mut payload) = payload else { panic!("{payload:?}") };
        let footer = payload.len() - 10;
        payload[footer..footer + 2].copy_from_slice(&[12, 0]);
        persist::rdb::with_own_checksum(&payload)
    };
    let payload = as_newer(client.good("DUMP s"));
    assert!(client.args(&[b"RESTORE".as_slice(), b"t", b"0", &payload]).is_ok());
    assert!(client.args(&[b"RESTORE".as_slice(), b"u", b"100000", &payload, b"REPLACE"]).is_ok());
    let libraries = as_newer(client.good("FUNCTION DUMP"));
    client.good("FUNCTION FLUSH");
    assert!(client.args(&[b"FUNCTION".as_slice(), b"RESTORE", &libraries]).is_ok());
    wait_equal(&master, &replica);
    assert_eq!(replica.good("FUNCTION LIST").items().len(), 1);
    assert_eq!(replica.good("SCARD t").int(), 3);
    assert!(replica.good("PTTL u").int() > 0);
}

each_server! {
    deletions_that_mind_references_reach_who_does_not_know_them,
    conditions_and_counters_reach_who_does_not_know_them,
    odd_numbers_and_results_reach_who_comes_to_others,
    expiring_fields_reach_who_knows_them_and_nobody_else,
    restored_payloads_reach_who_refuses_them,
}
