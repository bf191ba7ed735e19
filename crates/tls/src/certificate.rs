//! Owns the few fields of a certificate that are read here: its dates, and what a certificate of version 1 is
//! checked by. Must not judge: `trust.rs` does.

/// From when to when a certificate is valid, in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before_s: i64,
    pub not_after_s: i64,
}

impl Validity {
    /// Whole days that are left, rounded towards the past: -1 on the day after the last.
    pub fn days_left(&self, now_s: i64) -> i64 {
        (self.not_after_s - now_s).div_euclid(86_400)
    }
}

/// A certificate's parts, as they stand in its DER.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    /// 1, 2 or 3.
    pub version: u8,
    /// What is signed, with its tag.
    pub signed: &'a [u8],
    /// The content of the name of who has signed.
    pub issuer: &'a [u8],
    pub validity: Validity,
    /// With its tag.
    pub public_key_info: &'a [u8],
    /// The content of the algorithm's identifier.
    pub signature_algorithm: &'a [u8],
    pub signature: &'a [u8],
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The optional first field.
const VERSION: u8 = 0xa0;

impl<'a> Fields<'a> {
    pub fn of(der: &'a [u8]) -> Option<Fields<'a>> {
        let mut outer = Der(Der(der).expect(SEQUENCE)?);
        let signed = outer.0;
        let mut body = Der(outer.expect(SEQUENCE)?);
        let signed = &signed[..signed.len() - outer.0.len()];
        let signature_algorithm = outer.expect(SEQUENCE)?;
        let signature = bits(outer.expect(BIT_STRING)?)?;

        let version = match body.peek()? {
            VERSION => *Der(body.expect(VERSION)?).next()?.1.last()? + 1,
            _ => 1,
        };
        body.next()?; // the serial number
        body.expect(SEQUENCE)?; // the algorithm once more
        let issuer = body.expect(SEQUENCE)?;
        let mut dates = Der(body.expect(SEQUENCE)?);
        let validity = Validity { not_before_s: dates.time()?, not_after_s: dates.time()? };
        body.expect(SEQUENCE)?; // the subject
        let from_key = body.0;
        body.expect(SEQUENCE)?;
        let public_key_info = &from_key[..from_key.len() - body.0.len()];
        Some(Fields {
            version,
            signed,
            issuer,
            validity,
            public_key_info,
            signature_algorithm,
            signature,
        })
    }
}

/// The algorithm and the bits of a key, of the content of its SubjectPublicKeyInfo.
pub(crate) fn key_parts(public_key_info: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = Der(public_key_info);
    Some((info.expect(SEQUENCE)?, bits(info.expect(BIT_STRING)?)?))
}

/// The content of a sequence that stands with its tag.
pub(crate) fn content(sequence: &[u8]) -> Option<&[u8]> {
    Der(sequence).expect(SEQUENCE)
}

/// Whole octets only, as all keys and signatures are.
fn bits(content: &[u8]) -> Option<&[u8]> {
    content.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}

/// What is left to read of a sequence of elements.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            short @ ..0x80 => (usize::from(short), rest),
            long => {
                let octets = usize::from(long & 0x7f);
                if octets == 0 || octets > 4 {
                    return None;
                }
                let (len, rest) = rest.split_at_checked(octets)?;
                (len.iter().fold(0, |n, octet| n << 8 | usize::from(*octet)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// YYMMDDhhmmssZ or YYYYMMDDhhmmssZ.
    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.next()?;
        let digits = text.strip_suffix(b"Z")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let pair = |at: usize| -> Option<i64> {
            let pair = digits.get(at..at + 2)?;
            Some(i64::from(pair[0] - b'0') * 10 + i64::from(pair[1] - b'0'))
        };
        let (year, at) = match tag {
            UTC_TIME if pair(0)? < 50 => (2000 + pair(0)?, 2),
            UTC_TIME => (1900 + pair(0)?, 2),
            GENERALIZED_TIME => (pair(0)? * 100 + pair(2)?, 4),
            _ => return None,
        };
        let days = days_from_epoch(year, pair(at)?, pair(at + 2)?);
        Some(days * 86_400 + pair(at + 4)? * 3600 + pair(at + 6)? * 60 + pair(at + 8)?)
    }
}

/// Days since 1970-01-01 of the Gregorian calendar, counted in years that begin in March.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds_of_unix_time() {
        let time =
            |tag: u8, text: &str| Der(&[&[tag, text.len() as u8], text.as_bytes()].concat()).time();
        assert_eq!(time(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(UTC_TIME, "240229120000Z"), Some(1_709_208_000));
        assert_eq!(time(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(time(UTC_TIME, "24022912000Z"), None);
        assert_eq!(time(UTC_TIME, "x40229120000Z"), None);
    }

    #[test]
    fn days_left_are_whole_days() {
        let validity = Validity { not_before_s: 0, not_after_s: 10 * 86_400 };
        assert_eq!(validity.days_left(0), 10);
        assert_eq!(validity.days_left(1), 9);
        assert_eq!(validity.days_left(10 * 86_400), 0);
        assert_eq!(validity.days_left(10 * 86_400 + 1), -1);
    }

    #[test]
    fn damaged_bytes_are_no_certificate() {
        for bytes in [&b""[..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x80]] {
            assert!(Fields::of(bytes).is_none());
        }
    }
}
