//! Owns the directives whose value has a grammar of its own: save points, bind addresses, output
//! buffer limits and so on. One module each with `USAGE`, `parse`, `print` and `lines`.

use super::directive::Origin;
use super::values::{parse_choice, parse_memory};
use protocol::parse_i64;

/// A snapshot is due `seconds` after the last one once `changes` keys have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: u64,
}

/// When a client of a class is closed because it reads its replies too slowly; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`, one limit a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimits {
    pub normal: BufferLimit,
    pub replica: BufferLimit,
    pub pubsub: BufferLimit,
}

/// An address to listen on; an optional one (written with a leading `-`) may be unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    pub host: String,
    pub optional: bool,
}

/// What the configuration says about being a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReplicaOf {
    /// Nothing: a master.
    #[default]
    Unset,
    /// `replicaof no one`: explicitly a master.
    NoOne,
    Master {
        host: String,
        port: u16,
    },
}

/// What SIGINT or SIGTERM does: flags of the SHUTDOWN command. All false is "default".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags {
    pub save: bool,
    pub nosave: bool,
    pub now: bool,
    pub force: bool,
}

/// A word for a file, in quotes only where it would not be read back as it is: it comes from clients.
fn word(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"\"'\\#".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        crate::config::table::quoted(text.as_bytes())
    }
}

/// The directory that files are kept in; empty is the one that the process was started in.
pub(in crate::config) mod dir {
    use std::path::{Path, PathBuf};

    use super::Origin;

    pub const USAGE: &str = "<directory>";

    pub fn parse(dir: &mut PathBuf, words: &[&[u8]], _: Origin) -> Result<(), String> {
        let text = std::str::from_utf8(words[0]).map_err(|_| "argument must be valid UTF-8")?;
        if text.is_empty() || text == "." || text == "./" {
            return Ok(());
        }
        let path = dir.join(text);
        let found =
            std::fs::canonicalize(&path).map_err(|e| crate::process::os_error::os_error(&e))?;
        if !found.is_dir() {
            return Err("Not a directory".into());
        }
        *dir = found;
        Ok(())
    }

    pub fn print(dir: &Path) -> String {
        if dir.as_os_str().is_empty() {
            std::env::current_dir().unwrap_or_default().display().to_string()
        } else {
            dir.display().to_string()
        }
    }

    pub fn lines(dir: &Path) -> Vec<String> {
        vec![crate::config::table::quoted(print(dir).as_bytes())]
    }
}

pub(in crate::config) mod save {
    use super::{Origin, SavePoint, parse_i64};

    pub const USAGE: &str = "<seconds> <changes> [<seconds> <changes> ...], or \"\" for none";

    pub fn parse(
        points: &mut Vec<SavePoint>,
        words: &[&[u8]],
        origin: Origin,
    ) -> Result<(), String> {
        if origin != Origin::FurtherLine || matches!(words, [b""]) {
            points.clear();
        }
        // A bare `save` adds nothing; as the first line it leaves nothing of the defaults.
        if words.is_empty() || matches!(words, [b""]) {
            return Ok(());
        }
        if !words.len().is_multiple_of(2) {
            return Err("Invalid save parameters".into());
        }
        for pair in words.chunks(2) {
            let number = |word| parse_i64(word).filter(|n| *n >= 0).map(i64::cast_unsigned);
            match (number(pair[0]), number(pair[1])) {
                (Some(seconds), Some(changes)) if seconds > 0 => {
                    points.push(SavePoint { seconds, changes });
                }
                _ => return Err("Invalid save parameters".into()),
            }
        }
        Ok(())
    }

    pub fn print(points: &[SavePoint]) -> String {
        let pairs: Vec<_> = points.iter().map(|p| format!("{} {}", p.seconds, p.changes)).collect();
        pairs.join(" ")
    }

    pub fn lines(points: &[SavePoint]) -> Vec<String> {
        if points.is_empty() {
            return vec!["\"\"".into()];
        }
        points.iter().map(|p| format!("{} {}", p.seconds, p.changes)).collect()
    }
}

pub(in crate::config) mod bind {
    use super::{BindAddress, Origin};

    pub const USAGE: &str =
        "<address> [<address> ...], each with a leading - when it may be missing";
    const MAX_ADDRESSES: usize = 16;

