//! A replica and its master, byte for byte and line for line: the words were taken down from redis-server
//! 7.0 in the same role. Faults of a network are the simulation's task.

mod common;

use bytes::Bytes;
use common::*;
use repl::*;

fn fed(replica: &mut Repl, link: LinkId, bytes: &[u8]) -> (Vec<Action>, Vec<String>) {
    replica.handle_bytes(0, link, bytes);
    drain(replica)
}

// What Redis says, and one capability more, of which it takes no notice, and the version that Valkey asks for.
#[test]
fn the_handshake_says_what_redis_says() {
    let settings = ReplSettings {
        master_user: Some("u".into()),
        master_auth: Some(b"p".to_vec()),
        announce_port: 21811,
        announce_ip: Some("1.2.3.4".into()),
        ..ReplSettings::default()
    };
    let mut replica = new_repl(2, settings);
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    replica.handle_connected(0, link);
    assert_eq!(said(&mut replica), "*1\r\n$4\r\nPING\r\n");
    replica.handle_bytes(0, link, b"-NOAUTH Authentication required.\r\n");
    assert_eq!(
        said(&mut replica),
        "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n\
         *3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$5\r\n21811\r\n\
         *3\r\n$8\r\nREPLCONF\r\n$10\r\nip-address\r\n$7\r\n1.2.3.4\r\n\
         *9\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n$4\r\ncapa\r\n$6\r\npsync2\r\n\
         $4\r\ncapa\r\n$15\r\ntandem-progress\r\n$7\r\nversion\r\n$5\r\n9.0.0\r\n"
    );
    let unknown = b"+OK\r\n-ERR what\r\n+OK\r\n-ERR Unrecognized REPLCONF option: version\r\n";
    let (actions, logs) = fed(&mut replica, link, unknown);
    let psync = Bytes::from_static(b"*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n");
    assert_eq!(actions, [Action::SendMaster { link, bytes: psync }]);
    assert_eq!(
        logs,
        [
            "(Non critical) Master does not understand REPLCONF listening-port: -ERR what",
            "Partial resynchronization not possible (no cached master)",
        ]
    );
}

#[test]
fn a_first_sync_tells_its_story() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("127.0.0.1")), None);
    let mut story = Vec::new();
    let (actions, logs) = drain(&mut replica);
    story.extend(logs);
    let Action::Connect { link, .. } = actions[0] else { panic!("{actions:?}") };
    replica.handle_connected(0, link);
    story.extend(common::logs(&mut replica));
    let input = format!("+PONG\r\n+OK\r\n+OK\r\n\n+FULLRESYNC {ID} 100\r\n\n$3\r\nRDB");
    story.extend(fed(&mut replica, link, input.as_bytes()).1);
    replica.load_verified(0);
    story.extend(common::logs(&mut replica));
    replica.load_done(0);
    story.extend(common::logs(&mut replica));
    assert_eq!(
        story,
        [
            "Connecting to MASTER 127.0.0.1:6379",
            "MASTER <-> REPLICA sync started",
            "Non blocking connect for SYNC fired the event.",
            "Master replied to PING, replication can continue...",
            "Partial resynchronization not possible (no cached master)",
            &format!("Full resync from master: {ID}:100"),
            "MASTER <-> REPLICA sync: receiving 3 bytes from master to disk",
            "MASTER <-> REPLICA sync: Flushing old data",
            "MASTER <-> REPLICA sync: Loading DB in memory",
            "MASTER <-> REPLICA sync: Finished with success",
        ]
    );
}

