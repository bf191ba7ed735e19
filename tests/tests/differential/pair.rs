//! Owns Tandem and its peer side by side: sends both the same steps, compares replies and data.
//!
//! Must not: make commands up, or say what counts as equal (judge.rs does).

use std::io;

use testkit::{Client, Kind, Reply, Server};

use super::grammar::{self, Row, Version};
use super::judge::{self, Rule};
use super::side::{Answer, Side};
use super::text::{Command, Step};

/// Names a program that takes the place of Debian's redis-server.
const PEER: &str = "TANDEM_PEER_SERVER";
/// So many commands are sent to one server before the other gets them.
const BATCH: usize = 50;
/// After so many commands the data are compared.
const THOUSAND: usize = 1000;
/// Databases in which commands meet.
const DATABASES: usize = 3;

/// What is done at the end of a run, before data are compared once more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    Data,
    Reload,
    AppendOnlyFile,
    /// Replicas have got the stream so far.
    Stream,
    /// They get a snapshot.
    Sync,
}

pub const ALL_CHECKS: [Check; 5] =
    [Check::Data, Check::Stream, Check::Reload, Check::AppendOnlyFile, Check::Sync];

/// What was not equal.
#[derive(Debug)]
pub struct Difference {
    /// How many of the steps it took.
    pub steps: usize,
    /// The command's name, or the check: by that, one difference is told from another.
    pub what: String,
    /// The check that found it; none where a reply differed.
    pub check: Option<Check>,
    pub text: String,
}

pub struct Pair {
    ours: Side,
    theirs: Side,
    pub peer: Version,
    /// Queued commands of the first connection's transaction.
    queued: Vec<Command>,
}

impl Pair {
    pub fn start() -> Pair {
        let with_files = |server: testkit::ServerBuilder| {
            let server = server.set("appendonly yes").set("appendfsync no");
            // Redis looks for timeouts and ended children that often; without, most time is spent there.
            server.set("auto-aof-rewrite-percentage 0").set("hz 500")
        };
        let peer = || match std::env::var(PEER) {
            Ok(path) => Server::of(Kind::Redis).program(path),
            Err(_) => Server::of(Kind::Redis),
        };
        let tandem = || Server::of(Kind::Tandem);
        let ours = with_files(tandem()).name("Tandem").start();
        let theirs = with_files(peer()).name("the peer").start();
        let ours_replica = peer().name("replica of Tandem").replica_of(&ours).start();
        let theirs_replica = tandem().name("replica of the peer").replica_of(&theirs).start();
        let info = theirs.info("server");
        let version = info.find("valkey_version").or(info.find("redis_version"));
        let peer = grammar::version(version.expect("a server tells its version"));
        if let Some(rdb) = judge::rdb_version(peer) {
            ours.client().good(&format!("CONFIG SET rdb-version {rdb}"));
        }
        let (ours, theirs) = (Side::new(ours, ours_replica), Side::new(theirs, theirs_replica));
        Pair { ours, theirs, peer, queued: Vec::new() }
    }

    pub fn rows(&self) -> Vec<Row> {
        grammar::rows(&mut self.ours.server.client(), &mut self.theirs.server.client(), self.peer)
    }

    /// Payloads that both can restore: the older server's.
    pub fn payloads(&mut self) -> Vec<Vec<u8>> {
        let older = if self.peer < (7, 4, 0) { &mut self.theirs } else { &mut self.ours };
        payloads(&mut older.control)
    }

    /// Runs steps on empty servers; the first difference ends it.
    pub fn run(&mut self, steps: &[Step], checks: &[Check]) -> Option<Difference> {
        self.ours.reset();
        self.theirs.reset();
        self.queued.clear();
        let mut at = 0;
        while at < steps.len() {
            let batch = steps[at..].iter().take(BATCH.min(THOUSAND - at % THOUSAND));
            let batch = batch.take_while(|step| !step.on_second).count();
            let found = match batch {
                0 => self.step_on_second(at, steps),
                _ => self.batch(at, &steps[at..at + batch]),
            };
            match found {
                Ok(None) => {}
                Ok(found) => return found,
                Err(e) => return Some(broken(at + batch.max(1), &e)),
            }
            at += batch.max(1);
            if at % THOUSAND == 0
                && at < steps.len()
                && let Some(found) = self.check(at, Check::Data)
            {
                return Some(found);
            }
        }
        match self.finish_second(steps) {
            Ok(None) => checks.iter().find_map(|check| self.check(steps.len(), *check)),
            Ok(found) => found,
            Err(e) => Some(broken(steps.len(), &e)),
        }
    }

