//! Owns the walk through an RDB file: header, opcodes, keys, checksum. What becomes of what it
//! finds is a `Visitor`'s business; how values look inside is `value`'s.

use std::ops::Range;

use store::limits::Limits;
use store::value::{Item, Value};

use super::format::{
    CHECKSUM_VERSION, Dialect, HEADER_BYTES, MAGIC, MAX_VERSION, VALKEY_MAGIC, VALKEY_VERSION,
    module_type, opcode,
};
use super::primitive::{bytes_into, length, time_ms};
use super::value::{Loaded, Scratch, is_value_type, load_value};
use crate::error::{Doing, RdbError, Reason};
use crate::source::Source;

/// Bytes between two calls of the progress hook.
const PROGRESS_STEP: u64 = 2 << 20;

/// What stands before a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyMeta {
    /// Where the key's type byte stands in the file.
    pub offset: u64,
    pub expire_ms: Option<i64>,
    /// Seconds since the last access, under an LRU policy.
    pub idle_s: Option<u64>,
    /// The logarithmic access counter, under an LFU policy.
    pub freq: Option<u8>,
}

/// How many keys a database has, and how many of them expire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DbSize {
    pub keys: usize,
    pub expires: usize,
}

/// Receives what a file holds, in its order. An error returned ends the walk.
pub trait Visitor {
    /// `at` is where the field stands in the file, its opcode included.
    fn aux(&mut self, name: &[u8], value: &[u8], at: Range<u64>) -> Result<(), RdbError>;
    fn select_db(&mut self, db: u64, at: Range<u64>) -> Result<(), RdbError>;
    /// What the selected database will get: as the file says, and as much of it as is believable
    /// before more has been read.
    fn resize_db(&mut self, announced: DbSize, believable: DbSize);
    /// The code of a function library.
    fn function(&mut self, code: Vec<u8>) -> Result<(), Reason>;
    fn string(&mut self, key: &[u8], value: Item<'_>, meta: KeyMeta) -> Result<(), RdbError>;
    fn value(&mut self, key: &[u8], value: Value, meta: KeyMeta) -> Result<(), RdbError>;
    /// A collection without elements, which some older server has written.
    fn empty_value(&mut self, key: &[u8]);
    /// Called every few megabytes.
    fn progress(&mut self, offset: u64) -> Result<(), Reason>;
}

/// How a file is read.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    pub limits: Limits,
    /// Off with `rdbchecksum no`: the checksum is then read, but believed.
    pub verify_checksum: bool,
}

/// What the frame of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub version: u32,
    /// The checksum was there and was compared.
    pub checksum_verified: bool,
    /// Bytes of the snapshot; an AOF may go on behind it.
    pub bytes: u64,
}

/// Checks `REDIS` or `VALKEY`, and a version that this crate reads.
pub fn parse_header(header: &[u8; HEADER_BYTES]) -> Result<u32, Reason> {
    let (digits, versions) = if let Some(digits) = header.strip_prefix(VALKEY_MAGIC) {
        (digits, VALKEY_VERSION..=VALKEY_VERSION)
    } else if let Some(digits) = header.strip_prefix(MAGIC) {
        (digits, 1..=MAX_VERSION)
    } else {
        return Err(Reason::BadSignature);
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reason::BadSignature);
    }
    let version = digits.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
    if versions.contains(&version) { Ok(version) } else { Err(Reason::UnsupportedVersion(version)) }
}

/// Reads one snapshot from its header to its checksum, and nothing behind it.
pub fn walk(
    source: &mut Source<'_>,
    options: &WalkOptions,
    visitor: &mut impl Visitor,
) -> Result<Frame, RdbError> {
    let from = source.offset();
    source.begin_crc();
    let header = source.array("the header")?;
    let version = parse_header(&header).map_err(|reason| RdbError::new(from, reason))?;
    let mut walk = Walk {
        dialect: Dialect::of_version(version),
        options,
        visitor,
        scratch: Scratch::default(),
        key: Vec::new(),
        meta: KeyMeta::default(),
        next_progress: from + PROGRESS_STEP,
        doing: Doing::Type,
        type_byte: None,
    };
    let end = loop {
        match walk.step(source) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(e) => break Err(e),
        }
    };
    // An error of an entry that was queued has its own key, and nothing of what is read now.
    let (doing, type_byte) = (walk.doing, walk.type_byte);
    end.map_err(|e| RdbError { doing, type_byte, ..e })?;
    let checksum_verified = check_end(source, version, options)
        .map_err(|e| RdbError { doing: Doing::Checksum, ..e })?;
    Ok(Frame { version, checksum_verified, bytes: source.offset() - from })
}

fn check_end(
    source: &mut Source<'_>,
    version: u32,
    options: &WalkOptions,
) -> Result<bool, RdbError> {
    let computed = source.crc();
    source.end_crc();
    if version < CHECKSUM_VERSION {
        return Ok(false);
    }
    let at = source.offset();
    let stored = u64::from_le_bytes(source.array("the checksum")?);
    // Zero is what `rdbchecksum no` writes.
    if stored == 0 || !options.verify_checksum {
        return Ok(false);
    }
    if stored != computed {
        return Err(RdbError::new(at, Reason::BadChecksum { stored, computed }));
    }
    Ok(true)
}

