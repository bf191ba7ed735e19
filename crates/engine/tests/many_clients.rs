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
