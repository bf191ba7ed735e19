//! Owns what counts as equal, command by command: which replies have an order, which are of the moment, which
//! commands take no part, and where the peer's version differs from 7.2.4, our measure.
//!
//! Must not: send anything. Every exception is a row of a table here, with its reason.

use testkit::Reply;

use super::grammar::Version;
use super::text::Command;

pub const SCRIPT_CALLS: &str = "return redis.call(unpack(ARGV))";
pub const SCRIPT_PCALLS: &str = "return redis.pcall(unpack(ARGV))";

const ANY: Version = (0, 0, 0);
/// Its first version that is not Redis's as well.
const VALKEY: Version = (9, 0, 0);
const NO_END: Version = (u32::MAX, 0, 0);

/// Commands that take no part (`client|*` is all of a container), and arguments (`xadd/auto-id`).
const LEFT_OUT: &[(&str, &str)] = &[
    ("debug|*", "what it tells is of the inside"),
    ("shutdown", "ends the server"),
    ("quit", "ends the connection"),
    ("replicaof", "the servers under test are masters"),
    ("slaveof", "the servers under test are masters"),
    ("failover", "the servers under test are masters"),
    ("sync", "makes a replica of the connection"),
    ("psync", "makes a replica of the connection"),
    ("replconf", "of replicas"),
    ("restore-asking", "of clusters"),
    ("migrate", "needs a server to go to"),
    ("monitor", "replies come unasked"),
    ("save", "happens at the end of a run"),
    ("bgsave", "happens at the end of a run"),
    ("bgrewriteaof", "happens at the end of a run"),
    ("lastsave", "time"),
    ("time", "time"),
    ("info", "figures of the moment"),
    ("role", "figures of the moment"),
    ("lolwut", "art"),
    ("memory|*", "sizes are of the inside"),
    ("latency|*", "figures of the moment"),
    ("slowlog|*", "figures of the moment"),
    ("commandlog|*", "figures of the moment"),
    ("module|*", "the peer may have modules"),
    ("cluster|*", "neither is a cluster"),
    ("asking", "neither is a cluster"),
    ("readonly", "neither is a cluster"),
    ("readwrite", "neither is a cluster"),
    ("config|*", "directives differ by version; those for sizes are among the extras"),
    ("client|caching", "of tracking, which has tests of its own"),
    ("client|getredir", "of tracking, which has tests of its own"),
    ("client|tracking", "its pushes come in the order of a hash table"),
    ("client|trackinginfo", "of tracking, which has tests of its own"),
    ("client|id", "ids"),
    ("client|info", "figures of the moment"),
    ("client|kill", "ends connections"),
    ("client|list", "figures of the moment"),
    ("client|no-evict", "changes nothing that shows"),
    ("client|pause", "time"),
    ("client|unpause", "time"),
    ("client|unblock", "goes by ids; what blocks here is ended by it"),
    ("client|reply", "takes replies away"),
    ("command", "the whole table"),
    ("command|count", "the table's size"),
    ("command|docs", "texts differ by version"),
    ("command|info", "rows differ by version; the suite of 7.2 is held to them elsewhere"),
    ("command|list", "the table's names"),
    ("acl|genpass", "random"),
    ("acl|log", "times, ids"),
    ("acl|save", "there is no file"),
    ("acl|load", "there is no file"),
    ("acl|cat", "what is in a category differs by version"),
    (
        "acl|list",
        "the password of a user is salted by none, but rules are told differently by version",
    ),
    ("script|debug", "takes the connection over"),
    ("script|kill", "nothing runs that long"),
    ("function|kill", "nothing runs that long"),
    ("function|stats", "the other engine's figures"),
    ("function|dump", "its bytes name the version"),
    ("pfselftest", "of the inside"),
    ("object|freq", "access clocks"),
    ("object|idletime", "access clocks"),
    ("xadd/auto-id", "time"),
    ("zrange/bylex", "unequal scores have no order by name; equal ones are among the extras"),
    ("zrangestore/bylex", "unequal scores have no order by name; equal ones are among the extras"),
    ("bitfield/fail", "Redis's replicas do not hear of a string that grew for steps that all fail"),
    ("sort/sorting", "equal weights have no order; ALPHA is among the extras"),
    ("sort_ro/sorting", "equal weights have no order; ALPHA is among the extras"),
    ("client|help", "texts differ by version"),
];

