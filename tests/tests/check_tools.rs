//! redis-check-rdb and redis-check-aof beside Debian's, over good, cut and damaged files: the same
//! verdict, the same words, the same place.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{Kind, Server, binaries, fill};

/// What a tool printed, and its exit status.
fn check(whose: Kind, tool: &str, args: &[&str], dir: &Path, input: &str) -> (String, Option<i32>) {
    let program = match whose {
        Kind::Redis => binaries::debian(tool),
        _ => binaries::tandem(tool),
    };
    let mut command = Command::new(program);
    command.args(args).current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the tool starts");
    // A tool that asks nothing reads nothing.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the tool ends");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// Without what is said differently on purpose: the line that is shown is that of the offset, bytes
/// behind the end of a file are not shown, and before the first key there is no type.
fn comparable((text, status): (String, Option<i32>)) -> (String, Option<i32>) {
    let mut lines = Vec::new();
    let at_start = text.contains("While doing: start");
    for line in text.lines().filter(|line| !(at_start && line.contains("Reading type 0"))) {
        let line = match (line.find("ok_up_to_line="), line.find(", diff=")) {
            (Some(from), Some(to)) => format!("{}{}", &line[..from], &line[to..]),
            _ => line.to_owned(),
        };
        let stale = line.find("Expected \\r\\n, got: 00");
        lines.push(stale.map_or(line.clone(), |at| line[..at].to_owned()));
    }
    (lines.join("\n"), status)
}

fn assert_same(tool: &str, args: &[&str], dir: &Path, what: &str) {
    let ours = check(Kind::Tandem, tool, args, dir, "");
    let theirs = check(Kind::Redis, tool, args, dir, "");
    assert_eq!(comparable(ours), comparable(theirs), "{tool} {args:?}: {what}");
}

/// A server's append-only file: plain commands, transactions, timestamps.
fn commands() -> (Server, Vec<u8>) {
    let server = Server::of(Kind::Redis)
        .set("appendonly yes")
        .set("appendfsync no")
        .set("aof-timestamp-enabled yes")
        .start();
    let mut client = server.client();
    for i in 0..30 {
        client.good(&format!("SET key:{i} value:{i}"));
        client.good("MULTI");
        client.good(&format!("RPUSH list a {i}"));
        client.good("EXEC");
    }
    let bytes = server.read_file("appendonlydir/appendonly.aof.1.incr.aof");
    (server, bytes)
}

#[test]
fn an_append_only_file_is_judged_in_the_same_words() {
    let (server, whole) = commands();
    let dir = server.dir();
    assert_same("redis-check-aof", &["appendonlydir/appendonly.aof.manifest"], dir, "whole");
    let mut rng = fastrand::Rng::with_seed(3);
    for round in 0..40 {
        let mut bytes = whole.clone();
        let at = rng.usize(1..bytes.len());
        if round % 2 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] = b"#*$x1"[rng.usize(0..5)];
        }
        let last_line = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        if last_line.starts_with(b"#") {
            // Half an annotation: Redis calls that whole, and loses in it what is appended behind. We do not.
            continue;
        }
        server.write_file("tried.aof", &bytes);
        assert_same("redis-check-aof", &["tried.aof"], dir, &format!("round {round} at {at}"));
        server.write_file("appendonlydir/appendonly.aof.1.incr.aof", &bytes);
        let manifest = "appendonlydir/appendonly.aof.manifest";
        assert_same("redis-check-aof", &[manifest], dir, &format!("round {round} at {at}"));
    }
    for args in [&["missing.aof"][..], &["--truncate-to-timestamp", "soon", "tried.aof"]] {
        assert_same("redis-check-aof", args, dir, "no file, no time");
    }
}

#[test]
fn a_broken_file_is_cut_only_after_a_yes() {
    let (server, whole) = commands();
    let cut = &whole[..whole.len() - 3];
    let mut left = Vec::new();
    for whose in [Kind::Redis, Kind::Tandem] {
        for answer in ["", "n\n", "y\n"] {
            server.write_file("cut.aof", cut);
            let (text, status) =
                check(whose, "redis-check-aof", &["--fix", "cut.aof"], server.dir(), answer);
            let len = server.read_file("cut.aof").len();
            assert_eq!(len < cut.len(), answer == "y\n", "{text}");
            left.push((comparable((text, status)), len));
        }
    }
    assert_eq!(left[..3], left[3..]);
}

#[test]
fn a_file_goes_back_to_how_it_was_at_a_time() {
    let (server, whole) = commands();
    // Two seconds are told apart by an annotation each; these are a minute apart.
    let text = String::from_utf8_lossy(&whole).into_owned();
    let from = text.find("#TS:").expect("an annotation") + 4;
    let seconds: i64 =
        text[from..].split('\r').next().and_then(|s| s.parse().ok()).expect("a time");
    let later = format!("#TS:{}\r\n*1\r\n$4\r\nPING\r\n", seconds + 60);
    let mut left = Vec::new();
    for whose in [Kind::Redis, Kind::Tandem] {
        for time in [1, seconds + 30, seconds + 90] {
            server.write_file("timed.aof", &[&whole[..], later.as_bytes()].concat());
            let args = ["--truncate-to-timestamp", &time.to_string(), "timed.aof"];
            let said = check(whose, "redis-check-aof", &args, server.dir(), "");
            left.push((said, server.read_file("timed.aof").len()));
        }
    }
    assert_eq!(left[..3], left[3..]);
    assert_eq!(left[1].1, whole.len());
}

#[test]
fn a_snapshot_is_judged_in_the_same_words() {
    let server = Server::of(Kind::Redis).start();
    fill::every_encoding(&mut server.client());
    server.good("SET expiring 1 EX 1000");
    server.good("SAVE");
    let dir = server.dir();
    assert_same("redis-check-rdb", &["dump.rdb"], dir, "whole");
    let whole = server.read_file("dump.rdb");
    let mut damaged = whole.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let mut unchecked = whole.clone();
    unchecked[last - 7..].fill(0);
    let mut newer = whole.clone();
    newer[5..9].copy_from_slice(b"9999");
    for (bytes, what) in [
        (&damaged[..], "checksum"),
        (&unchecked, "no checksum"),
        (&newer, "version"),
        (b"NOTREDIS0", "signature"),
    ] {
        server.write_file("tried.rdb", bytes);
        assert_same("redis-check-rdb", &["tried.rdb"], dir, what);
    }
    server.write_file("old.aof", &[&whole[..], b"*1\r\n$4\r\nPING\r\n"].concat());
    assert_same("redis-check-aof", &["old.aof"], dir, "a preamble and commands");
    // Where exactly a cut or a flip is noticed differs; that it is one does not.
    for at in (10..whole.len()).step_by(whole.len() / 25) {
        server.write_file("tried.rdb", &whole[..at]);
        for whose in [Kind::Redis, Kind::Tandem] {
            let (text, status) = check(whose, "redis-check-rdb", &["tried.rdb"], dir, "");
            assert!(text.contains("--- RDB ERROR DETECTED ---\n[offset "), "{whose:?} {text}");
            assert_eq!(status, Some(1), "{whose:?} {text}");
        }
    }
}
