//! Owns LZF compression as RDB strings carry it: bounded, without panics, without allocation of
//! its own but the output. Must not know what the bytes mean.
//!
//! The `lzf` crate gives the same format, but it clears half a megabyte for every string it
//! compresses and allocates whatever size a file announces; here it serves as the tests' oracle.

use std::fmt;

/// A back reference reaches at most this far.
const MAX_DISTANCE: usize = 1 << 13;
/// Longest back reference: 2 + 7 + 255 bytes.
const MAX_MATCH: usize = 264;
/// Longest run of literals behind one control byte.
const MAX_LITERALS: usize = 32;
const HASH_BITS: u32 = 13;

/// What is wrong with compressed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LzfError {
    /// A run or reference ends beyond the compressed bytes.
    Truncated,
    /// A reference points before the start of the output.
    BadReference,
    /// More output than announced.
    TooLong,
    /// Less output than announced.
    TooShort,
    /// No input of this size can grow to the announced size.
    ImpossibleSize,
    /// The output does not fit in memory.
    OutOfMemory,
}

impl fmt::Display for LzfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LzfError::Truncated => "LZF data ends in the middle of a run",
            LzfError::BadReference => "LZF reference before the start of the data",
            LzfError::TooLong => "LZF data is longer than announced",
            LzfError::TooShort => "LZF data is shorter than announced",
            LzfError::ImpossibleSize => "LZF data announces a size it cannot grow to",
            LzfError::OutOfMemory => "not enough memory for the LZF data's announced size",
        })
    }
}

/// Appends the `announced` bytes that `input` unfolds to. Nothing is appended on an error.
pub fn decompress(input: &[u8], announced: usize, out: &mut Vec<u8>) -> Result<(), LzfError> {
    // Three bytes give at most MAX_MATCH: an announcement beyond that is a lie, and is not allocated.
    if announced / MAX_MATCH > input.len() / 3 {
        return Err(LzfError::ImpossibleSize);
    }
    let start = out.len();
    out.try_reserve(announced).map_err(|_| LzfError::OutOfMemory)?;
    out.resize(start + announced, 0);
    let result = unfold(input, &mut out[start..]);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Fills `out` exactly.
fn unfold(input: &[u8], out: &mut [u8]) -> Result<(), LzfError> {
    let mut rest = input;
    let mut at = 0;
    while let [control, tail @ ..] = rest {
        let control = usize::from(*control);
        if control < MAX_LITERALS {
            let run = control + 1;
            let (literals, after) = tail.split_at_checked(run).ok_or(LzfError::Truncated)?;
            // Copying a fixed number of bytes costs less than asking for the right one; what is too
            // much is overwritten by what follows.
            match (tail.first_chunk::<MAX_LITERALS>(), out.get_mut(at..at + MAX_LITERALS)) {
                (Some(from), Some(to)) => to.copy_from_slice(from),
                _ => {
                    out.get_mut(at..at + run).ok_or(LzfError::TooLong)?.copy_from_slice(literals);
                }
            }
            at += run;
            rest = after;
            continue;
        }
        let (len, tail) = match (control >> 5, tail) {
            (7, [more, tail @ ..]) => (7 + usize::from(*more), tail),
            (short, tail) if short < 7 => (short, tail),
            _ => return Err(LzfError::Truncated),
        };
        let [low, tail @ ..] = tail else { return Err(LzfError::Truncated) };
        let distance = ((control & 0x1f) << 8 | usize::from(*low)) + 1;
        let len = len + 2;
        if distance > at {
            return Err(LzfError::BadReference);
        }
        if at + len > out.len() {
            return Err(LzfError::TooLong);
        }
        copy_back(out, at, distance, len);
        at += len;
        rest = tail;
    }
    if at == out.len() { Ok(()) } else { Err(LzfError::TooShort) }
}

/// Writes `len` bytes at `at` that repeat those `distance` before; the two may overlap, which makes
/// a repetition.
#[inline]
fn copy_back(out: &mut [u8], at: usize, distance: usize, len: usize) {
    const STEP: usize = 16;
    if len <= STEP && distance >= len && at + STEP <= out.len() {
        // As with literals: a fixed step, of which the excess is overwritten.
        out.copy_within(at - distance..at - distance + STEP, at);
    } else if distance == 1 {
        let byte = out[at - 1];
        out[at..at + len].fill(byte);
    } else if distance >= len {
        out.copy_within(at - distance..at - distance + len, at);
    } else {
        for i in at..at + len {
            out[i] = out[i - distance];
        }
    }
}

/// Compresses; keeps its hash table from one string to the next, so that it costs a small string
/// nothing but its own bytes.
pub struct Compressor {
    /// Last position at which a hash of three bytes was seen, counted from `base` of some call.
    table: Box<[u32; 1 << HASH_BITS]>,
    /// Positions of the running call start here: older entries are too far away to match.
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        Compressor::new()
    }
}

