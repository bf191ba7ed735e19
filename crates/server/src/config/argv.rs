//! Owns the command line: `redis-server [file] [--directive value ...] [-]`.
//! Options become lines that are appended to those of the file, so that both mean the same.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::file::{self, FileError, Loader};
use super::table::{Config, Program};
use crate::process::os_error::os_error;
use crate::process::version::{REDIS_VERSION, TANDEM_VERSION, commit};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    Run(Box<Config>),
    /// Print this and exit with 0: the version, the help.
    Print(String),
}

/// Why nothing can be started: print it to standard error and exit with 1.
#[derive(Debug)]
pub enum StartError {
    /// A message as it is.
    Usage(String),
    Config(FileError),
    /// Standard input was to be read.
    Stdin(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Usage(text) => f.write_str(text),
            StartError::Config(error) => error.fmt(f),
            StartError::Stdin(error) => {
                write!(
                    f,
                    "Fatal error, can't read the configuration from stdin: {}",
                    os_error(error)
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<FileError> for StartError {
    fn from(error: FileError) -> Self {
        StartError::Config(error)
    }
}

/// What the words of the command line mean, before any file is read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    file: Option<PathBuf>,
    stdin: bool,
    /// The options as lines of a configuration file.
    options: Option<Vec<u8>>,
}

/// Reads the command line, the first word being the program, and what it refers to.
pub fn parse_argv(
    program: Program,
    argv: impl IntoIterator<Item = OsString>,
    stdin: impl Read,
) -> Result<Invocation, StartError> {
    let mut argv = argv.into_iter();
    let executable = PathBuf::from(argv.next().unwrap_or_else(|| program.name().into()));
    let arguments: Vec<Vec<u8>> = argv.map(OsStringExt::into_vec).collect();
    match arguments.iter().map(Vec::as_slice).collect::<Vec<_>>().as_slice() {
        [b"-v" | b"--version"] => return Ok(Invocation::Print(version_line())),
        [b"-h" | b"--help"] => return Ok(Invocation::Print(help(program))),
        [b"--test-memory", ..] => {
            return Err(StartError::Usage(
                "Testing memory is not part of Tandem: use memtest86 or memtester.\n".into(),
            ));
        }
        _ => {}
    }
    let mut config = Config { program, executable, ..Config::default() };
    config.has_arguments = !arguments.is_empty();
    let words = split(arguments);
    config.config_file = match &words.file {
        Some(file) => Some(
            std::path::absolute(file)
                .map_err(|error| FileError::Open { path: file.clone(), why: os_error(&error) })?,
        ),
        None => None,
    };
    load(config, words, stdin).map(|config| Invocation::Run(Box::new(config)))
}

/// Sorts the words of the command line.
///
/// A first word without a dash is the file. `-` as the first or last word reads standard input.
/// `--name` starts a line, and so does `--name value` in one word; the word after a lone `--name` is
/// its value even if it starts with dashes, further words are values unless they do. `--save`
/// without a value is `save ""`.
fn split(arguments: Vec<Vec<u8>>) -> Words {
    let mut found = Words::default();
    let mut line_may_start = true;
    let starts_option = |word: Option<&Vec<u8>>| word.is_some_and(|word| word.starts_with(b"--"));
    for (at, word) in arguments.iter().enumerate() {
        let is_last = at + 1 == arguments.len();
        if at == 0 && !word.starts_with(b"-") {
            found.file = Some(PathBuf::from(OsString::from_vec(word.clone())));
        } else if word == b"-" && (at == 0 || is_last) {
            found.stdin = true;
        } else if line_may_start && word.starts_with(b"--") {
            let options = found.options.get_or_insert_default();
            if !options.is_empty() {
                options.push(b'\n');
            }
            options.extend_from_slice(&word[2..]);
            options.push(b' ');
            let alone = protocol::split_args(word).is_some_and(|words| words.len() == 1);
            let bare_save = alone
                && word.eq_ignore_ascii_case(b"--save")
                && (is_last || starts_option(arguments.get(at + 1)));
            if bare_save {
                options.extend_from_slice(b"\"\"");
            }
            line_may_start = !alone || bare_save;
        } else {
            let options = found.options.get_or_insert_default();
            options.extend_from_slice(&protocol::quote(word));
            options.push(b' ');
            line_may_start = true;
        }
    }
    found
}

/// File, standard input and options are one text, as the line numbers of errors show.
fn load(config: Config, words: Words, mut stdin: impl Read) -> Result<Config, StartError> {
    let mut text = match &config.config_file {
        Some(path) => file::read(path)?,
        None => Vec::new(),
    };
    let count = |text: &[u8]| text.iter().filter(|b| **b == b'\n').count();
    let mut in_file = if text.is_empty() { 0 } else { count(&text) + 1 };
    if words.stdin {
        if text.last().is_some_and(|b| *b != b'\n') {
            text.push(b'\n');
        }
        in_file = count(&text);
        stdin.read_to_end(&mut text).map_err(StartError::Stdin)?;
    }
    let before_options = count(&text) + 1;
    if let Some(options) = words.options {
        text.push(b'\n');
        text.extend_from_slice(&options);
    }
    let path = config.config_file.clone();
    let source = |line: usize| match &path {
        Some(path) if line <= in_file => path.display().to_string(),
        _ if line <= before_options => "standard input".into(),
        _ => "the command line".into(),
    };
    let mut loader = Loader::new(config);
    loader.text(&text, source)?;
    Ok(loader.finish()?)
}

fn version_line() -> String {
    format!(
        "Redis server v={REDIS_VERSION} sha={}:0 malloc=jemalloc-5.3.1 bits={} build=0 tandem={}\n",
        commit(),
        usize::BITS,
        TANDEM_VERSION,
    )
}

fn help(program: Program) -> String {
    let name = program.name();
    let usage = [
        format!("Usage: {name} [/path/to/redis.conf] [options] [-]"),
        format!("       {name} - (read config from stdin)"),
        format!("       {name} -v or --version"),
        format!("       {name} -h or --help"),
        String::new(),
        "Every directive of the configuration file is an option: --port 7777.".into(),
        "Examples:".into(),
        format!("       {name} (run the server with default conf)"),
        format!("       echo 'maxmemory 128mb' | {name} -"),
        format!("       {name} /etc/redis/6379.conf"),
        format!("       {name} --port 7777"),
        format!("       {name} --port 7777 --replicaof 127.0.0.1 8888"),
        format!("       {name} /etc/myredis.conf --loglevel verbose -"),
    ];
    usage.join("\n") + "\n"
}
