//! Owns what a server tells of its own table of commands: COMMAND DOCS as rows of words and arguments.
//!
//! Must not: know a command by its name. A command that joins the table is tested from then on.

use testkit::{Client, Reply};

pub type Version = (u32, u32, u32);

/// A command of the table, or a subcommand.
pub struct Row {
    /// `config|get`.
    pub name: String,
    /// `string`, `sorted-set`...
    pub group: String,
    pub may_block: bool,
    pub arguments: Vec<Argument>,
}

#[derive(Clone, Default)]
pub struct Argument {
    pub name: String,
    /// As the reference calls it: `pure-token`, `oneof`...
    pub kind: String,
    pub token: Option<String>,
    pub is_optional: bool,
    pub is_multiple: bool,
    pub repeats_token: bool,
    pub since: Version,
    pub within: Vec<Argument>,
}

/// All rows of a server that a peer of this version has, too.
pub fn rows(ours: &mut Client, theirs: &mut Client, peer: Version) -> Vec<Row> {
    ours.good("HELLO 3");
    theirs.good("HELLO 3");
    let Reply::Map(docs) = ours.good("COMMAND DOCS") else { panic!("COMMAND DOCS is no map") };
    let mut rows = Vec::new();
    for (name, doc) in &docs {
        let subcommands = entries(doc, "subcommands");
        if subcommands.is_empty() {
            rows.extend(row(ours, theirs, peer, &name.text(), doc, doc));
        }
        for (name, sub) in subcommands {
            rows.extend(row(ours, theirs, peer, &name.text(), sub, doc));
        }
    }
    // Docs come in the order of the table; a seed means the same commands whatever is added at the end.
    rows
}

fn row(
    ours: &mut Client,
    theirs: &mut Client,
    peer: Version,
    name: &str,
    doc: &Reply,
    top: &Reply,
) -> Option<Row> {
    let info =
        |client: &mut Client| client.good(&format!("COMMAND INFO {name}")).items()[0].clone();
    if info(theirs) == Reply::Null {
        return None;
    }
    let Reply::Array(ours) = info(ours) else { panic!("{name} is in DOCS and not in INFO") };
    let group = entry(top, "group").map(Reply::text).unwrap_or_default();
    let may_block = ours[2].items().contains(&Reply::Simple("blocking".into()));
    let mut arguments = arguments(doc);
    // Names of arguments have changed between versions, tokens have not.
    let known = tokens(&theirs.good(&format!("COMMAND DOCS {name}")));
    keep(&mut arguments, &|argument| {
        argument.since <= peer && argument.token.as_ref().is_none_or(|token| known.contains(token))
    });
    Some(Row { name: name.to_string(), group, may_block, arguments })
}

fn keep(arguments: &mut Vec<Argument>, is_kept: &impl Fn(&Argument) -> bool) {
    arguments.retain(is_kept);
    arguments.iter_mut().for_each(|argument| keep(&mut argument.within, is_kept));
}

/// All tokens that a documentation names.
fn tokens(doc: &Reply) -> Vec<String> {
    match doc {
        Reply::Map(pairs) => {
            let own =
                pairs.iter().filter(|(key, _)| matches!(key, Reply::Bulk(k) if k == b"token"));
            let own = own.map(|(_, token)| token.text());
            own.chain(pairs.iter().flat_map(|(_, value)| tokens(value))).collect()
        }
        Reply::Array(items) => items.iter().flat_map(tokens).collect(),
        _ => Vec::new(),
    }
}

fn arguments(of: &Reply) -> Vec<Argument> {
    let Some(Reply::Array(items)) = entry(of, "arguments") else { return Vec::new() };
    items.iter().map(argument).collect()
}

fn argument(item: &Reply) -> Argument {
    let text = |name| entry(item, name).map(Reply::text);
    let flags: Vec<String> = match entry(item, "flags") {
        Some(Reply::Array(flags) | Reply::Set(flags)) => flags.iter().map(Reply::text).collect(),
        _ => Vec::new(),
    };
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    Argument {
        name: text("name").expect("an argument has a name"),
        kind: text("type").expect("an argument has a type"),
        token: text("token"),
        is_optional: has("optional"),
        is_multiple: has("multiple"),
        repeats_token: has("multiple_token"),
        since: text("since").map_or((0, 0, 0), |text| version(&text)),
        within: arguments(item),
    }
}

fn entry<'a>(of: &'a Reply, name: &str) -> Option<&'a Reply> {
    let Reply::Map(pairs) = of else { return None };
    pairs.iter().find(|(key, _)| key.text() == name).map(|(_, value)| value)
}

fn entries<'a>(of: &'a Reply, name: &str) -> &'a [(Reply, Reply)] {
    match entry(of, name) {
        Some(Reply::Map(pairs)) => pairs,
        _ => &[],
    }
}

/// `7.0.15`.
pub fn version(text: &str) -> Version {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