    fn batch(&mut self, at: usize, batch: &[Step]) -> io::Result<Option<Difference>> {
        self.ours.send(batch)?;
        self.theirs.send(batch)?;
        let mut found = None;
        for (n, step) in batch.iter().enumerate() {
            let (ours, theirs) = (self.ours.answer()?, self.theirs.answer()?);
            if found.is_none() && !self.same(&step.command, &ours, &theirs) {
                found = Some(differ(at + n + 1, &step.command, &ours.0, &theirs.0));
            }
        }
        Ok(found)
    }

    /// Replies to what was queued come with EXEC, each to be judged by its own command.
    fn same(&mut self, command: &Command, ours: &Answer, theirs: &Answer) -> bool {
        let is_queued = matches!(&ours.0, Reply::Simple(text) if text == "QUEUED");
        let is_exec = command[0].eq_ignore_ascii_case(b"EXEC");
        match (&ours.0, &theirs.0) {
            _ if is_queued => self.queued.push(command.clone()),
            (Reply::Array(a), Reply::Array(b)) if is_exec && a.len() == b.len() => {
                let queued = std::mem::take(&mut self.queued);
                let mut all = queued.iter().zip(a.iter().zip(b));
                return all.all(|(command, (a, b))| judge::same(command, self.peer, a, b));
            }
            _ if is_exec || ours.0.is_ok() => self.queued.clear(),
            _ => {}
        }
        let is_exact = judge::rule(command) == Rule::Exact;
        ours.1 == theirs.1
            || !is_exact && judge::same(command, self.peer, &ours.0, &theirs.0)
            || judge::is_known(command, self.peer, &ours.0, &theirs.0)
    }

    fn step_on_second(&mut self, at: usize, steps: &[Step]) -> io::Result<Option<Difference>> {
        if let Some(found) = self.finish_second(&steps[..at])? {
            return Ok(Some(found));
        }
        self.ours.send_on_second(at, &steps[at].command)?;
        self.theirs.send_on_second(at, &steps[at].command)?;
        Ok(None)
    }

    fn finish_second(&mut self, steps: &[Step]) -> io::Result<Option<Difference>> {
        let (ours, theirs) = (self.ours.finish_second()?, self.theirs.finish_second()?);
        let (Some((at, waited, ours)), Some((_, they_waited, theirs))) = (ours, theirs) else {
            return Ok(None);
        };
        let command = &steps[at].command;
        let all = |answers: Vec<Answer>, waited: Reply| {
            let replies = answers.into_iter().map(|(reply, _)| reply);
            let (messages, mut replies): (Vec<Reply>, Vec<Reply>) = replies.partition(is_message);
            // Patterns are told of a message in the order of a hash table.
            replies.extend([waited, Reply::Set(messages)]);
            Reply::Array(replies)
        };
        let (ours, theirs) = (all(ours, waited), all(theirs, they_waited));
        let is_same = judge::same(command, self.peer, &ours, &theirs);
        Ok((!is_same).then(|| differ(steps.len(), command, &ours, &theirs)))
    }

    /// Does what the check says to both, and compares their data.
    fn check(&mut self, steps: usize, check: Check) -> Option<Difference> {
        let sides = [&mut self.ours, &mut self.theirs];
        match check {
            Check::Data => {}
            Check::Reload => {
                sides.into_iter().for_each(|side| drop(side.control.good("DEBUG RELOAD")))
            }
            Check::AppendOnlyFile => sides.into_iter().for_each(|side| {
                side.control.good("DEBUG LOADAOF");
                side.control.good("BGREWRITEAOF");
                side.server.wait_no_child();
            }),
            Check::Stream => sides.into_iter().for_each(Side::wait_replica),
            Check::Sync => sides.into_iter().for_each(Side::sync_again),
        }
        let (ours, theirs) = (&mut self.ours, &mut self.theirs);
        let text = match check {
            Check::Stream | Check::Sync => unequal(&mut ours.control, &mut ours.replica_control)
                .map(|text| format!("of Tandem and its replica {text}"))
                .or_else(|| {
                    unequal(&mut theirs.replica_control, &mut theirs.control)
                        .map(|text| format!("of Tandem, a replica, and its master {text}"))
                }),
            _ => unequal(&mut ours.control, &mut theirs.control),
        }?;
        Some(Difference { steps, what: format!("{check:?}"), check: Some(check), text })
    }
}

fn is_message(reply: &Reply) -> bool {
    match reply {
        Reply::Array(items) | Reply::Push(items) => {
            matches!(&items[..], [Reply::Bulk(kind), ..] if kind.ends_with(b"message"))
        }
        _ => false,
    }
}

