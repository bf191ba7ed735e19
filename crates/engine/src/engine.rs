//! Owns the engine's state and its public API: the whole database without I/O.
//!
//! Call order: `connect` once a client, `execute` for each of its commands, `disconnect`. Between
//! commands the caller takes what has come out: clients with output, propagated bytes for the
//! append-only file, clients that may go on. `before_sleep` and `cron` drive expiry and deadlines.

use std::collections::BTreeSet;

use slab::Slab;
use store::{HashSeed, Keyspace};

use crate::clients::acl_log::AclLog;
use crate::clients::client::{Client, Kind, Peer, ReplyMode};
use crate::clients::users::Users;
use crate::data::ahead::HashedArg;
use crate::data::evict::EvictionState;
use crate::data::expire::ExpireState;
use crate::data::replica_expiry::LocalExpires;
use crate::door::pause::Pauses;
use crate::door::propagate::Propagation;
use crate::door::stream_fault::StreamFault;
use crate::events::blocking::{BlockedClients, Unblocked};
use crate::events::pubsub::PubSub;
use crate::events::push::PendingPushes;
use crate::events::tracking::Tracking;
use crate::events::watch::Watches;
use crate::ids::ClientId;
use crate::report::command_log::CommandLogs;
use crate::report::latency_monitor::LatencyMonitor;
use crate::report::stats::Stats;
use crate::script::Scripts;
use crate::settings::Settings;
use crate::world::{Garbage, Now, World, earlier};

/// Whose writes count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Master,
    Replica {
        /// The link is up and the data set is the master's.
        link_up: bool,
    },
}

pub struct Engine {
    pub keyspace: Keyspace,
    pub settings: Settings,
    pub stats: Stats,
    pub role: Role,
    /// A data set is being loaded: data commands are refused, and what they would find is not
    /// there. With `async_loading` the old data set still serves.
    pub loading: bool,
    pub async_loading: bool,
    /// A command that takes long lets sockets be served meanwhile.
    pub(crate) busy: bool,
    /// What the last command that was judged has found: there is no room, and none could be made.
    pub(crate) is_out_of_memory: bool,
    pub(crate) scripts: Scripts,
    pub propagation: Propagation,
    /// Changes since the last successful save: what `save` points count.
    pub dirty: u64,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: bool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION: RESTORE takes payloads whose checksum is wrong.
    pub(crate) skip_checksum_validation: bool,
    pub(crate) users: Users,
    pub(crate) acl_log: AclLog,
    /// The key that was made last, until its event was published (`notify-keyspace-events` with n).
    pub(crate) born: Option<(usize, Box<[u8]>)>,
    pub rng: fastrand::Rng,
    pub(crate) now: Now,
    pub(crate) clients: Slab<Option<Box<Client>>>,
    pub(crate) next_client_id: u64,
    pub(crate) pending_output: Vec<ClientId>,
    pub(crate) unblocked: Vec<Unblocked>,
    pub(crate) blocked: BlockedClients,
    pub(crate) watches: Watches,
    pub(crate) pubsub: PubSub,
    pub(crate) monitors: BTreeSet<ClientId>,
    pub(crate) command_logs: CommandLogs,
    pub(crate) latency: LatencyMonitor,
    pub(crate) expire: ExpireState,
    pub(crate) local_expires: LocalExpires,
    pub(crate) eviction: EvictionState,
    pub(crate) pending_pushes: PendingPushes,
    pub(crate) tracking: Tracking,
    /// How often somebody was written to out of turn, or would have been.
    pub(crate) pushes: u64,
    /// When an aborted web request was logged last.
    pub(crate) web_request_logged_s: i64,
    /// Removed values that are freed away from the loop.
    pub(crate) garbage: Vec<Garbage>,
    /// A child shares the memory: a read must not cost a page for the sake of a clock.
    pub spare_pages: bool,
    pub(crate) pauses: Pauses,
    pub(crate) stream_fault: Option<StreamFault>,
    pub(crate) hashed_arg: HashedArg,
    /// When the last command ended: the next one's start, within a pass of the loop.
    pub(crate) last_command_end_us: u64,
}

