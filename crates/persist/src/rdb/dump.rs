//! Owns the payload of DUMP and RESTORE: type byte and body as in a file, then the format version
//! in two bytes and a checksum of all before it. FUNCTION DUMP has libraries in its place.

use store::limits::Limits;
use store::str::Str;
use store::value::{Item, Value, ValueRef};

use super::encode::Encoder;
use super::format::{CHECKSUM_BYTES, Dialect, MAX_VERSION, VALKEY_VERSION, opcode};
use super::primitive::bytes_into;
use super::save::Version;
use super::value::{Loaded, Scratch, is_value_type, load_value};
use super::writer::Writer;
use crate::contained::contained;
use crate::crc::crc64;
use crate::error::{RdbError, Reason};
use crate::sink::Sink;
use crate::source::Source;

const FOOTER_BYTES: usize = 2 + CHECKSUM_BYTES;

/// What DUMP answers. `version` says who is to understand it; the payload names the lowest format
/// version that has what it uses.
pub fn dump_value(value: ValueRef<'_>, version: Version) -> Vec<u8> {
    let version = version.max(Version::needed_by(value));
    let mut payload = Vec::new();
    let mut writer = Writer::new(Sink::with_buffer(&mut payload, false, 4096), true);
    let mut encoder = Encoder::new(version);
    writer
        .u8(encoder.type_byte(value))
        .and_then(|()| encoder.body(&mut writer, value))
        .and_then(|()| writer.flush())
        .expect("writing to memory does not fail");
    drop(writer);
    add_footer(&mut payload, version);
    payload
}

fn add_footer(payload: &mut Vec<u8>, version: Version) {
    payload.extend_from_slice(&(version.number() as u16).to_le_bytes());
    let crc = crc64(0, payload);
    payload.extend_from_slice(&crc.to_le_bytes());
}

/// What FUNCTION DUMP answers: the code of libraries as in a file.
pub fn dump_functions(codes: &[Vec<u8>], version: Version) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut writer = Writer::new(Sink::with_buffer(&mut payload, false, 4096), true);
    codes
        .iter()
        .try_for_each(|code| writer.u8(opcode::FUNCTION).and_then(|()| writer.string(code)))
        .and_then(|()| writer.flush())
        .expect("writing to memory does not fail");
    drop(writer);
    add_footer(&mut payload, version);
    payload
}

/// The libraries in a payload of FUNCTION DUMP, or what is wrong with it in Redis's words.
pub fn restore_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    const FAILED: &str = "failed loading the given functions payload";
    let mut body = check_footer(payload).map_err(|_| FAILED)?;
    let total = body.len() as u64;
    let mut source = Source::new(&mut body, Some(total));
    let mut codes = Vec::new();
    while source.remaining() != Some(0) {
        match source.u8("the type").map_err(|_| "can not read data type")? {
            opcode::FUNCTION => {
                let mut code = Vec::new();
                bytes_into(&mut source, &mut code, "a function library").map_err(|_| FAILED)?;
                codes.push(code);
            }
            opcode::FUNCTION_PRE_RELEASE => {
                return Err("Pre-release function format not supported.");
            }
            _ => return Err("given type is not a function"),
        }
    }
    Ok(codes)
}

/// Checks the footer and gives what is before it; errors of this kind are Redis's `ERR DUMP payload
/// version or checksum are wrong`, all others its `ERR Bad data format`.
pub fn check_footer(payload: &[u8]) -> Result<&[u8], RdbError> {
    let Some(at) = payload.len().checked_sub(FOOTER_BYTES) else {
        return Err(RdbError::new(payload.len() as u64, Reason::UnexpectedEnd("the footer")));
    };
    let (body, footer) = payload.split_at(at);
    let version = u32::from(u16::from_le_bytes([footer[0], footer[1]]));
    if version > MAX_VERSION && version != VALKEY_VERSION {
        return Err(RdbError::new(at as u64, Reason::UnsupportedVersion(version)));
    }
    let (summed, stored) = payload.split_at(payload.len() - CHECKSUM_BYTES);
    let stored = stored.try_into().map_or(0, u64::from_le_bytes);
    let computed = crc64(0, summed);
    // Zero stands for "not computed" in files alone: what is handed to RESTORE has come by hand.
    if stored != computed {
        let at = summed.len() as u64;
        return Err(RdbError::new(at, Reason::BadChecksum { stored, computed }));
    }
    Ok(body)
}

/// Whether Redis 7.0 and all that came later take this payload: its version, and that its checksum is right.
pub fn is_read_everywhere(payload: &[u8]) -> bool {
    let version = payload.len().checked_sub(FOOTER_BYTES).map(|at| &payload[at..at + 2]);
    let is_old = version.is_some_and(|version| {
        u32::from(u16::from_le_bytes([version[0], version[1]])) <= Version::V10.number()
    });
    is_old && check_footer(payload).is_ok()
}

/// The payload with the checksum that it should have: for tests that damage payloads on purpose.
pub fn with_own_checksum(payload: &[u8]) -> Vec<u8> {
    let mut own = payload[..payload.len().saturating_sub(CHECKSUM_BYTES)].to_vec();
    let crc = crc64(0, &own);
    own.extend_from_slice(&crc.to_le_bytes());
    own
}

/// The value in a payload of DUMP. Call `check_footer` first where its error has a text of its own.
pub fn restore_value(payload: &[u8], limits: &Limits) -> Result<Value, RdbError> {
    contained(|| decode(payload, limits))
        .unwrap_or_else(|why| Err(RdbError::new(0, Reason::Panicked(why))))
}

fn decode(payload: &[u8], limits: &Limits) -> Result<Value, RdbError> {
    let mut body = check_footer(payload)?;
    let total = body.len() as u64;
    // The footer is there: it has been checked.
    let version = payload.get(body.len()).map_or(0, |low| u32::from(*low));
    let dialect = Dialect::of_version(version);
    let mut source = Source::new(&mut body, Some(total));
    let code = source.u8("the type")?;
    if !is_value_type(code, dialect) {
        return Err(RdbError::new(0, Reason::UnknownType(code)));
    }
    let mut scratch = Scratch::default();
    let value = match load_value(&mut source, (code, dialect), &mut scratch, limits)? {
        Loaded::Str(Item::Int(n)) => Value::Str(Str::Int(n)),
        Loaded::Str(Item::Bytes(text)) => Value::Str(Str::new(text)),
        Loaded::Value(value) => value,
        Loaded::Empty => return Err(RdbError::new(0, Reason::EmptyValue)),
    };
    match source.remaining() {
        Some(0) => Ok(value),
        _ => Err(source.error(Reason::Invalid("bytes are left behind the value"))),
    }
}
