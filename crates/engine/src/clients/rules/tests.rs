//! Rules against a reading of them that keeps nothing but the words: a description makes the same user
//! again, and bits and parsed patterns decide as the words do.

use proptest::prelude::*;
use protocol::Args;
use store::glob;

use crate::clients::rules::{RuleError, merge_selectors};
use crate::clients::selector::Denial;
use crate::clients::user::User;
use crate::clients::users::{canonical_line, parse_acl_file};
use crate::command::key_spec::{self, Access};
use crate::command::{Acl, Channels, Flags, Found, every_row};

const KEYS: [&[u8]; 7] = [b"a1", b"b1", b"b\"2", b"c1", b"d", b"x", b"0"];

fn word() -> impl Strategy<Value = String> {
    let rows: Vec<String> = every_row().map(|row| row.full_name()).collect();
    let categories: Vec<&str> = Acl(u32::MAX).names().collect();
    let sign = prop_oneof![Just('+'), Just('-')];
    static FIXED: &[&str] = &[
        "+@all",
        "-@all",
        "allcommands",
        "nocommands",
        "~*",
        "allkeys",
        "resetkeys",
        "~a*",
        "~[bc]?",
        "%R~b*",
        "%W~b*",
        "%rw~d",
        "~",
        "%R~*",
        "~b\"2",
        "&*",
        "&a*",
        "&x",
        "allchannels",
        "resetchannels",
        "+select|0",
        "+SELECT|X",
        "-select",
        "+get|a1",
        "+config|get",
        "-config",
    ];
    prop_oneof![
        4 => (sign.clone(), prop::sample::select(rows)).prop_map(|(sign, row)| format!("{sign}{row}")),
        4 => (sign, prop::sample::select(categories)).prop_map(|(sign, name)| format!("{sign}{name}")),
        6 => prop::sample::select(FIXED).prop_map(str::to_owned),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    static OF_USERS: &[&str] = &[
        "on",
        "OFF",
        "nopass",
        "resetpass",
        ">a",
        ">b",
        "<a",
        "reset",
        "clearselectors",
        "",
        "skip-sanitize-payload",
        "sanitize-payload",
        "#2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "(",
        "!12",
        "%x~a",
    ];
    let selector = prop::collection::vec(word(), 0..6).prop_map(|words| {
        let in_quotes = |word: &String| {
            if word.contains('"') { format!("'{word}'") } else { word.clone() }
        };
        format!("({})", words.iter().map(in_quotes).collect::<Vec<_>>().join(" "))
    });
    prop_oneof![
        6 => word(),
        2 => prop::sample::select(OF_USERS).prop_map(str::to_owned),
        2 => selector,
    ]
}

/// Those of the rules that could be applied, and what they have come to.
fn user_of(rules: &[String], all_channels: bool) -> (User, Vec<&str>) {
    let mut user = User::new(b"ann", all_channels);
    let mut applied = Vec::new();
    for rule in rules {
        let mut changed = user.clone();
        if changed.apply(rule.as_bytes(), all_channels).is_ok() {
            user = changed;
            applied.push(rule.as_str());
        }
    }
    (user, applied)
}

/// A set of permissions as the words that were said about it.
struct Said<'a>(Vec<&'a str>);

impl Said<'_> {
    fn allows_command(&self, row: &Found, args: Args<'_>) -> bool {
        let (name, top) = (row.full_name(), row.top().name);
        let is_in = |category: &str| {
            let category = Acl::named(category.as_bytes()).expect("a category");
            row.spec.categories().has(category) || row.top().categories().has(category)
        };
        let mut allowed = false;
        let mut words: Vec<String> = Vec::new();
        for rule in &self.0 {
            let rule = rule.to_ascii_lowercase();
            let sign = rule.starts_with('+') || rule == "allcommands";
            let about = rule.trim_start_matches(['+', '-']).to_owned();
            let hits = match &*about {
                "@all" | "allcommands" | "nocommands" => true,
                _ if !rule.starts_with(['+', '-']) => false,
                category if category.starts_with('@') => is_in(category),
                about if sign && about.strip_prefix(&format!("{name}|")).is_some() => {
                    words.push(about[name.len() + 1..].to_owned());
                    false
                }
                about => about == name || about == top,
            };
            if hits {
                allowed = sign;
                words.clear();
            }
        }
        let word = args.get(1).map(|word| String::from_utf8_lossy(word).to_lowercase());
        allowed
            || row.spec.flags.has(Flags::NO_AUTH)
            || row.container.is_none() && word.is_some_and(|word| words.contains(&word))
    }

    fn allows_key(&self, key: &[u8], access: Access) -> bool {
        let reads = access.has(Access::ACCESS);
        let writes = access.has(Access::UPDATE.or(Access::INSERT).or(Access::DELETE));
        let mut all = false;
        let mut patterns: Vec<(&str, bool, bool)> = Vec::new();
        for rule in &self.0 {
            match *rule {
                "~*" | "allkeys" => all = true,
                "resetkeys" => (all, patterns) = (false, Vec::new()),
                rule if rule.starts_with(['~', '%']) => {
                    let (rights, pattern) = rule.split_once('~').expect("a pattern");
                    let rights = rights.to_uppercase();
                    let (r, w) = (rights.contains('R'), rights.contains('W'));
                    let both = rights.is_empty();
                    match patterns.iter_mut().find(|(known, ..)| *known == pattern) {
                        Some(known) => {
                            (known.1, known.2) = (known.1 | r | both, known.2 | w | both)
                        }
                        None => patterns.push((pattern, r | both, w | both)),
                    }
                }
                _ => {}
            }
        }
        all || patterns.iter().any(|(pattern, r, w)| {
            (*r || !reads) && (*w || !writes) && glob::matches(pattern.as_bytes(), key)
        })
    }

    fn allows_channel(&self, channel: &[u8], literally: bool, all_channels: bool) -> bool {
        let mut all = all_channels;
        let mut patterns: Vec<&str> = Vec::new();
        for rule in &self.0 {
            match *rule {
                "&*" | "allchannels" => all = true,
                "resetchannels" => (all, patterns) = (false, Vec::new()),
                rule if rule.starts_with('&') => patterns.push(&rule[1..]),
                _ => {}
            }
        }
        all || patterns.iter().any(|pattern| match literally {
            true => pattern.as_bytes() == channel,
            false => glob::matches(pattern.as_bytes(), channel),
        })
    }

    fn decide(&self, row: &Found, args: Args<'_>, all_channels: bool) -> Result<(), Denial> {
        if !self.allows_command(row, args) {
            return Err(Denial::Command);
        }
        let is_clear = row.spec.keys.iter().all(|spec| spec.is_borne_out(args));
        let keys = if is_clear { row.spec.keys } else { &[] };
        for (at, access) in key_spec::positions(keys, args) {
            if !access.has(Access::NOT_KEY) && !self.allows_key(args.at(at), access) {
                return Err(Denial::Key(at));
            }
        }
        let (count, literally) = match row.spec.channels {
            Channels::None => (0, false),
            Channels::Published => (1, false),
            Channels::Subscribed => (args.len() - 1, false),
            Channels::SubscribedPatterns => (args.len() - 1, true),
        };
        let refused =
            (1..=count).find(|at| !self.allows_channel(args.at(*at), literally, all_channels));
        refused.map_or(Ok(()), |at| Err(Denial::Channel(at)))
    }
}

