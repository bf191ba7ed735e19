//! The world of a process that was forked for a debugging session. It knows what there was to know at the fork and
//! reaches nobody but the session's client: no stream, no file, no other client. What a command would have them do is
//! refused, or left undone where nobody could tell.

use engine::world::{
    BusyDoor, Configuration, DebugWorld, EngineMemory, Heard, InfoLines, Machine, Persistence,
    Replication, ReplicationInfo,
};
use engine::{Action, ClientId, CommandError, Outcome, Settings, World};
use store::Keyspace;

use crate::os::Console;

/// Sections of INFO that are not the engine's.
pub(crate) const SECTIONS: [&str; 5] = ["server", "clients", "persistence", "stats", "cpu"];

/// What commands may ask, as it was.
pub(crate) struct Seen {
    pub settings: Settings,
    pub replication: ReplicationInfo,
    pub stream_offset: u64,
    pub used_memory_bytes: u64,
    pub write_refusal: Option<CommandError>,
    pub last_save_unix_s: i64,
    pub info: Vec<(&'static str, InfoLines)>,
    pub memory: InfoLines,
}

pub(crate) struct Debugged {
    pub console: Box<dyn Console>,
    pub seen: Seen,
}

impl World for Debugged {
    fn perform(&mut self, action: Action<'_>, _: &mut Keyspace) -> Result<Outcome, CommandError> {
        match action {
            // The log is the other process's, and so is what a snapshot has to do with it.
            Action::Log { .. } | Action::ScriptLog { .. } | Action::KeyspaceFlushed => {
                Ok(Outcome::Done)
            }
            Action::LazyFree(garbage) => {
                drop(garbage);
                Ok(Outcome::Done)
            }
            _ => Err(CommandError::err(
                "This Redis command is not allowed in a forked debugging session",
            )),
        }
    }

    fn speaks_for(&mut self, _: ClientId) {}

    fn info(&self, section: &str) -> InfoLines {
        let found = self.seen.info.iter().find(|(name, _)| *name == section);
        found.map(|(_, lines)| lines.clone()).unwrap_or_default()
    }

    fn memory_info(&self, _: EngineMemory) -> InfoLines {
        self.seen.memory.clone()
    }

    /// What runs for long runs for one client.
    fn serve_sockets(&mut self, _: &mut dyn BusyDoor) {
        if self.console.is_gone() {
            self.console.exit(b"");
        }
    }

    fn say(&mut self, _: ClientId, bytes: &[u8]) {
        self.console.say(bytes);
    }

    fn hear(&mut self, _: ClientId, into: &mut Vec<u8>) -> Heard {
        match self.console.hear(into) {
            // All that the script could still do is of no use to anybody.
            Heard::Gone => self.console.exit(b""),
            heard => heard,
        }
    }
}

impl DebugWorld for Debugged {
    fn exit(&mut self, last_words: &[u8]) -> ! {
        self.console.exit(last_words)
    }
}

impl Machine for Debugged {
    fn mono_us(&self) -> u64 {
        self.console.mono_us()
    }

    fn used_memory_bytes(&self) -> u64 {
        self.seen.used_memory_bytes
    }
}

impl Replication for Debugged {
    fn replication(&self) -> ReplicationInfo {
        self.seen.replication.clone()
    }

    fn stream_offset(&self) -> u64 {
        self.seen.stream_offset
    }
}

impl Persistence for Debugged {
    fn write_refusal(&self) -> Option<CommandError> {
        self.seen.write_refusal.clone()
    }

    fn last_save_unix_s(&self) -> i64 {
        self.seen.last_save_unix_s
    }
}

impl Configuration for Debugged {
    fn settings(&self) -> Settings {
        self.seen.settings.clone()
    }
}
