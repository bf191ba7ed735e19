//! Server processes, ours and Debian's, each with a folder, a port and a log of its own.
//!
//! Must not: leave a process or a file behind, or touch a process that it did not start.
//!
//! Order of calls: a [`ServerBuilder`] collects directives; `start` returns a running [`Server`];
//! `stop`, `kill` and `start_again` follow in any order; dropping it kills what still runs.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::binaries;
use crate::client::{Client, Reply};
use crate::faults::Faults;
use crate::info::Info;
use crate::ports::{self, Port};
use crate::process::Finished;
use crate::wait::{LONG, wait_for, wait_until};

const CONFIG_FILE: &str = "redis.conf";
const LOG_FILE: &str = "log";
/// Lines of each server's log that a failed test shows.
const LOG_TAIL_LINES: usize = 60;

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's redis-server.
    Redis,
    /// Tandem's redis-server, which takes either role.
    Tandem,
    /// Tandem's redis-master.
    TandemMaster,
    /// Tandem's redis-replica.
    TandemReplica,
}

impl Kind {
    pub fn program(self) -> PathBuf {
        match self {
            Kind::Redis => binaries::debian("redis-server"),
            Kind::Tandem => binaries::tandem("redis-server"),
            Kind::TandemMaster => binaries::tandem("redis-master"),
            Kind::TandemReplica => binaries::tandem("redis-replica"),
        }
    }

    pub fn is_tandem(self) -> bool {
        self != Kind::Redis
    }
}

/// Collects what a server is started with.
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    kind: Kind,
    name: String,
    directives: Vec<String>,
    args: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    base_config: bool,
    program: PathBuf,
}

impl ServerBuilder {
    /// Another program than its kind's: a peer of another version.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = path.into();
        self
    }

    /// Appends a directive to the config file, as a line of it. Later ones win over earlier ones.
    pub fn set(mut self, line: &str) -> Self {
        self.directives.push(line.to_string());
        self
    }

    /// Appends arguments to the command line, after the config file.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|a| a.to_string()));
        self
    }

    /// What these say goes wrong for the server, in all its lives.
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.environment.extend(faults.environment());
        self
    }

    /// Sets a variable of the server's environment, in all its lives.
    pub fn environment(mut self, name: &str, value: impl Into<PathBuf>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub fn replica_of(self, master: &Server) -> Self {
        self.replica_of_port(master.port())
    }

    pub fn replica_of_port(self, port: u16) -> Self {
        self.set(&format!("replicaof 127.0.0.1 {port}"))
    }

    /// The name under which a failed test shows the log.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_string();
        self
    }

    /// Leaves out the directives that suit most tests (see [`BASE_CONFIG`]), all but port and folder.
    pub fn without_base_config(mut self) -> Self {
        self.base_config = false;
        self
    }

    /// Starts the server and waits until it answers and has loaded its data.
    #[track_caller]
    pub fn start(self) -> Server {
        let mut server = self.prepare();
        server.start_again();
        server
    }

    /// Starts the server and does not wait for anything.
    #[track_caller]
    pub fn start_without_waiting(self) -> Server {
        let mut server = self.prepare();
        server.spawn();
        server
    }

    /// Starts the server and waits until it has ended by itself, as it should on a bad config.
    #[track_caller]
    pub fn start_and_fail(self) -> Finished {
        let mut server = self.prepare();
        server.spawn();
        let status = server.wait_exit();
        Finished { status, stdout: server.log(), stderr: String::new() }
    }

    /// The folder, port and config of a server that is not started yet; files can be put into place.
    #[track_caller]
    pub fn prepare(self) -> Server {
        let dir = tempfile::Builder::new().prefix("tandem-test-").tempdir().expect("a folder");
        let port = Port::reserve();
        let mut config = String::new();
        writeln!(config, "port {}", port.number()).expect("a String takes all");
        writeln!(config, "dir \"{}\"", dir.path().display()).expect("a String takes all");
        if self.base_config {
            config.push_str(BASE_CONFIG);
        }
        for line in &self.directives {
            config.push_str(line);
            config.push('\n');
        }
        std::fs::write(dir.path().join(CONFIG_FILE), config).expect("the config is written");
        Server {
            kind: self.kind,
            name: self.name,
            program: self.program,
            args: self.args,
            environment: self.environment,
            dir,
            port,
            child: None,
        }
    }
}

/// What suits most tests: no snapshots by themselves, no delay before a sync, DEBUG allowed.
pub const BASE_CONFIG: &str = "bind 127.0.0.1\nsave \"\"\nappendonly no\nrepl-diskless-sync no\n\
    repl-diskless-sync-delay 0\nenable-debug-command yes\n";

/// A server process, or the place of one that is stopped for now.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    name: String,
    program: PathBuf,
    args: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    dir: TempDir,
    port: Port,
    child: Option<Child>,
}