const WEIGHTS: &str =
    "Valkey takes neither nothing nor a zero for a weight, and stores nothing then";
const BELOW_ZERO: &str = "Valkey takes an offset below zero for none";

/// The same for peers from a version on and below another; lines of `extras.txt`, too.
const LEFT_OUT_FOR: &[(&str, (Version, Version), &str)] = &[
    ("auth", ((7, 4, 0), VALKEY), "8.2.3 does not answer the second refusal of a connection"),
    ("hello/auth", ((7, 4, 0), VALKEY), "8.2.3 does not answer the second refusal of a connection"),
    ("xadd/approximately", ((7, 4, 0), VALKEY), "with DELREF and ACKED 8.2.3 takes no nodes"),
    ("xtrim/approximately", ((7, 4, 0), VALKEY), "with DELREF and ACKED 8.2.3 takes no nodes"),
    ("sort/destination", (VALKEY, NO_END), WEIGHTS),
    ("SORT l1 LIMIT 1 2 STORE l2", (VALKEY, NO_END), WEIGHTS),
    ("zrange/limit", (VALKEY, NO_END), BELOW_ZERO),
    ("zrangestore/limit", (VALKEY, NO_END), BELOW_ZERO),
    ("zrangebylex/limit", (VALKEY, NO_END), BELOW_ZERO),
    ("zrangebyscore/limit", (VALKEY, NO_END), BELOW_ZERO),
    ("zrevrangebylex/limit", (VALKEY, NO_END), BELOW_ZERO),
    ("zrevrangebyscore/limit", (VALKEY, NO_END), BELOW_ZERO),
];

/// What Valkey refuses between MULTI and EXEC with all that was queued; 7.2 leaves the transaction as it was.
const NO_MULTI: &[&str] = &["multi", "watch"];

/// Optional arguments that are always given, since the command is random without them, or lets users at
/// keys that are not theirs (Redis's PFMERGE of one key).
const ALWAYS_GIVEN: &[(&str, &str)] = &[
    ("spop", "count"),
    ("pfmerge", "sourcekey"),
    ("command|getkeys", "arg"),
    ("command|getkeysandflags", "arg"),
];

/// Below 7.2 HELLO gives the connection its name before it looks at the rest of its words.
const BY_HALVES: &str = "hello";

/// From 7.4 on a name may have anything behind a zero.
const NAMES: &[&str] = &["hello", "client|setname", "client|setinfo"];

/// Commands of other arity below 7.2, which would spoil a transaction there alone.
const OTHER_ARITY: &[&str] = &["zrank", "zrevrank", "command|getkeys", "command|getkeysandflags"];

/// How replies are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Byte for byte.
    Exact,
    /// The same, with numbers that older servers spell with more digits.
    Scores,
    AnyOrder,
    PairsInAnyOrder,
    /// A cursor, and when that is 0 the same elements in any order.
    Scan,
    /// The same kind of reply with as many items.
    Shape,
    /// A time: within [`CLOCK_MS`].
    Clock,
    /// Both are errors, or neither is.
    Ignored,
}

const CLOCK_MS: i64 = 60_000;

/// All that are not here are [`Rule::Exact`].
const RULES: &[(&str, Rule)] = &[
    ("smembers", Rule::AnyOrder),
    ("sinter", Rule::AnyOrder),
    ("sunion", Rule::AnyOrder),
    ("sdiff", Rule::AnyOrder),
    ("spop", Rule::AnyOrder),
    ("keys", Rule::AnyOrder),
    ("hkeys", Rule::AnyOrder),
    ("hvals", Rule::AnyOrder),
    ("hgetall", Rule::PairsInAnyOrder),
    ("pubsub|channels", Rule::AnyOrder),
    ("pubsub|shardchannels", Rule::AnyOrder),
    ("function|list", Rule::AnyOrder),
    ("scan", Rule::Scan),
    ("sscan", Rule::Scan),
    ("hscan", Rule::Scan),
    ("zscan", Rule::Scan),
    ("srandmember", Rule::Shape),
    ("hrandfield", Rule::Shape),
    ("zrandmember", Rule::Shape),
    ("randomkey", Rule::Ignored),
    ("ttl", Rule::Clock),
    ("pttl", Rule::Clock),
    ("expiretime", Rule::Clock),
    ("pexpiretime", Rule::Clock),
    ("wait", Rule::Ignored),
    ("waitaof", Rule::Ignored),
    ("hello", Rule::Ignored),
    ("dump", Rule::Ignored),
    ("xpending", Rule::Clock),
    ("xinfo|consumers", Rule::Clock),
    ("xinfo|stream", Rule::Clock),
    ("acl|users", Rule::AnyOrder),
    ("acl|getuser", Rule::AnyOrder),
];

