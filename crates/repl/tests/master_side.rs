//! A master and its replicas, byte for byte and line for line, with the driver's work done by hand.
//! Faults of a network are the simulation's task.

mod common;

use bytes::Bytes;
use common::*;
use repl::*;

const PING: &str = "*1\r\n$4\r\nPING\r\n";

#[test]
fn a_master_tells_its_side_of_a_full_sync() {
    let mut master = new_repl(1, disk_settings());
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let id = master.ids().replid;
    let zero = "0".repeat(40);
    assert_eq!(
        logs(&mut master),
        [
            "Replica 127.0.0.1:6380 asks for synchronization".to_string(),
            "Full resync requested by replica 127.0.0.1:6380".to_string(),
            format!("Replication backlog created, my new replication IDs are '{id}' and '{zero}'"),
            "Starting BGSAVE for SYNC with target: disk".to_string(),
        ]
    );
}

// A replica that has just loaded a snapshot knows no selected database: Redis 3 and older do not even
// read one from the header.
#[test]
fn the_engine_is_told_to_say_select_again_at_every_fork() {
    let mut master = new_repl(1, disk_settings());
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    assert_eq!(actions(&mut master), [Action::SelectAgain]);
}

#[test]
fn a_replica_that_comes_back_gets_the_bytes_it_missed() {
    let (mut master, replid) = master_with_replica();
    master.handle_write(b"A");
    output(&mut master, 0, CONN);
    let at = master.offset();
    master.handle_conn_closed(0, CONN);
    master.handle_write(b"B");
    drain(&mut master);
    introduce(&mut master, ConnId(9), "6380");
    psync(&mut master, 0, ConnId(9), &replid.to_uppercase(), &(at + 1).to_string()).unwrap();
    assert_eq!(output(&mut master, 0, ConnId(9)), format!("+CONTINUE {replid}\r\nB"));
    let accepted = format!(
        "Partial resynchronization request from 127.0.0.1:6380 accepted. Sending 1 bytes of backlog \
         starting from offset {}.",
        at + 1
    );
    let story = ["Replica 127.0.0.1:6380 asks for synchronization".to_string(), accepted];
    assert_eq!(logs(&mut master), story);
    let stats = master.stats();
    assert_eq!((stats.full(), stats.partial_ok, stats.partial_err), (1, 1, 0));
    assert_eq!(stats.full_for(FullSyncReason::First), 1);
}

#[test]
fn a_replica_older_than_psync2_is_not_told_the_id() {
    let (mut master, replid) = master_with_replica();
    let next = (master.offset() + 1).to_string();
    psync(&mut master, 0, ConnId(9), &replid, &next).unwrap();
    assert_eq!(output(&mut master, 0, ConnId(9)), "+CONTINUE\r\n");
}

#[test]
fn every_reason_against_a_partial_resync_is_logged() {
    let (mut master, replid) = master_with_replica();
    let zero = "0".repeat(40);
    let mut ask = |replid: &str, offset: &str| {
        psync(&mut master, 0, ConnId(9), replid, offset).unwrap();
        let logs = logs(&mut master);
        master.handle_conn_closed(0, ConnId(9));
        drain(&mut master);
        let is_reason =
            |l: &&String| ["Partial", "Unable", "Warning"].iter().any(|word| l.starts_with(word));
        logs.iter().filter(is_reason).cloned().collect::<Vec<String>>()
    };
    assert_eq!(
        ask(ID, "5"),
        [format!(
            "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for \
             '{ID}', my replication IDs are '{replid}' and '{zero}')"
        )]
    );
    let name = "127.0.0.1:<unknown-replica-port>";
    assert_eq!(
        ask(&replid, "-5"),
        [format!(
            "Unable to partial resync with replica {name} for lack of backlog (Replica request was: \
             -5)."
        )]
    );
    assert_eq!(
        ask(&replid, "1000"),
        [
            format!(
                "Unable to partial resync with replica {name} for lack of backlog (Replica request \
                 was: 1000)."
            ),
            format!(
                "Warning: replica {name} tried to PSYNC with an offset that is greater than the \
                 master replication offset."
            ),
        ]
    );
}

