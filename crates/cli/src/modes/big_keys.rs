//! `--bigkeys` and `--memkeys`: the largest key of each type, and how large they are on average.
//!
//! Must not: read values; only their sizes.

use protocol::{Value, quote};

use super::scan::{Scan, db_size, percent};
use crate::Exit;
use crate::shell::session::Session;
use crate::term::{self, fail, out};

/// So often a line tells how far it is.
const KEYS_PER_LINE: u64 = 1_000_000;

/// What makes a key big.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Elements,
    /// As MEMORY USAGE says, of so many elements; 0 is the server's default.
    Memory {
        samples: i64,
    },
}

struct Kind {
    name: String,
    /// The command for the number of elements; types that we do not know have none.
    size_command: Option<&'static str>,
    unit: &'static str,
    count: u64,
    total: u64,
    biggest: u64,
    biggest_key: Option<String>,
}

impl Kind {
    fn new(name: &str, size_command: Option<&'static str>, unit: &'static str) -> Self {
        let (count, total, biggest) = (0, 0, 0);
        Self { name: name.into(), size_command, unit, count, total, biggest, biggest_key: None }
    }
}

struct Survey {
    measure: Measure,
    kinds: Vec<Kind>,
    sampled: u64,
    key_bytes: u64,
}

pub(super) fn run(session: &mut Session, measure: Measure) -> Result<(), Exit> {
    term::note_interrupts();
    let all = db_size(session)?;
    out("\n# Scanning the entire keyspace to find biggest keys as well as\n");
    out("# average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n");
    out("# per 100 SCAN commands (not usually needed).\n\n");
    let kinds = vec![
        Kind::new("list", Some("LLEN"), "items"),
        Kind::new("hash", Some("HLEN"), "fields"),
        Kind::new("string", Some("STRLEN"), "bytes"),
        Kind::new("stream", Some("XLEN"), "entries"),
        Kind::new("set", Some("SCARD"), "members"),
        Kind::new("zset", Some("ZCARD"), "members"),
    ];
    let mut survey = Survey { measure, kinds, sampled: 0, key_bytes: 0 };
    let mut scan = Scan::default();
    let mut stopped_at = None;
    let mut done = 0.0;
    while let Some(keys) = scan.step(session)? {
        done = percent(survey.sampled, all);
        let kinds = survey.kinds_of(session, &keys)?;
        let sizes = survey.sizes_of(session, &keys, &kinds)?;
        for ((key, kind), size) in keys.iter().zip(kinds).zip(sizes) {
            if let Some(kind) = kind {
                survey.add(key, kind, size, done);
            }
        }
        term::flush();
        if !scan.goes_on(session) {
            stopped_at = Some(done);
            break;
        }
    }
    let _ = done;
    survey.print(stopped_at);
    Ok(())
}

