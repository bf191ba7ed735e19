//! Hands that perform actions as they come, on a core that hears nothing sensible. What they check is what
//! must hold whatever a peer says.

use super::*;

/// A session of a master, in pieces that can be shuffled, cut and spoiled.
pub const PIECES: [&[u8]; 18] = [
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
    b"+PROGRESS 1 9223372036854775807 9223372036854775807\r\n",
    b"ccccccccccccccccccccccccccccccccccccccc+\xff\xff\xff\xff\xff\xff\xff\xff12345678abcdefgh",
];

#[derive(Clone, Debug)]
pub enum Step {
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

/// A driver of sorts.
pub struct Hands {
    pub repl: Repl,
    pub link: LinkId,
    snapshot: SnapshotId,
    now_ms: u64,
    pub fragment: usize,
    unapplied: u64,
    arrived: u64,
    handed_over: u64,
}

impl Hands {
    pub fn new(settings: ReplSettings) -> Self {
        let mut repl = new_repl(1, settings);
        repl.boot(0, Some(addr("m")), None);
        let (link, snapshot) = (LinkId(0), SnapshotId(0));
        let fragment = 1000;
        Self { repl, link, snapshot, now_ms: 0, fragment, unapplied: 0, arrived: 0, handed_over: 0 }
    }

    pub fn settle(&mut self) {
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
        let transfers = view.replicas.iter().filter_map(|replica| replica.transfer);
        let transfers = transfers.chain(view.upstream.as_ref().and_then(|up| up.transfer));
        transfers.for_each(|transfer| assert!(transfer.as_pairs().starts_with("sent_bytes=")));
        if let Some(snapshot) = &view.snapshot {
            assert!(!snapshot.as_pairs().is_empty());
        }
        if view.backlog.is_active {
            let end = view.backlog.first_byte_offset + view.backlog.len_bytes;
            assert_eq!(end, view.offset + 1);
            assert!(view.backlog.memory_bytes <= 2 * self.arrived + 300_000);
        }
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.fragment) {
            self.arrived += piece.len() as u64;
            self.repl.handle_bytes(self.now_ms, self.link, piece);
            self.settle();
        }
    }

    pub fn perform(&mut self, step: &Step) {
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
                let progress = SnapshotProgress { keys: now_ms, keys_total: 5000, bytes: 3 };
                self.repl.handle_snapshot(now_ms, SnapshotEvent::Progress { id, progress });
                let event = match is_good {
                    true => SnapshotEvent::Ready { id, size_bytes: 7 },
                    false => SnapshotEvent::Chunk { id, bytes: vec![1, 2, 3].into() },
                };
                self.repl.handle_snapshot(now_ms, event);
            }
            Step::Send => {
                for conn in (0..4).map(ConnId) {
                    let mut slices = [IoSlice::new(&[]); 3];
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
