//! Every row of the table with wrong values, made by its kind: each is refused, with the line's place and text,
//! what is wrong and what was expected. A row with a grammar of its own has its wrong values here.

use super::super::values::Number;
use super::*;

/// Wrong words for the directives whose own code judges them.
const OF_SPECIAL_ROWS: [(&str, &[&str]); 16] = [
    ("appenddirname", &["a/b", "\"\""]),
    ("appendfilename", &["a/b", "\"\""]),
    ("bind", &["1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7"]),
    ("client-output-buffer-limit", &["zzz 0 0 0", "normal 0 0", "normal 1x 0 0", "replica 0 0 -1"]),
    ("cluster-announce-hostname", &["a_b"]),
    ("dbfilename", &["a/b"]),
    ("dir", &["/no/such/folder", "/dev/null"]),
    ("latency-tracking-info-percentiles", &["zzz", "-1", "101"]),
    ("metrics-bind", &["1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7"]),
    ("notify-keyspace-events", &["j"]),
    ("oom-score-adj-values", &["0 200", "0 200 zzz", "0 200 2001"]),
    ("proc-title-template", &["{zzz}"]),
    ("replicaof", &["zzz", "h -1", "h 65536", "h zzz"]),
    ("save", &["1", "zzz 1", "1 zzz", "0 1", "60 -1"]),
    ("shutdown-on-sigint", &["zzz", "save zzz"]),
    ("shutdown-on-sigterm", &["zzz", "save zzz"]),
];

/// Values that nothing of this kind takes.
fn wrong_words(row: &Directive) -> Vec<String> {
    let own = OF_SPECIAL_ROWS.iter().filter(|(name, _)| *name == row.name);
    let mut words: Vec<String> = own.flat_map(|(_, words)| *words).map(|w| (*w).into()).collect();
    match &row.kind {
        Kind::Bool { .. } => words.extend(["\"\"", "1", "true", "yess"].map(String::from)),
        Kind::Choice { .. } => words.extend(["\"\"", "zzz", "0"].map(String::from)),
        Kind::Number { number, min, max, .. } => {
            words.extend(["zzz", "1x", "-", "0x1g", "1.5", "--1"].map(String::from));
            if *number == Number::int {
                words.push("\"\"".into());
            }
            words.extend(
                [min - 1, max + 1].into_iter().filter_map(|beyond| in_a_file(*number, beyond)),
            );
        }
        Kind::Text { .. } | Kind::Secret { .. } => {}
        Kind::Special { .. } => assert!(!words.is_empty(), "{}: give it a wrong value", row.name),
    }
    if !row.flags.has(Flags::MULTI_ARG) {
        words.extend(["".into(), "one two".into()]);
    }
    words
}

/// A number as it is written; none where it does not fit into the 64 bits that a file's have.
fn in_a_file(number: Number, value: i128) -> Option<String> {
    match number {
        Number::memory => u64::try_from(value).ok().map(|n| n.to_string()),
        _ => i64::try_from(value).ok().map(|n| number.print(n.into())),
    }
}

#[test]
fn every_directive_refuses_what_it_cannot_take_and_says_what_it_can() {
    let mut tried = 0;
    for row in directives() {
        for words in wrong_words(row) {
            let line = format!("{} {words}", row.name);
            let line = line.trim_end();
            let error = with_text(&format!("# first\n{line}\n")).expect_err(line);
            assert!(error.contains(&format!("at line 2\n>>> '{line}'\n")), "{line}: {error}");
            assert!(error.contains(&format!("Expected: {}", row.usage())), "{line}: {error}");
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}

/// As CONFIG SET each is refused, too, by the directive's name, and nothing has changed.
#[test]
fn config_set_refuses_the_same_values_and_names_the_directive() {
    let before = Config::default();
    let caller = Caller { local: true, loading: false };
    for row in directives().filter(|row| !row.flags.has(Flags::MULTI_ARG)) {
        for words in wrong_words(row).iter().filter(|w| !w.contains(' ') && !w.is_empty()) {
            let mut config = before.clone();
            let value = words.trim_matches('"');
            let pairs: &[(&[u8], &[u8])] = &[(row.name.as_bytes(), value.as_bytes())];
            let error = config.set_pairs(pairs, caller).expect_err(row.name).to_string();
            assert!(error.contains(&format!("'{}'", row.name)), "{value}: {error}");
            assert_eq!(config, before, "{} {value}", row.name);
        }
    }
}
