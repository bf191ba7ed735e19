//! Judging listpacks: whether bytes are one, and whether its elements are distinct. Owns the checks
//! that the rest of the code relies on instead of checking again.

use std::collections::HashSet;

use super::entry::*;
use super::{COUNT_UNKNOWN, EMPTY_BYTES, END, HEADER_BYTES, InvalidListpack, Listpack};
use crate::str::parse_int;
use crate::value::Item;

/// Checks every byte that the rest of the code trusts. Whether all elements are encoded as we would.
pub(super) fn validate(bytes: &[u8]) -> Result<bool, InvalidListpack> {
    let invalid = |offset, reason| Err(InvalidListpack { offset, reason });
    if bytes.len() < EMPTY_BYTES {
        return invalid(bytes.len(), "shorter than a header");
    }
    let total = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if total != bytes.len() {
        return invalid(0, "header does not tell the length");
    }
    let end = bytes.len() - 1;
    if bytes[end] != END {
        return invalid(end, "no end mark");
    }
    let (mut at, mut count, mut is_canonical) = (HEADER_BYTES, 0usize, true);
    while at < end {
        let room = end - at;
        let tag = bytes[at];
        let tag_len = match tag {
            0x00..=0xBF | INT16 | INT24 | INT32 | INT64 => 1,
            0xC0..=0xEF => 2,
            STR32 => 5,
            _ => return invalid(at, "unknown encoding"),
        };
        if tag_len > room {
            return invalid(at, "entry runs over the end");
        }
        let data_len = entry_data_len(bytes, at);
        let backlen_len = backlen_len(data_len);
        if data_len + backlen_len > room {
            return invalid(at, "entry runs over the end");
        }
        is_canonical &= is_canonical_entry(decode(bytes, at).0, data_len);
        at += data_len;
        let agrees = if backlen_len == 1 {
            usize::from(bytes[at]) == data_len
        } else {
            let mut backlen = [0; 5];
            write_backlen(&mut backlen[..backlen_len], data_len);
            bytes[at..at + backlen_len] == backlen[..backlen_len]
        };
        if !agrees {
            return invalid(at, "trailing length differs");
        }
        at += backlen_len;
        count += 1;
    }
    let header_count = u16::from_le_bytes([bytes[4], bytes[5]]);
    if header_count != COUNT_UNKNOWN && header_count as usize != count {
        return invalid(4, "header does not tell the count");
    }
    Ok(is_canonical)
}

fn is_canonical_entry(item: Item<'_>, found_data_len: usize) -> bool {
    data_len(&item) == found_data_len
        && match item {
            Item::Int(_) => true,
            Item::Bytes(text) => {
                !matches!(text.first(), Some(b'-' | b'0'..=b'9')) || parse_int(text).is_none()
            }
        }
}

/// Up to this many elements are told apart by fingerprints on the stack.
const FINGERPRINT_MAX: usize = 512;

/// Whether two elements are equal, looking only at every `skip + 1`th.
pub(crate) fn has_duplicates(listpack: &Listpack, skip: usize) -> bool {
    let count = listpack.len() / (skip + 1);
    match count {
        0..=1 => return false,
        ..=16 if !may_have_duplicates::<32>(listpack, skip) => return false,
        17..=64 if !may_have_duplicates::<128>(listpack, skip) => return false,
        65..=FINGERPRINT_MAX if !may_have_duplicates::<1024>(listpack, skip) => return false,
        _ => {}
    }
    let mut seen = HashSet::with_capacity(count);
    !listpack.iter().step_by(skip + 1).map(key_of).all(|key| seen.insert(key))
}

/// Whether two elements have the same fingerprint: equal ones have, and next to no others. `SLOTS`
/// is a power of two of at least twice as many as there are elements.
fn may_have_duplicates<const SLOTS: usize>(listpack: &Listpack, skip: usize) -> bool {
    let mut seen = [0u32; SLOTS];
    for item in listpack.iter().step_by(skip + 1) {
        // Never zero, which marks a free slot.
        let fingerprint = fingerprint(key_of(item)) | 1;
        let mut at = fingerprint as usize >> 1 & (SLOTS - 1);
        while seen[at] != 0 {
            if seen[at] == fingerprint {
                return true;
            }
            at = (at + 1) & (SLOTS - 1);
        }
        seen[at] = fingerprint;
    }
    false
}

fn fingerprint(key: Result<i64, &[u8]>) -> u32 {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |state: u64, word: u64| (state.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    let state = match key {
        Ok(n) => mix(1, n as u64),
        Err(text) => {
            let mut words = text.chunks_exact(8);
            let mut state = mix(2, text.len() as u64);
            for word in &mut words {
                state = mix(state, u64::from_le_bytes(word.try_into().expect("eight bytes")));
            }
            let tail = words.remainder().iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
            mix(state, tail)
        }
    };
    (state >> 32) as u32
}

fn key_of(item: Item<'_>) -> Result<i64, &[u8]> {
    match item {
        Item::Int(n) => Ok(n),
        Item::Bytes(text) => Err(text),
    }
}
