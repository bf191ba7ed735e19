//! Hashes whose fields expire, in every form that a file may have them in, to the byte as Redis 8.2.3 and
//! Valkey 9.1.2 write them.

mod common;

use common::{File, Model, load, load_one};
use persist::error::{RdbError, Reason};
use persist::rdb::{self, SaveOptions, Version, dump_value, restore_value};
use persist::source::Source;
use store::hash::Hash;
use store::limits::Limits;
use store::value::{Value, ValueRef};

const BASE_MS: i64 = 5_000_000_000_000;

/// `a` expires first, `b` five milliseconds later, `cc` never.
fn model() -> Model {
    let field = |name: &[u8], value: &[u8], ms: Option<i64>| (name.to_vec(), (value.to_vec(), ms));
    let fields = [
        field(b"a", b"1", Some(BASE_MS)),
        field(b"b", b"2", Some(BASE_MS + 5)),
        field(b"cc", b"333", None),
    ];
    Model::ExpiringHash(fields.into_iter().collect())
}

fn hash(limits: &Limits) -> Hash {
    let mut hash = Hash::new();
    hash.set(b"cc", b"333", limits);
    hash.set_with(b"b", b"2", Some(BASE_MS + 5).into(), limits);
    hash.set_with(b"a", b"1", Some(BASE_MS).into(), limits);
    hash
}

fn tables() -> Limits {
    Limits { hash_max_listpack_entries: 0, ..Limits::default() }
}

/// What DUMP of Redis 8.2.3 answers for that hash as a listpack, and what of Valkey 9.1.2.
const REDIS_LISTPACK: &[u8] = b"\x19\x00P9'\x8c\x04\x00\x00..\x00\x00\x00\t\x00\x81a\x02\x01\x01\xf4\x00P9'\x8c\x04\x00\x00\t\x81b\x02\x02\x01\xf4\x05P9'\x8c\x04\x00\x00\t\x82cc\x03\xc1M\x02\x00\x01\xff\x0c\x00X \xfe\xf8\xcd\xa3e\x9a";
const REDIS_TABLE: &[u8] = b"\x18\x00P9'\x8c\x04\x00\x00\x03\x00\x02cc\xc1M\x01\x06\x01b\xc0\x02\x01\x01a\xc0\x01\x0c\x00\xb6\xbbH\x04U\xb4\xa1~";
const VALKEY: &[u8] = b"\x16\x03\x01a\xc0\x01\x00P9'\x8c\x04\x00\x00\x01b\xc0\x02\x05P9'\x8c\x04\x00\x00\x02cc\xc1M\x01\xff\xff\xff\xff\xff\xff\xff\xffP\x00L\x8c_\x03\x81\xd8x\xc1";

#[test]
fn what_redis_and_valkey_dump_is_restored() {
    for payload in [REDIS_LISTPACK, REDIS_TABLE, VALKEY] {
        for limits in [Limits::default(), tables()] {
            let value = restore_value(payload, &limits).unwrap();
            assert_eq!(Model::of(value.as_ref()), model(), "{}", payload.escape_ascii());
        }
    }
}

#[test]
fn a_hash_is_dumped_as_by_redis_whatever_version_is_wanted() {
    let hash = hash(&Limits::default());
    let listpack = hash.as_expiring_listpack().expect("it is small");
    assert_eq!(listpack.as_bytes(), &REDIS_LISTPACK[10..REDIS_LISTPACK.len() - 10]);
    for version in [Version::V9, Version::V10, Version::V11, Version::V12] {
        let payload = dump_value(ValueRef::Hash(&hash), version);
        assert_eq!(payload[..9], REDIS_LISTPACK[..9], "type and soonest expiry");
        assert_eq!(payload[payload.len() - 10..][..2], [12, 0]);
        let again = restore_value(&payload, &Limits::default()).unwrap();
        assert_eq!(Model::of(again.as_ref()), model());
    }
    let payload = dump_value(ValueRef::Hash(&hash), Version::Valkey80);
    assert_eq!(payload[..2], VALKEY[..2], "type and length");
    assert_eq!(payload[payload.len() - 10..][..2], VALKEY[VALKEY.len() - 10..][..2]);
    let again = restore_value(&payload, &Limits::default()).unwrap();
    assert_eq!(Model::of(again.as_ref()), model());
    let table = dump_value(ValueRef::Hash(&self::hash(&tables())), Version::V10);
    // The order of fields is a table's own; all else is the same.
    let sorted = |payload: &[u8]| {
        let mut bytes = payload[..payload.len() - 8].to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(&table), sorted(REDIS_TABLE));
    assert_eq!(table[..10], REDIS_TABLE[..10], "type, soonest expiry, length");
}

