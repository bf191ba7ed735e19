//! Sorted sets against a plain sorted vector, with limits that make them convert anywhere.

use proptest::prelude::*;

use super::*;
use crate::relocate::Shaky;

type Model = Vec<(f64, Vec<u8>)>;

fn contents(zset: &ZSet) -> Model {
    zset.iter().map(|(member, score)| (score, member.to_vec())).collect()
}

fn sort(model: &mut Model) {
    model.sort_by(|a, b| a.partial_cmp(b).unwrap());
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0i64..40).prop_map(|n| n.to_string().into_bytes()),
        4 => prop::collection::vec(b'a'..b'd', 0..4),
        1 => prop::collection::vec(any::<u8>(), 60..70),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-4i32..5).prop_map(f64::from),
        3 => (-40i32..40).prop_map(|n| f64::from(n) / 8.0),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(1e300)],
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(Vec<u8>, f64),
    Add(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRange(usize, usize),
    Pack,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        10 => (text(), score()).prop_map(|(t, s)| Edit::Insert(t, s)),
        4 => (text(), score()).prop_map(|(t, s)| Edit::Add(t, s)),
        4 => text().prop_map(Edit::Remove),
        1 => (0usize..40, 0usize..10).prop_map(|(s, n)| Edit::RemoveRange(s, n)),
        1 => Just(Edit::Pack),
    ]
}

fn find(model: &Model, member: &[u8]) -> Option<usize> {
    model.iter().position(|(_, m)| m == member)
}

fn apply(zset: &mut ZSet, model: &mut Model, edit: Edit, limits: &Limits) {
    match edit {
        Edit::Insert(member, score) => {
            let old = find(model, &member).map(|i| model.remove(i).0);
            assert_eq!(zset.insert(&member, score, limits), old);
            // A score that only changes its sign of zero does not change.
            let kept = old.filter(|&old| old == score).unwrap_or(score);
            model.push((kept, member));
        }
        Edit::Add(member, score) => {
            let old = find(model, &member).map(|i| model[i].0);
            let result = zset.upsert(&member, limits, |old| old.is_none().then_some(score));
            assert_eq!(result, (old, old.or(Some(score))));
            if old.is_none() {
                model.push((score, member));
            }
        }
        Edit::Remove(member) => {
            let old = find(model, &member).map(|i| model.remove(i).0);
            assert_eq!(zset.remove(&member), old);
        }
        Edit::RemoveRange(start, n) => {
            let mut seen = Vec::new();
            zset.remove_range(start..start + n, |m, s| seen.push((s, m.to_vec())));
            let (start, end) = (start.min(model.len()), (start + n).min(model.len()));
            assert_eq!(seen, model.drain(start..end).collect::<Vec<_>>());
        }
        Edit::Pack => zset.pack(limits),
    }
    sort(model);
}

fn check_ranges(zset: &ZSet, model: &Model, min: f64, max: f64, exclusive: (bool, bool)) {
    let range = ScoreRange { min, min_exclusive: exclusive.0, max, max_exclusive: exclusive.1 };
    let inside = |score: f64| !range.is_below(score) && !range.is_above(score);
    let expected: Vec<_> = model.iter().filter(|(score, _)| inside(*score)).cloned().collect();
    let ranks = zset.ranks_by_score(&range);
    let found: Vec<_> = zset.range(ranks.clone()).map(|(m, s)| (s, m.to_vec())).collect();
    assert_eq!(found, expected);
    let rest: Vec<_> = zset.iter_from_score(min).map(|(m, s)| (s, m.to_vec())).collect();
    let expected_rest: Vec<_> = model.iter().filter(|(score, _)| *score >= min).cloned().collect();
    assert_eq!(rest, expected_rest);
    let mut backwards: Vec<_> = zset.range(ranks).rev().map(|(m, s)| (s, m.to_vec())).collect();
    backwards.reverse();
    assert_eq!(backwards, expected);
}

