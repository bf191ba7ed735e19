//! Files as every Redis since 2.8 wrote them, put together from the format's description: each
//! version, each type byte, each opcode loads, and each thing that cannot be is refused with the
//! offset where it stands.

use std::collections::BTreeMap;

mod common;

use common::{File, Model, intset, length, listpack, load, load_one, load_with, ziplist, zl};
use persist::error::{RdbError, Reason};
use persist::rdb::{AccessClock, LoadOptions, RdbCheck, check_rdb_with, type_name};
use persist::source::Source;
use store::value::Encoding;

fn texts(list: &[&[u8]]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.to_vec()).collect()
}

fn pairs(list: &[(&[u8], &[u8])]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    list.iter().map(|(a, b)| (a.to_vec(), b.to_vec())).collect()
}

fn scores(list: &[(&[u8], f64)]) -> Model {
    Model::ZSet(list.iter().map(|(m, score)| (m.to_vec(), score.to_bits())).collect())
}

fn error(bytes: &[u8]) -> RdbError {
    load(bytes).map(|_| ()).expect_err("the file is bad")
}

#[test]
fn version_1_with_plain_types_and_no_checksum() {
    let file = File::new(1)
        .select(0)
        .byte(253)
        .raw(&2_000_000_000i32.to_le_bytes())
        .key(0, b"s")
        .str(b"hello")
        .key(1, b"l")
        .len(3)
        .str(b"a")
        .raw(&[0xc0, 7])
        .str(b"")
        .key(2, b"e")
        .len(2)
        .str(b"x")
        .str(b"y")
        .select(3)
        .key(3, b"z")
        .len(3)
        .str(b"half")
        .raw(b"\x030.5")
        .str(b"top")
        .byte(254)
        .str(b"low")
        .byte(255)
        .key(4, b"h")
        .len(1)
        .str(b"f")
        .str(b"v")
        .finish();
    let (keyspace, report) = load(&file).unwrap();
    assert_eq!((report.version, report.keys_loaded, report.checksum_verified), (1, 5, false));
    let picture = common::picture(&keyspace);
    let at = |db: usize, key: &[u8]| picture[&(db, key.to_vec())].clone();
    assert_eq!(at(0, b"s"), (Some(2_000_000_000_000), Model::Str(b"hello".to_vec())));
    assert_eq!(at(0, b"l").1, Model::List(texts(&[b"a", b"7", b""])));
    assert_eq!(at(0, b"e").1, Model::Set(texts(&[b"x", b"y"]).into_iter().collect()));
    let zset = [(&b"half"[..], 0.5), (b"top", f64::INFINITY), (b"low", f64::NEG_INFINITY)];
    assert_eq!(at(3, b"z").1, scores(&zset));
    assert_eq!(at(3, b"h").1, Model::Hash(pairs(&[(b"f", b"v")])));
}

#[test]
fn strings_in_every_encoding() {
    let cases: [(Vec<u8>, Vec<u8>); 8] = [
        (vec![0xc0, 0x80], b"-128".to_vec()),
        (vec![0xc1, 0xff, 0x7f], b"32767".to_vec()),
        (vec![0xc2, 0, 0, 0, 0x80], b"-2147483648".to_vec()),
        ([&length(70)[..], &[b'x'; 70]].concat(), vec![b'x'; 70]),
        ([&length(20_000)[..], &[b'x'; 20_000]].concat(), vec![b'x'; 20_000]),
        ([&[0x80, 0, 0, 0, 3][..], b"abc"].concat(), b"abc".to_vec()),
        ([&[0x81, 0, 0, 0, 0, 0, 0, 0, 3][..], b"abc"].concat(), b"abc".to_vec()),
        // Compressed: "ab", then eight bytes from two back.
        (vec![0xc3, 5, 10, 1, b'a', b'b', 0xc0, 1], b"ababababab".to_vec()),
    ];
    for (encoded, expected) in cases {
        let file = File::new(9).key(0, b"k").raw(&encoded).finish();
        assert_eq!(load_one(&file), Model::Str(expected));
    }
}

