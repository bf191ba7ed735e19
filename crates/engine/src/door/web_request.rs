//! Web pages that a browser makes write to a local server: their requests are no commands, but what
//! follows in them may be. Must not judge anything that a row of the table answers to.

use protocol::Args;

use crate::Engine;
use crate::clients::client::Client;
use crate::world::{Action, World};

/// Who is attacked without end does not get a log without end.
const LOG_EVERY_S: i64 = 60;

/// A command that is the beginning of an HTTP request or its line with the host.
pub(crate) fn is_one(args: Args<'_>) -> bool {
    [&b"post"[..], b"host:"].iter().any(|word| args[0].eq_ignore_ascii_case(word))
}

impl Engine {
    /// Closes the connection before anything that follows is taken for a command.
    #[cold]
    pub(crate) fn abort_web_request(&mut self, client: &mut Client, world: &mut dyn World) {
        let now_s = self.now.unix_s();
        if (now_s - self.web_request_logged_s).abs() > LOG_EVERY_S {
            self.web_request_logged_s = now_s;
            let message = format!(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands \
                 to Redis. This is likely due to an attacker attempting to use Cross Protocol Scripting to \
                 compromise your Redis instance. Connection from {} aborted.",
                client.peer.addr
            );
            // A world without a log has nobody to tell.
            let _ = world.perform(Action::Log { message: &message }, &mut self.keyspace);
        }
        client.close_after_reply = true;
        // Cannot be refused.
        let _ = world.perform(Action::CloseClient { client: client.id }, &mut self.keyspace);
    }
}
