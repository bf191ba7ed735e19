//! The start of a server, and everything that puts a data set in its place: the first load, the
//! snapshot of a master, DEBUG RELOAD.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use engine::Engine;
use log::{error, info, log, warn};
use mio::Poll;
use node::Node;
use persist::rdb::{AccessClock, LoadOptions};
use repl::{HistoryPoint, MasterAddr, Repl, ReplId};
use store::keyspace::Keyspace;
use store::seed::HashSeed;

use crate::aof::Aof;
use crate::aof_files::Begun;
use crate::children::Children;
use crate::client_memory::{ClientMemory, ClientPeaks};
use crate::config::{Config, RoleDecision, StartRole, os_error};
use crate::conn::Conns;
use crate::cron::Rates;
use crate::daemon::{OomClass, OomScore, PidFile, Supervisor};
use crate::disk::RealDisk;
use crate::disk_worker::DiskWorker;
use crate::event_loop::{Server, read_clock};
use crate::host::{Host, HostStats, Identity, LoadingInfo};
use crate::listener;
use crate::load_progress::LoadProgress;
use crate::loader::{self, LoadFailure, Loaded, Loader, Order, What};
use crate::logging::{self, Speaker};
use crate::mailbox::Mailbox;
use crate::memory::{self, MemoryMeter};
use crate::rdb::Rdb;
use crate::repl_settings::repl_settings;
use crate::settings::{engine_settings, limits, listen_settings};
use crate::signals::SignalSource;
use crate::{daemon, entropy, start};

/// What a load is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPurpose {
    Start,
    /// Whether a master's snapshot could be loaded, while the old data set serves.
    ReplicaRehearsal,
    ReplicaFile,
    ReplicaStream,
}

/// Which of our own files to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFrom {
    Rdb,
    Aof,
}

/// What the process was started with, besides its configuration.
pub struct Process {
    pub role: RoleDecision,
    pub supervisor: Supervisor,
    /// Detached from the terminal.
    pub background: bool,
}

/// Runs a server to its end; the result is the process's exit code.
pub fn run(config: Config, process: Process) -> i32 {
    let supervisor = process.supervisor;
    let server = match Server::new(config, process) {
        Ok(server) => server,
        Err(why) => {
            warn!("{why}");
            return 1;
        }
    };
    let code = server.run().unwrap_or_else(|error| {
        error!("The event loop failed: {}", os_error(&error));
        1
    });
    supervisor.stopping();
    code
}

