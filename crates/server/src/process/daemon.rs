//! Owns the process's place in the system: background, pid file, supervisor, and the limits and
//! switches of the kernel that a server wants set. The umask is left as inherited.
//! Every function says in the log what an operator should know; none decides to end the process.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use sd_notify::NotifyState;

use crate::process::os_error::os_error;

/// Descriptors that are not clients: listeners, files, links and pipes.
const RESERVED_FDS: u64 = 32;

/// Leaves the terminal and goes on in a child of init. Must run before the first thread starts.
pub fn daemonize() -> io::Result<()> {
    // SAFETY: no other thread runs yet, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            // SAFETY: _exit is always sound; it leaves buffers and hooks to the child.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Child => {}
    }
    setsid()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// The file that says which process serves; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes it if a name is configured, or being in the background asks for one. Failing is worth a line, not
    /// an end.
    pub fn create(configured: &str, background: bool) -> Option<PidFile> {
        let path = match (configured, background) {
            ("", false) => return None,
            ("", true) => "/var/run/redis.pid",
            (path, _) => path,
        };
        let path = std::path::absolute(path).ok()?;
        match fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(PidFile { path }),
            Err(error) => {
                log::info!("Failed to write PID file: {}", os_error(&error));
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody else may have removed it, which is what was wanted.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who is told about start, progress and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    Nobody,
    Upstart,
    Systemd,
}

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
        found.status("Redis is loading...");
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

    /// The start is complete.
    pub fn ready(self, status: &str) {
        self.tell(&[NotifyState::Status(status), NotifyState::Ready]);
    }

    /// One line for `systemctl status`: what goes on, such as the progress of a sync.
    pub fn status(self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// Shows a line of the log as the status if it tells how a replica's sync goes.
    pub fn sync_line(self, line: &str) {
        if let Some(status) = sync_status(line) {
            self.status(&status);
        }
    }

    /// The process is about to end.
    pub fn stopping(self) {
        self.tell(&[NotifyState::Stopping]);
    }

    fn tell(self, states: &[NotifyState]) {
        if self == Supervisor::Systemd
            && let Err(error) = sd_notify::notify(states)
        {
            log::warn!("systemd supervision error: {}", os_error(&error));
        }
    }
}

fn sync_status(line: &str) -> Option<String> {
    const SYNC: &str = "MASTER <-> REPLICA sync";
    const READY: &str = "Ready to accept connections in read-write mode.";
    if !line.starts_with(SYNC) {
        return None;
    }
    Some(match line.strip_prefix(SYNC).unwrap_or_default() {
        ": Finished with success" => format!("{line}. {READY}"),
        ": Master accepted a Partial Resynchronization." => {
            format!("{SYNC}: Partial Resynchronization accepted. {READY}")
        }
        _ => line.to_owned(),
    })
}

/// `oom-score-adj`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OomScoreAdj {
    #[default]
    No,
    Relative,
    Absolute,
}

/// The scores that are wished for, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomRule {
    pub mode: OomScoreAdj,
    pub values: [i32; 3],
}

/// Which of `oom-score-adj-values` applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomClass {
    Master = 0,
    Replica = 1,
    Child = 2,
}

impl OomClass {
    pub fn of_master(is_master: bool) -> OomClass {
        if is_master { OomClass::Master } else { OomClass::Replica }
    }
}

/// The kernel's preference among processes when memory runs out.
#[derive(Debug, Default)]
pub struct OomScore {
    /// The score before ours, while we set it: what `relative` adds to, and what `no` goes back to.
    base: Option<i32>,
}

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

