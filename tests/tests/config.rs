//! Configs at the door: what is refused is refused with its place and its text, and what was changed at
//! run time survives a rewrite and a restart.

use tandem_tests::each_server;
use testkit::{Kind, Server, ServerBuilder};

/// An error names the line and quotes it; nothing is served.
fn an_unknown_directive_stops_the_start(kind: Kind) {
    for line in ["no-such-directive 1", "maxclients", "appendonly perhaps", "port 99999999"] {
        let failed = Server::of(kind).set("# a comment").set(line).start_and_fail();
        assert_eq!(failed.status.code(), Some(1), "{line}: {}", failed.output());
        let output = failed.output();
        assert!(output.contains(">>> "), "{line}: {output}");
        assert!(output.contains(line), "the line's text is quoted: {output}");
        // Two lines of the harness, six of its base config, the comment, then this one.
        let expected = format!("at line {}", 2 + 6 + 2);
        assert!(output.contains(&expected), "the line's number is told: {output}");
    }
}

fn an_unclosed_quote_stops_the_start(kind: Kind) {
    let failed = Server::of(kind).set("requirepass \"half").start_and_fail();
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.output().contains("requirepass \"half"), "{}", failed.output());
}

fn a_missing_config_file_stops_the_start(kind: Kind) {
    let failed = Server::of(kind).set("include /nowhere/at/all.conf").start_and_fail();
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.output().contains("/nowhere/at/all.conf"), "{}", failed.output());
}

fn every_old_spelling_is_accepted(kind: Kind) {
    let server = Server::of(kind)
        .set("masterauth secret")
        .set("slave-read-only no")
        .set("slave-serve-stale-data no")
        .set("slave-priority 7")
        .set("min-slaves-to-write 0")
        .set("min-slaves-max-lag 11")
        .set("client-output-buffer-limit slave 300mb 60mb 61")
        .set("slave-announce-ip 10.0.0.1")
        .set("repl-ping-slave-period 12")
        .set("slave-lazy-flush yes")
        .set("slave-ignore-maxmemory no")
        .start();
    for (name, value) in [
        ("replica-read-only", "no"),
        ("slave-read-only", "no"),
        ("replica-serve-stale-data", "no"),
        ("replica-priority", "7"),
        ("min-replicas-max-lag", "11"),
        ("replica-announce-ip", "10.0.0.1"),
        ("repl-ping-replica-period", "12"),
        ("replica-lazy-flush", "yes"),
    ] {
        assert_eq!(server.config(name), value, "{name}");
    }
    assert!(server.config("client-output-buffer-limit").contains("slave 314572800 62914560 61"));
}

fn units_quotes_includes_and_repetitions(kind: Kind) {
    let mut server = Server::of(kind)
        .set("include extra.conf")
        .set("repl-backlog-size 3mb")
        .set("requirepass \"with \\\"quotes\\\" and \\x41\"")
        .prepare();
    server.write_file("extra.conf", b"maxmemory 1gb\nrepl-backlog-size 1mb\n");
    // The path of an include is relative to the folder that the server starts in.
    server.start_again();
    let mut client = server.client();
    client.args(&["AUTH", "with \"quotes\" and A"]);
    let mut get = |name: &str| client.good(&format!("CONFIG GET {name}")).texts().pop();
    assert_eq!(get("maxmemory").as_deref(), Some("1073741824"));
    assert_eq!(get("repl-backlog-size").as_deref(), Some("3145728"), "the later one wins");
    let server = Server::of(kind).set("save 900 1").set("save 300 10").start();
    assert_eq!(server.config("save"), "900 1 300 10", "lines of `save` add up");
    let server = Server::of(kind).without_base_config().set("save").start();
    assert_eq!(server.config("save"), "", "a bare `save` is none");
}

fn arguments_on_the_command_line_win_over_the_file(kind: Kind) {
    let server = Server::of(kind)
        .set("maxmemory 1mb")
        .args(&["--maxmemory", "2mb", "--save", "60", "1000", "--appendfsync", "always"])
        .start();
    assert_eq!(server.config("maxmemory"), "2097152");
    assert_eq!(server.config("appendfsync"), "always");
    assert!(server.config("save").contains("60 1000"));
}

