//! Debian's tools and this crate look at the same files and see the same: how much of an AOF is
//! good, what a snapshot says around its keys, and what a manifest is after rewrites.

#![allow(clippy::disallowed_methods)] // A test of real processes owns files and a clock.

mod common;

use std::path::Path;

use persist::aof::manifest::Manifest;
use persist::aof::{check_aof, has_rdb_preamble};
use persist::rdb::{
    self, Access, AccessClock, CheckEvent, LoadOptions, RdbCheck, SaveOptions, check_rdb_with,
};
use persist::source::Source;
use testkit::process::run;
use testkit::{Kind, LONG, Server, binaries, fill, wait_until};

fn tool(name: &str, path: &Path) -> String {
    let path = path.to_str().expect("a plain path");
    run(&binaries::debian(name), &[path], LONG).output()
}

fn save(keyspace: &store::keyspace::Keyspace, options: &SaveOptions<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    rdb::save(keyspace, &mut bytes, options, &mut ()).expect("memory takes all");
    bytes
}

/// The number behind `name=` in what a tool printed.
fn number(output: &str, name: &str) -> u64 {
    let from = output.find(name).unwrap_or_else(|| panic!("no {name} in: {output}")) + name.len();
    let digits: String = output[from..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

#[test]
fn cuts_and_damage_in_an_aof_are_judged_as_redis_check_aof_does() {
    // With everysec, Redis may hold a write back while it syncs.
    let server = Server::of(Kind::Redis).set("appendonly yes").set("appendfsync no").start();
    let mut client = server.client();
    for i in 0..40 {
        client.good(&format!("SET key:{i} value:{i}"));
        client.good("MULTI");
        client.good(&format!("RPUSH list a b {i}"));
        client.good(&format!("INCRBY counter {i}"));
        client.good("EXEC");
    }
    let path = server.file("appendonlydir").join("appendonly.aof.1.incr.aof");
    let whole = std::fs::read(&path).expect("the increment is there");
    let target = server.file("tried.aof");
    let mut rng = fastrand::Rng::with_seed(11);
    for round in 0..60 {
        let mut bytes = whole.clone();
        let at = rng.usize(20..bytes.len());
        if round % 2 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] = b'#';
        }
        std::fs::write(&target, &bytes).expect("a file of ours");
        let theirs = tool("redis-check-aof", &target);
        let mut rest = &bytes[..];
        let ours = check_aof(Source::new(&mut rest, None), None).expect("no preamble");
        if ours.is_valid() {
            assert!(theirs.contains("is valid"), "{theirs}");
        } else {
            assert_eq!(ours.ok_up_to, number(&theirs, "ok_up_to="), "{theirs}{:?}", ours.error);
        }
        // A cut is told from damage.
        if round % 2 == 0
            && let Some(e) = &ours.error
        {
            assert!(e.is_truncation(), "{e}");
        }
    }
}

#[test]
fn a_preamble_is_followed_by_commands() {
    let server = Server::of(Kind::Redis).start();
    let mut client = server.client();
    fill::every_encoding(&mut client);
    client.good("SAVE");
    let mut bytes = std::fs::read(server.file("dump.rdb")).expect("a snapshot");
    let preamble = bytes.len() as u64;
    testkit::client::encode(&mut bytes, &["SET", "a", "1"]);
    let path = server.file("old-single.aof");
    std::fs::write(&path, &bytes).expect("a file of ours");
    assert!(tool("redis-check-aof", &path).contains("is valid"));
    let mut rest = &bytes[..];
    let check = check_aof(Source::new(&mut rest, None), None).expect("a good preamble");
    assert!(check.is_valid());
    assert_eq!((check.preamble_bytes, check.commands), (preamble, 1));

    let mut rest = &bytes[..];
    let mut source = Source::new(&mut rest, Some(bytes.len() as u64));
    assert_eq!(has_rdb_preamble(&mut source), Ok(true));
    let mut keyspace = common::keyspace();
    rdb::load(&mut source, &mut keyspace, &LoadOptions::default(), &mut ()).expect("it loads");
    let mut reader = persist::aof::AofReader::new(source);
    assert!(matches!(reader.next(), Ok(Some(persist::aof::Record::Command(_)))));
    assert!(matches!(reader.next(), Ok(None)));
    assert_eq!(reader.valid_up_to(), bytes.len() as u64);
}

