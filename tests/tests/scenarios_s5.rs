//! Scenario S5, running it for years: each test is named after its line of the scenarios. The power cut of S5.5 is
//! in sentinel.rs.

use tandem_tests::sentinel::Sentinel;
use tandem_tests::{each_server, pairings, python};
use testkit::load::Load;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Kind, Server, ServerBuilder};

struct Watched {
    sentinels: Vec<Sentinel>,
    replicas: [Server; 2],
    master: Server,
}

/// A master and two replicas, watched by three sentinels that know all.
fn watched(m: Kind, r: Kind) -> Watched {
    let builder = |kind, name| Server::of(kind).name(name).set("appendonly yes");
    let master = builder(m, "master").start();
    let replica = |name| builder(r, name).replica_of(&master).start();
    let replicas = [replica("replica 1"), replica("replica 2")];
    replicas.iter().for_each(Server::wait_link_up);
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::patient(master.port())).collect();
    wait_until(LONG, "the sentinels know all", || sentinels.iter().all(|s| s.knows_all("2")));
    Watched { sentinels, replicas, master }
}

/// Sentinel watches the master, promotes a replica, reconfigures the other, and tells clients.
fn s5_1_sentinel_promotes_reconfigures_and_tells_clients(m: Kind, r: Kind) {
    let Watched { sentinels, replicas, mut master } = watched(m, r);
    let old = master.port().to_string();
    let mut told = sentinels[0].client();
    told.args(&["SUBSCRIBE", "+switch-master"]);
    master.good("SET before yes");
    replicas.iter().for_each(|replica| wait_equal(&master, replica));
    master.kill();

    let message = told.read_reply().expect("the client is told").texts();
    let words: Vec<&str> = message[2].split(' ').collect();
    let ["m", "127.0.0.1", from, "127.0.0.1", to] = words[..] else { panic!("{message:?}") };
    assert_eq!(from, old);
    wait_until(LONG, "every sentinel names the promoted", || {
        sentinels.iter().all(|s| s.field("port").as_deref() == Some(to))
    });
    let asked = sentinels[1].client().args(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"]).texts();
    assert_eq!(asked, ["127.0.0.1", to]);
    let (new, other) = match replicas[0].port().to_string() == to {
        true => (&replicas[0], &replicas[1]),
        false => (&replicas[1], &replicas[0]),
    };
    assert_eq!(new.info("replication").text("role"), "master");
    new.good("SET after yes");
    wait_until(LONG, "the other follows the promoted", || {
        other.info("replication").find("master_port") == Some(to) && other.link_is_up()
    });
    master.start_again();
    wait_until(LONG, "the old master follows, too", || {
        master.info("replication").find("master_port") == Some(to) && master.link_is_up()
    });
    for replica in [other, &master] {
        wait_equal(new, replica);
        assert_eq!(replica.good("MGET before after").texts(), ["yes", "yes"]);
    }
}

/// A client library with a master and replica pool reads from replicas and writes to the master.
fn s5_3_reads_scale_over_replicas(kind: Kind) {
    let Watched { sentinels, replicas, master } = watched(kind, kind);
    let [first, second] = &replicas;
    let ports = [sentinels[0].port(), master.port(), first.port(), second.port()];
    python::run_script("master_and_replicas.py", &ports);
}

/// With writes all the time and a backlog of next to nothing, a sync ends and is not begun again: what is written
/// meanwhile is kept for the replica, whatever the backlog's size.
fn s5_4_a_backlog_too_small_for_the_load_is_no_loop_of_full_syncs(m: Kind, r: Kind) {
    let builder = |kind, name| -> ServerBuilder {
        Server::of(kind).name(name).set("repl-backlog-size 16kb").set("repl-diskless-sync-delay 0")
    };
    let master = builder(m, "master").start();
    testkit::fill::many_keys(&mut master.client(), 20_000, 100);
    let load = Load::start(&master);
    load.wait_progress(1000);
    let replica = builder(r, "replica").replica_of(&master).start();
    replica.wait_link_up();
    load.wait_progress(5000);
    load.stop();
    wait_equal(&master, &replica);
    assert_eq!(master.sync_counts().full, 1, "{}", replica.log());
}

pairings! {
    s5_1_sentinel_promotes_reconfigures_and_tells_clients,
    s5_4_a_backlog_too_small_for_the_load_is_no_loop_of_full_syncs,
}

each_server! { s5_3_reads_scale_over_replicas }
