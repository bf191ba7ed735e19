//! Owns the framing of an arriving snapshot: `$<len>` with exactly so many bytes, or `$EOF:<mark>` with
//! bytes up to the mark and, from a master of ours, reports of its progress amidst them. Must not know what
//! the bytes mean.
//!
//! Invariant: every byte is payload, mark, report, or left to the caller, whatever the fragmentation.

use protocol::link::{EOF_MARK_LEN, PROGRESS_LEN, SnapshotHeader, SnapshotProgress};

#[derive(Debug)]
pub(crate) struct Transfer {
    framing: Framing,
    read_bytes: u64,
}

#[derive(Debug)]
enum Framing {
    Length {
        left: u64,
    },
    /// `held` came last, and begins a mark or a report, or is payload after all.
    Mark {
        mark: [u8; EOF_MARK_LEN],
        /// What begins a report, from a master that gives them.
        sign: Option<[u8; EOF_MARK_LEN]>,
        held: Vec<u8>,
    },
}

/// What became of a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    /// Bytes held back from earlier input that turned out to be payload; they come before `payload`.
    pub(crate) released: Vec<u8>,
    pub(crate) payload: &'a [u8],
    /// Bytes of the input that belong to the transfer; the others come after its end.
    pub(crate) taken: usize,
    /// What the master has told of its progress here.
    pub(crate) progress: Option<SnapshotProgress>,
    pub(crate) done: bool,
}

impl Transfer {
    /// `has_reports` says that the master reports its progress.
    pub(crate) fn new(header: &SnapshotHeader, has_reports: bool) -> Self {
        let framing = match *header {
            SnapshotHeader::Length(left) => Framing::Length { left },
            SnapshotHeader::EofMark(mark) => {
                let sign = has_reports.then(|| SnapshotProgress::sign(&mark));
                Framing::Mark { mark, sign, held: Vec::new() }
            }
        };
        Self { framing, read_bytes: 0 }
    }

    /// Payload bytes so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    pub(crate) fn size_bytes(&self) -> Option<u64> {
        match self.framing {
            Framing::Length { left } => Some(self.read_bytes + left),
            Framing::Mark { .. } => None,
        }
    }

    pub(crate) fn push<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let step = match &mut self.framing {
            Framing::Length { left } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                let payload = &bytes[..taken];
                Step { released: Vec::new(), payload, taken, progress: None, done: *left == 0 }
            }
            Framing::Mark { mark, sign, held } => push_marked(mark, sign.as_ref(), held, bytes),
        };
        self.read_bytes += (step.released.len() + step.payload.len()) as u64;
        step
    }
}

/// What bytes in one piece turn out to be.
enum Found {
    /// Payload up to here; what follows, if anything, may begin a mark or a report.
    Payload(usize),
    /// The mark begins here.
    End(usize),
    /// A report begins here.
    Report(usize, SnapshotProgress),
}

fn find(mark: &[u8; EOF_MARK_LEN], sign: Option<&[u8; EOF_MARK_LEN]>, bytes: &[u8]) -> Found {
    let end = memchr::memmem::find(bytes, mark);
    let before_end = &bytes[..end.unwrap_or(bytes.len())];
    let report = sign.and_then(|sign| memchr::memmem::find(before_end, sign));
    match (report, end) {
        (Some(at), _) => match SnapshotProgress::parse_figures(&bytes[at + EOF_MARK_LEN..]) {
            Some(progress) => Found::Report(at, progress),
            None => Found::Payload(at),
        },
        (None, Some(at)) => Found::End(at),
        (None, None) => {
            // The sign differs from the mark in its last byte only, so that both begin alike.
            let tail_start = bytes.len().saturating_sub(EOF_MARK_LEN - 1);
            let tail = (tail_start..bytes.len()).find(|&i| mark.starts_with(&bytes[i..]));
            Found::Payload(tail.unwrap_or(bytes.len()))
        }
    }
}

