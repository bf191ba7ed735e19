//! Loads a data set in a thread of its own: an RDB file, a snapshot as it arrives, or an AOF.
//!
//! Why a thread: loading takes as long as the data set is large, and meanwhile the loop must answer
//! `-LOADING`, keep the link to the master alive and hear a SHUTDOWN. A loop that loads by itself
//! must stop for these every few thousand keys. The thread builds a keyspace of its own from
//! scratch, shares nothing with the loop but a few counters, and sends the finished keyspace
//! through the mailbox; a load that fails or is given up leaves nothing behind in the data set that
//! serves. The thread does not log: what there is to say comes with the result.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;

use engine::{ClientId, Engine, Kind, Now, Peer, Settings};
use log::Level;
use persist::aof::{AofReader, Record, has_rdb_preamble};
use persist::contained::contained;
use persist::error::RdbError;
use persist::rdb::{self, LoadHook, LoadOptions, LoadReport};
use persist::source::Source;
use protocol::Args;
use store::keyspace::Keyspace;
use store::seed::HashSeed;

use crate::disk::aof_batch::AofBatch;
use crate::disk::chunk_pipe::ChunkReader;
use crate::disk::key_delay::KeyDelay;
use crate::disk::null_world::NullWorld;
use crate::process::clock;
use crate::process::mailbox::Mailer;
use crate::process::memory;
use crate::process::os_error::os_error;

/// What is to be loaded.
pub enum What {
    Rdb {
        file: File,
        len: u64,
    },
    /// The same, only to find out whether it could be: the data set that comes of it is empty.
    Rehearsal {
        file: File,
        len: u64,
    },
    /// A snapshot that is still arriving.
    Stream(ChunkReader),
    /// Base and increments in their order, by path; the name is for messages.
    Aof {
        files: Vec<(String, PathBuf)>,
        truncate_tail: bool,
    },
}

impl What {
    /// For the first line that the log has of a load.
    pub fn told(&self) -> String {
        match self {
            What::Rdb { len, .. } | What::Rehearsal { len, .. } => {
                format!("an RDB file of {:.1} MB", *len as f64 / 1e6)
            }
            What::Stream(_) => "a snapshot as it arrives".to_owned(),
            What::Aof { files, .. } => {
                let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
                format!("the append-only file: {}", names.join(", "))
            }
        }
    }
}

/// Everything that the thread must know.
pub struct Order {
    pub what: What,
    pub options: LoadOptions,
    pub settings: Settings,
    pub hash_seed: HashSeed,
    pub rng_seed: u64,
    pub key_delay_us: i32,
    /// A command of an AOF that fails ends the load (`propagation-error-behavior panic`).
    pub errors_end_it: bool,
}

impl Order {
    fn progress(&self) -> Progress {
        Progress { key_delay_us: AtomicI32::new(self.key_delay_us), ..Progress::default() }
    }
}

/// A finished data set.
pub struct Loaded {
    pub keyspace: Keyspace,
    /// What the snapshot said of itself; of an AOF, its base.
    pub report: LoadReport,
    /// Commands of an AOF that failed, though they did not when they were written.
    pub unexpected_errors: u64,
    /// Lines for the log.
    pub notes: Vec<(Level, String)>,
    pub took_us: u64,
}

/// How far a load is, readable while it runs.
#[derive(Debug, Default)]
struct Progress {
    loaded_bytes: AtomicU64,
    total_bytes: AtomicU64,
    /// `key-load-delay`, which may change while it is obeyed.
    key_delay_us: AtomicI32,
    cancelled: AtomicBool,
}

/// What a load looks at after every key, and tells every few megabytes.
struct ThreadHook<'a> {
    progress: &'a Progress,
    bytes_before: u64,
    delay: KeyDelay,
}

impl<'a> ThreadHook<'a> {
    fn new(progress: &'a Progress, bytes_before: u64) -> ThreadHook<'a> {
        ThreadHook { progress, bytes_before, delay: KeyDelay::default() }
    }
}

impl LoadHook for ThreadHook<'_> {
    fn progress(&mut self, offset: u64, _keys: u64) -> bool {
        self.progress.loaded_bytes.store(self.bytes_before + offset, Ordering::Relaxed);
        memory::settle_thread();
        !self.progress.cancelled.load(Ordering::Relaxed)
    }

