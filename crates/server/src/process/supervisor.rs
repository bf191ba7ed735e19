//! Owns what is said to the supervisor that has started this process: sd_notify's datagrams, and upstart's
//! stop. It is told how the service stands, and must not find out by itself.
//!
//! Nothing here ever waits: the loop says one word a second, and a supervisor that is slow to listen must not
//! hold it up. What could not be sent is said the next time.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::process::clock;
use crate::process::os_error::os_error;

/// Who is told about start, progress and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    Nobody,
    Upstart,
    Systemd,
}

/// How the service stands, as far as the supervisor's patience depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before there is anybody to serve.
    Loading,
    Serving,
    /// Rereads what can be reread; `Serving` comes after it.
    Reloading,
    /// A shutdown that can still be called off, as by SHUTDOWN ABORT.
    AskedToEnd,
    /// There is no way back.
    Ending,
}

/// The way to systemd, and what it has heard so far.
#[derive(Debug)]
pub struct Supervision {
    channel: Option<(UnixDatagram, SocketAddr)>,
    /// `WatchdogSec` is set: silence is taken for a process that hangs.
    is_watched: bool,
    period_us: u64,
    next_us: u64,
    heard: Option<Stage>,
    status: String,
    has_failed: bool,
}

/// How long a start or a stop may go on without a further word. Whoever says it every second is not stuck,
/// however many gigabytes are being loaded or saved.
const PATIENCE_US: u64 = 60_000_000;

const PERIOD_US: u64 = 1_000_000;

impl Supervisor {
    /// Finds the first of the candidates that the environment shows, and greets it.
    pub fn detect(candidates: &[Supervisor]) -> Supervisor {
        let found = Supervisor::choose(candidates, |name| std::env::var_os(name).is_some());
        match (found, candidates) {
            (Supervisor::Systemd, _) => log::info!(
                "Supervised by systemd. Please make sure you set appropriate values for \
                 TimeoutStartSec and TimeoutStopSec in your service unit."
            ),
            (Supervisor::Upstart, _) => {
                log::info!("Supervised by upstart, will stop to signal readiness.");
                // Upstart continues the process once it has seen it stopped.
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
            }
            // One that was asked for by name should be there.
            (Supervisor::Nobody, [Supervisor::Systemd]) => {
                log::warn!("systemd supervision requested, but NOTIFY_SOCKET not found!");
            }
            (Supervisor::Nobody, [Supervisor::Upstart]) => {
                log::warn!("upstart supervision requested, but UPSTART_JOB not found!");
            }
            (Supervisor::Nobody, _) => {}
        }
        found
    }

    fn choose(candidates: &[Supervisor], is_set: impl Fn(&str) -> bool) -> Supervisor {
        let shows = |candidate: &Supervisor| match candidate {
            Supervisor::Nobody => false,
            Supervisor::Upstart => is_set("UPSTART_JOB"),
            Supervisor::Systemd => is_set("NOTIFY_SOCKET"),
        };
        candidates.iter().copied().find(shows).unwrap_or(Supervisor::Nobody)
    }
}

impl Supervision {
    /// Reads from the environment where the supervisor listens, and how patient it is.
    pub fn open(supervisor: Supervisor) -> Supervision {
        let environment = |name: &str| std::env::var_os(name);
        let number = |name: &str| environment(name)?.to_str()?.parse::<u64>().ok();
        // The limit may be meant for the process that has started this one.
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().into());
        let watchdog_us = number("WATCHDOG_USEC").filter(|us| *us > 0 && is_ours);
        let channel = match environment("NOTIFY_SOCKET") {
            Some(name) if supervisor == Supervisor::Systemd => {
                let opened = open_channel(&name);
                opened.inspect_err(|e| log::warn!("{SILENCE}: {}", os_error(e))).ok()
            }
            _ => None,
        };
        Supervision {
            channel,
            is_watched: watchdog_us.is_some(),
            period_us: watchdog_us.map_or(PERIOD_US, |us| PERIOD_US.min(us / 2)),
            next_us: 0,
            heard: None,
            status: String::new(),
            has_failed: false,
        }
    }

    /// Whether it is time for a word, for which figures are worth gathering: every second, if anybody listens.
    pub fn is_due(&self, now_us: u64) -> bool {
        self.channel.is_some() && now_us >= self.next_us
    }

    /// How the service stands, and a line about it for `systemctl status`. Said often enough, it is also the
    /// sign of life that the watchdog waits for.
    pub fn tell(&mut self, stage: Stage, status: &str) {
        let now_us = clock::mono_us();
        self.next_us = now_us + self.period_us;
        let Some((socket, to)) = &self.channel else { return };
        let message = self.message(now_us, stage, status);
        match socket.send_to_addr(message.as_bytes(), to) {
            Ok(_) => {
                self.heard = Some(stage);
                status.clone_into(&mut self.status);
                self.has_failed = false;
            }
            Err(error) if !self.has_failed => {
                log::warn!("{SILENCE}: {}", os_error(&error));
                self.has_failed = true;
            }
            Err(_) => {}
        }
    }

    /// A further word from amidst what takes long: the service stands as it stood.
    pub fn tell_more(&mut self, status: &str) {
        if let Some(stage) = self.heard {
            self.tell(stage, status);
        }
    }

    fn message(&self, now_us: u64, stage: Stage, status: &str) -> String {
        let mut text = String::new();
        if status != self.status {
            // What comes after a line's end would be taken for an assignment.
            let _ = writeln!(text, "STATUS={}", status.replace(['\n', '\r'], " "));
        }
        if self.is_watched {
            text.push_str("WATCHDOG=1\n");
        }
        let is_new = self.heard != Some(stage);
        match stage {
            Stage::Serving if is_new => text.push_str("READY=1\n"),
            Stage::Serving => {}
            Stage::Reloading => {
                let _ = writeln!(text, "RELOADING=1\nMONOTONIC_USEC={now_us}");
            }
            Stage::Loading | Stage::AskedToEnd => {}
            Stage::Ending if is_new => text.push_str("STOPPING=1\n"),
            Stage::Ending => {}
        }
        if matches!(stage, Stage::Loading | Stage::AskedToEnd | Stage::Ending) {
            let _ = writeln!(text, "EXTEND_TIMEOUT_USEC={PATIENCE_US}");
        }
        text
    }
}

