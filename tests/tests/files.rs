//! Files of both makes: what one wrote, the other loads, and the check tools of Redis agree.

use tandem_tests::{each_server, pairings};
use testkit::process::run;
use testkit::replication::wait_same_data;
use testkit::wait::{LONG, SHORT, wait_until};
use testkit::{Kind, Load, Server, ServerBuilder, binaries, fill};

const AOF_DIR: &str = "appendonlydir";

/// A fresh server of `kind` that finds `files` in its folder when it starts.
fn started_with(builder: ServerBuilder, files: &[(String, Vec<u8>)]) -> Server {
    let mut server = builder.name("reader").prepare();
    files.iter().for_each(|(name, bytes)| server.write_file(name, bytes));
    server.start_again();
    server
}

fn aof_files(server: &Server) -> Vec<(String, Vec<u8>)> {
    let names = server.files(AOF_DIR);
    names
        .iter()
        .map(|n| format!("{AOF_DIR}/{n}"))
        .map(|n| (n.clone(), server.read_file(&n)))
        .collect()
}

fn check_rdb(server: &Server, name: &str) {
    let path = server.file(name).display().to_string();
    let done = run(&binaries::debian("redis-check-rdb"), &[&path], SHORT)
        .expect_success("redis-check-rdb");
    assert!(done.stdout.contains("RDB looks OK!"), "{}", done.output());
}

fn check_aof(server: &Server) {
    let path = server.file(&format!("{AOF_DIR}/appendonly.aof.manifest")).display().to_string();
    let done = run(&binaries::debian("redis-check-aof"), &[&path], SHORT)
        .expect_success("redis-check-aof");
    assert!(done.stdout.contains("All AOF files and manifest are valid"), "{}", done.output());
}

fn a_dump_of_one_loads_in_the_other(w: Kind, r: Kind) {
    let writer = Server::of(w).name("writer").start();
    fill::every_encoding(&mut writer.client());
    let load = Load::start(&writer);
    load.wait_progress(1_000);
    load.stop();
    for command in ["SAVE", "BGSAVE"] {
        writer.good(command);
        writer.wait_no_child();
        assert_eq!(writer.info("persistence").text("rdb_last_bgsave_status"), "ok");
        check_rdb(&writer, "dump.rdb");
        let files = [("dump.rdb".to_string(), writer.read_file("dump.rdb"))];
        let reader = started_with(Server::of(r), &files);
        wait_same_data(&writer, &reader);
    }
}

/// A migration by files ended with an empty server, and without a word: the dump was copied to an instance that has
/// an append-only file.
#[test]
fn a_dump_beside_a_new_append_only_file_is_not_loaded_and_the_log_says_so() {
    let writer = Server::of(Kind::Redis).start();
    writer.good("SET k v");
    writer.good("SAVE");
    let files = [("dump.rdb".to_string(), writer.read_file("dump.rdb"))];
    let mut server = started_with(Server::of(Kind::Tandem).set("appendonly yes"), &files);
    let said = "dump.rdb, which is there, is not loaded";
    assert_eq!(server.good("DBSIZE").int(), 0);
    assert_eq!(server.log().matches(said).count(), 1, "{}", server.log());
    // It is the first start that means something: later there is a file, and the dump is its own.
    server.stop();
    server.start_again();
    assert_eq!(server.log().matches(said).count(), 1, "{}", server.log());

    // What the log says helps.
    let server = started_with(Server::of(Kind::Tandem).set("appendonly no"), &files);
    server.good("CONFIG SET appendonly yes");
    server.wait_no_child();
    assert_eq!(server.good("GET k").text(), "v");
    assert!(!server.log().contains(said), "{}", server.log());
    let reader = started_with(Server::of(Kind::Redis).set("appendonly yes"), &aof_files(&server));
    assert_eq!(reader.good("GET k").text(), "v");
}

fn a_dump_without_compression_or_checksum_loads_in_the_other(w: Kind, r: Kind) {
    let writer =
        Server::of(w).name("writer").set("rdbcompression no").set("rdbchecksum no").start();
    fill::every_encoding(&mut writer.client());
    writer.good("SAVE");
    check_rdb(&writer, "dump.rdb");
    let files = [("dump.rdb".to_string(), writer.read_file("dump.rdb"))];
    let reader = started_with(Server::of(r), &files);
    wait_same_data(&writer, &reader);
}

