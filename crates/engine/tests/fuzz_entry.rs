//! What the fuzz targets `script_libs`, `stream` and `hyperloglog` do with their bytes, and a replay of their
//! corpora, each seed also with a few bytes changed. The targets include this file, so that a finding becomes a
//! regression test by adding its file to the corpus.

#![allow(dead_code)] // Each target uses its part.

mod common;

use common::Database;
use engine::settings::Guard;
use engine::{ClientId, Settings};
use persist::rdb::with_own_checksum;

fn database() -> (Database, ClientId) {
    let settings = Settings { enable_debug_command: Guard::Yes, ..Settings::default() };
    let mut db = Database::with(settings);
    let c = db.connect();
    (db, c)
}

/// A reply is whole; which one it is is the bytes' affair.
fn answered(reply: &str) -> &str {
    assert!(reply.ends_with("\r\n"), "{reply:?}");
    reply
}

/// The first byte chooses what of the scripts' libraries reads the rest. What could be read is written and
/// read again.
pub fn script_libs(data: &[u8]) {
    const SCRIPTS: [&str; 6] = [
        // As long as it was: keys that are tables have an order of the moment.
        "local a = {cmsgpack.unpack(ARGV[1])} local p = cmsgpack.pack(unpack(a)) \
         return {#a, #cmsgpack.pack(cmsgpack.unpack(p)) == #p}",
        "return {cmsgpack.unpack_limit(ARGV[1], 3, 1)}",
        "local v = cjson.decode(ARGV[1]) local t = cjson.encode(v) return {cjson.encode(cjson.decode(t))}",
        "local f, n = string.match(ARGV[1], '^(.-)\\0(.*)$') return {struct.unpack(f, n)}",
        "local f, n = string.match(ARGV[1], '^(.-)\\0(.*)$') return struct.pack(f, n, #n, n, #n)",
        "return struct.size(ARGV[1])",
    ];
    let [choice, bytes @ ..] = data else { return };
    let script = SCRIPTS[usize::from(*choice) % SCRIPTS.len()].as_bytes();
    let (mut db, c) = database();
    let first = db.run_args(c, &[b"EVAL", script, b"0", bytes]);
    let again = db.run_args(c, &[b"EVAL", script, b"0", bytes]);
    assert_eq!(answered(&first), again);
    assert_eq!(db.run_args(c, &[b"EVAL", b"return 7", b"0"]), ":7\r\n");
}

/// The bytes, but for version and checksum, as what RESTORE is given for a stream; what is taken is used in
/// every way, and is the same after a trip.
pub fn stream(data: &[u8]) {
    const TYPES: [u8; 3] = [15, 19, 21];
    let [choice, body @ ..] = data else { return };
    let body = [&[TYPES[usize::from(*choice) % TYPES.len()]], body, &[11, 0], &[0; 8]].concat();
    let payload = with_own_checksum(&body);
    let (mut db, c) = database();
    let restored = db.run_args(c, &[b"RESTORE", b"s", b"0", &payload]);
    if answered(&restored) != "+OK\r\n" {
        return;
    }
    let digest = db.run(c, "DEBUG DIGEST-VALUE s");
    assert_eq!(db.run(c, "COPY s t"), ":1\r\n");
    assert_eq!(db.run(c, "DEBUG DIGEST-VALUE t"), digest);
    for command in [
        "XINFO STREAM s FULL",
        "XRANGE s - +",
        "XREVRANGE s + - COUNT 3",
        "XPENDING s g",
        "XREADGROUP GROUP g c COUNT 2 CLAIM 0 STREAMS s >",
        "XREADGROUP GROUP g c STREAMS s 0",
        "XAUTOCLAIM s g d 0 - COUNT 5",
        "XACK s g 1-0 2-0",
        "XDEL s 1-0 1-1",
        "XADD s * f v",
        "XTRIM s MAXLEN 1",
        "XGROUP DELCONSUMER s g c",
        "XGROUP CREATE s h 0",
        "XREADGROUP GROUP h c STREAMS s >",
        "XINFO STREAM s FULL",
        "MEMORY USAGE s",
        "COPY s u",
    ] {
        answered(&db.run(c, command));
    }
    assert_eq!(db.run(c, "DEBUG DIGEST-VALUE s"), db.run(c, "DEBUG DIGEST-VALUE u"));
}

/// The bytes as the string of a HyperLogLog.
pub fn hyperloglog(data: &[u8]) {
    let (mut db, c) = database();
    db.run_args(c, &[b"SET", b"h", data]);
    let count = db.run(c, "PFCOUNT h");
    if answered(&count).starts_with('-') {
        return;
    }
    // What was counted lazily is counted again where it is merged, and what is merged with itself is itself.
    answered(&db.run(c, "PFDEBUG GETREG h"));
    let merged = db.run(c, "PFMERGE d h h");
    if merged == "+OK\r\n" {
        let of_merged = db.run(c, "PFCOUNT d");
        assert!(of_merged.starts_with(':'), "{of_merged}");
        assert_eq!(db.run(c, "PFCOUNT d d"), of_merged);
    }
    answered(&db.run(c, "PFADD h a b c"));
    answered(&db.run(c, "PFDEBUG DECODE h"));
    answered(&db.run(c, "PFDEBUG TODENSE h"));
    answered(&db.run(c, "PFCOUNT h d"));
}

#[cfg(test)]
mod tests {
    /// How often each seed is spoilt.
    const SPOILT: usize = 60;

    #[allow(clippy::disallowed_methods, reason = "a test reads its corpus")]
    fn replay(target: &str, entry: fn(&[u8])) {
        let corpus = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut rng = fastrand::Rng::with_seed(11);
        let mut count = 0;
        for file in std::fs::read_dir(corpus).expect("the corpus is checked in") {
            let path = file.expect("a readable folder").path();
            let seed = std::fs::read(&path).expect("a readable file");
            println!("{}", path.display());
            entry(&seed);
            for _ in 0..SPOILT {
                entry(&spoilt(&seed, &mut rng));
            }
            count += 1;
        }
        assert!(count >= 5, "only {count} files in the corpus of {target}");
    }

    /// A few bytes of it are others, missing, or there twice.
    fn spoilt(seed: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..rng.usize(1..4) {
            if bytes.len() < 2 {
                break;
            }
            let at = rng.usize(1..bytes.len());
            match rng.u8(..6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, rng.u8(..)),
                3 => bytes[at] ^= 1 << rng.u8(..8),
                4 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.usize(..5)],
                _ => bytes[at] = rng.u8(..),
            }
        }
        bytes
    }

    #[test]
    fn the_corpus_of_script_libs_passes() {
        replay("script_libs", super::script_libs);
    }

    #[test]
    fn the_corpus_of_streams_passes() {
        replay("stream", super::stream);
    }

    #[test]
    fn the_corpus_of_hyperloglogs_passes() {
        replay("hyperloglog", super::hyperloglog);
    }
}