impl Compressor {
    pub fn new() -> Compressor {
        Compressor { table: Box::new([0; 1 << HASH_BITS]), base: MAX_DISTANCE as u32 + 1 }
    }

    /// Writes the compressed form of `input` to the front of `out` and gives its length, or `None`
    /// when it does not fit: how little must be saved is the caller's to say by the room it gives.
    pub fn compress(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        let len = u32::try_from(input.len()).ok().filter(|len| *len < u32::MAX / 2)?;
        let next_base = match self.base.checked_add(len + MAX_DISTANCE as u32 + 1) {
            Some(next) => next,
            None => {
                self.table.fill(0);
                self.base = MAX_DISTANCE as u32 + 1;
                self.base + len + MAX_DISTANCE as u32 + 1
            }
        };
        // A short string needs few slots, and these few stay in the nearest cache.
        let result = match input.len() {
            ..=256 => self.fold::<9>(input, out),
            257..=2048 => self.fold::<11>(input, out),
            _ => self.fold::<HASH_BITS>(input, out),
        };
        self.base = next_base;
        result
    }

    fn fold<const BITS: u32>(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        let (table, base) = (&mut *self.table, self.base);
        let mut sink = Sink { out, at: 0 };
        let mut literals_from = 0;
        let mut at = 0;
        while let Some(here) = three_at(input, at) {
            let distance = replace::<BITS>(table, here, base + at as u32);
            let found = distance <= MAX_DISTANCE
                && distance <= at
                && three_at(input, at - distance) == Some(here);
            // A stale entry gives a distance that is too large or reaches before the start.
            if !found {
                // The longer nothing was found, the larger the steps: noise is soon passed over.
                at += 1 + ((at - literals_from) >> 6);
                // Give up early on what does not compress: literals alone already overflow.
                if sink.at + (at - literals_from) >= sink.out.len() {
                    return None;
                }
                continue;
            }
            let candidate = at - distance;
            let longest = (input.len() - at).min(MAX_MATCH);
            let len = 3 + common_prefix(&input[candidate + 3..], &input[at + 3..at + longest]);
            sink.literals(&input[literals_from..at])?;
            sink.reference(distance, len)?;
            // The match's last bytes often begin the next one.
            for inside in [at + len - 2, at + len - 1] {
                if let Some(three) = three_at(input, inside) {
                    replace::<BITS>(table, three, base + inside as u32);
                }
            }
            at += len;
            literals_from = at;
        }
        sink.literals(&input[literals_from..])?;
        Some(sink.at)
    }
}

/// The three bytes at `at` as a number, where four are there: what follows the last four cannot
/// gain anything.
#[inline]
fn three_at(input: &[u8], at: usize) -> Option<u32> {
    let four = input.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*four) & 0xff_ffff)
}

