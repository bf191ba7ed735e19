//! Owns the logs of commands that stood out: those that took long (the slow log), that were large themselves
//! or were answered at length.

use std::collections::VecDeque;

use crate::clients::client::Client;
use crate::engine::Engine;

const MAX_ARGS: usize = 32;
const MAX_ARG_BYTES: usize = 128;

/// What a command stood out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKind {
    Slow,
    LargeRequest,
    LargeReply,
}

impl LogKind {
    pub(crate) const ALL: [LogKind; 3] =
        [LogKind::Slow, LogKind::LargeRequest, LogKind::LargeReply];

    /// COMMANDLOG's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            LogKind::Slow => "slow",
            LogKind::LargeRequest => "large-request",
            LogKind::LargeReply => "large-reply",
        }
    }
}

/// What monitoring tells of one of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLogFigures {
    /// COMMANDLOG's word for it.
    pub kind: &'static str,
    pub len: u64,
    /// All that was ever logged: RESET does not count anew.
    pub total: u64,
    /// The youngest entry's: microseconds, or bytes.
    pub last_figure: Option<u64>,
}

impl Engine {
    /// The slow log first.
    pub fn command_log_figures(&self) -> [CommandLogFigures; 3] {
        LogKind::ALL.map(|kind| {
            let log = &self.command_logs.0[kind as usize];
            CommandLogFigures {
                kind: kind.as_str(),
                len: log.len() as u64,
                total: log.next_id,
                last_figure: log.entries.front().map(|entry| entry.figure),
            }
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    pub id: u64,
    pub unix_s: i64,
    /// Microseconds of a slow one, bytes of a large one.
    pub figure: u64,
    pub args: Vec<Vec<u8>>,
    pub client_addr: String,
    pub client_name: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct CommandLog {
    /// The youngest first.
    entries: VecDeque<LogEntry>,
    next_id: u64,
}

impl CommandLog {
    pub(crate) fn push(
        &mut self,
        args: &[&[u8]],
        figure: u64,
        unix_s: i64,
        client: &Client,
        max_len: usize,
    ) {
        // What is not kept is not counted either.
        if max_len == 0 {
            return self.entries.clear();
        }
        let entry = LogEntry {
            id: self.next_id,
            unix_s,
            figure,
            args: trimmed(args),
            client_addr: client.peer.addr.clone(),
            client_name: client.name.clone(),
        };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &LogEntry> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn reset(&mut self) {
        self.entries.clear();
    }
}

/// A log for each kind.
#[derive(Debug, Default)]
pub(crate) struct CommandLogs([CommandLog; 3]);

impl CommandLogs {
    pub(crate) fn of(&mut self, kind: LogKind) -> &mut CommandLog {
        &mut self.0[kind as usize]
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
