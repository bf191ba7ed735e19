//! Scenario S5, running it for years: each test is named after its line of the scenarios. The exporter of S5.2 is in
//! monitoring.rs, the power cut of S5.5 in sentinel.rs, the stranger of S5.6 in make_targets.rs.

use std::path::Path;

use nix::sys::signal::Signal;
use tandem_tests::sentinel::Sentinel;
use tandem_tests::{each_server, pairings, python};
use testkit::certificates::Certificates;
use testkit::load::Load;
use testkit::ports::Port;
use testkit::process::run;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Kind, Server, ServerBuilder, binaries};

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
    let follows = |server: &Server| {
        let info = server.try_info("replication");
        info.is_ok_and(|info| {
            info.find("master_port") == Some(to) && info.find("master_link_status") == Some("up")
        })
    };
    wait_until(LONG, "the other follows the promoted", || follows(other));
    master.start_again();
    wait_until(LONG, "the old master follows, too", || follows(&master));
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

/// Jobs of RQ and Celery, locks and limits in Lua, a cache that is told what has changed: begun at the one, and gone
/// on with at the other, which has followed the first and been promoted. (BullMQ's are in `make clients`.)
fn s5_7_an_application_moves_over_by_changing_the_address(from: Kind, to: Kind) {
    let old = Server::of(from).name("old").start();
    python::run_script("moving_over.py", &[0, old.port()]);
    let new = Server::of(to).name("new").replica_of(&old).start();
    new.wait_link_up();
    wait_equal(&old, &new);
    new.good("REPLICAOF NO ONE");
    drop(old);
    python::run_script("moving_over.py", &[1, new.port()]);
}

/// Clients, a replica and a tool over TLS, before and after the master's certificate is renewed in its place: no
/// connection ends, and new ones see the new one.
fn s5_8_links_are_encrypted_and_certificates_renewed_without_a_restart(m: Kind, r: Kind) {
    let files = Certificates::make();
    let (tls, replica_tls) = (Port::reserve(), Port::reserve());
    let master =
        Server::of(m).name("master").set(&files.directives(tls.number(), "server")).start();
    let replica = Server::of(r)
        .name("replica")
        .set(&files.directives(replica_tls.number(), "elliptic"))
        .replica_of_port(tls.number())
        .start();
    replica.wait_link_up();
    let (port, ca) = (tls.number().to_string(), files.text("ca.crt"));
    let (cert, key) = (files.text("client.crt"), files.text("client.key"));
    let tool = |args: &[&str]| {
        let head = ["-p", &port, "--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
        run(&binaries::tandem("redis-cli"), &[&head[..], args].concat(), LONG).stdout
    };
    let shown = || {
        let connect = format!("127.0.0.1:{port}");
        let args = ["s_client", "-connect", &connect, "-cert", &cert, "-key", &key];
        let output = run(Path::new("/usr/bin/openssl"), &args, LONG).output();
        output.lines().find(|line| line.starts_with("subject=")).unwrap_or_default().to_owned()
    };
    assert_eq!(tool(&["SET", "hello", "ahri"]), "OK\n");
    wait_equal(&master, &replica);
    assert_eq!(shown(), "subject=CN = server");

    for kind in ["crt", "key"] {
        let from = files.path(&format!("plain.{kind}"));
        std::fs::copy(from, files.path(&format!("server.{kind}"))).expect("it is renewed");
    }
    match m {
        // Redis ends at SIGHUP.
        Kind::Redis => {
            master.good(&format!("CONFIG SET tls-cert-file {}", files.text("server.crt")));
        }
        _ => {
            master.signal(Signal::SIGHUP);
            master.wait_log("Certificates and keys were read again.");
        }
    }
    assert_eq!(shown(), "subject=CN = plain");
    assert_eq!(tool(&["SET", "hello", "again"]), "OK\n");
    wait_equal(&master, &replica);
    assert_eq!(replica.good("GET hello").text(), "again");
    let counts = master.sync_counts();
    assert_eq!((counts.full, counts.partial_ok), (1, 0), "the link held");
}

pairings! {
    s5_1_sentinel_promotes_reconfigures_and_tells_clients,
    s5_4_a_backlog_too_small_for_the_load_is_no_loop_of_full_syncs,
    s5_7_an_application_moves_over_by_changing_the_address,
    s5_8_links_are_encrypted_and_certificates_renewed_without_a_restart,
}

each_server! { s5_3_reads_scale_over_replicas }
