//! What can still be typed: the arguments that a command misses, and the names that a word begins.
//!
//! Must not: touch the terminal, or ask the server.

use super::docs::{Argument, CommandDoc, Docs, Kind};

/// What the command lacks behind the words that are done; `None` where no command was typed. The last
/// word counts when something stands behind it: until then nobody knows what it is to become.
pub(super) fn missing(docs: &Docs, line: &str) -> Option<String> {
    let mut words = protocol::split_args(line.as_bytes())?;
    if !line.ends_with(|c: char| c.is_ascii_whitespace()) {
        words.pop();
    }
    let words: Vec<String> =
        words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let (doc, len) = command(docs, &words)?;
    let words = &words[len..];
    let taken = in_a_row(&doc.arguments, words).filter(|taken| taken.words == words.len());
    Some(taken.map(|taken| taken.left).unwrap_or_default())
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

/// What words have come to: so many are an argument's, and this may follow of it.
#[derive(Debug, Default)]
struct Taken {
    words: usize,
    left: String,
}

/// Arguments behind each other. `None`: a word stands where a required argument cannot take it.
fn in_a_row(arguments: &[Argument], words: &[String]) -> Option<Taken> {
    let mut taken = 0;
    let mut left: Vec<String> = Vec::new();
    let mut i = 0;
    while i < arguments.len() {
        // Those that may be left out come in any order, up to the next one that may not.
        let options = arguments[i..].iter().take_while(|argument| argument.optional).count();
        let typed = &words[taken..];
        let (len, hints) = match options {
            0 if typed.is_empty() => (0, vec![untyped(&arguments[i])]),
            0 => one(&arguments[i], typed).map(|one| (one.words, vec![one.left]))?,
            _ => in_any_order(&arguments[i..i + options], typed),
        };
        if len > 0 {
            // What stands before a word that was typed is no more to come.
            left.clear();
        }
        taken += len;
        if taken == words.len() || options == 0 {
            left.extend(hints);
        }
        i += options.max(1);
    }
    Some(Taken { words: taken, left: joined(left, " ") })
}

/// How many words are options', and what remains of these: first of the one that was typed last.
fn in_any_order(options: &[Argument], words: &[String]) -> (usize, Vec<String>) {
    let mut typed = vec![false; options.len()];
    let mut taken = 0;
    let mut unfinished = String::new();
    let next = |typed: &[bool], words: &[String]| {
        let may_come = |i: usize| !typed[i] || options[i].multiple_token;
        let mut open = options.iter().enumerate().filter(|(i, _)| may_come(*i));
        open.find_map(|(i, option)| Some((i, one(option, words)?)))
    };
    while let Some((i, one)) = next(&typed, &words[taken..]) {
        taken += one.words;
        unfinished = one.left;
        typed[i] = true;
    }
    let open = options.iter().zip(typed).filter(|(_, typed)| !typed);
    (taken, std::iter::once(unfinished).chain(open.map(|(option, _)| untyped(option))).collect())
}

/// An argument as often as it is there. `None`: it cannot begin with these words, or there are none.
fn one(argument: &Argument, words: &[String]) -> Option<Taken> {
    let Taken { words: mut taken, mut left } = once(argument, words, true)?;
    if !argument.multiple {
        return Some(Taken { words: taken, left });
    }
    while let Some(next) = once(argument, &words[taken..], argument.multiple_token) {
        taken += next.words;
        left = next.left;
    }
    // Where it may be left out, Redis shows the bracket that ends it, although it has begun.
    let end = if argument.optional { "]" } else { "" };
    let token = argument.token.clone().filter(|_| argument.multiple_token);
    let again = untyped(&alone(argument, token));
    let left = joined(vec![left, format!("[{again} ...]{end}")], " ");
    Some(Taken { words: taken, left })
}

fn once(argument: &Argument, words: &[String], with_token: bool) -> Option<Taken> {
    let (first, mut rest) = words.split_first()?;
    let token = argument.token.as_ref().filter(|_| with_token);
    match token {
        Some(token) if !first.eq_ignore_ascii_case(token) => return None,
        Some(_) if argument.kind == Kind::PureToken => {
            return Some(Taken { words: 1, ..Taken::default() });
        }
        Some(_) if rest.is_empty() => {
            return Some(Taken { words: 1, left: untyped(&alone(argument, None)) });
        }
        Some(_) => {}
        None => rest = words,
    }
    let body = match argument.kind {
        Kind::PureToken => None,
        Kind::OneOf => argument.parts.iter().find_map(|part| one(part, rest)),
        Kind::Block => in_a_row(&argument.parts, rest).filter(|taken| taken.words > 0),
        kind => kind.takes(&rest[0]).then(|| Taken { words: 1, ..Taken::default() }),
    }?;
    Some(Taken { words: body.words + usize::from(token.is_some()), ..body })
}

/// What has begun, once and without brackets.
fn alone(argument: &Argument, token: Option<String>) -> Argument {
    Argument { token, optional: false, multiple: false, is_newer: false, ..argument.clone() }
}

/// An argument of which nothing was typed; nothing, where the server is too old for it.
fn untyped(argument: &Argument) -> String {
    known(argument).as_ref().map(Argument::syntax).unwrap_or_default()
}

/// The argument without the parts that are newer than the server says it is.
fn known(argument: &Argument) -> Option<Argument> {
    let parts: Vec<Argument> = argument.parts.iter().filter_map(known).collect();
    let is_empty_group = parts.is_empty() && !argument.parts.is_empty();
    (!argument.is_newer && !is_empty_group).then(|| Argument { parts, ..argument.clone() })
}

fn joined(mut texts: Vec<String>, between: &str) -> String {
    texts.retain(|text| !text.is_empty());
    texts.join(between)
}

#[cfg(test)]
mod tests;
