//! How far a full sync is, told where operators look while they wait: the replica's INFO and log, and the master's
//! for replicas that cannot know.

use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Info, Kind, Server, fill};

const KEYS: usize = 60_000;

/// A master whose snapshots take a while, and go to replicas without a file, as they do by default.
fn slow_master(kind: Kind) -> Server {
    let master = Server::of(kind)
        .name("master")
        .set("repl-diskless-sync yes")
        .set("rdb-key-save-delay 100")
        .start();
    // So much that the replica hears of it long before the end.
    fill::many_keys(&mut master.client(), KEYS, 300);
    master.good("CONFIG SET rdbcompression no");
    master
}

fn is_halfway(percent: Option<&str>) -> bool {
    percent.and_then(|p| p.parse().ok()).is_some_and(|p: f64| p > 0.0 && p < 100.0)
}

fn tells_percent_speed_and_time_left(log: &str, start: &str) -> bool {
    let is_told = |line: &str| {
        line.contains("%)") && line.contains(" MB/s, ") && line.ends_with(" seconds left")
    };
    log.lines().any(|line| line.contains(start) && is_told(line))
}

/// `master_sync_perc:0.00` from the beginning to the end, with default settings: the master did not know
/// the size, and said nothing of the keys that it had written of all keys.
#[test]
fn a_diskless_sync_has_no_percent_and_no_time_left() {
    let master = slow_master(Kind::Tandem);
    let replica = Server::of(Kind::Tandem).name("replica").replica_of(&master).start();
    let mut seen = Info::parse("");
    wait_until(LONG, "the replica knows how far it is", || {
        seen = replica.info("replication");
        is_halfway(seen.find("master_sync_perc")) && seen.find("master_sync_seconds_left").is_some()
    });
    assert_eq!(seen.text("master_sync_total_bytes"), "0", "as with Redis: {seen}");
    assert!(seen.number::<u64>("master_sync_read_bytes") > 0, "{seen}");
    assert!(seen.number::<u64>("master_sync_estimated_total_bytes") > 0, "{seen}");
    assert_eq!(seen.number::<usize>("master_sync_keys_total"), KEYS, "{seen}");
    let written: usize = seen.number("master_sync_keys_written");
    assert!(written > 0 && written < KEYS, "{seen}");
    wait_until(LONG, "the replica's log tells percent, speed and time left", || {
        tells_percent_speed_and_time_left(&replica.log(), "MASTER <-> REPLICA sync: received ")
    });
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(replica.info("replication").find("master_sync_perc"), None);
}

/// Redis does not listen, so its master has to tell.
#[test]
fn a_sync_to_redis_tells_no_percent_on_the_masters_side() {
    let master = slow_master(Kind::Tandem);
    let replica = Server::of(Kind::Redis).name("replica").replica_of(&master).start();
    let mut seen = Info::parse("");
    wait_until(
        LONG,
        "the master knows how far it is with the snapshot and with the replica",
        || {
            seen = master.info("replication");
            is_halfway(seen.part("snapshot_for_slaves", "perc"))
                && is_halfway(seen.part("sync_to_slave0", "perc"))
        },
    );
    let keys = KEYS.to_string();
    assert_eq!(seen.part("snapshot_for_slaves", "keys_total"), Some(keys.as_str()), "{seen}");
    assert_eq!(seen.part("sync_to_slave0", "estimated"), Some("1"), "{seen}");
    for line in ["snapshot_for_slaves", "sync_to_slave0"] {
        let left = seen.part(line, "seconds_left").and_then(|left| left.parse::<u64>().ok());
        assert!(left.is_some(), "{line} tells the time left: {seen}");
    }
    // The line that others parse is Redis's, without a word more.
    let words: Vec<&str> =
        seen.text("slave0").split(',').map(|word| word.split('=').next().unwrap_or("")).collect();
    assert_eq!(words, ["ip", "port", "state", "offset", "lag"]);
    for start in ["Snapshot for replicas: ", "Sync with replica 127.0.0.1:"] {
        wait_until(LONG, "the master's log tells percent, speed and time left", || {
            tells_percent_speed_and_time_left(&master.log(), start)
        });
    }
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(master.info("replication").find("snapshot_for_slaves"), None);
}

/// Redis says nothing of its progress, and takes no notice of a replica that would listen.
#[test]
fn a_diskless_sync_from_redis_is_as_it_was() {
    let master = slow_master(Kind::Redis);
    let replica = Server::of(Kind::Tandem).name("replica").replica_of(&master).start();
    let mut seen = Info::parse("");
    wait_until(LONG, "the transfer is under way", || {
        seen = replica.info("replication");
        seen.find("master_sync_read_bytes").is_some_and(|read| read != "0")
    });
    assert_eq!(seen.text("master_sync_perc"), "0.00", "{seen}");
    assert_eq!(seen.text("master_sync_total_bytes"), "0", "{seen}");
    assert_eq!(seen.find("master_sync_estimated_total_bytes"), None, "{seen}");
    replica.wait_link_up();
    wait_equal(&master, &replica);
}
