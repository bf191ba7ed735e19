//! The rooms of this crate: arrows between its folders go one way, and a circle of files needs a reason
//! in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Lowest first. A room names only those before it.
const ROOMS: &[&str] = &[
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
    "commands",
];

/// What ARCHITECTURE.md gives the reasons of: the engine holds every room's state and every room's
/// methods are the engine's; a row names its handler, which is given a Ctx.
const REASONED: &[(&str, &str)] =
    &[("command", "door"), ("command", "commands"), ("command", "world"), ("events", "world")];

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

/// The first word of every `crate::` path in a text: a room, or what lib.rs gives out itself.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

/// From which room to which others, with a file for each.
fn arrows() -> BTreeMap<(String, String), BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files).expect("the crate's sources are readable");
    let mut arrows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for file in files {
        let path = file.strip_prefix(&root).expect("found below it").to_string_lossy().into_owned();
        let room = path.split(['/', '.']).next().unwrap_or_default().to_string();
        let text = fs::read_to_string(&file).expect("a source is text");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for other in named(code).filter(|other| *other != room) {
            let other = other.to_string();
            arrows.entry((room.clone(), other)).or_default().insert(path.clone());
        }
    }
    arrows
}

/// Twenty files of the server once formed one circle, one convenient arrow after the other.
#[test]
fn arrows_between_rooms_go_one_way() {
    let level = |room: &str| ROOMS.iter().position(|other| *other == room);
    let mut seen = 0;
    for ((from, to), files) in arrows() {
        // `Engine` and the like: the struct that holds the rooms' states, above which nothing stands.
        let (Some(from_level), Some(to_level)) = (level(&from), level(&to)) else { continue };
        seen += 1;
        let reasoned = REASONED.contains(&(from.as_str(), to.as_str()));
        assert!(
            to_level < from_level || reasoned,
            "{from} names {to}, which stands above it: {files:?}"
        );
    }
    assert!(seen > 20, "no arrows were found");
}

/// A reason for what is no longer there hides the next one.
#[test]
fn every_reasoned_arrow_is_there() {
    let arrows = arrows();
    for (from, to) in REASONED {
        assert!(arrows.contains_key(&(from.to_string(), to.to_string())), "{from} -> {to}");
    }
}
