//! Owns how random commands are made of the rows of the table: plausible ones mostly, on keys of the type that
//! they are for, and spoiled ones.
//!
//! Must not: send a command, or judge a reply.

use fastrand::Rng;

use super::grammar::{Argument, Row, Version};
use super::judge;
use super::text::{Command, Step};
use super::values::Values;

const EXTRAS: &str = include_str!("extras.txt");

/// Commands beside these have weight 10: what builds data up comes often, what ends a state seldom.
const WEIGHTS: &[(&str, u32)] = &[
    ("set", 30),
    ("hset", 30),
    ("rpush", 25),
    ("lpush", 25),
    ("sadd", 30),
    ("zadd", 40),
    ("xadd", 40),
    ("geoadd", 30),
    ("pfadd", 30),
    ("setbit", 20),
    ("del", 5),
    ("unlink", 4),
    ("flushall", 1),
    ("flushdb", 1),
    ("swapdb", 2),
    ("select", 3),
    ("move", 3),
    ("reset", 1),
    ("hello", 2),
    ("xgroup|destroy", 3),
    ("function|flush", 1),
    ("script|flush", 1),
    ("acl|deluser", 3),
];

/// The keys of a group, by the letter they begin with; other groups have keys of all of them.
const KEYS: &[(&str, &str)] = &[
    ("string", "s"),
    ("bitmap", "s"),
    ("hash", "h"),
    ("list", "l"),
    ("set", "t"),
    ("sorted-set", "z"),
    ("stream", "x"),
    ("geo", "g"),
    ("hyperloglog", "p"),
];
const KEYS_OF_A_GROUP: usize = 4;

/// Where an argument is repeated, it is as often as the keys before it.
const AS_MANY_AS_KEYS: &[(&str, &str)] =
    &[("xread", "id"), ("xreadgroup", "id"), ("zunion", "weight"), ("zinter", "weight")];

pub struct Maker {
    rows: Vec<Row>,
    extras: Vec<(u32, &'static str)>,
    /// Sums of weights: rows, then extras.
    sums: Vec<u32>,
    pub values: Values,
    rng: Rng,
    peer: Version,
    in_multi: bool,
    /// How many keys the command under way has, once that is settled.
    keys: usize,
}

impl Maker {
    pub fn new(rows: Vec<Row>, values: Values, peer: Version) -> Maker {
        let rows: Vec<Row> =
            rows.into_iter().filter(|row| !judge::is_left_out(&row.name, peer)).collect();
        let lines = EXTRAS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let extras: Vec<(u32, &str)> = lines
            .map(|line| {
                let (weight, line) = line.split_once(' ').expect("a weight and a command");
                (weight.parse().expect("a weight is a number"), line)
            })
            .collect();
        let is_left_out = |line: &&(u32, &str)| judge::is_left_out(line.1, peer);
        let extras: Vec<_> = extras.into_iter().filter(|line| !is_left_out(&line)).collect();
        let of_row = |row: &Row| WEIGHTS.iter().find(|(name, _)| *name == row.name);
        let weights = rows.iter().map(|row| of_row(row).map_or(10, |(_, weight)| *weight));
        let weights = weights.chain(extras.iter().map(|(weight, _)| *weight));
        let mut sum = 0;
        let sums = weights.map(|weight| {
            sum += weight;
            sum
        });
        let sums = sums.collect();
        Maker { rows, extras, sums, values, rng: Rng::new(), peer, in_multi: false, keys: 1 }
    }

    /// Begins a run: the same seed makes the same commands.
    pub fn begin(&mut self, seed: u64) {
        self.rng = Rng::with_seed(seed);
        self.in_multi = false;
        self.values.begin();
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.name.as_str())
    }