impl Server {
    fn new(mut config: Config, process: Process) -> Result<Server, String> {
        engine::command::rename(std::mem::take(&mut config.renames));
        daemon::adjust_open_files(&mut config).map_err(|_| "Too few open files".to_owned())?;
        daemon::disable_huge_pages(&config);
        let text = |e: io::Error| os_error(&e);
        let poll = Poll::new().map_err(text)?;
        // Before the first thread starts, because threads inherit the mask of signals.
        let signals = SignalSource::install(poll.registry()).map_err(text)?;
        let mailbox = Mailbox::new(poll.registry()).map_err(text)?;
        let is_replica = matches!(process.role.role, StartRole::Replica { .. });
        logging::set_speaker(if is_replica { Speaker::Replica } else { Speaker::Master });
        let mut listeners = listener::open(&listen_settings(&config)).map_err(|e| e.to_string())?;
        // Whoever sees these lines may connect.
        start::log_running_mode(&config);
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener.register(poll.registry(), index as u32).map_err(text)?;
        }
        // Not earlier: a second server that cannot listen must leave the file of the first alone.
        let pidfile = PidFile::create(&config, process.background);
        let mut oom = OomScore::default();
        // What goes wrong is in the log; a server without the adjustment is better than none.
        let _ = oom.apply(&config, OomClass::of_master(!is_replica));
        let now = read_clock();
        let hash_seed = HashSeed::new(entropy::word(), entropy::word());
        let settings = engine_settings(&config, hash_seed);
        let databases = settings.databases;
        let mut engine = Engine::new(settings, entropy::word());
        // One seed for every data set that will ever stand here: values are hashed under it, too.
        engine.keyspace = Keyspace::new(databases, hash_seed);
        let mailer = mailbox.mailer();
        let repl =
            Repl::new(now.mono_us / 1000, repl_settings(&config), Box::new(entropy::twenty_bytes));
        let mut node = Node::new(engine, repl);
        node.begin_turn(now);
        let disk = DiskWorker::start(Arc::new(RealDisk), mailer.clone()).map_err(text)?;
        let mut host = Host {
            signals,
            mailbox,
            conns: Conns::default(),
            ready: Default::default(),
            ready_listeners: Vec::new(),
            retry_accept_at_us: None,
            next_cron_us: 0,
            over_limit: Vec::new(),
            link: None,
            incoming: None,
            snapshot_files: Default::default(),
            registry: poll.registry().try_clone().map_err(text)?,
            mailer: mailer.clone(),
            listeners,
            identity: Identity {
                run_id: entropy::forty_hex_digits(),
                started_unix_s: now.unix_us / 1_000_000,
                pid: std::process::id(),
            },
            stats: HostStats::default(),
            rates: Rates::default(),
            memory: MemoryMeter::new(),
            children: Children::default(),
            rdb: Rdb::new(now),
            aof: Aof::new(&config, disk.clone(), mailer).map_err(text)?,
            disk,
            loading: LoadingInfo::default(),
            loader: None,
            load_purpose: LoadPurpose::Start,
            loaded: None,
            load_serial: 0,
            exit_code: None,
            peers: Vec::new(),
            hash_seed,
            deferred: Vec::new(),
            cron_paused: false,
            postponed_end: None,
            told_idle: BTreeSet::new(),
            doomed: Vec::new(),
            connected_clients: 0,
            client_peaks: ClientPeaks::default(),
            client_memory: ClientMemory::default(),
            clients_cron_slot: 0,
            dirty: 0,
            supervisor: process.supervisor,
            pidfile,
            oom,
            start_role: process.role.role.clone(),
            config,
        };
        host.client_limit_changed();
        memory::set_background_thread(host.config.general.jemalloc_bg_thread);
        start::log_initialized();
        daemon::log_system_warnings(&host.config);
        host.tell_what_has_no_effect_at_start();
        if let Some(notice) = process.role.notice {
            info!("{notice}");
        }
        host.begin_first_load(&mut node)?;
        Ok(Server { poll, node, host })
    }
}

impl Host {
    // ---- the first data set ----