#[test]
fn no_byte_around_a_snapshot_is_lost_to_fragmentation() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    let mark = "0123456789".repeat(4);
    let input = format!("\n+FULLRESYNC {ID} 100\r\n\n$EOF:{mark}\r\nRDB0123{mark}*1\r\n$4\r\nPING");
    for byte in input.as_bytes() {
        replica.handle_bytes(0, link, &[*byte]);
    }
    let mut payload = Vec::new();
    let (actions, logs) = drain(&mut replica);
    for action in &actions {
        match action {
            Action::LoadChunk(bytes) => payload.extend_from_slice(bytes),
            Action::LoadStart { target, size_bytes } => {
                assert_eq!((*target, *size_bytes), (LoadTarget::File, None));
            }
            Action::LoadEnd { size_bytes } => assert_eq!(*size_bytes, 7),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(payload, b"RDB0123");
    let text = "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to disk";
    assert_eq!(logs.last().unwrap(), text);
    assert!(!replica.wants_master_bytes());
    replica.load_verified(0);
    replica.load_done(0);
    let applied = common::actions(&mut replica);
    let held = Action::Apply(Bytes::from_static(b"*1\r\n$4\r\nPING"));
    assert_eq!(applied.last(), Some(&held));
}

#[test]
fn a_failed_transfer_costs_no_old_data() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_link_closed(2000, link, "cut");
    let link = wanted_link(&mut replica);
    let next = shake_hands(&mut replica, 2000, link);
    assert!(next.contains(&format!("{ID}\r\n$3\r\n101")), "{next}");
    // The master cannot continue; its snapshot does not come through.
    let offer = format!("+FULLRESYNC {} 500\r\n$10\r\nRDB", "b".repeat(40));
    replica.handle_bytes(2000, link, offer.as_bytes());
    replica.handle_link_closed(4000, link, "cut");
    let (actions, logs) = drain(&mut replica);
    assert!(actions.contains(&Action::LoadAbort));
    assert!(!logs.iter().any(|l| l.contains("Flushing old data")), "{logs:?}");
    // It may still be asked to continue where it was.
    let Some(Action::Connect { link, .. }) = actions.last().cloned() else { panic!() };
    assert!(shake_hands(&mut replica, 4000, link).contains(&format!("{ID}\r\n$3\r\n101")));
}

#[test]
fn an_unsound_snapshot_costs_no_old_data() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_link_closed(2000, link, "cut");
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 2000, link);
    let offer = format!("+FULLRESYNC {} 500\r\n$3\r\nbad", "b".repeat(40));
    replica.handle_bytes(2000, link, offer.as_bytes());
    drain(&mut replica);
    replica.load_failed(2000, "wrong checksum");
    let (actions, logs) = drain(&mut replica);
    assert_eq!(actions, [Action::CloseLink { link }, Action::LoadAbort]);
    let why = "Failed trying to load the MASTER synchronization DB from disk: wrong checksum";
    assert_eq!(logs, [why]);
    // A master that only ever sends such snapshots is not hammered.
    replica.handle_timeout(3000);
    let link = wanted_link(&mut replica);
    assert!(shake_hands(&mut replica, 3000, link).contains(ID));
}

#[test]
fn a_resumed_stream_goes_on_at_the_last_boundary() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_bytes(0, link, b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI");
    replica.applied(0, 14);
    replica.handle_link_closed(2000, link, "cut");
    let (actions, logs) = drain(&mut replica);
    assert!(actions.contains(&Action::StreamEnd));
    assert_eq!(
        logs,
        [
            "Connection with master lost.",
            "Caching the disconnected master state.",
            "Reconnecting to MASTER m:6379",
            "MASTER <-> REPLICA sync started",
        ]
    );
    let Some(Action::Connect { link, .. }) = actions.last().cloned() else { panic!() };
    assert!(shake_hands(&mut replica, 2000, link).contains("\r\n115\r\n"));
    let (actions, logs) = fed(&mut replica, link, b"+CONTINUE\r\n*1\r\n$4\r\nPI");
    let bytes = Bytes::from_static(b"*1\r\n$4\r\nPI");
    assert_eq!(actions, [Action::StreamStart { resumed: true }, Action::Apply(bytes)]);
    assert_eq!(
        logs,
        [
            "Successful partial resynchronization with master.",
            "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
        ]
    );
}

