//! The ways a peer's bytes can break the protocol, with the texts that Redis answers.

use std::fmt;

/// A request stream that cannot go on. `Display` gives the text that follows `-ERR ` in the last
/// reply before the connection is closed.
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
    /// A master never sends inline commands: its stream lost its framing.
    InlineFromMaster,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::MultibulkCountTooLong => "too big mbulk count string",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::ExpectedDollar(got) => {
                return write!(f, "Protocol error: expected '$', got '{}'", *got as char);
            }
            Self::InvalidBulkLength => "invalid bulk length",
            Self::BulkCountTooLong => "too big bulk count string",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::InlineTooLong => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::InlineFromMaster => "Master using the inline protocol. Desync?",
        };
        write!(f, "Protocol error: {text}")
    }
}

impl std::error::Error for ProtocolError {}
