//! redis-benchmark: argv and nothing else; the program is `cli::benchmark`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::benchmark::run)
}
