//! What RESTORE refuses. The judge is Redis: what it refuses we refuse, for a Redis that gets such a
//! value from us later, as a replica or in a file, ends itself.

use persist::rdb::with_own_checksum;
use store::listpack::Listpack;
use tandem_tests::each_server;
use testkit::{Client, Kind, Reply, Server};

/// The parts of a stream's payload, each of which a test may spoil.
#[derive(Clone)]
struct Stream {
    nodes: Vec<(u128, Vec<&'static str>)>,
    length: u8,
    groups: Vec<Group>,
}

#[derive(Clone)]
struct Group {
    name: &'static str,
    pending: Vec<u128>,
    consumers: Vec<(&'static str, Vec<u128>)>,
}

const NODE: [&str; 10] = ["1", "0", "1", "field", "0", "2", "0", "0", "value", "4"];

const fn id(ms: u128) -> u128 {
    ms << 64
}

fn sound() -> Stream {
    let group = |name| Group {
        name,
        pending: vec![id(1), id(2)],
        consumers: vec![("alice", vec![id(1)]), ("bob", vec![id(2)])],
    };
    Stream {
        nodes: vec![(id(1), NODE.to_vec()), (id(2), NODE.to_vec())],
        length: 2,
        groups: vec![group("g1"), group("g2")],
    }
}

impl Stream {
    fn payload(&self) -> Vec<u8> {
        let mut out = vec![19];
        let text = |out: &mut Vec<u8>, text: &[u8]| {
            out.push(u8::try_from(text.len()).expect("short").min(63));
            out.extend_from_slice(text);
        };
        out.push(self.nodes.len() as u8);
        for (id, entries) in &self.nodes {
            text(&mut out, &id.to_be_bytes());
            let mut node = Listpack::new();
            entries.iter().for_each(|entry| node.push_back(entry.as_bytes()));
            text(&mut out, node.as_bytes());
        }
        // Length, last id, first id, highest deleted id, entries ever added.
        out.extend([self.length, 2, 0, 1, 0, 0, 0, 2, self.groups.len() as u8]);
        for group in &self.groups {
            text(&mut out, group.name.as_bytes());
            // Last id, entries read.
            out.extend([2, 0, 2, group.pending.len() as u8]);
            for id in &group.pending {
                out.extend(id.to_be_bytes());
                out.extend(1_000_u64.to_le_bytes());
                out.push(1);
            }
            out.push(group.consumers.len() as u8);
            for (name, pending) in &group.consumers {
                text(&mut out, name.as_bytes());
                out.extend(1_000_u64.to_le_bytes());
                out.push(pending.len() as u8);
                pending.iter().for_each(|id| out.extend(id.to_be_bytes()));
            }
        }
        finished(&out)
    }
}

/// With version and checksum.
fn finished(body: &[u8]) -> Vec<u8> {
    with_own_checksum(&[body, &[10, 0], &[0; 8]].concat())
}

fn restore(client: &mut Client, payload: &[u8]) -> Reply {
    client.args(&[b"RESTORE".as_slice(), b"k", b"0", payload, b"REPLACE"])
}

fn refused(client: &mut Client, payload: &[u8]) -> bool {
    match restore(client, payload) {
        reply if reply.is_ok() => false,
        reply => {
            assert_eq!(reply.error(), "ERR Bad data format");
            true
        }
    }
}

/// A Redis replica ended itself on a stream that we had taken and passed on.
fn a_stream_that_contradicts_itself_is_refused(kind: Kind) {
    let server = Server::of(kind).set("sanitize-dump-payload yes").start();
    let mut client = server.client();
    assert!(restore(&mut client, &sound().payload()).is_ok());
    assert_eq!(client.good("OBJECT ENCODING k").text(), "stream");
    type Spoil = fn(&mut Stream);
    let spoils: [(&str, Spoil); 19] = [
        ("a group twice", |s| s.groups[1].name = "g1"),
        ("a consumer twice", |s| s.groups[0].consumers[1].0 = "alice"),
        ("a node's id twice", |s| s.nodes[1].0 = id(1)),
        ("a pending entry twice", |s| s.groups[0].pending[1] = id(1)),
        ("a consumer's pending entry twice", |s| s.groups[0].consumers[0].1.push(id(1))),
        ("a pending entry of two consumers", |s| s.groups[0].consumers[0].1.push(id(2))),
        ("a length without nodes", |s| s.nodes.clear()),
        ("a pending entry without consumer", |s| s.groups[0].consumers[0].1.clear()),
        ("a consumer's entry that is not pending", |s| s.groups[0].consumers[0].1[0] = id(3)),
        ("a node without entries", |s| s.nodes[0].1.clear()),
        ("a node of too few entries", |s| s.nodes[0].1[0] = "2"),
        ("a node of too many entries", |s| s.nodes[0].1[0] = "0"),
        ("a deleted entry that is not there", |s| s.nodes[0].1[1] = "1"),
        ("a node with a wrong number of fields", |s| s.nodes[0].1[2] = "2"),
        ("a node whose head does not end", |s| s.nodes[0].1[4] = "1"),
        ("flags that are no number", |s| s.nodes[0].1[5] = "x"),
        ("an id that is no number", |s| s.nodes[0].1[6] = "x"),
        ("an entry with a wrong length", |s| s.nodes[0].1[9] = "5"),
        ("something behind the last entry", |s| s.nodes[0].1.push("1")),
    ];
    for (what, spoil) in spoils {
        let mut stream = sound();
        spoil(&mut stream);
        assert!(refused(&mut client, &stream.payload()), "{what}");
    }
    // Redis 7 takes these, Valkey 9 takes none of them but the first, and nobody writes them.
    let spoils: [(&str, Spoil); 4] = [
        ("nodes in a wrong order", |s| s.nodes.swap(0, 1)),
        ("a wrong length", |s| s.length = 3),
        ("a deleted entry that is not counted", |s| s.nodes[0].1[5] = "3"),
        ("a deleted entry that is not marked", |s| {
            (s.nodes[0].1[0], s.nodes[0].1[1]) = ("0", "1");
        }),
    ];
    for (what, spoil) in spoils {
        let mut stream = sound();
        spoil(&mut stream);
        assert_eq!(refused(&mut client, &stream.payload()), kind != Kind::Redis, "{what}");
    }
}

/// A byte changed anywhere in a value of any type: what Redis does not take, we do not take either.
#[test]
fn what_redis_refuses_of_damaged_payloads_is_refused() {
    let redis = Server::of(Kind::Redis).set("sanitize-dump-payload yes").start();
    let tandem = Server::of(Kind::Tandem).name("tandem").start();
    let (mut judge, mut client) = (redis.client(), tandem.client());
    let mut payloads = vec![sound().payload()];
    for line in [
        "HSET k f1 v1 f2 v2 f3 12",
        "ZADD k 0.5 m1 1.5 m2 2.5 m3",
        "SADD k a b c",
        "SADD k 1 2 300",
        "SADD k 1 2 3000000000",
        "RPUSH k a 1 300 70000 -5",
        "SET k 70000",
    ] {
        judge.good("DEL k");
        judge.good(line);
        let Reply::Bulk(payload) = judge.args(&["DUMP", "k"]) else { panic!("{line}") };
        payloads.push(payload);
    }
    let mut refusals = 0;
    for payload in &payloads {
        let body = &payload[..payload.len() - 10];
        for at in 0..body.len() {
            for change in [1, 2, 0x40, 0xff] {
                let mut damaged = body.to_vec();
                damaged[at] ^= change;
                let damaged = finished(&damaged);
                if refused(&mut judge, &damaged) {
                    refusals += 1;
                    let restored = restore(&mut client, &damaged).is_ok();
                    assert!(!restored, "{change:#x} at {at} of {}", body.escape_ascii());
                }
            }
        }
    }
    assert!(refusals > 1_000, "{refusals}");
}

each_server! { a_stream_that_contradicts_itself_is_refused }
