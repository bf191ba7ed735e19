//! The log in the forms that programs read, whatever clients put into it.

use testkit::process::run_command;
use testkit::wait::LONG;
use testkit::{Kind, Server};

/// Reads lines of JSON from a file by a real parser, and prints role, level and message of each.
const READER: &str = "
import json, re, sys
for line in open(sys.argv[1], encoding='utf-8', newline='\\n'):
    event = json.loads(line)
    assert list(event) == ['ts', 'level', 'pid', 'role', 'msg'], event
    assert re.fullmatch(r'\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z', event['ts']), event
    assert event['pid'] == int(sys.argv[2]), event
    print(event['role'], event['level'], ascii(event['msg']))
";

/// A name that somebody hostile gives for a master: quotes, line ends, escapes, bytes that are no UTF-8.
const EVIL: &[u8] = b"a\"b\\\n{}\x1b[2J\xff\xe2\x80\xae";

#[test]
fn a_line_of_json_is_one_whatever_clients_say() {
    let mut server =
        Server::of(Kind::Tandem).set("log-format json").set("logfile json.log").start();
    server.client().args(&[b"REPLICAOF", EVIL, b"1"]);
    server.good("REPLICAOF NO ONE");
    let pid = server.pid().to_string();
    server.stop();
    let mut reader = std::process::Command::new("python3");
    reader.args(["-c", READER]).arg(server.file("json.log")).arg(pid);
    let events = run_command(reader, LONG).expect_success("every line is an object").stdout;
    assert!(events.contains("starting notice 'oO0OoO0OoO0Oo Redis is starting"), "{events}");
    assert!(events.contains("master notice 'Ready to accept connections tcp'"), "{events}");
    assert!(events.contains("a\"b\\\\\\n{}\\x1b[2J\\ufffd\\u202e"), "{events}");
    assert!(events.contains("replica notice 'MASTER <-> REPLICA sync started'"), "{events}");
}

#[test]
fn the_form_changes_at_run_time_and_text_is_redis_s() {
    let server = Server::of(Kind::Tandem).set("log-format legacy").start();
    let start = server.log();
    let pid = server.pid();
    let ready = " * Ready to accept connections tcp";
    assert!(start.contains(&format!("{pid}:M ")) && start.contains(ready), "{start}");
    server.good("CONFIG SET log-format logfmt");
    server.good("CONFIG REWRITE");
    let line = format!(
        "Z level=notice pid={pid} role=master msg=\"CONFIG REWRITE executed with success.\"\n"
    );
    server.wait_log(&line);
    assert_eq!(server.config("log-format"), "logfmt");
    let file = std::fs::read_to_string(server.config_path()).expect("the file");
    assert!(file.contains("log-format logfmt"), "{file}");
    let before = server.log().len();
    server.good("CONFIG SET log-format text");
    server.good("CONFIG REWRITE");
    server.wait_log(" * CONFIG REWRITE executed with success.\n");
    let after = server.log()[before..].to_owned();
    assert!(after.starts_with(&format!("{pid}:M ")), "{after}");
    let refusal = server.run("CONFIG SET log-format xml");
    assert!(refusal.error().contains("must be one of the following: text, logfmt, json, legacy"));
}
