//! Scenario S4, lines 12 and 13: writes that wait for disks, and masters that hand over. Each test is named
//! after its line of the scenarios.

use nix::sys::signal::Signal;
use tandem_tests::{each_server, pairings};
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Reply, Server, ServerBuilder, fill};

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

/// A master with two replicas, of which the first is to take over.
fn family(m: Kind, heir: Kind) -> [Server; 3] {
    let master = Server::of(m).name("master").start();
    fill::every_encoding(&mut master.client());
    let replica = |kind, name: &str| {
        let replica = Server::of(kind).name(name).replica_of(&master).start();
        replica.wait_link_up();
        replica
    };
    let (heir, other) = (replica(heir, "heir"), replica(m, "other"));
    master.wait_online_replicas(2);
    [master, heir, other]
}

fn failover_state(server: &Server) -> String {
    server.info("replication").text("master_failover_state").to_string()
}

fn wait_failover_state(server: &Server, state: &str) {
    wait_until(LONG, &format!("the failover is at {state}"), || failover_state(server) == state);
}

fn to(server: &Server) -> String {
    format!("FAILOVER TO 127.0.0.1 {}", server.port())
}

#[allow(clippy::disallowed_methods, reason = "a client that writes while the test looks on")]
/// Every write that the old master has acknowledged is there on the new one, and nobody copies it all.
fn s4_13_a_failover_under_load_loses_nothing(m: Kind, r: Kind) {
    let [old, new, other] = family(m, r);
    let old_id = old.replid();
    let mut client = old.client();
    let port = old.port();
    let writer = std::thread::spawn(move || {
        let mut client = Client::connect(("127.0.0.1", port)).expect("the old master is there");
        let mut acknowledged = 0;
        loop {
            match client.run("INCR acknowledged") {
                Reply::Int(n) => acknowledged = n,
                Reply::Error(why) => return (acknowledged, why),
                other => panic!("an answer to INCR: {other:?}"),
            }
        }
    });
    wait_until(LONG, "writes are going on", || match client.good("GET acknowledged") {
        Reply::Null => false,
        n => n.text().parse::<i64>().expect("a number") > 100,
    });
    assert!(client.good(&to(&new)).is_ok());
    wait_failover_state(&old, "no-failover");
    let (acknowledged, why) = writer.join().expect("the writer ends with the role");
    assert_eq!(why, "READONLY You can't write against a read only replica.");
    old.wait_link_up();
    assert_eq!(old.info("replication").text("role"), "slave");
    let info = new.info("replication");
    assert_eq!(info.text("role"), "master");
    assert_eq!(info.text("master_replid2"), old_id);
    assert_eq!(new.good("GET acknowledged").text(), acknowledged.to_string());
    other.follow(&new);
    other.wait_link_up();
    new.good("SET after 1");
    wait_equal(&new, &old);
    wait_equal(&new, &other);
    let counts = new.sync_counts();
    assert_eq!((counts.full, counts.partial_ok), (0, 2));
    old.wait_log(&format!("Failover target 127.0.0.1:{} is synced, failing over.", new.port()));
    new.wait_log("MASTER MODE enabled (failover request from '");
    assert_eq!(old.config("replicaof"), format!("127.0.0.1 {}", new.port()));
    assert_eq!(new.config("replicaof"), "");
}

/// Without a name the first replica that has everything takes over; and then it can go back.
fn s4_13_a_failover_to_any_replica_and_back(m: Kind, r: Kind) {
    let [old, new, other] = family(m, r);
    // The other one hangs, so that it cannot be the one.
    other.signal(Signal::SIGSTOP);
    old.good("SET k v");
    assert!(old.good("FAILOVER").is_ok());
    wait_failover_state(&old, "no-failover");
    other.signal(Signal::SIGCONT);
    old.wait_link_up();
    assert_eq!(new.info("replication").text("role"), "master");
    new.wait_online_replicas(1);
    assert!(new.good(&to(&old)).is_ok());
    wait_failover_state(&new, "no-failover");
    new.wait_link_up();
    other.wait_link_up();
    old.good("SET back v");
    wait_equal(&old, &new);
    wait_equal(&old, &other);
    assert_eq!(new.sync_counts().full + other.sync_counts().full, 0);
}

