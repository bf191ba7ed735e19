//! redis-check-rdb: argv and nothing else; the program is `cli::check`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::check::run_rdb)
}
