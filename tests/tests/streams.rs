//! Streams beside those of Redis: random commands are answered alike, and what they leave behind travels
//! over links, in payloads and in files.

use tandem_tests::pairings;
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Reply, Server};

const COMMANDS: usize = 4000;

/// Makes commands of few keys, groups and ids, so that they meet.
struct Maker {
    rng: fastrand::Rng,
    /// About where the ids of new entries have come to.
    top: u64,
}

type Words = Vec<String>;

fn words(text: &str) -> Words {
    text.split(' ').map(str::to_string).collect()
}

impl Maker {
    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.rng.usize(..choices.len())]
    }

    fn key(&mut self) -> &'static str {
        self.one_of(&["s", "s", "s", "t", "u", "text"])
    }

    fn group(&mut self) -> &'static str {
        self.one_of(&["g", "g", "h", "none"])
    }

    fn consumer(&mut self) -> &'static str {
        self.one_of(&["ann", "bob", "cleo"])
    }

    fn id(&mut self) -> String {
        const ODD: [&str; 7] = ["0", "0-0", "x", "5-", "(7", "18446744073709551615", "007-01"];
        match self.rng.u8(..12) {
            0 => self.one_of(&ODD).to_string(),
            1 => format!("{}", self.rng.u64(..self.top + 2)),
            _ => format!("{}-{}", self.rng.u64(..self.top + 2), self.rng.u8(..3)),
        }
    }

    fn end(&mut self) -> String {
        match self.rng.u8(..4) {
            0 => "-".to_string(),
            1 => "+".to_string(),
            2 => format!("({}", self.id()),
            _ => self.id(),
        }
    }

    fn ids(&mut self) -> String {
        let ids: Vec<String> = (0..self.rng.usize(1..4)).map(|_| self.id()).collect();
        ids.join(" ")
    }

    fn count(&mut self) -> &'static str {
        self.one_of(&["", "", " COUNT 1", " COUNT 3", " COUNT 0", " COUNT -1", " COUNT x"])
    }

    fn trim(&mut self) -> String {
        let sign = self.one_of(&["", "~ ", "= "]);
        let limit = self.one_of(&["", "", "", " LIMIT 5", " LIMIT 0", " LIMIT -1"]);
        match self.rng.bool() {
            true => format!("MAXLEN {sign}{}{limit}", self.one_of(&["0", "3", "9", "20", "-1"])),
            false => format!("MINID {sign}{}{limit}", self.id()),
        }
    }

    fn add(&mut self) -> String {
        self.top += u64::from(self.rng.u8(..3) == 0);
        let trim = if self.rng.u8(..4) == 0 { self.trim() + " " } else { String::new() };
        let id = match self.rng.u8(..4) {
            0 => self.id(),
            1 => self.top.to_string(),
            _ => format!("{}-*", self.top),
        };
        let mut command = format!("XADD {} {trim}{id}", self.key());
        for _ in 0..self.rng.usize(1..4) {
            let name = self.one_of(&["a", "b", "name", "12"]);
            let value = self.one_of(&["x", "7", "-5", "123456789012", "a-text-that-is-longer"]);
            command += &format!(" {name} {value}");
        }
        command
    }

    fn read(&mut self) -> String {
        let (key, group, consumer) = (self.key(), self.group(), self.consumer());
        let (count, id) = (self.count(), self.id());
        match self.rng.u8(..8) {
            0 => format!("XREAD{count} STREAMS {key} {id}"),
            1 => format!("XREAD{count} STREAMS s t {id} $"),
            2 => format!("XREADGROUP GROUP {group} {consumer}{count} STREAMS {key} {id}"),
            3 => format!("XREADGROUP GROUP {group} {consumer} NOACK{count} STREAMS {key} >"),
            4 => format!("XREADGROUP GROUP {group} {consumer}{count} STREAMS s t > >"),
            _ => format!("XREADGROUP GROUP {group} {consumer}{count} STREAMS {key} >"),
        }
    }

    fn claim(&mut self) -> String {
        let (key, group, consumer) = (self.key(), self.group(), self.consumer());
        let idle = self.one_of(&["0", "0", "0", "9999999", "-1", "x"]);
        let last = self.id();
        let options =
            self.one_of(&["", "", " FORCE", " JUSTID", " RETRYCOUNT 7", " TIME 5", " OR"]);
        match self.rng.u8(..4) {
            0 => {
                format!("XAUTOCLAIM {key} {group} {consumer} {idle} {}", self.end()) + self.count()
            }
            1 => format!("XCLAIM {key} {group} {consumer} {idle} {} LASTID {last}", self.ids()),
            _ => format!("XCLAIM {key} {group} {consumer} {idle} {}{options}", self.ids()),
        }
    }

    fn look(&mut self) -> String {
        let (key, group, consumer) = (self.key(), self.group(), self.consumer());
        let (start, end) = (self.end(), self.end());
        match self.rng.u8(..9) {
            0 => format!("XLEN {key}"),
            1 | 2 => format!("XRANGE {key} {start} {end}{}", self.count()),
            3 => format!("XREVRANGE {key} {start} {end}{}", self.count()),
            4 => format!("XPENDING {key} {group}"),
            5 => format!("XPENDING {key} {group} {start} {end} 5"),
            6 => format!("XPENDING {key} {group} IDLE 0 - + 9 {consumer}"),
            7 => format!("XINFO GROUPS {key}"),
            _ => format!("XINFO STREAM {key} FULL COUNT 0"),
        }
    }

    fn command(&mut self) -> Words {
        let (key, group, consumer) = (self.key(), self.group(), self.consumer());
        words(&match self.rng.u8(..100) {
            0..30 => self.add(),
            30..50 => self.read(),
            50..60 => self.claim(),
            60..80 => self.look(),
            80..86 => format!("XDEL {key} {}", self.ids()),
            86..92 => format!("XACK {key} {group} {}", self.ids()),
            92..95 => format!("XTRIM {key} {}", self.trim()),
            95..97 => format!("XGROUP SETID {key} {group} {}", self.id()),
            97 => format!("XGROUP DESTROY {key} {group}"),
            98 => format!("XGROUP CREATECONSUMER {key} {group} {consumer}"),
            _ => format!("COPY {key} u REPLACE"),
        })
    }
}

