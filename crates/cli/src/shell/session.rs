//! A connection with all that redis-cli remembers of it: its database, transaction, subscriptions;
//! running commands on it and printing what comes back.
//!
//! Must not: read commands, or know from where they come.

use std::time::Duration;

use protocol::Value;

use super::command::{Command, subscription};
use super::debugger::{Debugger, PROMPT};
use super::options::{DebugMode, Options, Resp3};
use crate::Exit;
use crate::connection::{Connection, Error};
use crate::format::{self, Output};
use crate::term::{self, Lines};

/// How long messages are waited for before the terminal is told again that they are.
const MESSAGES_WAIT: Duration = Duration::from_secs(5);
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Whether an attempt to connect says why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    Errors,
    Nothing,
}

/// There is no connection, or none that may be used; why has been said.
#[derive(Clone, Copy, Debug)]
pub struct NotConnected;

/// One redis-cli.
pub struct Session {
    pub options: Options,
    conn: Option<Connection>,
    db: i64,
    /// In a transaction: the database in which it began.
    multi: Option<i64>,
    resp3: bool,
    interactive: bool,
    /// The end of the connection is what was asked for.
    shutting_down: bool,
    monitor: bool,
    subscribed: bool,
    /// Subscriptions to channels and patterns, and to channels of shards.
    subscriptions: [i64; 2],
    last: Last,
    /// A cluster sent us elsewhere; the command is to be sent again.
    redirected: bool,
    asking: bool,
    pub(super) debugger: Debugger,
}

/// What the last reply was, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
enum Last {
    Error,
    Null,
    Map,
    /// A message of a subscription, by its kind, or its confirmation with the number that are left.
    Message(Vec<u8>, i64),
    OtherPush,
    Other,
}

enum Got {
    Reply,
    /// The connection broke; there may be another one.
    Lost(Error),
    /// It ended as it was to, or was given up for a new one.
    Ended,
}

