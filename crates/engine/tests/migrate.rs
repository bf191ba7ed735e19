//! MIGRATE: what it says to the other server, what it deletes here, and what travels of it.

mod common;

use common::Database;

/// The words said elsewhere since the last look; payloads are no text.
fn said(db: &mut Database) -> Vec<String> {
    let bytes = std::mem::take(&mut db.world.stream_elsewhere);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split("\r\n")
        .filter(|word| !word.starts_with(['*', '$']) && !word.contains(char::REPLACEMENT_CHARACTER))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn filled() -> (Database, engine::ClientId) {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "MSET a 1 b 2 c 3");
    db.stream();
    (db, c)
}

#[test]
fn a_key_goes_when_it_is_there_and_the_others_hear_of_its_end() {
    let (mut db, c) = filled();
    db.run(c, "PEXPIRE a 5000");
    db.stream();
    db.advance_ms(1000);
    db.world.answers = vec!["+OK"];
    assert_eq!(db.run(c, "MIGRATE h 1 a 9 100"), "+OK\r\n");
    assert_eq!(said(&mut db), ["RESTORE", "a", "4000"]);
    let action = db.world.actions.last().expect("it was asked for");
    assert!(action.contains("timeout_ms: 100, db: 9"), "{action}");
    assert_eq!(db.stream(), "DEL a");
    assert_eq!(db.run(c, "EXISTS a"), ":0\r\n");
    assert_eq!(db.run(c, "MIGRATE h 1 a 9 100"), "+NOKEY\r\n");
    db.run(c, "MIGRATE h 1 b 9 0 COPY REPLACE AUTH2 bob secret");
    assert_eq!(said(&mut db), ["AUTH", "bob", "secret", "RESTORE", "b", "0", "REPLACE"]);
    let action = db.world.actions.last().expect("it was asked for");
    assert!(action.contains("timeout_ms: 1000"), "{action}");
    assert_eq!((db.stream(), db.run(c, "EXISTS b")), (String::new(), ":1\r\n".to_owned()));
}

/// A key whose RESTORE failed, or was not answered, is not deleted: it may be nowhere else.
#[test]
fn only_what_was_acknowledged_is_deleted() {
    let (mut db, c) = filled();
    db.world.answers = vec!["+OK", "-BUSYKEY Target key name already exists.", "+OK"];
    assert_eq!(
        db.run(c, "MIGRATE h 1  0 100 KEYS a x b c"),
        "-ERR Target instance replied with error: BUSYKEY Target key name already exists.\r\n"
    );
    assert_eq!((db.run(c, "KEYS *"), db.stream()), ("*1\r\n$1\r\nb\r\n".into(), "DEL a c".into()));
    let (mut db, c) = filled();
    db.world.answers = vec!["+OK"];
    assert_eq!(db.run(c, "MIGRATE h 1  0 100 KEYS a b c"), "-IOERR gone\r\n");
    assert_eq!((db.run(c, "DBSIZE"), db.stream()), (":2\r\n".into(), "DEL a".into()));
    // A refusal at the door is one answer for all.
    db.world.answers = vec!["-WRONGPASS no"];
    let refused = db.run(c, "MIGRATE h 1  0 100 AUTH x KEYS b c");
    assert_eq!(refused, "-ERR Target instance replied with error: WRONGPASS no\r\n");
    assert_eq!((db.run(c, "DBSIZE"), db.stream()), (":2\r\n".into(), String::new()));
}

/// EXEC and scripts have no later moment to answer in.
#[test]
fn it_means_the_same_in_a_transaction_and_in_a_script() {
    let (mut db, c) = filled();
    db.world.answers = vec!["+OK"];
    db.run(c, "MULTI");
    db.run(c, "MIGRATE h 1 a 0 100");
    db.run(c, "EXISTS a");
    assert_eq!(db.run(c, "EXEC"), "*2\r\n+OK\r\n:0\r\n");
    assert_eq!(db.stream(), "DEL a");
    let script = b"return redis.call('migrate','h','1',KEYS[1],'0','100')";
    assert_eq!(db.run_args(c, &[b"EVAL", script, b"1", b"b"]), "+OK\r\n");
    assert_eq!(db.stream(), "DEL b");
}

#[test]
fn what_is_wrong_is_told_before_anything_is_sent() {
    let (mut db, c) = filled();
    for (command, error) in [
        ("MIGRATE h 1 a 0 x", "ERR value is not an integer or out of range"),
        ("MIGRATE h 1 a x 1", "ERR value is not an integer or out of range"),
        ("MIGRATE h 1 a 0 1 AUTH", "ERR syntax error"),
        ("MIGRATE h 1 a 0 1 AUTH2 x", "ERR syntax error"),
        ("MIGRATE h 1 a 0 1 COPY x", "ERR syntax error"),
        (
            "MIGRATE h 1 a 0 1 KEYS a",
            "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
        ),
    ] {
        assert_eq!(db.run(c, command), format!("-{error}\r\n"), "{command}");
    }
    assert!(db.world.stream_elsewhere.is_empty());
}

#[test]
fn its_keys_are_found_behind_passwords_that_look_like_options() {
    let (mut db, c) = filled();
    for (command, keys) in [
        ("h 1 a 0 1", "*1\r\n$1\r\na\r\n"),
        ("h 1  0 1 KEYS a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("h 1  0 1 AUTH2 KEYS KEYS KEYS a", "*1\r\n$1\r\na\r\n"),
        ("h 1 a 0 1 KEYS b", "-ERR Invalid arguments specified for command\r\n"),
    ] {
        assert_eq!(db.run(c, &format!("COMMAND GETKEYS MIGRATE {command}")), keys, "{command}");
    }
}
