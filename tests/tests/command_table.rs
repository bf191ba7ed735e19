//! What COMMAND tells of every command that a peer has too: INFO, where keys are, DOCS.
//!
//! The peer is Debian's redis-server, or the program that `TANDEM_PEER_SERVER` names. Our measure is 7.2.4: where
//! a peer's version says otherwise, a row of [`KNOWN`] has the reason.

use std::collections::{BTreeMap, BTreeSet};

use testkit::{Client, Info, Kind, Reply, Server};

/// Names a program that takes the place of Debian's redis-server.
const PEER: &str = "TANDEM_PEER_SERVER";

type Version = (u32, u32, u32);
/// What is told of a command, field by field.
type Facts = BTreeMap<String, String>;

const V7_2: Version = (7, 2, 0);
const V7_4: Version = (7, 4, 0);
const VALKEY: Version = (9, 0, 0);
const ANY: Version = (0, 0, 0);
const NO_END: Version = (u32::MAX, 0, 0);

/// A difference between versions: commands (`*` ends a beginning of names), a field, peers from one version on
/// and below another, and why.
type Known = (&'static [&'static str], &'static str, (Version, Version), &'static str);

const FIELD_EXPIRIES: &[&str] =
    &["hexpire*", "hpexpire*", "hpersist", "hpttl", "httl", "hgetdel", "hgetex", "hsetex"];

const KNOWN: &[Known] = &[
    (&["*"], "tips", (ANY, V7_2), "most policies are told from 7.2 on"),
    (
        &["b*", "wait"],
        "flags",
        (ANY, V7_2),
        "from 7.2 on what blocks may be called in a script, where it does not wait",
    ),
    (
        &["cluster|shards", "cluster|slots"],
        "flags",
        (ANY, V7_2),
        "they answer amidst a load from 7.2 on",
    ),
    (&["wait"], "categories", (ANY, V7_2), "WAIT is in @blocking from 7.2 on"),
    (
        &["zrank", "zrevrank", "command|getkeys*"],
        "arity",
        (ANY, V7_2),
        "WITHSCORE, and commands of one word, came with 7.2",
    ),
    (&["sinterstore"], "keys", (V7_4, NO_END), "7.2 says that the destination is read"),
    (&["msetnx"], "tips", (V7_4, NO_END), "7.2 lets a proxy divide it"),
    (&["bitop"], "arguments", (VALKEY, NO_END), "Valkey has four operations"),
    (&["bitcount", "geosearch*"], "arguments", (VALKEY, NO_END), "Valkey has forms of its own"),
    (&["client|kill", "client|list"], "arguments", (ANY, NO_END), "ours are Redis's and Valkey's"),
    (
        &["set", "xreadgroup", "zscan"],
        "arguments",
        (V7_2, NO_END),
        "ours are those of Redis 8.4, and NOSCORES",
    ),
    (
        &["cluster|*", "script|debug", "shutdown", "xadd", "xtrim"],
        "arguments",
        (VALKEY, NO_END),
        "Valkey's are other ones",
    ),
    (&["bgsave"], "arguments", (V7_2, VALKEY), "ours has CANCEL, as Valkey's"),
    (&["*"], "deprecated", (VALKEY, NO_END), "Valkey has taken that back"),
    (FIELD_EXPIRIES, "arguments", (VALKEY, NO_END), "ours are Redis's"),
    (FIELD_EXPIRIES, "since", (VALKEY, NO_END), "they came with Redis 7.4 and Valkey 9"),
    (&["msetex"], "since", (VALKEY, NO_END), "it came with Redis 8.4 and Valkey 9.1"),
    (
        &["client|*", "cluster|*", "exec", "memory|*", "multi", "script|*", "select", "watch"],
        "flags",
        (VALKEY, NO_END),
        "Valkey lets more of them pass",
    ),
    (
        &["cluster|replicate", "script|debug"],
        "arity",
        (VALKEY, NO_END),
        "they have one argument more",
    ),
    (&["hgetex", "hsetex", "georadius*"], "keys", (VALKEY, NO_END), "ours is what Redis 8 says"),
    (&["httl", "hpttl"], "tips", (VALKEY, NO_END), "ours is what Redis 7.4 says"),
];

