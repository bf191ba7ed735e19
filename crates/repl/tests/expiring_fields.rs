//! Replicas that may not know that fields of hashes expire: they skipped what they did not know, with the
//! transactions that it stood in, and their link stayed up.

mod common;

use common::*;
use repl::*;

const OTHER: ConnId = ConnId(9);

fn closed(master: &mut Repl) -> Vec<ConnId> {
    let closed = actions(master).into_iter().filter_map(|action| match action {
        Action::CloseReplica { conn } => Some(conn),
        _ => None,
    });
    closed.collect()
}

fn asks_to_go_on(master: &mut Repl, now_ms: u64, conn: ConnId) -> Result<bool, SyncRefusal> {
    let (replid, next) = (master.ids().replid.to_string(), master.offset() + 1);
    psync(master, now_ms, conn, &replid, &next.to_string())?;
    let is_partial = output(master, now_ms, conn).starts_with("+CONTINUE");
    Ok(is_partial)
}

/// The snapshot that it waits for is sent to it.
fn is_sent_a_snapshot(master: &mut Repl, conn: ConnId) {
    let (id, _) = wanted_snapshot(master);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 5 });
    assert!(output(master, 0, conn).ends_with("....."));
    drain(master);
}

fn says(master: &mut Repl, conn: ConnId, words: &[&str]) {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    master.replica_replconf(0, conn, &words);
}

#[test]
fn a_replica_that_says_nothing_is_given_a_snapshot_once() {
    let (mut master, _) = master_with_replica();
    assert!(!master.says_field_expiries());
    master.say_field_expiries(0);
    let (actions, logs) = drain(&mut master);
    assert!(actions.contains(&Action::CloseReplica { conn: CONN }));
    assert!(logs[0].starts_with("Fields of hashes expire from now on. Replica 127.0.0.1:6380"));
    // It does not go on where it was, for what it has heard it may have skipped.
    introduce(&mut master, OTHER, "6380");
    assert_eq!(asks_to_go_on(&mut master, 0, OTHER), Ok(false));
    assert_eq!(master.stats().full_for(FullSyncReason::FieldExpiries), 1);
    is_sent_a_snapshot(&mut master, OTHER);
    // What it has been sent it need not have loaded, and it is not sent without end.
    master.handle_conn_closed(0, OTHER);
    introduce(&mut master, OTHER, "6380");
    assert_eq!(asks_to_go_on(&mut master, 1000, OTHER), Err(SyncRefusal::NotLoaded));
    assert_eq!(asks_to_go_on(&mut master, 30_000, OTHER), Ok(false));
    is_sent_a_snapshot(&mut master, OTHER);
    says(&mut master, OTHER, &["ACK", "0"]);
    master.handle_conn_closed(0, OTHER);
    introduce(&mut master, OTHER, "6380");
    assert_eq!(asks_to_go_on(&mut master, 31_000, OTHER), Ok(true));
    // Another one is another one.
    introduce(&mut master, CONN, "6381");
    assert_eq!(asks_to_go_on(&mut master, 31_000, CONN), Ok(false));
}

#[test]
fn who_says_that_it_knows_stays() {
    for words in [["version", "9.1.2"], ["capa", "tandem-progress"]] {
        let (mut master, _) = master_with_replica();
        says(&mut master, CONN, &words);
        master.say_field_expiries(0);
        assert!(closed(&mut master).is_empty(), "{words:?}");
        master.handle_conn_closed(0, CONN);
        introduce(&mut master, OTHER, "6380");
        says(&mut master, OTHER, &words);
        assert_eq!(asks_to_go_on(&mut master, 0, OTHER), Ok(true), "{words:?}");
    }
    let (mut master, _) = master_with_replica();
    says(&mut master, CONN, &["version", "8.1.0"]);
    master.say_field_expiries(0);
    assert_eq!(closed(&mut master), [CONN]);
}

/// Its snapshot is still to be made, and will say it.
#[test]
fn who_waits_for_a_snapshot_goes_on_waiting() {
    let settings = ReplSettings { repl_diskless_sync_delay_secs: 5, ..ReplSettings::default() };
    let mut master = new_repl(1, settings);
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    master.say_field_expiries(0);
    assert!(closed(&mut master).is_empty());
    assert!(master.is_replica(CONN));
}
