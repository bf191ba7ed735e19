//! What replication asks for, and what follows the role. Decides nothing of its own: each action is done
//! by its room, in order.

use engine::pause::PauseBy;
use engine::{ClientId, Kind, Role};
use repl::Action;

use crate::{Node, Os, client_of};

impl Node {
    /// Until the core has nothing more to ask for. True if it had anything.
    pub(crate) fn act<O: Os>(&mut self, os: &mut O) -> bool {
        // What is logged of a change of role is said in the new one, as Redis does.
        let is_master = self.repl.is_master();
        if self.state.follows_as_replica == is_master {
            os.follow_role(is_master);
        }
        let mut any = false;
        while let Some(action) = self.repl.poll_action() {
            any = true;
            self.perform(os, action);
        }
        self.follow_role(os);
        any
    }

    fn perform<O: Os>(&mut self, os: &mut O, action: Action) {
        match action {
            Action::Log { level, text } => os.log(level, &text),
            Action::Connect { link, host, port } => os.connect(link, &host, port),
            Action::CloseLink { link } => os.close_link(link),
            Action::SendMaster { link, bytes } => os.send_master(self, link, &bytes),
            Action::LoadStart { target, size_bytes } => os.load_start(self, target, size_bytes),
            Action::LoadChunk(bytes) => os.load_chunk(bytes),
            Action::LoadEnd { .. } => os.load_end(self),
            Action::LoadCommit => os.load_commit(self),
            Action::LoadAbort => os.load_abort(self),
            Action::StreamStart { .. } => self.stream_start(),
            Action::Apply(bytes) => self.apply(os, &bytes),
            Action::LinkWasLost { link, why } => {
                self.repl.handle_link_closed(self.now_ms(), link, &why);
            }
            Action::StreamEnd => self.stream_end(),
            Action::CloseReplica { conn } => os.close(self, client_of(conn)),
            Action::StartSnapshot { id, mode, filter } => os.start_snapshot(self, id, mode, filter),
            Action::PauseWrites => self.engine.pause_writes(PauseBy::Failover, u64::MAX),
            Action::ResumeWrites => {
                // Those who waited are judged by the role that came of it.
                self.follow_role(os);
                self.resume_writes(os, PauseBy::Failover);
            }
            Action::SelectAgain => self.engine.propagation.reselect_stream(),
            Action::CancelSnapshot { id } => os.cancel_snapshot(self, id),
            Action::ReleaseSnapshot { id } => os.release_snapshot(id),
        }
    }

    pub(crate) fn resume_writes<O: Os>(&mut self, os: &mut O, by: PauseBy) {
        let now = self.now;
        let (engine, mut border) = self.border(os);
        engine.resume_writes(now, by, &mut border);
    }

    /// The engine's rules go by the role, and its stream is only made where somebody reads it.
    pub(crate) fn follow_role<O: Os>(&mut self, os: &mut O) {
        let is_master = self.repl.is_master();
        self.engine.role = match is_master {
            true => Role::Master,
            false => Role::Replica { link_up: self.repl.is_link_up() },
        };
        self.engine.propagation.set_stream(is_master && self.repl.has_backlog());
        if std::mem::replace(&mut self.state.follows_as_replica, !is_master) != is_master {
            return;
        }
        // A failover changes the role without REPLICAOF.
        os.note_master(self.repl.master_addr());
        os.follow_role(is_master);
        if !is_master {
            let (engine, mut border) = self.border(os);
            engine.unblock_for_demotion(&mut border);
        }
    }

    /// PSYNC or SYNC was accepted: the connection carries the stream from here on.
    pub(crate) fn become_replica<O: Os>(&mut self, os: &mut O, id: ClientId) {
        if let Some(client) = self.engine.client_mut(id) {
            client.kind = Kind::Replica;
            os.became_replica(id);
        }
    }
}