#[test]
fn an_offset_that_is_no_number_is_refused() {
    let mut master = new_repl(1, disk_settings());
    let refusal = psync(&mut master, 0, CONN, ID, "x").unwrap_err();
    assert_eq!(refusal.text(), "ERR value is not an integer or out of range");
    let last = "Replica 127.0.0.1:<unknown-replica-port> asks for synchronization but with a wrong \
                offset";
    assert_eq!(logs(&mut master).last().unwrap(), last);
    assert!(!master.is_replica(CONN));
}

#[test]
fn sync_from_an_old_replica_has_no_fullresync_line() {
    let mut master = new_repl(1, ReplSettings::default());
    master.replica_sync(0, CONN, "127.0.0.1").unwrap();
    let (id, mode) = wanted_snapshot(&mut master);
    // It does not know the end mark: diskless or not, it gets a file.
    assert_eq!(mode, SnapshotMode::Disk);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    master.handle_write(b"A");
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 5 });
    assert_eq!(output(&mut master, 0, CONN), "$5\r\n.....A");
    // It never acknowledges anything, and that is no reason to drop it.
    master.handle_timeout(1_000_000);
    assert!(master.is_replica(CONN));
}

#[test]
fn a_diskless_sync_waits_for_the_delay_and_the_first_ack() {
    let mut master = new_repl(1, ReplSettings::default());
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, []);
    assert_eq!(logs.last().unwrap(), "Delay next BGSAVE for diskless SYNC");
    (1..=5).for_each(|s| master.handle_timeout(s * 1000));
    let (id, mode) = wanted_snapshot(&mut master);
    assert_eq!(mode, SnapshotMode::Socket);
    let at_fork = master.offset();
    master.handle_snapshot(5000, SnapshotEvent::Started { id });
    assert!(master.snapshot_wants_data());
    master.handle_snapshot(5000, SnapshotEvent::Chunk { id, bytes: Bytes::from_static(b"RDB") });
    master.handle_snapshot(5000, SnapshotEvent::Ready { id, size_bytes: 3 });
    master.handle_write(b"X");
    let out = output(&mut master, 5000, CONN);
    let (head, payload) = out.split_once("$EOF:").unwrap();
    // The empty line that told it to be patient, then the answer.
    assert_eq!(head, format!("\n+FULLRESYNC {} {at_fork}\r\n", master.ids().replid));
    let (mark, rest) = payload.split_once("\r\n").unwrap();
    assert_eq!((mark.len(), rest), (40, format!("RDB{mark}").as_str()));
    let story = common::logs(&mut master);
    assert_eq!(
        story,
        [
            "Diskless rdb transfer, done reading from pipe, 1 replicas still up.",
            "Streamed RDB transfer with replica 127.0.0.1:6380 succeeded (socket). Waiting for \
             REPLCONF ACK from replica to enable streaming",
            "Synchronization with replica 127.0.0.1:6380 succeeded",
        ]
    );
    assert_eq!(output(&mut master, 5000, CONN), "");
    let silent = master.replica_replconf(5000, CONN, &[b"ACK", b"0"]);
    assert_eq!(silent, ReplconfReply::Silent);
    assert_eq!(output(&mut master, 5000, CONN), "X");
}

#[test]
fn enough_waiting_replicas_start_a_diskless_sync_at_once() {
    let settings = ReplSettings { repl_diskless_sync_max_replicas: 2, ..ReplSettings::default() };
    let mut master = new_repl(1, settings);
    for conn in [ConnId(1), ConnId(2)] {
        assert_eq!(actions(&mut master), []);
        introduce(&mut master, conn, "6380");
        psync(&mut master, 0, conn, "?", "-1").unwrap();
    }
    assert_eq!(wanted_snapshot(&mut master).1, SnapshotMode::Socket);
}

