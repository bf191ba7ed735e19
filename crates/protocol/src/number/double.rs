//! Doubles as text. Redis 7.2 prints them with Loitsch's Grisu2 (<https://doi.org/10.1145/1806596.1806623>),
//! which for about one double in a thousand gives a digit more than the shortest text. Clients see
//! the digits, so this is the same algorithm with the same cached powers, not a better one.

use std::io::Write;

/// The most bytes that [`write_f64`] needs.
pub(crate) const F64_TEXT_MAX: usize = 32;

/// The most digits of a double that Grisu2 gives.
const DIGITS_MAX: usize = 18;
const HIDDEN_BIT: u64 = 1 << 52;
/// Products with a cached power have an exponent from here to -32, so that their whole part fits
/// 32 bits.
const PRODUCT_EXPONENT_MIN: i32 = -60;
const PRODUCT_EXPONENT_MAX: i32 = -32;
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// 10^-348, 10^-340, .. 10^340 rounded to 64 significant bits.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288, 0xbaae_e17f_a23e_bf76, 0x8b16_fb20_3055_ac76, 0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d, 0xe61a_cf03_3d1a_45df, 0xab70_fe17_c79a_c6ca, 0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c, 0x8dd0_1fad_907f_fc3c, 0xd351_5c28_3155_9a83, 0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb, 0xaecc_4991_4078_536d, 0x823c_1279_5db6_ce57, 0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f, 0xd774_85cb_2582_3ac7, 0xa086_cfcd_97bf_97f4, 0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e, 0x84c8_d4df_d2c6_3f3b, 0xc5dd_4427_1ad3_cdba, 0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584, 0xa3ab_6658_0d5f_daf6, 0xf3e2_f893_dec3_f126, 0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b, 0xc9bc_ff60_34c1_3053, 0x964e_858c_91ba_2655, 0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f, 0xf8a9_5fcf_8874_7d94, 0xb944_7093_8fa8_9bcf, 0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6, 0x993f_e2c6_d07b_7fac, 0xe45c_10c4_2a2b_3b06, 0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e, 0xbce5_0864_9211_1aeb, 0x8cbc_cc09_6f50_88cc, 0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000, 0xe8d4_a510_0000_0000, 0xad78_ebc5_ac62_0000, 0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3, 0x8f7e_32ce_7bea_5c70, 0xd5d2_38a4_abe9_8068, 0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27, 0xb0de_6538_8cc8_ada8, 0x83c7_088e_1aab_65db, 0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758, 0xda01_ee64_1a70_8dea, 0xa26d_a399_9aef_774a, 0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877, 0x865b_8692_5b9b_c5c2, 0xc835_53c5_c896_5d3d, 0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3, 0xa59b_c234_db39_8c25, 0xf6c6_9a72_a398_9f5c, 0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2, 0xcc20_ce9b_d35c_78a5, 0x9816_5af3_7b21_53df, 0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396, 0xfb9b_7cd9_a4a7_443c, 0xbb76_4c4c_a7a4_4410, 0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c, 0x9b10_a4e5_e991_3129, 0xe710_9bfb_a19c_0c9d, 0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85, 0xbf21_e440_03ac_dd2d, 0x8e67_9c2f_5e44_ff8f, 0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9, 0xeb96_bf6e_badf_77d9, 0xaf87_023b_9bf0_ee6b,
];

/// Writes a double as Redis 7.2 does and returns its length: whole numbers up to 2^62 as
/// integers, else few enough digits that read back the same, `inf`, `-inf`, `nan`, `-0`.
pub(crate) fn write_f64(text: &mut [u8; F64_TEXT_MAX], value: f64) -> usize {
    const WHOLE_MAX: f64 = (1u64 << 62) as f64;
    let mut out = Text { text, len: 0 };
    if value.is_nan() {
        out.push(b"nan");
        return out.len;
    }
    if value.is_sign_negative() {
        out.push(b"-");
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        out.push(b"inf");
    } else if magnitude <= WHOLE_MAX && magnitude.trunc() == magnitude {
        out.push(itoa::Buffer::new().format(magnitude as u64).as_bytes());
    } else {
        let mut digits = [0; DIGITS_MAX];
        let (count, power) = grisu2(magnitude, &mut digits);
        place_point(&mut out, &digits[..count], power);
    }
    out.len
}

/// Sign, 309 digits of the largest double, a point and 17 decimals.
pub(crate) const HUMAN_TEXT_MAX: usize = 1 + 309 + 1 + 17;

/// The value without an exponent: C's `%.17f`, without zeros at its end. Returns the length.
pub(crate) fn write_human(text: &mut [u8; HUMAN_TEXT_MAX], value: f64) -> usize {
    let mut room = &mut text[..];
    write!(room, "{value:.17}").expect("no double is longer");
    let len = HUMAN_TEXT_MAX - room.len();
    let mut human = &text[..len];
    if human.contains(&b'.') {
        while let [shorter @ .., b'0'] = human {
            human = shorter;
        }
        human = human.strip_suffix(b".").unwrap_or(human);
    }
    if human == b"-0" {
        text[0] = b'0';
        return 1;
    }
    human.len()
}

