//! redis-server: installs allocator and logger, and hands over to `server`.

use std::process::ExitCode;

use env_logger::{Builder, Target};
use log::LevelFilter;
use server::config::Program;
use server::logging::{Output, write_record};

#[global_allocator]
static ALLOCATOR: server::Allocator = server::Allocator;

fn main() -> ExitCode {
    server::launch(Program::Server, install_logger)
}

fn install_logger(output: Output, level: LevelFilter) {
    Builder::new()
        // The level changes at run time (CONFIG SET loglevel): `log` filters, not the logger.
        .filter_level(LevelFilter::Trace)
        .format(write_record)
        .target(Target::Pipe(Box::new(output)))
        .init();
    log::set_max_level(level);
}