/// With a snapshot that is being streamed to its one replica.
fn streaming_master() -> (Repl, SnapshotId) {
    let settings = ReplSettings { repl_diskless_sync_delay_secs: 0, ..ReplSettings::default() };
    let mut master = new_repl(1, settings);
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    (master, id)
}

#[test]
fn a_streamed_snapshot_waits_for_the_slowest_replica() {
    let (mut master, id) = streaming_master();
    let bytes = Bytes::from(vec![b'r'; 256 * 1024]);
    let mut chunks = 0;
    while master.snapshot_wants_data() {
        chunks += 1;
        master.handle_snapshot(0, SnapshotEvent::Chunk { id, bytes: bytes.clone() });
    }
    assert!((2..=8).contains(&chunks), "{chunks} chunks were queued for nobody");
    output(&mut master, 0, CONN);
    assert!(master.snapshot_wants_data());
}

// It keeps the child waiting, and with it all the others.
#[test]
fn a_replica_that_takes_nothing_of_a_streamed_snapshot_is_dropped() {
    let (mut master, id) = streaming_master();
    drain(&mut master);
    for now_ms in [1000, 30_000, 60_000] {
        master.handle_timeout(now_ms);
        assert_eq!(actions(&mut master), [], "at {now_ms} it may still come");
    }
    master.handle_timeout(61_000);
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, [Action::CloseReplica { conn: CONN }, Action::CancelSnapshot { id }]);
    assert_eq!(logs[0], "Disconnecting timedout replica (full sync): 127.0.0.1:6380");
}

#[test]
fn a_replica_that_has_taken_all_there_is_waits_for_the_child_however_long() {
    let (mut master, _) = streaming_master();
    output(&mut master, 0, CONN);
    drain(&mut master);
    master.handle_timeout(1_000_000);
    assert_eq!(actions(&mut master), []);
    assert!(master.is_replica(CONN));
}

// Bytes that everybody has taken and that still counted would leave the child's pipe unread for ever, and the sync
// would hang until its timeout.
#[test]
fn what_all_replicas_have_taken_of_a_streamed_snapshot_makes_room_again() {
    let (mut master, id) = streaming_master();
    for len in [2 << 20, 1 << 20, 1] {
        let bytes = Bytes::from(vec![b'r'; len]);
        master.handle_snapshot(0, SnapshotEvent::Chunk { id, bytes });
        output(&mut master, 0, CONN);
        assert!(master.snapshot_wants_data(), "{len} bytes that are sent stand in the way");
    }
}

#[test]
fn a_latecomer_shares_a_disk_snapshot_with_its_stream() {
    let mut master = new_repl(1, disk_settings());
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    start_snapshot(&mut master, id);
    master.handle_write(b"WRITTEN-MEANWHILE");
    // More than any backlog holds: the snapshot keeps what its replicas need.
    master.apply_settings(0, ReplSettings { repl_backlog_size_bytes: 4, ..disk_settings() });
    introduce(&mut master, ConnId(8), "6381");
    psync(&mut master, 0, ConnId(8), "?", "-1").unwrap();
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, []);
    assert_eq!(logs.last().unwrap(), "Waiting for end of BGSAVE for SYNC");
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 5 });
    let replid = master.ids().replid;
    let expected = format!("+FULLRESYNC {replid} 0\r\n$5\r\n.....WRITTEN-MEANWHILE");
    assert_eq!(output(&mut master, 0, ConnId(8)), expected);
    assert_eq!(output(&mut master, 0, CONN), expected);
    let released = common::actions(&mut master);
    assert_eq!(released, [Action::ReleaseSnapshot { id }]);
}

#[test]
fn replicas_wait_for_children_of_others() {
    for (child, text) in [
        (
            OtherChild::Save,
            "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC",
        ),
        (
            OtherChild::Other,
            "No BGSAVE in progress, but another BG operation is active. BGSAVE for replication \
             delayed",
        ),
    ] {
        let mut master = new_repl(1, disk_settings());
        master.handle_other_child(0, child);
        psync(&mut master, 0, CONN, "?", "-1").unwrap();
        let (actions, logs) = drain(&mut master);
        assert_eq!(actions, []);
        assert_eq!(logs.last().unwrap(), text);
        master.handle_other_child(0, OtherChild::None);
        wanted_snapshot(&mut master);
    }
}

