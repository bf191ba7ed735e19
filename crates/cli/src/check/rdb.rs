//! redis-check-rdb.
//!
//! Must not: keep anything of what it reads.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use persist::error::{Doing, RdbError, Reason};
use persist::rdb::{CheckEvent, RdbCheck, check_rdb_with, type_name};
use persist::source::Source;

use crate::term::{err, os_words, out};
use crate::{Exit, VERSION};

/// From this version on a snapshot ends with a checksum.
const CHECKSUM_VERSION: u32 = 5;

/// The whole program.
pub fn run(words: Vec<Vec<u8>>) -> Result<(), Exit> {
    let [_, name] = words.as_slice() else {
        let program = words.first().map_or("".into(), |word| String::from_utf8_lossy(word));
        err(format!("Usage: {program} <rdb-file-name>\n"));
        return Err(Exit(1));
    };
    if name == b"-v" || name == b"--version" {
        out(format!("redis-check-rdb {VERSION}\n"));
        return Ok(());
    }
    let path = PathBuf::from(OsString::from_vec(name.clone()));
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let name = String::from_utf8_lossy(name);
    match opened {
        Ok((len, mut file)) => report(&name, &mut Source::new(&mut file, Some(len))),
        Err(e) => {
            out(format!("[offset 0] Checking RDB file {name}\n"));
            err(format!("Cannot open file {name}: {}\n", os_words(&e)));
            Err(Exit(1))
        }
    }
}

/// Checks the snapshot at the front of a source, telling what it comes past.
pub(super) fn report(name: &str, source: &mut Source<'_>) -> Result<(), Exit> {
    out(format!("[offset 0] Checking RDB file {name}\n"));
    let mut check = RdbCheck::default();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let result = check_rdb_with(source, now_ms as i64, &mut check, &mut |event| match event {
        CheckEvent::Aux { name, value, offset } => {
            out([format!("[offset {offset}] AUX FIELD ").as_bytes(), name, b" = '", value, b"'\n"]
                .concat());
        }
        CheckEvent::SelectDb { db, offset } => {
            out(format!("[offset {offset}] Selecting DB ID {db}\n"));
        }
    });
    if let Err(e) = result {
        out(error_text(&e));
        // Redis counts a key when its name was read.
        check.keys += u64::from(e.doing == Doing::Value);
        out(figures(&check));
        return Err(Exit(1));
    }
    let end = check.bytes;
    if check.checksum_verified {
        out(format!("[offset {end}] Checksum OK\n"));
    } else if check.version >= CHECKSUM_VERSION {
        out(format!(
            "[offset {end}] RDB file was saved with checksum disabled: no check performed.\n"
        ));
    }
    out(format!("[offset {end}] \\o/ RDB looks OK! \\o/\n"));
    out(figures(&check));
    Ok(())
}

fn figures(check: &RdbCheck) -> String {
    let mut lines = format!(
        "[info] {} keys read\n[info] {} expires\n[info] {} already expired\n",
        check.keys, check.expires, check.already_expired
    );
    // Redis 7 has no such line, Redis 8 always.
    if check.subexpires > 0 {
        lines += &format!("[info] {} subexpires\n", check.subexpires);
    }
    lines
}

fn error_text(e: &RdbError) -> Vec<u8> {
    let what = match &e.reason {
        Reason::BadSignature => "Wrong signature trying to load DB from file".into(),
        Reason::UnsupportedVersion(version) => format!("Can't handle RDB format version {version}"),
        Reason::BadChecksum { .. } => "RDB CRC error".into(),
        Reason::UnknownType(code) | Reason::UnknownOpcode(code) => {
            format!("Invalid object type: {code}")
        }
        Reason::UnexpectedEnd(_) => "Unexpected EOF reading RDB file".into(),
        other => other.to_string(),
    };
    // Redis is behind what it dislikes of these, we are before it.
    let behind = match &e.reason {
        Reason::BadChecksum { .. } => 8,
        Reason::BadSignature | Reason::UnsupportedVersion(_) => 9,
        Reason::UnknownType(_) | Reason::UnknownOpcode(_) => 1,
        _ => 0,
    };
    let mut text = format!(
        "--- RDB ERROR DETECTED ---\n[offset {}] {what}\n[additional info] While doing: {}\n",
        e.offset + behind,
        e.doing.name()
    )
    .into_bytes();
    if let Some(key) = &e.key {
        text.extend_from_slice(b"[additional info] Reading key '");
        text.extend_from_slice(key);
        text.extend_from_slice(b"'\n");
    }
    if let Some(code) = e.type_byte {
        let line = format!("[additional info] Reading type {code} ({})\n", type_name(code));
        text.extend_from_slice(line.as_bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_with_expiring_fields_have_a_line_where_there_are_some() {
        let check = RdbCheck { keys: 3, ..RdbCheck::default() };
        assert!(figures(&check).ends_with("[info] 0 already expired\n"));
        let check = RdbCheck { subexpires: 2, ..check };
        assert!(figures(&check).ends_with("[info] 0 already expired\n[info] 2 subexpires\n"));
    }
}
