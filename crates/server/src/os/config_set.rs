//! CONFIG SET and REWRITE, and what a change at run time makes the process do.

use engine::{CommandError, Outcome};
use log::{info, warn};
use node::{Node, Scene};
use repl::Repl;

use crate::config::{self, Caller, Config, Directive, Effect, SetError, repl_settings};
use crate::net::listener::ListenSettings;
use crate::os::host::{ConfigSetWaits, Deferred, Host};
use crate::process::crash;
use crate::process::daemon::{self, OomClass};
use crate::process::logging;
use crate::process::memory;
use crate::process::os_error::os_error;
use crate::process::title;

impl Host {
    /// CONFIG SET: all pairs or none, checked, stored and put into effect.
    pub fn config_set(
        &mut self,
        scene: Scene<'_>,
        pairs: &[(&[u8], &[u8])],
        in_exec: bool,
    ) -> Result<Outcome, CommandError> {
        let now_ms = scene.now.mono_us / 1000;
        let before = self.config.clone();
        let local = scene.by.and_then(|id| self.net.peers.of(id)).is_some_and(|facts| facts.local);
        let caller = Caller { local, loading: self.disk.loading.is_active() };
        let changed = self.config.set_pairs(pairs, caller).map_err(refusal)?;
        for directive in &changed {
            if let Err(why) = self.put_into_effect(directive, scene.repl, now_ms) {
                self.config = before;
                // What took effect before the failure goes back the same way; it worked once.
                for directive in &changed {
                    let _ = self.put_into_effect(directive, scene.repl, now_ms);
                }
                let name = directive.name.to_owned();
                return Err(refusal(SetError::Failed { name, why }));
            }
        }
        self.tell_what_has_no_effect(changed.iter().copied());
        let starts_aof = self.config.persistence.appendonly
            && changed.iter().any(|directive| directive.effect == Effect::AppendOnly);
        if !starts_aof {
            return Ok(Outcome::Done);
        }
        let asked = ConfigSetWaits { client: scene.by, before: Box::new(before), changed };
        // Inside EXEC the answer is due at once, and a file that cannot begin is tried again.
        let asked = (!in_exec).then_some(asked);
        if in_exec && !self.disk.children.is_active() {
            info!(
                "AOF was enabled during a transaction. An AOF background was scheduled to start when possible."
            );
        }
        self.deferred.push(Deferred::AppendOnly { on: true, asked });
        Ok(if in_exec { Outcome::Done } else { Outcome::Silent })
    }

