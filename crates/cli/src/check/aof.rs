//! redis-check-aof: one file, with or without a snapshot in front, or all that a manifest names.
//!
//! Must not: change a file but where a person said yes to it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use persist::aof::manifest::Manifest;
use persist::aof::{AofCheck, check_aof, has_rdb_preamble};
use persist::source::Source;

use super::explain::explain;
use super::rdb;
use crate::term::{Lines, err, flush, os_words, out};
use crate::{Exit, VERSION};

const USAGE: &str = "[--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>";

/// A manifest is small; who says otherwise is none.
const MANIFEST_LEN_MAX: u64 = 64 << 20;

/// What is done to a file that has more than is good, or more than is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Check,
    Fix,
    /// Cut off what was written later than this, in seconds since 1970.
    TruncateTo(i64),
}

/// How a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    Empty,
    Truncated,
    TruncatedTo(i64),
}

/// The whole program.
pub fn run(words: Vec<Vec<u8>>) -> Result<(), Exit> {
    let program = words.first().map_or("".into(), |word| String::from_utf8_lossy(word));
    let words: Vec<&[u8]> = words.iter().skip(1).map(Vec::as_slice).collect();
    let (task, name) = match words.as_slice() {
        [b"-v" | b"--version"] => {
            out(format!("redis-check-aof {VERSION}\n"));
            return Ok(());
        }
        [name] => (Task::Check, name),
        [b"--fix", name] => (Task::Fix, name),
        [b"--truncate-to-timestamp", time, name] => match protocol::parse_i64(time) {
            Some(time) => (Task::TruncateTo(time), name),
            None => return Err(say("Invalid timestamp, aborting...")),
        },
        _ => {
            out(format!("Usage: {program} {USAGE}\n"));
            return Err(Exit(1));
        }
    };
    let path = PathBuf::from(OsString::from_vec(name.to_vec()));
    match read_manifest(&path)? {
        Some(text) => check_parts(&path, &text, task),
        None => check_single(&path, task),
    }
}

/// These tools complain on the standard output.
fn say(text: impl AsRef<str>) -> Exit {
    out(text.as_ref());
    out("\n");
    Exit(1)
}

fn open(path: &Path, more: &str) -> Result<File, Exit> {
    File::open(path)
        .map_err(|e| say(format!("Cannot open file {}: {}{more}", path.display(), os_words(&e))))
}

/// The text of a manifest; `None` if the file is something else.
fn read_manifest(path: &Path) -> Result<Option<Vec<u8>>, Exit> {
    let mut file = open(path, "")?.take(MANIFEST_LEN_MAX);
    let mut begin = vec![0; 1];
    // What begins so is commands or a snapshot, however long.
    match file.read(&mut begin) {
        Ok(1) if !matches!(begin[0], b'*' | b'R' | b'V') => {}
        _ => return Ok(None),
    }
    file.read_to_end(&mut begin)
        .map_err(|_| say(format!("Cannot read file: {}", path.display())))?;
    let is_manifest = begin
        .split(|byte| *byte == b'\n')
        .find(|line| !line.starts_with(b"#"))
        .is_some_and(|line| line.starts_with(b"file"));
    Ok(is_manifest.then_some(begin))
}

fn check_parts(path: &Path, text: &[u8], task: Task) -> Result<(), Exit> {
    out("Start checking Multi Part AOF\n");
    let manifest = Manifest::parse(text).map_err(|e| {
        err(format!("\n*** FATAL AOF MANIFEST FILE ERROR ***\n{e}\n"));
        Exit(1)
    })?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let files = manifest.files().count();
    let mut seen = 0;
    let mut check = |what: &str, name: &str| {
        seen += 1;
        let file = AofFile { name, path: dir.join(name), is_last: seen == files };
        let preamble = starts_with_snapshot(&file.path)?;
        if what == "BASE" {
            let format = if preamble { "RDB" } else { "RESP" };
            out(format!("Start to check BASE AOF ({format} format).\n"));
        }
        let verdict = file.check(task, preamble)?;
        out(verdict_text(&format!("{what} AOF {name}"), name, verdict));
        Ok(())
    };
    if let Some(base) = &manifest.base {
        check("BASE", &base.name)?;
    }
    if !manifest.incrs.is_empty() {
        out("Start to check INCR files.\n");
    }
    for incr in &manifest.incrs {
        check("INCR", &incr.name)?;
    }
    out("All AOF files and manifest are valid\n");
    Ok(())
}

fn check_single(path: &Path, task: Task) -> Result<(), Exit> {
    let name = path.display().to_string();
    out("Start checking Old-Style AOF\n");
    let preamble = starts_with_snapshot(path)?;
    let file = AofFile { name: &name, path: path.to_owned(), is_last: true };
    let verdict = file.check(task, preamble)?;
    out(verdict_text(&format!("AOF {name}"), &name, verdict));
    Ok(())
}

