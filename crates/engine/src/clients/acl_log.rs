//! Owns the log of what users were refused, which ACL LOG shows. Entries that differ in nothing but their time
//! are one entry with a count.

use std::collections::VecDeque;

/// Only so far back is a like entry looked for, and only when it is no older than this.
const SCANNED: usize = 10;
const GROUPING_MS: i64 = 60_000;

#[derive(Clone, Debug)]
pub(crate) struct AclLogEntry {
    pub count: u64,
    /// `command`, `key`, `channel` or `auth`.
    pub reason: &'static str,
    /// `toplevel`, or `multi` inside a transaction.
    pub context: &'static str,
    /// What was refused: the command, key or channel.
    pub object: Vec<u8>,
    pub username: Vec<u8>,
    /// The client's line of CLIENT LIST.
    pub client_info: String,
    pub id: u64,
    pub created_unix_ms: i64,
    pub updated_unix_ms: i64,
}

#[derive(Debug, Default)]
pub(crate) struct AclLog {
    /// The youngest first.
    entries: VecDeque<AclLogEntry>,
    next_id: u64,
}

impl AclLog {
    /// Something was refused. `entry.id` and `entry.count` are given here.
    pub(crate) fn push(&mut self, mut entry: AclLogEntry, max_len: usize) {
        let like = |other: &AclLogEntry| {
            other.reason == entry.reason
                && other.context == entry.context
                && other.object == entry.object
                && other.username == entry.username
                && (entry.updated_unix_ms - other.updated_unix_ms).abs() <= GROUPING_MS
        };
        let known = self.entries.iter().take(SCANNED).position(like);
        match known.and_then(|at| self.entries.remove(at)) {
            Some(mut old) => {
                old.count += 1;
                old.client_info = entry.client_info;
                old.updated_unix_ms = entry.updated_unix_ms;
                self.entries.push_front(old);
            }
            None => {
                entry.count = 1;
                entry.id = self.next_id;
                self.next_id += 1;
                self.entries.push_front(entry);
            }
        }
        self.entries.truncate(max_len);
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &AclLogEntry> {
        self.entries.iter()
    }

    pub(crate) fn reset(&mut self) {
        self.entries.clear();
    }
}
