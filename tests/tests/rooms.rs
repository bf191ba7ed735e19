//! The rooms of our crates: arrows between the folders of one go one way, and a circle of files needs a
//! reason in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

struct Plan {
    name: &'static str,
    /// Lowest first. A room names only those before it; files beside them stand above all.
    rooms: &'static [&'static str],
    /// The struct that holds the rooms' states, whose methods the rooms' own are: everybody names it.
    whole: &'static str,
    /// Arrows that run up, with a reason in ARCHITECTURE.md.
    reasoned: &'static [(&'static str, &'static str)],
}

const ENGINE: Plan = Plan {
    name: "engine",
    rooms: &[
        "error",
        "ids",
        "command",
        "events",
        "settings",
        "world",
        "clients",
        "report",
        "data",
        "door",
        "lifecycle",
        "script",
        "commands",
    ],
    whole: "engine",
    reasoned: &[
        ("command", "door"),
        ("command", "commands"),
        ("command", "world"),
        ("events", "world"),
    ],
};

const SERVER: Plan = Plan {
    name: "server",
    rooms: &["process", "monitor", "config", "net", "disk", "os"],
    whole: "",
    reasoned: &[],
};

/// Structs of the server's lower rooms that are neither copied nor cloned and show their fields all the same: what
/// is handed over once, and is nobody's state.
const HANDED_OVER: &[(&str, &str)] = &[
    ("disk::children::Ended", "what became of a child"),
    ("disk::children::Killed", "the same"),
    ("disk::loader::LoadEnded", "the loader's thread to the loop"),
    ("disk::loader::LoadFailure", "a part of that"),
    ("disk::loader::Loaded", "the same: a whole data set"),
    ("disk::loader::Order", "the loop to the loader's thread"),
    ("disk::rdb::BgsaveEnded", "what became of a save"),
    ("disk::worker::DiskDone", "the disk's thread to the loop"),
    ("disk::worker::InstalledBase", "what an order is for, there and back"),
    ("disk::worker::NamedIncr", "the same"),
    ("net::listener::Accepted", "a connection on its way to its owner"),
    ("net::resolver::Resolved", "the resolver's thread to the loop"),
];

/// Which files name which, by module: `disk::aof` is disk/aof/mod.rs.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn sources(dir: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

/// The code of every file of a crate, without its tests and comments.
fn modules(name: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files).expect("the crate's sources are readable");
    let mut modules = BTreeMap::new();
    for file in files {
        let path = file.strip_prefix(&root).expect("found below it").with_extension("");
        let module = path.to_string_lossy().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module);
        if module == "lib" || module.ends_with("tests") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source is text");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        // How far a name is seen is no arrow.
        let code = code.replace("(in crate::", "(in ");
        let mut inside = false;
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| {
            // In a module within a file, `super` is the file itself.
            inside = (inside || line.contains("mod ") && line.ends_with('{')) && line != "}";
            if inside { line.replace("super::", "self::") } else { line.to_owned() }
        });
        modules.insert(module.to_owned(), code.collect::<Vec<_>>().join("\n"));
    }
    modules
}

/// All paths of the code with their braces resolved: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    let mut path = String::new();
    let mut rest = code;
    while let Some(next) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let prefix = prefixes.last().cloned().unwrap_or_default();
        let taken = if word > 0 {
            path.push_str(&rest[..word]);
            word
        } else if rest.starts_with("::{") {
            prefixes.push(format!("{prefix}{}::", std::mem::take(&mut path)));
            3
        } else if rest.starts_with("::") {
            path.push_str("::");
            2
        } else {
            if path.contains("::") || !path.is_empty() && !prefix.is_empty() {
                found.push(format!("{prefix}{path}"));
            }
            path.clear();
            match next {
                '}' => drop(prefixes.pop()),
                // A block, which has no prefix of its own.
                '{' => prefixes.push(String::new()),
                _ => {}
            }
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    found
}