struct Walk<'a, V> {
    dialect: Dialect,
    options: &'a WalkOptions,
    visitor: &'a mut V,
    scratch: Scratch,
    key: Vec<u8>,
    /// Of the key that comes next.
    meta: KeyMeta,
    next_progress: u64,
    /// For the error, should there be one.
    doing: Doing,
    type_byte: Option<u8>,
}

impl<V: Visitor> Walk<'_, V> {
    /// One opcode or key; false at the end of the snapshot.
    fn step(&mut self, source: &mut Source<'_>) -> Result<bool, RdbError> {
        let at = source.offset();
        if at >= self.next_progress {
            self.next_progress = at + PROGRESS_STEP;
            self.visitor.progress(at).map_err(|reason| RdbError::new(at, reason))?;
        }
        self.doing = Doing::Type;
        self.type_byte = None;
        let code = source.u8("an opcode or a value type")?;
        match code {
            opcode::EOF => return Ok(false),
            opcode::FIRST.. => self.opcode(source, code, at)?,
            code if is_value_type(code, self.dialect) => self.key(source, code, at)?,
            code => return Err(RdbError::new(at, Reason::UnknownType(code))),
        }
        Ok(true)
    }

    fn opcode(&mut self, source: &mut Source<'_>, code: u8, at: u64) -> Result<(), RdbError> {
        self.doing = match code {
            opcode::EXPIRETIME | opcode::EXPIRETIME_MS => Doing::Expire,
            opcode::AUX => Doing::Aux,
            opcode::MODULE_AUX => Doing::ModuleAux,
            opcode::FUNCTION | opcode::FUNCTION_PRE_RELEASE => Doing::Functions,
            _ => Doing::Length,
        };
        match code {
            opcode::EXPIRETIME_MS => {
                // -1 is Redis's word for none.
                self.meta.expire_ms = Some(time_ms(source, "an expiry")?).filter(|ms| *ms != -1);
            }
            opcode::EXPIRETIME => {
                let seconds = i32::from_le_bytes(source.array("an expiry")?);
                self.meta.expire_ms = Some(i64::from(seconds) * 1000);
            }
            opcode::FREQ => self.meta.freq = Some(source.u8("an access counter")?),
            opcode::IDLE => self.meta.idle_s = Some(length(source, "an idle time")?),
            opcode::SELECTDB => {
                let db = length(source, "a database number")?;
                self.visitor.select_db(db, at..source.offset())?;
            }
            opcode::RESIZEDB => self.resize(source)?,
            opcode::AUX => self.aux(source, at)?,
            opcode::SLOT_INFO => {
                for _ in 0..3 {
                    length(source, "a slot's figures")?;
                }
            }
            opcode::FUNCTION => {
                let mut library = Vec::new();
                bytes_into(source, &mut library, "a function library")?;
                self.visitor.function(library).map_err(|reason| RdbError::new(at, reason))?;
            }
            opcode::FUNCTION_PRE_RELEASE => {
                return Err(RdbError::new(at, Reason::PreReleaseFunctions));
            }
            opcode::MODULE_AUX => {
                let (name, version) = module_type(length(source, "a module's id")?);
                return Err(RdbError::new(at, Reason::ModuleAux { name, version }));
            }
            code => return Err(RdbError::new(at, Reason::UnknownOpcode(code))),
        }
        Ok(())
    }

    fn resize(&mut self, source: &mut Source<'_>) -> Result<(), RdbError> {
        let keys = length(source, "a database's size")?;
        let expires = length(source, "a database's expires size")?;
        let believable =
            DbSize { keys: source.plausible_count(keys), expires: source.plausible_count(expires) };
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let announced = DbSize { keys: size(keys), expires: size(expires) };
        self.visitor.resize_db(announced, believable);
        Ok(())
    }

    fn aux(&mut self, source: &mut Source<'_>, at: u64) -> Result<(), RdbError> {
        bytes_into(source, &mut self.key, "an AUX field's name")?;
        let mut value = Vec::new();
        bytes_into(source, &mut value, "an AUX field's value")?;
        self.visitor.aux(&self.key, &value, at..source.offset())
    }

    fn key(&mut self, source: &mut Source<'_>, code: u8, at: u64) -> Result<(), RdbError> {
        self.doing = Doing::Key;
        self.type_byte = Some(code);
        bytes_into(source, &mut self.key, "a key")?;
        self.doing = Doing::Value;
        let meta = KeyMeta { offset: at, ..std::mem::take(&mut self.meta) };
        let (key, visitor) = (&self.key, &mut *self.visitor);
        let loaded =
            load_value(source, (code, self.dialect), &mut self.scratch, &self.options.limits)
                .map_err(|e| e.of_key(key))?;
        match loaded {
            Loaded::Str(item) => visitor.string(key, item, meta),
            Loaded::Value(value) => visitor.value(key, value, meta),
            Loaded::Empty => {
                visitor.empty_value(key);
                Ok(())
            }
        }
    }
}
