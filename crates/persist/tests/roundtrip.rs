//! What is saved comes back the same, whatever the data and whoever is to read it; what is damaged
//! afterwards ends in an error or in other data, never in a panic or in memory beyond its size.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Picture, load, picture};
use persist::aof::{self, AofReader, Record, RewriteOptions};
use persist::rdb::{
    self, LoadOptions, SaveOptions, SnapshotVerifier, Version, check_rdb, dump_value, restore_value,
};
use persist::source::Source;
use proptest::prelude::*;
use store::hash::Hash;
use store::keyspace::Keyspace;
use store::limits::Limits;
use store::list::{End, List};
use store::set::Set;
use store::str::Str;
use store::stream::{Group, Keep, NewId, Pending, References, Stream, StreamId, Trim};
use store::value::Value;
use store::zset::ZSet;

/// Counts the largest single request, which is what a lying length would show in.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// The source's buffer is a megabyte, and so is the first step towards an unproven length; nothing
/// in these small files justifies more than a few of them.
const ALLOWED: usize = 4 << 20;

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-300i64..300).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        4 => prop::collection::vec(b'a'..=b'd', 0..12),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (any::<u8>(), 20usize..400).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-50i32..50).prop_map(f64::from),
        any::<f64>().prop_filter("scores are numbers", |score| !score.is_nan()),
        prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)],
    ]
}

/// Some are the same.
fn field_expiry() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![2 => Just(None), 1 => (1i64..20).prop_map(Some), 1 => (1i64..1 << 46).prop_map(Some)]
}

fn value() -> impl Strategy<Value = Value> {
    let limits = Limits {
        set_max_listpack_entries: 20,
        set_max_intset_entries: 30,
        hash_max_listpack_entries: 20,
        zset_max_listpack_entries: 20,
        list_max_listpack_size: 8,
        ..Limits::default()
    };
    let (l, s, h, z) = (limits.clone(), limits.clone(), limits.clone(), limits.clone());
    let plain = limits;
    prop_oneof![
        text().prop_map(|text| Value::Str(Str::new(&text))),
        (20_000usize..70_000, any::<u8>()).prop_map(|(len, seed)| {
            let noise = (0..len).map(|i| ((i * i * usize::from(seed)) >> 3) as u8).collect();
            Value::Str(Str::Owned(noise))
        }),
        prop::collection::vec(text(), 1..40).prop_map(move |texts| {
            let mut list = List::new();
            texts.iter().for_each(|text| list.push(End::Tail, text, &l));
            Value::List(list)
        }),
        prop::collection::vec(text(), 1..40).prop_map(move |texts| {
            let mut set = Set::new();
            for text in &texts {
                set.add(text, &s);
            }
            Value::Set(set)
        }),
        prop::collection::vec((text(), text(), field_expiry()), 1..40).prop_map(move |fields| {
            let mut hash = Hash::new();
            for (field, value, expire_ms) in &fields {
                hash.set_with(field, value, (*expire_ms).into(), &h);
            }
            Value::Hash(hash)
        }),
        prop::collection::vec((text(), text()), 1..40).prop_map(move |pairs| {
            let mut hash = Hash::new();
            for (field, value) in &pairs {
                hash.set(field, value, &plain);
            }
            Value::Hash(hash)
        }),
        prop::collection::vec((text(), score()), 1..40).prop_map(move |pairs| {
            let mut zset = ZSet::new();
            for (member, score) in &pairs {
                zset.insert(member, *score, &z);
            }
            Value::ZSet(zset)
        }),
    ]
}

/// A stream with all that can be in one: entries of any fields, some deleted, some trimmed; groups,
/// consumers, and what is pending for them, be it in the stream or not.
fn stream() -> impl Strategy<Value = Value> {
    let step = (any::<u8>(), 0u64..40, prop::collection::vec((text(), text()), 1..5));
    (prop::collection::vec(step, 0..60), 1usize..8).prop_map(|(steps, per_node)| {
        let limits = Limits { stream_node_max_entries: per_node, ..Limits::default() };
        let mut stream = Stream::new();
        for (what, n, pairs) in steps {
            stream_step(&mut stream, what, n, &pairs, &limits);
        }
        Value::Stream(Box::new(stream))
    })
}