impl Session {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            conn: None,
            db: 0,
            multi: None,
            resp3: false,
            interactive: false,
            shutting_down: false,
            monitor: false,
            subscribed: false,
            subscriptions: [0; 2],
            last: Last::Other,
            redirected: false,
            asking: false,
            debugger: Debugger::default(),
        }
    }

    /// The next EVAL is debugged, as the options say.
    pub(super) fn arm_debugger(&mut self) {
        let mode = match self.options.debugger {
            Some(DebugMode::Sync) => "sync",
            _ => "yes",
        };
        // Whoever may not debug is told so by the session that does not begin.
        let _ = self.ask(&["SCRIPT", "DEBUG", mode]);
        self.debugger.is_armed = true;
    }

    /// What a script that was debugged has returned.
    pub(super) fn print_last_words(&mut self) -> Result<(), Exit> {
        self.debugger.has_ended = false;
        match self.print_reply(false)? {
            Got::Lost(e) => Err(term::fail(format!("Error: {e}"))),
            Got::Reply | Got::Ended => Ok(()),
        }
    }

    /// From now on a lost connection is made anew, and Ctrl-C ends what streams, not the session.
    pub fn become_interactive(&mut self) {
        self.interactive = true;
        term::note_interrupts();
    }

    /// The connection alone, for what has a protocol of its own.
    pub fn into_connection(self) -> Result<Connection, Exit> {
        self.conn.ok_or(Exit(1))
    }

    /// A question of our own, whose failure nobody needs to hear of.
    pub fn ask(&mut self, args: &[&str]) -> Option<Value> {
        match self.conn.as_mut()?.call(args) {
            Ok(Value::Error(_)) | Err(_) => None,
            Ok(value) => Some(value),
        }
    }

    /// One command of a mode; without a reply the mode ends.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, Exit> {
        let conn = self.conn.as_mut().ok_or(Exit(1))?;
        conn.call(args).map_err(|_| term::fail("\nI/O error"))
    }

    /// Many commands at once, and their replies.
    pub fn pipeline(&mut self, commands: Vec<Vec<Vec<u8>>>) -> Result<Vec<Value>, Exit> {
        let conn = self.conn.as_mut().ok_or(Exit(1))?;
        for command in &commands {
            conn.append(command);
        }
        let replies = commands.iter().map(|_| conn.read_reply());
        replies.collect::<Result<_, _>>().map_err(|_| term::fail("\nI/O error"))
    }

    /// One command of a mode that outlives its server.
    pub fn call_reconnecting<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, Exit> {
        let mut tries = 0;
        loop {
            if let Some(conn) = &mut self.conn {
                match conn.call(args) {
                    Ok(value) => {
                        if tries > 0 {
                            term::out("\r\x1b[0K");
                        }
                        return Ok(value);
                    }
                    Err(e @ Error::Protocol(_)) => return Err(term::fail(format!("Error: {e}"))),
                    Err(_) => self.forget(),
                }
            }
            tries += 1;
            term::out(format!("\r\x1b[0KReconnecting... {tries}\r"));
            term::flush();
            if self.connect(Announce::Nothing).is_err() {
                std::thread::sleep(RECONNECT_PAUSE);
            }
        }
    }

    /// What stands before the next line that is typed.
    pub fn prompt(&self) -> String {
        if self.debugger.is_active {
            return PROMPT.into();
        }
        if self.conn.is_none() {
            return "not connected> ".into();
        }
        let mut prompt = self.options.target.address(false);
        if self.options.target.socket.is_some() {
            prompt.insert_str(0, "redis ");
        }
        if self.db != 0 {
            prompt.push_str(&format!("[{}]", self.db));
        }
        if self.multi.is_some() {
            prompt.push_str("(TX)");
        }
        if self.subscribed {
            prompt.push_str("(subscribed mode)");
        }
        prompt + "> "
    }

    /// A new connection, whose user, database and protocol are as the options say.
    pub fn connect(&mut self, announce: Announce) -> Result<(), NotConnected> {
        self.forget();
        match Connection::open(&self.options.target) {
            Ok(conn) => self.conn = Some(conn),
            Err(e) => {
                if announce == Announce::Errors {
                    term::err(e.refusal(&self.options.target) + "\n");
                }
                return Err(NotConnected);
            }
        }
        self.authenticate()?;
        self.select()?;
        self.switch_protocol()
    }

    fn forget(&mut self) {
        self.conn = None;
        self.db = 0;
        self.multi = None;
        self.resp3 = false;
        self.monitor = false;
        self.subscribed = false;
        self.subscriptions = [0; 2];
    }

    /// One of the commands with which a session begins.
    fn prepare(&mut self, args: &[&[u8]]) -> Result<Value, NotConnected> {
        let conn = self.conn.as_mut().ok_or(NotConnected)?;
        conn.call(args).map_err(|_| {
            term::err("\nI/O error\n");
            NotConnected
        })
    }

    fn authenticate(&mut self) -> Result<(), NotConnected> {
        let Some(password) = self.options.target.password.clone() else { return Ok(()) };
        let user = self.options.target.user.clone();
        let reply = match &user {
            Some(user) => self.prepare(&[b"AUTH", user, &password])?,
            None => self.prepare(&[b"AUTH", &password])?,
        };
        self.expect_good("AUTH", &reply)
    }

    fn select(&mut self) -> Result<(), NotConnected> {
        let db = self.options.target.db;
        if db == self.db {
            return Ok(());
        }
        let reply = self.prepare(&[b"SELECT", db.to_string().as_bytes()])?;
        self.expect_good(&format!("SELECT {db}"), &reply)?;
        self.db = db;
        Ok(())
    }

    fn switch_protocol(&mut self) -> Result<(), NotConnected> {
        if self.options.resp3 == Resp3::No || self.options.resp2 {
            return Ok(());
        }
        let reply = self.prepare(&[b"HELLO", b"3"])?;
        let switched = self.expect_good("HELLO 3", &reply);
        self.resp3 = switched.is_ok();
        if self.options.resp3 == Resp3::Wanted { switched } else { Ok(()) }
    }

    fn expect_good(&self, what: &str, reply: &Value) -> Result<(), NotConnected> {
        let Value::Error(text) = reply else { return Ok(()) };
        term::err([format!("{what} failed: ").as_bytes(), text, b"\n"].concat());
        Err(NotConnected)
    }

    /// Runs a command so many times, connecting before where that is needed. `false`: it could not
    /// be run, and why has been said.
    pub fn issue(&mut self, args: &[Vec<u8>], repeat: i64) -> Result<bool, Exit> {
        loop {
            if (self.redirected || self.conn.is_none()) && self.connect(Announce::Errors).is_err() {
                self.redirected = false;
                return Ok(false);
            }
            self.redirected = false;
            if std::mem::take(&mut self.asking) && self.prepare(&[b"ASKING"]).is_err() {
                return Ok(false);
            }
            if let Got::Lost(e) = self.send(args, repeat)? {
                term::err(format!("Error: {e}\n"));
                self.forget();
                return Ok(false);
            }
            if !self.redirected {
                return Ok(true);
            }
        }
    }

    fn send(&mut self, args: &[Vec<u8>], mut repeat: i64) -> Result<Got, Exit> {
        let command = Command::of(args);
        self.shutting_down |= command.is("shutdown");
        self.monitor |= command.is("monitor");
        // With --ldb it was said on the command line how replies look.
        if self.debugger.note(&command) && self.options.debugger.is_none() {
            self.options.output = Output::Raw;
        }
        while repeat != 0 {
            repeat = (repeat - 1).max(-1);
            let Some(conn) = self.conn.as_mut() else { return Ok(Got::Ended) };
            if command.is("sync") || command.is("psync") {
                return self.follow();
            }
            conn.append(args);
            if self.monitor {
                return self.print_monitor(command.is_text());
            }
            match self.print_replies(&command)? {
                Got::Reply => self.remember(&command),
                other => return Ok(other),
            }
            if self.redirected {
                break;
            }
            if let Some(interval) = self.options.interval {
                std::thread::sleep(interval);
            }
        }
        Ok(Got::Reply)
    }

    /// The stream of MONITOR, until it is refused or interrupted.
    fn print_monitor(&mut self, verbatim: bool) -> Result<Got, Exit> {
        while self.monitor {
            match self.print_reply(verbatim)? {
                Got::Reply => self.monitor &= self.last != Last::Error,
                Got::Ended => break,
                Got::Lost(e) => return Err(term::fail(format!("Error: {e}"))),
            }
        }
        Ok(Got::Reply)
    }

    /// SYNC makes the server a master of ours, and the session a replica's.
    fn follow(&mut self) -> Result<Got, Exit> {
        term::out("Entering replica output mode...  (press Ctrl-C to quit)\n");
        term::flush();
        let conn = self.conn.take().ok_or(Exit(1))?;
        crate::modes::sync::print_stream(conn, false)?;
        Ok(Got::Ended)
    }

    /// The reply to a command; to a subscription, one for each channel.
    fn print_replies(&mut self, command: &Command<'_>) -> Result<Got, Exit> {
        let mut missing = command.confirmations();
        loop {
            match self.print_reply_where(command.is_text(), missing > 0)? {
                Got::Reply => {}
                other => return Ok(other),
            }
            if !self.subscribed && missing == 0 {
                return Ok(Got::Reply);
            }
            match &self.last {
                Last::Message(kind, _) if missing > 0 && command.is_kind(kind) => {
                    missing -= 1;
                    if missing == 0 {
                        return Ok(Got::Reply);
                    }
                }
                Last::Message(..) | Last::OtherPush => {}
                _ => return Ok(Got::Reply),
            }
        }
    }

    fn print_reply(&mut self, verbatim: bool) -> Result<Got, Exit> {
        self.print_reply_where(verbatim, false)
    }

    /// Waits for a reply and prints it. What is pushed is a reply where one is expected to be.
    fn print_reply_where(&mut self, verbatim: bool, pushes_reply: bool) -> Result<Got, Exit> {
        let value = loop {
            let Some(conn) = self.conn.as_mut() else { return Ok(Got::Ended) };
            match conn.read() {
                Ok(Value::Push(items)) if !pushes_reply && !self.subscribed => {
                    self.print_push(items);
                }
                Ok(value) => break value,
                Err(Error::Interrupted) => {
                    if term::was_interrupted() {
                        return self.interrupt();
                    }
                }
                Err(e) => return self.lose(e),
            }
        };
        self.note(&value);
        if let Value::Error(text) = &value {
            if self.options.cluster && self.is_redirected(text) {
                return Ok(Got::Reply);
            }
            if !self.interactive && self.options.fail_on_error {
                return Err(term::fail(text));
            }
        }
        let output = self.options.output;
        let value = if self.debugger.is_active { self.dress(value) } else { value };
        term::out(format::render(&value, output, verbatim, &self.options.delimiters));
        term::flush();
        Ok(Got::Reply)
    }

    fn dress(&mut self, value: Value) -> Value {
        let dressed = self.debugger.dress(value, self.options.output == Output::Raw);
        if self.debugger.has_ended {
            self.options.output = Output::Typed;
        }
        dressed
    }

    fn print_push(&self, items: Vec<Value>) {
        if !self.options.show_pushes {
            return;
        }
        let typed = self.options.output == Output::Typed;
        let text = format::invalidation(&items).filter(|_| typed).unwrap_or_else(|| {
            let push = Value::Push(items);
            format::render(&push, self.options.output, false, &self.options.delimiters)
        });
        term::out(text);
    }

    /// Ctrl-C ends a stream by a new connection; where there is none, it ends us.
    fn interrupt(&mut self) -> Result<Got, Exit> {
        if !self.monitor && !self.subscribed {
            return Err(Exit(1));
        }
        let _ = self.connect(Announce::Errors);
        Ok(Got::Ended)
    }

    fn lose(&mut self, e: Error) -> Result<Got, Exit> {
        if self.shutting_down {
            self.shutting_down = false;
            self.forget();
            return Ok(Got::Ended);
        }
        let may_reconnect = match &e {
            Error::Closed => true,
            Error::Io(e) => matches!(
                e.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
            ),
            _ => false,
        };
        if self.interactive && may_reconnect {
            return Ok(Got::Lost(e));
        }
        Err(term::fail(format!("Error: {e}")))
    }

    /// Keeps of a reply what later decisions need, and counts subscriptions.
    fn note(&mut self, value: &Value) {
        let message = match value {
            Value::Push(items) if self.resp3 => subscription(items),
            Value::Array(items) if !self.resp3 => subscription(items),
            _ => None,
        };
        self.last = match (message, value) {
            (Some((kind, count)), _) => {
                self.count_subscriptions(&kind, count);
                Last::Message(kind, count)
            }
            (None, Value::Push(_)) => Last::OtherPush,
            (None, Value::Error(_)) => Last::Error,
            (None, Value::Null) => Last::Null,
            (None, Value::Map(_)) => Last::Map,
            _ => Last::Other,
        };
    }

    fn count_subscriptions(&mut self, kind: &[u8], count: i64) {
        let slot = match kind {
            b"subscribe" | b"psubscribe" | b"unsubscribe" | b"punsubscribe" => 0,
            b"ssubscribe" | b"sunsubscribe" => 1,
            _ => return,
        };
        self.subscriptions[slot] = count;
        self.subscribed = self.subscriptions.iter().sum::<i64>() > 0;
    }

    /// What a command that went well changes about the session.
    fn remember(&mut self, command: &Command<'_>) {
        let failed = self.last == Last::Error;
        let alone = command.args.len() == 1;
        if command.is("select") && command.args.len() == 2 && !failed {
            self.db = crate::target::leading_int(&command.args[1]);
            self.options.target.db = self.db;
        } else if command.is("auth") && matches!(command.args.len(), 2 | 3) {
            let _ = self.select();
        } else if command.is("hello") && !failed && command.args.len() > 1 {
            self.resp3 = self.last == Last::Map;
        } else if command.is("multi") && alone && !failed {
            self.multi = Some(self.db);
        } else if command.is("exec") && alone && self.multi.is_some() {
            self.end_transaction(failed || self.last == Last::Null);
        } else if command.is("discard") && alone && !failed {
            self.end_transaction(true);
        } else if command.is("reset") && alone && !failed {
            self.multi = None;
            self.db = 0;
            self.options.target.db = 0;
            self.resp3 = false;
            self.options.resp3 = Resp3::No;
            self.subscribed = false;
            self.subscriptions = [0; 2];
        }
    }

    fn end_transaction(&mut self, undone: bool) {
        if let Some(db) = self.multi.take().filter(|_| undone) {
            self.db = db;
            self.options.target.db = db;
        }
    }

    /// Takes over the address that a cluster names: `MOVED 3999 127.0.0.1:6381`.
    fn is_redirected(&mut self, error: &[u8]) -> bool {
        let text = String::from_utf8_lossy(error);
        let mut words = text.split(' ');
        let (Some(kind), Some(slot), Some(address)) = (words.next(), words.next(), words.next())
        else {
            return false;
        };
        let Some((host, port)) = address.rsplit_once(':') else { return false };
        if kind != "MOVED" && kind != "ASK" {
            return false;
        }
        // Without a host it is the one that we asked.
        if !host.is_empty() {
            self.options.target.host = host.as_bytes().to_vec();
        }
        self.options.target.port = crate::target::leading_int(port.as_bytes());
        if self.interactive {
            let address = self.options.target.address(true);
            term::out(format!("-> Redirected to slot [{slot}] located at {address}\n"));
        }
        self.redirected = true;
        self.asking = kind == "ASK";
        true
    }

    /// After a subscription, messages are all that is left to do.
    pub fn print_messages(&mut self) -> Result<(), Exit> {
        while self.subscribed {
            if let Got::Lost(e) = self.print_reply(false)? {
                return Err(term::fail(format!("Error: {e}")));
            }
        }
        Ok(())
    }

    /// Prints messages until there is something to read, from `lines` or a key that is pressed.
    pub fn print_messages_until_input(&mut self, lines: &Lines) -> Result<(), Exit> {
        let to_people = self.options.output != Output::Raw && term::stdout_is_terminal();
        let hint = "Reading messages... (press Ctrl-C to quit or any key to type command)\r";
        let _keys = (self.subscribed && term::stdin_is_terminal()).then(term::Keys::each);
        while self.subscribed && !lines.is_ready() {
            let Some(conn) = self.conn.as_mut() else { return Ok(()) };
            if let Some(value) = conn.read_received().unwrap_or(None) {
                self.print_message(&value);
                continue;
            }
            if to_people {
                let coloured = term::has_colours();
                term::out(if coloured { format!("\x1b[1;90m{hint}\x1b[0m") } else { hint.into() });
                term::flush();
            }
            let [readable, typed] = term::wait_readable(
                [conn as &dyn std::os::fd::AsFd, &std::io::stdin()],
                MESSAGES_WAIT,
            );
            if to_people {
                term::out("\x1b[K");
                term::flush();
            }
            if term::was_interrupted() {
                self.interrupt()?;
                return Ok(());
            }
            if readable && let Err(e) = conn.receive() {
                return Err(term::fail(format!("Error: {e}")));
            }
            if typed && !readable {
                return Ok(());
            }
        }
        Ok(())
    }

    fn print_message(&mut self, value: &Value) {
        self.note(value);
        term::out(format::render(value, self.options.output, false, &self.options.delimiters));
        term::flush();
    }
}