/// A disk that hung in a rename kept every replica from syncing, also those that need no file.
#[test]
fn only_a_file_waits_for_the_name_of_the_file() {
    let streamed = ReplSettings { repl_diskless_sync_delay_secs: 0, ..ReplSettings::default() };
    for (settings, waits) in [(disk_settings(), true), (streamed, false)] {
        let mut master = new_repl(1, settings);
        master.handle_other_child(0, OtherChild::RdbName);
        introduce(&mut master, CONN, "6380");
        psync(&mut master, 0, CONN, "?", "-1").unwrap();
        if waits {
            assert_eq!(drain(&mut master).0, []);
            master.handle_other_child(0, OtherChild::RdbName);
            assert_eq!(drain(&mut master).0, []);
            master.handle_other_child(0, OtherChild::None);
        }
        wanted_snapshot(&mut master);
    }
}

#[test]
fn a_snapshot_that_nobody_wants_is_cancelled() {
    let settings = ReplSettings { repl_diskless_sync_delay_secs: 0, ..ReplSettings::default() };
    let mut master = new_repl(1, settings.clone());
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    start_snapshot(&mut master, id);
    master.handle_conn_closed(0, CONN);
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, [Action::CancelSnapshot { id }]);
    assert_eq!(
        logs,
        [
            "Connection with replica 127.0.0.1:6380 lost.",
            "Diskless rdb transfer, last replica dropped, killing fork child."
        ]
    );
    // What the dying child still says is about nothing.
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 1 });
    assert_eq!(drain(&mut master), (vec![], vec![]));
}

#[test]
fn a_disk_snapshot_is_finished_for_the_save_points_only() {
    for has_save_points in [true, false] {
        let mut master = new_repl(1, ReplSettings { has_save_points, ..disk_settings() });
        psync(&mut master, 0, CONN, "?", "-1").unwrap();
        let (id, _) = wanted_snapshot(&mut master);
        start_snapshot(&mut master, id);
        master.handle_conn_closed(0, CONN);
        let cancelled = actions(&mut master) == [Action::CancelSnapshot { id }];
        assert_eq!(cancelled, !has_save_points);
    }
}

#[test]
fn a_fork_that_fails_is_told_to_who_waited() {
    let mut master = new_repl(1, disk_settings());
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    master.handle_snapshot(0, SnapshotEvent::Failed { id, why: "fork".into() });
    let error = "-ERR BGSAVE failed, replication can't continue\r\n";
    assert_eq!(output(&mut master, 0, CONN), error);
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, [Action::CloseReplica { conn: CONN }]);
    assert_eq!(logs, ["BGSAVE for replication failed"]);
}

#[test]
fn a_child_that_fails_costs_its_replicas_the_connection() {
    let mut master = new_repl(1, disk_settings());
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    start_snapshot(&mut master, id);
    master.handle_snapshot(0, SnapshotEvent::Failed { id, why: "signal".into() });
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, [Action::CloseReplica { conn: CONN }]);
    assert_eq!(logs[0], "SYNC failed. BGSAVE child returned an error");
}

#[test]
fn a_replica_for_the_rdb_only_is_closed_when_it_has_it() {
    let mut master = new_repl(1, disk_settings());
    introduce(&mut master, CONN, "0");
    master.replica_replconf(0, CONN, &[b"rdb-only", b"1"]);
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 5 });
    assert!(output(&mut master, 0, CONN).ends_with("$5\r\n....."));
    let (actions, logs) = drain(&mut master);
    assert!(actions.contains(&Action::CloseReplica { conn: CONN }), "{actions:?}");
    assert!(logs[0].starts_with("RDB transfer completed, rdb only replica (127.0.0.1:"));
}

