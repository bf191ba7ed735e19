//! Owns the table of directives: one file a group, each defining its values and its rows together.
//! Beside them stand the checks that rows name and the bounds that they use.

pub mod cluster;
pub mod data;
pub mod general;
pub mod memory;
pub mod monitoring;
pub mod network;
pub mod persistence;
pub mod replication;
pub mod security;
pub mod tls;

use super::directive::Directive;

const I32_MIN: i32 = i32::MIN;
const I32_MAX: i32 = i32::MAX;
const U32_MAX: u32 = u32::MAX;
const I64_MAX: i64 = i64::MAX;
const U64_MAX: u64 = u64::MAX;
const MB: i64 = 1 << 20;

/// A group of rows with its heading in the reference configuration.
pub struct Group {
    pub title: &'static str,
    pub directives: &'static [Directive],
}

/// The whole table, in the order of the reference configuration.
pub static GROUPS: [Group; 10] = [
    Group { title: "Network", directives: network::DIRECTIVES },
    Group { title: "General", directives: general::DIRECTIVES },
    Group { title: "Persistence", directives: persistence::DIRECTIVES },
    Group { title: "Replication", directives: replication::DIRECTIVES },
    Group { title: "Security", directives: security::DIRECTIVES },
    Group { title: "Memory", directives: memory::DIRECTIVES },
    Group { title: "Monitoring", directives: monitoring::DIRECTIVES },
    Group { title: "Data and commands", directives: data::DIRECTIVES },
    Group { title: "TLS", directives: tls::DIRECTIVES },
    Group { title: "Cluster", directives: cluster::DIRECTIVES },
];

type Check = Result<(), &'static str>;

fn rdb_filename(name: &str) -> Check {
    filename(name, "dbfilename can't be a path, just a filename")
}

fn aof_filename(name: &str) -> Check {
    if name.is_empty() {
        return Err("appendfilename can't be empty");
    }
    filename(name, "appendfilename can't be a path, just a filename")
}

fn aof_dirname(name: &str) -> Check {
    if name.is_empty() {
        return Err("appenddirname can't be empty");
    }
    filename(name, "appenddirname can't be a path, just a dirname")
}

fn filename(name: &str, refusal: &'static str) -> Check {
    if name.contains(['/', '\\']) { Err(refusal) } else { Ok(()) }
}

fn proc_title(template: &str) -> Check {
    const REFUSAL: &str = "template format is invalid or contains unknown variables";
    const KNOWN: [&str; 7] =
        ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let tail = &rest[open + 1..];
        match tail.find('}') {
            Some(close) if KNOWN.contains(&&tail[..close]) => rest = &tail[close + 1..],
            _ => return Err(REFUSAL),
        }
    }
    // The title alone would be empty while the server starts.
    if template.replace("{title}", "").trim().is_empty() {
        return Err(REFUSAL);
    }
    Ok(())
}

fn announced_hostname(name: &str) -> Check {
    if name.len() >= 256 {
        return Err("Hostnames must be less than 256 characters");
    }
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
        Ok(())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
    }
}

fn no_cluster(on: bool) -> Check {
    if on { Err("cluster mode is not supported") } else { Ok(()) }
}
