//! Owns the shape of a line of the log: Redis's own, logfmt, JSON. A message of any content is one line in the
//! two that programs read. It knows neither the clock nor where a line goes.

use std::fmt::Write;

use log::{Level, Record};

/// `log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogForm {
    /// `14635:M 30 Dec 2019 01:05:41.223 * message`, in local time.
    #[default]
    Text,
    /// `ts=2019-12-30T01:05:41.223Z level=notice pid=14635 role=master msg="message"`
    Logfmt,
    /// The same as an object of JSON.
    Json,
}

/// The letter of a line that tells who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// A process that does not know its role yet.
    Starting,
    Master,
    Replica,
    Sentinel,
}

impl Speaker {
    const fn letter(self) -> char {
        match self {
            Speaker::Starting => 'C',
            Speaker::Master => 'M',
            Speaker::Replica => 'S',
            Speaker::Sentinel => 'X',
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Speaker::Starting => "starting",
            Speaker::Master => "master",
            Speaker::Replica => "replica",
            Speaker::Sentinel => "sentinel",
        }
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A whole line, with its end.
pub fn format_line(
    form: LogForm,
    pid: u32,
    speaker: Speaker,
    unix_us: u64,
    record: &Record,
) -> String {
    let (level, role) = (level_word(record.level()), speaker.word());
    match form {
        LogForm::Text => {
            let (letter, mark) = (speaker.letter(), mark(record.level()));
            format!("{pid}:{letter} {} {mark} {}\n", local_time(unix_us), record.args())
        }
        LogForm::Logfmt => {
            let (ts, msg) = (utc_time(unix_us), quoted(&record.args().to_string()));
            format!("ts={ts} level={level} pid={pid} role={role} msg={msg}\n")
        }
        LogForm::Json => {
            let (ts, msg) = (utc_time(unix_us), quoted(&record.args().to_string()));
            format!(
                "{{\"ts\":\"{ts}\",\"level\":\"{level}\",\"pid\":{pid},\"role\":\"{role}\",\"msg\":{msg}}}\n"
            )
        }
    }
}

fn mark(level: Level) -> char {
    match level {
        Level::Error | Level::Warn => '#',
        Level::Info => '*',
        Level::Debug => '-',
        Level::Trace => '.',
    }
}

/// The words of `loglevel`.
fn level_word(level: Level) -> &'static str {
    match level {
        Level::Error | Level::Warn => "warning",
        Level::Info => "notice",
        Level::Debug => "verbose",
        Level::Trace => "debug",
    }
}

/// A string of JSON, which is what readers of logfmt expect between quotes, too. What a terminal or an editor
/// would not show, or show in another order, is escaped with the rest.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_invisible(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Controls, separators of lines, signs of no width or that turn the direction, and byte order marks.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `30 Dec 2019 01:05:41.223` in the local time zone.
fn local_time(unix_us: u64) -> String {
    let tm = broken_down(unix_us, libc::localtime_r);
    format!(
        "{:02} {} {} {:02}:{:02}:{:02}.{:03}",
        tm.tm_mday,
        MONTHS[tm.tm_mon.clamp(0, 11) as usize],
        tm.tm_year + 1900,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        unix_us / 1000 % 1000
    )
}

/// `2019-12-30T01:05:41.223Z`, as RFC 3339 has it.
fn utc_time(unix_us: u64) -> String {
    let tm = broken_down(unix_us, libc::gmtime_r);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        tm.tm_year + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        unix_us / 1000 % 1000
    )
}

type BreakDown = unsafe extern "C" fn(*const libc::time_t, *mut libc::tm) -> *mut libc::tm;

