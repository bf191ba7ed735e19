//! The table against a plain map, its walks, its sampling and its memory.

use std::collections::{HashMap, HashSet};
use std::ptr::NonNull;

use fastrand::Rng;

use super::resize::FORCED_FILL;
use super::*;
use crate::Tagged;

/// Runs under Miri must be small.
const SCALE: usize = if cfg!(miri) { 1000 } else { 1 };

/// A boxed key and a number: the simplest owner.
#[repr(transparent)]
struct Item(Tagged);

struct Body {
    key: [u8; 8],
    value: u64,
}

impl Item {
    fn new(key: u64, value: u64) -> Self {
        let body = Box::new(Body { key: key.to_le_bytes(), value });
        Item(Tagged::new(NonNull::from(Box::leak(body))))
    }

    fn value(&self) -> u64 {
        // SAFETY: the box is ours.
        unsafe { self.0.ptr::<Body>().as_ref() }.value
    }

    fn id(&self) -> u64 {
        u64::from_le_bytes(self.key().try_into().expect("eight bytes"))
    }
}

// SAFETY: transparent around the word; the key never changes.
unsafe impl Element for Item {
    fn key(&self) -> &[u8] {
        // SAFETY: the box is ours.
        unsafe { &self.0.ptr::<Body>().as_ref().key }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        // SAFETY: leaked in `new`, dropped once.
        drop(unsafe { Box::from_raw(self.0.ptr::<Body>().as_ptr()) });
    }
}

fn table() -> Table<Item> {
    Table::new(HashSeed::new(0x0706050403020100, 0x0f0e0d0c0b0a0908))
}

fn filled(count: u64) -> Table<Item> {
    let mut table = table();
    for key in 0..count {
        assert!(table.insert(Item::new(key, key)).is_none());
    }
    table
}

impl<E: Element> Table<E> {
    /// Walks everything and checks the invariants of the file's head.
    fn check(&self) {
        let (mut len, mut overflow_bytes) = (0, 0);
        for (generation, first) in [(&self.old, self.moved), (&self.main, 0)] {
            for i in 0..generation.count() {
                // SAFETY: a bucket of ours.
                let line = unsafe { generation.at(i).as_ref() };
                assert!(i >= first || line.is_empty(), "moved buckets are empty");
                assert!(line.len() <= generation.max_bucket as usize);
                overflow_bytes += line.overflow_bytes();
                let mut from = 0;
                while let Some(index) = line.next_from(from) {
                    let word = Bucket::word(generation.at(i), index);
                    // SAFETY: the word of an element.
                    let (tag, key) = unsafe { (bucket::tag_of(*word), (*word.cast::<E>()).key()) };
                    let hash = self.hash(key);
                    assert_eq!(hash as usize & generation.mask(), i, "bucket follows the hash");
                    assert_eq!(tag, generation.tag(hash), "tag follows the hash");
                    assert!(self.is_in_old(hash) == std::ptr::eq(generation, &self.old));
                    from = index + 1;
                    len += 1;
                }
            }
        }
        assert_eq!((len, overflow_bytes), (self.len, self.overflow_bytes));
    }
}

/// The promise of the model test: whatever the order of operations, with growth and shrinking in
/// full swing, the table is the map.
#[test]
fn a_million_random_operations_match_a_plain_map() {
    let operations = 1_000_000 / SCALE;
    let mut rng = Rng::with_seed(42);
    let mut table = table();
    let mut model = HashMap::new();
    // The key space breathes, so that the table grows and shrinks many times.
    for op in 0..operations {
        let phase = (op * 10 / operations) % 2;
        let space = 100_000 / SCALE as u64;
        let key = rng.u64(..space);
        let bytes = key.to_le_bytes();
        match rng.u8(..10) {
            0..5 if phase == 0 => assert_insert(&mut table, &mut model, key, op as u64),
            0 => assert_insert(&mut table, &mut model, key, op as u64),
            1..7 => {
                let removed = table.remove(&bytes).map(|item| item.value());
                assert_eq!(removed, model.remove(&key));
            }
            7 => match table.slot(&bytes) {
                Slot::Occupied(mut slot) => {
                    assert_eq!(Some(&slot.element_mut().value()), model.get(&key));
                    if rng.bool() {
                        slot.replace(Item::new(key, 7));
                        model.insert(key, 7);
                    } else {
                        slot.remove();
                        model.remove(&key);
                    }
                }
                Slot::Vacant(slot) => {
                    slot.insert(Item::new(key, 8));
                    assert_eq!(model.insert(key, 8), None);
                }
            },
            8 if rng.u16(..) == 0 => table.clear_into(&mut model),
            _ => {
                let found = table.find(&bytes).map(Item::value);
                assert_eq!(found, model.get(&key).copied());
            }
        }
        match rng.u16(..1000) {
            0 => table.pause_resize(),
            1..10 => table.resume_resize(),
            10 => {
                table.rehash_for(100);
            }
            _ => (),
        }
        assert_eq!(table.len(), model.len());
        if op % (operations / 50).max(1) == 0 {
            table.check();
        }
    }
    table.check();
    let mut left: Vec<_> = table.iter().map(|item| (item.id(), item.value())).collect();
    left.sort_unstable();
    let mut expected: Vec<_> = model.into_iter().collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
    let mut owned: Vec<_> = table.into_iter().map(|item| (item.id(), item.value())).collect();
    owned.sort_unstable();
    assert_eq!(owned, expected);
}

