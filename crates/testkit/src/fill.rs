//! Data of every type and encoding, the same on every call, for tests that compare two servers.
//!
//! Must not: use a command that is not among the everyday ones, unless asked for it by name.

use crate::client::Client;

/// Databases that [`every_encoding`] puts keys into.
pub const DATABASES: [u32; 4] = [0, 1, 9, 15];
/// Far enough in the future (the year 2100) that nothing of it expires in a test.
const FAR_MS: u64 = 4_102_444_800_000;

type Command = Vec<Vec<u8>>;

/// Writes keys of every type and encoding, with and without expiries, into several databases.
#[track_caller]
pub fn every_encoding(client: &mut Client) {
    for db in DATABASES {
        client.good(&format!("SELECT {db}"));
        let mut commands = Vec::new();
        strings(&mut commands);
        lists(&mut commands);
        sets(&mut commands);
        hashes(&mut commands);
        sorted_sets(&mut commands);
        streams(&mut commands);
        expiries(&mut commands);
        run_all(client, &commands);
    }
    client.good("SELECT 0");
}

/// Many small keys, as the bulk of a snapshot that takes a while.
#[track_caller]
pub fn many_keys(client: &mut Client, count: usize, value_len: usize) {
    let value = vec![b'v'; value_len];
    let commands: Vec<Command> =
        (0..count).map(|i| command(&[b"SET", format!("many:{i}").as_bytes(), &value])).collect();
    run_all(client, &commands);
}

/// Bytes that no compressor shrinks, from a fixed seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| rng.u8(..)).collect()
}

/// Streams with groups and pending entries.
fn streams(out: &mut Vec<Command>) {
    for i in 0..300 {
        out.push(words(&format!("XADD stream:long {}-1 field value{i} n {i}", i + 1)));
    }
    out.push(words("XADD stream:one 5-5 a b"));
    out.push(words("XGROUP CREATE stream:long readers 0"));
    out.push(words("XREADGROUP GROUP readers alice COUNT 7 STREAMS stream:long >"));
    out.push(words("XREADGROUP GROUP readers bob COUNT 3 STREAMS stream:long >"));
    out.push(words("XACK stream:long readers 1-1 9-1"));
    out.push(words("XDEL stream:long 20-1 21-1"));
    out.push(words("XGROUP CREATE stream:empty idle $ MKSTREAM"));
}

fn strings(out: &mut Vec<Command>) {
    for (key, value) in [
        ("str:int", "12345"),
        ("str:int:negative", "-1"),
        ("str:int:max", "9223372036854775807"),
        ("str:int:min", "-9223372036854775808"),
        ("str:int:small", "0"),
        ("str:int8", "-128"),
        ("str:int16", "32767"),
        ("str:int32", "-2147483648"),
        ("str:almost-int", "007"),
        ("str:too-big-int", "9223372036854775808"),
        ("str:float", "3.14159"),
        ("str:empty", ""),
        ("str:embstr", "hello world"),
    ] {
        out.push(command(&[b"SET", key.as_bytes(), value.as_bytes()]));
    }
    out.push(command(&[b"SET", b"", b"the key without a name"]));
    out.push(command(&[b"SET", b"str:44", &[b'x'; 44]]));
    out.push(command(&[b"SET", b"str:45", &[b'x'; 45]]));
    out.push(command(&[b"SET", b"str:compressible", &[b'z'; 20_000]]));
    out.push(command(&[b"SET", b"str:noise", &noise(3_000, 1)]));
    out.push(command(&[b"SET", b"str:big", &noise(200_000, 2)]));
    out.push(command(&[b"SET", b"str:\x00\xff\r\nkey", b"\x00\x01\xfe\xff\r\n"]));
    out.push(words("SET str:raw abc"));
    out.push(words("APPEND str:raw def"));
    out.push(words("SETRANGE str:sparse 100 end"));
    out.push(words("INCRBYFLOAT str:incrbyfloat 10.5"));
}

fn lists(out: &mut Vec<Command>) {
    out.push(words("RPUSH list:small a b c 1 2 -3 70000 9223372036854775807"));
    out.push(command(&[b"RPUSH", b"list:edge", b"", &[b'e'; 63], &[b'e'; 64], &[b'f'; 4_096]]));
    for chunk in 0..40 {
        let items: Vec<String> = (0..50).map(|i| format!("item:{chunk}:{i}")).collect();
        out.push(words(&format!("RPUSH list:quick {}", items.join(" "))));
    }
    // Elements above 8 kB get a node of their own.
    out.push(command(&[b"RPUSH", b"list:plain", &noise(30_000, 3), b"small", &[b'p'; 9_000]]));
    out.push(words("LPUSH list:popped a b c d e"));
    out.push(words("RPOP list:popped"));
    out.push(words("LINSERT list:popped BEFORE c between"));
}

