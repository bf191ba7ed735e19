//! How far a full sync is, where its length is not known beforehand: the master knows the keys written of all
//! keys, and tells replicas of ours, in words that others never see.

mod common;

use bytes::Bytes;
use common::*;
use repl::*;

const REDIS: ConnId = ConnId(9);
const PAYLOAD: &[u8] = b"REDIS0011-and-a-payload-that-takes-a-while";

fn diskless() -> ReplSettings {
    ReplSettings { repl_diskless_sync_delay_secs: 0, ..ReplSettings::default() }
}

/// A replica that has shaken hands with this master, and the master that heard it on `CONN`.
fn pair(settings: ReplSettings) -> (Repl, Repl, LinkId) {
    let mut master = new_repl(1, settings);
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    replica.handle_connected(0, link);
    drain(&mut replica);
    replica.handle_bytes(0, link, b"+PONG\r\n");
    let words = said(&mut replica);
    // Every other line is the length of the next.
    let capas: Vec<&[u8]> =
        words.split("\r\n").skip_while(|w| *w != "capa").step_by(2).map(str::as_bytes).collect();
    assert_eq!(master.replica_replconf(0, CONN, &capas), ReplconfReply::Ok);
    replica.handle_bytes(0, link, b"+OK\r\n+OK\r\n");
    drain(&mut replica);
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    (master, replica, link)
}

/// Takes at most `max` bytes of what is to be sent.
fn pull(master: &mut Repl, now_ms: u64, conn: ConnId, max: usize) -> Vec<u8> {
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let bytes: Vec<u8> = match master.outgoing(conn, &mut slices) {
        Outgoing::Nothing => Vec::new(),
        Outgoing::Slices(n) => {
            slices[..n].iter().flat_map(|s| s.iter().copied()).take(max).collect()
        }
        Outgoing::File { position, len, .. } => {
            PAYLOAD[position as usize..][..(len as usize).min(max)].to_vec()
        }
    };
    master.sent(now_ms, conn, bytes.len() as u64);
    bytes
}

fn progress(keys: u64, bytes: u64) -> SnapshotProgress {
    SnapshotProgress { keys, keys_total: 1000, bytes }
}

fn payload_of(actions: &[Action]) -> Vec<u8> {
    let mut payload = Vec::new();
    for action in actions {
        if let Action::LoadChunk(bytes) = action {
            payload.extend_from_slice(bytes);
        }
    }
    payload
}

fn transfer_of(replica: &Repl, now_ms: u64) -> TransferView {
    replica.view(now_ms).upstream.unwrap().transfer.expect("a sync is under way")
}

#[test]
fn a_diskless_sync_had_no_percent_and_no_time_left() {
    let (mut master, mut replica, link) = pair(diskless());
    let (id, _) = wanted_snapshot(&mut master);
    start_snapshot(&mut master, id);
    let preamble = pull(&mut master, 0, CONN, 1000);
    replica.handle_bytes(0, link, &preamble);
    let chunk = Bytes::from(vec![b'x'; 1_000_000]);
    for second in 1..=6 {
        let now_ms = second * 1000;
        master.handle_snapshot(now_ms, SnapshotEvent::Chunk { id, bytes: chunk.clone() });
        let progress = progress(50 * second, second * 1_000_000);
        master.handle_snapshot(now_ms, SnapshotEvent::Progress { id, progress });
        loop {
            let bytes = pull(&mut master, now_ms, CONN, 100_000);
            if bytes.is_empty() {
                break;
            }
            replica.handle_bytes(now_ms, link, &bytes);
        }
        master.handle_timeout(now_ms);
        replica.handle_timeout(now_ms);
    }
    let transfer = transfer_of(&replica, 6000);
    assert_eq!(transfer.read_bytes, 6_000_000, "what is told is no payload");
    assert_eq!(transfer.total_bytes(), None, "as with Redis: nobody knows");
    let estimate = transfer.estimate().unwrap();
    assert_eq!((estimate.progress.keys, estimate.total_bytes), (300, 20_000_000));
    assert_eq!(transfer.percent(), 30.0);
    assert_eq!(transfer.secs_left(), Some(14));
    let told = |logs: &[String], start: &str| -> Vec<String> {
        logs.iter().filter_map(|l| l.strip_prefix(start)).map(str::to_owned).collect()
    };
    let log = logs(&mut replica);
    let line = "5.0 of about 20.0 MB (25.0%), 1.0 MB/s, 15 seconds left";
    assert_eq!(told(&log, "MASTER <-> REPLICA sync: received "), [line]);
    // The master tells it too: a replica of another make has no way to know.
    let log = logs(&mut master);
    let made = "250 of 1000 keys (25.0%), 5.0 MB, 1.0 MB/s, 15 seconds left";
    assert_eq!(told(&log, "Snapshot for replicas: "), [made]);
    let start = "Sync with replica 127.0.0.1:<unknown-replica-port>: sent ";
    assert_eq!(told(&log, start), [line], "{log:?}");
    let view = master.view(6000);
    let snapshot = view.snapshot.unwrap();
    assert_eq!((snapshot.progress.keys, snapshot.secs_left), (300, Some(14)));
    assert_eq!(view.replicas[0].transfer.unwrap().secs_left(), Some(13));
}

