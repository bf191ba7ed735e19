//! Owns blocked clients: what each waits for, since when, and who is next when a key is ready.
//!
//! A client that blocks on keys keeps its command. When one of its keys is written, the command
//! runs again through the ordinary door; if it still finds nothing, it blocks on, and keeps its
//! place in the queue. So a blocking command has no second implementation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{OwnedArgs, ReplyBuf};
use store::Type;

use crate::command::Found;
use crate::events::key_map::KeyMap;
use crate::events::roster::Roster;
use crate::ids::ClientId;
use crate::world::{AckWait, World};

pub(crate) type DbKey = (usize, Box<[u8]>);

/// What a blocked client waits for.
#[derive(Debug)]
pub enum Waiting {
    /// One of these keys to hold a value of this type; or, where `or_gone`, to hold it no more.
    Keys { keys: Vec<Box<[u8]>>, of: Type, or_gone: bool },
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

impl AckWait {
    /// Whether there is as much as was asked for.
    pub(crate) fn is_over(&self, world: &dyn World) -> bool {
        let (local, replicas) = self.count(world);
        replicas >= self.replicas && local >= self.local.unwrap_or(0)
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

/// A client that waits no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unblocked {
    pub id: ClientId,
    /// By what a write has brought: its reply may tell of that, and must not leave before the write may.
    pub by_write: bool,
}

#[derive(Debug)]
pub struct Blocked {
    pub waiting: Waiting,
    pub on_timeout: OnTimeout,
    /// Monotonic, 0 for never.
    pub deadline_us: u64,
    /// When its command is to run again although nothing was written; monotonic, 0 for never.
    pub retry_us: u64,
    pub db: usize,
    /// The command to run again; the door fills it in after the handler asked to block, unless that has.
    pub again: Option<(Found, OwnedArgs)>,
    /// What its runs so far took: it counts once, when the wait is over.
    pub ran_us: u64,
    /// The place in every queue it stands in: who blocks later has a higher one.
    pub ticket: u64,
}

impl Blocked {
    /// When the clock has something to do with it, 0 for never.
    fn alarm_us(&self) -> u64 {
        match (self.deadline_us, self.retry_us) {
            (0, one) | (one, 0) => one,
            (deadline_us, retry_us) => deadline_us.min(retry_us),
        }
    }

    /// Whether a key with a value of this type, or with none, is one that the client waits for.
    pub(crate) fn waits_for(&self, present: Option<Type>) -> bool {
        matches!(self.waiting, Waiting::Keys { of, or_gone, .. } if or_gone || present == Some(of))
    }

    /// Whether its time is up.
    pub(crate) fn is_over(&self, mono_us: u64) -> bool {
        self.deadline_us != 0 && self.deadline_us <= mono_us
    }

    fn waits_for_the_end(&self) -> bool {
        matches!(self.waiting, Waiting::Keys { or_gone: true, .. })
    }
}

/// Those who wait for one key.
#[derive(Debug, Default)]
struct Queue {
    waiting: Roster<u64, ClientId>,
    /// How many of them wait for the end of the value as well.
    or_gone: usize,
    /// Stands in the list of keys that were written.
    is_ready: bool,
}

/// Everybody who is blocked, by key and by deadline. Coming and going costs the same for the first and the
/// ten-thousandth.
#[derive(Debug, Default)]
pub struct BlockedClients {
    by_key: KeyMap<Queue>,
    deadlines: BTreeSet<(u64, ClientId)>,
    paused: BTreeMap<u64, ClientId>,
    awaiting_end: BTreeMap<u64, ClientId>,
    /// Keys written since the last hand-out, in order, each once.
    ready: VecDeque<DbKey>,
    count: usize,
    last_ticket: u64,
    /// How often somebody in a queue was looked at: what the tests of its cost count.
    pub looks: u64,
}

impl BlockedClients {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// Those of whose end somebody wants to hear.
    pub fn keys_or_gone(&self) -> usize {
        self.by_key.values().filter(|queue| queue.or_gone > 0).count()
    }

