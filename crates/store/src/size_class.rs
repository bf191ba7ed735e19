//! The size classes of the allocator the server links (jemalloc with a quantum of 8 bytes): 8-byte
//! steps up to 64, then four classes per doubling.
//!
//! Asking for exactly a class wastes nothing and tells us how much room an allocation has, without
//! asking the allocator. Under another allocator the figures only cost a little.

/// Up to here classes are a quantum apart.
const EVEN_MAX: usize = 64;
const QUANTUM: usize = 8;

/// The smallest class that holds `size` bytes.
#[inline]
pub const fn round_up(size: usize) -> usize {
    let step = step(size);
    (size + step - 1) & !(step - 1)
}

/// The class `steps` above the one that holds `size`.
#[inline]
pub const fn above(size: usize, steps: u32) -> usize {
    if steps == 0 { round_up(size) } else { class(index(size) + steps) }
}

/// How many classes `allocated`, itself one, lies above the class of `size`.
#[inline]
pub fn distance(size: usize, allocated: usize) -> Option<u32> {
    index(allocated).checked_sub(index(size))
}

#[inline]
const fn step(size: usize) -> usize {
    if size <= EVEN_MAX { QUANTUM } else { 1 << (doubling(size) - 2) }
}

/// Sizes in (2^n, 2^(n+1)] are spaced 2^(n-2) apart: this is n.
#[inline]
const fn doubling(size: usize) -> u32 {
    usize::BITS - 1 - (size - 1).leading_zeros()
}

/// The number of the class that holds `size`, counted from 0 bytes.
#[inline]
const fn index(size: usize) -> u32 {
    if size <= EVEN_MAX {
        return size.div_ceil(QUANTUM) as u32;
    }
    let n = doubling(size);
    let before = (EVEN_MAX / QUANTUM) as u32 + (n - EVEN_MAX.ilog2()) * 4;
    before + 1 + ((size - 1 - (1 << n)) >> (n - 2)) as u32
}

#[inline]
const fn class(index: u32) -> usize {
    let even = (EVEN_MAX / QUANTUM) as u32;
    if index <= even {
        return index as usize * QUANTUM;
    }
    let n = EVEN_MAX.ilog2() + (index - even - 1) / 4;
    (1 << n) + (((index - even - 1) % 4 + 1) as usize) * (1 << (n - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_jemalloc() {
        let known = [
            8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448,
            512, 640,
        ];
        let mut class = 1;
        for expected in known {
            class = round_up(class);
            assert_eq!(class, expected);
            assert_eq!(round_up(expected), expected);
            class += 1;
        }
        assert_eq!(round_up(4097), 5120);
    }

    #[test]
    fn the_number_of_a_class_leads_to_it() {
        for size in 1..70_000 {
            assert_eq!(class(index(size)), round_up(size), "{size}");
            assert_eq!(index(round_up(size)), index(size), "{size}");
        }
    }

    #[test]
    fn distance_undoes_above() {
        for size in 1..2000 {
            for steps in 0..8 {
                assert_eq!(distance(size, above(size, steps)), Some(steps));
            }
            assert_eq!(distance(above(size, 1) + 1, round_up(size)), None);
        }
    }
}