// A report may go out wherever the connection stands, be it in the middle of the line before the snapshot or of
// the mark behind it, and the child may tell something at any time.
#[test]
fn a_report_never_becomes_a_part_of_the_snapshot() {
    for step in [1, 2, 3, 7, 64] {
        let (mut master, mut replica, link) = pair(diskless());
        introduce(&mut master, REDIS, "6381");
        psync(&mut master, 0, REDIS, "?", "-1").unwrap();
        let (id, _) = wanted_snapshot(&mut master);
        start_snapshot(&mut master, id);
        let mut redis = Vec::new();
        let mut told = 0;
        for round in 0..3000 {
            match round {
                300 | 600 => {
                    let half = PAYLOAD.split_at(PAYLOAD.len() / 2);
                    let half = if round == 300 { half.0 } else { half.1 };
                    let bytes = Bytes::from_static(half);
                    master.handle_snapshot(0, SnapshotEvent::Chunk { id, bytes });
                }
                900 => master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 1 }),
                _ => {}
            }
            let progress = progress(round, round);
            master.handle_snapshot(0, SnapshotEvent::Progress { id, progress });
            let bytes = pull(&mut master, 0, CONN, step);
            replica.handle_bytes(0, link, &bytes);
            redis.extend(pull(&mut master, 0, REDIS, step));
            let progress = replica.view(0).upstream.unwrap().transfer.and_then(|t| t.estimate());
            told = told.max(progress.map_or(0, |estimate| estimate.progress.keys));
        }
        let actions = actions(&mut replica);
        assert_eq!(payload_of(&actions), PAYLOAD);
        let end = Action::LoadEnd { size_bytes: PAYLOAD.len() as u64 };
        assert_eq!(actions.last(), Some(&end));
        assert!(told > 600, "it was told until the end: {told}");
        // Others get what they always got.
        let text = String::from_utf8(redis).unwrap();
        let (head, rest) = text.split_once("$EOF:").unwrap();
        assert_eq!(head, format!("+FULLRESYNC {} 0\r\n", master.ids().replid));
        let payload = std::str::from_utf8(PAYLOAD).unwrap();
        assert_eq!(rest[42..], format!("{payload}{}", &rest[..40]));
    }
}

#[test]
fn a_replica_that_waits_for_a_file_hears_how_far_it_is() {
    let (mut master, mut replica, link) = pair(disk_settings());
    introduce(&mut master, REDIS, "6381");
    psync(&mut master, 0, REDIS, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    start_snapshot(&mut master, id);
    let head = pull(&mut master, 0, CONN, 1000);
    replica.handle_bytes(0, link, &head);
    let mut redis = Vec::new();
    for second in 1..=6 {
        let now_ms = second * 1000;
        let progress = progress(50 * second, second * 1_000_000);
        master.handle_snapshot(now_ms, SnapshotEvent::Progress { id, progress });
        let bytes = pull(&mut master, now_ms, CONN, 10_000);
        replica.handle_bytes(now_ms, link, &bytes);
        redis.extend(pull(&mut master, now_ms, REDIS, 10_000));
        replica.handle_timeout(now_ms);
    }
    let transfer = transfer_of(&replica, 6000);
    assert_eq!(transfer.estimate().unwrap().progress.keys, 300);
    assert_eq!((transfer.percent(), transfer.secs_left()), (0.0, None), "nothing came so far");
    let told = "MASTER <-> REPLICA sync: the master prepares the snapshot: 250 of 1000 keys (25.0%), \
                5.0 MB, 1.0 MB/s, 15 seconds left";
    let log = logs(&mut replica);
    assert!(log.contains(&told.to_string()), "{log:?}");
    assert_eq!(redis, format!("+FULLRESYNC {} 0\r\n", master.ids().replid).as_bytes());
    let size_bytes = PAYLOAD.len() as u64;
    master.handle_snapshot(6000, SnapshotEvent::Ready { id, size_bytes });
    for _ in 0..3 {
        let bytes = pull(&mut master, 6000, CONN, PAYLOAD.len() / 2 + 1);
        replica.handle_bytes(6000, link, &bytes);
    }
    assert!(transfer_of(&replica, 7000).estimate().is_none(), "the size is known now");
    assert_eq!(payload_of(&actions(&mut replica)), PAYLOAD);
}

// A snapshot of Redis may contain what looks like a report, and Redis never sends one.
#[test]
fn a_master_that_does_not_report_is_not_misunderstood() {
    let (_, mut replica, link) = pair(diskless());
    let mark = "0123456789".repeat(4);
    let sign = format!("{}+", &mark[..39]);
    let body = format!("{sign}12345678abcdefgh87654321 and on");
    let input = format!("+FULLRESYNC {ID} 100\r\n\n$EOF:{mark}\r\n{body}");
    replica.handle_bytes(1000, link, input.as_bytes());
    let transfer = transfer_of(&replica, 2000);
    assert_eq!((transfer.percent(), transfer.secs_left()), (0.0, None));
    assert_eq!(transfer.estimate(), None);
    replica.handle_bytes(1000, link, mark.as_bytes());
    assert_eq!(payload_of(&actions(&mut replica)), body.as_bytes());
}
