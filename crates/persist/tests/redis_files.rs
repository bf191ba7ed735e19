//! Files and payloads go both ways between this crate and Debian's redis-server without a
//! difference in DEBUG DIGEST.

#![allow(clippy::disallowed_methods)] // A test of real processes owns files and a clock.

use std::path::Path;

use persist::aof::{self, AofReader, Record, RewriteOptions};
use persist::rdb::{self, LoadOptions, LoadReport, SaveOptions, Version};
use persist::source::Source;
use store::HashSeed;
use store::keyspace::Keyspace;
use testkit::process::run;
use testkit::{Client, Kind, LONG, Server, fill};

fn keyspace() -> Keyspace {
    Keyspace::new(16, HashSeed::new(3, 4))
}

fn load_file(path: &Path) -> (Keyspace, LoadReport) {
    let mut file = std::fs::File::open(path).expect("the snapshot is there");
    let total = file.metadata().expect("a length").len();
    let mut keyspace = keyspace();
    let mut source = Source::new(&mut file, Some(total));
    let report = rdb::load(&mut source, &mut keyspace, &LoadOptions::default(), &mut ())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.bytes, total);
    (keyspace, report)
}

fn save_bytes(keyspace: &Keyspace, options: &SaveOptions<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let report = rdb::save(keyspace, &mut bytes, options, &mut ()).expect("memory takes all");
    assert_eq!(report.bytes, bytes.len() as u64);
    bytes
}

fn options(version: Version) -> SaveOptions<'static> {
    SaveOptions {
        version,
        compress: true,
        checksum: true,
        redis_ver: "7.2.4",
        ..Default::default()
    }
}

/// DEBUG DIGEST of the data set and the size of each database.
fn fingerprint(client: &mut Client) -> (String, Vec<i64>) {
    let sizes = (0..16).map(|db| {
        client.good(&format!("SELECT {db}"));
        client.good("DBSIZE").int()
    });
    let sizes = sizes.collect();
    client.good("SELECT 0");
    (client.good("DEBUG DIGEST").text(), sizes)
}

/// A redis-server that finds `bytes` as its dump.rdb at its start.
fn redis_on(bytes: &[u8]) -> Server {
    let mut server = Server::of(Kind::Redis).prepare();
    std::fs::write(server.file("dump.rdb"), bytes).expect("the snapshot is written");
    let checker = testkit::binaries::debian("redis-check-rdb");
    let checked = run(&checker, &[server.file("dump.rdb").to_str().expect("a plain path")], LONG);
    assert!(checked.status.success(), "redis-check-rdb: {}", checked.stdout);
    server.start_again();
    server
}

fn filled_redis(compression: &str) -> (Server, Client) {
    let server = Server::of(Kind::Redis).set(&format!("rdbcompression {compression}")).start();
    let mut client = server.client();
    fill::every_encoding(&mut client);
    (server, client)
}

#[test]
fn a_snapshot_of_redis_loads_and_goes_back_in_every_version() {
    for compression in ["yes", "no"] {
        let (server, mut client) = filled_redis(compression);
        client.good("SAVE");
        let expected = fingerprint(&mut client);
        let (keyspace, report) = load_file(&server.file("dump.rdb"));
        assert_eq!(report.version, 10);
        assert!(report.checksum_verified);
        assert_eq!(report.redis_ver.as_deref(), Some(server.info("server").text("redis_version")));
        assert_eq!(report.keys_loaded as i64, expected.1.iter().sum::<i64>());
        for version in [Version::V9, Version::V10] {
            let ours = redis_on(&save_bytes(&keyspace, &options(version)));
            assert_eq!(fingerprint(&mut ours.client()), expected, "{version:?} {compression}");
        }
    }
}

#[test]
fn version_11_comes_back_through_ourselves() {
    let (server, mut client) = filled_redis("yes");
    client.good("SAVE");
    let expected = fingerprint(&mut client);
    let (keyspace, _) = load_file(&server.file("dump.rdb"));
    let bytes = save_bytes(&keyspace, &options(Version::V11));
    let (again, report) = load_bytes(&bytes);
    assert_eq!(report.version, 11);
    let ours = redis_on(&save_bytes(&again, &options(Version::V10)));
    assert_eq!(fingerprint(&mut ours.client()), expected);
}

