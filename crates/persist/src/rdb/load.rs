//! Owns the walk through an RDB file.

use super::format::{HEADER_BYTES, MAGIC, MAX_VERSION};
use crate::error::Reason;

/// Checks `REDIS` and a version that this crate reads.
pub fn parse_header(header: &[u8; HEADER_BYTES]) -> Result<u32, Reason> {
    let Some(digits) = header.strip_prefix(MAGIC).filter(|d| d.iter().all(u8::is_ascii_digit))
    else {
        return Err(Reason::BadSignature);
    };
    let version = digits.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
    if (1..=MAX_VERSION).contains(&version) {
        Ok(version)
    } else {
        Err(Reason::UnsupportedVersion(version))
    }
}
