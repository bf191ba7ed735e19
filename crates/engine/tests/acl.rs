//! Users: what they may do, when that is asked, and what becomes of their clients when it changes.

mod common;

use common::{Database, words};
use engine::{ClientId, Settings};

fn login(db: &mut Database, user: &str) -> ClientId {
    let client = db.connect();
    assert_eq!(db.run(client, &format!("AUTH {user} pw")), "+OK\r\n");
    client
}

/// A database with `admin` (the default user) and one user of these rules, logged in.
fn with_user(rules: &str) -> (Database, ClientId, ClientId) {
    let mut db = Database::new();
    let admin = db.connect();
    let reply = db.run(admin, &format!("ACL SETUSER ann on >pw {rules}"));
    assert_eq!(reply, "+OK\r\n", "{rules}");
    let ann = login(&mut db, "ann");
    (db, admin, ann)
}

fn stat(db: &mut Database, client: ClientId, field: &str) -> String {
    let info = db.run(client, "INFO stats");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.expect("a field").to_owned()
}

fn is_closing(db: &Database, client: ClientId) -> bool {
    db.engine.client(client).is_none_or(|client| client.close_after_reply)
}

#[test]
fn the_default_user_is_there_and_stays() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(db.run(c, "ACL WHOAMI"), "$7\r\ndefault\r\n");
    assert_eq!(db.run(c, "ACL USERS"), "*1\r\n$7\r\ndefault\r\n");
    assert!(db.run(c, "ACL LIST").contains("user default on nopass sanitize-payload ~* &* +@all"));
    assert_eq!(db.run(c, "ACL GETUSER other"), "$-1\r\n");
    assert!(db.run(c, "ACL CAT").starts_with("*21\r\n$8\r\nkeyspace\r\n$4\r\nread\r\n"));
    assert!(db.run(c, "ACL CAT transaction").starts_with("*5\r\n"));
    assert_eq!(db.run(c, "ACL CAT x"), "-ERR Unknown category 'x'\r\n");
    assert_eq!(db.run(c, "ACL DRYRUN default GET k"), "+OK\r\n");
    assert_eq!(db.run(c, "ACL DRYRUN other GET k"), "-ERR User 'other' not found\r\n");
    assert_eq!(db.run(c, "ACL DELUSER default"), "-ERR The 'default' user cannot be removed\r\n");
    assert_eq!(db.run(c, "ACL LOG"), "*0\r\n");
}

#[test]
fn what_is_not_allowed_is_refused_counted_and_logged() {
    let (mut db, admin, ann) = with_user("+@read +publish ~app:* &news");
    assert_eq!(db.run(ann, "GET app:1"), "$-1\r\n");
    assert_eq!(db.run(ann, "PUBLISH news x"), ":0\r\n");
    let refused = [
        ("SET app:1 v", "NOPERM User ann has no permissions to run the 'set' command"),
        ("CONFIG GET port", "NOPERM User ann has no permissions to run the 'config|get' command"),
        ("GET other", "NOPERM No permissions to access a key"),
        ("MGET app:1 other", "NOPERM No permissions to access a key"),
        ("PUBLISH olds x", "NOPERM No permissions to access a channel"),
    ];
    for (command, error) in refused {
        assert_eq!(db.run(ann, command), format!("-{error}\r\n"), "{command}");
    }
    assert_eq!(stat(&mut db, admin, "acl_access_denied_cmd"), "2");
    assert_eq!(stat(&mut db, admin, "acl_access_denied_key"), "2");
    assert_eq!(stat(&mut db, admin, "acl_access_denied_channel"), "1");
    let log = words(&db.run(admin, "ACL LOG"));
    let entry = "reason key context toplevel object other username ann age-seconds";
    assert!(log.contains(&format!("count :2 {entry}")), "{log}");
    assert!(log.contains("reason channel context toplevel object olds"), "{log}");
    assert!(log.contains("reason command context toplevel object config|get"), "{log}");
    assert_eq!(db.run(admin, "ACL LOG RESET"), "+OK\r\n");
    assert_eq!(db.run(admin, "ACL LOG"), "*0\r\n");
}

