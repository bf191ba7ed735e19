//! The 80-bit floating point of INCRBYFLOAT and HINCRBYFLOAT. Redis computes them in C's
//! `long double`, which on x86-64 has 64 significant bits: 0.1 + 0.2 is 0.3. Rust has no such
//! type, and replies, replicas and AOFs show every digit, so the few operations are done here.

use std::cmp::Ordering;
use std::ops::Neg;

use super::hex::{Scaled, parse_hex};

/// Redis refuses longer text.
const TEXT_MAX: usize = 5 * 1024;
/// The exponent of the lowest bit of the largest finite value, and of the smallest.
const EXPONENT_MAX: i32 = 16320;
const EXPONENT_MIN: i32 = -16445;
/// Digits beyond these can only break a tie.
const DIGITS_MAX: usize = 1000;
/// A value with this decimal exponent is infinite; with less than the other, zero.
const DECIMAL_MAX: i64 = 4934;
const DECIMAL_MIN: i64 = -4970;
/// The digits behind the point that are printed.
const DECIMALS: usize = 17;

/// A number of 64 significant bits, or an infinity. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    is_negative: bool,
    /// Zero, or the top bit is set.
    mantissa: u64,
    /// The value is `mantissa * 2^exponent`; above `EXPONENT_MAX` it is infinite.
    exponent: i32,
}

impl LongDouble {
    const INFINITE: i32 = i32::MAX;
    pub const ZERO: Self = Self { is_negative: false, mantissa: 0, exponent: 0 };
    pub const ONE: Self = Self { is_negative: false, mantissa: 1 << 63, exponent: -63 };
    /// The largest finite value.
    pub const MAX: Self = Self { is_negative: false, mantissa: u64::MAX, exponent: EXPONENT_MAX };
    pub const MIN: Self = Self { is_negative: true, ..Self::MAX };

