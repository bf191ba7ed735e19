//! Owns how clients that cache hear that what they have is no longer true. Who caches what is `tracking`'s.
//!
//! A client hears of its own command's changes behind that command's reply, of what else goes on at once,
//! and of keys with its prefixes once at the end of a turn, all in one message.

use bytes::Bytes;
use protocol::{Args, ReplyBuf};

use crate::Engine;
use crate::clients::client::Client;
use crate::command::{CommandSpec, Flags, key_spec};
use crate::events::push::Push;
use crate::events::tracking::Changes;
use crate::ids::ClientId;

impl Engine {
    /// A key has changed or is gone.
    #[inline]
    pub(crate) fn invalidate(&mut self, key: &[u8]) {
        if self.tracking.is_on() {
            self.tracking.note_change(key);
            self.invalidate_read(key);
        }
    }

    fn invalidate_read(&mut self, key: &[u8]) {
        let readers = self.tracking.forget(key);
        if readers.is_empty() {
            return;
        }
        let keys = array_of([key].into_iter());
        for id in readers {
            self.send_invalidation(id, Some(&keys));
        }
    }

    /// Nothing of what anybody has cached is true any more.
    pub(crate) fn invalidate_all(&mut self) {
        if !self.tracking.is_on() {
            return;
        }
        for id in self.tracking.ids() {
            self.send_invalidation(id, None);
        }
        self.tracking.forget_all();
    }

    /// The client's command has read: what it was given it may have cached.
    pub(crate) fn remember_reads(&mut self, client: &Client, spec: &CommandSpec, args: Args<'_>) {
        // A script is not what reads: the commands that it calls are.
        let reads = spec.flags.has(Flags::READONLY)
            && !spec.flags.has(Flags::PUBSUB.or(Flags::SKIP_MONITOR));
        if reads {
            let positions = key_spec::positions(spec.keys, args);
            self.tracking.remember(client.id, positions.map(|(at, _)| args.at(at)));
        }
    }

    /// CLIENT CACHING holds for one command, or for one transaction.
    pub(crate) fn end_caching(&mut self, client: &Client) {
        let keeps = |flags: Flags| flags.has(Flags::KEEPS_CACHING);
        let stays = client.multi.is_some()
            || client.last_command.is_some_and(|found| keeps(found.top().flags));
        if !stays && let Some(tracked) = self.tracking.get_mut(client.id) {
            tracked.caching = false;
        }
    }

    /// Lets go of keys that are more than may be remembered; whoever has cached them is told.
    #[inline(always)]
    pub(crate) fn limit_tracking_table(&mut self) {
        if self.tracking.is_on() {
            self.forget_surplus();
        }
    }

    #[cold]
    fn forget_surplus(&mut self) {
        let max = usize::try_from(self.settings.tracking_table_max_keys).unwrap_or(usize::MAX);
        for key in self.tracking.surplus(max, &mut self.rng) {
            self.invalidate_read(&key);
        }
    }

    /// Tells those who hear of prefixes what has changed. To be called before a turn's replies leave.
    #[inline]
    pub fn broadcast_invalidations(&mut self) {
        if self.tracking.has_changes() {
            self.broadcast_changes();
        }
    }

    fn broadcast_changes(&mut self) {
        for (clients, changes) in self.tracking.take_changes() {
            let everything = array_of(changes.keys().map(|key| &**key));
            for id in clients {
                let noloop = self.tracking.get(id).is_some_and(|tracked| tracked.noloop);
                let keys =
                    if noloop { without_own(&changes, id) } else { Some(everything.clone()) };
                if let Some(keys) = keys {
                    self.send_invalidation(id, Some(&keys));
                }
            }
        }
    }

    /// Tells the client, or whom it redirects to, that these keys are no longer what they were; `None`
    /// is all keys.
    fn send_invalidation(&mut self, id: ClientId, keys: Option<&Bytes>) {
        match self.tracking.target(id) {
            Some(Ok(to)) => {
                let is_redirected =
                    self.tracking.get(id).is_some_and(|tracked| tracked.redirect.is_some());
                self.push(to, &mut Push::Invalidation { keys: keys.cloned(), is_redirected });
            }
            Some(Err(gone)) => self.push(id, &mut Push::RedirectIsBroken(gone)),
            None => {}
        }
    }
}

/// What others than this client have changed, if anything.
fn without_own(changes: &Changes, id: ClientId) -> Option<Bytes> {
    let others = || changes.iter().filter(|(_, by)| **by != Some(id)).map(|(key, _)| &**key);
    others().next()?;
    let others: Vec<&[u8]> = others().collect();
    Some(array_of(others.into_iter()))
}

fn array_of<'k>(keys: impl ExactSizeIterator<Item = &'k [u8]>) -> Bytes {
    let mut array = ReplyBuf::new();
    array.array(keys.len());
    keys.for_each(|key| array.bulk(key));
    array.to_vec().into()
}
