//! A database against a plain map: entries, expiries and walks agree through every change.

use std::collections::HashMap;

use super::*;
use crate::hash::Hash;
use crate::limits::Limits;
use crate::relocate::{Mover, Shaky};
use crate::value::{ValueMut, ValueRef};

const SEED: HashSeed = HashSeed::new(1, 2);
const SCALE: usize = if cfg!(miri) { 1000 } else { 1 };

impl Db {
    /// The invariants at the head of the file.
    fn check(&self) {
        let volatile = self.iter().filter(|entry| entry.expire_ms().is_some()).count();
        assert_eq!(volatile, self.expires.len());
        for expire in &self.expires {
            let entry = self.get(expire.key()).expect("the index points at entries");
            assert!(expire.points_at(entry.base()) && entry.expire_ms().is_some());
        }
        let soonest = |entry: &Entry| match entry.value() {
            ValueRef::Hash(hash) => hash.soonest_expire_ms(),
            _ => None,
        };
        assert_eq!(self.field_expires_len(), self.iter().filter_map(soonest).count());
        assert_eq!(self.soonest_field_expire_ms(), self.iter().filter_map(soonest).min());
        let first = self.first_to_lose_a_field().map(|key| self.get(key).expect("it is an entry"));
        assert_eq!(first.and_then(soonest), self.soonest_field_expire_ms());
    }
}

#[test]
fn what_a_resize_leaves_is_counted_until_it_has_ended() {
    let mut db = Db::new(SEED);
    assert_eq!(db.rehashing(), (0, 0));
    let mut number = 0;
    while db.rehashing().0 == 0 {
        db.set(format!("key:{number}").as_bytes(), &b"v"[..], None);
        number += 1;
    }
    let (tables, bytes) = db.rehashing();
    assert!(tables == 1 && bytes > 0 && bytes < db.overhead_bytes().0, "{bytes}");
    while db.rehash_for(1) {}
    assert_eq!(db.rehashing(), (0, 0));
}

fn text(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Str(text) => text.to_vec(),
        ValueRef::SharedStr(text) => text.to_vec(),
        _ => b"(a collection)".to_vec(),
    }
}

/// Random writes of every kind, with expiries that come, go and fall due, on a database that
/// grows and shrinks; the model is a map from key to text and expiry.
#[test]
fn a_million_random_operations_match_a_plain_map() {
    let operations = 1_000_000 / SCALE;
    let mut rng = Rng::with_seed(7);
    let mut db = Db::new(SEED);
    let mut model: HashMap<Vec<u8>, (Vec<u8>, Option<i64>)> = HashMap::new();
    let mut now_ms = 0i64;
    let (mut shaky, mut place) = (Shaky::new(), Place::default());
    for op in 0..operations {
        now_ms += 1;
        let growing = (op * 8 / operations).is_multiple_of(2);
        let number = rng.usize(..30_000 / SCALE.min(300));
        let key = format!("key:{number}:{}", "x".repeat(number % 40)).into_bytes();
        let value = random_value(&mut rng);
        let expire_ms = rng.bool().then(|| now_ms + rng.i64(0..50_000));
        match rng.u8(..16) {
            0..5 if growing => {
                db.set(&key, &value[..], expire_ms);
                model.insert(key, (value, expire_ms));
            }
            0..4 => {
                let removed = db.remove(&key).map(|entry| (text(&entry), entry.expire_ms()));
                assert_eq!(removed, model.remove(&key));
            }
            4 | 5 => {
                db.set(&key, &value[..], SetExpire::Keep);
                model.entry(key).or_insert((vec![], None)).0 = value;
            }
            6 | 7 => {
                let had = db.set_expire(&key, expire_ms);
                let old = model.get_mut(&key).map(|(_, old)| std::mem::replace(old, expire_ms));
                assert_eq!(had, old.map(|old| old.is_some()));
            }
            8 => {
                if let Some(mut entry) = db.get_mut(&key) {
                    let (expected, _) = model.get_mut(&key).expect("both have it");
                    expected.extend_from_slice(&value);
                    assert_eq!(entry.append(&value), expected.len());
                }
            }
            9 => {
                if let DbSlot::Occupied(entry) = db.slot(&key) {
                    let entry = entry.remove();
                    let to = format!("other:{number}").into_bytes();
                    let had = db.insert_entry(entry.with_key(&to));
                    let moved = model.remove(&key).expect("both have it");
                    assert_eq!(had.is_some(), model.insert(to, moved).is_some());
                }
            }
            10 => expire_some(&mut db, &mut model, now_ms),
            11 if rng.u16(..) == 0 => {
                assert_eq!(db.take().len(), model.len());
                model.clear();
            }
            12 if rng.u8(..) == 0 => {
                if rng.bool() {
                    db.pause_resize()
                } else {
                    db.resume_resize()
                }
            }
            13 => {
                db.rehash_for(10);
            }
            14 => {
                let mut mover = Mover::new(&mut shaky);
                if db.relocate_from(&mut place, 1, &mut mover).is_at_end {
                    place = Place::default();
                }
            }
            _ => {
                let found = db.get(&key).map(|entry| (text(entry), entry.expire_ms()));
                assert_eq!(found, model.get(&key).cloned());
            }
        }
        assert_eq!(db.len(), model.len());
        if op % (operations / 50) == 0 {
            db.check();
        }
    }
    db.check();
    for entry in db.iter() {
        assert_eq!(model.remove(entry.key()), Some((text(entry), entry.expire_ms())));
    }
    assert!(model.is_empty());
}

