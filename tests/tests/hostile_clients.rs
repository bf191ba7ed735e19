//! Clients that hang up half-way, never read what they asked for, or are no clients at all: over raw
//! sockets, because no client library behaves like that.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use tandem_tests::each_server;
use testkit::wait::{LONG, wait_for, wait_until};
use testkit::{Kind, Server};

/// A connection that takes no part in the protocol. No answer within `LONG` counts as hung.
fn raw(server: &Server) -> TcpStream {
    #[allow(clippy::disallowed_methods)] // a client of a real server owns a socket
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// Sends `commands`, closes the sending half, and returns all that comes until the server closes.
fn say_all_and_listen(server: &Server, commands: &str) -> String {
    let mut stream = raw(server);
    stream.write_all(commands.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn clients(server: &Server) -> usize {
    server.good("CLIENT LIST").text().lines().count()
}

/// `printf 'SET a b\r\n' | nc -N host port` lost 42 % of the replies, and nearly all with the
/// append-only file on, where they wait for the write.
fn a_client_that_has_said_everything_gets_its_replies(kind: Kind, directive: &str) {
    let server = Server::of(kind).set(directive).start();
    for round in 0..100 {
        let answer = say_all_and_listen(&server, "SET a b\r\nGET a\r\n");
        assert_eq!(answer, "+OK\r\n$1\r\nb\r\n", "round {round}");
        assert_eq!(say_all_and_listen(&server, "SET a b\r\nQUIT\r\n"), "+OK\r\n+OK\r\n");
    }
    wait_until(LONG, "all of them are gone", || clients(&server) == 1);
}

#[test]
fn replies_reach_who_closed_the_sending_half() {
    a_client_that_has_said_everything_gets_its_replies(Kind::Tandem, "appendonly no");
}

#[test]
fn replies_held_for_everysec_reach_who_closed_the_sending_half() {
    let directive = "appendonly yes\nappendfsync everysec";
    a_client_that_has_said_everything_gets_its_replies(Kind::Tandem, directive);
}

#[test]
fn replies_held_for_always_reach_who_closed_the_sending_half() {
    let directive = "appendonly yes\nappendfsync always";
    a_client_that_has_said_everything_gets_its_replies(Kind::Tandem, directive);
}

/// Tens of megabytes are far more than the sockets take: the reader who began late got what they
/// held, and then the end.
#[test]
fn a_slow_reader_gets_everything_after_closing_the_sending_half() {
    let server = Server::of(Kind::Tandem).start();
    let value = "v".repeat(1 << 20);
    assert!(server.client().args(&["SET", "big", &value]).is_ok());
    let mut stream = raw(&server);
    stream.write_all("GET big\r\n".repeat(32).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until(LONG, "the server has seen the end", || {
        server.good("CLIENT LIST").text().contains("flags=c")
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 32 * ("$1048576\r\n".len() + value.len() + 2));
    wait_until(LONG, "it is closed then", || clients(&server) == 1);
}

/// A client that has closed its sending half and reads nothing holds its replies until it is killed; CLIENT
/// KILL left out who was on the way out.
#[test]
fn a_client_that_leaves_and_does_not_read_can_be_killed() {
    let server = Server::of(Kind::Tandem).start();
    assert!(server.client().args(&["SET", "big", &"v".repeat(1 << 20)]).is_ok());
    let mut stream = raw(&server);
    stream.write_all("GET big\r\n".repeat(32).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until(LONG, "the server has seen the end", || {
        server.good("CLIENT LIST").text().contains("flags=c")
    });
    assert!(server.good("CLIENT KILL TYPE normal SKIPME yes").int() >= 1);
    wait_until(LONG, "it is gone", || clients(&server) == 1);
}

/// Who waits for a key has nothing to wait for any more, but gets what was answered before.
fn a_client_that_closes_while_it_is_blocked_is_closed(kind: Kind) {
    let server = Server::of(kind).start();
    assert_eq!(say_all_and_listen(&server, "SET a b\r\nBLPOP none 0\r\n"), "+OK\r\n");
    wait_until(LONG, "it is forgotten", || clients(&server) == 1);
    server.good("RPUSH none one");
    assert_eq!(server.good("LLEN none").int(), 1, "nobody was there to take it");
}

/// A peer that has gone for good is not waited for: its megabytes of replies are freed.
fn a_reset_frees_what_was_never_read(kind: Kind) {
    let server = Server::of(kind).start();
    assert!(server.client().args(&["SET", "big", &"v".repeat(1 << 20)]).is_ok());
    let mut stream = raw(&server);
    stream.write_all("GET big\r\n".repeat(32).as_bytes()).unwrap();
    wait_until(LONG, "replies pile up", || {
        server.good("CLIENT LIST").text().lines().any(|line| !line.contains("omem=0 "))
    });
    // Closing with unread data resets the connection.
    drop(stream);
    wait_until(LONG, "it is closed", || clients(&server) == 1);
}

/// How much a server's memory was at its highest, in megabytes.
fn peak_mb(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line VmHWM");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn wait_for_limit(server: &Server) {
    server.wait_log("overcoming of output buffer limits");
}

fn long_list(server: &Server) {
    let mut client = server.client();
    let element = "e".repeat(1000);
    let words = [vec!["RPUSH", "l"], vec![element.as_str(); 1000]].concat();
    assert_eq!(client.args(&words).int(), 1000);
}

/// `LRANGE l 0 -1` a thousand times without reading took 1.1 GB with a limit of 1 MB, because the limit
/// was looked at only when the whole batch had run.
fn the_output_limit_holds_within_a_pipeline(kind: Kind) {
    let server = Server::of(kind).set("client-output-buffer-limit normal 1mb 0 0").start();
    long_list(&server);
    let mut stream = raw(&server);
    // The server may hang up before it has taken all of it.
    let _ = stream.write_all("LRANGE l 0 -1\r\n".repeat(1000).as_bytes());
    wait_for_limit(&server);
    assert!(peak_mb(&server) < 150, "{} MB", peak_mb(&server));
}

/// The same in a transaction: it runs to its end, unheard.
fn the_output_limit_holds_within_a_transaction(kind: Kind) {
    let server = Server::of(kind).set("client-output-buffer-limit normal 1mb 0 0").start();
    long_list(&server);
    let mut stream = raw(&server);
    let queue = "LRANGE l 0 -1\r\n".repeat(1000);
    let _ = stream.write_all(format!("MULTI\r\n{queue}SET done yes\r\nEXEC\r\n").as_bytes());
    wait_for_limit(&server);
    assert_eq!(server.good("GET done").text(), "yes", "a transaction is not cut in two");
    assert!(peak_mb(&server) < 150, "{} MB", peak_mb(&server));
}

/// 3,000 patterns that match, and one PUBLISH of 300 KB: 883 MB with the default config, because the
/// limit of 32 MB was looked at when all was written.
fn the_output_limit_holds_within_one_publish(kind: Kind) {
    let server = Server::of(kind).start();
    let mut stream = raw(&server);
    let names: Vec<String> = (0..3000).map(|n| format!("[a-z{n}]*")).collect();
    stream.write_all(format!("PSUBSCRIBE {}\r\n", names.join(" ")).as_bytes()).unwrap();
    wait_until(LONG, "all are subscribed", || server.good("PUBSUB NUMPAT").int() >= 3000);
    let mut publisher = server.client();
    let message = "m".repeat(300_000);
    assert!(publisher.args(&["PUBLISH", "channel", &message]).int() >= 3000);
    wait_for_limit(&server);
    assert!(peak_mb(&server) < 150, "{} MB", peak_mb(&server));
}

/// Somebody who has no password let 64 MB of refusals pile up (CVE-2025-21605).
#[test]
fn a_stranger_who_reads_nothing_is_closed() {
    let server = Server::of(Kind::Tandem).start();
    server.good("CONFIG SET requirepass secret");
    let mut stream = raw(&server);
    let refused = "GET a\r\n".repeat(10_000);
    let broken = wait_for(LONG, "the server hangs up", || {
        stream.write_all(refused.as_bytes()).err().ok_or("it listens on".to_string())
    });
    assert_ne!(broken.kind(), io::ErrorKind::WouldBlock, "it must not be left hanging");
}

/// Who reads may ask as much as it likes: no refusal is lost.
#[test]
fn a_stranger_who_reads_gets_every_refusal() {
    let server = Server::of(Kind::Tandem).start();
    server.good("CONFIG SET requirepass secret");
    let mut stream = raw(&server);
    stream.write_all("GET a\r\n".repeat(500).as_bytes()).unwrap();
    stream.write_all(b"AUTH secret\r\n").unwrap();
    stream.write_all("PING\r\n".repeat(500).as_bytes()).unwrap();
    let expected = [
        "-NOAUTH Authentication required.\r\n".repeat(500),
        "+OK\r\n".to_string(),
        "+PONG\r\n".repeat(500),
    ];
    let mut answer = vec![0; expected.concat().len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), expected.concat());
    // The end of the input must not overtake what was sent before it.
    assert_eq!(say_all_and_listen(&server, &"GET a\r\n".repeat(500)), expected[0]);
}

/// A web page makes a browser send a form to a local port; its body is lines of commands.
fn a_web_page_cannot_write(kind: Kind) {
    let server = Server::of(kind).start();
    for head in ["POST / HTTP/1.1", "hOsT: 127.0.0.1:6379", "SET before yes\r\npost /"] {
        let mut stream = raw(&server);
        stream.write_all(format!("{head}\r\nSET stolen yes\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        // What follows is never read, which may well reset the connection.
        let _ = stream.read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).contains("ERR"), "{answer:?}");
    }
    assert_eq!(server.good("EXISTS stolen").int(), 0);
    assert_eq!(server.good("EXISTS before").int(), 1);
    let log = server.log();
    let warning = "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: \
                   commands to Redis.";
    assert_eq!(log.matches(warning).count(), 1, "once a minute is enough: {log}");
    assert!(log.contains("aborted."), "{log}");
}

each_server! {
    a_client_that_closes_while_it_is_blocked_is_closed,
    a_reset_frees_what_was_never_read,
    the_output_limit_holds_within_a_pipeline,
    the_output_limit_holds_within_a_transaction,
    the_output_limit_holds_within_one_publish,
    a_web_page_cannot_write,
}
