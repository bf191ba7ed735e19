//! redis-benchmark's flags and what they set.
//!
//! Must not: act on a flag.

use std::path::PathBuf;

use crate::connection::Target;
use crate::encrypted::tls_flags;
use crate::flags::Takes::{Checked, Nothing, Value};
use crate::flags::{Flag, Group, Tool};
use crate::target::leading_int;
use crate::term;

const THREADS_MAX: i64 = 500;
const DATA_LEN_MAX: i64 = 1 << 30;
const DIGITS_MAX: i64 = 4;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub target: Target,
    pub clients: i64,
    pub requests: i64,
    pub keepalive: bool,
    pub data_len: usize,
    /// `__rand_int__` becomes a number below this; `None`: it stays.
    pub keyspace: Option<u64>,
    pub pipeline: u64,
    pub quiet: bool,
    pub csv: bool,
    pub endless: bool,
    pub idle: bool,
    /// In lower case.
    pub tests: Option<Vec<String>>,
    pub threads: usize,
    pub digits: u32,
    pub resp3: bool,
    pub tracking: bool,
    pub stdin_last: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: Target::default(),
            clients: 50,
            requests: 100_000,
            keepalive: true,
            data_len: 3,
            keyspace: None,
            pipeline: 1,
            quiet: false,
            csv: false,
            endless: false,
            idle: false,
            tests: None,
            threads: 0,
            digits: 3,
            resp3: false,
            tracking: false,
            stdin_last: false,
        }
    }
}

const fn row(
    name: &'static [&'static str],
    takes: crate::flags::Takes<Options>,
    help: &'static str,
) -> Flag<Options> {
    Flag { names: name, takes, help }
}

const CONNECTION: &[Flag<Options>] = &[
    row(
        &["-h"],
        Value("host", |o, v| o.target.host = v),
        "Host of the server; 127.0.0.1 by default.",
    ),
    row(
        &["-p"],
        Value("port", |o, v| o.target.port = leading_int(&v)),
        "Port of the server; 6379 by default.",
    ),
    row(
        &["-s"],
        Value("path", |o, v| o.target.socket = Some(socket(v))),
        "Unix socket, instead of host and port.",
    ),
    row(&["-a"], Value("password", |o, v| o.target.password = Some(v)), "Password."),
    row(&["--user"], Value("name", |o, v| o.target.user = Some(v)), "User, for AUTH with a name."),
    row(&["-u"], Checked("uri", |o, v| o.target.apply_uri(&v)), "All of it as a URI."),
    row(&["--dbnum"], Value("db", |o, v| o.target.db = leading_int(&v)), "Database to select."),
    row(&["-3"], Nothing(|o| o.resp3 = true), "Speak RESP3."),
    row(&["--enable-tracking"], Nothing(|o| o.tracking = true), "Send CLIENT TRACKING on first."),
];

const TLS: &[Flag<Options>] = tls_flags!(row);

const LOAD: &[Flag<Options>] = &[
    row(
        &["-c"],
        Value("clients", |o, v| o.clients = leading_int(&v).max(1)),
        "Connections in parallel; 50 by default.",
    ),
    row(
        &["-n"],
        Value("requests", |o, v| o.requests = leading_int(&v)),
        "Requests in all; 100000 by default.",
    ),
    row(
        &["-d"],
        Value("bytes", |o, v| o.data_len = leading_int(&v).clamp(1, DATA_LEN_MAX) as usize),
        "Length of the values of SET and the like; 3 by default.",
    ),
    row(
        &["-k"],
        Value("0|1", |o, v| o.keepalive = leading_int(&v) != 0),
        "0: a new connection for each request.",
    ),
    row(
        &["-r"],
        Checked("keyspace", keyspace),
        "Replace __rand_int__ in every command by a number of 12 digits, from 0 to below this. Without it all commands use the same key.",
    ),
    row(
        &["-P"],
        Value("requests", |o, v| o.pipeline = leading_int(&v).max(1) as u64),
        "Requests that are sent before their replies are waited for; 1 by default.",
    ),
    row(
        &["--threads"],
        Value("threads", |o, v| o.threads = threads(leading_int(&v))),
        "Threads that share the clients.",
    ),
    row(&["-l"], Nothing(|o| o.endless = true), "Run the tests for ever."),
    row(
        &["-t"],
        Value("tests", |o, v| o.tests = Some(names(&v))),
        "Only these tests, with commas between. Without effect when there is a command.",
    ),
    row(&["-I"], Nothing(|o| o.idle = true), "Open the connections, and let them be idle."),
    row(
        &["-x"],
        Nothing(|o| o.stdin_last = true),
        "Take the command's last argument from the standard input.",
    ),
    row(
        &["-e"],
        Nothing(|_| {
            term::err(
                "WARNING: -e option has no effect. We now immediately exit on error to avoid false results.\n",
            )
        }),
        "Accepted for scripts; an error always ends the run.",
    ),
];

const REPORT: &[Flag<Options>] = &[
    row(&["-q"], Nothing(|o| o.quiet = true), "A line for each test."),
    row(&["--csv"], Nothing(|o| o.csv = true), "The figures as comma-separated values."),
    row(
        &["--precision"],
        Value("digits", |o, v| o.digits = digits(leading_int(&v))),
        "Decimal digits to which latencies are known; 3 by default.",
    ),
];

/// redis-benchmark's command line.
pub(super) const TOOL: Tool<Options> = Tool {
    name: "redis-benchmark",
    about: "measure how many commands a Redis-compatible server takes, and how long each",
    usage: "[OPTIONS] [COMMAND ARGS...]",
    groups: &[
        Group { title: "Where and as whom", flags: CONNECTION },
        Group { title: "TLS", flags: TLS },
        Group { title: "Load", flags: LOAD },
        Group { title: "Report", flags: REPORT },
    ],
    examples: &[
        "redis-benchmark -q -t set,get -P 16",
        "redis-benchmark -n 1000000 -r 100000000 -t set",
        "redis-benchmark -r 10000 lpush mylist __rand_int__",
    ],
};

fn socket(word: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(word).into()
}

fn keyspace(options: &mut Options, word: Vec<u8>) -> Result<(), String> {
    if word.starts_with(b"-") && !word.get(1).is_some_and(u8::is_ascii_digit) {
        return Err("Invalid option \"-r\" or option argument missing\n".into());
    }
    options.keyspace = Some(leading_int(&word).max(0) as u64);
    Ok(())
}

fn threads(count: i64) -> usize {
    if count > THREADS_MAX {
        term::err(format!("WARNING: Too many threads, limiting threads to {THREADS_MAX}.\n"));
    }
    count.clamp(0, THREADS_MAX) as usize
}

fn digits(count: i64) -> u32 {
    if count < 0 { 3 } else { count.min(DIGITS_MAX) as u32 }
}

fn names(word: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(word).to_lowercase().split(',').map(str::to_owned).collect()
}
