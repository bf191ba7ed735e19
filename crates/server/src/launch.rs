//! From the command line to a running server, in the order that keeps every message visible: what
//! goes wrong before the log is open goes to standard error, all else to the log.

use std::io;
use std::process::ExitCode;

use log::LevelFilter;

use crate::boot::{self, Process};
use crate::config::{Config, Invocation, Program, Supervised, decide_role, parse_argv};
use crate::daemon::{self, PidFile, Supervisor};
use crate::logging::{self, Output};
use crate::start;

/// Installs a logger that writes with [`logging::write_record`]: the binary's choice.
pub type InstallLogger = fn(Output, LevelFilter);

/// Everything that a binary's `main` does.
pub fn launch(program: Program, install_logger: InstallLogger) -> ExitCode {
    let config = match parse_argv(program, std::env::args_os(), io::stdin()) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match start(config, install_logger) {
        Ok(code) => ExitCode::from(code.clamp(0, 255) as u8),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Config, install_logger: InstallLogger) -> Result<i32, String> {
    let role = decide_role(&config).map_err(|error| error.to_string())?;
    // A supervisor watches the process that it has started, so that one stays.
    let background = config.general.daemonize && config.general.supervised == Supervised::No;
    if background {
        daemon::daemonize().map_err(|error| format!("Can't go to the background: {error}"))?;
    }
    let dir = &config.persistence.dir;
    if !dir.as_os_str().is_empty() {
        std::env::set_current_dir(dir)
            .map_err(|error| format!("Can't chdir to '{}': {error}", dir.display()))?;
    }
    let output = Output::open(&config).map_err(|e| format!("Can't open the log file: {e}"))?;
    install_logger(output, logging::filter(config.general.loglevel));
    logging::open_syslog(&config);
    logging::log_panics();
    start::log_starting(&config);
    let supervisor = Supervisor::detect(config.general.supervised);
    let pidfile = PidFile::create(&config, background);
    Ok(boot::run(config, Process { role, supervisor, pidfile }))
}