// Bytes from somewhere in a history, applied on top of other data: nothing would ever tell that they differ.
#[test]
fn a_master_that_continues_what_nobody_asked_for_is_not_believed() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    let asked = shake_hands(&mut replica, 0, link);
    assert!(asked.ends_with("$1\r\n?\r\n$2\r\n-1\r\n"), "{asked}");
    let (actions, logs) = fed(&mut replica, link, format!("+CONTINUE {ID}\r\n").as_bytes());
    assert!(!replica.is_link_up());
    assert!(logs[0].starts_with("Unexpected reply to PSYNC from master: +CONTINUE"), "{logs:?}");
    let retried = Action::SendMaster { link, bytes: "SYNC\r\n".into() };
    assert_eq!(actions, [retried], "a full sync is what can follow");
}

#[test]
fn a_new_id_of_the_master_is_adopted_and_passed_on() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    let sub = ConnId(5);
    introduce(&mut replica, sub, "6381");
    psync(&mut replica, 0, sub, ID, "101").unwrap();
    assert_eq!(output(&mut replica, 0, sub), format!("+CONTINUE {ID}\r\n"));
    replica.handle_link_closed(2000, link, "cut");
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 2000, link);
    let new = "b".repeat(40);
    let (actions, logs) = fed(&mut replica, link, format!("+CONTINUE {new}\r\n").as_bytes());
    assert_eq!(logs[1], format!("Master replication ID changed to {new}"));
    // The sub-replica has to hear of the id: it asks again, with the old one.
    assert!(actions.contains(&Action::CloseReplica { conn: sub }));
    introduce(&mut replica, sub, "6381");
    psync(&mut replica, 2000, sub, ID, "101").unwrap();
    assert_eq!(output(&mut replica, 2000, sub), format!("+CONTINUE {new}\r\n"));
    let ids = replica.ids();
    assert_eq!((ids.replid2.as_str(), ids.second_offset), (ID, Some(101)));
}

#[test]
fn sub_replicas_get_the_same_bytes_once_they_are_applied() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    let sub = ConnId(5);
    introduce(&mut replica, sub, "6381");
    psync(&mut replica, 0, sub, ID, "101").unwrap();
    output(&mut replica, 0, sub);
    replica.handle_bytes(0, link, b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI");
    assert_eq!(output(&mut replica, 0, sub), "");
    replica.applied(0, 14);
    assert_eq!(output(&mut replica, 0, sub), "*1\r\n$4\r\nPING\r\n");
    // Its own writes, as a writable replica has them, stay its own.
    replica.handle_write(b"LOCAL");
    assert_eq!(output(&mut replica, 0, sub), "");
}

#[test]
fn nobody_syncs_from_a_replica_without_its_master() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_link_closed(0, link, "cut");
    let refusal = psync(&mut replica, 0, CONN, ID, "101").unwrap_err();
    assert_eq!(refusal.text(), "NOMASTERLINK Can't SYNC while not connected with my master");
}

#[test]
fn a_full_sync_of_ours_is_one_of_our_sub_replicas_too() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    let sub = ConnId(5);
    psync(&mut replica, 0, sub, ID, "101").unwrap();
    replica.handle_link_closed(2000, link, "cut");
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 2000, link);
    let new = "b".repeat(40);
    let offer = format!("+FULLRESYNC {new} 500\r\n$3\r\nRDB");
    let (before, _) = fed(&mut replica, link, offer.as_bytes());
    assert!(!before.contains(&Action::CloseReplica { conn: sub }));
    replica.load_verified(2000);
    let (actions, logs) = drain(&mut replica);
    assert_eq!(actions, [Action::CloseReplica { conn: sub }, Action::LoadCommit]);
    assert_eq!(logs[0], "Discarding previously cached master state.");
    replica.load_done(2000);
    assert_eq!((replica.ids().replid.as_str(), replica.offset()), (new.as_str(), 500));
    // What was before is another history now.
    psync(&mut replica, 2000, sub, ID, "101").unwrap();
    assert_eq!(replica.stats().partial_err, 1);
}