fn random_value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u8(..8) {
        0 => return rng.i64(..).to_string().into_bytes(),
        1..6 => rng.usize(..64),
        6 => rng.usize(..600),
        _ => rng.usize(900..1200),
    };
    vec![rng.u8(..); len]
}

/// What the engine's expiry cycle does.
fn expire_some(db: &mut Db, model: &mut HashMap<Vec<u8>, (Vec<u8>, Option<i64>)>, now_ms: i64) {
    let mut due = Vec::new();
    db.expire_scan(now_ms as u64, 5, |entry| {
        if entry.is_expired(now_ms) {
            due.push(entry.key().to_vec());
        }
    });
    for key in due {
        let entry = db.remove(&key).expect("it was just seen");
        assert!(entry.is_expired(now_ms));
        let (_, expire_ms) = model.remove(&key).expect("both have it");
        assert!(expire_ms.is_some_and(|expire_ms| expire_ms < now_ms));
    }
}

#[test]
fn collections_are_created_found_and_moved_between_databases() {
    let mut keyspace = crate::Keyspace::new(16, SEED);
    let key = keyspace.key(b"h");
    let mut entry = keyspace.db_mut(3).get_or_insert_with(key, || Value::Hash(Hash::new()));
    assert!(matches!(entry.value_mut(), ValueMut::Hash));
    entry.set_expire_ms(Some(10));
    let again = keyspace.db_mut(3).get_or_insert_with(key, || unreachable!("it is there"));
    assert_eq!(again.expire_ms(), Some(10));
    let (from, to) = keyspace.two_mut(3, 4).expect("two");
    assert!(to.insert_entry(from.remove(key).expect("there")).is_none());
    assert_eq!((from.len(), from.expires_len(), to.len(), to.expires_len()), (0, 0, 1, 1));
    to.check();
    keyspace.swap(4, 5);
    assert!(keyspace.db(5).contains(key) && keyspace.two_mut(3, 3).is_none());
    let old = keyspace.take();
    assert_eq!((old.keys(), keyspace.keys(), keyspace.len()), (1, 0, 16));
    // A helper thread may drop what a flush detached.
    std::thread::scope(|scope| drop(scope.spawn(move || drop(old))));
}

#[test]
fn an_expiry_walk_sees_every_entry_that_expires() {
    let mut db = Db::new(SEED);
    let count = 2000 / SCALE.min(50);
    for i in 0..count {
        let expire_ms = (i % 2 == 0).then_some(i as i64);
        db.set(format!("{i}").as_bytes(), b"v", expire_ms);
    }
    let (mut cursor, mut seen) = (0, 0);
    loop {
        cursor = db.expire_scan(cursor, 20, |entry| {
            assert!(entry.expire_ms().is_some());
            seen += 1;
        });
        if cursor == 0 {
            break;
        }
    }
    assert!(seen >= count / 2);
    let mut rng = Rng::with_seed(0);
    assert!(db.random_volatile(&mut rng).is_some_and(|entry| entry.expire_ms().is_some()));
    assert!(db.random(&mut rng).is_some());
}

