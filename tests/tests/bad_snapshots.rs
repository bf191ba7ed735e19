//! Snapshots whose checksum is right and whose content is not: nobody may lose anything by them.
//!
//! Redis ends itself on meeting one, so that the casts here are of Tandem alone.

use persist::crc::crc64;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Answer, FakeMaster, Kind, Server};

/// A snapshot of `body` between its header and its end, with a right checksum.
fn snapshot(body: &[u8]) -> Vec<u8> {
    let mut bytes = [b"REDIS0011", body, b"\xff"].concat();
    bytes.extend(crc64(0, &bytes).to_le_bytes());
    bytes
}

/// Good keys first, so that a load in place would have replaced something before it fails.
const GOOD: &[u8] = b"\xfe\x00\x00\x03new\x05value";

fn bad_snapshots() -> Vec<(&'static str, Vec<u8>)> {
    let bad = |name, tail: &[u8]| (name, snapshot(&[GOOD, tail].concat()));
    vec![
        bad("a database that is not there", b"\xfe\x40\x63\x00\x01k\x01v"),
        bad("an opcode that is none", b"\xf3\x01k\x01v"),
        bad("a value type that is none", b"\x63\x01k\x01v"),
        bad("a set with a member twice", b"\x02\x01s\x02\x01a\x01a"),
        bad("a key that is there twice", b"\x00\x03new\x05again"),
        bad("a listpack that is none", b"\x10\x01h\x03abc"),
        bad("a compressed string that is none", b"\x00\x01k\xc3\x02\x05\xff\xff"),
        bad("a stream's database that is not there", b"\xfa\x0erepl-stream-db\x0299"),
        bad("a stream's database that is no number", b"\xfa\x0erepl-stream-db\x03abc"),
        bad("an offset that is no number", b"\xfa\x0brepl-offset\x01x"),
        bad("something behind the end", b"\xff\x01k"),
    ]
}

const OTHER_ID: &str = "00112233445566778899aabbccddeeff00112233";

fn master_of(snapshot: Vec<u8>) -> FakeMaster {
    FakeMaster::start(move |command| {
        let word = command.split(' ').next().unwrap_or("").to_ascii_uppercase();
        match word.as_str() {
            // Nobody answers these: it would be bytes in the middle of the stream.
            _ if command.starts_with("REPLCONF ACK ") => Answer::Nothing,
            "PING" => Answer::text("+PONG\r\n"),
            "REPLCONF" => Answer::text("+OK\r\n"),
            "PSYNC" => {
                let head = format!("+FULLRESYNC {OTHER_ID} 100\r\n${}\r\n", snapshot.len());
                Answer::Bytes([head.as_bytes(), &snapshot].concat())
            }
            _ => Answer::Nothing,
        }
    })
}

fn wait_refused(replica: &Server, times: usize) {
    const REFUSED: &str = "Failed trying to load the MASTER synchronization DB";
    wait_until(LONG, "the snapshot was refused", || {
        replica.log().matches(REFUSED).count() >= times
    });
}

