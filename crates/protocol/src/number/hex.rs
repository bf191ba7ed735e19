//! Hexadecimal floating point, which Redis accepts because C's `strtod` does.

use super::long_double::{scan_exponent, shift_right_to_even};

/// `mantissa * 2^exponent`. The lowest bit of a mantissa above 2^120 may stand for more below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaled {
    pub(super) mantissa: u128,
    pub(super) exponent: i32,
}

/// Reads what follows the `0x`: digits with at most one point, and maybe `p` and an exponent.
pub(super) fn parse_hex(text: &[u8]) -> Option<Scaled> {
    let exponent_at = text.iter().position(|byte| matches!(byte, b'p' | b'P'));
    let (digits, mut exponent) = match exponent_at {
        Some(at) => (&text[..at], scan_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut mantissa = 0u128;
    let mut has_digits = false;
    let mut after_point = false;
    for &byte in digits {
        if byte == b'.' && !after_point {
            after_point = true;
            continue;
        }
        let digit = u128::from(char::from(byte).to_digit(16)?);
        has_digits = true;
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if after_point { 4 } else { 0 };
        } else {
            mantissa |= u128::from(digit != 0);
            exponent += if after_point { 0 } else { 4 };
        }
    }
    // Keeps the sum of exponents far from overflow; such values are zero or infinite.
    let exponent = exponent.clamp(-(1 << 30), 1 << 30) as i32;
    has_digits.then_some(Scaled { mantissa, exponent })
}

impl Scaled {
    /// The nearest double, the even one of two.
    pub(super) fn to_f64(self) -> f64 {
        if self.mantissa == 0 {
            return 0.0;
        }
        let bits = 128 - self.mantissa.leading_zeros() as i32;
        let lowest = (self.exponent + bits - 53).max(-1074);
        if lowest > 971 {
            return f64::INFINITY;
        }
        let mantissa = match lowest - self.exponent {
            by @ 1.. => shift_right_to_even(self.mantissa, by as u32),
            by => self.mantissa << -by,
        };
        // Both factors and the product are exact, or the product is infinite.
        let half = lowest / 2;
        mantissa as f64 * power_of_two(half) * power_of_two(lowest - half)
    }
}

/// `2^exponent` for a normal result.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}
