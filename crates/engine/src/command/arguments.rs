//! Owns the arguments of commands for COMMAND DOCS: reads `arguments.txt`, whose head says
//! what a line means. From them redis-cli makes its hints.

const TABLE: &str = include_str!("arguments.txt");

/// What begins a property of an argument.
const MARKS: [char; 8] = ['#', '=', '?', '*', '+', '~', '@', '!'];

/// One argument of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Argument<'a> {
    pub name: &'a str,
    /// As the reference calls it: `pure-token`, `oneof`.
    pub kind: &'static str,
    pub key_spec_index: Option<i64>,
    pub token: Option<&'a str>,
    pub is_optional: bool,
    pub is_multiple: bool,
    pub repeats_token: bool,
    display_text: Option<&'a str>,
    pub since: Option<&'a str>,
    pub deprecated_since: Option<&'a str>,
    /// What [`parse`] reads the arguments within from.
    pub within: &'a str,
}

impl<'a> Argument<'a> {
    /// How a syntax shows it; a group shows its parts instead.
    pub(crate) fn display_text(&self) -> Option<&'a str> {
        let is_group = matches!(self.kind, "oneof" | "block");
        (!is_group).then(|| self.display_text.unwrap_or(self.name))
    }

    /// Its flags, by their names.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        [
            (self.is_optional, "optional"),
            (self.is_multiple, "multiple"),
            (self.repeats_token, "multiple_token"),
        ]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
    }

    fn parse(text: &'a str) -> Argument<'a> {
        let (head, within) = match text.find('{') {
            Some(at) => (&text[..at], &text[at + 1..text.len() - 1]),
            None => (text, ""),
        };
        let (name, rest) = head.split_once(':').unwrap_or((head, ""));
        let mut argument = Argument { name, within, kind: kind(rest), ..Argument::default() };
        let mut rest = rest.get(1..).unwrap_or("");
        while let Some(mark) = rest.chars().next() {
            let tail = &rest[1..];
            let end = match mark {
                '?' | '*' | '+' => 0,
                // A token may be such a sign itself (`MAXLEN ~ 5`).
                _ => match tail.get(1..).and_then(|rest| rest.find(MARKS)) {
                    Some(at) => at + 1,
                    None => tail.len(),
                },
            };
            let (value, after) = tail.split_at(end);
            match mark {
                '#' => argument.key_spec_index = value.parse().ok(),
                '=' => argument.token = Some(value),
                '?' => argument.is_optional = true,
                '*' => argument.is_multiple = true,
                '+' => argument.repeats_token = true,
                '~' => argument.display_text = Some(value),
                '@' => argument.since = Some(value),
                _ => argument.deprecated_since = Some(value),
            }
            rest = after;
        }
        argument
    }
}

fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'k') => "key",
        Some(b'i') => "integer",
        Some(b'd') => "double",
        Some(b'p') => "pattern",
        Some(b'u') => "unix-time",
        Some(b't') => "pure-token",
        Some(b'o') => "oneof",
        Some(b'b') => "block",
        _ => "string",
    }
}

/// The arguments of a command, by its full name; none of one that has none.
pub(crate) fn of(full_name: &str) -> Vec<Argument<'static>> {
    parse(text_of(full_name))
}

/// The same, as the table has them.
pub(crate) fn text_of(full_name: &str) -> &'static str {
    let mut lines = TABLE.lines().filter_map(|line| line.split_once('\t'));
    lines.find_map(|(name, arguments)| (name == full_name).then_some(arguments)).unwrap_or("")
}

/// The arguments in a text: those of a line, or those within another.
pub(crate) fn parse(text: &str) -> Vec<Argument<'_>> {
    let mut arguments = Vec::new();
    let (mut start, mut depth) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b' ' if depth == 0 => {
                arguments.push(Argument::parse(&text[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        arguments.push(Argument::parse(&text[start..]));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Back to the form in which the table has it.
    fn text(argument: &Argument<'_>) -> String {
        let mut text = format!("{}:{}", argument.name, &argument.kind[..1]);
        if argument.kind == "pure-token" {
            text.replace_range(text.len() - 1.., "t");
        }
        argument.key_spec_index.iter().for_each(|index| text += &format!("#{index}"));
        argument.token.iter().for_each(|token| text += &format!("={token}"));
        text += if argument.is_optional { "?" } else { "" };
        text += if argument.is_multiple { "*" } else { "" };
        text += if argument.repeats_token { "+" } else { "" };
        argument.display_text.iter().for_each(|shown| text += &format!("~{shown}"));
        argument.since.iter().for_each(|since| text += &format!("@{since}"));
        argument.deprecated_since.iter().for_each(|since| text += &format!("!{since}"));
        if !argument.within.is_empty() {
            let within: Vec<String> = parse(argument.within).iter().map(self::text).collect();
            text += &format!("{{{}}}", within.join(" "));
        }
        text
    }

    #[test]
    fn every_line_of_the_table_is_read_whole() {
        let lines: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 200);
        for line in lines {
            let (name, arguments) = line.split_once('\t').unwrap();
            let again: Vec<String> = of(name).iter().map(text).collect();
            assert_eq!(again.join(" "), arguments, "{name}");
        }
    }

    #[test]
    fn groups_hold_their_arguments() {
        let zadd = of("zadd");
        let names: Vec<_> = zadd.iter().map(|argument| argument.name).collect();
        assert_eq!(names, ["key", "condition", "comparison", "change", "increment", "data"]);
        assert_eq!((zadd[0].kind, zadd[0].key_spec_index), ("key", Some(0)));
        assert!(zadd[1].is_optional && zadd[1].display_text().is_none());
        let within: Vec<_> = parse(zadd[1].within).iter().map(|argument| argument.token).collect();
        assert_eq!(within, [Some("NX"), Some("XX")]);
    }
}