    fn loaded_key(&mut self) -> bool {
        let delay_us = self.progress.key_delay_us.load(Ordering::Relaxed);
        if delay_us == 0 {
            return true;
        }
        self.delay.after_key(delay_us);
        // A slow load is not to outlive the wish for it.
        !self.progress.cancelled.load(Ordering::Relaxed)
    }
}

/// What the thread says at its end.
pub struct LoadEnded {
    pub serial: u32,
    pub result: Result<Box<Loaded>, LoadFailure>,
}

/// A running load, in the loop.
pub struct Loader {
    serial: u32,
    progress: Arc<Progress>,
}

/// Commands between two looks at the clock and the cancel flag.
const COMMANDS_PER_STEP: u64 = 1024;

impl Loader {
    /// Begins a load; its result comes as `LoadEnded` with this serial.
    pub fn start(serial: u32, order: Order, mailer: Mailer<LoadEnded>) -> io::Result<Loader> {
        let progress = Arc::new(order.progress());
        let shared = Arc::clone(&progress);
        thread::Builder::new().name("loader".into()).spawn(move || {
            memory::begin_helper_thread();
            let result = timed_load(order, &shared).map(Box::new);
            memory::settle_thread();
            mailer.send(LoadEnded { serial, result });
        })?;
        Ok(Loader { serial, progress })
    }

    pub fn serial(&self) -> u32 {
        self.serial
    }

    pub fn loaded_bytes(&self) -> u64 {
        self.progress.loaded_bytes.load(Ordering::Relaxed)
    }

    /// 0 for a snapshot that is still arriving.
    pub fn total_bytes(&self) -> u64 {
        self.progress.total_bytes.load(Ordering::Relaxed)
    }

    /// `key-load-delay` was changed.
    pub fn slow_down(&self, key_delay_us: i32) {
        self.progress.key_delay_us.store(key_delay_us, Ordering::Relaxed);
    }
}

/// Loads in the caller's thread.
pub fn load_here(order: Order) -> Result<Loaded, LoadFailure> {
    let progress = order.progress();
    timed_load(order, &progress)
}

fn timed_load(order: Order, progress: &Progress) -> Result<Loaded, LoadFailure> {
    let started_us = clock::now().mono_us;
    let mut notes = Vec::new();
    let loaded = contained(|| load_whole(order, progress, &mut notes))
        .unwrap_or_else(|why| Err(format!("The loader gave up, please report this: {why}")));
    match loaded {
        Ok(loaded) => {
            let took_us = clock::now().mono_us - started_us;
            Ok(Loaded { notes, took_us, ..loaded })
        }
        Err(why) => Err(LoadFailure { why, notes }),
    }
}