#[test]
fn errors_of_the_master_are_told_apart() {
    let cases: [(&[u8], &str, bool); 4] = [
        (
            b"-NOMASTERLINK Can't SYNC\r\n",
            "Master is currently unable to PSYNC but should be in the future: -NOMASTERLINK Can't \
             SYNC",
            false,
        ),
        (
            b"-LOADING x\r\n",
            "Master is currently unable to PSYNC but should be in the future: -LOADING x",
            false,
        ),
        (
            b"-ERR unknown command\r\n",
            "Master does not support PSYNC or is in error state (reply: -ERR unknown command)",
            true,
        ),
        (b"+WHAT\r\n", "Unexpected reply to PSYNC from master: +WHAT", true),
    ];
    for (answer, text, tries_sync) in cases {
        let mut replica = new_repl(2, ReplSettings::default());
        replica.boot(0, Some(addr("m")), None);
        let link = wanted_link(&mut replica);
        shake_hands(&mut replica, 0, link);
        let (actions, logs) = fed(&mut replica, link, answer);
        assert_eq!(logs[0], text);
        let bytes = Bytes::from_static(b"SYNC\r\n");
        assert_eq!(actions.contains(&Action::SendMaster { link, bytes }), tries_sync);
        assert_eq!(logs.last().unwrap() == "Retrying with SYNC...", tries_sync);
        assert_eq!(actions.contains(&Action::CloseLink { link }), !tries_sync);
    }
}

// It is on its way, and a SYNC in between would be answered in the middle of it.
#[test]
fn a_full_resync_whose_history_cannot_be_read_is_taken_all_the_same() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    let (actions, logs) = fed(&mut replica, link, b"+FULLRESYNC x\r\n");
    assert_eq!(actions, []);
    assert_eq!(logs, ["Master replied with wrong +FULLRESYNC syntax."]);
    fed(&mut replica, link, b"$3\r\nRDB");
    replica.load_verified(0);
    replica.load_done(0);
    assert!(replica.is_link_up());
    replica.handle_link_closed(2000, link, "cut");
    let link = wanted_link(&mut replica);
    assert!(shake_hands(&mut replica, 2000, link).contains("$1\r\n?\r\n"), "of no history");
}

#[test]
fn a_master_older_than_psync_is_followed_without_offsets() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    fed(&mut replica, link, b"-ERR unknown command 'PSYNC'\r\n$3\r\nRDB");
    replica.load_verified(0);
    replica.load_done(0);
    assert!(replica.is_link_up());
    // It would not understand an ACK.
    drain(&mut replica);
    replica.handle_timeout(1000);
    assert_eq!(said(&mut replica), "");
    replica.handle_link_closed(2000, link, "cut");
    let link = wanted_link(&mut replica);
    assert!(shake_hands(&mut replica, 2000, link).contains("$1\r\n?\r\n"));
}

#[test]
fn a_wrong_password_is_told_and_tried_again() {
    let settings = ReplSettings { master_auth: Some(b"no".to_vec()), ..ReplSettings::default() };
    let mut replica = new_repl(2, settings);
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    replica.handle_connected(0, link);
    replica.handle_bytes(0, link, b"-NOAUTH Authentication required.\r\n");
    assert!(said(&mut replica).contains("*2\r\n$4\r\nAUTH\r\n$2\r\nno\r\n"));
    let (actions, logs) = fed(&mut replica, link, b"-WRONGPASS invalid\r\n");
    assert_eq!(actions, [Action::CloseLink { link }]);
    assert_eq!(logs, ["Unable to AUTH to MASTER: -WRONGPASS invalid"]);
    replica.handle_timeout(1000);
    assert_ne!(wanted_link(&mut replica), link);
}

/// A user without a password is nobody, and the master says only what the default user may not.
#[test]
fn a_user_without_a_password_is_told_of() {
    let settings = ReplSettings { master_user: Some("u".into()), ..ReplSettings::default() };
    let mut replica = new_repl(2, settings);
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    replica.handle_connected(0, link);
    drain(&mut replica);
    let (_, logs) = fed(&mut replica, link, b"+PONG\r\n");
    let told = "masteruser is set and masterauth is not: this replica speaks to its master as the default user";
    assert_eq!(logs, ["Master replied to PING, replication can continue...", told]);
    assert_eq!(failure(&replica).as_deref(), Some(told));
}

