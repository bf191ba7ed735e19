//! CPU time of the server per request: SET and GET at several pipeline depths, and a command or two of every other
//! type; the first two also over TLS. The load is redis-benchmark, whose own time does not count.

use testkit::certificates::Certificates;
use testkit::ports::Port;
use testkit::process::{cpu_time, run};
use testkit::wait::LONG;
use testkit::{Kind, Server, ServerBuilder, binaries};

use crate::Plan;
use crate::peer;
use crate::table::Table;

/// Depth, requests of one measurement, and the ratio aimed at.
const DEPTHS: [(usize, usize, f64); 3] =
    [(1, 200_000, 1.0), (16, 1_000_000, 0.8), (64, 2_000_000, 0.8)];
/// The same over TLS, of whose cost a large part is the ciphers', which are alike.
const TLS_DEPTHS: [(usize, usize, f64); 2] = [(1, 200_000, 0.8), (16, 1_000_000, 0.8)];
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

/// A server, and how redis-benchmark gets there.
struct Loaded {
    server: Server,
    way: Vec<String>,
    /// Reserved for as long as the server listens there.
    _tls: Option<Port>,
}

impl Loaded {
    fn plain(kind: Kind) -> Loaded {
        Loaded::started(Server::of(kind))
    }

    fn started(builder: ServerBuilder) -> Loaded {
        let server = builder.start();
        let way = vec!["-p".into(), server.port().to_string()];
        Loaded { server, way, _tls: None }
    }

    fn encrypted(kind: Kind) -> Loaded {
        let (tls, files) = (Port::reserve(), Certificates::shared());
        let server = Server::of(kind).set(&files.directives(tls.number(), "server")).start();
        let port = tls.number().to_string();
        let (ca, cert, key) =
            (files.text("ca.crt"), files.text("client.crt"), files.text("client.key"));
        let way = ["-p", &port, "--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
        Loaded { server, way: way.map(str::to_owned).to_vec(), _tls: Some(tls) }
    }
}

pub fn measure(plan: &Plan, table: &mut Table) {
    measure_depths(plan, table, &plan.sides.map(Loaded::plain), &DEPTHS, "");
}

pub fn measure_tls(plan: &Plan, table: &mut Table) {
    measure_depths(plan, table, &plan.sides.map(Loaded::encrypted), &TLS_DEPTHS, " over TLS");
}

fn measure_depths(
    plan: &Plan,
    table: &mut Table,
    sides: &[Loaded; 2],
    depths: &[(usize, usize, f64)],
    over: &str,
) {
    // The keys are there before anything is measured: every SET replaces, every GET finds.
    for side in sides {
        load(side, SET, 64, 1_000_000 / plan.divisor);
    }
    for &depth in depths {
        for command in [SET, GET] {
            row(plan, table, sides, command, depth, over);
        }
    }
}

pub fn measure_types(plan: &Plan, table: &mut Table) {
    let sides = plan.sides.map(Loaded::plain);
    let shas = sides.each_ref().map(|side| {
        let mut client = side.server.client();
        for i in 0..100 {
            client.good(&format!("ZADD few:z {i} member:{i:012}"));
            client.good(&format!("RPUSH few:l element:{i:012}"));
        }
        client.args(&["SCRIPT", "LOAD", SCRIPT]).text()
    });
    for command in COMMANDS {
        let command = command.replace("<sha>", &shas[0]);
        row(plan, table, &sides, &command, (DEPTH, REQUESTS, TARGET), "");
    }
    match peer::sides_that_know(plan, "HEXPIRE") {
        Ok(sides) => {
            let sides = sides.map(Loaded::started);
            sides.iter().for_each(|side| load(side, HEXPIRE[0], 64, REQUESTS / plan.divisor));
            row(plan, table, &sides, HEXPIRE[1], (DEPTH, REQUESTS, TARGET), "");
        }
        Err(why) => table.left_out("HEXPIRE", &why),
    }
}

fn row(
    plan: &Plan,
    table: &mut Table,
    sides: &[Loaded; 2],
    command: &str,
    (depth, requests, target): (usize, usize, f64),
    over: &str,
) {
    let requests = requests / plan.divisor;
    let medians = plan.medians(|side| {
        let pid = sides[side].server.pid();
        let before = cpu_time(pid);
        load(&sides[side], command, depth, requests);
        (cpu_time(pid) - before).as_secs_f64() * 1e6 / requests as f64
    });
    let name = command.split(' ').next().unwrap_or(command);
    table.line(&format!("{name}, depth {depth}{over}: CPU per request"), "us", medians, target);
}

fn load(side: &Loaded, command: &str, depth: usize, requests: usize) {
    let (depth, requests) = (depth.to_string(), requests.to_string());
    let mut args: Vec<&str> = side.way.iter().map(String::as_str).collect();
    args.extend(["-q", "-P", &depth, "-n", &requests, "-r", KEYS, "-c", "50"]);
    args.extend(command.split(' '));
    run(&binaries::debian("redis-benchmark"), &args, LONG * 5).expect_success("redis-benchmark");
}