impl Drop for Loader {
    /// Nobody wants the result any more.
    fn drop(&mut self) {
        self.progress.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Why there is no data set.
#[derive(Debug)]
pub struct LoadFailure {
    pub why: String,
    pub notes: Vec<(Level, String)>,
}

type Notes = Vec<(Level, String)>;

impl Loaded {
    fn new(keyspace: Keyspace, report: LoadReport) -> Loaded {
        Loaded { keyspace, report, unexpected_errors: 0, notes: Notes::new(), took_us: 0 }
    }
}

/// Libraries are compiled where they are to be run, which cannot fail any more if it went well here.
fn load_whole(order: Order, progress: &Progress, notes: &mut Notes) -> Result<Loaded, String> {
    let loaded = load(order, progress, notes)?;
    engine::check_libraries(&loaded.report.functions)
        .map_err(|error| format!("Failed creating a function library: {error}"))?;
    Ok(loaded)
}

fn load(order: Order, progress: &Progress, notes: &mut Notes) -> Result<Loaded, String> {
    let mut keyspace = Keyspace::new(order.settings.databases, order.hash_seed);
    match order.what {
        What::Rdb { mut file, len } => {
            progress.total_bytes.store(len, Ordering::Relaxed);
            let mut source = Source::new(&mut file, Some(len));
            let report = load_rdb(&mut source, &mut keyspace, &order.options, progress, 0)?;
            Ok(Loaded::new(keyspace, report))
        }
        What::Rehearsal { mut file, len } => {
            let mut source = Source::new(&mut file, Some(len));
            let mut hook = ThreadHook::new(progress, 0);
            let databases = order.settings.databases;
            let report = rdb::rehearse(&mut source, databases, &order.options, &mut hook)
                .map_err(|error| error_text(&error))?;
            Ok(Loaded::new(keyspace, report))
        }
        What::Stream(mut chunks) => {
            let mut source = Source::new(&mut chunks, None);
            let report = load_rdb(&mut source, &mut keyspace, &order.options, progress, 0)?;
            Ok(Loaded::new(keyspace, report))
        }
        What::Aof { files, truncate_tail } => {
            let mut aof = AofLoad::new(keyspace, order.settings, order.rng_seed, order.options);
            aof.errors_end_it = order.errors_end_it;
            let size = |(_, path): &(String, PathBuf)| fs::metadata(path).map_or(0, |m| m.len());
            let sizes: Vec<u64> = files.iter().map(size).collect();
            progress.total_bytes.store(sizes.iter().sum(), Ordering::Relaxed);
            // A rewrite's increment may be there before the last bytes of the one before it are written: what
            // nothing follows is the tail. A base, which comes first, is whole before it has its name.
            let last_with_bytes = sizes.iter().rposition(|size| *size > 0).unwrap_or(0);
            let tail = last_with_bytes.max(1).min(sizes.len().saturating_sub(1));
            let result = files.into_iter().enumerate().try_for_each(|(index, (name, path))| {
                let truncate = truncate_tail && index >= tail;
                aof.file(&name, &path, truncate, progress, notes)
            });
            notes.extend(aof.world.told().map(|text| (Level::Warn, text)));
            result?;
            let unexpected_errors = aof.engine.stats.unexpected_error_replies;
            let functions = aof.engine.library_codes();
            let report = LoadReport { functions, ..aof.report };
            let loaded = Loaded::new(aof.engine.keyspace, report);
            Ok(Loaded { unexpected_errors, ..loaded })
        }
    }
}

fn load_rdb(
    source: &mut Source<'_>,
    keyspace: &mut Keyspace,
    options: &LoadOptions,
    progress: &Progress,
    before: u64,
) -> Result<LoadReport, String> {
    let mut hook = ThreadHook::new(progress, before);
    rdb::load(source, keyspace, options, &mut hook).map_err(|error| error_text(&error))
}

fn error_text(error: &RdbError) -> String {
    format!("Error while loading the RDB data: {error}")
}

/// The replay of an AOF by an engine of its own.
struct AofLoad {
    engine: Engine,
    client: ClientId,
    world: NullWorld,
    options: LoadOptions,
    report: LoadReport,
    bytes_before: u64,
    errors_end_it: bool,
}

impl AofLoad {
    fn new(keyspace: Keyspace, settings: Settings, seed: u64, options: LoadOptions) -> AofLoad {
        let mut engine = Engine::new(settings, seed);
        engine.keyspace = keyspace;
        let client = engine.connect(clock::now(), Kind::Loader, Peer::default());
        let report = LoadReport::default();
        let world = NullWorld::default();
        AofLoad { engine, client, world, options, report, bytes_before: 0, errors_end_it: false }
    }

    fn file(
        &mut self,
        name: &str,
        path: &PathBuf,
        truncate_tail: bool,
        progress: &Progress,
        notes: &mut Notes,
    ) -> Result<(), String> {
        let open = |e: io::Error| {
            format!(
                "Fatal error: can't open the append log file {name} for reading: {}",
                os_error(&e)
            )
        };
        let mut file = File::open(path).map_err(open)?;
        let len = file.metadata().map_err(open)?.len();
        if len == 0 {
            return Ok(());
        }
        let mut source = Source::new(&mut file, Some(len));
        let preamble = has_rdb_preamble(&mut source).map_err(|e| e.to_string())?;
        if preamble {
            let base = name.ends_with(".base.rdb");
            notes.push((
                Level::Info,
                match base {
                    true => "Reading RDB base file on AOF loading...".into(),
                    false => "Reading RDB preamble from AOF file...".into(),
                },
            ));
            // The commands that follow build upon every key, expired or not.
            let options = LoadOptions { drop_expired: false, ..self.options.clone() };
            let keyspace = &mut self.engine.keyspace;
            self.report = load_rdb(&mut source, keyspace, &options, progress, self.bytes_before)
                .map_err(|why| {
                    format!("Error reading the RDB base file {name}, AOF loading aborted: {why}")
                })?;
            self.engine
                .replace_libraries(&self.report.functions)
                .map_err(|error| format!("Failed creating a function library: {error}"))?;
            if !base {
                notes.push((Level::Info, "Reading the remaining AOF tail...".into()));
            }
        }
        let failure = self.commands(source, name, progress);
        self.bytes_before += len;
        match failure {
            Ok(()) => Ok(()),
            Err(End::Other(why)) => Err(why),
            Err(End::Aof(error)) if error.is_truncation() && truncate_tail => {
                self.truncate(name, path, error.valid_up_to, notes)
            }
            Err(End::Aof(error)) if error.is_truncation() => Err(format!(
                "Unexpected end of file reading the append only file {name} ({error}). You can: 1) \
                 Make a backup of your AOF file, then use ./redis-check-aof --fix \
                 <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' \
                 configuration option to yes and restart the server."
            )),
            Err(End::Aof(error)) => Err(format!(
                "Bad file format reading the append only file {name} ({error}): make a backup of \
                 your AOF file, then use ./redis-check-aof --fix <filename.manifest>"
            )),
        }
    }

    fn commands(&mut self, source: Source<'_>, name: &str, progress: &Progress) -> Result<(), End> {
        let mut reader = AofReader::new(source);
        let mut batch = AofBatch::default();
        let mut hook = ThreadHook::new(progress, self.bytes_before);
        let mut now = clock::now();
        let mut until_look = COMMANDS_PER_STEP;
        loop {
            let next = reader.next();
            let ended = !matches!(next, Ok(Some(_)));
            if let Ok(Some(Record::Command(command))) = &next {
                batch.push(command);
            }
            if batch.is_full() || ended {
                // What stands before the end is run, whatever the end is.
                let ran = self.run_batch(now, &batch, name, &mut hook)?;
                batch.clear();
                until_look = until_look.saturating_sub(ran);
            }
            if ended {
                return next.map(drop).map_err(End::Aof);
            }
            if until_look == 0 {
                until_look = COMMANDS_PER_STEP;
                now = clock::now();
                let at = self.bytes_before + reader.offset();
                progress.loaded_bytes.store(at, Ordering::Relaxed);
                if progress.cancelled.load(Ordering::Relaxed) {
                    return Err(End::Other("cancelled".into()));
                }
            }
        }
    }

    /// Runs the commands of a batch; how many they were.
    fn run_batch(
        &mut self,
        now: Now,
        batch: &AofBatch,
        name: &str,
        hook: &mut ThreadHook<'_>,
    ) -> Result<u64, End> {
        let args = batch.args();
        let mut ahead = self.engine.prefetch(self.client, batch.commands(&args).map(Args::new));
        let mut ran = 0;
        for words in batch.commands(&args) {
            let args = Args::new(words);
            if engine::command::find(args).is_err() {
                let command = String::from_utf8_lossy(&args[0]).into_owned();
                return Err(End::Other(format!(
                    "Unknown command '{command}' reading the append only file {name}"
                )));
            }
            let (world, key) = (&mut self.world, ahead.next_key());
            self.engine.execute_hashed(now, world, self.client, args, key);
            if self.errors_end_it && self.engine.stats.unexpected_error_replies > 0 {
                let command = String::from_utf8_lossy(&args[0]).to_ascii_lowercase();
                return Err(End::Other(format!(
                    "propagation-error-behavior: '{command}' of the append only file {name} has failed"
                )));
            }
            ran += 1;
            if !hook.loaded_key() {
                return Err(End::Other("cancelled".into()));
            }
        }
        Ok(ran)
    }

    /// A crash cut the last write: what is whole stays, and a transaction that is not goes.
    fn truncate(
        &mut self,
        name: &str,
        path: &PathBuf,
        valid_up_to: u64,
        notes: &mut Notes,
    ) -> Result<(), String> {
        // Commands of the unfinished transaction are queued at most, never run.
        self.engine.disconnect(self.client);
        self.client = self.engine.connect(clock::now(), Kind::Loader, Peer::default());
        let mut note = |text| notes.push((Level::Warn, text));
        note(format!("!!! Warning: short read while loading the AOF file {name}!!!"));
        note(format!("!!! Truncating the AOF {name} at offset {valid_up_to} !!!"));
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| {
                file.set_len(valid_up_to)?;
                file.sync_all()
            })
            .map_err(|e| format!("Error truncating the AOF file {name}: {}", os_error(&e)))?;
        note(format!("AOF {name} loaded anyway because aof-load-truncated is enabled"));
        Ok(())
    }
}

enum End {
    Aof(persist::aof::AofError),
    Other(String),
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;
    use mio::{Poll, Token};