/// A replica that hangs is given up after a while, or forced to take over when it comes back.
fn s4_13_a_failover_has_its_time(m: Kind, r: Kind) {
    let [old, new, other] = family(m, r);
    new.signal(Signal::SIGSTOP);
    old.good("SET k v");
    assert!(old.good(&format!("{} TIMEOUT 200", to(&new))).is_ok());
    wait_failover_state(&old, "no-failover");
    old.wait_log("aborted: Replica never caught up before timeout");
    assert!(old.good("SET k w").is_ok());
    assert!(old.good(&format!("{} TIMEOUT 200 FORCE", to(&new))).is_ok());
    wait_failover_state(&old, "failover-in-progress");
    assert_eq!(old.info("replication").text("role"), "slave", "never two masters");
    assert_eq!(
        old.run("REPLICAOF NO ONE").error(),
        "ERR REPLICAOF not allowed while failing over."
    );
    assert!(old.good("FAILOVER ABORT").is_ok());
    assert_eq!(old.info("replication").text("role"), "master");
    assert!(old.good("SET k x").is_ok());
    other.wait_link_up();
    assert!(old.good(&format!("{} TIMEOUT 200 FORCE", to(&other))).is_ok());
    wait_failover_state(&old, "no-failover");
    old.wait_link_up();
    assert_eq!(other.info("replication").text("role"), "master");
    new.signal(Signal::SIGCONT);
    new.follow(&other);
    new.wait_link_up();
    other.good("SET k y");
    wait_equal(&other, &old);
    wait_equal(&other, &new);
}

/// Clients that write wait for the end of a failover that does not come to be, and lose nothing by it.
fn s4_13_writes_wait_while_a_failover_does(m: Kind, r: Kind) {
    let [old, new, _other] = family(m, r);
    new.signal(Signal::SIGSTOP);
    old.good("SET k v");
    assert!(old.good(&to(&new)).is_ok());
    assert_eq!(failover_state(&old), "waiting-for-sync");
    assert_eq!(old.run("FAILOVER").error(), "ERR FAILOVER already in progress.");
    let mut writer = old.client();
    writer.send(&["SET", "waited", "yes"]).expect("the master takes the command");
    wait_until(LONG, "the write waits", || {
        old.info("clients").number::<u64>("blocked_clients") == 1
    });
    // CLIENT UNPAUSE is about CLIENT PAUSE.
    assert!(old.good("CLIENT UNPAUSE").is_ok());
    assert_eq!(old.good("EXISTS waited").int(), 0);
    assert!(old.good("FAILOVER ABORT").is_ok());
    assert!(writer.read_reply().expect("a reply").is_ok());
    assert_eq!(old.run("FAILOVER ABORT").error(), "ERR No failover in progress.");
    new.signal(Signal::SIGCONT);
    wait_equal(&old, &new);
}

fn s4_13_every_reason_against_a_failover(kind: Kind) {
    let master = Server::of(kind).name("master").start();
    assert_eq!(master.run("FAILOVER").error(), "ERR FAILOVER requires connected replicas.");
    let replica = Server::of(kind).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    master.wait_online_replicas(1);
    let force = "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    for (command, why) in [
        ("FAILOVER ABORT", "ERR No failover in progress."),
        ("FAILOVER ABORT x", "ERR syntax error"),
        ("FAILOVER TO 127.0.0.1", "ERR syntax error"),
        ("FAILOVER TO 127.0.0.1 1 TO 127.0.0.1 1", "ERR syntax error"),
        ("FAILOVER FORCE FORCE", "ERR syntax error"),
        ("FAILOVER TIMEOUT", "ERR syntax error"),
        ("FAILOVER TIMEOUT x", "ERR value is not an integer or out of range"),
        ("FAILOVER TIMEOUT 0", "ERR FAILOVER timeout must be greater than 0"),
        ("FAILOVER TO nowhere x", "ERR value is not an integer or out of range"),
        ("FAILOVER TO nowhere 70000", "ERR FAILOVER target HOST and PORT is not a replica."),
        ("FAILOVER FORCE", force),
        ("FAILOVER FORCE TIMEOUT 5", force),
    ] {
        assert_eq!(master.run(command).error(), why, "{command}");
    }
    let why = "ERR FAILOVER is not valid when server is a replica.";
    assert_eq!(replica.run("FAILOVER").error(), why);
    assert_eq!(
        master.run(&format!("PSYNC {} 1 FAILOVER", master.replid())).error(),
        "ERR PSYNC FAILOVER can't be sent to a master."
    );
    assert_eq!(
        replica.run(&format!("PSYNC {} 1 FAILOVER", "f".repeat(40))).error(),
        "ERR PSYNC FAILOVER replid must match my replid."
    );
}

pairings! {
    s4_13_a_failover_under_load_loses_nothing,
    s4_13_a_failover_to_any_replica_and_back,
    s4_13_a_failover_has_its_time,
    s4_13_writes_wait_while_a_failover_does,
}

each_server! {
    s4_13_every_reason_against_a_failover,
}
