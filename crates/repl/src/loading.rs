//! Owns a full sync as the replica sees it: the snapshot's arrival, its verification, the moment at which the
//! old data set gives way, and the start of the stream. Must not know files or keys.
//!
//! Invariant: until `attach_to_new_master`, a failure costs nothing; from there on, the old history is gone.

use crate::progress::Progress;
use crate::replica::{Arrived, LinkState, Reconnect, Upstream};
use crate::transfer::Transfer;
use crate::wire::printable;
use crate::{Action, DisklessLoad, HistoryPoint, Level, LoadTarget, Repl};
use bytes::Bytes;
use protocol::link::{SnapshotProgress, parse_snapshot_header};

impl Repl {
    /// The received snapshot is sound. Answers `LoadEnd`; the next action is `LoadCommit`.
    pub fn load_verified(&mut self, now_ms: u64) {
        let Some(up) = &mut self.upstream else { return };
        let LinkState::Verify(arrived) = up.state else { return };
        up.state = LinkState::Commit(arrived);
        match arrived.target {
            LoadTarget::File => {
                self.attach_to_new_master(now_ms);
                self.log(Level::Notice, "MASTER <-> REPLICA sync: Flushing old data");
                self.log(Level::Notice, "MASTER <-> REPLICA sync: Loading DB in memory");
            }
            LoadTarget::Parser => self.attach_to_new_master(now_ms),
            LoadTarget::ParserSwap { .. } => {
                self.attach_to_new_master(now_ms);
                let text = "MASTER <-> REPLICA sync: Swapping active DB with loaded DB";
                self.log(Level::Notice, text);
            }
        }
        self.actions.push_back(Action::LoadCommit);
    }

    /// The data set is the master's. The stream begins.
    pub fn load_done(&mut self, now_ms: u64) {
        let Some(up) = &mut self.upstream else { return };
        let LinkState::Commit(Arrived { offer, target, .. }) = up.state else { return };
        up.state = LinkState::Streaming { is_pre_psync: offer.is_none() };
        up.last_io_ms = now_ms;
        up.down_since_ms = None;
        up.failure = None;
        let held = std::mem::take(&mut up.held);
        let lost = up.lost.take();
        let link = up.link;
        if let LoadTarget::ParserSwap { .. } = target {
            let text = "MASTER <-> REPLICA sync: Discarding old DB in background";
            self.log(Level::Notice, text);
        }
        // A master older than PSYNC tells no offset: the history is ours then, and cannot be resumed.
        let point = match offer {
            Some(point) => point,
            None => HistoryPoint { replid: self.new_replid(), offset: self.stream.offset() },
        };
        self.ids.restart(point.replid);
        self.stream.restart(point.offset, self.settings.repl_backlog_size_bytes);
        self.resumable = offer.is_some();
        self.data_differ = false;
        self.leave_standstill();
        self.log(Level::Notice, "MASTER <-> REPLICA sync: Finished with success");
        self.actions.push_back(Action::StreamStart { resumed: false });
        self.send_ack(now_ms);
        if !held.is_empty() {
            self.take_stream(&held);
        }
        if let (Some(why), Some(link)) = (lost, link) {
            // Behind what was held: what is applied has to be counted, or it would come again.
            self.actions.push_back(Action::LinkWasLost { link, why });
        }
    }

    /// The snapshot is not sound, or could not be loaded. Before `LoadCommit` the old data stays as it is.
    pub fn load_failed(&mut self, now_ms: u64, why: &str) {
        let Some(up) = &self.upstream else { return };
        let from = match up.state {
            LinkState::Transfer { target, .. }
            | LinkState::Verify(Arrived { target, .. })
            | LinkState::Commit(Arrived { target, .. }) => target,
            _ => return,
        };
        let from = if from == LoadTarget::File { "disk" } else { "socket" };
        let text =
            format!("Failed trying to load the MASTER synchronization DB from {from}: {why}");
        self.log(Level::Warning, text);
        self.lose_link(now_ms, Reconnect::Soon);
    }

