//! Owns who is sent from a replica to its master: clients that have said that they would follow (CLIENT CAPA
//! redirect, as Valkey 8 has it), with what they write, and with what they read unless READONLY was said.

use crate::Engine;
use crate::clients::client::{Client, Follows, Kind};
use crate::command::{Flags, Found};
use crate::door::pause::PauseBy;
use crate::engine::Role;
use crate::error::CommandError;
use crate::world::World;

impl Engine {
    /// Where the command belongs, if it is not here.
    #[inline]
    pub(super) fn check_place(
        &self,
        client: &Client,
        world: &dyn World,
        found: &Found,
    ) -> Result<(), CommandError> {
        match self.belongs_to_master(client, found) {
            true => self.redirection(client, world).map_or(Ok(()), Err),
            false => Ok(()),
        }
    }

    /// Whether the command waits until it is known who the master will be, and is judged then.
    #[inline]
    pub(super) fn waits_for_master(&self, client: &Client, found: &Found) -> bool {
        self.belongs_to_master(client, found) && self.pauses.is_paused_by(PauseBy::Failover)
    }

    /// What tells the client of our master, if it wants to hear of one.
    #[cold]
    pub(crate) fn redirection(&self, client: &Client, world: &dyn World) -> Option<CommandError> {
        let master = world.replication().master.filter(|_| client.follows != Follows::Nowhere)?;
        Some(CommandError::text(format!("REDIRECT {}:{}", master.host, master.port)))
    }

    #[inline]
    fn belongs_to_master(&self, client: &Client, found: &Found) -> bool {
        client.follows != Follows::Nowhere
            && client.kind == Kind::Normal
            && matches!(self.role, Role::Replica { .. })
            && uses_data(client, found)
    }
}

#[cold]
fn uses_data(client: &Client, found: &Found) -> bool {
    let moved = match client.follows {
        Follows::WithAll => Flags::WRITE.or(Flags::READONLY),
        _ => Flags::WRITE,
    };
    let queue = match &client.multi {
        Some(multi) if found.flags.has(Flags::RUNS_QUEUE) => multi.queue.as_slice(),
        _ => &[],
    };
    found.flags.has(moved) || queue.iter().any(|(queued, _)| queued.flags.has(moved))
}