    /// Reads a number as Redis does: decimal, hexadecimal or `inf`, no blanks, not NaN, not
    /// beyond the range in either direction.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (is_negative, magnitude) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if magnitude.eq_ignore_ascii_case(b"inf") || magnitude.eq_ignore_ascii_case(b"infinity") {
            return Some(Self { is_negative, mantissa: 1 << 63, exponent: Self::INFINITE });
        }
        let value = match magnitude {
            [b'0', b'x' | b'X', digits @ ..] => Self::round(is_negative, parse_hex(digits)?),
            _ => Self::parse_decimal(is_negative, magnitude)?,
        };
        (value.is_finite() && !value.is_too_small()).then_some(value)
    }

    /// Whether it is no infinity.
    pub fn is_finite(self) -> bool {
        self.exponent <= EXPONENT_MAX
    }

    /// The rounded sum, unless that is infinite or no number.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if !self.is_finite() || !other.is_finite() {
            return None;
        }
        if self.mantissa == 0 || other.mantissa == 0 {
            return Some(if self.mantissa == 0 { other } else { self });
        }
        let (large, small) =
            match (self.exponent, self.mantissa) >= (other.exponent, other.mantissa) {
                true => (self, other),
                false => (other, self),
            };
        // One bit is left free for the carry, and 63 lie below for rounding.
        let left = u128::from(large.mantissa) << 63;
        let right = u128::from(small.mantissa) << 63;
        let shift = (large.exponent - small.exponent) as u32;
        let right = match shift {
            0..128 => right >> shift | u128::from(right & ((1 << shift) - 1) != 0),
            _ => 1,
        };
        let sum = if large.is_negative == small.is_negative { left + right } else { left - right };
        // An exact zero is positive.
        let is_negative = large.is_negative && sum != 0;
        let sum = Self::round(is_negative, Scaled { mantissa: sum, exponent: large.exponent - 63 });
        sum.is_finite().then_some(sum)
    }

    /// Prints it without exponent, with at most 17 decimals and no trailing zeros.
    pub fn to_human(self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        if !self.is_finite() {
            return format!("{sign}inf");
        }
        if self.mantissa == 0 {
            return "0".to_owned();
        }
        if self.exponent >= 0 {
            let mut whole = Natural(vec![self.mantissa]);
            whole.shift_left(self.exponent as u32);
            return format!("{sign}{}", whole.into_decimal());
        }
        // Fits: 64 bits times less than 2^57.
        let scaled = u128::from(self.mantissa) * 10u128.pow(DECIMALS as u32);
        let digits = shift_right_to_even(scaled, self.exponent.unsigned_abs()).to_string();
        let digits = format!("{digits:0>width$}", width = DECIMALS + 1);
        let (whole, decimals) = digits.split_at(digits.len() - DECIMALS);
        match (whole, decimals.trim_end_matches('0')) {
            ("0", "") => "0".to_owned(),
            (_, "") => format!("{sign}{whole}"),
            (_, decimals) => format!("{sign}{whole}.{decimals}"),
        }
    }

    /// Whether it is nearer to zero than to the smallest value, or just between.
    fn is_too_small(self) -> bool {
        let top = self.exponent + 63;
        let is_half = top == EXPONENT_MIN - 1 && self.mantissa == 1 << 63;
        self.mantissa != 0 && (top < EXPONENT_MIN - 1 || is_half)
    }

    fn parse_decimal(is_negative: bool, text: &[u8]) -> Option<Self> {
        let (mut digits, mut exponent) = scan_decimal(text)?;
        if digits.is_empty() {
            return Some(Self { is_negative, mantissa: 0, exponent: 0 });
        }
        if digits.len() > DIGITS_MAX {
            exponent = exponent.saturating_add((digits.len() - DIGITS_MAX) as i64 - 1);
            digits.truncate(DIGITS_MAX);
            digits.push(1);
        }
        let magnitude = exponent.saturating_add(digits.len() as i64);
        if !(DECIMAL_MIN..=DECIMAL_MAX).contains(&magnitude) {
            return None;
        }
        let mut number = Natural::from_digits(&digits);
        let mut lost = false;
        let power = exponent.unsigned_abs() as u32;
        let mut binary = exponent as i32;
        if exponent >= 0 {
            number.multiply_by_power_of_five(power);
        } else {
            // So far up that more than 128 bits remain after the division.
            let words = (u64::from(power) * 7 / 3 + 130).div_ceil(64) as u32 + 1;
            number.shift_left(64 * words);
            binary -= 64 * words as i32;
            lost = number.divide_by_power_of_five(power);
        }
        let (mantissa, shift) = number.top_bits(lost);
        Some(Self::round(is_negative, Scaled { mantissa, exponent: binary + shift }))
    }

    /// The nearest value, the even one of two. The lowest bit of the mantissa may stand for
    /// anything below it.
    fn round(is_negative: bool, from: Scaled) -> Self {
        if from.mantissa == 0 {
            return Self { is_negative, mantissa: 0, exponent: 0 };
        }
        let up = from.mantissa.leading_zeros();
        let normal = from.mantissa << up;
        let mut exponent = from.exponent - up as i32 + 64;
        let mut mantissa = (normal >> 64) as u64;
        let rest = normal as u64;
        if rest > 1 << 63 || (rest == 1 << 63 && mantissa & 1 == 1) {
            match mantissa.checked_add(1) {
                Some(next) => mantissa = next,
                None => {
                    mantissa = 1 << 63;
                    exponent += 1;
                }
            }
        }
        let exponent = if exponent > EXPONENT_MAX { Self::INFINITE } else { exponent };
        Self { is_negative, mantissa, exponent }
    }
}

impl Neg for LongDouble {
    type Output = Self;

    fn neg(self) -> Self {
        Self { is_negative: !self.is_negative, ..self }
    }
}

impl PartialOrd for LongDouble {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        // Exponents tell sizes: the top bit of every mantissa but zero's is set.
        let size = |value: &Self| match value.mantissa {
            0 => (i32::MIN, 0),
            mantissa => (value.exponent, mantissa),
        };
        let sign = |value: &Self| match value.mantissa {
            0 => 0,
            _ if value.is_negative => -1,
            _ => 1,
        };
        let sizes = size(self).cmp(&size(other));
        Some(sign(self).cmp(&sign(other)).then(match self.is_negative {
            true => sizes.reverse(),
            false => sizes,
        }))
    }
}