#[test]
fn waiting_replicas_are_kept_alive_and_online_ones_pinged() {
    let settings = ReplSettings { repl_ping_replica_period_secs: 2, ..disk_settings() };
    let mut master = new_repl(1, settings);
    add_replica(&mut master, CONN, "6380");
    psync(&mut master, 0, ConnId(8), "?", "-1").unwrap();
    wanted_snapshot(&mut master);
    let before = master.offset();
    (1..=4).for_each(|s| master.handle_timeout(s * 1000));
    assert_eq!(output(&mut master, 4000, CONN), format!("{PING}{PING}"));
    assert_eq!(master.offset(), before + 2 * PING.len() as u64);
    // Only one line waits, however long its reader sleeps.
    assert_eq!(output(&mut master, 4000, ConnId(8)), "\n");
}

#[test]
fn a_silent_replica_is_dropped() {
    let (mut master, _) = master_with_replica();
    drain(&mut master);
    master.handle_timeout(60_000);
    assert_eq!(actions(&mut master), []);
    master.handle_replica_alive(50_000, CONN);
    master.handle_timeout(110_000);
    assert_eq!(actions(&mut master), []);
    master.handle_timeout(111_000);
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, [Action::CloseReplica { conn: CONN }]);
    assert_eq!(logs[0], "Disconnecting timedout replica (streaming sync): 127.0.0.1:6380");
}

#[test]
fn acknowledgements_count_for_wait_and_min_replicas() {
    let settings =
        ReplSettings { min_replicas_to_write: 1, min_replicas_max_lag_secs: 10, ..disk_settings() };
    let mut master = new_repl(1, settings);
    assert!(!master.has_enough_good_replicas(0));
    add_replica(&mut master, CONN, "6380");
    assert!(master.has_enough_good_replicas(10_999));
    assert!(!master.has_enough_good_replicas(11_000));
    master.handle_write(b"ABCD");
    output(&mut master, 0, CONN);
    let offset = master.offset();
    assert_eq!(master.count_acked(offset), 0);
    let ack = offset.to_string();
    let words: [&[u8]; 4] = [b"ack", ack.as_bytes(), b"fack", b"3"];
    master.replica_replconf(20_000, CONN, &words);
    assert!(master.has_enough_good_replicas(20_000));
    assert_eq!((master.count_acked(offset), master.count_acked(offset + 1)), (1, 0));
    assert_eq!((master.count_fsynced(3), master.count_fsynced(4)), (1, 0));
    master.request_acks();
    assert!(
        output(&mut master, 0, CONN).ends_with("$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n")
    );
}

/// A replica that said it had 2^63 bytes more than there were made every later WAIT count it, and FAILOVER
/// would have handed over to it at once.
#[test]
fn a_replica_has_no_more_than_it_was_sent() {
    let mut master = new_repl(1, disk_settings());
    add_replica(&mut master, CONN, "6380");
    output(&mut master, 0, CONN);
    let sent = master.offset();
    master.handle_write(b"A");
    let claim = |master: &mut Repl, offset: u64| {
        let offset = offset.to_string();
        let words: [&[u8]; 4] = [b"ack", offset.as_bytes(), b"fack", offset.as_bytes()];
        master.replica_replconf(0, CONN, &words);
    };
    claim(&mut master, i64::MAX as u64);
    claim(&mut master, sent + 1);
    assert_eq!((master.count_acked(sent + 1), master.count_fsynced(sent + 1)), (0, 0));
    claim(&mut master, sent);
    assert_eq!((master.count_acked(sent), master.count_fsynced(sent)), (1, 1));
    output(&mut master, 0, CONN);
    claim(&mut master, sent + 1);
    assert_eq!((master.count_acked(sent + 1), master.count_fsynced(sent + 1)), (1, 1));
}

