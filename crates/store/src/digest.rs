//! The digests of DEBUG DIGEST and DEBUG DIGEST-VALUE, equal to Redis's for equal data. Owns the
//! scheme; must not decide which keys count as expired.
//!
//! Unordered things (keys, members, fields) are XORed in, ordered ones mixed: the digest so far is
//! hashed again with each.

use sha1::{Digest, Sha1};

use crate::hash::FieldRef;
use crate::keyspace::Keyspace;
pub use crate::score::Spelling;
use crate::stream::{Entry, StreamId};
use crate::value::{Item, ItemBuf, ValueRef};

/// A SHA-1, or several combined.
pub type Hash20 = [u8; 20];

/// Mixed in where a key has an expiry; not its time, which replicas may round.
const EXPIRE_MARK: &[u8] = b"!!expire!!";
/// The same for a field.
const FIELD_EXPIRE_MARK: &[u8] = b"!!hexpire!!";

/// The digest of one value, as DEBUG DIGEST-VALUE gives it.
pub fn of_value(value: ValueRef<'_>, has_expire: bool, spelling: Spelling) -> Hash20 {
    let mut digest = Hash20::default();
    add_value(&mut digest, value, has_expire, spelling);
    digest
}

/// The digest of all databases, as DEBUG DIGEST gives it. Keys that have expired but are still
/// there count, as in Redis.
pub fn of_keyspace(keyspace: &Keyspace, spelling: Spelling) -> Hash20 {
    let mut digest = DatasetDigest::new(spelling);
    for (index, db) in (0..).zip(keyspace.iter()) {
        if !db.is_empty() {
            digest.start_db(index);
        }
        for entry in db.iter() {
            digest.add_key(entry.key(), entry.value(), entry.expire_ms().is_some());
        }
    }
    digest.finish()
}

/// The digest of a whole data set that comes key by key.
///
/// Call order: for each database that is not empty, in ascending order, `start_db`, then `add_key`
/// for each of its keys in any order.
#[derive(Clone, Debug)]
pub struct DatasetDigest {
    digest: Hash20,
    spelling: Spelling,
}

impl DatasetDigest {
    pub fn new(spelling: Spelling) -> Self {
        DatasetDigest { digest: Hash20::default(), spelling }
    }

    pub fn start_db(&mut self, index: u32) {
        mix(&mut self.digest, &index.to_be_bytes());
    }

    pub fn add_key(&mut self, key: &[u8], value: ValueRef<'_>, has_expire: bool) {
        let mut digest = Hash20::default();
        mix(&mut digest, key);
        add_value(&mut digest, value, has_expire, self.spelling);
        xor(&mut self.digest, &digest);
    }

    pub fn finish(self) -> Hash20 {
        self.digest
    }
}

fn xor(digest: &mut Hash20, data: &[u8]) {
    let hash = Sha1::digest(data);
    digest.iter_mut().zip(hash).for_each(|(byte, with)| *byte ^= with);
}

fn mix(digest: &mut Hash20, data: &[u8]) {
    xor(digest, data);
    *digest = Sha1::digest(*digest).into();
}

fn mix_item(digest: &mut Hash20, item: Item<'_>) {
    mix(digest, item.as_bytes(&mut ItemBuf::new()));
}

fn add_value(digest: &mut Hash20, value: ValueRef<'_>, has_expire: bool, spelling: Spelling) {
    mix(digest, &(value.value_type() as u32).to_be_bytes());
    match value {
        ValueRef::Int(n) => mix_item(digest, Item::Int(n)),
        ValueRef::Str(text) => mix(digest, text),
        ValueRef::SharedStr(text) => mix(digest, text),
        ValueRef::List(list) => list.iter().for_each(|item| mix_item(digest, item)),
        ValueRef::Set(set) => {
            set.iter().for_each(|member| xor(digest, member.as_bytes(&mut ItemBuf::new())));
        }
        ValueRef::Hash(hash) => {
            for FieldRef { name, value, expire_ms } in hash.fields() {
                let mut pair = Hash20::default();
                mix_item(&mut pair, name);
                mix_item(&mut pair, value);
                if expire_ms.is_some() {
                    xor(&mut pair, FIELD_EXPIRE_MARK);
                }
                xor(digest, &pair);
            }
        }
        ValueRef::ZSet(zset) => {
            for (member, score) in zset.iter() {
                let mut pair = Hash20::default();
                mix_item(&mut pair, member);
                mix(&mut pair, spelling.spell(score).as_bytes());
                xor(digest, &pair);
            }
        }
        ValueRef::Stream(stream) => {
            let entries = stream.range(StreamId::MIN, StreamId::MAX);
            entries.for_each(|entry| mix_entry(digest, &entry));
        }
    }
    if has_expire {
        xor(digest, EXPIRE_MARK);
    }
}