/// What lib.rs gives out under the crate's own name, and from where.
fn given_out(name: &str) -> BTreeMap<String, String> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src/lib.rs");
    let text = fs::read_to_string(lib).expect("a crate has one");
    let lines = text.split(';').filter_map(|line| line.trim().strip_prefix("pub use "));
    let found = lines.flat_map(|line| paths(&format!("{line};")));
    let by_name = found.map(|path| {
        let path = path.trim_end_matches("::self").to_owned();
        (path.rsplit("::").next().unwrap_or_default().to_owned(), path)
    });
    by_name.collect()
}

/// The module that a path in `from` leads to, if it is another one of this crate's.
fn target(
    path: &str,
    from: &str,
    modules: &BTreeMap<String, String>,
    given_out: &BTreeMap<String, String>,
) -> Option<String> {
    let whole = match path.split("::").next().unwrap_or_default() {
        "crate" => {
            let path = path.strip_prefix("crate::")?;
            given_out.get(path.split("::").next()?).map_or(path, String::as_str).to_owned()
        }
        "super" => {
            let (mut base, mut rest) = (from, path);
            while let Some(inner) = rest.strip_prefix("super::") {
                base = base.rsplit_once("::").map_or("", |(outer, _)| outer);
                rest = inner;
            }
            format!("{base}::{rest}")
        }
        child if modules.contains_key(&format!("{from}::{child}")) => format!("{from}::{path}"),
        // `use crate::room;`, and then `room::file`.
        room if modules.contains_key(room) => path.to_owned(),
        _ => return None,
    };
    let mut whole = whole.trim_start_matches("::");
    while !modules.contains_key(whole) {
        whole = whole.rsplit_once("::")?.0;
    }
    (whole != from).then(|| whole.to_owned())
}

fn arrows(name: &str) -> Arrows {
    let (modules, given_out) = (modules(name), given_out(name));
    let targets = |(from, code): (&String, &String)| {
        let targets = paths(code);
        let targets = targets.iter().filter_map(|path| target(path, from, &modules, &given_out));
        (from.clone(), targets.collect())
    };
    modules.iter().map(targets).collect()
}

/// Everything that can be reached from a file along the arrows.
fn reached(from: &str, arrows: &Arrows) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        for to in &arrows[at] {
            if seen.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    seen
}

