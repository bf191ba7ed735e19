//! Owns writing of snapshots: the frame, the databases, the hook that a forked child reports
//! through. How a value is written is `encode`'s. Allocates its buffers and nothing a key.

use std::io::{self, Write};

use store::entry::Entry;
use store::keyspace::Keyspace;
use store::lfu;
use store::value::ValueRef;

use super::encode::{self, Encoder};
use super::format::{MAGIC, VALKEY_MAGIC, VALKEY_VERSION, opcode};
use super::writer::Writer;
use crate::lookahead::Lookahead;
use crate::sink::Sink;

/// Between two calls of the progress hook are at most so many keys, or so many bytes and a key.
const PROGRESS_KEYS: u64 = 64;
const PROGRESS_BYTES: u64 = 1 << 20;
/// Blocks of a value from this size on are offered for release.
const RELEASE_MIN_BYTES: usize = 16 * 1024;

/// The versions that can be written. A newer one is never needed to keep data, but for consumers'
/// active times in streams of Redis 7.2, and for fields that expire, which nobody knew before Redis 7.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// For Redis 5 and 6: ziplists instead of listpacks.
    V9,
    /// As Redis 7.0.
    #[default]
    V10,
    /// As Redis 7.2: packed sets, streams with active times.
    V11,
    /// As Redis 7.4 to 8.2: fields with expiries.
    V12,
    /// As Valkey 9, which has fields with expiries in a form, and files under a name, of its own: no Redis
    /// reads it.
    Valkey80,
}

impl Version {
    pub fn number(self) -> u32 {
        match self {
            Version::V9 => 9,
            Version::V10 => 10,
            Version::V11 => 11,
            Version::V12 => 12,
            Version::Valkey80 => VALKEY_VERSION,
        }
    }

    /// The newest that a peer which reads up to `number` reads.
    pub fn readable_by(number: u32) -> Option<Version> {
        match number {
            ..9 => None,
            9 => Some(Version::V9),
            10 => Some(Version::V10),
            11 => Some(Version::V11),
            12..VALKEY_VERSION => Some(Version::V12),
            _ => Some(Version::Valkey80),
        }
    }

    /// The lowest that says all of a value that is not to be lost.
    pub fn needed_by(value: ValueRef<'_>) -> Version {
        match value {
            ValueRef::Hash(hash) if hash.soonest_expire_ms().is_some() => Version::V12,
            _ => Version::V9,
        }
    }

    /// The same for a keyspace.
    pub fn needed_for(keyspace: &Keyspace) -> Version {
        match keyspace.iter().any(|db| db.field_expires_len() > 0) {
            true => Version::V12,
            false => Version::V9,
        }
    }
}

/// The lowest version that says all of `keyspace`; a walk over every entry, so a server rather
/// remembers `LoadReport::needs_v11`.
pub fn lowest_version(keyspace: &Keyspace) -> Version {
    let needs_v11 = |entry: &Entry| matches!(entry.value(), ValueRef::Stream(stream) if stream.tells_active_times());
    let newer = keyspace.iter().any(|db| Lookahead::new(db.iter()).any(needs_v11));
    let lowest = if newer { Version::V11 } else { Version::V10 };
    lowest.max(Version::needed_for(keyspace))
}

/// Whose turn the entries' clocks count, when the snapshot is to keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Seconds modulo 2^24, as INFO's `lru_clock`.
    Lru { now: u32 },
    /// Minutes modulo 2^16, and how many of them cost the counter one.
    Lfu { now_minutes: u16, decay_time_min: u32 },
}

/// Where the data set stands in its master's stream.
#[derive(Debug, Clone, Copy)]
pub struct ReplInfo<'a> {
    pub stream_db: i64,
    pub replid: &'a str,
    pub offset: i64,
}

/// What to write and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct SaveOptions<'a> {
    pub version: Version,
    /// `rdbcompression`.
    pub compress: bool,
    /// `rdbchecksum`; without it the checksum is zero, which readers take for "not checked".
    pub checksum: bool,
    pub redis_ver: &'a str,
    /// Seconds since 1970.
    pub ctime_s: i64,
    pub used_memory_bytes: u64,
    pub repl: Option<ReplInfo<'a>>,
    /// The snapshot is the base of an AOF.
    pub aof_base: bool,
    /// Function libraries' code. No version before 10 can carry it.
    pub functions: &'a [Vec<u8>],
    /// Set under an eviction policy that goes by access.
    pub access: Option<Access>,
}

/// What a snapshot took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SaveReport {
    pub keys: u64,
    pub bytes: u64,
}

