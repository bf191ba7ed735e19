//! The steps from a connection to the stream, as ROLE names them and as the log tells where a link broke: who
//! looks for the reason of a replica that does not come up goes by these words.

mod common;

use common::*;
use repl::*;

/// What the master may have said before something happens, from the opened connection on; and the word of ROLE
/// for where that leads.
fn steps() -> [(Option<String>, &'static str); 6] {
    let offer = format!("+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC {ID} 100\r\n");
    [
        (None, "connecting"),
        (Some("".to_string()), "handshake"),
        (Some("+PONG\r\n+OK\r\n+OK\r\n".to_string()), "handshake"),
        (Some(offer.clone()), "sync"),
        (Some(format!("{offer}$9\r\nRDB")), "sync"),
        (Some(format!("{offer}$3\r\nRDB")), "connected"),
    ]
}

fn replica_after(input: Option<&str>) -> (Repl, LinkId) {
    let mut replica = new_repl(2, ReplSettings::default());
    replica.boot(0, Some(addr("m")), None);
    let link = wanted_link(&mut replica);
    if let Some(input) = input {
        replica.handle_connected(0, link);
        replica.handle_bytes(0, link, input.as_bytes());
        replica.load_verified(0);
        replica.load_done(0);
    }
    drain(&mut replica);
    (replica, link)
}

fn phase(replica: &Repl) -> &'static str {
    replica.view(0).upstream.expect("it has a master").phase.as_str()
}

#[test]
fn every_step_to_the_stream_has_its_word_in_role() {
    for (input, word) in steps() {
        let (replica, _) = replica_after(input.as_deref());
        assert_eq!(phase(&replica), word, "{input:?}");
    }
    let (mut replica, link) = replica_after(None);
    replica.handle_connect_failed(0, link, "Connection refused");
    assert_eq!(phase(&replica), "connect", "until it tries again");
}

#[test]
fn a_link_that_breaks_tells_at_which_step() {
    let texts = [
        "Error condition on socket for SYNC: cut",
        "Master did not respond to command during SYNC handshake",
        "Master did not reply to PSYNC, will try later",
        "I/O error reading bulk count from MASTER: cut",
        "I/O error trying to sync with MASTER: cut",
        "Connection with master lost.",
    ];
    for ((input, _), text) in steps().into_iter().zip(texts) {
        let (mut replica, link) = replica_after(input.as_deref());
        replica.handle_link_closed(0, link, "cut");
        assert_eq!(logs(&mut replica)[0], text, "{input:?}");
    }
}