/// Files of which each can be reached from each, as a line of names.
fn circles(name: &str) -> BTreeSet<String> {
    let arrows = arrows(name);
    let all: BTreeMap<&str, BTreeSet<String>> =
        arrows.keys().map(|from| (from.as_str(), reached(from, &arrows))).collect();
    let mut circles = BTreeSet::new();
    for (from, seen) in &all {
        let back = |to: &&String| all[to.as_str()].contains(*from);
        let names: Vec<String> = seen.iter().filter(back).map(|to| format!("`{to}`")).collect();
        if !names.is_empty() {
            circles.insert(names.join(", "));
        }
    }
    circles
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// Twenty files of the server once formed one circle, one convenient arrow after the other.
#[test]
fn arrows_between_rooms_go_one_way() {
    for plan in [ENGINE, SERVER] {
        let level = |module: &str| {
            let at = plan.rooms.iter().position(|other| *other == room(module));
            at.unwrap_or(plan.rooms.len())
        };
        let (mut seen, mut reasoned) = (0, BTreeSet::new());
        for (from, targets) in arrows(plan.name) {
            for to in targets.iter().filter(|to| *to != plan.whole) {
                seen += usize::from(level(&from) != level(to));
                let arrow = (room(&from), room(to));
                match plan.reasoned.iter().find(|other| **other == arrow) {
                    Some(known) => drop(reasoned.insert(known)),
                    None => assert!(level(to) <= level(&from), "{}: {from} names {to}", plan.name),
                }
            }
        }
        assert!(seen > 50, "no arrows were found in {}", plan.name);
        // A reason for what is no longer there hides the next one.
        assert_eq!(reasoned.len(), plan.reasoned.len(), "{}: {reasoned:?}", plan.name);
    }
}

/// The runs of names of modules in a text, as `circles` writes them: "`a`, `b`".
fn listed(text: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut run: Vec<&str> = Vec::new();
    let mut parts = text.split('`');
    let mut between = parts.next();
    while let (Some(before), Some(name)) = (between, parts.next()) {
        if before != ", " {
            found.insert(std::mem::take(&mut run));
        }
        if modules.contains_key(name) {
            run.push(name);
        }
        between = parts.next();
    }
    found.insert(run);
    let circles = found.iter().filter(|run| run.len() > 1);
    let names = |run: &Vec<&str>| run.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    circles.map(|run| names(run).join(", ")).collect()
}

/// The paragraph of ARCHITECTURE.md that begins so.
fn paragraph(title: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let text = fs::read_to_string(page).expect("the page is there");
    let (_, rest) = text.split_once(title).unwrap_or_else(|| panic!("no {title:?}"));
    let end = rest.find("\n- **").unwrap_or(rest.len());
    rest[..end].split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The page lists these and no others: a reason for what is no longer there hides the next one, too.
#[test]
fn a_circle_of_files_has_its_reason_in_the_architecture() {
    for name in ["engine", "server", "cli", "node", "repl", "persist", "store", "protocol"] {
        let whose = match name {
            "engine" | "server" => name,
            _ => "other crates",
        };
        let listed =
            listed(&paragraph(&format!("- **The circles in the {whose}**")), &modules(name));
        assert_eq!(circles(name), listed, "circles of {name}, and those with a reason");
    }
}

/// The structs of a module with fields that are seen from everywhere, unless they are plain values: those are
/// copied and cloned, so that nobody's state changes with them.
fn exposed(module: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut is_value, mut inside) = (false, None);
    for line in code.lines() {
        let words = line.trim_start();
        if let Some(derived) = words.strip_prefix("#[derive(") {
            is_value = derived.split([',', ')']).any(|name| name.trim() == "Clone");
        } else if let Some((_, rest)) = line.split_once("struct ") {
            let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
            let name = name.filter(|_| !is_value).map(|name| format!("{module}::{name}"));
            let fields = rest.split_once('(').map_or("", |(_, fields)| fields);
            match fields.contains("pub ") || fields.contains("pub(crate) ") {
                true => found.extend(name),
                false => inside = name.filter(|_| line.ends_with('{')),
            }
            is_value = false;
        } else if words.starts_with('}') {
            inside = None;
        } else if words.starts_with("pub ") || words.starts_with("pub(crate) ") {
            found.extend(inside.clone());
        } else if !words.starts_with("#[") {
            is_value &= inside.is_some();
        }
    }
    found
}

/// `os/` read and set the fields of the append-only file, of the children and of the loader: what a state meant stood
/// in two places.
#[test]
fn a_struct_that_keeps_a_state_keeps_it_to_itself() {
    let lower = |module: &str| ["process", "monitor", "net", "disk"].contains(&room(module));
    let all = modules(SERVER.name);
    let found: BTreeSet<String> = (all.iter().filter(|(module, _)| lower(module)))
        .flat_map(|(module, code)| exposed(module, code))
        .collect();
    let listed: BTreeSet<String> = HANDED_OVER.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(found, listed, "structs whose fields everybody sees, and those with a reason");
}

#[test]
fn fields_that_everybody_sees_are_found() {
    let code = "#[derive(Debug)]\npub struct A {\n    a: u8,\n    pub b: u8,\n}\n\
        #[derive(Clone, Copy)]\npub struct Value {\n    pub a: u8,\n}\n\
        struct B {\n    pub(crate) a: u8,\n}\npub struct C(pub u8);\npub struct Unit;\npub fn f() {}\n\
        pub struct Kept {\n    a: u8,\n    pub(super) b: u8,\n}\nimpl Kept {\n    pub fn a() {}\n}";
    let names: Vec<String> = exposed("m", code).into_iter().collect();
    assert_eq!(names, ["m::A", "m::B", "m::C"]);
}

#[test]
fn paths_are_read_with_their_braces() {
    let code = "use crate::a::{self, b::C, d};\nfn f() { super::g::h(1) }";
    let expected = ["crate::a::self", "crate::a::b::C", "crate::a::d", "super::g::h"];
    assert_eq!(paths(code), expected);
}
