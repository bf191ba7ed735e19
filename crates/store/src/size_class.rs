//! The size classes of the allocator the server links (jemalloc with a 16-byte quantum): 16-byte
//! steps up to 128, then four classes per doubling.
//!
//! Asking for exactly a class wastes nothing and tells us how much room an allocation has, without
//! asking the allocator. Under another allocator the figures only cost a little.

/// The smallest class that holds `size` bytes.
#[inline]
pub const fn round_up(size: usize) -> usize {
    let step = step(size);
    (size + step - 1) & !(step - 1)
}

/// The class `steps` above the one that holds `size`.
#[inline]
pub const fn above(size: usize, steps: u32) -> usize {
    let mut class = round_up(size);
    let mut left = steps;
    while left > 0 {
        class = round_up(class + 1);
        left -= 1;
    }
    class
}

/// How many classes `allocated` lies above the class of `size`, if it is at most `limit`.
#[inline]
pub fn distance(size: usize, allocated: usize, limit: u32) -> Option<u32> {
    let mut class = round_up(size);
    let mut steps = 0;
    while class < allocated {
        if steps == limit {
            return None;
        }
        class = round_up(class + 1);
        steps += 1;
    }
    (class == allocated).then_some(steps)
}

#[inline]
const fn step(size: usize) -> usize {
    if size <= 128 {
        return 16;
    }
    // Sizes in (2^n, 2^(n+1)] are spaced 2^(n-2) apart.
    let n = usize::BITS - 1 - (size - 1).leading_zeros();
    1 << (n - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_jemalloc() {
        let known = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640];
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
    fn distance_undoes_above() {
        for size in 1..2000 {
            for steps in 0..4 {
                assert_eq!(distance(size, above(size, steps), 3), Some(steps));
            }
            assert_eq!(distance(size, above(size, 4), 3), None);
        }
    }
}
