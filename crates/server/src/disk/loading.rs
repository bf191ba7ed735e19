//! The load that is under way in the loader's thread: what it is for, how far it is, and what its end comes to.
//! Knows neither engine nor replication: whose data set gives way to it is decided above.

use std::io;

use engine::Now;
use log::{info, log};

use crate::disk::load_progress::LoadProgress;
use crate::disk::loader::{LoadEnded, LoadFailure, Loaded, Loader, Order};
use crate::process::clock;
use crate::process::mailbox::Mailer;

/// What a load is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPurpose {
    Start,
    /// Whether a master's snapshot could be loaded, while the old data set serves.
    ReplicaRehearsal,
    ReplicaFile,
    ReplicaStream,
}

/// What the end of a load comes to.
pub enum LoadOutcome {
    /// Of the first one: the server starts, or not.
    First(Result<Box<Loaded>, LoadFailure>),
    /// Of the master's file: it is to be the data set.
    Replaces(Box<Loaded>),
    /// The master's snapshot can be loaded, or has been and waits for its turn (`take_loaded`).
    Verified,
    Failed(LoadFailure),
}

/// Figures for INFO.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadingFigures {
    /// Not so in a rehearsal, of which nobody takes notice.
    pub active: bool,
    /// The old data set serves meanwhile.
    pub asynchronous: bool,
    pub started_unix_s: u64,
    pub total_bytes: u64,
    pub loaded_bytes: u64,
}

pub struct Loading {
    loader: Option<Loader>,
    purpose: LoadPurpose,
    /// A data set that was streamed by the master and waits for its turn.
    loaded: Option<Box<Loaded>>,
    figures: LoadingFigures,
    progress: LoadProgress,
    serial: u32,
    /// How the thread speaks to the loop.
    ended: Mailer<LoadEnded>,
}

impl Loading {
    pub fn new(ended: Mailer<LoadEnded>) -> Loading {
        Loading {
            loader: None,
            purpose: LoadPurpose::Start,
            loaded: None,
            figures: LoadingFigures::default(),
            progress: LoadProgress::default(),
            serial: 0,
            ended,
        }
    }

    /// A data set is being loaded, and is to take the place of the one in service.
    pub fn is_active(&self) -> bool {
        self.figures.active
    }

    pub fn figures(&self) -> LoadingFigures {
        self.figures
    }

    /// Begins a load or a rehearsal in place of the one before; nobody takes notice of it yet.
    pub fn begin(&mut self, order: Order, purpose: LoadPurpose) -> io::Result<()> {
        self.stop();
        self.purpose = purpose;
        self.serial += 1;
        self.loader = Some(Loader::start(self.serial, order, self.ended.clone())?);
        Ok(())
    }

    /// What has begun is a load; `asynchronous` keeps the old data set in service.
    pub fn activate(&mut self, now: Now, asynchronous: bool) {
        self.figures = LoadingFigures {
            active: true,
            asynchronous,
            started_unix_s: now.unix_us / 1_000_000,
            ..LoadingFigures::default()
        };
        self.progress = LoadProgress::new(now.mono_us);
    }

    /// Looks how far it is, for INFO and the log, and tells it the present `key-load-delay`.
    pub fn look(&mut self, now_us: u64, key_delay_us: i32) {
        let Some(loader) = &self.loader else { return };
        loader.slow_down(key_delay_us);
        let (loaded, total) = (loader.loaded_bytes(), loader.total_bytes());
        (self.figures.loaded_bytes, self.figures.total_bytes) = (loaded, total);
        if let Some(text) = self.progress.tell(now_us, loaded, total) {
            info!("{text}");
        }
    }

    /// Gives it up, if one runs, and what came of it.
    pub fn stop(&mut self) {
        self.loader = None;
        self.loaded = None;
        self.figures = LoadingFigures::default();
        self.progress = LoadProgress::default();
    }

    /// The thread is done. `None` when nobody wants to know any more.
    pub fn ended(&mut self, ended: LoadEnded) -> Option<LoadOutcome> {
        let LoadEnded { serial, result } = ended;
        self.loader.as_ref().filter(|loader| loader.serial() == serial)?;
        log_notes(&result);
        if let (Ok(loaded), LoadPurpose::ReplicaFile | LoadPurpose::ReplicaStream) =
            (&result, self.purpose)
        {
            log_load(loaded);
        }
        Some(match (self.purpose, result) {
            (LoadPurpose::Start, result) => LoadOutcome::First(result),
            (LoadPurpose::ReplicaFile, Ok(loaded)) => LoadOutcome::Replaces(loaded),
            (LoadPurpose::ReplicaRehearsal, Ok(_)) => {
                self.loader = None;
                LoadOutcome::Verified
            }
            (LoadPurpose::ReplicaStream, Ok(loaded)) => {
                self.loader = None;
                self.loaded = Some(loaded);
                LoadOutcome::Verified
            }
            (_, Err(failure)) => LoadOutcome::Failed(failure),
        })
    }

    pub fn has_loaded(&self) -> bool {
        self.loaded.is_some()
    }

    /// What was streamed by the master has its turn.
    pub fn take_loaded(&mut self) -> Option<Box<Loaded>> {
        self.loaded.take()
    }
}

pub fn log_notes(result: &Result<Box<Loaded>, LoadFailure>) {
    let notes = match result {
        Ok(loaded) => &loaded.notes,
        Err(failure) => &failure.notes,
    };
    for (level, text) in notes {
        log!(*level, "{text}");
    }
}

pub fn log_load(loaded: &Loaded) {
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