#[test]
fn every_command_is_told_as_a_peer_tells_it() {
    let (ours, theirs, peer) = pair();
    let (mut ours, mut theirs) = (ours.client(), theirs.client());
    let mut told = [infos(&mut ours), infos(&mut theirs)];
    // The reference was written anew for 7.2: arguments had other names, and no text to show.
    if peer >= V7_2 {
        for (facts, client) in told.iter_mut().zip([&mut ours, &mut theirs]) {
            for (name, docs) in docs(client) {
                facts.entry(name).or_default().extend(docs);
            }
        }
    }
    let [ours, theirs] = told;
    assert!(theirs.len() > 300, "the peer has {} commands", theirs.len());
    let mut wrong = Vec::new();
    for (name, theirs) in theirs {
        let Some(ours) = ours.get(&name) else { continue };
        let fields: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for field in fields {
            let of = |facts: &Facts| facts.get(field).cloned().unwrap_or_default();
            let (ours, theirs) = (of(ours), of(&theirs));
            if ours != theirs && !is_known(&name, field, peer) {
                wrong.push(format!("{name}: {field}\n  ours   {ours}\n  theirs {theirs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn keys_of_a_command_are_found_as_by_a_peer() {
    const COMMANDS: &[&str] = &[
        "get k",
        "get",
        "mset a 1 b 2",
        "set k v get",
        "pfmerge d",
        "pfmerge d a b",
        "bitop and d a b",
        "migrate h 1 k 0 5",
        "migrate h 1 \"\" 0 5 copy keys a b",
        "sort l by w* get # store d",
        "georadius g 1 2 3 km store d",
        "georadiusbymember g m 3 km storedist d",
        "xread count 2 streams a b 0 0",
        "xread streams a b 0",
        "xread streams a",
        "xreadgroup group streams c streams a b > >",
        "zunionstore d 2 a b weights 1 2",
        "zunionstore d 3 a b",
        "eval x 0",
        "eval x 2 a b c",
        "eval x 3 a b",
        "spublish c m",
        "ssubscribe c",
        "ssubscribe",
        "publish c m",
        "client id",
        "object encoding k",
        "memory usage k",
        "blmpop 0 2 a b left",
        "no-such-command k",
    ];
    let (ours, theirs, peer) = pair();
    let (mut ours, mut theirs) = (ours.client(), theirs.client());
    // Below 7.2 a command of one word has another error here.
    let compared = COMMANDS.iter().filter(|words| peer >= V7_2 || words.contains(' '));
    for words in compared {
        for subcommand in ["getkeys", "getkeysandflags"] {
            let inner = words.split(' ').map(|word| if word == "\"\"" { "" } else { word });
            let command: Vec<&str> = ["command", subcommand].into_iter().chain(inner).collect();
            let (ours, theirs) = (ours.args(&command), theirs.args(&command));
            assert_eq!(shown(&ours), shown(&theirs), "{command:?}");
        }
    }
}

fn pair() -> (Server, Server, Version) {
    let peer = Server::of(Kind::Redis);
    let peer = match std::env::var(PEER) {
        Ok(path) => peer.program(path),
        Err(_) => peer,
    };
    let (ours, theirs) = (Server::of(Kind::Tandem).start(), peer.start());
    let info: Info = theirs.info("server");
    let version = info.find("valkey_version").or(info.find("redis_version"));
    let mut parts = version.expect("a server tells its version").split('.').map(str::parse);
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    let version = (next(), next(), next());
    (ours, theirs, version)
}

fn is_known(name: &str, field: &str, peer: Version) -> bool {
    let is_its = |of: &&str| match of.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *of == name,
    };
    KNOWN.iter().any(|(names, of, (from, below), _)| {
        names.iter().any(is_its) && *of == field && *from <= peer && peer < *below
    })
}

/// COMMAND, flat.
fn infos(client: &mut Client) -> BTreeMap<String, Facts> {
    const FIELDS: [&str; 8] =
        ["arity", "flags", "first key", "last key", "step", "categories", "tips", "keys"];
    fn add(all: &mut BTreeMap<String, Facts>, row: &Reply) {
        let items = row.items();
        let facts =
            FIELDS.iter().zip(&items[1..]).map(|(field, item)| (field.to_string(), shown(item)));
        all.insert(items[0].text(), facts.collect());
        items[9].items().iter().for_each(|row| add(all, row));
    }
    client.good("HELLO 3");
    let mut all = BTreeMap::new();
    client.good("COMMAND").items().iter().for_each(|row| add(&mut all, row));
    all
}

/// COMMAND DOCS, flat, without what is prose.
fn docs(client: &mut Client) -> BTreeMap<String, Facts> {
    fn add(all: &mut BTreeMap<String, Facts>, name: &Reply, docs: &Reply) {
        let mut facts = Facts::new();
        for (field, value) in pairs(docs) {
            match field.text().as_str() {
                "subcommands" => pairs(value).iter().for_each(|(name, docs)| add(all, name, docs)),
                "doc_flags" | "deprecated_since" | "replaced_by" => {
                    *facts.entry("deprecated".to_string()).or_default() += &shown(value);
                }
                field @ ("since" | "group" | "arguments") => {
                    facts.insert(field.to_string(), shown(value));
                }
                _ => {}
            }
        }
        all.insert(name.text(), facts);
    }
    let mut all = BTreeMap::new();
    pairs(&client.good("COMMAND DOCS")).iter().for_each(|(name, docs)| add(&mut all, name, docs));
    all
}

fn pairs(reply: &Reply) -> &[(Reply, Reply)] {
    let Reply::Map(pairs) = reply else { panic!("no map: {reply:?}") };
    pairs
}

/// With sets in an order of their own.
fn shown(reply: &Reply) -> String {
    let list = |items: &[Reply]| items.iter().map(shown).collect::<Vec<_>>();
    match reply {
        Reply::Set(items) => {
            let mut items = list(items);
            items.sort();
            format!("{{{}}}", items.join(" "))
        }
        Reply::Array(items) => format!("[{}]", list(items).join(" ")),
        Reply::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}={}", shown(key), shown(value)));
            format!("({})", pairs.collect::<Vec<_>>().join(" "))
        }
        Reply::Bulk(_) | Reply::Simple(_) => reply.text(),
        other => format!("{other:?}"),
    }
}
