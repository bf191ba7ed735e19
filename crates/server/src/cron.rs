//! What is done `hz` times a second, and what the other sources of the loop lead to: signals and
//! mail.

use log::warn;

use crate::config::ShutdownFlags;
use crate::os::shutdown::Flags;
use crate::process::signals::Received;
use crate::server::{Mail, Server};

impl Server {
    pub fn cron(&mut self) {
        let now = self.node.now();
        let hz = u64::from(self.host.config.general.hz.clamp(1, 500));
        self.host.turn.next_cron_us = now.mono_us + 1_000_000 / hz;
        self.host.supervise(&self.node);
        self.host.process.watchdog.rewind();
        if self.host.process.cron_paused {
            return;
        }
        if !self.host.is_writing_first_base()
            && let Some(interrupt) = self.host.process.postponed_end.take()
        {
            self.terminate(interrupt);
        }
        let Server { node, host, .. } = self;
        host.process.memory.refresh();
        host.turn.rates.sample(&host.turn.stats, now.mono_us);
        host.evict_clients(node);
        node.with_world(host, |engine, world| engine.cron(now, world));
        host.turn.dirty = node.engine.dirty;
        host.clients_cron(node);
        // SIGCHLD is not queued: one that was merged with another is made up for here.
        host.reap_children(node);
        host.rdb_cron(node);
        host.aof_cron(node);
        host.loading_cron(node);
        host.metrics_cron(node);
        host.defrag_cron(node);
        host.certificates_cron(now.mono_us);
    }

    pub fn handle_signals(&mut self) {
        while let Some(signal) = self.host.process.signals.next() {
            match signal {
                Received::Terminate { interrupt } => self.handle_termination(interrupt),
                Received::ChildEnded => self.host.reap_children(&mut self.node),
                // The log looks for a rotated file by itself, with every line.
                Received::ReopenLog => {}
                Received::Reload => self.host.reload(&self.node),
            }
        }
    }

    fn handle_termination(&mut self, interrupt: bool) {
        let Server { node, host, .. } = self;
        let is_postponed = host.process.postponed_end.is_some() && host.is_writing_first_base();
        if interrupt && (node.is_shutting_down() || is_postponed) {
            warn!("You insist... exiting now.");
            host.kill_child(node);
            host.process.exit_code = Some(1);
            return;
        }
        let name = if interrupt { "SIGINT" } else { "SIGTERM" };
        warn!("Received {name} scheduling shutdown...");
        if host.process.cron_paused {
            host.process.postponed_end = Some(interrupt);
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
        self.host.process.asked_to_end = Some(interrupt);
        self.host.begin_shutdown(&mut self.node, None, flags);
    }

    pub fn read_mail(&mut self) {
        let Server { node, host, .. } = self;
        while let Some(mail) = self.mailbox.next() {
            match mail {
                Mail::Resolved(found) => host.master_resolved(node, found),
                Mail::AofWriter(news) => host.hear_aof_writer(news),
                Mail::Disk(done) => host.disk_done(node, done),
                Mail::Loaded(ended) => host.loading_ended(node, ended),
                // The next turn reads on by itself; being awake is all that was needed.
                Mail::LoaderHasRoom(_) => {}
            }
        }
    }
}