    pub fn step(&mut self) -> Step {
        if self.in_multi && self.one_in(7) {
            self.in_multi = false;
            return Step { on_second: false, command: vec![b"EXEC".to_vec()] };
        }
        let at = self.chosen();
        self.values.may_block = false;
        if at >= self.rows.len() {
            let line = self.extras[at - self.rows.len()].1;
            self.in_multi |= line == "MULTI";
            let words = line.split(' ').map(|word| self.values.made(&mut self.rng, word));
            return Step { on_second: false, command: words.collect() };
        }
        let row = &self.rows[at];
        let is_subscription = row.group == "pubsub" && row.name.contains("subscribe");
        let on_second = is_subscription || row.may_block && !self.in_multi && self.rng.bool();
        self.in_multi |= row.name == "multi";
        let is_spoiled = !judge::is_never_spoiled(&row.name, row.may_block, self.peer);
        self.values.may_block = on_second;
        let mut command = self.command(at);
        if is_spoiled && self.one_in(16) {
            let whole = command.clone();
            self.spoil(&mut command);
            if judge::is_of_the_moment(&self.rows[at].name, &command) {
                command = whole;
            }
        }
        if is_spoiled && !on_second && self.one_in(25) {
            command = self.in_script(command);
        }
        Step { on_second, command }
    }

    /// Which of the rows and extras comes next.
    fn chosen(&mut self) -> usize {
        loop {
            let at = self.rng.u32(..self.sums[self.sums.len() - 1]);
            let at = self.sums.partition_point(|sum| *sum <= at);
            let name = match self.rows.get(at) {
                Some(row) => &row.name,
                None => self.extras[at - self.rows.len()].1.split(' ').next().unwrap_or(""),
            };
            if !self.in_multi || !judge::ends_a_transaction(name, self.peer) {
                return at;
            }
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn command(&mut self, at: usize) -> Command {
        // Taken out for the time being: what makes the arguments changes the rest.
        let row = std::mem::take(&mut self.rows[at].arguments);
        let (name, group) = (self.rows[at].name.clone(), self.rows[at].group.clone());
        let mut command: Command = name.split('|').map(|word| word.as_bytes().to_vec()).collect();
        self.keys = 1;
        let mut maker = Arguments { maker: self, name: &name, group: &group, out: &mut command };
        row.iter().for_each(|argument| maker.add(argument));
        self.rows[at].arguments = row;
        command
    }

    /// Leaves one out, doubles one, or puts something else in its place.
    fn spoil(&mut self, command: &mut Command) {
        let at = self.rng.usize(..command.len());
        match self.rng.u8(..8) {
            0 | 1 if at > 0 => drop(command.remove(at)),
            2 => command.insert(at + 1, command[at].clone()),
            3 => command.push(b"extra".to_vec()),
            4 => command[at].make_ascii_uppercase(),
            5 if at > 0 => command.swap(at, 1),
            _ if at > 0 => command[at] = self.hostile(),
            _ => {}
        }
    }

    /// Numbers out of range are not among them: `errno` remembers them, and Redis's SORT takes it for its own.
    fn hostile(&mut self) -> Vec<u8> {
        const TEXTS: [&str; 13] = [
            "",
            " ",
            "-1",
            "0",
            "nan",
            "-inf",
            "9223372036854775807",
            "18446744073709551615",
            "0x10",
            "%s%n",
            "q\0b",
            "\r\n+OK",
            "*",
        ];
        match self.one_in(10) {
            true => vec![b'h'; 5000],
            false => match TEXTS[self.rng.usize(..TEXTS.len())] {
                "0x10" if !judge::reads_hexadecimal(self.peer) => b"0".to_vec(),
                text => text.as_bytes().to_vec(),
            },
        }
    }

    /// The same through `redis.call`, which sees another client and another shape of replies.
    fn in_script(&mut self, command: Command) -> Command {
        let call = if self.rng.bool() { judge::SCRIPT_CALLS } else { judge::SCRIPT_PCALLS };
        let head = ["EVAL", call, "0"].map(|word| word.as_bytes().to_vec());
        head.into_iter().chain(command).collect()
    }

    fn key(&mut self, group: &str) -> Vec<u8> {
        let letter = KEYS.iter().find(|(name, _)| *name == group).map(|(_, letter)| *letter);
        let any = KEYS[self.rng.usize(..KEYS.len())].1;
        let letter = match letter {
            Some(letter) if !self.one_in(12) => letter,
            _ => any,
        };
        match self.rng.u8(..100) {
            0 => self.hostile(),
            1 | 2 => b"none".to_vec(),
            3 if group == "string" => format!("n{}", ["a", "b", "foo"][self.rng.usize(..3)]).into(),
            _ => format!("{letter}{}", self.rng.usize(..KEYS_OF_A_GROUP)).into_bytes(),
        }
    }
}

/// The arguments of one command, as they are put together.
struct Arguments<'a> {
    maker: &'a mut Maker,
    name: &'a str,
    group: &'a str,
    out: &'a mut Command,
}

impl Arguments<'_> {
    fn add(&mut self, argument: &Argument) {
        if judge::is_left_out(&format!("{}/{}", self.name, argument.name), self.maker.peer) {
            return;
        }
        let is_needed = !argument.is_optional || judge::is_always_given(self.name, &argument.name);
        if !is_needed && self.maker.rng.u8(..5) < 3 {
            return;
        }
        let follows = AS_MANY_AS_KEYS
            .iter()
            .any(|(command, name)| *name == argument.name && self.name.starts_with(command));
        let times = match argument.is_multiple {
            false => 1,
            _ if argument.kind == "key" && self.waits_for_one_key() => 1,
            _ if follows || argument.kind == "key" && self.name_has_count() => self.maker.keys,
            _ if self.name == "msetex" => self.maker.keys,
            true => [1, 1, 1, 2, 2, 3, 5][self.maker.rng.usize(..7)],
        };
        if argument.kind == "key" {
            self.maker.keys = times;
        }
        for n in 0..times {
            if n == 0 || argument.repeats_token {
                self.out.extend(argument.token.as_ref().map(|token| token.clone().into_bytes()));
            }
            self.add_once(argument);
        }
    }

