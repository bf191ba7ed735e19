//! redis-cli's flags and what they set.
//!
//! Must not: act on a flag, but for what the whole command line makes impossible.

use std::path::PathBuf;
use std::time::Duration;

use crate::connection::Target;
use crate::format::{Delimiters, Output};
use crate::term;

/// What redis-cli does instead of running a command; the first of several wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Latency,
    LatencyDist,
    Replica,
    Rdb,
    FunctionsRdb,
    Pipe,
    BigKeys,
    MemKeys,
    HotKeys,
    Stat,
    Scan,
    LruTest,
    IntrinsicLatency,
    Topology,
    Promote,
}

/// Whether a session begins with HELLO 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resp3 {
    No,
    /// `-3`: a server that cannot is an error.
    Wanted,
    /// As with `--json`: nice to have.
    Preferred,
}

/// How a script is debugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugMode {
    /// In a process of the server's that is made for it.
    Forked,
    /// In the server itself.
    Sync,
}

/// All that a command line of redis-cli says.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub ask_password: bool,
    pub no_auth_warning: bool,
    pub resp2: bool,
    pub resp3: Resp3,
    pub repeat: i64,
    pub interval: Option<Duration>,
    pub stdin_last: bool,
    pub stdin_tag: Option<Vec<u8>>,
    pub quoted_input: bool,
    pub output: Output,
    pub delimiters: Delimiters,
    /// What the server says unasked is printed.
    pub show_pushes: bool,
    pub fail_on_error: bool,
    pub cluster: bool,
    pub verbose: bool,
    pub eval: Option<PathBuf>,
    pub debugger: Option<DebugMode>,
    pub mode: Option<Mode>,
    pub latency_history: bool,
    pub monochrome: bool,
    pub pattern: Option<Vec<u8>>,
    pub scan_count: Option<i64>,
    pub scan_type: Option<Vec<u8>>,
    pub memkeys_samples: i64,
    pub pipe_timeout_s: i64,
    pub rdb_file: PathBuf,
    pub lru_keys: i64,
    pub intrinsic_s: i64,
    pub once: bool,
    pub yes: bool,
    pub promote: Vec<u8>,
    pub test_hint: Option<Vec<u8>>,
    pub test_hint_file: Option<PathBuf>,
    /// Modes that cannot be had together.
    conflict: Option<&'static str>,
}

impl Options {
    /// Before any flag was read: what is printed depends on who reads it.
    pub fn new() -> Self {
        let to_people = term::stdout_is_terminal();
        Self {
            target: Target::default(),
            ask_password: false,
            no_auth_warning: false,
            resp2: false,
            resp3: Resp3::No,
            repeat: 1,
            interval: None,
            stdin_last: false,
            stdin_tag: None,
            quoted_input: false,
            output: if to_people { Output::Typed } else { Output::Raw },
            delimiters: Delimiters::default(),
            show_pushes: to_people,
            fail_on_error: false,
            cluster: false,
            verbose: false,
            eval: None,
            debugger: None,
            mode: None,
            latency_history: false,
            monochrome: false,
            pattern: None,
            scan_count: None,
            scan_type: None,
            memkeys_samples: 0,
            pipe_timeout_s: 30,
            rdb_file: PathBuf::new(),
            lru_keys: 0,
            intrinsic_s: 0,
            once: false,
            yes: false,
            promote: Vec::new(),
            test_hint: None,
            test_hint_file: None,
            conflict: None,
        }
    }

    pub(super) fn choose(&mut self, mode: Mode) {
        let earlier = self.mode.unwrap_or(mode);
        let both = (earlier.min(mode), earlier.max(mode));
        if both == (Mode::Rdb, Mode::FunctionsRdb) {
            self.conflict = Some("Option --functions-rdb and --rdb are mutually exclusive.");
        }
        self.mode = Some(both.0);
    }

    pub(super) fn prefer_resp3(&mut self) {
        if self.resp3 == Resp3::No {
            self.resp3 = Resp3::Preferred;
        }
    }

    /// What is wrong with the command line as a whole.
    pub fn contradiction(&self) -> Option<&'static str> {
        let rules = [
            (self.target.socket.is_some() && self.cluster, {
                "Options -c and -s are mutually exclusive."
            }),
            (self.resp2 && self.resp3 == Resp3::Wanted, {
                "Options -2 and -3 are mutually exclusive."
            }),
            (self.debugger.is_some() && self.eval.is_none(), {
                "Options --ldb and --ldb-sync-mode require --eval.\n\
                 Try redis-cli --help for more information."
            }),
            (self.stdin_last && self.stdin_tag.is_some(), {
                "Options -x and -X are mutually exclusive."
            }),
            (self.target.prefers_ipv4 && self.target.prefers_ipv6, {
                "Options -4 and -6 are mutually exclusive."
            }),
        ];
        self.conflict.or_else(|| rules.iter().find(|(broken, _)| *broken).map(|(_, text)| *text))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