/// Why there is no link was in the log alone, and for a master that speaks TLS in nobody's words.
#[test]
fn info_keeps_why_there_is_no_link_until_there_is_one() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    assert_eq!(failure(&replica), None);
    replica.handle_connect_failed(0, link, "Connection refused");
    let refused = "Error condition on socket for SYNC: Connection refused";
    assert_eq!(failure(&replica).as_deref(), Some(refused));
    replica.handle_timeout(1000);
    let link = wanted_link(&mut replica);
    replica.handle_connected(1000, link);
    drain(&mut replica);
    replica.handle_link_closed(1000, link, "Connection closed by the master");
    assert!(logs(&mut replica)[1].contains("this replica needs 'tls-replication yes'"));
    assert!(failure(&replica).unwrap().contains("needs 'tls-replication yes'"));
    replica.handle_timeout(2000);
    let link = wanted_link(&mut replica);
    replica.handle_connected(2000, link);
    let input = format!("+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC {ID} 100\r\n$3\r\nRDB");
    replica.handle_bytes(2000, link, input.as_bytes());
    replica.load_verified(2000);
    replica.load_done(2000);
    assert_eq!(failure(&replica), None);
}

#[test]
fn a_master_that_does_not_answer_tls_is_told_of() {
    let settings = ReplSettings { is_encrypted: true, ..ReplSettings::default() };
    let mut replica = new_repl(2, settings);
    replica.boot(0, Some(addr("m")), None);
    drain(&mut replica);
    replica.handle_timeout(61_000);
    let said = logs(&mut replica);
    assert_eq!(said[0], "Timeout connecting to the MASTER...");
    assert!(said[1].starts_with("The master has not answered TLS"), "{said:?}");
}

fn failure(replica: &Repl) -> Option<String> {
    replica.view(0).upstream.expect("it has a master").failure
}

#[test]
fn every_phase_has_its_timeout() {
    let offer = format!("+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC {ID} 100\r\n");
    let long = "MASTER timeout: no data nor PING received...";
    let bulk = "Timeout receiving bulk data from MASTER... If the problem persists try to set the \
                'repl-timeout' parameter in redis.conf to a larger value.";
    let handshake = "Timeout connecting to the MASTER...";
    let cases = [
        (None, handshake),
        (Some("".to_string()), handshake),
        (Some("+PONG\r\n+OK\r\n".to_string()), handshake),
        (Some("+PONG\r\n+OK\r\n+OK\r\n".to_string()), handshake),
        (Some(offer.clone()), bulk),
        (Some(format!("{offer}$9\r\nRDB")), bulk),
        (Some(format!("{offer}$3\r\nRDB")), long),
    ];
    for (input, text) in cases {
        let mut replica = new_repl(2, ReplSettings::default());
        replica.boot(0, Some(addr("m")), None);
        let link = wanted_link(&mut replica);
        if let Some(input) = &input {
            replica.handle_connected(0, link);
            replica.handle_bytes(0, link, input.as_bytes());
            replica.load_verified(0);
            replica.load_done(0);
        }
        drain(&mut replica);
        replica.handle_timeout(60_000);
        assert!(!actions(&mut replica).contains(&Action::CloseLink { link }), "{input:?}");
        replica.handle_timeout(61_000);
        let (actions, logs) = drain(&mut replica);
        assert!(actions.contains(&Action::CloseLink { link }), "{input:?}");
        assert_eq!(logs[0], text, "{input:?}");
    }
}