#[test]
fn replconf_answers() {
    let mut master = new_repl(1, disk_settings());
    let mut ask = |words: &[&[u8]]| master.replica_replconf(0, CONN, words);
    let error = |text: &str| ReplconfReply::Error(text.into());
    assert_eq!(ask(&[b"capa"]), error("ERR syntax error"));
    assert_eq!(ask(&[b"foo", b"bar"]), error("ERR Unrecognized REPLCONF option: foo"));
    assert_eq!(ask(&[b"capa", b"whatever"]), ReplconfReply::Ok);
    assert_eq!(ask(&[b"ack", b"12"]), ReplconfReply::Silent);
    assert_eq!(ask(&[b"getack", b"*"]), ReplconfReply::Silent);
    let integer = error("ERR value is not an integer or out of range");
    assert_eq!(ask(&[b"listening-port", b"abc"]), integer);
    assert_eq!(ask(&[b"rdb-only", b"1"]), ReplconfReply::Ok);
    assert_eq!(ask(&[b"rdb-filter-only", b""]), ReplconfReply::Ok);
    let unsupported = error("ERR Unsupported rdb-filter-only option: foo");
    assert_eq!(ask(&[b"rdb-filter-only", b"foo"]), unsupported);
    let long = error("ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes");
    assert_eq!(ask(&[b"ip-address", &[b'a'; 256]]), long);
    assert_eq!(ask(&[b"ip-address", &[b'a'; 255]]), ReplconfReply::Ok);
    // It asked for a filtered snapshot, and cannot take a streamed one.
    let refusal = psync(&mut master, 0, CONN, "?", "-1").unwrap_err();
    assert_eq!(refusal.text(), "ERR Filtered replica requires EOF capability");
}

// The RDB file of a master is everything: what leaves something out may not take its place.
#[test]
fn a_filtered_snapshot_never_becomes_the_file() {
    let cases: [(Option<&[u8]>, _, _); 3] = [
        (None, Filter::default(), SnapshotMode::Disk),
        (
            Some(b"functions"),
            Filter { without_data: true, without_functions: false },
            SnapshotMode::Socket,
        ),
        (Some(b""), Filter { without_data: true, without_functions: true }, SnapshotMode::Socket),
    ];
    for (wanted, filter, mode) in cases {
        let mut master = new_repl(1, disk_settings());
        introduce(&mut master, CONN, "6380");
        if let Some(wanted) = wanted {
            let words: [&[u8]; 2] = [b"rdb-filter-only", wanted];
            assert_eq!(master.replica_replconf(0, CONN, &words), ReplconfReply::Ok);
        }
        psync(&mut master, 0, CONN, "?", "-1").unwrap();
        let actions = actions(&mut master);
        let [Action::StartSnapshot { mode: used, filter: told, .. }] = actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!((used, told), (mode, filter));
    }
}

#[test]
fn a_backlog_without_replicas_is_given_back_and_its_history_ended() {
    let settings = ReplSettings { repl_backlog_ttl_secs: 10, ..disk_settings() };
    let mut master = new_repl(1, settings);
    add_replica(&mut master, CONN, "6380");
    master.handle_write(b"A");
    let (replid, offset) = (master.ids().replid, master.offset());
    master.handle_conn_closed(5000, CONN);
    drain(&mut master);
    master.handle_timeout(15_000);
    assert!(master.has_backlog());
    master.handle_timeout(16_000);
    let freed = "Replication backlog freed after 10 seconds without connected replicas.";
    assert_eq!(logs(&mut master), [freed]);
    assert!(!master.has_backlog());
    assert_ne!(master.ids().replid, replid);
    // What is written now is counted by nobody: the old id must not vouch for it.
    master.handle_write(b"B");
    psync(&mut master, 16_000, CONN, replid.as_str(), &(offset + 1).to_string()).unwrap();
    wanted_snapshot(&mut master);
}

