//! CPU time of the server per request, SET and GET at several pipeline depths. The load is
//! redis-benchmark, whose own time does not count.

use testkit::process::{cpu_time, run};
use testkit::wait::LONG;
use testkit::{Server, binaries};

use crate::Plan;
use crate::table::Table;

/// Depth, requests of one measurement, and the ratio aimed at.
const DEPTHS: [(usize, usize, f64); 3] =
    [(1, 200_000, 1.0), (16, 1_000_000, 0.8), (64, 2_000_000, 0.8)];
const KEYS: &str = "100000";

pub fn measure(plan: &Plan, table: &mut Table) {
    let servers = plan.sides.map(|kind| Server::of(kind).start());
    // The keys are there before anything is measured: every SET replaces, every GET finds.
    for server in &servers {
        load(server, "set", 64, 1_000_000 / plan.divisor);
    }
    for (depth, requests, target) in DEPTHS {
        let requests = requests / plan.divisor;
        for command in ["set", "get"] {
            let medians = plan.medians(|side| {
                let server = &servers[side];
                let before = cpu_time(server.pid());
                load(server, command, depth, requests);
                (cpu_time(server.pid()) - before).as_secs_f64() * 1e6 / requests as f64
            });
            let name = format!("{}, depth {depth}: CPU per request", command.to_uppercase());
            table.line(&name, "us", medians, target);
        }
    }
}

fn load(server: &Server, command: &str, depth: usize, requests: usize) {
    let (port, depth, requests) =
        (server.port().to_string(), depth.to_string(), requests.to_string());
    let args = [
        "-p", &port, "-q", "-t", command, "-P", &depth, "-n", &requests, "-r", KEYS, "-d", "32",
        "-c", "50",
    ];
    run(&binaries::debian("redis-benchmark"), &args, LONG * 5).expect_success("redis-benchmark");
}