/// Notes position `here` for its three bytes, and gives the distance to the one noted before.
#[inline]
fn replace<const BITS: u32>(table: &mut [u32; 1 << HASH_BITS], three: u32, here: u32) -> usize {
    let slot = &mut table[(three.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize];
    let distance = here - *slot;
    *slot = here;
    distance as usize
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut len = 0;
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let x = u64::from_le_bytes(x.try_into().expect("chunks of eight"));
        let y = u64::from_le_bytes(y.try_into().expect("chunks of eight"));
        if x != y {
            return len + ((x ^ y).trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    len + a[len..].iter().zip(&b[len..]).take_while(|(x, y)| x == y).count()
}

struct Sink<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let room = self.out.get_mut(self.at..self.at + bytes.len())?;
        room.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }

    fn literals(&mut self, bytes: &[u8]) -> Option<()> {
        for run in bytes.chunks(MAX_LITERALS) {
            self.put(&[(run.len() - 1) as u8])?;
            self.put(run)?;
        }
        Some(())
    }

    fn reference(&mut self, distance: usize, len: usize) -> Option<()> {
        let distance = distance - 1;
        let (high, low) = ((distance >> 8) as u8, distance as u8);
        match len - 2 {
            short @ 1..7 => self.put(&[(short as u8) << 5 | high, low]),
            long => self.put(&[7 << 5 | high, (long - 7) as u8, low]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(input: &[u8]) -> Option<Vec<u8>> {
        pack_with(&mut Compressor::new(), input)
    }

    fn pack_with(compressor: &mut Compressor, input: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; input.len()];
        let len = compressor.compress(input, &mut out)?;
        out.truncate(len);
        Some(out)
    }

    fn unpack(input: &[u8], announced: usize) -> Result<Vec<u8>, LzfError> {
        let mut out = Vec::new();
        decompress(input, announced, &mut out).map(|()| out)
    }

    #[test]
    fn a_run_of_one_byte_shrinks_to_a_few() {
        let input = [b'x'; 300];
        let packed = pack(&input).expect("compressible");
        assert!(packed.len() < 12, "{}", packed.len());
        assert_eq!(unpack(&packed, 300).unwrap(), input);
    }

    #[test]
    fn what_does_not_shrink_is_not_compressed() {
        assert_eq!(pack(b""), None.or(Some(vec![])));
        assert_eq!(pack(b"abcdefghijklmnopqrstuvwxyz0123456789"), None);
    }

    #[test]
    fn hostile_inputs_end_in_errors() {
        assert_eq!(unpack(&[31, 1, 2], 32), Err(LzfError::Truncated));
        assert_eq!(unpack(&[0, b'a', 0x20], 4), Err(LzfError::Truncated));
        assert_eq!(unpack(&[0, b'a', 0xe0, 1], 40), Err(LzfError::Truncated));
        assert_eq!(unpack(&[0, b'a', 0x20, 1], 4), Err(LzfError::BadReference));
        assert_eq!(unpack(&[0, b'a', 0x20, 0], 3), Err(LzfError::TooLong));
        assert_eq!(unpack(&[0, b'a', 0x20, 0], 5), Err(LzfError::TooShort));
        assert_eq!(unpack(&[0, b'a'], usize::MAX / 2), Err(LzfError::ImpossibleSize));
    }

    #[test]
    fn a_reference_never_reaches_into_what_was_there_before() {
        let mut out = b"secret".to_vec();
        assert_eq!(decompress(&[0x20, 0], 3, &mut out), Err(LzfError::BadReference));
        assert_eq!(out, b"secret");
    }

    #[test]
    fn one_compressor_serves_many_strings_and_the_end_of_its_count() {
        let mut compressor = Compressor::new();
        for round in 0..3u32 {
            compressor.base = u32::MAX - 10_000 - round * 7;
            for i in 0..50u32 {
                let input =
                    format!("{i}:the same words, the same words, {}", i * round).into_bytes();
                let packed = pack_with(&mut compressor, &input).expect("compressible");
                assert_eq!(unpack(&packed, input.len()).unwrap(), input);
            }
        }
    }

    proptest! {
        #[test]
        fn what_we_pack_both_unpack(words in prop::collection::vec(0u8..6, 0..3000), odd in any::<u8>()) {
            let input: Vec<u8> = words.iter().flat_map(|w| [*w, w.wrapping_mul(odd), 7]).collect();
            if let Some(packed) = pack(&input) {
                prop_assert_eq!(&unpack(&packed, input.len()).unwrap(), &input);
                if !packed.is_empty() {
                    prop_assert_eq!(&::lzf::decompress(&packed, input.len()).unwrap(), &input);
                }
            }
        }

        #[test]
        fn what_the_crate_packs_we_unpack(words in prop::collection::vec(0u8..6, 0..3000)) {
            if let Ok(packed) = ::lzf::compress(&words) {
                prop_assert_eq!(unpack(&packed, words.len()).unwrap(), words);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_unpacked(bytes in prop::collection::vec(any::<u8>(), 0..200), announced in 0usize..5000) {
            if let Ok(out) = unpack(&bytes, announced) {
                prop_assert_eq!(out.len(), announced);
                let oracle = ::lzf::decompress(&bytes, announced);
                prop_assert!(bytes.is_empty() || oracle.as_deref() == Ok(&out[..]));
            }
        }
    }
}
