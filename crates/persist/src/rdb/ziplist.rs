//! Owns the ziplist, the packed list of Redis before 7.0: reading with full validation, and writing
//! for peers that know nothing newer. Knows nothing of what the elements mean.
//!
//! Layout: bytes u32, offset of the last entry u32, entries u16, entries, 0xff. An entry begins
//! with the length of the one before it, which is what makes ziplists walkable backwards.

use store::value::Item;

use crate::error::Reason;

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
/// A previous length from here on takes five bytes.
const LONG_PREVIOUS: usize = 254;
/// The header's entry count when there are more: they must be walked.
const MANY: u16 = u16::MAX;

fn malformed(at: usize, why: &'static str) -> Reason {
    Reason::Malformed { what: "ziplist", at, why }
}

/// Yields the elements, checking every byte on the way; after an error it ends.
pub struct Ziplist<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the entry before `at` begins; 0 at first.
    previous: usize,
    seen: usize,
    done: bool,
}

impl<'a> Ziplist<'a> {
    /// Checks the header; the entries are checked as they are read.
    pub fn new(bytes: &'a [u8]) -> Result<Ziplist<'a>, Reason> {
        let header =
            bytes.first_chunk::<HEADER_BYTES>().ok_or(malformed(0, "shorter than its header"))?;
        let size = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        if size as usize != bytes.len() {
            return Err(malformed(0, "its size field is wrong"));
        }
        if bytes.len() <= HEADER_BYTES || bytes[bytes.len() - 1] != END {
            return Err(malformed(bytes.len() - 1, "no end mark"));
        }
        Ok(Ziplist { bytes, at: HEADER_BYTES, previous: 0, seen: 0, done: false })
    }

    fn step(&mut self) -> Result<Option<Item<'a>>, Reason> {
        let at = self.at;
        // `new` saw the end mark in the last byte, and every entry read so far ended before it.
        if self.bytes[at] == END {
            return self.finish(at).map(|()| None);
        }
        let body = &self.bytes[..self.bytes.len() - 1];
        let (previous_len, header_at) = previous_len(body, at)?;
        let expected = if self.previous == 0 { 0 } else { at - self.previous };
        if previous_len != expected {
            return Err(malformed(at, "wrong length of the previous entry"));
        }
        let (item, next) = element(body, header_at)?;
        self.previous = at;
        self.at = next;
        self.seen += 1;
        Ok(Some(item))
    }

    /// The end mark stands at `at`: does the header agree?
    fn finish(&self, at: usize) -> Result<(), Reason> {
        if at != self.bytes.len() - 1 {
            return Err(malformed(at, "an end mark before the end"));
        }
        let tail = u32::from_le_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]]);
        let last = if self.previous == 0 { HEADER_BYTES } else { self.previous };
        if tail as usize != last {
            return Err(malformed(4, "its tail field is wrong"));
        }
        let count = u16::from_le_bytes([self.bytes[8], self.bytes[9]]);
        if count != MANY && usize::from(count) != self.seen {
            return Err(malformed(8, "its entry count is wrong"));
        }
        Ok(())
    }
}

impl<'a> Iterator for Ziplist<'a> {
    type Item = Result<Item<'a>, Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

fn previous_len(body: &[u8], at: usize) -> Result<(usize, usize), Reason> {
    match &body[at..] {
        [0xfe, a, b, c, d, ..] => Ok((u32::from_le_bytes([*a, *b, *c, *d]) as usize, at + 5)),
        [0xfe | 0xff, ..] | [] => Err(malformed(at, "a cut or impossible previous length")),
        [short, ..] => Ok((usize::from(*short), at + 1)),
    }
}

fn element(body: &[u8], at: usize) -> Result<(Item<'_>, usize), Reason> {
    let cut = || malformed(at, "an entry that reaches beyond the end");
    let rest = body.get(at..).ok_or_else(cut)?;
    let (first, tail) = rest.split_first().ok_or_else(cut)?;
    let string = |len: usize, header: usize| {
        let bytes = rest.get(header..).and_then(|rest| rest.get(..len)).ok_or_else(cut)?;
        Ok((Item::Bytes(bytes), at + header + len))
    };
    let int = |n: i64, size: usize| Ok((Item::Int(n), at + 1 + size));
    match (first, tail) {
        (0x00..=0x3f, _) => string(usize::from(first & 0x3f), 1),
        (0x40..=0x7f, [low, ..]) => string(usize::from(first & 0x3f) << 8 | usize::from(*low), 2),
        (0x80, [a, b, c, d, ..]) => string(u32::from_be_bytes([*a, *b, *c, *d]) as usize, 5),
        (0xc0, [a, b, ..]) => int(i64::from(i16::from_le_bytes([*a, *b])), 2),
        (0xd0, [a, b, c, d, ..]) => int(i64::from(i32::from_le_bytes([*a, *b, *c, *d])), 4),
        (0xe0, tail) => match tail.first_chunk::<8>() {
            Some(eight) => int(i64::from_le_bytes(*eight), 8),
            None => Err(cut()),
        },
        (0xf0, [a, b, c, ..]) => int(i64::from(i32::from_le_bytes([0, *a, *b, *c]) >> 8), 3),
        (0xfe, [a, ..]) => int(i64::from(*a as i8), 1),
        (0xf1..=0xfd, _) => int(i64::from(first & 0x0f) - 1, 0),
        (0x40..=0x7f | 0x80 | 0xc0 | 0xd0 | 0xf0 | 0xfe, _) => Err(cut()),
        _ => Err(malformed(at, "an unknown entry encoding")),
    }
}

/// Builds a ziplist at the end of a vector that is reused from one to the next.
pub struct ZiplistWriter<'a> {
    out: &'a mut Vec<u8>,
    last: usize,
    count: usize,
}

