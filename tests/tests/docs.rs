//! What the documentation names exists: files and headings that it links to, paths, targets of make, programs with
//! their options, commands, directives, and the lines of the log. Each rule is tried on text that breaks it.
//!
//! Must not: judge what the documentation says about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use testkit::binaries::{tandem, workspace_root};
use testkit::process::run;
use testkit::wait::LONG;

struct Page {
    /// Relative to the root.
    path: String,
    text: String,
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// README and docs/, for operators. The pages that are for programmers name more than what ships.
fn pages() -> Vec<Page> {
    let root = workspace_root();
    let in_docs = std::fs::read_dir(root.join("docs")).expect("docs/").flatten();
    let mut names: Vec<String> = in_docs
        .map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    names.push("README.md".into());
    assert!(names.len() > 5, "the pages are found: {names:?}");
    names.into_iter().map(|path| Page { text: read(&root.join(&path)), path }).collect()
}

/// Panics with all complaints at once.
#[track_caller]
fn hold(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What kind of text a line is: prose, or a block with the word behind its fence; indented blocks have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Prose,
    Block(&'a str),
}

fn lines(text: &str) -> Vec<(Place<'_>, &str)> {
    let mut fence = None;
    let mut out = Vec::new();
    for line in text.lines() {
        match (fence, line.trim_start().strip_prefix("```")) {
            (None, Some(kind)) => fence = Some(kind.trim()),
            (Some(_), Some(_)) => fence = None,
            (Some(kind), None) => out.push((Place::Block(kind), line)),
            (None, None) if line.starts_with("    ") => out.push((Place::Block(""), line)),
            (None, None) => out.push((Place::Prose, line)),
        }
    }
    out
}

fn prose(text: &str) -> String {
    let prose = lines(text).into_iter().filter(|(place, _)| *place == Place::Prose);
    prose.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// `code` in prose.
fn spans(text: &str) -> Vec<String> {
    prose(text).split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
}

// Links and paths.

/// As GitHub makes an anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    headings
        .lines()
        .filter(|l| l.starts_with('#'))
        .map(|l| anchor(l.trim_start_matches('#')))
        .collect()
}

fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

fn broken_links(page: &Page, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for link in links(&page.text).iter().filter(|link| !link.contains("://")) {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        let target = if file.is_empty() { page.path.clone() } else { joined(folder, file) };
        match read(&target) {
            None => complaints.push(format!("{}: {link} leads nowhere", page.path)),
            Some(text) if !heading.is_empty() && !anchors(&text).contains(heading) => {
                complaints.push(format!("{}: {target} has no heading {heading}", page.path));
            }
            Some(_) => {}
        }
    }
    complaints
}

/// `docs` and `../conf/x` are `conf/x`.
fn joined(folder: &Path, file: &str) -> String {
    let mut path = PathBuf::new();
    for part in folder.join(file).components() {
        match part {
            std::path::Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
    }
    path.to_string_lossy().into_owned()
}

#[test]
fn links_lead_somewhere() {
    let root = workspace_root();
    let read = |path: &str| match root.join(path) {
        path if path.is_dir() => Some(String::new()),
        path => std::fs::read_to_string(path).ok(),
    };
    hold(pages().iter().flat_map(|page| broken_links(page, &read)).collect());

    let page = Page { path: "docs/a.md".into(), text: "[b](../b.md#two-words) [c](c.md)".into() };
    let read = |path: &str| (path == "b.md").then(|| "# Two words".to_owned());
    assert_eq!(broken_links(&page, &read), ["docs/a.md: c.md leads nowhere"]);
    let read = |_: &str| Some("# Other".to_owned());
    assert_eq!(broken_links(&page, &read), ["docs/a.md: b.md has no heading two-words"]);
}

/// The page about TLS was there, and the README's list of pages did not have it.
#[test]
fn the_readme_lists_every_page() {
    let readme = read(&workspace_root().join("README.md"));
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| [")).collect();
    let is_listed = |path: &str| rows.iter().any(|row| row.contains(&format!("]({path}) | ")));
    let pages = pages().into_iter().map(|page| page.path).filter(|path| path != "README.md");
    let missing = pages.filter(|path| !is_listed(path));
    hold(missing.map(|path| format!("README.md does not list {path}")).collect());
}

// Figures.

/// What the rows of `make bench` are called, `{...}` standing for what differs.
fn bench_rows(source: &str) -> Vec<String> {
    let calls = source.split("table.line(").skip(1);
    let strings = calls.map(|call| call.split('"').skip(1).step_by(2).take(2));
    strings.map(|mut s| s.by_ref().collect::<Vec<_>>().join(" [") + "]").collect()
}

fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?.1))) {
        None => name == pattern,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|after| {
            (0..=after.len()).any(|at| after.get(at..).is_some_and(|tail| fits(tail, rest)))
        }),
    }
}

