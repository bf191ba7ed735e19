//! Bitmaps through the engine's public API: replies, and what travels.

mod common;

use common::{Database, script};

#[test]
fn single_bits_answer_as_redis_does() {
    script(
        "SETBIT b 7 1 => :0
         SETBIT b 7 0 => :1
         SETBIT b 23 1 => :0
         STRLEN b => :3
         GETBIT b 23 => :1
         GETBIT b 1000 => :0
         GETBIT none 0 => :0
         SETBIT b -1 1 => -ERR bit offset is not an integer or out of range
         SETBIT b 4294967296 1 => -ERR bit offset is not an integer or out of range
         SETBIT b 0 2 => -ERR bit is not an integer or out of range
         SET n 1 => +OK
         OBJECT ENCODING n => int
         SETBIT n 6 1 => :0
         GET n => 3
         OBJECT ENCODING n => raw
         RPUSH l a => :1
         SETBIT l 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
         GETBIT l 0 => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn counting_and_finding_take_parts_in_bytes_and_bits() {
    script(
        "SET s foobar => +OK
         BITCOUNT s => :26
         BITCOUNT s 0 0 => :4
         BITCOUNT s 1 1 BYTE => :6
         BITCOUNT s 5 30 BIT => :17
         BITCOUNT s -2 -5 => :0
         BITCOUNT s 0 => -ERR syntax error
         BITCOUNT s 0 1 BITS => -ERR syntax error
         BITCOUNT none x y => -ERR value is not an integer or out of range
         BITCOUNT none => :0
         BITPOS s 1 => :1
         BITPOS s 0 2 => :16
         BITPOS s 1 9 20 BIT => :9
         BITPOS s 2 => -ERR The bit argument must be 1 or 0.
         BITPOS none 0 => :0
         BITPOS none 1 => :-1",
    );
}

#[test]
fn a_clear_bit_is_found_behind_ones_only_where_no_end_was_said() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "BITFIELD ones SET u8 0 255 SET u8 8 255");
    assert_eq!(db.run(c, "BITPOS ones 0"), ":16\r\n");
    assert_eq!(db.run(c, "BITPOS ones 0 1"), ":16\r\n");
    assert_eq!(db.run(c, "BITPOS ones 0 0 -1"), ":-1\r\n");
    assert_eq!(db.run(c, "BITPOS ones 0 5"), ":-1\r\n");
}

#[test]
fn bitop_stores_deletes_and_pads_with_zeros() {
    script(
        "SET a abc => +OK
         SET b `` => +OK
         BITOP AND d a b => :3
         GETRANGE d 0 1 => ``
         BITOP OR d a none => :3
         GET d => abc
         BITOP XOR d a a => :3
         BITOP NOT d a b => -ERR BITOP NOT must be called with a single source key.
         BITOP NOR d a => -ERR syntax error
         BITOP AND d none => :0
         EXISTS d => :0",
    );
}

/// Redis 8.2 has these; a replica need not know them.
#[test]
fn differences_and_lone_bits_travel_as_results() {
    let mut db = Database::new();
    let c = db.connect();
    for (key, value) in [("a", b"\x2f"), ("b", b"\x3c"), ("c", b"\x55")] {
        db.run_args(c, &[b"SET", key.as_bytes(), value]);
    }
    db.stream();
    for (op, byte) in [("DIFF", b'\x02'), ("DIFF1", b'P'), ("ANDOR", b'-'), ("ONE", b'B')] {
        assert_eq!(db.run(c, &format!("BITOP {op} d a b c")), ":1\r\n");
        assert_eq!(db.run(c, "GET d").as_bytes(), [b"$1\r\n".as_slice(), &[byte, 13, 10]].concat());
        let mut expected = b"SET d ".to_vec();
        expected.push(byte);
        assert_eq!(db.stream().as_bytes(), expected, "{op}");
    }
    script(
        "BITOP DIFF d a => -ERR BITOP DIFF must be called with at least two source keys.
         SET a abc => +OK
         BITOP DIFF d a none => :3
         GET d => abc
         BITOP ONE d a => :3
         BITOP ONE d none => :0
         EXISTS d => :0",
    );
}

#[test]
fn bitfield_wraps_saturates_and_fails() {
    script(
        "BITFIELD f SET i8 0 -100 GET i8 0 => *2 :0 :-100
         BITFIELD f INCRBY i8 0 -100 => *1 :56
         BITFIELD f OVERFLOW SAT INCRBY i8 0 100 => *1 :127
         BITFIELD f OVERFLOW FAIL INCRBY i8 0 1 GET u4 #1 => *2 $-1 :15
         BITFIELD f SET u63 8 -1 => *1 :0
         BITFIELD f GET u63 8 => *1 :9223372036854775807
         BITFIELD f SET i64 100 -9223372036854775808 GET i64 100 => *2 :0 :-9223372036854775808
         BITFIELD f GET u64 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
         BITFIELD f OVERFLOW NEVER => -ERR Invalid OVERFLOW type specified
         BITFIELD f SET u8 0 => -ERR syntax error
         BITFIELD_RO f GET u8 0 => *1 :127
         BITFIELD_RO f SET u8 0 1 => -ERR BITFIELD_RO only supports the GET subcommand
         BITFIELD none GET u8 0 => *1 :0
         EXISTS none => :0",
    );
}

/// A write that leaves the string as it was is none: it must not dirty the data set.
#[test]
fn unchanged_bits_do_not_travel() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SETBIT b 3 1");
    db.run(c, "BITFIELD f SET u8 0 1");
    assert!(db.stream().ends_with("SETBIT b 3 1 BITFIELD f SET u8 0 1"));
    db.run(c, "SETBIT b 3 1");
    db.run(c, "BITFIELD f SET u8 0 1");
    assert_eq!(db.stream(), "");
    // It has grown, though nothing else has happened.
    db.run(c, "BITFIELD f OVERFLOW FAIL INCRBY u8 100 256");
    assert_eq!(db.stream(), "BITFIELD f OVERFLOW FAIL INCRBY u8 100 256");
}

/// Of two mistakes the one is told that Redis sees first.
#[test]
fn a_wrong_unit_is_seen_before_a_wrong_end_by_bitpos_alone() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET s 1");
    assert_eq!(db.run(c, "BITPOS s 0 1 hello hello"), "-ERR syntax error\r\n");
    let not_an_integer = "-ERR value is not an integer or out of range\r\n";
    assert_eq!(db.run(c, "BITPOS s 0 x hello hello"), not_an_integer);
    assert_eq!(db.run(c, "BITCOUNT s 1 hello hello"), not_an_integer);
}