#[test]
fn a_wrong_password_and_a_disabled_user_look_alike() {
    let (mut db, admin, _) = with_user("+@all");
    let c = db.connect();
    let refusal = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(db.run(c, "AUTH ann no"), refusal);
    assert_eq!(db.run(c, "AUTH nobody pw"), refusal);
    db.run(admin, "ACL SETUSER ann off");
    assert_eq!(db.run(c, "AUTH ann pw"), refusal);
    assert_eq!(db.run(c, "HELLO 3 AUTH ann pw"), refusal);
    assert_eq!(stat(&mut db, admin, "acl_access_denied_auth"), "4");
    assert!(db.run(c, "AUTH pw").starts_with("-ERR AUTH <password> called without any password"));
}

/// Who has connected while a password was asked for is let in when it is not any more.
#[test]
fn whether_one_has_to_log_in_follows_the_default_user() {
    let settings = Settings { requirepass: b"pw".to_vec(), ..Settings::default() };
    let mut db = Database::with(settings);
    let (admin, c) = (db.connect(), db.connect());
    assert_eq!(db.run(admin, "AUTH pw"), "+OK\r\n");
    assert_eq!(db.run(c, "PING"), "-NOAUTH Authentication required.\r\n");
    assert_eq!(db.run(admin, "ACL SETUSER default nopass"), "+OK\r\n");
    assert_eq!(db.run(c, "PING"), "+PONG\r\n");
    assert_eq!(db.run(admin, "ACL SETUSER default off"), "+OK\r\n");
    assert_eq!(db.run(c, "PING"), "-NOAUTH Authentication required.\r\n");
    assert_eq!(db.run(admin, "PING"), "+PONG\r\n");
}

#[test]
fn a_new_requirepass_is_the_default_users_password_and_an_old_one_changes_nothing() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "ACL SETUSER default >other");
    db.run(c, "CONFIG SET maxmemory 0");
    assert_eq!(db.run(c, "AUTH other"), "+OK\r\n");
    db.world.settings.requirepass = b"pw".to_vec();
    db.run(c, "CONFIG SET requirepass pw");
    assert!(db.run(c, "AUTH other").starts_with("-WRONGPASS"));
    assert_eq!(db.run(c, "AUTH pw"), "+OK\r\n");
}

#[test]
fn each_selector_is_enough_by_itself() {
    let (mut db, admin, ann) = with_user("+get ~a* (+set ~b*) (%R~c* +@all)");
    assert_eq!(db.run(ann, "GET a"), "$-1\r\n");
    assert_eq!(db.run(ann, "SET b 1"), "+OK\r\n");
    assert_eq!(db.run(ann, "GET c"), "$-1\r\n");
    assert_eq!(db.run(ann, "STRLEN c"), ":0\r\n");
    for command in ["SET a 1", "GET b", "SET c 1", "COPY c b"] {
        assert_eq!(db.run(ann, command), "-NOPERM No permissions to access a key\r\n", "{command}");
    }
    let why = db.run(admin, "ACL DRYRUN ann COPY c b");
    assert_eq!(words(&why), "User ann has no permissions to access the 'b' key");
    let user = words(&db.run(admin, "ACL GETUSER ann"));
    assert!(user.ends_with("commands -@all +get keys ~a* channels  selectors *2 *6 commands -@all +set keys ~b* channels  *6 commands -@all +@all keys %R~c* channels ")
        || user.contains("selectors *2"), "{user}");
}

#[test]
fn a_transaction_is_judged_when_it_is_queued_and_when_it_runs() {
    let (mut db, admin, ann) = with_user("+@all ~*");
    db.run(ann, "MULTI");
    assert_eq!(db.run(ann, "SET a 1"), "+QUEUED\r\n");
    assert_eq!(db.run(ann, "GET a"), "+QUEUED\r\n");
    assert_eq!(db.run(admin, "ACL SETUSER ann -set"), "+OK\r\n");
    assert_eq!(
        db.run(ann, "EXEC"),
        "*2\r\n-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand\r\n$-1\r\n"
    );
    db.run(ann, "MULTI");
    assert!(db.run(ann, "SET a 1").starts_with("-NOPERM User ann has no permissions"));
    assert!(db.run(ann, "EXEC").starts_with("-EXECABORT"));
    let log = words(&db.run(admin, "ACL LOG"));
    assert!(log.contains("count :2 reason command context multi object set"), "{log}");
}

