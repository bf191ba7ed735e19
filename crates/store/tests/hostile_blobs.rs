//! Packed values come from files and from peers. Whatever their bytes, they are refused, or every
//! operation on them is safe and keeps its promises.

use fastrand::Rng;
use store::intset::Intset;
use store::list::ListBuilder;
use store::listpack::Listpack;
use store::{End, Hash, Item, Limits, List, Set, ValueRef, ZSet, digest};

const SPELLING: digest::Spelling = digest::Spelling::Shortest;

fn text(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..8) {
        0..3 => rng.i64(-40..40).to_string().into_bytes(),
        3 => rng.i64(..).to_string().into_bytes(),
        4 => format!("{}", rng.f64() * 100.0).into_bytes(),
        5 => (0..rng.usize(60..300)).map(|_| rng.u8(..)).collect(),
        _ => (0..rng.usize(..9)).map(|_| rng.u8(..)).collect(),
    }
}

/// A listpack, mostly with some bytes changed, its header mostly put right again.
fn blob(rng: &mut Rng) -> Vec<u8> {
    let mut listpack = Listpack::new();
    for _ in 0..rng.usize(..40) {
        listpack.push_back(&text(rng));
    }
    let mut bytes = listpack.as_bytes().to_vec();
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..bytes.len());
        bytes[at] = rng.u8(..);
    }
    if rng.u8(..4) == 0 {
        bytes.truncate(rng.usize(..bytes.len()));
    }
    if rng.bool() && bytes.len() >= 7 {
        let (len, end) = (bytes.len() as u32, bytes.len() - 1);
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[4..6].copy_from_slice(&[0xFF; 2]);
        bytes[end] = 0xFF;
    }
    bytes
}

fn limits(rng: &mut Rng) -> Limits {
    Limits {
        hash_max_listpack_entries: rng.usize(..40),
        list_max_listpack_size: rng.i32(-5..30),
        set_max_intset_entries: rng.usize(..40),
        set_max_listpack_entries: rng.usize(..40),
        zset_max_listpack_entries: rng.usize(..40),
        ..Limits::default()
    }
}

fn use_hash(mut hash: Hash, limits: &Limits, rng: &mut Rng) {
    let fields: Vec<_> = hash.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(fields.len(), hash.len());
    for (name, value) in &fields {
        assert_eq!(hash.get(name).map(|found| found.to_vec()).as_ref(), Some(value));
    }
    hash.set(&text(rng), &text(rng), limits);
    digest::of_value(ValueRef::Hash(&hash), false, SPELLING);
    for (name, _) in &fields {
        hash.remove(name);
    }
    assert!(hash.len() <= 1);
}

fn use_set(mut set: Set, limits: &Limits, rng: &mut Rng) {
    let members: Vec<_> = set.iter().map(|member| member.to_vec()).collect();
    assert_eq!(members.len(), set.len());
    assert!(members.iter().all(|member| set.contains(member)));
    set.add(&text(rng), limits);
    set.pack_ints(limits);
    digest::of_value(ValueRef::Set(&set), false, SPELLING);
    for _ in 0..=members.len() {
        set.pop_random(rng, |_| ());
    }
    assert!(set.is_empty());
}

fn use_zset(mut zset: ZSet, limits: &Limits, rng: &mut Rng) {
    let members: Vec<_> = zset.iter().map(|(member, score)| (member.to_vec(), score)).collect();
    assert_eq!(members.len(), zset.len());
    for (rank, (member, score)) in members.iter().enumerate() {
        assert_eq!(zset.rank(member), Some((rank, *score)));
    }
    zset.insert(&text(rng), 1.5, limits);
    digest::of_value(ValueRef::ZSet(&zset), false, SPELLING);
    zset.remove_range(0..usize::MAX, |_, _| {});
    assert!(zset.is_empty());
}

fn use_list(mut list: List, limits: &Limits, rng: &mut Rng) {
    let len = list.iter().count();
    assert_eq!((len, len), (list.len(), list.iter().rev().count()));
    list.push(End::Head, &text(rng), limits);
    list.insert(len / 2, &text(rng), limits);
    digest::of_value(ValueRef::List(&list), false, SPELLING);
    for _ in 0..len + 2 {
        assert!(list.pop(End::Tail, limits, |_: Item<'_>| ()).is_some());
    }
    assert!(list.is_empty());
}

#[test]
fn listpacks_are_refused_or_safe_as_every_type() {
    let (mut rng, mut accepted) = (Rng::with_seed(11), [0; 4]);
    for _ in 0..20_000 {
        let Ok(listpack) = Listpack::from_bytes(&blob(&mut rng)) else { continue };
        let limits = limits(&mut rng);
        if let Ok(hash) = Hash::from_listpack(listpack.clone(), &limits) {
            use_hash(hash, &limits, &mut rng);
            accepted[0] += 1;
        }
        if let Ok(set) = Set::from_listpack(listpack.clone(), &limits) {
            use_set(set, &limits, &mut rng);
            accepted[1] += 1;
        }
        if let Ok(zset) = ZSet::from_listpack(listpack.clone(), &limits) {
            use_zset(zset, &limits, &mut rng);
            accepted[2] += 1;
        }
        let mut builder = ListBuilder::new();
        builder.push_packed(listpack.clone());
        builder.push_plain(&text(&mut rng));
        builder.push_packed(listpack);
        use_list(builder.finish(&limits), &limits, &mut rng);
        accepted[3] += 1;
    }
    // The generator must reach what lies behind the checks.
    assert!(accepted.iter().all(|&count| count > 100), "{accepted:?}");
}

#[test]
fn intsets_are_refused_or_safe() {
    let (mut rng, mut accepted) = (Rng::with_seed(12), 0);
    for _ in 0..20_000 {
        let width = [2u32, 4, 8, rng.u32(..)][rng.usize(..4)];
        let count = rng.u32(..6);
        let mut bytes = [width.to_le_bytes(), count.to_le_bytes()].concat();
        let mut next = -0x7000i64;
        for _ in 0..count {
            next += rng.i64(-10..2000);
            bytes.extend(&next.to_le_bytes()[..(width as usize).min(8)]);
        }
        if rng.u8(..4) == 0 {
            bytes.truncate(rng.usize(..bytes.len()));
        }
        let Ok(ints) = Intset::from_bytes(&bytes) else { continue };
        let limits = limits(&mut rng);
        use_set(Set::from_intset(ints, &limits), &limits, &mut rng);
        accepted += 1;
    }
    assert!(accepted > 100, "{accepted}");
}
