//! Owns what becomes of a stream whose next command cannot be applied here: where it stands still, what is
//! told of it, when it is tried again and by which kind of sync. Must not know commands.
//!
//! ```text
//!   Streaming --not understood--> stopped before it, resumable: partial resync from that very offset
//!       |                             ^ the same again: the pause doubles, up to a cap
//!       '------data differ------> stopped before it, not resumable: one full sync, at once if the last one
//!                                  asked for so was long ago, otherwise after a pause that doubles
//! ```
//!
//! Invariant: from the stop on, nothing is applied or passed on until a sync has led past that command.

use crate::replica::{LinkState, Reconnect, Upstream};
use crate::retry::Pauses;
use crate::wire::printable;
use crate::{Level, LinkId, Repl};

/// Between attempts to go on from the same command: only another program or another master helps.
const RESUME_PAUSES: Pauses = Pauses { first_ms: 1000, cap_ms: 60_000 };
/// Between full syncs that were asked for because the data differ: each costs the master a snapshot.
const RESYNC_PAUSES: Pauses = Pauses { first_ms: 10_000, cap_ms: 600_000 };

/// The longest text that is told of a fault.
const TOLD_MAX: usize = 256;

/// What a failure of a command of the stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// This program cannot run the command, and has done nothing of it.
    NotUnderstood,
    /// The data are not those on which the master ran it.
    DataDiffer,
}

/// A command of the stream that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFault {
    pub kind: FaultKind,
    /// Its name; empty if the bytes are no command at all.
    pub command: String,
    pub why: String,
}

impl StreamFault {
    /// For the log.
    fn name(&self) -> &str {
        match self.command.as_str() {
            "" => "what is no command",
            name => name,
        }
    }
}

/// Where the stream stands still.
#[derive(Debug)]
pub(crate) struct Standstill {
    pub(crate) fault: StreamFault,
    /// The last byte before the command.
    offset: u64,
    /// How often it was tried again in vain.
    tries: u32,
}

/// Full syncs that were asked for because the data differ.
#[derive(Debug, Default)]
pub(crate) struct Resyncs {
    count: u32,
    last_ms: u64,
}

impl Resyncs {
    /// When the next one may be asked for.
    fn next_ms(&mut self, now_ms: u64, random: u64) -> u64 {
        let since_ms = now_ms.saturating_sub(self.last_ms);
        if since_ms >= RESYNC_PAUSES.cap_ms {
            self.count = 0;
        }
        let due_ms = match self.count {
            0 => now_ms,
            count => now_ms.max(self.last_ms + RESYNC_PAUSES.after(count - 1, random)),
        };
        self.count = self.count.saturating_add(1);
        self.last_ms = due_ms;
        due_ms
    }
}

impl Upstream {
    pub(crate) fn is_stopped(&self) -> bool {
        self.standstill.is_some()
    }
}

impl Repl {
    /// A command of the stream cannot be applied: the stream stops before the boundary that `applied`
    /// has told last.
    pub fn handle_stream_fault(&mut self, now_ms: u64, link: LinkId, fault: StreamFault) {
        let fault = StreamFault {
            kind: fault.kind,
            command: fit_to_print(&fault.command),
            why: fit_to_print(&fault.why),
        };
        let random = self.random();
        let offset = self.stream.offset();
        let Some(up) = &mut self.upstream else { return };
        if up.link != Some(link) || !matches!(up.state, LinkState::Streaming { .. }) {
            return;
        }
        let tries = match &up.standstill {
            Some(last) if last.offset == offset => last.tries.saturating_add(1),
            _ => 0,
        };
        let (retry_at_ms, by) = match fault.kind {
            FaultKind::NotUnderstood => {
                (now_ms + RESUME_PAUSES.after(tries, random), "a partial resynchronization")
            }
            FaultKind::DataDiffer => {
                (up.resyncs.next_ms(now_ms, random), "a full resynchronization")
            }
        };
        let text = told(&fault, offset, retry_at_ms.saturating_sub(now_ms).div_ceil(1000), by);
        let data_differ = fault.kind == FaultKind::DataDiffer;
        up.standstill = Some(Standstill { fault, offset, tries });
        self.log(Level::Warning, text);
        if data_differ {
            self.data_differ = true;
            self.discard_cached_master();
        }
        self.lose_link(now_ms, Reconnect::Later);
        if let Some(up) = &mut self.upstream {
            up.retry_at_ms = retry_at_ms;
        }
    }

    /// A command was applied, or a snapshot has led past the one that could not be.
    pub(crate) fn leave_standstill(&mut self) {
        let stopped = self.upstream.as_mut().and_then(|up| up.standstill.take());
        if let Some(Standstill { fault, offset, .. }) = stopped {
            let name = fault.name();
            let text = format!(
                "The replication stream goes on: '{name}' at offset {offset} is behind it."
            );
            self.log(Level::Notice, text);
        }
    }
}

/// The peer's words, in one line of bounded length.
fn fit_to_print(text: &str) -> String {
    printable(text.as_bytes()).chars().take(TOLD_MAX).collect()
}

fn told(fault: &StreamFault, offset: u64, pause_secs: u64, by: &str) -> String {
    let (name, why) = (fault.name(), &fault.why);
    format!(
        "The replication stream stops before '{name}' at offset {offset}: {why}. Nothing of it and of \
         what follows is applied or passed on. Trying again in {pause_secs} seconds by {by}."
    )
}
