//! HyperLogLogs through the engine's public API: what travels, what is told, what is refused.

mod common;

use common::{Database, script, words};

const CORRUPTED: &str = "-INVALIDOBJ Corrupted HLL object detected";
const NOT_ONE: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";

#[test]
fn elements_are_counted_once() {
    script(
        "PFADD h => :1
         PFADD h => :0
         PFCOUNT h => :0
         PFADD h a b c => :1
         PFADD h a b c => :0
         PFCOUNT h none => :3
         PFADD g c d => :1
         PFCOUNT g h => :4
         PFMERGE u g h none => +OK
         PFCOUNT u => :4
         PFCOUNT none => :0
         PFMERGE fresh => +OK
         PFDEBUG ENCODING fresh => +sparse
         OBJECT ENCODING h => raw
         PFDEBUG DECODE fresh => Z:16384
         PFDEBUG TODENSE fresh => :1
         PFDEBUG TODENSE fresh => :0
         PFDEBUG DECODE fresh => -ERR HLL encoding is not sparse
         PFDEBUG ENCODING none => -ERR The specified key does not exist
         PFDEBUG NOSUCH fresh => -ERR Unknown PFDEBUG subcommand 'NOSUCH'
         STRLEN fresh => :12304",
    );
}

#[test]
fn a_union_with_a_dense_one_is_dense() {
    script(
        "PFADD a 1 => :1
         PFADD b 2 => :1
         PFMERGE c a => +OK
         PFDEBUG ENCODING c => +sparse
         PFDEBUG TODENSE b => :1
         PFMERGE c b => +OK
         PFDEBUG ENCODING c => +dense
         PFCOUNT c => :2",
    );
}

#[test]
fn what_is_no_hyperloglog_is_refused() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET n 5");
    db.run(c, "SET s HYLL");
    db.run(c, "RPUSH l x");
    for (key, error) in [
        ("n", NOT_ONE),
        ("s", NOT_ONE),
        ("l", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ] {
        for command in ["PFADD # x", "PFCOUNT #", "PFCOUNT # #", "PFMERGE # x", "PFDEBUG DECODE #"]
        {
            let command = command.replace('#', key);
            assert_eq!(db.run(c, &command), format!("{error}\r\n"), "{command}");
        }
    }
}

/// Registers of a key that say less than they must.
fn corrupted(db: &mut Database, key: &str) -> engine::ClientId {
    let c = db.connect();
    let bytes = [b"HYLL\x01".as_slice(), &[0; 11], &[0x7f, 0x00]].concat();
    db.run_args(c, &[b"SET", key.as_bytes(), &bytes]);
    db.stream();
    c
}

#[test]
fn corrupted_registers_are_told() {
    let mut db = Database::new();
    let c = corrupted(&mut db, "h");
    // The count was said to be up to date.
    assert_eq!(db.run(c, "PFCOUNT h"), ":0\r\n");
    for command in ["PFCOUNT h h", "PFMERGE h", "PFDEBUG GETREG h", "PFDEBUG TODENSE h"] {
        assert_eq!(words(&db.run(c, command)), CORRUPTED, "{command}");
    }
    assert_eq!(db.stream(), "");
}

/// A replica that fails where its master failed would ask for a full sync.
#[test]
fn of_elements_before_one_that_fails_those_alone_travel() {
    let mut db = Database::new();
    let c = corrupted(&mut db, "h");
    // Of these registers only the first 16,129 are there: that of the last element is not.
    let (mut within, mut beyond) = (None, None);
    for element in 0.. {
        let probe = format!("PFADD probe{element} {element}");
        db.run(c, &probe);
        let ops = db.run(c, &format!("PFDEBUG DECODE probe{element}"));
        let zeros = ops.split("Z:").nth(1).and_then(|text| text.split(' ').next());
        match zeros.and_then(|text| text.parse::<u32>().ok()) {
            Some(index) if index > 16_129 => beyond = Some(element),
            _ => within = Some(element),
        }
        if let (Some(_), Some(_)) = (within, beyond) {
            break;
        }
    }
    db.stream();
    let (within, beyond) = (within.unwrap(), beyond.unwrap());
    let reply = db.run(c, &format!("PFADD h {within} {beyond} {within}"));
    assert_eq!(words(&reply), CORRUPTED);
    assert_eq!(db.stream(), format!("PFADD h {within}"));
}

#[test]
fn a_count_travels_when_it_is_computed_and_only_then() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "PFADD h a");
    db.stream();
    assert_eq!(db.run(c, "PFCOUNT h"), ":1\r\n");
    assert_eq!(db.stream(), "PFCOUNT h");
    assert_eq!(db.run(c, "PFCOUNT h"), ":1\r\n");
    db.run(c, "PFCOUNT h h");
    db.run(c, "PFADD h a");
    assert_eq!(db.stream(), "");
}

#[test]
fn changes_are_told_and_fail_transactions() {
    let mut db = Database::new();
    db.engine.settings.notify_keyspace_events = engine::notify::Classes::parse(b"KEA").unwrap();
    let (c, listener) = (db.connect(), db.connect());
    db.run(listener, "PSUBSCRIBE __keyevent*");
    db.run(c, "PFADD h a");
    db.run(c, "PFMERGE g h");
    let heard = words(&db.replies(listener));
    assert_eq!(heard.matches("__keyevent@0__:pfadd").count(), 2, "{heard}");
    db.run(c, "WATCH h");
    db.run(listener, "PUNSUBSCRIBE");
    // A read that changes the string.
    db.run(listener, "PFCOUNT h");
    db.run(c, "MULTI");
    db.run(c, "PING");
    assert_eq!(db.run(c, "EXEC"), "*-1\r\n");
}