fn assert_insert(table: &mut Table<Item>, model: &mut HashMap<u64, u64>, key: u64, value: u64) {
    let before = table.insert(Item::new(key, value)).map(|item| item.value());
    assert_eq!(before, model.insert(key, value));
}

impl Table<Item> {
    fn clear_into(&mut self, model: &mut HashMap<u64, u64>) {
        self.clear();
        model.clear();
    }
}

/// What SCAN promises: an element present throughout is returned at least once, though the table
/// grows and shrinks between the calls.
#[test]
fn a_scan_across_resizes_misses_nobody_who_stayed() {
    for seed in 0..(50 / SCALE.min(25)) as u64 {
        let mut rng = Rng::with_seed(seed);
        let stay = rng.u64(1..300);
        let mut table = filled(stay);
        let mut extra = stay..stay;
        let mut seen = HashSet::new();
        let mut cursor = 0;
        loop {
            cursor = table.scan(cursor, |item| {
                seen.insert(item.id());
            });
            if cursor == 0 {
                break;
            }
            if rng.u8(..8) == 0 {
                let count = rng.u64(..3000 / SCALE.min(30) as u64);
                if rng.bool() {
                    for key in extra.end..extra.end + count {
                        table.insert(Item::new(key, key));
                    }
                    extra.end += count;
                } else {
                    for key in extra.clone().take(count as usize) {
                        table.remove(&key.to_le_bytes());
                    }
                    extra.start = (extra.start + count).min(extra.end);
                }
                table.rehash_for(rng.usize(..20));
            }
        }
        table.check();
        assert!((0..stay).all(|key| seen.contains(&key)), "seed {seed}");
    }
}

#[test]
fn a_scan_at_rest_returns_each_element_once() {
    let mut table = filled(5000 / SCALE as u64 * 2);
    while table.rehash_for(100) {}
    let mut seen = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = table.scan(cursor, |item| seen.push(item.id()));
        if cursor == 0 {
            break;
        }
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..table.len() as u64));
}

/// Pearson's statistic of `draws` samples over the elements.
fn chi_squared(table: &Table<Item>, draws: usize, rng: &mut Rng) -> f64 {
    let mut counts: HashMap<u64, u64> = table.iter().map(|item| (item.id(), 0)).collect();
    for _ in 0..draws {
        let id = table.random(rng).expect("not empty").id();
        *counts.get_mut(&id).expect("an element") += 1;
    }
    let expected = draws as f64 / counts.len() as f64;
    counts.values().map(|&n| (n as f64 - expected).powi(2) / expected).sum()
}

/// Redis's dict favours short chains; this one must favour nobody: at rest, in the middle of
/// growth, with long overflows (paused), and when so sparse that it counts through.
#[test]
fn random_elements_are_uniform() {
    if cfg!(miri) {
        return;
    }
    let mut rng = Rng::with_seed(1);
    let at_rest = filled(1000);
    let mut growing = filled(1025);
    growing.check();
    assert!(growing.is_rehashing());
    growing.pause_resize();
    let mut crowded = filled(30);
    crowded.pause_resize();
    for key in 30..900 {
        crowded.insert(Item::new(key, key));
    }
    let mut sparse = filled(20_000);
    while sparse.rehash_for(100) {}
    sparse.pause_resize();
    sparse.retain(|item| item.id() < 5);
    for (name, table) in
        [("rest", at_rest), ("grow", growing), ("crowded", crowded), ("sparse", sparse)]
    {
        let freedom = (table.len() - 1) as f64;
        let statistic = chi_squared(&table, 200 * table.len(), &mut rng);
        // Four standard deviations on either side; the seed is fixed.
        let deviation = (statistic - freedom) / (2.0 * freedom).sqrt();
        assert!(deviation.abs() < 4.0, "{name}: {deviation}");
    }
}