impl From<f64> for LongDouble {
    /// Exact; a NaN becomes zero.
    fn from(value: f64) -> Self {
        let bits = value.to_bits();
        let is_negative = value.is_sign_negative();
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = match (bits >> 52) as i32 & 0x7ff {
            0x7ff if fraction != 0 => return Self { is_negative, mantissa: 0, exponent: 0 },
            0x7ff => return Self { is_negative, mantissa: 1 << 63, exponent: Self::INFINITE },
            0 => (fraction, -1074),
            biased => (fraction | 1 << 52, biased - 1075),
        };
        Self::round(is_negative, Scaled { mantissa: mantissa.into(), exponent })
    }
}

/// The significant digits of a decimal number, as values (none for zero), and the power of ten of
/// the last.
fn scan_decimal(text: &[u8]) -> Option<(Vec<u8>, i64)> {
    let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        Some(at) => (&text[..at], scan_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut digits = Vec::with_capacity(mantissa.len());
    let mut decimals = None;
    for &byte in mantissa {
        match (byte, &mut decimals) {
            (b'0'..=b'9', decimals) => {
                digits.push(byte - b'0');
                if let Some(decimals) = decimals {
                    *decimals += 1;
                }
            }
            (b'.', None) => decimals = Some(0i64),
            _ => return None,
        }
    }
    if digits.is_empty() {
        return None;
    }
    let trailing = digits.iter().rev().take_while(|&&digit| digit == 0).count();
    digits.truncate(digits.len() - trailing);
    let leading = digits.iter().take_while(|&&digit| digit == 0).count();
    digits.drain(..leading);
    let exponent = exponent.saturating_sub(decimals.unwrap_or(0)).saturating_add(trailing as i64);
    Some((digits, exponent))
}

/// `[+-]<digits>`, saturating.
pub(super) fn scan_exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Far beyond any exponent that matters, and far from overflow.
    const ENOUGH: i64 = 1 << 40;
    let value =
        digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(ENOUGH));
    Some(if is_negative { -value } else { value })
}

/// `value / 2^by`, rounded to the nearest, the even one of two.
pub(super) fn shift_right_to_even(value: u128, by: u32) -> u128 {
    match by {
        0 => value,
        1..128 => {
            let floor = value >> by;
            let rest = value & ((1 << by) - 1);
            let half = 1 << (by - 1);
            floor + u128::from(rest > half || (rest == half && floor & 1 == 1))
        }
        // Half or less of a unit, as `value` is never near 2^128 here; exactly half goes to even.
        _ => 0,
    }
}

/// A natural number of any size: little-endian words.
struct Natural(Vec<u64>);

impl Natural {
    const TEN_TO_19: u64 = 10_000_000_000_000_000_000;
    const FIVE_TO_27: u64 = 7_450_580_596_923_828_125;

