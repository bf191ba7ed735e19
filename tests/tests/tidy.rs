//! The rules of the house that no compiler knows: who may depend on whom, what belongs to which room,
//! and how files open. Each rule is a function of text, and is tried on text that breaks it.
//!
//! Must not: judge style that rustfmt and clippy judge already.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use testkit::binaries::workspace_root;

/// What each crate may name among its dependencies of the workspace.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("store", &[]),
    ("tls", &[]),
    ("persist", &["protocol", "store"]),
    ("engine", &["protocol", "store", "persist"]),
    ("repl", &["protocol"]),
    ("node", &["protocol", "store", "engine", "repl"]),
    ("server", &["protocol", "store", "persist", "engine", "repl", "node", "tls"]),
    ("cli", &["protocol", "persist", "tls"]),
    ("redis-server", &["server"]),
    ("redis-master", &["server"]),
    ("redis-replica", &["server"]),
    ("redis-cli", &["cli"]),
    ("redis-check-rdb", &["cli"]),
    ("redis-check-aof", &["cli"]),
    ("redis-benchmark", &["cli"]),
];

/// Crates that are given time, files and sockets by others.
const SANS_IO: &[&str] = &["protocol", "store", "persist", "engine", "repl", "node"];

/// What those crates must not name outside their tests.
const WORLD: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "UNIX_EPOCH",
    "libc::",
    "nix::",
    "mio::",
    "println!",
];

/// Files that may be longer than [`LONGEST_FILE`], each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];
const LONGEST_FILE: usize = 800;
/// Functions that may be longer than [`LONGEST_FUNCTION`], each with the reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];
const LONGEST_FUNCTION: usize = 100;

/// Files whose business is to pass time: the waiting helper, and what plays a slow peer.
const MAY_SLEEP: &[&str] = &[
    "crates/testkit/src/wait.rs",
    "crates/testkit/src/load.rs",
    "crates/testkit/src/proxy.rs",
    // DEBUG SLEEP, and pauses of helper threads, are product behaviour.
    "crates/server/src/",
    // So are the pauses that -i, --stat and --latency ask for.
    "crates/cli/src/",
];

/// Every line of the scenarios that the foundation promises has a test that bears its number.
const SCENARIOS: &[&str] = &[
    "s1_3_", "s1_4_", "s1_5_", "s2_1_", "s2_2_", "s2_3_", "s4_1_", "s4_2_", "s4_3_", "s4_4_",
    "s4_5_", "s4_6_", "s4_7_", "s4_8_", "s4_9_", "s4_10_", "s4_11_", "s4_12_", "s4_13_", "s4_14_",
    "s4_15_",
];

#[derive(Debug)]
struct Source {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    /// The text before the tests at its bottom, without comments.
    fn product_text(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        without_comments(&self.text[..end])
    }
}

fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| line.find("//").map_or(line, |at| &line[..at]));
    code.collect::<Vec<_>>().join("\n")
}

fn sources() -> Vec<Source> {
    let root = workspace_root();
    let mut files = Vec::new();
    for dir in ["bins", "crates", "tests", "benches", "fuzz/fuzz_targets"] {
        collect(&root.join(dir), "rs", &mut files);
    }
    assert!(files.len() > 30, "the sources are found: {}", files.len());
    files.sort();
    let relative = |path: &Path| {
        let inside = path.strip_prefix(&root).unwrap_or(path);
        inside.to_string_lossy().replace('\\', "/")
    };
    files.iter().map(|path| Source { path: relative(path), text: read(path) }).collect()
}

fn manifests() -> BTreeMap<String, String> {
    let root = workspace_root();
    let mut files = vec![root.join("Cargo.toml")];
    for dir in ["bins", "crates", "tests", "benches", "fuzz"] {
        collect(&root.join(dir), "toml", &mut files);
    }
    files.retain(|path| path.ends_with("Cargo.toml"));
    files
        .iter()
        .map(|path| {
            let dir = path.parent().and_then(Path::file_name).unwrap_or_default();
            (dir.to_string_lossy().into_owned(), read(path))
        })
        .collect()
}

fn collect(dir: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, extension, into);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            into.push(path);
        }
    }
}

#[allow(clippy::disallowed_methods)] // the rules are about files
fn read(path: &Path) -> String {
    let bytes = std::fs::File::open(path).and_then(std::io::read_to_string);
    bytes.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[track_caller]
fn assert_none(rule: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

/// Names in the `[dependencies]` section of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || line == "[build-dependencies]";
        } else if inside && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or("").trim_matches('"');
            if !name.is_empty() {
                names.push(name);
            }
        }
    }
    names
}