#[test]
fn the_master_hears_of_us_while_we_load_and_every_second_after() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    fed(&mut replica, link, format!("+FULLRESYNC {ID} 100\r\n$3\r\nRDB").as_bytes());
    replica.handle_timeout(1000);
    assert_eq!(said(&mut replica), "\n");
    replica.load_verified(1000);
    replica.handle_timeout(2000);
    assert_eq!(said(&mut replica), "\n");
    replica.load_done(2000);
    let ack = "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n100\r\n";
    assert_eq!(said(&mut replica), ack);
    replica.handle_timeout(3000);
    assert_eq!(said(&mut replica), ack);
    replica.set_fsynced_offset(0, Some(90));
    replica.send_ack(3000);
    let fack = "*5\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n100\r\n$4\r\nFACK\r\n$2\r\n90\r\n";
    assert_eq!(said(&mut replica), fack);
}

// A WAITAOF at the master waits for the disk down here: it is not to wait for the next second too.
#[test]
fn an_ack_that_said_too_little_is_followed_by_one_that_says_enough() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.set_fsynced_offset(0, Some(90));
    let fack = |at: &str| {
        format!(
            "*5\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n100\r\n$4\r\nFACK\r\n${}\r\n{at}\r\n",
            at.len()
        )
    };
    replica.handle_getack(0);
    assert_eq!(said(&mut replica), fack("90"));
    replica.set_fsynced_offset(0, Some(99));
    assert_eq!(said(&mut replica), "");
    replica.set_fsynced_offset(0, Some(100));
    assert_eq!(said(&mut replica), fack("100"));
    replica.set_fsynced_offset(0, Some(100));
    assert_eq!(said(&mut replica), "", "once is enough");
    // Nobody is owed anything over a link that is gone.
    replica.set_fsynced_offset(0, Some(90));
    replica.handle_getack(0);
    said(&mut replica);
    replica.handle_link_closed(0, link, "gone");
    replica.set_fsynced_offset(0, Some(100));
    assert_eq!(said(&mut replica), "");
}

#[test]
fn the_link_may_die_while_the_snapshot_is_loaded() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    let ping = "*1\r\n$4\r\nPING\r\n";
    fed(&mut replica, link, format!("+FULLRESYNC {ID} 100\r\n$3\r\nRDB{ping}").as_bytes());
    replica.handle_link_closed(2000, link, "cut");
    replica.load_verified(2000);
    replica.load_done(3000);
    // What came behind the snapshot is applied and counted before the link is lost: asked for again, it
    // would be applied twice.
    let actions = std::iter::from_fn(|| replica.poll_action()).collect::<Vec<_>>();
    let at = |wanted: &dyn Fn(&Action) -> bool| actions.iter().position(wanted).expect("asked for");
    let applied = at(&|action| matches!(action, Action::Apply(_)));
    let lost = at(&|action| matches!(action, Action::LinkWasLost { .. }));
    assert!(applied < lost, "{actions:?}");
    replica.applied(3000, ping.len() as u64);
    replica.handle_link_closed(3000, link, "cut");
    // What was loaded is good: the rest is a partial resync away.
    let link = wanted_link(&mut replica);
    assert!(shake_hands(&mut replica, 3000, link).contains(&format!("{ID}\r\n$3\r\n115")));
}

#[test]
fn a_snapshot_goes_where_the_settings_say() {
    let cases = [
        (DisklessLoad::Disabled, true, LoadTarget::File),
        (DisklessLoad::OnEmptyDb, true, LoadTarget::Parser),
        (DisklessLoad::OnEmptyDb, false, LoadTarget::File),
        (DisklessLoad::SwapDb, false, LoadTarget::ParserSwap { same_history: false }),
    ];
    for (repl_diskless_load, is_empty, expected) in cases {
        let settings = ReplSettings { repl_diskless_load, ..ReplSettings::default() };
        let mut replica = new_repl(2, settings);
        replica.boot(0, Some(addr("m")), None);
        replica.set_dataset_is_empty(is_empty);
        let link = wanted_link(&mut replica);
        shake_hands(&mut replica, 0, link);
        let offer = format!("+FULLRESYNC {ID} 100\r\n$3\r\n");
        let (actions, logs) = fed(&mut replica, link, offer.as_bytes());
        let start = Action::LoadStart { target: expected, size_bytes: Some(3) };
        assert_eq!(actions, [start]);
        let to_parser = expected != LoadTarget::File;
        assert_eq!(logs[1].ends_with("to parser"), to_parser, "{logs:?}");
    }
}

