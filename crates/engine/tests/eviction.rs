//! What `maxmemory` makes of the data: which keys go under which policy, what travels, and how
//! entries remember their use.

mod common;

use common::Database;
use engine::settings::MaxmemoryPolicy::{self, *};
use engine::{ClientId, Role, Settings};

/// Keys `v0..` expire, the later the higher their number; keys `p0..` do not. Those below 10 are
/// used last and most.
const KEYS: usize = 40;

fn filled(policy: MaxmemoryPolicy) -> (Database, ClientId) {
    let settings = Settings {
        maxmemory_bytes: 1,
        maxmemory_policy: policy,
        maxmemory_samples: 64,
        ..Settings::default()
    };
    let mut db = Database::with(settings);
    let c = db.connect();
    for n in 0..KEYS {
        db.run(c, &format!("SET v{n} x EX {}", 10_000 + n));
        db.run(c, &format!("SET p{n} x"));
    }
    db.advance_ms(5_000);
    for _ in 0..200 {
        for n in 0..10 {
            db.run(c, &format!("GET v{n}"));
            db.run(c, &format!("GET p{n}"));
        }
    }
    db.stream();
    (db, c)
}

/// Makes the next command evict so many keys; how many of `v0..10`, `v10..`, `p0..10`, `p10..` are
/// left after it.
fn evict(db: &mut Database, c: ClientId, count: u32) -> [usize; 4] {
    db.world.times_full.set(count);
    assert_eq!(db.run(c, "PING"), "+PONG\r\n");
    let mut left = [0; 4];
    for n in 0..KEYS {
        for (kind, prefix) in ["v", "p"].iter().enumerate() {
            let exists = db.run(c, &format!("EXISTS {prefix}{n}")) == ":1\r\n";
            left[kind * 2 + usize::from(n >= 10)] += usize::from(exists);
        }
    }
    left
}

#[test]
fn lru_and_lfu_evict_what_is_used_least() {
    for policy in [AllkeysLru, AllkeysLfu] {
        let (mut db, c) = filled(policy);
        assert_eq!(evict(&mut db, c, 60), [10, 0, 10, 0], "{policy:?}");
    }
    for policy in [VolatileLru, VolatileLfu] {
        let (mut db, c) = filled(policy);
        assert_eq!(evict(&mut db, c, 30), [10, 0, 10, 30], "{policy:?}");
    }
}

#[test]
fn volatile_ttl_evicts_what_would_go_first() {
    let (mut db, c) = filled(VolatileTtl);
    assert_eq!(evict(&mut db, c, 10), [0, 30, 10, 30]);
    for n in 0..KEYS {
        db.run(c, &format!("PERSIST v{n}"));
    }
    db.world.times_full.set(2);
    let refused = db.run(c, "SET more x");
    assert!(refused.starts_with("-OOM "), "nothing volatile is left: {refused}");
}

#[test]
fn random_policies_evict_what_they_may() {
    let (mut db, c) = filled(AllkeysRandom);
    assert_eq!(evict(&mut db, c, 25).iter().sum::<usize>(), 2 * KEYS - 25);
    let (mut db, c) = filled(VolatileRandom);
    let left = evict(&mut db, c, 25);
    assert_eq!((left[0] + left[1], left[2], left[3]), (KEYS - 25, 10, 30));
}

#[test]
fn noeviction_refuses_what_takes_memory_and_all_that_is_queued() {
    let (mut db, c) = filled(Noeviction);
    let full = |db: &Database| db.world.times_full.set(1);
    full(&db);
    assert_eq!(
        db.run(c, "SET p0 y"),
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    );
    full(&db);
    assert_eq!(db.run(c, "DEL p1"), ":1\r\n");
    db.run(c, "MULTI");
    full(&db);
    assert!(db.run(c, "GET p0").starts_with("-OOM "));
    assert!(db.run(c, "EXEC").starts_with("-EXECABORT "));
}