/// Figures of the README that nobody could print again, under names of their own.
#[test]
fn figures_in_the_readme_are_rows_of_the_bench() {
    let folder = workspace_root().join("benches/src");
    let sources = std::fs::read_dir(folder).expect("benches/").flatten();
    let known: Vec<String> = sources.flat_map(|file| bench_rows(&read(&file.path()))).collect();
    let readme = read(&workspace_root().join("README.md"));
    let rows = readme.lines().skip_while(|line| !line.starts_with("| medians of")).skip(2);
    let names: Vec<&str> =
        rows.map_while(|row| row.strip_prefix("| ")?.split(" | ").next()).collect();
    assert!(names.len() > 5, "the figures are found: {names:?}");
    let unknown = names.iter().filter(|name| !known.iter().any(|row| fits(name, row)));
    hold(unknown.map(|name| format!("make bench prints no {name}")).collect());

    let rows =
        bench_rows("table.line(&format!(\"sync of {keys} keys{over}\"), \"s\", medians, 0.6);");
    assert_eq!(rows, ["sync of {keys} keys{over} [s]"]);
    assert!(fits("sync of 5 keys [s]", &rows[0]) && fits("sync of 5 keys over TLS [s]", &rows[0]));
    assert!(!fits("sync of 5 keys [ms]", &rows[0]) && !fits("load of 5 keys [s]", &rows[0]));
}

/// Words that begin with a folder of the repository.
fn missing_paths(page: &Page, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let folders = ["conf/", "crates/", "docs/", "monitoring/", "scripts/", "systemd/", "tests/"];
    let words = page.text.split(|c: char| c.is_whitespace() || "`()[]\"',;:|".contains(c));
    let paths = words.map(|word| word.trim_end_matches('.')).filter(|word| {
        folders.iter().any(|folder| word.starts_with(folder)) && !word.contains('*')
    });
    let missing = paths.map(|path| path.split('#').next().unwrap_or(path)).filter(|p| !exists(p));
    missing.map(|path| format!("{}: there is no {path}", page.path)).collect()
}

#[test]
fn paths_exist() {
    let root = workspace_root();
    let exists = |path: &str| root.join(path).exists();
    hold(pages().iter().flat_map(|page| missing_paths(page, &exists)).collect());

    let page = Page { path: "x".into(), text: "see `conf/none.conf`.".into() };
    assert_eq!(missing_paths(&page, &|_| false), ["x: there is no conf/none.conf"]);
}

// Commands and directives.

/// What a word may be.
struct Known {
    /// Every spelling of a directive.
    directives: BTreeSet<String>,
    make_targets: BTreeSet<String>,
    /// Options of redis-cli, and whether they take a value.
    cli_options: BTreeMap<String, bool>,
    installer: String,
}

impl Known {
    fn gather() -> Known {
        let root = workspace_root();
        let mut directives: BTreeSet<String> =
            ["include", "user", "rename-command", "loadmodule"].map(String::from).into();
        let reference = read(&root.join("docs/configuration.md"));
        for line in reference.lines() {
            directives.extend(line.strip_prefix("### ").map(str::to_owned));
            let others = line.split_once("Other name: ").map_or("", |(_, others)| others);
            directives.extend(others.split('`').skip(1).step_by(2).map(str::to_owned));
        }
        let makefile = read(&root.join("Makefile"));
        let targets =
            makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
        let help = run(&tandem("redis-cli"), &["--help"], LONG).stdout;
        Known {
            directives,
            make_targets: targets.map(str::to_owned).collect(),
            cli_options: options(&help),
            installer: read(&root.join("scripts/redis-install-server")),
        }
    }

    fn is_directive(&self, word: &str) -> bool {
        self.directives.contains(&word.to_lowercase())
    }

