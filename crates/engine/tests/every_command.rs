//! Every row of the table of commands is called here once, and answers what it should: a row that no test has
//! reached would be found by a user. The calls are data, in `every_command.txt`; what they answer was
//! taken from Redis. Where the world has a say, this one says +OK to all.

mod common;

use std::collections::BTreeSet;

use common::{Database, words};
use engine::Settings;
use engine::settings::Guard;

const TABLE: &str = include_str!("every_command.txt");

const FUNC: &str = "function load #!lua|name=lib\\nredis.register_function{function_name='f',callback=function(k,a)return|a[1]end,flags={'no-writes'}}";
const GEO: &str = "geoadd g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania";
const XG: &str = "xadd s 1-1 f v ;; xgroup create s g 0 ;; xreadgroup group g ann streams s >";

/// The calls of a line, and what the last one answers.
fn calls(line: &str) -> (Vec<Vec<Vec<u8>>>, &str) {
    let (calls, expected) = line.split_once(" =>").expect("a call and its answer");
    let calls = calls.replace("FUNC", FUNC).replace("GEO", GEO).replace("XG", XG);
    let argument =
        |word: &str| word.replace('|', " ").replace("\\n", "\n").replace("\\0", "\0").into_bytes();
    let split = |call: &str| call.split(' ').map(argument).collect();
    (calls.split(" ;; ").map(split).collect(), expected.trim_start())
}

fn lines() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

fn database() -> Database {
    let mut db = Database::with(Settings {
        enable_debug_command: Guard::Yes,
        enable_module_command: Guard::Yes,
        ..Settings::default()
    });
    db.world.acl_file = Some(String::new());
    db
}

#[test]
fn every_command_answers_what_it_should() {
    let mut wrong = Vec::new();
    for line in lines() {
        let mut db = database();
        let c = db.connect();
        let (calls, expected) = calls(line);
        let mut reply = String::new();
        for call in &calls {
            let call: Vec<&[u8]> = call.iter().map(Vec::as_slice).collect();
            reply = db.run_args(c, &call);
        }
        let reply = words(&reply);
        let fits = match expected.strip_suffix('…') {
            Some(start) => reply.starts_with(start),
            None => reply == expected,
        };
        if !fits {
            wrong.push(format!("{line}\n    {reply}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_table_has_a_line() {
    let mut db = database();
    let c = db.connect();
    let reply = words(&db.run(c, "COMMAND LIST"));
    let rows: BTreeSet<&str> = reply.split(' ').skip(1).collect();
    let mut missing = rows.clone();
    for line in lines() {
        let (calls, _) = calls(line);
        let call = calls.last().expect("a call").iter();
        let words: Vec<String> =
            call.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        // Who reaches a subcommand comes by its container.
        let named = words.get(1).map(|sub| format!("{}|{sub}", words[0])).unwrap_or_default();
        missing.remove(named.as_str());
        missing.remove(words[0].as_str());
        assert!(rows.contains(words[0].as_str()), "{line}: no such row");
    }
    assert!(missing.is_empty(), "no line of every_command.txt reaches {missing:?}");
}
