//! What a reply promises is so before it leaves, with a disk that lets wait.

mod common;

use common::{cluster_that_keeps, execute, held, is_blocked, run};
use engine::Settings;
use testkit::sim::Cluster;
use testkit::sim::disk::Fsync;
use testkit::sim::os::Keeps;

// `appendfsync always` answered before the disk had the write, and a power cut made a liar of it.
#[test]
fn the_reply_to_a_write_waits_for_the_disk_that_was_promised() {
    let keeps = Keeps::Aof(Fsync::Always);
    let mut cluster = cluster_that_keeps(keeps, 1, Settings::default());
    cluster.world.faults.fsync_fails = 1.0;
    let (writer, _) = run(&mut cluster, 0, &["SET key value"]);
    let (reader, _) = run(&mut cluster, 0, &["PING"]);
    assert_eq!((held(&cluster, 0, writer), held(&cluster, 0, reader)), ("+OK\r\n".len(), 0));
    // A rewrite makes good for what an fsync has lost.
    cluster.world.faults.fsync_fails = 0.0;
    assert!(cluster.run_while(5000, |c| held(c, 0, writer) > 0), "{}", cluster.report());
}

// Who writes all the time would get no answer at all: there is always a later write that waits.
#[test]
fn the_reply_to_a_write_leaves_while_that_to_the_next_one_waits() {
    let keeps = Keeps::Aof(Fsync::Everysec);
    let mut cluster = cluster_that_keeps(keeps, 1, Settings::default());
    let (writer, _) = run(&mut cluster, 0, &["SET key value"]);
    assert_eq!(held(&cluster, 0, writer), "+OK\r\n".len(), "the kernel does not have it yet");
    let Cluster { nodes, world, .. } = &mut cluster;
    nodes[0].turn(world, |node, os| {
        os.write_log();
        execute(node, os, writer, "STRLEN key");
        execute(node, os, writer, "APPEND key s");
    });
    assert_eq!(held(&cluster, 0, writer), ":5\r\n:6\r\n".len());
    assert!(cluster.run_while(5000, |c| held(c, 0, writer) > 0), "{}", cluster.report());
}

// Without a backlog there is no stream and nothing to count by: WAITAOF found every write on the disk already.
#[test]
fn waitaof_waits_for_the_disk_where_nobody_follows() {
    let keeps = Keeps::Aof(Fsync::Everysec);
    let mut cluster = cluster_that_keeps(keeps, 1, Settings::default());
    let (id, _) = run(&mut cluster, 0, &["SET key value", "WAITAOF 1 0 0"]);
    let waits = |cluster: &Cluster| is_blocked(cluster, 0, id);
    assert!(waits(&cluster), "the disk cannot have it yet");
    assert!(cluster.run_while(5000, waits), "{}", cluster.report());
}

// Somebody who has written nothing waits for offset 0, which replicas that are not there seemed to have.
#[test]
fn a_wait_for_replicas_that_are_not_there_waits() {
    let mut cluster = cluster_that_keeps(Keeps::Nothing, 1, Settings::default());
    let (id, _) = run(&mut cluster, 0, &["WAIT 1 100"]);
    let waits = |cluster: &Cluster| is_blocked(cluster, 0, id);
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
    assert!(is_blocked(&cluster, 0, pops));
    let go_on = |c: &Cluster| is_blocked(c, 0, waits) || is_blocked(c, 0, pops);
    assert!(cluster.run_while(5000, go_on), "{}", cluster.report());
    assert_eq!((held(&cluster, 0, waits), held(&cluster, 0, pops)), (0, 0));
    assert_eq!(held(&cluster, 0, writer), "+OK\r\n".len());
}

// Were the write not what the wait is for, a replica that has all but it would do.
#[test]
fn a_wait_is_for_the_write_before_it_and_for_no_earlier_one() {
    let mut cluster = cluster_that_keeps(Keeps::Nothing, 2, Settings::default());
    run(&mut cluster, 0, &["SET key value"]);
    let written = cluster.nodes[0].node.repl.offset();
    let acked = |c: &Cluster| c.nodes[0].node.repl.count_acked(written) == 1;
    assert!(cluster.run_while(5000, |c| !acked(c)), "{}", cluster.report());
    let (id, _) = run(&mut cluster, 0, &["SET key other", "WAIT 1 0"]);
    assert!(is_blocked(&cluster, 0, id));
    let needed = cluster.nodes[0].node.repl.offset();
    assert!(cluster.run_while(5000, |c| is_blocked(c, 0, id)), "{}", cluster.report());
    assert!(cluster.nodes[1].node.repl.offset() >= needed);
}