    use super::*;
    use crate::disk::chunk_pipe::chunk_pipe;
    use crate::process::mailbox::Mailbox;

    fn order(what: What) -> Order {
        let hash_seed = HashSeed::new(1, 2);
        let settings = Settings::default();
        let options = LoadOptions::default();
        Order {
            what,
            options,
            settings,
            hash_seed,
            rng_seed: 3,
            key_delay_us: 0,
            errors_end_it: false,
        }
    }

    fn aof(dir: &std::path::Path, bytes: &[u8], truncate_tail: bool) -> (PathBuf, What) {
        let path = dir.join("appendonly.aof.1.incr.aof");
        fs::write(&path, bytes).unwrap();
        let files = vec![("appendonly.aof.1.incr.aof".to_owned(), path.clone())];
        (path, What::Aof { files, truncate_tail })
    }

    fn keys(loaded: &Loaded) -> usize {
        loaded.keyspace.keys()
    }

    const SET_A: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    const SET_B: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n";

    #[test]
    fn a_cut_tail_is_cut_off_when_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let cut = [SET_A, &SET_B[..10]].concat();
        let (path, what) = aof(dir.path(), &cut, true);
        let loaded = load_here(order(what)).unwrap_or_else(|failure| panic!("{}", failure.why));
        assert_eq!(keys(&loaded), 1);
        assert_eq!(fs::read(path).unwrap(), SET_A);
        assert!(loaded.notes.iter().any(|(_, text)| text.contains("Truncating the AOF")));
    }