fn a_rewrite_survives_a_restart(kind: Kind) {
    let mut server =
        Server::of(kind).set("# kept comment").set("maxmemory 1mb").set("slave-priority 5").start();
    server.good("CONFIG SET maxmemory 5mb");
    server.good("CONFIG SET replica-priority 9");
    server.good("CONFIG SET repl-backlog-size 2mb");
    assert!(server.good("CONFIG REWRITE").is_ok());
    let text = String::from_utf8_lossy(&server.read_file("redis.conf")).into_owned();
    assert!(text.contains("# kept comment"), "{text}");
    server.stop();
    server.start_again();
    assert_eq!(server.config("maxmemory"), (5 << 20).to_string());
    assert_eq!(server.config("replica-priority"), "9");
    assert_eq!(server.config("repl-backlog-size"), (2 << 20).to_string());
}

/// A role that was changed at run time is written down as well.
fn a_rewrite_keeps_the_role(kind: Kind) {
    let master = Server::of(kind).name("master").start();
    let mut replica = Server::of(kind).name("replica").start();
    replica.follow(&master);
    replica.good("CONFIG REWRITE");
    replica.wait_link_up();
    replica.stop();
    replica.start_again();
    assert_eq!(replica.info("replication").text("role"), "slave");
    replica.wait_link_up();
    replica.good("REPLICAOF NO ONE");
    replica.good("CONFIG REWRITE");
    replica.stop();
    replica.start_again();
    assert_eq!(replica.info("replication").text("role"), "master");
}

/// A rewrite that cannot be done says why, in the system's words and once.
fn a_rewrite_that_fails_says_why(kind: Kind) {
    let server = Server::of(kind).start();
    std::fs::remove_file(server.config_path()).expect("the file is there");
    std::fs::create_dir(server.config_path()).expect("the name is free");
    let answer = server.run("CONFIG REWRITE");
    assert_eq!(answer.error(), "ERR Rewriting config file: Is a directory");
}

fn config_set_refuses_what_a_file_would(kind: Kind) {
    let server = Server::of(kind).start();
    let error = server.run("CONFIG SET no-such-directive 1");
    assert!(error.error().starts_with("ERR Unknown option or number of arguments"), "{error:?}");
    let error = server.run("CONFIG SET maxclients none");
    assert!(error.error().starts_with("ERR CONFIG SET failed"), "{error:?}");
    // All or nothing.
    let before = server.config("maxmemory");
    assert!(server.run("CONFIG SET maxmemory 7mb maxclients none").is_error());
    assert_eq!(server.config("maxmemory"), before);
}

/// Names programs of other servers, by colons between them: these are compared with, too.
const PEERS_VARIABLE: &str = "TANDEM_PEERS";

/// All that a server tells of its configuration is a file that the other one starts with, in every line of it.
fn what_a_server_of_redis_is_configured_with_is_understood(kind: Kind) {
    is_understood(kind, Server::of(Kind::Redis));
    let peers = std::env::var(PEERS_VARIABLE).unwrap_or_default();
    for program in peers.split(':').filter(|p| !p.is_empty() && kind == Kind::Tandem) {
        is_understood(kind, Server::of(Kind::Redis).program(program).name(program));
    }
}

fn is_understood(kind: Kind, peer: ServerBuilder) {
    let redis = peer.start();
    let all = redis.good("CONFIG GET *").texts();
    let mut builder = Server::of(kind);
    for pair in all.chunks(2) {
        let [name, value] = pair else { panic!("pairs: {all:?}") };
        let is_a_place = ["dir", "port", "bind", "logfile", "pidfile"].contains(&name.as_str());
        let is_the_role = ["slaveof", "replicaof"].contains(&name.as_str());
        let words = match name.as_str() {
            // These take several words, which is not how they are told in one.
            "client-output-buffer-limit" | "save" | "oom-score-adj-values" => value.clone(),
            _ => format!("\"{value}\""),
        };
        if !is_a_place && !is_the_role && !words.is_empty() {
            builder = builder.set(&format!("{name} {words}"));
        }
    }
    builder.start().good("PING");
}

