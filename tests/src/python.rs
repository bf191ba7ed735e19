//! Scripts of tests/py, in which redis-py, or what is built on it, is the client.
//!
//! Must not: hold a test.

use std::path::PathBuf;
use std::process::Command;

use testkit::binaries;
use testkit::process::run;
use testkit::wait::LONG;

/// Runs a script with these ports, which has to end with "all good".
#[track_caller]
pub fn run_script(name: &str, ports: &[u16]) {
    let script = binaries::workspace_root().join("tests/py").join(name);
    let mut args = vec![script.display().to_string()];
    args.extend(ports.iter().map(u16::to_string));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = run(&python(), &args, LONG).expect_success(name);
    assert!(done.stdout.ends_with("all good\n"), "{}", done.output());
}

/// A Python that has redis-py, RQ and Celery; Debian's has when they are installed, others may come first.
fn python() -> PathBuf {
    let candidates = ["python3", "/usr/bin/python3"];
    let found = candidates.iter().map(PathBuf::from).find(|program| {
        let mut command = Command::new(program);
        command.args(["-c", "import redis, rq, celery"]);
        command.output().is_ok_and(|output| output.status.success())
    });
    found.expect("no python3 with redis, rq and celery: `scripts/install-test-deps` installs them")
}