    #[test]
    fn a_cut_tail_is_refused_when_not() {
        let dir = tempfile::tempdir().unwrap();
        let cut = [SET_A, &SET_B[..10]].concat();
        let (path, what) = aof(dir.path(), &cut, false);
        let failure = load_here(order(what)).err().unwrap();
        assert!(failure.why.contains("Unexpected end of file"), "{}", failure.why);
        assert_eq!(fs::read(path).unwrap(), cut);
    }

    /// The manifest named a rewrite's increment while the one before it was still being written to: killed then,
    /// the server did not start again.
    #[test]
    fn a_cut_tail_is_cut_off_in_front_of_an_empty_increment_and_of_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let cut = [SET_A, &SET_B[..10]].concat();
        let files = |contents: [&[u8]; 3]| {
            let write = |(n, bytes): (usize, &[u8])| {
                let path = dir.path().join(n.to_string());
                fs::write(&path, bytes).unwrap();
                (n.to_string(), path)
            };
            let files = contents.into_iter().enumerate().map(write).collect();
            load_here(order(What::Aof { files, truncate_tail: true }))
        };
        let loaded = files([SET_A, &cut, b""]).unwrap_or_else(|failure| panic!("{}", failure.why));
        assert_eq!(keys(&loaded), 1);
        assert_eq!(fs::read(dir.path().join("1")).unwrap(), SET_A);
        for damaged in [[SET_A, &cut, SET_B], [&cut, b"", b""]] {
            let failure = files(damaged).err().unwrap();
            assert!(failure.why.contains("Unexpected end of file"), "{}", failure.why);
        }
    }

    #[test]
    fn half_a_transaction_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = [SET_A, b"*1\r\n$5\r\nMULTI\r\n", SET_B].concat();
        let (path, what) = aof(dir.path(), &bytes, true);
        let loaded = load_here(order(what)).unwrap_or_else(|failure| panic!("{}", failure.why));
        assert_eq!(keys(&loaded), 1);
        assert_eq!(fs::read(path).unwrap(), SET_A);
    }

    #[test]
    fn an_unknown_command_stops_the_load() {
        let dir = tempfile::tempdir().unwrap();
        let (_, what) = aof(dir.path(), b"*1\r\n$4\r\nNOPE\r\n", true);
        let failure = load_here(order(what)).err().unwrap();
        assert!(failure.why.starts_with("Unknown command 'NOPE'"), "{}", failure.why);
    }

    /// What a replayed command answers was thrown away: a key could be missing without a word.
    #[test]
    fn a_command_that_fails_is_counted_and_told_once_for_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = b"*3\r\n$5\r\nLPUSH\r\n$1\r\na\r\n$1\r\n1\r\n";
        let bytes =
            [SET_A, wrong, wrong, b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", wrong, SET_B].concat();
        let (_, what) =
            aof(dir.path(), &[&bytes[..], b"*2\r\n$3\r\nSET\r\n$1\r\nc\r\n"].concat(), true);
        let loaded = load_here(order(what)).unwrap_or_else(|failure| panic!("{}", failure.why));
        assert_eq!((keys(&loaded), loaded.unexpected_errors), (2, 4));
        let told: Vec<&str> = loaded.notes.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            told,
            [
                "== CRITICAL == This server is sending an error to its AOF-loading-client: '-WRONGTYPE \
                 Operation against a key holding the wrong kind of value' after processing the command \
                 'lpush' (3 times)",
                "== CRITICAL == This server is sending an error to its AOF-loading-client: 'wrong \
                 number of arguments for 'set' command' after processing the command 'set'",
            ]
        );
    }

    #[test]
    fn a_command_that_fails_ends_the_load_when_it_is_to() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = [SET_A, b"*3\r\n$5\r\nLPUSH\r\n$1\r\na\r\n$1\r\n1\r\n"].concat();
        let (_, what) = aof(dir.path(), &bytes, true);
        let failure = load_here(Order { errors_end_it: true, ..order(what) }).err().unwrap();
        assert!(failure.why.contains("'lpush' of the append only file"), "{}", failure.why);
        assert!(failure.notes[0].1.starts_with("== CRITICAL == "), "{:?}", failure.notes);
    }

    #[test]
    fn a_snapshot_that_breaks_off_is_no_data_set() {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(0)).unwrap();
        let (feed, reader) = chunk_pipe(mailbox.mailer());
        feed.push(Bytes::from_static(b"REDIS0011"));
        drop(feed);
        let failure = load_here(order(What::Stream(reader))).err().unwrap();
        assert!(failure.why.contains("broke off"), "{}", failure.why);
    }

    #[test]
    fn a_load_in_its_thread_reports_by_mail() {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(0)).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"not a snapshot").unwrap();
        let what = What::Rdb { file, len: 14 };
        let loader = Loader::start(7, order(what), mailbox.mailer()).unwrap();
        let mail = loop {
            // The sender wakes epoll in the real loop; here nothing else is going on.
            match mailbox.next() {
                Some(mail) => break mail,
                None => thread::yield_now(),
            }
        };
        assert_eq!(loader.serial, 7);
        assert!(matches!(mail, LoadEnded { serial: 7, result: Err(_) }));
    }
}
