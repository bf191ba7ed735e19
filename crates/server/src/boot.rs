//! The start of a server: every part is made, named and put in its place once.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use engine::Engine;
use log::{error, info};
use mio::Poll;
use node::Node;
use repl::Repl;
use store::keyspace::Keyspace;
use store::seed::HashSeed;

use crate::config::{Config, RoleDecision, StartRole, engine_settings, repl_settings};
use crate::disk::aof::Aof;
use crate::disk::files::RealDisk;
use crate::disk::rdb::Rdb;
use crate::disk::worker::DiskWorker;
use crate::monitor::service::Metrics;
use crate::net::listener::{self, ListenSettings};
use crate::net::tls::{self, Sides};
use crate::net::token::Source;
use crate::os::defrag::Defrag;
use crate::os::host::{DiskState, Host, Identity, NetState, ProcessState, TurnState};
use crate::os::start;
use crate::process::clock;
use crate::process::daemon;
use crate::process::daemon::{Launcher, OomClass, OomScore, PidFile};
use crate::process::entropy;
use crate::process::logging::{self, Speaker};
use crate::process::mailbox::Mailbox;
use crate::process::memory::{self, MemoryMeter};
use crate::process::os_error::os_error;
use crate::process::sessions::Sessions;
use crate::process::signals::SignalSource;
use crate::process::supervisor::Supervision;
use crate::process::watchdog::Watchdog;
use crate::server::{Mail, Server};

/// What the process was started with, besides its configuration.
pub struct Process {
    pub role: RoleDecision,
    pub supervision: Supervision,
    /// Who waits at the terminal that a server in the background has left.
    pub launcher: Option<Launcher>,
}

/// Runs a server to its end; the result is the process's exit code.
pub fn run(config: Config, mut process: Process) -> i32 {
    let launcher = process.launcher.take();
    let server = match Server::new(config, process, launcher.is_some()) {
        Ok(server) => server,
        Err(why) => {
            error!("{why}");
            if let Some(launcher) = launcher {
                launcher.failed(&why);
            }
            return 1;
        }
    };
    if let Some(launcher) = launcher {
        launcher.started();
    }
    server.run().unwrap_or_else(|error| {
        error!("The event loop failed: {}", os_error(&error));
        1
    })
}

/// Nobody may connect before it is known what he may do.
fn load_users(engine: &mut Engine, config: &Config) -> Result<(), String> {
    for name in engine.load_user_lines(&config.users) {
        info!(
            "The user '{name}' is disabled (there is no 'on' modifier in the user description). Make \
             sure this is not a configuration error."
        );
    }
    let Some(path) = config.acl_file() else { return Ok(()) };
    let text = config
        .read_acl_file()
        .map_err(|why| format!("Error loading ACLs, opening file '{path}': {why}"));
    text.and_then(|text| engine.load_acl_file(&text, path))
        .map_err(|errors| format!("Aborting Redis startup because of ACL errors: {errors}"))
}

/// Nobody is to find a port that cannot answer.
fn tls_sides(config: &Config) -> Result<Option<Sides>, String> {
    if !tls::is_wanted(config) {
        return Ok(None);
    }
    tls::sides(config).map(Some).map_err(|why| {
        error!("{why}");
        "Failed to configure TLS. Check logs for more info.".to_owned()
    })
}

impl Server {
    fn new(mut config: Config, process: Process, background: bool) -> Result<Server, String> {
        engine::command::rename(std::mem::take(&mut config.renames));
        config.network.maxclients = daemon::adjust_open_files(config.network.maxclients)
            .map_err(|_| "Too few open files".to_owned())?;
        if config.general.disable_thp {
            daemon::disable_huge_pages();
        }
        let text = |e: io::Error| os_error(&e);
        let poll = Poll::new().map_err(text)?;
        // Before the first thread starts, because threads inherit the mask of signals.
        let signals =
            SignalSource::install(poll.registry(), Source::Signals.token()).map_err(text)?;
        let mailbox = Mailbox::new(poll.registry(), Source::Mailbox.token()).map_err(text)?;
        let is_replica = matches!(process.role.role, StartRole::Replica { .. });
        logging::set_speaker(if is_replica { Speaker::Replica } else { Speaker::Master });
        let tls = tls_sides(&config)?;
        let mut listeners =
            listener::open(&ListenSettings::of(&config)).map_err(|e| e.to_string())?;
        // Whoever sees these lines may connect.
        start::log_running_mode(&config);
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener.register(poll.registry(), index as u32).map_err(text)?;
        }
        // Not earlier: a second server that cannot listen must leave the file of the first alone.
        let pidfile = PidFile::create(&config.general.pidfile, background);
        let mut oom = OomScore::default();
        // What goes wrong is in the log; a server without the adjustment is better than none.
        let _ = oom.apply(config.oom_rule(), OomClass::of_master(!is_replica));
        let now = clock::now();
        let hash_seed = HashSeed::new(entropy::word(), entropy::word());
        let settings = engine_settings(&config, hash_seed);
        let databases = settings.databases;
        let mut engine = Engine::new(settings, entropy::word());
        // One seed for every data set that will ever stand here: values are hashed under it, too.
        engine.keyspace = Keyspace::new(databases, hash_seed);
        load_users(&mut engine, &config)?;
        let mailer = mailbox.mailer();
        let repl =
            Repl::new(now.mono_us / 1000, repl_settings(&config), Box::new(entropy::twenty_bytes));
        let mut node = Node::new(engine, repl);
        node.begin_turn(now);
        let identity = Identity {
            run_id: entropy::forty_hex_digits(),
            started_unix_s: now.unix_us / 1_000_000,
            pid: std::process::id(),
        };
        let registry = poll.registry().try_clone().map_err(text)?;
        let worker = DiskWorker::start(Arc::new(RealDisk), mailer.wrapping(Mail::Disk));
        let worker = worker.map_err(text)?;
        let aof = Aof::new(&config, worker.clone(), mailer.wrapping(Mail::AofWriter));
        let rdb = Rdb::new(now, worker.clone());
        let mut host = Host {
            hash_seed,
            process: ProcessState {
                signals,
                identity,
                memory: MemoryMeter::new(),
                defrag: Defrag::new(),
                supervision: process.supervision,
                pidfile,
                oom,
                start_role: process.role.role.clone(),
                told_idle: BTreeSet::new(),
                cron_paused: false,
                postponed_end: None,
                asked_to_end: None,
                exit_code: None,
                metrics: Metrics::default(),
                sessions: Sessions::default(),
                watchdog: Watchdog::default(),
            },
            net: NetState::new(registry, listeners, mailer.wrapping(Mail::Resolved), tls),
            disk: DiskState::new(
                aof.map_err(text)?,
                rdb,
                worker,
                mailer.wrapping(Mail::Loaded),
                mailer.wrapping(Mail::LoaderHasRoom),
            ),
            turn: TurnState::default(),
            deferred: Vec::new(),
            config,
        };
        host.client_limit_changed();
        memory::set_background_thread(host.config.general.jemalloc_bg_thread);
        host.set_watchdog();
        let metrics = host.metrics_settings();
        host.process.metrics.configure(metrics)?;
        start::log_initialized();
        daemon::log_system_warnings(host.config.network.tcp_backlog);
        host.tell_what_has_no_effect_at_start();
        host.tell_certificates();
        if let Some(notice) = process.role.notice {
            info!("{notice}");
        }
        host.begin_first_load(&mut node)?;
        Ok(Server { poll, mailbox, node, host })
    }
}