fn verdict_text(what: &str, name: &str, verdict: Verdict) -> String {
    match verdict {
        Verdict::Valid => format!("{what} is valid\n"),
        Verdict::Empty => format!("{what} is empty\n"),
        Verdict::Truncated => format!("Successfully truncated AOF {name}\n"),
        Verdict::TruncatedTo(time) => {
            format!("Successfully truncated AOF {name} to timestamp {time}\n")
        }
    }
}

fn starts_with_snapshot(path: &Path) -> Result<bool, Exit> {
    let mut file = open(path, "")?;
    Ok(has_rdb_preamble(&mut Source::new(&mut file, None)).unwrap_or(false))
}

/// One file under examination.
struct AofFile<'a> {
    name: &'a str,
    path: PathBuf,
    /// Only the last of several may be cut.
    is_last: bool,
}

impl AofFile<'_> {
    fn check(&self, task: Task, preamble: bool) -> Result<Verdict, Exit> {
        let mut file = open(&self.path, ", aborting...")?;
        let size = file.metadata().map(|metadata| metadata.len());
        let size =
            size.map_err(|_| say(format!("Cannot stat file: {}, aborting...", self.name)))?;
        if size == 0 {
            return Ok(Verdict::Empty);
        }
        let until = if let Task::TruncateTo(time) = task { Some(time) } else { None };
        let mut source = Source::new(&mut file, Some(size));
        let mut begin = 0;
        if preamble {
            if rdb::report(self.name, &mut source).is_err() {
                return Err(say("RDB preamble of AOF file is not sane, aborting."));
            }
            begin = source.offset();
            out("RDB preamble is OK, proceeding with AOF tail...\n");
        }
        let check = check_aof(source, until)
            .map_err(|_| say(format!("Failed to read from AOF {}, aborting...", self.name)))?;
        let good = check.ok_up_to.max(begin);
        if let (Some(time), Some(from)) = (until, check.later_from) {
            return self.truncate_to(time, from.max(begin));
        }
        if check.error.is_some() {
            let _ = file.seek(SeekFrom::Start(good));
            out(explain(good, &file, &self.path.display().to_string(), self.name));
        }
        self.judge(task, &check, size, good)
    }

    fn judge(&self, task: Task, check: &AofCheck, size: u64, good: u64) -> Result<Verdict, Exit> {
        let name = self.name;
        let diff = size - good.min(size);
        if let (Task::TruncateTo(time), 0) = (task, diff) {
            out(format!("Truncate nothing in AOF {name} to timestamp {time}\n"));
            return Ok(Verdict::Valid);
        }
        let line = check.ok_up_to_line;
        out(format!(
            "AOF analyzed: filename={name}, size={size}, ok_up_to={good}, ok_up_to_line={line}, \
             diff={diff}\n"
        ));
        if diff == 0 {
            return Ok(Verdict::Valid);
        }
        if task != Task::Fix {
            return Err(say(format!(
                "AOF {name} is not valid. Use the --fix option to try fixing it."
            )));
        }
        if !self.is_last {
            return Err(say(format!(
                "Failed to truncate AOF {name} because it is not the last file"
            )));
        }
        out(format!(
            "This will shrink the AOF {name} from {size} bytes, with {diff} bytes, to {good} bytes\n\
             Continue? [y/N]: "
        ));
        flush();
        let answer = Lines::default().next_line().unwrap_or_default();
        if !matches!(answer.first(), Some(b'y' | b'Y')) {
            return Err(say("Aborting..."));
        }
        match self.cut(good) {
            Ok(()) => Ok(Verdict::Truncated),
            Err(_) => Err(say(format!("Failed to truncate AOF {name}"))),
        }
    }

    fn truncate_to(&self, time: i64, from: u64) -> Result<Verdict, Exit> {
        let path = self.path.display();
        if from == 0 {
            return Err(say(format!(
                "AOF {path} has nothing before timestamp {time}, aborting..."
            )));
        }
        if !self.is_last {
            return Err(say(format!(
                "Failed to truncate AOF {path} to timestamp {time} to offset {from} because it is not \
                 the last file.\nIf you insist, please delete all files after this file according to \
                 the manifest file and delete the corresponding records in manifest file manually. \
                 Then re-run redis-check-aof."
            )));
        }
        match self.cut(from) {
            Ok(()) => Ok(Verdict::TruncatedTo(time)),
            Err(_) => Err(say(format!("Failed to truncate AOF {path} to timestamp {time}"))),
        }
    }

    fn cut(&self, len: u64) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(len)?;
        file.flush()?;
        file.sync_all()
    }
}
