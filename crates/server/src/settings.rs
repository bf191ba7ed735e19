//! From directives to the engine's settings, and what a change at run time makes the process do.

use engine::notify::Classes;
use engine::settings::{Guard, MaxmemoryPolicy, OutputLimits};
use engine::{CommandError, Outcome, Settings};
use log::{info, warn};
use node::{Node, Scene};
use repl::Repl;
use store::Limits;
use store::seed::HashSeed;

use crate::config::{
    self, BindAddress, BufferLimits, Caller, Config, Directive, ProtectedAction, SetError, os_error,
};
use crate::daemon::{self, OomClass};
use crate::host::{ConfigSetWaits, Deferred, Host};
use crate::listener::{self, ListenError, ListenSettings, Listener};
use crate::memory;
use crate::repl_settings::repl_settings;

/// The engine's share of the configuration.
pub fn engine_settings(config: &Config, hash_seed: HashSeed) -> Settings {
    let (memory, data, replication) = (&config.memory, &config.data, &config.replication);
    Settings {
        databases: config.general.databases as usize,
        limits: limits(config, hash_seed),
        requirepass: config.security.requirepass.clone(),
        maxmemory_bytes: memory.maxmemory_bytes,
        maxmemory_policy: policy(memory.maxmemory_policy),
        maxmemory_samples: memory.maxmemory_samples,
        maxmemory_eviction_tenacity: memory.maxmemory_eviction_tenacity,
        replica_ignore_maxmemory: replication.replica_ignore_maxmemory,
        output_limits: output_limits(&config.network.client_output_buffer_limit),
        lfu_log_factor: memory.lfu_log_factor,
        lfu_decay_time_min: memory.lfu_decay_time_min,
        lazyfree_lazy_eviction: memory.lazyfree_lazy_eviction,
        lazyfree_lazy_expire: memory.lazyfree_lazy_expire,
        lazyfree_lazy_server_del: memory.lazyfree_lazy_server_del,
        lazyfree_lazy_user_del: memory.lazyfree_lazy_user_del,
        lazyfree_lazy_user_flush: memory.lazyfree_lazy_user_flush,
        replica_serve_stale_data: replication.replica_serve_stale_data,
        replica_read_only: replication.replica_read_only,
        min_replicas_to_write: replication.min_replicas_to_write,
        min_replicas_max_lag_s: replication.min_replicas_max_lag_s,
        stop_writes_on_bgsave_error: config.persistence.stop_writes_on_bgsave_error,
        enable_debug_command: guard(config.security.enable_debug_command),
        enable_module_command: guard(config.security.enable_module_command),
        notify_keyspace_events: Classes::parse(data.notify_keyspace_events.as_bytes())
            .unwrap_or_default(),
        slowlog_log_slower_than_us: data.slowlog_log_slower_than_us,
        slowlog_max_len: data.slowlog_max_len as usize,
        latency_monitor_threshold_ms: data.latency_monitor_threshold_ms,
        latency_tracking: data.latency_tracking,
        latency_tracking_info_percentiles: data.latency_tracking_info_percentiles.clone(),
        active_expire_effort: memory.active_expire_effort,
        activerehashing: memory.activerehashing,
        hz: config.general.hz,
        proto_max_bulk_len: config.network.proto_max_bulk_len_bytes,
        maxclients: config.network.maxclients,
        appendonly: config.persistence.appendonly,
        tracking_table_max_keys: memory.tracking_table_max_keys,
        acllog_max_len: config.security.acllog_max_len as usize,
        busy_reply_threshold_ms: data.busy_reply_threshold_ms,
    }
}

fn output_limits(limits: &BufferLimits) -> OutputLimits {
    OutputLimits {
        normal_bytes: limits.normal.hard_bytes,
        replica_bytes: limits.replica.hard_bytes,
        pubsub_bytes: limits.pubsub.hard_bytes,
    }
}

