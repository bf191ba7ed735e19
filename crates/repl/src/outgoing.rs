//! Owns what a replica's connection sends next: lines first, then the snapshot, then the stream. Pull-based,
//! so that nothing is copied and a slow connection holds only its place. Must not change states but on
//! what `sent` reports.

use crate::master::{Replica, ReplicaState};
use crate::{Action, ConnId, Outgoing, Repl};
use std::io::IoSlice;

impl Repl {
    /// The replicas that have something to send, for the driver to write before it sleeps.
    pub fn conns_with_output(&self) -> impl Iterator<Item = ConnId> + '_ {
        self.downstream.replicas.iter().filter(|r| self.has_output(r)).map(|r| r.conn)
    }

    /// What this replica is to be sent now. `slices` are filled from the front.
    pub fn outgoing<'a>(&'a self, conn: ConnId, slices: &mut [IoSlice<'a>]) -> Outgoing {
        let Some(replica) = self.downstream.find(conn) else { return Outgoing::Nothing };
        if slices.is_empty() {
            return Outgoing::Nothing;
        }
        let mut filled = 0;
        if !replica.head.is_empty() {
            slices[0] = IoSlice::new(&replica.head);
            filled = 1;
        }
        match replica.state {
            ReplicaState::SendFile { id, size_bytes, sent_bytes } if filled == 0 => {
                let len = size_bytes - sent_bytes;
                return Outgoing::File { id, position: sent_bytes, len };
            }
            ReplicaState::Streaming { position, .. } => {
                if let Some(snapshot) = &self.snapshot {
                    for chunk in snapshot.queue.after(position) {
                        if filled == slices.len() {
                            break;
                        }
                        slices[filled] = IoSlice::new(chunk);
                        filled += 1;
                    }
                }
            }
            ReplicaState::Online => {
                if let (Some(reader), Some(backlog)) = (&replica.reader, self.stream.backlog()) {
                    filled += backlog.slices(reader, &mut slices[filled..]);
                }
            }
            _ => {}
        }
        if filled == 0 { Outgoing::Nothing } else { Outgoing::Slices(filled) }
    }

    /// The connection has taken `n` bytes of what `outgoing` gave.
    pub fn sent(&mut self, now_ms: u64, conn: ConnId, n: u64) {
        let Some(replica) = self.downstream.replicas.iter_mut().find(|r| r.conn == conn) else {
            return;
        };
        let of_head = n.min(replica.head.len() as u64);
        replica.head.drain(..of_head as usize);
        let n = n - of_head;
        replica.last_sent_ms = now_ms;
        match &mut replica.state {
            ReplicaState::SendFile { size_bytes, sent_bytes, .. } => {
                *sent_bytes += n;
                assert!(*sent_bytes <= *size_bytes, "more sent than the file has");
                let is_complete = *sent_bytes == *size_bytes && replica.head.is_empty();
                if is_complete {
                    self.finish_transfer(now_ms, conn, false);
                }
            }
            ReplicaState::Streaming { position, .. } => {
                *position += n;
                let position = *position;
                if self.is_stream_complete(position) {
                    self.finish_transfer(now_ms, conn, true);
                } else {
                    self.forget_unwanted_snapshots(now_ms);
                }
            }
            ReplicaState::Online => {
                if let (Some(reader), Some(backlog)) =
                    (&mut replica.reader, self.stream.backlog_mut())
                {
                    backlog.skip(reader, n);
                }
            }
            ReplicaState::Refused if replica.head.is_empty() => {
                self.actions.push_back(Action::CloseReplica { conn });
                self.downstream.replicas.retain(|r| r.conn != conn);
            }
            _ => {}
        }
    }

    /// Bytes that wait to be sent to this replica, which is what output-buffer limits are about: its
    /// distance from the end of the stream, and what is before it in the queue.
    pub fn pending_bytes(&self, conn: ConnId) -> u64 {
        let Some(replica) = self.downstream.find(conn) else { return 0 };
        let distance = match (&replica.reader, self.stream.backlog()) {
            (Some(reader), Some(backlog)) => backlog.distance(reader),
            _ => 0,
        };
        distance + replica.head.len() as u64
    }

    fn has_output(&self, replica: &Replica) -> bool {
        let mut slices = [IoSlice::new(&[])];
        self.outgoing(replica.conn, &mut slices) != Outgoing::Nothing
    }
}