/// What a forked child does along the way. Must not allocate or lock.
pub trait SaveHook {
    /// Called every few dozen keys, every megabyte or so, and at the end. An error ends the save.
    fn progress(&mut self, _keys: u64, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    /// Called after every key. An error ends the save.
    fn saved_key(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// A large block of a value was written and will not be read again: a child may give its pages
    /// back, so that the parent's writes need not copy them.
    fn release(&mut self, _block: &[u8]) {}
}

/// No hook.
impl SaveHook for () {}

/// Writes the whole keyspace as one snapshot and flushes it. What the wanted version cannot say without a
/// loss raises it.
pub fn save(
    keyspace: &Keyspace,
    out: &mut dyn Write,
    options: &SaveOptions<'_>,
    hook: &mut dyn SaveHook,
) -> io::Result<SaveReport> {
    let sink = if options.checksum { Sink::checksummed(out) } else { Sink::new(out) };
    let version = options.version.max(Version::needed_for(keyspace));
    let options = &SaveOptions { version, ..*options };
    let mut save = Save {
        writer: Writer::new(sink, options.compress),
        encoder: Encoder::new(options.version),
        options,
        hook,
        keys: 0,
        told_keys: 0,
        told_bytes: 0,
    };
    save.header()?;
    for (number, db) in keyspace.iter().enumerate().filter(|(_, db)| !db.is_empty()) {
        save.writer.u8(opcode::SELECTDB)?;
        save.writer.length(number as u64)?;
        save.writer.u8(opcode::RESIZEDB)?;
        save.writer.length(db.len() as u64)?;
        save.writer.length(db.expires_len() as u64)?;
        for entry in Lookahead::new(db.iter()) {
            save.entry(entry)?;
        }
    }
    save.finish()
}

struct Save<'a, 'w> {
    writer: Writer<'w>,
    encoder: Encoder,
    options: &'a SaveOptions<'a>,
    hook: &'a mut dyn SaveHook,
    keys: u64,
    /// What the hook was last told.
    told_keys: u64,
    told_bytes: u64,
}

impl Save<'_, '_> {
    fn header(&mut self) -> io::Result<()> {
        let options = self.options;
        let number = options.version.number();
        let (magic, zeros): (&[u8], &[u8]) = match options.version {
            Version::Valkey80 => (VALKEY_MAGIC, b"0"),
            _ => (MAGIC, b"00"),
        };
        self.writer.raw(magic)?;
        self.writer.raw(zeros)?;
        self.writer.raw(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8])?;
        self.aux(b"redis-ver", options.redis_ver.as_bytes())?;
        self.aux_int(b"redis-bits", 64)?;
        self.aux_int(b"ctime", options.ctime_s)?;
        self.aux_int(b"used-mem", i64::try_from(options.used_memory_bytes).unwrap_or(i64::MAX))?;
        if let Some(repl) = &options.repl {
            self.aux_int(b"repl-stream-db", repl.stream_db)?;
            self.aux(b"repl-id", repl.replid.as_bytes())?;
            self.aux_int(b"repl-offset", repl.offset)?;
        }
        if options.version == Version::V9 {
            return self.aux_int(b"aof-preamble", i64::from(options.aof_base));
        }
        self.aux_int(b"aof-base", i64::from(options.aof_base))?;
        for code in options.functions {
            self.writer.u8(opcode::FUNCTION)?;
            self.writer.string(code)?;
        }
        Ok(())
    }

    fn aux(&mut self, name: &[u8], value: &[u8]) -> io::Result<()> {
        self.writer.u8(opcode::AUX)?;
        self.writer.string(name)?;
        self.writer.string(value)
    }

    fn aux_int(&mut self, name: &[u8], value: i64) -> io::Result<()> {
        self.aux(name, itoa::Buffer::new().format(value).as_bytes())
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if let Some(expire_ms) = entry.expire_ms() {
            self.writer.u8(opcode::EXPIRETIME_MS)?;
            self.writer.raw(&expire_ms.to_le_bytes())?;
        }
        if let Some(access) = self.options.access {
            self.access(access, entry.clock())?;
        }
        let value = entry.value();
        self.encoder.pair(&mut self.writer, entry.key(), value)?;
        offer_release(value, self.hook);
        self.hook.saved_key()?;
        self.keys += 1;
        let bytes = self.writer.offset();
        if self.keys - self.told_keys >= PROGRESS_KEYS || bytes - self.told_bytes >= PROGRESS_BYTES
        {
            (self.told_keys, self.told_bytes) = (self.keys, bytes);
            self.hook.progress(self.keys, bytes)?;
        }
        Ok(())
    }

    fn access(&mut self, access: Access, clock: u32) -> io::Result<()> {
        match access {
            Access::Lru { now } => {
                self.writer.u8(opcode::IDLE)?;
                self.writer.length(u64::from(now.wrapping_sub(clock) & 0xff_ffff))
            }
            Access::Lfu { now_minutes, decay_time_min } => {
                let counter = lfu::decayed(clock, now_minutes, decay_time_min);
                self.writer.raw(&[opcode::FREQ, counter])
            }
        }
    }

    fn finish(mut self) -> io::Result<SaveReport> {
        self.writer.u8(opcode::EOF)?;
        let crc = self.writer.crc();
        self.writer.raw(&crc.to_le_bytes())?;
        self.writer.flush()?;
        let report = SaveReport { keys: self.keys, bytes: self.writer.offset() };
        self.hook.progress(report.keys, report.bytes)?;
        Ok(report)
    }
}

/// Offers the large blocks of a value that was written for release.
pub fn offer_release(value: ValueRef<'_>, hook: &mut dyn SaveHook) {
    encode::for_each_block(value, |block| {
        if block.len() >= RELEASE_MIN_BYTES {
            hook.release(block);
        }
    });
}
