//! `--hotkeys`: the keys whose LFU counters are highest.
//!
//! Must not: sort the keyspace; it keeps the few best.

use protocol::{Value, quote};

use super::scan::{Scan, db_size, percent};
use crate::Exit;
use crate::shell::session::Session;
use crate::term::{self, fail, out};

/// So many are kept.
const KEPT: usize = 16;
const KEYS_PER_LINE: u64 = 1_000_000;

pub(super) fn run(session: &mut Session) -> Result<(), Exit> {
    term::note_interrupts();
    let all = db_size(session)?;
    out("\n# Scanning the entire keyspace to find hot keys as well as\n");
    out("# average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n");
    out("# per 100 SCAN commands (not usually needed).\n\n");
    let mut hottest = Hottest::default();
    let (mut sampled, mut stopped_at) = (0, None);
    let mut scan = Scan::default();
    while let Some(keys) = scan.step(session)? {
        let done = percent(sampled, all);
        let counters = counters(session, &keys)?;
        for (key, counter) in keys.iter().zip(counters) {
            sampled += 1;
            if sampled % KEYS_PER_LINE == 0 {
                out(format!("[{done:05.2}%] Sampled {sampled} keys so far\n"));
            }
            if let Some(key) = hottest.offer(key, counter) {
                out(format!(
                    "[{done:05.2}%] Hot key '{key}' found so far with counter {counter}\n"
                ));
            }
        }
        term::flush();
        if !scan.goes_on(session) {
            stopped_at = Some(done);
            break;
        }
    }
    out("\n-------- summary -------\n\n");
    if let Some(percent) = stopped_at {
        out(format!("[{percent:05.2}%] "));
    }
    out(format!("Sampled {sampled} keys in the keyspace!\n"));
    for (counter, key) in hottest.best.iter().rev() {
        out(format!("hot key found with counter: {counter}\tkeyname: {key}\n"));
    }
    Ok(())
}

/// The hottest keys so far, the hottest last.
#[derive(Debug, Default)]
struct Hottest {
    best: Vec<(u64, String)>,
}

impl Hottest {
    /// Keeps a key if it is hotter than the coolest that is kept, and says how it is printed.
    fn offer(&mut self, key: &[u8], counter: u64) -> Option<String> {
        let place = self.best.iter().take_while(|(kept, _)| *kept < counter).count();
        if counter == 0 || (self.best.len() == KEPT && place == 0) {
            return None;
        }
        let key = String::from_utf8_lossy(&quote(key)).into_owned();
        self.best.insert(place, (counter, key.clone()));
        if self.best.len() > KEPT {
            self.best.remove(0);
        }
        Some(key)
    }
}

fn counters(session: &mut Session, keys: &[Vec<u8>]) -> Result<Vec<u64>, Exit> {
    let command = |key: &Vec<u8>| vec![b"OBJECT".to_vec(), b"FREQ".to_vec(), key.clone()];
    let replies = session.pipeline(keys.iter().map(command).collect())?;
    let mut counters = Vec::with_capacity(keys.len());
    for (reply, key) in replies.into_iter().zip(keys) {
        counters.push(match reply {
            Value::Int(counter) => counter.max(0) as u64,
            Value::Error(text) => return Err(fail([&b"Error: "[..], &text].concat())),
            _ => {
                let key = String::from_utf8_lossy(&quote(key)).into_owned();
                term::err(format!(
                    "Warning: OBJECT freq on '{key}' failed (may have been deleted)\n"
                ));
                0
            }
        });
    }
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_are_kept_in_order() {
        let mut hottest = Hottest::default();
        for counter in (1..=20).chain(1..=20) {
            hottest.offer(counter.to_string().as_bytes(), counter);
        }
        let counters: Vec<u64> = hottest.best.iter().map(|(counter, _)| *counter).collect();
        let expected: Vec<u64> = (13..=20).flat_map(|n| [n, n]).collect();
        assert_eq!(counters, expected);
        assert_eq!(hottest.offer(b"cold", 12), None);
        assert_eq!(hottest.offer(b"none", 0), None);
    }
}