const SILENCE: &str = "systemd supervision error";

fn open_channel(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_found_by_mode_and_environment() {
        let all = |_: &str| true;
        let none = |_: &str| false;
        let systemd = |name: &str| name == "NOTIFY_SOCKET";
        let auto = [Supervisor::Upstart, Supervisor::Systemd];
        assert_eq!(Supervisor::choose(&[], all), Supervisor::Nobody);
        assert_eq!(Supervisor::choose(&auto[1..], all), Supervisor::Systemd);
        assert_eq!(Supervisor::choose(&auto[1..], none), Supervisor::Nobody);
        assert_eq!(Supervisor::choose(&auto, all), Supervisor::Upstart);
        assert_eq!(Supervisor::choose(&auto, systemd), Supervisor::Systemd);
        assert_eq!(Supervisor::choose(&auto[..1], systemd), Supervisor::Nobody);
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let len = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    fn supervision(name: &OsStr, watchdog_us: &str) -> Supervision {
        // SAFETY: nextest runs each test in a process of its own, where no other thread reads the environment.
        unsafe { std::env::set_var("NOTIFY_SOCKET", name) };
        // SAFETY: as above.
        unsafe { std::env::set_var("WATCHDOG_USEC", watchdog_us) };
        Supervision::open(Supervisor::Systemd)
    }

    #[test]
    fn systemd_hears_each_stage_once_and_a_status_when_it_is_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let mut ours = supervision(path.as_os_str(), "0");
        let patience = "EXTEND_TIMEOUT_USEC=60000000\n";
        ours.tell(Stage::Loading, "Loading");
        assert_eq!(heard(&socket), format!("STATUS=Loading\n{patience}"));
        ours.tell(Stage::Serving, "Master");
        assert_eq!(heard(&socket), "STATUS=Master\nREADY=1\n");
        ours.tell(Stage::Serving, "Master,\nSTOPPING=1");
        assert_eq!(heard(&socket), "STATUS=Master, STOPPING=1\n");
        ours.tell(Stage::Reloading, "Reloading");
        let text = heard(&socket);
        assert!(text.starts_with("STATUS=Reloading\nRELOADING=1\nMONOTONIC_USEC="), "{text}");
        ours.tell(Stage::Serving, "Master");
        assert_eq!(heard(&socket), "STATUS=Master\nREADY=1\n");
        ours.tell(Stage::AskedToEnd, "Waiting");
        assert_eq!(heard(&socket), format!("STATUS=Waiting\n{patience}"));
        ours.tell(Stage::Ending, "Bye");
        assert_eq!(heard(&socket), format!("STATUS=Bye\nSTOPPING=1\n{patience}"));
    }

    #[test]
    fn the_watchdog_is_fed_in_time_even_when_there_is_nothing_new() {
        let name = format!("tandem-supervisor-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        let mut ours = supervision(OsStr::new(&format!("@{name}")), "600000");
        ours.tell(Stage::Serving, "Master");
        assert_eq!(heard(&socket), "STATUS=Master\nWATCHDOG=1\nREADY=1\n");
        ours.tell(Stage::Serving, "Master");
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
        assert!(!ours.is_due(ours.next_us - 1) && ours.is_due(ours.next_us));
        assert_eq!(ours.period_us, 300_000, "half of what the watchdog allows");
    }

    /// A supervisor that does not listen held the loop up with the first message that its queue had no room for.
    #[test]
    fn a_supervisor_that_does_not_listen_holds_nobody_up_and_hears_it_later() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let mut ours = supervision(path.as_os_str(), "1000000");
        while !ours.has_failed {
            ours.tell(Stage::Loading, "Loading");
        }
        ours.tell(Stage::Serving, "Master");
        socket.set_nonblocking(true).expect("a switch");
        while socket.recv(&mut [0; 512]).is_ok() {}
        ours.tell(Stage::Serving, "Master");
        assert_eq!(heard(&socket), "STATUS=Master\nWATCHDOG=1\nREADY=1\n");
    }
}
