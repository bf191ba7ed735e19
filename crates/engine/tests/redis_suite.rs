//! What Redis's own suite has found wrong, each test named after it.

mod common;

use common::Database;

/// A reader of arbitrary keys makes no transaction of what it finds expired, and what comes after
/// it makes one again.
#[test]
fn expired_keys_under_scan_and_randomkey_were_deleted_in_a_transaction() {
    for command in ["SCAN 0 COUNT 100", "RANDOMKEY"] {
        let mut db = Database::new();
        let c = db.connect();
        db.run(c, "SET a 1 PX 10");
        db.run(c, "SET b 1 PX 10");
        db.stream();
        db.now.unix_us += 20_000;
        db.run(c, command);
        let stream = db.stream();
        assert!(stream == "DEL a DEL b" || stream == "DEL b DEL a", "{command}: {stream}");
        db.run(c, command);
        db.run(c, "MULTI");
        db.run(c, "SET x 1");
        db.run(c, "SET y 1");
        db.run(c, "EXEC");
        assert_eq!(db.stream(), "MULTI SET x 1 SET y 1 EXEC");
    }
}

#[test]
fn small_integers_were_not_shared_for_object_refcount() {
    let mut db = Database::new();
    let c = db.connect();
    for (value, count) in [("9999", "2147483647"), ("10000", "1"), ("-1", "1"), ("text", "1")] {
        db.run(c, &format!("SET k {value}"));
        assert_eq!(db.run(c, "OBJECT REFCOUNT k"), format!(":{count}\r\n"), "{value}");
    }
}

#[test]
fn zadd_incr_answered_the_old_score_where_a_condition_refused() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "ZADD z 28 x");
    for refused in ["ZADD z LT INCR 1 x", "ZADD z GT INCR -1 x", "ZADD z NX INCR 1 x"] {
        assert_eq!(db.run(c, refused), "$-1\r\n", "{refused}");
    }
    assert_eq!(db.run(c, "ZADD z GT INCR 2 x"), "$2\r\n30\r\n");
}

/// A key whose time was up at WATCH is no key: neither its deletion, nor another such key in its
/// place, nor SWAPDB among such keys changes anything.
#[test]
fn swapdb_of_expired_keys_failed_transactions() {
    let mut db = Database::new();
    let (c, other) = (db.connect(), db.connect());
    db.run(c, "SELECT 1");
    db.run(c, "SET stale 1 PX 10");
    db.run(c, "SELECT 0");
    db.run(c, "SET both 1 PX 10");
    db.now.unix_us += 20_000;
    for watched in ["stale", "both"] {
        db.run(c, &format!("WATCH {watched}"));
        db.run(other, "SWAPDB 0 1");
        db.run(other, "SWAPDB 0 1");
        db.run(c, "MULTI");
        assert_eq!(db.run(c, "EXEC"), "*0\r\n", "{watched}");
    }
    // Deleted at last, and made anew.
    db.run(c, "WATCH both");
    db.run(other, "GET both");
    db.run(c, "MULTI");
    assert_eq!(db.run(c, "EXEC"), "*0\r\n");
    db.run(c, "WATCH both");
    db.run(other, "SET both 1");
    db.run(c, "MULTI");
    assert_eq!(db.run(c, "EXEC"), "*-1\r\n");
}

#[test]
fn watch_deleted_an_expired_key() {
    let mut db = Database::new();
    let (c, other) = (db.connect(), db.connect());
    db.run(c, "SET k 1 PX 10");
    db.now.unix_us += 20_000;
    db.stream();
    db.run(c, "WATCH k");
    assert_eq!(db.stream(), "");
    db.run(other, "SET k 2");
    db.run(c, "MULTI");
    assert_eq!(db.run(c, "EXEC"), "*-1\r\n");
}

#[test]
fn a_key_that_expires_after_watch_fails_the_transaction() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k 1 PX 10");
    db.run(c, "WATCH k");
    db.now.unix_us += 20_000;
    db.run(c, "MULTI");
    assert_eq!(db.run(c, "EXEC"), "*-1\r\n");
}

/// The link went down between the queueing and EXEC.
#[test]
fn exec_read_stale_data_that_a_replica_may_not_serve() {
    let settings = engine::Settings { replica_serve_stale_data: false, ..Default::default() };
    let mut db = Database::with(settings);
    let c = db.connect();
    db.run(c, "MULTI");
    db.run(c, "GET k");
    db.engine.role = engine::Role::Replica { link_up: false };
    let reply = db.run(c, "EXEC");
    assert!(
        reply.starts_with("-EXECABORT Transaction discarded because of: MASTERDOWN"),
        "{reply}"
    );
}

#[test]
fn debug_protocol_attrib_failed_where_there_are_no_attributes() {
    let settings = engine::Settings {
        enable_debug_command: engine::settings::Guard::Yes,
        ..Default::default()
    };
    let mut db = Database::with(settings);
    let c = db.connect();
    let reply = db.run(c, "DEBUG PROTOCOL attrib");
    assert_eq!(reply, "$39\r\nSome real reply following the attribute\r\n");
}
