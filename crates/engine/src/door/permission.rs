//! Owns the question whether a user may run a command, and what is said and noted of a refusal. Whoever
//! asks it (the door, EXEC, a client served after a wait, ACL DRYRUN, scripts) gets its answer here.

use protocol::Args;

use crate::Engine;
use crate::clients::acl_log::AclLogEntry;
use crate::clients::client::Client;
use crate::clients::line::describe;
use crate::clients::selector::Denial;
use crate::clients::users::UserId;
use crate::command::Found;
use crate::error::CommandError;
use crate::world::World;

/// What was refused, for ACL LOG and INFO.
pub(crate) struct Refused<'a> {
    pub reason: Reason,
    pub object: &'a [u8],
    /// Who it was, or wanted to be.
    pub username: &'a [u8],
    /// `toplevel`, `multi` or `lua`.
    pub context: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Reason {
    Auth,
    Command,
    Key,
    Channel,
}

impl Denial {
    fn reason(self) -> Reason {
        match self {
            Denial::Command => Reason::Command,
            Denial::Key(_) => Reason::Key,
            Denial::Channel(_) => Reason::Channel,
        }
    }

    /// Why a command that was queued once is not run now.
    pub(crate) fn changed_since_queued(self) -> CommandError {
        let reason = match self {
            Denial::Command => "no permission to execute the command or subcommand",
            Denial::Key(_) => "no permission to touch the specified keys",
            Denial::Channel(_) => {
                "no permission to access one of the channels used as arguments to the command"
            }
        };
        CommandError::text(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the \
             EXEC call. This command is no longer allowed for the following reason: {reason}"
        ))
    }
}

impl Engine {
    /// May this user run these arguments?
    #[inline]
    pub fn may_run(&self, user: UserId, found: &Found, args: Args<'_>) -> Result<(), Denial> {
        self.users.of(user).check(found, args)
    }

    /// The same for a client's own command; a refusal is counted and logged.
    #[inline]
    pub(crate) fn check_permission(
        &mut self,
        client: &Client,
        world: &dyn World,
        found: &Found,
        args: Args<'_>,
        context: &'static str,
    ) -> Result<(), Denial> {
        let decision = self.may_run(client.user, found, args);
        if let Err(denial) = decision {
            self.note_denial(client, world, found, args, (denial, context));
        }
        decision
    }

    #[cold]
    fn note_denial(
        &mut self,
        client: &Client,
        world: &dyn World,
        found: &Found,
        args: Args<'_>,
        (denial, context): (Denial, &'static str),
    ) {
        let name = found.full_name();
        let object = match denial {
            Denial::Command => name.as_bytes(),
            Denial::Key(at) | Denial::Channel(at) => args.at(at),
        };
        let username = self.users.of(client.user).name.clone();
        let refused = Refused { reason: denial.reason(), object, username: &username, context };
        self.note_refused(client, world, args, &refused);
    }

    /// What a refused client is answered.
    #[cold]
    pub(crate) fn no_permission(
        &self,
        user: UserId,
        found: &Found,
        denial: Denial,
    ) -> CommandError {
        match denial {
            Denial::Command => {
                let (user, name) = (self.user_name(user), found.full_name());
                CommandError::text(format!(
                    "NOPERM User {user} has no permissions to run the '{name}' command"
                ))
            }
            Denial::Key(_) => CommandError::text("NOPERM No permissions to access a key"),
            Denial::Channel(_) => CommandError::text("NOPERM No permissions to access a channel"),
        }
    }

    /// The same for who asks on behalf of a user, and may know of the key or channel.
    pub(crate) fn denial_in_full(
        &self,
        user: UserId,
        found: &Found,
        args: Args<'_>,
        denial: Denial,
    ) -> Vec<u8> {
        let user = &self.users.of(user).name;
        let name = found.full_name();
        let (verb, object, kind) = match denial {
            Denial::Command => ("run", name.as_bytes(), "command"),
            Denial::Key(at) => ("access", args.at(at), "key"),
            Denial::Channel(at) => ("access", args.at(at), "channel"),
        };
        let begin = [b"User ", &**user, b" has no permissions to ", verb.as_bytes(), b" the '"];
        [begin.concat().as_slice(), object, b"' ", kind.as_bytes()].concat()
    }

    pub(crate) fn user_name(&self, user: UserId) -> String {
        String::from_utf8_lossy(&self.users.of(user).name).into_owned()
    }

    /// Counts and logs a refusal. `args` are those of the client's command.
    #[cold]
    pub(crate) fn note_refused(
        &mut self,
        client: &Client,
        world: &dyn World,
        args: Args<'_>,
        refused: &Refused<'_>,
    ) {
        let stats = &mut self.stats;
        let (counter, reason) = match refused.reason {
            Reason::Auth => (&mut stats.access_denied_auth, "auth"),
            Reason::Command => (&mut stats.access_denied_cmd, "command"),
            Reason::Key => (&mut stats.access_denied_key, "key"),
            Reason::Channel => (&mut stats.access_denied_channel, "channel"),
        };
        *counter += 1;
        let mut client_info = String::new();
        describe(self, world, client, Some(args), &mut client_info);
        let now_ms = self.now.unix_ms();
        let entry = AclLogEntry {
            count: 1,
            reason,
            context: refused.context,
            object: refused.object.to_vec(),
            username: refused.username.to_vec(),
            client_info: client_info.trim_end().to_owned(),
            id: 0,
            created_unix_ms: now_ms,
            updated_unix_ms: now_ms,
        };
        self.acl_log.push(entry, self.settings.acllog_max_len);
    }
}

/// Where a client's own command stands, for ACL LOG.
pub(crate) fn context_of(client: &Client) -> &'static str {
    if client.multi.is_some() { "multi" } else { "toplevel" }
}
