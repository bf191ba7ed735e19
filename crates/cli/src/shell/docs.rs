//! What is known of commands, as help and hints need it: from the server (COMMAND DOCS), or from the
//! table that is built in.
//!
//! Must not: know any command itself.

use std::fmt::Write as _;

use protocol::Value;

/// Arguments may consist of others this deep; what is deeper is cut off.
const DEPTH_MAX: usize = 16;

/// The parts of a version's number, which compare as versions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

impl Version {
    /// From `7.2.4`; parts that are missing are 0, as is what is no number.
    pub(super) fn of(text: &str) -> Self {
        let mut parts = [0; 3];
        for (part, word) in parts.iter_mut().zip(text.trim().split('.')) {
            *part = word.parse().unwrap_or(0);
        }
        Self(parts)
    }

    /// What a server says in INFO that it is: Valkey gives Redis the number of its last common release.
    pub(super) fn of_info(info: &Value) -> Option<Self> {
        let info = text(info)?;
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        field("valkey_version:").or_else(|| field("redis_version:")).map(Self::of)
    }
}

/// All commands and subcommands, sorted by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Docs {
    pub commands: Vec<CommandDoc>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct CommandDoc {
    /// As typed, in capitals: `CONFIG GET`.
    pub name: String,
    pub summary: String,
    pub since: Option<String>,
    pub group: String,
    pub arguments: Vec<Argument>,
}

/// An argument, or several that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Argument {
    pub name: String,
    /// The word before it, or all that it is.
    pub token: Option<String>,
    pub kind: Kind,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    pub since: Option<String>,
    /// The server says that it is older: what is typed is understood, but not suggested.
    pub is_newer: bool,
    pub parts: Vec<Argument>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Value,
    Integer,
    Double,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    /// By the name that COMMAND DOCS gives it.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "integer" | "unix-time" => Self::Integer,
            "double" => Self::Double,
            "pure-token" => Self::PureToken,
            "oneof" => Self::OneOf,
            "block" => Self::Block,
            _ => Self::Value,
        }
    }

    /// Whether a word can be such a value, by its beginning: what is behind it is the server's to judge.
    pub(super) fn takes(self, word: &str) -> bool {
        let word = word.trim_start();
        let number = word.strip_prefix(['-', '+']).unwrap_or(word);
        let begins = |text: &str| number.get(..3).is_some_and(|b| b.eq_ignore_ascii_case(text));
        match self {
            Self::Value => true,
            Self::Integer => number.starts_with(|c: char| c.is_ascii_digit()),
            Self::Double => {
                let digits = number.strip_prefix('.').unwrap_or(number);
                digits.starts_with(|c: char| c.is_ascii_digit()) || begins("inf") || begins("nan")
            }
            Self::PureToken | Self::OneOf | Self::Block => false,
        }
    }
}

impl Docs {
    /// From the reply to COMMAND DOCS, in either protocol.
    pub(super) fn from_reply(reply: &Value) -> Option<Self> {
        let mut docs = Self::default();
        for (name, fields) in pairs(reply)? {
            docs.add(&text(name)?.to_uppercase(), fields);
        }
        docs.sort();
        Some(docs)
    }

    /// Adds what a server has and nobody has told of: names and how many words they take, from the reply to
    /// COMMAND.
    pub(super) fn add_unknown(&mut self, list: &Value) {
        for (name, fields) in listed(list) {
            if self.commands.iter().any(|doc| doc.name == name) {
                continue;
            }
            let [_, Value::Int(arity), _, first_key, ..] = fields else { continue };
            let words = usize::try_from(arity.unsigned_abs()).unwrap_or(1).clamp(1, 64) - 1;
            let value = |name: &str| Argument { name: name.into(), ..Argument::default() };
            let mut arguments: Vec<Argument> = (0..words).map(|_| value("arg")).collect();
            if let (Value::Int(1), Some(first)) = (first_key, arguments.first_mut()) {
                *first = value("key");
            }
            if *arity < 0 {
                arguments.push(value("...options..."));
            }
            self.commands.push(CommandDoc {
                name,
                summary: "Help not available".into(),
                since: Some("Not known".into()),
                group: "generic".into(),
                arguments,
            });
        }
        self.sort();
    }

    /// Marks what is newer than the server is.
    pub(super) fn mark_newer_than(&mut self, version: Version) {
        self.commands.iter_mut().for_each(|doc| mark_newer_than(version, &mut doc.arguments));
    }