fn stream_step(
    stream: &mut Stream,
    what: u8,
    n: u64,
    pairs: &[(Vec<u8>, Vec<u8>)],
    limits: &Limits,
) {
    let near = StreamId::new(stream.last_id().ms.saturating_sub(n), n % 2);
    let (group_name, consumer_name) = (&pairs[0].0[..], &pairs[0].1[..]);
    match what % 8 {
        0 => drop(stream.delete(near)),
        1 => {
            let trim = Trim {
                keep: Keep::MaxLen(n),
                approximate: n.is_multiple_of(2),
                limit: 0,
                references: References::Keep,
            };
            stream.trim(&trim);
        }
        2 => {
            let group = Group::new(near, (!n.is_multiple_of(3)).then_some(n as i64));
            stream.groups.insert(group_name.into(), group);
        }
        3 | 4 => {
            for group in stream.groups.values_mut() {
                let found = group.find(consumer_name);
                let consumer = found.or(group.create(consumer_name, n as i64)).unwrap();
                if n > 3 {
                    let pending = Pending { delivery_ms: n as i64, deliveries: n, consumer };
                    group.assign(near, pending);
                    group.consumer_mut(consumer).active_ms = Some(n as i64 / 2);
                }
            }
        }
        _ => {
            if let Some(id) = stream.next_id(NewId::InMs(stream.last_id().ms + n % 4)) {
                let words = pairs.iter().flat_map(|(name, value)| [&name[..], &value[..]]);
                stream.append(id, words, limits);
            }
        }
    }
}

/// A keyspace that a failed case can print.
struct Shown(Keyspace);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        picture(&self.0).fmt(f)
    }
}

fn keyspace() -> impl Strategy<Value = Shown> {
    let key = (0usize..16, text());
    let expiry = prop_oneof![3 => Just(None), 1 => (0i64..1 << 50).prop_map(Some)];
    prop::collection::vec((key, expiry, value()), 0..12).prop_map(|entries| {
        let mut keyspace = common::keyspace();
        for ((db, key), expiry, value) in entries {
            keyspace.db_mut(db).set(&key, value, expiry);
        }
        Shown(keyspace)
    })
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V9), Just(Version::V10), Just(Version::V11), Just(Version::V12)]
}

fn saved(keyspace: &Keyspace, version: Version, compress: bool) -> Vec<u8> {
    let options =
        SaveOptions { version, compress, checksum: true, redis_ver: "7.2.4", ..Default::default() };
    let mut bytes = Vec::new();
    let report = rdb::save(keyspace, &mut bytes, &options, &mut ()).expect("memory takes all");
    assert_eq!((report.keys, report.bytes), (keyspace.keys() as u64, bytes.len() as u64));
    bytes
}