#[test]
fn an_empty_table_owns_nothing_and_answers() {
    let mut table = table();
    assert_eq!(table.memory_bytes(), size_of::<Table<Item>>());
    assert!(table.find(b"12345678").is_none() && table.remove(b"12345678").is_none());
    assert!(table.random(&mut Rng::with_seed(0)).is_none());
    assert_eq!(table.scan(0, |_| unreachable!()), 0);
    assert_eq!(table.iter().count(), 0);
    table.prefetch_bucket(3);
    table.prefetch_entry(3);
    table.retain(|_| true);
    assert!(!table.rehash_for(10));
    table.check();
}

/// A fork's child must not see its pages copied because the parent's table grew.
#[test]
fn a_pause_holds_resizing_until_fill_is_extreme() {
    let mut table = filled(64);
    while table.rehash_for(10) {}
    let at_rest = table.memory_bytes() - table.overflow_bytes;
    table.pause_resize();
    for key in 64..=8 * FORCED_FILL as u64 {
        assert_eq!(table.memory_bytes() - table.overflow_bytes, at_rest);
        table.insert(Item::new(key, key));
    }
    assert!(table.memory_bytes() - table.overflow_bytes > at_rest);
    table.check();
    table.resume_resize();
    for key in 0..table.len() as u64 {
        assert_eq!(table.remove(&key.to_le_bytes()).map(|item| item.id()), Some(key));
        if key % 16 == 0 {
            table.check();
        }
    }
    while table.rehash_for(10) {}
    assert_eq!(table.memory_bytes(), size_of::<Table<Item>>() + 64);
}

/// The headline figure's share of the table: a million keys cost well under 12 bytes each, and
/// few of them lie behind a second cache line.
#[test]
fn a_million_elements_cost_few_bytes_and_few_second_lines() {
    if cfg!(miri) {
        return;
    }
    let mut table = Table::<Light>::new(HashSeed::new(1, 2));
    let mut worst = (0.0f64, 0.0f64);
    let keys: Box<[u64]> = (0..1_000_000).collect();
    for (i, key) in keys.iter().enumerate() {
        table.insert(Light(Tagged::new(NonNull::from(key))));
        if i > 1000 && i % 5000 == 0 && !table.is_rehashing() {
            worst.0 = worst.0.max(table.memory_bytes() as f64 / (i + 1) as f64);
            worst.1 = worst.1.max(table.second_line_share());
        }
    }
    let bytes = table.memory_bytes() as f64 / keys.len() as f64;
    println!("{bytes:.2} bytes, {:.3} in overflow; at worst {worst:?}", table.second_line_share());
    assert!(bytes < 10.5, "{bytes}");
    assert!(worst.0 < 17.5 && worst.1 < 0.25, "{worst:?}");
}

/// Borrows its key: what an index over others' elements looks like.
#[repr(transparent)]
struct Light(Tagged);

// SAFETY: transparent around the word; keys are never written.
unsafe impl Element for Light {
    fn key(&self) -> &[u8] {
        // SAFETY: the tests keep the keys alive for longer than the table.
        unsafe { std::slice::from_raw_parts(self.0.ptr::<u8>().as_ptr(), 8) }
    }
}

impl<E: Element> Table<E> {
    /// The part of the elements that a lookup finds in an overflow.
    fn second_line_share(&self) -> f64 {
        let mut beyond = 0;
        for generation in [&self.old, &self.main] {
            for i in 0..generation.count() {
                // SAFETY: a bucket of ours.
                beyond += unsafe { generation.at(i).as_ref() }.overflow_len();
            }
        }
        beyond as f64 / self.len as f64
    }
}

#[test]
fn growth_waits_where_there_is_no_room_for_it() {
    let mut table = Table::new(HashSeed::new(1, 2));
    for key in 0..4096 {
        table.insert(Item::new(key, key));
    }
    while table.rehash_for(1000) {}
    let bytes = table.memory_bytes();
    let next_bytes = 2 * 512 * size_of::<Bucket>() as u64;
    table.limit_growth(next_bytes - 1);
    for key in 4096..4200 {
        table.insert(Item::new(key, key));
    }
    assert!(!table.is_rehashing() && table.memory_bytes() < bytes + next_bytes as usize);
    table.limit_growth(next_bytes);
    table.insert(Item::new(4200, 0));
    assert!(table.is_rehashing());
    // Extreme fill overrides it.
    while table.rehash_for(1000) {}
    for key in 5000..5000 + 1024 * FORCED_FILL as u64 {
        table.limit_growth(0);
        table.insert(Item::new(key, key));
    }
    assert!(table.memory_bytes() > bytes + next_bytes as usize);
}
