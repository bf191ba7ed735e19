//! Prints what the keyspace costs: nanoseconds per operation and bytes per key, with the server's
//! allocator. `cargo run --release -p tandem-benches --example keyspace_figures [keys]`

use std::hint::black_box;

use fastrand::Rng;
use store::{Db, HashSeed, Key, SetExpire};
use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: server::Allocator = server::Allocator;

const SEED: HashSeed = HashSeed::new(0x5eed, 0xf00d);
const VALUE: [u8; 32] = [b'v'; 32];
const BATCH: usize = 16;

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    memory(count);
    times(count);
}

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let (mut at, mut left) = (16, number);
    while left > 0 {
        at -= 1;
        key[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    key
}

/// CPU time of this thread: another load on the machine does not count.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn heap() -> (usize, usize) {
    epoch::advance().expect("jemalloc keeps statistics");
    let allocated = stats::allocated::read().expect("jemalloc keeps statistics");
    (allocated, stats::resident::read().expect("jemalloc keeps statistics"))
}

fn memory(count: usize) {
    for (name, expire_ms) in [("without expiry", None), ("with expiry", Some(1 << 41))] {
        let (allocated, resident) = heap();
        let mut db = Db::new(SEED);
        for i in 0..count {
            db.set(&key(i), &VALUE, expire_ms);
        }
        while db.rehash_for(1000) {}
        let (allocated_then, resident_then) = heap();
        println!(
            "{count} keys {name}: {:.1} bytes a key allocated, {:.1} resident, {:.1} in tables",
            (allocated_then - allocated) as f64 / count as f64,
            (resident_then as f64 - resident as f64) / count as f64,
            db.table_bytes() as f64 / count as f64,
        );
    }
}

fn times(count: usize) {
    let mut rng = Rng::with_seed(1);
    let mut order: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut order);
    let keys: Vec<[u8; 16]> = order.iter().map(|&i| key(i)).collect();
    let absent: Vec<[u8; 16]> = order.iter().map(|&i| key(i + count)).collect();
    rng.shuffle(&mut order);
    let shuffled: Vec<[u8; 16]> = order.iter().map(|&i| key(i)).collect();

    let mut db = Db::new(SEED);
    let time = |name: &str, f: &mut dyn FnMut()| {
        let begin_ns = cpu_ns();
        f();
        println!("{name:28} {:6.1} ns", (cpu_ns() - begin_ns) as f64 / count as f64);
    };
    time("hash", &mut || {
        keys.iter().for_each(|k| {
            black_box(db.key(k));
        })
    });
    time("insert", &mut || {
        for key in &keys {
            db.set(key, &VALUE, SetExpire::Clear);
        }
    });
    time("get, present", &mut || {
        shuffled.iter().for_each(|k| assert!(db.get(k).is_some()));
    });
    time("get, absent", &mut || absent.iter().for_each(|k| assert!(db.get(k).is_none())));
    time("get, present, prefetched", &mut || {
        for batch in shuffled.chunks(BATCH) {
            let keys = prefetch(&db, batch);
            for key in &keys[..batch.len()] {
                assert!(db.get(*key).is_some());
            }
        }
    });
    time("overwrite in place", &mut || {
        for key in &shuffled {
            db.set(key, &VALUE, SetExpire::Clear);
        }
    });
    time("overwrite, prefetched", &mut || {
        for batch in shuffled.chunks(BATCH) {
            let keys = prefetch(&db, batch);
            for key in &keys[..batch.len()] {
                db.set(*key, &VALUE, SetExpire::Clear);
            }
        }
    });
    let hot = &shuffled[..1000.min(count)];
    time("get, in cache", &mut || {
        hot.iter().cycle().take(count).for_each(|k| assert!(db.get(k).is_some()));
    });
    time("overwrite, in cache", &mut || {
        for key in hot.iter().cycle().take(count) {
            db.set(key, &VALUE, SetExpire::Clear);
        }
    });
    time("random", &mut || {
        (0..count).for_each(|_| {
            black_box(db.random(&mut rng));
        })
    });
    time("iterate", &mut || {
        let bytes: usize = db.iter().map(|entry| entry.key().len()).sum();
        assert_eq!(bytes, 16 * count);
    });
    time("set expiry", &mut || {
        for key in &shuffled {
            db.set_expire(key, Some(1 << 41));
        }
    });
    time("remove, expiring", &mut || {
        shuffled.iter().for_each(|k| assert!(db.remove(k).is_some()));
    });
    time("load into room made ahead", &mut || {
        db.reserve(count, 0);
        for key in &keys {
            db.set(key, &VALUE, SetExpire::Clear);
        }
    });
    time("drop", &mut || drop(db.take()));
    time("counter", &mut || {
        for _ in 0..count {
            let mut entry =
                db.get_or_insert_with(b"n", || store::Value::Str(store::str::Str::Int(0)));
            let number = entry.int().expect("a counter");
            entry.set(number + 1, SetExpire::Keep);
        }
    });
}

fn prefetch<'k>(db: &Db, batch: &'k [[u8; 16]]) -> [Key<'k>; BATCH] {
    let mut keys = [Key { bytes: b"", hash: 0 }; BATCH];
    for (slot, bytes) in keys.iter_mut().zip(batch) {
        *slot = db.key(bytes);
        db.prefetch_bucket(*slot);
    }
    for key in &keys[..batch.len()] {
        db.prefetch_entry(*key);
    }
    keys
}
