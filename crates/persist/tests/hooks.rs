//! Whoever saves or loads is told how far it has come, may stop it, and is told of a disk that is
//! full; a child is offered the memory that it has written out.

mod common;

use std::io::{self, Write};

use persist::aof::{self, RewriteOptions};
use persist::error::Reason;
use persist::rdb::{self, LoadOptions, SaveHook, SaveOptions};
use persist::source::Source;
use store::keyspace::Keyspace;
use store::limits::Limits;
use store::list::{End, List};
use store::str::Str;
use store::value::Value;

fn many_keys() -> Keyspace {
    let mut keyspace = common::keyspace();
    for i in 0..5000 {
        keyspace.db_mut(i % 3).set(format!("key:{i}").as_bytes(), &[b'v'; 1000], None);
    }
    keyspace
}

#[derive(Default)]
struct Recorder {
    progress: Vec<(u64, u64)>,
    released: Vec<(usize, usize)>,
    stop_at: Option<u64>,
}

impl SaveHook for Recorder {
    fn progress(&mut self, keys: u64, bytes: u64) -> io::Result<()> {
        self.progress.push((keys, bytes));
        match self.stop_at {
            Some(stop) if keys >= stop => Err(io::Error::other("the parent went away")),
            _ => Ok(()),
        }
    }

    fn release(&mut self, block: &[u8]) {
        self.released.push((block.as_ptr().addr(), block.len()));
    }
}

#[test]
fn a_save_reports_its_progress_and_can_be_stopped() {
    let keyspace = many_keys();
    let mut recorder = Recorder::default();
    let mut out = Vec::new();
    let report = rdb::save(&keyspace, &mut out, &SaveOptions::default(), &mut recorder).unwrap();
    assert_eq!(report.keys, 5000);
    assert!(recorder.progress.len() >= 5, "{:?}", recorder.progress);
    assert!(recorder.progress.is_sorted(), "{:?}", recorder.progress);
    assert_eq!(recorder.progress.last(), Some(&(report.keys, report.bytes)));

    let mut recorder = Recorder { stop_at: Some(2000), ..Recorder::default() };
    let mut out = Vec::new();
    let stopped = rdb::save(&keyspace, &mut out, &SaveOptions::default(), &mut recorder);
    assert_eq!(stopped.unwrap_err().to_string(), "the parent went away");
    let mut recorder = Recorder { stop_at: Some(2000), ..Recorder::default() };
    let stopped = aof::rewrite(&keyspace, &mut out, &RewriteOptions::default(), &mut recorder);
    assert!(stopped.is_err());
}

// A few large values were all written before anything was told of them.
#[test]
fn a_save_of_few_large_values_reports_its_progress_too() {
    let mut keyspace = common::keyspace();
    for i in 0..10 {
        keyspace.db_mut(0).set(format!("key:{i}").as_bytes(), &[b'v'; 2_000_000], None);
    }
    let mut recorder = Recorder::default();
    rdb::save(&keyspace, &mut io::sink(), &SaveOptions::default(), &mut recorder).unwrap();
    let keys: Vec<u64> = recorder.progress.iter().map(|(keys, _)| *keys).collect();
    assert_eq!(keys, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]);
}

#[test]
fn large_blocks_are_offered_for_release_and_small_ones_are_not() {
    let limits = Limits::default();
    let mut keyspace = common::keyspace();
    let mut list = List::new();
    list.push(End::Tail, &[b'n'; 100_000], &limits);
    list.push(End::Tail, b"small", &limits);
    let db = keyspace.db_mut(0);
    db.set(b"list", Value::List(list), None);
    db.set(b"text", Value::Str(Str::Owned(vec![b't'; 200_000])), None);
    db.set(b"small", &[b's'; 500], None);
    let mut recorder = Recorder::default();
    rdb::save(&keyspace, &mut io::sink(), &SaveOptions::default(), &mut recorder).unwrap();
    let mut sizes: Vec<_> = recorder.released.iter().map(|(_, len)| *len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [100_000, 200_000]);
}

/// Takes so many bytes and no more.
struct FullDisk(usize);

impl Write for FullDisk {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.len() > self.0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_is_met() {
    let keyspace = many_keys();
    for room in [0, 1000, 300_000, 4_000_000] {
        let mut disk = FullDisk(room);
        let options = SaveOptions { checksum: true, ..SaveOptions::default() };
        let e = rdb::save(&keyspace, &mut disk, &options, &mut ()).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull, "{room}");
    }
}

#[test]
fn a_load_reports_its_progress_and_can_be_stopped() {
    let mut file = Vec::new();
    rdb::save(&many_keys(), &mut file, &SaveOptions::default(), &mut ()).unwrap();
    let load = |stop: bool| {
        let mut seen = Vec::new();
        let mut rest = &file[..];
        let mut source = Source::new(&mut rest, Some(file.len() as u64));
        let mut hook = |offset: u64, keys: u64| {
            seen.push((offset, keys));
            !stop
        };
        let mut keyspace = common::keyspace();
        let result = rdb::load(&mut source, &mut keyspace, &LoadOptions::default(), &mut hook);
        (result, seen)
    };
    let (result, seen) = load(false);
    assert_eq!(result.unwrap().keys_loaded, 5000);
    assert!(seen.len() >= 2 && seen.is_sorted(), "{seen:?}");
    let (result, seen) = load(true);
    assert_eq!((result.unwrap_err().reason, seen.len()), (Reason::Cancelled, 1));
}
