//! The world as the engine sees it: replication and the gate answered here, everything else by [`Os`].

use engine::world::{
    AckWait, BusyDoor, Configuration, EngineMemory, Forked, Heard, InfoLines, Machine, Persistence,
    Replication, ReplicationInfo,
};
use engine::{Action, ClientId, CommandError, Engine, Now, Outcome, Settings, World};
use repl::{FailoverRequest, FailoverState, Level, MasterAddr, Repl, ReplconfReply, SyncRequest};
use store::Keyspace;

use crate::debugged::{Debugged, SECTIONS, Seen};
use crate::{Facts, Need, Os, Point, Scene, Sent, Side, State, Watermark, conn_id, view};

pub(crate) struct Border<'a, O> {
    pub now: Now,
    pub repl: &'a mut Repl,
    pub state: &'a mut State,
    pub os: &'a mut O,
}

impl<O: Os> Border<'_, O> {
    fn now_ms(&self) -> u64 {
        self.now.mono_us / 1000
    }

    /// The turn's time with what has passed of it.
    fn now_while_busy(&self) -> Now {
        let passed_us = self.os.mono_us().saturating_sub(self.now.mono_us);
        Now { unix_us: self.now.unix_us + passed_us, mono_us: self.now.mono_us + passed_us }
    }

    /// Sends what was answered, as far as its gate is open. All else is left to the turn.
    fn answer_while_busy(&mut self, engine: &mut Engine) {
        let mut answered = Vec::new();
        engine.take_pending_output(&mut answered);
        for id in answered {
            let Some(client) = engine.client_mut(id) else { continue };
            let waiting = client.out.len_bytes();
            let sent_before = client.out.written() - waiting as u64;
            let n = self.state.gate.may_send(id, sent_before, waiting);
            let sent = self.os.send(client, n);
            if sent != Sent::All || n < waiting || client.close_after_reply {
                self.state.unsent.push(id);
            }
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts { now: self.now, repl: self.repl, shutdown: self.state.shutdown.as_ref() }
    }

    /// What a process of its own cannot ask any more.
    fn seen(&self) -> Seen {
        Seen {
            settings: self.os.settings(),
            replication: self.replication(),
            stream_offset: self.repl.offset(),
            used_memory_bytes: self.used_memory_bytes(),
            write_refusal: self.os.write_refusal(),
            last_save_unix_s: self.os.last_save_unix_s(),
            info: SECTIONS.map(|section| (section, self.info(section))).into(),
            memory: self.memory_info(EngineMemory::default()),
        }
    }

    /// REPLICAOF takes effect in its place: what follows in the same EXEC is judged by the new role, and
    /// CONFIG REWRITE saves it. Sockets, files and clients follow when the command has returned.
    fn replicaof(&mut self, master: Option<MasterAddr>, by: &str) -> Result<Outcome, CommandError> {
        if self.repl.failover_state() != FailoverState::None {
            return Err(CommandError::err("REPLICAOF not allowed while failing over."));
        }
        if let (Some(wanted), Some(present)) = (&master, self.repl.master_addr())
            && wanted.port == present.port
            && wanted.host.eq_ignore_ascii_case(&present.host)
        {
            self.os.log(
                Level::Notice,
                "REPLICAOF would result into synchronization with the master we are already \
                 connected with. No operation performed.",
            );
            return Ok(Outcome::Status("OK Already connected to specified master".into()));
        }
        let now_ms = self.now_ms();
        match master {
            Some(addr) => drop(self.repl.replicaof(now_ms, addr, by)),
            None => drop(self.repl.replicaof_no_one(now_ms, by)),
        }
        self.os.note_master(self.repl.master_addr());
        Ok(Outcome::Done)
    }

    fn psync(
        &mut self,
        client: ClientId,
        replid: Option<&[u8]>,
        offset: &[u8],
        failover_by: Option<&str>,
    ) -> Result<Outcome, CommandError> {
        let now_ms = self.now_ms();
        let conn = conn_id(client);
        if let (Some(by), Some(replid)) = (failover_by, replid) {
            // The new role is taken up when this command is done, whatever becomes of the sync.
            self.repl
                .handle_failover_request(now_ms, replid, by)
                .map_err(|refusal| CommandError::text(refusal.to_owned()))?;
        }
        let peer_ip = self.os.peer_ip(client);
        let accepted = match replid {
            None => self.repl.replica_sync(now_ms, conn, &peer_ip),
            Some(replid) => {
                let request = SyncRequest { conn, peer_ip: &peer_ip, replid, offset };
                self.repl.replica_psync(now_ms, request)
            }
        };
        accepted.map_err(|refusal| CommandError::text(refusal.text().to_owned()))?;
        self.state.new_replicas.push(client);
        Ok(Outcome::Silent)
    }

    fn replconf(&mut self, client: ClientId, words: &[&[u8]]) -> Result<Outcome, CommandError> {
        let now_ms = self.now_ms();
        let says = |word: &[u8]| words.first().is_some_and(|w| w.eq_ignore_ascii_case(word));
        if self.state.stream.client == Some(client) {
            if says(b"getack") {
                self.repl.handle_getack(now_ms);
            }
            return Ok(Outcome::Silent);
        }
        self.state.acks_changed |= says(b"ack");
        match self.repl.replica_replconf(now_ms, conn_id(client), words) {
            ReplconfReply::Ok => Ok(Outcome::Done),
            ReplconfReply::Silent => Ok(Outcome::Silent),
            ReplconfReply::Error(text) => Err(CommandError::text(text)),
        }
    }
}

