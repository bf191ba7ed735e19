//! Where the programs under test are: Tandem's in Cargo's target folder, Debian's on the PATH.
//!
//! Must not: build anything, or let a test run against a binary older than its source unnoticed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names the folder of the binaries under test, as `make test` and `make bench` do. A folder named
/// this way is trusted to be fresh.
pub const BIN_DIR_VARIABLE: &str = "TANDEM_BIN_DIR";

/// The crates that end up in a server binary: a change in one of them makes the binaries stale.
const PRODUCT_DIRS: &[&str] = &["bins", "crates"];
const DEV_ONLY_CRATE: &str = "testkit";

/// One of Tandem's own binaries. Panics with what to do when it is missing or older than the sources.
pub fn tandem(name: &str) -> PathBuf {
    if let Some(dir) = std::env::var_os(BIN_DIR_VARIABLE) {
        let path = Path::new(&dir).join(name);
        assert!(path.is_file(), "{BIN_DIR_VARIABLE} is set, but there is no {}", path.display());
        return path;
    }
    let path = target_dir().join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --bins` first (`make test` does)",
        path.display()
    );
    let built = modified(&path);
    let root = workspace_root();
    let newest = PRODUCT_DIRS
        .iter()
        .filter_map(|dir| newest_source(&root.join(dir)))
        .max_by_key(|(_, time)| *time);
    if let Some((source, changed)) = newest {
        assert!(
            changed <= built,
            "{} is older than {}: run `cargo build --bins` first (`make test` does)",
            path.display(),
            source.display()
        );
    }
    path
}

/// One of the programs of Debian's redis-server and redis-tools packages.
pub fn debian(name: &str) -> PathBuf {
    // Not looked up on the PATH first: after `make install` Tandem's own may stand there.
    let path = Path::new("/usr/bin").join(name);
    assert!(
        path.is_file(),
        "{} is missing: `scripts/install-test-deps` installs it",
        path.display()
    );
    path
}

/// The root of the workspace that this crate was built from.
pub fn workspace_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).expect("testkit lies two folders below the root").to_path_buf()
}

/// `target/<profile>`: test programs run in its `deps`, binaries lie right in it.
fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of the running test");
    let dir = exe.parent().expect("a test program lies in a folder");
    if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir).to_path_buf()
    } else {
        dir.to_path_buf()
    }
}

fn newest_source(dir: &Path) -> Option<(PathBuf, SystemTime)> {
    let mut newest: Option<(PathBuf, SystemTime)> = None;
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let found = if path.is_dir() {
            // Tests and examples of a crate are not part of its binaries.
            if name == DEV_ONLY_CRATE || name == "tests" || name == "examples" {
                continue;
            }
            newest_source(&path)
        } else if path.extension().is_some_and(|e| e == "rs") {
            Some((path.clone(), modified(&path)))
        } else {
            None
        };
        if let Some((path, time)) = found
            && newest.as_ref().is_none_or(|(_, t)| time > *t)
        {
            newest = Some((path, time));
        }
    }
    newest
}

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path)
        .and_then(|m| m.modified())
        .unwrap_or_else(|e| panic!("the time of {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found() {
        assert!(workspace_root().join("Cargo.toml").is_file());
    }

    #[test]
    fn debians_server_is_found() {
        assert!(debian("redis-server").is_file());
    }
}
