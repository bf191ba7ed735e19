//! A hash against a plain map, with and without expiries of fields.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::relocate::Shaky;

fn contents(hash: &Hash) -> HashMap<Vec<u8>, Vec<u8>> {
    let pairs: Vec<_> = hash.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    let map: HashMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(map.len(), pairs.len(), "no field twice");
    map
}

fn scanned(hash: &Hash) -> HashMap<Vec<u8>, Vec<u8>> {
    let (mut map, mut cursor) = (HashMap::new(), 0);
    loop {
        cursor =
            hash.scan(cursor, |field| drop(map.insert(field.name.to_vec(), field.value.to_vec())));
        if cursor == 0 {
            return map;
        }
    }
}

#[test]
fn a_hash_converts_by_count_by_length_and_by_announcement() {
    let limits = Limits { hash_max_listpack_entries: 2, ..Limits::default() };
    let mut hash = Hash::new();
    hash.set(b"a", b"1", &limits);
    hash.set(b"b", &[b'x'; 64], &limits);
    hash.set(b"a", b"2", &limits);
    assert_eq!(hash.encoding(), Encoding::Listpack);
    hash.set(b"c", b"", &limits);
    assert_eq!(hash.encoding(), Encoding::Hashtable);
    let mut hash = Hash::new();
    hash.set(b"a", &[b'x'; 65], &limits);
    assert_eq!(hash.encoding(), Encoding::Hashtable);
    let mut hash = Hash::new();
    hash.expect(3, &limits);
    assert_eq!(hash.encoding(), Encoding::Hashtable);
}

#[test]
fn a_listpack_from_a_file_must_be_a_hash() {
    let limits = Limits::default();
    let listpack = |texts: &[&str]| {
        let mut entries = Listpack::new();
        texts.iter().for_each(|text| entries.push_back(text.as_bytes()));
        entries
    };
    assert!(Hash::from_listpack(listpack(&["a", "1", "b"]), &limits).is_err());
    assert!(Hash::from_listpack(listpack(&["a", "1", "a", "2"]), &limits).is_err());
    let tight = Limits { hash_max_listpack_entries: 1, ..Limits::default() };
    assert!(Hash::from_listpack(listpack(&["a", "1", "a", "2"]), &tight).is_err());
    let hash = Hash::from_listpack(listpack(&["a", "1", "b", "2"]), &tight).unwrap();
    assert_eq!((hash.encoding(), hash.len()), (Encoding::Hashtable, 2));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0i64..40).prop_map(|n| n.to_string().into_bytes()),
        4 => prop::collection::vec(b'a'..b'd', 0..4),
        1 => prop::collection::vec(any::<u8>(), 60..70),
        1 => prop::collection::vec(any::<u8>(), 250..260),
    ]
}

proptest! {
    #[test]
    fn edits_agree_with_a_map(
        max_entries in 0usize..40,
        edits in prop::collection::vec((0u8..10, text(), text()), 0..150),
        seed in any::<u64>(),
    ) {
        let limits = Limits { hash_max_listpack_entries: max_entries, ..Limits::default() };
        let (mut hash, mut model) = (Hash::new(), HashMap::new());
        let mut shaky = Shaky::new();
        for (kind, name, value) in edits {
            shaky.shake(&mut hash);
            if kind < 7 {
                let new = model.insert(name.clone(), value.clone()).is_none();
                prop_assert_eq!(hash.set(&name, &value, &limits), new);
            } else {
                prop_assert_eq!(hash.remove(&name), model.remove(&name).is_some());
            }
            prop_assert_eq!(hash.get(&name).map(|v| v.to_vec()), model.get(&name).cloned());
            prop_assert_eq!(hash.len(), model.len());
        }
        prop_assert_eq!(&contents(&hash), &model);
        prop_assert_eq!(&scanned(&hash), &model);
        let mut rng = fastrand::Rng::with_seed(seed);
        match hash.random(i64::MIN, &mut rng) {
            Some(field) => prop_assert_eq!(model.get(&field.name.to_vec()), Some(&field.value.to_vec())),
            None => prop_assert!(model.is_empty()),
        }
        for n in [1, model.len() / 4, model.len() + 1] {
            let mut sample = HashMap::new();
            hash.sample(n, i64::MIN, &mut rng, |field| {
                assert!(sample.insert(field.name.to_vec(), field.value.to_vec()).is_none());
            });
            prop_assert_eq!(sample.len(), n.min(model.len()));
            prop_assert!(sample.iter().all(|(name, value)| model.get(name) == Some(value)));
        }
    }
}

