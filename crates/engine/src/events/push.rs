//! Owns what reaches clients out of turn: pub/sub messages, lines for monitors, invalidations. A message is encoded
//! once for all who get it, and a large one lies in memory once. Must not know who gets what.

use bytes::Bytes;
use protocol::{ReplyBuf, Resp};

use crate::Engine;
use crate::ids::ClientId;

/// A message of this length is shared by those who get it instead of copied to each.
const SHARED_LEN: usize = 32 * 1024;

/// Something that is sent to any number of clients.
#[derive(Clone, Debug)]
pub(crate) enum Push {
    /// Bytes that are the same in every protocol.
    Line(Vec<u8>),
    /// A push in RESP3, an array in RESP2: `head` differs in its first byte alone. `body` is the rest
    /// of a last element that is shared.
    Message { head: Vec<u8>, body: Option<Bytes> },
    /// An array of keys that the client may have cached and that have changed; `None` is all keys. In
    /// RESP2 only who is told for another client can hear it, as a message of a channel.
    Invalidation { keys: Option<Bytes>, is_redirected: bool },
    /// The client that was to be told in place of this one is gone; in RESP3 only.
    RedirectIsBroken(ClientId),
    /// Stands for more than its client may have waiting.
    TooMuch,
}

impl Push {
    pub(crate) fn message(
        kind: &[u8],
        pattern: Option<&[u8]>,
        channel: &[u8],
        message: &[u8],
        body: &mut Option<Bytes>,
    ) -> Push {
        let mut head = ReplyBuf::new();
        head.array(if pattern.is_some() { 4 } else { 3 });
        head.bulk(kind);
        if let Some(pattern) = pattern {
            head.bulk(pattern);
        }
        head.bulk(channel);
        if message.len() < SHARED_LEN {
            head.bulk(message);
            return Push::Message { head: head.to_vec(), body: None };
        }
        head.raw(format!("${}\r\n", message.len()).as_bytes());
        let body = body.get_or_insert_with(|| Bytes::copy_from_slice(message)).clone();
        Push::Message { head: head.to_vec(), body: Some(body) }
    }

    fn len(&self) -> usize {
        match self {
            Push::Line(bytes) => bytes.len(),
            Push::Message { head, body } => head.len() + body.as_ref().map_or(0, Bytes::len),
            Push::Invalidation { keys, .. } => keys.as_ref().map_or(0, Bytes::len),
            Push::RedirectIsBroken(_) | Push::TooMuch => 0,
        }
    }

    #[inline]
    fn write_to(&mut self, out: &mut ReplyBuf, is_subscribed: bool) {
        match self {
            Push::Line(bytes) => out.raw(bytes),
            Push::Message { head, body } => {
                head[0] = if out.resp == Resp::V3 { b'>' } else { b'*' };
                out.raw(head);
                if let Some(body) = body {
                    out.raw_shared(body.clone());
                    out.raw(b"\r\n");
                }
            }
            Push::Invalidation { keys, is_redirected } => {
                match out.resp {
                    Resp::V3 => {
                        out.push(2);
                        out.bulk(b"invalidate");
                    }
                    Resp::V2 if *is_redirected && is_subscribed => {
                        out.array(3);
                        out.bulk(b"message");
                        out.bulk(b"__redis__:invalidate");
                    }
                    Resp::V2 => return,
                }
                match keys {
                    None => out.null(),
                    Some(keys) => out.raw_shared(keys.clone()),
                }
            }
            Push::RedirectIsBroken(gone) => {
                if out.resp == Resp::V3 {
                    out.push(2);
                    out.bulk(b"tracking-redir-broken");
                    out.int(gone.id as i64);
                }
            }
            Push::TooMuch => out.overflow(),
        }
    }
}

/// Pushes for clients whose commands are running: they are appended when their client is back.
#[derive(Debug, Default)]
pub(crate) struct PendingPushes {
    pushes: Vec<(ClientId, Push)>,
    bytes: usize,
}

impl PendingPushes {
    fn add(&mut self, id: ClientId, push: &Push, limit_bytes: usize) {
        if self.bytes + push.len() <= limit_bytes {
            self.bytes += push.len();
            self.pushes.push((id, push.clone()));
        } else if !self.pushes.iter().any(|(_, push)| matches!(push, Push::TooMuch)) {
            self.pushes.retain(|(other, _)| *other != id);
            self.pushes.push((id, Push::TooMuch));
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pushes.is_empty()
    }

    /// Appends what is for this client.
    #[cold]
    pub(crate) fn deliver(&mut self, id: ClientId, out: &mut ReplyBuf, is_subscribed: bool) {
        // Another client may be put back while the one whose command runs is still out.
        for (_, mut push) in self.pushes.extract_if(.., |(other, _)| *other == id) {
            push.write_to(out, is_subscribed);
        }
        if self.pushes.is_empty() {
            self.bytes = 0;
        }
    }
}

impl Engine {
    /// Writes to a client out of turn. Who is on the way out hears nothing new.
    #[inline]
    pub(crate) fn push(&mut self, id: ClientId, push: &mut Push) {
        self.pushes += 1;
        match self.clients.get_mut(id.slot as usize) {
            Some(Some(client)) if client.id == id && !client.close_after_reply => {
                push.write_to(&mut client.out, !client.subscriptions.is_empty());
                if !client.pending_output {
                    client.pending_output = true;
                    self.pending_output.push(id);
                }
            }
            Some(None) => {
                let limit_bytes = self.settings.output_limits.of_subscribers();
                self.pending_pushes.add(id, push, limit_bytes);
            }
            _ => {}
        }
    }
}