pub fn is_left_out(name: &str, peer: Version) -> bool {
    let all = name.split_once('|').map(|(container, _)| format!("{container}|*"));
    // What HELP says differs by version, and is held to 7.2's in the Tcl suite.
    name.ends_with("|help")
        || LEFT_OUT.iter().any(|(out, _)| *out == name || all.as_deref() == Some(out))
        || LEFT_OUT_FOR
            .iter()
            .any(|(out, (from, below), _)| *out == name && *from <= peer && peer < *below)
}

/// Whether a command, as it was spoiled, has a stream's id made of the time.
pub fn is_of_the_moment(name: &str, command: &Command) -> bool {
    name == "xadd" && command.iter().any(|word| word == b"*")
}

pub fn ends_a_transaction(name: &str, peer: Version) -> bool {
    peer >= VALKEY && NO_MULTI.iter().any(|no_multi| name.eq_ignore_ascii_case(no_multi))
}

/// Whether a command is sent to this peer as its syntax has it, never in a script, never with an argument less.
pub fn is_never_spoiled(name: &str, may_block: bool, peer: Version) -> bool {
    let is_older = may_block || name == BY_HALVES || OTHER_ARITY.contains(&name);
    name == "spop" || peer < (7, 2, 0) && is_older || peer >= (7, 4, 0) && NAMES.contains(&name)
}

/// Newer servers take no scores in hexadecimal digits.
pub fn reads_hexadecimal(peer: Version) -> bool {
    peer < (7, 4, 0)
}

/// Valkey reads expiries of fields from its own version of the RDB alone.
pub fn rdb_version(peer: Version) -> Option<u32> {
    (peer >= VALKEY).then_some(80)
}

/// Whether who waits for several keys may be served although another of them has a wrong type meanwhile: from
/// 7.2 on the command runs again, and is refused.
pub fn serves_despite_others(peer: Version) -> bool {
    peer < (7, 2, 0)
}

pub fn is_always_given(command: &str, argument: &str) -> bool {
    ALWAYS_GIVEN.contains(&(command, argument))
}

/// The full name of a command in lower case: `xinfo|stream`; of one in a script, that one's.
pub fn name(command: &Command) -> String {
    let word = |at: usize| {
        let word = command.get(at).map_or(&b""[..], |word| &word[..word.len().min(30)]);
        String::from_utf8_lossy(word).to_lowercase()
    };
    match word(0).as_str() {
        "eval" if in_script(command).is_some() => name(&command[3..].to_vec()),
        container @ ("xinfo" | "pubsub" | "function" | "acl" | "object" | "xgroup" | "script"
        | "client" | "command" | "config") => format!("{container}|{}", word(1)),
        name => name.to_string(),
    }
}

fn in_script(command: &Command) -> Option<&[Vec<u8>]> {
    let is = |at: usize, text: &str| command.get(at).is_some_and(|word| word == text.as_bytes());
    let is_ours = is(1, SCRIPT_CALLS) || is(1, SCRIPT_PCALLS);
    (is_ours && is(2, "0")).then(|| &command[3..])
}

