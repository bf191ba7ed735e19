//! Any bytes as a stream of requests, a stream of replies, and the words of the protocol.
#![no_main]

#[path = "../../crates/protocol/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::resp(data));
