//! Owns the AOF form of a whole keyspace: the commands that make it anew. Used for a base without
//! an RDB preamble. Allocates its buffers and nothing a key, since a forked child runs it.

use std::io::{self, Write};

use store::entry::Entry;
use store::keyspace::Keyspace;
use store::value::{Item, ItemBuf, Opaque, ValueRef};

use crate::lookahead::Lookahead;
use crate::rdb::{SaveHook, SaveReport, Version, dump_value, offer_release};
use crate::sink::Sink;

/// Elements that one command of a rewrite carries at most, as Redis has it.
const ITEMS_PER_COMMAND: usize = 64;
const PROGRESS_KEYS: u64 = 1024;

#[derive(Debug, Clone, Copy, Default)]
pub struct RewriteOptions<'a> {
    /// Seconds since 1970, with `aof-timestamp-enabled`.
    pub timestamp_s: Option<i64>,
    /// Function libraries' code.
    pub functions: &'a [Vec<u8>],
    /// Streams are written as RESTORE; this says who must understand the payload.
    pub version: Version,
}

/// Writes the commands that make `keyspace`, and flushes them.
pub fn rewrite(
    keyspace: &Keyspace,
    out: &mut dyn Write,
    options: &RewriteOptions<'_>,
    hook: &mut dyn SaveHook,
) -> io::Result<SaveReport> {
    let mut w = CommandWriter { sink: Sink::new(out), buf: ItemBuf::new() };
    if let Some(seconds) = options.timestamp_s {
        w.annotation(seconds)?;
    }
    for code in options.functions {
        w.command(&[b"FUNCTION", b"LOAD", code])?;
    }
    let mut keys = 0u64;
    for (number, db) in keyspace.iter().enumerate().filter(|(_, db)| !db.is_empty()) {
        w.command(&[b"SELECT", itoa::Buffer::new().format(number).as_bytes()])?;
        for entry in Lookahead::new(db.iter()) {
            w.entry(entry, options.version)?;
            offer_release(entry.value(), hook);
            hook.saved_key()?;
            keys += 1;
            if keys.is_multiple_of(PROGRESS_KEYS) {
                hook.progress(keys, w.sink.offset())?;
            }
        }
    }
    w.sink.flush()?;
    let report = SaveReport { keys, bytes: w.sink.offset() };
    hook.progress(report.keys, report.bytes)?;
    Ok(report)
}

/// The line that says when what follows was written.
pub fn timestamp_annotation(seconds: i64) -> Vec<u8> {
    format!("#TS:{seconds}\r\n").into_bytes()
}

struct CommandWriter<'w> {
    sink: Sink<'w>,
    buf: ItemBuf,
}

impl CommandWriter<'_> {
    fn annotation(&mut self, seconds: i64) -> io::Result<()> {
        self.sink.raw(b"#TS:")?;
        self.sink.raw(self.buf.format(seconds).as_bytes())?;
        self.sink.raw(b"\r\n")
    }

    fn head(&mut self, mark: u8, n: usize) -> io::Result<()> {
        self.sink.raw(&[mark])?;
        self.sink.raw(self.buf.format(n).as_bytes())?;
        self.sink.raw(b"\r\n")
    }

    fn bulk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.head(b'$', bytes.len())?;
        self.sink.raw(bytes)?;
        self.sink.raw(b"\r\n")
    }

    fn item(&mut self, item: Item<'_>) -> io::Result<()> {
        match item {
            Item::Bytes(bytes) => self.bulk(bytes),
            Item::Int(n) => self.bulk(itoa::Buffer::new().format(n).as_bytes()),
        }
    }

    fn command(&mut self, args: &[&[u8]]) -> io::Result<()> {
        self.head(b'*', args.len())?;
        args.iter().try_for_each(|arg| self.bulk(arg))
    }

    fn entry(&mut self, entry: &Entry, version: Version) -> io::Result<()> {
        let key = entry.key();
        match entry.value() {
            ValueRef::Int(n) => {
                self.command(&[b"SET", key, itoa::Buffer::new().format(n).as_bytes()])?;
            }
            ValueRef::Str(text) => self.command(&[b"SET", key, text])?,
            ValueRef::SharedStr(text) => self.command(&[b"SET", key, text])?,
            ValueRef::List(list) => {
                self.batches(b"RPUSH", key, list.len(), 1, list.iter(), Self::item)?;
            }
            ValueRef::Set(set) => {
                self.batches(b"SADD", key, set.len(), 1, set.iter(), Self::item)?;
            }
            ValueRef::Hash(hash) => {
                self.batches(b"HMSET", key, hash.len(), 2, hash.iter(), |w, (field, value)| {
                    w.item(field)?;
                    w.item(value)
                })?;
            }
            ValueRef::ZSet(zset) => {
                self.batches(b"ZADD", key, zset.len(), 2, zset.iter(), |w, (member, score)| {
                    w.bulk(protocol::format_f64(score).as_bytes())?;
                    w.item(member)
                })?;
            }
            ValueRef::Stream(stream) => self.stream(key, stream, version)?,
        }
        if let Some(expire_ms) = entry.expire_ms() {
            let at = itoa::Buffer::new().format(expire_ms).to_owned();
            self.command(&[b"PEXPIREAT", key, at.as_bytes()])?;
        }
        Ok(())
    }

    /// Commands of up to 64 elements each, an element being `words` arguments.
    fn batches<T>(
        &mut self,
        name: &[u8],
        key: &[u8],
        count: usize,
        words: usize,
        elements: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        for (i, element) in elements.enumerate() {
            if i % ITEMS_PER_COMMAND == 0 {
                let batch = ITEMS_PER_COMMAND.min(count - i);
                self.head(b'*', 2 + batch * words)?;
                self.bulk(name)?;
                self.bulk(key)?;
            }
            write(self, element)?;
        }
        Ok(())
    }

    fn stream(&mut self, key: &[u8], stream: &Opaque, version: Version) -> io::Result<()> {
        let payload = dump_value(ValueRef::Stream(stream), version);
        self.command(&[b"RESTORE", key, b"0", &payload])
    }
}