#[test]
fn who_waits_is_judged_again_when_it_is_served() {
    let (mut db, admin, ann) = with_user("+@all ~q*");
    assert_eq!(db.run(ann, "BLPOP q1 0"), "");
    assert_eq!(db.run(admin, "ACL SETUSER ann resetkeys ~other"), "+OK\r\n");
    assert_eq!(db.run(admin, "RPUSH q1 x"), ":1\r\n");
    assert_eq!(db.replies(ann), "-NOPERM No permissions to access a key\r\n");
    assert_eq!(db.run(admin, "LLEN q1"), ":1\r\n");
    assert_eq!(db.engine.blocked_clients(), 0);
}

#[test]
fn the_clients_of_a_removed_user_are_closed_and_nobody() {
    let (mut db, admin, ann) = with_user("+@all ~*");
    let own = login(&mut db, "ann");
    assert_eq!(db.run(admin, "ACL DELUSER ann nobody"), ":1\r\n");
    for client in [ann, own] {
        assert!(is_closing(&db, client));
        assert!(db.world.actions.contains(&format!("CloseClient {{ client: {client:?} }}")));
    }
    assert!(!is_closing(&db, admin));
    // The place of a removed user is another one's: nobody may find itself to be that one.
    db.run(admin, "ACL SETUSER root on nopass allkeys +@all");
    assert_eq!(db.engine.client(ann).map(|client| client.user), Some(Default::default()));
}

#[test]
fn a_client_may_remove_its_own_user() {
    let (mut db, _, ann) = with_user("+@all ~*");
    assert_eq!(db.run(ann, "ACL DELUSER ann"), ":1\r\n");
    assert!(is_closing(&db, ann));
}

#[test]
fn who_listens_to_what_it_may_not_hear_any_more_is_closed() {
    let (mut db, admin, ann) = with_user("+@pubsub &a* &b");
    let (patterns, shard, quiet) =
        (login(&mut db, "ann"), login(&mut db, "ann"), login(&mut db, "ann"));
    assert!(db.run(ann, "SUBSCRIBE a1").starts_with("*3"));
    assert!(db.run(patterns, "PSUBSCRIBE a*").starts_with("*3"));
    assert!(db.run(shard, "SSUBSCRIBE b").starts_with("*3"));
    let refusal = "-NOPERM No permissions to access a channel\r\n";
    assert_eq!(db.run(patterns, "PSUBSCRIBE a1*"), refusal);
    assert_eq!(db.run(shard, "SSUBSCRIBE c"), refusal);
    assert_eq!(db.run(admin, "ACL SETUSER ann &c"), "+OK\r\n");
    assert!([ann, patterns, shard].iter().all(|client| !is_closing(&db, *client)));
    assert_eq!(db.run(admin, "ACL SETUSER ann resetchannels &a1 &b"), "+OK\r\n");
    assert!(is_closing(&db, patterns));
    assert!([ann, shard, quiet].iter().all(|client| !is_closing(&db, *client)));
    assert_eq!(db.run(admin, "ACL SETUSER ann reset"), "+OK\r\n");
    assert!(is_closing(&db, ann) && is_closing(&db, shard) && !is_closing(&db, quiet));
}

