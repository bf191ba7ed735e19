//! What the `link` fuzz target does with its bytes, and a replay of its corpus. The target includes this
//! file, so that a finding becomes a regression test by adding its file to the corpus.

mod common;

use common::hands::{Hands, PIECES, Step};
use repl::{DisklessLoad, ReplSettings};

/// The entry of the fuzz target: the first byte chooses settings, each further one a step, and some steps
/// take their own bytes from what follows. Panics when a promise of the crate is broken.
pub fn link(data: &[u8]) {
    let [options, script @ ..] = data else { return };
    let settings = ReplSettings {
        repl_diskless_load: match options & 3 {
            0 => DisklessLoad::OnEmptyDb,
            1 => DisklessLoad::SwapDb,
            _ => DisklessLoad::Disabled,
        },
        master_auth: (options & 4 != 0).then(|| b"p".to_vec()),
        announce_ip: (options & 8 != 0).then(|| "1.2.3.4".to_string()),
        repl_diskless_sync: options & 16 != 0,
        repl_diskless_sync_delay_secs: 0,
        repl_backlog_size_bytes: 200,
        has_save_points: options & 32 != 0,
        ..ReplSettings::default()
    };
    let mut hands = Hands::new(settings);
    hands.settle();
    let mut rest = script;
    while let [op, after @ ..] = rest {
        rest = after;
        let step = next_step(*op, &mut rest);
        hands.perform(&step);
    }
}

fn next_step(op: u8, rest: &mut &[u8]) -> Step {
    let choice = usize::from(op >> 4);
    match op & 15 {
        0..=2 => Step::Piece(choice % PIECES.len()),
        3 | 4 => Step::Noise(take(rest, choice * 4 + 1)),
        5 => Step::Fragment(choice * choice + 1),
        6 if choice == 0 => Step::Closed,
        6 => Step::Tick(choice as u64 * 1000),
        7 => Step::Verified(choice > 0),
        8 => Step::Loaded(choice > 0),
        9 => Step::Applied,
        10 => Step::ReplicaOf(choice & 1 == 0),
        11 => Step::Psync(choice & 3, take(rest, 1).first().map_or(0, |b| i64::from(*b) - 20)),
        12 => Step::Replconf((0..choice & 7).map(|_| word(rest)).collect()),
        13 => Step::SnapshotStarted(choice > 0),
        14 => Step::SnapshotEnds(choice > 0),
        _ => Step::Send,
    }
}

fn word(rest: &mut &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 9] = [
        b"ack",
        b"fack",
        b"capa",
        b"eof",
        b"psync2",
        b"listening-port",
        b"rdb-only",
        b"1",
        b"tandem-progress",
    ];
    match take(rest, 1).first() {
        Some(n) if usize::from(*n) < WORDS.len() => WORDS[usize::from(*n)].to_vec(),
        Some(n) => take(rest, usize::from(*n) % 20),
        None => Vec::new(),
    }
}

fn take(rest: &mut &[u8], n: usize) -> Vec<u8> {
    let (taken, after) = rest.split_at(n.min(rest.len()));
    *rest = after;
    taken.to_vec()
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the corpus is files")]
fn the_corpus_breaks_no_promise() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/link");
    let mut count = 0;
    for file in std::fs::read_dir(dir).expect("the corpus is in the repository") {
        let path = file.expect("its files can be listed").path();
        link(&std::fs::read(path).expect("its files can be read"));
        count += 1;
    }
    assert!(count > 0);
}
