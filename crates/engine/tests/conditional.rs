//! Strings that are changed or deleted only if they are what they should be: what travels, above all.

mod common;

use common::{Database, script};

#[test]
fn conditions_are_looked_at() {
    script(
        "SET k v IFEQ v => $-1
         EXISTS k => :0
         SET k v IFNE v => +OK
         SET k w IFNE v => $-1
         SET k w IFEQ v => +OK
         SET k x IFEQ v GET => w
         SET k x IFEQ w GET => w
         SET none x IFEQ w GET => $-1
         SET k 5 => +OK
         SET k 6 IFEQ 5 EX 100 => +OK
         TTL k => :100
         SET k 7 IFEQ 6 KEEPTTL => +OK
         TTL k => :100
         DELIFEQ k 8 => :0
         DELEX k IFNE 7 => :0
         DELEX k IFEQ 7 => :1
         DELEX k => :0
         DELIFEQ k 7 => :0
         RPUSH l a => :1
         SET l x IFEQ a => -WRONGTYPE Operation against a key holding the wrong kind of value
         DELIFEQ l a => -WRONGTYPE Operation against a key holding the wrong kind of value
         DELEX l IFNE a => -WRONGTYPE Operation against a key holding the wrong kind of value
         DIGEST l => -WRONGTYPE Operation against a key holding the wrong kind of value
         DELEX l => :1
         SET k v IFEQ => -ERR syntax error
         SET k v IFEQ a NX => -ERR syntax error
         SET k v NX IFEQ a => -ERR syntax error
         SET k v IFEQ a IFEQ b => -ERR syntax error
         GETEX k IFEQ a => -ERR syntax error
         DELEX k IFEQ => -ERR wrong number of arguments for 'delex' command
         DELEX k IFXX a => -ERR syntax error",
    );
}

#[test]
fn digests_stand_for_values() {
    script(
        "DIGEST k => $-1
         SET k v => +OK
         DIGEST k => f7042be43fb80714
         SET k w IFDEQ f7042be43fb80715 => $-1
         SET k w IFDNE F7042BE43FB80714 => $-1
         SET k w IFDEQ F7042BE43FB80714 => +OK
         DELEX k IFDEQ f7042be43fb80714 => :0
         DELEX k IFDNE f7042be43fb80714 => :1
         SET k v IFDEQ 7 => -ERR digest must be exactly 16 hexadecimal characters",
    );
}

#[test]
fn many_strings_are_set_with_one_expiry() {
    script(
        "MSETEX 2 a 1 b 2 => :1
         MSETEX 2 a 1 c 2 NX => :0
         MSETEX 2 a 1 c 2 XX => :0
         EXISTS c => :0
         MSETEX 2 a 3 b 4 EX 100 XX => :1
         MGET a b => *2 3 4
         TTL b => :100
         MSETEX 1 b 5 KEEPTTL => :1
         TTL b => :100
         MSETEX 1 b 5 => :1
         TTL b => :-1
         MSETEX 0 a 1 => -ERR invalid numkeys value or out of range
         MSETEX x a 1 => -ERR invalid numkeys value or out of range
         MSETEX 9999999999 a 1 => -ERR invalid numkeys value or out of range
         MSETEX 2 a 1 => -ERR syntax error
         MSETEX 1 a 1 NX XX => -ERR syntax error
         MSETEX 1 a 1 GET => -ERR syntax error
         MSETEX 1 a 1 IFEQ 1 => -ERR syntax error
         MSETEX 1 a 1 EX 0 => -ERR invalid expire time in 'msetex' command
         COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 5 => *2 a b
         COMMAND GETKEYS MSETEX 3 a 1 b 2 EX 5 => *3 a b EX
         COMMAND GETKEYS MSETEX 4 a 1 b 2 EX 5 => -ERR Invalid arguments specified for command",
    );
}

#[test]
fn counters_stay_within_their_bounds() {
    script(
        "INCREX n => *2 :1 :1
         INCREX n BYINT 5 EX 100 => *2 :6 :5
         TTL n => :100
         INCREX n EX 50 ENX => *2 :7 :1
         TTL n => :100
         INCREX n BYINT 5 UBOUND 10 EX 9 => *2 :7 :0
         TTL n => :100
         INCREX n BYINT 5 UBOUND 10 SATURATE => *2 :10 :3
         INCREX n BYINT -50 LBOUND -3 SATURATE PERSIST => *2 :-3 :-13
         TTL n => :-1
         INCREX n BYINT 9223372036854775807 => *2 :9223372036854775804 :9223372036854775807
         INCREX n BYINT 10 => *2 :9223372036854775804 :0
         INCREX n BYINT 10 SATURATE => *2 :9223372036854775807 :3
         INCREX none LBOUND 5 => *2 :0 :0
         EXISTS none => :0
         INCREX f BYFLOAT 0.1 => *2 0.1 0.1
         INCREX f BYFLOAT 0.2 UBOUND 0.25 => *2 0.1 0
         INCREX f BYFLOAT 0.2 UBOUND 0.25 SATURATE => *2 0.25 0.15
         INCREX f => -ERR value is not an integer or out of range
         INCREX f BYFLOAT x => -ERR value is not a valid float
         INCREX n ENX => -ERR ENX flag requires an expiration
         INCREX n PERSIST EX 5 => -ERR syntax error
         INCREX n BYINT 1 BYFLOAT 1 => -ERR syntax error
         INCREX n LBOUND => -ERR syntax error
         INCREX n LBOUND 5 UBOUND 4 => -ERR LBOUND can't be greater than UBOUND
         INCREX n EX 0 => -ERR invalid expire time in 'increx' command
         RPUSH l a => :1
         INCREX l => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

/// Older replicas know none of this.
#[test]
fn what_was_decided_travels_in_old_words() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET k v");
    db.stream();
    for (command, stream) in [
        ("SET k w IFEQ v", "SET k w"),
        ("SET k v IFEQ v", ""),
        ("SET k v IFEQ w GET", "SET k v"),
        ("SET k w IFNE w KEEPTTL", "SET k w KEEPTTL"),
        ("SET k v IFEQ w PX 5000", "SET k v PXAT 1700000005000"),
        ("DELIFEQ k w", ""),
        ("DELIFEQ k v", "DEL k"),
        ("DELEX k", ""),
        (
            "MSETEX 2 a 1 b 2 PX 5000",
            "MULTI SET a 1 PXAT 1700000005000 SET b 2 PXAT 1700000005000 EXEC",
        ),
        ("MSETEX 1 a 1 KEEPTTL", "SET a 1 KEEPTTL"),
        ("MSETEX 1 a 1 NX", ""),
        ("DELEX a IFEQ 1", "DEL a"),
        ("INCREX n PX 5000", "SET n 1 PXAT 1700000005000"),
        ("INCREX n UBOUND 1", ""),
        ("INCREX n", "SET n 2 KEEPTTL"),
        ("INCREX n PERSIST", "SET n 3"),
    ] {
        db.run(c, command);
        assert_eq!(db.stream(), stream, "{command}");
    }
}
