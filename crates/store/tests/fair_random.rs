//! SRANDMEMBER, HRANDFIELD, ZRANDMEMBER and SPOP promise that every element is equally likely, in
//! every encoding, and whether one is drawn or several.

use std::collections::HashMap;

use fastrand::Rng;
use store::{Encoding, Hash, Limits, Set, ZSet};

const MEMBERS: usize = 40;
const DRAWS: usize = 60_000;

/// 39 degrees of freedom: passed by chance once in 10,000.
const CHI_SQUARED_MAX: f64 = 78.0;

fn packed_or_not(packed: bool) -> Limits {
    let entries = if packed { 512 } else { 0 };
    Limits {
        hash_max_listpack_entries: entries,
        set_max_intset_entries: entries,
        set_max_listpack_entries: entries,
        zset_max_listpack_entries: entries,
        ..Limits::default()
    }
}

fn check(what: &str, drawn: HashMap<Vec<u8>, usize>) {
    assert_eq!(drawn.len(), MEMBERS, "{what}");
    let expected = drawn.values().sum::<usize>() as f64 / MEMBERS as f64;
    let chi: f64 = drawn.values().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
    assert!(chi < CHI_SQUARED_MAX, "{what}: {chi}");
}

fn counted(mut draw: impl FnMut(&mut Vec<Vec<u8>>)) -> HashMap<Vec<u8>, usize> {
    let (mut counts, mut drawn) = (HashMap::new(), Vec::new());
    let mut left = DRAWS;
    while left > 0 {
        draw(&mut drawn);
        left = left.saturating_sub(drawn.len());
        for member in drawn.drain(..) {
            *counts.entry(member).or_default() += 1;
        }
    }
    counts
}

fn members(prefix: &str) -> impl Iterator<Item = Vec<u8>> {
    (0..MEMBERS).map(move |n| format!("{prefix}{n}").into_bytes())
}

#[test]
fn sets_draw_fairly() {
    let mut rng = Rng::with_seed(1);
    let kinds = [
        ("", true, Encoding::Intset),
        ("m", true, Encoding::Listpack),
        ("m", false, Encoding::Hashtable),
    ];
    for (prefix, packed, encoding) in kinds {
        let limits = packed_or_not(packed);
        let mut set = Set::new();
        members(prefix).for_each(|member| assert!(set.add(&member, &limits)));
        assert_eq!(set.encoding(), encoding);
        let one = counted(|out| out.extend(set.random(&mut rng).map(|member| member.to_vec())));
        check("one", one);
        for n in [3, 25] {
            check("several", counted(|out| set.sample(n, &mut rng, |m| out.push(m.to_vec()))));
        }
        let popped = counted(|out| {
            let member = set.pop_random(&mut rng, |member| member.to_vec()).unwrap();
            set.add(&member, &limits);
            out.push(member);
        });
        check("popped", popped);
    }
}

#[test]
fn hashes_draw_fairly() {
    let mut rng = Rng::with_seed(2);
    for packed in [true, false] {
        let limits = packed_or_not(packed);
        let mut hash = Hash::new();
        members("f").for_each(|name| assert!(hash.set(&name, b"v", &limits)));
        let one =
            counted(|out| out.extend(hash.random(0, &mut rng).map(|field| field.name.to_vec())));
        check("one", one);
        for n in [3, 25] {
            check(
                "several",
                counted(|out| hash.sample(n, 0, &mut rng, |f| out.push(f.name.to_vec()))),
            );
        }
    }
}

#[test]
fn sorted_sets_draw_fairly() {
    let mut rng = Rng::with_seed(3);
    for packed in [true, false] {
        let limits = packed_or_not(packed);
        let mut zset = ZSet::new();
        members("z").for_each(|member| assert!(zset.insert(&member, 1.0, &limits).is_none()));
        let one = counted(|out| out.extend(zset.random(&mut rng).map(|(m, _)| m.to_vec())));
        check("one", one);
        for n in [3, 25] {
            check("several", counted(|out| zset.sample(n, &mut rng, |m, _| out.push(m.to_vec()))));
        }
    }
}
