//! Client-side caching: who hears of what, when, and in which words.

mod common;

use common::{Database, words};
use engine::{ClientId, Settings};

const TRACKED: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";

fn resp3(db: &mut Database) -> ClientId {
    let client = db.connect();
    db.run(client, "HELLO 3");
    client
}

/// A client in RESP3 that has read `k`.
fn reader(db: &mut Database, options: &str) -> ClientId {
    let client = resp3(db);
    let on = format!("CLIENT TRACKING ON {options}");
    assert_eq!(db.run(client, on.trim()), "+OK\r\n");
    db.run(client, "GET k");
    client
}

#[test]
fn a_reader_hears_once_of_a_change_by_another() {
    let mut db = Database::new();
    let (writer, reader) = (db.connect(), reader(&mut db, ""));
    db.run(writer, "SET other v");
    assert_eq!(db.replies(reader), "", "it has not read that");
    db.run(writer, "SET k v");
    assert_eq!(db.replies(reader), TRACKED);
    db.run(writer, "SET k w");
    assert_eq!(db.replies(reader), "", "it has to read it again first");
}

#[test]
fn a_clients_own_change_is_told_behind_its_reply_and_a_transactions_behind_all_of_it() {
    let mut db = Database::new();
    let c = reader(&mut db, "");
    assert_eq!(db.run(c, "SET k v"), format!("+OK\r\n{TRACKED}"));
    for queued in ["MULTI", "GET k", "INCR n", "SET k w", "PING"] {
        db.run(c, queued);
    }
    assert_eq!(db.run(c, "EXEC"), format!("*4\r\n$1\r\nv\r\n:1\r\n+OK\r\n+PONG\r\n{TRACKED}"));
}

#[test]
fn expiry_and_eviction_are_changes_too() {
    let mut db = Database::new();
    let (writer, c) = (db.connect(), reader(&mut db, ""));
    db.run(writer, "SET k v PX 10");
    db.replies(c);
    db.run(c, "GET k");
    db.advance_ms(20);
    assert_eq!(db.run(c, "GET k"), format!("_\r\n{TRACKED}"), "found by its reader");
    db.run(writer, "SET k v PX 10");
    db.replies(c);
    db.run(c, "GET k");
    db.advance_ms(20);
    db.engine.cron(db.now, &mut db.world);
    assert_eq!(db.replies(c), TRACKED, "found by the cycle");
}

#[test]
fn what_is_evicted_for_a_command_is_told_before_its_reply() {
    let policy = engine::settings::MaxmemoryPolicy::AllkeysRandom;
    let settings = Settings { maxmemory_bytes: 1, maxmemory_policy: policy, ..Settings::default() };
    let mut db = Database::with(settings);
    let c = resp3(&mut db);
    db.run(c, "CLIENT TRACKING ON");
    db.run(c, "SET k v");
    db.run(c, "GET k");
    db.world.times_full.set(1);
    assert_eq!(db.run(c, "PING"), format!("{TRACKED}+PONG\r\n"));
}

#[test]
fn a_flush_is_told_as_nothing_in_particular() {
    let mut db = Database::new();
    let (writer, c) = (db.connect(), reader(&mut db, ""));
    for flush in ["FLUSHALL", "FLUSHDB"] {
        db.run(writer, flush);
        assert_eq!(db.replies(c), ">2\r\n$10\r\ninvalidate\r\n_\r\n", "{flush}");
    }
    assert_eq!(db.run(c, "FLUSHALL"), "+OK\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n");
    db.run(writer, "SET k v");
    assert_eq!(db.replies(c), "", "everything read before is forgotten");
}

#[test]
fn in_resp2_a_subscriber_of_another_connection_hears() {
    let mut db = Database::new();
    let (data, hears, writer) = (db.connect(), db.connect(), db.connect());
    let on = format!("CLIENT TRACKING ON REDIRECT {}", hears.id);
    assert_eq!(db.run(data, &on), "+OK\r\n");
    assert_eq!(db.run(data, "CLIENT GETREDIR"), format!(":{}\r\n", hears.id));
    db.run(data, "GET k");
    db.run(writer, "SET k v");
    assert_eq!(db.replies(hears), "", "RESP2 has no word for it outside of a subscription");
    db.run(hears, "SUBSCRIBE __redis__:invalidate");
    db.run(data, "GET k");
    db.run(writer, "SET k v");
    let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n";
    assert_eq!(db.replies(hears), message);
    db.run(writer, "FLUSHALL");
    assert_eq!(words(&db.replies(hears)), "*3 message __redis__:invalidate $-1");
    assert_eq!(db.replies(data), "");
}

