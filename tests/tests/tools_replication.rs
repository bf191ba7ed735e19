//! redis-cli over a master and its replicas: the tree that it draws, and a change of masters that
//! loses nothing.

use tandem_tests::pairings;
use testkit::load::spawn;
use testkit::process::run;
use testkit::{Kind, LONG, Server, binaries, wait_until};

fn cli(args: &[&str]) -> String {
    let done = run(&binaries::tandem("redis-cli"), args, LONG);
    done.expect_success("redis-cli").stdout
}

/// A master, a replica, and one below it.
fn chain(m: Kind, r: Kind) -> [Server; 3] {
    let master = Server::of(m).start();
    let replica = Server::of(r).replica_of(&master).start();
    let leaf = Server::of(r).replica_of(&replica).start();
    for server in [&replica, &leaf] {
        wait_until(LONG, "the link is up", || {
            server.info("replication").find("master_link_status") == Some("up")
        });
    }
    for server in [&master, &replica] {
        wait_until(LONG, "the replica is online", || {
            server.info("replication").part("slave0", "state") == Some("online")
        });
    }
    [master, replica, leaf]
}

fn the_tree_is_the_same_from_any_of_its_servers(m: Kind, r: Kind) {
    let servers = chain(m, r);
    let [master, replica, leaf] = &servers;
    for from in &servers {
        let port = from.port().to_string();
        let tree = cli(&["-p", &port, "--topology", "--once"]);
        let lines: Vec<&str> = tree.lines().collect();
        let begins = [
            format!("127.0.0.1:{}  master  offset ", master.port()),
            format!("└─ 127.0.0.1:{}  replica  up  lag ", replica.port()),
            format!("   └─ 127.0.0.1:{}  replica  up  lag ", leaf.port()),
        ];
        assert_eq!(lines.len(), begins.len(), "{tree}");
        for (line, begin) in lines.iter().zip(begins) {
            assert!(line.starts_with(&begin), "{begin} in\n{tree}");
        }
        let json = cli(&["-p", &port, "--topology", "--once", "--json"]);
        assert_eq!(json.matches("\"link\":\"up\"").count(), 2, "{json}");
    }
}

fn a_promotion_without_yes_changes_nothing(m: Kind, r: Kind) {
    let [master, replica, _leaf] = &chain(m, r);
    let heir = format!("127.0.0.1:{}", replica.port());
    let plan = cli(&["-p", &master.port().to_string(), "--promote", &heir]);
    assert!(plan.ends_with("Nothing was changed. Add --yes to do it.\n"), "{plan}");
    assert!(plan.contains(&format!("3. make {heir} the master")), "{plan}");
    assert_eq!(replica.info("replication").text("role"), "slave");
    assert_eq!(master.good("SET k v").text(), "OK");
}

/// A writer counts all the time; what was acknowledged by the old master is with the new one.
fn a_promotion_loses_no_acknowledged_write(m: Kind, r: Kind) {
    let [master, heir, _leaf] = &chain(m, r);
    let other = Server::of(r).replica_of(master).start();
    wait_until(LONG, "the other is online", || {
        master.info("replication").part("slave1", "state") == Some("online")
    });
    let mut writer = master.client();
    let counting = spawn(move || {
        let mut acknowledged = 0;
        // Until it is told that its server is a replica now.
        while let Ok(reply) = writer.try_args(&["INCR", "counter"]) {
            if reply.is_error() {
                break;
            }
            acknowledged = reply.int();
        }
        acknowledged
    });
    wait_until(LONG, "the writer is under way", || master.good("INCRBY counter 0").int() > 100);
    let address = format!("127.0.0.1:{}", heir.port());
    let said = cli(&["-p", &master.port().to_string(), "--promote", &address, "--yes"]);
    assert!(said.contains(&format!("{address} is the master.\n")), "{said}");
    let acknowledged = counting.join().expect("the writer ends");
    assert_eq!(heir.good("GET counter").text(), acknowledged.to_string());
    assert_eq!(heir.info("replication").text("role"), "master");
    for follower in [master, &other] {
        let info = follower.info("replication");
        assert_eq!(info.text("master_port"), heir.port().to_string());
        assert_eq!(info.text("master_link_status"), "up");
    }
    assert_eq!(heir.good("SET after promotion").text(), "OK");
    wait_until(LONG, "the old master has what is written to the new one", || {
        master.good("EXISTS after").int() == 1
    });
}

/// That there is no link is told by INFO as well; what is to be mended was in the replica's log alone.
#[test]
fn a_promotion_that_finds_no_link_tells_the_reason() {
    let master = Server::of(Kind::Redis).start();
    let replica = Server::of(Kind::Tandem).set("masterauth secret").replica_of(&master).start();
    wait_until(LONG, "the replica knows why", || {
        replica.info("replication").find("master_link_error").is_some()
    });
    let heir = format!("127.0.0.1:{}", replica.port());
    let done = run(&binaries::tandem("redis-cli"), &["--promote", &heir], LONG);
    let said = done.output();
    let (begin, why) = ("has no link to its master 127.0.0.1:", "AUTH");
    assert!(!done.status.success() && said.contains(begin) && said.contains(why), "{said}");
}

pairings! {
    the_tree_is_the_same_from_any_of_its_servers,
    a_promotion_without_yes_changes_nothing,
    a_promotion_loses_no_acknowledged_write,
}
