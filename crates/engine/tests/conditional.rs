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
    ] {
        db.run(c, command);
        assert_eq!(db.stream(), stream, "{command}");
    }
}
