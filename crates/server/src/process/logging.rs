//! Owns the way of the log: who speaks, in which form, the file that may be rotated, syslog.
//! It installs no logger: the binaries give these pieces to env_logger. A forked child must call
//! `silence` first, because a lock of the logger may be held by nobody it can ever wait for.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use log::{Level, LevelFilter, Record};

use crate::process::clock;
use crate::process::crash;
use crate::process::log_line::format_line;
pub use crate::process::log_line::{LogForm, Speaker};

static SPEAKER: AtomicU8 = AtomicU8::new(Speaker::Starting as u8);
static FORM: AtomicU8 = AtomicU8::new(LogForm::Text as u8);

/// Whoever starts a server that ends again looks at what it started, not at a file: errors, which are what ends
/// the process, then go to standard error as well.
static LOGS_TO_FILE: AtomicBool = AtomicBool::new(false);

/// Set once syslog is open; the ident must outlive every line.
static SYSLOG_IDENT: OnceLock<CString> = OnceLock::new();

/// From now on lines are those of a master, a replica, ...
pub fn set_speaker(speaker: Speaker) {
    SPEAKER.store(speaker as u8, Ordering::Relaxed);
}

/// Puts `log-format` into effect.
pub fn set_form(form: LogForm) {
    FORM.store(form as u8, Ordering::Relaxed);
}

/// Puts `loglevel` into effect.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// For a forked child: nothing it calls may log, and what does all the same is dropped before any lock.
pub fn silence() {
    log::set_max_level(LevelFilter::Off);
}

/// Writes one record in the form that is set, and hands its message to syslog if that is open.
pub fn write_record(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let line = format_line(form(), std::process::id(), speaker(), clock::unix_us(), record);
    if SYSLOG_IDENT.get().is_some() {
        send_to_syslog(record);
    }
    if record.level() == Level::Error && LOGS_TO_FILE.load(Ordering::Relaxed) {
        // Nobody there to read it changes nothing.
        let _ = writeln!(io::stderr(), "{}", record.args());
    }
    out.write_all(line.as_bytes())
}

fn speaker() -> Speaker {
    let all = [Speaker::Starting, Speaker::Master, Speaker::Replica, Speaker::Sentinel];
    all[usize::from(SPEAKER.load(Ordering::Relaxed))]
}

fn form() -> LogForm {
    [LogForm::Text, LogForm::Logfmt, LogForm::Json][usize::from(FORM.load(Ordering::Relaxed))]
}

/// Where lines go.
pub struct Output {
    sink: Sink,
}

enum Sink {
    Stdout,
    File(LogFile),
}

struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode of `file`.
    identity: (u64, u64),
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Output {
        Output { sink: Sink::Stdout }
    }

    /// The log file with this name, or standard output without one. A relative name is taken from the
    /// working directory of this moment on.
    pub fn open(logfile: &str) -> io::Result<Output> {
        if logfile.is_empty() {
            return Ok(Output::stdout());
        }
        let path = std::path::absolute(logfile)?;
        LOGS_TO_FILE.store(true, Ordering::Relaxed);
        Ok(Output { sink: Sink::File(LogFile::open(&path)?) })
    }
}

impl Write for Output {
    /// Takes whole lines and always succeeds: a full disk must not stop the server, and there is nobody to tell.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let _ = match &mut self.sink {
            Sink::Stdout => io::stdout().write_all(lines),
            Sink::File(file) => file.write_all(lines),
        };
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.sink {
            Sink::Stdout => io::stdout().flush(),
            Sink::File(_) => Ok(()),
        }
    }
}

impl LogFile {
    fn open(path: &Path) -> io::Result<LogFile> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let found = file.metadata()?;
        Ok(LogFile { path: path.to_owned(), file, identity: (found.dev(), found.ino()) })
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        // A look at every line, because one written to a file that is already deleted is lost.
        let in_place =
            std::fs::metadata(&self.path).is_ok_and(|at| (at.dev(), at.ino()) == self.identity);
        if !in_place {
            // As long as no new one can be opened, the old file is better than none.
            if let Ok(reopened) = LogFile::open(&self.path) {
                *self = reopened;
            }
        }
        self.file.write_all(lines)
    }
}

/// Opens syslog; every line then goes there as well. `facility` is one of syslog(3)'s.
pub fn open_syslog(ident: &str, facility: libc::c_int) {
    // A name with a zero byte cannot be told to syslog; lines are then filed without one.
    let ident = CString::new(ident).unwrap_or_default();
    let ident = SYSLOG_IDENT.get_or_init(|| ident);
    let options = libc::LOG_PID | libc::LOG_NDELAY | libc::LOG_NOWAIT;
    // SAFETY: openlog keeps the pointer, which is to a static that is set once.
    unsafe { libc::openlog(ident.as_ptr(), options, facility) };
}

fn send_to_syslog(record: &Record) {
    let priority = match record.level() {
        Level::Error | Level::Warn => libc::LOG_WARNING,
        Level::Info => libc::LOG_NOTICE,
        Level::Debug => libc::LOG_INFO,
        Level::Trace => libc::LOG_DEBUG,
    };
    let Ok(message) = CString::new(record.args().to_string().replace('\0', " ")) else { return };
    // SAFETY: the format takes exactly the one C string that is given.
    unsafe { libc::syslog(priority, c"%s".as_ptr(), message.as_ptr()) };
}

/// A panic ends the process at once, as a broken invariant must, unless it is a decoder's, which is caught.
/// It would end no more than its thread otherwise, and leave the others waiting.
pub fn abort_on_panics() {
    let inner = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        inner(panic);
        if !persist::contained::is_contained() {
            crash::is_reported();
            std::process::abort();
        }
    }));
}

/// Sends panics to the log too: a server in the background has no standard error.
pub fn log_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // This one has written to standard error.
        default(panic);
        if !crash::is_wanted() {
            return;
        }
        let backtrace = std::backtrace::Backtrace::force_capture();
        log::warn!(
            "Tandem crashed, please report this: {panic}\n\n------ STACK TRACE ------\n{backtrace}"
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_output(path: &Path) -> Output {
        Output::open(path.to_str().expect("a path of text")).expect("a log file")
    }

    #[test]
    fn a_rotated_file_is_created_again_and_no_line_is_lost() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, old) =
            (directory.path().join("redis.log"), directory.path().join("redis.log.1"));
        let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
        let mut output = file_output(&path);
        output.write_all(b"one\n").expect("written");
        std::fs::rename(&path, &old).expect("rotated");
        output.write_all(b"two\n").expect("written");
        assert_eq!((read(&old), read(&path)), ("one\n".into(), "two\n".into()));
        std::fs::remove_file(&path).expect("deleted");
        output.write_all(b"three\n").expect("written");
        assert_eq!(read(&path), "three\n");
        File::create(&path).expect("truncated, as copytruncate does");
        output.write_all(b"four\n").expect("written");
        assert_eq!(read(&path), "four\n");
    }

    #[test]
    fn a_file_that_cannot_be_reopened_is_written_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let logs = directory.path().join("logs");
        std::fs::create_dir(&logs).expect("created");
        let mut output = file_output(&logs.join("redis.log"));
        let moved = directory.path().join("moved");
        std::fs::rename(&logs, &moved).expect("moved");
        output.write_all(b"still here\n").expect("written");
        assert_eq!(std::fs::read_to_string(moved.join("redis.log")).expect("read"), "still here\n");
    }
}
