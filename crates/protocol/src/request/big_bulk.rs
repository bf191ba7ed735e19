//! The buffer that one big bulk is read into. It grows with what arrives, not with what was
//! announced.

use bytes::Bytes;

/// The first room; it doubles as the bytes really arrive. Who announces much and sends little is to cost
/// little, and who sends much at once brings more than this with the announcement.
const FIRST_LEN: usize = 4 * 1024;

/// A big bulk on its way. `arrived_len <= buffer.len() <= announced_len`.
#[derive(Debug, Default)]
pub(super) struct BigBulk {
    /// Wholly initialised; what arrived comes first.
    buffer: Vec<u8>,
    arrived_len: usize,
    announced_len: usize,
}

impl BigBulk {
    /// `arrived` is what of it has been read already.
    pub(super) fn new(announced_len: usize, arrived: &[u8]) -> Self {
        let mut bulk = Self { buffer: Vec::new(), arrived_len: arrived.len(), announced_len };
        bulk.grow();
        bulk.buffer[..arrived.len()].copy_from_slice(arrived);
        bulk
    }

    /// Room to read into: not empty before the bulk is whole, and never more than it lacks.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        if self.arrived_len == self.buffer.len() {
            self.grow();
        }
        &mut self.buffer[self.arrived_len..]
    }

    /// The first `n` bytes of `spare` arrived.
    pub(super) fn filled(&mut self, n: usize) {
        assert!(n <= self.buffer.len() - self.arrived_len);
        self.arrived_len += n;
    }

    pub(super) fn is_whole(&self) -> bool {
        self.arrived_len == self.announced_len
    }

    pub(super) fn arrived_len(&self) -> usize {
        self.arrived_len
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// The whole bulk, without a copy: its buffer has just its length.
    pub(super) fn into_bytes(self) -> Bytes {
        debug_assert!(self.is_whole() && self.buffer.len() == self.announced_len);
        Bytes::from(self.buffer)
    }

    /// Makes room in proportion to what arrived, and in the end exactly what was announced.
    fn grow(&mut self) {
        let len = self.announced_len.min(FIRST_LEN.max(2 * self.arrived_len));
        self.buffer.reserve_exact(len - self.buffer.len());
        self.buffer.resize(len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand connections that announced half a gigabyte each and sent a byte held 64 KiB each.
    #[test]
    fn an_announcement_takes_little_memory_until_the_bytes_come() {
        let mut bulk = BigBulk::new(512 << 20, b"x");
        assert!(bulk.capacity() <= FIRST_LEN);
        let mut reads = 0;
        while bulk.arrived_len() < 16 << 20 {
            let room = bulk.spare().len();
            assert!(room > 0);
            bulk.filled(room.min(64 * 1024));
            assert!(bulk.capacity() <= 2 * bulk.arrived_len().max(FIRST_LEN));
            reads += 1;
        }
        assert!(reads < 16 * 16 + 10, "small rooms are for the beginning only: {reads}");
    }
}
