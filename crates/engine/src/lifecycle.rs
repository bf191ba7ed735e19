//! Owns what the process does to the whole engine: another data set takes its place, writes pause
//! before the end. Must not be called in the middle of a command.

use crate::Engine;
use crate::clients::client::Client;
use crate::door::pause::{Pause, PauseBy};
use crate::engine::Role;
use crate::error::CommandError;
use crate::events::blocking::{Blocked, OnTimeout, Waiting};
use crate::events::watch::Presence;
use crate::ids::ClientId;
use crate::world::{Now, World};

impl Engine {
    /// `keyspace` holds another data set now: no WATCH on the old one may succeed, and whoever waits
    /// for a key looks again.
    pub fn dataset_replaced(&mut self) {
        self.local_expires.clear();
        self.invalidate_all();
        self.watches.touch_db(None, |_, _| (Presence::Live, Presence::Live));
        for db in 0..self.keyspace.len() {
            self.blocked.db_replaced(db);
        }
    }

    /// Whether the writes of clients are refused because they are the master's to make.
    pub(crate) fn is_read_only_replica(&self) -> bool {
        matches!(self.role, Role::Replica { .. }) && self.settings.replica_read_only
    }

    /// This server has become a replica: what blocked clients wait for is its master's to give. They
    /// are told, and have to look for the master; those who would follow are told where it is.
    pub fn unblock_for_demotion(&mut self, world: &mut dyn World) {
        let waits = |client: &&Client| {
            client.blocked.as_ref().is_some_and(|blocked| !blocked.waiting.is_for_server())
        };
        let waiting: Vec<ClientId> = self.clients().filter(waits).map(|client| client.id).collect();
        for id in waiting {
            let to = self.client(id).and_then(|client| self.redirection(client, world));
            let is_sent_away = to.is_none();
            self.end_wait(world, id, Some(to.unwrap_or(CommandError::Demoted)));
            if let Some(client) = self.client_mut(id) {
                client.close_after_reply |= is_sent_away;
            }
        }
    }

    /// A client whose SHUTDOWN is under way: it hears of it only if nothing comes of it.
    pub fn wait_for_shutdown(&mut self, id: ClientId) {
        let Some(mut client) = self.take_client(id) else { return };
        let mut blocked = Blocked {
            waiting: Waiting::Shutdown,
            on_timeout: OnTimeout::Null,
            deadline_us: 0,
            retry_us: 0,
            db: client.db,
            ran_us: 0,
            ticket: 0,
            again: None,
        };
        self.blocked.add(id, &mut blocked);
        client.blocked = Some(Box::new(blocked));
        self.put_client(client);
    }

    /// The process goes on: whoever wanted it to end is told why.
    pub fn end_shutdown_waits(&mut self, world: &mut dyn World, why: &CommandError) {
        for id in self.blocked.awaiting_end() {
            self.end_wait(world, id, Some(why.clone()));
        }
    }

    /// Clients' writes wait until `until_mono_us`, so that replicas can catch up before the end, or
    /// before one of them takes over.
    pub fn pause_writes(&mut self, by: PauseBy, until_mono_us: u64) {
        self.pauses.begin(by, Pause { until_mono_us, writes_only: true });
    }

    /// There is no reason any more: whoever waited goes on, unless others want him to wait.
    pub fn resume_writes(&mut self, now: Now, by: PauseBy, world: &mut dyn World) {
        self.now = now;
        if self.pauses.end(by) {
            self.retry_paused(world);
        }
    }
}