pub fn limits(config: &Config, hash_seed: HashSeed) -> Limits {
    let data = &config.data;
    Limits {
        hash_max_listpack_entries: data.hash_max_listpack_entries as usize,
        hash_max_listpack_value: data.hash_max_listpack_value_bytes as usize,
        list_max_listpack_size: data.list_max_listpack_size,
        list_compress_depth: data.list_compress_depth,
        set_max_intset_entries: data.set_max_intset_entries as usize,
        set_max_listpack_entries: data.set_max_listpack_entries as usize,
        set_max_listpack_value: data.set_max_listpack_value_bytes as usize,
        zset_max_listpack_entries: data.zset_max_listpack_entries as usize,
        zset_max_listpack_value: data.zset_max_listpack_value_bytes as usize,
        hash_seed,
    }
}

fn policy(policy: config::MaxmemoryPolicy) -> MaxmemoryPolicy {
    use config::MaxmemoryPolicy as From;
    match policy {
        From::VolatileLru => MaxmemoryPolicy::VolatileLru,
        From::VolatileLfu => MaxmemoryPolicy::VolatileLfu,
        From::VolatileRandom => MaxmemoryPolicy::VolatileRandom,
        From::VolatileTtl => MaxmemoryPolicy::VolatileTtl,
        From::AllkeysLru => MaxmemoryPolicy::AllkeysLru,
        From::AllkeysLfu => MaxmemoryPolicy::AllkeysLfu,
        From::AllkeysRandom => MaxmemoryPolicy::AllkeysRandom,
        From::Noeviction => MaxmemoryPolicy::Noeviction,
    }
}

fn guard(action: ProtectedAction) -> Guard {
    match action {
        ProtectedAction::No => Guard::No,
        ProtectedAction::Local => Guard::Local,
        ProtectedAction::Yes => Guard::Yes,
    }
}

