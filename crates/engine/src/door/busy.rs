//! Owns what may happen in the middle of a command that takes long (a script): sockets are served,
//! and all but the commands that can end it are refused. The command's own state, what it has
//! propagated and the time that it goes by, is set aside meanwhile and is the same afterwards.

use std::any::Any;

use protocol::Args;

use crate::Engine;
use crate::ids::ClientId;
use crate::world::{BusyDoor, Now, World};

impl Engine {
    /// Lets the world serve its sockets while a command runs. Its client is not among the clients
    /// meanwhile; whoever else speaks is answered at once.
    pub fn serve_sockets(&mut self, world: &mut dyn World) {
        self.serve(world, true);
    }

    /// The same while the loop waits for a load on behalf of `client`, which has to be answered before it says
    /// more. The others may do what a load allows.
    pub fn serve_sockets_without(&mut self, world: &mut dyn World, client: Option<ClientId>) {
        let taken = client.and_then(|id| self.take_client(id));
        self.serve(world, false);
        if let Some(client) = taken {
            self.put_client(client);
        }
    }

    fn serve(&mut self, world: &mut dyn World, busy: bool) {
        let unit = self.propagation.set_unit_aside();
        let ready = self.blocked.set_ready_aside();
        let (now, last_command_end_us) = (self.now, self.last_command_end_us);
        self.busy = busy;
        world.serve_sockets(self);
        self.busy = false;
        (self.now, self.last_command_end_us) = (now, last_command_end_us);
        self.blocked.take_back_ready(ready);
        self.propagation.take_back_unit(unit);
    }
}

impl BusyDoor for Engine {
    fn engine(&mut self) -> &mut dyn Any {
        self
    }

    fn answer(&mut self, now: Now, world: &mut dyn World, client: ClientId, args: Args<'_>) {
        self.execute(now, world, client, args);
    }
}

#[cfg(test)]
mod tests {
    use store::Keyspace;

    use super::*;
    use crate::clients::client::{Kind, Peer};
    use crate::settings::Settings;
    use crate::world::{Action, Configuration, Machine, Outcome, Persistence, Replication};
    use crate::{CommandError, Role};

    /// A world one of whose clients has sent something.
    #[derive(Default)]
    struct Sockets {
        sent: Vec<(ClientId, Vec<&'static [u8]>)>,
        stream: Vec<u8>,
    }

    impl Machine for Sockets {
        fn mono_us(&self) -> u64 {
            5
        }

        fn used_memory_bytes(&self) -> u64 {
            0
        }
    }

    impl Replication for Sockets {
        fn replicate(&mut self, bytes: &[u8]) {
            self.stream.extend_from_slice(bytes);
        }
    }

    impl Persistence for Sockets {}
    impl Configuration for Sockets {}

    impl World for Sockets {
        fn perform(&mut self, _: Action<'_>, _: &mut Keyspace) -> Result<Outcome, CommandError> {
            Ok(Outcome::Done)
        }

        fn serve_sockets(&mut self, door: &mut dyn BusyDoor) {
            let now = Now { unix_us: 9, mono_us: 9 };
            for (client, words) in std::mem::take(&mut self.sent) {
                door.answer(now, self, client, Args::new(&words));
            }
        }
    }

    /// A script that runs for ever must not make the server deaf, nor may what is answered meanwhile
    /// end the script's transaction in the stream, or turn its clock.
    #[test]
    fn others_are_refused_while_a_command_runs_and_leave_no_trace_in_it() {
        let mut engine = Engine::new(Settings::default(), 1);
        engine.propagation.set_stream(true);
        let mut world = Sockets::default();
        let other = engine.connect(Now::default(), Kind::Normal, Peer::default());
        engine.propagation.command(0, [b"SET".as_slice(), b"a", b"1"]);
        engine.blocked.key_written(0, b"a");
        world.sent.push((other, vec![b"GET", b"a"]));
        world.sent.push((other, vec![b"MULTI"]));
        engine.serve_sockets(&mut world);
        let reply = engine.client(other).map(|client| client.out.to_vec()).unwrap_or_default();
        let reply = String::from_utf8_lossy(&reply);
        let busy = "-BUSY Redis is busy running a script. \
                    You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";
        assert_eq!(reply, format!("{busy}+OK\r\n"));
        assert_eq!((engine.now, engine.role), (Now::default(), Role::Master));
        assert!(world.stream.is_empty(), "the unit of the running command has been ended");
        engine.propagation.command(0, [b"SET".as_slice(), b"b", b"2"]);
        engine.end_unit(&mut world);
        let stream = String::from_utf8_lossy(&world.stream).into_owned();
        assert!(stream.contains("MULTI") && stream.contains("EXEC"), "{stream}");
        engine.execute(Now::default(), &mut world, other, Args::new(&[b"DISCARD"]));
        engine.execute(Now::default(), &mut world, other, Args::new(&[b"PING"]));
        let reply = engine.client(other).map(|client| client.out.to_vec()).unwrap_or_default();
        assert!(reply.ends_with(b"+OK\r\n+PONG\r\n"));
    }
}