fn wrong_dependencies(krate: &str, manifest: &str) -> Vec<String> {
    let ours: Vec<&str> =
        MAY_DEPEND_ON.iter().map(|(name, _)| *name).chain(["testkit", "tandem-tests"]).collect();
    let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(name, _)| *name == krate) else {
        return Vec::new();
    };
    let names = dependencies(manifest).into_iter();
    names
        .filter(|name| ours.contains(name) && !allowed.contains(name))
        .map(|name| format!("{krate} must not depend on {name}"))
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let manifests = manifests();
    for (krate, _) in MAY_DEPEND_ON {
        assert!(manifests.contains_key(*krate), "{krate} has a manifest");
    }
    let offences = manifests.iter().flat_map(|(krate, text)| wrong_dependencies(krate, text));
    assert_none("lower names no higher", offences.collect());

    let upward = "[package]\n[dependencies]\nbytes.workspace = true\nengine = { path = \"x\" }\n";
    assert_eq!(wrong_dependencies("store", upward), ["store must not depend on engine"]);
    let for_tests = "[dependencies]\n[dev-dependencies]\ntestkit.workspace = true\n";
    assert!(wrong_dependencies("store", for_tests).is_empty());
}

fn wrong_room(source: &Source) -> Vec<String> {
    let text = source.product_text();
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(i, line)| {
            let word = WORLD.iter().find(|word| line.contains(**word))?;
            Some(format!("{}:{} names {word}", source.path, i + 1))
        })
        .collect()
}

fn in_crate(path: &str, names: &[&str]) -> bool {
    names.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")))
}

#[test]
fn time_files_sockets_and_threads_stay_in_server_and_bins() {
    let sources = sources();
    let offences = sources.iter().filter(|s| in_crate(&s.path, SANS_IO)).flat_map(wrong_room);
    assert_none("only `server` and the binaries touch the world", offences.collect());

    let bad = |text: &str| {
        wrong_room(&Source { path: "crates/store/src/x.rs".into(), text: text.into() }).len()
    };
    assert_eq!(bad("fn f() { let t = Instant::now(); }"), 1);
    assert_eq!(bad("use std::fs::File;\nuse std::net::TcpStream;"), 2);
    assert_eq!(bad("// Instant::now is not for us\n#[cfg(test)]\nmod tests { use std::fs; }"), 0);
}

/// Files that only hand settings on.
const HAND_ON: &[&str] = &[
    "crates/server/src/config/sections/",
    "crates/server/src/config/foreign.rs",
    "crates/server/src/config/engine_settings.rs",
    "crates/engine/src/settings.rs",
    "crates/store/src/limits.rs",
];

/// The values of directives that nothing reads, though their rows do not say so, and the other way round.
fn wrongly_idle(sections: &[&Source], readers: &str) -> Vec<String> {
    let words: BTreeSet<&str> = readers.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut wrong = Vec::new();
    for source in sections {
        let rows = source.text.split(";\n").filter_map(|row| {
            let rule = row.lines().find(|line| line.contains(": ") && line.contains(" = "))?;
            let field = rule.trim().split(':').next()?;
            let is_field =
                field.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
            is_field.then_some((field, row))
        });
        for (field, row) in rows {
            let engines = field.strip_suffix("_bytes").unwrap_or(field);
            let is_read = words.contains(field) || words.contains(engines);
            let is_refused = row.contains("refused") || row.contains("only 0 is accepted");
            if is_read == row.contains("NO_EFFECT(") && !is_refused {
                wrong.push(format!("{field} is read: {is_read}"));
            }
        }
    }
    wrong
}

#[test]
fn directives_that_nothing_reads_say_that_they_have_no_effect() {
    let sources = sources();
    let is_section = |s: &&Source| s.path.starts_with("crates/server/src/config/sections/");
    let sections: Vec<&Source> = sources.iter().filter(is_section).collect();
    let readers: Vec<String> = sources
        .iter()
        .filter(|s| s.path.starts_with("crates/") && !s.path.starts_with("crates/testkit"))
        .filter(|s| !HAND_ON.iter().any(|path| s.path.starts_with(path)))
        .filter(|s| !s.is_test())
        // The guard is there, the command that it guards is not yet.
        .map(|s| without_comments(&s.text).replace("enable_module_command", ""))
        .collect();
    assert_none(
        "a row says whether its value is read",
        wrongly_idle(&sections, &readers.join("\n")),
    );

    let row = |flag: &str| Source {
        path: "crates/server/src/config/sections/x.rs".into(),
        text: format!("{{\n  /// A doc.\n  depth: u32 = int(0, 1), \"depth\", \"0\"{flag};\n}}"),
    };
    assert_eq!(wrongly_idle(&[&row("")], "limits.depths").len(), 1);
    assert_eq!(wrongly_idle(&[&row(", NO_EFFECT(\"no\")")], "limits.depth").len(), 1);
    assert_eq!(wrongly_idle(&[&row("")], "limits.depth"), [""; 0]);
}

