//! A command of the master's stream that this server does not know, or that failed here and not there, was
//! logged and skipped: the data differed from then on, with the link up. Now the stream stops before it.

mod common;

use common::*;
use repl::*;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

fn fault(kind: FaultKind, command: &str) -> StreamFault {
    StreamFault { kind, command: command.into(), why: format!("ERR unknown command '{command}'") }
}

fn unknown() -> StreamFault {
    fault(FaultKind::NotUnderstood, "xadd")
}

fn differs() -> StreamFault {
    fault(FaultKind::DataDiffer, "lpush")
}

/// Lets the pause pass, connects, and has the master answer; gives the pause, the link and the PSYNC.
fn come_back(replica: &mut Repl, now_ms: &mut u64, answer: &str) -> (u64, LinkId, String) {
    let due_ms = replica.reconnect_at_ms().expect("it tries again");
    let pause_ms = due_ms - *now_ms;
    *now_ms = due_ms;
    replica.handle_replica_alive(due_ms, ConnId(5));
    replica.handle_timeout(due_ms);
    let link = wanted_link(replica);
    let psync = shake_hands(replica, due_ms, link);
    replica.handle_bytes(due_ms, link, answer.as_bytes());
    drain(replica);
    (pause_ms, link, psync)
}

#[test]
fn an_unknown_command_of_the_stream_stops_it_at_that_very_offset() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    let sub = ConnId(5);
    introduce(&mut replica, sub, "6381");
    psync(&mut replica, 0, sub, ID, "101").unwrap();
    output(&mut replica, 0, sub);
    replica.handle_bytes(0, link, &[PING, b"*1\r\n$4\r\nXADD\r\n", PING].concat());
    replica.applied(0, PING.len() as u64);
    drain(&mut replica);
    replica.handle_stream_fault(2000, link, unknown());
    let (actions, logs) = drain(&mut replica);
    assert_eq!(actions, [Action::CloseLink { link }, Action::StreamEnd]);
    assert!(logs[0].contains("stops before 'xadd' at offset 114: ERR unknown command"), "{logs:?}");
    assert!(logs[0].contains("by a partial resynchronization"), "{logs:?}");
    // The sub-replica keeps its link, and gets what was applied and no more.
    assert_eq!(output(&mut replica, 2000, sub).as_bytes(), PING);
    assert_eq!(replica.offset(), 114);
    let up = replica.view(2000).upstream.unwrap();
    assert_eq!((up.phase, up.fault), (LinkPhase::Connect, Some(unknown())));
    assert_eq!(up.retry_in_secs, Some(1));
    assert!(!replica.is_link_up());

    let mut now_ms = 2000;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let (pause_ms, link, psync) = come_back(&mut replica, &mut now_ms, "+CONTINUE\r\n");
        assert!(psync.contains(&format!("{ID}\r\n$3\r\n115\r\n")), "{psync}");
        pauses.push(pause_ms);
        // Nobody takes it for a good replica before it has got further.
        assert!(!replica.is_link_up());
        let refusal = self::psync(&mut replica, now_ms, CONN, ID, "101").unwrap_err();
        assert!(refusal.text().starts_with("NOMASTERLINK"));
        replica.handle_stream_fault(now_ms, link, unknown());
        drain(&mut replica);
    }
    assert!((500..=1000).contains(&pauses[0]), "{pauses:?}");
    assert!(pauses[6..].iter().all(|ms| (30_000..=60_000).contains(ms)), "{pauses:?}");
    assert!(!replica.view(now_ms).replicas.is_empty(), "the sub-replica is still there");

    // What an upgraded program, or a master that has thought better of it, makes of it.
    let (_, link, _) = come_back(&mut replica, &mut now_ms, "+CONTINUE\r\n");
    replica.handle_bytes(now_ms, link, b"*1\r\n$4\r\nXADD\r\n");
    replica.applied(now_ms, 14);
    assert!(replica.is_link_up());
    assert_eq!(replica.view(now_ms).upstream.unwrap().fault, None);
    assert!(logs_of(&mut replica).iter().any(|l| l.contains("goes on: 'xadd'")));
    assert_eq!(output(&mut replica, now_ms, sub), "*1\r\n$4\r\nXADD\r\n");
}

fn logs_of(replica: &mut Repl) -> Vec<String> {
    drain(replica).1
}

#[test]
fn a_command_that_shows_that_the_data_differ_asks_for_one_full_sync() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    let mut now_ms = 2000;
    replica.handle_stream_fault(now_ms, link, differs());
    let (_, logs) = drain(&mut replica);
    assert!(logs[0].contains("in 0 seconds by a full resynchronization"), "{logs:?}");
    // No file of ours may vouch for this data.
    assert_eq!(replica.history_point(), None);
    let answer = format!("+FULLRESYNC {ID} 500\r\n$3\r\nRDB");
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let (pause_ms, link, psync) = come_back(&mut replica, &mut now_ms, &answer);
        pauses.push(pause_ms);
        assert!(psync.contains("$1\r\n?\r\n$2\r\n-1\r\n"), "{psync}");
        replica.load_verified(now_ms);
        replica.load_done(now_ms);
        assert!(replica.is_link_up(), "the snapshot has led past it");
        assert!(replica.history_point().is_some());
        // The next command shows the same again.
        replica.handle_stream_fault(now_ms, link, differs());
        drain(&mut replica);
    }
    assert_eq!(pauses[0], 0);
    assert!((5000..=10_000).contains(&pauses[1]), "{pauses:?}");
    assert!(pauses.windows(2).all(|two| two[1] > two[0] / 2), "{pauses:?}");
    assert!((300_000..=600_000).contains(&pauses[8]), "{pauses:?}");
}

#[test]
fn a_full_sync_is_asked_for_at_once_when_the_last_one_was_long_ago() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    let mut now_ms = 2000;
    replica.handle_stream_fault(now_ms, link, differs());
    drain(&mut replica);
    let answer = format!("+FULLRESYNC {ID} 500\r\n$3\r\nRDB");
    let (_, link, _) = come_back(&mut replica, &mut now_ms, &answer);
    replica.load_verified(now_ms);
    replica.load_done(now_ms);
    drain(&mut replica);
    now_ms += 3_600_000;
    replica.handle_stream_fault(now_ms, link, differs());
    drain(&mut replica);
    assert_eq!(replica.reconnect_at_ms(), Some(now_ms));
}

#[test]
fn a_replica_that_differs_and_is_promoted_vouches_for_nothing() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_stream_fault(2000, link, differs());
    replica.replicaof_no_one(2000, "test");
    assert_eq!(replica.ids().second_offset, None);
    // One that only did not understand has a history that others share.
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_stream_fault(2000, link, unknown());
    replica.replicaof_no_one(2000, "test");
    assert_eq!(replica.ids().second_offset, Some(101));
}

#[test]
fn the_words_of_a_peer_stay_on_their_line() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_stream_fault(0, link, fault(FaultKind::NotUnderstood, "a\r\nrole:master"));
    let told = replica.view(0).upstream.unwrap().fault.unwrap();
    assert_eq!(told.command, "a??role:master");
    assert!(!told.why.contains('\n'));
}
