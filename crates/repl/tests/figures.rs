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