#[test]
fn evictions_travel_as_deletions_each_on_its_own() {
    let (mut db, c) = filled(AllkeysRandom);
    evict(&mut db, c, 3);
    let stream = db.stream();
    let words: Vec<&str> = stream.split(' ').filter(|word| !word.starts_with(['v', 'p'])).collect();
    assert_eq!(words, ["DEL", "DEL", "DEL"], "{stream}");
}

#[test]
fn a_replica_evicts_only_when_it_is_told_to() {
    let (mut db, c) = filled(AllkeysRandom);
    db.engine.role = Role::Replica { link_up: true };
    assert_eq!(evict(&mut db, c, 3).iter().sum::<usize>(), 2 * KEYS);
    db.engine.settings.replica_ignore_maxmemory = false;
    assert_eq!(evict(&mut db, c, 3).iter().sum::<usize>(), 2 * KEYS - 3);
}

/// New strings had the oldest clock there is, so LRU policies evicted them first.
#[test]
fn every_new_key_begins_with_the_clock_of_its_birth() {
    let mut db = Database::new();
    let c = db.connect();
    for command in [
        "SET k v",
        "SETRANGE k 1 v",
        "INCR k",
        "APPEND k v",
        "INCRBYFLOAT k 1",
        "SETBIT k 1 1",
        "HSET k f v",
        "RPUSH k v",
        "SADD k v",
        "ZADD k 1 v",
        "SADD s v|SUNIONSTORE k s",
        "SADD s v|COPY s k",
        "RPUSH l v|SORT l ALPHA STORE k",
        "SET x v|BITOP NOT k x",
    ] {
        db.run(c, "FLUSHALL");
        command.split('|').for_each(|command| drop(db.run(c, command)));
        db.advance_ms(3_000);
        assert_eq!(db.run(c, "OBJECT IDLETIME k"), ":3\r\n", "{command}");
        db.run(c, "EXISTS k");
        assert_eq!(db.run(c, "OBJECT IDLETIME k"), ":3\r\n", "{command}");
        db.run(c, "TOUCH k");
        assert_eq!(db.run(c, "OBJECT IDLETIME k"), ":0\r\n", "{command}");
    }
}

/// TOUCH of a client that leaves clocks alone with what it reads left them alone, too, so that there
/// was nothing by which it could say that a key is in use.
#[test]
fn touch_is_a_use_for_clients_whose_reads_are_none() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v");
    db.run(c, "CLIENT NO-TOUCH on");
    let touch_in_script: &[&[u8]] = &[b"EVAL", b"return redis.call('touch', 'k')", b"0"];
    let read_in_script: &[&[u8]] = &[b"EVAL", b"return redis.call('get', 'k')", b"0"];
    for (command, is_use) in [
        (&[b"GET".as_slice(), b"k"] as &[&[u8]], false),
        (&[b"TOUCH", b"k"], true),
        (read_in_script, false),
        (touch_in_script, true),
    ] {
        db.advance_ms(3_000);
        let idle = db.run(c, "OBJECT IDLETIME k");
        assert_ne!(idle, ":0\r\n");
        db.run_args(c, command);
        let expected = if is_use { ":0\r\n".to_string() } else { idle };
        assert_eq!(db.run(c, "OBJECT IDLETIME k"), expected, "{command:?}");
    }
    // A child shares the pages: nobody's reads are a use then.
    db.engine.spare_pages = true;
    db.advance_ms(3_000);
    db.run(c, "TOUCH k");
    assert_eq!(db.run(c, "OBJECT IDLETIME k"), ":3\r\n");
}

