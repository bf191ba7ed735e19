//! What a reply promises is so before it leaves, with a disk that lets wait.

mod common;

use common::{cluster_that_keeps, run};
use engine::{ClientId, Settings};
use testkit::sim::Cluster;
use testkit::sim::disk::Fsync;
use testkit::sim::os::Keeps;

/// Bytes of replies that have not left.
fn held(cluster: &Cluster, id: ClientId) -> usize {
    cluster.nodes[0].node.engine.client(id).expect("it stays").out.len_bytes()
}

// `appendfsync always` answered before the disk had the write, and a power cut made a liar of it.
#[test]
fn the_reply_to_a_write_waits_for_the_disk_that_was_promised() {
    let keeps = Keeps::Aof(Fsync::Always);
    let mut cluster = cluster_that_keeps(keeps, 1, Settings::default());
    cluster.world.faults.fsync_fails = 1.0;
    let (writer, _) = run(&mut cluster, 0, &["SET key value"]);
    let (reader, _) = run(&mut cluster, 0, &["PING"]);
    assert_eq!((held(&cluster, writer), held(&cluster, reader)), ("+OK\r\n".len(), 0));
    // A rewrite makes good for what an fsync has lost.
    cluster.world.faults.fsync_fails = 0.0;
    assert!(cluster.run_while(5000, |c| held(c, writer) > 0), "{}", cluster.report());
}

// Without a backlog there is no stream and nothing to count by: WAITAOF found every write on the disk already.
#[test]
fn waitaof_waits_for_the_disk_where_nobody_follows() {
    let keeps = Keeps::Aof(Fsync::Everysec);
    let mut cluster = cluster_that_keeps(keeps, 1, Settings::default());
    let (id, _) = run(&mut cluster, 0, &["SET key value", "WAITAOF 1 0 0"]);
    let waits = |cluster: &Cluster| {
        cluster.nodes[0].node.engine.client(id).is_some_and(|client| client.is_blocked())
    };
    assert!(waits(&cluster), "the disk cannot have it yet");
    assert!(cluster.run_while(5000, waits), "{}", cluster.report());
}

// Somebody who has written nothing waits for offset 0, which replicas that are not there seemed to have.
#[test]
fn a_wait_for_replicas_that_are_not_there_waits() {
    let mut cluster = cluster_that_keeps(Keeps::Nothing, 1, Settings::default());
    let (id, _) = run(&mut cluster, 0, &["WAIT 1 100"]);
    let waits = |cluster: &Cluster| {
        cluster.nodes[0].node.engine.client(id).is_some_and(|client| client.is_blocked())
    };
    assert!(waits(&cluster), "nobody is there");
    assert!(cluster.run_while(5000, waits), "its time is over: {}", cluster.report());
}

// While the disk refused, the end of a wait of somebody who had written nothing was not told before it recovered.
#[test]
fn a_wait_that_was_in_vain_is_told_whatever_the_disk_does() {
    let keeps = Keeps::Aof(Fsync::Always);
    let mut cluster = cluster_that_keeps(keeps, 1, Settings::default());
    // Before the disk refuses: then a command that may write is refused itself.
    let (pops, _) = run(&mut cluster, 0, &["BLPOP list 0.1"]);
    cluster.world.faults.fsync_fails = 1.0;
    let (writer, _) = run(&mut cluster, 0, &["SET key value"]);
    let (waits, _) = run(&mut cluster, 0, &["WAIT 1 100"]);
    let is_blocked = |c: &Cluster, id| c.nodes[0].node.engine.client(id).unwrap().is_blocked();
    assert!(is_blocked(&cluster, pops));
    let go_on = |c: &Cluster| is_blocked(c, waits) || is_blocked(c, pops);
    assert!(cluster.run_while(5000, go_on), "{}", cluster.report());
    assert_eq!((held(&cluster, waits), held(&cluster, pops)), (0, 0));
    assert_eq!(held(&cluster, writer), "+OK\r\n".len());
}
