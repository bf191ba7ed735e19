//! `--scan`: the names of all keys; and the walk over a keyspace that other modes share.
//!
//! Must not: know what is done with the keys.

use protocol::{Value, quote};

use crate::Exit;
use crate::format::Output;
use crate::shell::session::Session;
use crate::target::leading_int;
use crate::term::{self, fail};

/// How many steps lie between two pauses of a mode that looks at every key.
const STEPS_PER_PAUSE: u64 = 100;

pub(super) fn run(session: &mut Session) -> Result<(), Exit> {
    term::note_interrupts();
    let typed = session.options.output == Output::Typed;
    let (interval, of_type) = (session.options.interval, session.options.scan_type.clone());
    let mut scan = Scan { of_type, ..Scan::default() };
    while let Some(keys) = scan.step(session)? {
        for key in keys {
            term::out(if typed { quote(&key) } else { key });
            term::out("\n");
        }
        if let Some(interval) = interval {
            term::flush();
            std::thread::sleep(interval);
        }
        if term::was_interrupted() {
            break;
        }
    }
    Ok(())
}

/// A walk over all keys.
#[derive(Debug, Default)]
pub(super) struct Scan {
    cursor: Vec<u8>,
    steps: u64,
    /// Only keys of this type.
    of_type: Option<Vec<u8>>,
}

impl Scan {
    /// The next keys; `None` behind the last.
    pub(super) fn step(&mut self, session: &mut Session) -> Result<Option<Vec<Vec<u8>>>, Exit> {
        if self.steps == 0 {
            self.cursor = b"0".to_vec();
        } else if self.cursor == b"0" {
            return Ok(None);
        }
        self.steps += 1;
        let mut command = vec![b"SCAN".to_vec(), self.cursor.clone()];
        let options = &session.options;
        let count = options.scan_count.map(|count| count.to_string().into_bytes());
        for (word, value) in [
            (&b"MATCH"[..], options.pattern.clone()),
            (b"COUNT", count),
            (b"TYPE", self.of_type.clone()),
        ] {
            if let Some(value) = value {
                command.extend([word.to_vec(), value]);
            }
        }
        let reply = session.call(&command)?;
        let parts = match reply {
            Value::Error(text) => {
                return Err(fail([&b"SCAN error: "[..], &text].concat()));
            }
            Value::Array(parts) => parts,
            _ => return Err(fail("Non ARRAY response from SCAN!")),
        };
        let [Value::Bulk(cursor), Value::Array(keys)] = parts.as_slice() else {
            return Err(fail("Invalid element count from SCAN!"));
        };
        self.cursor.clone_from(cursor);
        let keys = keys.iter().filter_map(|key| match key {
            Value::Bulk(key) => Some(key.clone()),
            _ => None,
        });
        Ok(Some(keys.collect()))
    }

    /// Waits where `-i` asks for it, and says whether the walk goes on.
    pub(super) fn goes_on(&self, session: &Session) -> bool {
        if let Some(interval) = session.options.interval
            && self.steps.is_multiple_of(STEPS_PER_PAUSE)
        {
            std::thread::sleep(interval);
        }
        !term::was_interrupted()
    }
}

/// How many keys there are.
pub(super) fn db_size(session: &mut Session) -> Result<u64, Exit> {
    match session.call(&[b"DBSIZE"])? {
        Value::Int(size) => Ok(size.max(0) as u64),
        Value::Error(text) => Err(fail([&b"Couldn't determine DBSIZE: "[..], &text].concat())),
        _ => Err(fail("Non INTEGER response from DBSIZE!")),
    }
}

/// How far a walk has come, in percent.
pub(super) fn percent(seen: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { 100.0 * seen as f64 / all as f64 }
}

/// A field of INFO, read as a number.
pub(super) fn info_number(info: &str, field: &str) -> i64 {
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.map_or(0, |value| leading_int(value.as_bytes()))
}