    pub(crate) fn handle_preamble(
        &mut self,
        now_ms: u64,
        offer: Option<HistoryPoint>,
        line: &[u8],
    ) {
        if line.is_empty() {
            return; // Still making the snapshot.
        }
        if let (Some(progress), Some(up)) = (SnapshotProgress::parse_line(line), &mut self.upstream)
        {
            up.told = Some(progress);
            return;
        }
        if let Some(why) = line.strip_prefix(b"-") {
            let text = format!("MASTER aborted replication with an error: {}", printable(why));
            self.log(Level::Warning, text);
            return self.lose_link(now_ms, Reconnect::Soon);
        }
        let Ok(header) = parse_snapshot_header(line) else {
            let text = format!(
                "Bad protocol from MASTER, the first byte is not '$' (we received '{}'), are you \
                 sure the host and port are right?",
                printable(line)
            );
            self.log(Level::Warning, text);
            return self.lose_link(now_ms, Reconnect::Soon);
        };
        let target = self.load_target(offer);
        let to = if target == LoadTarget::File { "to disk" } else { "to parser" };
        let has_reports = self.upstream.as_ref().is_some_and(|up| up.told.is_some());
        let transfer = Transfer::new(&header, has_reports);
        let size_bytes = transfer.size_bytes();
        let text = match size_bytes {
            Some(size) => {
                format!("MASTER <-> REPLICA sync: receiving {size} bytes from master {to}")
            }
            None => {
                format!("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {to}")
            }
        };
        self.log(Level::Notice, text);
        if target != LoadTarget::File {
            self.log(Level::Notice, "MASTER <-> REPLICA sync: Loading DB in memory");
        }
        self.actions.push_back(Action::LoadStart { target, size_bytes });
        if let Some(up) = &mut self.upstream {
            up.progress = Progress::new(now_ms);
            up.state = LinkState::Transfer { offer, target, transfer };
            if size_bytes == Some(0) {
                self.end_transfer();
            }
        }
    }

    fn load_target(&self, offer: Option<HistoryPoint>) -> LoadTarget {
        match self.settings.repl_diskless_load {
            DisklessLoad::OnEmptyDb if self.dataset_is_empty => LoadTarget::Parser,
            DisklessLoad::SwapDb => LoadTarget::ParserSwap {
                same_history: offer.is_some_and(|o| o.replid == self.ids.replid),
            },
            _ => LoadTarget::File,
        }
    }

    pub(crate) fn take_payload(&mut self, _now_ms: u64, bytes: &[u8]) -> usize {
        let Some(Upstream { state: LinkState::Transfer { transfer, .. }, told, .. }) =
            &mut self.upstream
        else {
            return bytes.len();
        };
        let step = transfer.push(bytes);
        if step.progress.is_some() {
            *told = step.progress;
        }
        for part in [&step.released[..], step.payload] {
            if !part.is_empty() {
                self.actions.push_back(Action::LoadChunk(Bytes::copy_from_slice(part)));
            }
        }
        if step.done {
            self.end_transfer();
        }
        step.taken
    }

    fn end_transfer(&mut self) {
        let Some(up) = &mut self.upstream else { return };
        if let LinkState::Transfer { offer, target, transfer } = &up.state {
            let size_bytes = transfer.read_bytes();
            up.state = LinkState::Verify(Arrived { offer: *offer, target: *target, size_bytes });
            self.actions.push_back(Action::LoadEnd { size_bytes });
        }
    }

    /// The old data set goes: nobody may partially resync with it any more, neither we nor from us.
    fn attach_to_new_master(&mut self, now_ms: u64) {
        self.discard_cached_master();
        self.disconnect_replicas(now_ms);
        self.detach_snapshot_from_history();
        self.stream.free_backlog();
        let replid = self.new_replid();
        self.ids.restart(replid);
    }
}