#[test]
fn swapdb_knows_its_own_history_again() {
    let settings =
        ReplSettings { repl_diskless_load: DisklessLoad::SwapDb, ..ReplSettings::default() };
    let (mut replica, link) = synced_replica(settings);
    replica.handle_link_closed(2000, link, "cut");
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 2000, link);
    let offer = format!("+FULLRESYNC {ID} 900\r\n$3\r\nRDB");
    let (actions, _) = fed(&mut replica, link, offer.as_bytes());
    let target = LoadTarget::ParserSwap { same_history: true };
    assert_eq!(actions[0], Action::LoadStart { target, size_bytes: Some(3) });
    replica.load_verified(2000);
    replica.load_done(2000);
    assert_eq!(
        logs(&mut replica),
        [
            "Discarding previously cached master state.",
            "MASTER <-> REPLICA sync: Swapping active DB with loaded DB",
            "MASTER <-> REPLICA sync: Discarding old DB in background",
            "MASTER <-> REPLICA sync: Finished with success",
        ]
    );
}

#[test]
fn events_of_an_abandoned_link_change_nothing() {
    let (mut replica, old) = synced_replica(ReplSettings::default());
    replica.handle_link_closed(2000, old, "cut");
    drain(&mut replica);
    replica.handle_connected(2000, old);
    replica.handle_bytes(2000, old, b"+PONG\r\n");
    replica.handle_link_closed(2000, old, "again");
    replica.handle_connect_failed(2000, old, "again");
    replica.applied(2000, 5);
    assert_eq!(drain(&mut replica), (vec![], vec![]));
    assert_eq!(replica.offset(), 100);
}

/// A link that broke waited for the next second to be made anew: with 12 MB of writes a second and a
/// backlog of 8 MB that was a full sync.
#[test]
fn a_link_that_was_up_is_made_anew_at_once_and_then_after_growing_pauses() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    // Long after the last tick, and long before the next one.
    replica.handle_timeout(5000);
    drain(&mut replica);
    replica.handle_link_closed(5001, link, "cut");
    let mut link = wanted_link(&mut replica);
    let mut now_ms = 5001;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        replica.handle_connect_failed(now_ms, link, "Connection refused");
        drain(&mut replica);
        let due_ms = replica.reconnect_at_ms().expect("it tries again");
        pauses.push(due_ms - now_ms);
        replica.handle_timeout(due_ms - 1);
        assert_eq!(actions(&mut replica), [], "not before its time");
        assert!(replica.poll_timeout().is_some_and(|at_ms| at_ms <= due_ms), "the driver wakes up");
        now_ms = due_ms;
        replica.handle_timeout(now_ms);
        link = wanted_link(&mut replica);
    }
    assert!((50..=100).contains(&pauses[0]), "{pauses:?}");
    assert!(pauses[4..].iter().all(|ms| (500..=1000).contains(ms)), "{pauses:?}");
    assert!(pauses[4..].iter().any(|ms| *ms != pauses[4]), "there is jitter: {pauses:?}");
}

/// Even a young link is made anew at once; but whoever accepts links and closes them again is not asked as
/// fast as the network allows.
#[test]
fn links_that_keep_dying_young_are_made_anew_after_pauses() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_link_closed(1, link, "cut");
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 1, link);
    fed(&mut replica, link, b"+CONTINUE\r\n");
    assert!(replica.is_link_up());
    replica.handle_link_closed(5, link, "cut");
    assert!(!actions(&mut replica).iter().any(|a| matches!(a, Action::Connect { .. })));
    assert!(replica.reconnect_at_ms().is_some_and(|at_ms| (6..=205).contains(&at_ms)));
}

