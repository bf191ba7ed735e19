//! What is done `hz` times a second, and what the other sources of the loop lead to: signals and
//! mail.

use log::{info, warn};
use node::Node;

use crate::config::ShutdownFlags;
use crate::disk_worker::{DiskDone, Then};
use crate::host::Host;
use crate::mailbox::Mail;
use crate::shutdown;
use crate::signals::Received;

const SAMPLE_EVERY_US: u64 = 100_000;
const SAMPLES: usize = 16;

/// The mean rate of the last samples, as INFO's `instantaneous_` fields have it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    samples: [u64; SAMPLES],
    next: usize,
    last_count: u64,
}

impl Rate {
    fn sample(&mut self, count: u64, elapsed_us: u64) {
        let grown = count.saturating_sub(self.last_count);
        self.last_count = count;
        self.samples[self.next] = (u128::from(grown) * 1_000_000 / u128::from(elapsed_us)) as u64;
        self.next = (self.next + 1) % SAMPLES;
    }

    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / SAMPLES as u64
    }
}

/// Rates of INFO stats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub input: Rate,
    pub output: Rate,
    pub repl_input: Rate,
    pub repl_output: Rate,
    pub turns: Rate,
    pub loop_us: Rate,
    sampled_us: u64,
}

impl Host {
    pub fn cron(&mut self, node: &mut Node) {
        let now = node.now();
        let hz = u64::from(self.config.general.hz.clamp(1, 500));
        self.next_cron_us = now.mono_us + 1_000_000 / hz;
        if self.cron_paused {
            return;
        }
        if let Some(interrupt) = self.postponed_end.take() {
            self.terminate(node, interrupt);
        }
        self.memory.refresh();
        self.sample_rates(node);
        self.evict_clients(node);
        node.with_world(self, |engine, world| engine.cron(now, world));
        self.dirty = node.engine.dirty;
        self.connected_clients = self.conns.len();
        self.clients_cron(node);
        // SIGCHLD is not queued: one that was merged with another is made up for here.
        self.reap_children(node);
        self.rdb_cron(node);
        self.aof_cron(node);
        self.loading_cron(node);
    }

    fn sample_rates(&mut self, node: &mut Node) {
        let now_us = node.now().mono_us;
        let (stats, rates) = (&self.stats, &mut self.rates);
        let elapsed_us = now_us.saturating_sub(rates.sampled_us);
        if elapsed_us < SAMPLE_EVERY_US {
            return;
        }
        rates.sampled_us = now_us;
        rates.input.sample(stats.net_input_bytes, elapsed_us);
        rates.output.sample(stats.net_output_bytes, elapsed_us);
        rates.repl_input.sample(stats.net_repl_input_bytes, elapsed_us);
        rates.repl_output.sample(stats.net_repl_output_bytes, elapsed_us);
        rates.turns.sample(stats.loop_turns, elapsed_us);
        rates.loop_us.sample(stats.loop_us, elapsed_us);
    }

    pub fn handle_signals(&mut self, node: &mut Node) {
        while let Some(signal) = self.signals.next() {
            match signal {
                Received::Terminate { interrupt } => self.handle_termination(node, interrupt),
                Received::ChildEnded => self.reap_children(node),
                // The log looks for a rotated file by itself, with every line.
                Received::ReopenLog => {}
                Received::Alarm => warn!("Received SIGALRM"),
            }
        }
    }

    fn handle_termination(&mut self, node: &mut Node, interrupt: bool) {
        if interrupt && node.is_shutting_down() {
            warn!("You insist... exiting now.");
            self.kill_child(node);
            self.exit_code = Some(1);
            return;
        }
        let name = if interrupt { "SIGINT" } else { "SIGTERM" };
        warn!("Received {name} scheduling shutdown...");
        if self.cron_paused {
            self.postponed_end = Some(interrupt);
            return;
        }
        self.terminate(node, interrupt);
    }

    fn terminate(&mut self, node: &mut Node, interrupt: bool) {
        let general = &self.config.general;
        let flags =
            if interrupt { general.shutdown_on_sigint } else { general.shutdown_on_sigterm };
        let ShutdownFlags { save, nosave, now, force } = flags;
        let save = if save { Some(true) } else { nosave.then_some(false) };
        self.begin_shutdown(node, None, shutdown::Flags { save, now, force, abort: false });
    }

    pub fn read_mail(&mut self, node: &mut Node) {
        while let Some(mail) = self.mailbox.next() {
            match mail {
                Mail::Resolved { attempt, result } => self.master_resolved(node, attempt, result),
                Mail::AofWriter(news) => self.aof.hear_writer(news),
                Mail::Disk(done) => self.disk_done(node, done),
                Mail::Loaded { serial, result } => self.loading_ended(node, serial, result),
                // The next turn reads on by itself; being awake is all that was needed.
                Mail::LoaderHasRoom => {}
            }
        }
    }

    /// Goes on with what an order to the disk was for.
    fn disk_done(&mut self, node: &mut Node, done: DiskDone) {
        let DiskDone { then, result, took_us } = done;
        match then {
            Then::SnapshotSynced { serial } => self.snapshot_synced(node, serial, result),
            Then::SnapshotNamed { target } => self.snapshot_named(node, &target, result),
            Then::IncrNamed { before } => self.incr_named(node, *before, result),
            Then::AofInstalled(base) => self.aof_installed(node, *base, result, took_us),
            Then::AofHistoryForgotten => self.aof.history_forgotten(result),
            Then::TempRdbUnlinked => node.engine.record_latency("rdb-unlink-temp-file", took_us),
            Then::RdbSettled => self.rdb_settled(node),
        }
    }

    /// The progress of a load, for INFO, and keepalives that the replication core sends by itself.
    fn loading_cron(&mut self, node: &mut Node) {
        let Some(loader) = &self.loader else { return };
        use std::sync::atomic::Ordering;
        let delay_us = self.config.persistence.key_load_delay_us;
        loader.progress.key_delay_us.store(delay_us, Ordering::Relaxed);
        self.loading.loaded_bytes = loader.progress.loaded_bytes.load(Ordering::Relaxed);
        self.loading.total_bytes = loader.progress.total_bytes.load(Ordering::Relaxed);
        let (loading, now_us) = (&mut self.loading, node.now().mono_us);
        let (loaded, total) = (loading.loaded_bytes, loading.total_bytes);
        if let Some(text) = loading.progress.tell(now_us, loaded, total) {
            info!("{text}");
        }
    }
}
