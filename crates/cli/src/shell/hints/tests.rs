//! Hints and completions, over a few commands of every shape.

use super::super::docs::Version;
use super::super::docs::tests::{block, one_of, optional, token, value};
use super::*;

fn with_token(word: &str, argument: Argument) -> Argument {
    Argument { token: Some(word.into()), ..argument }
}

fn many(argument: Argument) -> Argument {
    Argument { multiple: true, ..argument }
}

fn once_only(argument: Argument) -> Argument {
    Argument { multiple: false, ..argument }
}

fn int(name: &str) -> Argument {
    Argument { kind: Kind::Integer, ..value(name) }
}

fn double(name: &str) -> Argument {
    Argument { kind: Kind::Double, ..value(name) }
}

fn since(version: &str, argument: Argument) -> Argument {
    Argument { since: Some(version.into()), ..argument }
}

fn docs() -> Docs {
    let doc = |name: &str, group: &str, arguments| CommandDoc {
        name: name.into(),
        group: group.into(),
        arguments,
        ..CommandDoc::default()
    };
    // A jar's label, and what may be done with it.
    let expiry = one_of(vec![
        with_token("IN", int("seconds")),
        with_token("AT", int("moment")),
        token("NEVER"),
        since("9.1.0", with_token("ON", value("weekday"))),
    ]);
    let get = with_token("GET", block(vec![value("kind"), int("offset")]));
    let by = one_of(vec![token("SIZE"), with_token("NAME", value("letter"))]);
    let limit = once_only(with_token("LIMIT", block(vec![int("first"), int("count")])));
    let most = once_only(block(vec![with_token("MOST", int("n")), optional(token("ANY"))]));
    let trim = once_only(block(vec![
        one_of(vec![token("LEN"), token("ID")]),
        optional(one_of(vec![token("="), token("~")])),
        value("threshold"),
        optional(with_token("LIMIT", int("count"))),
    ]));
    let jar = |rest: Vec<Argument>| [vec![value("jar")], rest].concat();
    let mut docs = Docs {
        commands: vec![
            doc("CONFIG", "server", vec![]),
            doc("CONFIG GET", "server", vec![many(value("parameter"))]),
            doc("DEL", "generic", vec![many(value("key"))]),
            doc(
                "FILL",
                "jar",
                jar(vec![
                    value("value"),
                    optional(one_of(vec![token("NX"), token("XX")])),
                    optional(token("GET")),
                    optional(expiry),
                ]),
            ),
            doc(
                "LOOK",
                "jar",
                jar(vec![
                    optional(Argument { multiple_token: true, ..get }),
                    optional(token("ALPHA")),
                    optional(with_token("BY", by)),
                ]),
            ),
            doc("MOVE", "jar", jar(vec![many(value("shelf")), double("timeout")])),
            doc(
                "PACK",
                "jar",
                jar(vec![
                    optional(token("SOFT")),
                    optional(trim),
                    value("id"),
                    block(vec![value("field"), value("value")]),
                ]),
            ),
            doc(
                "RAND",
                "jar",
                jar(vec![optional(once_only(block(vec![
                    int("count"),
                    optional(token("WITHSIZES")),
                ])))]),
            ),
            doc(
                "SEEK",
                "jar",
                jar(vec![
                    double("weight"),
                    optional(token("REV")),
                    optional(most),
                    optional(limit),
                    since("9.1.0", optional(token("TASTE"))),
                ]),
            ),
            doc(
                "ZADD",
                "zset",
                vec![
                    value("key"),
                    optional(token("CH")),
                    optional(token("INCR")),
                    block(vec![double("score"), value("member")]),
                ],
            ),
            doc("SEND", "jar", vec![one_of(vec![value("key"), with_token("", token("none"))])]),
        ],
    };
    docs.mark_newer_than(Version::of("7.2.4"));
    docs
}

fn hint(line: &str) -> Option<String> {
    missing(&docs(), line)
}

#[track_caller]
fn assert_hints(cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        assert_eq!(hint(line).as_deref(), Some(*expected), "{line:?}");
    }
}

#[test]
fn a_hint_is_what_is_missing_behind_the_words_that_are_done() {
    assert_hints(&[
        ("fill ", "jar value [NX|XX] [GET] [IN seconds|AT moment|NEVER]"),
        ("FILL k", "jar value [NX|XX] [GET] [IN seconds|AT moment|NEVER]"),
        ("FILL k ", "value [NX|XX] [GET] [IN seconds|AT moment|NEVER]"),
        ("fill \"two words\" v ", "[NX|XX] [GET] [IN seconds|AT moment|NEVER]"),
        ("del ", "key [key ...]"),
        ("del a ", "[key ...]"),
        ("del a b c", "[key ...]"),
        ("config get ", "parameter [parameter ...]"),
        ("send ", "key|\"\""),
    ]);
}