/// Who redirects to a client that is gone would trust its cache for ever.
#[test]
fn a_redirect_that_is_broken_is_told_and_shown() {
    let mut db = Database::new();
    let (target, writer) = (db.connect(), db.connect());
    let c = reader(&mut db, &format!("REDIRECT {}", target.id));
    db.engine.disconnect(target);
    // Its place is taken at once by somebody who hears nothing of it.
    let heir = resp3(&mut db);
    assert_eq!(heir.slot, target.slot);
    db.run(writer, "SET k v");
    let broken = format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{}\r\n", target.id);
    assert_eq!(db.replies(c), broken);
    assert_eq!(db.replies(heir), "");
    assert!(words(&db.run(c, "CLIENT TRACKINGINFO")).contains("on broken_redirect redirect"));
    assert!(db.run(c, "CLIENT INFO").contains(" flags=tR "));
    db.run(c, "CLIENT TRACKING ON");
    assert!(db.run(c, "CLIENT INFO").contains(" flags=t "));
}

#[test]
fn broadcasts_tell_of_all_keys_with_a_prefix_once_a_turn() {
    let mut db = Database::new();
    let (writer, c) = (db.connect(), resp3(&mut db));
    db.run(c, "CLIENT TRACKING ON BCAST PREFIX user: PREFIX x");
    let all = resp3(&mut db);
    db.run(all, "CLIENT TRACKING ON BCAST");
    for key in ["user:2", "user:1", "user:2", "use", "x"] {
        db.run(writer, &format!("SET {key} v"));
    }
    assert_eq!(db.replies(c), "");
    db.engine.broadcast_invalidations();
    assert_eq!(words(&db.replies(c)), ">2 invalidate *2 user:1 user:2 >2 invalidate *1 x");
    assert_eq!(words(&db.replies(all)), ">2 invalidate *4 use user:1 user:2 x");
    db.engine.broadcast_invalidations();
    assert_eq!(db.replies(c), "");
    assert!(db.run(c, "CLIENT INFO").contains(" flags=tB "));
}

#[test]
fn with_noloop_nobody_hears_of_own_changes() {
    let mut db = Database::new();
    let (writer, c) = (db.connect(), reader(&mut db, "NOLOOP"));
    assert_eq!(db.run(c, "SET k v"), "+OK\r\n");
    db.run(c, "GET k");
    db.run(writer, "SET k v");
    assert_eq!(db.replies(c), TRACKED);
    let b = resp3(&mut db);
    db.run(b, "CLIENT TRACKING ON BCAST NOLOOP");
    db.run(b, "SET own v");
    db.engine.broadcast_invalidations();
    assert_eq!(db.replies(b), "");
    db.run(b, "MSET own v k v");
    db.run(writer, "SET k w");
    db.engine.broadcast_invalidations();
    assert_eq!(words(&db.replies(b)), ">2 invalidate *1 k", "who changed it last counts");
}

#[test]
fn optin_and_optout_go_by_what_was_said_just_before() {
    let mut db = Database::new();
    let writer = db.connect();
    let heard = |db: &mut Database, c: ClientId| {
        db.run(writer, "SET k v");
        !db.replies(c).is_empty()
    };
    let c = reader(&mut db, "OPTIN");
    assert!(!heard(&mut db, c));
    for said in [
        &["CLIENT CACHING YES", "CLIENT ID", "GET k"][..],
        &["CLIENT CACHING YES", "MULTI", "GET k", "EXEC"],
    ] {
        said.iter().for_each(|command| drop(db.run(c, command)));
        assert!(heard(&mut db, c), "{said:?}");
        db.run(c, "GET k");
        assert!(!heard(&mut db, c), "it holds once: {said:?}");
    }
    // A script is the next command, and what it said ends with it: its flag had the bit of another.
    for said in ["CLIENT CACHING YES", "EVAL return 0", "GET k"] {
        db.run(c, said);
    }
    assert!(!heard(&mut db, c));
    let c = reader(&mut db, "OPTOUT");
    assert!(heard(&mut db, c));
    db.run(c, "CLIENT CACHING NO");
    assert!(words(&db.run(c, "CLIENT TRACKINGINFO")).contains("on optout caching-no redirect"));
    db.run(c, "GET k");
    assert!(!heard(&mut db, c));
}