/// The checksum of a snapshot that named database 99 was right, so the replica dropped its data,
/// replaced its RDB file by that one, failed to load it, and at the next start failed again.
fn nothing_is_lost_by_a_bad_snapshot(diskless_load: &str) {
    let master = Server::of(Kind::Tandem).name("master").start();
    master.good("SET old value");
    master.good("RPUSH list a b c");
    let replica = Server::of(Kind::Tandem)
        .name("replica")
        .set(&format!("repl-diskless-load {diskless_load}"))
        .replica_of(&master)
        .start();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    replica.good("SAVE");
    let (digest, file) = (replica.digest(), replica.read_file("dump.rdb"));
    for (round, (what, bytes)) in bad_snapshots().into_iter().enumerate() {
        let fake = master_of(bytes);
        replica.good(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
        wait_refused(&replica, round + 1);
        wait_until(LONG, "the old data is served again", || {
            replica.run("GET old") == testkit::Reply::Bulk(b"value".to_vec())
        });
        assert_eq!(replica.digest(), digest, "{what}");
        assert_eq!(replica.read_file("dump.rdb"), file, "{what}");
        // The history is the old one too: its master has no more to send than what came since.
        replica.good(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
        replica.wait_link_up();
        assert_eq!(master.sync_counts().full, 1, "{what}: {}", replica.log());
        drop(fake);
    }
    wait_until(LONG, "nothing of them is left on the disk", || {
        !replica.files("").iter().any(|name| name.starts_with("temp-"))
    });
    master.good("SET after 1");
    wait_equal(&master, &replica);
}

#[test]
fn a_bad_snapshot_costs_neither_the_data_nor_the_file() {
    nothing_is_lost_by_a_bad_snapshot("disabled");
}

#[test]
fn a_bad_snapshot_costs_nothing_with_swapdb() {
    nothing_is_lost_by_a_bad_snapshot("swapdb");
}

/// An empty data set is one as well: it has a history that can be resumed.
#[test]
fn a_bad_snapshot_costs_an_empty_replica_neither_its_history_nor_its_file() {
    for diskless_load in ["disabled", "on-empty-db"] {
        let master = Server::of(Kind::Tandem).name("master").start();
        master.good("SET k v");
        master.good("DEL k");
        let replica = Server::of(Kind::Tandem)
            .name("replica")
            .set(&format!("repl-diskless-load {diskless_load}"))
            .replica_of(&master)
            .start();
        replica.wait_link_up();
        master.good("SET k v");
        master.good("DEL k");
        wait_equal(&master, &replica);
        replica.good("SAVE");
        let file = replica.read_file("dump.rdb");
        let (_, bytes) = bad_snapshots().swap_remove(0);
        let fake = master_of(bytes);
        replica.good(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
        wait_refused(&replica, 1);
        assert_eq!(replica.good("DBSIZE").int(), 0);
        assert_eq!(replica.read_file("dump.rdb"), file);
        replica.good(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
        replica.wait_link_up();
        assert_eq!(master.sync_counts().full, 1, "{diskless_load}");
    }
}

/// A fresh replica has no data, but it may have found a file that it did not load.
#[test]
fn a_bad_snapshot_does_not_replace_the_file_of_a_fresh_replica() {
    let (_, bytes) = bad_snapshots().swap_remove(0);
    let fake = master_of(bytes);
    let mut replica = Server::of(Kind::Tandem)
        .set("appendonly yes")
        .set("appenddirname other")
        .replica_of_port(fake.port())
        .prepare();
    replica.write_file("dump.rdb", b"somebody's");
    replica.start_again();
    wait_refused(&replica, 2);
    assert_eq!(replica.read_file("dump.rdb"), b"somebody's");
    assert_eq!(replica.good("DBSIZE").int(), 0);
}

/// One that is good is installed as ever.
#[test]
fn a_good_snapshot_replaces_data_and_file() {
    let good = snapshot(GOOD);
    let fake = master_of(good.clone());
    let replica = Server::of(Kind::Tandem).start();
    replica.good("SET old value");
    replica.good("SAVE");
    replica.good(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    replica.wait_link_up();
    assert_eq!(replica.good("KEYS *").texts(), ["new"]);
    assert_eq!(replica.read_file("dump.rdb"), good);
}

#[test]
fn a_bad_file_ends_a_start_with_its_reason_and_stays() {
    for (what, bytes) in bad_snapshots() {
        let mut server = Server::of(Kind::Tandem).prepare();
        server.write_file("dump.rdb", &bytes);
        server.spawn();
        assert_eq!(server.wait_exit().code(), Some(1), "{what}: {}", server.log());
        assert!(server.log().contains("Error while loading the RDB data"), "{what}");
        assert_eq!(server.read_file("dump.rdb"), bytes, "{what}");
    }
}

#[test]
fn debug_reload_of_a_bad_file_keeps_the_data() {
    for (what, bytes) in bad_snapshots() {
        let server = Server::of(Kind::Tandem).start();
        server.good("SET old value");
        server.write_file("dump.rdb", &bytes);
        let digest = server.digest();
        let reply = server.run("DEBUG RELOAD NOSAVE");
        assert!(reply.error().contains("Error trying to load"), "{what}: {reply:?}");
        assert_eq!(server.digest(), digest, "{what}");
    }
}
