//! Owns how each value is written for each version: the type byte and the body. Packed values go
//! out as the bytes they are; for Redis 5 and 6 they become ziplists. Knows no file frame.

use std::io;

use store::hash::Hash;
use store::list::{List, NodeRef};
use store::listpack::Listpack;
use store::set::Set;
use store::value::{Item, ValueRef};
use store::zset::ZSet;

use super::format::{container, kind};
use super::save::Version;
use super::stream;
use super::writer::Writer;
use super::ziplist::ZiplistWriter;

/// A ziplist cannot hold an element from about here on; such a list goes out element by element.
const ZIPLIST_MAX_ELEMENT: usize = 1 << 30;

/// Writes values in the form of one version.
pub struct Encoder {
    version: Version,
    /// Ziplists are put together here.
    ziplist: Vec<u8>,
}

impl Encoder {
    pub fn new(version: Version) -> Encoder {
        Encoder { version, ziplist: Vec::new() }
    }

    /// Type byte, key, value: what stands for a key in a file.
    #[inline]
    pub fn pair(&mut self, w: &mut Writer<'_>, key: &[u8], value: ValueRef<'_>) -> io::Result<()> {
        w.u8(self.type_byte(value))?;
        w.string(key)?;
        self.body(w, value)
    }

    /// The type byte that `body` will fit.
    #[inline]
    pub fn type_byte(&self, value: ValueRef<'_>) -> u8 {
        let v9 = self.version == Version::V9;
        match value {
            ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::SharedStr(_) => kind::STRING,
            ValueRef::List(list) if v9 && has_huge_element(list) => kind::LIST,
            ValueRef::List(_) if v9 => kind::LIST_QUICKLIST,
            ValueRef::List(_) => kind::LIST_QUICKLIST_2,
            ValueRef::Set(set) => self.set_type(set),
            ValueRef::Hash(hash) if hash.soonest_expire_ms().is_some() => self.expiring_type(hash),
            ValueRef::Hash(hash) => match hash.as_listpack() {
                Some(_) if v9 => kind::HASH_ZIPLIST,
                Some(_) => kind::HASH_LISTPACK,
                None => kind::HASH,
            },
            ValueRef::ZSet(zset) => match zset.as_listpack() {
                Some(_) if v9 => kind::ZSET_ZIPLIST,
                Some(_) => kind::ZSET_LISTPACK,
                None => kind::ZSET_2,
            },
            ValueRef::Stream(_) => self.stream_type(),
        }
    }

    fn set_type(&self, set: &Set) -> u8 {
        if set.as_intset().is_some() {
            kind::SET_INTSET
        } else if self.version >= Version::V11 && set.as_listpack().is_some() {
            kind::SET_LISTPACK
        } else {
            kind::SET
        }
    }

    fn expiring_type(&self, hash: &Hash) -> u8 {
        match hash.as_expiring_listpack() {
            _ if self.version == Version::Valkey80 => kind::VALKEY_HASH_2,
            Some(_) => kind::HASH_LISTPACK_EX,
            None => kind::HASH_METADATA,
        }
    }

    fn stream_type(&self) -> u8 {
        match self.version {
            Version::V9 => kind::STREAM_LISTPACKS,
            Version::V10 => kind::STREAM_LISTPACKS_2,
            Version::V11 | Version::V12 | Version::Valkey80 => kind::STREAM_LISTPACKS_3,
        }
    }

    /// The value without its type byte.
    #[inline]
    pub fn body(&mut self, w: &mut Writer<'_>, value: ValueRef<'_>) -> io::Result<()> {
        match value {
            ValueRef::Int(n) => w.int(n),
            ValueRef::Str(text) => w.string(text),
            ValueRef::SharedStr(text) => w.string(text),
            ValueRef::List(list) => self.list(w, list),
            ValueRef::Set(set) => self.set(w, set),
            ValueRef::Hash(hash) => self.hash(w, hash),
            ValueRef::ZSet(zset) => self.zset(w, zset),
            ValueRef::Stream(stream) => stream::write(w, stream, self.stream_type()),
        }
    }

    fn list(&mut self, w: &mut Writer<'_>, list: &List) -> io::Result<()> {
        if self.version == Version::V9 && has_huge_element(list) {
            w.length(list.len() as u64)?;
            return list.iter().try_for_each(|element| item(w, element));
        }
        w.length(list.nodes_len() as u64)?;
        for node in list.nodes() {
            match (self.version, node) {
                (Version::V9, NodeRef::Packed(entries)) => self.as_ziplist(w, entries)?,
                (Version::V9, NodeRef::Plain(text)) => {
                    let mut ziplist = ZiplistWriter::new(&mut self.ziplist);
                    ziplist.push(Item::Bytes(text));
                    w.string(ziplist.finish())?;
                }
                (_, NodeRef::Packed(entries)) => {
                    w.length(container::PACKED)?;
                    w.string(entries.as_bytes())?;
                }
                (_, NodeRef::Plain(text)) => {
                    w.length(container::PLAIN)?;
                    w.string(text)?;
                }
            }
        }
        Ok(())
    }