impl Survey {
    /// The type of each key, as an index; `None` for one that is gone.
    fn kinds_of(
        &mut self,
        session: &mut Session,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<usize>>, Exit> {
        let commands = keys.iter().map(|key| vec![b"TYPE".to_vec(), key.clone()]).collect();
        let mut kinds = Vec::with_capacity(keys.len());
        for reply in session.pipeline(commands)? {
            let name = match reply {
                Value::Status(name) => String::from_utf8_lossy(&name).into_owned(),
                Value::Error(text) => {
                    return Err(fail([&b"TYPE returned an error: "[..], &text].concat()));
                }
                _ => return Err(fail("Invalid reply type for TYPE!")),
            };
            let known = self.kinds.iter().position(|kind| kind.name == name);
            kinds.push(match known {
                None if name == "none" => None,
                None => {
                    self.kinds.push(Kind::new(&name, None, "?"));
                    Some(self.kinds.len() - 1)
                }
                known => known,
            });
        }
        Ok(kinds)
    }

    fn sizes_of(
        &self,
        session: &mut Session,
        keys: &[Vec<u8>],
        kinds: &[Option<usize>],
    ) -> Result<Vec<u64>, Exit> {
        let command = |key: &Vec<u8>, kind: Option<usize>| {
            let kind = &self.kinds[kind?];
            let mut command = match self.measure {
                Measure::Elements => vec![kind.size_command?.as_bytes().to_vec()],
                Measure::Memory { .. } => vec![b"MEMORY".to_vec(), b"USAGE".to_vec()],
            };
            command.push(key.clone());
            if let Measure::Memory { samples: samples @ 1.. } = self.measure {
                command.extend([b"SAMPLES".to_vec(), samples.to_string().into_bytes()]);
            }
            Some(command)
        };
        let commands: Vec<_> =
            keys.iter().zip(kinds).map(|(key, kind)| command(key, *kind)).collect();
        let mut replies =
            session.pipeline(commands.iter().flatten().cloned().collect())?.into_iter();
        let mut sizes = Vec::with_capacity(keys.len());
        for (command, key) in commands.iter().zip(keys) {
            let reply = command.as_ref().and_then(|_| replies.next());
            sizes.push(match reply {
                Some(Value::Int(size)) => size.max(0) as u64,
                Some(_) => {
                    let what = match self.measure {
                        Measure::Memory { .. } => "MEMORY USAGE".into(),
                        Measure::Elements => {
                            let name = command.as_ref().and_then(|command| command.first());
                            name.map_or_else(String::new, |n| String::from_utf8_lossy(n).into())
                        }
                    };
                    let key = String::from_utf8_lossy(key);
                    term::err(format!(
                        "Warning:  {what} on '{key}' failed (may have changed type)\n"
                    ));
                    0
                }
                None => 0,
            });
        }
        Ok(sizes)
    }

    fn unit(&self, kind: &Kind) -> &'static str {
        if self.measure == Measure::Elements { kind.unit } else { "bytes" }
    }

    fn add(&mut self, key: &[u8], kind: usize, size: u64, percent: f64) {
        self.key_bytes += key.len() as u64;
        self.sampled += 1;
        let kind = &mut self.kinds[kind];
        kind.total += size;
        kind.count += 1;
        if kind.biggest < size {
            let key = String::from_utf8_lossy(&quote(key)).into_owned();
            let unit = if self.measure == Measure::Elements { kind.unit } else { "bytes" };
            out(format!(
                "[{percent:05.2}%] Biggest {:<6} found so far '{key}' with {size} {unit}\n",
                kind.name
            ));
            (kind.biggest, kind.biggest_key) = (size, Some(key));
        }
        if self.sampled.is_multiple_of(KEYS_PER_LINE) {
            out(format!("[{percent:05.2}%] Sampled {} keys so far\n", self.sampled));
        }
    }

    fn print(&self, stopped_at: Option<f64>) {
        let average = |total: u64, count: u64| {
            if count == 0 { 0.0 } else { total as f64 / count as f64 }
        };
        out("\n-------- summary -------\n\n");
        if let Some(percent) = stopped_at {
            out(format!("[{percent:05.2}%] "));
        }
        let (sampled, bytes) = (self.sampled, self.key_bytes);
        out(format!("Sampled {sampled} keys in the keyspace!\n"));
        out(format!(
            "Total key length in bytes is {bytes} (avg len {:.2})\n\n",
            average(bytes, sampled)
        ));
        for kind in &self.kinds {
            if let Some(key) = &kind.biggest_key {
                let (name, size, unit) = (&kind.name, kind.biggest, self.unit(kind));
                out(format!("Biggest {name:>6} found '{key}' has {size} {unit}\n"));
            }
        }
        out("\n");
        for kind in &self.kinds {
            let Kind { name, count, total, .. } = kind;
            out(format!(
                "{count} {name}s with {total} {} ({:05.2}% of keys, avg size {:.2})\n",
                self.unit(kind),
                percent(*count, sampled),
                average(*total, *count)
            ));
        }
    }
}
