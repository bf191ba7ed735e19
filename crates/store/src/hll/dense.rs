//! Owns the dense form: six bits a register, the lowest first. Four registers fill three bytes.
//!
//! Whoever calls vouches for the length of the slice.

use super::{Histogram, REGISTERS};

pub(super) const BYTES: usize = REGISTERS / 4 * 3;

fn group(registers: &[u8], index: usize) -> (u32, u32) {
    let at = index / 4 * 3;
    let three = &registers[at..at + 3];
    let word = u32::from_le_bytes([three[0], three[1], three[2], 0]);
    (word, index as u32 % 4 * 6)
}

pub(super) fn register(registers: &[u8], index: usize) -> u8 {
    let (word, shift) = group(registers, index);
    (word >> shift) as u8 & 63
}

pub(super) fn set(registers: &mut [u8], index: usize, run: u8) {
    let (word, shift) = group(registers, index);
    let word = word & !(63 << shift) | u32::from(run) << shift;
    registers[index / 4 * 3..][..3].copy_from_slice(&word.to_le_bytes()[..3]);
}

/// Raises a register to a run. False if it is there, or higher.
pub(super) fn raise(registers: &mut [u8], index: usize, run: u8) -> bool {
    let raises = run > register(registers, index);
    if raises {
        set(registers, index, run);
    }
    raises
}

pub(super) fn iter(registers: &[u8]) -> impl Iterator<Item = u8> {
    registers.as_chunks::<3>().0.iter().flat_map(|three| four(*three))
}

fn four(three: [u8; 3]) -> [u8; 4] {
    let word = u32::from_le_bytes([three[0], three[1], three[2], 0]);
    [0, 6, 12, 18].map(|shift| (word >> shift) as u8 & 63)
}

pub(super) fn histogram(registers: &[u8]) -> Histogram {
    // Neighbours are often equal: counted apart, no count waits for the one before.
    let mut apart: [Histogram; 4] = [[0; 64]; 4];
    for three in registers.as_chunks::<3>().0 {
        for (counts, register) in apart.iter_mut().zip(four(*three)) {
            counts[usize::from(register)] += 1;
        }
    }
    std::array::from_fn(|value| apart.iter().map(|counts| counts[value]).sum())
}
