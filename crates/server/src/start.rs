//! Owns the way from the command line to a running server: configuration, working directory, log,
//! background; and what a starting server says of itself, in order. The loop is started by `run`.

use std::io;
use std::process::ExitCode;

use log::LevelFilter;

use crate::config::{
    Config, FileError, Invocation, Program, REDIS_VERSION, StartError, StartRole, decide_role,
    os_error, parse_argv,
};
use crate::daemon::{self, PidFile, Supervisor};
use crate::logging::{self, Output, Speaker};

/// Tandem's own version.
pub const TANDEM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this was built from, when the build was told, in eight digits.
pub fn commit() -> &'static str {
    option_env!("TANDEM_COMMIT").unwrap_or("00000000")
}

/// All that `run` needs: the process is in its directory and its background, and its log is open.
#[derive(Debug)]
pub struct Prepared {
    pub config: Config,
    pub role: StartRole,
    pub supervisor: Supervisor,
    /// Detached from the terminal.
    pub background: bool,
}

impl Prepared {
    /// To be called once the listeners are open, so that a second server that cannot listen does
    /// not take the file of the first. The file goes when the value is dropped.
    pub fn create_pid_file(&self) -> Option<PidFile> {
        PidFile::create(&self.config, self.background)
    }
}

/// What every binary does: prepares as the command line says, then runs.
///
/// `init_logger` installs a logger that writes records with [`logging::write_record`] to the output
/// and lets every level through; it is called once. `run` serves and gives the exit code.
pub fn main(
    program: Program,
    init_logger: impl FnOnce(Output),
    run: impl FnOnce(Prepared) -> ExitCode,
) -> ExitCode {
    let config = match parse_argv(program, std::env::args_os(), io::stdin()) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        // Redis logs this one, and the log is still standard output.
        Err(StartError::Config(error @ FileError::Open { .. })) => {
            init_logger(Output::stdout());
            log::set_max_level(LevelFilter::Info);
            log::error!("{error}");
            return ExitCode::FAILURE;
        }
        Err(error) => return refuse(&error.to_string()),
    };
    match prepare(config, init_logger) {
        Ok(prepared) => run(prepared),
        Err(message) => refuse(&message),
    }
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("{}", message.trim_end_matches('\n'));
    ExitCode::FAILURE
}

fn prepare(config: Config, init_logger: impl FnOnce(Output)) -> Result<Prepared, String> {
    let decision = decide_role(&config).map_err(|error| error.to_string())?;
    let dir = &config.persistence.dir;
    if !dir.as_os_str().is_empty() {
        std::env::set_current_dir(dir)
            .map_err(|error| format!("Can't chdir to '{}': {}", dir.display(), os_error(&error)))?;
    }
    let output = Output::open(&config).map_err(|error| {
        format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\nCan't open the log file: {}",
            os_error(&error)
        )
    })?;
    logging::open_syslog(&config);
    init_logger(output);
    logging::set_level(config.general.loglevel);
    if config.general.crash_log_enabled {
        logging::log_panics();
    }

    let supervisor = Supervisor::detect(config.general.supervised);
    let background = config.general.daemonize && supervisor == Supervisor::Nobody;
    if background {
        daemon::daemonize()
            .map_err(|error| format!("Can't go into the background: {}", os_error(&error)))?;
    }
    log_starting(&config);
    if let Some(notice) = &decision.notice {
        log::info!("{notice}");
    }
    logging::set_speaker(match decision.role {
        StartRole::Master => Speaker::Master,
        StartRole::Replica { .. } => Speaker::Replica,
    });
    Ok(Prepared { config, role: decision.role, supervisor, background })
}

/// The first lines: who starts, in which version, and whether a configuration was read.
pub fn log_starting(config: &Config) {
    log::info!("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    log::info!(
        "Redis version={REDIS_VERSION}, bits={}, commit={}, modified=0, pid={}, just started",
        usize::BITS,
        commit(),
        std::process::id()
    );
    log::info!("Tandem version={TANDEM_VERSION}, compatible with Redis {REDIS_VERSION}");
    if config.has_arguments {
        log::info!("Configuration loaded");
    } else {
        log::warn!(
            "Warning: no config file specified, using the default config. In order to specify a \
             config file use {} /path/to/redis.conf",
            config.executable.display()
        );
    }
}

/// Before the listeners open.
pub fn log_running_mode(config: &Config) {
    log::info!("Running mode=standalone, port={}.", config.network.port);
}

/// When everything but the data is set up.
pub fn log_initialized() {
    log::info!("Server initialized");
}

/// Once the data is loaded, a line for each kind of listener.
pub fn log_ready(config: &Config) {
    if config.network.port != 0 {
        log::info!("Ready to accept connections tcp");
    }
    if !config.network.unixsocket.is_empty() {
        log::info!("Ready to accept connections unix");
    }
}
