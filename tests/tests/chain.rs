//! Chains of four servers of both makes: a write at the head reaches the tail, and a promotion in the
//! middle moves everybody on with partial resyncs only.

use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Kind, Load, Server, fill};

fn start_chain(kinds: [Kind; 4]) -> [Server; 4] {
    let head = Server::of(kinds[0]).name("first").set("repl-backlog-size 16mb").start();
    fill::every_encoding(&mut head.client());
    let start = |kind, name: &str, above: &Server| {
        let server =
            Server::of(kind).name(name).set("repl-backlog-size 16mb").replica_of(above).start();
        server.wait_link_up();
        server
    };
    let second = start(kinds[1], "second", &head);
    let third = start(kinds[2], "third", &second);
    let fourth = start(kinds[3], "fourth", &third);
    [head, second, third, fourth]
}

fn full_copies(servers: &[Server]) -> u64 {
    servers.iter().map(|s| s.sync_counts().full).sum()
}

fn wait_all_equal(head: &Server, others: &[&Server]) {
    others.iter().for_each(|server| wait_equal(head, server));
}

fn writes_reach_the_tail(kinds: [Kind; 4]) {
    let servers = start_chain(kinds);
    let [first, second, third, fourth] = &servers;
    let load = Load::start(first);
    load.wait_progress(3_000);
    load.stop();
    wait_all_equal(first, &[second, third, fourth]);
    assert_eq!(first.replid(), fourth.replid(), "a chain has one replication id");
    assert_eq!(full_copies(&servers), 3);
}

/// The second becomes the master; those below it follow, and the old master joins as a replica.
fn a_promotion_in_the_middle_costs_no_full_copy(kinds: [Kind; 4]) {
    let servers = start_chain(kinds);
    let [first, second, third, fourth] = &servers;
    let load = Load::start(first);
    load.wait_progress(1_000);
    // A key that expired on the old master after the promotion would be a history of its own.
    first.good("DEBUG SET-ACTIVE-EXPIRE 0");
    load.stop();
    wait_all_equal(first, &[second, third, fourth]);
    let copies = full_copies(&servers);
    let old_id = first.replid();

    second.good("REPLICAOF NO ONE");
    let info = second.info("replication");
    assert_eq!(info.text("role"), "master");
    assert_eq!(info.text("master_replid2"), old_id, "the old history stays valid");
    assert_ne!(info.text("master_replid"), old_id);
    let load = Load::start(second);
    load.wait_progress(500);
    // The old master has not moved on: it joins at the offset that both histories share.
    first.follow(second);
    first.wait_link_up();
    load.wait_progress(1_000);
    load.stop();
    wait_all_equal(second, &[first, third, fourth]);
    assert_eq!(full_copies(&servers), copies, "a promotion must not cost a full copy");
    wait_until(LONG, "all share the new replication id", || {
        servers.iter().all(|s| s.replid() == second.replid())
    });

    // Moved within the tree: the tail now hangs on the old master.
    fourth.follow(first);
    fourth.wait_link_up();
    second.good("SET after-the-move 1");
    wait_all_equal(second, &[first, third, fourth]);
    assert_eq!(full_copies(&servers), copies);
}

/// A middle that dies and comes back: those below it are served again, with the same data.
fn a_middle_that_dies_and_comes_back(kinds: [Kind; 4]) {
    let [first, mut second, third, fourth] = start_chain(kinds);
    let load = Load::start(&first);
    load.wait_progress(500);
    second.kill();
    load.wait_progress(500);
    second.start_again();
    second.wait_link_up();
    third.wait_link_up();
    load.wait_progress(500);
    load.stop();
    wait_all_equal(&first, &[&second, &third, &fourth]);
}

macro_rules! casts {
    ($($cast:ident: $kinds:expr),+ $(,)?) => {
        $(mod $cast {
            use super::Kind;
            #[test] fn writes_reach_the_tail() { super::writes_reach_the_tail($kinds) }
            #[test] fn a_promotion_in_the_middle_costs_no_full_copy() {
                super::a_promotion_in_the_middle_costs_no_full_copy($kinds)
            }
            #[test] fn a_middle_that_dies_and_comes_back() {
                super::a_middle_that_dies_and_comes_back($kinds)
            }
        })+
    };
}

casts! {
    redis_only: [Kind::Redis, Kind::Redis, Kind::Redis, Kind::Redis],
    redis_first_tandem_next: [Kind::Redis, Kind::Tandem, Kind::Redis, Kind::Tandem],
    tandem_first_redis_next: [Kind::Tandem, Kind::Redis, Kind::Tandem, Kind::Redis],
    tandem_only: [Kind::Tandem, Kind::Tandem, Kind::Tandem, Kind::Tandem],
}
