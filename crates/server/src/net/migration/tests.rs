//! What a MIGRATE does with a target that refuses, stalls, babbles or goes away.

use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// One connection: reads what is sent up to `until`, then says `says`, and so on; then hangs up.
type Script = Vec<(&'static [u8], &'static [u8])>;

/// A target that plays one script a connection; it ends with what it has heard.
fn target(scripts: Vec<Script>) -> (Vec<u8>, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string().into_bytes();
    let heard = thread::spawn(move || {
        let mut heard = Vec::new();
        for script in scripts {
            let (mut stream, _) = listener.accept().expect("a connection");
            for (until, says) in script {
                let mut byte = [0];
                let mut part = Vec::new();
                while !part.ends_with(until) && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    part.push(byte[0]);
                }
                heard.extend(part);
                stream.write_all(says).expect("the other end is there");
            }
        }
        heard
    });
    (port, heard)
}

fn transfer<'a>(port: &'a [u8], auth: &'a [u8], expected: usize) -> Transfer<'a> {
    let requests: &[u8] = if expected == 1 { b"ONE\r\n" } else { b"ONE\r\nTWO\r\n" };
    Transfer { host: b"127.0.0.1", port, timeout_ms: 60_000, db: 9, auth, requests, expected }
}

const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n9\r\n";

fn carry(
    migrations: &mut Migrations,
    transfer: Transfer<'_>,
    now_us: u64,
) -> (Result<(), String>, Vec<Vec<u8>>) {
    let mut replies = Vec::new();
    let result = migrations.carry(transfer, None, now_us, &mut replies);
    (result.map_err(|error| error.as_str().to_owned()), replies)
}

/// A connection is kept with its database; ten seconds later it is closed.
#[test]
fn the_database_is_selected_once_and_the_connection_kept_for_a_while() {
    let script: Script =
        vec![(SELECT, b"+OK\r\n"), (b"ONE\r\n", b"+OK\r\n"), (b"ONE\r\n", b"+OK\r\n")];
    let (port, heard) = target(vec![script]);
    let mut migrations = Migrations::default();
    for now_us in [1, 2] {
        let (result, replies) = carry(&mut migrations, transfer(&port, b"", 1), now_us);
        assert_eq!((result, replies), (Ok(()), vec![b"+OK".to_vec()]));
    }
    assert_eq!(heard.join().expect("the target ends"), [SELECT, b"ONE\r\nONE\r\n"].concat());
    assert_eq!(migrations.len(), 1);
    migrations.cron(2 + KEPT_US);
    assert_eq!(migrations.len(), 1);
    migrations.cron(3 + KEPT_US);
    assert_eq!(migrations.len(), 0);
}

/// Where Redis sends everything at once, keys land in another database when SELECT is refused.
#[test]
fn nothing_is_sent_to_who_refuses_the_password_or_the_database() {
    for (first, second) in [("-WRONGPASS no", "+OK"), ("+OK", "-ERR DB index is out of range")] {
        let says: &'static str = format!("{first}\r\n{second}\r\n").leak();
        let (port, heard) = target(vec![vec![(SELECT, says.as_bytes()), (b"ONE\r\n", b"")]]);
        let mut migrations = Migrations::default();
        let (result, replies) = carry(&mut migrations, transfer(&port, b"LET ME IN\r\n", 1), 1);
        let refusal = if first.starts_with('-') { first } else { second };
        assert_eq!((result, replies), (Ok(()), vec![refusal.as_bytes().to_vec()]));
        drop(migrations);
        let heard = heard.join().expect("the target ends");
        assert_eq!(heard, [b"LET ME IN\r\n", SELECT].concat());
    }
}

/// A target that was restarted has closed what was kept.
#[test]
fn a_kept_connection_that_was_closed_is_made_anew_once() {
    let good: Script = vec![(SELECT, b"+OK\r\n"), (b"ONE\r\n", b"+OK\r\n")];
    let (port, heard) = target(vec![good.clone(), good]);
    let mut migrations = Migrations::default();
    for _ in 0..2 {
        let (result, replies) = carry(&mut migrations, transfer(&port, b"", 1), 1);
        assert_eq!((result, replies), (Ok(()), vec![b"+OK".to_vec()]));
    }
    heard.join().expect("the target ends");
    let (port, heard) = target(vec![vec![(SELECT, b"")], vec![(SELECT, b"")]]);
    let (result, replies) = carry(&mut migrations, transfer(&port, b"", 1), 1);
    let why = "IOERR error or timeout reading to target instance";
    assert_eq!((result, replies), (Err(why.to_owned()), vec![]));
    heard.join().expect("both connections were made");
}

/// What was acknowledged before the end is acknowledged: those keys are there, and may go here.
#[test]
fn replies_before_a_break_count_and_forbid_another_try() {
    let script: Script = vec![(SELECT, b"+OK\r\n"), (b"TWO\r\n", b"+OK\r\n")];
    let (port, heard) = target(vec![script]);
    let mut migrations = Migrations::default();
    let (result, replies) = carry(&mut migrations, transfer(&port, b"", 2), 1);
    assert!(result.is_err());
    assert_eq!(replies, [b"+OK"]);
    assert_eq!(migrations.len(), 0);
    heard.join().expect("the target ends");
}

#[test]
fn a_target_that_says_nothing_or_no_end_of_it_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string().into_bytes();
    let mut migrations = Migrations::default();
    let hasty = Transfer { timeout_ms: 10, ..transfer(&port, b"", 1) };
    let why = "IOERR error or timeout reading to target instance";
    assert_eq!(carry(&mut migrations, hasty, 1), (Err(why.to_owned()), vec![]));
    let babble: &'static [u8] = vec![b'x'; LINE_BYTES_MAX + 2].leak();
    let (port, heard) = target(vec![vec![(SELECT, babble)], vec![(SELECT, babble)]]);
    assert_eq!(carry(&mut migrations, transfer(&port, b"", 1), 1), (Err(why.to_owned()), vec![]));
    heard.join().expect("the target ends");
}

#[test]
fn a_place_that_is_none_is_refused() {
    let mut migrations = Migrations::default();
    for (host, port) in [("127.0.0.1", "x"), ("127.0.0.1", "65536"), ("127.0.0.1", "0")] {
        let (host, port) = (host.as_bytes(), port.as_bytes());
        let nowhere = Transfer { host, port, ..transfer(b"", b"", 1) };
        let why = "IOERR error or timeout connecting to the client";
        assert_eq!(carry(&mut migrations, nowhere, 1), (Err(why.to_owned()), vec![]));
    }
}

/// The loop waits for it: whoever takes a connection and never greets back may not hold it.
#[test]
fn a_target_that_does_not_greet_back_is_left() {
    let tls = tls::Client::new(None, None, &tls::Offer::default()).expect("nothing to read");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string().into_bytes();
    let mut migrations = Migrations::default();
    let hasty = Transfer { timeout_ms: 10, ..transfer(&port, b"", 1) };
    let why = "IOERR error or timeout connecting to the client";
    let mut replies = Vec::new();
    let result = migrations.carry(hasty, Some(&tls), 1, &mut replies);
    assert_eq!(result.map_err(|error| error.as_str().to_owned()), Err(why.to_owned()));
    assert_eq!(migrations.len(), 0);
}
