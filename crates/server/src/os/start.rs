//! Owns what a starting server says of itself: versions, and the first lines of the log in their order.

use crate::config::Config;
use crate::process::version::{REDIS_VERSION, TANDEM_VERSION, commit};

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

/// Once the listeners are open.
pub fn log_running_mode(config: &Config) {
    let port = config.told_port();
    if !config.general.always_show_logo {
        return log::info!("Running mode=standalone, port={port}.");
    }
    // Test harnesses ask for the logo because it carries the process id.
    log::info!("Tandem {TANDEM_VERSION} (Redis {REDIS_VERSION}) 64 bit");
    log::info!("Running in standalone mode");
    log::info!("Port: {port}");
    log::info!("PID: {}", std::process::id());
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
    if config.tls.tls_port != 0 {
        log::info!("Ready to accept connections tls");
    }
}