    fn from_digits(digits: &[u8]) -> Self {
        let mut number = Self(Vec::with_capacity(digits.len() / 19 + 1));
        for chunk in digits.chunks(19) {
            let value = chunk.iter().fold(0u64, |value, &digit| value * 10 + u64::from(digit));
            number.multiply_add(10u64.pow(chunk.len() as u32), value);
        }
        number
    }

    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = u128::from(summand);
        for word in &mut self.0 {
            carry += u128::from(*word) * u128::from(factor);
            *word = carry as u64;
            carry >>= 64;
        }
        if carry > 0 {
            self.0.push(carry as u64);
        }
    }

    /// Divides, rounding down, and returns the remainder.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut rest = 0u64;
        for word in self.0.iter_mut().rev() {
            let dividend = u128::from(rest) << 64 | u128::from(*word);
            *word = (dividend / u128::from(divisor)) as u64;
            rest = (dividend % u128::from(divisor)) as u64;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        rest
    }

    fn multiply_by_power_of_five(&mut self, power: u32) {
        for _ in 0..power / 27 {
            self.multiply_add(Self::FIVE_TO_27, 0);
        }
        self.multiply_add(5u64.pow(power % 27), 0);
    }

    /// Whether anything was lost: dividing in steps rounds down as dividing at once does.
    fn divide_by_power_of_five(&mut self, power: u32) -> bool {
        let mut lost = false;
        for _ in 0..power / 27 {
            lost |= self.divide(Self::FIVE_TO_27) != 0;
        }
        lost | (self.divide(5u64.pow(power % 27)) != 0)
    }

    fn shift_left(&mut self, by: u32) {
        if !by.is_multiple_of(64) {
            self.multiply_add(1 << (by % 64), 0);
        }
        let words = (by / 64) as usize;
        self.0.splice(..0, std::iter::repeat_n(0, words));
    }

    /// The highest 128 bits and the power of two of the lowest, which is set if anything below is
    /// not zero.
    fn top_bits(&self, lost: bool) -> (u128, i32) {
        let len = self.0.len();
        let word = |from_top: usize| len.checked_sub(from_top).map_or(0, |i| self.0[i]);
        let up = word(1).leading_zeros();
        let top = (u128::from(word(1)) << 64 | u128::from(word(2))) << up;
        let next = u128::from(word(3)) << up;
        let below = &self.0[..len.saturating_sub(3)];
        let lost = lost || next as u64 != 0 || below.iter().any(|&word| word != 0);
        (top | next >> 64 | u128::from(lost), 64 * (len as i32 - 2) - up as i32)
    }

    fn into_decimal(mut self) -> String {
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            chunks.push(self.divide(Self::TEN_TO_19));
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:019}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let [a, b] = [a, b].map(|text| LongDouble::parse(text.as_bytes()).expect(text));
        Some(a.checked_add(b)?.to_human())
    }

    #[test]
    fn numbers_are_ordered() {
        let number = |text: &str| LongDouble::parse(text.as_bytes()).unwrap();
        let ordered =
            ["-inf", "-1e30", "-2", "-1.5", "-1e-30", "0", "1e-30", "1", "1.5", "3", "inf"];
        for (at, a) in ordered.iter().enumerate() {
            for (other_at, b) in ordered.iter().enumerate() {
                let order = number(a).partial_cmp(&number(b));
                assert_eq!(order, Some(at.cmp(&other_at)), "{a} {b}");
                assert_eq!((-number(b)).partial_cmp(&-number(a)), order, "{a} {b}");
            }
        }
        assert!(number("-0").partial_cmp(&number("0")) == Some(Ordering::Equal));
        assert_eq!(LongDouble::ONE, number("1"));
        assert!(LongDouble::MAX.is_finite() && LongDouble::MAX > number("1e4932"));
        assert_eq!(LongDouble::MAX.checked_add(LongDouble::MAX), None);
    }

    /// Every line was answered by redis-server 7.0 on x86-64.
    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "1.000000000000000000", "4"),
            ("1e17", "0.5", "100000000000000000.5"),
            ("-1e-20", "0", "0"),
            ("1e-17", "0", "0.00000000000000001"),
            ("5e-18", "0", "0"),
            ("1.5e-17", "0", "0.00000000000000002"),
            ("2.5e-17", "0", "0.00000000000000002"),
            ("0x10", "1", "17"),
            ("1e-4950", "0", "0"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551615", "2", "18446744073709551616"),
            ("1e30", "1e-5", "1000000000000000000024696061952"),
            ("123456789012345.678901234", "0", "123456789012345.67890167236328125"),
            ("-0", "-0", "0"),
            ("0.3", "-0.3", "0"),
            ("1e400", "-1e400", "0"),
            ("5", "-5.0000000000000001", "-0.0000000000000001"),
            ("+.1", "1.", "1.1"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
        let ones = "1".repeat(100);
        let expected = "11111111111111111111402454476780446155630424958969975741644593181377887\
            06373851906059943673763725312";
        assert_eq!(sum(&ones, "1").as_deref(), Some(expected));
        assert_eq!(sum("1.18973e4932", "1").map(|text| text.len()), Some(4933));
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("1e4932", "1e4932"), None);
    }

    #[test]
    fn what_redis_takes_for_no_number_is_none() {
        for text in [
            "",
            "nan",
            " 1",
            "1 ",
            "1e",
            "e1",
            ".",
            "1e4933",
            "1e-4960",
            "-1e4933",
            "0x",
            "0xp1",
            "0x1p20000",
            "0x1p-20000",
            "1_0",
            "++1",
            "1..2",
            "1\0",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(LongDouble::parse(&[b'1'; TEXT_MAX]), None);
        assert!(LongDouble::parse(&[b'0'; TEXT_MAX - 1]).is_some());
    }

    #[test]
    fn a_double_is_exact() {
        for (value, expected) in [
            (0.1, "0.10000000000000001"),
            (-1.5, "-1.5"),
            (1e22, "10000000000000000000000"),
            (0.0, "0"),
            (5e-324, "0"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(LongDouble::from(value).to_human(), expected);
        }
    }
}
