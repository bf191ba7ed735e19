//! Bytes and words of a peer that is broken or hostile: nothing of it may panic, hang, or make us keep
//! more than what has arrived. The stream's own commands are the engine's to judge.

mod common;

use common::*;
use proptest::prelude::*;
use repl::*;

/// A session of a master, in pieces that can be shuffled, cut and spoiled.
const PIECES: [&[u8]; 16] = [
    b"+PONG\r\n",
    b"-NOAUTH x\r\n",
    b"+OK\r\n",
    b"\n",
    b"+FULLRESYNC aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 100\r\n",
    b"+FULLRESYNC aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 9223372036854775807\r\n",
    b"+FULLRESYNC x\r\n",
    b"+CONTINUE\r\n",
    b"+CONTINUE bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n",
    b"-ERR no\r\n",
    b"-LOADING\r\n",
    b"$5\r\nabcde",
    b"$9223372036854775807\r\n",
    b"$EOF:cccccccccccccccccccccccccccccccccccccccc\r\n",
    b"cccccccccccccccccccccccccccccccccccccccc",
    b"*1\r\n$4\r\nPING\r\n",
];

#[derive(Clone, Debug)]
enum Step {
    Piece(usize),
    Noise(Vec<u8>),
    /// The next pieces arrive in fragments of at most so many bytes.
    Fragment(usize),
    Closed,
    Tick(u64),
    Verified(bool),
    Loaded(bool),
    Applied,
    ReplicaOf(bool),
    Psync(usize, i64),
    Replconf(Vec<Vec<u8>>),
    SnapshotStarted(bool),
    SnapshotEnds(bool),
    Send,
}

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

/// A driver that performs actions as they come, on a core that hears nothing sensible.
struct Hands {
    repl: Repl,
    link: LinkId,
    snapshot: SnapshotId,
    now_ms: u64,
    fragment: usize,
    unapplied: u64,
    arrived: u64,
    handed_over: u64,
}

impl Hands {
    fn new(settings: ReplSettings) -> Self {
        let mut repl = new_repl(1, settings);
        repl.boot(0, Some(addr("m")), None);
        let (link, snapshot) = (LinkId(0), SnapshotId(0));
        let fragment = 1000;
        Self { repl, link, snapshot, now_ms: 0, fragment, unapplied: 0, arrived: 0, handed_over: 0 }
    }

    fn settle(&mut self) {
        let mut count = 0;
        while let Some(action) = self.repl.poll_action() {
            count += 1;
            assert!(count < 10_000, "actions without end");
            match action {
                Action::Connect { link, .. } => {
                    self.link = link;
                    self.repl.handle_connected(self.now_ms, link);
                }
                Action::StreamStart { .. } | Action::StreamEnd => self.unapplied = 0,
                Action::Apply(bytes) => self.unapplied += bytes.len() as u64,
                Action::LoadChunk(bytes) => self.handed_over += bytes.len() as u64,
                Action::StartSnapshot { id, .. } => self.snapshot = id,
                Action::Log { text, .. } => {
                    assert!(text.len() < 4096 && !text.contains(['\n', '\r']), "{text:?}");
                }
                _ => {}
            }
        }
        assert!(self.handed_over <= self.arrived, "more payload than ever arrived");
        let view = self.repl.view(self.now_ms);
        let extras = InfoExtras { replica_priority: 1, is_read_only: true, is_announced: true };
        view.info_text(&extras);
        if view.backlog.is_active {
            let end = view.backlog.first_byte_offset + view.backlog.len_bytes;
            assert_eq!(end, view.offset + 1);
            assert!(view.backlog.memory_bytes <= 2 * self.arrived + 300_000);
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.fragment) {
            self.arrived += piece.len() as u64;
            self.repl.handle_bytes(self.now_ms, self.link, piece);
            self.settle();
        }
    }

    fn perform(&mut self, step: &Step) {
        let now_ms = self.now_ms;
        match step {
            Step::Piece(i) => self.receive(PIECES[*i]),
            Step::Noise(bytes) => self.receive(bytes),
            Step::Fragment(n) => self.fragment = *n,
            Step::Closed => self.repl.handle_link_closed(now_ms, self.link, "gone"),
            Step::Tick(ms) => {
                self.now_ms += ms;
                self.repl.handle_timeout(self.now_ms);
            }
            Step::Verified(true) => self.repl.load_verified(now_ms),
            Step::Loaded(true) => self.repl.load_done(now_ms),
            Step::Verified(false) | Step::Loaded(false) => self.repl.load_failed(now_ms, "no"),
            Step::Applied => self.repl.applied(now_ms, std::mem::take(&mut self.unapplied)),
            Step::ReplicaOf(true) => drop(self.repl.replicaof(now_ms, addr("n"), "x")),
            Step::ReplicaOf(false) => drop(self.repl.replicaof_no_one(now_ms, "x")),
            Step::Psync(id, offset) => {
                let conn = ConnId(*id as u64);
                let replid =
                    [ID, "?", "", self.repl.ids().replid.to_string().as_str()][*id].to_string();
                let _ = psync(&mut self.repl, now_ms, conn, &replid, &(offset % 300).to_string());
            }
            Step::Replconf(words) => {
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                self.repl.replica_replconf(now_ms, ConnId(1), &words);
            }
            Step::SnapshotStarted(is_good) => {
                let id = self.snapshot;
                let event = match is_good {
                    true => SnapshotEvent::Started { id },
                    false => SnapshotEvent::Failed { id, why: "no".into() },
                };
                self.repl.handle_snapshot(now_ms, event);
            }
            Step::SnapshotEnds(is_good) => {
                let id = self.snapshot;
                let event = match is_good {
                    true => SnapshotEvent::Ready { id, size_bytes: 7 },
                    false => SnapshotEvent::Chunk { id, bytes: vec![1, 2, 3].into() },
                };
                self.repl.handle_snapshot(now_ms, event);
            }
            Step::Send => {
                for conn in (0..4).map(ConnId) {
                    let mut slices = [std::io::IoSlice::new(&[]); 3];
                    let n = match self.repl.outgoing(conn, &mut slices) {
                        Outgoing::Nothing => continue,
                        Outgoing::Slices(n) => slices[..n].iter().map(|s| s.len() as u64).sum(),
                        Outgoing::File { len, .. } => len,
                    };
                    self.repl.sent(now_ms, conn, n / 2 + 1);
                }
            }
        }
        self.settle();
    }
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