proptest! {
    #[test]
    fn edits_agree_with_a_sorted_vec(
        max_entries in 0usize..40,
        edits in prop::collection::vec(edit(), 0..120),
        bounds in prop::collection::vec((score(), score(), any::<(bool, bool)>()), 4),
        seed in any::<u64>(),
    ) {
        let limits = Limits { zset_max_listpack_entries: max_entries, ..Limits::default() };
        let (mut zset, mut model) = (ZSet::new(), Model::new());
        let mut shaky = Shaky::new();
        for edit in edits {
            apply(&mut zset, &mut model, edit, &limits);
            shaky.shake(&mut zset);
            prop_assert_eq!(zset.len(), model.len());
        }
        prop_assert_eq!(&contents(&zset), &model);
        if let Repr::Sorted(sorted) = &zset.repr {
            sorted.order.check();
            prop_assert_eq!(sorted.table.len(), model.len());
        }
        for (rank, (score, member)) in model.iter().enumerate() {
            prop_assert_eq!(zset.rank(member), Some((rank, *score)));
            prop_assert_eq!(zset.score(member), Some(*score));
        }
        for (min, max, exclusive) in bounds {
            check_ranges(&zset, &model, min, max, exclusive);
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        for n in [1, model.len() / 4, model.len() + 1] {
            let mut sample = Vec::new();
            zset.sample(n, &mut rng, |member, score| sample.push((score, member.to_vec())));
            sort(&mut sample);
            sample.dedup();
            prop_assert_eq!(sample.len(), n.min(model.len()));
            prop_assert!(sample.iter().all(|pair| model.contains(pair)));
        }
        let mut scanned = Model::new();
        let mut cursor = 0;
        loop {
            cursor = zset.scan(cursor, |member, score| scanned.push((score, member.to_vec())));
            if cursor == 0 {
                break;
            }
        }
        sort(&mut scanned);
        scanned.dedup();
        prop_assert_eq!(&scanned, &model);
        if let Some(entries) = zset.as_listpack() {
            let copy = ZSet::from_listpack(entries.clone(), &limits).unwrap();
            prop_assert_eq!(&contents(&copy), &model);
        }
    }

    #[test]
    fn members_between_bounds(
        members in prop::collection::btree_set(text(), 0..30),
        max_entries in 0usize..40,
        low in text(),
        high in text(),
    ) {
        let limits = Limits { zset_max_listpack_entries: max_entries, ..Limits::default() };
        let mut zset = ZSet::new();
        for member in &members {
            zset.insert(member, 0.0, &limits);
        }
        use LexBound::*;
        let count = |min, max| zset.ranks_by_lex(min, max).len();
        let of = |f: &dyn Fn(&Vec<u8>) -> bool| members.iter().filter(|m| f(m)).count();
        prop_assert_eq!(count(First, Last), members.len());
        prop_assert_eq!(count(Last, First), 0);
        prop_assert_eq!(count(Inclusive(&low), Inclusive(&high)), of(&|m| *m >= low && *m <= high));
        prop_assert_eq!(count(Exclusive(&low), Exclusive(&high)), of(&|m| *m > low && *m < high));
        prop_assert_eq!(count(First, Exclusive(&high)), of(&|m| *m < high));
    }
}

#[test]
fn a_sorted_set_converts_by_count_by_length_and_by_announcement() {
    let limits = Limits { zset_max_listpack_entries: 2, ..Limits::default() };
    let mut zset = ZSet::new();
    zset.insert(b"a", 1.0, &limits);
    zset.insert(b"b", 2.0, &limits);
    zset.insert(b"a", 3.0, &limits);
    assert_eq!(zset.encoding(), Encoding::Listpack);
    zset.insert(b"c", 2.0, &limits);
    assert_eq!(zset.encoding(), Encoding::Skiplist);
    zset.remove(b"c");
    zset.pack(&limits);
    assert_eq!(zset.encoding(), Encoding::Listpack);
    zset.insert(&[b'x'; 65], 1.0, &limits);
    assert_eq!(zset.encoding(), Encoding::Skiplist);
    let mut zset = ZSet::new();
    zset.expect(3, &limits);
    assert_eq!(zset.encoding(), Encoding::Skiplist);
}

#[test]
fn a_listpack_from_a_file_must_be_a_sorted_set() {
    let from = |texts: &[&str]| {
        let mut entries = Listpack::new();
        texts.iter().for_each(|text| entries.push_back(text.as_bytes()));
        ZSet::from_listpack(entries, &Limits::default())
    };
    assert!(from(&["a", "1", "b"]).is_err());
    assert!(from(&["a", "1", "b", "nan"]).is_err());
    assert!(from(&["a", "1", "a", "2"]).is_err());
    let out_of_order = from(&["b", "2", "c", "1.5", "a", "2"]).unwrap();
    let expected = [(1.5, b"c".to_vec()), (2.0, b"a".to_vec()), (2.0, b"b".to_vec())];
    assert_eq!(contents(&out_of_order), expected);
}
