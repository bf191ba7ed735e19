//! Owns reading of values: every type byte that Redis 2.8 to 8.2 and Valkey 9 write becomes a value of
//! the store. Packed forms that the store has too are adopted as checked copies; older ones are
//! converted. Knows no keys.

use bytes::Bytes;
use store::hash::Hash;
use store::intset::Intset;
use store::limits::Limits;
use store::list::ListBuilder;
use store::listpack::{Listpack, classify};
use store::set::Set;
use store::str::Str;
use store::value::{Item, ItemBuf, Value};
use store::zset::ZSet;

use super::format::{Dialect, container, kind, module_type, string};
use super::primitive::{
    Length, STRING_VALUE, binary_double, bytes, bytes_into, encoded_string, length,
    length_or_encoding, listpack_reason, text_double, time_ms,
};
use super::stream;
use super::ziplist::Ziplist;
use super::zipmap::Zipmap;
use crate::error::{RdbError, Reason};
use crate::source::Source;

/// A string value from here on is read into an allocation of its own, not through the buffer.
const OWN_BYTES: u64 = 32 * 1024;

/// Buffers that are reused from one value to the next.
#[derive(Default)]
pub struct Scratch {
    a: Vec<u8>,
    b: Vec<u8>,
    ends: Vec<usize>,
}

/// Memory kept between values; what a large one made of it is given back.
const SCRATCH_MAX: usize = 1 << 20;

impl Scratch {
    fn trim(&mut self) {
        for buf in [&mut self.a, &mut self.b] {
            if buf.capacity() > SCRATCH_MAX {
                *buf = Vec::new();
            }
        }
    }
}

/// What was read.
pub enum Loaded<'a> {
    /// A string, lent until the next read.
    Str(Item<'a>),
    Value(Value),
    /// A collection without elements: no key of a keyspace has one.
    Empty,
}

/// Whether a type byte announces a value, be it one that is refused later.
pub fn is_value_type(code: u8, dialect: Dialect) -> bool {
    let last = match dialect {
        Dialect::Redis => kind::HASH_LISTPACK_EX,
        Dialect::Valkey => kind::VALKEY_HASH_2,
    };
    code <= kind::MODULE_2 || (kind::HASH_ZIPMAP..=last).contains(&code)
}

/// Reads the value behind a type byte.
pub fn load_value<'a>(
    source: &'a mut Source<'_>,
    (code, dialect): (u8, Dialect),
    scratch: &'a mut Scratch,
    limits: &Limits,
) -> Result<Loaded<'a>, RdbError> {
    scratch.trim();
    if code == kind::STRING {
        return load_string(source, &mut scratch.a);
    }
    let value = match code {
        kind::LIST => plain_list(source, scratch, limits)?,
        kind::SET => plain_set(source, scratch, limits)?,
        kind::HASH => plain_hash(source, scratch, limits)?,
        kind::ZSET => plain_zset(source, scratch, limits, text_double)?,
        kind::ZSET_2 => plain_zset(source, scratch, limits, binary_double)?,
        kind::LIST_QUICKLIST => quicklist(source, scratch, limits)?,
        kind::LIST_QUICKLIST_2 => quicklist_2(source, scratch, limits)?,
        kind::MODULE | kind::MODULE_2 => {
            let at = source.offset();
            let (name, version) = module_type(length(source, "a module type's id")?);
            return Err(RdbError::new(at, Reason::ModuleValue { name, version }));
        }
        code if stream::is_stream(code) => {
            Some(Value::Stream(Box::new(stream::read(source, code)?)))
        }
        kind::VALKEY_HASH_2 if dialect == Dialect::Valkey => {
            expiring_hash(source, scratch, limits, ExpiryForm::Behind)?
        }
        kind::HASH_METADATA_PRE_GA => expiring_hash(source, scratch, limits, ExpiryForm::Absolute)?,
        kind::HASH_METADATA => {
            let soonest_ms = time_ms(source, SOONEST)?;
            expiring_hash(source, scratch, limits, ExpiryForm::From(soonest_ms))?
        }
        kind::HASH_LISTPACK_EX_PRE_GA => expiring_listpack(source, scratch, limits)?,
        kind::HASH_LISTPACK_EX => {
            // What it is, the listpack says.
            time_ms(source, SOONEST)?;
            expiring_listpack(source, scratch, limits)?
        }
        code => packed(source, code, scratch, limits)?,
    };
    Ok(value.map_or(Loaded::Empty, Loaded::Value))
}

