//! Owns time: the second-by-second duties of both sides. Must not know a clock.

use crate::master::ReplicaState;
use crate::progress::Size;
use crate::{ConnId, Level, Repl, SnapshotMode, wire};

const TICK_MS: u64 = 1000;

#[derive(Debug)]
pub(crate) struct Cron {
    next_ms: u64,
    ticks: u64,
}

impl Cron {
    pub(crate) fn new(now_ms: u64) -> Self {
        // The first PING comes a period after the first replica, not ahead of what that replica asked for.
        Self { next_ms: now_ms + TICK_MS, ticks: 1 }
    }
}

impl Repl {
    /// When `handle_timeout` wants to be called. None while there is nothing to do but to wait for input.
    pub fn poll_timeout(&self) -> Option<u64> {
        let backlog_ages = self.stream.backlog().is_some();
        let is_needed =
            self.upstream.is_some() || !self.downstream.replicas.is_empty() || backlog_ages;
        let next_ms = is_needed.then_some(self.cron.next_ms);
        // Asked in every turn of the loop, and that is all for most masters.
        if self.failover.is_none() && self.upstream.is_none() {
            return next_ms;
        }
        [next_ms, self.failover_due_ms(), self.reconnect_at_ms()].into_iter().flatten().min()
    }

    /// Does what is due. Early calls are harmless.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.check_failover(now_ms);
        self.retry_master(now_ms);
        if now_ms < self.cron.next_ms {
            return;
        }
        self.cron.next_ms = now_ms + TICK_MS;
        self.upstream_tick(now_ms);
        self.ping_replicas();
        self.keep_waiting_replicas_alive();
        self.drop_timed_out_replicas(now_ms);
        self.free_old_backlog(now_ms);
        self.start_pending_snapshot(now_ms);
        self.log_progress_of_replicas(now_ms);
        self.cron.ticks += 1;
    }

    fn ping_replicas(&mut self) {
        let period = self.settings.repl_ping_replica_period_secs.max(1);
        let is_due = self.cron.ticks.is_multiple_of(period) && self.may_ping();
        if is_due && !self.downstream.replicas.is_empty() {
            // Replicas apply PING like any other command: it counts in the offset.
            self.feed_own(wire::PING);
        }
    }

    /// An empty line, outside of the stream, tells a replica that its master is still making the snapshot.
    fn keep_waiting_replicas_alive(&mut self) {
        for replica in &mut self.downstream.replicas {
            let is_waiting =
                matches!(replica.state, ReplicaState::WaitStart | ReplicaState::WaitEnd { .. });
            if is_waiting && replica.head.is_empty() {
                replica.head.push(b'\n');
            }
        }
    }

    fn drop_timed_out_replicas(&mut self, now_ms: u64) {
        let timeout_ms = self.settings.repl_timeout_secs * 1000;
        let mut late: Vec<(ConnId, String)> = Vec::new();
        for replica in &self.downstream.replicas {
            let silent_ms = now_ms.saturating_sub(replica.ack_ms);
            let stuck_ms = now_ms.saturating_sub(replica.last_sent_ms);
            let phase = match replica.state {
                _ if replica.is_online() && !replica.is_pre_psync && silent_ms > timeout_ms => {
                    "streaming sync"
                }
                // A replica that takes nothing keeps the child, and with it all the others, waiting.
                ReplicaState::Streaming { position, .. }
                    if stuck_ms > timeout_ms && self.has_queued_snapshot(position) =>
                {
                    "full sync"
                }
                _ => continue,
            };
            let name = replica.name();
            let text = format!("Disconnecting timedout replica ({phase}): {name}");
            late.push((replica.conn, text));
        }
        for (conn, text) in late {
            self.log(Level::Warning, text);
            self.close_replica(now_ms, conn);
        }
    }

    fn has_queued_snapshot(&self, position: u64) -> bool {
        self.snapshot.as_ref().is_some_and(|s| s.queue.after(position).next().is_some())
    }

    /// A master without replicas gives the backlog back after a while. A replica keeps it: it may be
    /// promoted, and asked then.
    fn free_old_backlog(&mut self, now_ms: u64) {
        let ttl_secs = self.settings.repl_backlog_ttl_secs;
        let idle_ms = now_ms.saturating_sub(self.downstream.no_replicas_since_ms);
        if ttl_secs == 0
            || self.upstream.is_some()
            || self.stream.backlog().is_none()
            || !self.downstream.replicas.is_empty()
            || self.snapshot.is_some()
            || idle_ms <= ttl_secs * 1000
        {
            return;
        }
        // What is written from now on is not counted, so the old id must not vouch for it.
        let replid = self.new_replid();
        self.ids.restart(replid);
        self.stream.free_backlog();
        let text = format!(
            "Replication backlog freed after {ttl_secs} seconds without connected replicas."
        );
        self.log(Level::Notice, text);
    }

    fn log_progress_of_replicas(&mut self, now_ms: u64) {
        let mut lines = Vec::new();
        let mut streamed = None;
        if let Some(snapshot) = &mut self.snapshot {
            if snapshot.mode == SnapshotMode::Socket {
                streamed = Some(Size::streamed(snapshot.progress));
            }
            if let Some(told) = snapshot.tell(now_ms) {
                lines.push(format!("Snapshot for replicas: {told}"));
            }
        }
        for replica in &mut self.downstream.replicas {
            let (sent, size) = match (replica.state, streamed) {
                (ReplicaState::SendFile { size_bytes, sent_bytes, .. }, _) => {
                    (sent_bytes, Size::Exact(size_bytes))
                }
                (ReplicaState::Streaming { position, .. }, Some(size)) => (position, size),
                _ => continue,
            };
            if let Some(told) = replica.progress.tell(now_ms, sent, size) {
                lines.push(format!("Sync with replica {}: sent {told}", replica.name()));
            }
        }
        for line in lines {
            self.log(Level::Notice, line);
        }
    }
}
