//! What a server without a cluster and without modules answers: clients go by it at start-up.

mod common;

use common::{Database, script, words};
use engine::settings::Guard;

const NO_CLUSTER: &str = "-ERR This instance has cluster support disabled\r\n";

#[test]
fn there_is_no_cluster_whoever_asks() {
    let mut db = Database::new();
    let c = db.connect();
    for command in [
        "CLUSTER INFO",
        "CLUSTER NODES",
        "CLUSTER KEYSLOT foo",
        "CLUSTER HELP",
        "CLUSTER MYSHARDID",
        "CLUSTER RESET HARD",
        "READONLY",
        "READWRITE",
        "ASKING",
    ] {
        assert_eq!(db.run(c, command), NO_CLUSTER, "{command}");
    }
    script(
        "CLUSTER KEYSLOT => -ERR wrong number of arguments for 'cluster|keyslot' command
         CLUSTER => -ERR wrong number of arguments for 'cluster' command
         CLUSTER NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.",
    );
    let listed = words(&db.run(c, "COMMAND LIST FILTERBY PATTERN cluster|*"));
    assert_eq!(listed.split(' ').count(), 1 + 28, "{listed}");
}

#[test]
fn modules_are_loaded_nowhere() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(db.run(c, "MODULE LIST"), "*0\r\n");
    for command in ["MODULE LOAD x.so", "MODULE LOADEX x.so ARGS 1", "MODULE UNLOAD x"] {
        let reply = db.run(c, command);
        assert!(reply.starts_with("-ERR MODULE command not allowed."), "{command}: {reply}");
    }
    db.engine.settings.enable_module_command = Guard::Yes;
    for (command, reply) in [
        ("MODULE LOAD x.so", "-ERR Error loading the extension. Please check the server logs."),
        ("MODULE UNLOAD x", "-ERR Error unloading module: no such module with that name"),
        ("MODULE LOAD", "-ERR wrong number of arguments for 'module|load' command"),
    ] {
        assert_eq!(words(&db.run(c, command)), reply);
    }
}

#[test]
fn pictures_have_the_size_that_is_asked_for_within_bounds() {
    let mut db = Database::new();
    let c = db.connect();
    let version = "Redis ver. 7.2.4\n\r\n";
    let mut picture = |args: &str| db.run(c, &format!("LOLWUT{args}"));
    for args in ["", " 1 2 3", " VERSION", " VERSION 99", " VERSION 99 x"] {
        assert_eq!(picture(args), format!("$17\r\n{version}"), "{args}");
    }
    for args in [" VERSION x", " VERSION 5 x", " version 6 1 x"] {
        assert_eq!(picture(args), "-ERR value is not an integer or out of range\r\n", "{args}");
    }
    for (args, columns) in [(" VERSION 5", 66), (" VERSION 5 10", 10), (" VERSION 5 99999", 1000)] {
        let picture = picture(args);
        assert_eq!(picture.matches('~').count(), columns, "{args}");
        assert!(picture.ends_with(version), "{picture}");
    }
    assert!(picture(" VERSION 6 4 3 x").contains("\r\n"));
    let tall = picture(" VERSION 6 2 9999").lines().count();
    assert!((1000..1020).contains(&tall), "{tall}");
    assert_eq!(picture(" VERSION 5 -7").matches('~').count(), 0);
}