    /// What is wrong with a command as a shell has it.
    fn in_shell(&self, command: &str) -> Option<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let is_setting = |word: &&&str| word.split_once('=').is_some_and(|(k, _)| !k.contains('-'));
        let skipped =
            words.iter().take_while(|w| is_setting(w) || **w == "sudo" || **w == "$").count();
        let (program, args) = words[skipped..].split_first()?;
        match program.rsplit('/').next()? {
            "redis-cli" => self.in_cli(args),
            "redis-server" | "redis-master" | "redis-replica" => args.iter().find_map(|arg| {
                let name = arg.strip_prefix("--")?;
                let known = self.is_directive(name) || ["help", "version"].contains(&name);
                (!known).then(|| format!("{arg} is no directive"))
            }),
            "redis-install-server" => args.iter().find_map(|arg| {
                let is_option = arg.starts_with("--");
                (is_option && !self.installer.contains(arg)).then(|| format!("{arg} is no option"))
            }),
            "make" => args.iter().find_map(|arg| {
                let is_target = !arg.contains('=') && !arg.starts_with('-');
                let known = self.make_targets.contains(*arg);
                (is_target && !known).then(|| format!("make has no {arg}"))
            }),
            _ => None,
        }
    }

    fn in_cli(&self, args: &[&str]) -> Option<String> {
        let mut args = args.iter();
        while let Some(word) = args.next() {
            if word.starts_with('-') {
                match self.cli_options.get(*word) {
                    None => return Some(format!("redis-cli has no {word}")),
                    Some(true) => drop(args.next()),
                    Some(false) => {}
                }
            } else {
                let words: Vec<&str> = std::iter::once(word).chain(args).copied().collect();
                return self.in_command(&words);
            }
        }
        None
    }

    /// What is wrong with a command of Redis.
    fn in_command(&self, words: &[&str]) -> Option<String> {
        let lower = words.first()?.to_lowercase();
        let Some(found) = engine::command::find_original(lower.as_bytes()) else {
            return Some(format!("there is no command {lower}"));
        };
        let second = words.get(1)?;
        if !found.spec.subcommands.is_empty() {
            let name = format!("{lower}|{}", second.to_lowercase());
            if engine::command::find_original(name.as_bytes()).is_none() {
                return Some(format!("there is no command {name}"));
            }
            let is_value = lower == "config" && ["set", "get"].contains(&&*second.to_lowercase());
            let directive = words.get(2).filter(|word| is_value && !word.contains('*'))?;
            return (!self.is_directive(directive)).then(|| format!("{directive} is no directive"));
        }
        None
    }

    /// What is wrong with `code` in prose, as far as its look tells what it is.
    fn in_span(&self, span: &str) -> Option<String> {
        let words: Vec<&str> = span.split_whitespace().collect();
        let first = *words.first()?;
        let is_upper = first.len() > 2 && first.chars().all(|c| c.is_ascii_uppercase());
        if is_upper && !NO_COMMANDS.contains(&first) {
            return self.in_command(&words);
        }
        let is_kebab = first.contains('-')
            && first.starts_with(|c: char| c.is_ascii_lowercase())
            && first.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if is_kebab && !self.is_directive(first) && !NO_DIRECTIVES.contains(&first) {
            let is_program = workspace_root().join("bins").join(first).exists();
            return match is_program {
                true => self.in_shell(span),
                false => Some(format!("{first} is no directive and no program")),
            };
        }
        if ["make", "config"].contains(&first) && words.len() > 1 {
            return if first == "make" { self.in_shell(span) } else { self.in_command(&words) };
        }
        None
    }
}

/// What stands in capitals and is no command: words of replies, options and formats.
const NO_COMMANDS: [&str; 9] = [
    "DENIED",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
];
/// Words with dashes that are neither directives nor programs of ours.
const NO_DIRECTIVES: [&str; 1] = ["redis-install-server"];

/// The options that a help text lists, and whether a value follows.
fn options(help: &str) -> BTreeMap<String, bool> {
    let mut options = BTreeMap::new();
    for line in help.lines().filter(|line| line.trim_start().starts_with('-')) {
        let has_value = line.trim_start().split("  ").next().is_some_and(|head| head.contains('<'));
        let words = line.split([' ', ',']).filter(|word| !word.is_empty());
        for word in words.take_while(|word| word.starts_with('-')) {
            options.insert(word.to_owned(), has_value);
        }
    }
    options
}

