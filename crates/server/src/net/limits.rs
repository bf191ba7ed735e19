//! How much may wait unread for a client of which class. Measures; whoever closes is above.

use engine::client::InputBuffer;
use engine::{Client, Kind};
use protocol::RequestParser;

use crate::config::{BufferLimit, BufferLimits};

/// A reply below this is written whatever the limits say, as Redis does with its fixed buffer.
const UNCOUNTED_OUTPUT_BYTES: usize = 16 * 1024;

/// Whether more waits for the client than its class may have waiting.
pub fn is_over_hard_limit(limits: &BufferLimits, client: &Client) -> bool {
    let waiting = client.out.len_bytes();
    let exceeds = |limit: &BufferLimit| limit.hard_bytes > 0 && waiting as u64 >= limit.hard_bytes;
    client.out.is_overflowed()
        || waiting >= UNCOUNTED_OUTPUT_BYTES && limit_of(limits, client).is_some_and(exceeds)
}

/// The limit of the client's class; replicas have theirs where their stream is written.
pub fn limit_of<'l>(limits: &'l BufferLimits, client: &Client) -> Option<&'l BufferLimit> {
    match client.kind {
        Kind::Replica => None,
        _ if !client.subscriptions.is_empty() => Some(&limits.pubsub),
        _ => Some(&limits.normal),
    }
}

/// What CLIENT LIST shows of a connection's input.
pub fn input_buffer(parser: &RequestParser) -> InputBuffer {
    InputBuffer {
        used_bytes: parser.unparsed_len().min(u32::MAX as usize) as u32,
        capacity_bytes: parser.capacity().min(u32::MAX as usize) as u32,
    }
}

/// Whether `waiting` bytes are too many, minding since when the soft limit has been exceeded: in whole seconds of
/// the clock, as Redis counts, so that a client has up to one second more than it is granted.
pub fn over_limit(waiting: u64, limit: &BufferLimit, since_us: &mut u64, now_us: u64) -> bool {
    if limit.hard_bytes > 0 && waiting >= limit.hard_bytes {
        return true;
    }
    if limit.soft_bytes == 0 || waiting < limit.soft_bytes {
        *since_us = 0;
        return false;
    }
    if *since_us == 0 {
        *since_us = now_us;
        return false;
    }
    now_us / 1_000_000 - *since_us / 1_000_000 > limit.soft_seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_closes_only_after_its_seconds_without_a_break() {
        let limit = BufferLimit { hard_bytes: 100, soft_bytes: 10, soft_seconds: 2 };
        let mut since = 0;
        let s = 1_000_000;
        assert!(!over_limit(10, &limit, &mut since, s));
        assert!(!over_limit(10, &limit, &mut since, 3 * s));
        assert!(!over_limit(9, &limit, &mut since, 4 * s), "a break");
        assert!(!over_limit(10, &limit, &mut since, 5 * s));
        assert!(
            !over_limit(10, &limit, &mut since, 8 * s - 1),
            "not a second has passed since the last"
        );
        assert!(over_limit(10, &limit, &mut since, 8 * s));
    }

    #[test]
    fn the_hard_limit_closes_at_once_and_zero_is_none() {
        let limit = BufferLimit { hard_bytes: 100, soft_bytes: 0, soft_seconds: 0 };
        assert!(over_limit(100, &limit, &mut 0, 1));
        assert!(!over_limit(u64::MAX, &BufferLimit::default(), &mut 0, 1));
    }
}