impl<'a> ZiplistWriter<'a> {
    /// Replaces the contents of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> ZiplistWriter<'a> {
        out.clear();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        ZiplistWriter { out, last: 0, count: 0 }
    }

    pub fn push(&mut self, item: Item<'_>) {
        let at = self.out.len();
        let previous = if self.last == 0 { 0 } else { at - self.last };
        if previous < LONG_PREVIOUS {
            self.out.push(previous as u8);
        } else {
            self.out.push(0xfe);
            self.out.extend_from_slice(&(previous as u32).to_le_bytes());
        }
        match item {
            Item::Int(n) => self.int(n),
            Item::Bytes(bytes) => match short_int(bytes) {
                Some(n) => self.int(n),
                None => self.string(bytes),
            },
        }
        self.last = at;
        self.count += 1;
    }

    fn int(&mut self, n: i64) {
        let le = n.to_le_bytes();
        let (code, size): (u8, usize) = match n {
            0..=12 => (0xf1 + n as u8, 0),
            -0x80..0x80 => (0xfe, 1),
            -0x8000..0x8000 => (0xc0, 2),
            -0x80_0000..0x80_0000 => (0xf0, 3),
            -0x8000_0000..0x8000_0000 => (0xd0, 4),
            _ => (0xe0, 8),
        };
        self.out.push(code);
        self.out.extend_from_slice(&le[..size]);
    }

    fn string(&mut self, bytes: &[u8]) {
        match bytes.len() {
            len @ ..0x40 => self.out.push(len as u8),
            len @ ..0x4000 => self.out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]),
            len => {
                self.out.push(0x80);
                self.out.extend_from_slice(&(len as u32).to_be_bytes());
            }
        }
        self.out.extend_from_slice(bytes);
    }

    /// Completes the header and the end mark.
    pub fn finish(self) -> &'a [u8] {
        self.out.push(END);
        let size = self.out.len() as u32;
        let last = if self.last == 0 { HEADER_BYTES } else { self.last };
        self.out[..4].copy_from_slice(&size.to_le_bytes());
        self.out[4..8].copy_from_slice(&(last as u32).to_le_bytes());
        let count = u16::try_from(self.count).unwrap_or(MANY);
        self.out[8..10].copy_from_slice(&count.to_le_bytes());
        self.out
    }
}

/// Ziplists keep every text that is a number as one; readers of it compare accordingly.
fn short_int(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 20 { None } else { store::str::parse_int(bytes) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Reason> {
        Ziplist::new(bytes)?.map(|item| item.map(|item| item.to_vec())).collect()
    }

    /// The example of the format's description: the integers 2 and 5.
    const TWO_AND_FIVE: [u8; 15] = [15, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0xf3, 2, 0xf6, 0xff];

    #[test]
    fn the_documented_example() {
        assert_eq!(all(&TWO_AND_FIVE).unwrap(), [b"2", b"5"]);
        let mut out = Vec::new();
        let mut writer = ZiplistWriter::new(&mut out);
        writer.push(Item::Int(2));
        writer.push(Item::Bytes(b"5"));
        assert_eq!(writer.finish(), TWO_AND_FIVE);
    }

    #[test]
    fn every_encoding_comes_back() {
        let long = vec![b'l'; 70_000];
        let middle = vec![b'm'; 300];
        let numbers: Vec<i64> = [
            0,
            12,
            13,
            -1,
            127,
            128,
            -129,
            32767,
            32768,
            -8388608,
            8388608,
            1 << 31,
            i64::MIN,
            i64::MAX,
        ]
        .to_vec();
        let mut out = Vec::new();
        let mut writer = ZiplistWriter::new(&mut out);
        for n in &numbers {
            writer.push(Item::Int(*n));
        }
        for bytes in [&b""[..], b"abc", &middle, &long, b"007", b"end"] {
            writer.push(Item::Bytes(bytes));
        }
        let mut expected: Vec<Vec<u8>> =
            numbers.iter().map(|n| n.to_string().into_bytes()).collect();
        expected.extend([
            b"".to_vec(),
            b"abc".to_vec(),
            middle.clone(),
            long.clone(),
            b"007".to_vec(),
            b"end".to_vec(),
        ]);
        assert_eq!(all(writer.finish()).unwrap(), expected);
    }

    #[test]
    fn an_empty_ziplist_and_a_lying_one() {
        let mut out = Vec::new();
        assert_eq!(all(ZiplistWriter::new(&mut out).finish()).unwrap(), Vec::<Vec<u8>>::new());
        for (at, why) in [(0, "size"), (4, "tail"), (8, "count"), (12, "previous"), (14, "end")] {
            let mut bytes = TWO_AND_FIVE;
            bytes[at] ^= 1;
            assert!(all(&bytes).is_err(), "{why}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_another_ziplist(at in 0usize..200, bit in 0u8..8, cut in 0usize..200) {
            let mut out = Vec::new();
            let mut writer = ZiplistWriter::new(&mut out);
            for i in 0..20i64 {
                writer.push(Item::Int(i * i * i * 1000));
                writer.push(Item::Bytes(b"some text"));
            }
            let mut bytes = writer.finish().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let _ = all(&bytes);
            let _ = all(&bytes[..cut.min(bytes.len())]);
        }
    }
}