fn done(asked: Result<(), &'static str>) -> Result<Outcome, CommandError> {
    asked.map(|()| Outcome::Done).map_err(|refusal| CommandError::text(refusal.to_owned()))
}

impl<O: Os> World for Border<'_, O> {
    fn perform(
        &mut self,
        action: Action<'_>,
        keyspace: &mut Keyspace,
    ) -> Result<Outcome, CommandError> {
        let now_ms = self.now_ms();
        match action {
            Action::ReplicaOf { target, by } => {
                let master = target.map(|to| MasterAddr { host: to.host, port: to.port });
                self.replicaof(master, by)
            }
            Action::StrayWrite => {
                self.repl.handle_stray_write();
                Ok(Outcome::Done)
            }
            Action::Psync { client, replid, offset, failover_by } => {
                self.psync(client, replid, offset, failover_by)
            }
            Action::Replconf { client, words } => self.replconf(client, words),
            Action::Failover { target, timeout_ms, force } => {
                let text = |host: &[u8]| String::from_utf8_lossy(host).into_owned();
                let target = target.map(|(host, port)| (text(host), port));
                done(self.repl.failover(now_ms, FailoverRequest { target, force, timeout_ms }))
            }
            Action::ScriptLog { level, text } => {
                let level = match level {
                    0 => Level::Debug,
                    1 => Level::Verbose,
                    2 => Level::Notice,
                    _ => Level::Warning,
                };
                self.os.log(level, text);
                Ok(Outcome::Done)
            }
            Action::FailoverAbort => done(self.repl.abort_failover(now_ms)),
            Action::DebugReplication { .. } => Ok(Outcome::Done),
            other => {
                let scene = Scene {
                    now: self.now,
                    repl: self.repl,
                    keyspace,
                    by: self.state.current,
                    shutdown: self.state.shutdown.as_ref(),
                };
                self.os.perform(other, scene)
            }
        }
    }

    fn speaks_for(&mut self, client: ClientId) {
        self.state.current = Some(client);
    }

    fn info(&self, section: &str) -> InfoLines {
        self.os.info(section, self.facts())
    }

    fn memory_info(&self, memory: EngineMemory) -> InfoLines {
        self.os.memory_info(memory, self.facts())
    }

    fn serve_sockets(&mut self, door: &mut dyn BusyDoor) {
        let Some(engine) = door.engine().downcast_mut::<Engine>() else { return };
        let (current, now) = (self.state.current, self.now_while_busy());
        // What else there is to do for one that is gone the turn does.
        for id in self.os.replicas_gone_while_busy(engine) {
            self.repl.handle_conn_closed(now.mono_us / 1000, conn_id(id));
        }
        for id in self.os.hear_while_busy(engine, now) {
            while engine.client(id).is_some_and(|client| !client.close_after_reply)
                && let Some(request) = self.os.next_request(engine, id)
            {
                self.state.current = Some(id);
                engine.execute(now, self, id, request.as_args());
            }
        }
        self.state.current = current;
        self.answer_while_busy(engine);
    }

    fn fork_session(&mut self, client: ClientId) -> Result<Forked, CommandError> {
        let seen = self.seen();
        Ok(match self.os.fork_session(client)? {
            Side::Parent => Forked::Parent,
            Side::Child(console) => Forked::Child(Box::new(Debugged { console, seen })),
        })
    }

    fn say(&mut self, client: ClientId, bytes: &[u8]) {
        self.os.say(client, bytes);
    }

    fn hear(&mut self, client: ClientId, into: &mut Vec<u8>) -> Heard {
        self.os.hear(client, into)
    }
}