    pub fn parse(
        addresses: &mut Vec<BindAddress>,
        words: &[&[u8]],
        _: Origin,
    ) -> Result<(), String> {
        if words.is_empty() {
            return Err("wrong number of arguments".into());
        }
        if words.len() > MAX_ADDRESSES {
            return Err("Too many bind addresses specified.".into());
        }
        addresses.clear();
        if matches!(words, [b""]) {
            return Ok(());
        }
        for word in words {
            let text = std::str::from_utf8(word).map_err(|_| "argument must be valid UTF-8")?;
            let (host, optional) = match text.strip_prefix('-') {
                Some(host) => (host, true),
                None => (text, false),
            };
            addresses.push(BindAddress { host: host.to_owned(), optional });
        }
        Ok(())
    }

    fn written(address: &BindAddress) -> String {
        format!("{}{}", if address.optional { "-" } else { "" }, address.host)
    }

    pub fn print(addresses: &[BindAddress]) -> String {
        addresses.iter().map(written).collect::<Vec<_>>().join(" ")
    }

    pub fn lines(addresses: &[BindAddress]) -> Vec<String> {
        if addresses.is_empty() {
            return vec!["\"\"".into()];
        }
        let words = addresses.iter().map(|address| super::word(&written(address)));
        vec![words.collect::<Vec<_>>().join(" ")]
    }
}

pub(in crate::config) mod buffer_limits {
    use super::{BufferLimit, BufferLimits, Origin, parse_i64, parse_memory};
    use crate::config::values::Number;

    pub const USAGE: &str = "normal|replica|pubsub <hard limit> <soft limit> <soft seconds>";

    pub fn parse(limits: &mut BufferLimits, words: &[&[u8]], _: Origin) -> Result<(), String> {
        if matches!(words, [b""]) {
            return Ok(());
        }
        if words.is_empty() || !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for words in words.chunks(4) {
            let limit = match words[0].to_ascii_lowercase().as_slice() {
                b"normal" => &mut limits.normal,
                b"slave" | b"replica" => &mut limits.replica,
                b"pubsub" => &mut limits.pubsub,
                _ => {
                    return Err(
                        "Invalid client class specified in buffer limit configuration.".into()
                    );
                }
            };
            let seconds = parse_i64(words[3]).filter(|n| *n >= 0).map(i64::cast_unsigned);
            match (parse_memory(words[1]), parse_memory(words[2]), seconds) {
                (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) => {
                    *limit = BufferLimit { hard_bytes, soft_bytes, soft_seconds };
                }
                _ => {
                    return Err("Error in hard, soft or soft_seconds setting in buffer limit \
                                configuration."
                        .into());
                }
            }
        }
        Ok(())
    }

    pub fn print(limits: &BufferLimits) -> String {
        let one = |name, limit: BufferLimit| {
            format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
        };
        [
            one("normal", limits.normal),
            // The class keeps its old name here: clients compare the text.
            one("slave", limits.replica),
            one("pubsub", limits.pubsub),
        ]
        .join(" ")
    }

    pub fn lines(limits: &BufferLimits) -> Vec<String> {
        let one = |name, limit: BufferLimit| {
            let size = |bytes: u64| Number::memory.print_in_file(bytes.into());
            let (hard, soft) = (size(limit.hard_bytes), size(limit.soft_bytes));
            format!("{name} {hard} {soft} {}", limit.soft_seconds)
        };
        vec![
            one("normal", limits.normal),
            one("replica", limits.replica),
            one("pubsub", limits.pubsub),
        ]
    }
}

pub(in crate::config) mod oom_values {
    use super::{Origin, parse_i64};

    pub const USAGE: &str = "<master> <replica> <child>, each from -2000 to 2000";

    pub fn parse(values: &mut [i32; 3], words: &[&[u8]], _: Origin) -> Result<(), String> {
        let [a, b, c] = words else { return Err("wrong number of arguments".into()) };
        let one = |word: &[u8]| {
            let value = parse_i64(word).filter(|n| (-2000..=2000).contains(n));
            value
                .and_then(|n| i32::try_from(n).ok())
                .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        };
        *values = [one(a)?, one(b)?, one(c)?];
        Ok(())
    }

    pub fn print([master, replica, child]: &[i32; 3]) -> String {
        format!("{master} {replica} {child}")
    }

    pub fn lines(values: &[i32; 3]) -> Vec<String> {
        vec![print(values)]
    }
}

/// The event classes, kept as their letters in Redis's order.
pub(in crate::config) mod keyspace_events {
    use super::Origin;

    pub const USAGE: &str = "<letters of Ag$lshzxeKEtmdn>, or \"\" for none";
    /// What `A` stands for.
    const ALL: &str = "g$lshzxetd";
    const OTHERS: &str = "nKEm";