#[test]
fn the_counter_of_use_grows_and_decays() {
    let settings =
        Settings { maxmemory_policy: AllkeysLfu, lfu_log_factor: 0, ..Settings::default() };
    let mut db = Database::with(settings);
    let c = db.connect();
    db.run(c, "SET k v");
    assert_eq!(db.run(c, "OBJECT FREQ k"), ":5\r\n");
    for _ in 0..7 {
        db.run(c, "GET k");
    }
    assert_eq!(db.run(c, "OBJECT FREQ k"), ":12\r\n");
    // An overwritten value is as much in use as the one before it.
    db.run(c, "SET k w");
    assert_eq!(db.run(c, "OBJECT FREQ k"), ":13\r\n");
    db.advance_ms(3 * 60_000);
    assert_eq!(db.run(c, "OBJECT FREQ k"), ":10\r\n");
    db.run(c, "GET k");
    assert_eq!(db.run(c, "OBJECT FREQ k"), ":11\r\n");
    assert!(db.run(c, "OBJECT IDLETIME k").starts_with("-ERR An LFU maxmemory policy is selected"));
    db.run(c, "RENAME k l");
    assert_eq!(db.run(c, "OBJECT FREQ l"), ":11\r\n");
}

#[test]
fn restore_takes_over_what_the_policy_goes_by() {
    let mut db = Database::new();
    let c = db.connect();
    let payload = persist::rdb::dump_value(store::ValueRef::Int(7), persist::rdb::Version::V10);
    let restore = |db: &mut Database, option: &[u8], value: &[u8]| {
        let words: [&[u8]; 7] = [b"RESTORE", b"k", b"0", &payload, b"REPLACE", option, value];
        assert_eq!(db.run_args(c, &words), "+OK\r\n");
    };
    restore(&mut db, b"IDLETIME", b"100");
    assert_eq!(db.run(c, "OBJECT IDLETIME k"), ":100\r\n");
    restore(&mut db, b"FREQ", b"100");
    assert_eq!(db.run(c, "OBJECT IDLETIME k"), ":0\r\n");
    db.engine.settings.maxmemory_policy = AllkeysLfu;
    restore(&mut db, b"FREQ", b"100");
    assert_eq!(db.run(c, "OBJECT FREQ k"), ":100\r\n");
    restore(&mut db, b"IDLETIME", b"100");
    assert_eq!(db.run(c, "OBJECT FREQ k"), ":5\r\n");
}

/// The master knows nothing of them: nobody deleted them, ever.
#[test]
fn keys_of_a_writable_replicas_own_expire_there() {
    let settings = Settings { replica_read_only: false, ..Settings::default() };
    let mut db = Database::with(settings);
    let (c, from_master) =
        (db.connect(), db.engine.connect(db.now, engine::Kind::Master, engine::Peer::default()));
    db.engine.role = Role::Replica { link_up: true };
    for n in 0..300 {
        db.run(c, &format!("SET own{n} v PX 10"));
    }
    db.run(c, "SET kept v PX 10");
    db.run(c, "PERSIST kept");
    db.run(from_master, "SET told v PX 10");
    assert!(db.run(c, "INFO stats").contains("slave_expires_tracked_keys:301\r\n"));
    db.advance_ms(20);
    for _ in 0..3 {
        db.engine.cron(db.now, &mut db.world);
    }
    assert_eq!(db.run(c, "DBSIZE"), ":2\r\n", "what the master told is its business");
    assert!(db.run(c, "INFO stats").contains("slave_expires_tracked_keys:0\r\n"));
}

/// A command evicted until there was room, however long that took.
#[test]
fn eviction_ends_for_its_time_and_goes_on_before_the_loop_sleeps() {
    let (mut db, c) = filled(AllkeysRandom);
    db.world.times_full.set(1000);
    db.world.step_us.set(200);
    assert_eq!(db.run(c, "SET k v"), "+OK\r\n");
    // Half a millisecond, looked at after every sixteenth key.
    assert_eq!(db.engine.stats.evicted_keys, 48);
    assert_eq!(db.engine.next_deadline_us(), Some(db.now.mono_us));
    db.world.times_full.set(10);
    db.engine.before_sleep(db.now, &mut db.world);
    assert_eq!(db.engine.stats.evicted_keys, 58);
    assert_eq!(db.engine.next_deadline_us(), None);
}