fn append_only_files(w: Kind, r: Kind, preamble: &str) {
    let mut writer = Server::of(w)
        .name("writer")
        .set("appendonly yes")
        .set("appendfsync always")
        .set(&format!("aof-use-rdb-preamble {preamble}"))
        .start();
    fill::every_encoding(&mut writer.client());
    let load = Load::start(&writer);
    load.wait_progress(500);
    writer.good("BGREWRITEAOF");
    writer.wait_no_child();
    load.wait_progress(500);
    load.stop();
    // Whatever was acknowledged is in the files, without a clean end.
    writer.kill();
    let files = aof_files(&writer);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().any(|n| n.ends_with("appendonly.aof.manifest")), "{names:?}");
    let base = if preamble == "yes" { ".base.rdb" } else { ".base.aof" };
    assert!(names.iter().any(|n| n.ends_with(base)), "{names:?}");
    assert!(names.iter().any(|n| n.ends_with(".incr.aof")), "{names:?}");
    check_aof(&writer);
    let reader = started_with(Server::of(r).set("appendonly yes"), &files);
    writer.start_again();
    wait_same_data(&writer, &reader);
}

fn an_appendonlydir_of_one_loads_in_the_other(w: Kind, r: Kind) {
    append_only_files(w, r, "yes");
}

fn an_appendonlydir_without_rdb_preamble_loads_in_the_other(w: Kind, r: Kind) {
    append_only_files(w, r, "no");
}

/// A server that was an old one's successor finds its single file and turns it into a folder.
fn a_single_file_aof_is_upgraded(kind: Kind) {
    let mut aof = Vec::new();
    for command in [vec!["SELECT", "0"], vec!["SET", "k", "v"], vec!["RPUSH", "l", "a", "b"]] {
        testkit::client::encode(&mut aof, &command);
    }
    let files = [("appendonly.aof".to_string(), aof)];
    let mut server = started_with(Server::of(kind).set("appendonly yes"), &files);
    assert_eq!(server.good("GET k").text(), "v");
    server.good("SET k2 v2");
    assert!(server.files(AOF_DIR).contains(&"appendonly.aof.manifest".to_string()));
    assert!(!server.file("appendonly.aof").exists(), "the file has moved into the folder");
    server.stop();
    server.start_again();
    assert_eq!(server.good("MGET k k2").texts(), ["v", "v2"]);
    assert_eq!(server.good("LRANGE l 0 -1").texts(), ["a", "b"]);
}

fn truncated_aof(kind: Kind) -> Vec<(String, Vec<u8>)> {
    let writer = Server::of(kind).set("appendonly yes").set("appendfsync always").start();
    (0..100).for_each(|i| drop(writer.good(&format!("SET key:{i} value"))));
    let mut files = aof_files(&writer);
    let (_, last) =
        files.iter_mut().find(|(name, _)| name.ends_with(".incr.aof")).expect("an increment");
    last.truncate(last.len() - 7);
    files
}

/// What a crash leaves behind a write that was never whole: cut off and told in the log.
fn a_truncated_aof_is_loaded_without_its_tail(kind: Kind) {
    let files = truncated_aof(kind);
    let server = started_with(Server::of(kind).set("appendonly yes"), &files);
    assert_eq!(server.good("DBSIZE").int(), 99);
    assert_eq!(server.good("EXISTS key:98 key:99").int(), 1);
    assert!(server.log().contains("Truncating the AOF"), "{}", server.log());
    server.good("SET after 1");
    // Not before the reply: a file that is synced every second may be written behind it.
    let tail = b"SET\r\n$5\r\nafter\r\n$1\r\n1\r\n";
    wait_until(SHORT, "the write is in the file", || {
        server.read_file(&incr_name(&server)).ends_with(tail)
    });
}

fn incr_name(server: &Server) -> String {
    let name = server.files(AOF_DIR).into_iter().rfind(|n| n.ends_with(".incr.aof"));
    format!("{AOF_DIR}/{}", name.expect("an increment"))
}

fn a_truncated_aof_is_refused_when_so_configured(kind: Kind) {
    let mut server = Server::of(kind).set("appendonly yes").set("aof-load-truncated no").prepare();
    truncated_aof(kind).iter().for_each(|(name, bytes)| server.write_file(name, bytes));
    server.spawn();
    assert_eq!(server.wait_exit().code(), Some(1));
    assert!(server.log().contains("Unexpected end of file reading the append only file"));
}