#[test]
fn a_logger_is_installed_in_binaries_only() {
    let sources = sources();
    let offences = sources
        .iter()
        .filter(|s| !s.path.starts_with("bins/") && s.path != "tests/tests/tidy.rs")
        .filter(|s| without_comments(&s.text).contains("env_logger::"))
        .map(|s| format!("{} uses env_logger", s.path));
    assert_none("env_logger lives in bins only", offences.collect());
}

#[test]
fn every_file_says_first_what_it_owns() {
    let sources = sources();
    let offences = sources.iter().filter(|s| !s.text.starts_with("//! "));
    assert_none(
        "every file opens with `//!`: what it owns, and what it must not do",
        offences.map(|s| s.path.clone()).collect(),
    );
}

#[test]
fn no_test_is_switched_off_and_no_code_is_a_stub() {
    // Put together here, so that this file does not offend.
    let words = ["#[ig", "nore", "tod", "o!(", "unimpl", "emented!("];
    let forbidden = [words[..2].concat(), words[2..4].concat(), words[4..].concat()];
    let mut offences = Vec::new();
    for source in &sources() {
        let code = without_comments(&source.text);
        offences.extend(
            forbidden
                .iter()
                .filter(|word| code.contains(word.as_str()))
                .map(|word| format!("{} has {word}", source.path)),
        );
    }
    assert_none("nothing is ignored, nothing is a stub", offences);
}

#[test]
fn nothing_sleeps_but_what_waits_for_a_condition() {
    let sleeps = |text: &str| {
        let code = without_comments(text);
        code.match_indices("sleep(").any(|(at, _)| !code[..at].ends_with(['_', '.']))
    };
    let offences = sources()
        .iter()
        .filter(|s| !MAY_SLEEP.iter().any(|path| s.path.starts_with(path)))
        .filter(|s| s.path != "tests/tests/tidy.rs" && sleeps(&s.text))
        .map(|s| format!("{} sleeps; wait on a condition (testkit::wait)", s.path))
        .collect();
    assert_none("tests wait on conditions", offences);
    assert!(sleeps("fn f() { thread::sleep(PAUSE) }") && !sleeps("// never sleep()"));
}

fn too_long(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|s| !LONG_FILES.iter().any(|(path, _)| *path == s.path))
        .map(|s| (s.text.lines().count(), &s.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path} has {lines} lines"))
        .collect()
}

#[test]
fn files_are_short_or_have_a_reason() {
    let sources = sources();
    let mut longest: Vec<(usize, &str)> =
        sources.iter().map(|s| (s.text.lines().count(), s.path.as_str())).collect();
    longest.sort();
    for (lines, path) in longest.iter().rev().take(10) {
        println!("{lines:4} lines: {path}");
    }
    assert_none("split the file, or list it here with the reason", too_long(&sources));
    for (path, reason) in LONG_FILES {
        let listed = sources.iter().find(|s| s.path == *path);
        let lines = listed.map_or(0, |s| s.text.lines().count());
        assert!(lines > LONGEST_FILE && !reason.is_empty(), "{path} needs no exception: {lines}");
    }
    let long = Source { path: "x.rs".into(), text: "\n".repeat(LONGEST_FILE + 1) };
    assert_eq!(too_long(&[long]).len(), 1);
}

/// Name and lines of each function, by the indentation that rustfmt gives to its first and last line.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let head = code.split('(').next().unwrap_or("");
        let words: Vec<&str> = head.split_ascii_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        let is_signature = words[..at]
            .iter()
            .all(|word| ["pub", "const", "unsafe", "extern", "\"C\"", "async"].contains(word));
        if code.starts_with("//") || !(is_signature || code.starts_with("pub(")) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let body = lines[first..].iter().position(|l| *l == end || l.trim_end().ends_with("; }"));
        if let (Some(last), Some(name)) = (body, words.get(at + 1)) {
            found.push((name.split('<').next().unwrap_or(name).to_string(), last + 1));
        }
    }
    found
}

