//! A master and a replica, wired to each other by hand: the exact words on the wire and the story in the
//! logs. Must not need a network: faults are the simulation's task.

use bytes::Bytes;
use repl::*;
use std::io::IoSlice;

fn new_repl(seed: u8, settings: ReplSettings) -> Repl {
    let mut counter = 0u8;
    let entropy: Entropy = Box::new(move || {
        counter += 1;
        let mut bytes = [seed; 20];
        bytes[19] = counter;
        bytes
    });
    Repl::new(0, settings, entropy)
}

fn drain(repl: &mut Repl) -> (Vec<Action>, Vec<String>) {
    let (mut actions, mut logs) = (Vec::new(), Vec::new());
    while let Some(action) = repl.poll_action() {
        match action {
            Action::Log { text, .. } => logs.push(text),
            other => actions.push(other),
        }
    }
    (actions, logs)
}

fn output(repl: &mut Repl, conn: ConnId) -> String {
    let mut out = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 8];
        let Outgoing::Slices(n) = repl.outgoing(conn, &mut slices) else { break };
        let before = out.len();
        out.extend(slices[..n].iter().flat_map(|s| s.iter().copied()));
        let sent = (out.len() - before) as u64;
        repl.sent(0, conn, sent);
    }
    String::from_utf8(out).unwrap()
}

const CONN: ConnId = ConnId(7);

fn psync(repl: &mut Repl, now_ms: u64, replid: &str, offset: &str) -> Result<(), SyncRefusal> {
    let request = SyncRequest {
        conn: CONN,
        peer_ip: "127.0.0.1",
        replid: replid.as_bytes(),
        offset: offset.as_bytes(),
    };
    repl.replica_psync(now_ms, request)
}

fn disk_master() -> Repl {
    new_repl(1, ReplSettings { repl_diskless_sync: false, ..ReplSettings::default() })
}

/// A master with one replica that went online after a full sync from disk.
fn master_with_replica() -> (Repl, String) {
    let mut master = disk_master();
    master.replica_replconf(0, CONN, &[b"listening-port", b"6380"]);
    master.replica_replconf(0, CONN, &[b"capa", b"eof", b"capa", b"psync2"]);
    psync(&mut master, 0, "?", "-1").unwrap();
    let (actions, _) = drain(&mut master);
    let Action::StartSnapshot { id, mode, .. } = actions[0] else { panic!("{actions:?}") };
    assert_eq!(mode, SnapshotMode::Disk);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 5 });
    let replid = master.ids().replid.to_string();
    assert_eq!(output(&mut master, CONN), format!("+FULLRESYNC {replid} 0\r\n$5\r\n"));
    assert_eq!(
        master.outgoing(CONN, &mut [IoSlice::new(&[])]),
        Outgoing::File { id, position: 0, len: 5 }
    );
    master.sent(0, CONN, 5);
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, [Action::ReleaseSnapshot { id }]);
    assert_eq!(logs, ["Synchronization with replica 127.0.0.1:6380 succeeded"]);
    (master, replid)
}

#[test]
fn a_master_tells_its_side_of_a_full_sync() {
    let mut master = disk_master();
    master.replica_replconf(0, CONN, &[b"listening-port", b"6380"]);
    psync(&mut master, 0, "?", "-1").unwrap();
    let (_, logs) = drain(&mut master);
    let id = master.ids().replid;
    let zero = "0".repeat(40);
    assert_eq!(
        logs,
        [
            "Replica 127.0.0.1:6380 asks for synchronization".to_string(),
            "Full resync requested by replica 127.0.0.1:6380".to_string(),
            format!("Replication backlog created, my new replication IDs are '{id}' and '{zero}'"),
            "Starting BGSAVE for SYNC with target: disk".to_string(),
        ]
    );
}

#[test]
fn the_stream_begins_with_select_and_goes_on_after_a_cut() {
    let (mut master, replid) = master_with_replica();
    master.handle_write(3, b"*1\r\n$1\r\nA\r\n");
    assert_eq!(output(&mut master, CONN), "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$1\r\nA\r\n");
    let at = master.offset();
    master.handle_conn_closed(0, CONN);
    master.handle_write(3, b"*1\r\n$1\r\nB\r\n");
    master.replica_replconf(0, CONN, &[b"capa", b"psync2"]);
    psync(&mut master, 0, &replid, &(at + 1).to_string()).unwrap();
    assert_eq!(output(&mut master, CONN), format!("+CONTINUE {replid}\r\n*1\r\n$1\r\nB\r\n"));
}