/// Damage in the middle is not a tail that was cut off: no setting makes it loadable.
fn a_damaged_aof_is_refused(kind: Kind) {
    let mut files = truncated_aof(kind);
    let (_, last) =
        files.iter_mut().find(|(name, _)| name.ends_with(".incr.aof")).expect("an increment");
    let at = last.windows(6).position(|w| w == b"key:50").expect("the key");
    last[at - 4] = b'!';
    let mut server = Server::of(kind).set("appendonly yes").prepare();
    files.iter().for_each(|(name, bytes)| server.write_file(name, bytes));
    server.spawn();
    assert_eq!(server.wait_exit().code(), Some(1));
    assert!(server.log().contains("Bad file format reading the append only file"));
}

fn a_truncated_or_damaged_dump_is_refused(kind: Kind) {
    let writer = Server::of(Kind::Redis).start();
    fill::every_encoding(&mut writer.client());
    writer.good("SAVE");
    let whole = writer.read_file("dump.rdb");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    for bytes in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &damaged] {
        let mut server = Server::of(kind).prepare();
        server.write_file("dump.rdb", bytes);
        server.spawn();
        let status = server.wait_exit();
        match kind {
            // Redis aborts on some damage, such as a key that is there twice.
            Kind::Redis => assert!(!status.success(), "{}", server.log()),
            _ => assert_eq!(status.code(), Some(1), "{}", server.log()),
        }
        assert!(
            server.log().to_lowercase().contains("rdb"),
            "the reason is in the log: {}",
            server.log()
        );
    }
    // The file stays where it was, for whoever can mend it.
    let mut server = Server::of(kind).prepare();
    server.write_file("dump.rdb", &damaged);
    server.spawn();
    server.wait_exit();
    assert_eq!(server.read_file("dump.rdb"), damaged);
}

/// DEBUG RELOAD and DEBUG LOADAOF go through the files and change nothing.
fn a_reload_changes_nothing(kind: Kind) {
    let server = Server::of(kind).set("appendonly yes").start();
    fill::every_encoding(&mut server.client());
    server.wait_no_child();
    let digest = server.digest();
    server.good("DEBUG RELOAD");
    assert_eq!(server.digest(), digest);
    server.good("BGREWRITEAOF");
    server.wait_no_child();
    server.good("DEBUG LOADAOF");
    assert_eq!(server.digest(), digest);
}

/// DUMP of one is RESTOREd by the other, for every key of every encoding.
fn a_dumped_value_of_one_is_restored_by_the_other(w: Kind, r: Kind) {
    let (writer, reader) =
        (Server::of(w).name("writer").start(), Server::of(r).name("reader").start());
    fill::every_encoding(&mut writer.client());
    let (mut from, mut to) = (writer.client(), reader.client());
    for db in fill::DATABASES {
        from.good(&format!("SELECT {db}"));
        to.good(&format!("SELECT {db}"));
        for key in from.good("KEYS *").items() {
            let testkit::Reply::Bulk(key) = key else { panic!("a key is a bulk: {key:?}") };
            let testkit::Reply::Bulk(payload) = from.args(&[b"DUMP".as_slice(), key]) else {
                panic!("DUMP answers a bulk")
            };
            let expiry = from.args(&[b"PEXPIRETIME".as_slice(), key]).int().max(0).to_string();
            let restore: [&[u8]; 5] = [b"RESTORE", key, expiry.as_bytes(), &payload, b"ABSTTL"];
            let reply = to.args(&restore);
            assert!(reply.is_ok(), "{}: {reply:?}", String::from_utf8_lossy(key));
        }
    }
    assert_eq!(writer.digest(), reader.digest());
}

/// `redis-cli --functions-rdb` asks for functions alone (`REPLCONF rdb-filter-only functions`), and got
/// the whole data set.
fn a_snapshot_of_functions_alone_holds_no_keys(kind: Kind) {
    let server = Server::of(kind).start();
    fill::every_encoding(&mut server.client());
    server.good("SAVE");
    let (whole, path) = (server.read_file("dump.rdb"), server.file("functions.rdb"));
    let port = server.port().to_string();
    let path = path.display().to_string();
    run(&binaries::debian("redis-cli"), &["-p", &port, "--functions-rdb", &path], LONG)
        .expect_success("redis-cli --functions-rdb");
    check_rdb(&server, "functions.rdb");
    let files = [("dump.rdb".to_string(), server.read_file("functions.rdb"))];
    let reader = started_with(Server::of(Kind::Redis), &files);
    assert!(reader.info("keyspace").names().is_empty(), "{}", reader.info("keyspace"));
    assert_eq!(server.read_file("dump.rdb"), whole, "it is no RDB file of the server's own");
}

