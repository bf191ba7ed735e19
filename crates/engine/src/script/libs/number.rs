//! Numbers as C's `printf` and `strtod` write and read them.

/// `%.<digits>g`.
pub(crate) fn format_g(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_string();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_string();
    }
    let digits = digits.max(1);
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let mantissa = without_trailing_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    without_trailing_zeros(&format!("{value:.decimals$}")).to_string()
}

fn without_trailing_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// The number at the beginning of `text`, and how many bytes spell it.
pub(crate) fn strtod(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let is_negative = text.first() == Some(&b'-');
    let rest = &text[sign..];
    let signed = |value: f64| if is_negative { -value } else { value };
    let starts =
        |word: &[u8]| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if starts(b"nan") {
        return Some((signed(f64::NAN), sign + 3));
    }
    if starts(b"inf") {
        let len = if starts(b"infinity") { 8 } else { 3 };
        return Some((signed(f64::INFINITY), sign + len));
    }
    if starts(b"0x")
        && let Some((value, len)) = hexadecimal(&rest[2..])
    {
        return Some((signed(value), sign + 2 + len));
    }
    let len = decimal_len(rest)?;
    let value: f64 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
    Some((signed(value), sign + len))
}

fn decimal_len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        text.get(from..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
    };
    let whole = digits(0);
    let mut len = whole;
    if text.get(len) == Some(&b'.') {
        let fraction = digits(len + 1);
        if whole + fraction == 0 {
            return None;
        }
        len += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    Some(len)
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let (mut value, mut scale, mut len, mut digits) = (0.0, 1.0, 0, 0);
    let mut in_fraction = false;
    while let Some(byte) = text.get(len) {
        match char::from(*byte).to_digit(16) {
            Some(digit) => {
                digits += 1;
                if in_fraction {
                    scale /= 16.0;
                    value += f64::from(digit) * scale;
                } else {
                    value = value * 16.0 + f64::from(digit);
                }
            }
            None if *byte == b'.' && !in_fraction => in_fraction = true,
            None => break,
        }
        len += 1;
    }
    if digits == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'p' | b'P')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        let rest = text.get(len + 1 + sign..).unwrap_or_default();
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count > 0 {
            let exponent = std::str::from_utf8(&rest[..count]).ok()?.parse().unwrap_or(9999_i32);
            let exponent = if text.get(len + 1) == Some(&b'-') { -exponent } else { exponent };
            value *= 2f64.powi(exponent);
            len += 1 + sign + count;
        }
    }
    Some((value, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As glibc's printf writes them.
    #[test]
    fn numbers_are_written_as_by_printf() {
        for (value, digits, text) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (100000000000000.0, 14, "1e+14"),
            (99999999999999.0, 14, "99999999999999"),
            (0.1, 14, "0.1"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (0.0001, 14, "0.0001"),
            (0.00001, 14, "1e-05"),
            (123456.789, 3, "1.23e+05"),
            (0.1, 17, "0.10000000000000001"),
            (1e300, 14, "1e+300"),
        ] {
            assert_eq!(format_g(value, digits), text);
        }
    }

    #[test]
    fn numbers_are_read_as_by_strtod() {
        for (text, read) in [
            ("12,", Some((12.0, 2))),
            ("-1.5e3]", Some((-1500.0, 6))),
            ("1e", Some((1.0, 1))),
            ("0x10 ", Some((16.0, 4))),
            ("0xg", Some((0.0, 1))),
            ("007", Some((7.0, 3))),
            ("-inf", Some((f64::NEG_INFINITY, 4))),
            ("1e999", Some((f64::INFINITY, 5))),
            ("-", None),
            (".", None),
            ("x", None),
        ] {
            assert_eq!(strtod(text.as_bytes()), read, "{text}");
        }
    }
}
