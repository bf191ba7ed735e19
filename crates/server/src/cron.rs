//! What is done `hz` times a second, and what the other sources of the loop lead to: signals and
//! mail.

use log::{info, warn};

use crate::config::ShutdownFlags;
use crate::event_loop::Server;
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

impl Server {
    pub fn cron(&mut self) {
        let now = self.host.now;
        let hz = u64::from(self.host.config.general.hz.clamp(1, 500));
        self.next_cron_us = now.mono_us + 1_000_000 / hz;
        if self.host.cron_paused {
            return;
        }
        if let Some(interrupt) = self.host.postponed_end.take() {
            self.terminate(interrupt);
        }
        self.host.memory.refresh();
        self.sample_rates();
        self.evict_clients();
        self.engine.cron(now, &mut self.host);
        self.host.dirty = self.engine.dirty;
        self.host.connected_clients = self.conns.len();
        self.clients_cron();
        // SIGCHLD is not queued: one that was merged with another is made up for here.
        self.reap_children();
        self.rdb_cron();
        self.aof_cron();
        self.loading_cron();
    }

    fn sample_rates(&mut self) {
        let now_us = self.host.now.mono_us;
        let (stats, rates) = (&self.host.stats, &mut self.host.rates);
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

    pub fn handle_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                Received::Terminate { interrupt } => self.handle_termination(interrupt),
                Received::ChildEnded => self.reap_children(),
                // The log looks for a rotated file by itself, with every line.
                Received::ReopenLog => {}
                Received::Alarm => warn!("Received SIGALRM"),
            }
        }
    }

    fn handle_termination(&mut self, interrupt: bool) {
        if interrupt && self.host.shutdown.is_some() {
            warn!("You insist... exiting now.");
            self.kill_child();
            self.host.exit_code = Some(1);
            return;
        }
        let name = if interrupt { "SIGINT" } else { "SIGTERM" };
        warn!("Received {name} scheduling shutdown...");
        if self.host.cron_paused {
            self.host.postponed_end = Some(interrupt);
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
        self.begin_shutdown(None, shutdown::Flags { save, now, force, abort: false });
    }

    pub fn read_mail(&mut self) {
        while let Some(mail) = self.mailbox.next() {
            match mail {
                Mail::Resolved { attempt, result } => self.master_resolved(attempt, result),
                Mail::AofWriter(news) => self.host.aof.hear_writer(news),
                Mail::Loaded { serial, result } => self.loading_ended(serial, result),
                // The next turn reads on by itself; being awake is all that was needed.
                Mail::LoaderHasRoom => {}
            }
        }
    }

    /// The progress of a load, for INFO, and keepalives that the replication core sends by itself.
    fn loading_cron(&mut self) {
        let Some(loader) = &self.host.loader else { return };
        use std::sync::atomic::Ordering;
        let delay_us = self.host.config.persistence.key_load_delay_us;
        loader.progress.key_delay_us.store(delay_us, Ordering::Relaxed);
        self.host.loading.loaded_bytes = loader.progress.loaded_bytes.load(Ordering::Relaxed);
        self.host.loading.total_bytes = loader.progress.total_bytes.load(Ordering::Relaxed);
        let (loading, now_us) = (&mut self.host.loading, self.host.now.mono_us);
        let (loaded, total) = (loading.loaded_bytes, loading.total_bytes);
        if let Some(text) = loading.progress.tell(now_us, loaded, total) {
            info!("{text}");
        }
    }
}