/// Scores whose digests differ between Redis 7.0 and 7.2 cross in files all the same.
fn scores_of_many_digits_cross_in_a_dump(w: Kind, r: Kind) {
    let writer = Server::of(w).name("writer").start();
    let zadd = "ZADD z 0.1 a 1e300 b 1e-300 c 3.0000000000000004 d 5e-324 e 123456789012345678 f";
    writer.good(zadd);
    writer.good("SAVE");
    let files = [("dump.rdb".to_string(), writer.read_file("dump.rdb"))];
    let reader = started_with(Server::of(r), &files);
    // Both told it by the number that comes back, since makes differ in how they print it.
    let scores = |server: &Server| -> Vec<f64> {
        let told = server.good("ZRANGE z 0 -1 WITHSCORES").texts();
        told.iter().skip(1).step_by(2).map(|score| score.parse().expect("a score")).collect()
    };
    assert_eq!(scores(&writer), scores(&reader));
    assert_eq!(scores(&writer).len(), 6);
}

/// The error was answered to nobody and the key was missing: no log, no count. It is for the operator to say
/// that a start shall end by it.
fn a_command_of_an_aof_that_fails_is_gone_past_without_a_word(kind: Kind) {
    let manifest = format!("{AOF_DIR}/appendonly.aof.manifest");
    let incr = format!("{AOF_DIR}/appendonly.aof.1.incr.aof");
    let commands =
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*3\r\n$5\r\nLPUSH\r\n$1\r\na\r\n$1\r\n1\r\n";
    let files = [
        (manifest, b"file appendonly.aof.1.incr.aof seq 1 type i\n".to_vec()),
        (incr, [&commands[..], b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n"].concat()),
    ];
    let fails = "== CRITICAL == This server is sending an error to its AOF-loading-client: \
                 '-WRONGTYPE Operation against a key holding the wrong kind of value' after \
                 processing the command 'lpush'";
    let builder = |behavior: &str| {
        Server::of(kind)
            .set("appendonly yes")
            .set(&format!("propagation-error-behavior {behavior}"))
    };
    for behavior in ["ignore", "panic-on-replicas"] {
        let server = started_with(builder(behavior), &files);
        assert!(server.log().contains(fails), "{}", server.log());
        assert_eq!(server.info("stats").number::<u64>("unexpected_error_replies"), 1);
        assert_eq!(server.good("DBSIZE").int(), 2);
    }
    let mut server = builder("panic").prepare();
    files.iter().for_each(|(name, bytes)| server.write_file(name, bytes));
    server.spawn();
    assert!(!server.wait_exit().success());
    assert!(server.log().contains(fails), "{}", server.log());
}

pairings! {
    scores_of_many_digits_cross_in_a_dump,
    a_dump_of_one_loads_in_the_other,
    a_dump_without_compression_or_checksum_loads_in_the_other,
    an_appendonlydir_of_one_loads_in_the_other,
    an_appendonlydir_without_rdb_preamble_loads_in_the_other,
    a_dumped_value_of_one_is_restored_by_the_other,
}

each_server! {
    a_snapshot_of_functions_alone_holds_no_keys,
    a_single_file_aof_is_upgraded,
    a_truncated_aof_is_loaded_without_its_tail,
    a_truncated_aof_is_refused_when_so_configured,
    a_damaged_aof_is_refused,
    a_truncated_or_damaged_dump_is_refused,
    a_reload_changes_nothing,
    a_command_of_an_aof_that_fails_is_gone_past_without_a_word,
}

/// A start with a large data set was silent until all of it was there.
#[test]
fn a_long_load_tells_its_progress_in_the_log() {
    for appendonly in ["no", "yes"] {
        let mut server = Server::of(Kind::Tandem).set(&format!("appendonly {appendonly}")).start();
        for i in 0..300 {
            server.good(&format!("SET k{i} v"));
        }
        if appendonly == "no" {
            server.good("SAVE");
        }
        server.stop();
        server.edit_config(|text| format!("{text}key-load-delay 50000\n"));
        server.spawn();
        // The first line comes before the first key, and one every few seconds from there on.
        let first =
            if appendonly == "no" { "Loading an RDB file of " } else { "Loading the append" };
        server.wait_log(first);
        server.wait_log("Loading: 0.0 of 0.0 MB (");
        server.good("CONFIG SET key-load-delay 0");
        server.wait_log("DB loaded from ");
    }
}
