//! Owns the check of a snapshot that is received in pieces: its header at once, its checksum at
//! the end. Looks at no key, so that it costs next to nothing; a replica asks it before it parts
//! with the data it has.

use super::format::{CHECKSUM_BYTES, CHECKSUM_VERSION, HEADER_BYTES, opcode};
use super::load::parse_header;
use crate::crc::crc64;
use crate::error::{RdbError, Reason};

/// Feed it every byte of the snapshot in order, then ask `finish`.
#[derive(Debug, Clone, Default)]
pub struct SnapshotVerifier {
    header: [u8; HEADER_BYTES],
    version: Option<u32>,
    fed: u64,
    /// Of everything but the bytes in `tail`.
    crc: u64,
    /// The last bytes fed: the checksum, should nothing follow.
    tail: [u8; CHECKSUM_BYTES],
    tail_len: usize,
    /// The byte before the tail.
    before_tail: u8,
}

impl SnapshotVerifier {
    pub fn new() -> SnapshotVerifier {
        SnapshotVerifier::default()
    }

    /// Bytes fed so far.
    pub fn fed(&self) -> u64 {
        self.fed
    }

    /// The format version, once the header is there.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// An error says that the snapshot is useless whatever follows.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), RdbError> {
        self.feed_header(bytes)?;
        self.fed += bytes.len() as u64;
        let whole = self.tail_len + bytes.len();
        // The tail and `bytes` are one run; all of it but its last eight bytes is settled.
        let settled = whole.saturating_sub(CHECKSUM_BYTES);
        let of_tail = settled.min(self.tail_len);
        let of_bytes = settled - of_tail;
        self.settle_tail(of_tail);
        if of_bytes > 0 {
            self.crc = crc64(self.crc, &bytes[..of_bytes]);
            self.before_tail = bytes[of_bytes - 1];
        }
        let fresh = &bytes[of_bytes..];
        self.tail[self.tail_len..self.tail_len + fresh.len()].copy_from_slice(fresh);
        self.tail_len += fresh.len();
        Ok(())
    }

    fn settle_tail(&mut self, n: usize) {
        if n > 0 {
            self.crc = crc64(self.crc, &self.tail[..n]);
            self.before_tail = self.tail[n - 1];
            self.tail.copy_within(n..self.tail_len, 0);
            self.tail_len -= n;
        }
    }

    fn feed_header(&mut self, bytes: &[u8]) -> Result<(), RdbError> {
        let have = usize::try_from(self.fed).unwrap_or(HEADER_BYTES).min(HEADER_BYTES);
        if have < HEADER_BYTES {
            let fresh = &bytes[..bytes.len().min(HEADER_BYTES - have)];
            self.header[have..have + fresh.len()].copy_from_slice(fresh);
            if have + fresh.len() == HEADER_BYTES {
                let version = parse_header(&self.header);
                self.version = Some(version.map_err(|reason| RdbError::new(0, reason))?);
            }
        }
        Ok(())
    }

    /// The snapshot ended here: is it whole? Gives the format version.
    pub fn finish(&self) -> Result<u32, RdbError> {
        let Some(version) = self.version else {
            return Err(RdbError::new(self.fed, Reason::UnexpectedEnd("the header")));
        };
        if version < CHECKSUM_VERSION {
            return match self.tail[..self.tail_len].last() {
                Some(&opcode::EOF) => Ok(version),
                _ => Err(RdbError::new(self.fed, Reason::UnexpectedEnd("the snapshot"))),
            };
        }
        let stored = u64::from_le_bytes(self.tail);
        let end = self.fed.saturating_sub(CHECKSUM_BYTES as u64);
        // A cut snapshot ends in other bytes than these nearly always, and says so more plainly.
        if end <= HEADER_BYTES as u64 || self.before_tail != opcode::EOF {
            return Err(RdbError::new(self.fed, Reason::UnexpectedEnd("the snapshot")));
        }
        if stored != 0 && stored != self.crc {
            return Err(RdbError::new(end, Reason::BadChecksum { stored, computed: self.crc }));
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(version: u32, keys: usize) -> Vec<u8> {
        let mut bytes = format!("REDIS{version:04}").into_bytes();
        for i in 0..keys {
            bytes.extend([0, 2, b'k', i as u8, 1, b'v']);
        }
        bytes.push(opcode::EOF);
        if version >= CHECKSUM_VERSION {
            bytes.extend(crc64(0, &bytes).to_le_bytes());
        }
        bytes
    }

    fn verdict(bytes: &[u8], step: usize) -> Result<u32, RdbError> {
        let mut verifier = SnapshotVerifier::new();
        for chunk in bytes.chunks(step) {
            verifier.feed(chunk)?;
        }
        verifier.finish()
    }

    #[test]
    fn whole_snapshots_pass_however_they_are_cut_into_chunks() {
        for version in [1, 5, 9, 11] {
            for keys in [0, 1, 40] {
                let bytes = snapshot(version, keys);
                for step in 1..bytes.len() + 1 {
                    assert_eq!(verdict(&bytes, step), Ok(version), "version {version} step {step}");
                }
            }
        }
    }

    #[test]
    fn damage_anywhere_and_cuts_anywhere_are_noticed() {
        let bytes = snapshot(10, 10);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(verdict(&bad, 7).is_err(), "byte {at}");
            assert!(verdict(&bytes[..at], 7).is_err(), "cut at {at}");
        }
        let mut unchecked = bytes.clone();
        let end = unchecked.len() - 8;
        unchecked[end..].fill(0);
        assert_eq!(verdict(&unchecked, 7), Ok(10), "rdbchecksum no");
    }

    #[test]
    fn a_foreign_stream_is_refused_with_its_first_bytes() {
        let mut verifier = SnapshotVerifier::new();
        verifier.feed(b"HTTP/").unwrap();
        assert_eq!(verifier.feed(b"1.1 200 OK").unwrap_err().reason, Reason::BadSignature);
        let newer = SnapshotVerifier::new().feed(b"REDIS0013abc").unwrap_err();
        assert_eq!(newer.reason, Reason::UnsupportedVersion(13));
    }
}
