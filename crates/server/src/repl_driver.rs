//! What replication has of the process: the core, the socket to the master, the snapshot that
//! arrives, the files that are sent. It executes what the core asks for and decides nothing.
//!
//! The actions themselves are performed in `repl_actions.rs`, because most need the engine; the
//! master's socket is in `master_link.rs`, the replicas' in `replica_out.rs`.

use std::collections::HashMap;
use std::fs::File;

use bytes::Bytes;
use engine::world::{
    MasterAddress, MasterLinkInfo, ReplicaInfo, ReplicationInfo, SyncEstimateInfo,
};
use engine::{ClientId, CommandError, Now, Outcome};
use protocol::RequestParser;
use repl::{
    ConnId, FailoverRequest, FailoverState, MasterAddr, Repl, ReplSettings, ReplconfReply,
    ReplicationView, SnapshotEvent, SnapshotId, SnapshotProgress, SyncRequest,
};

use crate::config::{Config, Program, ReplicaOf};
use crate::host::{Deferred, Host};
use crate::master_link::MasterLink;
use crate::snapshot_in::IncomingSnapshot;

pub struct ReplDriver {
    pub core: Repl,
    pub link: Option<MasterLink>,
    /// The engine's client that runs the master's stream; made at the first stream.
    pub master_client: Option<ClientId>,
    /// Unparsed bytes of the master's stream.
    pub parser: RequestParser,
    /// Bytes of the stream that were run but do not end at a boundary: inside MULTI.
    pub unreported_bytes: u64,
    /// The database in which a stream goes on that was resumed or follows a snapshot.
    pub stream_db: usize,
    pub incoming: Option<IncomingSnapshot>,
    /// Snapshot files that are being sent.
    pub files: HashMap<SnapshotId, File>,
    /// WAIT or a shutdown wants to know how far the replicas are.
    pub acks_wanted: bool,
    /// Acknowledgements have come in since the last turn.
    pub acks_changed: bool,
    /// What waiters were last told of the append-only file.
    pub noted_fsynced: Option<u64>,
    /// The role that everything else has been told of.
    pub followed_master: bool,
}

impl ReplDriver {
    pub fn new(now_ms: u64, settings: ReplSettings) -> ReplDriver {
        let entropy = Box::new(crate::entropy::twenty_bytes);
        ReplDriver {
            core: Repl::new(now_ms, settings, entropy),
            link: None,
            master_client: None,
            parser: RequestParser::new(),
            unreported_bytes: 0,
            stream_db: 0,
            incoming: None,
            files: HashMap::new(),
            acks_wanted: false,
            acks_changed: false,
            noted_fsynced: None,
            followed_master: true,
        }
    }

    pub fn snapshot_failed(&mut self, now: Now, id: SnapshotId, why: &str) {
        let event = SnapshotEvent::Failed { id, why: why.to_owned() };
        self.core.handle_snapshot(now.mono_us / 1000, event);
    }

    pub fn snapshot_chunk(&mut self, now: Now, id: SnapshotId, bytes: Bytes) {
        self.core.handle_snapshot(now.mono_us / 1000, SnapshotEvent::Chunk { id, bytes });
    }

    pub fn snapshot_progress(&mut self, now: Now, id: SnapshotId, progress: SnapshotProgress) {
        self.core.handle_snapshot(now.mono_us / 1000, SnapshotEvent::Progress { id, progress });
    }

    /// INFO replication and ROLE, in the engine's words.
    pub fn info(&self, config: &Config, now_ms: u64) -> ReplicationInfo {
        let view = self.core.view(now_ms);
        ReplicationInfo {
            master: master_info(&view, config),
            replicas: view
                .replicas
                .iter()
                .map(|replica| ReplicaInfo {
                    ip: replica.ip.clone(),
                    port: replica.port,
                    state: replica.state,
                    offset: replica.offset,
                    lag_s: replica.lag_secs,
                    sync: replica.transfer.map(|transfer| transfer.as_pairs()),
                })
                .collect(),
            snapshot: view.snapshot.map(|snapshot| snapshot.as_pairs()),
            good_replicas: view.good_replicas.unwrap_or(0) as u32,
            failover_state: view.failover.as_str(),
            replid: view.ids.replid.to_string(),
            replid2: view.ids.replid2.to_string(),
            offset: view.offset,
            second_offset: view.ids.second_offset.map_or(-1, |offset| offset as i64),
            backlog_active: view.backlog.is_active,
            backlog_size_bytes: view.backlog.size_bytes,
            backlog_first_byte_offset: view.backlog.first_byte_offset,
            backlog_histlen: view.backlog.len_bytes,
        }
    }
}