impl Server {
    pub fn of(kind: Kind) -> ServerBuilder {
        ServerBuilder {
            kind,
            name: format!("{kind:?}"),
            directives: Vec::new(),
            args: Vec::new(),
            environment: Vec::new(),
            base_config: true,
            program: kind.program(),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config_path(&self) -> PathBuf {
        self.file(CONFIG_FILE)
    }

    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Rewrites the config file, for the next start.
    #[track_caller]
    pub fn edit_config(&self, edit: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.config_path()).expect("the config is read");
        std::fs::write(self.config_path(), edit(text)).expect("the config is written");
    }

    /// Drops the config's lines that begin with `directive`, for the next start.
    #[track_caller]
    pub fn drop_directive(&self, directive: &str) {
        self.edit_config(|text| {
            let kept = text.lines().filter(|line| !line.starts_with(directive));
            kept.map(|line| format!("{line}\n")).collect()
        });
    }

    /// The bytes of a file in the server's folder.
    #[track_caller]
    pub fn read_file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap_or_else(|e| panic!("{name} of {}: {e}", self.name))
    }

    /// Puts a file into the server's folder, creating the folders on its way.
    #[track_caller]
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).expect("the folder is made");
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{name} of {}: {e}", self.name));
    }

    /// Names of the files in a folder of the server's folder, sorted; empty when there is none.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.file(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Everything that the server has printed in all its lives.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.file(LOG_FILE)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait_until(LONG, &format!("the log of {} says {text:?}", self.name), || {
            self.log().contains(text)
        });
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(("127.0.0.1", self.port()))
            .unwrap_or_else(|e| panic!("connecting to {} on port {}: {e}", self.name, self.port()))
    }

    /// One command on a connection of its own.
    #[track_caller]
    pub fn run(&self, line: &str) -> Reply {
        self.client().run(line)
    }

    /// One command on a connection of its own; an error reply fails the test.
    #[track_caller]
    pub fn good(&self, line: &str) -> Reply {
        self.client().good(line)
    }

    #[track_caller]
    pub fn info(&self, section: &str) -> Info {
        Info::parse(&self.good(&format!("INFO {section}")).text())
    }

    /// The same, where a sentinel that reconfigures the server may cut the connection.
    pub fn try_info(&self, section: &str) -> io::Result<Info> {
        let mut client = Client::connect(("127.0.0.1", self.port()))?;
        Ok(Info::parse(&client.try_args(&["INFO", section])?.text()))
    }

    /// The value of one CONFIG parameter.
    #[track_caller]
    pub fn config(&self, name: &str) -> String {
        self.good(&format!("CONFIG GET {name}")).texts().pop().unwrap_or_default()
    }

    /// Starts the process in the same folder and on the same port, and waits until it has loaded.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn();
        let port = self.port();
        let name = self.name.clone();
        wait_for(LONG, &format!("{name} answers on port {port}"), || {
            if let Some(status) = self.exited() {
                panic!("{name} ended at its start: {status}\n{}", self.log());
            }
            let mut client = Client::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
            match client.try_args(&["PING"]) {
                Ok(Reply::Error(text)) if text.starts_with("LOADING") => Err(text),
                // Refusals such as NOAUTH or MASTERDOWN are answers of a server that is up.
                Ok(_) => Ok(()),
                Err(e) => Err(e.to_string()),
            }
        });
    }

    /// Starts the process and returns at once.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} is already running", self.name);
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file(LOG_FILE))
            .expect("the log file opens");
        let mut command = Command::new(&self.program);
        command
            .arg(self.config_path())
            .args(&self.args)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            // A group of its own, so that its snapshot children can be ended with it.
            .process_group(0);
        // SAFETY: prctl is async-signal-safe and is given constants only.
        unsafe {
            command.pre_exec(|| {
                // A test that is killed must not leave servers behind.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|e| panic!("{}: {e}", self.program.display())));
    }

    /// Whether the process has ended by itself.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        wait_for(LONG, &what, || self.exited().ok_or_else(|| "still running".to_string()))
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // The child is not reaped yet, so its id is still its own.
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }

    /// Asks the process to end (SIGTERM), as `systemctl stop` does, and waits until it has.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_exit()
    }

    /// Ends the process and its children on the spot (SIGKILL), and waits until it can be started again: a
    /// snapshot child has what was open when it was forked, until it has closed it or is gone, too.
    #[track_caller]
    pub fn kill(&mut self) {
        self.end();
        let what = "nobody listens on the port any more";
        wait_until(LONG, what, || !ports::is_listened_on(self.port()));
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The leader is not reaped before this, so that the group's id is still its own.
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
        }
    }

    fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        eprintln!("--- log of {} (port {}):\n{}\n---", self.name, self.port(), tail.join("\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_stops_and_starts_again_with_its_data() {
        let mut server = Server::of(Kind::Redis).set("appendonly yes").start();
        assert!(server.good("SET k v").is_ok());
        assert!(server.stop().success());
        server.start_again();
        assert_eq!(server.good("GET k").text(), "v");
        server.kill();
        server.start_again();
        assert_eq!(server.good("GET k").text(), "v");
        server.wait_log("Ready to accept connections");
    }

    #[test]
    fn a_server_that_refuses_its_config_is_reported() {
        let failed = Server::of(Kind::Redis).set("no-such-directive 1").start_and_fail();
        assert_eq!(failed.status.code(), Some(1));
        assert!(failed.output().contains("no-such-directive"));
    }
}