/// Writes a double by its digits alone, as DEBUG DIGEST of Redis 7.2 spells scores: as [`write_f64`], but
/// without its way for whole numbers, so that 10^16 is `1e+16`. Not for NaN.
pub(crate) fn write_f64_digits(text: &mut [u8; F64_TEXT_MAX], value: f64) -> usize {
    let magnitude = value.abs();
    if magnitude == 0.0 || !magnitude.is_finite() {
        return write_f64(text, value);
    }
    let mut out = Text { text, len: 0 };
    if value.is_sign_negative() {
        out.push(b"-");
    }
    let mut digits = [0; DIGITS_MAX];
    let (count, power) = grisu2(magnitude, &mut digits);
    place_point(&mut out, &digits[..count], power);
    out.len
}

struct Text<'a> {
    text: &'a mut [u8; F64_TEXT_MAX],
    len: usize,
}

impl Text<'_> {
    fn push(&mut self, bytes: &[u8]) {
        self.text[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn zeros(&mut self, count: i32) {
        for _ in 0..count {
            self.push(b"0");
        }
    }
}

/// Lays out digits of which the last counts `10^power`: plainly while that stays short, else with
/// an exponent.
fn place_point(out: &mut Text<'_>, digits: &[u8], power: i32) {
    let count = digits.len() as i32;
    let exponent = power + count - 1;
    if power >= 0 && exponent < count + 7 {
        out.push(digits);
        out.zeros(power);
    } else if power < 0 && (power > -7 || exponent.abs() < 4) {
        let whole = count + power;
        if whole <= 0 {
            out.push(b"0.");
            out.zeros(-whole);
            out.push(digits);
        } else {
            let (whole, decimals) = digits.split_at(whole as usize);
            out.push(whole);
            out.push(b".");
            out.push(decimals);
        }
    } else {
        out.push(&digits[..1]);
        if digits.len() > 1 {
            out.push(b".");
            out.push(&digits[1..]);
        }
        out.push(if exponent < 0 { b"e-" } else { b"e+" });
        out.push(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    }
}

/// `fraction * 2^exponent`.
#[derive(Clone, Copy)]
struct Float {
    fraction: u64,
    exponent: i32,
}

impl Float {
    fn normalized(self) -> Self {
        let up = self.fraction.leading_zeros();
        Self { fraction: self.fraction << up, exponent: self.exponent - up as i32 }
    }

    /// The product rounded to 64 bits.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Self { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// Digits of a positive finite double, how many, and the power of ten of the last.
fn grisu2(value: f64, digits: &mut [u8; DIGITS_MAX]) -> (usize, i32) {
    let bits = value.to_bits();
    let fraction = bits & (HIDDEN_BIT - 1);
    let float = match (bits >> 52) as i32 {
        0 => Float { fraction, exponent: -1074 },
        biased => Float { fraction: fraction | HIDDEN_BIT, exponent: biased - 1075 },
    };
    // Halfway to the neighbours: every number between reads back as `value`. Below a power of two
    // the neighbour is nearer.
    let upper =
        Float { fraction: 2 * float.fraction + 1, exponent: float.exponent - 1 }.normalized();
    let down = if float.fraction == HIDDEN_BIT { 2 } else { 1 };
    let lower_fraction = (float.fraction << down) - 1;
    let lower = Float {
        fraction: lower_fraction << (float.exponent - down - upper.exponent),
        exponent: upper.exponent,
    };

    let (power, scale) = cached_power(upper.exponent);
    let middle = float.normalized().times(scale);
    let mut upper = upper.times(scale);
    let mut lower = lower.times(scale);
    // The products are off by up to one; stay inside.
    upper.fraction -= 1;
    lower.fraction += 1;
    let range = upper.fraction - lower.fraction;
    let (count, dropped) = generate_digits(digits, upper, range, upper.fraction - middle.fraction);
    (count, dropped - power)
}

/// A power of ten that brings a float of this exponent into the range of product exponents.
fn cached_power(exponent: i32) -> (i32, Float) {
    // The first guess decides which of two fitting powers it is, and so must be Redis's.
    let guess = (f64::from(-(exponent + POWERS.len() as i32)) * 0.301_029_995_663_981_14) as i32;
    let mut index = (guess - FIRST_POWER) / POWER_STEP;
    loop {
        let power = FIRST_POWER + index * POWER_STEP;
        // floor(power * log2(10)) - 63
        let power_exponent = ((power * 217_706) >> 16) - 63;
        let product = exponent + power_exponent + 64;
        if product < PRODUCT_EXPONENT_MIN {
            index += 1;
        } else if product > PRODUCT_EXPONENT_MAX {
            index -= 1;
        } else {
            let fraction = POWERS[index as usize];
            return (power, Float { fraction, exponent: power_exponent });
        }
    }
}

/// Writes the digits of `upper` until what is left is within `range`, then lowers the last
/// digit towards the value, which lies `distance` below `upper`. Returns how many digits, and how
/// many places before the point were dropped (or, negative, how many behind it were written).
fn generate_digits(
    digits: &mut [u8; DIGITS_MAX],
    upper: Float,
    range: u64,
    distance: u64,
) -> (usize, i32) {
    let point = upper.exponent.unsigned_abs();
    let one = 1u64 << point;
    let mut whole = upper.fraction >> point;
    let mut decimals = upper.fraction & (one - 1);
    let mut count = 0;
    let mut push = |digit: u64, count: &mut usize| {
        if digit != 0 || *count != 0 {
            digits[*count] = b'0' + digit as u8;
            *count += 1;
        }
    };

    let mut places = 10;
    let mut unit = 1_000_000_000u64;
    while places > 0 {
        push(whole / unit, &mut count);
        whole %= unit;
        places -= 1;
        let rest = (whole << point) + decimals;
        if rest <= range {
            round_last(&mut digits[count - 1], range, rest, unit << point, distance);
            return (count, places);
        }
        unit /= 10;
    }
    let mut range = range;
    let mut distance = distance;
    loop {
        decimals *= 10;
        range *= 10;
        distance = distance.wrapping_mul(10);
        push(decimals >> point, &mut count);
        decimals &= one - 1;
        places -= 1;
        if decimals < range {
            round_last(&mut digits[count - 1], range, decimals, one, distance);
            return (count, places);
        }
    }
}

/// Lowers the last digit, each time by `unit`, while that comes nearer to the value and stays in
/// range.
fn round_last(digit: &mut u8, range: u64, mut rest: u64, unit: u64, distance: u64) {
    while rest < distance
        && range - rest >= unit
        && (rest + unit < distance || distance - rest > rest + unit - distance)
    {
        *digit -= 1;
        rest += unit;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{format_f64, format_f64_digits};
    use super::{HUMAN_TEXT_MAX, write_human};

    #[test]
    fn people_read_no_exponents_and_no_zeros_at_the_end() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-1e-30, "0"),
            (13.361_389_338_970_184, "13.36138933897018433"),
            (-0.5, "-0.5"),
            (180.0, "180"),
            (1e-17, "0.00000000000000001"),
            (1e22, "10000000000000000000000"),
        ] {
            let mut text = [0; HUMAN_TEXT_MAX];
            let len = write_human(&mut text, value);
            assert_eq!(std::str::from_utf8(&text[..len]), Ok(expected), "{value}");
        }
        let mut text = [0; HUMAN_TEXT_MAX];
        assert_eq!(write_human(&mut text, f64::MIN), 310);
    }

    /// DEBUG DIGEST told Redis 7.0's digest while we say that we are 7.2.4. These are the texts that enter the
    /// digests of redis-server 8.2.3 and valkey-server 9.1.2, found by trying.
    #[test]
    fn digests_spell_scores_as_redis_does() {
        let cases: [(f64, &str); 14] = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e7, "10000000"),
            (1e8, "1e+8"),
            (-1e15, "-1e+15"),
            (1e16, "1e+16"),
            (1e21, "1e+21"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (4_611_686_018_427_387_904.0, "4611686018427388000"),
            (3.0000000000000004, "3.0000000000000004"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (score, expected) in cases {
            assert_eq!(format_f64_digits(score), expected);
        }
    }

    #[test]
    fn doubles_are_printed_as_redis_7_2_prints_scores() {
        for (value, text) in [
            (3.0, "3"),
            (-0.0, "-0"),
            (0.0, "0"),
            (3.1, "3.1"),
            (-3.1, "-3.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e17, "100000000000000000"),
            ((1u64 << 62) as f64, "4611686018427387904"),
            (1e19, "1e+19"),
            (1e20, "1e+20"),
            (1.5e-9, "1.5e-9"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (0.000123456789, "1.23456789e-4"),
            (0.00123456789, "0.00123456789"),
            (123456789.123, "123456789.123"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-f64::MIN_POSITIVE, "-2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(format_f64(value), text);
        }
    }

    #[test]
    fn every_double_reads_back_the_same() {
        let mut random = fastrand::Rng::with_seed(1);
        for i in 0..200_000 {
            let value = match i % 3 {
                0 => f64::from_bits(random.u64(..)),
                1 => random.f64(),
                _ => f64::from(random.u32(..)) / 1000.0,
            };
            if value.is_finite() {
                let text = format_f64(value);
                assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()), "{text}");
            }
        }
    }
}
