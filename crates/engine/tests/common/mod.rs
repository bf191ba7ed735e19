//! A whole database in one process, driven through its public API: no socket, file, thread or clock.

// Each test file uses the part that it needs.
#![allow(dead_code)]

use std::cell::Cell;
use std::collections::VecDeque;

use engine::world::{
    AckWait, BusyDoor, Configuration, Heard, Machine, Persistence, Replication, ReplicationInfo,
};
use engine::{Action, ClientId, CommandError, Engine, Kind, Now, Outcome, Peer, Settings, World};
use protocol::Args;
use store::Keyspace;

/// A world that records what it is asked for, and does nothing.
#[derive(Default)]
pub struct Recorder {
    pub actions: Vec<String>,
    pub stream: Vec<u8>,
    /// What MIGRATE has said to other servers.
    pub stream_elsewhere: Vec<u8>,
    pub settings: Settings,
    pub replication: ReplicationInfo,
    pub acked: u32,
    /// Of those, how many have it on disk; and how far our own file is.
    pub acked_on_disk: u32,
    pub fsynced: Option<u64>,
    /// Who waits for acknowledgements.
    pub waits: Vec<(ClientId, AckWait)>,
    /// How many more times the memory is said to be full.
    pub times_full: Cell<u32>,
    /// How far the clock moves with each look at it, and has moved.
    pub step_us: Cell<u64>,
    pub looked_us: Cell<u64>,
    pub now: Now,
    /// What another server answers to a MIGRATE; after that, unless as many are there, it is gone.
    pub answers: Vec<&'static str>,
    /// What stands in the file of users, if there is one.
    pub acl_file: Option<String>,
    /// What a client says in the midst of its command, one after the other; nothing for a while where it is empty. At
    /// the end it is gone.
    pub says: VecDeque<Vec<u8>>,
    /// What it was told there.
    pub told: Vec<u8>,
    /// What others say while a command takes long.
    pub others_say: VecDeque<(ClientId, &'static str)>,
}

impl World for Recorder {
    fn perform(&mut self, action: Action<'_>, _: &mut Keyspace) -> Result<Outcome, CommandError> {
        self.actions.push(format!("{action:?}"));
        if let Action::Migrate { transfer, replies } = action {
            self.stream_elsewhere.extend_from_slice(transfer.auth);
            self.stream_elsewhere.extend_from_slice(transfer.requests);
            replies.extend(self.answers.iter().map(|answer| answer.as_bytes().to_vec()));
            if replies.len() < transfer.expected && !self.answers.iter().any(|a| a.starts_with('-'))
            {
                return Err(CommandError::text("IOERR gone"));
            }
        }
        Ok(Outcome::Done)
    }

    fn serve_sockets(&mut self, door: &mut dyn BusyDoor) {
        if let Some((client, command)) = self.others_say.pop_front() {
            let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
            door.answer(self.now, self, client, Args::new(&words));
        }
    }

    fn say(&mut self, _: ClientId, bytes: &[u8]) {
        self.told.extend_from_slice(bytes);
    }

    fn hear(&mut self, _: ClientId, into: &mut Vec<u8>) -> Heard {
        match self.says.pop_front() {
            None => Heard::Gone,
            Some(bytes) if bytes.is_empty() => Heard::Nothing,
            Some(bytes) => {
                into.extend_from_slice(&bytes);
                Heard::Bytes
            }
        }
    }
}

impl Machine for Recorder {
    fn used_memory_bytes(&self) -> u64 {
        let left = self.times_full.get();
        self.times_full.set(left.saturating_sub(1));
        if left > 0 { u64::MAX } else { 0 }
    }

    fn mono_us(&self) -> u64 {
        self.looked_us.set(self.looked_us.get() + self.step_us.get());
        self.now.mono_us + self.looked_us.get()
    }
}

impl Replication for Recorder {
    fn replicate(&mut self, bytes: &[u8]) {
        self.stream.extend_from_slice(bytes);
    }

    fn replication(&self) -> ReplicationInfo {
        self.replication.clone()
    }

    fn stream_offset(&self) -> u64 {
        self.stream.len() as u64
    }

    fn acked_replicas(&self, _: u64) -> (u32, u32) {
        (self.acked, self.acked_on_disk)
    }

