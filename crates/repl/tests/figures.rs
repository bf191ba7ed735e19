//! Figures that others decide by: WAIT counts acknowledgements, eviction leaves out what replicas keep
//! waiting, monitors read INFO. Lines and order are with the side that they are about.

mod common;

use common::*;
use repl::*;

fn ack(master: &mut Repl, conn: ConnId, offset: u64, fsynced: u64) {
    output(master, 0, conn);
    let (offset, fsynced) = (offset.to_string(), fsynced.to_string());
    let words: [&[u8]; 4] = [b"ACK", offset.as_bytes(), b"FACK", fsynced.as_bytes()];
    assert_eq!(master.replica_replconf(0, conn, &words), ReplconfReply::Silent);
}

// WAIT asks twice: how many replicas have an offset, and which offset so many replicas have. Two answers
// that do not agree make it wait for what is there, or return with fewer than it says.
#[test]
fn what_so_many_replicas_have_is_what_so_many_are_counted_for() {
    let mut master = new_repl(1, disk_settings());
    let offsets = [(70, 10), (30, 30), (50, 0), (30, 20)];
    for (n, port) in ["6380", "6381", "6382", "6383"].into_iter().enumerate() {
        add_replica(&mut master, ConnId(n as u64), port);
    }
    master.handle_write(&[b'x'; 100]);
    for (n, (offset, fsynced)) in offsets.into_iter().enumerate() {
        ack(&mut master, ConnId(n as u64), offset, fsynced);
    }
    for replicas in 1..=4 {
        let acked = master.acked_by(replicas).unwrap();
        assert!(master.count_acked(acked) >= replicas, "{acked} for {replicas}");
        assert!(master.count_acked(acked + 1) < replicas, "{acked} for {replicas}");
        let fsynced = master.fsynced_by(replicas).unwrap();
        assert!(master.count_fsynced(fsynced) >= replicas, "{fsynced} for {replicas}");
        assert!(master.count_fsynced(fsynced + 1) < replicas, "{fsynced} for {replicas}");
    }
    assert_eq!((master.acked_by(5), master.fsynced_by(5)), (None, None), "there are only four");
}

// What a slow replica keeps counted as the keyspace's made eviction empty a master whose replica was slow.
#[test]
fn what_replicas_keep_waiting_is_known_to_eviction() {
    let mut master = new_repl(1, disk_settings());
    assert_eq!(master.bytes_for_replicas(), 0, "there is no backlog yet");
    add_replica(&mut master, CONN, "6380");
    master.handle_write(&[b'x'; 10_000]);
    assert_eq!(master.bytes_for_replicas(), 0, "the backlog is there anyway");
    master.handle_write(&vec![b'x'; 5 << 20]);
    let kept = master.bytes_for_replicas();
    assert!((4 << 20..6 << 20).contains(&kept), "{kept} of 5 MiB beyond a backlog of 1 MiB");
    output(&mut master, 0, CONN);
    assert_eq!(master.bytes_for_replicas(), 0);
}

#[test]
fn good_replicas_are_shown_where_writes_depend_on_them() {
    for (to_write, max_lag, expected) in [(0, 10, None), (1, 0, None), (1, 10, Some(1))] {
        let mut master = new_repl(
            1,
            ReplSettings {
                min_replicas_to_write: to_write,
                min_replicas_max_lag_secs: max_lag,
                ..disk_settings()
            },
        );
        add_replica(&mut master, CONN, "6380");
        assert_eq!(master.view(5000).good_replicas, expected, "{to_write} within {max_lag} s");
    }
}

// Inside a transaction, or behind a pause, more has been read than was run: who promotes a replica by what it
// has read needs to see that.
#[test]
fn a_replica_shows_what_it_has_read_beyond_what_it_has_applied() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_bytes(0, link, b"0123456789");
    let read = |replica: &Repl| replica.view(0).upstream.expect("it has a master").read_offset;
    assert_eq!((replica.offset(), read(&replica)), (100, 110));
    replica.applied(0, 4);
    assert_eq!((replica.offset(), read(&replica)), (104, 110));
    replica.applied(0, 6);
    assert_eq!((replica.offset(), read(&replica)), (110, 110));
}

// A transfer that has not begun showed "0 seconds left" or the end of time, either of which alarms somebody.
#[test]
fn nobody_knows_how_long_a_transfer_takes_that_has_not_begun() {
    let mut master = new_repl(1, disk_settings());
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    master.handle_snapshot(0, SnapshotEvent::Started { id });
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 1000 });
    let transfer = master.view(1000).replicas[0].transfer.expect("the file is to be sent");
    assert_eq!(transfer.secs_left(), None);
    assert_eq!(
        transfer.as_pairs(),
        "sent_bytes=0,total_bytes=1000,estimated=0,perc=0.00,bytes_per_second=0,seconds_left=-1"
    );
}

// A core that always wants to be called wakes an idle server every second, for nothing.
#[test]
fn a_master_that_nobody_follows_wants_no_timer() {
    let mut master = new_repl(1, disk_settings());
    assert_eq!(master.poll_timeout(), None);
    add_replica(&mut master, CONN, "6380");
    assert!(master.poll_timeout().is_some());
    master.handle_conn_closed(0, CONN);
    assert!(master.poll_timeout().is_some(), "the backlog ages");
}

