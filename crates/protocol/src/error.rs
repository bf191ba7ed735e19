//! The ways a peer's bytes can break the protocol, with the texts that Redis answers.

use std::fmt;

/// A request stream that cannot go on. [`ProtocolError::text`] follows `-ERR ` in the last reply
/// before the connection is closed; `Display` is the same for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// `*<count>` is no number, or more than can be served.
    InvalidMultibulkLength,
    /// `*<count>` did not end within 64 KiB.
    MultibulkCountTooLong,
    /// More than ten arguments before the client authenticated.
    UnauthenticatedMultibulkLength,
    /// Something other than `$` where an argument had to begin.
    ExpectedDollar(u8),
    /// `$<length>` is no number, negative, or above `proto-max-bulk-len`.
    InvalidBulkLength,
    /// `$<length>` did not end within 64 KiB.
    BulkCountTooLong,
    /// An argument above 16384 bytes before the client authenticated.
    UnauthenticatedBulkLength,
    /// An inline command did not end within 64 KiB.
    InlineTooLong,
    /// An inline command with a quote that never closes.
    UnbalancedQuotes,
    /// Where a command had to begin, a client of TLS greets.
    EncryptedGreeting,
    /// A master never sends inline commands: its stream lost its framing.
    InlineFromMaster,
}

impl ProtocolError {
    /// Redis's text, which may hold a byte of the peer's that is no character.
    pub fn text(&self) -> Vec<u8> {
        let mut text = b"Protocol error: ".to_vec();
        text.extend_from_slice(match self {
            Self::InvalidMultibulkLength => b"invalid multibulk length",
            Self::MultibulkCountTooLong => b"too big mbulk count string",
            Self::UnauthenticatedMultibulkLength => b"unauthenticated multibulk length",
            Self::ExpectedDollar(_) => b"expected '$', got '",
            Self::InvalidBulkLength => b"invalid bulk length",
            Self::BulkCountTooLong => b"too big bulk count string",
            Self::UnauthenticatedBulkLength => b"unauthenticated bulk length",
            Self::InlineTooLong => b"too big inline request",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
            Self::EncryptedGreeting => b"this port does not speak TLS",
            Self::InlineFromMaster => b"Master using the inline protocol. Desync?",
        });
        if let Self::ExpectedDollar(got) = *self {
            // A reply's line must not end early.
            text.push(if matches!(got, b'\r' | b'\n') { b' ' } else { got });
            text.push(b'\'');
        }
        text
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl std::error::Error for ProtocolError {}
