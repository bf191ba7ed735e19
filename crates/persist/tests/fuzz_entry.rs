//! What the fuzz targets `rdb`, `aof` and `lzf` do with their bytes, and a replay of their corpora.
//! The targets include this file, so that a finding becomes a regression test by adding its file to
//! the corpus.

#![allow(dead_code)] // Each target uses its part.

mod common;

use std::io::{self, Read};

use common::{Picture, picture};
use persist::aof::manifest::Manifest;
use persist::aof::{AofError, AofReader, Record, check_aof};
use persist::error::RdbError;
use persist::lzf::{Compressor, decompress};
use persist::rdb::{
    self, LoadOptions, LoadReport, SaveOptions, SnapshotVerifier, Version, check_rdb, dump_value,
    restore_value,
};
use persist::source::Source;
use store::limits::Limits;

/// Yields its bytes in pieces, small ones among large ones, the same for the same seed.
struct Pieces<'a> {
    rest: &'a [u8],
    state: u32,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wanted = match self.state >> 30 {
            0 => 1,
            1 => 1 + (self.state >> 20) as usize % 4,
            2 => 1 + (self.state >> 16) as usize % 100,
            _ => 1 + (self.state >> 8) as usize % 40_000,
        };
        let n = wanted.min(self.rest.len()).min(buf.len());
        buf[..n].copy_from_slice(&self.rest[..n]);
        self.rest = &self.rest[n..];
        Ok(n)
    }
}

type Loaded = (Picture, Result<LoadReport, RdbError>);

fn load(mut source: Source<'_>, options: &LoadOptions) -> Loaded {
    let mut keyspace = common::keyspace();
    let report = rdb::load(&mut source, &mut keyspace, options, &mut ());
    (picture(&keyspace), report)
}

fn source<'r>(rest: &'r mut &[u8]) -> Source<'r> {
    let total = rest.len() as u64;
    Source::new(rest, Some(total))
}

/// The first byte chooses how the rest, a snapshot, is read.
pub fn rdb(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    let options = LoadOptions {
        verify_checksum: choice & 1 != 0,
        allow_duplicates: choice & 2 != 0,
        drop_expired: choice & 4 != 0,
        now_ms: 1 << 40,
        ..LoadOptions::default()
    };
    let (whole, report) = load(source(&mut &bytes[..]), &options);
    let mut pieces = Pieces { rest: bytes, state: u32::from(*choice) | 1 };
    let small = Source::with_buffer(&mut pieces, None, usize::from(*choice) * 4);
    let (in_pieces, report_in_pieces) = load(small, &options);
    match (&report, &report_in_pieces) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        // Where the size is known, some announcements are seen through sooner.
        (Err(a), Err(_)) => assert!(a.offset <= bytes.len() as u64, "{a}"),
        (a, b) => panic!("the outcome depends on how the bytes come: {a:?}, {b:?}"),
    }
    if report.is_ok() {
        assert_eq!(whole, in_pieces);
        saved_and_loaded(bytes, &options);
    }
    rehearsed(bytes, &options, &report);
    let checked = check_rdb(&mut source(&mut &bytes[..]));
    // A check minds the checksum, but neither databases' numbers nor keys that are there twice.
    assert!(checked.is_ok() || report.is_err() || !options.verify_checksum);
    verified(bytes, *choice);
    payload(bytes);
}

/// A rehearsal foretells what a load says: a replica gives up its data on the strength of it.
fn rehearsed(bytes: &[u8], options: &LoadOptions, report: &Result<LoadReport, RdbError>) {
    let databases = common::keyspace().len();
    let rehearsal = rdb::rehearse(&mut source(&mut &bytes[..]), databases, options, &mut ());
    match (&rehearsal, report) {
        // It counts every key, as if none had expired; and it never lets a key be there twice.
        (Ok(_), Ok(_)) => {}
        (Err(_), Ok(_)) => assert!(options.allow_duplicates || options.drop_expired),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("a load fails that was rehearsed: {error}"),
    }
}

/// What loads can be saved, in every version, and loads again the same.
fn saved_and_loaded(bytes: &[u8], options: &LoadOptions) {
    let mut keyspace = common::keyspace();
    rdb::load(&mut source(&mut &bytes[..]), &mut keyspace, options, &mut ())
        .expect("it did before");
    for version in [Version::V11, Version::V10, Version::V9] {
        let options = SaveOptions { version, compress: true, checksum: true, ..Default::default() };
        let mut out = Vec::new();
        rdb::save(&keyspace, &mut out, &options, &mut ()).expect("memory takes all");
        let (again, report) = load(source(&mut &out[..]), &LoadOptions::default());
        report.unwrap_or_else(|e| panic!("{version:?}: {e}"));
        if version == Version::V11 {
            assert_eq!(again, picture(&keyspace));
        } else {
            assert_eq!(again.len(), keyspace.keys(), "streams may lose what is newer");
        }
    }
}

