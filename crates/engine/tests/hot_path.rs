//! What the commands that come by the million cost: counted, not timed.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::Database;
use engine::{ClientId, KeysAhead, PREFETCH_BATCH};
use protocol::{Args, Limits, RequestParser};

/// Counts what the thread that runs the test asks for: others allocate when they like.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the rules for us both.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: as above; every block is the system's.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// More than it takes for keys to be asked for ahead.
const KEYS: usize = 12_000;

struct Bench {
    db: Database,
    client: ClientId,
    parser: RequestParser,
}

impl Bench {
    fn new() -> Bench {
        let mut db = Database::new();
        // As where nobody follows: what a stream would take is the backlog's to count.
        db.engine.propagation.set_stream(false);
        let client = db.connect();
        for n in 0..KEYS {
            db.run(client, &format!("SET key:{n:06} value:{n:06}"));
        }
        db.run(client, "SET volatile v EX 1000");
        Bench { db, client, parser: RequestParser::new() }
    }

    /// Runs requests as a server does that has read them at once; how many, and their replies' bytes.
    fn run(&mut self, bytes: &[u8]) -> (usize, usize) {
        let Bench { db, client, parser } = self;
        parser.feed(bytes);
        let count = parser.parse(&Limits::default(), 1024).expect("whole requests");
        let mut ahead = KeysAhead::default();
        for ran in 0..count {
            if ran % PREFETCH_BATCH == 0 && count - ran > 1 {
                let batch = (ran..count).map(|at| parser.request(at).args());
                ahead = db.engine.prefetch(*client, batch);
            }
            let args = parser.request(ran).args();
            db.engine.execute_hashed(db.now, &mut db.world, *client, args, ahead.next_key());
        }
        parser.consume(count);
        let out = &mut db.engine.client_mut(*client).expect("connected").out;
        let len = out.len_bytes();
        out.clear();
        (count, len)
    }
}

/// `times` requests, each for the next of the keys.
fn requests(times: usize, words: impl Fn(usize) -> Vec<String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..times {
        let words = words(n % KEYS);
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    bytes
}

/// GET, and SET of a value as long as the one that was, take nothing from the allocator: neither parsing,
/// looking up, replacing, answering nor statistics.
#[test]
fn get_and_set_in_place_allocate_nothing() {
    let mut bench = Bench::new();
    let get = requests(100, |n| vec!["GET".into(), format!("key:{n:06}")]);
    let set = requests(100, |n| vec!["SET".into(), format!("key:{n:06}"), format!("other:{n:06}")]);
    let missing = requests(100, |n| vec!["GET".into(), format!("absent:{n:06}")]);
    for (name, bytes) in [("GET", &get), ("SET", &set), ("GET of nothing", &missing)] {
        // Buffers, the command's histogram and the list of those with output grow once.
        for _ in 0..3 {
            bench.run(bytes);
        }
        let before = ALLOCATIONS.get();
        let (count, replied) = bench.run(bytes);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{name}");
        assert!(count == 100 && replied >= 500, "{name}: {count} were answered by {replied} bytes");
    }
    let before = ALLOCATIONS.get();
    bench.run(&requests(1, |_| vec!["SET".into(), "new".into(), "key".into()]));
    assert!(ALLOCATIONS.get() > before, "the counter counts");
}

/// The buffer of a read is filled anew for the next one: at the address of one key stands another, and
/// nothing that was known of the first may be taken for true.
#[test]
fn what_was_known_of_a_key_is_forgotten_with_its_command() {
    let Bench { mut db, client, .. } = Bench::new();
    let mut key = *b"key:000001";
    let words = [&b"SET"[..], &key, b"one"];
    let args = Args::new(&words);
    let ahead = db.engine.prefetch(client, std::iter::once(args)).next_key();
    assert!(ahead.is_some(), "enough keys for that");
    db.engine.execute_hashed(db.now, &mut db.world, client, args, ahead);
    key.copy_from_slice(b"key:000002");
    assert_eq!(db.run_args(client, &[b"SET", &key, b"two"]), "+OK\r\n+OK\r\n");
    assert_eq!(db.run(client, "GET key:000001"), "$3\r\none\r\n");
    assert_eq!(db.run(client, "GET key:000002"), "$3\r\ntwo\r\n");
}
