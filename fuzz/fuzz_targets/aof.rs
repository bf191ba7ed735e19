//! Any bytes as an append-only file and as its manifest.
#![no_main]

#[path = "../../crates/persist/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::aof(data));
