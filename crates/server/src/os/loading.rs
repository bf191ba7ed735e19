//! Everything that puts a data set in its place: the first load, the snapshot of a master, DEBUG RELOAD.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use log::{info, log, warn};
use node::Node;
use persist::rdb::{AccessClock, LoadOptions};
use repl::{HistoryPoint, MasterAddr, ReplId};

use crate::config::{PropagationErrorBehavior, StartRole, engine_settings, limits};
use crate::disk::aof::AofState;
use crate::disk::aof::files::Begun;
use crate::disk::files::SteadyWriter;
use crate::disk::load_progress::LoadProgress;
use crate::disk::loader::LoadingInfo;
use crate::disk::loader::{self, LoadEnded, LoadFailure, LoadPurpose, Loaded, Loader, Order, What};
use crate::os::host::Host;
use crate::os::start;
use crate::process::clock;
use crate::process::entropy;
use crate::process::os_error::os_error;

/// Which of our own files to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFrom {
    Rdb,
    Aof,
}

impl Host {
    /// The append-only file wins over the snapshot when it is on: it knows more.
    pub fn begin_first_load(&mut self, node: &mut Node) -> Result<(), String> {
        let what = match self.config.persistence.appendonly {
            true => {
                self.disk.aof.files.open()?;
                self.disk.aof.files.has_data().then(|| self.aof_order(true))
            }
            false => self.rdb_order().map_err(|e| {
                let name = self.rdb_name();
                format!("Fatal error: can't open the RDB file {name} for reading: {}", os_error(&e))
            })?,
        };
        let Some(what) = what else { return self.first_load_done(node, None) };
        self.start_loading(node, what, LoadPurpose::Start, false).map_err(|e| os_error(&e))
    }

