//! Owns the walk over a stream's serialized form: it finds the end, checks what must hold, which is
//! at least all that Redis checks (one that loads our bytes would end itself otherwise), and can
//! write the form of an older version. Keeps no stream: the store holds the bytes as they are.

use std::collections::HashSet;

use store::listpack::Listpack;
use store::stream::{StreamId, check_node};
use store::value::Opaque;

use super::format::kind;
use super::primitive::{bytes, length, listpack_reason, time_ms};
use crate::error::{RdbError, Reason};
use crate::source::Source;

/// Bytes of a stream id: milliseconds and sequence, big-endian so that they sort.
const ID_BYTES: usize = 16;

/// Where the parts of a stream begin and end, for those who rewrite it. Nothing by default.
trait Visitor {
    fn node(&mut self, _id: StreamId, _node: &Listpack) {}

    /// `range` holds a part that older versions do not have; `since` is the first type that does.
    fn newer_part(&mut self, _since: u8, _from: u64, _to: u64) {}
}

struct Ignore;

impl Visitor for Ignore {}

/// Shows the nodes to a function.
struct Nodes<'f>(&'f mut dyn FnMut(StreamId, &Listpack));

impl Visitor for Nodes<'_> {
    fn node(&mut self, id: StreamId, node: &Listpack) {
        (self.0)(id, node);
    }
}

/// The parts that only types after `target` have, in the order they come.
struct Cuts {
    target: u8,
    ranges: Vec<(u64, u64)>,
}

impl Visitor for Cuts {
    fn newer_part(&mut self, since: u8, from: u64, to: u64) {
        if since > self.target {
            self.ranges.push((from, to));
        }
    }
}

/// Whether this is a stream's type byte.
pub fn is_stream(type_byte: u8) -> bool {
    matches!(
        type_byte,
        kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3
    )
}

/// Consumes one stream, checking its structure.
pub fn walk(source: &mut Source<'_>, type_byte: u8) -> Result<(), RdbError> {
    visit(source, type_byte, &mut Ignore)
}

/// Passes the nodes of a stream, each with its id, to `f`: what a digest of its entries reads.
pub fn for_each_node(stream: &Opaque, f: &mut dyn FnMut(StreamId, &Listpack)) {
    let mut rest = &*stream.payload;
    let mut source = Source::new(&mut rest, Some(stream.payload.len() as u64));
    // What is in memory was walked when it came in, so an error cannot happen here; if it did,
    // the nodes before it would be all there is to show.
    let _ = visit(&mut source, stream.rdb_type, &mut Nodes(f));
}

/// The stream `payload` of `type_byte` in the form of the older type `target`: consumers lose
/// their active time before type 21, groups and the stream their counters before type 19.
pub fn downgrade(payload: &[u8], type_byte: u8, target: u8) -> Result<Vec<u8>, RdbError> {
    let mut rest = payload;
    let mut source = Source::new(&mut rest, Some(payload.len() as u64));
    let mut cuts = Cuts { target, ranges: Vec::new() };
    visit(&mut source, type_byte, &mut cuts)?;
    let mut out = Vec::with_capacity(payload.len());
    let mut kept_from = 0;
    for (from, to) in cuts.ranges {
        out.extend_from_slice(&payload[kept_from..from as usize]);
        kept_from = to as usize;
    }
    out.extend_from_slice(&payload[kept_from..]);
    Ok(out)
}

fn visit(
    source: &mut Source<'_>,
    type_byte: u8,
    visitor: &mut dyn Visitor,
) -> Result<(), RdbError> {
    let mut scratch = Vec::new();
    let (mut last_node, mut entries) = (None, 0u64);
    for _ in 0..length(source, "a stream's node count")? {
        let (id, live) = node(source, visitor, &mut scratch)?;
        entries = entries.saturating_add(live);
        if last_node >= Some(id) {
            return Err(source.error(Reason::Invalid("stream nodes that are not in order")));
        }
        last_node = Some(id);
    }
    if length(source, "a stream's length")? != entries {
        return Err(source.error(Reason::Invalid("a stream of another length than its nodes")));
    }
    id_lengths(source, "a stream's last id")?;
    if type_byte >= kind::STREAM_LISTPACKS_2 {
        let from = source.offset();
        id_lengths(source, "a stream's first id")?;
        id_lengths(source, "a stream's highest deleted id")?;
        length(source, "a stream's count of added entries")?;
        visitor.newer_part(kind::STREAM_LISTPACKS_2, from, source.offset());
    }
    let mut names = HashSet::new();
    for _ in 0..length(source, "a stream's group count")? {
        let name = bytes(source, &mut scratch, "a consumer group's name")?;
        if !names.insert(Box::<[u8]>::from(name)) {
            return Err(source.error(Reason::Invalid("a consumer group that is there twice")));
        }
        id_lengths(source, "a consumer group's last id")?;
        if type_byte >= kind::STREAM_LISTPACKS_2 {
            let from = source.offset();
            length(source, "a consumer group's read counter")?;
            visitor.newer_part(kind::STREAM_LISTPACKS_2, from, source.offset());
        }
        group(source, type_byte, visitor, &mut scratch)?;
    }
    Ok(())
}

