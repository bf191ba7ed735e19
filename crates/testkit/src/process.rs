//! Programs that run to their end, and what the kernel knows of a running one.
//!
//! Must not: signal any process but by the id of one that this crate started.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait::{LONG, wait_for};

/// What a program printed and how it ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Both outputs, for tests that do not care which one carried a text.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn expect_success(self, what: &str) -> Finished {
        assert!(self.status.success(), "{what}: {}\n{}", self.status, self.output());
        self
    }
}

/// Runs `program` to its end; panics when it has not ended after `timeout`, and kills it then.
#[track_caller]
pub fn run(program: &Path, args: &[&str], timeout: Duration) -> Finished {
    let mut command = Command::new(program);
    command.args(args);
    run_command(command, timeout)
}

/// Copies a program, by another process: a child that some other thread starts while we write has the file open for a
/// moment, and what is open for writing cannot be executed.
#[track_caller]
pub fn copy_program(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.arg(from).arg(to);
    run_command(cp, LONG).expect_success("cp");
}

/// Like [`run`], for a command with a working directory or an environment of its own.
#[track_caller]
pub fn run_command(mut command: Command, timeout: Duration) -> Finished {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // Both pipes are drained while we wait, or a talkative program would wait for us.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let mut reaper = KillOnDrop(child);
    let what = format!("{command:?} ends");
    let status = wait_for(timeout, &what, || match reaper.0.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("still running".into()),
        Err(e) => Err(e.to_string()),
    });
    Finished {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    }
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Both fail when the child is already reaped, which is the ordinary end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file for a program to write to.
#[track_caller]
pub fn create_file(path: &Path) -> std::fs::File {
    std::fs::File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A script at `path`, whose folders are made.
#[track_caller]
pub fn write_script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap_or(path)).expect("the folder is made");
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("it may run");
}

/// The text of a file so far; empty when there is none yet.
pub fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// A child that leads a process group of its own; dropping it asks the whole group to end.
#[derive(Debug)]
pub struct GroupLeader(Child);

/// Takes over a child that was started with `process_group(0)`.
pub fn kill_group_on_drop(child: Child) -> GroupLeader {
    GroupLeader(child)
}

impl GroupLeader {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for GroupLeader {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // Not reaped yet, so the group's id is still its own. A script stops what it started.
            let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// User and system CPU time of a process so far, without its children.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses, which may hold blanks.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    // SAFETY: sysconf reads a constant of the system and touches no memory of ours.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    Duration::from_secs_f64((ticks(11) + ticks(12)) as f64 / per_second)
}

/// Resident bytes of a process.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::SHORT;

    #[test]
    fn output_and_status_are_reported() {
        let done = run(Path::new("/bin/sh"), &["-c", "echo out; echo err >&2; exit 3"], SHORT);
        assert_eq!(done.status.code(), Some(3));
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn our_own_process_has_memory() {
        assert!(resident_bytes(std::process::id()) > 100_000);
    }
}