#[test]
fn version_2_zipmaps_become_hashes() {
    let zipmap = b"\x03\x01a\x01\x001\x01b\x02\x03xy???\x02cc\x00\x00\xff";
    let file = File::new(2).key(9, b"k").str(zipmap).finish();
    assert_eq!(load_one(&file), Model::Hash(pairs(&[(b"a", b"1"), (b"b", b"xy"), (b"cc", b"")])));
    let (keyspace, _) = load(&file).unwrap();
    assert_eq!(keyspace.db(0).get(b"k").unwrap().encoding(), Encoding::Listpack);
}

#[test]
fn ziplists_of_lists_hashes_and_sorted_sets() {
    let numbers = [
        vec![0xf1],
        vec![0xfd],
        vec![0xfe, 0x80],
        vec![0xc0, 0xff, 0x7f],
        vec![0xf0, 0, 0, 0x80],
        vec![0xd0, 0xff, 0xff, 0xff, 0x7f],
        vec![0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80],
        zl(&[b'm'; 100]),
        zl(&[b'l'; 20_000]),
        zl(b"after a long one"),
    ];
    let expected = Model::List(texts(&[
        b"0",
        b"12",
        b"-128",
        b"32767",
        b"-8388608",
        b"2147483647",
        b"-9223372036854775808",
        &[b'm'; 100],
        &[b'l'; 20_000],
        b"after a long one",
    ]));
    let packed = ziplist(&numbers);
    assert_eq!(load_one(&File::new(6).key(10, b"k").str(&packed).finish()), expected);
    assert_eq!(load_one(&File::new(7).key(14, b"k").len(1).str(&packed).finish()), expected);

    let hash = ziplist(&[zl(b"f"), vec![0xf8], zl(b"g"), zl(b"v")]);
    let file = File::new(4).key(13, b"k").str(&hash).finish();
    assert_eq!(load_one(&file), Model::Hash(pairs(&[(b"f", b"7"), (b"g", b"v")])));

    let zset = ziplist(&[zl(b"a"), zl(b"-inf"), zl(b"b"), vec![0xf2], zl(b"c"), zl(b"1.5")]);
    let file = File::new(4).key(12, b"k").str(&zset).finish();
    assert_eq!(load_one(&file), scores(&[(b"a", f64::NEG_INFINITY), (b"b", 1.0), (b"c", 1.5)]));
}

#[test]
fn intsets_of_every_width() {
    for (width, numbers) in
        [(2, vec![-3i64, 0, 500]), (4, vec![-70_000, 70_000]), (8, vec![i64::MIN, 0, i64::MAX])]
    {
        let file = File::new(6).key(11, b"k").str(&intset(width, &numbers)).finish();
        let expected = numbers.iter().map(|n| n.to_string().into_bytes()).collect();
        assert_eq!(load_one(&file), Model::Set(expected));
    }
}

#[test]
fn lists_of_nodes_old_and_new() {
    let nodes = [ziplist(&[zl(b"a"), zl(b"b")]), ziplist(&[]), ziplist(&[zl(b"c")])];
    let file = File::new(9).key(14, b"k").len(3);
    let file = nodes.iter().fold(file, |file, node| file.str(node)).finish();
    assert_eq!(load_one(&file), Model::List(texts(&[b"a", b"b", b"c"])));

    let file = File::new(10)
        .key(18, b"k")
        .len(3)
        .len(2)
        .str(&listpack(&[b"a", b"b"]))
        .len(1)
        .str(&[b'p'; 10_000])
        .len(2)
        .str(&listpack(&[b"c"]))
        .finish();
    assert_eq!(load_one(&file), Model::List(texts(&[b"a", b"b", &[b'p'; 10_000], b"c"])));
}

#[test]
fn listpacks_of_hashes_sorted_sets_and_sets() {
    let hash = listpack(&[b"f", b"v", b"g", b"w"]);
    let file = File::new(10).key(16, b"k").str(&hash).finish();
    assert_eq!(load_one(&file), Model::Hash(pairs(&[(b"f", b"v"), (b"g", b"w")])));
    let zset = listpack(&[b"a", b"1", b"b", b"2.5"]);
    let file = File::new(10).key(17, b"k").str(&zset).finish();
    assert_eq!(load_one(&file), scores(&[(b"a", 1.0), (b"b", 2.5)]));
    let set = listpack(&[b"x", b"y"]);
    let file = File::new(11).key(20, b"k").str(&set).finish();
    assert_eq!(load_one(&file), Model::Set(texts(&[b"x", b"y"]).into_iter().collect()));
    let file = File::new(8)
        .key(5, b"k")
        .len(2)
        .str(b"a")
        .raw(&0.1f64.to_le_bytes())
        .str(b"b")
        .raw(&f64::INFINITY.to_le_bytes())
        .finish();
    assert_eq!(load_one(&file), scores(&[(b"a", 0.1), (b"b", f64::INFINITY)]));
}