    fn wait_for(&mut self, client: ClientId, wait: AckWait) {
        self.waits.push((client, wait));
    }

    fn forget_wait(&mut self, client: ClientId) {
        self.waits.retain(|(other, _)| *other != client);
    }
}

impl Persistence for Recorder {
    fn fsynced_offset(&self) -> Option<u64> {
        self.fsynced
    }
}

impl Configuration for Recorder {
    fn settings(&self) -> Settings {
        self.settings.clone()
    }

    fn acl_file(&self) -> Option<String> {
        self.acl_file.as_ref().map(|_| "users.acl".into())
    }

    fn read_acl_file(&self) -> Result<Vec<u8>, String> {
        self.acl_file.clone().map(String::into_bytes).ok_or_else(|| "Permission denied".into())
    }

    fn config_get(&self, _: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        vec![("maxmemory".to_string(), b"0".to_vec())]
    }
}

/// An engine, its world, and a clock that moves when it is told to.
pub struct Database {
    pub engine: Engine,
    pub world: Recorder,
    pub now: Now,
}

impl Database {
    /// Ends the waits for which there is enough, as a world with a gate does.
    #[allow(dead_code)]
    pub fn acks_changed(&mut self) {
        for (client, wait) in self.world.waits.clone() {
            let (acked, on_disk) = (self.world.acked, self.world.acked_on_disk);
            if wait.local.is_some_and(|local| local > 0) && self.world.fsynced.is_none() {
                let why = Some(CommandError::WaitaofWithoutAof);
                self.engine.end_ack_wait(&mut self.world, client, why);
                continue;
            }
            let here = u32::from(self.world.fsynced.is_some_and(|at| at >= wait.offset));
            let replicas = if wait.local.is_some() { on_disk } else { acked };
            if replicas >= wait.replicas && here >= wait.local.unwrap_or(0) {
                self.engine.end_ack_wait(&mut self.world, client, None);
            }
        }
    }

    pub fn new() -> Database {
        Database::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Database {
        let now = Now { unix_us: 1_700_000_000_000_000, mono_us: 1_000_000 };
        let mut engine = Engine::new(settings.clone(), 7);
        engine.propagation.set_stream(true);
        Database { engine, world: Recorder { settings, now, ..Recorder::default() }, now }
    }

    pub fn connect(&mut self) -> ClientId {
        self.engine.connect(self.now, Kind::Normal, Peer::default())
    }

    /// Runs a command of words; its reply as it stands on the wire, empty while it blocks.
    pub fn run(&mut self, client: ClientId, command: &str) -> String {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.run_args(client, &words)
    }

    pub fn run_args(&mut self, client: ClientId, words: &[&[u8]]) -> String {
        self.engine.execute(self.now, &mut self.world, client, Args::new(words));
        self.replies(client)
    }

    /// What has been written to the client since the last look.
    pub fn replies(&mut self, client: ClientId) -> String {
        let Some(client) = self.engine.client_mut(client) else { return String::new() };
        let text = String::from_utf8_lossy(&client.out.to_vec()).into_owned();
        client.out.clear();
        text
    }

    /// Lets time pass and does what the loop would do then.
    pub fn advance_ms(&mut self, ms: u64) {
        self.now.unix_us += ms * 1000;
        self.now.mono_us += ms * 1000;
        self.world.now = self.now;
        self.engine.handle_deadlines(self.now, &mut self.world);
    }

    /// The words of the replication stream since the last look.
    pub fn stream(&mut self) -> String {
        let bytes = std::mem::take(&mut self.world.stream);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words = text.split("\r\n").filter(|word| !word.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ").trim().to_string()
    }
}

/// A reply's words, without what only frames them.
pub fn words(reply: &str) -> String {
    let frames = |word: &str| word.is_empty() || word.starts_with('$') && word != "$-1";
    reply.split("\r\n").filter(|word| !frames(word)).collect::<Vec<_>>().join(" ")
}

/// Runs a script of `command => reply` lines; replies are flattened to their words.
pub fn script(lines: &str) {
    let mut db = Database::new();
    let c = db.connect();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").unwrap_or((line, ""));
        assert_eq!(words(&db.run(c, command)), expected, "{command}");
    }
}