#[test]
fn options_come_in_any_order_and_vanish_when_given() {
    assert_hints(&[
        ("fill k v get ", "[NX|XX] [IN seconds|AT moment|NEVER]"),
        ("fill k v IN", "[NX|XX] [GET] [IN seconds|AT moment|NEVER]"),
        ("fill k v in ", "seconds [NX|XX] [GET]"),
        ("fill k v in 3 ", "[NX|XX] [GET]"),
        ("fill k v in 3 xx ", "[GET]"),
        ("fill k v never get nx ", ""),
        ("seek k 2.5 limit 0 ", "count [REV] [MOST n [ANY]]"),
    ]);
}

#[test]
fn what_has_begun_is_ended_first_and_forgotten_behind_the_next_option() {
    assert_hints(&[
        ("seek k -1e3 most ", "n [ANY] [REV] [LIMIT first count]"),
        ("seek k .5 most 3 ", "[ANY] [REV] [LIMIT first count]"),
        ("seek k inf most 3 any ", "[REV] [LIMIT first count]"),
        ("seek k 1 most 3 rev ", "[LIMIT first count]"),
        ("rand k ", "[count [WITHSIZES]]"),
        ("rand k 3 ", "[WITHSIZES]"),
        ("rand k 3 withsizes ", ""),
    ]);
}

#[test]
fn options_are_no_more_to_come_behind_what_must_follow_them() {
    assert_hints(&[
        ("zadd z ", "[CH] [INCR] score member [score member ...]"),
        ("zadd z incr ", "[CH] score member [score member ...]"),
        ("zadd z 1 ", "member [score member ...]"),
        ("zadd z ch 1 a ", "[score member ...]"),
        ("zadd z ch 1 a 2 ", "member [score member ...]"),
        ("pack k len ", "[=|~] threshold [LIMIT count] [SOFT] id field value [field value ...]"),
        ("pack k len ~ ", "threshold [LIMIT count] [SOFT] id field value [field value ...]"),
        ("pack k len 5 ", "[LIMIT count] [SOFT] id field value [field value ...]"),
        ("pack k soft len 5 limit 2 i f ", "value [field value ...]"),
    ]);
}

#[test]
fn what_repeats_goes_on_from_where_it_is() {
    assert_hints(&[
        ("look k ", "[GET kind offset [GET kind offset ...]] [ALPHA] [BY SIZE|NAME letter]"),
        ("look k by name z get ", "kind offset [GET kind offset ...]] [ALPHA]"),
        ("look k by name z get u8 ", "offset [GET kind offset ...]] [ALPHA]"),
        ("look k by name z get u8 3 ", "[GET kind offset ...]] [ALPHA]"),
        ("look k alpha get u8 3 get i5 ", "offset [GET kind offset ...]] [BY SIZE|NAME letter]"),
        // Others may stand between.
        ("look k get u8 3 alpha ", "[BY SIZE|NAME letter]"),
        ("look k get u8 3 alpha get i5 ", "offset [GET kind offset ...]] [BY SIZE|NAME letter]"),
        ("look k by ", "SIZE|NAME letter [GET kind offset [GET kind offset ...]] [ALPHA]"),
        ("look k get u8 3 alpha by name ", "letter"),
        // All words that fit are taken, as nobody knows which is the last.
        ("move k a 5 ", "[shelf ...] timeout"),
    ]);
}

#[test]
fn where_words_do_not_fit_there_is_nothing_to_hint() {
    assert_hints(&[
        ("fill k v nonsense ", ""),
        ("fill k v nonsense", "[NX|XX] [GET] [IN seconds|AT moment|NEVER]"),
        ("fill k v in soon ", ""),
        ("seek k heavy ", ""),
        ("zadd z 1 m x ", ""),
        ("rand k many ", ""),
        ("config ", ""),
        ("config nosuch ", ""),
    ]);
    for line in ["", " ", "fill", "nosuch ", "fill \"open ", "fill 'open"] {
        assert_eq!(hint(line), None, "{line:?}");
    }
}

#[test]
fn what_is_newer_than_the_server_is_understood_but_not_suggested() {
    assert_hints(&[
        ("fill k v on ", "weekday [NX|XX] [GET]"),
        ("fill k v on friday ", "[NX|XX] [GET]"),
        ("seek k 1 taste ", "[REV] [MOST n [ANY]] [LIMIT first count]"),
    ]);
    let mut docs = docs();
    docs.mark_newer_than(Version::of("10.0"));
    let hint = missing(&docs, "seek k 1 ").unwrap();
    assert!(hint.ends_with("[LIMIT first count] [TASTE]"), "{hint}");
}

#[test]
fn names_and_for_help_groups_are_completed() {
    assert_eq!(completions(&docs(), "con"), (0, vec!["CONFIG".into(), "CONFIG GET".into()]));
    assert_eq!(completions(&docs(), "help @z"), (5, vec!["@zset".into()]));
    assert_eq!(completions(&docs(), "help  de"), (6, vec!["DEL".into()]));
    assert_eq!(completions(&docs(), "hélp"), (0, vec![]));
}
