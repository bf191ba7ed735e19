//! Owns changes of role: REPLICAOF in all its forms, promotion, and what becomes of the histories then. Must
//! not know the steps of a link.
//!
//! Invariant: the history of a promoted replica continues the one it followed; of it, `replid2` keeps what
//! others may still ask for.

use crate::replica::{Reconnect, Upstream};
use crate::wire::printable;
use crate::{Action, HistoryPoint, Level, MasterAddr, Repl, SyncRefusal};

/// What REPLICAOF did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaofOutcome {
    Enabled,
    /// Answer "OK Already connected to specified master".
    AlreadyConnected,
    /// Nothing was done: a failover has to be aborted first.
    FailingOver,
}

impl Repl {
    /// Takes up the role that the configuration names. `history` is what the loaded RDB says of the data
    /// set: a replica offers it to its master, a master accepts replicas that were at that point. Keys that
    /// had expired meanwhile are propagated as deletions after this call.
    pub fn boot(&mut self, now_ms: u64, master: Option<MasterAddr>, history: Option<HistoryPoint>) {
        match (master, history) {
            (Some(addr), history) => {
                if let Some(point) = history {
                    self.ids.restart(point.replid);
                    self.stream.restart(point.offset, self.settings.repl_backlog_size_bytes);
                    self.synthesize_cached_master();
                }
                self.follow(now_ms, addr);
            }
            (None, Some(point)) => {
                let replid = self.new_replid();
                self.ids.restart(point.replid);
                self.ids.shift(replid, point.offset);
                self.stream.restart(point.offset, self.settings.repl_backlog_size_bytes);
                self.downstream.no_replicas_since_ms = now_ms;
            }
            (None, None) => {}
        }
    }

    /// REPLICAOF host port. `requested_by` names the client as in CLIENT LIST, for the log.
    pub fn replicaof(
        &mut self,
        now_ms: u64,
        addr: MasterAddr,
        requested_by: &str,
    ) -> ReplicaofOutcome {
        if self.failover.is_some() {
            return ReplicaofOutcome::FailingOver;
        }
        let is_same = self.upstream.as_ref().is_some_and(|up| {
            up.addr.port == addr.port && up.addr.host.eq_ignore_ascii_case(&addr.host)
        });
        if is_same {
            let text = "REPLICAOF would result into synchronization with the master we are already \
                        connected with. No operation performed.";
            self.log(Level::Notice, text);
            return ReplicaofOutcome::AlreadyConnected;
        }
        let (host, port) = (addr.host.clone(), addr.port);
        if self.upstream.is_some() {
            self.drop_upstream(now_ms);
        } else {
            self.synthesize_cached_master();
        }
        self.follow(now_ms, addr);
        let text = format!("REPLICAOF {host}:{port} enabled (user request from '{requested_by}')");
        self.log(Level::Notice, text);
        ReplicaofOutcome::Enabled
    }

    /// A client has written where only the master's stream may: what we have is not what our place in the
    /// history says, so that only a full sync leads back to it.
    pub fn handle_stray_write(&mut self) {
        if self.upstream.is_none() || self.data_differ {
            return;
        }
        self.data_differ = true;
        let text = "A transaction has written behind its REPLICAOF: a full resynchronization will replace that.";
        self.log(Level::Warning, text);
        self.discard_cached_master();
    }

    /// REPLICAOF NO ONE. False if this is a master already, or fails over.
    pub fn replicaof_no_one(&mut self, now_ms: u64, requested_by: &str) -> bool {
        if self.upstream.is_none() || self.failover.is_some() {
            return false;
        }
        self.promote(now_ms);
        let text = format!("MASTER MODE enabled (user request from '{requested_by}')");
        self.log(Level::Notice, text);
        true
    }

    /// `PSYNC replid offset FAILOVER`: our master hands its role over to us. To be called before
    /// `replica_psync`, which then finds a master. Err is the error to answer.
    pub fn handle_failover_request(
        &mut self,
        now_ms: u64,
        replid: &[u8],
        requested_by: &str,
    ) -> Result<(), &'static str> {
        let text = format!("Failover request received for replid {}.", printable(replid));
        self.log(Level::Warning, text);
        if self.upstream.is_none() {
            return Err("ERR PSYNC FAILOVER can't be sent to a master.");
        }
        if self.failover.is_some() {
            return Err(SyncRefusal::FailingOver.text());
        }
        if !self.ids.replid.is_named_by(replid) {
            return Err("ERR PSYNC FAILOVER replid must match my replid.");
        }
        self.promote(now_ms);
        let text = format!("MASTER MODE enabled (failover request from '{requested_by}')");
        self.log(Level::Notice, text);
        Ok(())
    }

    pub(crate) fn promote(&mut self, now_ms: u64) {
        self.drop_upstream(now_ms);
        self.discard_cached_master();
        let new = self.new_replid();
        let (old, offset) = (self.ids.replid, self.stream.offset());
        if std::mem::take(&mut self.data_differ) {
            // What we have is nobody's history but our own: replicas copy it in full.
            self.ids.restart(new);
            let text = format!(
                "The data set differed from the master's, so that replicas have to copy it in full. \
                 New replication ID is {new}"
            );
            self.log(Level::Warning, text);
        } else {
            self.ids.shift(new, offset);
            let text = format!(
                "Setting secondary replication ID to {old}, valid up to offset: {}. New replication \
                 ID is {new}",
                offset + 1
            );
            self.log(Level::Notice, text);
        }
        // Replicas must hear of the new id; they ask again and go on where they are.
        self.disconnect_replicas(now_ms);
        // Our stream goes on where the master's stood, in whatever database that was.
        self.actions.push_back(Action::SelectAgain);
        self.downstream.no_replicas_since_ms = now_ms;
    }

    /// What a master has, it may offer to its new master: if that one is its promoted replica, a partial
    /// resync is enough.
    pub(crate) fn synthesize_cached_master(&mut self) {
        let text = "Before turning into a replica, using my own master parameters to synthesize a \
                    cached master: I may be able to synchronize with the new master with just a \
                    partial transfer.";
        self.log(Level::Notice, text);
        self.stream.create_backlog(self.settings.repl_backlog_size_bytes);
        self.resumable = true;
    }

    pub(crate) fn follow(&mut self, now_ms: u64, addr: MasterAddr) {
        let (host, port) = (addr.host.clone(), addr.port);
        self.upstream = Some(Upstream::new(now_ms, addr));
        self.log(Level::Notice, format!("Connecting to MASTER {host}:{port}"));
        self.connect(now_ms);
    }

    /// Leaves the master without looking for it again.
    fn drop_upstream(&mut self, now_ms: u64) {
        self.lose_link(now_ms, Reconnect::Never);
        self.upstream = None;
    }
}
