//! Owns what may stand for an argument: the table `values.txt`, and the values that are made up.
//!
//! Must not: know a command.

use std::collections::HashMap;

use fastrand::Rng;

const TABLE: &str = include_str!("values.txt");
const SCRIPTS: &str = include_str!("scripts.txt");

type Bytes = Vec<u8>;

/// The choices for every name of the table, and what they draw from.
pub struct Values {
    choices: HashMap<&'static str, Vec<&'static str>>,
    /// What keys of all types were dumped as.
    pub payloads: Vec<Bytes>,
    scripts: Vec<&'static str>,
    libraries: Vec<&'static str>,
    /// Whether the command is for a connection that may be left blocked.
    pub may_block: bool,
    /// About where the ids of streams have come to.
    last_id: u64,
}

impl Values {
    pub fn new(payloads: Vec<Bytes>) -> Values {
        let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let choices = lines.map(|line| {
            let (name, choices) = line.split_once('\t').expect("a name, a tab, choices");
            (name, choices.split(' ').flat_map(weighted).collect())
        });
        let texts: Vec<&str> = SCRIPTS.split("\n\n").map(str::trim).collect();
        let (libraries, scripts) = texts.into_iter().partition(|text| is_library(text));
        let choices = choices.collect();
        Values { choices, payloads, scripts, libraries, may_block: false, last_id: 1 }
    }

    /// Begins a run.
    pub fn begin(&mut self) {
        self.last_id = 1;
    }

    /// One value for an argument of this name and kind, in the command of this name.
    pub fn value(&mut self, rng: &mut Rng, command: &str, name: &str, kind: &str) -> Bytes {
        let of_command = self.choices.get(format!("{command}/{name}").as_str());
        let choices = of_command.or_else(|| self.choices.get(name));
        let choices = choices.or_else(|| self.choices.get(kind));
        let choices = choices.unwrap_or_else(|| panic!("values.txt has nothing for {kind}"));
        let choice = choices[rng.usize(..choices.len())];
        self.made(rng, choice)
    }

    /// What a choice stands for: `<word>` is made up, all else is itself.
    pub fn made(&mut self, rng: &mut Rng, choice: &str) -> Bytes {
        let opened = choice.split_once('<');
        match opened.and_then(|(before, rest)| Some((before, rest.split_once('>')?))) {
            _ if choice == "\"\"" => Bytes::new(),
            Some((before, (name, after))) => {
                let made = self.made_up(rng, name);
                [before.as_bytes(), &made, after.as_bytes()].concat()
            }
            None => choice.replace('_', " ").into_bytes(),
        }
    }

    fn made_up(&mut self, rng: &mut Rng, what: &str) -> Bytes {
        let one = |rng: &mut Rng, of: &[&str]| of[rng.usize(..of.len())].to_string();
        let text = match what {
            "word" => one(rng, &WORDS),
            "any" => format!("e{}", rng.u32(..100_000)),
            "int" => rng.i32(-10..20).to_string(),
            "index" => one(rng, &["0", "0", "1", "2", "5", "-1", "-1", "-2", "-100", "100", "x"]),
            "count" => one(rng, &["0", "1", "1", "2", "3", "10", "1000000", "-1", "-5", "x"]),
            "big" => one(rng, &BIG),
            "float" => one(rng, &FLOATS),
            // Numbers that all versions print alike.
            "score" => one(rng, &SCORES),
            "offset" => rng.u32(..120).to_string(),
            "seconds" => rng.u64(10_000..1_000_000_000).to_string(),
            "ms" => rng.u64(10_000_000..1_000_000_000_000).to_string(),
            "at" => (4_000_000_000 + rng.u64(..1_000_000_000)).to_string(),
            "at-ms" => (4_000_000_000_000 + rng.u64(..1_000_000_000_000)).to_string(),
            // The second connection blocks until it is served or ended, the first does not really.
            "timeout" if self.may_block => one(rng, &["0", "0", "100", "1000", "-1", "x"]),
            "timeout" => one(rng, &["0.001", "0.001", "-1", "x"]),
            "block-ms" if self.may_block => one(rng, &["0", "0", "100000", "-1", "x"]),
            "block-ms" => one(rng, &["1", "1", "-1", "x"]),
            "lon" => format!("{}.{:03}", rng.i32(-2..16), rng.u32(..1000)),
            "lat" => format!("{}.{:03}", rng.i32(35..40), rng.u32(..1000)),
            "radius" => one(rng, &["1", "100", "200.5", "1000", "5000", "100000"]),
            "id" => one_id(rng, self.last_id),
            "id-next" => {
                self.last_id += u64::from(rng.u8(..3) == 0);
                format!("{}-*", self.last_id)
            }
            "limit" => one(rng, &["0", "1", "4", "16", "128"]),
            "list-limit" => one(rng, &["1", "2", "4", "128", "-1", "-2"]),
            "depth" => one(rng, &["0", "1", "2"]),
            "function" => one(rng, &["put", "look", "none"]),
            "script" => return self.scripts[rng.usize(..self.scripts.len())].into(),
            "library" => return self.libraries[rng.usize(..self.libraries.len())].into(),
            "sha" => one(rng, &["e0e1f9fabfc9d4800c877a703b823ac0578ff8db", &"f".repeat(40), "x"]),
            "long" => "L".repeat(rng.usize(40..300)),
            "binary" => return vec![b'\r', b'\n', 0xff, rng.u8(1..), 0],
            "payload" => return self.payloads[rng.usize(..self.payloads.len())].clone(),
            _ => panic!("values.rs makes up no <{what}>"),
        };
        text.into_bytes()
    }
}

const WORDS: [&str; 12] = ["a", "b", "c", "d", "e", "foo", "bar", "baz", "A", "ab", "hello", "z"];
const BIG: [&str; 6] = [
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "4294967296",
    "-2147483649",
    "99999999999999999999",
];
const FLOATS: [&str; 9] = ["1.5", "-0.5", "3.25", "1e3", "0", "-0", "0.1", "5.0e-3", "1e17"];
const SCORES: [&str; 10] = ["0", "1", "2", "3", "1.5", "-0.5", "-3", "10", "1e3", "inf"];

fn one_id(rng: &mut Rng, last: u64) -> String {
    const ODD: [&str; 6] = ["0", "0-0", "x", "5-", "18446744073709551615", "007-01"];
    match rng.u8(..12) {
        0 => ODD[rng.usize(..ODD.len())].to_string(),
        1..=2 => rng.u64(..last + 2).to_string(),
        _ => format!("{}-{}", rng.u64(..last + 2), rng.u8(..3)),
    }
}

/// `word*3` stands for three.
fn weighted(choice: &'static str) -> impl Iterator<Item = &'static str> {
    let (choice, weight) = match choice.rsplit_once('*') {
        Some((choice, weight)) if !choice.is_empty() && weight.parse::<usize>().is_ok() => {
            (choice, weight.parse().expect("it was asked"))
        }
        _ => (choice, 1),
    };
    std::iter::repeat_n(choice, weight)
}

/// Scripts may begin with flags, libraries say their name.
fn is_library(text: &str) -> bool {
    text.starts_with("#!lua name") || text.starts_with("#!js")
}
