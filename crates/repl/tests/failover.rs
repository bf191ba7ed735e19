//! FAILOVER, as the master that hands over lives through it. What the heir does is in `roles.rs`, and what a
//! network can do to both is the simulation's task.

mod common;

use common::*;
use repl::*;

fn any() -> FailoverRequest {
    FailoverRequest::default()
}

fn to(port: i64) -> FailoverRequest {
    FailoverRequest { target: Some(("127.0.0.1".to_string(), port)), ..any() }
}

fn ack(master: &mut Repl, conn: ConnId) {
    output(master, 0, conn);
    let offset = master.offset().to_string();
    let words = [b"ACK".as_slice(), offset.as_bytes()];
    assert_eq!(master.replica_replconf(0, conn, &words), ReplconfReply::Silent);
}

/// A master that has asked its heir to take over; gives the link to it.
fn handing_over() -> (Repl, LinkId) {
    let (mut master, _) = master_with_replica();
    master.handle_write(b"A");
    ack(&mut master, CONN);
    master.failover(0, to(6380)).unwrap();
    master.handle_timeout(0);
    let link = wanted_link(&mut master);
    assert!(shake_hands(&mut master, 0, link).ends_with("$8\r\nFAILOVER\r\n"));
    (master, link)
}

#[test]
fn every_reason_against_a_failover_is_answered() {
    let mut alone = new_repl(1, disk_settings());
    assert_eq!(alone.failover(0, any()), Err("ERR FAILOVER requires connected replicas."));
    assert_eq!(alone.abort_failover(0), Err("ERR No failover in progress."));
    let (mut replica, _) = synced_replica(ReplSettings::default());
    let refused = "ERR FAILOVER is not valid when server is a replica.";
    assert_eq!(replica.failover(0, any()), Err(refused));

    let (mut master, _) = master_with_replica();
    introduce(&mut master, ConnId(9), "6381");
    psync(&mut master, 0, ConnId(9), "?", "-1").unwrap();
    drain(&mut master);
    let force = "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    let stranger = "ERR FAILOVER target HOST and PORT is not a replica.";
    for (request, refused) in [
        (FailoverRequest { force: true, ..any() }, force),
        (FailoverRequest { force: true, ..to(6380) }, force),
        (FailoverRequest { force: true, timeout_ms: Some(1), ..any() }, force),
        (to(6399), stranger),
        (to(-1), stranger),
        (to(6381), "ERR FAILOVER target replica is not online."),
    ] {
        assert_eq!(master.failover(0, request), Err(refused));
    }
    assert_eq!(drain(&mut master).0, [], "nothing was paused");
    master.failover(0, any()).unwrap();
    assert_eq!(master.failover(0, any()), Err("ERR FAILOVER already in progress."));
    assert_eq!(master.replicaof(0, addr("m"), "x"), ReplicaofOutcome::FailingOver);
    assert_eq!(
        psync(&mut master, 0, ConnId(10), "?", "-1").unwrap_err().text(),
        "NOMASTERLINK Can't SYNC while failing over"
    );
}