#[test]
fn the_offset_counts_what_nobody_can_follow_and_never_a_replica_s_own() {
    let mut master = new_repl(1, ReplSettings::default());
    master.handle_unfollowed_write();
    master.handle_unfollowed_write();
    assert_eq!(master.offset(), 2);
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    replica.handle_unfollowed_write();
    assert_eq!(replica.offset(), 0);
}

#[test]
fn the_stream_can_be_read_as_far_back_as_it_is_kept() {
    let mut master = new_repl(1, disk_settings());
    assert_eq!(master.stream_bytes(5), (5, vec![]), "there is no backlog yet");
    add_replica(&mut master, CONN, "6380");
    master.handle_write(b"abc");
    master.handle_write(b"def");
    for (from, first, bytes) in [(0, 1, "abcdef"), (1, 1, "abcdef"), (4, 4, "def"), (7, 7, "")] {
        assert_eq!(master.stream_bytes(from), (first, bytes.into()), "from {from}");
    }
    let long = vec![b'x'; 3 << 20];
    master.handle_write(&long);
    assert_eq!(master.stream_bytes(7), (7, long), "in however many pieces");
}

// Who comes while the snapshot is being made gets the stream from the fork on, with nobody there who keeps it.
#[test]
fn what_is_kept_for_latecomers_counts_as_held() {
    let mut master = new_repl(1, ReplSettings { has_save_points: true, ..disk_settings() });
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    start_snapshot(&mut master, id);
    master.handle_write(&[b'x'; 100]);
    assert_eq!(master.held_bytes(), 100);
    master.handle_conn_closed(0, CONN);
    assert_eq!(master.held_bytes(), 100, "the snapshot goes on, and may be joined");
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 5 });
    assert_eq!(master.held_bytes(), 0);
}

#[test]
fn a_transfer_is_told_in_the_log_s_words_and_in_info_s() {
    let mut master = new_repl(1, disk_settings());
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, "?", "-1").unwrap();
    let (id, _) = wanted_snapshot(&mut master);
    start_snapshot(&mut master, id);
    master.handle_snapshot(0, SnapshotEvent::Ready { id, size_bytes: 50_000_000 });
    let head = format!("+FULLRESYNC {} 0\r\n$50000000\r\n", master.ids().replid);
    master.sent(0, CONN, head.len() as u64);
    master.sent(2000, CONN, 10_000_000);
    let transfer = master.view(5000).replicas[0].transfer.expect("the file is being sent");
    assert_eq!(transfer.last_io_secs, 3);
    assert_eq!(transfer.as_text(), "10.0 of 50.0 MB (20.0%), 2.0 MB/s, 20 seconds left");
    assert_eq!(
        transfer.as_pairs(),
        "sent_bytes=10000000,total_bytes=50000000,estimated=0,perc=20.00,bytes_per_second=2000000,\
         seconds_left=20"
    );
}

#[test]
fn a_snapshot_in_the_making_says_where_it_goes_and_how_far_it_is() {
    let sockets = ReplSettings { repl_diskless_sync_delay_secs: 0, ..ReplSettings::default() };
    for (settings, target) in [(disk_settings(), "disk"), (sockets, "sockets")] {
        let mut master = new_repl(1, settings);
        introduce(&mut master, CONN, "6380");
        psync(&mut master, 0, CONN, "?", "-1").unwrap();
        let (id, _) = wanted_snapshot(&mut master);
        start_snapshot(&mut master, id);
        assert_eq!(master.view(0).snapshot, None, "its child has told nothing");
        let progress = SnapshotProgress { keys: 250, keys_total: 1000, bytes: 5_000_000 };
        master.handle_snapshot(5000, SnapshotEvent::Progress { id, progress });
        let snapshot = master.view(5000).snapshot.expect("it is being made");
        assert_eq!(
            snapshot.as_pairs(),
            format!(
                "target={target},keys_written=250,keys_total=1000,perc=25.00,\
                 bytes_written=5000000,bytes_per_second=1000000,seconds_left=15"
            )
        );
        let text = "250 of 1000 keys (25.0%), 5.0 MB, 1.0 MB/s, 15 seconds left";
        assert_eq!(snapshot.as_text(), text);
    }
}

// Dashboards and alerts name them.
#[test]
fn the_reasons_of_full_syncs_have_fixed_labels() {
    let labels = FullSyncReason::ALL.map(FullSyncReason::as_str);
    let expected = [
        "first",
        "old_protocol",
        "other_history",
        "past_promotion",
        "out_of_backlog",
        "ahead",
        "field_expiries",
    ];
    assert_eq!(labels, expected);
}

// A driver that is told of everybody visits a thousand idle replicas before it sleeps.
#[test]
fn only_replicas_that_have_something_to_send_are_visited() {
    let (mut master, _) = master_with_replica();
    add_replica(&mut master, ConnId(8), "6381");
    let visited = |master: &Repl| master.conns_with_output().collect::<Vec<ConnId>>();
    assert_eq!(visited(&master), []);
    master.handle_write(b"A");
    assert_eq!(visited(&master), [CONN, ConnId(8)]);
    output(&mut master, 0, CONN);
    assert_eq!(visited(&master), [ConnId(8)]);
}