fn master_info(view: &ReplicationView, config: &Config) -> Option<MasterLinkInfo> {
    let up = view.upstream.as_ref()?;
    let transfer = up.transfer.as_ref();
    Some(MasterLinkInfo {
        host: up.addr.host.clone(),
        port: up.addr.port,
        up: up.phase == repl::LinkPhase::Connected,
        state: up.phase.as_str(),
        last_io_seconds_ago: up.last_io_secs.map_or(-1, |s| s as i64),
        sync_in_progress: transfer.is_some(),
        read_offset: up.read_offset,
        offset: view.offset,
        sync_total_bytes: transfer.and_then(|t| t.total_bytes()).unwrap_or(0),
        sync_estimate: transfer.and_then(|t| t.estimate()).map(|estimate| SyncEstimateInfo {
            total_bytes: estimate.total_bytes,
            keys_written: estimate.progress.keys,
            keys_total: estimate.progress.keys_total,
        }),
        sync_perc_hundredths: transfer.map_or(0, |t| (t.percent() * 100.0).round() as u32),
        sync_read_bytes: transfer.map_or(0, |t| t.read_bytes),
        sync_last_io_seconds_ago: transfer.map_or(-1, |t| t.last_io_secs as i64),
        sync_bytes_per_second: transfer.map_or(0, |t| t.bytes_per_sec as u64),
        sync_seconds_left: transfer.and_then(|t| t.secs_left()),
        down_since_seconds: up.down_since_secs.map_or(-1, |s| s as i64),
        stopped_before: up.fault.as_ref().map(|f| (f.command.clone(), f.why.clone())),
        retry_in_seconds: up.retry_in_secs,
        priority: config.replication.replica_priority,
        read_only: config.replication.replica_read_only,
        announced: config.replication.replica_announced,
    })
}

impl Host {
    /// REPLICAOF takes effect in its place: what follows in the same EXEC is judged by the new role, and
    /// CONFIG REWRITE saves it. Sockets and files follow when the command has returned.
    pub fn request_replicaof(
        &mut self,
        target: Option<MasterAddress>,
        by: &str,
    ) -> Result<Outcome, CommandError> {
        if self.repl.core.failover_state() != FailoverState::None {
            return Err(CommandError::err("REPLICAOF not allowed while failing over."));
        }
        if let (Some(target), Some(master)) = (&target, self.repl.core.master_addr())
            && target.port == master.port
            && target.host.eq_ignore_ascii_case(&master.host)
        {
            log::info!(
                "REPLICAOF would result into synchronization with the master we are already \
                 connected with. No operation performed."
            );
            return Ok(Outcome::Status("OK Already connected to specified master".into()));
        }
        let now_ms = self.now_ms();
        match target {
            Some(MasterAddress { host, port }) => {
                self.repl.core.replicaof(now_ms, MasterAddr { host, port }, by);
            }
            None => {
                self.repl.core.replicaof_no_one(now_ms, by);
            }
        }
        self.note_master();
        self.deferred.push(Deferred::RoleChanged);
        Ok(Outcome::Done)
    }

    /// The configuration tells the role, whoever has changed it.
    pub fn note_master(&mut self) {
        self.config.replication.replicaof = match self.repl.core.master_addr() {
            Some(MasterAddr { host, port }) => {
                ReplicaOf::Master { host: host.clone(), port: *port }
            }
            None if self.config.program == Program::Replica => ReplicaOf::NoOne,
            None => ReplicaOf::Unset,
        };
    }

    pub fn request_psync(
        &mut self,
        client: ClientId,
        replid: Option<&[u8]>,
        offset: &[u8],
        failover_by: Option<&str>,
    ) -> Result<Outcome, CommandError> {
        let now_ms = self.now_ms();
        let conn = conn_id(client);
        if let (Some(by), Some(replid)) = (failover_by, replid) {
            let accepted = self.repl.core.handle_failover_request(now_ms, replid, by);
            // The new role is taken up when this command is done, whatever becomes of the sync.
            self.deferred.push(Deferred::Failover);
            accepted.map_err(|refusal| CommandError::text(refusal.to_owned()))?;
        }
        let peer_ip = self.peer_ip(client);
        let accepted = match replid {
            None => self.repl.core.replica_sync(now_ms, conn, &peer_ip),
            Some(replid) => {
                let request = SyncRequest { conn, peer_ip: &peer_ip, replid, offset };
                self.repl.core.replica_psync(now_ms, request)
            }
        };
        match accepted {
            Ok(()) => {
                self.deferred.push(Deferred::BecameReplica(client));
                Ok(Outcome::Silent)
            }
            Err(refusal) => Err(CommandError::text(refusal.text().to_owned())),
        }
    }