    /// `appendonly` could not be put into effect: nor is what was set together with it.
    pub fn take_back(
        &mut self,
        node: &mut Node,
        before: Config,
        changed: &[&'static Directive],
    ) -> CommandError {
        let now_ms = node.now_ms();
        self.config = before;
        for directive in changed {
            let _ = self.put_into_effect(directive, &mut node.repl, now_ms);
        }
        refusal(SetError::Failed {
            name: "appendonly".to_owned(),
            why: "Unable to turn on AOF. Check server logs.".to_owned(),
        })
    }

    /// Says in the log, once for each directive, that a value does nothing.
    fn tell_what_has_no_effect(&mut self, rows: impl Iterator<Item = &'static Directive>) {
        for row in rows {
            if let Some(notice) = row.idle_notice(&self.config)
                && self.process.told_idle.insert(row.name)
            {
                warn!("{notice}");
            }
        }
    }

    /// The same at start, for all that files and the command line have set.
    pub fn tell_what_has_no_effect_at_start(&mut self) {
        self.tell_what_has_no_effect(config::directives());
        for name in self.config.foreign.clone() {
            if let Some(notice) = config::foreign_notice(name)
                && self.process.told_idle.insert(name)
            {
                warn!("{notice}");
            }
        }
    }

    /// Does what a changed value asks of the process.
    fn put_into_effect(
        &mut self,
        directive: &Directive,
        repl: &mut Repl,
        now_ms: u64,
    ) -> Result<(), String> {
        let config = &self.config;
        match directive.effect {
            Effect::WhenRead => {}
            Effect::Port => self.listen_anew()?,
            Effect::Bind => {
                self.listen_anew().map_err(|_| "Failed to bind to specified addresses.")?;
            }
            Effect::TlsPort => {
                if self.net.tls.is_none() {
                    self.read_tls_files()?;
                }
                self.listen_anew()?;
            }
            Effect::Tls => self.read_tls_files()?,
            Effect::AppendOnly => {
                // Turning it on is begun, and answered, by `config_set`.
                if !config.persistence.appendonly {
                    self.deferred.push(Deferred::AppendOnly { on: false, asked: None });
                }
            }
            Effect::AppendFsync => self.disk.aof.set_fsync(config.persistence.appendfsync),
            Effect::FsyncDuringRewrite => {
                let skips = config.persistence.no_appendfsync_on_rewrite;
                self.disk.aof.skip_fsync(skips && self.disk.children.is_active());
            }
            Effect::AofHistory => {
                self.disk.aof.keep_history(config.persistence.aof_disable_auto_gc);
            }
            Effect::WorkingDirectory => {
                std::env::set_current_dir(&config.persistence.dir).map_err(|e| os_error(&e))?;
            }
            Effect::MaxClients => self.make_room_for_clients()?,
            Effect::OomScore => {
                self.process.oom.apply(config.oom_rule(), OomClass::of_master(repl.is_master()))?;
            }
            Effect::ClientMemory => self.deferred.push(Deferred::ClientLimit),
            Effect::MaxMemory => {
                self.deferred.push(Deferred::ClientLimit);
                self.warn_of_low_maxmemory();
            }
            Effect::AllocatorThread => {
                memory::set_background_thread(config.general.jemalloc_bg_thread);
            }
            Effect::ProcessTitle if config.general.set_proc_title => {
                title::set(&config.process_title());
            }
            Effect::ProcessTitle => {}
            Effect::Metrics => {
                let settings = self.metrics_settings();
                self.process.metrics.configure(settings)?;
            }
            Effect::LogForm => logging::set_form(config.general.log_format.form()),
            Effect::CrashLog => crash::set_wanted(config.general.crash_log_enabled),
            Effect::Watchdog => self.set_watchdog(),
            Effect::LogLevel => logging::set_level(config.general.loglevel.filter()),
        }
        let settings = repl_settings(&self.config);
        if settings != *repl.settings() {
            repl.apply_settings(now_ms, settings);
        }
        Ok(())
    }

    /// A period below two rounds of the clock would find every turn too long.
    pub fn set_watchdog(&mut self) {
        let general = &self.config.general;
        let shortest_ms = 2000 / general.hz.clamp(1, 500);
        let period_ms = match general.watchdog_period_ms {
            0 => 0,
            asked => asked.max(shortest_ms),
        };
        self.process.watchdog.set_period(period_ms);
    }

    fn make_room_for_clients(&mut self) -> Result<(), String> {
        let asked = self.config.network.maxclients;
        let possible = daemon::adjust_open_files(asked).unwrap_or(asked);
        self.config.network.maxclients = possible;
        if possible < asked {
            return Err(format!(
                "The operating system is not able to handle the specified number of clients, try \
                 with {possible}"
            ));
        }
        Ok(())
    }

    fn warn_of_low_maxmemory(&self) {
        let used = self.process.memory.used_bytes();
        let max = self.config.memory.maxmemory_bytes;
        if max > 0 && max < used {
            warn!(
                "WARNING: the new maxmemory value set via CONFIG SET ({max}) is smaller than the \
                 current memory usage ({used}). This will result in key eviction and/or the \
                 inability to accept new write commands depending on the maxmemory-policy."
            );
        }
    }

    /// Where it fails, the caller restores the configuration and calls again.
    fn listen_anew(&mut self) -> Result<(), String> {
        let wanted = ListenSettings::of(&self.config);
        self.net.listeners.open_anew(&self.net.registry, wanted)
    }

    /// DEBUG CONFIG-REWRITE-FORCE-ALL.
    pub fn config_rewrite_all(&mut self, users: &[Vec<u8>]) -> Result<Outcome, CommandError> {
        match self.config.rewrite_whole(users) {
            Ok(()) => Ok(Outcome::Done),
            Err(_) => Err(CommandError::err("CONFIG-REWRITE-FORCE-ALL failed")),
        }
    }

    pub fn config_rewrite(&mut self, users: &[Vec<u8>]) -> Result<Outcome, CommandError> {
        match self.config.rewrite(users) {
            Ok(()) => {
                info!("CONFIG REWRITE executed with success.");
                Ok(Outcome::Done)
            }
            Err(error) => {
                warn!("CONFIG REWRITE failed: {error}");
                Err(CommandError::err(error))
            }
        }
    }
}

impl Host {
    /// ACL SAVE.
    pub fn save_acl_file(&mut self, text: &[u8]) -> Result<Outcome, CommandError> {
        match self.config.save_acl_file(text) {
            Ok(()) => Ok(Outcome::Done),
            Err(error) => {
                warn!("Writing ACL file for ACL SAVE: {}", os_error(&error));
                Err(CommandError::err(
                    "There was an error trying to save the ACLs. Please check the server logs for \
                     more information",
                ))
            }
        }
    }
}

fn refusal(error: SetError) -> CommandError {
    CommandError::text(error.to_string())
}