    pub(super) fn sort(&mut self) {
        self.commands.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn add(&mut self, name: &str, fields: &Value) {
        let field = |wanted| field(fields, wanted);
        self.commands.push(CommandDoc {
            name: name.to_owned(),
            summary: field("summary").and_then(text).unwrap_or_default(),
            since: field("since").and_then(text),
            group: field("group").and_then(text).unwrap_or_default(),
            arguments: field("arguments").map(|list| arguments(list, 0)).unwrap_or_default(),
        });
        for (sub, fields) in field("subcommands").and_then(pairs).into_iter().flatten() {
            // Two words with a bar between them.
            let sub = text(sub).unwrap_or_default().to_uppercase();
            let sub = sub.split_once('|').map_or(sub.as_str(), |(_, sub)| sub);
            self.add(&format!("{name} {sub}"), fields);
        }
    }

    /// Groups in which there is a command.
    pub(super) fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.commands.iter().map(|doc| doc.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// Names, in capitals, and fields of a reply to COMMAND.
pub(super) fn listed(list: &Value) -> impl Iterator<Item = (String, &[Value])> {
    let list = if let Value::Array(list) = list { list.as_slice() } else { &[] };
    list.iter().filter_map(|fields| match fields {
        Value::Array(fields) => Some((text(fields.first()?)?.to_uppercase(), fields.as_slice())),
        _ => None,
    })
}

fn mark_newer_than(version: Version, arguments: &mut [Argument]) {
    for argument in arguments {
        argument.is_newer = argument.since.as_deref().is_some_and(|s| Version::of(s) > version);
        mark_newer_than(version, &mut argument.parts);
    }
}

impl CommandDoc {
    /// The arguments as documentation shows them: `key value [NX|XX]`.
    pub(super) fn syntax(&self) -> String {
        syntax(&self.arguments, " ")
    }
}

/// Several arguments in a row, or to choose from.
pub(super) fn syntax(arguments: &[Argument], between: &str) -> String {
    arguments.iter().map(Argument::syntax).collect::<Vec<_>>().join(between)
}

impl Argument {
    pub(super) fn syntax(&self) -> String {
        let words = self.words();
        if self.optional { format!("[{words}]") } else { words }
    }

    /// Without the brackets of an optional one.
    fn words(&self) -> String {
        let mut token = self.token.as_deref().map(or_quotes).unwrap_or_default();
        let repeated = match self.kind {
            Kind::Value | Kind::Integer | Kind::Double => or_quotes(&self.name),
            Kind::OneOf => syntax(&self.parts, "|"),
            Kind::Block => syntax(&self.parts, " "),
            Kind::PureToken => String::new(),
        };
        if !token.is_empty() && self.kind != Kind::PureToken {
            token.push(' ');
        }
        let mut words = format!("{token}{repeated}");
        if self.multiple {
            let again = if self.multiple_token { token.as_str() } else { "" };
            let _ = write!(words, " [{again}{repeated} ...]");
        }
        words
    }
}

fn or_quotes(text: &str) -> String {
    if text.is_empty() { "\"\"".into() } else { text.into() }
}

fn arguments(list: &Value, depth: usize) -> Vec<Argument> {
    match list {
        Value::Array(list) if depth < DEPTH_MAX => {
            list.iter().filter_map(|fields| argument(fields, depth)).collect()
        }
        _ => Vec::new(),
    }
}

fn argument(fields: &Value, depth: usize) -> Option<Argument> {
    let kind = Kind::named(&field(fields, "type").and_then(text)?);
    let name = field(fields, "display_text").or_else(|| field(fields, "name"));
    let flags = match field(fields, "flags") {
        Some(Value::Array(flags) | Value::Set(flags)) => flags.iter().filter_map(text).collect(),
        _ => Vec::new(),
    };
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    Some(Argument {
        name: name.and_then(text)?,
        token: field(fields, "token").and_then(text),
        kind,
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
        since: field(fields, "since").and_then(text),
        is_newer: false,
        parts: field(fields, "arguments")
            .map(|list| arguments(list, depth + 1))
            .unwrap_or_default(),
    })
}

/// The pairs of a map, which is flat in RESP2.
fn pairs(value: &Value) -> Option<Vec<(&Value, &Value)>> {
    match value {
        Value::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
        Value::Array(flat) => Some(flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect()),
        _ => None,
    }
}

fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let found = pairs(map)?.into_iter().find(|(key, _)| text(key).as_deref() == Some(name));
    found.map(|(_, value)| value)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bulk(text) | Value::Status(text) | Value::Verbatim(_, text) => {
            Some(String::from_utf8_lossy(text).into_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::shell) fn value(name: &str) -> Argument {
        Argument { name: name.into(), ..Argument::default() }
    }

    pub(in crate::shell) fn token(word: &str) -> Argument {
        Argument { token: Some(word.into()), kind: Kind::PureToken, ..value(word) }
    }

    pub(in crate::shell) fn optional(argument: Argument) -> Argument {
        Argument { optional: true, ..argument }
    }

    pub(in crate::shell) fn one_of(parts: Vec<Argument>) -> Argument {
        Argument { kind: Kind::OneOf, parts, ..value("choice") }
    }

    pub(in crate::shell) fn block(parts: Vec<Argument>) -> Argument {
        Argument { kind: Kind::Block, parts, multiple: true, ..value("data") }
    }

    #[test]
    fn arguments_are_shown_as_documentation_does() {
        let expiry = Argument { token: Some("EX".into()), ..value("seconds") };
        let arguments = [
            value("key"),
            optional(one_of(vec![token("NX"), token("XX")])),
            optional(expiry),
            block(vec![value("score"), value("member")]),
        ];
        let expected = "key [NX|XX] [EX seconds] score member [score member ...]";
        assert_eq!(syntax(&arguments, " "), expected);
    }

    #[test]
    fn docs_are_read_in_either_protocol_and_nonsense_is_passed_over() {
        let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        let argument = Value::Array(vec![
            bulk("name"),
            bulk("key"),
            bulk("type"),
            bulk("key"),
            bulk("flags"),
            Value::Array(vec![Value::Status(b"optional".to_vec())]),
        ]);
        let sub = Value::Map(vec![(bulk("summary"), bulk("Gets."))]);
        let fields = Value::Array(vec![
            bulk("summary"),
            bulk("Sets."),
            bulk("arguments"),
            Value::Array(vec![argument, Value::Int(3)]),
            bulk("subcommands"),
            Value::Array(vec![bulk("x|get"), sub]),
        ]);
        let docs = Docs::from_reply(&Value::Array(vec![bulk("x"), fields])).unwrap();
        let names: Vec<&str> = docs.commands.iter().map(|doc| doc.name.as_str()).collect();
        assert_eq!(names, ["X", "X GET"]);
        assert_eq!(docs.commands[0].syntax(), "[key]");
        assert!(Docs::from_reply(&Value::Int(1)).is_none());
    }
}