/// The file that Debian ships, with the places that are Debian's moved here.
fn debians_own_file_starts_a_server(kind: Kind) {
    let text = std::fs::read_to_string("/etc/redis/redis.conf").expect("redis-server is installed");
    let mut builder = Server::of(kind);
    let mut lines = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let name = line.split(' ').next().unwrap_or_default();
        if !["dir", "port", "bind", "logfile", "pidfile", "daemonize"].contains(&name) {
            builder = builder.set(line);
            lines += 1;
        }
    }
    assert!(lines > 50, "{lines} lines");
    builder.start().good("PING");
}

/// A file of a newer Redis, or of Valkey, stopped the start with its first directive that is not known here.
#[test]
fn a_file_of_valkey_or_redis_8_stops_the_start() {
    let server = Server::of(Kind::Tandem)
        .set("primaryauth secret\nprimaryuser repl")
        .set("commandlog-execution-slower-than 77\ncommandlog-request-larger-than 100")
        .set("dual-channel-replication-enabled yes\nhash-seed \"some seed\"")
        .set("repl-rdb-channel yes\nlua-enable-deprecated-api no\nserver-cpulist 0-1")
        .start();
    assert_eq!(server.config("masterauth"), "secret");
    assert_eq!(server.config("primaryuser"), "repl");
    assert_eq!(server.config("slowlog-log-slower-than"), "77");
    assert_eq!(server.config("commandlog-request-larger-than"), "100");
    for name in
        ["dual-channel-replication-enabled", "hash-seed", "repl-rdb-channel", "server_cpulist"]
    {
        let notice = format!("WARNING: {name} has no effect: ");
        assert_eq!(server.log().matches(&notice).count(), 1, "{name}: {}", server.log());
    }
    assert!(!server.log().contains("some seed"), "{}", server.log());
    // A rewrite leaves alone what is not ours, and keeps what is under a name that is read back.
    server.good("CONFIG SET primaryauth changed");
    server.good("CONFIG REWRITE");
    let text = std::fs::read_to_string(server.config_path()).expect("the file");
    assert!(text.contains("\nhash-seed \"some seed\"\n") && !text.contains("secret"), "{text}");
    assert!(
        text.contains("\nmasterauth \"changed\"\n") || text.contains("\nmasterauth changed\n"),
        "{text}"
    );
    // What somebody relies on is another matter.
    for (name, file) in [("loadmodule", "/no/such/search.so"), ("aclfile", "/no/such/users.acl")] {
        let failed = Server::of(Kind::Tandem).set(&format!("{name} {file}")).start_and_fail();
        assert!(failed.output().contains(file), "{}", failed.output());
    }
}

/// `redis-server --version` and `--help` are for people and scripts.
fn version_and_help(kind: Kind) {
    let done = testkit::process::run(&kind.program(), &["--version"], testkit::SHORT)
        .expect_success("--version");
    assert!(done.stdout.contains(" v=") && done.stdout.contains(" bits="), "{}", done.stdout);
    // Redis ends with status 1 here.
    let done = testkit::process::run(&kind.program(), &["--help"], testkit::SHORT);
    assert!(done.output().contains("Usage: "), "{}", done.output());
}

each_server! {
    an_unknown_directive_stops_the_start,
    an_unclosed_quote_stops_the_start,
    a_missing_config_file_stops_the_start,
    every_old_spelling_is_accepted,
    units_quotes_includes_and_repetitions,
    arguments_on_the_command_line_win_over_the_file,
    a_rewrite_survives_a_restart,
    a_rewrite_keeps_the_role,
    a_rewrite_that_fails_says_why,
    config_set_refuses_what_a_file_would,
    what_a_server_of_redis_is_configured_with_is_understood,
    debians_own_file_starts_a_server,
    version_and_help,
}