/// Runs what the commands of a rewritten AOF say; only those that it has.
fn replay(bytes: &[u8], limits: &Limits) -> Picture {
    let mut rest = bytes;
    let mut reader = AofReader::new(Source::new(&mut rest, None));
    let (mut keyspace, mut db) = (common::keyspace(), 0);
    while let Some(record) = reader.next().unwrap_or_else(|e| panic!("{e}")) {
        let Record::Command(command) = record else { panic!("no annotation was asked for") };
        let args: Vec<&[u8]> = command.args().collect();
        let number = |arg: &[u8]| protocol::parse_i64(arg).expect("a number");
        if command.name() == b"SELECT" {
            db = number(args[1]) as usize;
            continue;
        }
        assert!(args.len() <= 2 + 128, "batches of 64");
        let db = keyspace.db_mut(db);
        if command.name() == b"PEXPIREAT" {
            db.set_expire(args[1], Some(number(args[2])));
            continue;
        }
        if command.name() == b"HPEXPIREAT" {
            assert_eq!((args[3], args[4], args.len()), (&b"FIELDS"[..], &b"1"[..], 6));
            let entry = db.get_mut(args[1]).expect("the hash comes before its expiries");
            let mut hash = entry.into_hash().expect("it is one");
            assert!(hash.set_expire_ms(args[5], Some(number(args[2]))));
            continue;
        }
        let mut entry = db.get_or_insert_with(args[1], || match command.name() {
            b"SET" => Value::Str(Str::new(args[2])),
            b"RPUSH" => Value::List(List::new()),
            b"SADD" => Value::Set(Set::new()),
            b"HMSET" => Value::Hash(Hash::new()),
            b"ZADD" => Value::ZSet(ZSet::new()),
            name => panic!("{}", name.escape_ascii()),
        });
        if entry.value_type() == store::Type::Hash {
            let mut hash = entry.into_hash().expect("it is one");
            args[2..].chunks_exact(2).for_each(|pair| {
                assert!(hash.set(pair[0], pair[1], limits));
            });
            continue;
        }
        match entry.value_mut() {
            store::value::ValueMut::List(list) => {
                args[2..].iter().for_each(|text| list.push(End::Tail, text, limits));
            }
            store::value::ValueMut::Set(set) => {
                args[2..].iter().for_each(|text| assert!(set.add(text, limits)));
            }
            store::value::ValueMut::ZSet(zset) => args[2..].chunks_exact(2).for_each(|pair| {
                let score = protocol::parse_f64(pair[0]).expect("a score");
                assert!(zset.insert(pair[1], score, limits).is_none());
            }),
            _ => {}
        }
    }
    picture(&keyspace)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_saved_comes_back(
        Shown(keyspace) in keyspace(),
        version in version(),
        compress in any::<bool>(),
        step in 1usize..5000,
    ) {
        let bytes = saved(&keyspace, version, compress);
        let (again, report) = load(&bytes).unwrap();
        prop_assert_eq!(picture(&again), picture(&keyspace));
        // Fields that expire raise it.
        let version = version.max(Version::needed_for(&keyspace));
        prop_assert_eq!((report.version, report.bytes), (version.number(), bytes.len() as u64));
        prop_assert!(report.checksum_verified);
        let mut verifier = SnapshotVerifier::new();
        bytes.chunks(step).for_each(|chunk| verifier.feed(chunk).unwrap());
        prop_assert_eq!(verifier.finish(), Ok(version.number()));
    }

    #[test]
    fn a_dumped_value_is_restored(value in value(), version in version()) {
        let payload = dump_value(value.as_ref(), version);
        let again = restore_value(&payload, &Limits::default()).unwrap();
        prop_assert_eq!(common::Model::of(again.as_ref()), common::Model::of(value.as_ref()));
    }

    /// In the newest form nothing is lost; what the older ones leave out does not come back.
    #[test]
    fn a_dumped_stream_is_restored(value in stream()) {
        let limits = Limits::default();
        let whole = dump_value(value.as_ref(), Version::V11);
        let again = restore_value(&whole, &limits).unwrap();
        prop_assert_eq!(&dump_value(again.as_ref(), Version::V11), &whole);
        for version in [Version::V9, Version::V10] {
            let older = dump_value(value.as_ref(), version);
            let again = restore_value(&older, &limits).unwrap();
            prop_assert_eq!(dump_value(again.as_ref(), version), older);
        }
    }

    #[test]
    fn a_rewritten_aof_says_the_same(Shown(keyspace) in keyspace()) {
        let mut bytes = Vec::new();
        aof::rewrite(&keyspace, &mut bytes, &RewriteOptions::default(), &mut ()).unwrap();
        prop_assert_eq!(replay(&bytes, &Limits::default()), picture(&keyspace));
    }

    #[test]
    fn damage_is_survived(
        Shown(keyspace) in keyspace(),
        version in version(),
        compress in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = saved(&keyspace, version, compress);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        LARGEST.store(0, Ordering::Relaxed);
        // Once believing the checksum and once not, so that more than the first bytes are reached;
        // with the size known, and with it unknown as on a socket.
        for (verify_checksum, total) in [(true, Some(bytes.len() as u64)), (false, None)] {
            let options = LoadOptions { verify_checksum, ..LoadOptions::default() };
            let mut rest = &bytes[..];
            let mut keyspace = common::keyspace();
            let mut source = Source::new(&mut rest, total);
            if let Err(e) = rdb::load(&mut source, &mut keyspace, &options, &mut ()) {
                prop_assert!(e.offset <= bytes.len() as u64, "{}", e);
                prop_assert!(!e.to_string().is_empty());
            }
            picture(&keyspace);
        }
        let mut rest = &bytes[..];
        let _ = check_rdb(&mut Source::new(&mut rest, None));
        let largest = LARGEST.load(Ordering::Relaxed);
        prop_assert!(largest <= ALLOWED, "an allocation of {} bytes", largest);
    }

    #[test]
    fn damaged_payloads_are_survived(
        value in prop_oneof![value(), stream()],
        version in version(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut payload = dump_value(value.as_ref(), version);
        let end = payload.len() - 8;
        for (at, byte) in edits {
            payload[at.index(end)] = byte;
        }
        // With the right checksum, so that the body is reached.
        let payload = rdb::with_own_checksum(&payload);
        if let Ok(value) = restore_value(&payload, &Limits::default()) {
            let again = dump_value(value.as_ref(), Version::V12);
            prop_assert!(restore_value(&again, &Limits::default()).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), code in 0u8..27) {
        LARGEST.store(0, Ordering::Relaxed);
        let mut payload = vec![code];
        payload.extend_from_slice(&bytes);
        payload.extend_from_slice(&[12, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let _ = restore_value(&payload, &Limits::default());
        let file = [b"REDIS0012", &payload[..]].concat();
        let _ = load(&file);
        let _ = load(&[b"VALKEY080", &payload[..]].concat());
        let mut rest = &bytes[..];
        let mut reader = AofReader::new(Source::new(&mut rest, None));
        while let Ok(Some(_)) = reader.next() {}
        let largest = LARGEST.load(Ordering::Relaxed);
        prop_assert!(largest <= ALLOWED, "an allocation of {} bytes", largest);
    }
}
