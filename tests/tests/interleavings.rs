//! Work that is begun while other work is under way: a second child, another load, an order to the disk whose
//! end comes late. Nothing is lost by it, and no state lasts for ever.

use tandem_tests::each_server;
use testkit::wait::{LONG, wait_until};
use testkit::{Info, Kind, Server};

fn number(info: &Info, field: &str) -> i64 {
    info.text(field).parse().expect("a number")
}

/// Each of two children that one transaction asked for was begun: the server ended itself, or lost sight of
/// the first.
fn children_of_one_transaction_run_one_after_another(kind: Kind) {
    for (commands, runs) in [
        (["BGSAVE", "BGREWRITEAOF"], (1, 1)),
        (["BGREWRITEAOF", "BGSAVE"], (1, 1)),
        (["BGSAVE", "BGSAVE"], (1, 0)),
        (["BGREWRITEAOF", "BGREWRITEAOF"], (0, 1)),
        (["CONFIG SET appendonly yes", "BGSAVE"], (1, 1)),
    ] {
        let server = Server::of(kind).start();
        let mut client = server.client();
        client.good("SET k v");
        client.good("MULTI");
        commands.iter().for_each(|command| assert_eq!(client.good(command).text(), "QUEUED"));
        assert_eq!(client.good("EXEC").texts().len(), 2, "{commands:?}");
        wait_until(LONG, &format!("{commands:?} are done"), || {
            let info = server.info("persistence");
            let idle =
                ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"];
            let done = ["rdb_saves", "aof_rewrites"].map(|name| number(&info, name));
            idle.iter().all(|name| number(&info, name) == 0) && done == [runs.0, runs.1]
        });
        assert_eq!(server.info("persistence").text("rdb_last_bgsave_status"), "ok");
        assert_eq!(server.info("persistence").text("aof_last_bgrewrite_status"), "ok");
    }
}

each_server! { children_of_one_transaction_run_one_after_another }
