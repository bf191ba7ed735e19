//! Scenario S4, lines 12 and 13: writes that wait for disks, and masters that hand over. Each test is named
//! after its line of the scenarios.

use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Server, ServerBuilder};

fn tandem(name: &str) -> ServerBuilder {
    Server::of(Kind::Tandem).name(name)
}

fn waitaof(client: &mut Client, words: &str) -> (i64, i64) {
    let reply = client.good(&format!("WAITAOF {words}"));
    (reply.items()[0].int(), reply.items()[1].int())
}

/// Has a client wait, and tells when it does.
fn blocked(server: &Server, words: &[&str]) -> Client {
    let waiting = |server: &Server| server.info("clients").number::<u64>("blocked_clients");
    let before = waiting(server);
    let mut client = server.client();
    client.good("SET k waiting");
    client.send(words).expect("the server takes the command");
    wait_until(LONG, "the client waits", || waiting(server) > before);
    client
}

#[test]
fn s4_12_waitaof_tells_when_a_write_is_on_our_own_disk() {
    let master = tandem("master").set("appendonly yes").set("appendfsync always").start();
    let mut client = master.client();
    // Nobody follows this master: there is no stream that could count its writes.
    assert_eq!(master.info("replication").text("repl_backlog_active"), "0");
    for fsync in ["always", "everysec", "always", "everysec"] {
        client.good(&format!("CONFIG SET appendfsync {fsync}"));
        client.good("INCR k");
        assert_eq!(waitaof(&mut client, "1 0 0"), (1, 0), "appendfsync {fsync}");
    }
    // Nobody asks the disk: so nothing is known to be on it, until somebody asks.
    client.good("CONFIG SET appendfsync no");
    client.good("INCR k");
    assert_eq!(waitaof(&mut client, "1 0 50"), (0, 0));
    assert_eq!(waitaof(&mut client, "0 0 0"), (0, 0));
    assert_eq!(
        waitaof(&mut master.client(), "1 0 0"),
        (1, 0),
        "who wrote nothing waits for nothing"
    );
    client.good("CONFIG SET appendfsync everysec");
    assert_eq!(waitaof(&mut client, "1 0 0"), (1, 0));
    // A new base is on the disk as well.
    client.good("CONFIG SET appendfsync no");
    client.good("INCR k");
    client.good("CONFIG SET appendonly no");
    client.good("CONFIG SET appendonly yes");
    assert_eq!(waitaof(&mut client, "1 0 0"), (1, 0));
}

#[test]
fn s4_12_waitaof_counts_the_replicas_that_have_it_on_disk() {
    let master = tandem("master").set("appendonly yes").set("appendfsync always").start();
    let replica = |kind: Kind, append: &str| {
        let replica = Server::of(kind).name("replica").set(append).replica_of(&master).start();
        replica.wait_link_up();
        replica
    };
    let on_disk =
        [replica(Kind::Tandem, "appendonly yes"), replica(Kind::Tandem, "appendonly yes")];
    let _in_memory = [
        replica(Kind::Tandem, "appendonly no"),
        // Redis 7.0 does not tell what it has on its disk.
        replica(Kind::Redis, "appendonly yes"),
    ];
    master.wait_online_replicas(4);
    let mut client = master.client();
    client.good("INCR k");
    assert_eq!(waitaof(&mut client, "1 2 0"), (1, 2));
    on_disk[0].good("CONFIG SET appendfsync always");
    on_disk[1].good("CONFIG SET appendfsync no");
    client.good("INCR k");
    assert_eq!(client.good("WAIT 4 0").int(), 4);
    assert_eq!(waitaof(&mut client, "1 1 0"), (1, 1));
    assert_eq!(waitaof(&mut client, "0 2 50"), (1, 1));
    // It is the offset of each write that counts: the older one is on both disks.
    let waiting = blocked(&master, &["WAITAOF", "1", "2", "0"]);
    on_disk[1].good("CONFIG SET appendfsync everysec");
    let mut waiting = waiting;
    let reply = waiting.read_reply().expect("a reply");
    assert_eq!((reply.items()[0].int(), reply.items()[1].int()), (1, 2));
}

/// A full copy moves a replica to another history: what it had on disk of the one before says nothing.
#[test]
fn s4_12_waitaof_is_not_misled_by_a_replica_that_came_from_another_master() {
    let start = |name: &str| tandem(name).set("appendonly yes").start();
    let (one, two, replica) = (start("one"), start("two"), start("replica"));
    replica.good("CONFIG SET appendfsync no");
    replica.follow(&one);
    replica.wait_link_up();
    one.wait_online_replicas(1);
    // The other history is far longer.
    one.good(&format!("SET long {}", "x".repeat(100_000)));
    wait_equal(&one, &replica);
    let mut waiting = blocked(&two, &["WAITAOF", "1", "1", "0"]);
    replica.follow(&two);
    let reply = waiting.read_reply().expect("a reply");
    assert_eq!((reply.items()[0].int(), reply.items()[1].int()), (1, 1));
    assert_eq!(replica.good("GET k").text(), "waiting");
}

#[test]
fn s4_12_waitaof_ends_with_an_error_when_it_waits_in_vain() {
    const WITHOUT: &str =
        "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    let master = tandem("master").set("appendonly yes").set("appendfsync no").start();
    let replica = tandem("replica").replica_of(&master).start();
    replica.wait_link_up();
    assert_eq!(
        replica.run("WAITAOF 0 0 0").error(),
        "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas \
         are just local and are not propagated."
    );
    let mut waiting = blocked(&master, &["WAITAOF", "1", "0", "0"]);
    master.good("CONFIG SET appendonly no");
    assert_eq!(waiting.read_reply().expect("a reply").error(), WITHOUT);
    assert_eq!(master.run("WAITAOF 1 0 0").error(), WITHOUT);

    // A master that is told to follow somebody: its clients learn that they have to look elsewhere.
    let mut waiting = [
        blocked(&master, &["WAITAOF", "0", "2", "0"]),
        blocked(&master, &["WAIT", "2", "0"]),
        blocked(&master, &["BLPOP", "list", "0"]),
    ];
    let other = tandem("other").start();
    master.follow(&other);
    for client in &mut waiting {
        let reply = client.read_reply().expect("a reply");
        assert!(reply.error().starts_with("UNBLOCKED force unblock from blocking operation, "));
        assert!(client.read_reply().is_err(), "the connection is closed");
    }
}

/// What stands behind a WAIT in a pipeline is run when the wait is over.
#[test]
fn s4_12_a_pipeline_goes_on_behind_a_wait() {
    let master = tandem("master").set("appendonly yes").start();
    let mut client = master.client();
    for _ in 0..3 {
        let replies =
            client.pipeline(&[vec!["INCR", "k"], vec!["WAITAOF", "1", "0", "0"], vec!["PING"]]);
        assert_eq!(replies[1].items()[0].int(), 1);
        assert_eq!(replies[2].text(), "PONG");
    }
}
