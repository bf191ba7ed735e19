//! What the loop hands over to the thread that serves metrics.

use node::Node;
use repl::{FullSyncReason, LinkPhase, ReplicaView, TransferView, UpstreamView};

use crate::monitor::Settings;
use crate::monitor::figures::{Figures, ReplicaFigures, SyncFigures, UpstreamFigures};
use crate::os::host::Host;

impl Host {
    pub fn metrics_settings(&self) -> Settings {
        let monitoring = &self.config.monitoring;
        Settings {
            bind: monitoring.metrics_bind.iter().map(|bind| bind.host.clone()).collect(),
            port: monitoring.metrics_port,
        }
    }

    pub fn metrics_cron(&mut self, node: &mut Node) {
        let now_ms = node.now_ms();
        if !self.process.metrics.is_due(now_ms) {
            return;
        }
        let everything: &[&[u8]] = &[b"everything"];
        let info = node.with_world(self, |engine, world| engine.info(world, None, everything));
        let figures = self.metrics_figures(node, info);
        self.process.metrics.publish(now_ms, figures);
    }

    fn metrics_figures(&mut self, node: &Node, info: String) -> Figures {
        let now = node.now();
        let view = node.repl.view(node.now_ms());
        let stats = node.repl.stats();
        let fsynced = self.disk.aof.fsynced_stream_offset();
        let metrics = &mut self.process.metrics;
        Figures {
            unix_ms: now.unix_us / 1000,
            mono_ms: now.mono_us / 1000,
            info,
            databases: self.config.general.databases as usize,
            is_loading: self.disk.loading.is_active(),
            upstream: view.upstream.as_ref().map(|up| upstream(up, view.offset)),
            replicas: view.replicas.iter().map(|r| replica(r, view.offset)).collect(),
            offset: view.offset,
            backlog_bytes: view.backlog.len_bytes,
            full_syncs: FullSyncReason::ALL.map(|r| (r.as_str(), stats.full_for(r))).to_vec(),
            aof_unsynced_ms: metrics.unsynced_ms(now.mono_us / 1000, view.offset, fsynced),
            turns: self.turn.times,
            command_logs: node.engine.command_log_figures().to_vec(),
            latency_spikes: node.engine.latency_spikes(),
            ready_max_lag_secs: u64::from(self.config.monitoring.metrics_ready_max_lag_s),
        }
    }
}

fn upstream(up: &UpstreamView, offset: u64) -> UpstreamFigures {
    UpstreamFigures {
        host: up.addr.host.clone(),
        port: up.addr.port,
        is_up: up.phase == LinkPhase::Connected,
        phase: up.phase.as_str(),
        last_io_secs: up.last_io_secs,
        down_secs: up.down_since_secs,
        unapplied_bytes: up.read_offset.saturating_sub(offset),
        sync: up.transfer.as_ref().map(sync),
    }
}

fn replica(replica: &ReplicaView, offset: u64) -> ReplicaFigures {
    ReplicaFigures {
        ip: replica.ip.clone(),
        port: replica.port,
        state: replica.state,
        offset: replica.offset,
        lag_bytes: offset.saturating_sub(replica.offset),
        lag_secs: replica.lag_secs,
        sync: replica.transfer.as_ref().map(sync),
    }
}

fn sync(transfer: &TransferView) -> SyncFigures {
    SyncFigures {
        share: transfer.percent() / 100.0,
        bytes: transfer.read_bytes,
        bytes_per_sec: transfer.bytes_per_sec,
        secs_left: transfer.secs_left(),
    }
}