fn mix_entry(digest: &mut Hash20, entry: &Entry<'_>) {
    // Here, unlike everywhere else, the parts of an id are joined by a dot.
    mix(digest, format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
    for (name, value) in entry.fields() {
        mix_item(digest, name);
        mix_item(digest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::list::{End, List};
    use crate::set::Set;
    use crate::zset::ZSet;
    use crate::{Entry, Hash, HashSeed, Value};

    fn hex(digest: Hash20) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn put(keyspace: &mut Keyspace, key: &[u8], value: Value) {
        keyspace.db_mut(0).insert_entry(Entry::new(key, value, None));
    }

    fn sample_keyspace() -> Keyspace {
        let limits = Limits::default();
        let mut keyspace = Keyspace::new(16, HashSeed::new(1, 2));
        keyspace.db_mut(0).set(&b"s"[..], &b"hello"[..], None);
        keyspace.db_mut(0).set(&b"n"[..], &b"12"[..], None);
        let mut list = List::new();
        list.extend(End::Tail, [&b"a"[..], b"1", b"b"].into_iter(), &limits);
        put(&mut keyspace, b"l", Value::List(list));
        let mut set = Set::new();
        for member in [b"1", b"2", b"x"] {
            set.add(member, &limits);
        }
        put(&mut keyspace, b"t", Value::Set(set));
        let mut hash = Hash::new();
        hash.set(b"f", b"v", &limits);
        hash.set(b"n", b"1", &limits);
        put(&mut keyspace, b"h", Value::Hash(hash));
        let mut zset = ZSet::new();
        for (member, score) in [(b"a", 1.5), (b"b", 0.1), (b"c", f64::INFINITY)] {
            zset.insert(member, score, &limits);
        }
        put(&mut keyspace, b"z", Value::ZSet(zset));
        keyspace.db_mut(3).set(&b"k"[..], &b"v"[..], Some(1));
        keyspace
    }

    /// What Redis 8.2.3 answers for the same hashes.
    #[test]
    fn that_a_field_expires_counts_and_when_does_not() {
        let mut hash = Hash::new();
        hash.set(b"a", b"1", &Limits::default());
        hash.set(b"b", b"2", &Limits::default());
        let digest = |hash: &Hash| hex(of_value(ValueRef::Hash(hash), false, Spelling::Digits17));
        assert_eq!(digest(&hash), "6c8f22b3bf510fdcfd6122dd0f908a80e88243bf");
        hash.set_expire_ms(b"a", Some(5_000_000_000_000));
        assert_eq!(digest(&hash), "c07db73128914a41e685572f9d83e5ec946f598d");
        hash.set_expire_ms(b"b", Some(7));
        assert_eq!(digest(&hash), "25d61037a58d4d381c5c2c91e18cd2bb915e5aff");
    }

    /// What redis-server 7.0.15 answers for the same data.
    #[test]
    fn digests_are_those_of_redis() {
        let keyspace = sample_keyspace();
        let of_key = |db: usize, key: &[u8]| {
            let entry = keyspace.db(db).get(key).unwrap();
            hex(of_value(entry.value(), entry.expire_ms().is_some(), Spelling::Digits17))
        };
        assert_eq!(of_key(0, b"s"), "36b23a1456b2dce2c3ed252c456761301dba8060");
        assert_eq!(of_key(0, b"n"), "655ac46b180ad2f61a3cee25f0b1780fa2ec879a");
        assert_eq!(of_key(0, b"l"), "d5f44352f6226abea9252dad248ef5de0d964396");
        assert_eq!(of_key(0, b"t"), "4c6eef6b7853d1b76391c849d71b0d35d3faf18f");
        assert_eq!(of_key(0, b"h"), "ad9a818d75d51dd3c55d5905f22259a91bbc4b14");
        assert_eq!(of_key(0, b"z"), "a4526d4fd52688104c1c1b82ef89e683260be375");
        assert_eq!(of_key(3, b"k"), "311b17018163335616e089f6b951c82c477335ac");
        let whole = of_keyspace(&keyspace, Spelling::Digits17);
        assert_eq!(hex(whole), "4349bbdeb0a1bd86fe8cf7f0feb02651d1e2e5f6");
        assert_ne!(of_keyspace(&keyspace, Spelling::Shortest), whole);
        assert_eq!(of_keyspace(&Keyspace::new(2, keyspace.seed()), Spelling::Digits17), [0; 20]);
    }
}
