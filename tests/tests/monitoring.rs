//! Metrics, health and the page, as a scraper, a load balancer and somebody hostile meet them.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::binaries::workspace_root;
use testkit::ports::Port;
use testkit::process::kill_group_on_drop;
use testkit::wait::{LONG, wait_until};
use testkit::{Kind, Server, fill};

struct Answer {
    status: u16,
    head: String,
    body: String,
}

#[allow(clippy::disallowed_methods)] // a scraper owns a socket
fn try_connect(port: &Port) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port.number()))?;
    stream.set_read_timeout(Some(LONG))?;
    Ok(stream)
}

fn connect(port: &Port) -> TcpStream {
    try_connect(port).expect("metrics are served")
}

fn get(port: &Port, path: &str) -> Answer {
    ask(port, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
}

fn ask(port: &Port, request: &[u8]) -> Answer {
    let mut stream = connect(port);
    stream.write_all(request).expect("the request is taken");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer, and the end");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    Answer { status, head: head.into(), body: body.into() }
}

fn serving(port: &Port) -> testkit::ServerBuilder {
    Server::of(Kind::Tandem).set(&format!("metrics-port {}", port.number()))
}

fn metric(port: &Port, name: &str) -> Option<f64> {
    let text = get(port, "/metrics").body;
    let line = text.lines().find(|l| l.strip_prefix(name).is_some_and(|l| l.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_scrape_has_what_info_has_and_what_it_lacks() {
    let (master_port, replica_port) = (Port::reserve(), Port::reserve());
    let master = serving(&master_port).set("appendonly yes").start();
    let replica = serving(&replica_port).replica_of(&master).start();
    replica.wait_link_up();
    master.good("SET k v");
    let of_replica = format!("{{replica_ip=\"127.0.0.1\",replica_port=\"{}\"}}", replica.port());
    wait_until(LONG, "the replica has caught up", || {
        metric(&master_port, &format!("tandem_replica_lag_bytes{of_replica}")) == Some(0.0)
    });
    assert_eq!(metric(&master_port, "redis_up"), Some(1.0));
    wait_until(LONG, "the key is counted", || {
        metric(&master_port, "redis_db_keys{db=\"db0\"}") == Some(1.0)
    });
    assert_eq!(metric(&master_port, "redis_connected_slaves"), Some(1.0));
    assert_eq!(metric(&master_port, "tandem_full_syncs_total{reason=\"first\"}"), Some(1.0));
    assert!(metric(&master_port, "tandem_backlog_seconds").is_some());
    assert!(metric(&master_port, "tandem_aof_unsynced_age_seconds").is_some());
    assert!(metric(&master_port, "tandem_loop_seconds_count").is_some_and(|n| n > 0.0));
    let of_master = format!("{{master_host=\"127.0.0.1\",master_port=\"{}\"}}", master.port());
    wait_until(LONG, "the link is told as up", || {
        metric(&replica_port, &format!("redis_master_link_up{of_master}")) == Some(1.0)
    });
    let tree = get(&replica_port, "/tree.json");
    assert!(tree.head.contains("application/json"), "{}", tree.head);
    assert!(tree.body.contains(&format!("\"name\":\"127.0.0.1:{}\"", master.port())));
    let page = get(&master_port, "/");
    assert!(page.status == 200 && page.body.contains("<title>Tandem</title>"));
}

/// The names of series in a text, without comments.
fn named_series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let is_series = |word: &&str| word.starts_with("redis_") || word.starts_with("tandem_");
    words.filter(is_series).map(str::to_owned).collect()
}

/// The series of a scrape: the families, and those that a histogram and a summary come to.
fn exported_series(scrape: &str) -> BTreeSet<String> {
    let samples = scrape.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// What the exporter that everybody has makes of a server's INFO.
fn scraped_by_the_exporter(server: &Server) -> String {
    let port = Port::reserve();
    let mut command = Command::new("/usr/bin/prometheus-redis-exporter");
    command.arg("-redis.addr").arg(format!("redis://127.0.0.1:{}", server.port()));
    command.arg("-web.listen-address").arg(format!("127.0.0.1:{}", port.number()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = command.spawn().expect("`scripts/install-test-deps` installs it");
    let _exporter = kill_group_on_drop(child);
    wait_until(LONG, "the exporter listens", || try_connect(&port).is_ok());
    // In one piece, which 1.1 would not be.
    ask(&port, b"GET /metrics HTTP/1.0\r\n\r\n").body
}

/// The ordinary exporter finds in our INFO all that it finds in Redis's, on both sides of a link.
#[test]
fn s5_2_the_ordinary_exporter_reads_our_info_as_it_reads_redis_s() {
    let scrapes = |kind| {
        let master = Server::of(kind).name("master").start();
        let replica = Server::of(kind).name("replica").replica_of(&master).start();
        replica.wait_link_up();
        master.wait_online_replicas(1);
        master.good("SET k v");
        assert!(master.run("GETT k").is_error(), "an error is counted");
        [&master, &replica].map(scraped_by_the_exporter)
    };
    let (theirs, ours) = (scrapes(Kind::Redis), scrapes(Kind::Tandem));
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let (theirs, found) = (exported_series(theirs), exported_series(ours));
        assert!(theirs.len() > 100, "{theirs:?}");
        let missing: Vec<_> = theirs.difference(&found).collect();
        assert!(missing.is_empty(), "it misses {missing:?}");
        assert!(ours.contains("\nredis_up 1\n"), "{ours}");
    }
    let [master, replica] = &ours;
    for (scrape, text) in [
        (master, "redis_connected_slaves 1\n"),
        (master, "redis_connected_slave_lag_seconds{slave_ip=\"127.0.0.1\""),
        (master, "redis_rdb_last_bgsave_status 1\n"),
        (master, "role=\"master\""),
        (replica, "redis_master_link_up{"),
        (replica, "role=\"slave\""),
    ] {
        assert!(scrape.contains(text), "{text}: {scrape}");
    }
}

/// A dashboard and alerts that ask for what nobody exports are silent, which looks like health.
#[test]
fn dashboard_and_alerts_ask_for_what_is_exported() {
    let (master_port, replica_port) = (Port::reserve(), Port::reserve());
    let master = serving(&master_port).set("appendonly yes").set("repl-diskless-sync yes").start();
    let replica = serving(&replica_port).replica_of(&master).start();
    replica.wait_link_up();
    assert!(master.run("GETT k").is_error(), "an error is counted");
    let mut exported = BTreeSet::new();
    let mut gather = |port: &Port, series: &str| {
        wait_until(LONG, &format!("{series} is exported"), || {
            exported.extend(exported_series(&get(port, "/metrics").body));
            exported.contains(series)
        });
    };
    gather(&replica_port, "redis_master_link_up");
    gather(&master_port, "tandem_replica_lag_seconds");
    // What is there while a sync runs, and while the master is away.
    fill::many_keys(&mut master.client(), 60_000, 300);
    master.good("CONFIG SET rdbcompression no");
    master.good("CONFIG SET rdb-key-save-delay 1000");
    let _late = Server::of(Kind::Tandem).replica_of(&master).start();
    gather(&master_port, "tandem_sync_progress_ratio");
    drop(master);
    gather(&replica_port, "redis_master_link_down_since_seconds");

    for name in ["grafana-dashboard.json", "alerts.yml", "alerts_test.yml"] {
        let path = workspace_root().join("monitoring").join(name);
        let named = named_series(&std::fs::read_to_string(path).expect(name));
        assert!(named.len() > 4, "{name}: {named:?}");
        let missing: Vec<_> = named.difference(&exported).collect();
        assert!(missing.is_empty(), "{name} asks for {missing:?}");
    }
    assert!(named_series("# redis_a\nx: rate(redis_b{c=\"d\"}[1m])").contains("redis_b"));
}

#[test]
fn a_replica_is_ready_when_it_is_in_sync() {
    let (master_port, port) = (Port::reserve(), Port::reserve());
    let master = serving(&master_port).start();
    let replica = serving(&port).replica_of(&master).start();
    wait_until(LONG, "the replica is ready", || get(&port, "/readyz").status == 200);
    wait_until(LONG, "a master is ready", || get(&master_port, "/readyz").status == 200);
    drop(master);
    let mut why = String::new();
    wait_until(LONG, "the replica is not ready any more", || {
        let answer = get(&port, "/readyz");
        why = answer.body;
        answer.status == 503
    });
    assert!(why.starts_with("the link to the master 127.0.0.1:"), "{why}");
    assert_eq!(get(&port, "/healthz").status, 200, "it lives all the same");
    replica.good("REPLICAOF NO ONE");
    wait_until(LONG, "a promoted one is ready", || get(&port, "/readyz").status == 200);
}

/// A load balancer that saw the loop stand still must hear of it from somebody else than the loop.
#[test]
fn a_loop_that_is_stuck_is_not_healthy() {
    let port = Port::reserve();
    let server = serving(&port).start();
    wait_until(LONG, "the server is healthy", || get(&port, "/healthz").status == 200);
    let mut client = server.client();
    client.send(&["DEBUG", "SLEEP", "30"]).expect("the command is taken");
    wait_until(LONG, "the loop counts as stuck", || get(&port, "/healthz").status == 503);
    assert_eq!(metric(&port, "redis_up"), Some(0.0));
}

#[test]
fn whoever_is_hostile_costs_no_more_than_a_connection() {
    let port = Port::reserve();
    let server = serving(&port).start();
    wait_until(LONG, "metrics are served", || get(&port, "/metrics").status == 200);
    assert_eq!(ask(&port, b"\0\0\0\0\r\n\r\n").status, 400);
    assert_eq!(ask(&port, b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").status, 405);
    assert_eq!(get(&port, "/../etc/passwd").status, 404);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(20_000));
    assert_eq!(ask(&port, long.as_bytes()).status, 431);
    let head = ask(&port, b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(head.status == 200 && head.body.is_empty());
    // Two requests at once on a connection that is kept: both are answered.
    let mut stream = connect(&port);
    let one = "GET /healthz HTTP/1.1\r\n\r\n";
    stream.write_all(format!("{one}{one}").as_bytes()).expect("both are taken");
    let mut text = String::new();
    while text.matches("ok\n").count() < 2 {
        let mut chunk = [0; 1024];
        let n = stream.read(&mut chunk).expect("both are answered");
        assert!(n > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..n]));
    }
    // More of them than there is room for, all silent: those beyond are closed, the loop serves on.
    let silent: Vec<TcpStream> = (0..200).map(|_| connect(&port)).collect();
    let mut last = silent.last().expect("there are some");
    let mut byte = [0];
    match last.read(&mut byte) {
        Ok(n) => assert_eq!(n, 0),
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(server.good("PING").text(), "PONG");
    drop(silent);
    wait_until(LONG, "there is room again", || {
        let Ok(mut stream) = try_connect(&port) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout is set");
        let mut text = String::new();
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut text).is_ok()
            && text.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn metrics_begin_and_end_at_run_time_and_a_taken_port_is_refused() {
    let (first, second) = (Port::reserve(), Port::reserve());
    let mut server = serving(&first).start();
    wait_until(LONG, "metrics are served", || get(&first, "/metrics").status == 200);
    let taken = server.port().to_string();
    let refusal = server.client().args(&["CONFIG", "SET", "metrics-port", &taken]);
    assert!(refusal.error().contains("Unable to listen on this port"), "{refusal:?}");
    wait_until(LONG, "the old port serves on", || get(&first, "/metrics").status == 200);
    server.good(&format!("CONFIG SET metrics-port {}", second.number()));
    wait_until(LONG, "the new port serves", || get(&second, "/metrics").status == 200);
    assert!(try_connect(&first).is_err(), "the old one is closed");
    server.good("CONFIG SET metrics-port 0");
    assert!(try_connect(&second).is_err());
    server.signal(Signal::SIGTERM);
    assert!(server.wait_exit().success());
}
