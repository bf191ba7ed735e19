//! Any bytes as the string of a HyperLogLog.
#![no_main]

#[path = "../../crates/engine/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::hyperloglog(data));
