//! Owns what is known of commands before they run: the keys of a batch are asked for at once, and each
//! command is handed the hash that this took.

use protocol::Args;
use store::Key;

use crate::Engine;
use crate::ids::ClientId;
use crate::world::{Now, World};

/// Commands whose keys are asked for at once: about as many misses as a core keeps in flight.
pub const PREFETCH_BATCH: usize = 16;
/// Below this the tables and entries are in the cache anyhow.
const PREFETCH_FROM_KEYS: usize = 10_000;

/// The first argument of each command of a batch, hashed, in the commands' order. It borrows the
/// arguments, so that it cannot outlive the bytes that it speaks of.
#[derive(Default)]
pub struct KeysAhead<'a>(Option<Batch<'a>>);

#[derive(Default)]
struct Batch<'a> {
    keys: [Option<Key<'a>>; PREFETCH_BATCH],
    next: usize,
}

impl<'a> KeysAhead<'a> {
    /// What is known of the command that comes next.
    #[inline]
    pub fn next_key(&mut self) -> Option<Key<'a>> {
        let batch = self.0.as_mut()?;
        let key = batch.keys.get(batch.next).copied().flatten();
        batch.next += 1;
        key
    }
}

/// The argument whose hash is known while its command runs. The command borrows it: a slice of the same
/// address and length is the same bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct HashedArg {
    /// 0 for none: nothing lies there.
    at: usize,
    len: usize,
    hash: u64,
}

impl HashedArg {
    fn of(key: Option<Key<'_>>) -> HashedArg {
        let of_key = |key: Key<'_>| HashedArg {
            at: key.bytes.as_ptr().addr(),
            len: key.bytes.len(),
            hash: key.hash,
        };
        key.map_or(HashedArg::default(), of_key)
    }
}

impl Engine {
    /// Asks the memory for the keys of commands that are about to run, so that their cache misses
    /// overlap. Only a hint: the key is taken to be the first argument, which it nearly always is.
    pub fn prefetch<'a>(
        &self,
        id: ClientId,
        batch: impl Iterator<Item = Args<'a>>,
    ) -> KeysAhead<'a> {
        let Some(client) = self.client(id) else { return KeysAhead::default() };
        let db = self.keyspace.db(client.db);
        if db.len() < PREFETCH_FROM_KEYS {
            return KeysAhead::default();
        }
        let mut ahead = Batch::default();
        for (place, args) in ahead.keys.iter_mut().zip(batch) {
            let Some(key) = args.get(1) else { continue };
            let key = self.keyspace.key(key);
            db.prefetch_bucket(key);
            *place = Some(key);
        }
        for key in ahead.keys.iter().copied().flatten() {
            db.prefetch_entry(key);
        }
        KeysAhead(Some(ahead))
    }

    /// [`execute`](Engine::execute) of a command of which a key may be known already.
    pub fn execute_hashed(
        &mut self,
        now: Now,
        world: &mut dyn World,
        id: ClientId,
        args: Args<'_>,
        key: Option<Key<'_>>,
    ) {
        // Only as long as `key` is borrowed: afterwards other bytes may stand there.
        self.hashed_arg = HashedArg::of(key);
        self.execute(now, world, id, args);
        self.hashed_arg = HashedArg::default();
    }

    /// Hashes a key, unless that was done before its command ran.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        let known = &self.hashed_arg;
        if known.at == bytes.as_ptr().addr() && known.len == bytes.len() {
            return Key { bytes, hash: known.hash };
        }
        self.keyspace.key(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::client::{Kind, Peer};
    use crate::settings::Settings;

    fn engine_with_keys() -> (Engine, ClientId) {
        let mut engine = Engine::new(Settings::default(), 7);
        for n in 0..PREFETCH_FROM_KEYS {
            engine.keyspace.db_mut(0).set(&format!("key:{n}").into_bytes(), b"v", None);
        }
        let id = engine.connect(Now::default(), Kind::Normal, Peer::default());
        (engine, id)
    }

    /// The hash was computed for the prefetch, and again by the command.
    #[test]
    fn the_hash_of_the_prefetch_is_kept_for_its_command() {
        let (mut engine, id) = engine_with_keys();
        let (set, ping) = ([&b"SET"[..], b"key:5", b"w"], [&b"PING"[..]]);
        let commands = [&set[..], &ping, &set].map(Args::new);
        let mut ahead = engine.prefetch(id, commands.into_iter());
        let first = ahead.next_key().unwrap();
        assert_eq!((first.bytes, first.hash), (set[1], engine.keyspace.key(b"key:5").hash));
        assert!(ahead.next_key().is_none(), "PING has none, and takes nobody else's");
        assert_eq!(ahead.next_key().unwrap().hash, first.hash);
        assert!(ahead.next_key().is_none());
        engine.hashed_arg = HashedArg::of(Some(Key { hash: !first.hash, ..first }));
        assert_eq!(engine.key(set[1]).hash, !first.hash, "taken, not computed");
        assert_eq!(engine.key(&set[1][..4]).hash, engine.keyspace.key(b"key:").hash);
        let elsewhere = set[1].to_vec();
        assert_eq!(engine.key(&elsewhere).hash, first.hash);
    }
}
