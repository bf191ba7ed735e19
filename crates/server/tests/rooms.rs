//! The rooms of this crate: arrows between its folders go one way, and a circle of files needs a reason in
//! ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Lowest first. A room names only those before it; the files beside the folders stand above all of them.
const ROOMS: &[&str] = &["process", "config", "net", "disk", "os"];

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

/// The code of every file, without its tests and comments.
fn modules() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files).expect("the crate's sources are readable");
    let mut modules = BTreeMap::new();
    for file in files {
        let path = file.strip_prefix(&root).expect("found below it").with_extension("");
        let module = path.to_string_lossy().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module);
        if module == "lib" || module.ends_with("::tests") {
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

/// The module that a path in `from` leads to, if it is another one of this crate's.
fn target(path: &str, from: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let whole = match path.split("::").next().unwrap_or_default() {
        "crate" => path.strip_prefix("crate::")?.to_owned(),
        "super" => {
            let (mut base, mut rest) = (from, path);
            while let Some(inner) = rest.strip_prefix("super::") {
                base = base.rsplit_once("::").map_or("", |(outer, _)| outer);
                rest = inner;
            }
            format!("{base}::{rest}")
        }
        child if modules.contains_key(&format!("{from}::{child}")) => format!("{from}::{path}"),
        _ => return None,
    };
    let mut whole = whole.trim_start_matches("::");
    while !modules.contains_key(whole) {
        whole = whole.rsplit_once("::")?.0;
    }
    (whole != from).then(|| whole.to_owned())
}

fn arrows() -> Arrows {
    let modules = modules();
    let targets = |(from, code): (&String, &String)| {
        let targets = paths(code).iter().filter_map(|path| target(path, from, &modules)).collect();
        (from.clone(), targets)
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
fn circles() -> BTreeSet<String> {
    let arrows = arrows();
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

/// Twenty files of this crate once formed one circle, one convenient arrow after the other.
#[test]
fn arrows_between_rooms_go_one_way() {
    let level = |module: &str| {
        let room = module.split("::").next().unwrap_or_default();
        ROOMS.iter().position(|other| *other == room).unwrap_or(ROOMS.len())
    };
    let mut seen = 0;
    for (from, targets) in arrows() {
        for to in targets {
            seen += usize::from(level(&from) != level(&to));
            assert!(level(&to) <= level(&from), "{from} names {to}, which stands above it");
        }
    }
    assert!(seen > 50, "no arrows were found");
}

#[test]
fn a_circle_of_files_has_its_reason_in_the_architecture() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md");
    let text = fs::read_to_string(page).expect("the page is there");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_unknown = |circle: &String| !text.contains(circle.as_str());
    let unknown: Vec<String> = circles().into_iter().filter(is_unknown).collect();
    assert!(unknown.is_empty(), "circles without a reason: {unknown:#?}");
}

#[test]
fn paths_are_read_with_their_braces() {
    let code = "use crate::a::{self, b::C, d};\nfn f() { super::g::h(1) }";
    let expected = ["crate::a::self", "crate::a::b::C", "crate::a::d", "super::g::h"];
    assert_eq!(paths(code), expected);
}