impl Engine {
    /// `seed` determines every random choice and the keyspace's hash function.
    pub fn new(mut settings: Settings, seed: u64) -> Engine {
        let mut rng = fastrand::Rng::with_seed(seed);
        let hash_seed = HashSeed::new(rng.u64(..), rng.u64(..));
        settings.limits.hash_seed = hash_seed;
        Engine {
            keyspace: Keyspace::new(settings.databases, hash_seed),
            stats: Stats::default(),
            role: Role::Master,
            loading: false,
            async_loading: false,
            busy: false,
            is_out_of_memory: false,
            scripts: Scripts::default(),
            propagation: Propagation::default(),
            dirty: 0,
            active_expire: true,
            skip_checksum_validation: false,
            users: Users::new(&settings),
            acl_log: AclLog::default(),
            born: None,
            rng,
            now: Now::default(),
            clients: Slab::new(),
            next_client_id: 1,
            pending_output: Vec::new(),
            unblocked: Vec::new(),
            blocked: BlockedClients::default(),
            watches: Watches::default(),
            pubsub: PubSub::default(),
            monitors: BTreeSet::new(),
            command_logs: CommandLogs::default(),
            latency: LatencyMonitor::default(),
            expire: ExpireState::default(),
            local_expires: LocalExpires::default(),
            eviction: EvictionState::default(),
            pending_pushes: PendingPushes::default(),
            tracking: Tracking::default(),
            pushes: 0,
            web_request_logged_s: 0,
            garbage: Vec::new(),
            spare_pages: false,
            pauses: Pauses::default(),
            stream_fault: None,
            hashed_arg: HashedArg::default(),
            last_command_end_us: 0,
            settings,
        }
    }

    pub fn connect(&mut self, now: Now, kind: Kind, peer: Peer) -> ClientId {
        let entry = self.clients.vacant_entry();
        let id = ClientId { id: self.next_client_id, slot: entry.key() as u32 };
        self.next_client_id += 1;
        let authenticated = self.users.is_open() || kind != Kind::Normal;
        let mut client = Client::new(id, peer, now.mono_us, authenticated);
        client.kind = kind;
        client.out.set_limit(client.output_limit(&self.settings.output_limits));
        entry.insert(Some(Box::new(client)));
        self.stats.peak_clients = self.stats.peak_clients.max(self.clients.len() as u64);
        id
    }

    /// Forgets the client: its transaction, watches, subscriptions and place in queues.
    pub fn disconnect(&mut self, id: ClientId) {
        let Some(mut client) = self.take_client(id) else { return };
        self.clients.remove(id.slot as usize);
        if let Some(blocked) = client.blocked.take() {
            self.blocked.remove(id, &blocked);
        }
        self.watches.unwatch_all(id, &mut client.watched);
        self.unsubscribe_all(&mut client);
        self.tracking.disconnect(id);
        // Lists of the turn may still name it: nobody is found by that name any more.
        self.monitors.remove(&id);
    }

    /// The client has said its last word: it waits for nothing any more, hears of nothing new, and is to be
    /// closed when it has got what is in its output.
    pub fn say_goodbye(&mut self, id: ClientId) {
        let Some(mut client) = self.take_client(id) else { return };
        client.close_after_reply = true;
        if let Some(blocked) = client.blocked.take() {
            self.blocked.remove(id, &blocked);
        }
        self.unsubscribe_all(&mut client);
        self.tracking.disconnect(id);
        self.monitors.remove(&id);
        self.put_client(client);
    }