fn load_string<'a>(
    source: &'a mut Source<'_>,
    scratch: &'a mut Vec<u8>,
) -> Result<Loaded<'a>, RdbError> {
    const WHAT: &str = STRING_VALUE;
    match length_or_encoding(source, WHAT)? {
        Length::Plain(n) if n < OWN_BYTES => {
            Ok(Loaded::Str(Item::Bytes(source.take(n as usize, WHAT)?)))
        }
        Length::Plain(n) => {
            let mut text = Vec::new();
            source.append(n, &mut text, WHAT)?;
            Ok(Loaded::Value(shared(text)))
        }
        Length::Encoded(string::LZF) => {
            encoded_string(source, string::LZF, scratch, WHAT)?;
            if scratch.len() as u64 >= OWN_BYTES {
                return Ok(Loaded::Value(shared(std::mem::take(scratch))));
            }
            Ok(Loaded::Str(Item::Bytes(scratch)))
        }
        Length::Encoded(code) => Ok(Loaded::Str(encoded_string(source, code, scratch, WHAT)?)),
    }
}

/// A large string in the form that replies take without a copy.
fn shared(text: Vec<u8>) -> Value {
    Value::Str(Str::shared(Bytes::from(text.into_boxed_slice())))
}

/// A collection of one element a string; `Ok(None)` for an empty one.
type Built = Result<Option<Value>, RdbError>;

fn plain_list(source: &mut Source<'_>, scratch: &mut Scratch, limits: &Limits) -> Built {
    const ELEMENT: &str = "a list's element";
    let count = length(source, "a list's length")?;
    let mut list = ListBuilder::new();
    for _ in 0..count {
        list.push(bytes(source, &mut scratch.a, ELEMENT)?, limits);
    }
    Ok((count > 0).then(|| Value::List(list.finish(limits))))
}

fn plain_set(source: &mut Source<'_>, scratch: &mut Scratch, limits: &Limits) -> Built {
    const MEMBER: &str = "a set's member";
    let count = length(source, "a set's size")?;
    if count == 0 {
        return Ok(None);
    }
    if count <= limits.set_max_listpack_entries as u64 {
        return small_set(source, count, scratch, limits);
    }
    let room = source.plausible_count(count);
    let first = bytes(source, &mut scratch.a, MEMBER)?;
    let mut set = Set::for_members(first, room, limits);
    set.add(first, limits);
    for _ in 1..count {
        let at = source.offset();
        if !set.add(bytes(source, &mut scratch.a, MEMBER)?, limits) {
            return Err(RdbError::new(at, Reason::Invalid(SET_TWICE)));
        }
    }
    Ok(Some(Value::Set(set)))
}

const SET_TWICE: &str = "a set has a member twice";

