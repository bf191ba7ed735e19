//! What can still be typed: the arguments that a command misses, and the names that a word begins.
//!
//! Must not: touch the terminal.

use super::docs::{Argument, CommandDoc, Docs, Kind};

/// What the command lacks behind what was typed, if a command was.
pub(super) fn missing(docs: &Docs, line: &str) -> Option<String> {
    let words = protocol::split_args(line.as_bytes())?;
    let words: Vec<String> =
        words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let (doc, len) = command(docs, &words)?;
    let hint = rest(&doc.arguments, &words[len..]).filter(|hint| !hint.is_empty())?;
    let is_word_done = line.ends_with(|c: char| c.is_ascii_whitespace());
    Some(if is_word_done { hint } else { format!(" {hint}") })
}

/// Where completion begins in the line, and what can stand there.
pub(super) fn completions(docs: &Docs, line: &str) -> (usize, Vec<String>) {
    let help = line.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case("help "));
    let start = if help { line.len() - line[5..].trim_start().len() } else { 0 };
    let typed = line[start..].to_uppercase();
    let names = docs.commands.iter().map(|doc| doc.name.clone());
    let groups = docs.groups().into_iter().filter(|_| help).map(|group| format!("@{group}"));
    let fits = |name: &String| name.to_uppercase().starts_with(&typed);
    (start, groups.chain(names).filter(fits).collect())
}

/// The command with the most words that the line begins with.
fn command<'d>(docs: &'d Docs, words: &[String]) -> Option<(&'d CommandDoc, usize)> {
    let fits = |doc: &&CommandDoc| {
        let mut typed = words.iter();
        doc.name.split(' ').all(|name| typed.next().is_some_and(|w| w.eq_ignore_ascii_case(name)))
    };
    let len = |doc: &CommandDoc| doc.name.split(' ').count();
    let doc = docs.commands.iter().filter(fits).max_by_key(|doc| len(doc))?;
    Some((doc, len(doc)))
}

/// How an argument takes words.
enum Taken {
    /// It cannot begin with the next word.
    No,
    /// So many words are all of it; it may be had again.
    All(usize),
    /// The words end amidst of it: what is missing.
    Part(String),
}

/// The arguments that are not typed yet. `None`: the words do not fit.
fn rest(arguments: &[Argument], mut words: &[String]) -> Option<String> {
    let mut left: Vec<String> = Vec::new();
    let mut i = 0;
    while i < arguments.len() {
        if !arguments[i].optional {
            match take_all(&arguments[i], words) {
                Taken::All(len) if len > 0 => {
                    words = &words[len..];
                    if arguments[i].multiple && words.is_empty() {
                        left.push(again(&arguments[i]));
                    }
                }
                Taken::Part(hint) => {
                    words = &[];
                    left.push(hint);
                }
                _ if words.is_empty() => left.push(arguments[i].syntax()),
                _ => return None,
            }
            i += 1;
            continue;
        }
        // Options come in any order.
        let len = arguments[i..].iter().take_while(|argument| argument.optional).count();
        let (hints, rest) = take_options(&arguments[i..i + len], words);
        words = rest;
        left.extend(hints);
        i += len;
    }
    words.is_empty().then(|| left.join(" "))
}

/// What remains of options, and the words behind those that were given.
fn take_options<'w>(options: &[Argument], mut words: &'w [String]) -> (Vec<String>, &'w [String]) {
    let mut open: Vec<&Argument> = options.iter().collect();
    let mut hints = Vec::new();
    'words: while !words.is_empty() {
        for (i, option) in open.iter().enumerate() {
            match take_all(option, words) {
                Taken::All(len) if len > 0 => {
                    words = &words[len..];
                    if option.multiple && words.is_empty() {
                        hints.push(again(option));
                    }
                    open.remove(i);
                    continue 'words;
                }
                Taken::Part(hint) => {
                    words = &[];
                    hints.push(hint);
                    open.remove(i);
                    continue 'words;
                }
                _ => {}
            }
        }
        break;
    }
    // What stands before words that were typed is no more to come.
    if words.is_empty() {
        hints.extend(open.into_iter().map(Argument::syntax));
    }
    (hints, words)
}

/// How one that can be repeated goes on.
fn again(argument: &Argument) -> String {
    let once = Argument { multiple: false, optional: false, ..argument.clone() };
    let once = if argument.multiple_token { once } else { Argument { token: None, ..once } };
    format!("[{} ...]", once.syntax())
}

/// An argument as often as it is there.
fn take_all(argument: &Argument, words: &[String]) -> Taken {
    let mut taken = 0;
    loop {
        let needs_token = taken == 0 || argument.multiple_token;
        match take(argument, &words[taken..], needs_token) {
            Taken::All(len) if len > 0 => taken += len,
            Taken::Part(hint) => return Taken::Part(hint),
            _ if taken == 0 => return Taken::No,
            _ => return Taken::All(taken),
        }
        if !argument.multiple || taken == words.len() {
            return Taken::All(taken);
        }
    }
}

