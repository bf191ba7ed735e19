//! Prints what the values of collections cost: nanoseconds per operation and bytes per element,
//! with the server's allocator. `cargo run --release -p tandem-benches --example value_figures
//! [elements]`

use std::hint::black_box;

use fastrand::Rng;
use store::{End, Hash, HashSeed, Item, Limits, List, ScoreRange, Set, ZSet};
use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: server::Allocator = server::Allocator;

const VALUE: &[u8; 16] = b"value:0123456789";
const OPERATIONS: usize = 200_000;

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let limits = Limits { hash_seed: HashSeed::new(0x5eed, 0xf00d), ..Limits::default() };
    for count in [16, 100, count] {
        let names: Vec<Vec<u8>> =
            (0..2 * count).map(|i| format!("field:{i:010}").into_bytes()).collect();
        let (names, absent) = names.split_at(count);
        println!("{count} elements, names and values of 16 bytes");
        hashes(names, absent, &limits);
        sets(names, absent, &limits);
        sorted_sets(names, &limits);
        lists(count, &limits);
    }
}

/// CPU time of this thread: another load on the machine does not count.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn allocated() -> usize {
    epoch::advance().expect("jemalloc keeps statistics");
    stats::allocated::read().expect("jemalloc keeps statistics")
}

/// Builds many values if they are small, so that what a thread caches does not count.
fn fill<T>(what: &str, elements: usize, build: impl Fn() -> T) -> T {
    let copies = (100_000 / elements).max(1);
    let mut values = Vec::with_capacity(copies);
    let (before, begin_ns) = (allocated(), cpu_ns());
    values.extend((0..copies).map(|_| build()));
    let ns = (cpu_ns() - begin_ns) as f64;
    let bytes = (allocated() - before) as f64;
    let all = (copies * elements) as f64;
    println!("  {what:24} {:8.1} ns {:8.1} bytes", ns / all, bytes / all);
    values.swap_remove(0)
}

fn time(what: &str, operations: usize, mut f: impl FnMut(usize)) {
    let begin_ns = cpu_ns();
    (0..operations).for_each(&mut f);
    println!("  {what:24} {:8.1} ns", (cpu_ns() - begin_ns) as f64 / operations as f64);
}

fn order(count: usize) -> Vec<usize> {
    let mut rng = Rng::with_seed(1);
    (0..OPERATIONS).map(|_| rng.usize(..count)).collect()
}

fn hashes(names: &[Vec<u8>], absent: &[Vec<u8>], limits: &Limits) {
    let mut hash = fill("HSET, new", names.len(), || {
        let mut hash = Hash::new();
        for name in names {
            hash.set(name, VALUE, limits);
        }
        hash
    });
    let order = order(names.len());
    time("HSET, there", OPERATIONS, |i| {
        black_box(hash.set(&names[order[i]], VALUE, limits));
    });
    time("HGET", OPERATIONS, |i| {
        black_box(hash.get(&names[order[i]]));
    });
    time("HGET, absent", OPERATIONS, |i| {
        black_box(hash.get(&absent[order[i]]));
    });
}

fn sets(names: &[Vec<u8>], absent: &[Vec<u8>], limits: &Limits) {
    let set = fill("SADD, new", names.len(), || {
        let mut set = Set::new();
        for name in names {
            set.add(name, limits);
        }
        set
    });
    let order = order(names.len());
    time("SISMEMBER", OPERATIONS, |i| {
        black_box(set.contains(&names[order[i]]));
    });
    time("SISMEMBER, absent", OPERATIONS, |i| {
        black_box(set.contains(&absent[order[i]]));
    });
}

fn sorted_sets(names: &[Vec<u8>], limits: &Limits) {
    let mut zset = fill("ZADD, new", names.len(), || {
        let (mut zset, mut rng) = (ZSet::new(), Rng::with_seed(2));
        for name in names {
            zset.insert(name, f64::from(rng.u32(..1 << 30)) / 100.0, limits);
        }
        zset
    });
    let order = order(names.len());
    let mut rng = Rng::with_seed(3);
    time("ZADD, there", OPERATIONS, |i| {
        zset.insert(&names[order[i]], f64::from(rng.u32(..1 << 30)) / 100.0, limits);
    });
    time("ZSCORE", OPERATIONS, |i| {
        black_box(zset.score(&names[order[i]]));
    });
    time("ZRANK", OPERATIONS, |i| {
        black_box(zset.rank(&names[order[i]]));
    });
    time("ZRANGEBYSCORE, 10 of it", OPERATIONS, |_| {
        let min = f64::from(rng.u32(..1 << 30)) / 100.0;
        let max = f64::INFINITY;
        let range = ScoreRange { min, min_exclusive: false, max, max_exclusive: false };
        let ranks = zset.ranks_by_score(&range);
        let end = ranks.end.min(ranks.start + 10);
        black_box(zset.range(ranks.start..end).map(|(_, score)| score).sum::<f64>());
    });
}

fn lists(count: usize, limits: &Limits) {
    for (what, end) in [("RPUSH", End::Tail), ("LPUSH", End::Head)] {
        let mut list = fill(what, count, || {
            let mut list = List::new();
            (0..count).for_each(|_| list.push(end, VALUE, limits));
            list
        });
        if end == End::Head {
            time("LPUSH and RPOP", OPERATIONS, |_| {
                list.push(End::Head, VALUE, limits);
                list.pop(End::Tail, limits, |item| matches!(black_box(item), Item::Int(_)));
            });
            time("LINDEX, the middle", OPERATIONS, |_| {
                black_box(list.at(count / 2));
            });
            time("LRANGE, 10 of it", OPERATIONS, |_| {
                black_box(list.iter().take(10).filter(|item| item.eq_bytes(VALUE)).count());
            });
        }
    }
}
