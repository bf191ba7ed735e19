//! SORT through the engine's public API: replies, and what travels.

mod common;

use common::{Database, script, words};

#[test]
fn elements_are_ordered_by_number_text_and_pattern() {
    script(
        "RPUSH l 3 10 1 2 => :4
         SORT l => *4 1 2 3 10
         SORT l DESC => *4 10 3 2 1
         SORT l ALPHA => *4 1 10 2 3
         SORT l LIMIT 1 2 => *2 2 3
         SORT l LIMIT -5 2 => *2 1 2
         SORT l LIMIT 2 9223372036854775807 => *2 3 10
         SORT l BY nosort => *4 3 10 1 2
         SORT l BY nosort LIMIT 1 2 => *2 10 1
         SORT l BY nosort DESC => *4 2 1 10 3
         SORT l BY nosort DESC LIMIT 1 2 => *2 1 10
         SORT l BY nosort DESC LIMIT 3 9 => *1 3
         SORT l BY nosort DESC LIMIT 4 1 => *0
         MSET w1 4 w2 3 w3 2 => +OK
         SORT l BY w* => *4 10 3 2 1
         SORT l BY w* ALPHA DESC => *4 1 2 3 10
         SORT l BY w* GET # GET w* => *8 10 $-1 3 2 2 3 1 4
         HSET h1 f a => :1
         SORT l GET h*->f => *4 a $-1 $-1 $-1
         SET x1-> y => +OK
         SORT l GET x*-> LIMIT 0 1 => *1 y
         SORT l GET w1 LIMIT 0 1 => *1 $-1
         ZADD z 1 a 5 b 2 c 10 d 3 e => :5
         SORT z ALPHA DESC => *5 e d c b a
         SORT z BY nosort => *5 a c e b d
         SORT z BY nosort DESC LIMIT 0 2 => *2 d b
         SORT none => *0",
    );
}

#[test]
fn bad_numbers_types_and_options_are_errors() {
    script(
        "RPUSH l a 1 => :2
         SORT l => -ERR One or more scores can't be converted into double
         SET s 1 => +OK
         SORT s => -WRONGTYPE Operation against a key holding the wrong kind of value
         SORT l LIMIT 1 => -ERR syntax error
         SORT l LIMIT a b => -ERR value is not an integer or out of range
         SORT_RO l STORE d => -ERR syntax error
         SORT_RO l ALPHA => *2 1 a",
    );
}

#[test]
fn a_stored_result_replaces_and_an_empty_one_deletes() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SADD s b a c");
    db.run(c, "SET d old");
    db.stream();
    assert_eq!(db.run(c, "SORT s BY nosort GET # GET w* STORE d"), ":6\r\n");
    assert_eq!(words(&db.run(c, "LRANGE d 0 -1")), "*6 a  b  c".replace("  ", " "));
    assert_eq!(db.stream(), "MULTI DEL d RPUSH d a  b  c  EXEC");
    assert_eq!(db.run(c, "SORT none STORE d"), ":0\r\n");
    assert_eq!(db.run(c, "EXISTS d"), ":0\r\n");
    assert_eq!(db.stream(), "DEL d");
    db.run(c, "SORT none STORE d");
    assert_eq!(db.stream(), "");
}
