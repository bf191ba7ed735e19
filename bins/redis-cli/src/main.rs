//! redis-cli: argv and nothing else; the program is `cli::shell`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::shell::run)
}
