//! Owns the bytes of the replication stream: one chain of blocks that the backlog and all replicas
//! share. Must not know connections, ids or commands.
//!
//! ```text
//!   block 7             block 8             block 9 (tail)
//!   [###############]   [###############]   [#######......]
//!        ^ slow replica     ^ first_offset     ^     ^ received, not yet applied (replicas only)
//!                           |--- the backlog --| end_offset
//! ```
//!
//! Invariants
//! - `first_offset + len == end_offset == master_offset + 1`, at all times; only `advance` moves them.
//! - `len <= size`, to the byte, unless a reader stands further back: what is kept for it anyhow is the window's
//!   as well, from the begin of its block on, until it moves on or is gone.
//! - Bytes never change once written; the tail block grows in place while readers stand on it.
//! - A block lives while the window or a reader needs it, so a slow reader costs its distance and no copy.
//! - A reader never stands beyond `end_offset`, nor on a block that holds unapplied bytes only.

use std::collections::VecDeque;
use std::io::IoSlice;

/// Blocks are a sixteenth of the backlog within these bounds, so that whole-block trimming wastes little.
const BLOCK_MIN_BYTES: u64 = 1024;
const BLOCK_MAX_BYTES: u64 = 64 * 1024;

#[derive(Debug)]
struct Block {
    start_offset: u64,
    bytes: Vec<u8>,
    readers: u32,
}

impl Block {
    fn end_offset(&self) -> u64 {
        self.start_offset + self.bytes.len() as u64
    }
}

/// A reader's place in the chain. Give it back with [`Backlog::close_reader`]: until then its block stays.
#[must_use]
#[derive(Debug)]
pub struct Reader {
    block: u64,
    at: usize,
}

/// The chain and the window over its end that partial resyncs are served from.
#[derive(Debug)]
pub struct Backlog {
    blocks: VecDeque<Block>,
    /// Number of the first block in `blocks`; numbers are never reused.
    first_block: u64,
    first_offset: u64,
    end_offset: u64,
    size_bytes: u64,
}

impl Backlog {
    /// An empty backlog whose first byte will have the offset `next_offset`.
    pub fn new(size_bytes: u64, next_offset: u64) -> Self {
        let mut backlog = Self {
            blocks: VecDeque::new(),
            first_block: 0,
            first_offset: next_offset,
            end_offset: next_offset,
            size_bytes,
        };
        backlog.push_block();
        backlog
    }

    /// Offset of the oldest byte that a partial resync may start with.
    pub fn first_offset(&self) -> u64 {
        self.first_offset
    }

