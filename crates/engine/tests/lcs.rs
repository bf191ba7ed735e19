//! LCS: its forms, and what is wrong with it. Replies are those of redis-server.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Database, script};

/// Remembers the largest block that was ever asked for.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the rules for us both.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; every block is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static WATCHED: Watched = Watched;

#[test]
fn the_longest_common_subsequence_in_all_its_forms() {
    script(
        "MSET a ohmytext b mynewtext => +OK
         LCS a b => mytext
         LCS a b LEN => :6
         LCS a b IDX => *4 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 len :6
         LCS a b IDX MINMATCHLEN 4 => *4 matches *1 *2 *2 :4 :7 *2 :5 :8 len :6
         LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN => *4 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 len :6
         LCS a b IDX MINMATCHLEN -1 MINMATCHLEN 5 => *4 matches *0 len :6
         LCS a absent LEN => :0
         LCS absent absent IDX => *4 matches *0 len :0
         SET n 12345 => +OK
         SET m 2345 => +OK
         LCS n m => 2345",
    );
}

#[test]
fn what_is_wrong_with_it_is_told_in_order() {
    script(
        "SET a x => +OK
         LPUSH l x => :1
         LCS a l BOGUS => -ERR The specified keys must contain string values
         LCS a a BOGUS => -ERR syntax error
         LCS a a MINMATCHLEN => -ERR syntax error
         LCS a a MINMATCHLEN x => -ERR value is not an integer or out of range
         LCS a a LEN IDX => -ERR If you want both the length and indexes, please just use IDX.
         LCS a => -ERR wrong number of arguments for 'lcs' command",
    );
    let mut db = Database::new();
    db.engine.settings.proto_max_bulk_len = 1024;
    let c = db.connect();
    db.run(c, &format!("SET a {}", "x".repeat(16)));
    let refused = db.run(c, "LCS a a");
    assert_eq!(
        refused,
        "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n"
    );
}

/// Two strings of half a gigabyte each were copied, only to be told that they are too long.
#[test]
fn texts_that_are_too_long_are_not_copied() {
    let mut db = Database::new();
    let c = db.connect();
    for key in ["a", "b"] {
        assert_eq!(db.run(c, &format!("SETRANGE {key} 3000000 x")), ":3000001\r\n");
    }
    LARGEST.store(0, Ordering::Relaxed);
    assert!(db.run(c, "LCS a b").contains("exceeds proto-max-bulk-len"));
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < 1_000_000, "a block of {largest} bytes");
    // One hit a key, as in Redis.
    assert_eq!(db.engine.stats.keyspace_hits, 2);
}