/// A set that may become a listpack: its members are gathered first, and packed in one go.
fn small_set(source: &mut Source<'_>, count: u64, scratch: &mut Scratch, limits: &Limits) -> Built {
    let at = source.offset();
    let Scratch { a, b: arena, ends } = scratch;
    arena.clear();
    ends.clear();
    for _ in 0..count {
        arena.extend_from_slice(bytes(source, a, "a set's member")?);
        ends.push(arena.len());
    }
    let mut from = 0;
    let members = ends.iter().map(|end| &arena[std::mem::replace(&mut from, *end)..*end]);
    let members: Vec<Item<'_>> = members.map(classify).collect();
    let longest = |item: &Item<'_>| matches!(item, Item::Bytes(text) if text.len() > limits.set_max_listpack_value);
    let all_ints = members.iter().all(|item| matches!(item, Item::Int(_)));
    let set = if all_ints || members.iter().any(longest) {
        let mut set = Set::new();
        let distinct = members.iter().all(|member| set.add_item(*member, limits));
        distinct.then_some(set).ok_or(SET_TWICE)
    } else {
        let mut entries = Listpack::new();
        entries.push_back_items(&members);
        Set::from_listpack(entries, limits)
    };
    let set = set.map_err(|why| RdbError::new(at, Reason::Invalid(why)))?;
    Ok(Some(Value::Set(set)))
}

fn plain_hash(source: &mut Source<'_>, scratch: &mut Scratch, limits: &Limits) -> Built {
    let count = length(source, "a hash's size")?;
    if count == 0 {
        return Ok(None);
    }
    let mut hash = Hash::new();
    hash.expect(source.plausible_count(count), limits);
    let Scratch { a, b, .. } = scratch;
    for _ in 0..count {
        let at = source.offset();
        bytes_into(source, a, "a hash's field")?;
        if !hash.set(a, bytes(source, b, "a hash's value")?, limits) {
            return Err(RdbError::new(at, Reason::Invalid("a hash has a field twice")));
        }
    }
    Ok(Some(Value::Hash(hash)))
}

const SOONEST: &str = "a hash's soonest expiry";
const EXPIRY: &str = "a field's expiry";

/// How a file says when a field expires.
#[derive(Clone, Copy)]
enum ExpiryForm {
    /// Before the field, as a length, 0 for none.
    Absolute,
    /// The same, counted from this moment on, which is 1.
    From(i64),
    /// Behind the value, in eight bytes, -1 for none.
    Behind,
}

impl ExpiryForm {
    /// What stands before a field.
    fn before(self, source: &mut Source<'_>) -> Result<Option<i64>, RdbError> {
        let base_ms = match self {
            ExpiryForm::Behind => return Ok(None),
            ExpiryForm::Absolute => Some(0),
            ExpiryForm::From(soonest_ms) => soonest_ms.checked_sub(1),
        };
        let at = source.offset();
        let number = length(source, EXPIRY)?;
        if number == 0 {
            return Ok(None);
        }
        let expire_ms = base_ms.and_then(|base_ms| base_ms.checked_add_unsigned(number));
        let expire_ms = expire_ms.filter(|expire_ms| *expire_ms >= 0);
        let bad = || RdbError::new(at, Reason::BadLength { what: EXPIRY, length: number });
        expire_ms.ok_or_else(bad).map(Some)
    }

    /// What stands behind a value.
    fn behind(self, source: &mut Source<'_>) -> Result<Option<i64>, RdbError> {
        match self {
            ExpiryForm::Behind => Ok(Some(time_ms(source, EXPIRY)?).filter(|ms| *ms != -1)),
            _ => Ok(None),
        }
    }
}

fn expiring_hash(
    source: &mut Source<'_>,
    scratch: &mut Scratch,
    limits: &Limits,
    form: ExpiryForm,
) -> Built {
    let count = length(source, "a hash's size")?;
    if count == 0 {
        return Ok(None);
    }
    let mut hash = Hash::new();
    hash.expect(source.plausible_count(count), limits);
    let Scratch { a, b, .. } = scratch;
    for _ in 0..count {
        let at = source.offset();
        let before = form.before(source)?;
        bytes_into(source, a, "a hash's field")?;
        bytes_into(source, b, "a hash's value")?;
        let expire_ms = before.or(form.behind(source)?);
        if !hash.set_with(a, b, expire_ms.into(), limits) {
            return Err(RdbError::new(at, Reason::Invalid("a hash has a field twice")));
        }
    }
    Ok(Some(Value::Hash(hash)))
}

