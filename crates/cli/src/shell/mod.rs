//! redis-cli: one command, commands from a pipe or a person, or a mode.
//!
//! `options` and `flag_table` are the command line, `session` is a connection with all that redis-cli
//! remembers of it, `line` is what a typed line does. Lines (`lines`) come from a pipe (`script`) or a person
//! (`interactive`, with `history`, and with `hints` and `help` from the server's `docs`, or those that are
//! `built_in`); `test_hints` shows hints without a terminal; `eval` is `--eval`, `debugger` what is different while a
//! script is debugged.

mod built_in;
mod command;
mod debugger;
mod docs;
mod eval;
mod flag_table;
mod help;
mod hints;
mod history;
mod interactive;
mod line;
mod lines;
pub(crate) mod options;
mod script;
pub(crate) mod session;
mod test_hints;

use crate::flags::{Parsed, Refused};
use crate::modes;
use crate::target::unquote;
use crate::term::{self, fail};
use crate::{Exit, VERSION};

use flag_table::TOOL;
use line::Shell;
use options::Options;
use session::{Announce, Session};

const PASSWORD_VARIABLE: &str = "REDISCLI_AUTH";

/// The whole program.
pub fn run(words: Vec<Vec<u8>>) -> Result<(), Exit> {
    let mut options = Options::new();
    let command = match TOOL.parse(words.get(1..).unwrap_or_default(), &mut options) {
        Ok(Parsed::Rest(command)) => command,
        Ok(Parsed::Help) => {
            term::out(TOOL.help());
            return Ok(());
        }
        Ok(Parsed::Version) => {
            term::out(format!("redis-cli {VERSION}\n"));
            return Ok(());
        }
        Ok(Parsed::Text(text)) => {
            term::out(text);
            return Ok(());
        }
        // A lone -h asks for help, as it does everywhere.
        Err(Refused::Unknown(flag)) if flag == b"-h" => {
            term::out(TOOL.help());
            return Ok(());
        }
        Err(Refused::Unknown(flag)) if flag.starts_with(b"--cluster") => {
            return Err(fail("The cluster manager (--cluster) is not supported."));
        }
        Err(Refused::Unknown(flag)) => {
            let flag = String::from_utf8_lossy(&flag);
            return Err(fail(format!("Unrecognized option or bad number of args for: '{flag}'")));
        }
        Err(Refused::Said(text)) => return Err(fail(text)),
    };
    check(&mut options)?;
    if let Some(mode) = options.mode {
        return modes::run(mode, options);
    }
    if options.test_hint.is_some() || options.test_hint_file.is_some() {
        return try_hints(Session::new(options));
    }
    run_commands(Session::new(options), command)
}

/// What follows from all flags together, and from the environment.
fn check(options: &mut Options) -> Result<(), Exit> {
    if let Some(text) = options.contradiction() {
        return Err(fail(text));
    }
    if options.target.password.is_some() && !options.no_auth_warning {
        term::err(
            "Warning: Using a password with '-a' or '-u' option on the command line interface \
             may not be safe.\n",
        );
    }
    if options.target.password.is_none() {
        use std::os::unix::ffi::OsStringExt;
        options.target.password = std::env::var_os(PASSWORD_VARIABLE).map(OsStringExt::into_vec);
    }
    if options.ask_password {
        options.target.password = term::ask_password("Please input password: ");
    }
    Ok(())
}

/// Hints are for trying with a server and without one.
fn try_hints(mut session: Session) -> Result<(), Exit> {
    let _ = session.connect(Announce::Nothing);
    let mut shell = Shell::new(session);
    shell.load_docs();
    let options = &shell.session.options;
    match (&options.test_hint, &options.test_hint_file) {
        (None, Some(file)) => test_hints::check(&shell.docs, file, options.verbose),
        (line, _) => {
            test_hints::print(&shell.docs, line.as_deref().unwrap_or_default());
            Ok(())
        }
    }
}

fn run_commands(mut session: Session, command: Vec<Vec<u8>>) -> Result<(), Exit> {
    if let Some(file) = session.options.eval.clone() {
        session.connect(Announce::Errors).map_err(|_| Exit(1))?;
        return eval::run(&mut Shell::new(session), &file, &command);
    }
    let mut shell = Shell::new(session);
    if command.is_empty() {
        return lines::run(&mut shell).map(drop);
    }
    // The first command tries once more, and says what is wrong.
    let _ = shell.session.connect(Announce::Nothing);
    let command = with_stdin(&shell.session.options, command)?;
    let done = shell.run_command(&command, shell.session.options.repeat)?;
    shell.session.print_messages()?;
    if done { Ok(()) } else { Err(Exit(1)) }
}

/// The command with what `--quoted-input`, `-x` and `-X` make of it.
fn with_stdin(options: &Options, mut command: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Exit> {
    if options.quoted_input {
        let unquoted: Option<Vec<_>> = command.iter().map(|word| unquote(word)).collect();
        match unquoted {
            Some(unquoted) => command = unquoted,
            None => {
                term::out("Invalid quoted string\n");
                return Err(Exit(1));
            }
        }
    }
    if options.stdin_last {
        command.push(term::read_stdin()?);
    }
    if let Some(tag) = &options.stdin_tag {
        let Some(place) = command.iter_mut().find(|word| *word == tag) else {
            return Err(fail("Using -X option but stdin tag not match."));
        };
        *place = term::read_stdin()?;
    }
    Ok(command)
}
