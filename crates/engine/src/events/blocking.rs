//! Owns blocked clients: what each waits for, since when, and who is next when a key is ready.
//!
//! A client that blocks on keys keeps its command. When one of its keys is written, the command
//! runs again through the ordinary door; if it still finds nothing, it blocks on, and keeps its
//! place in the queue. So a blocking command has no second implementation.

use std::collections::{BTreeSet, HashMap, VecDeque};

use protocol::{OwnedArgs, ReplyBuf};
use store::Type;

use crate::command::Found;
use crate::ids::ClientId;
use crate::world::World;

pub(crate) type DbKey = (usize, Box<[u8]>);

/// What a blocked client waits for.
#[derive(Debug)]
pub enum Waiting {
    /// One of these keys to hold a value of this type.
    Keys { keys: Vec<Box<[u8]>>, of: Type },
    /// Acknowledgements of the stream up to an offset.
    Acks(AckWait),
    /// The end of a CLIENT PAUSE.
    Pause,
    /// The end of the process, or of the attempt.
    Shutdown,
}

impl Waiting {
    /// Whether the client waits for the server and not for data: nobody can anticipate that.
    pub fn is_for_server(&self) -> bool {
        matches!(self, Waiting::Pause | Waiting::Shutdown)
    }
}

/// What WAIT and WAITAOF wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckWait {
    /// Everything that the client has written.
    pub offset: u64,
    pub replicas: u32,
    /// `None` is WAIT. With WAITAOF replicas count that have it on disk, and so do as many files of
    /// our own: 0 or 1.
    pub local: Option<u32>,
}

impl AckWait {
    /// Whether there is as much as was asked for.
    pub(crate) fn is_over(&self, world: &dyn World) -> bool {
        let (local, replicas) = self.count(world);
        replicas >= self.replicas && local >= self.local.unwrap_or(0)
    }

    /// Our own file will never be on disk: it was turned off meanwhile.
    pub(crate) fn is_vain(&self, world: &dyn World) -> bool {
        self.local.is_some_and(|local| local > 0) && world.fsynced_offset().is_none()
    }

    pub(crate) fn reply(&self, out: &mut ReplyBuf, world: &dyn World) {
        let (local, replicas) = self.count(world);
        if self.local.is_some() {
            out.array(2);
            out.int(local.into());
        }
        out.int(replicas.into());
    }

    fn count(&self, world: &dyn World) -> (u32, u32) {
        let (acked, fsynced) = world.acked_replicas(self.offset);
        match self.local {
            None => (0, acked),
            Some(_) => {
                let here = world.fsynced_offset().is_some_and(|at| at >= self.offset);
                (here.into(), fsynced)
            }
        }
    }
}

/// What is answered when the time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    NullArray,
    Null,
    /// How many acknowledgements there were.
    AckCount,
}

#[derive(Debug)]
pub struct Blocked {
    pub waiting: Waiting,
    pub on_timeout: OnTimeout,
    /// Monotonic, 0 for never.
    pub deadline_us: u64,
    pub db: usize,
    /// The command to run again; the door fills it in after the handler asked to block.
    pub again: Option<(Found, OwnedArgs)>,
    /// What its runs so far took: it counts once, when the wait is over.
    pub ran_us: u64,
}

impl Blocked {
    /// Whether a key with a value of this type is one that the client waits for.
    pub(crate) fn waits_for(&self, present: Type) -> bool {
        matches!(self.waiting, Waiting::Keys { of, .. } if of == present)
    }
}

/// Everybody who is blocked, by key and by deadline.
#[derive(Debug, Default)]
pub struct BlockedClients {
    by_key: HashMap<DbKey, VecDeque<ClientId>>,
    deadlines: BTreeSet<(u64, ClientId)>,
    waiting_acks: Vec<ClientId>,
    paused: Vec<ClientId>,
    awaiting_end: Vec<ClientId>,
    /// Keys written since the last hand-out, in order, each once.
    ready: VecDeque<DbKey>,
    count: usize,
}

impl BlockedClients {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    pub fn add(&mut self, client: ClientId, blocked: &Blocked) {
        self.count += 1;
        if blocked.deadline_us != 0 {
            self.deadlines.insert((blocked.deadline_us, client));
        }
        match &blocked.waiting {
            Waiting::Keys { keys, .. } => {
                for key in keys {
                    let queue = self.by_key.entry((blocked.db, key.clone())).or_default();
                    // BLPOP may name a key twice.
                    if !queue.contains(&client) {
                        queue.push_back(client);
                    }
                }
            }
            Waiting::Acks(_) => self.waiting_acks.push(client),
            Waiting::Pause => self.paused.push(client),
            Waiting::Shutdown => self.awaiting_end.push(client),
        }
    }

    pub fn remove(&mut self, client: ClientId, blocked: &Blocked) {
        self.count -= 1;
        self.deadlines.remove(&(blocked.deadline_us, client));
        match &blocked.waiting {
            Waiting::Keys { keys, .. } => {
                for key in keys {
                    let db_key = (blocked.db, key.clone());
                    if let Some(queue) = self.by_key.get_mut(&db_key) {
                        queue.retain(|other| *other != client);
                        if queue.is_empty() {
                            self.by_key.remove(&db_key);
                        }
                    }
                }
            }
            Waiting::Acks(_) => self.waiting_acks.retain(|other| *other != client),
            Waiting::Pause => self.paused.retain(|other| *other != client),
            Waiting::Shutdown => self.awaiting_end.retain(|other| *other != client),
        }
    }

    /// A key was written: those who wait for it get their turn after the command.
    pub fn key_written(&mut self, db: usize, key: &[u8]) {
        if self.by_key.is_empty() {
            return;
        }
        let db_key = (db, Box::from(key));
        if self.by_key.contains_key(&db_key) && !self.ready.contains(&db_key) {
            self.ready.push_back(db_key);
        }
    }

    /// After SWAPDB and the like, any key of `db` may be there.
    pub fn db_replaced(&mut self, db: usize) {
        let keys: Vec<DbKey> = self.by_key.keys().filter(|key| key.0 == db).cloned().collect();
        for (db, key) in keys {
            self.key_written(db, &key);
        }
    }

    /// How many wait with a deadline.
    pub fn timeouts(&self) -> usize {
        self.deadlines.len()
    }

    pub fn next_ready(&mut self) -> Option<(DbKey, Vec<ClientId>)> {
        let db_key = self.ready.pop_front()?;
        let queue = self.by_key.get(&db_key).map(|q| q.iter().copied().collect());
        Some((db_key, queue.unwrap_or_default()))
    }

    /// The keys written by the command that runs, so that another one can end before it.
    pub(crate) fn set_ready_aside(&mut self) -> VecDeque<DbKey> {
        std::mem::take(&mut self.ready)
    }

    pub(crate) fn take_back_ready(&mut self, ready: VecDeque<DbKey>) {
        self.ready = ready;
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn waiting_acks(&self) -> &[ClientId] {
        &self.waiting_acks
    }

    pub fn paused(&self) -> &[ClientId] {
        &self.paused
    }

    pub fn awaiting_end(&self) -> &[ClientId] {
        &self.awaiting_end
    }

    pub fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_us, _)| *deadline_us)
    }

    /// A client whose time is up, if there is one.
    pub fn expired(&self, mono_us: u64) -> Option<ClientId> {
        let (deadline_us, client) = self.deadlines.first()?;
        (*deadline_us <= mono_us).then_some(*client)
    }
}