impl OomScore {
    /// Writes the score for a process of this class; the error is what CONFIG SET answers.
    pub fn apply(&mut self, rule: OomRule, class: OomClass) -> Result<(), String> {
        let OomRule { mode, values } = rule;
        if mode == OomScoreAdj::No && self.base.is_none() {
            return Ok(());
        }
        let base = match self.base {
            Some(base) => base,
            None => read_number(OOM_SCORE_ADJ).map_err(|error| {
                log::warn!("Unable to read oom_score_adj: {}", os_error(&error));
                "Failed to apply new oom_score_adj configuration, check server logs."
            })?,
        };
        // Once it is given back, the score is whoever's again: the next base is read anew.
        self.base = (mode != OomScoreAdj::No).then_some(base);
        let score = oom_score(mode, values[class as usize], base);
        fs::write(OOM_SCORE_ADJ, score.to_string()).map_err(|error| {
            log::warn!("Unable to write oom_score_adj: {}", os_error(&error));
            "Failed to apply new oom_score_adj configuration, check server logs.".into()
        })
    }

    /// Writes the score of a child that was just forked, from outside: the child itself cannot log.
    pub fn apply_to_child(&self, rule: OomRule, pid: i32) {
        let Some(base) = self.base else { return };
        let score = oom_score(rule.mode, rule.values[OomClass::Child as usize], base);
        if let Err(error) = fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string()) {
            log::warn!("Unable to write oom_score_adj of a child: {}", os_error(&error));
        }
    }
}

/// The kernel takes -1000 to 1000.
fn oom_score(mode: OomScoreAdj, value: i32, base: i32) -> i32 {
    let score = match mode {
        OomScoreAdj::No => base,
        OomScoreAdj::Relative => base + value,
        OomScoreAdj::Absolute => value,
    };
    score.clamp(-1000, 1000)
}

/// Opts this process out of transparent huge pages.
pub fn disable_huge_pages() {
    // SAFETY: PR_SET_THP_DISABLE takes plain numbers and changes only this process's flag.
    let failed = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0;
    if failed {
        let error = io::Error::last_os_error();
        log::warn!("Failed to disable transparent huge pages: {}", os_error(&error));
    }
}

/// There are not even descriptors for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewFiles;

/// Raises the limit on open files to what so many clients need. How many the limit allows then.
pub fn adjust_open_files(maxclients: u32) -> Result<u32, TooFewFiles> {
    let wanted = u64::from(maxclients) + RESERVED_FDS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        log::warn!("Unable to obtain the current NOFILE limit, assuming 1024");
        return Ok(1024 - RESERVED_FDS as u32);
    };
    if soft >= wanted {
        return Ok(maxclients);
    }
    // A privileged process may raise the hard limit as well; others get as far as that.
    let mut reached = soft;
    let mut refusal = None;
    for limit in [wanted, hard.min(wanted)] {
        match setrlimit(Resource::RLIMIT_NOFILE, limit, limit.max(hard)) {
            Ok(()) => {
                reached = limit;
                break;
            }
            Err(errno) => refusal = Some(errno),
        }
    }
    if reached >= wanted {
        log::info!(
            "Increased maximum number of open files to {wanted} (it was originally set to {soft})."
        );
        return Ok(maxclients);
    }
    if reached <= RESERVED_FDS {
        log::warn!(
            "Your current 'ulimit -n' of {soft} is not enough for the server to start. Please \
             increase your open file limit to at least {wanted}. Exiting."
        );
        return Err(TooFewFiles);
    }
    let possible = (reached - RESERVED_FDS) as u32;
    log::warn!(
        "You requested maxclients of {maxclients} requiring at least {wanted} max file descriptors."
    );
    log::warn!(
        "Server can't set maximum open files to {wanted} because of OS error: {}.",
        refusal.map_or("none", |errno| errno.desc())
    );
    log::warn!(
        "Current maximum open files is {reached}. maxclients has been reduced to {possible} to \
         compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'."
    );
    Ok(possible)
}

