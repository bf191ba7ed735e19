//! The value of a key: the six types, how they are lent out, and what they are called. Owns no
//! operation of a type; those are in the type's own file.

use bytes::Bytes;

use crate::hash::Hash;
use crate::list::List;
use crate::relocate::{Cursor, Mover, Relocate};
use crate::set::Set;
use crate::str::{self, Str};
use crate::stream::Stream;
use crate::zset::ZSet;

/// A value that owns itself. At most 24 bytes, so that it fits beside a key in one allocation.
#[derive(Debug)]
pub enum Value {
    Str(Str),
    List(List),
    Set(Set),
    Hash(Hash),
    ZSet(ZSet),
    Stream(Box<Stream>),
}

const _: () = assert!(size_of::<Value>() <= 24);

/// Large values are freed by another thread, and snapshots are loaded by one.
const _: fn() = || {
    fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<Value>();
};

/// A value lent for reading. Strings come in the three shapes an entry may keep them in.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    Int(i64),
    Str(&'a [u8]),
    SharedStr(&'a Bytes),
    List(&'a List),
    Set(&'a Set),
    Hash(&'a Hash),
    ZSet(&'a ZSet),
    Stream(&'a Stream),
}

/// A value lent for writing.
///
/// `Str` is a string with an allocation of its own; an entry that embeds its string lends
/// `EmbeddedStr`, since only the entry knows how to make it longer. `Hash` is not lent by this: the
/// index of its database follows the expiries of its fields, so it is lent by
/// [`EntryMut::into_hash`](crate::EntryMut::into_hash).
#[derive(Debug)]
pub enum ValueMut<'a> {
    EmbeddedStr,
    Str(&'a mut Str),
    List(&'a mut List),
    Set(&'a mut Set),
    Hash,
    ZSet(&'a mut ZSet),
    Stream(&'a mut Stream),
}

/// What TYPE answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Type {
    String = 0,
    List = 1,
    Set = 2,
    ZSet = 3,
    Hash = 4,
    Stream = 6,
}

impl Type {
    pub const fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::ZSet => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }
}

/// What OBJECT ENCODING answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    Int,
    Embstr,
    Raw,
    Listpack,
    /// With the expiries of fields.
    ListpackEx,
    Quicklist,
    Intset,
    Hashtable,
    Skiplist,
    Stream,
}

impl Encoding {
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Raw => "raw",
            Encoding::Listpack => "listpack",
            Encoding::ListpackEx => "listpackex",
            Encoding::Quicklist => "quicklist",
            Encoding::Intset => "intset",
            Encoding::Hashtable => "hashtable",
            Encoding::Skiplist => "skiplist",
            Encoding::Stream => "stream",
        }
    }
}

impl Relocate for Value {
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        match self {
            Value::Str(text) => {
                text.relocate(mover);
                0
            }
            Value::List(list) => list.relocate_from(cursor, mover),
            Value::Set(set) => set.relocate_from(cursor, mover),
            Value::Hash(hash) => hash.relocate_from(cursor, mover),
            Value::ZSet(zset) => zset.relocate_from(cursor, mover),
            Value::Stream(stream) => {
                if cursor == 0 {
                    mover.boxed(stream);
                }
                stream.relocate_from(cursor, mover)
            }
        }
    }
}

impl Value {
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Str(Str::Int(n)) => ValueRef::Int(*n),
            Value::Str(Str::Owned(bytes)) => ValueRef::Str(bytes),
            Value::Str(Str::Shared(bytes)) => ValueRef::SharedStr(bytes),
            Value::List(list) => ValueRef::List(list),
            Value::Set(set) => ValueRef::Set(set),
            Value::Hash(hash) => ValueRef::Hash(hash),
            Value::ZSet(zset) => ValueRef::ZSet(zset),
            Value::Stream(stream) => ValueRef::Stream(stream),
        }
    }

    pub fn as_mut(&mut self) -> ValueMut<'_> {
        match self {
            Value::Str(str) => ValueMut::Str(str),
            Value::List(list) => ValueMut::List(list),
            Value::Set(set) => ValueMut::Set(set),
            Value::Hash(_) => ValueMut::Hash,
            Value::ZSet(zset) => ValueMut::ZSet(zset),
            Value::Stream(stream) => ValueMut::Stream(stream),
        }
    }

    pub fn value_type(&self) -> Type {
        self.as_ref().value_type()
    }

    pub fn encoding(&self) -> Encoding {
        self.as_ref().encoding()
    }

    /// How many allocations freeing this costs, roughly: above some 64, free it off the main thread.
    pub fn free_effort(&self) -> usize {
        self.as_ref().free_effort()
    }
}

impl ValueRef<'_> {
    pub fn value_type(&self) -> Type {
        match self {
            ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::SharedStr(_) => Type::String,
            ValueRef::List(_) => Type::List,
            ValueRef::Set(_) => Type::Set,
            ValueRef::Hash(_) => Type::Hash,
            ValueRef::ZSet(_) => Type::ZSet,
            ValueRef::Stream(_) => Type::Stream,
        }
    }

    /// For a string, the encoding Redis would give it when it is set whole; an entry whose string
    /// was appended to answers `Raw` by itself.
    pub fn encoding(&self) -> Encoding {
        match self {
            ValueRef::Int(_) => Encoding::Int,
            ValueRef::Str(bytes) => str::encoding_of_len(bytes.len()),
            ValueRef::SharedStr(bytes) => str::encoding_of_len(bytes.len()),
            ValueRef::List(list) => list.encoding(),
            ValueRef::Set(set) => set.encoding(),
            ValueRef::Hash(hash) => hash.encoding(),
            ValueRef::ZSet(zset) => zset.encoding(),
            ValueRef::Stream(_) => Encoding::Stream,
        }
    }

    pub fn free_effort(&self) -> usize {
        match self {
            ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::SharedStr(_) => 1,
            ValueRef::List(list) => list.free_effort(),
            ValueRef::Set(set) => set.free_effort(),
            ValueRef::Hash(hash) => hash.free_effort(),
            ValueRef::ZSet(zset) => zset.free_effort(),
            ValueRef::Stream(stream) => stream.free_effort(),
        }
    }

    /// Bytes on the heap, estimated from `samples` elements of a collection (0: all of them). The
    /// entry adds its own.
    pub fn memory_usage(&self, samples: usize) -> usize {
        match self {
            ValueRef::Int(_) => 0,
            ValueRef::Str(bytes) => bytes.len(),
            ValueRef::SharedStr(bytes) => bytes.len() + size_of::<Bytes>(),
            ValueRef::List(list) => list.memory_usage(samples),
            ValueRef::Set(set) => set.memory_usage(samples),
            ValueRef::Hash(hash) => hash.memory_usage(samples),
            ValueRef::ZSet(zset) => zset.memory_usage(samples),
            ValueRef::Stream(stream) => stream.memory_usage(samples),
        }
    }
}

/// One element of a collection, as its encoding keeps it: integers are not formatted until someone
/// needs their text.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

/// Room for the text of an `Item::Int`.
pub type ItemBuf = itoa::Buffer;

impl<'a> Item<'a> {
    /// The element's bytes; `buf` holds them when it is an integer.
    pub fn as_bytes<'b>(&self, buf: &'b mut ItemBuf) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Item::Int(n) => buf.format(n).as_bytes(),
            Item::Bytes(bytes) => bytes,
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes(&mut ItemBuf::new()).to_vec()
    }

    pub fn eq_bytes(&self, other: &[u8]) -> bool {
        match *self {
            Item::Int(n) => str::parse_int(other) == Some(n),
            Item::Bytes(bytes) => bytes == other,
        }
    }

    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes(&mut ItemBuf::new()));
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Item::Int(a), Item::Int(b)) => a == b,
            (item, Item::Bytes(bytes)) | (Item::Bytes(bytes), item) => item.eq_bytes(bytes),
        }
    }
}

impl Eq for Item<'_> {}