    /// Whether a count of the keys came before them.
    fn name_has_count(&self) -> bool {
        let counted = |command: &str| self.name.contains(command);
        ["mpop", "zunion", "zinter", "zdiff", "sintercard", "eval", "fcall"]
            .into_iter()
            .any(counted)
    }

    fn waits_for_one_key(&self) -> bool {
        self.maker.values.may_block && judge::serves_despite_others(self.maker.peer)
    }

    fn add_once(&mut self, argument: &Argument) {
        match (argument.kind.as_str(), argument.name.as_str()) {
            ("pure-token", _) => {}
            ("block", _) => argument.within.iter().for_each(|within| self.add(within)),
            ("oneof", _) => {
                let within: Vec<&Argument> = argument
                    .within
                    .iter()
                    .filter(|a| {
                        !judge::is_left_out(&format!("{}/{}", self.name, a.name), self.maker.peer)
                    })
                    .collect();
                if let Some(chosen) = self.maker.rng.choice(within) {
                    let chosen = Argument { is_optional: false, ..chosen.clone() };
                    self.add(&chosen);
                }
            }
            (_, "numkeys") => {
                let keys = 1 + self.maker.rng.usize(..3);
                self.maker.keys = if self.waits_for_one_key() { 1 } else { keys };
                self.out.push(self.maker.keys.to_string().into_bytes());
            }
            ("key", _) => {
                let key = self.key();
                self.out.push(key);
            }
            (kind, name) => {
                let Maker { values, rng, .. } = &mut *self.maker;
                self.out.push(values.value(rng, self.name, name, kind));
            }
        }
    }

    /// What is ordered by name has keys of its own (`extras.txt`).
    fn key(&mut self) -> Vec<u8> {
        if self.name.contains("lex") {
            return format!("y{}", self.maker.rng.usize(..2)).into_bytes();
        }
        self.maker.key(self.group)
    }
}