/// The verdict on a snapshot does not depend on how it is cut.
fn verified(bytes: &[u8], seed: u8) {
    let mut whole = SnapshotVerifier::new();
    let whole = whole.feed(bytes).and_then(|()| whole.finish());
    let mut in_pieces = SnapshotVerifier::new();
    let step = 1 + usize::from(seed);
    let fed = bytes.chunks(step).try_for_each(|chunk| in_pieces.feed(chunk));
    assert_eq!(whole, fed.and_then(|()| in_pieces.finish()));
}

/// The bytes as what RESTORE is given, without a checksum.
fn payload(bytes: &[u8]) {
    let limits = Limits::default();
    let payload = [bytes, &[11, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    if let Ok(value) = restore_value(&payload, &limits) {
        let dumped = dump_value(value.as_ref(), Version::V11);
        let again = restore_value(&dumped, &limits).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(common::Model::of(again.as_ref()), common::Model::of(value.as_ref()));
    }
}

type Records = (Vec<Vec<Vec<u8>>>, Result<(), AofError>, u64);

fn records(source: Source<'_>) -> Records {
    let mut reader = AofReader::new(source);
    let mut seen = Vec::new();
    let end = loop {
        match reader.next() {
            Ok(Some(Record::Command(command))) => {
                seen.push(command.args().map(<[u8]>::to_vec).collect());
            }
            Ok(Some(Record::Annotation(line))) => seen.push(vec![line.to_vec()]),
            Ok(None) => break Ok(()),
            Err(e) => break Err(e),
        }
    };
    (seen, end, reader.valid_up_to())
}

/// The first byte chooses how the rest is cut into pieces.
pub fn aof(data: &[u8]) {
    let [seed, bytes @ ..] = data else { return };
    let (seen, end, valid_up_to) = records(source(&mut &bytes[..]));
    let mut pieces = Pieces { rest: bytes, state: u32::from(*seed) | 1 };
    let in_pieces = records(Source::with_buffer(&mut pieces, None, 1100 + usize::from(*seed)));
    assert_eq!((&seen, &end, valid_up_to), (&in_pieces.0, &in_pieces.1, in_pieces.2));
    assert!(valid_up_to <= bytes.len() as u64);
    // Truncated there, the file is good, and what it says is a beginning of what it said.
    let (kept, end_of_kept, _) = records(source(&mut &bytes[..valid_up_to as usize]));
    assert_eq!(end_of_kept, Ok(()));
    assert!(seen.starts_with(&kept));
    match &end {
        Ok(()) => assert_eq!(valid_up_to, bytes.len() as u64),
        Err(e) => assert_eq!(e.valid_up_to, valid_up_to),
    }
    if let Ok(check) = check_aof(source(&mut &bytes[..]), Some(1 << 30)) {
        assert!(check.ok_up_to <= bytes.len() as u64);
    }
    if let Ok(manifest) = Manifest::parse(bytes)
        && manifest != Manifest::default()
    {
        assert_eq!(Manifest::parse(&manifest.format()).as_ref(), Ok(&manifest));
    }
}

/// The first two bytes announce a size, the rest is both compressed and not.
pub fn lzf(data: &[u8]) {
    let [low, high, bytes @ ..] = data else { return };
    let announced = usize::from(u16::from_le_bytes([*low, *high]));
    let mut out = b"before".to_vec();
    if decompress(bytes, announced, &mut out).is_ok() {
        assert_eq!(out.len(), b"before".len() + announced);
        assert_eq!(lzf::decompress(bytes, announced).unwrap_or_default(), out[6..]);
    } else {
        assert_eq!(out, b"before");
    }
    let mut compressor = Compressor::new();
    let mut packed = vec![0; bytes.len() + bytes.len() / 32 + 1];
    // Twice, since the second run finds the first one's table.
    for _ in 0..2 {
        let len = compressor.compress(bytes, &mut packed).expect("there is room for literals");
        let mut again = Vec::new();
        decompress(&packed[..len], bytes.len(), &mut again).expect("it is our own");
        assert_eq!(again, bytes);
        if len > 0 {
            assert_eq!(lzf::decompress(&packed[..len], bytes.len()).as_deref(), Ok(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    #[allow(clippy::disallowed_methods, reason = "a test reads its corpus")]
    fn replay(target: &str, entry: fn(&[u8])) {
        let corpus = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for file in std::fs::read_dir(corpus).expect("the corpus is checked in") {
            let path = file.expect("a readable folder").path();
            let bytes = std::fs::read(&path).expect("a readable file");
            println!("{}", path.display());
            entry(&bytes);
            count += 1;
        }
        assert!(count >= 10, "only {count} files in the corpus of {target}");
    }

    #[test]
    fn the_corpus_of_rdb_passes() {
        replay("rdb", super::rdb);
    }

    #[test]
    fn the_corpus_of_aof_passes() {
        replay("aof", super::aof);
    }

    #[test]
    fn the_corpus_of_lzf_passes() {
        replay("lzf", super::lzf);
    }
}