/// Hashes whose fields get and lose expiries, and which come, move and go in every way there is.
#[test]
fn the_index_follows_the_fields_of_hashes() {
    let limits = Limits::default();
    let mut rng = Rng::with_seed(11);
    let mut db = Db::new(SEED);
    for _ in 0..20_000 / SCALE.min(100) {
        let key = format!("key:{}", rng.u8(..20)).into_bytes();
        let field = [b'a' + rng.u8(..3)];
        let at_ms = rng.i64(1..1000);
        match rng.u8(..12) {
            0..6 => {
                let entry = db.get_or_insert_with(&key[..], || Value::Hash(Hash::new()));
                if let Some(mut hash) = entry.into_hash() {
                    match rng.u8(..5) {
                        0 => hash.set(&field, b"v", &limits),
                        1 => hash.set_with(&field, b"v", SetExpire::At(at_ms), &limits),
                        2 => hash.set_expire_ms(&field, None),
                        3 => hash.remove(&field),
                        _ => hash.remove_due(at_ms, 1, |_| {}) > 0,
                    };
                }
            }
            6 => drop(db.set(&key[..], &b"a string"[..], None)),
            7 => drop(db.remove(&key[..])),
            8 => drop(db.set_expire(&key[..], rng.bool().then_some(at_ms))),
            9 => {
                let other = format!("key:{}", rng.u8(..20)).into_bytes();
                let moved =
                    db.remove(&key[..]).map(|entry| db.insert_entry(entry.with_key(&other)));
                drop(moved);
            }
            10 => {
                let mut hash = Hash::new();
                hash.set_with(&field, b"v", SetExpire::At(at_ms), &limits);
                db.set(&key[..], Value::Hash(hash), None);
            }
            _ => {
                let mut full = db.take();
                assert_eq!((db.field_expires_len(), db.first_to_lose_a_field()), (0, None));
                std::mem::swap(&mut db, &mut full);
            }
        }
        db.check();
    }
}

/// Values of every type, with expiries of their own and of their fields, in a database that is written to while it
/// is walked over; a second one has the same but never moves.
#[test]
fn a_walk_that_moves_everything_changes_nothing() {
    let limits =
        Limits { hash_max_listpack_entries: 4, zset_max_listpack_entries: 4, ..Limits::default() };
    let mut rng = Rng::with_seed(21);
    let (mut db, mut still) = (Db::new(SEED), Db::new(SEED));
    let (mut shaky, mut place, mut walks) = (Shaky::new(), Place::default(), 0);
    let mut in_steps = 0;
    for op in 0..60_000 / SCALE {
        let number = rng.usize(..400);
        let key = format!("key:{number}").into_bytes();
        let (member, expire_ms) =
            (rng.u32(..3000).to_string(), rng.bool().then(|| rng.i64(1..1000)));
        let (goes, write) = (rng.u8(..40) == 0, rng.u64(..));
        for db in [&mut db, &mut still] {
            if goes {
                db.remove(&key);
            } else {
                apply_write(db, &key, number % 6, write, member.as_bytes(), expire_ms, &limits);
            }
        }
        let mut mover = Mover::new(&mut shaky);
        let walked = db.relocate_from(&mut place, 8, &mut mover);
        in_steps += usize::from(!place.large.is_empty());
        if walked.is_at_end {
            (place, walks) = (Place::default(), walks + 1);
        }
        if op % 5000 == 0 {
            db.check();
        }
    }
    db.check();
    assert!(SCALE > 1 || walks > 3 && in_steps > 100, "{walks} walks, {in_steps} steps");
    assert_eq!((db.len(), db.expires_len()), (still.len(), still.expires_len()));
    for entry in still.iter() {
        let moved = db.get(entry.key()).expect("it is there");
        let digest = |entry: &Entry| {
            let has_expiry = entry.expire_ms().is_some();
            crate::digest::of_value(entry.value(), has_expiry, crate::digest::Spelling::Shortest)
        };
        assert_eq!((moved.expire_ms(), digest(moved)), (entry.expire_ms(), digest(entry)));
    }
}

fn apply_write(
    db: &mut Db,
    key: &[u8],
    kind: usize,
    write: u64,
    member: &[u8],
    expire_ms: Option<i64>,
    limits: &Limits,
) {
    use crate::{End, List, Set, Stream, ZSet, stream::NewId};
    if kind == 0 {
        let text = vec![b't'; (write % 1500) as usize];
        db.set(key, &text[..], expire_ms);
        return;
    }
    let mut entry = db.get_or_insert_with(key, || match kind {
        1 => Value::List(List::new()),
        2 => Value::Set(Set::new()),
        3 => Value::Hash(Hash::new()),
        4 => Value::ZSet(ZSet::new()),
        _ => Value::Stream(Box::new(Stream::new())),
    });
    if write.is_multiple_of(7) {
        entry.set_expire_ms(expire_ms);
    }
    match entry.value_mut() {
        ValueMut::List(list) => list.push(End::Tail, &member.repeat(60), limits),
        ValueMut::Set(set) => _ = set.add(member, limits),
        ValueMut::ZSet(zset) => _ = zset.insert(member, (write % 50) as f64, limits),
        ValueMut::Stream(stream) => {
            let id = stream.next_id(NewId::InMs(stream.last_id().ms + 1)).expect("it is free");
            stream.append(id, [b"field", member].into_iter(), limits);
        }
        _ => {
            let expire = expire_ms.map_or(SetExpire::Keep, SetExpire::At);
            entry.into_hash().expect("it is one").set_with(member, b"value", expire, limits);
        }
    }
}
