//! What operators look at and set: MONITOR, logs of commands and logins, limits of buffers, the figures
//! of INFO. The same on Redis and on Tandem.

use tandem_tests::each_server;
use testkit::process::run;
use testkit::wait::{SHORT, wait_until};
use testkit::{Client, Kind, Server, binaries};

/// The lines that a monitor sees, without the time and the client.
fn monitored(monitor: &mut Client, count: usize) -> Vec<String> {
    let line = |monitor: &mut Client| {
        let line = monitor.read_line().unwrap();
        let command = line.split_once("] ").map(|(_, command)| command.trim_end().to_string());
        command.unwrap_or(line)
    };
    (0..count).map(|_| line(monitor)).collect()
}

fn monitors_see_what_ran_and_no_secrets(kind: Kind) {
    let server = Server::of(kind).start();
    let (mut monitor, mut client) = (server.client(), server.client());
    assert!(monitor.run("MONITOR").is_ok());
    assert!(client.args(&["SET", "k", "a b"]).is_ok());
    client.good("CONFIG GET port");
    assert!(client.run("AUTH nobody secret").is_error());
    assert!(client.run("HELLO 2 AUTH nobody secret SETNAME me").is_error());
    client.good("MULTI");
    client.good("INCR n");
    client.good("EXEC");
    assert_eq!(
        monitored(&mut monitor, 6),
        [
            r#""SET" "k" "a b""#,
            r#""AUTH" "(redacted)" "(redacted)""#,
            r#""HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me""#,
            r#""MULTI""#,
            r#""INCR" "n""#,
            r#""EXEC""#,
        ]
    );
}

fn the_slow_log_has_no_secrets(kind: Kind) {
    let server = Server::of(kind).set("slowlog-log-slower-than 0").start();
    let mut client = server.client();
    client.good("CONFIG SET masterauth secret maxclients 5000");
    assert!(client.run("AUTH nobody secret").is_error());
    let logged: Vec<Vec<String>> =
        client.good("SLOWLOG GET 2").items().iter().map(|e| e.items()[3].texts()).collect();
    let words = "CONFIG SET masterauth (redacted) maxclients 5000".split(' ');
    assert_eq!(logged[1], words.collect::<Vec<_>>());
    assert_eq!(logged[0], ["AUTH", "(redacted)", "(redacted)"]);
}

fn wrong_passwords_are_in_the_acl_log(kind: Kind) {
    let server = Server::of(kind).start();
    let mut client = server.client();
    client.good("CLIENT SETNAME burglar");
    for _ in 0..2 {
        assert!(client.run("AUTH nobody guess").error().starts_with("WRONGPASS"));
    }
    assert!(client.run("HELLO 3 AUTH somebody guess").error().starts_with("WRONGPASS"));
    let log = client.good("ACL LOG");
    let field = |entry: usize, name: &str| {
        let fields = log.items()[entry].items();
        let at = fields.chunks(2).position(|pair| pair[0].text() == name).unwrap();
        fields[2 * at + 1].clone()
    };
    assert_eq!(log.items().len(), 2, "like attempts are one entry");
    assert_eq!((field(0, "count").int(), field(1, "count").int()), (1, 2));
    assert_eq!(field(0, "object").text(), "HELLO");
    assert_eq!(field(1, "object").text(), "AUTH");
    assert_eq!(field(1, "username").text(), "nobody");
    assert_eq!(field(1, "reason").text(), "auth");
    assert_eq!(field(1, "context").text(), "toplevel");
    assert!(field(1, "client-info").text().contains("name=burglar"));
    assert_eq!(client.good("ACL LOG 1").items().len(), 1);
    client.good("ACL LOG RESET");
    assert!(client.good("ACL LOG").items().is_empty());
}

/// A request of which only a part arrives: `bytes` of them.
fn begin_request(client: &mut Client, bytes: usize) {
    client.send_raw(format!("*2\r\n$4\r\nPING\r\n${}\r\n", 2 * bytes).as_bytes()).unwrap();
    // A server that closes the connection meanwhile does not take all of it.
    let _ = client.send_raw(&vec![b'x'; bytes]);
}