    /// Offset of the next byte of the stream.
    pub fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// Bytes in the window.
    pub fn len(&self) -> u64 {
        self.end_offset - self.first_offset
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that the chain holds.
    pub fn memory_bytes(&self) -> u64 {
        let list = self.blocks.capacity() * size_of::<Block>();
        self.blocks.iter().map(|b| b.bytes.capacity() as u64).sum::<u64>() + list as u64
    }

    /// Memory that is kept for readers behind the window alone, about; without a walk.
    pub fn bytes_beyond_window(&self) -> u64 {
        let window = self.first_offset.max(self.window_start());
        let oldest = self.blocks.front().map_or(window, |block| block.start_offset);
        let block = self.tail().bytes.capacity() as u64;
        // The window seldom begins with a block: the rest of its first one is not for readers.
        let blocks = window.saturating_sub(oldest) / block;
        let list = self.blocks.capacity() * size_of::<Block>();
        if blocks > 0 { blocks * block + list as u64 } else { 0 }
    }

    /// Bytes received and not yet applied.
    pub fn unapplied_len(&self) -> u64 {
        self.tail().end_offset() - self.end_offset
    }

    /// A changed size keeps the newest bytes that fit.
    pub fn resize(&mut self, size_bytes: u64) {
        self.size_bytes = size_bytes;
        self.trim();
    }

    /// Appends bytes that are not part of the stream yet: `advance` makes them so.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let tail = self.blocks.back_mut().expect("a chain has at least one block");
            let room = tail.bytes.capacity() - tail.bytes.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            tail.bytes.extend_from_slice(now);
            bytes = later;
            if !bytes.is_empty() {
                self.push_block();
            }
        }
    }

    /// Makes the next `n` received bytes part of the stream.
    pub fn advance(&mut self, n: u64) {
        assert!(n <= self.unapplied_len(), "cannot advance over bytes that were never received");
        self.end_offset += n;
        self.trim();
    }

    /// Drops what was received and not applied: it will be asked for again.
    pub fn forget_unapplied(&mut self) {
        while self.blocks.len() > 1 && self.tail().start_offset >= self.end_offset {
            let block = self.blocks.pop_back().expect("there are at least two");
            debug_assert_eq!(block.readers, 0, "no reader stands on unapplied bytes");
        }
        let end_offset = self.end_offset;
        let tail = self.blocks.back_mut().expect("a chain has at least one block");
        tail.bytes.truncate((end_offset - tail.start_offset) as usize);
    }

    /// A reader whose next byte is the one at `offset`. None if that is outside the window.
    pub fn open_reader(&mut self, offset: u64) -> Option<Reader> {
        (self.first_offset..=self.end_offset).contains(&offset).then(|| self.reader_at(offset))
    }

    /// A reader that has nothing to read yet.
    pub fn open_reader_at_end(&mut self) -> Reader {
        self.reader_at(self.end_offset)
    }

    /// A second reader at the same place, also if the window has moved on since.
    pub fn clone_reader(&mut self, reader: &Reader) -> Reader {
        self.block_mut(reader.block).readers += 1;
        Reader { block: reader.block, at: reader.at }
    }

    pub fn close_reader(&mut self, reader: Reader) {
        self.block_mut(reader.block).readers -= 1;
        self.trim();
    }

    /// Offset of the next byte that the reader gets.
    pub fn reader_offset(&self, reader: &Reader) -> u64 {
        self.block(reader.block).start_offset + reader.at as u64
    }

    /// How far the reader is behind the end of the stream.
    pub fn distance(&self, reader: &Reader) -> u64 {
        self.end_offset - self.reader_offset(reader)
    }

    /// What is kept for the reader: from the begin of its block on.
    pub fn held_by(&self, reader: &Reader) -> u64 {
        self.end_offset - self.block(reader.block).start_offset
    }

    /// Fills `slices` with what the reader has to read next; returns how many were filled.
    pub fn slices<'a>(&'a self, reader: &Reader, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut at = reader.at;
        let mut left = self.distance(reader);
        let first = self.index(reader.block);
        for block in self.blocks.range(first..) {
            if left == 0 || filled == slices.len() {
                break;
            }
            let bytes = &block.bytes[at..];
            let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            at = 0;
            if !bytes.is_empty() {
                slices[filled] = IoSlice::new(bytes);
                filled += 1;
                left -= bytes.len() as u64;
            }
        }
        filled
    }

    /// The reader has read `n` more bytes.
    pub fn skip(&mut self, reader: &mut Reader, n: u64) {
        assert!(n <= self.distance(reader), "a reader cannot read beyond the end of the stream");
        let target = self.reader_offset(reader) + n;
        let mut block = reader.block;
        while self.block(block).end_offset() < target
            || (self.block(block).end_offset() == target && target < self.end_offset)
        {
            block += 1;
        }
        reader.at = (target - self.block(block).start_offset) as usize;
        if block != reader.block {
            self.block_mut(reader.block).readers -= 1;
            self.block_mut(block).readers += 1;
            reader.block = block;
            self.trim();
        }
    }

    fn reader_at(&mut self, offset: u64) -> Reader {
        // The last block that begins before the offset, so that nobody stands on unapplied bytes only.
        let index = self.blocks.partition_point(|b| b.start_offset < offset).saturating_sub(1);
        let block = &mut self.blocks[index];
        block.readers += 1;
        Reader {
            block: self.first_block + index as u64,
            at: (offset - block.start_offset) as usize,
        }
    }

    /// Where the window begins when nobody stands before it.
    fn window_start(&self) -> u64 {
        self.end_offset.saturating_sub(self.size_bytes)
    }

    fn trim(&mut self) {
        let start = self.window_start().max(self.first_offset);
        while self.blocks.len() > 1
            && self.blocks[0].readers == 0
            && self.blocks[0].end_offset() <= start
        {
            self.blocks.pop_front();
            self.first_block += 1;
        }
        // A first block before the window is there for its readers, and so is all that follows: others may
        // ask for it, too.
        let held = self.blocks.front().filter(|block| block.end_offset() <= start);
        self.first_offset = self.first_offset.max(held.map_or(start, |block| block.start_offset));
        if self.blocks.len() < self.blocks.capacity() / 8 {
            // A slow replica's distance made the list long; it has caught up, or is gone.
            self.blocks.shrink_to(2 * self.blocks.len());
        }
        debug_assert!(self.first_offset <= self.end_offset);
    }

    fn push_block(&mut self) {
        let start_offset = self.blocks.back().map_or(self.end_offset, Block::end_offset);
        let capacity = (self.size_bytes / 16).clamp(BLOCK_MIN_BYTES, BLOCK_MAX_BYTES) as usize;
        let bytes = Vec::with_capacity(capacity);
        self.blocks.push_back(Block { start_offset, bytes, readers: 0 });
    }

    fn tail(&self) -> &Block {
        self.blocks.back().expect("a chain has at least one block")
    }

    fn index(&self, block: u64) -> usize {
        (block - self.first_block) as usize
    }

    fn block(&self, block: u64) -> &Block {
        &self.blocks[self.index(block)]
    }

    fn block_mut(&mut self, block: u64) -> &mut Block {
        let index = self.index(block);
        &mut self.blocks[index]
    }
}