/// The node's id, and how many entries are in it.
fn node(
    source: &mut Source<'_>,
    visitor: &mut dyn Visitor,
    scratch: &mut Vec<u8>,
) -> Result<(StreamId, u64), RdbError> {
    let Ok(id) = <[u8; ID_BYTES]>::try_from(bytes(source, scratch, "a stream node's id")?) else {
        return Err(source.error(Reason::Invalid("a stream node whose id is not 16 bytes")));
    };
    let id = u128::from_be_bytes(id);
    let id = StreamId { ms: (id >> 64) as u64, seq: id as u64 };
    let at = source.offset();
    let node = bytes(source, scratch, "a stream node")?;
    match Listpack::from_bytes(node) {
        Ok(node) if !node.is_empty() => {
            let live = check_node(&node).map_err(|why| RdbError::new(at, Reason::Invalid(why)))?;
            visitor.node(id, &node);
            Ok((id, live))
        }
        Ok(_) => Err(RdbError::new(at, Reason::Invalid("an empty stream node"))),
        Err(e) => Err(RdbError::new(at, listpack_reason(e))),
    }
}

/// An id as two lengths.
fn id_lengths(source: &mut Source<'_>, what: &'static str) -> Result<(), RdbError> {
    length(source, what)?;
    length(source, what)?;
    Ok(())
}

fn group(
    source: &mut Source<'_>,
    type_byte: u8,
    visitor: &mut dyn Visitor,
    scratch: &mut Vec<u8>,
) -> Result<(), RdbError> {
    const PENDING: &str = "a consumer group's pending entries";
    let invalid = |source: &Source<'_>, why| Err(source.error(Reason::Invalid(why)));
    let mut pending = Vec::new();
    let count = length(source, PENDING)?;
    let _ = pending.try_reserve(source.plausible_count(count).min(1 << 16));
    for _ in 0..count {
        let id: [u8; ID_BYTES] = source.array(PENDING)?;
        time_ms(source, PENDING)?;
        length(source, PENDING)?;
        if pending.try_reserve(1).is_err() {
            return Err(source.error(Reason::OutOfMemory));
        }
        pending.push((id, false));
    }
    pending.sort_unstable();
    if pending.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return invalid(source, "a pending entry that is there twice");
    }
    let mut names = HashSet::new();
    for _ in 0..length(source, "a consumer group's consumers")? {
        let name = bytes(source, scratch, "a consumer's name")?;
        if !names.insert(Box::<[u8]>::from(name)) {
            return invalid(source, "a consumer that is there twice");
        }
        time_ms(source, "a consumer's seen time")?;
        if type_byte >= kind::STREAM_LISTPACKS_3 {
            let from = source.offset();
            time_ms(source, "a consumer's active time")?;
            visitor.newer_part(kind::STREAM_LISTPACKS_3, from, source.offset());
        }
        for _ in 0..length(source, "a consumer's pending entries")? {
            let id: [u8; ID_BYTES] = source.array("a consumer's pending entries")?;
            match pending.binary_search_by(|(pending, _)| pending.cmp(&id)) {
                Ok(at) if !std::mem::replace(&mut pending[at].1, true) => {}
                Ok(_) => return invalid(source, "a pending entry that consumers have twice"),
                Err(_) => {
                    return invalid(
                        source,
                        "a consumer's pending entry that its group does not have",
                    );
                }
            }
        }
    }
    match pending.iter().all(|(_, has_consumer)| *has_consumer) {
        true => Ok(()),
        false => invalid(source, "a pending entry that no consumer has"),
    }
}
