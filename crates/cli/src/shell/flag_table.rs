//! The rows of redis-cli's flags: spelling, value, meaning, help.
//!
//! Must not: hold anything but rows and how their values are read.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use super::options::{DebugMode, Mode, Options, Resp3};
use crate::encrypted::tls_flags;
use crate::flags::Takes::{Checked, Nothing, Value};
use crate::flags::{Flag, Group, Tool};
use crate::format::{Output, Strings};
use crate::target::{leading_float, leading_int, port, unquote};
use crate::term;

const fn row(
    names: &'static [&'static str],
    takes: crate::flags::Takes<Options>,
    help: &'static str,
) -> Flag<Options> {
    Flag { names, takes, help }
}

fn path(word: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(word))
}

fn seconds(word: &[u8]) -> Option<Duration> {
    let seconds = leading_float(word);
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

/// 0 is no limit but the system's; anything behind the number makes it none.
fn connect_timeout(word: &[u8]) -> Result<Option<Duration>, String> {
    let number = String::from_utf8_lossy(word).trim_start().parse::<f64>();
    match number {
        Ok(number) if number >= 0.0 => Ok(seconds(word)),
        _ => Err("Invalid connection timeout for -t.".into()),
    }
}

/// redis-cli's command line.
pub const TOOL: Tool<Options> = Tool {
    name: "redis-cli",
    about: "client, monitor and workbench for a Redis-compatible server",
    usage: "[OPTIONS] [cmd [arg [arg ...]]]",
    groups: GROUPS,
    examples: &[
        "redis-cli -p 6380 get greeting",
        "cat motd | redis-cli -x set motd",
        "redis-cli -D \"\" --raw dump key | redis-cli -X value restore copy 0 value replace",
        "redis-cli -r 10 -i 1 info memory",
        "redis-cli --eval script.lua key1 key2 , arg1 arg2",
        "redis-cli --scan --pattern 'session:*'",
        "redis-cli --topology",
        "redis-cli --promote 10.0.0.2:6379 --yes",
    ],
};

const GROUPS: &[Group<Options>] = &[
    Group { title: "Where and as whom", flags: CONNECTION },
    Group { title: "TLS", flags: TLS },
    Group { title: "Commands", flags: COMMANDS },
    Group { title: "Output", flags: OUTPUT },
    Group { title: "Looking at a server", flags: WATCH },
    Group { title: "Looking at keys", flags: KEYS },
    Group { title: "Moving data", flags: DATA },
    Group { title: "Replication", flags: REPLICATION },
    Group { title: "Trying hints", flags: HINTS },
];

const CONNECTION: &[Flag<Options>] = &[
    row(
        &["-h"],
        Value("host", |o, v| o.target.host = v),
        "Host of the server; 127.0.0.1 by default.",
    ),
    row(
        &["-p"],
        Checked("port", |o, v| {
            o.target.port = port(&v)?;
            Ok(())
        }),
        "Port of the server; 6379 by default.",
    ),
    row(
        &["-s"],
        Value("path", |o, v| o.target.socket = Some(path(v))),
        "Unix socket of the server, instead of host and port.",
    ),
    row(
        &["-u"],
        Checked("uri", |o, v| o.target.apply_uri(&v)),
        "All of it as a URI: redis://user:password@host:port/db, rediss:// over TLS, or unix:///path.",
    ),
    row(
        &["-t"],
        Checked("timeout", |o, v| {
            o.target.connect_timeout = connect_timeout(&v)?;
            Ok(())
        }),
        "Seconds, or parts of one, after which connecting is given up.",
    ),
    row(
        &["-4"],
        Nothing(|o| o.target.prefers_ipv4 = true),
        "Try the IPv4 addresses of a host before the others.",
    ),
    row(
        &["-6"],
        Nothing(|o| o.target.prefers_ipv6 = true),
        "Try the IPv6 addresses of a host before the others.",
    ),
    row(
        &["-a", "--pass"],
        Value("password", |o, v| o.target.password = Some(v)),
        "Password. The environment's REDISCLI_AUTH is safer: others can read a command line.",
    ),
    row(
        &["--user"],
        Value("name", |o, v| o.target.user = Some(v)),
        "User, for AUTH with a name. Needs a password.",
    ),
    row(
        &["--askpass"],
        Nothing(|o| o.ask_password = true),
        "Ask for the password, whatever -a and REDISCLI_AUTH say.",
    ),
    row(
        &["--no-auth-warning"],
        Nothing(|o| o.no_auth_warning = true),
        "Do not warn of a password on the command line.",
    ),
    row(&["-n"], Value("db", |o, v| o.target.db = leading_int(&v)), "Database to select."),
    row(&["-2"], Nothing(|o| o.resp2 = true), "Speak RESP2."),
    row(&["-3"], Nothing(|o| o.resp3 = Resp3::Wanted), "Speak RESP3."),
    row(
        &["-c"],
        Nothing(|o| o.cluster = true),
        "Follow the redirections of a cluster (MOVED, ASK).",
    ),
];

const TLS: &[Flag<Options>] = tls_flags!(row);

const COMMANDS: &[Flag<Options>] = &[
    row(
        &["-r"],
        Value("times", |o, v| o.repeat = leading_int(&v)),
        "Run the command so many times; -1 is for ever.",
    ),
    row(
        &["-i"],
        Value("interval", |o, v| o.interval = seconds(&v)),
        "Seconds, or parts of one, between runs of -r, screens of --stat and --topology, steps of --scan, and every hundredth step of --bigkeys, --memkeys and --hotkeys.",
    ),
    row(
        &["-x"],
        Nothing(|o| o.stdin_last = true),
        "Take the last argument from the standard input.",
    ),
    row(
        &["-X"],
        Value("tag", |o, v| o.stdin_tag = Some(v)),
        "Take the argument that reads <tag> from the standard input.",
    ),
    row(
        &["--quoted-input"],
        Nothing(|o| o.quoted_input = true),
        "Arguments are quoted strings, as in \"\\x00\".",
    ),
    row(
        &["-e"],
        Nothing(|o| o.fail_on_error = true),
        "End with status 1 when the server replies with an error.",
    ),
    row(
        &["--eval"],
        Value("file", |o, v| o.eval = Some(path(v))),
        "EVAL the script in a file, with keys, a lone comma, and arguments behind it.",
    ),
    row(
        &["--ldb"],
        Nothing(|o| {
            o.debugger = o.debugger.or(Some(DebugMode::Forked));
            o.output = Output::Raw;
        }),
        "Used with --eval: debugs the script, and what it changes is rolled back.",
    ),
    row(
        &["--ldb-sync-mode"],
        Nothing(|o| {
            o.debugger = Some(DebugMode::Sync);
            o.output = Output::Raw;
        }),
        "Like --ldb, but the server is blocked meanwhile and what the script changes stays.",
    ),
    row(&["--verbose"], Nothing(|o| o.verbose = true), "With --test_hint_file, say every hint."),
];

const OUTPUT: &[Flag<Options>] = &[
    row(
        &["--raw"],
        Nothing(|o| o.output = Output::Raw),
        "Print nothing but the data, as is done when nobody looks.",
    ),
    row(
        &["--no-raw"],
        Nothing(|o| o.output = Output::Typed),
        "Print types and numbers, as is done in a terminal.",
    ),
    row(
        &["-d"],
        Value("text", |o, v| o.delimiters.elements = v),
        "What stands between elements of raw output; a line end by default.",
    ),
    row(
        &["-D"],
        Value("text", |o, v| o.delimiters.replies = v),
        "What stands behind raw replies; a line end by default.",
    ),
    row(&["--csv"], Nothing(|o| o.output = Output::Csv), "Print comma-separated values."),
    row(
        &["--json"],
        Nothing(|o| {
            o.prefer_resp3();
            o.output = Output::Json(Strings::Plain);
        }),
        "Print JSON; speaks RESP3 unless -2 is given.",
    ),
    row(
        &["--quoted-json"],
        Nothing(|o| {
            o.prefer_resp3();
            o.output = Output::Json(Strings::Quoted);
        }),
        "As --json, in ASCII whatever the strings hold.",
    ),
    row(
        &["--show-pushes"],
        Value("yes|no", |o, v| {
            o.show_pushes = shows_pushes(&v, o.show_pushes);
        }),
        "Print what the server pushes unasked; the default in a terminal.",
    ),
];

const WATCH: &[Flag<Options>] = &[
    row(
        &["--stat"],
        Nothing(|o| o.choose(Mode::Stat)),
        "A line of figures every second: keys, memory, clients, requests.",
    ),
    row(
        &["--latency"],
        Nothing(|o| o.choose(Mode::Latency)),
        "Measure PING without end; into a pipe, for a second (or -i).",
    ),
    row(
        &["--latency-history"],
        Nothing(|o| {
            o.latency_history = true;
            o.choose(Mode::Latency);
        }),
        "As --latency, with a new line every 15 seconds (or -i).",
    ),
    row(
        &["--latency-dist"],
        Nothing(|o| o.choose(Mode::LatencyDist)),
        "Latency as a spectrum of colours, each second (or -i).",
    ),
    row(&["--mono"], Nothing(|o| o.monochrome = true), "The spectrum in shades of grey."),
    row(
        &["--intrinsic-latency"],
        Value("seconds", |o, v| {
            o.intrinsic_s = leading_int(&v);
            o.choose(Mode::IntrinsicLatency)
        }),
        "Measure what the machine itself holds up, without a server.",
    ),
    row(
        &["--lru-test"],
        Value("keys", |o, v| {
            o.lru_keys = leading_int(&v);
            o.choose(Mode::LruTest)
        }),
        "Simulate a cache, 80% of whose requests go to 20% of the keys.",
    ),
];

const KEYS: &[Flag<Options>] = &[
    row(&["--scan"], Nothing(|o| o.choose(Mode::Scan)), "List all keys."),
    row(
        &["--pattern"],
        Value("glob", |o, v| o.pattern = Some(v)),
        "Only keys that match, with --scan, --bigkeys, --memkeys, --hotkeys.",
    ),
    row(
        &["--quoted-pattern"],
        Checked("glob", |o, v| {
            o.pattern =
                Some(unquote(&v).ok_or("Invalid quoted string specified for --quoted-pattern.")?);
            Ok(())
        }),
        "As --pattern, in quotes, for bytes that cannot be typed.",
    ),
    row(
        &["--count"],
        Value("n", |o, v| o.scan_count = Some(leading_int(&v))),
        "COUNT of each SCAN.",
    ),
    row(
        &["--type"],
        Value("type", |o, v| o.scan_type = Some(v)),
        "Only keys of this type, with --scan.",
    ),
    row(
        &["--bigkeys"],
        Nothing(|o| o.choose(Mode::BigKeys)),
        "Find the keys with the most elements.",
    ),
    row(
        &["--memkeys"],
        Nothing(|o| {
            o.memkeys_samples = 0;
            o.choose(Mode::MemKeys);
        }),
        "Find the keys that take the most memory.",
    ),
    row(
        &["--memkeys-samples"],
        Value("n", |o, v| {
            o.memkeys_samples = leading_int(&v);
            o.choose(Mode::MemKeys)
        }),
        "As --memkeys, looking at so many elements of a key.",
    ),
    row(
        &["--hotkeys"],
        Nothing(|o| o.choose(Mode::HotKeys)),
        "Find the keys that are used most; needs an LFU policy.",
    ),
];

const DATA: &[Flag<Options>] = &[
    row(
        &["--pipe"],
        Nothing(|o| o.choose(Mode::Pipe)),
        "Send raw protocol from the standard input.",
    ),
    row(
        &["--pipe-timeout"],
        Value("seconds", |o, v| o.pipe_timeout_s = leading_int(&v)),
        "Give up when no reply comes for so long after the end of input; 30 by default, 0 is never.",
    ),
    row(
        &["--rdb"],
        Value("file", |o, v| {
            o.rdb_file = path(v);
            o.choose(Mode::Rdb)
        }),
        "Fetch a snapshot into a file, or with - to the standard output.",
    ),
    row(
        &["--functions-rdb"],
        Value("file", |o, v| {
            o.rdb_file = path(v);
            o.choose(Mode::FunctionsRdb)
        }),
        "As --rdb, only the function libraries.",
    ),
];

const REPLICATION: &[Flag<Options>] = &[
    row(
        &["--replica", "--slave"],
        Nothing(|o| o.choose(Mode::Replica)),
        "Act as a replica, and print the commands that the master sends.",
    ),
    row(
        &["--topology"],
        Nothing(|o| o.choose(Mode::Topology)),
        "Show master, replicas and their replicas as a tree, from any of them, each second.",
    ),
    row(
        &["--once"],
        Nothing(|o| o.once = true),
        "Show the tree once and end. With --json, as JSON.",
    ),
    row(
        &["--promote"],
        Value("host:port", |o, v| {
            o.promote = v;
            o.choose(Mode::Promote)
        }),
        "Make this replica the master without losing a write. Tells what it would do.",
    ),
    row(&["--yes"], Nothing(|o| o.yes = true), "Do what --promote tells."),
];

const HINTS: &[Flag<Options>] = &[
    row(
        &["--test_hint"],
        Value("line", |o, v| o.test_hint = Some(v)),
        "Print the hint that stands behind a line while it is typed.",
    ),
    row(
        &["--test_hint_file"],
        Value("file", |o, v| o.test_hint_file = Some(path(v))),
        "Compare hints with those in a file, whose lines have what is typed and the hint, in quotes.",
    ),
];

fn shows_pushes(word: &[u8], before: bool) -> bool {
    match word.first().map(u8::to_ascii_lowercase) {
        Some(b'n') => false,
        Some(b'y') => true,
        _ => {
            let word = String::from_utf8_lossy(word);
            term::err(format!("Unknown --show-pushes value '{word}' (valid: '[y]es', '[n]o')\n"));
            before
        }
    }
}
