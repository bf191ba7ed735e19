//! One entry of a listpack: encoding and data, then the length of both, written so that it can be
//! read backwards. Owns that layout; must not know headers or neighbours.

use crate::str::parse_int;
use crate::value::Item;

pub(super) const INT16: u8 = 0xF1;
pub(super) const INT24: u8 = 0xF2;
pub(super) const INT32: u8 = 0xF3;
pub(super) const INT64: u8 = 0xF4;
pub(super) const STR32: u8 = 0xF0;

/// The form an element is kept in: an integer where the text is one.
pub fn classify(text: &[u8]) -> Item<'_> {
    match parse_int(text) {
        Some(n) => Item::Int(n),
        None => Item::Bytes(text),
    }
}

/// An element as we encode it: an integer that was written as text is one all the same.
pub(super) fn canonical(item: Item<'_>) -> Item<'_> {
    match item {
        Item::Bytes(text) => classify(text),
        int => int,
    }
}

/// Encoding and data of an element that is to be written, without the trailing length.
pub(super) fn data_len(item: &Item<'_>) -> usize {
    match *item {
        Item::Int(0..=127) => 1,
        Item::Int(-4096..=4095) => 2,
        Item::Int(-0x8000..=0x7FFF) => 3,
        Item::Int(-0x80_0000..=0x7F_FFFF) => 4,
        Item::Int(-0x8000_0000..=0x7FFF_FFFF) => 5,
        Item::Int(_) => 9,
        Item::Bytes(text) => match text.len() {
            len @ 0..64 => 1 + len,
            len @ 64..4096 => 2 + len,
            len => 5 + len,
        },
    }
}

/// Bytes of the trailing length. The steps are Redis's, one short of what the bits would hold.
pub(super) fn backlen_len(data_len: usize) -> usize {
    match data_len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

pub(super) fn with_backlen(data_len: usize) -> usize {
    data_len + backlen_len(data_len)
}

pub(super) fn write_entry(out: &mut [u8], item: &Item<'_>, data_len: usize) {
    let head_len = write_head(out, item, data_len);
    if let Item::Bytes(text) = item {
        out[head_len..data_len].copy_from_slice(text);
    }
    write_backlen(&mut out[data_len..], data_len);
}

/// Writes an integer, or the encoding and length of a text. Returns the bytes written.
fn write_head(out: &mut [u8], item: &Item<'_>, data_len: usize) -> usize {
    match *item {
        Item::Int(n) => {
            match data_len {
                1 => out[0] = n as u8,
                2 => out[..2].copy_from_slice(&(0xC000 | (n as u16 & 0x1FFF)).to_be_bytes()),
                _ => {
                    out[0] = match data_len {
                        3 => INT16,
                        4 => INT24,
                        5 => INT32,
                        _ => INT64,
                    };
                    out[1..data_len].copy_from_slice(&n.to_le_bytes()[..data_len - 1]);
                }
            }
            data_len
        }
        Item::Bytes(text) => match text.len() {
            len @ 0..64 => {
                out[0] = 0x80 | len as u8;
                1
            }
            len @ 64..4096 => {
                out[..2].copy_from_slice(&(0xE000 | len as u16).to_be_bytes());
                2
            }
            len => {
                out[0] = STR32;
                out[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                5
            }
        },
    }
}

/// An element looked for. Each has only one encoding, so the bytes are compared as they lie.
pub(super) struct Needle<'a> {
    head: [u8; 9],
    head_len: usize,
    text: &'a [u8],
    last: u8,
}

impl<'a> Needle<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        let item = classify(text);
        let mut head = [0; 9];
        let head_len = write_head(&mut head, &item, data_len(&item));
        let text = if let Item::Bytes(text) = item { text } else { &[] };
        let last = text.last().copied().unwrap_or(head[head_len - 1]);
        Needle { head, head_len, text, last }
    }

    #[inline]
    pub fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        // Elements of a collection tend to be of one length and to begin alike: what tells them
        // apart soonest is the end.
        let last = at + self.head_len + self.text.len() - 1;
        bytes[at] == self.head[0] && bytes.get(last) == Some(&self.last) && {
            let rest = &bytes[at..];
            rest.starts_with(&self.head[..self.head_len])
                && rest[self.head_len..].starts_with(self.text)
        }
    }
}

/// Seven bits a byte, most significant first; all but the first byte have the top bit set, so
/// that a reader coming from behind knows when to stop.
pub(super) fn write_backlen(out: &mut [u8], data_len: usize) {
    let mut rest = data_len;
    for (index, byte) in out.iter_mut().enumerate().rev() {
        *byte = (rest & 0x7F) as u8 | if index == 0 { 0 } else { 0x80 };
        rest >>= 7;
    }
}

/// Start of the entry that ends at `end`.
pub(super) fn entry_before(bytes: &[u8], end: usize) -> usize {
    let (mut data_len, mut shift, mut at) = (0usize, 0, end - 1);
    loop {
        let byte = bytes[at];
        data_len |= ((byte & 0x7F) as usize) << shift;
        if byte & 0x80 == 0 {
            return at - data_len;
        }
        shift += 7;
        at -= 1;
    }
}

/// Bytes of the entry at `at`, trailing length included. What walks spend their time in.
#[inline]
pub(super) fn whole_entry_len(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        0x00..=0x7F => 2,
        tag @ 0x80..=0xBF => 2 + (tag & 0x3F) as usize,
        0xC0..=0xDF => 3,
        _ => with_backlen(entry_data_len(bytes, at)),
    }
}

pub(super) fn entry_data_len(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        0x00..=0x7F => 1,
        tag @ 0x80..=0xBF => 1 + (tag & 0x3F) as usize,
        0xC0..=0xDF => 2,
        tag @ 0xE0..=0xEF => 2 + (((tag & 0x0F) as usize) << 8 | bytes[at + 1] as usize),
        INT16 => 3,
        INT24 => 4,
        INT32 => 5,
        INT64 => 9,
        _ => 5 + str32_len(bytes, at),
    }
}

fn str32_len(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]]) as usize
}

/// The element at `at` and the bytes of its entry.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let tag = bytes[at];
    let text = |skip: usize, len: usize| {
        (Item::Bytes(&bytes[at + skip..at + skip + len]), with_backlen(skip + len))
    };
    let int = |width: usize| {
        let mut word = [0; 8];
        word[8 - width..].copy_from_slice(&bytes[at + 1..at + 1 + width]);
        let n = i64::from_le_bytes(word) >> (64 - 8 * width);
        (Item::Int(n), with_backlen(1 + width))
    };
    match tag {
        0x00..=0x7F => (Item::Int(i64::from(tag)), 2),
        0x80..=0xBF => text(1, (tag & 0x3F) as usize),
        0xC0..=0xDF => {
            let word = u16::from_be_bytes([tag, bytes[at + 1]]);
            // Thirteen bits, sign-extended by way of the word's own top bit.
            (Item::Int(i64::from((word << 3) as i16 >> 3)), 3)
        }
        0xE0..=0xEF => text(2, ((tag & 0x0F) as usize) << 8 | bytes[at + 1] as usize),
        INT16 => int(2),
        INT24 => int(3),
        INT32 => int(4),
        INT64 => int(8),
        _ => text(5, str32_len(bytes, at)),
    }
}