#[test]
fn a_file_replaces_all_users_or_none() {
    let (mut db, admin, ann) = with_user("+@all ~*");
    assert!(db.run(admin, "ACL LOAD").starts_with("-ERR This Redis instance is not configured to"));
    db.run(admin, "ACL SETUSER bob on >pw +@all");
    let bob = login(&mut db, "bob");
    db.world.acl_file = Some("user ann on >pw +nope\n\nuser bob (~a on\nann\n".into());
    assert_eq!(
        db.run(admin, "ACL LOAD"),
        "-ERR users.acl:1: Error in applying operation '+nope': Unknown command or category name in ACL. users.acl:3: Unmatched parenthesis in selector definition.users.acl:4 should start with user keyword followed by the username. WARNING: ACL errors detected, no change to the previously active ACL rules was performed\r\n"
    );
    assert_eq!(db.run(ann, "SET k v"), "+OK\r\n");
    db.world.acl_file = Some("user eve on nopass\nuser ann on >pw +get ~k\r\n".into());
    assert_eq!(db.run(admin, "ACL LOAD"), "+OK\r\n");
    assert_eq!(words(&db.run(admin, "ACL USERS")), "*3 ann default eve");
    assert!(is_closing(&db, bob) && !is_closing(&db, ann));
    assert_eq!(db.run(ann, "GET k"), "$1\r\nv\r\n");
    assert!(db.run(ann, "SET k v").starts_with("-NOPERM User ann has no permissions"));
    assert_eq!(db.run(admin, "ACL SAVE"), "+OK\r\n");
    assert!(db.world.actions.iter().any(|action| action.starts_with("AclSave")));
}

#[test]
fn what_sort_looks_up_needs_all_keys() {
    let (mut db, admin, ann) = with_user("+sort ~l %W~*");
    db.run(admin, "RPUSH l 2 1");
    for (command, option) in [("SORT l BY w*", "BY"), ("SORT l GET #", "GET")] {
        let error =
            format!("-ERR {option} option of SORT denied due to insufficient ACL permissions.\r\n");
        assert_eq!(db.run(ann, command), error);
    }
    assert_eq!(db.run(ann, "SORT l BY nosort"), "*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    db.run(admin, "ACL SETUSER ann %R~*");
    assert_eq!(db.run(ann, "SORT l BY w* GET #"), "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

/// A value that is called like an option made SET a reader of what it writes over.
#[test]
fn what_is_done_with_a_key_follows_the_options_alone() {
    let (mut db, _, ann) = with_user("+set +bitfield %W~w %R~r");
    let refusal = "-NOPERM No permissions to access a key\r\n";
    assert_eq!(db.run(ann, "SET w get"), "+OK\r\n");
    assert_eq!(db.run(ann, "SET w v GET"), refusal);
    assert_eq!(db.run(ann, "BITFIELD r GET u8 0 OVERFLOW SAT GET u8 8"), "*2\r\n:0\r\n:0\r\n");
    for command in ["BITFIELD r GET u8 0 SET u8 0 1", "BITFIELD r INCRBY u8 0 1", "BITFIELD r x"] {
        assert_eq!(db.run(ann, command), refusal, "{command}");
    }
}

#[test]
fn reset_makes_a_client_the_default_user_again() {
    let (mut db, admin, ann) = with_user("+@all");
    db.run(admin, "ACL SETUSER default +acl");
    assert_eq!(db.run(ann, "RESET"), "+RESET\r\n");
    assert_eq!(db.run(ann, "ACL WHOAMI"), "$7\r\ndefault\r\n");
    assert_eq!(db.run(admin, "CLIENT KILL USER nobody"), "-ERR No such user 'nobody'\r\n");
    let again = login(&mut db, "ann");
    assert_eq!(db.run(admin, "CLIENT KILL USER ann"), ":1\r\n");
    assert!(is_closing(&db, again));
}

#[test]
fn nobody_else_sees_the_words_about_a_user() {
    let mut db = Database::new();
    let (admin, monitor) = (db.connect(), db.connect());
    assert_eq!(db.run(monitor, "MONITOR"), "+OK\r\n");
    db.run(admin, "CONFIG SET slowlog-log-slower-than 0");
    db.engine.settings.slowlog_log_slower_than_us = 0;
    db.run(admin, "ACL SETUSER ann on >secret");
    // Of what administers the server a monitor sees nothing.
    assert_eq!(db.replies(monitor), "");
    let slow = db.run(admin, "SLOWLOG GET");
    assert!(slow.contains("SETUSER\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)"), "{slow}");
    assert!(!slow.contains("secret"), "{slow}");
}
