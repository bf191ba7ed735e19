//! What is done `hz` times a second, and what the other sources of the loop lead to: signals and
//! mail.

use log::warn;

use crate::config::ShutdownFlags;
use crate::event_loop::{Mail, Server};
use crate::host::HostStats;
use crate::shutdown::Flags;
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

impl Rates {
    /// Takes the counts of this moment in, where a sample is due.
    fn sample(&mut self, stats: &HostStats, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.sampled_us);
        if elapsed_us < SAMPLE_EVERY_US {
            return;
        }
        self.sampled_us = now_us;
        self.input.sample(stats.net_input_bytes, elapsed_us);
        self.output.sample(stats.net_output_bytes, elapsed_us);
        self.repl_input.sample(stats.net_repl_input_bytes, elapsed_us);
        self.repl_output.sample(stats.net_repl_output_bytes, elapsed_us);
        self.turns.sample(stats.loop_turns, elapsed_us);
        self.loop_us.sample(stats.loop_us, elapsed_us);
    }
}

impl Server {
    pub fn cron(&mut self) {
        let now = self.node.now();
        let hz = u64::from(self.host.config.general.hz.clamp(1, 500));
        self.host.next_cron_us = now.mono_us + 1_000_000 / hz;
        if self.host.cron_paused {
            return;
        }
        if let Some(interrupt) = self.host.postponed_end.take() {
            self.terminate(interrupt);
        }
        let Server { node, host, .. } = self;
        host.memory.refresh();
        host.rates.sample(&host.stats, now.mono_us);
        host.evict_clients(node);
        node.with_world(host, |engine, world| engine.cron(now, world));
        host.dirty = node.engine.dirty;
        host.connected_clients = host.conns.len();
        host.clients_cron(node);
        // SIGCHLD is not queued: one that was merged with another is made up for here.
        host.reap_children(node);
        host.rdb_cron(node);
        host.aof_cron(node);
        host.loading_cron(node);
    }

    pub fn handle_signals(&mut self) {
        while let Some(signal) = self.host.signals.next() {
            match signal {
                Received::Terminate { interrupt } => self.handle_termination(interrupt),
                Received::ChildEnded => self.host.reap_children(&mut self.node),
                // The log looks for a rotated file by itself, with every line.
                Received::ReopenLog => {}
                Received::Alarm => warn!("Received SIGALRM"),
            }
        }
    }

    fn handle_termination(&mut self, interrupt: bool) {
        let Server { node, host, .. } = self;
        if interrupt && node.is_shutting_down() {
            warn!("You insist... exiting now.");
            host.kill_child(node);
            host.exit_code = Some(1);
            return;
        }
        let name = if interrupt { "SIGINT" } else { "SIGTERM" };
        warn!("Received {name} scheduling shutdown...");
        if host.cron_paused {
            host.postponed_end = Some(interrupt);
            return;
        }
        self.terminate(interrupt);
    }

    fn terminate(&mut self, interrupt: bool) {
        let general = &self.host.config.general;
        let flags =
            if interrupt { general.shutdown_on_sigint } else { general.shutdown_on_sigterm };
        let ShutdownFlags { save, nosave, now, force } = flags;
        let save = if save { Some(true) } else { nosave.then_some(false) };
        let flags = Flags { save, now, force, abort: false };
        self.host.begin_shutdown(&mut self.node, None, flags);
    }

    pub fn read_mail(&mut self) {
        let Server { node, host, .. } = self;
        while let Some(mail) = self.mailbox.next() {
            match mail {
                Mail::Resolved(found) => host.master_resolved(node, found),
                Mail::AofWriter(news) => host.aof.hear_writer(news),
                Mail::Loaded(ended) => host.loading_ended(node, ended),
                // The next turn reads on by itself; being awake is all that was needed.
                Mail::LoaderHasRoom(_) => {}
            }
        }
    }
}
