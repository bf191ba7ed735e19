//! Owns the process's place in the system: background, pid file, and the limits and
//! switches of the kernel that a server wants set. The umask is left as inherited.
//! Every function says in the log what an operator should know; none decides to end the process.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

use crate::process::os_error::os_error;

/// Descriptors that are not clients: listeners, files, links and pipes.
const RESERVED_FDS: u64 = 32;

/// The process that a server in the background was started as. It waits at its terminal until it hears how the
/// start went, and says that by its exit status; a load of data is not waited for.
#[derive(Debug)]
pub struct Launcher {
    report: File,
}

const STARTED: &[u8] = b"\0";

impl Launcher {
    pub fn started(self) {
        self.tell(STARTED);
    }

    pub fn failed(self, why: &str) {
        self.tell(why.as_bytes());
    }

    fn tell(mut self, report: &[u8]) {
        // Who has been interrupted meanwhile need not know.
        let _ = self.report.write_all(report);
    }
}

/// Leaves the terminal and goes on in a child of init. Must run before the first thread starts.
pub fn daemonize() -> io::Result<Launcher> {
    let (reports, report) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: no other thread runs yet, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            drop(report);
            let status = wait_for_start(File::from(reports));
            // SAFETY: _exit is always sound; it leaves buffers and hooks to the child.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Child => drop(reports),
    }
    setsid()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(Launcher { report: File::from(report) })
}

/// The exit status of the process that was started.
fn wait_for_start(mut reports: File) -> i32 {
    let mut report = Vec::new();
    // What cannot be read has not been said.
    let _ = reports.read_to_end(&mut report);
    if report == STARTED {
        return 0;
    }
    if report.is_empty() {
        report = b"The server has ended at its start.".to_vec();
    }
    eprintln!("{}", String::from_utf8_lossy(&report));
    1
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