fn sets(out: &mut Vec<Command>) {
    out.push(words("SADD set:int16 1 2 3 -5 30000"));
    out.push(words("SADD set:int32 1 2 70000 -70000"));
    out.push(words("SADD set:int64 1 2 9223372036854775807 -9223372036854775808"));
    out.push(words("SADD set:small a b c 1 2 3"));
    let many: Vec<String> = (0..700).map(|i| i.to_string()).collect();
    out.push(words(&format!("SADD set:many-ints {}", many.join(" "))));
    let many: Vec<String> = (0..400).map(|i| format!("member-{i}")).collect();
    out.push(words(&format!("SADD set:table {}", many.join(" "))));
    out.push(command(&[b"SADD", b"set:wide", &noise(100, 4), b"", &[b's'; 65]]));
    out.push(words("SADD set:upgraded 1 2 3"));
    out.push(words("SADD set:upgraded not-a-number"));
}

fn hashes(out: &mut Vec<Command>) {
    out.push(words("HSET hash:small f1 v1 f2 2 f3 -3 4 four"));
    let pairs: Vec<String> = (0..600).map(|i| format!("field{i} value{i}")).collect();
    out.push(words(&format!("HSET hash:table {}", pairs.join(" "))));
    out.push(command(&[b"HSET", b"hash:wide", b"f", &[b'w'; 65], b"", b""]));
    out.push(command(&[b"HSET", b"hash:edge", b"f", &[b'w'; 64]]));
    out.push(words("HINCRBY hash:counters n 42"));
    out.push(words("HINCRBYFLOAT hash:counters x 1.5"));
    out.push(words("HSET hash:shrunk a 1 b 2 c 3"));
    out.push(words("HDEL hash:shrunk b"));
}

fn sorted_sets(out: &mut Vec<Command>) {
    out.push(words("ZADD zset:small 1 one 2 two 3.5 three -inf low +inf high 0 zero -0 minus"));
    out.push(words("ZADD zset:ints 1 1 2 2 3 3 70000 70000"));
    // Digests spell scores with 17 digits up to Redis 7.0 and with the fewest from 7.2 on: these look alike.
    out.push(words("ZADD zset:odd 0.125 a 1e21 b 0.0625 c 3.0009765625 d -17179869184 e"));
    let pairs: Vec<String> = (0..300).map(|i| format!("{} m{i}", (i * 7919) % 1000)).collect();
    out.push(words(&format!("ZADD zset:skiplist {}", pairs.join(" "))));
    out.push(words("ZADD zset:skiplist inf top -inf bottom 0.5 half"));
    out.push(command(&[b"ZADD", b"zset:wide", b"1", &[b'm'; 65], b"2", b""]));
    out.push(words("ZINCRBY zset:small 2.25 two"));
    out.push(words("ZREM zset:ints 2"));
}

fn expiries(out: &mut Vec<Command>) {
    for (i, key) in ["str:int", "str:embstr", "list:quick", "set:table", "hash:small", "zset:small"]
        .iter()
        .enumerate()
    {
        let copy = format!("ttl:{key}");
        out.push(words(&format!("COPY {key} {copy}")));
        out.push(words(&format!("PEXPIREAT {copy} {}", FAR_MS + i as u64)));
    }
    out.push(words(&format!("SET ttl:set v PXAT {FAR_MS}")));
    out.push(words("SET ttl:ex v EX 86400"));
    out.push(words("SET ttl:persisted v EX 86400"));
    out.push(words("PERSIST ttl:persisted"));
}

#[track_caller]
fn run_all(client: &mut Client, commands: &[Command]) {
    let replies = client.pipeline(commands);
    for (command, reply) in commands.iter().zip(replies) {
        let name = || {
            let words =
                command.iter().take(3).map(|w| String::from_utf8_lossy(&w[..w.len().min(40)]));
            words.collect::<Vec<_>>().join(" ")
        };
        assert!(!reply.is_error(), "{}: {reply:?}", name());
    }
}

fn command(args: &[&[u8]]) -> Command {
    args.iter().map(|a| a.to_vec()).collect()
}

fn words(line: &str) -> Command {
    line.split_ascii_whitespace().map(|w| w.as_bytes().to_vec()).collect()
}