fn clients_that_take_too_much_are_closed_the_largest_first(kind: Kind) {
    const MB: usize = 1 << 20;
    let server = Server::of(kind).set("maxmemory-clients 4mb").start();
    let mut sheltered = server.client();
    sheltered.good("CLIENT NO-EVICT on");
    let (mut small, mut large) = (server.client(), server.client());
    begin_request(&mut sheltered, MB / 2);
    begin_request(&mut small, MB / 2);
    begin_request(&mut large, 8 * MB);
    assert!(large.read_reply().is_err(), "the largest is closed");
    assert_eq!(server.info("stats").number::<u64>("evicted_clients"), 1);
    // The others are still there and may finish what they began.
    for client in [&mut sheltered, &mut small] {
        client.send_raw(&vec![b'x'; MB / 2]).unwrap();
        client.send_raw(b"\r\n").unwrap();
        assert_eq!(client.read_reply().unwrap().text().len(), MB);
    }
}

fn info_says_what_clients_take(kind: Kind) {
    const MB: usize = 1 << 20;
    let server = Server::of(kind).start();
    let taken = || server.info("memory").number::<usize>("mem_clients_normal");
    let before = taken();
    let mut client = server.client();
    begin_request(&mut client, 2 * MB);
    wait_until(SHORT, "the buffer is counted", || taken() > before + MB);
    let overhead = server.info("memory").number::<usize>("used_memory_overhead");
    assert!(overhead > 2 * MB, "{overhead}");
    drop(client);
    wait_until(SHORT, "the buffer is gone", || taken() < before + MB);
}

fn a_reply_over_the_hard_limit_is_not_sent(kind: Kind) {
    let server = Server::of(kind).set("client-output-buffer-limit normal 100kb 0 0").start();
    let mut client = server.client();
    client.args(&["SET".as_bytes(), b"k", &vec![b'x'; 1 << 20]]);
    client.good("HSET h field value");
    client.send(&["GET", "k"]).unwrap();
    assert!(client.read_reply().is_err());
    // Nor is it made to its end, which may be far away.
    let mut client = server.client();
    client.send(&["HRANDFIELD", "h", "-1000000000"]).unwrap();
    assert!(client.read_reply().is_err());
    assert_eq!(server.good("STRLEN k").int(), 1 << 20);
}

fn a_command_that_waited_counts_once(kind: Kind) {
    let server = Server::of(kind).start();
    let (mut waiting, mut other) = (server.client(), server.client());
    let id = waiting.good("CLIENT ID").int();
    let blocked = || server.info("clients").number::<u32>("blocked_clients") == 1;
    waiting.send(&["BLPOP", "l", "0"]).unwrap();
    wait_until(SHORT, "it waits", blocked);
    other.good("RPUSH l a");
    assert_eq!(waiting.read_reply().unwrap().texts(), ["l", "a"]);
    let stats = || server.info("commandstats").text("cmdstat_blpop").to_string();
    assert!(stats().starts_with("calls=1,"), "{}", stats());
    waiting.send(&["BLPOP", "l", "0"]).unwrap();
    wait_until(SHORT, "it waits again", blocked);
    other.good(&format!("CLIENT UNBLOCK {id} ERROR"));
    assert!(waiting.read_reply().unwrap().is_error());
    assert!(stats().starts_with("calls=2,"), "{}", stats());
    assert!(stats().ends_with("failed_calls=1"), "{}", stats());
}

fn latencies_are_told_by_the_percentiles_asked_for(kind: Kind) {
    let server = Server::of(kind).start();
    let percentiles = ["CONFIG", "SET", "latency-tracking-info-percentiles", "0 50 99.99"];
    assert!(server.client().args(&percentiles).is_ok());
    server.good("SET k v");
    let info = server.info("latencystats");
    let set = info.text("latency_percentiles_usec_set");
    let names: Vec<&str> = set.split(',').map(|p| p.split('=').next().unwrap()).collect();
    assert_eq!(names, ["p0", "p50", "p99.99"], "{set}");
    server.good("CONFIG SET latency-tracking no");
    assert_eq!(server.info("latencystats").find("latency_percentiles_usec_set"), None);
}

fn the_append_only_file_notes_the_time(kind: Kind) {
    let mut server = Server::of(kind)
        .set("appendonly yes")
        .set("appendfsync always")
        .set("aof-use-rdb-preamble no")
        .set("aof-timestamp-enabled yes")
        .start();
    server.good("SET k v");
    let incr = server.read_file("appendonlydir/appendonly.aof.1.incr.aof");
    // Redis notes a second once, and the first may be in the base.
    assert!(!kind.is_tandem() || incr.starts_with(b"#TS:"), "{}", incr.escape_ascii());
    server.good("BGREWRITEAOF");
    server.wait_no_child();
    let base = server.read_file("appendonlydir/appendonly.aof.2.base.aof");
    assert!(base.starts_with(b"#TS:"), "{}", base.escape_ascii());
    server.good("SET k2 v2");
    let manifest = server.file("appendonlydir/appendonly.aof.manifest");
    let check = binaries::debian("redis-check-aof");
    run(&check, &[manifest.to_str().unwrap()], SHORT).expect_success("redis-check-aof");
    server.stop();
    server.start_again();
    assert_eq!(server.good("MGET k k2").texts(), ["v", "v2"]);
}