/// Warns of kernel settings under which a server with such a `tcp-backlog` runs into trouble later.
pub fn log_system_warnings(backlog: u32) {
    if read_number("/proc/sys/vm/overcommit_memory").is_ok_and(|value| value != 1) {
        log::warn!(
            "WARNING Memory overcommit must be enabled! Without it, a background save or \
             replication may fail under low memory condition. Being disabled, it can also cause \
             failures without low memory condition, see \
             https://github.com/jemalloc/jemalloc/issues/1328. To fix this issue add \
             'vm.overcommit_memory = 1' to /etc/sysctl.conf and then reboot or run the command \
             'sysctl vm.overcommit_memory=1' for this to take effect."
        );
    }
    if let Ok(max) = read_number("/proc/sys/net/core/somaxconn")
        && i64::from(max) < i64::from(backlog)
    {
        log::warn!(
            "WARNING: The TCP backlog setting of {backlog} cannot be enforced because \
             /proc/sys/net/core/somaxconn is set to the lower value of {max}."
        );
    }
}

fn read_number(path: impl AsRef<Path>) -> io::Result<i32> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_pid_file_holds_the_pid_and_goes_with_its_owner() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("redis.pid");
        assert!(PidFile::create("", false).is_none());
        let file = PidFile::create(path.to_str().expect("text"), false).expect("written");
        let pid = format!("{}\n", std::process::id());
        assert_eq!(fs::read_to_string(&path).expect("read"), pid);
        drop(file);
        assert!(!path.exists());
        assert!(PidFile::create("/nonexistent/redis.pid", true).is_none());
    }

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

    #[test]
    fn systemd_hears_ready_status_and_stopping() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        // SAFETY: nextest runs each test in a process of its own, where no other thread reads the environment.
        unsafe { std::env::set_var("NOTIFY_SOCKET", &path) };
        let heard = || {
            let mut buffer = [0; 256];
            let len = socket.recv(&mut buffer).expect("a message");
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        };
        let supervisor = Supervisor::detect(&[Supervisor::Systemd]);
        assert_eq!(heard(), "STATUS=Redis is loading...\n");
        supervisor.ready("Ready to accept connections");
        assert_eq!(heard(), "STATUS=Ready to accept connections\nREADY=1\n");
        supervisor.status("MASTER <-> REPLICA sync: 40%");
        assert_eq!(heard(), "STATUS=MASTER <-> REPLICA sync: 40%\n");
        supervisor.stopping();
        assert_eq!(heard(), "STOPPING=1\n");
    }

    #[test]
    fn the_status_follows_the_sync() {
        let ready = "Ready to accept connections in read-write mode.";
        let status = |line| sync_status(line).unwrap_or_default();
        assert_eq!(status("Connecting to MASTER 10.0.0.1:6379"), "");
        let progress = "MASTER <-> REPLICA sync: received 10.0 of 20.0 MB (50.0%)";
        assert_eq!(status(progress), progress);
        assert_eq!(
            status("MASTER <-> REPLICA sync: Finished with success"),
            format!("MASTER <-> REPLICA sync: Finished with success. {ready}")
        );
        assert_eq!(
            status("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization."),
            format!("MASTER <-> REPLICA sync: Partial Resynchronization accepted. {ready}")
        );
    }

    #[test]
    fn oom_scores_are_relative_or_absolute_and_bounded() {
        assert_eq!(oom_score(OomScoreAdj::No, 800, 100), 100);
        assert_eq!(oom_score(OomScoreAdj::Relative, 200, 100), 300);
        assert_eq!(oom_score(OomScoreAdj::Relative, 2000, 100), 1000);
        assert_eq!(oom_score(OomScoreAdj::Absolute, -2000, 100), -1000);
    }

    #[test]
    fn maxclients_shrinks_to_the_limit_on_open_files() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        let possible = adjust_open_files(u32::MAX).expect("there is room for some");
        let (reached, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert!(reached >= soft);
        if u64::from(u32::MAX) + RESERVED_FDS > reached {
            assert_eq!(u64::from(possible), reached - RESERVED_FDS);
        }
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard.max(reached)).expect("set back");
    }
}
