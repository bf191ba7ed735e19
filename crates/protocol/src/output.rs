//! Bytes on their way to a socket, whoever has said them: what a connection owns besides its socket and its
//! parser.
//!
//! Must not know replies or sockets: the caller writes what `io_slices` shows and calls `advance`.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Shorter pieces are copied behind one another.
const OWN_PIECE_LEN: usize = 4 * 1024;
/// A tail above this is sealed into a chunk, so that it is freed as it goes.
const CHUNK_LEN: usize = 64 * 1024;

/// In order: `chunks`, then the rest of `tail`.
#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// Bytes of `tail` that were sent.
    sent: usize,
    chunks_len: usize,
}

impl Output {
    /// Appends bytes, without a copy when that is worth it.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() < OWN_PIECE_LEN {
            return self.extend_from_slice(&bytes);
        }
        self.seal();
        self.chunks_len += bytes.len();
        self.chunks.push_back(bytes);
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() >= CHUNK_LEN {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if self.tail.len() > self.sent {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(self.sent);
            self.chunks_len += tail.len();
            self.chunks.push_back(tail);
        }
        self.tail.clear();
        self.sent = 0;
    }

    /// Bytes that wait to be sent.
    pub fn len_bytes(&self) -> usize {
        self.chunks_len + self.tail.len() - self.sent
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// Fills `slices` with the first bytes to send; returns how many it set.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let pieces = self.chunks.iter().map(|chunk| &chunk[..]).chain([&self.tail[self.sent..]]);
        for (slot, bytes) in slices.iter_mut().zip(pieces.filter(|piece| !piece.is_empty())) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// The first `n` bytes were sent.
    pub fn advance(&mut self, mut n: usize) {
        assert!(n <= self.len_bytes());
        while let Some(chunk) = self.chunks.front_mut().filter(|_| n > 0) {
            let taken = n.min(chunk.len());
            chunk.advance(taken);
            self.chunks_len -= taken;
            n -= taken;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.sent += n;
        if self.sent == self.tail.len() {
            // Whoever needed this once need not again: most connections never do.
            self.tail = Vec::new();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(output: &Output) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = output.io_slices(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(
            steps in prop::collection::vec((0..3u8, 0..90_000usize), 1..60),
        ) {
            let (mut output, mut expected) = (Output::default(), VecDeque::new());
            let mut next = 0u32;
            for (kind, n) in steps {
                if kind < 2 {
                    let n = if kind == 0 { n } else { n % 100 };
                    let bytes: Vec<u8> = (0..n).map(|_| { next += 1; next as u8 }).collect();
                    expected.extend(&bytes);
                    match n % 2 {
                        0 => output.push(Bytes::from(bytes)),
                        _ => output.extend_from_slice(&bytes),
                    }
                } else {
                    let shown = first(&output);
                    prop_assert!(shown.iter().eq(expected.iter().take(shown.len())));
                    prop_assert!(expected.is_empty() || !shown.is_empty());
                    let sent = n.min(shown.len());
                    output.advance(sent);
                    expected.drain(..sent);
                }
                prop_assert_eq!(output.len_bytes(), expected.len());
            }
        }
    }
}