pub fn rule(command: &Command) -> Rule {
    let name = name(command);
    let command = in_script(command).unwrap_or(command);
    if let Some((_, rule)) = RULES.iter().find(|(of, _)| *of == name) {
        let cursor = command.get(if name == "scan" { 1 } else { 2 });
        // Where another cursor leads is a matter of the hash table.
        let leads = *rule == Rule::Scan && cursor.is_some_and(|cursor| cursor != b"0");
        return if leads { Rule::Shape } else { *rule };
    }
    // All channels, in the order of a hash table.
    if name.ends_with("unsubscribe") && command.len() == 1 {
        return Rule::Shape;
    }
    // Without a star there is no pattern: nothing is sorted, and a set has no order.
    let is_by = |pair: &[Vec<u8>]| pair[0].eq_ignore_ascii_case(b"BY") && !pair[1].contains(&b'*');
    if name.starts_with("sort") && command.windows(2).any(is_by) {
        return Rule::Shape;
    }
    let tells_scores = name.starts_with(['z', 'g']) || name.starts_with("bz");
    if tells_scores && !matches!(name.as_str(), "get" | "getrange" | "getex" | "getdel" | "getset")
    {
        Rule::Scores
    } else {
        Rule::Exact
    }
}

/// A difference between the peer's version and 7.2.4, which we follow.
struct Known {
    /// Peers from this version on, and below that one.
    peers: (Version, Version),
    /// The command's full name, or a beginning of it before a `*`, or an end behind one.
    command: &'static str,
    is: fn(&Reply, &Reply) -> bool,
    #[allow(dead_code)] // for whoever reads the table
    why: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        peers: (ANY, NO_END),
        command: "object|encoding",
        is: |ours, theirs| is_bulk(ours, "listpack") && is_bulk(theirs, "skiplist"),
        why: "Redis's SORT turns a small sorted set into a large one; ours leaves it as it was",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "object|encoding",
        is: |ours, theirs| is_bulk(ours, "listpack") && is_bulk(theirs, "hashtable"),
        why: "small sets are listpacks from 7.2 on",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "object|encoding",
        is: |ours, theirs| is_bulk(ours, "listpack") && is_bulk(theirs, "quicklist"),
        why: "small lists are listpacks from 7.2 on",
    },
    Known {
        peers: (ANY, NO_END),
        command: "*",
        is: |ours, theirs| ours.is_error() && ours == theirs,
        why: "bytes that are no UTF-8 are repeated in errors as U+FFFD; the client reads Redis's so",
    },
    Known {
        peers: ((7, 4, 0), NO_END),
        command: "*",
        is: |ours, theirs| ours.is_error() && theirs.is_error(),
        why: "newer servers have other texts",
    },
    Known {
        peers: ((7, 4, 0), NO_END),
        command: "acl|getuser",
        is: |_, _| true,
        why: "newer servers tell databases, and flags otherwise",
    },
    Known {
        peers: ((7, 4, 0), NO_END),
        command: "scan",
        is: |_, theirs| is_error(theirs, "unknown type name"),
        why: "newer servers refuse a type that they do not know",
    },
    Known {
        peers: ((7, 4, 0), NO_END),
        command: "object|encoding",
        is: |ours, theirs| is_bulk(ours, "listpack") && is_bulk(theirs, "listpackex"),
        why: "a listpack with expiries has a name of its own from 7.4 on",
    },
    Known {
        peers: ((7, 4, 0), NO_END),
        command: "xinfo|*",
        is: |ours, theirs| ours.is_error() == theirs.is_error(),
        why: "newer servers bound what a group has read by what was added",
    },
    Known {
        peers: (VALKEY, NO_END),
        command: "sort*",
        is: |_, theirs| is_error(theirs, "can't be converted into double"),
        why: "Valkey takes neither nothing nor a zero for a weight",
    },
    Known {
        peers: (VALKEY, NO_END),
        command: "h*",
        is: |ours, _| is_error(ours, "invalid expire time"),
        why: "Valkey lets fields expire later than Redis can say",
    },
    Known {
        peers: (VALKEY, NO_END),
        command: "object|encoding",
        is: |ours, theirs| is_bulk(ours, "raw") && is_bulk(theirs, "embstr"),
        why: "Valkey embeds longer texts",
    },
    Known {
        peers: (VALKEY, NO_END),
        command: "bitcount",
        is: |ours, _| is_error(ours, "syntax error"),
        why: "Valkey takes a start without an end",
    },
    Known {
        peers: ((7, 4, 0), NO_END),
        command: "*scan",
        is: |_, theirs| is_error(theirs, "invalid cursor"),
        why: "newer servers refuse a cursor below zero",
    },
    Known {
        peers: (VALKEY, NO_END),
        command: "getex",
        is: |ours, theirs| {
            let is_of_time = is_error(theirs, "invalid expire") || is_error(theirs, "not an int");
            *ours == Reply::Null && is_of_time
        },
        why: "Valkey looks at the time before it looks for the key",
    },
    Known {
        peers: (ANY, NO_END),
        command: "geo*",
        is: |ours, theirs| shape(ours).1 >= 7 && sorted(ours, 1) == sorted(theirs, 1),
        why: "from seven on Redis's sort leaves places that are equally far in no order",
    },
    Known {
        peers: (ANY, NO_END),
        command: "object|refcount",
        is: |ours, theirs| *ours == Reply::Int(1) && matches!(theirs, Reply::Int(2..=9)),
        why: "Redis's transaction holds what its commands have set until it ends",
    },
    Known {
        peers: (ANY, NO_END),
        command: "object|refcount",
        is: |ours, theirs| *ours == Reply::Int(i32::MAX.into()) && *theirs == Reply::Int(1),
        why: "a copy of a small integer is one of its own at Redis until it is loaded again",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "object|encoding",
        is: |ours, theirs| is_bulk(ours, "skiplist") && is_bulk(theirs, "listpack"),
        why: "from 7.2 on ZADD converts by the number of its members before it looks at them",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "object|encoding",
        is: |ours, theirs| is_bulk(ours, "hashtable") && is_bulk(theirs, "listpack"),
        why: "from 7.2 on HSET converts by the number of its fields before it looks at them",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "*",
        is: |ours, theirs| {
            let is_ours = is_error(ours, "NOPERM User") || is_error(ours, "NOPERM No permissions");
            is_ours && is_error(theirs, "NOPERM this user")
        },
        why: "errors name the user from 7.2 on, or nobody",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "*",
        is: |ours, theirs| {
            is_error(ours, "ACL failure in script")
                && is_error(theirs, "executing the script can't")
        },
        why: "errors in scripts tell what failed from 7.2 on",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "zscan",
        is: |ours, theirs| {
            let elements = |reply: &Reply| reply.items().get(1).map(|items| items.items().len());
            !ours.is_error() && !theirs.is_error() && elements(ours) == elements(theirs)
        },
        why: "large scores are spelled with an exponent below 7.2",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "bit*",
        is: |ours, _| ours.is_error(),
        why: "from 7.2 on the arguments of BITCOUNT and BITPOS are wrong without a key, too",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "lpos",
        is: |ours, _| is_error(ours, "value must between"),
        why: "a RANK that has no opposite is refused from 7.2 on",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "acl|getuser",
        is: |_, _| true,
        why: "flags and rules are told in other words from 7.2 on",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "acl|dryrun",
        is: |ours, theirs| ours.is_error() == theirs.is_error(),
        why: "its texts name the user from 7.2 on",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "xinfo|*",
        is: |ours, theirs| ours.is_error() == theirs.is_error(),
        why: "from 7.2 on whoever reads comes to be a consumer, and consumers have one time more",
    },
    Known {
        peers: (ANY, (7, 2, 0)),
        command: "xgroup|createconsumer",
        is: |ours, theirs| ours.is_error() == theirs.is_error(),
        why: "from 7.2 on whoever reads has come to be a consumer, and who claims nothing has not",
    },
];

