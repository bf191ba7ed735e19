//! One session of the debugger: the script's text, where it is to stop, what is to be told of it. Must not know how a
//! script runs, nor how what it tells reaches the client.

use mlua::Value;
use protocol::Args;

use super::request::leading_number;
use super::{help, show};

const BREAKPOINTS_MAX: usize = 64;
/// What is shown of a value or a reply unless `maxlen` says otherwise, and the least that it may say.
const LEN_DEFAULT: usize = 256;
const LEN_MIN: usize = 60;
/// Without a limit there still is one.
const LEN_MAX: usize = 16 << 20;
/// Words of a command that are shown.
const WORDS_SHOWN: usize = 10;
/// Lines around the one that is listed.
const CONTEXT_LINES: usize = 5;

const TRIMMED: &str = "<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.";
const UNKNOWN: &str = "<error> Unknown Redis Lua debugger command or wrong number of arguments.";

pub(crate) struct Session {
    lines: Vec<Vec<u8>>,
    breakpoints: Vec<usize>,
    /// It stops at the next line, and what commands do until then is told.
    step: bool,
    /// `redis.breakpoint()` was called: it stops at the next line, too.
    breaks: bool,
    line: usize,
    log: Vec<Vec<u8>>,
    /// What the client has said and was not looked at yet.
    pub(super) input: Vec<u8>,
    /// The client is asked what next: its own code does not stop.
    pub(super) is_talking: bool,
    /// 0 for no limit.
    max_len: usize,
    is_hinted: bool,
}

/// What a command of the client asks for.
pub(super) enum Next {
    /// The script goes on.
    Go,
    /// What was asked is told.
    Told,
    Abort,
    Eval(Vec<u8>),
    Redis(Vec<Vec<u8>>),
    Print(Option<Vec<u8>>),
    Trace,
}

impl Session {
    pub(super) fn new(source: &[u8]) -> Session {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let end = source.iter().rposition(|byte| !is_end(byte)).map_or(0, |at| at + 1);
        let lines = match end {
            0 => Vec::new(),
            _ => source[..end].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
        };
        Session {
            lines,
            breakpoints: Vec::new(),
            step: true,
            breaks: false,
            line: 0,
            log: Vec::new(),
            input: Vec::new(),
            is_talking: false,
            max_len: LEN_DEFAULT,
            is_hinted: false,
        }
    }

    /// The script comes to a line, or has run for a while (`is_late`: for too long). True if it stops here.
    pub(super) fn arrive(&mut self, line: usize, is_count: bool, is_late: bool) -> bool {
        if self.is_talking {
            return false;
        }
        self.line = line;
        let is_breakpoint = self.breaks || self.is_breakpoint(line);
        let times_out = is_count && !self.step && !is_breakpoint;
        if (times_out && !is_late) || (!is_count && !self.step && !is_breakpoint) {
            return false;
        }
        let reason = match (is_breakpoint, self.breaks) {
            (true, true) => "redis.breakpoint() called",
            (true, false) => "break point",
            _ if times_out => "timeout reached, infinite loop?",
            _ => "step over",
        };
        (self.step, self.breaks) = (false, false);
        self.tell(format!("* Stopped at {line}, stop reason = {reason}"));
        self.tell_line(line);
        true
    }

    /// Nobody is there any more: the script runs to its end.
    pub(super) fn leave(&mut self) {
        self.step = false;
        self.breakpoints.clear();
    }

    pub(super) fn set_step(&mut self, on: bool) {
        self.step = on;
    }

    /// `redis.breakpoint`.
    pub(crate) fn break_next(&mut self) {
        self.breaks = true;
    }

    /// All that there is to tell, as a reply of status lines.
    pub(super) fn take_told(&mut self) -> Vec<u8> {
        let mut reply = format!("*{}\r\n", self.log.len()).into_bytes();
        for entry in self.log.drain(..) {
            reply.push(b'+');
            let blank = |byte: u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
            reply.extend(entry.into_iter().map(blank));
            reply.extend_from_slice(b"\r\n");
        }
        reply
    }