/// A link that broke every half second was taken for attempts that fail, though it brought writes each
/// time: with 12 MB of them a second and a backlog of 8 MB its pauses cost two full syncs in fifteen.
#[test]
fn a_link_that_brings_writes_is_made_anew_at_once_however_young() {
    let (mut replica, mut link) = synced_replica(ReplSettings::default());
    for now_ms in (0..200).step_by(10) {
        replica.handle_bytes(now_ms, link, b"*1\r\n$4\r\nPING\r\n");
        replica.applied(now_ms, 14);
        replica.handle_link_closed(now_ms, link, "cut");
        link = wanted_link(&mut replica);
        shake_hands(&mut replica, now_ms, link);
        replica.handle_bytes(now_ms, link, b"+CONTINUE\r\n");
        assert!(replica.is_link_up());
    }
}

/// A replica whose clients are paused took in its master's stream without end, though it could not run it.
#[test]
fn a_held_stream_is_not_read_and_does_not_time_out() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    replica.handle_bytes(1000, link, b"*1\r\n$4\r\nPING\r\n");
    replica.hold_stream(true);
    assert!(replica.wants_master_bytes(), "some may come in advance");
    let mut taken_in = 0;
    while replica.wants_master_bytes() {
        assert!(taken_in <= 2 << 20, "it goes on reading");
        replica.handle_bytes(1000, link, &[b'x'; 65536]);
        taken_in += 65536;
    }
    drain(&mut replica);
    for now_secs in 2..3600 {
        replica.handle_timeout(now_secs * 1000);
        assert!(said(&mut replica).contains("ACK"), "the master hears of us");
    }
    assert!(replica.is_link_up());
    replica.hold_stream(false);
    assert!(replica.wants_master_bytes());
    // From here on the master's silence counts.
    replica.handle_timeout(3_600_000 + 61_000);
    assert!(!replica.is_link_up());
}

#[test]
fn a_broken_stream_is_not_resumed() {
    let (mut replica, link) = synced_replica(ReplSettings::default());
    let (kind, command, why) = (FaultKind::DataDiffer, String::new(), "no RESP".to_string());
    replica.handle_stream_fault(2000, link, StreamFault { kind, command, why });
    assert!(actions(&mut replica).contains(&Action::CloseLink { link }));
    replica.handle_timeout(3000);
    let link = wanted_link(&mut replica);
    assert!(shake_hands(&mut replica, 3000, link).contains("$1\r\n?\r\n"));
}

#[test]
fn the_view_of_a_syncing_replica_has_its_link_and_how_far_it_is() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    fed(&mut replica, link, format!("+FULLRESYNC {ID} 100\r\n$400\r\nR").as_bytes());
    replica.handle_bytes(1000, link, &[b'x'; 99]);
    let view = replica.view(2000);
    let up = view.upstream.expect("it has a master");
    assert_eq!((up.addr, up.phase), (addr("m"), LinkPhase::Sync));
    assert_eq!((up.last_io_secs, up.down_since_secs, up.read_offset), (None, None, 0));
    let transfer = up.transfer.expect("it is under way");
    assert_eq!((transfer.total_bytes(), transfer.read_bytes), (Some(400), 100));
    assert_eq!((transfer.percent(), transfer.bytes_per_sec), (25.0, 50.0));
    assert_eq!((transfer.last_io_secs, transfer.secs_left()), (1, Some(6)));
    assert_eq!((view.offset, view.replicas.len()), (0, 0));
}

#[test]
fn a_long_transfer_is_told_every_few_seconds() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    fed(&mut replica, link, format!("+FULLRESYNC {ID} 100\r\n$40000000\r\n").as_bytes());
    for second in 1..=12 {
        replica.handle_bytes(second * 1000, link, &vec![b'x'; 1_000_000]);
        replica.handle_timeout(second * 1000);
    }
    assert_eq!(
        logs(&mut replica),
        [
            "MASTER <-> REPLICA sync: received 5.0 of 40.0 MB (12.5%), 1.0 MB/s, 35 seconds left",
            "MASTER <-> REPLICA sync: received 10.0 of 40.0 MB (25.0%), 1.0 MB/s, 30 seconds left",
        ]
    );
}
