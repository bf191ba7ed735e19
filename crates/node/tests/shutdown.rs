//! What a shutdown waits for: the replicas that are still behind, and nobody else.

mod common;

use common::{ask, cluster};
use engine::Settings;
use testkit::sim::Cluster;

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