fn load_bytes(bytes: &[u8]) -> (Keyspace, LoadReport) {
    let mut rest = bytes;
    let mut keyspace = keyspace();
    let report = rdb::load(
        &mut Source::new(&mut rest, None),
        &mut keyspace,
        &LoadOptions::default(),
        &mut (),
    );
    (keyspace, report.unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn a_rewritten_aof_makes_the_same_data_in_redis() {
    let (server, mut client) = filled_redis("yes");
    client.good("SAVE");
    let expected = fingerprint(&mut client);
    let (keyspace, _) = load_file(&server.file("dump.rdb"));
    let mut bytes = Vec::new();
    let options = RewriteOptions { timestamp_s: Some(1_700_000_000), ..Default::default() };
    aof::rewrite(&keyspace, &mut bytes, &options, &mut ()).expect("memory takes all");

    let mut server = Server::of(Kind::Redis).set("appendonly yes").prepare();
    let dir = server.file("appendonlydir");
    std::fs::create_dir(&dir).expect("a new folder");
    let mut manifest = aof::manifest::Manifest::default();
    let base = manifest.next_base("appendonly.aof", aof::manifest::BaseFormat::Aof).name.clone();
    let incr = manifest.next_incr("appendonly.aof").name.clone();
    std::fs::write(dir.join(base), &bytes).expect("the base is written");
    std::fs::write(dir.join(incr), b"").expect("the increment is written");
    let manifest_path = dir.join("appendonly.aof.manifest");
    std::fs::write(&manifest_path, manifest.format()).expect("the manifest is written");
    let checker = testkit::binaries::debian("redis-check-aof");
    let checked = run(&checker, &[manifest_path.to_str().expect("a plain path")], LONG);
    assert!(checked.status.success(), "redis-check-aof: {}", checked.stdout);
    server.start_again();
    assert_eq!(fingerprint(&mut server.client()), expected);
}

#[test]
fn an_aof_of_redis_is_read_to_its_end() {
    let server = Server::of(Kind::Redis)
        .set("appendonly yes")
        .set("aof-use-rdb-preamble no")
        .set("appendfsync no") // With everysec, Redis may hold a write back while it syncs.
        .set("aof-timestamp-enabled yes")
        .start();
    let mut client = server.client();
    fill::every_encoding(&mut client);
    client.good("MULTI");
    client.good("SET a 1");
    client.good("SET b 2");
    client.good("EXEC");
    let dir = server.file("appendonlydir");
    let manifest = std::fs::read(dir.join("appendonly.aof.manifest")).expect("a manifest");
    let manifest = aof::manifest::Manifest::parse(&manifest).expect("Redis writes good ones");
    let (mut commands, mut annotations, mut last) = (0, 0, Vec::new());
    for name in manifest.files().map(|file| &file.name) {
        let mut file = std::fs::File::open(dir.join(name)).expect("the manifest names files");
        let total = file.metadata().expect("a length").len();
        let mut reader = AofReader::new(Source::new(&mut file, Some(total)));
        while let Some(record) = reader.next().unwrap_or_else(|e| panic!("{name}: {e}")) {
            match record {
                Record::Annotation(_) => annotations += 1,
                Record::Command(command) => {
                    commands += 1;
                    last = command.name().to_vec();
                }
            }
        }
        assert_eq!(reader.valid_up_to(), total, "{name}");
    }
    assert_eq!(last, b"EXEC");
    assert!(commands > 400 && annotations > 0, "{commands} commands, {annotations} annotations");
}

#[test]
fn dump_payloads_go_both_ways() {
    let (server, mut client) = filled_redis("yes");
    let target = Server::of(Kind::Redis).start();
    let mut into = target.client();
    let keys = client.good("KEYS *");
    for key in keys.items() {
        let key = bytes_of(key);
        let payload = bytes_of(&client.args(&[&b"DUMP"[..], &key]));
        let expiry =
            client.args(&[&b"PEXPIRETIME"[..], &key]).int().max(0).to_string().into_bytes();
        let value = rdb::restore_value(&payload, &LoadOptions::default().limits)
            .unwrap_or_else(|e| panic!("{}: {e}", key.escape_ascii()));
        for version in [Version::V9, Version::V10] {
            let ours = rdb::dump_value(value.as_ref(), version);
            let reply = into.args(&[&b"RESTORE"[..], &key, &expiry, &ours, b"REPLACE", b"ABSTTL"]);
            assert!(reply.is_ok(), "{}: {reply:?}", key.escape_ascii());
            let digest = |client: &mut Client| client.args(&[&b"DEBUG"[..], b"DIGEST-VALUE", &key]);
            assert_eq!(digest(&mut into), digest(&mut client), "{}", key.escape_ascii());
        }
    }
    drop(server);
}

fn bytes_of(reply: &testkit::Reply) -> Vec<u8> {
    match reply {
        testkit::Reply::Bulk(bytes) => bytes.clone(),
        other => panic!("expected a bulk string, got {other:?}"),
    }
}

#[test]
fn large_values_go_both_ways() {
    let server = Server::of(Kind::Redis).start();
    let mut client = server.client();
    let noise = fill::noise(5 << 20, 5);
    let flat = vec![b'f'; 3 << 20];
    client.args(&[&b"SET"[..], b"noise", &noise]);
    client.args(&[&b"SET"[..], b"flat", &flat]);
    client.args(&[&b"RPUSH"[..], b"list", b"a", &noise[..3 << 20], b"b", &flat, b"c"]);
    client.args(&[&b"HSET"[..], b"hash", b"f", &noise[..2 << 20], &flat, b"v"]);
    client.args(&[&b"SADD"[..], b"set", &noise[1..2 << 20], &flat]);
    client.args(&[&b"ZADD"[..], b"zset", b"1", &noise[2..2 << 20], b"2", &flat]);
    for kind in
        ["RPUSH many:list", "SADD many:set", "SADD many:ints", "HSET many:hash", "ZADD many:zset"]
    {
        for chunk in 0..20 {
            let words = (0..1000).map(|i| chunk * 1000 + i).map(|i| match kind {
                "SADD many:ints" => format!("{i}"),
                "HSET many:hash" => format!("field:{i} value:{i}"),
                "ZADD many:zset" => format!("{} member:{i}", i * 7919 % 10_007),
                _ => format!("element:{i}"),
            });
            let words: Vec<String> = words.collect();
            client.good(&format!("{kind} {}", words.join(" ")));
        }
    }
    client.good("SAVE");
    let expected = fingerprint(&mut client);
    let (keyspace, _) = load_file(&server.file("dump.rdb"));
    for version in [Version::V9, Version::V10] {
        for compress in [true, false] {
            let options = SaveOptions { compress, ..options(version) };
            let ours = redis_on(&save_bytes(&keyspace, &options));
            assert_eq!(fingerprint(&mut ours.client()), expected, "{version:?} {compress}");
        }
    }
}
