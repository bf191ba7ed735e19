//! redis-benchmark: how many commands a server takes, and how long each.
//!
//! `options` are the flags, `suite` the commands, `load` the clients with `replies` and `histogram`,
//! `report` what is printed.

mod histogram;
mod load;
mod options;
mod replies;
mod report;
mod suite;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use protocol::Value;

use crate::connection::{Connection, Error};
use crate::flags::{Parsed, Refused};
use crate::term::{self, err, fail, out};
use crate::{Exit, VERSION};

use histogram::Histogram;
use load::{Load, Progress};
use options::{Options, TOOL};
use report::Run;
use suite::Test;

/// The whole program.
pub fn run(words: Vec<Vec<u8>>) -> Result<(), Exit> {
    let mut options = Options::default();
    let command = match TOOL.parse(words.get(1..).unwrap_or_default(), &mut options) {
        Ok(Parsed::Rest(command)) => command,
        Ok(Parsed::Help) => {
            out(TOOL.help());
            return Ok(());
        }
        Ok(Parsed::Version) => {
            out(format!("redis-benchmark {VERSION}\n"));
            return Ok(());
        }
        Ok(Parsed::Text(text)) => {
            out(text);
            return Ok(());
        }
        Err(Refused::Unknown(flag)) => {
            let flag = String::from_utf8_lossy(&flag);
            out(format!("Invalid option \"{flag}\" or option argument missing\n\n{}", TOOL.help()));
            return Err(Exit(1));
        }
        Err(Refused::Said(text)) => return Err(fail(text)),
    };
    let server_config = server_config(&options)?;
    warn(&options, &command);
    let bench = Bench { options: &options, server_config };
    if options.idle {
        return bench.idle();
    }
    if options.csv {
        out(report::CSV_HEADER);
    }
    if command.is_empty() { bench.run_suite() } else { bench.run_command(command) }
}

fn warn(options: &Options, command: &[Vec<u8>]) {
    if !options.keepalive {
        err("WARNING: Keepalive disabled. You probably need 'echo 1 > \
             /proc/sys/net/ipv4/tcp_tw_reuse' for Linux and 'sudo sysctl -w net.inet.tcp.msl=1000' \
             for Mac OS X in order to use a lot of clients/requests\n");
    }
    if !command.is_empty() && options.tests.is_some() {
        err("WARNING: Option -t is ignored.\n");
    }
}

/// The server's `save` and `appendonly`, which its figures depend on.
fn server_config(options: &Options) -> Result<Option<(String, String)>, Exit> {
    let target = &options.target;
    let address = target.address(true);
    let refused = |e: Error| fail(format!("Could not connect to Redis at {address}: {e}"));
    let mut conn = Connection::open(target).map_err(refused)?;
    let ask = |conn: &mut Connection, words: &[&[u8]]| {
        conn.call(words).map_err(|e| fail(format!("Error: {e}")))
    };
    let reply = match (&target.user, &target.password) {
        (Some(user), Some(password)) => ask(&mut conn, &[b"AUTH", user, password])?,
        (None, Some(password)) => ask(&mut conn, &[b"AUTH", password])?,
        _ => Value::Null,
    };
    if let Value::Error(text) = reply {
        let text = String::from_utf8_lossy(&text);
        return Err(fail(format!("Node {address} replied with error:\n{text}")));
    }
    let mut values = Vec::new();
    for name in [&b"save"[..], b"appendonly"] {
        match ask(&mut conn, &[b"CONFIG", b"GET", name])? {
            Value::Array(pair) => {
                let value = if let Some(Value::Bulk(value)) = pair.get(1) { value } else { break };
                values.push(String::from_utf8_lossy(value).into_owned());
            }
            Value::Error(text) if text.starts_with(b"NOAUTH") => {
                let text = String::from_utf8_lossy(&text);
                return Err(fail(format!("Node {address} replied with error:\n{text}")));
            }
            _ => break,
        }
    }
    let found = <[String; 2]>::try_from(values).ok().map(|[save, appendonly]| (save, appendonly));
    if found.is_none() {
        err("WARNING: Could not fetch server CONFIG\n");
    }
    Ok(found)
}