/// One node, a group, two pending entries, two consumers; `version` is that of the file.
fn stream(type_byte: u8) -> Vec<u8> {
    let id = |ms: u64, seq: u64| [ms.to_be_bytes(), seq.to_be_bytes()].concat();
    let mut out = Vec::new();
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    put(&length(1));
    put(&length(16));
    put(&id(5, 1));
    let mut node = store::listpack::Listpack::new();
    let elements = ["1", "0", "1", "field", "0", "2", "0", "0", "value", "4"];
    elements.iter().for_each(|element| node.push_back(element.as_bytes()));
    put(&length(node.byte_len() as u64));
    put(node.as_bytes());
    for n in [1, 5, 1] {
        put(&length(n));
    }
    if type_byte >= 19 {
        for n in [5, 1, 0, 0, 1] {
            put(&length(n));
        }
    }
    put(&length(1));
    put(b"\x05group");
    put(&length(5));
    put(&length(1));
    if type_byte >= 19 {
        put(&length(1));
    }
    put(&length(2));
    for seq in [1, 2] {
        put(&id(5, seq));
        put(&1_700_000_000_000i64.to_le_bytes());
        put(&length(3));
    }
    put(&length(2));
    for (name, seq) in [(b"\x05alice", 1), (b"\x05bobby", 2)] {
        put(name);
        put(&1_700_000_000_001i64.to_le_bytes());
        if type_byte >= 21 {
            put(&1_700_000_000_002i64.to_le_bytes());
        }
        put(&length(1));
        put(&id(5, seq));
    }
    out
}

#[test]
fn streams_of_three_kinds_are_written_as_they_were_and_older_on_demand() {
    use persist::rdb::{SaveOptions, Version, lowest_version, save};
    for (version, type_byte) in [(9, 15u8), (10, 19), (11, 21)] {
        let body = stream(type_byte);
        let file =
            File::new(version).key(type_byte, b"k").raw(&body).key(0, b"z").str(b"").finish();
        let (keyspace, report) = load(&file).unwrap();
        assert_eq!(report.keys_loaded, 2, "the stream's end was found");
        // What older forms leave out is taken for what it most likely was.
        assert_eq!(report.needs_v11, type_byte == 21);
        let lowest = if type_byte == 21 { Version::V11 } else { Version::V10 };
        assert_eq!(lowest_version(&keyspace), lowest);
        for (version, kind) in [(Version::V9, 15), (Version::V10, 19), (Version::V11, 21)] {
            let mut out = Vec::new();
            let options = SaveOptions { version, checksum: true, ..SaveOptions::default() };
            save(&keyspace, &mut out, &options, &mut ()).unwrap();
            if kind <= type_byte {
                let expected = [&[kind][..], b"\x01k", &stream(kind)].concat();
                let found = out.windows(expected.len()).any(|bytes| bytes == expected);
                assert!(found, "{type_byte} as {version:?}");
            }
            assert_eq!(load(&out).unwrap().1.keys_loaded, 2);
        }
    }
}

#[test]
fn a_stream_whose_parts_disagree_is_refused() {
    let body = stream(21);
    let whole = File::new(11).key(21, b"k");
    for (what, at) in [("node id", 1), ("a node's listpack", 18), ("a pending id", body.len() - 1)]
    {
        let mut bad = body.clone();
        bad[at] ^= 1;
        let e = error(&whole.clone().raw(&bad).finish());
        assert!(e.offset >= whole.offset(), "{what}: {e}");
        assert_eq!(e.key.as_deref(), Some(&b"k"[..]));
    }
}

