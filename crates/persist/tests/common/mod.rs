//! What the tests of this crate share: a writer of RDB files that knows the documented format and
//! nothing of the crate's own, and a readable picture of a keyspace.

#![allow(dead_code)] // Each test binary uses its part.

use std::collections::{BTreeMap, BTreeSet};

use persist::crc::crc64;
use persist::error::RdbError;
use persist::rdb::{self, LoadOptions, LoadReport};
use persist::source::Source;
use store::HashSeed;
use store::keyspace::Keyspace;
use store::value::ValueRef;

/// A file put together piece by piece.
#[derive(Clone, Default)]
pub struct File {
    version: u32,
    bytes: Vec<u8>,
}

impl File {
    pub fn new(version: u32) -> File {
        File { version, bytes: format!("REDIS{version:04}").into_bytes() }
    }

    pub fn valkey() -> File {
        File { version: 80, bytes: b"VALKEY080".to_vec() }
    }

    pub fn raw(mut self, bytes: &[u8]) -> File {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn byte(self, byte: u8) -> File {
        self.raw(&[byte])
    }

    pub fn len(self, n: u64) -> File {
        self.raw(&length(n))
    }

    /// A string as it is, behind its length.
    pub fn str(self, text: &[u8]) -> File {
        self.len(text.len() as u64).raw(text)
    }

    /// Type byte and key.
    pub fn key(self, code: u8, key: &[u8]) -> File {
        self.byte(code).str(key)
    }

    pub fn select(self, db: u64) -> File {
        self.byte(254).len(db)
    }

    pub fn offset(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The end mark, and the checksum where the version has one.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(255);
        if self.version >= 5 {
            let crc = crc64(0, &self.bytes);
            self.bytes.extend_from_slice(&crc.to_le_bytes());
        }
        self.bytes
    }

    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

pub fn length(n: u64) -> Vec<u8> {
    match n {
        0..64 => vec![n as u8],
        64..16384 => vec![0x40 | (n >> 8) as u8, n as u8],
        _ if n <= u64::from(u32::MAX) => [&[0x80][..], &(n as u32).to_be_bytes()].concat(),
        _ => [&[0x81][..], &n.to_be_bytes()].concat(),
    }
}

/// A ziplist whose entries are given with their encoding but without the previous lengths.
pub fn ziplist(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut previous, mut tail) = (0usize, 10);
    for entry in entries {
        tail = 10 + body.len();
        let from = body.len();
        if previous < 254 {
            body.push(previous as u8);
        } else {
            body.push(254);
            body.extend_from_slice(&(previous as u32).to_le_bytes());
        }
        body.extend_from_slice(entry);
        previous = body.len() - from;
    }
    let mut out = (11 + body.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&(tail as u32).to_le_bytes());
    out.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    out.extend_from_slice(&body);
    out.push(255);
    out
}

/// A string entry of a ziplist, of 6, 14 or 32 bits of length as it needs.
pub fn zl(text: &[u8]) -> Vec<u8> {
    let n = text.len();
    let head = match n {
        0..64 => vec![n as u8],
        64..16384 => vec![0x40 | (n >> 8) as u8, n as u8],
        _ => [&[0x80][..], &(n as u32).to_be_bytes()].concat(),
    };
    [&head, text].concat()
}

/// A listpack of strings shorter than 64 bytes.
pub fn listpack(texts: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in texts {
        body.push(0x80 | text.len() as u8);
        body.extend_from_slice(text);
        body.push(text.len() as u8 + 1);
    }
    let mut out = (7 + body.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&(texts.len() as u16).to_le_bytes());
    out.extend_from_slice(&body);
    out.push(255);
    out
}

pub fn intset(width: u32, numbers: &[i64]) -> Vec<u8> {
    let mut out = width.to_le_bytes().to_vec();
    out.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    for n in numbers {
        out.extend_from_slice(&n.to_le_bytes()[..width as usize]);
    }
    out
}

/// A value that can be compared and printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    Str(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Some field expires.
    ExpiringHash(BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>),
    /// Scores as bits, so that they are compared exactly.
    ZSet(BTreeMap<Vec<u8>, u64>),
    /// All of it, in the newest form.
    Stream(Vec<u8>),
}

impl Model {
    pub fn of(value: ValueRef<'_>) -> Model {
        match value {
            ValueRef::Int(n) => Model::Str(n.to_string().into_bytes()),
            ValueRef::Str(text) => Model::Str(text.to_vec()),
            ValueRef::SharedStr(text) => Model::Str(text.to_vec()),
            ValueRef::List(list) => Model::List(list.iter().map(|item| item.to_vec()).collect()),
            ValueRef::Set(set) => Model::Set(set.iter().map(|item| item.to_vec()).collect()),
            ValueRef::Hash(hash) if hash.soonest_expire_ms().is_some() => {
                let fields = hash.fields();
                let owned = fields.map(|f| (f.name.to_vec(), (f.value.to_vec(), f.expire_ms)));
                Model::ExpiringHash(owned.collect())
            }
            ValueRef::Hash(hash) => {
                Model::Hash(hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect())
            }
            ValueRef::ZSet(zset) => {
                // A listpack keeps -0 as 0; Redis does not tell them apart either.
                let bits = |score: f64| if score == 0.0 { 0 } else { score.to_bits() };
                Model::ZSet(zset.iter().map(|(m, score)| (m.to_vec(), bits(score))).collect())
            }
            stream @ ValueRef::Stream(_) => {
                Model::Stream(rdb::dump_value(stream, rdb::Version::V11))
            }
        }
    }
}

/// Database and key, to expiry and value.
pub type Picture = BTreeMap<(usize, Vec<u8>), (Option<i64>, Model)>;

pub fn picture(keyspace: &Keyspace) -> Picture {
    let mut picture = Picture::new();
    for (number, db) in keyspace.iter().enumerate() {
        let mut volatile = 0;
        for entry in db.iter() {
            volatile += usize::from(entry.expire_ms().is_some());
            let value = (entry.expire_ms(), Model::of(entry.value()));
            let old = picture.insert((number, entry.key().to_vec()), value);
            assert!(old.is_none(), "no key twice");
            assert!(db.contains(entry.key()), "what is walked is found");
        }
        assert_eq!(volatile, db.expires_len());
    }
    picture
}

pub fn keyspace() -> Keyspace {
    Keyspace::new(16, HashSeed::new(3, 4))
}

pub fn load_with(bytes: &[u8], options: &LoadOptions) -> Result<(Keyspace, LoadReport), RdbError> {
    let mut rest = bytes;
    let mut keyspace = keyspace();
    let mut source = Source::new(&mut rest, Some(bytes.len() as u64));
    let report = rdb::load(&mut source, &mut keyspace, options, &mut ())?;
    Ok((keyspace, report))
}

pub fn load(bytes: &[u8]) -> Result<(Keyspace, LoadReport), RdbError> {
    load_with(bytes, &LoadOptions::default())
}

/// The one key `k` of database 0.
pub fn load_one(bytes: &[u8]) -> Model {
    let (keyspace, _) = load(bytes).unwrap_or_else(|e| panic!("{e}"));
    let entry = keyspace.db(0).get(b"k").expect("the key is there");
    Model::of(entry.value())
}