// A replica that had given its backlog back would have to copy everything to whoever follows it once it is promoted;
// and under a replica that is connected, or a snapshot that is being made, its place would be gone.
#[test]
fn a_backlog_stays_where_it_is_used_or_may_be() {
    let settings = ReplSettings { repl_backlog_ttl_secs: 10, ..disk_settings() };
    let (mut replica, _) = synced_replica(settings.clone());
    let mut for_ever = new_repl(1, ReplSettings { repl_backlog_ttl_secs: 0, ..disk_settings() });
    add_replica(&mut for_ever, CONN, "6380");
    for_ever.handle_conn_closed(0, CONN);
    let mut followed = new_repl(1, settings.clone());
    add_replica(&mut followed, CONN, "6380");
    let mut saving = new_repl(1, ReplSettings { has_save_points: true, ..settings });
    psync(&mut saving, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut saving);
    start_snapshot(&mut saving, id);
    saving.handle_conn_closed(0, CONN);
    for s in 1..=30 {
        followed.handle_replica_alive(s * 1000, CONN);
        for repl in [&mut replica, &mut for_ever, &mut followed, &mut saving] {
            repl.handle_timeout(s * 1000);
            assert!(repl.has_backlog(), "after {s} seconds: {repl:?}");
        }
    }
    saving.handle_snapshot(30_000, SnapshotEvent::Ready { id, size_bytes: 5 });
    saving.handle_timeout(31_000);
    assert!(!saving.has_backlog(), "the last who needed it is done");
}

#[test]
fn a_slow_replica_costs_its_distance() {
    let (mut master, _) = master_with_replica();
    let bytes = vec![b'x'; 10_000];
    for _ in 0..1000 {
        master.handle_write(&bytes);
    }
    let view = master.view(0);
    assert!(view.backlog.len_bytes > 9_900_000, "what is kept for one is offered to all");
    assert_eq!(master.pending_bytes(CONN), master.offset());
    assert!(view.backlog.memory_bytes < 11_000_000);
    assert_eq!(output(&mut master, 0, CONN).len(), 10_000_000);
    assert_eq!(master.view(0).backlog.len_bytes, 1024 * 1024);
    let after = master.view(0).backlog.memory_bytes;
    assert!(after < 1_250_000, "{after} bytes are held for nobody");
}

#[test]
fn a_master_s_view_has_its_replicas_and_its_backlog() {
    let (mut master, replid) = master_with_replica();
    master.handle_write(b"A");
    let view = master.view(3000);
    assert!(view.upstream.is_none());
    let [replica] = &view.replicas[..] else { panic!("{:?}", view.replicas) };
    assert_eq!((replica.ip.as_str(), replica.port), ("127.0.0.1", 6380));
    assert_eq!((replica.state, replica.offset, replica.lag_secs), ("online", 0, 3));
    assert_eq!(view.failover.as_str(), "no-failover");
    assert_eq!((view.ids.replid.to_string(), view.ids.second_offset), (replid, None));
    assert_eq!(view.ids.replid2.to_string(), "0".repeat(40));
    let backlog = view.backlog;
    assert_eq!((view.offset, backlog.first_byte_offset, backlog.len_bytes), (1, 1, 1));
    assert!(backlog.is_active && backlog.size_bytes == 1_048_576);
}

#[test]
fn both_sides_tell_how_far_a_long_transfer_is() {
    let mut master = new_repl(1, disk_settings());
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 50_000_000 });
    output_head(&mut master);
    master.sent(4000, CONN, 10_000_000);
    drain(&mut master);
    master.handle_timeout(5000);
    let told = "Sync with replica 127.0.0.1:6380: sent 10.0 of 50.0 MB (20.0%), 2.0 MB/s, 20 \
                seconds left";
    assert_eq!(logs(&mut master), [told]);
    let view = master.view(5000);
    let transfer = view.replicas[0].transfer.unwrap();
    assert_eq!((transfer.percent(), transfer.secs_left()), (20.0, Some(20)));
}

/// Sends the lines before the file, and nothing of the file.
fn output_head(master: &mut Repl) {
    let mut slices = [std::io::IoSlice::new(&[]); 1];
    let Outgoing::Slices(1) = master.outgoing(CONN, &mut slices) else { panic!("no lines") };
    let n = slices[0].len() as u64;
    master.sent(0, CONN, n);
}
