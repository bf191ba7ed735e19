//! Owns the slow log: the last commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;

const MAX_ARGS: usize = 32;
const MAX_ARG_BYTES: usize = 128;

#[derive(Clone, Debug)]
pub struct SlowEntry {
    pub id: u64,
    pub unix_s: i64,
    pub duration_us: u64,
    pub args: Vec<Vec<u8>>,
    pub client_addr: String,
    pub client_name: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Slowlog {
    /// The youngest first.
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

impl Slowlog {
    pub fn push(
        &mut self,
        args: &[&[u8]],
        duration_us: u64,
        unix_s: i64,
        client: &crate::clients::client::Client,
        max_len: usize,
    ) {
        let entry = SlowEntry {
            id: self.next_id,
            unix_s,
            duration_us,
            args: trimmed(args),
            client_addr: client.peer.addr.clone(),
            client_name: client.name.clone(),
        };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn reset(&mut self) {
        self.entries.clear();
    }
}

/// At most 32 arguments of 128 bytes; what is left out is said in the last place.
fn trimmed(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let shown = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let mut words: Vec<Vec<u8>> = args
        .iter()
        .take(shown)
        .map(|arg| match arg.len().checked_sub(MAX_ARG_BYTES) {
            None | Some(0) => arg.to_vec(),
            Some(more) => {
                let mut word = arg[..MAX_ARG_BYTES].to_vec();
                word.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
                word
            }
        })
        .collect();
    if shown < args.len() {
        words.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    words
}
