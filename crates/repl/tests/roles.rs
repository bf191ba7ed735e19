//! Changes of role: what REPLICAOF, promotion, failover and restarts do to histories, and to who follows.

mod common;

use common::*;
use repl::*;

#[test]
fn a_promoted_replica_keeps_what_its_siblings_may_ask_for() {
    let (mut replica, _) = synced_replica(ReplSettings::default());
    let sub = ConnId(5);
    introduce(&mut replica, sub, "6381");
    psync(&mut replica, 0, sub, ID, "101").unwrap();
    drain(&mut replica);
    assert!(replica.replicaof_no_one(0, "id=3 addr=x"));
    let (actions, logs) = drain(&mut replica);
    let new = replica.ids().replid;
    assert_eq!(
        logs,
        [
            "Connection with master lost.".to_string(),
            "Caching the disconnected master state.".to_string(),
            "Discarding previously cached master state.".to_string(),
            format!(
                "Setting secondary replication ID to {ID}, valid up to offset: 101. New replication \
                 ID is {new}"
            ),
            "Connection with replica 127.0.0.1:6381 lost.".to_string(),
            "MASTER MODE enabled (user request from 'id=3 addr=x')".to_string(),
        ]
    );
    assert!(actions.contains(&Action::CloseReplica { conn: sub }));
    assert!(actions.contains(&Action::SelectAgain));
    assert!(replica.is_master());
    // The sibling that was as far goes on; one that was further had another master meanwhile.
    replica.handle_write(b"A");
    introduce(&mut replica, sub, "6381");
    psync(&mut replica, 0, sub, ID, "101").unwrap();
    assert_eq!(output(&mut replica, 0, sub), format!("+CONTINUE {new}\r\nA"));
    psync(&mut replica, 0, CONN, ID, "102").unwrap();
    let refused = "Partial resynchronization not accepted: Requested offset for second ID was 102, \
                   but I can reply up to 101";
    assert!(common::logs(&mut replica).contains(&refused.to_string()));
}

#[test]
fn a_master_that_becomes_a_replica_offers_its_own_history() {
    let (mut master, replid) = master_with_replica();
    master.handle_write(b"A");
    let outcome = master.replicaof(0, addr("other"), "id=3");
    assert_eq!(outcome, ReplicaofOutcome::Enabled);
    let (actions, logs) = drain(&mut master);
    assert_eq!(
        logs,
        [
            "Before turning into a replica, using my own master parameters to synthesize a cached \
             master: I may be able to synchronize with the new master with just a partial transfer.",
            "Connecting to MASTER other:6379",
            "MASTER <-> REPLICA sync started",
            "REPLICAOF other:6379 enabled (user request from 'id=3')",
        ]
    );
    let [Action::Connect { link, .. }] = actions[..] else { panic!("{actions:?}") };
    assert!(master.is_replica(CONN), "its replicas stay until its history ends");
    let next = master.offset() + 1;
    let asked = shake_hands(&mut master, 0, link);
    assert!(asked.contains(&format!("{replid}\r\n$1\r\n{next}\r\n")), "{asked}");
}

#[test]
fn the_cached_master_survives_another_replicaof() {
    let (mut replica, _) = synced_replica(ReplSettings::default());
    replica.replicaof(0, addr("other"), "id=3");
    let (actions, logs) = drain(&mut replica);
    assert_eq!(
        logs[..2],
        ["Connection with master lost.", "Caching the disconnected master state."]
    );
    let Some(Action::Connect { link, host, .. }) = actions.last().cloned() else { panic!() };
    assert_eq!(host, "other");
    assert!(shake_hands(&mut replica, 0, link).contains(&format!("{ID}\r\n$3\r\n101")));
}

#[test]
fn the_same_master_again_is_no_change() {
    let (mut replica, _) = synced_replica(ReplSettings::default());
    let same = MasterAddr { host: "M".into(), port: 6379 };
    assert_eq!(replica.replicaof(0, same, "id=3"), ReplicaofOutcome::AlreadyConnected);
    assert!(replica.is_link_up());
}

#[test]
fn no_one_is_nothing_new_to_a_master() {
    let mut master = new_repl(1, ReplSettings::default());
    let replid = master.ids().replid;
    assert!(!master.replicaof_no_one(0, "id=3"));
    assert_eq!(master.ids().replid, replid);
}