    pub fn parse(letters: &mut String, words: &[&[u8]], _: Origin) -> Result<(), String> {
        let given = words[0];
        let known =
            |b: &u8| *b == b'A' || ALL.as_bytes().contains(b) || OTHERS.as_bytes().contains(b);
        if !given.iter().all(known) {
            return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
        }
        let has = |c: char| given.contains(&(c as u8));
        letters.clear();
        if has('A') || ALL.chars().all(has) {
            letters.push('A');
        } else {
            letters.extend(ALL.chars().filter(|c| has(*c)));
        }
        letters.extend(OTHERS.chars().filter(|c| has(*c)));
        Ok(())
    }

    pub fn print(letters: &str) -> String {
        letters.to_owned()
    }

    pub fn lines(letters: &str) -> Vec<String> {
        vec![crate::config::table::quoted(letters.as_bytes())]
    }
}

pub(in crate::config) mod replicaof {
    use super::{Origin, ReplicaOf, parse_i64};

    pub const USAGE: &str = "<host> <port>, or no one";

    pub fn parse(of: &mut ReplicaOf, words: &[&[u8]], _: Origin) -> Result<(), String> {
        if matches!(words, [b""]) {
            *of = ReplicaOf::Unset;
            return Ok(());
        }
        let [host, port] = words else { return Err("wrong number of arguments".into()) };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            *of = ReplicaOf::NoOne;
            return Ok(());
        }
        let port = parse_i64(port).and_then(|n| u16::try_from(n).ok());
        let port = port.ok_or("Invalid master port")?;
        let host = std::str::from_utf8(host).map_err(|_| "argument must be valid UTF-8")?;
        *of = ReplicaOf::Master { host: host.to_owned(), port };
        Ok(())
    }

    pub fn print(of: &ReplicaOf) -> String {
        match of {
            ReplicaOf::Unset | ReplicaOf::NoOne => String::new(),
            ReplicaOf::Master { host, port } => format!("{host} {port}"),
        }
    }

    pub fn lines(of: &ReplicaOf) -> Vec<String> {
        match of {
            ReplicaOf::Unset => Vec::new(),
            ReplicaOf::NoOne => vec!["no one".into()],
            ReplicaOf::Master { host, port } => vec![format!("{} {port}", super::word(host))],
        }
    }
}

pub(in crate::config) mod percentiles {
    use super::Origin;

    pub const USAGE: &str = "<percentile from 0.0 to 100.0> [...], or \"\" for none";

    pub fn parse(percentiles: &mut Vec<f64>, words: &[&[u8]], _: Origin) -> Result<(), String> {
        let mut parsed = Vec::with_capacity(words.len());
        for word in words.iter().filter(|_| !matches!(words, [b""])) {
            let value: Option<f64> = std::str::from_utf8(word).ok().and_then(|t| t.parse().ok());
            let value = value.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&value) {
                return Err("latency-tracking-info-percentiles parameters should sit between \
                            [0.0,100.0]"
                    .into());
            }
            parsed.push(value);
        }
        *percentiles = parsed;
        Ok(())
    }

    pub fn print(percentiles: &[f64]) -> String {
        percentiles.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
    }

    pub fn lines(percentiles: &[f64]) -> Vec<String> {
        vec![if percentiles.is_empty() { "\"\"".into() } else { print(percentiles) }]
    }
}

pub(in crate::config) mod shutdown {
    use super::{Origin, ShutdownFlags, parse_choice};

    pub const USAGE: &str = "default, or words of save nosave now force";
    const NAMES: [&str; 5] = ["default", "save", "nosave", "now", "force"];

    pub fn parse(flags: &mut ShutdownFlags, words: &[&[u8]], _: Origin) -> Result<(), String> {
        let mut parsed = ShutdownFlags::default();
        if words.is_empty() {
            parse_choice(b"", &NAMES)?;
        }
        for word in words {
            match parse_choice(word, &NAMES)? {
                1 => parsed.save = true,
                2 => parsed.nosave = true,
                3 => parsed.now = true,
                4 => parsed.force = true,
                _ => {}
            }
        }
        *flags = parsed;
        Ok(())
    }

    pub fn print(flags: &ShutdownFlags) -> String {
        let set = [flags.save, flags.nosave, flags.now, flags.force];
        let words: Vec<_> =
            NAMES[1..].iter().zip(set).filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        if words.is_empty() { NAMES[0].into() } else { words.join(" ") }
    }

    pub fn lines(flags: &ShutdownFlags) -> Vec<String> {
        vec![print(flags)]
    }
}