/// A group with all consumers that there will be: 7.2 makes them earlier than 7.0 does.
fn make_group(client: &mut Client, key: &str, group: &str) -> Reply {
    let made = client.run(&format!("XGROUP CREATE {key} {group} 0 MKSTREAM"));
    for consumer in ["ann", "bob", "cleo"] {
        client.run(&format!("XGROUP CREATECONSUMER {key} {group} {consumer}"));
    }
    made
}

/// What both must answer: times are of the moment, and of a consumer 7.2 tells one more. Its counters
/// of what was read take into account what was trimmed unread.
fn comparable(reply: &Reply, is_told: bool) -> Reply {
    const OWN: [&str; 5] = ["seen-time", "active-time", "radix-tree-nodes", "lag", "entries-read"];
    let Reply::Array(items) = reply else {
        let is_time = matches!(reply, Reply::Int(n) if *n > 1_000_000_000_000);
        return if is_time { Reply::Null } else { reply.clone() };
    };
    let mut kept = Vec::new();
    let mut items = items.iter();
    while let Some(item) = items.next() {
        let is_own =
            matches!(item, Reply::Bulk(name) if OWN.iter().any(|own| own.as_bytes() == name));
        if is_own && is_told {
            items.next();
        } else {
            kept.push(comparable(item, is_told));
        }
    }
    Reply::Array(kept)
}

/// The idle times of XPENDING are of the moment, too.
fn without_idle(reply: Reply) -> Reply {
    let Reply::Array(items) = reply else { return reply };
    let pending = |item| match item {
        Reply::Array(mut fields) if fields.len() == 4 => {
            fields.remove(2);
            Reply::Array(fields)
        }
        other => other,
    };
    Reply::Array(items.into_iter().map(pending).collect())
}

fn answer(client: &mut Client, command: &Words) -> Reply {
    let reply = client.args(command);
    let reply = comparable(&reply, command[0] == "XINFO");
    if command[0] == "XPENDING" { without_idle(reply) } else { reply }
}

fn state(client: &mut Client, key: &str) -> Reply {
    answer(client, &words(&format!("XINFO STREAM {key} FULL COUNT 0")))
}

