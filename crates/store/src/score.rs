//! Scores as text, in the forms the store itself needs: for listpacks and for digests. Owns no
//! wire format: how replies spell a score is for the protocol to say.

use std::fmt::{self, Write};

use crate::listpack;
use crate::value::Item;

/// Longer than any spelling of a double below.
const TEXT_MAX: usize = 40;

/// Text on the stack.
pub(crate) struct Text {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl Text {
    fn new() -> Self {
        Text { bytes: [0; TEXT_MAX], len: 0 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }
}

/// A score as a listpack keeps it.
pub(crate) enum Score {
    Int(i64),
    Text(Text),
}

impl Score {
    pub fn new(score: f64) -> Self {
        match exact_int(score) {
            Some(n) => Score::Int(n),
            None => {
                let mut text = Text::new();
                write!(text, "{score:?}").expect("the shortest spelling has few characters");
                Score::Text(text)
            }
        }
    }

    pub fn as_item(&self) -> Item<'_> {
        match self {
            Score::Int(n) => Item::Int(*n),
            Score::Text(text) => {
                let text = text.as_bytes();
                listpack::classify(text.strip_suffix(b".0").unwrap_or(text))
            }
        }
    }
}

/// How a digest spells scores: Redis changed it, and with it the digests of sorted sets.
#[derive(Clone, Copy, Debug)]
pub enum Spelling {
    /// Up to Redis 7.0: C's `%.17g`.
    Digits17,
    /// As few digits as tell the score from others: nearly as from Redis 7.2 on, whose algorithm gives one
    /// more now and then.
    Shortest,
    /// As the protocol prints doubles, whose business Redis's algorithm is. Not asked for infinity.
    By(fn(f64) -> String),
}

impl Spelling {
    pub(crate) fn spell(self, score: f64) -> Text {
        let mut text = Text::new();
        let written = if score.is_infinite() {
            text.write_str(if score < 0.0 { "-inf" } else { "inf" })
        } else {
            match self {
                Spelling::Digits17 => write_17_digits(&mut text, score),
                Spelling::Shortest => write_shortest(&mut text, score),
                Spelling::By(print) => text.write_str(&print(score)),
            }
        };
        written.expect("no double is spelled longer than TEXT_MAX");
        text
    }
}

/// Sign, digits without trailing zeros, and the power of ten of the first one.
struct Decimal {
    negative: bool,
    digits: [u8; 17],
    len: usize,
    exponent: i32,
}

impl Decimal {
    /// Takes apart what `{:e}` writes: digits, perhaps a point, `e`, the exponent.
    fn parse(scientific: &Text) -> Self {
        let text = std::str::from_utf8(scientific.as_bytes()).expect("written by fmt");
        let (mantissa, exponent) = text.split_once('e').expect("always has an exponent");
        let mut decimal = Decimal {
            negative: mantissa.starts_with('-'),
            digits: [0; 17],
            len: 0,
            exponent: exponent.parse().expect("an integer"),
        };
        for digit in mantissa.bytes().filter(u8::is_ascii_digit) {
            decimal.digits[decimal.len] = digit;
            decimal.len += 1;
        }
        while decimal.len > 1 && decimal.digits[decimal.len - 1] == b'0' {
            decimal.len -= 1;
        }
        decimal
    }

    fn digits(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.len]).expect("digits")
    }

    fn write_sign(&self, out: &mut Text) -> fmt::Result {
        if self.negative { out.write_char('-') } else { Ok(()) }
    }

    /// With the point where the exponent says, and as many zeros as that takes.
    fn write_plain(&self, out: &mut Text) -> fmt::Result {
        let digits = self.digits();
        match usize::try_from(self.exponent) {
            Err(_) => {
                out.write_str("0.")?;
                (self.exponent + 1..0).try_for_each(|_| out.write_char('0'))?;
                out.write_str(digits)
            }
            Ok(exponent) if exponent + 1 < digits.len() => {
                let (whole, fraction) = digits.split_at(exponent + 1);
                write!(out, "{whole}.{fraction}")
            }
            Ok(exponent) => {
                out.write_str(digits)?;
                (digits.len()..exponent + 1).try_for_each(|_| out.write_char('0'))
            }
        }
    }

    /// `exponent_digits` is the least number of them.
    fn write_scientific(&self, out: &mut Text, exponent_digits: usize) -> fmt::Result {
        let (first, rest) = self.digits().split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if self.exponent < 0 { '-' } else { '+' };
        let exponent = self.exponent.unsigned_abs();
        write!(out, "{first}{point}{rest}e{sign}{exponent:0exponent_digits$}")
    }
}

fn write_17_digits(out: &mut Text, score: f64) -> fmt::Result {
    let mut scientific = Text::new();
    write!(scientific, "{score:.16e}")?;
    let decimal = Decimal::parse(&scientific);
    decimal.write_sign(out)?;
    if (-4..17).contains(&decimal.exponent) {
        decimal.write_plain(out)
    } else {
        decimal.write_scientific(out, 2)
    }
}