    /// The append-only file wins over the snapshot when it is on: it knows more.
    fn begin_first_load(&mut self, node: &mut Node) -> Result<(), String> {
        let what = match self.config.persistence.appendonly {
            true => {
                self.aof.files.open()?;
                self.aof.files.has_data().then(|| self.aof_order(true))
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
        let aof = &self.aof.files;
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
        let master = match &self.start_role {
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
        self.supervisor.ready(status);
        Ok(())
    }

    fn open_aof_at_start(&mut self, node: &mut Node) -> Result<(), String> {
        self.aof.files.create_dir()?;
        if self.aof.files.manifest.base.is_none() && self.aof.files.manifest.incrs.is_empty() {
            self.create_first_base(node).map_err(|e| {
                format!("Error creating the AOF base file on server start: {}", os_error(&e))
            })?;
        }
        let opened = self.aof.files.open_last_incr().and_then(|file| self.aof.switch_to(file));
        opened.map_err(|e| format!("Can't open the append-only file: {}", os_error(&e)))?;
        let aof = &mut self.aof;
        aof.remove_history();
        aof.current_bytes = aof.files.size_bytes();
        aof.base_bytes = aof.current_bytes;
        aof.state = crate::aof::AofState::On;
        node.engine.propagation.set_aof(true);
        Ok(())
    }

    /// An AOF without a base begins with one of the data set as it is, which is empty at this point.
    fn create_first_base(&mut self, node: &mut Node) -> io::Result<()> {
        use persist::aof::manifest::BaseFormat;
        let temp = self.aof.files.path("temp-base.aof");
        let format = match self.config.persistence.aof_use_rdb_preamble {
            true => BaseFormat::Rdb,
            false => BaseFormat::Aof,
        };
        let mut header = self.snapshot_header(node);
        header.set_aof_base();
        let mut out = crate::disk::SteadyWriter::create(&temp, false)?;
        if format == BaseFormat::Rdb {
            header.save(&node.engine.keyspace, &mut out, &mut ())?;
        }
        out.finish()?;
        self.aof.files.install_base(&temp, format, Begun::Incr)?;
        let name = self.aof.files.manifest.base.as_ref().map(|base| base.name.clone());
        info!("Creating AOF base file {} on server start", name.unwrap_or_default());
        Ok(())
    }

    // ---- loading ----

    fn load_options(&self, node: &mut Node) -> LoadOptions {
        let config = &self.config;
        let is_master = match self.load_purpose {
            LoadPurpose::Start => matches!(self.start_role, StartRole::Master),
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
        self.loading = LoadingInfo {
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
        self.load_purpose = purpose;
        self.load_serial += 1;
        let order = self.order(node, what);
        let loader = Loader::start(self.load_serial, order, self.mailer.clone())?;
        self.loader = Some(loader);
        Ok(())
    }

    /// Gives a load up, if one runs.
    pub fn stop_loading(&mut self, node: &mut Node) {
        self.loader = None;
        self.loaded = None;
        self.loading = LoadingInfo::default();
        node.engine.loading = false;
        node.engine.async_loading = false;
    }

    /// The loader's thread is done.
    pub fn loading_ended(
        &mut self,
        node: &mut Node,
        serial: u32,
        result: Result<Box<Loaded>, LoadFailure>,
    ) {
        if self.loader.as_ref().is_none_or(|loader| loader.serial != serial) {
            return;
        }
        let notes = match &result {
            Ok(loaded) => &loaded.notes,
            Err(failure) => &failure.notes,
        };
        for (level, text) in notes {
            log!(*level, "{text}");
        }
        match (self.load_purpose, result) {
            (LoadPurpose::Start, Ok(loaded)) => self.first_load_ended(node, *loaded),
            (LoadPurpose::Start, Err(failure)) => {
                warn!("{}", failure.why);
                // What is wrong with an append-only file has been said in full.
                if !self.config.persistence.appendonly {
                    let name = self.rdb_name();
                    warn!("Terminating server after rdb file {name} reading failure.");
                    warn!("Fatal error loading the DB, check server logs. Exiting.");
                }
                self.exit_code = Some(1);
            }
            (LoadPurpose::ReplicaRehearsal, Ok(_)) => {
                self.loader = None;
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
                self.loader = None;
                self.loaded = Some(loaded);
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
                self.exit_code = Some(1);
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
        match loader::load_here(order) {
            Ok(mut loaded) => {
                log_load(&loaded);
                let expired = std::mem::take(&mut loaded.report.expired);
                self.swap_in(node, loaded);
                node.with_world(self, |engine, world| engine.propagate_dropped(&expired, world));
                Ok(())
            }
            Err(failure) => {
                warn!("{}", failure.why);
                Err(())
            }
        }
    }

    /// Puts a loaded data set in the place of the old one.
    pub fn swap_in(&mut self, node: &mut Node, loaded: Loaded) {
        self.stop_loading(node);
        let Loaded { keyspace, report, .. } = loaded;
        let rdb = &mut self.rdb;
        rdb.last_load_keys_loaded = report.keys_loaded;
        rdb.last_load_keys_expired = report.keys_expired;
        rdb.needs_v11 = report.needs_v11;
        rdb.functions = report.functions;
        let db = report.repl_stream_db.and_then(|db| usize::try_from(db).ok()).unwrap_or(0);
        let mut old = std::mem::replace(&mut node.engine.keyspace, keyspace);
        node.set_stream_db(db);
        old.resume_resize();
        if self.children.is_active() {
            node.engine.keyspace.pause_resize();
        }
        node.engine.dataset_replaced();
        crate::lazy_free::free(Box::new(old));
    }
}

fn log_load(loaded: &Loaded) {
    let report = &loaded.report;
    if let Some(version) = &report.redis_ver {
        info!("Loading RDB produced by version {version}");
    }
    if let Some(ctime_s) = report.ctime_s {
        info!("RDB age {} seconds", (read_clock().unix_s() - ctime_s).max(0));
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