    /// The client, if it is still connected (and its command does not run right now).
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id.slot as usize)?.as_deref().filter(|client| client.id == id)
    }

    pub fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id.slot as usize)?.as_deref_mut().filter(|client| client.id == id)
    }

    /// Everybody who is connected, but for the client whose command runs.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter_map(|(_, client)| client.as_deref())
    }

    pub fn connected(&self) -> usize {
        self.clients.len()
    }

    pub fn blocked_clients(&self) -> usize {
        self.blocked.count()
    }

    /// How often somebody who waits, watches a key or is subscribed was looked at, since ever.
    pub fn queue_looks(&self) -> u64 {
        self.blocked.looks + self.watches.looks + self.pushes
    }

    /// Takes the clients whose output has grown since the last call.
    pub fn take_pending_output(&mut self, into: &mut Vec<ClientId>) {
        into.clear();
        std::mem::swap(into, &mut self.pending_output);
        let (clients, running) = (&mut self.clients, &mut self.pending_output);
        into.retain(|&id| match clients.get_mut(id.slot as usize) {
            Some(Some(client)) if client.id == id => {
                client.pending_output = false;
                true
            }
            // Its command runs: it gets what it has when that is done.
            Some(None) => {
                running.push(id);
                false
            }
            _ => false,
        });
    }

    pub fn has_unblocked(&self) -> bool {
        !self.unblocked.is_empty()
    }

    pub fn has_pending_output(&self) -> bool {
        !self.pending_output.is_empty()
    }

    /// More of this client's output may leave, or it has got some out of turn.
    pub fn note_output(&mut self, id: ClientId) {
        if let Some(client) = self.client_mut(id)
            && !client.pending_output
        {
            client.pending_output = true;
            self.pending_output.push(id);
        }
    }

    /// Takes the clients that were blocked and may go on with what they have sent meanwhile.
    pub fn take_unblocked(&mut self) -> Vec<Unblocked> {
        std::mem::take(&mut self.unblocked)
    }

    pub(crate) fn take_client(&mut self, id: ClientId) -> Option<Box<Client>> {
        let slot = self.clients.get_mut(id.slot as usize)?;
        match slot {
            Some(client) if client.id == id => slot.take(),
            _ => None,
        }
    }

    pub(crate) fn put_client(&mut self, mut client: Box<Client>) {
        client.out.set_limit(client.output_limit(&self.settings.output_limits));
        client.out.unmute();
        // Who waits has not been answered yet.
        if client.reply_mode == ReplyMode::Skip && client.blocked.is_none() {
            client.reply_mode = ReplyMode::On;
        }
        self.deliver_pushes(&mut client);
        let has_news = !client.out.is_empty() || client.out.is_overflowed();
        if has_news && !client.pending_output {
            client.pending_output = true;
            self.pending_output.push(client.id);
        }
        let slot = client.id.slot as usize;
        self.clients[slot] = Some(client);
    }

    /// Appends what the client, which is out for its command, was sent meanwhile.
    #[inline]
    pub(crate) fn deliver_pushes(&mut self, client: &mut Client) {
        if self.pending_pushes.is_empty() {
            return;
        }
        let is_subscribed = !client.subscriptions.is_empty();
        self.pending_pushes.deliver(client.id, &mut client.out, is_subscribed);
    }

    /// The monotonic time at which something is due: a blocked client's deadline, a pause's end,
    /// more to evict.
    pub fn next_deadline_us(&self) -> Option<u64> {
        let eviction = self.eviction.unfinished.then_some(self.now.mono_us);
        earlier(earlier(self.blocked.next_deadline_us(), self.pauses.next_end_us()), eviction)
    }

    /// The replication stream takes up the door's output: called at the end of every unit.
    pub(crate) fn end_unit(&mut self, world: &mut dyn World) -> bool {
        if !self.propagation.end_unit() {
            return false;
        }
        if !self.propagation.stream_bytes().is_empty() {
            world.replicate(self.propagation.stream_bytes());
            self.propagation.clear_stream();
        } else {
            world.note_unfollowed_write();
        }
        true
    }
}