#[test]
fn a_table_that_is_too_large_makes_its_readers_forget() {
    let mut db = Database::with(Settings { tracking_table_max_keys: 1, ..Settings::default() });
    let c = reader(&mut db, "");
    db.run(c, "GET other");
    let reply = words(&db.run(c, "PING"));
    assert!(
        [">2 invalidate *1 k +PONG", ">2 invalidate *1 other +PONG"].contains(&&*reply),
        "{reply}"
    );
    db.run(c, "GET more");
    db.engine.cron(db.now, &mut db.world);
    assert!(db.replies(c).starts_with(">2\r\n$10\r\ninvalidate"), "nobody says anything");
    let info = db.run(c, "INFO");
    for line in
        ["tracking_clients:1\r\n", "tracking_total_keys:1\r\n", "tracking_total_items:1\r\n"]
    {
        assert!(info.contains(line), "{line}");
    }
}

#[test]
fn what_is_let_go_of_for_a_command_that_is_queued_is_told_before_it() {
    let mut db = Database::with(Settings { tracking_table_max_keys: 1, ..Settings::default() });
    let c = reader(&mut db, "");
    db.run(c, "MULTI");
    db.engine.settings.tracking_table_max_keys = 1;
    let other = resp3(&mut db);
    db.run(other, "CLIENT TRACKING ON");
    db.run(other, "GET more");
    let reply = words(&db.run(c, "PING"));
    let told = words(&db.replies(other));
    assert!(reply == ">2 invalidate *1 k +QUEUED" || told == ">2 invalidate *1 more", "{reply}");
    assert!(reply.ends_with("+QUEUED"), "{reply}");
}

#[test]
fn a_reset_ends_it_and_a_client_that_is_muted_hears_all_the_same() {
    let mut db = Database::new();
    let (writer, c) = (db.connect(), reader(&mut db, ""));
    db.run(c, "CLIENT REPLY OFF");
    assert_eq!(db.run(c, "GET k"), "");
    assert_eq!(db.run(c, "SET k v"), TRACKED);
    assert_eq!(db.run(c, "RESET"), "+RESET\r\n");
    db.run(c, "HELLO 3");
    db.run(c, "GET k");
    db.run(writer, "SET k v");
    assert_eq!(db.replies(c), "");
    assert_eq!(db.run(c, "CLIENT GETREDIR"), ":-1\r\n");
}

#[test]
fn options_that_do_not_go_together_are_refused_in_words() {
    let mut db = Database::new();
    let c = db.connect();
    let off =
        "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n";
    assert_eq!(db.run(c, "CLIENT TRACKINGINFO"), off);
    for (command, reply) in [
        ("CLIENT TRACKING ON x", "-ERR syntax error"),
        ("CLIENT TRACKING maybe", "-ERR syntax error"),
        (
            "CLIENT TRACKING ON REDIRECT 99",
            "-ERR The client ID you want redirect to does not exist",
        ),
        (
            "CLIENT TRACKING ON REDIRECT 1 REDIRECT 1",
            "-ERR A client can only redirect to a single other client",
        ),
        ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled"),
        ("CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
        (
            "CLIENT TRACKING ON OPTIN OPTOUT",
            "-ERR You can't specify both OPTIN mode and OPTOUT mode",
        ),
        (
            "CLIENT TRACKING ON BCAST PREFIX ab PREFIX x PREFIX a",
            "-ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single client must not overlap.",
        ),
        (
            "CLIENT CACHING YES",
            "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
        ("CLIENT TRACKING ON BCAST PREFIX ab PREFIX x", "+OK"),
        (
            "CLIENT TRACKING ON BCAST PREFIX abc",
            "-ERR Prefix 'abc' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        (
            "CLIENT TRACKING ON BCAST PREFIX a",
            "-ERR Prefix 'a' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        (
            "CLIENT TRACKING ON",
            "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
        ),
        ("CLIENT TRACKING OFF", "+OK"),
        ("CLIENT TRACKING ON OPTIN", "+OK"),
        (
            "CLIENT CACHING NO",
            "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        (
            "CLIENT TRACKING ON OPTOUT",
            "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
        ),
    ] {
        assert_eq!(db.run(c, command), format!("{reply}\r\n"), "{command}");
    }
}
