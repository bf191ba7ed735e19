//! Faults of the disk and of fork, for the servers of a test: a small library that stands between them
//! and the C library (`tests/faults/faults.c`, where the words of a fault are explained).
//!
//! Must not: be loaded into a program that a test did not start.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::binaries;
use crate::process;
use crate::wait::{LONG, wait_until};

/// The library, built for this test, and the file that tells it what goes wrong.
#[derive(Debug)]
pub struct Faults {
    dir: TempDir,
}

impl Faults {
    /// Nothing goes wrong yet.
    #[track_caller]
    pub fn new() -> Faults {
        let dir = tempfile::Builder::new().prefix("tandem-faults-").tempdir().expect("a folder");
        let faults = Faults { dir };
        let source = binaries::workspace_root().join("tests/faults/faults.c");
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(faults.library()).arg(source);
        command.arg("-ldl");
        process::run_command(command, LONG).expect_success("building the faults");
        faults.clear();
        faults
    }

    /// From now on exactly these go wrong, as in `write ENOSPC appendonlydir`.
    #[track_caller]
    pub fn set(&self, faults: &[&str]) {
        // Renamed into place, as it is read at any moment.
        let temp = self.file("next");
        let text: String = faults.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&temp, text).expect("the faults are written");
        std::fs::rename(temp, self.control()).expect("the faults are put in place");
    }

    pub fn clear(&self) {
        self.set(&[]);
    }

    /// Forgets what was hit, and waits until a call is hit whose line begins with `text`.
    #[track_caller]
    pub fn wait_hit_of(&self, faults: &[&str], text: &str, meanwhile: impl FnOnce()) {
        let _ = std::fs::remove_file(self.file("control.hits"));
        self.set(faults);
        meanwhile();
        wait_until(LONG, &format!("{text:?} is hit"), || {
            let hits = std::fs::read_to_string(self.file("control.hits")).unwrap_or_default();
            hits.lines().any(|line| line.starts_with(text))
        });
    }

    pub(crate) fn environment(&self) -> Vec<(String, PathBuf)> {
        let pair = |name: &str, path| (name.to_string(), path);
        vec![pair("LD_PRELOAD", self.library()), pair("TANDEM_FAULTS", self.control())]
    }

    fn library(&self) -> PathBuf {
        self.file("faults.so")
    }

    fn control(&self) -> PathBuf {
        self.file("control")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::new()
    }
}