fn replaced_append_only_files_stay_when_asked_to(kind: Kind) {
    let server = Server::of(kind).set("appendonly yes").set("aof-disable-auto-gc yes").start();
    server.good("BGREWRITEAOF");
    server.wait_no_child();
    let manifest = || server.read_file("appendonlydir/appendonly.aof.manifest");
    let history = || manifest().windows(7).filter(|word| word == b" type h").count();
    assert_eq!(history(), 2);
    assert_eq!(server.files("appendonlydir").len(), 5);
    server.good("CONFIG SET aof-disable-auto-gc no");
    wait_until(SHORT, "they are removed", || server.files("appendonlydir").len() == 3);
    assert_eq!(history(), 0);
}

fn renamed_commands_answer_to_their_new_names_only(kind: Kind) {
    let mut server = Server::of(kind)
        .set("rename-command flushall b840fc02d524045429941cc15f59e41cb7be6c52")
        .set("rename-command FLUSHDB \"\"")
        .start();
    for _ in 0..2 {
        server.good("SET k v");
        for gone in ["FLUSHALL", "FLUSHDB"] {
            assert!(server.run(gone).error().starts_with("ERR unknown command"));
        }
        server.good("B840FC02D524045429941cc15f59e41cb7be6c52");
        assert_eq!(server.good("DBSIZE").int(), 0);
        server.good("CONFIG REWRITE");
        server.stop();
        server.start_again();
    }
}

fn a_new_key_is_told_before_what_made_it(kind: Kind) {
    let server = Server::of(kind).set("notify-keyspace-events En$lg").start();
    assert_eq!(server.config("notify-keyspace-events"), "g$lnE");
    let (mut listener, mut client) = (server.client(), server.client());
    listener.good("PSUBSCRIBE *");
    for command in ["SET a 1", "SET a 2", "RPUSH l x", "RPUSH l y", "RENAME a b", "COPY b c"] {
        client.good(command);
    }
    let mut told = || {
        let message = listener.read_reply().unwrap().texts();
        format!("{} {}", message[2].rsplit(':').next().unwrap(), message[3])
    };
    let told: Vec<String> = (0..11).map(|_| told()).collect();
    let expected = "new a,set a,set a,new l,rpush l,rpush l,new b,rename_from a,rename_to b";
    let mut expected: Vec<&str> = expected.split(',').collect();
    expected.extend(["new c", "copy_to c"]);
    let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
    // Redis tells of the new name before it tells of the old one.
    told[6..9].sort();
    expected[6..9].sort();
    assert_eq!(told, expected);
}

/// What was deleted while the file was off must not come back when it is on again.
fn a_rewrite_while_the_file_is_off_is_the_whole_truth(kind: Kind) {
    let mut server = Server::of(kind).set("appendonly yes").start();
    server.good("SET old v");
    server.good("CONFIG SET appendonly no");
    server.good("DEL old");
    server.good("SET new v");
    server.good("BGREWRITEAOF");
    server.wait_no_child();
    let has_incr = || server.files("appendonlydir").iter().any(|name| name.contains(".incr."));
    wait_until(SHORT, "the increment is removed", || !has_incr());
    server.stop();
    server.start_again();
    assert_eq!(server.good("KEYS *").texts(), ["new"]);
}

each_server! {
    a_rewrite_while_the_file_is_off_is_the_whole_truth,
    a_new_key_is_told_before_what_made_it,
    renamed_commands_answer_to_their_new_names_only,
    monitors_see_what_ran_and_no_secrets,
    the_slow_log_has_no_secrets,
    wrong_passwords_are_in_the_acl_log,
    clients_that_take_too_much_are_closed_the_largest_first,
    info_says_what_clients_take,
    a_reply_over_the_hard_limit_is_not_sent,
    a_command_that_waited_counts_once,
    latencies_are_told_by_the_percentiles_asked_for,
    the_append_only_file_notes_the_time,
    replaced_append_only_files_stay_when_asked_to,
}
