//! Bytes and words of a peer that is broken or hostile: nothing of it may panic, hang, or make us keep
//! more than what has arrived. The stream's own commands are the engine's to judge.

mod common;

use common::hands::{Hands, PIECES, Step};
use common::*;
use proptest::prelude::*;
use repl::*;

fn step() -> impl Strategy<Value = Step> {
    let noise = || proptest::collection::vec(any::<u8>(), 0..40);
    let word = prop_oneof![
        Just(b"ack".to_vec()),
        Just(b"capa".to_vec()),
        Just(b"eof".to_vec()),
        Just(b"rdb-only".to_vec()),
        Just(b"1".to_vec()),
        Just(b"-5".to_vec()),
        Just(b"9223372036854775807".to_vec()),
        noise(),
    ];
    prop_oneof![
        12 => (0..PIECES.len()).prop_map(Step::Piece),
        4 => noise().prop_map(Step::Noise),
        2 => (1usize..50).prop_map(Step::Fragment),
        1 => Just(Step::Closed),
        2 => (1u64..70_000).prop_map(Step::Tick),
        3 => any::<bool>().prop_map(Step::Verified),
        3 => any::<bool>().prop_map(Step::Loaded),
        3 => Just(Step::Applied),
        1 => any::<bool>().prop_map(Step::ReplicaOf),
        2 => ((0usize..4), any::<i64>()).prop_map(|(id, offset)| Step::Psync(id, offset)),
        2 => proptest::collection::vec(word, 0..6).prop_map(Step::Replconf),
        2 => any::<bool>().prop_map(Step::SnapshotStarted),
        2 => any::<bool>().prop_map(Step::SnapshotEnds),
        3 => Just(Step::Send),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_peer_that_says_anything(
        steps in proptest::collection::vec(step(), 0..60),
        begun in 0usize..7,
        load in 0usize..3,
        has_auth in any::<bool>(),
        diskless in any::<bool>(),
    ) {
        let settings = ReplSettings {
            repl_diskless_load:
                [DisklessLoad::Disabled, DisklessLoad::OnEmptyDb, DisklessLoad::SwapDb][load],
            master_auth: has_auth.then(|| b"p".to_vec()),
            repl_diskless_sync: diskless,
            repl_diskless_sync_delay_secs: 0,
            repl_backlog_size_bytes: 200,
            ..ReplSettings::default()
        };
        let mut hands = Hands::new(settings);
        hands.settle();
        // Most of what can go wrong is behind a handshake that went well.
        let well: [&[u8]; 6] =
            [PIECES[0], b"+OK\r\n+OK\r\n", if has_auth { PIECES[2] } else { b"" }, PIECES[4], b"$3\r\n", b"RDB"];
        for piece in &well[..begun.min(well.len())] {
            hands.receive(piece);
        }
        if begun > well.len() - 1 {
            hands.perform(&Step::Verified(true));
            hands.perform(&Step::Loaded(true));
            prop_assert!(hands.repl.is_link_up());
        }
        for step in &steps {
            hands.perform(step);
        }
    }

    // A handshake that is right up to a point, and then one byte is not.
    #[test]
    fn a_session_with_one_wrong_byte(at in 0usize..200, byte in any::<u8>(), fragment in 1usize..60) {
        let mut session = b"+PONG\r\n+OK\r\n+OK\r\n".to_vec();
        session.extend_from_slice(PIECES[4]);
        session.extend_from_slice(PIECES[13]);
        session.extend_from_slice(b"RDB");
        session.extend_from_slice(PIECES[14]);
        session.extend_from_slice(PIECES[15]);
        let at = at % session.len();
        session[at] = byte;
        let mut hands = Hands::new(ReplSettings::default());
        hands.settle();
        hands.fragment = fragment;
        hands.receive(&session);
        hands.repl.load_verified(0);
        hands.repl.load_done(0);
        hands.settle();
    }
}

#[test]
fn a_line_without_end_is_cut_off() {
    let mut hands = Hands::new(ReplSettings::default());
    hands.settle();
    let link = hands.link;
    hands.repl.handle_bytes(0, link, &vec![b'+'; 1 << 20]);
    let (actions, logs) = drain(&mut hands.repl);
    assert_eq!(actions, [Action::CloseLink { link }]);
    assert_eq!(logs.len(), 1);
}
