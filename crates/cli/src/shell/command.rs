//! What redis-cli knows of commands by their names: which replies are texts, which come in parts.
//!
//! Must not: send one.

use protocol::Value;

/// A command, as far as redis-cli knows commands.
pub(super) struct Command<'a> {
    pub args: &'a [Vec<u8>],
}

impl<'a> Command<'a> {
    pub(super) fn of(args: &'a [Vec<u8>]) -> Self {
        Self { args }
    }

    fn word(&self, i: usize, name: &str) -> bool {
        self.args.get(i).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.word(0, name)
    }

    pub(super) fn is_kind(&self, kind: &[u8]) -> bool {
        self.args[0].eq_ignore_ascii_case(kind)
    }

    /// How many confirmations come instead of a reply.
    pub(super) fn confirmations(&self) -> usize {
        const NAMES: [&str; 6] = [
            "subscribe",
            "unsubscribe",
            "psubscribe",
            "punsubscribe",
            "ssubscribe",
            "sunsubscribe",
        ];
        match NAMES.iter().any(|name| self.is(name)) {
            true => (self.args.len() - 1).max(1),
            false => 0,
        }
    }

    /// Whether the reply is a text made for people, to be printed as it is.
    pub(super) fn is_text(&self) -> bool {
        /// Names, and with how many words.
        const TEXTS: &[(&str, &str, std::ops::RangeInclusive<usize>)] = &[
            ("info", "", 1..=usize::MAX),
            ("lolwut", "", 1..=usize::MAX),
            ("debug", "htstats", 2..=usize::MAX),
            ("debug", "htstats-key", 2..=usize::MAX),
            ("debug", "client-eviction", 2..=usize::MAX),
            ("memory", "malloc-stats", 2..=usize::MAX),
            ("memory", "doctor", 2..=usize::MAX),
            ("cluster", "nodes", 2..=2),
            ("cluster", "info", 2..=2),
            ("client", "list", 2..=usize::MAX),
            ("client", "info", 2..=usize::MAX),
            ("latency", "graph", 3..=3),
            ("latency", "doctor", 2..=2),
            ("proxy", "info", 2..=usize::MAX),
        ];
        TEXTS.iter().any(|(name, sub, words)| {
            self.is(name)
                && (sub.is_empty() || self.word(1, sub))
                && words.contains(&self.args.len())
        })
    }
}

/// The kind of a subscription's message, and its number if it has one.
pub(super) fn subscription(items: &[Value]) -> Option<(Vec<u8>, i64)> {
    let [Value::Bulk(kind), _, third, ..] = items else { return None };
    let is_one = kind.ends_with(b"message") || kind.ends_with(b"subscribe");
    let count = if let Value::Int(count) = third { *count } else { 0 };
    is_one.then(|| (kind.clone(), count))
}
