//! Owns the framing of an arriving snapshot: `$<len>` with exactly so many bytes, or `$EOF:<mark>` with
//! bytes up to the mark. Must not know what the bytes mean.
//!
//! Invariant: every byte is payload, mark, or left to the caller, whatever the fragmentation.

use protocol::link::{EOF_MARK_LEN, SnapshotHeader};

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
    /// `held` bytes of the mark have been seen at the end of what arrived: they may be payload after all.
    Mark {
        mark: [u8; EOF_MARK_LEN],
        held: usize,
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
    pub(crate) done: bool,
}

impl Transfer {
    pub(crate) fn new(header: &SnapshotHeader) -> Self {
        let framing = match *header {
            SnapshotHeader::Length(left) => Framing::Length { left },
            SnapshotHeader::EofMark(mark) => Framing::Mark { mark, held: 0 },
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
                Step { released: Vec::new(), payload: &bytes[..taken], taken, done: *left == 0 }
            }
            Framing::Mark { mark, held } => push_marked(mark, held, bytes),
        };
        self.read_bytes += (step.released.len() + step.payload.len()) as u64;
        step
    }
}

fn push_marked<'a>(mark: &[u8; EOF_MARK_LEN], held: &mut usize, bytes: &'a [u8]) -> Step<'a> {
    // The held bytes are a prefix of the mark: look at the seam between them and the new ones first.
    let mut released = Vec::new();
    if *held > 0 {
        let mut seam = mark[..*held].to_vec();
        seam.extend_from_slice(&bytes[..bytes.len().min(EOF_MARK_LEN)]);
        let start =
            (0..*held).find(|&i| mark.starts_with(&seam[i..seam.len().min(i + EOF_MARK_LEN)]));
        match start {
            Some(i) if seam.len() - i >= EOF_MARK_LEN => {
                released = seam[..i].to_vec();
                let taken = i + EOF_MARK_LEN - *held;
                return Step { released, payload: &[], taken, done: true };
            }
            Some(i) => {
                released = seam[..i].to_vec();
                *held = seam.len() - i;
                return Step { released, payload: &[], taken: bytes.len(), done: false };
            }
            None => {
                released.extend_from_slice(&mark[..*held]);
                *held = 0;
            }
        }
    }
    if let Some(at) = memchr::memmem::find(bytes, mark) {
        return Step { released, payload: &bytes[..at], taken: at + EOF_MARK_LEN, done: true };
    }
    let tail_start = bytes.len().saturating_sub(EOF_MARK_LEN - 1);
    let keep = (tail_start..bytes.len()).find(|&i| mark.starts_with(&bytes[i..]));
    let payload = &bytes[..keep.unwrap_or(bytes.len())];
    *held = bytes.len() - payload.len();
    Step { released, payload, taken: bytes.len(), done: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(header: &SnapshotHeader, input: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<u8>, bool) {
        let mut transfer = Transfer::new(header);
        let (mut payload, mut rest, mut done) = (Vec::new(), Vec::new(), false);
        let mut at = 0;
        let mut cuts = cuts.iter().cycle();
        while at < input.len() {
            let n = (*cuts.next().unwrap()).clamp(1, input.len() - at);
            let piece = &input[at..at + n];
            at += n;
            if done {
                rest.extend_from_slice(piece);
                continue;
            }
            let step = transfer.push(piece);
            payload.extend_from_slice(&step.released);
            payload.extend_from_slice(step.payload);
            rest.extend_from_slice(&piece[step.taken..]);
            done = step.done;
        }
        assert_eq!(transfer.read_bytes(), payload.len() as u64);
        (payload, rest, done)
    }

    proptest! {
        // A mark that crosses reads, with payload that resembles it, used to be the classic way to lose bytes.
        #[test]
        fn marked_payload_survives_any_fragmentation(
            body in proptest::collection::vec(0u8..3, 0..300),
            mark in proptest::array::uniform32(0u8..3),
            after in proptest::collection::vec(any::<u8>(), 0..80),
            cuts in proptest::collection::vec(1usize..90, 1..20),
        ) {
            // A tiny alphabet makes partial matches of the mark common.
            let mut full = [0u8; EOF_MARK_LEN];
            full[..32].copy_from_slice(&mark);
            full[39] = 9;
            let input = [&body[..], &full, &after].concat();
            let (payload, rest, done) = run(&SnapshotHeader::EofMark(full), &input, &cuts);
            prop_assert!(done);
            prop_assert_eq!(payload, body);
            prop_assert_eq!(rest, after);
        }

        #[test]
        fn counted_payload_survives_any_fragmentation(
            body in proptest::collection::vec(any::<u8>(), 1..300),
            after in proptest::collection::vec(any::<u8>(), 0..80),
            cuts in proptest::collection::vec(1usize..90, 1..20),
        ) {
            let input = [&body[..], &after].concat();
            let (payload, rest, done) = run(&SnapshotHeader::Length(body.len() as u64), &input, &cuts);
            prop_assert!(done);
            prop_assert_eq!(payload, body);
            prop_assert_eq!(rest, after);
        }
    }
}
