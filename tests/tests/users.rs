//! Users where they are kept, in one file or the other, over restarts; and as which user a replica comes.

use tandem_tests::{each_server, pairings};
use testkit::replication::wait_equal;
use testkit::{Kind, Server};

/// Without what Redis 7.0 says only of users that were reset.
fn list(server: &Server) -> Vec<String> {
    let lines = server.good("ACL LIST").texts();
    lines.into_iter().map(|line| line.replace(" sanitize-payload", "")).collect()
}

fn users_survive_a_rewrite_and_a_restart(kind: Kind) {
    let mut server = Server::of(kind)
        .set("# kept")
        .set("user ann on >pw ~app:* %R~b resetchannels &news +@read (+set ~b)")
        .start();
    server.good("ACL SETUSER bob on nopass +@all -@dangerous -config|get");
    server.good("ACL SETUSER ann -get");
    server.good("ACL SETUSER default -memory");
    let before = list(&server);
    assert_eq!(before.len(), 3, "{before:?}");
    server.good("CONFIG REWRITE");
    let text = String::from_utf8_lossy(&server.read_file("redis.conf")).into_owned();
    assert!(text.contains("# kept") && !text.contains(">pw"), "{text}");
    server.stop();
    server.start_again();
    let mut client = server.client();
    assert!(client.args(&["AUTH", "ann", "pw"]).is_ok());
    assert!(client.run("GET app:1").error().starts_with("NOPERM"));
    assert!(client.good("SET b 1").is_ok());
    assert_eq!(list(&server), before);
}

fn a_file_of_users_is_loaded_and_saved_whole(kind: Kind) {
    let mut server = Server::of(kind).set("aclfile users.acl").prepare();
    server.write_file("users.acl", b"user ann on >pw ~* +@all\n\nuser eve off -@all +get\n");
    server.start_again();
    assert_eq!(server.good("ACL USERS").texts(), ["ann", "default", "eve"]);
    server.good("ACL SETUSER bob on >x +get");
    server.good("ACL SAVE");
    let saved = list(&server);
    server.good("ACL DELUSER ann");
    server.write_file("users.acl", b"user ann on\nuser ann off\nbob\nuser zoe +nope\n");
    let refusal = server.run("ACL LOAD");
    let why = refusal.error().to_owned();
    assert!(why.contains("Duplicate user 'ann' found on line 2."), "{why}");
    assert!(why.contains("users.acl:3 should start with user keyword"), "{why}");
    assert!(why.contains("users.acl:4: Error in applying operation '+nope': Unknown"), "{why}");
    assert!(why.ends_with("no change to the previously active ACL rules was performed"), "{why}");
    assert_eq!(server.good("ACL USERS").texts(), ["bob", "default", "eve"]);
    server.write_file("users.acl", (saved.join("\n") + "\n").as_bytes());
    server.good("ACL LOAD");
    assert_eq!(list(&server), saved);
    server.good("CONFIG REWRITE");
    let text = String::from_utf8_lossy(&server.read_file("redis.conf")).into_owned();
    assert!(!text.contains("\nuser "), "{text}");
    server.stop();
    server.start_again();
    assert_eq!(list(&server), saved);
}

fn users_that_cannot_be_stop_the_start(kind: Kind) {
    for (lines, why) in [
        (&["user ann on ~* ~x"][..], "Adding a pattern after the * pattern"),
        (&["user ann on", "user ann off"], "Duplicate user found"),
        (&["user ann on +nope"], "Unknown command or category name in ACL"),
        (&["user ann on", "aclfile users.acl"], "but not both"),
        (&["aclfile nowhere.acl"], "No such file or directory"),
    ] {
        let builder = lines.iter().fold(Server::of(kind), |builder, line| builder.set(line));
        let failed = builder.start_and_fail();
        assert_eq!(failed.status.code(), Some(1), "{lines:?}: {}", failed.output());
        assert!(failed.output().contains(why), "{lines:?}: {}", failed.output());
    }
}

/// Rules were looked up before commands had got their other names, which were never given to them then.
fn rules_name_commands_as_they_are_called_in_the_table(kind: Kind) {
    let server =
        Server::of(kind).set("rename-command GET fetch").set("user ann on nopass ~k +get").start();
    let mut client = server.client();
    client.args(&["AUTH", "ann", "x"]);
    assert!(!client.run("FETCH k").is_error());
    assert!(client.run("GET k").error().starts_with("ERR unknown command"));
    assert!(client.run("FETCH other").error().starts_with("NOPERM"));
}

fn a_replica_needs_few_rights(m: Kind, r: Kind) {
    let master = Server::of(m).set("user repl on >rp +psync +replconf +ping").start();
    master.good("SET k before");
    let replica =
        Server::of(r).set("masteruser repl").set("masterauth rp").replica_of(&master).start();
    wait_equal(&master, &replica);
    // Its user is removed, and its connection with it; it comes back when there is one again.
    master.good("ACL DELUSER repl");
    testkit::wait_until(testkit::LONG, "the replica is gone", || {
        master.info("replication").text("connected_slaves") == "0"
    });
    master.good("SET k after");
    master.good("ACL SETUSER repl on >rp +psync +replconf +ping");
    wait_equal(&master, &replica);
    assert_eq!(replica.good("GET k").text(), "after");
}

each_server! {
    users_survive_a_rewrite_and_a_restart,
    a_file_of_users_is_loaded_and_saved_whole,
    users_that_cannot_be_stop_the_start,
    rules_name_commands_as_they_are_called_in_the_table,
}

pairings! { a_replica_needs_few_rights }