fn expiring_listpack(source: &mut Source<'_>, scratch: &mut Scratch, limits: &Limits) -> Built {
    let at = source.offset();
    let blob = bytes(source, &mut scratch.a, "a packed value")?;
    let hash = checked_listpack(blob).and_then(|entries| match entries.is_empty() {
        true => Ok(None),
        false => {
            let hash = Hash::from_expiring_listpack(entries, limits).map_err(Reason::Invalid)?;
            Ok(Some(Value::Hash(hash)))
        }
    });
    hash.map_err(|reason| RdbError::new(at, reason))
}

fn plain_zset(
    source: &mut Source<'_>,
    scratch: &mut Scratch,
    limits: &Limits,
    score: fn(&mut Source<'_>, &'static str) -> Result<f64, RdbError>,
) -> Built {
    let count = length(source, "a sorted set's size")?;
    if count == 0 {
        return Ok(None);
    }
    let mut zset = ZSet::new();
    zset.expect(source.plausible_count(count), limits);
    for _ in 0..count {
        let at = source.offset();
        bytes_into(source, &mut scratch.a, "a sorted set's member")?;
        let score = score(source, "a sorted set's score")?;
        if score.is_nan() {
            return Err(RdbError::new(at, Reason::Invalid("a score that is not a number")));
        }
        if zset.insert(&scratch.a, score, limits).is_some() {
            return Err(RdbError::new(at, Reason::Invalid("a sorted set has a member twice")));
        }
    }
    Ok(Some(Value::ZSet(zset)))
}

/// Nodes that are ziplists.
fn quicklist(source: &mut Source<'_>, scratch: &mut Scratch, limits: &Limits) -> Built {
    let mut list = ListBuilder::new();
    let mut any = false;
    for _ in 0..length(source, "a list's node count")? {
        let at = source.offset();
        let node = bytes(source, &mut scratch.a, "a list's node")?;
        let node = listpack_of_ziplist(node).map_err(|reason| RdbError::new(at, reason))?;
        any |= !node.is_empty();
        list.push_packed(node);
    }
    Ok(any.then(|| Value::List(list.finish(limits))))
}

/// Nodes that are listpacks, or single elements.
fn quicklist_2(source: &mut Source<'_>, scratch: &mut Scratch, limits: &Limits) -> Built {
    let mut list = ListBuilder::new();
    let mut any = false;
    for _ in 0..length(source, "a list's node count")? {
        let at = source.offset();
        match length(source, "a list node's container")? {
            container::PLAIN => {
                let element = bytes(source, &mut scratch.a, "a list's plain node")?;
                if element.is_empty() {
                    return Err(RdbError::new(at, Reason::Invalid("a list node of no bytes")));
                }
                list.push_plain(element);
                any = true;
            }
            container::PACKED => {
                let node = bytes(source, &mut scratch.a, "a list's node")?;
                let node = checked_listpack(node).map_err(|reason| RdbError::new(at, reason))?;
                any |= !node.is_empty();
                list.push_packed(node);
            }
            _ => {
                return Err(RdbError::new(
                    at,
                    Reason::Invalid("an unknown container of a list node"),
                ));
            }
        }
    }
    Ok(any.then(|| Value::List(list.finish(limits))))
}

