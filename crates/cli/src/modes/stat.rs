//! `--stat`: a line of figures every second.
//!
//! Must not: compute what INFO does not say.

use std::time::Duration;

use protocol::Value;

use super::scan::info_number;
use crate::Exit;
use crate::shell::session::Session;
use crate::target::leading_int;
use crate::term::{self, fail, out};

const INTERVAL: Duration = Duration::from_secs(1);
const LINES_PER_HEADING: u64 = 20;

pub(super) fn run(session: &mut Session) -> Result<(), Exit> {
    let interval = session.options.interval.unwrap_or(INTERVAL);
    let (mut lines, mut before) = (0u64, 0);
    loop {
        let text = match session.call_reconnecting(&[b"INFO"])? {
            Value::Bulk(text) | Value::Verbatim(_, text) => text,
            Value::Error(text) => return Err(fail([&b"ERROR: "[..], &text].concat())),
            _ => return Err(fail("ERROR: INFO is no text")),
        };
        let info = String::from_utf8_lossy(&text);
        if lines.is_multiple_of(LINES_PER_HEADING) {
            out(concat!(
                "------- data ------ --------------------- load -------------------- - child -\n",
                "keys       mem      clients blocked requests            connections          \n"
            ));
        }
        lines += 1;
        let requests = info_number(&info, "total_commands_processed");
        out(line(&info, requests, before));
        before = requests;
        term::flush();
        std::thread::sleep(interval);
    }
}

fn line(info: &str, requests: i64, before: i64) -> String {
    let number = |field| info_number(info, field);
    let more = if before == 0 { 0 } else { requests - before };
    let child = number("rdb_bgsave_in_progress")
        | number("aof_rewrite_in_progress") << 1
        | number("loading") << 2;
    let child = match child {
        1 => "SAVE",
        2 => "AOF",
        3 => "SAVE+AOF",
        4 => "LOAD",
        _ => "",
    };
    format!(
        "{:<11}{:<8} {:<8}{:<8}{:<19} {:<12}{child}\n",
        keys(info),
        human(number("used_memory")),
        number("connected_clients"),
        number("blocked_clients"),
        format!("{requests} (+{more})"),
        number("total_connections_received"),
    )
}

/// Of all databases.
fn keys(info: &str) -> i64 {
    let databases = info.lines().filter_map(|line| {
        let (db, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
        db.bytes().all(|b| b.is_ascii_digit()).then(|| leading_int(rest.as_bytes()))
    });
    databases.sum()
}

/// Bytes as people read them: 100B, 4.00K, 1.50M.
pub(super) fn human(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    let bytes = bytes.unsigned_abs();
    if bytes < 1024 {
        return format!("{sign}{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit < 3 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{sign}{value:.2}{}", ["K", "M", "G", "T"][unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_columns() {
        let info = "used_memory:2048\r\nconnected_clients:3\r\nblocked_clients:1\r\nloading:0\r\n\
            rdb_bgsave_in_progress:1\r\naof_rewrite_in_progress:1\r\ntotal_connections_received:9\r\n\
            db0:keys=5,expires=0\r\ndb11:keys=2,expires=1\r\n";
        let expected =
            "7          2.00K    3       1       30 (+10)            9           SAVE+AOF\n";
        assert_eq!(line(info, 30, 20), expected);
    }

    #[test]
    fn bytes_for_people() {
        assert_eq!([0, 1023, 1536, -2048, 3 << 30].map(human), {
            ["0B", "1023B", "1.50K", "-2.00K", "3.00G"]
        });
    }
}