/// With other sizes of nodes each time, as these decide what an approximate trim takes away.
#[test]
fn random_commands_are_answered_as_by_redis() {
    let servers = [Kind::Redis, Kind::Tandem].map(|kind| Server::of(kind).start());
    let [mut redis, mut ours] = [servers[0].client(), servers[1].client()];
    for (seed, node_entries) in [(1, 100), (2, 5), (3, 10)] {
        for client in [&mut redis, &mut ours] {
            client.good("FLUSHALL");
            client.good("SET text x");
            client.good(&format!("CONFIG SET stream-node-max-entries {node_entries}"));
        }
        let mut maker = Maker { rng: fastrand::Rng::with_seed(seed), top: 1 };
        for step in 0..COMMANDS / 3 {
            let told = if maker.rng.u8(..25) == 0 {
                let (key, group) = (maker.key(), maker.group());
                let made = make_group(&mut redis, key, group);
                assert_eq!(make_group(&mut ours, key, group), made, "{key} {group}");
                continue;
            } else {
                maker.command()
            };
            let expected = answer(&mut redis, &told);
            let got = answer(&mut ours, &told);
            assert_eq!(got, expected, "seed {seed}, step {step}: {}", told.join(" "));
        }
        assert_eq!(servers[0].digest(), servers[1].digest());
        for key in ["s", "t", "u"] {
            assert_crosses(&mut redis, &mut ours, key);
            assert_crosses(&mut ours, &mut redis, key);
        }
    }
}

/// What one dumps the other restores, with groups and all.
fn assert_crosses(from: &mut Client, into: &mut Client, key: &str) {
    let Reply::Bulk(payload) = from.args(&["DUMP", key]) else { return };
    into.args(&[b"RESTORE".as_slice(), b"crossed", b"0", &payload, b"REPLACE"]);
    assert_eq!(state(into, "crossed"), state(from, key), "{key}");
    into.good("DEL crossed");
}

/// The same stream, but for the times of consumers, which do not travel.
fn same_streams(a: &Server, b: &Server) -> bool {
    let (mut a, mut b) = (a.client(), b.client());
    ["s", "t", "u"].iter().all(|key| state(&mut a, key) == state(&mut b, key))
}

/// What has happened before a link is up comes in the snapshot, what happens then as commands.
fn streams_and_groups_travel_over_a_link(m: Kind, r: Kind) {
    let master = Server::of(m).name("master").start();
    let mut client = master.client();
    client.good("SET text x");
    let mut maker = Maker { rng: fastrand::Rng::with_seed(4), top: 1 };
    let fill = |client: &mut Client, maker: &mut Maker| {
        for step in 0..600 {
            if step % 20 == 0 {
                let (key, group) = (maker.key(), maker.group());
                make_group(client, key, group);
            } else {
                client.args(&maker.command());
            }
        }
    };
    fill(&mut client, &mut maker);
    let replica = Server::of(r).name("replica").replica_of(&master).start();
    replica.wait_link_up();
    assert!(same_streams(&master, &replica));
    fill(&mut client, &mut maker);
    wait_equal(&master, &replica);
    wait_until(LONG, "the groups are the same", || same_pending(&master, &replica));
}

/// What is pending for whom; deliveries to somebody who had the entry already do not travel.
fn same_pending(a: &Server, b: &Server) -> bool {
    let (mut a, mut b) = (a.client(), b.client());
    let mut same = |command: &str| a.run(command) == b.run(command);
    let keys = ["s", "t", "u"];
    keys.iter().all(|key| ["g", "h", "none"].iter().all(|g| same(&format!("XPENDING {key} {g}"))))
}

pairings! { streams_and_groups_travel_over_a_link }

/// Without a preamble a rewrite is commands; of what is pending it keeps what is still in the stream.
#[test]
fn a_rewrite_of_commands_keeps_streams_and_groups() {
    let mut server =
        Server::of(Kind::Tandem).set("appendonly yes").set("aof-use-rdb-preamble no").start();
    let mut client = server.client();
    for command in [
        "XADD s 1 a b",
        "XADD s 2 c d",
        "XADD s 3 a b",
        "XDEL s 2",
        "XGROUP CREATE s g 0 ENTRIESREAD 1",
        "XGROUP CREATECONSUMER s g idle",
        "XREADGROUP GROUP g ann STREAMS s >",
        "XREADGROUP GROUP g ann STREAMS s 0",
        "XGROUP CREATE t h $ MKSTREAM",
        "XADD u 9-9 a b",
        "XDEL u 9-9",
        "EXPIRE u 1000",
    ] {
        client.good(command);
    }
    client.good("BGREWRITEAOF");
    server.wait_no_child();
    let expected: Vec<Reply> = ["s", "t", "u"].map(|key| state(&mut client, key)).into();
    let digest = server.digest();
    server.stop();
    server.start_again();
    let mut client = server.client();
    let again: Vec<Reply> = ["s", "t", "u"].map(|key| state(&mut client, key)).into();
    assert_eq!(again, expected);
    assert_eq!(server.digest(), digest);
}