#[test]
fn fields_around_the_keys() {
    let file = File::new(10)
        .byte(250)
        .str(b"redis-ver")
        .str(b"7.0.15")
        .byte(250)
        .str(b"redis-bits")
        .raw(&[0xc0, 64])
        .byte(250)
        .str(b"repl-id")
        .str(b"0123456789012345678901234567890123456789")
        .byte(250)
        .str(b"repl-offset")
        .raw(&[0xc1, 0, 1])
        .byte(250)
        .str(b"repl-stream-db")
        .raw(&[0xc0, 3])
        .byte(250)
        .str(b"aof-base")
        .raw(&[0xc0, 1])
        .byte(250)
        .str(b"lua")
        .str(b"return 1")
        .byte(250)
        .str(b"something-new")
        .str(b"?")
        .byte(245)
        .str(b"#!lua name=mylib\n")
        .select(0)
        .byte(251)
        .len(1)
        .len(1)
        .byte(244)
        .len(1)
        .len(2)
        .len(3)
        .byte(252)
        .raw(&4_000_000_000_000i64.to_le_bytes())
        .byte(249)
        .byte(9)
        .byte(248)
        .len(100)
        .key(0, b"k")
        .str(b"v")
        .finish();
    let (_, report) = load(&file).unwrap();
    assert_eq!(report.redis_ver.as_deref(), Some("7.0.15"));
    assert_eq!(report.repl_id.as_deref(), Some("0123456789012345678901234567890123456789"));
    assert_eq!((report.repl_offset, report.repl_stream_db), (Some(256), Some(3)));
    assert!(report.aof_base && report.checksum_verified);
    assert_eq!(report.functions, [b"#!lua name=mylib\n".to_vec()]);
    assert_eq!(report.lua_scripts, [b"return 1".to_vec()]);
    let clock = |clock| {
        let options = LoadOptions { clock, ..LoadOptions::default() };
        let (keyspace, _) = load_with(&file, &options).unwrap();
        keyspace.db(0).get(b"k").unwrap().clock()
    };
    assert_eq!(clock(AccessClock::Lru { now: 5000 }), 4900);
    assert_eq!(clock(AccessClock::Lru { now: 50 }), 0xff_ffff - 49);
    assert_eq!(clock(AccessClock::Lfu { now_minutes: 2, initial: 5 }), 2 << 8 | 9);
}

#[test]
fn expired_keys_are_dropped_only_where_that_is_asked_for() {
    let file = File::new(10)
        .byte(252)
        .raw(&1000i64.to_le_bytes())
        .key(0, b"gone")
        .str(b"v")
        .byte(252)
        .raw(&1001i64.to_le_bytes())
        .key(0, b"there")
        .str(b"v")
        .byte(252)
        .raw(&(-1i64).to_le_bytes())
        .key(0, b"forever")
        .str(b"v")
        .finish();
    let options = LoadOptions { now_ms: 1001, drop_expired: true, ..LoadOptions::default() };
    let (keyspace, report) = load_with(&file, &options).unwrap();
    assert_eq!((report.keys_loaded, report.keys_expired), (2, 1));
    assert_eq!(keyspace.db(0).get(b"forever").unwrap().expire_ms(), None);
    assert!(report.expired.is_empty(), "without a history there are no replicas at this point");
    let (_, report) = load_with(&file, &LoadOptions { drop_expired: false, ..options }).unwrap();
    assert_eq!((report.keys_loaded, report.keys_expired), (3, 0));
}

#[test]
fn a_key_that_is_there_twice_is_an_error_unless_allowed() {
    let file = File::new(10).key(0, b"k").str(b"1");
    let second = file.offset();
    let file = file.key(0, b"k").str(b"2").key(0, b"other").str(b"3").finish();
    let e = error(&file);
    assert_eq!((e.offset, e.reason), (second, Reason::DuplicateKey { db: 0 }));
    assert_eq!(e.key.as_deref(), Some(&b"k"[..]));
    let options = LoadOptions { allow_duplicates: true, ..LoadOptions::default() };
    let (keyspace, _) = load_with(&file, &options).unwrap();
    assert_eq!(Model::of(keyspace.db(0).get(b"k").unwrap().value()), Model::Str(b"2".to_vec()));
    assert_eq!(keyspace.db(0).len(), 2);
}