#[test]
fn a_master_waits_for_its_heir_and_follows_it() {
    let (mut master, replid) = master_with_replica();
    master.handle_write(b"AB");
    master.failover(0, any()).unwrap();
    let (actions, logs) = drain(&mut master);
    assert_eq!(actions, [Action::PauseWrites]);
    assert_eq!(logs, ["FAILOVER requested to any replica."]);
    assert_eq!(master.failover_state().as_str(), "waiting-for-sync");
    master.handle_timeout(500);
    assert!(master.is_master(), "the replica has not said that it has everything");
    ack(&mut master, CONN);
    assert!(master.poll_timeout().is_some_and(|at_ms| at_ms <= 500), "no need to wait any longer");
    master.handle_timeout(500);
    assert!(!master.is_master());
    assert_eq!(master.failover_state().as_str(), "failover-in-progress");
    let (actions, logs) = drain(&mut master);
    assert_eq!(logs[0], "Failover target 127.0.0.1:6380 is synced, failing over.");
    let [Action::Connect { link, host, port }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((host.as_str(), *port), ("127.0.0.1", 6380));
    let next = (master.offset() + 1).to_string();
    let asked = shake_hands(&mut master, 500, *link);
    assert!(asked.contains(&format!("{replid}\r\n${}\r\n{next}\r\n$8\r\nFAILOVER", next.len())));
    let link = *link;
    master.handle_bytes(500, link, format!("+CONTINUE {ID}\r\n").as_bytes());
    let (actions, logs) = drain(&mut master);
    assert_eq!(
        actions,
        [
            Action::CloseReplica { conn: CONN },
            Action::StreamStart { resumed: true },
            Action::ResumeWrites
        ]
    );
    assert!(logs.contains(&format!("Master replication ID changed to {ID}")));
    assert_eq!(master.failover_state().as_str(), "no-failover");
    assert!(master.is_link_up());
}

#[test]
fn time_that_runs_out_ends_a_failover_or_forces_it() {
    for force in [false, true] {
        let (mut master, _) = master_with_replica();
        master.handle_write(b"AB");
        master.failover(0, FailoverRequest { timeout_ms: Some(700), force, ..to(6380) }).unwrap();
        drain(&mut master);
        assert_eq!(master.poll_timeout(), Some(700));
        master.handle_timeout(699);
        assert_eq!(drain(&mut master).0, []);
        master.handle_timeout(700);
        let (actions, logs) = drain(&mut master);
        if force {
            assert_eq!(logs[0], "FAILOVER to 127.0.0.1:6380 time out exceeded, failing over.");
            assert!(!master.is_master());
        } else {
            assert_eq!(
                logs,
                ["FAILOVER to 127.0.0.1:6380 aborted: Replica never caught up before timeout"]
            );
            assert_eq!(actions, [Action::ResumeWrites]);
            assert!(master.is_master());
        }
    }
}

// Replicas behind one address differ by their ports alone: whoever had everything first became the master,
// and not the one that was named.
#[test]
fn only_the_replica_that_was_named_becomes_the_heir() {
    let (mut master, _) = master_with_replica();
    add_replica(&mut master, ConnId(9), "6381");
    master.handle_write(b"A");
    master.failover(0, to(6381)).unwrap();
    ack(&mut master, CONN);
    master.handle_timeout(500);
    assert!(master.is_master(), "the other one has everything, and was not named");
    ack(&mut master, ConnId(9));
    master.handle_timeout(600);
    assert!(!master.is_master());
    assert_eq!(master.master_addr().map(|addr| addr.port), Some(6381));
}

#[test]
fn heartbeats_leave_the_offset_alone_when_time_is_short() {
    for (timeout_ms, is_quiet) in [(Some(60_000), true), (None, false)] {
        let (mut master, _) = master_with_replica();
        master.handle_write(b"AB");
        master.failover(0, FailoverRequest { timeout_ms, ..any() }).unwrap();
        let before = master.offset();
        (1..=30).for_each(|second| master.handle_timeout(second * 1000));
        assert_eq!(master.offset() == before, is_quiet, "timeout {timeout_ms:?}");
    }
}

#[test]
fn a_failover_that_is_aborted_leaves_everything_as_it_was() {
    let (mut master, replid) = master_with_replica();
    master.handle_write(b"AB");
    master.failover(0, any()).unwrap();
    drain(&mut master);
    master.abort_failover(0).unwrap();
    let (actions, logs) = drain(&mut master);
    assert_eq!(logs, ["FAILOVER to any replica aborted: Failover manually aborted"]);
    assert_eq!(actions, [Action::ResumeWrites]);
    assert_eq!(master.ids().replid.as_str(), replid);
    assert!(master.is_replica(CONN));
}

#[test]
fn a_master_whose_heir_refuses_is_a_master_again() {
    for refusal in ["-NOMASTERLINK no\r\n", "-ERR no\r\n", "-LOADING no\r\n", "+what\r\n"] {
        let (mut master, link) = handing_over();
        let old = master.ids().replid;
        master.handle_bytes(0, link, refusal.as_bytes());
        let (actions, logs) = drain(&mut master);
        let end = "FAILOVER to 127.0.0.1:6380 aborted: Failover target rejected psync request";
        assert!(logs.iter().any(|line| line == end), "{logs:?}");
        assert!(!logs.iter().any(|line| line.contains("Retrying with SYNC")));
        assert_eq!(actions.last(), Some(&Action::ResumeWrites));
        assert!(actions.contains(&Action::SelectAgain));
        assert!(master.is_master());
        assert_eq!(master.ids().replid2, old, "its replicas go on where they are");
    }
}

#[test]
fn an_heir_that_cannot_be_reached_is_asked_again_until_the_operator_gives_up() {
    let (mut master, link) = handing_over();
    master.handle_link_closed(0, link, "gone");
    master.handle_timeout(1000);
    let link = wanted_link(&mut master);
    master.handle_connect_failed(1000, link, "Connection refused");
    master.handle_timeout(2000);
    let link = wanted_link(&mut master);
    assert!(shake_hands(&mut master, 2000, link).ends_with("$8\r\nFAILOVER\r\n"));
    assert!(!master.is_master());
    master.abort_failover(2000).unwrap();
    assert!(master.is_master());
    assert_eq!(actions(&mut master).last(), Some(&Action::ResumeWrites));
}

// The heir took over, and its answer was lost. To return to being a master would make two of them.
#[test]
fn an_heir_that_has_taken_over_unheard_is_followed() {
    let already = b"-ERR PSYNC FAILOVER can't be sent to a master.\r\n";
    let (mut master, link) = handing_over();
    master.handle_link_closed(0, link, "gone");
    master.handle_timeout(1000);
    let link = wanted_link(&mut master);
    assert!(shake_hands(&mut master, 1000, link).ends_with("$8\r\nFAILOVER\r\n"));
    master.handle_bytes(1000, link, already);
    let next = (master.offset() + 1).to_string();
    let asked = said(&mut master);
    assert!(asked.starts_with("*3\r\n$5\r\nPSYNC\r\n") && asked.contains(&next), "{asked}");
    master.handle_bytes(1000, link, format!("+CONTINUE {ID}\r\n").as_bytes());
    assert!(master.is_link_up());
    assert_eq!(master.failover_state(), FailoverState::None);

    // Said to the first request, it means that somebody else has made the heir a master.
    let (mut master, link) = handing_over();
    master.handle_bytes(0, link, already);
    assert!(master.is_master());
}
