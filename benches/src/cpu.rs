//! CPU time of the server per request: SET and GET at several pipeline depths, and a command or two of every other
//! type. The load is redis-benchmark, whose own time does not count.

use testkit::process::{cpu_time, run};
use testkit::wait::LONG;
use testkit::{Server, ServerBuilder, binaries};

use crate::Plan;
use crate::peer;
use crate::table::Table;

/// Depth, requests of one measurement, and the ratio aimed at.
const DEPTHS: [(usize, usize, f64); 3] =
    [(1, 200_000, 1.0), (16, 1_000_000, 0.8), (64, 2_000_000, 0.8)];
const KEYS: &str = "100000";

const GET: &str = "GET key:__rand_int__";
const SET: &str = "SET key:__rand_int__ 0123456789abcdef0123456789abcdef";

/// Commands of other types, at this depth.
const DEPTH: usize = 16;
const REQUESTS: usize = 400_000;
const TARGET: f64 = 0.8;
const COMMANDS: [&str; 8] = [
    "ZADD z __rand_int__ member:__rand_int__",
    "HSET h field:__rand_int__ 0123456789abcdef",
    "LPUSH l 0123456789abcdef",
    "SADD s member:__rand_int__",
    "XADD x MAXLEN ~ 100000 * field 0123456789abcdef",
    "ZRANGE few:z 0 99",
    "LRANGE few:l 0 99",
    "EVALSHA <sha> 1 key:__rand_int__ 0123456789abcdef",
];
/// The expiry of a field, which Debian's server does not know, and what makes the fields.
const HEXPIRE: [&str; 2] =
    ["HSET h field:__rand_int__ 0123456789abcdef", "HEXPIRE h 100000 FIELDS 1 field:__rand_int__"];
const SCRIPT: &str = "return redis.call('SET', KEYS[1], ARGV[1])";

pub fn measure(plan: &Plan, table: &mut Table) {
    let servers = plan.sides.map(|kind| Server::of(kind).start());
    // The keys are there before anything is measured: every SET replaces, every GET finds.
    for server in &servers {
        load(server, SET, 64, 1_000_000 / plan.divisor);
    }
    for (depth, requests, target) in DEPTHS {
        for command in [SET, GET] {
            row(plan, table, &servers, command, (depth, requests, target));
        }
    }
}

pub fn measure_types(plan: &Plan, table: &mut Table) {
    let servers = plan.sides.map(|kind| Server::of(kind).start());
    let shas = servers.each_ref().map(|server| {
        let mut client = server.client();
        for i in 0..100 {
            client.good(&format!("ZADD few:z {i} member:{i:012}"));
            client.good(&format!("RPUSH few:l element:{i:012}"));
        }
        client.args(&["SCRIPT", "LOAD", SCRIPT]).text()
    });
    for command in COMMANDS {
        let command = command.replace("<sha>", &shas[0]);
        row(plan, table, &servers, &command, (DEPTH, REQUESTS, TARGET));
    }
    match peer::sides_that_know(plan, "HEXPIRE") {
        Ok(sides) => {
            let servers = sides.map(ServerBuilder::start);
            servers.iter().for_each(|server| load(server, HEXPIRE[0], 64, REQUESTS / plan.divisor));
            row(plan, table, &servers, HEXPIRE[1], (DEPTH, REQUESTS, TARGET));
        }
        Err(why) => table.left_out("HEXPIRE", &why),
    }
}

fn row(
    plan: &Plan,
    table: &mut Table,
    servers: &[Server; 2],
    command: &str,
    (depth, requests, target): (usize, usize, f64),
) {
    let requests = requests / plan.divisor;
    let medians = plan.medians(|side| {
        let server = &servers[side];
        let before = cpu_time(server.pid());
        load(server, command, depth, requests);
        (cpu_time(server.pid()) - before).as_secs_f64() * 1e6 / requests as f64
    });
    let name = command.split(' ').next().unwrap_or(command);
    table.line(&format!("{name}, depth {depth}: CPU per request"), "us", medians, target);
}

fn load(server: &Server, command: &str, depth: usize, requests: usize) {
    let (port, depth, requests) =
        (server.port().to_string(), depth.to_string(), requests.to_string());
    let mut args = vec!["-p", &port, "-q", "-P", &depth, "-n", &requests, "-r", KEYS, "-c", "50"];
    args.extend(command.split(' '));
    run(&binaries::debian("redis-benchmark"), &args, LONG * 5).expect_success("redis-benchmark");
}
