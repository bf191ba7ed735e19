//! INFO replication and ROLE, in the engine's words.

use engine::world::{MasterLinkInfo, ReplicaInfo, ReplicationInfo, SyncEstimateInfo};
use repl::{LinkPhase, Repl, ReplicationView};

use crate::ReplicaTraits;

pub(crate) fn replication(repl: &Repl, traits: ReplicaTraits, now_ms: u64) -> ReplicationInfo {
    let view = repl.view(now_ms);
    ReplicationInfo {
        master: master(&view, traits),
        replicas: (view.replicas.iter())
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

fn master(view: &ReplicationView, traits: ReplicaTraits) -> Option<MasterLinkInfo> {
    let up = view.upstream.as_ref()?;
    let transfer = up.transfer.as_ref();
    Some(MasterLinkInfo {
        host: up.addr.host.clone(),
        port: up.addr.port,
        up: up.phase == LinkPhase::Connected,
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
        stopped_before: up.fault.as_ref().map(|f| (f.command.clone(), f.why.clone())),
        failure: up.failure.clone(),
        retry_in_seconds: up.retry_in_secs,
        down_since_seconds: up.down_since_secs.map_or(-1, |s| s as i64),
        priority: traits.priority,
        read_only: traits.read_only,
        announced: traits.announced,
    })
}