#[test]
fn a_diskless_sync_waits_for_the_delay_and_the_first_ack() {
    let mut master = new_repl(1, ReplSettings::default());
    master.replica_replconf(0, CONN, &[b"capa", b"eof", b"capa", b"psync2"]);
    psync(&mut master, 0, "?", "-1").unwrap();
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, []);
    assert_eq!(logs.last().unwrap(), "Delay next BGSAVE for diskless SYNC");
    (1..=5).for_each(|s| master.handle_timeout(s * 1000));
    let (actions, _) = drain(&mut master);
    let Action::StartSnapshot { id, mode, .. } = actions[0] else { panic!("{actions:?}") };
    assert_eq!(mode, SnapshotMode::Socket);
    master.handle_snapshot(5000, SnapshotEvent::Started { id });
    master.handle_snapshot(5000, SnapshotEvent::Chunk { id, bytes: Bytes::from_static(b"RDB") });
    master.handle_snapshot(5000, SnapshotEvent::Ready { id, size_bytes: 3 });
    master.handle_write(0, b"X");
    let out = output(&mut master, CONN);
    let (head, payload) = out.split_once("$EOF:").unwrap();
    assert!(head.trim_start_matches('\n').starts_with("+FULLRESYNC "));
    let (mark, rest) = payload.split_once("\r\n").unwrap();
    assert_eq!(rest, format!("RDB{mark}"));
    master.replica_replconf(5000, CONN, &[b"ACK", b"0"]);
    assert_eq!(output(&mut master, CONN), "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\nX");
}

/// Plays a master to `replica` up to the end of the handshake.
fn shake_hands(replica: &mut Repl) -> (LinkId, String) {
    let addr = MasterAddr { host: "m".into(), port: 1 };
    replica.boot(0, Some(addr), None);
    let (actions, _) = drain(replica);
    let Action::Connect { link, .. } = actions[0] else { panic!("{actions:?}") };
    replica.handle_connected(0, link);
    replica.handle_bytes(0, link, b"+PONG\r\n+OK\r\n");
    replica.handle_bytes(0, link, b"+OK\r\n");
    let (actions, _) = drain(replica);
    let sent = (actions.iter())
        .map(|a| match a {
            Action::SendMaster { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    (link, sent)
}

#[test]
fn a_replica_takes_a_full_sync_and_then_the_stream() {
    let mut replica = new_repl(2, ReplSettings::default());
    let (link, sent) = shake_hands(&mut replica);
    assert!(sent.ends_with("*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"), "{sent}");
    let id = "a".repeat(40);
    let input = format!("\n+FULLRESYNC {id} 100\r\n\n$3\r\nRDB*1\r\n$4\r\nPING\r\n");
    for byte in input.as_bytes() {
        replica.handle_bytes(0, link, &[*byte]);
    }
    let (actions, _) = drain(&mut replica);
    assert_eq!(
        actions[..],
        [
            Action::LoadStart { target: LoadTarget::File, size_bytes: Some(3) },
            Action::LoadChunk(Bytes::from_static(b"R")),
            Action::LoadChunk(Bytes::from_static(b"D")),
            Action::LoadChunk(Bytes::from_static(b"B")),
            Action::LoadEnd { size_bytes: 3 },
        ]
    );
    replica.load_verified(0);
    assert_eq!(drain(&mut replica).0, [Action::LoadCommit]);
    replica.load_done(0);
    let (actions, logs) = drain(&mut replica);
    assert_eq!(logs, ["MASTER <-> REPLICA sync: Finished with success"]);
    assert_eq!(actions[0], Action::StreamStart { resumed: false });
    assert_eq!(actions[2], Action::Apply(Bytes::from_static(b"*1\r\n$4\r\nPING\r\n")));
    replica.applied(0, 14);
    assert_eq!((replica.offset(), replica.ids().replid.as_str()), (114, id.as_str()));
    replica.handle_link_closed(2000, link, "connection lost");
    let (actions, logs) = drain(&mut replica);
    assert!(matches!(actions.last(), Some(Action::Connect { .. })), "{actions:?}");
    assert_eq!(logs[0], "Connection with master lost.");
    assert_eq!(logs[1], "Caching the disconnected master state.");
}