    fn rdb_order(&self) -> io::Result<Option<What>> {
        match File::open(self.rdb_path()) {
            Ok(file) => Ok(Some(What::Rdb { len: file.metadata()?.len(), file })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn aof_order(&self, at_start: bool) -> What {
        let aof = &self.disk.aof.files;
        let files: Vec<(String, PathBuf)> =
            aof.manifest.files().map(|file| (file.name.clone(), aof.path(&file.name))).collect();
        let truncate_tail = at_start && self.config.persistence.aof_load_truncated;
        What::Aof { files, truncate_tail }
    }

    fn first_load_done(
        &mut self,
        node: &mut Node,
        history: Option<HistoryPoint>,
    ) -> Result<(), String> {
        if self.config.persistence.appendonly {
            self.open_aof_at_start(node)?;
        }
        let master = match &self.process.start_role {
            StartRole::Master => None,
            StartRole::Replica { host, port } => {
                Some(MasterAddr { host: host.clone(), port: *port })
            }
        };
        node.boot(self, master, history);
        start::log_ready(&self.config);
        let status = match node.repl.is_master() {
            true => "Ready to accept connections",
            false => {
                "Ready to accept connections in read-only mode. Waiting for MASTER <-> REPLICA sync"
            }
        };
        self.process.supervisor.ready(status);
        Ok(())
    }

    fn open_aof_at_start(&mut self, node: &mut Node) -> Result<(), String> {
        self.disk.aof.files.create_dir()?;
        if self.disk.aof.files.manifest.base.is_none()
            && self.disk.aof.files.manifest.incrs.is_empty()
        {
            self.create_first_base(node).map_err(|e| {
                format!("Error creating the AOF base file on server start: {}", os_error(&e))
            })?;
        }
        let opened =
            self.disk.aof.files.open_last_incr().and_then(|file| self.disk.aof.switch_to(file));
        opened.map_err(|e| format!("Can't open the append-only file: {}", os_error(&e)))?;
        let aof = &mut self.disk.aof;
        aof.remove_history();
        aof.current_bytes = aof.files.size_bytes();
        aof.base_bytes = aof.current_bytes;
        aof.state = AofState::On;
        node.engine.propagation.set_aof(true);
        Ok(())
    }

    /// An AOF without a base begins with one of the data set as it is, which is empty at this point.
    fn create_first_base(&mut self, node: &mut Node) -> io::Result<()> {
        use persist::aof::manifest::BaseFormat;
        let temp = self.disk.aof.files.path("temp-base.aof");
        let format = match self.config.persistence.aof_use_rdb_preamble {
            true => BaseFormat::Rdb,
            false => BaseFormat::Aof,
        };
        let mut header = self.snapshot_header(node);
        header.set_aof_base();
        let mut out = SteadyWriter::create(&temp, false)?;
        if format == BaseFormat::Rdb {
            header.save(&node.engine.keyspace, &mut out, &mut ())?;
        }
        out.finish()?;
        self.disk.aof.files.install_base(&temp, format, Begun::Incr)?;
        let name = self.disk.aof.files.manifest.base.as_ref().map(|base| base.name.clone());
        info!("Creating AOF base file {} on server start", name.unwrap_or_default());
        Ok(())
    }

    // ---- loading ----

    fn load_options(&self, node: &mut Node) -> LoadOptions {
        let config = &self.config;
        let is_master = match self.disk.load_purpose {
            LoadPurpose::Start => matches!(self.process.start_role, StartRole::Master),
            _ => false,
        };
        let now_s = node.now().unix_s();
        let clock = match node.engine.settings.maxmemory_policy.is_lfu() {
            true => {
                AccessClock::Lfu { now_minutes: (now_s / 60) as u16, initial: store::lfu::INITIAL }
            }
            false => AccessClock::Lru { now: (now_s & 0xff_ffff) as u32 },
        };
        LoadOptions {
            limits: limits(config, self.hash_seed),
            now_ms: node.now().unix_ms(),
            drop_expired: is_master,
            verify_checksum: config.persistence.rdbchecksum,
            allow_duplicates: false,
            clock,
        }
    }

    fn order(&self, node: &mut Node, what: What) -> Order {
        Order {
            what,
            options: self.load_options(node),
            settings: engine_settings(&self.config, self.hash_seed),
            hash_seed: self.hash_seed,
            rng_seed: entropy::word(),
            key_delay_us: self.config.persistence.key_load_delay_us,
            errors_end_it: self.config.replication.propagation_error_behavior
                == PropagationErrorBehavior::Panic,
        }
    }

    /// Begins a load in its thread; `asynchronous` keeps the old data set in service.
    pub fn start_loading(
        &mut self,
        node: &mut Node,
        what: What,
        purpose: LoadPurpose,
        asynchronous: bool,
    ) -> io::Result<()> {
        info!("Loading {}", what.told());
        self.start_loader(node, what, purpose)?;
        self.disk.loading = LoadingInfo {
            active: true,
            asynchronous,
            started_unix_s: node.now().unix_us / 1_000_000,
            progress: LoadProgress::new(node.now().mono_us),
            ..LoadingInfo::default()
        };
        node.engine.loading = true;
        node.engine.async_loading = asynchronous;
        Ok(())
    }

    /// Begins a load or a rehearsal, of which the data set in service takes no notice yet.
    pub fn start_loader(
        &mut self,
        node: &mut Node,
        what: What,
        purpose: LoadPurpose,
    ) -> io::Result<()> {
        self.stop_loading(node);
        self.disk.load_purpose = purpose;
        self.disk.load_serial += 1;
        let order = self.order(node, what);
        let loader = Loader::start(self.disk.load_serial, order, self.disk.load_ended.clone())?;
        self.disk.loader = Some(loader);
        Ok(())
    }

    /// The progress of a load, for INFO and the log.
    pub fn loading_cron(&mut self, node: &mut Node) {
        let Some(loader) = &self.disk.loader else { return };
        use std::sync::atomic::Ordering;
        let delay_us = self.config.persistence.key_load_delay_us;
        loader.progress.key_delay_us.store(delay_us, Ordering::Relaxed);
        self.disk.loading.loaded_bytes = loader.progress.loaded_bytes.load(Ordering::Relaxed);
        self.disk.loading.total_bytes = loader.progress.total_bytes.load(Ordering::Relaxed);
        let (loading, now_us) = (&mut self.disk.loading, node.now().mono_us);
        let (loaded, total) = (loading.loaded_bytes, loading.total_bytes);
        if let Some(text) = loading.progress.tell(now_us, loaded, total) {
            info!("{text}");
        }
    }

    /// Gives a load up, if one runs.
    pub fn stop_loading(&mut self, node: &mut Node) {
        self.disk.loader = None;
        self.disk.loaded = None;
        self.disk.loading = LoadingInfo::default();
        node.engine.loading = false;
        node.engine.async_loading = false;
    }

    /// The loader's thread is done.
    pub fn loading_ended(&mut self, node: &mut Node, ended: LoadEnded) {
        let LoadEnded { serial, result } = ended;
        if self.disk.loader.as_ref().is_none_or(|loader| loader.serial != serial) {
            return;
        }
        log_notes(&result);
        match (self.disk.load_purpose, result) {
            (LoadPurpose::Start, Ok(loaded)) => self.first_load_ended(node, *loaded),
            (LoadPurpose::Start, Err(failure)) => {
                warn!("{}", failure.why);
                // What is wrong with an append-only file has been said in full.
                if !self.config.persistence.appendonly {
                    let name = self.rdb_name();
                    warn!("Terminating server after rdb file {name} reading failure.");
                    warn!("Fatal error loading the DB, check server logs. Exiting.");
                }
                self.process.exit_code = Some(1);
            }
            (LoadPurpose::ReplicaRehearsal, Ok(_)) => {
                self.disk.loader = None;
                let now_ms = node.now_ms();
                node.repl.load_verified(now_ms);
            }
            (LoadPurpose::ReplicaFile, Ok(loaded)) => {
                log_load(&loaded);
                self.swap_in(node, *loaded);
                self.install_snapshot(node);
                self.replica_load_done(node);
            }
            (LoadPurpose::ReplicaStream, Ok(loaded)) => {
                log_load(&loaded);
                // It is put in place when the core says so, in the answer to this.
                self.disk.loader = None;
                self.disk.loaded = Some(loaded);
                let now_ms = node.now_ms();
                node.repl.load_verified(now_ms);
            }
            (_, Err(failure)) => self.load_failed(node, &failure.why),
        }
    }

    fn first_load_ended(&mut self, node: &mut Node, mut loaded: Loaded) {
        let seconds = loaded.took_us as f64 / 1e6;
        let report = &loaded.report;
        let from_aof = self.config.persistence.appendonly;
        log_load(&loaded);
        if from_aof {
            info!("DB loaded from append only file: {seconds:.3} seconds");
        } else {
            info!("DB loaded from disk: {seconds:.3} seconds");
        }
        // An AOF goes on behind its base, so that the base's place in the stream is not its own.
        let history = match from_aof {
            true => None,
            false => history_point(report.repl_id.as_deref(), report.repl_offset),
        };
        let expired = std::mem::take(&mut loaded.report.expired);
        self.swap_in(node, loaded);
        node.engine.dirty = 0;
        match self.first_load_done(node, history) {
            Ok(()) => {
                node.with_world(self, |engine, world| engine.propagate_dropped(&expired, world))
            }
            Err(why) => {
                warn!("{why}");
                self.process.exit_code = Some(1);
            }
        }
    }

    /// Loads one of our own files while everybody waits: DEBUG RELOAD and DEBUG LOADAOF.
    pub fn load_now(&mut self, node: &mut Node, from: LoadFrom) -> Result<(), ()> {
        let what = match from {
            LoadFrom::Aof => self.aof_order(false),
            LoadFrom::Rdb => match self.rdb_order() {
                Ok(Some(what)) => what,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let name = self.rdb_name();
                    warn!("Can't open the RDB file {name}: {}", os_error(&error));
                    return Err(());
                }
            },
        };
        let mut order = self.order(node, what);
        order.options.drop_expired = node.repl.is_master();
        let result = loader::load_here(order).map(Box::new);
        log_notes(&result);
        match result {
            Ok(mut loaded) => {
                log_load(&loaded);
                let expired = std::mem::take(&mut loaded.report.expired);
                // A rehearsal goes on: the data set in service is no business of it.
                self.replace_data_set(node, *loaded);
                node.with_world(self, |engine, world| engine.propagate_dropped(&expired, world));
                Ok(())
            }
            Err(failure) => {
                warn!("{}", failure.why);
                Err(())
            }
        }
    }

    /// The load is over, and what came of it takes the place of the old data set.
    pub fn swap_in(&mut self, node: &mut Node, loaded: Loaded) {
        self.stop_loading(node);
        self.replace_data_set(node, loaded);
    }

    fn replace_data_set(&mut self, node: &mut Node, loaded: Loaded) {
        let Loaded { keyspace, report, unexpected_errors, .. } = loaded;
        node.engine.stats.unexpected_error_replies += unexpected_errors;
        let rdb = &mut self.disk.rdb;
        rdb.last_load_keys_loaded = report.keys_loaded;
        rdb.last_load_keys_expired = report.keys_expired;
        rdb.needs_v11 = report.needs_v11;
        if let Err(error) = node.engine.replace_libraries(&report.functions) {
            // The loader has compiled them a moment ago.
            warn!("A function library of the loaded data set is lost: {error}");
        }
        let db = report.repl_stream_db.and_then(|db| usize::try_from(db).ok()).unwrap_or(0);
        let mut old = std::mem::replace(&mut node.engine.keyspace, keyspace);
        node.set_stream_db(db);
        old.resume_resize();
        if self.disk.children.is_active() {
            node.engine.keyspace.pause_resize();
        }
        node.engine.dataset_replaced();
        crate::process::lazy_free::free(Box::new(old));
    }
}

fn log_notes(result: &Result<Box<Loaded>, LoadFailure>) {
    let notes = match result {
        Ok(loaded) => &loaded.notes,
        Err(failure) => &failure.notes,
    };
    for (level, text) in notes {
        log!(*level, "{text}");
    }
}

fn log_load(loaded: &Loaded) {
    let report = &loaded.report;
    if let Some(version) = &report.redis_ver {
        info!("Loading RDB produced by version {version}");
    }
    if let Some(ctime_s) = report.ctime_s {
        info!("RDB age {} seconds", (clock::now().unix_s() - ctime_s).max(0));
    }
    if let Some(bytes) = report.used_memory_bytes {
        info!("RDB memory usage when created {:.2} Mb", bytes as f64 / (1024.0 * 1024.0));
    }
    for key in &report.empty_keys {
        info!("Loading skipping empty key: {}", key.escape_ascii());
    }
    if report.version > 0 {
        let empty = match report.empty_keys_skipped {
            0 => String::new(),
            skipped => format!(", empty keys skipped: {skipped}"),
        };
        info!(
            "Done loading RDB, keys loaded: {}, keys expired: {}{empty}.",
            report.keys_loaded, report.keys_expired
        );
    }
}

fn history_point(replid: Option<&str>, offset: Option<i64>) -> Option<HistoryPoint> {
    let replid = ReplId::parse(replid?.as_bytes())?;
    let offset = u64::try_from(offset?).ok()?;
    Some(HistoryPoint { replid, offset })
}
