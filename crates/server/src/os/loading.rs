//! Everything that puts a data set in its place: the first load, the snapshot of a master, DEBUG RELOAD.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use engine::ClientId;
use log::{error, info, warn};
use node::Node;
use persist::rdb::{AccessClock, LoadOptions};
use repl::{HistoryPoint, MasterAddr, ReplId};

use crate::config::{PropagationErrorBehavior, StartRole, engine_settings, limits};
use crate::disk::files::SteadyWriter;
use crate::disk::loader::{self, LoadEnded, LoadFailure, Loaded, Order, What};
use crate::disk::loading::{LoadOutcome, LoadPurpose, log_load, log_notes};
use crate::os::host::{Host, Onto};
use crate::os::start;
use crate::process::entropy;
use crate::process::memory;
use crate::process::os_error::os_error;

/// How often a load that the loop waits for lets others be heard: one that is over sooner is a moment.
const HEAR_EVERY: Duration = Duration::from_millis(20);

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
                self.disk.aof.read_manifest()?;
                self.disk.aof.has_data().then(|| self.aof_order(true))
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
        let truncate_tail = at_start && self.config.persistence.aof_load_truncated;
        What::Aof { files: self.disk.aof.data_files(), truncate_tail }
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
        self.tell_supervisor(node);
        Ok(())
    }

    fn open_aof_at_start(&mut self, node: &mut Node) -> Result<(), String> {
        self.disk.aof.create_dir()?;
        if let Some(temp) = self.disk.aof.lacks_base() {
            self.create_first_base(node, &temp).map_err(|e| {
                format!("Error creating the AOF base file on server start: {}", os_error(&e))
            })?;
        }
        let gone_on = self.disk.aof.go_on();
        gone_on.map_err(|e| format!("Can't open the append-only file: {}", os_error(&e)))?;
        node.engine.propagation.set_aof(true);
        Ok(())
    }

    /// An AOF without a base begins with one of the data set as it is, which is empty at this point.
    fn create_first_base(&mut self, node: &mut Node, temp: &Path) -> io::Result<()> {
        use persist::aof::manifest::BaseFormat;
        let format = match self.config.persistence.aof_use_rdb_preamble {
            true => BaseFormat::Rdb,
            false => BaseFormat::Aof,
        };
        let mut header = self.snapshot_header(node);
        header.set_aof_base();
        let mut out = SteadyWriter::create(temp, false)?;
        if format == BaseFormat::Rdb {
            header.save(&node.engine.keyspace, &mut out, &mut ())?;
        }
        out.finish()?;
        self.disk.aof.install_first_base(temp, format)?;
        // Who has copied a snapshot here meant it to be read.
        if self.rdb_path().exists() {
            let name = self.rdb_name();
            warn!(
                "The append-only file is new and empty, and {name}, which is there, is not loaded."
            );
            warn!(
                "To load it: SHUTDOWN NOSAVE, start with 'appendonly no', CONFIG SET appendonly yes."
            );
        }
        Ok(())
    }

    // ---- loading ----

    fn load_options(&self, node: &mut Node, drop_expired: bool) -> LoadOptions {
        let config = &self.config;
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
            drop_expired,
            verify_checksum: config.persistence.rdbchecksum,
            allow_duplicates: false,
            clock,
        }
    }

    fn order(&self, node: &mut Node, what: What, drop_expired: bool) -> Order {
        Order {
            what,
            options: self.load_options(node, drop_expired),
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
        self.disk.loading.activate(node.now(), asynchronous);
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
        let drop_expired =
            purpose == LoadPurpose::Start && matches!(self.process.start_role, StartRole::Master);
        let order = self.order(node, what, drop_expired);
        self.disk.loading.begin(order, purpose)
    }

    /// The progress of a load, for INFO and the log.
    pub fn loading_cron(&mut self, node: &mut Node) {
        let key_delay_us = self.config.persistence.key_load_delay_us;
        self.disk.loading.look(node.now().mono_us, key_delay_us);
    }

    /// Gives a load up, if one runs.
    pub fn stop_loading(&mut self, node: &mut Node) {
        self.disk.loading.stop();
        node.engine.loading = false;
        node.engine.async_loading = false;
    }

    /// The loader's thread is done.
    pub fn loading_ended(&mut self, node: &mut Node, ended: LoadEnded) {
        match self.disk.loading.ended(ended) {
            None => {}
            Some(LoadOutcome::First(Ok(loaded))) => self.first_load_ended(node, *loaded),
            Some(LoadOutcome::First(Err(failure))) => {
                // What is wrong with an append-only file has been said in full.
                if self.config.persistence.appendonly {
                    error!("{}", failure.why);
                } else {
                    error!("{} ({})", failure.why, self.rdb_name());
                    error!("Terminating server after rdb file reading failure.");
                    error!("Fatal error loading the DB, check server logs. Exiting.");
                }
                self.process.exit_code = Some(1);
            }
            Some(LoadOutcome::Replaces(loaded)) => {
                self.swap_in(node, *loaded);
                self.install_snapshot(node);
                self.replica_load_done(node);
            }
            // One that was streamed is put in place when the core says so, in the answer to this.
            Some(LoadOutcome::Verified) => {
                let now_ms = node.now_ms();
                node.repl.load_verified(now_ms);
            }
            Some(LoadOutcome::Failed(failure)) => self.load_failed(node, &failure.why),
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
                error!("{why}");
                self.process.exit_code = Some(1);
            }
        }
    }

    /// Loads one of our own files while the loop waits for it: DEBUG RELOAD and DEBUG LOADAOF, which `client`
    /// has asked for.
    pub fn load_now(
        &mut self,
        node: &mut Node,
        client: Option<ClientId>,
        from: LoadFrom,
        onto: Onto,
    ) -> Result<(), ()> {
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
        let order = self.order(node, what, node.repl.is_master());
        let result = self.load_beside(node, client, order).map(Box::new);
        log_notes(&result);
        match result {
            Ok(mut loaded) => {
                log_load(&loaded);
                let expired = std::mem::take(&mut loaded.report.expired);
                // A rehearsal goes on: the data set in service is no business of it.
                match onto {
                    Onto::Nothing => self.replace_data_set(node, *loaded),
                    Onto::Others => self.add_data_set(node, *loaded, false)?,
                    Onto::Any => self.add_data_set(node, *loaded, true)?,
                }
                node.with_world(self, |engine, world| engine.propagate_dropped(&expired, world));
                Ok(())
            }
            Err(failure) => {
                warn!("{}", failure.why);
                Err(())
            }
        }
    }

    /// The load has a thread of its own. Who speaks meanwhile is told that one is under way; the client that has
    /// asked for it is not heard before it is answered.
    fn load_beside(
        &mut self,
        node: &mut Node,
        client: Option<ClientId>,
        order: Order,
    ) -> Result<Loaded, LoadFailure> {
        let (done, result) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                memory::begin_helper_thread();
                let loaded = loader::load_here(order);
                memory::settle_thread();
                // The one who waits for it is behind this very scope.
                let _ = done.send(loaded);
            });
            loop {
                match result.recv_timeout(HEAR_EVERY) {
                    Ok(loaded) => return loaded,
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => {
                        unreachable!("what a loader panics of is contained, and sent")
                    }
                }
                let was_loading = std::mem::replace(&mut node.engine.loading, true);
                node.with_world(self, |engine, world| engine.serve_sockets_without(world, client));
                node.engine.loading = was_loading;
            }
        })
    }

    /// What was loaded comes to what is there. Nothing of it does where a name is there twice and may not be.
    fn add_data_set(
        &mut self,
        node: &mut Node,
        loaded: Loaded,
        overwrites: bool,
    ) -> Result<(), ()> {
        let Loaded { mut keyspace, report, .. } = loaded;
        for (index, db) in keyspace.iter().enumerate().filter(|_| !overwrites) {
            let there = node.engine.keyspace.db(index);
            if let Some(twice) = db.iter().find(|entry| there.contains(entry.key())) {
                let name = twice.key().escape_ascii();
                warn!("RDB has duplicated key '{name}' in DB {index}");
                return Err(());
            }
        }
        if let Err(error) = node.engine.add_libraries(&report.functions, overwrites) {
            warn!("Failed loading a function library: {error}");
            return Err(());
        }
        for index in 0..keyspace.len() {
            let mut db = keyspace.db_mut(index).take();
            let names: Vec<Box<[u8]>> = db.iter().map(|entry| entry.key().into()).collect();
            for entry in names.iter().filter_map(|name| db.remove(&**name)) {
                node.engine.keyspace.db_mut(index).insert_entry(entry);
            }
        }
        node.engine.dataset_replaced();
        Ok(())
    }

    /// The load is over, and what came of it takes the place of the old data set.
    pub fn swap_in(&mut self, node: &mut Node, loaded: Loaded) {
        self.stop_loading(node);
        self.replace_data_set(node, loaded);
    }

    fn replace_data_set(&mut self, node: &mut Node, loaded: Loaded) {
        let Loaded { keyspace, report, unexpected_errors, .. } = loaded;
        node.engine.stats.unexpected_error_replies += unexpected_errors;
        if let Err(error) = node.engine.replace_libraries(&report.functions) {
            // The loader has compiled them a moment ago.
            warn!("A function library of the loaded data set is lost: {error}");
        }
        let db = report.repl_stream_db.and_then(|db| usize::try_from(db).ok()).unwrap_or(0);
        self.disk.rdb.data_set_replaced(&report);
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

fn history_point(replid: Option<&str>, offset: Option<i64>) -> Option<HistoryPoint> {
    let replid = ReplId::parse(replid?.as_bytes())?;
    let offset = u64::try_from(offset?).ok()?;
    Some(HistoryPoint { replid, offset })
}