/// The selectors of a user, by the words that made them.
fn said_of<'a>(applied: &[&'a str]) -> Vec<Said<'a>> {
    let mut said = vec![Said(Vec::new())];
    for rule in applied {
        match *rule {
            "reset" => said = vec![Said(Vec::new())],
            "clearselectors" => said.truncate(1),
            rule if rule.starts_with('(') => {
                let within = rule[1..rule.len() - 1].split(' ');
                said.push(Said(within.map(|word| word.trim_matches('\'')).collect()));
            }
            rule => said[0].0.push(rule),
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// ACL LIST, ACL SAVE and CONFIG REWRITE write this line, and the next start reads it.
    #[test]
    fn a_users_line_makes_the_same_user_again(
        rules in prop::collection::vec(rule(), 0..12),
        all_channels: bool,
    ) {
        let (user, _) = user_of(&rules, all_channels);
        let line = user.line();
        let users = parse_acl_file(&line, "acl", all_channels).expect("a line of our own");
        prop_assert_eq!(users.as_slice(), std::slice::from_ref(&user));
        // What makes it again does not hang on what new users begin with.
        let users = parse_acl_file(&line, "acl", !all_channels).expect("a line of our own");
        prop_assert_eq!(users.as_slice(), std::slice::from_ref(&user));
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').skip(1).collect();
        prop_assert_eq!(canonical_line(&words, all_channels), Some(line.clone()));
    }

    /// Every row of the table, with keys and channels that the patterns tell apart.
    #[test]
    fn a_decision_is_what_the_words_say(
        rules in prop::collection::vec(rule(), 0..12),
        keys in prop::collection::vec(prop::sample::select(&KEYS[..]), 5),
        all_channels: bool,
    ) {
        let (user, applied) = user_of(&rules, all_channels);
        let said = said_of(&applied);
        for row in every_row() {
            let name = row.full_name();
            let mut words: Vec<&[u8]> = name.split('|').map(str::as_bytes).collect();
            words.extend(&keys);
            let args = Args::new(&words);
            let decisions: Vec<_> =
                said.iter().map(|said| said.decide(&row, args, all_channels)).collect();
            let expected = match decisions.contains(&Ok(())) {
                true => Ok(()),
                false => Err(decisions.iter().filter_map(|d| d.err()).max().expect("one at least")),
            };
            prop_assert_eq!(user.check(&row, args), expected, "{} {:?}", name, applied);
        }
    }
}

fn refusal(rule: &str) -> Option<RuleError> {
    User::new(b"ann", false).apply(rule.as_bytes(), false).err()
}

#[test]
fn rules_are_refused_for_what_is_wrong_with_them() {
    use RuleError::*;
    for (rule, why) in [
        ("nope", Syntax),
        ("on off", Syntax),
        ("%~x", Syntax),
        ("%", Syntax),
        ("%RR~x", Syntax),
        ("~a b", Syntax),
        ("&a\tb", Syntax),
        ("+config|", Syntax),
        ("+get|", Syntax),
        ("(~\"a)", Syntax),
        ("(on)", Syntax),
        ("wrong|x", Syntax),
        ("+nope", Unknown),
        ("+", Unknown),
        ("+@nope", Unknown),
        ("-select|0", Unknown),
        ("+client|nope", Unknown),
        ("(+get +nope)", Unknown),
        ("+config|get|x", ArgumentOfSubcommand),
        ("(~* ~x)", KeysAfterAll),
        ("(&* &x)", ChannelsAfterAll),
        ("<x", NoSuchPassword),
        ("#12", BadHash),
        ("!12", BadHash),
    ] {
        assert_eq!(refusal(rule), Some(why), "{rule}");
    }
    for rule in ["", "()", "%R", "+GET|x", "+Config|Get", "(%R~a +@Read)"] {
        assert_eq!(refusal(rule), None, "{rule}");
    }
}

#[test]
fn a_selector_may_be_spread_over_several_words() {
    let merged = |words: &str| {
        let words: Vec<&[u8]> = words.split(',').map(str::as_bytes).collect();
        merge_selectors(&words)
            .map(|merged| {
                let texts = merged.iter().map(|word| String::from_utf8_lossy(word).into_owned());
                texts.collect::<Vec<_>>().join(",")
            })
            .map_err(|word| String::from_utf8_lossy(word).into_owned())
    };
    assert_eq!(merged("on,(~a,+get),off").as_deref(), Ok("on,(~a +get),off"));
    assert_eq!(merged("(~a +get),(,+set,)").as_deref(), Ok("(~a +get),( +set )"));
    assert_eq!(merged("(~a,+get,(~b"), Err("(~a".into()));
    assert_eq!(merged("on,("), Err("(".into()));
}

/// What comes back in another order is another set of permissions.
#[test]
fn a_later_rule_takes_the_place_of_an_earlier_one_about_the_same() {
    let described = |rules: &str| {
        let mut user = User::new(b"ann", false);
        for rule in rules.split(' ') {
            user.apply(rule.as_bytes(), false).expect("a rule");
        }
        String::from_utf8(user.root.describe_commands()).expect("text")
    };
    assert_eq!(described("+@read -get +get"), "-@all +@read +get");
    assert_eq!(described("+config|get +config|set -config"), "-@all -config");
    assert_eq!(described("+config -config|get +CONFIG|GET"), "-@all +config +config|get");
    assert_eq!(described("+@READ +get +@read"), "-@all +get +@read");
    assert_eq!(described("-get +@all -@dangerous +info"), "+@all -@dangerous +info");
    assert_eq!(described("+select|0 +select|1 +select|0"), "-@all +select|1 +select|0");
    assert_eq!(described("+select|0 -select"), "-@all -select");
}
