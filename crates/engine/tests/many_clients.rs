//! Many clients at once: messages for all of them, queues of those who wait, watchers of one key.

mod common;

use common::Database;

/// The publisher's own message came as `>3`, which RESP2 has not: the engine took for granted that
/// nobody else could be subscribed and publish.
#[test]
fn who_publishes_to_itself_in_a_transaction_is_told_in_its_own_protocol() {
    for (hello, head) in [("HELLO 2", '*'), ("HELLO 3", '>')] {
        let mut db = Database::new();
        let c = db.connect();
        db.run(c, hello);
        db.run(c, "MULTI");
        db.run(c, "SUBSCRIBE c");
        db.run(c, "PUBLISH c x");
        assert_eq!(
            db.run(c, "EXEC"),
            format!(
                "*2\r\n{head}3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n:1\r\n\
                 {head}3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
            )
        );
    }
}

/// A message is encoded once, in RESP2 and in RESP3, short and long: nobody may get another's head.
#[test]
fn a_message_reaches_clients_of_both_protocols_whole() {
    for len in [10, 100_000] {
        let mut db = Database::new();
        let clients = [2, 3, 2, 3].map(|version| {
            let client = db.connect();
            db.run(client, &format!("HELLO {version}"));
            db.run(client, "SUBSCRIBE c");
            db.run(client, "PSUBSCRIBE c*");
            (client, if version == 3 { '>' } else { '*' })
        });
        let (publisher, text) = (db.connect(), "m".repeat(len));
        assert_eq!(db.run(publisher, &format!("PUBLISH c {text}")), ":8\r\n");
        for (client, head) in clients {
            let expected = format!(
                "{head}3\r\n$7\r\nmessage\r\n$1\r\nc\r\n${len}\r\n{text}\r\n\
                 {head}4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n${len}\r\n{text}\r\n"
            );
            assert_eq!(db.replies(client), expected);
        }
    }
}

/// With CLIENT REPLY OFF nothing is written, instead of written and taken back: a client's unread
/// messages stay, and a reply of any size costs nothing.
#[test]
fn a_muted_client_keeps_what_it_was_sent_before() {
    let mut db = Database::new();
    let (c, other) = (db.connect(), db.connect());
    db.run(c, "HELLO 3");
    db.run(c, "SUBSCRIBE c");
    db.run(c, "CLIENT REPLY OFF");
    db.run(other, "PUBLISH c x");
    let message = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n";
    assert_eq!(db.run(c, "KEYS *"), message);
    assert_eq!(db.run(c, "PING"), "");
    assert_eq!(db.run(c, "CLIENT REPLY ON"), "+OK\r\n");
    db.run(c, "CLIENT REPLY SKIP");
    assert_eq!(db.run(c, "PING"), "");
    assert_eq!(db.run(c, "PING"), "+PONG\r\n");
}

/// What ends a wait was answered even to who wants no replies, which then took it for the next one's.
#[test]
fn a_muted_client_is_not_told_how_its_wait_ended() {
    let mut db = Database::new();
    let (c, other) = (db.connect(), db.connect());
    db.run(c, "CLIENT REPLY OFF");
    db.run(c, "BLPOP k 0.1");
    db.advance_ms(200);
    assert_eq!(db.engine.blocked_clients(), 0);
    assert_eq!(db.replies(c), "");
    db.run(c, "BLPOP k 0");
    db.run(other, "RPUSH k v");
    assert_eq!(db.engine.blocked_clients(), 0);
    assert_eq!(db.replies(c), "");
    assert_eq!(db.run(c, "CLIENT REPLY ON"), "+OK\r\n");
}

/// How often somebody in a queue was looked at, and the result of what was done.
fn looks_of<T>(db: &mut Database, run: impl FnOnce(&mut Database) -> T) -> (u64, T) {
    let before = db.engine.queue_looks();
    let result = run(db);
    (db.engine.queue_looks() - before, result)
}

