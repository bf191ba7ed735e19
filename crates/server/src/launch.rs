//! From the command line to a running server, in the order that keeps every message visible: what
//! goes wrong before the log is open goes to standard error, all else to the log, and what ends the start to both.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use log::LevelFilter;

use crate::boot::{self, Process};
use crate::config::{Config, FileError, Invocation, Program, StartError, decide_role, parse_argv};
use crate::os::start;
use crate::process::crash;
use crate::process::daemon;
use crate::process::logging::{self, Output};
use crate::process::os_error::os_error;
use crate::process::supervisor::{Stage, Supervision, Supervisor};
use crate::process::title;
use crate::process::version::REDIS_VERSION;

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
        // Redis logs this one, and the log is still standard output.
        Err(StartError::Config(error @ FileError::Open { .. })) => {
            install_logger(Output::stdout(), LevelFilter::Info);
            log::error!("{error}");
            return ExitCode::FAILURE;
        }
        Err(error) => return refuse(&error.to_string()),
    };
    match prepare(&config, install_logger) {
        Ok(process) => ExitCode::from(boot::run(config, process).clamp(0, 255) as u8),
        Err(message) => refuse(&message),
    }
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("{}", message.trim_end_matches('\n'));
    ExitCode::FAILURE
}

/// Brings the process into its directory, its log and its background, all before the first thread.
fn prepare(config: &Config, install_logger: InstallLogger) -> Result<Process, String> {
    let role = decide_role(config).map_err(|error| error.to_string())?;
    let dir = &config.persistence.dir;
    if !dir.as_os_str().is_empty() {
        std::env::set_current_dir(dir)
            .map_err(|error| format!("Can't chdir to '{}': {}", dir.display(), os_error(&error)))?;
    }
    let output = Output::open(&config.general.logfile).map_err(|error| {
        format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\nCan't open the log file '{}': {}",
            config.general.logfile,
            os_error(&error)
        )
    })?;
    let general = &config.general;
    if general.syslog_enabled {
        logging::open_syslog(&general.syslog_ident, general.syslog_facility.number());
    }
    logging::set_form(general.log_format.form());
    install_logger(output, general.loglevel.filter());
    logging::log_panics();
    let log = Some(&general.logfile).filter(|name| !name.is_empty()).map(Path::new);
    crash::report_to(log).map_err(|error| os_error(&error))?;
    crash::set_wanted(general.crash_log_enabled);
    logging::abort_on_panics();
    let supervisor = Supervisor::detect(general.supervised.candidates());
    // A supervisor watches the process that it has started, so that one stays.
    let launcher = match general.daemonize && supervisor == Supervisor::Nobody {
        true => Some(
            daemon::daemonize()
                .map_err(|error| format!("Can't go into the background: {}", os_error(&error)))?,
        ),
        false => None,
    };
    if general.set_proc_title {
        title::prepare();
        title::set(&config.process_title());
    }
    start::log_starting(config);
    let mut supervision = Supervision::open(supervisor);
    supervision.tell(Stage::Loading, "Redis is loading...");
    Ok(Process { role, supervision, launcher })
}