fn is_bulk(reply: &Reply, text: &str) -> bool {
    matches!(reply, Reply::Bulk(bytes) if bytes == text.as_bytes())
}

fn is_error(reply: &Reply, text: &str) -> bool {
    matches!(reply, Reply::Error(error) if error.contains(text))
}

/// Whether two replies to a command are equal for a peer of this version.
pub fn same(command: &Command, peer: Version, ours: &Reply, theirs: &Reply) -> bool {
    equal(rule(command), ours, theirs) || is_known(command, peer, ours, theirs)
}

pub fn is_known(command: &Command, peer: Version, ours: &Reply, theirs: &Reply) -> bool {
    let name = name(command);
    KNOWN.iter().any(|known| {
        let is_its = match (known.command.strip_suffix('*'), known.command.strip_prefix('*')) {
            (Some(start), _) => name.starts_with(start),
            (None, Some(end)) => name.ends_with(end),
            (None, None) => known.command == name,
        };
        is_its && known.peers.0 <= peer && peer < known.peers.1 && (known.is)(ours, theirs)
    })
}

pub fn equal(rule: Rule, ours: &Reply, theirs: &Reply) -> bool {
    if ours.is_error() || theirs.is_error() {
        return match rule {
            Rule::Ignored => ours.is_error() == theirs.is_error(),
            _ => ours == theirs,
        };
    }
    match rule {
        Rule::Ignored => true,
        Rule::Exact | Rule::Scores | Rule::Clock => same_items(rule, ours, theirs),
        Rule::Shape => shape(ours) == shape(theirs),
        Rule::AnyOrder => sorted(ours, 1) == sorted(theirs, 1),
        Rule::PairsInAnyOrder => sorted(ours, 2) == sorted(theirs, 2),
        Rule::Scan => match (ours, theirs) {
            (Reply::Array(a), Reply::Array(b)) if a.len() == 2 && b.len() == 2 => {
                let is_whole = is_bulk(&a[0], "0") && is_bulk(&b[0], "0");
                !is_whole || sorted(&a[1], 1) == sorted(&b[1], 1)
            }
            _ => ours == theirs,
        },
    }
}