/// BLPOP of 100,000 keys, then SWAPDB or MSET of them: everybody waited 14 s, because each key that was
/// written was searched for in the list of those written before.
#[test]
fn writing_every_key_that_somebody_waits_for_takes_one_look_at_each() {
    const KEYS: usize = 100_000;
    let mut db = Database::new();
    let (waiting, writer) = (db.connect(), db.connect());
    let keys: Vec<String> = (0..KEYS).map(|n| format!("k{n}")).collect();
    db.run(waiting, &format!("BLPOP {} 0", keys.join(" ")));
    let pairs: Vec<String> = keys.iter().map(|key| format!("{key} v")).collect();
    let mset = format!("MSET {}", pairs.join(" "));
    let (looks, reply) = looks_of(&mut db, |db| db.run(writer, &mset));
    assert_eq!((looks, reply.as_str()), (KEYS as u64, "+OK\r\n"), "none of them is a list");
    let (looks, _) = looks_of(&mut db, |db| db.run(writer, "SWAPDB 0 1"));
    assert_eq!(looks, 0, "all of them are gone");
    let (looks, _) = looks_of(&mut db, |db| db.run(writer, "SWAPDB 0 1"));
    assert_eq!(looks, KEYS as u64);
    db.run(writer, "FLUSHDB");
    db.run(writer, "RPUSH k7 here");
    assert_eq!(db.replies(waiting), "*2\r\n$2\r\nk7\r\n$4\r\nhere\r\n");
    assert_eq!(db.engine.blocked_clients(), 0);
}

/// Many clients on many keys: 7 s to wake half of them, 2.5 s to close all.
#[test]
fn many_clients_on_many_keys_come_and_go_one_by_one() {
    const CLIENTS: usize = 400;
    let mut db = Database::new();
    let keys: Vec<String> = (0..400).map(|n| format!("k{n}")).collect();
    let blpop = format!("BLPOP {} 0", keys.join(" "));
    let waiting: Vec<_> = (0..CLIENTS).map(|_| db.connect()).collect();
    for client in &waiting {
        db.run(*client, &blpop);
    }
    let writer = db.connect();
    let (looks, ()) = looks_of(&mut db, |db| {
        for (n, client) in waiting.iter().take(CLIENTS / 2).enumerate() {
            db.run(writer, &format!("RPUSH {} v{n}", keys[n]));
            assert!(
                db.replies(*client).ends_with(&format!("v{n}\r\n")),
                "first come, first served"
            );
        }
        waiting.iter().skip(CLIENTS / 2).for_each(|client| db.engine.disconnect(*client));
    });
    assert_eq!(looks, CLIENTS as u64 / 2, "nobody but who is served");
    assert_eq!(db.engine.blocked_clients(), 0);
    assert_eq!(db.run(writer, "RPUSH k0 stays"), ":1\r\n");
}

/// Every element that was pushed had all who wait for the key copied into a list.
#[test]
fn ten_thousand_on_one_key_are_served_one_look_each() {
    const CLIENTS: u64 = 10_000;
    let mut db = Database::new();
    let waiting: Vec<_> = (0..CLIENTS).map(|_| db.connect()).collect();
    for client in &waiting {
        db.run(*client, "BLPOP queue 0");
    }
    let writer = db.connect();
    let (looks, ()) = looks_of(&mut db, |db| {
        for (n, client) in waiting.iter().enumerate() {
            db.run(writer, &format!("RPUSH queue {n}"));
            assert!(!db.replies(*client).is_empty());
        }
    });
    assert!(looks <= 2 * CLIENTS, "{looks}");
}

/// Several elements at once serve several clients; who comes back for more meanwhile stands behind them.
#[test]
fn who_waits_for_another_type_stays_and_does_not_keep_others_waiting() {
    let mut db = Database::new();
    let [sorted, first, second] = [(); 3].map(|()| db.connect());
    db.run(sorted, "BZPOPMIN k 0");
    db.run(first, "BLPOP k 0");
    db.run(second, "BLPOP k 0");
    let writer = db.connect();
    db.run(writer, "RPUSH k a b c");
    assert_eq!(db.replies(first), "*2\r\n$1\r\nk\r\n$1\r\na\r\n");
    assert_eq!(db.replies(second), "*2\r\n$1\r\nk\r\n$1\r\nb\r\n");
    assert_eq!(db.replies(sorted), "");
    db.run(writer, "DEL k");
    db.run(writer, "ZADD k 1 m");
    assert_eq!(db.replies(sorted), "*3\r\n$1\r\nk\r\n$1\r\nm\r\n$1\r\n1\r\n");
}