// ---- expiries of fields ----

/// Value and expiry by name.
type Model = HashMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn expiring_contents(hash: &Hash) -> Model {
    let owned =
        |field: FieldRef<'_>| (field.name.to_vec(), (field.value.to_vec(), field.expire_ms));
    let fields: Vec<_> = hash.fields().map(owned).collect();
    let model: Model = fields.iter().cloned().collect();
    assert_eq!(model.len(), fields.len(), "no field twice");
    let (mut scanned, mut cursor) = (Model::new(), 0);
    loop {
        cursor = hash.scan(cursor, |field| scanned.extend([owned(field)]));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, model);
    model
}

#[test]
fn a_field_gets_and_loses_an_expiry_and_the_hash_its_form() {
    for max_entries in [512, 1] {
        let limits = Limits { hash_max_listpack_entries: max_entries, ..Limits::default() };
        let mut hash = Hash::new();
        for name in [b"a", b"b", b"c"] {
            hash.set(name, b"1", &limits);
        }
        let (plain, bytes) = (hash.encoding(), hash.memory_usage(0));
        assert!(!hash.set_expire_ms(b"x", Some(5)) && hash.soonest_expire_ms().is_none());
        assert!(hash.set_expire_ms(b"b", Some(5)) && hash.set_expire_ms(b"a", Some(3)));
        assert_eq!((hash.soonest_expire_ms(), hash.due_len(5)), (Some(3), 1));
        let form = if max_entries == 1 { "hashtable" } else { "listpackex" };
        assert_eq!(hash.encoding().name(), form);
        assert!(hash.live(b"a", 3).is_some() && hash.live(b"a", 4).is_none());
        assert!(hash.get(b"a").is_some() && hash.contains(b"a"), "it is there still");
        assert!(!hash.set_with(b"a", b"2", SetExpire::Keep, &limits));
        assert_eq!(hash.find(b"a").unwrap().expire_ms, Some(3));
        assert!(!hash.set(b"a", b"3", &limits), "it is not new, and its expiry is gone");
        assert_eq!((hash.soonest_expire_ms(), hash.len()), (Some(5), 3));
        assert!(hash.set_expire_ms(b"b", None));
        hash.set(b"a", b"1", &limits);
        assert_eq!((hash.encoding(), hash.memory_usage(0)), (plain, bytes), "as if nothing was");
    }
}

#[test]
fn expiries_outside_of_what_can_be_kept_are_the_next_that_can() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    hash.set_with(b"a", b"", SetExpire::At(i64::MIN), &limits);
    hash.set_with(b"b", b"", SetExpire::At(0), &limits);
    hash.set_with(b"c", b"", SetExpire::At(i64::MAX), &limits);
    let expiry = |name: &[u8]| hash.find(name).unwrap().expire_ms;
    assert_eq!([b"a", b"b", b"c"].map(|name| expiry(name)), [1, 1, MAX_EXPIRE_MS].map(Some));
}

#[test]
fn an_expiring_listpack_from_a_file_must_be_a_hash() {
    let limits = Limits::default();
    let listpack = |texts: &[&str]| {
        let mut entries = Listpack::new();
        texts.iter().for_each(|text| entries.push_back(text.as_bytes()));
        entries
    };
    let tight = Limits { hash_max_listpack_entries: 1, ..Limits::default() };
    for refused in [
        &["a", "1"][..],
        &["a", "1", "x"],
        &["a", "1", "-5"],
        &["a", "1", "5", "a", "2", "6"],
        &["a", "1", "5", "b", "2", "0x"],
    ] {
        assert!(Hash::from_expiring_listpack(listpack(refused), &limits).is_err(), "{refused:?}");
        assert!(Hash::from_expiring_listpack(listpack(refused), &tight).is_err(), "{refused:?}");
    }
    for (texts, soonest_ms) in [
        (&["a", "1", "5", "b", "2", "0"][..], Some(5)),
        (&["b", "2", "0", "c", "3", "9", "a", "1", "5"], Some(5)),
        (&["a", "1", "0", "b", "2", "0"], None),
    ] {
        for limits in [&limits, &tight] {
            let hash = Hash::from_expiring_listpack(listpack(texts), limits).unwrap();
            assert_eq!((hash.len(), hash.soonest_expire_ms()), (texts.len() / 3, soonest_ms));
            let names: Vec<_> = hash.fields().map(|field| field.name.to_vec()).collect();
            assert!(hash.as_expiring_listpack().is_none() || names[0] == b"a", "in order");
        }
    }
}