pub fn listen_settings(config: &Config) -> ListenSettings {
    let network = &config.network;
    let text =
        |bind: &BindAddress| format!("{}{}", if bind.optional { "-" } else { "" }, bind.host);
    ListenSettings {
        bind: network.bind.iter().map(text).collect(),
        port: network.port,
        backlog: network.tcp_backlog,
        unixsocket: (!network.unixsocket.is_empty()).then(|| network.unixsocket.clone().into()),
        unixsocketperm: (network.unixsocketperm != 0).then_some(network.unixsocketperm),
    }
}

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
        let local = scene.by.and_then(|id| self.peer(id)).is_some_and(|facts| facts.local);
        let caller = Caller { local, loading: self.loading.active };
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
            && changed.iter().any(|directive| directive.name == "appendonly");
        if !starts_aof {
            return Ok(Outcome::Done);
        }
        let asked = ConfigSetWaits { client: scene.by, before: Box::new(before), changed };
        // Inside EXEC the answer is due at once, and a file that cannot begin is tried again.
        let asked = (!in_exec).then_some(asked);
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
                && self.told_idle.insert(row.name)
            {
                warn!("{notice}");
            }
        }
    }

    /// The same at start, for all that files and the command line have set.
    pub fn tell_what_has_no_effect_at_start(&mut self) {
        self.tell_what_has_no_effect(config::directives());
        for name in self.config.obsolete.clone() {
            if self.told_idle.insert(name) {
                warn!("WARNING: {name} has no effect: it has lost its meaning");
            }
        }
    }

    /// Does what a changed value asks of the process; most values are simply read when needed.
    fn put_into_effect(
        &mut self,
        directive: &Directive,
        repl: &mut Repl,
        now_ms: u64,
    ) -> Result<(), String> {
        let config = &self.config;
        match directive.name {
            "port" => self.listen_anew()?,
            "bind" => {
                self.listen_anew().map_err(|_| "Failed to bind to specified addresses.")?;
            }
            // Turning it on is begun, and answered, by `config_set`.
            "appendonly" if !config.persistence.appendonly => {
                self.deferred.push(Deferred::AppendOnly { on: false, asked: None });
            }
            "appendfsync" => self.aof.set_fsync(config.persistence.appendfsync),
            "dir" => {
                std::env::set_current_dir(&config.persistence.dir).map_err(|e| os_error(&e))?;
            }
            "maxclients" => {
                let asked = config.network.maxclients;
                let _ = daemon::adjust_open_files(&mut self.config);
                let possible = self.config.network.maxclients;
                if possible < asked {
                    return Err(format!(
                        "The operating system is not able to handle the specified number of \
                         clients, try with {possible}"
                    ));
                }
            }
            "oom-score-adj" | "oom-score-adj-values" => {
                self.oom.apply(config, OomClass::of_master(repl.is_master()))?;
            }
            "aof-disable-auto-gc" => {
                self.aof.keeps_history = config.persistence.aof_disable_auto_gc;
                self.aof.remove_history();
            }
            "no-appendfsync-on-rewrite" => {
                let skips = config.persistence.no_appendfsync_on_rewrite;
                self.aof.skip_fsync(skips && self.children.is_active());
            }
            "maxmemory-clients" => self.deferred.push(Deferred::ClientLimit),
            "jemalloc-bg-thread" => {
                memory::set_background_thread(config.general.jemalloc_bg_thread)
            }
            "loglevel" => crate::logging::set_level(config.general.loglevel),
            "maxmemory" => {
                self.deferred.push(Deferred::ClientLimit);
                let used = self.memory.used_bytes();
                let max = config.memory.maxmemory_bytes;
                if max > 0 && max < used {
                    warn!(
                        "WARNING: the new maxmemory value set via CONFIG SET ({max}) is smaller \
                         than the current memory usage ({used}). This will result in key eviction \
                         and/or the inability to accept new write commands depending on the \
                         maxmemory-policy."
                    );
                }
            }
            _ => {}
        }
        let settings = repl_settings(&self.config);
        if settings != *repl.settings() {
            repl.apply_settings(now_ms, settings);
        }
        Ok(())
    }

    /// Opens the TCP listeners that the configuration names now. The old ones are closed first, as
    /// most of them have the same port; when the new ones cannot be opened, the caller restores the
    /// configuration and calls again.
    fn listen_anew(&mut self) -> Result<(), String> {
        let (mut kept, old): (Vec<_>, Vec<_>) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(|listener| matches!(listener, Listener::Unix(_)));
        for mut listener in old {
            listener.deregister(&self.registry);
        }
        let mut wanted = listen_settings(&self.config);
        // The socket file is served by the listener that has it open.
        wanted.unixsocket = None;
        let opened = match listener::open(&wanted) {
            Ok(listeners) => Ok(listeners),
            Err(ListenError::NothingToListenOn) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let failure = opened.as_ref().err().map(|error| error.to_string());
        self.listeners = opened.unwrap_or_default();
        self.listeners.append(&mut kept);
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            // A listener that is kept may have another number now.
            listener.deregister(&self.registry);
            listener.register(&self.registry, index as u32).map_err(|e| os_error(&e))?;
        }
        match failure {
            Some(why) => {
                warn!("{why}");
                Err("Unable to listen on this port. Check server logs.".into())
            }
            None => Ok(()),
        }
    }

    /// DEBUG CONFIG-REWRITE-FORCE-ALL.
    pub fn config_rewrite_all(&mut self) -> Result<Outcome, CommandError> {
        match self.config.rewrite_whole() {
            Ok(()) => Ok(Outcome::Done),
            Err(_) => Err(CommandError::err("CONFIG-REWRITE-FORCE-ALL failed")),
        }
    }

    pub fn config_rewrite(&mut self) -> Result<Outcome, CommandError> {
        match self.config.rewrite() {
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

fn refusal(error: SetError) -> CommandError {
    CommandError::text(error.to_string())
}
