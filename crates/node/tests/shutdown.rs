//! What a shutdown waits for: the replicas that are still behind, and nobody else.

mod common;

use common::{ask, cluster, cluster_that_keeps, execute, is_blocked, run};
use engine::Settings;
use testkit::sim::Cluster;
use testkit::sim::disk::{Crash, Fsync};
use testkit::sim::os::Keeps;

// A planned restart with a failover behind it lost the writes of the last milliseconds.
#[test]
fn a_shutdown_waits_until_its_replicas_have_everything_and_no_longer() {
    let mut cluster = cluster(3, Settings::default());
    ask(&mut cluster, 0, &["SET key value", "SHUTDOWN"]);
    let written = cluster.nodes[0].node.repl.offset();
    assert!(cluster.nodes[0].node.is_shutting_down());
    assert!(!cluster.nodes[0].machine.has_ended, "nobody has the write yet");
    assert!(cluster.run_while(5000, |c| c.is_up(0)), "{}", cluster.report());
    for replica in &cluster.nodes[1..] {
        assert!(replica.node.repl.offset() >= written);
    }
}

#[test]
fn a_shutdown_that_must_be_now_waits_for_nobody() {
    let mut cluster = cluster(2, Settings::default());
    ask(&mut cluster, 0, &["SET key value", "SHUTDOWN NOW"]);
    assert!(cluster.nodes[0].machine.has_ended);
}

#[test]
fn a_shutdown_waits_for_no_replica_that_has_yet_to_copy_everything() {
    let mut cluster = cluster(2, Settings::default());
    cluster.replicaof(1, None);
    cluster.replicaof(1, Some(0));
    let copies = |cluster: &Cluster| {
        let master = &cluster.nodes[0].node;
        master.repl.view(master.now_ms()).replicas.iter().any(|r| r.state == "wait_bgsave")
    };
    // It is over within milliseconds, so that nobody may look away.
    while !copies(&cluster) {
        cluster.run_for(1);
        assert!(cluster.world.now_ms < 20_000, "{}", cluster.report());
    }
    ask(&mut cluster, 0, &["SET key value", "SHUTDOWN"]);
    assert!(cluster.nodes[0].machine.has_ended);
}

const REFUSED: &str = "-ERR Errors trying to SHUTDOWN. Check logs.\r\n";

// A replica whose host is dark would keep its master from ever ending.
#[test]
fn a_shutdown_waits_for_no_replica_beyond_its_time() {
    let mut cluster = cluster(2, Settings::default());
    cluster.crash(1, Crash::PowerCut);
    ask(&mut cluster, 0, &["SET key value", "SHUTDOWN"]);
    let node = &cluster.nodes[0].node;
    assert_eq!(node.shutdown_deadline_us(), Some(node.now().mono_us + 10_000_000));
    cluster.run_for(9_900);
    assert!(cluster.is_up(0), "there is time left");
    cluster.run_for(200);
    assert!(!cluster.is_up(0), "{}", cluster.report());
}

#[test]
fn a_shutdown_that_is_aborted_leaves_everything_as_it_was() {
    let mut cluster = cluster(2, Settings::default());
    cluster.crash(1, Crash::PowerCut);
    let (asks, _) = run(&mut cluster, 0, &["SET key value", "SHUTDOWN"]);
    let (writes, _) = run(&mut cluster, 0, &["SET key other"]);
    assert!(is_blocked(&cluster, 0, asks) && is_blocked(&cluster, 0, writes));
    let Cluster { nodes, world, .. } = &mut cluster;
    nodes[0].turn(world, |node, os| {
        execute(node, os, writes, "SHUTDOWN ABORT");
        let told = node.engine.client(asks).expect("it stays").out.to_vec();
        assert_eq!(String::from_utf8_lossy(&told), REFUSED);
    });
    assert!(!cluster.nodes[0].node.is_shutting_down());
    assert!(!is_blocked(&cluster, 0, asks) && !is_blocked(&cluster, 0, writes));
    assert_eq!(ask(&mut cluster, 0, &["SET key value"]), "+OK\r\n");
    cluster.run_for(20_000);
    assert!(cluster.is_up(0), "{}", cluster.report());
}

#[test]
fn only_a_shutdown_that_is_under_way_can_be_aborted() {
    let mut cluster = cluster(1, Settings::default());
    let Cluster { nodes, world, .. } = &mut cluster;
    nodes[0].turn(world, |node, os| assert!(!node.abort_shutdown(os)));
    let reply = ask(&mut cluster, 0, &["SHUTDOWN ABORT"]);
    assert_eq!(reply, "-ERR No shutdown in progress.\r\n");
}

// What only the memory has would be lost.
#[test]
fn a_server_whose_disk_refuses_stays_and_says_so() {
    let keeps = Keeps::Aof(Fsync::Everysec);
    let mut cluster = cluster_that_keeps(keeps, 1, Settings::default());
    cluster.world.faults.write_fails = 1.0;
    assert_eq!(ask(&mut cluster, 0, &["SET key value", "SHUTDOWN NOW"]), REFUSED);
    assert!(!cluster.nodes[0].node.is_shutting_down());
    assert!(!cluster.nodes[0].machine.has_ended);
}
