//! Short random histories of one database against the simplest model there is, so that a failure
//! shrinks to the few operations that matter. The long seeded runs are beside the code.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use store::{Db, DbSlot, HashSeed, NewValue, SetExpire, ValueRef};

const SEED: HashSeed = HashSeed::new(3, 4);

#[derive(Clone, Debug)]
enum Op {
    Set(u8, Vec<u8>, Option<i64>),
    SetKeeping(u8, Vec<u8>),
    SetInt(u8, i64),
    Append(u8, Vec<u8>),
    Patch(u8, usize, u8),
    Expire(u8, Option<i64>),
    Remove(u8),
    Rename(u8, u8),
    AddMany(u8),
    RemoveMany,
    Pause(bool),
    Rehash(usize),
    ScanStep,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..24u8;
    let text = prop_oneof![
        4 => vec(any::<u8>(), 0..80),
        1 => vec(any::<u8>(), 900..1100),
        1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
    ];
    let expire_ms = proptest::option::of(any::<i64>());
    prop_oneof![
        4 => (key.clone(), text.clone(), expire_ms.clone()).prop_map(|(k, v, e)| Op::Set(k, v, e)),
        2 => (key.clone(), text.clone()).prop_map(|(k, v)| Op::SetKeeping(k, v)),
        1 => (key.clone(), any::<i64>()).prop_map(|(k, number)| Op::SetInt(k, number)),
        3 => (key.clone(), text).prop_map(|(k, v)| Op::Append(k, v)),
        2 => (key.clone(), 0..1200usize, any::<u8>()).prop_map(|(k, at, b)| Op::Patch(k, at, b)),
        3 => (key.clone(), expire_ms).prop_map(|(k, e)| Op::Expire(k, e)),
        2 => key.clone().prop_map(Op::Remove),
        2 => (key.clone(), key).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => any::<u8>().prop_map(Op::AddMany),
        1 => Just(Op::RemoveMany),
        1 => any::<bool>().prop_map(Op::Pause),
        1 => (0..20usize).prop_map(Op::Rehash),
        4 => Just(Op::ScanStep),
    ]
}

/// Keys of very different lengths: the key's length decides the layout.
fn key(number: u8) -> Vec<u8> {
    let len = [1, 3, 16, 17, 100, 252, 253, 1023][usize::from(number) % 8];
    (0..len).map(|i| if i == 0 { number } else { b'k' }).collect()
}

/// Keys that only make the table grow and shrink.
fn filler(number: usize) -> Vec<u8> {
    format!("filler:{number}").into_bytes()
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    text: Vec<u8>,
    expire_ms: Option<i64>,
}

#[derive(Default)]
struct Model {
    keys: BTreeMap<Vec<u8>, Expected>,
    fillers: usize,
    cursor: u64,
    /// Present since the scan began, and not yet seen by it.
    unseen: BTreeSet<Vec<u8>>,
}

fn text(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Str(text) => text.to_vec(),
        ValueRef::SharedStr(text) => text.to_vec(),
        _ => panic!("only strings here"),
    }
}

impl Model {
    fn run(&mut self, db: &mut Db, op: Op) {
        match op {
            Op::Set(k, text, expire_ms) => {
                db.set(&key(k), &text[..], expire_ms);
                self.keys.insert(key(k), Expected { text, expire_ms });
            }
            Op::SetKeeping(k, text) => {
                db.set(&key(k), &text[..], SetExpire::Keep);
                let expire_ms = self.keys.get(&key(k)).and_then(|expected| expected.expire_ms);
                self.keys.insert(key(k), Expected { text, expire_ms });
            }
            Op::SetInt(k, number) => {
                db.set(&key(k), NewValue::Int(number), SetExpire::Clear);
                let text = number.to_string().into_bytes();
                self.keys.insert(key(k), Expected { text, expire_ms: None });
            }
            Op::Append(k, tail) => {
                let Some(mut entry) = db.get_mut(&key(k)) else { return };
                let expected = self.keys.get_mut(&key(k)).expect("both have it");
                expected.text.extend_from_slice(&tail);
                assert_eq!(entry.append(&tail), expected.text.len());
            }
            Op::Patch(k, at, byte) => {
                let DbSlot::Occupied(mut entry) = db.slot(&key(k)) else { return };
                entry.text_mut(at + 1)[at] = byte;
                let text = &mut self.keys.get_mut(&key(k)).expect("both have it").text;
                text.resize(text.len().max(at + 1), 0);
                text[at] = byte;
            }
            Op::Expire(k, expire_ms) => {
                db.set_expire(&key(k), expire_ms);
                if let Some(expected) = self.keys.get_mut(&key(k)) {
                    expected.expire_ms = expire_ms;
                }
            }
            Op::Remove(k) => {
                assert_eq!(db.remove(&key(k)).is_some(), self.keys.remove(&key(k)).is_some());
                self.unseen.remove(&key(k));
            }
            Op::Rename(from, to) if from != to => {
                let Some(entry) = db.remove(&key(from)) else { return };
                db.insert_entry(entry.with_key(&key(to)));
                let moved = self.keys.remove(&key(from)).expect("both have it");
                self.keys.insert(key(to), moved);
                self.unseen.remove(&key(from));
            }
            Op::Rename(..) => (),
            Op::AddMany(count) => {
                for i in self.fillers..self.fillers + usize::from(count) {
                    db.set(&filler(i), b"filler", (i % 3 == 0).then_some(0));
                }
                self.fillers += usize::from(count);
            }
            Op::RemoveMany => {
                for i in 0..self.fillers {
                    assert!(db.remove(&filler(i)).is_some());
                }
                self.fillers = 0;
            }
            Op::Pause(true) => db.pause_resize(),
            Op::Pause(false) => db.resume_resize(),
            Op::Rehash(buckets) => {
                db.rehash_for(buckets);
            }
            Op::ScanStep => {
                if self.cursor == 0 {
                    self.unseen = self.keys.keys().cloned().collect();
                }
                self.cursor = db.scan(self.cursor, |entry| {
                    self.unseen.remove(entry.key());
                });
                assert!(self.cursor != 0 || self.unseen.is_empty(), "missed {:?}", self.unseen);
            }
        }
    }

    fn compare(&self, db: &Db) {
        assert_eq!(db.len(), self.keys.len() + self.fillers);
        let volatile = self.keys.values().filter(|expected| expected.expire_ms.is_some()).count();
        assert_eq!(db.expires_len(), volatile + self.fillers.div_ceil(3));
        for (key, expected) in &self.keys {
            let entry = db.get(key).expect("both have it");
            assert_eq!(entry.key(), &key[..]);
            let found = Expected { text: text(entry.value()), expire_ms: entry.expire_ms() };
            assert_eq!(&found, expected);
            assert!(entry.memory_usage(0) >= key.len() + expected.text.len().min(8));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_database_is_a_map_with_expiries(ops in vec(op(), 1..120)) {
        let (mut db, mut model) = (Db::new(SEED), Model::default());
        for op in ops {
            model.run(&mut db, op);
            model.compare(&db);
        }
    }
}