struct Bench<'a> {
    options: &'a Options,
    server_config: Option<(String, String)>,
}

impl Bench<'_> {
    fn run_suite(&self) -> Result<(), Exit> {
        loop {
            for Test { title, request } in suite::chosen(self.options) {
                self.measure(&title, &request, self.options.data_len)?;
            }
            if !self.options.csv {
                out("\n");
            }
            if !self.options.endless {
                return Ok(());
            }
        }
    }

    fn run_command(&self, mut words: Vec<Vec<u8>>) -> Result<(), Exit> {
        let title = String::from_utf8_lossy(&words.join(&b' ')).into_owned();
        if self.options.stdin_last {
            words.push(term::read_stdin()?);
        }
        let mut request = Vec::new();
        protocol::encode_command(&mut request, words.iter().map(Vec::as_slice));
        loop {
            self.measure(&title, &request, request.len())?;
            if !self.options.endless {
                return Ok(());
            }
        }
    }

    fn idle(&self) -> Result<(), Exit> {
        let clients = self.options.clients;
        out(format!(
            "Creating {clients} idle connections and waiting forever (Ctrl+C when done)\n"
        ));
        term::flush();
        let progress = Progress::default();
        let ended = Load::new(self.options, b"").run(&progress, &mut |_| {
            out(format!("clients: {}\r", progress.live.load(Ordering::Relaxed)));
            term::flush();
        });
        ended.map(|_| ()).map_err(fail)
    }

    fn measure(&self, title: &str, request: &[u8], payload_len: usize) -> Result<(), Exit> {
        let load = Load::new(self.options, request);
        let progress = Progress::default();
        let mut ticker = Ticker::new(title, self.options.csv);
        let begun = Instant::now();
        let latencies = load.run(&progress, &mut |latencies| {
            ticker.print(progress.finished.load(Ordering::Relaxed), latencies);
        });
        let took = begun.elapsed();
        ticker.wipe();
        let run = Run {
            options: self.options,
            title,
            finished: progress.finished.load(Ordering::Relaxed),
            took,
            payload_len,
            server_config: self.server_config.as_ref(),
            latencies: &latencies.map_err(fail)?,
        };
        out(run.text());
        term::flush();
        Ok(())
    }
}

/// The line that changes while a test runs.
struct Ticker<'a> {
    title: &'a str,
    silent: bool,
    begun: Instant,
    last: Instant,
    finished: u64,
    seen: Option<Histogram>,
    width: usize,
}

impl<'a> Ticker<'a> {
    fn new(title: &'a str, silent: bool) -> Self {
        let now = Instant::now();
        Self { title, silent, begun: now, last: now, finished: 0, seen: None, width: 1 }
    }

    fn print(&mut self, finished: u64, latencies: &Histogram) {
        if self.silent {
            return;
        }
        let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64().max(1e-3);
        let recent = per_second(finished - self.finished, self.last.elapsed());
        let overall = per_second(finished, self.begun.elapsed());
        let recent_ms = latencies.mean_since(self.seen.as_ref()) / 1000.0;
        let line = format!(
            "{}: rps={recent:.1} (overall: {overall:.1}) avg_msec={recent_ms:.3} (overall: {:.3})\r",
            self.title,
            latencies.mean() / 1000.0
        );
        out(format!("{:w$}\r{line}", "", w = self.width));
        term::flush();
        (self.width, self.finished, self.last) = (line.len(), finished, Instant::now());
        self.seen = Some(latencies.clone());
    }

    /// Nothing of it is left on the line.
    fn wipe(&self) {
        if !self.silent {
            out(format!("{:w$}\r", "", w = self.width));
        }
    }
}
