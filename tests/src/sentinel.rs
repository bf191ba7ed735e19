//! Debian's redis-sentinel, started for a test: it watches a master that it calls `m`.
//!
//! Must not: hold a test.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testkit::Client;
use testkit::ports::Port;
use testkit::process::create_file;

/// A sentinel with a folder and a port of its own; killed when it is dropped.
#[derive(Debug)]
pub struct Sentinel {
    dir: TempDir,
    port: Port,
    child: Option<Child>,
}

impl Sentinel {
    /// One that gives up a master after half a second.
    pub fn start(master_port: u16) -> Sentinel {
        Sentinel::with_times(master_port, 500, 3000)
    }

    /// One that a busy machine does not make believe that a master is gone.
    pub fn patient(master_port: u16) -> Sentinel {
        Sentinel::with_times(master_port, 4000, 60_000)
    }

    fn with_times(master_port: u16, down_after_ms: u32, failover_timeout_ms: u32) -> Sentinel {
        let dir = tempfile::tempdir().expect("a folder");
        let port = Port::reserve();
        let config = format!(
            "port {}\nbind 127.0.0.1\ndir \"{}\"\n\
             sentinel monitor m 127.0.0.1 {master_port} 2\n\
             sentinel down-after-milliseconds m {down_after_ms}\n\
             sentinel failover-timeout m {failover_timeout_ms}\n",
            port.number(),
            dir.path().display()
        );
        let mut sentinel = Sentinel { dir, port, child: None };
        create_file(&sentinel.config()).write_all(config.as_bytes()).expect("the disk has room");
        sentinel.spawn();
        sentinel
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("sentinel.conf")
    }

    pub fn spawn(&mut self) {
        let log = create_file(&self.dir.path().join("log"));
        let child = Command::new("/usr/bin/redis-sentinel")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-sentinel starts"));
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).expect("it still runs");
            child.wait().expect("it is ours");
        }
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn client(&self) -> Client {
        Client::connect(("127.0.0.1", self.port.number())).expect("the sentinel listens")
    }

    /// What it knows of the master, by name.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut client = Client::connect(("127.0.0.1", self.port.number())).ok()?;
        let words = client.run("SENTINEL MASTER m");
        if words.is_error() {
            return None;
        }
        let words = words.texts();
        let at = words.iter().step_by(2).position(|word| word == name)?;
        words.get(at * 2 + 1).cloned()
    }

    /// It sees the other two, and so many replicas.
    pub fn knows_all(&self, replicas: &str) -> bool {
        self.field("num-other-sentinels").as_deref() == Some("2")
            && self.field("num-slaves").as_deref() == Some(replicas)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
    }
}
