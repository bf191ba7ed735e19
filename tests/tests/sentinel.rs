//! Servers under Debian's redis-sentinel: who is promoted stays promoted, whatever is started again.

use tandem_tests::sentinel::Sentinel;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_for, wait_until};
use testkit::{Kind, Server};

fn server(name: &str) -> Server {
    Server::of(Kind::Tandem).name(name).set("appendonly yes").set("appendfsync always").prepare()
}

fn is_master(server: &Server) -> bool {
    server.info("replication").text("role") == "master"
}

fn directive(server: &Server, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(server.config_path()).expect("the config is read");
    text.lines().find(|line| line.starts_with(name)).map(str::to_string)
}

/// REPLICAOF took effect behind EXEC, so that the CONFIG REWRITE that Sentinel sends along saved the old
/// role: after the next start the promoted server asked its former master for its data.
#[test]
fn replicaof_inside_exec_takes_effect_in_its_place() {
    let master = Server::of(Kind::Tandem).name("master").start();
    let replica = Server::of(Kind::Tandem).name("replica").replica_of(&master).start();
    replica.wait_link_up();

    let mut client = replica.client();
    for line in
        ["MULTI", "REPLICAOF NO ONE", "CONFIG REWRITE", "ROLE", "CONFIG GET replicaof", "EXEC"]
    {
        client.good(line);
    }
    assert_eq!(directive(&replica, "replicaof"), None, "the new role is in the file");
    assert!(is_master(&replica));

    let port = master.port();
    client.good("MULTI");
    client.good("SET before 1");
    client.good(&format!("REPLICAOF 127.0.0.1 {port}"));
    for line in ["CONFIG REWRITE", "ROLE", "INFO replication", "SET after 1"] {
        client.good(line);
    }
    let reply = client.run("EXEC");
    let replies = reply.items();
    assert_eq!(replies[3].items()[0].text(), "slave");
    assert!(replies[4].text().contains("role:slave"), "{replies:?}");
    assert!(replies[5].is_ok(), "{replies:?}");
    assert_eq!(directive(&replica, "replicaof"), Some(format!("replicaof 127.0.0.1 {port}")));
}

/// What stands behind REPLICAOF is answered and done as by Redis; with its next master going on from an offset
/// that does not know of it, the write stayed, and only there.
#[test]
fn a_write_behind_replicaof_in_one_exec_lets_the_data_differ() {
    let old = Server::of(Kind::Tandem).name("old").set("repl-ping-replica-period 3600").start();
    let new = Server::of(Kind::Tandem).name("new").replica_of(&old).start();
    new.wait_link_up();
    old.wait_online_replicas(1);
    new.good("REPLICAOF NO ONE");
    let mut client = old.client();
    for line in ["MULTI", &format!("REPLICAOF 127.0.0.1 {}", new.port()), "SET stray v"] {
        client.good(line);
    }
    assert_eq!(client.good("EXEC").texts(), ["OK", "OK"]);
    old.wait_link_up();
    wait_equal(&new, &old);
    assert_eq!(old.good("EXISTS stray").int(), 0);
    assert_eq!(new.sync_counts().full, 1);
    assert!(old.run("SET k v").error().starts_with("READONLY"));
}

/// A role that changes in the middle of a transaction cuts its effects in two: were those before it not
/// sent first, they would be in the data but not in the history that the new master is asked to go on from.
#[test]
fn a_write_before_replicaof_in_one_exec_reaches_the_replicas() {
    let old = Server::of(Kind::Tandem).name("old").start();
    let new = Server::of(Kind::Tandem).name("new").replica_of(&old).start();
    new.wait_link_up();
    old.wait_online_replicas(1);
    let offset = old.replication_offset();
    let mut client = old.client();
    client.good("MULTI");
    client.good("SET k v");
    client.good(&format!("REPLICAOF 127.0.0.1 {}", new.port()));
    client.good("EXEC");
    wait_until(LONG, "the write has reached the new master", || new.good("EXISTS k").int() == 1);
    assert!(old.replication_offset() > offset);
    new.good("REPLICAOF NO ONE");
    old.wait_link_up();
    assert_eq!(old.good("GET k").text(), "v");
    wait_equal(&new, &old);
    assert_eq!(new.sync_counts().full, 0, "nothing keeps the two from going on");
}

/// Kill the master, let Sentinel promote, write, kill everything, start everything: the write was gone
/// on both, because the promoted server had come up as a replica of the old master.
#[test]
fn s5_5_a_failover_by_sentinel_survives_a_power_cut_of_everything() {
    let mut servers = [server("one"), server("two")];
    let first = servers[0].port();
    servers[1].edit_config(|text| format!("{text}replicaof 127.0.0.1 {first}\n"));
    servers[0].start_again();
    servers[1].start_again();
    servers[1].wait_link_up();
    let mut sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(first)).collect();
    wait_for(LONG, "the sentinels know each other and the replica", || {
        if sentinels.iter().all(|s| s.knows_all("1")) { Ok(()) } else { Err("not yet".into()) }
    });
    servers[0].kill();
    wait_until(LONG, "the replica is promoted", || is_master(&servers[1]));
    // Promotion and CONFIG REWRITE are one transaction.
    assert_eq!(directive(&servers[1], "replicaof"), None, "the promotion is saved");
    let port = servers[1].port().to_string();
    wait_until(LONG, "the sentinels agree", || {
        sentinels.iter().all(|s| s.field("port").as_deref() == Some(&port))
    });
    for (round, order) in [[0, 1], [1, 0], [0, 1]].into_iter().enumerate() {
        servers[1].good(&format!("SET written-{round} v"));
        servers.iter_mut().for_each(Server::kill);
        sentinels.iter_mut().for_each(Sentinel::kill);
        // The last round has the sentinels first: they see nobody for a while.
        if round == 2 {
            sentinels.iter_mut().for_each(Sentinel::spawn);
        }
        for which in order {
            servers[which].start_again();
        }
        if round < 2 {
            sentinels.iter_mut().for_each(Sentinel::spawn);
        }
        wait_until(LONG, "the old master follows the promoted one", || {
            is_master(&servers[1]) && !is_master(&servers[0]) && servers[0].link_is_up()
        });
        for written in 0..=round {
            assert_eq!(servers[1].good(&format!("GET written-{written}")).text(), "v");
        }
        wait_equal(&servers[1], &servers[0]);
    }
}