fn take(argument: &Argument, words: &[String], needs_token: bool) -> Taken {
    let Some(first) = words.first() else { return Taken::No };
    let mut begin = 0;
    if let Some(token) = argument.token.as_ref().filter(|_| needs_token) {
        if !first.eq_ignore_ascii_case(token) {
            return Taken::No;
        }
        begin = 1;
    }
    let behind = &words[begin..];
    let once = Argument { optional: false, multiple: false, token: None, ..argument.clone() };
    match argument.kind {
        Kind::PureToken => Taken::All(begin),
        _ if behind.is_empty() => Taken::Part(once.syntax()),
        Kind::Value => Taken::All(begin + 1),
        Kind::OneOf => {
            let mut choices = argument.parts.iter().map(|part| take_all(part, behind));
            match choices.find(|taken| !matches!(taken, Taken::No)) {
                Some(Taken::All(len)) => Taken::All(begin + len),
                Some(part) => part,
                None => Taken::No,
            }
        }
        Kind::Block => take_block(&argument.parts, behind, begin),
    }
}

fn take_block(parts: &[Argument], words: &[String], mut taken: usize) -> Taken {
    let begin = taken;
    for (i, part) in parts.iter().enumerate() {
        match take_all(part, &words[taken - begin..]) {
            Taken::All(len) => taken += len,
            Taken::Part(hint) => {
                let later = parts[i + 1..].iter().map(Argument::syntax);
                let hints: Vec<String> = std::iter::once(hint).chain(later).collect();
                return Taken::Part(hints.join(" "));
            }
            Taken::No if part.optional => {}
            Taken::No if taken - begin == words.len() => {
                let later: Vec<String> = parts[i..].iter().map(Argument::syntax).collect();
                return Taken::Part(later.join(" "));
            }
            Taken::No => return Taken::No,
        }
    }
    Taken::All(taken)
}

#[cfg(test)]
mod tests {
    use super::super::docs::tests::{block, one_of, optional, token, value};
    use super::*;

    fn docs() -> Docs {
        let doc = |name: &str, group: &str, arguments| CommandDoc {
            name: name.into(),
            group: group.into(),
            arguments,
            ..CommandDoc::default()
        };
        let expiry = Argument { token: Some("EX".into()), ..value("seconds") };
        let keys = Argument { multiple: true, ..value("key") };
        Docs {
            commands: vec![
                doc("CONFIG", "server", vec![]),
                doc(
                    "CONFIG GET",
                    "server",
                    vec![Argument { multiple: true, ..value("parameter") }],
                ),
                doc("DEL", "generic", vec![keys]),
                doc(
                    "SET",
                    "string",
                    vec![
                        value("key"),
                        value("value"),
                        optional(one_of(vec![token("NX"), token("XX")])),
                        optional(token("GET")),
                        optional(expiry),
                    ],
                ),
                doc(
                    "ZADD",
                    "zset",
                    vec![
                        value("key"),
                        optional(token("CH")),
                        block(vec![value("score"), value("member")]),
                    ],
                ),
            ],
        }
    }

    fn hint(line: &str) -> Option<String> {
        missing(&docs(), line)
    }

    #[test]
    fn a_hint_is_what_is_missing() {
        for (line, expected) in [
            ("set", " key value [NX|XX] [GET] [EX seconds]"),
            ("set ", "key value [NX|XX] [GET] [EX seconds]"),
            ("SET k", " value [NX|XX] [GET] [EX seconds]"),
            ("set k v get ", "[NX|XX] [EX seconds]"),
            ("set k v ex ", "seconds [NX|XX] [GET]"),
            ("set k v ex 3 xx", " [GET]"),
            ("del a ", "[key ...]"),
            ("config get ", "parameter [parameter ...]"),
            ("zadd z 1 ", "member"),
            ("zadd z ch 1 a ", "[score member ...]"),
        ] {
            assert_eq!(hint(line).as_deref(), Some(expected), "{line:?}");
        }
        for line in ["", "config", "nosuch ", "set k v nonsense ", "set \"open"] {
            assert_eq!(hint(line), None, "{line:?}");
        }
    }

    #[test]
    fn names_and_for_help_groups_are_completed() {
        assert_eq!(completions(&docs(), "con"), (0, vec!["CONFIG".into(), "CONFIG GET".into()]));
        assert_eq!(completions(&docs(), "help @z"), (5, vec!["@zset".into()]));
        assert_eq!(completions(&docs(), "help  de"), (6, vec!["DEL".into()]));
        assert_eq!(completions(&docs(), "hélp"), (0, vec![]));
    }
}