fn broken(steps: usize, error: &io::Error) -> Difference {
    let what = "a connection broke".to_string();
    Difference { steps, text: format!("{what}: {error}"), what, check: None }
}

fn differ(steps: usize, command: &Command, ours: &Reply, theirs: &Reply) -> Difference {
    let text = format!("Tandem replied {}\nthe peer       {}", shown(ours), shown(theirs));
    Difference { steps, what: judge::name(command), check: None, text }
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Reply::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        _ => format!("{reply:?}"),
    }
}

/// What is not equal of two servers' data, key by key where the digests are not.
fn unequal(ours: &mut Client, theirs: &mut Client) -> Option<String> {
    if ours.good("DEBUG DIGEST") == theirs.good("DEBUG DIGEST") {
        return None;
    }
    let found = (0..DATABASES).find_map(|db| {
        ours.good(&format!("SELECT {db}"));
        theirs.good(&format!("SELECT {db}"));
        unequal_keys(ours, theirs).map(|text| format!("database {db}: {text}"))
    });
    ours.good("SELECT 0");
    theirs.good("SELECT 0");
    found
}

fn unequal_keys(ours: &mut Client, theirs: &mut Client) -> Option<String> {
    let keys = |client: &mut Client| {
        let Reply::Array(keys) = client.good("KEYS *") else { panic!("KEYS is no array") };
        let mut keys: Vec<Vec<u8>> = keys
            .into_iter()
            .filter_map(|key| if let Reply::Bulk(key) = key { Some(key) } else { None })
            .collect();
        keys.sort();
        keys
    };
    let (a, b) = (keys(ours), keys(theirs));
    if a != b {
        let lacks = |of: &[Vec<u8>], other: &[Vec<u8>]| {
            let lost: Vec<String> = of
                .iter()
                .filter(|key| !other.contains(key))
                .map(|key| key.escape_ascii().to_string())
                .collect();
            lost.join(" ")
        };
        return Some(format!(
            "only the first has [{}], only the second [{}]",
            lacks(&a, &b),
            lacks(&b, &a)
        ));
    }
    a.iter().find_map(|key| {
        let mut same = |command: &[&[u8]], rule: Rule| {
            let (ours, theirs) = (ours.args(command), theirs.args(command));
            !ours.is_error() && judge::equal(rule, &ours, &theirs)
        };
        let is_same = same(&[b"TYPE", key], Rule::Exact)
            && same(&[b"PEXPIRETIME", key], Rule::Clock)
            && (same(&[b"DEBUG", b"DIGEST-VALUE", key], Rule::Exact)
                // Scores have other digits at older servers, and so in their digests.
                || same(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"], Rule::Scores));
        let is_same = is_same || same_fields(ours, theirs, key);
        (!is_same).then(|| format!("{} is not the same", key.escape_ascii()))
    })
}

/// Valkey's digest does not say which fields expire.
fn same_fields(ours: &mut Client, theirs: &mut Client, key: &[u8]) -> bool {
    let mut same = |command: &[&[u8]], rule: Rule| {
        let (ours, theirs) = (ours.args(command), theirs.args(command));
        (!ours.is_error() && judge::equal(rule, &ours, &theirs)).then_some(ours)
    };
    let Some(Reply::Array(fields)) = same(&[b"HKEYS", key], Rule::AnyOrder) else { return false };
    same(&[b"HGETALL", key], Rule::PairsInAnyOrder).is_some()
        && fields.iter().all(|field| {
            let Reply::Bulk(field) = field else { return false };
            same(&[b"HPEXPIRETIME", key, b"FIELDS", b"1", field], Rule::Clock).is_some()
        })
}

fn payloads(client: &mut Client) -> Vec<Vec<u8>> {
    const MAKE: &[&str] = &[
        "SET p1 hello",
        "SET p2 12345",
        "RPUSH p3 a b 1 2 cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
        "SADD p4 1 2 3",
        "SADD p5 a b c",
        "ZADD p6 1 a 2.5 b 3 c",
        "HSET p7 a 1 b 2",
        "XADD p8 1-1 a b",
        "PFADD p9 a b c",
    ];
    MAKE.iter().for_each(|line| drop(client.good(line)));
    let payloads = (1..=MAKE.len()).map(|n| match client.good(&format!("DUMP p{n}")) {
        Reply::Bulk(payload) => payload,
        other => panic!("DUMP replied {other:?}"),
    });
    let payloads = payloads.collect();
    client.good("FLUSHALL");
    payloads
}