impl<O: Os> Machine for Border<'_, O> {
    fn mono_us(&self) -> u64 {
        self.os.mono_us()
    }

    fn used_memory_bytes(&self) -> u64 {
        let (used, in_log_buffers) = self.os.memory_bytes();
        if used <= self.os.maxmemory_bytes() {
            return used;
        }
        // What evicting a key would make longer is not counted, or it would never end.
        used.saturating_sub(in_log_buffers + self.repl.bytes_for_replicas())
    }

    fn allocated_bytes(&self) -> u64 {
        self.os.allocated_bytes()
    }

    fn traffic(&self, client: ClientId) -> [u64; 2] {
        self.os.traffic(client)
    }

    fn secret_hex(&self, digits: usize) -> Option<String> {
        self.os.secret_hex(digits)
    }
}

impl<O: Os> Replication for Border<'_, O> {
    fn replicate(&mut self, bytes: &[u8]) {
        self.repl.handle_write(bytes);
    }

    fn note_unfollowed_write(&mut self) {
        self.repl.handle_unfollowed_write();
    }

    fn replication(&self) -> ReplicationInfo {
        view::replication(self.repl, self.os.replica_traits(), self.now_ms())
    }

    fn good_replicas(&self) -> u32 {
        self.repl.count_good(self.now_ms()) as u32
    }

    fn stream_offset(&self) -> u64 {
        self.repl.offset()
    }

    fn acked_replicas(&self, offset: u64) -> (u32, u32) {
        (self.repl.count_acked(offset) as u32, self.repl.count_fsynced(offset) as u32)
    }

    fn note_write(&mut self, client: ClientId, log_end: u64, output_end: u64) {
        let point = Point { log: log_end, offset: self.repl.offset() };
        self.state.gate.wrote(client, point, output_end);
    }

    fn wait_for(&mut self, client: ClientId, wait: AckWait) {
        let point = Point { log: 0, offset: wait.offset };
        let replicas = (wait.replicas > 0).then_some(match wait.local {
            None => Watermark::Acked(wait.replicas),
            Some(_) => Watermark::AckedFsynced(wait.replicas),
        });
        let here = wait.local.is_some_and(|local| local > 0).then_some(Watermark::Saved);
        self.state.gate.wait(client, point, Need::both(here, replicas));
        self.state.acks_wanted = true;
    }

    fn forget_wait(&mut self, client: ClientId) {
        self.state.gate.forget_wait(client);
    }

    fn replica_pending_bytes(&self, client: ClientId) -> u64 {
        self.repl.pending_bytes(conn_id(client))
    }
}

impl<O: Os> Persistence for Border<'_, O> {
    fn fsynced_offset(&self) -> Option<u64> {
        self.os.fsynced_offset()
    }

    fn write_refusal(&self) -> Option<CommandError> {
        self.os.write_refusal()
    }

    fn last_save_unix_s(&self) -> i64 {
        self.os.last_save_unix_s()
    }
}

impl<O: Os> Configuration for Border<'_, O> {
    fn settings(&self) -> Settings {
        self.os.settings()
    }

    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        self.os.config_get(patterns)
    }

    fn acl_file(&self) -> Option<String> {
        self.os.acl_file()
    }

    fn read_acl_file(&self) -> Result<Vec<u8>, String> {
        self.os.read_acl_file()
    }

    fn is_secret_directive(&self, name: &[u8]) -> bool {
        self.os.is_secret_directive(name)
    }
}