    fn set(&self, w: &mut Writer<'_>, set: &Set) -> io::Result<()> {
        if let Some(ints) = set.as_intset() {
            return w.string(ints.as_bytes());
        }
        if let Some(entries) = set.as_listpack().filter(|_| self.version >= Version::V11) {
            return w.string(entries.as_bytes());
        }
        w.length(set.len() as u64)?;
        set.iter().try_for_each(|member| item(w, member))
    }

    fn hash(&mut self, w: &mut Writer<'_>, hash: &Hash) -> io::Result<()> {
        if let Some(entries) = hash.as_listpack() {
            return self.packed(w, entries);
        }
        match hash.soonest_expire_ms() {
            Some(_) if self.version == Version::Valkey80 => return hash_for_valkey(w, hash),
            Some(soonest_ms) => return expiring_hash(w, hash, soonest_ms),
            None => {}
        }
        w.length(hash.len() as u64)?;
        hash.iter().try_for_each(|(field, value)| {
            item(w, field)?;
            item(w, value)
        })
    }

    fn zset(&mut self, w: &mut Writer<'_>, zset: &ZSet) -> io::Result<()> {
        if let Some(entries) = zset.as_listpack() {
            return self.packed(w, entries);
        }
        w.length(zset.len() as u64)?;
        // From the highest down: a reader's inserts all go to the head of its skiplist.
        zset.iter().rev().try_for_each(|(member, score)| {
            item(w, member)?;
            w.binary_double(score)
        })
    }

    fn packed(&mut self, w: &mut Writer<'_>, entries: &Listpack) -> io::Result<()> {
        match self.version {
            Version::V9 => self.as_ziplist(w, entries),
            _ => w.string(entries.as_bytes()),
        }
    }

    fn as_ziplist(&mut self, w: &mut Writer<'_>, entries: &Listpack) -> io::Result<()> {
        let mut ziplist = ZiplistWriter::new(&mut self.ziplist);
        entries.iter().for_each(|element| ziplist.push(element));
        w.string(ziplist.finish())
    }
}

/// A hash with fields that expire, as Valkey 9 has it.
fn hash_for_valkey(w: &mut Writer<'_>, hash: &Hash) -> io::Result<()> {
    w.length(hash.len() as u64)?;
    hash.fields().try_for_each(|field| {
        item(w, field.name)?;
        item(w, field.value)?;
        w.raw(&field.expire_ms.unwrap_or(-1).to_le_bytes())
    })
}

/// The same as Redis 7.4 has it.
fn expiring_hash(w: &mut Writer<'_>, hash: &Hash, soonest_ms: i64) -> io::Result<()> {
    w.raw(&soonest_ms.to_le_bytes())?;
    if let Some(entries) = hash.as_expiring_listpack() {
        return w.string(entries.as_bytes());
    }
    w.length(hash.len() as u64)?;
    hash.fields().try_for_each(|field| {
        // Counted from the soonest, which is 1: 0 is none.
        w.length(field.expire_ms.map_or(0, |ms| ms.abs_diff(soonest_ms) + 1))?;
        item(w, field.name)?;
        item(w, field.value)
    })
}

#[inline]
fn item(w: &mut Writer<'_>, item: Item<'_>) -> io::Result<()> {
    match item {
        Item::Int(n) => w.int(n),
        Item::Bytes(text) => w.string(text),
    }
}

fn has_huge_element(list: &List) -> bool {
    list.nodes().any(|node| match node {
        NodeRef::Plain(text) => text.len() >= ZIPLIST_MAX_ELEMENT,
        NodeRef::Packed(entries) => entries.byte_len() >= ZIPLIST_MAX_ELEMENT,
    })
}

/// Shows the large blocks that a value is kept in, as far as they are in one piece.
pub fn for_each_block(value: ValueRef<'_>, mut f: impl FnMut(&[u8])) {
    match value {
        ValueRef::Str(text) => f(text),
        ValueRef::SharedStr(text) => f(text),
        ValueRef::List(list) => list.nodes().for_each(|node| match node {
            NodeRef::Packed(entries) => f(entries.as_bytes()),
            NodeRef::Plain(text) => f(text),
        }),
        ValueRef::Set(set) => {
            if let Some(ints) = set.as_intset() {
                f(ints.as_bytes());
            }
        }
        ValueRef::Stream(stream) => stream.nodes().for_each(|(_, node)| f(node.as_bytes())),
        ValueRef::Int(_) | ValueRef::Hash(_) | ValueRef::ZSet(_) => {}
    }
}