    pub fn add(&mut self, client: ClientId, blocked: &mut Blocked) {
        self.count += 1;
        self.last_ticket += 1;
        blocked.ticket = self.last_ticket;
        self.set_alarm(client, blocked.alarm_us());
        let or_gone = usize::from(blocked.waits_for_the_end());
        let list = match &blocked.waiting {
            Waiting::Keys { keys, .. } => {
                for key in keys {
                    let queue = self.by_key.entry(blocked.db, key);
                    // BLPOP may name a key twice.
                    if queue.waiting.insert(blocked.ticket, client) {
                        queue.or_gone += or_gone;
                    }
                }
                return;
            }
            // The gate knows who waits for what.
            Waiting::Acks(_) => return,
            Waiting::Pause => &mut self.paused,
            Waiting::Shutdown => &mut self.awaiting_end,
        };
        list.insert(blocked.ticket, client);
    }

    /// Its command has run again, and is to run once more then.
    pub fn retry_at(&mut self, client: ClientId, blocked: &mut Blocked, retry_us: u64) {
        self.deadlines.remove(&(blocked.alarm_us(), client));
        blocked.retry_us = retry_us;
        self.set_alarm(client, blocked.alarm_us());
    }

    fn set_alarm(&mut self, client: ClientId, alarm_us: u64) {
        if alarm_us != 0 {
            self.deadlines.insert((alarm_us, client));
        }
    }

    pub fn remove(&mut self, client: ClientId, blocked: &Blocked) {
        self.count -= 1;
        self.deadlines.remove(&(blocked.alarm_us(), client));
        let or_gone = usize::from(blocked.waits_for_the_end());
        let list = match &blocked.waiting {
            Waiting::Keys { keys, .. } => {
                for key in keys {
                    let Some(queue) = self.by_key.get_mut(blocked.db, key) else { continue };
                    if queue.waiting.remove(blocked.ticket) {
                        queue.or_gone -= or_gone;
                    }
                    if queue.waiting.is_empty() {
                        self.by_key.remove(blocked.db, key);
                    }
                }
                return;
            }
            Waiting::Acks(_) => return,
            Waiting::Pause => &mut self.paused,
            Waiting::Shutdown => &mut self.awaiting_end,
        };
        list.remove(&blocked.ticket);
    }

    /// A key was written: those who wait for it get their turn after the command.
    #[inline]
    pub fn key_written(&mut self, db: usize, key: &[u8]) {
        if self.by_key.is_empty() {
            return;
        }
        if let Some(queue) = self.by_key.get_mut(db, key)
            && !queue.is_ready
        {
            queue.is_ready = true;
            self.ready.push_back((db, key.into()));
        }
    }

    /// After SWAPDB and the like, any key of `db` may be there.
    pub fn db_replaced(&mut self, db: usize) {
        self.by_key.retain(Some(db), |_, key, queue| {
            if !std::mem::replace(&mut queue.is_ready, true) {
                self.ready.push_back((db, key.into()));
            }
            true
        });
    }

    /// How many wait with a deadline.
    pub fn timeouts(&self) -> usize {
        self.deadlines.len()
    }

    /// A key that was written, and the last ticket of those who wait for it now.
    pub fn next_ready(&mut self) -> Option<(DbKey, u64)> {
        let (db, key) = self.ready.pop_front()?;
        let queue = self.by_key.get_mut(db, &key);
        let last = queue.and_then(|queue| {
            queue.is_ready = false;
            queue.waiting.last_key()
        });
        Some(((db, key), last.unwrap_or(0)))
    }

    /// Whether anybody waits for a key to hold its value no more.
    pub fn awaits_end_of(&self, (db, key): &DbKey) -> bool {
        self.by_key.get(*db, key).is_some_and(|queue| queue.or_gone > 0)
    }

    /// Who waits for the key next after the one with this ticket.
    pub fn next_waiting(&mut self, (db, key): &DbKey, ticket: u64) -> Option<(u64, ClientId)> {
        self.looks += 1;
        let queue = self.by_key.get(*db, key)?;
        queue.waiting.first_after(Some(ticket)).map(|(ticket, client)| (ticket, *client))
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

    pub fn paused(&self) -> Vec<ClientId> {
        self.paused.values().copied().collect()
    }

    pub fn awaiting_end(&self) -> Vec<ClientId> {
        self.awaiting_end.values().copied().collect()
    }

    pub fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_us, _)| *deadline_us)
    }

    /// A client whose time is up, or whose command is to run again, if there is one.
    pub fn expired(&self, mono_us: u64) -> Option<ClientId> {
        let (deadline_us, client) = self.deadlines.first()?;
        (*deadline_us <= mono_us).then_some(*client)
    }
}
