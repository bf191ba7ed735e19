//! What the tests of both sides share: cores with known ids, and hands that do the driver's work.

#![allow(dead_code, reason = "every test file uses its own part")]

pub mod hands;

use repl::*;
use std::io::IoSlice;

pub const CONN: ConnId = ConnId(7);

/// A core whose ids are made of `seed` and a counter.
pub fn new_repl(seed: u8, settings: ReplSettings) -> Repl {
    let mut counter = 0u8;
    let entropy: Entropy = Box::new(move || {
        counter += 1;
        let mut bytes = [seed; 20];
        bytes[19] = counter;
        bytes
    });
    Repl::new(0, settings, entropy)
}

/// What it wants done, and what it logs, apart.
pub fn drain(repl: &mut Repl) -> (Vec<Action>, Vec<String>) {
    let (mut actions, mut logs) = (Vec::new(), Vec::new());
    while let Some(action) = repl.poll_action() {
        match action {
            Action::Log { text, .. } => logs.push(text),
            other => actions.push(other),
        }
    }
    (actions, logs)
}

pub fn actions(repl: &mut Repl) -> Vec<Action> {
    drain(repl).0
}

pub fn logs(repl: &mut Repl) -> Vec<String> {
    drain(repl).1
}

/// Everything that a replica's connection is to be sent now, files as so many dots.
pub fn output(repl: &mut Repl, now_ms: u64, conn: ConnId) -> String {
    let mut out = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 8];
        let before = out.len();
        match repl.outgoing(conn, &mut slices) {
            Outgoing::Nothing => break,
            Outgoing::Slices(n) => out.extend(slices[..n].iter().flat_map(|s| s.iter().copied())),
            Outgoing::File { len, .. } => out.extend(std::iter::repeat_n(b'.', len as usize)),
        }
        let sent = (out.len() - before) as u64;
        repl.sent(now_ms, conn, sent);
    }
    String::from_utf8(out).unwrap()
}

pub fn psync(
    repl: &mut Repl,
    now_ms: u64,
    conn: ConnId,
    replid: &str,
    offset: &str,
) -> Result<(), SyncRefusal> {
    let (replid, offset) = (replid.as_bytes(), offset.as_bytes());
    repl.replica_psync(now_ms, SyncRequest { conn, peer_ip: "127.0.0.1", replid, offset })
}

/// Introduces a connection as replicas of today do.
pub fn introduce(repl: &mut Repl, conn: ConnId, port: &str) {
    let answer = repl.replica_replconf(0, conn, &[b"listening-port".as_slice(), port.as_bytes()]);
    assert_eq!(answer, ReplconfReply::Ok);
    let answer = repl.replica_replconf(0, conn, &[b"capa", b"eof", b"capa", b"psync2"]);
    assert_eq!(answer, ReplconfReply::Ok);
}

/// The snapshot that it asks for.
pub fn wanted_snapshot(repl: &mut Repl) -> (SnapshotId, SnapshotMode) {
    let actions = actions(repl);
    let found = actions.iter().find_map(|a| match a {
        Action::StartSnapshot { id, mode, .. } => Some((*id, *mode)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no snapshot in {actions:?}"))
}

/// Reports the fork.
pub fn start_snapshot(repl: &mut Repl, id: SnapshotId) {
    repl.handle_snapshot(0, SnapshotEvent::Started { id });
    assert_eq!(repl.poll_action(), Some(Action::SelectAgain));
}

pub fn disk_settings() -> ReplSettings {
    ReplSettings { repl_diskless_sync: false, ..ReplSettings::default() }
}

/// A master on disk syncs, with one replica online after a full sync.
pub fn master_with_replica() -> (Repl, String) {
    let mut master = new_repl(1, disk_settings());
    add_replica(&mut master, CONN, "6380");
    let replid = master.ids().replid.to_string();
    (master, replid)
}

/// Takes one more replica through a full sync from disk.
pub fn add_replica(master: &mut Repl, conn: ConnId, port: &str) {
    introduce(master, conn, port);
    psync(master, 0, conn, "?", "-1").unwrap();
    let (id, mode) = wanted_snapshot(master);
    assert_eq!(mode, SnapshotMode::Disk);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 5 });
    let (replid, offset) = (master.ids().replid, master.offset());
    let expected = format!("+FULLRESYNC {replid} {offset}\r\n$5\r\n.....");
    assert_eq!(output(master, 0, conn), expected);
    let (actions, logs) = drain(master);
    assert_eq!(actions, [Action::SelectAgain, Action::ReleaseSnapshot { id }]);
    assert_eq!(logs, [format!("Synchronization with replica 127.0.0.1:{port} succeeded")]);
}

pub fn addr(host: &str) -> MasterAddr {
    MasterAddr { host: host.into(), port: 6379 }
}

/// The link that it wants to open.
pub fn wanted_link(repl: &mut Repl) -> LinkId {
    let actions = actions(repl);
    let found = actions.iter().rev().find_map(|a| match a {
        Action::Connect { link, .. } => Some(*link),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no link in {actions:?}"))
}

/// What it wants to say to the master.
pub fn said(repl: &mut Repl) -> String {
    let mut out = String::new();
    for action in actions(repl) {
        if let Action::SendMaster { bytes, .. } = action {
            out.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
    out
}

/// Plays a master that knows everything up to the answer to PSYNC; gives the PSYNC.
pub fn shake_hands(repl: &mut Repl, now_ms: u64, link: LinkId) -> String {
    repl.handle_connected(now_ms, link);
    assert_eq!(said(repl), "*1\r\n$4\r\nPING\r\n");
    repl.handle_bytes(now_ms, link, b"+PONG\r\n");
    drain(repl);
    repl.handle_bytes(now_ms, link, b"+OK\r\n+OK\r\n");
    said(repl)
}

pub const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A replica whose stream is up, at offset 100 of history `ID`.
pub fn synced_replica(settings: ReplSettings) -> (Repl, LinkId) {
    let mut replica = new_repl(2, settings);
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    full_sync(&mut replica, 0, link, ID, 100);
    drain(&mut replica);
    (replica, link)
}

/// Plays a full sync from its offer to its end.
pub fn full_sync(replica: &mut Repl, now_ms: u64, link: LinkId, replid: &str, offset: u64) {
    let input = format!("+FULLRESYNC {replid} {offset}\r\n$3\r\nRDB");
    replica.handle_bytes(now_ms, link, input.as_bytes());
    replica.load_verified(now_ms);
    replica.load_done(now_ms);
    assert!(replica.is_link_up());
}