#[test]
fn every_form_loads_from_a_file() {
    let ms = |ms: i64| ms.to_le_bytes();
    let listpack = &REDIS_LISTPACK[10..REDIS_LISTPACK.len() - 10];
    for file in [
        File::new(12).key(25, b"k").raw(&ms(BASE_MS)).str(listpack),
        // What the soonest is said to be is not believed.
        File::new(12).key(25, b"k").raw(&ms(-7)).str(listpack),
        File::new(12).key(23, b"k").str(listpack),
        File::new(12).key(24, b"k").raw(&REDIS_TABLE[1..REDIS_TABLE.len() - 10]),
        // Redis 7.4's release candidates: absolute, before the field.
        File::new(12)
            .key(22, b"k")
            .len(3)
            .len(BASE_MS as u64)
            .str(b"a")
            .str(b"1")
            .len(0)
            .str(b"cc")
            .str(b"333")
            .len(BASE_MS as u64 + 5)
            .str(b"b")
            .str(b"2"),
        // Valkey 9: behind the value.
        File::valkey()
            .key(22, b"k")
            .len(3)
            .str(b"a")
            .str(b"1")
            .raw(&ms(BASE_MS))
            .str(b"cc")
            .str(b"333")
            .raw(&ms(-1))
            .str(b"b")
            .str(b"2")
            .raw(&ms(BASE_MS + 5)),
    ] {
        assert_eq!(load_one(&file.finish()), model());
    }
}

#[test]
fn a_check_counts_the_hashes_of_which_a_field_expires() {
    let listpack = &REDIS_LISTPACK[10..REDIS_LISTPACK.len() - 10];
    let file = File::new(12).key(25, b"k").raw(&BASE_MS.to_le_bytes()).str(listpack);
    let file = file.key(4, b"plain").len(1).str(b"a").str(b"1").finish();
    let check = rdb::check_rdb(&mut Source::new(&mut &file[..], None)).unwrap();
    assert_eq!((check.keys, check.expires, check.subexpires), (2, 0, 1));
}

#[test]
fn bad_ones_are_refused_with_their_place() {
    let ms = |ms: i64| ms.to_le_bytes();
    let reason = |file: File| {
        let RdbError { key, reason, .. } = load(&file.finish()).err().expect("it is refused");
        assert_eq!(key.as_deref(), Some(&b"k"[..]));
        reason
    };
    let twice = File::new(12).key(24, b"k").raw(&ms(9)).len(2);
    let twice = twice.len(1).str(b"a").str(b"1").len(0).str(b"a").str(b"2");
    assert_eq!(reason(twice), Reason::Invalid("a hash has a field twice"));
    for (soonest_ms, relative) in [(i64::MAX, 5), (5, u64::MAX), (i64::MIN, 1), (-9, 1)] {
        let file = File::new(12)
            .key(24, b"k")
            .raw(&ms(soonest_ms))
            .len(1)
            .len(relative)
            .str(b"a")
            .str(b"");
        let what = "a field's expiry";
        assert_eq!(reason(file), Reason::BadLength { what, length: relative }, "{soonest_ms}");
    }
    let pairs = common::listpack(&[b"a", b"1"]);
    let file = File::new(12).key(25, b"k").raw(&ms(9)).str(&pairs);
    let why = "a hash has a field without a value or an expiry";
    assert_eq!(reason(file), Reason::Invalid(why));
    // Each dialect's own types are unknown to the other.
    let file = File::valkey().key(24, b"k").raw(&ms(9)).len(0).finish();
    assert_eq!(load(&file).err().map(|e| e.reason), Some(Reason::UnknownType(24)));
}

#[test]
fn a_snapshot_is_of_the_version_that_its_fields_take() {
    let written_for = |value: Value, version: Version| {
        let mut keyspace = common::keyspace();
        keyspace.db_mut(3).set(&b"k"[..], value, None);
        let options = SaveOptions { version, ..SaveOptions::default() };
        let mut bytes = Vec::new();
        rdb::save(&keyspace, &mut bytes, &options, &mut ()).unwrap();
        let (again, _) = load(&bytes).unwrap();
        assert_eq!(common::picture(&again), common::picture(&keyspace));
        (bytes[..9].to_vec(), rdb::lowest_version(&keyspace))
    };
    let written = |value: Value| written_for(value, Version::V9);
    for limits in [Limits::default(), tables()] {
        let valkey = written_for(Value::Hash(hash(&limits)), Version::Valkey80);
        assert_eq!(valkey, (b"VALKEY080".to_vec(), Version::V12));
    }
    let mut hash = hash(&Limits::default());
    assert_eq!(written(Value::Hash(self::hash(&tables()))), (b"REDIS0012".to_vec(), Version::V12));
    hash.set_expire_ms(b"a", None);
    hash.set_expire_ms(b"b", None);
    assert_eq!(written(Value::Hash(hash)), (b"REDIS0009".to_vec(), Version::V10));
}