fn write_shortest(out: &mut Text, score: f64) -> fmt::Result {
    let mut scientific = Text::new();
    write!(scientific, "{score:e}")?;
    let decimal = Decimal::parse(&scientific);
    decimal.write_sign(out)?;
    let len = decimal.len as i32;
    // The power of ten of the last digit, and with it Redis's choice of form.
    let last = decimal.exponent + 1 - len;
    let plain = if last >= 0 {
        decimal.exponent < len + 7
    } else {
        last > -7 || decimal.exponent.abs() < 4
    };
    if plain { decimal.write_plain(out) } else { decimal.write_scientific(out, 1) }
}

/// The integer that `score` is, if it is small enough that all its neighbours are integers too.
fn exact_int(score: f64) -> Option<i64> {
    const BOUND: f64 = (1i64 << 52) as f64;
    (score.abs() < BOUND && score.trunc() == score).then_some(score as i64)
}

/// The score that a listpack element is; never NaN.
pub(crate) fn parse_score(item: Item<'_>) -> Option<f64> {
    match item {
        Item::Int(n) => Some(n as f64),
        Item::Bytes(text) => parse_short(text).or_else(|| {
            let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (!score.is_nan()).then_some(score)
        }),
    }
}

/// A few digits with a point among them: what most scores that are not integers look like, and
/// what walks over packed sorted sets spend their time on.
fn parse_short(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // Fifteen digits are exact in a double, and so is the power: the division rounds but once.
    if digits.len() > 16 {
        return None;
    }
    let (mut mantissa, mut point) = (0u64, None);
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let point = point?;
    let decimals = digits.len() - 1 - point;
    let score = mantissa as f64 / POWERS.get(decimals)?;
    // A point needs digits on both sides, which leaves at most fifteen.
    let plain = decimals > 0 && point > 0;
    plain.then_some(if negative { -score } else { score })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_score_survives_its_text(score in any::<f64>().prop_filter("a number", |s| !s.is_nan())) {
            prop_assert_eq!(parse_score(Score::new(score).as_item()), Some(score));
        }
    }

    proptest! {
        #[test]
        fn short_scores_are_read_as_std_reads_them(
            whole in 0u64..1_000_000_000,
            fraction in 0u64..1_000_000,
            width in 1usize..8,
            negative in any::<bool>(),
        ) {
            let sign = if negative { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction:0width$}");
            let expected: f64 = text.parse().unwrap();
            let score = parse_score(Item::Bytes(text.as_bytes())).unwrap();
            prop_assert_eq!(score.to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn what_is_no_score_is_refused() {
        for text in ["", "-", ".", "-.", "1.2.3", "1a", "nan", "0x1", " 1.5", "1.5 "] {
            assert_eq!(parse_score(Item::Bytes(text.as_bytes())), None, "{text}");
        }
        for (text, score) in [("1.", 1.0), (".5", 0.5), ("-0.0", 0.0), ("1e3", 1000.0)] {
            assert_eq!(parse_score(Item::Bytes(text.as_bytes())), Some(score), "{text}");
        }
    }

    #[test]
    fn both_spellings_of_digests() {
        let spell = |spelling: Spelling, score: f64| {
            String::from_utf8(spelling.spell(score).as_bytes().to_vec()).unwrap()
        };
        let cases = [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.5, "1.5", "1.5"),
            (-3.0, "-3", "-3"),
            (0.1, "0.10000000000000001", "0.1"),
            (1e7, "10000000", "10000000"),
            (1e8, "100000000", "1e+8"),
            (123e9, "123000000000", "1.23e+11"),
            (1e20, "1e+20", "1e+20"),
            (1e-5, "1.0000000000000001e-05", "0.00001"),
            (1.5e-5, "1.5e-05", "0.000015"),
            (1e-7, "9.9999999999999995e-08", "1e-7"),
            (f64::MAX, "1.7976931348623157e+308", "1.7976931348623157e+308"),
            (5e-324, "4.9406564584124654e-324", "5e-324"),
            (f64::NEG_INFINITY, "-inf", "-inf"),
        ];
        for (score, digits17, shortest) in cases {
            assert_eq!(spell(Spelling::Digits17, score), digits17);
            assert_eq!(spell(Spelling::Shortest, score), shortest);
        }
    }

    #[test]
    fn integers_and_infinities() {
        let kept = |score| match Score::new(score).as_item() {
            Item::Int(n) => n.to_string(),
            Item::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
        };
        let spelled = [3.0, -0.0, 1.5, 1e300, 9007199254740993.0, f64::NEG_INFINITY].map(kept);
        assert_eq!(spelled, ["3", "0", "1.5", "1e300", "9007199254740992", "-inf"]);
        assert_eq!(parse_score(Item::Bytes(b"nan")), None);
        assert_eq!(parse_score(Item::Bytes(b"")), None);
    }
}
