//! Any bytes as a stream that RESTORE is given.
#![no_main]

#[path = "../../crates/engine/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::stream(data));