/// SET of a key that 2,000 clients watch took 0.23 s, every time: who has been told is told no more.
#[test]
fn a_change_is_told_to_each_watcher_once() {
    const CLIENTS: u64 = 2000;
    let mut db = Database::new();
    let watching: Vec<_> = (0..CLIENTS).map(|_| db.connect()).collect();
    for client in &watching {
        db.run(*client, "WATCH k other k");
    }
    let writer = db.connect();
    let (looks, ()) = looks_of(&mut db, |db| {
        for _ in 0..100 {
            db.run(writer, "MSET k v unwatched v");
        }
    });
    assert_eq!(looks, CLIENTS);
    for (n, client) in watching.iter().enumerate() {
        if n % 2 == 0 {
            db.run(*client, "UNWATCH");
            db.run(*client, "WATCH k");
        }
        db.run(*client, "MULTI");
        let expected = if n % 2 == 0 { "*0\r\n" } else { "*-1\r\n" };
        assert_eq!(db.run(*client, "EXEC"), expected, "client {n}");
    }
}

/// A channel's subscribers were a list, searched for each who left: who leaves, by word or by closing, is
/// nobody else's concern, and who stays is looked at once a message.
#[test]
fn ten_thousand_on_one_channel_are_told_one_look_each() {
    const CLIENTS: u64 = 10_000;
    let mut db = Database::new();
    let hearing: Vec<_> = (0..CLIENTS).map(|_| db.connect()).collect();
    let publisher = db.connect();
    let (looks, ()) = looks_of(&mut db, |db| {
        for client in &hearing {
            db.run(*client, "SUBSCRIBE news");
        }
    });
    assert_eq!(looks, 0, "who comes");
    let publish = |db: &mut Database| looks_of(db, |db| db.run(publisher, "PUBLISH news x"));
    assert_eq!(publish(&mut db), (CLIENTS, format!(":{CLIENTS}\r\n")));
    let (looks, ()) = looks_of(&mut db, |db| {
        for (n, client) in hearing.iter().enumerate() {
            match n % 4 {
                0 => drop(db.run(*client, "UNSUBSCRIBE news")),
                1 => db.engine.disconnect(*client),
                2 => db.engine.say_goodbye(*client),
                _ => {}
            }
        }
    });
    assert_eq!(looks, 0, "who goes");
    assert_eq!(publish(&mut db), (CLIENTS / 4, format!(":{}\r\n", CLIENTS / 4)));
    let message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n";
    for client in hearing.iter().skip(3).step_by(4) {
        assert_eq!(db.replies(*client), message.repeat(2));
    }
}

/// However often the loop turns meanwhile, nobody is looked at before the pause has ended, and then each
/// once: by its time or by UNPAUSE.
#[test]
fn ten_thousand_paused_clients_are_looked_at_once_each() {
    const CLIENTS: u64 = 10_000;
    for unpause in [false, true] {
        let mut db = Database::new();
        let paused: Vec<_> = (0..CLIENTS).map(|_| db.connect()).collect();
        let pauser = db.connect();
        db.run(pauser, "CLIENT PAUSE 1000 WRITE");
        let (looks, ()) = looks_of(&mut db, |db| {
            for client in &paused {
                assert_eq!(db.run(*client, "INCR n"), "");
            }
            for client in paused.iter().step_by(2) {
                db.engine.disconnect(*client);
            }
            (0..99).for_each(|_| db.advance_ms(10));
            db.run(pauser, "CLIENT PAUSE 1000 WRITE");
        });
        assert_eq!((looks, db.engine.blocked_clients() as u64), (0, CLIENTS / 2));
        let (looks, ()) = looks_of(&mut db, |db| match unpause {
            true => {
                db.run(pauser, "CLIENT UNPAUSE");
                db.advance_ms(0);
            }
            false => (0..101).for_each(|_| db.advance_ms(10)),
        });
        assert_eq!((looks, db.engine.blocked_clients()), (CLIENTS / 2, 0));
        assert_eq!(db.run(pauser, "GET n"), format!("$4\r\n{}\r\n", CLIENTS / 2));
    }
}

/// Who waits for the end of a pause goes on in the order of coming, and leaves no gap by leaving.
#[test]
fn ten_thousand_paused_clients_go_on_in_order() {
    let mut db = Database::new();
    let (writers, pauser) = ((0..10_000).map(|_| db.connect()).collect::<Vec<_>>(), db.connect());
    db.run(pauser, "CLIENT PAUSE 100 WRITE");
    for (n, client) in writers.iter().enumerate() {
        assert_eq!(db.run(*client, &format!("RPUSH order {n}")), "");
    }
    for client in writers.iter().skip(1).step_by(2) {
        db.engine.disconnect(*client);
    }
    db.advance_ms(200);
    let order: Vec<String> = (0..10_000).step_by(2).map(|n: u32| n.to_string()).collect();
    assert_eq!(
        common::words(&db.run(pauser, "LRANGE order 0 -1")),
        format!("*5000 {}", order.join(" "))
    );
}