/// `cargo nextest run -E 'test(functions_are_short)' --no-capture` shows the longest of all.
#[test]
fn functions_are_short_or_have_a_reason() {
    let mut all: Vec<(usize, String)> = Vec::new();
    for source in &sources() {
        let named = functions(&source.text).into_iter();
        all.extend(named.map(|(name, lines)| (lines, format!("{} in {}", name, source.path))));
    }
    all.sort();
    assert!(all.len() > 1_000, "the functions are found: {}", all.len());
    for (lines, place) in all.iter().rev().take(10) {
        println!("{lines:4} lines: {place}");
    }
    let offences = all
        .iter()
        .filter(|(lines, _)| *lines > LONGEST_FUNCTION)
        .filter(|(_, place)| !LONG_FUNCTIONS.iter().any(|(listed, _)| listed == place))
        .map(|(lines, place)| format!("{place} has {lines} lines"));
    assert_none("split the function, or list it here with the reason", offences.collect());

    let text = "impl X {\n    pub fn one(&self) {\n        f();\n    }\n}\nfn two() {\n}\n";
    assert_eq!(functions(text), [("one".to_string(), 3), ("two".to_string(), 2)]);
}

#[test]
fn manifests_name_relative_paths_and_shared_settings() {
    let manifests = manifests();
    let mut offences = Vec::new();
    for (dir, text) in &manifests {
        if text.contains("path = \"/") {
            offences.push(format!("{dir} names an absolute path"));
        }
        let is_member = text.contains("[package]") && dir != "fuzz";
        for line in ["version", "edition", "license", "publish"] {
            if is_member && !text.contains(&format!("{line}.workspace = true")) {
                offences.push(format!("{dir} does not take its {line} from the workspace"));
            }
        }
        if is_member && !text.contains("[lints]\nworkspace = true") {
            offences.push(format!("{dir} does not take its lints from the workspace"));
        }
    }
    assert_none("one place for what all packages share", offences);
}

#[test]
fn every_promised_scenario_has_a_test_named_after_it() {
    let sources = sources();
    let scenarios: String = sources
        .iter()
        .filter(|s| s.path.starts_with("tests/tests/scenarios"))
        .map(|s| s.text.as_str())
        .collect();
    let missing = SCENARIOS.iter().filter(|name| !scenarios.contains(&format!("fn {name}")));
    assert_none("scenarios without a test", missing.map(|name| name.to_string()).collect());
}

#[test]
fn dependencies_are_locked() {
    let lock = read(&workspace_root().join("Cargo.lock"));
    let foreign: Vec<String> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("source = "))
        .filter(|source| !source.contains("crates.io-index"))
        .map(str::to_string)
        .collect();
    assert_none("every dependency comes from crates.io", foreign);
}

/// Names in a list of a TOML file, one a line.
fn toml_list<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let list = text.split_once(&format!("{name} = [")).and_then(|(_, rest)| rest.split_once(']'));
    let names = list.map_or("", |(list, _)| list).split(',');
    names.map(|n| n.trim().trim_matches('"')).filter(|n| !n.is_empty()).collect()
}

/// An expression of SPDX, without parentheses around alternatives: any alternative, all of its parts.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    // "(A OR B) AND C" needs C and one of the others.
    if let Some((choices, last)) = plain.rsplit_once(" AND ") {
        return is_allowed(choices, allowed) && is_allowed(last, allowed);
    }
    plain.split(" OR ").any(|licence| allowed.contains(&licence.trim()))
}

/// What cargo says on its standard output; it needs no network for it.
fn cargo(args: &[&str]) -> String {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    testkit::process::run(&cargo, args, testkit::LONG).expect_success("cargo").stdout
}

/// Of the packages for this platform, which every build has fetched. Asked for all platforms, cargo
/// wants packages that no build on this one needs, and on a fresh machine the test failed for the lack
/// of `r-efi`. `make deny` looks at all of them.
#[test]
fn dependencies_are_under_licences_that_we_accept() {
    let root = workspace_root();
    let policy = read(&root.join("deny.toml"));
    let allowed = toml_list(&policy, "allow");
    assert!(allowed.contains(&"MIT"), "{allowed:?}");
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let manifest = root.join("Cargo.toml").display().to_string();
    let metadata = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        host.expect("cargo names its platform"),
        "--manifest-path",
        &manifest,
    ]);
    let licences: Vec<&str> = metadata
        .split("\"license\":")
        .skip(1)
        .map(|rest| rest.split(',').next().unwrap_or("").trim_matches('"'))
        .collect();
    assert!(licences.len() > 50, "the packages are found: {}", licences.len());
    let offences = licences.iter().filter(|l| !is_allowed(l, &allowed)).map(|l| l.to_string());
    assert_none("licences that deny.toml does not list (null: none at all)", offences.collect());

    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0", &["MIT", "Unicode-3.0"]));
    assert!(!is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0", &["MIT"]));
    assert!(!is_allowed("GPL-3.0", &["MIT"]) && is_allowed("MIT/Apache-2.0", &["Apache-2.0"]));
}