fn push_marked<'a>(
    mark: &[u8; EOF_MARK_LEN],
    sign: Option<&[u8; EOF_MARK_LEN]>,
    held: &mut Vec<u8>,
    bytes: &'a [u8],
) -> Step<'a> {
    let mut step =
        Step { released: Vec::new(), payload: &[], taken: 0, progress: None, done: false };
    // Look at the seam between what was held and what has come, first: so much decides.
    if !held.is_empty() {
        let before = held.len();
        let added = bytes.len().min(PROGRESS_LEN);
        let mut seam = std::mem::take(held);
        seam.extend_from_slice(&bytes[..added]);
        let (released, end) = match find(mark, sign, &seam) {
            Found::End(at) => {
                step.done = true;
                (at, at + EOF_MARK_LEN)
            }
            Found::Report(at, progress) => {
                step.progress = Some(progress);
                (at, at + PROGRESS_LEN)
            }
            // All that was held is payload, and the rest is looked at in its place.
            Found::Payload(at) if at >= before => {
                seam.truncate(before);
                step.released = seam;
                return push_fresh(mark, sign, held, bytes, step);
            }
            Found::Payload(at) => {
                *held = seam.split_off(at);
                (at, before + added)
            }
        };
        seam.truncate(released);
        step.released = seam;
        step.taken = end - before;
        return step;
    }
    push_fresh(mark, sign, held, bytes, step)
}

/// The same where nothing is held.
fn push_fresh<'a>(
    mark: &[u8; EOF_MARK_LEN],
    sign: Option<&[u8; EOF_MARK_LEN]>,
    held: &mut Vec<u8>,
    bytes: &'a [u8],
    mut step: Step<'a>,
) -> Step<'a> {
    let payload_len = match find(mark, sign, bytes) {
        Found::End(at) => {
            step.done = true;
            step.taken = at + EOF_MARK_LEN;
            at
        }
        Found::Report(at, progress) => {
            step.progress = Some(progress);
            step.taken = at + PROGRESS_LEN;
            at
        }
        Found::Payload(at) => {
            held.extend_from_slice(&bytes[at..]);
            step.taken = bytes.len();
            at
        }
    };
    step.payload = &bytes[..payload_len];
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Run {
        payload: Vec<u8>,
        rest: Vec<u8>,
        reports: Vec<SnapshotProgress>,
        done: bool,
    }

    fn run(header: &SnapshotHeader, input: &[u8], cuts: &[usize]) -> Run {
        let mut transfer = Transfer::new(header, true);
        let (mut payload, mut rest, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        let mut done = false;
        let mut at = 0;
        let mut cuts = cuts.iter().cycle();
        while at < input.len() {
            let n = (*cuts.next().unwrap()).clamp(1, input.len() - at);
            let mut piece = &input[at..at + n];
            at += n;
            while !done && !piece.is_empty() {
                let step = transfer.push(piece);
                assert!(step.taken > 0, "it gets on");
                payload.extend_from_slice(&step.released);
                payload.extend_from_slice(step.payload);
                reports.extend(step.progress);
                piece = &piece[step.taken..];
                done = step.done;
            }
            rest.extend_from_slice(piece);
        }
        assert_eq!(transfer.read_bytes(), payload.len() as u64);
        Run { payload, rest, reports, done }
    }

    proptest! {
        // A mark that crosses reads, with payload that resembles it, used to be the classic way to lose bytes.
        #[test]
        fn marked_payload_survives_any_fragmentation(
            bodies in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..300), 1..4),
            mark in proptest::array::uniform32(0u8..3),
            figures in proptest::array::uniform3(any::<u64>()),
            after in proptest::collection::vec(any::<u8>(), 0..80),
            cuts in proptest::collection::vec(1usize..90, 1..20),
        ) {
            // A tiny alphabet makes partial matches of the mark common.
            let mut full = [0u8; EOF_MARK_LEN];
            full[..32].copy_from_slice(&mark);
            full[39] = 9;
            let [keys, keys_total, bytes] = figures;
            let progress = SnapshotProgress { keys, keys_total, bytes };
            // Reports may stand anywhere, in the middle of what resembles the mark as well.
            let sent = bodies.join(&progress.amidst(&full)[..]);
            let input = [&sent[..], &full, &after].concat();
            let found = run(&SnapshotHeader::EofMark(full), &input, &cuts);
            prop_assert!(found.done);
            prop_assert_eq!(found.payload, bodies.concat());
            prop_assert_eq!(found.rest, after);
            prop_assert_eq!(found.reports, vec![progress; bodies.len() - 1]);
        }

        #[test]
        fn counted_payload_survives_any_fragmentation(
            body in proptest::collection::vec(any::<u8>(), 1..300),
            after in proptest::collection::vec(any::<u8>(), 0..80),
            cuts in proptest::collection::vec(1usize..90, 1..20),
        ) {
            let input = [&body[..], &after].concat();
            let found = run(&SnapshotHeader::Length(body.len() as u64), &input, &cuts);
            prop_assert!(found.done);
            prop_assert_eq!(found.payload, body);
            prop_assert_eq!(found.rest, after);
        }
    }
}
