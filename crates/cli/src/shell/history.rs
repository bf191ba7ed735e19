//! Typed lines that outlive the session, one a line in ~/.rediscli_history, as redis-cli keeps them.
//!
//! Must not: keep a line that holds a password.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The oldest go first.
const LINES_MAX: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct History {
    path: Option<PathBuf>,
    pub lines: Vec<String>,
}

impl History {
    /// What is there already. A path that is missing or unreadable is an empty history.
    pub(super) fn load(path: Option<PathBuf>) -> Self {
        let bytes = path.as_deref().and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let from = lines.len().saturating_sub(LINES_MAX);
        Self { path, lines: lines[from..].to_vec() }
    }

    /// Keeps a line, here and in the file, unless it is the last one once more.
    pub(super) fn add(&mut self, line: &str) {
        if self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.remove(0);
        }
        self.lines.push(line.to_owned());
        if let Some(path) = &self.path {
            // A history that cannot be kept is no reason to stop working.
            let _ = save(path, &self.lines);
        }
    }
}

fn save(path: &Path, lines: &[String]) -> std::io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    file.write_all(text.as_bytes())
}

/// The file of that name in the home folder, or what the environment names instead.
pub(super) fn dotfile(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty());
    match named {
        Some(path) if path == "/dev/null" => None,
        Some(path) => Some(path.into()),
        None => {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
            Some(Path::new(&home).join(name))
        }
    }
}

/// Whether a command holds a password.
pub(super) fn is_sensitive(words: &[Vec<u8>]) -> bool {
    let word = |i: usize| words.get(i).map(|w| w.to_ascii_lowercase()).unwrap_or_default();
    let len = words.len();
    match word(0).as_slice() {
        b"auth" => true,
        b"acl" => word(1) == b"setuser",
        b"config" => {
            let secrets: [&[u8]; 3] = [b"masterauth", b"masteruser", b"requirepass"];
            word(1) == b"set" && (2..len).any(|i| secrets.contains(&word(i).as_slice()))
        }
        b"hello" => (2..len).any(|i| word(i) == b"auth"),
        b"migrate" => (6..len)
            .take_while(|i| word(*i) != b"keys")
            .any(|i| word(i) == b"auth" || word(i) == b"auth2"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_kept() {
        let words = |line: &str| protocol::split_args(line.as_bytes()).unwrap();
        for line in [
            "auth secret",
            "ACL SETUSER bob on >secret",
            "config set requirepass secret",
            "config set maxmemory 1 masterauth secret",
            "hello 3 auth bob secret",
            "migrate h 1 k 0 10 auth secret",
            "migrate h 1 '' 0 10 copy auth2 bob secret keys a",
        ] {
            assert!(is_sensitive(&words(line)), "{line}");
        }
        for line in ["get auth", "acl list", "config get requirepass", "hello 3", ""] {
            assert!(!is_sensitive(&words(line)), "{line}");
        }
    }

    #[test]
    fn a_history_is_found_again_and_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let mut history = History::load(Some(path.clone()));
        for i in 0..LINES_MAX + 5 {
            history.add(&format!("get {i}"));
            history.add(&format!("get {i}"));
        }
        let again = History::load(Some(path));
        assert_eq!(again.lines.len(), LINES_MAX);
        assert_eq!(again.lines[0], "get 5");
        assert_eq!(again.lines, history.lines);
    }
}
