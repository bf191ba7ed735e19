//! What is known of commands without a server, or with one that has no COMMAND DOCS: `commands.txt`.
//!
//! That file is rendered from the engine's table of commands by a test of the engine, which says how:
//! the tools do not link the engine, and a page of text is smaller than what would come with it.
//!
//! Must not: ask the server.

use std::collections::HashSet;

use protocol::Value;

use super::docs::{Argument, CommandDoc, Docs, Kind, Version, listed};

const TABLE: &str = include_str!("commands.txt");

/// What begins a property of an argument.
const MARKS: [char; 8] = ['#', '=', '?', '*', '+', '~', '@', '!'];

/// What a server has that tells its version, or its names and numbers (COMMAND), or neither.
pub(super) fn docs(version: Option<Version>, list: Option<&Value>) -> Docs {
    let names: Option<HashSet<String>> = list.map(|list| listed(list).flat_map(names).collect());
    let is_old_enough =
        |doc: &CommandDoc| version.is_none() || doc.since.as_deref().map(Version::of) <= version;
    let has = |doc: &CommandDoc| match (&names, doc.name.split_once(' ')) {
        (None, _) => is_old_enough(doc),
        (Some(names), None) => names.contains(&doc.name),
        // Before 7.0, servers did not list subcommands.
        (Some(names), Some((container, _))) => {
            names.contains(&doc.name) || names.contains(container) && is_old_enough(doc)
        }
    };
    let mut docs = Docs { commands: rows().filter(has).collect() };
    docs.sort();
    if let Some(list) = list {
        docs.add_unknown(list);
    }
    docs
}

/// The name of a command that is listed, and those of its subcommands, which are the last field.
fn names((name, fields): (String, &[Value])) -> Vec<String> {
    let subcommands = fields.get(9).into_iter().flat_map(listed);
    let subcommands = subcommands.map(|(name, _)| name.replace('|', " "));
    std::iter::once(name).chain(subcommands).collect()
}

fn rows() -> impl Iterator<Item = CommandDoc> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(CommandDoc {
            name: fields.next()?.to_uppercase().replace('|', " "),
            group: fields.next()?,
            since: fields.next(),
            summary: fields.next()?,
            arguments: arguments(&fields.next().unwrap_or_default()),
        })
    })
}

/// The arguments in a text, which spaces part outside of braces.
fn arguments(text: &str) -> Vec<Argument> {
    let mut depth = 0;
    let between = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ' ' && depth == 0
    };
    text.split(between).filter(|text| !text.is_empty()).map(argument).collect()
}

/// `name:kind` with properties behind it, and what is within in braces.
fn argument(text: &str) -> Argument {
    let (head, within) = text.split_once('{').unwrap_or((text, ""));
    let (name, mut rest) = head.split_once(':').unwrap_or((head, "s"));
    let mut argument = Argument {
        name: name.to_owned(),
        kind: Kind::named(kind(rest)),
        parts: arguments(within.strip_suffix('}').unwrap_or(within)),
        ..Argument::default()
    };
    rest = rest.get(1..).unwrap_or("");
    while let Some(mark) = rest.chars().next() {
        let tail = &rest[mark.len_utf8()..];
        let end = match mark {
            '?' | '*' | '+' => 0,
            // A value may be such a sign itself (`MAXLEN ~ 5`).
            _ => tail.get(1..).and_then(|t| t.find(MARKS)).map_or(tail.len(), |at| at + 1),
        };
        let value = || Some(tail[..end].to_owned());
        match mark {
            '=' => argument.token = value(),
            '?' => argument.optional = true,
            '*' => argument.multiple = true,
            '+' => argument.multiple_token = true,
            '~' => argument.name = tail[..end].to_owned(),
            '@' => argument.since = value(),
            _ => {}
        }
        rest = &tail[end..];
    }
    argument
}

/// A kind's name from its letter, where the name matters here.
fn kind(letter: &str) -> &'static str {
    match letter.as_bytes().first() {
        Some(b'i') => "integer",
        Some(b'u') => "unix-time",
        Some(b'd') => "double",
        Some(b't') => "pure-token",
        Some(b'o') => "oneof",
        Some(b'b') => "block",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(docs: &Docs, name: &str) -> Option<String> {
        docs.commands.iter().find(|doc| doc.name == name).map(CommandDoc::syntax)
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn without_a_server_everything_is_known() {
        let docs = docs(None, None);
        assert!(docs.commands.len() > 300);
        assert_eq!(syntax(&docs, "LPOP").as_deref(), Some("key [count]"));
        assert_eq!(syntax(&docs, "CONFIG GET").as_deref(), Some("parameter [parameter ...]"));
        let xtrim = "key MAXLEN|MINID [=|~] threshold [LIMIT count]";
        assert!(syntax(&docs, "XTRIM").unwrap().starts_with(xtrim));
        let migrate = syntax(&docs, "MIGRATE").unwrap();
        assert!(migrate.starts_with("host port key|\"\" destination-db timeout"), "{migrate}");
        assert!(docs.commands.iter().all(|doc| !doc.summary.is_empty() && !doc.group.is_empty()));
        assert!(docs.commands.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn an_old_server_has_what_its_version_had() {
        let docs = docs(Some(Version::of("2.6.17")), None);
        assert!(syntax(&docs, "HINCRBYFLOAT").is_some());
        assert!(syntax(&docs, "HSTRLEN").is_none());
        assert!(syntax(&docs, "CLIENT LIST").is_some());
        assert!(syntax(&docs, "CLIENT TRACKING").is_none());
    }

    #[test]
    fn a_server_has_what_it_lists() {
        let fields = |name: &str, arity, key| {
            vec![bulk(name), Value::Int(arity), Value::Array(vec![]), Value::Int(key)]
        };
        let row = |name: &str, arity, key| Value::Array(fields(name, arity, key));
        let subcommands = Value::Array(vec![row("client|no-touch", 3, 0)]);
        let nothing = std::iter::repeat_n(Value::Null, 5);
        let client = fields("client", -2, 0).into_iter().chain(nothing).chain([subcommands]);
        let list = Value::Array(vec![
            row("get", 2, 1),
            row("config", -2, 0),
            row("digest", 2, 1),
            row("mod.set", -3, 1),
            Value::Array(client.collect()),
            Value::Int(1),
        ]);
        let docs = docs(Some(Version::of("6.2.0")), Some(&list));
        let names: Vec<&str> = docs.commands.iter().map(|doc| doc.name.as_str()).collect();
        assert!(names.contains(&"CONFIG SET") && names.contains(&"DIGEST"), "{names:?}");
        assert!(!names.contains(&"SET") && !names.contains(&"MEMORY USAGE"), "{names:?}");
        assert!(names.contains(&"CLIENT LIST") && names.contains(&"CLIENT NO-TOUCH"), "{names:?}");
        assert!(!names.contains(&"CLIENT NO-EVICT"), "{names:?}");
        assert_eq!(syntax(&docs, "MOD.SET").as_deref(), Some("key arg ...options..."));
    }
}
