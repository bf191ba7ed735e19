//! Data sets as bytes: snapshots, append-only files, and what has to be equal when all is quiet.

use super::disk::File;
use engine::{Engine, Kind, Peer};
use node::Node;
use persist::rdb::{self, LoadOptions, LoadReport, SaveOptions};
use persist::source::Source;
use protocol::{Args, Limits, RequestParser};
use repl::{HistoryPoint, ReplId};
use std::collections::BTreeSet;
use std::fmt::Write;
use store::digest::{self, Spelling};
use store::{HashSeed, Keyspace};

pub const DBS: usize = 6;

/// A snapshot of what the node has now.
pub fn snapshot(node: &Node) -> Vec<u8> {
    let point = node.repl.history_point();
    let replid = point.map(|point| point.replid.to_string());
    let options = SaveOptions {
        compress: true,
        checksum: true,
        redis_ver: "7.2.4",
        repl: point.zip(replid.as_deref()).map(|(point, replid)| rdb::ReplInfo {
            stream_db: node.stream_db() as i64,
            replid,
            offset: point.offset as i64,
        }),
        ..SaveOptions::default()
    };
    let mut bytes = Vec::new();
    rdb::save(&node.engine.keyspace, &mut bytes, &options, &mut ()).expect("memory has room");
    bytes
}

pub fn load(bytes: &[u8], seed: HashSeed) -> Result<(Keyspace, LoadReport), String> {
    let mut keyspace = Keyspace::new(DBS, seed);
    let mut reader = bytes;
    let mut source = Source::new(&mut reader, Some(bytes.len() as u64));
    let report = rdb::load(&mut source, &mut keyspace, &LoadOptions::default(), &mut ())
        .map_err(|e| e.to_string())?;
    Ok((keyspace, report))
}

pub fn history(report: &LoadReport) -> Option<HistoryPoint> {
    let replid = ReplId::parse(report.repl_id.as_ref()?.as_bytes())?;
    Some(HistoryPoint { replid, offset: u64::try_from(report.repl_offset?).ok()? })
}

/// Runs an increment's whole units; what a crash has left of another is cut off, as at a real start.
pub fn replay(node: &mut Node, os: &mut impl node::Os, file: &mut File) {
    let id = node.connect(Kind::Loader, Peer::default());
    let mut parser = RequestParser::new();
    parser.feed(&file.bytes);
    let (mut unit, mut read, mut whole) = (Vec::<Vec<Vec<u8>>>::new(), 0, 0);
    let mut in_multi = false;
    while parser.parse(&Limits::master(0), 1).expect("what we wrote can be read") > 0 {
        read += parser.raw_len(0);
        let words: Vec<Vec<u8>> = parser.request(0).args().iter().map(Vec::from).collect();
        parser.consume(1);
        in_multi = (in_multi || words[0] == b"MULTI") && words[0] != b"EXEC";
        unit.push(words);
        if in_multi {
            continue;
        }
        whole = read;
        for words in unit.drain(..) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            node.execute(os, id, Args::new(&words));
        }
    }
    file.cut(whole);
    node.disconnected(id);
}

/// Equal for equal data sets: values, types, and the times at which keys and fields of hashes expire.
pub fn digest(engine: &Engine) -> String {
    let all = digest::of_keyspace(&engine.keyspace, Spelling::Shortest);
    let mut out: String = all.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    });
    for (index, db) in engine.keyspace.iter().enumerate() {
        let mut expiries: Vec<(Vec<u8>, i64)> = db
            .iter()
            .filter_map(|entry| Some((entry.key().to_vec(), entry.expire_ms()?)))
            .collect();
        for entry in db.iter() {
            let store::ValueRef::Hash(hash) = entry.value() else { continue };
            let name = |field: &[u8]| [entry.key(), b"->", field].concat();
            expiries
                .extend(hash.fields().filter_map(|f| Some((name(&f.name.to_vec()), f.expire_ms?))));
        }
        expiries.sort_unstable();
        for (key, at_ms) in expiries {
            let _ = write!(out, " {index}/{}@{at_ms}", String::from_utf8_lossy(&key));
        }
    }
    out
}

/// Every key with what has to be equal of it: for the report of a failure.
pub fn listing(engine: &Engine) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (index, db) in engine.keyspace.iter().enumerate() {
        for entry in db.iter() {
            let hash = digest::of_value(entry.value(), false, Spelling::Shortest);
            let hash: String = hash[..4].iter().fold(String::new(), |mut out, byte| {
                let _ = write!(out, "{byte:02x}");
                out
            });
            let (key, at_ms) = (String::from_utf8_lossy(entry.key()), entry.expire_ms());
            out.insert(format!("{index}/{key} {:?} {hash} {at_ms:?}", entry.value_type()));
        }
    }
    out
}
