//! The ordinary clients of Redis, unchanged: redis-cli, redis-benchmark, redis-py and the `redis` crate.

use std::process::Command;

use redis::Commands;
use tandem_tests::{each_server, python};
use testkit::process::{Finished, run, run_command};
use testkit::wait::{LONG, SHORT};
use testkit::{Kind, Server, binaries, fill};

fn cli(server: &Server, args: &[&str]) -> Finished {
    let port = server.port().to_string();
    let args = [&["-p", port.as_str()], args].concat();
    run(&binaries::debian("redis-cli"), &args, SHORT).expect_success("redis-cli")
}

fn redis_cli_talks_to_the_server(kind: Kind) {
    let server = Server::of(kind).start();
    assert_eq!(cli(&server, &["set", "hello", "ahri"]).stdout, "OK\n");
    assert_eq!(cli(&server, &["get", "hello"]).stdout, "ahri\n");
    assert_eq!(cli(&server, &["-3", "hgetall", "none"]).stdout, "\n");
    let info = cli(&server, &["info", "replication"]).stdout;
    assert!(info.starts_with("# Replication\r\nrole:master\r\n"), "{info}");
    let error = cli(&server, &["no-such-command"]).stdout;
    assert!(error.starts_with("ERR unknown command 'no-such-command'"), "{error}");
}

fn redis_cli_scans_and_measures_the_keys(kind: Kind) {
    let server = Server::of(kind).start();
    fill::every_encoding(&mut server.client());
    let scanned = cli(&server, &["--scan", "--pattern", "list:*"]).stdout;
    let mut names: Vec<&str> = scanned.lines().collect();
    names.sort();
    assert_eq!(names, ["list:edge", "list:plain", "list:popped", "list:quick", "list:small"]);
    let big = cli(&server, &["--bigkeys"]).stdout;
    assert!(big.contains("Biggest   list found"), "{big}");
}

/// `redis-cli --rdb` plays a replica and writes down what it is sent.
fn redis_cli_fetches_a_dump_as_a_replica(kind: Kind) {
    let server = Server::of(kind).start();
    fill::every_encoding(&mut server.client());
    let path = server.file("fetched.rdb").display().to_string();
    cli(&server, &["--rdb", &path]);
    let checked = run(&binaries::debian("redis-check-rdb"), &[&path], SHORT)
        .expect_success("redis-check-rdb");
    assert!(checked.stdout.contains("RDB looks OK!"), "{}", checked.output());
}

/// Mass insertion: raw protocol at full speed, then an ECHO that marks its end.
fn redis_cli_pipes_commands_in(kind: Kind) {
    let server = Server::of(kind).start();
    let mut bytes = Vec::new();
    for i in 0..20_000 {
        testkit::client::encode(&mut bytes, &["SET".into(), format!("piped:{i}"), i.to_string()]);
    }
    server.write_file("commands", &bytes);
    let mut command = Command::new("/bin/sh");
    command.current_dir(server.dir()).arg("-c").arg(format!(
        "{} -p {} --pipe < commands",
        binaries::debian("redis-cli").display(),
        server.port()
    ));
    let done = run_command(command, LONG).expect_success("redis-cli --pipe");
    assert!(done.stdout.contains("errors: 0, replies: 20000"), "{}", done.output());
    assert_eq!(server.good("DBSIZE").int(), 20_000);
}

fn benchmark(server: &Server, args: &[&str]) -> String {
    let port = server.port().to_string();
    let args = [&["-p", port.as_str(), "-q"], args].concat();
    let done = run(&binaries::debian("redis-benchmark"), &args, LONG * 3)
        .expect_success("redis-benchmark");
    let output = done.output();
    assert!(!output.to_lowercase().contains("error"), "{output}");
    output
}

/// The default run, every test of it, with few requests.
fn redis_benchmark_runs_to_its_end(kind: Kind) {
    let server = Server::of(kind).start();
    let output = benchmark(&server, &["-n", "2000"]);
    for test in [
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "LPUSH",
        "RPUSH",
        "LPOP",
        "RPOP",
        "SADD",
        "HSET",
        "SPOP",
        "ZADD",
        "ZPOPMIN",
        "LRANGE_100",
        "LRANGE_600",
        "MSET",
    ] {
        assert!(output.contains(test), "{test} is missing:\n{output}");
    }
    assert_eq!(output.matches("requests per second").count(), 20, "{output}");
}

fn redis_benchmark_pipelines_and_speaks_resp3(kind: Kind) {
    let server = Server::of(kind).start();
    benchmark(&server, &["-n", "20000", "-P", "64", "-t", "set,get,incr"]);
    benchmark(&server, &["-n", "5000", "-P", "16", "-3", "-d", "2000", "-t", "set,get,lpush,lpop"]);
    // Values above 32 KiB are received and sent in buffers of their own.
    benchmark(&server, &["-n", "1000", "-d", "100000", "-t", "set,get"]);
}

fn redis_py_basic_use(kind: Kind) {
    let master = Server::of(kind).name("master").start();
    let replica = Server::of(kind).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    python::run_script("basic_use.py", &[master.port(), replica.port()]);
}

fn the_redis_crate_basic_use(kind: Kind) {
    let server = Server::of(kind).start();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port()))
        .expect("a well-formed address");
    let mut connection = client.get_connection().expect("a connection");
    let stored: () = connection.set("k", 42).expect("SET");
    assert_eq!(stored, ());
    let value: i64 = connection.get("k").expect("GET");
    assert_eq!(value, 42);
    let (a, b): (i64, Option<String>) = redis::pipe()
        .atomic()
        .incr("k", 1)
        .get("missing")
        .query(&mut connection)
        .expect("a transaction");
    assert_eq!((a, b), (43, None));
    let resp3 = format!("redis://127.0.0.1:{}/?protocol=resp3", server.port());
    let client = redis::Client::open(resp3).expect("a well-formed address");
    let mut connection = client.get_connection().expect("a connection that says HELLO 3");
    let added: usize = connection.sadd("s", &["a", "b"]).expect("SADD");
    assert_eq!(added, 2);
}

each_server! {
    redis_cli_talks_to_the_server,
    redis_cli_scans_and_measures_the_keys,
    redis_cli_fetches_a_dump_as_a_replica,
    redis_cli_pipes_commands_in,
    redis_benchmark_runs_to_its_end,
    redis_benchmark_pipelines_and_speaks_resp3,
    redis_py_basic_use,
    the_redis_crate_basic_use,
}
