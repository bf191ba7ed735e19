//! COMMAND: what clients learn of the table, in the shapes that their parsers expect.

mod common;

use common::Database;

#[test]
fn a_row_is_told_as_redis_tells_it() {
    let mut db = Database::new();
    let c = db.connect();
    let get = "*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
               *3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n\
               *1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n\
               $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n\
               *2\r\n$5\r\nindex\r\n:1\r\n\
               $9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n\
               *6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n";
    assert_eq!(db.run(c, "COMMAND INFO get nosuch"), format!("*2\r\n{get}$-1\r\n"));
    db.run(c, "HELLO 3");
    let reply = db.run(c, "COMMAND INFO get nosuch");
    assert!(reply.starts_with("*2\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n"));
    assert!(reply.ends_with("~0\r\n_\r\n"));
}

#[test]
fn keys_are_found_with_what_happens_to_them() {
    let mut db = Database::new();
    let c = db.connect();
    for (command, answer) in [
        ("GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("GETKEYS ZUNIONSTORE d 2 a b", "*3\r\n$1\r\nd\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("GETKEYS ZUNIONSTORE d 3 a b", "-ERR Invalid arguments specified for command\r\n"),
        ("GETKEYS ZUNIONSTORE d 0 a b", "-ERR Invalid arguments specified for command\r\n"),
        ("GETKEYS PING x", "-ERR The command has no key arguments\r\n"),
        ("GETKEYS SPUBLISH c x", "-ERR The command has no key arguments\r\n"),
        ("GETKEYS PFMERGE d", "-ERR Invalid arguments specified for command\r\n"),
        ("GETKEYS XREAD STREAMS a b 0", "*1\r\n$1\r\na\r\n"),
        ("GETKEYS GET", "-ERR Invalid number of arguments specified for command\r\n"),
        ("GETKEYS NOSUCH x", "-ERR Invalid command specified\r\n"),
        ("GETKEYSANDFLAGS SET a b", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n"),
        (
            "GETKEYSANDFLAGS SET a b GET",
            "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update\r\n",
        ),
        (
            "GETKEYSANDFLAGS SORT a STORE b",
            "*2\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access\r\n\
             *2\r\n$1\r\nb\r\n*2\r\n+OW\r\n+update\r\n",
        ),
        (
            "GETKEYSANDFLAGS RENAMENX a b",
            "*2\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+delete\r\n\
             *2\r\n$1\r\nb\r\n*2\r\n+OW\r\n+insert\r\n",
        ),
    ] {
        assert_eq!(db.run(c, &format!("COMMAND {command}")), answer, "{command}");
    }
}

#[test]
fn names_are_listed_by_category_and_pattern() {
    let mut db = Database::new();
    let c = db.connect();
    let categories = db.run(c, "COMMAND LIST FILTERBY ACLCAT transaction");
    assert_eq!(categories.matches('$').count(), 5, "{categories}");
    let pattern = db.run(c, "COMMAND LIST FILTERBY PATTERN config|re*");
    assert_eq!(pattern, "*2\r\n$14\r\nconfig|rewrite\r\n$16\r\nconfig|resetstat\r\n");
    assert_eq!(db.run(c, "COMMAND LIST FILTERBY MODULE x"), "*0\r\n");
    assert_eq!(db.run(c, "COMMAND LIST FILTERBY x y"), "-ERR syntax error\r\n");
    let count = db.run(c, "COMMAND COUNT");
    assert!(db.run(c, "COMMAND").starts_with(&count.replace(':', "*")));
}

#[test]
fn docs_have_a_summary_a_version_a_group_and_subcommands() {
    let mut db = Database::new();
    let c = db.connect();
    assert_eq!(
        db.run(c, "COMMAND DOCS client|id nosuch"),
        "*2\r\n$9\r\nclient|id\r\n*6\r\n\
         $7\r\nsummary\r\n$47\r\nReturns the unique client ID of the connection.\r\n\
         $5\r\nsince\r\n$5\r\n5.0.0\r\n$5\r\ngroup\r\n$10\r\nconnection\r\n"
    );
    assert!(db.run(c, "COMMAND DOCS").contains("$11\r\nsubcommands\r\n"));
}

#[test]
fn the_arguments_are_told_from_which_clients_make_hints() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "HELLO 3");
    let reply = db.run(c, "COMMAND DOCS persist expire");
    let words: Vec<&str> = reply.split("\r\n").filter(|w| !w.starts_with('$')).collect();
    let persist = "%2 persist %4 summary";
    assert!(words.join(" ").starts_with(persist), "{words:?}");
    let key = "arguments *1 %4 name key type key display_text key key_spec_index :0";
    assert!(words.join(" ").contains(key), "{words:?}");
    let nx = "arguments *4 %4 name nx type pure-token display_text nx token NX";
    assert!(words.join(" ").contains(nx), "{words:?}");
    let condition = "%5 name condition type oneof since 7.0.0 flags ~1 +optional arguments";
    assert!(words.join(" ").contains(condition), "{words:?}");
}