fn broken_down(unix_us: u64, by: BreakDown) -> libc::tm {
    let seconds = (unix_us / 1_000_000) as libc::time_t;
    // SAFETY: all zeros is a valid tm.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables, and neither function keeps them.
    unsafe { by(&raw const seconds, &raw mut tm) };
    tm
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_US: u64 = 1_577_667_941_223_999;

    fn line(form: LogForm, level: Level, message: &str) -> String {
        // Its arguments live no longer than the statement.
        format_line(
            form,
            14635,
            Speaker::Replica,
            AT_US,
            &Record::builder().level(level).args(format_args!("{message}")).build(),
        )
    }

    #[test]
    fn lines_of_text_look_as_redis_writes_them() {
        let text = |level| line(LogForm::Text, level, "a \"b\"\nc");
        let (before, after) = ("14635:S ", " a \"b\"\nc\n");
        for (level, mark) in [
            (Level::Error, '#'),
            (Level::Warn, '#'),
            (Level::Info, '*'),
            (Level::Debug, '-'),
            (Level::Trace, '.'),
        ] {
            assert_eq!(text(level), format!("{before}{} {mark}{after}", local_time(AT_US)));
        }
    }

    #[test]
    fn times_are_local_with_milliseconds() {
        // The zone is the machine's: only what no zone changes is compared.
        let text = local_time(AT_US);
        assert_eq!(text.len(), "30 Dec 2019 01:05:41.223".len());
        assert!(text.contains(" Dec 2019 ") && text.ends_with(":41.223"), "{text}");
    }

    #[test]
    fn lines_for_programs_have_time_level_process_role_and_message() {
        assert_eq!(
            line(LogForm::Logfmt, Level::Info, "a \"b\" c"),
            "ts=2019-12-30T01:05:41.223Z level=notice pid=14635 role=replica msg=\"a \\\"b\\\" c\"\n"
        );
        assert_eq!(
            line(LogForm::Json, Level::Error, "a \\ b"),
            "{\"ts\":\"2019-12-30T01:05:41.223Z\",\"level\":\"warning\",\"pid\":14635,\
             \"role\":\"replica\",\"msg\":\"a \\\\ b\"}\n"
        );
        assert!(line(LogForm::Json, Level::Debug, "").contains("\"verbose\""));
        assert!(line(LogForm::Json, Level::Trace, "").contains("\"debug\""));
    }

    /// A reader of JSON that knows no more than strings: what it gives back is what was put in.
    fn read_back(quoted: &str) -> String {
        let inner = quoted.strip_prefix('"').and_then(|s| s.strip_suffix('"')).expect("quotes");
        let (mut units, mut chars) = (Vec::new(), inner.chars());
        let mut buffer = [0; 2];
        while let Some(c) = chars.next() {
            assert!(c >= ' ' && c != '"', "JSON has no {c:?} in a string");
            let c = match c {
                '\\' => match chars.next().expect("an escape") {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        units.push(u16::from_str_radix(&digits, 16).expect("four digits"));
                        continue;
                    }
                    c @ ('"' | '\\') => c,
                    other => panic!("JSON knows no \\{other}"),
                },
                c => c,
            };
            units.extend_from_slice(c.encode_utf16(&mut buffer));
        }
        String::from_utf16(&units).expect("whole characters")
    }

    #[test]
    fn whatever_a_message_holds_is_one_visible_line_that_reads_back() {
        let lossy = String::from_utf8_lossy(b"name \xff\xfe\x80");
        let mut messages = vec![lossy.as_ref(), "zwölf \u{1f600} \u{e0001}", "\u{202e}\u{200b}"];
        let all: String = ('\0'..='\u{2fff}').chain('\u{fe00}'..='\u{ffff}').collect();
        messages.push(&all);
        for message in messages {
            for form in [LogForm::Logfmt, LogForm::Json] {
                let line = line(form, Level::Info, message);
                assert!(!line.trim_end_matches('\n').contains(is_invisible), "{line}");
                assert_eq!(line.matches('\n').count(), 1, "{line}");
            }
            assert_eq!(read_back(&quoted(message)), message);
        }
    }
}
