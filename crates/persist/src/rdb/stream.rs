//! Owns how a stream is written and read, in the three forms that Redis has had. What is read becomes
//! a stream of the store or is refused: nothing of it is taken on trust.

use std::io;

use store::listpack::Listpack;
use store::stream::{Group, GroupBuilder, ID_BYTES, Stream, StreamBuilder, StreamId};

use super::format::kind;
use super::primitive::{bytes, length, listpack_reason, time_ms};
use super::writer::Writer;
use crate::error::{RdbError, Reason};
use crate::source::Source;

/// A group's count of read entries, where it is not known.
const UNKNOWN_READS: u64 = u64::MAX;
/// The active time of a consumer that has never got anything.
const NEVER: i64 = -1;

/// Whether this is a stream's type byte.
pub fn is_stream(type_byte: u8) -> bool {
    matches!(
        type_byte,
        kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3
    )
}

/// Writes a stream in the form of `type_byte`. Before type 21 consumers have no active time, before
/// type 19 groups and the stream no counters.
pub fn write(w: &mut Writer<'_>, stream: &Stream, type_byte: u8) -> io::Result<()> {
    w.length(stream.nodes_len() as u64)?;
    for (id, node) in stream.nodes() {
        w.string(&id.to_bytes())?;
        w.string(node.as_bytes())?;
    }
    w.length(stream.len())?;
    write_id(w, stream.last_id())?;
    if type_byte >= kind::STREAM_LISTPACKS_2 {
        write_id(w, stream.first_id())?;
        write_id(w, stream.max_deleted_id)?;
        w.length(stream.entries_added)?;
    }
    w.length(stream.groups.len() as u64)?;
    for (name, group) in &stream.groups {
        w.string(name)?;
        write_group(w, group, type_byte)?;
    }
    Ok(())
}

fn write_group(w: &mut Writer<'_>, group: &Group, type_byte: u8) -> io::Result<()> {
    write_id(w, group.last_id)?;
    if type_byte >= kind::STREAM_LISTPACKS_2 {
        w.length(group.entries_read.map_or(UNKNOWN_READS, |read| read as u64))?;
    }
    w.length(group.pending().len() as u64)?;
    for (id, pending) in group.pending().iter() {
        w.raw(&id.to_bytes())?;
        w.raw(&pending.delivery_ms.to_le_bytes())?;
        w.length(pending.deliveries)?;
    }
    w.length(group.consumers_len() as u64)?;
    for (key, consumer) in group.consumers() {
        w.string(consumer.name())?;
        w.raw(&consumer.seen_ms.to_le_bytes())?;
        if type_byte >= kind::STREAM_LISTPACKS_3 {
            w.raw(&consumer.active_ms.unwrap_or(NEVER).to_le_bytes())?;
        }
        w.length(consumer.pending_len() as u64)?;
        for (id, ()) in group.pending_of(key, StreamId::MIN) {
            w.raw(&id.to_bytes())?;
        }
    }
    Ok(())
}

fn write_id(w: &mut Writer<'_>, id: StreamId) -> io::Result<()> {
    w.length(id.ms)?;
    w.length(id.seq)
}

/// Reads one stream.
pub fn read(source: &mut Source<'_>, type_byte: u8) -> Result<Stream, RdbError> {
    let mut scratch = Vec::new();
    let mut builder = StreamBuilder::new();
    for _ in 0..length(source, "a stream's node count")? {
        read_node(source, &mut builder, &mut scratch)?;
    }
    let len = length(source, "a stream's length")?;
    let last_id = read_id(source, "a stream's last id")?;
    let mut stream = builder.finish(len, last_id).map_err(|why| invalid(source, why))?;
    if type_byte >= kind::STREAM_LISTPACKS_2 {
        // What the first entry is, the nodes say.
        read_id(source, "a stream's first id")?;
        stream.max_deleted_id = read_id(source, "a stream's highest deleted id")?;
        stream.entries_added = length(source, "a stream's count of added entries")?;
    }
    for _ in 0..length(source, "a stream's group count")? {
        let name = Box::from(bytes(source, &mut scratch, "a consumer group's name")?);
        let mut group = read_group(source, type_byte, &mut scratch)?;
        if type_byte < kind::STREAM_LISTPACKS_2 {
            group.entries_read = stream.reads_up_to(group.last_id);
        }
        stream.add_group(name, group).map_err(|why| invalid(source, why))?;
    }
    Ok(stream)
}

fn invalid(source: &Source<'_>, why: &'static str) -> RdbError {
    source.error(Reason::Invalid(why))
}

fn read_node(
    source: &mut Source<'_>,
    builder: &mut StreamBuilder,
    scratch: &mut Vec<u8>,
) -> Result<(), RdbError> {
    let Ok(id) = <[u8; ID_BYTES]>::try_from(bytes(source, scratch, "a stream node's id")?) else {
        return Err(invalid(source, "a stream node whose id is not 16 bytes"));
    };
    let at = source.offset();
    let node = bytes(source, scratch, "a stream node")?;
    let node = Listpack::from_bytes(node).map_err(|e| RdbError::new(at, listpack_reason(e)))?;
    let added = builder.node(StreamId::from_bytes(id), node);
    added.map_err(|why| RdbError::new(at, Reason::Invalid(why)))
}

/// An id as two lengths.
fn read_id(source: &mut Source<'_>, what: &'static str) -> Result<StreamId, RdbError> {
    Ok(StreamId::new(length(source, what)?, length(source, what)?))
}

fn read_group(
    source: &mut Source<'_>,
    type_byte: u8,
    scratch: &mut Vec<u8>,
) -> Result<Group, RdbError> {
    const PENDING: &str = "a consumer group's pending entries";
    const OWNED: &str = "a consumer's pending entries";
    let last_id = read_id(source, "a consumer group's last id")?;
    let mut entries_read = None;
    if type_byte >= kind::STREAM_LISTPACKS_2 {
        let read = length(source, "a consumer group's read counter")?;
        entries_read = (read != UNKNOWN_READS).then_some(read as i64);
    }
    let mut builder = GroupBuilder::new(last_id, entries_read);
    for _ in 0..length(source, PENDING)? {
        let id = StreamId::from_bytes(source.array(PENDING)?);
        builder.pending(id, time_ms(source, PENDING)?, length(source, PENDING)?);
    }
    for _ in 0..length(source, "a consumer group's consumers")? {
        let name = Box::<[u8]>::from(bytes(source, scratch, "a consumer's name")?);
        let seen_ms = time_ms(source, "a consumer's seen time")?;
        let active_ms = match type_byte >= kind::STREAM_LISTPACKS_3 {
            true => time_ms(source, "a consumer's active time")?,
            false => seen_ms,
        };
        let active_ms = (active_ms != NEVER).then_some(active_ms);
        let key = builder.consumer(&name, seen_ms, active_ms);
        let key = key.map_err(|why| invalid(source, why))?;
        for _ in 0..length(source, OWNED)? {
            let id = StreamId::from_bytes(source.array(OWNED)?);
            builder.owned(key, id).map_err(|why| invalid(source, why))?;
        }
    }
    builder.finish().map_err(|why| invalid(source, why))
}