#[test]
fn empty_collections_are_skipped_and_counted() {
    let file = File::new(10);
    let file = [1u8, 2, 3, 4, 5, 14, 18]
        .iter()
        .fold(file, |file, code| file.key(*code, &[b'0' + code]).len(0))
        .key(10, b"zl")
        .str(&ziplist(&[]))
        .key(14, b"ql")
        .len(1)
        .str(&ziplist(&[]))
        .key(16, b"lp")
        .str(&listpack(&[]))
        .key(11, b"is")
        .str(&intset(2, &[]))
        .key(9, b"zm")
        .str(b"\x00\xff")
        .finish();
    let (keyspace, report) = load(&file).unwrap();
    assert_eq!((report.keys_loaded, report.empty_keys_skipped), (0, 12));
    assert_eq!(keyspace.keys(), 0);
}

#[test]
fn modules_are_refused_by_name() {
    // "mybloom-1" in sixes of bits, version 3.
    let chars = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let id = b"mybloom-1".iter().fold(0u64, |id, c| {
        id << 6 | chars.iter().position(|d| d == c).expect("a character of the set") as u64
    }) << 10
        | 3;
    for code in [6, 7] {
        let file = File::new(9).key(code, b"k");
        let at = file.offset();
        let e = error(&file.len(id).len(2).len(7).len(0).finish());
        let name = "mybloom-1".to_owned();
        assert_eq!((e.offset, e.reason), (at, Reason::ModuleValue { name, version: 3 }));
    }
    let file = File::new(9);
    let e = error(&file.byte(247).len(id).len(2).len(1).len(0).finish());
    assert_eq!(e.offset, 9);
    assert!(e.to_string().contains("no matching module 'mybloom-1'"), "{e}");
    let e = error(&File::new(10).byte(246).finish());
    assert_eq!((e.offset, e.reason), (9, Reason::PreReleaseFunctions));
}

#[test]
fn a_file_of_valkey_9_loads() {
    let (keyspace, report) =
        load(&File::valkey().select(0).key(0, b"k").str(b"v").finish()).unwrap();
    assert_eq!((report.version, report.keys_loaded, report.checksum_verified), (80, 1, true));
    assert_eq!(common::picture(&keyspace)[&(0, b"k".to_vec())].1, Model::Str(b"v".to_vec()));
}

#[test]
fn every_frame_error_says_its_offset() {
    let e = error(b"RADIS0010");
    assert_eq!((e.offset, e.reason), (0, Reason::BadSignature));
    assert_eq!(error(b"REDIS00x0").reason, Reason::BadSignature);
    assert_eq!(error(b"REDIS0013\xff").reason, Reason::UnsupportedVersion(13));
    assert_eq!(error(b"REDIS0000\xff").reason, Reason::UnsupportedVersion(0));
    assert_eq!(error(b"VALKEY081\xff").reason, Reason::UnsupportedVersion(81));
    assert_eq!(error(b"VALKEY011\xff").reason, Reason::UnsupportedVersion(11));
    assert_eq!(error(b"REDIS0080\xff").reason, Reason::UnsupportedVersion(80));
    assert_eq!(error(b"VALKEYx80\xff").reason, Reason::BadSignature);
    let e = error(b"REDIS");
    assert_eq!((e.offset, &e.reason), (5, &Reason::UnexpectedEnd("the header")));
    assert!(e.is_truncation());
    let e = error(&File::new(10).byte(8).finish());
    assert_eq!((e.offset, e.reason), (9, Reason::UnknownType(8)));
    let e = error(&File::new(10).byte(100).finish());
    assert_eq!((e.offset, e.reason), (9, Reason::UnknownType(100)));
    let e = error(&File::new(10).select(16).finish());
    assert_eq!((e.offset, e.reason), (9, Reason::DbOutOfRange { db: 16, databases: 16 }));

    let good = File::new(10).key(0, b"k").str(b"v").finish();
    let mut bad = good.clone();
    bad[13] ^= 1;
    let e = error(&bad);
    assert_eq!(e.offset, good.len() as u64 - 8);
    assert!(matches!(e.reason, Reason::BadChecksum { .. }), "{e}");
    let options = LoadOptions { verify_checksum: false, ..LoadOptions::default() };
    assert!(load_with(&bad, &options).is_ok(), "rdbchecksum no");
    let end = bad.len() - 8;
    bad[end..].fill(0);
    assert!(!load(&bad).unwrap().1.checksum_verified, "written with rdbchecksum no");
    for cut in 0..good.len() {
        let e = error(&good[..cut]);
        assert!(e.is_truncation() && e.offset == cut as u64, "cut at {cut}: {e}");
    }
}