    pub fn request_failover(
        &mut self,
        target: Option<(&[u8], i64)>,
        timeout_ms: Option<u64>,
        force: bool,
    ) -> Result<Outcome, CommandError> {
        let target = target.map(|(host, port)| (String::from_utf8_lossy(host).into_owned(), port));
        let now_ms = self.now_ms();
        let request = FailoverRequest { target, force, timeout_ms };
        self.failover_done(|core| core.failover(now_ms, request))
    }

    pub fn request_failover_abort(&mut self) -> Result<Outcome, CommandError> {
        let now_ms = self.now_ms();
        self.failover_done(|core| core.abort_failover(now_ms))
    }

    fn failover_done(
        &mut self,
        ask: impl FnOnce(&mut Repl) -> Result<(), &'static str>,
    ) -> Result<Outcome, CommandError> {
        ask(&mut self.repl.core).map_err(|refusal| CommandError::text(refusal.to_owned()))?;
        self.deferred.push(Deferred::Failover);
        Ok(Outcome::Done)
    }

    pub fn request_replconf(
        &mut self,
        client: ClientId,
        words: &[&[u8]],
    ) -> Result<Outcome, CommandError> {
        let now_ms = self.now_ms();
        let from_master = self.repl.master_client == Some(client);
        if from_master {
            if words.first().is_some_and(|word| word.eq_ignore_ascii_case(b"getack")) {
                self.repl.core.handle_getack(now_ms);
            }
            return Ok(Outcome::Silent);
        }
        self.repl.acks_changed |= words.first().is_some_and(|w| w.eq_ignore_ascii_case(b"ack"));
        match self.repl.core.replica_replconf(now_ms, conn_id(client), words) {
            ReplconfReply::Ok => Ok(Outcome::Done),
            ReplconfReply::Silent => Ok(Outcome::Silent),
            ReplconfReply::Error(text) => Err(CommandError::text(text)),
        }
    }

    pub fn repl_connection_closed(&mut self, client: ClientId) {
        let now_ms = self.now_ms();
        self.repl.core.handle_conn_closed(now_ms, conn_id(client));
    }
}

/// Bits of a slot number within a `ConnId`; the client's number has the others.
const SLOT_BITS: u32 = 24;

/// A client as replication knows it.
pub fn conn_id(client: ClientId) -> ConnId {
    ConnId(client.id << SLOT_BITS | u64::from(client.slot))
}

pub fn client_of(conn: ConnId) -> ClientId {
    ClientId { id: conn.0 >> SLOT_BITS, slot: (conn.0 & ((1 << SLOT_BITS) - 1)) as u32 }
}

/// The settings of replication, out of the configuration.
pub fn repl_settings(config: &Config) -> ReplSettings {
    let replication = &config.replication;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ReplSettings {
        repl_backlog_size_bytes: replication.repl_backlog_size_bytes,
        repl_backlog_ttl_secs: replication.repl_backlog_ttl_s,
        repl_timeout_secs: replication.repl_timeout_s.into(),
        repl_ping_replica_period_secs: replication.repl_ping_replica_period_s.into(),
        repl_diskless_sync: replication.repl_diskless_sync,
        repl_diskless_sync_delay_secs: replication.repl_diskless_sync_delay_s.into(),
        repl_diskless_sync_max_replicas: replication.repl_diskless_sync_max_replicas.into(),
        repl_diskless_load: match replication.repl_diskless_load {
            crate::config::DisklessLoad::Disabled => repl::DisklessLoad::Disabled,
            crate::config::DisklessLoad::OnEmptyDb => repl::DisklessLoad::OnEmptyDb,
            crate::config::DisklessLoad::Swapdb => repl::DisklessLoad::SwapDb,
        },
        master_user: (!replication.masteruser.is_empty()).then(|| text(&replication.masteruser)),
        master_auth: (!replication.masterauth.is_empty()).then(|| replication.masterauth.clone()),
        announce_port: match replication.replica_announce_port {
            0 => config.network.port,
            port => port,
        },
        announce_ip: (!replication.replica_announce_ip.is_empty())
            .then(|| replication.replica_announce_ip.clone()),
        min_replicas_to_write: replication.min_replicas_to_write.into(),
        min_replicas_max_lag_secs: replication.min_replicas_max_lag_s.into(),
        has_save_points: !config.persistence.save.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_survives_the_trip_through_replication() {
        let client = ClientId { id: 123_456_789, slot: 9_999 };
        assert_eq!(client_of(conn_id(client)), client);
    }
}
