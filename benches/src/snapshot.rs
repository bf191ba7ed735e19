//! A million small keys: what they take in memory, how long a full sync takes, how long a start.

use std::time::Duration;

use testkit::certificates::Certificates;
use testkit::ports::Port;
use testkit::process::resident_bytes;
use testkit::wait::{LONG, time_until, wait_until};
use testkit::{Client, Kind, Reply, Server, ServerBuilder};

use crate::Plan;
use crate::table::Table;

const KEYS: usize = 1_000_000;
const VALUE: &[u8] = b"0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(300);

fn builder(kind: Kind) -> ServerBuilder {
    // Diskless without a delay is the default of both, but for the delay.
    Server::of(kind).set("repl-diskless-sync yes")
}

fn filled(builder: ServerBuilder, keys: usize) -> Server {
    let server = builder.start();
    let mut client = server.client();
    let mut batch: Vec<Vec<Vec<u8>>> = Vec::new();
    for first in (0..keys).step_by(500) {
        batch.clear();
        for i in first..(first + 500).min(keys) {
            // Sixteen bytes of key, thirty-two of value.
            batch.push(vec![b"SET".to_vec(), format!("key:{i:012}").into_bytes(), VALUE.to_vec()]);
        }
        let replies = client.pipeline(&batch);
        assert!(replies.iter().all(Reply::is_ok), "every SET is accepted");
    }
    server
}

/// Resident bytes once they have come to rest: background work such as rehashing is over.
pub fn settled_bytes(server: &Server) -> u64 {
    let (mut last, mut same) = (0, 0);
    wait_until(LONG, "the memory is at rest", || {
        let now = resident_bytes(server.pid());
        same = if now.abs_diff(last) <= 64 << 10 { same + 1 } else { 0 };
        last = now;
        same >= 20
    });
    last
}

pub fn measure_memory(plan: &Plan, table: &mut Table) {
    let keys = KEYS / plan.divisor;
    let medians = plan.medians(|side| {
        let empty = settled_bytes(&builder(plan.sides[side]).start());
        let full = settled_bytes(&filled(builder(plan.sides[side]), keys));
        full.saturating_sub(empty) as f64 / keys as f64
    });
    table.line("memory per key (16-byte key, 32-byte value)", "bytes", medians, 0.75);
}

pub fn measure_sync(plan: &Plan, table: &mut Table) {
    let keys = KEYS / plan.divisor;
    let masters = plan.sides.map(|kind| filled(builder(kind), keys));
    let medians = plan.medians(|side| {
        let replica = builder(plan.sides[side]).start();
        sync_secs(&replica, masters[side].port(), keys)
    });
    table.line(&format!("full sync of {keys} keys"), "s", medians, 0.6);
}

pub fn measure_tls_sync(plan: &Plan, table: &mut Table) {
    let keys = KEYS / plan.divisor;
    let encrypted = |kind: Kind| {
        let tls = Port::reserve();
        let directives = Certificates::shared().directives(tls.number(), "server");
        (builder(kind).set(&directives), tls)
    };
    let masters = plan.sides.map(|kind| {
        let (builder, tls) = encrypted(kind);
        (filled(builder, keys), tls)
    });
    let medians = plan.medians(|side| {
        let (builder, _tls) = encrypted(plan.sides[side]);
        sync_secs(&builder.start(), masters[side].1.number(), keys)
    });
    table.line(&format!("full sync of {keys} keys over TLS"), "s", medians, 0.6);
}

fn sync_secs(replica: &Server, master_port: u16, keys: usize) -> f64 {
    let mut client = replica.client();
    client.good(&format!("REPLICAOF 127.0.0.1 {master_port}"));
    let took = time_until(PATIENCE, "the full sync is done", || {
        let info = client.good("INFO replication").text();
        info.contains("master_link_status:up")
    });
    assert_eq!(replica.good("DBSIZE").int(), keys as i64);
    took.as_secs_f64()
}

pub fn measure_load(plan: &Plan, table: &mut Table) {
    let keys = KEYS / plan.divisor;
    let dumps = plan.sides.map(|kind| {
        let server = filled(builder(kind), keys);
        server.client().good("SAVE");
        server.read_file("dump.rdb")
    });
    let medians = plan.medians(|side| {
        let mut server = builder(plan.sides[side]).prepare();
        server.write_file("dump.rdb", &dumps[side]);
        let port = server.port();
        server.spawn();
        let took = time_until(PATIENCE, "the dump is loaded", || {
            Client::connect(("127.0.0.1", port))
                .and_then(|mut client| client.try_args(&["PING"]))
                .is_ok_and(|reply| !reply.is_error())
        });
        assert_eq!(server.good("DBSIZE").int(), keys as i64);
        took.as_secs_f64()
    });
    table.line(&format!("load of a dump of {keys} keys at start"), "s", medians, 0.6);
}