/// The replication stream: its offset, and the backlog once somebody needs one.
#[derive(Debug)]
pub struct Stream {
    offset: u64,
    backlog: Option<Backlog>,
}

impl Stream {
    pub fn new(offset: u64) -> Self {
        Self { offset, backlog: None }
    }

    /// Offset of the last byte of the stream: Redis's `master_repl_offset`.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn backlog(&self) -> Option<&Backlog> {
        self.backlog.as_ref()
    }

    pub fn backlog_mut(&mut self) -> Option<&mut Backlog> {
        self.backlog.as_mut()
    }

    pub fn create_backlog(&mut self, size_bytes: u64) -> &mut Backlog {
        let offset = self.offset;
        self.backlog.get_or_insert_with(|| Backlog::new(size_bytes, offset + 1))
    }

    /// All readers must have been closed.
    pub fn free_backlog(&mut self) {
        self.backlog = None;
    }

    /// Begins another history at this offset, with an empty backlog. All readers must have been closed.
    pub fn restart(&mut self, offset: u64, size_bytes: u64) {
        self.offset = offset;
        self.backlog = Some(Backlog::new(size_bytes, offset + 1));
    }

    /// Appends bytes of our own to the stream. Without a backlog nobody could ever ask for them, and the
    /// id changes when a backlog is made: then they do not count.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(backlog) = &mut self.backlog {
            backlog.receive(bytes);
            self.advance(bytes.len() as u64);
        }
    }

    /// A unit of writes that nobody can ever ask for, because there is no backlog: it is counted as one,
    /// so that the append-only file's progress can be told by the offset.
    pub fn count_unfollowed(&mut self) {
        if self.backlog.is_none() {
            self.advance(1);
        }
    }

    /// The only place where the offset moves forward.
    pub fn advance(&mut self, n: u64) {
        self.offset += n;
        if let Some(backlog) = &mut self.backlog {
            backlog.advance(n);
            assert_eq!(backlog.first_offset() + backlog.len(), self.offset + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Feed(usize),
        Receive(usize),
        Advance(usize),
        Forget,
        Resize(u64),
        Open(u64),
        OpenAtEnd,
        Clone(usize),
        Skip(usize, usize),
        Close(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0usize..5000).prop_map(Op::Receive),
            (0usize..5000).prop_map(Op::Feed),
            (0usize..5000).prop_map(Op::Advance),
            Just(Op::Forget),
            (1u64..20_000).prop_map(Op::Resize),
            (0u64..60_000).prop_map(Op::Open),
            Just(Op::OpenAtEnd),
            (0usize..8).prop_map(Op::Clone),
            ((0usize..8), (0usize..9000)).prop_map(|(r, n)| Op::Skip(r, n)),
            (0usize..8).prop_map(Op::Close),
        ]
    }

    /// Byte at an offset of the model stream. Unapplied bytes that were forgotten come again the same.
    fn byte_at(offset: u64) -> u8 {
        (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    fn bytes_from(offset: u64, n: usize) -> Vec<u8> {
        (offset..offset + n as u64).map(byte_at).collect()
    }

    fn check_reader(backlog: &Backlog, reader: &Reader) {
        let mut slices = [IoSlice::new(&[]); 64];
        let n = backlog.slices(reader, &mut slices);
        let got: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
        assert_eq!(got, bytes_from(backlog.reader_offset(reader), got.len()));
        assert_eq!(n > 0, backlog.distance(reader) > 0);
        if n < slices.len() {
            assert_eq!(got.len() as u64, backlog.distance(reader));
        }
    }

    proptest! {
        // Whatever is appended, trimmed, resized and read in whatever order: a reader gets the stream's
        // bytes, the window is exact, and memory is what window and readers need.
        #[test]
        fn readers_see_the_stream(ops in proptest::collection::vec(op(), 1..120)) {
            let mut size = 10_000;
            let mut backlog = Backlog::new(size, 1);
            let (mut readers, mut received) = (Vec::new(), 0u64);
            for op in ops {
                match op {
                    Op::Receive(n) => {
                        backlog.receive(&bytes_from(1 + received, n));
                        received += n as u64;
                    }
                    Op::Feed(n) => {
                        backlog.forget_unapplied();
                        received = backlog.end_offset() - 1;
                        backlog.receive(&bytes_from(1 + received, n));
                        received += n as u64;
                        backlog.advance(n as u64);
                    }
                    Op::Advance(n) => backlog.advance(backlog.unapplied_len().min(n as u64)),
                    Op::Forget => {
                        backlog.forget_unapplied();
                        received = backlog.end_offset() - 1;
                    }
                    Op::Resize(n) => { size = n; backlog.resize(n); }
                    Op::Open(offset) => {
                        let inside = backlog.first_offset() <= offset && offset <= backlog.end_offset();
                        let reader = backlog.open_reader(offset);
                        prop_assert_eq!(reader.is_some(), inside);
                        readers.extend(reader);
                    }
                    Op::OpenAtEnd => readers.push(backlog.open_reader_at_end()),
                    Op::Clone(i) if i < readers.len() => {
                        let reader = backlog.clone_reader(&readers[i]);
                        readers.push(reader);
                    }
                    Op::Skip(i, n) if i < readers.len() => {
                        let n = backlog.distance(&readers[i]).min(n as u64);
                        let before = backlog.reader_offset(&readers[i]);
                        backlog.skip(&mut readers[i], n);
                        prop_assert_eq!(backlog.reader_offset(&readers[i]), before + n);
                    }
                    Op::Close(i) if i < readers.len() => backlog.close_reader(readers.swap_remove(i)),
                    _ => {}
                }
                prop_assert_eq!(backlog.unapplied_len(), 1 + received - backlog.end_offset());
                let slowest = readers.iter().map(|r| backlog.reader_offset(r)).min();
                let is_held = slowest.is_some_and(|at| {
                    at <= backlog.first_offset() + BLOCK_MAX_BYTES && at < backlog.window_start()
                });
                prop_assert!(backlog.len() <= size || is_held);
                prop_assert_eq!(backlog.first_offset() + backlog.len(), backlog.end_offset());
                for reader in &readers {
                    check_reader(&backlog, reader);
                }
                let oldest = readers.iter().map(|r| backlog.reader_offset(r)).min();
                let oldest = oldest.unwrap_or(u64::MAX).min(backlog.first_offset());
                let needed = 1 + received - oldest;
                prop_assert!(backlog.memory_bytes() <= needed + 3 * BLOCK_MAX_BYTES);
            }
        }
    }

    const KIB: u64 = 1024;

    fn feed(backlog: &mut Backlog, n: u64) {
        backlog.receive(&vec![b'x'; n as usize]);
        backlog.advance(n);
    }

    // Eviction does not count what replicas keep waiting, and is told of it by this figure: one that is wrong makes
    // it stop too early or never.
    #[test]
    fn what_a_slow_reader_keeps_is_told_with_the_list_of_its_blocks() {
        let mut backlog = Backlog::new(16 * KIB, 1);
        let reader = backlog.open_reader_at_end();
        feed(&mut backlog, 16 * KIB);
        assert_eq!(backlog.bytes_beyond_window(), 0, "the window has all that it needs");
        feed(&mut backlog, 100 * KIB);
        let block = KIB + size_of::<Block>() as u64;
        assert!(backlog.memory_bytes() >= 116 * block, "{}", backlog.memory_bytes());
        assert!(backlog.bytes_beyond_window() >= 100 * block, "{}", backlog.bytes_beyond_window());
        assert!(backlog.bytes_beyond_window() <= backlog.memory_bytes());
        backlog.close_reader(reader);
        assert_eq!(backlog.bytes_beyond_window(), 0);
    }

    // The block that it was done with would be kept for it, and by that all that follows.
    #[test]
    fn a_reader_keeps_no_block_that_it_has_read_to_the_end() {
        let mut backlog = Backlog::new(16 * KIB, 1);
        let mut reader = backlog.open_reader_at_end();
        feed(&mut backlog, 3 * KIB);
        for (n, kept) in [(KIB / 2, 3 * KIB), (KIB / 2, 2 * KIB), (KIB, KIB)] {
            backlog.skip(&mut reader, n);
            assert_eq!(backlog.held_by(&reader), kept);
        }
        backlog.close_reader(reader);
    }

    // What a slow replica kept was there, and a second one that asked for it had to take a snapshot.
    #[test]
    fn what_a_slow_reader_keeps_is_offered_to_others_until_it_is_gone() {
        let mut backlog = Backlog::new(16 * KIB, 1);
        let slow = backlog.open_reader_at_end();
        feed(&mut backlog, 100 * KIB);
        assert_eq!((backlog.first_offset(), backlog.len()), (1, 100 * KIB));
        let second = backlog.open_reader(1 + 10 * KIB).expect("it is all there");
        backlog.close_reader(slow);
        assert!(backlog.len() <= 91 * KIB, "up to the block on which the second one stands");
        backlog.close_reader(second);
        assert_eq!(backlog.len(), 16 * KIB);
        assert!(backlog.open_reader(1 + 10 * KIB).is_none());
    }

    #[test]
    fn a_slow_reader_that_is_gone_leaves_no_long_empty_list() {
        let mut backlog = Backlog::new(16 * KIB, 1);
        let reader = backlog.open_reader_at_end();
        feed(&mut backlog, 4096 * KIB);
        backlog.close_reader(reader);
        let list = 8 * 18 * size_of::<Block>() as u64;
        assert!(backlog.memory_bytes() <= 18 * KIB + list, "{}", backlog.memory_bytes());
    }

    #[test]
    fn a_stream_without_backlog_counts_units_and_no_bytes() {
        let mut stream = Stream::new(5);
        stream.feed(b"nobody counts this");
        assert_eq!(stream.offset(), 5);
        stream.count_unfollowed();
        stream.count_unfollowed();
        assert_eq!(stream.offset(), 7);
        stream.create_backlog(100);
        stream.feed(b"abc");
        assert_eq!((stream.offset(), stream.backlog().unwrap().first_offset()), (10, 8));
        stream.count_unfollowed();
        assert_eq!(stream.offset(), 10, "a backlog counts bytes");
    }
}