/// A collection in one string.
fn packed(source: &mut Source<'_>, code: u8, scratch: &mut Scratch, limits: &Limits) -> Built {
    let at = source.offset();
    let blob = bytes(source, &mut scratch.a, "a packed value")?;
    let value = match code {
        kind::HASH_ZIPMAP => listpack_of_zipmap(blob).and_then(|(entries, longest)| {
            let mut limits = limits.clone();
            if longest > limits.hash_max_listpack_value {
                limits.hash_max_listpack_entries = 0;
            }
            hash_of_listpack(entries, &limits)
        }),
        kind::HASH_ZIPLIST => {
            listpack_of_ziplist(blob).and_then(|entries| hash_of_listpack(entries, limits))
        }
        kind::HASH_LISTPACK => {
            checked_listpack(blob).and_then(|entries| hash_of_listpack(entries, limits))
        }
        kind::LIST_ZIPLIST => list_of_ziplist(blob, limits),
        kind::SET_INTSET => set_of_intset(blob, limits),
        kind::SET_LISTPACK => checked_listpack(blob).and_then(|entries| {
            if entries.is_empty() {
                return Ok(None);
            }
            Ok(Some(Value::Set(Set::from_listpack(entries, limits).map_err(Reason::Invalid)?)))
        }),
        kind::ZSET_ZIPLIST => {
            listpack_of_ziplist(blob).and_then(|entries| zset_of_listpack(entries, limits))
        }
        kind::ZSET_LISTPACK => {
            checked_listpack(blob).and_then(|entries| zset_of_listpack(entries, limits))
        }
        code => Err(Reason::UnknownType(code)),
    };
    value.map_err(|reason| RdbError::new(at, reason))
}

fn checked_listpack(blob: &[u8]) -> Result<Listpack, Reason> {
    Listpack::from_bytes(blob).map_err(listpack_reason)
}

fn hash_of_listpack(entries: Listpack, limits: &Limits) -> Result<Option<Value>, Reason> {
    if entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(Value::Hash(Hash::from_listpack(entries, limits).map_err(Reason::Invalid)?)))
}

fn zset_of_listpack(entries: Listpack, limits: &Limits) -> Result<Option<Value>, Reason> {
    if entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(Value::ZSet(ZSet::from_listpack(entries, limits).map_err(Reason::Invalid)?)))
}

fn set_of_intset(blob: &[u8], limits: &Limits) -> Result<Option<Value>, Reason> {
    let ints = Intset::from_bytes(blob).map_err(|e| Reason::Malformed {
        what: "intset",
        at: e.offset,
        why: e.reason,
    })?;
    Ok((!ints.is_empty()).then(|| Value::Set(Set::from_intset(ints, limits))))
}

fn list_of_ziplist(blob: &[u8], limits: &Limits) -> Result<Option<Value>, Reason> {
    let mut list = ListBuilder::new();
    let mut any = false;
    let mut buf = ItemBuf::new();
    for item in Ziplist::new(blob)? {
        list.push(item?.as_bytes(&mut buf), limits);
        any = true;
    }
    Ok(any.then(|| Value::List(list.finish(limits))))
}

fn listpack_of_ziplist(blob: &[u8]) -> Result<Listpack, Reason> {
    let mut entries = Listpack::new();
    for item in Ziplist::new(blob)? {
        push(&mut entries, item?)?;
    }
    Ok(entries)
}

/// With the length of the longest field or value, by which this form is converted, too.
fn listpack_of_zipmap(blob: &[u8]) -> Result<(Listpack, usize), Reason> {
    let mut entries = Listpack::new();
    let mut longest = 0;
    for pair in Zipmap::new(blob)? {
        let (field, value) = pair?;
        longest = longest.max(field.len()).max(value.len());
        push(&mut entries, Item::Bytes(field))?;
        push(&mut entries, Item::Bytes(value))?;
    }
    Ok((entries, longest))
}

fn push(entries: &mut Listpack, item: Item<'_>) -> Result<(), Reason> {
    let size = match item {
        Item::Int(_) => size_of::<i64>(),
        Item::Bytes(text) => text.len(),
    };
    if !entries.is_safe_to_add(size + 16) {
        return Err(Reason::BadLength {
            what: "a packed value",
            length: entries.byte_len() as u64,
        });
    }
    match item {
        Item::Int(_) => entries.push_back_items(&[item]),
        // Not as it is: a number that was kept as text must become one.
        Item::Bytes(text) => entries.push_back(text),
    }
    Ok(())
}