#[test]
fn every_value_error_says_where_its_value_begins() {
    let twice = |code: u8, body: &[u8]| {
        let file = File::new(11).key(code, b"k");
        let at = file.offset();
        let e = error(&file.raw(body).finish());
        assert_eq!(e.key.as_deref(), Some(&b"k"[..]), "{e}");
        assert!(e.offset >= at, "{e}");
        (e.offset - at, e.reason)
    };
    let string = |body: Vec<u8>| [length(body.len() as u64), body].concat();
    let nan = f64::NAN.to_le_bytes();
    let invalid = |(offset, reason): (u64, Reason), at: u64| {
        assert!(matches!(reason, Reason::Invalid(_) | Reason::Malformed { .. }), "{reason:?}");
        assert_eq!(offset, at, "{reason:?}");
    };
    invalid(twice(2, b"\x02\x01a\x01a"), 1);
    invalid(twice(4, b"\x02\x01a\x01x\x01a\x01y"), 5);
    invalid(twice(5, &[&b"\x01\x01a"[..], &nan].concat()), 1);
    invalid(twice(3, b"\x01\x01a\xfd"), 1);
    invalid(twice(3, b"\x01\x01a\x02?!"), 6);
    invalid(twice(16, &string(listpack(&[b"a", b"1", b"a", b"2"]))), 0);
    invalid(twice(16, &string(listpack(&[b"a"]))), 0);
    invalid(twice(17, &string(listpack(&[b"a", b"x"]))), 0);
    invalid(twice(20, &string(listpack(&[b"a", b"a"]))), 0);
    invalid(twice(11, &string(intset(2, &[2, 1]))), 0);
    invalid(twice(11, &string(intset(3, &[1]))), 0);
    invalid(twice(13, &string(ziplist(&[zl(b"a")]))), 0);
    invalid(twice(12, &string(ziplist(&[zl(b"a"), zl(b"b")]))), 0);
    invalid(twice(10, b"\x03abc"), 0);
    invalid(twice(9, b"\x03\x05\x01a"), 0);
    invalid(twice(18, b"\x01\x03\x01a"), 1);
    invalid(twice(18, b"\x01\x02\x01a"), 1);
    let (_, reason) = twice(0, b"\xc5");
    assert_eq!(reason, Reason::UnknownStringEncoding(5));
    let (_, reason) = twice(0, b"\x82");
    assert_eq!(reason, Reason::UnknownLengthEncoding(0x82));
}

#[test]
fn a_check_counts_without_keeping() {
    let file = File::new(10)
        .byte(250)
        .str(b"redis-ver")
        .str(b"7.0.15")
        .select(2)
        .byte(252)
        .raw(&10i64.to_le_bytes())
        .key(0, b"a")
        .str(b"1")
        .key(11, b"b")
        .str(&intset(2, &[1]))
        .select(9)
        .key(19, b"c")
        .raw(&stream(19))
        .finish();
    let mut rest = &file[..];
    let mut source = Source::new(&mut rest, Some(file.len() as u64));
    let (mut check, mut events) = (RdbCheck::default(), Vec::new());
    check_rdb_with(&mut source, 20, &mut check, &mut |event| events.push(format!("{event:?}")))
        .unwrap();
    assert_eq!((check.keys, check.expires, check.already_expired), (3, 1, 1));
    assert_eq!(check.by_type, [1, 0, 1, 0, 0, 1]);
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events[1].contains("SelectDb { db: 2, offset: 29 }"), "{events:?}");
    assert_eq!((check.bytes, check.checksum_verified), (file.len() as u64, true));
    let mut rest = &file[..file.len() - 20];
    let mut check = RdbCheck::default();
    let mut source = Source::new(&mut rest, None);
    let e = check_rdb_with(&mut source, 20, &mut check, &mut |_| {}).unwrap_err();
    assert!(e.is_truncation());
    assert_eq!(
        (e.doing.name(), e.type_byte.map(type_name)),
        ("read-object-value", Some("stream-v2"))
    );
    assert_eq!((e.key.as_deref(), check.keys), (Some(&b"c"[..]), 2));
}