#[test]
fn a_snapshot_says_the_same_to_redis_check_rdb() {
    let server = Server::of(Kind::Redis).start();
    let mut client = server.client();
    fill::every_encoding(&mut client);
    client.good("SAVE");
    let path = server.file("dump.rdb");
    let theirs = tool("redis-check-rdb", &path);
    let mut file = std::fs::File::open(&path).expect("a snapshot");
    let (mut check, mut lines) = (RdbCheck::default(), Vec::new());
    check_rdb_with(&mut Source::new(&mut file, None), 0, &mut check, &mut |event| {
        lines.push(match event {
            CheckEvent::Aux { name, value, offset } => format!(
                "[offset {offset}] AUX FIELD {} = '{}'",
                name.escape_ascii(),
                value.escape_ascii()
            ),
            CheckEvent::SelectDb { db, offset } => {
                format!("[offset {offset}] Selecting DB ID {db}")
            }
        });
    })
    .expect("a good file");
    lines.push(format!("[offset {}] Checksum OK", check.bytes));
    lines.push(format!("[info] {} keys read", check.keys));
    lines.push(format!("[info] {} expires", check.expires));
    for line in lines {
        assert!(theirs.contains(&line), "{line} is not in\n{theirs}");
    }
}

#[test]
fn functions_go_both_ways() {
    let server = Server::of(Kind::Redis).start();
    let mut client = server.client();
    for name in ["one", "two"] {
        let code = format!(
            "#!lua name={name}\nredis.register_function('f_{name}', function() return '{name}' end)"
        );
        client.args(&["FUNCTION", "LOAD", &code]);
    }
    client.good("SET a 1");
    client.good("SAVE");
    let bytes = std::fs::read(server.file("dump.rdb")).expect("a snapshot");
    let (keyspace, report) = common::load(&bytes).expect("it loads");
    assert_eq!(report.functions.len(), 2);
    let options =
        SaveOptions { functions: &report.functions, checksum: true, ..SaveOptions::default() };
    let mut again = Server::of(Kind::Redis).prepare();
    std::fs::write(again.file("dump.rdb"), save(&keyspace, &options)).expect("a file of ours");
    again.start_again();
    for name in ["one", "two"] {
        assert_eq!(again.good(&format!("FCALL f_{name} 0")).text(), name);
    }
}

#[test]
fn access_clocks_go_both_ways() {
    let server = Server::of(Kind::Redis).set("maxmemory-policy allkeys-lfu").start();
    let mut client = server.client();
    client.good("SET hot a");
    client.good("SET cold b");
    for _ in 0..2000 {
        client.good("GET hot");
    }
    let hot = client.good("OBJECT FREQ hot").int();
    assert!(hot > 10, "{hot}");
    client.good("SAVE");
    let bytes = std::fs::read(server.file("dump.rdb")).expect("a snapshot");
    let clock = AccessClock::Lfu { now_minutes: 7, initial: 5 };
    let options = LoadOptions { clock, ..LoadOptions::default() };
    let (keyspace, _) = common::load_with(&bytes, &options).expect("it loads");
    let loaded = keyspace.db(0).get(b"hot").expect("it is there").clock();
    assert_eq!(loaded & 0xff, hot as u32);
    let options = SaveOptions {
        access: Some(Access::Lfu { now_minutes: 0, decay_time_min: 0 }),
        checksum: true,
        ..SaveOptions::default()
    };
    let mut again = Server::of(Kind::Redis).set("maxmemory-policy allkeys-lfu").prepare();
    std::fs::write(again.file("dump.rdb"), save(&keyspace, &options)).expect("a file of ours");
    again.start_again();
    assert_eq!(again.good("OBJECT FREQ hot").int(), hot);

    let access = Some(Access::Lru { now: 1000 });
    keyspace.db(0).get(b"cold").expect("it is there").touch(400);
    keyspace.db(0).get(b"hot").expect("it is there").touch(1000);
    let options = SaveOptions { access, checksum: true, ..SaveOptions::default() };
    let mut again = Server::of(Kind::Redis).set("maxmemory-policy allkeys-lru").prepare();
    std::fs::write(again.file("dump.rdb"), save(&keyspace, &options)).expect("a file of ours");
    again.start_again();
    let idle = again.good("OBJECT IDLETIME cold").int();
    assert!((600..700).contains(&idle), "{idle}");
    assert!(again.good("OBJECT IDLETIME hot").int() < 100);
}

#[test]
fn manifests_of_redis_come_back_as_they_are() {
    let server = Server::of(Kind::Redis).set("appendonly yes").start();
    let path = server.file("appendonlydir").join("appendonly.aof.manifest");
    let mut client = server.client();
    for rewrites in 1..4 {
        let text = std::fs::read(&path).expect("a manifest");
        let mut manifest = Manifest::parse(&text).expect("Redis writes good ones");
        assert_eq!(manifest.format(), text);
        assert_eq!((manifest.base_seq, manifest.incr_seq), (rewrites, rewrites));
        client.good("BGREWRITEAOF");
        let done = || server.info("persistence").text("aof_rewrite_in_progress") == "0";
        wait_until(LONG, "the rewrite is done", done);
        // The same steps from our side lead to the same manifest.
        manifest.next_incr("appendonly.aof");
        let format = persist::aof::manifest::BaseFormat::Rdb;
        manifest.rewritten("appendonly.aof", format, true);
        manifest.clear_history();
        wait_until(LONG, "the manifests agree", || {
            std::fs::read(&path).is_ok_and(|text| text == manifest.format())
        });
    }
}
