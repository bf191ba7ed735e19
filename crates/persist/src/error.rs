//! Owns what can be wrong with persisted bytes, and its wording. Every error of this crate says
//! where in the file it was met; the caller adds the file's name.

use std::fmt;

use crate::lzf::LzfError;

/// Why bytes cannot be read, or a snapshot not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The operating system's words.
    Io(String),
    /// The bytes end inside the named thing.
    UnexpectedEnd(&'static str),
    /// The first bytes are neither `REDIS` nor `VALKEY` with a version.
    BadSignature,
    UnsupportedVersion(u32),
    BadChecksum {
        stored: u64,
        computed: u64,
    },
    Lzf(LzfError),
    /// A length or size that cannot be true or is not allowed.
    BadLength {
        what: &'static str,
        length: u64,
    },
    UnknownOpcode(u8),
    UnknownType(u8),
    UnknownLengthEncoding(u8),
    UnknownStringEncoding(u8),
    /// A packed value breaks its own format at the named byte of itself.
    Malformed {
        what: &'static str,
        at: usize,
        why: &'static str,
    },
    /// What was read is well formed but cannot be.
    Invalid(&'static str),
    EmptyValue,
    DuplicateKey {
        db: u64,
    },
    DbOutOfRange {
        db: u64,
        databases: usize,
    },
    /// An AUX field that the load goes by says something impossible.
    BadAux {
        name: &'static str,
        value: String,
    },
    /// A value of a module type, with the module type's name and version.
    ModuleValue {
        name: String,
        version: u16,
    },
    ModuleAux {
        name: String,
        version: u16,
    },
    PreReleaseFunctions,
    OutOfMemory,
    /// A defect of ours: the decoder's panic, in its own words.
    Panicked(String),
    /// The caller's hook asked to stop.
    Cancelled,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Io(why) => write!(f, "{why}"),
            Reason::UnexpectedEnd(what) => write!(f, "the data ends inside {what}"),
            Reason::BadSignature => f.write_str("wrong signature: not an RDB file"),
            Reason::UnsupportedVersion(version) => {
                write!(f, "can't handle RDB format version {version}")
            }
            Reason::BadChecksum { stored, computed } => write!(
                f,
                "RDB CRC error: expected {computed:016x} from the data, but the file says {stored:016x}"
            ),
            Reason::Lzf(why) => write!(f, "{why}"),
            Reason::BadLength { what, length } => write!(f, "{what} of impossible size {length}"),
            Reason::UnknownOpcode(code) => write!(f, "unknown opcode {code}"),
            Reason::UnknownType(code) => write!(f, "unknown value type {code}"),
            Reason::UnknownLengthEncoding(code) => {
                write!(f, "unknown length encoding {code:#04x}")
            }
            Reason::UnknownStringEncoding(code) => write!(f, "unknown string encoding {code}"),
            Reason::Malformed { what, at, why } => {
                write!(f, "malformed {what}: {why} at its byte {at}")
            }
            Reason::Invalid(what) => f.write_str(what),
            Reason::EmptyValue => f.write_str("the value has no elements"),
            Reason::DuplicateKey { db } => write!(f, "the key is there twice in DB {db}"),
            Reason::DbOutOfRange { db, databases } => write!(
                f,
                "the data set names DB {db}, but this server is configured for {databases} databases"
            ),
            Reason::BadAux { name, value } => {
                write!(f, "the AUX field {name} has the impossible value '{value}'")
            }
            Reason::ModuleValue { name, version } => write!(
                f,
                "the RDB file contains module data that can't be loaded: no matching module type \
                 '{name}' (encoding version {version})"
            ),
            Reason::ModuleAux { name, version } => write!(
                f,
                "the RDB file contains AUX module data that can't be loaded: no matching module \
                 '{name}' (encoding version {version})"
            ),
            Reason::PreReleaseFunctions => f.write_str("pre-release function format not supported"),
            Reason::OutOfMemory => f.write_str("not enough memory"),
            Reason::Panicked(why) => write!(f, "the decoder gave up, please report this: {why}"),
            Reason::Cancelled => f.write_str("stopped on request"),
        }
    }
}

impl From<LzfError> for Reason {
    fn from(why: LzfError) -> Reason {
        match why {
            LzfError::OutOfMemory => Reason::OutOfMemory,
            why => Reason::Lzf(why),
        }
    }
}

/// What is wrong with an RDB file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdbError {
    /// Bytes before the point where the trouble was noticed.
    pub offset: u64,
    pub reason: Reason,
    /// The key whose value was being read.
    pub key: Option<Box<[u8]>>,
    /// The type byte of that value.
    pub type_byte: Option<u8>,
    pub doing: Doing,
}

/// What of a file was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doing {
    #[default]
    Start,
    Type,
    Expire,
    Key,
    Value,
    Length,
    Aux,
    ModuleAux,
    Functions,
    Checksum,
}

impl Doing {
    /// As redis-check-rdb calls it.
    pub fn name(self) -> &'static str {
        match self {
            Doing::Start => "start",
            Doing::Type => "read-type",
            Doing::Expire => "read-expire",
            Doing::Key => "read-key",
            Doing::Value => "read-object-value",
            Doing::Length => "read-len",
            Doing::Aux => "read-aux",
            Doing::ModuleAux => "read-module-aux",
            Doing::Functions => "read-functions",
            Doing::Checksum => "check-sum",
        }
    }
}

impl RdbError {
    pub fn new(offset: u64, reason: Reason) -> RdbError {
        RdbError { offset, reason, key: None, type_byte: None, doing: Doing::default() }
    }

    /// Notes the key that was being read, unless one is noted already.
    pub fn of_key(mut self, key: &[u8]) -> RdbError {
        self.key.get_or_insert_with(|| key[..key.len().min(128)].into());
        self
    }

    /// The bytes simply end: a file that was cut off, rather than damaged.
    pub fn is_truncation(&self) -> bool {
        matches!(self.reason, Reason::UnexpectedEnd(_))
    }
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.reason, self.offset)?;
        match &self.key {
            Some(key) => write!(f, " (reading key '{}')", key.escape_ascii()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RdbError {}