#[test]
fn a_field_with_an_expiry_costs_less_than_redis_takes_for_it() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for n in 0..10_000i64 {
        let name = format!("field:{n}");
        hash.set_with(name.as_bytes(), b"12345678", SetExpire::At(1_000_000 + n), &limits);
    }
    // Of Redis 8.2.3 the same takes 95 bytes a field, by its used_memory.
    let each = hash.memory_usage(0) / 10_000;
    assert!(each < 95, "{each} bytes");
}

proptest! {
    #[test]
    fn edits_with_expiries_agree_with_a_map(
        max_entries in 0usize..30,
        edits in prop::collection::vec((0u8..12, text(), text(), 1i64..60), 0..150),
        seed in any::<u64>(),
    ) {
        let limits = Limits { hash_max_listpack_entries: max_entries, ..Limits::default() };
        let (mut hash, mut model) = (Hash::new(), Model::new());
        let mut now_ms = 0;
        let mut shaky = Shaky::new();
        for (kind, name, value, at_ms) in edits {
            shaky.shake(&mut hash);
            let old_ms = model.get(&name).and_then(|(_, expire_ms)| *expire_ms);
            let expire = [SetExpire::Clear, SetExpire::Keep, SetExpire::At(at_ms)];
            match kind {
                0..6 => {
                    let expire = expire[usize::from(kind) / 2];
                    let new = model.insert(name.clone(), (value.clone(), expire.resolve(old_ms)));
                    prop_assert_eq!(hash.set_with(&name, &value, expire, &limits), new.is_none());
                }
                6..9 => {
                    let expire_ms = (kind < 8).then_some(at_ms);
                    let there = model.get_mut(&name).map(|(_, old_ms)| *old_ms = expire_ms);
                    prop_assert_eq!(hash.set_expire_ms(&name, expire_ms), there.is_some());
                }
                9 | 10 => prop_assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                _ => {
                    now_ms += at_ms / 10;
                    let limit = usize::from(name.len() as u8 % 4);
                    let due = |expire_ms: &Option<i64>| expire_ms.is_some_and(|ms| ms < now_ms);
                    let all = model.values().filter(|(_, expire_ms)| due(expire_ms)).count();
                    prop_assert_eq!(hash.due_len(now_ms), all);
                    let mut gone = Vec::new();
                    let removed = hash.remove_due(now_ms, limit, |name| gone.push(name.to_vec()));
                    prop_assert_eq!((removed, gone.len()), (all.min(limit), all.min(limit)));
                    for name in gone {
                        prop_assert!(model.remove(&name).is_some_and(|(_, ms)| due(&ms)));
                    }
                }
            }
            let soonest_ms = model.values().filter_map(|(_, expire_ms)| *expire_ms).min();
            prop_assert_eq!(hash.soonest_expire_ms(), soonest_ms);
            let live = model.get(&name).filter(|(_, ms)| ms.is_none_or(|ms| ms >= now_ms));
            let value = hash.live(&name, now_ms).map(|value| value.to_vec());
            prop_assert_eq!(value, live.map(|(value, _)| value.clone()));
        }
        prop_assert_eq!(&expiring_contents(&hash), &model);
        let live = |ms: Option<i64>| ms.is_none_or(|ms| ms >= now_ms);
        let count = model.values().filter(|(_, ms)| live(*ms)).count();
        let mut rng = fastrand::Rng::with_seed(seed);
        let random = hash.random(now_ms, &mut rng);
        prop_assert_eq!(random.is_some(), count > 0);
        prop_assert!(random.is_none_or(|field| live(field.expire_ms)));
        for n in [1, count / 4, count + 1] {
            let mut sample = Model::new();
            hash.sample(n, now_ms, &mut rng, |field| {
                assert!(live(field.expire_ms));
                sample.extend([(field.name.to_vec(), (field.value.to_vec(), field.expire_ms))]);
            });
            prop_assert_eq!(sample.len(), n.min(count));
        }
    }
}
