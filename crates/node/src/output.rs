//! What leaves: bytes for the append-only file, replies whose gate is open, the stream to replicas. Must
//! not know sockets: `Os` takes bytes and says how many it could.

use std::io::IoSlice;

use engine::{ClientId, CommandError, Kind};
use repl::Outgoing;

use crate::{Node, Opened, Os, Sent, Watermark, Wrote, client_of, conn_id};

/// Bytes of the stream a replica and turn: one that takes in a snapshot is not to starve the clients.
const BUDGET_BYTES: u64 = 1 << 20;
const MAX_SLICES: usize = 64;

impl Node {
    /// Hands what was propagated to the append-only file: from here on the turn's replies wait for it.
    pub fn append<O: Os>(&mut self, os: &mut O) {
        let point = self.point();
        let bytes = self.engine.propagation.take_aof();
        let spare = os.append(self, bytes, point);
        self.engine.propagation.give_spare(spare);
        self.state.gate.end_turn();
        self.state.gate.set_replies_need(os.replies_need());
        self.hear_log(os);
    }

    /// How far the file is: for those who wait for it here, and for our master.
    fn hear_log<O: Os>(&mut self, os: &mut O) {
        let progress = os.log_progress();
        let saved = os.fsynced_offset();
        let now_ms = self.now_ms();
        self.repl.set_fsynced_offset(now_ms, saved);
        let before = std::mem::replace(&mut self.state.saved, saved);
        self.state.acks_changed |= before != saved;
        if before.is_some() && saved.is_none() {
            // The file is turned off, although its last bytes may still be on their way to the disk.
            for id in self.state.gate.give_up(|watermark| watermark == Watermark::Saved) {
                self.with_world(os, |engine, world| {
                    engine.end_ack_wait(world, id, Some(CommandError::WaitaofWithoutAof));
                });
            }
        }
        let gate = &mut self.state.gate;
        match progress {
            Some(progress) => {
                gate.raise_written(progress.written);
                gate.raise_fsynced(progress.fsynced);
            }
            None if gate.is_awaited(Watermark::Written) || gate.is_awaited(Watermark::Fsynced) => {
                gate.give_up(Watermark::is_of_log);
            }
            None => {}
        }
        self.open(os);
    }

    /// Lets out whom the gate has opened for.
    pub(crate) fn open<O: Os>(&mut self, os: &mut O) {
        while let Some(opened) = self.state.gate.poll_opened() {
            match opened {
                Opened::Replies(id) => self.engine.note_output(id),
                Opened::Wait(id) => {
                    self.with_world(os, |engine, world| engine.end_ack_wait(world, id, None));
                }
            }
        }
    }

    /// Every client that was answered, as far as its gate is open.
    pub(crate) fn send_replies<O: Os>(&mut self, os: &mut O) {
        self.engine.broadcast_invalidations();
        let mut touched = std::mem::take(&mut self.touched);
        self.engine.take_pending_output(&mut touched);
        for id in touched.drain(..) {
            self.send_to(os, id);
        }
        self.touched = touched;
    }

    /// The socket of this client has room again.
    pub fn client_is_writable<O: Os>(&mut self, os: &mut O, id: ClientId) {
        self.send_to(os, id);
    }

    /// The only way out for replies.
    fn send_to<O: Os>(&mut self, os: &mut O, id: ClientId) {
        let Some(client) = self.engine.client_mut(id) else { return };
        let waiting = client.out.len_bytes();
        let sent_before = client.out.written() - waiting as u64;
        let n = self.state.gate.may_send(id, sent_before, waiting);
        let sent = os.send(client, n);
        let (is_last, is_replica) =
            (client.close_after_reply && client.out.is_empty(), client.kind == Kind::Replica);
        match sent {
            Sent::Broken => os.close(self, id),
            Sent::All if is_last => os.close(self, id),
            Sent::All if is_replica => self.send_stream(os, id),
            Sent::All | Sent::Partly => {}
        }
    }

    pub(crate) fn send_streams<O: Os>(&mut self, os: &mut O) {
        if !self.repl.has_replicas() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.touched);
        waiting.extend(self.repl.conns_with_output().map(client_of));
        for id in waiting.drain(..) {
            self.send_stream(os, id);
        }
        self.touched = waiting;
    }

    /// Writes until the replica has all, its socket is full or its share of the turn is used.
    fn send_stream<O: Os>(&mut self, os: &mut O, id: ClientId) {
        // Answers to REPLCONF go first: the stream begins behind them.
        let is_behind = self.engine.client(id).is_some_and(|client| client.out.is_empty());
        if !is_behind || !os.is_drained(id) {
            return;
        }
        let mut sent = 0;
        while sent < BUDGET_BYTES {
            match self.write_stream(os, id) {
                None | Some(Wrote::Some(0)) => return os.judge_replica(self, id),
                Some(Wrote::Some(n)) => {
                    sent += n;
                    self.repl.sent(self.now_ms(), conn_id(id), n);
                }
                Some(Wrote::Broken) => return os.close(self, id),
            }
        }
        os.write_later(id);
        os.judge_replica(self, id);
    }

    /// `None` when there is nothing to write.
    fn write_stream<O: Os>(&self, os: &mut O, id: ClientId) -> Option<Wrote> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        match self.repl.outgoing(conn_id(id), &mut slices) {
            Outgoing::Nothing => None,
            Outgoing::Slices(n) => Some(os.write(id, &slices[..n])),
            Outgoing::File { id: snapshot, position, len } => {
                Some(os.write_file(id, snapshot, position, len))
            }
        }
    }
}
