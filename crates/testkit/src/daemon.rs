//! A server that puts itself into the background (`daemonize yes`), found again by its pid file.
//!
//! Must not: signal a process other than the one that wrote the pid file of this server's own folder.

use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::server::{Server, ServerBuilder};
use crate::wait::{LONG, wait_for, wait_until};

/// The daemon, by way of the folder, port and config of a [`Server`] whose own process ends at once.
#[derive(Debug)]
pub struct Daemon {
    server: Server,
    pid_file: PathBuf,
}

impl Daemon {
    /// Starts with `daemonize yes`, a log file `daemon.log` and a pid file `daemon.pid`.
    #[track_caller]
    pub fn start(builder: ServerBuilder) -> Daemon {
        let builder =
            builder.set("daemonize yes").set("logfile daemon.log").set("pidfile daemon.pid");
        Daemon::start_prepared(builder.prepare())
    }

    /// Starts with a config that has those three lines already.
    #[track_caller]
    pub fn start_prepared(server: Server) -> Daemon {
        let pid_file = server.file("daemon.pid");
        let mut daemon = Daemon { server, pid_file };
        daemon.start_again();
        daemon
    }

    #[track_caller]
    pub fn start_again(&mut self) {
        self.server.spawn();
        let status = self.server.wait_exit();
        assert!(
            status.success(),
            "the starting process ends well: {status}\n{}",
            self.server.log()
        );
        wait_for(LONG, "the daemon answers", || {
            let mut client = crate::Client::connect(("127.0.0.1", self.server.port()))
                .map_err(|e| format!("{e}\n{}", self.log()))?;
            match client.try_args(&["PING"]) {
                Ok(crate::Reply::Simple(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// The folder, port and clients; its process handling is of no use here.
    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.server.file("daemon.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn pid(&self) -> Option<i32> {
        std::fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()
    }

    /// SIGTERM, and waits until the process is gone.
    #[track_caller]
    pub fn stop(&self) {
        let pid = self.pid().expect("a daemon that runs has a pid file");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("the daemon can be signalled");
        wait_until(LONG, "the daemon ends", || !is_running(pid));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A daemon that ended well has removed its pid file.
        if let Some(pid) = self.pid() {
            if std::thread::panicking() {
                eprintln!("--- log of the daemon:\n{}\n---", self.log());
            }
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A daemon is nobody's child: in a container it may stay behind as a zombie, which counts as ended.
fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
