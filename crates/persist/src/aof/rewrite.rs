//! Owns the AOF form of a whole keyspace: the commands that make it anew. Used for a base without
//! an RDB preamble, and for single keys. Allocates its buffers and nothing a key, since a forked child runs it.

use std::io::{self, Write};

use store::entry::Entry;
use store::hash::Hash;
use store::keyspace::Keyspace;
use store::stream::{Group, Stream, StreamId};
use store::value::{Item, ItemBuf, ValueRef};

use crate::lookahead::Lookahead;
use crate::rdb::{SaveHook, SaveReport, offer_release};
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
            w.entry(entry)?;
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

/// The commands that make one key, where there is none of its name.
pub fn commands_of(entry: &Entry) -> Vec<u8> {
    let mut commands = Vec::new();
    let mut w =
        CommandWriter { sink: Sink::with_buffer(&mut commands, false, 4096), buf: ItemBuf::new() };
    w.entry(entry).and_then(|()| w.sink.flush()).expect("writing to memory does not fail");
    drop(w);
    commands
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

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
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
                self.field_expiries(key, hash)?;
            }
            ValueRef::ZSet(zset) => {
                self.batches(b"ZADD", key, zset.len(), 2, zset.iter(), |w, (member, score)| {
                    w.bulk(protocol::format_f64(score).as_bytes())?;
                    w.item(member)
                })?;
            }
            ValueRef::Stream(stream) => self.stream(key, stream)?,
        }
        if let Some(expire_ms) = entry.expire_ms() {
            let at = itoa::Buffer::new().format(expire_ms).to_owned();
            self.command(&[b"PEXPIREAT", key, at.as_bytes()])?;
        }
        Ok(())
    }

    fn field_expiries(&mut self, key: &[u8], hash: &Hash) -> io::Result<()> {
        if hash.soonest_expire_ms().is_none() {
            return Ok(());
        }
        for field in hash.fields() {
            let Some(expire_ms) = field.expire_ms else { continue };
            let at = itoa::Buffer::new().format(expire_ms).to_owned();
            self.head(b'*', 6)?;
            for word in [b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", b"1"] {
                self.bulk(word)?;
            }
            self.item(field.name)?;
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

    fn stream(&mut self, key: &[u8], stream: &Stream) -> io::Result<()> {
        for entry in stream.range(StreamId::MIN, StreamId::MAX) {
            self.head(b'*', 3 + 2 * entry.fields_len())?;
            self.bulk(b"XADD")?;
            self.bulk(key)?;
            self.bulk(entry.id.text().as_bytes())?;
            for (name, value) in entry.fields() {
                self.item(name)?;
                self.item(value)?;
            }
        }
        if stream.is_empty() {
            // An entry that is trimmed away at once leaves an empty stream behind.
            self.command(&[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"])?;
        }
        self.command(&[
            b"XSETID",
            key,
            stream.last_id().text().as_bytes(),
            b"ENTRIESADDED",
            itoa::Buffer::new().format(stream.entries_added).as_bytes(),
            b"MAXDELETEDID",
            stream.max_deleted_id.text().as_bytes(),
        ])?;
        stream.groups.iter().try_for_each(|(name, group)| self.group(key, name, group))
    }

    fn group(&mut self, key: &[u8], name: &[u8], group: &Group) -> io::Result<()> {
        self.command(&[
            b"XGROUP",
            b"CREATE",
            key,
            name,
            group.last_id.text().as_bytes(),
            b"ENTRIESREAD",
            itoa::Buffer::new().format(group.entries_read.unwrap_or(-1)).as_bytes(),
        ])?;
        for (consumer_key, consumer) in group.consumers() {
            if consumer.pending_len() == 0 {
                self.command(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()])?;
            }
            for (id, ()) in group.pending_of(consumer_key, StreamId::MIN) {
                let Some(pending) = group.pending().get(id) else { continue };
                self.command(&[
                    b"XCLAIM",
                    key,
                    name,
                    consumer.name(),
                    b"0",
                    id.text().as_bytes(),
                    b"TIME",
                    itoa::Buffer::new().format(pending.delivery_ms).as_bytes(),
                    b"RETRYCOUNT",
                    itoa::Buffer::new().format(pending.deliveries).as_bytes(),
                    b"JUSTID",
                    b"FORCE",
                ])?;
            }
        }
        Ok(())
    }
}