fn same_items(rule: Rule, ours: &Reply, theirs: &Reply) -> bool {
    let all = |a: &[Reply], b: &[Reply]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_items(rule, a, b))
    };
    match (ours, theirs) {
        (Reply::Array(a), Reply::Array(b)) => all(a, b),
        (Reply::Map(_) | Reply::Set(_), _) if rule != Rule::Clock => {
            sorted(ours, 1) == sorted(theirs, 1)
        }
        (Reply::Map(a), Reply::Map(b)) => {
            let pair = |((k, v), (l, w)): (&(Reply, Reply), &(Reply, Reply))| {
                k == l && same_items(rule, v, w)
            };
            a.len() == b.len() && a.iter().zip(b).all(pair)
        }
        (Reply::Int(a), Reply::Int(b)) if rule == Rule::Clock => a == b || near_in_time(*a, *b),
        (Reply::Bulk(a), Reply::Bulk(b)) if a != b && rule == Rule::Scores => {
            let number = |text| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
            number(a).zip(number(b)).is_some_and(|(a, b)| nearly(a, b))
        }
        (Reply::Double(a), Reply::Double(b)) if rule == Rule::Scores => nearly(*a, *b),
        _ => ours == theirs,
    }
}

/// Small numbers are counts, or that there is no time.
fn near_in_time(a: i64, b: i64) -> bool {
    a.min(b) >= 0 && a.abs_diff(b) <= CLOCK_MS as u64
}

/// As near as 17 decimals say.
pub fn nearly(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() < 1e-16 || a.is_nan() && b.is_nan()
}

fn shape(reply: &Reply) -> (u8, usize) {
    match reply {
        Reply::Array(items) => (0, items.len()),
        Reply::Map(items) => (1, items.len()),
        Reply::Set(items) => (2, items.len()),
        Reply::Bulk(_) => (3, 0),
        Reply::Null => (4, 0),
        _ => (5, 0),
    }
}

/// The items in an order of their own, `width` of them together; of a map or a set within, too.
fn sorted(reply: &Reply, width: usize) -> Vec<String> {
    let text = |items: &[Reply]| {
        let texts: Vec<String> = items.iter().map(|item| sorted(item, 1).join(",")).collect();
        texts.join("=")
    };
    let mut items: Vec<String> = match reply {
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => {
            items.chunks(width).map(text).collect()
        }
        Reply::Map(pairs) => pairs.iter().map(|(k, v)| text(&[k.clone(), v.clone()])).collect(),
        other => return vec![format!("{other:?}")],
    };
    items.sort();
    items.push(format!("{:?}", std::mem::discriminant(reply)));
    items
}