#[test]
fn a_promotion_in_the_middle_of_a_load_aborts_it() {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    shake_hands(&mut replica, 0, link);
    replica.handle_bytes(0, link, format!("+FULLRESYNC {ID} 100\r\n$3\r\nRDB").as_bytes());
    replica.load_verified(0);
    drain(&mut replica);
    replica.replicaof_no_one(0, "id=3");
    assert!(actions(&mut replica).contains(&Action::LoadAbort));
    // The loader may not have heard yet.
    replica.load_done(0);
    assert!(replica.is_master());
    assert_ne!(replica.ids().replid.as_str(), ID);
    // Half a data set is nobody's history.
    psync(&mut replica, 0, CONN, ID, "101").unwrap();
    assert_eq!(replica.stats().partial_ok, 0);
}

#[test]
fn a_restarted_replica_goes_on_from_its_rdb() {
    let mut replica = new_repl(2, ReplSettings::default());
    let point = HistoryPoint { replid: ReplId::parse(ID.as_bytes()).unwrap(), offset: 500 };
    replica.boot(0, Some(addr("m")), Some(point));
    let link = wanted_link(&mut replica);
    assert!(shake_hands(&mut replica, 0, link).contains(&format!("{ID}\r\n$3\r\n501")));
    let (actions, _) = {
        replica.handle_bytes(0, link, b"+CONTINUE\r\n");
        drain(&mut replica)
    };
    assert_eq!(actions, [Action::StreamStart { resumed: true }]);
    assert_eq!(replica.history_point(), Some(point));
}

#[test]
fn a_restarted_master_accepts_replicas_that_were_as_far() {
    let mut master = new_repl(1, ReplSettings::default());
    let point = HistoryPoint { replid: ReplId::parse(ID.as_bytes()).unwrap(), offset: 500 };
    master.boot(0, None, Some(point));
    // A key that expired while it was down.
    master.handle_write(b"DEL");
    let new = master.ids().replid;
    assert_ne!(new.as_str(), ID);
    introduce(&mut master, CONN, "6380");
    psync(&mut master, 0, CONN, ID, "501").unwrap();
    assert_eq!(output(&mut master, 0, CONN), format!("+CONTINUE {new}\r\nDEL"));
    // One that had heard more than was saved has to start over.
    psync(&mut master, 0, ConnId(8), ID, "502").unwrap();
    assert_eq!(master.stats().partial_ok, 1);
}

#[test]
fn a_master_can_hand_its_role_over() {
    let (mut replica, _) = synced_replica(ReplSettings::default());
    let wrong = "b".repeat(40);
    assert_eq!(
        replica.handle_failover_request(0, wrong.as_bytes(), "id=3"),
        Err("ERR PSYNC FAILOVER replid must match my replid.")
    );
    replica.handle_failover_request(0, ID.as_bytes(), "id=3").unwrap();
    let logs = logs(&mut replica);
    assert_eq!(logs.last().unwrap(), "MASTER MODE enabled (failover request from 'id=3')");
    introduce(&mut replica, CONN, "6379");
    psync(&mut replica, 0, CONN, ID, "101").unwrap();
    assert!(output(&mut replica, 0, CONN).starts_with("+CONTINUE "));
    assert_eq!(
        replica.handle_failover_request(0, ID.as_bytes(), "id=3"),
        Err("ERR PSYNC FAILOVER can't be sent to a master.")
    );
}

#[test]
fn only_a_replica_s_history_can_be_written_behind() {
    let (mut master, _) = master_with_replica();
    master.handle_stray_write();
    assert_eq!(logs(&mut master), [""; 0]);
    assert!(master.history_point().is_some(), "what a master has is its history");
    let (mut replica, _) = synced_replica(ReplSettings::default());
    replica.handle_stray_write();
    let told = logs(&mut replica);
    assert!(told[0].starts_with("A transaction has written behind its REPLICAOF"), "{told:?}");
    assert_eq!(replica.history_point(), None);
    replica.handle_stray_write();
    assert_eq!(logs(&mut replica), [""; 0], "once is enough");
}
