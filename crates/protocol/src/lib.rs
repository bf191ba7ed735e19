//! Wire bytes: RESP2 and RESP3, inline commands, key slots and the words of a replication link.
//!
//! Everything here works on byte slices and buffers that the caller fills; nothing opens a socket,
//! knows a command's meaning or reads a clock. Bytes of a peer never panic, and never make us
//! allocate what they merely announce.

mod args;
mod command;
mod error;
pub mod link;
pub mod number;
mod output;
mod reply;
mod reply_parser;
mod request;
pub mod slot;
mod split;

pub use args::{Args, BIG_BULK_LEN, Iter, OwnedArgs};
pub use command::{encode_command, encoded_command_len};
pub use error::ProtocolError;
pub use number::{format_f64, format_f64_digits, parse_f64, parse_i64};
pub use output::Output;
pub use reply::{DeferMark, ReplyBuf, Resp};
pub use reply_parser::{ReplyError, ReplyParser, Value};
pub use request::{Limits, Request, RequestParser};
pub use slot::key_slot;
pub use split::{quote, split_args};