    pub(super) fn tell(&mut self, entry: impl Into<Vec<u8>>) {
        self.log.push(entry.into());
    }

    pub(super) fn tell_error(&mut self, why: &[u8]) {
        self.tell([b"<error> ", why].concat());
    }

    pub(super) fn tell_value(&mut self, prefix: &str, value: &Value) {
        let mut entry = prefix.as_bytes().to_vec();
        show::value(&mut entry, value, self.limit());
        self.tell_trimmed(entry);
    }

    /// `redis.debug`.
    pub(crate) fn tell_values(&mut self, values: &[Value]) {
        let mut entry = format!("<debug> line {}: ", self.line).into_bytes();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                entry.extend_from_slice(b", ");
            }
            show::value(&mut entry, value, LEN_MAX);
        }
        self.tell(entry);
    }

    /// A command of the script's, if such are told.
    pub(crate) fn tell_command(&mut self, args: Args<'_>) {
        if !self.step {
            return;
        }
        let mut entry = b"<redis>".to_vec();
        for word in args.iter().take(WORDS_SHOWN) {
            entry.push(b' ');
            entry.extend_from_slice(word);
        }
        if args.len() > WORDS_SHOWN {
            entry.extend_from_slice(
                format!(" ... ({} more)", args.len() - WORDS_SHOWN - 1).as_bytes(),
            );
        }
        self.tell(entry);
    }

    /// Why a command was not run: its text has a code word, which is none of Redis's here if it says nothing.
    pub(crate) fn tell_refusal(&mut self, why: &str) {
        if self.step {
            match why.strip_prefix("ERR ") {
                Some(why) => self.tell_error(why.as_bytes()),
                None => self.tell_error(format!("-{why}").as_bytes()),
            }
        }
    }

    /// `redis.error_reply`.
    pub(crate) fn tell_error_reply(&mut self, text: &[u8]) {
        if self.step {
            self.tell_error(&[b"-", text.strip_prefix(b"-").unwrap_or(text)].concat());
        }
    }

    pub(crate) fn tell_reply(&mut self, reply: &[u8]) {
        if !self.step {
            return;
        }
        if reply.first() == Some(&b'-') {
            let end = memchr::memchr(b'\r', reply).unwrap_or(reply.len());
            self.tell_error(&reply[..end]);
        }
        let mut entry = b"<reply> ".to_vec();
        show::reply(&mut entry, reply);
        self.tell_trimmed(entry);
    }

    fn limit(&self) -> usize {
        if self.max_len == 0 { LEN_MAX } else { self.max_len }
    }

    fn tell_trimmed(&mut self, mut entry: Vec<u8>) {
        if entry.len() <= self.limit() {
            return self.tell(entry);
        }
        entry.truncate(self.limit());
        entry.extend_from_slice(b" ...");
        self.tell(entry);
        if !std::mem::replace(&mut self.is_hinted, true) {
            self.tell(TRIMMED);
        }
    }

    /// Does what needs nothing but the session.
    pub(super) fn command(&mut self, words: &[Vec<u8>]) -> Next {
        let (name, rest) = match words.split_first() {
            Some((name, rest)) => (name.to_ascii_lowercase(), rest),
            None => return Next::Told,
        };
        match name.as_slice() {
            b"h" | b"help" => help::LINES.iter().for_each(|line| self.tell(*line)),
            b"s" | b"step" | b"n" | b"next" => {
                self.step = true;
                return Next::Go;
            }
            b"c" | b"continue" => return Next::Go,
            b"t" | b"trace" => return Next::Trace,
            b"m" | b"maxlen" => self.set_max_len(rest),
            b"b" | b"break" => self.change_breakpoints(rest),
            b"e" | b"eval" => return Next::Eval(rest.join(&b' ')),
            b"a" | b"abort" => return Next::Abort,
            b"r" | b"redis" if !rest.is_empty() => return Next::Redis(rest.to_vec()),
            b"p" | b"print" => {
                return Next::Print(if let [name] = rest { Some(name.clone()) } else { None });
            }
            b"l" | b"list" => {
                let around = rest.first().map_or(0, |word| leading_number(word));
                let around = usize::try_from(around).ok().filter(|n| *n > 0).unwrap_or(self.line);
                let context = rest.get(1).map(|word| leading_number(word));
                if let Ok(context) = usize::try_from(context.unwrap_or(CONTEXT_LINES as i64)) {
                    self.list(around, context);
                }
            }
            b"w" | b"whole" => self.list(1, 1_000_000),
            _ => self.tell(UNKNOWN),
        }
        Next::Told
    }

    fn set_max_len(&mut self, rest: &[Vec<u8>]) {
        if let [len] = rest {
            self.is_hinted = true;
            let len = leading_number(len);
            self.max_len = match len {
                0 => 0,
                len => usize::try_from(len).unwrap_or(0).max(LEN_MIN),
            };
        }
        match self.max_len {
            0 => self.tell("<value> replies are unlimited."),
            len => self.tell(format!("<value> replies are truncated at {len} bytes.")),
        }
    }

    fn is_breakpoint(&self, line: usize) -> bool {
        self.breakpoints.contains(&line)
    }

    fn change_breakpoints(&mut self, rest: &[Vec<u8>]) {
        if rest.is_empty() {
            return self.list_breakpoints();
        }
        for word in rest {
            match protocol::parse_i64(word) {
                None => self.tell([b"Invalid argument:'", word.as_slice(), b"'"].concat()),
                Some(0) => {
                    self.breakpoints.clear();
                    self.tell("All breakpoints removed.");
                }
                Some(line @ 1..) => self.add_breakpoint(line),
                Some(line) => {
                    let line = line.unsigned_abs() as usize;
                    let before = self.breakpoints.len();
                    self.breakpoints.retain(|other| *other != line);
                    self.tell(match self.breakpoints.len() < before {
                        true => "Breakpoint removed.",
                        false => "No breakpoint in the specified line.",
                    });
                }
            }
        }
    }

    fn add_breakpoint(&mut self, line: i64) {
        if self.breakpoints.len() == BREAKPOINTS_MAX {
            return self.tell("Too many breakpoints set.");
        }
        let Some(line) = usize::try_from(line).ok().filter(|line| *line <= self.lines.len()) else {
            return self.tell("Wrong line number.");
        };
        // One that is there already has no place in the list, and answers as if it were gone wrong.
        if !self.is_breakpoint(line) {
            self.breakpoints.push(line);
            self.list(line, 1);
        } else {
            self.tell("Wrong line number.");
        }
    }

    fn list_breakpoints(&mut self) {
        if self.breakpoints.is_empty() {
            return self.tell("No breakpoints set. Use 'b <line>' to add one.");
        }
        self.tell(format!("{} breakpoints set:", self.breakpoints.len()));
        for line in self.breakpoints.clone() {
            self.tell_line(line);
        }
    }

    fn list(&mut self, around: usize, context: usize) {
        let first = around.saturating_sub(context).max(1);
        let last = around.saturating_add(context).min(self.lines.len());
        (first..=last).for_each(|line| self.tell_line(line));
    }

    pub(super) fn tell_line(&mut self, number: usize) {
        let sign = match (self.line == number, self.is_breakpoint(number)) {
            (true, true) => "->#",
            (true, false) => "-> ",
            (false, true) => "  #",
            (false, false) => "   ",
        };
        let text = number.checked_sub(1).and_then(|at| self.lines.get(at));
        let text = text.map_or(&b"<out of range source code line>"[..], Vec::as_slice);
        self.tell([format!("{sign}{number:<3} ").as_bytes(), text].concat());
    }
}