#[test]
fn what_one_is_told_to_type_exists() {
    let known = Known::gather();
    assert!(known.directives.len() > 150 && known.cli_options.len() > 40);
    let mut complaints = Vec::new();
    for page in pages() {
        let mut complain = |what: &str, why: String| {
            complaints.push(format!("{}: {what}: {why}", page.path));
        };
        for (place, line) in lines(&page.text) {
            let line = line.split(" # ").next().unwrap_or(line).trim();
            match place {
                Place::Block("") | Place::Block("sh") => {
                    for command in line.split(['|', ';']).flat_map(|part| part.split("&&")) {
                        if let Some(why) = known.in_shell(command) {
                            complain(line, why);
                        }
                    }
                }
                Place::Block("conf") if !line.is_empty() && !line.starts_with('#') => {
                    let name = line.split_whitespace().next().unwrap_or_default();
                    if !known.is_directive(name) {
                        complain(line, format!("{name} is no directive"));
                    }
                }
                _ => {}
            }
        }
        // What the reference says of words in a value is held by the table's own tests.
        if page.path != "docs/configuration.md" {
            for span in spans(&page.text) {
                if let Some(why) = known.in_span(&span) {
                    complain(&span, why);
                }
            }
        }
    }
    hold(complaints);

    for wrong in [
        "redis-cli -p 1 gett k",
        "REDISCLI_AUTH=x redis-cli --promot a:1",
        "redis-cli config set maxmemmory 1",
        "redis-cli config sett maxmemory 1",
        "redis-master /etc/x.conf --portt 1",
        "sudo redis-install-server --rolle master",
        "make tset",
    ] {
        assert!(known.in_shell(wrong).is_some(), "{wrong}");
        let right = wrong.replace("gett", "get").replace("promot ", "promote ");
        let right = right.replace("memmory", "memory").replace("sett", "set");
        let right = right.replace("portt", "port").replace("rolle", "role").replace("tset", "test");
        assert_eq!(known.in_shell(&right), None, "{right}");
    }
    for wrong in ["WAITT 1 0", "repl-backlog-sice", "config get maxmemmory"] {
        assert!(known.in_span(wrong).is_some(), "{wrong}");
    }
    for right in ["WAIT 1 0", "repl-backlog-size 1mb", "make test", "redis-cli", "MISCONF ..."] {
        assert_eq!(known.in_span(right), None, "{right}");
    }
}

// Lines of the log.

/// A line of the log as the documentation shows it, `<...>` standing for what differs, against the text of a
/// source, in whose strings `{...}` stands for that.
fn stands_in(line: &str, source: &str) -> bool {
    // The arrow of `MASTER <-> REPLICA` is no such place.
    let line = line.replace("<->", "\0");
    let pieces: Vec<String> = line
        .split('<')
        .enumerate()
        .map(
            |(n, part)| {
                if n == 0 { part } else { part.split_once('>').map_or(part, |(_, after)| after) }
            },
        )
        .map(|piece| piece.replace('\0', "<->"))
        .collect();
    let begins =
        source.match_indices(pieces[0].as_str()).map(|(at, _)| &source[at + pieces[0].len()..]);
    begins.into_iter().any(|mut rest| {
        pieces[1..].iter().all(|piece| {
            let Some(hole) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) else {
                return false;
            };
            let after = hole.1.strip_prefix(piece.as_str());
            rest = after.unwrap_or(rest);
            after.is_some()
        })
    })
}

/// Strings that go over several lines, in one.
fn unbroken(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut parts = source.split("\\\n");
    out.extend(parts.next());
    parts.for_each(|part| out.push_str(part.trim_start()));
    out
}

fn product_sources(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("sources").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tests") {
            product_sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            let text = read(&path);
            let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
            into.push(unbroken(&text[..end]));
        }
    }
}

#[test]
fn lines_of_the_log_are_ones_that_are_written() {
    let mut sources = Vec::new();
    for name in ["server", "node", "repl", "engine", "persist"] {
        product_sources(&workspace_root().join("crates").join(name).join("src"), &mut sources);
    }
    let mut complaints = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for (_, line) in lines(&page.text).into_iter().filter(|(p, _)| *p == Place::Block("log")) {
            seen += 1;
            // With a whole line, its message.
            let marks = [" * ", " # ", " - "].map(|mark| line.find(mark).map(|at| at + 3));
            let is_whole = line.contains(":M ") || line.contains(":S ");
            let at = marks.into_iter().flatten().min().filter(|_| is_whole).unwrap_or(0);
            if !sources.iter().any(|source| stands_in(line[at..].trim(), source)) {
                complaints.push(format!("{}: nobody writes {line:?}", page.path));
            }
        }
    }
    assert!(seen > 20, "the lines are found: {seen}");
    hold(complaints);

    let source = unbroken("warn!(\"Lost {} of \\\n     {count} bytes.\")");
    assert!(stands_in("Lost <n> of <all> bytes.", &source));
    assert!(!stands_in("Lost <n> out of <all> bytes.", &source));
    assert!(!stands_in("Lost 3 of 4 bytes.", &source));
    assert!(stands_in("MASTER <-> REPLICA sync started", "\"MASTER <-> REPLICA sync started\""));
}
